/*
 * kvstate: a stateful owner: its state is in its memory and nowhere else, and moves with it.
 *
 *     kvstate [--subject svc.default.state] [--bytes 64MiB] [--change 1%] [--slow-export-ms N]
 *             [--linger-ms 100]
 *
 * Requests: "put <key> <version>" and "get <key>"; the answer to both is "ok <key> <version>
 * <epoch> <instance> <before>" with the version that is there now and the one that was there when
 * the request came (a put that comes again finds its own), or "error <why>". Keys are numbers from
 * 1; 0 and every 1024th are the store's own: it changes --change of its pages a second by itself,
 * as long as it serves, so that there is a delta to ship. "status" answers "<keys> <puts> <changes>
 * <round>".
 *
 * A copy that becomes the owner without having been restored begins empty. --slow-export-ms makes
 * every snapshot take that much longer, for tests that break in there. --linger-ms: for how long it
 * refuses once it is frozen, before its subscription ends (common/owner.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "examples/common/owner.h"
#include "examples/kvstate/store.h"

struct state {
    struct store store;
    int64_t change_ppm; /* of the pages, a second */
    int64_t slow_ms;
    int64_t changed_us; /* until when the changes have been made */
    uint64_t random;
};

static int read_options(int argc, char **argv, struct owner_options *options, struct state *state,
                        int64_t *ret_bytes);
static void serve(struct owner *owner, natsMsg *request, void *context);
static void answer(struct owner *owner, const struct state *state, natsMsg *request, int64_t key,
                   uint64_t before, const struct error *err);
static int own(struct owner *owner, const char *handed, void *context);
static int freeze(struct owner *owner, const char *path, char handed[BERTH_HANDED_BYTES + 1],
                  void *context);
static int snapshot(struct owner *owner, int round, const char *path, void *context);
static int restore(struct owner *owner, int round, const char *path, void *context);
static int step(struct owner *owner, void *context);
static void lock(void *context);
static void unlock(void *context);

int main(int argc, char **argv)
{
    static struct state state = {.change_ppm = 10000, .random = 1};
    struct owner_options options = {.subject = "svc.default.state",
                                    .context = &state,
                                    .serve = serve,
                                    .own = own,
                                    .freeze = freeze,
                                    .snapshot = snapshot,
                                    .restore = restore,
                                    .step = step};
    int64_t bytes = INT64_C(64) << 20;
    struct error err = {0};
    if (read_options(argc, argv, &options, &state, &bytes) < 0)
        return 2;
    if (store_init(&state.store, bytes, &err) < 0) {
        fprintf(stderr, "kvstate: %s\n", err.text);
        return 1;
    }
    int status = owner_run(&options);
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
        else if (str_equal(argv[i], "--bytes"))
            rc = units_bytes(argv[i + 1], ret_bytes, &err);
        else if (str_equal(argv[i], "--change"))
            rc = units_ratio(argv[i + 1], &state->change_ppm, &err);
        else if (str_equal(argv[i], "--linger-ms"))
            rc = str_to_i64(argv[i + 1], &linger_ms);
        else if (str_equal(argv[i], "--slow-export-ms"))
            rc = str_to_i64(argv[i + 1], &state->slow_ms);
        else
            rc = -1;
    }
    if (rc == 0 && (linger_ms < 0 || linger_ms > 60000))
        rc = -1;
    options->linger_us = linger_ms * 1000;
    if (rc < 0)
        fprintf(stderr, "usage: kvstate [--subject S] [--bytes 64MiB] [--change 1%%] "
                        "[--slow-export-ms N] [--linger-ms 0..60000]\n");
    return rc;
}

static void serve(struct owner *owner, natsMsg *request, void *context)
{
    struct state *state = context;
    struct error err = {0};
    char line[128], text[128];
    int64_t key = 0;
    uint64_t version = 0, before = 0;
    str_format(line, sizeof line, "%.*s",
               natsMsg_GetDataLength(request) < 100 ? natsMsg_GetDataLength(request) : 100,
               natsMsg_GetData(request));
    char *first = strchr(line, ' ');
    if (first != NULL)
        *first++ = 0;
    char *second = first != NULL ? strchr(first, ' ') : NULL;
    if (second != NULL)
        *second++ = 0;
    bool put = str_equal(line, "put") && second != NULL && str_to_u64(second, &version) == 0;
    bool get = str_equal(line, "get") && second == NULL;
    if (str_equal(line, "status") && first == NULL) {
        str_format(text, sizeof text, "%" PRId64 " %" PRId64 " %" PRId64 " %d",
                   store_keys(&state->store), state->store.puts, state->store.changes,
                   state->store.round);
        owner_reply(owner, request, text);
        return;
    }
    if ((!put && !get) || first == NULL || str_to_i64(first, &key) < 0)
        (void)error_set(&err, ERR_INVALID, 0, "put <key> <version>, get <key> or status");
    else if (store_get(&state->store, key, &before, &err) == 0 && put &&
             store_put(&state->store, key, version, &err) < 0)
        fprintf(stderr, "kvstate: %s\n", err.text);
    answer(owner, state, request, key, before, &err);
}

