/* A node's shell: disk, shims, processes; and the agent's death and return. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define SPAWN_US (5 * US_PER_MS)
#define READY_US (50 * US_PER_MS)
#define DRAIN_US (30 * US_PER_MS)
#define EXIT_US  (20 * US_PER_MS)
#define FETCH_US (20 * US_PER_MS)
#define CLEAR_US (5 * US_PER_MS)
#define HEAR_US  (1 * US_PER_MS)

static bool carry_out(struct sim *sim, int index, const struct node_effect *effect);
static void persist(struct sim *sim, struct sim_node *node, const struct node_record *record);
static void erase(struct sim_node *node, const char *instance);
static void inside(struct sim *sim, int index, int64_t delay_us, enum node_event_kind kind,
                   const char *instance, const struct node_event *content);
static void to_scheduler(struct sim *sim, int index, struct core_event *event);
static void say_hello(struct sim *sim, int index, const struct message_hello *hello);
static void spawn(struct sim *sim, int index, const struct node_effect *effect);
static void hear(struct sim *sim, struct sim_process *process, enum node_say say);
static void clear(struct sim *sim, int index, const char *instance);
static void leave(struct sim *sim, struct sim_process *process, const char *why);
static void probe(struct sim *sim, int index, const struct node_effect *effect);

void sim_node_start(struct sim *sim, int index)
{
    struct sim_node *node = &sim->nodes[index];
    struct error err;
    BERTH_ASSERT(node_create(node->name, &node->core, &err) == 0, "%s", err.text);
    node->life++;
    node->seq = 0;
    struct node_record *records = arena_array(&sim->arena, SIM_RECORDS, sizeof(struct node_record));
    BERTH_ASSERT(records != NULL, "no memory");
    struct node_event event = {.kind = NODE_EV_STARTED};
    str_format(event.started.boot_id, sizeof(event.started.boot_id), "boot-%s", node->name);
    for (int i = 0; i < SIM_RECORDS; i++) {
        if (!node->disk[i].used)
            continue;
        records[event.started.record_count++] = node->disk[i].record;
        if (epoch_compare(node->disk[i].record.epoch, event.started.epoch) > 0)
            event.started.epoch = node->disk[i].record.epoch;
    }
    event.started.records = records;
    int count = event.started.record_count;
    sim_node_take(sim, index, &event);
    for (int i = 0; i < count && node->core != NULL; i++) {
        const struct sim_process *process = sim_process_find(sim, index, records[i].instance);
        if (process == NULL || !process->shim)
            continue;
        struct node_event adopted = {.kind = NODE_EV_ADOPTED};
        memcpy(adopted.instance, records[i].instance, sizeof(adopted.instance));
        adopted.adopted.running = process->alive;
        adopted.adopted.exit_code = process->exit_code;
        adopted.adopted.said_ready = process->said_ready;
        adopted.adopted.said_drained = process->said_drained;
        sim_node_take(sim, index, &adopted);
    }
    if (node->core == NULL)
        return;
    struct node_event connected = {.kind = NODE_EV_CONNECTED};
    sim_node_take(sim, index, &connected);
}

void sim_node_crash(struct sim *sim, int index)
{
    struct sim_node *node = &sim->nodes[index];
    node_destroy(node->core);
    node->core = NULL;
    node->life++;
    /* The adversary sometimes keeps it away for longer than policy.node_timeout: then the node is
     * lost, what runs there is replaced, and all of it comes back. */
    bool away = sim->options.adversary && sim_random(sim, 4) == 0;
    struct sim_event *up = sim_push(sim, away ? 8 * US_PER_S : 200 * US_PER_MS, SIM_AGENT_UP);
    up->node = index;
}

int64_t sim_node_deadline(const struct sim *sim, int index)
{
    const struct sim_node *node = &sim->nodes[index];
    if (node->core == NULL)
        return INT64_MAX;
    int64_t us = node_deadline(node->core).us;
    if (us == INT64_MAX)
        return INT64_MAX;
    return us > node->boot_us ? us - node->boot_us : 0;
}

