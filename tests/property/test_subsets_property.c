/*
 * Partition by subsets against brute force on small grids whose costs fall apart by site, with
 * capacities, closed cells, pins and parts that may not meet; against a convolution site by site on
 * larger ones, with the tree forced; what does not have the shape is refused, and so is what is too
 * large; a budget that ends early leaves a true bound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model/solve/engine.h"
#include "model/solve/subsets.h"
#include "tests/property/grid_gen.h"
#include "tests/property/plan_check.h"
#include "tests/property/problem_gen.h"

#define SEEDS     300
#define PARTS_MAX 12

static struct arena arena;

struct shape {
    int parts;
    int sites;
    int resources;
    int closed_percent;
    int apart_percent; /* of the links: a site where the two may not meet */
    int room_percent;  /* at all sites together */
};

/* A table that is a[k] + b[l] but for its diagonal, of whole numbers from `from` on. */
static struct grid_table table_of(struct gen_random *random, const struct shape *shape)
{
    int sites = shape->sites;
    uint32_t *value = arena_array(&arena, (size_t)(sites * sites), sizeof(*value));
    uint32_t a[16];
    uint32_t b[16];
    for (int k = 0; k < sites; k++) {
        a[k] = (uint32_t)gen_below(random, 50);
        b[k] = gen_chance(random, 50) ? 0 : (uint32_t)gen_below(random, 50);
    }
    for (int k = 0; k < sites; k++) {
        for (int l = 0; l < sites; l++) {
            value[k * sites + l] = k == l ? (uint32_t)gen_below(random, 40) : a[k] + b[l];
        }
    }
    if (gen_chance(random, shape->apart_percent)) {
        value[gen_below(random, (uint64_t)sites) * (uint64_t)(sites + 1)] = GRID_CLOSED;
    }
    return (struct grid_table){.by_site = true, .rows = sites, .columns = sites, .value = value};
}

static void add_links(struct gen_random *random, const struct shape *shape, struct grid *grid)
{
    int pairs = shape->parts * (shape->parts - 1) / 2;
    struct grid_link *link = arena_array(&arena, (size_t)pairs, sizeof(*link));
    struct grid_table *table = arena_array(&arena, (size_t)pairs, sizeof(*table));
    for (int a = 0; a < shape->parts; a++) {
        for (int b = 0; b < a; b++) {
            if (!gen_chance(random, 70)) {
                continue;
            }
            table[grid->links] = table_of(random, shape);
            link[grid->links] = (struct grid_link){.a = a,
                                                   .b = b,
                                                   .table = grid->links,
                                                   .base = (int64_t)gen_below(random, 100) - 50,
                                                   .scale = (int64_t)gen_below(random, 7) - 2};
            grid->links++;
        }
    }
    grid->tables = grid->links;
    grid->link = link;
    grid->table = table;
}

/* Every part keeps a cell at least; some sites are no cell at all, and some have no capacity. */
static struct grid make(uint64_t seed, const struct shape *shape)
{
    struct gen_random random;
    gen_seed(&random, seed);
    size_t most = (size_t)(shape->parts * shape->sites);
    size_t *first = arena_array(&arena, (size_t)shape->parts + 1, sizeof(*first));
    uint16_t *site = arena_array(&arena, most, sizeof(*site));
    uint32_t *cost = arena_array(&arena, most, sizeof(*cost));
    size_t resources = (size_t)shape->resources;
    int32_t *demand = arena_array(&arena, (size_t)shape->parts * resources + 1, sizeof(*demand));
    int64_t *capacity =
        arena_array(&arena, (size_t)shape->sites * resources + 1, sizeof(*capacity));
    int64_t total[LIMIT_RESOURCES] = {0};
    size_t count = 0;
    for (int part = 0; part < shape->parts; part++) {
        int kept = (int)gen_below(&random, (uint64_t)shape->sites);
        first[part] = count;
        for (int k = 0; k < shape->sites; k++) {
            bool shut = k != kept && gen_chance(&random, shape->closed_percent);
            if (!shut || gen_chance(&random, 50)) {
                site[count] = (uint16_t)k;
                cost[count++] = shut ? GRID_CLOSED : (uint32_t)gen_below(&random, 300);
            }
        }
        for (size_t r = 0; r < resources; r++) {
            demand[(size_t)part * resources + r] = (int32_t)gen_below(&random, 10);
            total[r] += demand[(size_t)part * resources + r];
        }
    }
    first[shape->parts] = count;
    for (size_t row = 0; row < (size_t)shape->sites * resources; row++) {
        int64_t fair = total[row % resources] * shape->room_percent / 100 / shape->sites;
        capacity[row] = gen_chance(&random, 10) ? INT64_MAX : fair + (int64_t)gen_below(&random, 6);
    }
    struct grid grid = {.parts = shape->parts,
                        .sites = shape->sites,
                        .resources = shape->resources,
                        .first = first,
                        .site = site,
                        .cost = cost,
                        .demand = demand,
                        .capacity = capacity};
    add_links(&random, shape, &grid);
    struct error err = {0};
    if (grid_check(&grid, &err) < 0) {
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
    }
    return grid;
}

