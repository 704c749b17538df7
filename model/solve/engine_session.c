#include "model/solve/engine_session.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/dual_alts.h"
#include "model/solve/dual_follow.h"
#include "model/solve/refit.h"

#define WORKERS_MAX   64
#define GAP_USUAL     5e-4
#define POOR          10 /* gaps */
#define BYTES_MAX     ((size_t)8 << 30)
#define ALTS_MIN      1000 /* alternatives wanted, at least and per site */
#define ALTS_SITE     100
#define ALTS_TRIES    30
#define TRIALS_USUAL  30000
#define REFITS        6   /* tries, each with more trials than the last, and hotter */
#define VAIN          3   /* of these may meet nothing that fits */
#define GAINED        0.1 /* of what is above the bound, by a try: less, and others are spared */
#define TRIALS_GROW   2
#define HOT           30.0 /* changes per site open at first, and at last */
#define COLD          2.0
#define HOTTER        2.0
#define PRICES_SHARE  0.03 /* of the gap may be left in the prices, */
#define STAYING_SHARE 0.2  /* and spent on leaving apps where they are */

enum outcome { KEPT, FITTED, COLD_ANSWER };

/* All that one thread needs to answer a scenario. */
struct worker {
    struct engine_session *session;
    struct arena arena; /* as long as the session */
    struct dual_follow *follow;
    struct dual_alts alts;
    struct refit *refit;
    int *taken;    /* [group] */
    double *room;  /* [stride] */
    double *price; /* [stride] */
    int *trial;    /* [part] */
    int *choice;   /* [part] the answer */
    int64_t *load; /* [row] */
    struct engine_session_counts counts;
};

struct engine_session {
    struct grid base; /* its current is the base's placement */
    struct engine_session_options options;
    struct arena arena;
    struct engine_result solved; /* the base */
    double gap;                  /* good enough for a placement that is there already */
    double limit;                /* alternatives rise so much at most */
    bool follows;                /* else every scenario goes to the engine */
    int workers;
    struct worker *worker;
};

/* A run over many scenarios. */
struct run {
    struct engine_session *session;
    const struct engine_scenarios *scenarios;
    atomic_int next;
    atomic_bool failed;
    bool *cold; /* [scenario] is left to the engine */
    pthread_mutex_t mutex;
    struct error err;
    int rc;
};

struct server {
    struct run *run;
    struct worker *worker;
};

static int session_open(struct engine_session *session, struct error *err);
static int base_solve(struct engine_session *session, struct error *err);
static int base_take(struct engine_session *session, struct error *err);
static int worker_create(struct engine_session *session, struct worker *worker, struct error *err);
static int alts_wanted(const struct grid *grid);
static void limit_find(struct engine_session *session);
static int answer(struct worker *worker, const struct grid *grid, enum outcome *ret_outcome,
                  struct engine_result *ret_result, struct error *err);
static bool take(struct worker *worker, const struct grid *grid, const int *choice,
                 struct engine_result *result);
static void fit(struct worker *worker, const struct grid *grid,
                const struct dual_followed *followed, struct engine_result *result);
static double fit_begin(struct worker *worker, const struct grid *grid,
                        const struct dual_followed *followed, double spare);
static int cold_answer(struct engine_session *session, const struct grid *grid,
                       const struct engine_result *from, struct arena *arena,
                       struct engine_result *ret_result, struct error *err);
static double gap_of(const struct engine_result *result, double bound);
static bool is_good(const struct worker *worker, const struct engine_result *result);
static void *run_serve(void *argument);
static int run_cold(struct engine_session *session, const struct engine_scenarios *scenarios,
                    int index, struct error *err);

