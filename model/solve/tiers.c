#include "model/solve/tiers.h"

#include <math.h>
#include <string.h>

#include "model/solve/engine_session.h"
#include "model/solve/reduce_lines.h"
#include "model/solve/solve.h"

#define RANGES_USUAL 200
#define RANGES_MAX   4096
#define BYTES_MAX    ((size_t)2 << 30)
/* Of the gap, how much placement and prices of one range may take. */
#define RANGE_SHARE 0.5
#define GAP_LEAST   1e-6

/* The volume of each active meter lies in [low, high]. */
struct range {
    int64_t *low;
    int64_t *high;
    struct meter_line *line; /* below the charges there */
    nusd *volume;            /* of its placement */
    double *price;           /* [row] */
    int64_t bound;
    bool searched;
};

struct tiers {
    const struct reduced *reduced;
    const struct shape *shape;
    const struct tiers_options *options;
    struct arena *arena;
    struct arena work; /* of the range at hand */
    struct reduce_lines *lines;
    struct reduced lined; /* with those of the range at hand */
    struct engine_session *session;
    int *choice; /* the best that is known */
    int *trial;
    int64_t cost;
    nusd *volume; /* of it */
    struct range *range;
    int count;
    int most;
};

static int open_session(struct tiers *tiers, struct error *err);
static int climb(struct tiers *tiers, struct tiers_result *result, struct error *err);
static int range_add(struct tiers *tiers, const struct range *from, struct error *err);
static int evaluate(struct tiers *tiers, struct range *range, struct error *err);
static int range_grid(struct tiers *tiers, struct range *range, struct shape *ret_shape,
                      struct error *err);
static void take(struct tiers *tiers, struct range *range, const struct shape *shape,
                 const struct engine_result *answer);
static int search(struct tiers *tiers, struct range *range, struct error *err);
static bool on_progress(void *context, double bound, double best);
static void consider(struct tiers *tiers);
static int divide(struct tiers *tiers, struct range *range, int meter, int64_t border,
                  struct error *err);
static int meter_to_divide(const struct tiers *tiers, const struct range *range,
                           int64_t *ret_border);
static const struct problem_meter *meter_of(const struct tiers *tiers, int m);
static nusd above_line(const struct tiers *tiers, const struct range *range, int m);
static struct range *least_range(struct tiers *tiers);
static const struct range *range_of_best(struct tiers *tiers);
static bool is_near(const struct tiers *tiers, int64_t bound);

int tiers_solve(const struct reduced *reduced, const struct shape *shape,
                const struct tiers_options *options, struct arena *arena, int *choice,
                struct tiers_result *ret_result, struct error *err)
{
    struct tiers tiers = {.reduced = reduced,
                          .shape = shape,
                          .options = options,
                          .arena = arena,
                          .choice = choice,
                          .cost = (int64_t)problem_cost(reduced->problem, choice)};
    tiers.most = options->ranges_max > 0 ? options->ranges_max : RANGES_USUAL;
    tiers.most = tiers.most < RANGES_MAX ? tiers.most : RANGES_MAX;
    *ret_result = (struct tiers_result){.cost = tiers.cost, .bound = INT64_MIN};
    arena_init(&tiers.work, BYTES_MAX);
    int rc = open_session(&tiers, err);
    if (rc == 0 && tiers.session != NULL) {
        rc = climb(&tiers, ret_result, err);
    }
    engine_session_destroy(tiers.session);
    arena_done(&tiers.work);
    return rc;
}

/* No session: it is not for this. */
static int open_session(struct tiers *tiers, struct error *err)
{
    const struct shape *shape = tiers->shape;
    size_t parts = (size_t)tiers->reduced->parts + 1;
    int *cells = arena_array(tiers->arena, parts, sizeof(int));
    tiers->trial = arena_array(tiers->arena, parts, sizeof(int));
    tiers->range = arena_array(tiers->arena, (size_t)tiers->most + 1, sizeof(*tiers->range));
    tiers->volume =
        arena_array(tiers->arena, (size_t)tiers->reduced->meter_count + 1, sizeof(nusd));
    if (cells == NULL || tiers->trial == NULL || tiers->range == NULL || tiers->volume == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for ranges of volumes");
    }
    int rc = reduce_lines_create(tiers->reduced, tiers->arena, &tiers->lines, err);
    if (rc < 0) {
        return rc;
    }
    shape_cells(shape, tiers->choice, cells);
    struct engine_session_options options = {
        .gap = fmax(RANGE_SHARE * tiers->options->gap, GAP_LEAST),
        .gap_poor = INFINITY, /* what is known is enough: nothing is left to the engine */
        .price = tiers->options->price,
        .start = cells};
    struct error refused = {0};
    rc = engine_session_create(&shape->grid, &options, &tiers->session, &refused);
    return rc == ERR_NO_MEMORY ? error_set(err, rc, 0, "%s", refused.text) : 0;
}

