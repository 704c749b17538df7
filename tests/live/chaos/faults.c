#include "tests/live/chaos/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"

#define ALL_NATS [STAGE_SOURCE] = true, [STAGE_COUNTER] = true, [STAGE_STATE] = true
#define SHORT_US (600 * US_PER_MS)
#define LONG_US  ((CHAOS_NODE_TIMEOUT_MS + 3000) * US_PER_MS)
#define PIDS     64

static bool scheduler_kill(struct chaos *chaos, struct fault_now *now);
static void scheduler_start(struct chaos *chaos, const struct fault_now *now);
static bool scheduler_stop(struct chaos *chaos, struct fault_now *now);
static void scheduler_cont(struct chaos *chaos, const struct fault_now *now);
static bool agent_kill(struct chaos *chaos, struct fault_now *now);
static void agent_start(struct chaos *chaos, const struct fault_now *now);
static bool agent_stop(struct chaos *chaos, struct fault_now *now);
static void agent_cont(struct chaos *chaos, const struct fault_now *now);
static bool haproxy_kill(struct chaos *chaos, struct fault_now *now);
static bool leaf_kill(struct chaos *chaos, struct fault_now *now);
static void leaf_start(struct chaos *chaos, const struct fault_now *now);
static bool hub_kill(struct chaos *chaos, struct fault_now *now);
static bool hub_wipe(struct chaos *chaos, struct fault_now *now);
static void hub_start(struct chaos *chaos, const struct fault_now *now);
static bool cut(struct chaos *chaos, struct fault_now *now);
static bool cut_one_way(struct chaos *chaos, struct fault_now *now);
static void heal(struct chaos *chaos, const struct fault_now *now);
static bool disk_fill(struct chaos *chaos, struct fault_now *now);
static void disk_free(struct chaos *chaos, const struct fault_now *now);
static bool node_disk_fill(struct chaos *chaos, struct fault_now *now);
static void node_disk_free(struct chaos *chaos, const struct fault_now *now);
static bool fill(const char *folder);
static void nothing(struct chaos *chaos, const struct fault_now *now);

const struct fault chaos_faults[] = {
    {"scheduler killed", .hold_min_us = 0, .hold_max_us = SHORT_US, .begin = scheduler_kill,
     .end = scheduler_start},
    /* Leases are not renewed meanwhile: owners freeze, and are the owners again afterwards. */
    {"scheduler stopped", .hold_min_us = SHORT_US, .hold_max_us = LONG_US, .begin = scheduler_stop,
     .end = scheduler_cont},
    {"agent killed", .parts = true, .hold_min_us = 0, .hold_max_us = SHORT_US, .begin = agent_kill,
     .end = agent_start},
    {"agent stopped", .parts = true, .hold_min_us = 0, .hold_max_us = SHORT_US, .begin = agent_stop,
     .end = agent_cont},
    /* Its node counts as lost; so does what ingresses had open there. */
    {"agent stopped past the lease", .loses = {[STAGE_WEB] = true, ALL_NATS}, .forgets = true,
     .hold_min_us = LONG_US, .hold_max_us = LONG_US, .begin = agent_stop, .end = agent_cont},
    {"workload killed", .loses = {[STAGE_WEB] = true, ALL_NATS}, .forgets = true, .hold_min_us = 0,
     .hold_max_us = 0, .begin = chaos_workload_kill, .end = nothing},
    {"HAProxy killed", .loses = {[STAGE_WEB] = true}, .hold_min_us = 0, .hold_max_us = 0,
     .begin = haproxy_kill, .end = nothing},
    {"leaf nats-server killed", .parts = true, .loses = {ALL_NATS}, .hold_min_us = 0,
     .hold_max_us = SHORT_US, .begin = leaf_kill, .end = leaf_start},
    {"hub nats-server killed", .parts = true, .loses = {ALL_NATS}, .hold_min_us = 0,
     .hold_max_us = SHORT_US, .begin = hub_kill, .end = hub_start},
    {"hub nats-server wiped", .parts = true, .loses = {ALL_NATS}, .forgets = true, .hold_min_us = 0,
     .hold_max_us = SHORT_US, .begin = hub_wipe, .end = hub_start},
    {"cut", .parts = true, .loses = {[STAGE_WEB] = true, ALL_NATS}, .hold_min_us = 0,
     .hold_max_us = SHORT_US, .begin = cut, .end = heal},
    {"cut past the lease", .loses = {[STAGE_WEB] = true, ALL_NATS}, .forgets = true,
     .hold_min_us = LONG_US, .hold_max_us = LONG_US, .begin = cut, .end = heal},
    {"cut one way past the lease", .loses = {[STAGE_WEB] = true, ALL_NATS}, .forgets = true,
     .hold_min_us = LONG_US, .hold_max_us = LONG_US, .begin = cut_one_way, .end = heal},
    {"journal's disk full", .hold_min_us = 0, .hold_max_us = SHORT_US, .begin = disk_fill,
     .end = disk_free},
    /* Its agent ends at the first record that it cannot keep; workloads go on. */
    {"node's disk full", .parts = true, .hold_min_us = 0, .hold_max_us = SHORT_US,
     .begin = node_disk_fill, .end = node_disk_free},
};
const int chaos_fault_count = sizeof chaos_faults / sizeof chaos_faults[0];

