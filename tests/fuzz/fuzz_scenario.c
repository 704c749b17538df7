/* Any bytes as a scenario document: refused with a sentence, or read. */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "simulator/world/scenario.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct scenario scenario;
    struct error err = {0};
    arena_init(&arena, (size_t)64 << 20);
    int rc = scenario_parse("fuzz.yaml", (const char *)data, size, &arena, &scenario, &err);
    BERTH_ASSERT(rc == 0 || err.text[0] != '\0', "a refusal without a sentence");
    if (rc == 0)
        BERTH_ASSERT(scenario.policy_count > 0 && scenario.world_count > 0, "an axis is empty");
    arena_done(&arena);
    return 0;
}
