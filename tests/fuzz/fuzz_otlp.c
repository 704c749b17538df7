/* Any bytes as the body of an OTLP request: as they are, and as gzip. */
#include <stdlib.h>
#include <string.h>

#include "metrics/otlp.h"
#include "metrics/probe/ingest.h"
#include "metrics/probe/receive.h"

static void read_request(struct ingest *ingest, const char *text, size_t bytes)
{
    static const struct names_config names = {.kind = NAMES_KIND_OPENMETRICS};
    struct ingest_page *page = NULL;
    struct otlp_result result;
    struct arena arena;
    struct error err;
    struct ingest_begin begin = {.target = 1, .names = &names, .instance = "i", .now_us = 1};
    if (ingest_begin(ingest, &begin, &page, &err) < 0)
        abort();
    const struct otlp_handler handler = {
        .sample = ingest_otlp_sample, .exponential = ingest_otlp_exponential, .context = page};
    arena_init(&arena, 16 << 20);
    if (otlp_read(text, bytes, &arena, &handler, &result, &err) < 0)
        ingest_abort(page);
    else
        (void)ingest_commit(page, 1);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ingest *ingest = NULL;
    struct strbuf plain;
    struct error err;
    const struct ingest_options options = {.site = "a/b", .life = 1, .series_max = 1000};
    if (ingest_create(&options, &ingest, &err) < 0)
        abort();
    read_request(ingest, (const char *)data, size);
    read_request(ingest, (const char *)data, size); /* growth, as against the first time */
    strbuf_init(&plain, 1 << 20);
    if (receive_gunzip((const char *)data, size, &plain, &err) == 0)
        read_request(ingest, strbuf_text(&plain), plain.bytes);
    strbuf_done(&plain);
    ingest_destroy(ingest);
    return 0;
}
