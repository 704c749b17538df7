#include "executors/drivers/process/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define CGROUP_PATH_BYTES (LIMIT_PATH_BYTES * 2)
#define CPU_PERIOD_US     100000
#define CPU_QUOTA_MIN_US  1000 /* what the kernel accepts */

const char *const cgroup_mode_words[] = {"none", "v1", "hybrid", "v2", NULL};

/* v1 controllers by tree; several may share one mount ("cpu,cpuacct"). */
static const char *const tree_controllers[CGROUP_TREES] = {NULL, "cpu", "cpuacct", "memory",
                                                           "pids"};

static void take_mount(struct cgroup_host *host, char *line);
static bool has_word(const char *list, const char *word);
static bool is_repeat(const struct cgroup_host *host, int tree);
static void file_of(const struct cgroup_host *host, int tree, const char *path, const char *file,
                    char out[CGROUP_PATH_BYTES]);
static int make_path(const struct cgroup_host *host, int tree, const char *path, struct error *err);
static void delegate(const struct cgroup_host *host, const char *path);
static int write_text(const char *file, const char *text);
static int write_limit(const struct cgroup_host *host, int tree, const char *path, const char *file,
                       const char *text, struct error *err);
static int set_limits(const struct cgroup_host *host, const char *path,
                      const struct cgroup_limits *limits, struct error *err);
static int read_text(const char *file, char *out, size_t capacity);
static void kill_listed(const char *procs);
static bool controls(const struct cgroup_host *host, const char *controller);

void cgroup_host_find(const char *root, struct cgroup_host *ret_host)
{
    cgroup_host_read("/proc/self/mounts", root, ret_host);
}

void cgroup_host_read(const char *mounts_path, const char *root, struct cgroup_host *ret_host)
{
    struct cgroup_host host = {.mode = CGROUP_NONE};
    CLEANUP(cleanup_file) FILE *mounts = fopen(mounts_path, "re");
    char *line = NULL;
    size_t capacity = 0;
    while (mounts != NULL && getline(&line, &capacity, mounts) >= 0)
        take_mount(&host, line);
    free(line);
    bool unified = host.mounts[CGROUP_UNIFIED][0] != 0;
    bool v1 = host.mounts[CGROUP_MEMORY][0] != 0 || host.mounts[CGROUP_CPU][0] != 0 ||
              host.mounts[CGROUP_PIDS][0] != 0;
    if (unified)
        host.mode = v1 ? CGROUP_HYBRID : CGROUP_V2;
    else if (v1)
        host.mode = CGROUP_V1;
    /* What cannot be written is not there. A v1 tree alone may be closed; without any there is
     * nothing to name a workload's processes by. */
    for (int tree = 0; tree < CGROUP_TREES; tree++)
        if (host.mounts[tree][0] != 0 && make_path(&host, tree, root, NULL) < 0)
            host.mounts[tree][0] = 0;
    bool any = false;
    for (int tree = 0; tree < CGROUP_TREES; tree++)
        any = any || host.mounts[tree][0] != 0;
    if (!any)
        host.mode = CGROUP_NONE;
    else if (host.mode == CGROUP_HYBRID && host.mounts[CGROUP_UNIFIED][0] == 0)
        host.mode = CGROUP_V1;
    *ret_host = host;
}

int cgroup_create(const struct cgroup_host *host, const char *path,
                  const struct cgroup_limits *limits, struct error *err)
{
    for (int tree = 0; tree < CGROUP_TREES; tree++) {
        if (host->mounts[tree][0] == 0 || is_repeat(host, tree))
            continue;
        int rc = make_path(host, tree, path, err);
        if (rc < 0)
            return rc;
    }
    if (host->mode == CGROUP_NONE)
        return 0;
    return set_limits(host, path, limits, err);
}

int cgroup_join(const struct cgroup_host *host, const char *path, pid_t pid)
{
    char file[CGROUP_PATH_BYTES];
    char text[24];
    str_format(text, sizeof(text), "%d", (int)pid);
    for (int tree = 0; tree < CGROUP_TREES; tree++) {
        if (host->mounts[tree][0] == 0 || is_repeat(host, tree))
            continue;
        file_of(host, tree, path, "cgroup.procs", file);
        if (write_text(file, text) < 0)
            return ERR_IO;
    }
    return 0;
}

void cgroup_kill(const struct cgroup_host *host, const char *path)
{
    char file[CGROUP_PATH_BYTES];
    if (host->mounts[CGROUP_UNIFIED][0] != 0) {
        file_of(host, CGROUP_UNIFIED, path, "cgroup.kill", file);
        if (write_text(file, "1") == 0)
            return;
    }
    for (int tree = 0; tree < CGROUP_TREES; tree++) {
        if (host->mounts[tree][0] == 0)
            continue;
        file_of(host, tree, path, "cgroup.procs", file);
        kill_listed(file);
    }
}

