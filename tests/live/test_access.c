/* Who may say and hear what: a hub and a leaf server with the configuration that Berth writes, and
 * users that try what they may not. */
#include <fcntl.h>
#include <poll.h>
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

#include "base/bus/bus.h"
#include "base/bus/jetstream.h"
#include "base/bus/kv.h"
#include "base/bus/server_config.h"
#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "tests/live/server.h"

enum { SCHED, NODE1, NODE2, WORK, WORK_B, OPER, CLIENT, CLIENT_B, LEAF, LOG, LOG_B, SYSTEM, USERS };

struct heard {
    int count;
    int status;
    struct bus *answer_on; /* NULL: it is only heard */
    char data[128];
    char subject[LIMIT_SUBJECT_BYTES];
    char reply[LIMIT_SUBJECT_BYTES];
};

static struct test_server hub;
static struct test_server leaf;
static struct server_user users[USERS] = {
    [SCHED] = {.role = SERVER_SCHEDULER, .name = "main"},
    [NODE1] = {.role = SERVER_NODE, .name = "n1"},
    [NODE2] = {.role = SERVER_NODE, .name = "n2"},
    [WORK] = {.role = SERVER_WORKLOADS, .name = "default"},
    [WORK_B] = {.role = SERVER_WORKLOADS, .name = "other"},
    [OPER] = {.role = SERVER_OPERATOR, .name = "me"},
    [CLIENT] = {.role = SERVER_CLIENT, .name = "load", .namespace_ = "default"},
    [CLIENT_B] = {.role = SERVER_CLIENT, .name = "load-b", .namespace_ = "other"},
    [LEAF] = {.role = SERVER_LEAF, .name = "leaf1"},
    [LOG] = {.role = SERVER_LOG, .name = "default"},
    [LOG_B] = {.role = SERVER_LOG, .name = "other"},
    [SYSTEM] = {.role = SERVER_SYSTEM, .name = "sys"},
};
static struct bus *buses[USERS]; /* NODE2, WORK and LOG are at the leaf */
static struct error err;

static void must(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", error_name(rc), err.text);
}

static void seed_path(int user, char *out, size_t capacity)
{
    snprintf(out, capacity, "%s/%s-%d.seed", hub.folder, users[user].name, users[user].role);
}

static struct bus *connect_as(int user, const char *url)
{
    char path[700], inbox[LIMIT_SUBJECT_BYTES] = "";
    seed_path(user, path, sizeof(path));
    if (users[user].role <= SERVER_CLIENT || users[user].role == SERVER_LOG)
        server_user_inbox(&users[user], inbox);
    struct bus_options options = {
        .url = url, .seed_path = path, .inbox_prefix = inbox[0] == 0 ? NULL : inbox};
    struct bus *bus = NULL;
    must(bus_open(&options, &bus, &err));
    return bus;
}

static void dispatch_all(int wait_ms)
{
    struct pollfd fds[USERS];
    nfds_t count = 0;
    for (int i = 0; i < USERS; i++)
        if (buses[i] != NULL)
            fds[count++] = (struct pollfd){.fd = bus_fd(buses[i]), .events = POLLIN};
    (void)poll(fds, count, wait_ms);
    for (int i = 0; i < USERS; i++)
        if (buses[i] != NULL)
            (void)bus_dispatch(buses[i], 100);
}

static bool run_until(const int *value, int wanted)
{
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (*value < wanted && clock_mono_now().us < until)
        dispatch_all(50);
    return *value >= wanted;
}

static void hear(void *context, const struct bus_message *message)
{
    struct heard *heard = context;
    heard->count++;
    heard->status = message->status;
    snprintf(heard->data, sizeof(heard->data), "%s", message->data);
    snprintf(heard->subject, sizeof(heard->subject), "%s", message->subject);
    snprintf(heard->reply, sizeof(heard->reply), "%s", message->reply);
    if (heard->answer_on != NULL && message->reply[0] != 0)
        must(bus_publish(heard->answer_on, message->reply, NULL, "yes", 3, &err));
}

