#include "scheduler/service/service_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bus/jetstream.h"
#include "base/bus/kv.h"
#include "base/bus/subjects.h"
#include "base/doc.h"
#include "base/log.h"
#include "model/world.h"

/* The events stream is for people and tools, not the record: a month and a gigabyte of it. */

/* The longest sleep: a safety net under every deadline that a mistake could miss. */
#define SLEEP_MAX_US (5 * US_PER_S)

#define NATS_VERSION_FINE "2.10.27"

static int open_parts(struct service *service, const struct service_options *options,
                      struct error *err);
static int open_record(struct service *service, const struct service_options *options,
                       struct error *err);
static int open_signals(struct service *service, struct error *err);
static int open_bus(struct service *service, const struct service_options *options,
                    struct error *err);
static int begin(struct service *service, const struct service_options *options, struct error *err);
static int load_world(struct service *service, const char *path, struct error *err);
static int watch(struct service *service, int fd, struct error *err);
static int serve(struct service *service, struct error *err);
static void on_bus_state(void *context, bool connected)
{
    struct service *service = context;
    log_event(connected ? LOG_INFO : LOG_WARN, connected ? "nats.connected" : "nats.away",
              "term=%" PRIu64, service->term);
    if (connected) {
        service_streams_again(service);
        service_events_send(service);
    }
}

static void on_bus_state(void *context, bool connected);
static void tell_bus_trouble(struct service *service);
static void read_signals(struct service *service);
static void tick(struct service *service);
static int sleep_ms(const struct service *service);
static int64_t events_wait_us(const struct service *service);

static void cleanup_service(struct service **service)
{
    service_close(*service);
}

int service_open(const struct service_options *options, struct service **ret_service,
                 struct error *err)
{
    CLEANUP(cleanup_service) struct service *service = calloc(1, sizeof(*service));
    if (service == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the scheduler");
    service->epoll_fd = -1;
    service->signal_fd = -1;
    service->snapshot_records =
        options->snapshot_records > 0 ? options->snapshot_records : SERVICE_SNAPSHOT_RECORDS;
    arena_init(&service->round, SERVICE_ROUND_BYTES);
    int rc = open_parts(service, options, err);
    if (rc < 0)
        return rc;
    *ret_service = TAKE(service);
    return 0;
}

int service_run(struct service *service, struct error *err)
{
    while (!service->stopping) {
        int rc = serve(service, err);
        if (rc < 0)
            return rc;
    }
    service_events_send(service);
    /* A clean stop: the next start, of this version or a newer one, has nothing to replay. */
    if (!service->refusing)
        service_snapshot_take(service);
    log_event(LOG_INFO, "scheduler.stop", "term=%" PRIu64 " seq=%" PRIu64, service->term,
              journal_last(service->journal));
    return 0;
}

void service_close(struct service *service)
{
    if (service == NULL)
        return;
    micro_close(service->micro);
    for (int i = 0; i < service->subscription_count; i++)
        bus_unsubscribe(service->subscriptions[i]);
    bus_close(service->bus);
    solver_close(service->solver);
    service_jobs_done(service);
    service_probes_done(service);
    service_asked_done(service);
    service_fences_done(service);
    service_proof_close(service);
    service_judges_done(service);
    service_certificates_done(service);
    service_prices_done(service);
#ifdef SERVICE_METRICS
    service_metrics_close(service);
#endif
    service_http_close(service->http);
    service_ledger_close(service);
    free(service->used);
    liveness_destroy(service->liveness);
    core_destroy(service->core);
    core_effects_destroy(service->effects);
    journal_close(service->journal);
    if (service->epoll_fd >= 0)
        close(service->epoll_fd);
    if (service->signal_fd >= 0)
        close(service->signal_fd);
    arena_done(&service->round);
    free(service->waiting);
    free(service->answers);
    free(service->events);
    free(service);
}

struct instant service_now(const struct service *service)
{
    int64_t passed = clock_mono_now().us - service->epoch_mono.us;
    return (struct instant){service->epoch_us + passed};
}

bool service_submit(struct service *service, const struct core_event *event)
{
    if (service->waiting_count == service->waiting_capacity) {
        int capacity = service->waiting_capacity == 0 ? 64 : 2 * service->waiting_capacity;
        struct core_event *grown =
            realloc(service->waiting, (size_t)capacity * sizeof(*service->waiting));
        if (grown == NULL)
            return false;
        service->waiting = grown;
        service->waiting_capacity = capacity;
    }
    service->waiting[service->waiting_count++] = *event;
    return true;
}

void service_cut(char out[LIMIT_TEXT_BYTES], const char *text)
{
    size_t bytes = strnlen(text, LIMIT_TEXT_BYTES);
    if (bytes == LIMIT_TEXT_BYTES) {
        bytes--;
        while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80)
            bytes--;
    }
    memcpy(out, text, bytes);
    out[bytes] = 0;
}

