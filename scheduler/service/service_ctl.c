#include <string.h>

#include "base/bus/subjects.h"
#include "base/doc.h"
#include "base/keys/keys.h"
#include "base/log.h"
#include "model/app.h"
#include "model/world.h"
#include "scheduler/core/routes.h"
#include "scheduler/service/service_internal.h"

/* Answers now or later. */
typedef int verb_handler(struct service *service, uint64_t token,
                         const struct message_request *request, struct error *err);
/* Writes the body of an answer that is given at once. */
typedef int verb_body(struct service *service, const struct message_request *request,
                      struct json_out *json, struct error *err);

static verb_handler verb_info, verb_apply, verb_delete, verb_retag, verb_plan, verb_events,
    verb_move, verb_suggest, verb_operate, verb_operation, verb_cordon;
static verb_body body_explain;

static const struct verb {
    const char *name;
    verb_handler *handler; /* or: */
    verb_body *body;
    bool changes; /* only for who proves to be an operator */
} verbs[] = {
    {"info", verb_info, NULL, false},
    {"apply", verb_apply, NULL, true},
    {"delete", verb_delete, NULL, true},
    {"retag", verb_retag, NULL, true},
    {"move", verb_move, NULL, true},
    {"plan", verb_plan, NULL, false},
    {"events", verb_events, NULL, false},
    {"suggest", verb_suggest, NULL, false},
    {"explain", NULL, body_explain, false},
    {"get", NULL, service_get, false},
    {"cost", NULL, service_cost, false},
    {"ledger", NULL, service_ledger, false},
    {"prepare", service_prepare, NULL, false},
    {"operate", verb_operate, NULL, true},
    {"operation", verb_operation, NULL, true},
    {"cordon", verb_cordon, NULL, true},
    {"certificate", NULL, service_certificate, false},
    {"state", NULL, service_state, false},
    {"solving", NULL, service_solving, false},
};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

/* At most this many events in one answer: the rest is asked for with a later `since`. */
#define EVENTS_ANSWERED 512

static void on_request(void *context, uint64_t token, const struct bus_message *message);
static int respond_body(struct service *service, uint64_t token,
                        const struct message_request *request, verb_body *write, struct error *err);
static bool answered_before(struct service *service, uint64_t token, const char *id);
static int wait_for(struct service *service, uint64_t token, const struct core_event *event,
                    struct error *err);
static bool is_world(struct doc *doc);
static int read_world(struct service *service, struct doc *doc, struct core_event *event,
                      struct error *err);
static int read_app(struct service *service, struct doc *doc, struct arena *arena,
                    const struct app **ret_app, struct error *err);
static int fits_record(const struct app *app, const struct world *world, struct error *err);
static const struct core_app *app_find(const struct service *service, const char *ns,
                                       const char *name, struct error *err);
static int plan_of(struct service *service, const struct message_request *request,
                   struct service_job *job, struct error *err);
static void respond_json(struct service *service, uint64_t token, const char *id, int rc,
                         struct strbuf *body, const struct error *err);
static int name_field(const char *field, const char *value, struct error *err);
static int app_fields(const struct message_request *request, bool workload, struct error *err);

int service_ctl_open(struct service *service, struct error *err)
{
    char id[LIMIT_ID_BYTES];
    id_random(id);
    struct micro_options options = {
        .name = "berth",
        .version = BERTH_VERSION,
        .description = "Berth's scheduler: apply, plan, explain (docs/control.md)",
        .id = id,
    };
    int rc = micro_open(service->bus, &options, &service->micro, err);
    for (size_t i = 0; rc == 0 && i < VERB_COUNT; i++) {
        char subject[LIMIT_SUBJECT_BYTES];
        subject_ctl(verbs[i].name, subject);
        rc = micro_endpoint(service->micro, verbs[i].name, subject, on_request, service, err);
    }
    return rc;
}

