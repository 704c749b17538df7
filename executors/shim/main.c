/* berth-shim: see shim.h. Started by berth-node; not meant to be run by hand. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "executors/shim/shim.h"

enum {
    POLL_SIGNAL,
    POLL_AGENT_LISTEN,
    POLL_WORK_LISTEN,
    POLL_AGENT,
    POLL_LEASE,
    POLL_STREAM,
    POLL_WORK = POLL_STREAM + 2,
    POLL_COUNT = POLL_WORK + SHIM_CONNECTIONS
};

static int check(const char *folder, const char *command);
static int prepare(struct shim *shim, const char *folder, struct error *err);
static void serve(struct shim *shim);
static void turn(struct shim *shim, int timeout_ms);
static void take_signals(struct shim *shim);
static void finish(struct shim *shim);
static void report_failure(struct shim *shim, const struct error *err);

static const char usage[] =
    "usage: berth-shim FOLDER\n"
    "\n"
    "Runs the one workload that FOLDER/start describes: owns its output, its cgroup, its exit\n"
    "status and its contract socket, so that berth-node may restart without touching it.\n"
    "Started by berth-node. See docs/workload-contract.md and berth-node(8).\n";

int main(int argc, char **argv)
{
    static struct shim shim; /* large buffers: not on the stack */
    struct error err;
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)fputs(usage, stdout);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)puts("berth-shim " BERTH_VERSION);
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "--check") == 0)
        return check(argv[2], argv[3]);
    if (argc != 2) {
        (void)fputs(usage, stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)close_range(START_AGENT_FD + 1, ~0U, 0);
    if (prepare(&shim, argv[1], &err) < 0 || workload_start(&shim, &err) < 0) {
        report_failure(&shim, &err);
        return 1;
    }
    talk_say(&shim, "running %d", (int)shim.pid);
    talk_flush(&shim);
    serve(&shim);
    return 0;
}

/* --check FOLDER COMMAND: a readiness command, where and as the workload runs. */
static int check(const char *folder, const char *command)
{
    static struct start start;
    struct cgroup_host host;
    struct error err;
    char *envp[START_ENV_MAX + 1] = {NULL};
    int fd = chdir(folder) < 0 ? -1 : open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || start_read(fd, &start, &err) < 0)
        return 126;
    cgroup_host_find(start.cgroup_root, &host);
    if (start.cgroup[0] != 0 && cgroup_join(&host, start.cgroup, 0) < 0)
        return 126;
    for (int i = 0; i < start.env_count; i++)
        envp[i] = (char *)(uintptr_t)start.env[i];
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    (void)execle("/bin/sh", "sh", "-c", command, (char *)NULL, envp);
    return 127;
}

static int prepare(struct shim *shim, const char *folder, struct error *err)
{
    shim->agent.fd = -1;
    shim->streams[0].fd = shim->streams[1].fd = -1;
    for (int i = 0; i < SHIM_CONNECTIONS; i++)
        shim->work[i].fd = -1;
    strbuf_init(&shim->out, SHIM_BACKLOG_MAX);
    str_format(shim->last_word, sizeof(shim->last_word), "none");
    if (fcntl(START_AGENT_FD, F_SETFD, FD_CLOEXEC) == 0) {
        (void)fcntl(START_AGENT_FD, F_SETFL, O_NONBLOCK);
        shim->agent.fd = START_AGENT_FD;
        lines_init(&shim->agent.lines, shim->agent.buffer, sizeof(shim->agent.buffer));
    }
    (void)setsid(); /* fails when berth-node has made the session already */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return error_set(err, ERR_IO, errno, "become the subreaper of the workload");
    if (chdir(folder) < 0)
        return error_set(err, ERR_IO, errno, "enter '%s'", folder);
    shim->folder_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (shim->folder_fd < 0)
        return error_set(err, ERR_IO, errno, "open '%s'", folder);
    int rc = keys_init(err);
    if (rc == 0)
        rc = start_read(shim->folder_fd, &shim->start, err);
    if (rc < 0)
        return rc;
    cgroup_host_find(shim->start.cgroup_root, &shim->host);
    shim->has_cgroup = shim->host.mode != CGROUP_NONE && shim->start.cgroup[0] != 0;
    static const char *const names[2] = {"stdout.log", "stderr.log"};
    for (int i = 0; i < 2 && rc == 0; i++) {
        struct shim_stream *stream = &shim->streams[i];
        lines_init(&stream->lines, stream->buffer, sizeof(stream->buffer));
        rc = logfile_open(&stream->log, names[i], shim->start.log_bytes, (int)shim->start.log_files,
                          err);
    }
    if (rc < 0)
        return rc;
    sigset_t mask;
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGCHLD);
    (void)sigaddset(&mask, SIGTERM);
    (void)sigaddset(&mask, SIGINT);
    (void)sigaddset(&mask, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &mask, NULL);
    shim->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (shim->signal_fd < 0)
        return error_set(err, ERR_IO, errno, "signalfd");
    shim->lease_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (shim->lease_fd < 0)
        return error_set(err, ERR_IO, errno, "make the timer of the lease");
    return talk_listen(shim, err);
}

