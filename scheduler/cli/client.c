#include "scheduler/cli/client.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "scheduler/cli/find_dir.h"
#include "scheduler/cli/show.h"

#define CONNECT_US      (5 * US_PER_S)
#define RETRY_US        (200 * US_PER_MS)
#define UNAVAILABLE_US  (3 * US_PER_S) /* how long a scheduler may be away: a restart */
#define ATTEMPT_US      (5 * US_PER_S) /* after which the same request is sent again */
#define USER_DEFAULT    "operator"
#define REPLY_BYTES_MAX ((size_t)LIMIT_WIRE_BYTES * 2)

static int from_folder(const struct cli *cli, char url[LIMIT_PATH_BYTES],
                       char seed[LIMIT_PATH_BYTES], char user[LIMIT_NAME_BYTES],
                       char folder[LIMIT_PATH_BYTES], struct error *err);
static int copy_field(const json_t *json, const char *key, char *out, size_t capacity,
                      const char *folder, struct error *err);
static int call_until(struct client *client, const char *subject, const struct strbuf *message,
                      char **ret_data, size_t *ret_bytes, struct error *err);
static int write_request(struct client *client, const char *verb,
                         const struct message_request *request, char subject[LIMIT_SUBJECT_BYTES],
                         struct strbuf *message, struct error *err);

int client_open(const struct cli *cli, struct client **ret_client, struct error *err)
{
    char url[LIMIT_PATH_BYTES] = "";
    char seed[LIMIT_PATH_BYTES] = "";
    char user[LIMIT_NAME_BYTES] = USER_DEFAULT;
    char folder[LIMIT_PATH_BYTES] = "";
    const struct cli_common *common = &cli->common;
    int rc = 0;
    if (common->url == NULL || common->seed == NULL) {
        rc = from_folder(cli, url, seed, user, folder, err);
        if (rc < 0)
            return rc;
    }
    if (common->url != NULL)
        rc = str_copy(url, sizeof(url), common->url);
    if (rc == 0 && common->seed != NULL)
        rc = str_copy(seed, sizeof(seed), common->seed);
    if (rc == 0 && common->user != NULL)
        rc = str_copy(user, sizeof(user), common->user);
    if (rc < 0)
        return error_set(err, ERR_LIMIT, 0, "--url, --seed or --user is too long");
    rc = client_open_at(url, seed, user, common->timeout_us, ret_client, err);
    if (rc < 0 && folder[0] != 0 && common->url == NULL && folder_holder(folder) == 0)
        return error_set(err, ERR_UNAVAILABLE, 0,
                         "nothing runs in %s; start it again with: berth up --dir %s", folder,
                         folder);
    if (rc == 0)
        str_format((*ret_client)->folder, sizeof((*ret_client)->folder), "%s", folder);
    return rc;
}

int client_open_at(const char *url, const char *seed_path, const char *user, int64_t timeout_us,
                   struct client **ret_client, struct error *err)
{
    if (!name_is_valid(user))
        return error_set(err, ERR_INVALID, 0,
                         "--user \"%.64s\" is no name: 1 to 63 of a-z, 0-9 and '-'", user);
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a connection");
    client->timeout_us = timeout_us;
    str_format(client->url, sizeof(client->url), "%s", url);
    char inbox[LIMIT_SUBJECT_BYTES];
    subject_inbox("o", user, inbox);
    struct bus_options options = {
        .url = url,
        .name = "berth-cli",
        .seed_path = seed_path,
        .inbox_prefix = inbox,
        .connect_timeout_us = timeout_us < CONNECT_US ? timeout_us : CONNECT_US,
    };
    int rc = proof_link_open_user("operator", user, seed_path, "", &client->link, err);
    if (rc == ERR_NOT_FOUND)
        rc = 0; /* the scheduler's key is not here: it says so when a change is asked for */
    if (rc == 0)
        rc = bus_open(&options, &client->bus, err);
    if (rc < 0) {
        free(client);
        return rc;
    }
    *ret_client = client;
    return 0;
}

void client_close(struct client *client)
{
    if (client == NULL)
        return;
    bus_close(client->bus);
    free(client);
}

void cleanup_client(struct client **client)
{
    client_close(*client);
}

int client_call(struct client *client, const char *verb, struct message_request *request,
                struct client_reply *ret_reply, struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    struct strbuf message;
    char *data = NULL;
    size_t bytes = 0;
    int rc = keys_init(err);
    if (rc < 0)
        return rc;
    id_random(request->id);
    strbuf_init(&message, LIMIT_WIRE_BYTES);
    rc = write_request(client, verb, request, subject, &message, err);
    if (rc == 0)
        rc = call_until(client, subject, &message, &data, &bytes, err);
    strbuf_done(&message);
    if (rc == 0)
        rc = client_take_reply(data, bytes, ret_reply, err);
    free(data);
    return rc;
}

int client_send(struct client *client, const char *verb, struct message_request *request,
                int64_t timeout_us, bus_handler *handler, void *context, struct error *err)
{
    char subject[LIMIT_SUBJECT_BYTES];
    struct strbuf message;
    int rc = keys_init(err);
    if (rc < 0)
        return rc;
    if (request->id[0] == 0)
        id_random(request->id);
    strbuf_init(&message, LIMIT_WIRE_BYTES);
    rc = write_request(client, verb, request, subject, &message, err);
    if (rc == 0)
        rc = bus_request(client->bus, subject, strbuf_text(&message), message.bytes, timeout_us,
                         handler, context, err);
    strbuf_done(&message);
    return rc;
}

