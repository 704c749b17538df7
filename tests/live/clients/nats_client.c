#include "tests/live/clients/nats_client.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"

static void on_answer(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                      void *closure);

int nats_client_open(struct nats_client *client, const struct nats_client_options *from,
                     struct error *err)
{
    natsOptions *options = NULL;
    char unique[LIMIT_ID_BYTES], all[LIMIT_SUBJECT_BYTES + 8], public_key[NKEY_TEXT_BYTES] = "";
    if (keys_init(err) < 0 ||
        (from->seed_path != NULL && nkey_file_public(from->seed_path, public_key, err) < 0))
        return err->code;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK)
        status = natsOptions_SetURL(options, from->url);
    if (status == NATS_OK)
        status = natsOptions_SetMaxReconnect(options, -1);
    if (status == NATS_OK)
        status = natsOptions_SetReconnectWait(options, 100);
    if (status == NATS_OK) /* else messages are gathered for up to a millisecond */
        status = natsOptions_SetSendAsap(options, true);
    if (status == NATS_OK)
        status = natsOptions_SetCustomInboxPrefix(options, from->inbox_prefix);
    if (status == NATS_OK && from->seed_path != NULL)
        status = natsOptions_SetNKeyFromSeed(options, public_key, from->seed_path);
    /* nats.c 3.4 leaves out one signature of 256, which the server refuses: the next one counts. */
    natsStatus set_up = status;
    for (int i = 0; set_up == NATS_OK && i < 4; i++) {
        status = natsConnection_Connect(&client->connection, options);
        if (status != NATS_CONNECTION_AUTH_FAILED)
            break;
    }
    natsOptions_Destroy(options);
    id_random(unique);
    str_format(client->inbox, sizeof client->inbox, "%.128s.%s", from->inbox_prefix, unique);
    str_format(all, sizeof all, "%s.*", client->inbox);
    if (status == NATS_OK)
        status = natsConnection_Subscribe(&client->subscription, client->connection, all, on_answer,
                                          client);
    if (status == NATS_OK)
        status = natsSubscription_SetPendingLimits(client->subscription, -1, -1);
    if (status == NATS_OK)
        status = natsConnection_FlushTimeout(client->connection, 5000);
    if (status != NATS_OK)
        return error_set(err, ERR_UNAVAILABLE, 0, "connect to %s: %s", from->url,
                         natsStatus_GetText(status));
    return 0;
}

void nats_client_close(struct nats_client *client)
{
    if (client->subscription != NULL) {
        natsSubscription_Drain(client->subscription);
        natsSubscription_WaitForDrainCompletion(client->subscription, 5000);
    }
    natsSubscription_Destroy(client->subscription);
    natsConnection_Close(client->connection);
    natsConnection_Destroy(client->connection);
    client->subscription = NULL;
    client->connection = NULL;
    nats_Close();
}

int nats_client_ask(struct nats_client *client, const char *subject, int64_t number,
                    const char *text)
{
    char reply[LIMIT_SUBJECT_BYTES + 32];
    str_format(reply, sizeof reply, "%s.%" PRId64, client->inbox, number);
    return natsConnection_PublishRequestString(client->connection, subject, reply, text) == NATS_OK
               ? 0
               : ERR_UNAVAILABLE;
}

int nats_client_call(struct nats_client *client, const char *subject, const char *text,
                     int64_t timeout_us, char *out, size_t capacity, struct error *err)
{
    natsMsg *msg = NULL;
    natsStatus status = natsConnection_RequestString(&msg, client->connection, subject, text,
                                                     timeout_us / US_PER_MS);
    if (status != NATS_OK)
        return error_set(err, status == NATS_NO_RESPONDERS ? ERR_UNAVAILABLE : ERR_TIMEOUT, 0,
                         "%s: %s", subject, natsStatus_GetText(status));
    int rc = 0;
    if ((size_t)natsMsg_GetDataLength(msg) >= capacity)
        rc = error_set(err, ERR_LIMIT, 0, "%s answered %d bytes", subject,
                       natsMsg_GetDataLength(msg));
    else
        str_format(out, capacity, "%.*s", natsMsg_GetDataLength(msg), natsMsg_GetData(msg));
    natsMsg_Destroy(msg);
    return rc;
}

static void on_answer(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                      void *closure)
{
    struct nats_client *client = closure;
    (void)connection;
    (void)subscription;
    const char *dot = strrchr(natsMsg_GetSubject(msg), '.');
    const char *error = NULL;
    int64_t number = -1;
    enum nats_said said = natsMsg_IsNoResponders(msg) ? NATS_SAID_NOBODY
                          : natsMsgHeader_Get(msg, "Nats-Service-Error", &error) == NATS_OK
                              ? NATS_SAID_REFUSAL
                              : NATS_SAID_ANSWER;
    if (dot != NULL && str_to_i64(dot + 1, &number) == 0)
        client->handler(client->context, number, said, natsMsg_GetData(msg),
                        natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
}
