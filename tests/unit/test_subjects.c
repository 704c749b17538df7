/* The subject tree: what each function makes, and that no name can widen a subject. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/subjects.h"
#include "base/error.h"

static void test_tree(void **state)
{
    (void)state;
    char out[LIMIT_SUBJECT_BYTES];
    subject_ctl("apply", out);
    assert_string_equal(out, "berth.v1.ctl.apply");
    subject_node("n1", "cmd", out);
    assert_string_equal(out, "berth.v1.node.n1.cmd");
    subject_metrics("n1", out);
    assert_string_equal(out, "berth.v1.metrics.n1");
    subject_probe_metrics("p1", out);
    assert_string_equal(out, "berth.v1.probe.p1.metrics");
    subject_event("default", "shop", "web", out);
    assert_string_equal(out, "berth.v1.event.default.shop.web");
    subject_event("default", "", NULL, out);
    assert_string_equal(out, "berth.v1.event.default._._");
    subject_log("default", "shop", "web", 3, out);
    assert_string_equal(out, "berth.v1.log.default.shop.web.3");
    subject_at("default", "web", "i-1", out);
    assert_string_equal(out, "berth.v1.at.default.web.i-1");
    subject_inbox("n", "n1", out);
    assert_string_equal(out, "_INBOX.n.n1");
}

static void test_tokens(void **state)
{
    (void)state;
    char out[4];
    const char *subject = "a.bcd.ef";
    assert_int_equal(subject_token(subject, 0, out, sizeof(out)), 0);
    assert_string_equal(out, "a");
    assert_int_equal(subject_token(subject, 1, out, sizeof(out)), 0);
    assert_string_equal(out, "bcd");
    assert_int_equal(subject_token(subject, 2, out, sizeof(out)), 0);
    assert_string_equal(out, "ef");
    assert_int_equal(subject_token(subject, 3, out, sizeof(out)), ERR_NOT_FOUND);
    assert_int_equal(subject_token(subject, 1, out, 3), ERR_LIMIT);
    assert_int_equal(subject_token("", 0, out, sizeof(out)), ERR_NOT_FOUND);
    assert_int_equal(subject_token("a..b", 1, out, sizeof(out)), ERR_NOT_FOUND);
}

/* A bad name is a bug: the program stops rather than publish to a subject of somebody's choosing.
 */
static void test_bad_names(void **state)
{
    (void)state;
    char many[LIMIT_NAME_BYTES + 1];
    memset(many, 'a', sizeof(many));
    many[LIMIT_NAME_BYTES] = 0;
    const char *const bad[] = {"", "a.b", "*", ">", "a b", "a\nb", "\xc3\xa9", many};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            char out[LIMIT_SUBJECT_BYTES];
            (void)close(STDERR_FILENO);
            signal(SIGABRT, SIG_DFL);
            subject_node(bad[i], "cmd", out);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("'%s' was taken as a node's name", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_bad_names),
    };
    return cmocka_run_group_tests_name("subjects", tests, NULL, NULL);
}
