/* dual_soft: one app of linked parts in a smoothed sweep. */
#pragma once

#include "model/solve/dual_tree.h"

#define DUAL_DRAWS 8 /* assignments drawn per divided app */

/* Adds to the lane's point. */
void dual_soft_app(const struct dual *dual, struct dual_lane *lane, int app, float heat);
/* What each cell of a part costs, scaled, in single precision; the least (dual_sweep.c). */
float dual_soft_fill(const struct dual *dual, int part, float *value);
