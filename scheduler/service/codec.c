#include "scheduler/service/codec.h"

#include <string.h>

#include "model/app.h"
#include "model/world.h"
#include "scheduler/service/codec_internal.h"

/* A record holds at most one canonical document, escaped inside a JSON string. */
#define CODEC_BYTES_MAX (16 * (size_t)LIMIT_DOC_BYTES)

/* The words as the tables want them: ended by NULL, which the core's own lists need not be. */
static const char *const kind_words[] = {
    [CORE_STARTED] = "started",
    [CORE_WORLD] = "world",
    [CORE_APPLY] = "apply",
    [CORE_DELETE] = "delete",
    [CORE_RETAG] = "retag",
    [CORE_MOVE] = "move",
    [CORE_HELLO] = "hello",
    [CORE_NODE_LOST] = "node_lost",
    [CORE_ANSWER] = "answer",
    [CORE_REPORT] = "report",
    [CORE_PROBED] = "probed",
    [CORE_ESTIMATES] = "estimates",
    [CORE_PLAN] = "plan",
    [CORE_CHECKED] = "checked",
    [CORE_FENCED] = "fenced",
    [CORE_JUDGED] = "judged",
    [CORE_CORDON_SET] = "cordon",
    [CORE_OPERATE] = "operate",
    [CORE_OPERATION_END] = "operation_end",
    [CORE_TICK] = "tick",
    [CORE_TICK + 1] = NULL,
};
static const char *const effect_words[] = {
    [CORE_REPLY] = "reply", [CORE_COMMAND] = "command", [CORE_PROBE] = "probe",
    [CORE_SOLVE] = "solve", [CORE_PUBLISH] = "publish", [CORE_CHECK] = "check",
    [CORE_FENCE] = "fence", [CORE_JUDGE] = "judge",     [CORE_JUDGE + 1] = NULL,
};
const char *const codec_status_words[] = {
    [SOLVE_OPTIMAL] = "optimal", [SOLVE_FEASIBLE] = "feasible", [SOLVE_INFEASIBLE] = "infeasible",
    [SOLVE_NONE] = "none",       [SOLVE_NONE + 1] = NULL,
};
const char *const codec_estimate_words[] = {
    [ESTIMATE_CALLS_MHZ] = "calls_mhz",
    [ESTIMATE_CPU_NS] = "cpu_ns",
    [ESTIMATE_HIT_PPM] = "hit_ppm",
    [ESTIMATE_REQUEST_BYTES] = "request_bytes",
    [ESTIMATE_RESPONSE_BYTES] = "response_bytes",
    [ESTIMATE_LATENCY_US] = "latency_us",
    [ESTIMATE_MCPU] = "mcpu",
    [ESTIMATE_MEMORY_BYTES] = "memory_bytes",
    [ESTIMATE_RTT_US] = "rtt_us",
    [ESTIMATE_LATENCY_P99_US] = "latency_p99_us",
    [ESTIMATE_METER_BYTES] = "meter_bytes",
    [ESTIMATE_USERS_MHZ] = "users_mhz",
    [ESTIMATE_COUNT] = NULL,
};

/* What a WORLD and an APPLY are on the record: the text instead of the structs. */
struct document_event {
    struct core_event head;
    const char *document;
    uint64_t version;
};

/* clang-format off: one field per line is the table that people read. */
#define HEAD(s, prefix)                                                      \
    WORD(s, prefix kind, "kind", kind_words), I64(s, prefix at.us, "at_us"), \
        STR(s, prefix request, "request")

static const struct wire_field head_fields[] = {HEAD(core_event, NO_PREFIX)};
static const SHAPE(head_shape, "core.event", core_event, head_fields);

static const struct wire_field started_fields[] = {
    HEAD(core_event, NO_PREFIX),
    U64(core_event, started.term, "term"),
};
static const SHAPE(started_shape, "core.event", core_event, started_fields);