static struct subsets_result solve(const struct grid *grid, const struct subsets_options *options)
{
    struct subsets_result result;
    struct error err = {0};
    if (subsets_solve(grid, options, &arena, &result, &err) < 0) {
        fail_msg("%s", err.text);
    }
    char why[PLAN_WHY_BYTES];
    struct plan_claim claim = {
        .choice = result.choice, .cost = result.cost, .bound = (double)result.bound};
    if (result.fits && result.found && !plan_check_grid(grid, &claim, why)) {
        fail_msg("%s", why);
    }
    return result;
}

static struct shape small_shape(uint64_t seed)
{
    struct gen_random random;
    gen_seed(&random, seed + 77777);
    return (struct shape){.parts = 2 + (int)gen_below(&random, 6),
                          .sites = 1 + (int)gen_below(&random, 4),
                          .resources = (int)gen_below(&random, 3),
                          .closed_percent = (int)gen_below(&random, 40),
                          .apart_percent = (int)gen_below(&random, 60),
                          .room_percent = 90 + (int)gen_below(&random, 150)};
}

static void the_optimum(void **state)
{
    (void)state;
    int infeasible = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct shape shape = small_shape(seed);
        struct grid grid = make(seed, &shape);
        int64_t best = grid_brute(&grid);
        for (size_t most = 0; most < 3; most += 2) { /* covers of all, and of next to none */
            struct subsets_options options = {.covered_max = most};
            struct subsets_result result = solve(&grid, &options);
            assert_true(result.fits && result.proven);
            assert_int_equal(result.found, best != INT64_MAX);
            assert_true(!result.found || (result.cost == best && result.bound == best));
            assert_true(result.sets >= shape.sites && result.nodes > 0 && result.work > 0);
            infeasible += !result.found;
        }
        arena_reset(&arena);
    }
    assert_true(infeasible > 10);
}

/* cost[site][parts] of sets that fit; the best of all divisions, by convolution. */
static int64_t convolve(const struct grid *grid)
{
    size_t sets = (size_t)1 << grid->parts;
    int64_t *least = arena_array(&arena, sets, sizeof(*least));
    int64_t *next = arena_array(&arena, sets, sizeof(*next));
    int64_t *here = arena_array(&arena, sets, sizeof(*here));
    for (size_t set = 0; set < sets; set++) {
        least[set] = set == 0 ? 0 : INT64_MAX;
    }
    for (int site = 0; site < grid->sites; site++) {
        for (size_t set = 0; set < sets; set++) {
            next[set] = INT64_MAX;
            here[set] = 0;
            int64_t load = 0;
            for (int part = 0; part < grid->parts; part++) {
                if (set >> part & 1) {
                    load += grid->demand[part];
                    here[set] += grid_cost(grid, part, site);
                }
            }
            for (int i = 0; i < grid->links; i++) {
                const struct grid_link *link = &grid->link[i];
                bool a = set >> link->a & 1;
                bool b = set >> link->b & 1;
                /* Paid where the first one is when they are apart: by the source's price. */
                uint32_t raw = grid_link_raw(grid, link, site, a && b ? site : !site);
                here[set] += a ? link->base + link->scale * (int64_t)raw : 0;
            }
            here[set] = load <= grid->capacity[site] ? here[set] : INT64_MAX;
        }
        for (size_t set = 0; set < sets; set++) {
            for (size_t sub = set;; sub = (sub - 1) & set) {
                if (here[sub] < INT64_MAX && least[set & ~sub] < INT64_MAX) {
                    int64_t sum = here[sub] + least[set & ~sub];
                    next[set] = sum < next[set] ? sum : next[set];
                }
                if (sub == 0) {
                    break;
                }
            }
        }
        memcpy(least, next, sets * sizeof(*least));
    }
    return least[sets - 1];
}

