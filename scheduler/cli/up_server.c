#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scheduler/cli/find_dir.h"
#include "scheduler/cli/up.h"

/* Older ones lose acknowledged writes, or let streams vanish. */
#define VERSION_MIN "2.10.27"
#define LEVELS_MAX  5 /* from build/release/bin up to the root of the source */

static int first_line(const char *program, const char *argument, char *out, size_t capacity);
static int version_of(const char *program, char out[32]);
static bool in_path(const char *name, char out[LIMIT_PATH_BYTES]);
static bool from_source(const struct up *up, char out[LIMIT_PATH_BYTES]);

int up_find_server(struct up *up, struct error *err)
{
    const char *given = getenv("BERTH_NATS_SERVER");
    char path[LIMIT_PATH_BYTES] = "";
    char old[32] = "";
    if (given != NULL && given[0] != 0) {
        if (str_copy(path, sizeof(path), given) < 0 || version_of(path, up->server_version) < 0)
            return error_set(err, ERR_NOT_FOUND, 0,
                             "$BERTH_NATS_SERVER is \"%.200s\", which does not answer --version as "
                             "a nats-server does; set it to a nats-server >= %s",
                             given, VERSION_MIN);
        if (!up_version_is_fine(up->server_version))
            return error_set(err, ERR_UNSUPPORTED, 0,
                             "$BERTH_NATS_SERVER is nats-server %s, which can lose acknowledged "
                             "writes; set it to one >= %s",
                             up->server_version, VERSION_MIN);
    } else if (in_path("nats-server", path) && version_of(path, up->server_version) == 0 &&
               up_version_is_fine(up->server_version)) {
        /* taken */
    } else {
        memcpy(old, up->server_version, sizeof(old));
        if (!from_source(up, path) || version_of(path, up->server_version) < 0 ||
            !up_version_is_fine(up->server_version))
            return error_set(err, ERR_NOT_FOUND, 0,
                             "no nats-server >= %s here%s%s%s; install one, or set "
                             "$BERTH_NATS_SERVER to its path (script/nats-server in Berth's source "
                             "fetches one)",
                             VERSION_MIN, old[0] == 0 ? "" : " (", old,
                             old[0] == 0 ? "" : " is too old: it can lose acknowledged writes)");
    }
    str_format(up->server_path, sizeof(up->server_path), "%s", path);
    return 0;
}

int up_server_version(const char *line, char *out, size_t capacity, struct error *err)
{
    const char *at = strstr(line, "nats-server");
    at = at == NULL ? NULL : strpbrk(at, "0123456789");
    size_t bytes = at == NULL ? 0 : strspn(at, "0123456789.");
    if (bytes == 0 || bytes >= capacity || memchr(at, '.', bytes) == NULL)
        return error_set(err, ERR_INVALID, 0, "\"%.100s\" names no version of nats-server", line);
    memcpy(out, at, bytes);
    out[bytes] = 0;
    return 0;
}

bool up_version_is_fine(const char *version)
{
    const char *least = VERSION_MIN;
    for (int i = 0; i < 3; i++) {
        char *version_end = NULL;
        char *least_end = NULL;
        unsigned long a = strtoul(version, &version_end, 10);
        unsigned long b = strtoul(least, &least_end, 10);
        if (a != b)
            return a > b;
        version = *version_end == '.' ? version_end + 1 : version_end;
        least = *least_end == '.' ? least_end + 1 : least_end;
    }
    return true;
}

static int version_of(const char *program, char out[32])
{
    char line[256] = "";
    char version[32] = "";
    if (first_line(program, "--version", line, sizeof(line)) < 0 ||
        up_server_version(line, version, sizeof(version), NULL) < 0)
        return ERR_NOT_FOUND;
    memcpy(out, version, sizeof(version));
    return 0;
}

/* What a program prints first; no shell is involved. */
static int first_line(const char *program, const char *argument, char *out, size_t capacity)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return ERR_IO;
    pid_t pid = fork();
    if (pid == 0) {
        char *arguments[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)argument, NULL};
        (void)dup2(ends[1], STDOUT_FILENO);
        execv(program, arguments);
        _exit(126);
    }
    close(ends[1]);
    size_t bytes = 0;
    while (pid > 0 && bytes < capacity - 1) {
        ssize_t count = read(ends[0], out + bytes, capacity - 1 - bytes);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            break;
        bytes += (size_t)count;
    }
    close(ends[0]);
    out[bytes] = 0;
    out[strcspn(out, "\n")] = 0;
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : ERR_NOT_FOUND;
}

static bool in_path(const char *name, char out[LIMIT_PATH_BYTES])
{
    const char *lists[] = {getenv("PATH"), "/usr/sbin:/sbin"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (const char *at = lists[i]; at != NULL && *at != 0;) {
            size_t bytes = strcspn(at, ":");
            int count = snprintf(out, LIMIT_PATH_BYTES, "%.*s/%s", (int)bytes, at, name);
            if (bytes > 0 && count > 0 && count < LIMIT_PATH_BYTES && access(out, X_OK) == 0)
                return true;
            at += bytes + (at[bytes] == ':' ? 1 : 0);
        }
    }
    return false;
}

/* script/nats-server of the source that this program was built from, when it stands there. */
static bool from_source(const struct up *up, char out[LIMIT_PATH_BYTES])
{
    char at[LIMIT_PATH_BYTES];
    char script[LIMIT_PATH_BYTES];
    str_format(at, sizeof(at), "%s", up->programs);
    for (int i = 0; i < LEVELS_MAX && at[0] != 0; i++) {
        if (folder_path(at, "script/nats-server", script, NULL) == 0 && access(script, X_OK) == 0)
            return first_line(script, NULL, out, LIMIT_PATH_BYTES) == 0 && out[0] == '/';
        char *slash = strrchr(at, '/');
        if (slash == NULL)
            return false;
        *slash = 0;
    }
    return false;
}
