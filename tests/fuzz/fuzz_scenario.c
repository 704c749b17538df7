/* Any bytes as a scenario document, and as a trace: refused with a sentence, or read. */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "simulator/world/scenario.h"
#include "simulator/world/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct scenario scenario;
    struct trace *trace = NULL;
    struct trace_row row;
    struct error err = {0};
    arena_init(&arena, (size_t)64 << 20);
    int rc = scenario_parse("fuzz.yaml", (const char *)data, size, &arena, &scenario, &err);
    BERTH_ASSERT(rc == 0 || err.text[0] != '\0', "a refusal without a sentence");
    if (rc == 0)
        BERTH_ASSERT(scenario.policy_count > 0 && scenario.world_count > 0, "an axis is empty");
    arena_done(&arena);
    err.text[0] = 0;
    rc = trace_open_text("fuzz.csv", (const char *)data, size, 0, &trace, &err);
    int64_t last_us = INT64_MIN;
    while (rc >= 0 && (rc = trace_next(trace, &row, &err)) > 0) {
        BERTH_ASSERT(row.at_us >= last_us, "time goes back");
        BERTH_ASSERT(row.calls_mhz >= 0, "calls below 0");
        last_us = row.at_us;
    }
    BERTH_ASSERT(rc == 0 || err.text[0] != '\0', "a refusal without a sentence");
    trace_close(trace);
    return 0;
}
