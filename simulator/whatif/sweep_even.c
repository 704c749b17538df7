/* Break-even points: where, along one input, the best placement becomes another. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "simulator/whatif/sweep.h"

#define FACTOR_SCALE 6
#define FACTOR_ONE   INT64_C(1000000)
#define PER_DECADE   8 /* of the grid */
#define GRID_MAX     256
#define NEAR         1000 /* bisection ends at a thousandth of the value */
#define ROUNDS_MAX   40

/* A factor with its answer. */
struct sample {
    int64_t factor; /* x 10^-FACTOR_SCALE */
    struct sweep_point point;
    bool solved;
};

struct evening {
    const struct sweep_base *base;
    const struct cost_lookup *lookup;
    const char *path;
    struct arena *arena;
    struct sample **wanted; /* of the batch under way */
    int wanted_count;
};

static int parse_range(const char *text, char path[LIMIT_TEXT_BYTES], int64_t range[2],
                       struct error *err);
static int fill_grid(const int64_t range[2], struct sample *grid);
static int solve_wanted(struct whatif *whatif, struct evening *evening, struct sweep_even *even,
                        struct error *err);
static int make_sample(void *context, int index, struct arena *arena, struct cost_input *ret_input,
                       struct error *err);
static int take_sample(void *context, int index, const struct whatif_answer *answer,
                       struct error *err);
static bool differ(const struct cost_input *input, const struct sample *a, const struct sample *b);
static int narrow(struct whatif *whatif, struct evening *evening, struct sample (*pairs)[2],
                  int count, struct sweep_even *even, struct error *err);
static void tell(const struct evening *evening, const struct sample pair[2],
                 const struct sweep_even *even, struct sweep_change *change);

int sweep_even(struct whatif *whatif, const struct sweep_base *base, const char *text,
               struct arena *arena, struct sweep_even *ret_even, struct error *err)
{
    char path[LIMIT_TEXT_BYTES];
    int64_t range[2] = {FACTOR_ONE / 10, FACTOR_ONE * 10};
    struct sweep_even even = {.proven = true};
    struct cost_input input;
    struct evening evening = {.base = base, .path = path, .arena = arena};
    int rc = parse_range(text, path, range, err);
    if (rc == 0)
        rc = override_apply(base->list, base->count, base->input, arena, &input, err);
    if (rc == 0)
        rc = override_present(path, &input, &even.present, err);
    if (rc == 0)
        rc = cost_lookup_make(base->input, arena, &evening.lookup, err);
    struct sample *grid = arena_array(arena, GRID_MAX, sizeof(*grid));
    struct sample(*pairs)[2] = arena_array(arena, GRID_MAX, sizeof(*pairs));
    evening.wanted = arena_array(arena, GRID_MAX, sizeof(*evening.wanted));
    if (rc == 0 && (grid == NULL || pairs == NULL || evening.wanted == NULL))
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for break-even points");
    if (rc < 0)
        return rc;
    int count = fill_grid(range, grid);
    for (int i = 0; i < count; i++)
        evening.wanted[evening.wanted_count++] = &grid[i];
    rc = solve_wanted(whatif, &evening, &even, err);
    int pair_count = 0;
    for (int i = 0; i + 1 < count && rc == 0; i++)
        if (differ(base->input, &grid[i], &grid[i + 1])) {
            pairs[pair_count][0] = grid[i];
            pairs[pair_count++][1] = grid[i + 1];
        }
    if (rc == 0)
        rc = narrow(whatif, &evening, pairs, pair_count, &even, err);
    even.changes = arena_array(arena, (size_t)pair_count + 1, sizeof(struct sweep_change));
    if (rc == 0 && even.changes == NULL)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for break-even points");
    if (rc < 0)
        return rc;
    even.from = (struct decimal){range[0], FACTOR_SCALE};
    even.to = (struct decimal){range[1], FACTOR_SCALE};
    for (int i = 0; i < pair_count; i++)
        tell(&evening, pairs[i], &even, &even.changes[even.change_count++]);
    *ret_even = even;
    return 0;
}

static int parse_range(const char *text, char path[LIMIT_TEXT_BYTES], int64_t range[2],
                       struct error *err)
{
    const char *equals = strchr(text, '=');
    size_t bytes = equals == NULL ? strlen(text) : (size_t)(equals - text);
    if (bytes == 0 || bytes >= LIMIT_TEXT_BYTES)
        return error_set(err, ERR_INVALID, 0, "\"%.100s\" is no path", text);
    memcpy(path, text, bytes);
    path[bytes] = 0;
    const char *at = equals == NULL ? NULL : equals + 1;
    for (int i = 0; at != NULL && i < 2; i++) {
        char number[LIMIT_NAME_BYTES];
        struct decimal factor;
        size_t length = strcspn(at, ":");
        bool right = at[0] == 'x' && length > 1 && length < sizeof(number) &&
                     (at[length] == ':') == (i == 0);
        if (right) {
            memcpy(number, at + 1, length - 1);
            number[length - 1] = 0;
            right = decimal_parse(number, &factor, NULL) == 0 &&
                    decimal_scaled(factor, FACTOR_SCALE, &range[i]) == 0;
        }
        if (!right || range[i] < 1 || range[i] > 1000 * FACTOR_ONE)
            return error_set(err, ERR_INVALID, 0,
                             "%.100s: a range is xLO:xHI, from x0.000001 to x1000", text);
        at += length + (i == 0);
    }
    return range[0] < range[1]
               ? 0
               : error_set(err, ERR_INVALID, 0, "%.100s: LO must be below HI", text);
}

