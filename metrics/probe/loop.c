#include "metrics/probe/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/bus/bus.h"
#include "base/bus/subjects.h"
#include "base/keys/keys.h"
#include "base/log.h"
#include "metrics/probe/report.h"

#define FLUSH_AFTER_US (200 * US_PER_MS) /* what comes close together goes together */
#define FLUSH_AGAIN_US (1 * US_PER_S)
#define SWEEP_US       (60 * US_PER_S)
#define FILES_OTHER    64 /* descriptors besides connections */
#define BUS_MESSAGES   256

static int open_parts(struct probe *probe, struct error *err);
static int open_bus(struct probe *probe, struct error *err);
static int open_loop(struct probe *probe, struct error *err);
static int watch(struct probe *probe, int fd, struct error *err);
static long allow_files(const struct probe_config *config);
static int64_t next_us(const struct probe *probe, int64_t now_us);
static void sooner(int64_t *left_us, int64_t other_us);
static void flush(struct probe *probe, int64_t now_us);
static void on_page(void *context, int target, const struct target_health *health, bool changed);
static void on_round(void *context, int path, const struct path_health *health, bool changed);
static void on_state(void *context, bool connected);
static void write_metrics(void *context, struct strbuf *out);

int probe_open(const struct probe_config *config, bool once, struct probe *ret_probe,
               struct error *err)
{
    *ret_probe = (struct probe){.config = config,
                                .once = once,
                                .epoll_fd = -1,
                                .signal_fd = -1,
                                .flush_us = INT64_MAX,
                                .began_us = clock_mono_now().us};
    ret_probe->sweep_us = ret_probe->began_us + SWEEP_US;
    int rc = open_parts(ret_probe, err);
    if (rc == 0)
        rc = open_loop(ret_probe, err);
    if (rc < 0)
        probe_close(ret_probe);
    return rc;
}

