/*
 * test_owner: an exclusive or stateful workload, through the contract's own library.
 *
 *     test_owner [pages=N] [rate=N] [deaf] [stuck]
 *
 * Its state is N pages of 4 KiB; while it owns, `rate` writes a second add one to a counter in a
 * page. It hands over how many writes it has made: who owns next says "failed" when the pages it
 * was given do not add up to that, so a write that is lost is seen. Snapshots are made by a child:
 * it serves meanwhile. deaf: never answers a freeze. stuck: says that a freeze failed.
 *
 * Files in its folder: "pid"; "frozen" and "owned": CLOCK_BOOTTIME in us of its last such word (of
 * freeze: when it was told); "writes".
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "executors/contract/berth_workload.h"

#define PAGE_BYTES 4096

struct owner {
    struct berth_workload *workload;
    long long pages;
    long long rate;
    bool deaf;
    bool stuck;
    bool owns;
    unsigned char *state;
    bool *dirty; /* since the last snapshot */
    uint64_t writes;
    uint64_t seed;
    int64_t from_us; /* owning since */
    uint64_t from_writes;
    pid_t child; /* that writes a snapshot */
    int child_round;
};

static void serve(struct owner *owner);
static void told(struct owner *owner, enum berth_told what);
static void own(struct owner *owner);
static void freeze_now(struct owner *owner);
static void snapshot(struct owner *owner);
static void restore(struct owner *owner);
static bool write_pages(const struct owner *owner, const bool *which, const char *path);
static void write_some(struct owner *owner);
static uint64_t page_count(const struct owner *owner, long long page);
static void note(const char *name, int64_t value);
static int64_t now_us(void);
static long long number_of(int argc, char **argv, const char *name);

int main(int argc, char **argv)
{
    static struct owner owner;
    note("pid", (int64_t)getpid());
    owner.pages = number_of(argc, argv, "pages=");
    owner.rate = number_of(argc, argv, "rate=");
    for (int i = 1; i < argc; i++) {
        owner.deaf = owner.deaf || strcmp(argv[i], "deaf") == 0;
        owner.stuck = owner.stuck || strcmp(argv[i], "stuck") == 0;
    }
    if (owner.pages < 1)
        owner.pages = 1;
    owner.seed = 88172645463325252U;
    owner.state = calloc((size_t)owner.pages, PAGE_BYTES);
    owner.dirty = calloc((size_t)owner.pages, sizeof(bool));
    owner.workload = berth_workload_open();
    if (owner.workload == NULL || owner.state == NULL || owner.dirty == NULL)
        return 8;
    (void)berth_workload_ready(owner.workload);
    serve(&owner);
    return 0;
}

static void serve(struct owner *owner)
{
    for (;;) {
        struct pollfd one = {.fd = berth_workload_fd(owner->workload), .events = POLLIN};
        bool busy = owner->owns || owner->child > 0;
        (void)poll(&one, 1, busy ? 1 : 20);
        enum berth_told what;
        while ((what = berth_workload_poll(owner->workload, NULL)) != BERTH_NOTHING)
            told(owner, what);
        int status;
        if (owner->child > 0 && waitpid(owner->child, &status, WNOHANG) == owner->child) {
            owner->child = 0;
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                (void)berth_workload_snapshotted(owner->workload, owner->child_round);
            else
                (void)berth_workload_failed(owner->workload, "the snapshot was not written");
        }
        if (owner->owns)
            write_some(owner);
    }
}

static void told(struct owner *owner, enum berth_told what)
{
    switch (what) {
    case BERTH_OWN:
        own(owner);
        return;
    case BERTH_FREEZE:
        freeze_now(owner);
        return;
    case BERTH_SNAPSHOT:
        snapshot(owner);
        return;
    case BERTH_RESTORE:
        restore(owner);
        return;
    case BERTH_STOP:
        exit(0);
    case BERTH_DRAIN:
    case BERTH_RESUME:
    case BERTH_NOTHING:
        return; /* not told to owners */
    }
}

