#include "base/bus/micro.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/bus/bus_internal.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"

#define ENDPOINTS_MAX 64
#define QUEUE_GROUP   "q"
#define INBOXES       "_INBOX." /* the asker chooses where; not where it may not write itself */
#define DISCOVERY     9         /* PING, INFO, STATS, each for all, for the name, for the id */

struct endpoint {
    struct micro *micro;
    struct bus_subscription *subscription;
    micro_handler *handler;
    void *context;
    char name[LIMIT_NAME_BYTES];
    char subject[LIMIT_SUBJECT_BYTES];
    uint64_t requests;
    uint64_t errors;
    int64_t processing_us;
    char last_error[LIMIT_TEXT_BYTES];
};

/* A request that is not answered yet. */
struct open_request {
    uint64_t token; /* 0: free */
    int endpoint;
    struct mono since;
    char reply[LIMIT_SUBJECT_BYTES];
};

struct micro {
    struct bus *bus;
    char name[LIMIT_NAME_BYTES];
    char version[LIMIT_NAME_BYTES];
    char description[LIMIT_TEXT_BYTES];
    char id[LIMIT_NAME_BYTES];
    char started[WALL_TEXT_BYTES];
    struct bus_subscription *discovery[DISCOVERY];
    struct endpoint endpoints[ENDPOINTS_MAX];
    int endpoint_count;
    struct open_request requests[LIMIT_COMMANDS];
    uint64_t last_token;
};

static bool word_is_fine(const char *word);
static int discovery_open(struct micro *micro, struct error *err);
static void on_ping(void *context, const struct bus_message *message);
static void on_info(void *context, const struct bus_message *message);
static void on_stats(void *context, const struct bus_message *message);
static void answer_discovery(struct micro *micro, const struct bus_message *message, json_t *body);
static json_t *describe(const struct micro *micro, const char *type);
static void on_request(void *context, const struct bus_message *message);
static void finish(struct micro *micro, uint64_t token, int http_code, const char *text,
                   const void *data, size_t bytes);

int micro_open(struct bus *bus, const struct micro_options *options, struct micro **ret_micro,
               struct error *err)
{
    if (!word_is_fine(options->name) || !word_is_fine(options->id))
        return error_set(err, ERR_INVALID, 0,
                         "a service's name '%s' and id '%s' are made of [A-Za-z0-9_-]",
                         options->name, options->id);
    struct micro *micro = calloc(1, sizeof(*micro));
    if (micro == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the service '%s'", options->name);
    micro->bus = bus;
    wall_format(clock_wall_now(), micro->started);
    int rc = 0;
    if (str_copy(micro->name, sizeof(micro->name), options->name) < 0 ||
        str_copy(micro->version, sizeof(micro->version), options->version) < 0 ||
        str_copy(micro->id, sizeof(micro->id), options->id) < 0 ||
        str_copy(micro->description, sizeof(micro->description),
                 options->description == NULL ? "" : options->description) < 0)
        rc = error_set(err, ERR_LIMIT, 0,
                       "the service '%.64s' has a name, version, id or "
                       "description that is too long",
                       options->name);
    if (rc == 0)
        rc = discovery_open(micro, err);
    if (rc < 0) {
        micro_close(micro);
        return rc;
    }
    *ret_micro = micro;
    return 0;
}

void micro_close(struct micro *micro)
{
    if (micro == NULL)
        return;
    for (int i = 0; i < micro->endpoint_count; i++)
        bus_unsubscribe(micro->endpoints[i].subscription);
    for (int i = 0; i < DISCOVERY; i++)
        bus_unsubscribe(micro->discovery[i]);
    free(micro);
}

int micro_endpoint(struct micro *micro, const char *name, const char *subject,
                   micro_handler *handler, void *context, struct error *err)
{
    if (micro->endpoint_count == ENDPOINTS_MAX)
        return error_set(err, ERR_LIMIT, 0, "the service '%s' has %d endpoints already",
                         micro->name, ENDPOINTS_MAX);
    struct endpoint *endpoint = &micro->endpoints[micro->endpoint_count];
    if (!word_is_fine(name) || str_copy(endpoint->name, sizeof(endpoint->name), name) < 0 ||
        str_copy(endpoint->subject, sizeof(endpoint->subject), subject) < 0)
        return error_set(err, ERR_INVALID, 0,
                         "an endpoint's name '%.64s' is made of [A-Za-z0-9_-], its subject '%.64s' "
                         "has less than %d bytes",
                         name, subject, LIMIT_SUBJECT_BYTES);
    endpoint->micro = micro;
    endpoint->handler = handler;
    endpoint->context = context;
    int rc = bus_subscribe(micro->bus, subject, QUEUE_GROUP, on_request, endpoint,
                           &endpoint->subscription, err);
    if (rc == 0)
        micro->endpoint_count++;
    return rc;
}

void micro_respond(struct micro *micro, uint64_t token, const void *data, size_t bytes)
{
    finish(micro, token, 0, NULL, data, bytes);
}

void micro_fail(struct micro *micro, uint64_t token, int http_code, const char *text,
                const void *data, size_t bytes)
{
    finish(micro, token, http_code, text, data, bytes);
}

static bool word_is_fine(const char *word)
{
    if (word == NULL)
        return false;
    size_t bytes = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-");
    return bytes > 0 && bytes < LIMIT_NAME_BYTES && word[bytes] == 0;
}

static int discovery_open(struct micro *micro, struct error *err)
{
    static const struct {
        const char *verb;
        bus_handler *handler;
    } verbs[] = {{"PING", on_ping}, {"INFO", on_info}, {"STATS", on_stats}};
    int count = 0;
    for (int verb = 0; verb < 3; verb++)
        for (int depth = 0; depth < 3; depth++) {
            char subject[LIMIT_SUBJECT_BYTES];
            if (depth == 0)
                str_format(subject, sizeof(subject), "$SRV.%s", verbs[verb].verb);
            else if (depth == 1)
                str_format(subject, sizeof(subject), "$SRV.%s.%s", verbs[verb].verb, micro->name);
            else
                str_format(subject, sizeof(subject), "$SRV.%s.%s.%s", verbs[verb].verb, micro->name,
                           micro->id);
            int rc = bus_subscribe(micro->bus, subject, NULL, verbs[verb].handler, micro,
                                   &micro->discovery[count], err);
            if (rc < 0)
                return rc;
            count++;
        }
    return 0;
}

static void on_ping(void *context, const struct bus_message *message)
{
    answer_discovery(context, message, describe(context, "ping_response"));
}

static void on_info(void *context, const struct bus_message *message)
{
    struct micro *micro = context;
    json_t *body = describe(micro, "info_response");
    json_t *list = json_array();
    for (int i = 0; i < micro->endpoint_count; i++)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:{}}", "name", micro->endpoints[i].name, "subject",
                            micro->endpoints[i].subject, "queue_group", QUEUE_GROUP, "metadata"));
    (void)json_object_set_new(body, "description", json_string(micro->description));
    (void)json_object_set_new(body, "endpoints", list);
    answer_discovery(micro, message, body);
}

