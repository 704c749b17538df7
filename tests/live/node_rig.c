#include "tests/live/node_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/subjects.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "executors/drivers/process/cgroup.h"

#define WAIT_US (30 * US_PER_S)
#define BIN     BERTH_BINARY_DIR "/bin/"

static void on_report(void *context, const struct bus_message *message)
{
    struct rig *rig = context;
    struct message_report report;
    struct arena arena;
    struct error err;
    arena_init(&arena, 1 << 20);
    if (wire_decode(&message_report_shape, message->data, message->bytes, 0, &arena, &report,
                    &err) < 0)
        fail_msg("report: %s", err.text);
    struct message_instance *place = NULL;
    for (int i = 0; i < rig->seen_count && place == NULL; i++)
        if (str_equal(rig->seen[i].instance, report.instance.instance))
            place = &rig->seen[i];
    if (place == NULL) {
        assert_true(rig->seen_count < RIG_INSTANCES);
        place = &rig->seen[rig->seen_count++];
    }
    *place = report.instance;
    char *handed = rig->handed[place - rig->seen];
    str_format(handed, sizeof(rig->handed[0]), "%s",
               report.instance.handed == NULL ? "" : report.instance.handed);
    place->handed = handed;
    arena_done(&arena);
}

static void on_hello(void *context, const struct bus_message *message)
{
    struct rig *rig = context;
    struct message_hello hello;
    struct arena arena;
    struct error err;
    arena_init(&arena, 1 << 20);
    if (wire_decode(&message_hello_shape, message->data, message->bytes, 0, &arena, &hello, &err) <
        0)
        fail_msg("hello: %s", err.text);
    arena_done(&arena);
    rig->hellos++;
    rig->hellos_without += hello.ingress[0] == 0;
    struct strbuf text;
    struct message_answer answer = {.id = "hello"};
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_encode(&message_answer_shape, &answer, &text);
    assert_int_equal(bus_publish(rig->bus, message->reply, NULL, text.text, text.bytes, &err), 0);
    strbuf_done(&text);
}

static void on_beat(void *context, const struct bus_message *message)
{
    struct rig *rig = context;
    struct error err;
    struct strbuf text;
    struct message_answer answer = {.id = "beat"};
    if (message->reply[0] == 0 || rig->silent)
        return;
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_encode(&message_answer_shape, &answer, &text);
    assert_int_equal(bus_publish(rig->bus, message->reply, NULL, text.text, text.bytes, &err), 0);
    strbuf_done(&text);
}

static void on_metrics(void *context, const struct bus_message *message)
{
    struct rig *rig = context;
    struct message_batch batch;
    struct arena arena;
    struct error err;
    arena_init(&arena, 4 << 20);
    if (wire_decode(&message_batch_shape, message->data, message->bytes, 0, &arena, &batch, &err) <
        0)
        fail_msg("metrics: %s", err.text);
    for (int i = 0; i < batch.sample_count; i++)
        rig->counters[batch.samples[i].kind] = batch.samples[i].value;
    arena_done(&arena);
}

static void on_probed(void *context, const struct bus_message *message)
{
    struct rig *rig = context;
    struct arena arena;
    struct error err;
    arena_init(&arena, 1 << 20);
    if (wire_decode(&message_probed_shape, message->data, message->bytes, 0, &arena, &rig->probed,
                    &err) < 0)
        fail_msg("probed: %s", err.text);
    arena_done(&arena);
}

static void on_log(void *context, const struct bus_message *message)
{
    struct rig *rig = context;
    rig->logs++;
    (void)snprintf(rig->last_log, sizeof(rig->last_log), "%s", message->data);
}

static void connect_bus(struct rig *rig)
{
    struct error err = {0};
    struct bus_options options = {.url = rig->server.url, .name = "test"};
    struct bus_subscription *ignored;
    const struct {
        const char *subject;
        bus_handler *handler;
    } wanted[] = {{"berth.v1.node.n1.report", on_report}, {"berth.v1.node.n1.hello", on_hello},
                  {"berth.v1.node.n1.probed", on_probed}, {"berth.v1.node.n1.beat", on_beat},
                  {"berth.v1.metrics.n1", on_metrics},    {"berth.v1.log.>", on_log}};
    if (bus_open(&options, &rig->bus, &err) < 0)
        fail_msg("bus: %s", err.text);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (bus_subscribe(rig->bus, wanted[i].subject, NULL, wanted[i].handler, rig, &ignored,
                          &err) < 0)
            fail_msg("subscribe: %s", err.text);
    assert_int_equal(bus_flush(rig->bus, 5 * US_PER_S, &err), 0);
}

