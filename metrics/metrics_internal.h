/*
 * metrics_internal: the tables that the files of metrics share.
 *
 * metrics.c takes batches: source -> instance -> claim. windows.c keeps the tables and adds up
 * claims over a window. suspect.c compares claims. estimate.c makes estimates of what is left.
 * Entries refer to one another by index; windows_make_way alone renumbers them.
 */
#pragma once

#include <string.h>

#include "base/clock.h"
#include "metrics/metrics.h"
#include "metrics/plausible.h"
#include "metrics/sketch.h"

#define STRETCHES     10 /* of a window: it slides by a tenth of its length */
#define INSTANCES_MAX (LIMIT_METRIC_SERIES / 4)
#define CLAIMS_MAX    (LIMIT_METRIC_SERIES / 8)
#define GROUPS_MAX    (LIMIT_METRIC_SERIES / 8)
#define SOURCES_MAX   (LIMIT_NODES + 64)
#define IDLE_US       (INT64_C(600) * US_PER_S)
#define DAY_US        (24 * US_PER_HOUR)

/* A hash table of indices into an array that others keep; at most half full. */
struct table {
    struct table_slot {
        uint64_t hash;
        int32_t entry; /* -1: free */
    } * slots;
    uint32_t size; /* a power of two */
};

struct source {
    char name[LIMIT_NAME_BYTES];
    char boot_id[BOOT_ID_BYTES];
    bool probe;
    uint64_t seq;
    int64_t boot_us;
    int64_t seen_us;
    struct plausible_clock clock;
    int first_instance; /* of its last batch; a guess, -1: none */
};

/* Counters have a place each in what is kept of an instance; memory, the one gauge among them, has
 * nothing to keep. */
#define COUNTERS 8
_Static_assert(SAMPLE_MEMORY_BYTES == 1 && SAMPLE_RTT_US == COUNTERS + 1, "the places of counters");
static inline int counter_place(int kind)
{
    return kind - (kind > SAMPLE_MEMORY_BYTES);
}

/* The last state of one instance's counters: two cache lines, of which a batch touches thousands.
 * All counters of an instance are read in one batch as a rule, and have one life; for one that is
 * not, `apart` is set and its own instant and life are in metrics.lags. */
struct instance {
    uint64_t hash;
    int claim;
    int row;         /* of the sink; -1: none */
    int next;        /* what came after it in its source's last batch; a guess, -1: none */
    uint8_t known;   /* of which counters there is a reading, by place */
    uint8_t present; /* of those: read at boot_us; else at before_us */
    uint8_t apart;   /* neither, or another life */
    int64_t seen_us;
    int64_t boot_us; /* of the source, when it was last read */
    int64_t before_us;
    uint64_t life;
    int64_t value[COUNTERS];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct instance) == 128, "the lines of an instance");

struct lag {
    int64_t boot_us;
    uint64_t life;
};

/* Kinds that workloads are measured by. Of a pair of sites only round trips are, which lie at the
 * first place: so a stretch is two cache lines, of which judging touches thousands. */
#define STRETCH_KINDS (SAMPLE_LATENCY_US_SUM + 1)
static inline int stretch_place(int kind)
{
    return kind == SAMPLE_RTT_US ? 0 : kind;
}

/* Sums of one stretch of a window. Of a pair, sum is the shortest. */
struct stretch {
    int64_t sum[STRETCH_KINDS];
    int64_t busy_us;              /* summed over instances: how long the CPU counters cover */
    int32_t count[STRETCH_KINDS]; /* of readings */
    int32_t pair;                 /* 1: of round trips */
    int64_t index;                /* now_us / length; -1: empty */
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct stretch) == 128, "the lines of a stretch");
/* Line by line: for more at once compilers take a string instruction, which takes longer than all
 * that is then added. */
static inline void stretch_clear(struct stretch *stretch, int64_t index)
{
    memset(stretch, 0, 64);
    memset((char *)stretch + 64, 0, 64);
    stretch->index = index;
}

/* In what a claim is not believed. ALL: its requests, and so whatever is said per request. */
enum doubt { DOUBT_ALL, DOUBT_HITS, DOUBT_LATENCY, DOUBT_COUNT };

/* What one source says of a (workload, site) or a pair of sites: a cache line. Its stretches are in
 * metrics.claim_stretches, its sketches in metrics.claim_sketches. */
struct claim {
    uint64_t hash;
    int source;
    int group; /* of the site, or the pair */
    int group_next;
    int all; /* group of the part at all sites; -1: a pair */
    int all_next;
    bool probe; /* so is its source */
    int64_t seen_us;
    int64_t doubt_until_us[DOUBT_COUNT]; /* 0: believed */
};
_Static_assert(sizeof(struct claim) == 64, "the line of a claim");

