/*
 * shim: the inside of berth-shim, one small process per workload. It owns the workload's pipes, its
 * cgroup, its exit status and the socket of the workload contract, so that an agent's restart
 * touches no workload. Single-threaded; never dies of SIGPIPE.
 *
 * Life: read <folder>/start, verify the artifact from the descriptor that is then executed, make
 * the cgroup, start the workload, serve. When the main process ends, what it left is killed; when
 * nothing is left, the status goes to <folder>/exit (durably) and to the agent; the shim lingers
 * until an agent has collected it, or for SHIM_LINGER_MS.
 *
 * Lines to the agent: "running <pid>", "unstarted <code> <text>", "adopt <running|ended> <exit>
 * <last word> <life> <pid> <lease>", "log <1|2> <text>", "lost <log lines>", "exit <code>", and
 * what the workload says by contract, as it is. From the agent: "term", "kill", "collected", "lease
 * <boot_us>", and what the workload is told by contract, as it is.
 *
 * A lease: what has been told "own" and has not said "frozen" since is killed, whole, when the
 * lease ends on CLOCK_BOOTTIME, whether an agent lives or not. An "own" after the end is not passed
 * on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"
#include "executors/contract/contract_line.h"
#include "executors/drivers/process/lines.h"
#include "executors/drivers/process/logfile.h"
#include "executors/drivers/process/start.h"

#define SHIM_CONNECTIONS 8 /* of the workload: its processes, or one that reconnects */
#define SHIM_LINGER_MS   600000
#define SHIM_KILL_MS     20 /* between two kills of a tree that does not go */
#define SHIM_BACKLOG                                                             \
    (256 << 10) /* past it log lines are dropped, on their way to the agent only \
                 */
#define SHIM_BACKLOG_MAX (1 << 20)

struct shim_stream {
    int fd; /* -1: closed */
    struct lines lines;
    struct logfile log;
    char buffer[LIMIT_LOG_LINE];
};

struct shim_peer {
    int fd; /* -1: free */
    struct lines lines;
    char buffer[LIMIT_SOCKET_LINE];
};

struct shim {
    struct start start;
    struct cgroup_host host;
    bool has_cgroup;
    int folder_fd;
    int signal_fd;
    int agent_listen;
    int work_listen;
    struct shim_peer agent;
    struct strbuf out; /* to the agent */
    size_t out_sent;
    uint64_t lines_lost;
    struct shim_peer work[SHIM_CONNECTIONS];
    struct shim_stream streams[2]; /* stdout, stderr */
    pid_t pid;                     /* 0: not started, or reaped */
    bool killing;
    bool ended;     /* nothing is left of it; the exit file is written */
    bool collected; /* by an agent: the shim may go */
    int exit_code;
    char last_word[16];                 /* "none", "ready", "drained" */
    char told[LIMIT_SOCKET_LINE + 1];   /* drain, stop, freeze or own, whichever was last, for a
                                         * workload that connects again */
    char task[LIMIT_PATH_BYTES];        /* the snapshot or restore that it has not answered yet */
    char answer[LIMIT_SOCKET_LINE + 1]; /* to the last of freeze, own, snapshot and restore: said
                                         * again to an agent that comes anew; "": none yet */
    bool owning; /* told to own, and has not answered: a "frozen" that comes first is of before */
    bool owns;   /* told to own, and has not said frozen since */
    int64_t lease_us; /* until when it may, on CLOCK_BOOTTIME; 0: no end */
    int lease_fd;     /* the timer */
    int64_t counters[SAMPLE_LATENCY_US_SUM + 1];
    bool counted[SAMPLE_LATENCY_US_SUM + 1];
};

/* ---- workload.c: the process ------------------------------------------------------------------
 */
/* Verifies and starts it; *ret_pid is its main process. */
int workload_start(struct shim *shim, struct error *err) WARN_UNUSED;
/* Kills the whole tree, once. */
void workload_kill(struct shim *shim);
/* Reaps what has ended; true once nothing is left. */
bool workload_reap(struct shim *shim);

/* ---- talk.c: the agent and the contract --------------------------------------------------------
 */
int talk_listen(struct shim *shim, struct error *err) WARN_UNUSED;
void talk_accept_agent(struct shim *shim);
void talk_accept_work(struct shim *shim);
void talk_read_agent(struct shim *shim);
void talk_read_work(struct shim *shim, int index);
void talk_read_stream(struct shim *shim, int index, bool last);
/* A line to the agent, without its end; kept while there is no agent only where it is remembered.
 */
void talk_say(struct shim *shim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void talk_flush(struct shim *shim);
/* Kills an owner whose lease has ended. Called whenever the timer fires, after the agent's words
 * were read: a renewal that was waiting counts. */
void talk_lease(struct shim *shim);
