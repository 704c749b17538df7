#include "tests/fault/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim_script.h"

#define BOUND_US (400 * US_PER_S) /* after the faults: a run that takes longer does not end */

const char *const sim_workload_words[] = {"web", "source", "front", "ledger", "store", NULL};

static void turn(struct sim *sim, int64_t bound_us);
static void dispatch(struct sim *sim, struct sim_event *event);
static bool waits(struct sim *sim, const struct sim_event *event);
static struct sim_event pop(struct sim *sim);
static struct sim_event *insert(struct sim *sim, const struct sim_event *fresh);
static bool before(const struct sim_event *a, const struct sim_event *b);

void sim_run(struct sim *sim, const struct sim_options *options)
{
    static const struct {
        const char *name;
        const char *site;
        int64_t delay_us;
        int64_t drift_ppm;
    } places[SIM_NODES] = {{"client", "client/web", 3000, 0},
                           {"edge", "edge/nyc", 5000, 400},
                           {"gcp", "gcp/us-central1", 2000, -400},
                           {"aws", "aws/us-east-1", 40000, 100}};
    memset(sim, 0, sizeof(*sim));
    sim->options = *options;
    sim->random = hash_u64(HASH_SEED, options->seed);
    sim->now_us = SIM_START_US;
    arena_init(&sim->arena, (size_t)8 << 30);
    sim->queue = calloc(SIM_EVENTS, sizeof(*sim->queue));
    sim->journal = calloc(SIM_JOURNAL, sizeof(*sim->journal));
    sim->hashes = calloc(SIM_JOURNAL, sizeof(*sim->hashes));
    sim->processes = calloc(SIM_PROCESSES, sizeof(*sim->processes));
    sim->trace = options->trace ? calloc(SIM_TRACE, sizeof(*sim->trace)) : NULL;
    BERTH_ASSERT(sim->queue != NULL && sim->journal != NULL && sim->hashes != NULL &&
                     sim->processes != NULL && (sim->trace != NULL || !options->trace),
                 "no memory");
    BERTH_ASSERT(core_effects_create(1024, &sim->effects) == 0, "no memory");
    script_read(sim);
    sim_faults_plan(sim);
    sim_scheduler_start(sim);
    for (int i = 0; i < SIM_NODES; i++) {
        struct sim_node *node = &sim->nodes[i];
        str_format(node->name, sizeof(node->name), "%s", places[i].name);
        str_format(node->site, sizeof(node->site), "%s", places[i].site);
        str_format(node->boot_id, sizeof(node->boot_id), "boot-%s", node->name);
        node->delay_us = places[i].delay_us;
        node->drift_ppm = places[i].drift_ppm;
        node->boot_us = (i + 1) * 77 * US_PER_S;
        node->blank = true;
        node->deadline_us = INT64_MAX;
        node->stopped = arena_array(&sim->arena, SIM_PROCESSES, LIMIT_ID_BYTES);
        BERTH_ASSERT(node_effects_create(2048, &node->effects) == 0 && node->stopped != NULL,
                     "no memory");
        sim_node_start(sim, i);
    }
    (void)sim_push(sim, 0, SIM_WATCH);
    (void)sim_push(sim, 0, SIM_CLIENT);
    (void)sim_push(sim, 0, SIM_REQUEST);
    int64_t bound_us = sim->calm_us + BOUND_US;
    while (sim->broken[0] == 0 && !sim->finished)
        turn(sim, bound_us);
}

