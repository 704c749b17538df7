/*
 * cost_saving: what the moves between two placements save, how sure that is, and when it pays.
 *
 * Moves whose savings depend on each other (they share a link, a family, an apart rule or a
 * capacity that one leaves and the other takes) form a group and are judged together; a group is
 * worth its whole saving or nothing. The saving of a group: the score of `now` with every other
 * group done, minus the score of `plan`; so groups are judged at the margin of the whole plan.
 *
 * The spread is one standard error of the score's saving: every input that the group's lines use
 * (calls, hit ratio, CPU time, bytes, round trips) is moved by its own standard error, one at a
 * time, and the changes are added in squares: first-order propagation of independent errors (JCGM
 * 100:2008, section 5.1). An estimate brings its own error; a prior has policy.prior_error_ppm.
 * Confidence is the normal probability that the saving over the horizon exceeds the one-off cost.
 *
 * Pure: integers only (the normal distribution is a table), memory from the arena. Any thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/cost.h"

struct cost_move {
    int part;
    struct placement from;
    struct placement to;
    bool forced;        /* it cannot stay where it is; saving and confidence are of no interest */
    int group;          /* 0..; forced moves have -1 */
    nusd score_saving;  /* of the whole group, per month, without the one-off part */
    nusd bill_saving;   /* the same of the bill: negative when it costs more to be faster */
    nusd once;          /* the group's one-off bill: bytes, overlap, cold cache */
    nusd spread;        /* one standard error of score_saving */
    int64_t payback_us; /* once / score_saving; INT64_MAX: never */
    int64_t confidence_ppm;
};

/* The moves from `now` to `plan` (both [part]) of the context's input; `must[part]`: it is forced.
 */
int cost_moves(const struct cost_context *context, const struct placement *now,
               const struct placement *plan, const bool *must, struct arena *arena,
               struct cost_move **ret_moves, int *ret_count, struct error *err) WARN_UNUSED;

/* Probability in ppm that a normal variable with this mean and standard error is above 0. */
int64_t cost_confidence_ppm(nusd mean, nusd spread);
