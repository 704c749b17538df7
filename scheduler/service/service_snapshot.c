/*
 * Snapshots: the core's image with what the service remembers beside it, on the record.
 *
 * Two lines of JSON: a head (who wrote it, for which record, the state's hash there, the last
 * answers and events) and the image. Taken at a clean stop and every snapshot_records records. One
 * that cannot be used costs time, not data: an older one or the first record is where the replay
 * begins then. Only records of this very version are replayed; what an older version wrote counts
 * through the snapshot that it left behind its last record.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "scheduler/core/image.h"
#include "scheduler/service/codec_image.h"
#include "scheduler/service/codec_internal.h"
#include "scheduler/service/service_internal.h"

#define HEAD_BYTES_MAX ((size_t)16 << 20)

struct snapshot_head {
    char version[LIMIT_NAME_BYTES];
    uint64_t seq;
    uint64_t state_hash;
    struct service_answer *answers; /* the oldest first */
    int answer_kept;
    uint64_t answer_count;
    struct message_event *events; /* the oldest first */
    int event_kept;
    uint64_t event_count;
};

/* clang-format off: one field per line is the table that people read. */
static const struct wire_field answer_fields[] = {
    STR(service_answer, id, "id"),           I32(service_answer, code, "code"),
    U64(service_answer, version, "version"), STR(service_answer, kind, "kind"),
    STR(service_answer, name, "name"),       STR(service_answer, text, "text"),
};
static const SHAPE(answer_shape, "service.answer", service_answer, answer_fields);

static const struct wire_field head_fields[] = {
    STR(snapshot_head, version, "version"),
    U64(snapshot_head, seq, "seq"),
    U64(snapshot_head, state_hash, "state_hash"),
    LIST(snapshot_head, answers, answer_kept, "answers", SERVICE_REPLIES_KEPT, &answer_shape),
    U64(snapshot_head, answer_count, "answer_count"),
    LIST(snapshot_head, events, event_kept, "events", SERVICE_EVENTS_KEPT, &message_event_shape),
    U64(snapshot_head, event_count, "event_count"),
};
static const SHAPE(head_shape, "service.snapshot", snapshot_head, head_fields);
/* clang-format on */

static int snapshot_write(struct service *service, struct arena *scratch, struct strbuf *out,
                          struct error *err);
static int snapshot_use(struct service *service, uint64_t seq, const char *text, size_t bytes,
                        struct error *err);
static int head_check(const struct snapshot_head *head, uint64_t seq, struct error *err);
static int restore(struct service *service, const struct snapshot_head *head, const char *text,
                   size_t bytes, struct arena *arena, struct error *err);

void service_snapshot_take(struct service *service)
{
    uint64_t seq = journal_last(service->journal);
    if (seq == service->snapshot_seq)
        return;
    struct arena scratch;
    struct strbuf text;
    struct error err;
    int64_t before_us = clock_mono_now().us;
    arena_init(&scratch, SERVICE_ROUND_BYTES);
    strbuf_init(&text, CODEC_IMAGE_BYTES);
    int rc = snapshot_write(service, &scratch, &text, &err);
    if (rc == 0)
        rc = journal_snapshot(service->journal, seq, strbuf_text(&text), text.bytes, &err);
    /* Not tried again with every round: the records are all there, and the next one may be taken.
     */
    service->snapshot_tried = seq;
    if (rc < 0) {
        log_event(LOG_WARN, "snapshot.fail", "seq=%" PRIu64 " reason=\"%s\"", seq, err.text);
    } else {
        service->snapshot_seq = seq;
        log_event(LOG_INFO, "snapshot.take", "seq=%" PRIu64 " bytes=%zu took_us=%" PRId64, seq,
                  text.bytes, clock_mono_now().us - before_us);
    }
    strbuf_done(&text);
    arena_done(&scratch);
}

void service_snapshot_due(struct service *service)
{
    uint64_t since = journal_last(service->journal) - service->snapshot_tried;
    bool late = since >= 2 * service->snapshot_records;
    if (since >= service->snapshot_records && (late || !service_pauses(service)))
        service_snapshot_take(service);
}

int service_snapshot_restore(struct service *service, uint64_t *ret_seq, struct error *err)
{
    struct error why;
    uint64_t below = journal_last(service->journal) + 1;
    for (;;) {
        void *bytes = NULL;
        size_t count = 0;
        uint64_t seq = 0;
        int rc = journal_snapshot_read(service->journal, below, &seq, &bytes, &count, &why);
        if (rc == 0 && bytes == NULL)
            break;
        if (rc == 0)
            rc = snapshot_use(service, seq, bytes, count, &why);
        free(bytes);
        if (rc == 0) {
            service->snapshot_seq = seq;
            service->snapshot_tried = seq;
            *ret_seq = seq;
            return 0;
        }
        if (seq == 0) /* the journal itself cannot be read: no replay would help */
            return error_set(err, rc, 0, "%s", why.text);
        log_event(LOG_WARN, "snapshot.unusable",
                  "seq=%" PRIu64 " reason=\"%s\" next=\"an older one, or every record\"", seq,
                  why.text);
        below = seq;
    }
    service->snapshot_seq = 0;
    service->snapshot_tried = 0;
    *ret_seq = 0;
    return core_create(&service->core, err);
}