static void answer(struct owner *owner, const struct state *state, natsMsg *request, int64_t key,
                   uint64_t before, const struct error *err)
{
    struct error found = *err;
    uint64_t version = 0;
    char text[384], epoch[BERTH_EPOCH_BYTES];
    if (found.code == 0 && store_get(&state->store, key, &version, &found) == 0)
        str_format(text, sizeof text, "ok %" PRId64 " %" PRIu64 " %s %.128s %" PRIu64, key, version,
                   berth_epoch_format(owner_epoch(owner), epoch), owner_instance(owner), before);
    else
        str_format(text, sizeof text, "error %.300s", found.text);
    owner_reply(owner, request, text);
}

static int own(struct owner *owner, const char *handed, void *context)
{
    struct state *state = context;
    (void)handed;
    fprintf(stderr, "kvstate: owner %s with round %d, %" PRId64 " puts\n", owner_instance(owner),
            state->store.round, state->store.puts);
    state->changed_us = clock_mono_now().us;
    return 0;
}

static int freeze(struct owner *owner, const char *path, char handed[BERTH_HANDED_BYTES + 1],
                  void *context)
{
    struct state *state = context;
    struct error err = {0};
    (void)owner;
    str_format(handed, BERTH_HANDED_BYTES + 1, "puts=%" PRId64, state->store.puts);
    if (path[0] == 0)
        return 0;
    int64_t begun_us = clock_mono_now().us;
    int64_t bytes = store_export(&state->store, state->store.round + 1, true, path, NULL, &err);
    fprintf(stderr, "kvstate: frozen, %" PRId64 " bytes in %" PRId64 " us%s\n", bytes,
            clock_mono_now().us - begun_us, err.text);
    return bytes < 0 ? -1 : 0;
}

static int snapshot(struct owner *owner, int round, const char *path, void *context)
{
    struct state *state = context;
    struct store_lock guard = {lock, unlock, owner};
    struct error err = {0};
    struct timespec pause = {.tv_sec = state->slow_ms / 1000,
                             .tv_nsec = state->slow_ms % 1000 * 1000000};
    int64_t begun_us = clock_mono_now().us;
    int64_t bytes = store_export(&state->store, round, false, path, &guard, &err);
    nanosleep(&pause, NULL);
    fprintf(stderr, "kvstate: snapshot %d, %" PRId64 " bytes in %" PRId64 " us%s\n", round, bytes,
            clock_mono_now().us - begun_us, err.text);
    return bytes < 0 ? -1 : 0;
}

static int restore(struct owner *owner, int round, const char *path, void *context)
{
    struct state *state = context;
    struct error err = {0};
    (void)owner;
    int64_t begun_us = clock_mono_now().us;
    int rc = store_import(&state->store, path, &err);
    fprintf(stderr, "kvstate: restored %d in %" PRId64 " us%s\n", round,
            clock_mono_now().us - begun_us, err.text);
    return rc;
}

/* The changes that are due by now, evenly over time and at random over the pages. */
static int step(struct owner *owner, void *context)
{
    struct state *state = context;
    int64_t now_us = clock_mono_now().us;
    if (!owner_serves(owner) || state->change_ppm == 0)
        return 0;
    /* Microseconds between two changes. */
    int64_t every_us = US_PER_S * 1000000 / (state->change_ppm * state->store.page_count);
    every_us = every_us < 1 ? 1 : every_us;
    while (now_us - state->changed_us >= every_us) {
        state->random = state->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        owner_lock(owner);
        store_change(&state->store,
                     (int64_t)((state->random >> 33) % (uint64_t)state->store.page_count));
        owner_unlock(owner);
        state->changed_us += every_us;
    }
    return 0;
}

static void lock(void *context)
{
    owner_lock(context);
}

static void unlock(void *context)
{
    owner_unlock(context);
}
