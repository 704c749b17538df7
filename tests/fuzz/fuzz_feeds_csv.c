/* Any bytes as a table: the first byte says the size of the pieces that it comes in. Whatever the
 * pieces, the same rows come out, and the same verdict. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"
#include "model/feeds/csv_scan.h"

struct seen {
    uint64_t hash;
    int64_t rows;
};

static int on_row(void *context, const struct csv_row *row, struct error *err)
{
    struct seen *seen = context;
    (void)err;
    BERTH_ASSERT(row->count > 0 && row->count <= LIMIT_FEED_COLUMNS, "%d fields", row->count);
    for (int i = 0; i < row->count; i++)
        seen->hash = hash_str(seen->hash, row->fields[i]);
    seen->hash = hash_u64(seen->hash, (uint64_t)row->line);
    seen->rows++;
    return 0;
}

static int scan(const uint8_t *data, size_t size, size_t piece, struct seen *seen)
{
    struct csv_scan *scan = NULL;
    struct error err;
    if (csv_scan_create(on_row, seen, &scan, &err) < 0)
        abort();
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < size; at += piece)
        rc = csv_scan_feed(scan, (const char *)data + at, size - at < piece ? size - at : piece,
                           &err);
    if (rc == 0)
        rc = csv_scan_end(scan, &err);
    csv_scan_destroy(scan);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct seen whole = {HASH_SEED, 0};
    struct seen pieces = {HASH_SEED, 0};
    size_t piece = (size_t)(data[0] & 63) + 1;
    int rc = scan(data + 1, size - 1, size, &whole);
    int again = scan(data + 1, size - 1, piece, &pieces);
    BERTH_ASSERT(rc == again && whole.hash == pieces.hash && whole.rows == pieces.rows,
                 "pieces of %zu", piece);
    return 0;
}