/* Every field, always: the nats CLI refuses an answer that lacks one. Times in nanoseconds. */
static void on_stats(void *context, const struct bus_message *message)
{
    struct micro *micro = context;
    json_t *body = describe(micro, "stats_response");
    json_t *list = json_array();
    for (int i = 0; i < micro->endpoint_count; i++) {
        const struct endpoint *each = &micro->endpoints[i];
        json_int_t total_ns = (json_int_t)each->processing_us * 1000;
        json_int_t answered = (json_int_t)(each->requests > 0 ? each->requests : 1);
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:I, s:I}", "name", each->name,
                            "subject", each->subject, "queue_group", QUEUE_GROUP, "num_requests",
                            (json_int_t)each->requests, "num_errors", (json_int_t)each->errors,
                            "last_error", each->last_error, "processing_time", total_ns,
                            "average_processing_time", total_ns / answered));
    }
    (void)json_object_set_new(body, "started", json_string(micro->started));
    (void)json_object_set_new(body, "endpoints", list);
    answer_discovery(micro, message, body);
}

static json_t *describe(const struct micro *micro, const char *type)
{
    char full[LIMIT_NAME_BYTES];
    str_format(full, sizeof(full), "io.nats.micro.v1.%s", type);
    return json_pack("{s:s, s:s, s:s, s:s, s:{}}", "type", full, "name", micro->name, "id",
                     micro->id, "version", micro->version, "metadata");
}

/* Takes `body`. Without memory, or without a connection, there is no answer: discovery is asked
 * again by those who look. */
static void answer_discovery(struct micro *micro, const struct bus_message *message, json_t *body)
{
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    struct error ignored;
    if (text != NULL && str_starts(message->reply, INBOXES))
        (void)!bus_publish(micro->bus, message->reply, NULL, text, strlen(text), &ignored);
    free(text);
    json_decref(body);
}

static void on_request(void *context, const struct bus_message *message)
{
    struct endpoint *endpoint = context;
    struct micro *micro = endpoint->micro;
    endpoint->requests++;
    struct open_request *open = NULL;
    for (int i = 0; open == NULL && i < LIMIT_COMMANDS; i++)
        if (micro->requests[i].token == 0)
            open = &micro->requests[i];
    if (open == NULL || !str_starts(message->reply, INBOXES) ||
        str_copy(open->reply, sizeof(open->reply), message->reply) < 0) {
        /* Nothing that could be answered: it counts as an error, the asker's time runs out. */
        endpoint->errors++;
        str_format(endpoint->last_error, sizeof(endpoint->last_error), "%s",
                   open == NULL ? "too many requests are unanswered"
                                : "a request without an inbox");
        return;
    }
    open->token = ++micro->last_token;
    open->endpoint = (int)(endpoint - micro->endpoints);
    open->since = clock_mono_now();
    endpoint->handler(endpoint->context, open->token, message);
}

/* An unknown token was answered before: the second answer is dropped. */
static void finish(struct micro *micro, uint64_t token, int http_code, const char *text,
                   const void *data, size_t bytes)
{
    struct open_request *open = NULL;
    for (int i = 0; open == NULL && token != 0 && i < LIMIT_COMMANDS; i++)
        if (micro->requests[i].token == token)
            open = &micro->requests[i];
    if (open == NULL)
        return;
    struct endpoint *endpoint = &micro->endpoints[open->endpoint];
    char code[16];
    char line[LIMIT_TEXT_BYTES];
    str_format(code, sizeof(code), "%d", http_code);
    (void)snprintf(line, sizeof(line), "%s", text == NULL ? "" : text); /* a header: may be cut */
    line[strcspn(line, "\r\n")] = 0;
    struct bus_header headers[] = {{"Nats-Service-Error", line}, {"Nats-Service-Error-Code", code}};
    struct error problem = {0};
    int rc = bus_publish_headers(micro->bus, open->reply, NULL, headers, text == NULL ? 0 : 2, data,
                                 bytes, &problem);
    endpoint->processing_us += clock_mono_now().us - open->since.us;
    if (text != NULL || rc < 0) {
        endpoint->errors++;
        (void)snprintf(endpoint->last_error, sizeof(endpoint->last_error), "%s:%.200s", code,
                       rc < 0 ? problem.text : line);
    }
    open->token = 0;
}
