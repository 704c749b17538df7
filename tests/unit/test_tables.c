/* tables: each function against the plain loop that it stands for, at every length up to some
 * vectors and at both ends of the numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/solve/tables.h"
#include "tests/property/problem_gen.h"

#define CELLS 40

static void draw(struct gen_random *random, int64_t *cost, size_t cells)
{
    for (size_t i = 0; i < cells; i++) {
        int64_t amount = (int64_t)gen_below(random, UINT64_C(1) << (10 + gen_below(random, 50)));
        cost[i] = gen_chance(random, 50) ? amount : -amount;
    }
}

static void ranges(void **state)
{
    (void)state;
    struct gen_random random;
    gen_seed(&random, 3);
    for (int turn = 0; turn < 4000; turn++) {
        int64_t cost[CELLS];
        size_t cells = 1 + gen_below(&random, CELLS);
        draw(&random, cost, cells);
        if (turn % 7 == 0) {
            cost[gen_below(&random, cells)] = turn % 2 == 0 ? INT64_MIN : INT64_MAX;
        }
        int64_t least = INT64_MAX;
        int64_t most = INT64_MIN;
        for (size_t i = 0; i < cells; i++) {
            least = cost[i] < least ? cost[i] : least;
            most = cost[i] > most ? cost[i] : most;
        }
        int64_t low;
        int64_t high;
        tables_range(cost, cells, &low, &high);
        assert_true(low == least && high == most);
    }
}

static void narrowed(void **state)
{
    (void)state;
    struct gen_random random;
    gen_seed(&random, 4);
    for (int turn = 0; turn < 4000; turn++) {
        int64_t cost[CELLS];
        uint32_t out[CELLS + 1];
        size_t cells = 1 + gen_below(&random, CELLS);
        draw(&random, cost, cells);
        int64_t least;
        int64_t most;
        tables_range(cost, cells, &least, &most);
        int shift = 0;
        while ((most - least) >> shift > UINT32_MAX) {
            shift++;
        }
        out[cells] = 77;
        tables_narrow(cost, cells, least, shift, out);
        for (size_t i = 0; i < cells; i++) {
            assert_int_equal(out[i], (uint32_t)((cost[i] - least) >> shift));
        }
        assert_int_equal(out[cells], 77);
    }
}

static void picked(void **state)
{
    (void)state;
    struct gen_random random;
    gen_seed(&random, 5);
    for (int turn = 0; turn < 1000; turn++) {
        int64_t cost[CELLS];
        int64_t out[36];
        int row[6];
        int column[6];
        size_t rows = 1 + gen_below(&random, 6);
        size_t columns = 1 + gen_below(&random, 6);
        draw(&random, cost, CELLS);
        for (int i = 0; i < 6; i++) { /* of a table of 5 rows and 8 columns */
            row[i] = (int)gen_below(&random, 5);
            column[i] = (int)gen_below(&random, 8);
        }
        tables_pick(cost, 8, row, rows, column, columns, out);
        for (size_t r = 0; r < rows; r++) {
            for (size_t c = 0; c < columns; c++) {
                assert_true(out[r * columns + c] == cost[row[r] * 8 + column[c]]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(narrowed),
        cmocka_unit_test(picked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
