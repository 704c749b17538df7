#include "metrics/otlp.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/names.h"

#define OTLP_BUCKETS_MAX LIMIT_HISTOGRAM_BUCKETS /* of one point, explicit or exponential */
#define NO_RECORDED      1                       /* a point's flag: there is no value */

struct labels {
    struct metric_label list[LIMIT_METRIC_LABELS];
    int count;
};

struct otlp_walk {
    struct arena *arena;
    const struct otlp_handler *handler;
    struct otlp_result result;
    struct labels resource;
    const char *metric;
    const char *unit;
    enum metric_type type;
    struct otlp_nature nature;
    bool temporal; /* of a kind that must say its temporality */
};

typedef bool point_reader(struct otlp_walk *walk, const json_t *point,
                          struct metric_sample *sample);

static void walk_resource(struct otlp_walk *walk, const json_t *resource_metrics);
static void walk_metric(struct otlp_walk *walk, const json_t *metric);
static void walk_points(struct otlp_walk *walk, const json_t *data, point_reader *reader);
static point_reader number_point;
static point_reader histogram_point;
static point_reader exponential_point;
static point_reader summary_point;
static bool emit(struct otlp_walk *walk, struct metric_sample *sample, const char *suffix,
                 enum metric_type type, double value);
static bool emit_buckets(struct otlp_walk *walk, struct metric_sample *sample, const json_t *counts,
                         const json_t *bounds, double total);
static bool labels_add(struct otlp_walk *walk, struct labels *labels, const json_t *attributes);
static const char *attribute_text(struct otlp_walk *walk, const json_t *value);
static const char *label_name(struct otlp_walk *walk, const char *key);
static bool number_of(const json_t *json, double *ret_value);
static int64_t milliseconds_of(const json_t *json);
static bool temporality_of(const json_t *data, bool *ret_delta);
static bool refuse(struct otlp_walk *walk, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

int otlp_read(const char *text, size_t bytes, struct arena *arena,
              const struct otlp_handler *handler, struct otlp_result *ret_result, struct error *err)
{
    if (bytes > LIMIT_OTLP_BYTES)
        return error_set(err, ERR_LIMIT, 0, "the request has more than %d bytes (LIMIT_OTLP_BYTES)",
                         LIMIT_OTLP_BYTES);
    json_error_t problem;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL)
        return error_set(err, ERR_INVALID, 0, "the request is not JSON: line %d, column %d: %s",
                         problem.line, problem.column, problem.text);
    const json_t *list = json_object_get(root, "resourceMetrics");
    if (!json_is_object(root) || (list != NULL && !json_is_array(list))) {
        json_decref(root);
        return error_set(err, ERR_INVALID, 0,
                         "the request is no ExportMetricsServiceRequest: \"resourceMetrics\" must "
                         "be a list in an object");
    }
    struct otlp_walk *walk = arena_alloc(arena, sizeof(*walk));
    if (walk == NULL) {
        json_decref(root);
        return error_set(err, ERR_NO_MEMORY, 0, "an OTLP request");
    }
    walk->arena = arena;
    walk->handler = handler;
    for (size_t i = 0; i < json_array_size(list); i++)
        walk_resource(walk, json_array_get(list, i));
    *ret_result = walk->result;
    json_decref(root);
    return 0;
}

static void walk_resource(struct otlp_walk *walk, const json_t *resource_metrics)
{
    const json_t *resource = json_object_get(resource_metrics, "resource");
    const json_t *scopes = json_object_get(resource_metrics, "scopeMetrics");
    walk->resource.count = 0;
    bool known = labels_add(walk, &walk->resource, json_object_get(resource, "attributes"));
    for (size_t i = 0; i < json_array_size(scopes); i++) {
        const json_t *metrics = json_object_get(json_array_get(scopes, i), "metrics");
        for (size_t k = 0; k < json_array_size(metrics); k++) {
            if (known)
                walk_metric(walk, json_array_get(metrics, k));
            else
                (void)refuse(walk, "a resource with attributes that are none, or too many");
        }
    }
}

