/* The trace's reader, its grid's costs by hand, weights of shares, and the true rule of GPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/solver/openb.h"

#define NODES "sn,cpu_milli,memory_mib,gpu,model\n"
#define TASKS                                                                           \
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time," \
    "deletion_time,scheduled_time\n"
#define REST ",LS,Running,0,9,0\n"

static struct arena arena;

static struct openb read_both(const char *nodes, const char *tasks)
{
    struct openb openb;
    struct error err = {0};
    if (openb_read(nodes, strlen(nodes), tasks, strlen(tasks), &arena, &openb, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return openb;
}

static void refuses(const char *nodes, const char *tasks, const char *words)
{
    struct openb openb;
    struct error err = {0};
    assert_int_equal(openb_read(nodes, strlen(nodes), tasks, strlen(tasks), &arena, &openb, &err),
                     ERR_INVALID);
    if (strstr(err.text, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.text, words);
    }
}

static void reads(void **state)
{
    (void)state;
    struct openb openb = read_both(NODES "a,8000,32768,0,\r\n"
                                         "b,96000,393216,8,G2\r\n"
                                         "c,16000,65536,2,T4\n"
                                         "d,96000,393216,8,G2",
                                   TASKS "p,1000,2048,0,," REST "q,2000,4096,1,470,T4|V100M16" REST
                                         "r,64000,131072,8,1000," REST);
    assert_int_equal(openb.nodes, 4);
    assert_int_equal(openb.tasks, 3);
    assert_int_equal(openb.types, 3);
    assert_int_equal(openb.node[0].type, -1);
    assert_int_equal(openb.node[3].alike, 1);
    assert_int_equal(openb.node[2].alike, 2);
    assert_string_equal(openb.task[1].name, "q");
    assert_int_equal(openb.task[1].gpu_milli, 470);
    assert_true(openb_fits(&openb, 1, 2));
    assert_false(openb_fits(&openb, 1, 1)); /* another type */
    assert_false(openb_fits(&openb, 1, 0));
    assert_true(openb_fits(&openb, 2, 3));
    assert_false(openb_fits(&openb, 2, 2)); /* too few */
    assert_true(openb_fits(&openb, 0, 0));
    arena_reset(&arena);
}

static void refused(void **state)
{
    (void)state;
    const char *none = TASKS;
    refuses("sn,cpu\n", none, "nodes, line 1: the header is not");
    refuses(NODES, none, "nodes: there are 0");
    refuses(NODES "a,1,1,0\n", none, "nodes, line 2: a line has 5 fields");
    refuses(NODES "a,1,1,0,,\n", none, "nodes, line 2: a line has 5 fields");
    refuses(NODES "a,1,1,0,\nb,-1,1,0,\n", none, "nodes, line 3: cpu_milli is '-1'");
    refuses(NODES "a,1,x,0,\n", none, "memory_mib is 'x'");
    refuses(NODES "a,1,1,17,T4\n", none, "gpu is 17, not 0 to 16");
    refuses(NODES "a,1,1,2,\n", none, "2 GPUs of model ''");
    refuses(NODES "a,1,1,0,T4\n", none, "0 GPUs of model 'T4'");
    refuses(NODES "a,1,1,1,ANAMETHATISTOOLONG\n", none, "1 to 15 letters");
    const char *node = NODES "a,1,1,0,\n";
    refuses(node, "name\n", "tasks, line 1: the header is not");
    refuses(node, TASKS "p,1,1,1,," REST, "1 GPUs of 0 thousandths");
    refuses(node, TASKS "p,1,1,2,500," REST, "2 GPUs of 500 thousandths");
    refuses(node, TASKS "p,1,1,0,5," REST, "0 GPUs of 5 thousandths");
    refuses(node, TASKS "p,1,1,1,1001," REST, "gpu_milli is 1001, not 0 to 1000");
    refuses(node, TASKS "p,99999999999,1,1,1," REST, "cpu_milli is '99999999999'");
    refuses(node, TASKS "p,1,1,1,1,T4||P4" REST, "1 to 15 letters");
    refuses(node, TASKS "p,1,1,0,\n", "tasks, line 2: a line has 11 fields");
    refuses(node, TASKS "\n", "tasks, line 2: a line has 11 fields");
    arena_reset(&arena);
}

