/*
 * A node's credentials in the wrong hands: what the user of node "aws" can have delivered to node
 * "gcp" as a command, or to the scheduler as a word of gcp's, is not acted upon, and is counted.
 *
 * The way: the user stores the bytes in the object store of the workloads' state, where it may
 * write, and asks JetStream for them with the victim's subject as the place of the answer.
 * Permissions do not hold there. A second way is the echo, which a node answers with the asker's
 * own bytes.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/wire/messages.h"
#include "tests/live/cluster.h"

#define CALL_US    (10 * US_PER_S)
#define STORED     "$O." BUCKET_STATE ".C.forged"
#define DIRECT_GET "$JS.API.DIRECT.GET.OBJ_" BUCKET_STATE
#define GCP        "berth.v1.node.gcp."
#define AWS        "berth.v1.node.aws."
#define PAGE_BYTES ((size_t)1 << 20)
#define DIGEST     "sha256:0000000000000000000000000000000000000000000000000000000000000000"

static struct cluster cluster;
static struct bus *thief; /* with the key of node aws */
static struct proof_link link_of_thief;
static int page_port;

struct heard {
    int count;
    size_t bytes;
    char data[4096];
};

static void hear(void *context, const struct bus_message *message)
{
    struct heard *heard = context;
    heard->bytes = message->bytes < sizeof(heard->data) ? message->bytes : sizeof(heard->data) - 1;
    memcpy(heard->data, message->data, heard->bytes);
    heard->data[heard->bytes] = 0;
    heard->count++;
}

static void must(int rc, const struct error *err)
{
    if (rc < 0)
        fail_msg("%s: %s", error_name(rc), err->text);
}

static void turn(struct bus *bus, int wait_ms)
{
    struct pollfd fd = {.fd = bus_fd(bus), .events = POLLIN};
    (void)poll(&fd, 1, wait_ms);
    (void)bus_dispatch(bus, 100);
}

static int setup(void **state)
{
    (void)state;
    char seed[700], address[64];
    struct error err = {0};
    const char *argv[CLUSTER_ARGS_MAX + 2];
    cluster_start(&cluster, &(struct cluster_options){.delay_ms = -1, .no_scheduler = true});
    page_port = test_port_free();
    str_format(address, sizeof(address), "127.0.0.1:%d", page_port);
    cluster_scheduler_argv(&cluster, argv);
    int count = 0;
    while (argv[count] != NULL)
        count++;
    argv[count] = "--metrics";
    argv[count + 1] = address;
    argv[count + 2] = NULL;
    cluster.scheduler_pid = cluster_spawn(&cluster, "scheduler", argv);
    cluster_nodes_wait(&cluster, CLUSTER_NODES);
    thief = cluster_connect(&cluster, CLUSTER_USER_AWS, cluster.hub.url);
    cluster_user_seed(&cluster, CLUSTER_USER_AWS, seed);
    must(proof_link_open_user("node", "aws", seed, "", &link_of_thief, &err), &err);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bus_close(thief);
    cluster_done(&cluster);
    return 0;
}

/* ---- what is counted ---- */

/* The scheduler's page of metrics, or "" while it cannot be had. */
static void page_read(char *out)
{
    static const char ask[] = "GET /metrics HTTP/1.0\r\n\r\n";
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)page_port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t bytes = 0;
    out[0] = 0;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        write(fd, ask, sizeof(ask) - 1) < 0)
        return;
    for (ssize_t got = 1; got > 0 && bytes < PAGE_BYTES - 1; bytes += (size_t)got) {
        got = read(fd, out + bytes, PAGE_BYTES - 1 - bytes);
        if (got < 0)
            got = 0;
    }
    out[bytes] = 0;
}

/* The value of a series by its name and labels as they are written; 0 when it is not there. */
static int64_t figure(const char *series)
{
    CLEANUP(cleanup_free) char *page = malloc(PAGE_BYTES);
    assert_non_null(page);
    page_read(page);
    const char *at = strstr(page, series);
    return at == NULL ? 0 : strtoll(at + strlen(series), NULL, 10);
}

