/*
 * connect: a workload's way into NATS, as Berth tells it: $BERTH_NATS_URL, $BERTH_NATS_SEED_FILE
 * and $BERTH_INBOX_PREFIX; by hand nats://127.0.0.1:4222 without a key. It reconnects for ever.
 */
#pragma once

#include <nats/nats.h>

natsStatus connect_as_told(natsConnection **ret_connection);
