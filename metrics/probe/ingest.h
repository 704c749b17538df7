/*
 * ingest: series of many pages, followed from scrape to scrape, become the samples of workloads.
 *
 * What each series means is asked once (names.h) and kept under its hash. Counters are followed one
 * by one: growth is added to the tally of its workload and kind, a fall is a restart (growth from
 * 0), the first value is only a base. So a tally is a counter that never falls, whatever the
 * series behind it do: come, go, or begin anew. A gauge's tally is the sum of its series on the
 * last page. A histogram's buckets become a sketch of what came since the last batch.
 *
 * A page counts as a whole or not at all: its values wait until ingest_commit, and ingest_abort
 * forgets them. What is not a number, is below 0, too old or of the future, or told by two targets,
 * is refused, counted and named; the last good value stays what it was. Nothing is made up: what no
 * page told in a round is not in the samples of that round.
 *
 * Where families of several sources tell the same kind of a workload, the preferred one that is
 * still told counts, the others wait (names.h). A tally's `life` differs by source and by start of
 * the probe, so no difference is taken across them.
 *
 * Pure: instants come in. Memory: LIMIT_PROBE_SERIES series and as many tallies as they need; both
 * go when nothing told them for INGEST_IDLE_US. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/wire/messages.h"
#include "metrics/names.h"
#include "metrics/openmetrics.h"
#include "metrics/otlp.h"

#define INGEST_IDLE_US   (600 * US_PER_S)
#define INGEST_PREFER_US (60 * US_PER_S) /* a source is gone when it told nothing for so long */
#define INGEST_OLD_MS    (300 * INT64_C(1000)) /* a time on a page: not older, and not more */
#define INGEST_FUTURE_MS (60 * INT64_C(1000))  /* than that ahead */

struct ingest;
struct ingest_page;

struct ingest_options {
    const char *site; /* of what says no site */
    uint64_t life;    /* this run of the probe */
    int series_max;   /* 0: LIMIT_PROBE_SERIES */
};

/* What became of a page's series. */
struct ingest_counts {
    int64_t series;               /* that the page had */
    int64_t meant;                /* that mean something here */
    int64_t refused;              /* that were not used, although they mean something */
    int64_t homeless;             /* whose workload no label tells */
    char first[LIMIT_TEXT_BYTES]; /* why the first of these was not used; "" */
};

int ingest_create(const struct ingest_options *options, struct ingest **ret_ingest,
                  struct error *err) WARN_UNUSED;
void ingest_destroy(struct ingest *ingest);

/* A page of a target (any number that stays its own); pages of several may be open at once. `names`
 * must stay where it is until the page ends. `instance` is whose its series are that do not say. */
struct ingest_begin {
    uint32_t target;
    const struct names_config *names;
    const char *instance;
    int64_t now_us; /* monotonic */
    int64_t wall_ms;
};
int ingest_begin(struct ingest *ingest, const struct ingest_begin *begin,
                 struct ingest_page **ret_page, struct error *err) WARN_UNUSED;
/* A metric_handler, and the two of an otlp_handler; the context is the page. */
void ingest_sample(void *page, const struct metric_sample *sample);
void ingest_otlp_sample(void *page, const struct metric_sample *sample,
                        const struct otlp_nature *nature);
void ingest_otlp_exponential(void *page, const struct metric_sample *sample,
                             const struct otlp_nature *nature,
                             const struct otlp_exponential *buckets);
/* Each ends the page and frees it. */
struct ingest_counts ingest_commit(struct ingest_page *page, int64_t now_us);
void ingest_abort(struct ingest_page *page);

/* The samples of the tallies that were told since the last call, at most `max`; a tally is given
 * once. Texts live until the next call but ingest_sketches. `*ret_more`: there are more. */
int ingest_samples(struct ingest *ingest, int64_t now_us, struct message_sample *out, int max,
                   bool *ret_more);
/* The same of sketches. They are kept, and given again, until ingest_sketches_sent says that those
 * of the last call are with whom they were for. */
int ingest_sketches(struct ingest *ingest, int64_t now_us, struct message_sketch *out, int max,
                    bool *ret_more);
void ingest_sketches_sent(struct ingest *ingest);
bool ingest_has_news(const struct ingest *ingest);

/* Forgets what nothing told for INGEST_IDLE_US. No page may be open. */
void ingest_sweep(struct ingest *ingest, int64_t now_us);

struct ingest_totals {
    int64_t series;
    int64_t tallies;
    int64_t bytes; /* memory, about */
};
struct ingest_totals ingest_totals(const struct ingest *ingest);
