/*
 * web: an HTTP/1.1 and websocket service that speaks the workload contract (web.h says what it
 * answers). It listens at $BERTH_ADDRESS; by hand, at --listen.
 *
 *     web [--listen IP:PORT] [--ids DIR] [--ready-after-ms N]
 *         [--fail-ppm N] [--wait-ms N] [--count yes|no] [--owner yes|no]
 *
 * --ids   keeps the Request-Id of every request that it took, a line each, in DIR/<instance>.ids: a
 *         judge finds there which were carried out twice
 * --fail-ppm  answers so many of a million requests with 500; --wait-ms answers each so much later:
 *         a version that a canary should find out
 * --count no  tells Berth no counters, as a program that has none: the ingress's are all there is
 *
 * --owner yes  it is one of `handoff: exclusive`: it serves from "own" to "freeze", and says frozen
 *         when nothing is under way; otherwise it answers nothing but the probe
 *
 * The first line on standard error is "listening IP:PORT". SIGTERM drains, as if told so, and ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "examples/web/web.h"
#include "executors/contract/berth_workload.h"

#define COUNT_EVERY_US   (500 * US_PER_MS)
#define DRAIN_DEFAULT_US (5 * US_PER_S)

struct options {
    const char *listen;
    const char *ids_dir;
    int64_t ready_after_ms;
    int64_t fail_ppm;
    int64_t wait_ms;
    bool uncounted;
    bool owner;
};

static volatile sig_atomic_t ended;

static int read_options(int argc, char **argv, struct options *ret_options);
static bool read_number(const char *name, const char *text, struct options *ret_options);
static int serve(struct web *web, struct berth_workload *workload);
static bool obey(struct web *web, struct berth_workload *workload, bool *drain_asked,
                 bool *freeze_asked);
static void report(const struct web *web, struct berth_workload *workload);
static void on_signal(int number);

int main(int argc, char **argv)
{
    struct options options = {0};
    struct error err = {0};
    struct web web;
    if (read_options(argc, argv, &options) < 0)
        return 2;
    const char *instance = getenv("BERTH_INSTANCE");
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    struct timespec pause = {.tv_sec = options.ready_after_ms / 1000,
                             .tv_nsec = options.ready_after_ms % 1000 * US_PER_S};
    nanosleep(&pause, NULL);
    if (web_open(&web, options.listen, instance != NULL ? instance : "by-hand", &err) < 0) {
        fprintf(stderr, "web: %s\n", err.text);
        return 1;
    }
    web.fail_ppm = options.fail_ppm;
    web.wait_ms = options.wait_ms;
    web.uncounted = options.uncounted;
    web.held = options.owner;
    if (options.ids_dir != NULL) {
        char path[1024];
        str_format(path, sizeof path, "%.800s/%.128s.ids", options.ids_dir, web.instance);
        web.ids = fopen(path, "ae");
        if (web.ids == NULL) {
            fprintf(stderr, "web: open %s: %s\n", path, strerror(errno));
            return 1;
        }
        (void)setvbuf(web.ids, NULL, _IOLBF, 4096); /* a kill loses none that was answered */
    }
    struct berth_workload *workload = berth_workload_open();
    if (workload == NULL) {
        fprintf(stderr, "web: open $BERTH_SOCKET: %s\n", strerror(errno));
        return 1;
    }
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &web.address.sin_addr, host, sizeof host);
    fprintf(stderr, "listening %s:%d\n", host, ntohs(web.address.sin_port));
    int status = serve(&web, workload);
    report(&web, workload);
    berth_workload_close(workload);
    if (web.ids != NULL)
        fclose(web.ids);
    web_close(&web);
    return status;
}

static int read_options(int argc, char **argv, struct options *ret_options)
{
    ret_options->listen = getenv("BERTH_ADDRESS");
    for (int i = 1; i + 1 < argc; i += 2) {
        if (str_equal(argv[i], "--listen"))
            ret_options->listen = argv[i + 1];
        else if (str_equal(argv[i], "--ids"))
            ret_options->ids_dir = argv[i + 1];
        else if (str_equal(argv[i], "--count") && str_equal(argv[i + 1], "no"))
            ret_options->uncounted = true;
        else if (str_equal(argv[i], "--owner") && str_equal(argv[i + 1], "yes"))
            ret_options->owner = true;
        else if (!read_number(argv[i], argv[i + 1], ret_options) &&
                 !(str_equal(argv[i], "--count") && str_equal(argv[i + 1], "yes")) &&
                 !(str_equal(argv[i], "--owner") && str_equal(argv[i + 1], "no")))
            argc = 0;
    }
    if (argc % 2 == 1 && ret_options->listen != NULL)
        return 0;
    fprintf(stderr, "usage: web [--listen IP:PORT] [--ids DIR] [--ready-after-ms N] [--fail-ppm N] "
                    "[--wait-ms N] [--count yes|no] [--owner yes|no]; without --listen it needs "
                    "$BERTH_ADDRESS\n");
    return -1;
}

