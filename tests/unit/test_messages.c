/* Every message of the wire: full ones come back as they were, the names on the wire are the
 * members' names, and the words of the enums stand in the enums' order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/wire/messages.h"
#include "base/wire/pack.h"

static struct arena arena;

/* Fills a struct through its shape, so that a field added to a table is tested from that day on. */
static void fill(const struct wire_shape *shape, char *object, int seed)
{
    for (size_t i = 0; i < shape->field_count; i++) {
        const struct wire_field *field = &shape->fields[i];
        char *at = object + field->offset;
        int64_t number = field->kind == WIRE_ENUM ? seed % 2 : seed + (int64_t)i + 1;
        int narrow = (int)number;
        uint64_t wide = UINT64_MAX - (uint64_t)number;
        nusd cost = -(nusd)number * NUSD_PER_USD;
        const char *text = "some text";
        switch (field->kind) {
        case WIRE_STR:
            memset(at, 'a' + (int)(i % 26), field->size - 1);
            at[field->size - 1] = 0;
            break;
        case WIRE_TEXT:
            memcpy(at, &text, sizeof(text));
            break;
        case WIRE_I64:
            memcpy(at, &number, sizeof(number));
            break;
        case WIRE_U64:
            memcpy(at, &wide, sizeof(wide));
            break;
        case WIRE_I32:
        case WIRE_ENUM:
            memcpy(at, &narrow, sizeof(narrow));
            break;
        case WIRE_BOOL:
            *(bool *)at = true;
            break;
        case WIRE_NUSD:
            memcpy(at, &cost, sizeof(cost));
            break;
        case WIRE_STRUCT:
            fill(field->shape, at, seed + 1);
            break;
        case WIRE_ARRAY: {
            int count = field->max < 5 ? (int)field->max : 5;
            char *items = arena_array(&arena, (size_t)count, field->size);
            assert_non_null(items);
            assert_int_equal(field->size, field->shape->size);
            for (int item = 0; item < count; item++)
                fill(field->shape, items + (size_t)item * field->size, seed + item);
            memcpy(at, &items, sizeof(items));
            memcpy(object + field->count_offset, &count, sizeof(count));
            break;
        }
        case WIRE_COUNTS: {
            int count = 3;
            int64_t *items = arena_array(&arena, 3, sizeof(*items));
            assert_non_null(items);
            items[0] = seed;
            items[2] = INT64_MAX;
            memcpy(at, &items, sizeof(items));
            memcpy(object + field->count_offset, &count, sizeof(count));
            break;
        }
        }
    }
}

/* Packed and unpacked, it is what it was as JSON; cut anywhere, it is refused. */
static void check_packed(const struct wire_shape *shape, const char *object, const char *json)
{
    struct strbuf packed, text;
    struct error err = {0};
    char type[LIMIT_NAME_BYTES];
    char *back = arena_alloc(&arena, shape->size);
    assert_non_null(back);
    strbuf_init(&packed, LIMIT_WIRE_BYTES);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_pack(shape, object, &packed);
    if (wire_decode(shape, packed.text, packed.bytes, 0, &arena, back, &err) < 0)
        fail_msg("%s", err.text);
    wire_encode(shape, back, &text);
    assert_string_equal(strbuf_text(&text), json);
    assert_int_equal(wire_type_of(packed.text, packed.bytes, type, sizeof(type), &err), 0);
    assert_string_equal(type, shape->type);
    for (size_t cut = 1; cut < packed.bytes; cut += 1 + packed.bytes / 300) {
        char *exact = malloc(cut); /* so that a sanitizer sees a byte too far */
        assert_non_null(exact);
        memcpy(exact, packed.text, cut);
        assert_true(wire_decode(shape, exact, cut, 0, &arena, back, &err) < 0);
        free(exact);
    }
    strbuf_append(&packed, "x", 1);
    assert_int_equal(wire_decode(shape, packed.text, packed.bytes, 0, &arena, back, &err),
                     ERR_INVALID);
    strbuf_done(&packed);
    strbuf_done(&text);
}

