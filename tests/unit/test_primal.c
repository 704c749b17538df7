/* The search on tiny grids whose answers are known, and its promises: ties stay, a start is kept,
 * the same bits on one thread and two, an early end, refused memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "model/solve/primal.h"
#include "tests/property/grid_gen.h"
#include "tests/property/plan_check.h"

/* Three parts of demand 2 at two sites with room for one and for two: by their costs all of them
 * want site 0. */
static const uint32_t cost[] = {1, 9, 2, 5, 1, 20};
static const int32_t demand[] = {2, 2, 2};
static const int64_t capacity[] = {3, 5};
static double price[] = {8, 0};
static int wish[] = {0, 1, 0};

static struct grid small(void)
{
    return (struct grid){.parts = 3,
                         .sites = 2,
                         .resources = 1,
                         .cost = cost,
                         .demand = demand,
                         .capacity = capacity};
}

/* At a price of 8 for site 0: the least of each part, 9 + 5 + 17, less 8 * 3. */
static struct dual_result small_dual(void)
{
    return (struct dual_result){
        .possible = true, .part = -1, .bound = 7, .price = price, .choice = wish};
}

static struct primal_result solve(const struct grid *grid, const struct dual_result *dual,
                                  const struct primal_options *options, struct arena *arena)
{
    struct primal_result result;
    struct error err = {0};
    assert_int_equal(primal_solve(grid, dual, options, arena, &result, &err), 0);
    if (result.found) {
        char why[PLAN_WHY_BYTES];
        struct plan_claim claim = {
            .choice = result.choice, .cost = result.cost, .bound = -INFINITY};
        if (!plan_check_grid(grid, &claim, why)) {
            fail_msg("%s", why);
        }
    }
    return result;
}

static void optimum(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 64 << 20);
    struct grid grid = small();
    struct dual_result dual = small_dual();
    struct primal_options options = {.seed = 1};
    struct primal_result result = solve(&grid, &dual, &options, &arena);
    /* The last one saves 19 at site 0, the others 8 and 3. */
    assert_true(result.found);
    assert_int_equal(result.cost, 9 + 5 + 1);
    assert_int_equal(result.choice[0], 1);
    assert_int_equal(result.choice[1], 1);
    assert_int_equal(result.choice[2], 0);
    arena_done(&arena);
}

/* A link that pays for being together, over a closed pair. */
static void linked(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 64 << 20);
    static const uint32_t apart[] = {0, GRID_CLOSED, 30, 0};
    static const struct grid_table table = {
        .by_site = true, .rows = 2, .columns = 2, .value = apart};
    static const struct grid_link link = {.a = 0, .b = 1, .scale = 1};
    static const int64_t room[] = {3, 6};
    static double free_price[] = {0, 0};
    static int together[] = {0, 0, 0};
    struct grid grid = small();
    grid.capacity = room;
    grid.links = 1;
    grid.link = &link;
    grid.tables = 1;
    grid.table = &table;
    struct dual_result dual = {
        .possible = true, .part = -1, .bound = 4, .price = free_price, .choice = together};
    struct primal_options options = {.seed = 1};
    struct primal_result result = solve(&grid, &dual, &options, &arena);
    assert_true(result.found); /* 0 and 1 together at site 1, the third one alone */
    assert_int_equal(result.cost, 9 + 5 + 1);
    arena_done(&arena);
}

static void too_little_room(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 64 << 20);
    static const int64_t little[] = {3, 3};
    struct grid grid = small();
    grid.capacity = little;
    struct dual_result dual = small_dual();
    struct primal_options options = {.seed = 1};
    struct primal_result result = solve(&grid, &dual, &options, &arena);
    assert_false(result.found);
    assert_int_equal(result.over, 1);
    dual.possible = false;
    assert_false(solve(&grid, &dual, &options, &arena).found);
    arena_done(&arena);
}

/* Everything costs the same everywhere, and there is room: who is somewhere stays. */
static void ties_stay(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 64 << 20);
    static const uint32_t same[] = {7, 7, 7, 7, 7, 7};
    static const int64_t room[] = {9, 9};
    static double none[] = {0, 0};
    static const int current[] = {1, -1, 0};
    static int elsewhere[] = {0, 0, 1};
    struct grid grid = small();
    grid.cost = same;
    grid.capacity = room;
    grid.current = current;
    struct dual_result dual = {
        .possible = true, .part = -1, .bound = 21, .price = none, .choice = elsewhere};
    struct primal_options options = {.seed = 1};
    struct primal_result result = solve(&grid, &dual, &options, &arena);
    assert_true(result.found);
    assert_int_equal(result.choice[0], 1);
    assert_int_equal(result.choice[2], 0);
    arena_done(&arena);
}

struct rig {
    struct arena arena;
    struct grid grid;
    struct dual_result dual;
};

