/* problem_decode against any bytes: what it accepts encodes to a frame that decodes to the same,
 * and is safe to evaluate. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/problem.h"
#include "model/solve_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, (size_t)64 << 20);
    struct problem problem;
    struct error err = {0};
    struct solve_limits limits;
    if (solve_limits_decode(data, size, &limits, &err) == 0) {
        char frame[SOLVE_LIMITS_BYTES];
        solve_limits_encode(&limits, frame);
        BERTH_ASSERT(memcmp(frame, data, sizeof(frame)) == 0);
    }
    if (problem_decode(data, size, &arena, &problem, &err) < 0) {
        BERTH_ASSERT(err.text[0] != '\0');
        arena_done(&arena);
        return 0;
    }
    int *choice = arena_array(&arena, (size_t)problem.part_count + 1, sizeof(int));
    if (choice != NULL) {
        (void)problem_cost(&problem, choice);
        (void)problem_broken_rule(&problem, choice);
    }
    struct strbuf first;
    struct strbuf second;
    strbuf_init(&first, (size_t)64 << 20);
    strbuf_init(&second, (size_t)64 << 20);
    problem_encode(&problem, &first);
    struct problem again;
    if (problem_decode(first.text, first.bytes, &arena, &again, &err) == 0) {
        problem_encode(&again, &second);
        BERTH_ASSERT(first.bytes == second.bytes);
        BERTH_ASSERT(memcmp(first.text, second.text, first.bytes) == 0);
    } else {
        BERTH_ASSERT(err.code == ERR_NO_MEMORY, "%s", err.text);
    }
    strbuf_done(&first);
    strbuf_done(&second);
    arena_done(&arena);
    return 0;
}
