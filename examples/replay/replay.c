#include "examples/replay/replay.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/limits.h"
#include "base/str.h"

#define HEADER_EPOCH   "Berth-Epoch"
#define HEADER_FOLLOWS "Nats-Expected-Last-Subject-Sequence"
#define BATCH          1024
#define REQUEST_MS     1000
#define SILENCE_US     (4 * US_PER_S) /* a heartbeat comes each second */
#define AGAIN_US       (250 * US_PER_MS)
#define CLAIM_US       (5 * US_PER_S)
#define INACTIVE_NS    INT64_C(30000000000)
#define WRONG_LAST     10071 /* the server's code for a sequence that is not the last */
#define TOKENS_MAX     16

struct replay {
    struct replay_options options;
    jsCtx *js;
    pthread_mutex_t attaching; /* taken before `lock` */
    pthread_mutex_t lock;      /* over what is below, and the caller's state */
    natsSubscription *subscription;
    char inbox[LIMIT_SUBJECT_BYTES];
    char next[LIMIT_SUBJECT_BYTES]; /* where the next batch is asked for */
    uint64_t delivery;              /* of the consumer's numbers, the last */
    int64_t wanted;                 /* of the batch, what has not come */
    int64_t heard_us;
    int64_t tried_us;
    bool broken;
    bool caught_up;
    bool unsure;
    struct berth_fence fence;
    struct replay_counts counts;
};

static void attach(struct replay *replay);
static bool stream_make(struct replay *replay);
static bool consumer_make(struct replay *replay);
static void on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                       void *closure);
static void on_record(struct replay *replay, natsMsg *msg);
static void on_status(struct replay *replay, const char *status);
static void ask_next(struct replay *replay);
static void take(struct replay *replay, uint64_t sequence, struct berth_epoch epoch,
                 const char *record);
static enum replay_said publish(struct replay *replay, struct berth_epoch epoch,
                                const char *record);

struct replay *replay_open(const struct replay_options *options)
{
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL)
        return NULL;
    replay->options = *options;
    pthread_mutex_init(&replay->attaching, NULL);
    pthread_mutex_init(&replay->lock, NULL);
    jsOptions js;
    if (jsOptions_Init(&js) != NATS_OK ||
        natsConnection_JetStream(&replay->js, options->connection, &js) != NATS_OK) {
        replay_close(replay);
        return NULL;
    }
    return replay;
}

void replay_close(struct replay *replay)
{
    if (replay == NULL)
        return;
    natsSubscription_Destroy(replay->subscription);
    jsCtx_Destroy(replay->js);
    pthread_mutex_destroy(&replay->attaching);
    pthread_mutex_destroy(&replay->lock);
    free(replay);
}

void replay_step(struct replay *replay)
{
    if (pthread_mutex_trylock(&replay->attaching) != 0)
        return; /* another thread is at it */
    int64_t now_us = clock_mono_now().us;
    replay_lock(replay);
    bool lost =
        replay->subscription == NULL || replay->broken || now_us - replay->heard_us > SILENCE_US;
    bool due = lost && (replay->tried_us == 0 || now_us - replay->tried_us >= AGAIN_US);
    if (due)
        replay->tried_us = now_us;
    replay_unlock(replay);
    if (due)
        attach(replay);
    pthread_mutex_unlock(&replay->attaching);
}

bool replay_caught_up(struct replay *replay)
{
    replay_lock(replay);
    bool caught_up = replay->caught_up;
    replay_unlock(replay);
    return caught_up;
}