void sim_node_take(struct sim *sim, int index, struct node_event *event)
{
    static const char *const words[] = {"started", "adopted", "connected", "hello asked", "command",
                                        "fetched", "spawned", "said",      "judged",      "exited",
                                        "cleared", "probed",  "tick",      "shipped",     "got",
                                        "renewed", "routed"};
    struct sim_node *node = &sim->nodes[index];
    char what[LIMIT_TEXT_BYTES];
    event->at.us = sim->now_us + node->boot_us;
    str_format(what, sizeof(what), "node %s before %s", node->name, words[event->kind]);
    if (sim_point(sim, what, event->instance)) {
        sim_node_crash(sim, index);
        return;
    }
    node_step(node->core, event, node->effects);
    for (int i = 0; i < node->effects->count; i++) {
        const struct node_effect *effect = &node->effects->list[i];
        str_format(what, sizeof(what), "node %s before effect %d of %s", node->name,
                   (int)effect->kind, words[event->kind]);
        if (sim_point(sim, what, effect->instance)) {
            sim_node_crash(sim, index);
            return;
        }
        if (!carry_out(sim, index, effect))
            return;
    }
    str_format(what, sizeof(what), "node %s after %s", node->name, words[event->kind]);
    if (node->effects->count > 0 && sim_point(sim, what, event->instance))
        sim_node_crash(sim, index);
}

static bool carry_out(struct sim *sim, int index, const struct node_effect *effect)
{
    struct sim_node *node = &sim->nodes[index];
    struct core_event event;
    memset(&event, 0, sizeof(event));
    struct sim_process *process = sim_process_find(sim, index, effect->instance);
    switch (effect->kind) {
    case NODE_FX_PERSIST:
        persist(sim, node, &effect->record);
        if (effect->record.want == NODE_WANT_GONE && node->stopped_count < SIM_PROCESSES)
            memcpy(node->stopped[node->stopped_count++], effect->record.instance, LIMIT_ID_BYTES);
        break;
    case NODE_FX_ERASE:
        erase(node, effect->instance);
        break;
    case NODE_FX_ANSWER:
        event.kind = CORE_ANSWER;
        event.answer = effect->answer;
        to_scheduler(sim, index, &event);
        break;
    case NODE_FX_REPORT:
        event.kind = CORE_REPORT;
        event.report = effect->report;
        node->seq = effect->report.seq;
        to_scheduler(sim, index, &event);
        break;
    case NODE_FX_HELLO:
        say_hello(sim, index, &effect->hello);
        break;
    case NODE_FX_FETCH:
        inside(sim, index, FETCH_US, NODE_EV_FETCHED, effect->instance, NULL);
        break;
    case NODE_FX_SPAWN:
        spawn(sim, index, effect);
        break;
    case NODE_FX_SAY:
        if (process != NULL && process->alive)
            hear(sim, process, effect->say.what);
        break;
    case NODE_FX_TERM:
        if (process != NULL && process->alive)
            hear(sim, process, SAY_STOP);
        break;
    case NODE_FX_CLEAR:
        clear(sim, index, effect->instance);
        break;
    case NODE_FX_JUDGE:
        break; /* the script's workloads speak for themselves */
    case NODE_FX_PROBE:
        probe(sim, index, effect);
        break;
    case NODE_FX_PROBED:
        event.kind = CORE_PROBED;
        event.probed = effect->probed;
        to_scheduler(sim, index, &event);
        break;
    case NODE_FX_SHIP:
    case NODE_FX_GET:
    case NODE_FX_DROP:
    case NODE_FX_LEASE:
    case NODE_FX_ROUTE:
    case NODE_FX_BEAT:
        break; /* the script has no owners and no ingress */
    }
    return sim->broken[0] == 0;
}

static void persist(struct sim *sim, struct sim_node *node, const struct node_record *record)
{
    struct sim_record *place = NULL;
    for (int i = 0; i < SIM_RECORDS; i++) {
        struct sim_record *at = &node->disk[i];
        if (at->used && str_equal(at->record.instance, record->instance)) {
            place = at;
            break;
        }
        if (!at->used && place == NULL)
            place = at;
    }
    BERTH_ASSERT(place != NULL, "the simulated disk of %s is full", node->name);
    place->used = true;
    place->record = *record; /* the script's specs have no arrays */
    if (record->handed != NULL)
        place->record.handed = arena_strdup(&sim->arena, record->handed);
    BERTH_ASSERT(record->spec.arg_count == 0 && record->spec.env_count == 0, "arrays in a spec");
    (void)sim;
}

