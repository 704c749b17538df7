/*
 * bench_ingest [--messages N] [--rounds N] [--instances 4|12|40] [--json 1] [--in-loop 1] [--ends
 * 1]: samples per second from NATS batches, through the wire, the checks and the windows into
 * rollups on disk, against the same messages delivered by the same nats-server to the same bus with
 * a handler that drops them.
 *
 * A real nats-server; PUBLISHERS processes, each speaking for NODES nodes of some instances, eight
 * readings each, a message per node and second. All messages are encoded before the clock runs.
 * Time is the messages': a second of it is over when every node has spoken, so that windows slide,
 * estimates are made and rollups flushed as often per message as they would be in life. Publishers
 * keep at most LEAD seconds ahead of what was handled, so that nothing is dropped; they sleep until
 * GRANT messages more may be sent. (They once looked every 50 us: with the slower handler they did
 * that more often, and paid for it out of the two cores that it ran on.)
 *
 * With --in-loop 1 the loop waits for each write of rollups, as it would if it wrote itself; the
 * longest and the median time that a flush held it up are printed either way. With --ends 1 only
 * what is dropped and what goes into rollups are measured, without the steps between.
 *
 * Three sizes of messages, each with a process and the ratio of its own: the median of the ratios
 * of rounds, whose modes take turns. The second figure is processor time, which a machine with
 * other work blurs less: of the thread that handles, of the subscriber's other threads (the bus's
 * reader, and what writes the database), of publishers and of nats-server, each the median, and
 * the ratio of their sums. All of these share the cores.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <poll.h>
#include <semaphore.h>
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

enum {
    PUBLISHERS = 3,
    NODES = 20,
    LEAD = 20,
    GRANT = 5 * NODES,
    KINDS = 8,
    INSTANCES_MAX = 64,
    PAUSES_MAX = 4096,
    ROUNDS_MAX = 15
};

#define SECONDS_BEGIN (20000 * INT64_C(86400))

/* Between the processes. A round begins for a publisher with a post to its `begin`; it takes a
 * `leave` for each GRANT messages, and posts `done`. */
struct shared {
    sem_t begin[PUBLISHERS];
    sem_t leave[PUBLISHERS];
    sem_t done;
    atomic_bool ending;
    atomic_llong cpu_ns[PUBLISHERS]; /* of its last round */
};

/* Processor time, of all that share the cores. */
enum party { HANDLER, SUBSCRIBER, PUBLISHER, SERVER, PARTY_COUNT };
static const char *const party_words[] = {"handling thread", "subscriber's others", "publishers",
                                          "nats-server"};
struct spent {
    double s[PARTY_COUNT];
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
    int64_t of_publisher[PUBLISHERS]; /* of which so many */
    int64_t granted;                  /* to each of them, beside LEAD seconds */
    int64_t estimates;
    int64_t pauses_us[PAUSES_MAX]; /* that flushes took of the loop */
    int pauses;
};

static struct message *messages[PUBLISHERS];
static int64_t message_count; /* of each publisher */
static int64_t total_bytes;
static int64_t as_json; /* else packed, as nodes send them */
static int64_t in_loop; /* the loop waits until what it flushed is written */
static int64_t ends;    /* only the first and the last mode */

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

