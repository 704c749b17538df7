#include "base/bus/small_object.h"

#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/bus/bus_internal.h"
#include "base/clock.h"
#include "base/str.h"

#define HEX_DIGITS   64
#define NUID_DIGITS  32 /* of the name: the place of its chunk */
#define WRONG_LAST   10071
#define DISPATCH_MAX 64
#define RECORD_BYTES 512 /* of a record's subject */
#define NO_STREAM    10059

/* An answer that is waited for. */
struct waited {
    bool came;
    int code;      /* 0, or the error */
    int api_error; /* JetStream's number of it */
    char text[LIMIT_TEXT_BYTES];
    char *data;
    size_t bytes;
};

static int name_of(const char *digest, char nuid[NUID_DIGITS + 1], const char **ret_name,
                   struct error *err);
static int record_put(struct bus *bus, const char *bucket, const struct object_record *record,
                      bool fresh, int64_t timeout_us, struct waited *waited, struct error *err);
static void on_answer(void *context, const struct bus_message *message);
static void on_chunk(void *context, const struct bus_message *message);
static void await(struct bus *bus, const struct waited *const *list, int count);
static int verdict(const struct waited *waited, const char *what, struct error *err);

static void cleanup_json(json_t **json)
{
    json_decref(*json);
}

int small_object_put(struct bus *bus, const char *bucket, const char *digest, const void *data,
                     size_t bytes, int64_t timeout_us, struct error *err)
{
    char nuid[NUID_DIGITS + 1];
    char subject[LIMIT_SUBJECT_BYTES];
    char stored[LIMIT_DIGEST_BYTES];
    const char *name = "";
    struct waited chunk = {0}, told = {0};
    const struct waited *const both[] = {&chunk, &told};
    if (bytes == 0 || bytes > SMALL_OBJECT_BYTES)
        return error_set(err, ERR_LIMIT, 0, "an object of %zu bytes: 1 to %d", bytes,
                         SMALL_OBJECT_BYTES);
    int rc = name_of(digest, nuid, &name, err);
    if (rc == 0 && object_digest_to_store(digest, stored) < 0)
        rc = error_set(err, ERR_INVALID, 0, "digest '%.79s'", digest);
    if (rc < 0)
        return rc;
    struct object_record record = {
        .name = name, .nuid = nuid, .digest = stored, .bytes = (int64_t)bytes, .chunks = 1};
    str_format(subject, sizeof(subject), "$O.%s.C.%s", bucket, nuid);
    rc = bus_request(bus, subject, data, bytes, timeout_us, on_answer, &chunk, err);
    if (rc < 0)
        return rc;
    rc = record_put(bus, bucket, &record, true, timeout_us, &told, err);
    await(bus, both, rc < 0 ? 1 : 2); /* their answers have their place on this stack */
    if (rc == 0)
        rc = verdict(&chunk, name, err);
    /* There is, or was, such an object: then its record is written over. */
    if (rc == 0 && told.api_error == WRONG_LAST) {
        told = (struct waited){0};
        rc = record_put(bus, bucket, &record, false, timeout_us, &told, err);
        if (rc == 0)
            await(bus, both + 1, 1);
    }
    return rc < 0 ? rc : verdict(&told, name, err);
}

int small_object_get(struct bus *bus, const char *bucket, const char *digest, int64_t timeout_us,
                     void **ret_data, size_t *ret_bytes, struct error *err)
{
    char nuid[NUID_DIGITS + 1];
    char subject[LIMIT_SUBJECT_BYTES];
    char request[LIMIT_SUBJECT_BYTES];
    const char *name = "";
    struct waited waited = {0};
    const struct waited *const one[] = {&waited};
    int rc = name_of(digest, nuid, &name, err);
    if (rc < 0)
        return rc;
    /* Any replica may answer: what has this name is right, or is not there yet. */
    str_format(subject, sizeof(subject), "$JS.API.DIRECT.GET.OBJ_%s", bucket);
    str_format(request, sizeof(request), "{\"last_by_subj\":\"$O.%s.C.%s\"}", bucket, nuid);
    rc = bus_request(bus, subject, request, strlen(request), timeout_us, on_chunk, &waited, err);
    if (rc < 0)
        return rc;
    await(bus, one, 1);
    rc = verdict(&waited, name, err);
    if (rc < 0)
        return rc;
    *ret_data = waited.data;
    *ret_bytes = waited.bytes;
    return 0;
}

