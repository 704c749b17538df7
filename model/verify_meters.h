/*
 * verify_meters: what the verifier knows of meters: the volumes they can have, and how far below a
 * charge a price per byte is.
 *
 * Prices fall with volume, so that no single price proves much over a wide range of volumes: the
 * cheapest price is paid for none of the first bytes. So ranges are divided at the ends of tiers,
 * each with the price of its own chord, and the least of the parts' bounds is the bound
 * (verify.c). Double precision; memory from the arena; any thread.
 */
#pragma once

#include "base/arena.h"
#include "model/problem.h"

/* The volumes of a meter, in bytes above its base. */
struct verify_range {
    double least;
    double most;
};

/* What the choices and pairs of choices that no rule on one or two parts forbids can put on each
 * meter, each table on its own. False: no memory. */
bool verify_ranges(const struct problem *problem, struct arena *arena,
                   struct verify_range *ret_ranges) WARN_UNUSED;

double verify_charge(const struct problem_meter *meter, double volume);
/* The least of charge(v) - price * v in the range; adds to *magnitude what was added up. */
double verify_least(const struct problem_meter *meter, const struct verify_range *range,
                    double price, double *magnitude);
/* The price per byte between the ends of the range. */
double verify_chord(const struct problem_meter *meter, const struct verify_range *range);
/* Where in the range the charge is furthest above its chord, and by how much; 0: nowhere. */
double verify_bend(const struct problem_meter *meter, const struct verify_range *range,
                   double *ret_volume);