/* By halves of two windows: the present one and the one before count. */
struct claim_sketches {
    struct claim_sketch {
        int64_t index; /* now_us / window; -1: none yet */
        struct sketch sketch;
    } of[2];
};

enum group_kind { GROUP_SITE, GROUP_ALL, GROUP_PAIR };

/* Between which ends lies what all claims of a (workload, site) say in one stretch: a sum of
 * stretches lies between the ends of all of them, so that it need not be made to see that no two
 * are far apart. */
enum agreed { AGREED_CPU, AGREED_IN, AGREED_OUT, AGREED_LATENCY, AGREED_HITS, AGREED_REQUESTS };
#define AGREED_COUNT (AGREED_REQUESTS + 1)
struct agreement {
    int64_t index; /* the stretch; -1: it cannot be told of it */
    uint64_t who;  /* the same for the same claims */
    float low[AGREED_COUNT];
    float high[AGREED_COUNT];
};

struct group {
    uint64_t hash;
    int64_t seen_us;
    int64_t first_us;
    enum group_kind kind;
    int first;              /* claim; -1: none */
    int64_t doubt_until_us; /* of any claim in it */
    bool probed;            /* a probe's claim is among them */
    bool whole; /* all its sources have said as much in the stretch `heard_until` ends with as in
                   the one before; false: something of them each */
    bool told_whole;     /* estimates of it were of all that their stretches will hold, */
    int64_t told_us;     /* were made last, */
    int64_t told_until;  /* of the stretches before this one */
    int64_t heard_us;    /* when suspect.c looked whether all of them have spoken */
    int64_t heard_until; /* the stretch after the present one: they have, and agree; else less */
    int64_t sketched_at; /* the window of its claims' last sketch; -1: they have none */
    struct said {
        int64_t value; /* -1: never said */
        int64_t spread;
        int64_t at_us;
    } said[ESTIMATE_COUNT];
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char peer[LIMIT_REF_BYTES];
    struct agreement agreements[STRETCHES]; /* of a site, as suspect.c keeps them */
    /* Of all its nodes' claims, doubted or not. */
    _Alignas(64) struct stretch stretches[STRETCHES];
};

struct metrics {
    struct metrics_options options;
    struct table source_table, instance_table, claim_table, group_table;
    struct source *sources;
    struct instance *instances;
    struct lag (*lags)[COUNTERS]; /* one for each of instances */
    struct claim *claims;
    struct group *groups;
    int source_count, instance_count, claim_count, group_count;
    int source_room, instance_room, lag_room, claim_room, group_room;
    struct stretch (*claim_stretches)[STRETCHES]; /* one for each of claims */
    int claim_stretch_room;
    struct claim_sketches *claim_sketches; /* one for each of claims */
    int claim_sketch_room;
    int64_t step_us;   /* the length of a stretch */
    int previous;      /* the instance found last in this batch; -1: none yet */
    int expected;      /* what came after it in the batch before */
    int cursor;        /* of metrics_changed: the group where the next call goes on */
    int64_t judged_at; /* the stretch when claims were last compared */
    int64_t taken_us;  /* the last batch */
    int64_t asked_us;  /* metrics_changed was last asked */
    int64_t way_made_us;
    struct metrics_refusal refusal;
    struct stretch *scratch; /* of suspect.c: windows of PLAUSIBLE_SOURCES_MAX claims */
};