static void counted(const char *series, int64_t before, int64_t more)
{
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    while (figure(series) < before + more) {
        if (clock_mono_now().us > until_us) {
            cluster_log_print(&cluster, "scheduler");
            cluster_log_print(&cluster, "gcp");
            fail_msg("%s is %lld; %lld and %lld more were expected", series,
                     (long long)figure(series), (long long)before, (long long)more);
        }
        turn(thief, 50);
    }
}

#define AT_GCP   "berth_node_refused_messages_total{node=\"gcp\"} "
#define AT_AWS   "berth_node_refused_messages_total{node=\"aws\"} "
#define UNPROVEN "berth_refused_messages_total{reason=\"unproven\"} "
#define REPLAYED "berth_refused_messages_total{reason=\"replayed\"} "

/* ---- the thief's ways ---- */

/* The bytes, to be answered by JetStream wherever one likes; returns their place in the store. */
static void deliver(const char *data, size_t bytes, const char *subject)
{
    struct error err = {0};
    CLEANUP(cleanup_free) char *ack = NULL;
    char request[64];
    must(bus_call(thief, STORED, data, bytes, CALL_US, &ack, NULL, &err), &err);
    const char *seq = strstr(ack, "\"seq\":");
    if (seq == NULL)
        fail_msg("what the thief writes is not stored: %s", ack);
    str_format(request, sizeof(request), "{\"seq\":%lld}", strtoll(seq + 6, NULL, 10));
    must(bus_publish(thief, DIRECT_GET, subject, request, strlen(request), &err), &err);
    must(bus_flush(thief, CALL_US, &err), &err);
}

static void encoded(struct proof_link *link, const char *subject, const struct wire_shape *shape,
                    const void *message, struct strbuf *text)
{
    strbuf_init(text, LIMIT_WIRE_BYTES);
    proof_begin(link, text);
    wire_encode(shape, message, text);
    proof_end(link, subject, proof_next(link), text);
    assert_int_equal(strbuf_error(text, NULL), 0);
}

/* As it is, and with the best proof that the thief can make: its own. */
static void deliver_message(const struct wire_shape *shape, const void *message,
                            const char *subject)
{
    struct proof_link none = {0};
    struct strbuf text;
    encoded(&none, subject, shape, message, &text);
    deliver(text.text, text.bytes, subject);
    strbuf_done(&text);
    encoded(&link_of_thief, subject, shape, message, &text);
    deliver(text.text, text.bytes, subject);
    strbuf_done(&text);
}

static struct message_command forged_command(const char *instance)
{
    struct message_command command = {.epoch = {INT64_C(1) << 40, 1}, .verb = NODE_START};
    id_random(command.id);
    str_format(command.instance, sizeof(command.instance), "%s", instance);
    struct message_spec *spec = &command.spec;
    str_format(spec->namespace_, sizeof(spec->namespace_), "default");
    str_format(spec->app, sizeof(spec->app), "forged");
    str_format(spec->workload, sizeof(spec->workload), "w");
    str_format(spec->driver, sizeof(spec->driver), "process");
    str_format(spec->artifact, sizeof(spec->artifact), "file:/bin/true");
    str_format(spec->digest, sizeof(spec->digest), DIGEST);
    return command;
}

static bool instance_known(const char *instance)
{
    json_t *body = cluster_control(&cluster, "get", &(struct cluster_request){.kind = "instances"});
    bool known = false;
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(body, "items"), i, item)
    {
        const char *id = json_string_value(json_object_get(item, "id"));
        known = known || (id != NULL && str_equal(id, instance));
    }
    json_decref(body);
    return known;
}

/* The node's own log says what becomes of each instance that it has ever heard of. */
static void nothing_came_of(const char *instance)
{
    assert_false(instance_known(instance));
    if (cluster_log_has(&cluster, "gcp", instance) || cluster_log_has(&cluster, "aws", instance)) {
        cluster_log_print(&cluster, "gcp");
        fail_msg("a node acted upon a forged command: its log knows %s", instance);
    }
}

/* ---- tests ---- */

