/* Constant inputs move nothing: with an app that may go to either of two sites of one price, under
 * load, no handoff begins and the same instance serves all along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/cluster.h"

#define QUIET_US (20 * US_PER_S) /* twenty dwells of the test's world */

static struct cluster cluster;

static int teardown(void **state)
{
    (void)state;
    cluster_done(&cluster);
    return 0;
}

static json_t *instances(void)
{
    struct cluster_request request = {.kind = "instances"};
    return cluster_control(&cluster, "get", &request);
}

static void test_nothing_moves(void **state)
{
    (void)state;
    char id[LIMIT_ID_BYTES];
    cluster_start(&cluster, NULL);
    cluster_apply(&cluster, &(struct cluster_app){.program = "test-workload", .cloud = "gcp"});
    cluster_settled(&cluster, "gcp/us-central1");
    /* What is looked for at the end can be seen at all: a shim, a workload and its cgroup. */
    assert_true(cluster_orphans(&cluster, false) >= 2);
    assert_true(cluster_cgroups(&cluster, false) >= 1);
    /* Without the tag both sites will do. */
    cluster_retag(&cluster, "");
    cluster_load_start(&cluster, 300);
    json_t *before = instances();
    json_t *first = json_array_get(json_object_get(before, "items"), 0);
    str_format(id, sizeof(id), "%s", json_string_value(json_object_get(first, "id")));
    json_decref(before);
    cluster_pause(QUIET_US);
    json_t *after = instances();
    json_t *items = json_object_get(after, "items");
    assert_int_equal(json_array_size(items), 1);
    first = json_array_get(items, 0);
    assert_string_equal(json_string_value(json_object_get(first, "id")), id);
    assert_string_equal(json_string_value(json_object_get(first, "state")), "ready");
    assert_int_equal(json_integer_value(json_object_get(first, "restarts")), 0);
    json_decref(after);
    assert_int_equal(cluster_handoff_count(&cluster), 0);
    cluster_load_judge(&cluster);
    cluster_delete(&cluster);
    cluster_no_orphans(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_nothing_moves, teardown),
    };
    return cmocka_run_group_tests_name("faults: quiet", tests, NULL, NULL);
}
