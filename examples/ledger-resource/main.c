/*
 * ledger-resource: the ledger (ledger.h) as a NATS service, by hand or under Berth.
 *
 *     ledger-resource --file FILE [--subject svc.default.ledger] [--key default.app.workload.0]
 *
 * With --key it also reads and watches the owners' key of Berth (docs/fencing.md), so that an owner
 * of before is refused even before the next one has written anything. Without the key, or when it
 * cannot be read, the fence rises by the owners' own requests, which is enough.
 */
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "examples/common/connect.h"
#include "examples/ledger-resource/ledger.h"
#include "examples/shop/service.h"

struct resource {
    struct ledger ledger;
    pthread_mutex_t lock; /* requests and the key come on threads of their own */
    char answer[LEDGER_ANSWER_MAX];
};

static natsStatus watch_key(struct resource *resource, const char *key);
static void take_value(struct resource *resource, const natsMsg *msg);
static void on_value(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                     void *closure);
static void answer(struct service *service, natsMsg *request, void *context);

int main(int argc, char **argv)
{
    static struct resource resource = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const char *file = NULL;
    const char *key = NULL;
    struct service_options options = {
        .subject = "svc.default.ledger", .handler = answer, .context = &resource, .at_once = true};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (str_equal(argv[i], "--file"))
            file = argv[i + 1];
        else if (str_equal(argv[i], "--subject"))
            options.subject = argv[i + 1];
        else if (str_equal(argv[i], "--key"))
            key = argv[i + 1];
        else
            argc = 0;
    }
    if (argc % 2 == 0 || file == NULL) {
        fprintf(stderr, "usage: ledger-resource --file FILE [--subject SUBJECT] [--key KEY]\n");
        return 2;
    }
    struct error err = {0};
    if (ledger_open(&resource.ledger, file, &err) < 0) {
        fprintf(stderr, "ledger-resource: %s\n", err.text);
        return 1;
    }
    if (key != NULL) {
        natsStatus status = watch_key(&resource, key);
        if (status != NATS_OK)
            fprintf(stderr, "ledger-resource: key %s: %s; owners raise the fence themselves\n", key,
                    natsStatus_GetText(status));
    }
    int status = service_run(&options);
    ledger_close(&resource.ledger);
    return status;
}

/* Subscribed first and read then: what changes in between comes by the subscription. */
static natsStatus watch_key(struct resource *resource, const char *key)
{
    char subject[256], get[512];
    natsConnection *connection = NULL;
    natsSubscription *subscription = NULL;
    natsMsg *value = NULL;
    str_format(subject, sizeof subject, "$KV." BERTH_FENCE_BUCKET ".%.200s", key);
    str_format(get, sizeof get, "berth.v1.owner.%.200s", key);
    natsStatus status = connect_as_told(&connection, false);
    if (status == NATS_OK)
        status = natsConnection_Subscribe(&subscription, connection, subject, on_value, resource);
    if (status == NATS_OK)
        status = natsConnection_RequestString(&value, connection, get, "", 5000);
    if (status == NATS_OK)
        take_value(resource, value); /* nobody yet: a message without a value */
    natsMsg_Destroy(value);
    return status;
}

static void take_value(struct resource *resource, const natsMsg *msg)
{
    struct berth_epoch epoch;
    char text[BERTH_EPOCH_BYTES], request[96], said[64];
    if (berth_epoch_parse_value(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg), &epoch) <
        0)
        return;
    str_format(request, sizeof request, "fence %s", berth_epoch_format(epoch, text));
    pthread_mutex_lock(&resource->lock);
    ledger_answer(&resource->ledger, request, strlen(request), resource->answer);
    str_format(said, sizeof said, "%.60s", resource->answer);
    pthread_mutex_unlock(&resource->lock);
    fprintf(stderr, "ledger-resource: the owners' key says %s: %s\n", text, said);
}

static void on_value(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                     void *closure)
{
    (void)connection;
    (void)subscription;
    take_value(closure, msg);
    natsMsg_Destroy(msg);
}

static void answer(struct service *service, natsMsg *request, void *context)
{
    struct resource *resource = context;
    int64_t begun_us = service_now_us();
    pthread_mutex_lock(&resource->lock);
    ledger_answer(&resource->ledger, natsMsg_GetData(request),
                  (size_t)natsMsg_GetDataLength(request), resource->answer);
    service_reply(service, request, begun_us, resource->answer, (int)strlen(resource->answer));
    pthread_mutex_unlock(&resource->lock);
}
