/*
 * What Berth keeps in JetStream: the stream of events, the object stores of artifacts and of state
 * under way, the bucket of owners. Made at the start; and made again, without waiting, after each
 * new connection, since a server may come back without its store. Until they are there, what needs
 * them fails and is tried again by whoever needs it.
 */
#include "base/bus/jetstream.h"
#include "base/bus/kv.h"
#include "base/bus/subjects.h"
#include "base/log.h"
#include "scheduler/service/service_internal.h"

#define EVENTS_AGE_US    (INT64_C(30) * 24 * US_PER_HOUR)
#define EVENTS_BYTES_MAX (INT64_C(1) << 30)
#define MAKE_US          (2 * US_PER_S) /* of one request */
#define AGAIN_US         US_PER_S       /* after one that was not answered well */

static void on_made(void *context, const struct bus_message *message);

int service_streams_open(struct service *service, struct error *err)
{
    int rc = stream_ensure(service->bus, STREAM_EVENTS, SUBJECT_EVENT_ALL, EVENTS_AGE_US,
                           EVENTS_BYTES_MAX, err);
    /* The only user who may make a bucket; whoever puts artifacts into it may not. */
    if (rc == 0)
        rc = object_bucket_ensure(service->bus, BUCKET_ARTIFACTS, err);
    if (rc == 0)
        rc = object_bucket_ensure(service->bus, BUCKET_STATE, err);
    if (rc == 0)
        rc = kv_bucket_ensure(service->bus, BUCKET_OWNERS, err);
    service->streams_open = rc == 0;
    return rc;
}

void service_streams_again(struct service *service)
{
    if (service->streams_open)
        service->streams_due = clock_mono_now();
}

void service_streams_step(struct service *service)
{
    struct error err = {0};
    if (service->streams_due.us == 0 || clock_mono_now().us < service->streams_due.us)
        return;
    service->streams_due.us = 0;
    int rc = stream_make(service->bus, STREAM_EVENTS, SUBJECT_EVENT_ALL, EVENTS_AGE_US,
                         EVENTS_BYTES_MAX, MAKE_US, on_made, service, &err);
    if (rc == 0)
        rc = object_bucket_make(service->bus, BUCKET_ARTIFACTS, MAKE_US, on_made, service, &err);
    if (rc == 0)
        rc = object_bucket_make(service->bus, BUCKET_STATE, MAKE_US, on_made, service, &err);
    if (rc == 0)
        rc = kv_bucket_make(service->bus, BUCKET_OWNERS, MAKE_US, on_made, service, &err);
    if (rc < 0)
        service->streams_due.us = clock_mono_now().us + AGAIN_US;
}

/* One that is there and was made otherwise (with more replicas, say) is as good: the start has
 * looked at it. */
static void on_made(void *context, const struct bus_message *message)
{
    struct service *service = context;
    struct error err = {0};
    int rc = kv_bucket_made(message, &err);
    if (rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT)
        service->streams_due.us = clock_mono_now().us + AGAIN_US;
    else if (rc < 0)
        log_event(LOG_INFO, "nats.stream", "reason=\"%s\"", err.text);
}
