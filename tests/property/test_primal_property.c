/* Small grids of every shape against all of their assignments: what is found keeps everything, is
 * counted right, and is mostly the optimum itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/solve/dual_columns.h"
#include "model/solve/primal.h"
#include "tests/property/grid_gen.h"
#include "tests/property/plan_check.h"
#include "tests/property/problem_gen.h"

#define SEEDS     300
#define PARTS_MAX 6
#define SITES_MAX 4
#define CELLS_MAX 5

/* A grid and what it points at. */
struct sample {
    struct grid grid;
    size_t first[PARTS_MAX + 1];
    uint16_t site[PARTS_MAX * CELLS_MAX];
    int64_t base[PARTS_MAX];
    int64_t unit[PARTS_MAX];
    uint32_t cost[PARTS_MAX * CELLS_MAX];
    int32_t demand[PARTS_MAX * 2];
    int32_t cell_demand[PARTS_MAX * CELLS_MAX * 2];
    int64_t capacity[SITES_MAX * 2];
    struct grid_link link[PARTS_MAX * PARTS_MAX];
    struct grid_table table[PARTS_MAX * PARTS_MAX];
    uint32_t value[PARTS_MAX * PARTS_MAX][CELLS_MAX * CELLS_MAX];
    int current[PARTS_MAX];
    /* The dual, by enumeration. */
    double price[SITES_MAX * 2];
    int choice[PARTS_MAX];
};

/* Long: one grid from the first random number to the last, whose order is the sample. */
static void make(uint64_t seed, struct sample *s)
{
    struct gen_random random;
    gen_seed(&random, seed);
    memset(s, 0, sizeof(*s));
    struct grid *grid = &s->grid;
    *grid = (struct grid){.parts = 2 + (int)gen_below(&random, PARTS_MAX - 1),
                          .sites = 1 + (int)gen_below(&random, SITES_MAX),
                          .resources = 1 + (int)gen_below(&random, 2),
                          .cost = s->cost,
                          .demand = s->demand,
                          .capacity = s->capacity,
                          .link = s->link,
                          .table = s->table};
    size_t resources = (size_t)grid->resources;
    bool listed = gen_chance(&random, 50);
    int64_t total[2] = {0};
    for (int part = 0; part < grid->parts; part++) {
        int cells = listed ? 1 + (int)gen_below(&random, CELLS_MAX) : grid->sites;
        s->first[part + 1] = s->first[part] + (size_t)cells;
        s->base[part] = (int64_t)gen_below(&random, 100) - 50;
        s->unit[part] = 1 + (int64_t)gen_below(&random, 3);
        for (size_t r = 0; r < resources; r++) {
            s->demand[(size_t)part * resources + r] = (int32_t)gen_below(&random, 10);
        }
        for (size_t cell = s->first[part]; cell < s->first[part + 1]; cell++) {
            bool shut = gen_chance(&random, 15) && cell > s->first[part];
            s->site[cell] = (uint16_t)gen_below(&random, (uint64_t)grid->sites);
            s->cost[cell] = shut ? GRID_CLOSED : (uint32_t)gen_below(&random, 100);
            for (size_t r = 0; r < resources; r++) {
                s->cell_demand[cell * resources + r] = (int32_t)gen_below(&random, 10);
            }
        }
        for (size_t r = 0; r < resources; r++) {
            total[r] += s->demand[(size_t)part * resources + r];
        }
        s->current[part] = gen_chance(&random, 50) ? (int)gen_below(&random, (uint64_t)cells) : -1;
    }
    grid->first = listed ? s->first : NULL;
    grid->site = listed ? s->site : NULL;
    grid->base = gen_chance(&random, 50) ? s->base : NULL;
    grid->unit = gen_chance(&random, 50) ? s->unit : NULL;
    grid->cell_demand = listed && gen_chance(&random, 40) ? s->cell_demand : NULL;
    grid->current = gen_chance(&random, 50) ? s->current : NULL;
    for (size_t row = 0; row < (size_t)grid->sites * resources; row++) {
        int64_t share = total[row % resources] / grid->sites + 1;
        s->capacity[row] = gen_chance(&random, 10)
                               ? INT64_MAX
                               : share + (int64_t)gen_below(&random, (uint64_t)share + 4);
    }
    int shape = (int)gen_below(&random, 3); /* singles, a forest, anything */
    for (int b = 1; b < grid->parts && shape > 0; b++) {
        for (int a = 0; a < b; a++) {
            bool joined =
                shape == 1 ? a == b - 1 - (int)gen_below(&random, 2) : gen_chance(&random, 40);
            if (!joined || (shape == 1 && grid->links > 0 && s->link[grid->links - 1].b == b)) {
                continue;
            }
            struct grid_table *table = &s->table[grid->tables];
            bool by_site = gen_chance(&random, 50);
            *table = (struct grid_table){.by_site = by_site,
                                         .rows = by_site ? grid->sites : grid_cells(grid, a),
                                         .columns = by_site ? grid->sites : grid_cells(grid, b),
                                         .value = s->value[grid->tables]};
            for (int i = 0; i < table->rows * table->columns; i++) {
                s->value[grid->tables][i] =
                    gen_chance(&random, 8) ? GRID_CLOSED : (uint32_t)gen_below(&random, 60);
            }
            s->link[grid->links++] =
                (struct grid_link){.a = a,
                                   .b = b,
                                   .table = grid->tables++,
                                   .base = (int64_t)gen_below(&random, 20) - 10,
                                   .scale = (int64_t)gen_below(&random, 5) - 1};
        }
    }
}

