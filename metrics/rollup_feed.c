#include "metrics/rollup_feed.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"

#define MINUTE_US      (60 * US_PER_S)
#define WRITE_CELLS    4096 /* of one transaction */
#define WRITES_COMPACT 64

struct accumulator {
    int64_t count; /* 0: nothing */
    int64_t sum;
    int64_t min;
    int64_t max;
};

/* All that is accumulated of one key. Stays where it is for as long as the feed. */
struct row {
    struct metrics_key key; /* into names */
    char names[4][LIMIT_NAME_BYTES];
    char places[2][LIMIT_REF_BYTES];
    uint64_t hash;
    bool dirty;
    int64_t minute; /* of all that is accumulated */
    struct accumulator kinds[SAMPLE_COUNT];
    struct sketch sketch;         /* of LATENCY_US */
    int64_t series[SAMPLE_COUNT]; /* the writing thread's */
};

struct cells {
    struct rollup_cell *list;
    int count;
    int room;
};

struct rollup_feed {
    struct rollup_feed_options options;
    struct row **rows;
    int row_count;
    int32_t *slots; /* open addressing; -1: free */
    int *dirty;     /* rows with something accumulated */
    int dirty_count;
    struct cells sealed;
    int64_t minute; /* of the last reading */
    int64_t minute_from_us;
    int64_t flushed_us;
    uint64_t readings;
    uint64_t lost;
    uint64_t left_out;

    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* to the thread: work, or the end */
    pthread_cond_t idle; /* from it: the batch is done or refused */
    /* Under the lock. */
    bool ending;
    bool full;          /* batch is the thread's */
    struct cells batch; /* the owner's while !full */
    int64_t compact_us; /* scheduler time for the compaction */
    uint64_t written;
    uint64_t refused; /* series past the database's limit */
    bool failing;
    bool compact_failing;
    uint64_t failures;
    char text[ERROR_TEXT_BYTES];
    /* The thread's alone. */
    struct rollup *rollup;
    int done; /* of the batch, already committed */
};

#define SLOTS (2 * ROLLUP_FEED_ROWS)

static int row_of(void *context, const struct metrics_key *key, int64_t now_us);
static void add(void *context, int row, int kind, int64_t value, int64_t now_us);
static void add_all(void *context, int row, const struct metrics_reading *list, int count,
                    int64_t now_us);
static void add_sketch(void *context, int row, const struct message_sketch *sketch, int64_t now_us);
static struct row *row_at(struct rollup_feed *feed, int index, int64_t now_us);
static void seal(struct rollup_feed *feed, struct row *row);
static void seal_kind(struct rollup_feed *feed, struct row *row, int kind);
static void *run(void *context);
static bool write_batch(struct rollup_feed *feed, struct error *err);
static void cells_clear(struct cells *cells);
static struct timespec in_us(int64_t us);

