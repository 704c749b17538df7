/* Apps with cycles at many sites, short of room: sites are filled with whole apps' columns. What is
 * found keeps all, is near the bound, is the same on one thread and two; an early end, a start that
 * is better, refused memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/solve/primal.h"
#include "tests/property/grid_gen.h"
#include "tests/property/plan_check.h"

#define PARTS 300
#define FEW   60
#define SITES 40
/* Two apps fill a site of this grid, and nearly all rows bind. */
#define GAP_MOST 0.025

struct rig {
    struct arena arena;
    struct grid grid;
    struct dual_result dual;
};

static void rig_create(struct rig *rig, uint64_t seed, int parts)
{
    struct grid_shape shape = {.seed = seed,
                               .parts = parts,
                               .sites = SITES,
                               .resources = 2,
                               .app_parts = 5,
                               .chord_percent = 60,
                               .capacity_percent = 150,
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

static void near_the_bound(void **state)
{
    (void)state;
    struct rig rig;
    rig_create(&rig, 1, PARTS);
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

/* Half of what is needed: nothing is found, and nobody waits for it long. */
static void too_little_room(void **state)
{
    (void)state;
    struct rig rig;
    rig_create(&rig, 3, FEW);
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
    rig_create(&rig, 4, FEW);
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
    rig_create(&rig, 5, FEW);
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
        cmocka_unit_test(near_the_bound),
        cmocka_unit_test(too_little_room),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(memory_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
