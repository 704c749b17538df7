#include "tests/bench/reaction/fleet.h"

#include <fcntl.h>
#include <inttypes.h>
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

#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "base/wire/pack.h"

#define WAIT_US (300 * US_PER_S)
#define DIGEST  "sha256:0000000000000000000000000000000000000000000000000000000000000000"

const char fleet_policy[] =
    "settle: 50ms, dwell: 0s, horizon: 24h, healthy_min: 0s, node_timeout: 60s, moves: 64, "
    "check_after: 0s, confidence: 60%, prior_weight: 0s, metric_age_max: 10min, "
    "saving_min: {ratio: 2%, per_month: 0.5}";

static void write_world(FILE *file);
static void write_app(int app, char *out, size_t capacity);
static void start_scheduler(struct fleet *fleet, const char *seed, const char *world);
static void await_ready(struct fleet *fleet, int wanted);
static void on_command(void *context, const struct bus_message *message);
static void on_at(void *context, const struct bus_message *message);
static void obey(struct fleet *fleet, struct fleet_node *node,
                 const struct message_command *command);
static void report(struct fleet *fleet, struct fleet_node *node, struct fleet_copy *copy,
                   enum instance_state state);
static void prove_as(struct fleet *fleet, const char *kind, const char *name, const char *file,
                     struct proof_link *ret_link);
static void say_hello(struct fleet *fleet, struct fleet_node *node);
static void say_beat(struct fleet *fleet, struct fleet_node *node);
static void say_batch(struct fleet *fleet, struct fleet_node *node);
static struct fleet_copy *copy_of(struct fleet_node *node, const struct message_command *command);
static int64_t rate_of(const struct fleet *fleet, const struct message_instance *instance);
static int app_of(const struct message_instance *instance);
static void publish(struct fleet *fleet, struct fleet_node *node, const char *subject,
                    const struct wire_shape *shape, const void *message);