int engine_session_create(const struct grid *base, const struct engine_session_options *options,
                          struct engine_session **ret_session, struct error *err)
{
    if (options->threads < 0 || options->threads > WORKERS_MAX || !(options->gap >= 0) ||
        !(options->gap_poor >= 0) || !(options->trials >= 0)) {
        return error_set(err, ERR_INVALID, 0,
                         "%d threads, gap %g, gap_poor %g, trials %g: threads are 0 to %d, and "
                         "none of the others may be below 0",
                         options->threads, options->gap, options->gap_poor, options->trials,
                         WORKERS_MAX);
    }
    int rc = grid_check(base, err);
    if (rc < 0) {
        return rc;
    }
    struct engine_session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a session");
    }
    arena_init(&session->arena, BYTES_MAX);
    session->base = *base;
    session->options = *options;
    session->options.gap = options->gap > 0 ? options->gap : GAP_USUAL;
    session->options.gap_poor =
        options->gap_poor > 0 ? options->gap_poor : POOR * session->options.gap;
    rc = session_open(session, err);
    if (rc < 0) {
        engine_session_destroy(session);
        return rc;
    }
    *ret_session = session;
    return 0;
}

void engine_session_destroy(struct engine_session *session)
{
    if (session == NULL) {
        return;
    }
    for (int i = 0; i < session->workers; i++) {
        dual_follow_destroy(session->worker[i].follow);
        arena_done(&session->worker[i].arena);
    }
    arena_done(&session->arena);
    free(session);
}

const struct engine_result *engine_session_base(const struct engine_session *session)
{
    return &session->solved;
}

struct engine_session_counts engine_session_counts(const struct engine_session *session)
{
    struct engine_session_counts sum = {0};
    for (int i = 0; i < session->workers; i++) {
        const struct engine_session_counts *counts = &session->worker[i].counts;
        sum.kept += counts->kept;
        sum.fitted += counts->fitted;
        sum.cold += counts->cold;
        sum.sweeps += counts->sweeps;
    }
    return sum;
}

static int session_open(struct engine_session *session, struct error *err)
{
    int rc = base_solve(session, err);
    if (rc < 0) {
        return rc;
    }
    session->base.current = session->solved.choice; /* wins ties */
    session->gap = fmax(session->options.gap, session->solved.gap * (1 + 1e-9));
    int workers = session->options.threads > 0 ? session->options.threads : 1;
    session->worker = arena_array(&session->arena, (size_t)workers, sizeof(struct worker));
    if (session->worker == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d threads", workers);
    }
    session->follows = true;
    for (int i = 0; i < workers && rc == 0; i++) {
        session->workers++;
        rc = worker_create(session, &session->worker[i], err);
    }
    if (rc == ERR_LIMIT) { /* too many rows to follow: the engine answers all */
        session->follows = false;
        return 0;
    }
    if (rc == 0) {
        limit_find(session);
    }
    return rc;
}

static int base_solve(struct engine_session *session, struct error *err)
{
    struct engine_result *solved = &session->solved;
    const struct engine_session_options *options = &session->options;
    const struct grid *base = &session->base;
    if (options->price == NULL || options->start == NULL) {
        struct engine_options given = {.threads = options->threads,
                                       .seed = options->seed,
                                       .gap = options->gap,
                                       .moves_max = options->moves_max};
        int rc = engine_solve(base, &given, &session->arena, solved, err);
        if (rc == 0 && solved->status != SOLVE_OPTIMAL && solved->status != SOLVE_FEASIBLE) {
            return error_set(err, ERR_NOT_FOUND, 0, "the base of a session has no placement: %s",
                             solve_status_words[solved->status]);
        }
        return rc;
    }
    return base_take(session, err);
}