/* The trick works: otherwise the others prove nothing. */
static void the_thief_delivers_where_it_may_not_publish(void **state)
{
    (void)state;
    struct error err = {0};
    struct heard heard = {0};
    struct bus_subscription *subscription = NULL;
    uint64_t denied = bus_stats(thief).denied;
    struct bus *other = cluster_connect(&cluster, CLUSTER_USER_GCP, cluster.hub.url);
    must(bus_subscribe(other, GCP "cmd", NULL, hear, &heard, &subscription, &err), &err);
    must(bus_flush(other, CALL_US, &err), &err);
    deliver("verbatim", 8, GCP "cmd");
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    while (heard.count == 0 && clock_mono_now().us < until_us)
        turn(other, 20);
    assert_int_equal(heard.count, 1);
    assert_string_equal(heard.data, "verbatim");
    assert_int_equal(bus_stats(thief).denied, denied);
    bus_unsubscribe(subscription);
    bus_close(other);
}

static void a_forged_command_is_not_obeyed(void **state)
{
    (void)state;
    int64_t before = figure(AT_GCP);
    struct message_command command = forged_command("forged-start");
    deliver_message(&message_command_shape, &command, GCP "cmd");
    counted(AT_GCP, before, 2);
    nothing_came_of("forged-start");
    assert_true(cluster_log_has(&cluster, "gcp", "message.unproven"));
}

/* As the scheduler's user, but with a stamp of long ago: what was said once is not said again. */
static void a_repeated_command_is_not_obeyed_again(void **state)
{
    (void)state;
    char seed[700];
    struct error err = {0};
    struct proof_link link;
    struct strbuf text;
    cluster_user_seed(&cluster, CLUSTER_USER_SCHEDULER, seed);
    struct proof_options options = {PROOF_AT_SCHEDULER, "node", "aws", seed,
                                    cluster.users[CLUSTER_USER_AWS].public_key};
    must(proof_link_open(&options, &link, &err), &err);
    struct message_command command = forged_command("forged-again");
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    proof_begin(&link, &text);
    wire_encode(&message_command_shape, &command, &text);
    proof_end(&link, AWS "cmd", 1, &text);
    /* The node has heard nothing yet of this scheduler that is stamped, but for asked hellos. */
    int64_t before = figure(AT_AWS);
    struct proof_link of_now = link;
    struct strbuf empty;
    strbuf_init(&empty, LIMIT_WIRE_BYTES);
    proof_begin(&of_now, &empty);
    struct message_answer who = {.id = "hello", .node = "aws", .code = ERR_NOT_FOUND};
    wire_encode(&message_answer_shape, &who, &empty);
    proof_end(&of_now, AWS "cmd", proof_next(&of_now), &empty);
    struct bus *scheduler = cluster_connect(&cluster, CLUSTER_USER_SCHEDULER, cluster.hub.url);
    must(bus_publish(scheduler, AWS "cmd", NULL, empty.text, empty.bytes, &err), &err);
    struct heard heard = {0};
    must(bus_request(scheduler, AWS "cmd", text.text, text.bytes, CALL_US, hear, &heard, &err),
         &err);
    while (heard.count == 0)
        turn(scheduler, 20);
    /* The answer has no words, only the stamp from which a scheduler would go on. */
    assert_int_equal(heard.bytes, PROOF_BYTES);
    counted(AT_AWS, before, 1);
    nothing_came_of("forged-again");
    strbuf_done(&text);
    strbuf_done(&empty);
    bus_close(scheduler);
}

