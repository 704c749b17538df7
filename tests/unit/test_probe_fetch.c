/*
 * fetch: one file from a server on the loopback, with everything that a network and a server do to
 * it: cuts, changes in between, too many requests, redirects, silence, lies, sizes without end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "base/clock.h"
#include "base/str.h"
#include "metrics/probe/fetch.h"
#include "tests/live/feed_server.h"

#define BODY_BYTES ((size_t)200000)

enum route {
    GOOD,
    CUT,
    CHANGED,
    ALWAYS,
    BUSY,
    DOWN,
    LOOP,
    HOP,
    SCHEME,
    HANG,
    LIAR,
    KEY,
    WEAK,
    PACKED,
    EMPTY,
    END
};
static struct feed_route routes[END + 1];
static char folder[256];
static char out[512];
static int port;
static struct fetch_result result;
static struct error err;
static int64_t progress_bytes;

static void on_progress(void *context, int64_t bytes, int64_t total)
{
    (void)context;
    progress_bytes = bytes;
    assert_true(total < 0 || bytes <= total);
}

static int setup(void **state)
{
    (void)state;
    const struct feed_route fresh[END + 1] = {
        [GOOD] = {"/good", NULL, BODY_BYTES, "\"one\"", NULL, FEED_GOOD, NULL, 0, 0, 0},
        [CUT] = {"/cut", NULL, BODY_BYTES, "\"one\"", NULL, FEED_CUT, NULL, 0, 0, 0},
        [CHANGED] = {"/changed", NULL, BODY_BYTES, "\"one\"", NULL, FEED_CUT_CHANGED, "new body", 0,
                     0, 0},
        [ALWAYS] = {"/always", NULL, BODY_BYTES, "\"one\"", NULL, FEED_CUT_ALWAYS, NULL, 0, 0, 0},
        [BUSY] = {"/busy", "body", 0, NULL, NULL, FEED_BUSY, NULL, 0, 0, 0},
        [DOWN] = {"/down", "body", 0, NULL, NULL, FEED_DOWN, NULL, 0, 0, 0},
        [LOOP] = {"/loop", NULL, 0, NULL, NULL, FEED_LOOP, NULL, 0, 0, 0},
        [HOP] = {"/hop", NULL, 0, NULL, NULL, FEED_HOP, "/good", 0, 0, 0},
        [SCHEME] = {"/scheme", NULL, 0, NULL, NULL, FEED_HOP, "file:///etc/passwd", 0, 0, 0},
        [HANG] = {"/hang", NULL, 0, NULL, NULL, FEED_HANG, NULL, 0, 0, 0},
        [LIAR] = {"/liar", NULL, BODY_BYTES, "\"one\"", NULL, FEED_LIAR, NULL, 0, 0, 0},
        [KEY] = {"/key", "body", 0, NULL, NULL, FEED_KEY, NULL, 0, 0, 0},
        [WEAK] = {"/weak", NULL, BODY_BYTES, "W/\"one\"", NULL, FEED_CUT, NULL, 0, 0, 0},
        [PACKED] = {"/packed", "body", 0, NULL, "Content-Encoding: br\r\n", FEED_GOOD, NULL, 0, 0,
                    0},
        [EMPTY] = {"/empty", "", 0, NULL, NULL, FEED_GOOD, NULL, 0, 0, 0},
    };
    memcpy(routes, fresh, sizeof(routes));
    str_format(folder, sizeof(folder), "%s/fetch-XXXXXX", BERTH_BINARY_DIR);
    assert_non_null(mkdtemp(folder));
    str_format(out, sizeof(out), "%s/out", folder);
    port = feed_server_start(routes);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"out", "out.part", "out.tag", "key"};
    char path[512];
    feed_server_stop();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        str_format(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

static struct fetch_options options_for(enum route route)
{
    static char url[256];
    struct fetch_options options;
    fetch_defaults(&options);
    str_format(url, sizeof(url), "http://127.0.0.1:%d%s", port, routes[route].path);
    options.url = url;
    options.out = out;
    options.tries = 3;
    options.wait_max_us = US_PER_MS;
    options.progress = on_progress;
    return options;
}

static int bring(enum route route)
{
    struct fetch_options options = options_for(route);
    return fetch(&options, &result, &err);
}

static bool exists(const char *name)
{
    char path[512];
    str_format(path, sizeof(path), "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* The file is the patterned body, and nothing lies beside it. */
