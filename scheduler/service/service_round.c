#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "scheduler/service/codec.h"
#include "scheduler/service/service_internal.h"

/* What a replay carries along. */
struct replay {
    struct service *service;
    struct arena arena; /* of one record */
};

static int replay_record(void *context, const struct journal_record *record, struct error *err);
static void replay_keep(struct service *service, const struct core_event *event, uint64_t seq);
static int step_all(struct service *service, struct journal_record *records,
                    struct service_out **ret_outs, struct error *err);
static int record_make(struct service *service, const struct core_event *event,
                       struct journal_record *ret_record, struct error *err);
static void send_fences(struct service *service, const struct service_out *outs);
static void send_all(struct service *service, const struct service_out *outs,
                     const struct journal_record *records);
static int begin_refusing(struct service *service, const struct error *why, struct error *err);
static void drop_waiting(struct service *service, const struct error *why);
static bool journal_returned(struct service *service);

int service_replay(struct service *service, struct error *err)
{
    core_destroy(service->core);
    service->core = NULL;
    service->generation++;
    service->event_count = 0;
    service->answer_count = 0;
    uint64_t seq = 0;
    int rc = service_snapshot_restore(service, &seq, err);
    if (rc == 0)
        rc = service_snapshot_versions(service, seq, err);
    if (rc < 0)
        return rc;
    struct replay replay = {.service = service};
    arena_init(&replay.arena, SERVICE_ROUND_BYTES);
    rc = journal_replay(service->journal, seq, replay_record, &replay, err);
    arena_done(&replay.arena);
    service->replayed = journal_last(service->journal) - seq;
    return rc;
}

int service_round(struct service *service, struct error *err)
{
    if (service->refusing && !journal_returned(service)) {
        struct error why;
        (void)error_set(&why, ERR_IO, 0, "%s", service->refusing_text);
        drop_waiting(service, &why);
        return 0;
    }
    if (service->waiting_count == 0) {
        arena_reset(&service->round);
        return 0;
    }
    service_ledger_accrue(service); /* until now, things were as they were */
    struct error why;
    struct service_out *outs = NULL;
    int count = service->waiting_count;
    struct journal_record *records = arena_array(&service->round, (size_t)count, sizeof(*records));
    int rc = records == NULL
                 ? error_set(&why, ERR_NO_MEMORY, 0, "no memory for a round of %d", count)
                 : step_all(service, records, &outs, &why);
    if (rc == 0) {
        send_fences(service, outs);
        rc = journal_append(service->journal, records, count, &why);
    }
    if (rc < 0)
        return begin_refusing(service, &why, err);
    send_all(service, outs, records);
    arena_reset(&service->round);
    service_snapshot_due(service);
    return 0;
}

static int replay_record(void *context, const struct journal_record *record, struct error *err)
{
    struct replay *replay = context;
    struct service *service = replay->service;
    struct core_event event;
    arena_reset(&replay->arena);
    int rc = codec_event_read(record->event, strlen(record->event), &replay->arena, &event, err);
    if (rc < 0) {
        (void)error_prefix(err, "record %" PRIu64 " of the journal", record->seq);
        return rc;
    }
    core_step(service->core, &event, service->effects);
    uint64_t hash = record->state_hash == 0 ? 0 : core_hash(service->core);
    if (hash != record->state_hash)
        return error_set(err, ERR_CORRUPT, 0,
                         "record %" PRIu64
                         " of the journal (%s), the last of its round, led to state %016" PRIx64
                         " when it was written and to %016" PRIx64
                         " now: this program decides otherwise than the one that wrote it; run "
                         "that version, or move the state directory away and apply again",
                         record->seq, core_event_words[event.kind], record->state_hash, hash);
    replay_keep(service, &event, record->seq);
    return 0;
}

/* What left before is not sent again, but is remembered: events for `berth events`, answers for a
 * client that lost the first one. */
static void replay_keep(struct service *service, const struct core_event *event, uint64_t seq)
{
    for (int i = 0; i < service->effects->count; i++) {
        struct core_effect *effect = &service->effects->list[i];
        if (effect->kind == CORE_PUBLISH) {
            effect->publish.seq = seq;
            service_event_keep(service, &effect->publish);
        } else if (effect->kind == CORE_REPLY) {
            struct service_answer answer;
            service_answer_of(event, &answer);
            answer.code = effect->reply.code;
            answer.version = effect->reply.version;
            memcpy(answer.text, effect->reply.text, sizeof(answer.text));
            service_answer_keep(service, &answer);
        }
    }
}

