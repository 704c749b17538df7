/* What the scheduler's shell asks of others: the solver, which tries every assignment with the real
 * cost model, and the measurements. */
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define CHECK_US (20 * US_PER_MS)

static void solve(struct sim *sim, struct core_plan *plan, struct arena *arena);
static int64_t try_all(struct sim *sim, const struct cost_input *input,
                       const struct problem *problem, const struct placement *now, int *best,
                       int64_t *stay, struct arena *arena);
static bool is_offered(const struct sim *sim, const struct cost_input *input,
                       const struct problem *problem, const int *choice);
static void later(struct sim *sim, const struct core_event *answer);
static void side(const struct sim *sim, const char *instance, struct core_judged_side *ret_side);

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

/* Whether the script allows the placement: `web` is where the last offer wants it. */
static bool is_offered(const struct sim *sim, const struct cost_input *input,
                       const struct problem *problem, const int *choice)
{
    for (int i = 0; i < input->app_count && sim->options.script == SCRIPT_SAVING; i++) {
        int part = cost_part(input, i, WEB);
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
    size_t parts = (size_t)problem.part_count;
    int *best = arena_array(arena, parts + 1, sizeof(*best));
    plan->choices = arena_array(arena, parts + 1, sizeof(*plan->choices));
    BERTH_ASSERT(best != NULL && plan->choices != NULL, "no memory");
    plan->score_stay_nusd = INT64_MAX;
    int64_t cost = try_all(sim, &input, &problem, now, best, &plan->score_stay_nusd, arena);
    plan->status = cost < 0 ? SOLVE_INFEASIBLE : SOLVE_OPTIMAL;
    plan->score_plan_nusd = cost;
    plan->bound_nusd = cost;
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
            if (sim->offers > 0 && w == WEB && now[part].site >= 0) {
                to->group = 0;
                to->score_saving_nusd = NUSD_PER_USD;
                to->confidence_ppm = PPM;
            }
        }
    }
}

/* Of all that no rule forbids, what moves least, and of that the cheapest; its cost, or -1. */
static int64_t try_all(struct sim *sim, const struct cost_input *input,
                       const struct problem *problem, const struct placement *now, int *best,
                       int64_t *stay, struct arena *arena)
{
    int parts = problem->part_count;
    int *choice = arena_array(arena, (size_t)parts + 1, sizeof(*choice));
    int *now_choice = arena_array(arena, (size_t)parts + 1, sizeof(*now_choice));
    BERTH_ASSERT(choice != NULL && now_choice != NULL, "no memory");
    (void)cost_choices(input, problem, now, now_choice);
    int64_t count = 1;
    for (int i = 0; i < parts; i++)
        count *= problem->parts[i].choice_count;
    int least = parts + 1;
    int64_t best_cost = -1;
    for (int64_t k = 0; k < count; k++) {
        int64_t rest = k;
        int moves = 0;
        for (int i = 0; i < parts; i++) {
            choice[i] = (int)(rest % problem->parts[i].choice_count);
            rest /= problem->parts[i].choice_count;
            moves += choice[i] != now_choice[i];
        }
        if (moves > least || problem_broken_rule(problem, choice) >= 0)
            continue;
        int64_t cost = (int64_t)problem_cost(problem, choice);
        if (moves == 0)
            *stay = cost;
        if (!is_offered(sim, input, problem, choice))
            continue;
        if (moves == least && cost >= best_cost)
            continue;
        least = moves;
        best_cost = cost;
        memcpy(best, choice, (size_t)parts * sizeof(*best));
    }
    return best_cost;
}

/* ---- measurements ---- */

/* By what is measured then, the move has lost: it goes back. */
void sim_checked(struct sim *sim, const struct core_effect *effect)
{
    struct core_event answer = {.kind = CORE_CHECKED};
    memcpy(answer.checked.namespace_, effect->check.namespace_, LIMIT_NAME_BYTES);
    memcpy(answer.checked.app, effect->check.app, LIMIT_NAME_BYTES);
    memcpy(answer.checked.workload, effect->check.workload, LIMIT_NAME_BYTES);
    answer.checked.check = effect->check.check;
    answer.checked.known = true;
    answer.checked.score_saving_nusd = -2000;
    answer.checked.spread_nusd = 1000;
    later(sim, &answer);
}

/* Both sides by what they counted, or by whatever a liar says. */
void sim_judge(struct sim *sim, const struct core_effect *effect)
{
    struct core_event answer = {.kind = CORE_JUDGED};
    answer.judged.judge = effect->judge.judge;
    memcpy(answer.judged.handoff, effect->judge.handoff, LIMIT_ID_BYTES);
    side(sim, effect->judge.from, &answer.judged.from);
    side(sim, effect->judge.to, &answer.judged.to);
    if (sim->lying > 0) {
        sim_fault_hit(sim, FAULT_LIE);
        struct core_judged_side *to = &answer.judged.to;
        to->known = sim_random(sim, 4) != 0;
        to->requests = (int64_t)sim_random(sim, 1000000) - 1000;
        to->errors_ppm = (int64_t)sim_random(sim, 3 * PPM) - PPM;
        to->latency_us = sim_random(sim, 2) == 0 ? INT64_MAX : -5;
    }
    later(sim, &answer);
}

static void side(const struct sim *sim, const char *instance, struct core_judged_side *ret_side)
{
    for (int i = 0; i < sim->process_count; i++) {
        const struct sim_process *process = &sim->processes[i];
        if (!str_equal(process->instance, instance) || process->requests == 0)
            continue;
        ret_side->known = true;
        ret_side->requests = process->requests;
        ret_side->errors_ppm = process->errors * PPM / process->requests;
        ret_side->latency_us = 8000;
    }
}

static void later(struct sim *sim, const struct core_event *answer)
{
    struct sim_event *done = sim_push(sim, CHECK_US, SIM_SHELL);
    done->life = sim->scheduler_life;
    done->payload = arena_copy(&sim->arena, answer, sizeof(*answer));
    BERTH_ASSERT(done->payload != NULL, "no memory");
}
