#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

static void set_returns_the_code_and_fills_the_text(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(error_set(&err, ERR_INVALID, 0, "price %d: below 0", -1), ERR_INVALID);
    assert_int_equal(err.code, ERR_INVALID);
    assert_int_equal(err.sys_errno, 0);
    assert_string_equal(err.text, "price -1: below 0");
    assert_int_equal(error_set(NULL, ERR_IO, ENOENT, "nobody asks"), ERR_IO);
}

static void an_errno_adds_its_sentence_even_to_a_long_text(void **state)
{
    (void)state;
    struct error err = {0};
    (void)error_set(&err, ERR_IO, ENOENT, "open 'x'");
    assert_string_equal(err.text, "open 'x': No such file or directory");
    assert_int_equal(err.sys_errno, ENOENT);
    char many[2000];
    memset(many, 'a', sizeof(many) - 1);
    many[sizeof(many) - 1] = '\0';
    (void)error_set(&err, ERR_IO, ENOSPC, "%s", many);
    assert_int_equal(strlen(err.text), ERROR_TEXT_BYTES - 1);
    assert_non_null(strstr(err.text, ": No space left on device"));
}

static void a_text_is_cut_between_characters(void **state)
{
    (void)state;
    /* Every alignment of a three-byte character against the end of the buffer. */
    for (size_t pad = 0; pad < 3; pad++) {
        char many[1200];
        size_t bytes = 0;
        for (; bytes < pad; bytes++) {
            many[bytes] = 'x';
        }
        for (; bytes + 3 < sizeof(many); bytes += 3) {
            memcpy(many + bytes, "\xe2\x82\xac", 3);
        }
        many[bytes] = '\0';
        struct error err = {0};
        (void)error_set(&err, ERR_INVALID, 0, "%s", many);
        size_t kept = strlen(err.text);
        assert_true(kept >= ERROR_TEXT_BYTES - 3 && kept < ERROR_TEXT_BYTES);
        assert_int_equal((kept - pad) % 3, 0);
    }
}

static void prefixes_stack_and_may_quote_the_text_itself(void **state)
{
    (void)state;
    struct error err = {0};
    (void)error_set(&err, ERR_STALE, 0, "revision 3");
    assert_int_equal(error_prefix(&err, "app \"%s\"", "web"), ERR_STALE);
    assert_int_equal(error_prefix(&err, "apply"), ERR_STALE);
    assert_string_equal(err.text, "apply: app \"web\": revision 3");
    assert_int_equal(error_set(&err, ERR_INVALID, 0, "then %s", err.text), ERR_INVALID);
    assert_string_equal(err.text, "then apply: app \"web\": revision 3");
    assert_true(error_prefix(NULL, "nobody") < 0);
}

static void names_go_both_ways(void **state)
{
    (void)state;
    static const int codes[] = {
#define CODE(name, number, text) ERR_##name,
        ERROR_MAP(CODE)
#undef CODE
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_true(codes[i] < 0);
        assert_int_equal(error_from_name(error_name(codes[i])), codes[i]);
        assert_string_not_equal(error_sentence(codes[i]), error_sentence(0));
    }
    assert_string_equal(error_name(ERR_NO_MEMORY), "NO_MEMORY");
    assert_string_equal(error_name(0), "UNKNOWN");
    assert_string_equal(error_name(-999), "UNKNOWN");
    assert_int_equal(error_from_name("invalid"), 0);
    assert_int_equal(error_from_name(NULL), 0);
}

/* Runs the failing assertion in a child and returns what it printed. */
static void assertion_report(char *out, size_t capacity)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        int limit = 3;
        BERTH_ASSERT(limit > 3, "the limit is %d", limit);
        _exit(0);
    }
    (void)close(ends[1]);
    size_t bytes = 0;
    ssize_t got;
    while ((got = read(ends[0], out + bytes, capacity - 1 - bytes)) > 0) {
        bytes += (size_t)got;
    }
    out[bytes] = '\0';
    (void)close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void a_bug_prints_its_place_and_aborts(void **state)
{
    (void)state;
    char report[4096];
    assertion_report(report, sizeof(report));
    assert_non_null(strstr(report, "test_error.c:"));
    assert_non_null(strstr(report, "bug: limit > 3 does not hold: the limit is 3\n"));
    BERTH_ASSERT(report[0] != '\0');
}

static void scopes_give_back_what_they_took(void **state)
{
    (void)state;
    int seen = -1;
    {
        CLEANUP(cleanup_close) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        CLEANUP(cleanup_free) char *memory = malloc(8);
        CLEANUP(cleanup_file) FILE *file = fopen("/dev/null", "re");
        assert_true(fd >= 0);
        assert_non_null(memory);
        assert_non_null(file);
        seen = fd;
        errno = EBUSY;
    }
    assert_int_equal(errno, EBUSY);
    assert_int_equal(fcntl(seen, F_GETFD), -1);
    char *kept = malloc(4);
    char *taken = TAKE(kept);
    assert_null(kept);
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_returns_the_code_and_fills_the_text),
        cmocka_unit_test(an_errno_adds_its_sentence_even_to_a_long_text),
        cmocka_unit_test(a_text_is_cut_between_characters),
        cmocka_unit_test(prefixes_stack_and_may_quote_the_text_itself),
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(a_bug_prints_its_place_and_aborts),
        cmocka_unit_test(scopes_give_back_what_they_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