static void listen_as(int user, const char *subject, struct heard *heard)
{
    must(bus_subscribe(buses[user], subject, NULL, hear, heard, NULL, &err));
    must(bus_flush(buses[user], 5 * US_PER_S, &err));
}

/* Waits until the server has told `user` of one more refusal. */
static void expect_denied(int user, uint64_t before)
{
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (bus_stats(buses[user]).denied == before && clock_mono_now().us < until)
        dispatch_all(20);
    if (bus_stats(buses[user]).denied == before)
        fail_msg("%s was not refused", users[user].name);
}

static void denied_publish(int user, const char *subject)
{
    uint64_t before = bus_stats(buses[user]).denied;
    must(bus_publish(buses[user], subject, NULL, "x", 1, &err));
    expect_denied(user, before);
}

static void denied_subscribe(int user, const char *subject)
{
    struct heard nothing = {0};
    uint64_t before = bus_stats(buses[user]).denied;
    struct bus_subscription *subscription = NULL;
    must(bus_subscribe(buses[user], subject, NULL, hear, &nothing, &subscription, &err));
    expect_denied(user, before);
    bus_unsubscribe(subscription);
}

/* A request from one user that another, listening on `subject`, answers. Interest may still be on
 * its way from the leaf, so "nobody answers" is asked again. */
static void answered(int from, int by, const char *subject)
{
    struct heard question = {.answer_on = buses[by]};
    struct heard answer = {0};
    struct bus_subscription *subscription = NULL;
    must(bus_subscribe(buses[by], subject, NULL, hear, &question, &subscription, &err));
    must(bus_flush(buses[by], 5 * US_PER_S, &err));
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    do {
        int wanted = answer.count + 1;
        must(bus_request(buses[from], subject, "?", 1, 20 * US_PER_S, hear, &answer, &err));
        assert_true(run_until(&answer.count, wanted));
    } while (answer.status == 503 && clock_mono_now().us < until);
    if (answer.status != 0 || !str_equal(answer.data, "yes"))
        fail_msg("%s got no answer of %s on %s: status %d", users[from].name, users[by].name,
                 subject, answer.status);
    bus_unsubscribe(subscription);
}

static void write_config(struct test_server *server, const struct server_config *config)
{
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    must(server_config_write(config, &text, &err));
    test_server_start(server, strbuf_text(&text));
    strbuf_done(&text);
}

static void seed_read(int user, char seed[128])
{
    char path[700];
    seed_path(user, path, sizeof(path));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(seed, 128, file));
    seed[strcspn(seed, "\n")] = 0;
    fclose(file);
}

static int setup(void **state)
{
    (void)state;
    static char store[700], seed[128], log_seed[128];
    static const struct server_log_remote log = {"default", log_seed};
    char path[700];
    test_server_init(&hub);
    test_server_init(&leaf);
    for (int i = 0; i < USERS; i++) {
        seed_path(i, path, sizeof(path));
        must(nkey_file_ensure(path, users[i].public_key, &err));
    }
    seed_read(LEAF, seed);
    seed_read(LOG, log_seed);
    snprintf(store, sizeof(store), "%s/js", hub.folder);
    struct server_config config = {.server_name = "hub",
                                   .port = hub.port,
                                   .leaf_port = hub.leaf_port,
                                   .store_dir = store,
                                   .users = users,
                                   .user_count = USERS};
    write_config(&hub, &config);
    char remote[64];
    snprintf(remote, sizeof(remote), "nats://127.0.0.1:%d", hub.leaf_port);
    struct server_config joined = {.server_name = "leaf",
                                   .port = leaf.port,
                                   .remote_url = remote,
                                   .remote_seed = seed,
                                   .logs = &log,
                                   .log_count = 1,
                                   .users = users,
                                   .user_count = USERS};
    write_config(&leaf, &joined);
    for (int i = 0; i < USERS; i++)
        if (i != LEAF)
            buses[i] = connect_as(i, i == NODE2 || i == WORK || i == LOG ? leaf.url : hub.url);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < USERS; i++)
        bus_close(buses[i]);
    test_server_done(&leaf);
    test_server_done(&hub);
    return 0;
}