enum replay_said replay_claim(struct replay *replay, struct berth_epoch epoch, uint64_t from)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    int64_t until_us = clock_mono_now().us + CLAIM_US;
    uint64_t tried = 0;
    int64_t again_us = 0;
    bool end = false;
    do {
        struct replay_counts counts = replay_counts(replay);
        if (berth_epoch_compare(counts.highest, epoch) > 0)
            return REPLAY_FENCED;
        /* Refused, it is tried again when there is more to follow, or later. */
        int64_t now_us = clock_mono_now().us;
        if (counts.sequence >= from && (counts.sequence != tried || now_us >= again_us)) {
            tried = counts.sequence;
            again_us = now_us + AGAIN_US;
            if (publish(replay, epoch, "claim") == REPLAY_OK)
                return REPLAY_OK;
        }
        replay_step(replay);
        nanosleep(&pause, NULL);
        end = replay_caught_up(replay) && replay_counts(replay).sequence < from;
    } while (clock_mono_now().us < until_us);
    replay_lock(replay);
    replay->unsure = true;
    replay_unlock(replay);
    return end ? REPLAY_SHORT : REPLAY_UNSURE;
}

enum replay_said replay_write(struct replay *replay, struct berth_epoch epoch, const char *record)
{
    struct replay_counts counts = replay_counts(replay);
    if (berth_epoch_compare(counts.highest, epoch) > 0)
        return REPLAY_FENCED;
    return replay_is_unsure(replay) ? REPLAY_UNSURE : publish(replay, epoch, record);
}

enum replay_said replay_confirm(struct replay *replay, struct berth_epoch epoch)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t until_us = clock_mono_now().us + REQUEST_MS * US_PER_MS;
    jsOptions options;
    jsErrCode code = 0;
    natsMsg *last = NULL;
    jsOptions_Init(&options);
    options.Wait = REQUEST_MS;
    natsStatus status = js_GetLastMsg(&last, replay->js, replay->options.stream,
                                      replay->options.subject, &options, &code);
    uint64_t end = status == NATS_OK ? natsMsg_GetSequence(last) : 0;
    natsMsg_Destroy(last);
    if (status != NATS_OK && code != JSNoMessageFoundErr)
        return REPLAY_UNSURE;
    struct replay_counts counts = replay_counts(replay);
    for (; counts.sequence < end; counts = replay_counts(replay)) {
        if (clock_mono_now().us > until_us)
            return REPLAY_UNSURE;
        nanosleep(&pause, NULL);
    }
    return berth_epoch_compare(counts.highest, epoch) > 0 ? REPLAY_FENCED : REPLAY_OK;
}

bool replay_is_unsure(struct replay *replay)
{
    replay_lock(replay);
    bool unsure = replay->unsure;
    replay_unlock(replay);
    return unsure;
}

void replay_lock(struct replay *replay)
{
    pthread_mutex_lock(&replay->lock);
}

void replay_unlock(struct replay *replay)
{
    pthread_mutex_unlock(&replay->lock);
}

struct replay_counts replay_counts(struct replay *replay)
{
    replay_lock(replay);
    struct replay_counts counts = replay->counts;
    counts.highest = replay->fence.highest;
    replay_unlock(replay);
    return counts;
}

/* $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<delivery>.<time>.<pending>, or the same after
 * a domain and an account's hash, with more behind it. */
int replay_position(const char *reply, uint64_t *ret_sequence, uint64_t *ret_delivery,
                    uint64_t *ret_pending)
{
    char text[LIMIT_SUBJECT_BYTES], *rest = NULL;
    const char *tokens[TOKENS_MAX];
    uint64_t sequence, delivery, pending;
    int count = 0;
    if (reply == NULL || strlen(reply) >= sizeof text || !str_starts(reply, "$JS.ACK."))
        return -1;
    str_format(text, sizeof text, "%s", reply);
    for (char *token = strtok_r(text, ".", &rest); token != NULL && count < TOKENS_MAX;
         token = strtok_r(NULL, ".", &rest))
        tokens[count++] = token;
    int at = count == 9 ? 5 : count == 11 || count == 12 ? 7 : -1;
    if (at < 0 || str_to_u64(tokens[at], &sequence) < 0 ||
        str_to_u64(tokens[at + 1], &delivery) < 0 || str_to_u64(tokens[at + 3], &pending) < 0)
        return -1;
    *ret_sequence = sequence;
    *ret_delivery = delivery;
    *ret_pending = pending;
    return 0;
}

