/*
 * bench_ingest [--messages N] [--rounds N] [--instances 4|12|40] [--json 1] [--in-loop 1]: samples
 * per second from NATS batches, through the wire, the checks and the windows into rollups on disk,
 * against the same messages delivered by the same nats-server to the same bus with a handler that
 * drops them.
 *
 * A real nats-server; PUBLISHERS processes, each speaking for NODES nodes of some instances, eight
 * readings each, a message per node and second. All messages are encoded before the clock runs.
 * Time is the messages': a second of it is over when every node has spoken, so that windows slide,
 * estimates are made and rollups flushed as often per message as they would be in life. Publishers
 * keep at most LEAD seconds ahead of what was handled, so that nothing is dropped.
 *
 * With --in-loop 1 the loop waits for each write of rollups, as it would if it wrote itself; the
 * longest and the median time that a flush held it up are printed either way.
 *
 * Three sizes of messages, each with the ratio of its own. The second figure, CPU time of the
 * thread that handles, is what a machine with other work does not blur; the bus's own reading
 * thread, nats-server and the publishers, which share the cores, are not in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/bus.h"
#include "base/bus/subjects.h"
#include "base/str.h"
#include "base/wire/pack.h"
#include "metrics/rollup_feed.h"
#include "tests/live/server.h"

enum { PUBLISHERS = 3, NODES = 20, LEAD = 20, KINDS = 8, INSTANCES_MAX = 64, PAUSES_MAX = 4096 };

#define SECONDS_BEGIN (20000 * INT64_C(86400))

/* Between the processes: how many messages of each publisher were handled; when they may begin. */
struct shared {
    atomic_int go;
    atomic_llong handled[PUBLISHERS];
};

struct message {
    char *data;
    size_t bytes;
};

struct subject_of {
    char text[LIMIT_SUBJECT_BYTES];
};

enum mode { DROP, DECODE, WINDOWS, ROLLUPS };
static const char *const mode_words[] = {"delivered and dropped", "and decoded", "and windowed",
                                         "and into rollups on disk"};

struct run {
    enum mode mode;
    struct shared *shared;
    struct arena arena;
    struct metrics *metrics;
    struct rollup_feed *feed;
    int64_t now_us;
    int64_t due_us;
    int64_t handled;
    int64_t estimates;
    int64_t pauses_us[PAUSES_MAX]; /* that flushes took of the loop */
    int pauses;
};

static struct message *messages[PUBLISHERS];
static int64_t message_count; /* of each publisher */
static int64_t total_bytes;
static int64_t as_json; /* else packed, as nodes send them */
static int64_t in_loop; /* the loop waits until what it flushed is written */

static void fail_on(int rc, const struct error *err)
{
    if (rc < 0) {
        fprintf(stderr, "bench_ingest: %s\n", err->text);
        exit(1);
    }
}

static void node_name(int publisher, int node, char out[LIMIT_NAME_BYTES])
{
    str_format(out, LIMIT_NAME_BYTES, "n%d-%d", publisher, node);
}

