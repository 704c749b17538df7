/* Writing an app as canonical JSON, which reads back to an equal app. */
#include <inttypes.h>

#include "base/str.h"
#include "base/wire/messages.h"
#include "model/app.h"
#include "model/app_words.h"
#include "model/json_out.h"
#include "model/measures.h"
#include "model/weights.h"

static void write_app(const struct app *app, struct json_out *json);
static void write_workload(const struct app *app, const struct workload *workload,
                           struct json_out *json);
static void write_data_set(const struct app *app, const struct workload *workload,
                           struct json_out *json);
static void write_part(const struct app *app, const struct workload *workload,
                       struct json_out *json);
static void write_tiers(unsigned tiers, struct json_out *json);
static void write_cache(const struct workload *workload, struct json_out *json);
static void write_where(const struct workload *workload, struct json_out *json);
static void write_variant(const struct variant *variant, struct json_out *json);
static void write_placement(const struct workload *workload, struct json_out *json);
static void write_running(const struct workload *workload, struct json_out *json);
static void write_judge(const char *key, const struct readiness *judge, struct json_out *json);
static void write_reached(const struct workload *workload, struct json_out *json);
static void write_link(const struct app *app, const struct link *link, struct json_out *json);

void app_write(const struct app *app, struct strbuf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    write_app(app, &json);
}

uint64_t app_hash(const struct app *app)
{
    struct json_out json;
    json_out_init(&json, NULL);
    write_app(app, &json);
    return json.hash;
}

static void write_app(const struct app *app, struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "app", app->name);
    json_string(json, "namespace", app->namespace_);
    json_string(json, "moves", app_moves_words[app->moves]);
    weights_write(json, &app->weights, app->weights_stated);
    json_open(json, "workloads", '[');
    for (int i = 0; i < app->workload_count; i++) {
        if (app->workloads[i].kind != KIND_DATA) {
            write_workload(app, &app->workloads[i], json);
        }
    }
    json_close(json, ']');
    json_open(json, "data", '[');
    for (int i = 0; i < app->workload_count; i++) {
        if (app->workloads[i].kind == KIND_DATA) {
            write_data_set(app, &app->workloads[i], json);
        }
    }
    json_close(json, ']');
    json_open(json, "users", '[');
    for (int i = 0; i < app->segment_count; i++) {
        const struct segment *segment = &app->segments[i];
        json_open(json, NULL, '{');
        json_string(json, "name", segment->name);
        json_string(json, "site", segment->site);
        if (segment->device[0] != '\0') {
            json_string(json, "device", segment->device);
        }
        json_close(json, '}');
    }
    json_close(json, ']');
    json_open(json, "links", '[');
    for (int i = 0; i < app->link_count; i++) {
        write_link(app, &app->links[i], json);
    }
    json_close(json, ']');
    json_open(json, "apart", '[');
    for (int i = 0; i < app->apart_count; i++) {
        json_open(json, NULL, '[');
        for (int k = 0; k < app->aparts[i].count; k++) {
            json_string(json, NULL, app->workloads[app->aparts[i].workloads[k]].name);
        }
        json_close(json, ']');
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void write_workload(const struct app *app, const struct workload *workload,
                           struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "name", workload->name);
    write_part(app, workload, json);
    json_string(json, "kind", workload_kind_words[workload->kind]);
    json_string(json, "handoff", handoff_class_words[workload->handoff]);
    json_int(json, "replicas", workload->replicas);
    json_open(json, "variants", '[');
    for (int i = 0; i < workload->variant_count; i++) {
        write_variant(&workload->variants[i], json);
    }
    json_close(json, ']');
    json_open(json, "resources", '{');
    json_cpu(json, "cpu", workload->reserve[RESOURCE_CPU]);
    json_int(json, "memory", workload->reserve[RESOURCE_MEMORY]);
    json_int(json, "pids", workload->pids_max);
    json_close(json, '}');
    write_placement(workload, json);
    write_running(workload, json);
    measures_write(json, "measures", &workload->measures);
    json_close(json, '}');
}

static void write_data_set(const struct app *app, const struct workload *workload,
                           struct json_out *json)
{
    const struct data_set *data = &workload->data;
    char update[UNITS_TEXT_BYTES];
    json_open(json, NULL, '{');
    json_string(json, "name", workload->name);
    write_part(app, workload, json);
    json_int(json, "size", data->bytes);
    json_int(json, "copies", data->copies);
    json_millionths(json, "dedup", data->dedup_ppm);
    str_format(update, sizeof(update), "%" PRId64 "/s", data->update_bytes_s);
    json_string(json, "update", update);
    if (data->at[0] != '\0') {
        json_string(json, "at", data->at);
    }
    write_where(workload, json);
    measures_write(json, "measures", &workload->measures);
    json_close(json, '}');
}

static void write_part(const struct app *app, const struct workload *workload,
                       struct json_out *json)
{
    if (workload->family[0] == '\0') {
        return;
    }
    json_open(json, "part", '{');
    json_string(json, "of", workload->family);
    if (workload->segment >= 0) {
        json_string(json, "segment", app->segments[workload->segment].name);
    }
    json_close(json, '}');
}

