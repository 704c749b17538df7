/*
 * load: an outside client that judges. It sends requests at a fixed rate whatever comes back (an
 * open loop: a slow service does not slow the client), each with its own id, and counts what was
 * sent, answered, refused, lost (no answer within --timeout-ms) and duplicated, the longest time
 * without an answer, and latencies.
 *
 *     shop-load --url nats://127.0.0.1:4222 --rate 200 --seconds 30 [--seed FILE] [--inbox PREFIX]
 *               [--subject svc.default.front] [--subjects 0] [--keys 100] [--keys-later 1000000]
 * [--every-s 1]
 *               [--history FILE] [--timeout-ms 5000] [--group-us 200]
 *
 * With --subjects N request k goes to "<subject>.<k mod N>": N services, each its share of the
 * rate. Keys are drawn evenly from --keys of them; SIGUSR1 switches to --keys-later (a cache then
 * misses). One JSON line every --every-s seconds, and one with "final":true at the end (SIGTERM and
 * SIGINT end it early). --history writes "<id> <sent_us> <answered_us or 0> <answers> <ok>" per
 * request, in wall time, for a checker to judge afterwards. What is due within --group-us is sent
 * together, at its end; "sent" is the instant at which a request was due, so that a client that is
 * held up does not hide it. Exit status 0 when nothing was lost or duplicated.
 */
#include <errno.h>
#include <inttypes.h>
#include <nats/nats.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/keys/keys.h"
#include "base/limits.h"
#include "base/str.h"

#define REQUESTS_MAX 50000000

struct request {
    int64_t sent_us;
    int64_t answered_us; /* 0: not yet */
    uint8_t answers;
    bool ok;
};

struct load {
    const char *url;
    const char *subject;
    const char *seed_path;
    const char *inbox_prefix;
    const char *history_path;
    int64_t rate;
    int64_t seconds;
    int64_t subjects;
    int64_t keys;
    int64_t keys_later;
    int64_t every_s;
    int64_t timeout_ms;
    int64_t group_us;
    int64_t begun_us;      /* monotonic */
    int64_t begun_wall_us; /* the same instant */
    char inbox[256];
    natsConnection *connection;
    natsSubscription *subscription;
    pthread_mutex_t lock; /* over `requests` and below: answers come on a thread of nats.c */
    struct request *requests;
    int64_t request_count;
    int64_t aged;      /* requests before it are older than the timeout, */
    int64_t aged_lost; /* and so many of them without an answer */
    int64_t answered;
    int64_t refused;
    int64_t duplicated;
    int64_t last_answer_us;
    int64_t longest_gap_us;
};

static volatile sig_atomic_t later;
static volatile sig_atomic_t ended;

static int read_options(struct load *load, int argc, char **argv);
static natsStatus open_connection(struct load *load);
static int64_t due_us(const struct load *load, int64_t number);
static void send_due(struct load *load, int64_t now_us, uint64_t *random);
static void send_one(struct load *load, uint64_t *random);
static void rest(const struct load *load);
static void on_answer(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                      void *closure);
static void print_line(struct load *load, int64_t from, bool final);
static int64_t count_lost(struct load *load, bool final, int64_t now_us);
static int write_history(const struct load *load);
static void on_signal(int number);
static int compare_i64(const void *a, const void *b);
static uint64_t next_random(uint64_t *state);

