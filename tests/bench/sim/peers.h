/*
 * peers: other simulators that do the work of two_tier.h, when this machine has them.
 *
 * Each is a small program beside this file, run as a child: SimPy by Debian's Python, ns-3 and
 * SimGrid compiled into a directory of their own below the build folder, which peers_done removes.
 * Nothing is installed; what is missing is said. One thread; the caller has no other children.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct peer_run {
    uint64_t tasks;
    uint64_t to_cloud;
    double cpu_s; /* of the child, start-up included */
    double wall_s;
    double memory_mb; /* the most that was resident */
};

struct peer {
    const char *name;
    const char *program; /* to run; NULL: the peer is not here, and `missing` says why */
    const char *script;  /* its first argument, or NULL */
    const char *mode;    /* its last argument, or NULL */
    const char *missing; /* what to install */
    int64_t tasks;       /* that it does in some seconds */
    char path[512];
};

#define PEERS 4
struct peers {
    struct peer list[PEERS];
    char directory[256];
};

void peers_init(struct peers *peers); /* compiles what can be compiled */
void peers_done(struct peers *peers);
/* False when it fails or gives no figures. */
bool peer_run(const struct peer *peer, int64_t per_s, int64_t slots, struct peer_run *ret_run);

/* Waits for a child whose standard output is `fd`, of which the first line is kept. */
bool child_wait(pid_t child, int fd, int64_t began_us, char *line, size_t line_bytes,
                struct peer_run *ret_run);
