/* What the command line does with files: the folder of `up`, documents, child processes. */
#include <fcntl.h>
#include <ftw.h>
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/cli/children.h"
#include "scheduler/cli/client.h"
#include "scheduler/cli/document.h"
#include "scheduler/cli/find_dir.h"
#include "scheduler/cli/show.h"

static char folder[512];

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "%s/cli-XXXXXX", BERTH_BINARY_DIR);
    unsetenv("BERTH_DIR");
    return mkdtemp(folder) == NULL ? -1 : chdir(folder);
}

static int remove_folder(void **state)
{
    (void)state;
    return chdir(BERTH_BINARY_DIR) < 0 ? -1 : nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_find(void **state)
{
    (void)state;
    char found[LIMIT_PATH_BYTES];
    char expected[LIMIT_PATH_BYTES];
    struct error err = {0};
    assert_int_equal(mkdir("deep", 0700), 0);
    assert_int_equal(mkdir("deep/er", 0700), 0);
    assert_int_equal(mkdir(".berth", 0700), 0);
    snprintf(expected, sizeof(expected), "%s/.berth", folder);
    assert_int_equal(folder_find(NULL, found, &err), 0);
    assert_string_equal(found, expected);
    assert_int_equal(chdir("deep/er"), 0);
    assert_int_equal(folder_find(NULL, found, &err), 0);
    assert_string_equal(found, expected);
    /* The nearest one counts, then $BERTH_DIR before it, then --dir before both. */
    assert_int_equal(mkdir("../.berth", 0700), 0);
    snprintf(expected, sizeof(expected), "%s/deep/.berth", folder);
    assert_int_equal(folder_find(NULL, found, &err), 0);
    assert_string_equal(found, expected);
    setenv("BERTH_DIR", folder, 1);
    assert_int_equal(folder_find(NULL, found, &err), 0);
    assert_string_equal(found, folder);
    assert_int_equal(folder_find("..", found, &err), 0);
    snprintf(expected, sizeof(expected), "%s/deep", folder);
    assert_string_equal(found, expected);
    assert_int_equal(folder_find("nowhere", found, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "berth up --dir nowhere"));
    setenv("BERTH_DIR", "/nowhere", 1);
    assert_int_equal(folder_find(NULL, found, &err), ERR_NOT_FOUND);
    unsetenv("BERTH_DIR");
    assert_int_equal(folder_place(NULL, found, &err), 0);
    snprintf(expected, sizeof(expected), "%s/deep/er/.berth", folder);
    assert_string_equal(found, expected);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(folder_find(NULL, found, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "berth up --world"));
}

static void test_lock(void **state)
{
    (void)state;
    struct error err = {0};
    int fd = -1;
    int second = -1;
    assert_int_equal(folder_holder(folder), 0);
    assert_int_equal(folder_lock(folder, &fd, &err), 0);
    assert_int_equal(folder_lock(folder, &second, &err), ERR_LOCKED);
    assert_non_null(strstr(err.text, "berth down"));
    assert_int_equal(second, -1);
    assert_int_equal(folder_holder(folder), getpid());
    close(fd);
    /* The file stays, the lock does not: also after a crash of its holder. */
    assert_int_equal(folder_holder(folder), 0);
    assert_int_equal(folder_lock(folder, &fd, &err), 0);
    close(fd);
}

static void test_folder_json(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *json = NULL;
    assert_int_equal(folder_read(folder, &json, &err), ERR_NOT_FOUND);
    CLEANUP(cleanup_json) json_t *mine = json_pack("{s:s}", "url", "nats://x");
    assert_int_equal(folder_write(folder, mine, &err), 0);
    assert_int_equal(folder_read(folder, &json, &err), 0);
    assert_string_equal(json_text(json, "url"), "nats://x");
    json_decref(json);
    struct stat status;
    assert_int_equal(stat("berth.json", &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    write_file("berth.json", "{\"url\":");
    assert_int_equal(folder_read(folder, &json, &err), ERR_CORRUPT);
    write_file("berth.json", "[]");
    assert_int_equal(folder_read(folder, &json, &err), ERR_CORRUPT);
    /* A client that finds no operator there says so, and connects to nobody. */
    write_file("berth.json", "{\"url\":\"nats://127.0.0.1:1\",\"users\":[]}");
    struct cli cli = {.common = {.dir = folder, .timeout_us = 1000000}};
    struct client *client = NULL;
    assert_int_equal(client_open(&cli, &client, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "names no operator"));
    assert_null(client);
}

static const char app[] = "app: t\nworkloads:\n  - name: w\n"
                          "    run: {driver: process, artifact: \"file:bin/w\"%s}\n"
                          "    resources: {cpu: 1, memory: 1MiB}\n";
#define DIGEST_OF_HELLO "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

static void test_document(void **state)
{
    (void)state;
    struct document document;
    struct error err = {0};
    char text[1024];
    assert_int_equal(mkdir("docs", 0700), 0);
    assert_int_equal(mkdir("docs/bin", 0700), 0);
    snprintf(text, sizeof(text), app, "");
    write_file("docs/app.yaml", text);
    assert_int_equal(document_read("docs/app.yaml", NULL, &document, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "docs/bin/w"));
    assert_non_null(strstr(err.text, "workload w"));
    write_file("docs/bin/w", "hello\n");
    assert_int_equal(document_read("docs/app.yaml", NULL, &document, &err), 0);
    assert_false(document.is_world);
    assert_string_equal(document.name, "t");
    assert_string_equal(document.namespace_, "default");
    snprintf(text, sizeof(text), "\"file:%s/docs/bin/w\"", folder);
    assert_non_null(strstr(strbuf_text(&document.text), text));
    assert_non_null(strstr(strbuf_text(&document.text), DIGEST_OF_HELLO));
    /* What is sent reads again, and gives itself: nothing is lost or computed twice. */
    write_file("docs/again.json", strbuf_text(&document.text));
    struct document again;
    assert_int_equal(document_read("docs/again.json", NULL, &again, &err), 0);
    assert_string_equal(strbuf_text(&again.text), strbuf_text(&document.text));
    document_done(&again);
    document_done(&document);
    snprintf(text, sizeof(text), app, ", digest: \"" DIGEST_OF_HELLO "\"");
    write_file("docs/app.yaml", text);
    assert_int_equal(document_read("docs/app.yaml", NULL, &document, &err), 0);
    document_done(&document);
    write_file("docs/bin/w", "hello!\n");
    assert_int_equal(document_read("docs/app.yaml", NULL, &document, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "built anew"));
}

static void test_wrong_documents(void **state)
{
    (void)state;
    struct document document;
    struct error err = {0};
    assert_int_equal(document_read("none.yaml", NULL, &document, &err), ERR_NOT_FOUND);
    write_file("a.yaml", "app: t\nworkload: []\n");
    assert_int_equal(document_read("a.yaml", NULL, &document, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "mistakes"));
    write_file("b.yaml", "app: [\n");
    assert_true(document_read("b.yaml", NULL, &document, &err) < 0);
    write_file("c.yaml", "");
    assert_true(document_read("c.yaml", NULL, &document, &err) < 0);
    write_file("w.yaml", "world: w\nsites: []\n");
    (void)!document_read("w.yaml", NULL, &document, &err);
}

struct told {
    int count;
    char text[512];
};

static void tell(void *context, const struct child *child, const char *text)
{
    (void)child;
    struct told *told = context;
    told->count++;
    snprintf(told->text, sizeof(told->text), "%s", text);
}

static void rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

static void test_children(void **state)
{
    (void)state;
    struct children children = {.count = 0};
    struct error err = {0};
    struct told told = {0};
    struct child *sleeper = children_add(&children, "sleeper", "sleeper.log");
    child_argument(sleeper, "/bin/sleep");
    child_argument(sleeper, "%d", 1000);
    assert_int_equal(child_start(sleeper, &err), 0);
    pid_t first = sleeper->pid;
    assert_true(first > 0);
    assert_int_equal(children_reap(&children, tell, &told), 0);
    /* A child that dies is told, waits, and runs again as another process. */
    assert_int_equal(kill(first, SIGKILL), 0);
    for (int i = 0; i < 2000 && children_reap(&children, tell, &told) == 0; i++)
        rest();
    assert_int_equal(told.count, 1);
    assert_non_null(strstr(told.text, "sleeper was killed by signal 9"));
    assert_int_equal(sleeper->pid, 0);
    assert_true(children_timeout_us(&children) >= 0);
    for (int i = 0; i < 2000 && sleeper->pid == 0; i++) {
        children_restart(&children, tell, &told);
        rest();
    }
    assert_true(sleeper->pid > 0);
    assert_int_equal(children_timeout_us(&children), -1);
    /* Each end in a row waits longer. */
    int64_t before_us = sleeper->retry.us;
    assert_int_equal(before_us, 0);
    pid_t second = sleeper->pid;
    children_done(&children);
    assert_int_equal(kill(second, 0), -1); /* reaped: nothing is left */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_child_that_cannot_start(void **state)
{
    (void)state;
    struct children children = {.count = 0};
    struct error err = {0};
    struct told told = {0};
    struct child *child = children_add(&children, "ghost", "ghost.log");
    child_argument(child, "/nowhere/at/all");
    assert_int_equal(child_start(child, &err), 0);
    int64_t waits_us[3] = {0};
    for (int k = 0; k < 3; k++) {
        for (int i = 0; i < 2000 && children_reap(&children, tell, &told) == 0; i++)
            rest();
        assert_int_equal(told.count, k + 1);
        waits_us[k] = child->retry.us - child->started.us;
        child->retry.us = 1; /* its time has come */
        struct told again = {0};
        children_restart(&children, tell, &again);
    }
    assert_non_null(strstr(told.text, "ghost ended with 126"));
    assert_true(waits_us[1] > waits_us[0] && waits_us[2] > waits_us[1]);
    children_done(&children);
    /* A program that ignores SIGTERM is killed when its time is over. */
    struct child *stubborn = children_add(&children, "stubborn", "stubborn.log");
    stubborn->stop_timeout_us = 300000;
    child_argument(stubborn, "/bin/sh");
    child_argument(stubborn, "-c");
    child_argument(stubborn, "trap '' TERM; echo here; while :; do sleep 0.05; done");
    assert_int_equal(child_start(stubborn, &err), 0);
    struct stat status = {0};
    for (int i = 0; i < 2000 && status.st_size == 0; i++) {
        rest();
        assert_int_equal(stat("stubborn.log", &status), 0);
    }
    children_stop(&children, 0);
    assert_true(WIFSIGNALED(stubborn->status));
    assert_int_equal(WTERMSIG(stubborn->status), SIGKILL);
    children_done(&children);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_lock, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_folder_json, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_document, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_wrong_documents, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_children, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_child_that_cannot_start, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
