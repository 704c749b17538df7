/* Any bytes as a blob of fresh cells: refused with a sentence, or cells that fold into rows of the
 * same counts and sums, which a query told before. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "metrics/rollup_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct totals {
    uint64_t rows;
    uint64_t count; /* they wrap around alike */
    uint64_t sum;
};

static bool add_row(void *context, const struct rollup_row *row)
{
    struct totals *totals = context;
    totals->rows++;
    totals->count += (uint64_t)row->count;
    totals->sum += (uint64_t)row->sum;
    return true;
}

static struct totals query(struct rollup *rollup, int *ret_rc)
{
    const struct rollup_filter filter = {.kind = -1};
    struct totals totals = {0};
    struct error err;
    *ret_rc =
        rollup_query(rollup, &filter, INT64_MIN, INT64_MAX, ROLLUP_MINUTES, add_row, &totals, &err);
    return totals;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rollup *rollup = NULL;
    struct error err = {0};
    struct fresh fresh = {0};
    if (size == 0)
        data = (const uint8_t *)"";
    int decoded = rollup_fresh_decode(&fresh, data, size, &err);
    BERTH_ASSERT(decoded == 0 || err.text[0] != 0, "refused without a sentence");
    rollup_fresh_done(&fresh);

    BERTH_ASSERT(rollup_open(":memory:", NULL, &rollup, &err) == 0, "%s", err.text);
    for (int i = 0; i < 20; i++)
        BERTH_ASSERT(rollup_run(rollup,
                                "INSERT INTO series(namespace, app, workload, segment, site, peer, "
                                "kind) SELECT '', '', '', '', '', count(*), 'hits' FROM series",
                                "make a series", &err) == 0,
                     "%s", err.text);
    sqlite3_bind_int64(rollup->fresh_add, 1, 0);
    sqlite3_bind_int64(rollup->fresh_add, 2, 0);
    sqlite3_bind_blob64(rollup->fresh_add, 3, data, size, SQLITE_STATIC);
    BERTH_ASSERT(sqlite3_step(rollup->fresh_add) == SQLITE_DONE, "the blob is not stored");
    sqlite3_reset(rollup->fresh_add);

    int rc = 0;
    struct totals before = query(rollup, &rc);
    BERTH_ASSERT(decoded == 0 || rc < 0, "a blob that is refused is read");
    int folded;
    do { /* a transaction each, as rollup_compact does it, without what that does beside it */
        BERTH_ASSERT(rollup_run(rollup, "BEGIN IMMEDIATE", "begin", &err) == 0, "%s", err.text);
        folded = rollup_fresh_fold(rollup, INT64_C(7) * 60 * US_PER_S, &err);
        BERTH_ASSERT(rollup_run(rollup, folded < 0 ? "ROLLBACK" : "COMMIT", "end", &err) == 0, "%s",
                     err.text);
        int64_t blobs = 0;
        bool null;
        BERTH_ASSERT(rollup_number(rollup,
                                   "SELECT count(*) FROM fresh WHERE first <> 7 OR last <> "
                                   "7",
                                   &blobs, &null, &err) == 0,
                     "%s", err.text);
        if (blobs == 0)
            break;
    } while (folded > 0);
    BERTH_ASSERT(decoded == 0 || folded < 0, "a blob that is refused is folded");
    int rc_after = 0;
    struct totals after = query(rollup, &rc_after);
    if (rc == 0)
        BERTH_ASSERT(folded >= 0 && rc_after == 0 && after.rows == before.rows &&
                         after.count == before.count && after.sum == before.sum,
                     "%d: rows, counts or sums differ", folded);
    rollup_close(rollup);
    return 0;
}
