/*
 * scenario: the document that a simulation is run from: worlds, apps, time, load, events, policies,
 * and an experiment's axes. docs/simulator.md describes each field.
 *
 * Reading reports every mistake at once with file, line and path, as worlds and apps do. Files that
 * a scenario names (worlds, apps, traces, programs) are relative to its own folder; reading the
 * document does not open them, scenario_load does, for one cell of the cross product.
 *
 * Arrays live in the arena they were read into and are never changed afterwards. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/types.h"
#include "simulator/traces/trace.h"

/* Named only, so that what includes a scenario sees no parser. */
struct doc;

#define SCENARIO_FILES  64   /* worlds, apps of one set, traces */
#define SCENARIO_LOADS  1024 /* load entries */
#define SCENARIO_EVENTS 256
#define SCENARIO_US     (INT64_C(100) * 366 * 24 * US_PER_HOUR)
#define SCENARIO_STEPS  (INT64_C(10) * 366 * 24 * 60) /* of one run: ten years of minutes */
#define SCENARIO_SPANS  16                            /* of single requests */
#define SCENARIO_SEEDS  1000

enum load_shape { LOAD_CONSTANT, LOAD_DIURNAL, LOAD_BURSTS, LOAD_TRACE };
extern const char *const load_shape_words[];

/* How a recorded load is read; docs/traces.md. */
struct scenario_trace {
    char (*files)[LIMIT_PATH_BYTES]; /* the load's own; none: the experiment's */
    int file_count;
    char from[LIMIT_NAME_BYTES];
    char to[LIMIT_NAME_BYTES];
    char format[LIMIT_NAME_BYTES];
    struct trace_options options; /* without origin, from, to, format: they are set at opening */
};

/* How often a workload is called. `of` is "app", "app/workload", with the namespace before it if
 * that is not "default", or "*": all that users call. */
struct scenario_load {
    char of[LIMIT_REF_BYTES];
    enum load_shape shape;
    int64_t calls_mhz;      /* mean; 0: what the app's document says */
    int64_t scale_ppm;      /* of all of it; a trace too */
    int64_t noise_ppm;      /* one standard deviation from step to step */
    int64_t growth_ppm;     /* over 365 days, linear */
    int64_t hours_ppm[24];  /* diurnal: by the hour of the day, their mean is 1 */
    int64_t days_ppm[7];    /* Monday first; 1 unless stated */
    int64_t shift_us;       /* the users' clock is so far ahead of UTC; may be negative */
    int64_t burst_every_us; /* bursts: mean distance, exponential */
    int64_t burst_for_us;
    int64_t burst_ppm;            /* of the mean, while it lasts */
    struct scenario_trace *trace; /* of shape trace */
    int line;                     /* of the document, for messages */
};

enum scenario_event_kind {
    EVENT_SET,     /* overrides of prices, measures and policy, from then on or for a time */
    EVENT_DOWN,    /* a site, or a provider's all, is gone for a time */
    EVENT_RECLAIM, /* a site's machines are taken and others come after a time: what ran is gone */
    EVENT_METRICS  /* what is measured is lost, or comes late */
};
extern const char *const scenario_event_words[];

struct scenario_event {
    enum scenario_event_kind kind;
    int64_t at_us;              /* since the beginning */
    int64_t for_us;             /* 0: to the end */
    char what[LIMIT_REF_BYTES]; /* site or provider; "lost" or "late" */
    int64_t lag_us;             /* of late metrics */
    char (*sets)[LIMIT_TEXT_BYTES];
    int set_count;
    int line;
};

/* Machines of a site. Without an entry a site has one that offers the site's declared capacity, or
 * more than enough. */
struct scenario_nodes {
    char site[LIMIT_REF_BYTES];
    int count;
    int64_t mcpu;
    int64_t memory_bytes;
    int line;
};

/* A workload's station at the level of single requests; docs/simulator.md, "requests". */
enum scenario_law { LAW_EXPONENTIAL, LAW_CONSTANT };
enum scenario_cache { CACHE_AS_MEASURED, CACHE_OF_LRU, CACHE_OF_LFU, CACHE_OF_TTL };
struct scenario_station {
    char workload[LIMIT_NAME_BYTES];
    int concurrency;    /* calls at once of one replica; 0: its CPUs, at least 1 */
    int64_t service_us; /* mean time in a server; -1: the document's CPU time of a call */
    int64_t room;       /* places to wait; -1: without end */
    enum scenario_law law;
    bool trip;                      /* a place is held from sending to the answer's return */
    char overflow[LIMIT_REF_BYTES]; /* site for who finds no room; "": they are rejected */
    enum scenario_cache cache;
    int64_t objects; /* of the catalogue */
    int64_t zipf_ppm;
    int64_t cached; /* objects that it holds */
    int64_t ttl_us;
};