static void walk_metric(struct otlp_walk *walk, const json_t *metric)
{
    static const struct {
        const char *member;
        enum metric_type type;
        bool temporal;
        point_reader *reader;
    } kinds[] = {
        {"sum", METRIC_COUNTER, true, number_point},
        {"gauge", METRIC_GAUGE, false, number_point},
        {"histogram", METRIC_HISTOGRAM, true, histogram_point},
        {"exponentialHistogram", METRIC_HISTOGRAM, true, exponential_point},
        {"summary", METRIC_SUMMARY, false, summary_point},
    };
    walk->metric = json_string_value(json_object_get(metric, "name"));
    walk->unit = json_string_value(json_object_get(metric, "unit"));
    if (walk->metric == NULL || walk->metric[0] == 0) {
        (void)refuse(walk, "a metric without a name");
        return;
    }
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const json_t *data = json_object_get(metric, kinds[i].member);
        if (data == NULL)
            continue;
        walk->type = kinds[i].type;
        walk->nature = (struct otlp_nature){.delta = false};
        walk->temporal = kinds[i].temporal;
        if (walk->type == METRIC_COUNTER && !json_is_true(json_object_get(data, "isMonotonic"))) {
            walk->type = METRIC_GAUGE; /* an up-down counter: its value, when it is a total */
            bool delta = false;
            if (!temporality_of(data, &delta) || delta) {
                (void)refuse(walk, "%.80s: the changes of a sum that goes up and down",
                             walk->metric);
                return;
            }
        }
        walk_points(walk, data, kinds[i].reader);
        return;
    }
}

static void walk_points(struct otlp_walk *walk, const json_t *data, point_reader *reader)
{
    const json_t *points = json_object_get(data, "dataPoints");
    bool known = !walk->temporal || temporality_of(data, &walk->nature.delta);
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *point = json_array_get(points, i);
        if ((json_integer_value(json_object_get(point, "flags")) & NO_RECORDED) != 0)
            continue;
        walk->result.points++;
        struct labels labels = {.count = 0};
        if (!known) {
            (void)refuse(walk, "%.80s: its aggregationTemporality is neither cumulative nor delta",
                         walk->metric);
            continue;
        }
        if (!labels_add(walk, &labels, json_object_get(point, "attributes"))) {
            (void)refuse(walk, "%.80s: a point with attributes that are none, or too many",
                         walk->metric);
            continue;
        }
        bool room = true;
        for (int k = 0; k < walk->resource.count && room; k++) {
            bool own = false; /* the point's own attribute comes first */
            for (int l = 0; l < labels.count && !own; l++)
                own = str_equal(labels.list[l].name, walk->resource.list[k].name);
            room = own || labels.count < LIMIT_METRIC_LABELS - 1; /* one is left for "le" */
            if (!own && room)
                labels.list[labels.count++] = walk->resource.list[k];
        }
        if (!room) {
            (void)refuse(walk, "%.80s: more attributes than LIMIT_METRIC_LABELS", walk->metric);
            continue;
        }
        struct metric_sample sample = {.labels = labels.list, .label_count = labels.count};
        sample.time_ms = milliseconds_of(json_object_get(point, "timeUnixNano"));
        sample.has_time = sample.time_ms > 0;
        walk->nature.start_ms = milliseconds_of(json_object_get(point, "startTimeUnixNano"));
        (void)reader(walk, point, &sample);
    }
}

static bool number_point(struct otlp_walk *walk, const json_t *point, struct metric_sample *sample)
{
    double value = 0;
    const json_t *json = json_object_get(point, "asInt");
    if (json == NULL)
        json = json_object_get(point, "asDouble");
    if (!number_of(json, &value))
        return refuse(walk, "%.80s: a point without a number", walk->metric);
    if (walk->type == METRIC_COUNTER && !(value >= 0))
        return refuse(walk, "%.80s: a counter is %g, less than 0", walk->metric, value);
    return emit(walk, sample, "", walk->type, value);
}

