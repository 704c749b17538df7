/*
 * start: what a shim is told, as a file in the instance's folder (mode 0600: it holds the
 * environment): "key=value" entries, each ended by a zero byte. Written by the agent before it
 * starts the shim, read once by the shim. One thread.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "executors/drivers/process/cgroup.h"

#define START_FILE       "start"
#define START_EXIT       "exit"       /* written by the shim when the workload has ended */
#define START_AGENT_SOCK "agent.sock" /* where an agent that was restarted finds the shim */
#define START_WORK_SOCK  "berth.sock" /* $BERTH_SOCKET */
#define START_AGENT_FD   3            /* the first agent's connection, inherited */
#define START_ENV_MAX    (LIMIT_ENV + 16)
#define START_BYTES_MAX  (512 << 10)

struct start {
    char instance[LIMIT_ID_BYTES];
    char name[LIMIT_NAME_BYTES]; /* argv[0] */
    char artifact[LIMIT_PATH_BYTES];
    char digest[LIMIT_DIGEST_BYTES];
    char cgroup_root[LIMIT_NAME_BYTES];
    char cgroup[LIMIT_PATH_BYTES];
    struct cgroup_limits limits;
    int64_t life; /* changes with every start of the instance */
    int64_t log_bytes;
    int64_t log_files;
    int arg_count;
    int env_count;
    const char *args[LIMIT_ARGS];
    const char *env[START_ENV_MAX]; /* "NAME=value" */
    char *text;                     /* owns what args and env point to; freed by start_done */
};

/* Whole or absent to a reader, but not synced: after a crash of the machine there is no shim. */
int start_write(int folder_fd, const struct start *start, struct error *err) WARN_UNUSED;
int start_read(int folder_fd, struct start *ret_start, struct error *err) WARN_UNUSED;
void start_done(struct start *start);

/* The "exit" file: durable, whole or absent. ERR_NOT_FOUND when there is none. */
int start_exit_write(int folder_fd, int exit_code, int64_t life, struct error *err) WARN_UNUSED;
int start_exit_read(int folder_fd, int *ret_exit_code, int64_t *ret_life,
                    struct error *err) WARN_UNUSED;

/* Writes a file beside, syncs it, renames it into place and syncs the folder: after a crash the
 * name has the old content or the new one. */
int start_file_replace(int folder_fd, const char *name, const void *data, size_t bytes,
                       unsigned mode, struct error *err) WARN_UNUSED;
/* The whole file, terminated, malloc'd. */
int start_file_load(int folder_fd, const char *name, size_t bytes_max, char **ret_text,
                    size_t *ret_bytes, struct error *err) WARN_UNUSED;
