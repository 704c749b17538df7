/*
 * prices_feed: the lists of one import, from files or from the web, read into figures.
 *
 * Which lists there are is the feed's: of AWS the region's EC2 table, its data transfer and, when
 * asked for, its Compute Savings Plans, found by the published chain of indexes; of Azure a query
 * for each service, page after page; of GCP the pages of its SKUs; of SkyPilot a cloud's vms.csv;
 * of OpenCost one file. Files may be gzip. A link to the next page must lead to the same server,
 * and never to a page that was read. The first list that fails ends it: nothing is half read. One
 * thread.
 */
#pragma once

#include "model/feeds/figures.h"
#include "scheduler/cli/options.h"
#include "scheduler/cli/prices_fetch.h"

#define PRICES_FEED_BYTES_MAX (INT64_C(256) << 30) /* of one list, unpacked */

struct prices_request {
    const char *feed; /* "aws", ... */
    const char *const *files;
    int file_count;
    const char *from;                  /* the base URL; NULL: the provider's own */
    const struct option_list *regions; /* only these count; none: all */
    const char *provider;              /* whose sites the list is about, where it does not say */
    const char *site;                  /* OpenCost: the site, "provider/region" */
    const char *family;                /* GCP; NULL: E2 */
    bool savings;                      /* AWS: Compute Savings Plans too */
    char own[LIMIT_NAME_BYTES];        /* the provider of `site`; set by prices_feed_check */
};

struct prices_totals {
    int lists;
    int64_t bytes; /* unpacked */
    int64_t offers;
    int64_t items;
};

/* Checks the words of a request before anything is done; the figures' options. */
int prices_feed_check(struct prices_request *request, struct figures_options *ret_options,
                      struct error *err) WARN_UNUSED;
int prices_feed_read(const struct prices_request *request, struct prices_fetch *fetch,
                     struct figures *figures, struct prices_totals *totals,
                     struct error *err) WARN_UNUSED;
