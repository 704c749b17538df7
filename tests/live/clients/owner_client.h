/*
 * owner_client: what the programs share that ask an owner (asking.h) and judge who answered
 * (owners.h): their options, SIGTERM and SIGINT as the end of the asking, and the members of their
 * lines that are the same. A program embeds it and judges what is its own. One thread but for
 * asking's.
 */
#pragma once

#include "tests/live/clients/asking.h"
#include "tests/live/clients/options.h"
#include "tests/live/clients/owners.h"

#define OWNER_CLIENT_OWN_MAX 4 /* options of a program's own */

struct owner_client {
    const char *url;
    const char *seed;
    const char *inbox;
    const char *subject;
    const char *history;
    int64_t rate;
    int64_t seconds;
    int64_t every_ms;
    int64_t retry_us;
    int64_t silence_ms;
    int64_t patience_ms;
    bool json;
    struct asking asking;
    struct owners owners;
};

/* What they are when nobody says: all but the rate. */
#define OWNER_CLIENT_USUAL                                                              \
    .url = "nats://127.0.0.1:4222", .inbox = "_INBOX", .seconds = 10, .every_ms = 1000, \
    .retry_us = 500, .silence_ms = 250, .patience_ms = 30000

/* Reads the options, those that all have and the program's `own` (its end as in client_options).
 * 1: only help was asked for; below 0: said on standard error why not. */
int owner_client_options(struct owner_client *client, int argc, char **argv, const char *about,
                         const struct client_option *own);
/* Connects. The program has set asking's make, take, and what else it has, and its context. */
int owner_client_open(struct owner_client *client, struct error *err) WARN_UNUSED;
/* Asks until all were answered, or a signal ended it; `line` is called every every_ms. */
void owner_client_run(struct owner_client *client, void (*line)(void *context));
/* Writes the history when one was asked for. */
int owner_client_history(const struct owner_client *client, struct error *err) WARN_UNUSED;
void owner_client_close(struct owner_client *client);

/* A line's begin, up to the members of the program's own, and its end. */
void owner_client_line_begin(struct owner_client *client, bool final);
void owner_client_line_end(const struct owner_client *client);
/* What is wrong whoever asks: two owners at once, more than can be judged, no answer. */
int64_t owner_client_wrong(const struct owner_client *client);
