#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bus/subjects.h"
#include "base/log.h"
#include "scheduler/service/service_internal.h"

/* A probe under way: `count` requests, one after the other, to one instance. */
struct service_probe {
    struct service_probe *next;
    struct service *service;
    struct message_probed result;
    char subject[LIMIT_SUBJECT_BYTES];
    int left;
    int64_t timeout_us;
    struct mono sent;
};

/* A command that waits for its answer: whose answer it is to be. */
struct service_asked {
    struct service_asked *next;
    struct service_asked *before;
    struct service *service;
    char node[LIMIT_NAME_BYTES];
};

static void send_command(struct service *service, const struct service_out *out);
static struct service_asked *asked_make(struct service *service, const char *node);
static void asked_end(struct service_asked *asked);
static void on_answer(void *context, const struct bus_message *message);
static void send_probe(struct service *service, const struct core_effect *effect);
static void probe_next(struct service_probe *probe);
static void on_probe(void *context, const struct bus_message *message);
static void probe_end(struct service_probe *probe);
static void probe_destroy(struct service_probe *probe);
static void count(struct service_counts *counts, const struct message_event *event);
static void send_event(struct service *service, const struct core_effect *effect, uint64_t seq);
static int publish_event(struct service *service, const struct message_event *event,
                         struct error *err);

struct service_out *service_out_make(struct service *service, const struct core_effect *effect,
                                     int record)
{
    struct service_out *out = arena_alloc(&service->round, sizeof(*out));
    struct core_effect *copy = arena_copy(&service->round, effect, sizeof(*effect));
    if (out == NULL || copy == NULL)
        return NULL;
    out->record = record;
    out->effect = copy;
    if (effect->kind != CORE_COMMAND)
        return out;
    /* The arrays are the core's and change with its next step: the text is made now. */
    struct strbuf text;
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    service_proof_begin(service, &text);
    wire_encode(&message_command_shape, &effect->command.message, &text);
    if (strbuf_error(&text, NULL) == 0)
        out->text = arena_copy(&service->round, strbuf_text(&text), text.bytes);
    out->bytes = text.bytes;
    strbuf_done(&text);
    copy->command.message.spec.args = NULL;
    copy->command.message.spec.env = NULL;
    return out->text == NULL ? NULL : out;
}

void service_out_send(struct service *service, const struct service_out *out, uint64_t seq)
{
    switch (out->effect->kind) {
    case CORE_REPLY: /* service_answer's */
        return;
    case CORE_CHECK:
        service_check(service, out->effect->check.check);
        return;
    case CORE_JUDGE:
        service_judge(service, out->effect);
        return;
    case CORE_FENCE:
        service_fence(service, out->effect);
        return;
    case CORE_COMMAND:
        send_command(service, out);
        return;
    case CORE_PROBE:
        send_probe(service, out->effect);
        return;
    case CORE_SOLVE:
        service_solve(service, out->effect->solve.solve, out->effect->solve.version);
        return;
    case CORE_PUBLISH:
        send_event(service, out->effect, seq);
        return;
    }
}

void service_probes_done(struct service *service)
{
    while (service->probes != NULL)
        probe_destroy(service->probes);
}

void service_event_keep(struct service *service, const struct message_event *event)
{
    service->events[service->event_count++ % SERVICE_EVENTS_KEPT] = *event;
}

static void send_command(struct service *service, const struct service_out *out)
{
    const struct message_command *command = &out->effect->command.message;
    const char *node = out->effect->command.node;
    char subject[LIMIT_SUBJECT_BYTES];
    struct error err;
    subject_node(node, "cmd", subject);
    log_event(LOG_DEBUG, "command.send",
              "id=%s node=%s verb=%s instance=%s epoch=%" PRIu64 ".%" PRIu64, command->id, node,
              node_verb_words[command->verb], command->instance, command->epoch.term,
              command->epoch.n);
    /* What cannot be sent now is not kept: the core sends what has no answer again. */
    struct service_asked *asked = asked_make(service, node);
    int rc = asked == NULL
                 ? error_set(&err, ERR_NO_MEMORY, 0, "no memory for a command")
                 : service_proof_seal(service, node, subject, false, out->text, out->bytes, &err);
    if (rc == 0)
        rc = bus_request(service->bus, subject, out->text, out->bytes, SERVICE_ANSWER_US, on_answer,
                         asked, &err);
    if (rc < 0) {
        asked_end(asked);
        log_event(LOG_WARN, "command.unsent", "id=%s node=%s reason=\"%s\"", command->id, node,
                  err.text);
    }
}

