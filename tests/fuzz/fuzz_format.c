/* format_read against any bytes: the first names the format; what is accepted can be evaluated. */
#include <stdint.h>

#include "tests/bench/solver/formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {"gap", "ctap", "tap", "qsap", "wcsp"};
    if (size == 0) {
        return 0;
    }
    struct arena arena;
    arena_init(&arena, (size_t)128 << 20);
    struct grid grid;
    struct error err = {0};
    const char *format = formats[data[0] % 5];
    if (format_read(format, (const char *)data + 1, size - 1, &arena, &grid, &err) < 0) {
        BERTH_ASSERT(err.text[0] != '\0');
    } else {
        int *choice = arena_array(&arena, (size_t)grid.parts, sizeof(int));
        int64_t *load =
            arena_array(&arena, (size_t)grid.sites * (size_t)grid.resources + 1, sizeof(int64_t));
        if (choice != NULL && load != NULL) {
            grid_load_of(&grid, choice, load);
            if (grid_broken(&grid, load, choice) == 0) {
                (void)grid_cost_of(&grid, choice);
            }
        }
    }
    arena_done(&arena);
    return 0;
}
