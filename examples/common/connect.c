#include "examples/common/connect.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/keys/keys.h"

natsStatus connect_as_told(natsConnection **ret_connection, bool at_once)
{
    return connect_as(getenv("BERTH_NATS_SEED_FILE"), getenv("BERTH_INBOX_PREFIX"), at_once,
                      ret_connection);
}

natsStatus connect_as(const char *seed_path, const char *inbox, bool at_once,
                      natsConnection **ret_connection)
{
    const char *url = getenv("BERTH_NATS_URL");
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK)
        status = natsOptions_SetURL(options, url != NULL ? url : "nats://127.0.0.1:4222");
    if (status == NATS_OK)
        status = natsOptions_SetMaxReconnect(options, -1);
    if (status == NATS_OK)
        status = natsOptions_SetReconnectWait(options, 250);
    if (status == NATS_OK)
        status = natsOptions_SetPingInterval(options, 2000);
    if (status == NATS_OK)
        status = natsOptions_SetSendAsap(options, at_once);
    if (status == NATS_OK && inbox != NULL)
        status = natsOptions_SetCustomInboxPrefix(options, inbox);
    if (status == NATS_OK && seed_path != NULL) {
        char public_key[NKEY_TEXT_BYTES] = "";
        struct error err = {0};
        if (keys_init(&err) < 0 || nkey_file_public(seed_path, public_key, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            natsOptions_Destroy(options);
            return NATS_INVALID_ARG;
        }
        status = natsOptions_SetNKeyFromSeed(options, public_key, seed_path);
    }
    /* nats.c 3.4 leaves out one signature of 256, which the server refuses: the next one counts. */
    natsStatus set_up = status;
    for (int i = 0; set_up == NATS_OK && i < 4; i++) {
        status = natsConnection_Connect(ret_connection, options);
        if (status != NATS_CONNECTION_AUTH_FAILED)
            break;
    }
    natsOptions_Destroy(options);
    return status;
}