static void write_variant(const struct variant *variant, struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "name", variant->name);
    json_string(json, "driver", variant->driver);
    if (variant->arch[0] != '\0') {
        json_string(json, "arch", variant->arch);
    }
    json_string(json, "artifact", variant->artifact);
    if (variant->digest[0] != '\0') {
        json_string(json, "digest", variant->digest);
    }
    json_open(json, "args", '[');
    for (int i = 0; i < variant->arg_count; i++) {
        json_string(json, NULL, variant->args[i]);
    }
    json_close(json, ']');
    json_open(json, "env", '{');
    for (int i = 0; i < variant->env_count; i++) {
        json_string(json, variant->env[i].name, variant->env[i].value);
    }
    json_close(json, '}');
    if (variant->cpu_ns_per_call > 0) {
        char text[UNITS_TEXT_BYTES];
        str_format(text, sizeof(text), "%" PRId64 "ns", variant->cpu_ns_per_call);
        json_string(json, "cpu_per_call", text);
    }
    if (variant->reserve[RESOURCE_CPU] >= 0) {
        json_cpu(json, "cpu", variant->reserve[RESOURCE_CPU]);
    }
    if (variant->reserve[RESOURCE_MEMORY] >= 0) {
        json_int(json, "memory", variant->reserve[RESOURCE_MEMORY]);
    }
    if (variant->tiers != 0) {
        write_tiers(variant->tiers, json);
    }
    if (variant->request_bytes >= 0) {
        json_int(json, "request", variant->request_bytes);
    }
    if (variant->response_bytes >= 0) {
        json_int(json, "response", variant->response_bytes);
    }
    json_close(json, '}');
}

static void write_placement(const struct workload *workload, struct json_out *json)
{
    write_where(workload, json);
    json_rate(json, "calls", workload->calls_mhz);
    write_cache(workload, json);
    json_int(json, "state", workload->state_bytes);
    json_int(json, "artifact_size", workload->artifact_bytes);
}

static void write_where(const struct workload *workload, struct json_out *json)
{
    json_open(json, "require", '{');
    for (int i = 0; i < workload->require.count; i++) {
        json_string(json, workload->require.list[i].key, workload->require.list[i].value);
    }
    json_close(json, '}');
    write_tiers(workload->tiers, json);
    if (workload->pin[0] != '\0') {
        json_string(json, "pin", workload->pin);
    }
}

static void write_tiers(unsigned tiers, struct json_out *json)
{
    json_open(json, "tiers", '[');
    for (unsigned tier = 0; tier < TIER_COUNT; tier++) {
        if ((tiers >> tier & 1) != 0) {
            json_string(json, NULL, tier_words[tier]);
        }
    }
    json_close(json, ']');
}

static void write_cache(const struct workload *workload, struct json_out *json)
{
    if (workload->hit_ppm < 0 && workload->curve_count == 0) {
        return;
    }
    json_open(json, "cache", '{');
    if (workload->curve_count == 0) {
        json_millionths(json, "hit_ratio", workload->hit_ppm);
    } else {
        json_open(json, "curve", '[');
        for (int i = 0; i < workload->curve_count; i++) {
            json_open(json, NULL, '{');
            json_rate(json, "calls", workload->curve[i].calls_mhz);
            json_millionths(json, "hit", workload->curve[i].hit_ppm);
            json_close(json, '}');
        }
        json_close(json, ']');
    }
    json_int(json, "warm", workload->warm_calls);
    json_close(json, '}');
}

static void write_running(const struct workload *workload, struct json_out *json)
{
    write_judge("ready", &workload->ready, json);
    if (workload->live.kind != READY_NONE) {
        write_judge("live", &workload->live, json);
    }
    write_reached(workload, json);
    json_bool(json, "contract", workload->contract);
    if (workload->checkpoint_us > 0) {
        json_duration(json, "checkpoint", workload->checkpoint_us);
    }
    json_open(json, "timeouts", '{');
    json_duration(json, "start", workload->start_timeout_us);
    json_duration(json, "drain", workload->drain_timeout_us);
    json_duration(json, "stop", workload->stop_timeout_us);
    json_close(json, '}');
    json_int(json, "restarts", workload->restarts_max);
}

static void write_judge(const char *key, const struct readiness *judge, struct json_out *json)
{
    json_open(json, key, '{');
    json_string(json, "kind", app_ready_words[judge->kind]);
    if (judge->target[0] != '\0') {
        json_string(json, "target", judge->target);
    }
    json_duration(json, "period", judge->period_us);
    json_duration(json, "timeout", judge->timeout_us);
    if (judge->failures > 0) {
        json_int(json, "failures", judge->failures);
    }
    json_close(json, '}');
}

static void write_reached(const struct workload *workload, struct json_out *json)
{
    const struct http_route *http = &workload->http;
    const struct update *update = &workload->update;
    if (http->path[0] == '\0') {
        return;
    }
    json_open(json, "http", '{');
    if (http->host[0] != '\0') {
        json_string(json, "host", http->host);
    }
    json_string(json, "path", http->path);
    if (http->probe[0] != '\0') {
        json_string(json, "probe", http->probe);
    }
    json_close(json, '}');
    if (update->canary_ppm == 0) {
        return;
    }
    json_open(json, "update", '{');
    json_millionths(json, "canary", update->canary_ppm);
    json_duration(json, "for", update->canary_us);
    json_int(json, "requests", update->requests_min);
    json_millionths(json, "errors", update->errors_max_ppm);
    json_millionths(json, "latency", update->latency_max_ppm);
    json_close(json, '}');
}

static void write_link(const struct app *app, const struct link *link, struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "from",
                link->from_kind == LINK_SEGMENT ? app->segments[link->from].name
                                                : app->workloads[link->from].name);
    json_string(json, "to", app->workloads[link->to].name);
    json_rate(json, "calls", link->calls_mhz);
    json_int(json, "request", link->request_bytes);
    json_int(json, "response", link->response_bytes);
    json_bool(json, "on_miss", link->on_miss);
    if (link->latency_max_us > 0) {
        json_duration(json, "latency_max", link->latency_max_us);
    }
    json_close(json, '}');
}