/* Prices and a placement that are known already: judged like any other. */
static int base_take(struct engine_session *session, struct error *err)
{
    struct engine_result *solved = &session->solved;
    const struct engine_session_options *options = &session->options;
    const struct grid *base = &session->base;
    size_t rows = (size_t)base->sites * (size_t)base->resources;
    size_t parts = (size_t)base->parts;
    *solved = (struct engine_result){.status = SOLVE_FEASIBLE, .part = -1};
    solved->price = arena_array(&session->arena, rows + 1, sizeof(double));
    solved->choice = arena_array(&session->arena, parts + 1, sizeof(int));
    int64_t *load = arena_array(&session->arena, rows + 1, sizeof(int64_t));
    if (solved->price == NULL || solved->choice == NULL || load == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d parts", base->parts);
    }
    memcpy(solved->price, options->price, rows * sizeof(double));
    memcpy(solved->choice, options->start, parts * sizeof(int));
    for (int part = 0; part < base->parts; part++) {
        if (solved->choice[part] < 0 || solved->choice[part] >= grid_cells(base, part)) {
            return error_set(err, ERR_INVALID, 0, "part %d starts at cell %d of %d", part,
                             solved->choice[part], grid_cells(base, part));
        }
    }
    grid_load_of(base, solved->choice, load);
    if (grid_broken(base, load, solved->choice) > 0) {
        return error_set(err, ERR_NOT_FOUND, 0,
                         "the placement that a session starts from breaks a rule");
    }
    int rc = dual_bound(base, solved->price, 1, &session->arena, NULL, &solved->bound_priced, err);
    solved->bound = solved->bound_priced;
    solved->cost = grid_cost_of(base, solved->choice);
    solved->gap = gap_of(solved, solved->bound);
    return rc;
}

static int worker_create(struct engine_session *session, struct worker *worker, struct error *err)
{
    const struct grid *base = &session->base;
    size_t parts = (size_t)base->parts;
    arena_init(&worker->arena, BYTES_MAX);
    worker->session = session;
    int rc = dual_follow_create(base, session->solved.price, &worker->arena, &worker->follow, err);
    if (rc < 0) {
        return rc;
    }
    const struct dual *dual = dual_follow_dual(worker->follow);
    rc = dual_alts_init(dual, 2 * alts_wanted(base), &worker->arena, &worker->alts, err);
    rc = rc == 0 ? refit_create(worker->alts.groups_max, worker->alts.count_max,
                                worker->alts.stride, &worker->arena, &worker->refit, err)
                 : rc;
    if (rc < 0) {
        return rc;
    }
    worker->taken = arena_array(&worker->arena, (size_t)worker->alts.groups_max + 1, sizeof(int));
    worker->room = arena_array(&worker->arena, worker->alts.stride + 1, sizeof(double));
    worker->price = arena_array(&worker->arena, worker->alts.stride + 1, sizeof(double));
    worker->trial = arena_array(&worker->arena, parts + 1, sizeof(int));
    worker->choice = arena_array(&worker->arena, parts + 1, sizeof(int));
    worker->load = arena_array(&worker->arena, dual->rows + 1, sizeof(int64_t));
    bool full = worker->taken == NULL || worker->room == NULL || worker->price == NULL ||
                worker->trial == NULL || worker->choice == NULL || worker->load == NULL;
    return full ? error_set(err, ERR_NO_MEMORY, 0, "no memory for %d parts", base->parts) : 0;
}

static int alts_wanted(const struct grid *grid)
{
    return grid->sites > ALTS_MIN / ALTS_SITE ? grid->sites * ALTS_SITE : ALTS_MIN;
}

/* The rise up to which the base has as many alternatives as are wanted. */
static void limit_find(struct engine_session *session)
{
    struct worker *worker = &session->worker[0];
    const struct grid *base = &session->base;
    struct dual *dual = dual_follow_dual(worker->follow);
    struct dual_followed followed;
    dual_follow_run(worker->follow, base, 1, -INFINITY, &followed);
    double low = 0;
    double high = INFINITY;
    double limit = dual->unit;
    for (int i = 0; i < ALTS_TRIES && dual->n > 0 && followed.possible; i++) {
        bool fits = dual_alts_find(dual, followed.price, followed.choice, limit, &worker->alts);
        int count = worker->alts.count - worker->alts.groups;
        if (fits && count >= alts_wanted(base) && count <= alts_wanted(base) * 5 / 4) {
            break;
        }
        bool more = fits && count < alts_wanted(base);
        low = more ? limit : low;
        high = more ? high : limit;
        limit = high < INFINITY ? (low + high) / 2 : 2 * limit;
    }
    session->limit = limit;
}

