/* Which kind of cgroups a machine has, from its mounts; and, where this one lets us, a real group.
 */
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
#include "executors/drivers/process/cgroup.h"

static char folder[64];

/* A tree of plain folders stands for the hierarchies: what is found and made is the same. */
static int setup(void **state)
{
    (void)state;
    str_format(folder, sizeof(folder), "cgroup-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[96];
    str_format(command, sizeof(command), "rm -r '%s'", folder);
    return system(command);
}

static void make(const char *name)
{
    char path[128];
    str_format(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void find(const char *mounts, struct cgroup_host *ret_host)
{
    char path[128];
    str_format(path, sizeof(path), "%s/mounts", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (const char *at = mounts; *at != 0; at++)
        (void)(*at == '@' ? fputs(folder, file) : fputc(*at, file));
    assert_int_equal(fclose(file), 0);
    cgroup_host_read(path, "berth", ret_host);
}

static void test_hybrid(void **state)
{
    (void)state;
    struct cgroup_host host;
    make("unified");
    make("both");
    make("memory");
    find("cgroup2 @/unified cgroup2 rw 0 0\n"
         "cgroup @/both cgroup rw,cpuacct,cpu 0 0\n"
         "cgroup @/memory cgroup rw,memory 0 0\n"
         "proc /proc proc rw 0 0\nhalf a line",
         &host);
    assert_int_equal(host.mode, CGROUP_HYBRID);
    assert_string_equal(host.mounts[CGROUP_CPU], host.mounts[CGROUP_CPUACCT]);
    assert_string_equal(host.mounts[CGROUP_PIDS], "");
    char path[128];
    str_format(path, sizeof(path), "%s/memory/berth", folder);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_v1_v2_none(void **state)
{
    (void)state;
    struct cgroup_host host;
    make("unified");
    make("pids");
    find("cgroup2 @/unified cgroup2 rw 0 0\n", &host);
    assert_int_equal(host.mode, CGROUP_V2);
    find("cgroup @/pids cgroup rw,pids 0 0\n", &host);
    assert_int_equal(host.mode, CGROUP_V1);
    find("cgroup @/absent cgroup rw,memory 0 0\n", &host);
    assert_int_equal(host.mode, CGROUP_NONE);
    find("tmpfs / tmpfs rw 0 0\n", &host);
    assert_int_equal(host.mode, CGROUP_NONE);
    cgroup_host_read("/nowhere/mounts", "berth", &host);
    assert_int_equal(host.mode, CGROUP_NONE);
    /* Nothing can be done without, and nothing fails for it. */
    struct error err;
    struct cgroup_limits limits = {.mcpu = 100};
    struct cgroup_usage usage;
    assert_int_equal(cgroup_create(&host, "berth/n/i", &limits, &err), 0);
    assert_int_equal(cgroup_join(&host, "berth/n/i", 0), 0);
    assert_true(cgroup_is_empty(&host, "berth/n/i"));
    assert_int_equal(cgroup_remove(&host, "berth/n/i", &err), 0);
    assert_int_equal(cgroup_read(&host, "berth/n/i", &usage), ERR_NOT_FOUND);
}

/* The real thing: a child in a session of its own, and a child of that, are killed as one. */
static void test_real_group(void **state)
{
    (void)state;
    struct cgroup_host host;
    struct cgroup_limits limits = {.mcpu = 500, .memory_bytes = 64 << 20, .pids_max = 20};
    struct error err = {0};
    char root[64];
    char path[128];
    str_format(root, sizeof(root), "berth-unit-%d", (int)getpid());
    str_format(path, sizeof(path), "%s/n1/i1", root);
    cgroup_host_find(root, &host);
    if (host.mode == CGROUP_NONE)
        skip();
    assert_int_equal(cgroup_create(&host, path, &limits, &err), 0);
    assert_int_equal(cgroup_create(&host, path, &limits, &err), 0); /* taken over */
    pid_t child = fork();
    if (child == 0) {
        if (cgroup_join(&host, path, 0) < 0)
            _exit(1);
        (void)setsid();
        (void)!fork();
        for (;;)
            (void)pause();
    }
    for (int i = 0; i < 5000 && cgroup_is_empty(&host, path); i++)
        (void)usleep(1000);
    assert_false(cgroup_is_empty(&host, path));
    assert_int_equal(cgroup_remove(&host, path, &err), ERR_IO);
    struct cgroup_usage usage;
    assert_int_equal(cgroup_read(&host, path, &usage), 0);
    for (int i = 0; i < 5000 && !cgroup_is_empty(&host, path); i++) {
        cgroup_kill(&host, path);
        (void)waitpid(child, NULL, WNOHANG);
        (void)usleep(1000);
    }
    assert_true(cgroup_is_empty(&host, path));
    assert_int_equal(cgroup_remove(&host, path, &err), 0);
    str_format(path, sizeof(path), "%s/n1", root);
    assert_int_equal(cgroup_remove(&host, path, &err), 0);
    assert_int_equal(cgroup_remove(&host, root, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hybrid, setup, teardown),
        cmocka_unit_test_setup_teardown(test_v1_v2_none, setup, teardown),
        cmocka_unit_test(test_real_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