static bool histogram_point(struct otlp_walk *walk, const json_t *point,
                            struct metric_sample *sample)
{
    double count = 0;
    double sum = 0;
    const json_t *counts = json_object_get(point, "bucketCounts");
    const json_t *bounds = json_object_get(point, "explicitBounds");
    if (!number_of(json_object_get(point, "count"), &count) || !(count >= 0))
        return refuse(walk, "%.80s: a histogram without a count", walk->metric);
    size_t buckets = json_array_size(counts);
    if (buckets > OTLP_BUCKETS_MAX || (buckets > 0 && buckets != json_array_size(bounds) + 1))
        return refuse(walk, "%.80s: %zu buckets with %zu bounds", walk->metric, buckets,
                      json_array_size(bounds));
    if (buckets > 0 && !emit_buckets(walk, sample, counts, bounds, count))
        return false;
    if (number_of(json_object_get(point, "sum"), &sum) && !(sum >= 0))
        return refuse(walk, "%.80s: the sum of a histogram is %g", walk->metric, sum);
    bool told = emit(walk, sample, "_count", METRIC_HISTOGRAM, count);
    if (told && json_object_get(point, "sum") != NULL)
        told = emit(walk, sample, "_sum", METRIC_HISTOGRAM, sum);
    return told;
}

/* Cumulative counts, as on a page; checked whole before any is told. */
static bool emit_buckets(struct otlp_walk *walk, struct metric_sample *sample, const json_t *counts,
                         const json_t *bounds, double total)
{
    double cumulative[OTLP_BUCKETS_MAX];
    double bound[OTLP_BUCKETS_MAX];
    double sum = 0;
    size_t buckets = json_array_size(counts);
    for (size_t i = 0; i < buckets; i++) {
        double count = 0;
        bound[i] = INFINITY;
        if (!number_of(json_array_get(counts, i), &count) || !(count >= 0))
            return refuse(walk, "%.80s: a bucket without a count", walk->metric);
        if (i + 1 < buckets && (!number_of(json_array_get(bounds, i), &bound[i]) ||
                                (i > 0 && !(bound[i] > bound[i - 1]))))
            return refuse(walk, "%.80s: the bounds do not rise", walk->metric);
        sum += count;
        cumulative[i] = sum;
    }
    if (sum < total || sum > total)
        return refuse(walk, "%.80s: the buckets hold %g, the count says %g", walk->metric, sum,
                      total);
    struct labels labels = {.count = sample->label_count};
    memcpy(labels.list, sample->labels, (size_t)sample->label_count * sizeof(labels.list[0]));
    struct metric_sample bucket = *sample;
    bucket.labels = labels.list;
    bucket.label_count++;
    for (size_t i = 0; i < buckets; i++) {
        char le[40];
        if (isinf(bound[i]))
            str_format(le, sizeof(le), "+Inf");
        else
            str_format(le, sizeof(le), "%.17g", bound[i]);
        labels.list[labels.count] = (struct metric_label){.name = "le", .value = le};
        if (!emit(walk, &bucket, "_bucket", METRIC_HISTOGRAM, cumulative[i]))
            return false;
    }
    return true;
}

