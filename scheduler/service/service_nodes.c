#include <inttypes.h>
#include <string.h>

#include "base/bus/subjects.h"
#include "base/log.h"
#include "scheduler/service/service_internal.h"

static void on_hello(void *context, const struct bus_message *message);
static void on_beat(void *context, const struct bus_message *message);
static void on_report(void *context, const struct bus_message *message);
static void on_probed(void *context, const struct bus_message *message);
static bool take(struct service *service, enum service_seen what, const struct wire_shape *shape,
                 const struct bus_message *message, void *ret_message);
static bool from(const struct bus_message *message, const char *node);
static void answer(struct service *service, const char *reply, const char *id, const char *node,
                   int code, const char *text);
static void answer_write(struct service *service, const char *id, const char *node, int code,
                         const char *text, struct strbuf *out);
static void ask(struct service *service, const char *node, const char *reply);
static int64_t timeout_us(const struct service *service);

/* Until a world says otherwise. */
#define NODE_TIMEOUT_US (10 * US_PER_S)

int service_nodes_open(struct service *service, struct error *err)
{
    static const struct {
        const char *subject;
        bus_handler *handler;
    } sources[] = {
        {SUBJECT_NODE_HELLO, on_hello},
        {SUBJECT_NODE_BEAT, on_beat},
        {SUBJECT_NODE_REPORT, on_report},
        {SUBJECT_NODE_PROBED, on_probed},
    };
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        int rc = bus_subscribe(service->bus, sources[i].subject, NULL, sources[i].handler, service,
                               &service->subscriptions[service->subscription_count], err);
        if (rc < 0)
            return rc;
        service->subscription_count++;
    }
    return 0;
}

void service_nodes_overdue(struct service *service)
{
    if (service->refusing)
        return; /* could not be recorded; all are watched anew afterwards */
    struct instant now = service_now(service);
    if (liveness_look(service->liveness, now, timeout_us(service)))
        log_event(LOG_WARN, "scheduler.stopped",
                  "reason=\"this process did not run for a while: what nodes said meanwhile is "
                  "still to be read, and all are watched anew\"");
    for (;;) {
        const char *name = liveness_overdue(service->liveness, now, timeout_us(service));
        if (name == NULL)
            return;
        struct core_event event = {.kind = CORE_NODE_LOST};
        str_format(event.node, sizeof(event.node), "%s", name);
        log_event(LOG_WARN, "node.silent", "node=%s timeout_us=%" PRId64, name,
                  timeout_us(service));
        (void)service_submit(service, &event); /* without memory it is found again after a hello */
    }
}

struct instant service_nodes_deadline(const struct service *service)
{
    return service->refusing ? (struct instant){INT64_MAX}
                             : liveness_deadline(service->liveness, timeout_us(service));
}

void service_nodes_watch(struct service *service)
{
    const struct core_state *state = core_state(service->core);
    struct instant now = service_now(service);
    for (int i = 0; i < state->node_count; i++) {
        /* No boot id is this one, so its first beat is answered by asking for a hello. */
        struct message_hello hello = {0};
        memcpy(hello.node, state->nodes[i].name, sizeof(hello.node));
        if (state->nodes[i].up)
            liveness_hello(service->liveness, &hello, now);
    }
    liveness_restart(service->liveness, now);
}

void service_nodes_ask(struct service *service)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->node_count; i++)
        ask(service, state->nodes[i].name, "");
}

static void on_hello(void *context, const struct bus_message *message)
{
    struct service *service = context;
    struct core_event event = {.kind = CORE_HELLO};
    if (!take(service, SERVICE_SEEN_HELLO, &message_hello_shape, message, &event.hello) ||
        !from(message, event.hello.node))
        return;
    const struct message_hello *hello = &event.hello;
    if (service->refusing) {
        answer(service, message->reply, "hello", hello->node, ERR_IO, service->refusing_text);
        return;
    }
    log_event(LOG_INFO, "node.hello",
              "node=%s site=%s boot=%s instances=%d epoch=%" PRIu64 ".%" PRIu64, hello->node,
              hello->site, hello->boot_id, hello->instance_count, hello->epoch.term,
              hello->epoch.n);
    if (!service_submit(service, &event))
        return;
    liveness_hello(service->liveness, hello, service_now(service));
    answer(service, message->reply, "hello", hello->node, 0, "");
}

static void on_beat(void *context, const struct bus_message *message)
{
    struct service *service = context;
    struct message_beat beat;
    if (!take(service, SERVICE_SEEN_BEAT, &message_beat_shape, message, &beat) ||
        !from(message, beat.node))
        return;
    service_proof_told(service, beat.node, beat.refused);
    bool asks = liveness_beat(service->liveness, &beat, service_now(service)) ||
                !liveness_agrees(core_state(service->core), &beat);
    if (asks && !service->refusing)
        ask(service, beat.node, message->reply);
    else if (message->reply[0] != 0 && !service->refusing)
        answer(service, message->reply, "beat", beat.node, 0, ""); /* its owners' leases go on */
}

