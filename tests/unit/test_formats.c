/* Small texts of every format, their costs by hand, and what each refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/solver/formats.h"

static struct arena arena;

static struct grid read_text(const char *format, const char *text)
{
    struct grid grid;
    struct error err = {0};
    int rc = format_read(format, text, strlen(text), &arena, &grid, &err);
    if (rc < 0) {
        print_error("%s\n", err.text);
    }
    assert_int_equal(rc, 0);
    return grid;
}

static void refuses(const char *format, const char *text, int code, const char *words)
{
    struct grid grid;
    struct error err = {0};
    assert_int_equal(format_read(format, text, strlen(text), &arena, &grid, &err), code);
    if (strstr(err.text, words) == NULL) {
        print_error("'%s' does not say '%s'\n", err.text, words);
    }
    assert_non_null(strstr(err.text, words));
}

static int64_t broken(const struct grid *grid, const int *choice)
{
    int64_t load[16];
    grid_load_of(grid, choice, load);
    return grid_broken(grid, load, choice);
}

/* Two agents, three items. */
static void gap(void **state)
{
    (void)state;
    struct grid grid = read_text("gap", "2 3\n 1 2 3\n 40 50 60\n 5 6 7\n 1 1 1\n 11 2\n");
    assert_int_equal(grid.parts, 3);
    assert_int_equal(grid.sites, 2);
    int choice[] = {0, 0, 1};
    assert_int_equal(grid_cost_of(&grid, choice), 1 + 2 + 60);
    assert_int_equal(broken(&grid, choice), 0);
    int full[] = {0, 0, 0}; /* 18 of 11 */
    assert_int_equal(broken(&grid, full), 1);
    refuses("gap", "2 3\n 1 2 3\n 40 50\n", ERR_INVALID, "line 4: a cost is missing");
    refuses("gap", "2 3\n 1 2 x\n", ERR_INVALID, "line 2: a cost is something else");
    refuses("gap", "0 3\n", ERR_INVALID, "agents is 0, not between 1");
    refuses("gap", "1 1 99999999999999999999 1 1", ERR_INVALID, "too large a number");
    refuses("gap", "1 1 5 -1 1", ERR_INVALID, "a weight is -1");
    refuses("gap", "1 1 5 1 -1", ERR_INVALID, "a capacity is -1");
}

/* Three tasks, two processors; costs processor by processor; negative ones too. */
static void ctap(void **state)
{
    (void)state;
    struct grid grid = read_text("ctap", "3\n2\n1 -2 3\n10 20 30\n7 0\n9\n4 4 4\n8 12\n\nread :\n");
    int choice[] = {0, 1, 0};
    assert_int_equal(grid.links, 2);
    assert_int_equal(grid_cost_of(&grid, choice), 1 + 20 + 3 + 7 + 9);
    assert_int_equal(broken(&grid, choice), 0);
    int together[] = {0, 0, 0};
    assert_int_equal(grid_cost_of(&grid, together), 1 - 2 + 3);
    assert_int_equal(broken(&grid, together), 1);
    refuses("ctap", "3\n2\n1 2 3\n1 2 3\n7 0\n9\n4 4", ERR_INVALID, "a size is missing");
    refuses("ctap", "3\n2\n1 2 3\n1 2 3\n7 0\n", ERR_INVALID, "a traffic is missing");
}

static void tap(void **state)
{
    (void)state;
    struct grid grid = read_text("tap", "2 2\n 1 -2\n 3 4\n 10 20\n -30 40\n");
    int choice[] = {1, 0};
    assert_int_equal(grid_cost_of(&grid, choice), -2 + 3 - 30);
    int other[] = {0, 1};
    assert_int_equal(grid_cost_of(&grid, other), 1 + 4 + 20);
    refuses("tap", "2 2\n 1 2\n 3 4\n 10", ERR_INVALID, "a cost of a pair is missing");
    refuses("tap", "4096 4096", ERR_INVALID, "a cost is missing");
}

