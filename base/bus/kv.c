#include "base/bus/kv.h"

#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bus/bus_internal.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"

#define CALL_US      (5 * US_PER_S)
#define NO_MESSAGE   10037 /* JetStream's error codes */
#define NO_STREAM    10059
#define WRONG_LAST   10071 /* another revision than the one expected */
#define CONFIG_BYTES 1024

static void config_write(const char *bucket, char out[CONFIG_BYTES]);
static int config_check(const char *bucket, const json_t *answer, struct error *err);
static int parse(const char *what, const char *data, size_t bytes, json_t **ret_answer,
                 int *ret_api_error, struct error *err);
static int parse_message(const char *what, const struct bus_message *message, json_t **ret_answer,
                         int *ret_api_error, struct error *err);
static int check_names(const char *bucket, const char *key, struct error *err);

static void cleanup_json(json_t **json)
{
    json_decref(*json);
}

/* ---- buckets ------------------------------------------------------------------------------------
 */

int kv_bucket_ensure(struct bus *bus, const char *bucket, struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    char config[CONFIG_BYTES];
    CLEANUP(cleanup_free) char *data = NULL;
    CLEANUP(cleanup_json) json_t *answer = NULL;
    size_t bytes = 0;
    int api_error = 0;
    int rc = check_names(bucket, "x", err);
    if (rc < 0)
        return rc;
    str_format(subject, sizeof(subject), "$JS.API.STREAM.INFO.KV_%s", bucket);
    rc = bus_call(bus, subject, "", 0, CALL_US, &data, &bytes, err);
    if (rc == 0)
        rc = parse(subject, data, bytes, &answer, &api_error, err);
    if (rc < 0 && api_error == NO_STREAM) {
        free(TAKE(data));
        config_write(bucket, config);
        str_format(subject, sizeof(subject), "$JS.API.STREAM.CREATE.KV_%s", bucket);
        rc = bus_call(bus, subject, config, strlen(config), CALL_US, &data, &bytes, err);
        if (rc == 0)
            rc = parse(subject, data, bytes, &answer, &api_error, err);
    }
    return rc < 0 ? rc : config_check(bucket, answer, err);
}

int kv_bucket_make(struct bus *bus, const char *bucket, int64_t timeout_us, bus_handler *handler,
                   void *context, struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    char config[CONFIG_BYTES];
    int rc = check_names(bucket, "x", err);
    if (rc < 0)
        return rc;
    config_write(bucket, config);
    str_format(subject, sizeof(subject), "$JS.API.STREAM.CREATE.KV_%s", bucket);
    return bus_request(bus, subject, config, strlen(config), timeout_us, handler, context, err);
}

int kv_bucket_made(const struct bus_message *message, struct error *err)
{
    CLEANUP(cleanup_json) json_t *answer = NULL;
    int api_error = 0;
    return parse_message("the bucket", message, &answer, &api_error, err);
}

/* As nats.go makes them: what it needs of a stream is checked by each client that opens one. */
static void config_write(const char *bucket, char out[CONFIG_BYTES])
{
    str_format(out, CONFIG_BYTES,
               "{\"name\":\"KV_%s\",\"subjects\":[\"$KV.%s.>\"],\"retention\":\"limits\","
               "\"max_msgs_per_subject\":1,\"discard\":\"new\",\"storage\":\"file\","
               "\"num_replicas\":1,\"deny_delete\":true,\"allow_rollup_hdrs\":true,"
               "\"allow_direct\":true}",
               bucket, bucket);
}

static int config_check(const char *bucket, const json_t *answer, struct error *err)
{
    const json_t *config = json_object_get(answer, "config");
    const char *storage = json_string_value(json_object_get(config, "storage"));
    bool kept = json_integer_value(json_object_get(config, "max_msgs_per_subject")) >= 1 &&
                json_integer_value(json_object_get(config, "max_age")) == 0;
    if (kept && storage != NULL && str_equal(storage, "file") &&
        json_is_true(json_object_get(config, "allow_direct")))
        return 0;
    return error_set(err, ERR_EXISTS, 0,
                     "the KV bucket '%s' that is there does not keep its values for ever, in files "
                     "and directly readable; remove or rename the stream KV_%s",
                     bucket, bucket);
}

/* ---- keys ---------------------------------------------------------------------------------------
 */

int kv_get(struct bus *bus, const char *bucket, const char *key, int64_t timeout_us,
           bus_handler *handler, void *context, struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    char request[2 * LIMIT_SUBJECT_BYTES];
    int rc = check_names(bucket, key, err);
    if (rc < 0)
        return rc;
    /* Of the stream's leader: what a replica answers directly may be of before. */
    str_format(subject, sizeof(subject), "$JS.API.STREAM.MSG.GET.KV_%s", bucket);
    str_format(request, sizeof(request), "{\"last_by_subj\":\"$KV.%s.%s\"}", bucket, key);
    return bus_request(bus, subject, request, strlen(request), timeout_us, handler, context, err);
}