int rollup_feed_open(const char *path, const struct rollup_feed_options *options,
                     struct rollup_feed **ret_feed, struct error *err)
{
    struct rollup_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the rollups' feed");
    pthread_mutex_init(&feed->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&feed->wake, &monotonic);
    pthread_cond_init(&feed->idle, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (options != NULL)
        feed->options = *options;
    if (feed->options.flush_us <= 0)
        feed->options.flush_us = 5 * US_PER_S;
    if (feed->options.retry_us <= 0)
        feed->options.retry_us = 5 * US_PER_S;
    feed->minute_from_us = -2 * MINUTE_US; /* no minute yet */
    feed->rows = calloc(ROLLUP_FEED_ROWS, sizeof(struct row *));
    feed->slots = malloc(SLOTS * sizeof *feed->slots);
    feed->dirty = calloc(ROLLUP_FEED_ROWS, sizeof *feed->dirty);
    int rc = 0;
    if (feed->rows == NULL || feed->slots == NULL || feed->dirty == NULL)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for the rollups' feed");
    for (int i = 0; i < SLOTS && rc == 0; i++)
        feed->slots[i] = -1;
    if (rc == 0)
        rc = rollup_open(path, &feed->options.store, &feed->rollup, err);
    if (rc == 0) {
        int failed = pthread_create(&feed->thread, NULL, run, feed);
        feed->started = failed == 0;
        if (failed != 0)
            rc = error_set(err, ERR_NO_MEMORY, failed, "a thread for the rollups");
    }
    if (rc < 0) {
        rollup_feed_close(feed);
        return rc;
    }
    *ret_feed = feed;
    return 0;
}

void rollup_feed_close(struct rollup_feed *feed)
{
    if (feed == NULL)
        return;
    if (feed->started) {
        /* What the thread still has first, then the rest; what a disk refuses is not waited for. */
        if (rollup_feed_wait(feed, 10 * US_PER_S)) {
            rollup_feed_flush(feed, INT64_MAX);
            (void)rollup_feed_wait(feed, 10 * US_PER_S);
        }
        pthread_mutex_lock(&feed->lock);
        feed->ending = true;
        pthread_cond_signal(&feed->wake);
        pthread_mutex_unlock(&feed->lock);
        pthread_join(feed->thread, NULL);
    }
    rollup_close(feed->rollup);
    for (int i = 0; i < feed->row_count; i++) {
        sketch_done(&feed->rows[i]->sketch);
        free(feed->rows[i]);
    }
    cells_clear(&feed->sealed);
    cells_clear(&feed->batch);
    free(feed->sealed.list);
    free(feed->batch.list);
    free(feed->rows);
    free(feed->slots);
    free(feed->dirty);
    pthread_cond_destroy(&feed->wake);
    pthread_cond_destroy(&feed->idle);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}

struct metrics_sink rollup_feed_sink(struct rollup_feed *feed)
{
    return (struct metrics_sink){
        .context = feed, .row = row_of, .add = add, .add_sketch = add_sketch, .add_all = add_all};
}

void rollup_feed_flush(struct rollup_feed *feed, int64_t now_us)
{
    if (now_us < rollup_feed_deadline_us(feed))
        return;
    pthread_mutex_lock(&feed->lock);
    bool full = feed->full;
    pthread_mutex_unlock(&feed->lock);
    if (now_us != INT64_MAX)
        feed->flushed_us = now_us;
    if (full)
        return; /* accumulators go on */
    for (int i = 0; i < feed->dirty_count; i++) {
        struct row *row = feed->rows[feed->dirty[i]];
        seal(feed, row);
        row->dirty = false;
    }
    feed->dirty_count = 0;
    pthread_mutex_lock(&feed->lock);
    struct cells swap = feed->batch;
    feed->batch = feed->sealed;
    feed->sealed = swap;
    feed->full = true;
    if (now_us != INT64_MAX)
        feed->compact_us = now_us;
    pthread_cond_signal(&feed->wake);
    pthread_mutex_unlock(&feed->lock);
}

int64_t rollup_feed_deadline_us(const struct rollup_feed *feed)
{
    return feed->flushed_us + feed->options.flush_us;
}

bool rollup_feed_wait(struct rollup_feed *feed, int64_t timeout_us)
{
    struct timespec until = in_us(timeout_us);
    pthread_mutex_lock(&feed->lock);
    bool timed_out = false;
    while (feed->full && !feed->failing && !timed_out)
        timed_out = pthread_cond_timedwait(&feed->idle, &feed->lock, &until) != 0;
    bool written = !feed->full;
    pthread_mutex_unlock(&feed->lock);
    return written;
}

struct rollup_feed_state rollup_feed_state(struct rollup_feed *feed)
{
    struct rollup_feed_state state = {.readings = feed->readings, .lost = feed->lost};
    pthread_mutex_lock(&feed->lock);
    state.written = feed->written;
    state.left_out = feed->left_out + feed->refused;
    state.pending = feed->sealed.count + (feed->full ? feed->batch.count : 0);
    state.failing = feed->failing;
    state.failures = feed->failures;
    memcpy(state.text, feed->text, sizeof state.text);
    pthread_mutex_unlock(&feed->lock);
    return state;
}

/* ---- the owner's side ---- */

static uint64_t key_hash(const struct metrics_key *key)
{
    uint64_t hash = hash_str(hash_str(HASH_SEED, key->namespace_), key->app);
    hash = hash_str(hash_str(hash, key->workload), key->segment);
    return hash_str(hash_str(hash, key->site), key->peer);
}

static bool key_equal(const struct metrics_key *a, const struct metrics_key *b)
{
    return str_equal(a->workload, b->workload) && str_equal(a->site, b->site) &&
           str_equal(a->segment, b->segment) && str_equal(a->app, b->app) &&
           str_equal(a->namespace_, b->namespace_) && str_equal(a->peer, b->peer);
}

static int row_of(void *context, const struct metrics_key *key, int64_t now_us)
{
    struct rollup_feed *feed = context;
    (void)now_us;
    uint64_t hash = key_hash(key);
    uint64_t slot = hash % SLOTS;
    for (; feed->slots[slot] >= 0; slot = (slot + 1) % SLOTS) {
        const struct row *row = feed->rows[feed->slots[slot]];
        if (row->hash == hash && key_equal(&row->key, key))
            return feed->slots[slot];
    }
    struct row *row = feed->row_count == ROLLUP_FEED_ROWS ? NULL : calloc(1, sizeof *row);
    if (row == NULL) {
        feed->left_out++;
        return -1;
    }
    str_format(row->names[0], LIMIT_NAME_BYTES, "%s", key->namespace_);
    str_format(row->names[1], LIMIT_NAME_BYTES, "%s", key->app);
    str_format(row->names[2], LIMIT_NAME_BYTES, "%s", key->workload);
    str_format(row->names[3], LIMIT_NAME_BYTES, "%s", key->segment);
    str_format(row->places[0], LIMIT_REF_BYTES, "%s", key->site);
    str_format(row->places[1], LIMIT_REF_BYTES, "%s", key->peer);
    row->key = (struct metrics_key){row->names[0], row->names[1],  row->names[2],
                                    row->names[3], row->places[0], row->places[1]};
    row->hash = hash;
    feed->rows[feed->row_count] = row;
    feed->slots[slot] = feed->row_count;
    return feed->row_count++;
}

static void add(void *context, int index, int kind, int64_t value, int64_t now_us)
{
    struct metrics_reading reading = {.kind = kind, .value = value};
    add_all(context, index, &reading, 1, now_us);
}

static void add_all(void *context, int index, const struct metrics_reading *list, int count,
                    int64_t now_us)
{
    struct rollup_feed *feed = context;
    struct row *row = row_at(feed, index, now_us);
    feed->readings += (uint64_t)count;
    for (int i = 0; i < count; i++) {
        int64_t value = list[i].value;
        struct accumulator *into = &row->kinds[list[i].kind];
        if (into->count++ == 0)
            into->min = into->max = value;
        if (__builtin_add_overflow(into->sum, value, &into->sum))
            into->sum = INT64_MAX;
        into->min = value < into->min ? value : into->min;
        into->max = value > into->max ? value : into->max;
    }
}

/* Its rows count values: how many, their sum, and between which ends of buckets they lie. */
static void add_sketch(void *context, int index, const struct message_sketch *sketch,
                       int64_t now_us)
{
    struct rollup_feed *feed = context;
    struct row *row = row_at(feed, index, now_us);
    struct accumulator *into = &row->kinds[SAMPLE_LATENCY_US];
    feed->readings++;
    if (sketch->count == 0 || sketch_merge_message(&row->sketch, sketch, NULL) < 0)
        return; /* metrics has taken it, so it is fine */
    if (__builtin_add_overflow(into->count, sketch->count, &into->count))
        into->count = INT64_MAX;
    if (__builtin_add_overflow(into->sum, sketch->sum, &into->sum))
        into->sum = INT64_MAX;
}

/* The row that something is added to now. */
static struct row *row_at(struct rollup_feed *feed, int index, int64_t now_us)
{
    if (now_us < feed->minute_from_us || now_us - feed->minute_from_us >= MINUTE_US) {
        feed->minute = now_us / MINUTE_US; /* scheduler time is after 1970 */
        feed->minute_from_us = feed->minute * MINUTE_US;
    }
    struct row *row = feed->rows[index];
    if (row->minute != feed->minute) {
        if (row->dirty)
            seal(feed, row);
        row->minute = feed->minute;
    }
    if (!row->dirty) {
        row->dirty = true;
        feed->dirty[feed->dirty_count++] = index;
    }
    return row;
}

/* Makes cells of what was accumulated. */
static void seal(struct rollup_feed *feed, struct row *row)
{
    for (int kind = 0; kind < SAMPLE_COUNT; kind++)
        if (row->kinds[kind].count > 0)
            seal_kind(feed, row, kind);
}

/* Makes a cell of an accumulator, and empties it. */
static void seal_kind(struct rollup_feed *feed, struct row *row, int kind)
{
    struct accumulator *from = &row->kinds[kind];
    struct cells *sealed = &feed->sealed;
    uint8_t *blob = NULL;
    size_t blob_bytes = 0;
    struct accumulator taken = *from;
    *from = (struct accumulator){0};
    if (kind == SAMPLE_LATENCY_US) {
        uint8_t made[SKETCH_BLOB_BYTES];
        blob_bytes = sketch_to_blob(&row->sketch, made);
        taken.min = (int64_t)sketch_quantile(&row->sketch, 0);
        taken.max = (int64_t)sketch_quantile(&row->sketch, 1000000);
        sketch_clear(&row->sketch);
        blob = malloc(blob_bytes);
        if (blob != NULL)
            memcpy(blob, made, blob_bytes);
    }
    if (sealed->count == sealed->room && sealed->room < ROLLUP_FEED_PENDING) {
        int room = sealed->room == 0 ? 1024 : 2 * sealed->room;
        struct rollup_cell *more = realloc(sealed->list, (size_t)room * sizeof *more);
        if (more != NULL) {
            sealed->list = more;
            sealed->room = room;
        }
    }
    if (sealed->count == sealed->room || (kind == SAMPLE_LATENCY_US && blob == NULL)) {
        free(blob);
        feed->lost++;
        return;
    }
    sealed->list[sealed->count++] = (struct rollup_cell){.key = &row->key,
                                                         .kind = kind,
                                                         .series = &row->series[kind],
                                                         .minute = row->minute,
                                                         .count = taken.count,
                                                         .sum = taken.sum,
                                                         .min = taken.min,
                                                         .max = taken.max,
                                                         .sketch = blob,
                                                         .sketch_bytes = blob_bytes};
}

static void cells_clear(struct cells *cells)
{
    for (int i = 0; i < cells->count; i++)
        free((void *)(uintptr_t)cells->list[i].sketch);
    cells->count = 0;
}

/* ---- the thread's side ---- */

static void *run(void *context)
{
    struct rollup_feed *feed = context;
    bool compacting = false;
    int64_t compacted = INT64_MIN; /* the minute in which nothing was left to compact */
    int writes = 0;
    /* Who wakes it goes on meanwhile; where there is no such policy it may be held up a little. */
    struct sched_param plain = {.sched_priority = 0};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &plain);
    pthread_mutex_lock(&feed->lock);
    while (!feed->ending) {
        struct timespec retry = in_us(feed->options.retry_us);
        if (!feed->full && !compacting) {
            pthread_cond_wait(&feed->wake, &feed->lock);
            continue;
        }
        if (feed->full && feed->failing &&
            pthread_cond_timedwait(&feed->wake, &feed->lock, &retry) == 0)
            continue; /* woken to end, or by nothing: the whole pause again */
        struct error err = {0};
        bool write = feed->full;
        int64_t compact_us = feed->compact_us;
        pthread_mutex_unlock(&feed->lock);
        bool well = true;
        if (write) {
            well = write_batch(feed, &err);
            /* What is due becomes so with the minute, unless a clock stands still. */
            compacting =
                well && (compact_us / MINUTE_US != compacted || ++writes % WRITES_COMPACT == 0);
        } else {
            int more = rollup_compact(feed->rollup, compact_us, &err);
            compacting = more > 0;
            well = more >= 0;
            compacted = more == 0 ? compact_us / MINUTE_US : INT64_MIN;
        }
        pthread_mutex_lock(&feed->lock);
        /* A compaction that failed is tried again after the next write. */
        bool *failing = write ? &feed->failing : &feed->compact_failing;
        if (!well && !feed->failing && !feed->compact_failing) {
            feed->failures++;
            memcpy(feed->text, err.text, sizeof feed->text);
        }
        *failing = !well;
        if (write) {
            if (well) {
                feed->full = false;
                cells_clear(&feed->batch);
            }
            pthread_cond_broadcast(&feed->idle);
        }
    }
    pthread_mutex_unlock(&feed->lock);
    return NULL;
}

/* All that of the batch is not yet committed, in transactions of WRITE_CELLS. */
static bool write_batch(struct rollup_feed *feed, struct error *err)
{
    while (feed->done < feed->batch.count) {
        int left = feed->batch.count - feed->done;
        int count = left < WRITE_CELLS ? left : WRITE_CELLS;
        int64_t left_out = 0;
        if (rollup_write(feed->rollup, feed->batch.list + feed->done, count, &left_out, err) < 0)
            return false;
        feed->done += count;
        pthread_mutex_lock(&feed->lock);
        feed->written += (uint64_t)(count - left_out);
        feed->refused += (uint64_t)left_out;
        pthread_mutex_unlock(&feed->lock);
    }
    feed->done = 0;
    return true;
}

static struct timespec in_us(int64_t us)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += us / US_PER_S;
    at.tv_nsec += us % US_PER_S * 1000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}
