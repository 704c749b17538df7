/*
 * sketch_codec: sketches as messages, as blobs of a database, and as others write them.
 */
#include <inttypes.h>
#include <string.h>

#include "base/varint.h"
#include "metrics/sketch.h"

#define BLOB_VERSION 1
#define INDEX_MAX    (63 * SKETCH_STEPS + SKETCH_STEPS - 1) /* of values up to 2^64 */

/* The buckets from the first with a count to the last. */
struct used {
    const uint64_t *counts;
    uint32_t count;
    int32_t offset;
};

static struct used used_of(const struct sketch *sketch);
static int merge_checked(struct sketch *into, const struct message_sketch *told, const char *what,
                         struct error *err);

void sketch_to_message(const struct sketch *sketch, struct message_sketch *out)
{
    struct used used = used_of(sketch);
    const unsigned __int128 most = INT64_MAX;
    out->scale = sketch_scale(sketch);
    out->offset = used.offset;
    out->zero_count = (int64_t)sketch->zero_count;
    out->count = (int64_t)sketch->count;
    out->sum = (int64_t)(sketch->sum < most ? sketch->sum : most);
    out->counts = (int64_t *)(uintptr_t)used.counts; /* of the same size, and far below 2^63 */
    out->count_count = (int)used.count;
}

int sketch_merge_message(struct sketch *into, const struct message_sketch *message,
                         struct error *err)
{
    return merge_checked(into, message, "the sketch", err);
}

size_t sketch_to_blob(const struct sketch *sketch, uint8_t out[SKETCH_BLOB_BYTES])
{
    struct used used = used_of(sketch);
    const unsigned __int128 most = INT64_MAX;
    uint8_t *at = out;
    *at++ = BLOB_VERSION;
    *at++ = (uint8_t)sketch->coarser;
    varint_put(&at, (uint64_t)(used.offset + 1)); /* the least index is -1 */
    varint_put(&at, used.count);
    varint_put(&at, sketch->zero_count);
    varint_put(&at, (uint64_t)(sketch->sum < most ? sketch->sum : most));
    for (uint32_t i = 0; i < used.count;) {
        varint_put(&at, used.counts[i]);
        if (used.counts[i++] > 0)
            continue;
        uint32_t run = 1;
        while (used.counts[i] == 0) { /* ends: the last one is not 0 */
            run++;
            i++;
        }
        varint_put(&at, run);
    }
    return (size_t)(at - out);
}

int sketch_merge_blob(struct sketch *into, const uint8_t *blob, size_t bytes, struct error *err)
{
    int64_t counts[LIMIT_SKETCH_BUCKETS] = {0};
    struct varint_reader reader = {0};
    struct message_sketch told = {.counts = counts};
    if (bytes < 2 || blob[0] != BLOB_VERSION || blob[1] > SKETCH_SCALE_MAX - SKETCH_SCALE_MIN)
        return error_set(err, ERR_CORRUPT, 0, "the sketch is none of version %d", BLOB_VERSION);
    told.scale = SKETCH_SCALE_MAX - blob[1];
    reader.at = blob + 2;
    reader.end = blob + bytes;
    uint64_t offset = varint_get(&reader);
    uint64_t count = varint_get(&reader);
    uint64_t zeros = varint_get(&reader);
    uint64_t sum = varint_get(&reader);
    uint64_t total = zeros;
    if (offset > INDEX_MAX + 1 || count > LIMIT_SKETCH_BUCKETS || zeros > INT64_MAX ||
        sum > INT64_MAX)
        reader.broken = true;
    for (uint64_t i = 0; i < count && !reader.broken;) {
        uint64_t one = varint_get(&reader);
        if (one > INT64_MAX || total + one > INT64_MAX) {
            reader.broken = true;
            break;
        }
        total += one;
        uint64_t run = one == 0 ? varint_get(&reader) : 1;
        if (run == 0 || run > count - i) {
            reader.broken = true;
            break;
        }
        counts[i] = (int64_t)one;
        i += run;
    }
    if (reader.broken || reader.at != reader.end)
        return error_set(err, ERR_CORRUPT, 0, "the sketch of %zu bytes is damaged", bytes);
    told.offset = (int)offset - 1;
    told.count_count = (int)count;
    told.zero_count = (int64_t)zeros;
    told.count = (int64_t)total;
    told.sum = (int64_t)sum;
    return merge_checked(into, &told, "the stored sketch", err);
}