int engine_session_solve(struct engine_session *session, const struct grid *grid,
                         struct arena *arena, struct engine_result *ret_result, struct error *err)
{
    struct worker *worker = &session->worker[0];
    struct engine_result result;
    struct grid given = *grid;
    given.current = session->base.current;
    enum outcome outcome;
    int rc = answer(worker, &given, &outcome, &result, err);
    if (rc < 0) {
        return rc;
    }
    if (outcome == COLD_ANSWER) {
        return cold_answer(session, &given, &result, arena, ret_result, err);
    }
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    *ret_result = result;
    ret_result->choice = arena_array(arena, (size_t)grid->parts + 1, sizeof(int));
    ret_result->price = arena_array(arena, rows + 1, sizeof(double));
    if (ret_result->choice == NULL || ret_result->price == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d parts", grid->parts);
    }
    memcpy(ret_result->choice, result.choice, (size_t)grid->parts * sizeof(int));
    memcpy(ret_result->price, result.price, rows * sizeof(double));
    return 0;
}

/* What one thread can say of a scenario. COLD_ANSWER: the engine is to be asked, from the prices
 * and the placement that are in the result, if any. */
static int answer(struct worker *worker, const struct grid *grid, enum outcome *ret_outcome,
                  struct engine_result *ret_result, struct error *err)
{
    const struct engine_session *session = worker->session;
    bool follows = session->follows && dual_follow_fits(worker->follow, grid);
    int rc = follows ? grid_check_costs(grid, err) : grid_check(grid, err);
    if (rc < 0) {
        return rc;
    }
    struct engine_result result = {.status = SOLVE_NONE, .part = -1, .bound = -INFINITY};
    *ret_outcome = COLD_ANSWER;
    *ret_result = result;
    if (!follows) {
        worker->counts.cold++;
        return 0;
    }
    double enough = INFINITY;
    if (take(worker, grid, session->solved.choice, &result)) {
        enough = (double)result.cost - session->gap * fabs((double)result.cost);
    }
    struct dual_followed followed;
    dual_follow_run(worker->follow, grid, PRICES_SHARE * session->options.gap, enough, &followed);
    worker->counts.sweeps += followed.sweeps;
    if (!followed.possible) {
        worker->counts.cold++;
        return 0;
    }
    result.bound = followed.bound;
    result.bound_priced = followed.bound;
    result.price = (double *)followed.price;
    bool kept = result.choice != NULL && gap_of(&result, result.bound) <= session->gap;
    if (!kept) {
        (void)take(worker, grid, followed.choice, &result);
    }
    if (!kept && !is_good(worker, &result)) {
        fit(worker, grid, &followed, &result);
    }
    double gap = result.choice != NULL ? gap_of(&result, result.bound) : INFINITY;
    bool poor = !kept && !(gap <= session->options.gap_poor);
    worker->counts.cold += poor;
    worker->counts.kept += kept;
    worker->counts.fitted += !kept && !poor;
    *ret_outcome = poor ? COLD_ANSWER : kept ? KEPT : FITTED;
    result.gap = gap;
    result.status = gap <= 0 ? SOLVE_OPTIMAL : SOLVE_FEASIBLE;
    result.bound = gap <= 0 ? (double)result.cost : result.bound;
    *ret_result = result;
    return 0;
}

/* An assignment that keeps everything and is cheaper becomes the answer. */
static bool take(struct worker *worker, const struct grid *grid, const int *choice,
                 struct engine_result *result)
{
    grid_load_of(grid, choice, worker->load);
    if (grid_broken(grid, worker->load, choice) > 0) {
        return false;
    }
    int64_t cost = grid_cost_of(grid, choice);
    if (result->choice == NULL || cost < result->cost) {
        result->cost = cost;
        result->choice = worker->choice;
        memcpy(worker->choice, choice, (size_t)grid->parts * sizeof(int));
    }
    return true;
}

/* 0: no whole number is between. */
static double gap_of(const struct engine_result *result, double bound)
{
    double cost = (double)result->cost;
    return cost - bound < 1 ? 0 : (cost - bound) / fmax(fabs(cost), 1);
}

static bool is_good(const struct worker *worker, const struct engine_result *result)
{
    return result->choice != NULL && gap_of(result, result->bound) <= worker->session->options.gap;
}

