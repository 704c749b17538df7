/* Any bytes as the sketch of a stored row: reading and merging it gives an error that names the
 * database, or counts that all resolutions agree on; what else is stored is not touched by it. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "metrics/rollup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count_up(void *context, const struct rollup_row *row)
{
    uint64_t *count = context;
    if (row->sketch != NULL)
        *count += row->sketch->count;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct metrics_key key = {"default", "shop", "web", "", "edge/nyc", ""};
    const struct rollup_filter filter = {.kind = -1};
    struct rollup *rollup = NULL;
    struct error err = {0};
    int64_t series = 0;
    int64_t left_out;
    BERTH_ASSERT(rollup_open(":memory:", NULL, &rollup, &err) == 0, "%s", err.text);
    if (size == 0)
        data = (const uint8_t *)"";
    /* Half of it in one hour, all of it in another, so that both kinds of merging see it. */
    struct rollup_cell cells[] = {
        {.minute = 60, .sketch = data, .sketch_bytes = size / 2},
        {.minute = 61, .sketch = data, .sketch_bytes = size},
        {.minute = 200, .sketch = data, .sketch_bytes = size},
    };
    int cell_count = (int)(sizeof cells / sizeof cells[0]);
    for (int i = 0; i < cell_count; i++) {
        cells[i].key = &key;
        cells[i].kind = SAMPLE_LATENCY_US;
        cells[i].series = &series;
        cells[i].count = 1;
        BERTH_ASSERT(rollup_write(rollup, &cells[i], 1, &left_out, &err) == 0, "%s", err.text);
    }
    uint64_t before = 0;
    int rc = rollup_query(rollup, &filter, 0, INT64_MAX, ROLLUP_HOURS, count_up, &before, &err);
    int more;
    while ((more = rollup_compact(rollup, 600 * US_PER_HOUR, &err)) > 0)
        ;
    BERTH_ASSERT((rc < 0) == (more < 0), "reading says %d, merging %d", rc, more);
    if (rc == 0) {
        uint64_t after = 0;
        BERTH_ASSERT(rollup_write(rollup, &cells[1], 1, &left_out, &err) == 0, "%s", err.text);
        rc = rollup_query(rollup, &filter, 0, INT64_MAX, ROLLUP_DAYS, count_up, &after, &err);
        struct sketch again = {0};
        BERTH_ASSERT(rc == 0 && sketch_merge_blob(&again, data, size, &err) == 0, "%s", err.text);
        BERTH_ASSERT(after == before + again.count, "counts are lost");
        sketch_done(&again);
    }
    rollup_close(rollup);
    return 0;
}
