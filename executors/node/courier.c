#include "executors/node/courier.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bus/bus.h"
#include "base/bus/jetstream.h"
#include "base/bus/small_object.h"
#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/log.h"
#include "base/str.h"

#define CONNECT_US  (5 * US_PER_S)
#define SMALL_US    (10 * US_PER_S) /* of a request for a small object */
#define STACK_BYTES ((size_t)512 << 10)

enum job_kind { JOB_PUT, JOB_GET, JOB_REMOVE };

struct job {
    struct job *next;
    enum job_kind kind;
    bool first;
    int64_t asked_us;
    struct courier_result result; /* GET: `object` is what is wanted */
    char folder[LIMIT_PATH_BYTES];
    char path[LIMIT_NAME_BYTES];
    char kept[NODE_KEPT_NAME_BYTES];
    char *list; /* REMOVE: names, each with its line's end */
};

struct queue {
    struct job *first;
    struct job *last;
};

struct courier {
    char url[LIMIT_PATH_BYTES];
    char name[LIMIT_PATH_BYTES];
    char seed[LIMIT_PATH_BYTES];
    char inbox[LIMIT_SUBJECT_BYTES];
    int event_fd;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t wake;
    bool ending;
    struct queue jobs;
    struct queue results;
    struct bus *bus; /* the thread's alone */
};

static int submit(struct courier *courier, struct job *job, struct error *err);
static struct job *job_make(enum job_kind kind, const char *instance, uint64_t ticket,
                            const char *folder, const char *path);
static void job_free(struct job *job);
static void push(struct queue *queue, struct job *job);
static struct job *pop(struct queue *queue);
static void *work(void *context);
static int connect_bus(struct courier *courier, struct error *err);
static int put(struct courier *courier, struct job *job, int folder, struct error *err);
static int put_small(struct courier *courier, struct job *job, int folder, int fd,
                     struct error *err);
static int get(struct courier *courier, const struct job *job, int folder, struct error *err);
static int get_small(struct courier *courier, const struct message_object *object, int fd,
                     char digest[LIMIT_DIGEST_BYTES], struct error *err);
static char *list_load(int folder);
static int list_add(int folder, const char *name, struct error *err);
static void list_restart(int folder, const char *digest);
static void remove_asked(struct courier *courier, const struct job *job);
static void remove_all(struct courier *courier, const char *list, const char *but);
static void remove_one(struct courier *courier, const char *name);

