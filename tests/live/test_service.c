/* The scheduler as a process of its own on a real nats-server with accounts and permissions. The
 * nodes are played by this test: they speak the wire, and answer as a node does, at once. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/bus.h"
#include "base/bus/server_config.h"
#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/wire/messages.h"
#include "scheduler/service/service.h"
#include "tests/live/server.h"

#define WAIT_US (60 * US_PER_S)
#define BEAT_US (US_PER_S / 5)
#define COPIES  16
#define DIGEST  "sha256:0000000000000000000000000000000000000000000000000000000000000000"

struct fixture;

/* A node: what runs on it, as it would report it. */
struct node {
    struct fixture *fixture;
    struct bus *bus;
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    uint64_t seq;
    bool silent;     /* says nothing: neither beats nor answers */
    bool ready_late; /* START leads to "starting" only */
    int hellos;
    int commands;
    struct message_instance copies[COPIES];
    int copy_count;
};

struct fixture {
    struct test_server server;
    char state[600];
    char world[600];
    pid_t scheduler;
    struct bus *client;
    struct bus *workloads;
    struct node nodes[2];
    int64_t beat_us;
    uint64_t ids;
};

static const char world_text[] =
    "world: test\n"
    "currency: USD\n"
    "accounts:\n"
    "  - {name: gcp-main, provider: gcp}\n"
    "  - {name: aws-main, provider: aws}\n"
    "sites:\n"
    "  - {name: gcp/us-central1, tier: cloud, account: gcp-main, price: {cpu: 0.021811, memory: "
    "0.002923}}\n"
    "  - {name: aws/us-east-1, tier: cloud, account: aws-main, price: {cpu: 0.031248, memory: "
    "0.004188}}\n"
    "latency:\n"
    "  mode: declared\n"
    "  pairs:\n"
    "    - {between: [gcp/us-central1, aws/us-east-1], rtt: 28ms}\n"
    "policy: {settle: 10ms, dwell: 1s, horizon: 1h, healthy_min: 100ms, node_timeout: 4s}\n";

static const char app_text[] = "app: shop\n"
                               "namespace: default\n"
                               "workloads:\n"
                               "  - name: source\n"
                               "    run: {driver: process, artifact: \"file:/bin/true\", digest: "
                               "\"" DIGEST "\"}\n"
                               "    contract: true\n"
                               "    ready: {kind: contract}\n"
                               "    resources: {cpu: 250m, memory: 64MiB, pids: 64}\n"
                               "    require: {cloud: gcp}\n"
                               "    calls: 20/s\n"
                               "    timeouts: {start: 20s, drain: 10s, stop: 5s}\n";

/* ---- the nodes ---- */

static void publish(struct node *node, const char *subject, const struct wire_shape *shape,
                    const void *message)
{
    struct strbuf text;
    struct error err;
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_encode(shape, message, &text);
    assert_int_equal(strbuf_error(&text, NULL), 0);
    /* While the server is away nothing is sent: as for any node. */
    (void)!bus_publish(node->bus, subject, NULL, strbuf_text(&text), text.bytes, &err);
    strbuf_done(&text);
}

static void say_hello(struct node *node)
{
    char subject[LIMIT_SUBJECT_BYTES];
    struct message_hello hello = {
        .boot_id = "boot-1",
        .arch = "x86_64",
        .drivers = "process",
        .boot_us = clock_boot_now().us,
        .mcpu = 4000,
        .memory_bytes = INT64_C(8) << 30,
        .seq = node->seq,
        .instances = node->copies,
        .instance_count = node->copy_count,
    };
    memcpy(hello.node, node->name, sizeof(hello.node));
    memcpy(hello.site, node->site, sizeof(hello.site));
    subject_node(node->name, "hello", subject);
    publish(node, subject, &message_hello_shape, &hello);
    node->hellos++;
}

static void say_beat(struct node *node)
{
    char subject[LIMIT_SUBJECT_BYTES];
    struct message_beat beat = {
        .boot_id = "boot-1", .boot_us = clock_boot_now().us, .seq = node->seq};
    memcpy(beat.node, node->name, sizeof(beat.node));
    subject_node(node->name, "beat", subject);
    publish(node, subject, &message_beat_shape, &beat);
}

