#include "simulator/world/plant.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "metrics/quantise.h"
#include "scheduler/core/answers.h"
#include "simulator/world/chance.h"

#define ANSWER_BYTES   ((size_t)4 << 30)
#define KEPT_BYTES     ((size_t)64 << 20) /* of an answer's memory, for the next */
#define SAME_STEPS_MAX 1000000            /* core steps at one instant: more is a loop */
#define RTT_MAX        1024
#define DAY_US         (24 * US_PER_HOUR)

struct plant {
    const struct scenario *scenario;
    const struct world *world;
    const struct app *apps;
    int app_count;
    int part_count;
    uint64_t seed;
    struct chooser *policy;
    struct solver *solver;
    const struct cost_input *truth;
    struct core *core;
    struct core_effects *effects;
    struct fleet *fleet;
    struct arena arena;        /* of one answer */
    struct cost_keeper keeper; /* of the core's documents, by its structure_version */
    int64_t now_us;
    int64_t steps_at_now;
    int user_count;
    int row_count;
    struct estimate *estimates; /* [part * PLANT_KINDS + kind], users; value -1: not told yet */
    struct estimate *list;      /* those that are told, in their order, and round trips */
    int *listed;                /* [estimate]: its row there; -1: none */
    int list_count;
    int64_t told_us; /* when they were told last */
    bool told;
    bool relist;  /* one is measured that is not in the list */
    bool telling; /* a step of it is under way */
    bool plain;
    uint64_t measures;
    int64_t lag_us; /* -1: lost */
    uint64_t solve; /* that waits for an answer; 0 none */
    uint64_t solve_version;
    uint64_t *checks; /* that wait for an answer, in the order in which they were asked */
    int check_count;
    int check_capacity;
    int reply_code;
    char reply_text[LIMIT_TEXT_BYTES];
    struct plant_counts counts;
    char trouble[LIMIT_TEXT_BYTES];
    char slow[2][2 * LIMIT_TEXT_BYTES]; /* the first, the last */
};

static int start(struct plant *plant, const struct load_users *users, struct error *err);
static int step(struct plant *plant, struct core_event *event, struct error *err);
static int carry_out(struct plant *plant, struct error *err);
static int answer(struct plant *plant, struct error *err);
static int answer_solve(struct plant *plant, struct error *err);
static int solve_core(struct plant *plant, struct core_event *event, struct error *err);
static int find_frame(struct plant *plant, const struct cost_input *input,
                      const struct cost_frame **ret_frame, struct error *err);
static int solve_policy(struct plant *plant, struct core_event *event, struct error *err);
static int solve_problem(struct plant *plant, const struct problem *problem,
                         struct solution *ret_solution, struct error *err);
static void fill_choices(const struct cost_input *input, const struct placement *to,
                         struct core_plan *plan);
static int add_check(struct plant *plant, uint64_t check, struct error *err);
static int answer_check(struct plant *plant, struct error *err);
static void measure_one(struct plant *plant, int part, int kind, const struct plant_measured *what);
static void measure_row(struct plant *plant, int row, int64_t value, bool ratio);
static void list_estimates(struct plant *plant);
static int tell(struct plant *plant, struct error *err);
static int measure_rtts(const struct plant *plant, struct estimate *out);
static void fill_estimates(struct plant *plant, const struct load_users *users);
static void note_trouble(struct plant *plant, const char *text);
static void note_slow(struct plant *plant, const struct message_event *event);

