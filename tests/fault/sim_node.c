/*
 * A node's shell: disk, boots, clock; and the agent's death and return. A record is written and
 * synced before any later effect of its step: what is not synced, a new start of the machine takes.
 */
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define FETCH_US   (20 * US_PER_MS)
#define RESTART_US (200 * US_PER_MS)

static void carry_out(struct sim *sim, int index, const struct node_effect *effect);
static bool persist(struct sim *sim, int index, const struct node_record *record);
static bool refuses(struct sim *sim, int index);
static void put(struct sim *sim, struct sim_record *disk, const struct node_record *record);
static void erase(struct sim_record *disk, const char *instance);
static void to_scheduler(struct sim *sim, int index, struct core_event *event);
static void say_report(struct sim *sim, int index, const struct node_effect *effect);
static void say_hello(struct sim *sim, int index, const struct message_hello *hello);
static void probe(struct sim *sim, int index, const struct node_effect *effect);
static void look_at_deadline(struct sim *sim, int index);

int64_t sim_boot_us(const struct sim *sim, int index)
{
    const struct sim_node *node = &sim->nodes[index];
    int64_t passed_us = sim->now_us - node->base_us;
    return node->boot_us + passed_us + passed_us * node->drift_ppm / PPM;
}

int64_t sim_from_boot(const struct sim *sim, int index, int64_t boot_us)
{
    const struct sim_node *node = &sim->nodes[index];
    int64_t left_us = boot_us - sim_boot_us(sim, index);
    if (left_us <= 0)
        return sim->now_us;
    int64_t here_us = left_us - left_us * node->drift_ppm / PPM;
    return sim->now_us + here_us + here_us / PPM + 2; /* not before it, with every rounding */
}

void sim_node_start(struct sim *sim, int index)
{
    struct sim_node *node = &sim->nodes[index];
    struct error err;
    BERTH_ASSERT(node_create(node->name, &node->core, &err) == 0, "%s", err.text);
    if (node->base_us == 0)
        node->base_us = sim->now_us;
    node->life++;
    node->seq = 0;
    struct node_record *records = arena_array(&sim->arena, SIM_RECORDS, sizeof(struct node_record));
    BERTH_ASSERT(records != NULL, "no memory");
    struct node_event event = {.kind = NODE_EV_STARTED};
    memcpy(event.started.boot_id, node->boot_id, sizeof(event.started.boot_id));
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
    uint64_t life = node->life;
    for (int i = 0; i < count && node->core != NULL && node->life == life; i++) {
        struct sim_process *process = sim_process_find(sim, index, records[i].instance);
        if (process == NULL || !process->shim)
            continue;
        struct node_event adopted = {.kind = NODE_EV_ADOPTED};
        memcpy(adopted.instance, records[i].instance, sizeof(adopted.instance));
        adopted.adopted.running = process->alive;
        adopted.adopted.exit_code = process->exit_code;
        adopted.adopted.said_ready = process->said_ready && !process->said_drained;
        adopted.adopted.said_drained = process->said_drained;
        adopted.adopted.lease_us = process->lease_us;
        memcpy(adopted.endpoint, process->endpoint, sizeof(adopted.endpoint));
        sim_node_take(sim, index, &adopted);
        if (node->core != NULL && node->life == life)
            sim_process_adopted(sim, process);
    }
    if (node->core == NULL || node->life != life)
        return;
    struct node_event connected = {.kind = NODE_EV_CONNECTED};
    sim_node_take(sim, index, &connected);
}

void sim_node_crash(struct sim *sim, int index, int64_t away_us)
{
    struct sim_node *node = &sim->nodes[index];
    node_destroy(node->core);
    node->core = NULL;
    node->life++;
    node->deadline_us = INT64_MAX;
    node->stopped_until_us = 0;
    struct sim_event *up = sim_push(sim, away_us > RESTART_US ? away_us : RESTART_US, SIM_AGENT_UP);
    up->node = index;
    up->life = node->life;
}

/* Processes, shims, the ingress and what was not synced are gone. */
void sim_node_reboot(struct sim *sim, int index, int64_t away_us)
{
    struct sim_node *node = &sim->nodes[index];
    sim_accident_of_node(sim, index, sim->now_us + away_us);
    for (int i = sim->first_alive; i < sim->process_count; i++) {
        struct sim_process *process = &sim->processes[i];
        if (process->node != index)
            continue;
        if (process->alive)
            sim_process_accident(sim, process, false);
        process->shim = false;
    }
    node->machine_until_us = 0;
    sim_node_crash(sim, index, away_us + US_PER_S);
    memcpy(node->disk, node->durable, sizeof(node->disk));
    node->boots++;
    str_format(node->boot_id, sizeof(node->boot_id), "boot-%s-%llu", node->name,
               (unsigned long long)node->boots);
    node->boot_us = sim->options.plain ? 5 * US_PER_S : 0;
    node->base_us = sim->now_us + (sim->options.plain ? 0 : away_us);
    node->blank = true;
    node->server_count = 0;
}

