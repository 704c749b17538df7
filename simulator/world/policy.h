/*
 * policy: where a run's workloads are to be: the production core's own judgement, or a simple rule
 * that it is compared with, or a user's own program.
 *
 *   solver        the production scheduler: core, cost model, solver, hysteresis, checks
 *   forecast      the same, told the rates of the coming hours as they were a day (a week) ago; a
 *                 step has to divide a day
 *   optimum       the solver without hysteresis: the best placement of every step's measures, to
 *                 the world's policy.solve_gap or POLICY_GAP_PPM
 *   stay          the best placement of the beginning, never moved
 *   all-cloud     the best placement in cloud sites, where rules allow one; all-edge: in edge sites
 *   one-provider  the best placement with one provider, which stays the one that is cheapest first
 *   greedy        workload by workload, each to the cheapest site with room, given those before it
 *   nearest       workload by workload from the users inwards, each to the site with room that is
 *                 the fewest milliseconds from its callers
 *   a program     placement by JSON lines (policy_program.h)
 *
 * All but the first two are asked for a whole placement, which is then carried out by the same core
 * with the same handoffs, and without any of its rules about when a move pays. A placement that
 * breaks a rule of an app is not one: the policy's answer is refused with the rule's sentence, and
 * everything stays. One thread.
 */
#pragma once

#include "model/cost.h"
#include "model/solver.h"
#include "simulator/world/scenario.h"

enum policy_kind {
    POLICY_SOLVER,
    POLICY_FORECAST,
    POLICY_OPTIMUM,
    POLICY_STAY,
    POLICY_CLOUD,
    POLICY_EDGE,
    POLICY_PROVIDER,
    POLICY_GREEDY,
    POLICY_NEAREST,
    POLICY_PROGRAM, /* the last */
    POLICY_COUNT
};
extern const char *const policy_words[];

int policy_kind(const char *name);                   /* enum policy_kind, or -1 */
const char *policy_list(char out[LIMIT_TEXT_BYTES]); /* all names, for messages */

struct chooser;

int policy_open(const struct scenario *scenario, const struct scenario_policy *what,
                struct solver *solver, struct chooser **ret_policy, struct error *err) WARN_UNUSED;
void policy_close(struct chooser *policy); /* NULL is accepted */
/* The core decides by itself, as in production. */
bool policy_is_core(const struct chooser *policy);
enum policy_kind policy_kind_of(const struct chooser *policy);

/* How near `optimum` has come: a solve of a large world takes minutes when it is to be the best. */
#define POLICY_GAP_PPM 1000 /* unless the world says another */
struct policy_gaps {
    int64_t placements;
    int64_t unproven; /* not proven to be the best ... */
    int64_t most_ppm; /* ... and by how much of its score the bound of the worst is below it */
};
struct policy_gaps policy_gaps(const struct chooser *policy);

/* The placement [part] that it wants for `input`, whose states say what is. 1: to[] is filled;
 * 0: it wants none, *err says why, and everything stays; or an error. */
int policy_place(struct chooser *policy, const struct cost_input *input, struct arena *arena,
                 struct placement *to, struct error *err) WARN_UNUSED;

/* The cheapest placement of `input` if nothing ran yet and every move were free, and a bound that
 * no placement is below. `restrict_to`: only choices at sites with true where a part has one; NULL:
 * all. `gap`: relative, good enough to stop at; 0: as far as the budgets reach. ERR_INVALID with
 * the rules: there is none. */
struct policy_best {
    struct placement *at;
    int64_t score_nusd;
    int64_t bound_nusd;
    bool proven;
};
int policy_best(struct solver *solver, const struct cost_input *input, const bool *restrict_to,
                double gap, struct arena *arena, struct policy_best *ret_best,
                struct error *err) WARN_UNUSED;
/* `input` as if nothing ran yet. */
int policy_unplaced(const struct cost_input *input, struct arena *arena,
                    struct cost_input *ret_input, struct error *err) WARN_UNUSED;
