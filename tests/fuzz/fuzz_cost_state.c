/*
 * Any bytes as a state: refused with a sentence, or read; and what is read is written as a text
 * that reads back to the same text.
 */
#include <stdint.h>
#include <string.h>

#include "model/cost_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_BYTES ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct error err = {0};
    struct cost_state first;
    struct cost_state second;
    struct strbuf one;
    struct strbuf two;
    arena_init(&arena, ARENA_BYTES);
    strbuf_init(&one, ARENA_BYTES);
    strbuf_init(&two, ARENA_BYTES);
    int rc = cost_state_read("fuzz", (const char *)data, size, &arena, &first, &err);
    if (rc < 0) {
        BERTH_ASSERT(err.text[0] != 0, "a refusal without a sentence");
    } else {
        cost_state_write(&first.input, first.at, &one);
        if (strbuf_error(&one, &err) == 0) {
            rc = cost_state_read("again", strbuf_text(&one), one.bytes, &arena, &second, &err);
            BERTH_ASSERT(rc == 0 || rc == ERR_NO_MEMORY, "%s", err.text);
        }
        if (rc == 0) {
            cost_state_write(&second.input, second.at, &two);
            BERTH_ASSERT(strcmp(strbuf_text(&one), strbuf_text(&two)) == 0, "not canonical");
        }
    }
    strbuf_done(&one);
    strbuf_done(&two);
    arena_done(&arena);
    return 0;
}