static void costs(void **state)
{
    (void)state;
    struct openb openb = read_both(NODES "a,10000,10240,0,\nb,10000,102400,2,T4\n",
                                   TASKS "p,5000,1024,0,," REST "q,1000,1024,1,500," REST);
    /* Half of 10 cores and 10 GiB; 5 cores of 7.5 W at 0.10 a kWh. */
    double a = 10 * 0.031611 + 10 * 0.004237;
    assert_int_equal(openb_cost_usd6(&openb, 0, 0), (int)(1e6 * (a / 2 + 0.00375) + 0.5));
    /* A quarter of the GPUs is more than a tenth of the cores; half a T4 is 35 W. */
    double b = 10 * 0.031611 + 100 * 0.004237 + 2 * 0.35;
    assert_int_equal(openb_cost_usd6(&openb, 1, 1), (int)(1e6 * (b / 4 + (7.5 + 35) * 1e-4) + 0.5));
    int32_t weight[OPENB_GPU + 1] = {0};
    weight[500] = OPENB_WHOLE / 2;
    struct openb_terms terms = {.weight = weight, .leave_usd6 = 7000000};
    struct grid grid;
    struct error err = {0};
    assert_int_equal(openb_grid(&openb, &terms, &arena, &grid, &err), 0);
    assert_int_equal(grid_check(&grid, &err), 0);
    assert_int_equal(grid.sites, 3);
    assert_true(grid_cost_raw(&grid, 1, 0) == GRID_CLOSED);
    assert_int_equal(grid_cost_raw(&grid, 1, 1), openb_cost_usd6(&openb, 1, 1));
    assert_int_equal(grid_cost_raw(&grid, 0, 2), 7000000);
    assert_int_equal(grid_demand(&grid, 1, 0)[2], 500);
    assert_int_equal(grid_demand(&grid, 1, 0)[3], OPENB_WHOLE / 2);
    assert_true(grid.capacity[1 * 4 + 3] == 2 * OPENB_WHOLE && grid.capacity[2 * 4] == INT64_MAX);
    terms.count = true;
    assert_int_equal(openb_grid(&openb, &terms, &arena, &grid, &err), 0);
    assert_int_equal(grid_cost_raw(&grid, 0, 0), 0);
    struct openb unpriced = read_both(NODES "a,1,1,1,H9\n", TASKS);
    assert_int_equal(openb_grid(&unpriced, &terms, &arena, &grid, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "H9"));
    arena_reset(&arena);
}

/* 600 with 400, 450 with 450, one of 600 alone: three GPUs, and four whole ones; two parts without
 * any sharing. */
