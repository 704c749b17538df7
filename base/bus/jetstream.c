#include "base/bus/jetstream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bus/bus_internal.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"

#define CALL_US       (5 * US_PER_S)  /* of one API request */
#define CHUNK_US      (30 * US_PER_S) /* of one chunk: 128 KiB at 5 KiB/s */
#define WINDOW        16              /* messages asked for, or sent, before the first answer */
#define CONFIG_BYTES  1024
#define NO_MESSAGE    10037 /* JetStream's error codes */
#define NO_STREAM     10059
#define NUID_BYTES    LIMIT_ID_BYTES
#define META_BYTES    (64 * 1024)
#define NAME_E_BYTES  512 /* a name of 128 bytes in base64 */
#define DIGEST_PREFIX "SHA-256="

/* An object's record in its store. */
struct meta {
    char nuid[NUID_BYTES];
    char digest[LIMIT_DIGEST_BYTES]; /* as stored: "SHA-256=<base64url>" */
    int64_t bytes;
    int64_t chunks;
    bool deleted;
};

/* One direct-get window: the answers to WINDOW requests, ordered and without doubles. */
struct window {
    natsMsg *messages[WINDOW];
    uint64_t sequences[WINDOW];
    int count;
};

static int api_call(struct bus *bus, const char *subject, const char *request, json_t **ret_answer,
                    int *ret_api_error, struct error *err);
static void bucket_config(const char *bucket, char out[CONFIG_BYTES]);
static json_t *stream_config(const char *name, const char *subjects, int64_t max_age_us,
                             int64_t max_bytes);
static int stream_compare(const char *name, const json_t *wanted, const json_t *got,
                          struct error *err);
static int window_get(struct bus *bus, const char *stream, const char *filter, uint64_t from,
                      int count, int64_t timeout_us, struct window *window, struct error *err);
static int window_collect(natsSubscription *inbox, const char *stream, int count,
                          int64_t timeout_us, struct window *window, struct error *err);
static int window_add(struct window *window, natsMsg *message);
static void window_done(struct window *window);
static int meta_read(struct bus *bus, const char *bucket, const char *name, struct meta *ret_meta,
                     struct error *err);
static int meta_parse(const json_t *message, struct meta *ret_meta);
static int meta_publish(struct bus *bus, const char *bucket, const char *name,
                        const struct meta *meta, struct error *err);
static int chunks_put(struct bus *bus, const char *bucket, int fd, struct meta *meta,
                      char *ret_digest, struct error *err);
static int chunk_send(struct bus *bus, natsSubscription *inbox, const char *subject,
                      const char *data, size_t bytes, struct error *err);
static int acks_wait(natsSubscription *inbox, int *open, int down_to, struct error *err);
static int ack_check(const char *text, size_t bytes, struct error *err);
static void chunks_purge(struct bus *bus, const char *bucket, const char *nuid);
static int chunks_get(struct bus *bus, const char *bucket, const struct meta *meta, int fd,
                      char *ret_digest, struct error *err);
static int write_all(int fd, const char *data, size_t bytes);
static int digest_from_store(const char *digest, char out[LIMIT_DIGEST_BYTES]);
static int check_bucket(const char *bucket, struct error *err);

static void cleanup_json(json_t **json)
{
    json_decref(*json);
}

/* A private inbox, ended with its scope. */
struct inbox {
    natsConnection *connection;
    natsSubscription *nats;
};

static void cleanup_inbox(struct inbox *inbox)
{
    bus_subscription_end(inbox->connection, inbox->nats);
}

/* ---- streams ----------------------------------------------------------------------------------
 */

