/*
 * fit: a vCPU-hour and a GiB-hour from what whole shapes cost.
 *
 * Least squares of price = cpu x vCPUs + memory x GiB over all shapes of one region, each error
 * taken relative to its shape's price, so that small shapes count as much as large ones. Seven sums
 * hold everything, however many shapes pass by. Where the shapes do not tell the two apart (all of
 * one ratio) or a price would come out at or below 0, the shapes are divided in the ratio of GCP's
 * e2, the one list that prices both, as the built-in catalogue does.
 *
 * Doubles are used here and nowhere behind it: the results are rounded once, to 10^-9 dollars, half
 * to even, and a last bit that differs between machines is far below that. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/decimal.h"

struct fit {
    int64_t count;
    double cc, cm, mm, c, m; /* sums of products of (vCPUs / price) and (GiB / price) */
};

struct fit_result {
    struct decimal cpu;    /* USD per vCPU-hour */
    struct decimal memory; /* USD per GiB-hour */
    bool divided;          /* in the ratio of e2: the shapes do not tell the two apart */
    int64_t residual_ppm;  /* root of the mean square of the relative errors */
};

#define FIT_CPU_USD    0.021811 /* an e2's vCPU-hour in us-central1 */
#define FIT_MEMORY_USD 0.002923 /* and its GiB-hour */

/* The price is above 0. */
void fit_add(struct fit *fit, int64_t mcpu, int64_t memory_bytes, struct decimal price);
/* False when no shape was added, or prices are beyond what a decimal holds. */
bool fit_solve(const struct fit *fit, struct fit_result *ret_result);
