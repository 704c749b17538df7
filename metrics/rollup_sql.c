/*
 * rollup_sql: the functions that rows are added up with, inside SQLite: sums that stay at their
 * largest instead of failing, and sketches that merge. A damaged sketch fails the statement.
 */
#include <stdlib.h>
#include <string.h>

#include "metrics/rollup_internal.h"

struct merging {
    struct sketch *sketch; /* NULL: no value yet */
    bool broken;
};

static void add_two(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    sqlite3_result_int64(
        context, rollup_add(sqlite3_value_int64(values[0]), sqlite3_value_int64(values[1])));
}

static void sum_step(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    int64_t *sum = sqlite3_aggregate_context(context, sizeof *sum);
    if (sum != NULL)
        *sum = rollup_add(*sum, sqlite3_value_int64(values[0]));
}

static void sum_final(sqlite3_context *context)
{
    int64_t *sum = sqlite3_aggregate_context(context, sizeof *sum);
    sqlite3_result_int64(context, sum == NULL ? 0 : *sum);
}

static int merge_value(struct sketch *into, sqlite3_value *value)
{
    if (sqlite3_value_type(value) == SQLITE_NULL)
        return 0;
    const void *blob = sqlite3_value_blob(value);
    return sketch_merge_blob(into, blob, (size_t)sqlite3_value_bytes(value), NULL);
}

static void give(sqlite3_context *context, const struct sketch *sketch)
{
    uint8_t *blob = sqlite3_malloc(SKETCH_BLOB_BYTES);
    if (blob == NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    sqlite3_result_blob(context, blob, (int)sketch_to_blob(sketch, blob), sqlite3_free);
}

static void merge_two(sqlite3_context *context, int count, sqlite3_value **values)
{
    for (int i = 0; i < count; i++)
        if (sqlite3_value_type(values[i]) == SQLITE_NULL) {
            sqlite3_result_value(context, values[1 - i]);
            return;
        }
    struct sketch sketch = {0};
    if (merge_value(&sketch, values[0]) < 0 || merge_value(&sketch, values[1]) < 0)
        sqlite3_result_error(context, "a stored sketch is damaged", -1);
    else
        give(context, &sketch);
    sketch_done(&sketch);
}

static void merge_step(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count;
    struct merging *merging = sqlite3_aggregate_context(context, sizeof *merging);
    if (merging == NULL || sqlite3_value_type(values[0]) == SQLITE_NULL)
        return;
    if (merging->sketch == NULL)
        merging->sketch = calloc(1, sizeof *merging->sketch);
    if (merging->sketch == NULL || merge_value(merging->sketch, values[0]) < 0)
        merging->broken = true;
}

static void merge_final(sqlite3_context *context)
{
    struct merging *merging = sqlite3_aggregate_context(context, sizeof *merging);
    if (merging == NULL || (merging->sketch == NULL && !merging->broken)) {
        sqlite3_result_null(context);
        return;
    }
    if (merging->broken)
        sqlite3_result_error(context, "a stored sketch is damaged", -1);
    else
        give(context, merging->sketch);
    sketch_done(merging->sketch);
    free(merging->sketch);
}

int rollup_functions(sqlite3 *db)
{
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC;
    int rc = sqlite3_create_function(db, "berth_add", 2, flags, NULL, add_two, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function(db, "berth_sum", 1, flags, NULL, NULL, sum_step, sum_final);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function(db, "berth_merge", 2, flags, NULL, merge_two, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_function(db, "berth_merge_all", 1, flags, NULL, NULL, merge_step,
                                     merge_final);
    return rc;
}
