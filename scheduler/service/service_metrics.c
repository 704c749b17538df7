#include <stdlib.h>
#include <string.h>

#include "base/bus/subjects.h"
#include "base/log.h"
#include "scheduler/service/service_internal.h"

/* Taken from metrics_changed at once; what is left is taken in the next turn. */
#define CHANGED_MAX 256

static void on_batch(void *context, const struct bus_message *message);
static const struct core_node *node_find(const struct service *service, const char *name);
static const char *peer_site(void *context, const char *node);

int service_metrics_open(struct service *service, struct error *err)
{
    const struct world *world = core_state(service->core)->world;
    struct metrics_options options = {.age_max_us =
                                          world == NULL ? 0 : world->policy.metric_age_max_us};
    int rc = metrics_create(&options, &service->metrics, err);
    if (rc == 0)
        rc = bus_subscribe(service->bus, SUBJECT_METRICS_ALL, NULL, on_batch, service,
                           &service->subscriptions[service->subscription_count], err);
    if (rc == 0)
        service->subscription_count++;
    return rc;
}

void service_metrics_collect(struct service *service)
{
    int64_t now_us = service_now(service).us;
    /* What is told once must not be told to nobody. */
    if (service->refusing || now_us < service->metrics_at_us)
        return;
    struct estimate *list = arena_array(&service->round, CHANGED_MAX, sizeof(*list));
    if (list == NULL)
        return;
    struct core_event event = {.kind = CORE_ESTIMATES};
    event.estimates.count = metrics_changed(service->metrics, now_us, list, CHANGED_MAX);
    event.estimates.list = list;
    if (event.estimates.count < CHANGED_MAX)
        service->metrics_at_us = metrics_deadline_us(service->metrics, now_us);
    if (event.estimates.count > 0)
        (void)service_submit(service, &event); /* without memory: renewed by age */
}

int64_t service_metrics_deadline_us(const struct service *service)
{
    return service->refusing ? INT64_MAX : service->metrics_at_us;
}

/* The site is what the node's hello said, checked by the core, not what the batch claims. */
static void on_batch(void *context, const struct bus_message *message)
{
    struct service *service = context;
    struct message_batch batch;
    struct error err;
    char name[LIMIT_NAME_BYTES];
    if (wire_decode(&message_batch_shape, message->data, message->bytes, 0, &service->round, &batch,
                    &err) < 0) {
        log_event(LOG_WARN, "message.refused", "subject=%s reason=\"%s\"", message->subject,
                  err.text);
        return;
    }
    if (subject_token(message->subject, 3, name, sizeof(name)) < 0 ||
        !str_equal(name, batch.node)) {
        log_event(LOG_WARN, "message.foreign", "subject=%s node=\"%s\"", message->subject,
                  batch.node);
        return;
    }
    const struct core_node *node = node_find(service, name);
    if (node == NULL)
        return; /* before its hello: its next batches count */
    uint64_t refused = metrics_refused(service->metrics).count;
    metrics_take(service->metrics, node->name, node->site, &batch, service_now(service).us,
                 peer_site, service);
    int64_t due_us = metrics_deadline_us(service->metrics, service_now(service).us);
    if (due_us < service->metrics_at_us)
        service->metrics_at_us = due_us;
    struct metrics_refusal refusal = metrics_refused(service->metrics);
    if (refusal.count > refused)
        log_event(LOG_WARN, "metrics.refused", "node=%s count=%llu reason=\"%s\"", name,
                  (unsigned long long)(refusal.count - refused), refusal.last);
}

static const struct core_node *node_find(const struct service *service, const char *name)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->node_count; i++)
        if (str_equal(state->nodes[i].name, name))
            return &state->nodes[i];
    return NULL;
}

static const char *peer_site(void *context, const char *node)
{
    const struct core_node *found = node_find(context, node);
    return found == NULL ? NULL : found->site;
}
