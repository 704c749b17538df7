/* The codec on a shape of its own that has every kind of field: what it writes, byte for byte, what
 * it takes, and the sentence with which it refuses. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/wire/wire.h"

enum colour { RED, GREEN };
static const char *const colours[] = {"red", "green", NULL};

struct point {
    int x;
};

struct thing {
    char name[8];
    const char *text;
    int64_t big;
    uint64_t hash;
    int small;
    bool flag;
    int colour;
    nusd cost;
    struct point at;
    struct point *points;
    int point_count;
    char extra[8];
};

/* clang-format off */
static const struct wire_field point_fields[] = {
    WIRE_FIELD_I32(point, x, 0, -5, 5),
};
static const struct wire_shape point_shape = {
    .type = "point", .version = 1, .size = sizeof(struct point), .fields = point_fields,
    .field_count = 1};
static const struct wire_field thing_fields[] = {
    WIRE_FIELD_STR(thing, name, 0),
    WIRE_FIELD_TEXT(thing, text, WIRE_OPTIONAL, 10),
    WIRE_FIELD_I64(thing, big, WIRE_OPTIONAL, INT64_MIN, INT64_MAX),
    WIRE_FIELD_U64(thing, hash, WIRE_OPTIONAL),
    WIRE_FIELD_I32(thing, small, WIRE_OPTIONAL, INT_MIN, INT_MAX),
    WIRE_FIELD_BOOL(thing, flag, WIRE_OPTIONAL),
    WIRE_FIELD_ENUM(thing, colour, 0, colours),
    WIRE_FIELD_NUSD(thing, cost, WIRE_OPTIONAL),
    WIRE_FIELD_STRUCT(thing, at, WIRE_OPTIONAL, &point_shape),
    WIRE_FIELD_ARRAY(thing, points, point_count, WIRE_OPTIONAL, 3, &point_shape),
    WIRE_FIELD_STR_AS(thing, extra, "more", WIRE_OPTIONAL),
};
/* clang-format on */
static const struct wire_shape thing_shape = {.type = "thing",
                                              .version = 2,
                                              .size = sizeof(struct thing),
                                              .fields = thing_fields,
                                              .field_count =
                                                  sizeof(thing_fields) / sizeof(thing_fields[0])};

static struct arena arena;

static int decode(const char *text, struct thing *ret_thing, struct error *err)
{
    return wire_decode(&thing_shape, text, strlen(text), 0, &arena, ret_thing, err);
}

static void check_text(const struct thing *thing, const char *wanted)
{
    struct strbuf out;
    strbuf_init(&out, 1 << 16);
    wire_encode(&thing_shape, thing, &out);
    assert_int_equal(strbuf_error(&out, NULL), 0);
    assert_string_equal(strbuf_text(&out), wanted);
    strbuf_done(&out);
}

static void test_encode(void **state)
{
    (void)state;
    struct point points[] = {{1}, {-2}};
    struct thing full = {.name = "a\"b",
                         .text = "x\n\\\t",
                         .big = INT64_MIN,
                         .hash = UINT64_MAX,
                         .small = -7,
                         .flag = true,
                         .colour = GREEN,
                         .cost = -(((nusd)1 << 100)),
                         .at = {3},
                         .points = points,
                         .point_count = 2,
                         .extra = "z"};
    const char *wanted =
        "{\"v\":2,\"type\":\"thing\",\"name\":\"a\\\"b\",\"text\":\"x\\n\\\\\\u0009\","
        "\"big\":-9223372036854775808,\"hash\":\"18446744073709551615\",\"small\":-7,\"flag\":true,"
        "\"colour\":\"green\",\"cost\":\"-1267650600228229401496703205376\",\"at\":{\"x\":3},"
        "\"points\":[{\"x\":1},{\"x\":-2}],\"more\":\"z\"}";
    check_text(&full, wanted);
    struct thing empty = {.name = ""};
    check_text(&empty, "{\"v\":2,\"type\":\"thing\",\"name\":\"\",\"colour\":\"red\"}");

    struct thing back;
    assert_int_equal(decode(wanted, &back, NULL), 0);
    assert_string_equal(back.name, full.name);
    assert_string_equal(back.text, full.text);
    assert_true(back.big == full.big && back.hash == full.hash && back.small == full.small);
    assert_true(back.flag && back.colour == GREEN && back.cost == full.cost && back.at.x == 3);
    assert_int_equal(back.point_count, 2);
    assert_int_equal(back.points[1].x, -2);
    assert_string_equal(back.extra, "z");
    check_text(&back, wanted);
}

