/*
 * prices: what differs between two worlds, and whom it touches: the parts of `berth prices diff`.
 * Everything is allocated in the caller's arena. Pure but for its memory; any thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/cost.h"
#include "model/types.h"

struct json_out;

/* One figure that differs. */
struct price_change {
    const char *what;   /* "aws/us-east-1", "egress aws-west-out", "round trip a - b" */
    const char *field;  /* "cpu", "tiers[1].price"; "" when the whole of it came or went */
    const char *before; /* "" where there was none */
    const char *after;
    bool comparable; /* both are numbers, the first above 0: */
    int64_t ppm;     /* by how much it grew, in millionths of what it was */
};

struct price_changes {
    struct price_change *list;
    int count;
};

int price_changes(const struct world *old, const struct world *now, struct arena *arena,
                  struct price_changes *ret_changes, struct error *err) WARN_UNUSED;

/* What a workload's lines come to, a month, where it is now. */
struct price_impact {
    const char *workload; /* "default/shop/front" */
    const char *site;     /* "": nowhere */
    nusd bill_before;
    nusd score_before;
    bool costed; /* the new world can tell what it costs: */
    nusd bill_after;
    nusd score_after;
};

struct price_impacts {
    struct price_impact *list;
    int count;
    const char **holes; /* what the new world lacks that these placements use */
    int hole_count;
    nusd bill_before; /* of all that the new world can cost */
    nusd bill_after;
};

/* `apps` run where their states say, by indices of the old world. Workloads that nothing touches
 * are left out. */
int price_impacts(const struct world *old, const struct world *now, const struct cost_app *apps,
                  int app_count, struct estimates estimates, struct arena *arena,
                  struct price_impacts *ret_impacts, struct error *err) WARN_UNUSED;