static void test_server_checks_it(void **state)
{
    (void)state;
    const char *paths[] = {hub.config_path, leaf.config_path};
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            int null = open("/dev/null", O_WRONLY);
            dup2(null, STDERR_FILENO);
            execl(test_server_program(), "nats-server", "-t", "-c", paths[i], (char *)NULL);
            _exit(126);
        }
        int status = -1;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

static void test_no_credentials(void **state)
{
    (void)state;
    const char *urls[] = {hub.url, leaf.url};
    char path[700], public_key[NKEY_TEXT_BYTES];
    snprintf(path, sizeof(path), "%s/stranger.seed", hub.folder);
    must(nkey_file_ensure(path, public_key, &err));
    for (int i = 0; i < 2; i++) {
        struct bus *bus = NULL;
        struct bus_options options = {.url = urls[i]};
        assert_int_equal(bus_open(&options, &bus, &err), ERR_DENIED);
        assert_non_null(strstr(err.text, "Authorization Violation"));
        options.seed_path = path;
        assert_int_equal(bus_open(&options, &bus, &err), ERR_DENIED);
    }
    struct bus_server about;
    must(bus_server(buses[SCHED], &about, &err));
    assert_true(about.auth_required);
}

static void test_node_is_only_itself(void **state)
{
    (void)state;
    struct heard beats = {0};
    listen_as(SCHED, SUBJECT_NODE_BEAT, &beats);
    denied_publish(NODE1, "berth.v1.node.n2.beat");
    denied_publish(NODE1, "berth.v1.node.n2.cmd");
    denied_publish(NODE1, "berth.v1.node.n1.cmd");
    denied_publish(NODE1, "berth.v1.metrics.n2");
    denied_publish(NODE1, "berth.v1.event.default.a.b");
    denied_publish(NODE1, "berth.v1.ctl.apply");
    denied_publish(NODE1, "svc.default.x");
    denied_publish(NODE1, "_INBOX.o.me.x");
    denied_subscribe(NODE1, "berth.v1.node.n2.cmd");
    denied_subscribe(NODE1, "berth.v1.node.*.beat");
    denied_subscribe(NODE1, "_INBOX.>");
    denied_subscribe(NODE1, "_INBOX.n.n2.>");
    denied_subscribe(NODE1, ">");
    must(bus_publish(buses[NODE1], "berth.v1.node.n1.beat", NULL, "b1", 2, &err));
    assert_true(run_until(&beats.count, 1));
    assert_string_equal(beats.subject, "berth.v1.node.n1.beat");
    assert_int_equal(beats.count, 1);
    answered(SCHED, NODE1, "berth.v1.node.n1.cmd");
    answered(NODE1, SCHED, "berth.v1.node.n1.hello");
    answered(NODE1, NODE2, "berth.v1.node.n2.echo");
}

static void test_tenants_are_apart(void **state)
{
    (void)state;
    answered(CLIENT, WORK, "svc.default.echo");
    answered(CLIENT_B, WORK_B, "svc.other.echo");
    answered(WORK, WORK, "svc.default.echo");
    answered(NODE1, WORK, "berth.v1.at.default.w.i1");
    answered(SCHED, WORK, "berth.v1.at.default.w.i1");
    denied_publish(CLIENT, "svc.other.echo");
    denied_publish(CLIENT, "berth.v1.at.default.w.i1");
    denied_subscribe(CLIENT, "svc.default.echo");
    denied_publish(WORK_B, "svc.default.echo");
    denied_subscribe(WORK_B, "svc.default.echo");
    denied_subscribe(WORK_B, "berth.v1.at.default.w.i1");
    denied_subscribe(WORK_B, "_INBOX.w.default.>");
    denied_publish(WORK_B, "_INBOX.c.load.x");
    denied_publish(WORK_B, "_INBOX.o.me.x");
    denied_publish(WORK_B, "berth.v1.node.n1.beat");
}

/* Whoever asks may name any subject for the answer; the answerer's own rights hold, so that a
 * command cannot be laundered through a workload or the operator's tools. */
