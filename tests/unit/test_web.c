/* What the web example and the clients read from the wire: heads, frames, and the queue of bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "examples/web/bytes.h"
#include "examples/web/http.h"
#include "examples/web/websocket.h"

static enum http_parsed request(const char *text, struct http_head *ret_head)
{
    return http_request_parse(text, strlen(text), ret_head);
}

static void test_request(void **state)
{
    (void)state;
    struct http_head head;
    static const char text[] = "\r\nPOST /a/b?bytes=7&x=&wait_ms=20 HTTP/1.1\r\n"
                               "Host: shop.test\r\nrequest-ID:  run.1 \r\nContent-Length: 5\r\n"
                               "Connection: keep-alive, Upgrade\r\n\r\nhello";
    for (size_t cut = 0; cut < sizeof text - 6; cut++) /* of every part of it: more is wanted */
        assert_int_equal(http_request_parse(text, cut, &head), HTTP_MORE);
    assert_int_equal(request(text, &head), HTTP_WHOLE);
    assert_int_equal(head.head_bytes, sizeof text - 6);
    assert_true(http_text_is(head.method, "POST"));
    assert_int_equal(head.body_bytes, 5);
    assert_int_equal(head.minor, 1);
    assert_false(head.close);
    assert_true(head.upgrade);
    assert_true(http_text_is(*http_header(&head, "Request-Id"), "run.1"));
    assert_null(http_header(&head, "Request"));
    struct http_text value;
    int64_t number;
    assert_true(http_query(head.target, "bytes", &value));
    assert_true(http_number(value, 10, &number));
    assert_int_equal(number, 7);
    assert_false(http_number(value, 6, &number));
    assert_true(http_query(head.target, "wait_ms", &value));
    assert_true(http_text_is(value, "20"));
    assert_true(http_query(head.target, "x", &value));
    assert_false(http_number(value, 10, &number));
    assert_false(http_query(head.target, "ms", &value));
}

static void test_connection(void **state)
{
    (void)state;
    struct http_head head;
    assert_int_equal(request("GET / HTTP/1.0\r\n\r\n", &head), HTTP_WHOLE);
    assert_true(head.close);
    assert_int_equal(head.body_bytes, 0);
    assert_int_equal(request("GET / HTTP/1.0\nConnection: Keep-Alive\n\n", &head), HTTP_WHOLE);
    assert_false(head.close);
    assert_int_equal(request("GET / HTTP/1.1\r\nConnection: foo , Close\r\n\r\n", &head),
                     HTTP_WHOLE);
    assert_true(head.close);
}

