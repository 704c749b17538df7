#include "executors/node/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "executors/drivers/process/start.h"
#include "executors/node/record_file.h"

#define EPOCH_FILE "epoch"

static int open_folder(int at, const char *name, int *ret_fd, struct error *err);
static int load_epoch(struct store *store, struct error *err);
static int save_epoch(struct store *store, struct epoch epoch, struct error *err);
static int load_one(struct store *store, const char *name, struct arena *arena,
                    struct node_record *ret_record, struct error *err);
static bool is_wanted(const struct store *store, const char *folder,
                      const struct node_record *records, int count);
static int remove_below(int at, const char *name);

int store_open(const char *path, struct store *ret_store, struct error *err)
{
    struct store store = {.fd = -1, .lock_fd = -1, .records_fd = -1, .instances_fd = -1};
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "state folder '%.400s': cannot make it", path);
    char resolved[4096];
    if (realpath(path, resolved) == NULL)
        return error_set(err, ERR_IO, errno, "state folder '%.400s'", path);
    /* Names are put behind it; all of them must fit. */
    if (strlen(resolved) > LIMIT_PATH_BYTES - 200)
        return error_set(err, ERR_LIMIT, 0, "LIMIT_PATH_BYTES: state folder '%.200s...'", resolved);
    str_format(store.path, sizeof(store.path), "%s", resolved);
    store.fd = open(store.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store.fd < 0)
        return error_set(err, ERR_IO, errno, "state folder '%.400s'", path);
    int rc = 0;
    store.lock_fd = openat(store.fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store.lock_fd < 0)
        rc = error_set(err, ERR_IO, errno, "state folder '%.400s': cannot write to it", path);
    else if (flock(store.lock_fd, LOCK_EX | LOCK_NB) < 0)
        rc = error_set(err, ERR_LOCKED, 0,
                       "state folder '%.400s' is in use by another berth-node: stop that one, or "
                       "give this one its own --state",
                       path);
    int artifacts = -1;
    if (rc == 0)
        rc = open_folder(store.fd, "records", &store.records_fd, err);
    if (rc == 0)
        rc = open_folder(store.fd, "instances", &store.instances_fd, err);
    if (rc == 0)
        rc = open_folder(store.fd, "artifacts", &artifacts, err);
    if (artifacts >= 0)
        (void)close(artifacts);
    if (rc == 0)
        rc = load_epoch(&store, err);
    if (rc < 0) {
        store_close(&store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

void store_close(struct store *store)
{
    int *fds[] = {&store->records_fd, &store->instances_fd, &store->fd, &store->lock_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (*fds[i] >= 0)
            (void)close(*fds[i]);
        *fds[i] = -1;
    }
}

int store_load(struct store *store, struct arena *arena, struct node_record **ret_records,
               int *ret_count, struct error *err)
{
    struct node_record *records = arena_array(arena, LIMIT_NODE_INSTANCES, sizeof(*records));
    int again = openat(store->records_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = again < 0 ? NULL : fdopendir(again);
    if (records == NULL || folder == NULL) {
        int why = errno;
        if (folder != NULL)
            (void)closedir(folder);
        else if (again >= 0)
            (void)close(again);
        return records == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory for the records")
                               : error_set(err, ERR_IO, why, "read the folder of the records");
    }
    int count = 0;
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL && count < LIMIT_NODE_INSTANCES) {
        size_t bytes = strlen(entry->d_name);
        if (bytes < 6 || !str_equal(entry->d_name + bytes - 5, ".json"))
            continue;
        struct error why;
        if (load_one(store, entry->d_name, arena, &records[count], &why) == 0) {
            count++;
            continue;
        }
        char aside[NAME_MAX + 16];
        str_format(aside, sizeof(aside), "%s.damaged", entry->d_name);
        (void)renameat(store->records_fd, entry->d_name, store->records_fd, aside);
        log_event(LOG_ERROR, "record.damaged", "file=%s reason=\"%s\"", entry->d_name, why.text);
    }
    (void)closedir(folder);
    *ret_records = records;
    *ret_count = count;
    return 0;
}

int store_save(struct store *store, const struct node_record *record, struct error *err)
{
    char name[LIMIT_ID_BYTES + 8];
    struct strbuf text;
    str_format(name, sizeof(name), "%s.json", record->instance);
    strbuf_init(&text, RECORD_FILE_TEXT_MAX);
    wire_encode(&node_record_shape, record, &text);
    int rc = strbuf_error(&text, err);
    if (rc == 0)
        rc = record_file_save(store->records_fd, name, text.text, text.bytes, err);
    strbuf_done(&text);
    return rc < 0 ? error_prefix(err, "record of %s", record->instance) : 0;
}

int store_erase(struct store *store, const char *instance, struct epoch epoch, struct error *err)
{
    char name[LIMIT_ID_BYTES + 8];
    int rc = 0;
    if (epoch_compare(epoch, store->epoch) > 0)
        rc = save_epoch(store, epoch, err);
    if (rc < 0)
        return rc;
    str_format(name, sizeof(name), "%s.json", instance);
    if (unlinkat(store->records_fd, name, 0) < 0 && errno != ENOENT)
        return error_set(err, ERR_IO, errno, "remove the record of %s", instance);
    return store_erase_folder(store, instance, err);
}

int store_erase_folder(struct store *store, const char *instance, struct error *err)
{
    if (remove_below(store->instances_fd, instance) < 0)
        return error_set(err, ERR_IO, errno, "remove the folder of %s", instance);
    return 0;
}

int store_sweep(struct store *store, const struct node_record *records, int count,
                struct error *err)
{
    int again = openat(store->instances_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = again < 0 ? NULL : fdopendir(again);
    if (folder == NULL) {
        int why = errno;
        if (again >= 0)
            (void)close(again);
        return error_set(err, ERR_IO, why, "read the folder of the instances");
    }
    int rc = 0;
    const struct dirent *entry;
    /* With as many as that, some may not have been read. */
    while (rc == 0 && count < LIMIT_NODE_INSTANCES && (entry = readdir(folder)) != NULL) {
        const char *name = entry->d_name;
        if (str_equal(name, ".") || str_equal(name, "..") || is_wanted(store, name, records, count))
            continue;
        log_event(LOG_INFO, "folder.swept", "instance=%s", name);
        rc = store_erase_folder(store, name, err);
    }
    (void)closedir(folder);
    return rc;
}

int store_instance_fd(struct store *store, const char *instance, struct error *err)
{
    int fd = -1;
    int rc = open_folder(store->instances_fd, instance, &fd, err);
    return rc < 0 ? rc : fd;
}

void store_instance_path(const struct store *store, const char *instance,
                         char out[LIMIT_PATH_BYTES])
{
    str_format(out, LIMIT_PATH_BYTES, "%s/instances/%s", store->path, instance);
}

int store_artifact_path(const struct store *store, const char *digest, char out[LIMIT_PATH_BYTES],
                        struct error *err)
{
    const char *hex = digest + strlen("sha256:");
    if (!str_starts(digest, "sha256:") || strlen(hex) != 64 ||
        strspn(hex, "0123456789abcdef") != 64)
        return error_set(err, ERR_INVALID, 0,
                         "digest '%.79s': must be sha256: and 64 hexadecimal digits", digest);
    str_format(out, LIMIT_PATH_BYTES, "%s/artifacts/sha256-%s", store->path, hex);
    return 0;
}

static int open_folder(int at, const char *name, int *ret_fd, struct error *err)
{
    if (mkdirat(at, name, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "make the folder '%s'", name);
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open the folder '%s'", name);
    *ret_fd = fd;
    return 0;
}

static int load_epoch(struct store *store, struct error *err)
{
    char *text;
    size_t bytes;
    int rc = start_file_load(store->fd, EPOCH_FILE, 64, &text, &bytes, err);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc < 0)
        return rc;
    text[strcspn(text, "\n")] = 0;
    char *dot = strchr(text, '.');
    if (dot != NULL)
        *dot = 0;
    if (dot == NULL || str_to_u64(text, &store->epoch.term) < 0 ||
        str_to_u64(dot + 1, &store->epoch.n) < 0)
        rc = error_set(err, ERR_CORRUPT, 0,
                       "file '%s/%s' must be <term>.<n>: restore it, or remove the state folder "
                       "once nothing runs on this node",
                       store->path, EPOCH_FILE);
    free(text);
    return rc;
}

static int save_epoch(struct store *store, struct epoch epoch, struct error *err)
{
    char text[64];
    str_format(text, sizeof(text), "%llu.%llu\n", (unsigned long long)epoch.term,
               (unsigned long long)epoch.n);
    int rc = start_file_replace(store->fd, EPOCH_FILE, text, strlen(text), 0600, err);
    if (rc == 0)
        store->epoch = epoch;
    return rc;
}

static int load_one(struct store *store, const char *name, struct arena *arena,
                    struct node_record *ret_record, struct error *err)
{
    char *text;
    size_t bytes;
    int rc = record_file_load(store->records_fd, name, &text, &bytes, err);
    if (rc < 0)
        return rc;
    rc = wire_decode(&node_record_shape, text, bytes, 0, arena, ret_record, err);
    free(text);
    return rc;
}

/* A record that was moved aside may have been of a copy that still runs. */
static bool is_wanted(const struct store *store, const char *folder,
                      const struct node_record *records, int count)
{
    char aside[NAME_MAX + 32];
    for (int i = 0; i < count; i++)
        if (str_equal(records[i].instance, folder))
            return records[i].want != NODE_WANT_GONE || records[i].spec.workload[0] != 0;
    str_format(aside, sizeof(aside), "%s.json.damaged", folder);
    return faccessat(store->records_fd, aside, F_OK, 0) == 0;
}

/* Removes a folder of ours and what the workload left in it; follows no link. */
static int remove_below(int at, const char *name)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
        return 0;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    const struct dirent *entry;
    int rc = 0;
    while (rc == 0 && (entry = readdir(folder)) != NULL)
        if (!str_equal(entry->d_name, ".") && !str_equal(entry->d_name, ".."))
            rc = remove_below(fd, entry->d_name);
    (void)closedir(folder);
    return rc < 0 ? rc : unlinkat(at, name, AT_REMOVEDIR);
}
