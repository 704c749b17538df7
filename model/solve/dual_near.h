/* dual_near: a grid near some prices, condensed. */
#pragma once

#include "model/solve/dual_condense.h"

/* By how much scaled prices must change, at least, until another assignment that is dearer by `gap`
 * is the part's best. */
float dual_ratio(const struct dual *dual, int part, double gap);

/* Of the prices of the last dual_least_run, with what it said: its load is changed. */
int dual_near(struct dual *dual, const double *scaled, const int *choice, const float *ratio,
              int64_t *load, int most, struct arena *arena, struct dual_condensed *ret_condensed,
              struct error *err) WARN_UNUSED;
