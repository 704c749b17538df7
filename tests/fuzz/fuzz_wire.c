/* Any bytes as any message: a decoder may refuse them, but what it takes it writes again, and what
 * it wrote it takes to the same bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire/messages.h"
#include "base/wire/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(const struct wire_shape *shape, const void *object, struct strbuf *out)
{
    strbuf_init(out, 16 << 20);
    wire_encode(shape, object, out);
    BERTH_ASSERT(strbuf_error(out, NULL) == 0, "%s does not fit", shape->type);
}

/* What was taken can be packed, and says the same when it is unpacked. */
static void check_packed(const struct wire_shape *shape, const void *object,
                         const struct strbuf *json)
{
    struct arena arena;
    struct strbuf packed, text;
    struct error err = {0};
    arena_init(&arena, 64 << 20);
    strbuf_init(&packed, 16 << 20);
    void *back = malloc(shape->size);
    BERTH_ASSERT(back != NULL, "no memory");
    wire_pack(shape, object, &packed);
    int rc = wire_decode(shape, packed.text, packed.bytes, 16 << 20, &arena, back, &err);
    BERTH_ASSERT(rc == 0, "%s refuses its own packed: %s", shape->type, err.text);
    encode(shape, back, &text);
    BERTH_ASSERT(text.bytes == json->bytes && memcmp(text.text, json->text, text.bytes) == 0,
                 "%s differs packed: %s | %s", shape->type, text.text, json->text);
    strbuf_done(&packed);
    strbuf_done(&text);
    free(back);
    arena_done(&arena);
}

static void try_shape(const struct wire_shape *shape, const char *text, size_t bytes)
{
    struct arena arena;
    struct error err = {0};
    arena_init(&arena, 64 << 20);
    void *object = malloc(shape->size);
    void *again = malloc(shape->size);
    BERTH_ASSERT(object != NULL && again != NULL, "no memory");
    if (wire_decode(shape, text, bytes, 0, &arena, object, &err) == 0) {
        struct strbuf first, second;
        encode(shape, object, &first);
        int rc =
            wire_decode(shape, strbuf_text(&first), first.bytes, 16 << 20, &arena, again, &err);
        BERTH_ASSERT(rc == 0, "%s refuses its own: %s", shape->type, err.text);
        encode(shape, again, &second);
        BERTH_ASSERT(first.bytes == second.bytes &&
                         memcmp(first.text, second.text, first.bytes) == 0,
                     "%s differs: %s | %s", shape->type, first.text, second.text);
        check_packed(shape, again, &first);
        strbuf_done(&first);
        strbuf_done(&second);
    } else {
        BERTH_ASSERT(err.code < 0 && err.text[0] != 0, "a refusal of %s without a sentence",
                     shape->type);
    }
    free(object);
    free(again);
    arena_done(&arena);
}

/* By runs a batch says what it says by samples, and is refused for the same. */
static void check_runs(const char *text, size_t bytes)
{
    struct arena arena;
    struct message_batch plain, runs;
    struct error err = {0}, err_runs = {0};
    struct strbuf first, second;
    arena_init(&arena, 64 << 20);
    int rc = wire_decode(&message_batch_shape, text, bytes, 0, &arena, &plain, &err);
    int rc_runs = message_batch_decode(text, bytes, &arena, &runs, &err_runs);
    BERTH_ASSERT(rc == rc_runs && strcmp(err.text, err_runs.text) == 0, "\"%s\", by runs \"%s\"",
                 err.text, err_runs.text);
    int all = 0;
    for (int i = 0; rc == 0 && i < runs.run_count; i++) {
        const struct message_run *run = &runs.runs[i];
        BERTH_ASSERT(run->first == all && run->count > 0, "run %d begins at %d", i, run->first);
        all += run->count;
    }
    if (rc == 0 && runs.run_count > 0) {
        struct message_sample *samples = calloc((size_t)all, sizeof *samples);
        BERTH_ASSERT(samples != NULL && runs.sample_count == 0, "%d samples", runs.sample_count);
        for (int i = 0; i < runs.run_count; i++)
            for (int k = 0; k < runs.runs[i].count; k++) {
                int at = runs.runs[i].first + k;
                samples[at] = runs.runs[i].of;
                samples[at].kind = runs.kinds[at];
                samples[at].value = runs.values[at];
            }
        runs.samples = samples;
        runs.sample_count = all;
        encode(&message_batch_shape, &plain, &first);
        encode(&message_batch_shape, &runs, &second);
        BERTH_ASSERT(first.bytes == second.bytes &&
                         memcmp(first.text, second.text, first.bytes) == 0,
                     "by runs it differs: %s | %s", first.text, second.text);
        strbuf_done(&first);
        strbuf_done(&second);
        free(samples);
    }
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char type[LIMIT_NAME_BYTES];
    struct error err;
    if (wire_type_of((const char *)data, size, type, sizeof(type), &err) < 0)
        type[0] = 0;
    for (int i = 0; i < message_shape_count; i++)
        if (type[0] == 0 || strcmp(type, message_shapes[i]->type) == 0)
            try_shape(message_shapes[i], (const char *)data, size);
    check_runs((const char *)data, size);
    return 0;
}