/* Packed fields are numbered: these may get others behind them, and nothing else. */
static void test_packed_order(void **state)
{
    (void)state;
    static const char *const batch[] = {"node",    "site", "boot_id", "source",
                                        "boot_us", "seq",  "samples", "sketches"};
    static const char *const sample[] = {"kind",    "namespace", "app",  "workload", "instance",
                                         "segment", "peer",      "site", "life",     "value"};
    static const char *const sketch[] = {"kind",       "namespace", "app",  "workload", "instance",
                                         "segment",    "peer",      "site", "scale",    "offset",
                                         "zero_count", "count",     "sum",  "counts"};
    static const struct {
        const struct wire_shape *shape;
        const char *const *names;
        size_t count;
    } orders[] = {{&message_batch_shape, batch, 8},
                  {&message_sample_shape, sample, 10},
                  {&message_sketch_shape, sketch, 14}};
    for (size_t i = 0; i < 3; i++) {
        assert_true(orders[i].shape->field_count >= orders[i].count);
        for (size_t k = 0; k < orders[i].count; k++)
            assert_string_equal(orders[i].shape->fields[k].name, orders[i].names[k]);
    }
}

/* What differs only from one element to the next is said only once, and told of each. */
static void test_packed_samples_are_small(void **state)
{
    (void)state;
    struct message_sample samples[80];
    for (int i = 0; i < 80; i++)
        samples[i] = (struct message_sample){.kind = i % 9,
                                             .namespace_ = "default",
                                             .app = i < 40 ? "shop" : "",
                                             .workload = i % 2 == 0 ? "web" : NULL,
                                             .value = i * 1000};
    struct message_batch batch = {
        .node = "n1", .boot_id = "b", .samples = samples, .sample_count = 80};
    struct message_batch back;
    struct strbuf packed;
    struct error err = {0};
    strbuf_init(&packed, LIMIT_WIRE_BYTES);
    wire_pack(&message_batch_shape, &batch, &packed);
    assert_true(packed.bytes < 80 * 12);
    arena_reset(&arena);
    assert_int_equal(
        wire_decode(&message_batch_shape, packed.text, packed.bytes, 0, &arena, &back, &err), 0);
    for (int i = 0; i < 80; i++) {
        assert_int_equal(back.samples[i].kind, i % 9);
        assert_int_equal(back.samples[i].value, i * 1000);
        assert_string_equal(back.samples[i].namespace_, "default");
        assert_string_equal(back.samples[i].app, i < 40 ? "shop" : "");
        assert_true(back.samples[i].workload == NULL
                        ? i % 2 == 1
                        : strcmp(back.samples[i].workload, i % 2 == 0 ? "web" : "") == 0);
    }
    /* A field that is not known here, a type that is another, a kind past the words. */
    assert_int_equal(
        wire_decode(&message_sample_shape, packed.text, packed.bytes, 0, &arena, &samples[0], &err),
        ERR_INVALID);
    const char unknown[] = "\xB7\x01\x09node.beat\0\x01\xff\x01";
    struct message_beat beat;
    assert_int_equal(
        wire_decode(&message_beat_shape, unknown, sizeof unknown - 1, 0, &arena, &beat, &err),
        ERR_UNSUPPORTED);
    const char word[] = "\xB7\x01\x06sample\0\x01\x01\x7e";
    assert_int_equal(
        wire_decode(&message_sample_shape, word, sizeof word - 1, 0, &arena, &samples[0], &err),
        ERR_INVALID);
    assert_non_null(strstr(err.text, "kind is 63"));
    strbuf_done(&packed);
}

static void test_round_trips(void **state)
{
    (void)state;
    assert_true(message_shape_count >= 13);
    for (int i = 0; i < message_shape_count; i++) {
        const struct wire_shape *shape = message_shapes[i];
        struct error err = {0};
        arena_reset(&arena);
        char *object = arena_alloc(&arena, shape->size);
        char *back = arena_alloc(&arena, shape->size);
        assert_true(object != NULL && back != NULL);
        struct strbuf first, second;
        strbuf_init(&first, LIMIT_WIRE_BYTES);
        strbuf_init(&second, LIMIT_WIRE_BYTES);
        fill(shape, object, 3);
        wire_encode(shape, object, &first);
        if (wire_decode(shape, strbuf_text(&first), first.bytes, 0, &arena, back, &err) < 0)
            fail_msg("%s", err.text);
        wire_encode(shape, back, &second);
        assert_string_equal(strbuf_text(&first), strbuf_text(&second));
        char type[LIMIT_NAME_BYTES];
        assert_int_equal(wire_type_of(strbuf_text(&first), first.bytes, type, sizeof(type), &err),
                         0);
        assert_string_equal(type, shape->type);
        check_packed(shape, object, strbuf_text(&first));
        strbuf_done(&first);
        strbuf_done(&second);
    }
}