void service_respond(struct service *service, uint64_t token, const char *id, int code,
                     const char *text, uint64_t version, const char *body)
{
    struct message_reply reply = {.code = code, .text = text, .version = version, .body = body};
    str_format(reply.id, sizeof(reply.id), "%s", id);
    struct strbuf out;
    strbuf_init(&out, LIMIT_WIRE_BYTES);
    wire_encode(&message_reply_shape, &reply, &out);
    if (strbuf_error(&out, NULL) < 0) {
        strbuf_reset(&out);
        code = ERR_LIMIT;
        reply = (struct message_reply){
            .code = code,
            .text = "the answer is larger than one message; narrow it with a namespace, an app or "
                    "a workload",
            .version = version};
        str_format(reply.id, sizeof(reply.id), "%s", id);
        wire_encode(&message_reply_shape, &reply, &out);
    }
    if (code == 0)
        micro_respond(service->micro, token, strbuf_text(&out), out.bytes);
    else
        micro_fail(service->micro, token, code == ERR_INVALID || code == ERR_STALE ? 400 : 500,
                   error_name(code), strbuf_text(&out), out.bytes);
    strbuf_done(&out);
}

void service_answer(struct service *service, const struct service_answer *answer)
{
    service_answer_keep(service, answer);
    struct strbuf body;
    struct json_out json;
    strbuf_init(&body, SERVICE_BODY_BYTES);
    json_out_init(&json, &body);
    json_open(&json, NULL, '{');
    if (answer->kind[0] != 0) {
        json_string(&json, "kind", answer->kind);
        json_string(&json, "name", answer->name[0] != 0 ? answer->name : answer->text);
    }
    json_int(&json, "state_version", (int64_t)answer->version);
    json_close(&json, '}');
    for (int i = 0; i < SERVICE_PENDING_MAX; i++) {
        struct service_pending *pending = &service->pending[i];
        if (pending->id[0] == 0 || !str_equal(pending->id, answer->id))
            continue;
        service_respond(service, pending->token, answer->id, answer->code, answer->text,
                        answer->version, answer->code == 0 ? strbuf_text(&body) : "");
        pending->id[0] = 0;
    }
    strbuf_done(&body);
}

void service_answer_keep(struct service *service, const struct service_answer *answer)
{
    service->answers[service->answer_count++ % SERVICE_REPLIES_KEPT] = *answer;
}

void service_refuse(struct service *service, const char *id, const struct error *err)
{
    for (int i = 0; i < SERVICE_PENDING_MAX; i++) {
        struct service_pending *pending = &service->pending[i];
        if (pending->id[0] == 0 || !str_equal(pending->id, id))
            continue;
        service_respond(service, pending->token, id, err->code, err->text,
                        core_state(service->core)->version, "");
        pending->id[0] = 0;
    }
}

void service_answer_of(const struct core_event *event, struct service_answer *ret_answer)
{
    struct service_answer answer = {0};
    memcpy(answer.id, event->request, sizeof(answer.id));
    if (event->kind == CORE_WORLD) {
        str_format(answer.kind, sizeof(answer.kind), "world");
        str_format(answer.name, sizeof(answer.name), "%s", event->world->name);
    } else if (event->kind == CORE_OPERATE || event->kind == CORE_OPERATION_END) {
        /* Its name is the id in the reply. */
        str_format(answer.kind, sizeof(answer.kind), "operation");
    } else if (event->kind == CORE_APPLY) {
        str_format(answer.kind, sizeof(answer.kind), "app");
        str_format(answer.name, sizeof(answer.name), "%s/%s", event->apply.app->namespace_,
                   event->apply.app->name);
    }
    *ret_answer = answer;
}

