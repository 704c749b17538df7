#include "executors/node/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bus/subjects.h"
#include "base/keys/keys.h"
#include "base/log.h"
#include "base/str.h"

#define MESSAGE_BYTES ((size_t)4 << 20)
#define RECORDS_BYTES ((size_t)64 << 20)
#define DISPATCH_MAX  256
#define EPOLL_EVENTS  64
#define EFFECTS       LIMIT_EFFECTS
#define LEAVE_US      (30 * US_PER_S) /* for --stop-workloads-on-exit */

static int open_bus(struct agent *agent, struct error *err);
static int restore(struct agent *agent, struct error *err);
static void on_state(void *context, bool connected);
static void on_command(void *context, const struct bus_message *message);
static void on_echo(void *context, const struct bus_message *message);
static void take_command(struct agent *agent, const struct bus_message *message);
static void turn(struct agent *agent);
static int timeout_ms(const struct agent *agent);
static void timers(struct agent *agent);
static void take_signals(struct agent *agent);
static void reap(struct agent *agent);
static void step(struct agent *agent, const struct node_event *event);
static void carry_out(struct agent *agent, const struct node_effect *effect);
static void report(struct agent *agent, const struct node_effect *effect);
static void fail(struct agent *agent, const char *what, const struct error *err);
static void stop_everything(struct agent *agent);
static void dispatch(struct agent *agent, uint64_t data, unsigned events);

int agent_open(const struct node_options *options, const char *self, struct agent *agent,
               struct error *err)
{
    *agent =
        (struct agent){.options = *options,
                       .epoll_fd = -1,
                       .signal_fd = -1,
                       .hello_at = INT64_MAX,
                       .store = {.fd = -1, .lock_fd = -1, .records_fd = -1, .instances_fd = -1}};
    arena_init(&agent->message, MESSAGE_BYTES);
    struct utsname machine;
    if (uname(&machine) < 0 || clock_boot_id(agent->boot_id) < 0)
        return error_set(err, ERR_IO, errno, "this machine's boot id and name");
    str_format(agent->machine, sizeof(agent->machine), "%.63s", machine.machine);
    str_format(agent->self_path, sizeof(agent->self_path), "%s", self);
    if (options->shim[0] != 0) {
        str_format(agent->shim_path, sizeof(agent->shim_path), "%s", options->shim);
    } else {
        const char *slash = strrchr(self, '/');
        str_format(agent->shim_path, sizeof(agent->shim_path), "%.*sberth-shim",
                   slash == NULL ? 0 : (int)(slash - self) + 1, self);
    }
    if (access(agent->shim_path, X_OK) < 0)
        return error_set(err, ERR_NOT_FOUND, errno, "option --shim: program '%.200s'",
                         agent->shim_path);
    int rc = keys_init(err);
    if (rc == 0)
        rc = store_open(options->state, &agent->store, err);
    if (rc < 0)
        return rc;
    cgroup_host_find(options->cgroup, &agent->host);
    if (agent->host.mode == CGROUP_NONE)
        log_event(LOG_WARN, "cgroup.none",
                  "text=\"no cgroup can be written here: workloads run without limits, and are "
                  "killed by process instead\"");
    agent->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    sigset_t mask;
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGCHLD);
    (void)sigaddset(&mask, SIGTERM);
    (void)sigaddset(&mask, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &mask, NULL); /* before NATS's threads: they inherit it */
    (void)signal(SIGPIPE, SIG_IGN);
    agent->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    agent->slots = calloc(LIMIT_NODE_INSTANCES, sizeof(*agent->slots));
    if (agent->epoll_fd < 0 || agent->signal_fd < 0 || agent->slots == NULL)
        return error_set(err, ERR_IO, errno, "set up the event loop");
    rc = node_create(options->name, &agent->node, err);
    if (rc == 0 && node_effects_create(EFFECTS, &agent->effects) < 0)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for the machine's effects");
    if (rc == 0)
        rc = agent_watch(agent, agent->signal_fd, WATCH_SIGNAL, 0, EPOLLIN);
    str_format(agent->trips[0].peer, LIMIT_NAME_BYTES, "hub");
    agent->trips[0].rtt_us = -1;
    agent->trip_count = 1;
    for (int i = 0; i < options->peer_count; i++) {
        struct round_trip *trip = &agent->trips[agent->trip_count++];
        memcpy(trip->peer, options->peers[i], sizeof(trip->peer));
        trip->rtt_us = -1;
    }
    if (rc == 0)
        rc = open_bus(agent, err);
    if (rc == 0)
        rc = owners_open(agent, err);
    if (rc == 0)
        rc = gateway_open(agent, err);
    return rc < 0 ? rc : restore(agent, err);
}

