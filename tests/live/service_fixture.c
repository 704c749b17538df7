#include "tests/live/service_fixture.h"

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
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/bus.h"
#include "base/bus/server_config.h"
#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "base/wire/messages.h"
#include "scheduler/service/service.h"
#include "tests/live/server.h"

#define BEAT_US (US_PER_S / 5)
#define DIGEST  "sha256:0000000000000000000000000000000000000000000000000000000000000000"

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

const char app_text[] = "app: shop\n"
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

void publish(struct node *node, const char *subject, const struct wire_shape *shape,
             const void *message)
{
    struct strbuf text;
    struct error err;
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    proof_begin(&node->link, &text);
    wire_encode(shape, message, &text);
    proof_end(&node->link, subject, proof_next(&node->link), &text);
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

void report(struct node *node, struct message_instance *copy, enum instance_state state)
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
    uint64_t stamp = 0;
    assert_true(proof_check(&node->link, message->subject, message->data, message->bytes, &stamp));
    const char *data = message->data + PROOF_BYTES;
    size_t bytes = message->bytes - PROOF_BYTES;
    assert_int_equal(wire_type_of(data, bytes, type, sizeof(type), &err), 0);
    if (strcmp(type, "node.answer") == 0) { /* who are you? */
        say_hello(node);
        return;
    }
    arena_init(&arena, (size_t)8 << 20);
    struct message_command command;
    if (wire_decode(&message_command_shape, data, bytes, 0, &arena, &command, &err) < 0)
        fail_msg("%s: %s", err.text, data);
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
void pump(struct fixture *fixture)
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

struct service_options options_of(const struct fixture *fixture)
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
void scheduler_start(struct fixture *fixture)
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

int scheduler_main(int argc, char **argv)
{
    if (argc != 6 || strcmp(argv[1], "--scheduler") != 0)
        return -1;
    char **arguments = argv + 2;
    struct service_options options = {
        .state_dir = arguments[0],
        .nats_url = arguments[1],
        .seed_path = arguments[2],
        .world_path = arguments[3],
        .solver_path = BERTH_BINARY_DIR "/bin/berth-solve",
    };
    const char *records = getenv(SNAPSHOT_RECORDS_ENV);
    if (records != NULL && str_to_u64(records, &options.snapshot_records) < 0)
        return 1;
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

void scheduler_end(struct fixture *fixture, int signal_number)
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
json_t *try_ctl(struct fixture *fixture, const char *verb, struct message_request request)
{
    struct strbuf text;
    struct error err = {0};
    char subject[LIMIT_SUBJECT_BYTES];
    char *data = NULL;
    size_t bytes = 0;
    if (request.id[0] == 0)
        str_format(request.id, sizeof(request.id), "t%d-%" PRIu64, (int)getpid(), ++fixture->ids);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    subject_ctl(verb, subject);
    proof_begin(&fixture->link, &text);
    wire_encode(&message_request_shape, &request, &text);
    proof_end(&fixture->link, subject, proof_next(&fixture->link), &text);
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
json_t *ctl(struct fixture *fixture, const char *verb, struct message_request request)
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
void refused(struct fixture *fixture, const char *verb, struct message_request request, int code,
             const char *word)
{
    json_t *reply = try_ctl(fixture, verb, request);
    assert_non_null(reply);
    const char *text = json_string_value(json_object_get(reply, "text"));
    if (code_of(reply) != code || text == NULL || strstr(text, word) == NULL)
        fail_msg("%s gave %s: %s", verb, error_name(code_of(reply)), text == NULL ? "" : text);
    json_decref(reply);
}

void await_scheduler(struct fixture *fixture)
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

int64_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

const char *string(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

/* Asks `get kind` until an item has key = value and, if given, key2 = value2. */
void await_item(struct fixture *fixture, const char *kind, const char *key, const char *value,
                const char *key2, const char *value2)
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

struct message_request request_for(const char *app, const char *workload)
{
    struct message_request request = {.namespace_ = "default"};
    str_format(request.app, sizeof(request.app), "%s", app);
    str_format(request.workload, sizeof(request.workload), "%s", workload);
    return request;
}

struct message_request retag_to(const char *cloud)
{
    struct message_request request = request_for("shop", "source");
    str_format(request.key, sizeof(request.key), "cloud");
    str_format(request.value, sizeof(request.value), "%s", cloud);
    return request;
}

void apply_app(struct fixture *fixture)
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
    char public_path[720];
    str_format(public_path, sizeof(public_path), "%s/%s%s.pub", fixture->server.folder,
               role == SERVER_NODE ? "node-" : "", name);
    if (proof_publish(path, public_path, &err) < 0)
        fail_msg("%s", err.text);
}

static void prove_as(struct fixture *fixture, const char *kind, const char *name,
                     struct proof_link *ret_link)
{
    char seed[700];
    struct error err = {0};
    str_format(seed, sizeof(seed), "%s/%s.nk", fixture->server.folder, name);
    if (proof_link_open_user(kind, name, seed, "", ret_link, &err) < 0)
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

/* A disk of its own, small enough to be filled. */
static void mount_state(struct fixture *fixture, const char *size)
{
    char options[64];
    str_format(options, sizeof(options), "size=%s,mode=0700", size);
    assert_int_equal(mkdir(fixture->state, 0700), 0);
    if (mount("tmpfs", fixture->state, "tmpfs", 0, options) < 0)
        fail_msg("mount a tmpfs of %s at %s: %s; this test needs root and CAP_SYS_ADMIN", size,
                 fixture->state, strerror(errno));
    fixture->mounted = true;
}

int setup(void **state)
{
    return fixture_setup(state, NULL);
}

int fixture_setup(void **state, const char *tmpfs_size)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct server_user users[5];
    assert_non_null(fixture);
    start_server(fixture, users);
    str_format(fixture->state, sizeof(fixture->state), "%s/state", fixture->server.folder);
    str_format(fixture->world, sizeof(fixture->world), "%s/world.yaml", fixture->server.folder);
    if (tmpfs_size != NULL)
        mount_state(fixture, tmpfs_size);
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
        prove_as(fixture, "node", node->name, &node->link);
        subject_node(node->name, "cmd", subject);
        subscribe(node->bus, subject, on_command, node);
    }
    fixture->client = connect_as(fixture, &users[1]);
    prove_as(fixture, "operator", "operator", &fixture->link);
    fixture->workloads = connect_as(fixture, &users[2]);
    subscribe(fixture->workloads, "berth.v1.at.default.>", on_at, fixture);
    await_scheduler(fixture);
    *state = fixture;
    return 0;
}

int teardown(void **state)
{
    struct fixture *fixture = *state;
    scheduler_end(fixture, SIGTERM);
    if (fixture->mounted)
        assert_int_equal(umount(fixture->state), 0);
    bus_close(fixture->client);
    bus_close(fixture->workloads);
    for (int i = 0; i < 2; i++)
        bus_close(fixture->nodes[i].bus);
    test_server_done(&fixture->server);
    free(fixture);
    return 0;
}

void both_nodes_up(struct fixture *fixture)
{
    await_item(fixture, "nodes", "name", "n1", "site", "gcp/us-central1");
    await_item(fixture, "nodes", "name", "n2", "site", "aws/us-east-1");
}