static bool read_number(const char *name, const char *text, struct options *ret_options)
{
    const struct {
        const char *name;
        int64_t *value;
        int64_t max;
    } all[] = {{"--ready-after-ms", &ret_options->ready_after_ms, 3600000},
               {"--fail-ppm", &ret_options->fail_ppm, WEB_PPM},
               {"--wait-ms", &ret_options->wait_ms, WEB_WAIT_MAX_MS}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int64_t value;
        if (!str_equal(name, all[i].name))
            continue;
        if (str_to_i64(text, &value) < 0 || value < 0 || value > all[i].max)
            return false;
        *all[i].value = value;
        return true;
    }
    return false;
}

static int serve(struct web *web, struct berth_workload *workload)
{
    bool drain_asked = false; /* whoever asked waits for the word */
    bool freeze_asked = false;
    int64_t count_at_us = 0;
    if (berth_workload_ready(workload) < 0)
        fprintf(stderr, "web: say ready: %s\n", strerror(errno));
    for (bool ending = false;;) {
        web_step(web, berth_workload_fd(workload), COUNT_EVERY_US);
        if (!obey(web, workload, &drain_asked, &freeze_asked))
            ending = true;
        if (ended && !ending) {
            ending = true;
            web_drain(web, DRAIN_DEFAULT_US);
        }
        int64_t now_us = clock_mono_now().us;
        if (now_us >= count_at_us || (web->state == WEB_DRAINED && drain_asked)) {
            report(web, workload);
            count_at_us = now_us + COUNT_EVERY_US;
        }
        if (web->state == WEB_DRAINED && drain_asked) {
            drain_asked = false;
            berth_workload_drained(workload);
        }
        if (freeze_asked && web_is_idle(web)) {
            freeze_asked = false;
            berth_workload_frozen(workload, NULL);
        }
        if (web->state == WEB_DRAINED && ending)
            return 0;
    }
}

/* False when it was told to stop. */
static bool obey(struct web *web, struct berth_workload *workload, bool *drain_asked,
                 bool *freeze_asked)
{
    bool stays = true;
    int64_t deadline_ms = 0;
    struct error err = {0};
    enum berth_told told;
    while ((told = berth_workload_poll(workload, &deadline_ms)) != BERTH_NOTHING) {
        if (told == BERTH_DRAIN) {
            *drain_asked = true;
            web_drain(web, deadline_ms * US_PER_MS);
        } else if (told == BERTH_RESUME || told == BERTH_OWN) {
            *drain_asked = *freeze_asked = false;
            if (web_resume(web, &err) < 0)
                fprintf(stderr, "web: %s\n", err.text); /* not resumed: Berth sees no word */
            else if (told == BERTH_OWN)
                berth_workload_owned(workload);
            else
                berth_workload_resumed(workload);
        } else if (told == BERTH_FREEZE) {
            *freeze_asked = true;
            web_hold(web);
        } else if (told == BERTH_SNAPSHOT || told == BERTH_RESTORE) {
            berth_workload_failed(workload, "it keeps no state: declare it exclusive");
        } else if (told == BERTH_STOP) {
            web_drain(web, deadline_ms * US_PER_MS);
            stays = false;
        }
    }
    return stays;
}

static void report(const struct web *web, struct berth_workload *workload)
{
    const struct {
        const char *name;
        int64_t total;
    } all[] = {{"requests", web->counters.requests},
               {"errors", web->counters.errors},
               {"bytes_in", web->counters.bytes_in},
               {"bytes_out", web->counters.bytes_out},
               {"latency_us_sum", web->counters.latency_us_sum}};
    for (size_t i = 0; i < sizeof all / sizeof all[0] && !web->uncounted; i++)
        if (berth_workload_count(workload, all[i].name, all[i].total) < 0)
            return;
}

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}