static void forged_words_of_a_node_are_not_believed(void **state)
{
    (void)state;
    int64_t before = figure(UNPROVEN);
    struct message_hello hello = {.boot_us = 1, .seq = 1, .mcpu = 1};
    str_format(hello.node, sizeof(hello.node), "gcp");
    str_format(hello.site, sizeof(hello.site), "aws/us-east-1");
    str_format(hello.boot_id, sizeof(hello.boot_id), "forged");
    struct message_report report = {.seq = 1, .boot_us = 1};
    str_format(report.node, sizeof(report.node), "gcp");
    str_format(report.boot_id, sizeof(report.boot_id), "forged");
    str_format(report.instance.instance, sizeof(report.instance.instance), "forged-report");
    report.instance.state = INSTANCE_READY;
    struct message_beat beat = {.boot_us = 1};
    str_format(beat.node, sizeof(beat.node), "gcp");
    str_format(beat.boot_id, sizeof(beat.boot_id), "forged");
    struct message_probed probed = {.sent = 1, .answered = 1};
    str_format(probed.node, sizeof(probed.node), "gcp");
    struct message_batch batch = {.boot_us = 1, .seq = 1};
    str_format(batch.node, sizeof(batch.node), "gcp");
    deliver_message(&message_hello_shape, &hello, GCP "hello");
    deliver_message(&message_report_shape, &report, GCP "report");
    deliver_message(&message_beat_shape, &beat, GCP "beat");
    deliver_message(&message_probed_shape, &probed, GCP "probed");
    deliver_message(&message_batch_shape, &batch, "berth.v1.metrics.gcp");
    counted(UNPROVEN, before, 10);
    nothing_came_of("forged-report");
    json_t *body = cluster_control(&cluster, "get", &(struct cluster_request){.kind = "nodes"});
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(body, "items"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        const char *site = json_string_value(json_object_get(item, "site"));
        assert_true(json_is_true(json_object_get(item, "up")));
        if (str_equal(name, "gcp"))
            assert_string_equal(site, "gcp/us-central1");
    }
    json_decref(body);
}

/* A node answers an echo with the asker's bytes: not on its own subjects. */
static void an_echo_says_nothing_in_its_node_s_name(void **state)
{
    (void)state;
    struct error err = {0};
    int64_t before = figure(UNPROVEN);
    struct heard heard = {0};
    struct bus_subscription *subscription = NULL;
    struct bus *scheduler = cluster_connect(&cluster, CLUSTER_USER_SCHEDULER, cluster.hub.url);
    must(bus_subscribe(scheduler, GCP "probed", NULL, hear, &heard, &subscription, &err), &err);
    must(bus_flush(scheduler, CALL_US, &err), &err);
    must(bus_publish(thief, GCP "echo", GCP "probed", "{}", 2, &err), &err);
    CLEANUP(cleanup_free) char *answer = NULL; /* the echo after it, to where it belongs */
    must(bus_call(thief, GCP "echo", "back", 4, CALL_US, &answer, NULL, &err), &err);
    assert_string_equal(answer, "back");
    must(bus_flush(scheduler, CALL_US, &err), &err);
    turn(scheduler, 0);
    assert_int_equal(heard.count, 0);
    assert_int_equal(figure(UNPROVEN), before);
    bus_unsubscribe(subscription);
    bus_close(scheduler);
}

/* What the thief said itself, once more: it is its word, and old. The answer says where to go on,
 * and after that it is heard again: so does a node whose clock was set back. */
static void an_old_word_is_not_taken_and_a_late_clock_recovers(void **state)
{
    (void)state;
    struct error err = {0};
    struct strbuf text;
    struct heard heard = {0};
    struct message_hello hello = {.boot_us = 1, .seq = 1, .mcpu = 1};
    str_format(hello.node, sizeof(hello.node), "aws");
    str_format(hello.site, sizeof(hello.site), "gcp/us-central1");
    str_format(hello.boot_id, sizeof(hello.boot_id), "old");
    int64_t before = figure(REPLAYED);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    proof_begin(&link_of_thief, &text);
    wire_encode(&message_hello_shape, &hello, &text);
    proof_end(&link_of_thief, AWS "hello", 5, &text);
    must(bus_request(thief, AWS "hello", text.text, text.bytes, CALL_US, hear, &heard, &err), &err);
    while (heard.count == 0)
        turn(thief, 20);
    counted(REPLAYED, before, 1);
    assert_int_equal(heard.bytes, PROOF_BYTES);
    uint64_t seen = 0;
    for (int i = 2; i < 10; i++)
        seen = seen << 8 | (uint8_t)heard.data[i];
    assert_true(seen > (uint64_t)clock_wall_now().us - (uint64_t)(3600 * US_PER_S));
    strbuf_done(&text);
    json_t *body = cluster_control(&cluster, "get", &(struct cluster_request){.kind = "nodes"});
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(body, "items"), i, item)
    {
        if (str_equal(json_string_value(json_object_get(item, "name")), "aws"))
            assert_string_equal(json_string_value(json_object_get(item, "site")), "aws/us-east-1");
    }
    json_decref(body);
}

