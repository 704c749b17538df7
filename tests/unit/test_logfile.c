/* Output on disk: rotated by size, never more than its bound; and bytes cut into lines. */
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

#include "base/str.h"
#include "executors/drivers/process/lines.h"
#include "executors/drivers/process/logfile.h"

static char folder[64];

static int setup(void **state)
{
    (void)state;
    str_format(folder, sizeof(folder), "logfile-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const names[] = {"out", "out.1", "out.2", "out.3"};
    char path[128];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        str_format(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

static int64_t size_of(const char *name)
{
    char path[128];
    struct stat status;
    str_format(path, sizeof(path), "%s/%s", folder, name);
    return stat(path, &status) < 0 ? -1 : status.st_size;
}

static void write_log(int files, int count)
{
    struct logfile log;
    struct error err;
    char path[128];
    char block[100];
    str_format(path, sizeof(path), "%s/out", folder);
    assert_int_equal(logfile_open(&log, path, 250, files, &err), 0);
    for (int i = 0; i < count; i++) {
        memset(block, '0' + i % 10, sizeof(block));
        logfile_write(&log, block, sizeof(block));
    }
    assert_int_equal(log.lost_bytes, 0);
    logfile_close(&log);
    logfile_close(&log);
}

static void test_rotation(void **state)
{
    (void)state;
    write_log(3, 9); /* two blocks fit into a file */
    assert_int_equal(size_of("out"), 100);
    assert_int_equal(size_of("out.1"), 200);
    assert_int_equal(size_of("out.2"), 200);
    assert_int_equal(size_of("out.3"), -1);
    /* The next life goes on where this one ended. */
    write_log(3, 1);
    assert_int_equal(size_of("out"), 200);
    char text[8] = "";
    char path[128];
    str_format(path, sizeof(path), "%s/out.2", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, 1, file), 1);
    (void)fclose(file);
    assert_string_equal(text, "4"); /* blocks 4 and 5: the newest five or six are kept, in order */
}

static void test_one_file(void **state)
{
    (void)state;
    write_log(1, 9);
    assert_true(size_of("out") <= 250);
    assert_int_equal(size_of("out.1"), -1);
}

struct taken {
    int count;
    int ends;
    char last[64];
};

static void take(void *context, const char *text, size_t bytes, bool end)
{
    struct taken *taken = context;
    taken->count++;
    taken->ends += end ? 1 : 0;
    assert_true(bytes < sizeof(taken->last));
    memcpy(taken->last, text, bytes);
    taken->last[bytes] = 0;
}

static void add(struct lines *lines, const char *text, struct taken *taken)
{
    size_t room;
    size_t bytes = strlen(text);
    char *at = lines_room(lines, &room);
    assert_true(bytes <= room);
    memcpy(at, text, bytes);
    lines_take(lines, bytes, take, taken);
}

static void test_lines(void **state)
{
    (void)state;
    char buffer[8];
    struct lines lines;
    struct taken taken = {0};
    lines_init(&lines, buffer, sizeof(buffer));
    add(&lines, "ab", &taken);
    assert_int_equal(taken.count, 0);
    add(&lines, "c\nde\nf", &taken);
    assert_int_equal(taken.count, 2);
    assert_string_equal(taken.last, "de");
    add(&lines, "ghijklm", &taken); /* fills the buffer: a piece, not yet its end */
    assert_int_equal(taken.count, 3);
    assert_int_equal(taken.ends, 2);
    assert_string_equal(taken.last, "fghijklm");
    add(&lines, "n\n", &taken);
    assert_string_equal(taken.last, "n");
    assert_int_equal(taken.ends, 3);
    add(&lines, "end", &taken);
    lines_finish(&lines, take, &taken);
    assert_string_equal(taken.last, "end");
    lines_finish(&lines, take, &taken);
    assert_int_equal(taken.count, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_file, setup, teardown),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