/* Goes through all assignments; at prices, for the least of cost + price * load among those
 * without closed cells and pairs; without, for the cheapest that keeps all. */
static bool enumerate(const struct sample *s, const double *price, int *ret_choice,
                      double *ret_least)
{
    const struct grid *grid = &s->grid;
    int at[PARTS_MAX] = {0};
    int64_t load[SITES_MAX * 2];
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    bool found = false;
    double least = INFINITY;
    for (int part = 0; part < grid->parts;) {
        grid_load_of(grid, at, load);
        int64_t broken = grid_broken(grid, load, at);
        double value = (double)grid_cost_of(grid, at);
        for (size_t row = 0; row < rows && price != NULL; row++) {
            value += price[row] * (double)load[row];
            broken -= load[row] > grid->capacity[row];
        }
        if (broken == 0 && value < least) {
            least = value;
            found = true;
            memcpy(ret_choice, at, sizeof(at));
        }
        for (part = 0; part < grid->parts && ++at[part] == grid_cells(grid, part); part++) {
            at[part] = 0;
        }
    }
    *ret_least = least;
    return found;
}

/* A few subgradient steps: prices that are neither nothing nor perfect. */
static struct dual_result dual_of(struct sample *s)
{
    const struct grid *grid = &s->grid;
    struct dual_result dual = {.part = -1, .price = s->price, .choice = s->choice};
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    for (int turn = 0; turn < 6; turn++) {
        double least;
        dual.possible = enumerate(s, s->price, s->choice, &least);
        if (!dual.possible) {
            return dual;
        }
        int64_t load[SITES_MAX * 2];
        grid_load_of(grid, s->choice, load);
        dual.bound = least;
        for (size_t row = 0; row < rows; row++) {
            if (grid->capacity[row] != INT64_MAX) {
                dual.bound -= s->price[row] * (double)grid->capacity[row];
                double next =
                    s->price[row] + 0.7 * (double)(load[row] - grid->capacity[row]) / (turn + 1);
                s->price[row] = turn < 5 ? fmax(next, 0) : s->price[row];
            }
        }
    }
    return dual;
}