static int step_all(struct service *service, struct journal_record *records,
                    struct service_out **ret_outs, struct error *err)
{
    struct service_out *first = NULL;
    struct service_out **tail = &first;
    for (int i = 0; i < service->waiting_count; i++) {
        struct core_event *event = &service->waiting[i];
        event->at = service_now(service);
        core_step(service->core, event, service->effects);
        int rc = record_make(service, event, &records[i], err);
        if (rc < 0)
            return rc;
        for (int k = 0; k < service->effects->count; k++) {
            *tail = service_out_make(service, &service->effects->list[k], i);
            if (*tail == NULL)
                return error_set(err, ERR_NO_MEMORY, 0, "no memory for the effects of a round");
            tail = &(*tail)->next;
        }
    }
    /* The hash reads the whole state. A round is written whole or not at all, so its last record
     * is always there to tell a replay whether the round led to the same. */
    records[service->waiting_count - 1].state_hash = core_hash(service->core);
    *ret_outs = first;
    return 0;
}

static int record_make(struct service *service, const struct core_event *event,
                       struct journal_record *ret_record, struct error *err)
{
    struct strbuf text;
    strbuf_init(&text, SERVICE_RECORD_BYTES);
    codec_event_write(event, &text);
    int rc = strbuf_error(&text, err);
    ret_record->event = rc < 0 ? NULL : arena_strdup(&service->round, strbuf_text(&text));
    strbuf_reset(&text);
    codec_effects_write(service->effects, &text);
    if (rc == 0)
        rc = strbuf_error(&text, err);
    ret_record->effects = rc < 0 ? NULL : arena_strdup(&service->round, strbuf_text(&text));
    strbuf_done(&text);
    if (rc < 0)
        return rc;
    if (ret_record->event == NULL || ret_record->effects == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a record");
    ret_record->at_us = event->at.us;
    ret_record->state_hash = 0;
    return 0;
}

/* The one effect that may leave before its event is on record (see core_effect.fence.at_once): the
 * store writes the key while the journal syncs. Its answer is handled in a later round. */
static void send_fences(struct service *service, const struct service_out *outs)
{
    for (const struct service_out *out = outs; out != NULL; out = out->next)
        if (out->effect->kind == CORE_FENCE && out->effect->fence.at_once)
            service_fence(service, out->effect);
}

/* What is submitted meanwhile (a solver that cannot be asked) belongs to the next round; it has no
 * arrays, since the arena goes with this one. */
static void send_all(struct service *service, const struct service_out *outs,
                     const struct journal_record *records)
{
    struct core_event *batch = TAKE(service->waiting);
    int capacity = service->waiting_capacity;
    service->waiting_count = 0;
    service->waiting_capacity = 0;
    for (const struct service_out *out = outs; out != NULL; out = out->next) {
        if (out->effect->kind == CORE_REPLY) {
            struct service_answer answer;
            service_answer_of(&batch[out->record], &answer);
            answer.code = out->effect->reply.code;
            answer.version = out->effect->reply.version;
            memcpy(answer.text, out->effect->reply.text, sizeof(answer.text));
            service_answer(service, &answer);
        } else if (out->effect->kind != CORE_FENCE || !out->effect->fence.at_once) {
            service_out_send(service, out, records[out->record].seq);
        }
    }
    if (service->waiting != NULL) {
        free(batch);
        return;
    }
    service->waiting = batch;
    service->waiting_capacity = capacity;
}

/* The core is ahead of the record. Nothing of the round has left, so the world is as the record
 * says: go back to that. */
static int begin_refusing(struct service *service, const struct error *why, struct error *err)
{
    service_events_send(service); /* those that are on record */
    log_event(LOG_ERROR, "journal.refuse", "events=%d reason=\"%s\"", service->waiting_count,
              why->text);
    struct error told;
    (void)error_set(&told, why->code, 0,
                    "not applied, nothing has changed: %s; running workloads go on; free space "
                    "under the journal and try again",
                    why->text);
    drop_waiting(service, &told);
    service->refusing = true;
    service->refusing_retry = (struct mono){clock_mono_now().us + SERVICE_RETRY_US};
    memcpy(service->refusing_text, told.text, sizeof(service->refusing_text));
    return service_replay(service, err);
}

static void drop_waiting(struct service *service, const struct error *why)
{
    for (int i = 0; i < service->waiting_count; i++)
        if (service->waiting[i].request[0] != 0)
            service_refuse(service, service->waiting[i].request, why);
    service->waiting_count = 0;
    arena_reset(&service->round);
}

/* A new term is the smallest thing that can be written, and what a rebuilt core begins with. */
static bool journal_returned(struct service *service)
{
    int64_t now_us = clock_mono_now().us;
    if (now_us < service->refusing_retry.us)
        return false;
    service->refusing_retry.us = now_us + SERVICE_RETRY_US;
    struct error err;
    if (journal_raise(service->journal, &service->term, &err) < 0)
        return false;
    service->refusing = false;
    log_event(LOG_INFO, "journal.return", "term=%" PRIu64, service->term);
    struct core_event started = {.kind = CORE_STARTED, .started = {.term = service->term}};
    struct error why;
    (void)error_set(&why, ERR_IO, 0, "%s", service->refusing_text);
    drop_waiting(service, &why);             /* collected while there was no journal */
    (void)service_submit(service, &started); /* the list has room: it was emptied just now */
    service_nodes_watch(service);
    service_nodes_ask(service);
    return true;
}
