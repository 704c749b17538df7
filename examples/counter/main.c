/*
 * counter: an exclusive owner: the one writer of a ledger (examples/ledger-resource). Each request,
 * an id, gets the next number, once: asked again, the same one.
 *
 *     counter [--subject svc.default.counter] [--ledger svc.default.ledger] [--state-bytes 1024]
 *             [--linger-ms 100]
 *
 * It answers "<id> <number> <epoch> <instance>" after the ledger has made the number durable. The
 * state that it hands over is the count and the ids of the last numbers, up to --state-bytes of
 * text. What it was handed may be older than the ledger (an owner that died handed nothing over
 * since), and an append without an answer may have been carried out or not: so an append names the
 * number that it is to be, the ledger refuses one that does not follow, and then, as when nothing
 * was handed over, the count and the ids are the ledger's own, asked for with the epoch (a claim).
 * An id that is older than all that it knows is the ledger's to recognise. --linger-ms: for how
 * long it refuses once it is frozen, before its subscription ends (common/owner.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "examples/common/owner.h"
#include "examples/counter/tally.h"

#define LEDGER_TIMEOUT_MS 1000
#define TRIES             3

enum said { SAID_OK, SAID_AGAIN, SAID_CONFLICT, SAID_REFUSED, SAID_NOTHING };

struct counter {
    const char *ledger;
    int64_t state_bytes;
    struct tally tally;
    bool unsure; /* the ledger may be further than the tally */
};

static void serve(struct owner *owner, natsMsg *request, void *context);
static int own(struct owner *owner, const char *handed, void *context);
static int freeze(struct owner *owner, const char *path, char handed[BERTH_HANDED_BYTES + 1],
                  void *context);
static enum said claim(struct owner *owner, struct counter *counter);
static enum said append(struct owner *owner, struct counter *counter, const char *id,
                        int64_t *ret_number);
static enum said ask(struct owner *owner, const struct counter *counter, const char *text,
                     natsMsg **ret_answer);

int main(int argc, char **argv)
{
    static struct counter counter = {.ledger = "svc.default.ledger", .state_bytes = 1024};
    int64_t linger_ms = OWNER_LINGER_US / 1000;
    struct owner_options options = {.subject = "svc.default.counter",
                                    .context = &counter,
                                    .serve = serve,
                                    .own = own,
                                    .freeze = freeze};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (str_equal(argv[i], "--subject"))
            options.subject = argv[i + 1];
        else if (str_equal(argv[i], "--ledger"))
            counter.ledger = argv[i + 1];
        else if (str_equal(argv[i], "--linger-ms") && str_to_i64(argv[i + 1], &linger_ms) == 0)
            continue;
        else if (!str_equal(argv[i], "--state-bytes") ||
                 str_to_i64(argv[i + 1], &counter.state_bytes) < 0 || counter.state_bytes < 20 ||
                 counter.state_bytes > BERTH_HANDED_BYTES)
            argc = 0;
    }
    if (argc % 2 == 0 || linger_ms < 0 || linger_ms > 60000) {
        fprintf(stderr,
                "usage: counter [--subject S] [--ledger S] [--state-bytes 20..%d] "
                "[--linger-ms 0..60000]\n",
                BERTH_HANDED_BYTES);
        return 2;
    }
    options.linger_us = linger_ms * 1000;
    return owner_run(&options);
}

static void serve(struct owner *owner, natsMsg *request, void *context)
{
    struct counter *counter = context;
    char id[TALLY_ID_BYTES], text[256], epoch[BERTH_EPOCH_BYTES];
    int bytes = natsMsg_GetDataLength(request);
    if (bytes < 1 || bytes >= TALLY_ID_BYTES) {
        owner_refuse(owner, request, "an id has 1 to 39 letters");
        return;
    }
    str_format(id, sizeof id, "%.*s", bytes, natsMsg_GetData(request));
    if (!tally_id_is_valid(id)) {
        owner_refuse(owner, request, "an id is of [A-Za-z0-9._-]");
        return;
    }
    enum said said = SAID_OK;
    int64_t number = 0;
    for (int i = 0; i < TRIES && number == 0 && said != SAID_REFUSED; i++) {
        said = counter->unsure ? claim(owner, counter) : SAID_OK;
        if (said == SAID_OK)
            number = tally_find(&counter->tally, id);
        if (said == SAID_OK && number == 0) {
            said = append(owner, counter, id, &number);
        }
    }
    if (number == 0) {
        owner_refuse(owner, request,
                     said == SAID_REFUSED ? "fenced" : "the ledger does not answer");
        return;
    }
    str_format(text, sizeof text, "%s %" PRId64 " %s %.128s", id, number,
               berth_epoch_format(owner_epoch(owner), epoch), owner_instance(owner));
    owner_reply(owner, request, text);
}

