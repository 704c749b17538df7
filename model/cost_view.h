/*
 * cost_view: two views of a placement that its ledger does not show: what each call waits for, and
 * which app puts how many bytes on which egress meter.
 *
 * A call's wait is the path's round trip with its factor and the time of its bytes, as the latency
 * term counts it; within a site it is 0. An account's meter of a rule is one, however its apps
 * weigh egress. Parts that are nowhere have no calls. Pure; memory from the arena. Any thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/cost.h"

struct cost_wait {
    int app;
    int link; /* of the app */
    bool users;
    int from_site;
    int to_site;
    int64_t calls_mhz; /* that travel it: only misses where it is `on_miss` */
    int64_t us;        /* of one call; -1: nothing tells it */
};

struct cost_volume {
    int app;
    int account;
    int rule;
    int64_t bytes; /* per month */
};

struct cost_view {
    struct cost_wait *waits;
    int wait_count;
    struct cost_volume *volumes; /* by account, rule, then app; none is 0 */
    int volume_count;
    int64_t *base_bytes; /* [account * egress_count + rule]: month to date; of meters met only */
};

int cost_view(const struct cost_input *input, const struct placement *at, struct arena *arena,
              struct cost_view *ret_view, struct error *err) WARN_UNUSED;
int cost_view_from(const struct cost_context *context, const struct placement *at,
                   struct arena *arena, struct cost_view *ret_view, struct error *err) WARN_UNUSED;

/* Of the calls of users, weighted by their rates: the mean and the quantile in ppm (PPM: the
 * longest). `app` -1: of all apps; -1 when there are none. */
int64_t cost_view_mean_us(const struct cost_view *view, int app);
int64_t cost_view_quantile_us(const struct cost_view *view, int app, int64_t ppm,
                              struct arena *scratch);
/* All waiting on the way, calls among workloads too, for one call of users. */
int64_t cost_view_whole_us(const struct cost_view *view, int app);