int agent_run(struct agent *agent)
{
    int64_t now = clock_boot_now().us;
    agent->beat_at = agent->metrics_at = now;
    log_event(LOG_INFO, "node.started", "node=%s site=%s state=%s cgroup=%s instances=%d",
              agent->options.name, agent->options.site, agent->store.path,
              cgroup_mode_words[agent->host.mode], node_record_count(agent->node));
    while (!agent->leaving && !agent->failed)
        turn(agent);
    if (agent->leaving && agent->options.stop_workloads_on_exit && !agent->failed)
        stop_everything(agent);
    log_event(LOG_INFO, "node.ended", "node=%s", agent->options.name);
    return agent->failed ? 1 : 0;
}

void agent_close(struct agent *agent)
{
    if (agent->bus != NULL) {
        bus_unsubscribe(agent->commands);
        bus_unsubscribe(agent->echoes);
        bus_close(agent->bus);
    }
    courier_close(agent->courier);
    gateway_close(agent, agent->leaving && agent->options.stop_workloads_on_exit);
    slots_close(agent);
    if (agent->store.fd >= 0 && agent->host.mode != CGROUP_NONE) {
        /* Empty ones only: what runs on keeps its own. */
        char path[LIMIT_PATH_BYTES];
        str_format(path, sizeof(path), "%s/%s", agent->options.cgroup, agent->options.name);
        if (cgroup_remove(&agent->host, path, NULL) == 0)
            (void)!cgroup_remove(&agent->host, agent->options.cgroup, NULL);
    }
    while (agent->first != NULL) {
        struct queued *next = agent->first->next;
        free(agent->first->text);
        free(agent->first);
        agent->first = next;
    }
    node_destroy(agent->node);
    node_effects_destroy(agent->effects);
    arena_done(&agent->message);
    if (agent->epoll_fd >= 0)
        (void)close(agent->epoll_fd);
    if (agent->signal_fd >= 0)
        (void)close(agent->signal_fd);
    store_close(&agent->store);
}

void agent_feed(struct agent *agent, const struct node_event *event)
{
    if (agent->failed)
        return;
    bool early =
        agent->adopting && event->kind != NODE_EV_STARTED && event->kind != NODE_EV_ADOPTED;
    if (agent->stepping || early) {
        struct queued *queued = malloc(sizeof(*queued));
        BERTH_ASSERT(queued != NULL, "no memory for an event");
        *queued = (struct queued){.event = *event};
        if (event->said_text != NULL) {
            queued->text = strdup(event->said_text);
            BERTH_ASSERT(queued->text != NULL, "no memory for an event");
            queued->event.said_text = queued->text;
        }
        if (agent->last != NULL)
            agent->last->next = queued;
        else
            agent->first = queued;
        agent->last = queued;
        return;
    }
    step(agent, event);
    while (agent->first != NULL && !agent->adopting) {
        struct queued *queued = agent->first;
        agent->first = queued->next;
        if (agent->first == NULL)
            agent->last = NULL;
        queued->event.at = clock_boot_now();
        step(agent, &queued->event);
        free(queued->text);
        free(queued);
    }
}

void agent_event(struct node_event *ret_event, enum node_event_kind kind, const char *instance)
{
    memset(ret_event, 0, sizeof(*ret_event));
    ret_event->kind = kind;
    ret_event->at = clock_boot_now();
    str_format(ret_event->instance, sizeof(ret_event->instance), "%s", instance);
}

void agent_result(struct agent *agent, enum node_event_kind kind, const char *instance, int code,
                  const char *text)
{
    struct node_event event;
    agent_event(&event, kind, instance);
    event.result.code = code;
    str_format(event.result.text, sizeof(event.result.text), "%.250s", text);
    if (code != 0)
        log_event(LOG_WARN, "instance.trouble", "instance=%s code=%s text=\"%s\"", instance,
                  error_name(code), text);
    agent_feed(agent, &event);
}

int agent_watch(struct agent *agent, int fd, enum watch kind, int slot, unsigned events)
{
    struct epoll_event wanted = {.events = events,
                                 .data.u64 = (uint64_t)kind << 32 | (unsigned)slot};
    return epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, fd, &wanted);
}

const struct node_record *agent_record(const struct agent *agent, const char *instance)
{
    int count = node_record_count(agent->node);
    for (int i = 0; i < count; i++) {
        const struct node_record *record = node_record_at(agent->node, i);
        if (str_equal(record->instance, instance))
            return record;
    }
    return NULL;
}