bool cgroup_is_empty(const struct cgroup_host *host, const char *path)
{
    char file[CGROUP_PATH_BYTES];
    char text[64];
    for (int tree = 0; tree < CGROUP_TREES; tree++) {
        if (host->mounts[tree][0] == 0)
            continue;
        file_of(host, tree, path, "cgroup.procs", file);
        if (read_text(file, text, sizeof(text)) > 0)
            return false;
    }
    return true;
}

int cgroup_remove(const struct cgroup_host *host, const char *path, struct error *err)
{
    char folder[CGROUP_PATH_BYTES];
    for (int tree = 0; tree < CGROUP_TREES; tree++) {
        if (host->mounts[tree][0] == 0)
            continue;
        file_of(host, tree, path, NULL, folder);
        if (rmdir(folder) < 0 && errno != ENOENT)
            return error_set(err, ERR_IO, errno, "remove cgroup '%s'", folder);
    }
    return 0;
}

int cgroup_read(const struct cgroup_host *host, const char *path, struct cgroup_usage *ret_usage)
{
    char file[CGROUP_PATH_BYTES];
    char text[512];
    struct cgroup_usage usage = {0};
    bool any = false;
    if (host->mounts[CGROUP_CPUACCT][0] != 0) {
        file_of(host, CGROUP_CPUACCT, path, "cpuacct.usage", file);
        any = read_text(file, text, sizeof(text)) > 0;
        text[strcspn(text, "\n")] = 0;
        any = any && str_to_i64(text, &usage.cpu_ns) == 0;
    } else if (host->mounts[CGROUP_UNIFIED][0] != 0) {
        file_of(host, CGROUP_UNIFIED, path, "cpu.stat", file);
        int64_t us;
        if (read_text(file, text, sizeof(text)) > 0 && str_starts(text, "usage_usec ")) {
            text[strcspn(text, "\n")] = 0;
            if (str_to_i64(text + strlen("usage_usec "), &us) == 0) {
                usage.cpu_ns = us * 1000;
                any = true;
            }
        }
    }
    bool v1 = host->mounts[CGROUP_MEMORY][0] != 0;
    if (v1 || host->mounts[CGROUP_UNIFIED][0] != 0) {
        file_of(host, v1 ? CGROUP_MEMORY : CGROUP_UNIFIED, path,
                v1 ? "memory.usage_in_bytes" : "memory.current", file);
        if (read_text(file, text, sizeof(text)) > 0) {
            text[strcspn(text, "\n")] = 0;
            any = str_to_i64(text, &usage.memory_bytes) == 0 || any;
        }
    }
    if (!any)
        return ERR_NOT_FOUND;
    *ret_usage = usage;
    return 0;
}

/* "device mountpoint type options ..." */
static void take_mount(struct cgroup_host *host, char *line)
{
    char *rest = NULL;
    const char *device = strtok_r(line, " ", &rest);
    const char *point = strtok_r(NULL, " ", &rest);
    const char *type = strtok_r(NULL, " ", &rest);
    const char *options = strtok_r(NULL, " ", &rest);
    if (device == NULL || point == NULL || type == NULL || options == NULL)
        return;
    if (str_equal(type, "cgroup2") && host->mounts[CGROUP_UNIFIED][0] == 0) {
        if (str_copy(host->mounts[CGROUP_UNIFIED], LIMIT_PATH_BYTES, point) < 0)
            return;
    }
    if (!str_equal(type, "cgroup"))
        return;
    for (int tree = CGROUP_CPU; tree < CGROUP_TREES; tree++)
        if (has_word(options, tree_controllers[tree]) && host->mounts[tree][0] == 0 &&
            str_copy(host->mounts[tree], LIMIT_PATH_BYTES, point) < 0)
            host->mounts[tree][0] = 0;
}

static bool has_word(const char *list, const char *word)
{
    size_t bytes = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',' ? 1 : 0;
        if (strncmp(at, word, bytes) == 0 && (at[bytes] == ',' || at[bytes] == 0))
            return true;
    }
    return false;
}

/* True when an earlier tree has the same mount. */
static bool is_repeat(const struct cgroup_host *host, int tree)
{
    for (int i = 0; i < tree; i++)
        if (str_equal(host->mounts[i], host->mounts[tree]))
            return true;
    return false;
}

static void file_of(const struct cgroup_host *host, int tree, const char *path, const char *file,
                    char out[CGROUP_PATH_BYTES])
{
    str_format(out, CGROUP_PATH_BYTES, "%s/%s%s%s", host->mounts[tree], path,
               file == NULL ? "" : "/", file == NULL ? "" : file);
}