static bool exponential_point(struct otlp_walk *walk, const json_t *point,
                              struct metric_sample *sample)
{
    const json_t *positive = json_object_get(point, "positive");
    const json_t *list = json_object_get(positive, "bucketCounts");
    const json_t *negative = json_object_get(json_object_get(point, "negative"), "bucketCounts");
    double count = 0;
    double sum = 0;
    double zero = 0;
    double scale = 0;
    double offset = 0;
    double counts[OTLP_BUCKETS_MAX];
    size_t buckets = json_array_size(list);
    if (!number_of(json_object_get(point, "count"), &count) || !(count >= 0))
        return refuse(walk, "%.80s: a histogram without a count", walk->metric);
    (void)number_of(json_object_get(point, "scale"), &scale); /* absent is 0 */
    (void)number_of(json_object_get(positive, "offset"), &offset);
    (void)number_of(json_object_get(point, "zeroCount"), &zero);
    if (buckets > OTLP_BUCKETS_MAX || !(scale >= -10 && scale <= 20) || !(fabs(offset) < 1e9) ||
        !(zero >= 0))
        return refuse(walk, "%.80s: scale %g, offset %g, %zu buckets: out of range", walk->metric,
                      scale, offset, buckets);
    double held = zero;
    for (size_t i = 0; i < json_array_size(negative); i++) {
        double below = 0;
        if (!number_of(json_array_get(negative, i), &below) || below < 0 || below > 0)
            return refuse(walk, "%.80s: values below 0", walk->metric);
    }
    for (size_t i = 0; i < buckets; i++) {
        if (!number_of(json_array_get(list, i), &counts[i]) || !(counts[i] >= 0))
            return refuse(walk, "%.80s: a bucket without a count", walk->metric);
        held += counts[i];
    }
    if (held < count || held > count)
        return refuse(walk, "%.80s: the buckets hold %g, the count says %g", walk->metric, held,
                      count);
    if (number_of(json_object_get(point, "sum"), &sum) && !(sum >= 0))
        return refuse(walk, "%.80s: the sum of a histogram is %g", walk->metric, sum);
    struct otlp_exponential exponential = {.scale = (int)scale,
                                           .offset = (int64_t)offset,
                                           .zero_count = zero,
                                           .counts = counts,
                                           .count = (int)buckets};
    struct metric_sample whole = *sample;
    char name[LIMIT_METRIC_NAME_BYTES];
    char full[LIMIT_METRIC_NAME_BYTES + 8];
    if (!names_from_otel(walk->metric, walk->unit, METRIC_HISTOGRAM, name))
        return refuse(walk, "%.80s...: the name is too long", walk->metric);
    str_format(full, sizeof(full), "%s_bucket", name);
    whole.name = full;
    whole.name_bytes = strlen(full);
    whole.type = METRIC_HISTOGRAM;
    whole.hash = metric_hash(whole.name, whole.labels, whole.label_count);
    walk->handler->exponential(walk->handler->context, &whole, &walk->nature, &exponential);
    bool told = emit(walk, sample, "_count", METRIC_HISTOGRAM, count);
    if (told && json_object_get(point, "sum") != NULL)
        told = emit(walk, sample, "_sum", METRIC_HISTOGRAM, sum);
    return told;
}

static bool summary_point(struct otlp_walk *walk, const json_t *point, struct metric_sample *sample)
{
    double count = 0;
    double sum = 0;
    if (!number_of(json_object_get(point, "count"), &count) || !(count >= 0) ||
        !number_of(json_object_get(point, "sum"), &sum) || !(sum >= 0))
        return refuse(walk, "%.80s: a summary without count and sum", walk->metric);
    return emit(walk, sample, "_count", METRIC_SUMMARY, count) &&
           emit(walk, sample, "_sum", METRIC_SUMMARY, sum);
}

static bool emit(struct otlp_walk *walk, struct metric_sample *sample, const char *suffix,
                 enum metric_type type, double value)
{
    char name[LIMIT_METRIC_NAME_BYTES];
    char full[LIMIT_METRIC_NAME_BYTES + 8];
    if (!names_from_otel(walk->metric, walk->unit, type, name))
        return refuse(walk, "%.80s...: the name is too long", walk->metric);
    str_format(full, sizeof(full), "%s%s", name, suffix);
    sample->name = full;
    sample->name_bytes = strlen(full);
    sample->type = type;
    sample->value = value;
    sample->hash = metric_hash(full, sample->labels, sample->label_count);
    walk->handler->sample(walk->handler->context, sample, &walk->nature);
    return true;
}

