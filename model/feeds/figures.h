/*
 * figures: what a price list comes to: the items of feed.h, gathered from all files and pages of
 * one import, as figures of sites.
 *
 * A figure is a vCPU-hour, a GiB-hour, a GiB-month, or the steps of what bytes to one place cost,
 * at one site and of one term. Shapes become vCPU-hours and GiB-hours by fit.h. What cannot be
 * believed of a list by itself makes the figure a problem, told in a sentence: an offer with two
 * prices, a unit that is missing, steps with a hole or without an end, a price below 0. Whether a
 * price is plausible beside yesterday's is for book.h.
 *
 * A whole cloud has about 60 regions, some thousand figures of 1.2 KB. Everything is in an arena of
 * its own. Pure; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "model/feeds/feed.h"

struct price_step {
    int64_t from; /* units of the month at which it begins; the first begins at 0 */
    struct decimal price;
};

struct figure {
    char site[LIMIT_REF_BYTES]; /* "aws/us-east-1" */
    enum feed_kind kind;        /* never FEED_SHAPE */
    enum feed_term term;
    char to[LIMIT_REF_BYTES]; /* FEED_EGRESS: as feed_item.to */
    int64_t per_bytes;        /* FEED_EGRESS */
    struct price_step steps[LIMIT_TIERS];
    int step_count;
    char effective[WALL_TEXT_BYTES]; /* as the list has it; "" */
    char source[LIMIT_TEXT_BYTES];
    char problem[LIMIT_TEXT_BYTES]; /* why it must not be used; "" */
};

struct figures_options {
    const char *provider; /* "aws" */
    const char *list;     /* "AWS price list": the beginning of every source */
};

struct figures_counts {
    int64_t shapes;   /* that went into fits */
    int64_t refused;  /* that cost nothing, or less, or cannot be used */
    int64_t unplaced; /* prices of bytes to a place that the list gives no region */
};

struct figures;

int figures_create(const struct figures_options *options, struct figures **ret_figures,
                   struct error *err) WARN_UNUSED;
void figures_destroy(struct figures *figures);
/* A feed_sink; the context is the figures. */
int figures_take(void *context, const struct feed_item *item, struct error *err);
/* After the last page: fits, sorts, judges. ERR_INVALID when nothing came of it. */
int figures_finish(struct figures *figures, const struct figure *const **ret_list, int *ret_count,
                   struct error *err) WARN_UNUSED;
struct figures_counts figures_counts(const struct figures *figures);
