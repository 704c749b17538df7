#include <stdlib.h>
#include <string.h>

#include "base/bus/subjects.h"
#include "base/log.h"
#include "metrics/rollup_feed.h"
#include "scheduler/service/service_internal.h"

/* Taken from metrics_changed at once; what is left is taken in the next turn. */
#define CHANGED_MAX 256

static void on_node_batch(void *context, const struct bus_message *message);
static void on_probe_batch(void *context, const struct bus_message *message);
static void on_batch(struct service *service, const struct bus_message *message, bool probe);
static int sink_row(void *context, const struct metrics_key *key, int64_t now_us);
static void sink_add(void *context, int row, int kind, int64_t value, int64_t now_us);
static void sink_add_all(void *context, int row, const struct metrics_reading *list, int count,
                         int64_t now_us);
static void sink_add_sketch(void *context, int row, const struct message_sketch *sketch,
                            int64_t now_us);
static void refused_say(struct service *service, const char *name, uint64_t before);
static void rollups_flush(struct service *service, int64_t now_us);
static const struct core_node *node_find(const struct service *service, const char *name);
static const char *site_of(void *context, const char *peer);

int service_metrics_open(struct service *service, const char *state_dir, struct error *err)
{
    const struct world *world = core_state(service->core)->world;
    struct metrics_options options = {.age_max_us =
                                          world == NULL ? 0 : world->policy.metric_age_max_us};
    struct error trouble;
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%.*s/metrics.db", (int)sizeof(path) - 16, state_dir);
    if (rollup_feed_open(path, NULL, &service->rollups, &trouble) == 0)
        service->kept = rollup_feed_sink(service->rollups);
    else
        log_event(LOG_WARN, "metrics.unkept", "reason=\"%s\"", trouble.text);
    options.sink = (struct metrics_sink){.context = service,
                                         .row = sink_row,
                                         .add = sink_add,
                                         .add_sketch = sink_add_sketch,
                                         .add_all = sink_add_all};
    int rc = metrics_create(&options, &service->metrics, err);
    for (int i = 0; i < 2 && rc == 0; i++) {
        rc = bus_subscribe(service->bus, i == 0 ? SUBJECT_METRICS_ALL : SUBJECT_METRICS_PROBES,
                           NULL, i == 0 ? on_node_batch : on_probe_batch, service,
                           &service->subscriptions[service->subscription_count], err);
        if (rc == 0)
            service->subscription_count++;
    }
    return rc;
}

void service_metrics_close(struct service *service)
{
    metrics_destroy(service->metrics);
    rollup_feed_close(service->rollups);
    free(service->sink_rows);
}

/* ---- what was believed goes on disk, and what was moved is charged ---- */

static int sink_row(void *context, const struct metrics_key *key, int64_t now_us)
{
    struct service *service = context;
    struct service_sink_row row = {.kept = -1};
    if (service->kept.row != NULL)
        row.kept = service->kept.row(service->kept.context, key, now_us);
    row.used = service_used_row(service, key->namespace_, key->app, key->workload, key->site);
    if (row.kept < 0 && row.used < 0)
        return -1;
    /* Instances come and go; their places are few. */
    for (int i = 0; i < service->sink_row_count; i++)
        if (service->sink_rows[i].kept == row.kept && service->sink_rows[i].used == row.used)
            return i;
    if (service->sink_row_count == service->sink_row_capacity) {
        int capacity = service->sink_row_capacity == 0 ? 256 : 2 * service->sink_row_capacity;
        struct service_sink_row *more =
            realloc(service->sink_rows, (size_t)capacity * sizeof(*service->sink_rows));
        if (more == NULL)
            return -1;
        service->sink_rows = more;
        service->sink_row_capacity = capacity;
    }
    service->sink_rows[service->sink_row_count] = row;
    return service->sink_row_count++;
}

static void sink_add(void *context, int row, int kind, int64_t value, int64_t now_us)
{
    struct service *service = context;
    struct service_sink_row to = service->sink_rows[row];
    if (to.kept >= 0)
        service->kept.add(service->kept.context, to.kept, kind, value, now_us);
    if (kind == SAMPLE_BYTES_IN || kind == SAMPLE_BYTES_OUT)
        service_used_add(service, to.used, kind, value, service->batch_of_probe);
}

static void sink_add_all(void *context, int row, const struct metrics_reading *list, int count,
                         int64_t now_us)
{
    struct service *service = context;
    struct service_sink_row to = service->sink_rows[row];
    if (to.kept >= 0)
        service->kept.add_all(service->kept.context, to.kept, list, count, now_us);
    for (int i = 0; i < count; i++)
        if (list[i].kind == SAMPLE_BYTES_IN || list[i].kind == SAMPLE_BYTES_OUT)
            service_used_add(service, to.used, list[i].kind, list[i].value,
                             service->batch_of_probe);
}

static void sink_add_sketch(void *context, int row, const struct message_sketch *sketch,
                            int64_t now_us)
{
    struct service *service = context;
    struct service_sink_row to = service->sink_rows[row];
    if (to.kept >= 0)
        service->kept.add_sketch(service->kept.context, to.kept, sketch, now_us);
}

