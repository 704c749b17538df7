/*
 * asking: an open loop of requests to an owner, each asked again until it is answered: at once when
 * it was refused or nobody was there, after a silence when nothing was heard (the answer, or the
 * request, may have been lost with an owner). So a request may be carried out more than once by an
 * owner that forgets; who judges looks for that.
 *
 * Locked inside: the handler's thread and the loop's share it.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/live/clients/judge.h"
#include "tests/live/clients/nats_client.h"

#define ASKING_WAITING_MAX 65536 /* requests without an answer at a time */

struct asking;

/* The text of a request, the same each time. */
typedef void asking_make(void *context, int64_t number, char *out, size_t capacity);
/* False: the request is not sent yet; it is asked for again soon. */
typedef bool asking_may(void *context, int64_t number);
/* An answer; true: it is right. Called once a request, under the lock. */
typedef bool asking_take(void *context, int64_t number, int64_t sent_us, const char *data,
                         int bytes);

/* It got no answer in its time: lost. */
typedef void asking_gave_up(void *context, int64_t number);

struct asking_waiting {
    int64_t number;
    int64_t next_us; /* it is asked again then */
    int64_t asked_us;
    int silences; /* nothing was heard so often: each time it waits twice as long, up to 16 times */
};

struct asking {
    struct nats_client client;
    struct judge judge;
    const char *subject;
    asking_make *make;
    asking_may *may; /* NULL: always */
    asking_take *take;
    asking_gave_up *gave_up; /* or NULL */
    void *context;
    int64_t rate;
    int64_t most;
    int64_t retry_us;
    int64_t silence_us;
    int64_t patience_us; /* a request without an answer for so long is lost */
    pthread_mutex_t lock;
    struct asking_waiting *waiting;
    int waiting_count;
    int64_t again_refused; /* asked again, by the reason */
    int64_t again_nobody;
    int64_t again_silent;
};

int asking_open(struct asking *asking, const struct nats_client_options *options,
                struct error *err) WARN_UNUSED;
/* Until `most` were answered, or *ended and what was under way is answered or lost. `line` is
 * called every every_us, under the lock. */
void asking_run(struct asking *asking, const volatile int *ended, int64_t every_us,
                void (*line)(void *context));
void asking_close(struct asking *asking);