static int open_bus(struct agent *agent, struct error *err)
{
    char name[LIMIT_NAME_BYTES + 16];
    char subject[LIMIT_SUBJECT_BYTES];
    const struct node_options *options = &agent->options;
    str_format(name, sizeof(name), "berth-node/%s", options->name);
    struct bus_options wanted = {.url = options->url,
                                 .name = name,
                                 .seed_path = options->seed[0] != 0 ? options->seed : NULL,
                                 .inbox_prefix = options->inbox,
                                 .connect_retry = true,
                                 .on_state = on_state,
                                 .context = agent};
    int rc = options->seed[0] == 0
                 ? 0
                 : proof_link_open_user("node", options->name, options->seed,
                                        options->scheduler_key, &agent->link, err);
    if (rc < 0)
        return error_prefix(err, "option --scheduler-key");
    if (!agent->link.proven)
        log_event(LOG_WARN, "proof.none",
                  "text=\"without --seed nothing proves who sends commands: whoever can reach the "
                  "server can\"");
    rc = bus_open(&wanted, &agent->bus, err);
    if (rc < 0)
        return rc;
    subject_node(options->name, "cmd", subject);
    rc = bus_subscribe(agent->bus, subject, NULL, on_command, agent, &agent->commands, err);
    subject_node(options->name, "echo", subject);
    if (rc == 0)
        rc = bus_subscribe(agent->bus, subject, NULL, on_echo, agent, &agent->echoes, err);
    if (rc == 0 && agent_watch(agent, bus_fd(agent->bus), WATCH_BUS, 0, EPOLLIN) < 0)
        rc = error_set(err, ERR_IO, errno, "watch the bus");
    return rc;
}

/* From the records, and what the shims say. */
static int restore(struct agent *agent, struct error *err)
{
    struct arena arena;
    struct node_record *records;
    int count;
    arena_init(&arena, RECORDS_BYTES);
    int rc = store_load(&agent->store, &arena, &records, &count, err);
    if (rc == 0)
        rc = store_sweep(&agent->store, records, count, err);
    if (rc == 0) {
        struct node_event event;
        agent_event(&event, NODE_EV_STARTED, "");
        memcpy(event.started.boot_id, agent->boot_id, sizeof(event.started.boot_id));
        event.started.epoch = agent->store.epoch;
        event.started.records = records;
        event.started.record_count = count;
        agent->adopting = true;
        agent_feed(agent, &event);
        slots_adopt(agent, records, count);
        agent->adopting = false;
        agent_event(&event, NODE_EV_TICK, "");
        agent_feed(agent, &event);
        if (agent->failed)
            rc =
                error_set(err, ERR_IO, 0, "state folder '%s' cannot be written", agent->store.path);
    }
    arena_done(&arena);
    return rc;
}

static void on_state(void *context, bool connected)
{
    struct agent *agent = context;
    log_event(connected ? LOG_INFO : LOG_WARN, connected ? "bus.connected" : "bus.disconnected",
              "node=%s", agent->options.name);
    if (!connected)
        return;
    struct node_event event;
    agent_event(&event, NODE_EV_CONNECTED, "");
    agent_feed(agent, &event);
}

/* On the node's subject come commands, and an answer that asks "who are you?". */
static void on_command(void *context, const struct bus_message *outer)
{
    struct agent *agent = context;
    char type[LIMIT_NAME_BYTES];
    struct error err;
    struct bus_message inner;
    const struct bus_message *message = &inner;
    uint64_t stamp = 0;
    if (!publish_check(agent, outer, &inner, &stamp))
        return;
    if (agent->link.proven && stamp <= agent->seen) {
        publish_refused(agent, outer->subject, "said before");
        if (str_starts(outer->reply, "_INBOX."))
            publish_seen(agent, outer->reply);
        return;
    }
    agent->seen = stamp;
    if (wire_type_of(message->data, message->bytes, type, sizeof(type), &err) < 0) {
        log_event(LOG_WARN, "command.damaged", "reason=\"%s\"", err.text);
        return;
    }
    if (str_equal(type, message_answer_shape.type)) {
        struct node_event event;
        agent_event(&event, NODE_EV_HELLO_ASKED, "");
        agent_feed(agent, &event);
        return;
    }
    take_command(agent, message);
    agent->reply[0] = 0;
    arena_reset(&agent->message);
}

