/* Apps with cycles at many sites, short of room: sites are filled with whole apps' columns. What is
 * found keeps all, is near the bound, is the same on one thread and two; an early end, a start that
 * is better, refused memory. And of the filling alone: what keeps all is never given up for what is
 * cheaper and breaks a capacity, however small the fine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/solve/primal_fill.h"
#include "model/solve/primal_search.h"
#include "tests/property/grid_gen.h"
#include "tests/property/plan_check.h"

#define PARTS  300
#define FEW    60
#define SITES  40
#define CHORDS 60
#define ROOMY  150 /* capacity, per cent of what is needed */
#define TIGHT  120
/* Seeds, and slices of work, in which fillings are watched; and columns of one app. */
#define WATCHED 6
#define SLICES  24
#define SLICE   4e5
#define COLUMNS 60
/* Two apps fill a site of this grid, and nearly all rows bind. */
#define GAP_MOST 0.025

struct rig {
    struct arena arena;
    struct grid grid;
    struct dual_result dual;
};

static void rig_create(struct rig *rig, uint64_t seed, int parts, int chord_percent,
                       int capacity_percent)
{
    struct grid_shape shape = {.seed = seed,
                               .parts = parts,
                               .sites = SITES,
                               .resources = 2,
                               .app_parts = 5,
                               .chord_percent = chord_percent,
                               .capacity_percent = capacity_percent,
                               .closed_percent = 10};
    struct error err = {0};
    struct dual_options options = {.threads = 1, .gap = 1e-5};
    arena_init(&rig->arena, (size_t)1 << 30);
    assert_true(grid_gen(&shape, &rig->arena, &rig->grid));
    assert_int_equal(dual_solve(&rig->grid, &options, &rig->arena, &rig->dual, &err), 0);
    assert_true(rig->dual.possible && rig->dual.fits);
}

static struct primal_result solve(struct rig *rig, const struct primal_options *options)
{
    struct primal_result result;
    struct error err = {0};
    assert_int_equal(primal_solve(&rig->grid, &rig->dual, options, &rig->arena, &result, &err), 0);
    if (result.found) {
        char why[PLAN_WHY_BYTES];
        struct plan_claim claim = {
            .choice = result.choice, .cost = result.cost, .bound = rig->dual.bound};
        if (!plan_check_grid(&rig->grid, &claim, why)) {
            fail_msg("%s", why);
        }
    }
    return result;
}

static void near_the_bound(int chord_percent)
{
    struct rig rig;
    rig_create(&rig, 1, PARTS, chord_percent, ROOMY);
    struct primal_options options = {.threads = 1, .seed = 1, .moves_max = 3e3};
    struct primal_result one = solve(&rig, &options);
    options.threads = 2;
    struct primal_result two = solve(&rig, &options);
    assert_true(one.found && two.found);
    assert_memory_equal(one.choice, two.choice, PARTS * sizeof(int));
    double gap = ((double)one.cost - rig.dual.bound) / fabs((double)one.cost);
    printf("gap %.2e\n", gap);
    assert_true(gap <= GAP_MOST);
    /* A better start stays, whatever time there is. */
    options = (struct primal_options){.seed = 7, .moves_max = 1, .start = one.choice};
    struct primal_result again = solve(&rig, &options);
    assert_true(again.found && again.cost <= one.cost);
    arena_done(&rig.arena);
}

static void graphs_near_the_bound(void **state)
{
    (void)state;
    near_the_bound(CHORDS);
}

/* Trees, whose columns are listed over all cells. */
static void trees_near_the_bound(void **state)
{
    (void)state;
    near_the_bound(0);
}

/* Half of what is needed: nothing is found, and nobody waits for it long. */
static void too_little_room(void **state)
{
    (void)state;
    struct rig rig;
    rig_create(&rig, 3, FEW, CHORDS, ROOMY);
    int64_t *little = arena_array(&rig.arena, (size_t)SITES * 2, sizeof(int64_t));
    assert_non_null(little);
    for (int row = 0; row < SITES * 2; row++) {
        little[row] = rig.grid.capacity[row] / 3;
    }
    rig.grid.capacity = little;
    struct primal_options options = {.threads = 2, .seed = 1, .moves_max = 1e3};
    struct primal_result result = solve(&rig, &options);
    assert_false(result.found);
    assert_true(result.over > 0);
    arena_done(&rig.arena);
}

