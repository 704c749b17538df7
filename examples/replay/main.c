/*
 * replay: an exclusive owner whose state is a fold over a stream: every put is a record there, a
 * standby reads along, and an owner hands over the sequence up to which it has read.
 *
 *     replay [--subject svc.default.replay] [--record svclog.default.replay]
 *            [--stream berth_log_default] [--bytes 4MiB] [--linger-ms 100]
 *
 * Requests and answers are those of examples/kvstate: "put <key> <version>", "get <key>"; "status"
 * answers "<sequence> <records> <ignored> <conflicts> <epoch>". The stream is in the
 * account of the namespace's log, whose seed is in $REPLAY_SEED_FILE, or "log-<namespace>" beside
 * $BERTH_NATS_SEED_FILE; by hand, wherever nats://127.0.0.1:4222 has JetStream.
 *
 * A put is answered when the stream has it. One without an answer may be in or not: the owner then
 * claims, and knows, before it serves anything else. A get asks the stream first whether there is
 * more than this copy has read, so that an owner of before, woken up, answers nothing that is old.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/units.h"
#include "examples/common/connect.h"
#include "examples/common/owner.h"
#include "examples/kvstate/store.h"
#include "examples/replay/replay.h"

struct state {
    struct store store; /* under replay_lock */
    struct replay *replay;
    const char *stream;
    const char *record;
    int64_t begun_us;
};

struct request {
    bool put;
    int64_t key;
    uint64_t version;
};

static int read_options(int argc, char **argv, struct owner_options *options, struct state *state,
                        int64_t *ret_bytes);
static const char *seed_file(const char *ns, char out[LIMIT_PATH_BYTES]);
static int open_log(struct state *state, natsConnection **ret_connection);
static int read_request(const char *data, size_t bytes, struct request *ret_request);
static void apply(const char *record, void *context);
static void serve(struct owner *owner, natsMsg *msg, void *context);
static void answer(struct owner *owner, struct state *state, natsMsg *msg,
                   const struct request *request, uint64_t before, const struct error *err);
static void answer_status(struct owner *owner, struct state *state, natsMsg *msg);
static int own(struct owner *owner, const char *handed, void *context);
static int freeze(struct owner *owner, const char *path, char handed[BERTH_HANDED_BYTES + 1],
                  void *context);
static int step(struct owner *owner, void *context);
static bool is_ready(struct owner *owner, void *context);

int main(int argc, char **argv)
{
    static struct state state = {.stream = "berth_log_default", .record = "svclog.default.replay"};
    struct owner_options options = {.subject = "svc.default.replay",
                                    .context = &state,
                                    .serve = serve,
                                    .own = own,
                                    .freeze = freeze,
                                    .step = step,
                                    .is_ready = is_ready};
    int64_t bytes = INT64_C(4) << 20;
    natsConnection *connection = NULL;
    struct error err = {0};
    if (read_options(argc, argv, &options, &state, &bytes) < 0)
        return 2;
    if (store_init(&state.store, bytes, &err) < 0) {
        fprintf(stderr, "replay: %s\n", err.text);
        return 1;
    }
    state.begun_us = clock_mono_now().us;
    int status = open_log(&state, &connection) < 0 ? 1 : owner_run(&options);
    natsConnection_Close(connection); /* no callback runs any more */
    replay_close(state.replay);
    natsConnection_Destroy(connection);
    store_done(&state.store);
    return status;
}

static int read_options(int argc, char **argv, struct owner_options *options, struct state *state,
                        int64_t *ret_bytes)
{
    struct error err = {0};
    int64_t linger_ms = OWNER_LINGER_US / 1000;
    int rc = argc % 2 == 1 ? 0 : -1;
    for (int i = 1; rc == 0 && i + 1 < argc; i += 2) {
        if (str_equal(argv[i], "--subject"))
            options->subject = argv[i + 1];
        else if (str_equal(argv[i], "--record"))
            state->record = argv[i + 1];
        else if (str_equal(argv[i], "--stream"))
            state->stream = argv[i + 1];
        else if (str_equal(argv[i], "--bytes"))
            rc = units_bytes(argv[i + 1], ret_bytes, &err);
        else if (str_equal(argv[i], "--linger-ms"))
            rc = str_to_i64(argv[i + 1], &linger_ms);
        else
            rc = -1;
    }
    if (linger_ms < 0 || linger_ms > 60000)
        rc = -1;
    options->linger_us = linger_ms * 1000;
    if (rc < 0)
        fprintf(stderr, "usage: replay [--subject S] [--record S] [--stream NAME] [--bytes 4MiB] "
                        "[--linger-ms 0..60000]\n");
    return rc;
}

