#include "model/app.h"

#include <string.h>

#include "base/str.h"
#include "model/json_out.h"
#include "model/read.h"
#include "model/weights.h"

static int copy_workload(const struct workload *from, struct arena *arena, struct workload *to);
static int copy_variant(const struct variant *from, struct arena *arena, struct variant *to);
static int copy_array(struct arena *arena, const void *from, int count, size_t bytes_each,
                      void *ret_copy);
static int copy_failed(struct error *err);
static int unknown_workload(const struct app *app, const char *name, struct error *err);
static int retag(struct tags *require, const char *key, const char *value, struct arena *arena);
static int retag_allowed(const struct app *app, const struct workload *workload, const char *key,
                         const char *value, struct error *err);

int app_parse(const char *file, const char *text, size_t bytes, struct arena *arena,
              struct app *ret_app, struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_parse(file, text, bytes, &doc, err);
    return rc < 0 ? rc : app_from_doc(doc, arena, ret_app, err);
}

int app_workload(const struct app *app, const char *name)
{
    for (int i = 0; i < app->workload_count; i++) {
        if (str_equal(app->workloads[i].name, name)) {
            return i;
        }
    }
    return -1;
}

int app_copy(const struct app *app, struct arena *arena, struct app *ret_app)
{
    struct app copy = *app;
    if (copy_array(arena, app->workloads, app->workload_count, sizeof(struct workload),
                   &copy.workloads) < 0 ||
        copy_array(arena, app->segments, app->segment_count, sizeof(struct segment),
                   &copy.segments) < 0 ||
        copy_array(arena, app->links, app->link_count, sizeof(struct link), &copy.links) < 0 ||
        copy_array(arena, app->aparts, app->apart_count, sizeof(struct apart), &copy.aparts) < 0) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < app->workload_count; i++) {
        if (copy_workload(&app->workloads[i], arena, &copy.workloads[i]) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    for (int i = 0; i < app->apart_count; i++) {
        if (copy_array(arena, app->aparts[i].workloads, app->aparts[i].count, sizeof(int),
                       &copy.aparts[i].workloads) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    *ret_app = copy;
    return 0;
}

int app_family(const struct app *app, const char *name, int *out, int max)
{
    int own = app_workload(app, name);
    int count = 0;
    for (int i = 0; i < app->workload_count; i++) {
        if (i == own || (own < 0 && name[0] != '\0' && str_equal(app->workloads[i].family, name))) {
            if (count < max) {
                out[count] = i;
            }
            count++;
        }
    }
    return count < max ? count : max;
}

struct weights app_weights(const struct app *app, const struct world *world)
{
    return weights_over(&world->weights, &app->weights, app->weights_stated);
}

int app_retag(const struct app *app, const char *workload, const char *key, const char *value,
              struct arena *arena, struct app *ret_app, struct error *err)
{
    int members[LIMIT_APP_WORKLOADS];
    int count = app_family(app, workload, members, LIMIT_APP_WORKLOADS);
    if (count == 0) {
        return unknown_workload(app, workload, err);
    }
    for (int i = 0; i < count; i++) {
        int rc = retag_allowed(app, &app->workloads[members[i]], key, value, err);
        if (rc < 0) {
            return rc;
        }
    }
    struct app copy;
    if (app_copy(app, arena, &copy) < 0) {
        return copy_failed(err);
    }
    for (int i = 0; i < count; i++) {
        if (retag(&copy.workloads[members[i]].require, key, value, arena) < 0) {
            return copy_failed(err);
        }
    }
    *ret_app = copy;
    return 0;
}

uint64_t workload_spec_hash(const struct workload *workload)
{
    struct json_out json;
    json_out_init(&json, NULL);
    for (int i = 0; i < workload->variant_count; i++) {
        const struct variant *variant = &workload->variants[i];
        json_string(&json, "variant", variant->name);
        json_string(&json, "driver", variant->driver);
        json_string(&json, "arch", variant->arch);
        /* The digest says what runs; where the bytes lie does not make them another version. */
        json_string(&json, "bytes",
                    variant->digest[0] != '\0' ? variant->digest : variant->artifact);
        for (int k = 0; k < variant->arg_count; k++) {
            json_string(&json, "arg", variant->args[k]);
        }
        for (int k = 0; k < variant->env_count; k++) {
            json_string(&json, variant->env[k].name, variant->env[k].value);
        }
        for (int k = 0; k < RESOURCE_COUNT; k++) {
            if (variant->reserve[k] >= 0) {
                json_int(&json, "reserve", variant->reserve[k]);
                json_int(&json, "resource", k);
            }
        }
    }
    json_string(&json, "kind", workload_kind_words[workload->kind]);
    json_string(&json, "handoff", handoff_class_words[workload->handoff]);
    json_bool(&json, "contract", workload->contract);
    json_int(&json, "cpu", workload->reserve[RESOURCE_CPU]);
    json_int(&json, "memory", workload->reserve[RESOURCE_MEMORY]);
    json_int(&json, "pids", workload->pids_max);
    json_int(&json, "ready", workload->ready.kind);
    json_string(&json, "target", workload->ready.target);
    json_duration(&json, "period", workload->ready.period_us);
    json_duration(&json, "timeout", workload->ready.timeout_us);
    json_duration(&json, "start", workload->start_timeout_us);
    json_duration(&json, "drain", workload->drain_timeout_us);
    json_duration(&json, "stop", workload->stop_timeout_us);
    json_int(&json, "restarts", workload->restarts_max);
    /* Said only where there is any, so that what has none is the version that it was. Where
     * requests for it come from changes nothing of what runs. */
    if (workload->ready.failures > 0) {
        json_int(&json, "failures", workload->ready.failures);
    }
    if (workload->live.kind != 0) {
        json_int(&json, "live", workload->live.kind);
        json_string(&json, "target", workload->live.target);
        json_duration(&json, "period", workload->live.period_us);
        json_duration(&json, "timeout", workload->live.timeout_us);
        json_int(&json, "failures", workload->live.failures);
    }
    if (workload->http.path[0] != '\0') {
        json_bool(&json, "http", true);
    }
    return json.hash;
}

static int copy_workload(const struct workload *from, struct arena *arena, struct workload *to)
{
    *to = *from;
    if (copy_array(arena, from->variants, from->variant_count, sizeof(struct variant),
                   &to->variants) < 0 ||
        copy_array(arena, from->require.list, from->require.count, sizeof(struct tag),
                   &to->require.list) < 0 ||
        copy_array(arena, from->curve, from->curve_count, sizeof(struct hit_point), &to->curve) <
            0 ||
        copy_array(arena, from->measures.list, from->measures.count, sizeof(struct measure),
                   &to->measures.list) < 0) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < from->variant_count; i++) {
        if (copy_variant(&from->variants[i], arena, &to->variants[i]) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

static int copy_variant(const struct variant *from, struct arena *arena, struct variant *to)
{
    *to = *from;
    if (copy_array(arena, from->args, from->arg_count, sizeof(from->args[0]), &to->args) < 0 ||
        copy_array(arena, from->env, from->env_count, sizeof(from->env[0]), &to->env) < 0) {
        return ERR_NO_MEMORY;
    }
    return 0;
}

/* Writes the copy's address to the pointer that `ret_copy` points to; NULL for an empty array. */
static int copy_array(struct arena *arena, const void *from, int count, size_t bytes_each,
                      void *ret_copy)
{
    void *copy = NULL;
    if (count > 0) {
        copy = arena_copy(arena, from, (size_t)count * bytes_each);
        if (copy == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    memcpy(ret_copy, &copy, sizeof(copy));
    return 0;
}

static int copy_failed(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the app's copy with the new tag");
}

static int unknown_workload(const struct app *app, const char *name, struct error *err)
{
    const char *names[LIMIT_APP_WORKLOADS * 2];
    size_t count = 0;
    for (int i = 0; i < app->workload_count; i++) {
        names[count++] = app->workloads[i].name;
        if (app->workloads[i].family[0] != '\0') {
            names[count++] = app->workloads[i].family;
        }
    }
    const char *nearest = str_nearest(name, names, count);
    return error_set(err, ERR_NOT_FOUND, 0, "app %s/%s has no workload \"%.80s\"%s%s%s",
                     app->namespace_, app->name, name, nearest != NULL ? "; did you mean \"" : "",
                     nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
}

/* The tag that is changed goes first, then comes back in its order with its new value. */
static int retag(struct tags *require, const char *key, const char *value, struct arena *arena)
{
    struct tags changed = {arena_array(arena, (size_t)require->count + 1, sizeof(struct tag)), 0};
    if (changed.list == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < require->count; i++) {
        if (!str_equal(require->list[i].key, key)) {
            changed.list[changed.count++] = require->list[i];
        }
    }
    if (value[0] != '\0') {
        tags_add(&changed, key, value);
    }
    *require = changed;
    return 0;
}

static int retag_allowed(const struct app *app, const struct workload *workload, const char *key,
                         const char *value, struct error *err)
{
    if (!tag_key_is_valid(key)) {
        return error_set(err, ERR_INVALID, 0,
                         "\"%.80s\" is no tag key: 1 to 63 of a-z, 0-9, '-', '_' and '.'", key);
    }
    if (value[0] == '\0') {
        return 0;
    }
    if (!tag_value_is_valid(value)) {
        return error_set(err, ERR_INVALID, 0,
                         "\"%.80s\" is no tag value: 1 to 63 of letters, digits, '-', '_', '.' "
                         "and '/'",
                         value);
    }
    if (tags_get(&workload->require, key) == NULL && workload->require.count >= LIMIT_TAGS) {
        return error_set(err, ERR_LIMIT, 0, "%s/%s/%s has %d tags already; LIMIT_TAGS is %d",
                         app->namespace_, app->name, workload->name, workload->require.count,
                         LIMIT_TAGS);
    }
    if (workload->pin[0] == '\0') {
        return 0;
    }
    /* Without a world, a pin still says its provider and region: "gcp/us-central1". */
    const char *slash = strchr(workload->pin, '/');
    size_t provider_bytes = slash == NULL ? strlen(workload->pin) : (size_t)(slash - workload->pin);
    bool contradicts = false;
    if (str_equal(key, "cloud")) {
        contradicts =
            strlen(value) != provider_bytes || strncmp(value, workload->pin, provider_bytes) != 0;
    } else if (str_equal(key, "region")) {
        contradicts = slash != NULL && !str_equal(slash + 1, value);
    }
    if (contradicts) {
        return error_set(
            err, ERR_INVALID, 0,
            "%s/%s/%s is pinned to %s, which contradicts the tag %s=%s; remove the pin "
            "or choose another tag",
            app->namespace_, app->name, workload->name, workload->pin, key, value);
    }
    return 0;
}
