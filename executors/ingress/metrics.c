/*
 * metrics: what HAProxy counts of each server, and how long its answers took.
 *
 * HAProxy keeps no sum of latencies, and its means are whole milliseconds. So it says each
 * request's in microseconds in a log that is a datagram socket of ours. It is read every
 * INGRESS_LOG_US; what does not fit into the socket until then (net.unix.max_dgram_qlen, from 10)
 * HAProxy drops without waiting: a sample of the requests under load, all of them otherwise. The
 * mean of those seen times the requests counted is the sum that is told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "executors/ingress/internal.h"

#define LOG_AT_ONCE  1024
#define STAT_EVERY   (1 * US_PER_S)
#define SAMPLE_KINDS 5

struct reading {
    int64_t requests;
    int64_t errors;
    int64_t bytes_in;
    int64_t bytes_out;
};

struct counted {
    int slot;
    char instance[LIMIT_ID_BYTES];
    uint64_t round; /* of the last answer that had it */
    struct reading last[INGRESS_LANES];
    struct reading total;
    int64_t told; /* requests that the sum of latencies is about */
    int64_t seen_count;
    int64_t seen_us;
    int64_t mean_us;
    int64_t latency_us_sum;
};

static struct counted *counted_find(struct ingress *ingress, int slot, const char *instance,
                                    bool make);
static void add(struct reading *total, struct reading *last, const struct answer_stat *stat,
                bool first);

