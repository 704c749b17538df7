/* dual_climb: from starting prices to the best ones that can be found. */
#pragma once

#include "model/solve/dual_internal.h"

/* result->price[rows] holds the start; its choice[] has room. */
int dual_climb(struct dual *dual, const struct dual_options *options, struct dual_result *result,
               struct error *err) WARN_UNUSED;

/* Sweeps that the options allow; `most` unless they say. */
double dual_sweeps_max(const struct dual *dual, const struct dual_options *options, double most);