/* Traffic between all, paid at the source's price unless both are at one site: flat egress. */
static struct grid egress(uint64_t seed)
{
    struct gen_random random;
    gen_seed(&random, seed);
    struct grid_shape shape = {.seed = seed,
                               .parts = PARTS_MAX,
                               .sites = 3 + (int)gen_below(&random, 3),
                               .resources = 1,
                               .app_parts = PARTS_MAX,
                               .capacity_percent = 120 + (int)gen_below(&random, 60)};
    struct grid grid;
    assert_true(grid_gen(&shape, &arena, &grid));
    size_t sites = (size_t)grid.sites;
    uint32_t *value = arena_array(&arena, sites * sites, sizeof(*value));
    struct grid_table *table = arena_array(&arena, 1, sizeof(*table));
    struct grid_link *link = arena_array(&arena, PARTS_MAX * PARTS_MAX, sizeof(*link));
    for (size_t k = 0; k < sites; k++) {
        uint32_t price = 1 + (uint32_t)gen_below(&random, 20);
        for (size_t l = 0; l < sites; l++) {
            value[k * sites + l] = k == l ? 0 : price;
        }
    }
    *table = (struct grid_table){
        .by_site = true, .rows = grid.sites, .columns = grid.sites, .value = value};
    grid.links = 0;
    for (int a = 0; a < grid.parts; a++) {
        for (int b = 0; b < grid.parts; b++) {
            if ((a < b && gen_chance(&random, 60)) || (a > b && grid.links == 0)) {
                link[grid.links++] = (struct grid_link){
                    .a = a, .b = b, .scale = 1 + (int64_t)gen_below(&random, 100000)};
            }
        }
    }
    grid.link = link;
    grid.tables = 1;
    grid.table = table;
    return grid;
}

static void by_convolution(void **state)
{
    (void)state;
    int deep = 0;
    int found = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct grid grid = egress(seed);
        int64_t best = convolve(&grid);
        for (size_t i = 0; i < 3; i++) {
            static const size_t most[] = {0, 40, 5}; /* the fewer, the deeper the tree */
            struct subsets_options options = {.covered_max = most[i]};
            struct subsets_result result = solve(&grid, &options);
            assert_true(result.fits && result.proven);
            assert_int_equal(result.found, best != INT64_MAX);
            assert_true(!result.found || result.cost == best);
            deep += result.nodes > 3;
            found += result.found;
        }
        arena_reset(&arena);
    }
    assert_true(deep > 8 && found > 60);
}

/* The engine asks for it by itself, and its prices prove what they say. */
static void through_the_engine(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct grid grid = egress(seed);
        int64_t best = convolve(&grid);
        struct engine_options options = {.seed = 1};
        struct engine_result result;
        struct error err = {0};
        assert_int_equal(engine_solve(&grid, &options, &arena, &result, &err), 0);
        assert_int_equal(result.status, best == INT64_MAX ? SOLVE_INFEASIBLE : SOLVE_OPTIMAL);
        if (result.status == SOLVE_OPTIMAL) {
            char why[PLAN_WHY_BYTES];
            struct plan_claim claim = {.choice = result.choice,
                                       .cost = result.cost,
                                       .bound = result.bound,
                                       .price = result.price,
                                       .bound_priced = result.bound_priced};
            assert_true(result.cost == best);
            if (!plan_check_grid(&grid, &claim, why)) {
                fail_msg("%s", why);
            }
        }
        arena_reset(&arena);
    }
}

/* One entry off the diagonal that is one more: the sum of nothing. */
static void nearly_separable(void **state)
{
    (void)state;
    int refused = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct shape shape = small_shape(seed);
        shape.closed_percent = 0;
        shape.sites = shape.sites < 3 ? 3 : shape.sites;
        struct grid grid = make(seed, &shape);
        struct gen_random random;
        gen_seed(&random, seed);
        struct subsets_options options = {0};
        assert_true(solve(&grid, &options).fits);
        int at = grid.links > 0 ? (int)gen_below(&random, (uint64_t)grid.links) : -1;
        if (at >= 0 && grid.link[at].scale != 0) {
            uint32_t *value = (uint32_t *)grid.table[at].value;
            bool shut = gen_chance(&random, 20);
            uint32_t *one = &value[1 + gen_below(&random, (uint64_t)shape.sites)];
            if (one == &value[shape.sites + 1]) {
                one--; /* beside the diagonal */
            }
            *one = shut ? GRID_CLOSED : *one + 1;
            assert_false(solve(&grid, &options).fits);
            refused++;
        }
        arena_reset(&arena);
    }
    assert_true(refused > SEEDS / 2);
}

