/*
 * publish: what the agent says on the bus. A publish that fails while disconnected is dropped: a
 * hello with every instance follows each reconnect.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bus/subjects.h"
#include "base/log.h"
#include "base/str.h"
#include "base/wire/pack.h"
#include "executors/node/agent.h"

/* A beat that was sent as a request: what its answer renews counts from then. */
struct asked_beat {
    struct agent *agent;
    int64_t sent_us;
};

static int seal(struct agent *agent, const char *subject, const struct wire_shape *shape,
                const void *message, struct strbuf *text, struct error *err);
static void answer_send(struct agent *agent, const char *reply,
                        const struct message_answer *answer);
static void hello_answered(void *context, const struct bus_message *message);
static void beat_answered(void *context, const struct bus_message *message);
static void sample(struct message_batch *batch, const struct slot *slot, int kind, int64_t value);

static const struct wire_field node_log_fields[] = {
    WIRE_FIELD_STR(node_log, node, 0),
    WIRE_FIELD_STR(node_log, instance, 0),
    WIRE_FIELD_I32(node_log, stream, 0, 1, 2),
    WIRE_FIELD_I64(node_log, wall_us, 0, INT64_MIN, INT64_MAX),
    WIRE_FIELD_TEXT(node_log, text, WIRE_OPTIONAL, LIMIT_LOG_LINE),
};
const struct wire_shape node_log_shape = {
    .type = "node.log",
    .version = 1,
    .size = sizeof(struct node_log),
    .fields = node_log_fields,
    .field_count = sizeof(node_log_fields) / sizeof(node_log_fields[0]),
};

void publish(struct agent *agent, const char *subject, const char *reply,
             const struct wire_shape *shape, const void *message)
{
    struct strbuf text;
    struct error err;
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_encode(shape, message, &text);
    int rc = strbuf_error(&text, &err);
    if (rc == 0)
        rc = bus_publish(agent->bus, subject, reply, text.text, text.bytes, &err);
    if (rc < 0)
        log_event(LOG_DEBUG, "publish.dropped", "subject=%s reason=\"%s\"", subject, err.text);
    strbuf_done(&text);
}

void publish_proven(struct agent *agent, const char *subject, const struct wire_shape *shape,
                    const void *message)
{
    struct strbuf text;
    struct error err;
    int rc = seal(agent, subject, shape, message, &text, &err);
    if (rc == 0)
        rc = bus_publish(agent->bus, subject, NULL, text.text, text.bytes, &err);
    if (rc < 0)
        log_event(LOG_DEBUG, "publish.dropped", "subject=%s reason=\"%s\"", subject, err.text);
    strbuf_done(&text);
}

void publish_answer(struct agent *agent, const char *reply, const struct message_answer *answer)
{
    answer_send(agent, reply, answer);
}

void publish_seen(struct agent *agent, const char *reply)
{
    answer_send(agent, reply, NULL);
}

bool publish_check(struct agent *agent, const struct bus_message *message,
                   struct bus_message *ret_inner, uint64_t *ret_stamp)
{
    *ret_inner = *message;
    if (!proof_check(&agent->link, message->subject, message->data, message->bytes, ret_stamp)) {
        publish_refused(agent, message->subject, "not the scheduler's");
        return false;
    }
    ret_inner->data += proof_bytes(&agent->link);
    ret_inner->bytes -= proof_bytes(&agent->link);
    return true;
}

/* Whoever sends them chooses how many there are: one line a second; each beat tells the number. */
void publish_refused(struct agent *agent, const char *subject, const char *why)
{
    int64_t now_us = clock_mono_now().us;
    agent->refused++;
    agent->refused_untold++;
    if (agent->refused_told_us != 0 && now_us - agent->refused_told_us < US_PER_S)
        return;
    log_event(LOG_WARN, "message.unproven", "count=%" PRIu64 " subject=%.200s reason=\"%s\"",
              agent->refused_untold, subject, why);
    agent->refused_told_us = now_us;
    agent->refused_untold = 0;
}

void publish_hello(struct agent *agent, const struct message_hello *hello)
{
    struct message_hello full = *hello;
    struct message_tag tags[LIMIT_TAGS];
    char subject[LIMIT_SUBJECT_BYTES];
    memcpy(full.site, agent->options.site, sizeof(full.site));
    memcpy(full.arch, agent->machine, sizeof(full.arch));
    str_format(full.version, sizeof(full.version), "%s", BERTH_VERSION);
    str_format(full.drivers, sizeof(full.drivers), "process");
    full.mcpu = agent->options.mcpu;
    full.memory_bytes = agent->options.memory_bytes;
    memcpy(tags, agent->options.tags, sizeof(tags));
    full.tag_count = agent->options.tag_count;
    /* What the workloads' limits rest on here, for whoever wonders why one is not kept. */
    struct message_tag *cgroup = &tags[full.tag_count++];
    str_format(cgroup->key, sizeof(cgroup->key), "cgroup");
    str_format(cgroup->value, sizeof(cgroup->value), "%s", cgroup_mode_words[agent->host.mode]);
    full.tags = tags;
    gateway_hello(agent, &full);
    if (!bus_connected(agent->bus)) {
        agent->hello_at = INT64_MAX; /* said when it is connected */
        return;
    }
    struct strbuf text;
    struct error err;
    subject_node(agent->options.name, "hello", subject);
    int rc = seal(agent, subject, &message_hello_shape, &full, &text, &err);
    if (rc == 0)
        rc = bus_request(agent->bus, subject, text.text, text.bytes, AGENT_HELLO_US, hello_answered,
                         agent, &err);
    strbuf_done(&text);
    agent->hello_at = clock_boot_now().us + AGENT_HELLO_US;
    if (rc < 0)
        log_event(LOG_DEBUG, "hello.unsent", "reason=\"%s\"", err.text);
}

