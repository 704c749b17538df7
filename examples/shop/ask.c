#include "examples/shop/ask.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/keys/keys.h"
#include "base/limits.h"
#include "base/str.h"
#include "examples/shop/service.h"

#define ASK_SLOTS 16384 /* 2,500/s for the six seconds that a slow answer may take */

struct question {
    ask_done *done; /* NULL: free */
    void *context;
    uint64_t turn;
    int64_t deadline_us;
};

struct asker {
    natsConnection *connection;
    natsSubscription *subscription;
    char inbox[256];
    pthread_mutex_t lock;
    uint64_t turn;
    int next;
    struct question questions[ASK_SLOTS];
};

static int take_slot(struct asker *asker, ask_done *done, void *context, int64_t deadline_us,
                     uint64_t *ret_turn);
static struct question end_slot(struct asker *asker, int slot, uint64_t turn);
static void on_answer(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                      void *closure);

natsStatus ask_open(natsConnection *connection, struct asker **ret_asker)
{
    struct asker *asker = calloc(1, sizeof *asker);
    if (asker == NULL)
        return NATS_NO_MEMORY;
    asker->connection = connection;
    pthread_mutex_init(&asker->lock, NULL);
    char unique[LIMIT_ID_BYTES];
    char all[300];
    const char *prefix = getenv("BERTH_INBOX_PREFIX");
    id_random(unique);
    if (prefix != NULL && strlen(prefix) > 128) {
        free(asker);
        return NATS_INVALID_ARG;
    }
    str_format(asker->inbox, sizeof asker->inbox, "%s.%s", prefix != NULL ? prefix : "_INBOX",
               unique);
    str_format(all, sizeof all, "%s.*.*", asker->inbox);
    natsStatus status =
        natsConnection_Subscribe(&asker->subscription, connection, all, on_answer, asker);
    if (status != NATS_OK) {
        ask_close(asker);
        return status;
    }
    *ret_asker = asker;
    return NATS_OK;
}

void ask_close(struct asker *asker)
{
    if (asker == NULL)
        return;
    natsSubscription_Unsubscribe(asker->subscription);
    natsConnection_FlushTimeout(asker->connection, 1000);
    natsSubscription_Destroy(asker->subscription);
    pthread_mutex_destroy(&asker->lock);
    free(asker);
}

void ask_send(struct asker *asker, const char *subject, const void *data, int bytes,
              int64_t timeout_us, ask_done *done, void *context)
{
    uint64_t turn = 0;
    int slot = take_slot(asker, done, context, service_now_us() + timeout_us, &turn);
    if (slot < 0) {
        done(context, NULL);
        return;
    }
    char reply[320];
    str_format(reply, sizeof reply, "%s.%d.%llu", asker->inbox, slot, (unsigned long long)turn);
    if (natsConnection_PublishRequest(asker->connection, subject, reply, data, bytes) != NATS_OK) {
        struct question question = end_slot(asker, slot, turn);
        if (question.done != NULL)
            question.done(question.context, NULL);
    }
}

void ask_sweep(struct asker *asker)
{
    int64_t now_us = service_now_us();
    for (int i = 0; i < ASK_SLOTS; i++) {
        pthread_mutex_lock(&asker->lock);
        uint64_t late = 0;
        if (asker->questions[i].done != NULL && asker->questions[i].deadline_us <= now_us)
            late = asker->questions[i].turn;
        pthread_mutex_unlock(&asker->lock);
        if (late == 0)
            continue;
        struct question question = end_slot(asker, i, late);
        if (question.done != NULL)
            question.done(question.context, NULL);
    }
}

static int take_slot(struct asker *asker, ask_done *done, void *context, int64_t deadline_us,
                     uint64_t *ret_turn)
{
    int found = -1;
    pthread_mutex_lock(&asker->lock);
    for (int i = 0; i < ASK_SLOTS && found < 0; i++) {
        int slot = (asker->next + i) % ASK_SLOTS;
        if (asker->questions[slot].done == NULL)
            found = slot;
    }
    if (found >= 0) {
        asker->next = found + 1;
        *ret_turn = ++asker->turn;
        asker->questions[found] = (struct question){
            .done = done, .context = context, .turn = asker->turn, .deadline_us = deadline_us};
    }
    pthread_mutex_unlock(&asker->lock);
    return found;
}

/* Frees the slot if it still holds that turn; what it held, or an empty question. */
static struct question end_slot(struct asker *asker, int slot, uint64_t turn)
{
    struct question question = {0};
    pthread_mutex_lock(&asker->lock);
    if (slot >= 0 && slot < ASK_SLOTS && asker->questions[slot].turn == turn) {
        question = asker->questions[slot];
        asker->questions[slot] = (struct question){0};
    }
    pthread_mutex_unlock(&asker->lock);
    return question;
}

static void on_answer(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                      void *closure)
{
    (void)connection;
    (void)subscription;
    struct asker *asker = closure;
    const char *subject = natsMsg_GetSubject(msg);
    const char *turn_text = strrchr(subject, '.');
    uint64_t turn = 0;
    int64_t slot = -1;
    char slot_text[24] = "";
    const char *slot_at = turn_text;
    while (slot_at > subject && slot_at[-1] != '.')
        slot_at--;
    if (turn_text - slot_at < (ptrdiff_t)sizeof slot_text)
        str_format(slot_text, sizeof slot_text, "%.*s", (int)(turn_text - slot_at), slot_at);
    if (str_to_u64(turn_text + 1, &turn) == 0 && str_to_i64(slot_text, &slot) == 0) {
        struct question question = end_slot(asker, (int)slot, turn);
        if (question.done != NULL)
            question.done(question.context, msg);
    }
    natsMsg_Destroy(msg);
}
