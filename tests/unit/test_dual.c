/* Bounds and prices worked by hand; what is refused; the same bits on one thread and on two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "model/solve/dual.h"
#include "tests/property/grid_gen.h"

#define ARENA_BYTES ((size_t)256 << 20)

/* Two parts that both prefer site 0, where only one fits: the cheaper one to move pays 3 for it. */
static const uint32_t cost[] = {1, 6, 2, 5};
static const int32_t demand[] = {1, 1};
static const int64_t capacity[] = {1, 5};

static struct grid pair(void)
{
    return (struct grid){.parts = 2,
                         .sites = 2,
                         .resources = 1,
                         .cost = cost,
                         .demand = demand,
                         .capacity = capacity};
}

static struct arena arena;

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, ARENA_BYTES);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static double bound_of(const struct grid *grid, const double *price, int *choice)
{
    struct error err = {0};
    double bound = NAN;
    assert_int_equal(dual_bound(grid, price, 1, &arena, choice, &bound, &err), 0);
    return bound;
}

/* Below by rounding only. */
static void just_below(double bound, double exact)
{
    assert_true(bound <= exact);
    assert_true(bound >= exact - 1e-12 * (1 + fabs(exact)));
}

static void bounds_by_hand(void **state)
{
    (void)state;
    struct grid grid = pair();
    int choice[2] = {7, 7};
    just_below(bound_of(&grid, (double[]){0, 0}, choice), 1 + 2);
    assert_int_equal(choice[0], 0);
    assert_int_equal(choice[1], 0);
    just_below(bound_of(&grid, (double[]){1, 0}, NULL), 2 + 3 - 1);
    just_below(bound_of(&grid, (double[]){3, 0}, NULL), 4 + 5 - 3);
    just_below(bound_of(&grid, (double[]){4, 0}, choice), 5 + 5 - 4);
    assert_int_equal(choice[0], 0);
    assert_int_equal(choice[1], 1);
    just_below(bound_of(&grid, (double[]){10, 1}, NULL), 7 + 6 - 10 - 5);
    /* At 3 the second part is torn; where it is wins. */
    static const int current[] = {-1, 1};
    grid.current = current;
    just_below(bound_of(&grid, (double[]){3, 0}, choice), 6);
    assert_int_equal(choice[1], 1);
}

static void bases_units_and_links_by_hand(void **state)
{
    (void)state;
    struct grid grid = pair();
    static const int64_t base[] = {-100, 10};
    static const int64_t unit[] = {2, 1};
    static const uint32_t apart[] = {0, 4, 4, GRID_CLOSED};
    static const struct grid_table table = {
        .by_site = true, .rows = 2, .columns = 2, .value = apart};
    static const struct grid_link link = {.a = 0, .b = 1, .base = 1, .scale = 3};
    grid.base = base;
    grid.unit = unit;
    just_below(bound_of(&grid, (double[]){0, 0}, NULL), -100 + 2 + 10 + 2);
    grid.links = 1;
    grid.link = &link;
    grid.tables = 1;
    grid.table = &table;
    int choice[2];
    /* Together at 0 (2 + 2, 2 units of it), or apart for 12 more. */
    just_below(bound_of(&grid, (double[]){0, 0}, choice), -90 + 1 + 4);
    just_below(bound_of(&grid, (double[]){100, 0}, choice), -90 + 1 + 2 + 5 + 12 + 100 - 100);
    assert_int_equal(choice[0], 0);
    assert_int_equal(choice[1], 1);
    /* A link that pays for distance. */
    struct grid_link pays = link;
    pays.scale = -3;
    grid.link = &pays;
    just_below(bound_of(&grid, (double[]){0, 0}, choice), -90 + 1 + 2 + 5 - 12);
}