static void is_whole(void)
{
    char *text = malloc(BODY_BYTES + 1);
    assert_non_null(text);
    FILE *file = fopen(out, "re");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, BODY_BYTES + 1, file), BODY_BYTES);
    (void)fclose(file);
    for (size_t i = 0; i < BODY_BYTES; i++)
        if (text[i] != feed_server_byte(i))
            fail_msg("byte %zu is another", i);
    free(text);
    assert_false(exists("out.part"));
    assert_false(exists("out.tag"));
}

static void is_body(const char *body)
{
    char text[64] = "";
    FILE *file = fopen(out, "re");
    assert_non_null(file);
    (void)!fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    assert_string_equal(text, body);
}

/* It fails, says why, and leaves nothing that looks whole. */
static void fails(enum route route, int code, const char *says)
{
    assert_int_equal(bring(route), code);
    if (strstr(err.text, says) == NULL)
        fail_msg("\"%s\" is not in: %s", says, err.text);
    assert_non_null(strstr(err.text, routes[route].path));
    assert_false(exists("out"));
}

static void test_good(void **state)
{
    (void)state;
    assert_int_equal(bring(GOOD), 0);
    assert_true(result.modified);
    assert_int_equal(result.bytes, BODY_BYTES);
    assert_int_equal(progress_bytes, BODY_BYTES);
    assert_string_equal(result.etag, "\"one\"");
    is_whole();
    struct fetch_options options = options_for(GOOD);
    options.etag = "\"one\"";
    assert_int_equal(fetch(&options, &result, &err), 0);
    assert_false(result.modified);
    assert_int_equal(routes[GOOD].same, 1);
    is_whole();
    options.etag = "\"old\"";
    assert_int_equal(fetch(&options, &result, &err), 0);
    assert_true(result.modified);
    assert_int_equal(bring(EMPTY), 0);
    is_body("");
}

static void test_cut(void **state)
{
    (void)state;
    assert_int_equal(bring(CUT), 0);
    is_whole();
    assert_int_equal(result.tries, 2);
    assert_int_equal(result.resumed, 1);
    assert_int_equal(routes[CUT].resumed, 1);
}

/* A weak ETag does not say that the bytes are the same: it begins anew. */
static void test_cut_weak(void **state)
{
    (void)state;
    assert_int_equal(bring(WEAK), 0);
    is_whole();
    assert_int_equal(result.resumed, 0);
}

static void test_changed(void **state)
{
    (void)state;
    assert_int_equal(bring(CHANGED), 0);
    is_body("new body");
    assert_string_equal(result.etag, "\"changed\"");
    assert_int_equal(routes[CHANGED].resumed, 0);
}

/* Half of what is left each time: a call that gives up leaves what it has to the next one. */
static void test_across_calls(void **state)
{
    (void)state;
    struct fetch_options options = options_for(CUT);
    options.tries = 1;
    assert_int_equal(fetch(&options, &result, &err), 0); /* bytes came: the try counts anew */
    is_whole();
    assert_int_equal(unlink(out), 0);
    routes[ALWAYS].hits = 0;
    options = options_for(ALWAYS);
    options.tries = 1;
    assert_int_equal(fetch(&options, &result, &err), ERR_IO);
    assert_true(exists("out.part"));
    assert_true(exists("out.tag"));
    assert_false(exists("out"));
    routes[ALWAYS].fault = FEED_GOOD;
    int resumed = routes[ALWAYS].resumed;
    assert_int_equal(bring(ALWAYS), 0);
    assert_int_equal(routes[ALWAYS].resumed, resumed + 1);
    is_whole();
}

