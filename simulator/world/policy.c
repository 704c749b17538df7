#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "simulator/world/policy_internal.h"

#define DAY_US (24 * US_PER_HOUR)

static int check_step(const struct scenario *scenario, struct error *err);
static int place_restricted(struct chooser *policy, const struct cost_input *input,
                            const bool *sites, struct arena *arena, struct placement *to,
                            struct error *err);
static int place_best(struct chooser *policy, const struct cost_input *input, struct arena *arena,
                      struct placement *to, struct error *err);
static int place_tier(struct chooser *policy, const struct cost_input *input, enum tier tier,
                      struct arena *arena, struct placement *to, struct error *err);
static int place_provider(struct chooser *policy, const struct cost_input *input,
                          struct arena *arena, struct placement *to, struct error *err);
static int place_stay(struct chooser *policy, const struct cost_input *input, struct arena *arena,
                      struct placement *to, struct error *err);
static int keep_rules(const struct cost_input *input, const struct placement *to,
                      struct arena *arena, struct error *err);
static int restrict_problem(struct problem *problem, const bool *sites, struct arena *arena);
static void mark_provider(const struct world *world, const char *provider, bool *sites);
static int conflict(const struct problem *problem, const struct solution *solution,
                    struct error *err);
static int part_count(const struct cost_input *input);

const char *const policy_words[] = {"solver",   "forecast",     "optimum", "stay",    "all-cloud",
                                    "all-edge", "one-provider", "greedy",  "nearest", "program",
                                    NULL};

int policy_kind(const char *name)
{
    for (int i = 0; i < POLICY_COUNT; i++)
        if (str_equal(policy_words[i], name))
            return i;
    return -1;
}

const char *policy_list(char out[LIMIT_TEXT_BYTES])
{
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < POLICY_PROGRAM; i++) {
        str_format(out + used, LIMIT_TEXT_BYTES - used, "%s%s", i > 0 ? ", " : "", policy_words[i]);
        used = strlen(out);
    }
    return out;
}

