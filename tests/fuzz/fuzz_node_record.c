/*
 * A record from disk, damaged at will: refused, or taken up by a machine that then answers every
 * event without breaking its own rules (they are assertions), and written back to the same bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "executors/node/core/node_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const struct node_record *record)
{
    struct strbuf first;
    struct strbuf second;
    struct arena arena;
    struct node_record back;
    struct error err;
    strbuf_init(&first, 2 * LIMIT_WIRE_BYTES);
    strbuf_init(&second, 2 * LIMIT_WIRE_BYTES);
    arena_init(&arena, 16 << 20);
    wire_encode(&node_record_shape, record, &first);
    BERTH_ASSERT(wire_decode(&node_record_shape, first.text, first.bytes, 2 * LIMIT_WIRE_BYTES,
                             &arena, &back, &err) == 0,
                 "what was written is refused: %s", err.text);
    wire_encode(&node_record_shape, &back, &second);
    BERTH_ASSERT(str_equal(first.text, second.text), "the second writing differs");
    strbuf_done(&first);
    strbuf_done(&second);
    arena_done(&arena);
}

static void live(const struct node_record *record)
{
    struct node *node;
    struct node_effects *effects;
    struct error err;
    if (node_create("n1", &node, &err) < 0 || node_effects_create(64, &effects) < 0)
        return;
    struct node_event event = {.kind = NODE_EV_STARTED, .at = {1000}};
    event.started.records = record;
    event.started.record_count = 1;
    node_step(node, &event, effects);
    static const enum node_event_kind kinds[] = {
        NODE_EV_TICK, NODE_EV_CLEARED, NODE_EV_SPAWNED, NODE_EV_JUDGED,  NODE_EV_SAID,
        NODE_EV_TICK, NODE_EV_EXITED,  NODE_EV_CLEARED, NODE_EV_FETCHED, NODE_EV_CONNECTED};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        event = (struct node_event){.kind = kinds[i], .at = {1000 + (int64_t)i * 60000000}};
        memcpy(event.instance, record->instance, sizeof(event.instance));
        node_step(node, &event, effects);
    }
    node_effects_destroy(effects);
    node_destroy(node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct node_record record;
    struct error err;
    arena_init(&arena, 16 << 20);
    if (wire_decode(&node_record_shape, (const char *)data, size, 0, &arena, &record, &err) == 0) {
        round_trip(&record);
        live(&record);
    }
    arena_done(&arena);
    return 0;
}