/* No answer in time, or nobody there, says nothing about what the node did: it is ignored here, and
 * the core repeats the command until reports or liveness tell. */
static void on_answer(void *context, const struct bus_message *message)
{
    struct service_asked *asked = context;
    struct service *service = asked->service;
    struct bus_message inner;
    struct core_event event = {.kind = CORE_ANSWER};
    struct error err;
    char node[LIMIT_NAME_BYTES];
    memcpy(node, asked->node, sizeof(node));
    asked_end(asked);
    if (message->status != 0 || !service_proof_answered(service, node, message, &inner))
        return;
    int rc = wire_decode(&message_answer_shape, inner.data, inner.bytes, 0, &service->round,
                         &event.answer, &err);
    if (rc == 0 && !str_equal(event.answer.node, node))
        rc = error_set(&err, ERR_DENIED, 0, "node %s was asked", node);
    if (rc < 0) {
        log_event(LOG_WARN, "answer.refused", "reason=\"%s\"", err.text);
        return;
    }
    if (event.answer.code != 0)
        log_event(LOG_INFO, "command.refused", "id=%s node=%s code=%s text=\"%s\"", event.answer.id,
                  event.answer.node, error_name(event.answer.code), event.answer.text);
    (void)service_submit(service, &event); /* without memory: as if it had not come */
}

void service_asked_done(struct service *service)
{
    while (service->asked != NULL)
        asked_end(service->asked);
}

static struct service_asked *asked_make(struct service *service, const char *node)
{
    struct service_asked *asked = calloc(1, sizeof(*asked));
    if (asked == NULL)
        return NULL;
    asked->service = service;
    str_format(asked->node, sizeof(asked->node), "%s", node);
    asked->next = service->asked;
    if (asked->next != NULL)
        asked->next->before = asked;
    service->asked = asked;
    return asked;
}

/* NULL is accepted. */
static void asked_end(struct service_asked *asked)
{
    if (asked == NULL)
        return;
    if (asked->next != NULL)
        asked->next->before = asked->before;
    if (asked->before != NULL)
        asked->before->next = asked->next;
    else
        asked->service->asked = asked->next;
    free(asked);
}

static void send_probe(struct service *service, const struct core_effect *effect)
{
    struct service_probe *probe = calloc(1, sizeof(*probe));
    if (probe == NULL) {
        log_event(LOG_WARN, "probe.unsent", "id=%s reason=\"no memory\"", effect->probe.id);
        return;
    }
    probe->service = service;
    probe->next = service->probes;
    service->probes = probe;
    probe->left = effect->probe.count;
    probe->timeout_us = effect->probe.timeout_us;
    memcpy(probe->subject, effect->probe.subject, sizeof(probe->subject));
    memcpy(probe->result.id, effect->probe.id, sizeof(probe->result.id));
    memcpy(probe->result.instance, effect->probe.instance, sizeof(probe->result.instance));
    probe_next(probe);
}

static void probe_next(struct service_probe *probe)
{
    struct error err;
    if (probe->left == 0) {
        probe_end(probe);
        return;
    }
    probe->left--;
    probe->result.sent++;
    probe->sent = clock_mono_now();
    if (bus_request(probe->service->bus, probe->subject, "", 0, probe->timeout_us, on_probe, probe,
                    &err) == 0)
        return;
    service_cut(probe->result.text, err.text);
    probe_end(probe);
}

