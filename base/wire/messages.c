#include "base/wire/messages.h"

#include <limits.h>

#define OPT WIRE_OPTIONAL

/* Fields that say who and what are required; a peer that leaves out the others means zero. */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SHAPE(name, type_name, s)                             \
    const struct wire_shape name = {.type = (type_name),      \
                                    .version = 1,             \
                                    .size = sizeof(struct s), \
                                    .fields = s##_fields,     \
                                    .field_count = COUNT(s##_fields)}

/* A result code travels as its number, negative; positive ones are left free for later. */
#define CODE_MIN (-999)
#define CODE_MAX 999

const char *const instance_state_words[] = {
#define INSTANCE_STATE_WORD(name, word) word,
    INSTANCE_STATE_MAP(INSTANCE_STATE_WORD)
#undef INSTANCE_STATE_WORD
        NULL};

const char *const ready_kind_words[] = {"none", "contract", "tcp", "http", "nats", "command", NULL};

const char *const node_verb_words[] = {"stage",  "start",    "drain",   "resume", "stop", "probe",
                                       "forget", "snapshot", "restore", "route",  NULL};

const char *const spec_class_words[] = {"overlap", "exclusive", "stateful", NULL};
const char *const route_mode_words[] = {"probe", "serve", "drain", NULL};

const char *const sample_kind_words[] = {
    "cpu_ns",   "memory_bytes", "requests",       "errors", "hits",       "misses",
    "bytes_in", "bytes_out",    "latency_us_sum", "rtt_us", "latency_us", NULL};

int epoch_compare(struct epoch a, struct epoch b)
{
    if (a.term != b.term)
        return a.term < b.term ? -1 : 1;
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    return 0;
}

/* clang-format off: one field per line is the table that people read. */
static const struct wire_field epoch_fields[] = {
    WIRE_FIELD_U64(epoch, term, 0),
    WIRE_FIELD_U64(epoch, n, 0),
};
SHAPE(epoch_shape, "epoch", epoch);

static const struct wire_field message_tag_fields[] = {
    WIRE_FIELD_STR(message_tag, key, 0),
    WIRE_FIELD_STR(message_tag, value, 0),
};
static SHAPE(message_tag_shape, "tag", message_tag);

static const struct wire_field message_string_fields[] = {
    WIRE_FIELD_STR(message_string, value, 0),
};
static SHAPE(message_string_shape, "string", message_string);

static const struct wire_field message_env_fields[] = {
    WIRE_FIELD_STR(message_env, name, 0),
    WIRE_FIELD_STR(message_env, value, 0),
};
static SHAPE(message_env_shape, "env", message_env);

static const struct wire_field message_ready_fields[] = {
    WIRE_FIELD_ENUM(message_ready, kind, 0, ready_kind_words),
    WIRE_FIELD_STR(message_ready, target, OPT),
    WIRE_FIELD_I64(message_ready, period_us, OPT, 0, INT64_MAX),
    WIRE_FIELD_I64(message_ready, timeout_us, OPT, 0, INT64_MAX),
    WIRE_FIELD_I32(message_ready, failures, OPT, 0, INT_MAX),
};
static SHAPE(message_ready_shape, "ready", message_ready);

static const struct wire_field message_object_fields[] = {
    WIRE_FIELD_STR(message_object, digest, OPT),
    WIRE_FIELD_I64(message_object, bytes, OPT, 0, INT64_MAX),
};
SHAPE(message_object_shape, "object", message_object);

static const struct wire_field message_spec_fields[] = {
    WIRE_FIELD_STR_AS(message_spec, namespace_, "namespace", 0),
    WIRE_FIELD_STR(message_spec, app, 0),
    WIRE_FIELD_STR(message_spec, workload, 0),
    WIRE_FIELD_I32(message_spec, replica, OPT, 0, INT_MAX),
    WIRE_FIELD_STR(message_spec, driver, 0),
    WIRE_FIELD_STR(message_spec, artifact, OPT),
    WIRE_FIELD_STR(message_spec, digest, OPT),
    WIRE_FIELD_ARRAY(message_spec, args, arg_count, OPT, LIMIT_ARGS, &message_string_shape),
    WIRE_FIELD_ARRAY(message_spec, env, env_count, OPT, LIMIT_ENV, &message_env_shape),
    WIRE_FIELD_I64(message_spec, mcpu, OPT, 0, INT64_MAX),
    WIRE_FIELD_I64(message_spec, memory_bytes, OPT, 0, INT64_MAX),
    WIRE_FIELD_I64(message_spec, pids_max, OPT, 0, INT64_MAX),
    WIRE_FIELD_STRUCT(message_spec, ready, OPT, &message_ready_shape),
    WIRE_FIELD_STRUCT(message_spec, live, OPT, &message_ready_shape),
    WIRE_FIELD_ENUM(message_spec, handoff, OPT, spec_class_words),
    WIRE_FIELD_I64(message_spec, lease_us, OPT, 0, INT64_MAX),
    WIRE_FIELD_BOOL(message_spec, http, OPT),
    WIRE_FIELD_BOOL(message_spec, contract, OPT),
    WIRE_FIELD_I64(message_spec, start_timeout_us, OPT, 0, INT64_MAX),
    WIRE_FIELD_I64(message_spec, drain_timeout_us, OPT, 0, INT64_MAX),
    WIRE_FIELD_I64(message_spec, stop_timeout_us, OPT, 0, INT64_MAX),
    WIRE_FIELD_I32(message_spec, restarts_max, OPT, 0, INT_MAX),
    WIRE_FIELD_I64(message_spec, restart_backoff_us, OPT, 0, INT64_MAX),
};
SHAPE(message_spec_shape, "spec", message_spec);

static const struct wire_field message_server_fields[] = {
    WIRE_FIELD_STR(message_server, instance, 0),
    WIRE_FIELD_STR(message_server, endpoint, 0),
    WIRE_FIELD_ENUM(message_server, mode, 0, route_mode_words),
    WIRE_FIELD_I32(message_server, weight, OPT, 0, ROUTE_WEIGHT_MAX),
};
SHAPE(message_server_shape, "server", message_server);

static const struct wire_field message_route_fields[] = {
    WIRE_FIELD_STR_AS(message_route, namespace_, "namespace", OPT),
    WIRE_FIELD_STR(message_route, app, OPT),
    WIRE_FIELD_STR(message_route, workload, OPT),
    WIRE_FIELD_STR(message_route, host, OPT),
    WIRE_FIELD_STR(message_route, path, OPT),
    WIRE_FIELD_STR(message_route, probe, OPT),
    WIRE_FIELD_BOOL(message_route, gone, OPT),
    WIRE_FIELD_BOOL(message_route, paused, OPT),
    WIRE_FIELD_ARRAY(message_route, servers, server_count, OPT, 2 * LIMIT_REPLICAS,
                     &message_server_shape),
};
SHAPE(message_route_shape, "route", message_route);

static const struct wire_field message_command_fields[] = {
    WIRE_FIELD_STR(message_command, id, 0),
    WIRE_FIELD_STRUCT(message_command, epoch, 0, &epoch_shape),
    WIRE_FIELD_STR(message_command, boot_id, OPT),
    WIRE_FIELD_I64(message_command, not_after_us, OPT, 0, INT64_MAX),
    WIRE_FIELD_ENUM(message_command, verb, 0, node_verb_words),
    WIRE_FIELD_STR(message_command, instance, 0),
    WIRE_FIELD_STRUCT(message_command, spec, OPT, &message_spec_shape),
    WIRE_FIELD_STR(message_command, subject, OPT),
    WIRE_FIELD_I32(message_command, probe_count, OPT, 0, INT_MAX),
    WIRE_FIELD_I64(message_command, timeout_us, OPT, 0, INT64_MAX),
    WIRE_FIELD_TEXT(message_command, handed, OPT, LIMIT_HANDED_BYTES),
    WIRE_FIELD_I32(message_command, round, OPT, 0, INT_MAX),
    WIRE_FIELD_I64(message_command, checkpoint, OPT, 0, INT64_MAX),
    WIRE_FIELD_STRUCT(message_command, object, OPT, &message_object_shape),
    WIRE_FIELD_STRUCT(message_command, route, OPT, &message_route_shape),
    WIRE_FIELD_I64(message_command, hello_us, OPT, 0, INT64_MAX),
};
SHAPE(message_command_shape, "node.command", message_command);

static const struct wire_field message_answer_fields[] = {
    WIRE_FIELD_STR(message_answer, id, 0),
    WIRE_FIELD_STR(message_answer, node, OPT),
    WIRE_FIELD_I32(message_answer, code, OPT, CODE_MIN, CODE_MAX),
    WIRE_FIELD_STR(message_answer, text, OPT),
    WIRE_FIELD_STRUCT(message_answer, epoch, OPT, &epoch_shape),
    WIRE_FIELD_STR(message_answer, boot_id, OPT),
    WIRE_FIELD_I64(message_answer, boot_us, OPT, 0, INT64_MAX),
};
SHAPE(message_answer_shape, "node.answer", message_answer);

static const struct wire_field message_instance_fields[] = {
    WIRE_FIELD_STR(message_instance, instance, 0),
    WIRE_FIELD_STR_AS(message_instance, namespace_, "namespace", OPT),
    WIRE_FIELD_STR(message_instance, app, OPT),
    WIRE_FIELD_STR(message_instance, workload, OPT),
    WIRE_FIELD_I32(message_instance, replica, OPT, 0, INT_MAX),
    WIRE_FIELD_ENUM(message_instance, state, 0, instance_state_words),
    WIRE_FIELD_STRUCT(message_instance, epoch, OPT, &epoch_shape),
    WIRE_FIELD_I32(message_instance, restarts, OPT, 0, INT_MAX),
    WIRE_FIELD_I32(message_instance, exit_code, OPT, -1, 1023),
    WIRE_FIELD_I32(message_instance, error_code, OPT, CODE_MIN, CODE_MAX),
    WIRE_FIELD_STR(message_instance, detail, OPT),
    WIRE_FIELD_STR(message_instance, endpoint, OPT),
    WIRE_FIELD_I32(message_instance, round, OPT, 0, INT_MAX),
    WIRE_FIELD_I32(message_instance, doing, OPT, 0, INT_MAX),
    WIRE_FIELD_I64(message_instance, checkpoint, OPT, 0, INT64_MAX),
    WIRE_FIELD_STRUCT(message_instance, saved, OPT, &message_object_shape),
    WIRE_FIELD_STRUCT(message_instance, object, OPT, &message_object_shape),
    WIRE_FIELD_TEXT(message_instance, handed, OPT, LIMIT_HANDED_BYTES),
};
SHAPE(message_instance_shape, "instance", message_instance);

static const struct wire_field message_report_fields[] = {
    WIRE_FIELD_STR(message_report, node, 0),
    WIRE_FIELD_STR(message_report, boot_id, 0),
    WIRE_FIELD_U64(message_report, seq, 0),
    WIRE_FIELD_I64(message_report, boot_us, OPT, 0, INT64_MAX),
    WIRE_FIELD_STRUCT(message_report, instance, 0, &message_instance_shape),
};
SHAPE(message_report_shape, "node.report", message_report);

static const struct wire_field message_probed_fields[] = {
    WIRE_FIELD_STR(message_probed, node, 0),
    WIRE_FIELD_STR(message_probed, id, 0),
    WIRE_FIELD_STR(message_probed, instance, 0),
    WIRE_FIELD_I32(message_probed, sent, OPT, 0, INT_MAX),
    WIRE_FIELD_I32(message_probed, answered, OPT, 0, INT_MAX),
    WIRE_FIELD_I32(message_probed, unproven, OPT, 0, INT_MAX),
    WIRE_FIELD_I64(message_probed, rtt_us, OPT, 0, INT64_MAX),
    WIRE_FIELD_STR(message_probed, text, OPT),
};
SHAPE(message_probed_shape, "node.probed", message_probed);

static const struct wire_field message_hello_fields[] = {
    WIRE_FIELD_STR(message_hello, node, 0),
    WIRE_FIELD_STR(message_hello, site, 0),
    WIRE_FIELD_STR(message_hello, boot_id, 0),
    WIRE_FIELD_STR(message_hello, arch, 0),
    WIRE_FIELD_STR(message_hello, version, OPT),
    WIRE_FIELD_STR(message_hello, drivers, OPT),
    WIRE_FIELD_STR(message_hello, ingress, OPT),
    WIRE_FIELD_I64(message_hello, boot_us, 0, 0, INT64_MAX),
    WIRE_FIELD_I64(message_hello, mcpu, 0, 0, INT64_MAX),
    WIRE_FIELD_I64(message_hello, memory_bytes, 0, 0, INT64_MAX),
    WIRE_FIELD_STRUCT(message_hello, epoch, OPT, &epoch_shape),
    WIRE_FIELD_U64(message_hello, seq, OPT),
    WIRE_FIELD_ARRAY(message_hello, tags, tag_count, OPT, LIMIT_TAGS, &message_tag_shape),
    WIRE_FIELD_ARRAY(message_hello, instances, instance_count, OPT, LIMIT_NODE_INSTANCES,
                     &message_instance_shape),
};
SHAPE(message_hello_shape, "node.hello", message_hello);

static const struct wire_field message_beat_fields[] = {
    WIRE_FIELD_STR(message_beat, node, 0),
    WIRE_FIELD_STR(message_beat, boot_id, 0),
    WIRE_FIELD_I64(message_beat, boot_us, 0, 0, INT64_MAX),
    WIRE_FIELD_U64(message_beat, seq, OPT),
    WIRE_FIELD_I32(message_beat, instance_count, OPT, 0, INT_MAX),
    WIRE_FIELD_U64(message_beat, refused, OPT),
};
SHAPE(message_beat_shape, "node.beat", message_beat);

#define NAME_TEXT(s, m) WIRE_FIELD_TEXT(s, m, OPT, LIMIT_NAME_BYTES - 1)
#define NAMESPACE_TEXT(s)                                                       \
    {                                                                           \
        .name = "namespace", .kind = WIRE_TEXT, .flags = OPT,                   \
        .offset = offsetof(struct s, namespace_), .size = sizeof(const char *), \
        .max = LIMIT_NAME_BYTES - 1                                             \
    }

static const struct wire_field message_sample_fields[] = {
    WIRE_FIELD_ENUM(message_sample, kind, 0, sample_kind_words),
    NAMESPACE_TEXT(message_sample),
    NAME_TEXT(message_sample, app),
    NAME_TEXT(message_sample, workload),
    WIRE_FIELD_TEXT(message_sample, instance, OPT, LIMIT_ID_BYTES - 1),
    NAME_TEXT(message_sample, segment),
    WIRE_FIELD_TEXT(message_sample, peer, OPT, LIMIT_REF_BYTES - 1),
    WIRE_FIELD_TEXT(message_sample, site, OPT, LIMIT_REF_BYTES - 1),
    WIRE_FIELD_U64(message_sample, life, OPT),
    WIRE_FIELD_I64(message_sample, value, 0, INT64_MIN, INT64_MAX),
};
SHAPE(message_sample_shape, "sample", message_sample);

static const struct wire_field message_sketch_fields[] = {
    WIRE_FIELD_ENUM(message_sketch, kind, 0, sample_kind_words),
    NAMESPACE_TEXT(message_sketch),
    NAME_TEXT(message_sketch, app),
    NAME_TEXT(message_sketch, workload),
    WIRE_FIELD_TEXT(message_sketch, instance, OPT, LIMIT_ID_BYTES - 1),
    NAME_TEXT(message_sketch, segment),
    WIRE_FIELD_TEXT(message_sketch, peer, OPT, LIMIT_REF_BYTES - 1),
    WIRE_FIELD_TEXT(message_sketch, site, OPT, LIMIT_REF_BYTES - 1),
    WIRE_FIELD_I32(message_sketch, scale, OPT, -10, 20),
    WIRE_FIELD_I32(message_sketch, offset, OPT, INT_MIN, INT_MAX),
    WIRE_FIELD_I64(message_sketch, zero_count, OPT, 0, INT64_MAX),
    WIRE_FIELD_I64(message_sketch, count, 0, 0, INT64_MAX),
    WIRE_FIELD_I64(message_sketch, sum, OPT, 0, INT64_MAX),
    WIRE_FIELD_COUNTS(message_sketch, counts, count_count, OPT, LIMIT_SKETCH_BUCKETS),
};
SHAPE(message_sketch_shape, "sketch", message_sketch);

static const struct wire_field message_batch_fields[] = {
    WIRE_FIELD_STR(message_batch, node, 0),
    WIRE_FIELD_STR(message_batch, site, OPT),
    WIRE_FIELD_STR(message_batch, boot_id, 0),
    WIRE_FIELD_STR(message_batch, source, OPT),
    WIRE_FIELD_I64(message_batch, boot_us, 0, 0, INT64_MAX),
    WIRE_FIELD_U64(message_batch, seq, OPT),
    WIRE_FIELD_ARRAY(message_batch, samples, sample_count, OPT, LIMIT_SAMPLES_BATCH,
                     &message_sample_shape),
    WIRE_FIELD_ARRAY(message_batch, sketches, sketch_count, OPT, LIMIT_SKETCHES_BATCH,
                     &message_sketch_shape),
    WIRE_FIELD_BOOL(message_batch, ingress, OPT),
};
SHAPE(message_batch_shape, "node.metrics", message_batch);

static const struct wire_field message_event_fields[] = {
    WIRE_FIELD_U64(message_event, seq, 0),
    WIRE_FIELD_I64(message_event, wall_us, 0, INT64_MIN, INT64_MAX),
    WIRE_FIELD_STR(message_event, name, 0),
    WIRE_FIELD_STR_AS(message_event, namespace_, "namespace", OPT),
    WIRE_FIELD_STR(message_event, app, OPT),
    WIRE_FIELD_STR(message_event, workload, OPT),
    WIRE_FIELD_STR(message_event, handoff, OPT),
    WIRE_FIELD_STR(message_event, instance, OPT),
    WIRE_FIELD_STR(message_event, node, OPT),
    WIRE_FIELD_STR(message_event, state, OPT),
    WIRE_FIELD_STR(message_event, text, OPT),
};
SHAPE(message_event_shape, "event", message_event);

static const struct wire_field message_request_fields[] = {
    WIRE_FIELD_STR(message_request, id, 0),
    WIRE_FIELD_STR_AS(message_request, namespace_, "namespace", OPT),
    WIRE_FIELD_STR(message_request, app, OPT),
    WIRE_FIELD_STR(message_request, workload, OPT),
    WIRE_FIELD_STR(message_request, kind, OPT),
    WIRE_FIELD_STR(message_request, key, OPT),
    WIRE_FIELD_STR(message_request, value, OPT),
    WIRE_FIELD_TEXT(message_request, document, OPT, LIMIT_WIRE_BYTES),
    WIRE_FIELD_U64(message_request, version, OPT),
    WIRE_FIELD_U64(message_request, since, OPT),
    WIRE_FIELD_BOOL(message_request, certificate, OPT),
    WIRE_FIELD_U64(message_request, time_limit_us, OPT),
    WIRE_FIELD_U64(message_request, memory_limit_bytes, OPT),
    WIRE_FIELD_U64(message_request, gap_ppm, OPT),
};
SHAPE(message_request_shape, "ctl.request", message_request);

static const struct wire_field message_reply_fields[] = {
    WIRE_FIELD_STR(message_reply, id, 0),
    WIRE_FIELD_I32(message_reply, code, OPT, CODE_MIN, CODE_MAX),
    WIRE_FIELD_TEXT(message_reply, text, OPT, LIMIT_WIRE_BYTES),
    WIRE_FIELD_U64(message_reply, version, OPT),
    WIRE_FIELD_TEXT(message_reply, body, OPT, LIMIT_WIRE_BYTES),
};
SHAPE(message_reply_shape, "ctl.reply", message_reply);

const struct wire_shape *const message_shapes[] = {
    &message_spec_shape,    &message_command_shape, &message_answer_shape, &message_instance_shape,
    &message_report_shape,  &message_probed_shape,  &message_hello_shape,  &message_beat_shape,
    &message_sample_shape,  &message_sketch_shape,  &message_batch_shape,  &message_event_shape,
    &message_request_shape, &message_reply_shape,   &message_object_shape, &message_server_shape,
    &message_route_shape,
};
/* clang-format on */
const int message_shape_count = (int)COUNT(message_shapes);
