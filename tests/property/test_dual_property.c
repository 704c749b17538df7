/* Bounds against every assignment of small grids, of every shape that a grid may have; prices
 * against GLPK's on small ones without links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glpk.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/solve/dual_cells.h"
#include "model/solve/dual_climb.h"
#include "tests/property/grid_gen.h"
#include "tests/property/problem_gen.h"

#define ARENA_BYTES ((size_t)256 << 20)
#define PARTS_MAX   7

/* A grid of few parts, with everything that a grid may have drawn by chance. */
struct small {
    struct grid grid;
    size_t first[PARTS_MAX + 1];
    uint16_t site[64];
    int64_t base[PARTS_MAX];
    int64_t unit[PARTS_MAX];
    uint32_t cost[64];
    int32_t demand[64 * 2];
    int64_t capacity[8];
    struct grid_link link[PARTS_MAX * PARTS_MAX];
    struct grid_table table[PARTS_MAX * PARTS_MAX];
    uint32_t value[PARTS_MAX * PARTS_MAX * 16];
    int current[PARTS_MAX];
};

static void small_cells(struct small *small, struct gen_random *random)
{
    struct grid *grid = &small->grid;
    bool free = gen_chance(random, 50);
    size_t cells = 0;
    for (int part = 0; part < grid->parts; part++) {
        small->first[part] = cells;
        cells += free ? 1 + gen_below(random, 4) : (size_t)grid->sites;
    }
    small->first[grid->parts] = cells;
    for (size_t i = 0; i < cells; i++) {
        small->site[i] = (uint16_t)gen_below(random, (uint64_t)grid->sites);
        small->cost[i] = gen_chance(random, 10) ? GRID_CLOSED : (uint32_t)gen_below(random, 1000);
        small->cost[i] = gen_chance(random, 2) ? GRID_CLOSED - 1 : small->cost[i];
    }
    for (size_t i = 0; i < cells * (size_t)grid->resources; i++) {
        small->demand[i] = (int32_t)gen_below(random, 10);
    }
    grid->first = free ? small->first : NULL;
    grid->site = free ? small->site : NULL;
    grid->cost = small->cost;
    grid->demand = small->demand;
    grid->cell_demand = gen_chance(random, 30) ? small->demand : NULL;
    for (int part = 0; part < grid->parts; part++) {
        small->base[part] = (int64_t)gen_below(random, 2000) - 1000;
        small->unit[part] = 1 + (int64_t)gen_below(random, 5);
        small->current[part] = (int)gen_below(random, (uint64_t)grid_cells(grid, part) + 1) - 1;
    }
    grid->base = gen_chance(random, 50) ? small->base : NULL;
    grid->unit = gen_chance(random, 50) ? small->unit : NULL;
    grid->current = gen_chance(random, 50) ? small->current : NULL;
    for (int row = 0; row < grid->sites * grid->resources; row++) {
        small->capacity[row] = gen_chance(random, 20) ? INT64_MAX : (int64_t)gen_below(random, 40);
    }
    grid->capacity = small->capacity;
}

static void small_links(struct small *small, struct gen_random *random, int percent)
{
    struct grid *grid = &small->grid;
    for (int b = 1; b < grid->parts; b++) {
        for (int a = 0; a < b; a++) {
            if (!gen_chance(random, percent)) {
                continue;
            }
            bool flip = gen_chance(random, 50);
            int i = grid->links;
            struct grid_link *link = &small->link[i];
            *link = (struct grid_link){.a = flip ? b : a, .b = flip ? a : b, .table = i};
            link->base = (int64_t)gen_below(random, 200) - 100;
            link->scale = gen_chance(random, 10) ? 0 : (int64_t)gen_below(random, 9) - 3;
            struct grid_table *table = &small->table[i];
            table->by_site = gen_chance(random, 60);
            table->rows = table->by_site ? grid->sites : grid_cells(grid, link->a);
            table->columns = table->by_site ? grid->sites : grid_cells(grid, link->b);
            uint32_t *value = small->value + (size_t)i * 16;
            for (int k = 0; k < table->rows * table->columns; k++) {
                value[k] = gen_chance(random, 10) ? GRID_CLOSED : (uint32_t)gen_below(random, 300);
            }
            table->value = value;
            grid->links++;
        }
    }
    grid->tables = grid->links;
    grid->link = small->link;
    grid->table = small->table;
}