static void erase(struct sim_node *node, const char *instance)
{
    for (int i = 0; i < SIM_RECORDS; i++) {
        if (node->disk[i].used && str_equal(node->disk[i].record.instance, instance))
            node->disk[i].used = false;
    }
}

static void inside(struct sim *sim, int index, int64_t delay_us, enum node_event_kind kind,
                   const char *instance, const struct node_event *content)
{
    struct node_event *event = arena_alloc(&sim->arena, sizeof(*event));
    BERTH_ASSERT(event != NULL, "no memory");
    if (content != NULL)
        *event = *content;
    event->kind = kind;
    str_format(event->instance, sizeof(event->instance), "%s", instance);
    struct sim_event *later = sim_push(sim, delay_us, SIM_NODE_INSIDE);
    later->node = index;
    later->life = sim->nodes[index].life;
    later->payload = event;
}

static void to_scheduler(struct sim *sim, int index, struct core_event *event)
{
    sim_bus(sim, SIM_TO_SCHEDULER, index, event, sizeof(*event));
}

static void say_hello(struct sim *sim, int index, const struct message_hello *hello)
{
    const struct sim_node *node = &sim->nodes[index];
    struct core_event event = {.kind = CORE_HELLO};
    event.hello = *hello;
    str_format(event.hello.node, sizeof(event.hello.node), "%s", node->name);
    str_format(event.hello.site, sizeof(event.hello.site), "%s", node->site);
    str_format(event.hello.boot_id, sizeof(event.hello.boot_id), "boot-%s", node->name);
    str_format(event.hello.arch, sizeof(event.hello.arch), "x86_64");
    str_format(event.hello.drivers, sizeof(event.hello.drivers), "process");
    event.hello.boot_us = sim->now_us + node->boot_us;
    event.hello.mcpu = 1000;
    event.hello.memory_bytes = INT64_C(1) << 30;
    size_t bytes = (size_t)hello->instance_count * sizeof(*hello->instances);
    event.hello.instances = NULL;
    if (bytes > 0) {
        event.hello.instances = arena_copy(&sim->arena, hello->instances, bytes);
        BERTH_ASSERT(event.hello.instances != NULL, "no memory");
    }
    to_scheduler(sim, index, &event);
}

/* ---- processes ---- */

struct sim_process *sim_process_find(struct sim *sim, int node, const char *instance)
{
    for (int i = sim->process_count - 1; i >= 0; i--) {
        struct sim_process *process = &sim->processes[i];
        if (process->node == node && str_equal(process->instance, instance))
            return process;
    }
    return NULL;
}

static void does(struct sim *sim, const struct sim_process *process, int64_t delay_us,
                 enum sim_does what)
{
    struct sim_event *event = sim_push(sim, delay_us, SIM_PROCESS);
    event->node = process->node;
    event->process = (int)(process - sim->processes);
    event->does = what;
}

static void spawn(struct sim *sim, int index, const struct node_effect *effect)
{
    sim_check_spawn(sim, index, effect->instance);
    struct sim_process *old = sim_process_find(sim, index, effect->instance);
    if (old != NULL && old->alive) {
        sim_break(sim, "%s is spawned while its process lives", effect->instance);
        return;
    }
    BERTH_ASSERT(sim->process_count < SIM_PROCESSES, "too many processes");
    struct sim_process *process = &sim->processes[sim->process_count++];
    *process = (struct sim_process){.node = index, .alive = true, .shim = true};
    memcpy(process->instance, effect->instance, sizeof(process->instance));
    memcpy(process->workload, effect->spec->workload, sizeof(process->workload));
    inside(sim, index, SPAWN_US, NODE_EV_SPAWNED, effect->instance, NULL);
    does(sim, process, READY_US, DOES_READY);
}

