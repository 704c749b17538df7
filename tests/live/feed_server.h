/*
 * feed_server: an HTTP server on the loopback that serves price lists, well or badly, from a table
 * of the test's: path by path, with a fault where the test wants one. It knows Range with If-Range,
 * and If-None-Match, by the route's ETag. Threads of its own; one at a time per process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum feed_fault {
    FEED_GOOD,
    FEED_CUT,         /* the first answer ends in its middle */
    FEED_CUT_CHANGED, /* the same, and then the body and the ETag are others: `other` */
    FEED_CUT_ALWAYS,  /* each answer ends before its end; a resumed one too */
    FEED_BUSY,        /* 429 with Retry-After: 0, then 503 without, then good */
    FEED_DOWN,        /* 503 with a Retry-After of an hour, always */
    FEED_LOOP,        /* redirects to itself */
    FEED_HOP,         /* redirects to `other` */
    FEED_HANG,        /* sends its head, then nothing */
    FEED_LIAR,        /* cut, and then the rest begins elsewhere than it was asked to */
    FEED_GONE,        /* 404 */
    FEED_KEY,         /* 403 without the header "X-Key: secret" */
};

struct feed_route {
    const char *path;    /* with a '?' the whole target is compared, else what stands before it */
    const char *body;    /* NULL: `bytes` of a pattern */
    size_t bytes;        /* 0: strlen(body) */
    const char *etag;    /* NULL: none */
    const char *headers; /* more lines, each with \r\n; may be NULL */
    enum feed_fault fault;
    const char *other;
    int hits;    /* requests so far */
    int resumed; /* answered with 206 */
    int same;    /* with 304 */
};

/* Starts it for the table, whose end has no path; the port. Fails the cmocka test that asked. */
int feed_server_start(struct feed_route *routes);
void feed_server_stop(void);
/* The byte of a patterned body. */
char feed_server_byte(size_t at);
