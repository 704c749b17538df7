/*
 * rollup_fresh: what came last, before it is rows of minutes.
 *
 * A minute's row is written every few seconds, and each time costs a search in the tree of rows. So
 * what comes together is first appended as one blob to the table `fresh`, in the transaction that
 * makes it durable; rollup_compact folds the blobs of a minute that is over, added up, into its
 * rows. Queries add up what lies here as well: for them there is no difference.
 *
 * A blob is the byte FRESH_VERSION and cells to its end. A cell is a byte of flags, then numbers
 * (varint.h): its series' distance from the one before unless that is 1, its minute's distance
 * unless it is the same, count, sum, min, max - min, and when it has a sketch its length and bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/varint.h"
#include "metrics/rollup_internal.h"

#define FRESH_VERSION  1
#define FRESH_BLOBS    256  /* past that they are added up, even of the present minute */
#define FRESH_CELLS    4096 /* of a blob, and of rows that one step makes */
#define CELL_BYTES_MAX (1 + 7 * VARINT_BYTES)
#define SLOTS_FIRST    1024
/* Instants in microseconds stay whole numbers of 64 bits. */
#define MINUTES_END (INT64_C(1) << 37)

enum { FLAG_SERIES = 1, FLAG_MINUTE = 2, FLAG_SKETCH = 4, FLAGS_END = 8 };

struct fresh_memory {
    struct fresh_memory *next;
    uint8_t bytes[];
};

/* A blob being made. */
struct making {
    uint8_t *bytes;
    size_t count;
    size_t room;
    int cells;
    int64_t series; /* of the last cell */
    int64_t minute;
    int64_t first; /* minute of all */
    int64_t last;
};

static int insert(struct rollup *rollup, const struct making *making, struct error *err);
static int put_cell(struct making *making, const struct rollup_cell *cell, struct error *err);
static int64_t minus(int64_t a, int64_t b);
static int64_t plus(int64_t a, int64_t b);
static bool get_cell(struct varint_reader *reader, struct fresh_cell *cell,
                     struct fresh_sketch *sketch);
static int add_up(struct fresh *into, const struct fresh_cell *cell,
                  const struct fresh_sketch *sketch);
static bool make_room(struct fresh *fresh);
static uint32_t slot_of(const struct fresh *fresh, int64_t series, int64_t minute);
static int due(struct rollup *rollup, int64_t present, bool *ret_due, struct error *err);
static int compare_for_rows(const void *a, const void *b);
static int compare_for_queries(const void *a, const void *b);
static int put_back(struct rollup *rollup, struct fresh *fresh, int from, struct error *err);
static int to_cell(const struct fresh *fresh, struct fresh_cell *from, uint8_t *blob,
                   struct rollup_cell *ret_cell, struct error *err);

static void cleanup_making(struct making *making)
{
    free(making->bytes);
}

int rollup_fresh_write(struct rollup *rollup, const struct rollup_cell *cells, int count,
                       struct error *err)
{
    CLEANUP(cleanup_making) struct making making = {.cells = 0};
    for (int i = 0; i < count; i++) {
        if (*cells[i].series == 0)
            continue; /* left out */
        int rc = put_cell(&making, &cells[i], err);
        if (rc == 0 && making.cells == FRESH_CELLS) {
            rc = insert(rollup, &making, err);
            making.cells = 0;
        }
        if (rc < 0)
            return rc;
    }
    return making.cells > 0 ? insert(rollup, &making, err) : 0;
}

static int insert(struct rollup *rollup, const struct making *making, struct error *err)
{
    sqlite3_stmt *add = rollup->fresh_add;
    sqlite3_bind_int64(add, 1, making->first);
    sqlite3_bind_int64(add, 2, making->last);
    sqlite3_bind_blob64(add, 3, making->bytes, making->count, SQLITE_STATIC);
    int step = sqlite3_step(add);
    sqlite3_reset(add);
    sqlite3_clear_bindings(add);
    return step == SQLITE_DONE ? 0 : rollup_fail(rollup, "add what is fresh", err);
}

