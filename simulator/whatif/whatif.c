#include "simulator/whatif/whatif.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "model/solver_session.h"

#define WORKERS_MAX 64
#define ARENA_BYTES ((size_t)4 << 30)
#define KEEP_BYTES  ((size_t)128 << 20) /* of a thousand apps; not touched by fewer */
#define TICK_MS     100
#define SESSION_MIN 4 /* scenarios of a batch that are worth a warm base */

/* A scenario under way. */
struct slot {
    struct asked *asked;
    bool busy;
    bool done;
    int index;
    struct arena arena;
    struct cost_input input;
    const struct cost_context *context;
    struct problem problem;
    struct whatif_answer answer;
    int rc;
    struct error err;
};

struct whatif {
    struct solver *solver;
    struct solve_limits limits;
    int slot_count;
    struct slot *slots;
    uint64_t last; /* job */
    whatif_tick *tick;
    void *tick_context;
    whatif_work *meanwhile; /* not done yet; NULL: none */
    void *meanwhile_context;
};

/* A batch under way. */
struct asked {
    struct whatif *whatif;
    const struct whatif_batch *batch;
    const struct cost_context *given; /* of its only scenario; NULL: each is made */
    struct solver_session *session;   /* on the first; NULL: each is solved by itself */
};

static int run(struct asked *asked, struct error *err);
static int begin(struct slot *slot, struct error *err);
static int submit(struct slot *slot, struct error *err);
static int judge_same(struct slot *slot, struct error *err);
static void on_solved(void *context, uint64_t id, const struct solution *solution);
static int keep(struct slot *slot, const struct solution *solution, struct error *err);
static int work_meanwhile(struct whatif *whatif, struct error *err);
static void wait_for_news(struct whatif *whatif);
static void abandon(struct whatif *whatif);

