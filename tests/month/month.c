#include "tests/month/month.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/doc.h"
#include "base/str.h"
#include "model/cost.h"
#include "scheduler/core/answers.h"
#include "tests/property/plan_check.h"

const char *const month_sites[MONTH_SITES] = {"edge/nyc", "gcp/us-east4", "gcp/us-central1",
                                              "aws/us-east-1"};
const char *const month_workloads[MONTH_WORKLOADS] = {"front", "model"};

/* A front end that users call, and a model that it calls. The edge costs twice a cloud's compute
 * and a tenth of its egress, so the model belongs there when many ask, and in the cloud when few
 * do. */
static const char app_text[] =
    "app: lens\n"
    "moves: auto\n"
    "workloads:\n"
    "  - name: front\n"
    "    contract: true\n"
    "    run: {driver: process, artifact: 'file:/bin/front', digest: "
    "'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}\n"
    "    resources: {cpu: 500m, memory: 256MiB}\n"
    "    tiers: [edge, cloud]\n"
    "    ready: {kind: contract}\n"
    "    calls: 900/s\n"
    "  - name: model\n"
    "    contract: true\n"
    "    run: {driver: process, artifact: 'file:/bin/model', digest: "
    "'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}\n"
    "    resources: {cpu: 4, memory: 8GiB}\n"
    "    tiers: [edge, cloud]\n"
    "    ready: {kind: contract}\n"
    "    calls: 900/s\n"
    "    state: 2GiB\n"
    "users:\n"
    "  - {name: people, site: client/us-east}\n"
    "links:\n"
    "  - {from: people, to: front, calls: 900/s, request: 300B, response: 2KB}\n"
    "  - {from: front, to: model, calls: 900/s, request: 600B, response: 300B}\n";

static void read_world(struct month *month);
static void answer(struct month *month);
static void answer_solve(struct month *month);
static void answer_checks(struct month *month);
static void note_moves(struct month *month);
static void refresh(struct month *month);
static int site_of(const char *name);

void month_open(struct month *month, uint64_t seed, void (*policy)(struct policy *policy))
{
    struct error err;
    memset(month, 0, sizeof(*month));
    struct fixture *f = &month->f;
    fixture_init_empty(f);
    f->now_us = INT64_C(1767225600) * US_PER_S; /* 2026-01-01 00:00 UTC */
    month->random = hash_u64(HASH_SEED, seed);
    arena_init(&month->arena, (size_t)256 << 20);
    struct solver_options options = {.program = BERTH_BINARY_DIR "/bin/berth-solve"};
    if (solver_open(&options, &month->solver, &err) < 0)
        fail_msg("%s", err.text);
    read_world(month);
    if (policy != NULL)
        policy(&month->world.policy);
    f->world = month->world;
    fixture_world(f);
    for (int i = 0; i < MONTH_SITES; i++) {
        char name[LIMIT_NAME_BYTES];
        str_format(name, sizeof(name), "n%d", i);
        int node = fixture_node_add(f, name, month_sites[i]);
        f->nodes[node].mcpu = 16000;
        f->nodes[node].memory_bytes = INT64_C(64) << 30;
        fixture_hello(f, node);
    }
    fixture_parse_app(f, app_text, &month->app);
    f->app = month->app;
    for (int i = 0; i < MONTH_WORKLOADS; i++)
        month_calls(month, i, 900000, 27000);
    fixture_apply(f, &month->app);
    assert_int_equal(f->reply_code, 0);
}

static void read_world(struct month *month)
{
    struct error err;
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    if (doc_read_file(BERTH_SOURCE_DIR "/examples/worlds/us.yaml", &doc, &err) < 0 ||
        world_from_doc(doc, &month->f.arena, &month->world, &err) < 0)
        fail_msg("%s", err.text);
}

void month_close(struct month *month)
{
    solver_close(month->solver);
    arena_done(&month->arena);
    fixture_done(&month->f);
}