static void serve(struct shim *shim)
{
    int64_t ended_us = 0;
    for (;;) {
        int timeout_ms = -1;
        if (shim->ended) {
            int64_t gone_ms = (clock_boot_now().us - ended_us) / US_PER_MS;
            if (shim->collected || gone_ms >= SHIM_LINGER_MS)
                return;
            timeout_ms = (int)(SHIM_LINGER_MS - gone_ms);
        } else if (shim->killing || shim->pid == 0) {
            timeout_ms = SHIM_KILL_MS;
        }
        turn(shim, timeout_ms);
        if (shim->ended)
            continue;
        if (workload_reap(shim) && shim->pid == 0) {
            finish(shim);
            ended_us = clock_boot_now().us;
        } else if (shim->killing || shim->pid == 0) {
            workload_kill(shim);
        }
    }
}

static void turn(struct shim *shim, int timeout_ms)
{
    struct pollfd fds[POLL_COUNT];
    fds[POLL_SIGNAL] = (struct pollfd){.fd = shim->signal_fd, .events = POLLIN};
    fds[POLL_AGENT_LISTEN] = (struct pollfd){.fd = shim->agent_listen, .events = POLLIN};
    fds[POLL_WORK_LISTEN] = (struct pollfd){.fd = shim->work_listen, .events = POLLIN};
    short out = shim->out.bytes > shim->out_sent ? POLLOUT : 0;
    fds[POLL_AGENT] = (struct pollfd){.fd = shim->agent.fd, .events = (short)(POLLIN | out)};
    fds[POLL_LEASE] = (struct pollfd){.fd = shim->lease_fd, .events = POLLIN};
    for (int i = 0; i < 2; i++)
        fds[POLL_STREAM + i] = (struct pollfd){.fd = shim->streams[i].fd, .events = POLLIN};
    for (int i = 0; i < SHIM_CONNECTIONS; i++)
        fds[POLL_WORK + i] = (struct pollfd){.fd = shim->work[i].fd, .events = POLLIN};
    if (poll(fds, POLL_COUNT, timeout_ms) <= 0)
        return;
    if (fds[POLL_SIGNAL].revents != 0)
        take_signals(shim);
    for (int i = 0; i < 2; i++)
        if (fds[POLL_STREAM + i].revents != 0)
            talk_read_stream(shim, i, false);
    for (int i = 0; i < SHIM_CONNECTIONS; i++)
        if (fds[POLL_WORK + i].revents != 0)
            talk_read_work(shim, i);
    if (fds[POLL_AGENT].revents != 0 && shim->agent.fd >= 0)
        talk_read_agent(shim);
    if (fds[POLL_LEASE].revents != 0)
        talk_lease(shim);
    if (fds[POLL_WORK_LISTEN].revents != 0)
        talk_accept_work(shim);
    if (fds[POLL_AGENT_LISTEN].revents != 0)
        talk_accept_agent(shim);
    talk_flush(shim);
}

static void take_signals(struct shim *shim)
{
    struct signalfd_siginfo info;
    while (read(shim->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if (info.ssi_signo != SIGCHLD && shim->pid > 0)
            (void)kill(shim->pid, SIGTERM); /* the machine goes down: pass it on */
}

/* Nothing of the workload is left: its last words, then the status, on disk first. */
static void finish(struct shim *shim)
{
    for (int i = 0; i < SHIM_CONNECTIONS; i++)
        if (shim->work[i].fd >= 0)
            talk_read_work(shim, i);
    for (int i = 0; i < 2; i++) {
        talk_read_stream(shim, i, true);
        logfile_close(&shim->streams[i].log);
    }
    struct error err;
    if (start_exit_write(shim->folder_fd, shim->exit_code, shim->start.life, &err) < 0)
        (void)fprintf(stderr, "berth-shim: %s\n", err.text);
    shim->ended = true;
    talk_say(shim, "exit %d", shim->exit_code);
    talk_flush(shim);
}

static void report_failure(struct shim *shim, const struct error *err)
{
    (void)fprintf(stderr, "berth-shim: %s\n", err->text);
    if (shim->agent.fd >= 0)
        (void)fcntl(shim->agent.fd, F_SETFL, 0); /* blocking: these are the last words */
    talk_say(shim, "unstarted %d %.500s", err->code, err->text);
    talk_flush(shim);
}
