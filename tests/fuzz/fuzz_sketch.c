/* Any bytes as a stored sketch, and as the buckets of a message: refused with a sentence and
 * without a trace, or taken with every count kept; what was taken comes back the same. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "metrics/sketch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct sketch *sketch)
{
    static uint8_t blob[SKETCH_BLOB_BYTES];
    static uint8_t again[SKETCH_BLOB_BYTES];
    struct error err;
    struct sketch back = {0};
    size_t bytes = sketch_to_blob(sketch, blob);
    BERTH_ASSERT(bytes <= sizeof blob, "%zu bytes", bytes);
    BERTH_ASSERT(sketch_merge_blob(&back, blob, bytes, &err) == 0, "refuses its own: %s", err.text);
    BERTH_ASSERT(sketch_to_blob(&back, again) == bytes && memcmp(blob, again, bytes) == 0,
                 "differs");
    BERTH_ASSERT(back.count == sketch->count, "counts are lost");
    double before = 0;
    for (int64_t q = 0; q <= 1000000 && sketch->count > 0; q += 100000) {
        double value = sketch_quantile(sketch, q);
        BERTH_ASSERT(value >= before, "quantile %lld falls", (long long)q);
        before = value;
    }
    sketch_done(&back);
    sketch_done(sketch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sketch sketch = {0};
    struct error err = {0};
    if (sketch_merge_blob(&sketch, data, size, &err) == 0)
        check(&sketch);
    else
        BERTH_ASSERT(err.text[0] != 0 && sketch.count == 0, "refused without a sentence");
    static int64_t counts[LIMIT_SKETCH_BUCKETS];
    struct message_sketch told = {.counts = counts};
    if (size < 6)
        return 0;
    memcpy(&told.offset, data, sizeof told.offset);
    told.scale = (int)(data[4] % 40) - 14;
    told.zero_count = data[5];
    told.count = told.zero_count;
    for (size_t i = 6; i < size && told.count_count < LIMIT_SKETCH_BUCKETS; i++) {
        counts[told.count_count] = data[i];
        told.count += counts[told.count_count++];
    }
    sketch_add(&sketch, 12345);
    if (sketch_merge_message(&sketch, &told, &err) == 0)
        BERTH_ASSERT(sketch.count == (uint64_t)told.count + 1, "counts are lost");
    else
        BERTH_ASSERT(sketch.count == 1, "a refused sketch left counts");
    check(&sketch);
    return 0;
}
