/* Whatever text claims to be a core's image: it is refused, or read; what is read is refused by the
 * core, or becomes one whose own image is written and read again to the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scheduler/core/core.h"
#include "scheduler/core/image.h"
#include "scheduler/service/codec_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct core *restored_from(const char *text, size_t bytes, struct arena *arena)
{
    struct core_image image;
    struct core *core = NULL;
    struct error err;
    if (codec_image_read(text, bytes, arena, &image, &err) < 0 ||
        core_restore(&image, &core, &err) < 0)
        return NULL;
    return core;
}

static void written(const struct core *core, struct arena *arena, struct strbuf *out)
{
    struct core_image image;
    struct error err;
    core_image_take(core, &image);
    int rc = codec_image_write(&image, arena, out, &err);
    BERTH_ASSERT(rc == 0 && strbuf_error(out, NULL) == 0, "a restored core cannot be written");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct strbuf first;
    struct strbuf second;
    arena_init(&arena, (size_t)256 << 20);
    strbuf_init(&first, (size_t)64 << 20);
    strbuf_init(&second, (size_t)64 << 20);
    char *text = malloc(size + 1);
    if (text != NULL && size > 0)
        memcpy(text, data, size);
    struct core *core = text == NULL ? NULL : restored_from(text, size, &arena);
    if (core != NULL) {
        written(core, &arena, &first);
        struct core *again = restored_from(strbuf_text(&first), first.bytes, &arena);
        BERTH_ASSERT(again != NULL, "what was written is refused");
        BERTH_ASSERT(core_hash(again) == core_hash(core), "another hash after %s",
                     strbuf_text(&first));
        written(again, &arena, &second);
        BERTH_ASSERT(strcmp(strbuf_text(&first), strbuf_text(&second)) == 0, "%s became %s",
                     strbuf_text(&first), strbuf_text(&second));
        core_destroy(again);
    }
    core_destroy(core);
    free(text);
    strbuf_done(&first);
    strbuf_done(&second);
    arena_done(&arena);
    return 0;
}