static void take_command(struct agent *agent, const struct bus_message *message)
{
    struct node_event event;
    struct error err;
    agent_event(&event, NODE_EV_COMMAND, "");
    if (str_copy(agent->reply, sizeof(agent->reply), message->reply) < 0)
        agent->reply[0] = 0;
    int rc = wire_decode(&message_command_shape, message->data, message->bytes, 0, &agent->message,
                         &event.command, &err);
    if (rc == 0) {
        log_event(LOG_DEBUG, "command.take", "id=%s verb=%s instance=%s", event.command.id,
                  node_verb_words[event.command.verb], event.command.instance);
        if (event.command.verb == NODE_ROUTE)
            gateway_expect(agent, event.command.id, agent->reply);
        agent_feed(agent, &event);
        return;
    }
    log_event(LOG_WARN, "command.damaged", "reason=\"%s\"", err.text);
    if (agent->reply[0] == 0)
        return;
    struct message_answer answer = {.code = rc};
    str_format(answer.node, sizeof(answer.node), "%s", agent->options.name);
    str_format(answer.text, sizeof(answer.text), "%.250s", err.text);
    publish_answer(agent, agent->reply, &answer);
}

static void on_echo(void *context, const struct bus_message *message)
{
    trips_echo(context, message);
}

static void turn(struct agent *agent)
{
    struct epoll_event events[EPOLL_EVENTS];
    int count = epoll_wait(agent->epoll_fd, events, EPOLL_EVENTS, timeout_ms(agent));
    for (int i = 0; i < count; i++)
        dispatch(agent, events[i].data.u64, events[i].events);
    (void)bus_dispatch(agent->bus, DISPATCH_MAX);
    timers(agent);
}

static void dispatch(struct agent *agent, uint64_t data, unsigned events)
{
    int index = (int)(data & UINT32_MAX);
    switch ((enum watch)(data >> 32)) {
    case WATCH_BUS:
        return; /* every turn dispatches */
    case WATCH_SIGNAL:
        take_signals(agent);
        return;
    case WATCH_SHIM:
        slot_read_shim(agent, index);
        return;
    case WATCH_FETCH:
        slot_read_fetch(agent, index);
        return;
    case WATCH_JUDGE:
        judge_io(agent, index, events);
        return;
    case WATCH_COURIER:
        owners_take(agent);
        return;
    case WATCH_INGRESS:
        gateway_dispatch(agent);
        return;
    }
}

static int timeout_ms(const struct agent *agent)
{
    int64_t now = clock_boot_now().us;
    int64_t first = node_deadline(agent->node).us;
    const int64_t others[] = {slots_deadline(agent), judge_deadline(agent), agent->beat_at,
                              agent->metrics_at, agent->hello_at};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        first = others[i] < first ? others[i] : first;
    int64_t bus_us = bus_timeout_us(agent->bus);
    if (bus_us >= 0 && now + bus_us < first)
        first = now + bus_us;
    if (first <= now)
        return 0;
    int64_t left_ms = (first - now + US_PER_MS - 1) / US_PER_MS;
    return left_ms > 1000 ? 1000 : (int)left_ms;
}

static void timers(struct agent *agent)
{
    int64_t now = clock_boot_now().us;
    struct node_event event;
    slots_tick(agent, now);
    judge_tick(agent, now);
    if (node_deadline(agent->node).us <= now) {
        agent_event(&event, NODE_EV_TICK, "");
        agent_feed(agent, &event);
    }
    if (agent->beat_at <= now) {
        agent->beat_at = now + AGENT_BEAT_US;
        publish_beat(agent);
        trips_ask(agent);
    }
    if (agent->metrics_at <= now) {
        agent->metrics_at = now + agent->options.metrics_interval_us;
        publish_metrics(agent);
    }
    if (agent->hello_at <= now) {
        agent->hello_at = INT64_MAX;
        agent_event(&event, NODE_EV_HELLO_ASKED, "");
        agent_feed(agent, &event);
    }
}

static void take_signals(struct agent *agent)
{
    struct signalfd_siginfo info;
    while (read(agent->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD)
            agent->leaving = true;
    reap(agent);
}

static void reap(struct agent *agent)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        slot_child_ended(agent, pid, status);
}

static void step(struct agent *agent, const struct node_event *event)
{
    agent->stepping = true;
    node_step(agent->node, event, agent->effects);
    for (int i = 0; i < agent->effects->count && !agent->failed; i++)
        carry_out(agent, &agent->effects->list[i]);
    agent->stepping = false;
}