/* The process is told something; it hears it a moment later. */
static void hear(struct sim *sim, struct sim_process *process, enum node_say say)
{
    struct sim_event *event = sim_push(sim, HEAR_US, SIM_PROCESS);
    event->node = process->node;
    event->process = (int)(process - sim->processes);
    event->does = DOES_HEARD;
    event->say = say;
}

static void tell(struct sim *sim, const struct sim_process *process, enum workload_word word)
{
    struct node_event content;
    memset(&content, 0, sizeof(content));
    content.said = word;
    if (sim->nodes[process->node].core != NULL)
        inside(sim, process->node, HEAR_US, NODE_EV_SAID, process->instance, &content);
}

void sim_process_does(struct sim *sim, const struct sim_event *event)
{
    struct sim_process *process = &sim->processes[event->process];
    if (!process->alive)
        return;
    switch (event->does) {
    case DOES_READY:
        process->said_ready = true;
        process->serves = true;
        process->served_us = sim->now_us;
        if (str_equal(process->workload, "source"))
            sim->served_once = true;
        tell(sim, process, SAID_READY);
        break;
    case DOES_DRAINED:
        if (!process->draining)
            break;
        process->draining = false;
        process->said_drained = true;
        tell(sim, process, SAID_DRAINED);
        break;
    case DOES_RESUMED:
        tell(sim, process, SAID_RESUMED);
        break;
    case DOES_EXIT: {
        struct node_event content;
        memset(&content, 0, sizeof(content));
        leave(sim, process, "it was told to stop");
        process->alive = false;
        if (sim->nodes[process->node].core != NULL)
            inside(sim, process->node, HEAR_US, NODE_EV_EXITED, process->instance, &content);
        break;
    }
    case DOES_HEARD:
        if (event->say == SAY_DRAIN) {
            leave(sim, process, "it was told to drain");
            process->draining = true;
            process->said_drained = false;
            does(sim, process, DRAIN_US, DOES_DRAINED);
        } else if (event->say == SAY_RESUME) {
            if (!process->serves)
                process->served_us = sim->now_us;
            process->draining = false;
            process->serves = true;
            process->said_drained = false;
            does(sim, process, HEAR_US, DOES_RESUMED);
        } else {
            leave(sim, process, "it was told to stop");
            does(sim, process, EXIT_US, DOES_EXIT);
        }
        break;
    }
}

/* It serves no more because somebody said so: then somebody else has to. */
static void leave(struct sim *sim, struct sim_process *process, const char *why)
{
    if (!process->serves)
        return;
    process->serves = false;
    sim_check_serving(sim, process, why);
}

void sim_process_accident(struct sim *sim, struct sim_process *process)
{
    struct node_event content;
    memset(&content, 0, sizeof(content));
    content.exit_code = 1;
    if (sim->options.chatter)
        (void)printf("           accident of %s\n", process->instance);
    process->alive = false;
    process->serves = false;
    process->by_accident = true;
    process->exit_code = 1;
    sim->excused_us = sim->now_us + 10 * US_PER_S;
    if (sim->nodes[process->node].core != NULL)
        inside(sim, process->node, HEAR_US, NODE_EV_EXITED, process->instance, &content);
}

static void clear(struct sim *sim, int index, const char *instance)
{
    struct sim_process *process = sim_process_find(sim, index, instance);
    if (process != NULL && process->alive) {
        leave(sim, process, "its cgroup was killed");
        process->alive = false;
    }
    if (process != NULL)
        process->shim = false;
    inside(sim, index, CLEAR_US, NODE_EV_CLEARED, instance, NULL);
}

static void probe(struct sim *sim, int index, const struct node_effect *effect)
{
    struct node_event content;
    memset(&content, 0, sizeof(content));
    int64_t took_us = 0;
    bool answered = sim_probe(sim, index, effect->instance, &took_us);
    memcpy(content.probed.id, effect->probe.id, sizeof(content.probed.id));
    memcpy(content.probed.instance, effect->instance, sizeof(content.probed.instance));
    content.probed.sent = effect->probe.count;
    content.probed.answered = answered ? effect->probe.count : 0;
    content.probed.rtt_us = answered ? took_us : 0;
    inside(sim, index, took_us, NODE_EV_PROBED, effect->instance, &content);
}
