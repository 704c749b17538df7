/* The agent's state folder: what an agent that died between two writes leaves, the next one mends.
 */
#include <fcntl.h>
#include <ftw.h>
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
#include "executors/node/store.h"

static char folder[256];
static struct store store;

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int setup(void **state)
{
    struct error err;
    (void)state;
    str_format(folder, sizeof(folder), "%s/store-XXXXXX", BERTH_BINARY_DIR);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(store_open(folder, &store, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(&store);
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void record(const char *instance, int want, const char *workload)
{
    static struct node_record record;
    struct error err;
    memset(&record, 0, sizeof(record));
    str_format(record.instance, sizeof(record.instance), "%s", instance);
    str_format(record.spec.workload, sizeof(record.spec.workload), "%s", workload);
    record.want = want;
    assert_int_equal(store_save(&store, &record, &err), 0);
}

static void fill(const char *instance)
{
    char path[LIMIT_PATH_BYTES + 8];
    struct error err;
    int fd = store_instance_fd(&store, instance, &err);
    assert_true(fd >= 0);
    int file = openat(fd, "output", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(mkdirat(fd, "work", 0700), 0);
    (void)close(file);
    (void)close(fd);
    store_instance_path(&store, instance, path);
    assert_int_equal(access(path, F_OK), 0);
}

static bool is_there(const char *instance)
{
    char path[LIMIT_PATH_BYTES];
    store_instance_path(&store, instance, path);
    return access(path, F_OK) == 0;
}

static int load_and_sweep(void)
{
    struct arena arena;
    struct node_record *records;
    struct error err;
    int count;
    arena_init(&arena, (size_t)64 << 20);
    assert_int_equal(store_load(&store, &arena, &records, &count, &err), 0);
    assert_int_equal(store_sweep(&store, records, count, &err), 0);
    arena_done(&arena);
    return count;
}

/* FORGET writes the tombstone, then removes the folder; STOP of one that was never started removes
 * the record, then the folder. */
static void test_folders_without_a_record_go(void **state)
{
    (void)state;
    record("wanted", NODE_WANT_SERVE, "web");
    fill("wanted");
    record("stopped", NODE_WANT_GONE, "web"); /* its output is still to be read */
    fill("stopped");
    record("tombstone", NODE_WANT_GONE, "");
    fill("tombstone");
    fill("alone");
    assert_int_equal(load_and_sweep(), 3);
    assert_true(is_there("wanted"));
    assert_true(is_there("stopped"));
    assert_false(is_there("tombstone"));
    assert_false(is_there("alone"));
    assert_int_equal(load_and_sweep(), 3); /* the tombstone itself stays */
}

/* Its shim may still run in there: whoever mends the record finds everything. */
static void test_folder_of_a_damaged_record_stays(void **state)
{
    (void)state;
    fill("damaged");
    int fd = openat(store.records_fd, "damaged.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{", 1), 1);
    (void)close(fd);
    assert_int_equal(load_and_sweep(), 0);
    assert_true(is_there("damaged"));
    assert_int_equal(load_and_sweep(), 0);
    assert_true(is_there("damaged"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_folders_without_a_record_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folder_of_a_damaged_record_stays, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