static int own(struct owner *owner, const char *handed, void *context)
{
    struct counter *counter = context;
    counter->unsure = handed[0] == 0 || tally_read(&counter->tally, handed, ',') < 0;
    if (!counter->unsure)
        return 0;
    /* A ledger that is away is asked again with the first request; one that refuses is an answer.
     */
    return claim(owner, counter) == SAID_REFUSED ? -1 : 0;
}

static int freeze(struct owner *owner, const char *path, char handed[BERTH_HANDED_BYTES + 1],
                  void *context)
{
    const struct counter *counter = context;
    (void)owner;
    (void)path;
    if (counter->unsure)
        handed[0] = 0; /* the next one asks the ledger */
    else
        tally_write(&counter->tally, (size_t)counter->state_bytes, handed, BERTH_HANDED_BYTES + 1);
    return 0;
}

static enum said claim(struct owner *owner, struct counter *counter)
{
    char text[96], epoch[BERTH_EPOCH_BYTES];
    natsMsg *answer = NULL;
    str_format(text, sizeof text, "claim %s", berth_epoch_format(owner_epoch(owner), epoch));
    counter->unsure = true;
    enum said said = ask(owner, counter, text, &answer);
    if (said == SAID_OK) {
        static char list[TALLY_IDS * TALLY_ID_BYTES + 64];
        int bytes = natsMsg_GetDataLength(answer) - 3; /* "ok " */
        if (bytes < (int)sizeof list) {
            str_format(list, sizeof list, "%.*s", bytes, natsMsg_GetData(answer) + 3);
            counter->unsure = tally_read(&counter->tally, list, ' ') < 0;
        }
        said = counter->unsure ? SAID_NOTHING : SAID_OK;
    }
    natsMsg_Destroy(answer);
    return said;
}

/* *ret_number is written when the id has a number now, a new one or one of before. */
static enum said append(struct owner *owner, struct counter *counter, const char *id,
                        int64_t *ret_number)
{
    char text[192], epoch[BERTH_EPOCH_BYTES];
    natsMsg *answer = NULL;
    str_format(text, sizeof text, "append %s %" PRId64 " %s",
               berth_epoch_format(owner_epoch(owner), epoch), counter->tally.count + 1, id);
    enum said said = ask(owner, counter, text, &answer);
    if (said == SAID_OK) {
        tally_add(&counter->tally, id);
        *ret_number = counter->tally.count;
    } else if (said == SAID_AGAIN) {
        const char *after = natsMsg_GetData(answer) + strlen("again ");
        str_format(text, sizeof text, "%.*s", natsMsg_GetDataLength(answer) - (int)strlen("again "),
                   after);
        if (str_to_i64(text, ret_number) < 0)
            said = SAID_NOTHING;
    } else {
        counter->unsure = true;
    }
    natsMsg_Destroy(answer);
    return said;
}

/* The answer is the caller's, whatever it says; NULL without one. */
static enum said ask(struct owner *owner, const struct counter *counter, const char *text,
                     natsMsg **ret_answer)
{
    if (natsConnection_RequestString(ret_answer, owner_connection(owner), counter->ledger, text,
                                     LEDGER_TIMEOUT_MS) != NATS_OK)
        return SAID_NOTHING;
    const char *said = natsMsg_GetData(*ret_answer);
    if (natsMsg_GetDataLength(*ret_answer) >= 4 && strncmp(said, "ok ", 3) == 0)
        return SAID_OK;
    if (strncmp(said, "again ", 6) == 0)
        return SAID_AGAIN;
    if (strncmp(said, "refused", 7) == 0) {
        owner_fenced(owner);
        return SAID_REFUSED;
    }
    return strncmp(said, "conflict", 8) == 0 ? SAID_CONFLICT : SAID_NOTHING;
}