void fleet_begin(struct fleet *fleet, int apps, int64_t quiet_us)
{
    static char text[16384];
    char seed[700];
    char world[700];
    char key[256];
    struct error err = {0};
    *fleet = (struct fleet){.apps = apps};
    assert_int_equal(keys_init(&err), 0);
    test_server_init(&fleet->server);
    test_server_start(&fleet->server, NULL);
    str_format(seed, sizeof(seed), "%s/scheduler.nk", fleet->server.folder);
    str_format(world, sizeof(world), "%s/world.yaml", fleet->server.folder);
    str_format(fleet->log, sizeof(fleet->log), "%s/log", fleet->server.folder);
    char public_path[720];
    str_format(public_path, sizeof(public_path), "%s/scheduler.pub", fleet->server.folder);
    if (nkey_file_ensure(seed, key, &err) < 0 || proof_publish(seed, public_path, &err) < 0)
        fail_msg("%s", err.text);
    FILE *file = fopen(world, "w");
    assert_non_null(file);
    write_world(file);
    assert_int_equal(fclose(file), 0);
    struct bus_options options = {
        .url = fleet->server.url, .name = "bench", .inbox_prefix = "_INBOX.o.operator"};
    if (bus_open(&options, &fleet->bus, &err) < 0 ||
        bus_subscribe(fleet->bus, "berth.v1.node.*.cmd", NULL, on_command, fleet, NULL, &err) < 0 ||
        bus_subscribe(fleet->bus, "berth.v1.at.>", NULL, on_at, fleet, NULL, &err) < 0 ||
        bus_flush(fleet->bus, 10 * US_PER_S, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < FLEET_SITES; i++) {
        str_format(fleet->nodes[i].name, LIMIT_NAME_BYTES, "n%d", i);
        str_format(fleet->nodes[i].site, LIMIT_REF_BYTES, "p%d/r%d", i % 4, i);
        str_format(key, sizeof(key), "node-%s", fleet->nodes[i].name);
        prove_as(fleet, "node", fleet->nodes[i].name, key, &fleet->nodes[i].link);
    }
    prove_as(fleet, "operator", "operator", "operator", &fleet->link);
    start_scheduler(fleet, seed, world);
    json_decref(fleet_ctl(fleet, "info", (struct message_request){0}));
    for (int i = 0; i < FLEET_SITES; i++)
        say_hello(fleet, &fleet->nodes[i]);
    /* A few at a time: how fast all of them could start at once is another question. */
    for (int app = 0; app < apps; app++) {
        write_app(app, text, sizeof(text));
        json_decref(fleet_ctl(fleet, "apply", (struct message_request){.document = text}));
        if (app % 12 == 11 || app + 1 == apps)
            await_ready(fleet, (app + 1) * FLEET_APP_PARTS);
    }
    fleet_quiet(fleet, quiet_us);
}

void fleet_end(struct fleet *fleet)
{
    int status = 0;
    if (fleet->scheduler > 0) {
        (void)kill(fleet->scheduler, SIGTERM);
        (void)waitpid(fleet->scheduler, &status, 0);
        fleet->scheduler = 0;
    }
    if (!fleet->dispatching) /* a failure in a handler leaves it open */
        bus_close(fleet->bus);
    test_server_done(&fleet->server);
}

void fleet_turn(struct fleet *fleet, int wait_ms)
{
    struct pollfd fd = {.fd = bus_fd(fleet->bus), .events = POLLIN};
    (void)poll(&fd, 1, wait_ms);
    fleet->dispatching = true;
    (void)bus_dispatch(fleet->bus, 1024);
    fleet->dispatching = false;
    int64_t now_us = clock_mono_now().us;
    if (now_us - fleet->beat_us < US_PER_S)
        return;
    fleet->beat_us = now_us;
    assert_int_equal(waitpid(fleet->scheduler, NULL, WNOHANG), 0);
    for (int i = 0; i < FLEET_SITES; i++) {
        say_beat(fleet, &fleet->nodes[i]);
        say_batch(fleet, &fleet->nodes[i]);
    }
}

void fleet_quiet(struct fleet *fleet, int64_t quiet_us)
{
    int64_t until_us = clock_mono_now().us + WAIT_US;
    int64_t from_us = clock_mono_now().us;
    while (clock_mono_now().us - (fleet->any_us > from_us ? fleet->any_us : from_us) < quiet_us) {
        fleet_turn(fleet, 20);
        if (clock_mono_now().us > until_us)
            fail_msg("the fleet does not settle; see %s", fleet->log);
    }
}

int64_t fleet_heat(struct fleet *fleet, int app)
{
    char name[LIMIT_NAME_BYTES];
    str_format(name, sizeof(name), "w%d", FLEET_LEAF);
    fleet->hot[app] = true;
    for (int i = 0; i < FLEET_SITES; i++) {
        struct fleet_node *node = &fleet->nodes[i];
        for (int k = 0; k < node->copy_count; k++) {
            struct fleet_copy *copy = &node->copies[k];
            if (app_of(&copy->instance) != app || copy->instance.state != INSTANCE_READY ||
                !str_equal(copy->instance.workload, name))
                continue;
            /* As many requests at once as a whole window of the new rate would bring; from here on
             * the counter grows at that rate. */
            int64_t now_us = clock_boot_now().us;
            int64_t had = (now_us - copy->since_us) * FLEET_LEAF_CPS / US_PER_S + copy->extra;
            copy->extra = had + 10 * FLEET_HOT_CPS;
            copy->since_us = now_us;
            int64_t at_us = clock_mono_now().us;
            say_batch(fleet, node);
            return at_us;
        }
    }
    fail_msg("no copy of app a%d's %s runs", app, name);
    return 0;
}

json_t *fleet_ctl(struct fleet *fleet, const char *verb, struct message_request request)
{
    struct error err = {0};
    struct strbuf text;
    char subject[LIMIT_SUBJECT_BYTES];
    int64_t until_us = clock_mono_now().us + 60 * US_PER_S;
    str_format(request.id, sizeof(request.id), "b%d-%" PRIu64, (int)getpid(), ++fleet->ids);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    subject_ctl(verb, subject);
    proof_begin(&fleet->link, &text);
    wire_encode(&message_request_shape, &request, &text);
    proof_end(&fleet->link, subject, proof_next(&fleet->link), &text);
    json_t *body = NULL;
    while (body == NULL) {
        char *data = NULL;
        size_t bytes = 0;
        assert_int_equal(waitpid(fleet->scheduler, NULL, WNOHANG), 0);
        if (bus_call(fleet->bus, subject, strbuf_text(&text), text.bytes, 10 * US_PER_S, &data,
                     &bytes, &err) < 0) {
            if (clock_mono_now().us > until_us)
                fail_msg("%s: %s", verb, err.text);
            fleet_turn(fleet, 100);
            continue;
        }
        json_t *reply = json_loadb(data, bytes, 0, NULL);
        free(data);
        if (json_integer_value(json_object_get(reply, "code")) != 0)
            fail_msg("%s: %s", verb, json_string_value(json_object_get(reply, "text")));
        const char *inner = json_string_value(json_object_get(reply, "body"));
        body = inner != NULL && inner[0] != 0 ? json_loads(inner, 0, NULL) : json_object();
        json_decref(reply);
        assert_non_null(body);
        fleet_turn(fleet, 0);
    }
    strbuf_done(&text);
    return body;
}

static void await_ready(struct fleet *fleet, int wanted)
{
    int64_t until_us = clock_mono_now().us + WAIT_US;
    int ready = 0;
    while (ready < wanted) {
        fleet_turn(fleet, 20);
        ready = 0;
        for (int i = 0; i < FLEET_SITES; i++)
            for (int k = 0; k < fleet->nodes[i].copy_count; k++)
                ready += fleet->nodes[i].copies[k].instance.state == INSTANCE_READY;
        if (clock_mono_now().us > until_us)
            fail_msg("%d of %d workloads run; see %s", ready, wanted, fleet->log);
    }
}

/* ---- documents ---- */

/* Four providers round the world; the last site of each is a cheap one. */
static void write_world(FILE *file)
{
    fprintf(file, "world: fleet\ncurrency: USD\naccounts:\n");
    for (int i = 0; i < 4; i++)
        fprintf(file, "  - {name: acc%d, provider: p%d}\n", i, i);
    fprintf(file, "sites:\n");
    for (int i = 0; i < FLEET_CLIENTS; i++)
        fprintf(file, "  - {name: client/c%d, tier: client, geo: [40.5, %d.0]}\n", i,
                -140 + 70 * i);
    for (int i = 0; i < FLEET_SITES; i++) {
        int price = i < 16 ? 30000 + 131 * ((i * 7) % 16) : 12000 + 100 * i;
        fprintf(file,
                "  - {name: p%d/r%d, tier: cloud, account: acc%d, geo: [%d.0, %d.0], "
                "price: {cpu: 0.0%d, memory: 0.00%d}}\n",
                i % 4, i, i % 4, 20 + i, -150 + 16 * i, price, 2900 + 17 * i);
    }
    fprintf(file, "egress:\n");
    for (int i = 0; i < 4; i++)
        fprintf(file,
                "  - {name: out%d, from: p%d/*, to: \"*\", payer: sender, per: GiB, tiers: "
                "[{up_to: 10240GiB, price: 0.09}, {up_to: 51200GiB, price: 0.085}, "
                "{price: 0.07}]}\n",
                i, i);
    fprintf(file, "latency: {mode: declared}\nweights: {latency: 0.000001}\npolicy: {%s}\n",
            fleet_policy);
}

static void write_app(int app, char *out, size_t capacity)
{
    size_t used = 0;
    char part[1024];
    str_format(part, sizeof(part), "app: a%d\nworkloads:\n", app);
    out[0] = 0;
    for (int i = -1; i < 2 * FLEET_APP_PARTS; i++) {
        int k = i % FLEET_APP_PARTS;
        int calls = k == FLEET_LEAF ? FLEET_LEAF_CPS : FLEET_CPS;
        if (i >= 0 && i < FLEET_APP_PARTS)
            str_format(part, sizeof(part),
                       "  - name: w%d\n"
                       "    run: {driver: process, artifact: \"file:/bin/true\", "
                       "digest: \"" DIGEST "\"}\n"
                       "    contract: true\n"
                       "    ready: {kind: contract}\n"
                       "    resources: {cpu: %s, memory: 64MiB, pids: 16}\n"
                       "    tiers: [cloud]\n"
                       "    timeouts: {start: 60s, drain: 60s, stop: 60s}\n",
                       k, k == FLEET_LEAF ? "4" : "100m");
        else if (i == FLEET_APP_PARTS)
            str_format(part, sizeof(part),
                       "users:\n  - {name: web, site: client/c%d}\nlinks:\n"
                       "  - {from: web, to: w0, calls: %d/s, request: 200B, response: 2KiB}\n",
                       app % FLEET_CLIENTS, FLEET_CPS);
        else if (i > FLEET_APP_PARTS)
            str_format(part, sizeof(part),
                       "  - {from: w%d, to: w%d, calls: %d/s, request: 200B, response: %dB}\n",
                       (k - 1) / 2, k, calls, 400 + 10 * k);
        size_t bytes = strlen(part);
        assert_true(used + bytes < capacity);
        memcpy(out + used, part, bytes + 1);
        used += bytes;
    }
}

/* A key of its own, of which the scheduler gets to know the public half. */
static void prove_as(struct fleet *fleet, const char *kind, const char *name, const char *file,
                     struct proof_link *ret_link)
{
    char seed[700];
    char public_path[720];
    char public_key[NKEY_TEXT_BYTES];
    struct error err = {0};
    str_format(seed, sizeof(seed), "%s/%s", fleet->server.folder, file);
    str_format(public_path, sizeof(public_path), "%s.pub", seed);
    if (nkey_file_ensure(seed, public_key, &err) < 0 ||
        proof_publish(seed, public_path, &err) < 0 ||
        proof_link_open_user(kind, name, seed, "", ret_link, &err) < 0)
        fail_msg("%s", err.text);
}

static void start_scheduler(struct fleet *fleet, const char *seed, const char *world)
{
    char state[700];
    pid_t parent = getpid();
    str_format(state, sizeof(state), "%s/state", fleet->server.folder);
    fleet->scheduler = fork();
    assert_true(fleet->scheduler >= 0);
    if (fleet->scheduler != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int log = open(fleet->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (getppid() != parent || log < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        _exit(125);
    execl(BERTH_BINARY_DIR "/bin/berth", "berth", "scheduler", "--state", state, "--url",
          fleet->server.url, "--seed", seed, "--world", world, (char *)NULL);
    _exit(126);
}

/* ---- the nodes ---- */

static void on_command(void *context, const struct bus_message *message)
{
    struct fleet *fleet = context;
    char name[LIMIT_NAME_BYTES];
    char type[LIMIT_NAME_BYTES];
    struct error err = {0};
    struct arena arena;
    struct message_command command;
    int64_t now_us = clock_mono_now().us;
    assert_int_equal(subject_token(message->subject, 3, name, sizeof(name)), 0);
    int64_t index = -1;
    assert_int_equal(str_to_i64(name + 1, &index), 0);
    assert_true(index >= 0 && index < FLEET_SITES);
    struct fleet_node *node = &fleet->nodes[index];
    const char *data = message->data + PROOF_BYTES;
    size_t bytes = message->bytes - PROOF_BYTES;
    assert_int_equal(wire_type_of(data, bytes, type, sizeof(type), &err), 0);
    if (str_equal(type, "node.answer")) { /* who are you? */
        say_hello(fleet, node);
        return;
    }
    arena_init(&arena, (size_t)8 << 20);
    if (wire_decode(&message_command_shape, data, bytes, 0, &arena, &command, &err) < 0)
        fail_msg("%s: %s", err.text, data);
    fleet->any_us = now_us;
    if (command.verb == NODE_STAGE || command.verb == NODE_START) {
        fleet->commands++;
        fleet->command_us = now_us;
        memcpy(fleet->command_app, command.spec.app, sizeof(fleet->command_app));
        memcpy(fleet->command_workload, command.spec.workload, sizeof(fleet->command_workload));
    }
    struct message_answer answer = {.epoch = command.epoch};
    memcpy(answer.id, command.id, sizeof(answer.id));
    memcpy(answer.node, node->name, sizeof(answer.node));
    publish(fleet, node, message->reply, &message_answer_shape, &answer);
    obey(fleet, node, &command);
    arena_done(&arena);
}

/* What the workloads' contract promises: the instance's own subject answers with its identity. */
static void on_at(void *context, const struct bus_message *message)
{
    struct fleet *fleet = context;
    char instance[LIMIT_ID_BYTES];
    struct error err;
    assert_int_equal(subject_token(message->subject, 5, instance, sizeof(instance)), 0);
    (void)!bus_publish(fleet->bus, message->reply, NULL, instance, strlen(instance), &err);
}

static void obey(struct fleet *fleet, struct fleet_node *node,
                 const struct message_command *command)
{
    if (command->verb == NODE_PROBE) { /* of an instance of any node */
        char subject[LIMIT_SUBJECT_BYTES];
        struct message_probed probed = {
            .sent = command->probe_count, .answered = command->probe_count, .rtt_us = 1000};
        memcpy(probed.node, node->name, sizeof(probed.node));
        memcpy(probed.id, command->id, sizeof(probed.id));
        memcpy(probed.instance, command->instance, sizeof(probed.instance));
        subject_node(node->name, "probed", subject);
        publish(fleet, node, subject, &message_probed_shape, &probed);
        return;
    }
    struct fleet_copy *copy = copy_of(node, command);
    if (copy == NULL)
        return; /* forgotten already */
    copy->instance.epoch = command->epoch;
    switch (command->verb) {
    case NODE_STAGE:
        report(fleet, node, copy, INSTANCE_STAGED);
        break;
    case NODE_START:
    case NODE_RESUME:
        report(fleet, node, copy, INSTANCE_READY);
        break;
    case NODE_DRAIN:
        report(fleet, node, copy, INSTANCE_HELD);
        break;
    case NODE_STOP:
        report(fleet, node, copy, INSTANCE_STOPPED);
        break;
    case NODE_FORGET:
        *copy = node->copies[--node->copy_count];
        break;
    default:
        fail_msg("a node was told to do %d", command->verb);
    }
}

static struct fleet_copy *copy_of(struct fleet_node *node, const struct message_command *command)
{
    for (int i = 0; i < node->copy_count; i++)
        if (str_equal(node->copies[i].instance.instance, command->instance))
            return &node->copies[i];
    if (command->verb != NODE_STAGE && command->verb != NODE_START)
        return NULL;
    if (node->copy_count == LIMIT_NODE_INSTANCES)
        fail_msg("%s at %s holds %d instances: no more", node->name, node->site,
                 LIMIT_NODE_INSTANCES);
    struct fleet_copy *copy = &node->copies[node->copy_count++];
    *copy = (struct fleet_copy){.instance.replica = command->spec.replica,
                                .since_us = clock_boot_now().us};
    memcpy(copy->instance.instance, command->instance, sizeof(copy->instance.instance));
    memcpy(copy->instance.namespace_, command->spec.namespace_, sizeof(copy->instance.namespace_));
    memcpy(copy->instance.app, command->spec.app, sizeof(copy->instance.app));
    memcpy(copy->instance.workload, command->spec.workload, sizeof(copy->instance.workload));
    return copy;
}

static void report(struct fleet *fleet, struct fleet_node *node, struct fleet_copy *copy,
                   enum instance_state state)
{
    char subject[LIMIT_SUBJECT_BYTES];
    copy->instance.state = (int)state;
    struct message_report message = {.boot_id = "boot-1",
                                     .seq = ++node->seq,
                                     .boot_us = clock_boot_now().us,
                                     .instance = copy->instance};
    memcpy(message.node, node->name, sizeof(message.node));
    subject_node(node->name, "report", subject);
    publish(fleet, node, subject, &message_report_shape, &message);
}

static void say_hello(struct fleet *fleet, struct fleet_node *node)
{
    static struct message_instance instances[LIMIT_NODE_INSTANCES];
    char subject[LIMIT_SUBJECT_BYTES];
    struct message_hello hello = {
        .boot_id = "boot-1",
        .arch = "x86_64",
        .drivers = "process",
        .boot_us = clock_boot_now().us,
        .mcpu = 2000000,
        .memory_bytes = INT64_C(1) << 40,
        .seq = node->seq,
        .instances = instances,
        .instance_count = node->copy_count,
    };
    for (int i = 0; i < node->copy_count; i++)
        instances[i] = node->copies[i].instance;
    memcpy(hello.node, node->name, sizeof(hello.node));
    memcpy(hello.site, node->site, sizeof(hello.site));
    subject_node(node->name, "hello", subject);
    publish(fleet, node, subject, &message_hello_shape, &hello);
}

static void say_beat(struct fleet *fleet, struct fleet_node *node)
{
    char subject[LIMIT_SUBJECT_BYTES];
    struct message_beat beat = {.boot_id = "boot-1",
                                .boot_us = clock_boot_now().us,
                                .seq = node->seq,
                                .instance_count = node->copy_count};
    memcpy(beat.node, node->name, sizeof(beat.node));
    subject_node(node->name, "beat", subject);
    publish(fleet, node, subject, &message_beat_shape, &beat);
}

/* Requests, CPU time and memory of every instance, packed as nodes pack them. */
static void say_batch(struct fleet *fleet, struct fleet_node *node)
{
    static struct message_sample samples[LIMIT_NODE_INSTANCES * 3];
    char subject[LIMIT_SUBJECT_BYTES];
    int64_t now_us = clock_boot_now().us;
    struct message_batch batch = {
        .boot_id = "boot-1", .boot_us = now_us, .seq = ++node->batch, .samples = samples};
    memcpy(batch.node, node->name, sizeof(batch.node));
    memcpy(batch.site, node->site, sizeof(batch.site));
    for (int i = 0; i < node->copy_count; i++) {
        const struct fleet_copy *copy = &node->copies[i];
        if (copy->instance.state != INSTANCE_READY)
            continue;
        int64_t requests =
            (now_us - copy->since_us) * rate_of(fleet, &copy->instance) / US_PER_S + copy->extra;
        struct message_sample sample = {.namespace_ = copy->instance.namespace_,
                                        .app = copy->instance.app,
                                        .workload = copy->instance.workload,
                                        .instance = copy->instance.instance,
                                        .life = 1};
        sample.kind = SAMPLE_REQUESTS;
        sample.value = requests;
        samples[batch.sample_count++] = sample;
        sample.kind = SAMPLE_CPU_NS;
        sample.value = requests * 1000;
        samples[batch.sample_count++] = sample;
        sample.kind = SAMPLE_MEMORY_BYTES;
        sample.value = 48 << 20;
        samples[batch.sample_count++] = sample;
    }
    struct strbuf text;
    struct error err = {0};
    subject_metrics(node->name, subject);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    proof_begin(&node->link, &text);
    wire_pack(&message_batch_shape, &batch, &text);
    proof_end(&node->link, subject, proof_next(&node->link), &text);
    if (strbuf_error(&text, &err) < 0 ||
        bus_publish(fleet->bus, subject, NULL, strbuf_text(&text), text.bytes, &err) < 0)
        fail_msg("%s", err.text);
    strbuf_done(&text);
}

static int64_t rate_of(const struct fleet *fleet, const struct message_instance *instance)
{
    int64_t part = 0;
    assert_int_equal(str_to_i64(instance->workload + 1, &part), 0);
    if (part != FLEET_LEAF)
        return FLEET_CPS;
    return fleet->hot[app_of(instance)] ? FLEET_HOT_CPS : FLEET_LEAF_CPS;
}

static int app_of(const struct message_instance *instance)
{
    int64_t app = -1;
    assert_int_equal(str_to_i64(instance->app + 1, &app), 0);
    assert_true(app >= 0 && app < FLEET_APPS_MAX);
    return (int)app;
}

static void publish(struct fleet *fleet, struct fleet_node *node, const char *subject,
                    const struct wire_shape *shape, const void *message)
{
    struct strbuf text;
    struct error err = {0};
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    proof_begin(&node->link, &text);
    wire_encode(shape, message, &text);
    proof_end(&node->link, subject, proof_next(&node->link), &text);
    if (strbuf_error(&text, &err) < 0 ||
        bus_publish(fleet->bus, subject, NULL, strbuf_text(&text), text.bytes, &err) < 0)
        fail_msg("%s", err.text);
    strbuf_done(&text);
}
