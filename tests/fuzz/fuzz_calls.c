/* The readers of call graphs and regions against any bytes: the first names the reader; what is
 * accepted holds together. */
#include <stdint.h>
#include <stdlib.h>

#include "tests/bench/solver/calls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_calls(int which, const char *text, size_t bytes, struct calls *calls,
                      struct error *err)
{
    switch (which) {
    case 0:
        return calls_read_edges(text, bytes, "app", calls, err);
    case 1:
        return calls_read_requests(text, bytes, "app", calls, err);
    case 2:
        return calls_read_means(text, bytes, "app", calls, err);
    case 3:
        return calls_read_rates(text, bytes, "app", calls, err);
    default:
        return calls_read_samples(text, bytes, "app", calls, err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const char *text = (const char *)data + 1;
    struct error err = {0};
    int rc;
    if (data[0] % 6 == 5) {
        struct arena arena;
        arena_init(&arena, (size_t)16 << 20);
        struct calls_regions regions;
        rc = calls_read_regions(text, size - 1, &arena, &regions, &err);
        for (int i = 0; rc == 0 && i < regions.count * regions.count; i++) {
            BERTH_ASSERT(regions.egress[i] != UINT32_MAX);
        }
        arena_done(&arena);
    } else {
        struct calls *calls = calloc(1, sizeof(*calls));
        if (calls == NULL) {
            return 0;
        }
        rc = read_calls(data[0] % 6, text, size - 1, calls, &err);
        BERTH_ASSERT(calls->services <= CALLS_SERVICES_MAX && calls->edges <= CALLS_EDGES_MAX);
        for (int i = 0; i < calls->edges; i++) {
            int a = calls->edge[i].caller;
            int b = calls->edge[i].callee;
            BERTH_ASSERT(a >= 0 && b >= 0 && a < calls->services && b < calls->services && a != b);
            BERTH_ASSERT(calls->service[a].app == calls->service[b].app);
        }
        free(calls);
    }
    BERTH_ASSERT(rc == 0 || err.text[0] != '\0');
    return 0;
}