/* From the minimiser at the prices to what fits the capacities. */
static void fit(struct worker *worker, const struct grid *grid,
                const struct dual_followed *followed, struct engine_result *result)
{
    struct engine_session *session = worker->session;
    struct dual *dual = dual_follow_dual(worker->follow);
    struct dual_alts *alts = &worker->alts;
    double limit = session->limit;
    bool fits = dual_alts_find(dual, followed->price, followed->choice, limit, alts);
    for (int i = 0; i < 6 && !fits; i++) {
        limit /= 2;
        fits = dual_alts_find(dual, followed->price, followed->choice, limit, alts);
    }
    if (!fits || alts->groups == 0) {
        return;
    }
    double good = session->options.gap * fabs(followed->bound);
    double stayed = fit_begin(worker, grid, followed, STAYING_SHARE * good);
    double unit = 0;
    for (int r = 0; r < grid->resources; r++) {
        unit += dual->mean[r] / grid->resources;
    }
    struct refit_problem problem = {.rows = alts->n,
                                    .stride = alts->stride,
                                    .groups = alts->groups,
                                    .first = alts->first,
                                    .rise = alts->rise,
                                    .take = alts->take,
                                    .room = worker->room,
                                    .price = worker->price,
                                    .unit = unit};
    double trials = session->options.trials > 0 ? session->options.trials : TRIALS_USUAL;
    double hot = HOT * dual->slots;
    int vain = 0;
    for (int i = 0; i < REFITS && vain < VAIN && !is_good(worker, result); i++) {
        struct refit_options options = {.seed = session->options.seed + (uint64_t)i,
                                        .trials = trials,
                                        .hot = hot,
                                        .cold = COLD * dual->slots,
                                        .enough = good - stayed};
        double sum;
        for (int group = 0; group < alts->groups; group++) {
            worker->taken[group] = alts->first[group];
        }
        trials *= TRIALS_GROW;
        hot *= HOTTER;
        if (!refit_run(worker->refit, &problem, &options, worker->taken, &sum)) {
            vain++;
            continue;
        }
        memcpy(worker->trial, followed->choice, (size_t)grid->parts * sizeof(int));
        for (int group = 0; group < alts->groups; group++) {
            dual_alts_put(dual, alts, group, worker->taken[group], worker->trial);
        }
        int64_t before = result->choice != NULL ? result->cost : INT64_MAX;
        (void)take(worker, grid, worker->trial, result);
        double over = (double)before - followed->bound;
        if (before < INT64_MAX && (double)(before - result->cost) < GAINED * over) {
            break;
        }
    }
}

/* Apps that are almost best where they are count as best there, up to `spare` in all; returns what
 * that costs. Then what is left of every row. */
static double fit_begin(struct worker *worker, const struct grid *grid,
                        const struct dual_followed *followed, double spare)
{
    const struct engine_session *session = worker->session;
    const struct dual *dual = dual_follow_dual(worker->follow);
    struct dual_alts *alts = &worker->alts;
    double stayed = 0;
    for (size_t k = 0; k < alts->n; k++) {
        size_t row = dual_row(dual, k);
        bool limited = grid->capacity[row] < (int64_t)REFIT_NO_LIMIT;
        worker->room[k] =
            limited ? (double)(grid->capacity[row] - followed->load[row]) : REFIT_NO_LIMIT;
        worker->price[k] = limited ? followed->price[row] : 0;
    }
    for (int group = 0; group < alts->groups; group++) {
        for (int i = alts->first[group] + 1; i < alts->first[group + 1]; i++) {
            double rise = alts->rise[i] - alts->rise[alts->first[group]];
            if (stayed + rise <= spare &&
                dual_alts_is(dual, alts, group, i, session->solved.choice)) {
                stayed += rise > 0 ? rise : 0;
                for (size_t k = 0; k < alts->n; k++) {
                    worker->room[k] -= alts->take[(size_t)i * alts->stride + k];
                }
                dual_alts_first(alts, group, i);
                break;
            }
        }
    }
    return stayed;
}

