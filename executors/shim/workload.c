/*
 * workload: the process itself. What isolation there is: a cgroup of its own with limits, rlimits,
 * no_new_privs, a clean environment, no descriptor but 0, 1, 2, a session of its own. It runs as
 * the agent's user and sees the agent's files.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/keys/keys.h"
#include "executors/drivers/process/elf.h"
#include "executors/shim/shim.h"

#define NOFILE_MAX 65536

struct launch {
    int artifact;
    int pipes[2][2];
    int failure[2]; /* closed by a successful exec; else: a step and its errno */
    char *argv[LIMIT_ARGS + 2];
    char *envp[START_ENV_MAX + 1];
    bool script;
};

enum step { STEP_CGROUP, STEP_LIMITS, STEP_OUTPUT, STEP_EXEC };
static const char *const step_words[] = {"enter its cgroup", "set its limits", "connect its output",
                                         "execute the artifact"};

static int open_artifact(const struct start *start, struct launch *launch, struct error *err);
static int run(struct shim *shim, struct launch *launch, struct error *err);
static void child(const struct shim *shim, const struct launch *launch) __attribute__((noreturn));
static bool child_prepare(const struct shim *shim, const struct launch *launch, int *ret_step);
static int await_exec(struct shim *shim, struct launch *launch, struct error *err);
static void kill_children(void);

int workload_start(struct shim *shim, struct error *err)
{
    const struct start *start = &shim->start;
    struct launch launch = {.artifact = -1, .pipes = {{-1, -1}, {-1, -1}}, .failure = {-1, -1}};
    int rc = open_artifact(start, &launch, err);
    if (rc < 0)
        return rc;
    if (shim->has_cgroup)
        rc = cgroup_create(&shim->host, start->cgroup, &start->limits, err);
    /* execve never writes to what it is given. */
    launch.argv[0] = (char *)(uintptr_t)start->name;
    for (int i = 0; i < start->arg_count; i++)
        launch.argv[i + 1] = (char *)(uintptr_t)start->args[i];
    for (int i = 0; i < start->env_count; i++)
        launch.envp[i] = (char *)(uintptr_t)start->env[i];
    if (rc == 0 && (pipe2(launch.failure, O_CLOEXEC) < 0 || pipe2(launch.pipes[0], O_CLOEXEC) < 0 ||
                    pipe2(launch.pipes[1], O_CLOEXEC) < 0))
        rc = error_set(err, ERR_IO, errno, "make pipes for the workload");
    if (rc == 0)
        rc = run(shim, &launch, err);
    int *left[] = {&launch.artifact,    &launch.failure[0],  &launch.failure[1],
                   &launch.pipes[0][0], &launch.pipes[0][1], &launch.pipes[1][0],
                   &launch.pipes[1][1]};
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        if (*left[i] >= 0)
            (void)close(*left[i]);
    return rc;
}

void workload_kill(struct shim *shim)
{
    shim->killing = true;
    if (shim->has_cgroup)
        cgroup_kill(&shim->host, shim->start.cgroup);
    /* Without a cgroup, or for what left it: orphans come to us, their subreaper. */
    kill_children();
}

bool workload_reap(struct shim *shim)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == 0 || (pid < 0 && errno == EINTR))
            return false;
        if (pid < 0)
            return !shim->has_cgroup || cgroup_is_empty(&shim->host, shim->start.cgroup);
        if (pid != shim->pid)
            continue;
        shim->pid = 0;
        shim->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        workload_kill(shim);
    }
}

