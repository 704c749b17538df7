#include "tests/fault/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim_script.h"

#define BOUND_US (900 * US_PER_S) /* a run that takes longer does not end */

static void dispatch(struct sim *sim, struct sim_event *event);
static struct sim_event pop(struct sim *sim);
static bool before(const struct sim_event *a, const struct sim_event *b);
static void adversary(struct sim *sim);

void sim_run(struct sim *sim, const struct sim_options *options)
{
    static const struct {
        const char *name;
        const char *site;
        int64_t delay_us;
    } places[SIM_NODES] = {{"client", "client/web", 3000},
                           {"edge", "edge/nyc", 5000},
                           {"gcp", "gcp/us-central1", 2000},
                           {"aws", "aws/us-east-1", 40000}};
    memset(sim, 0, sizeof(*sim));
    sim->options = *options;
    sim->random = hash_u64(HASH_SEED, options->seed);
    sim->now_us = 1000 * US_PER_S;
    arena_init(&sim->arena, (size_t)2 << 30);
    sim->queue = calloc(SIM_EVENTS, sizeof(*sim->queue));
    sim->journal = calloc(SIM_JOURNAL, sizeof(*sim->journal));
    sim->hashes = calloc(SIM_JOURNAL, sizeof(*sim->hashes));
    sim->processes = calloc(SIM_PROCESSES, sizeof(*sim->processes));
    BERTH_ASSERT(sim->queue != NULL && sim->journal != NULL && sim->hashes != NULL &&
                     sim->processes != NULL,
                 "no memory");
    BERTH_ASSERT(core_effects_create(1024, &sim->effects) == 0, "no memory");
    script_read(sim);
    sim_scheduler_start(sim);
    for (int i = 0; i < SIM_NODES; i++) {
        struct sim_node *node = &sim->nodes[i];
        str_format(node->name, sizeof(node->name), "%s", places[i].name);
        str_format(node->site, sizeof(node->site), "%s", places[i].site);
        node->delay_us = places[i].delay_us;
        node->boot_us = (i + 1) * 77 * US_PER_S;
        BERTH_ASSERT(node_effects_create(2048, &node->effects) == 0, "no memory");
        sim_node_start(sim, i);
    }
    (void)sim_push(sim, 0, SIM_WATCH);
    (void)sim_push(sim, 0, SIM_CLIENT);
    (void)sim_push(sim, 0, SIM_REQUEST);
    int64_t bound_us = sim->now_us + BOUND_US;
    while (sim->broken[0] == 0 && !sim->finished) {
        int64_t next_us = sim->queue_count > 0 ? sim->queue[0].at_us : INT64_MAX;
        int64_t core_us = sim->core != NULL ? core_deadline(sim->core).us : INT64_MAX;
        if (core_us < next_us && core_us <= bound_us) {
            sim->now_us = core_us > sim->now_us ? core_us : sim->now_us;
            struct core_event tick = {.kind = CORE_TICK};
            sim_scheduler_take(sim, &tick);
            continue;
        }
        int due = -1;
        for (int i = 0; i < SIM_NODES; i++) {
            if (sim_node_deadline(sim, i) < next_us) {
                next_us = sim_node_deadline(sim, i);
                due = i;
            }
        }
        sim->now_us = next_us > sim->now_us ? next_us : sim->now_us;
        if (sim->now_us > bound_us) {
            sim_break(sim, "no end after %lld s, script at %d", (long long)(BOUND_US / US_PER_S),
                      sim->script_at);
            break;
        }
        if (due >= 0) {
            struct node_event tick = {.kind = NODE_EV_TICK};
            sim_node_take(sim, due, &tick);
            continue;
        }
        struct sim_event event = pop(sim);
        dispatch(sim, &event);
    }
}

void sim_free(struct sim *sim)
{
    core_destroy(sim->core);
    core_effects_destroy(sim->effects);
    liveness_destroy(sim->liveness);
    for (int i = 0; i < SIM_NODES; i++) {
        node_destroy(sim->nodes[i].core);
        node_effects_destroy(sim->nodes[i].effects);
    }
    free(sim->queue);
    free(sim->journal);
    free(sim->hashes);
    free(sim->processes);
    arena_done(&sim->arena);
}

