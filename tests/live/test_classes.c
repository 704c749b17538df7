/* Owners under Berth: an exclusive one that writes to a ledger, and a stateful one whose state is
 * in its memory, moved between two nodes at a distance while clients judge from outside: no write
 * that was acknowledged is gone, there are never two owners; the pause is told. Then with the
 * owner's agent, the new one's and the scheduler killed in mid-move. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "tests/live/cluster.h"

static struct cluster cluster;
static pid_t ledger_pid;
static pid_t client_pid;
static int client_run;

struct owner_class {
    const char *handoff;
    const char *program;
    const char *args; /* of its document */
    bool logs;        /* its state is in the namespace's log */
    const char *client;
    const char *rate;
    int64_t delay_ms; /* of the leaf, one way */
};
/* Each of its writes waits for the ledger, which is at the hub: a far owner does 1 in a round trip.
 */
static const struct owner_class exclusive = {"exclusive",  "counter", "[]", false,
                                             "owner-load", "25",      10};
static const struct owner_class stateful = {
    "stateful", "kvstate", "[--bytes, 8MiB, --change, \"2%\"]", false, "state-load", "200", 40};
/* The stream is at the hub, too. */
static const struct owner_class replaying = {
    "exclusive", "replay", "[--subject, svc.default.state]", true, "state-load", "25", 10};

static int teardown(void **state)
{
    (void)state;
    cluster_kill(&client_pid);
    cluster_kill(&ledger_pid);
    cluster_done(&cluster);
    return 0;
}

/* ---- set-up ---- */

static void ledger_start(void)
{
    char program[700], seed[700], url[128], seed_file[720], inbox[LIMIT_SUBJECT_BYTES],
        prefix[LIMIT_SUBJECT_BYTES + 32], file[700];
    cluster_user_seed(&cluster, CLUSTER_USER_WORKLOADS, seed);
    server_user_inbox(&cluster.users[CLUSTER_USER_WORKLOADS], inbox);
    str_format(url, sizeof url, "BERTH_NATS_URL=%s", cluster.hub.url);
    str_format(seed_file, sizeof seed_file, "BERTH_NATS_SEED_FILE=%s", seed);
    str_format(prefix, sizeof prefix, "BERTH_INBOX_PREFIX=%s", inbox);
    str_format(file, sizeof file, "%s/ledger.txt", cluster.hub.folder);
    const char *const argv[] = {"/usr/bin/env",
                                url,
                                seed_file,
                                prefix,
                                cluster_program("ledger-resource", program),
                                "--file",
                                file,
                                "--key",
                                "default.t.w.0",
                                NULL};
    ledger_pid = cluster_spawn(&cluster, "ledger", argv);
}

static void apply(const struct owner_class *class)
{
    char program[700], digest[LIMIT_DIGEST_BYTES], text[1024], document[3072];
    char seed[700], env[800] = "";
    struct error err = {0};
    cluster_user_seed(&cluster, CLUSTER_USER_LOG, seed);
    if (class->logs)
        str_format(env, sizeof env, ", env: {REPLAY_SEED_FILE: \"%s\"}", seed);
    cluster_program(class->program, program);
    if (digest_file(program, digest, &err) < 0)
        fail_msg("%s", err.text);
    str_format(document, sizeof document,
               "app: t\n"
               "namespace: default\n"
               "workloads:\n"
               "  - name: w\n"
               "    handoff: %s\n"
               "    run: {driver: process, artifact: \"file:%s\",\n"
               "          digest: \"%s\", args: %s%s}\n"
               "    contract: true\n"
               "    ready: {kind: contract}\n"
               "    resources: {cpu: 1, memory: 1GiB, pids: 256}\n"
               "    require: {cloud: gcp}\n"
               "    calls: 20/s\n"
               "    timeouts: {start: 20s, drain: 10s, stop: 5s}\n",
               class->handoff, program, digest, class->args, env);
    struct cluster_request request = {.document = document};
    int rc = cluster_control_try(&cluster, "apply", &request, text, sizeof text, NULL);
    if (rc < 0)
        fail_msg("apply: %s: %s", error_name(rc), text);
}