/* As told, or beside the namespace's other seed, where `berth up` puts it; NULL by hand. */
static const char *seed_file(const char *ns, char out[LIMIT_PATH_BYTES])
{
    const char *told = getenv("REPLAY_SEED_FILE");
    const char *other = getenv("BERTH_NATS_SEED_FILE");
    const char *name = other == NULL ? NULL : strrchr(other, '/');
    if (told != NULL || name == NULL)
        return told;
    str_format(out, LIMIT_PATH_BYTES, "%.*s/log-%s", (int)(name - other), other, ns);
    return out;
}

/* A connection of its own, as the user of the namespace's log. */
static int open_log(struct state *state, natsConnection **ret_connection)
{
    static char inbox[LIMIT_SUBJECT_BYTES], subjects[LIMIT_SUBJECT_BYTES];
    const char *ns = getenv("BERTH_NAMESPACE");
    char beside[LIMIT_PATH_BYTES] = "";
    const char *seed = seed_file(ns == NULL ? "default" : ns, beside);
    str_format(inbox, sizeof inbox, "_INBOX.l.%s", ns == NULL ? "default" : ns);
    str_format(subjects, sizeof subjects, "svclog.%s.>", ns == NULL ? "default" : ns);
    natsStatus status = connect_as(seed, inbox, true, ret_connection);
    if (status != NATS_OK) {
        fprintf(stderr, "replay: connect to the log: %s\n", natsStatus_GetText(status));
        return -1;
    }
    const struct replay_options options = {.connection = *ret_connection,
                                           .stream = state->stream,
                                           .subjects = subjects,
                                           .subject = state->record,
                                           .inbox = inbox,
                                           .apply = apply,
                                           .context = state};
    state->replay = replay_open(&options);
    return state->replay == NULL ? -1 : 0;
}

/* "put <key> <version>" or "get <key>". */
static int read_request(const char *data, size_t bytes, struct request *ret_request)
{
    char line[REPLAY_RECORD_BYTES], *rest = NULL;
    struct request request = {0};
    if (bytes >= sizeof line)
        return -1;
    str_format(line, sizeof line, "%.*s", (int)bytes, data);
    const char *word = strtok_r(line, " ", &rest);
    const char *key = strtok_r(NULL, " ", &rest);
    const char *version = strtok_r(NULL, " ", &rest);
    request.put = word != NULL && str_equal(word, "put");
    if (word == NULL || (!request.put && !str_equal(word, "get")) || key == NULL ||
        str_to_i64(key, &request.key) < 0 || (version != NULL) != request.put ||
        (request.put && str_to_u64(version, &request.version) < 0))
        return -1;
    *ret_request = request;
    return 0;
}

/* A record that is none changes nothing: every reader comes to the same. */
static void apply(const char *record, void *context)
{
    struct state *state = context;
    struct request request;
    struct error err = {0};
    if (read_request(record, strlen(record), &request) < 0 || !request.put ||
        store_put(&state->store, request.key, request.version, &err) < 0)
        fprintf(stderr, "replay: \"%s\" is no record: %s\n", record, err.text);
}

