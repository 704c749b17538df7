#include "tests/bench/sim/peers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define SOURCES BERTH_SOURCE_DIR "/tests/bench/sim/"

static void compile(struct peers *peers, int at, const char *source, const char *library);
static int run_quietly(char *const argv[]);

void peers_init(struct peers *peers)
{
    *peers = (struct peers){
        .list = {
            {.name = "ns-3, an event for each step",
             .tasks = 3000000,
             .missing = "libns3-dev and g++ are not installed"},
            {.name = "ns-3, one event for a trip",
             .tasks = 3000000,
             .mode = "whole",
             .missing = "libns3-dev and g++ are not installed"},
            {.name = "SimPy", .tasks = 300000, .missing = "python3-simpy3 is not installed"},
            {.name = "SimGrid",
             .tasks = 100000,
             .missing = "libsimgrid-dev and g++ are not installed"},
        }};
    char *const simpy[] = {"/usr/bin/python3", "-c",
                           "import simpy, sys; sys.exit(simpy.__version__ < '3')", NULL};
    if (run_quietly(simpy) == 0) {
        peers->list[2].program = "/usr/bin/python3";
        peers->list[2].script = SOURCES "peer_simpy.py";
    }
    snprintf(peers->directory, sizeof peers->directory, "%s", BERTH_BINARY_DIR "/bench_sim.XXXXXX");
    if (mkdtemp(peers->directory) == NULL) {
        peers->directory[0] = '\0';
        return;
    }
    compile(peers, 0, SOURCES "peer_ns3.cc", "-lns3-core");
    compile(peers, 3, SOURCES "peer_simgrid.cc", "-lsimgrid");
    if (peers->list[0].program != NULL)
        peers->list[1].program = peers->list[0].program;
}

void peers_done(struct peers *peers)
{
    for (int i = 0; i < PEERS; i++)
        if (peers->list[i].path[0] != '\0')
            (void)unlink(peers->list[i].path); /* it may not have been made */
    if (peers->directory[0] != '\0')
        (void)rmdir(peers->directory);
}

bool peer_run(const struct peer *peer, int64_t per_s, int64_t slots, struct peer_run *ret_run)
{
    char numbers[3][24];
    const int64_t values[3] = {per_s, slots, peer->tasks};
    for (int i = 0; i < 3; i++)
        snprintf(numbers[i], sizeof numbers[i], "%lld", (long long)values[i]);
    const char *argv[8];
    int argc = 0;
    argv[argc++] = peer->program;
    if (peer->script != NULL)
        argv[argc++] = peer->script;
    for (int i = 0; i < 3; i++)
        argv[argc++] = numbers[i];
    argv[argc++] = "1";
    argv[argc++] = peer->mode;
    argv[argc] = NULL;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return false;
    int64_t began_us = clock_mono_now().us;
    pid_t child = fork();
    if (child == 0) {
        if (dup2(ends[1], STDOUT_FILENO) >= 0)
            execv(peer->program, (char *const *)argv);
        _exit(127);
    }
    close(ends[1]);
    char line[128];
    unsigned long long tasks = 0;
    unsigned long long to_cloud = 0;
    bool good = child > 0 && child_wait(child, ends[0], began_us, line, sizeof line, ret_run) &&
                sscanf(line, "%llu %llu", &tasks, &to_cloud) == 2;
    ret_run->tasks = tasks;
    ret_run->to_cloud = to_cloud;
    return good && tasks > 0;
}

bool child_wait(pid_t child, int fd, int64_t began_us, char *line, size_t line_bytes,
                struct peer_run *ret_run)
{
    size_t used = 0;
    ssize_t got;
    do {
        got = read(fd, line + used, line_bytes - 1 - used);
        used += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && used < line_bytes - 1) || (got < 0 && errno == EINTR));
    line[used] = '\0';
    close(fd);
    int status = 0;
    struct rusage usage;
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR)
            return false;
    ret_run->wall_s = (double)(clock_mono_now().us - began_us) / 1e6;
    ret_run->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    ret_run->memory_mb = (double)usage.ru_maxrss / 1024;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void compile(struct peers *peers, int at, const char *source, const char *library)
{
    struct peer *peer = &peers->list[at];
    snprintf(peer->path, sizeof peer->path, "%s/peer%d", peers->directory, at);
    char *const argv[] = {"/usr/bin/c++", "-O2",           "-o", peer->path,
                          (char *)source, (char *)library, NULL};
    if (run_quietly(argv) == 0)
        peer->program = peer->path;
}

/* The exit code; -1 when it could not run. */
static int run_quietly(char *const argv[])
{
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null >= 0 && dup2(null, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0)
            execv(argv[0], argv);
        _exit(127);
    }
    int status = 0;
    if (child < 0)
        return -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
