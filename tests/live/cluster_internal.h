/*
 * cluster_internal: what the files of cluster.h share.
 */
#pragma once

#include "tests/live/cluster.h"

/* Kills every process that has the folder in its environment, arguments or working directory (but
 * this one and its parent), until there is none; removes the cgroups below `cgroup`, and it. */
void cluster_sweep(const char *folder, const char *cgroup);