static struct message_instance *copy_of(struct node *node, const struct message_command *command)
{
    for (int i = 0; i < node->copy_count; i++)
        if (strcmp(node->copies[i].instance, command->instance) == 0)
            return &node->copies[i];
    assert_true(node->copy_count < COPIES);
    struct message_instance *copy = &node->copies[node->copy_count++];
    *copy = (struct message_instance){.replica = command->spec.replica};
    memcpy(copy->instance, command->instance, sizeof(copy->instance));
    memcpy(copy->namespace_, command->spec.namespace_, sizeof(copy->namespace_));
    memcpy(copy->app, command->spec.app, sizeof(copy->app));
    memcpy(copy->workload, command->spec.workload, sizeof(copy->workload));
    return copy;
}

static void report(struct node *node, struct message_instance *copy, enum instance_state state)
{
    char subject[LIMIT_SUBJECT_BYTES];
    copy->state = (int)state;
    struct message_report message = {
        .boot_id = "boot-1", .seq = ++node->seq, .boot_us = clock_boot_now().us, .instance = *copy};
    memcpy(message.node, node->name, sizeof(message.node));
    subject_node(node->name, "report", subject);
    publish(node, subject, &message_report_shape, &message);
}

static void obey(struct node *node, const struct message_command *command)
{
    struct message_instance *copy = copy_of(node, command);
    copy->epoch = command->epoch;
    switch (command->verb) {
    case NODE_STAGE:
        report(node, copy, INSTANCE_STAGED);
        break;
    case NODE_START:
        report(node, copy, node->ready_late ? INSTANCE_STARTING : INSTANCE_READY);
        break;
    case NODE_DRAIN:
        report(node, copy, INSTANCE_HELD);
        break;
    case NODE_RESUME:
        report(node, copy, INSTANCE_READY);
        break;
    case NODE_STOP:
        report(node, copy, INSTANCE_STOPPED);
        break;
    case NODE_PROBE: {
        char subject[LIMIT_SUBJECT_BYTES];
        struct message_probed probed = {
            .sent = command->probe_count, .answered = command->probe_count, .rtt_us = 1000};
        memcpy(probed.node, node->name, sizeof(probed.node));
        memcpy(probed.id, command->id, sizeof(probed.id));
        memcpy(probed.instance, command->instance, sizeof(probed.instance));
        subject_node(node->name, "probed", subject);
        publish(node, subject, &message_probed_shape, &probed);
        break;
    }
    default: /* NODE_FORGET */
        break;
    }
}

static void on_command(void *context, const struct bus_message *message)
{
    struct node *node = context;
    struct error err = {0};
    char type[LIMIT_NAME_BYTES];
    struct arena arena;
    if (node->silent || message->status != 0)
        return;
    assert_int_equal(wire_type_of(message->data, message->bytes, type, sizeof(type), &err), 0);
    if (strcmp(type, "node.answer") == 0) { /* who are you? */
        say_hello(node);
        return;
    }
    arena_init(&arena, (size_t)8 << 20);
    struct message_command command;
    if (wire_decode(&message_command_shape, message->data, message->bytes, 0, &arena, &command,
                    &err) < 0)
        fail_msg("%s: %s", err.text, message->data);
    node->commands++;
    struct message_answer answer = {.epoch = command.epoch};
    memcpy(answer.id, command.id, sizeof(answer.id));
    memcpy(answer.node, node->name, sizeof(answer.node));
    publish(node, message->reply, &message_answer_shape, &answer);
    obey(node, &command);
    arena_done(&arena);
}

/* What the workloads' contract promises: the instance's own subject answers with its identity. */
static void on_at(void *context, const struct bus_message *message)
{
    struct fixture *fixture = context;
    char instance[LIMIT_ID_BYTES];
    struct error err;
    assert_int_equal(subject_token(message->subject, 5, instance, sizeof(instance)), 0);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < fixture->nodes[i].copy_count; k++)
            if (strcmp(fixture->nodes[i].copies[k].instance, instance) == 0 &&
                fixture->nodes[i].copies[k].state == INSTANCE_READY)
                (void)!bus_publish(fixture->workloads, message->reply, NULL, instance,
                                   strlen(instance), &err);
}