static const struct wire_field document_fields[] = {
    HEAD(document_event, head.),
    U64(document_event, version, "version"),
    {.name = "document", .kind = WIRE_TEXT, .max = LIMIT_DOC_BYTES, AT(document_event, document)},
};
static const SHAPE(document_shape, "core.event", document_event, document_fields);

static const struct wire_field target_fields[] = {
    HEAD(core_event, NO_PREFIX),
    WHOSE(core_event, target.),
    STR(core_event, target.key, "key"),
    STR(core_event, target.value, "value"),
    U64(core_event, target.version, "version"),
};
static const SHAPE(target_shape, "core.event", core_event, target_fields);

static const struct wire_field move_fields[] = {
    HEAD(core_event, NO_PREFIX),
    WHOSE(core_event, move.),
    STR(core_event, move.site, "site"),
    U64(core_event, move.version, "version"),
};
static const SHAPE(move_shape, "core.event", core_event, move_fields);

static const struct wire_field hello_fields[] = {
    HEAD(core_event, NO_PREFIX),
    PART(core_event, hello, "hello", &message_hello_shape),
};
static const SHAPE(hello_shape, "core.event", core_event, hello_fields);

static const struct wire_field lost_fields[] = {
    HEAD(core_event, NO_PREFIX),
    STR(core_event, node, "node"),
};
static const SHAPE(lost_shape, "core.event", core_event, lost_fields);

static const struct wire_field answer_fields[] = {
    HEAD(core_event, NO_PREFIX),
    PART(core_event, answer, "answer", &message_answer_shape),
};
static const SHAPE(answer_shape, "core.event", core_event, answer_fields);

static const struct wire_field report_fields[] = {
    HEAD(core_event, NO_PREFIX),
    PART(core_event, report, "report", &message_report_shape),
};
static const SHAPE(report_shape, "core.event", core_event, report_fields);

static const struct wire_field probed_fields[] = {
    HEAD(core_event, NO_PREFIX),
    PART(core_event, probed, "probed", &message_probed_shape),
};
static const SHAPE(probed_shape, "core.event", core_event, probed_fields);

static const struct wire_field estimate_fields[] = {
    WORD(estimate, kind, "kind", codec_estimate_words),
    WHOSE(estimate, NO_PREFIX),
    STR(estimate, site, "site"),
    STR(estimate, peer, "peer"),
    I64(estimate, value, "value"),
    I64(estimate, at_us, "at_us"),
    I64(estimate, spread, "spread"),
    I64(estimate, observed_us, "observed_us"),
};
const SHAPE(codec_estimate_shape, "estimate", estimate, estimate_fields);

static const struct wire_field estimates_fields[] = {
    HEAD(core_event, NO_PREFIX),
    LIST(core_event, estimates.list, estimates.count, "estimates", LIMIT_METRIC_SERIES,
         &codec_estimate_shape),
};
static const SHAPE(estimates_shape, "core.event", core_event, estimates_fields);

static const struct wire_field choice_fields[] = {
    WHOSE(core_plan_choice, NO_PREFIX),
    STR(core_plan_choice, site, "site"),
    I32(core_plan_choice, variant, "variant"),
    STR(core_plan_choice, lead, "lead"),
    I32(core_plan_choice, group, "group"),
    I64(core_plan_choice, score_saving_nusd, "score_saving_nusd"),
    I64(core_plan_choice, bill_saving_nusd, "bill_saving_nusd"),
    I64(core_plan_choice, once_nusd, "once_nusd"),
    I64(core_plan_choice, spread_nusd, "spread_nusd"),
    I64(core_plan_choice, confidence_ppm, "confidence_ppm"),
};
static const SHAPE(choice_shape, "choice", core_plan_choice, choice_fields);

