/*
 * client: one connection of the command line to the scheduler: requests with the operator's key,
 * and the answers as JSON.
 *
 * A change carries an id of its own, so a request whose answer was lost is sent again under the
 * same id and done once. While nobody answers (a scheduler that restarts) it is tried again for a
 * few seconds. Requests prove that they are the operator's when the scheduler's public key lies
 * beside the operator's seed; without it they can read and change nothing. Any body that is no JSON
 * is an error. One thread.
 */
#pragma once

#include <jansson.h>

#include "base/bus/bus.h"
#include "base/error.h"
#include "base/keys/proof.h"
#include "base/wire/messages.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/reference.h"

struct client {
    struct bus *bus;
    struct proof_link link;
    int64_t timeout_us;
    char url[LIMIT_PATH_BYTES];
    char folder[LIMIT_PATH_BYTES]; /* "" when --url was given */
};

struct client_reply {
    json_t *json; /* of the body */
    char *text;   /* the body as it came */
    uint64_t version;
};

/* From --url and --seed, or from what `up` wrote into the folder. */
int client_open(const struct cli *cli, struct client **ret_client, struct error *err) WARN_UNUSED;
/* As the user of a berth.json and without a command line: for `up` itself. */
int client_open_at(const char *url, const char *seed_path, const char *user, int64_t timeout_us,
                   struct client **ret_client, struct error *err) WARN_UNUSED;
void client_close(struct client *client);
void cleanup_client(struct client **client);

/* Fills in the id. The scheduler's refusal is returned as its own error code and text. */
int client_call(struct client *client, const char *verb, struct message_request *request,
                struct client_reply *ret_reply, struct error *err) WARN_UNUSED;
void client_reply_done(struct client_reply *reply);

/* The same without waiting: `handler` gets the answer's bytes from bus_dispatch of the client's
 * bus, for client_take_reply. A request that has an id keeps it: it is asked again. */
int client_send(struct client *client, const char *verb, struct message_request *request,
                int64_t timeout_us, bus_handler *handler, void *context,
                struct error *err) WARN_UNUSED;
int client_take_reply(const char *data, size_t bytes, struct client_reply *ret_reply,
                      struct error *err) WARN_UNUSED;

/* A request about an app or workload. */
void client_request_init(struct message_request *request, const struct reference *reference);
/* The body of the answer, printed as it came: for --json. */
int client_print(const struct client_reply *reply, struct error *err) WARN_UNUSED;