static int make_path(const struct cgroup_host *host, int tree, const char *path, struct error *err)
{
    char folder[CGROUP_PATH_BYTES];
    for (const char *end = strchr(path, '/');; end = strchr(end + 1, '/')) {
        int bytes = end == NULL ? (int)strlen(path) : (int)(end - path);
        if (tree == CGROUP_UNIFIED && host->mode == CGROUP_V2) {
            char above[LIMIT_PATH_BYTES];
            str_format(above, sizeof(above), "%.*s", bytes, path);
            char *slash = strrchr(above, '/');
            *(slash != NULL ? slash : above) = 0;
            delegate(host, above);
        }
        str_format(folder, sizeof(folder), "%s/%.*s", host->mounts[tree], bytes, path);
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
            return error_set(err, ERR_IO, errno, "make cgroup '%s'", folder);
        if (end == NULL)
            break;
    }
    if (access(folder, W_OK) < 0)
        return error_set(err, ERR_IO, errno, "write to cgroup '%s'", folder);
    return 0;
}

/* In v2 a group's children have the controllers that it hands down. Where that is refused, setting
 * a limit says so. */
static void delegate(const struct cgroup_host *host, const char *path)
{
    char file[CGROUP_PATH_BYTES];
    file_of(host, CGROUP_UNIFIED, path, "cgroup.subtree_control", file);
    (void)write_text(file, "+cpu");
    (void)write_text(file, "+memory");
    (void)write_text(file, "+pids");
}

static int write_text(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t done = write(fd, text, strlen(text));
    int why = errno;
    (void)close(fd);
    errno = why;
    return done < 0 ? -1 : 0;
}

static int write_limit(const struct cgroup_host *host, int tree, const char *path, const char *file,
                       const char *text, struct error *err)
{
    char full[CGROUP_PATH_BYTES];
    file_of(host, tree, path, file, full);
    if (write_text(full, text) < 0)
        return error_set(err, ERR_UNSUPPORTED, errno,
                         "limit %s to '%s': this machine hands out no such cgroup controller", full,
                         text);
    return 0;
}

static int set_limits(const struct cgroup_host *host, const char *path,
                      const struct cgroup_limits *limits, struct error *err)
{
    char text[64];
    char file[CGROUP_PATH_BYTES];
    bool v2 = host->mode == CGROUP_V2;
    if (limits->mcpu > 0 && controls(host, "cpu")) {
        int64_t quota = limits->mcpu * (CPU_PERIOD_US / 1000);
        quota = quota < CPU_QUOTA_MIN_US ? CPU_QUOTA_MIN_US : quota;
        str_format(text, sizeof(text), v2 ? "%" PRId64 " 100000" : "%" PRId64, quota);
        int rc = write_limit(host, v2 ? CGROUP_UNIFIED : CGROUP_CPU, path,
                             v2 ? "cpu.max" : "cpu.cfs_quota_us", text, err);
        if (rc < 0)
            return rc;
    }
    if (limits->memory_bytes > 0 && controls(host, "memory")) {
        int tree = v2 ? CGROUP_UNIFIED : CGROUP_MEMORY;
        str_format(text, sizeof(text), "%" PRId64, limits->memory_bytes);
        int rc =
            write_limit(host, tree, path, v2 ? "memory.max" : "memory.limit_in_bytes", text, err);
        if (rc < 0)
            return rc;
        /* Where swap is accounted, none: a limit that only moves the pages out is none. */
        file_of(host, tree, path, v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes", file);
        (void)write_text(file, v2 ? "0" : text);
    }
    if (limits->pids_max > 0 && controls(host, "pids")) {
        str_format(text, sizeof(text), "%" PRId64, limits->pids_max);
        return write_limit(host, v2 ? CGROUP_UNIFIED : CGROUP_PIDS, path, "pids.max", text, err);
    }
    return 0;
}

/* In v2 all limits are in the one tree. In v1 a limit whose controller is not mounted cannot be
 * kept; the node's tags say which mode it has. */
static bool controls(const struct cgroup_host *host, const char *controller)
{
    if (host->mode == CGROUP_V2)
        return true;
    for (int tree = CGROUP_CPU; tree < CGROUP_TREES; tree++)
        if (str_equal(tree_controllers[tree], controller))
            return host->mounts[tree][0] != 0;
    return false;
}

/* Bytes read, or -1; what does not fit is left out. */
static int read_text(const char *file, char *out, size_t capacity)
{
    out[0] = 0;
    CLEANUP(cleanup_close) int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, out, capacity - 1);
    if (got < 0)
        return -1;
    out[got] = 0;
    return (int)got;
}

static void kill_listed(const char *procs)
{
    CLEANUP(cleanup_file) FILE *file = fopen(procs, "re");
    char *line = NULL;
    size_t capacity = 0;
    while (file != NULL && getline(&line, &capacity, file) >= 0) {
        int64_t pid;
        line[strcspn(line, "\n")] = 0;
        if (str_to_i64(line, &pid) == 0 && pid > 1)
            (void)kill((pid_t)pid, SIGKILL);
    }
    free(line);
}
