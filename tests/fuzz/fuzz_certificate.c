/* certificate_decode against any bytes: what it accepts can be verified, and encodes to itself. */
#include <stdint.h>
#include <string.h>

#include "model/certificate.h"
#include "model/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, (size_t)64 << 20);
    struct problem problem;
    struct solution solution;
    struct error err = {0};
    if (certificate_decode(data, size, &arena, &problem, &solution, &err) < 0) {
        BERTH_ASSERT(err.text[0] != '\0');
        arena_done(&arena);
        return 0;
    }
    struct verdict verdict;
    if (solution.choice != NULL && verify_plan(&problem, solution.choice, solution.price,
                                               solution.meter_price, &arena, &verdict, &err) == 0) {
        BERTH_ASSERT(verdict.broken == problem_broken_rule(&problem, solution.choice));
    }
    struct strbuf first;
    struct strbuf second;
    strbuf_init(&first, (size_t)64 << 20);
    strbuf_init(&second, (size_t)64 << 20);
    certificate_encode(&problem, &solution, &first);
    if (certificate_decode(first.text, first.bytes, &arena, &problem, &solution, &err) == 0) {
        certificate_encode(&problem, &solution, &second);
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