static int name_of(const char *digest, char nuid[NUID_DIGITS + 1], const char **ret_name,
                   struct error *err)
{
    const char *name = digest + strlen("sha256:");
    if (!str_starts(digest, "sha256:") || strlen(name) != HEX_DIGITS ||
        strspn(name, "0123456789abcdef") != HEX_DIGITS)
        return error_set(err, ERR_INVALID, 0,
                         "digest '%.79s': must be sha256: and %d hexadecimal digits", digest,
                         HEX_DIGITS);
    memcpy(nuid, name, NUID_DIGITS);
    nuid[NUID_DIGITS] = 0;
    *ret_name = name;
    return 0;
}

/* fresh: only if no record of that name was ever there. */
static int record_put(struct bus *bus, const char *bucket, const struct object_record *record,
                      bool fresh, int64_t timeout_us, struct waited *waited, struct error *err)
{
    char subject[RECORD_BYTES];
    const struct bus_header header = {fresh ? "Nats-Expected-Last-Subject-Sequence" : "Nats-Rollup",
                                      fresh ? "0" : "sub"};
    int rc = object_record_subject(bucket, record->name, subject, sizeof(subject), err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_free) char *text = object_record_text(bucket, record);
    if (text == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the record of '%s'", record->name);
    return bus_request_headers(bus, subject, &header, 1, text, strlen(text), timeout_us, on_answer,
                               waited, err);
}

/* What JetStream says of a write. */
static void on_answer(void *context, const struct bus_message *message)
{
    struct waited *waited = context;
    waited->came = true;
    if (message->status != 0) {
        waited->code = message->status == 503 ? ERR_UNAVAILABLE : ERR_TIMEOUT;
        str_format(waited->text, sizeof(waited->text), "%s",
                   message->status == 503 ? "nobody stores it: no such bucket"
                                          : "no answer in time");
        return;
    }
    CLEANUP(cleanup_json) json_t *answer = json_loadb(message->data, message->bytes, 0, NULL);
    const json_t *problem = json_object_get(answer, "error");
    if (answer != NULL && problem == NULL)
        return;
    const char *text = json_string_value(json_object_get(problem, "description"));
    waited->api_error = (int)json_integer_value(json_object_get(problem, "err_code"));
    waited->code = waited->api_error == NO_STREAM ? ERR_UNAVAILABLE : ERR_IO;
    str_format(waited->text, sizeof(waited->text), "%.200s",
               text != NULL ? text : "the answer is no JSON");
}

/* The bytes themselves. */
static void on_chunk(void *context, const struct bus_message *message)
{
    struct waited *waited = context;
    waited->came = true;
    waited->data = message->status == 0 ? malloc(message->bytes + 1) : NULL;
    if (waited->data != NULL) {
        memcpy(waited->data, message->data, message->bytes);
        waited->bytes = message->bytes;
        return;
    }
    waited->code = message->status == 0     ? ERR_NO_MEMORY
                   : message->status == 404 ? ERR_NOT_FOUND
                   : message->status == 408 ? ERR_TIMEOUT
                                            : ERR_UNAVAILABLE;
    str_format(waited->text, sizeof(waited->text), "it cannot be read (%d)", message->status);
}

/* Until all have come: a request that nobody answers in time is answered by the bus itself. */
static void await(struct bus *bus, const struct waited *const *list, int count)
{
    for (;;) {
        int missing = 0;
        for (int i = 0; i < count; i++)
            missing += !list[i]->came;
        if (missing == 0)
            return;
        int64_t left_us = bus_timeout_us(bus);
        struct pollfd fd = {.fd = bus_fd(bus), .events = POLLIN};
        (void)poll(&fd, 1, left_us < 0 ? 1000 : (int)(left_us / US_PER_MS) + 1);
        (void)bus_dispatch(bus, DISPATCH_MAX);
    }
}

static int verdict(const struct waited *waited, const char *what, struct error *err)
{
    if (waited->code == 0)
        return 0;
    return error_set(err, waited->code, 0, "object '%s': %s", what, waited->text);
}