static int write_request(struct client *client, const char *verb,
                         const struct message_request *request, char subject[LIMIT_SUBJECT_BYTES],
                         struct strbuf *message, struct error *err)
{
    subject_ctl(verb, subject);
    proof_begin(&client->link, message);
    wire_encode(&message_request_shape, request, message);
    proof_end(&client->link, subject, proof_next(&client->link), message);
    if (strbuf_error(message, NULL) == 0)
        return 0;
    return error_set(err, ERR_LIMIT, 0,
                     "the document is larger than one message (%d bytes); divide it into several "
                     "apps",
                     LIMIT_WIRE_BYTES);
}

void client_reply_done(struct client_reply *reply)
{
    json_decref(reply->json);
    free(reply->text);
    *reply = (struct client_reply){.json = NULL};
}

void client_request_init(struct message_request *request, const struct reference *reference)
{
    *request = (struct message_request){.document = ""};
    if (reference == NULL)
        return;
    memcpy(request->namespace_, reference->namespace_, sizeof(request->namespace_));
    memcpy(request->app, reference->app, sizeof(request->app));
    memcpy(request->workload, reference->workload, sizeof(request->workload));
}

int client_print(const struct client_reply *reply, struct error *err)
{
    int rc = cli_print_text(reply->text, err);
    return rc < 0 ? rc : cli_print_text("\n", err);
}

static int from_folder(const struct cli *cli, char url[LIMIT_PATH_BYTES],
                       char seed[LIMIT_PATH_BYTES], char user[LIMIT_NAME_BYTES],
                       char folder[LIMIT_PATH_BYTES], struct error *err)
{
    int rc = folder_find(cli->common.dir, folder, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_json) json_t *json = NULL;
    rc = folder_read(folder, &json, err);
    if (rc < 0)
        return rc;
    rc = copy_field(json, "url", url, LIMIT_PATH_BYTES, folder, err);
    if (rc < 0)
        return rc;
    size_t index;
    json_t *each;
    json_array_foreach(json_object_get(json, "users"), index, each)
    {
        if (!str_equal(json_text(each, "role"), "operator"))
            continue;
        rc = copy_field(each, "seed", seed, LIMIT_PATH_BYTES, folder, err);
        return rc < 0 ? rc : copy_field(each, "name", user, LIMIT_NAME_BYTES, folder, err);
    }
    return error_set(err, ERR_CORRUPT, 0,
                     "%s/berth.json names no operator; `berth up` writes it anew", folder);
}

static int copy_field(const json_t *json, const char *key, char *out, size_t capacity,
                      const char *folder, struct error *err)
{
    const char *text = json_text(json, key);
    if (text[0] != 0 && str_copy(out, capacity, text) == 0)
        return 0;
    return error_set(err, ERR_CORRUPT, 0,
                     "%s/berth.json: the field \"%s\" is missing or too long; `berth up` writes it "
                     "anew",
                     folder, key);
}

/* Asks until there is an answer or the time is over. Sending again is safe: the id is the same. */
static int call_until(struct client *client, const char *subject, const struct strbuf *message,
                      char **ret_data, size_t *ret_bytes, struct error *err)
{
    int64_t began_us = clock_mono_now().us;
    for (;;) {
        int64_t left_us = began_us + client->timeout_us - clock_mono_now().us;
        if (left_us < US_PER_MS)
            left_us = US_PER_MS;
        int rc = bus_call(client->bus, subject, strbuf_text(message), message->bytes,
                          left_us < ATTEMPT_US ? left_us : ATTEMPT_US, ret_data, ret_bytes, err);
        int64_t past_us = clock_mono_now().us - began_us;
        bool over = past_us >= client->timeout_us;
        if (rc == ERR_UNAVAILABLE && !over && past_us < UNAVAILABLE_US) {
            nanosleep(&(struct timespec){.tv_nsec = RETRY_US * 1000}, NULL);
            continue;
        }
        if (rc == ERR_TIMEOUT && !over)
            continue;
        if (rc == ERR_UNAVAILABLE) {
            char trouble[LIMIT_TEXT_BYTES];
            bus_trouble(client->bus, trouble, sizeof(trouble));
            return error_set(err, rc, 0,
                             "no scheduler answers at %s%s%s%s; is it running? `berth up` starts "
                             "one, its log is DIR/log/scheduler.log",
                             client->url, trouble[0] == 0 ? "" : " (", trouble,
                             trouble[0] == 0 ? "" : ")");
        }
        return rc;
    }
}

int client_take_reply(const char *data, size_t bytes, struct client_reply *ret_reply,
                      struct error *err)
{
    struct arena arena;
    struct message_reply reply;
    arena_init(&arena, REPLY_BYTES_MAX);
    int rc = wire_decode(&message_reply_shape, data, bytes, 0, &arena, &reply, err);
    if (rc < 0) {
        arena_done(&arena);
        return error_prefix(err, "the scheduler's answer");
    }
    struct client_reply out = {.version = reply.version};
    if (reply.code < 0) {
        const char *text =
            reply.text == NULL || reply.text[0] == 0 ? error_sentence(reply.code) : reply.text;
        rc = error_set(err, reply.code, 0, "%s", text);
    } else {
        const char *body = reply.body == NULL || reply.body[0] == 0 ? "{}" : reply.body;
        out.text = strdup(body);
        json_error_t problem;
        out.json = out.text == NULL ? NULL : json_loads(body, 0, &problem);
        if (out.text == NULL)
            rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for the answer");
        else if (out.json == NULL)
            rc = error_set(err, ERR_CORRUPT, 0, "the scheduler's answer is no JSON: %s",
                           problem.text);
    }
    arena_done(&arena);
    if (rc < 0)
        client_reply_done(&out);
    else
        *ret_reply = out;
    return rc;
}