/* The digest is taken from the descriptor that is executed: what was verified is what runs. */
static int open_artifact(const struct start *start, struct launch *launch, struct error *err)
{
    launch->artifact = open(start->artifact, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (launch->artifact < 0)
        return error_set(err, ERR_NOT_FOUND, errno, "open the stored artifact '%.200s'",
                         start->artifact);
    char digest[LIMIT_DIGEST_BYTES];
    struct utsname machine;
    enum elf_kind kind;
    int rc = digest_fd(launch->artifact, digest, err);
    if (rc == 0 && strcmp(digest, start->digest) != 0)
        rc = error_set(err, ERR_CORRUPT, 0, "the stored artifact is %s, the spec names %s", digest,
                       start->digest);
    if (rc == 0 && uname(&machine) < 0)
        rc = error_set(err, ERR_IO, errno, "uname");
    if (rc == 0)
        rc = elf_check_fd(launch->artifact, machine.machine, &kind, err);
    if (rc < 0) {
        (void)close(launch->artifact);
        launch->artifact = -1;
        return rc;
    }
    launch->script = kind == ELF_SCRIPT;
    return 0;
}

static int run(struct shim *shim, struct launch *launch, struct error *err)
{
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, ERR_UNAVAILABLE, errno, "fork the workload");
    if (pid == 0)
        child(shim, launch);
    shim->pid = pid;
    for (int i = 0; i < 2; i++) {
        shim->streams[i].fd = launch->pipes[i][0];
        (void)fcntl(shim->streams[i].fd, F_SETFL, O_NONBLOCK);
        launch->pipes[i][0] = -1;
    }
    (void)close(launch->failure[1]);
    launch->failure[1] = -1;
    return await_exec(shim, launch, err);
}

static void child(const struct shim *shim, const struct launch *launch)
{
    int step = STEP_EXEC;
    if (child_prepare(shim, launch, &step)) {
        /* A script's interpreter opens it again as /dev/fd/<n>: that descriptor stays open. */
        if (launch->script)
            (void)fcntl(launch->artifact, F_SETFD, 0);
        (void)fexecve(launch->artifact, launch->argv, launch->envp);
    }
    int told[2] = {step, errno};
    ssize_t ignored = write(launch->failure[1], told, sizeof(told));
    _exit(ignored < 0 ? 126 : 127);
}

static bool child_prepare(const struct shim *shim, const struct launch *launch, int *ret_step)
{
    *ret_step = STEP_CGROUP;
    if (shim->has_cgroup && cgroup_join(&shim->host, shim->start.cgroup, 0) < 0)
        return false;
    *ret_step = STEP_OUTPUT;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, 0) < 0 || dup2(launch->pipes[0][1], 1) < 0 ||
        dup2(launch->pipes[1][1], 2) < 0)
        return false;
    *ret_step = STEP_LIMITS;
    (void)setsid();
    struct rlimit files;
    struct rlimit none = {0, 0};
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return false;
    if (files.rlim_max > NOFILE_MAX)
        files.rlim_max = NOFILE_MAX;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return false;
    if (getppid() == 1)
        return false; /* the shim died before the line above: nobody would own this process */
    /* Everything open is close-on-exec already; this covers what a library may have left. */
    (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    sigset_t nothing;
    (void)sigemptyset(&nothing);
    (void)sigprocmask(SIG_SETMASK, &nothing, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)umask(022);
    *ret_step = STEP_EXEC;
    return true;
}

static int await_exec(struct shim *shim, struct launch *launch, struct error *err)
{
    int told[2];
    ssize_t got;
    do {
        got = read(launch->failure[0], told, sizeof(told));
    } while (got < 0 && errno == EINTR);
    if (got == 0)
        return 0;
    int status;
    (void)waitpid(shim->pid, &status, 0);
    shim->pid = 0;
    if (got != (ssize_t)sizeof(told) || told[0] < 0 || told[0] > STEP_EXEC)
        return error_set(err, ERR_IO, 0, "the workload ended before it began");
    int code = told[0] == STEP_EXEC ? ERR_UNSUPPORTED : ERR_IO;
    return error_set(err, code, told[1], "the workload could not %s", step_words[told[0]]);
}

static void kill_children(void)
{
    char path[64];
    str_format(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    CLEANUP(cleanup_file) FILE *file = fopen(path, "re");
    int pid;
    while (file != NULL && fscanf(file, "%d", &pid) == 1)
        if (pid > 1)
            (void)kill(pid, SIGKILL);
}
