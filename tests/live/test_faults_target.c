/* A new copy that is no good: the handoff goes back and the old copy never stops serving, judged by
 * an outside client that loses nothing. */
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

static struct cluster cluster;

static int teardown(void **state)
{
    (void)state;
    cluster_done(&cluster);
    return 0;
}

static void test_never_ready(void **state)
{
    (void)state;
    char before[LIMIT_ID_BYTES];
    cluster_start(&cluster, NULL);
    cluster_apply(&cluster, &(struct cluster_app){.program = "test-workload",
                                                  .args = "[--never-ready-at, aws/us-east-1]",
                                                  .cloud = "gcp",
                                                  .start_ms = 2000});
    cluster_settled(&cluster, "gcp/us-central1");
    cluster_load_start(&cluster, 300);
    cluster_handoff_newest(&cluster, before);
    cluster_retag(&cluster, "aws");
    json_t *handoff = cluster_handoff_ended(&cluster, before);
    assert_string_equal(json_string_value(json_object_get(handoff, "state")), "back");
    print_message("back: %s\n", json_string_value(json_object_get(handoff, "text")));
    json_decref(handoff);
    cluster_retag(&cluster, "gcp");
    cluster_settled(&cluster, "gcp/us-central1");
    cluster_load_judge(&cluster);
    cluster_delete(&cluster);
    cluster_no_orphans(&cluster);
}

/* A round trip to the far side takes 400 ms, so the old copy lingers for half a second. */
static void test_dies_in_linger(void **state)
{
    (void)state;
    char before[LIMIT_ID_BYTES], args[700], path[1200];
    cluster_start(&cluster, &(struct cluster_options){.delay_ms = 200});
    str_format(args, sizeof(args), "[--die-dir, \"%s\"]", cluster.hub.folder);
    cluster_apply(&cluster,
                  &(struct cluster_app){.program = "test-workload", .args = args, .cloud = "gcp"});
    cluster_settled(&cluster, "gcp/us-central1");
    cluster_load_start(&cluster, 300);
    cluster_handoff_newest(&cluster, before);
    cluster_retag(&cluster, "aws");
    json_t *handoff = cluster_handoff_wait(&cluster, before, "lingering");
    str_format(path, sizeof(path), "%s/die.%s", cluster.hub.folder,
               json_string_value(json_object_get(handoff, "to")));
    json_decref(handoff);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fclose(file);
    handoff = cluster_handoff_ended(&cluster, before);
    assert_string_equal(json_string_value(json_object_get(handoff, "state")), "back");
    print_message("back: %s\n", json_string_value(json_object_get(handoff, "text")));
    json_decref(handoff);
    /* The next try has another instance, which lives. */
    cluster_settled(&cluster, "aws/us-east-1");
    cluster_load_judge(&cluster);
    cluster_delete(&cluster);
    cluster_no_orphans(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_never_ready, teardown),
        cmocka_unit_test_teardown(test_dies_in_linger, teardown),
    };
    return cmocka_run_group_tests_name("faults: target", tests, NULL, NULL);
}