static int cold_answer(struct engine_session *session, const struct grid *grid,
                       const struct engine_result *from, struct arena *arena,
                       struct engine_result *ret_result, struct error *err)
{
    struct engine_options options = {.threads = session->options.threads,
                                     .seed = session->options.seed,
                                     .gap = session->options.gap_poor,
                                     .moves_max = session->options.moves_max,
                                     .price = from->price,
                                     .start = from->choice,
                                     .progress = session->options.progress,
                                     .context = session->options.context};
    return engine_solve(grid, &options, arena, ret_result, err);
}

int engine_session_run(struct engine_session *session, const struct engine_scenarios *scenarios,
                       struct error *err)
{
    struct run run = {.session = session, .scenarios = scenarios};
    run.cold = calloc((size_t)(scenarios->count > 0 ? scenarios->count : 0) + 1, sizeof(bool));
    if (run.cold == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d scenarios", scenarios->count);
    }
    (void)pthread_mutex_init(&run.mutex, NULL); /* cannot fail with these attributes */
    struct server server[WORKERS_MAX];
    pthread_t thread[WORKERS_MAX];
    int threads = 0;
    for (int i = 0; i < session->workers; i++) {
        server[i] = (struct server){&run, &session->worker[i]};
    }
    /* A thread that cannot be had is done without. */
    while (threads + 1 < session->workers &&
           pthread_create(&thread[threads], NULL, run_serve, &server[threads + 1]) == 0) {
        threads++;
    }
    (void)run_serve(&server[0]);
    for (int i = 0; i < threads; i++) {
        (void)pthread_join(thread[i], NULL);
    }
    (void)pthread_mutex_destroy(&run.mutex);
    int rc = run.rc < 0 ? error_set(err, run.rc, 0, "%s", run.err.text) : 0;
    for (int i = 0; i < scenarios->count && rc == 0; i++) {
        rc = run.cold[i] ? run_cold(session, scenarios, i, err) : 0;
    }
    free(run.cold);
    return rc;
}

static void *run_serve(void *argument)
{
    struct server *server = argument;
    struct run *run = server->run;
    struct worker *worker = server->worker;
    struct engine_session *session = run->session;
    const struct engine_scenarios *scenarios = run->scenarios;
    int number = (int)(worker - session->worker);
    while (!atomic_load(&run->failed)) {
        int index = atomic_fetch_add(&run->next, 1);
        if (index >= scenarios->count) {
            break;
        }
        struct grid grid = session->base;
        struct engine_result result;
        struct error err = {0};
        enum outcome outcome = COLD_ANSWER;
        int rc = scenarios->make(scenarios->context, index, number, &grid, &err);
        grid.current = session->base.current;
        rc = rc == 0 ? answer(worker, &grid, &outcome, &result, &err) : rc;
        if (rc < 0) {
            (void)pthread_mutex_lock(&run->mutex);
            run->err = run->rc == 0 ? err : run->err;
            run->rc = run->rc == 0 ? rc : run->rc;
            (void)pthread_mutex_unlock(&run->mutex);
            atomic_store(&run->failed, true);
        } else if (outcome == COLD_ANSWER) {
            run->cold[index] = true;
        } else {
            scenarios->take(scenarios->context, index, number, &grid, &result);
        }
    }
    return NULL;
}

/* GLPK, and the engine's own threads, are the calling thread's. */
static int run_cold(struct engine_session *session, const struct engine_scenarios *scenarios,
                    int index, struct error *err)
{
    struct worker *worker = &session->worker[0];
    struct engine_session_counts counts = worker->counts;
    struct grid grid = session->base;
    struct engine_result result;
    enum outcome outcome;
    int rc = scenarios->make(scenarios->context, index, 0, &grid, err);
    grid.current = session->base.current;
    rc = rc == 0 ? answer(worker, &grid, &outcome, &result, err) : rc;
    worker->counts = counts; /* it is counted already */
    if (rc < 0) {
        return rc;
    }
    struct arena arena;
    struct engine_result cold;
    arena_init(&arena, BYTES_MAX);
    rc = cold_answer(session, &grid, &result, &arena, &cold, err);
    if (rc == 0) {
        scenarios->take(scenarios->context, index, 0, &grid, &cold);
    }
    arena_done(&arena);
    return rc;
}
