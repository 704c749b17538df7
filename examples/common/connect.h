/*
 * connect: a workload's way into NATS, as Berth tells it: $BERTH_NATS_URL, $BERTH_NATS_SEED_FILE
 * and $BERTH_INBOX_PREFIX; by hand nats://127.0.0.1:4222 without a key. It reconnects for ever.
 *
 * nats.c gathers what is published for up to a millisecond. `at_once` sends each message by itself:
 * for a service whose answers are waited for one by one.
 */
#pragma once

#include <nats/nats.h>
#include <stdbool.h>

natsStatus connect_as_told(natsConnection **ret_connection, bool at_once);
/* The same way as another user; both texts may be NULL. */
natsStatus connect_as(const char *seed_path, const char *inbox, bool at_once,
                      natsConnection **ret_connection);