/* Attributes that are lists or maps say nothing that is looked for here: left out. */
static bool labels_add(struct otlp_walk *walk, struct labels *labels, const json_t *attributes)
{
    for (size_t i = 0; i < json_array_size(attributes); i++) {
        const json_t *attribute = json_array_get(attributes, i);
        const char *key = json_string_value(json_object_get(attribute, "key"));
        const char *name = key == NULL || key[0] == 0 ? NULL : label_name(walk, key);
        if (name == NULL)
            return false;
        const char *text = attribute_text(walk, json_object_get(attribute, "value"));
        if (text == NULL || text[0] == 0)
            continue;
        bool known = false;
        for (int k = 0; k < labels->count && !known; k++)
            known = str_equal(labels->list[k].name, name);
        if (known)
            continue;
        if (labels->count == LIMIT_METRIC_LABELS - 1)
            return false;
        labels->list[labels->count++] = (struct metric_label){.name = name, .value = text};
    }
    return true;
}

static const char *attribute_text(struct otlp_walk *walk, const json_t *value)
{
    const json_t *json = json_object_get(value, "stringValue");
    if (json_is_string(json))
        return json_string_value(json);
    json = json_object_get(value, "boolValue");
    if (json_is_boolean(json))
        return json_is_true(json) ? "true" : "false";
    json =
        json_object_get(value, "intValue"); /* 64 bits: a string, by the JSON rules of protobuf */
    if (json_is_string(json))
        return json_string_value(json);
    if (json_is_integer(json))
        return arena_printf(walk->arena, "%lld", (long long)json_integer_value(json));
    json = json_object_get(value, "doubleValue");
    if (json_is_number(json))
        return arena_printf(walk->arena, "%.17g", json_number_value(json));
    return NULL;
}

static const char *label_name(struct otlp_walk *walk, const char *key)
{
    char *name = arena_strdup(walk->arena, key);
    for (char *at = name; at != NULL && *at != 0; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
              (*at >= '0' && *at <= '9')))
            *at = '_';
    return name;
}

/* A number, or the text of one: 64-bit integers travel as texts, NaN and infinities too. */
static bool number_of(const json_t *json, double *ret_value)
{
    double value = 0;
    if (json_is_number(json)) {
        value = json_number_value(json);
    } else if (json_is_string(json)) {
        const char *text = json_string_value(json);
        char *end = NULL;
        if (text[0] == 0 || text[0] == ' ')
            return false;
        value = strtod(text, &end);
        if (*end != 0)
            return false;
    } else {
        return false;
    }
    if (!isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

static int64_t milliseconds_of(const json_t *json)
{
    double nanoseconds = 0;
    if (!number_of(json, &nanoseconds) || !(nanoseconds > 0 && nanoseconds < 9.2e18))
        return 0;
    return (int64_t)(nanoseconds / 1e6);
}

static bool temporality_of(const json_t *data, bool *ret_delta)
{
    const json_t *json = json_object_get(data, "aggregationTemporality");
    const char *word = json_string_value(json);
    json_int_t number = json_integer_value(json);
    if (number == 1 || (word != NULL && str_equal(word, "AGGREGATION_TEMPORALITY_DELTA")))
        *ret_delta = true;
    else if (number == 2 || (word != NULL && str_equal(word, "AGGREGATION_TEMPORALITY_CUMULATIVE")))
        *ret_delta = false;
    else
        return false;
    return true;
}

static bool refuse(struct otlp_walk *walk, const char *format, ...)
{
    walk->result.rejected++;
    if (walk->result.reason[0] == 0) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(walk->result.reason, sizeof(walk->result.reason), format, arguments);
        va_end(arguments);
    }
    return false;
}
