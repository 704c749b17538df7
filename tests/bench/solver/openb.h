/*
 * openb: Alibaba's trace of a GPU cluster (openb_node_list, openb_pod_list; clusterdata 2023) as a
 * placement problem: all its tasks at once, whenever they came and went, which is harder than what
 * the cluster had to hold at any one time.
 *
 * The true rule: a node has processors, memory and GPUs of one type; a task of no GPU takes the
 * first two, one of a part of a GPU takes that part of *one* of them, one of several takes so many
 * whole ones. A task may name the types that it can use.
 *
 * Every grid has a site per node and one more, "nowhere", which has room for all and costs `leave`
 * for each task. There are two:
 *
 *   loose     a part per task; processors, memory, thousandths of GPUs, and weights of GPUs. The
 *             third row relaxes the rule: thousandths of one node may lie on different GPUs. The
 *             fourth takes back some of that: weights are such that no set of tasks that shares one
 *             GPU weighs more than OPENB_WHOLE (openb_weights_hold tries all of them), so a
 *             placement that keeps the true rule keeps the row, and a bound of this grid is one of
 *             the true problem. It is used for that alone.
 *   bundled   tasks that take a part of a GPU come in bundles that share one, chosen beforehand; a
 *             part is a bundle or another task. Its rows are the true rule, so every placement of
 * it is one of the true problem: it gives the answers. What bundles cost is in the gap.
 *
 * openb_broken judges answers down to the single GPU, with code of its own.
 *
 * Cost, in millionths of a dollar per hour: the share of its node that a task takes of whatever it
 * takes most of there (processors, memory, GPUs), times the node's list price; so that a task
 * without GPU at a node with eight pays for what it keeps others from using; and its power at 0.10
 * a kWh. Prices and powers, and what they were taken from, are in openb_grid.c.
 *
 * Arrays live in the arena. One thread.
 */
#pragma once

#include "base/arena.h"
#include "model/solve/grid.h"

#define OPENB_GPUS_MAX  16
#define OPENB_TYPES_MAX 32
#define OPENB_GPU       1000  /* thousandths */
#define OPENB_WHOLE     55440 /* weight of a GPU: a number with many divisors */

struct openb_node {
    int32_t cpu_milli;
    int32_t memory_mib;
    int gpus;
    int type;  /* -1: no GPUs */
    int alike; /* the first node like this one */
};

struct openb_task {
    const char *name;
    int32_t cpu_milli;
    int32_t memory_mib;
    int gpus;
    int gpu_milli;  /* of each; OPENB_GPU when there are several */
    uint32_t types; /* bits of those it can use; 0: any */
};

struct openb {
    int nodes;
    struct openb_node *node;
    int tasks;
    struct openb_task *task;
    int types;
    char type_name[OPENB_TYPES_MAX][16];
};

/* ERR_INVALID names file, line and field. */
int openb_read(const char *nodes, size_t nodes_bytes, const char *tasks, size_t tasks_bytes,
               struct arena *arena, struct openb *ret_openb, struct error *err) WARN_UNUSED;

/* Alone at the node. */
bool openb_fits(const struct openb *openb, int task, int node);
int64_t openb_cost_usd6(const struct openb *openb, int task, int node);

/* Parts of the bundled grid: sets of tasks. */
struct openb_bundles {
    int count;
    int *first; /* [count + 1] */
    int *task;
};

/* Weights of shares of a GPU, [OPENB_GPU + 1], the ones with which GPUs run short soonest, and
 * bundles that take about as few GPUs as that allows; by GLPK. */
int openb_shares(const struct openb *openb, struct arena *arena, int32_t *ret_weight,
                 struct openb_bundles *ret_bundles, struct error *err) WARN_UNUSED;
/* The heaviest set of shares that together are one GPU at most, of value[share] each; fills
 * count[share], both [OPENB_GPU + 1]. */
double openb_heaviest(const double *value, int *count);
/* Whether no set of shares that together are one GPU at most weighs more than OPENB_WHOLE. */
bool openb_weights_hold(const int32_t *weight);

struct openb_terms {
    const int32_t *weight;               /* [OPENB_GPU + 1]: the loose grid */
    const struct openb_bundles *bundles; /* else: the bundled one */
    int64_t leave_usd6;                  /* of one task; */
    bool count;                          /* instead of costs: 0 at every node, leave_usd6 at none */
};
/* The last site is nowhere. ERR_UNSUPPORTED: a type without a price. */
int openb_grid(const struct openb *openb, const struct openb_terms *terms, struct arena *arena,
               struct grid *ret_grid, struct error *err) WARN_UNUSED;

/* Who sits where, down to the GPU. */
struct openb_seat {
    const struct openb *openb;
    int *node_of;      /* [task]; -1: nowhere */
    uint16_t *gpus_of; /* [task] bits */
    int32_t *cpu;      /* [node] that are left */
    int32_t *memory;
    int16_t *gpu; /* [node * OPENB_GPUS_MAX + i] thousandths that are left */
};

int openb_seat_init(struct openb_seat *seat, const struct openb *openb, struct arena *arena,
                    struct error *err) WARN_UNUSED;
/* On the fullest GPUs with room; false: there is none. */
bool openb_seat_put(struct openb_seat *seat, int task, int node);
void openb_seat_take(struct openb_seat *seat, int task);
/* Seats an assignment of bundles (site[bundle]; openb->nodes: nowhere), a bundle on one GPU; then
 * each task that has no seat at the cheapest node that has one for it. Returns how many those are.
 */
int openb_seat_bundles(struct openb_seat *seat, const struct openb_bundles *bundles,
                       const int *site);
/* The baseline: tasks in the trace's order, each to the node with room that scores best: by what it
 * costs there (fuller nodes first on ties), or as kube-scheduler does by default, by what is left.
 */
int openb_seat_greedy(struct openb_seat *seat, bool by_cost, struct arena *arena,
                      struct error *err) WARN_UNUSED;
int64_t openb_seat_cost_usd6(const struct openb_seat *seat, int *ret_placed);

/* Nodes over a limit, GPUs over one, tasks on GPUs that they cannot use or on too few. */
int openb_broken(const struct openb *openb, const int *node_of, const uint16_t *gpus_of);
