/* The settings of a connection, and what nats.c's statuses mean here. */
#include <limits.h>
#include <stdio.h>

#include "base/bus/bus_internal.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"

#define PING_US_DEFAULT    (2 * US_PER_S)
#define CONNECT_US_DEFAULT (5 * US_PER_S)

/* The settings that bus.h promises. Each call's status is checked through `status`: the first that
 * fails stops the rest. */
int bus_options_apply(const struct bus_options *options, natsOptions *nats, struct error *err)
{
    int64_t ping_us = options->ping_us > 0 ? options->ping_us : PING_US_DEFAULT;
    int64_t connect_us =
        options->connect_timeout_us > 0 ? options->connect_timeout_us : CONNECT_US_DEFAULT;
    natsStatus status = natsOptions_SetURL(nats, options->url);
    if (status != NATS_OK)
        return bus_status_error(status, err, "the address '%s' is not nats://host:port",
                                options->url);
    status = natsOptions_SetTimeout(nats, connect_us / US_PER_MS + 1);
    if (status == NATS_OK && options->name != NULL)
        status = natsOptions_SetName(nats, options->name);
    if (status == NATS_OK && options->inbox_prefix != NULL)
        status = natsOptions_SetCustomInboxPrefix(nats, options->inbox_prefix);
    if (status == NATS_OK)
        status = natsOptions_SetPingInterval(nats, ping_us / US_PER_MS + 1);
    if (status == NATS_OK)
        status = natsOptions_SetMaxPingsOut(nats, 2);
    if (status == NATS_OK)
        status = natsOptions_SetMaxReconnect(nats, INT_MAX);
    if (status == NATS_OK)
        status = natsOptions_SetReconnectWait(nats, 250);
    if (status == NATS_OK)
        status = natsOptions_SetReconnectJitter(nats, 500, 500);
    if (status == NATS_OK)
        status = natsOptions_SetReconnectBufSize(nats, 0);
    if (status == NATS_OK)
        status = natsOptions_SetFailRequestsOnDisconnect(nats, true);
    if (status == NATS_OK)
        status = natsOptions_SetSendAsap(nats, true);
    if (status == NATS_OK)
        status = natsOptions_SetWriteDeadline(nats, 5000);
    if (status == NATS_OK)
        status = natsOptions_UseGlobalMessageDelivery(nats, true);
    if (status == NATS_OK && options->seed_path != NULL) {
        char public_key[NKEY_TEXT_BYTES];
        int rc = nkey_file_public(options->seed_path, public_key, err);
        if (rc < 0)
            return rc;
        status = natsOptions_SetNKeyFromSeed(nats, public_key, options->seed_path);
    }
    if (status != NATS_OK)
        return bus_status_error(status, err, "cannot set up the connection to %s", options->url);
    return 0;
}

int bus_message_status(natsMsg *message)
{
    if (natsMsg_IsNoResponders(message))
        return 503;
    const char *text = NULL;
    int64_t status = 0;
    if (natsMsgHeader_Get(message, "Status", &text) != NATS_OK || text == NULL ||
        str_to_i64(text, &status) < 0 || status < 100 || status > 999)
        return 0;
    return (int)status;
}

int bus_status_error(natsStatus status, struct error *err, const char *format, ...)
{
    int code = ERR_IO;
    switch (status) {
    case NATS_NO_RESPONDERS:
    case NATS_NO_SERVER:
    case NATS_NOT_YET_CONNECTED:
    case NATS_CONNECTION_CLOSED:
    case NATS_CONNECTION_DISCONNECTED:
    case NATS_INSUFFICIENT_BUFFER:
    case NATS_STALE_CONNECTION:
    case NATS_IO_ERROR:
        code = ERR_UNAVAILABLE;
        break;
    case NATS_TIMEOUT:
        code = ERR_TIMEOUT;
        break;
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
        code = ERR_DENIED;
        break;
    case NATS_NO_MEMORY:
        code = ERR_NO_MEMORY;
        break;
    case NATS_MAX_PAYLOAD:
        code = ERR_LIMIT;
        break;
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT:
    case NATS_ADDRESS_MISSING:
        code = ERR_INVALID;
        break;
    default:
        break;
    }
    char sentence[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, args); /* a cut sentence still says it */
    va_end(args);
    natsStatus last = NATS_OK;
    const char *detail = nats_GetLastError(&last);
    if (detail == NULL || detail[0] == 0 || last != status)
        return error_set(err, code, 0, "%s: %s", sentence, natsStatus_GetText(status));
    return error_set(err, code, 0, "%s: %s (%.200s)", sentence, natsStatus_GetText(status), detail);
}
