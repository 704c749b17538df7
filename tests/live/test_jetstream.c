/* Streams and the object store against a real nats-server: what is put is what is got, replaced and
 * deleted objects leave no chunks behind, and damage is found. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/bus.h"
#include "base/bus/jetstream.h"
#include "base/bus/small_object.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "tests/live/server.h"

static struct test_server server;
static struct bus *bus;
static struct error err;

static int setup(void **state)
{
    (void)state;
    test_server_init(&server);
    test_server_start(&server, NULL);
    struct bus_options options = {.url = server.url, .inbox_prefix = "_INBOX.o.test"};
    return bus_open(&options, &bus, &err);
}

static int teardown(void **state)
{
    (void)state;
    bus_close(bus);
    test_server_done(&server);
    return 0;
}

static void must(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", error_name(rc), err.text);
}

/* A file of `bytes` bytes that no chunk repeats; its path in `out`. */
static void make_file(const char *name, size_t bytes, char *out, size_t capacity)
{
    snprintf(out, capacity, "%s/%s", server.folder, name);
    FILE *file = fopen(out, "w");
    assert_non_null(file);
    uint64_t state = bytes + 1;
    for (size_t i = 0; i < bytes; i++) {
        state = state * UINT64_C(6364136223846793005) + 1;
        fputc((int)(state >> 56), file);
    }
    assert_int_equal(fclose(file), 0);
}

