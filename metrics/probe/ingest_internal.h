/*
 * ingest_internal: the tables behind ingest.h, shared by ingest.c (pages and series) and
 * ingest_tally.c (tallies, and what is given out).
 */
#pragma once

#include "metrics/probe/ingest.h"
#include "metrics/sketch.h"

/* Instead of a tally's index: a series whose workload nobody tells, or tells badly. */
#define TALLY_HOMELESS UINT32_MAX
#define TALLY_REFUSED  (UINT32_MAX - 1)
#define TALLY_LAST     (UINT32_MAX - 2)

/* One series, as it was told last. */
struct series {
    uint64_t key;
    uint64_t histogram; /* of a bucket: what is the same for all its buckets */
    double bound;       /* of a bucket: its upper end; of an exponential one: its middle */
    double last;        /* NaN: nothing yet */
    double scale;
    int64_t start_ms; /* since when an OTLP counter counts; 0: not told */
    uint32_t tally;
    uint32_t seen_s;
    uint8_t part;
    bool single; /* a bucket with a count of its own, not a cumulative one */
};

/* What one instance of a workload told of one kind by one source. */
struct tally {
    struct names_identity identity;
    int kind; /* enum sample_kind; LATENCY_US has its values in `sketch` */
    enum names_source source;
    uint64_t hash;
    uint64_t life;
    uint32_t choice;
    uint32_t owner; /* the target that told it last */
    int64_t owner_us;
    int64_t told_us; /* last good value */
    int64_t total;
    double rest; /* of a counter: what was too little for a whole one */
    bool counter;
    bool fresh; /* in the list of news */
    bool used;
    uint8_t parts;
    /* of the page being committed */
    uint64_t page;
    double sum;
    uint8_t mask;
    bool poisoned;
    struct sketch sketch;
};

/* Which source tells a kind of a workload at a site. */
struct choice {
    uint64_t hash;
    enum names_source source;
    int64_t told_us;
};

/* Indices by hash, open addressing, at most half full. Two things with one hash of 64 bits are
 * taken for one. */
struct slot {
    uint64_t hash;
    uint32_t index; /* + 1; 0: free */
};
struct slots {
    struct slot *at;
    uint32_t count; /* a power of two */
    uint32_t used;
};

struct numbers {
    uint32_t *list;
    uint32_t count;
    uint32_t capacity;
};

struct ingest {
    char site[LIMIT_REF_BYTES];
    uint64_t life;
    uint32_t series_max;
    struct series *series;
    uint32_t series_count;
    uint32_t series_capacity;
    struct slots series_slots;
    struct tally *tallies;
    uint32_t tally_count;
    uint32_t tally_capacity;
    struct slots tally_slots;
    struct choice *choices;
    uint32_t choice_count;
    uint32_t choice_capacity;
    struct slots choice_slots;
    struct numbers news;        /* tallies with a new value */
    struct numbers sketch_news; /* and with values in their sketch */
    int sketches_given;
    uint32_t sketch_count; /* tallies with one */
    uint64_t pages;        /* number of the last one */
    uint64_t lives;
    int open_pages;
};

/* The tally of an identity, kind and source; made when there is none. */
int tally_of(struct ingest *ingest, const struct names_identity *identity,
             const struct names_reading *reading, int64_t now_us, uint32_t *ret_tally,
             struct error *err) WARN_UNUSED;
/* Takes the sum that a page made of it. False when it is none that can be true. */
bool tally_settle(struct ingest *ingest, uint32_t index, int64_t now_us, const char **ret_why);
/* `count` values of about `value` microseconds. */
void tally_spread(struct ingest *ingest, uint32_t index, double from_us, double to_us,
                  uint64_t count, int64_t now_us);

int slots_room(struct slots *slots, struct error *err) WARN_UNUSED; /* for one more */
void slots_put(struct slots *slots, uint64_t hash, uint32_t index); /* room was made */
bool slots_find(const struct slots *slots, uint64_t hash, uint32_t *ret_index);
bool numbers_add(struct numbers *numbers, uint32_t value);
/* Room for one more element of `bytes_each` in an array; doubles. */
int array_room(void **array, uint32_t count, uint32_t *capacity, size_t bytes_each,
               struct error *err) WARN_UNUSED;