/* Bytes that are no UTF-8 come from outside (a workload's last words): they never make a message
 * that its receiver refuses. */
static void test_bad_utf8(void **state)
{
    (void)state;
    static const char *const bad[] = {"\xff",         "\xc3",         "\xc0\x80",
                                      "\xed\xa0\x80", "\xe2\x82",     "\xf5\x80\x80\x80",
                                      "\x80",         "\xe0\x80\x80", "\xf0\x80\x80\x80"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct thing thing = {.name = "n", .text = bad[i]}, back;
        struct strbuf out;
        strbuf_init(&out, 1 << 16);
        wire_encode(&thing_shape, &thing, &out);
        assert_int_equal(decode(strbuf_text(&out), &back, NULL), 0);
        assert_int_equal(strlen(back.text), strlen(bad[i]));
        assert_int_equal(back.text[0], '?');
        strbuf_done(&out);
    }
    struct thing fine = {.name = "n", .text = "\xc3\xa9\xe2\x82\xac"}, back;
    struct strbuf out;
    strbuf_init(&out, 1 << 16);
    wire_encode(&thing_shape, &fine, &out);
    assert_int_equal(decode(strbuf_text(&out), &back, NULL), 0);
    assert_string_equal(back.text, fine.text);
    strbuf_done(&out);
}