static int put_cell(struct making *making, const struct rollup_cell *cell, struct error *err)
{
    int64_t series = *cell->series;
    size_t wanted = making->count + 1 + CELL_BYTES_MAX + cell->sketch_bytes;
    if (cell->minute <= -MINUTES_END || cell->minute >= MINUTES_END)
        return error_set(err, ERR_LIMIT, 0, "minute %lld of a rollup is past all instants",
                         (long long)cell->minute);
    if (wanted > making->room) {
        size_t room = 2 * wanted;
        uint8_t *more = realloc(making->bytes, room);
        if (more == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu bytes of rollups", room);
        making->bytes = more;
        making->room = room;
    }
    if (making->cells++ == 0) {
        making->bytes[0] = FRESH_VERSION;
        making->count = 1;
        making->series = making->minute = 0;
        making->first = making->last = cell->minute;
    }
    making->first = cell->minute < making->first ? cell->minute : making->first;
    making->last = cell->minute > making->last ? cell->minute : making->last;
    uint8_t *at = making->bytes + making->count;
    uint8_t *flags = at++;
    *flags = 0;
    if (minus(series, making->series) != 1) {
        *flags |= FLAG_SERIES;
        varint_put_signed(&at, minus(series, making->series));
    }
    if (cell->minute != making->minute) {
        *flags |= FLAG_MINUTE;
        varint_put_signed(&at, cell->minute - making->minute);
    }
    varint_put_signed(&at, cell->count);
    varint_put_signed(&at, cell->sum);
    varint_put_signed(&at, cell->min);
    varint_put_signed(&at, minus(cell->max, cell->min));
    if (cell->sketch != NULL) {
        *flags |= FLAG_SKETCH;
        varint_put(&at, cell->sketch_bytes);
        memcpy(at, cell->sketch, cell->sketch_bytes);
        at += cell->sketch_bytes;
    }
    making->series = series;
    making->minute = cell->minute;
    making->count = (size_t)(at - making->bytes);
    return 0;
}

/* Distances between any two numbers of 64 bits fit into as many when they wrap around. */
static int64_t minus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

static int64_t plus(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* ---- reading ---- */

int rollup_fresh_decode(struct fresh *into, const uint8_t *blob, size_t bytes, struct error *err)
{
    struct varint_reader reader = {.at = blob + 1, .end = blob + bytes};
    struct fresh_cell cell = {.series = 0};
    if (bytes < 1 || blob[0] != FRESH_VERSION)
        return error_set(err, ERR_CORRUPT, 0, "fresh cells are none of version %d", FRESH_VERSION);
    while (reader.at < reader.end) {
        struct fresh_sketch sketch = {.bytes = NULL};
        if (!get_cell(&reader, &cell, &sketch))
            return error_set(err, ERR_CORRUPT, 0, "fresh cells of %zu bytes are damaged", bytes);
        if (add_up(into, &cell, &sketch) < 0)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d fresh cells", into->count);
    }
    return 0;
}

/* `cell` has the series and the minute of the one before. */
static bool get_cell(struct varint_reader *reader, struct fresh_cell *cell,
                     struct fresh_sketch *sketch)
{
    uint8_t flags = *reader->at++;
    int64_t series_by = (flags & FLAG_SERIES) != 0 ? varint_get_signed(reader) : 1;
    int64_t minute_by = (flags & FLAG_MINUTE) != 0 ? varint_get_signed(reader) : 0;
    cell->series = plus(cell->series, series_by);
    cell->minute = plus(cell->minute, minute_by);
    cell->count = varint_get_signed(reader);
    cell->sum = varint_get_signed(reader);
    cell->min = varint_get_signed(reader);
    cell->max = plus(cell->min, varint_get_signed(reader));
    if ((flags & FLAG_SKETCH) != 0) {
        uint64_t bytes = varint_get(reader);
        if (bytes > (uint64_t)(reader->end - reader->at))
            return false;
        sketch->bytes = reader->at;
        sketch->count = (size_t)bytes;
        reader->at += bytes;
    }
    return !reader->broken && flags < FLAGS_END && cell->series > 0 &&
           cell->minute > -MINUTES_END && cell->minute < MINUTES_END;
}

/* Adds a cell to that of its series and minute. */
static int add_up(struct fresh *into, const struct fresh_cell *cell,
                  const struct fresh_sketch *sketch)
{
    if (!make_room(into))
        return ERR_NO_MEMORY;
    uint32_t slot = slot_of(into, cell->series, cell->minute);
    struct fresh_cell *of;
    if (into->slots[slot] < 0) {
        into->slots[slot] = into->count;
        of = &into->cells[into->count++];
        *of = *cell;
        of->sketch = -1;
    } else {
        of = &into->cells[into->slots[slot]];
        of->count = rollup_add(of->count, cell->count);
        of->sum = rollup_add(of->sum, cell->sum);
        of->min = cell->min < of->min ? cell->min : of->min;
        of->max = cell->max > of->max ? cell->max : of->max;
    }
    if (sketch->bytes != NULL) {
        into->sketches[into->sketch_count] = *sketch;
        into->sketches[into->sketch_count].next = of->sketch;
        of->sketch = into->sketch_count++;
    }
    return 0;
}

/* For one cell and one sketch more, at most half of the slots taken. */
static bool make_room(struct fresh *fresh)
{
    if (fresh->sketch_count == fresh->sketch_room) {
        int room = fresh->sketch_room == 0 ? SLOTS_FIRST : 2 * fresh->sketch_room;
        struct fresh_sketch *more = realloc(fresh->sketches, (size_t)room * sizeof *more);
        if (more == NULL)
            return false;
        fresh->sketches = more;
        fresh->sketch_room = room;
    }
    if (2 * (uint32_t)fresh->count < fresh->slot_count)
        return true;
    uint32_t slots = fresh->slot_count == 0 ? SLOTS_FIRST : 2 * fresh->slot_count;
    struct fresh_cell *more = realloc(fresh->cells, slots / 2 * sizeof *more);
    if (more == NULL)
        return false;
    fresh->cells = more;
    int32_t *larger = malloc(slots * sizeof *larger);
    if (larger == NULL)
        return false;
    free(fresh->slots);
    fresh->slots = larger;
    fresh->slot_count = slots;
    for (uint32_t i = 0; i < slots; i++)
        larger[i] = -1;
    for (int i = 0; i < fresh->count; i++)
        larger[slot_of(fresh, more[i].series, more[i].minute)] = i;
    return true;
}

/* Its slot, or the free one where it goes. */
static uint32_t slot_of(const struct fresh *fresh, int64_t series, int64_t minute)
{
    uint64_t hash = ((uint64_t)series ^ (uint64_t)minute << 40) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t slot = (uint32_t)(hash >> 32) & (fresh->slot_count - 1);
    for (; fresh->slots[slot] >= 0; slot = (slot + 1) & (fresh->slot_count - 1)) {
        const struct fresh_cell *cell = &fresh->cells[fresh->slots[slot]];
        if (cell->series == series && cell->minute == minute)
            break;
    }
    return slot;
}

int rollup_fresh_read(struct rollup *rollup, struct fresh *into, struct error *err)
{
    sqlite3_stmt *read = NULL;
    int rc = rollup_prepare(rollup, "SELECT cells FROM fresh ORDER BY id", &read, err);
    if (rc < 0)
        return rc;
    int step = SQLITE_DONE;
    while (rc == 0 && (step = sqlite3_step(read)) == SQLITE_ROW) {
        /* SQLite's own is gone with the next row, and sketches stay where they are. */
        size_t bytes = (size_t)sqlite3_column_bytes(read, 0);
        const void *blob = sqlite3_column_blob(read, 0);
        struct fresh_memory *memory = malloc(sizeof *memory + bytes);
        if (memory == NULL) {
            rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu bytes of rollups", bytes);
            break;
        }
        memory->next = into->memory;
        into->memory = memory;
        if (bytes > 0)
            memcpy(memory->bytes, blob, bytes);
        rc = rollup_fresh_decode(into, memory->bytes, bytes, err);
        if (rc == ERR_CORRUPT)
            error_prefix(err, "the rollups '%s'", rollup->path);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = rollup_fail(rollup, "read what is fresh", err);
    sqlite3_finalize(read);
    return rc;
}

void rollup_fresh_sort(struct fresh *fresh)
{
    if (fresh->count > 1)
        qsort(fresh->cells, (size_t)fresh->count, sizeof *fresh->cells, compare_for_queries);
}

void rollup_fresh_done(struct fresh *fresh)
{
    while (fresh->memory != NULL) {
        struct fresh_memory *next = fresh->memory->next;
        free(fresh->memory);
        fresh->memory = next;
    }
    free(fresh->cells);
    free(fresh->sketches);
    free(fresh->slots);
}

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_for_queries(const void *a, const void *b)
{
    const struct fresh_cell *x = a;
    const struct fresh_cell *y = b;
    int order = compare_numbers(x->series, y->series);
    return order != 0 ? order : compare_numbers(x->minute, y->minute);
}

/* ---- folding ---- */

static void cleanup_fresh(struct fresh *fresh)
{
    rollup_fresh_done(fresh);
}

int rollup_fresh_fold(struct rollup *rollup, int64_t now_us, struct error *err)
{
    CLEANUP(cleanup_fresh) struct fresh fresh = {.count = 0};
    int64_t present = rollup_floor(now_us, MINUTE_US);
    bool is_due = false;
    int rc = due(rollup, present, &is_due, err);
    if (rc < 0 || !is_due)
        return rc;
    rc = rollup_fresh_read(rollup, &fresh, err);
    if (rc == 0)
        rc = rollup_run(rollup, "DELETE FROM fresh", "empty what was fresh", err);
    if (rc < 0)
        return rc;
    /* As the rows' key is, so that they go into the tree one beside the other; those of the present
     * minute, which will be added to, last. */
    for (int i = 0; i < fresh.count; i++)
        fresh.cells[i].stays = fresh.cells[i].minute == present;
    if (fresh.count > 1)
        qsort(fresh.cells, (size_t)fresh.count, sizeof *fresh.cells, compare_for_rows);
    uint8_t *blob = malloc(SKETCH_BLOB_BYTES);
    if (blob == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a sketch");
    int i = 0;
    for (; i < fresh.count && i < FRESH_CELLS && !fresh.cells[i].stays && rc == 0; i++) {
        struct rollup_cell cell;
        rc = to_cell(&fresh, &fresh.cells[i], blob, &cell, err);
        if (rc == 0)
            rc = rollup_row_add(rollup, &cell, err);
    }
    free(blob);
    if (rc == 0)
        rc = put_back(rollup, &fresh, i, err);
    return rc < 0 ? rc : 1;
}

/* Blobs of a minute that is not the present one, or too many. */
static int due(struct rollup *rollup, int64_t present, bool *ret_due, struct error *err)
{
    sqlite3_stmt *read = rollup->fresh_span;
    int step = sqlite3_step(read);
    if (step == SQLITE_ROW) {
        int64_t blobs = sqlite3_column_int64(read, 0);
        bool now =
            sqlite3_column_int64(read, 1) == present && sqlite3_column_int64(read, 2) == present;
        *ret_due = blobs > FRESH_BLOBS || (blobs > 0 && !now);
    }
    sqlite3_reset(read);
    return step == SQLITE_ROW ? 0 : rollup_fail(rollup, "look at what is fresh", err);
}

static int compare_for_rows(const void *a, const void *b)
{
    const struct fresh_cell *x = a;
    const struct fresh_cell *y = b;
    int order = x->stays - y->stays;
    order = order != 0 ? order : compare_numbers(x->minute, y->minute);
    return order != 0 ? order : compare_numbers(x->series, y->series);
}

/* The cells from there on, added up as they are, as blobs again. */
static int put_back(struct rollup *rollup, struct fresh *fresh, int from, struct error *err)
{
    CLEANUP(cleanup_making) struct making making = {.cells = 0};
    uint8_t *blob = malloc(SKETCH_BLOB_BYTES);
    int rc = blob == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory for a sketch") : 0;
    for (int i = from; i < fresh->count && rc == 0; i++) {
        struct rollup_cell cell;
        rc = to_cell(fresh, &fresh->cells[i], blob, &cell, err);
        if (rc == 0)
            rc = put_cell(&making, &cell, err);
        if (rc == 0 && (making.cells == FRESH_CELLS || i == fresh->count - 1)) {
            rc = insert(rollup, &making, err);
            making.cells = 0;
        }
    }
    free(blob);
    return rc;
}

/* A cell without its key, whose sketch is in `blob` when there were several. A single one is handed
 * on as it is: who reads it looks whether it is whole. */
static int to_cell(const struct fresh *fresh, struct fresh_cell *from, uint8_t *blob,
                   struct rollup_cell *ret_cell, struct error *err)
{
    *ret_cell = (struct rollup_cell){.series = &from->series,
                                     .minute = from->minute,
                                     .count = from->count,
                                     .sum = from->sum,
                                     .min = from->min,
                                     .max = from->max};
    if (from->sketch < 0)
        return 0;
    const struct fresh_sketch *first = &fresh->sketches[from->sketch];
    ret_cell->sketch = first->bytes;
    ret_cell->sketch_bytes = first->count;
    if (first->next < 0)
        return 0;
    struct sketch sum = {0};
    int rc = 0;
    for (int i = from->sketch; i >= 0 && rc == 0; i = fresh->sketches[i].next)
        rc = sketch_merge_blob(&sum, fresh->sketches[i].bytes, fresh->sketches[i].count, err);
    if (rc == 0) {
        ret_cell->sketch = blob;
        ret_cell->sketch_bytes = sketch_to_blob(&sum, blob);
    }
    sketch_done(&sum);
    return rc;
}