int main(int argc, char **argv)
{
    static struct load load = {.url = "nats://127.0.0.1:4222",
                               .subject = "svc.default.front",
                               .inbox_prefix = "_INBOX",
                               .rate = 100,
                               .seconds = 10,
                               .keys = 100,
                               .keys_later = 1000000,
                               .every_s = 1,
                               .timeout_ms = 5000,
                               .group_us = 200,
                               .lock = PTHREAD_MUTEX_INITIALIZER};
    if (read_options(&load, argc, argv) < 0)
        return 2;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    load.requests = calloc((size_t)(load.rate * load.seconds), sizeof *load.requests);
    natsStatus status = open_connection(&load);
    if (load.requests == NULL || status != NATS_OK) {
        fprintf(stderr, "shop-load: connect to %s: %s\n", load.url, natsStatus_GetText(status));
        return 2;
    }
    uint64_t random = (uint64_t)clock_mono_now().us;
    load.begun_us = clock_mono_now().us;
    load.begun_wall_us = clock_wall_now().us;
    int64_t printed = 0;
    int64_t print_at_us = load.begun_us + load.every_s * US_PER_S;
    while (!ended && load.request_count < load.rate * load.seconds) {
        int64_t now_us = clock_mono_now().us;
        send_due(&load, now_us, &random);
        if (now_us >= print_at_us) {
            print_line(&load, printed, false);
            printed = load.request_count;
            print_at_us += load.every_s * US_PER_S;
        }
        rest(&load);
    }
    /* Wait for the last answers: until all are there or the timeout has passed. */
    int64_t end_us = clock_mono_now().us + load.timeout_ms * US_PER_MS;
    bool all = false;
    while (!all && clock_mono_now().us < end_us) {
        struct timespec pause = {.tv_nsec = 10000000};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&load.lock);
        all = load.answered + load.refused >= load.request_count;
        pthread_mutex_unlock(&load.lock);
    }
    struct timespec pause = {.tv_nsec = 200000000}; /* for duplicates that come a little later */
    nanosleep(&pause, NULL);
    print_line(&load, 0, true);
    int failed = load.history_path != NULL ? write_history(&load) : 0;
    int64_t lost = load.request_count - load.answered - load.refused;
    natsSubscription_Unsubscribe(load.subscription);
    natsConnection_FlushTimeout(load.connection, 1000);
    natsSubscription_Destroy(load.subscription);
    natsConnection_Close(load.connection);
    natsConnection_Destroy(load.connection);
    nats_Close();
    free(load.requests);
    return failed != 0 ? 2 : lost != 0 || load.duplicated != 0 || load.refused != 0;
}

static int read_options(struct load *load, int argc, char **argv)
{
    const struct {
        const char *name;
        const char **text;
        int64_t *number;
    } known[] = {{"--url", &load->url, NULL},
                 {"--subject", &load->subject, NULL},
                 {"--seed", &load->seed_path, NULL},
                 {"--inbox", &load->inbox_prefix, NULL},
                 {"--history", &load->history_path, NULL},
                 {"--rate", NULL, &load->rate},
                 {"--seconds", NULL, &load->seconds},
                 {"--subjects", NULL, &load->subjects},
                 {"--keys", NULL, &load->keys},
                 {"--keys-later", NULL, &load->keys_later},
                 {"--every-s", NULL, &load->every_s},
                 {"--group-us", NULL, &load->group_us},
                 {"--timeout-ms", NULL, &load->timeout_ms}};
    size_t count = sizeof known / sizeof known[0];
    for (int i = 1; i < argc; i += 2) {
        size_t k = 0;
        while (k < count && !str_equal(argv[i], known[k].name))
            k++;
        if (k == count || i + 1 == argc) {
            fprintf(stderr,
                    "shop-load: %s: not an option, or without its value; the options are "
                    "described at the head of load.c\n",
                    argv[i]);
            return -1;
        }
        if (known[k].text != NULL)
            *known[k].text = argv[i + 1];
        else if (str_to_i64(argv[i + 1], known[k].number) < 0 || *known[k].number <= 0) {
            fprintf(stderr, "shop-load: %s %s: a number above 0 is wanted\n", argv[i], argv[i + 1]);
            return -1;
        }
    }
    if (load->rate > REQUESTS_MAX / load->seconds) {
        fprintf(stderr, "shop-load: --rate x --seconds is more than %d requests\n", REQUESTS_MAX);
        return -1;
    }
    return 0;
}

