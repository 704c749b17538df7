#include <stdlib.h>
#include <string.h>

#include "model/app.h"
#include "model/world.h"
#include "scheduler/service/service_internal.h"

/* One difference between what runs and what is planned. -1: it is not there. */
struct move {
    int before_app;
    int before_workload;
    int after_app;
    int after_workload;
    int from;
    int to;
    int replicas;
    enum handoff_reason reason;
    int rule; /* that forces it; -1 */
};

/* What the writer of a plan works on. */
struct plan {
    struct service_job *job;
    const struct solution *solution;
    struct placement *at; /* of the solution, [part] */
    struct cost_report after;
    struct move *moves;
    int move_count;
    int move_capacity;
};

/* Reading what is beside the numbers: how a handoff's duration is guessed before one was measured.
 */
#define GUESS_MARGIN_US (25 * US_PER_MS)
/* What an answer holds: rules of a conflict, and bytes after which moves, then lines, are left out
 * and counted. */
#define CONFLICT_MAX 1024
#define GROUPED_MIN  24 /* rules of a conflict beyond which they are told in groups, too */
#define GROUPS_MAX   64
#define MOVES_BYTES  (SERVICE_BODY_BYTES / 2)
#define LINES_BYTES  (SERVICE_BODY_BYTES / 4 * 3)

static int find_moves(struct plan *plan, struct error *err);
static int find_app_moves(struct plan *plan, int app, struct error *err);
static int find_removals(struct plan *plan, struct error *err);
static int add(struct plan *plan, const struct move *move, struct error *err);
static void judge(const struct plan *plan, struct move *move);
static bool forbids(const struct problem *problem, const struct problem_rule *rule, int site);
static void write_plan(struct plan *plan, struct json_out *json);
static void write_moves(const struct plan *plan, struct json_out *json);
static void write_move(const struct plan *plan, const struct move *move, struct json_out *json);
static void write_why(const struct plan *plan, const struct move *move, nusd score_change,
                      struct json_out *json);
static void write_conflict(const struct plan *plan, struct json_out *json);
static void write_groups(const struct plan *plan, struct json_out *json);
static const char *said_of(const struct problem *problem, const struct problem_rule *rule);
static nusd sum_of(const struct plan *plan, const struct move *move, bool after, bool score,
                   bool migration);
static bool owns(const struct plan *plan, const struct cost_line *line, bool after, int app,
                 int workload);
static const struct move *first_move(const struct plan *plan, bool after, int app, int workload);
static const struct workload *workload_of(const struct plan *plan, const struct move *move,
                                          const struct app **ret_app);
static int64_t expected_us(const struct plan *plan, const struct move *move);
static int find_app(const struct cost_input *input, const struct app *app);
static int compare_us(const void *a, const void *b);

int service_plan_write(struct service_job *job, const struct solution *solution,
                       struct json_out *json, struct error *err)
{
    struct plan plan = {.job = job, .solution = solution};
    if (solution->status == SOLVE_OPTIMAL || solution->status == SOLVE_FEASIBLE) {
        int rc = service_solved_at(job, solution, &plan.at, err);
        if (rc == 0)
            rc = service_report(&job->input, plan.at, &job->arena, &plan.after, err);
        if (rc == 0)
            rc = find_moves(&plan, err);
        if (rc < 0)
            return rc;
    }
    write_plan(&plan, json);
    return 0;
}

