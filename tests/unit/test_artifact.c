/* Fetching into the store, what the store keeps, what a shim is told, the agent's options. */
#include <fcntl.h>
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

#include "base/keys/keys.h"
#include "base/str.h"
#include "executors/drivers/process/endpoint.h"
#include "executors/drivers/process/start.h"
#include "executors/node/fetch.h"
#include "executors/node/options.h"
#include "executors/node/store.h"

static char folder[64];
static struct store store;

static int setup(void **state)
{
    (void)state;
    struct error err;
    str_format(folder, sizeof(folder), "artifact-XXXXXX");
    if (mkdtemp(folder) == NULL || keys_init(&err) < 0)
        return -1;
    return store_open(folder, &store, &err);
}

static int teardown(void **state)
{
    (void)state;
    char command[96];
    store_close(&store);
    str_format(command, sizeof(command), "rm -r '%s'", folder);
    return system(command);
}

static void write_script(const char *text, char path[LIMIT_PATH_BYTES])
{
    str_format(path, LIMIT_PATH_BYTES, "%s/script", store.path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int count_artifacts(void)
{
    char command[LIMIT_PATH_BYTES + 64];
    char text[16] = "";
    str_format(command, sizeof(command), "ls '%s/artifacts' | wc -l", store.path);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(text, sizeof(text), pipe));
    assert_int_equal(pclose(pipe), 0);
    return (int)strtol(text, NULL, 10);
}

static void test_fetch_file(void **state)
{
    (void)state;
    struct error err;
    static struct node_options options;
    struct stat status;
    char path[LIMIT_PATH_BYTES];
    char target[LIMIT_PATH_BYTES];
    char artifact[LIMIT_PATH_BYTES + 8];
    char digest[LIMIT_DIGEST_BYTES];
    write_script("#!/bin/sh\nexit 0\n", path);
    str_format(artifact, sizeof(artifact), "file:%s", path);
    assert_int_equal(digest_file(path, digest, &err), 0);
    assert_int_equal(store_artifact_path(&store, digest, target, &err), 0);
    assert_int_equal(fetch_artifact(&options, artifact, digest, target, &err), 0);
    assert_int_equal(stat(target, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0555);
    assert_int_equal(count_artifacts(), 1);
    /* What is wrong leaves nothing behind. */
    write_script("#!/bin/sh\nexit 1\n", path);
    assert_int_equal(fetch_artifact(&options, artifact, digest, target, &err), ERR_CORRUPT);
    write_script("text\n", path);
    assert_int_equal(digest_file(path, digest, &err), 0);
    assert_int_equal(fetch_artifact(&options, artifact, digest, target, &err), ERR_INVALID);
    assert_int_equal(fetch_artifact(&options, "file:/nowhere", digest, target, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(fetch_artifact(&options, "file:/", digest, target, &err), ERR_INVALID);
    assert_int_equal(fetch_artifact(&options, "http://x/y", digest, target, &err), ERR_UNSUPPORTED);
    assert_int_equal(fetch_artifact(&options, "object:bucket", digest, target, &err), ERR_INVALID);
    assert_int_equal(count_artifacts(), 1);
    assert_int_equal(store_artifact_path(&store, "sha256:../../etc/passwd", target, &err),
                     ERR_INVALID);
}

static void test_store(void **state)
{
    (void)state;
    struct error err;
    struct store second;
    struct arena arena;
    struct node_record record = {.instance = "i1", .epoch = {2, 9}, .state = INSTANCE_HELD};
    struct node_record *records;
    int count;
    str_format(record.spec.workload, sizeof(record.spec.workload), "front");
    assert_int_equal(store_open(folder, &second, &err), ERR_LOCKED);
    assert_int_equal(store_save(&store, &record, &err), 0);
    int fd = store_instance_fd(&store, "i1", &err);
    assert_true(fd >= 0);
    assert_int_equal(mkdirat(fd, "below", 0700), 0);
    assert_int_equal(symlinkat("/etc", fd, "below/link"), 0);
    (void)close(fd);
    FILE *damaged = fopen("artifact-damaged", "w"); /* moved in below: half a record */
    assert_non_null(damaged);
    assert_true(fputs("{\"v\":1,", damaged) >= 0);
    (void)fclose(damaged);
    assert_int_equal(renameat(AT_FDCWD, "artifact-damaged", store.records_fd, "i2.json"), 0);
    store_close(&store);
    assert_int_equal(store_open(folder, &store, &err), 0);
    arena_init(&arena, 4 << 20);
    assert_int_equal(store_load(&store, &arena, &records, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_int_equal(records[0].state, INSTANCE_HELD);
    assert_int_equal(records[0].epoch.n, 9);
    assert_string_equal(records[0].spec.workload, "front");
    assert_int_equal(faccessat(store.records_fd, "i2.json.damaged", F_OK, 0), 0);
    arena_reset(&arena);
    assert_int_equal(store_erase(&store, "i1", (struct epoch){2, 9}, &err), 0);
    assert_int_equal(store_erase(&store, "i1", (struct epoch){2, 9}, &err), 0);
    assert_int_equal(faccessat(store.instances_fd, "i1", F_OK, 0), -1);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
    store_close(&store);
    assert_int_equal(store_open(folder, &store, &err), 0);
    assert_int_equal(store.epoch.n, 9); /* outlives the record */
    assert_int_equal(store_load(&store, &arena, &records, &count, &err), 0);
    assert_int_equal(count, 0);
    arena_done(&arena);
}

static void test_start_file(void **state)
{
    (void)state;
    struct error err;
    struct start back;
    static struct start start = {.instance = "i1",
                                 .name = "front",
                                 .artifact = "/a=b",
                                 .limits = {.mcpu = 250, .memory_bytes = 1 << 20},
                                 .life = 77,
                                 .arg_count = 2,
                                 .env_count = 1,
                                 .args = {"--x=1", ""},
                                 .env = {"A=b=c\nd"}};
    assert_int_equal(start_write(store.fd, &start, &err), 0);
    assert_int_equal(start_read(store.fd, &back, &err), 0);
    assert_string_equal(back.artifact, "/a=b");
    assert_int_equal(back.limits.mcpu, 250);
    assert_int_equal(back.life, 77);
    assert_int_equal(back.arg_count, 2);
    assert_string_equal(back.args[1], "");
    assert_string_equal(back.env[0], "A=b=c\nd");
    start_done(&back);
    assert_int_equal(start_file_replace(store.fd, START_FILE, "junk", 5, 0600, &err), 0);
    assert_int_equal(start_read(store.fd, &back, &err), ERR_CORRUPT);
    int exit_code;
    int64_t life;
    assert_int_equal(start_exit_read(store.fd, &exit_code, &life, &err), ERR_NOT_FOUND);
    assert_int_equal(start_exit_write(store.fd, 137, 77, &err), 0);
    assert_int_equal(start_exit_read(store.fd, &exit_code, &life, &err), 0);
    assert_int_equal(exit_code, 137);
    assert_int_equal(life, 77);
    assert_int_equal(start_file_replace(store.fd, START_EXIT, "1", 1, 0600, &err), 0);
    assert_int_equal(start_exit_read(store.fd, &exit_code, &life, &err), ERR_CORRUPT);
}

static int parse(const char *const *extra, struct node_options *ret_options, struct error *err)
{
    const char *argv[24] = {"berth-node", "--name",  "n1",      "--site", "edge/nyc",
                            "--url",      "nats://", "--state", "s"};
    int count = 9;
    for (int i = 0; extra[i] != NULL; i++)
        argv[count++] = extra[i];
    return node_options_parse(count, (char **)(uintptr_t)argv, ret_options, err);
}

static void test_options(void **state)
{
    (void)state;
    static struct node_options options;
    struct error err;
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/node.conf", store.path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("# a node\nmcpu = 3000\ntag = gpu=none\nmemory = 2GiB\n", file) >= 0);
    (void)fclose(file);
    const char *fine[] = {"--mcpu", "1500", "--config", path, "--tag", "a=b", NULL};
    assert_int_equal(parse(fine, &options, &err), 0);
    assert_int_equal(options.mcpu, 1500); /* the command line wins */
    assert_int_equal(options.memory_bytes, INT64_C(2) << 30);
    assert_int_equal(options.tag_count, 2);
    assert_string_equal(options.inbox, "_INBOX.n.n1");
    const char *const wrong[][3] = {{"--mcpu", "many", NULL},      {"--tag", "novalue", NULL},
                                    {"--memory", "2Gi B", NULL},   {"--colour", "red", NULL},
                                    {"--name", "N_1", NULL},       {"stray", NULL, NULL},
                                    {"--site", NULL, NULL},        {"--log-files", "0", NULL},
                                    {"--scheduler-key", "k", NULL}}; /* without a seed */
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_true(parse(wrong[i], &options, &err) < 0);
}

static void test_endpoint(void **state)
{
    (void)state;
    struct endpoint endpoint;
    struct error err;
    assert_int_equal(endpoint_parse("127.0.0.1:80", &endpoint, &err), 0);
    assert_int_equal(endpoint_parse("[::1]:8080", &endpoint, &err), 0);
    assert_int_equal(endpoint_parse("localhost:1", &endpoint, &err), 0);
    assert_int_equal(endpoint_parse("example.org:80", &endpoint, &err), ERR_INVALID);
    assert_int_equal(endpoint_parse("127.0.0.1:0", &endpoint, &err), ERR_INVALID);
    assert_int_equal(endpoint_parse("127.0.0.1", &endpoint, &err), ERR_INVALID);
    assert_int_equal(endpoint_parse_http("http://127.0.0.1:8080/a?b", &endpoint, &err), 0);
    assert_string_equal(endpoint.path, "/a?b");
    assert_int_equal(endpoint_parse_http("http://127.0.0.1", &endpoint, &err), 0);
    assert_string_equal(endpoint.host, "127.0.0.1:80");
    assert_int_equal(endpoint_parse_http("http://127.0.0.1/a\r\nX: y", &endpoint, &err),
                     ERR_INVALID);
    assert_int_equal(endpoint_parse_http("https://127.0.0.1/", &endpoint, &err), ERR_INVALID);
    assert_int_equal(endpoint_http_status("HTTP/1.1 204 No", 15), 204);
    assert_int_equal(endpoint_http_status("HTTP/1.1 2x4 No", 15), -1);
    assert_int_equal(endpoint_http_status("SSH-2.0-OpenSSH", 15), -1);
    assert_int_equal(endpoint_http_status("HTTP/1.1", 8), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fetch_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store, setup, teardown),
        cmocka_unit_test_setup_teardown(test_start_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options, setup, teardown),
        cmocka_unit_test(test_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