static void prices_by_hand(void **state)
{
    (void)state;
    struct grid grid = pair();
    struct error err = {0};
    struct dual_options options = {.threads = 1};
    struct dual_result result;
    assert_int_equal(dual_solve(&grid, &options, &arena, &result, &err), 0);
    assert_true(result.possible);
    assert_true(result.fits);
    just_below(result.bound, 6);
    assert_true(result.price[0] >= 3 - 1e-9 && result.price[0] <= 5 + 1e-9);
    assert_true(result.price[1] >= 0 && result.price[1] <= 1e-9);
    assert_true(bound_of(&grid, result.price, NULL) == result.bound);
}

static void nothing_to_overload(void **state)
{
    (void)state;
    struct grid grid = pair();
    struct error err = {0};
    struct dual_options options = {0};
    struct dual_result result;
    static const int64_t none[] = {INT64_MAX, INT64_MAX};
    grid.capacity = none;
    assert_int_equal(dual_solve(&grid, &options, &arena, &result, &err), 0);
    just_below(result.bound, 3);
    grid.parts = 0;
    assert_int_equal(dual_solve(&grid, &options, &arena, &result, &err), 0);
    just_below(result.bound, 0);
    grid = pair();
    grid.resources = 0;
    assert_int_equal(dual_solve(&grid, &options, &arena, &result, &err), 0);
    just_below(result.bound, 3);
}

static void nothing_possible(void **state)
{
    (void)state;
    struct grid grid = pair();
    struct error err = {0};
    struct dual_options options = {.threads = 1};
    struct dual_result result;
    static const uint32_t shut[] = {1, 6, GRID_CLOSED, GRID_CLOSED};
    grid.cost = shut;
    assert_int_equal(dual_solve(&grid, &options, &arena, &result, &err), 0);
    assert_false(result.possible);
    assert_int_equal(result.part, 1);
    /* Every cell is open, but no pair of them. */
    static const uint32_t pairs[] = {GRID_CLOSED, GRID_CLOSED, GRID_CLOSED, GRID_CLOSED};
    static const struct grid_table table = {
        .by_site = true, .rows = 2, .columns = 2, .value = pairs};
    static const struct grid_link link = {.a = 0, .b = 1, .scale = 0};
    grid = pair();
    grid.links = 1;
    grid.link = &link;
    grid.tables = 1;
    grid.table = &table;
    assert_int_equal(dual_solve(&grid, &options, &arena, &result, &err), 0);
    assert_false(result.possible);
    assert_true(result.part == 0 || result.part == 1);
    assert_true(bound_of(&grid, (double[]){0, 0}, NULL) == INFINITY);
    /* Room for one of the two: the prices prove that there is no assignment. */
    grid = pair();
    static const int64_t one[] = {1, 0};
    grid.capacity = one;
    assert_int_equal(dual_solve(&grid, &options, &arena, &result, &err), 0);
    assert_true(result.possible);
    assert_false(result.fits);
    assert_true(result.bound > 6 + 5);
}

static void refused(const struct grid *grid, struct dual_options options, const char *text)
{
    struct error err = {0};
    struct dual_result result;
    assert_int_equal(dual_solve(grid, &options, &arena, &result, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, text));
}

static void errors(void **state)
{
    (void)state;
    struct grid grid = pair();
    struct error err = {0};
    double bound = 7;
    refused(&grid, (struct dual_options){.threads = -1}, "-1 threads");
    refused(&grid, (struct dual_options){.threads = 65}, "65 threads");
    refused(&grid, (struct dual_options){.sweeps_max = -1}, "sweeps_max -1");
    refused(&grid, (struct dual_options){.gap = NAN}, "gap nan");
    const double wrong[][2] = {{0, -1}, {0, NAN}, {0, INFINITY}, {0, 1e101}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        refused(&grid, (struct dual_options){.start = wrong[i]}, "the price of site 1, resource 0");
        assert_int_equal(dual_bound(&grid, wrong[i], 1, &arena, NULL, &bound, &err), ERR_INVALID);
    }
    assert_int_equal(dual_bound(&grid, (double[]){0, 0}, 99, &arena, NULL, &bound, &err),
                     ERR_INVALID);
    assert_true(bound == 7);
}

