#include "scheduler/cli/find_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

static int absolute(const char *path, char out[LIMIT_PATH_BYTES], struct error *err);
static bool holds_folder(const char *parent, char out[LIMIT_PATH_BYTES]);
static int lock_path(const char *folder, char out[LIMIT_PATH_BYTES], struct error *err);
static pid_t read_pid(int fd);

int folder_find(const char *given, char out[LIMIT_PATH_BYTES], struct error *err)
{
    const char *named = given != NULL ? given : getenv("BERTH_DIR");
    if (named != NULL && named[0] != 0) {
        struct stat status;
        if (stat(named, &status) < 0 || !S_ISDIR(status.st_mode))
            return error_set(err, ERR_NOT_FOUND, 0,
                             "%s \"%s\" is no folder; start Berth with: berth up --dir %s --world "
                             "FILE",
                             given != NULL ? "--dir" : "$BERTH_DIR", named, named);
        return absolute(named, out, err);
    }
    char at[PATH_MAX];
    if (getcwd(at, sizeof(at)) == NULL)
        return error_set(err, ERR_IO, errno, "find out where we are");
    for (;;) {
        if (holds_folder(at, out))
            return 0;
        char *slash = strrchr(at, '/');
        if (slash == NULL || at[1] == 0)
            break;
        slash[slash == at ? 1 : 0] = 0;
    }
    return error_set(err, ERR_NOT_FOUND, 0,
                     "no %s here or above: start Berth with `berth up --world FILE`, or name the "
                     "folder of a running one with --dir or $BERTH_DIR (or a server with --url and "
                     "--seed)",
                     FOLDER_NAME);
}

int folder_place(const char *given, char out[LIMIT_PATH_BYTES], struct error *err)
{
    const char *named = given != NULL ? given : getenv("BERTH_DIR");
    return absolute(named != NULL && named[0] != 0 ? named : FOLDER_NAME, out, err);
}

int folder_path(const char *folder, const char *name, char out[LIMIT_PATH_BYTES], struct error *err)
{
    int bytes = snprintf(out, LIMIT_PATH_BYTES, "%s/%s", folder, name);
    if (bytes < 0 || bytes >= LIMIT_PATH_BYTES)
        return error_set(err, ERR_LIMIT, 0, "the path of %s below %s is longer than %d bytes", name,
                         folder, LIMIT_PATH_BYTES - 1);
    return 0;
}

int folder_read(const char *folder, json_t **ret_json, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    int rc = folder_path(folder, "berth.json", path, err);
    if (rc < 0)
        return rc;
    json_error_t problem;
    json_t *json = json_load_file(path, 0, &problem);
    if (json == NULL && access(path, F_OK) < 0)
        return error_set(err, ERR_NOT_FOUND, 0,
                         "%s is not there: nothing was started in this folder yet; start it with: "
                         "berth up --dir %s --world FILE",
                         path, folder);
    if (json == NULL)
        return error_set(err, ERR_CORRUPT, 0, "%s:%d: %s; `berth up` writes it anew", path,
                         problem.line, problem.text);
    if (!json_is_object(json)) {
        json_decref(json);
        return error_set(err, ERR_CORRUPT, 0, "%s is no JSON object; `berth up` writes it anew",
                         path);
    }
    *ret_json = json;
    return 0;
}

int folder_write(const char *folder, const json_t *json, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    char fresh[LIMIT_PATH_BYTES];
    int rc = folder_path(folder, "berth.json", path, err);
    if (rc == 0)
        rc = folder_path(folder, "berth.json.new", fresh, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_close)
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "write %s", fresh);
    if (json_dumpfd(json, fd, JSON_INDENT(2)) < 0 || write(fd, "\n", 1) != 1 || fsync(fd) < 0)
        return error_set(err, ERR_IO, errno, "write %s", fresh);
    if (rename(fresh, path) < 0)
        return error_set(err, ERR_IO, errno, "put %s in its place", path);
    return 0;
}

int folder_lock(const char *folder, int *ret_fd, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    int rc = lock_path(folder, path, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return error_set(err, ERR_IO, errno, "lock %s", path);
        return error_set(err, ERR_LOCKED, 0,
                         "%s is in use by another `berth up` (pid %d): talk to that one, stop it "
                         "with `berth down --dir %s`, or take another folder with --dir",
                         folder, (int)read_pid(fd), folder);
    }
    char pid[32];
    int bytes = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)bytes, 0) != bytes)
        return error_set(err, ERR_IO, errno, "write %s", path);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

pid_t folder_holder(const char *folder)
{
    char path[LIMIT_PATH_BYTES];
    if (lock_path(folder, path, NULL) < 0)
        return 0;
    CLEANUP(cleanup_close) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    /* A shared lock: two that look at the same time do not take each other for a holder. */
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    return read_pid(fd);
}

static int absolute(const char *path, char out[LIMIT_PATH_BYTES], struct error *err)
{
    char real[PATH_MAX];
    if (realpath(path, real) != NULL) {
        if (str_copy(out, LIMIT_PATH_BYTES, real) < 0)
            return error_set(err, ERR_LIMIT, 0, "the path %s is longer than %d bytes", real,
                             LIMIT_PATH_BYTES - 1);
        return 0;
    }
    if (errno != ENOENT)
        return error_set(err, ERR_IO, errno, "look at the folder \"%s\"", path);
    if (path[0] == '/')
        return str_copy(out, LIMIT_PATH_BYTES, path) == 0
                   ? 0
                   : error_set(err, ERR_LIMIT, 0, "the path \"%.80s...\" is too long", path);
    if (getcwd(real, sizeof(real)) == NULL)
        return error_set(err, ERR_IO, errno, "find out where we are");
    return folder_path(real, path, out, err);
}

static bool holds_folder(const char *parent, char out[LIMIT_PATH_BYTES])
{
    struct stat status;
    const char *base = str_equal(parent, "/") ? "" : parent;
    return folder_path(base, FOLDER_NAME, out, NULL) == 0 && stat(out, &status) == 0 &&
           S_ISDIR(status.st_mode);
}

static int lock_path(const char *folder, char out[LIMIT_PATH_BYTES], struct error *err)
{
    return folder_path(folder, "up.lock", out, err);
}

static pid_t read_pid(int fd)
{
    char text[32] = "";
    int64_t pid = 0;
    ssize_t bytes = pread(fd, text, sizeof(text) - 1, 0);
    if (bytes <= 0)
        return 0;
    text[strcspn(text, "\n")] = 0;
    return str_to_i64(text, &pid) == 0 && pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}
