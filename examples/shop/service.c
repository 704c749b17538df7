#include "examples/shop/service.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "examples/common/connect.h"
#include "examples/shop/ask.h"
#include "executors/contract/berth_workload.h"

#define QUEUE_GROUP      "q"
#define COUNT_EVERY_MS   500
#define DRAIN_DEFAULT_MS 5000

struct service {
    const struct service_options *options;
    natsConnection *connection;
    natsSubscription *subscription;
    natsSubscription *at_subscription;
    struct berth_workload *workload;
    struct asker *asker;
    struct service_counters counters;
};

static natsStatus subscribe_all(struct service *service);
static void drain_all(struct service *service, int64_t deadline_ms);
static int serve(struct service *service, int signals);
static void report_counters(struct service *service);
static void on_request(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                       void *closure);
static void on_identity(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                        void *closure);

int service_run(const struct service_options *options)
{
    struct service service = {.options = options};
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    natsStatus status = connect_as_told(&service.connection, options->at_once);
    if (status != NATS_OK) {
        fprintf(stderr, "connect to NATS: %s\n", natsStatus_GetText(status));
        return 1;
    }
    status = ask_open(service.connection, &service.asker);
    if (status == NATS_OK)
        status = subscribe_all(&service);
    if (status != NATS_OK) {
        fprintf(stderr, "subscribe to %s: %s\n", options->subject, natsStatus_GetText(status));
        return 1;
    }
    service.workload = berth_workload_open();
    if (service.workload == NULL) {
        fprintf(stderr, "open $BERTH_SOCKET: %s\n", strerror(errno));
        return 1;
    }
    fprintf(stderr, "serving %s\n", options->subject);
    int exit_status = serve(&service, signals);
    report_counters(&service);
    berth_workload_close(service.workload);
    natsSubscription_Destroy(service.subscription);
    natsSubscription_Destroy(service.at_subscription);
    natsConnection_FlushTimeout(service.connection, 1000);
    ask_close(service.asker);
    natsConnection_Close(service.connection);
    natsConnection_Destroy(service.connection);
    close(signals);
    nats_Close();
    return exit_status;
}

struct asker *service_asker(struct service *service)
{
    return service->asker;
}

struct service_counters *service_counters(struct service *service)
{
    return &service->counters;
}

void service_reply(struct service *service, natsMsg *request, int64_t begun_us, const void *data,
                   int bytes)
{
    const char *reply = natsMsg_GetReply(request);
    if (reply != NULL && natsConnection_Publish(service->connection, reply, data, bytes) != NATS_OK)
        atomic_fetch_add(&service->counters.errors, 1);
    atomic_fetch_add(&service->counters.requests, 1);
    atomic_fetch_add(&service->counters.bytes_in, natsMsg_GetDataLength(request));
    atomic_fetch_add(&service->counters.bytes_out, bytes);
    atomic_fetch_add(&service->counters.latency_us_sum, service_now_us() - begun_us);
    natsMsg_Destroy(request);
}

void service_fail(struct service *service, natsMsg *request, const char *text)
{
    const char *reply = natsMsg_GetReply(request);
    natsMsg *answer = NULL;
    if (reply != NULL && natsMsg_Create(&answer, reply, NULL, text, (int)strlen(text)) == NATS_OK) {
        natsMsgHeader_Set(answer, "Nats-Service-Error", text);
        natsMsgHeader_Set(answer, "Nats-Service-Error-Code", "502");
        natsConnection_PublishMsg(service->connection, answer);
    }
    natsMsg_Destroy(answer);
    atomic_fetch_add(&service->counters.errors, 1);
    natsMsg_Destroy(request);
}

int64_t service_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void service_burn(int64_t cpu_us)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((int64_t)(now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 <
             cpu_us);
}

