/* Whatever text claims to be a journal's event: it is refused, or what it becomes can be written
 * and read again to the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/service/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void written(const struct core_event *event, struct strbuf *out)
{
    codec_event_write(event, out);
    BERTH_ASSERT(strbuf_error(out, NULL) == 0, "an event that was read cannot be written");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct strbuf first;
    struct strbuf second;
    struct core_event event;
    struct error err;
    arena_init(&arena, (size_t)256 << 20);
    strbuf_init(&first, (size_t)64 << 20);
    strbuf_init(&second, (size_t)64 << 20);
    char *text = malloc(size + 1);
    if (text != NULL && size > 0)
        memcpy(text, data, size);
    if (text != NULL && codec_event_read(text, size, &arena, &event, &err) == 0) {
        written(&event, &first);
        struct core_event again;
        int rc = codec_event_read(strbuf_text(&first), first.bytes, &arena, &again, &err);
        BERTH_ASSERT(rc == 0, "what was written is refused: %s", err.text);
        written(&again, &second);
        BERTH_ASSERT(strcmp(strbuf_text(&first), strbuf_text(&second)) == 0, "%s became %s",
                     strbuf_text(&first), strbuf_text(&second));
    }
    free(text);
    strbuf_done(&first);
    strbuf_done(&second);
    arena_done(&arena);
    return 0;
}
