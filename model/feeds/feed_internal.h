/*
 * feed_internal: what the readers of feed.h share. A reader has a state of its own behind `state`,
 * zeroed, of `state_bytes`; rows of a table come to on_row, values of JSON to on_json; `finish` is
 * called at the end of a whole text. Only model/feeds/ includes this.
 */
#pragma once

#include "base/arena.h"
#include "model/feeds/csv_scan.h"
#include "model/feeds/feed.h"
#include "model/feeds/json_scan.h"

#define FEED_FIELD_BYTES 256

struct feed_kind_row {
    size_t state_bytes;
    csv_sink *on_row;   /* a table */
    json_sink *on_json; /* or JSON; both have the feed as context */
    int (*finish)(struct feed *feed, struct error *err);
    void (*done)(struct feed *feed); /* may be NULL */
};
extern const struct feed_kind_row feed_aws_csv, feed_aws_json, feed_aws_savings, feed_azure,
    feed_gcp, feed_opencost, feed_skypilot;

struct feed {
    struct feed_options options;
    const struct feed_kind_row *row;
    struct csv_scan *csv;
    struct json_scan *json;
    void *state;
    bool known; /* something in it is as such a list has it */
    struct feed_counts counts;
    char next[LIMIT_PATH_BYTES * 2];
};

/* Gives an item out. Its region becomes lower case; one that is no name is a problem. */
int feed_give(struct feed *feed, struct feed_item *item, struct error *err) WARN_UNUSED;
/* The fields of a table's row that are wanted: the column of each, -1 for none, which is "". A row
 * of another width than the head is ERR_INVALID. */
int feed_fields(struct feed *feed, const struct csv_row *row, int width, const int *columns,
                int count, const char **ret_fields, struct error *err) WARN_UNUSED;
/* What leads to the next page, under its name in the list. */
int feed_keep_next(struct feed *feed, const char *name, const char *text,
                   struct error *err) WARN_UNUSED;
/* A text as a price; ERR_INVALID names the offer. */
int feed_price(const char *text, const char *sku, struct decimal *ret_price,
               struct error *err) WARN_UNUSED;
int feed_currency(const char *currency, const char *sku, struct error *err) WARN_UNUSED;
/* price / 10^digits, exactly. */
struct decimal feed_shifted(struct decimal price, int digits);
/* A whole number of units at the start of a text, "10240", "0.0"; false for anything else. */
bool feed_units(const char *text, int64_t *ret_units);
/* "16 GiB", "1,952 GiB", "16": GiB to bytes; false when it is none. */
bool feed_gib(const char *text, int64_t *ret_bytes);
/* "4", "0.5": vCPUs; false when it is none. */
bool feed_vcpu(const char *text, int64_t *ret_mcpu);
/* Copies what fits; what does not becomes "": nothing that counts here is that long. */
void feed_keep(char out[FEED_FIELD_BYTES], const char *text);

/* One priced offer of AWS, in JSON's and in the table's words alike. Absent ones are "". */
enum aws_field {
    AWS_SKU,
    AWS_FAMILY,
    AWS_TYPE,
    AWS_TYPE_FAMILY,
    AWS_VCPU,
    AWS_MEMORY,
    AWS_GPU,
    AWS_OS,
    AWS_SOFTWARE,
    AWS_CAPACITY,
    AWS_TENANCY,
    AWS_MARKET,
    AWS_VOLUME,
    AWS_REGION,
    AWS_FROM,
    AWS_TO,
    AWS_FROM_LOCATION,
    AWS_TO_LOCATION,
    AWS_TRANSFER,
    AWS_PRODUCT_FIELDS, /* those above are a product's */
    AWS_TERM = AWS_PRODUCT_FIELDS,
    AWS_LEASE,
    AWS_PURCHASE,
    AWS_CLASS,
    AWS_UNIT,
    AWS_PRICE,
    AWS_CURRENCY,
    AWS_BEGIN,
    AWS_END,
    AWS_EFFECTIVE,
    AWS_FIELDS
};

/* "Pre Installed S/W" and "preInstalledSw" are one: the field of a column or an attribute, or -1.
 */
int aws_field_of(const char *name);
/* Whether a product is one that counts, by its own fields. */
bool aws_counts(const char *const fields[AWS_PRODUCT_FIELDS]);
int aws_give(struct feed *feed, const char *const fields[AWS_FIELDS],
             struct error *err) WARN_UNUSED;