static natsStatus open_connection(struct load *load)
{
    natsOptions *options = NULL;
    char unique[LIMIT_ID_BYTES];
    char all[300];
    struct error err = {0};
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK)
        status = natsOptions_SetURL(options, load->url);
    if (status == NATS_OK)
        status = natsOptions_SetMaxReconnect(options, -1);
    if (status == NATS_OK && load->seed_path != NULL) {
        char public_key[NKEY_TEXT_BYTES] = "";
        if (keys_init(&err) < 0 || nkey_file_public(load->seed_path, public_key, &err) < 0) {
            fprintf(stderr, "shop-load: %s\n", err.text);
            natsOptions_Destroy(options);
            return NATS_INVALID_ARG;
        }
        status = natsOptions_SetNKeyFromSeed(options, public_key, load->seed_path);
    }
    /* nats.c 3.4 leaves out one signature of 256, which the server refuses: the next one counts. */
    natsStatus set_up = status;
    for (int i = 0; set_up == NATS_OK && i < 4; i++) {
        status = natsConnection_Connect(&load->connection, options);
        if (status != NATS_CONNECTION_AUTH_FAILED)
            break;
    }
    natsOptions_Destroy(options);
    id_random(unique);
    str_format(load->inbox, sizeof load->inbox, "%.128s.%s", load->inbox_prefix, unique);
    str_format(all, sizeof all, "%s.*", load->inbox);
    if (status == NATS_OK)
        status =
            natsConnection_Subscribe(&load->subscription, load->connection, all, on_answer, load);
    if (status == NATS_OK)
        status = natsSubscription_SetPendingLimits(load->subscription, -1, -1);
    if (status == NATS_OK)
        status = natsConnection_FlushTimeout(load->connection, 5000);
    return status;
}

/* From the begin. */
static int64_t due_us(const struct load *load, int64_t number)
{
    int64_t us = number * US_PER_S / load->rate;
    return (us + load->group_us - 1) / load->group_us * load->group_us;
}

static void send_due(struct load *load, int64_t now_us, uint64_t *random)
{
    int64_t most = load->rate * load->seconds;
    while (load->request_count < most &&
           due_us(load, load->request_count) <= now_us - load->begun_us)
        send_one(load, random);
}

