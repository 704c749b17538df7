#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

static int saved_stderr = -1;
static int captured = -1;

/* Standard error goes to a file in memory between these two. */
static void capture_begin(void)
{
    saved_stderr = dup(STDERR_FILENO);
    captured = memfd_create("log", 0);
    assert_true(saved_stderr >= 0 && captured >= 0);
    /* Unlike a file's, the position of such memory is not moved by one thread at a time. */
    assert_int_equal(fcntl(captured, F_SETFL, O_APPEND), 0);
    assert_true(dup2(captured, STDERR_FILENO) >= 0);
}

static size_t capture_end(char *out, size_t capacity)
{
    assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
    ssize_t bytes = pread(captured, out, capacity - 1, 0);
    assert_true(bytes >= 0);
    out[bytes] = '\0';
    (void)close(saved_stderr);
    (void)close(captured);
    return (size_t)bytes;
}

/* The line behind the time, which has 27 characters and is checked for its shape only. */
static void assert_text_line(const char *line, const char *expected)
{
    assert_true(strlen(line) > 28);
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[26], 'Z');
    assert_string_equal(line + 28, expected);
}

static void a_text_line_has_its_fields_in_order(void **state)
{
    (void)state;
    char out[8192];
    log_set_program("test");
    capture_begin();
    errno = EBUSY;
    log_event(LOG_INFO, "node.hello", "node=%s site=%s", "n1", "gcp/us");
    assert_int_equal(errno, EBUSY);
    (void)capture_end(out, sizeof(out));
    assert_text_line(out, "info test node.hello node=n1 site=gcp/us\n");
}

static void a_line_break_in_a_value_stays_in_its_line(void **state)
{
    (void)state;
    char out[8192];
    capture_begin();
    log_event(LOG_WARN, "x.y", "why=\"%s\"", "a\nb\x1b[1m");
    (void)capture_end(out, sizeof(out));
    assert_text_line(out, "warn test x.y why=\"a\\nb\\x1b[1m\"\n");
}

static void levels_below_the_wanted_one_are_silent(void **state)
{
    (void)state;
    char out[8192];
    capture_begin();
    log_event(LOG_DEBUG, "quiet", "a=1");
    log_set_level(LOG_ERROR);
    assert_false(log_enabled(LOG_WARN));
    log_event(LOG_WARN, "quiet", "a=1");
    log_set_level(LOG_DEBUG);
    log_event(LOG_DEBUG, "loud", " ");
    log_set_level(LOG_INFO);
    (void)capture_end(out, sizeof(out));
    assert_null(strstr(out, "quiet"));
    assert_non_null(strstr(out, "debug test loud"));
}

static void assert_json_tail(const char *pairs, const char *expected)
{
    char out[8192];
    log_set_json(true);
    capture_begin();
    log_event(LOG_INFO, "e", "%s", pairs);
    (void)capture_end(out, sizeof(out));
    log_set_json(false);
    char *tail = strstr(out, ",\"level\"");
    assert_non_null(tail);
    assert_int_equal(strncmp(out, "{\"time\":\"2", 10), 0);
    char whole[8192];
    (void)snprintf(whole, sizeof(whole),
                   ",\"level\":\"info\",\"program\":\"test\",\"event\":\"e\"%s}\n", expected);
    assert_string_equal(tail, whole);
}

static void pairs_become_json_fields(void **state)
{
    (void)state;
    assert_json_tail("k=v k2=\"v 2\"", ",\"k\":\"v\",\"k2\":\"v 2\"");
    assert_json_tail("", "");
    assert_json_tail("empty= last=\"\"", ",\"empty\":\"\",\"last\":\"\"");
    assert_json_tail("url=a=b word", ",\"url\":\"a=b\",\"word\":\"\"");
    assert_json_tail("why=\"no field \"cpu\" here\" n=1",
                     ",\"why\":\"no field \\\"cpu\\\" here\",\"n\":\"1\"");
    assert_json_tail("open=\"never closed", ",\"open\":\"never closed\"");
    assert_json_tail("quote=\"", ",\"quote\":\"\"");
    assert_json_tail("b=\\ c=\n d=\xff\xc3\xa9", ",\"b\":\"\\\\\",\"c\":\"\\u000a\","
                                                 "\"d\":\"\xef\xbf\xbd\xc3\xa9\"");
}

static void a_line_too_long_says_that_it_was_cut(void **state)
{
    (void)state;
    char many[9000];
    memset(many, '\x01', sizeof(many) - 1); /* six bytes each as JSON */
    many[sizeof(many) - 1] = '\0';
    char out[8192];
    for (int json = 0; json < 2; json++) {
        log_set_json(json == 1);
        capture_begin();
        log_event(LOG_INFO, "e", "a=1 b=%s", many);
        size_t bytes = capture_end(out, sizeof(out));
        assert_true(bytes <= 4096);
        assert_int_equal(out[bytes - 1], '\n');
        assert_non_null(
            strstr(out, json == 1 ? ",\"a\":\"1\",\"cut\":\"true\"}\n" : " cut=true\n"));
    }
    log_set_json(false);
}

static void *log_many(void *argument)
{
    for (int i = 0; i < 200; i++) {
        log_event(LOG_INFO, "thread.line", "who=%s n=%d", (const char *)argument, i);
    }
    return NULL;
}

static void lines_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    static char out[1 << 18];
    static char names[4][2] = {"a", "b", "c", "d"};
    capture_begin();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    (void)capture_end(out, sizeof(out));
    int lines = 0;
    for (char *line = out, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        int n = -1;
        char who = 0;
        assert_int_equal(sscanf(line + 28, "info test thread.line who=%c n=%d", &who, &n), 2);
        assert_true(who >= 'a' && who <= 'd' && n >= 0 && n < 200);
        lines++;
    }
    assert_int_equal(lines, 800);
}

/* The level is read before main runs, so it takes a new program to see it. */
static void the_environment_sets_the_first_level(void **state)
{
    (void)state;
    static const struct {
        const char *wanted;
        int level;
    } cases[] = {{"debug", LOG_DEBUG}, {"error", LOG_ERROR}, {"loud", LOG_INFO}, {"", LOG_INFO}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)setenv("BERTH_LOG", cases[i].wanted, 1);
            (void)execl("/proc/self/exe", "test_log", "level", (char *)NULL);
            _exit(99);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), cases[i].level);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "level") == 0) {
        enum log_level level = LOG_ERROR;
        while (level < LOG_DEBUG && log_enabled(level + 1)) {
            level++;
        }
        return (int)level;
    }
    log_set_level(LOG_INFO);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_line_has_its_fields_in_order),
        cmocka_unit_test(a_line_break_in_a_value_stays_in_its_line),
        cmocka_unit_test(levels_below_the_wanted_one_are_silent),
        cmocka_unit_test(pairs_become_json_fields),
        cmocka_unit_test(a_line_too_long_says_that_it_was_cut),
        cmocka_unit_test(lines_of_several_threads_do_not_mix),
        cmocka_unit_test(the_environment_sets_the_first_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
