/*
 * service: what the three example programs share: a NATS service that speaks the workload contract.
 *
 * service_run connects with what Berth put into the environment ($BERTH_NATS_URL and friends; by
 * hand: nats://127.0.0.1:4222 and no key), subscribes to `subject` in a queue group, then to its
 * own `at` subject (in this order, on one connection: who reaches the second also reaches the
 * first), says ready, and serves until told to stop or signalled. Drain ends both subscriptions,
 * finishes what was delivered and flushes; resume begins them again.
 *
 * The handler runs on a thread of nats.c, one message at a time. Counters are atomic.
 */
#pragma once

#include <nats/nats.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct service_counters {
    _Atomic int64_t requests;
    _Atomic int64_t errors;
    _Atomic int64_t hits;
    _Atomic int64_t misses;
    _Atomic int64_t bytes_in;
    _Atomic int64_t bytes_out;
    _Atomic int64_t latency_us_sum;
};

struct asker;
struct service;

/* Answers with service_reply (now or later, from any thread; the message is then the handler's). */
typedef void service_handler(struct service *service, natsMsg *request, void *context);

struct service_options {
    const char *subject;
    service_handler *handler;
    void *context;
    bool at_once; /* each answer goes out by itself (common/connect.h) */
};

/* The program's exit status. */
int service_run(const struct service_options *options);

struct asker *service_asker(struct service *service);
struct service_counters *service_counters(struct service *service);
/* Sends the answer, counts it with the time since `begun_us`, and destroys the request. */
void service_reply(struct service *service, natsMsg *request, int64_t begun_us, const void *data,
                   int bytes);
void service_fail(struct service *service, natsMsg *request, const char *text);
int64_t service_now_us(void);
/* Spends about that much CPU time of this thread: what stands for real work. */
void service_burn(int64_t cpu_us);
