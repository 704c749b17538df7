/*
 * share_meter: who of several apps pays how much of one tiered meter.
 *
 * The tiers of an account add up over its apps, so what one app causes depends on who else is
 * there. Three answers, for the same volumes:
 *   marginal      what the bill would fall by without it; with falling tiers they add up to less
 *                 than the bill
 *   proportional  the bill divided by bytes
 *   shapley       the mean, over all orders in which the apps may have come, of what each added
 *                 when it came. The only division where everything is paid, equals pay the same,
 *                 who sends nothing pays nothing, and the shares of two meters add up (L. S.
 *                 Shapley, 1953). Between many small apps it comes close to the proportional one
 *                 (R. Aumann and L. S. Shapley, 1974).
 *
 * Exact for up to SHARE_EXACT apps with bytes, over all 2^n sets in integers; above, the mean of
 * seeded random orders, each with its reverse, and its standard error. Shares add up to the total
 * to the nano-dollar either way: what rounding leaves goes to the largest remainders, so equals may
 * differ by one nano-dollar. Pure; memory from the arena. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/types.h"

#define SHARE_EXACT 15

struct share_meter {
    const struct egress_tier *tiers;
    int tier_count;
    int64_t per_bytes;
    int64_t base_bytes;   /* on the meter before any of them */
    const int64_t *bytes; /* [app], >= 0 */
    int app_count;
};

struct share {
    nusd marginal;
    nusd proportional;
    nusd shapley;
    nusd spread; /* one standard error of shapley; 0: it is exact */
};

struct share_options {
    int orders; /* pairs of an order and its reverse; 0: 1,000 */
    uint64_t seed;
};

/* ret_shares is [app]. ERR_OVERFLOW past 9 billion dollars. */
int share_meter(const struct share_meter *meter, const struct share_options *options,
                struct arena *arena, struct share *ret_shares, nusd *ret_total, bool *ret_exact,
                struct error *err) WARN_UNUSED;

/* What `bytes` more than base_bytes cost; each tier is rounded once. */
int share_meter_charge(const struct share_meter *meter, __int128 bytes,
                       nusd *ret_charge) WARN_UNUSED;
