/* Any bytes as a trace, of the format that its first byte chooses or of the one that its beginning
 * tells: refused with a sentence, or read in the order of time. */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "simulator/traces/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static void read_all(const char *text, size_t bytes, const struct trace_options *options);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct trace_map map[] = {
        {"orders", "shop/web"}, {"LS*", "shop/web"}, {"web@*", "shop/web@eu"}};
    uint8_t first = size > 0 ? data[0] : 0;
    struct trace_options options = {
        .origin_us = 1000000,
        .gap_us = 3600000000,
        .gap = (enum trace_gap)(first % 2),
        .measure = (enum trace_measure)(size % 6),
        .stretch_ppm = size % 2 == 0 ? 500000 : 1000000,
        .align = size % 3 == 0,
    };
    read_all((const char *)data, size, &options);
    options.format = trace_format_words[first % 5];
    options.map = map;
    options.map_count = (int)(size % 4);
    read_all((const char *)data, size, &options);
    return 0;
}

static void read_all(const char *text, size_t bytes, const struct trace_options *options)
{
    struct trace *trace = NULL;
    struct trace_row row;
    struct error err = {0};
    int rc = trace_open_text("fuzz", text, bytes, options, &trace, &err);
    int64_t last_us = INT64_MIN;
    while (rc >= 0 && (rc = trace_next(trace, &row, &err)) > 0) {
        BERTH_ASSERT(row.at_us >= last_us, "time goes back");
        BERTH_ASSERT(row.value >= 0, "a value below 0");
        BERTH_ASSERT(row.workload != NULL && strlen(row.workload) < LIMIT_REF_BYTES, "no name");
        last_us = row.at_us;
    }
    BERTH_ASSERT(rc == 0 || err.text[0] != '\0', "a refusal without a sentence");
    trace_close(trace);
}
