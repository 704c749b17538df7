/*
 * What starting many workloads at once costs the scheduler's pure machine: apps of 50 workloads are
 * applied in one go against 20 nodes, one a site, that do at once what they are told; a plan
 * spreads them evenly. Processor time in all, per workload, and how many commands were without an
 * answer at once; then the same with the state's hash taken after every step, as the journal needs
 * it when every round is of one event: at most, since a round's last record alone has one. The
 * ratio of the time per workload at 4,000 to that at 250 tells what grows with the number of
 * workloads: 1 is linear, 16 is quadratic.
 *
 *     bench_start [workloads...]      (default: 250 1000 4000)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "model/app.h"
#include "model/world.h"
#include "scheduler/core/core.h"

#define NODES         20
#define APP_WORKLOADS 50
#define COUNTS_MAX    8
#define STEP_US       10 /* between two events */
#define EVENTS_MAX    ((uint64_t)1 << 20)
#define DIGEST        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* What a node has to say: an answer to a command, or the state that the command led to. */
struct said {
    char id[LIMIT_ID_BYTES]; /* answer: of the command; report: of the instance */
    int node;
    int state; /* -1: an answer */
    struct epoch epoch;
};

struct fleet {
    struct core *core;
    struct core_effects *effects;
    struct arena arena;
    struct world world;
    struct core_plan_choice *choices;
    int choice_count;
    int64_t now_us;
    uint64_t seq[NODES];
    struct said *queue; /* a ring of EVENTS_MAX */
    uint64_t head;
    uint64_t tail;
    uint64_t solve; /* asked and not yet answered; 0 none */
    uint64_t solve_version;
    int open; /* commands on their way or in the queue, at present and at most */
    int open_most;
    int node_open[NODES];
    int node_open_most;
    int64_t events;
    bool hashed;
    uint64_t hash;
    int64_t hash_ns;
};

struct figure {
    int workloads;
    int64_t events;
    int64_t step_ns;
    int64_t hash_ns;
    int open_most;
    int node_open_most;
};