static double clock_cpu_s(clockid_t clock)
{
    struct timespec at = {0};
    clock_gettime(clock, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void take(sem_t *semaphore)
{
    while (sem_wait(semaphore) < 0)
        continue; /* interrupted */
}

/* A process: a round whenever it is told to begin. */
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
    for (take(&shared->begin[publisher]); !atomic_load(&shared->ending);
         take(&shared->begin[publisher])) {
        double before_s = clock_cpu_s(CLOCK_PROCESS_CPUTIME_ID);
        for (int64_t i = 0; i < message_count; i++) {
            const struct message *message = &messages[publisher][i];
            if (i % GRANT == 0)
                take(&shared->leave[publisher]);
            fail_on(bus_publish(bus, subjects[i % NODES].text, NULL, message->data, message->bytes,
                                &err),
                    &err);
        }
        fail_on(bus_flush(bus, 60 * US_PER_S, &err), &err);
        double cpu_s = clock_cpu_s(CLOCK_PROCESS_CPUTIME_ID) - before_s;
        atomic_store(&shared->cpu_ns[publisher], (long long)(cpu_s * 1e9));
        (void)sem_post(&shared->done);
    }
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
    /* The one that is behind all others is GRANT further: all may go on. */
    if (++run->of_publisher[publisher] % GRANT != 0)
        return;
    for (int other = 0; other < PUBLISHERS; other++)
        if (run->of_publisher[other] < run->granted + GRANT)
            return;
    run->granted += GRANT;
    for (int other = 0; other < PUBLISHERS; other++)
        (void)sem_post(&run->shared->leave[other]);
}

static int compare_us(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void tell_flushes(struct run *run, const struct rollup_feed_state *state)
{
    printf("%lld estimates, %llu rollup cells written in %llu readings\n",
           (long long)run->estimates, (unsigned long long)state->written,
           (unsigned long long)state->readings);
    if (run->pauses == 0)
        return;
    qsort(run->pauses_us, (size_t)run->pauses, sizeof run->pauses_us[0], compare_us);
    printf("%d flushes %s: they held the loop up for %lld us in the median, %lld us at most\n",
           run->pauses, in_loop ? "waited for" : "handed over",
           (long long)run->pauses_us[run->pauses / 2], (long long)run->pauses_us[run->pauses - 1]);
}

/* Lets publishers go, each with leave for LEAD seconds. */
static void begin(struct shared *shared)
{
    for (int i = 0; i < PUBLISHERS; i++) {
        while (sem_trywait(&shared->leave[i]) == 0)
            continue; /* of the round before */
        for (int k = 0; k < LEAD * NODES / GRANT; k++)
            (void)sem_post(&shared->leave[i]);
        (void)sem_post(&shared->begin[i]);
    }
}

/* Seconds that all messages took, and of which the handling thread was at work. */
static double measure(const struct test_server *server, enum mode mode, struct shared *shared,
                      int round, bool last, struct rollup_feed_state *ret_state,
                      struct spent *ret_spent)
{
    struct run run = {.mode = mode, .shared = shared};
    struct error err = {0};
    struct bus *bus = NULL;
    struct bus_subscription *subscription = NULL;
    struct bus_options options = {.url = server->url, .name = "bench-subscriber"};
    char path[600];
    arena_init(&run.arena, 64 << 20);
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
    clockid_t of_server;
    if (clock_getcpuclockid(server->pid, &of_server) != 0)
        exit(1);
    struct spent spent = {{clock_cpu_s(CLOCK_THREAD_CPUTIME_ID),
                           clock_cpu_s(CLOCK_PROCESS_CPUTIME_ID), 0, clock_cpu_s(of_server)}};
    begin(shared);
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
    spent.s[HANDLER] = clock_cpu_s(CLOCK_THREAD_CPUTIME_ID) - spent.s[HANDLER];
    spent.s[SUBSCRIBER] =
        clock_cpu_s(CLOCK_PROCESS_CPUTIME_ID) - spent.s[SUBSCRIBER] - spent.s[HANDLER];
    spent.s[SERVER] = clock_cpu_s(of_server) - spent.s[SERVER];
    struct metrics_refusal refusal = metrics_refused(run.metrics);
    if (refusal.count > 0) {
        fprintf(stderr, "bench_ingest: refused %llu: %s\n", (unsigned long long)refusal.count,
                refusal.last);
        exit(1);
    }
    if (last && mode == ROLLUPS)
        tell_flushes(&run, ret_state);
    for (int i = 0; i < PUBLISHERS; i++)
        take(&shared->done);
    for (int i = 0; i < PUBLISHERS; i++)
        spent.s[PUBLISHER] += (double)atomic_load(&shared->cpu_ns[i]) / 1e9;
    *ret_spent = spent;
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

static double median_of(double *list, int64_t count)
{
    qsort(list, (size_t)count, sizeof *list, compare);
    return list[count / 2];
}

/* In one unit, of what the modes took in each round. */
struct figures {
    double seconds[ROLLUPS + 1][ROUNDS_MAX];
    struct spent spent[ROLLUPS + 1][ROUNDS_MAX];
};

static void tell(const struct figures *figures, int instances, int64_t rounds);

/* A process of one size of messages. Its publishers are made before it has threads, of which a fork
 * would take the locks along, and serve all its rounds. */
static void compare_modes(const struct test_server *server, struct shared *shared, int instances,
                          int64_t rounds)
{
    static struct figures figures;
    pid_t pids[PUBLISHERS];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int publisher = 0; publisher < PUBLISHERS; publisher++) {
        messages[publisher] = calloc((size_t)message_count, sizeof(struct message));
        for (int64_t i = 0; i < message_count; i++)
            encode_one(&messages[publisher][i], publisher, (int)(i % NODES), instances, i / NODES);
    }
    if (sem_init(&shared->done, 1, 0) < 0)
        exit(1);
    atomic_store(&shared->ending, false);
    for (int i = 0; i < PUBLISHERS; i++) {
        if (sem_init(&shared->begin[i], 1, 0) < 0 || sem_init(&shared->leave[i], 1, 0) < 0)
            exit(1);
        pids[i] = fork();
        if (pids[i] == 0)
            publish(server->url, i, shared);
    }
    struct rollup_feed_state state;
    for (int64_t round = 0; round < rounds;
         round++) /* by turns, so that all see the same weather */
        for (enum mode mode = DROP; mode <= ROLLUPS; mode++)
            if (ends == 0 || mode == DROP || mode == ROLLUPS)
                figures.seconds[mode][round] =
                    measure(server, mode, shared, (int)round, round == rounds - 1, &state,
                            &figures.spent[mode][round]);
    atomic_store(&shared->ending, true);
    for (int i = 0; i < PUBLISHERS; i++) {
        (void)sem_post(&shared->begin[i]);
        waitpid(pids[i], NULL, 0);
    }
    tell(&figures, instances, rounds);
    _exit(0);
}

static void tell(const struct figures *figures, int instances, int64_t rounds)
{
    int64_t sent = message_count * PUBLISHERS;
    double samples = (double)(sent * instances * KINDS);
    double list[ROUNDS_MAX];
    double seconds[ROLLUPS + 1];
    double share = 0;
    double handler_ns = 0;
    double whole_us[ROLLUPS + 1] = {0};
    printf("%d instances a node: %d samples and %lld bytes a message, %lld messages\n", instances,
           instances * KINDS, (long long)(total_bytes / sent), (long long)sent);
    for (enum mode mode = DROP; mode <= ROLLUPS; mode++) {
        if (ends != 0 && mode != DROP && mode != ROLLUPS)
            continue;
        memcpy(list, figures->seconds[mode], sizeof list);
        seconds[mode] = median_of(list, rounds);
        for (int64_t i = 0; i < rounds; i++)
            list[i] = figures->seconds[DROP][i] / figures->seconds[mode][i];
        share = median_of(list, rounds);
        printf("  %-26s %12.0f samples/s %10.0f messages/s %6.1f %%\n", mode_words[mode],
               samples / seconds[mode], (double)sent / seconds[mode], 100 * share);
        printf("    CPU us a message:");
        for (enum party party = 0; party < PARTY_COUNT; party++) {
            for (int64_t i = 0; i < rounds; i++)
                list[i] = figures->spent[mode][i].s[party];
            double us = 1e6 * median_of(list, rounds) / (double)sent;
            whole_us[mode] += us;
            handler_ns = party == HANDLER ? 1e3 * us / (instances * KINDS) : handler_ns;
            printf(" %s %.2f,", party_words[party], us);
        }
        printf(" all %.2f\n", whole_us[mode]);
    }
    printf("{\"bench\":\"ingest\",\"samples_per_message\":%d,\"bytes_per_message\":%lld,"
           "\"dropped_per_s\":%.0f,\"rollups_per_s\":%.0f,\"share\":%.3f,\"cpu_ns_per_sample\":%."
           "1f,\"share_of_cpu\":%.3f}\n",
           instances * KINDS, (long long)(total_bytes / sent), samples / seconds[DROP],
           samples / seconds[ROLLUPS], share, handler_ns, whole_us[DROP] / whole_us[ROLLUPS]);
    fflush(stdout);
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
        if (only_instances != 0 && only_instances != sizes[i])
            continue;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            compare_modes(&server, shared, (int)sizes[i], rounds);
        int status = 1;
        waitpid(pid, &status, 0);
        assert_int_equal(status, 0);
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
                         : str_equal(argv[i], "--ends")      ? &ends
                         : str_equal(argv[i], "--instances") ? &only_instances
                                                             : &rounds;
        if (str_to_i64(argv[i + 1], value) < 0 || *value < 0 || rounds < 1 || rounds > 15) {
            fprintf(stderr, "usage: bench_ingest [--messages N] [--rounds 1..15] "
                            "[--instances 4|12|40] [--json 1] [--in-loop 1] [--ends 1]\n");
            return 1;
        }
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench)};
    return cmocka_run_group_tests_name("bench_ingest", tests, NULL, NULL);
}