/* xorshift64*: the same seed, the same run, as far as the machine's timing lets it. */
uint64_t chaos_random(struct chaos *chaos, uint64_t below)
{
    uint64_t x = chaos->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    chaos->random = x;
    return below == 0 ? 0 : ((x * UINT64_C(2685821657736338717)) >> 16) % below;
}

static bool scheduler_kill(struct chaos *chaos, struct fault_now *now)
{
    (void)now;
    cluster_kill(&chaos->cluster.scheduler_pid);
    return true;
}

static void scheduler_start(struct chaos *chaos, const struct fault_now *now)
{
    (void)now;
    cluster_scheduler_start(&chaos->cluster);
}

static bool scheduler_stop(struct chaos *chaos, struct fault_now *now)
{
    (void)now;
    return kill(chaos->cluster.scheduler_pid, SIGSTOP) == 0;
}

static void scheduler_cont(struct chaos *chaos, const struct fault_now *now)
{
    (void)now;
    kill(chaos->cluster.scheduler_pid, SIGCONT);
}

static bool agent_kill(struct chaos *chaos, struct fault_now *now)
{
    cluster_kill(&chaos->cluster.nodes[now->node].pid);
    return true;
}

static void agent_start(struct chaos *chaos, const struct fault_now *now)
{
    cluster_node_start(&chaos->cluster, now->node);
}

static bool agent_stop(struct chaos *chaos, struct fault_now *now)
{
    return kill(chaos->cluster.nodes[now->node].pid, SIGSTOP) == 0;
}

static void agent_cont(struct chaos *chaos, const struct fault_now *now)
{
    kill(chaos->cluster.nodes[now->node].pid, SIGCONT);
}

bool chaos_workload_kill(struct chaos *chaos, struct fault_now *now)
{
    pid_t pids[PIDS];
    char below[64];
    str_format(below, sizeof below, "/instances/%s-", chaos->stages[now->stage].workload);
    int count = chaos_processes(chaos, now->node, below, NULL, pids, PIDS);
    if (count == 0)
        return false;
    return kill(pids[chaos_random(chaos, (uint64_t)count)], SIGKILL) == 0;
}

static bool haproxy_kill(struct chaos *chaos, struct fault_now *now)
{
    pid_t pids[PIDS];
    now->node = CLUSTER_GCP;
    int count = chaos_processes(chaos, now->node, "", "haproxy", pids, PIDS);
    for (int i = 0; i < count; i++)
        kill(pids[i], SIGKILL);
    return count > 0;
}

static bool leaf_kill(struct chaos *chaos, struct fault_now *now)
{
    (void)now;
    test_server_kill(&chaos->cluster.leaf);
    return true;
}

static void leaf_start(struct chaos *chaos, const struct fault_now *now)
{
    (void)now;
    test_server_restart(&chaos->cluster.leaf);
}

static bool hub_kill(struct chaos *chaos, struct fault_now *now)
{
    (void)now;
    test_server_kill(&chaos->cluster.hub);
    return true;
}

static bool hub_wipe(struct chaos *chaos, struct fault_now *now)
{
    char store[700];
    (void)now;
    test_server_kill(&chaos->cluster.hub);
    str_format(store, sizeof store, "%s/js", chaos->cluster.hub.folder);
    test_folder_remove(store);
    return true;
}

static void hub_start(struct chaos *chaos, const struct fault_now *now)
{
    (void)now;
    test_server_restart(&chaos->cluster.hub);
}

static bool cut(struct chaos *chaos, struct fault_now *now)
{
    (void)now;
    if (chaos->cluster.netns.pid > 0)
        netns_cut(&chaos->cluster.netns, NETNS_CUT_BOTH);
    else
        kill(chaos->cluster.proxy_pid, SIGUSR1);
    return true;
}

static bool cut_one_way(struct chaos *chaos, struct fault_now *now)
{
    if (chaos->cluster.netns.pid <= 0)
        return false;
    bool far = chaos_random(chaos, 2) == 0;
    str_format(now->text, sizeof now->text, "nothing reaches the %s side", far ? "far" : "near");
    netns_cut(&chaos->cluster.netns, far ? NETNS_CUT_TO_FAR : NETNS_CUT_TO_NEAR);
    return true;
}