void sketch_write_otlp(const struct sketch *sketch, struct strbuf *out)
{
    struct used used = used_of(sketch);
    strbuf_printf(out,
                  "\"count\":\"%" PRIu64 "\",\"sum\":%.17g,\"scale\":%d,\"zeroCount\":\"%" PRIu64
                  "\",\"positive\":{\"offset\":%" PRId32 ",\"bucketCounts\":[",
                  sketch->count, (double)sketch->sum, sketch_scale(sketch), sketch->zero_count,
                  used.offset);
    for (uint32_t i = 0; i < used.count; i++)
        strbuf_printf(out, i == 0 ? "\"%" PRIu64 "\"" : ",\"%" PRIu64 "\"", used.counts[i]);
    strbuf_puts(out, "]}");
}

void sketch_write_openmetrics(const struct sketch *sketch, struct strbuf *out)
{
    struct used used = used_of(sketch);
    strbuf_printf(out,
                  "{count:%" PRIu64 ",sum:%.17g,schema:%d,zero_threshold:0,zero_count:%" PRIu64
                  ",positive_spans:[",
                  sketch->count, (double)sketch->sum, sketch_scale(sketch), sketch->zero_count);
    bool first = true;
    uint32_t gap = 0;
    for (uint32_t i = 0; i < used.count;) {
        uint32_t length = 0;
        while (i + length < used.count && used.counts[i + length] > 0)
            length++;
        if (length > 0) {
            int64_t from = first ? (int64_t)used.offset + 1 : gap;
            strbuf_printf(out, "%s%" PRId64 ":%" PRIu32, first ? "" : ",", from, length);
            first = false;
        }
        i += length;
        for (gap = 0; i < used.count && used.counts[i] == 0; gap++)
            i++;
    }
    strbuf_puts(out, "],positive_buckets:[");
    first = true;
    for (uint32_t i = 0; i < used.count; i++) {
        if (used.counts[i] == 0)
            continue;
        strbuf_printf(out, first ? "%" PRIu64 : ",%" PRIu64, used.counts[i]);
        first = false;
    }
    strbuf_puts(out, "]}");
}

static struct used used_of(const struct sketch *sketch)
{
    uint32_t low = 0;
    uint32_t high = sketch->room;
    while (low < high && sketch->counts[low] == 0)
        low++;
    while (high > low && sketch->counts[high - 1] == 0)
        high--;
    if (low == high)
        return (struct used){0};
    return (struct used){.counts = sketch->counts + low,
                         .count = high - low,
                         .offset = sketch->offset + (int32_t)low};
}

/* Through a sketch of its own, so that a refused one leaves no trace and a scale that is finer or
 * coarser than `into` is merge's business. */
static int merge_checked(struct sketch *into, const struct message_sketch *told, const char *what,
                         struct error *err)
{
    uint64_t total = (uint64_t)told->zero_count;
    for (int i = 0; i < told->count_count; i++) {
        if (told->counts[i] < 0 || told->zero_count < 0 || total > INT64_MAX)
            return error_set(err, ERR_INVALID, 0, "%s has counts past 2^63 or below 0", what);
        total += (uint64_t)told->counts[i];
    }
    if (told->count < 0 || total != (uint64_t)told->count)
        return error_set(err, ERR_INVALID, 0,
                         "%s says a count of %" PRId64 ", its buckets sum up to %" PRIu64, what,
                         told->count, total);
    if (told->scale < SKETCH_SCALE_MIN || told->scale > 20)
        return error_set(err, ERR_INVALID, 0, "%s has scale %d, must be %d to 20", what,
                         told->scale, SKETCH_SCALE_MIN);
    int finer = told->scale > SKETCH_SCALE_MAX ? told->scale - SKETCH_SCALE_MAX : 0;
    int scale = told->scale - finer;
    int64_t last =
        ((int64_t)told->offset + (told->count_count > 0 ? told->count_count - 1 : 0)) >> finer;
    if (told->count_count > 0 && last > INDEX_MAX >> (SKETCH_SCALE_MAX - scale))
        return error_set(err, ERR_INVALID, 0,
                         "%s has a bucket %" PRId64 " at scale %d, past all whole numbers", what,
                         last, scale);
    /* At most twice what the limit allows, since -1 is where what lies below 1 goes. */
    uint64_t counts[LIMIT_SKETCH_BUCKETS] = {0};
    int64_t first = (int64_t)told->offset >> finer;
    first = first < -1 ? -1 : first;
    for (int i = 0; i < told->count_count; i++) {
        int64_t index = ((int64_t)told->offset + i) >> finer;
        counts[(index < -1 ? -1 : index) - first] += (uint64_t)told->counts[i];
    }
    struct sketch one = {.coarser = SKETCH_SCALE_MAX - scale,
                         .offset = (int32_t)first,
                         .room = (uint32_t)(told->count_count > 0 ? told->count_count : 0),
                         .count = (uint64_t)told->count,
                         .zero_count = (uint64_t)told->zero_count,
                         .sum = (unsigned __int128)(uint64_t)told->sum,
                         .counts = counts};
    sketch_merge(into, &one);
    return 0;
}