/* ---- the client ---- */

static json_t *client_line(void)
{
    char path[700], line[65536];
    json_t *last = NULL;
    str_format(path, sizeof path, "%s/client-%d.log", cluster.hub.folder, client_run);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        json_t *read = strchr(line, '\n') == NULL ? NULL : json_loads(line, 0, NULL);
        if (read != NULL) {
            json_decref(last);
            last = read;
        }
    }
    if (file != NULL)
        fclose(file);
    return last;
}

static int64_t number_of(const json_t *line, const char *key)
{
    return json_integer_value(json_object_get(line, key));
}

static int64_t figure(const char *key)
{
    json_t *line = client_line();
    int64_t value = line == NULL ? 0 : number_of(line, key);
    json_decref(line);
    return value;
}

static void client_reaches(int64_t answered)
{
    char log[64];
    int64_t until_us = clock_mono_now().us + 2 * CLUSTER_WAIT_US;
    str_format(log, sizeof log, "client-%d", client_run);
    while (figure("answered") < answered) {
        if (clock_mono_now().us > until_us) {
            cluster_log_print(&cluster, log);
            cluster_log_print(&cluster, "scheduler");
            fail_msg("the client gets no answers: %" PRId64 " of %" PRId64, figure("answered"),
                     answered);
        }
        cluster_pause(20 * US_PER_MS);
    }
}

static void client_start(const struct owner_class *class)
{
    char program[700], seed[700], inbox[LIMIT_SUBJECT_BYTES], log[64];
    cluster_user_seed(&cluster, CLUSTER_USER_CLIENT, seed);
    server_user_inbox(&cluster.users[CLUSTER_USER_CLIENT], inbox);
    const char *const argv[] = {cluster_program(class->client, program),
                                "--json",
                                "--url",
                                cluster.hub.url,
                                "--seed",
                                seed,
                                "--inbox",
                                inbox,
                                "--rate",
                                class->rate,
                                "--seconds",
                                "3600",
                                "--every-ms",
                                "100",
                                "--patience-ms",
                                "120000",
                                NULL};
    str_format(log, sizeof log, "client-%d", ++client_run);
    client_pid = cluster_spawn(&cluster, log, argv);
    client_reaches(50);
}

/* Ends it; nothing was lost, and nothing was owned twice. */
static void client_judges(int owners_min)
{
    int status = cluster_stop(&client_pid);
    json_t *line = client_line();
    if (line == NULL || !json_is_true(json_object_get(line, "final")))
        fail_msg("the client has no last line: status %d", status);
    json_t *pauses = json_object_get(line, "pauses_us");
    char *text = json_dumps(pauses, JSON_COMPACT);
    print_message("answered %" PRId64 ", owners %" PRId64 ", pauses_us %s, fenced %" PRId64
                  ", conflicts %" PRId64 "\n",
                  number_of(line, "answered"), number_of(line, "owners"), text,
                  number_of(line, "fenced"), number_of(line, "conflicts"));
    free(text);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        text = json_dumps(line, JSON_COMPACT);
        print_error("%s\n", text);
        free(text);
        cluster_log_print(&cluster, "scheduler");
        fail_msg("the client ended with status %d", status);
    }
    assert_int_equal(number_of(line, "lost"), 0);
    assert_int_equal(number_of(line, "lost_writes"), 0);
    assert_int_equal(number_of(line, "owners_at_once"), 0);
    assert_true(number_of(line, "owners") >= owners_min);
    json_decref(line);
}

/* ---- the tests ---- */

static void begin(const struct owner_class *class)
{
    cluster_start(&cluster, &(struct cluster_options){.delay_ms = class->delay_ms});
    if (class == &exclusive)
        ledger_start();
    apply(class);
    cluster_settled(&cluster, "gcp/us-central1");
    client_start(class);
}