/* The next thing that happens: a deadline of a machine, or what is first in the queue. */
static void turn(struct sim *sim, int64_t bound_us)
{
    int64_t next_us = sim->queue_count > 0 ? sim->queue[0].at_us : INT64_MAX;
    int64_t core_us = sim_scheduler_deadline(sim);
    if (core_us < next_us && core_us <= bound_us) {
        sim->now_us = core_us > sim->now_us ? core_us : sim->now_us;
        struct core_event tick = {.kind = CORE_TICK};
        sim_scheduler_take(sim, &tick);
        return;
    }
    int due = -1;
    for (int i = 0; i < SIM_NODES; i++) {
        const struct sim_node *node = &sim->nodes[i];
        int64_t stopped_us = node->machine_until_us > node->stopped_until_us
                                 ? node->machine_until_us
                                 : node->stopped_until_us;
        int64_t node_us = node->core == NULL ? INT64_MAX : node->deadline_us;
        if (node_us < stopped_us)
            node_us = stopped_us;
        if (node->core != NULL && node_us < next_us) {
            next_us = node_us;
            due = i;
        }
    }
    sim->now_us = next_us > sim->now_us ? next_us : sim->now_us;
    if (sim->now_us > bound_us) {
        sim_break(sim, "no end after %lld s of calm, script at %d: %s",
                  (long long)(BOUND_US / US_PER_S), sim->script_at, script_waits_for(sim));
        return;
    }
    if (due >= 0) {
        struct node_event tick = {.kind = NODE_EV_TICK};
        sim_node_take(sim, due, &tick);
        return;
    }
    struct sim_event event = pop(sim);
    if (!waits(sim, &event))
        dispatch(sim, &event);
}

void sim_free(struct sim *sim)
{
    core_destroy(sim->core);
    core_destroy(sim->image);
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
    free(sim->trace);
    arena_done(&sim->arena);
}

/* What is meant for somebody who is stopped waits, in order, until it goes on. */
static bool waits(struct sim *sim, const struct sim_event *event)
{
    const struct sim_node *node = &sim->nodes[event->node];
    int64_t until_us = 0;
    switch (event->kind) {
    case SIM_TO_SCHEDULER:
    case SIM_BEAT:
    case SIM_PLAN:
    case SIM_SHELL:
        until_us = sim->scheduler_until_us;
        break;
    case SIM_TO_NODE:
    case SIM_ASK_HELLO:
    case SIM_HELLO_HEARD:
    case SIM_RENEWED:
    case SIM_NODE_INSIDE:
        until_us = node->stopped_until_us > node->machine_until_us ? node->stopped_until_us
                                                                   : node->machine_until_us;
        break;
    case SIM_PROCESS:
    case SIM_ARRIVE:
    case SIM_WRITE:
    case SIM_HTTP:
    case SIM_HTTP_DONE:
        until_us = sim->nodes[sim->processes[event->process].node].machine_until_us;
        break;
    case SIM_FENCE:
    case SIM_REQUEST:
    case SIM_ADMIT:
    case SIM_CLIENT:
    case SIM_WATCH:
    case SIM_FAULT:
    case SIM_FAULT_END:
    case SIM_SCHEDULER_UP:
    case SIM_AGENT_UP:
        return false;
    }
    if (until_us <= sim->now_us)
        return false;
    sim_push_again(sim, event, until_us);
    return true;
}

