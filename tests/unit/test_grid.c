/* The grid's sums by hand, its checks one by one, and the generator's promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model/solve/grid.h"
#include "tests/property/grid_gen.h"

static const uint32_t cost[] = {3, 5, GRID_CLOSED, 7};
static const int32_t demand[] = {2, 4};
static const int64_t capacity[] = {4, 5};
static const uint32_t distance[] = {0, 10, 10, GRID_CLOSED};
static const struct grid_table table = {
    .by_site = true, .rows = 2, .columns = 2, .value = distance};
static const struct grid_link call = {.a = 0, .b = 1, .base = 1, .scale = -2};

/* Two parts at two sites, one resource, one link. */
static struct grid small(void)
{
    return (struct grid){.parts = 2,
                         .sites = 2,
                         .resources = 1,
                         .cost = cost,
                         .demand = demand,
                         .capacity = capacity,
                         .links = 1,
                         .link = &call,
                         .tables = 1,
                         .table = &table};
}

static void sums(void **state)
{
    (void)state;
    struct grid grid = small();
    struct error err = {0};
    assert_int_equal(grid_check(&grid, &err), 0);
    int64_t load[2];
    int apart[] = {0, 1};
    grid_load_of(&grid, apart, load);
    assert_int_equal(grid_cost_of(&grid, apart), 3 + 7 + 1 - 20);
    assert_int_equal(load[0], 2);
    assert_int_equal(load[1], 4);
    assert_int_equal(grid_broken(&grid, load, apart), 0);
    int together[] = {1, 1}; /* 6 of 5, and a closed pair */
    grid_load_of(&grid, together, load);
    assert_int_equal(grid_broken(&grid, load, together), 2);
    int shut[] = {0, 0}; /* a closed cell, and 6 of 4 */
    grid_load_of(&grid, shut, load);
    assert_int_equal(grid_broken(&grid, load, shut), 2);
}

static void refused(struct grid grid, int code, const char *part_of_text)
{
    struct error err = {0};
    assert_int_equal(grid_check(&grid, &err), code);
    assert_non_null(strstr(err.text, part_of_text));
}

static void checks(void **state)
{
    (void)state;
    struct grid grid = small();
    grid.sites = 0;
    refused(grid, ERR_INVALID, "sites are 1 to");
    grid = small();
    grid.resources = LIMIT_RESOURCES + 1;
    refused(grid, ERR_INVALID, "resources");
    grid = small();
    static const uint16_t site[] = {0, 1, 0, 9};
    grid.site = site;
    refused(grid, ERR_INVALID, "names its cells' sites");
    static const size_t first[] = {0, 2, 4};
    grid.first = first;
    refused(grid, ERR_INVALID, "is at site 9 of 2");
    static const size_t none[] = {0, 0, 4};
    grid.first = none;
    refused(grid, ERR_INVALID, "no cells");
    grid = small();
    static const int64_t unit[] = {1, 0};
    grid.unit = unit;
    refused(grid, ERR_INVALID, "not positive");
    grid = small();
    static const int current[] = {-1, 2};
    grid.current = current;
    refused(grid, ERR_INVALID, "at cell 2 of 2");
    grid = small();
    static const int32_t less[] = {1, -1};
    grid.demand = less;
    refused(grid, ERR_INVALID, "less than nothing");
    grid = small();
    struct grid_link self = {.a = 1, .b = 1};
    grid.link = &self;
    refused(grid, ERR_INVALID, "joins parts 1 and 1");
    struct grid_table wrong = table;
    wrong.rows = 3;
    grid = small();
    grid.table = &wrong;
    refused(grid, ERR_INVALID, "table 0 is 3 x 2");
    wrong.by_site = false;
    refused(grid, ERR_INVALID, "not that of its parts' cells");
    grid = small();
    static const int64_t owed[] = {1, -1};
    grid.capacity = owed;
    refused(grid, ERR_INVALID, "is negative");
    grid = small();
    static const int64_t huge[] = {INT64_MAX / 7, INT64_MIN};
    grid.base = huge;
    refused(grid, ERR_OVERFLOW, "2^62");
}

static void generated(void **state)
{
    (void)state;
    struct grid_shape shape = {.seed = 7,
                               .parts = 50,
                               .sites = 9,
                               .resources = 3,
                               .app_parts = 8,
                               .chord_percent = 30,
                               .capacity_percent = 115,
                               .closed_percent = 20};
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct grid a;
    struct grid b;
    struct error err = {0};
    assert_true(grid_gen(&shape, &arena, &a) && grid_gen(&shape, &arena, &b));
    assert_int_equal(grid_check(&a, &err), 0);
    assert_memory_equal(a.cost, b.cost, 50 * 9 * sizeof(uint32_t));
    assert_int_equal(a.links, b.links);
    assert_true(a.links > 43); /* seven apps: 43 tree links, and chords */
    shape.seed = 8;
    assert_true(grid_gen(&shape, &arena, &b));
    assert_int_not_equal(memcmp(a.cost, b.cost, 50 * 9 * sizeof(uint32_t)), 0);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums),
        cmocka_unit_test(checks),
        cmocka_unit_test(generated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