static void shares(void **state)
{
    (void)state;
    struct openb openb =
        read_both(NODES "a,99,99,8,T4\n", TASKS
                  "a,1,1,1,600," REST "b,5,1,1,450," REST "c,1,1,1,400," REST "d,1,1,1,600," REST
                  "e,1,1,1,450," REST "f,1,1,4,1000," REST "g,1,1,0,," REST);
    int32_t weight[OPENB_GPU + 1] = {0};
    struct openb_bundles bundles;
    struct error err = {0};
    assert_int_equal(openb_shares(&openb, &arena, weight, &bundles, &err), 0);
    assert_true(openb_weights_hold(weight));
    int64_t sum = 2 * weight[600] + 2 * weight[450] + weight[400] + (int64_t)4 * weight[OPENB_GPU];
    assert_true(sum > (int64_t)OPENB_WHOLE * 7 - 100 && sum <= (int64_t)OPENB_WHOLE * 7);
    weight[450] += OPENB_WHOLE / 10;
    assert_false(openb_weights_hold(weight));
    weight[450] = -1;
    assert_false(openb_weights_hold(weight));
    /* Every task is in one bundle, and none of them is more than a GPU. */
    assert_int_equal(bundles.count, 3 + 2);
    int seen[7] = {0};
    for (int bundle = 0; bundle < bundles.count; bundle++) {
        int milli = 0;
        for (int i = bundles.first[bundle]; i < bundles.first[bundle + 1]; i++) {
            const struct openb_task *task = &openb.task[bundles.task[i]];
            seen[bundles.task[i]]++;
            milli += task->gpus == 1 ? task->gpu_milli : 0;
        }
        assert_true(milli <= OPENB_GPU);
    }
    for (int task = 0; task < 7; task++) {
        assert_int_equal(seen[task], 1);
    }
    /* A bundle costs what its tasks do, and takes its GPU whole. */
    struct openb_terms terms = {.bundles = &bundles, .leave_usd6 = 1000000};
    struct grid grid;
    assert_int_equal(openb_grid(&openb, &terms, &arena, &grid, &err), 0);
    assert_int_equal(grid_check(&grid, &err), 0);
    assert_int_equal(grid.resources, 3);
    for (int bundle = 0; bundle < 3; bundle++) {
        int64_t usd6 = 0;
        for (int i = bundles.first[bundle]; i < bundles.first[bundle + 1]; i++) {
            usd6 += openb_cost_usd6(&openb, bundles.task[i], 0);
        }
        assert_true(grid_cost(&grid, bundle, 0) == usd6);
        assert_int_equal(grid_demand(&grid, bundle, 0)[2], OPENB_GPU);
    }
    arena_reset(&arena);
}

static void seats(void **state)
{
    (void)state;
    struct openb openb =
        read_both(NODES "a,99,99,2,T4\nb,99,99,1,T4\n", TASKS
                  "a,1,1,1,500," REST "b,1,1,1,300," REST "c,1,1,1,200," REST "d,1,1,1,400," REST
                  "e,1,1,1,350," REST "f,1,1,1,1000," REST "g,1,1,1,240," REST "h,1,1,1,600," REST);
    /* g and h were left; there is a seat for the first beside d and e, none for the other. */
    int first[] = {0, 3, 5, 6, 8};
    int task[] = {0, 1, 2, 3, 4, 5, 6, 7};
    int site[] = {0, 0, 1, 2};
    struct openb_bundles bundles = {.count = 4, .first = first, .task = task};
    struct openb_seat seat;
    struct error err = {0};
    assert_int_equal(openb_seat_init(&seat, &openb, &arena, &err), 0);
    assert_int_equal(openb_seat_bundles(&seat, &bundles, site), 1);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(seat.node_of[i], i == 5 ? 1 : 0);
    }
    assert_int_equal(seat.node_of[7], -1);
    assert_int_equal(openb_broken(&openb, seat.node_of, seat.gpus_of), 0);
    int placed = 0;
    assert_true(openb_seat_cost_usd6(&seat, &placed) > 0);
    assert_int_equal(placed, 7);
    /* What the judge finds. */
    seat.node_of[7] = 1;
    assert_int_equal(openb_broken(&openb, seat.node_of, seat.gpus_of), 1); /* no GPU of it */
    seat.gpus_of[7] = 1;
    assert_int_equal(openb_broken(&openb, seat.node_of, seat.gpus_of), 1); /* one too full */
    seat.gpus_of[7] = 2;
    assert_int_equal(openb_broken(&openb, seat.node_of, seat.gpus_of), 1); /* not there */
    seat.node_of[7] = -1;
    seat.gpus_of[7] = 0;
    openb_seat_take(&seat, 5);
    assert_true(openb_seat_put(&seat, 7, 1));
    assert_false(openb_seat_put(&seat, 5, 1));
    assert_int_equal(openb_broken(&openb, seat.node_of, seat.gpus_of), 0);
    arena_reset(&arena);
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
        cmocka_unit_test(reads),  cmocka_unit_test(refused), cmocka_unit_test(costs),
        cmocka_unit_test(shares), cmocka_unit_test(seats),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