static void test_answer_elsewhere(void **state)
{
    (void)state;
    struct heard commands = {0};
    struct heard service = {.answer_on = buses[WORK_B]};
    listen_as(NODE1, "berth.v1.node.n1.cmd", &commands);
    listen_as(WORK_B, "svc.other.deputy", &service);
    uint64_t before = bus_stats(buses[WORK_B]).denied;
    must(bus_publish(buses[CLIENT_B], "svc.other.deputy", "berth.v1.node.n1.cmd", "x", 1, &err));
    assert_true(run_until(&service.count, 1));
    expect_denied(WORK_B, before);
    assert_int_equal(commands.count, 0);
}

/* The owners' epochs: the scheduler writes them, a namespace asks for and hears its own. */
static void test_owners(void **state)
{
    (void)state;
    struct heard told = {0};
    struct heard written = {0};
    must(kv_bucket_ensure(buses[SCHED], BUCKET_OWNERS, &err));
    listen_as(WORK_B, "$KV." BUCKET_OWNERS ".other.>", &told);
    must(kv_put(buses[SCHED], BUCKET_OWNERS, "other.shop.db.0", 0, "{\"n\":9}", 7, 20 * US_PER_S,
                hear, &written, &err));
    assert_true(run_until(&written.count, 1));
    assert_true(run_until(&told.count, 1));
    assert_string_equal(told.data, "{\"n\":9}");
    answered(WORK_B, SCHED, "berth.v1.owner.other.shop.db.0");
    denied_publish(WORK_B, "berth.v1.owner.default.shop.db.0");
    denied_publish(WORK_B, "$KV." BUCKET_OWNERS ".other.shop.db.0");
    /* Whoever may ask JetStream may have it answer into another namespace's key. */
    denied_publish(WORK_B,
                   "$JS.API.DIRECT.GET.KV_" BUCKET_OWNERS ".$KV." BUCKET_OWNERS ".other.shop.db.0");
    denied_publish(WORK_B, "$JS.API.STREAM.MSG.GET.KV_" BUCKET_OWNERS);
    denied_subscribe(WORK_B, "$KV." BUCKET_OWNERS ".default.>");
    denied_publish(NODE1, "$KV." BUCKET_OWNERS ".other.shop.db.0");
}

/* A call of JetStream whose answer has `wanted` in it; asked again while nobody answers, as the
 * leaf's connection of that account may be on its way. The answer is the caller's. */
static char *call(int user, const char *subject, const char *body, const char *wanted)
{
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    char *data = NULL;
    int rc;
    do
        rc = bus_call(buses[user], subject, body, strlen(body), 2 * US_PER_S, &data, NULL, &err);
    while (rc < 0 && clock_mono_now().us < until);
    must(rc);
    if (strstr(data, wanted) == NULL)
        fail_msg("%s: %s", subject, data);
    return data;
}

/* The log of a namespace, in an account of its own: written and read from the leaf and the hub by
 * its user, and by nobody else. What JetStream sends to where the request says stays in there. */