int stream_ensure(struct bus *bus, const char *name, const char *subjects, int64_t max_age_us,
                  int64_t max_bytes, struct error *err)
{
    CLEANUP(cleanup_json) json_t *wanted = stream_config(name, subjects, max_age_us, max_bytes);
    if (wanted == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the stream '%s'", name);
    char subject[LIMIT_SUBJECT_BYTES];
    int api_error = 0;
    CLEANUP(cleanup_json) json_t *answer = NULL;
    str_format(subject, sizeof(subject), "$JS.API.STREAM.INFO.%.128s", name);
    int rc = api_call(bus, subject, "", &answer, &api_error, err);
    if (rc < 0 && api_error != NO_STREAM)
        return rc;
    if (rc < 0) {
        CLEANUP(cleanup_free) char *request = json_dumps(wanted, JSON_COMPACT);
        if (request == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the stream '%s'", name);
        str_format(subject, sizeof(subject), "$JS.API.STREAM.CREATE.%.128s", name);
        rc = api_call(bus, subject, request, &answer, &api_error, err);
        if (rc < 0)
            return rc;
    }
    return stream_compare(name, wanted, json_object_get(answer, "config"), err);
}

int stream_make(struct bus *bus, const char *name, const char *subjects, int64_t max_age_us,
                int64_t max_bytes, int64_t timeout_us, bus_handler *handler, void *context,
                struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    CLEANUP(cleanup_json) json_t *wanted = stream_config(name, subjects, max_age_us, max_bytes);
    CLEANUP(cleanup_free) char *request = wanted == NULL ? NULL : json_dumps(wanted, JSON_COMPACT);
    if (request == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the stream '%s'", name);
    str_format(subject, sizeof(subject), "$JS.API.STREAM.CREATE.%.128s", name);
    return bus_request(bus, subject, request, strlen(request), timeout_us, handler, context, err);
}

int stream_read(struct bus *bus, const char *name, const char *filter, uint64_t from, int max,
                int64_t timeout_us, bus_handler *handler, void *context, uint64_t *ret_last,
                struct error *err)
{
    int seen = 0;
    uint64_t next = from == 0 ? 1 : from;
    uint64_t last = 0;
    while (seen < max) {
        struct window window = {0};
        int ask = max - seen < WINDOW ? max - seen : WINDOW;
        int rc = window_get(bus, name, filter == NULL ? ">" : filter, next, ask, timeout_us,
                            &window, err);
        if (rc < 0)
            return rc;
        for (int i = 0; i < window.count; i++) {
            natsMsg *each = window.messages[i];
            const char *subject = NULL;
            if (natsMsgHeader_Get(each, "Nats-Subject", &subject) != NATS_OK)
                subject = natsMsg_GetSubject(each);
            struct bus_message message = {.subject = subject,
                                          .reply = "",
                                          .data = natsMsg_GetData(each),
                                          .bytes = (size_t)natsMsg_GetDataLength(each)};
            CLEANUP(cleanup_free) char *copy = malloc(message.bytes + 1);
            if (copy == NULL) {
                window_done(&window);
                return error_set(err, ERR_NO_MEMORY, 0, "no memory to read '%s'", name);
            }
            if (message.bytes > 0)
                memcpy(copy, message.data, message.bytes);
            copy[message.bytes] = 0;
            message.data = copy;
            last = window.sequences[i];
            handler(context, &message);
            seen++;
        }
        bool end = window.count == 0;
        window_done(&window);
        if (end)
            break;
        next = last + 1;
    }
    if (ret_last != NULL)
        *ret_last = last;
    return seen;
}

static json_t *stream_config(const char *name, const char *subjects, int64_t max_age_us,
                             int64_t max_bytes)
{
    CLEANUP(cleanup_json) json_t *list = json_array();
    while (list != NULL && *subjects != 0) {
        size_t bytes = strcspn(subjects, ",");
        if (bytes > 0 && json_array_append_new(list, json_stringn(subjects, bytes)) < 0)
            return NULL;
        subjects += bytes;
        subjects += *subjects == ',' ? 1 : 0;
    }
    return json_pack("{s:s, s:O, s:s, s:s, s:s, s:I, s:I, s:i, s:b}", "name", name, "subjects",
                     list, "retention", "limits", "discard", "old", "storage", "file", "max_age",
                     (json_int_t)max_age_us * 1000, "max_bytes",
                     (json_int_t)(max_bytes > 0 ? max_bytes : -1), "num_replicas", 1,
                     "allow_direct", 1);
}

/* A server that does not know a field ignores it silently, so what it says it made is what counts.
 */
static int stream_compare(const char *name, const json_t *wanted, const json_t *got,
                          struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)wanted, key, value)
    {
        const json_t *there = json_object_get(got, key);
        bool absent_zero =
            there == NULL &&
            (json_is_false(value) || (json_is_integer(value) && json_integer_value(value) == 0));
        if (absent_zero || (there != NULL && json_equal(value, (json_t *)there)))
            continue;
        CLEANUP(cleanup_free) char *is = json_dumps(there, JSON_ENCODE_ANY | JSON_COMPACT);
        CLEANUP(cleanup_free) char *should = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        return error_set(err, ERR_EXISTS, 0,
                         "the stream '%s' has %s = %.100s, wanted is %.100s; remove or rename the "
                         "stream that is there",
                         name, key, is == NULL ? "nothing" : is, should == NULL ? "?" : should);
    }
    return 0;
}

/* A JetStream API request. On an error that JetStream itself answers, *ret_api_error is its
 * err_code. *ret_answer is owned by the caller and set only on success. */
static int api_call(struct bus *bus, const char *subject, const char *request, json_t **ret_answer,
                    int *ret_api_error, struct error *err)
{
    CLEANUP(cleanup_free) char *data = NULL;
    size_t bytes = 0;
    *ret_api_error = 0;
    int rc = bus_call(bus, subject, request, strlen(request), CALL_US, &data, &bytes, err);
    if (rc == ERR_UNAVAILABLE && bus_connected(bus))
        return error_set(
            err, rc, 0,
            "'%s': JetStream does not answer; is it switched on, and may this user ask "
            "it?",
            subject);
    if (rc < 0)
        return rc;
    json_t *answer = json_loadb(data, bytes, 0, NULL);
    const json_t *problem = json_object_get(answer, "error");
    if (problem == NULL && answer != NULL) {
        *ret_answer = answer;
        return 0;
    }
    if (answer == NULL)
        return error_set(err, ERR_INVALID, 0, "'%s': the answer is no JSON", subject);
    *ret_api_error = (int)json_integer_value(json_object_get(problem, "err_code"));
    json_int_t code = json_integer_value(json_object_get(problem, "code"));
    const char *text = json_string_value(json_object_get(problem, "description"));
    rc = error_set(err, code == 404 ? ERR_NOT_FOUND : ERR_INVALID, 0, "'%s': %.200s (%d)", subject,
                   text == NULL ? "refused" : text, *ret_api_error);
    json_decref(answer);
    return rc;
}

/* ---- direct reads -----------------------------------------------------------------------------
 */

/* Asks at once for "the first message at or after s" with s = from, from + 1, ...: together the
 * answers hold every matching message from `from` to the greatest answer, without a gap, in one
 * round trip and with no consumer left on the server. Fewer than asked for (none at the end). */
static int window_get(struct bus *bus, const char *stream, const char *filter, uint64_t from,
                      int count, int64_t timeout_us, struct window *window, struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    char inbox_subject[LIMIT_SUBJECT_BYTES];
    char request[LIMIT_SUBJECT_BYTES * 2];
    CLEANUP(cleanup_inbox) struct inbox inbox = {.connection = bus_nats(bus)};
    if (!bus_connected(bus))
        return error_set(err, ERR_UNAVAILABLE, 0, "cannot read '%s': not connected", stream);
    str_format(subject, sizeof(subject), "$JS.API.DIRECT.GET.%.128s", stream);
    bus_inbox(bus, inbox_subject, sizeof(inbox_subject));
    natsStatus status = natsConnection_SubscribeSync(&inbox.nats, inbox.connection, inbox_subject);
    for (int i = 0; status == NATS_OK && i < count; i++) {
        str_format(request, sizeof(request), "{\"seq\":%" PRIu64 ",\"next_by_subj\":\"%.300s\"}",
                   from + (uint64_t)i, filter);
        status = natsConnection_PublishRequest(bus_nats(bus), subject, inbox_subject, request,
                                               (int)strlen(request));
    }
    if (status != NATS_OK)
        return bus_status_error(status, err, "cannot read '%s'", stream);
    int rc = window_collect(inbox.nats, stream, count, timeout_us, window, err);
    if (rc < 0)
        window_done(window);
    return rc;
}

static int window_collect(natsSubscription *inbox, const char *stream, int count,
                          int64_t timeout_us, struct window *window, struct error *err)
{
    for (int i = 0; i < count; i++) {
        natsMsg *message = NULL;
        natsStatus status = natsSubscription_NextMsg(&message, inbox, timeout_us / US_PER_MS + 1);
        if (status != NATS_OK)
            return bus_status_error(status, err, "reading '%s'", stream);
        int code = bus_message_status(message);
        int rc = 0;
        if (code == 0)
            rc = window_add(window, message);
        else if (code == 503)
            rc = error_set(err, ERR_UNAVAILABLE, 0,
                           "nobody answers for '%s': no such stream, or it forbids direct reads",
                           stream);
        else if (code != 404)
            rc = error_set(err, ERR_INVALID, 0, "reading '%s': status %d", stream, code);
        else
            natsMsg_Destroy(message); /* nothing at or after that sequence */
        if (rc < 0) {
            if (code == 0)
                rc = error_set(err, rc, 0, "reading '%s': an answer without its sequence", stream);
            natsMsg_Destroy(message);
            return rc;
        }
    }
    return 0;
}

/* Takes the message, in its place by sequence; a double is dropped. */
static int window_add(struct window *window, natsMsg *message)
{
    const char *text = NULL;
    uint64_t sequence = 0;
    if (natsMsgHeader_Get(message, "Nats-Sequence", &text) != NATS_OK ||
        str_to_u64(text, &sequence) < 0)
        return ERR_INVALID;
    int at = window->count;
    while (at > 0 && window->sequences[at - 1] > sequence)
        at--;
    if (at > 0 && window->sequences[at - 1] == sequence) {
        natsMsg_Destroy(message);
        return 0;
    }
    for (int i = window->count; i > at; i--) {
        window->sequences[i] = window->sequences[i - 1];
        window->messages[i] = window->messages[i - 1];
    }
    window->sequences[at] = sequence;
    window->messages[at] = message;
    window->count++;
    return 0;
}

static void window_done(struct window *window)
{
    for (int i = 0; i < window->count; i++)
        natsMsg_Destroy(window->messages[i]);
    window->count = 0;
}

/* ---- objects ----------------------------------------------------------------------------------
 */

int object_bucket_ensure(struct bus *bus, const char *bucket, struct error *err)
{
    int rc = check_bucket(bucket, err);
    if (rc < 0)
        return rc;
    char subject[LIMIT_SUBJECT_BYTES];
    char request[CONFIG_BYTES];
    int api_error = 0;
    CLEANUP(cleanup_json) json_t *answer = NULL;
    bucket_config(bucket, request);
    CLEANUP(cleanup_json) json_t *wanted = json_loads(request, 0, NULL);
    str_format(subject, sizeof(subject), "$JS.API.STREAM.INFO.OBJ_%s", bucket);
    rc = api_call(bus, subject, "", &answer, &api_error, err);
    if (rc < 0 && api_error == NO_STREAM) {
        str_format(subject, sizeof(subject), "$JS.API.STREAM.CREATE.OBJ_%s", bucket);
        rc = api_call(bus, subject, request, &answer, &api_error, err);
    }
    if (rc < 0)
        return rc;
    if (wanted == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the object store '%s'", bucket);
    json_object_del(wanted, "num_replicas"); /* a cluster's store may well have more */
    str_format(subject, sizeof(subject), "OBJ_%s", bucket);
    return stream_compare(subject, wanted, json_object_get(answer, "config"), err);
}

int object_bucket_make(struct bus *bus, const char *bucket, int64_t timeout_us,
                       bus_handler *handler, void *context, struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    char request[CONFIG_BYTES];
    int rc = check_bucket(bucket, err);
    if (rc < 0)
        return rc;
    bucket_config(bucket, request);
    str_format(subject, sizeof(subject), "$JS.API.STREAM.CREATE.OBJ_%s", bucket);
    return bus_request(bus, subject, request, strlen(request), timeout_us, handler, context, err);
}

static void bucket_config(const char *bucket, char out[CONFIG_BYTES])
{
    str_format(out, CONFIG_BYTES,
               "{\"name\":\"OBJ_%s\",\"subjects\":[\"$O.%s.C.>\",\"$O.%s.M.>\"],\"retention\":"
               "\"limits\",\"discard\":\"new\",\"storage\":\"file\",\"num_replicas\":1,"
               "\"allow_rollup_hdrs\":true,\"allow_direct\":true}",
               bucket, bucket, bucket);
}

int object_put_file(struct bus *bus, const char *bucket, const char *name, const char *path,
                    char *ret_digest, struct error *err)
{
    int rc = check_bucket(bucket, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "cannot open '%s'",
                         path);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERR_INVALID, 0, "'%s' is not a file", path);
    struct meta old = {0};
    struct error missing = {0};
    rc = meta_read(bus, bucket, name, &old, &missing);
    if (rc < 0 && rc != ERR_NOT_FOUND) {
        if (err != NULL)
            *err = missing;
        return rc;
    }
    struct meta meta = {0};
    char digest[LIMIT_DIGEST_BYTES];
    id_random(meta.nuid);
    rc = chunks_put(bus, bucket, fd, &meta, digest, err);
    if (rc == 0)
        rc = meta_publish(bus, bucket, name, &meta, err);
    if (rc < 0) {
        chunks_purge(bus, bucket, meta.nuid);
        return rc;
    }
    if (old.nuid[0] != 0)
        chunks_purge(bus, bucket, old.nuid);
    if (ret_digest != NULL)
        str_format(ret_digest, LIMIT_DIGEST_BYTES, "%s", digest);
    return 0;
}

int object_get_fd(struct bus *bus, const char *bucket, const char *name, int fd, int64_t bytes_max,
                  char *ret_digest, struct error *err)
{
    struct meta meta = {0};
    char digest[LIMIT_DIGEST_BYTES];
    char stored[LIMIT_DIGEST_BYTES] = "";
    int rc = check_bucket(bucket, err);
    if (rc == 0)
        rc = meta_read(bus, bucket, name, &meta, err);
    if (rc < 0)
        return rc;
    if (meta.deleted)
        return error_set(err, ERR_NOT_FOUND, 0, "'%s' in '%s' is deleted", name, bucket);
    if (meta.bytes > bytes_max)
        return error_set(err, ERR_LIMIT, 0,
                         "'%s' in '%s' has %" PRId64 " bytes, at most %" PRId64 " are taken", name,
                         bucket, meta.bytes, bytes_max);
    rc = chunks_get(bus, bucket, &meta, fd, digest, err);
    if (rc < 0)
        return error_prefix(err, "'%s' in '%s'", name, bucket);
    if (object_digest_to_store(digest, stored) < 0 || !str_equal(stored, meta.digest))
        return error_set(err, ERR_CORRUPT, 0,
                         "'%s' in '%s' is damaged: its bytes have %s, its record says %s", name,
                         bucket, stored, meta.digest);
    if (ret_digest != NULL)
        str_format(ret_digest, LIMIT_DIGEST_BYTES, "%s", digest);
    return 0;
}

int object_stat(struct bus *bus, const char *bucket, const char *name, struct object_info *ret_info,
                struct error *err)
{
    struct meta meta = {0};
    struct object_info info = {0};
    int rc = check_bucket(bucket, err);
    if (rc == 0)
        rc = meta_read(bus, bucket, name, &meta, err);
    if (rc < 0)
        return rc;
    if (meta.deleted)
        return error_set(err, ERR_NOT_FOUND, 0, "'%s' in '%s' is deleted", name, bucket);
    info.bytes = meta.bytes;
    info.chunks = meta.chunks;
    if (str_copy(info.name, sizeof(info.name), name) < 0 ||
        digest_from_store(meta.digest, info.digest) < 0)
        return error_set(err, ERR_INVALID, 0, "'%s' in '%s' has the digest '%s', which is no %s...",
                         name, bucket, meta.digest, DIGEST_PREFIX);
    *ret_info = info;
    return 0;
}

int object_delete(struct bus *bus, const char *bucket, const char *name, struct error *err)
{
    struct meta meta = {0};
    int rc = check_bucket(bucket, err);
    if (rc == 0)
        rc = meta_read(bus, bucket, name, &meta, err);
    if (rc < 0)
        return rc;
    if (meta.deleted)
        return error_set(err, ERR_NOT_FOUND, 0, "'%s' in '%s' is deleted", name, bucket);
    struct meta gone = {.deleted = true};
    str_format(gone.nuid, sizeof(gone.nuid), "%s", meta.nuid);
    rc = meta_publish(bus, bucket, name, &gone, err);
    if (rc == 0)
        chunks_purge(bus, bucket, meta.nuid);
    return rc;
}

static int check_bucket(const char *bucket, struct error *err)
{
    size_t bytes = strspn(bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_-");
    if (bytes == 0 || bucket[bytes] != 0 || bytes >= LIMIT_NAME_BYTES)
        return error_set(err, ERR_INVALID, 0, "bucket '%.64s' must be 1 to %d of [A-Za-z0-9_-]",
                         bucket, LIMIT_NAME_BYTES - 1);
    return 0;
}

/* "$O.<bucket>.M.<name in base64, URL letters, padded>" */
int object_record_subject(const char *bucket, const char *name, char *out, size_t capacity,
                          struct error *err)
{
    char encoded[NAME_E_BYTES];
    size_t bytes = strlen(name);
    if (bytes == 0 || bytes >= LIMIT_NAME_BYTES * 2)
        return error_set(err, ERR_INVALID, 0, "an object's name has 1 to %d bytes: '%.140s'",
                         LIMIT_NAME_BYTES * 2 - 1, name);
    sodium_bin2base64(encoded, sizeof(encoded), (const unsigned char *)name, bytes,
                      sodium_base64_VARIANT_URLSAFE);
    str_format(out, capacity, "$O.%s.M.%s", bucket, encoded);
    return 0;
}

/* By the API's "last by subject", which the stream's leader answers: a direct read may be stale. */
static int meta_read(struct bus *bus, const char *bucket, const char *name, struct meta *ret_meta,
                     struct error *err)
{
    char record[NAME_E_BYTES];
    char subject[LIMIT_SUBJECT_BYTES];
    char request[NAME_E_BYTES + 32];
    int api_error = 0;
    CLEANUP(cleanup_json) json_t *answer = NULL;
    int rc = object_record_subject(bucket, name, record, sizeof(record), err);
    if (rc < 0)
        return rc;
    str_format(request, sizeof(request), "{\"last_by_subj\":\"%s\"}", record);
    str_format(subject, sizeof(subject), "$JS.API.STREAM.MSG.GET.OBJ_%s", bucket);
    rc = api_call(bus, subject, request, &answer, &api_error, err);
    if (rc < 0 && api_error == NO_MESSAGE)
        return error_set(err, ERR_NOT_FOUND, 0, "there is no '%s' in '%s'", name, bucket);
    if (rc < 0 && api_error == NO_STREAM)
        return error_set(err, ERR_UNAVAILABLE, 0, "there is no object store '%s'", bucket);
    if (rc < 0)
        return rc;
    struct meta meta = {0};
    if (meta_parse(json_object_get(answer, "message"), &meta) < 0)
        return error_set(err, ERR_CORRUPT, 0,
                         "the record of '%s' in '%s' is not one that can be read", name, bucket);
    *ret_meta = meta;
    return 0;
}

static int meta_parse(const json_t *message, struct meta *ret_meta)
{
    const char *data = json_string_value(json_object_get(message, "data"));
    unsigned char raw[META_BYTES];
    size_t bytes = 0;
    if (data == NULL || sodium_base642bin(raw, sizeof(raw), data, strlen(data), NULL, &bytes, NULL,
                                          sodium_base64_VARIANT_ORIGINAL) < 0)
        return ERR_INVALID;
    CLEANUP(cleanup_json) json_t *body = json_loadb((const char *)raw, bytes, 0, NULL);
    const char *nuid = json_string_value(json_object_get(body, "nuid"));
    const char *digest = json_string_value(json_object_get(body, "digest"));
    const json_t *link = json_object_get(json_object_get(body, "options"), "link");
    ret_meta->deleted = json_is_true(json_object_get(body, "deleted"));
    ret_meta->bytes = json_integer_value(json_object_get(body, "size"));
    ret_meta->chunks = json_integer_value(json_object_get(body, "chunks"));
    if (nuid == NULL || link != NULL || ret_meta->bytes < 0 || ret_meta->chunks < 0)
        return ERR_INVALID;
    /* The nuid becomes part of a subject: a wildcard in it would purge other objects. */
    if (nuid[0] == 0 || nuid[strspn(nuid, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789_-")] != 0)
        return ERR_INVALID;
    if (str_copy(ret_meta->nuid, sizeof(ret_meta->nuid), nuid) < 0)
        return ERR_INVALID;
    return str_copy(ret_meta->digest, sizeof(ret_meta->digest), digest == NULL ? "" : digest);
}

static int meta_publish(struct bus *bus, const char *bucket, const char *name,
                        const struct meta *meta, struct error *err)
{
    char subject[NAME_E_BYTES];
    int rc = object_record_subject(bucket, name, subject, sizeof(subject), err);
    if (rc < 0)
        return rc;
    struct object_record record = {.name = name,
                                   .nuid = meta->nuid,
                                   .digest = meta->digest,
                                   .bytes = meta->bytes,
                                   .chunks = meta->chunks,
                                   .deleted = meta->deleted};
    CLEANUP(cleanup_free) char *text = object_record_text(bucket, &record);
    if (text == NULL)
        return error_set(err, ERR_INVALID, 0, "the name '%.140s' is not UTF-8", name);
    natsMsg *message = NULL;
    natsMsg *answer = NULL;
    natsStatus status = natsMsg_Create(&message, subject, NULL, text, (int)strlen(text));
    if (status == NATS_OK)
        status = natsMsgHeader_Set(message, "Nats-Rollup", "sub");
    if (status == NATS_OK)
        status = natsConnection_RequestMsg(&answer, bus_nats(bus), message, CALL_US / US_PER_MS);
    natsMsg_Destroy(message);
    if (status != NATS_OK)
        return bus_status_error(status, err, "recording '%s' in '%s'", name, bucket);
    rc = ack_check(natsMsg_GetData(answer), (size_t)natsMsg_GetDataLength(answer), err);
    natsMsg_Destroy(answer);
    return rc < 0 ? error_prefix(err, "recording '%s' in '%s'", name, bucket) : 0;
}

char *object_record_text(const char *bucket, const struct object_record *record)
{
    char mtime[WALL_TEXT_BYTES];
    CLEANUP(cleanup_json)
    json_t *body =
        json_pack("{s:s, s:s, s:{s:i}, s:s, s:s, s:I, s:s, s:I, s:s, s:b}", "name", record->name,
                  "description", "", "options", "max_chunk_size", OBJECT_CHUNK_BYTES, "bucket",
                  bucket, "nuid", record->nuid, "size", (json_int_t)record->bytes, "mtime",
                  wall_format(clock_wall_now(), mtime), "chunks", (json_int_t)record->chunks,
                  "digest", record->digest, "deleted", record->deleted ? 1 : 0);
    return json_dumps(body, JSON_COMPACT);
}

/* Sends the file's bytes, WINDOW chunks ahead of their acknowledgements, and fills in the record.
 */
static int chunks_put(struct bus *bus, const char *bucket, int fd, struct meta *meta,
                      char *ret_digest, struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    char inbox_subject[LIMIT_SUBJECT_BYTES];
    CLEANUP(cleanup_inbox) struct inbox inbox = {.connection = bus_nats(bus)};
    CLEANUP(cleanup_free) char *chunk = malloc(OBJECT_CHUNK_BYTES);
    if (chunk == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a chunk");
    str_format(subject, sizeof(subject), "$O.%s.C.%s", bucket, meta->nuid);
    bus_inbox(bus, inbox_subject, sizeof(inbox_subject));
    natsStatus status = natsConnection_SubscribeSync(&inbox.nats, inbox.connection, inbox_subject);
    if (status != NATS_OK)
        return bus_status_error(status, err, "cannot send to '%s'", bucket);
    struct digest_state *digest;
    int rc = digest_begin(&digest, err);
    if (rc < 0)
        return rc;
    int open = 0;
    for (;;) {
        ssize_t got = pread(fd, chunk, OBJECT_CHUNK_BYTES, (off_t)meta->bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = error_set(err, ERR_IO, errno, "cannot read the file");
        if (got <= 0)
            break;
        digest_add(digest, chunk, (size_t)got);
        meta->bytes += got;
        meta->chunks++;
        rc = chunk_send(bus, inbox.nats, subject, chunk, (size_t)got, err);
        open++;
        if (rc == 0)
            rc = acks_wait(inbox.nats, &open, WINDOW - 1, err);
        if (rc < 0)
            break;
    }
    if (rc == 0)
        rc = acks_wait(inbox.nats, &open, 0, err);
    digest_end(digest, ret_digest);
    return rc < 0 ? rc : object_digest_to_store(ret_digest, meta->digest);
}

static int chunk_send(struct bus *bus, natsSubscription *inbox, const char *subject,
                      const char *data, size_t bytes, struct error *err)
{
    if (!bus_connected(bus))
        return error_set(err, ERR_UNAVAILABLE, 0, "the connection broke while sending");
    natsStatus status = natsConnection_PublishRequest(
        bus_nats(bus), subject, natsSubscription_GetSubject(inbox), data, (int)bytes);
    if (status != NATS_OK)
        return bus_status_error(status, err, "sending a chunk");
    return 0;
}

static int acks_wait(natsSubscription *inbox, int *open, int down_to, struct error *err)
{
    while (*open > down_to) {
        natsMsg *message = NULL;
        natsStatus status = natsSubscription_NextMsg(&message, inbox, CHUNK_US / US_PER_MS);
        if (status != NATS_OK)
            return bus_status_error(status, err, "waiting for a chunk to be stored");
        int rc = 0;
        if (bus_message_status(message) == 503)
            rc = error_set(err, ERR_UNAVAILABLE, 0, "nobody stores the chunks: no such bucket");
        else
            rc = ack_check(natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message), err);
        natsMsg_Destroy(message);
        if (rc < 0)
            return rc;
        (*open)--;
    }
    return 0;
}

/* {"stream":...,"seq":...}, or {"error":{...}}. */
static int ack_check(const char *text, size_t bytes, struct error *err)
{
    CLEANUP(cleanup_json) json_t *ack = json_loadb(text, bytes, 0, NULL);
    const json_t *problem = json_object_get(ack, "error");
    if (problem == NULL && json_is_integer(json_object_get(ack, "seq")))
        return 0;
    const char *sentence = json_string_value(json_object_get(problem, "description"));
    return error_set(err, ERR_IO, 0, "not stored: %.200s",
                     sentence == NULL ? "no acknowledgement in the answer" : sentence);
}

/* Chunks that no record names only take room: a failure here changes no object. */
static void chunks_purge(struct bus *bus, const char *bucket, const char *nuid)
{
    char subject[LIMIT_SUBJECT_BYTES];
    char request[LIMIT_SUBJECT_BYTES];
    struct error ignored;
    int api_error;
    CLEANUP(cleanup_json) json_t *answer = NULL;
    str_format(subject, sizeof(subject), "$JS.API.STREAM.PURGE.OBJ_%s", bucket);
    str_format(request, sizeof(request), "{\"filter\":\"$O.%s.C.%s\"}", bucket, nuid);
    (void)!api_call(bus, subject, request, &answer, &api_error, &ignored);
}

static int chunks_get(struct bus *bus, const char *bucket, const struct meta *meta, int fd,
                      char *ret_digest, struct error *err)
{
    char stream[LIMIT_NAME_BYTES + 8];
    char filter[LIMIT_SUBJECT_BYTES];
    str_format(stream, sizeof(stream), "OBJ_%s", bucket);
    str_format(filter, sizeof(filter), "$O.%s.C.%s", bucket, meta->nuid);
    struct digest_state *digest;
    int rc = digest_begin(&digest, err);
    if (rc < 0)
        return rc;
    /* The first request finds where the chunks begin; later ones take a window from there. */
    uint64_t next = 1;
    int64_t chunks = 0;
    int64_t bytes = 0;
    while (rc == 0 && chunks < meta->chunks) {
        struct window window = {0};
        int64_t left = meta->chunks - chunks;
        int ask = chunks == 0 ? 1 : left < WINDOW ? (int)left : WINDOW;
        rc = window_get(bus, stream, filter, next, ask, CHUNK_US, &window, err);
        if (rc == 0 && window.count == 0)
            rc = error_set(err, ERR_STALE, 0,
                           "only %" PRId64 " of %" PRId64
                           " chunks are there: replaced or deleted while it was read",
                           chunks, meta->chunks);
        for (int i = 0; rc == 0 && i < window.count && chunks < meta->chunks; i++) {
            size_t count = (size_t)natsMsg_GetDataLength(window.messages[i]);
            bytes += (int64_t)count;
            chunks++;
            next = window.sequences[i] + 1;
            if (bytes > meta->bytes)
                rc = error_set(err, ERR_CORRUPT, 0,
                               "its chunks have more than the %" PRId64 " bytes of its record",
                               meta->bytes);
            else if (write_all(fd, natsMsg_GetData(window.messages[i]), count) < 0)
                rc = error_set(err, ERR_IO, errno, "cannot write what was fetched");
            else
                digest_add(digest, natsMsg_GetData(window.messages[i]), count);
        }
        window_done(&window);
    }
    digest_end(digest, ret_digest);
    if (rc == 0 && bytes != meta->bytes)
        rc = error_set(err, ERR_CORRUPT, 0,
                       "its chunks have %" PRId64 " bytes, its record says %" PRId64, bytes,
                       meta->bytes);
    return rc;
}

static int write_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return ERR_IO;
        data += written;
        bytes -= (size_t)written;
    }
    return 0;
}

/* "sha256:<hex>" <-> "SHA-256=<base64, URL letters, padded>" */
int object_digest_to_store(const char *digest, char out[LIMIT_DIGEST_BYTES])
{
    unsigned char raw[32];
    char encoded[64];
    size_t bytes = 0;
    if (!str_starts(digest, "sha256:") ||
        sodium_hex2bin(raw, sizeof(raw), digest + 7, strlen(digest + 7), NULL, &bytes, NULL) < 0 ||
        bytes != sizeof(raw))
        return ERR_INVALID;
    sodium_bin2base64(encoded, sizeof(encoded), raw, bytes, sodium_base64_VARIANT_URLSAFE);
    str_format(out, LIMIT_DIGEST_BYTES, DIGEST_PREFIX "%s", encoded);
    return 0;
}

static int digest_from_store(const char *digest, char out[LIMIT_DIGEST_BYTES])
{
    unsigned char raw[32];
    char hex[65];
    size_t bytes = 0;
    if (!str_starts(digest, DIGEST_PREFIX) ||
        sodium_base642bin(raw, sizeof(raw), digest + strlen(DIGEST_PREFIX),
                          strlen(digest) - strlen(DIGEST_PREFIX), NULL, &bytes, NULL,
                          sodium_base64_VARIANT_URLSAFE) < 0 ||
        bytes != sizeof(raw))
        return ERR_INVALID;
    sodium_bin2hex(hex, sizeof(hex), raw, bytes);
    str_format(out, LIMIT_DIGEST_BYTES, "sha256:%s", hex);
    return 0;
}