int whatif_open(const struct whatif_options *options, struct whatif **ret_whatif, struct error *err)
{
    struct whatif *whatif = calloc(1, sizeof(*whatif));
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int workers = options->workers > 0 ? options->workers : (int)processors;
    workers = workers < 1 ? 1 : workers > WORKERS_MAX ? WORKERS_MAX : workers;
    if (whatif == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a what-if");
    whatif->limits = options->limits;
    /* One more than there are workers: the next problem is built while they solve. */
    whatif->slot_count = workers + 1;
    whatif->slots = calloc((size_t)whatif->slot_count, sizeof(*whatif->slots));
    struct solver_options pool = {
        .program = options->program, .workers = workers, .wall_max_us = SOLVE_TIME_MAX_US};
    int rc = whatif->slots == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory for a what-if")
                                   : solver_open(&pool, &whatif->solver, err);
    if (rc < 0) {
        whatif_close(whatif);
        return rc;
    }
    for (int i = 0; i < whatif->slot_count; i++) {
        arena_init(&whatif->slots[i].arena, ARENA_BYTES);
        arena_keep(&whatif->slots[i].arena, KEEP_BYTES); /* the next scenario takes as much */
    }
    *ret_whatif = whatif;
    return 0;
}

void whatif_close(struct whatif *whatif)
{
    if (whatif == NULL)
        return;
    if (whatif->solver != NULL)
        solver_close(whatif->solver);
    for (int i = 0; whatif->slots != NULL && i < whatif->slot_count; i++)
        arena_done(&whatif->slots[i].arena);
    free(whatif->slots);
    free(whatif);
}

void cleanup_whatif(struct whatif **whatif)
{
    whatif_close(*whatif);
}

void whatif_on_tick(struct whatif *whatif, whatif_tick *tick, void *context)
{
    whatif->tick = tick;
    whatif->tick_context = context;
}

int whatif_batch(struct whatif *whatif, const struct whatif_batch *batch, struct error *err)
{
    struct asked asked = {.whatif = whatif, .batch = batch};
    return run(&asked, err);
}

static int run(struct asked *asked, struct error *err)
{
    struct whatif *whatif = asked->whatif;
    const struct whatif_batch *batch = asked->batch;
    int begun = 0;
    int taken = 0;
    int rc = 0;
    while (rc == 0 && taken < batch->count) {
        bool worked = false;
        for (int i = 0; i < whatif->slot_count && rc == 0; i++) {
            struct slot *slot = &whatif->slots[i];
            if (slot->busy && slot->done) {
                rc = slot->rc < 0 ? slot->rc
                                  : batch->take(batch->context, slot->index, &slot->answer, err);
                if (slot->rc < 0 && err != NULL)
                    *err = slot->err;
                slot->busy = false;
                taken++;
                worked = true;
            }
            if (rc == 0 && !slot->busy && begun < batch->count) {
                slot->asked = asked;
                slot->index = begun++;
                rc = begin(slot, err);
                worked = true;
            }
        }
        if (rc == 0 && whatif->tick != NULL &&
            whatif->tick(whatif->tick_context, taken, batch->count))
            rc = error_set(err, ERR_STALE, 0, "it was ended after %d of %d scenarios", taken,
                           batch->count);
        if (rc == 0 && whatif->meanwhile != NULL)
            rc = work_meanwhile(whatif, err);
        else if (rc == 0 && !worked && taken < batch->count)
            wait_for_news(whatif);
    }
    if (rc < 0)
        abandon(whatif);
    solver_session_close(asked->session);
    return rc;
}

/* What whatif_one hands through a batch of one. */
struct single {
    const struct cost_input *input;
    struct arena *arena;
    struct whatif_answer *answer;
};

static int make_single(void *context, int index, struct arena *arena, struct cost_input *ret_input,
                       struct error *err)
{
    struct single *single = context;
    (void)index;
    (void)arena;
    (void)err;
    *ret_input = *single->input;
    return 0;
}

static int take_single(void *context, int index, const struct whatif_answer *answer,
                       struct error *err)
{
    struct single *single = context;
    (void)index;
    *single->answer = *answer;
    if (answer->best != NULL) {
        size_t bytes = (size_t)(whatif_parts(&answer->input) + 1) * sizeof(*answer->best);
        single->answer->best = arena_copy(single->arena, answer->best, bytes);
        if (single->answer->best == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for a placement");
    }
    for (int i = 0; i < answer->conflict_count && i < WHATIF_CONFLICT; i++) {
        single->answer->conflict[i] = arena_strdup(single->arena, answer->conflict[i]);
        if (single->answer->conflict[i] == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for a conflict");
    }
    return 0;
}

int whatif_one(struct whatif *whatif, const struct cost_input *input, const struct placement *at,
               struct arena *arena, struct whatif_answer *ret_answer, struct error *err)
{
    struct single single = {input, arena, ret_answer};
    struct whatif_batch batch = {
        .at = at, .count = 1, .make = make_single, .take = take_single, .context = &single};
    return whatif_batch(whatif, &batch, err);
}

int whatif_one_while(struct whatif *whatif, const struct cost_context *changed,
                     const struct placement *at, whatif_work *meanwhile, void *context,
                     struct arena *arena, struct whatif_answer *ret_answer, struct error *err)
{
    struct single single = {cost_context_input(changed), arena, ret_answer};
    struct whatif_batch batch = {
        .at = at, .count = 1, .make = make_single, .take = take_single, .context = &single};
    struct asked asked = {.whatif = whatif, .batch = &batch, .given = changed};
    whatif->meanwhile = meanwhile;
    whatif->meanwhile_context = context;
    int rc = run(&asked, err);
    /* A solver that was quicker left no time for it. */
    if (rc == 0)
        rc = work_meanwhile(whatif, err);
    whatif->meanwhile = NULL;
    return rc;
}

int whatif_place(struct whatif *whatif, struct cost_state *state, struct arena *arena,
                 struct error *err)
{
    struct whatif_answer answer;
    if (state->placed)
        return 0;
    int rc = whatif_one(whatif, &state->input, state->at, arena, &answer, err);
    if (rc < 0)
        return rc;
    if (!whatif_is_placed(&answer)) {
        char text[ERROR_TEXT_BYTES] = "";
        for (int i = 0; i < answer.conflict_count && i < 4; i++) {
            size_t used = strlen(text);
            (void)snprintf(text + used, sizeof(text) - used, "%s%.150s", i == 0 ? "" : "; ",
                           answer.conflict[i]);
        }
        return error_set(err, ERR_INVALID, 0,
                         "nothing can be placed before any change: %.500s%.150s",
                         answer.conflict_count > 0 ? "these rules cannot hold together: " : "",
                         answer.conflict_count > 0 ? text : answer.text);
    }
    state->at = answer.best;
    for (int i = 0, part = 0; i < state->input.app_count; i++)
        for (int k = 0; k < state->input.apps[i].app->workload_count; k++, part++)
            state->input.apps[i].states[k].now = answer.best[part];
    state->placed = true;
    return 0;
}

bool whatif_is_placed(const struct whatif_answer *answer)
{
    return answer->status == SOLVE_OPTIMAL || answer->status == SOLVE_FEASIBLE;
}

nusd whatif_bill(const struct cost_total *total)
{
    return total->bill - total->bill_term[TERM_MIGRATION];
}

int whatif_parts(const struct cost_input *input)
{
    int parts = 0;
    for (int i = 0; i < input->app_count; i++)
        parts += input->apps[i].app->workload_count;
    return parts;
}

int whatif_moves(const struct cost_input *input, const struct placement *a,
                 const struct placement *b)
{
    int parts = whatif_parts(input);
    int moves = 0;
    for (int part = 0; part < parts; part++)
        moves += a[part].site != b[part].site || a[part].variant != b[part].variant;
    return moves;
}

nusd whatif_stay(const struct whatif_answer *answer)
{
    return answer->score - answer->total.score;
}

int64_t whatif_gap_ppm(const struct whatif_answer *answer)
{
    nusd size = answer->score < 0 ? -answer->score : answer->score;
    nusd gap = answer->score - answer->bound;
    if (answer->status == SOLVE_OPTIMAL || gap <= 0)
        return 0;
    return size == 0 ? PPM : (int64_t)((gap * PPM + size - 1) / size);
}

/* The scenario is made and judged where things are; then it is the pool's. */
static int begin(struct slot *slot, struct error *err)
{
    const struct asked *asked = slot->asked;
    const struct whatif_batch *batch = asked->batch;
    arena_reset(&slot->arena);
    slot->done = false;
    slot->rc = 0;
    struct cost_context *made = NULL;
    memset(&slot->answer, 0, sizeof(slot->answer));
    int rc = batch->make(batch->context, slot->index, &slot->arena, &slot->input, err);
    if (rc == 0 && asked->given == NULL)
        rc = cost_context_make(&slot->input, NULL, batch->lookup, &slot->arena, &made, err);
    slot->context = made != NULL ? made : asked->given;
    if (rc == 0)
        rc = cost_problem_from(slot->context, &slot->arena, &slot->problem, err);
    slot->answer.input = slot->input;
    if (rc == 0)
        rc = submit(slot, err);
    if (rc < 0)
        return rc;
    slot->busy = true;
    (void)solver_dispatch(asked->whatif->solver);
    return judge_same(slot, err); /* while a worker is at it */
}

/* Many scenarios of one problem are answered warm, from the first; proving each to the end is what
 * a session does not promise. */
static int submit(struct slot *slot, struct error *err)
{
    struct asked *asked = slot->asked;
    struct whatif *whatif = asked->whatif;
    if (asked->session == NULL && slot->index == 0 && asked->batch->count >= SESSION_MIN &&
        whatif->limits.gap > 0) {
        struct solver_session_options options = {.gap = whatif->limits.gap,
                                                 .time_max_us = whatif->limits.time_max_us};
        int rc =
            solver_session_open(whatif->solver, &slot->problem, &options, &asked->session, err);
        if (rc < 0)
            return rc;
    }
    whatif->last++;
    return asked->session != NULL
               ? solver_session_submit(asked->session, whatif->last, &slot->problem, on_solved,
                                       slot, err)
               : solver_submit_within(whatif->solver, whatif->last, &slot->problem, &whatif->limits,
                                      on_solved, NULL, slot, err);
}

static int judge_same(struct slot *slot, struct error *err)
{
    const struct placement *at = slot->asked->batch->at;
    int parts = slot->problem.part_count;
    int *choice = arena_array(&slot->arena, (size_t)parts + 1, sizeof(int));
    if (choice == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the choices of a placement");
    int rc = cost_totals_from(slot->context, at, &slot->arena, &slot->answer.same, NULL, err);
    if (rc < 0)
        return rc;
    if (!cost_choices(&slot->input, &slot->problem, at, choice)) {
        bool nowhere = false;
        for (int part = 0; part < parts; part++)
            nowhere = nowhere || at[part].site < 0;
        str_format(slot->answer.broken, sizeof(slot->answer.broken), "%s",
                   nowhere ? "not everything runs"
                           : "what shares a site now may not share it any more");
        return 0;
    }
    int broken = problem_broken_rule(&slot->problem, choice);
    if (broken >= 0)
        str_format(slot->answer.broken, sizeof(slot->answer.broken), "%s",
                   slot->problem.rules[broken].text[0] != 0
                       ? slot->problem.rules[broken].text
                       : "a site has less room than what is there takes");
    return 0;
}

static void on_solved(void *context, uint64_t id, const struct solution *solution)
{
    struct slot *slot = context;
    (void)id;
    slot->rc = keep(slot, solution, &slot->err);
    slot->done = true;
}

static int keep(struct slot *slot, const struct solution *solution, struct error *err)
{
    struct whatif_answer *answer = &slot->answer;
    int parts = slot->problem.part_count;
    answer->status = solution->status;
    str_format(answer->text, sizeof(answer->text), "%s", solution->text);
    answer->conflict_count = solution->conflict_count;
    for (int i = 0; i < solution->conflict_count && i < WHATIF_CONFLICT; i++) {
        answer->conflict[i] =
            arena_strdup(&slot->arena, slot->problem.rules[solution->conflict[i]].text);
        if (answer->conflict[i] == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for a conflict");
    }
    if (!whatif_is_placed(answer))
        return 0;
    answer->best = arena_array(&slot->arena, (size_t)parts + 1, sizeof(struct placement));
    if (answer->best == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a placement");
    for (int part = 0; part < parts; part++)
        answer->best[part] =
            cost_placement_from(slot->context, &slot->problem, part, solution->choice[part]);
    answer->score = solution->cost_nusd;
    answer->bound = solution->bound_nusd;
    return cost_totals_from(slot->context, answer->best, &slot->arena, &answer->total, NULL, err);
}

static int work_meanwhile(struct whatif *whatif, struct error *err)
{
    whatif_work *work = whatif->meanwhile;
    whatif->meanwhile = NULL;
    return work == NULL ? 0 : work(whatif->meanwhile_context, err);
}

static void wait_for_news(struct whatif *whatif)
{
    struct pollfd wait = {.fd = solver_fd(whatif->solver), .events = POLLIN};
    int64_t left_us = solver_timeout_us(whatif->solver);
    int ms =
        left_us >= 0 && left_us < TICK_MS * US_PER_MS ? (int)(left_us / US_PER_MS) + 1 : TICK_MS;
    (void)poll(&wait, 1, ms);
    (void)solver_dispatch(whatif->solver);
}

/* Jobs under way refer to their slots: each is ended and its answer waited for. */
static void abandon(struct whatif *whatif)
{
    bool waiting = true;
    for (uint64_t id = 1; id <= whatif->last; id++)
        (void)solver_cancel(whatif->solver, id);
    while (waiting) {
        waiting = false;
        for (int i = 0; i < whatif->slot_count; i++)
            waiting = waiting || (whatif->slots[i].busy && !whatif->slots[i].done);
        if (waiting)
            wait_for_news(whatif);
    }
    for (int i = 0; i < whatif->slot_count; i++)
        whatif->slots[i].busy = false;
}