/* Every allocation in its turn: the error, never a crash, and nothing leaks. */
static void memory_refused(void **state)
{
    (void)state;
    struct grid_shape shape = {.seed = 3,
                               .parts = 60,
                               .sites = 4,
                               .resources = 2,
                               .app_parts = 4,
                               .capacity_percent = 130};
    struct grid grid;
    assert_true(grid_gen(&shape, &arena, &grid));
    struct dual_options options = {.threads = 1};
    struct error err = {0};
    int rc = -1;
    int64_t failed = 0;
    for (int64_t after = 0; rc < 0; after++) {
        struct arena small;
        arena_init(&small, ARENA_BYTES);
        small.fail_after = after;
        struct dual_result result;
        rc = dual_solve(&grid, &options, &small, &result, &err);
        assert_true(rc == 0 || rc == ERR_NO_MEMORY);
        failed += rc < 0;
        arena_done(&small);
    }
    assert_true(failed > 50);
}

static void threads_and_starts(void **state)
{
    (void)state;
    for (int app_parts = 1; app_parts <= 5; app_parts += 4) {
        struct grid_shape shape = {.seed = 11,
                                   .parts = 4000,
                                   .sites = 12,
                                   .resources = 2,
                                   .app_parts = app_parts,
                                   .chord_percent = 10,
                                   .capacity_percent = 115,
                                   .closed_percent = 20};
        struct grid grid;
        assert_true(grid_gen(&shape, &arena, &grid));
        struct error err = {0};
        struct dual_result one;
        struct dual_result two;
        struct dual_options options = {.threads = 1};
        assert_int_equal(dual_solve(&grid, &options, &arena, &one, &err), 0);
        options.threads = 2;
        assert_int_equal(dual_solve(&grid, &options, &arena, &two, &err), 0);
        assert_true(one.bound == two.bound);
        assert_memory_equal(one.price, two.price, 24 * sizeof(double));
        assert_memory_equal(one.choice, two.choice, 4000 * sizeof(int));
        assert_true(one.sweeps == two.sweeps);
        assert_true(one.undecided > 0);
        /* Yesterday's prices are the best of an unchanged problem: a few sweeps say so. */
        options.start = one.price;
        assert_int_equal(dual_solve(&grid, &options, &arena, &two, &err), 0);
        assert_true(two.bound >= one.bound - 1e-9 * fabs(one.bound));
        assert_true(two.sweeps <= 5);
    }
}

static bool enough(void *context, double bound, double best)
{
    (void)bound;
    (void)best;
    ++*(int *)context;
    return false;
}

static void cancelled_and_budgets(void **state)
{
    (void)state;
    struct grid_shape shape = {.seed = 5,
                               .parts = 20000,
                               .sites = 20,
                               .resources = 3,
                               .app_parts = 1,
                               .capacity_percent = 115};
    struct grid grid;
    assert_true(grid_gen(&shape, &arena, &grid));
    struct error err = {0};
    struct dual_result whole;
    struct dual_result part;
    struct dual_options options = {.threads = 2};
    assert_int_equal(dual_solve(&grid, &options, &arena, &whole, &err), 0);
    int asked = 0;
    options.progress = enough;
    options.context = &asked;
    assert_int_equal(dual_solve(&grid, &options, &arena, &part, &err), 0);
    assert_int_equal(asked, 1);
    assert_true(part.sweeps < whole.sweeps);
    assert_true(part.bound <= whole.bound && part.bound > -INFINITY);
    assert_true(bound_of(&grid, part.price, NULL) == part.bound);
    options.progress = NULL;
    options.sweeps_max = 3;
    assert_int_equal(dual_solve(&grid, &options, &arena, &part, &err), 0);
    assert_true(part.sweeps <= 4);
    assert_true(bound_of(&grid, part.price, NULL) == part.bound);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(bounds_by_hand),        TEST(bases_units_and_links_by_hand),
        TEST(prices_by_hand),        TEST(nothing_to_overload),
        TEST(nothing_possible),      TEST(errors),
        TEST(memory_refused),        TEST(threads_and_starts),
        TEST(cancelled_and_budgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