static void on_request(void *context, uint64_t token, const struct bus_message *message)
{
    struct service *service = context;
    struct message_request request;
    struct error err;
    char name[LIMIT_NAME_BYTES] = "";
    int rc = subject_token(message->subject, 3, name, sizeof(name));
    const struct verb *verb = NULL;
    for (size_t i = 0; rc == 0 && i < VERB_COUNT; i++)
        if (str_equal(verbs[i].name, name))
            verb = &verbs[i];
    if (verb == NULL) {
        service_respond(service, token, "", ERR_UNSUPPORTED, "there is no such verb", 0, "");
        return;
    }
    struct bus_message inner;
    bool proven = false;
    rc = service_proof_operator(service, message, &inner, &proven, &err);
    if (rc == 0)
        rc = wire_decode(&message_request_shape, inner.data, inner.bytes, 0, &service->round,
                         &request, &err);
    if (rc < 0) {
        service_respond(service, token, "", rc, err.text, 0, "");
        return;
    }
    rc = verb->changes && !proven
             ? error_set(&err, ERR_DENIED, 0,
                         "'%s' changes something, and the request does not prove who wrote it: put "
                         "the scheduler's public key, " PROOF_SCHEDULER_FILE
                         ", beside the operator's key file",
                         verb->name)
         : request.id[0] == 0 ? error_set(&err, ERR_INVALID, 0,
                                          "id is empty: a request needs one of its own, so that it "
                                          "can be repeated without being done twice")
         : verb->body != NULL ? respond_body(service, token, &request, verb->body, &err)
                              : verb->handler(service, token, &request, &err);
    if (rc < 0)
        service_respond(service, token, request.id, rc, err.text,
                        core_state(service->core)->version, "");
    log_event(rc < 0 ? LOG_INFO : LOG_DEBUG, "ctl.request", "verb=%s id=%s code=%s", verb->name,
              request.id, rc < 0 ? error_name(rc) : "0");
}

/* When the prices came that are in force; 0: longer ago than events are kept. */
static int64_t world_since_us(const struct service *service)
{
    uint64_t kept =
        service->event_count < SERVICE_EVENTS_KEPT ? service->event_count : SERVICE_EVENTS_KEPT;
    for (uint64_t i = 1; i <= kept; i++) {
        const struct message_event *event =
            &service->events[(service->event_count - i) % SERVICE_EVENTS_KEPT];
        if (str_equal(event->name, "world.changed"))
            return event->wall_us;
    }
    return 0;
}

static int verb_info(struct service *service, uint64_t token, const struct message_request *request,
                     struct error *err)
{
    (void)err;
    const struct core_state *state = core_state(service->core);
    int up = 0;
    for (int i = 0; i < state->node_count; i++)
        up += state->nodes[i].up ? 1 : 0;
    struct strbuf body;
    struct json_out json;
    strbuf_init(&body, SERVICE_BODY_BYTES);
    json_out_init(&json, &body);
    json_open(&json, NULL, '{');
    json_string(&json, "version", BERTH_VERSION);
    json_int(&json, "term", (int64_t)service->term);
    json_int(&json, "state_version", (int64_t)state->version);
    json_int(&json, "input_version", (int64_t)state->input_version);
    json_int(&json, "journal_seq", (int64_t)journal_last(service->journal));
    json_int(&json, "snapshot_seq", (int64_t)service->snapshot_seq);
    json_int(&json, "replayed", (int64_t)service->replayed);
    json_string(&json, "journal", service->refusing ? service->refusing_text : "ok");
    json_string(&json, "world", state->world == NULL ? "" : state->world->name);
    json_int(&json, "world_since_us", world_since_us(service));
    json_string(&json, "nats_server", service->nats_version);
    json_bool(&json, "jetstream", service->jetstream);
    if (service->http != NULL)
        json_int(&json, "metrics_port", service_http_port(service->http));
    json_int(&json, "started_us", service->started_us);
    json_int(&json, "now_us", service_now(service).us);
    json_int(&json, "nodes_up", up);
    json_int(&json, "apps", state->app_count);
    json_string(&json, "plan", state->plan_text);
    /* Inputs that no plan has answered yet: tools that wait for a change look at it. */
    json_bool(&json, "planning", state->changed.us != 0 || state->solving);
    json_close(&json, '}');
    respond_json(service, token, request->id, 0, &body, err);
    return 0;
}