/* ---- metrics.c ---- */
void metrics_refuse(struct metrics *metrics, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- windows.c ---- */
int windows_create(struct metrics *metrics, struct error *err) WARN_UNUSED;
void windows_destroy(struct metrics *metrics);
/* Each finds an entry or makes one; -1: no room, and that has been refused with a sentence. They
 * may move the arrays and (windows_make_way) renumber all entries: no pointer, and no index but
 * what they return, outlives a call. */
int windows_source(struct metrics *metrics, const char *name, bool probe, int64_t now_us);
/* What the instances of a batch have in common, so that it is hashed once; zeroed at first. Texts
 * are known by their address. */
struct windows_names {
    const char *namespace_;
    const char *app;
    const char *segment;
    const char *site;
    uint64_t hash; /* 0: of nothing yet */
};
int windows_instance(struct metrics *metrics, int source, const struct message_sample *sample,
                     const char *site, struct windows_names *names, int64_t now_us);
int windows_pair(struct metrics *metrics, int source, const char *site, const char *peer,
                 int64_t now_us);
/* Where a reading is added: the claim's stretch, and those of its groups when it is a node's; a
 * pair has one group. Valid until the next call that may make an entry. */
struct windows_place {
    struct stretch *list[3];
    int count;
};
/* An instant and the stretch that it is in: divisions are made once for a batch. */
struct windows_now {
    int64_t us;
    int64_t index;
    int at; /* index % STRETCHES */
};
static inline struct windows_now windows_now(const struct metrics *metrics, int64_t now_us)
{
    int64_t index = now_us / metrics->step_us;
    return (struct windows_now){.us = now_us, .index = index, .at = (int)(index % STRETCHES)};
}
void windows_place(struct metrics *metrics, int claim, const struct windows_now *now,
                   struct windows_place *ret_place);
/* Has the memory fetched that a batch will want when instances and claims lie in its order, as they
 * do that were made by one. */
static inline void windows_expect(const struct metrics *metrics, int instance, int claim,
                                  const struct windows_now *now)
{
    const char *next = (const char *)(metrics->instances + instance + 2);
    const char *stretch = (const char *)&metrics->claim_stretches[claim + 2][now->at];
    __builtin_prefetch(next, 1);
    __builtin_prefetch(next + 64, 1);
    __builtin_prefetch(metrics->claims + claim + 2, 1);
    __builtin_prefetch(stretch, 1);
    __builtin_prefetch(stretch + 64, 1);
    if (claim + 1 >= metrics->claim_count || metrics->claims[claim + 1].all < 0)
        return;
    const struct group *groups[] = {&metrics->groups[metrics->claims[claim + 1].group],
                                    &metrics->groups[metrics->claims[claim + 1].all]};
    for (int i = 0; i < 2; i++) {
        __builtin_prefetch(groups[i], 1);
        __builtin_prefetch(&groups[i]->stretches[now->at], 1);
        __builtin_prefetch((const char *)&groups[i]->stretches[now->at] + 64, 1);
    }
}
struct sketch *windows_sketch(struct metrics *metrics, int claim, int64_t now_us);
/* The group of a pair or a site; -1: none. */
int windows_find(const struct metrics *metrics, enum group_kind kind,
                 const struct metrics_key *key);
static inline int windows_next(const struct metrics *metrics, const struct group *group, int claim)
{
    return group->kind == GROUP_ALL ? metrics->claims[claim].all_next
                                    : metrics->claims[claim].group_next;
}
static inline struct stretch *windows_stretches(const struct metrics *metrics, int claim)
{
    return metrics->claim_stretches[claim];
}
/* Adds to sums and counts; of pairs the shorter stays. `total` keeps its index. */
static inline void stretch_add(struct stretch *total, const struct stretch *one)
{
    typedef uint64_t sums __attribute__((vector_size(16), may_alias));
    typedef uint32_t counts __attribute__((vector_size(16), may_alias));
    _Static_assert(offsetof(struct stretch, busy_us) == 9 * 8 && STRETCH_KINDS == 9 &&
                       offsetof(struct stretch, count) == 80,
                   "sums and what is busy are five vectors, counts two and one more");
    if (__builtin_expect(one->pair != 0, 0)) {
        if (total->count[0] == 0 || (one->count[0] > 0 && one->sum[0] < total->sum[0]))
            total->sum[0] = one->sum[0];
        total->count[0] += one->count[0];
        total->pair = 1;
        return;
    }
    for (int i = 0; i < 5; i++)
        ((sums *)total)[i] += ((const sums *)one)[i];
    for (int i = 0; i < 2; i++)
        ((counts *)total->count)[i] += ((const counts *)one->count)[i];
    total->count[8] += one->count[8];
}
/* Adds the whole stretches of a window to those of `into`, by position; what is empty there (index
 * < 0) is all zeroes. */
void windows_add(const struct metrics *metrics, const struct stretch stretches[STRETCHES],
                 int64_t now_us, struct stretch into[STRETCHES]);
struct stretch windows_total(const struct stretch stretches[STRETCHES]);
/* The sum of a window's whole stretches: both of the above at once. */
struct stretch windows_window(const struct metrics *metrics,
                              const struct stretch stretches[STRETCHES], int64_t now_us);

/* ---- suspect.c ---- */
/* Compares claims: what they say of a stretch when it is over, all of them; and as soon as all that
 * are heard of one (workload, site) have spoken in it, whether they agree so far. */
void suspect_judge(struct metrics *metrics, int64_t now_us);
/* The stretch that the group's window may end before: the present one, or the next when all have
 * spoken in this one and agree. */
int64_t suspect_until(const struct metrics *metrics, const struct group *group, int64_t now_us,
                      bool *ret_whole);
static inline bool suspect_doubted(const struct claim *claim, enum doubt doubt, int64_t now_us)
{
    return claim->doubt_until_us[DOUBT_ALL] > now_us || claim->doubt_until_us[doubt] > now_us;
}