static void test_logs(void **state)
{
    (void)state;
    struct heard commands = {0};
    struct heard delivered = {0};
    char subject[LIMIT_SUBJECT_BYTES], body[256];
    free(call(LOG, "$JS.API.STREAM.CREATE.berth_log_default",
              "{\"name\":\"berth_log_default\",\"subjects\":[\"svclog.default.>\"]}",
              "\"config\""));
    free(call(LOG, "svclog.default.w", "a command", "\"seq\":1"));
    free(call(LOG, "$JS.API.STREAM.MSG.GET.berth_log_default", "{\"seq\":1}", "YSBjb21tYW5k"));
    /* Not the neighbour, by whatever name; not with its own namespace's other user. */
    denied_publish(LOG_B, "svclog.default.w");
    denied_publish(LOG_B, "$JS.API.STREAM.MSG.GET.berth_log_default");
    denied_publish(LOG_B, "$JS.API.STREAM.INFO.berth_log_default");
    denied_publish(LOG_B, "$JS.API.CONSUMER.CREATE.berth_log_default");
    denied_publish(LOG_B, "$JS.API.STREAM.CREATE.berth_log_other2");
    denied_subscribe(LOG_B, "svclog.default.>");
    denied_subscribe(LOG_B, "_INBOX.l.default.>");
    denied_publish(WORK, "svclog.default.w");
    denied_publish(WORK, "$JS.API.STREAM.MSG.GET.berth_log_default");
    denied_publish(LOG, "$JS.API.STREAM.PURGE.berth_log_default");
    denied_publish(LOG, "$JS.API.STREAM.DELETE.berth_log_default");
    denied_publish(LOG, "$JS.API.STREAM.UPDATE.berth_log_default");
    denied_publish(LOG, "$JS.API.STREAM.MSG.DELETE.berth_log_default");
    denied_publish(LOG, "svc.default.x");
    denied_publish(LOG, "berth.v1.node.n1.cmd");
    /* The neighbour's account does not have the stream, even where the name would be its own. */
    free(call(LOG_B, "$JS.API.STREAM.INFO.berth_log_other", "", "stream not found"));
    /* A stream that gathers another's subjects hears its own account's only. */
    free(call(LOG_B, "$JS.API.STREAM.CREATE.berth_log_other",
              "{\"name\":\"berth_log_other\",\"subjects\":[\"svclog.>\",\"berth.v1.node.>\"]}",
              "\"config\""));
    free(call(LOG, "svclog.default.w", "more", "\"seq\":2"));
    must(bus_publish(buses[NODE1], "berth.v1.node.n1.beat", NULL, "b", 1, &err));
    must(bus_flush(buses[NODE1], 5 * US_PER_S, &err));
    free(call(LOG_B, "$JS.API.STREAM.INFO.berth_log_other", "", "\"messages\":0"));
    /* Delivered to where the request says, as to an inbox of its own: no node hears of it. */
    listen_as(NODE1, "berth.v1.node.n1.cmd", &commands);
    listen_as(LOG, "_INBOX.l.default.here", &delivered);
    const char *const places[] = {"berth.v1.node.n1.cmd", "_INBOX.l.default.here"};
    for (int i = 0; i < 2; i++) {
        str_format(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.berth_log_default.c%d", i);
        str_format(body, sizeof body,
                   "{\"stream_name\":\"berth_log_default\",\"config\":{\"name\":\"c%d\","
                   "\"ack_policy\":\"none\",\"deliver_policy\":\"all\"}}",
                   i);
        free(call(LOG, subject, body, "\"config\""));
        str_format(subject, sizeof subject, "$JS.API.CONSUMER.MSG.NEXT.berth_log_default.c%d", i);
        must(bus_publish(buses[LOG], subject, places[i], "1", 1, &err));
    }
    assert_true(run_until(&delivered.count, 1));
    assert_string_equal(delivered.data, "a command");
    answered(NODE2, NODE1, "berth.v1.node.n1.echo"); /* time enough for the other */
    assert_int_equal(commands.count, 0);
}

/* Why the log's account is its own: JetStream answers to any subject that the request names, also
 * where the one who asks may not publish. */
static void test_jetstream_answers_anywhere(void **state)
{
    (void)state;
    struct heard told = {0};
    must(stream_ensure(buses[SCHED], STREAM_EVENTS, SUBJECT_EVENT_ALL, 0, 0, &err));
    listen_as(WORK_B, "svc.other.victim", &told);
    denied_publish(SCHED, "svc.other.victim");
    must(bus_publish(buses[SCHED], "$JS.API.STREAM.INFO." STREAM_EVENTS, "svc.other.victim", "", 0,
                     &err));
    assert_true(run_until(&told.count, 1));
}

static void test_operator(void **state)
{
    (void)state;
    struct heard events = {0};
    answered(OPER, SCHED, "berth.v1.ctl.get");
    answered(OPER, SCHED, "$SRV.PING");
    listen_as(OPER, SUBJECT_EVENT_ALL, &events);
    must(bus_publish(buses[SCHED], "berth.v1.event.default.a.b", NULL, "e", 1, &err));
    assert_true(run_until(&events.count, 1));
    denied_publish(OPER, "berth.v1.node.n1.cmd");
    denied_publish(OPER, "berth.v1.event.default.a.b");
    denied_subscribe(OPER, "berth.v1.ctl.>");
    denied_publish(SCHED, "svc.default.x");
}

static void test_artifacts(void **state)
{
    (void)state;
    char path[700], put[LIMIT_DIGEST_BYTES], got[LIMIT_DIGEST_BYTES];
    must(stream_ensure(buses[SCHED], STREAM_EVENTS, SUBJECT_EVENT_ALL, 0, 0, &err));
    must(object_bucket_ensure(buses[SCHED], BUCKET_ARTIFACTS, &err));
    must(object_bucket_ensure(buses[OPER], BUCKET_ARTIFACTS, &err));
    must(object_put_file(buses[OPER], BUCKET_ARTIFACTS, "app", test_server_program(), put, &err));
    must(object_put_file(buses[OPER], BUCKET_ARTIFACTS, "app", test_server_program(), put, &err));
    /* From the hub, and through the leaf. */
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/fetched", hub.folder);
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        must(object_get_fd(buses[i == 0 ? NODE1 : NODE2], BUCKET_ARTIFACTS, "app", fd, 1 << 28, got,
                           &err));
        assert_string_equal(put, got);
        close(fd);
    }
    denied_publish(NODE1, "$O.artifacts.M.YXBw");
    denied_publish(NODE1, "$JS.API.STREAM.PURGE.OBJ_artifacts");
    denied_publish(NODE2, "$JS.API.STREAM.PURGE.OBJ_artifacts");
    denied_publish(NODE1, "$JS.API.STREAM.DELETE.OBJ_artifacts");
    denied_publish(NODE1, "$JS.API.STREAM.PURGE." STREAM_EVENTS);
    denied_publish(OPER, "$JS.API.STREAM.DELETE.OBJ_artifacts");
    denied_publish(WORK, "$JS.API.STREAM.PURGE.OBJ_artifacts");
    /* Another account's user reaches no stream of this one, whatever its own rights are. */
    char *data = NULL;
    int rc = bus_call(buses[SYSTEM], "$JS.API.STREAM.PURGE.OBJ_artifacts", "", 0, 2 * US_PER_S,
                      &data, NULL, &err);
    assert_true(rc < 0 || strstr(data, "\"error\"") != NULL);
    free(data);
    struct object_info info;
    must(object_stat(buses[NODE2], BUCKET_ARTIFACTS, "app", &info, &err));
    assert_string_equal(info.digest, put);
}