/* A filling in slices. Returns the slice after which it first kept everything. */
static int watch(struct rig *rig, uint64_t seed)
{
    const struct grid *grid = &rig->grid;
    struct error err = {0};
    struct primal_options options = {.threads = 1, .seed = seed};
    struct primal primal = {.grid = grid,
                            .dual = &rig->dual,
                            .options = &options,
                            .arena = &rig->arena,
                            .work = &rig->arena,
                            .err = &err,
                            .threads = 1};
    struct primal_core core;
    struct primal_board *board;
    struct primal_fill *fill;
    int choice[PARTS + 1] = {0};
    int64_t load[SITES * 2 + 1] = {0};
    assert_int_equal(primal_prepare(&primal), 0);
    assert_int_equal(primal_prepare_columns(&primal), 0);
    assert_true(primal.columns.apps > 0);
    assert_int_equal(primal_cheapest(&primal, choice), 0);
    assert_int_equal(primal_core_build(&primal, choice, COLUMNS * grid->sites, &core), 0);
    assert_int_equal(primal_board_create(&core, &board), 0);
    assert_int_equal(primal_fill_create(board, seed, &fill), 0);
    int first = SLICES;
    int64_t cost = INT64_MAX;
    for (int slice = 0; slice < SLICES; slice++) {
        primal_fill_run(fill, SLICE, 0);
        bool fits = primal_fill_fits(fill);
        primal_fill_choice(fill, choice);
        grid_load_of(grid, choice, load);
        assert_int_equal(grid_broken(grid, load, choice) == 0, fits);
        assert_true(fits || first == SLICES);
        if (fits) {
            first = slice < first ? slice : first;
            assert_true(grid_cost_of(grid, choice) <= cost);
            cost = grid_cost_of(grid, choice);
        }
    }
    return first;
}

static void kept_once_it_fits(void **state)
{
    (void)state;
    int late = 0;
    int fitted = 0;
    for (uint64_t seed = 1; seed <= WATCHED; seed++) {
        struct rig rig;
        rig_create(&rig, seed, PARTS, 0, TIGHT);
        int first = watch(&rig, seed);
        printf("seed %d: fits after slice %d\n", (int)seed, first);
        late += first > 0 && first < SLICES;
        fitted += first < SLICES;
        arena_done(&rig.arena);
    }
    /* Most get there, and not all of them at once: else there was nothing to give up. */
    assert_true(fitted > WATCHED / 2);
    assert_true(late > 0);
}

static bool stop_at_once(void *context, double bound, double best)
{
    (void)bound;
    (void)best;
    (*(int *)context)++;
    return false;
}

static void cancelled(void **state)
{
    (void)state;
    struct rig rig;
    rig_create(&rig, 4, FEW, CHORDS, ROOMY);
    int asked = 0;
    struct primal_options options = {
        .threads = 2, .seed = 3, .progress = stop_at_once, .context = &asked};
    (void)solve(&rig, &options);
    assert_int_equal(asked, 1);
    arena_done(&rig.arena);
}

static void memory_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_create(&rig, 5, FEW, CHORDS, ROOMY);
    struct primal_options options = {.seed = 1, .moves_max = 1};
    struct primal_result result;
    int refused = 0;
    bool reached = true;
    for (int at = 0; reached; at += 1 + at / 8) {
        struct error err = {0};
        rig.arena.fail_after = at;
        int rc = primal_solve(&rig.grid, &rig.dual, &options, &rig.arena, &result, &err);
        reached = rig.arena.fail_after < 0;
        rig.arena.fail_after = -1;
        /* Lists that no memory was left for are done without. */
        assert_true(rc == 0 || rc == ERR_NO_MEMORY);
        assert_true(rc == 0 || strstr(err.text, "memory") != NULL);
        refused += rc < 0;
        assert_true(at < 2000);
    }
    assert_true(refused > 10);
    arena_done(&rig.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_near_the_bound),
        cmocka_unit_test(trees_near_the_bound),
        cmocka_unit_test(kept_once_it_fits),
        cmocka_unit_test(too_little_room),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(memory_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
