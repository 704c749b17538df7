/*
 * bench_scrape: a round of TARGETS targets of PAGES_SERIES series each, on one core: every page
 * fetched over a kept connection, read, mapped, followed, and what it tells published to a real
 * nats-server. Beside it, in the same run and round by round, what the same libcurl needs to fetch
 * the same pages and drop their bytes.
 *
 * Every target has a port of its own. This process (and libcurl, and NATS's threads in it) has CPU
 * 0; the pages' server and nats-server have CPU 1. Rounds alternate; medians of ROUNDS, after one
 * of each to connect and to learn the series. Exit status 1 past 5 s a round.
 */
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/bus.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "metrics/probe/ingest.h"
#include "metrics/probe/publish.h"
#include "metrics/probe/scrape.h"
#include "metrics/probe/web.h"
#include "tests/bench/scrape/pages.h"
#include "tests/live/server.h"

#define TARGETS     1000
#define ROUNDS      11
#define CONCURRENCY 256
#define LIMIT_US    (5 * US_PER_S)

struct drop {
    struct web_transfer transfer; /* first: a transfer is its drop */
    struct drop *next_free;
    char error[CURL_ERROR_SIZE];
    size_t bytes;
};

static struct probe_config config;
static struct drop *free_drops;
static int drops_under_way;
static int exit_status;

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

static void wait_web(struct web *web)
{
    struct pollfd one = {.fd = web_fd(web), .events = POLLIN};
    (void)poll(&one, 1, web_timeout_us(web, clock_mono_now().us) == 0 ? 0 : 1);
    web_dispatch(web, clock_mono_now().us);
}

static int64_t cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * US_PER_S + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

static int64_t scrape_round(struct web *web, struct ingest *ingest, struct publisher *publisher,
                            struct bus *bus, struct scraper **ret_scraper)
{
    struct error err;
    struct scraper *scraper = NULL;
    int64_t from_us = clock_mono_now().us;
    struct scraper_options options = {
        .config = &config, .ingest = ingest, .web = web, .once = true, .now_us = from_us};
    assert_int_equal(scraper_create(&options, &scraper, &err), 0);
    while (!scraper_idle(scraper)) {
        scraper_tick(scraper, clock_mono_now().us);
        wait_web(web);
    }
    assert_int_equal(publisher_flush(publisher, ingest, NULL, clock_mono_now().us, &err), 0);
    assert_int_equal(bus_flush(bus, 30 * US_PER_S, &err), 0);
    int64_t us = clock_mono_now().us - from_us;
    for (int i = 0; i < TARGETS; i++)
        if (!scraper_health(scraper, i)->up)
            fail_msg("%s: %s", config.targets[i].url, scraper_health(scraper, i)->text);
    *ret_scraper = scraper;
    return us;
}

static size_t on_dropped(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    *(size_t *)context += size * count;
    return size * count;
}

static void on_drop_done(struct web_transfer *transfer, CURLcode result)
{
    struct drop *drop = (struct drop *)transfer;
    assert_int_equal(result, CURLE_OK);
    drop->next_free = free_drops;
    free_drops = drop;
    drops_under_way--;
}