static void serve(struct owner *owner, natsMsg *msg, void *context)
{
    struct state *state = context;
    struct error err = {0};
    struct request request;
    uint64_t before = 0;
    const char *data = natsMsg_GetData(msg);
    int bytes = natsMsg_GetDataLength(msg);
    if (bytes == 6 && memcmp(data, "status", 6) == 0) {
        answer_status(owner, state, msg);
        return;
    }
    if (read_request(data, (size_t)bytes, &request) < 0) {
        owner_reply(owner, msg, "error put <key> <version>, get <key> or status");
        return;
    }
    enum replay_said said = REPLAY_OK;
    if (replay_is_unsure(state->replay))
        said = replay_claim(state->replay, owner_epoch(owner), 0);
    if (said == REPLAY_OK && !request.put)
        said = replay_confirm(state->replay, owner_epoch(owner));
    replay_lock(state->replay);
    int rc = store_get(&state->store, request.key, &before, &err);
    replay_unlock(state->replay);
    if (rc == 0 && request.key % STORE_PAGE_SLOTS == 0)
        rc = error_set(&err, ERR_INVALID, 0, "key %" PRId64 " is the store's", request.key);
    if (said == REPLAY_OK && rc == 0 && request.put) {
        char record[REPLAY_RECORD_BYTES];
        str_format(record, sizeof record, "put %" PRId64 " %" PRIu64, request.key, request.version);
        said = replay_write(state->replay, owner_epoch(owner), record);
    }
    if (said == REPLAY_OK) {
        answer(owner, state, msg, &request, before, &err);
        return;
    }
    if (said == REPLAY_FENCED)
        owner_fenced(owner);
    owner_refuse(owner, msg, said == REPLAY_FENCED ? "fenced" : "the log does not answer");
}

static void answer(struct owner *owner, struct state *state, natsMsg *msg,
                   const struct request *request, uint64_t before, const struct error *err)
{
    struct error found = *err;
    uint64_t version = 0;
    char text[384], epoch[BERTH_EPOCH_BYTES];
    replay_lock(state->replay);
    int rc = found.code == 0 ? store_get(&state->store, request->key, &version, &found) : -1;
    replay_unlock(state->replay);
    if (rc == 0)
        str_format(text, sizeof text, "ok %" PRId64 " %" PRIu64 " %s %.128s %" PRIu64, request->key,
                   version, berth_epoch_format(owner_epoch(owner), epoch), owner_instance(owner),
                   before);
    else
        str_format(text, sizeof text, "error %.300s", found.text);
    owner_reply(owner, msg, text);
}

static void answer_status(struct owner *owner, struct state *state, natsMsg *msg)
{
    char text[256], epoch[BERTH_EPOCH_BYTES];
    struct replay_counts counts = replay_counts(state->replay);
    str_format(text, sizeof text, "%" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64 " %s",
               counts.sequence, counts.records, counts.ignored, counts.conflicts,
               berth_epoch_format(counts.highest, epoch));
    owner_reply(owner, msg, text);
}

/* A log that is away is asked again with the first request; one that is fenced, or shorter than
 * what was handed over, is an answer. */
static int own(struct owner *owner, const char *handed, void *context)
{
    static const char *const words[] = {"the log is its own", "fenced", "the log does not answer",
                                        "the log ends before what was handed over"};
    struct state *state = context;
    uint64_t from = 0;
    if (handed[0] != 0 && str_to_u64(handed, &from) < 0) {
        fprintf(stderr, "replay: \"%.64s\" was handed over: no sequence\n", handed);
        return -1;
    }
    struct replay_counts standby = replay_counts(state->replay);
    enum replay_said said = replay_claim(state->replay, owner_epoch(owner), from);
    struct replay_counts now = replay_counts(state->replay);
    fprintf(stderr,
            "replay: %s: handed %" PRIu64 ", as a standby at %" PRIu64 ", now at %" PRIu64
            ", %" PRId64 " ignored\n",
            words[said], from, standby.sequence, now.sequence, now.ignored);
    return said == REPLAY_FENCED || said == REPLAY_SHORT ? -1 : 0;
}

static int freeze(struct owner *owner, const char *path, char handed[BERTH_HANDED_BYTES + 1],
                  void *context)
{
    struct state *state = context;
    (void)owner;
    (void)path;
    str_format(handed, BERTH_HANDED_BYTES + 1, "%" PRIu64, replay_counts(state->replay).sequence);
    return 0;
}

static int step(struct owner *owner, void *context)
{
    struct state *state = context;
    (void)owner;
    replay_step(state->replay);
    return 0;
}

/* A standby that is far behind would read on in the pause. */
static bool is_ready(struct owner *owner, void *context)
{
    struct state *state = context;
    (void)owner;
    if (!replay_caught_up(state->replay))
        return false;
    struct replay_counts counts = replay_counts(state->replay);
    fprintf(stderr, "replay: %" PRId64 " records read in %" PRId64 " us\n", counts.records,
            clock_mono_now().us - state->begun_us);
    return true;
}