static void qsap(void **state)
{
    (void)state;
    const char *costs = "2\n2\n1\n1 1 5\n1 2 6\n2 1 7\n2 2 8\n";
    char text[512];
    (void)snprintf(text, sizeof(text), "%s%s%s", costs, "1 1 1\n1 2 3\n2 1 3\n2 2 1\n",
                   "1 1 0\n1 2 10\n2 1 20\n2 2 2\n");
    struct grid grid = read_text("qsap", text);
    int apart[] = {0, 1};
    /* 5 + 8, traffic of both orders at distance 3, the second's own at distance 1 */
    assert_int_equal(grid_cost_of(&grid, apart), 5 + 8 + 30 * 3 + 2);
    int together[] = {0, 0};
    assert_int_equal(grid_cost_of(&grid, together), 5 + 7 + 30 + 2);
    (void)snprintf(text, sizeof(text), "%s%s", costs, "1 1 1\n1 2 3\n2 1 4\n2 2 1\n1 1 0");
    refuses("qsap", text, ERR_UNSUPPORTED, "sites 1 and 2 differ");
    (void)snprintf(text, sizeof(text), "%s%s", costs, "1 1 1\n1 1 3\n");
    refuses("qsap", text, ERR_INVALID, "distance 1 1 is there twice");
}

/* Two functions of one pair in both orders, one of three variables, one of none. */
static void wcsp(void **state)
{
    (void)state;
    struct grid grid = read_text("wcsp", "net 3 2 5 100\n2 2 2\n"
                                         "2 0 1 0 1\n0 1 7\n"
                                         "2 1 0 0 1\n1 0 5\n"
                                         "1 2 3 1\n1 0\n"
                                         "3 0 1 2 1 2\n0 1 1 100\n0 1 0 50\n"
                                         "0 4 0\n");
    assert_int_equal(grid.parts, 4);
    assert_int_equal(grid_cells(&grid, 3), 7);
    /* 0, 1, 0: the pair costs 7 + 5, the third variable 3, the tuple (0, 1, 0) 50, and 4 always.
     * The tuple is the third of those that may be taken. */
    int choice[] = {0, 1, 0, 2};
    assert_int_equal(grid_cost_of(&grid, choice), 7 + 5 + 3 + 50 + 4);
    assert_int_equal(broken(&grid, choice), 0);
    int wrong[] = {0, 1, 0, 0}; /* a tuple that disagrees with the second variable */
    assert_int_equal(broken(&grid, wrong), 1);
    refuses("wcsp", "net 1 2 1 100\n2\n4 0", ERR_INVALID, "a function is 4");
    refuses("wcsp", "net 2 2 1 100\n2 2\n2 1 1 0 0\n", ERR_INVALID, "a variable twice");
    refuses("wcsp", "net 2 2 1 100\n2 2\n2 0 1 0 1\n0 2 1\n", ERR_INVALID, "a value of a tuple");
    refuses("wcsp", "net 2 2 1 99999999999\n2 2\n", ERR_INVALID, "the upper bound");
    refuses("wcsp", "", ERR_INVALID, "the name is missing");
    /* A function of none at the upper bound forbids everything. */
    grid = read_text("wcsp", "net 1 2 1 10\n2\n0 10 0\n");
    int any[] = {1};
    assert_int_equal(broken(&grid, any), 1);
}

static void others(void **state)
{
    (void)state;
    refuses("mps", "", ERR_NOT_FOUND, "no format 'mps'");
    /* Every allocation may be refused, and the arena is usable after it. */
    const char *text = "2 3\n 1 2 3\n 40 50 60\n 5 6 7\n 1 1 1\n 11 2\n";
    for (int64_t after = 0;; after++) {
        struct grid grid;
        struct error err = {0};
        arena.fail_after = after;
        int rc = format_read("gap", text, strlen(text), &arena, &grid, &err);
        arena.fail_after = -1;
        if (rc == 0) {
            assert_true(after > 3);
            break;
        }
        assert_int_equal(rc, ERR_NO_MEMORY);
    }
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

int main(void)
{
    arena_init(&arena, (size_t)256 << 20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gap),  cmocka_unit_test(ctap), cmocka_unit_test(tap),
        cmocka_unit_test(qsap), cmocka_unit_test(wcsp), cmocka_unit_test(others),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