/* What has let requests be smuggled past a proxy, and what is no request at all. */
static void test_refused(void **state)
{
    (void)state;
    struct http_head head;
    static const char *const wrong[] = {
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET / HTTP/1.1 \r\n\r\n",
        "G(T / HTTP/1.1\r\n\r\n",
        " / HTTP/1.1\r\n\r\n",
        "GET /a\x7f HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nNo colon\r\n\r\n",
        "GET / HTTP/1.1\r\nName : x\r\n\r\n",
        "GET / HTTP/1.1\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 5,5\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: \r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 9999999999999999999\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (request(wrong[i], &head) != HTTP_WRONG)
            fail_msg("taken: %s", wrong[i]);
    assert_int_equal(http_request_parse("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24, &head), HTTP_WRONG);
    static char long_head[HTTP_HEAD_MAX + 1];
    memset(long_head, 'a', sizeof long_head);
    assert_int_equal(http_request_parse(long_head, HTTP_HEAD_MAX - 1, &head), HTTP_MORE);
    assert_int_equal(http_request_parse(long_head, HTTP_HEAD_MAX, &head), HTTP_WRONG);
    assert_int_equal(request("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", &head),
                     HTTP_WHOLE);
    assert_true(head.chunked);
}

static int response(const char *text, struct http_head *ret_head)
{
    return http_response_parse(text, strlen(text), ret_head);
}

static void test_response(void **state)
{
    (void)state;
    struct http_head head;
    assert_int_equal(response("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", &head),
                     HTTP_WHOLE);
    assert_int_equal(head.status, 200);
    assert_int_equal(head.body_bytes, 3);
    assert_int_equal(response("HTTP/1.1 503\r\n\r\n", &head), HTTP_WHOLE);
    assert_int_equal(head.status, 503);
    assert_int_equal(head.body_bytes, -1);
    static const char *const wrong[] = {"HTTP/1.1 99 Low\r\n\r\n",   "HTTP/1.1 2000 High\r\n\r\n",
                                        "HTTP/1.1 600 High\r\n\r\n", "HTTP/1.1  20 Two\r\n\r\n",
                                        "HTTP/3.0 200 OK\r\n\r\n",   "200 OK\r\n\r\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (response(wrong[i], &head) != HTTP_WRONG)
            fail_msg("taken: %s", wrong[i]);
}

/* The example of RFC 6455, and keys whose texts need one block of SHA-1 and two. */
static void test_accept(void **state)
{
    (void)state;
    char accept[WEBSOCKET_ACCEPT_BYTES];
    websocket_accept("dGhlIHNhbXBsZSBub25jZQ==", 24, accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    websocket_accept("x3JJHMbDL1EzLkh9GBhXDw==", 24, accept);
    assert_string_equal(accept, "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

static void test_frames(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 125, 126, 65535, 65536, UINT64_C(1) << 40};
    const uint8_t mask[4] = {1, 2, 3, 4};
    uint8_t head[WEBSOCKET_HEAD_MAX];
    struct websocket_frame frame;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int masked = 0; masked < 2; masked++) {
            size_t bytes = websocket_head(WEBSOCKET_TEXT, sizes[i], masked ? mask : NULL, head);
            for (size_t cut = 0; cut < bytes; cut++)
                assert_int_equal(websocket_parse(head, cut, masked == 1, &frame), 0);
            assert_int_equal(websocket_parse(head, bytes, masked == 1, &frame), 1);
            assert_int_equal(websocket_parse(head, bytes, masked == 0, &frame), -1);
            assert_int_equal(frame.head_bytes, bytes);
            assert_true(frame.payload_bytes == sizes[i]);
            assert_int_equal(frame.opcode, WEBSOCKET_TEXT);
            assert_true(frame.last);
            if (masked)
                assert_memory_equal(frame.mask, mask, 4);
        }
}

static void test_no_frames(void **state)
{
    (void)state;
    struct websocket_frame frame;
    static const uint8_t wrong[][10] = {
        {0xc1, 0},                               /* a reserved bit */
        {0x83, 0},                               /* no such opcode */
        {0x8b, 0},                               /* no such control frame */
        {0x09, 0},                               /* a control frame in pieces */
        {0x89, 126, 0, 126},                     /* a long control frame */
        {0x81, 126, 0, 125},                     /* not the shortest form */
        {0x81, 127, 0, 0, 0, 0, 0, 0, 255, 255}, /* nor this */
        {0x81, 127, 128, 0, 0, 0, 0, 0, 0, 0},   /* larger than anything */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (websocket_parse(wrong[i], sizeof wrong[i], false, &frame) != -1)
            fail_msg("taken for a frame: number %zu", i);
    const uint8_t code[] = {0x03, 0xf4, 'x'};
    assert_int_equal(websocket_close_code(code, 3), WEBSOCKET_RESTART);
    assert_int_equal(websocket_close_code(code, 1), 1005);
}

static void test_bytes(void **state)
{
    (void)state;
    struct bytes bytes = {0};
    char text[1000];
    int64_t added = 0, taken = 0;
    /* A queue that is never empty and never full keeps its order and its memory. */
    for (int round = 0; round < 2000; round++) {
        size_t count = (size_t)(round * 37 % 900) + 1;
        for (size_t i = 0; i < count; i++)
            text[i] = (char)(added + (int64_t)i);
        if (bytes_add(&bytes, text, count, 4096))
            added += (int64_t)count;
        else
            assert_true(bytes.count + count > 4096);
        size_t part = bytes.count < 700 ? bytes.count / 2 : 700;
        for (size_t i = 0; i < part; i++)
            assert_int_equal(bytes_at(&bytes)[i], (char)(taken + (int64_t)i));
        bytes_take(&bytes, part);
        taken += (int64_t)part;
    }
    assert_true(taken > 100000);
    assert_int_equal(bytes.count, added - taken);
    assert_true(bytes.capacity <= 16384);
    bytes_done(&bytes);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_true(bytes_add(&bytes, "hello", 5, 100));
    assert_int_equal(bytes_send(&bytes, pair[0]), 0);
    assert_int_equal(bytes.count, 0);
    assert_int_equal(bytes_receive(&bytes, pair[1], 3), 3);
    assert_int_equal(bytes_receive(&bytes, pair[1], 3), -1); /* full */
    bytes_take(&bytes, 3);
    assert_int_equal(bytes_receive(&bytes, pair[1], 3), 2);
    assert_memory_equal(bytes_at(&bytes), "lo", 2);
    close(pair[0]);
    assert_int_equal(bytes_receive(&bytes, pair[1], 100), 0);
    close(pair[1]);
    bytes_done(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),   cmocka_unit_test(test_connection),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_response),
        cmocka_unit_test(test_accept),    cmocka_unit_test(test_frames),
        cmocka_unit_test(test_no_frames), cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests_name("web", tests, NULL, NULL);
}
