/*
 * cost_slice: a cost_input cut down to the apps and sites that a question is about, so that many
 * variations of it can be totalled quickly. What the rest of the plan puts on the egress meters
 * comes along as the volume that they start from, so that price tiers are met where they really
 * are.
 *
 * A slice owns copies of every value that a variation changes: sites' prices, round trips, egress
 * prices, weights, workloads, variants, curves, links, estimates (cost_knob.h turns them). Sites
 * and apps have indices of their own in a slice; placements are translated at its border.
 *
 * A slicer is what many slices of one input share. Both take memory from the caller's arena; the
 * tables of a total live in the slice's own scratch arena until cost_slice_done. One thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/cost_internal.h"

struct cost_slicer {
    const struct cost_context *context; /* of the whole */
    int64_t *volume; /* [account * egress_count + rule]: bytes of the whole plan; NULL: no tiers */
};

/* `at`: the whole placement that slices are part of. The slicer is good as long as the context. */
int cost_slicer_begin(const struct cost_context *context, const struct placement *at,
                      struct arena *arena, struct cost_slicer *ret_slicer,
                      struct error *err) WARN_UNUSED;

struct cost_slice {
    const struct cost_input *whole;
    struct cost_input input;
    struct world world;
    struct app *apps;        /* copies */
    struct estimate *values; /* copies: input.estimates.list */
    int *site_whole;         /* [site] */
    int *site_here;          /* [site of the whole] or -1 */
    int *app_whole;          /* [app] */
    int *part_whole;         /* [part] */
    int part_count;
    int64_t *base; /* [account * egress_count + rule]: what the rest of the plan adds; NULL: none */
    struct cost_frame frame;   /* of the copies: no variation changes more than numbers */
    struct cost_lookup lookup; /* of the copies */
    struct arena scratch;      /* of the last cost_slice_prepare, as what follows */
    struct cost_context context;
    int64_t *volume; /* [meter] */
};

/* `apps` and `sites`: those of the whole to keep; sites that the kept apps are at, now or in at[],
 * and those of their users are kept as well. */
int cost_slice_begin(const struct cost_slicer *slicer, const bool *apps, const bool *sites,
                     const struct placement *at, struct arena *arena, struct cost_slice *ret_slice,
                     struct error *err) WARN_UNUSED;
void cost_slice_done(struct cost_slice *slice); /* a zeroed one is accepted */

/* at[] of the whole as ret[] ([part]) of the slice; a site that is not kept becomes nowhere. */
void cost_slice_placements(const struct cost_slice *slice, const struct placement *at,
                           struct placement *ret);
/* Looks every value up anew; to be called after values were changed and before totals. */
int cost_slice_prepare(struct cost_slice *slice, struct error *err) WARN_UNUSED;
/* `at` ([part]) is of the slice; ret_stay may be NULL. */
int cost_slice_total(struct cost_slice *slice, const struct placement *at,
                     struct cost_total *ret_total, nusd *ret_stay, struct error *err) WARN_UNUSED;
/* The part of the slice that is `part` of the whole, or -1. */
int cost_slice_part(const struct cost_slice *slice, int part);