void month_calls(struct month *month, int workload, int64_t calls_mhz, int64_t spread_mhz)
{
    struct estimate *estimate = NULL;
    for (int i = 0; i < month->estimate_count; i++) {
        if (str_equal(month->estimates[i].workload, month_workloads[workload]))
            estimate = &month->estimates[i];
    }
    if (estimate == NULL) {
        assert_true(month->estimate_count < MONTH_ESTIMATES);
        estimate = &month->estimates[month->estimate_count++];
    }
    memset(estimate, 0, sizeof(*estimate));
    estimate->kind = ESTIMATE_CALLS_MHZ;
    str_format(estimate->namespace_, sizeof(estimate->namespace_), "default");
    str_format(estimate->app, sizeof(estimate->app), "lens");
    str_format(estimate->workload, sizeof(estimate->workload), "%s", month_workloads[workload]);
    estimate->value = calls_mhz;
    estimate->spread = spread_mhz;
    estimate->observed_us = MONTH_DAY_US; /* all along: its prior hardly counts any more */
}

/* ---- time ---- */

void month_run(struct month *month, int64_t us)
{
    struct fixture *f = &month->f;
    int64_t until_us = f->now_us + us;
    for (;;) {
        int64_t next_us = core_deadline(f->core).us;
        int64_t refresh_us = month->refreshed_us + MONTH_REFRESH_US;
        if (refresh_us < f->now_us)
            refresh_us = f->now_us;
        if (next_us > until_us && refresh_us > until_us)
            break;
        if (refresh_us <= next_us) {
            f->now_us = refresh_us;
            refresh(month);
        } else {
            f->now_us = next_us;
            struct core_event tick = {.kind = CORE_TICK};
            fixture_step(f, &tick);
        }
        answer(month);
    }
    f->now_us = until_us;
}

static void refresh(struct month *month)
{
    struct fixture *f = &month->f;
    struct core_event event = {.kind = CORE_ESTIMATES};
    for (int i = 0; i < month->estimate_count; i++)
        month->estimates[i].at_us = f->now_us - month->stale_us;
    event.estimates.list = month->estimates;
    event.estimates.count = month->estimate_count;
    fixture_step(f, &event);
    month->refreshed_us = f->now_us;
}

static void answer(struct month *month)
{
    answer_checks(month);
    while (month->f.solve != 0)
        answer_solve(month);
    note_moves(month);
}

static void answer_solve(struct month *month)
{
    struct fixture *f = &month->f;
    struct arena *arena = &month->arena;
    struct cost_input input;
    struct cost_context *context;
    struct problem problem;
    struct solution solution;
    struct placement *now = NULL;
    struct error err = {0};
    arena_reset(arena);
    month->solves++;
    if (core_cost_input(f->core, NULL, NULL, arena, &input, &err) < 0 ||
        core_placement(f->core, &input, arena, &now, &err) < 0 ||
        cost_context_make(&input, NULL, NULL, arena, &context, &err) < 0 ||
        cost_problem_from(context, arena, &problem, &err) < 0 ||
        solver_call(month->solver, &problem, arena, &solution, &err) < 0)
        fail_msg("%s", err.text);
    char why[PLAN_WHY_BYTES];
    if (!plan_check_problem(&problem, &solution, why))
        fail_msg("%s", why);
    struct core_event event = {.kind = CORE_PLAN};
    event.plan.solve = f->solve;
    event.plan.version = f->solve_version;
    event.plan.status = solution.status;
    event.plan.score_plan_nusd = solution.cost_nusd;
    event.plan.bound_nusd = solution.bound_nusd;
    struct placement to[MONTH_WORKLOADS];
    assert_int_equal(problem.part_count, MONTH_WORKLOADS);
    assert_int_equal(solution.status, SOLVE_OPTIMAL);
    for (int i = 0; i < problem.part_count; i++)
        to[i] = cost_placement(&input, &problem, i, solution.choice[i]);
    if (core_answer_plan(context, &problem, now, to, arena, &event.plan, &err) < 0)
        fail_msg("%s", err.text);
    f->solve = 0;
    fixture_step(f, &event);
}