static int find_moves(struct plan *plan, struct error *err)
{
    int parts = 1;
    for (int i = 0; i < plan->job->before.app_count; i++)
        parts += plan->job->before.apps[i].app->workload_count;
    /* Each workload of both sides may move and change its number of replicas. */
    plan->move_capacity = 2 * (parts + plan->job->problem.part_count);
    plan->moves = arena_array(&plan->job->arena, (size_t)plan->move_capacity, sizeof(struct move));
    if (plan->moves == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the moves of a plan");
    int rc = 0;
    for (int i = 0; rc == 0 && i < plan->job->input.app_count; i++)
        rc = find_app_moves(plan, i, err);
    return rc < 0 ? rc : find_removals(plan, err);
}

static int find_app_moves(struct plan *plan, int app, struct error *err)
{
    const struct service_job *job = plan->job;
    const struct app *after = job->input.apps[app].app;
    int before_app = find_app(&job->before, after);
    for (int k = 0; k < after->workload_count; k++) {
        const struct workload *workload = &after->workloads[k];
        struct move move = {
            .before_app = before_app,
            .before_workload = before_app < 0
                                   ? -1
                                   : app_workload(job->before.apps[before_app].app, workload->name),
            .after_app = app,
            .after_workload = k,
            .from = -1,
            .to = plan->at[cost_part(&job->input, app, k)].site,
            .replicas = workload->replicas,
            .rule = -1,
        };
        int had = 0;
        const struct workload *old = NULL;
        if (move.before_workload >= 0) {
            old = &job->before.apps[before_app].app->workloads[move.before_workload];
            move.from =
                job->before_at[cost_part(&job->before, before_app, move.before_workload)].site;
            had = move.from < 0 ? 0 : old->replicas;
        }
        struct move changed = move;
        changed.replicas = had < workload->replicas ? had : workload->replicas;
        bool version = old != NULL && workload_spec_hash(old) != workload_spec_hash(workload);
        int rc = 0;
        if (changed.replicas > 0 && (move.from != move.to || version)) {
            judge(plan, &changed);
            rc = add(plan, &changed, err);
        }
        if (rc == 0 && workload->replicas > had) {
            move.replicas = workload->replicas - had;
            move.from = -1;
            move.reason = REASON_START;
            rc = add(plan, &move, err);
        } else if (rc == 0 && workload->replicas < had) {
            move.replicas = had - workload->replicas;
            move.to = -1;
            move.reason = REASON_REMOVE;
            rc = add(plan, &move, err);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int find_removals(struct plan *plan, struct error *err)
{
    const struct service_job *job = plan->job;
    for (int i = 0; i < job->before.app_count; i++) {
        const struct app *before = job->before.apps[i].app;
        int after = find_app(&job->input, before);
        for (int k = 0; k < before->workload_count; k++) {
            int site = job->before_at[cost_part(&job->before, i, k)].site;
            if (site < 0 || (after >= 0 && app_workload(job->input.apps[after].app,
                                                        before->workloads[k].name) >= 0))
                continue;
            struct move move = {.before_app = i,
                                .before_workload = k,
                                .after_app = -1,
                                .after_workload = -1,
                                .from = site,
                                .to = -1,
                                .replicas = before->workloads[k].replicas,
                                .reason = REASON_REMOVE,
                                .rule = -1};
            int rc = add(plan, &move, err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

static int add(struct plan *plan, const struct move *move, struct error *err)
{
    if (plan->move_count == plan->move_capacity)
        return error_set(err, ERR_LIMIT, 0, "a plan has more than %d moves", plan->move_capacity);
    plan->moves[plan->move_count++] = *move;
    return 0;
}

/* Why a copy that runs is replaced: its site may not hold it any more, or is gone, or another one
 * is cheaper, or it is a new version in place. */
static void judge(const struct plan *plan, struct move *move)
{
    const struct service_job *job = plan->job;
    int part = cost_part(&job->input, move->after_app, move->after_workload);
    if (move->from == move->to) {
        move->reason = REASON_VERSION;
        return;
    }
    move->reason = REASON_SAVING;
    for (int i = 0; i < job->problem.rule_count; i++) {
        const struct problem_rule *rule = &job->problem.rules[i];
        if (rule->kind == RULE_CHOICES && rule->a == part &&
            forbids(&job->problem, rule, move->from)) {
            move->rule = i;
            move->reason = REASON_RETAG;
            break;
        }
    }
    const int64_t(*capacity)[RESOURCE_COUNT] =
        (const int64_t(*)[RESOURCE_COUNT])job->input.capacity;
    if (capacity != NULL && capacity[move->from][RESOURCE_CPU] < 0)
        move->reason = REASON_NODE_LOST;
}

/* True when the rule leaves its part no choice at the site. */
static bool forbids(const struct problem *problem, const struct problem_rule *rule, int site)
{
    const struct problem_part *part = &problem->parts[rule->a];
    for (int i = 0; i < part->choice_count; i++) {
        if (part->choices[i].site == site && rule->allowed[i])
            return false;
    }
    return true;
}

static void write_plan(struct plan *plan, struct json_out *json)
{
    const struct service_job *job = plan->job;
    const struct solution *solution = plan->solution;
    bool placed = solution->status == SOLVE_OPTIMAL || solution->status == SOLVE_FEASIBLE;
    json_open(json, NULL, '{');
    json_string(json, "status", solve_status_words[solution->status]);
    json_int(json, "state_version", (int64_t)job->state_version);
    bool changes = plan->move_count > 0 || job->without != NULL;
    if (job->instead != NULL) {
        int before = find_app(&job->before, job->instead);
        changes = changes || before < 0 ||
                  app_hash(job->before.apps[before].app) != app_hash(job->instead);
    }
    json_bool(json, "changes", changes);
    json_string(json, "text",
                solution->status == SOLVE_INFEASIBLE && solution->text[0] == 0
                    ? "these rules cannot hold together"
                    : solution->text);
    write_conflict(plan, json);
    write_moves(plan, json);
    service_total_write(json, "before", &job->before_report.total);
    if (placed) {
        service_total_write(json, "after", &plan->after.total);
        json_money(json, "bound_score", solution->bound_nusd);
        int64_t gap = solution->cost_nusd - solution->bound_nusd;
        int64_t cost = solution->cost_nusd < 0 ? -solution->cost_nusd : solution->cost_nusd;
        json_int(json, "gap_ppm", cost == 0 ? 0 : (int64_t)((__int128)gap * PPM / cost));
        service_lines_within(json, &job->input, &plan->after, NULL, LINES_BYTES);
    }
    json_close(json, '}');
}

static void write_conflict(const struct plan *plan, struct json_out *json)
{
    int count = plan->solution->conflict_count;
    if (plan->solution->status == SOLVE_INFEASIBLE) {
        json_bool(json, "irreducible", plan->solution->text[0] == 0);
        json_int(json, "conflict_count", count);
    }
    json_open(json, "conflict", '[');
    for (int i = 0; i < count && i < CONFLICT_MAX; i++)
        json_string(json, NULL, plan->job->problem.rules[plan->solution->conflict[i]].text);
    json_close(json, ']');
    if (count > GROUPED_MIN)
        write_groups(plan, json);
}

/* Many rules say the same of many workloads: each sentence once, with how often and an example. */
static void write_groups(const struct plan *plan, struct json_out *json)
{
    const struct problem *problem = &plan->job->problem;
    const int *conflict = plan->solution->conflict;
    struct {
        const char *text;
        int first;
        int count;
    } groups[GROUPS_MAX];
    int group_count = 0;
    for (int i = 0; i < plan->solution->conflict_count; i++) {
        const char *text = said_of(problem, &problem->rules[conflict[i]]);
        int at = 0;
        while (at < group_count && !str_equal(groups[at].text, text))
            at++;
        if (at == GROUPS_MAX)
            continue;
        if (at == group_count) {
            groups[at].text = text;
            groups[at].first = conflict[i];
            groups[at].count = 0;
            group_count++;
        }
        groups[at].count++;
    }
    json_open(json, "conflict_groups", '[');
    for (int i = 0; i < group_count; i++) {
        json_open(json, NULL, '{');
        json_string(json, "text", groups[i].text);
        json_int(json, "count", groups[i].count);
        json_string(json, "example", problem->rules[groups[i].first].text);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* Without whom it is said of; all capacities are one group. */
static const char *said_of(const struct problem *problem, const struct problem_rule *rule)
{
    if (rule->kind == RULE_CAPACITY)
        return rule->resource == RESOURCE_CPU ? "the vCPUs of a site" : "the memory of a site";
    if (rule->kind != RULE_CHOICES)
        return rule->text;
    const char *name = problem->parts[rule->a].name;
    size_t bytes = strlen(name);
    bool named = strncmp(rule->text, name, bytes) == 0 && rule->text[bytes] == ' ';
    return rule->text + (named ? bytes + 1 : 0);
}

static void write_moves(const struct plan *plan, struct json_out *json)
{
    int64_t sum_us = 0;
    int64_t longest_us = 0;
    int left_out = 0;
    json_open(json, "moves", '[');
    for (int i = 0; i < plan->move_count; i++) {
        int64_t us = expected_us(plan, &plan->moves[i]);
        sum_us += us * plan->moves[i].replicas;
        longest_us = us > longest_us ? us : longest_us;
        if (json->text == NULL || json->text->bytes < MOVES_BYTES)
            write_move(plan, &plan->moves[i], json);
        else
            left_out++;
    }
    json_close(json, ']');
    if (left_out > 0)
        json_int(json, "moves_left_out", left_out);
    /* As many handoffs at once as the policy allows, and none faster than the longest. */
    int at_once = plan->job->input.world->policy.moves_max;
    int64_t all_us = at_once > 0 ? sum_us / at_once : sum_us;
    json_int(json, "expected_us", all_us > longest_us ? all_us : longest_us);
}

static void write_move(const struct plan *plan, const struct move *move, struct json_out *json)
{
    const struct service_job *job = plan->job;
    const struct world *world = job->input.world;
    const struct app *app;
    const struct workload *workload = workload_of(plan, move, &app);
    nusd bill = sum_of(plan, move, true, false, false) - sum_of(plan, move, false, false, false);
    nusd score = sum_of(plan, move, true, true, false) - sum_of(plan, move, false, true, false);
    nusd once = sum_of(plan, move, true, false, true);
    json_open(json, NULL, '{');
    json_string(json, "namespace", app->namespace_);
    json_string(json, "app", app->name);
    json_string(json, "workload", workload->name);
    json_int(json, "replicas", move->replicas);
    json_string(json, "from", move->from < 0 ? "" : world->sites[move->from].name);
    json_string(json, "to", move->to < 0 ? "" : world->sites[move->to].name);
    json_string(json, "reason", handoff_reason_words[move->reason]);
    json_string(json, "handoff", handoff_class_words[workload->handoff]);
    json_bool(json, "proven", workload->contract);
    if (workload->handoff == HANDOFF_STATEFUL)
        json_bool(json, "kept", workload->checkpoint_us > 0);
    json_int(json, "expected_us", expected_us(plan, move));
    json_money(json, "bill_change", bill);
    json_money(json, "score_change", score);
    json_money(json, "migration_bill", once);
    write_why(plan, move, score, json);
    json_close(json, '}');
}

static void write_why(const struct plan *plan, const struct move *move, nusd score_change,
                      struct json_out *json)
{
    const struct service_job *job = plan->job;
    const struct world *world = job->input.world;
    const char *from = move->from < 0 ? "" : world->sites[move->from].name;
    const char *to = move->to < 0 ? "" : world->sites[move->to].name;
    char amount[MONEY_TEXT_BYTES];
    char text[2 * LIMIT_TEXT_BYTES + 2 * LIMIT_REF_BYTES];
    switch (move->reason) {
    case REASON_START:
        str_format(text, sizeof(text),
                   "%s: %s is where the whole plan costs least within the rules",
                   move->before_workload < 0 ? "new" : "not running yet", to);
        break;
    case REASON_REMOVE:
        str_format(text, sizeof(text), "no longer wanted at %s", from);
        break;
    case REASON_RETAG:
        str_format(text, sizeof(text), "%s, which %s does not offer",
                   move->rule < 0 ? "a rule" : job->problem.rules[move->rule].text, from);
        break;
    case REASON_NODE_LOST:
    case REASON_FAILED:
        str_format(text, sizeof(text), "no node is up at %s", from);
        break;
    case REASON_VERSION:
        str_format(text, sizeof(text), "its program or its settings change, at %s", to);
        break;
    case REASON_ASKED:
        str_format(text, sizeof(text), "it was asked for, at %s", to);
        break;
    case REASON_DRAIN:
        str_format(text, sizeof(text), "%s is being emptied", from);
        break;
    case REASON_LEASE:
        str_format(text, sizeof(text), "it owns again at %s, by a new epoch", to);
        break;
    case REASON_REGRET:
        str_format(text, sizeof(text), "its last move did not pay: back to %s", to);
        break;
    case REASON_SAVING:
        if (score_change < 0)
            str_format(text, sizeof(text), "its score falls by %s a month at %s",
                       money_format(-score_change, 2, amount), to);
        else
            str_format(text, sizeof(text), "the plan as a whole scores less with it at %s", to);
        break;
    }
    json_string(json, "why", text);
}

/* Of the lines that are this move's, on one side of the plan. A workload's lines are its first
 * move's, so that all moves together are the difference of the totals. */
static nusd sum_of(const struct plan *plan, const struct move *move, bool after, bool score,
                   bool migration)
{
    int app = after ? move->after_app : move->before_app;
    int workload = after ? move->after_workload : move->before_workload;
    const struct cost_report *report = after ? &plan->after : &plan->job->before_report;
    nusd sum = 0;
    if (app < 0 || workload < 0 || first_move(plan, after, app, workload) != move)
        return 0;
    for (int i = 0; i < report->line_count; i++) {
        const struct cost_line *line = &report->lines[i];
        if ((line->term == TERM_MIGRATION) == migration && owns(plan, line, after, app, workload))
            sum += score ? line->score : line->bill;
    }
    return sum;
}

/* A link's line stands under its callee; when only the caller moves, it is the caller's. */
static bool owns(const struct plan *plan, const struct cost_line *line, bool after, int app,
                 int workload)
{
    const struct cost_input *input = after ? &plan->job->input : &plan->job->before;
    if (line->app == app && line->workload == workload)
        return true;
    return service_line_touches(input, line, app, workload) &&
           first_move(plan, after, line->app, line->workload) == NULL;
}

static const struct move *first_move(const struct plan *plan, bool after, int app, int workload)
{
    for (int i = 0; i < plan->move_count; i++) {
        const struct move *move = &plan->moves[i];
        if ((after ? move->after_app : move->before_app) == app &&
            (after ? move->after_workload : move->before_workload) == workload)
            return move;
    }
    return NULL;
}

static const struct workload *workload_of(const struct plan *plan, const struct move *move,
                                          const struct app **ret_app)
{
    if (move->after_app >= 0) {
        *ret_app = plan->job->input.apps[move->after_app].app;
        return &(*ret_app)->workloads[move->after_workload];
    }
    *ret_app = plan->job->before.apps[move->before_app].app;
    return &(*ret_app)->workloads[move->before_workload];
}

/* Each part as the handoffs that have ended took for it (the median); a part that none has gone
 * through is guessed as half of the workload's own deadline for it. Linger and hold pass in full.
 */
static int64_t expected_us(const struct plan *plan, const struct move *move)
{
    const struct app *app;
    const struct workload *workload = workload_of(plan, move, &app);
    return service_expected_us(plan->job, workload, move->from, move->to);
}

int64_t service_expected_us(const struct service_job *job, const struct workload *workload,
                            int from, int to)
{
    const struct core_state *state = core_state(job->service->core);
    int64_t us = 0;
    bool measured;
    if (to >= 0)
        us += service_part_us(state, HANDOFF_STATE_STAGING, HANDOFF_STATE_REACHABLE, -1,
                              workload->start_timeout_us, &measured);
    if (from >= 0) {
        us += service_part_us(state, HANDOFF_STATE_DRAINING, HANDOFF_STATE_HELD, -1,
                              workload->drain_timeout_us, &measured);
        us += service_part_us(state, HANDOFF_STATE_STOPPING, HANDOFF_STATE_DONE, -1,
                              workload->stop_timeout_us, &measured);
    }
    if (from >= 0 && to >= 0) {
        int64_t rtt_us = cost_rtt_us(&job->input, from, to, &measured);
        us += (rtt_us > 0 ? rtt_us : 0) + GUESS_MARGIN_US + job->input.world->policy.healthy_min_us;
    }
    return us;
}

int64_t service_part_us(const struct core_state *state, enum handoff_state begin,
                        enum handoff_state end, int class_, int64_t deadline_us, bool *ret_measured)
{
    int64_t took[CORE_ENDED];
    size_t count = 0;
    uint64_t kept = state->ended_count < CORE_ENDED ? state->ended_count : CORE_ENDED;
    for (uint64_t i = 0; i < kept; i++) {
        const struct core_handoff *handoff = &state->ended[i];
        if (class_ >= 0 && (int)handoff->class_ != class_)
            continue;
        if (handoff->state == HANDOFF_STATE_DONE && handoff->entered[begin].us != 0 &&
            handoff->entered[end].us != 0)
            took[count++] = handoff->entered[end].us - handoff->entered[begin].us;
    }
    *ret_measured = count > 0;
    if (count == 0)
        return deadline_us / 2;
    qsort(took, count, sizeof(took[0]), compare_us);
    return took[count / 2];
}

static int find_app(const struct cost_input *input, const struct app *app)
{
    for (int i = 0; i < input->app_count; i++)
        if (str_equal(input->apps[i].app->name, app->name) &&
            str_equal(input->apps[i].app->namespace_, app->namespace_))
            return i;
    return -1;
}

static int compare_us(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
