/*
 * Any bytes as a metrics page: the first byte says the format and the size of the pieces that it
 * comes in. Whatever the pieces, the same samples and problems come out, and go through the mapping
 * of names.
 */
#include <stdlib.h>
#include <string.h>

#include "metrics/openmetrics.h"
#include "metrics/probe/ingest.h"

struct seen {
    struct ingest_page *page;
    uint64_t hash;
    uint64_t count;
};

static void on_sample(void *context, const struct metric_sample *sample)
{
    struct seen *seen = context;
    BERTH_ASSERT(sample->name_bytes == strlen(sample->name) && sample->name_bytes > 0, "name");
    BERTH_ASSERT(sample->label_count <= LIMIT_METRIC_LABELS, "%d labels", sample->label_count);
    seen->hash = hash_u64(hash_u64(seen->hash, sample->hash), sample->line);
    seen->count++;
    ingest_sample(seen->page, sample);
}

static struct seen read_page(struct openmetrics_reader *reader, struct ingest *ingest,
                             const uint8_t *data, size_t size, size_t piece, bool open,
                             uint64_t *ret_problems)
{
    static const struct names_config names = {.fixed = {.workload = "w"}};
    struct seen seen = {.hash = HASH_SEED};
    struct error err;
    struct ingest_begin begin = {.target = 1, .names = &names, .instance = "i", .now_us = 1};
    if (ingest_begin(ingest, &begin, &seen.page, &err) < 0)
        abort();
    openmetrics_begin(reader, open ? OPENMETRICS_OPEN : OPENMETRICS_TEXT, on_sample, &seen);
    for (size_t at = 0; at < size; at += piece)
        if (openmetrics_feed(reader, (const char *)data + at, size - at < piece ? size - at : piece,
                             &err) < 0)
            abort();
    const struct openmetrics_result *result = openmetrics_end(reader);
    BERTH_ASSERT(result->samples == seen.count, "samples");
    *ret_problems = result->problem_count;
    (void)ingest_commit(seen.page, 1);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct openmetrics_reader *reader = NULL;
    struct ingest *ingest = NULL;
    struct error err;
    uint64_t whole_problems = 0;
    uint64_t problems = 0;
    const struct ingest_options options = {.site = "a/b", .life = 1, .series_max = 1000};
    if (size == 0)
        return 0;
    if (openmetrics_reader_create(&reader, &err) < 0 || ingest_create(&options, &ingest, &err) < 0)
        abort();
    bool open = (data[0] & 1) != 0;
    size_t piece = (size_t)(data[0] >> 1) + 1;
    struct seen whole = read_page(reader, ingest, data + 1, size - 1, size, open, &whole_problems);
    struct seen pieces = read_page(reader, ingest, data + 1, size - 1, piece, open, &problems);
    BERTH_ASSERT(whole.hash == pieces.hash && whole_problems == problems, "pieces of %zu", piece);
    ingest_destroy(ingest);
    openmetrics_reader_destroy(reader);
    return 0;
}