static void die(const char *what, const struct error *err)
{
    fprintf(stderr, "bench_start: %s%s%s\n", what, err == NULL ? "" : ": ",
            err == NULL ? "" : err->text);
    exit(1);
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void hear(struct fleet *fleet, const struct core_effect *effect);
static void told(struct fleet *fleet, const char *node, const struct message_command *command);

static void step(struct fleet *fleet, struct core_event *event)
{
    fleet->now_us += STEP_US;
    event->at.us = fleet->now_us;
    core_step(fleet->core, event, fleet->effects);
    fleet->events++;
    for (int i = 0; i < fleet->effects->count; i++)
        hear(fleet, &fleet->effects->list[i]);
    if (!fleet->hashed)
        return;
    int64_t from_ns = cpu_ns();
    fleet->hash ^= core_hash(fleet->core);
    fleet->hash_ns += cpu_ns() - from_ns;
}

static void hear(struct fleet *fleet, const struct core_effect *effect)
{
    switch (effect->kind) {
    case CORE_COMMAND:
        told(fleet, effect->command.node, &effect->command.message);
        break;
    case CORE_SOLVE:
        fleet->solve = effect->solve.solve;
        fleet->solve_version = effect->solve.version;
        break;
    case CORE_REPLY:
        if (effect->reply.code != 0)
            die(effect->reply.text, NULL);
        break;
    default:
        break;
    }
}

static struct said *say(struct fleet *fleet)
{
    if (fleet->tail - fleet->head == EVENTS_MAX)
        die("more events than the queue holds", NULL);
    return &fleet->queue[fleet->tail++ % EVENTS_MAX];
}

static void told(struct fleet *fleet, const char *node, const struct message_command *command)
{
    static const int leads_to[] = {[NODE_STAGE] = INSTANCE_STAGED, [NODE_START] = INSTANCE_READY};
    if (command->verb != NODE_STAGE && command->verb != NODE_START)
        die("a start needs stage and start only", NULL);
    int index = (int)strtol(node + 1, NULL, 10);
    struct said *answer = say(fleet);
    *answer = (struct said){.node = index, .state = -1, .epoch = command->epoch};
    memcpy(answer->id, command->id, sizeof(answer->id));
    struct said *report = say(fleet);
    *report =
        (struct said){.node = index, .state = leads_to[command->verb], .epoch = command->epoch};
    memcpy(report->id, command->instance, sizeof(report->id));
    fleet->open++;
    fleet->node_open[index]++;
    if (fleet->open > fleet->open_most)
        fleet->open_most = fleet->open;
    if (fleet->node_open[index] > fleet->node_open_most)
        fleet->node_open_most = fleet->node_open[index];
}

/* The core hears the next of what the nodes have to say. */
static void deliver(struct fleet *fleet)
{
    static struct core_event event;
    const struct said said = fleet->queue[fleet->head++ % EVENTS_MAX];
    memset(&event, 0, sizeof(event));
    if (said.state < 0) {
        fleet->open--;
        fleet->node_open[said.node]--;
        event.kind = CORE_ANSWER;
        memcpy(event.answer.id, said.id, sizeof(said.id));
        str_format(event.answer.node, sizeof(event.answer.node), "n%d", said.node);
        event.answer.epoch = said.epoch;
    } else {
        struct message_report *report = &event.report;
        event.kind = CORE_REPORT;
        str_format(report->node, sizeof(report->node), "n%d", said.node);
        str_format(report->boot_id, sizeof(report->boot_id), "boot-%d", said.node);
        report->seq = ++fleet->seq[said.node];
        report->boot_us = fleet->now_us;
        memcpy(report->instance.instance, said.id, sizeof(said.id));
        report->instance.state = said.state;
        report->instance.epoch = said.epoch;
    }
    step(fleet, &event);
}

static void solved(struct fleet *fleet)
{
    static struct core_event event;
    memset(&event, 0, sizeof(event));
    event.kind = CORE_PLAN;
    event.plan.solve = fleet->solve;
    event.plan.version = fleet->solve_version;
    event.plan.status = SOLVE_FEASIBLE;
    event.plan.choices = fleet->choices;
    event.plan.choice_count = fleet->choice_count;
    fleet->solve = 0;
    step(fleet, &event);
}

static void tick(struct fleet *fleet)
{
    struct instant due = core_deadline(fleet->core);
    if (due.us == INT64_MAX)
        die("the core waits for nothing, and not everything runs", NULL);
    static struct core_event event;
    memset(&event, 0, sizeof(event));
    event.kind = CORE_TICK;
    if (due.us > fleet->now_us + STEP_US)
        fleet->now_us = due.us - STEP_US;
    step(fleet, &event);
}

static void world_make(struct fleet *fleet)
{
    struct strbuf text;
    struct error err;
    strbuf_init(&text, 1 << 20);
    strbuf_printf(&text, "world: start\naccounts: [{name: main, provider: gcp}]\nsites:\n");
    for (int i = 0; i < NODES; i++)
        strbuf_printf(&text,
                      "  - {name: gcp/r%d, tier: cloud, account: main, price: {cpu: 0.03, memory: "
                      "0.004}}\n",
                      i);
    strbuf_printf(&text, "policy: {settle: 1s, dwell: 60s, node_timeout: 5s}\n");
    if (world_parse("world.yaml", strbuf_text(&text), text.bytes, &fleet->arena, &fleet->world,
                    &err) < 0)
        die("world", &err);
    strbuf_done(&text);
    static struct core_event event;
    memset(&event, 0, sizeof(event));
    event.kind = CORE_WORLD;
    event.world = &fleet->world;
    step(fleet, &event);
}

static void nodes_come(struct fleet *fleet)
{
    static struct core_event event;
    for (int i = 0; i < NODES; i++) {
        struct message_hello *hello = &event.hello;
        memset(&event, 0, sizeof(event));
        event.kind = CORE_HELLO;
        str_format(hello->node, sizeof(hello->node), "n%d", i);
        str_format(hello->site, sizeof(hello->site), "gcp/r%d", i);
        str_format(hello->boot_id, sizeof(hello->boot_id), "boot-%d", i);
        str_format(hello->arch, sizeof(hello->arch), "x86_64");
        str_format(hello->drivers, sizeof(hello->drivers), "process");
        hello->boot_us = fleet->now_us;
        hello->mcpu = 1000000;
        hello->memory_bytes = INT64_C(1) << 40;
        step(fleet, &event);
    }
}

static void apply(struct fleet *fleet, int index, int workloads)
{
    struct strbuf text;
    struct error err;
    struct app app;
    strbuf_init(&text, 1 << 20);
    strbuf_printf(&text, "app: a%d\nworkloads:\n", index);
    for (int i = 0; i < workloads; i++) {
        strbuf_printf(&text,
                      "  - name: w%d\n    run: {driver: process, artifact: 'file:/bin/w', digest: "
                      "'" DIGEST "'}\n    resources: {cpu: 10m, memory: 16MiB}\n",
                      i);
        struct core_plan_choice *choice = &fleet->choices[fleet->choice_count];
        str_format(choice->namespace_, sizeof(choice->namespace_), "default");
        str_format(choice->app, sizeof(choice->app), "a%d", index);
        str_format(choice->workload, sizeof(choice->workload), "w%d", i);
        str_format(choice->lead, sizeof(choice->lead), "w%d", i);
        str_format(choice->site, sizeof(choice->site), "gcp/r%d", fleet->choice_count % NODES);
        choice->group = -1;
        fleet->choice_count++;
    }
    if (app_parse("app.yaml", strbuf_text(&text), text.bytes, &fleet->arena, &app, &err) < 0)
        die("app", &err);
    strbuf_done(&text);
    static struct core_event event;
    memset(&event, 0, sizeof(event));
    event.kind = CORE_APPLY;
    str_format(event.request, sizeof(event.request), "r%d", index);
    event.apply.app = &app;
    step(fleet, &event);
}

/* All of them serve, and nothing is under way. */
static bool is_done(const struct fleet *fleet, int workloads)
{
    const struct core_state *state = core_state(fleet->core);
    if (fleet->head != fleet->tail || state->handoff_count > 0 ||
        state->instance_count != workloads)
        return false;
    for (int i = 0; i < state->instance_count; i++)
        if (state->instances[i].state != INSTANCE_READY)
            return false;
    return true;
}

static void fleet_init(struct fleet *fleet, int workloads)
{
    struct error err;
    memset(fleet, 0, sizeof(*fleet));
    arena_init(&fleet->arena, (size_t)1 << 30);
    fleet->choices = calloc((size_t)workloads, sizeof(*fleet->choices));
    fleet->queue = calloc(EVENTS_MAX, sizeof(*fleet->queue));
    if (fleet->choices == NULL || fleet->queue == NULL ||
        core_effects_create(LIMIT_EFFECTS, &fleet->effects) < 0)
        die("no memory", NULL);
    if (core_create(&fleet->core, &err) < 0)
        die("core", &err);
    fleet->now_us = 1000 * US_PER_S;
    struct core_event *started = calloc(1, sizeof(*started));
    if (started == NULL)
        die("no memory", NULL);
    started->kind = CORE_STARTED;
    started->started.term = 1;
    step(fleet, started);
    free(started);
    world_make(fleet);
    nodes_come(fleet);
}

static struct figure measure(int workloads, bool hashed)
{
    struct fleet fleet;
    fleet_init(&fleet, workloads);
    for (int i = 0; i * APP_WORKLOADS < workloads; i++) {
        int left = workloads - i * APP_WORKLOADS;
        apply(&fleet, i, left < APP_WORKLOADS ? left : APP_WORKLOADS);
    }
    fleet.hashed = hashed;
    fleet.events = 0;
    int64_t from_ns = cpu_ns();
    while (!is_done(&fleet, workloads)) {
        if (fleet.solve != 0)
            solved(&fleet);
        while (fleet.head != fleet.tail)
            deliver(&fleet);
        if (!is_done(&fleet, workloads))
            tick(&fleet);
    }
    struct figure figure = {
        .workloads = workloads,
        .events = fleet.events,
        .step_ns = cpu_ns() - from_ns - fleet.hash_ns,
        .hash_ns = fleet.hash_ns,
        .open_most = fleet.open_most,
        .node_open_most = fleet.node_open_most,
    };
    core_destroy(fleet.core);
    core_effects_destroy(fleet.effects);
    arena_done(&fleet.arena);
    free(fleet.choices);
    free(fleet.queue);
    return figure;
}

static double each_us(int64_t ns, int workloads)
{
    return (double)ns / 1000.0 / workloads;
}

int main(int argc, char **argv)
{
    int counts[COUNTS_MAX] = {250, 1000, 4000};
    int count = 3;
    for (int i = 1; i < argc && i <= COUNTS_MAX; i++) {
        counts[i - 1] = (int)strtol(argv[i], NULL, 10);
        count = i;
        if (counts[i - 1] < 1 || counts[i - 1] > NODES * LIMIT_NODE_INSTANCES)
            die("a number of workloads from 1 to 5120 is wanted", NULL);
    }
    struct figure figures[COUNTS_MAX];
    printf("%9s %8s %10s %12s %14s %9s %12s\n", "workloads", "events", "cpu (ms)", "us/workload",
           "hash us/worklo", "unanswered", "on one node");
    for (int i = 0; i < count; i++) {
        figures[i] = measure(counts[i], false);
        figures[i].hash_ns = measure(counts[i], true).hash_ns;
        printf("%9d %8" PRId64 " %10.1f %12.1f %14.1f %9d %12d\n", counts[i], figures[i].events,
               (double)figures[i].step_ns / 1e6, each_us(figures[i].step_ns, counts[i]),
               each_us(figures[i].hash_ns, counts[i]), figures[i].open_most,
               figures[i].node_open_most);
    }
    const struct figure *first = &figures[0];
    const struct figure *last = &figures[count - 1];
    double ratio =
        each_us(last->step_ns, last->workloads) / each_us(first->step_ns, first->workloads);
    double hash_ratio =
        each_us(last->hash_ns, last->workloads) / each_us(first->hash_ns, first->workloads);
    printf("time per workload, %d to %d: x%.2f; of the hash: x%.2f (1: linear)\n", last->workloads,
           first->workloads, ratio, hash_ratio);
    printf("{\"bench\":\"start\",\"workloads\":%d,\"us_per_workload\":%.1f,\"ratio\":%.2f,"
           "\"hash_us_per_workload\":%.1f,\"hash_ratio\":%.2f,\"unanswered_most\":%d}\n",
           last->workloads, each_us(last->step_ns, last->workloads), ratio,
           each_us(last->hash_ns, last->workloads), hash_ratio, last->open_most);
    return 0;
}