/* The same requests through the same easy handles' set-up, as many at once. */
static int64_t drop_round(struct web *web, struct drop *drops, size_t *ret_bytes)
{
    struct error err;
    int started = 0;
    size_t bytes = 0;
    for (int i = 0; i < CONCURRENCY; i++)
        drops[i].bytes = 0;
    int64_t from_us = clock_mono_now().us;
    while (started < TARGETS || drops_under_way > 0) {
        while (free_drops != NULL && started < TARGETS) {
            struct drop *drop = free_drops;
            free_drops = drop->next_free;
            struct web_options options = {.url = config.targets[started].url,
                                          .ca_file = "",
                                          .timeout_us = 30 * US_PER_S,
                                          .error = drop->error};
            CURL *easy = drop->transfer.easy;
            assert_int_equal(web_prepare(easy, &options, &err), 0);
            (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_dropped);
            (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, &drop->bytes);
            (void)curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
            assert_int_equal(web_start(web, &drop->transfer, &err), 0);
            started++;
            drops_under_way++;
        }
        wait_web(web);
    }
    int64_t us = clock_mono_now().us - from_us;
    for (int i = 0; i < CONCURRENCY; i++)
        bytes += drops[i].bytes;
    *ret_bytes = bytes;
    return us;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void report(int64_t *ours, int64_t *theirs, struct ingest *ingest,
                   struct publisher_totals totals, size_t bytes, const int64_t cpu[2])
{
    qsort(ours, ROUNDS, sizeof(*ours), compare);
    qsort(theirs, ROUNDS, sizeof(*theirs), compare);
    double round_s = (double)ours[ROUNDS / 2] / 1e6;
    double drop_s = (double)theirs[ROUNDS / 2] / 1e6;
    double series = (double)TARGETS * PAGES_SERIES;
    print_message("round of %d targets x %d series: median %.3f s (%.3f to %.3f), limit 5 s\n",
                  TARGETS, PAGES_SERIES, round_s, (double)ours[0] / 1e6,
                  (double)ours[ROUNDS - 1] / 1e6);
    print_message("fetched and dropped:             median %.3f s, %.1f MB; ratio %.2f\n", drop_s,
                  (double)bytes / 1e6, round_s / drop_s);
    print_message(
        "series/s: %.0f; CPU of this process: %.3f s a round, %.3f s dropping; ratio %.2f\n",
        series / round_s, (double)cpu[0] / 1e6, (double)cpu[1] / 1e6,
        (double)cpu[0] / (double)cpu[1]);
    print_message(
        "published per round: %.0f samples, %.0f sketches, %.1f MB; followed series: %lld "
        "in %.1f MB\n",
        (double)totals.samples / (ROUNDS + 1), (double)totals.sketches / (ROUNDS + 1),
        (double)totals.bytes / (ROUNDS + 1) / 1e6, (long long)ingest_totals(ingest).series,
        (double)ingest_totals(ingest).bytes / 1e6);
    print_message("{\"bench\":\"scrape\",\"targets\":%d,\"series\":%d,\"round_us\":%lld,"
                  "\"drop_us\":%lld,\"ratio\":%.3f,\"cpu_us\":%lld,\"cpu_ratio\":%.3f,\"series_per_"
                  "s\":%.0f}\n",
                  TARGETS, PAGES_SERIES, (long long)ours[ROUNDS / 2], (long long)theirs[ROUNDS / 2],
                  round_s / drop_s, (long long)cpu[0], (double)cpu[0] / (double)cpu[1],
                  series / round_s);
    exit_status = ours[ROUNDS / 2] <= LIMIT_US ? 0 : 1;
}

static void configure(const int *ports)
{
    static struct probe_target targets[TARGETS];
    str_format(config.name, sizeof(config.name), "bench");
    str_format(config.site, sizeof(config.site), "edge/bench");
    config.concurrency = CONCURRENCY;
    config.targets = targets;
    config.target_count = TARGETS;
    for (int i = 0; i < TARGETS; i++) {
        struct probe_target *target = &targets[i];
        str_format(target->url, sizeof(target->url), "http://127.0.0.1:%d/metrics", ports[i]);
        probe_url_address(target->url, target->instance);
        target->interval_us = target->timeout_us = 30 * US_PER_S;
        str_format(target->names.fixed.workload, sizeof(target->names.fixed.workload), "w%d",
                   i / 10);
    }
}

static void bench(void **state)
{
    (void)state;
    static int ports[TARGETS];
    static struct drop drops[CONCURRENCY];
    int64_t ours[ROUNDS];
    int64_t theirs[ROUNDS];
    struct error err;
    struct test_server server;
    struct web *webs[2];
    struct ingest *ingest = NULL;
    struct publisher *publisher = NULL;
    struct bus *bus = NULL;
    struct scraper *scraper = NULL;
    size_t bytes = 0;
    pid_t pages = pages_start(TARGETS, 1, ports);
    assert_true(pages > 0);
    configure(ports);
    pin(1);
    test_server_init(&server);
    test_server_start(&server, NULL);
    pin(0);
    struct bus_options bus_options = {.url = server.url, .name = "bench"};
    struct ingest_options ingest_options = {.site = "edge/bench", .life = 1};
    assert_int_equal(keys_init(&err), 0);
    assert_int_equal(bus_open(&bus_options, &bus, &err), 0);
    assert_int_equal(ingest_create(&ingest_options, &ingest, &err), 0);
    struct publisher_bus to = {.bus = bus};
    assert_int_equal(publisher_create(&config, publisher_to_bus, &to, &publisher, &err), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(web_create(TARGETS, &webs[i], &err), 0);
    for (int i = 0; i < CONCURRENCY; i++) {
        drops[i].transfer.easy = curl_easy_init();
        drops[i].transfer.done = on_drop_done;
        drops[i].next_free = free_drops;
        free_drops = &drops[i];
    }
    int64_t cpu[2] = {0, 0};
    int64_t first_us = scrape_round(webs[0], ingest, publisher, bus, &scraper);
    scraper_destroy(scraper);
    print_message("first round, connecting and learning every series: %.3f s\n",
                  (double)first_us / 1e6);
    (void)drop_round(webs[1], drops, &bytes);
    for (int i = 0; i < ROUNDS; i++) {
        int64_t before = cpu_us();
        ours[i] = scrape_round(webs[0], ingest, publisher, bus, &scraper);
        cpu[0] += (cpu_us() - before) / ROUNDS;
        scraper_destroy(scraper);
        before = cpu_us();
        theirs[i] = drop_round(webs[1], drops, &bytes);
        cpu[1] += (cpu_us() - before) / ROUNDS;
    }
    report(ours, theirs, ingest, publisher_totals(publisher), bytes, cpu);
    for (int i = 0; i < CONCURRENCY; i++)
        curl_easy_cleanup(drops[i].transfer.easy);
    publisher_destroy(publisher);
    bus_close(bus);
    ingest_destroy(ingest);
    web_destroy(webs[0]);
    web_destroy(webs[1]);
    pages_stop(pages);
    test_server_done(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed != 0 ? 1 : exit_status;
}