int courier_open(const struct courier_options *options, struct courier **ret_courier,
                 struct error *err)
{
    struct courier *courier = calloc(1, sizeof(*courier));
    if (courier == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the courier");
    courier->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (courier->event_fd < 0) {
        int why = errno;
        free(courier);
        return error_set(err, ERR_IO, why, "eventfd");
    }
    str_format(courier->url, sizeof(courier->url), "%s", options->url);
    str_format(courier->name, sizeof(courier->name), "%s", options->name);
    str_format(courier->seed, sizeof(courier->seed), "%s",
               options->seed == NULL ? "" : options->seed);
    str_format(courier->inbox, sizeof(courier->inbox), "%s",
               options->inbox == NULL ? "" : options->inbox);
    (void)pthread_mutex_init(&courier->mutex, NULL);
    (void)pthread_cond_init(&courier->wake, NULL);
    *ret_courier = courier;
    return 0;
}

void courier_close(struct courier *courier)
{
    if (courier == NULL)
        return;
    (void)pthread_mutex_lock(&courier->mutex);
    courier->ending = true;
    (void)pthread_cond_signal(&courier->wake);
    (void)pthread_mutex_unlock(&courier->mutex);
    if (courier->started)
        (void)pthread_join(courier->thread, NULL);
    struct job *job;
    while ((job = pop(&courier->jobs)) != NULL || (job = pop(&courier->results)) != NULL)
        job_free(job);
    bus_close(courier->bus);
    (void)pthread_cond_destroy(&courier->wake);
    (void)pthread_mutex_destroy(&courier->mutex);
    (void)close(courier->event_fd);
    free(courier);
}

int courier_fd(const struct courier *courier)
{
    return courier->event_fd;
}

int courier_put(struct courier *courier, const char *instance, uint64_t ticket, const char *folder,
                const char *path, bool first, const char *kept, struct error *err)
{
    struct job *job = job_make(JOB_PUT, instance, ticket, folder, path);
    if (job != NULL) {
        job->first = first && kept[0] == 0;
        str_format(job->kept, sizeof(job->kept), "%s", kept);
        job->result.put = true;
    }
    return submit(courier, job, err);
}

int courier_get(struct courier *courier, const char *instance, uint64_t ticket, const char *folder,
                const char *path, const struct message_object *object, const char *kept,
                struct error *err)
{
    struct job *job = job_make(JOB_GET, instance, ticket, folder, path);
    if (job != NULL) {
        job->result.object = *object;
        str_format(job->kept, sizeof(job->kept), "%s", kept);
    }
    return submit(courier, job, err);
}

void courier_forget(struct courier *courier, const char *folder, const char *kept)
{
    struct error err;
    CLEANUP(cleanup_close) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *list = fd < 0 ? NULL : list_load(fd);
    if (list == NULL && kept[0] == 0)
        return;
    struct job *job = job_make(JOB_REMOVE, "", 0, folder, "");
    if (job == NULL) {
        free(list);
        return;
    }
    job->list = list;
    str_format(job->kept, sizeof(job->kept), "%s", kept);
    if (submit(courier, job, &err) < 0)
        log_event(LOG_WARN, "state.left", "folder=%s reason=\"%s\"", folder, err.text);
}

bool courier_next(struct courier *courier, struct courier_result *ret_result)
{
    uint64_t times;
    (void)pthread_mutex_lock(&courier->mutex);
    struct job *job = pop(&courier->results);
    if (job == NULL)
        (void)!read(courier->event_fd, &times, sizeof(times));
    (void)pthread_mutex_unlock(&courier->mutex);
    if (job == NULL)
        return false;
    *ret_result = job->result;
    job_free(job);
    return true;
}

/* Takes the job, also on failure. */
static int submit(struct courier *courier, struct job *job, struct error *err)
{
    if (job == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to carry a workload's state");
    if (!courier->started) {
        pthread_attr_t attributes;
        (void)pthread_attr_init(&attributes);
        (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
        int why = pthread_create(&courier->thread, &attributes, work, courier);
        (void)pthread_attr_destroy(&attributes);
        if (why != 0) {
            job_free(job);
            return error_set(err, ERR_UNAVAILABLE, why, "start the thread that carries state");
        }
        courier->started = true;
    }
    (void)pthread_mutex_lock(&courier->mutex);
    push(&courier->jobs, job);
    (void)pthread_cond_signal(&courier->wake);
    (void)pthread_mutex_unlock(&courier->mutex);
    return 0;
}

static struct job *job_make(enum job_kind kind, const char *instance, uint64_t ticket,
                            const char *folder, const char *path)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    job->kind = kind;
    job->asked_us = clock_mono_now().us;
    job->result.ticket = ticket;
    str_format(job->result.instance, sizeof(job->result.instance), "%s", instance);
    str_format(job->folder, sizeof(job->folder), "%s", folder);
    str_format(job->path, sizeof(job->path), "%s", path);
    return job;
}

static void job_free(struct job *job)
{
    free(job->list);
    free(job);
}

static void push(struct queue *queue, struct job *job)
{
    job->next = NULL;
    if (queue->last != NULL)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
}

static struct job *pop(struct queue *queue)
{
    struct job *job = queue->first;
    if (job == NULL)
        return NULL;
    queue->first = job->next;
    if (queue->first == NULL)
        queue->last = NULL;
    return job;
}

/* ---- the thread ---------------------------------------------------------------------------------
 */

static void *work(void *context)
{
    struct courier *courier = context;
    (void)pthread_mutex_lock(&courier->mutex);
    for (;;) {
        while (courier->jobs.first == NULL && !courier->ending)
            (void)pthread_cond_wait(&courier->wake, &courier->mutex);
        if (courier->ending)
            break;
        struct job *job = pop(&courier->jobs);
        (void)pthread_mutex_unlock(&courier->mutex);
        struct error err = {0};
        char *before = NULL;
        int64_t begun_us = clock_mono_now().us;
        int rc = connect_bus(courier, &err);
        CLEANUP(cleanup_close)
        int folder =
            job->kind == JOB_REMOVE ? -1 : open(job->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (rc == 0 && folder < 0 && job->kind != JOB_REMOVE)
            rc = error_set(&err, ERR_IO, errno, "folder '%.200s'", job->folder);
        if (rc == 0 && job->kind == JOB_PUT && job->first)
            before = list_load(folder);
        if (rc == 0 && job->kind == JOB_PUT)
            rc = put(courier, job, folder, &err);
        else if (rc == 0 && job->kind == JOB_GET)
            rc = get(courier, job, folder, &err);
        else if (rc == 0)
            remove_asked(courier, job);
        char kept[LIMIT_DIGEST_BYTES];
        memcpy(kept, job->result.object.digest, sizeof(kept));
        job->result.code = rc;
        str_format(job->result.text, sizeof(job->result.text), "%.250s", rc < 0 ? err.text : "");
        job->result.waited_us = begun_us - job->asked_us;
        job->result.took_us = clock_mono_now().us - begun_us;
        bool told = job->kind != JOB_REMOVE;
        (void)pthread_mutex_lock(&courier->mutex);
        if (told) {
            uint64_t one = 1;
            push(&courier->results, job);
            (void)!write(courier->event_fd, &one, sizeof(one));
        }
        (void)pthread_mutex_unlock(&courier->mutex);
        if (!told)
            job_free(job);
        if (before != NULL && rc == 0) {
            remove_all(courier, before, kept);
            list_restart(folder, kept);
        }
        free(before);
        (void)malloc_trim(0); /* a window of chunks: the agent is to stay small */
        (void)pthread_mutex_lock(&courier->mutex);
    }
    (void)pthread_mutex_unlock(&courier->mutex);
    return NULL;
}

static int connect_bus(struct courier *courier, struct error *err)
{
    if (courier->bus != NULL)
        return 0; /* it connects again by itself */
    struct bus_options wanted = {.url = courier->url,
                                 .name = courier->name,
                                 .seed_path = courier->seed[0] != 0 ? courier->seed : NULL,
                                 .inbox_prefix = courier->inbox[0] != 0 ? courier->inbox : NULL,
                                 .connect_timeout_us = CONNECT_US};
    return bus_open(&wanted, &courier->bus, err);
}

static int put(struct courier *courier, struct job *job, int folder, struct error *err)
{
    struct message_object *object = &job->result.object;
    char open_path[64];
    char digest[LIMIT_DIGEST_BYTES];
    struct stat status;
    CLEANUP(cleanup_close) int fd = openat(folder, job->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno,
                         "the workload's file '%s'", job->path);
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(err, ERR_INVALID, 0, "'%s' is not a file", job->path);
    if (status.st_size > 0 && status.st_size <= SMALL_OBJECT_BYTES)
        return put_small(courier, job, folder, fd, err);
    int rc = digest_fd(fd, object->digest, err);
    object->bytes = (int64_t)status.st_size;
    if (rc < 0 || object->bytes == 0)
        return rc;
    const char *name = job->kept[0] != 0 ? job->kept : object->digest + strlen("sha256:");
    if (job->kept[0] == 0)
        rc = list_add(folder, name, err);
    if (rc < 0)
        return rc;
    /* That very file, whatever has its name by now. */
    str_format(open_path, sizeof(open_path), "/proc/self/fd/%d", fd);
    rc = object_put_file(courier->bus, BUCKET_STATE, name, open_path, digest, err);
    if (rc == 0 && !str_equal(digest, object->digest))
        rc = error_set(err, ERR_STALE, 0, "'%s' was written to while it was shipped", job->path);
    return rc;
}

/* Often the last change, for which the pause waits: what is read is what is named and sent. */
static int put_small(struct courier *courier, struct job *job, int folder, int fd,
                     struct error *err)
{
    struct message_object *object = &job->result.object;
    struct digest_state *state = NULL;
    CLEANUP(cleanup_free) char *data = malloc(SMALL_OBJECT_BYTES + 1);
    size_t bytes = 0;
    ssize_t got = 1;
    if (data == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to ship '%s'", job->path);
    while (got > 0 && bytes <= SMALL_OBJECT_BYTES) {
        got = read(fd, data + bytes, SMALL_OBJECT_BYTES + 1 - bytes);
        if (got < 0 && errno == EINTR)
            got = 1;
        else
            bytes += got > 0 ? (size_t)got : 0;
    }
    if (got < 0)
        return error_set(err, ERR_IO, errno, "read '%s'", job->path);
    if (bytes == 0 || bytes > SMALL_OBJECT_BYTES)
        return error_set(err, ERR_STALE, 0, "'%s' was written to while it was shipped", job->path);
    int rc = digest_begin(&state, err);
    if (rc < 0)
        return rc;
    digest_add(state, data, bytes);
    digest_end(state, object->digest);
    object->bytes = (int64_t)bytes;
    rc = list_add(folder, object->digest + strlen("sha256:"), err);
    return rc < 0 ? rc
                  : small_object_put(courier->bus, BUCKET_STATE, object->digest, data, bytes,
                                     SMALL_US, err);
}

static int get(struct courier *courier, const struct job *job, int folder, struct error *err)
{
    const struct message_object *object = &job->result.object;
    char digest[LIMIT_DIGEST_BYTES];
    const char *name = object->digest + strlen("sha256:");
    if (!str_starts(object->digest, "sha256:") || strlen(name) != 64 ||
        strspn(name, "0123456789abcdef") != 64)
        return error_set(err, ERR_INVALID, 0,
                         "digest '%.79s': must be sha256: and 64 hexadecimal digits",
                         object->digest);
    if (job->kept[0] != 0)
        name = job->kept;
    (void)unlinkat(folder, job->path, 0);
    CLEANUP(cleanup_close)
    int fd = openat(folder, job->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "make '%s' in the workload's folder", job->path);
    int rc = object->bytes == 0                    ? digest_fd(fd, digest, err)
             : object->bytes <= SMALL_OBJECT_BYTES ? get_small(courier, object, fd, digest, err)
                                                   : ERR_NOT_FOUND;
    /* A node of an earlier version ships small ones like all others. */
    if (rc == ERR_NOT_FOUND)
        rc = object_get_fd(courier->bus, BUCKET_STATE, name, fd, COURIER_BYTES_MAX, digest, err);
    if (rc == 0 && !str_equal(digest, object->digest))
        rc = error_set(err, ERR_CORRUPT, 0, "the object '%s' holds %s", name, digest);
    return rc;
}

static int get_small(struct courier *courier, const struct message_object *object, int fd,
                     char digest[LIMIT_DIGEST_BYTES], struct error *err)
{
    CLEANUP(cleanup_free) void *data = NULL;
    struct digest_state *state = NULL;
    size_t bytes = 0;
    int rc =
        small_object_get(courier->bus, BUCKET_STATE, object->digest, SMALL_US, &data, &bytes, err);
    if (rc == 0)
        rc = digest_begin(&state, err);
    if (rc < 0)
        return rc;
    digest_add(state, data, bytes);
    digest_end(state, digest);
    if (write(fd, data, bytes) != (ssize_t)bytes)
        return error_set(err, ERR_IO, errno, "write what was fetched");
    return 0;
}

/* NULL: nothing was put. */
static char *list_load(int folder)
{
    struct stat status;
    CLEANUP(cleanup_close) int fd = openat(folder, COURIER_LIST, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_size <= 0 || status.st_size > (1 << 20))
        return NULL;
    char *text = malloc((size_t)status.st_size + 1);
    ssize_t got = text == NULL ? -1 : read(fd, text, (size_t)status.st_size);
    if (got <= 0) {
        free(text);
        return NULL;
    }
    text[got] = 0;
    return text;
}

static int list_add(int folder, const char *name, struct error *err)
{
    char line[LIMIT_DIGEST_BYTES + 2];
    str_format(line, sizeof(line), "%s\n", name);
    CLEANUP(cleanup_close)
    int fd =
        openat(folder, COURIER_LIST, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t)strlen(line))
        return error_set(err, ERR_IO, errno, "keep the name of what is shipped");
    return 0;
}

/* What was there before is removed: only this is left. Not done, it is removed twice, without harm.
 */
static void list_restart(int folder, const char *digest)
{
    struct error ignored;
    if (unlinkat(folder, COURIER_LIST, 0) == 0)
        (void)!list_add(folder, digest + strlen("sha256:"), &ignored);
}

static void remove_asked(struct courier *courier, const struct job *job)
{
    char name[NODE_KEPT_NAME_BYTES + 16];
    if (job->list != NULL)
        remove_all(courier, job->list, "");
    for (int i = 0; job->kept[0] != 0 && i < NODE_KEPT_SLOTS; i++) {
        str_format(name, sizeof(name), "%s%d", job->kept, i);
        remove_one(courier, name);
    }
}

static void remove_all(struct courier *courier, const char *list, const char *but)
{
    char name[LIMIT_DIGEST_BYTES];
    const char *kept = str_starts(but, "sha256:") ? but + strlen("sha256:") : but;
    for (const char *at = list; *at != 0;) {
        size_t bytes = strcspn(at, "\n");
        if (bytes == 64) {
            memcpy(name, at, bytes);
            name[bytes] = 0;
            if (!str_equal(name, kept))
                remove_one(courier, name);
        }
        at += bytes + (at[bytes] == '\n' ? 1 : 0);
    }
}

static void remove_one(struct courier *courier, const char *name)
{
    struct error err;
    int rc = object_delete(courier->bus, BUCKET_STATE, name, &err);
    if (rc < 0 && rc != ERR_NOT_FOUND)
        log_event(LOG_WARN, "state.left", "object=%s reason=\"%s\"", name, err.text);
}