void service_metrics_collect(struct service *service)
{
    int64_t now_us = service_now(service).us;
    if (!service_pauses(service))
        rollups_flush(service, now_us);
    /* What is told once must not be told to nobody. */
    if (service->refusing || now_us < service->metrics_at_us)
        return;
    struct estimate *list = arena_array(&service->round, CHANGED_MAX, sizeof(*list));
    if (list == NULL)
        return;
    struct core_event event = {.kind = CORE_ESTIMATES};
    uint64_t refused = metrics_refused(service->metrics).count;
    event.estimates.count = metrics_changed(service->metrics, now_us, list, CHANGED_MAX);
    refused_say(service, "", refused);
    event.estimates.list = list;
    if (event.estimates.count < CHANGED_MAX)
        service->metrics_at_us = metrics_deadline_us(service->metrics, now_us);
    if (event.estimates.count == 0)
        return;
    if (service->told_us == 0)
        service->told_us = now_us;
    (void)service_submit(service, &event); /* without memory: renewed by age */
}

int64_t service_metrics_deadline_us(const struct service *service)
{
    int64_t flush_us = service->rollups == NULL || service_pauses(service)
                           ? INT64_MAX
                           : rollup_feed_deadline_us(service->rollups);
    int64_t metrics_us = service->refusing ? INT64_MAX : service->metrics_at_us;
    return flush_us < metrics_us ? flush_us : metrics_us;
}

static void on_node_batch(void *context, const struct bus_message *message)
{
    on_batch(context, message, false);
}

static void on_probe_batch(void *context, const struct bus_message *message)
{
    on_batch(context, message, true);
}

/* The site of a node is what its hello said, checked by the core, not what the batch claims; that
 * it is a probe is what its subject says, for which no node can make a proof. */
static void on_batch(struct service *service, const struct bus_message *message, bool probe)
{
    struct message_batch batch;
    struct error err;
    char name[LIMIT_NAME_BYTES];
    struct bus_message inner;
    if (subject_token(message->subject, 3, name, sizeof(name)) < 0 || !name_is_valid(name) ||
        service_proof(service, probe ? "probe" : "node", name, SERVICE_SEEN_METRICS, message,
                      &inner) != SERVICE_PROVEN)
        return;
    if (message_batch_decode(inner.data, inner.bytes, &service->round, &batch, &err) < 0) {
        log_event(LOG_WARN, "message.refused", "subject=%s reason=\"%s\"", message->subject,
                  err.text);
        return;
    }
    if (!str_equal(name, batch.node)) {
        log_event(LOG_WARN, "message.foreign", "subject=%s node=\"%s\"", message->subject,
                  batch.node);
        return;
    }
    const struct core_node *node = probe ? NULL : node_find(service, name);
    if (node == NULL && !probe)
        return; /* before its hello: its next batches count */
    if (batch.ingress && probe)
        return;
    service_judges_take(service, name, &batch);
    /* Its requests are those of instances elsewhere, which their own nodes count as a rule. */
    if (batch.ingress)
        return;
    int64_t now_us = service_now(service).us;
    uint64_t refused = metrics_refused(service->metrics).count;
    service->batch_of_probe = probe;
    metrics_take(service->metrics, name, probe ? NULL : node->site, &batch, now_us, site_of,
                 service);
    int64_t due_us = metrics_deadline_us(service->metrics, now_us);
    if (due_us < service->metrics_at_us)
        service->metrics_at_us = due_us;
    refused_say(service, name, refused);
}

static void refused_say(struct service *service, const char *name, uint64_t before)
{
    struct metrics_refusal refusal = metrics_refused(service->metrics);
    if (refusal.count > before)
        log_event(LOG_WARN, "metrics.refused", "node=%s count=%llu reason=\"%s\"", name,
                  (unsigned long long)(refusal.count - before), refusal.last);
}

/* To the rollups' own thread; what the disk does to it is told once. */
static void rollups_flush(struct service *service, int64_t now_us)
{
    if (service->rollups == NULL || now_us < rollup_feed_deadline_us(service->rollups))
        return;
    rollup_feed_flush(service->rollups, now_us);
    struct rollup_feed_state state = rollup_feed_state(service->rollups);
    if (state.failures > service->rollups_told)
        log_event(LOG_WARN, "metrics.unkept", "lost=%llu reason=\"%s\"",
                  (unsigned long long)state.lost, state.text);
    service->rollups_told = state.failures;
}

static const struct core_node *node_find(const struct service *service, const char *name)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->node_count; i++)
        if (str_equal(state->nodes[i].name, name))
            return &state->nodes[i];
    return NULL;
}

/* A peer is a node, or (to a probe) a site of the world. */
static const char *site_of(void *context, const char *peer)
{
    const struct service *service = context;
    const struct core_node *found = node_find(service, peer);
    if (found != NULL)
        return found->site;
    const struct world *world = core_state(service->core)->world;
    for (int i = 0; world != NULL && i < world->site_count; i++)
        if (str_equal(world->sites[i].name, peer))
            return world->sites[i].name;
    return NULL;
}