static void small_gen(struct small *small, uint64_t seed, int links_percent)
{
    struct gen_random random;
    gen_seed(&random, seed);
    memset(small, 0, sizeof(*small));
    small->grid.parts = 1 + (int)gen_below(&random, PARTS_MAX);
    small->grid.sites = 1 + (int)gen_below(&random, 4);
    small->grid.resources = (int)gen_below(&random, 3);
    small_cells(small, &random);
    if (links_percent > 0) {
        small_links(small, &random, links_percent);
    }
}

static bool next(const struct grid *grid, int *choice)
{
    for (int part = 0; part < grid->parts; part++) {
        if (++choice[part] < grid_cells(grid, part)) {
            return true;
        }
        choice[part] = 0;
    }
    return false;
}

/* The least of all assignments: with capacities; and without them but with prices. */
struct best {
    bool possible; /* some assignment has no closed cell or pair */
    bool found;    /* and keeps the capacities */
    int64_t cost;
    double priced;
};

static struct best brute(const struct grid *grid, const double *price)
{
    struct best best = {.priced = INFINITY};
    int choice[PARTS_MAX] = {0};
    int64_t load[8];
    static const int64_t none[8];
    do {
        struct grid open = *grid;
        int64_t unlimited[8];
        for (int i = 0; i < 8; i++) {
            unlimited[i] = INT64_MAX;
        }
        open.capacity = unlimited;
        if (grid_broken(&open, none, choice) > 0) {
            continue;
        }
        best.possible = true;
        grid_load_of(grid, choice, load);
        int64_t cost = grid_cost_of(grid, choice);
        double priced = (double)cost;
        for (int row = 0; row < grid->sites * grid->resources; row++) {
            priced += price[row] * ((double)load[row] - (double)grid->capacity[row]);
        }
        best.priced = priced < best.priced ? priced : best.priced;
        if (grid_broken(grid, load, choice) == 0 && (!best.found || cost < best.cost)) {
            best.found = true;
            best.cost = cost;
        }
    } while (next(grid, choice));
    return best;
}

/* Parts and links so few that every app is added up exactly: the bound at any prices is the least
 * priced sum, but for rounding that is never upward. */
static void bound_at_any_prices(void **state)
{
    (void)state;
    static struct small small;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        small_gen(&small, seed, (int)(seed % 4) * 30);
        const struct grid *grid = &small.grid;
        struct error err = {0};
        assert_int_equal(grid_check(grid, &err), 0);
        struct gen_random random;
        gen_seed(&random, seed + 1000000);
        double price[8] = {0};
        for (int row = 0; row < 8; row++) {
            price[row] = gen_chance(&random, 50) && small.capacity[row] < INT64_MAX
                             ? (double)gen_below(&random, 100000) / 777
                             : 0;
        }
        struct arena arena;
        arena_init(&arena, ARENA_BYTES);
        int choice[PARTS_MAX] = {0};
        double bound;
        assert_int_equal(dual_bound(grid, price, 1, &arena, choice, &bound, &err), 0);
        struct best best = brute(grid, price);
        assert_true(best.possible == (bound < INFINITY));
        if (best.possible) {
            /* Sums of a few terms below 1e11 in double precision. */
            assert_true(bound <= best.priced + 1e-15 * fabs(best.priced));
            assert_true(bound >= best.priced - 1e-3);
            assert_true(!best.found || bound <= (double)best.cost);
            double priced = (double)grid_cost_of(grid, choice);
            int64_t load[8];
            grid_load_of(grid, choice, load);
            for (int row = 0; row < grid->sites * grid->resources; row++) {
                priced += price[row] * ((double)load[row] - (double)small.capacity[row]);
            }
            assert_true(fabs(priced - best.priced) < 1e-3);
        }
        arena_done(&arena);
    }
}

/* Whatever dual_solve finds is below the optimum, is what dual_bound says of its prices, and is no
 * worse than no prices at all. */
static void solved_below_the_optimum(void **state)
{
    (void)state;
    static struct small small;
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        small_gen(&small, seed, (int)(seed % 4) * 30);
        const struct grid *grid = &small.grid;
        struct error err = {0};
        struct arena arena;
        arena_init(&arena, ARENA_BYTES);
        struct dual_options options = {.threads = 1};
        struct dual_result result;
        assert_int_equal(dual_solve(grid, &options, &arena, &result, &err), 0);
        static const double none[8];
        struct best best = brute(grid, none);
        assert_true(best.possible == result.possible);
        if (best.possible) {
            double bound;
            double start;
            assert_int_equal(dual_bound(grid, result.price, 1, &arena, NULL, &bound, &err), 0);
            assert_int_equal(dual_bound(grid, none, 1, &arena, NULL, &start, &err), 0);
            assert_true(bound == result.bound);
            assert_true(bound >= start - 1e-12 * (1 + fabs(start)));
            assert_true(result.fits || !best.found);
            assert_true(!best.found || result.bound <= (double)best.cost);
        }
        arena_done(&arena);
    }
}