#define HEAD "{\"v\":1,\"type\":\"thing\",\"name\":\"n\",\"colour\":\"red\""

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *sentence;
    } cases[] = {
        {"", ERR_INVALID, "not a JSON object"},
        {"[]", ERR_INVALID, "not a JSON object"},
        {HEAD, ERR_INVALID, "not a JSON object"},
        {HEAD "} ", 0, ""},
        {HEAD ",\"unknown\":{\"a\":[1]}}", 0, ""},
        {HEAD "}x", ERR_INVALID, "not a JSON object"},
        {HEAD ",\"name\":\"twice\"}", ERR_INVALID, "duplicate"},
        {"{\"v\":1,\"name\":\"n\",\"colour\":\"red\"}", ERR_INVALID, "no \"type\""},
        {"{\"v\":1,\"type\":\"other\",\"name\":\"n\"}", ERR_INVALID, "\"other\" where thing"},
        {"{\"v\":3,\"type\":\"thing\"}", ERR_UNSUPPORTED, "version 3 is newer than 2"},
        {"{\"v\":0,\"type\":\"thing\"}", ERR_INVALID, "\"v\" must be"},
        {"{\"v\":\"1\",\"type\":\"thing\"}", ERR_INVALID, "\"v\" must be"},
        {"{\"type\":\"thing\"}", ERR_INVALID, "\"v\" must be"},
        {"{\"v\":1,\"type\":\"thing\",\"colour\":\"red\"}", ERR_INVALID, "name is missing"},
        {"{\"v\":1,\"type\":\"thing\",\"name\":\"n\"}", ERR_INVALID, "colour is missing"},
        {"{\"v\":1,\"type\":\"thing\",\"name\":7,\"colour\":\"red\"}", ERR_INVALID,
         "name must be a string"},
        {"{\"v\":1,\"type\":\"thing\",\"name\":\"12345678\",\"colour\":\"red\"}", ERR_LIMIT,
         "name has 8 bytes, at most 7"},
        {"{\"v\":1,\"type\":\"thing\",\"name\":\"\\u0000\",\"colour\":\"red\"}", ERR_INVALID, ""},
        {"{\"v\":1,\"type\":\"thing\",\"name\":\"n\",\"colour\":\"blue\"}", ERR_INVALID,
         "colour is \"blue\", a word that is not known"},
        {"{\"v\":1,\"type\":\"thing\",\"name\":\"n\",\"colour\":1}", ERR_INVALID, "colour must"},
        {HEAD ",\"text\":\"12345678901\"}", ERR_LIMIT, "text has 11 bytes"},
        {HEAD ",\"big\":1.0}", ERR_INVALID, "big must be an integer"},
        {HEAD ",\"big\":9223372036854775808}", ERR_INVALID, "too big"},
        {HEAD ",\"hash\":-1}", ERR_INVALID, "hash is -1"},
        {HEAD ",\"hash\":\"18446744073709551616\"}", ERR_INVALID, "hash must be"},
        {HEAD ",\"hash\":\"18446744073709551615\"}", 0, ""},
        {HEAD ",\"small\":2147483648}", ERR_INVALID, "small is 2147483648"},
        {HEAD ",\"flag\":1}", ERR_INVALID, "flag must be true or false"},
        {HEAD ",\"cost\":1}", ERR_INVALID, "cost must be a string"},
        {HEAD ",\"cost\":\"\"}", ERR_INVALID, "cost is empty"},
        {HEAD ",\"cost\":\"-\"}", ERR_INVALID, "cost"},
        {HEAD ",\"cost\":\"1.5\"}", ERR_INVALID, "cost is \"1.5\""},
        {HEAD ",\"cost\":\"170141183460469231731687303715884105727\"}", 0, ""},
        {HEAD ",\"cost\":\"170141183460469231731687303715884105728\"}", ERR_OVERFLOW, "127 bits"},
        {HEAD ",\"cost\":\"-170141183460469231731687303715884105728\"}", 0, ""},
        {HEAD ",\"at\":3}", ERR_INVALID, "at must be an object"},
        {HEAD ",\"at\":{}}", ERR_INVALID, "at.x is missing"},
        {HEAD ",\"at\":{\"x\":6}}", ERR_INVALID, "at.x is 6, must be -5 to 5"},
        {HEAD ",\"points\":{}}", ERR_INVALID, "points must be a list"},
        {HEAD ",\"points\":[{\"x\":1},{\"x\":\"1\"}]}", ERR_INVALID, "points[1].x must"},
        {HEAD ",\"points\":[1]}", ERR_INVALID, "points[0] must be an object"},
        {HEAD ",\"points\":[{\"x\":1},{\"x\":1},{\"x\":1},{\"x\":1}]}", ERR_LIMIT,
         "points has 4 elements, at most 3"},
        {HEAD ",\"points\":null}", ERR_INVALID, "points must be a list"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct thing thing;
        memset(&thing, 0x55, sizeof(thing));
        struct thing before = thing;
        struct error err = {0};
        int rc = decode(cases[i].text, &thing, &err);
        if (rc != cases[i].code || strstr(err.text, cases[i].sentence) == NULL)
            fail_msg("%s: %d, %s", cases[i].text, rc, err.text);
        if (rc < 0)
            assert_memory_equal(&thing, &before, sizeof(thing));
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct thing thing;
    struct error err = {0};
    const char *text = HEAD ",\"points\":[{\"x\":1}],\"text\":\"abc\"}";
    assert_int_equal(
        wire_decode(&thing_shape, text, strlen(text), strlen(text) - 1, &arena, &thing, &err),
        ERR_LIMIT);
    assert_int_equal(
        wire_decode(&thing_shape, text, strlen(text), strlen(text), &arena, &thing, &err), 0);
    char *big = malloc(LIMIT_WIRE_BYTES + 1);
    assert_non_null(big);
    memset(big, ' ', LIMIT_WIRE_BYTES + 1);
    assert_int_equal(wire_decode(&thing_shape, big, LIMIT_WIRE_BYTES + 1, 0, &arena, &thing, &err),
                     ERR_LIMIT);
    free(big);
    /* Every allocation of a decode fails once, and each time it is said. */
    int failures = 0;
    for (int64_t after = 0; after < 10; after++) {
        arena_reset(&arena);
        arena.fail_after = after;
        int rc = decode(text, &thing, &err);
        arena.fail_after = -1;
        assert_true(rc == 0 || rc == ERR_NO_MEMORY);
        failures += rc < 0 ? 1 : 0;
    }
    assert_int_equal(failures, 3);
}

static void test_type_of(void **state)
{
    (void)state;
    char type[8];
    struct error err = {0};
    const char *text = HEAD "}";
    assert_int_equal(wire_type_of(text, strlen(text), type, sizeof(type), &err), 0);
    assert_string_equal(type, "thing");
    assert_int_equal(wire_type_of(text, strlen(text), type, 5, &err), ERR_INVALID);
    assert_int_equal(wire_type_of("{}", 2, type, sizeof(type), &err), ERR_INVALID);
    assert_int_equal(wire_type_of("{\"type\":1}", 10, type, sizeof(type), &err), ERR_INVALID);
    assert_int_equal(wire_type_of("", 0, type, sizeof(type), &err), ERR_INVALID);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
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
        cmocka_unit_test(test_encode),   cmocka_unit_test(test_bad_utf8),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_type_of),
    };
    return cmocka_run_group_tests_name("wire", tests, setup, teardown);
}