/* The order matters: the lock on the journal first, since a second scheduler must not even speak on
 * the bus; signals before any thread exists; the record's replay before anybody may ask. */
static int open_parts(struct service *service, const struct service_options *options,
                      struct error *err)
{
    int rc = open_record(service, options, err);
    if (rc == 0)
        rc = open_signals(service, err);
    if (rc == 0 && options->metrics_address != NULL)
        rc = service_http_open(service, options->metrics_address, &service->http, err);
    if (rc == 0 && service->http != NULL)
        rc = watch(service, service_http_fd(service->http), err);
    if (rc == 0)
        rc = solver_open(&(struct solver_options){.program = options->solver_path},
                         &service->solver, err);
    if (rc == 0)
        rc = watch(service, solver_fd(service->solver), err);
    if (rc == 0)
        rc = service_proof_open(service, options, err);
    if (rc == 0)
        rc = open_bus(service, options, err);
    if (rc == 0 && liveness_create(&service->liveness) < 0)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for the table of nodes");
#ifdef SERVICE_METRICS
    if (rc == 0)
        rc = service_metrics_open(service, options->state_dir, err);
#endif
    if (rc == 0) {
        service_ledger_open(service, options->state_dir);
        rc = begin(service, options, err);
    }
    if (rc == 0 && service->http != NULL)
        log_event(LOG_INFO, "metrics.listen", "address=%s port=%d", options->metrics_address,
                  service_http_port(service->http));
    return rc;
}