static void carry_out(struct agent *agent, const struct node_effect *effect)
{
    char subject[LIMIT_SUBJECT_BYTES];
    char folder[LIMIT_PATH_BYTES];
    struct error err;
    switch (effect->kind) {
    case NODE_FX_PERSIST:
        if (store_save(&agent->store, &effect->record, &err) < 0)
            fail(agent, "the record cannot be kept", &err);
        return;
    case NODE_FX_ERASE:
        slot_forget(agent, effect->instance);
        store_instance_path(&agent->store, effect->instance, folder);
        courier_forget(agent->courier, folder, effect->file.kept);
        if ((effect->folder_only
                 ? store_erase_folder(&agent->store, effect->instance, &err)
                 : store_erase(&agent->store, effect->instance, node_epoch(agent->node), &err)) < 0)
            fail(agent, "the record cannot be removed", &err);
        return;
    case NODE_FX_ANSWER:
        if (gateway_reply(agent, effect->answer.id, subject))
            publish_answer(agent, subject, &effect->answer);
        else if (agent->reply[0] != 0)
            publish_answer(agent, agent->reply, &effect->answer);
        return;
    case NODE_FX_REPORT:
        report(agent, effect);
        return;
    case NODE_FX_HELLO:
        publish_hello(agent, &effect->hello);
        return;
    case NODE_FX_FETCH:
        slot_fetch(agent, effect->instance, effect->spec);
        return;
    case NODE_FX_SPAWN:
        slot_spawn(agent, effect->instance, effect->spec);
        return;
    case NODE_FX_SAY:
        owners_say(agent, effect);
        return;
    case NODE_FX_TERM:
        slot_say(agent, effect->instance, "term\n");
        return;
    case NODE_FX_CLEAR:
        slot_clear(agent, effect->instance);
        return;
    case NODE_FX_JUDGE:
        judge_begin(agent, effect->instance, effect->spec, effect->live);
        return;
    case NODE_FX_PROBE:
        probe_begin(agent, effect);
        return;
    case NODE_FX_PROBED:
        subject_node(agent->options.name, "probed", subject);
        publish_proven(agent, subject, &message_probed_shape, &effect->probed);
        return;
    case NODE_FX_SHIP:
    case NODE_FX_GET:
    case NODE_FX_DROP:
    case NODE_FX_LEASE:
        owners_carry_out(agent, effect);
        return;
    case NODE_FX_ROUTE:
        gateway_route(agent, effect);
        return;
    case NODE_FX_BEAT:
        publish_beat(agent);
        return;
    }
}

static void report(struct agent *agent, const struct node_effect *effect)
{
    char subject[LIMIT_SUBJECT_BYTES];
    agent->seq = effect->report.seq;
    log_event(LOG_INFO, "instance.state", "instance=%s state=%s restarts=%d detail=\"%s\"",
              effect->instance, instance_state_words[effect->report.instance.state],
              effect->report.instance.restarts, effect->report.instance.detail);
    subject_node(agent->options.name, "report", subject);
    publish_proven(agent, subject, &message_report_shape, &effect->report);
}

static void fail(struct agent *agent, const char *what, const struct error *err)
{
    log_event(LOG_ERROR, "node.failed", "text=\"%s: %s; workloads go on\"", what, err->text);
    agent->failed = true;
}

/* --stop-workloads-on-exit: every instance is told to stop as if by command, with its own
 * deadlines; the node's own epoch is the highest it has taken, so it is never refused. */
static void stop_everything(struct agent *agent)
{
    int64_t until = clock_boot_now().us + LEAVE_US;
    int count = node_record_count(agent->node);
    for (int i = 0; i < count && !agent->failed; i++) {
        struct node_event event;
        agent_event(&event, NODE_EV_COMMAND, "");
        event.command.verb = NODE_STOP;
        event.command.epoch = node_epoch(agent->node);
        id_random(event.command.id);
        const struct node_record *record = node_record_at(agent->node, i);
        if (record == NULL || record->state == INSTANCE_ABSENT ||
            record->state == INSTANCE_STOPPED || record->state == INSTANCE_FAILED)
            continue;
        memcpy(event.command.instance, record->instance, sizeof(record->instance));
        agent_feed(agent, &event);
    }
    bool left = true;
    while (left && !agent->failed && clock_boot_now().us < until) {
        left = false;
        for (int i = 0; i < node_record_count(agent->node); i++) {
            int state = node_record_at(agent->node, i)->state;
            left = left || (state >= INSTANCE_STAGING && state <= INSTANCE_STOPPING);
        }
        if (left)
            turn(agent);
    }
    if (left)
        log_event(LOG_WARN, "node.left", "text=\"some workloads did not end in time\"");
}