/* Divides what proves least until that is enough, or cannot be divided. */
static int climb(struct tiers *tiers, struct tiers_result *result, struct error *err)
{
    int rc = range_add(tiers, NULL, err);
    rc = rc == 0 ? evaluate(tiers, &tiers->range[0], err) : rc;
    bool follows = engine_session_counts(tiers->session).cold == 0;
    while (rc == 0) {
        struct range *least = least_range(tiers);
        int64_t border = 0;
        int meter = meter_to_divide(tiers, least, &border);
        result->bound = least->bound;
        bool done = meter < 0 || tiers->count + 2 > tiers->most;
        if (is_near(tiers, least->bound) || (done && least->searched) || !follows ||
            !watch_goes_on(tiers->options->watch)) {
            break;
        }
        rc = done ? search(tiers, least, err) : divide(tiers, least, meter, border, err);
    }
    result->cost = tiers->cost;
    result->price = range_of_best(tiers)->price;
    result->ranges = tiers->count;
    return rc == ERR_UNSUPPORTED ? 0 : rc; /* amounts too large for a grid: what is known stands */
}

static int range_add(struct tiers *tiers, const struct range *from, struct error *err)
{
    const struct reduced *reduced = tiers->reduced;
    size_t meters = (size_t)reduced->meter_count;
    size_t rows = (size_t)tiers->shape->grid.sites * (size_t)tiers->shape->grid.resources;
    struct range *range = &tiers->range[tiers->count];
    range->low = arena_array(tiers->arena, meters + 1, sizeof(*range->low));
    range->high = arena_array(tiers->arena, meters + 1, sizeof(*range->high));
    range->line = arena_array(tiers->arena, meters + 1, sizeof(*range->line));
    range->volume = arena_array(tiers->arena, meters + 1, sizeof(*range->volume));
    range->price = arena_array(tiers->arena, rows + 1, sizeof(*range->price));
    if (range->low == NULL || range->high == NULL || range->line == NULL || range->volume == NULL ||
        range->price == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for ranges of %zu meters", meters);
    }
    for (size_t m = 0; m < meters; m++) {
        range->low[m] = from != NULL ? from->low[m] : reduced->meters[m].volume_min;
        range->high[m] = from != NULL ? from->high[m] : reduced->meters[m].volume_max;
    }
    range->bound = from != NULL ? from->bound : INT64_MIN;
    tiers->count++;
    return 0;
}

/* What the session makes of a range: its bound, and its placement as a candidate. */
static int evaluate(struct tiers *tiers, struct range *range, struct error *err)
{
    struct shape shape;
    struct engine_result answer;
    int rc = range_grid(tiers, range, &shape, err);
    rc = rc == 0 ? engine_session_solve(tiers->session, &shape.grid, &tiers->work, &answer, err)
                 : rc;
    if (rc == 0) {
        take(tiers, range, &shape, &answer);
    }
    return rc;
}

/* The grid with the lines of a range. */
static int range_grid(struct tiers *tiers, struct range *range, struct shape *ret_shape,
                      struct error *err)
{
    struct reduced *reduced = &tiers->lined;
    arena_reset(&tiers->work);
    for (int m = 0; m < tiers->reduced->meter_count; m++) {
        const struct problem_meter *meter = meter_of(tiers, m);
        range->line[m].intercept =
            reduce_line(meter, range->low[m], range->high[m], &range->line[m].slope);
    }
    int rc = reduce_lines_set(tiers->lines, range->line, &tiers->work, reduced, err);
    return rc == 0 ? shape_build_like(reduced, tiers->shape, &tiers->work, ret_shape, err) : rc;
}

static void take(struct tiers *tiers, struct range *range, const struct shape *shape,
                 const struct engine_result *answer)
{
    size_t rows = (size_t)shape->grid.sites * (size_t)shape->grid.resources;
    double bound = floor(answer->bound);
    if (fabs(bound) < 0x1p61) {
        int64_t here = shape->constant + (int64_t)bound;
        range->bound = here > range->bound ? here : range->bound;
    }
    if (answer->price != NULL) {
        memcpy(range->price, answer->price, rows * sizeof(double));
    }
    shape_choice(shape, answer->choice, tiers->trial);
    reduce_lines_volume(tiers->lines, tiers->trial, range->volume);
    consider(tiers);
}

