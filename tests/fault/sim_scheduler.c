/* The scheduler's shell: journal, bus, solver, liveness; and its death and recovery. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define SOLVE_US (20 * US_PER_MS)
#define CHECK_US (20 * US_PER_MS)

static void keep(struct sim *sim, const struct core_event *event, struct core_event *ret_kept);
static void *copy(struct sim *sim, const void *from, int count, size_t bytes_each);
static bool deliver(struct sim *sim, const struct core_effect *effect);
static void take_reply(struct sim *sim, const struct core_effect *effect);
static void solve(struct sim *sim, struct core_plan *plan, struct arena *arena);
static bool is_offered(const struct sim *sim, const struct cost_input *input,
                       const struct problem *problem, const int *choice);

void sim_scheduler_start(struct sim *sim)
{
    struct error err;
    BERTH_ASSERT(core_create(&sim->core, &err) == 0, "%s", err.text);
    BERTH_ASSERT(liveness_create(&sim->liveness) == 0, "no memory");
    sim->scheduler_life++;
    for (int i = 0; i < sim->journal_count; i++) {
        core_step(sim->core, &sim->journal[i], sim->effects);
        if (core_hash(sim->core) != sim->hashes[i]) {
            sim_break(sim, "replay diverges at journal record %d (%s)", i,
                      core_event_words[sim->journal[i].kind]);
            return;
        }
    }
    if (sim->journal_count > 0)
        sim_check_recovered(sim);
    liveness_seed(sim->liveness, core_state(sim->core), (struct instant){sim->now_us});
    struct core_event started = {.kind = CORE_STARTED, .started.term = ++sim->term};
    sim_scheduler_take(sim, &started);
    if (sim->core == NULL || core_state(sim->core)->world != NULL)
        return;
    struct core_event world = {.kind = CORE_WORLD, .world = &sim->world};
    sim_scheduler_take(sim, &world);
}

void sim_scheduler_crash(struct sim *sim)
{
    core_destroy(sim->core);
    liveness_destroy(sim->liveness);
    sim->core = NULL;
    sim->liveness = NULL;
    sim->scheduler_life++;
    bool away = sim->options.adversary && sim_random(sim, 4) == 0;
    (void)sim_push(sim, away ? 9 * US_PER_S : 300 * US_PER_MS, SIM_SCHEDULER_UP);
}

/* One step as production makes it: append, step, then the effects one by one. */
void sim_scheduler_take(struct sim *sim, struct core_event *event)
{
    event->at.us = sim->now_us;
    if (sim_point(sim, "scheduler before append of", core_event_words[event->kind])) {
        sim_scheduler_crash(sim);
        return;
    }
    BERTH_ASSERT(sim->journal_count < SIM_JOURNAL, "the simulated journal is full");
    struct core_event *kept = &sim->journal[sim->journal_count];
    keep(sim, event, kept);
    core_step(sim->core, kept, sim->effects);
    sim->hashes[sim->journal_count++] = core_hash(sim->core);
    if (sim_point(sim, "scheduler after append of", core_event_words[event->kind])) {
        sim_scheduler_crash(sim);
        return;
    }
    if (core_deadline(sim->core).us <= sim->now_us)
        sim_break(sim, "the core's deadline does not lie in the future after %s",
                  core_event_words[event->kind]);
    for (int i = 0; i < sim->effects->count; i++) {
        const struct core_effect *effect = &sim->effects->list[i];
        bool solves = deliver(sim, effect);
        const char *what = effect->kind == CORE_PUBLISH ? effect->publish.name
                           : effect->kind == CORE_COMMAND
                               ? node_verb_words[effect->command.message.verb]
                               : core_effect_words[effect->kind];
        if (effect->kind == CORE_PUBLISH && sim->options.chatter)
            (void)printf("           %s %s %s %s: %s\n", effect->publish.name,
                         effect->publish.handoff, effect->publish.instance, effect->publish.state,
                         effect->publish.text);
        /* What is only told to people is not worth a crash of its own. */
        if (effect->kind == CORE_PUBLISH)
            continue;
        if (sim_point(sim, "scheduler after effect", what)) {
            sim_scheduler_crash(sim);
            return;
        }
        if (solves && sim->broken[0] != 0)
            return;
    }
}