static const struct wire_field plan_fields[] = {
    HEAD(core_event, NO_PREFIX),
    U64(core_event, plan.solve, "solve"),
    U64(core_event, plan.version, "version"),
    WORD(core_event, plan.status, "status", codec_status_words),
    LIST(core_event, plan.choices, plan.choice_count, "choices", LIMIT_APPS *LIMIT_APP_WORKLOADS,
         &choice_shape),
    I64(core_event, plan.score_stay_nusd, "score_stay_nusd"),
    I64(core_event, plan.score_plan_nusd, "score_plan_nusd"),
    I64(core_event, plan.bound_nusd, "bound_nusd"),
    I64(core_event, plan.bill_stay_nusd, "bill_stay_nusd"),
    I64(core_event, plan.bill_plan_nusd, "bill_plan_nusd"),
    STR(core_event, plan.text, "text"),
};
static const SHAPE(plan_shape, "core.event", core_event, plan_fields);

static const struct wire_field checked_fields[] = {
    HEAD(core_event, NO_PREFIX),
    WHOSE(core_event, checked.),
    U64(core_event, checked.check, "check"),
    FLAG(core_event, checked.known, "known"),
    I64(core_event, checked.score_saving_nusd, "score_saving_nusd"),
    I64(core_event, checked.bill_saving_nusd, "bill_saving_nusd"),
    I64(core_event, checked.spread_nusd, "spread_nusd"),
};
static const SHAPE(checked_shape, "core.event", core_event, checked_fields);

static const struct wire_field fenced_fields[] = {
    HEAD(core_event, NO_PREFIX),
    STR(core_event, fenced.handoff, "handoff"),
    PART(core_event, fenced.owner, "owner", &epoch_shape),
    I32(core_event, fenced.code, "code"),
    PART(core_event, fenced.stored, "stored", &epoch_shape),
};
static const SHAPE(fenced_shape, "core.event", core_event, fenced_fields);

static const struct wire_field side_fields[] = {
    FLAG(core_judged_side, known, "known"),
    I64(core_judged_side, requests, "requests"),
    I64(core_judged_side, errors_ppm, "errors_ppm"),
    I64(core_judged_side, latency_us, "latency_us"),
};
static const SHAPE(side_shape, "side", core_judged_side, side_fields);

static const struct wire_field judged_fields[] = {
    HEAD(core_event, NO_PREFIX),
    U64(core_event, judged.judge, "judge"),
    STR(core_event, judged.handoff, "handoff"),
    PART(core_event, judged.from, "from", &side_shape),
    PART(core_event, judged.to, "to", &side_shape),
};
static const SHAPE(judged_shape, "core.event", core_event, judged_fields);

static const struct wire_field cordon_fields[] = {
    HEAD(core_event, NO_PREFIX),
    WORD(core_event, cordon.kind, "cordon_kind", cordon_kind_words),
    STR(core_event, cordon.name, "name"),
    FLAG(core_event, cordon.on, "on"),
    U64(core_event, cordon.version, "version"),
};
static const SHAPE(cordon_shape, "core.event", core_event, cordon_fields);

static const struct wire_field step_fields[] = {
    WHOSE(core_operation_step, NO_PREFIX),
    STR(core_operation_step, from_site, "from_site"),
    I32(core_operation_step, from_variant, "from_variant"),
    STR(core_operation_step, to_site, "to_site"),
    I32(core_operation_step, to_variant, "to_variant"),
    WORD(core_operation_step, state, "state", step_state_words),
    I64(core_operation_step, begun.us, "begun_us"),
    I64(core_operation_step, ended.us, "ended_us"),
};
const SHAPE(codec_step_shape, "core.step", core_operation_step, step_fields);

static const struct wire_field operate_fields[] = {
    HEAD(core_event, NO_PREFIX),
    STR(core_event, operate.text, "text"),
    LIST(core_event, operate.steps, operate.step_count, "steps", LIMIT_OPERATION_STEPS,
         &codec_step_shape),
    I32(core_event, operate.at_once, "at_once"),
    WORD(core_event, operate.cordon_kind, "cordon_kind", cordon_kind_words),
    STR(core_event, operate.cordon, "cordon"),
    U64(core_event, operate.version, "version"),
};
static const SHAPE(operate_shape, "core.event", core_event, operate_fields);

static const struct wire_field operation_end_fields[] = {
    HEAD(core_event, NO_PREFIX),
    STR(core_event, operation_end.id, "id"),
    FLAG(core_event, operation_end.roll_back, "roll_back"),
};
static const SHAPE(operation_end_shape, "core.event", core_event, operation_end_fields);