#define SCENARIO_BANDWIDTHS 256 /* of a span */
/* What goes between two sites at once, each way. */
struct scenario_bandwidth {
    char between[2][LIMIT_REF_BYTES];
    int64_t bytes_s;
};

/* A span of which every request is simulated by itself. */
struct scenario_requests {
    char of[LIMIT_REF_BYTES]; /* an app */
    int64_t at_us;            /* since the beginning */
    int64_t for_us;
    int64_t warmup_us;
    int64_t jitter_ppm; /* of half a round trip: its deviation, of its mean; 0: always the same */
    struct scenario_station *stations;
    int station_count;
    struct scenario_bandwidth *bandwidths;
    int bandwidth_count;
    int line;
};

/* How long what a node is told takes, and how often it fails. */
struct scenario_timing {
    int64_t stage_us;
    int64_t start_us;
    int64_t drain_us;
    int64_t resume_us;
    int64_t stop_us;
    int64_t answer_us;
    int64_t bytes_s;  /* at which state is shipped */
    int64_t fail_ppm; /* of starts */
};

/* A file set: the apps that one cell of an experiment runs. */
struct scenario_files {
    char (*list)[LIMIT_PATH_BYTES];
    int count;
};

struct scenario_policy {
    char name[LIMIT_NAME_BYTES];      /* as policy.h knows it, or the program's own name */
    char program[LIMIT_PATH_BYTES];   /* "": one of ours */
    char arguments[LIMIT_PATH_BYTES]; /* after the program, separated by blanks */
};

struct scenario {
    char name[LIMIT_NAME_BYTES];
    char file[LIMIT_PATH_BYTES];
    char folder[LIMIT_PATH_BYTES];
    int64_t from_us; /* since 1970 */
    int64_t for_us;
    int64_t step_us;
    int64_t warmup_us;     /* before `from`, not counted: the first placement settles */
    int64_t every_us;      /* figures are summed over so long in the results */
    int64_t noise_ppm;     /* of what is measured, one standard error */
    int64_t slo_us;        /* a user's call is slow above it; 0: the links' own limits only */
    int64_t precision_ppm; /* stop adding seeds when a mean's half-width is below; 0: all seeds */
    int64_t program_timeout_us;
    bool ledger; /* rows of the production ledger */
    bool bound;  /* the lower bound beside */
    struct scenario_timing timing;
    struct scenario_nodes *nodes;
    int node_count;
    struct scenario_load *loads;
    int load_count;
    struct scenario_event *events; /* sorted by instant */
    int event_count;
    struct scenario_requests *requests;
    int requests_count;
    /* The axes; each has at least one entry, but traces, which may have none. */
    char (*worlds)[LIMIT_PATH_BYTES];
    int world_count;
    struct scenario_files *apps;
    int apps_count;
    struct scenario_policy *policies;
    int policy_count;
    char (*traces)[LIMIT_PATH_BYTES];
    int trace_count;
    int64_t seed; /* the first */
    int seed_count;
    uint64_t digest; /* of the document but for what a run's own cell says: axes, precision */
};

int scenario_from_doc(struct doc *doc, const char *file, struct arena *arena,
                      struct scenario *ret_scenario, struct error *err) WARN_UNUSED;
int scenario_parse(const char *file, const char *text, size_t bytes, struct arena *arena,
                   struct scenario *ret_scenario, struct error *err) WARN_UNUSED;
int scenario_read(const char *file, struct arena *arena, struct scenario *ret_scenario,
                  struct error *err) WARN_UNUSED;

/* One cell of the cross product. */
struct scenario_cell {
    int world;
    int apps;
    int policy;
    int trace; /* -1: none */
    int64_t seed;
    bool plain; /* nothing is spared that changes no decision and no sum (plant.h, run.h): for tests
                 * and benches */
};

/* A cell's documents, read and checked against each other: users, loads, events and nodes name what
 * there is. Apps without digests are taken: nothing is really started. */
int scenario_load(const struct scenario *scenario, const struct scenario_cell *cell,
                  struct arena *arena, struct world *ret_world, struct app **ret_apps,
                  int *ret_app_count, struct error *err) WARN_UNUSED;

/* The app and the workload that a load's `of` or a trace's workload means; workload -1: all that
 * users call; app -1: all apps. False: there is none. `app` >= 0 lets a bare workload be meant. */
bool scenario_target(const struct app *apps, int app_count, const char *name, int within,
                     int *ret_app, int *ret_workload);

/* folder + "/" + path, unless that is absolute. ERR_LIMIT. */
int scenario_path(const struct scenario *scenario, const char *path, char out[LIMIT_PATH_BYTES],
                  struct error *err) WARN_UNUSED;