static void dispatch(struct sim *sim, struct sim_event *event)
{
    struct sim_node *node = &sim->nodes[event->node];
    struct node_event inside;
    switch (event->kind) {
    case SIM_TO_SCHEDULER:
    case SIM_BEAT:
        sim_scheduler_message(sim, event);
        break;
    case SIM_HUB_PROBE:
        if (event->life == sim->scheduler_life && sim->core != NULL)
            sim_scheduler_take(sim, event->payload);
        break;
    case SIM_PLAN:
        sim_plan(sim, event);
        break;
    case SIM_CHECKED:
        sim_checked(sim, event);
        break;
    case SIM_TO_NODE:
        if (node->core != NULL) {
            inside = (struct node_event){.kind = NODE_EV_COMMAND};
            inside.command = *(struct message_command *)event->payload;
            memcpy(inside.instance, inside.command.instance, sizeof(inside.instance));
            sim_node_take(sim, event->node, &inside);
        }
        break;
    case SIM_ASK_HELLO:
        if (node->core != NULL) {
            inside = (struct node_event){.kind = NODE_EV_HELLO_ASKED};
            sim_node_take(sim, event->node, &inside);
        }
        break;
    case SIM_NODE_INSIDE:
        if (node->core != NULL && node->life == event->life)
            sim_node_take(sim, event->node, event->payload);
        break;
    case SIM_PROCESS:
        sim_process_does(sim, event);
        break;
    case SIM_REQUEST:
        sim_request(sim);
        break;
    case SIM_ARRIVE:
        sim_arrive(sim, event);
        break;
    case SIM_CLIENT:
        script_look(sim);
        break;
    case SIM_WATCH:
        if (sim->options.adversary && sim->now_us < sim->options.calm_us)
            adversary(sim);
        sim_scheduler_watch(sim);
        break;
    case SIM_SCHEDULER_UP:
        if (sim->core == NULL)
            sim_scheduler_start(sim);
        break;
    case SIM_AGENT_UP:
        if (node->core == NULL)
            sim_node_start(sim, event->node);
        break;
    }
}

/* Every 200 ms something may break by itself. */
static void adversary(struct sim *sim)
{
    if (sim_random(sim, 60) == 0 && sim->core != NULL)
        sim_scheduler_crash(sim);
    int node = (int)sim_random(sim, SIM_NODES);
    if (sim_random(sim, 25) == 0 && sim->nodes[node].core != NULL)
        sim_node_crash(sim, node);
    if (sim->process_count > 0 && sim_random(sim, 80) == 0) {
        struct sim_process *process =
            &sim->processes[sim_random(sim, (uint64_t)sim->process_count)];
        if (process->alive)
            sim_process_accident(sim, process);
    }
}

struct sim_event *sim_push(struct sim *sim, int64_t delay_us, enum sim_kind kind)
{
    BERTH_ASSERT(sim->queue_count < SIM_EVENTS, "the simulated queue is full");
    struct sim_event fresh = {.at_us = sim->now_us + delay_us, .order = ++sim->order, .kind = kind};
    int at = sim->queue_count++;
    while (at > 0 && before(&fresh, &sim->queue[(at - 1) / 2])) {
        sim->queue[at] = sim->queue[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->queue[at] = fresh;
    return &sim->queue[at];
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static struct sim_event pop(struct sim *sim)
{
    struct sim_event first = sim->queue[0];
    struct sim_event last = sim->queue[--sim->queue_count];
    int at = 0;
    for (;;) {
        int child = 2 * at + 1;
        if (child >= sim->queue_count)
            break;
        if (child + 1 < sim->queue_count && before(&sim->queue[child + 1], &sim->queue[child]))
            child++;
        if (!before(&sim->queue[child], &last))
            break;
        sim->queue[at] = sim->queue[child];
        at = child;
    }
    sim->queue[at] = last;
    return first;
}

uint64_t sim_random(struct sim *sim, uint64_t below)
{
    sim->random = hash_u64(HASH_SEED, sim->random + 0x9e3779b97f4a7c15u);
    return sim->random % below;
}

void sim_bus(struct sim *sim, enum sim_kind kind, int node, const void *payload, size_t bytes)
{
    bool rough = sim->options.adversary && sim->now_us < sim->options.calm_us;
    int copies = 1;
    if (rough && sim_random(sim, 100) < 5)
        copies = (int)sim_random(sim, 2) * 2; /* lost, or twice */
    for (int i = 0; i < copies; i++) {
        int64_t delay_us = sim->nodes[node].delay_us;
        if (rough)
            delay_us += (int64_t)sim_random(sim, 3000);
        if (rough && sim_random(sim, 100) < 6)
            delay_us += (int64_t)sim_random(sim, 4 * US_PER_S); /* overtaken by all others */
        struct sim_event *event = sim_push(sim, delay_us, kind);
        event->node = node;
        event->payload = arena_copy(&sim->arena, payload, bytes);
        BERTH_ASSERT(event->payload != NULL, "no memory");
    }
}

void sim_break(struct sim *sim, const char *format, ...)
{
    if (sim->broken[0] != 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    int used =
        snprintf(sim->broken, sizeof(sim->broken), "seed %llu, crash at %lld (%s), t=%lld us: ",
                 (unsigned long long)sim->options.seed, (long long)sim->options.crash_at,
                 sim->point_text, (long long)(sim->now_us - 1000 * US_PER_S));
    (void)vsnprintf(sim->broken + used, sizeof(sim->broken) - (size_t)used, format, arguments);
    va_end(arguments);
}

bool sim_point(struct sim *sim, const char *what, const char *detail)
{
    sim->point++;
    if (sim->options.chatter)
        (void)printf("%10lld #%lld %s %s\n", (long long)(sim->now_us - 1000 * US_PER_S),
                     (long long)sim->point, what, detail);
    if (sim->point != sim->options.crash_at)
        return false;
    sim->crashed = true;
    str_format(sim->point_text, sizeof(sim->point_text), "%s %.150s", what, detail);
    return true;
}
