/* What a cluster left on the machine: processes and cgroups. It looks at /proc and at the cgroup
 * trees itself, without a word of the code under test. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/cluster_internal.h"

#define CGROUPS "/sys/fs/cgroup"

typedef void process_visitor(void *context, pid_t pid, const char *command);

struct orphans {
    const struct cluster *cluster;
    int count;
    int ingresses; /* seen so far */
    bool print;
};

static void processes_of(const char *folder, process_visitor *visit, void *context);
static bool file_has(pid_t pid, const char *file, const char *text);
static bool is_inside(pid_t pid, const char *folder);
static bool is_haproxy(pid_t pid, const char *command);
static pid_t parent_of(pid_t pid);
static void orphan_count(void *context, pid_t pid, const char *command);
static void orphan_kill(void *context, pid_t pid, const char *command);
static int groups_below(const char *cgroup, bool print, bool remove);

int cluster_orphans(const struct cluster *cluster, bool print)
{
    struct orphans orphans = {.cluster = cluster, .print = print};
    processes_of(cluster->hub.folder, orphan_count, &orphans);
    return orphans.count;
}

int cluster_cgroups(const struct cluster *cluster, bool print)
{
    return groups_below(cluster->cgroup, print, false);
}

void cluster_no_orphans(struct cluster *cluster)
{
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    while ((cluster_orphans(cluster, false) > 0 || cluster_cgroups(cluster, false) > 0) &&
           clock_mono_now().us < until_us)
        cluster_pause(50 * US_PER_MS);
    int processes = cluster_orphans(cluster, true);
    int groups = cluster_cgroups(cluster, true);
    if (processes > 0 || groups > 0)
        fail_msg("%d processes and %d cgroups were left", processes, groups);
}

void cluster_sweep(const char *folder, const char *cgroup)
{
    int left = 0;
    for (int i = 0; i < 200; i++) {
        left = 0;
        processes_of(folder, orphan_kill, &left);
        if (left == 0)
            break;
        cluster_pause(20 * US_PER_MS);
    }
    /* The kernel lets a group go a moment after its last process. */
    for (int i = 0; i < 100 && groups_below(cgroup, false, true) > 0; i++)
        cluster_pause(20 * US_PER_MS);
}

static void processes_of(const char *folder, process_visitor *visit, void *context)
{
    DIR *dir = opendir("/proc");
    assert_non_null(dir);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        int64_t number = 0;
        if (str_to_i64(entry->d_name, &number) < 0)
            continue;
        pid_t pid = (pid_t)number;
        if (pid == getpid() || pid == getppid())
            continue;
        if (!file_has(pid, "environ", folder) && !file_has(pid, "cmdline", folder) &&
            !is_inside(pid, folder))
            continue;
        char path[64];
        char command[256] = "";
        str_format(path, sizeof(path), "/proc/%d/comm", (int)pid);
        FILE *file = fopen(path, "re");
        if (file != NULL) {
            (void)!fgets(command, sizeof(command), file);
            fclose(file);
        }
        command[strcspn(command, "\n")] = 0;
        visit(context, pid, command);
    }
    closedir(dir);
}

static void orphan_count(void *context, pid_t pid, const char *command)
{
    struct orphans *orphans = context;
    const struct cluster *cluster = orphans->cluster;
    const pid_t own[] = {cluster->hub.pid,      cluster->leaf.pid,    cluster->proxy_pid,
                         cluster->load_pid,     cluster->guard_pid,   cluster->scheduler_pid,
                         cluster->nodes[0].pid, cluster->nodes[1].pid};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (own[i] == pid)
            return;
    /* An ingress is to outlive its agent; what is more than one each is left over. */
    int ingresses = (cluster->nodes[0].http_port != 0) + (cluster->nodes[1].http_port != 0);
    if (is_haproxy(pid, command) && orphans->ingresses++ < ingresses)
        return;
    /* The solver's workers are the running scheduler's. */
    if (cluster->scheduler_pid > 0 && parent_of(pid) == cluster->scheduler_pid)
        return;
    orphans->count++;
    if (orphans->print)
        print_error("left: process %d (%s)\n", (int)pid, command);
}

static void orphan_kill(void *context, pid_t pid, const char *command)
{
    (void)command;
    (*(int *)context)++;
    kill(pid, SIGKILL);
}

/* A zombie has neither environment nor arguments, so it is not found here. */
static bool file_has(pid_t pid, const char *file, const char *text)
{
    char path[64];
    str_format(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    static char data[256 << 10];
    size_t bytes = 0;
    ssize_t got;
    while (bytes < sizeof(data) && (got = read(fd, data + bytes, sizeof(data) - bytes)) > 0)
        bytes += (size_t)got;
    close(fd);
    return bytes > 0 && memmem(data, bytes, text, strlen(text)) != NULL;
}

static bool is_inside(pid_t pid, const char *folder)
{
    char path[64];
    char target[4096];
    str_format(path, sizeof(path), "/proc/%d/cwd", (int)pid);
    ssize_t bytes = readlink(path, target, sizeof(target) - 1);
    if (bytes <= 0)
        return false;
    target[bytes] = 0;
    return str_starts(target, folder);
}

/* An unpacked one is run by the loader of its release, whose name it then has. */
static bool is_haproxy(pid_t pid, const char *command)
{
    return str_equal(command, "haproxy") ||
           (str_starts(command, "ld-linux") && file_has(pid, "cmdline", "/haproxy"));
}

static pid_t parent_of(pid_t pid)
{
    char path[64];
    char line[512];
    int parent = 0;
    str_format(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    const char *end = fgets(line, sizeof(line), file) == NULL ? NULL : strrchr(line, ')');
    if (end == NULL || sscanf(end, ") %*c %d", &parent) != 1)
        parent = 0;
    fclose(file);
    return (pid_t)parent;
}

static bool walk_print;
static bool walk_remove;
static int walk_count;

/* Depth 0 is the top group, 1 a node's, deeper a workload's. */
static int walk_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    if (kind != FTW_D && kind != FTW_DP)
        return 0;
    if (walk_remove) {
        if (rmdir(path) < 0 && errno != ENOENT)
            walk_count++;
        return 0;
    }
    if (place->level < 2)
        return 0;
    walk_count++;
    if (walk_print)
        print_error("left: cgroup %s\n", path);
    return 0;
}

/* In each hierarchy of a v1 or hybrid machine, and in the one of v2. */
static int groups_below(const char *cgroup, bool print, bool remove)
{
    walk_print = print;
    walk_remove = remove;
    walk_count = 0;
    char path[1024];
    str_format(path, sizeof(path), "%s/%s", CGROUPS, cgroup);
    nftw(path, walk_one, 8, FTW_DEPTH | FTW_PHYS);
    DIR *dir = opendir(CGROUPS);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        str_format(path, sizeof(path), "%s/%s/%s", CGROUPS, entry->d_name, cgroup);
        nftw(path, walk_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    if (dir != NULL)
        closedir(dir);
    return walk_count;
}
