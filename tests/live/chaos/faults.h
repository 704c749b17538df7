/*
 * faults: what a live chaos run does to a cluster, each a pair of a begin and an end, and what each
 * excuses: which stages may lose requests while it lasts, since no ready copy could be reached, and
 * whether a stateful owner may have lost its memory with its life. Everything else has to go on.
 * One thread.
 */
#pragma once

#include "tests/live/stage.h"

struct chaos {
    struct cluster cluster;
    struct stage stages[STAGE_KINDS];
    uint64_t random;
    int64_t begun_us;
    char disk[700]; /* a small tmpfs with the scheduler's folder; "": there is none */
};

/* Of a fault, as it is under way. */
struct fault_now {
    int node;
    enum stage_kind stage;
    int64_t hold_us; /* until its end */
    char text[160];  /* for the history */
};

struct fault {
    const char *name;
    bool loses[STAGE_KINDS]; /* requests of these may be lost or refused */
    bool forgets;            /* memory of a stateful owner may be gone */
    bool parts;              /* a node may not be heard for a while, shorter than its timeout */
    int64_t hold_min_us;
    int64_t hold_max_us;
    bool (*begin)(struct chaos *chaos, struct fault_now *now); /* false: not possible now */
    void (*end)(struct chaos *chaos, const struct fault_now *now);
};

extern const struct fault chaos_faults[];
extern const int chaos_fault_count;

#define CHAOS_NODE_TIMEOUT_MS 6000
#define CHAOS_NODE_DISK_MIB   1024

uint64_t chaos_random(struct chaos *chaos, uint64_t below);
/* Mounts the small disk in a mount namespace of this process alone; false when that is not
 * permitted. Before any other program is started. */
bool chaos_disk_open(struct chaos *chaos);
void chaos_disk_close(struct chaos *chaos); /* after the last of them has ended */
/* A copy of the stage's on that node, whichever side of a handoff it is; false: there is none. */
bool chaos_workload_kill(struct chaos *chaos, struct fault_now *now);
/* The processes with that name that live in the folder of that node. */
int chaos_processes(const struct chaos *chaos, int node, const char *below, const char *comm,
                    pid_t *pids, int capacity);