/* Long: one case for each kind of event, next to nothing in each. */
static void dispatch(struct sim *sim, struct sim_event *event)
{
    struct sim_node *node = &sim->nodes[event->node];
    struct node_event inside;
    switch (event->kind) {
    case SIM_TO_SCHEDULER:
    case SIM_BEAT:
        sim_scheduler_message(sim, event);
        break;
    case SIM_SHELL:
        if (event->life == sim->scheduler_life && sim->core != NULL)
            sim_scheduler_take(sim, event->payload);
        break;
    case SIM_PLAN:
        sim_plan(sim, event);
        break;
    case SIM_FENCE:
        sim_fence_arrives(sim, event);
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
    case SIM_HELLO_HEARD:
        if (node->core != NULL && node->life == event->life)
            node->hello_us = 0;
        break;
    case SIM_RENEWED:
        if (node->core != NULL && node->life == event->life) {
            inside = (struct node_event){.kind = NODE_EV_RENEWED};
            inside.renewed.sent_us = *(int64_t *)event->payload;
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
        if (!sim->finished)
            (void)sim_push(sim, 4 * US_PER_MS, SIM_REQUEST);
        sim_request(sim);
        sim_write(sim, LEDGER);
        sim_write(sim, STORE);
        sim_http_request(sim, (int)(sim->http_requests % SIM_INGRESSES));
        sim_sockets(sim);
        break;
    case SIM_ARRIVE:
        sim_arrive(sim, event);
        break;
    case SIM_WRITE:
        sim_write_arrives(sim, event);
        break;
    case SIM_ADMIT:
        sim_admit(sim, event);
        break;
    case SIM_HTTP:
        sim_http_arrives(sim, event);
        break;
    case SIM_HTTP_DONE:
        sim_http_done(sim, event);
        break;
    case SIM_CLIENT:
        (void)sim_push(sim, 50 * US_PER_MS, SIM_CLIENT);
        if (sim->scheduler_until_us <= sim->now_us)
            script_look(sim);
        break;
    case SIM_WATCH:
        sim_scheduler_watch(sim);
        break;
    case SIM_FAULT:
        sim_fault_begin(sim, (int)event->number);
        break;
    case SIM_FAULT_END:
        sim_fault_end(sim, (int)event->number);
        break;
    case SIM_SCHEDULER_UP:
        if (sim->core == NULL && event->life == sim->scheduler_life)
            sim_scheduler_start(sim);
        break;
    case SIM_AGENT_UP:
        if (node->core == NULL && event->life == node->life)
            sim_node_start(sim, event->node);
        break;
    }
}

struct sim_event *sim_push(struct sim *sim, int64_t delay_us, enum sim_kind kind)
{
    struct sim_event fresh = {.at_us = sim->now_us + delay_us, .order = ++sim->order, .kind = kind};
    return insert(sim, &fresh);
}

void sim_push_again(struct sim *sim, const struct sim_event *event, int64_t at_us)
{
    struct sim_event again = *event;
    again.at_us = at_us;
    (void)insert(sim, &again);
}

static struct sim_event *insert(struct sim *sim, const struct sim_event *fresh)
{
    BERTH_ASSERT(sim->queue_count < SIM_EVENTS, "the simulated queue is full");
    int at = sim->queue_count++;
    while (at > 0 && before(fresh, &sim->queue[(at - 1) / 2])) {
        sim->queue[at] = sim->queue[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->queue[at] = *fresh;
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

enum sim_workload sim_workload_of(const char *name)
{
    for (int i = 0; i < SIM_WORKLOADS; i++) {
        if (str_equal(sim_workload_words[i], name))
            return (enum sim_workload)i;
    }
    BERTH_ASSERT(false, "no workload '%s'", name);
    return SIM_WORKLOADS;
}

uint64_t sim_random(struct sim *sim, uint64_t below)
{
    sim->random = hash_u64(HASH_SEED, sim->random + 0x9e3779b97f4a7c15u);
    return sim->random % below;
}

void sim_break(struct sim *sim, const char *format, ...)
{
    if (sim->broken[0] != 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    int used = snprintf(
        sim->broken, sizeof(sim->broken),
        "seed %llu, crash at %lld (%s), t=%lld us: ", (unsigned long long)sim->options.seed,
        (long long)sim->options.crash_at, sim->point_text, (long long)(sim->now_us - SIM_START_US));
    (void)vsnprintf(sim->broken + used, sizeof(sim->broken) - (size_t)used, format, arguments);
    va_end(arguments);
}

void sim_note(struct sim *sim, const char *format, ...)
{
    if (!sim->options.chatter && sim->trace == NULL)
        return;
    char line[160];
    va_list arguments;
    va_start(arguments, format);
    int used = snprintf(line, sizeof(line), "%10lld ", (long long)(sim->now_us - SIM_START_US));
    (void)vsnprintf(line + used, sizeof(line) - (size_t)used, format, arguments);
    va_end(arguments);
    if (sim->options.chatter)
        (void)printf("%s\n", line);
    if (sim->trace != NULL)
        memcpy(sim->trace[sim->trace_count++ % SIM_TRACE], line, sizeof(line));
}

bool sim_point(struct sim *sim, const char *what, const char *detail)
{
    sim->point++;
    if (sim->options.chatter || sim->trace != NULL)
        sim_note(sim, "#%lld %s %s", (long long)sim->point, what, detail);
    bool armed = sim->point_left > 0 && --sim->point_left == 0;
    if (armed) {
        sim_fault_hit(sim, FAULT_POINT);
        sim_note(sim, "FAULT killed at the point above");
        return true;
    }
    if (sim->point != sim->options.crash_at)
        return false;
    sim->crashed = true;
    str_format(sim->point_text, sizeof(sim->point_text), "%s %.150s", what, detail);
    return true;
}