static void end(int owners_min)
{
    client_reaches(figure("answered") + 40);
    client_judges(owners_min);
    cluster_delete(&cluster);
    cluster_kill(&ledger_pid); /* it is this test's: no orphan */
    cluster_no_orphans(&cluster);
}

/* Both ways, twice: each handoff ends in done. */
static void moves(const struct owner_class *class)
{
    begin(class);
    for (int move = 0; move < 4; move++) {
        char before[LIMIT_ID_BYTES];
        client_reaches(figure("answered") + 40);
        cluster_handoff_newest(&cluster, before);
        cluster_retag(&cluster, move % 2 == 0 ? "aws" : "gcp");
        json_t *handoff = cluster_handoff_ended(&cluster, before);
        if (!str_equal(json_string_value(json_object_get(handoff, "state")), "done")) {
            cluster_log_print(&cluster, "scheduler");
            cluster_log_print(&cluster, "gcp");
            cluster_log_print(&cluster, "aws");
            fail_msg("move %d: %s (%s)", move, json_string_value(json_object_get(handoff, "state")),
                     json_string_value(json_object_get(handoff, "text")));
        }
        json_decref(handoff);
        cluster_settled(&cluster, move % 2 == 0 ? "aws/us-east-1" : "gcp/us-central1");
    }
    end(5);
}

static void test_exclusive_moves(void **state)
{
    (void)state;
    moves(&exclusive);
    /* The resource was told of each owner by the key as well. */
    assert_true(cluster_log_has(&cluster, "ledger", "the owners' key says"));
}

static void test_stateful_moves(void **state)
{
    (void)state;
    moves(&stateful);
}

/* Every record in the log follows the one before by its epoch; a standby had read along before it
 * was told to own. */
static void test_replay_moves(void **state)
{
    (void)state;
    moves(&replaying);
}

/* ---- killed in mid-move ---- */

enum victim { VICTIM_SCHEDULER, VICTIM_OLD, VICTIM_NEW };
static const char *const victim_words[] = {"the scheduler", "the owner's agent",
                                           "the next one's agent"};

/* Catches the next move in a state (as near as polling comes: short states may be over), kills,
 * starts again, and waits until the workload is where it is to be. */
static void kill_in(const char *where, enum victim victim, bool away)
{
    char before[LIMIT_ID_BYTES];
    cluster_handoff_newest(&cluster, before);
    cluster_retag(&cluster, away ? "aws" : "gcp");
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    const char *now = "none";
    json_t *handoff = NULL;
    while (!str_equal(now, where) && !str_equal(now, "held") && !str_equal(now, "done") &&
           !str_equal(now, "back")) {
        json_decref(handoff);
        assert_true(clock_mono_now().us < until_us);
        handoff = cluster_handoff(&cluster, before);
        now = handoff == NULL ? "none" : json_string_value(json_object_get(handoff, "state"));
    }
    bool old_is_gcp = away;
    int node = (victim == VICTIM_OLD) == old_is_gcp ? CLUSTER_GCP : CLUSTER_AWS;
    if (victim == VICTIM_SCHEDULER)
        cluster_kill(&cluster.scheduler_pid);
    else
        cluster_kill(&cluster.nodes[node].pid);
    cluster_pause(300 * US_PER_MS);
    if (victim == VICTIM_SCHEDULER)
        cluster_scheduler_start(&cluster);
    else
        cluster_node_start(&cluster, node);
    json_t *ended = cluster_handoff_ended(&cluster, before);
    print_message("%s killed in %s (for %s): %s (%s)\n", victim_words[victim], now, where,
                  json_string_value(json_object_get(ended, "state")),
                  json_string_value(json_object_get(ended, "text")));
    json_decref(ended);
    json_decref(handoff);
    cluster_settled(&cluster, away ? "aws/us-east-1" : "gcp/us-central1");
    client_reaches(figure("answered") + 25);
}

static void kills(const struct owner_class *class, const char *const *states, int count)
{
    bool away = true;
    begin(class);
    for (int i = 0; i < count; i++)
        for (int victim = 0; victim < 3; victim++, away = !away)
            kill_in(states[i], (enum victim)victim, away);
    end(2);
}