static void on_report(void *context, const struct bus_message *message)
{
    struct service *service = context;
    struct core_event event = {.kind = CORE_REPORT};
    if (!take(service, SERVICE_SEEN_REPORT, &message_report_shape, message, &event.report) ||
        !from(message, event.report.node) || service->refusing)
        return;
    const struct message_report *report = &event.report;
    log_event(LOG_DEBUG, "node.report", "node=%s seq=%" PRIu64 " instance=%s state=%s",
              report->node, report->seq, report->instance.instance,
              instance_state_words[report->instance.state]);
    if (service_submit(service, &event))
        liveness_report(service->liveness, report->node, report->seq);
}

static void on_probed(void *context, const struct bus_message *message)
{
    struct service *service = context;
    struct core_event event = {.kind = CORE_PROBED};
    if (!take(service, SERVICE_SEEN_PROBED, &message_probed_shape, message, &event.probed) ||
        !from(message, event.probed.node))
        return;
    (void)service_submit(service, &event); /* without memory: the core probes again */
}

static bool take(struct service *service, enum service_seen what, const struct wire_shape *shape,
                 const struct bus_message *message, void *ret_message)
{
    struct error err;
    struct bus_message inner;
    bool ask_it = false;
    if (!service_proof_node(service, what, message, &inner, &ask_it)) {
        char name[LIMIT_NAME_BYTES];
        if (ask_it && subject_token(message->subject, 3, name, sizeof(name)) == 0)
            ask(service, name, "");
        return false;
    }
    if (wire_decode(shape, inner.data, inner.bytes, 0, &service->round, ret_message, &err) == 0)
        return true;
    log_event(LOG_WARN, "message.refused", "subject=%s reason=\"%s\"", message->subject, err.text);
    return false;
}

/* The subject is what the proof was made for: a payload that says otherwise is refused. */
static bool from(const struct bus_message *message, const char *node)
{
    char name[LIMIT_NAME_BYTES];
    if (subject_token(message->subject, 3, name, sizeof(name)) == 0 && str_equal(name, node) &&
        name_is_valid(name))
        return true;
    log_event(LOG_WARN, "message.foreign", "subject=%s node=\"%s\"", message->subject, node);
    return false;
}

static void answer(struct service *service, const char *reply, const char *id, const char *node,
                   int code, const char *text)
{
    if (reply[0] == 0)
        return;
    struct strbuf out;
    struct error err;
    answer_write(service, id, node, code, text, &out);
    if (service_proof_answer(service, node, reply, &out, &err) < 0)
        log_event(LOG_WARN, "answer.unsent", "node=%s reason=\"%s\"", node, err.text);
    strbuf_done(&out);
}

static void answer_write(struct service *service, const char *id, const char *node, int code,
                         const char *text, struct strbuf *out)
{
    struct message_answer message = {.code = code, .epoch = core_state(service->core)->epoch};
    str_format(message.id, sizeof(message.id), "%s", id);
    str_format(message.node, sizeof(message.node), "%s", node);
    service_cut(message.text, text);
    strbuf_init(out, LIMIT_WIRE_BYTES);
    service_proof_begin(service, out);
    wire_encode(&message_answer_shape, &message, out);
}

/* Also for the core: one that it takes for lost may have been replaced, whatever it beats. */
/* "Who are you?": to the beat's reply subject, or else as a message on the node's commands. */
static void ask(struct service *service, const char *node, const char *reply)
{
    static const char say[] = "say hello";
    log_event(LOG_DEBUG, "node.ask", "node=%s", node);
    if (reply[0] != 0) {
        answer(service, reply, "hello", node, ERR_NOT_FOUND, say);
        return;
    }
    char subject[LIMIT_SUBJECT_BYTES];
    struct strbuf out;
    struct error err;
    subject_node(node, "cmd", subject);
    answer_write(service, "hello", node, ERR_NOT_FOUND, say, &out);
    int rc = strbuf_error(&out, &err);
    if (rc == 0)
        rc = service_proof_seal(service, node, subject, false, out.text, out.bytes, &err);
    if (rc == 0)
        rc = bus_publish(service->bus, subject, NULL, out.text, out.bytes, &err);
    if (rc < 0)
        log_event(LOG_WARN, "ask.unsent", "node=%s reason=\"%s\"", node, err.text);
    strbuf_done(&out);
}

static int64_t timeout_us(const struct service *service)
{
    const struct world *world = core_state(service->core)->world;
    return world == NULL ? NODE_TIMEOUT_US : world->policy.node_timeout_us;
}