/* The journal's copy: nothing in it points to memory that goes away. */
static void keep(struct sim *sim, const struct core_event *event, struct core_event *ret_kept)
{
    *ret_kept = *event;
    if (event->kind == CORE_HELLO) {
        ret_kept->hello.tags = NULL;
        ret_kept->hello.tag_count = 0;
        ret_kept->hello.instances = copy(sim, event->hello.instances, event->hello.instance_count,
                                         sizeof(*event->hello.instances));
    }
    if (event->kind == CORE_ESTIMATES)
        ret_kept->estimates.list = copy(sim, event->estimates.list, event->estimates.count,
                                        sizeof(*event->estimates.list));
    if (event->kind == CORE_PLAN)
        ret_kept->plan.choices =
            copy(sim, event->plan.choices, event->plan.choice_count, sizeof(*event->plan.choices));
}

static void *copy(struct sim *sim, const void *from, int count, size_t bytes_each)
{
    if (count == 0)
        return NULL;
    void *list = arena_copy(&sim->arena, from, (size_t)count * bytes_each);
    BERTH_ASSERT(list != NULL, "no memory");
    return list;
}

static bool deliver(struct sim *sim, const struct core_effect *effect)
{
    switch (effect->kind) {
    case CORE_REPLY:
        take_reply(sim, effect);
        return false;
    case CORE_CHECK: {
        struct sim_event *done = sim_push(sim, CHECK_US, SIM_CHECKED);
        done->life = sim->scheduler_life;
        done->payload = arena_copy(&sim->arena, effect, sizeof(*effect));
        BERTH_ASSERT(done->payload != NULL, "no memory");
        return false;
    }
    case CORE_FENCE:
    case CORE_JUDGE:
        return false;
    case CORE_COMMAND:
        for (int i = 0; i < SIM_NODES; i++) {
            if (str_equal(sim->nodes[i].name, effect->command.node))
                sim_bus(sim, SIM_TO_NODE, i, &effect->command.message,
                        sizeof(effect->command.message));
        }
        return false;
    case CORE_PROBE: {
        struct core_event *event = arena_alloc(&sim->arena, sizeof(*event));
        BERTH_ASSERT(event != NULL, "no memory");
        int64_t took_us = 0;
        bool answered = sim_probe(sim, -1, effect->probe.instance, &took_us);
        event->kind = CORE_PROBED;
        memcpy(event->probed.id, effect->probe.id, sizeof(event->probed.id));
        memcpy(event->probed.instance, effect->probe.instance, sizeof(event->probed.instance));
        event->probed.sent = effect->probe.count;
        event->probed.answered = answered ? effect->probe.count : 0;
        event->probed.rtt_us = answered ? took_us : 0;
        struct sim_event *done = sim_push(sim, took_us, SIM_HUB_PROBE);
        done->payload = event;
        done->life = sim->scheduler_life;
        return false;
    }
    case CORE_SOLVE: {
        struct sim_event *done = sim_push(sim, SOLVE_US, SIM_PLAN);
        done->life = sim->scheduler_life;
        return true;
    }
    case CORE_PUBLISH:
        return false;
    }
    return false;
}

/* The client holds on to what it was told. Its request may have been carried out without its
 * knowing, when the reply got lost: a delete of what is gone has succeeded. */
static void take_reply(struct sim *sim, const struct core_effect *effect)
{
    char request[LIMIT_ID_BYTES];
    str_format(request, sizeof(request), "r%d", sim->script_at);
    if (!str_equal(request, effect->reply.request))
        return;
    int code = effect->reply.code;
    if (code == ERR_NOT_FOUND && sim->delete_asked)
        code = 0;
    if (code == ERR_UNAVAILABLE)
        return; /* no world yet: asked again */
    if (code != 0)
        sim_break(sim, "request %s was refused: %s", request, effect->reply.text);
    sim->replied = true;
    sim->reply_code = code;
    if (sim->script_at == 0)
        sim->apply_acked = true;
}

