/* The bus goes away and comes back in mid-handoff; a client without credentials gets nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "tests/live/cluster.h"

static struct cluster cluster;

static int teardown(void **state)
{
    (void)state;
    cluster_done(&cluster);
    return 0;
}

static void requests_are_answered(void)
{
    cluster_load_start(&cluster, 300);
    cluster_pause(US_PER_S);
    cluster_load_judge(&cluster);
}

/* Requests in the moment without a server are lost by nature; what was acknowledged before is not,
 * and afterwards all is as it was told to be. */
static void test_server_restarted(void **state)
{
    (void)state;
    char before[LIMIT_ID_BYTES];
    cluster_start(&cluster, &(struct cluster_options){.delay_ms = 200, .healthy_min_ms = 1000});
    cluster_apply(&cluster, &(struct cluster_app){.program = "test-workload",
                                                  .args = "[--ready-after-ms, \"300\"]",
                                                  .cloud = "gcp"});
    cluster_settled(&cluster, "gcp/us-central1");
    static const char *const states[] = {"starting", "lingering"};
    for (int i = 0; i < 2; i++) {
        cluster_handoff_newest(&cluster, before);
        cluster_retag(&cluster, i == 0 ? "aws" : "gcp");
        json_decref(cluster_handoff_wait(&cluster, before, states[i]));
        if (i == 0)
            test_server_restart(&cluster.hub);
        else {
            test_server_kill(&cluster.hub);
            cluster_pause(US_PER_S);
            test_server_restart(&cluster.hub);
        }
        json_t *handoff = cluster_handoff_ended(&cluster, before);
        print_message("nats-server restarted in %s: %s (%s)\n", states[i],
                      json_string_value(json_object_get(handoff, "state")),
                      json_string_value(json_object_get(handoff, "text")));
        json_decref(handoff);
        cluster_settled(&cluster, i == 0 ? "aws/us-east-1" : "gcp/us-central1");
        cluster_nodes_wait(&cluster, CLUSTER_NODES);
        requests_are_answered();
    }
    /* The leaf server alone: the far node is cut off for a moment. */
    cluster_retag(&cluster, "aws");
    cluster_settled(&cluster, "aws/us-east-1");
    test_server_restart(&cluster.leaf);
    cluster_nodes_wait(&cluster, CLUSTER_NODES);
    cluster_settled(&cluster, "aws/us-east-1");
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    struct bus *client = cluster_connect(&cluster, CLUSTER_USER_CLIENT, cluster.hub.url);
    for (bool reached = false; !reached;) {
        struct error err = {0};
        char *data = NULL;
        reached = bus_call(client, "svc.default.w", "1 k", 3, US_PER_S, &data, NULL, &err) == 0;
        free(data);
        if (!reached && clock_mono_now().us > until_us)
            fail_msg("the workload behind the leaf is not reached again: %s", err.text);
    }
    bus_close(client);
    requests_are_answered();
    cluster_delete(&cluster);
    cluster_no_orphans(&cluster);
}

static void test_no_credentials(void **state)
{
    (void)state;
    char path[700], public_key[NKEY_TEXT_BYTES];
    struct error err = {0};
    cluster_start(&cluster, NULL);
    str_format(path, sizeof(path), "%s/stranger.seed", cluster.hub.folder);
    assert_int_equal(nkey_file_ensure(path, public_key, &err), 0);
    const char *const urls[] = {cluster.hub.url, cluster.leaf.url};
    for (int i = 0; i < 4; i++) {
        struct bus *bus = NULL;
        struct bus_options options = {.url = urls[i / 2], .seed_path = i % 2 == 0 ? NULL : path};
        assert_int_equal(bus_open(&options, &bus, &err), ERR_DENIED);
    }
    /* With credentials for requests alone, control stays out of reach. */
    struct bus *client = cluster_connect(&cluster, CLUSTER_USER_CLIENT, cluster.hub.url);
    char *data = NULL;
    int rc = bus_call(client, "berth.v1.ctl.info", "{}", 2, US_PER_S, &data, NULL, &err);
    assert_true(rc < 0);
    bus_close(client);
    json_decref(cluster_control(&cluster, "info", NULL));
}

/* One signature of 256 begins with a zero byte, and nats.c 3.4 does not send such a one. */
static void test_every_signature(void **state)
{
    (void)state;
    cluster_start(&cluster, &(struct cluster_options){.no_scheduler = true});
    for (int i = 0; i < 1500; i++)
        bus_close(cluster_connect(&cluster, CLUSTER_USER_CLIENT, cluster.hub.url));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_server_restarted, teardown),
        cmocka_unit_test_teardown(test_no_credentials, teardown),
        cmocka_unit_test_teardown(test_every_signature, teardown),
    };
    return cmocka_run_group_tests_name("faults: bus", tests, NULL, NULL);
}