static void encode_one(struct message *message, int publisher, int node, int instances,
                       int64_t second)
{
    static struct message_sample samples[INSTANCES_MAX * KINDS];
    static char names[INSTANCES_MAX][2][LIMIT_NAME_BYTES];
    struct message_batch batch = {
        .boot_us = (1000 + second) * US_PER_S, .seq = (uint64_t)second + 1, .samples = samples};
    node_name(publisher, node, batch.node);
    str_format(batch.site, sizeof batch.site, "edge/site-%d", publisher);
    str_format(batch.boot_id, sizeof batch.boot_id, "4f1b2c3d-0000-0000-0000-%06d%06d", publisher,
               node);
    for (int i = 0; i < instances; i++) {
        str_format(names[i][0], LIMIT_NAME_BYTES, "workload-%d", i);
        str_format(names[i][1], LIMIT_ID_BYTES, "workload-%d-%d-%d", i, publisher, node);
        for (int kind = 0; kind < KINDS; kind++) {
            int64_t per_second[KINDS] = {40000000, 64 << 20, 100, 0, 80, 20, 51200, 409600};
            int64_t value = per_second[kind] * (kind == SAMPLE_MEMORY_BYTES ? 1 : 1000 + second);
            samples[batch.sample_count++] = (struct message_sample){.kind = kind,
                                                                    .namespace_ = "default",
                                                                    .app = "shop",
                                                                    .workload = names[i][0],
                                                                    .instance = names[i][1],
                                                                    .life = 1781,
                                                                    .value = value};
        }
    }
    struct strbuf out;
    strbuf_init(&out, LIMIT_WIRE_BYTES);
    as_json ? wire_encode(&message_batch_shape, &batch, &out)
            : wire_pack(&message_batch_shape, &batch, &out);
    message->data = malloc(out.bytes);
    if (strbuf_error(&out, NULL) < 0 || message->data == NULL)
        exit(1);
    message->bytes = out.bytes;
    memcpy(message->data, strbuf_text(&out), out.bytes);
    total_bytes += (int64_t)out.bytes;
    strbuf_done(&out);
}

static void publish(const char *url, int publisher, struct shared *shared)
{
    struct bus *bus = NULL;
    struct error err = {0};
    static struct subject_of subjects[NODES];
    struct bus_options options = {.url = url, .name = "bench"};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fail_on(bus_open(&options, &bus, &err), &err);
    for (int node = 0; node < NODES; node++) {
        char name[LIMIT_NAME_BYTES];
        node_name(publisher, node, name);
        subject_metrics(name, subjects[node].text);
    }
    while (atomic_load(&shared->go) == 0)
        usleep(100);
    for (int64_t i = 0; i < message_count; i++) {
        for (int other = 0; other < PUBLISHERS; other++)
            while (atomic_load(&shared->handled[other]) < i - LEAD * NODES)
                usleep(50);
        const struct message *message = &messages[publisher][i];
        fail_on(
            bus_publish(bus, subjects[i % NODES].text, NULL, message->data, message->bytes, &err),
            &err);
    }
    fail_on(bus_flush(bus, 60 * US_PER_S, &err), &err);
    bus_close(bus);
    _exit(0);
}

static const char *no_peer(void *context, const char *peer)
{
    (void)context;
    (void)peer;
    return NULL;
}

static void handle(void *context, const struct bus_message *message)
{
    struct run *run = context;
    struct message_batch batch;
    struct error err = {0};
    int publisher = message->subject[sizeof "berth.v1.metrics.n" - 1] - '0';
    run->handled++;
    if (run->mode >= DECODE) {
        fail_on(message_batch_decode(message->data, message->bytes, &run->arena, &batch, &err),
                &err);
    }
    if (run->mode >= WINDOWS) {
        int64_t at_us = SECONDS_BEGIN * US_PER_S + batch.boot_us;
        run->now_us = at_us > run->now_us ? at_us : run->now_us;
        metrics_take(run->metrics, batch.node, batch.site, &batch, run->now_us, no_peer, NULL);
        if (run->now_us >= run->due_us) {
            static struct estimate changed[256];
            int count;
            do
                run->estimates += count = metrics_changed(run->metrics, run->now_us, changed, 256);
            while (count == 256);
            run->due_us = metrics_deadline_us(run->metrics, run->now_us);
        }
    }
    if (run->mode == ROLLUPS && run->now_us >= rollup_feed_deadline_us(run->feed)) {
        int64_t before_us = clock_mono_now().us;
        rollup_feed_flush(run->feed, run->now_us);
        if (in_loop)
            (void)rollup_feed_wait(run->feed, 60 * US_PER_S);
        if (run->pauses < PAUSES_MAX)
            run->pauses_us[run->pauses++] = clock_mono_now().us - before_us;
    }
    arena_reset(&run->arena);
    atomic_fetch_add(&run->shared->handled[publisher], 1);
}

