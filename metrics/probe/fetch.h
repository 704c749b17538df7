/*
 * fetch: one file from the web to the disk, whole or not at all: `berth-probe fetch`, which brings
 * price lists.
 *
 * Bytes go to OUT.part as the server sends them (gzip stays packed) and become OUT by a rename when
 * the last one is there. A transfer that is cut is taken up where it ended, by Range and If-Range,
 * also by a later call, as long as the server's strong ETag (kept in OUT.tag) says that it is the
 * same file; otherwise it begins anew. 429 and the 5xx that pass are tried again after what
 * Retry-After says (seconds or a date, at most wait_max_us), or after 0.2 s, doubled each time.
 * Redirects: five, never from https to http, never to another scheme, and none at all with a
 * secret header. Nothing of the environment is heard: no proxy, no netrc.
 *
 * Memory is libcurl's buffers, however large the file. One thread; blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

#define FETCH_TAG_BYTES 256

struct fetch_options {
    const char *url;
    const char *out;
    const char *etag;        /* of what the caller has: asked for with If-None-Match; "": none */
    const char *header_file; /* one line, "Name: value", kept out of arguments and messages; "" */
    const char *ca_file;     /* "": the system's */
    int64_t bytes_max;
    int64_t timeout_us;  /* of all of it */
    int64_t stall_us;    /* without a byte; whole seconds, at least one */
    int64_t wait_max_us; /* before one more try */
    int tries;           /* in a row that bring nothing */
    /* Now and then; `total` is -1 where it is not known. May be NULL. */
    void (*progress)(void *context, int64_t bytes, int64_t total);
    void *context;
};
void fetch_defaults(struct fetch_options *options);

struct fetch_result {
    bool modified; /* false: the caller's ETag still holds, and nothing was written */
    int64_t bytes;
    int tries;                  /* that were made */
    int resumed;                /* of them from where the one before ended */
    char etag[FETCH_TAG_BYTES]; /* of what came; "" when there is none */
};

/* The error's text names the URL, without its query, and the next step. */
int fetch(const struct fetch_options *options, struct fetch_result *ret_result,
          struct error *err) WARN_UNUSED;

/* What a Retry-After header says at an instant, in microseconds from then; -1 for nonsense. */
int64_t fetch_retry_after_us(const char *text, int64_t now_s);

/* `berth-probe fetch ...`: the exit code. argv[0] is "fetch". */
int fetch_main(int argc, char **argv);