static void against_all(void **state)
{
    (void)state;
    int possible = 0;
    int found = 0;
    int optimal = 0;
    int within = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct arena arena;
        arena_init(&arena, 64 << 20);
        struct sample s;
        make(seed, &s);
        struct error err = {0};
        assert_int_equal(grid_check(&s.grid, &err), 0);
        struct dual_result dual = dual_of(&s);
        struct primal_options options = {.threads = 1 + (int)(seed % 2), .seed = seed};
        options.moves_max = 10000;
        struct primal_result result;
        assert_int_equal(primal_solve(&s.grid, &dual, &options, &arena, &result, &err), 0);
        int best[PARTS_MAX];
        double least;
        bool any = enumerate(&s, NULL, best, &least);
        assert_true(any || !result.found);
        assert_true(result.found || !dual.possible || result.over > 0);
        possible += any;
        if (result.found) {
            char why[PLAN_WHY_BYTES];
            struct plan_claim claim = {
                .choice = result.choice, .cost = result.cost, .bound = -INFINITY};
            if (!plan_check_grid(&s.grid, &claim, why)) {
                fail_msg("%s", why);
            }
            assert_true((double)result.cost >= least);
            found++;
            optimal += (double)result.cost <= least;
            within += (double)result.cost <= least + 0.05 * fabs(least) + 1;
        }
        arena_done(&arena);
    }
    printf("%d grids, %d possible, %d found, %d optimal, %d within 5 %%\n", SEEDS, possible, found,
           optimal, within);
    assert_true(possible > SEEDS / 2);
    assert_true(found * 100 >= possible * 98);
    assert_true(optimal * 100 >= possible * 90);
    assert_true(within * 100 >= possible * 93);
}

static int app_of(const struct grid *grid, int part, int *parts)
{
    bool in[PARTS_MAX] = {false};
    in[part] = true;
    for (int turn = 0; turn < grid->parts; turn++) {
        for (int i = 0; i < grid->links; i++) {
            bool joined = in[grid->link[i].a] || in[grid->link[i].b];
            in[grid->link[i].a] = joined;
            in[grid->link[i].b] = joined;
        }
    }
    int count = 0;
    for (int i = 0; i < grid->parts; i++) {
        if (in[i]) {
            parts[count++] = i;
        }
    }
    return count;
}

/* What an app's assignment costs at the prices; INFINITY: something in it is closed. */
static double app_cost(const struct sample *s, const int *parts, int count, const int *cell)
{
    const struct grid *grid = &s->grid;
    double cost = 0;
    int at[PARTS_MAX];
    memset(at, -1, sizeof(at));
    for (int k = 0; k < count; k++) {
        at[parts[k]] = cell[k];
        const int32_t *demand = grid_demand(grid, parts[k], cell[k]);
        size_t row = (size_t)grid_site(grid, parts[k], cell[k]) * (size_t)grid->resources;
        cost += (double)grid_cost(grid, parts[k], cell[k]);
        for (size_t r = 0; r < (size_t)grid->resources; r++) {
            cost += s->price[row + r] * (double)demand[r];
        }
        if (grid_cost_raw(grid, parts[k], cell[k]) == GRID_CLOSED) {
            return INFINITY;
        }
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        if (at[link->a] < 0) {
            continue;
        }
        uint32_t value = grid_link_raw(grid, link, at[link->a], at[link->b]);
        if (value == GRID_CLOSED) {
            return INFINITY;
        }
        cost += (double)link->base + (double)link->scale * (double)value;
    }
    return cost;
}

/* The columns of one app against all of its assignments. Returns how many there are. */
static int check_app(const struct sample *s, const struct dual_columns *columns, int app,
                     const int *parts, int count, int each_max)
{
    const struct grid *grid = &s->grid;
    int first = columns->first[app];
    int listed = columns->first[app + 1] - first;
    assert_true(listed >= 1 && listed <= each_max);
    double least = app_cost(s, parts, count, columns->cell + columns->cell_at[first]);
    double last = columns->excess[first + listed - 1];
    for (int i = 0; i < listed; i++) {
        const int *cell = columns->cell + columns->cell_at[first + i];
        double excess = app_cost(s, parts, count, cell) - least;
        assert_true(fabs(excess - columns->excess[first + i]) < 1e-6 * (1 + fabs(excess)));
        assert_true(i == 0 || columns->excess[first + i] >= columns->excess[first + i - 1]);
        for (int k = 0; k < i; k++) {
            const int *other = columns->cell + columns->cell_at[first + k];
            assert_memory_not_equal(cell, other, (size_t)count * sizeof(int));
        }
    }
    int at[PARTS_MAX] = {0};
    int cheaper = 0;
    int within = 0;
    for (int k = 0; k < count;) {
        double excess = app_cost(s, parts, count, at) - least;
        assert_true(excess > -1e-6);
        cheaper += excess < last - 1e-6;
        within += excess <= columns->limit * (1 - 1e-9) - 1e-6;
        for (k = 0; k < count && ++at[k] == grid_cells(grid, parts[k]); k++) {
            at[k] = 0;
        }
    }
    assert_true(cheaper <= listed);
    /* Only an app with too many was cut. */
    assert_true(within <= listed || within > each_max);
    return within;
}