static void test_wrong_configurations(void **state)
{
    (void)state;
    struct server_user wrong[2] = {users[NODE1], users[NODE2]};
    struct server_config config = {.port = 4222, .users = wrong, .user_count = 2};
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    snprintf(wrong[1].name, sizeof(wrong[1].name), "a.b");
    assert_int_equal(server_config_write(&config, &text, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "users[1]"));
    snprintf(wrong[1].name, sizeof(wrong[1].name), ">");
    assert_int_equal(server_config_write(&config, &text, &err), ERR_INVALID);
    wrong[1] = wrong[0];
    assert_int_equal(server_config_write(&config, &text, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "same key"));
    wrong[1] = users[NODE2];
    wrong[1].public_key[5] = '}';
    assert_int_equal(server_config_write(&config, &text, &err), ERR_INVALID);
    wrong[1] = users[NODE2];
    config.store_dir = "a\"b";
    assert_int_equal(server_config_write(&config, &text, &err), ERR_INVALID);
    config.store_dir = NULL;
    config.port = 0;
    assert_int_equal(server_config_write(&config, &text, &err), ERR_INVALID);
    config.port = 4222;
    assert_int_equal(text.bytes, 0);
    must(server_config_write(&config, &text, &err));
    assert_null(strstr(strbuf_text(&text), "\nauthorization"));
    strbuf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_checks_it),
        cmocka_unit_test(test_no_credentials),
        cmocka_unit_test(test_node_is_only_itself),
        cmocka_unit_test(test_tenants_are_apart),
        cmocka_unit_test(test_answer_elsewhere),
        cmocka_unit_test(test_owners),
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_jetstream_answers_anywhere),
        cmocka_unit_test(test_operator),
        cmocka_unit_test(test_artifacts),
        cmocka_unit_test(test_wrong_configurations),
    };
    return cmocka_run_group_tests_name("access", tests, setup, teardown);
}
