/* Any bytes as each of the price lists: the first byte says which, the second the size of the
 * pieces. Whatever the pieces, the same figures come out, each of them whole or with a problem. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/feeds/figures.h"

static uint64_t hash_list(const struct figure *const *list, int count)
{
    uint64_t hash = HASH_SEED;
    for (int i = 0; i < count; i++) {
        const struct figure *figure = list[i];
        hash = hash_str(hash_str(hash_str(hash, figure->site), figure->source), figure->problem);
        BERTH_ASSERT(figure->step_count <= LIMIT_TIERS, "%d steps", figure->step_count);
        BERTH_ASSERT(figure->step_count > 0 || figure->problem[0] != 0, "no price, no problem");
        for (int k = 0; k < figure->step_count; k++) {
            hash = hash_u64(hash, (uint64_t)figure->steps[k].from);
            hash = hash_u64(hash, (uint64_t)figure->steps[k].price.coefficient);
            BERTH_ASSERT(k == 0 || figure->steps[k].from > figure->steps[k - 1].from, "order");
            BERTH_ASSERT(figure->problem[0] != 0 || !decimal_is_negative(figure->steps[k].price),
                         "below 0");
        }
    }
    return hash;
}

static int read_list(enum feed_format format, const uint8_t *data, size_t size, size_t piece,
                     uint64_t *ret_hash)
{
    struct figures *figures = NULL;
    struct feed *feed = NULL;
    struct error err;
    const struct figures_options options = {.provider = "aws", .list = "fuzz"};
    if (figures_create(&options, &figures, &err) < 0)
        abort();
    const struct feed_options how = {
        .format = format, .region = "here", .sink = figures_take, .context = figures};
    if (feed_open(&how, &feed, &err) < 0)
        abort();
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < size; at += piece)
        rc = feed_read(feed, (const char *)data + at, size - at < piece ? size - at : piece, &err);
    if (rc == 0)
        rc = feed_end(feed, &err);
    const struct figure *const *list = NULL;
    int count = 0;
    if (rc == 0)
        rc = figures_finish(figures, &list, &count, &err);
    *ret_hash = rc == 0 ? hash_list(list, count) : 0;
    feed_close(feed);
    figures_destroy(figures);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t whole = 0;
    uint64_t pieces = 0;
    if (size < 2)
        return 0;
    enum feed_format format = (enum feed_format)((data[0] - '0') & 7) % FEED_FORMATS;
    size_t piece = (size_t)(data[1] & 63) + 1;
    int rc = read_list(format, data + 2, size - 2, size, &whole);
    int again = read_list(format, data + 2, size - 2, piece, &pieces);
    BERTH_ASSERT(rc == again && whole == pieces, "pieces of %zu", piece);
    return 0;
}