/* ---- reading ---- */

static void attach(struct replay *replay)
{
    char id[LIMIT_ID_BYTES];
    replay_lock(replay);
    natsSubscription *old = replay->subscription;
    replay->subscription = NULL; /* what it still delivers is not looked at */
    replay_unlock(replay);
    natsSubscription_Destroy(old);
    if (!stream_make(replay))
        return;
    id_random(id);
    natsSubscription *made = NULL;
    char inbox[LIMIT_SUBJECT_BYTES];
    str_format(inbox, sizeof inbox, "%s.%s", replay->options.inbox, id);
    if (natsConnection_Subscribe(&made, replay->options.connection, inbox, on_message, replay) !=
        NATS_OK)
        return;
    replay_lock(replay);
    replay->subscription = made;
    str_format(replay->inbox, sizeof replay->inbox, "%s", inbox);
    replay->delivery = 0;
    replay->heard_us = clock_mono_now().us;
    replay->broken = true; /* until there is a consumer */
    replay_unlock(replay);
    if (!consumer_make(replay))
        return;
    replay_lock(replay);
    replay->broken = false;
    ask_next(replay);
    replay_unlock(replay);
}

/* Made by whoever comes first; it refuses what is too much, and lets nothing be taken out. */
static bool stream_make(struct replay *replay)
{
    jsStreamConfig config;
    jsOptions options;
    jsErrCode code = 0;
    const char *subjects[1] = {replay->options.subjects};
    jsStreamConfig_Init(&config);
    jsOptions_Init(&options);
    options.Wait = REQUEST_MS;
    config.Name = replay->options.stream;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Discard = js_DiscardNew;
    config.DenyDelete = true;
    config.DenyPurge = true;
    natsStatus status = js_AddStream(NULL, replay->js, &config, &options, &code);
    if (status == NATS_OK || code == JSStreamNameExistErr)
        return true;
    fprintf(stderr, "replay: make %s: %s (%d)\n", config.Name, natsStatus_GetText(status), code);
    return false;
}

static bool consumer_make(struct replay *replay)
{
    jsConsumerConfig config;
    jsConsumerInfo *info = NULL;
    jsOptions options;
    jsErrCode code = 0;
    jsConsumerConfig_Init(&config);
    jsOptions_Init(&options);
    options.Wait = REQUEST_MS;
    config.DeliverPolicy = js_DeliverByStartSequence;
    config.OptStartSeq = replay_counts(replay).sequence + 1;
    config.AckPolicy = js_AckNone;
    config.FilterSubject = replay->options.subject;
    config.InactiveThreshold = INACTIVE_NS;
    natsStatus status =
        js_AddConsumer(&info, replay->js, replay->options.stream, &config, &options, &code);
    if (status != NATS_OK) {
        fprintf(stderr, "replay: read %s from %" PRIu64 ": %s (%d)\n", replay->options.stream,
                config.OptStartSeq, natsStatus_GetText(status), code);
        return false;
    }
    replay_lock(replay);
    str_format(replay->next, sizeof replay->next, "$JS.API.CONSUMER.MSG.NEXT.%s.%s",
               replay->options.stream, info->Name);
    replay->caught_up = info->NumPending == 0;
    replay_unlock(replay);
    jsConsumerInfo_Destroy(info);
    return true;
}

static void on_message(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                       void *closure)
{
    struct replay *replay = closure;
    const char *status = NULL;
    (void)connection;
    replay_lock(replay);
    if (subscription == replay->subscription) {
        replay->heard_us = clock_mono_now().us;
        if (natsMsgHeader_Get(msg, "Status", &status) == NATS_OK)
            on_status(replay, status);
        else
            on_record(replay, msg);
    }
    replay_unlock(replay);
    natsMsg_Destroy(msg);
}