int metrics_listen(struct ingress *ingress, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* An abstract name, padded as HAProxy pads it: it is not root and sees no folder of ours. */
    str_format(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", ingress->log_name);
    ingress->log_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ingress->log_fd < 0 ||
        bind(ingress->log_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        ingress_watch(ingress, ingress->log_fd, WATCH_LOG, 0, EPOLLIN | EPOLLONESHOT) < 0)
        return error_set(err, ERR_IO, errno, "open the socket of the request log");
    return 0;
}

void metrics_log(struct ingress *ingress)
{
    char line[320];
    struct answer_log log;
    int count = 0;
    for (; count < LOG_AT_ONCE; count++) {
        ssize_t got = recv(ingress->log_fd, line, sizeof(line) - 1, 0);
        if (got < 0)
            break;
        line[got] = 0;
        line[strcspn(line, "\n")] = 0;
        if (answer_log(line, &log) <= 0 || log.slot >= ingress->options.slots)
            continue;
        struct counted *counted = counted_find(ingress, log.slot, log.name, false);
        if (counted == NULL)
            continue;
        counted->seen_count++;
        counted->seen_us += log.latency_us;
    }
    if (count > 0) {
        ingress->log_at = ingress_now() + INGRESS_LOG_US;
    } else {
        ingress->log_at = INT64_MAX;
        if (ingress_rewatch(ingress, ingress->log_fd, WATCH_LOG, 0, EPOLLIN | EPOLLONESHOT) < 0)
            ingress->log_at = ingress_now() + STAT_EVERY;
    }
}

void metrics_tick(struct ingress *ingress, int64_t now)
{
    if (ingress->log_at <= now)
        metrics_log(ingress);
}

void metrics_stat_begin(struct ingress *ingress)
{
    for (int i = 0; i < STAT_COLUMNS; i++)
        ingress->columns.index[i] = -1;
    ingress->stat_round++;
}

void metrics_stat_line(struct ingress *ingress, const char *line)
{
    struct answer_stat stat;
    if (answer_stat_header(line, &ingress->columns) > 0 ||
        answer_stat(line, &ingress->columns, &stat) <= 0 || stat.slot >= ingress->options.slots)
        return;
    struct counted *counted = counted_find(ingress, stat.slot, stat.name, true);
    if (counted == NULL)
        return;
    counted->round = ingress->stat_round;
    add(&counted->total, &counted->last[stat.lane], &stat, ingress->stat_first);
}

void metrics_stat_end(struct ingress *ingress)
{
    ingress->stat_first = false;
    for (int i = ingress->counted_count - 1; i >= 0; i--) {
        struct counted *counted = &ingress->counted[i];
        if (counted->round != ingress->stat_round) {
            *counted = ingress->counted[--ingress->counted_count];
            continue;
        }
        if (counted->seen_count > 0)
            counted->mean_us = counted->seen_us / counted->seen_count;
        counted->latency_us_sum += (counted->total.requests - counted->told) * counted->mean_us;
        counted->told = counted->total.requests;
        counted->seen_count = counted->seen_us = 0;
    }
}

/* HAProxy is gone, and its counters with it; what was told stays told. */
void metrics_forget(struct ingress *ingress)
{
    for (int i = 0; i < ingress->counted_count; i++)
        memset(ingress->counted[i].last, 0, sizeof(ingress->counted[i].last));
    ingress->stat_first = false;
    ingress->stat_wanted = false;
}

int ingress_metrics(struct ingress *ingress, struct arena *arena,
                    struct message_sample **ret_samples, int *ret_count, struct error *err)
{
    static const int kinds[SAMPLE_KINDS] = {SAMPLE_REQUESTS, SAMPLE_ERRORS, SAMPLE_LATENCY_US_SUM,
                                            SAMPLE_BYTES_IN, SAMPLE_BYTES_OUT};
    int64_t now = ingress_now();
    if (ingress->stat_at <= now) {
        ingress->stat_at = now + STAT_EVERY;
        ingress->stat_wanted = true;
        ingress_timer(ingress);
    }
    struct message_sample *samples =
        arena_array(arena, (size_t)ingress->counted_count * SAMPLE_KINDS + 1, sizeof(*samples));
    if (samples == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the samples of the ingress");
    int count = 0;
    for (int i = 0; i < ingress->counted_count; i++) {
        const struct counted *counted = &ingress->counted[i];
        const struct slot *slot = &ingress->slots[counted->slot];
        if (!slot->used || slot->workload[0] == 0)
            continue;
        const int64_t values[SAMPLE_KINDS] = {counted->total.requests, counted->total.errors,
                                              counted->latency_us_sum, counted->total.bytes_in,
                                              counted->total.bytes_out};
        struct message_sample sample = {.namespace_ = arena_strdup(arena, slot->namespace_),
                                        .app = arena_strdup(arena, slot->app),
                                        .workload = arena_strdup(arena, slot->workload),
                                        .instance = arena_strdup(arena, counted->instance),
                                        .life = ingress->life};
        if (sample.namespace_ == NULL || sample.app == NULL || sample.workload == NULL ||
            sample.instance == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the samples of the ingress");
        for (int k = 0; k < SAMPLE_KINDS; k++) {
            sample.kind = kinds[k];
            sample.value = values[k];
            samples[count++] = sample;
        }
    }
    *ret_samples = samples;
    *ret_count = count;
    return 0;
}

static struct counted *counted_find(struct ingress *ingress, int slot, const char *instance,
                                    bool make)
{
    for (int i = 0; i < ingress->counted_count; i++)
        if (ingress->counted[i].slot == slot && str_equal(ingress->counted[i].instance, instance))
            return &ingress->counted[i];
    if (!make)
        return NULL;
    if (ingress->counted_count == ingress->counted_capacity) {
        int capacity = ingress->counted_capacity == 0 ? 32 : 2 * ingress->counted_capacity;
        struct counted *grown =
            reallocarray(ingress->counted, (size_t)capacity, sizeof(*ingress->counted));
        if (grown == NULL)
            return NULL;
        ingress->counted = grown;
        ingress->counted_capacity = capacity;
    }
    struct counted *counted = &ingress->counted[ingress->counted_count++];
    *counted = (struct counted){.slot = slot};
    str_format(counted->instance, sizeof(counted->instance), "%s", instance);
    return counted;
}

/* A server that was removed and came back counts from 0 again. */
static void add(struct reading *total, struct reading *last, const struct answer_stat *stat,
                bool first)
{
    struct reading now = {stat->requests, stat->errors, stat->bytes_in, stat->bytes_out};
    if (now.requests < last->requests || now.bytes_in < last->bytes_in ||
        now.bytes_out < last->bytes_out || now.errors < last->errors)
        *last = (struct reading){0};
    if (!first) {
        total->requests += now.requests - last->requests;
        total->errors += now.errors - last->errors;
        total->bytes_in += now.bytes_in - last->bytes_in;
        total->bytes_out += now.bytes_out - last->bytes_out;
    }
    *last = now;
}