/* Until the next request is due; not so long that a line would come late. */
static void rest(const struct load *load)
{
    int64_t at_us = load->begun_us + due_us(load, load->request_count);
    int64_t most_us = clock_mono_now().us + 10 * US_PER_MS;
    at_us = at_us < most_us ? at_us : most_us;
    struct timespec at = {.tv_sec = at_us / US_PER_S, .tv_nsec = at_us % US_PER_S * 1000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void send_one(struct load *load, uint64_t *random)
{
    int64_t keys = later ? load->keys_later : load->keys;
    int64_t id = load->request_count;
    char reply[320];
    char subject[LIMIT_SUBJECT_BYTES];
    char body[64];
    str_format(reply, sizeof reply, "%s.%" PRId64, load->inbox, id);
    str_format(body, sizeof body, "%" PRId64 " k%" PRIu64, id,
               next_random(random) % (uint64_t)keys + (later ? UINT64_C(1) << 40 : 0));
    str_format(subject, sizeof subject, "%s", load->subject);
    if (load->subjects > 0)
        str_format(subject, sizeof subject, "%.200s.%" PRId64, load->subject, id % load->subjects);
    pthread_mutex_lock(&load->lock);
    load->requests[id].sent_us = load->begun_wall_us + due_us(load, id);
    load->request_count++;
    pthread_mutex_unlock(&load->lock);
    if (natsConnection_PublishRequestString(load->connection, subject, reply, body) != NATS_OK)
        fprintf(stderr, "shop-load: request %" PRId64 " could not be sent\n", id);
}

static void on_answer(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                      void *closure)
{
    (void)connection;
    (void)subscription;
    struct load *load = closure;
    int64_t now_us = clock_wall_now().us;
    int64_t id = -1;
    int64_t said = -2;
    const char *error = NULL;
    const char *dot = strrchr(natsMsg_GetSubject(msg), '.');
    bool refused = natsMsg_IsNoResponders(msg) ||
                   natsMsgHeader_Get(msg, "Nats-Service-Error", &error) == NATS_OK;
    char first[24] = "";
    const char *data = natsMsg_GetData(msg);
    const char *blank = memchr(data, ' ', (size_t)natsMsg_GetDataLength(msg));
    if (blank != NULL && blank - data < (ptrdiff_t)sizeof first)
        str_format(first, sizeof first, "%.*s", (int)(blank - data), data);
    bool ours = str_to_i64(dot + 1, &id) == 0;
    bool right = str_to_i64(first, &said) == 0 && said == id;
    pthread_mutex_lock(&load->lock);
    if (ours && id >= 0 && id < load->request_count) {
        struct request *request = &load->requests[id];
        if (request->answers < UINT8_MAX)
            request->answers++;
        if (request->answers > 1)
            load->duplicated++;
        else {
            load->aged_lost -= id < load->aged; /* late, but not lost */
            request->answered_us = now_us;
            request->ok = !refused && right;
            if (!request->ok)
                load->refused++;
            else {
                load->answered++;
                if (load->last_answer_us != 0 &&
                    now_us - load->last_answer_us > load->longest_gap_us)
                    load->longest_gap_us = now_us - load->last_answer_us;
                load->last_answer_us = now_us;
            }
        }
    }
    pthread_mutex_unlock(&load->lock);
    natsMsg_Destroy(msg);
}

/* Latencies of the requests from `from` on; counts of the whole run. "waiting" are not lost yet. */
static void print_line(struct load *load, int64_t from, bool final)
{
    pthread_mutex_lock(&load->lock);
    int64_t span = load->request_count - from;
    int64_t *latencies = calloc((size_t)span + 1, sizeof *latencies);
    int64_t count = 0;
    int64_t now_us = clock_wall_now().us;
    for (int64_t i = from; i < load->request_count && latencies != NULL; i++)
        if (load->requests[i].ok)
            latencies[count++] = load->requests[i].answered_us - load->requests[i].sent_us;
    int64_t lost = count_lost(load, final, now_us);
    int64_t sent = load->request_count, answered = load->answered, refused = load->refused;
    int64_t duplicated = load->duplicated, gap_us = load->longest_gap_us;
    /* Answers do not wait for the sorting and the printing: it would show in their latency. */
    pthread_mutex_unlock(&load->lock);
    if (latencies != NULL && count > 0)
        qsort(latencies, (size_t)count, sizeof *latencies, compare_i64);
    printf("{\"at_us\":%" PRId64 ",\"sent\":%" PRId64 ",\"answered\":%" PRId64
           ",\"refused\":%" PRId64 ",\"lost\":%" PRId64 ",\"duplicated\":%" PRId64
           ",\"longest_gap_us\":%" PRId64 ",\"p50_us\":%" PRId64 ",\"p99_us\":%" PRId64
           ",\"max_us\":%" PRId64 ",\"final\":%s}\n",
           now_us, sent, answered, refused, lost, duplicated, gap_us,
           count > 0 ? latencies[count / 2] : 0, count > 0 ? latencies[count * 99 / 100] : 0,
           count > 0 ? latencies[count - 1] : 0, final ? "true" : "false");
    fflush(stdout);
    free(latencies);
}

/* The lock is held. Looks at each request once, when it has become too old: an answer that comes
 * later still takes it back (on_answer). */
static int64_t count_lost(struct load *load, bool final, int64_t now_us)
{
    int64_t old_us = final ? INT64_MAX : now_us - load->timeout_ms * US_PER_MS;
    while (load->aged < load->request_count && load->requests[load->aged].sent_us < old_us) {
        load->aged_lost += load->requests[load->aged].answers == 0;
        load->aged++;
    }
    return load->aged_lost;
}

static int write_history(const struct load *load)
{
    FILE *file = fopen(load->history_path, "we");
    if (file == NULL) {
        fprintf(stderr, "shop-load: open %s: %s\n", load->history_path, strerror(errno));
        return -1;
    }
    for (int64_t i = 0; i < load->request_count; i++) {
        const struct request *request = &load->requests[i];
        fprintf(file, "%" PRId64 " %" PRId64 " %" PRId64 " %d %d\n", i, request->sent_us,
                request->answered_us, request->answers, request->ok);
    }
    if (fclose(file) != 0) {
        fprintf(stderr, "shop-load: write %s: %s\n", load->history_path, strerror(errno));
        return -1;
    }
    return 0;
}

static void on_signal(int number)
{
    if (number == SIGUSR1)
        later = 1;
    else
        ended = 1;
}

static int compare_i64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}