#define CLIQUE_PARTS 7
#define CLIQUE_SITES 40

/* Every part linked to every other: an assignment that no single move improves. */
static double descend(const struct grid *grid, struct gen_random *random)
{
    int choice[CLIQUE_PARTS];
    for (int part = 0; part < grid->parts; part++) {
        choice[part] = (int)gen_below(random, (uint64_t)grid->sites);
    }
    int64_t least = grid_cost_of(grid, choice);
    for (bool better = true; better;) {
        better = false;
        for (int part = 0; part < grid->parts; part++) {
            for (int cell = 0; cell < grid->sites; cell++) {
                int before = choice[part];
                choice[part] = cell;
                int64_t cost = grid_cost_of(grid, choice);
                better = better || cost < least;
                choice[part] = cost < least ? cell : before;
                least = cost < least ? cost : least;
            }
        }
    }
    return (double)least;
}

/* Tables too large to add up: copies of parts that need not agree give a bound that is below every
 * assignment, and above what the parts cost alone. */
static void cliques_are_bounded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct grid_shape shape = {.seed = seed,
                                   .parts = CLIQUE_PARTS,
                                   .sites = CLIQUE_SITES,
                                   .resources = 1,
                                   .app_parts = CLIQUE_PARTS};
        struct arena arena;
        arena_init(&arena, ARENA_BYTES);
        struct grid grid;
        struct error err = {0};
        assert_true(grid_gen(&shape, &arena, &grid));
        struct gen_random random;
        gen_seed(&random, seed);
        struct grid_link link[CLIQUE_PARTS * CLIQUE_PARTS];
        grid.links = 0;
        for (int b = 1; b < CLIQUE_PARTS; b++) {
            for (int a = 0; a < b; a++) {
                link[grid.links++] = (struct grid_link){
                    .a = a, .b = b, .base = 7, .scale = 1 + (int64_t)gen_below(&random, 50)};
            }
        }
        grid.link = link;
        static const double none[CLIQUE_SITES];
        double bound;
        double alone;
        assert_int_equal(dual_bound(&grid, none, 2, &arena, NULL, &bound, &err), 0);
        struct grid parts = grid;
        parts.links = 0;
        assert_int_equal(dual_bound(&parts, none, 1, &arena, NULL, &alone, &err), 0);
        assert_true(bound >= alone);
        for (int i = 0; i < 20; i++) {
            assert_true(bound <= descend(&grid, &random));
        }
        arena_done(&arena);
    }
}

#define WIDE_PARTS         4
#define WIDE_SITES         24
#define WIDE_EXACT_PERCENT 80

/* A table over all parts of one app, which has more cells than one may have: by links of random
 * tables. */
static void wide_links(struct grid *grid, struct gen_random *random, struct grid_link *link,
                       struct grid_table *table, uint32_t *value)
{
    size_t cells = (size_t)grid->sites * (size_t)grid->sites;
    uint32_t dearest = 1 + (uint32_t)gen_below(random, 1000000);
    grid->links = 0;
    for (int b = 1; b < grid->parts; b++) {
        for (int a = 0; a < b; a++, value += cells) {
            for (size_t i = 0; i < cells; i++) {
                value[i] =
                    gen_chance(random, 5) ? GRID_CLOSED : (uint32_t)gen_below(random, dearest);
            }
            table[grid->links] = (struct grid_table){.by_site = gen_chance(random, 50),
                                                     .rows = grid->sites,
                                                     .columns = grid->sites,
                                                     .value = value};
            link[grid->links] = (struct grid_link){.a = a,
                                                   .b = b,
                                                   .table = grid->links,
                                                   .base = 7,
                                                   .scale = (int64_t)gen_below(random, 9) - 2};
            grid->links++;
        }
    }
    grid->link = link;
    grid->table = table;
    grid->tables = grid->links;
}