/* One short turn for all the test's own connections. */
static void pump(struct fixture *fixture)
{
    struct pollfd fds[4] = {
        {.fd = bus_fd(fixture->client), .events = POLLIN},
        {.fd = bus_fd(fixture->workloads), .events = POLLIN},
        {.fd = bus_fd(fixture->nodes[0].bus), .events = POLLIN},
        {.fd = bus_fd(fixture->nodes[1].bus), .events = POLLIN},
    };
    (void)poll(fds, 4, 20);
    (void)bus_dispatch(fixture->client, 100);
    (void)bus_dispatch(fixture->workloads, 100);
    for (int i = 0; i < 2; i++)
        (void)bus_dispatch(fixture->nodes[i].bus, 100);
    int64_t now_us = clock_mono_now().us;
    if (now_us - fixture->beat_us < BEAT_US)
        return;
    fixture->beat_us = now_us;
    for (int i = 0; i < 2; i++)
        if (!fixture->nodes[i].silent)
            say_beat(&fixture->nodes[i]);
}

/* ---- the scheduler's process ---- */

static struct service_options options_of(const struct fixture *fixture)
{
    static char seed[700];
    str_format(seed, sizeof(seed), "%s/scheduler.nk", fixture->server.folder);
    return (struct service_options){
        .state_dir = fixture->state,
        .nats_url = fixture->server.url,
        .seed_path = seed,
        .solver_path = BERTH_BINARY_DIR "/bin/berth-solve",
        .world_path = fixture->world,
    };
}

