/*
 * Any bytes as a world document: refused with a sentence, or read; and what is read is written as
 * JSON that reads back to the same bytes and the same hash.
 */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "model/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_BYTES ((size_t)64 << 20)
#define TEXT_BYTES  ((size_t)4 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct error err = {0};
    struct world first;
    struct world second;
    struct strbuf one;
    struct strbuf two;
    arena_init(&arena, ARENA_BYTES);
    strbuf_init(&one, TEXT_BYTES);
    strbuf_init(&two, TEXT_BYTES);
    if (world_parse("fuzz.yaml", (const char *)data, size, &arena, &first, &err) < 0) {
        BERTH_ASSERT(err.text[0] != '\0', "a refusal without a sentence");
    } else {
        world_write(&first, &one);
        if (strbuf_error(&one, &err) == 0) {
            int rc = world_parse("fuzz.json", strbuf_text(&one), one.bytes, &arena, &second, &err);
            BERTH_ASSERT(rc == 0 || rc == ERR_NO_MEMORY, "%s", err.text);
            if (rc == 0) {
                world_write(&second, &two);
                BERTH_ASSERT(strcmp(strbuf_text(&one), strbuf_text(&two)) == 0, "not canonical");
                BERTH_ASSERT(world_hash(&first) == world_hash(&second), "hashes differ");
            }
        }
    }
    strbuf_done(&one);
    strbuf_done(&two);
    arena_done(&arena);
    return 0;
}
