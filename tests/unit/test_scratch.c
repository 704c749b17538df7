/*
 * A command's own folder: it goes with the command, and what a killed one left goes with the next;
 * one that somebody works in stays.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/cli/scratch.h"

static char above[] = "test-scratch-XXXXXX";

static void put_file(const struct scratch *scratch, const char *name)
{
    char path[LIMIT_PATH_BYTES + 32];
    str_format(path, sizeof(path), "%s/%s", scratch->folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
}

static bool is_there(const char *folder)
{
    return access(folder, F_OK) == 0;
}

static int count_folders(void)
{
    DIR *list = opendir(above);
    const struct dirent *entry;
    int count = 0;
    assert_non_null(list);
    while ((entry = readdir(list)) != NULL)
        count += entry->d_name[0] != '.';
    assert_int_equal(closedir(list), 0);
    return count;
}

/* Its process, which works in a folder of its own until it is killed. */
static pid_t begin(char ret_folder[LIMIT_PATH_BYTES])
{
    int ways[2];
    struct scratch scratch;
    assert_int_equal(pipe2(ways, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (scratch_open("test", &scratch, NULL) < 0)
            _exit(1);
        put_file(&scratch, "results.db");
        put_file(&scratch, "results.db-wal");
        ssize_t put = write(ways[1], scratch.folder, sizeof(scratch.folder));
        while (put > 0)
            (void)pause();
        _exit(1);
    }
    assert_int_equal(close(ways[1]), 0);
    assert_int_equal(read(ways[0], ret_folder, LIMIT_PATH_BYTES), LIMIT_PATH_BYTES);
    assert_int_equal(close(ways[0]), 0);
    return pid;
}

static void kill_it(pid_t pid)
{
    int status;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void it_goes_with_the_command(void **state)
{
    (void)state;
    struct scratch one;
    struct scratch other;
    struct scratch none = {0};
    assert_int_equal(scratch_open("test", &one, NULL), 0);
    assert_int_equal(scratch_open("test", &other, NULL), 0);
    put_file(&one, "results.db");
    assert_true(is_there(one.folder) && is_there(other.folder));
    scratch_close(&one);
    assert_int_equal(count_folders(), 1);
    scratch_close(&other);
    scratch_close(&other);
    scratch_close(&none);
    assert_int_equal(count_folders(), 0);
}

static void what_a_killed_one_left_goes_with_the_next(void **state)
{
    (void)state;
    char killed[LIMIT_PATH_BYTES];
    char alive[LIMIT_PATH_BYTES];
    char elsewhere[LIMIT_PATH_BYTES];
    struct scratch scratch;
    pid_t first = begin(killed);
    pid_t second = begin(alive);
    str_format(elsewhere, sizeof(elsewhere), "%s/berth-other-abcdef", above);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    assert_true(is_there(killed) && is_there(alive));
    kill_it(first);
    assert_true(is_there(killed));
    assert_int_equal(scratch_open("test", &scratch, NULL), 0);
    assert_false(is_there(killed));
    assert_true(is_there(alive));
    assert_true(is_there(elsewhere)); /* of another kind */
    scratch_close(&scratch);
    kill_it(second);
    assert_int_equal(scratch_open("test", &scratch, NULL), 0);
    assert_false(is_there(alive));
    scratch_close(&scratch);
    assert_int_equal(rmdir(elsewhere), 0);
}

static void no_folder_is_an_error_that_says_where(void **state)
{
    (void)state;
    struct scratch scratch;
    struct error err;
    assert_int_equal(setenv("TMPDIR", "nowhere-at-all", 1), 0);
    assert_int_equal(scratch_open("test", &scratch, &err), ERR_IO);
    assert_non_null(strstr(err.text, "nowhere-at-all"));
    assert_non_null(strstr(err.text, "TMPDIR"));
    assert_int_equal(setenv("TMPDIR", above, 1), 0);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(above) == NULL ? -1 : setenv("TMPDIR", above, 1);
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(above);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_with_the_command),
        cmocka_unit_test(what_a_killed_one_left_goes_with_the_next),
        cmocka_unit_test(no_folder_is_an_error_that_says_where),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
