/*
 * types: the words of Berth as plain structs: world, site, account, app, workload, variant,
 * segment, link, estimate, placement. Everything is integers: micro-seconds, bytes, milli-CPUs,
 * milli-hertz (events per 1000 s), parts per million, exact decimal prices. Arrays live in the
 * arena they were read into and are never changed afterwards, except through the functions of app.h
 * and world.h.
 *
 * References: a site by its index in its world (-1: none), a workload by its index in its app.
 * Names are unique where they stand; full names are "namespace/app/workload".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/decimal.h"
#include "base/limits.h"

#define PPM             INT64_C(1000000)
#define HOURS_PER_MONTH 730 /* the month that the large providers' price pages use */

struct tag {
    char key[LIMIT_NAME_BYTES];
    char value[LIMIT_NAME_BYTES];
};

struct tags {
    struct tag *list; /* sorted by key, keys unique */
    int count;
};

enum tier { TIER_CLIENT, TIER_EDGE, TIER_CLOUD, TIER_COUNT };
extern const char *const tier_words[];

enum resource { RESOURCE_CPU, RESOURCE_MEMORY, RESOURCE_COUNT }; /* milli-CPUs, bytes */

struct account {
    char name[LIMIT_NAME_BYTES];
    char provider[LIMIT_NAME_BYTES];
};

struct site {
    char name[LIMIT_REF_BYTES]; /* "gcp/us-central1" */
    enum tier tier;
    char provider[LIMIT_NAME_BYTES];
    char region[LIMIT_NAME_BYTES];
    int account;  /* index; -1: none (a client pays nobody) */
    bool located; /* a position is declared */
    int64_t latitude_udeg;
    int64_t longitude_udeg;
    struct tags tags;            /* implied too: cloud=<provider>, tier=<tier>, region=<region> */
    struct decimal cpu_price;    /* USD per vCPU-hour */
    struct decimal memory_price; /* USD per GiB-hour */
    int64_t overhead_ppm;        /* of a shape that cannot be filled: resources cost 1 + this */
    int64_t capacity[RESOURCE_COUNT]; /* declared; -1: what the site's live nodes offer */
    char source[LIMIT_TEXT_BYTES];    /* where the figures come from */
};

/* Prices of bytes that leave `from` for `to`: each selects sites by name, by provider ("gcp/" with
 * an asterisk), by tier ("tier:client") or all ("*"); the most exact rule wins (the sum of both
 * ends' exactness), ties by order. Volumes accumulate over the month per (account of the paying
 * side, rule). */
struct egress_tier {
    int64_t up_to_bytes;  /* of the month's cumulative volume; INT64_MAX for the last */
    struct decimal price; /* USD per per_bytes */
};

enum egress_payer { EGRESS_SENDER, EGRESS_RECEIVER };

struct egress_rule {
    char name[LIMIT_NAME_BYTES];
    char from[LIMIT_REF_BYTES];
    char to[LIMIT_REF_BYTES];
    enum egress_payer payer; /* both sides bill: two rules */
    int64_t per_bytes;       /* 1 << 30, or 10^9: as the provider's meter counts */
    struct egress_tier *tiers;
    int tier_count;
    int64_t month_to_date_bytes; /* already used this month, before what is planned */
    char source[LIMIT_TEXT_BYTES];
};

/* Score weights, in dollars where a unit is named. Bill terms use ppm: PPM counts a dollar once. */
struct weights {
    struct decimal latency_usd_per_second; /* of one call's waiting */
    struct decimal device_cpu_usd_per_second;
    int64_t compute_ppm;
    int64_t egress_ppm;
    int64_t migration_ppm;
};

/* When a move pays, and how often things may move. */
struct policy {
    int64_t horizon_us;        /* over which a saving must exceed the move's cost */
    int64_t dwell_us;          /* a moved workload stays at least that long */
    int64_t saving_min_ppm;    /* of the workload's own score: smaller savings are noise */
    nusd saving_min;           /* per month */
    int moves_max;             /* handoffs under way at once */
    int64_t settle_us;         /* inputs are quiet for that long before a solve */
    int64_t hit_floor_ppm;     /* h_min of 1/max(h, h_min) */
    int64_t healthy_min_us;    /* HELD: how long the old copy waits to be resumed */
    int64_t node_timeout_us;   /* silence after which a node is lost */
    int64_t metric_age_max_us; /* older estimates may hold a move back but never cause one */
};

struct world {
    char name[LIMIT_NAME_BYTES];
    char currency[LIMIT_NAME_BYTES]; /* "USD" */
    struct account *accounts;
    int account_count;
    struct site *sites;
    int site_count;
    struct egress_rule *egress;
    int egress_count;
    bool latency_measured; /* `latency: measured`: declared values are only the prior */
    int64_t *rtt_us;       /* [from * site_count + to], -1 unknown; symmetric unless stated */
    int64_t *factor_us;    /* added per call on that path, the same index */
    struct weights weights;
    struct policy policy;
};