/* Geometric, and through 1: what is the best now is one of them. */
static int fill_grid(const int64_t range[2], struct sample *grid)
{
    int count = 0;
    double ratio = pow(10, 1.0 / PER_DECADE);
    double first = ceil(log((double)range[0] / FACTOR_ONE) / log(ratio) - 1e-9);
    grid[count++].factor = range[0];
    for (double k = first; count < GRID_MAX - 1; k++) {
        int64_t factor = llround(pow(ratio, k) * FACTOR_ONE);
        if (factor >= range[1])
            break;
        if (factor > grid[count - 1].factor)
            grid[count++].factor = factor;
    }
    grid[count++].factor = range[1];
    return count;
}

static int solve_wanted(struct whatif *whatif, struct evening *evening, struct sweep_even *even,
                        struct error *err)
{
    struct whatif_batch batch = {.at = evening->base->at,
                                 .lookup = evening->lookup,
                                 .count = evening->wanted_count,
                                 .make = make_sample,
                                 .take = take_sample,
                                 .context = evening};
    int rc = whatif_batch(whatif, &batch, err);
    even->solves += evening->wanted_count;
    for (int i = 0; i < evening->wanted_count && rc == 0; i++)
        even->proven = even->proven && (evening->wanted[i]->point.status == SOLVE_OPTIMAL ||
                                        evening->wanted[i]->point.status == SOLVE_INFEASIBLE);
    evening->wanted_count = 0;
    return rc;
}

static int make_sample(void *context, int index, struct arena *arena, struct cost_input *ret_input,
                       struct error *err)
{
    struct evening *evening = context;
    const struct sweep_base *base = evening->base;
    struct override *list = arena_array(arena, (size_t)base->count + 1, sizeof(*list));
    if (list == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a scenario");
    if (base->count > 0)
        memcpy(list, base->list, (size_t)base->count * sizeof(*list));
    struct decimal factor = {evening->wanted[index]->factor, FACTOR_SCALE};
    int rc = override_times(evening->path, factor, &list[base->count], err);
    return rc < 0
               ? rc
               : override_apply_to(evening->lookup, list, base->count + 1, arena, ret_input, err);
}

static int take_sample(void *context, int index, const struct whatif_answer *answer,
                       struct error *err)
{
    struct evening *evening = context;
    struct sample *sample = evening->wanted[index];
    sample->solved = true;
    return sweep_point_of(evening->base->at, answer, evening->arena, &sample->point, err);
}

/* One that cannot be placed is another placement, too. */
static bool differ(const struct cost_input *input, const struct sample *a, const struct sample *b)
{
    if (a->point.at == NULL || b->point.at == NULL)
        return (a->point.at == NULL) != (b->point.at == NULL);
    return whatif_moves(input, a->point.at, b->point.at) > 0;
}

/* All pairs at once, a middle of each a round. */
static int narrow(struct whatif *whatif, struct evening *evening, struct sample (*pairs)[2],
                  int count, struct sweep_even *even, struct error *err)
{
    struct sample *middles = arena_array(evening->arena, (size_t)count + 1, sizeof(struct sample));
    int rc =
        middles == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory for break-even points") : 0;
    for (int round = 0; round < ROUNDS_MAX && rc == 0; round++) {
        for (int i = 0; i < count; i++) {
            int64_t apart = pairs[i][1].factor - pairs[i][0].factor;
            middles[i] = (struct sample){.factor = pairs[i][0].factor + apart / 2};
            if (apart > 1 && apart > pairs[i][1].factor / NEAR)
                evening->wanted[evening->wanted_count++] = &middles[i];
        }
        if (evening->wanted_count == 0)
            break;
        rc = solve_wanted(whatif, evening, even, err);
        for (int i = 0; i < count && rc == 0; i++) {
            if (middles[i].solved)
                pairs[i][differ(evening->base->input, &pairs[i][0], &middles[i]) ? 1 : 0] =
                    middles[i];
        }
    }
    return rc;
}

/* Seen from the present value outwards: what is beyond is what changes. */
static void tell(const struct evening *evening, const struct sample pair[2],
                 const struct sweep_even *even, struct sweep_change *change)
{
    bool up = pair[1].factor > FACTOR_ONE;
    const struct sample *near = &pair[up ? 0 : 1];
    const struct sample *far = &pair[up ? 1 : 0];
    const struct cost_input *input = evening->base->input;
    struct decimal present = even->present.value;
    *change = (struct sweep_change){.up = up,
                                    .factor = {far->factor, FACTOR_SCALE},
                                    .bill_before = near->point.bill,
                                    .bill_after = far->point.bill};
    /* With six digits of its own: a break-even point is no more exact than that. */
    __int128 value = (__int128)present.coefficient * far->factor;
    int scale = present.scale + FACTOR_SCALE;
    while (scale > 0 && (value > INT64_C(9999999) || scale > DECIMAL_SCALE_MAX)) {
        value = (value + 5) / 10;
        scale--;
    }
    change->value =
        decimal_normal((struct decimal){value > INT64_MAX ? INT64_MAX : (int64_t)value, scale});
    if (near->point.at == NULL || far->point.at == NULL)
        return;
    for (int i = 0, part = 0; i < input->app_count; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++, part++) {
            struct placement from = near->point.at[part];
            struct placement to = far->point.at[part];
            if (from.site == to.site && from.variant == to.variant)
                continue;
            if (change->move_count < SWEEP_MOVES)
                change->moves[change->move_count] = (struct sweep_move){i, k, from, to};
            change->move_count++;
        }
}