/* The least of all assignments of a grid of WIDE_PARTS parts, as dual_bound counts them. */
static double wide_brute(const struct grid *grid, const double *price)
{
    static double own[WIDE_PARTS][WIDE_SITES];
    static double pair[WIDE_PARTS][WIDE_PARTS][WIDE_SITES][WIDE_SITES];
    double paid = 0;
    for (int part = 0; part < WIDE_PARTS; part++) {
        for (int c = 0; c < WIDE_SITES; c++) {
            own[part][c] =
                grid_cost_raw(grid, part, c) == GRID_CLOSED
                    ? INFINITY
                    : (double)grid_cost(grid, part, c) + price[c] * grid_demand(grid, part, c)[0];
        }
    }
    for (int site = 0; site < WIDE_SITES; site++) {
        paid += price[site] * (double)grid->capacity[site];
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        for (int a = 0; a < WIDE_SITES; a++) {
            for (int b = 0; b < WIDE_SITES; b++) {
                uint32_t value = grid_link_raw(grid, link, a, b);
                pair[link->a][link->b][a][b] =
                    value == GRID_CLOSED ? INFINITY
                                         : (double)link->base + (double)link->scale * (double)value;
            }
        }
    }
    double least = INFINITY;
    int at[WIDE_PARTS] = {0};
    for (int i = 0; i < WIDE_SITES * WIDE_SITES * WIDE_SITES * WIDE_SITES; i++) {
        double sum = 0;
        for (int b = 0, rest = i; b < WIDE_PARTS; b++, rest /= WIDE_SITES) {
            at[b] = rest % WIDE_SITES;
            sum += own[b][at[b]];
            for (int a = 0; a < b; a++) {
                sum += pair[a][b][at[a]][at[b]];
            }
        }
        least = fmin(least, sum);
    }
    return least - paid;
}

/* Apps too wide for one table: never above the least assignment; and where dividing them ended in
 * time, which it nearly always does at this size, the least itself. */
static void wide_apps_against_every_assignment(void **state)
{
    (void)state;
    static uint32_t value[WIDE_PARTS * WIDE_PARTS * WIDE_SITES * WIDE_SITES];
    int exact = 0;
    int seeds = 40;
    for (int seed = 1; seed <= seeds; seed++) {
        struct grid_shape shape = {.seed = (uint64_t)seed,
                                   .parts = WIDE_PARTS,
                                   .sites = WIDE_SITES,
                                   .resources = 1,
                                   .app_parts = 1,
                                   .closed_percent = 20,
                                   .capacity_percent = 120};
        struct arena arena;
        arena_init(&arena, ARENA_BYTES);
        struct grid grid;
        struct gen_random random;
        struct error err = {0};
        struct grid_link link[WIDE_PARTS * WIDE_PARTS];
        struct grid_table table[WIDE_PARTS * WIDE_PARTS];
        assert_true(grid_gen(&shape, &arena, &grid));
        gen_seed(&random, (uint64_t)seed);
        wide_links(&grid, &random, link, table, value);
        assert_int_equal(grid_check(&grid, &err), 0);
        double price[WIDE_SITES];
        for (int site = 0; site < WIDE_SITES; site++) {
            price[site] = gen_chance(&random, 50) ? (double)gen_below(&random, 100000) / 777 : 0;
        }
        double bound;
        int choice[WIDE_PARTS];
        assert_int_equal(dual_bound(&grid, price, 1, &arena, choice, &bound, &err), 0);
        double least = wide_brute(&grid, price);
        assert_true(bound <= least + 1e-12 * fabs(least));
        exact += bound >= least - 1e-9 * fabs(least);
        arena_done(&arena);
    }
    assert_in_range(exact, seeds * WIDE_EXACT_PERCENT / 100, seeds);
}

/* Prices that were found over few cells of each part prove as much as those found over all. */
static void few_cells_prove_as_much(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct grid_shape shape = {.seed = seed,
                                   .parts = 120,
                                   .sites = 40,
                                   .resources = 2,
                                   .app_parts = 5,
                                   .chord_percent = 60,
                                   .capacity_percent = 130,
                                   .closed_percent = (int)seed * 5};
        struct arena arena;
        arena_init(&arena, ARENA_BYTES);
        struct grid grid;
        struct error err = {0};
        struct dual_options options = {.threads = 1};
        assert_true(grid_gen(&shape, &arena, &grid));
        size_t rows = (size_t)grid.sites * 2 + 1;
        struct dual_result few;
        struct dual_result all = {.possible = true, .part = -1, .fits = true};
        all.price = arena_array(&arena, rows, sizeof(double));
        all.choice = arena_array(&arena, (size_t)grid.parts, sizeof(int));
        struct dual dual;
        assert_int_equal(dual_begin(&grid, 1, &arena, &dual, &err), 0);
        assert_int_equal(dual_scale_init(&dual, &err), 0);
        assert_true(dual_cells_pay(&dual));
        assert_int_equal(dual_climb(&dual, &options, &all, &err), 0);
        dual_end(&dual, &arena);
        assert_int_equal(dual_solve(&grid, &options, &arena, &few, &err), 0);
        double bound;
        assert_int_equal(dual_bound(&grid, few.price, 1, &arena, NULL, &bound, &err), 0);
        assert_true(bound == few.bound);
        assert_true(few.bound >= all.bound - 1e-4 * fabs(all.bound));
        arena_done(&arena);
    }
}

