/*
 * prices_fetch: a price list from the web, by `berth-probe fetch` beside this program (libcurl
 * lives there alone). What was fetched before and is unchanged is not sent again. How far it has
 * come is told on standard error: on a terminal in one line, elsewhere every ten seconds. Ctrl-C
 * ends both; what has come so far is taken up by the next import. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

struct prices_fetch {
    const char *folder;   /* of the price book */
    const char *key_file; /* a header line for the request; NULL */
    const char *ca_file;  /* NULL: the system's */
    const char *program;  /* berth-probe; NULL: beside this one */
    bool quiet;           /* says nothing on standard error */
    int64_t timeout_us;   /* of one list */
    int fetched;          /* lists that came */
    int unchanged;        /* that were here */
    int64_t bytes;        /* that came, as sent */
};

/* The file is in `path`; its ETag, to be kept with prices_store_keep_etag once it was read to its
 * end, in `etag`. */
int prices_fetch(struct prices_fetch *fetch, const char *url, char path[LIMIT_PATH_BYTES],
                 char etag[LIMIT_TEXT_BYTES], struct error *err) WARN_UNUSED;
