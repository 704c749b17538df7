/*
 * month: weeks of scheduler time in seconds: the real core, the real cost model and the real solver
 * (berth-solve), with obedient nodes (core_fixture) and inputs that the test makes up.
 *
 * What is measured is told as the metrics do: the values change when the test says so and are
 * confirmed every MONTH_REFRESH_US, so that they are never stale. Solves and checks are answered at
 * once. Everything that the core decides is on the list of moves. Deterministic. One thread.
 */
#pragma once

#include "model/solver.h"
#include "tests/unit/core_fixture.h"

#define MONTH_SITES      4
#define MONTH_WORKLOADS  2
#define MONTH_MOVES      4096
#define MONTH_ESTIMATES  8
#define MONTH_REFRESH_US (30 * US_PER_S)
#define MONTH_HOUR_US    (3600 * US_PER_S)
#define MONTH_DAY_US     (24 * MONTH_HOUR_US)

extern const char *const month_sites[MONTH_SITES];         /* those with a node */
extern const char *const month_workloads[MONTH_WORKLOADS]; /* "front", "model" */

struct month_move {
    int64_t at_us;
    int workload;
    int from; /* of month_sites */
    int to;
    enum handoff_reason reason;
};

struct month {
    struct fixture f;
    struct world world;
    struct app app;
    struct solver *solver;
    struct arena arena; /* of one answer */
    struct estimate estimates[MONTH_ESTIMATES];
    int estimate_count;
    int64_t stale_us; /* what is told is that old already */
    int64_t refreshed_us;
    uint64_t decisions_seen;
    int checks_answered;
    int solves;
    struct month_move moves[MONTH_MOVES];
    int move_count;
    uint64_t random;
};

/* The world of examples/worlds/us.yaml with a node at each of month_sites, and the app placed. */
void month_open(struct month *month, uint64_t seed, void (*policy)(struct policy *policy));
void month_close(struct month *month);
/* The calls of both workloads, with a standard error of each; in effect with the next refresh. */
void month_calls(struct month *month, int workload, int64_t calls_mhz, int64_t spread_mhz);
void month_run(struct month *month, int64_t us);
int month_site(const struct month *month, int workload); /* of month_sites */

/* Uniform in [-ppm, ppm]; and about normal with that standard deviation. */
int64_t month_uniform(struct month *month, int64_t ppm);
int64_t month_normal(struct month *month, int64_t ppm);

/* Per month, if both workloads served `calls_mhz` from those sites: no move in it. */
struct month_cost {
    nusd score;
    nusd bill;
};
struct month_cost month_cost(struct month *month, const int64_t *calls_mhz, const int *site);
/* What going from one placement to the other costs once. */
nusd month_once(struct month *month, const int64_t *calls_mhz, const int *from, const int *to);