static void test_exclusive_kills(void **state)
{
    (void)state;
    static const char *const states[] = {"starting", "freezing", "fencing", "granting"};
    kills(&exclusive, states, 4);
}

static void test_stateful_kills(void **state)
{
    (void)state;
    static const char *const states[] = {"shipping", "freezing", "granting"};
    kills(&stateful, states, 3);
}

static void test_replay_kills(void **state)
{
    (void)state;
    static const char *const states[] = {"starting", "freezing", "granting"};
    kills(&replaying, states, 3);
}

/* The agent of the owner is killed while its owner exports a round, and started again: it says that
 * it has no such round any more, and the move ends by that word and not by the round's time. */
static void test_a_lost_round(void **state)
{
    static const struct owner_class slow = {
        "stateful", "kvstate", "[--bytes, 8MiB, --slow-export-ms, 4000]", false, "state-load",
        "200",      10};
    char before[LIMIT_ID_BYTES];
    (void)state;
    begin(&slow);
    cluster_handoff_newest(&cluster, before);
    cluster_retag(&cluster, "aws");
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    for (bool shipping = false; !shipping;) {
        assert_true(clock_mono_now().us < until_us);
        json_t *handoff = cluster_handoff(&cluster, before);
        shipping = handoff != NULL &&
                   str_equal(json_string_value(json_object_get(handoff, "state")), "shipping");
        json_decref(handoff);
    }
    cluster_pause(500 * US_PER_MS); /* the round is asked for by then: an export takes 4 s */
    cluster_kill(&cluster.nodes[CLUSTER_GCP].pid);
    cluster_node_start(&cluster, CLUSTER_GCP);
    json_t *ended = cluster_handoff_ended(&cluster, before);
    assert_string_equal(json_string_value(json_object_get(ended, "state")), "back");
    assert_string_equal(json_string_value(json_object_get(ended, "text")),
                        "round 1 of its state was lost with the agent of gcp");
    json_decref(ended);
    cluster_settled(&cluster, "aws/us-east-1");
    client_reaches(figure("answered") + 25);
    end(2);
}

/* The owner's agent is killed and stays away. Nobody can freeze its owner; the lease ends it, and
 * only then another one owns. */
static void agent_stays_away(const struct owner_class *class)
{
    begin(class);
    cluster_kill(&cluster.nodes[CLUSTER_GCP].pid);
    cluster_retag(&cluster, "aws");
    int64_t until_us = clock_mono_now().us + 2 * CLUSTER_WAIT_US;
    while (figure("owners") < 2) {
        if (clock_mono_now().us > until_us) {
            cluster_log_print(&cluster, "scheduler");
            fail_msg("nobody owns it");
        }
        cluster_pause(50 * US_PER_MS);
    }
    client_reaches(figure("answered") + 40);
    cluster_node_start(&cluster, CLUSTER_GCP);
    cluster_nodes_wait(&cluster, CLUSTER_NODES);
    cluster_settled(&cluster, "aws/us-east-1");
    end(2);
}

static void test_agent_stays_away(void **state)
{
    (void)state;
    agent_stays_away(&exclusive);
}

/* Its state was not handed over: the log has it. */
static void test_replay_agent_stays_away(void **state)
{
    (void)state;
    agent_stays_away(&replaying);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_exclusive_moves, teardown),
        cmocka_unit_test_teardown(test_stateful_moves, teardown),
        cmocka_unit_test_teardown(test_exclusive_kills, teardown),
        cmocka_unit_test_teardown(test_stateful_kills, teardown),
        cmocka_unit_test_teardown(test_a_lost_round, teardown),
        cmocka_unit_test_teardown(test_agent_stays_away, teardown),
        cmocka_unit_test_teardown(test_replay_moves, teardown),
        cmocka_unit_test_teardown(test_replay_kills, teardown),
        cmocka_unit_test_teardown(test_replay_agent_stays_away, teardown),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("classes", tests, NULL, NULL);
}