static void too_large(void **state)
{
    (void)state;
    struct grid grid = egress(3);
    struct subsets_options options = {.work_max = 1000};
    assert_false(solve(&grid, &options).fits); /* of sets, for the budget */
    options = (struct subsets_options){.sets_max = 100};
    assert_false(solve(&grid, &options).fits); /* for who asks */
    options.sets_max = 0;
    size_t kept = arena.bytes_max;
    arena.bytes_max = arena.bytes_used + 20000; /* nor for the memory */
    assert_false(solve(&grid, &options).fits);
    arena.bytes_max = kept;
    struct grid_shape shape = {
        .seed = 5, .parts = SUBSETS_PARTS + 1, .sites = 3, .app_parts = 4, .resources = 1};
    assert_true(grid_gen(&shape, &arena, &grid));
    assert_false(solve(&grid, &options).fits);
    shape.parts = 3;
    shape.sites = SUBSETS_SITES + 1;
    assert_true(grid_gen(&shape, &arena, &grid));
    assert_false(solve(&grid, &options).fits);
    /* Twenty-four parts that fit anywhere: 2^24 sets and more. */
    shape.parts = 24;
    shape.sites = 3;
    assert_true(grid_gen(&shape, &arena, &grid));
    grid.links = 0;
    assert_false(solve(&grid, &options).fits);
    /* Two cells of a part at one site. */
    static const size_t first[] = {0, 2, 3};
    static const uint16_t site[] = {0, 0, 0};
    static const uint32_t cost[] = {5, 4, 3};
    struct grid twice = {.parts = 2, .sites = 1, .first = first, .site = site, .cost = cost};
    assert_false(solve(&twice, &options).fits);
    static const size_t once[] = {0, 1, 2};
    twice.first = once;
    struct subsets_result result = solve(&twice, &options);
    assert_true(result.fits && result.proven && result.cost == 9);
    arena_reset(&arena);
}

/* However early it ends, the bound is one, and no memory is an error. */
static void a_budget(void **state)
{
    (void)state;
    int open = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct grid grid = egress(seed);
        int64_t best = convolve(&grid);
        for (int64_t work = 30000; work < 500000; work += work / 2) {
            struct subsets_options options = {.work_max = work, .covered_max = 5};
            struct subsets_result result = solve(&grid, &options);
            assert_true(!result.fits || result.bound <= best);
            assert_true(!result.fits || !result.found || result.cost >= best);
            assert_true(!result.fits || !result.proven || !result.found || result.cost == best);
            open += result.fits && !result.proven;
        }
        arena_reset(&arena);
    }
    assert_true(open > 10);
    struct grid grid = egress(1);
    struct subsets_options options = {0};
    for (int64_t after = 0;; after++) {
        struct subsets_result result = {0};
        struct error err = {0};
        arena.fail_after = after;
        int rc = subsets_solve(&grid, &options, &arena, &result, &err);
        arena.fail_after = -1;
        assert_true(rc == 0 || rc == ERR_NO_MEMORY);
        if (rc == 0 && result.fits) {
            break;
        }
    }
    arena_reset(&arena);
}

static bool never(void *context, double bound, double best)
{
    (void)bound;
    (void)best;
    ++*(int *)context;
    return false;
}

static void who_asks_may_stop_it(void **state)
{
    (void)state;
    struct grid grid = egress(1);
    int64_t best = convolve(&grid);
    int asked = 0;
    struct subsets_options options = {.covered_max = 5, .progress = never, .context = &asked};
    struct subsets_result result = solve(&grid, &options);
    assert_true(result.fits && asked == 1);
    assert_true(!result.proven && result.bound <= best);
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_optimum),
        cmocka_unit_test(by_convolution),
        cmocka_unit_test(through_the_engine),
        cmocka_unit_test(nearly_separable),
        cmocka_unit_test(too_large),
        cmocka_unit_test(a_budget),
        cmocka_unit_test(who_asks_may_stop_it),
    };
    arena_init(&arena, (size_t)1 << 30);
    int failed = cmocka_run_group_tests_name("subsets_property", tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