/* An app by JetStream's hand, and one by an operator's user that proves nothing. */
static void a_change_needs_an_operator_s_proof(void **state)
{
    (void)state;
    static const char request[] =
        "{\"v\":1,\"type\":\"ctl.request\",\"id\":\"forged-apply\",\"document\":"
        "\"app: forged\\nnamespace: default\\nworkloads:\\n  - name: w\\n    run: {driver: "
        "process, artifact: \\\"file:/bin/true\\\", digest: \\\"" DIGEST "\\\"}\\n    contract: "
        "true\\n    ready: {kind: contract}\\n    resources: {cpu: 1m, memory: 1MiB}\\n\"}";
    struct error err = {0};
    deliver(request, sizeof(request) - 1, "berth.v1.ctl.apply");
    CLEANUP(cleanup_free) char *answer = NULL;
    must(bus_call(cluster.operator_bus, "berth.v1.ctl.apply", request, sizeof(request) - 1, CALL_US,
                  &answer, NULL, &err),
         &err);
    assert_non_null(strstr(answer, "does not prove who wrote it"));
    struct proof_link honest = cluster.operator_link;
    cluster.operator_link = link_of_thief; /* an operator's user with another's key */
    char text[1024];
    int rc = cluster_control_try(
        &cluster, "cordon",
        &(struct cluster_request){.kind = "node", .document = "gcp", .value = "on"}, text,
        sizeof(text), NULL);
    cluster.operator_link = honest;
    assert_int_equal(rc, ERR_DENIED);
    json_t *body = cluster_control(&cluster, "get", &(struct cluster_request){.kind = "apps"});
    assert_int_equal(json_array_size(json_object_get(body, "items")), 0);
    json_decref(body);
}

/* Its key's file decides, at once: gone, it is nobody; back, it is heard again. */
static void a_key_that_is_taken_away_ends_its_say(void **state)
{
    (void)state;
    char path[700], away[720];
    str_format(path, sizeof(path), "%s/node-aws.pub", cluster.hub.folder);
    str_format(away, sizeof(away), "%s.away", path);
    int64_t before = figure(UNPROVEN);
    assert_int_equal(rename(path, away), 0);
    counted(UNPROVEN, before, 3);
    assert_int_equal(rename(away, path), 0);
    cluster_nodes_wait(&cluster, CLUSTER_NODES);
    /* Its beats and metrics come each second: a while in which none is refused comes. */
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    do {
        assert_true(clock_mono_now().us < until_us);
        before = figure(UNPROVEN);
        cluster_pause(3 * US_PER_S);
    } while (figure(UNPROVEN) > before);
}

/* After all of it the cluster does its work. */
static void the_honest_ones_go_on(void **state)
{
    (void)state;
    cluster_apply(&cluster, &(struct cluster_app){.program = "test-workload", .cloud = "gcp"});
    cluster_settled(&cluster, "gcp/us-central1");
    cluster_retag(&cluster, "aws");
    cluster_settled(&cluster, "aws/us-east-1");
    cluster_delete(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_thief_delivers_where_it_may_not_publish),
        cmocka_unit_test(a_forged_command_is_not_obeyed),
        cmocka_unit_test(a_repeated_command_is_not_obeyed_again),
        cmocka_unit_test(forged_words_of_a_node_are_not_believed),
        cmocka_unit_test(an_echo_says_nothing_in_its_node_s_name),
        cmocka_unit_test(an_old_word_is_not_taken_and_a_late_clock_recovers),
        cmocka_unit_test(a_change_needs_an_operator_s_proof),
        cmocka_unit_test(a_key_that_is_taken_away_ends_its_say),
        cmocka_unit_test(the_honest_ones_go_on),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