static void test_types_differ(void **state)
{
    (void)state;
    for (int i = 0; i < message_shape_count; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(message_shapes[i]->type, message_shapes[k]->type);
}

static void check_message(const struct wire_shape *shape, const void *message, const char *wanted)
{
    struct strbuf out;
    strbuf_init(&out, LIMIT_WIRE_BYTES);
    wire_encode(shape, message, &out);
    assert_string_equal(strbuf_text(&out), wanted);
    strbuf_done(&out);
}

static void test_names(void **state)
{
    (void)state;
    struct message_command command = {.id = "c1",
                                      .epoch = {2, 7},
                                      .verb = NODE_START,
                                      .instance = "i1",
                                      .spec = {.namespace_ = "default", .app = "shop"}};
    check_message(&message_command_shape, &command,
                  "{\"v\":1,\"type\":\"node.command\",\"id\":\"c1\",\"epoch\":{\"term\":2,\"n\":7},"
                  "\"verb\":\"start\",\"instance\":\"i1\",\"spec\":{\"namespace\":\"default\","
                  "\"app\":\"shop\",\"workload\":\"\",\"driver\":\"\"}}");
    struct message_beat beat = {.node = "n1", .boot_id = "b", .boot_us = 5};
    check_message(
        &message_beat_shape, &beat,
        "{\"v\":1,\"type\":\"node.beat\",\"node\":\"n1\",\"boot_id\":\"b\",\"boot_us\":5}");
    struct message_report report = {
        .node = "n1",
        .boot_id = "b",
        .seq = 4,
        .instance = {
            .instance = "i", .state = INSTANCE_FAILED, .exit_code = -1, .error_code = ERR_IO}};
    check_message(&message_report_shape, &report,
                  "{\"v\":1,\"type\":\"node.report\",\"node\":\"n1\",\"boot_id\":\"b\",\"seq\":4,"
                  "\"instance\":{\"instance\":\"i\",\"state\":\"failed\",\"exit_code\":-1,"
                  "\"error_code\":-7}}");
}

static int words(const char *const *list)
{
    int count = 0;
    while (list[count] != NULL)
        count++;
    return count;
}

static void test_words(void **state)
{
    (void)state;
    assert_int_equal(words(instance_state_words), INSTANCE_FAILED + 1);
    assert_int_equal(words(ready_kind_words), READY_COMMAND + 1);
    assert_int_equal(words(node_verb_words), NODE_ROUTE + 1);
    assert_int_equal(words(spec_class_words), SPEC_STATEFUL + 1);
    assert_int_equal(words(route_mode_words), ROUTE_DRAIN + 1);
    assert_int_equal(words(sample_kind_words), SAMPLE_COUNT);
    assert_string_equal(instance_state_words[INSTANCE_HELD], "held");
    assert_string_equal(ready_kind_words[READY_NATS], "nats");
    assert_string_equal(node_verb_words[NODE_PROBE], "probe");
    assert_string_equal(sample_kind_words[SAMPLE_MISSES], "misses");
    assert_string_equal(sample_kind_words[SAMPLE_LATENCY_US_SUM], "latency_us_sum");
    assert_string_equal(sample_kind_words[SAMPLE_LATENCY_US], "latency_us");
}

static void test_epochs(void **state)
{
    (void)state;
    struct epoch none = {0, 0}, low = {1, 9}, high = {2, 1}, higher = {2, 2};
    assert_int_equal(epoch_compare(none, none), 0);
    assert_int_equal(epoch_compare(low, high), -1);
    assert_int_equal(epoch_compare(higher, high), 1);
    assert_int_equal(epoch_compare(none, low), -1);
    assert_int_equal(epoch_compare(high, high), 0);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_types_differ),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_packed_order),
        cmocka_unit_test(test_packed_samples_are_small),
    };
    return cmocka_run_group_tests_name("messages", tests, setup, teardown);
}