void publish_beat(struct agent *agent)
{
    char subject[LIMIT_SUBJECT_BYTES];
    struct message_beat beat = {.boot_us = clock_boot_now().us,
                                .seq = agent->seq,
                                .instance_count = node_record_count(agent->node),
                                .refused = agent->refused};
    memcpy(beat.node, agent->options.name, sizeof(beat.node));
    memcpy(beat.boot_id, agent->boot_id, sizeof(beat.boot_id));
    subject_node(agent->options.name, "beat", subject);
    if (!node_wants_answers(agent->node)) {
        publish_proven(agent, subject, &message_beat_shape, &beat);
        return;
    }
    struct strbuf text;
    struct error err;
    struct asked_beat *asked = malloc(sizeof(*asked));
    int rc = seal(agent, subject, &message_beat_shape, &beat, &text, &err);
    if (asked == NULL)
        rc = error_set(&err, ERR_NO_MEMORY, 0, "no memory for a beat");
    if (rc == 0) {
        *asked = (struct asked_beat){agent, beat.boot_us};
        rc = bus_request(agent->bus, subject, text.text, text.bytes, AGENT_BEAT_ANSWER_US,
                         beat_answered, asked, &err);
    }
    strbuf_done(&text);
    if (rc < 0) {
        free(asked);
        log_event(LOG_DEBUG, "beat.unsent", "reason=\"%s\"", err.text);
    }
}

void publish_batch_begin(struct agent *agent, struct message_batch *ret_batch)
{
    *ret_batch = (struct message_batch){.boot_us = clock_boot_now().us, .seq = ++agent->batch_seq};
    memcpy(ret_batch->node, agent->options.name, sizeof(ret_batch->node));
    memcpy(ret_batch->site, agent->options.site, sizeof(ret_batch->site));
    memcpy(ret_batch->boot_id, agent->boot_id, sizeof(ret_batch->boot_id));
}

void publish_metrics(struct agent *agent)
{
    struct message_batch batch;
    publish_batch_begin(agent, &batch);
    CLEANUP(cleanup_free)
    struct message_sample *samples = calloc(LIMIT_SAMPLES_BATCH, sizeof(*samples));
    if (samples == NULL)
        return; /* the next second's batch has the same counters */
    batch.samples = samples;
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        const struct slot *slot = &agent->slots[i];
        struct cgroup_usage usage;
        if (!slot->used || !slot->started || slot->ended)
            continue;
        if (agent->host.mode != CGROUP_NONE &&
            cgroup_read(&agent->host, slot->cgroup, &usage) == 0) {
            sample(&batch, slot, SAMPLE_CPU_NS, usage.cpu_ns);
            sample(&batch, slot, SAMPLE_MEMORY_BYTES, usage.memory_bytes);
        }
        for (int kind = SAMPLE_REQUESTS; kind <= SAMPLE_LATENCY_US_SUM; kind++)
            if (slot->counted[kind])
                sample(&batch, slot, kind, slot->counters[kind]);
    }
    for (int i = 0; i < agent->trip_count && batch.sample_count < LIMIT_SAMPLES_BATCH; i++) {
        struct round_trip *trip = &agent->trips[i];
        if (trip->rtt_us < 0)
            continue;
        struct message_sample *one = &batch.samples[batch.sample_count++];
        one->kind = SAMPLE_RTT_US;
        one->value = trip->rtt_us;
        one->peer = trip->peer;
        trip->rtt_us = -1;
    }
    publish_batch(agent, &batch);
    gateway_metrics(agent);
}

void publish_batch(struct agent *agent, const struct message_batch *batch)
{
    char subject[LIMIT_SUBJECT_BYTES];
    struct strbuf text;
    struct error err;
    subject_metrics(agent->options.name, subject);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    proof_begin(&agent->link, &text);
    wire_pack(&message_batch_shape, batch, &text);
    proof_end(&agent->link, subject, proof_next(&agent->link), &text);
    int rc = strbuf_error(&text, &err);
    if (rc == 0)
        rc = bus_publish(agent->bus, subject, NULL, text.text, text.bytes, &err);
    if (rc < 0)
        log_event(LOG_DEBUG, "publish.dropped", "subject=%s reason=\"%s\"", subject, err.text);
    strbuf_done(&text);
}

