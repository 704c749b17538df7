/* The record file: what was saved last is read, whatever of a later save reached the disk. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "executors/node/record_file.h"

#define NAME "r.json"

static char folder[256];
static int folder_fd;

static int setup(void **state)
{
    (void)state;
    str_format(folder, sizeof(folder), "%s/record-XXXXXX", BERTH_BINARY_DIR);
    assert_non_null(mkdtemp(folder));
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder_fd >= 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlinkat(folder_fd, NAME, 0);
    (void)close(folder_fd);
    return rmdir(folder);
}

static void save(const char *text)
{
    struct error err;
    assert_int_equal(record_file_save(folder_fd, NAME, text, strlen(text), &err), 0);
}

static void expect(const char *text)
{
    struct error err;
    char *got = NULL;
    size_t bytes = 0;
    assert_int_equal(record_file_load(folder_fd, NAME, &got, &bytes, &err), 0);
    assert_int_equal(bytes, strlen(text));
    assert_string_equal(got, text);
    free(got);
}

static size_t file_read(char *out, size_t capacity)
{
    int fd = openat(folder_fd, NAME, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, out, capacity);
    assert_true(fd >= 0 && got >= 0 && got < (ssize_t)capacity);
    close(fd);
    return (size_t)got;
}

static void file_write(const char *data, size_t bytes)
{
    int fd = openat(folder_fd, NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
    close(fd);
}

static void test_last_one_is_read(void **state)
{
    (void)state;
    struct error err;
    char *text;
    size_t bytes;
    struct stat made, now;
    assert_int_equal(record_file_load(folder_fd, NAME, &text, &bytes, &err), ERR_NOT_FOUND);
    save("{\"a\":1}");
    expect("{\"a\":1}");
    assert_int_equal(fstatat(folder_fd, NAME, &made, 0), 0);
    for (int i = 0; i < 9; i++) {
        char next[64];
        str_format(next, sizeof(next), "{\"a\":%.*s}", i, "123456789");
        save(next);
        expect(next);
    }
    assert_int_equal(fstatat(folder_fd, NAME, &now, 0), 0);
    assert_int_equal(now.st_ino, made.st_ino); /* no save but the first made a file */
    assert_int_equal(now.st_size, made.st_size);
    save("");
    expect("");
}

/* A crash leaves any part of a save's bytes; and sectors may be written in any order. */
static void test_save_that_was_cut_short(void **state)
{
    (void)state;
    static char before[65536], after[65536], mixed[65536];
    for (int round = 0; round < 2; round++) { /* into either slot */
        save("the one before, that was synced");
        size_t bytes = file_read(before, sizeof(before));
        save("the next one, of which not all was written");
        assert_int_equal(file_read(after, sizeof(after)), bytes);
        int differing = 0;
        for (size_t cut = 0; cut <= bytes; cut++) {
            if (cut > 0 && before[cut - 1] == after[cut - 1])
                continue;
            differing++;
            memcpy(mixed, after, cut);
            memcpy(mixed + cut, before + cut, bytes - cut);
            file_write(mixed, bytes);
            expect(memcmp(mixed, after, bytes) == 0 ? "the next one, of which not all was written"
                                                    : "the one before, that was synced");
            memcpy(mixed, before, cut);
            memcpy(mixed + cut, after + cut, bytes - cut);
            file_write(mixed, bytes);
            expect(memcmp(mixed, after, bytes) == 0 ? "the next one, of which not all was written"
                                                    : "the one before, that was synced");
        }
        assert_true(differing > 20); /* the number, the sum, most of the text */
        /* And one goes on from there. */
        memcpy(mixed, after, bytes);
        for (size_t i = 0; i < bytes; i++)
            if (before[i] != after[i]) {
                mixed[i] = (char)(after[i] ^ 1);
                break;
            }
        file_write(mixed, bytes);
        save("after the crash");
        expect("after the crash");
    }
}

static void test_grows(void **state)
{
    (void)state;
    struct error err;
    char *text = NULL;
    size_t bytes;
    static char longer[40000];
    save("short");
    for (size_t length = 5000; length < sizeof(longer); length += 5000) {
        memset(longer, 'x', length);
        longer[length] = 0;
        save(longer);
        expect(longer);
        save("short again");
        expect("short again");
    }
    char *most = calloc(1, RECORD_FILE_TEXT_MAX + 2);
    assert_non_null(most);
    memset(most, 'y', RECORD_FILE_TEXT_MAX);
    save(most);
    expect(most);
    most[RECORD_FILE_TEXT_MAX] = 'y';
    assert_int_equal(record_file_save(folder_fd, NAME, most, strlen(most), &err), ERR_LIMIT);
    assert_int_equal(record_file_load(folder_fd, NAME, &text, &bytes, &err), 0);
    assert_int_equal(bytes, RECORD_FILE_TEXT_MAX);
    free(text);
    free(most);
}

/* As versions before wrote it; and what nobody wrote. */
static void test_others(void **state)
{
    (void)state;
    struct error err;
    char *text = NULL;
    size_t bytes;
    const char *old = "{\"v\":1,\"instance\":\"i1\"}";
    file_write(old, strlen(old));
    expect(old);
    save("{\"v\":2}");
    expect("{\"v\":2}");
    save("{\"v\":3}");
    expect("{\"v\":3}");
    static const char *const wrong[] = {"",
                                        "x",
                                        "berth-record 1 1 0 0000000000000000\n",
                                        "berth-record 1 18446744073709551615 99999999999 0\n",
                                        "berth-record 1 -1 -1 -1\n",
                                        "berth-record 1 1 1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        file_write(wrong[i], strlen(wrong[i]));
        assert_int_equal(record_file_load(folder_fd, NAME, &text, &bytes, &err), ERR_CORRUPT);
        save("{\"v\":4}");
        expect("{\"v\":4}");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_last_one_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_save_that_was_cut_short, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
