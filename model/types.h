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

/* A named figure of a site or a workload that formulas of custom terms may use (formula.h): carbon
 * intensity, watts per vCPU, a licence fee. The unit is part of the name's meaning: formulas check
 * it. */
struct measure {
    char name[LIMIT_NAME_BYTES];
    struct decimal value;
    char unit[LIMIT_NAME_BYTES]; /* "g/kWh", as formula.h reads units */
};

struct measures {
    struct measure *list; /* names unique */
    int count;
};

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
    struct tags tags;             /* implied too: cloud=<provider>, tier=<tier>, region=<region> */
    struct decimal cpu_price;     /* USD per vCPU-hour */
    struct decimal memory_price;  /* USD per GiB-hour */
    struct decimal storage_price; /* USD per GiB-month */
    int64_t speed_ppm;            /* of its CPUs: a call takes its CPU time / speed here; PPM: 1 */
    bool has_cpu_weight;          /* a client site: its own weight of a CPU second */
    struct decimal cpu_weight;    /* USD per second, in the score */
    struct measures measures;     /* for custom terms */
    int64_t overhead_ppm;         /* of a shape that cannot be filled: resources cost 1 + this */
    int64_t capacity[RESOURCE_COUNT]; /* declared; -1: what the site's live nodes offer */
    char source[LIMIT_TEXT_BYTES];    /* where the figures come from */
    bool closed; /* no document says so, an override does: what is here may only leave */
};

/* Prices of bytes that leave `from` for `to`: each selects sites by name, by provider ("gcp/" with
 * an asterisk), by tag ("tag:continent=asia"), by tier ("tier:client") or all ("*"); the most exact
 * rule wins (the sum of both ends' exactness, world_selects), ties by order. Volumes accumulate
 * over the month per (account of the paying side, rule). */
struct egress_tier {
    int64_t up_to_bytes;  /* of the month's cumulative volume; INT64_MAX for the last */
    struct decimal price; /* USD per per_bytes */
};

enum egress_payer { EGRESS_SENDER, EGRESS_RECEIVER };

struct egress_rule {
    char name[LIMIT_NAME_BYTES];
    char from[LIMIT_REF_BYTES];
    char (*to)[LIMIT_REF_BYTES]; /* one selector or more: all of them fill one meter */
    int to_count;
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
    int64_t storage_ppm;
    int64_t egress_ppm;
    int64_t migration_ppm;
};

/* The weights by name: what a document states of them is a set of these bits. */
enum weight {
    WEIGHT_LATENCY,
    WEIGHT_DEVICE_CPU,
    WEIGHT_COMPUTE,
    WEIGHT_STORAGE,
    WEIGHT_EGRESS,
    WEIGHT_MIGRATION,
    WEIGHT_COUNT
};
extern const char *const weight_words[];

/* A term of the world's own: a formula over named measures (formula.h), in USD per month. */
struct custom_term {
    char name[LIMIT_NAME_BYTES];
    char formula[LIMIT_FORMULA_BYTES];
    bool billed; /* else it counts in the score only */
    int64_t weight_ppm;
    char source[LIMIT_TEXT_BYTES];
};

/* Minutes of the UTC day, [from, to); `from` > `to` spans midnight. */
struct quiet_hours {
    int from_min;
    int to_min;
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
    int64_t confidence_ppm;    /* a saving must be at least that certain to cause a move */
    int64_t prior_error_ppm;   /* one standard error of a prior, of its value */
    int64_t prior_weight_us;   /* a prior counts as much as a rate observed for that long */
    int moves_per_day;         /* moves that only save, in any 24 h, of all apps; 0: no limit */
    int64_t check_after_us;    /* a move's realised saving is judged that long after it; 0: never */
    int64_t solve_time_us; /* after which a solve ends with the best so far; 0: by its work alone */
    int64_t solve_gap_ppm; /* a plan that near to the best possible ends its solve; 0: none does */
    struct quiet_hours *quiet; /* only forced moves then */
    int quiet_count;
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
    int64_t *us_per_mib;   /* added per MiB that a call carries on that path; 0 unless stated */
    struct custom_term *terms;
    int term_count;
    struct measures workload_measures; /* what terms may name of a workload: its unit, and the value
                                        * for those that state none */
    struct weights weights;
    struct policy policy;
};

/* KIND_DATA: a data set: heavy bytes with a place. It is in the workloads' list so that links,
 * rules and the solver treat it as what it is, a part to be placed; nothing of it is run, and its
 * only variant, "default", is empty. */
enum workload_kind { KIND_SERVICE, KIND_JOB, KIND_FUNCTION, KIND_DATA };
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
    int64_t cpu_ns_per_call;         /* prior; 0: not stated */
    int64_t reserve[RESOURCE_COUNT]; /* per replica; -1: the workload's */
    unsigned tiers;                  /* as the workload's, narrowing it; 0: any */
    int64_t request_bytes;           /* of its calls, instead of the link's; -1: the link's */
    int64_t response_bytes;
};