/* What each app may as well do is listed whole, once each and by its cost; or the cheapest of it,
 * where it is too much. */
static void all_near_listed(void **state)
{
    (void)state;
    int cut = 0;
    int whole = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct arena arena;
        arena_init(&arena, 64 << 20);
        struct sample s;
        make(seed, &s);
        struct dual_result dual = dual_of(&s);
        struct dual_columns_options options = {.wanted = (double)(seed * seed * seed % 10000),
                                               .each_max = seed % 2 == 0 ? 6 : 700};
        struct dual_columns columns;
        struct error err = {0};
        assert_int_equal(dual_columns_list(&s.grid, dual.price, &options, &arena, &columns, &err),
                         0);
        assert_true(dual.possible == (columns.apps > 0));
        int apps = 0;
        for (int part = 0; part < s.grid.parts && columns.apps > 0; part++) {
            int parts[PARTS_MAX];
            int count = app_of(&s.grid, part, parts);
            if (parts[0] == part) {
                int within = check_app(&s, &columns, apps++, parts, count, options.each_max);
                cut += within > options.each_max;
                whole += within > 1 && within <= options.each_max;
            }
        }
        assert_int_equal(apps, columns.apps);
        arena_done(&arena);
    }
    printf("%d apps cut, %d listed whole\n", cut, whole);
    assert_true(cut > 50 && whole > 50);
}

/* Apps of linked parts with tight capacities: the same on one thread and two, near the bound, and
 * at an end when it is near enough. */
static void linked_apps(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct arena arena;
        arena_init(&arena, (size_t)256 << 20);
        struct grid_shape shape = {.seed = seed,
                                   .parts = 400,
                                   .sites = 6,
                                   .resources = 1 + (int)(seed % 3),
                                   .app_parts = 5 + (int)seed,
                                   .chord_percent = seed % 2 == 0 ? 40 : 0,
                                   .capacity_percent = 115,
                                   .closed_percent = 20,
                                   .discrete = seed > 4};
        struct grid grid;
        struct error err = {0};
        assert_true(grid_gen(&shape, &arena, &grid));
        struct dual_options prices = {.threads = 1};
        struct dual_result dual;
        assert_int_equal(dual_solve(&grid, &prices, &arena, &dual, &err), 0);
        struct primal_result result[3];
        for (int i = 0; i < 3; i++) {
            struct primal_options options = {.threads = 1 + (i & 1), .seed = seed};
            options.moves_max = 1000;
            options.gap = i == 2 ? 0.03 : 0;
            assert_int_equal(primal_solve(&grid, &dual, &options, &arena, &result[i], &err), 0);
            assert_true(result[i].found);
            int64_t load[18];
            grid_load_of(&grid, result[i].choice, load);
            assert_int_equal(grid_broken(&grid, load, result[i].choice), 0);
            assert_int_equal(grid_cost_of(&grid, result[i].choice), result[i].cost);
            assert_true((double)result[i].cost >= dual.bound);
        }
        assert_int_equal(result[0].cost, result[1].cost);
        assert_memory_equal(result[0].choice, result[1].choice, (size_t)grid.parts * sizeof(int));
        double gap = ((double)result[0].cost - dual.bound) / dual.bound;
        printf("seed %d: gap %.2e\n", (int)seed, gap);
        assert_true(gap < 0.01);
        assert_true((double)result[2].cost <= 1.03 * dual.bound);
        assert_true(result[2].moves < result[0].moves);
        arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_all),
                                       cmocka_unit_test(all_near_listed),
                                       cmocka_unit_test(linked_apps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