static const struct wire_field reply_fields[] = {
    WORD(core_effect, kind, "kind", effect_words), STR(core_effect, reply.request, "request"),
    I32(core_effect, reply.code, "code"),          STR(core_effect, reply.text, "text"),
    U64(core_effect, reply.version, "version"),
};
static const SHAPE(reply_shape, "core.effect", core_effect, reply_fields);

static const struct wire_field command_fields[] = {
    WORD(core_effect, kind, "kind", effect_words),
    STR(core_effect, command.node, "node"),
    PART(core_effect, command.message, "command", &message_command_shape),
};
static const SHAPE(command_shape, "core.effect", core_effect, command_fields);

static const struct wire_field probe_fields[] = {
    WORD(core_effect, kind, "kind", effect_words), STR(core_effect, probe.id, "id"),
    STR(core_effect, probe.instance, "instance"),  STR(core_effect, probe.subject, "subject"),
    I32(core_effect, probe.count, "count"),        I64(core_effect, probe.timeout_us, "timeout_us"),
};
static const SHAPE(probe_shape, "core.effect", core_effect, probe_fields);

static const struct wire_field solve_fields[] = {
    WORD(core_effect, kind, "kind", effect_words),
    U64(core_effect, solve.solve, "solve"),
    U64(core_effect, solve.version, "version"),
};
static const SHAPE(solve_shape, "core.effect", core_effect, solve_fields);

static const struct wire_field publish_fields[] = {
    WORD(core_effect, kind, "kind", effect_words),
    PART(core_effect, publish, "event", &message_event_shape),
};
static const SHAPE(publish_shape, "core.effect", core_effect, publish_fields);

static const struct wire_field check_fields[] = {
    WORD(core_effect, kind, "kind", effect_words),
    U64(core_effect, check.check, "check"),
    WHOSE(core_effect, check.),
    STR(core_effect, check.site, "site"),
    I32(core_effect, check.variant, "variant"),
};
static const SHAPE(check_shape, "core.effect", core_effect, check_fields);

static const struct wire_field fence_fields[] = {
    WORD(core_effect, kind, "kind", effect_words),
    STR(core_effect, fence.handoff, "handoff"),
    WHOSE(core_effect, fence.),
    I32(core_effect, fence.replica, "replica"),
    STR(core_effect, fence.instance, "instance"),
    PART(core_effect, fence.owner, "owner", &epoch_shape),
};
static const SHAPE(fence_shape, "core.effect", core_effect, fence_fields);

static const struct wire_field judge_fields[] = {
    WORD(core_effect, kind, "kind", effect_words), U64(core_effect, judge.judge, "judge"),
    STR(core_effect, judge.handoff, "handoff"),    WHOSE(core_effect, judge.),
    STR(core_effect, judge.from, "from"),          STR(core_effect, judge.to, "to"),
    I64(core_effect, judge.since.us, "since_us"),
};
static const SHAPE(judge_shape, "core.effect", core_effect, judge_fields);
/* clang-format on */

static const struct wire_shape *const event_shapes[] = {
    [CORE_STARTED] = &started_shape,
    [CORE_WORLD] = &document_shape,
    [CORE_APPLY] = &document_shape,
    [CORE_DELETE] = &target_shape,
    [CORE_RETAG] = &target_shape,
    [CORE_MOVE] = &move_shape,
    [CORE_HELLO] = &hello_shape,
    [CORE_NODE_LOST] = &lost_shape,
    [CORE_ANSWER] = &answer_shape,
    [CORE_REPORT] = &report_shape,
    [CORE_PROBED] = &probed_shape,
    [CORE_ESTIMATES] = &estimates_shape,
    [CORE_PLAN] = &plan_shape,
    [CORE_CHECKED] = &checked_shape,
    [CORE_FENCED] = &fenced_shape,
    [CORE_JUDGED] = &judged_shape,
    [CORE_CORDON_SET] = &cordon_shape,
    [CORE_OPERATE] = &operate_shape,
    [CORE_OPERATION_END] = &operation_end_shape,
    [CORE_TICK] = &head_shape,
};

