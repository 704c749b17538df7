/*
 * override: one change of the inputs, as people write it: "price.egress.aws*=x2", "cache.hit=0.6",
 * "latency.client/web:edge/nyc=80ms", "remove.provider=gcp". Parsed from text, applied to a copy of
 * a cost_input: what-ifs, sweeps and the events of a simulation all turn the same screws.
 *
 *   PATH=VALUE    sets           PATH=xN     multiplies        PATH=+P%, PATH=-P%   adds a part
 *
 *   price.cpu|memory|storage.SITE   price.compute.SITE (cpu and memory; only relative)
 *   price.egress.RULE (by its name or its `from`; the price of the first tier that costs anything,
 *   the others in proportion; what is free before it stays free)
 *   price.*.SITE-OR-RULE            overhead.SITE   speed.SITE   capacity.cpu|memory.SITE
 *   latency.SITE:SITE               weights.WEIGHT[.APP]         policy.FIELD
 *   calls.WORKLOAD   cache.hit.WORKLOAD   cpu.WORKLOAD   bytes.request|response.WORKLOAD
 *   replicas.WORKLOAD   data.size|update.WORKLOAD
 *   remove.provider=NAME   remove.site=SITE   add.site=YAML of one entry of a world's `sites`
 *   retag.WORKLOAD=KEY:VALUE   move.WORKLOAD=FROM:TO (a provider or a site each; FROM may be *)
 *   slo[.WORKLOAD]=p95<80ms (no call of users may take longer, which every quantile then keeps)
 *
 * SITE, RULE, WORKLOAD are names with `*` and `?`, which match slashes too; left out: all. A
 * WORKLOAD is APP, APP/WORKLOAD, NAMESPACE/APP/WORKLOAD, or where no app is called so a workload's
 * name; the name of a split workload means all its parts, and calls that are set are theirs
 * together.
 *
 * A value that is measured changes along with its prior, so that the change is one of what the
 * model uses. Prices and factors are exact decimals (18 digits; beyond, rounded half to even);
 * integers are rounded half to even; a ratio ends at 1. An override that matches nothing is an
 * error that names the nearest. Pure; memory from the arena, in which the copy lives beside what it
 * shares with the original. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/decimal.h"
#include "base/error.h"
#include "model/cost.h"

enum override_kind {
    OVERRIDE_PRICE,
    OVERRIDE_OVERHEAD,
    OVERRIDE_SPEED,
    OVERRIDE_CAPACITY,
    OVERRIDE_LATENCY,
    OVERRIDE_WEIGHT,
    OVERRIDE_POLICY,
    OVERRIDE_CALLS,
    OVERRIDE_HIT,
    OVERRIDE_CPU,
    OVERRIDE_REQUEST,
    OVERRIDE_RESPONSE,
    OVERRIDE_REPLICAS,
    OVERRIDE_DATA_SIZE,
    OVERRIDE_DATA_UPDATE,
    OVERRIDE_REMOVE_PROVIDER,
    OVERRIDE_REMOVE_SITE,
    OVERRIDE_ADD_SITE,
    OVERRIDE_RETAG,
    OVERRIDE_MOVE,
    OVERRIDE_SLO,
    OVERRIDE_COUNT
};

enum override_price { PRICE_CPU, PRICE_MEMORY, PRICE_STORAGE, PRICE_EGRESS, PRICE_COUNT };

#define OVERRIDE_VALUE_BYTES 2048 /* an entry of `sites`, written in one line */
#define OVERRIDE_MAX         64   /* of one question */

struct override {
    enum override_kind kind;
    unsigned prices;             /* PRICE: bit per enum override_price */
    int index;                   /* CAPACITY: resource; WEIGHT: enum weight; POLICY: field */
    char glob[LIMIT_TEXT_BYTES]; /* what it is about; "*": all */
    char peer[LIMIT_REF_BYTES];  /* LATENCY: the other end; MOVE: where from */
    char to[LIMIT_REF_BYTES];    /* MOVE: where to; RETAG: the key */
    bool relative;
    struct decimal factor; /* when relative: x2 is 2, -10% is 0.9 */
    char value[OVERRIDE_VALUE_BYTES];
    char path[LIMIT_TEXT_BYTES]; /* as written: "price.egress.aws*" */
};

/* "PATH=VALUE"; ERR_INVALID names the field, the value and the rule. */
int override_parse(const char *text, struct override *ret_override, struct error *err) WARN_UNUSED;
/* The same with the two apart, as sweeps need it. */
int override_of(const char *path, const char *value, struct override *ret_override,
                struct error *err) WARN_UNUSED;
/* PATH times an exact factor. */
int override_times(const char *path, struct decimal factor, struct override *ret_override,
                   struct error *err) WARN_UNUSED;
/* The same path times another factor, without reading it again. */
void override_turn(struct override *override, struct decimal factor);

/* `input` with the changes made in their order. Sites keep their indices; new ones come last, and
 * removed ones stay, closed: what is there may only leave. ERR_NOT_FOUND: one matches nothing. */
int override_apply(const struct override *list, int count, const struct cost_input *input,
                   struct arena *arena, struct cost_input *ret_input,
                   struct error *err) WARN_UNUSED;
/* The same, for many changes of one input: `lookup` is of it (cost_lookup_make). */
int override_apply_to(const struct cost_lookup *lookup, const struct override *list, int count,
                      struct arena *arena, struct cost_input *ret_input,
                      struct error *err) WARN_UNUSED;

/* The present value of what a path is about: the first thing that it matches. For prices USD per
 * the unit that the text names; ERR_NOT_FOUND as above, ERR_UNSUPPORTED for what has no number. */
struct override_present {
    struct decimal value;
    char unit[LIMIT_NAME_BYTES];     /* "USD per GiB", "calls/s", "ratio", "ms" */
    char name[LIMIT_TEXT_BYTES * 2]; /* of the thing: "aws-internet" */
    int matched;                     /* how many things match */
};
int override_present(const char *path, const struct cost_input *input,
                     struct override_present *ret_present, struct error *err) WARN_UNUSED;
/* The same, for many paths. */
int override_present_in(const struct cost_lookup *lookup, const char *path,
                        struct override_present *ret_present, struct error *err) WARN_UNUSED;

/* `*` is any run of characters, `?` any one. */
bool override_matches(const char *glob, const char *name);