static int verb_apply(struct service *service, uint64_t token,
                      const struct message_request *request, struct error *err)
{
    if (answered_before(service, token, request->id))
        return 0;
    if (request->document == NULL || request->document[0] == 0)
        return error_set(err, ERR_INVALID, 0,
                         "document is empty: send the text of an app or a world");
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_parse("document", request->document, strlen(request->document), &doc, err);
    if (rc < 0)
        return rc;
    struct core_event event = {.kind = CORE_APPLY};
    memcpy(event.request, request->id, sizeof(event.request));
    if (is_world(doc)) {
        rc = read_world(service, doc, &event, err);
    } else {
        event.apply.version = request->version;
        rc = read_app(service, doc, &service->round, &event.apply.app, err);
    }
    return rc < 0 ? rc : wait_for(service, token, &event, err);
}

static int verb_delete(struct service *service, uint64_t token,
                       const struct message_request *request, struct error *err)
{
    if (answered_before(service, token, request->id))
        return 0;
    int rc = app_fields(request, false, err);
    if (rc < 0)
        return rc;
    struct core_event event = {.kind = CORE_DELETE};
    memcpy(event.request, request->id, sizeof(event.request));
    memcpy(event.target.namespace_, request->namespace_, sizeof(event.target.namespace_));
    memcpy(event.target.app, request->app, sizeof(event.target.app));
    event.target.version = request->version;
    return wait_for(service, token, &event, err);
}

static int verb_retag(struct service *service, uint64_t token,
                      const struct message_request *request, struct error *err)
{
    if (answered_before(service, token, request->id))
        return 0;
    int rc = app_fields(request, true, err);
    if (rc == 0)
        rc = name_field("key", request->key, err);
    const struct core_app *app =
        rc < 0 ? NULL : app_find(service, request->namespace_, request->app, err);
    if (app == NULL)
        return err->code;
    /* Tried first on a copy, for the whole sentence of what is wrong: the core's has less room. */
    struct app tried;
    rc = app_retag(&app->app, request->workload, request->key, request->value, &service->round,
                   &tried, err);
    if (rc == 0)
        rc = app_check(&tried, core_state(service->core)->world, err);
    if (rc < 0)
        return rc;
    struct core_event event = {.kind = CORE_RETAG};
    memcpy(event.request, request->id, sizeof(event.request));
    memcpy(event.target.namespace_, request->namespace_, sizeof(event.target.namespace_));
    memcpy(event.target.app, request->app, sizeof(event.target.app));
    event.target.version = request->version;
    memcpy(event.target.workload, request->workload, sizeof(event.target.workload));
    memcpy(event.target.key, request->key, sizeof(event.target.key));
    memcpy(event.target.value, request->value, sizeof(event.target.value));
    return wait_for(service, token, &event, err);
}

/* The site is in `document`: its name may be longer than a value. */
static int verb_move(struct service *service, uint64_t token, const struct message_request *request,
                     struct error *err)
{
    if (answered_before(service, token, request->id))
        return 0;
    struct core_event event = {.kind = CORE_MOVE};
    int rc = app_fields(request, true, err);
    if (rc == 0 && (request->document == NULL ||
                    str_copy(event.move.site, sizeof(event.move.site), request->document) < 0))
        rc = error_set(err, ERR_INVALID, 0,
                       "document: the name of a site is expected there, as in gcp/us-central1");
    if (rc < 0)
        return rc;
    memcpy(event.request, request->id, sizeof(event.request));
    memcpy(event.move.namespace_, request->namespace_, sizeof(event.move.namespace_));
    memcpy(event.move.app, request->app, sizeof(event.move.app));
    memcpy(event.move.workload, request->workload, sizeof(event.move.workload));
    event.move.version = request->version;
    return wait_for(service, token, &event, err);
}

