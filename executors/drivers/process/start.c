#include "executors/drivers/process/start.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

static void put(struct strbuf *out, const char *key, const char *value);
static void put_number(struct strbuf *out, const char *key, int64_t value);
static int take(struct start *start, const char *key, const char *value, struct error *err);
static int write_all(int fd, const char *data, size_t bytes);
static int replace(int folder_fd, const char *name, const void *data, size_t bytes, unsigned mode,
                   bool durable, struct error *err);

int start_write(int folder_fd, const struct start *start, struct error *err)
{
    struct strbuf out;
    strbuf_init(&out, START_BYTES_MAX);
    put(&out, "instance", start->instance);
    put(&out, "name", start->name);
    put(&out, "artifact", start->artifact);
    put(&out, "digest", start->digest);
    put(&out, "cgroup_root", start->cgroup_root);
    put(&out, "cgroup", start->cgroup);
    put_number(&out, "mcpu", start->limits.mcpu);
    put_number(&out, "memory_bytes", start->limits.memory_bytes);
    put_number(&out, "pids_max", start->limits.pids_max);
    put_number(&out, "life", start->life);
    put_number(&out, "log_bytes", start->log_bytes);
    put_number(&out, "log_files", start->log_files);
    for (int i = 0; i < start->arg_count; i++)
        put(&out, "arg", start->args[i]);
    for (int i = 0; i < start->env_count; i++)
        put(&out, "env", start->env[i]);
    int rc = strbuf_error(&out, err);
    if (rc == 0)
        rc = replace(folder_fd, START_FILE, out.text, out.bytes, 0600, false, err);
    strbuf_done(&out);
    return rc;
}

int start_read(int folder_fd, struct start *ret_start, struct error *err)
{
    struct start start = {0};
    size_t bytes;
    int rc = start_file_load(folder_fd, START_FILE, START_BYTES_MAX, &start.text, &bytes, err);
    if (rc < 0)
        return rc;
    for (size_t at = 0; at < bytes && rc == 0;) {
        char *entry = start.text + at;
        at += strlen(entry) + 1;
        char *equals = strchr(entry, '=');
        if (equals == NULL) {
            rc = error_set(err, ERR_CORRUPT, 0, "file '%s': an entry without '='", START_FILE);
            break;
        }
        *equals = 0;
        rc = take(&start, entry, equals + 1, err);
    }
    if (rc < 0) {
        start_done(&start);
        return rc;
    }
    *ret_start = start;
    return 0;
}

void start_done(struct start *start)
{
    free(start->text);
    start->text = NULL;
}

int start_exit_write(int folder_fd, int exit_code, int64_t life, struct error *err)
{
    char text[80];
    str_format(text, sizeof(text), "%d %" PRId64 "\n", exit_code, life);
    return start_file_replace(folder_fd, START_EXIT, text, strlen(text), 0644, err);
}

int start_exit_read(int folder_fd, int *ret_exit_code, int64_t *ret_life, struct error *err)
{
    char *text;
    size_t bytes;
    int rc = start_file_load(folder_fd, START_EXIT, 80, &text, &bytes, err);
    if (rc < 0)
        return rc;
    int64_t code = 0;
    char *blank = strchr(text, ' ');
    text[strcspn(text, "\n")] = 0;
    if (blank != NULL)
        *blank = 0;
    if (blank == NULL || str_to_i64(text, &code) < 0 || str_to_i64(blank + 1, ret_life) < 0 ||
        code < -1 || code > 255)
        rc = error_set(err, ERR_CORRUPT, 0, "file '%s': must be a status and a life", START_EXIT);
    else
        *ret_exit_code = (int)code;
    free(text);
    return rc;
}

int start_file_replace(int folder_fd, const char *name, const void *data, size_t bytes,
                       unsigned mode, struct error *err)
{
    return replace(folder_fd, name, data, bytes, mode, true, err);
}