static const struct wire_shape *const effect_shapes[] = {
    [CORE_REPLY] = &reply_shape, [CORE_COMMAND] = &command_shape, [CORE_PROBE] = &probe_shape,
    [CORE_SOLVE] = &solve_shape, [CORE_PUBLISH] = &publish_shape, [CORE_CHECK] = &check_shape,
    [CORE_FENCE] = &fence_shape, [CORE_JUDGE] = &judge_shape,
};

static void write_document(const struct core_event *event, struct strbuf *out);
static int read_document(const char *text, size_t bytes, struct arena *arena,
                         struct core_event *ret_event, struct error *err);

void codec_event_write(const struct core_event *event, struct strbuf *out)
{
    if (event->kind == CORE_WORLD || event->kind == CORE_APPLY)
        write_document(event, out);
    else
        wire_encode(event_shapes[event->kind], event, out);
}

int codec_event_read(const char *text, size_t bytes, struct arena *arena,
                     struct core_event *ret_event, struct error *err)
{
    struct core_event *event = arena_alloc(arena, sizeof(*event));
    if (event == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for an event");
    /* Once for the kind, which says what else there is, and once for all of it. */
    int rc = wire_decode(&head_shape, text, bytes, CODEC_BYTES_MAX, arena, event, err);
    if (rc < 0)
        return rc;
    if (event->kind == CORE_WORLD || event->kind == CORE_APPLY)
        rc = read_document(text, bytes, arena, event, err);
    else
        rc =
            wire_decode(event_shapes[event->kind], text, bytes, CODEC_BYTES_MAX, arena, event, err);
    if (rc < 0)
        return rc;
    *ret_event = *event;
    return 0;
}

void codec_effects_write(const struct core_effects *effects, struct strbuf *out)
{
    strbuf_puts(out, "[");
    for (int i = 0; i < effects->count; i++) {
        if (i > 0)
            strbuf_puts(out, ",");
        const struct core_effect *effect = &effects->list[i];
        wire_encode(effect_shapes[effect->kind], effect, out);
    }
    strbuf_puts(out, "]");
}

static void write_document(const struct core_event *event, struct strbuf *out)
{
    struct strbuf document;
    strbuf_init(&document, LIMIT_DOC_BYTES);
    if (event->kind == CORE_WORLD)
        world_write(event->world, &document);
    else
        app_write(event->apply.app, &document);
    /* A document that could not be written must not become a record that cannot be read. */
    if (strbuf_error(&document, NULL) < 0) {
        out->broken = true;
        out->no_memory = document.no_memory;
    } else {
        struct document_event written = {.head = {.kind = event->kind, .at = event->at}};
        memcpy(written.head.request, event->request, sizeof(written.head.request));
        written.version = event->kind == CORE_APPLY ? event->apply.version : 0;
        written.document = strbuf_text(&document);
        wire_encode(&document_shape, &written, out);
    }
    strbuf_done(&document);
}

static int read_document(const char *text, size_t bytes, struct arena *arena,
                         struct core_event *ret_event, struct error *err)
{
    struct document_event *read = arena_alloc(arena, sizeof(*read));
    struct world *world = arena_alloc(arena, sizeof(*world));
    struct app *app = arena_alloc(arena, sizeof(*app));
    if (read == NULL || world == NULL || app == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a document");
    int rc = wire_decode(&document_shape, text, bytes, CODEC_BYTES_MAX, arena, read, err);
    if (rc < 0)
        return rc;
    *ret_event = read->head;
    size_t document_bytes = strlen(read->document);
    if (read->head.kind == CORE_WORLD) {
        rc = world_parse("journal", read->document, document_bytes, arena, world, err);
        ret_event->world = world;
    } else {
        rc = app_parse("journal", read->document, document_bytes, arena, app, err);
        ret_event->apply.app = app;
        ret_event->apply.version = read->version;
    }
    return rc;
}