static void heal(struct chaos *chaos, const struct fault_now *now)
{
    (void)now;
    if (chaos->cluster.netns.pid > 0)
        netns_cut(&chaos->cluster.netns, NETNS_WHOLE);
    else
        kill(chaos->cluster.proxy_pid, SIGUSR2);
}

static bool disk_fill(struct chaos *chaos, struct fault_now *now)
{
    (void)now;
    return chaos->disk[0] != 0 && fill(chaos->disk);
}

static void disk_free(struct chaos *chaos, const struct fault_now *now)
{
    char path[800];
    (void)now;
    str_format(path, sizeof path, "%s/filler", chaos->disk);
    assert_int_equal(unlink(path), 0);
}

static bool node_disk_fill(struct chaos *chaos, struct fault_now *now)
{
    char folder[700];
    const struct cluster *cluster = &chaos->cluster;
    str_format(folder, sizeof folder, "%s/%s", cluster->hub.folder, cluster->nodes[now->node].name);
    return cluster->options.node_disk_mib > 0 && fill(folder);
}

/* Whoever looks after the machine starts an agent again that has ended. */
static void node_disk_free(struct chaos *chaos, const struct fault_now *now)
{
    char path[800];
    struct cluster_node *node = &chaos->cluster.nodes[now->node];
    str_format(path, sizeof path, "%s/%s/filler", chaos->cluster.hub.folder, node->name);
    assert_int_equal(unlink(path), 0);
    for (int i = 0; i < 50; i++) {
        if (waitpid(node->pid, NULL, WNOHANG) == node->pid) {
            node->pid = 0;
            cluster_node_start(&chaos->cluster, now->node);
            return;
        }
        cluster_pause(10 * US_PER_MS);
    }
}

/* To the last byte, most of it at once. */
static bool fill(const char *folder)
{
    static const char block[4096];
    char path[800];
    off_t end = 0;
    str_format(path, sizeof path, "%s/filler", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (off_t step = (off_t)1 << 30; step >= (off_t)sizeof block; step /= 2)
        while (posix_fallocate(fd, end, step) == 0)
            end += step;
    assert_true(lseek(fd, 0, SEEK_END) == end);
    while (write(fd, block, sizeof block) > 0)
        ;
    close(fd);
    return true;
}

static void nothing(struct chaos *chaos, const struct fault_now *now)
{
    (void)chaos;
    (void)now;
}

bool chaos_disk_open(struct chaos *chaos)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    test_folder_make(chaos->disk, sizeof chaos->disk);
    if (mount("chaos", chaos->disk, "tmpfs", 0, "size=64m,mode=0700") == 0)
        return true;
    test_folder_remove(chaos->disk);
    chaos->disk[0] = 0;
    return false;
}

void chaos_disk_close(struct chaos *chaos)
{
    if (chaos->disk[0] == 0)
        return;
    (void)umount2(chaos->disk, MNT_DETACH);
    test_folder_remove(chaos->disk);
    chaos->disk[0] = 0;
}

int chaos_processes(const struct chaos *chaos, int node, const char *below, const char *comm,
                    pid_t *pids, int capacity)
{
    char path[600], folder[800], target[1024];
    int count = 0;
    struct dirent *entry;
    DIR *dir = opendir("/proc");
    assert_non_null(dir);
    str_format(folder, sizeof folder, "%s/%s%s", chaos->cluster.hub.folder,
               chaos->cluster.nodes[node].name, below);
    while ((entry = readdir(dir)) != NULL && count < capacity) {
        char name[32] = "";
        int64_t pid;
        if (str_to_i64(entry->d_name, &pid) < 0)
            continue;
        str_format(path, sizeof path, "/proc/%" PRId64 "/comm", pid);
        FILE *file = fopen(path, "re");
        if (file == NULL)
            continue;
        (void)!fgets(name, sizeof name, file);
        fclose(file);
        name[strcspn(name, "\n")] = 0;
        if (comm == NULL ? str_starts(name, "berth-") : !str_equal(name, comm))
            continue;
        str_format(path, sizeof path, "/proc/%" PRId64 "/%s", pid,
                   comm == NULL ? "cwd" : "cmdline");
        ssize_t bytes = 0;
        if (comm == NULL) {
            bytes = readlink(path, target, sizeof target - 1);
        } else {
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            bytes = fd < 0 ? 0 : read(fd, target, sizeof target - 1);
            if (fd >= 0)
                close(fd);
        }
        target[bytes > 0 ? bytes : 0] = 0;
        if (bytes > 0 && memmem(target, (size_t)bytes, folder, strlen(folder)) != NULL)
            pids[count++] = (pid_t)pid;
    }
    closedir(dir);
    return count;
}
