/* Ties go to where things are. */
#include "model/solve/solve.h"

/* Up to this many parts any two are tried together; among more, two that are linked. */
#define ANY_TWO_MAX 64
/* What an estimate in doubles may be off, beside a billionth of itself. */
#define SLACK_NUSD 1000.0

struct home {
    const struct problem *problem;
    int *choice;
    nusd cost;
    int **pairs; /* [part]: the pairs it is in */
    int *pair_count;
    double *price; /* [meter]: nano-dollars per byte where its total is now */
};

static int lists_make(struct home *home, struct arena *arena);
static void prices_set(struct home *home);
static bool is_away(const struct home *home, int part);
static void estimate(const struct home *home, int part, double *more, double *size);
static double uses_price(const struct home *home, const struct problem_use *use, int use_count,
                         size_t cell);
static bool try_home(struct home *home, int a, int b);
static bool try_two(struct home *home, int a, int b);

void solve_stay(const struct problem *problem, struct arena *arena, int *choice)
{
    struct home home = {
        .problem = problem, .choice = choice, .cost = problem_cost(problem, choice)};
    if (lists_make(&home, arena) < 0) {
        return; /* an answer without this is right as well */
    }
    prices_set(&home);
    for (bool moved = true; moved;) {
        moved = false;
        for (int a = 0; a < problem->part_count; a++) {
            moved = (is_away(&home, a) && try_home(&home, a, a)) || moved;
        }
        for (int i = 0; i < problem->pair_count; i++) {
            moved = try_two(&home, problem->pairs[i].a, problem->pairs[i].b) || moved;
        }
        for (int a = 0; a < problem->part_count && problem->part_count <= ANY_TWO_MAX; a++) {
            for (int b = a + 1; b < problem->part_count; b++) {
                moved = try_two(&home, a, b) || moved;
            }
        }
    }
}

static int lists_make(struct home *home, struct arena *arena)
{
    const struct problem *problem = home->problem;
    size_t parts = (size_t)problem->part_count + 1;
    int *slots = arena_array(arena, 2 * (size_t)problem->pair_count + 1, sizeof(int));
    home->pairs = arena_array(arena, parts, sizeof(*home->pairs));
    home->pair_count = arena_array(arena, parts, sizeof(*home->pair_count));
    home->price = arena_array(arena, (size_t)problem->meter_count + 1, sizeof(*home->price));
    if (slots == NULL || home->pairs == NULL || home->pair_count == NULL || home->price == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < problem->pair_count; i++) {
        home->pair_count[problem->pairs[i].a]++;
        home->pair_count[problem->pairs[i].b]++;
    }
    for (int part = 0; part < problem->part_count; part++) {
        home->pairs[part] = slots;
        slots += home->pair_count[part];
        home->pair_count[part] = 0;
    }
    for (int i = 0; i < problem->pair_count; i++) {
        int a = problem->pairs[i].a;
        int b = problem->pairs[i].b;
        home->pairs[a][home->pair_count[a]++] = i;
        home->pairs[b][home->pair_count[b]++] = i;
    }
    return 0;
}

/* The price of each meter's last byte. */
static void prices_set(struct home *home)
{
    const struct problem *problem = home->problem;
    for (int m = 0; m < problem->meter_count; m++) {
        home->price[m] = (double)problem->meters[m].base_bytes; /* its total, at first */
    }
    for (int i = 0; i < problem->part_count + problem->pair_count; i++) {
        const struct problem_use *use;
        size_t cell;
        size_t slots;
        if (i < problem->part_count) {
            use = problem->parts[i].use;
            slots = use == NULL ? 0 : (size_t)problem->parts[i].use_count;
            cell = (size_t)home->choice[i];
        } else {
            const struct problem_pair *pair = &problem->pairs[i - problem->part_count];
            use = pair->use;
            slots = use == NULL ? 0 : (size_t)pair->use_count;
            cell = problem_cell(problem, pair->b, home->choice[pair->a], home->choice[pair->b]);
        }
        for (size_t k = 0; k < slots; k++) {
            const struct problem_use *slot = &use[cell * slots + k];
            if (slot->meter >= 0) {
                home->price[slot->meter] += (double)slot->bytes;
            }
        }
    }
    for (int m = 0; m < problem->meter_count; m++) {
        const struct problem_meter *meter = &problem->meters[m];
        int tier = 0;
        while (tier + 1 < meter->tier_count && (double)meter->up_to_bytes[tier] < home->price[m]) {
            tier++;
        }
        home->price[m] = (double)meter->price_nusd[tier] / (double)meter->per_bytes;
    }
}

static bool is_away(const struct home *home, int part)
{
    int current = home->problem->parts[part].current;
    return current >= 0 && current != home->choice[part];
}

/* Adds what going home costs, seen with the prices of the last bytes: most of it costs something,
 * and its exact cost need not be asked for. */
static void estimate(const struct home *home, int part, double *more, double *size)
{
    const struct problem *problem = home->problem;
    const struct problem_part *own = &problem->parts[part];
    int from = home->choice[part];
    int to = own->current;
    double step = (double)own->cost[to] - (double)own->cost[from];
    step += uses_price(home, own->use, own->use_count, (size_t)to) -
            uses_price(home, own->use, own->use_count, (size_t)from);
    *more += step;
    *size += step < 0 ? -step : step;
    for (int k = 0; k < home->pair_count[part]; k++) {
        const struct problem_pair *pair = &problem->pairs[home->pairs[part][k]];
        bool is_a = pair->a == part;
        int other = home->choice[is_a ? pair->b : pair->a];
        size_t was = is_a ? problem_cell(problem, pair->b, from, other)
                          : problem_cell(problem, pair->b, other, from);
        size_t is = is_a ? problem_cell(problem, pair->b, to, other)
                         : problem_cell(problem, pair->b, other, to);
        step = (double)pair->cost[is] - (double)pair->cost[was];
        step += uses_price(home, pair->use, pair->use_count, is) -
                uses_price(home, pair->use, pair->use_count, was);
        *size += step < 0 ? -step : step;
        *more += step;
    }
}

static double uses_price(const struct home *home, const struct problem_use *use, int use_count,
                         size_t cell)
{
    double sum = 0;
    size_t slots = use == NULL ? 0 : (size_t)use_count;
    for (size_t k = 0; k < slots; k++) {
        const struct problem_use *slot = &use[cell * slots + k];
        sum += slot->meter >= 0 ? home->price[slot->meter] * (double)slot->bytes : 0;
    }
    return sum;
}

/* Two parts, or one twice, go home if that costs nothing and keeps the rules. */
static bool try_home(struct home *home, int a, int b)
{
    const struct problem *problem = home->problem;
    int away_a = home->choice[a];
    int away_b = home->choice[b];
    double more = 0;
    double size = 0;
    estimate(home, a, &more, &size);
    home->choice[a] = problem->parts[a].current;
    if (a != b) {
        estimate(home, b, &more, &size);
    }
    home->choice[b] = problem->parts[b].current;
    if (more <= SLACK_NUSD + size * 1e-9 && problem_cost(problem, home->choice) <= home->cost &&
        problem_broken_rule(problem, home->choice) < 0) {
        home->cost = problem_cost(problem, home->choice);
        return true;
    }
    home->choice[b] = away_b;
    home->choice[a] = away_a;
    return false;
}

static bool try_two(struct home *home, int a, int b)
{
    return is_away(home, a) && is_away(home, b) && try_home(home, a, b);
}