static void on_record(struct replay *replay, natsMsg *msg)
{
    uint64_t sequence, delivery, pending;
    struct berth_epoch epoch = {0, 0};
    const char *by = NULL;
    char record[REPLAY_RECORD_BYTES] = "";
    int bytes = natsMsg_GetDataLength(msg);
    if (replay_position(natsMsg_GetReply(msg), &sequence, &delivery, &pending) < 0 ||
        delivery != replay->delivery + 1) {
        replay->broken = true; /* something between is missing */
        return;
    }
    replay->delivery = delivery;
    if (natsMsgHeader_Get(msg, HEADER_EPOCH, &by) != NATS_OK || berth_epoch_parse(by, &epoch) < 0 ||
        bytes >= (int)sizeof record)
        epoch = (struct berth_epoch){0, 0}; /* nobody's */
    else
        str_format(record, sizeof record, "%.*s", bytes, natsMsg_GetData(msg));
    take(replay, sequence, epoch, record);
    replay->caught_up = replay->caught_up || pending == 0;
    if (--replay->wanted <= 0)
        ask_next(replay);
}

static void on_status(struct replay *replay, const char *status)
{
    if (str_equal(status, "100")) /* a heartbeat */
        return;
    if (str_equal(status, "408") || str_equal(status, "404"))
        ask_next(replay);
    else
        replay->broken = true;
}

static void ask_next(struct replay *replay)
{
    char text[128];
    str_format(text, sizeof text,
               "{\"batch\":%d,\"expires\":10000000000,\"idle_heartbeat\":1000000000}", BATCH);
    replay->wanted = BATCH;
    if (natsConnection_PublishRequestString(replay->options.connection, replay->next, replay->inbox,
                                            text) != NATS_OK)
        replay->broken = true;
}

/* The fold. Locked. A record of one's own comes twice, by its acknowledgement and by the stream. */
static void take(struct replay *replay, uint64_t sequence, struct berth_epoch epoch,
                 const char *record)
{
    if (sequence <= replay->counts.sequence)
        return;
    replay->counts.sequence = sequence;
    replay->counts.records++;
    if (berth_fence_admit(&replay->fence, epoch) == BERTH_FENCE_REFUSED) {
        replay->counts.ignored++;
        return;
    }
    if (!str_equal(record, "claim"))
        replay->options.apply(record, replay->options.context);
}

/* ---- writing ---- */

/* It follows what has been applied, or it is not written. */
static enum replay_said publish(struct replay *replay, struct berth_epoch epoch, const char *record)
{
    char by[BERTH_EPOCH_BYTES], follows[32];
    jsPubAck *ack = NULL;
    jsPubOptions options;
    jsErrCode code = 0;
    natsMsg *msg = NULL;
    jsPubOptions_Init(&options);
    options.MaxWait = REQUEST_MS;
    options.ExpectStream = replay->options.stream;
    str_format(follows, sizeof follows, "%" PRIu64, replay_counts(replay).sequence);
    natsStatus status =
        natsMsg_Create(&msg, replay->options.subject, NULL, record, (int)strlen(record));
    if (status == NATS_OK)
        status = natsMsgHeader_Set(msg, HEADER_EPOCH, berth_epoch_format(epoch, by));
    if (status == NATS_OK)
        status = natsMsgHeader_Set(msg, HEADER_FOLLOWS, follows);
    if (status == NATS_OK)
        status = js_PublishMsg(&ack, replay->js, msg, &options, &code);
    natsMsg_Destroy(msg);
    replay_lock(replay);
    replay->unsure = status != NATS_OK;
    replay->counts.conflicts += code == WRONG_LAST;
    if (status == NATS_OK)
        take(replay, ack->Sequence, epoch, record);
    replay_unlock(replay);
    jsPubAck_Destroy(ack);
    if (status != NATS_OK)
        fprintf(stderr, "replay: \"%s\" after %s by %s: %s (%d)\n", record, follows, by,
                natsStatus_GetText(status), code);
    return status == NATS_OK ? REPLAY_OK : REPLAY_UNSURE;
}