enum workload_kind { KIND_SERVICE, KIND_JOB, KIND_FUNCTION };
enum handoff_class { HANDOFF_OVERLAP, HANDOFF_EXCLUSIVE, HANDOFF_STATEFUL };
extern const char *const workload_kind_words[];
extern const char *const handoff_class_words[];

/* One way to run a workload. */
struct variant {
    char name[LIMIT_NAME_BYTES]; /* "default" when the document names none */
    char driver[LIMIT_NAME_BYTES];
    char arch[LIMIT_NAME_BYTES]; /* "" any: then the artifact's own ELF machine decides */
    char artifact[LIMIT_PATH_BYTES];
    char digest[LIMIT_DIGEST_BYTES];
    char (*args)[LIMIT_PATH_BYTES];
    int arg_count;
    struct env_entry {
        char name[LIMIT_NAME_BYTES];
        char value[LIMIT_PATH_BYTES];
    } * env;
    int env_count;
    int64_t cpu_ns_per_call; /* prior; 0: not stated */
};

struct readiness {
    int kind; /* enum ready_kind of base/wire/messages.h, same order */
    char target[LIMIT_TEXT_BYTES];
    int64_t period_us;
    int64_t timeout_us;
};

struct workload {
    char name[LIMIT_NAME_BYTES];
    enum workload_kind kind;
    enum handoff_class handoff;
    bool contract; /* speaks it; else the plan says "drain not proven" */
    int replicas;
    struct variant *variants;
    int variant_count;
    int64_t reserve[RESOURCE_COUNT]; /* per replica */
    int64_t pids_max;
    struct tags require;       /* tags the site must carry; `berth retag` changes one */
    unsigned tiers;            /* bit per enum tier it may run in; 0: any */
    char pin[LIMIT_REF_BYTES]; /* "" or the only site */
    int64_t calls_mhz;         /* prior: calls served, all replicas together */
    int64_t hit_ppm;           /* prior: its cache's hits; -1: it has no cache */
    int64_t state_bytes;       /* moved with it */
    int64_t artifact_bytes;    /* 0: not known */
    struct readiness ready;
    int64_t start_timeout_us;
    int64_t drain_timeout_us;
    int64_t stop_timeout_us;
    int restarts_max;
};

/* Part of an app's users. */
struct segment {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES]; /* where their traffic comes from: a client site */
    char device[LIMIT_NAME_BYTES];
};

enum link_end { LINK_WORKLOAD, LINK_SEGMENT };

/* Traffic from a workload or a segment to a workload. */
struct link {
    enum link_end from_kind;
    int from;          /* workload or segment index */
    int to;            /* workload index */
    int64_t calls_mhz; /* prior, when nothing is measured */
    int64_t request_bytes;
    int64_t response_bytes;
    bool on_miss;           /* only the caller's cache misses travel it */
    int64_t latency_max_us; /* hard limit of one call's round trip; 0: none */
};

struct apart {
    int *workloads; /* no two of them at one site */
    int count;
};

struct app {
    char namespace_[LIMIT_NAME_BYTES];
    char name[LIMIT_NAME_BYTES];
    bool automatic; /* moves by itself; else only by apply and retag */
    struct workload *workloads;
    int workload_count;
    struct segment *segments;
    int segment_count;
    struct link *links;
    int link_count;
    struct apart *aparts;
    int apart_count;
};

/* A measured, quantised value; it replaces the prior. */
enum estimate_kind {
    ESTIMATE_CALLS_MHZ,      /* calls served by a workload */
    ESTIMATE_CPU_NS,         /* CPU nanoseconds per call, at a site */
    ESTIMATE_HIT_PPM,        /* hit ratio, at a site */
    ESTIMATE_REQUEST_BYTES,  /* mean, of calls served */
    ESTIMATE_RESPONSE_BYTES, /* mean */
    ESTIMATE_LATENCY_US,     /* mean service time */
    ESTIMATE_MCPU,           /* used, per replica */
    ESTIMATE_MEMORY_BYTES,   /* used, per replica */
    ESTIMATE_RTT_US,         /* between two sites: site and peer */
    ESTIMATE_COUNT
};
extern const char *const estimate_kind_words[];

struct estimate {
    enum estimate_kind kind;
    char namespace_[LIMIT_NAME_BYTES]; /* "" for ESTIMATE_RTT_US */
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char peer[LIMIT_REF_BYTES];
    int64_t value;
    int64_t at_us; /* scheduler time when it was true */
};