static void rig_create(struct rig *rig, int parts, int app_parts)
{
    struct grid_shape shape = {.seed = 5,
                               .parts = parts,
                               .sites = 8,
                               .resources = 3,
                               .app_parts = app_parts,
                               .chord_percent = app_parts > 1 ? 30 : 0,
                               .capacity_percent = 125,
                               .closed_percent = 20};
    arena_init(&rig->arena, 512 << 20);
    assert_true(grid_gen(&shape, &rig->arena, &rig->grid));
    if (app_parts < 2) {
        struct error err = {0};
        struct dual_options options = {.threads = 1};
        assert_int_equal(dual_solve(&rig->grid, &options, &rig->arena, &rig->dual, &err), 0);
        return;
    }
    /* No prices, and where each part alone is cheapest: the poorest of duals. */
    rig->dual = (struct dual_result){.possible = true, .part = -1};
    rig->dual.price = arena_array(&rig->arena, 8 * 3, sizeof(double));
    rig->dual.choice = arena_array(&rig->arena, (size_t)parts, sizeof(int));
    assert_true(rig->dual.price != NULL && rig->dual.choice != NULL);
    for (int part = 0; part < parts; part++) {
        for (int cell = 1; cell < 8; cell++) {
            if (grid_cost_raw(&rig->grid, part, cell) <
                grid_cost_raw(&rig->grid, part, rig->dual.choice[part])) {
                rig->dual.choice[part] = cell;
            }
        }
    }
}

static void same_bits(void **state)
{
    (void)state;
    for (int app_parts = 1; app_parts < 9; app_parts += 7) {
        struct rig rig;
        rig_create(&rig, 400, app_parts);
        struct primal_options options = {.threads = 1, .seed = 3, .moves_max = 500};
        struct primal_result one = solve(&rig.grid, &rig.dual, &options, &rig.arena);
        options.threads = 2;
        struct primal_result two = solve(&rig.grid, &rig.dual, &options, &rig.arena);
        assert_true(one.found && two.found);
        assert_int_equal(one.cost, two.cost);
        assert_true(one.moves > 0 && one.moves <= two.moves && two.moves <= one.moves);
        assert_memory_equal(one.choice, two.choice, 400 * sizeof(int));
        arena_done(&rig.arena);
    }
}

/* A start is never made worse, however small the budget; a good enough one is not touched. */
static void start_kept(void **state)
{
    (void)state;
    struct rig rig;
    rig_create(&rig, 400, 1);
    struct primal_options options = {.seed = 3, .moves_max = 1000};
    struct primal_result good = solve(&rig.grid, &rig.dual, &options, &rig.arena);
    assert_true(good.found);
    options = (struct primal_options){.seed = 9, .moves_max = 5, .start = good.choice};
    struct primal_result again = solve(&rig.grid, &rig.dual, &options, &rig.arena);
    assert_true(again.found && again.cost <= good.cost);
    options.gap = 1;
    struct primal_result idle = solve(&rig.grid, &rig.dual, &options, &rig.arena);
    assert_true(idle.moves <= 0);
    assert_memory_equal(idle.choice, good.choice, 400 * sizeof(int));
    arena_done(&rig.arena);
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
    for (int threads = 1; threads <= 2; threads++) {
        struct rig rig;
        rig_create(&rig, 400, 1);
        int asked = 0;
        struct primal_options options = {.threads = threads,
                                         .seed = 3,
                                         .moves_max = 1e6,
                                         .progress = stop_at_once,
                                         .context = &asked};
        struct primal_result result = solve(&rig.grid, &rig.dual, &options, &rig.arena);
        assert_int_equal(asked, 1);
        assert_true(result.moves < 400 * 1e5);
        arena_done(&rig.arena);
    }
}

static void memory_refused(void **state)
{
    (void)state;
    for (int app_parts = 1; app_parts < 9; app_parts += 7) {
        struct rig rig;
        rig_create(&rig, 64, app_parts);
        struct primal_options options = {.seed = 1, .moves_max = 10};
        struct primal_result result;
        int refused = 0;
        for (;; refused++) {
            struct error err = {0};
            rig.arena.fail_after = refused;
            int rc = primal_solve(&rig.grid, &rig.dual, &options, &rig.arena, &result, &err);
            rig.arena.fail_after = -1;
            if (rc == 0) {
                break;
            }
            assert_int_equal(rc, ERR_NO_MEMORY);
            assert_non_null(strstr(err.text, "memory"));
            assert_true(refused < 500);
        }
        assert_true(refused > 10);
        arena_done(&rig.arena);
    }
}

static void options_refused(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct grid grid = small();
    struct dual_result dual = small_dual();
    struct primal_options options = {.gap = -1};
    struct primal_result result;
    struct error err = {0};
    assert_int_equal(primal_solve(&grid, &dual, &options, &arena, &result, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "gap -1"));
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optimum),         cmocka_unit_test(linked),
        cmocka_unit_test(same_bits),       cmocka_unit_test(too_little_room),
        cmocka_unit_test(ties_stay),       cmocka_unit_test(start_kept),
        cmocka_unit_test(cancelled),       cmocka_unit_test(memory_refused),
        cmocka_unit_test(options_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