static void answer_checks(struct month *month)
{
    struct fixture *f = &month->f;
    if (month->checks_answered == f->check_count)
        return;
    month->checks_answered = f->check_count;
    struct core_event event;
    struct error err;
    arena_reset(&month->arena);
    int rc = core_answer_check(f->core, f->check.check.check, &month->arena, &event, &err);
    if (rc == ERR_NOT_FOUND)
        return;
    if (rc < 0)
        fail_msg("%s", err.text);
    fixture_step(f, &event);
}

static void note_moves(struct month *month)
{
    const struct core_state *state = core_state(month->f.core);
    for (; month->decisions_seen < state->decision_count; month->decisions_seen++) {
        const struct core_decision *decision =
            &state->decisions[month->decisions_seen % CORE_DECISIONS];
        if (decision->verdict != VERDICT_TAKEN)
            continue;
        assert_true(month->move_count < MONTH_MOVES);
        struct month_move *move = &month->moves[month->move_count++];
        *move = (struct month_move){.at_us = month->f.now_us, .reason = decision->reason};
        move->from = site_of(decision->from_site);
        move->to = site_of(decision->to_site);
        move->workload = str_equal(decision->workload, month_workloads[0]) ? 0 : 1;
    }
}

static int site_of(const char *name)
{
    for (int i = 0; i < MONTH_SITES; i++) {
        if (str_equal(month_sites[i], name))
            return i;
    }
    return -1;
}

int month_site(const struct month *month, int workload)
{
    return site_of(fixture_site(&month->f, month_workloads[workload]));
}

/* ---- chance ---- */

int64_t month_uniform(struct month *month, int64_t ppm)
{
    month->random = hash_u64(HASH_SEED, month->random + 1);
    return (int64_t)(month->random % (uint64_t)(2 * ppm + 1)) - ppm;
}

/* The sum of twelve uniform ones has a standard deviation of twice the half-width of one. */
int64_t month_normal(struct month *month, int64_t ppm)
{
    int64_t sum = 0;
    for (int i = 0; i < 12; i++)
        sum += month_uniform(month, ppm);
    return sum / 2;
}

/* ---- the truth ---- */

/* The core's own input with other estimates, both workloads at `site`. */
static void true_input(struct month *month, const int64_t *calls_mhz, const int *site,
                       struct estimate *estimates, struct cost_input *ret_input,
                       struct placement *ret_at)
{
    struct error err;
    if (core_cost_input(month->f.core, NULL, NULL, &month->arena, ret_input, &err) < 0)
        fail_msg("%s", err.text);
    for (int i = 0; i < MONTH_WORKLOADS; i++) {
        estimates[i] = month->estimates[i];
        estimates[i].value = calls_mhz[i];
        estimates[i].spread = 0;
        estimates[i].observed_us = 0;
        ret_at[i] = (struct placement){world_site(&month->world, month_sites[site[i]]), 0, i};
        ret_input->apps[0].states[i].now = ret_at[i];
        ret_input->apps[0].states[i].may_move = true;
    }
    ret_input->estimates = (struct estimates){estimates, MONTH_WORKLOADS};
}

struct month_cost month_cost(struct month *month, const int64_t *calls_mhz, const int *site)
{
    struct cost_input input;
    struct cost_report report;
    struct estimate estimates[MONTH_WORKLOADS];
    struct placement at[MONTH_WORKLOADS];
    struct error err;
    arena_reset(&month->arena);
    true_input(month, calls_mhz, site, estimates, &input, at);
    if (cost_explain(&input, at, &month->arena, &report, &err) < 0)
        fail_msg("%s", err.text);
    return (struct month_cost){report.total.score, report.total.bill};
}

nusd month_once(struct month *month, const int64_t *calls_mhz, const int *from, const int *to)
{
    struct cost_input input;
    struct cost_report report;
    struct estimate estimates[MONTH_WORKLOADS];
    struct placement at[MONTH_WORKLOADS];
    struct error err;
    arena_reset(&month->arena);
    true_input(month, calls_mhz, from, estimates, &input, at);
    for (int i = 0; i < MONTH_WORKLOADS; i++)
        at[i].site = world_site(&month->world, month_sites[to[i]]);
    if (cost_explain(&input, at, &month->arena, &report, &err) < 0)
        fail_msg("%s", err.text);
    return report.total.bill_term[TERM_MIGRATION];
}