static int compare_us(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double thread_cpu_s(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* Seconds that all messages took, and of which the handling thread was at work. */
static double measure(const struct test_server *server, enum mode mode, struct shared *shared,
                      int round, bool last, struct rollup_feed_state *ret_state, double *ret_cpu_s)
{
    struct run run = {.mode = mode, .shared = shared};
    struct error err = {0};
    struct bus *bus = NULL;
    struct bus_subscription *subscription = NULL;
    struct bus_options options = {.url = server->url, .name = "bench-subscriber"};
    char path[600];
    pid_t pids[PUBLISHERS];
    arena_init(&run.arena, 64 << 20);
    memset(shared, 0, sizeof *shared);
    for (int i = 0; i < PUBLISHERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            publish(server->url, i, shared);
    }
    str_format(path, sizeof path, "%s/metrics-%d-%d.db", server->folder, (int)mode, round);
    if (mode == ROLLUPS)
        fail_on(rollup_feed_open(path, NULL, &run.feed, &err), &err);
    struct metrics_options metrics = {0};
    if (mode == ROLLUPS)
        metrics.sink = rollup_feed_sink(run.feed);
    fail_on(metrics_create(&metrics, &run.metrics, &err), &err);
    fail_on(bus_open(&options, &bus, &err), &err);
    fail_on(bus_subscribe(bus, SUBJECT_METRICS_ALL, NULL, handle, &run, &subscription, &err), &err);
    fail_on(bus_flush(bus, 10 * US_PER_S, &err), &err);
    int64_t all = message_count * PUBLISHERS;
    int64_t began_us = clock_mono_now().us;
    double cpu_before_s = thread_cpu_s();
    atomic_store(&shared->go, 1);
    while (run.handled < all) {
        struct pollfd poll_fd = {.fd = bus_fd(bus), .events = POLLIN};
        if (poll(&poll_fd, 1, 30000) == 0) {
            fprintf(stderr, "bench_ingest: only %lld of %lld messages came\n",
                    (long long)run.handled, (long long)all);
            exit(1);
        }
        bus_dispatch(bus, 512);
    }
    if (mode == ROLLUPS) { /* on disk, not only handed over */
        *ret_state = rollup_feed_state(run.feed);
        rollup_feed_close(run.feed);
    }
    double seconds = (double)(clock_mono_now().us - began_us) / 1e6;
    *ret_cpu_s = thread_cpu_s() - cpu_before_s;
    struct metrics_refusal refusal = metrics_refused(run.metrics);
    if (refusal.count > 0) {
        fprintf(stderr, "bench_ingest: refused %llu: %s\n", (unsigned long long)refusal.count,
                refusal.last);
        exit(1);
    }
    if (last && mode == ROLLUPS)
        printf("%lld estimates, %llu rollup cells written in %llu readings\n",
               (long long)run.estimates, (unsigned long long)ret_state->written,
               (unsigned long long)ret_state->readings);
    if (last && mode == ROLLUPS && run.pauses > 0) {
        qsort(run.pauses_us, (size_t)run.pauses, sizeof run.pauses_us[0], compare_us);
        printf("%d flushes %s: they held the loop up for %lld us in the median, %lld us at most\n",
               run.pauses, in_loop ? "waited for" : "handed over",
               (long long)run.pauses_us[run.pauses / 2], (long long)run.pauses_us[run.pauses - 1]);
    }
    for (int i = 0; i < PUBLISHERS; i++)
        waitpid(pids[i], NULL, 0);
    metrics_destroy(run.metrics);
    bus_close(bus);
    arena_done(&run.arena);
    return seconds;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void compare_modes(const struct test_server *server, struct shared *shared, int instances,
                          int64_t rounds)
{
    enum { ROUNDS_MAX = 15 };
    double seconds[4][ROUNDS_MAX];
    double cpu_s[4][ROUNDS_MAX];
    total_bytes = 0;
    for (int publisher = 0; publisher < PUBLISHERS; publisher++) {
        messages[publisher] = calloc((size_t)message_count, sizeof(struct message));
        for (int64_t i = 0; i < message_count; i++)
            encode_one(&messages[publisher][i], publisher, (int)(i % NODES), instances, i / NODES);
    }
    struct rollup_feed_state state;
    for (int64_t round = 0; round < rounds;
         round++) /* by turns, so that all see the same weather */
        for (enum mode mode = DROP; mode <= ROLLUPS; mode++)
            seconds[mode][round] = measure(server, mode, shared, (int)round, round == rounds - 1,
                                           &state, &cpu_s[mode][round]);
    double samples = (double)(message_count * PUBLISHERS * instances * KINDS);
    int64_t sent = message_count * PUBLISHERS;
    printf("%d instances a node: %d samples and %lld bytes a message, %lld messages\n", instances,
           instances * KINDS, (long long)(total_bytes / sent), (long long)sent);
    double median[4];
    for (enum mode mode = DROP; mode <= ROLLUPS; mode++) {
        qsort(seconds[mode], (size_t)rounds, sizeof(double), compare);
        qsort(cpu_s[mode], (size_t)rounds, sizeof(double), compare);
        median[mode] = seconds[mode][rounds / 2];
        printf("  %-26s %12.0f samples/s %10.0f messages/s %6.1f %%  %6.1f ns CPU a sample\n",
               mode_words[mode], samples / median[mode], (double)sent / median[mode],
               100 * median[DROP] / median[mode], 1e9 * cpu_s[mode][rounds / 2] / samples);
    }
    printf("{\"bench\":\"ingest\",\"samples_per_message\":%d,\"bytes_per_message\":%lld,"
           "\"dropped_per_s\":%.0f,\"rollups_per_s\":%.0f,\"share\":%.3f,\"cpu_ns_per_sample\":%."
           "1f}\n",
           instances * KINDS, (long long)(total_bytes / sent), samples / median[DROP],
           samples / median[ROLLUPS], median[DROP] / median[ROLLUPS],
           1e9 * cpu_s[ROLLUPS][rounds / 2] / samples);
    fflush(stdout);
    for (int publisher = 0; publisher < PUBLISHERS; publisher++) {
        for (int64_t i = 0; i < message_count; i++)
            free(messages[publisher][i].data);
        free(messages[publisher]);
    }
}

/* cmocka only because the server's helper reports through it. */
static int64_t rounds = 5;
static int64_t budget = 30000;
static int64_t only_instances; /* of the sizes, that one; 0: all */

static void bench(void **state)
{
    (void)state;
    static const int64_t sizes[] = {4, 12, 40};
    struct test_server server;
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    test_server_init(&server);
    test_server_start(&server, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        message_count = budget / PUBLISHERS / NODES * NODES;
        if (only_instances == 0 || only_instances == sizes[i])
            compare_modes(&server, shared, (int)sizes[i], rounds);
    }
    test_server_done(&server);
    munmap(shared, sizeof *shared);
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t *value = str_equal(argv[i], "--messages")    ? &budget
                         : str_equal(argv[i], "--json")      ? &as_json
                         : str_equal(argv[i], "--in-loop")   ? &in_loop
                         : str_equal(argv[i], "--instances") ? &only_instances
                                                             : &rounds;
        if (str_to_i64(argv[i + 1], value) < 0 || *value < 0 || rounds < 1 || rounds > 15) {
            fprintf(stderr, "usage: bench_ingest [--messages N] [--rounds 1..15] "
                            "[--instances 4|12|40] [--json 1] [--in-loop 1]\n");
            return 1;
        }
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench)};
    return cmocka_run_group_tests_name("bench_ingest", tests, NULL, NULL);
}
