/* solution_decode against any bytes, for a fixed problem: what it accepts stays within the problem.
 */
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
    arena_init(&arena, (size_t)1 << 20);
    struct problem_part parts[] = {{.choice_count = 4}, {.choice_count = 4}, {.choice_count = 2}};
    const struct problem problem = {
        .part_count = 3, .site_count = 4, .rule_count = 5, .meter_count = 2, .parts = parts};
    struct solution solution;
    struct error err = {0};
    struct solve_news news;
    if (solve_news_decode(data, size, &news)) {
        char frame[SOLVE_NEWS_BYTES];
        solve_news_encode(&news, frame);
        BERTH_ASSERT(memcmp(frame, data, size) == 0);
        BERTH_ASSERT(solve_news_gap(&news) >= -1);
    }
    if (solution_decode(data, size, &problem, &arena, &solution, &err) < 0) {
        BERTH_ASSERT(err.text[0] != '\0');
        arena_done(&arena);
        return 0;
    }
    for (int i = 0; solution.choice != NULL && i < problem.part_count; i++) {
        BERTH_ASSERT(solution.choice[i] >= 0 && solution.choice[i] < parts[i].choice_count);
    }
    for (int i = 0; i < solution.conflict_count; i++) {
        BERTH_ASSERT(solution.conflict[i] >= 0 && solution.conflict[i] < problem.rule_count);
    }
    struct strbuf again;
    strbuf_init(&again, (size_t)1 << 20);
    solution_encode(&problem, &solution, &again);
    BERTH_ASSERT(again.bytes == size && memcmp(again.text, data, size) == 0);
    strbuf_done(&again);
    arena_done(&arena);
    return 0;
}