int policy_open(const struct scenario *scenario, const struct scenario_policy *what,
                struct solver *solver, struct chooser **ret_policy, struct error *err)
{
    struct chooser *policy = calloc(1, sizeof(*policy));
    if (policy == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a policy");
    int kind = what->program[0] != 0 ? POLICY_PROGRAM : policy_kind(what->name);
    policy->kind = kind < 0 ? POLICY_SOLVER : (enum policy_kind)kind;
    policy->solver = solver;
    str_format(policy->name, sizeof(policy->name), "%s", what->name);
    int rc = 0;
    if (policy->kind == POLICY_PROGRAM)
        rc = policy_program_open(scenario, what, &policy->program, err);
    else if (policy->kind == POLICY_FORECAST)
        rc = check_step(scenario, err);
    if (rc < 0) {
        policy_close(policy);
        return rc;
    }
    *ret_policy = policy;
    return 0;
}

/* A forecast looks at the same hours of another day. */
static int check_step(const struct scenario *scenario, struct error *err)
{
    char step[UNITS_TEXT_BYTES];
    if (scenario->step_us > 0 && DAY_US % scenario->step_us == 0)
        return 0;
    return error_set(err, ERR_INVALID, 0,
                     "%s: step: %s does not divide a day, and the policy forecast looks at the "
                     "same hours of another day: take one that does, such as 1h, or another policy",
                     scenario->file, units_format_duration(scenario->step_us, step));
}

void policy_close(struct chooser *policy)
{
    if (policy == NULL)
        return;
    policy_program_close(policy->program);
    free(policy);
}

bool policy_is_core(const struct chooser *policy)
{
    return policy->kind == POLICY_SOLVER || policy->kind == POLICY_FORECAST;
}

enum policy_kind policy_kind_of(const struct chooser *policy)
{
    return policy->kind;
}

int policy_place(struct chooser *policy, const struct cost_input *input, struct arena *arena,
                 struct placement *to, struct error *err)
{
    int rc = 0;
    switch (policy->kind) {
    case POLICY_STAY:
        rc = place_stay(policy, input, arena, to, err);
        break;
    case POLICY_CLOUD:
    case POLICY_EDGE:
        rc = place_tier(policy, input, policy->kind == POLICY_CLOUD ? TIER_CLOUD : TIER_EDGE, arena,
                        to, err);
        break;
    case POLICY_PROVIDER:
        rc = place_provider(policy, input, arena, to, err);
        break;
    case POLICY_GREEDY:
    case POLICY_NEAREST:
        rc = policy_greedy(input, policy->kind == POLICY_NEAREST, arena, to, err);
        break;
    case POLICY_PROGRAM:
        rc = policy_program_place(policy->program, input, arena, to, err);
        if (rc == 0 && keep_rules(input, to, arena, err) < 0)
            rc = error_prefix(err, "policy %s (everything stays)", policy->name);
        break;
    case POLICY_SOLVER:
    case POLICY_FORECAST:
    case POLICY_OPTIMUM:
    case POLICY_COUNT:
        rc = place_best(policy, input, arena, to, err);
        break;
    }
    /* Nothing fits, or its program failed: everything stays, and it is told. */
    if (rc == ERR_INVALID || rc == ERR_NOT_FOUND || rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT)
        return 0;
    return rc < 0 ? rc : 1;
}

/* What is placed stays; who is nowhere goes where the best placement has it. */
static int place_stay(struct chooser *policy, const struct cost_input *input, struct arena *arena,
                      struct placement *to, struct error *err)
{
    bool all = true;
    for (int i = 0, part = 0; i < input->app_count; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++, part++) {
            to[part] = input->apps[i].states[k].now;
            all &= to[part].site >= 0;
        }
    if (all)
        return 0;
    struct policy_best best;
    int rc = policy_best(policy->solver, input, NULL, 0, arena, &best, err);
    for (int part = 0; rc == 0 && part < part_count(input); part++)
        if (to[part].site < 0)
            to[part] = best.at[part];
    return rc;
}

static int place_restricted(struct chooser *policy, const struct cost_input *input,
                            const bool *sites, struct arena *arena, struct placement *to,
                            struct error *err)
{
    struct policy_best best;
    int rc = policy_best(policy->solver, input, sites, 0, arena, &best, err);
    if (rc == 0 && part_count(input) > 0)
        memcpy(to, best.at, (size_t)part_count(input) * sizeof(*to));
    return rc;
}

static int place_best(struct chooser *policy, const struct cost_input *input, struct arena *arena,
                      struct placement *to, struct error *err)
{
    struct policy_best best;
    struct policy_gaps *gaps = &policy->gaps;
    int64_t gap_ppm = input->world->policy.solve_gap_ppm;
    gap_ppm = gap_ppm > 0 ? gap_ppm : POLICY_GAP_PPM;
    int rc = policy_best(policy->solver, input, NULL, (double)gap_ppm / PPM, arena, &best, err);
    if (rc < 0)
        return rc;
    if (part_count(input) > 0)
        memcpy(to, best.at, (size_t)part_count(input) * sizeof(*to));
    gaps->placements++;
    gaps->unproven += !best.proven;
    __int128 apart = (__int128)best.score_nusd - best.bound_nusd;
    __int128 size = best.score_nusd < 0 ? -(__int128)best.score_nusd : best.score_nusd;
    int64_t ppm = best.proven || size == 0 ? 0 : (int64_t)(apart * PPM / size);
    gaps->most_ppm = ppm > gaps->most_ppm ? ppm : gaps->most_ppm;
    return 0;
}

struct policy_gaps policy_gaps(const struct chooser *policy)
{
    return policy->gaps;
}

static int place_tier(struct chooser *policy, const struct cost_input *input, enum tier tier,
                      struct arena *arena, struct placement *to, struct error *err)
{
    bool sites[LIMIT_SITES];
    for (int i = 0; i < input->world->site_count; i++)
        sites[i] = input->world->sites[i].tier == tier;
    return place_restricted(policy, input, sites, arena, to, err);
}

/* Of all providers but the users' own machines, the one with which it costs least. */
static int place_provider(struct chooser *policy, const struct cost_input *input,
                          struct arena *arena, struct placement *to, struct error *err)
{
    const struct world *world = input->world;
    bool sites[LIMIT_SITES];
    char chosen[LIMIT_NAME_BYTES] = "";
    int64_t least = INT64_MAX;
    int rc = error_set(err, ERR_NOT_FOUND, 0, "there is no provider");
    for (int i = 0; i < world->site_count; i++) {
        const char *provider = world->sites[i].provider;
        bool first = world->sites[i].tier != TIER_CLIENT;
        for (int k = 0; k < i && first; k++)
            first = !str_equal(world->sites[k].provider, provider) ||
                    world->sites[k].tier == TIER_CLIENT;
        if (!first || (policy->provider[0] != 0 && !str_equal(policy->provider, provider)))
            continue;
        struct policy_best best;
        struct error why;
        mark_provider(world, provider, sites);
        int tried = policy_best(policy->solver, input, sites, 0, arena, &best, &why);
        if (tried < 0 && rc < 0)
            rc = error_set(err, tried, 0, "%s: %.300s", provider, why.text);
        if (tried < 0 || best.score_nusd >= least)
            continue;
        rc = 0;
        least = best.score_nusd;
        memcpy(to, best.at, (size_t)part_count(input) * sizeof(*to));
        str_format(chosen, sizeof(chosen), "%s", provider);
    }
    if (rc == 0)
        memcpy(policy->provider, chosen, sizeof(chosen));
    return rc;
}

static void mark_provider(const struct world *world, const char *provider, bool *sites)
{
    for (int i = 0; i < world->site_count; i++)
        sites[i] = str_equal(world->sites[i].provider, provider);
}

/* A placement of somebody else's making must be one. */
static int keep_rules(const struct cost_input *input, const struct placement *to,
                      struct arena *arena, struct error *err)
{
    struct cost_input free_input;
    struct problem problem;
    int rc = policy_unplaced(input, arena, &free_input, err);
    if (rc == 0)
        rc = cost_problem(&free_input, arena, &problem, err);
    int *choice = rc < 0 ? NULL : arena_array(arena, (size_t)problem.part_count + 1, sizeof(int));
    if (rc < 0 || choice == NULL)
        return rc < 0 ? rc : error_set(err, ERR_NO_MEMORY, 0, "no memory for a placement");
    if (!cost_choices(&free_input, &problem, to, choice))
        return error_set(err, ERR_INVALID, 0, "its answer leaves a workload nowhere");
    int broken = problem_broken_rule(&problem, choice);
    return broken < 0 ? 0
                      : error_set(err, ERR_INVALID, 0, "its answer breaks a rule: %s",
                                  problem.rules[broken].text);
}

/* ---- the best placement ---- */

int policy_best(struct solver *solver, const struct cost_input *input, const bool *restrict_to,
                double gap, struct arena *arena, struct policy_best *ret_best, struct error *err)
{
    struct cost_input free_input;
    struct problem problem;
    struct solution solution = {.status = SOLVE_NONE};
    struct solve_limits limits = {.gap = gap};
    int rc = policy_unplaced(input, arena, &free_input, err);
    if (rc == 0)
        rc = cost_problem(&free_input, arena, &problem, err);
    if (rc == 0 && restrict_to != NULL && restrict_problem(&problem, restrict_to, arena) < 0)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for a policy's rules");
    if (rc == 0)
        rc = solver_call_within(solver, &problem, &limits, arena, &solution, err);
    if (rc < 0)
        return rc;
    if (solution.status == SOLVE_INFEASIBLE)
        return conflict(&problem, &solution, err);
    if (solution.status == SOLVE_NONE)
        return error_set(err, ERR_UNAVAILABLE, 0, "the solver found no placement: %s",
                         solution.text);
    struct policy_best best = {.score_nusd = solution.cost_nusd,
                               .bound_nusd = solution.bound_nusd,
                               .proven = solution.status == SOLVE_OPTIMAL};
    best.at = arena_array(arena, (size_t)problem.part_count + 1, sizeof(*best.at));
    if (best.at == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a placement");
    for (int part = 0; part < problem.part_count; part++)
        best.at[part] = cost_placement(&free_input, &problem, part, solution.choice[part]);
    *ret_best = best;
    return 0;
}

int policy_unplaced(const struct cost_input *input, struct arena *arena,
                    struct cost_input *ret_input, struct error *err)
{
    struct cost_input copy = *input;
    copy.apps = arena_array(arena, (size_t)input->app_count + 1, sizeof(*copy.apps));
    copy.capacity_price = NULL;
    for (int i = 0; i < input->app_count && copy.apps != NULL; i++) {
        int count = input->apps[i].app->workload_count;
        copy.apps[i].app = input->apps[i].app;
        copy.apps[i].states = arena_array(arena, (size_t)count + 1, sizeof(*copy.apps[i].states));
        if (copy.apps[i].states == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for a placement");
        for (int k = 0; k < count; k++)
            copy.apps[i].states[k] =
                (struct workload_state){.now = {.site = -1, .lead = k},
                                        .may_move = true,
                                        .site_blocked = input->apps[i].states[k].site_blocked};
    }
    if (copy.apps == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a placement");
    *ret_input = copy;
    return 0;
}

/* Parts that have an allowed choice at one of the sites get a rule to take one of those. */
static int restrict_problem(struct problem *problem, const bool *sites, struct arena *arena)
{
    struct problem_rule *rules =
        arena_array(arena, (size_t)(problem->rule_count + problem->part_count) + 1, sizeof(*rules));
    if (rules == NULL)
        return ERR_NO_MEMORY;
    int count = problem->rule_count;
    if (count > 0)
        memcpy(rules, problem->rules, (size_t)count * sizeof(*rules));
    for (int part = 0; part < problem->part_count; part++) {
        const struct problem_part *what = &problem->parts[part];
        bool *allowed = arena_array(arena, (size_t)what->choice_count + 1, sizeof(*allowed));
        if (allowed == NULL)
            return ERR_NO_MEMORY;
        bool any = false;
        for (int c = 0; c < what->choice_count; c++) {
            allowed[c] = sites[what->choices[c].site];
            bool possible = allowed[c];
            for (int r = 0; r < problem->rule_count && possible; r++)
                if (problem->rules[r].kind == RULE_CHOICES && problem->rules[r].a == part)
                    possible = problem->rules[r].allowed[c];
            any |= possible;
        }
        if (!any)
            continue;
        struct problem_rule *rule = &rules[count++];
        *rule = (struct problem_rule){.kind = RULE_CHOICES, .a = part, .allowed = allowed};
        str_format(rule->text, sizeof(rule->text), "%.180s: the policy's sites", what->name);
    }
    problem->rules = rules;
    problem->rule_count = count;
    return 0;
}

static int conflict(const struct problem *problem, const struct solution *solution,
                    struct error *err)
{
    const char *one = solution->conflict_count > 0 ? problem->rules[solution->conflict[0]].text
                                                   : "the rules cannot hold together";
    const char *two =
        solution->conflict_count > 1 ? problem->rules[solution->conflict[1]].text : NULL;
    return error_set(err, ERR_INVALID, 0, "no placement keeps all rules: %s%s%s", one,
                     two == NULL ? "" : "; ", two == NULL ? "" : two);
}

static int part_count(const struct cost_input *input)
{
    int count = 0;
    for (int i = 0; i < input->app_count; i++)
        count += input->apps[i].app->workload_count;
    return count;
}
