/* The scheduler, or a node's agent, killed in mid-handoff and started again: the handoff ends in
 * done or back, an outside client loses nothing, and nothing is left when the app is deleted. */
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

/* The windows in which a handoff is caught: a slow start, a far side (a round trip of 400 ms: each
 * probe, and the linger), and a time during which the old copy is held. */
static const struct cluster_options slow = {.delay_ms = 200, .healthy_min_ms = 1000};
static const struct cluster_app app = {
    .program = "test-workload", .args = "[--ready-after-ms, \"800\"]", .cloud = "gcp"};

static const char *const states[] = {"starting", "ready", "lingering", "held"};
#define STATES (sizeof(states) / sizeof(states[0]))

static struct cluster cluster;

static int teardown(void **state)
{
    (void)state;
    cluster_done(&cluster);
    return 0;
}

/* Begins the move number `move`, away from and back to gcp in turns, and catches it in its state.
 */
static const char *move_until(size_t move, char before[LIMIT_ID_BYTES])
{
    bool away = move % 2 == 0;
    cluster_handoff_newest(&cluster, before);
    cluster_retag(&cluster, away ? "aws" : "gcp");
    json_decref(cluster_handoff_wait(&cluster, before, states[move % STATES]));
    return away ? "aws/us-east-1" : "gcp/us-central1";
}

/* Wherever the handoff ended, the workload gets to where it is to be, if by another one. */
static void ends(const char *what, const char *before, const char *site, size_t move)
{
    json_t *handoff = cluster_handoff_ended(&cluster, before);
    print_message("%s killed in %s: %s (%s)\n", what, states[move % STATES],
                  json_string_value(json_object_get(handoff, "state")),
                  json_string_value(json_object_get(handoff, "text")));
    json_decref(handoff);
    cluster_settled(&cluster, site);
}

static void test_scheduler_killed(void **state)
{
    (void)state;
    char before[LIMIT_ID_BYTES];
    cluster_start(&cluster, &slow);
    cluster_apply(&cluster, &app);
    cluster_settled(&cluster, "gcp/us-central1");
    cluster_load_start(&cluster, 300);
    for (size_t move = 0; move < STATES; move++) {
        const char *site = move_until(move, before);
        cluster_kill(&cluster.scheduler_pid);
        cluster_pause(300 * US_PER_MS);
        cluster_scheduler_start(&cluster);
        ends("scheduler", before, site, move);
    }
    cluster_load_judge(&cluster);
    cluster_delete(&cluster);
    cluster_no_orphans(&cluster);
}

static void kill_nodes(bool target)
{
    char before[LIMIT_ID_BYTES];
    cluster_start(&cluster, &slow);
    cluster_apply(&cluster, &app);
    cluster_settled(&cluster, "gcp/us-central1");
    cluster_load_start(&cluster, 300);
    for (size_t move = 0; move < STATES; move++) {
        const char *site = move_until(move, before);
        bool to_aws = str_equal(site, "aws/us-east-1");
        int node = to_aws == target ? CLUSTER_AWS : CLUSTER_GCP;
        cluster_kill(&cluster.nodes[node].pid);
        cluster_pause(300 * US_PER_MS);
        cluster_node_start(&cluster, node);
        ends(target ? "new node's agent" : "old node's agent", before, site, move);
    }
    cluster_load_judge(&cluster);
    cluster_delete(&cluster);
    cluster_no_orphans(&cluster);
}

static void test_new_agent_killed(void **state)
{
    (void)state;
    kill_nodes(true);
}

static void test_old_agent_killed(void **state)
{
    (void)state;
    kill_nodes(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_scheduler_killed, teardown),
        cmocka_unit_test_teardown(test_new_agent_killed, teardown),
        cmocka_unit_test_teardown(test_old_agent_killed, teardown),
    };
    return cmocka_run_group_tests_name("faults: crash", tests, NULL, NULL);
}
