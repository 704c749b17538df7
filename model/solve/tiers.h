/*
 * tiers: meters whose price falls with volume, in problems too large for couple.h.
 *
 * A grid (shape.h) knows a line below each meter's charge, over all volumes that are possible; what
 * tiers charge above it is a gap that no search closes. Here the volumes are divided. In a range
 * the line is the chord over it, and every assignment's volumes are in one of the ranges: the least
 * of their bounds is the bound of all. A range is the grid with other costs, so its prices follow
 * from those of the whole (engine_session.h), and its placement, judged with all tiers, is a
 * candidate. The range that proves least is divided next, at the end of the tier that is nearest
 * to its placement's volume of the meter that charges most above its line; until the least bound is
 * within `gap` of the best that is known. What cannot be divided any more is left to the engine,
 * once.
 *
 * A charge whose price falls is below any of its chords beyond the chord's ends: so a range needs
 * no price for staying in it. Where prices rise the bound is true too, but may stay low.
 *
 * Deterministic: ranges are counted. Memory from the arena; one thread.
 */
#pragma once

#include "model/solve/reduce.h"
#include "model/solve/shape.h"
#include "model/solve/watch.h"

struct tiers_options {
    double gap;          /* relative; good enough to stop at */
    const double *price; /* [row] that prove about the best of the whole grid */
    int ranges_max;      /* 0: a sensible number */
    double moves_max;    /* tried per part, where no range is to be divided any more */
    struct watch *watch; /* NULL: nothing ends it early */
};

struct tiers_result {
    int64_t cost;  /* of choice[] */
    int64_t bound; /* no assignment that keeps the rules is cheaper; INT64_MIN: none is proven */
    /* [row] of the range that the best placement is in: where a bound is to be nearest to its
     * cost. NULL: no range was looked at. */
    const double *price;
    int ranges; /* looked at */
};

/* `shape` is made of `reduced`, which has active meters. choice[part] of the problem keeps the
 * rules; the best that is known on return. What cannot be followed, for want of a start among the
 * open cells or by its size, is left as it is. ERR_NO_MEMORY. */
int tiers_solve(const struct reduced *reduced, const struct shape *shape,
                const struct tiers_options *options, struct arena *arena, int *choice,
                struct tiers_result *ret_result, struct error *err) WARN_UNUSED;