/* ---- the solver: every assignment is tried, with the real cost model ---- */

void sim_plan(struct sim *sim, const struct sim_event *event)
{
    if (sim->core == NULL || event->life != sim->scheduler_life)
        return;
    struct arena arena;
    arena_init(&arena, (size_t)64 << 20);
    struct core_event answer = {.kind = CORE_PLAN};
    answer.plan.solve = core_state(sim->core)->solve;
    answer.plan.version = core_state(sim->core)->input_version;
    solve(sim, &answer.plan, &arena);
    sim_scheduler_take(sim, &answer);
    arena_done(&arena);
}

/* By what is measured then, the move has lost: it goes back. */
void sim_checked(struct sim *sim, const struct sim_event *event)
{
    if (sim->core == NULL || event->life != sim->scheduler_life)
        return;
    const struct core_effect *effect = event->payload;
    struct core_event answer = {.kind = CORE_CHECKED};
    memcpy(answer.checked.namespace_, effect->check.namespace_, LIMIT_NAME_BYTES);
    memcpy(answer.checked.app, effect->check.app, LIMIT_NAME_BYTES);
    memcpy(answer.checked.workload, effect->check.workload, LIMIT_NAME_BYTES);
    answer.checked.check = effect->check.check;
    answer.checked.known = true;
    answer.checked.score_saving_nusd = -2000;
    answer.checked.spread_nusd = 1000;
    sim_scheduler_take(sim, &answer);
}

/* Whether the script allows the placement: `web` is where the last offer wants it. */
static bool is_offered(const struct sim *sim, const struct cost_input *input,
                       const struct problem *problem, const int *choice)
{
    for (int i = 0; i < input->app_count && sim->options.saving; i++) {
        int part = cost_part(input, i, 0);
        bool once = sim->offers > 0 && core_state(sim->core)->saving_move_count < 2;
        const char *wanted = once ? "gcp/us-central1" : "edge/nyc";
        struct placement to = cost_placement(input, problem, part, choice[part]);
        if (!str_equal(sim->world.sites[to.site].name, wanted))
            return false;
    }
    return true;
}