int kv_got(const struct bus_message *message, struct kv_entry *ret_entry, struct error *err)
{
    CLEANUP(cleanup_json) json_t *answer = NULL;
    int api_error = 0;
    int rc = parse_message("the key", message, &answer, &api_error, err);
    if (rc < 0 && api_error != NO_MESSAGE)
        return rc;
    struct kv_entry entry = {0};
    if (rc == 0) {
        const json_t *stored = json_object_get(answer, "message");
        json_int_t seq = json_integer_value(json_object_get(stored, "seq"));
        const char *data = json_string_value(json_object_get(stored, "data"));
        if (seq <= 0)
            return error_set(err, ERR_INVALID, 0, "a key's value without its sequence");
        entry.revision = (uint64_t)seq;
        if (data != NULL &&
            sodium_base642bin((unsigned char *)entry.value, KV_VALUE_BYTES, data, strlen(data),
                              NULL, &entry.bytes, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
            return error_set(err, ERR_LIMIT, 0,
                             "a key's value is no base64, or longer than %d bytes", KV_VALUE_BYTES);
    }
    *ret_entry = entry;
    return 0;
}

int kv_put(struct bus *bus, const char *bucket, const char *key, uint64_t expected,
           const void *value, size_t bytes, int64_t timeout_us, bus_handler *handler, void *context,
           struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    char revision[24];
    int rc = check_names(bucket, key, err);
    if (rc < 0)
        return rc;
    str_format(subject, sizeof(subject), "$KV.%s.%s", bucket, key);
    str_format(revision, sizeof(revision), "%" PRIu64, expected);
    struct bus_header header = {.name = "Nats-Expected-Last-Subject-Sequence", .value = revision};
    return bus_request_headers(bus, subject, &header, 1, value, bytes, timeout_us, handler, context,
                               err);
}

int kv_was_put(const struct bus_message *message, uint64_t *ret_revision, struct error *err)
{
    CLEANUP(cleanup_json) json_t *answer = NULL;
    int api_error = 0;
    int rc = parse_message("the key", message, &answer, &api_error, err);
    if (rc < 0)
        return api_error == WRONG_LAST ? error_set(err, ERR_STALE, 0, "it was written meanwhile")
                                       : rc;
    json_int_t seq = json_integer_value(json_object_get(answer, "seq"));
    if (seq <= 0)
        return error_set(err, ERR_INVALID, 0, "an acknowledgement without its sequence");
    *ret_revision = (uint64_t)seq;
    return 0;
}

/* ---- helpers ------------------------------------------------------------------------------------
 */

static int parse_message(const char *what, const struct bus_message *message, json_t **ret_answer,
                         int *ret_api_error, struct error *err)
{
    if (message->status == 408)
        return error_set(err, ERR_TIMEOUT, 0, "%s: no answer in time", what);
    if (message->status != 0)
        return error_set(err, ERR_UNAVAILABLE, 0, "%s: nobody answers (status %d)", what,
                         message->status);
    return parse(what, message->data, message->bytes, ret_answer, ret_api_error, err);
}

/* *ret_answer is the caller's, set only on success. */
static int parse(const char *what, const char *data, size_t bytes, json_t **ret_answer,
                 int *ret_api_error, struct error *err)
{
    CLEANUP(cleanup_json) json_t *answer = json_loadb(data, bytes, 0, NULL);
    if (!json_is_object(answer))
        return error_set(err, ERR_INVALID, 0, "%s: the answer is no JSON", what);
    const json_t *problem = json_object_get(answer, "error");
    if (problem == NULL) {
        *ret_answer = TAKE(answer);
        return 0;
    }
    *ret_api_error = (int)json_integer_value(json_object_get(problem, "err_code"));
    json_int_t code = json_integer_value(json_object_get(problem, "code"));
    const char *text = json_string_value(json_object_get(problem, "description"));
    return error_set(err, code == 404 ? ERR_NOT_FOUND : ERR_INVALID, 0, "%s: %.200s (%d)", what,
                     text == NULL ? "refused" : text, *ret_api_error);
}

/* Both become subjects and parts of JSON texts as they are. */
static int check_names(const char *bucket, const char *key, struct error *err)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    static const char more[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=/.";
    size_t bytes = strlen(key);
    if (bucket[0] == 0 || strlen(bucket) >= LIMIT_NAME_BYTES ||
        bucket[strspn(bucket, letters)] != 0)
        return error_set(err, ERR_INVALID, 0,
                         "'%.80s' is no name of a KV bucket: 1 to %d of "
                         "[A-Za-z0-9_-]",
                         bucket, LIMIT_NAME_BYTES - 1);
    if (bytes == 0 || bytes + strlen(bucket) + sizeof("$KV..") > LIMIT_SUBJECT_BYTES ||
        key[strspn(key, more)] != 0 || key[0] == '.' || key[bytes - 1] == '.' ||
        strstr(key, "..") != NULL)
        return error_set(err, ERR_INVALID, 0,
                         "'%.200s' is no key: 1 to %d of [A-Za-z0-9_=/.-], without an empty part",
                         key, LIMIT_SUBJECT_BYTES - 1 - (int)sizeof("$KV..") - (int)strlen(bucket));
    return 0;
}