void sim_node_take(struct sim *sim, int index, struct node_event *event)
{
    static const char *const words[] = {"started", "adopted", "connected", "hello asked", "command",
                                        "fetched", "spawned", "said",      "judged",      "exited",
                                        "cleared", "probed",  "tick",      "shipped",     "got",
                                        "renewed", "routed"};
    struct sim_node *node = &sim->nodes[index];
    char what[LIMIT_TEXT_BYTES];
    event->at.us = sim_boot_us(sim, index);
    str_format(what, sizeof(what), "node %s before %s", node->name, words[event->kind]);
    if (sim_point(sim, what, event->instance)) {
        sim_node_crash(sim, index, 0);
        return;
    }
    node_step(node->core, event, node->effects);
    for (int i = 0; i < node->effects->count; i++) {
        const struct node_effect *effect = &node->effects->list[i];
        str_format(what, sizeof(what), "node %s before effect %d of %s", node->name,
                   (int)effect->kind, words[event->kind]);
        if (sim_point(sim, what, effect->instance)) {
            sim_node_crash(sim, index, 0);
            return;
        }
        if (effect->kind == NODE_FX_PERSIST) {
            if (!persist(sim, index, &effect->record))
                return;
        } else {
            carry_out(sim, index, effect);
        }
        if (sim->broken[0] != 0)
            return;
    }
    str_format(what, sizeof(what), "node %s after %s", node->name, words[event->kind]);
    if (node->effects->count > 0 && sim_point(sim, what, event->instance)) {
        sim_node_crash(sim, index, 0);
        return;
    }
    look_at_deadline(sim, index);
}

static void look_at_deadline(struct sim *sim, int index)
{
    struct sim_node *node = &sim->nodes[index];
    int64_t us = node_deadline(node->core).us;
    node->deadline_us = us == INT64_MAX ? INT64_MAX : sim_from_boot(sim, index, us);
}

static void carry_out(struct sim *sim, int index, const struct node_effect *effect)
{
    struct sim_node *node = &sim->nodes[index];
    struct core_event event;
    memset(&event, 0, sizeof(event));
    struct sim_process *process = sim_process_find(sim, index, effect->instance);
    switch (effect->kind) {
    case NODE_FX_PERSIST:
        return;
    case NODE_FX_ERASE:
        if (effect->folder_only)
            return;
        erase(node->disk, effect->instance);
        if (sim_random(sim, 2) == 0) /* else a loss of power brings it back */
            erase(node->durable, effect->instance);
        return;
    case NODE_FX_ANSWER:
        event.kind = CORE_ANSWER;
        event.answer = effect->answer;
        to_scheduler(sim, index, &event);
        return;
    case NODE_FX_REPORT:
        say_report(sim, index, effect);
        return;
    case NODE_FX_HELLO:
        say_hello(sim, index, &effect->hello);
        return;
    case NODE_FX_FETCH:
        sim_node_inside(sim, index, FETCH_US, NODE_EV_FETCHED, effect->instance, NULL);
        return;
    case NODE_FX_SPAWN:
        sim_process_spawn(sim, index, effect);
        return;
    case NODE_FX_SAY:
        if (process != NULL && process->alive)
            sim_process_tell(sim, process, effect);
        return;
    case NODE_FX_TERM:
        if (process != NULL && process->alive)
            sim_process_term(sim, process);
        return;
    case NODE_FX_CLEAR:
        sim_process_clear(sim, index, effect->instance);
        return;
    case NODE_FX_JUDGE:
        return; /* the script's workloads speak for themselves */
    case NODE_FX_PROBE:
        probe(sim, index, effect);
        return;
    case NODE_FX_PROBED:
        event.kind = CORE_PROBED;
        event.probed = effect->probed;
        to_scheduler(sim, index, &event);
        return;
    case NODE_FX_SHIP:
    case NODE_FX_GET:
    case NODE_FX_DROP:
        sim_process_file(sim, index, effect);
        return;
    case NODE_FX_LEASE:
        if (process != NULL && process->shim)
            sim_process_lease(sim, process, effect->lease.until_us);
        return;
    case NODE_FX_ROUTE:
        sim_route(sim, index, effect);
        return;
    case NODE_FX_BEAT:
        sim_beat(sim, index);
        return;
    }
}

/* False: the disk refused it, or the agent died between the write and the sync. */
static bool persist(struct sim *sim, int index, const struct node_record *record)
{
    struct sim_node *node = &sim->nodes[index];
    char what[LIMIT_TEXT_BYTES];
    if (refuses(sim, index)) {
#ifdef BERTH_PLANT_GO_ON
        return true; /* the fault that must be found: as if it were there */
#endif
        return false;
    }
    put(sim, node->disk, record);
    str_format(what, sizeof(what), "node %s before sync", node->name);
    if (sim_point(sim, what, record->instance)) {
        sim_node_crash(sim, index, 0);
        return false;
    }
#ifdef BERTH_PLANT_SKIP_SYNC
    if (sim_random(sim, 4) != 0) /* the fault that must be found: the kernel had not written it */
        return true;
#endif
    put(sim, node->durable, record);
    if (record->want == NODE_WANT_GONE && node->stopped_count < SIM_PROCESSES)
        memcpy(node->stopped[node->stopped_count++], record->instance, LIMIT_ID_BYTES);
    return true;
}

