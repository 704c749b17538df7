/*
 * scrape: the pages of many targets, asked for in time, read while they come, given to ingest.
 *
 * Each target has its own beat, begun at a point of its interval that its name decides, so that a
 * thousand do not ask at one instant. At most `concurrency` pages are under way. A page is read as
 * it arrives (LIMIT_PAGE_BYTES after unpacking, the target's timeout for all of it) and counts only
 * when it came whole with status 200: otherwise the target is down, with the reason, its last good
 * values stay what they were, and no other target notices. Redirects: three, never to another
 * scheme. The bearer token is read again for each page and never follows a redirect to another
 * host. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "metrics/probe/config.h"
#include "metrics/probe/ingest.h"
#include "metrics/probe/web.h"

struct scraper;

/* What is known of a target. */
struct target_health {
    bool up;                     /* its last page counted */
    int64_t tries;               /* pages asked for */
    int64_t failures;            /* that did not count */
    int64_t problems;            /* lines that could not be read, of the last page that counted */
    int64_t good_us;             /* when its last page counted; 0: never */
    int64_t duration_us;         /* of the last one, good or not */
    int64_t bytes;               /* of the last one, unpacked */
    struct ingest_counts counts; /* of the last one that counted */
    int code;                    /* enum error_code of the last failure; 0 when up */
    char text[LIMIT_TEXT_BYTES *
              2]; /* why it is down; or the first problem of a page that counted */
};

struct scraper_options {
    const struct probe_config *config;
    struct ingest *ingest;
    struct web *web;
    bool once;      /* each target one time, at once */
    int64_t now_us; /* monotonic */
    /* After each page; may be NULL. */
    void (*on_page)(void *context, int target, const struct target_health *health, bool changed);
    void *context;
};

int scraper_create(const struct scraper_options *options, struct scraper **ret_scraper,
                   struct error *err) WARN_UNUSED;
void scraper_destroy(struct scraper *scraper);
/* Starts what is due. */
void scraper_tick(struct scraper *scraper, int64_t now_us);
int64_t scraper_timeout_us(const struct scraper *scraper,
                           int64_t now_us);       /* -1: nothing to wait for
                                                   */
bool scraper_idle(const struct scraper *scraper); /* nothing is under way, nor will be (once) */
const struct target_health *scraper_health(const struct scraper *scraper, int target);