/* The linear relaxation whole: a column per open cell, a row per part and per capacity. */
static double relaxation(const struct grid *grid)
{
    glp_prob *lp = glp_create_prob();
    int rows = grid->sites * grid->resources;
    glp_add_rows(lp, grid->parts + rows);
    for (int part = 0; part < grid->parts; part++) {
        glp_set_row_bnds(lp, part + 1, GLP_FX, 1, 1);
    }
    for (int row = 0; row < rows; row++) {
        bool limited = grid->capacity[row] < INT64_MAX;
        glp_set_row_bnds(lp, grid->parts + row + 1, limited ? GLP_UP : GLP_FR, 0,
                         (double)grid->capacity[row] / 1000);
    }
    for (int part = 0; part < grid->parts; part++) {
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            if (grid_cost_raw(grid, part, cell) == GRID_CLOSED) {
                continue;
            }
            int column = glp_add_cols(lp, 1);
            int index[1 + LIMIT_RESOURCES + 1] = {0, part + 1};
            double value[1 + LIMIT_RESOURCES + 1] = {0, 1};
            for (int r = 0; r < grid->resources; r++) {
                index[2 + r] = grid->parts + grid_site(grid, part, cell) * grid->resources + r + 1;
                value[2 + r] = grid_demand(grid, part, cell)[r] / 1000.0;
            }
            glp_set_col_bnds(lp, column, GLP_LO, 0, 0);
            glp_set_obj_coef(lp, column, (double)grid_cost(grid, part, cell) / 1e6);
            glp_set_mat_col(lp, column, 1 + grid->resources, index, value);
        }
    }
    glp_smcp options;
    glp_init_smcp(&options);
    options.msg_lev = GLP_MSG_OFF;
    options.meth = GLP_DUALP;
    options.tol_bnd = 1e-10;
    options.tol_dj = 1e-10;
    double least = NAN;
    if (glp_simplex(lp, &options) == 0 && glp_get_status(lp) == GLP_OPT) {
        least = glp_get_obj_val(lp) * 1e6;
    }
    glp_delete_prob(lp);
    return least;
}

/* Without links, the best prices prove what the linear relaxation does. */
static void bound_is_the_relaxation(void **state)
{
    (void)state;
    static const struct grid_shape shapes[] = {
        {.seed = 1, .parts = 60, .sites = 5, .resources = 1, .capacity_percent = 115},
        {.seed = 2, .parts = 150, .sites = 6, .resources = 3, .capacity_percent = 120},
        {.seed = 3, .parts = 150, .sites = 8, .resources = 2, .capacity_percent = 105},
        {.seed = 4, .parts = 200, .sites = 5, .resources = 2, .capacity_percent = 150},
        {.seed = 5, .parts = 200, .sites = 6, .resources = 4, .capacity_percent = 115},
        {.seed = 6, .parts = 120, .sites = 10, .resources = 2, .capacity_percent = 400},
        {.seed = 7, .parts = 10, .sites = 3, .resources = 1, .capacity_percent = 140},
    };
    for (size_t i = 0; i < 2 * sizeof(shapes) / sizeof(*shapes); i++) {
        struct grid_shape shape = shapes[i / 2];
        shape.app_parts = 1;
        shape.discrete = i % 2 == 1;
        shape.closed_percent = i % 2 == 1 ? 0 : 20;
        struct arena arena;
        arena_init(&arena, ARENA_BYTES);
        struct grid grid;
        struct error err = {0};
        assert_true(grid_gen(&shape, &arena, &grid));
        struct dual_options options = {.threads = 1};
        struct dual_result result;
        assert_int_equal(dual_solve(&grid, &options, &arena, &result, &err), 0);
        double least = relaxation(&grid);
        if (isnan(least)) {
            assert_false(result.fits);
        } else {
            assert_true(result.fits);
            assert_true(fabs(result.bound - least) <= 1e-9 * fabs(least));
        }
        arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bound_at_any_prices),
        cmocka_unit_test(solved_below_the_optimum),
        cmocka_unit_test(cliques_are_bounded),
        cmocka_unit_test(wide_apps_against_every_assignment),
        cmocka_unit_test(few_cells_prove_as_much),
        cmocka_unit_test(bound_is_the_relaxation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
