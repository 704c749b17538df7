/*
 * ask: many requests under way at once over one NATS connection, without a thread for each.
 *
 * One wildcard subscription on a private inbox; every question has a slot of a fixed table and a
 * reply subject "<inbox>.<slot>.<turn>", so that a late answer of an earlier turn is told apart.
 * `done` is called exactly once: on a thread of nats.c with the answer, or by ask_sweep with NULL
 * when the time is up, or by ask_send itself, with NULL, when nothing could be sent.
 */
#pragma once

#include <nats/nats.h>
#include <stdint.h>

struct asker;

typedef void ask_done(void *context, natsMsg *answer);

natsStatus ask_open(natsConnection *connection, struct asker **ret_asker);
void ask_close(struct asker *asker);
void ask_send(struct asker *asker, const char *subject, const void *data, int bytes,
              int64_t timeout_us, ask_done *done, void *context);
void ask_sweep(struct asker *asker);