static int open_target(const char *name)
{
    char path[700];
    snprintf(path, sizeof(path), "%s/%s", server.folder, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static int64_t messages_in(const char *stream)
{
    char subject[128];
    char *data = NULL;
    snprintf(subject, sizeof(subject), "$JS.API.STREAM.INFO.%s", stream);
    must(bus_call(bus, subject, NULL, 0, 5 * US_PER_S, &data, NULL, &err));
    const char *at = strstr(data, "\"messages\":");
    assert_non_null(at);
    int64_t count = strtoll(at + strlen("\"messages\":"), NULL, 10);
    free(data);
    return count;
}

static void put_and_get(const char *name, size_t bytes)
{
    char path[700], put[LIMIT_DIGEST_BYTES], got[LIMIT_DIGEST_BYTES], is[LIMIT_DIGEST_BYTES];
    make_file("source", bytes, path, sizeof(path));
    must(object_put_file(bus, "arts", name, path, put, &err));
    must(digest_file(path, is, &err));
    assert_string_equal(put, is);
    int fd = open_target("target");
    must(object_get_fd(bus, "arts", name, fd, (int64_t)bytes, got, &err));
    assert_string_equal(got, is);
    must(digest_fd(fd, got, &err));
    assert_string_equal(got, is);
    close(fd);
    struct object_info info;
    must(object_stat(bus, "arts", name, &info, &err));
    assert_int_equal(info.bytes, bytes);
    assert_int_equal(info.chunks, (bytes + OBJECT_CHUNK_BYTES - 1) / OBJECT_CHUNK_BYTES);
    assert_string_equal(info.digest, is);
    assert_string_equal(info.name, name);
}

/* One that is put in one piece is an object like all others, whoever reads or removes it. */
static void test_small_objects(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 1000, SMALL_OBJECT_BYTES - 1, SMALL_OBJECT_BYTES};
    const int64_t wait_us = 5 * US_PER_S;
    char path[700], digest[LIMIT_DIGEST_BYTES], got[LIMIT_DIGEST_BYTES];
    void *data = NULL;
    size_t bytes = 0;
    must(object_bucket_ensure(bus, "small", &err));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        static char text[SMALL_OBJECT_BYTES];
        make_file("source", sizes[i], path, sizeof(path));
        must(digest_file(path, digest, &err));
        const char *name = digest + strlen("sha256:");
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        assert_int_equal(fread(text, 1, sizeof(text), file), sizes[i]);
        fclose(file);
        assert_int_equal(small_object_get(bus, "small", digest, wait_us, &data, &bytes, &err),
                         ERR_NOT_FOUND);
        for (int again = 0; again < 3; again++) { /* the second is there, the third was deleted */
            must(small_object_put(bus, "small", digest, text, sizes[i], wait_us, &err));
            must(small_object_get(bus, "small", digest, wait_us, &data, &bytes, &err));
            assert_int_equal(bytes, sizes[i]);
            assert_memory_equal(data, text, bytes);
            free(data);
            int fd = open_target("target");
            must(object_get_fd(bus, "small", name, fd, (int64_t)sizes[i], got, &err));
            assert_string_equal(got, digest);
            close(fd);
            struct object_info info;
            must(object_stat(bus, "small", name, &info, &err));
            assert_int_equal(info.bytes, sizes[i]);
            assert_int_equal(info.chunks, 1);
            if (again == 1)
                must(object_delete(bus, "small", name, &err));
        }
        must(object_delete(bus, "small", name, &err));
        assert_int_equal(small_object_get(bus, "small", digest, wait_us, &data, &bytes, &err),
                         ERR_NOT_FOUND);
    }
    /* Reads of both kinds on one connection: the windows of the one are no answers to the other. */
    make_file("source", 3 * SMALL_OBJECT_BYTES, path, sizeof(path));
    must(object_put_file(bus, "small", "large", path, digest, &err));
    for (int i = 0; i < 30; i++) {
        int fd = open_target("target");
        must(object_get_fd(bus, "small", "large", fd, 3 * SMALL_OBJECT_BYTES, got, &err));
        close(fd);
    }
    must(object_delete(bus, "small", "large", &err));
    make_file("source", 77, path, sizeof(path));
    must(digest_file(path, digest, &err));
    must(small_object_put(bus, "small", digest, "any", 3, wait_us, &err));
    must(small_object_get(bus, "small", digest, wait_us, &data, &bytes, &err));
    assert_int_equal(bytes, 3); /* what it holds is for the caller to check */
    free(data);
    must(object_delete(bus, "small", digest + strlen("sha256:"), &err));
    assert_int_equal(messages_in("OBJ_small"), 6); /* that they are deleted: no chunk is left */
    /* As others put it, it is not found in this way; and what is wrong is no object. */
    must(object_put_file(bus, "small", digest + strlen("sha256:"), path, got, &err));
    assert_int_equal(small_object_get(bus, "small", digest, wait_us, &data, &bytes, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(small_object_put(bus, "small", digest, "", 0, wait_us, &err), ERR_LIMIT);
    assert_int_equal(small_object_put(bus, "small", "sha256:../x", "x", 1, wait_us, &err),
                     ERR_INVALID);
    assert_int_equal(small_object_get(bus, "small", "md5:aa", wait_us, &data, &bytes, &err),
                     ERR_INVALID);
    assert_true(small_object_put(bus, "nowhere", digest, "x", 1, wait_us, &err) < 0);
    assert_true(small_object_get(bus, "nowhere", digest, wait_us, &data, &bytes, &err) < 0);
}

static void test_objects(void **state)
{
    (void)state;
    must(object_bucket_ensure(bus, "arts", &err));
    must(object_bucket_ensure(bus, "arts", &err));
    put_and_get("empty", 0);
    put_and_get("one byte", 1);
    put_and_get("a chunk", OBJECT_CHUNK_BYTES);
    put_and_get("a b/c?:latest", (size_t)5 * 1024 * 1024 + 17);
    assert_int_equal(messages_in("OBJ_arts"), 4 + 1 + 1 + 41);
    /* Replaced by less: the record and the chunks of the old one are gone. */
    put_and_get("a b/c?:latest", (size_t)3 * OBJECT_CHUNK_BYTES);
    assert_int_equal(messages_in("OBJ_arts"), 4 + 1 + 1 + 3);
    must(object_delete(bus, "arts", "a b/c?:latest", &err));
    assert_int_equal(messages_in("OBJ_arts"), 4 + 1 + 1);
    struct object_info info;
    assert_int_equal(object_stat(bus, "arts", "a b/c?:latest", &info, &err), ERR_NOT_FOUND);
    assert_int_equal(object_delete(bus, "arts", "a b/c?:latest", &err), ERR_NOT_FOUND);
    put_and_get("a b/c?:latest", 10);
}

/* Two objects whose chunks lie between each other in the stream come back whole. */
static void test_interleaved(void **state)
{
    (void)state;
    char path[700], put[LIMIT_DIGEST_BYTES], got[LIMIT_DIGEST_BYTES];
    must(object_bucket_ensure(bus, "mixed", &err));
    make_file("mixed", (size_t)40 * OBJECT_CHUNK_BYTES, path, sizeof(path));
    must(object_put_file(bus, "mixed", "a", path, put, &err));
    /* The same record over chunks that have others between them: copies of a's chunks under a new
     * nuid, each followed by a foreign one. */
    char subject[LIMIT_SUBJECT_BYTES], *data = NULL;
    FILE *file = fopen(path, "r");
    static char chunk[OBJECT_CHUNK_BYTES];
    for (int i = 0; i < 40; i++) {
        assert_int_equal(fread(chunk, 1, sizeof(chunk), file), sizeof(chunk));
        for (int copy = 0; copy < (i % 3 == 0 ? 5 : 2); copy++) {
            snprintf(subject, sizeof(subject), "$O.mixed.C.%s", copy == 0 ? "mine" : "foreign");
            must(bus_call(bus, subject, chunk, sizeof(chunk), 5 * US_PER_S, &data, NULL, &err));
            free(data);
        }
    }
    fclose(file);
    char record[512], digest[LIMIT_DIGEST_BYTES];
    must(bus_call(bus, "$JS.API.DIRECT.GET.OBJ_mixed.$O.mixed.M.YQ==", NULL, 0, 5 * US_PER_S, &data,
                  NULL, &err));
    const char *at = strstr(data, "SHA-256=");
    assert_non_null(at);
    snprintf(digest, sizeof(digest), "%.52s", at);
    free(data);
    snprintf(record, sizeof(record),
             "{\"name\":\"b\",\"bucket\":\"mixed\",\"nuid\":\"mine\",\"size\":%d,\"chunks\":40,"
             "\"digest\":\"%s\"}",
             40 * OBJECT_CHUNK_BYTES, digest);
    must(bus_call(bus, "$O.mixed.M.Yg==", record, strlen(record), 5 * US_PER_S, &data, NULL, &err));
    free(data);
    int fd = open_target("target");
    must(object_get_fd(bus, "mixed", "b", fd, 40 * OBJECT_CHUNK_BYTES, got, &err));
    assert_string_equal(got, put);
    close(fd);
}

static void test_objects_that_are_not(void **state)
{
    (void)state;
    char path[700];
    struct object_info info;
    make_file("source", 1000, path, sizeof(path));
    assert_int_equal(object_put_file(bus, "nowhere", "x", path, NULL, &err), ERR_UNAVAILABLE);
    assert_int_equal(object_put_file(bus, "bad.name", "x", path, NULL, &err), ERR_INVALID);
    must(object_bucket_ensure(bus, "few", &err));
    assert_int_equal(object_put_file(bus, "few", "x", "/does/not/exist", NULL, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(object_put_file(bus, "few", "x", server.folder, NULL, &err), ERR_INVALID);
    assert_int_equal(object_put_file(bus, "few", "", path, NULL, &err), ERR_INVALID);
    assert_int_equal(object_stat(bus, "few", "x", &info, &err), ERR_NOT_FOUND);
    must(object_put_file(bus, "few", "x", path, NULL, &err));
    int fd = open_target("target");
    assert_int_equal(object_get_fd(bus, "few", "x", fd, 999, NULL, &err), ERR_LIMIT);
    assert_int_equal(object_get_fd(bus, "few", "y", fd, 999, NULL, &err), ERR_NOT_FOUND);
    close(fd);
}

/* Records that lie, as another writer of the store may leave them. */
static void test_damage(void **state)
{
    (void)state;
    char *data = NULL;
    must(object_bucket_ensure(bus, "bad", &err));
    must(bus_call(bus, "$O.bad.C.chunk", "abc", 3, 5 * US_PER_S, &data, NULL, &err));
    free(data);
    static const struct {
        const char *record;
        int code;
    } records[] = {
        {"{\"nuid\":\"chunk\",\"size\":3,\"chunks\":1,\"digest\":\"SHA-256="
         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}",
         ERR_CORRUPT},
        {"{\"nuid\":\"chunk\",\"size\":2,\"chunks\":1,\"digest\":\"\"}", ERR_CORRUPT},
        {"{\"nuid\":\"chunk\",\"size\":4,\"chunks\":1,\"digest\":\"\"}", ERR_CORRUPT},
        {"{\"nuid\":\"chunk\",\"size\":6,\"chunks\":2,\"digest\":\"\"}", ERR_STALE},
        {"{\"nuid\":\"gone\",\"size\":3,\"chunks\":1,\"digest\":\"\"}", ERR_STALE},
        {"{\"nuid\":\">\",\"size\":3,\"chunks\":1,\"digest\":\"\"}", ERR_CORRUPT},
        {"{\"nuid\":\"chunk\",\"size\":-3,\"chunks\":1,\"digest\":\"\"}", ERR_CORRUPT},
        {"{\"size\":3}", ERR_CORRUPT},
        {"not json", ERR_CORRUPT},
        {"{\"nuid\":\"chunk\",\"size\":3,\"chunks\":1,\"options\":{\"link\":{\"bucket\":\"x\"}}}",
         ERR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        must(bus_call(bus, "$O.bad.M.eA==", records[i].record, strlen(records[i].record),
                      5 * US_PER_S, &data, NULL, &err));
        free(data);
        int fd = open_target("target");
        int rc = object_get_fd(bus, "bad", "x", fd, 1000, NULL, &err);
        if (rc != records[i].code)
            fail_msg("%s: %s, %s", records[i].record, error_name(rc), err.text);
        close(fd);
    }
}

static void test_streams(void **state)
{
    (void)state;
    must(stream_ensure(bus, "ev", "ev.>,other", 3600 * US_PER_S, 1 << 20, &err));
    must(stream_ensure(bus, "ev", "ev.>,other", 3600 * US_PER_S, 1 << 20, &err));
    assert_int_equal(stream_ensure(bus, "ev", "ev.>", 3600 * US_PER_S, 1 << 20, &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "subjects"));
    assert_int_equal(stream_ensure(bus, "ev", "ev.>,other", 60 * US_PER_S, 1 << 20, &err),
                     ERR_EXISTS);
    assert_non_null(strstr(err.text, "max_age"));
}

struct read_back {
    int count;
    int wrong;
    int step;
    int next;
};

static void check_order(void *context, const struct bus_message *message)
{
    struct read_back *back = context;
    char wanted[32], subject[64];
    snprintf(wanted, sizeof(wanted), "m%d", back->next);
    snprintf(subject, sizeof(subject), "num.%s.%d", back->next % 3 == 0 ? "three" : "no",
             back->next);
    if (!str_equal(wanted, message->data) || !str_equal(subject, message->subject))
        back->wrong++;
    back->next += back->step;
    back->count++;
}

static void test_stream_read(void **state)
{
    (void)state;
    uint64_t last = 0;
    must(stream_ensure(bus, "num", "num.>", 0, 0, &err));
    struct read_back none = {0};
    assert_int_equal(
        stream_read(bus, "num", NULL, 1, 10, 5 * US_PER_S, check_order, &none, &last, &err), 0);
    for (int i = 1; i <= 100; i++) {
        char subject[64], body[32], *data = NULL;
        snprintf(subject, sizeof(subject), "num.%s.%d", i % 3 == 0 ? "three" : "no", i);
        snprintf(body, sizeof(body), "m%d", i);
        must(bus_call(bus, subject, body, strlen(body), 5 * US_PER_S, &data, NULL, &err));
        free(data);
    }
    struct read_back all = {.step = 1, .next = 1};
    assert_int_equal(
        stream_read(bus, "num", NULL, 1, 1000, 5 * US_PER_S, check_order, &all, &last, &err), 100);
    assert_int_equal(all.wrong, 0);
    assert_int_equal(last, 100);
    struct read_back threes = {.step = 3, .next = 51};
    assert_int_equal(stream_read(bus, "num", "num.three.*", 50, 1000, 5 * US_PER_S, check_order,
                                 &threes, &last, &err),
                     17);
    assert_int_equal(threes.wrong, 0);
    assert_int_equal(last, 99);
    struct read_back few = {.step = 1, .next = 10};
    assert_int_equal(
        stream_read(bus, "num", NULL, 10, 21, 5 * US_PER_S, check_order, &few, &last, &err), 21);
    assert_int_equal(few.wrong, 0);
    assert_int_equal(last, 30);
    assert_int_equal(
        stream_read(bus, "none", NULL, 1, 21, 5 * US_PER_S, check_order, &few, &last, &err),
        ERR_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects),     cmocka_unit_test(test_small_objects),
        cmocka_unit_test(test_interleaved), cmocka_unit_test(test_objects_that_are_not),
        cmocka_unit_test(test_damage),      cmocka_unit_test(test_streams),
        cmocka_unit_test(test_stream_read),
    };
    return cmocka_run_group_tests_name("jetstream", tests, setup, teardown);
}