/* The service's subject first, then the identity: an answer on the second proves the first. */
static natsStatus subscribe_all(struct service *service)
{
    natsStatus status =
        natsConnection_QueueSubscribe(&service->subscription, service->connection,
                                      service->options->subject, QUEUE_GROUP, on_request, service);
    const char *at = getenv("BERTH_AT_SUBJECT");
    if (status == NATS_OK && at != NULL)
        status = natsConnection_Subscribe(&service->at_subscription, service->connection, at,
                                          on_identity, service);
    if (status == NATS_OK)
        status = natsConnection_FlushTimeout(service->connection, 5000);
    return status;
}

/* Ends the interest, waits for what the server had already delivered, and flushes the answers. */
static void drain_all(struct service *service, int64_t deadline_ms)
{
    if (service->subscription == NULL)
        return;
    natsSubscription_DrainTimeout(service->subscription, deadline_ms);
    /* What is answered meanwhile is counted meanwhile: all of it at the end would look as if it had
     * taken no CPU time. */
    natsStatus status = NATS_TIMEOUT;
    int64_t until_us = service_now_us() + deadline_ms * 1000;
    while (status == NATS_TIMEOUT && service_now_us() < until_us) {
        status = natsSubscription_WaitForDrainCompletion(service->subscription, COUNT_EVERY_MS);
        report_counters(service);
    }
    natsSubscription_Unsubscribe(service->at_subscription);
    /* Past this, no thread of nats.c is at a message of what is freed here. */
    natsConnection_FlushTimeout(service->connection, 1000);
    natsSubscription_Destroy(service->subscription);
    natsSubscription_Destroy(service->at_subscription);
    service->subscription = NULL;
    service->at_subscription = NULL;
}

static int serve(struct service *service, int signals)
{
    if (berth_workload_ready(service->workload) < 0)
        fprintf(stderr, "say ready: %s\n", strerror(errno));
    for (;;) {
        struct pollfd fds[2] = {{.fd = signals, .events = POLLIN},
                                {.fd = berth_workload_fd(service->workload), .events = POLLIN}};
        poll(fds, 2, COUNT_EVERY_MS);
        report_counters(service);
        ask_sweep(service->asker);
        if (fds[0].revents != 0) {
            drain_all(service, DRAIN_DEFAULT_MS);
            return 0;
        }
        int64_t deadline_ms = DRAIN_DEFAULT_MS;
        enum berth_told told;
        while ((told = berth_workload_poll(service->workload, &deadline_ms)) != BERTH_NOTHING) {
            if (told == BERTH_STOP) {
                drain_all(service, deadline_ms);
                return 0;
            }
            if (told == BERTH_DRAIN) {
                drain_all(service, deadline_ms);
                report_counters(service);
                berth_workload_drained(service->workload);
            }
            if (told == BERTH_RESUME) {
                if (service->subscription == NULL && subscribe_all(service) != NATS_OK)
                    return 1;
                berth_workload_resumed(service->workload);
            }
        }
    }
}

static void report_counters(struct service *service)
{
    struct service_counters *counters = &service->counters;
    const struct {
        const char *name;
        int64_t total;
    } all[] = {
        {"requests", atomic_load(&counters->requests)},
        {"errors", atomic_load(&counters->errors)},
        {"hits", atomic_load(&counters->hits)},
        {"misses", atomic_load(&counters->misses)},
        {"bytes_in", atomic_load(&counters->bytes_in)},
        {"bytes_out", atomic_load(&counters->bytes_out)},
        {"latency_us_sum", atomic_load(&counters->latency_us_sum)},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (berth_workload_count(service->workload, all[i].name, all[i].total) < 0)
            return;
}

static void on_request(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                       void *closure)
{
    struct service *service = closure;
    (void)connection;
    (void)subscription;
    service->options->handler(service, msg, service->options->context);
}

static void on_identity(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                        void *closure)
{
    (void)subscription;
    (void)closure;
    const char *instance = getenv("BERTH_INSTANCE");
    if (natsMsg_GetReply(msg) != NULL && instance != NULL)
        natsConnection_PublishString(connection, natsMsg_GetReply(msg), instance);
    natsMsg_Destroy(msg);
}