static void solve(struct sim *sim, struct core_plan *plan, struct arena *arena)
{
    struct cost_input input;
    struct problem problem;
    struct error err;
    struct placement *now = NULL;
    if (core_cost_input(sim->core, NULL, NULL, arena, &input, &err) < 0 ||
        core_placement(sim->core, &input, arena, &now, &err) < 0 ||
        cost_problem(&input, arena, &problem, &err) < 0) {
        sim_break(sim, "%s", err.text);
        return;
    }
    int parts = problem.part_count;
    int *choice = arena_array(arena, (size_t)parts + 1, sizeof(*choice));
    int *best = arena_array(arena, (size_t)parts + 1, sizeof(*best));
    int *now_choice = arena_array(arena, (size_t)parts + 1, sizeof(*now_choice));
    BERTH_ASSERT(choice != NULL && best != NULL && now_choice != NULL, "no memory");
    int64_t count = 1;
    (void)cost_choices(&input, &problem, now, now_choice);
    for (int i = 0; i < parts; i++)
        count *= problem.parts[i].choice_count;
    plan->status = SOLVE_INFEASIBLE;
    plan->score_stay_nusd = INT64_MAX;
    nusd best_cost = 0;
    for (int64_t k = 0; k < count; k++) {
        int64_t rest = k;
        bool stay = true;
        for (int i = 0; i < parts; i++) {
            choice[i] = (int)(rest % problem.parts[i].choice_count);
            rest /= problem.parts[i].choice_count;
            stay &= choice[i] == now_choice[i];
        }
        if (problem_broken_rule(&problem, choice) >= 0)
            continue;
        nusd cost = problem_cost(&problem, choice);
        if (stay)
            plan->score_stay_nusd = (int64_t)cost;
        if (!is_offered(sim, &input, &problem, choice))
            continue;
        if (plan->status == SOLVE_INFEASIBLE || cost < best_cost) {
            best_cost = cost;
            memcpy(best, choice, (size_t)parts * sizeof(*best));
        }
        plan->status = SOLVE_OPTIMAL;
    }
    plan->score_plan_nusd = (int64_t)best_cost;
    plan->bound_nusd = (int64_t)best_cost;
    plan->choices = arena_array(arena, (size_t)parts + 1, sizeof(*plan->choices));
    BERTH_ASSERT(plan->choices != NULL, "no memory");
    for (int i = 0; plan->status == SOLVE_OPTIMAL && i < input.app_count; i++) {
        const struct app *app = input.apps[i].app;
        for (int w = 0; w < app->workload_count; w++) {
            struct core_plan_choice *to = &plan->choices[plan->choice_count++];
            int part = cost_part(&input, i, w);
            struct placement placed = cost_placement(&input, &problem, part, best[part]);
            str_format(to->namespace_, LIMIT_NAME_BYTES, "%s", app->namespace_);
            str_format(to->app, LIMIT_NAME_BYTES, "%s", app->name);
            str_format(to->workload, LIMIT_NAME_BYTES, "%s", app->workloads[w].name);
            str_format(to->site, LIMIT_REF_BYTES, "%s", sim->world.sites[placed.site].name);
            to->variant = placed.variant;
            str_format(to->lead, LIMIT_NAME_BYTES, "%s", app->workloads[placed.lead].name);
            to->group = -1;
            if (sim->offers > 0 && str_equal(to->workload, "web") && now[part].site >= 0) {
                to->group = 0;
                to->score_saving_nusd = NUSD_PER_USD;
                to->confidence_ppm = PPM;
            }
        }
    }
}

/* ---- messages ---- */

void sim_scheduler_message(struct sim *sim, const struct sim_event *event)
{
    if (sim->core == NULL)
        return;
    struct instant now = {sim->now_us};
    if (event->kind == SIM_BEAT) {
        if (liveness_beat(sim->liveness, event->payload, now)) {
            struct sim_event *ask = sim_push(sim, sim->nodes[event->node].delay_us, SIM_ASK_HELLO);
            ask->node = event->node;
        }
        return;
    }
    struct core_event step = *(struct core_event *)event->payload;
    if (step.kind == CORE_HELLO)
        liveness_hello(sim->liveness, &step.hello, now);
    if (step.kind == CORE_REPORT)
        liveness_report(sim->liveness, step.report.node, step.report.seq);
    sim_scheduler_take(sim, &step);
}

/* Every 200 ms: nodes beat, and the scheduler looks for those that do not. */
void sim_scheduler_watch(struct sim *sim)
{
    (void)sim_push(sim, 200 * US_PER_MS, SIM_WATCH);
    for (int i = 0; i < SIM_NODES; i++) {
        struct sim_node *node = &sim->nodes[i];
        if (node->core == NULL)
            continue;
        struct message_beat beat = {.seq = node->seq};
        str_format(beat.node, sizeof(beat.node), "%s", node->name);
        str_format(beat.boot_id, sizeof(beat.boot_id), "boot-%s", node->name);
        beat.boot_us = sim->now_us + node->boot_us;
        sim_bus(sim, SIM_BEAT, i, &beat, sizeof(beat));
    }
    while (sim->core != NULL && core_state(sim->core)->world != NULL) {
        const char *lost = liveness_overdue(sim->liveness, (struct instant){sim->now_us},
                                            core_state(sim->core)->world->policy.node_timeout_us);
        if (lost == NULL)
            break;
        struct core_event event = {.kind = CORE_NODE_LOST};
        str_format(event.node, sizeof(event.node), "%s", lost);
        sim_scheduler_take(sim, &event);
    }
}