int probe_run(struct probe *probe, struct error *err)
{
    struct signalfd_siginfo info;
    for (;;) {
        probe_turn(probe, -1);
        if (read(probe->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            log_event(LOG_INFO, "probe.stop", "signal=%u", info.ssi_signo);
            flush(probe, clock_mono_now().us);
            return 0;
        }
        if (!probe->once || !scraper_idle(probe->scraper) || !latency_idle(probe->latency))
            continue;
        if (probe->bus == NULL)
            return 0;
        int rc = publisher_flush(probe->publisher, probe->ingest, probe->latency,
                                 clock_mono_now().us, err);
        return rc < 0 ? rc : bus_flush(probe->bus, 5 * US_PER_S, err);
    }
}

void probe_close(struct probe *probe)
{
    bus_close(probe->bus);
    scraper_destroy(probe->scraper);
    latency_destroy(probe->latency);
    receiver_destroy(probe->receiver);
    publisher_destroy(probe->publisher);
    ingest_destroy(probe->ingest);
    web_destroy(probe->web);
    cleanup_close(&probe->epoll_fd);
    cleanup_close(&probe->signal_fd);
    *probe = (struct probe){.epoll_fd = -1, .signal_fd = -1};
}

void probe_turn(struct probe *probe, int64_t wait_us)
{
    struct epoll_event events[8];
    int64_t now_us = clock_mono_now().us;
    scraper_tick(probe->scraper, now_us);
    latency_tick(probe->latency, now_us);
    int64_t left_us = next_us(probe, now_us);
    sooner(&left_us, wait_us);
    int wait_ms = left_us < 0 ? -1 : (int)((left_us + 999) / 1000);
    if (probe->once && scraper_idle(probe->scraper) && latency_idle(probe->latency))
        wait_ms = 0;
    (void)epoll_wait(probe->epoll_fd, events, 8, wait_ms);
    if (probe->bus != NULL)
        (void)bus_dispatch(probe->bus, BUS_MESSAGES);
    now_us = clock_mono_now().us;
    web_dispatch(probe->web, now_us);
    if (probe->receiver != NULL)
        receiver_dispatch(probe->receiver);
    if (ingest_has_news(probe->ingest))
        sooner(&probe->flush_us, now_us + FLUSH_AFTER_US);
    if (probe->bus != NULL && probe->flush_us <= now_us)
        flush(probe, now_us);
    if (probe->sweep_us <= now_us) {
        ingest_sweep(probe->ingest, now_us);
        probe->sweep_us = now_us + SWEEP_US;
    }
}

static int open_parts(struct probe *probe, struct error *err)
{
    const struct probe_config *config = probe->config;
    uint64_t life = hash_u64(hash_str(HASH_SEED, config->name), (uint64_t)clock_wall_now().us);
    struct ingest_options ingest = {.site = config->site, .life = life};
    int rc = keys_init(err);
    if (rc == 0)
        rc = ingest_create(&ingest, &probe->ingest, err);
    if (rc == 0)
        rc = web_create(allow_files(config), &probe->web, err);
    if (rc == 0 && config->bus_url[0] != 0)
        rc = open_bus(probe, err);
    struct scraper_options scraper = {.config = config,
                                      .ingest = probe->ingest,
                                      .web = probe->web,
                                      .once = probe->once,
                                      .now_us = probe->began_us,
                                      .on_page = on_page,
                                      .context = probe};
    if (rc == 0)
        rc = scraper_create(&scraper, &probe->scraper, err);
    struct latency_options latency = {.config = config,
                                      .web = probe->web,
                                      .bus = probe->bus,
                                      .once = probe->once,
                                      .now_us = probe->began_us,
                                      .on_round = on_round,
                                      .context = probe};
    if (rc == 0)
        rc = latency_create(&latency, &probe->latency, err);
    struct receiver_options receiver = {.config = config,
                                        .ingest = probe->ingest,
                                        .target = (uint32_t)config->target_count,
                                        .write_metrics = write_metrics,
                                        .context = probe};
    if (rc == 0 && config->otlp.host[0] != 0 && !probe->once)
        rc = receiver_create(&receiver, &probe->receiver, err);
    return rc;
}

static int open_bus(struct probe *probe, struct error *err)
{
    const struct probe_config *config = probe->config;
    char inbox[LIMIT_SUBJECT_BYTES];
    char name[LIMIT_NAME_BYTES * 2];
    subject_inbox("p", config->name, inbox);
    str_format(name, sizeof(name), "berth-probe/%s", config->name);
    struct bus_options options = {.url = config->bus_url,
                                  .name = name,
                                  .seed_path = config->bus_seed[0] == 0 ? NULL : config->bus_seed,
                                  .inbox_prefix = inbox,
                                  .connect_retry = !probe->once,
                                  .on_state = on_state,
                                  .context = probe};
    int rc = 0;
    if (options.seed_path != NULL)
        rc = proof_link_open_user("probe", config->name, options.seed_path, "", &probe->to.link,
                                  err);
    if (rc == 0)
        rc = bus_open(&options, &probe->bus, err);
    probe->to.bus = probe->bus;
    if (rc == 0)
        rc = publisher_create(config, publisher_to_bus, &probe->to, &probe->publisher, err);
    return rc;
}

static int open_loop(struct probe *probe, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    probe->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    probe->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (probe->epoll_fd < 0 || probe->signal_fd < 0)
        return error_set(err, ERR_IO, errno, "make the probe's loop");
    int rc = watch(probe, probe->signal_fd, err);
    if (rc == 0)
        rc = watch(probe, web_fd(probe->web), err);
    if (rc == 0 && probe->bus != NULL)
        rc = watch(probe, bus_fd(probe->bus), err);
    if (rc == 0 && probe->receiver != NULL)
        rc = watch(probe, receiver_fd(probe->receiver), err);
    if (rc == 0 && probe->receiver != NULL)
        log_event(LOG_INFO, "otlp.listen", "host=%s port=%d", probe->config->otlp.host,
                  receiver_port(probe->receiver));
    return rc;
}

static int watch(struct probe *probe, int fd, struct error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(probe->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return error_set(err, ERR_IO, errno, "make the probe's loop");
    return 0;
}

/* One connection for each target that is kept open, as far as the system lets: returns how many. */
static long allow_files(const struct probe_config *config)
{
    struct rlimit limit;
    long under_way = config->concurrency + config->path_count;
    long other = FILES_OTHER + under_way + (config->otlp.host[0] == 0 ? 0 : RECEIVE_CONNECTIONS);
    long wanted = config->target_count < 16 ? 16 : config->target_count;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 16;
    rlim_t needed = (rlim_t)(other + wanted);
    if (limit.rlim_cur < needed) {
        limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= needed)
        return wanted;
    long kept = (long)limit.rlim_cur - other;
    log_event(LOG_WARN, "probe.files",
              "needed=%llu limit=%llu reason=\"fewer connections are kept open; raise the limit of "
              "open files (ulimit -n, LimitNOFILE=)\"",
              (unsigned long long)needed, (unsigned long long)limit.rlim_cur);
    return kept < 1 ? 1 : kept;
}

static int64_t next_us(const struct probe *probe, int64_t now_us)
{
    int64_t left_us = scraper_timeout_us(probe->scraper, now_us);
    sooner(&left_us, latency_timeout_us(probe->latency, now_us));
    sooner(&left_us, web_timeout_us(probe->web, now_us));
    if (probe->receiver != NULL)
        sooner(&left_us, receiver_timeout_us(probe->receiver));
    if (probe->bus != NULL)
        sooner(&left_us, bus_timeout_us(probe->bus));
    if (probe->bus != NULL && probe->flush_us != INT64_MAX)
        sooner(&left_us, probe->flush_us > now_us ? probe->flush_us - now_us : 0);
    sooner(&left_us, probe->sweep_us > now_us ? probe->sweep_us - now_us : 0);
    return left_us;
}

/* -1 is never. */
static void sooner(int64_t *left_us, int64_t other_us)
{
    if (other_us >= 0 && (*left_us < 0 || other_us < *left_us))
        *left_us = other_us;
}

/* What the bus does not take now is told again, counters by their next value. */
static void flush(struct probe *probe, int64_t now_us)
{
    struct error err;
    probe->flush_us = INT64_MAX;
    if (probe->bus == NULL || !bus_connected(probe->bus))
        probe->flush_us = now_us + FLUSH_AGAIN_US;
    else if (publisher_flush(probe->publisher, probe->ingest, probe->latency, now_us, &err) < 0) {
        log_event(LOG_WARN, "publish.failed", "reason=\"%s\"", err.text);
        probe->flush_us = now_us + FLUSH_AGAIN_US;
    }
}

static void on_page(void *context, int target, const struct target_health *health, bool changed)
{
    struct probe *probe = context;
    const char *url = probe->config->targets[target].url;
    if (!changed || probe->once)
        return;
    if (!health->up)
        log_event(LOG_WARN, "target.down", "url=%s code=%s reason=\"%s\"", url,
                  error_name(health->code), health->text);
    else
        log_event(LOG_INFO, "target.up",
                  "url=%s series=%" PRId64 " used=%" PRId64 " problems=%" PRId64 " remark=\"%s\"",
                  url, health->counts.series, health->counts.meant - health->counts.refused,
                  health->problems, health->text);
}

static void on_round(void *context, int path, const struct path_health *health, bool changed)
{
    struct probe *probe = context;
    sooner(&probe->flush_us, clock_mono_now().us + FLUSH_AFTER_US);
    const char *to = probe->config->paths[path].to;
    if (changed && !probe->once && health->answered == 0)
        log_event(LOG_WARN, "path.silent", "to=%s reason=\"%s\"", to, health->text);
    else if (changed && !probe->once)
        log_event(LOG_INFO, "path.answers", "to=%s min_us=%" PRId64 " median_us=%" PRId64, to,
                  health->min_us, health->median_us);
}

static void on_state(void *context, bool connected)
{
    struct probe *probe = context;
    log_event(connected ? LOG_INFO : LOG_WARN, connected ? "bus.connected" : "bus.lost", "url=%s",
              probe->config->bus_url);
    if (connected)
        sooner(&probe->flush_us, clock_mono_now().us);
}

static void write_metrics(void *context, struct strbuf *out)
{
    report_metrics(context, out);
}
