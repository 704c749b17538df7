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
    assert_int_equal(words(node_verb_words), NODE_FORGET + 1);
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
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_types_differ),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_words),
        cmocka_unit_test(test_epochs),
    };
    return cmocka_run_group_tests_name("messages", tests, setup, teardown);
}