int plant_create(const struct plant_options *options, int64_t now_us, struct plant **ret_plant,
                 struct error *err)
{
    struct plant *plant = calloc(1, sizeof(*plant));
    if (plant == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a virtual world");
    plant->scenario = options->scenario;
    plant->world = options->world;
    plant->apps = options->apps;
    plant->app_count = options->app_count;
    plant->seed = options->seed;
    plant->policy = options->policy;
    plant->solver = options->solver;
    plant->truth = options->truth;
    plant->plain = options->plain;
    plant->now_us = now_us;
    arena_init(&plant->arena, ANSWER_BYTES);
    arena_keep(&plant->arena, KEPT_BYTES);
    for (int i = 0; i < plant->app_count; i++)
        plant->part_count += plant->apps[i].workload_count;
    plant->user_count = options->user_count;
    plant->row_count = plant->part_count * PLANT_KINDS + plant->user_count;
    size_t rows = (size_t)plant->row_count;
    plant->estimates = calloc(rows + 1, sizeof(*plant->estimates));
    plant->list = calloc(rows + RTT_MAX + 1, sizeof(*plant->list));
    plant->listed = calloc(rows + 1, sizeof(*plant->listed));
    int rc = plant->estimates == NULL || plant->list == NULL || plant->listed == NULL
                 ? error_set(err, ERR_NO_MEMORY, 0, "no memory for %d measures", plant->part_count)
                 : core_create(&plant->core, err);
    if (rc == 0 && core_effects_create(LIMIT_EFFECTS, &plant->effects) < 0)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for a core's effects");
    if (rc == 0)
        rc = fleet_create(&(struct fleet_options){.scenario = plant->scenario,
                                                  .world = plant->world,
                                                  .apps = plant->apps,
                                                  .app_count = plant->app_count,
                                                  .seed = plant->seed},
                          now_us, &plant->fleet, err);
    if (rc == 0)
        rc = start(plant, options->users, err);
    if (rc < 0) {
        plant_destroy(plant);
        return rc;
    }
    *ret_plant = plant;
    return 0;
}

void plant_destroy(struct plant *plant)
{
    if (plant == NULL)
        return;
    core_destroy(plant->core);
    if (plant->effects != NULL)
        core_effects_destroy(plant->effects);
    fleet_destroy(plant->fleet);
    free(plant->estimates);
    free(plant->list);
    free(plant->listed);
    free(plant->checks);
    cost_keeper_done(&plant->keeper);
    arena_done(&plant->arena);
    free(plant);
}

static int start(struct plant *plant, const struct load_users *users, struct error *err)
{
    fill_estimates(plant, users);
    struct core_event started = {.kind = CORE_STARTED, .started.term = 1};
    int rc = step(plant, &started, err);
    if (rc == 0)
        rc = plant_world(plant, plant->world, err);
    struct core_event hello;
    while (rc == 0 && fleet_next(plant->fleet, plant->now_us, &hello))
        rc = step(plant, &hello, err);
    for (int i = 0; i < plant->app_count && rc == 0; i++)
        rc = plant_apply(plant, &plant->apps[i], err);
    return rc;
}

static void fill_estimates(struct plant *plant, const struct load_users *users)
{
    static const enum estimate_kind kinds[PLANT_KINDS] = {
        ESTIMATE_CALLS_MHZ, ESTIMATE_REQUEST_BYTES, ESTIMATE_RESPONSE_BYTES, ESTIMATE_HIT_PPM,
        ESTIMATE_CPU_NS};
    struct estimate *estimate = plant->estimates;
    for (int i = 0; i < plant->app_count; i++)
        for (int k = 0; k < plant->apps[i].workload_count; k++)
            for (int kind = 0; kind < PLANT_KINDS; kind++, estimate++) {
                const struct app *app = &plant->apps[i];
                const struct workload *workload = &app->workloads[k];
                estimate->kind = kinds[kind];
                memcpy(estimate->namespace_, app->namespace_, sizeof(estimate->namespace_));
                memcpy(estimate->app, app->name, sizeof(estimate->app));
                memcpy(estimate->workload, workload->name, sizeof(estimate->workload));
            }
    for (int i = 0; i < plant->user_count; i++, estimate++) {
        const struct app *app = &plant->apps[users[i].app];
        estimate->kind = ESTIMATE_USERS_MHZ;
        memcpy(estimate->namespace_, app->namespace_, sizeof(estimate->namespace_));
        memcpy(estimate->app, app->name, sizeof(estimate->app));
        memcpy(estimate->workload, app->workloads[users[i].workload].name,
               sizeof(estimate->workload));
        str_format(estimate->peer, sizeof(estimate->peer), "%s",
                   app->segments[users[i].segment].name);
    }
    for (int row = 0; row < plant->row_count; row++) {
        plant->estimates[row].value = -1;
        plant->estimates[row].observed_us = DAY_US; /* all along: its prior hardly counts */
        plant->listed[row] = -1;
    }
}

int64_t plant_now_us(const struct plant *plant)
{
    return plant->now_us;
}

void plant_skip(struct plant *plant, int64_t now_us)
{
    if (now_us > plant->now_us)
        plant->steps_at_now = 0;
    plant->now_us = now_us > plant->now_us ? now_us : plant->now_us;
}

const struct core *plant_core(const struct plant *plant)
{
    return plant->core;
}

const struct fleet *plant_fleet(const struct plant *plant)
{
    return plant->fleet;
}

struct plant_counts plant_counts(const struct plant *plant)
{
    return plant->counts;
}

const char *plant_trouble(const struct plant *plant)
{
    return plant->trouble;
}

const char *plant_slow(const struct plant *plant, bool last)
{
    return plant->slow[last];
}

static void note_slow(struct plant *plant, const struct message_event *event)
{
    if (!str_equal(event->name, "state.slow"))
        return;
    for (int i = plant->counts.slow == 0 ? 0 : 1; i < 2; i++)
        str_format(plant->slow[i], sizeof(plant->slow[i]), "%s/%s: %s", event->app, event->workload,
                   event->text);
    plant->counts.slow++;
}

static void note_trouble(struct plant *plant, const char *text)
{
    if (plant->trouble[0] == 0)
        str_format(plant->trouble, sizeof(plant->trouble), "%.*s", LIMIT_TEXT_BYTES - 1, text);
}

/* ---- inputs ---- */

int plant_world(struct plant *plant, const struct world *world, struct error *err)
{
    plant->world = world;
    struct core_event event = {.kind = CORE_WORLD, .world = world};
    return step(plant, &event, err);
}

int plant_apply(struct plant *plant, const struct app *app, struct error *err)
{
    struct core_event event = {.kind = CORE_APPLY, .request = "simulate"};
    event.apply.app = app;
    plant->reply_code = 0;
    int rc = step(plant, &event, err);
    if (rc == 0 && plant->reply_code < 0)
        rc = error_set(err, plant->reply_code, 0, "app %s/%s is refused: %s", app->namespace_,
                       app->name, plant->reply_text);
    return rc;
}

int plant_down(struct plant *plant, const char *place, bool down, struct error *err)
{
    return fleet_down(plant->fleet, plant->now_us, place, down,
                      plant->world->policy.node_timeout_us, err);
}

int plant_cordon(struct plant *plant, const char *site, bool on, struct error *err)
{
    struct core_event event = {.kind = CORE_CORDON_SET, .request = "simulate"};
    event.cordon.kind = CORDON_SITE;
    event.cordon.on = on;
    str_format(event.cordon.name, sizeof(event.cordon.name), "%s", site);
    return step(plant, &event, err);
}

void plant_lag(struct plant *plant, int64_t lag_us)
{
    plant->lag_us = lag_us;
}

int plant_measure(struct plant *plant, const struct plant_measured *list, const int64_t *users_mhz,
                  struct error *err)
{
    plant->measures++;
    if (plant->lag_us < 0)
        return 0;
    for (int part = 0; part < plant->part_count; part++)
        for (int kind = 0; kind < PLANT_KINDS; kind++)
            measure_one(plant, part, kind, &list[part]);
    for (int i = 0; i < plant->user_count; i++)
        measure_row(plant, plant->part_count * PLANT_KINDS + i, users_mhz[i], false);
    return tell(plant, err);
}

int plant_meters(struct plant *plant, struct estimate *list, int count, struct error *err)
{
    struct core_event event = {.kind = CORE_ESTIMATES, .estimates = {list, count}};
    return count == 0 ? 0 : step(plant, &event, err);
}

static void measure_one(struct plant *plant, int part, int kind, const struct plant_measured *what)
{
    int row = part * PLANT_KINDS + kind;
    struct estimate *estimate = &plant->estimates[row];
    if (kind >= PLANT_HIT && what->value[kind] >= 0) {
        const char *site = plant->world->sites[what->site].name;
        if (!str_equal(estimate->site, site)) {
            str_format(estimate->site, sizeof(estimate->site), "%s", site);
            estimate->value = -1;
        }
    }
    measure_row(plant, row, what->value[kind], kind == PLANT_HIT);
}

/* -1: it is not known yet. */
static void measure_row(struct plant *plant, int row, int64_t value, bool ratio)
{
    struct estimate *estimate = &plant->estimates[row];
    int64_t noise_ppm = plant->scenario->noise_ppm;
    if (value < 0)
        return;
    if (noise_ppm > 0) {
        int64_t off =
            chance_normal_ppm(plant->seed, CHANCE_MEASURE + 16 * (uint64_t)row, plant->measures);
        __int128 seen = (__int128)value * (PPM + (__int128)off * noise_ppm / PPM) / PPM;
        value = seen < 0 ? 0 : ratio && seen > PPM ? PPM : (int64_t)seen;
    }
    if (estimate->value >= 0 && !quantise_moved(estimate->value, value, ratio))
        return;
    estimate->value = ratio ? quantise_ratio(value) : quantise_value(value);
    estimate->spread = (int64_t)((__int128)estimate->value * noise_ppm / PPM);
    if (plant->listed[row] >= 0)
        plant->list[plant->listed[row]] = *estimate;
    else
        plant->relist = true;
}

/* Anew, since one more is told: in the order of the parts. */
static void list_estimates(struct plant *plant)
{
    plant->list_count = 0;
    for (int row = 0; row < plant->row_count; row++) {
        bool told = plant->estimates[row].value >= 0;
        plant->listed[row] = told ? plant->list_count : -1;
        if (told)
            plant->list[plant->list_count++] = plant->estimates[row];
    }
    plant->relist = false;
}

static int tell(struct plant *plant, struct error *err)
{
    struct core_event event = {.kind = CORE_ESTIMATES};
    if (plant->lag_us < 0 || plant->part_count == 0 || plant->measures == 0)
        return 0;
    if (plant->relist)
        list_estimates(plant);
    for (int i = 0; i < plant->list_count; i++)
        plant->list[i].at_us = plant->now_us - plant->lag_us;
    event.estimates.list = plant->list;
    event.estimates.count = plant->list_count;
    if (plant->world->latency_measured)
        event.estimates.count += measure_rtts(plant, plant->list + plant->list_count);
    plant->told_us = plant->now_us;
    plant->told = true;
    return event.estimates.count == 0 ? 0 : step(plant, &event, err);
}

/* Between all sites, as the world has them: probes see no other way. */
static int measure_rtts(const struct plant *plant, struct estimate *out)
{
    const struct world *world = plant->world;
    int count = 0;
    for (int a = 0; a < world->site_count; a++)
        for (int b = a + 1; b < world->site_count && count < RTT_MAX; b++) {
            int64_t rtt_us = world->rtt_us[a * world->site_count + b];
            if (rtt_us < 0)
                continue;
            struct estimate *one = &out[count++];
            *one = (struct estimate){.kind = ESTIMATE_RTT_US,
                                     .value = quantise_value(rtt_us),
                                     .at_us = plant->now_us - plant->lag_us,
                                     .observed_us = DAY_US};
            memcpy(one->site, world->sites[a].name, sizeof(one->site));
            memcpy(one->peer, world->sites[b].name, sizeof(one->peer));
        }
    return count;
}

/* ---- time ---- */

int plant_advance(struct plant *plant, int64_t until_us, struct error *err)
{
    int64_t core_us = core_deadline(plant->core).us;
    int64_t fleet_us = fleet_deadline_us(plant->fleet);
    int64_t next_us = core_us < fleet_us ? core_us : fleet_us;
    next_us = next_us < plant->now_us ? plant->now_us : next_us;
    if (next_us > until_us) {
        plant->now_us = until_us > plant->now_us ? until_us : plant->now_us;
        return 0;
    }
    if (next_us > plant->now_us)
        plant->steps_at_now = 0;
    plant->now_us = next_us;
    struct core_event event;
    int rc = 0;
    bool any = false;
    while (rc == 0 && fleet_next(plant->fleet, next_us, &event)) {
        rc = step(plant, &event, err);
        any = true;
    }
    if (rc == 0 && (!any || core_us <= next_us)) {
        struct core_event tick = {.kind = CORE_TICK};
        rc = step(plant, &tick, err);
    }
    return rc < 0 ? rc : 1;
}

static int step(struct plant *plant, struct core_event *event, struct error *err)
{
    event->at.us = plant->now_us;
    plant->counts.events++;
    BERTH_ASSERT(++plant->steps_at_now < SAME_STEPS_MAX, "time stands still at %lld",
                 (long long)plant->now_us);
    core_step(plant->core, event, plant->effects);
    int rc = carry_out(plant, err);
    return rc < 0 ? rc : answer(plant, err);
}

static int carry_out(struct plant *plant, struct error *err)
{
    int rc = 0;
    for (int i = 0; i < plant->effects->count && rc == 0; i++) {
        const struct core_effect *effect = &plant->effects->list[i];
        int64_t now_us = plant->now_us;
        switch (effect->kind) {
        case CORE_COMMAND:
            rc = fleet_obey(plant->fleet, now_us, effect->command.node, &effect->command.message,
                            err);
            break;
        case CORE_PROBE:
            rc = fleet_probe(plant->fleet, now_us, effect->probe.id, effect->probe.instance,
                             effect->probe.count, err);
            break;
        case CORE_FENCE:
            rc =
                fleet_fence(plant->fleet, now_us, effect->fence.handoff, &effect->fence.owner, err);
            break;
        case CORE_JUDGE:
            rc = fleet_judge(plant->fleet, now_us, effect->judge.judge, effect->judge.handoff, err);
            break;
        case CORE_SOLVE:
            plant->solve = effect->solve.solve;
            plant->solve_version = effect->solve.version;
            break;
        case CORE_CHECK:
            rc = add_check(plant, effect->check.check, err);
            break;
        case CORE_REPLY:
            plant->reply_code = effect->reply.code;
            memcpy(plant->reply_text, effect->reply.text, sizeof(plant->reply_text));
            break;
        case CORE_PUBLISH:
            note_slow(plant, &effect->publish);
            break;
        }
    }
    return rc;
}

/* ---- what the shell answers ---- */

static int answer(struct plant *plant, struct error *err)
{
    int rc = 0;
    while (rc == 0 && !plant->telling && (plant->solve != 0 || plant->check_count > 0)) {
        /* What is measured goes on being confirmed, as metrics do while nothing changes: told again
         * when it would count as old otherwise. What it asks for is answered after it. */
        int64_t age_us = plant->now_us - plant->told_us + plant->lag_us;
        if (plant->told && plant->told_us != plant->now_us &&
            (plant->plain || age_us > plant->world->policy.metric_age_max_us)) {
            plant->telling = true;
            rc = tell(plant, err);
            plant->telling = false;
        }
        if (rc == 0 && plant->check_count > 0)
            rc = answer_check(plant, err);
        else if (rc == 0 && plant->solve != 0)
            rc = answer_solve(plant, err);
    }
    return rc;
}

static int add_check(struct plant *plant, uint64_t check, struct error *err)
{
    if (plant->check_count == plant->check_capacity) {
        int capacity = plant->check_capacity == 0 ? 64 : 2 * plant->check_capacity;
        uint64_t *more = realloc(plant->checks, (size_t)capacity * sizeof(*more));
        if (more == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d checks", capacity);
        plant->checks = more;
        plant->check_capacity = capacity;
    }
    plant->checks[plant->check_count++] = check;
    return 0;
}

static int answer_check(struct plant *plant, struct error *err)
{
    struct core_event event;
    uint64_t check = plant->checks[0];
    plant->check_count--;
    memmove(plant->checks, plant->checks + 1, (size_t)plant->check_count * sizeof(check));
    arena_reset(&plant->arena);
    int rc = core_answer_check(plant->core, check, &plant->arena, &event, err);
    if (rc == ERR_NOT_FOUND)
        return 0;
    return rc < 0 ? rc : step(plant, &event, err);
}

static int answer_solve(struct plant *plant, struct error *err)
{
    struct core_event event = {.kind = CORE_PLAN};
    event.plan.solve = plant->solve;
    event.plan.version = plant->solve_version;
    event.plan.score_stay_nusd = INT64_MAX;
    plant->solve = 0;
    plant->counts.solves++;
    arena_reset(&plant->arena);
    int rc = policy_is_core(plant->policy) ? solve_core(plant, &event, err)
                                           : solve_policy(plant, &event, err);
    if (rc == 0 && event.plan.status == SOLVE_INFEASIBLE) {
        plant->counts.infeasible++;
        note_trouble(plant, event.plan.text);
    }
    return rc < 0 ? rc : step(plant, &event, err);
}

/* As the service answers. */
static int solve_core(struct plant *plant, struct core_event *event, struct error *err)
{
    struct cost_input input;
    const struct cost_frame *frame = NULL;
    struct cost_context *context = NULL;
    struct problem problem;
    struct solution solution = {.status = SOLVE_NONE};
    struct placement *now = NULL;
    struct arena *arena = &plant->arena;
    struct core_plan *plan = &event->plan;
    int rc = core_cost_input(plant->core, NULL, NULL, arena, &input, err);
    if (rc == 0)
        rc = core_placement(plant->core, &input, arena, &now, err);
    if (rc == 0)
        rc = find_frame(plant, &input, &frame, err);
    if (rc == 0)
        rc = cost_context_make(&input, frame, NULL, arena, &context, err);
    if (rc == 0)
        rc = cost_problem_from(context, arena, &problem, err);
    if (rc == 0)
        rc = solve_problem(plant, &problem, &solution, err);
    if (rc < 0)
        return rc;
    plan->status = solution.status;
    plan->bound_nusd = solution.bound_nusd;
    plan->score_plan_nusd = solution.cost_nusd;
    memcpy(plan->text, solution.text, sizeof(plan->text));
    if (solution.status == SOLVE_INFEASIBLE && solution.conflict_count > 0)
        str_format(plan->text, sizeof(plan->text), "%s", problem.rules[solution.conflict[0]].text);
    if (solution.status != SOLVE_OPTIMAL && solution.status != SOLVE_FEASIBLE)
        return 0;
    struct placement *to = arena_array(arena, (size_t)problem.part_count + 1, sizeof(*to));
    if (to == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a plan");
    for (int part = 0; part < problem.part_count; part++)
        to[part] = cost_placement_from(context, &problem, part, solution.choice[part]);
    return core_answer_plan(context, &problem, now, to, arena, plan, err);
}

/* What every plan rests on counts whenever a document is replaced, and with what nodes do. */
static int find_frame(struct plant *plant, const struct cost_input *input,
                      const struct cost_frame **ret_frame, struct error *err)
{
    return plant->plain
               ? 0
               : cost_keeper_frame(&plant->keeper, input,
                                   core_state(plant->core)->structure_version, ret_frame, err);
}

/* Every choice without a group, and a present placement that cannot stay: all of it is taken. */
static int solve_policy(struct plant *plant, struct core_event *event, struct error *err)
{
    struct cost_input input;
    struct arena *arena = &plant->arena;
    struct core_plan *plan = &event->plan;
    struct error why = {0};
    int rc = core_cost_input(plant->core, NULL, NULL, arena, &input, err);
    if (rc < 0)
        return rc;
    bool knows = policy_kind_of(plant->policy) == POLICY_OPTIMUM && plant->truth != NULL;
    for (int i = 0; i < input.app_count && knows; i++)
        for (int k = 0; k < plant->truth->app_count; k++)
            if (str_equal(input.apps[i].app->name, plant->truth->apps[k].app->name) &&
                str_equal(input.apps[i].app->namespace_, plant->truth->apps[k].app->namespace_))
                input.apps[i].app = plant->truth->apps[k].app;
    if (knows && plant->measures > 0)
        input.estimates = plant->truth->estimates;
    struct placement *to = arena_array(arena, (size_t)plant->part_count + 1, sizeof(*to));
    plan->choices = arena_array(arena, (size_t)plant->part_count + 1, sizeof(*plan->choices));
    if (to == NULL || plan->choices == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a plan");
    rc = policy_place(plant->policy, &input, arena, to, &why);
    if (rc < 0) {
        if (err != NULL)
            *err = why;
        return rc;
    }
    plan->status = rc == 0 ? SOLVE_INFEASIBLE : SOLVE_FEASIBLE;
    if (rc == 0) {
        plant->counts.refused++;
        str_format(plan->text, sizeof(plan->text), "%.*s", LIMIT_TEXT_BYTES - 1, why.text);
    } else {
        fill_choices(&input, to, plan);
    }
    return 0;
}

static void fill_choices(const struct cost_input *input, const struct placement *to,
                         struct core_plan *plan)
{
    for (int i = 0, part = 0; i < input->app_count; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++, part++) {
            const struct app *app = input->apps[i].app;
            if (to[part].site < 0)
                continue;
            struct core_plan_choice *choice = &plan->choices[plan->choice_count++];
            memcpy(choice->namespace_, app->namespace_, sizeof(choice->namespace_));
            memcpy(choice->app, app->name, sizeof(choice->app));
            memcpy(choice->workload, app->workloads[k].name, sizeof(choice->workload));
            memcpy(choice->site, input->world->sites[to[part].site].name, sizeof(choice->site));
            memcpy(choice->lead, app->workloads[to[part].lead].name, sizeof(choice->lead));
            choice->variant = to[part].variant;
            choice->group = -1;
        }
}

/* Inputs that did not change need no new solve: the last answer is the answer. */
static int solve_problem(struct plant *plant, const struct problem *problem,
                         struct solution *ret_solution, struct error *err)
{
    struct solve_limits limits = {.gap = (double)plant->world->policy.solve_gap_ppm / PPM};
    bool again = false;
    if (plant->plain)
        return solver_call_within(plant->solver, problem, &limits, &plant->arena, ret_solution,
                                  err);
    int rc = solver_call_again(plant->solver, problem, &limits, &plant->arena, ret_solution, &again,
                               err);
    plant->counts.reused += again;
    return rc;
}