int start_file_load(int folder_fd, const char *name, size_t bytes_max, char **ret_text,
                    size_t *ret_bytes, struct error *err)
{
    CLEANUP(cleanup_close) int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open '%s'", name);
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_set(err, ERR_IO, errno, "stat '%s'", name);
    if (!S_ISREG(status.st_mode) || status.st_size > (off_t)bytes_max)
        return error_set(err, ERR_LIMIT, 0, "'%s' is no file of at most %zu bytes", name,
                         bytes_max);
    size_t bytes = (size_t)status.st_size;
    CLEANUP(cleanup_free) char *text = malloc(bytes + 1);
    if (text == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to read '%s'", name);
    size_t at = 0;
    while (at < bytes) {
        ssize_t got = read(fd, text + at, bytes - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return error_set(err, ERR_IO, got < 0 ? errno : 0, "read '%s'", name);
        at += (size_t)got;
    }
    text[bytes] = 0;
    *ret_bytes = bytes;
    *ret_text = TAKE(text);
    return 0;
}

static void put(struct strbuf *out, const char *key, const char *value)
{
    strbuf_puts(out, key);
    strbuf_puts(out, "=");
    strbuf_append(out, value, strlen(value));
    strbuf_append(out, "", 1);
}

static void put_number(struct strbuf *out, const char *key, int64_t value)
{
    char text[32];
    str_format(text, sizeof(text), "%" PRId64, value);
    put(out, key, text);
}

static int take(struct start *start, const char *key, const char *value, struct error *err)
{
    const struct {
        const char *key;
        char *out;
        size_t capacity;
    } texts[] = {
        {"instance", start->instance, sizeof(start->instance)},
        {"name", start->name, sizeof(start->name)},
        {"artifact", start->artifact, sizeof(start->artifact)},
        {"digest", start->digest, sizeof(start->digest)},
        {"cgroup_root", start->cgroup_root, sizeof(start->cgroup_root)},
        {"cgroup", start->cgroup, sizeof(start->cgroup)},
    };
    const struct {
        const char *key;
        int64_t *out;
    } numbers[] = {
        {"mcpu", &start->limits.mcpu},         {"memory_bytes", &start->limits.memory_bytes},
        {"pids_max", &start->limits.pids_max}, {"life", &start->life},
        {"log_bytes", &start->log_bytes},      {"log_files", &start->log_files},
    };
    int rc = -1;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (str_equal(key, texts[i].key))
            rc = str_copy(texts[i].out, texts[i].capacity, value);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (str_equal(key, numbers[i].key))
            rc = str_to_i64(value, numbers[i].out);
    if (str_equal(key, "arg") && start->arg_count < LIMIT_ARGS) {
        start->args[start->arg_count++] = value;
        rc = 0;
    } else if (str_equal(key, "env") && start->env_count < START_ENV_MAX) {
        start->env[start->env_count++] = value;
        rc = 0;
    }
    if (rc < 0)
        return error_set(err, ERR_CORRUPT, 0, "file '%s': entry '%.64s=%.64s' is not understood",
                         START_FILE, key, value);
    return 0;
}

static int write_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t done = write(fd, data, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        data += done;
        bytes -= (size_t)done;
    }
    return 0;
}

static int replace(int folder_fd, const char *name, const void *data, size_t bytes, unsigned mode,
                   bool durable, struct error *err)
{
    char beside[LIMIT_PATH_BYTES];
    str_format(beside, sizeof(beside), "%.1000s.new", name);
    int fd = openat(folder_fd, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode_t)mode);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "create '%s'", beside);
    int why = write_all(fd, data, bytes) < 0 || (durable && fsync(fd) < 0) ? errno : 0;
    if (close(fd) < 0 && why == 0)
        why = errno;
    if (why == 0 && renameat(folder_fd, beside, folder_fd, name) < 0)
        why = errno;
    if (why != 0) {
        (void)unlinkat(folder_fd, beside, 0);
        return error_set(err, ERR_IO, why, "write '%s'", name);
    }
    if (!durable)
        return 0;
    /* The rename itself is only durable with its folder. An O_PATH descriptor cannot be synced. */
    CLEANUP(cleanup_close) int again = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (again < 0 || fsync(again) < 0)
        return error_set(err, ERR_IO, errno, "sync the folder of '%s'", name);
    return 0;
}