/* A file is written beside the old one and takes its place when it is synced: what is refused has
 * left it as it was. The agent ends, and is started again. */
static bool refuses(struct sim *sim, int index)
{
    struct sim_node *node = &sim->nodes[index];
    bool io = node->disk_io > 0 && sim_random(sim, 4) == 0;
    if (node->disk_full == 0 && !io)
        return false;
    sim_fault_hit(sim, io ? FAULT_NODE_IO : FAULT_NODE_FULL);
#ifndef BERTH_PLANT_GO_ON
    sim_node_crash(sim, index, 0);
#endif
    return true;
}

static void put(struct sim *sim, struct sim_record *disk, const struct node_record *record)
{
    struct sim_record *place = NULL;
    for (int i = 0; i < SIM_RECORDS; i++) {
        struct sim_record *at = &disk[i];
        if (at->used && str_equal(at->record.instance, record->instance)) {
            place = at;
            break;
        }
        if (!at->used && place == NULL)
            place = at;
    }
    /* Tombstones are many: the oldest of them give way, as in the machine's own table. */
    for (int i = 0; place == NULL && i < SIM_RECORDS; i++) {
        struct sim_record *at = &disk[i];
        if (at->record.state == INSTANCE_ABSENT || at->record.state == INSTANCE_STOPPED) {
            memmove(at, at + 1, (size_t)(SIM_RECORDS - 1 - i) * sizeof(*at));
            place = &disk[SIM_RECORDS - 1];
        }
    }
    BERTH_ASSERT(place != NULL, "a simulated disk is full");
    place->used = true;
    place->record = *record; /* the script's specs have no arrays */
    if (record->handed != NULL)
        place->record.handed = arena_strdup(&sim->arena, record->handed);
    BERTH_ASSERT(record->spec.arg_count == 0 && record->spec.env_count == 0, "arrays in a spec");
}

static void erase(struct sim_record *disk, const char *instance)
{
    for (int i = 0; i < SIM_RECORDS; i++) {
        if (disk[i].used && str_equal(disk[i].record.instance, instance))
            disk[i].used = false;
    }
}

void sim_node_inside(struct sim *sim, int index, int64_t delay_us, enum node_event_kind kind,
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

static void say_report(struct sim *sim, int index, const struct node_effect *effect)
{
    struct core_event event = {.kind = CORE_REPORT, .report = effect->report};
    if (effect->report.instance.handed != NULL)
        event.report.instance.handed = arena_strdup(&sim->arena, effect->report.instance.handed);
    sim->nodes[index].seq = effect->report.seq;
    to_scheduler(sim, index, &event);
}

static void say_hello(struct sim *sim, int index, const struct message_hello *hello)
{
    struct sim_node *node = &sim->nodes[index];
    struct core_event event = {.kind = CORE_HELLO, .hello = *hello};
    str_format(event.hello.node, sizeof(event.hello.node), "%s", node->name);
    str_format(event.hello.site, sizeof(event.hello.site), "%s", node->site);
    memcpy(event.hello.boot_id, node->boot_id, sizeof(event.hello.boot_id));
    str_format(event.hello.arch, sizeof(event.hello.arch), "x86_64");
    str_format(event.hello.drivers, sizeof(event.hello.drivers), "process");
    if (index < SIM_INGRESSES)
        str_format(event.hello.ingress, sizeof(event.hello.ingress), "http://10.0.%d.1:80", index);
    event.hello.boot_us = sim_boot_us(sim, index);
    event.hello.mcpu = 1500;
    event.hello.memory_bytes = INT64_C(2) << 30;
    event.hello.instances = NULL;
    if (hello->instance_count > 0) {
        size_t bytes = (size_t)hello->instance_count * sizeof(*hello->instances);
        event.hello.instances = arena_copy(&sim->arena, hello->instances, bytes);
        BERTH_ASSERT(event.hello.instances != NULL, "no memory");
    }
    for (int i = 0; i < hello->instance_count; i++) {
        struct message_instance *one = &event.hello.instances[i];
        if (one->handed != NULL)
            one->handed = arena_strdup(&sim->arena, one->handed);
    }
    node->hello_us = sim->now_us;
    to_scheduler(sim, index, &event);
}

static void probe(struct sim *sim, int index, const struct node_effect *effect)
{
    struct node_event content;
    memset(&content, 0, sizeof(content));
    int64_t took_us = 0;
    bool answered = effect->probe.subject[0] == 0
                        ? sim_http_probe(sim, index, effect->instance, &took_us)
                        : sim_probe(sim, index, effect->instance, &took_us);
    memcpy(content.probed.id, effect->probe.id, sizeof(content.probed.id));
    memcpy(content.probed.instance, effect->instance, sizeof(content.probed.instance));
    content.probed.sent = effect->probe.count;
    content.probed.answered = answered ? effect->probe.count : 0;
    content.probed.rtt_us = answered ? took_us : 0;
    sim_node_inside(sim, index, took_us, NODE_EV_PROBED, effect->instance, &content);
}