void publish_log(struct agent *agent, const struct slot *slot, int stream, const char *text,
                 size_t bytes)
{
    if (!bus_connected(agent->bus))
        return; /* it is on disk */
    char subject[LIMIT_SUBJECT_BYTES];
    char line[LIMIT_LOG_LINE + 1];
    if (bytes > LIMIT_LOG_LINE)
        bytes = LIMIT_LOG_LINE;
    for (size_t i = 0; i < bytes; i++)
        line[i] = text[i] == 0 ? '?' : text[i];
    line[bytes] = 0;
    struct node_log log = {.stream = stream, .wall_us = clock_wall_now().us, .text = line};
    memcpy(log.node, agent->options.name, sizeof(log.node));
    memcpy(log.instance, slot->instance, sizeof(log.instance));
    subject_log(slot->namespace_, slot->app, slot->workload, slot->replica, subject);
    publish(agent, subject, NULL, &node_log_shape, &log);
}

/* The message as it leaves; `text` is the caller's to end in any case. */
static int seal(struct agent *agent, const char *subject, const struct wire_shape *shape,
                const void *message, struct strbuf *text, struct error *err)
{
    strbuf_init(text, LIMIT_WIRE_BYTES);
    proof_begin(&agent->link, text);
    wire_encode(shape, message, text);
    proof_end(&agent->link, subject, proof_next(&agent->link), text);
    return strbuf_error(text, err);
}

/* NULL: no words, only the stamp. Where it goes was the scheduler's choice, by its proof. */
static void answer_send(struct agent *agent, const char *reply, const struct message_answer *answer)
{
    struct strbuf text;
    struct error err;
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    proof_begin(&agent->link, &text);
    if (answer != NULL)
        wire_encode(&message_answer_shape, answer, &text);
    proof_end(&agent->link, reply, agent->seen, &text);
    int rc = strbuf_error(&text, &err);
    if (rc == 0)
        rc = bus_publish(agent->bus, reply, NULL, text.text, text.bytes, &err);
    if (rc < 0)
        log_event(LOG_DEBUG, "publish.dropped", "subject=%s reason=\"%s\"", reply, err.text);
    strbuf_done(&text);
}

static void hello_answered(void *context, const struct bus_message *message)
{
    struct agent *agent = context;
    struct message_answer answer;
    struct bus_message inner;
    uint64_t stamp = 0;
    if (message->status != 0 || !publish_check(agent, message, &inner, &stamp))
        return; /* nobody there yet: said again at hello_at */
    proof_catch_up(&agent->link, stamp);
    if (agent->link.proven && inner.bytes == 0) {
        /* Our clock is behind what the scheduler has seen of us: from here on it is not. */
        log_event(LOG_INFO, "hello.again", "node=%s", agent->options.name);
        agent->hello_at = clock_boot_now().us + AGENT_HELLO_AGAIN_US;
        return;
    }
    struct error err;
    if (wire_decode(&message_answer_shape, inner.data, inner.bytes, 0, &agent->message, &answer,
                    &err) < 0) {
        log_event(LOG_WARN, "hello.answer", "reason=\"%s\"", err.text);
    } else if (answer.code != 0) {
        log_event(LOG_WARN, "hello.refused", "code=%s text=\"%s\"", error_name(answer.code),
                  answer.text);
    } else {
        agent->hello_at = INT64_MAX;
        log_event(LOG_INFO, "hello.answered", "node=%s", agent->options.name);
    }
    arena_reset(&agent->message);
}

static void beat_answered(void *context, const struct bus_message *message)
{
    struct asked_beat asked = *(struct asked_beat *)context;
    struct agent *agent = asked.agent;
    struct message_answer answer;
    struct error err;
    struct bus_message inner;
    uint64_t stamp = 0;
    free(context);
    if (message->status != 0 || !publish_check(agent, message, &inner, &stamp))
        return; /* nobody is there: the leases run */
    proof_catch_up(&agent->link, stamp);
    if (agent->link.proven && inner.bytes == 0)
        return; /* the next beat is new to it */
    int rc = wire_decode(&message_answer_shape, inner.data, inner.bytes, 0, &agent->message,
                         &answer, &err);
    arena_reset(&agent->message);
    if (rc < 0) {
        log_event(LOG_WARN, "beat.answer", "reason=\"%s\"", err.text);
        return;
    }
    struct node_event event;
    agent_event(&event, answer.code == 0 ? NODE_EV_RENEWED : NODE_EV_HELLO_ASKED, "");
    if (answer.code == 0)
        event.renewed.sent_us = asked.sent_us;
    agent_feed(agent, &event);
}

static void sample(struct message_batch *batch, const struct slot *slot, int kind, int64_t value)
{
    if (batch->sample_count >= LIMIT_SAMPLES_BATCH)
        return;
    struct message_sample *one = &batch->samples[batch->sample_count++];
    one->kind = kind;
    one->value = value;
    one->life = (uint64_t)slot->life;
    one->namespace_ = slot->namespace_;
    one->app = slot->app;
    one->workload = slot->workload;
    one->instance = slot->instance;
}
