/*
 * whatif: what changed inputs would cost: a state (model/cost_state.h) and overrides
 * (model/override.h) become a scenario, berth-solve finds its best placement, and the cost model
 * tells both: today's placement under the changed inputs, and the best one.
 *
 * The same code as in production: cost_problem, berth-solve, cost_totals. Moving costs what it
 * costs and staying is preferred as the policy says, so a best placement is one that the scheduler
 * would go to, however long things have to rest. Scenarios are solved side by side by the pool's
 * workers; answers come in their own order, so results are put where they belong by index and are
 * the same for any number of workers.
 *
 * Amounts are nano-dollars a month; `bill` is without the one-off part of moving. One thread.
 */
#pragma once

#include <stdbool.h>

#include "model/cost_state.h"
#include "model/override.h"
#include "model/solver.h"

struct whatif_options {
    const char *program; /* berth-solve; NULL: beside the running program */
    int workers;         /* 0: one per processor */
    struct solve_limits limits;
};

struct whatif;
int whatif_open(const struct whatif_options *options, struct whatif **ret_whatif,
                struct error *err) WARN_UNUSED;
void whatif_close(struct whatif *whatif);
void cleanup_whatif(struct whatif **whatif);

/* Told now and then while scenarios are solved; true ends it all with ERR_STALE. */
typedef bool whatif_tick(void *context, int done, int count);
void whatif_on_tick(struct whatif *whatif, whatif_tick *tick, void *context);

#define WHATIF_CONFLICT 16 /* rules of a conflict that are told; the others are counted */

/* One scenario's answer. Arrays are in the arena that it was made with. */
struct whatif_answer {
    struct cost_input input; /* changed */
    enum solve_status status;
    char text[LIMIT_TEXT_BYTES];   /* why there is no better answer; "" */
    char broken[LIMIT_TEXT_BYTES]; /* the first rule that today's placement breaks then; "" */
    struct cost_total same;        /* of today's placement */
    struct placement *best;        /* [part]; NULL: there is none */
    struct cost_total total;       /* of it */
    nusd bound;                    /* no placement scores less; preference to stay included */
    nusd score;                    /* of the best one, as the bound counts */
    const char *conflict[WHATIF_CONFLICT];
    int conflict_count;
};

/* What a scenario is: the input of the index-th, in the arena. */
typedef int whatif_make(void *context, int index, struct arena *arena, struct cost_input *ret_input,
                        struct error *err);
/* An answer; its memory ends when this returns. */
typedef int whatif_take(void *context, int index, const struct whatif_answer *answer,
                        struct error *err);

struct whatif_batch {
    const struct placement *at;       /* [part]: today's */
    const struct cost_lookup *lookup; /* of an input with the same names as all; NULL: none */
    int count;
    whatif_make *make;
    whatif_take *take;
    void *context;
};
/* All of them. The first error ends it. */
int whatif_batch(struct whatif *whatif, const struct whatif_batch *batch,
                 struct error *err) WARN_UNUSED;

/* One of them, kept in the arena. */
int whatif_one(struct whatif *whatif, const struct cost_input *input, const struct placement *at,
               struct arena *arena, struct whatif_answer *ret_answer,
               struct error *err) WARN_UNUSED;
/* The same of an input whose values are looked up already; `meanwhile` is called once, while the
 * solver is at it. */
typedef int whatif_work(void *context, struct error *err);
int whatif_one_while(struct whatif *whatif, const struct cost_context *changed,
                     const struct placement *at, whatif_work *meanwhile, void *context,
                     struct arena *arena, struct whatif_answer *ret_answer,
                     struct error *err) WARN_UNUSED;

/* A state where nothing runs yet gets its best placement as today's. ERR_INVALID with the rules
 * that cannot hold together. */
int whatif_place(struct whatif *whatif, struct cost_state *state, struct arena *arena,
                 struct error *err) WARN_UNUSED;

bool whatif_is_placed(const struct whatif_answer *answer);
nusd whatif_bill(const struct cost_total *total); /* a month, without the one-off part */
int whatif_parts(const struct cost_input *input);
/* How many parts are elsewhere in b than in a. */
int whatif_moves(const struct cost_input *input, const struct placement *a,
                 const struct placement *b);
/* What the policy's preference to stay adds to the score of the moves, where the solver and the
 * bound count it; the cost model's total is without. */
nusd whatif_stay(const struct whatif_answer *answer);
/* (score - bound) / |score| in ppm, rounded up; 0 when it is proven, and only then. */
int64_t whatif_gap_ppm(const struct whatif_answer *answer);