static int open_record(struct service *service, const struct service_options *options,
                       struct error *err)
{
    service->answers = calloc(SERVICE_REPLIES_KEPT, sizeof(*service->answers));
    service->events = calloc(SERVICE_EVENTS_KEPT, sizeof(*service->events));
    if (service->answers == NULL || service->events == NULL ||
        core_effects_create(LIMIT_EFFECTS, &service->effects) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the scheduler's tables");
    char path[LIMIT_PATH_BYTES];
    if (strlen(options->state_dir) + sizeof("/journal.db.lock") > sizeof(path))
        return error_set(err, ERR_LIMIT, 0, "the state directory's path is too long");
    if (mkdir(options->state_dir, 0700) < 0 && errno != EEXIST)
        return error_set(err, ERR_IO, errno, "make the state directory '%s'", options->state_dir);
    str_format(path, sizeof(path), "%s/journal.db", options->state_dir);
    int rc = journal_open(path, &service->journal, &service->term, err);
    if (rc == 0)
        rc = service_replay(service, err);
    if (rc < 0)
        return rc;
    journal_reserve(service->journal);
    service->event_sent = service->event_count; /* by the process before */
    /* Not behind what the journal has seen, even when the wall clock was set back meanwhile; and
     * always going on from there. */
    int64_t wall_us = clock_wall_now().us;
    int64_t last_us = core_state(service->core)->now.us;
    service->epoch_us = wall_us > last_us ? wall_us : last_us;
    service->epoch_mono = clock_mono_now();
    service->started_us = wall_us;
    log_event(LOG_INFO, "journal.open",
              "path=%s term=%" PRIu64 " records=%" PRIu64 " replayed=%" PRIu64
              " acknowledged=\"after a commit with synchronous=FULL on this disk\"",
              path, service->term, journal_last(service->journal), service->replayed);
    return 0;
}

static int open_signals(struct service *service, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return error_set(err, ERR_IO, errno, "block signals");
    /* A worker or a server that goes away is seen by its read, not by a signal. */
    (void)signal(SIGPIPE, SIG_IGN);
    service->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    service->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (service->signal_fd < 0 || service->epoll_fd < 0)
        return error_set(err, ERR_IO, errno, "open the event loop");
    return watch(service, service->signal_fd, err);
}

static int open_bus(struct service *service, const struct service_options *options,
                    struct error *err)
{
    char inbox[LIMIT_SUBJECT_BYTES];
    subject_inbox("s", options->name == NULL ? "scheduler" : options->name, inbox);
    struct bus_options bus = {
        .url = options->nats_url,
        .name = "berth-scheduler",
        .seed_path = options->seed_path,
        .inbox_prefix = inbox,
        .on_state = on_bus_state,
        .context = service,
    };
    int rc = bus_open(&bus, &service->bus, err);
    if (rc < 0)
        return rc;
    struct bus_server server = {0};
    rc = bus_server(service->bus, &server, err);
    if (rc < 0)
        return rc;
    if (str_copy(service->nats_version, sizeof(service->nats_version), server.version) < 0)
        service->nats_version[0] = 0;
    service->jetstream = server.jetstream;
    log_event(LOG_INFO, "nats.server", "version=%s jetstream=%s authenticated=%s", server.version,
              server.jetstream ? "yes" : "no", server.auth_required ? "yes" : "no");
    if (service_version_is_older(server.version, NATS_VERSION_FINE))
        log_event(LOG_WARN, "nats.old",
                  "version=%s advice=\"before %s a stream can vanish or be purged by other "
                  "accounts: use a newer nats-server\"",
                  server.version, NATS_VERSION_FINE);
    if (!server.jetstream)
        return error_set(err, ERR_UNSUPPORTED, 0,
                         "the NATS server %s runs without JetStream, where the events and "
                         "artifacts are kept; enable it with 'jetstream {}' in its configuration",
                         options->nats_url);
    rc = service_streams_open(service, err);
    return rc < 0 ? rc : watch(service, bus_fd(service->bus), err);
}

/* From here on others hear of us: subscriptions, the take-over on the record, the first world. */
static int begin(struct service *service, const struct service_options *options, struct error *err)
{
    service_nodes_watch(service);
    int rc = service_nodes_open(service, err);
    if (rc == 0)
        rc = service_owners_open(service, err);
    if (rc == 0)
        rc = service_ctl_open(service, err);
    if (rc < 0)
        return rc;
    struct core_event started = {.kind = CORE_STARTED, .started = {.term = service->term}};
    if (!service_submit(service, &started))
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for an event");
    if (options->world_path != NULL && core_state(service->core)->world == NULL)
        rc = load_world(service, options->world_path, err);
    if (rc == 0)
        rc = service_round(service, err);
    if (rc == 0 && service->refusing)
        rc = error_set(err, ERR_IO, 0, "%s", service->refusing_text);
    log_event(LOG_INFO, "scheduler.start", "term=%" PRIu64 " apps=%d", service->term,
              core_state(service->core)->app_count);
    return rc;
}

static int load_world(struct service *service, const char *path, struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_read_file(path, &doc, err);
    if (rc < 0)
        return rc;
    struct world *world = arena_alloc(&service->round, sizeof(*world));
    if (world == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the world '%s'", path);
    rc = world_from_doc(doc, &service->round, world, err);
    if (rc < 0)
        return rc;
    struct core_event event = {.kind = CORE_WORLD, .world = world};
    if (!service_submit(service, &event))
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for an event");
    return 0;
}

static int watch(struct service *service, int fd, struct error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};
    if (epoll_ctl(service->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return error_set(err, ERR_IO, errno, "watch a descriptor");
    return 0;
}

/* One turn of the loop. What each source says is asked of it every time: a turn is cheap beside the
 * commit at its end, and timeouts need no timers of their own. */
static int serve(struct service *service, struct error *err)
{
    struct epoll_event events[8];
    int count = epoll_wait(service->epoll_fd, events, 8, sleep_ms(service));
    if (count < 0 && errno != EINTR)
        return error_set(err, ERR_IO, errno, "wait for events");
    read_signals(service);
    (void)bus_dispatch(service->bus, SERVICE_ROUND_MAX);
    tell_bus_trouble(service);
    (void)solver_dispatch(service->solver);
    service_nodes_overdue(service);
#ifdef SERVICE_METRICS
    service_metrics_collect(service);
#endif
    service_http_dispatch(service->http);
    if (service_ledger_deadline_us(service) <= service_now(service).us)
        service_ledger_accrue(service);
    tick(service);
    int rc = service_round(service, err);
    /* What can wait does, while nobody owns. */
    bool pauses = service_pauses(service);
    if (!pauses)
        journal_tidy(service->journal);
    if (!pauses || events_wait_us(service) == 0)
        service_events_send(service);
    return rc;
}

/* Until the events that have not left must; -1: there are none, or no connection to send them on.
 */
static int64_t events_wait_us(const struct service *service)
{
    if (service->event_sent == service->event_count || !bus_connected(service->bus))
        return -1;
    int64_t left_us = service->events_due.us - clock_mono_now().us;
    return left_us > 0 ? left_us : 0;
}

/* What happened beside the handlers: messages lost to a full queue (reports among them are found
 * out by their sequence), and publishes that the server's permissions forbid. */
static void tell_bus_trouble(struct service *service)
{
    struct bus_stats stats = bus_stats(service->bus);
    if (stats.dropped > service->bus_told.dropped)
        log_event(LOG_WARN, "bus.dropped", "count=%" PRIu64 " queue=%d",
                  stats.dropped - service->bus_told.dropped, LIMIT_BUS_QUEUE);
    if (stats.denied > service->bus_told.denied) {
        char trouble[LIMIT_TEXT_BYTES];
        bus_trouble(service->bus, trouble, sizeof(trouble));
        log_event(LOG_ERROR, "bus.denied", "count=%" PRIu64 " reason=\"%s\"",
                  stats.denied - service->bus_told.denied, trouble);
    }
    service->bus_told = stats;
}

static void read_signals(struct service *service)
{
    struct signalfd_siginfo info;
    while (read(service->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        log_event(LOG_INFO, "scheduler.signal", "signal=%u", info.ssi_signo);
        service->stopping = true;
    }
}

static void tick(struct service *service)
{
    service_streams_step(service);
    if (service->refusing || core_deadline(service->core).us > service_now(service).us)
        return;
    struct core_event event = {.kind = CORE_TICK};
    (void)service_submit(service, &event); /* without memory: the next turn tries again */
}

static int sleep_ms(const struct service *service)
{
    if (service->waiting_count > 0)
        return 0;
    int64_t now_us = service_now(service).us;
    int64_t wait_us = SLEEP_MAX_US;
    int64_t until[] = {
        service->refusing ? INT64_MAX : core_deadline(service->core).us,
        service_nodes_deadline(service).us,
        service_ledger_deadline_us(service),
#ifdef SERVICE_METRICS
        service_metrics_deadline_us(service),
#endif
    };
    for (size_t i = 0; i < sizeof(until) / sizeof(until[0]); i++)
        if (until[i] != INT64_MAX && until[i] - now_us < wait_us)
            wait_us = until[i] - now_us;
    int http_ms = service_http_timeout_ms(service->http);
    int64_t after[] = {
        http_ms < 0 ? -1 : http_ms * US_PER_MS,
        bus_timeout_us(service->bus),
        solver_timeout_us(service->solver),
        events_wait_us(service),
        service->refusing ? service->refusing_retry.us - clock_mono_now().us : -1,
    };
    for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++)
        if (after[i] >= 0 && after[i] < wait_us)
            wait_us = after[i];
    /* Rounded up, so that the deadline has passed when the sleep ends. */
    return wait_us <= 0 ? 0 : (int)((wait_us + US_PER_MS - 1) / US_PER_MS);
}

bool service_version_is_older(const char *version, const char *than)
{
    for (int i = 0; i < 3; i++) {
        char *version_end = NULL;
        char *than_end = NULL;
        unsigned long a = strtoul(version, &version_end, 10);
        unsigned long b = strtoul(than, &than_end, 10);
        if (a != b)
            return a < b;
        version = *version_end == '.' ? version_end + 1 : version_end;
        than = *than_end == '.' ? than_end + 1 : than_end;
    }
    return false;
}
