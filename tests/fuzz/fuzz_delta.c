/* problem_delta_decode against any bytes, for a fixed base: what it accepts is a problem of the
 * base's structure, safe to evaluate, whose own delta gives it again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/problem_delta.h"
#include "model/solve_frames.h"
#include "tests/property/problem_gen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, (size_t)16 << 20);
    struct problem base;
    struct problem problem;
    struct problem again;
    struct error err = {0};
    struct solve_session session;
    if (solve_session_decode(data, size, &session, &err) == 0) {
        char frame[SOLVE_SESSION_BYTES];
        solve_session_encode(&session, frame);
        BERTH_ASSERT(memcmp(frame, data, sizeof(frame)) == 0);
    }
    gen_any(11, 4, 3, &arena, &base);
    if (problem_delta_decode(data, size, &base, &arena, &problem, &err) < 0) {
        BERTH_ASSERT(err.text[0] != '\0');
        arena_done(&arena);
        return 0;
    }
    int *choice = arena_array(&arena, (size_t)problem.part_count + 1, sizeof(int));
    if (choice != NULL) {
        (void)problem_cost(&problem, choice);
        (void)problem_broken_rule(&problem, choice);
    }
    struct strbuf frame;
    struct strbuf whole[2];
    strbuf_init(&frame, (size_t)1 << 22);
    strbuf_init(&whole[0], (size_t)1 << 22);
    strbuf_init(&whole[1], (size_t)1 << 22);
    BERTH_ASSERT(problem_delta_encode(&base, &problem, &frame));
    if (problem_delta_decode(frame.text, frame.bytes, &base, &arena, &again, &err) == 0) {
        problem_encode(&problem, &whole[0]);
        problem_encode(&again, &whole[1]);
        BERTH_ASSERT(whole[0].bytes == whole[1].bytes);
        BERTH_ASSERT(memcmp(whole[0].text, whole[1].text, whole[0].bytes) == 0);
    } else {
        BERTH_ASSERT(err.code == ERR_NO_MEMORY, "%s", err.text);
    }
    strbuf_done(&frame);
    strbuf_done(&whole[0]);
    strbuf_done(&whole[1]);
    arena_done(&arena);
    return 0;
}
