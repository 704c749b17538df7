/* ingress: the loop of the module: its descriptors and timers, gathered behind one of each. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "executors/ingress/internal.h"

#define EVENTS_AT_ONCE 32

static int open_folder(struct ingress *ingress, const char *folder, struct error *err);
static int open_loop(struct ingress *ingress, struct error *err);
static void open_url(struct ingress *ingress);
static void destroy(struct ingress *ingress);
static void tick(struct ingress *ingress);
static int64_t due(const struct ingress *ingress);

int ingress_open(const struct ingress_options *options, const char *folder,
                 const struct cgroup_host *host, const char *cgroup,
                 const struct ingress_callbacks *callbacks, struct ingress **ret_ingress,
                 struct error *err)
{
    struct ingress *ingress = calloc(1, sizeof(*ingress));
    if (ingress == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the ingress");
    ingress->options = *options;
    ingress->callbacks = *callbacks;
    ingress->folder_fd = ingress->lock_fd = ingress->epoll_fd = ingress->timer_fd = -1;
    ingress->log_fd = ingress->starter_fd = ingress->talk.fd = -1;
    ingress->tickets_end = &ingress->tickets;
    ingress->log_at = INT64_MAX;
    strbuf_init(&ingress->talk.out, 64 << 10);
    talk_close(ingress);
    ingress->slots = calloc((size_t)options->slots, sizeof(*ingress->slots));
    int rc = ingress->slots == NULL
                 ? error_set(err, ERR_NO_MEMORY, 0, "no memory for %d slots", options->slots)
                 : process_find_program(ingress, err);
    if (rc == 0)
        rc = open_folder(ingress, folder, err);
    if (rc == 0)
        rc = open_loop(ingress, err);
    if (rc == 0)
        rc = config_key(ingress, err);
    if (rc == 0)
        rc = metrics_listen(ingress, err);
    if (rc == 0)
        rc = cert_prepare(ingress, err);
    if (rc == 0)
        rc = routes_load(ingress, err);
    if (rc == 0 && host != NULL && host->mode != CGROUP_NONE) {
        ingress->host = *host;
        struct cgroup_limits none = {0};
        rc = str_copy(ingress->cgroup, sizeof(ingress->cgroup), cgroup);
        if (rc == 0)
            rc = cgroup_create(host, cgroup, &none, err);
    }
    if (rc < 0) {
        destroy(ingress);
        return rc;
    }
    open_url(ingress);
    ingress->cert_at = options->cert[0] != 0 ? ingress_now() : INT64_MAX;
    ingress->start_at = ingress_now();
    ingress->stat_first = true;
    (void)getrandom(&ingress->life, sizeof(ingress->life), 0);
    ingress->life >>= 1;
    ingress_timer(ingress);
    *ret_ingress = ingress;
    return 0;
}

void ingress_close(struct ingress *ingress, enum ingress_end end)
{
    if (ingress == NULL)
        return;
    if (end == INGRESS_STOP)
        process_stop(ingress);
    destroy(ingress);
}

int ingress_fd(const struct ingress *ingress)
{
    return ingress->epoll_fd;
}

void ingress_dispatch(struct ingress *ingress)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(ingress->epoll_fd, events, EVENTS_AT_ONCE, 0);
    for (int i = 0; i < count; i++) {
        uint64_t expired;
        enum watch_kind kind = (enum watch_kind)(events[i].data.u64 >> 32);
        switch (kind) {
        case WATCH_TIMER:
            (void)!read(ingress->timer_fd, &expired, sizeof(expired));
            break;
        case WATCH_TALK:
            talk_io(ingress, events[i].events);
            break;
        case WATCH_STARTER:
            process_starter_ended(ingress);
            break;
        case WATCH_LOG:
            metrics_log(ingress);
            break;
        case WATCH_PROBE:
            probe_io(ingress, (int)(events[i].data.u64 & 0xffffffff), events[i].events);
            break;
        }
    }
    tick(ingress);
    talk_next(ingress);
    routes_tell(ingress);
    probe_tell(ingress);
    ingress_timer(ingress);
}

bool ingress_is_up(const struct ingress *ingress)
{
    return ingress->phase == PHASE_UP && ingress->up_since > 0;
}

bool ingress_may_serve(const struct ingress *ingress)
{
    bool looked = ingress->up_since > 0 || ingress->backoff_us > 0;
    return ingress->replacing || ingress->phase == PHASE_READ || ingress->phase == PHASE_UP ||
           (ingress->phase == PHASE_WAIT && !looked && process_is_there(ingress));
}

const char *ingress_url(const struct ingress *ingress)
{
    return ingress->url;
}

int64_t ingress_now(void)
{
    return clock_mono_now().us;
}

int ingress_watch(struct ingress *ingress, int fd, enum watch_kind kind, int index, unsigned events)
{
    struct epoll_event wanted = {.events = events,
                                 .data.u64 = (uint64_t)kind << 32 | (unsigned)index};
    return epoll_ctl(ingress->epoll_fd, EPOLL_CTL_ADD, fd, &wanted);
}

int ingress_rewatch(struct ingress *ingress, int fd, enum watch_kind kind, int index,
                    unsigned events)
{
    struct epoll_event wanted = {.events = events,
                                 .data.u64 = (uint64_t)kind << 32 | (unsigned)index};
    return epoll_ctl(ingress->epoll_fd, EPOLL_CTL_MOD, fd, &wanted);
}

void ingress_timer(struct ingress *ingress)
{
    int64_t at = due(ingress);
    struct itimerspec spec = {0};
    if (at != INT64_MAX) {
        at = at > 1 ? at : 1; /* 0 would disarm it; the past is at once */
        spec.it_value.tv_sec = at / US_PER_S;
        spec.it_value.tv_nsec = at % US_PER_S * 1000;
    }
    (void)timerfd_settime(ingress->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

void ingress_say(struct ingress *ingress, enum ingress_event event, const char *format, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list arguments;
    if (ingress->callbacks.happened == NULL)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ingress->callbacks.happened(ingress->callbacks.context, event, text);
}

/* Whole or not at all, under its name: written beside it first. What a power loss takes of it is
 * said again by the scheduler, so it is not waited for. */
int ingress_write_file(const struct ingress *ingress, int folder_fd, const char *name,
                       const char *text, size_t bytes, int mode, struct error *err)
{
    char beside[64];
    (void)ingress;
    str_format(beside, sizeof(beside), "%s.new", name);
    CLEANUP(cleanup_close)
    int fd = openat(folder_fd, beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                    (mode_t)mode);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "write %s of the ingress", name);
    for (size_t done = 0; done < bytes;) {
        ssize_t put = write(fd, text + done, bytes - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return error_set(err, ERR_IO, errno, "write %s of the ingress", name);
        done += (size_t)put;
    }
    if (renameat(folder_fd, beside, folder_fd, name) < 0)
        return error_set(err, ERR_IO, errno, "write %s of the ingress", name);
    return 0;
}

static int open_folder(struct ingress *ingress, const char *folder, struct error *err)
{
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "make the folder of the ingress '%s'", folder);
    ingress->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (ingress->folder_fd < 0)
        return error_set(err, ERR_IO, errno, "open the folder of the ingress '%s'", folder);
    ingress->lock_fd =
        openat(ingress->folder_fd, FILE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (ingress->lock_fd < 0 || flock(ingress->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, errno == EWOULDBLOCK ? ERR_LOCKED : ERR_IO, errno,
                         "the folder of the ingress '%s' is one process's at a time", folder);
    if (mkdirat(ingress->folder_fd, FOLDER_KEPT, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "make the folder of the kept routes in '%s'", folder);
    return 0;
}

static int open_loop(struct ingress *ingress, struct error *err)
{
    ingress->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    ingress->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (ingress->epoll_fd < 0 || ingress->timer_fd < 0 ||
        ingress_watch(ingress, ingress->timer_fd, WATCH_TIMER, 0, EPOLLIN) < 0)
        return error_set(err, ERR_IO, errno, "make the loop of the ingress");
    return 0;
}

static void open_url(struct ingress *ingress)
{
    bool http = ingress->options.http[0] != 0;
    str_format(ingress->url, sizeof(ingress->url), "%s://%s", http ? "http" : "https",
               http ? ingress->options.http : ingress->options.https);
}

static void destroy(struct ingress *ingress)
{
    talk_close(ingress);
    strbuf_done(&ingress->talk.out);
    probe_free(ingress);
    if (ingress->slots != NULL)
        routes_free(ingress);
    free(ingress->counted);
    free(ingress->cert_pending);
    int *fds[] = {&ingress->starter_fd, &ingress->log_fd,  &ingress->timer_fd,
                  &ingress->epoll_fd,   &ingress->lock_fd, &ingress->folder_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        cleanup_close(fds[i]);
    free(ingress);
}

static void tick(struct ingress *ingress)
{
    int64_t now = ingress_now();
    process_tick(ingress, now);
    talk_tick(ingress, now);
    probe_tick(ingress, now);
    metrics_tick(ingress, now);
    if (ingress->cert_at <= now && ingress->phase == PHASE_UP)
        cert_look(ingress);
}

/* When there is something to do that no descriptor tells. */
static int64_t due(const struct ingress *ingress)
{
    int64_t first = probe_deadline(ingress);
    for (const struct ticket *ticket = ingress->tickets; ticket != NULL; ticket = ticket->next)
        if (ticket->answered)
            return 0;
    int64_t others[] = {
        ingress->phase == PHASE_WAIT ? ingress->start_at : INT64_MAX,
        ingress->phase == PHASE_START ? ingress->deadline : INT64_MAX,
        ingress->talk.word != WORD_NONE ? ingress->talk.deadline : sync_deadline(ingress),
        ingress->phase == PHASE_UP ? ingress->cert_at : INT64_MAX,
        ingress->log_at,
        ingress->phase == PHASE_UP && ingress->talk.word == WORD_NONE && ingress->stat_wanted
            ? 0
            : INT64_MAX};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (others[i] < first)
            first = others[i];
    return first;
}