/* In a process of its own image: a forked copy would have nats.c's memory without its threads. */
static void scheduler_start(struct fixture *fixture)
{
    struct service_options options = options_of(fixture);
    pid_t parent = getpid();
    fixture->scheduler = fork();
    assert_true(fixture->scheduler >= 0);
    if (fixture->scheduler != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(125);
    execl("/proc/self/exe", "test_service", "--scheduler", options.state_dir, options.nats_url,
          options.seed_path, options.world_path, (char *)NULL);
    _exit(126);
}

static int scheduler_main(char **arguments)
{
    struct service_options options = {
        .state_dir = arguments[0],
        .nats_url = arguments[1],
        .seed_path = arguments[2],
        .world_path = arguments[3],
        .solver_path = BERTH_BINARY_DIR "/bin/berth-solve",
    };
    struct service *service = NULL;
    struct error err = {0};
    int rc = service_open(&options, &service, &err);
    if (rc == 0)
        rc = service_run(service, &err);
    if (rc < 0)
        fprintf(stderr, "scheduler: %s\n", err.text);
    service_close(service);
    return rc < 0 ? 1 : 0;
}

static void scheduler_end(struct fixture *fixture, int signal_number)
{
    int status = 0;
    if (fixture->scheduler <= 0)
        return;
    assert_int_equal(kill(fixture->scheduler, signal_number), 0);
    assert_int_equal(waitpid(fixture->scheduler, &status, 0), fixture->scheduler);
    fixture->scheduler = 0;
    if (signal_number == SIGTERM)
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- control ---- */

/* The whole reply; its body, parsed, under "parsed". NULL: there was none. */
static json_t *try_ctl(struct fixture *fixture, const char *verb, struct message_request request)
{
    struct strbuf text;
    struct error err = {0};
    char subject[LIMIT_SUBJECT_BYTES];
    char *data = NULL;
    size_t bytes = 0;
    if (request.id[0] == 0)
        str_format(request.id, sizeof(request.id), "t%d-%" PRIu64, (int)getpid(), ++fixture->ids);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_encode(&message_request_shape, &request, &text);
    subject_ctl(verb, subject);
    int rc = bus_call(fixture->client, subject, strbuf_text(&text), text.bytes, 10 * US_PER_S,
                      &data, &bytes, &err);
    strbuf_done(&text);
    if (rc < 0)
        return NULL;
    json_t *reply = json_loadb(data, bytes, 0, NULL);
    free(data);
    assert_non_null(reply);
    const char *body = json_string_value(json_object_get(reply, "body"));
    if (body != NULL && body[0] != 0) {
        json_t *parsed = json_loads(body, 0, NULL);
        if (parsed == NULL)
            fail_msg("body is no JSON: %s", body);
        json_object_set_new(reply, "parsed", parsed);
    }
    return reply;
}

static int code_of(const json_t *reply)
{
    return (int)json_integer_value(json_object_get(reply, "code"));
}

/* The body of an answer that has to be 0; the caller's to free. */
static json_t *ctl(struct fixture *fixture, const char *verb, struct message_request request)
{
    json_t *reply = try_ctl(fixture, verb, request);
    if (reply == NULL)
        fail_msg("%s: no answer", verb);
    if (code_of(reply) != 0)
        fail_msg("%s: %s", verb, json_string_value(json_object_get(reply, "text")));
    json_t *body = json_incref(json_object_get(reply, "parsed"));
    json_decref(reply);
    assert_non_null(body);
    return body;
}

/* An answer that has to be this error, with this word in its text. */
static void refused(struct fixture *fixture, const char *verb, struct message_request request,
                    int code, const char *word)
{
    json_t *reply = try_ctl(fixture, verb, request);
    assert_non_null(reply);
    const char *text = json_string_value(json_object_get(reply, "text"));
    if (code_of(reply) != code || text == NULL || strstr(text, word) == NULL)
        fail_msg("%s gave %s: %s", verb, error_name(code_of(reply)), text == NULL ? "" : text);
    json_decref(reply);
}

static void await_scheduler(struct fixture *fixture)
{
    int64_t until_us = clock_mono_now().us + WAIT_US;
    for (;;) {
        json_t *reply = try_ctl(fixture, "info", (struct message_request){0});
        json_decref(reply);
        if (reply != NULL)
            return;
        assert_true(clock_mono_now().us < until_us);
        assert_int_equal(waitpid(fixture->scheduler, NULL, WNOHANG), 0);
        pump(fixture);
    }
}

static int64_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

/* Asks `get kind` until an item has key = value and, if given, key2 = value2. */
static void await_item(struct fixture *fixture, const char *kind, const char *key,
                       const char *value, const char *key2, const char *value2)
{
    int64_t until_us = clock_mono_now().us + WAIT_US;
    char *last = NULL;
    while (clock_mono_now().us < until_us) {
        struct message_request request = {0};
        str_format(request.kind, sizeof(request.kind), "%s", kind);
        json_t *body = ctl(fixture, "get", request);
        json_t *items = json_object_get(body, "items");
        size_t index;
        json_t *item;
        bool found = false;
        json_array_foreach(items, index, item) found =
            found || (strcmp(string(item, key), value) == 0 &&
                      (key2 == NULL || strcmp(string(item, key2), value2) == 0));
        free(last);
        last = json_dumps(body, JSON_INDENT(1));
        json_decref(body);
        if (found) {
            free(last);
            return;
        }
        pump(fixture);
    }
    fail_msg("no %s with %s=%s %s=%s: %s", kind, key, value, key2 == NULL ? "" : key2,
             key2 == NULL ? "" : value2, last);
}

static struct message_request request_for(const char *app, const char *workload)
{
    struct message_request request = {.namespace_ = "default"};
    str_format(request.app, sizeof(request.app), "%s", app);
    str_format(request.workload, sizeof(request.workload), "%s", workload);
    return request;
}

static struct message_request retag_to(const char *cloud)
{
    struct message_request request = request_for("shop", "source");
    str_format(request.key, sizeof(request.key), "cloud");
    str_format(request.value, sizeof(request.value), "%s", cloud);
    return request;
}

static void apply_app(struct fixture *fixture)
{
    json_decref(ctl(fixture, "apply", (struct message_request){.document = app_text}));
}

/* ---- the set-up ---- */

static void add_user(struct fixture *fixture, struct server_user *user, enum server_role role,
                     const char *name)
{
    char path[700];
    struct error err = {0};
    *user = (struct server_user){.role = (int)role};
    str_format(user->name, sizeof(user->name), "%s", name);
    str_format(path, sizeof(path), "%s/%s.nk", fixture->server.folder, name);
    if (nkey_file_ensure(path, user->public_key, &err) < 0)
        fail_msg("%s", err.text);
}

static struct bus *connect_as(struct fixture *fixture, const struct server_user *user)
{
    char path[700];
    char inbox[LIMIT_SUBJECT_BYTES];
    struct error err = {0};
    struct bus *bus = NULL;
    server_user_inbox(user, inbox);
    str_format(path, sizeof(path), "%s/%s.nk", fixture->server.folder, user->name);
    struct bus_options options = {
        .url = fixture->server.url, .name = user->name, .seed_path = path, .inbox_prefix = inbox};
    if (bus_open(&options, &bus, &err) < 0)
        fail_msg("%s", err.text);
    return bus;
}

static void subscribe(struct bus *bus, const char *subject, bus_handler *handler, void *context)
{
    struct error err = {0};
    if (bus_subscribe(bus, subject, NULL, handler, context, NULL, &err) < 0)
        fail_msg("%s", err.text);
}

static void start_server(struct fixture *fixture, struct server_user users[5])
{
    struct error err = {0};
    struct strbuf text;
    char store[600];
    assert_int_equal(keys_init(&err), 0);
    test_server_init(&fixture->server);
    add_user(fixture, &users[0], SERVER_SCHEDULER, "scheduler");
    add_user(fixture, &users[1], SERVER_OPERATOR, "operator");
    add_user(fixture, &users[2], SERVER_WORKLOADS, "default");
    add_user(fixture, &users[3], SERVER_NODE, "n1");
    add_user(fixture, &users[4], SERVER_NODE, "n2");
    str_format(store, sizeof(store), "%s/js", fixture->server.folder);
    struct server_config config = {.server_name = "test",
                                   .port = fixture->server.port,
                                   .store_dir = store,
                                   .users = users,
                                   .user_count = 5};
    strbuf_init(&text, (size_t)1 << 20);
    if (server_config_write(&config, &text, &err) < 0)
        fail_msg("%s", err.text);
    test_server_start(&fixture->server, strbuf_text(&text));
    strbuf_done(&text);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct server_user users[5];
    assert_non_null(fixture);
    start_server(fixture, users);
    str_format(fixture->state, sizeof(fixture->state), "%s/state", fixture->server.folder);
    str_format(fixture->world, sizeof(fixture->world), "%s/world.yaml", fixture->server.folder);
    FILE *world = fopen(fixture->world, "w");
    assert_non_null(world);
    fputs(world_text, world);
    assert_int_equal(fclose(world), 0);
    scheduler_start(fixture);
    static const char *const sites[] = {"gcp/us-central1", "aws/us-east-1"};
    for (int i = 0; i < 2; i++) {
        struct node *node = &fixture->nodes[i];
        char subject[LIMIT_SUBJECT_BYTES];
        node->fixture = fixture;
        str_format(node->name, sizeof(node->name), "n%d", i + 1);
        str_format(node->site, sizeof(node->site), "%s", sites[i]);
        node->bus = connect_as(fixture, &users[3 + i]);
        subject_node(node->name, "cmd", subject);
        subscribe(node->bus, subject, on_command, node);
    }
    fixture->client = connect_as(fixture, &users[1]);
    fixture->workloads = connect_as(fixture, &users[2]);
    subscribe(fixture->workloads, "berth.v1.at.default.>", on_at, fixture);
    await_scheduler(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    scheduler_end(fixture, SIGTERM);
    bus_close(fixture->client);
    bus_close(fixture->workloads);
    for (int i = 0; i < 2; i++)
        bus_close(fixture->nodes[i].bus);
    test_server_done(&fixture->server);
    free(fixture);
    return 0;
}

/* ---- the tests ---- */

static void control_answers_and_refuses(void **state)
{
    struct fixture *fixture = *state;
    json_t *info = ctl(fixture, "info", (struct message_request){0});
    assert_string_equal(string(info, "world"), "test");
    assert_int_equal(number(info, "term"), 1);
    assert_true(json_is_true(json_object_get(info, "jetstream")));
    json_decref(info);

    refused(fixture, "apply", (struct message_request){.document = "app: [1"}, ERR_INVALID,
            "document:1");
    refused(fixture, "apply",
            (struct message_request){.document = "app: shop\nnamespace: default\nworkload: []\n"},
            ERR_INVALID, "workloads");
    refused(fixture, "apply", (struct message_request){0}, ERR_INVALID, "document");
    refused(fixture, "get", (struct message_request){.kind = "nodez"}, ERR_INVALID, "nodes");
    refused(fixture, "delete", request_for("shop", ""), ERR_NOT_FOUND, "default/shop");
    refused(fixture, "delete", request_for("Shop!", ""), ERR_INVALID, "Shop!");
    refused(fixture, "explain", request_for("shop", "source"), ERR_NOT_FOUND, "default/shop");
    refused(fixture, "plan", (struct message_request){.kind = "party"}, ERR_INVALID, "party");

    struct message_request apply = {.id = "apply-1", .document = app_text};
    json_t *first = ctl(fixture, "apply", apply);
    assert_string_equal(string(first, "kind"), "app");
    assert_string_equal(string(first, "name"), "default/shop");
    int64_t version = number(first, "state_version");
    apply.document = "nonsense"; /* the same id: it was done already, and is not done again */
    json_t *again = ctl(fixture, "apply", apply);
    assert_true(json_equal(first, again));
    json_decref(first);
    json_decref(again);

    refused(fixture, "apply",
            (struct message_request){.document = app_text, .version = (uint64_t)version + 7},
            ERR_STALE, "plan");
    refused(fixture, "retag", retag_to("azure"), ERR_INVALID, "azure");
    json_t *apps = ctl(fixture, "get", (struct message_request){.kind = "apps"});
    assert_int_equal(json_array_size(json_object_get(apps, "items")), 1);
    json_decref(apps);
    static const char *const kinds[] = {"world",    "sites",     "nodes",     "app",   "instances",
                                        "handoffs", "decisions", "estimates", "prices"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct message_request get = {0};
        str_format(get.kind, sizeof(get.kind), "%s", kinds[i]);
        json_t *body = ctl(fixture, "get", get);
        assert_true(json_is_array(json_object_get(body, "items")));
        json_decref(body);
    }
}

static void a_second_scheduler_is_refused(void **state)
{
    struct fixture *fixture = *state;
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct service_options options = options_of(fixture);
        struct service *service = NULL;
        struct error err = {0};
        char pid[32];
        str_format(pid, sizeof(pid), "process %d:", (int)fixture->scheduler);
        int rc = service_open(&options, &service, &err);
        _exit(rc == ERR_LOCKED && strstr(err.text, pid) != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    json_decref(ctl(fixture, "info", (struct message_request){0}));
}

static void acknowledged_applies_survive(void **state)
{
    struct fixture *fixture = *state;
    apply_app(fixture);
    for (int round = 0; round < 2; round++) {
        scheduler_end(fixture, round == 0 ? SIGKILL : SIGTERM);
        scheduler_start(fixture);
        await_scheduler(fixture);
        json_t *info = ctl(fixture, "info", (struct message_request){0});
        assert_int_equal(number(info, "term"), round + 2);
        assert_int_equal(number(info, "apps"), 1);
        json_decref(info);
    }
    /* The answer to a change is remembered across the restart. */
    struct message_request drop = request_for("shop", "");
    str_format(drop.id, sizeof(drop.id), "delete-1");
    json_t *first = ctl(fixture, "delete", drop);
    scheduler_end(fixture, SIGKILL);
    scheduler_start(fixture);
    await_scheduler(fixture);
    json_t *again = ctl(fixture, "delete", drop);
    assert_true(json_equal(first, again));
    json_decref(first);
    json_decref(again);
}

static void both_nodes_up(struct fixture *fixture)
{
    await_item(fixture, "nodes", "name", "n1", "site", "gcp/us-central1");
    await_item(fixture, "nodes", "name", "n2", "site", "aws/us-east-1");
}

static void a_retag_is_planned_carried_out_and_explained(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    apply_app(fixture);
    await_item(fixture, "instances", "node", "n1", "state", "ready");
    await_item(fixture, "apps", "name", "shop", NULL, NULL);

    struct message_request dry = retag_to("aws");
    str_format(dry.kind, sizeof(dry.kind), "retag");
    json_t *plan = ctl(fixture, "plan", dry);
    assert_string_equal(string(plan, "status"), "optimal");
    assert_true(json_is_true(json_object_get(plan, "changes")));
    json_t *move = json_array_get(json_object_get(plan, "moves"), 0);
    assert_string_equal(string(move, "from"), "gcp/us-central1");
    assert_string_equal(string(move, "to"), "aws/us-east-1");
    assert_string_equal(string(move, "reason"), "retag");
    assert_true(number(move, "expected_us") > 0);
    assert_true(json_array_size(json_object_get(plan, "lines")) > 0);
    /* 250m and 64 MiB for 730 h: the dearer site costs what its prices say. */
    const char *before = string(json_object_get(plan, "before"), "bill");
    const char *after = string(json_object_get(plan, "after"), "bill");
    assert_true(strtod(before, NULL) > 4.0 && strtod(before, NULL) < 4.3);
    assert_true(strtod(after, NULL) > 5.8 && strtod(after, NULL) < 6.1);
    json_decref(plan);
    assert_int_equal(fixture->nodes[1].commands, 0); /* a plan only plans */

    json_decref(ctl(fixture, "retag", retag_to("aws")));
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "done");
    await_item(fixture, "instances", "node", "n2", "state", "ready");

    json_t *explanation = ctl(fixture, "explain", request_for("shop", "source"));
    assert_string_equal(string(explanation, "site"), "aws/us-east-1");
    assert_string_equal(string(explanation, "node"), "n2");
    assert_int_equal(json_array_size(json_object_get(explanation, "candidates")), 2);
    assert_true(json_array_size(json_object_get(explanation, "decisions")) >= 2);
    json_decref(explanation);
    json_t *cost = ctl(fixture, "cost", (struct message_request){0});
    assert_true(json_array_size(json_object_get(cost, "lines")) > 0);
    json_decref(cost);

    json_t *events = ctl(fixture, "events", (struct message_request){0});
    bool drained = false;
    size_t index;
    json_t *event;
    json_array_foreach(json_object_get(events, "items"), index, event) drained =
        drained || (strcmp(string(event, "name"), "handoff.step") == 0 &&
                    strcmp(string(event, "state"), "draining") == 0);
    if (!drained)
        fail_msg("no handoff.step to draining in %s", json_dumps(events, 0));
    json_decref(events);
}

static void a_scheduler_killed_in_a_handoff_ends_it(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    apply_app(fixture);
    await_item(fixture, "instances", "node", "n1", "state", "ready");
    fixture->nodes[1].ready_late = true;
    json_decref(ctl(fixture, "retag", retag_to("aws")));
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "starting");
    scheduler_end(fixture, SIGKILL);
    fixture->nodes[1].ready_late = false;
    for (int i = 0; i < fixture->nodes[1].copy_count; i++)
        report(&fixture->nodes[1], &fixture->nodes[1].copies[i], INSTANCE_READY);
    scheduler_start(fixture);
    await_scheduler(fixture);
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "done");
    await_item(fixture, "instances", "node", "n2", "state", "ready");
}

static void a_silent_node_is_lost_and_comes_back(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    fixture->nodes[1].silent = true;
    int64_t until_us = clock_mono_now().us + WAIT_US;
    int64_t up = 2;
    while (up != 1 && clock_mono_now().us < until_us) {
        json_t *info = ctl(fixture, "info", (struct message_request){0});
        up = number(info, "nodes_up");
        json_decref(info);
        pump(fixture);
    }
    assert_int_equal(up, 1);
    fixture->nodes[1].silent = false;
    while (up != 2 && clock_mono_now().us < until_us) {
        json_t *info = ctl(fixture, "info", (struct message_request){0});
        up = number(info, "nodes_up");
        json_decref(info);
        pump(fixture);
    }
    assert_int_equal(up, 2);
}

/* n1 may publish below its own name only; what its payload says does not make it another. */
static void a_node_cannot_speak_for_another(void **state)
{
    struct fixture *fixture = *state;
    struct message_hello hello = {.node = "n9",
                                  .site = "aws/us-east-1",
                                  .boot_id = "b",
                                  .arch = "x86_64",
                                  .boot_us = 1,
                                  .mcpu = 1,
                                  .memory_bytes = 1};
    publish(&fixture->nodes[0], "berth.v1.node.n1.hello", &message_hello_shape, &hello);
    both_nodes_up(fixture); /* said later on the same connection, so the other was read before */
    json_t *nodes = ctl(fixture, "get", (struct message_request){.kind = "nodes"});
    assert_int_equal(json_array_size(json_object_get(nodes, "items")), 2);
    json_decref(nodes);
}

static void a_restart_of_nats_is_survived(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    apply_app(fixture);
    await_item(fixture, "instances", "node", "n1", "state", "ready");
    test_server_kill(&fixture->server);
    test_server_restart(&fixture->server);
    await_scheduler(fixture);
    json_decref(ctl(fixture, "retag", retag_to("aws")));
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "done");
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "--scheduler") == 0)
        return scheduler_main(argv + 2);
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(control_answers_and_refuses),
        TEST(a_second_scheduler_is_refused),
        TEST(acknowledged_applies_survive),
        TEST(a_retag_is_planned_carried_out_and_explained),
        TEST(a_scheduler_killed_in_a_handoff_ends_it),
        TEST(a_silent_node_is_lost_and_comes_back),
        TEST(a_node_cannot_speak_for_another),
        TEST(a_restart_of_nats_is_survived),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
