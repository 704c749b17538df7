/*
 * children: the programs that `berth up` runs, as a table: started in order, watched, started again
 * with back-off when they end by themselves, stopped in the opposite order.
 *
 * Each child has its own process group, so that Ctrl-C on the terminal reaches only `up`, which
 * then stops them in order; and it is told to end (SIGTERM) when `up` itself dies, so that nothing
 * is left behind even after SIGKILL. Its output goes to a file of its own. Between fork and exec
 * only async-signal-safe functions run. Only pids that were started here, and not yet reaped, are
 * ever signalled. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"

#define CHILD_ARGS_MAX 128
#define CHILDREN_MAX   160 /* a server, leaf servers, a scheduler, nodes: 2 x OPTION_LIST_MAX + 2 */

struct child {
    char name[LIMIT_NAME_BYTES * 2]; /* "nats-server", "leaf far", "scheduler", "node n1" */
    char log_path[LIMIT_PATH_BYTES];
    char *arguments[CHILD_ARGS_MAX]; /* malloc'd, NULL at the end; [0] is the program's path */
    int argument_count;
    int64_t stop_timeout_us; /* from SIGTERM to SIGKILL */
    pid_t pid;               /* 0: not running */
    int status;              /* of its last end, as waitpid gives it */
    int ends;                /* by itself, in a row */
    struct mono started;
    struct mono retry; /* when it is started again; us 0: not waiting */
    bool stopping;
};

struct children {
    struct child list[CHILDREN_MAX];
    int count;
};

/* A new entry, not started; NULL when the table is full. */
struct child *children_add(struct children *children, const char *name, const char *log_path);
/* Adds an argument, copied; a failure shows in child_start. */
void child_argument(struct child *child, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int child_start(struct child *child, struct error *err) WARN_UNUSED;

/* Reaps what has ended. For each child that ended by itself, `told` is called with a sentence, and
 * it will be started again by children_restart. Returns how many ended by themselves. */
typedef void children_told(void *context, const struct child *child, const char *text);
int children_reap(struct children *children, children_told *told, void *context);
/* Starts those whose time has come. */
void children_restart(struct children *children, children_told *told, void *context);
/* Until the next of them is due; -1: none. */
int64_t children_timeout_us(const struct children *children);

/* Ends those from `first` on, the last one first: SIGTERM, wait, SIGKILL, reaped. */
void children_stop(struct children *children, int first);
/* Ends several at once: SIGTERM to each of first..last-1, then waits for all. */
void children_stop_together(struct children *children, int first, int last);
void children_done(struct children *children); /* stops what is left, and frees */

/* "ended with 3", "killed by signal 9 (Killed)". */
const char *child_end_text(int status, char out[LIMIT_TEXT_BYTES]);