/* The hit ratio that a cache reaches when it serves so many calls; linear between points, constant
 * beyond them. Rates and ratios ascend. */
struct hit_point {
    int64_t calls_mhz;
    int64_t hit_ppm;
};

/* What only a data set has. */
struct data_set {
    int64_t bytes;
    int copies;        /* kept at its site, billed each; 1: what the provider's price includes */
    int64_t dedup_ppm; /* of its bytes that are stored once anyway */
    int64_t update_bytes_s;   /* bytes per second that change, sent from the primary to replicas */
    char at[LIMIT_REF_BYTES]; /* where it is now; "": nowhere yet */
};

struct readiness {
    int kind; /* enum ready_kind of base/wire/messages.h, same order */
    char target[LIMIT_TEXT_BYTES];
    int64_t period_us;
    int64_t timeout_us;
    int failures; /* of message_ready: in a row, once it is ready */
};

/* `http:` of a workload: requests reach it through the ingresses. */
struct http_route {
    char host[LIMIT_REF_BYTES];   /* "": any */
    char path[LIMIT_TEXT_BYTES];  /* prefix; "": it has no route */
    char probe[LIMIT_TEXT_BYTES]; /* path that answers with its identity in Berth-Instance */
};

/* `update:` of a workload: how a new version comes. */
struct update {
    int64_t canary_ppm;      /* its share of the traffic while it is judged; 0: not judged */
    int64_t canary_us;       /* for how long, at least */
    int64_t requests_min;    /* and at least so many requests of its own, within 10 times that */
    int64_t errors_max_ppm;  /* more than the old version's by this: taken back */
    int64_t latency_max_ppm; /* its mean latency over the old one's: 1,500,000 is one and a half */
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
    struct hit_point *curve;   /* hits by the rate that one site serves; instead of hit_ppm */
    int curve_count;
    int64_t warm_calls;       /* misses that fill a cold cache after a move */
    struct data_set data;     /* KIND_DATA */
    struct measures measures; /* for custom terms */
    /* One of several parts that a document's workload with `split: true` was divided into: one per
     * segment that uses it (of a data set: per reader). Parts of one family at one site with one
     * variant share its instances (or its stored bytes). */
    char family[LIMIT_NAME_BYTES]; /* the document's name; "": not divided */
    int segment;                   /* whose part it is; -1: not divided, or a data set's reader */
    int64_t state_bytes;           /* moved with it */
    int64_t checkpoint_us;         /* a stateful one's state is kept so often; 0: not */
    int64_t artifact_bytes;        /* 0: not known */
    struct readiness ready;
    struct readiness live; /* kind NONE: not judged */
    struct http_route http;
    struct update update;
    int64_t start_timeout_us;
    int64_t drain_timeout_us;
    int64_t stop_timeout_us;
    int restarts_max;
};

/* Part of an app's users. */
struct segment {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES]; /* where their traffic comes from: a client site */
    char
        device[LIMIT_NAME_BYTES]; /* a word for people: "strong"; the client site has the figures */
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

/* What may move an app beside `apply` and `retag` and what is forced: AUTO: savings that pay;
 * SUGGEST: nothing, but `berth suggest` says what would; OFF: nothing. */
enum app_moves { MOVES_AUTO, MOVES_SUGGEST, MOVES_OFF };
extern const char *const app_moves_words[];

struct app {
    char namespace_[LIMIT_NAME_BYTES];
    char name[LIMIT_NAME_BYTES];
    enum app_moves moves;
    bool has_weights;        /* it states some of its own: weights_stated is not 0 */
    unsigned weights_stated; /* bit per enum weight; the others follow the world: app_weights() */
    struct weights weights;  /* those stated; the others are 0 */
    struct workload *workloads; /* data sets come last */
    int workload_count;
    struct segment *segments;
    int segment_count;
    struct link *links;
    int link_count;
    struct apart *aparts;
    int apart_count;
};

/* Where a part runs, or could: a site (-1: nowhere), a variant (index), and the workload (index in
 * its app) whose instances serve it: itself, or the first part of its family among those that share
 * its site and variant. */
struct placement {
    int site;
    int variant;
    int lead;
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
    ESTIMATE_LATENCY_P99_US, /* of the service time */
    ESTIMATE_METER_BYTES, /* month to date on an egress meter: account in `site`, rule in `peer` */
    ESTIMATE_USERS_MHZ,   /* calls of a workload by users: a segment of its app, in `peer` */
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
    int64_t at_us;       /* scheduler time when it was true */
    int64_t spread;      /* one standard error, in the value's unit; 0: exact */
    int64_t observed_us; /* how long it has been observed for, at most a day; 0: not told */
};