void rig_open(struct rig *rig)
{
    struct error err;
    *rig = (struct rig){.epoch = {1, 1}};
    assert_int_equal(keys_init(&err), 0);
    /* Shims of killed agents become ours: so that no zombie of them is left. */
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    test_server_init(&rig->server);
    test_server_start(&rig->server, NULL);
    str_format(rig->state, sizeof(rig->state), "%s/state", rig->server.folder);
    str_format(rig->cgroup, sizeof(rig->cgroup), "berth-test-%d", (int)getpid());
    connect_bus(rig);
}

void rig_agent_start(struct rig *rig, const char *const *extra)
{
    char *argv[32];
    int count = 0;
    const char *fixed[] = {BIN "berth-node",
                           "--name",
                           "n1",
                           "--site",
                           "edge/nyc",
                           "--url",
                           rig->server.url,
                           "--state",
                           rig->state,
                           "--cgroup",
                           rig->cgroup,
                           "--metrics-interval",
                           "50ms"};
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        argv[count++] = (char *)(uintptr_t)fixed[i];
    for (int i = 0; extra != NULL && extra[i] != NULL; i++)
        argv[count++] = (char *)(uintptr_t)extra[i];
    argv[count] = NULL;
    /* What the agent before has said last is not this one's hello. */
    struct error err;
    (void)!bus_flush(rig->bus, 5 * US_PER_S, &err);
    rig_turn(rig);
    int hellos = rig->hellos;
    extern char **environ;
    assert_int_equal(posix_spawn(&rig->agent, argv[0], NULL, NULL, argv, environ), 0);
    int64_t until = clock_mono_now().us + WAIT_US;
    while (rig->hellos == hellos && clock_mono_now().us < until)
        rig_turn(rig);
    assert_true(rig->hellos > hellos);
}

void rig_agent_kill(struct rig *rig)
{
    assert_int_equal(kill(rig->agent, SIGKILL), 0);
    assert_int_equal(waitpid(rig->agent, NULL, 0), rig->agent);
    rig->agent = 0;
}

