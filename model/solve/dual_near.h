/* dual_near: a grid near some prices, condensed. */
#pragma once

#include "model/solve/dual_condense.h"
#include "model/solve/dual_tree.h"

/* By how much scaled prices must change, at least, until another assignment that is dearer by `gap`
 * is the part's best. */
float dual_ratio(const struct dual *dual, int part, double gap);

/* An assignment of an app that was best at some prices: a column of it from then on. */
struct dual_extra {
    struct dual_extra *next;
    int cell[]; /* [steps of the app] */
};

/* What dual_least_run said of the prices that are in dual->by. Its load is changed. */
struct dual_near {
    const double *scaled;
    const int *choice;
    const float *ratio;
    int64_t *load;
    int most;                  /* units wanted, about */
    double reach_max;          /* of the box */
    struct dual_extra **extra; /* [apps] */
};

int dual_near_condense(struct dual *dual, const struct dual_near *near, struct arena *arena,
                       struct dual_condensed *ret_condensed, struct error *err) WARN_UNUSED;

/* Remembers the best assignments, at the prices in dual->by, of the apps whose choice differs. At
 * most `most`; returns how many. */
int dual_extra_add(struct dual *dual, const int *choice, const int *other, int most,
                   struct dual_extra **extra);
