/*
 * cgroup: a workload's own cgroup, on whatever this machine has.
 *
 * Found at run time: pure v2 (controllers in the unified tree), hybrid (v1 controllers with limits,
 * beside a v2 tree that has cgroup.kill and nothing else), pure v1, or none that can be written.
 * A group is one folder per hierarchy, at the same relative path in each: <root>/<node>/<instance>.
 * Limits come from where the controller is; the kill from v2's cgroup.kill, or else from reading
 * cgroup.procs until it is empty. Without any, the caller runs without limits and says so.
 *
 * The mode and the mounts are read once; a group is only its relative path, so that the shim, the
 * agent and an agent started later name the same one. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/limits.h"

enum cgroup_mode { CGROUP_NONE, CGROUP_V1, CGROUP_HYBRID, CGROUP_V2 };
extern const char *const cgroup_mode_words[]; /* "none", "v1", "hybrid", "v2" */

enum cgroup_tree {
    CGROUP_UNIFIED,
    CGROUP_CPU,
    CGROUP_CPUACCT,
    CGROUP_MEMORY,
    CGROUP_PIDS,
    CGROUP_TREES
};

struct cgroup_host {
    enum cgroup_mode mode;
    char mounts[CGROUP_TREES][LIMIT_PATH_BYTES]; /* "" when there is none */
};

struct cgroup_limits {
    int64_t mcpu; /* each 0: none */
    int64_t memory_bytes;
    int64_t pids_max;
};

struct cgroup_usage {
    int64_t cpu_ns;
    int64_t memory_bytes;
};

/* Looks where the hierarchies are and whether `root` can be made in them; "none" is an answer. */
void cgroup_host_find(const char *root, struct cgroup_host *ret_host);
/* As cgroup_host_find, from a file in the form of /proc/self/mounts. */
void cgroup_host_read(const char *mounts_path, const char *root, struct cgroup_host *ret_host);

/* Makes the group with its limits; an existing one is taken over. With mode NONE: does nothing. */
int cgroup_create(const struct cgroup_host *host, const char *path,
                  const struct cgroup_limits *limits, struct error *err) WARN_UNUSED;
/* Moves a process (0: the caller) into it. Only system calls: usable between fork and exec. */
int cgroup_join(const struct cgroup_host *host, const char *path, pid_t pid) WARN_UNUSED;
/* Kills every process in it, once; the dying may take a moment, new forks one more call. */
void cgroup_kill(const struct cgroup_host *host, const char *path);
bool cgroup_is_empty(const struct cgroup_host *host, const char *path); /* or is not there */
/* Removes the empty group. ERR_IO while something is left in it. */
int cgroup_remove(const struct cgroup_host *host, const char *path, struct error *err) WARN_UNUSED;
/* ERR_NOT_FOUND when the group is not there or nothing accounts for it. */
int cgroup_read(const struct cgroup_host *host, const char *path,
                struct cgroup_usage *ret_usage) WARN_UNUSED;