int rig_agent_stop(struct rig *rig)
{
    int status;
    assert_int_equal(kill(rig->agent, SIGTERM), 0);
    assert_int_equal(waitpid(rig->agent, &status, 0), rig->agent);
    rig->agent = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void rig_close(struct rig *rig)
{
    static const char *const sweep[] = {"--stop-workloads-on-exit", NULL};
    if (rig->agent > 0)
        (void)rig_agent_stop(rig);
    rig_agent_start(rig, sweep);
    assert_int_equal(rig_agent_stop(rig), 0);
    bus_close(rig->bus);
    test_server_done(&rig->server);
    /* Their shims have been told that all is collected; those that became ours are reaped. */
    int64_t until = clock_mono_now().us + WAIT_US;
    while (waitpid(-1, NULL, WNOHANG) >= 0 && clock_mono_now().us < until)
        (void)usleep(5000);
    struct cgroup_host host;
    struct error err;
    char path[128];
    cgroup_host_find(rig->cgroup, &host);
    str_format(path, sizeof(path), "%s/n1", rig->cgroup);
    assert_true(cgroup_is_empty(&host, path));
    assert_int_equal(cgroup_remove(&host, path, &err), 0);
    assert_int_equal(cgroup_remove(&host, rig->cgroup, &err), 0);
}

struct message_spec rig_spec(const char *const *args)
{
    static struct message_string values[LIMIT_ARGS];
    struct message_spec spec = {.contract = true,
                                .args = values,
                                .start_timeout_us = 20 * US_PER_S,
                                .drain_timeout_us = 20 * US_PER_S,
                                .stop_timeout_us = 10 * US_PER_S,
                                .restarts_max = 3,
                                .restart_backoff_us = 20 * US_PER_MS};
    spec.ready.kind = READY_CONTRACT;
    str_format(spec.namespace_, sizeof(spec.namespace_), "shop");
    str_format(spec.app, sizeof(spec.app), "web");
    str_format(spec.workload, sizeof(spec.workload), "front");
    str_format(spec.driver, sizeof(spec.driver), "process");
    for (int i = 0; args != NULL && args[i] != NULL; i++)
        str_format(values[spec.arg_count++].value, LIMIT_PATH_BYTES, "%s", args[i]);
    rig_artifact(&spec, BIN "test_workload");
    return spec;
}

void rig_artifact(struct message_spec *spec, const char *path)
{
    struct error err;
    str_format(spec->artifact, sizeof(spec->artifact), "file:%s", path);
    if (digest_file(path, spec->digest, &err) < 0)
        fail_msg("digest: %s", err.text);
}

int rig_order(struct rig *rig, enum node_verb verb, const char *instance,
              const struct message_spec *spec)
{
    struct message_command command = {.verb = (int)verb};
    if (verb == NODE_PROBE) {
        subject_at("shop", "front", instance, command.subject);
        command.probe_count = 2;
        command.timeout_us = 5 * US_PER_S;
    }
    if (spec != NULL)
        command.spec = *spec;
    return rig_command(rig, &command, instance);
}

int rig_command(struct rig *rig, struct message_command *command, const char *instance)
{
    struct message_answer answer;
    struct strbuf text;
    struct arena arena;
    struct error err = {0};
    char *data;
    size_t bytes;
    command->epoch = rig->epoch;
    rig->epoch.n++;
    str_format(command->id, sizeof(command->id), "c%d", rig->next_id++);
    str_format(command->instance, sizeof(command->instance), "%s", instance);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_encode(&message_command_shape, command, &text);
    if (bus_call(rig->bus, "berth.v1.node.n1.cmd", text.text, text.bytes, WAIT_US, &data, &bytes,
                 &err) < 0)
        fail_msg("command: %s", err.text);
    arena_init(&arena, 1 << 16);
    if (wire_decode(&message_answer_shape, data, bytes, 0, &arena, &answer, &err) < 0)
        fail_msg("answer: %s", err.text);
    memcpy(rig->text, answer.text, sizeof(rig->text));
    arena_done(&arena);
    strbuf_done(&text);
    cleanup_free(&data);
    return answer.code;
}

const struct message_instance *rig_await(struct rig *rig, const char *instance,
                                         enum instance_state state)
{
    int64_t until = clock_mono_now().us + WAIT_US;
    const struct message_instance *seen;
    do {
        rig_turn(rig);
        seen = rig_seen(rig, instance);
        if (seen != NULL && seen->state == (int)state)
            return seen;
    } while (clock_mono_now().us < until);
    fail_msg("%s is %s (%s), not %s", instance,
             seen == NULL ? "unknown" : instance_state_words[seen->state],
             seen == NULL ? "" : seen->detail, instance_state_words[state]);
    return NULL;
}

/* One message: whoever looks after each turn sees every state, be it over at once. */
void rig_turn(struct rig *rig)
{
    if (bus_dispatch(rig->bus, 1) == 0)
        (void)usleep(2000);
}

const struct message_instance *rig_seen(const struct rig *rig, const char *instance)
{
    for (int i = 0; i < rig->seen_count; i++)
        if (str_equal(rig->seen[i].instance, instance))
            return &rig->seen[i];
    return NULL;
}

void rig_read(const struct rig *rig, const char *instance, const char *name, char *out,
              size_t capacity)
{
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/instances/%s/%s", rig->state, instance, name);
    out[0] = 0;
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t got = read(fd, out, capacity - 1);
    out[got > 0 ? got : 0] = 0;
}

pid_t rig_pid(struct rig *rig, const char *instance, const char *name)
{
    char text[64];
    int64_t pid = 0;
    int64_t until = clock_mono_now().us + WAIT_US;
    do {
        rig_turn(rig);
        rig_read(rig, instance, name, text, sizeof(text));
        char *end = strchr(text, '\n');
        if (end != NULL)
            *end = 0;
        if (end != NULL && str_to_i64(text, &pid) == 0)
            return (pid_t)pid;
    } while (clock_mono_now().us < until);
    fail_msg("%s has written no %s", instance, name);
    return 0;
}

bool rig_is_alive(pid_t pid)
{
    char path[64];
    char text[256];
    str_format(path, sizeof(path), "/proc/%d/stat", (int)pid);
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (got <= 0)
        return false;
    text[got] = 0;
    const char *state = strrchr(text, ')');
    return state != NULL && state[2] != 'Z' && state[2] != 'X';
}
