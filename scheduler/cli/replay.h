/*
 * replay: a scenario made of what a scheduler recorded: the documents of its journal, the nodes it
 * had, tags as people changed them, and the load that its rollups measured.
 *
 * The scenario and its documents are files of a folder, as anybody could have written them: kept,
 * they can be read, changed and run again. The scheduler whose folder is read may be running; it is
 * neither asked nor disturbed. One thread.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "scheduler/cli/options.h"
#include "scheduler/cli/scratch.h"

struct replay_request {
    const char *folder;             /* of `berth up`, or a scheduler's state folder */
    const char *keep;               /* where the scenario is written; NULL: a folder for this run */
    int64_t last_us;                /* how much of what was measured, from its end; 0: 7 days */
    const struct option_list *sets; /* overrides from the beginning on */
};

struct replay {
    char folder[LIMIT_PATH_BYTES];   /* of the scenario */
    char scenario[LIMIT_PATH_BYTES]; /* its file */
    char told[1024];                 /* sentences about what is replayed, and what was assumed */
    int left; /* workloads of whom hit ratios and bytes found no room among the events */
    bool kept;
    struct scratch scratch; /* unless it is kept */
};

int replay_write(const struct replay_request *request, struct replay *ret_replay,
                 struct error *err) WARN_UNUSED;
/* Removes the folder of a run unless it was to be kept. */
void replay_remove(struct replay *replay);