static int verb_suggest(struct service *service, uint64_t token,
                        const struct message_request *request, struct error *err)
{
    struct service_job *job = service_job_create(service, JOB_SUGGEST);
    if (job == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for suggestions");
    job->token = token;
    memcpy(job->request, request->id, sizeof(job->request));
    job->narrow = *request;
    job->narrow.document = NULL;
    int rc = service_suggest(service, job, err);
    if (rc < 0)
        service_job_destroy(job);
    return rc;
}

static int verb_plan(struct service *service, uint64_t token, const struct message_request *request,
                     struct error *err)
{
    struct service_job *same = service_job_of(service, request->id);
    if (same != NULL) {
        /* Asked again while it is at it: the answer goes to where it is waited for now. */
        service_respond(service, same->token, request->id, ERR_STALE, "it was asked for again", 0,
                        "");
        same->token = token;
        return 0;
    }
    struct service_job *job = service_job_create(service, JOB_PLAN);
    if (job == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a plan");
    job->token = token;
    job->certificate = request->certificate;
    memcpy(job->request, request->id, sizeof(job->request));
    int rc = service_job_limits(request, job, err);
    if (rc == 0)
        rc = plan_of(service, request, job, err);
    if (rc == 0)
        rc = service_plan(service, job, err);
    if (rc < 0)
        service_job_destroy(job);
    return rc;
}

static int verb_operate(struct service *service, uint64_t token,
                        const struct message_request *request, struct error *err)
{
    if (answered_before(service, token, request->id))
        return 0;
    struct core_event event = {0};
    int rc = service_operate(service, request, &event, err);
    memcpy(event.request, request->id, sizeof(event.request));
    return rc < 0 ? rc : wait_for(service, token, &event, err);
}

static int verb_operation(struct service *service, uint64_t token,
                          const struct message_request *request, struct error *err)
{
    if (answered_before(service, token, request->id))
        return 0;
    struct core_event event = {0};
    int rc = service_operation_end(request, &event, err);
    memcpy(event.request, request->id, sizeof(event.request));
    return rc < 0 ? rc : wait_for(service, token, &event, err);
}

static int verb_cordon(struct service *service, uint64_t token,
                       const struct message_request *request, struct error *err)
{
    if (answered_before(service, token, request->id))
        return 0;
    struct core_event event = {0};
    int rc = service_cordon(request, &event, err);
    memcpy(event.request, request->id, sizeof(event.request));
    return rc < 0 ? rc : wait_for(service, token, &event, err);
}

static int body_explain(struct service *service, const struct message_request *request,
                        struct json_out *json, struct error *err)
{
    int rc = app_fields(request, true, err);
    return rc < 0 ? rc : service_explain(service, request, json, err);
}

static int respond_body(struct service *service, uint64_t token,
                        const struct message_request *request, verb_body *write, struct error *err)
{
    struct strbuf body;
    struct json_out json;
    strbuf_init(&body, SERVICE_BODY_BYTES);
    json_out_init(&json, &body);
    int rc = write(service, request, &json, err);
    respond_json(service, token, request->id, rc, &body, err);
    return 0;
}

/* From memory: the stream has older ones, and tools read that themselves. */
static int verb_events(struct service *service, uint64_t token,
                       const struct message_request *request, struct error *err)
{
    struct strbuf body;
    struct json_out json;
    strbuf_init(&body, SERVICE_BODY_BYTES);
    json_out_init(&json, &body);
    json_open(&json, NULL, '{');
    json_open(&json, "items", '[');
    uint64_t kept =
        service->event_count < SERVICE_EVENTS_KEPT ? service->event_count : SERVICE_EVENTS_KEPT;
    uint64_t last = journal_last(service->journal);
    int told = 0;
    for (uint64_t i = service->event_count - kept; i < service->event_count; i++) {
        const struct message_event *event = &service->events[i % SERVICE_EVENTS_KEPT];
        if (event->seq <= request->since ||
            !service_narrowed(request, event->namespace_, event->app, event->workload))
            continue;
        /* Only between two records, since the next `since` names a whole one. */
        if (told >= EVENTS_ANSWERED && event->seq != last) {
            break;
        }
        service_event_write(&json, event);
        told++;
        if (told >= EVENTS_ANSWERED)
            last = event->seq;
    }
    json_close(&json, ']');
    json_int(&json, "last", (int64_t)last);
    json_close(&json, '}');
    respond_json(service, token, request->id, 0, &body, err);
    return 0;
}

/* A client that did not see its answer asks again under the same id. */
static bool answered_before(struct service *service, uint64_t token, const char *id)
{
    uint64_t kept =
        service->answer_count < SERVICE_REPLIES_KEPT ? service->answer_count : SERVICE_REPLIES_KEPT;
    for (uint64_t i = 0; i < kept; i++) {
        const struct service_answer *answer = &service->answers[i];
        if (!str_equal(answer->id, id))
            continue;
        struct strbuf body;
        struct json_out json;
        strbuf_init(&body, SERVICE_BODY_BYTES);
        json_out_init(&json, &body);
        json_open(&json, NULL, '{');
        if (answer->kind[0] != 0) {
            json_string(&json, "kind", answer->kind);
            json_string(&json, "name", answer->name[0] != 0 ? answer->name : answer->text);
        }
        json_int(&json, "state_version", (int64_t)answer->version);
        json_close(&json, '}');
        service_respond(service, token, id, answer->code, answer->text, answer->version,
                        answer->code == 0 ? strbuf_text(&body) : "");
        strbuf_done(&body);
        return true;
    }
    return false;
}

/* Puts the change into the round; its answer comes when it is on the record. */
static int wait_for(struct service *service, uint64_t token, const struct core_event *event,
                    struct error *err)
{
    if (service->refusing)
        return error_set(err, ERR_IO, 0, "%s", service->refusing_text);
    struct service_pending *place = NULL;
    bool under_way = false;
    for (int i = 0; i < SERVICE_PENDING_MAX; i++) {
        struct service_pending *pending = &service->pending[i];
        if (pending->id[0] == 0 && place == NULL)
            place = pending;
        under_way = under_way || str_equal(pending->id, event->request);
    }
    if (place == NULL)
        return error_set(err, ERR_LIMIT, 0, "%d changes wait already; try again",
                         SERVICE_PENDING_MAX);
    if (!under_way && !service_submit(service, event))
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the change");
    memcpy(place->id, event->request, sizeof(place->id));
    place->token = token;
    return 0;
}

/* The first key says what a document is. */
static bool is_world(struct doc *doc)
{
    const struct doc_node *root = doc_root(doc);
    return doc_kind(root) == DOC_MAP && doc_count(root) > 0 && str_equal(doc_key(root, 0), "world");
}

static int read_world(struct service *service, struct doc *doc, struct core_event *event,
                      struct error *err)
{
    struct world *world = arena_alloc(&service->round, sizeof(*world));
    if (world == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the world");
    event->kind = CORE_WORLD;
    event->world = world;
    int rc = world_from_doc(doc, &service->round, world, err);
    return rc < 0 ? rc : fits_record(NULL, world, err);
}

static int read_app(struct service *service, struct doc *doc, struct arena *arena,
                    const struct app **ret_app, struct error *err)
{
    struct app *app = arena_alloc(arena, sizeof(*app));
    if (app == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the app");
    int rc = app_from_doc(doc, arena, app, err);
    if (rc < 0)
        return rc;
    const struct world *world = core_state(service->core)->world;
    if (world == NULL)
        return error_set(err, ERR_UNAVAILABLE, 0,
                         "there is no world yet: apply one first (prices, sites, latencies)");
    rc = app_check(app, world, err);
    if (rc == 0)
        rc = core_routes_check(service->core, app, err);
    if (rc == 0)
        rc = fits_record(app, NULL, err);
    if (rc == 0)
        *ret_app = app;
    return rc;
}

/* The record has the canonical text, which may be longer than what was sent, and must be read back
 * under the limit of every document. */
static int fits_record(const struct app *app, const struct world *world, struct error *err)
{
    struct strbuf text;
    strbuf_init(&text, LIMIT_DOC_BYTES);
    if (app != NULL)
        app_write(app, &text);
    else
        world_write(world, &text);
    int rc = strbuf_error(&text, NULL);
    strbuf_done(&text);
    return rc == 0
               ? 0
               : error_set(err, rc, 0,
                           "the document takes more than %d bytes in its canonical form; divide "
                           "it",
                           LIMIT_DOC_BYTES);
}

static const struct core_app *app_find(const struct service *service, const char *ns,
                                       const char *name, struct error *err)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *app = &state->apps[i];
        if (!app->deleting && str_equal(app->app.name, name) && str_equal(app->app.namespace_, ns))
            return app;
    }
    (void)error_set(err, ERR_NOT_FOUND, 0, "there is no app %s/%s; `berth get apps` lists them", ns,
                    name);
    return NULL;
}

/* What the plan is about: a document, a retag, a delete, or the present state. */
static int plan_of(struct service *service, const struct message_request *request,
                   struct service_job *job, struct error *err)
{
    bool given = request->document != NULL && request->document[0] != 0;
    job->reason = REASON_VERSION;
    if (given) {
        CLEANUP(cleanup_doc) struct doc *doc = NULL;
        int rc = doc_parse("document", request->document, strlen(request->document), &doc, err);
        if (rc < 0)
            return rc;
        if (is_world(doc))
            return error_set(
                err, ERR_UNSUPPORTED, 0,
                "a plan needs an app; a world changes prices and sites of all of them: "
                "apply it, and plan without a document");
        return read_app(service, doc, &job->arena, &job->instead, err);
    }
    if (request->kind[0] == 0)
        return 0;
    bool retag = str_equal(request->kind, "retag");
    if (!retag && !str_equal(request->kind, "delete"))
        return error_set(err, ERR_INVALID, 0, "kind is '%s': a plan knows 'retag' and 'delete'",
                         request->kind);
    int rc = app_fields(request, retag, err);
    if (rc == 0 && retag)
        rc = name_field("key", request->key, err);
    const struct core_app *app =
        rc < 0 ? NULL : app_find(service, request->namespace_, request->app, err);
    if (app == NULL)
        return err->code;
    if (!retag) {
        job->reason = REASON_REMOVE;
        job->without = arena_printf(&job->arena, "%s/%s", request->namespace_, request->app);
        return job->without != NULL ? 0 : error_set(err, ERR_NO_MEMORY, 0, "no memory for a plan");
    }
    job->reason = REASON_RETAG;
    struct app *changed = arena_alloc(&job->arena, sizeof(*changed));
    if (changed == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a plan");
    rc = app_retag(&app->app, request->workload, request->key, request->value, &job->arena, changed,
                   err);
    if (rc == 0)
        rc = app_check(changed, core_state(service->core)->world, err);
    job->instead = changed;
    return rc;
}

/* Frees the body's text. */
static void respond_json(struct service *service, uint64_t token, const char *id, int rc,
                         struct strbuf *body, const struct error *err)
{
    uint64_t version = core_state(service->core)->version;
    struct error full;
    if (rc == 0) {
        rc = strbuf_error(body, &full);
        if (rc < 0) {
            (void)error_set(&full, ERR_LIMIT, 0,
                            "the answer is larger than one message; narrow it with a namespace, an "
                            "app or a workload");
            err = &full;
        }
    }
    if (rc < 0)
        service_respond(service, token, id, err->code, err->text, version, "");
    else
        service_respond(service, token, id, 0, "", version, strbuf_text(body));
    strbuf_done(body);
}

static int name_field(const char *field, const char *value, struct error *err)
{
    if (name_is_valid(value))
        return 0;
    return error_set(err, ERR_INVALID, 0,
                     "%s is \"%s\": must be 1 to 63 of a-z, 0-9 and '-', not beginning or ending "
                     "with '-'",
                     field, value);
}

static int app_fields(const struct message_request *request, bool workload, struct error *err)
{
    int rc = name_field("namespace", request->namespace_, err);
    if (rc == 0)
        rc = name_field("app", request->app, err);
    if (rc == 0 && workload)
        rc = name_field("workload", request->workload, err);
    return rc;
}