/* Only the instance's own identity counts: an answer of another copy proves the opposite. */
static void on_probe(void *context, const struct bus_message *message)
{
    struct service_probe *probe = context;
    int64_t took_us = clock_mono_now().us - probe->sent.us;
    struct message_probed *result = &probe->result;
    if (message->status != 0) {
        str_format(result->text, sizeof(result->text), "%s",
                   message->status == 503 ? "nobody listens there" : "no answer in time");
    } else if (message->bytes == strlen(result->instance) &&
               memcmp(message->data, result->instance, message->bytes) == 0) {
        result->answered++;
        if (took_us > result->rtt_us)
            result->rtt_us = took_us;
    } else {
        str_format(result->text, sizeof(result->text), "%.*s answered instead",
                   (int)(message->bytes < 64 ? message->bytes : 64), message->data);
    }
    probe_next(probe);
}

static void probe_end(struct service_probe *probe)
{
    struct core_event event = {.kind = CORE_PROBED, .probed = probe->result};
    (void)service_submit(probe->service, &event); /* without memory: the core probes again */
    probe_destroy(probe);
}

static void probe_destroy(struct service_probe *probe)
{
    struct service_probe **at = &probe->service->probes;
    while (*at != probe)
        at = &(*at)->next;
    *at = probe->next;
    free(probe);
}

/* It leaves at the turn's end, behind what nodes and resources are told. */
static void send_event(struct service *service, const struct core_effect *effect, uint64_t seq)
{
    struct message_event event = effect->publish;
    event.seq = seq;
    if (service->event_sent == service->event_count)
        service->events_due.us = clock_mono_now().us + SERVICE_EVENTS_US;
    service_event_keep(service, &event);
    count(&service->counts, &event);
    log_event(LOG_INFO, event.name,
              "seq=%" PRIu64 " app=%s/%s workload=%s handoff=%s instance=%s node=%s state=%s "
              "text=\"%s\"",
              seq, event.namespace_, event.app, event.workload, event.handoff, event.instance,
              event.node, event.state, event.text);
}

static void count(struct service_counts *counts, const struct message_event *event)
{
    bool ended = str_equal(event->name, "handoff.step");
    if (ended && str_equal(event->state, handoff_state_words[HANDOFF_STATE_DONE]))
        counts->handoffs_done++;
    else if (ended && str_equal(event->state, handoff_state_words[HANDOFF_STATE_BACK]))
        counts->handoffs_back++;
    else if (str_equal(event->name, "move.checked"))
        counts->moves_checked++;
    else if (str_equal(event->name, "move.regretted"))
        counts->moves_regretted++;
    else if (str_equal(event->name, "move.unchecked"))
        counts->moves_unchecked++;
    else if (str_equal(event->name, "move.held"))
        counts->moves_held++;
    else if (str_equal(event->name, "plan.made"))
        counts->plans_made++;
}

void service_events_send(struct service *service)
{
    struct error err;
    if (service->event_count - service->event_sent > SERVICE_EVENTS_KEPT) {
        log_event(LOG_WARN, "event.unsent", "count=%" PRIu64 " reason=\"away for too long\"",
                  service->event_count - SERVICE_EVENTS_KEPT - service->event_sent);
        service->event_sent = service->event_count - SERVICE_EVENTS_KEPT;
    }
    /* In order, and from where it stopped: a connection that is away loses none of them. */
    while (service->event_sent < service->event_count) {
        if (publish_event(service, &service->events[service->event_sent % SERVICE_EVENTS_KEPT],
                          &err) < 0) {
            log_event(LOG_DEBUG, "event.wait", "reason=\"%s\"", err.text);
            service->events_due.us = clock_mono_now().us + SERVICE_EVENTS_US;
            return;
        }
        service->event_sent++;
    }
}

static int publish_event(struct service *service, const struct message_event *event,
                         struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    struct strbuf text;
    subject_event(event->namespace_, event->app, event->workload, subject);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_encode(&message_event_shape, event, &text);
    int rc = strbuf_error(&text, err);
    if (rc == 0)
        rc = bus_publish(service->bus, subject, NULL, strbuf_text(&text), text.bytes, err);
    strbuf_done(&text);
    return rc;
}
