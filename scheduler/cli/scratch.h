/*
 * scratch: a folder for one command's own files, below TMPDIR or /tmp, which nobody else may read.
 *
 * It goes with the command. What a command left that was killed goes when the next one begins: who
 * is at work holds a lock on its folder (flock), and a lock ends with the last of its processes,
 * however they end. Folders of other users are left alone. One thread.
 */
#pragma once

#include "base/error.h"
#include "base/limits.h"

struct scratch {
    char folder[LIMIT_PATH_BYTES]; /* "": there is none */
    int fd;                        /* locked */
};

/* Makes berth-KIND-XXXXXX, and removes those that nobody uses any more. ERR_IO. */
int scratch_open(const char *kind, struct scratch *ret_scratch, struct error *err) WARN_UNUSED;
/* Removes it with its files; a zeroed one is accepted. */
void scratch_close(struct scratch *scratch);
