/* Any bytes as JSON: the first byte says the size of the pieces. Whatever the pieces, the same
 * events come out; what opens closes; and what jansson takes is taken. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/limits.h"
#include "base/str.h"
#include "model/feeds/json_scan.h"

struct seen {
    uint64_t hash;
    int64_t open;
};

static int on_event(void *context, const struct json_scan *scan, enum json_event event,
                    const char *text, struct error *err)
{
    struct seen *seen = context;
    (void)err;
    int depth = json_depth(scan);
    BERTH_ASSERT(depth >= 0 && depth <= LIMIT_DOC_DEPTH, "depth %d", depth);
    seen->open += event == JSON_OPEN_MAP || event == JSON_OPEN_LIST ? 1
                  : event == JSON_CLOSE                             ? -1
                                                                    : 0;
    BERTH_ASSERT(seen->open >= 0 && seen->open <= LIMIT_DOC_DEPTH + 1, "%d open", (int)seen->open);
    seen->hash = hash_u64(hash_str(seen->hash, text), (uint64_t)event);
    for (int i = 0; i < depth; i++)
        seen->hash =
            hash_u64(hash_str(seen->hash, json_key(scan, i)), (uint64_t)json_place(scan, i));
    return 0;
}

static int scan(const uint8_t *data, size_t size, size_t piece, struct seen *seen,
                struct error *err)
{
    struct json_scan *scan = NULL;
    if (json_scan_create(on_event, seen, &scan, err) < 0)
        abort();
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < size; at += piece)
        rc = json_scan_feed(scan, (const char *)data + at, size - at < piece ? size - at : piece,
                            err);
    if (rc == 0)
        rc = json_scan_end(scan, err);
    json_scan_destroy(scan);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct error err = {0};
    struct error again_err = {0};
    struct seen whole = {HASH_SEED, 0};
    struct seen pieces = {HASH_SEED, 0};
    size_t piece = (size_t)(data[0] & 63) + 1;
    int rc = scan(data + 1, size - 1, size, &whole, &err);
    int again = scan(data + 1, size - 1, piece, &pieces, &again_err);
    BERTH_ASSERT(rc == again && whole.hash == pieces.hash, "pieces of %zu", piece);
    BERTH_ASSERT(rc < 0 || whole.open == 0, "what opened did not close");
    if (memchr(data + 1, 0, size - 1) != NULL)
        return 0; /* a zero byte ends the text for jansson */
    json_t *json = json_loadb((const char *)data + 1, size - 1, JSON_DECODE_ANY, NULL);
    BERTH_ASSERT(json == NULL || rc == 0 || rc == ERR_LIMIT, "jansson takes it: %s", err.text);
    json_decref(json);
    return 0;
}