/* Goes on with a range where there is nothing more to divide. */
static int search(struct tiers *tiers, struct range *range, struct error *err)
{
    struct shape shape;
    struct engine_result answer;
    int rc = range_grid(tiers, range, &shape, err);
    if (rc < 0) {
        return rc;
    }
    shape_cells(&shape, tiers->choice, tiers->trial);
    struct engine_options options = {.seed = 1,
                                     .gap = fmax(tiers->options->gap, GAP_LEAST),
                                     .moves_max = tiers->options->moves_max,
                                     .price = range->price,
                                     .start = tiers->trial,
                                     .progress = on_progress,
                                     .context = tiers->options->watch};
    rc = engine_solve(&shape.grid, &options, &tiers->work, &answer, err);
    if (rc == 0 && (answer.status == SOLVE_OPTIMAL || answer.status == SOLVE_FEASIBLE)) {
        take(tiers, range, &shape, &answer);
    }
    range->searched = true;
    return rc;
}

static bool on_progress(void *context, double bound, double best)
{
    (void)bound;
    (void)best;
    return watch_told(context, NAN, NAN);
}

/* Takes the trial when it keeps the rules and is cheaper. */
static void consider(struct tiers *tiers)
{
    const struct problem *problem = tiers->reduced->problem;
    nusd cost = problem_cost(problem, tiers->trial);
    if (cost < tiers->cost && problem_broken_rule(problem, tiers->trial) < 0) {
        tiers->cost = (int64_t)cost;
        memcpy(tiers->choice, tiers->trial, (size_t)problem->part_count * sizeof(int));
    }
}

/* One half takes the range's place. */
static int divide(struct tiers *tiers, struct range *range, int meter, int64_t border,
                  struct error *err)
{
    struct range *upper = &tiers->range[tiers->count];
    int rc = range_add(tiers, range, err);
    if (rc < 0) {
        return rc;
    }
    upper->low[meter] = border;
    range->high[meter] = border;
    rc = evaluate(tiers, range, err);
    return rc == 0 ? evaluate(tiers, upper, err) : rc;
}

/* Whose charge is furthest above its line; -1: none has an end of a tier within the range. */
static int meter_to_divide(const struct tiers *tiers, const struct range *range,
                           int64_t *ret_border)
{
    int found = -1;
    nusd most = 0;
    for (int m = 0; m < tiers->reduced->meter_count; m++) {
        const struct problem_meter *meter = meter_of(tiers, m);
        nusd volume = range->volume[m];
        nusd above = above_line(tiers, range, m);
        nusd nearest = -1;
        for (int tier = 0; tier + 1 < meter->tier_count && above > most; tier++) {
            nusd end = (nusd)meter->up_to_bytes[tier] - meter->base_bytes;
            nusd distance = end > volume ? end - volume : volume - end;
            if (end > range->low[m] && end < range->high[m] &&
                (nearest < 0 || distance < nearest)) {
                nearest = distance;
                *ret_border = (int64_t)end;
                found = m;
            }
        }
        most = nearest >= 0 ? above : most;
    }
    return found;
}

static const struct problem_meter *meter_of(const struct tiers *tiers, int m)
{
    return &tiers->reduced->problem->meters[tiers->reduced->meters[m].meter];
}

/* What a meter charges for the volume of the range's placement, above the line. */
static nusd above_line(const struct tiers *tiers, const struct range *range, int m)
{
    const struct problem_meter *meter = meter_of(tiers, m);
    nusd line =
        (nusd)range->line[m].slope * range->volume[m] / meter->per_bytes + range->line[m].intercept;
    return meter_charge(meter, (int64_t)range->volume[m]) - line;
}

static struct range *least_range(struct tiers *tiers)
{
    struct range *least = &tiers->range[0];
    for (int i = 1; i < tiers->count; i++) {
        least = tiers->range[i].bound < least->bound ? &tiers->range[i] : least;
    }
    return least;
}

/* The range that the best placement's volumes are in. */
static const struct range *range_of_best(struct tiers *tiers)
{
    const struct range *found = &tiers->range[0];
    nusd *volume = tiers->volume;
    reduce_lines_volume(tiers->lines, tiers->choice, volume);
    for (int i = 0; i < tiers->count; i++) {
        const struct range *range = &tiers->range[i];
        bool within = true;
        for (int m = 0; m < tiers->reduced->meter_count && within; m++) {
            within = volume[m] >= range->low[m] && volume[m] <= range->high[m];
        }
        found = within ? range : found;
    }
    return found;
}

static bool is_near(const struct tiers *tiers, int64_t bound)
{
    nusd off = (nusd)tiers->cost - bound;
    return off <= solve_tolerance(tiers->cost, 0) ||
           (double)off <= tiers->options->gap * fabs((double)tiers->cost);
}