static void test_liar(void **state)
{
    (void)state;
    assert_int_equal(bring(LIAR), 0);
    is_whole();
    assert_int_equal(routes[LIAR].hits, 3); /* cut, a rest that is none, all of it */
}

static void test_busy(void **state)
{
    (void)state;
    assert_int_equal(bring(BUSY), 0);
    assert_int_equal(result.tries, 3);
    is_body("body");
    assert_int_equal(unlink(out), 0);
    fails(DOWN, ERR_UNAVAILABLE, "after 3 tries: it answers with status 503");
}

static void test_redirects(void **state)
{
    (void)state;
    assert_int_equal(bring(HOP), 0);
    is_whole();
    assert_int_equal(unlink(out), 0);
    fails(LOOP, ERR_INVALID, "redirects again and again");
    assert_int_equal(routes[LOOP].hits, 6);
    fails(SCHEME, ERR_DENIED, "another scheme");
}

static void test_refusals(void **state)
{
    (void)state;
    struct fetch_options options = options_for(HANG);
    options.stall_us = US_PER_S;
    options.tries = 1;
    assert_int_equal(fetch(&options, &result, &err), ERR_TIMEOUT);
    assert_non_null(strstr(err.text, "nothing came for 1 s"));
    assert_false(exists("out"));
    fails(PACKED, ERR_UNSUPPORTED, "packed as br");
    options = options_for(GOOD);
    options.bytes_max = 1000;
    assert_int_equal(fetch(&options, &result, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "more than 1000 bytes; --max-bytes"));
    options.url = "ftp://127.0.0.1/x";
    assert_int_equal(fetch(&options, &result, &err), ERR_INVALID);
    options = options_for(GOOD);
    char url[300];
    str_format(url, sizeof(url), "%s/no?key=hidden", options.url);
    options.url = url;
    assert_int_equal(fetch(&options, &result, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "is the base URL right?"));
    assert_null(strstr(err.text, "hidden"));
}

static void test_key(void **state)
{
    (void)state;
    char path[512];
    fails(KEY, ERR_UNAVAILABLE, "status 403; does it want a key");
    str_format(path, sizeof(path), "%s/key", folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs("X-Key: secret\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    struct fetch_options options = options_for(KEY);
    options.header_file = path;
    assert_int_equal(fetch(&options, &result, &err), 0);
    is_body("body");
    options = options_for(HOP); /* a secret follows nobody */
    options.header_file = path;
    assert_int_equal(fetch(&options, &result, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "redirects are not followed with a secret header"));
}

static void test_retry_after(void **state)
{
    (void)state;
    const int64_t now_s = 784111777; /* Sun, 06 Nov 1994 08:49:37 GMT */
    assert_int_equal(fetch_retry_after_us("120", now_s), 120 * US_PER_S);
    assert_int_equal(fetch_retry_after_us("Sun, 06 Nov 1994 08:49:47 GMT", now_s), 10 * US_PER_S);
    assert_int_equal(fetch_retry_after_us("Sun, 06 Nov 1994 08:00:00 GMT", now_s), 0);
    assert_int_equal(fetch_retry_after_us("soon", now_s), -1);
    assert_int_equal(fetch_retry_after_us("-5", now_s), -1);
}

static int before_all(void **state)
{
    (void)state;
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_good),         CASE(test_cut),  CASE(test_cut_weak),    CASE(test_changed),
        CASE(test_across_calls), CASE(test_liar), CASE(test_busy),        CASE(test_redirects),
        CASE(test_refusals),     CASE(test_key),  CASE(test_retry_after),
    };
    return cmocka_run_group_tests(tests, before_all, NULL);
}
