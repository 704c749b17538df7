#include "tests/bench/handoff/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"

#define PROCESSES_MAX 1024

struct process {
    int64_t pid;
    int64_t cpu_us;
    char name[16];
};

struct look {
    struct process list[PROCESSES_MAX];
    int count;
    int64_t at_us;
    int64_t busy_us;
    int64_t room_us;
};

static struct look before, after;

static void look(const struct cluster *cluster, struct look *look);
static bool process_read(const struct cluster *cluster, int64_t pid, struct process *ret_process);
static bool has_folder(int64_t pid, const char *file, const char *folder);
static void machine_read(struct look *look);
static void add(struct usage *usage, const char *name, int64_t cpu_us);

void usage_begin(const struct cluster *cluster)
{
    look(cluster, &before);
}

void usage_end(const struct cluster *cluster, struct usage *usage)
{
    look(cluster, &after);
    usage->wall_us += after.at_us - before.at_us;
    usage->busy_us += after.busy_us - before.busy_us;
    usage->room_us += after.room_us - before.room_us;
    for (int i = 0; i < after.count; i++)
        for (int k = 0; k < before.count; k++)
            if (before.list[k].pid == after.list[i].pid &&
                str_equal(before.list[k].name, after.list[i].name))
                add(usage, after.list[i].name, after.list[i].cpu_us - before.list[k].cpu_us);
}

void usage_print(const struct usage *usage, int64_t requests)
{
    int64_t sum_us = 0;
    if (usage->room_us == 0 || requests == 0)
        return;
    for (int i = 0; i < usage->count; i++)
        sum_us += usage->programs[i].cpu_us;
    printf("  processor time at rest: %.1f us a request, %.0f %% of the machine; the machine was "
           "busy to %.0f %% with this and everything else\n",
           (double)sum_us / (double)requests, 100 * (double)sum_us / (double)usage->room_us,
           100 * (double)usage->busy_us / (double)usage->room_us);
    for (int i = 0; i < usage->count; i++)
        if (usage->programs[i].cpu_us * 1000 > usage->room_us)
            printf("    %-16s %6.1f us  %5.1f %%\n", usage->programs[i].name,
                   (double)usage->programs[i].cpu_us / (double)requests,
                   100 * (double)usage->programs[i].cpu_us / (double)usage->room_us);
}

void usage_json(const struct usage *usage, int64_t requests)
{
    int64_t sum_us = 0;
    for (int i = 0; i < usage->count; i++)
        sum_us += usage->programs[i].cpu_us;
    double room_us = usage->room_us == 0 ? 1 : (double)usage->room_us;
    printf("{\"cpu_us_request\":%.2f,\"of_machine\":%.4f,\"machine_busy\":%.4f}",
           requests == 0 ? 0 : (double)sum_us / (double)requests, (double)sum_us / room_us,
           (double)usage->busy_us / room_us);
}

static void look(const struct cluster *cluster, struct look *look)
{
    struct dirent *entry;
    DIR *dir = opendir("/proc");
    assert_non_null(dir);
    *look = (struct look){.at_us = clock_mono_now().us};
    machine_read(look);
    while ((entry = readdir(dir)) != NULL && look->count < PROCESSES_MAX) {
        int64_t pid;
        if (str_to_i64(entry->d_name, &pid) == 0 &&
            process_read(cluster, pid, &look->list[look->count]))
            look->count++;
    }
    closedir(dir);
}

/* False when it is none of the cluster's, nor this program or a child of it. */
static bool process_read(const struct cluster *cluster, int64_t pid, struct process *ret_process)
{
    char path[64], text[1024];
    long long parent = 0, user = 0, system = 0;
    str_format(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[bytes] = 0;
    /* "pid (name) S ppid ...": a name may have blanks and parentheses of its own. */
    char *name = strchr(text, '('), *end = strrchr(text, ')');
    if (name == NULL || end == NULL ||
        sscanf(end + 1, " %*c %lld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld", &parent, &user,
               &system) != 3)
        return false;
    *end = 0;
    int64_t tick_us = US_PER_S / sysconf(_SC_CLK_TCK);
    *ret_process = (struct process){.pid = pid, .cpu_us = (user + system) * tick_us};
    /* A workload's program is a file of the artifact store, named by its digest. */
    str_format(ret_process->name, sizeof ret_process->name, "%.15s",
               str_starts(name + 1, "sha256-") ? "the workload" : name + 1);
    return pid == getpid() || parent == getpid() ||
           has_folder(pid, "cmdline", cluster->hub.folder) ||
           has_folder(pid, "environ", cluster->hub.folder);
}

static bool has_folder(int64_t pid, const char *file, const char *folder)
{
    char path[64];
    static char text[65536];
    str_format(path, sizeof path, "/proc/%" PRId64 "/%s", pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    return bytes > 0 && memmem(text, (size_t)bytes, folder, strlen(folder)) != NULL;
}

/* "cpu  user nice system idle iowait irq softirq steal ...", in ticks, of all processors. */
static void machine_read(struct look *look)
{
    long long user, nice, system, idle, wait, irq, soft, steal;
    FILE *file = fopen("/proc/stat", "re");
    assert_non_null(file);
    int got = fscanf(file, "cpu %lld %lld %lld %lld %lld %lld %lld %lld", &user, &nice, &system,
                     &idle, &wait, &irq, &soft, &steal);
    fclose(file);
    assert_int_equal(got, 8);
    int64_t tick_us = US_PER_S / sysconf(_SC_CLK_TCK);
    look->busy_us = (user + nice + system + irq + soft + steal) * tick_us;
    look->room_us = look->busy_us + (idle + wait) * tick_us;
}

static void add(struct usage *usage, const char *name, int64_t cpu_us)
{
    int at = 0;
    while (at < usage->count && !str_equal(usage->programs[at].name, name))
        at++;
    if (at == USAGE_PROGRAMS)
        return;
    if (at == usage->count)
        str_format(usage->programs[usage->count++].name, sizeof usage->programs[at].name, "%s",
                   name);
    usage->programs[at].cpu_us += cpu_us;
}
