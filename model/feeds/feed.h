/*
 * feed: the price lists that providers and tools publish, read as they stream by.
 *
 * A reader is fed the bytes of one file or page, in pieces of any size, and gives out items: the
 * few offers that mean something here (a general shape of Linux, shared, on demand or of a term; a
 * vCPU-hour; a GiB-hour; storage; a step of what bytes cost). Everything else is counted and passed
 * by. Nothing is judged here but the form: a currency that is not USD, a price that is no number
 * and JSON or a table that ends early are errors with the line or the offer; an item whose price
 * cannot be used (a unit that is missing) comes with a `problem`, for figures.h to hold back.
 *
 * | format | what is read | taken |
 * |---|---|---|
 * | FEED_AWS_CSV | an offer's index.csv: EC2, data transfer | shapes, gp3, egress; GBs in flat
 * memory | | FEED_AWS_JSON | an offer's index.json | the same; products that count are kept till
 * their terms | | FEED_AWS_SAVINGS | a region's Compute Savings Plans, no upfront | shapes by name,
 * for 1 and 3 years | | FEED_AZURE | a page of the Retail Prices API | shapes by name, blob
 * storage, egress | | FEED_GCP | a page of the Cloud Billing Catalog's SKUs | cores, RAM, disks,
 * egress, also between regions | | FEED_OPENCOST | custom prices, configs/default.json | vCPU, GiB,
 * storage, egress, flat | | FEED_SKYPILOT | a cloud's vms.csv | shapes, on demand and spot |
 *
 * docs/prices.md says what each meter is read as. Pure; prices are exact decimals; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/decimal.h"
#include "base/error.h"
#include "base/limits.h"

enum feed_format {
    FEED_AWS_CSV,
    FEED_AWS_JSON,
    FEED_AWS_SAVINGS,
    FEED_AZURE,
    FEED_GCP,
    FEED_OPENCOST,
    FEED_SKYPILOT,
    FEED_FORMATS
};

enum feed_kind {
    FEED_SHAPE,
    FEED_CPU,
    FEED_MEMORY,
    FEED_STORAGE,
    FEED_EGRESS,
    FEED_PLACE, /* no price: what the list calls a region where it names destinations, in `to` */
    FEED_KINDS
};
enum feed_term { FEED_ON_DEMAND, FEED_SPOT, FEED_ONE_YEAR, FEED_THREE_YEARS, FEED_TERMS };
extern const char *const feed_kind_words[];
extern const char *const feed_term_words[]; /* "on-demand", "spot", "1y", "3y" */

#define FEED_TIER_ENDLESS INT64_MAX
#define FEED_CALLED       "called:"

struct feed_item {
    enum feed_kind kind;
    enum feed_term term;
    const char *region; /* lower case: "us-east-1", "westus3" */
    const char *sku;    /* the provider's name of the offer */
    /* EGRESS: where bytes go: "internet", "zone" (another zone of the region), "aws/eu-west-1",
     * "americas", "emea", "apac", "oceania", "china"; "continent" and "region", the provider's
     * other regions of the same continent, and of all; "called:netherlands", those that a
     * FEED_PLACE of the same list gives that name. "" otherwise. */
    const char *to;
    struct decimal price; /* USD per hour of the shape, vCPU-hour, GiB-hour, GiB-month, per_bytes */
    int64_t mcpu;         /* SHAPE */
    int64_t memory_bytes; /* SHAPE */
    int64_t tier_from;    /* EGRESS: the step begins at so many units of the month */
    int64_t tier_up_to;   /* and ends at so many; FEED_TIER_ENDLESS; -1: the list does not say */
    int64_t per_bytes;    /* EGRESS: the unit; 2^30 or 10^9 as the constants below have it */
    const char *effective; /* as the list writes it, or "" */
    const char *problem;   /* NULL, or why the price cannot be used */
};

/* How each provider's meter of bytes counts a "GB": its own pages disagree for AWS, whose invoices
 * follow 2^30. One constant per meter, so that a correction is one line. */
#define FEED_AWS_GB_BYTES    (INT64_C(1) << 30)
#define FEED_AZURE_GB_BYTES  (INT64_C(1) << 30)
#define FEED_GCP_GIBY_BYTES  (INT64_C(1) << 30)
#define FEED_OPENCOST_BYTES  (INT64_C(1) << 30)
#define FEED_HOURS_PER_MONTH 730

/* Texts of an item are valid during the call. A negative code ends the reading with it. */
typedef int feed_sink(void *context, const struct feed_item *item, struct error *err);

struct feed_options {
    enum feed_format format;
    const char *region; /* for lists that name none (OpenCost); NULL otherwise */
    const char *family; /* GCP: the machine family, "E2"; NULL: that */
    feed_sink *sink;
    void *context;
};

struct feed_counts {
    int64_t bytes;
    int64_t offers; /* rows, items, SKUs, dimensions that were looked at */
    int64_t items;  /* given to the sink */
};

struct feed;

int feed_open(const struct feed_options *options, struct feed **ret_feed,
              struct error *err) WARN_UNUSED;
int feed_read(struct feed *feed, const char *text, size_t bytes, struct error *err) WARN_UNUSED;
/* The list was read to its end; refuses one that is cut, or that is no such list at all. */
int feed_end(struct feed *feed, struct error *err) WARN_UNUSED;
void feed_close(struct feed *feed); /* NULL is accepted */
struct feed_counts feed_counts(const struct feed *feed);
/* After feed_end: what leads to the next page, "" at the last: Azure's NextPageLink, GCP's
 * nextPageToken. */
const char *feed_next(const struct feed *feed);

/* What a shape's name says of it where the list says nothing: true when it is of a general family
 * whose memory per vCPU is published (AWS m, c, r from the fifth generation; Azure D, E, Fs). */
bool feed_shape_aws(const char *type, int64_t *ret_mcpu, int64_t *ret_memory_bytes);
bool feed_shape_azure(const char *size, int64_t *ret_mcpu, int64_t *ret_memory_bytes);