static void own(struct owner *owner)
{
    uint64_t sum = 0;
    const char *handed = berth_workload_handed(owner->workload);
    for (long long i = 0; i < owner->pages; i++)
        sum += page_count(owner, i);
    if (strncmp(handed, "writes=", 7) == 0) {
        owner->writes = strtoull(handed + 7, NULL, 10);
        if (owner->pages == 1) { /* exclusive: all its state is what it was handed */
            memcpy(owner->state, &owner->writes, sizeof(owner->writes));
        } else if (sum != owner->writes) {
            char text[128];
            (void)snprintf(text, sizeof(text), "%" PRIu64 " writes of %s are here", sum, handed);
            (void)berth_workload_failed(owner->workload, text);
            return;
        }
    } else {
        owner->writes = sum;
    }
    owner->owns = true;
    owner->from_us = now_us();
    owner->from_writes = owner->writes;
    (void)berth_workload_owned(owner->workload);
    note("owned", now_us());
}

static void freeze_now(struct owner *owner)
{
    char text[64];
    const char *path = berth_workload_path(owner->workload);
    int64_t from_us = now_us();
    if (owner->deaf)
        return;
    if (owner->stuck) {
        (void)berth_workload_failed(owner->workload, "stuck");
        return;
    }
    owner->owns = false;
    if (path[0] != 0 && !write_pages(owner, owner->dirty, path)) {
        (void)berth_workload_failed(owner->workload, "the last delta was not written");
        return;
    }
    (void)snprintf(text, sizeof(text), "writes=%" PRIu64, owner->writes);
    (void)berth_workload_frozen(owner->workload, text);
    note("writes", (int64_t)owner->writes);
    note("frozen", from_us);
}

/* The child sees the pages as they are now, whatever is written from here on. */
static void snapshot(struct owner *owner)
{
    if (berth_workload_round(owner->workload) == 1)
        for (long long i = 0; i < owner->pages; i++)
            owner->dirty[i] = true;
    owner->child_round = berth_workload_round(owner->workload);
    owner->child = fork();
    if (owner->child == 0)
        _exit(write_pages(owner, owner->dirty, berth_workload_path(owner->workload)) ? 0 : 1);
    memset(owner->dirty, 0, (size_t)owner->pages * sizeof(bool));
}

static void restore(struct owner *owner)
{
    FILE *file = fopen(berth_workload_path(owner->workload), "r");
    uint64_t page;
    bool fine = file != NULL;
    while (fine && fread(&page, sizeof(page), 1, file) == 1)
        fine = page < (uint64_t)owner->pages &&
               fread(owner->state + page * PAGE_BYTES, PAGE_BYTES, 1, file) == 1;
    if (file != NULL)
        (void)fclose(file);
    if (fine)
        (void)berth_workload_restored(owner->workload, berth_workload_round(owner->workload));
    else
        (void)berth_workload_failed(owner->workload, "the pages could not be read");
}

static bool write_pages(const struct owner *owner, const bool *which, const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return false;
    bool fine = true;
    for (long long i = 0; i < owner->pages && fine; i++) {
        uint64_t page = (uint64_t)i;
        if (which[i])
            fine = fwrite(&page, sizeof(page), 1, file) == 1 &&
                   fwrite(owner->state + i * PAGE_BYTES, PAGE_BYTES, 1, file) == 1;
    }
    return fclose(file) == 0 && fine;
}

static void write_some(struct owner *owner)
{
    double passed_s = (double)(now_us() - owner->from_us) / 1e6;
    uint64_t wanted = owner->from_writes + (uint64_t)(passed_s * (double)owner->rate);
    while (owner->writes < wanted) {
        owner->seed ^= owner->seed << 13;
        owner->seed ^= owner->seed >> 7;
        owner->seed ^= owner->seed << 17;
        long long page = (long long)(owner->seed % (uint64_t)owner->pages);
        uint64_t count = page_count(owner, page) + 1;
        memcpy(owner->state + page * PAGE_BYTES, &count, sizeof(count));
        owner->dirty[page] = true;
        owner->writes++;
    }
}

static uint64_t page_count(const struct owner *owner, long long page)
{
    uint64_t count;
    memcpy(&count, owner->state + page * PAGE_BYTES, sizeof(count));
    return count;
}

static void note(const char *name, int64_t value)
{
    char beside[64];
    (void)snprintf(beside, sizeof(beside), "%s.new", name);
    FILE *file = fopen(beside, "w");
    if (file == NULL)
        exit(9);
    (void)fprintf(file, "%" PRId64 "\n", value);
    (void)fclose(file);
    (void)rename(beside, name);
}

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static long long number_of(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, strlen(name)) == 0)
            return strtoll(argv[i] + strlen(name), NULL, 10);
    return 0;
}