int service_snapshot_versions(struct service *service, uint64_t seq, struct error *err)
{
    uint64_t foreign = 0;
    char version[LIMIT_NAME_BYTES];
    int rc = journal_foreign(service->journal, seq, &foreign, version, err);
    if (rc < 0 || foreign == 0)
        return rc;
    return error_set(err, ERR_UNSUPPORTED, 0,
                     "record %" PRIu64 " of the journal was written by berth %s, this is berth %s, "
                     "and there is no usable snapshot behind it: old events must not run through "
                     "new logic; start berth %s on this state directory once more and stop it with "
                     "SIGTERM, which leaves a snapshot, then start this one",
                     foreign, version, BERTH_VERSION, version);
}

static int snapshot_write(struct service *service, struct arena *scratch, struct strbuf *out,
                          struct error *err)
{
    struct snapshot_head head = {
        .version = BERTH_VERSION,
        .seq = journal_last(service->journal),
        .state_hash = core_hash(service->core),
        .answer_kept = core_ring_kept(service->answer_count, SERVICE_REPLIES_KEPT),
        .answer_count = service->answer_count,
        .event_kept = core_ring_kept(service->event_count, SERVICE_EVENTS_KEPT),
        .event_count = service->event_count,
    };
    head.answers = arena_array(scratch, (size_t)head.answer_kept + 1, sizeof(*head.answers));
    head.events = arena_array(scratch, (size_t)head.event_kept + 1, sizeof(*head.events));
    if (head.answers == NULL || head.events == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a snapshot's answers and events");
    for (int i = 0; i < head.answer_kept; i++) {
        uint64_t at = head.answer_count - (uint64_t)(head.answer_kept - i);
        head.answers[i] = service->answers[at % SERVICE_REPLIES_KEPT];
    }
    for (int i = 0; i < head.event_kept; i++) {
        uint64_t at = head.event_count - (uint64_t)(head.event_kept - i);
        head.events[i] = service->events[at % SERVICE_EVENTS_KEPT];
    }
    struct core_image image;
    wire_encode(&head_shape, &head, out);
    strbuf_puts(out, "\n");
    core_image_take(service->core, &image);
    int rc = codec_image_write(&image, scratch, out, err);
    return rc < 0 ? rc : strbuf_error(out, err);
}

/* The service as the snapshot says, or as it was. */
static int snapshot_use(struct service *service, uint64_t seq, const char *text, size_t bytes,
                        struct error *err)
{
    struct arena arena;
    struct snapshot_head head;
    const char *line = memchr(text, '\n', bytes);
    if (line == NULL)
        return error_set(err, ERR_CORRUPT, 0, "the snapshot has one line instead of two");
    size_t head_bytes = (size_t)(line - text);
    arena_init(&arena, SERVICE_ROUND_BYTES);
    int rc = wire_decode(&head_shape, text, head_bytes, HEAD_BYTES_MAX, &arena, &head, err);
    if (rc == 0)
        rc = head_check(&head, seq, err);
    if (rc == 0)
        rc = restore(service, &head, line + 1, bytes - head_bytes - 1, &arena, err);
    arena_done(&arena);
    return rc;
}

static int head_check(const struct snapshot_head *head, uint64_t seq, struct error *err)
{
    if (head->seq != seq)
        return error_set(err, ERR_CORRUPT, 0, "the snapshot says that it is of record %" PRIu64,
                         head->seq);
    if (head->answer_kept != core_ring_kept(head->answer_count, SERVICE_REPLIES_KEPT) ||
        head->event_kept != core_ring_kept(head->event_count, SERVICE_EVENTS_KEPT))
        return error_set(err, ERR_CORRUPT, 0,
                         "the snapshot has %d answers and %d events, not what its counts say",
                         head->answer_kept, head->event_kept);
    if (service_version_is_older(BERTH_VERSION, head->version))
        return error_set(err, ERR_UNSUPPORTED, 0,
                         "the snapshot was written by berth %s, newer than this berth %s",
                         head->version, BERTH_VERSION);
    return 0;
}

static int restore(struct service *service, const struct snapshot_head *head, const char *text,
                   size_t bytes, struct arena *arena, struct error *err)
{
    struct core_image image;
    struct core *core = NULL;
    int rc = codec_image_read(text, bytes, arena, &image, err);
    if (rc == 0)
        rc = core_restore(&image, &core, err);
    if (rc < 0)
        return rc;
    /* Another version may hash other fields: then the journal's checksum has to do. */
    uint64_t hash = core_hash(core);
    bool own = str_equal(head->version, BERTH_VERSION);
    if (own && hash != head->state_hash) {
        core_destroy(core);
        return error_set(err, ERR_CORRUPT, 0,
                         "the snapshot's state has hash %016" PRIx64 " instead of %016" PRIx64,
                         hash, head->state_hash);
    }
    service->core = core;
    service->answer_count = head->answer_count - (uint64_t)head->answer_kept;
    for (int i = 0; i < head->answer_kept; i++)
        service_answer_keep(service, &head->answers[i]);
    service->event_count = head->event_count - (uint64_t)head->event_kept;
    for (int i = 0; i < head->event_kept; i++)
        service_event_keep(service, &head->events[i]);
    log_event(LOG_INFO, "snapshot.restore", "seq=%" PRIu64 " version=%s bytes=%zu", head->seq,
              head->version, bytes);
    return 0;
}
