/* Both sides of the workload contract: the library for programs, and the parser of Berth's side. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "executors/contract/berth_workload.h"
#include "executors/contract/contract_line.h"

static char folder[64];
static char path[96];
static int listener;

static int setup(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    str_format(folder, sizeof(folder), "contract-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    str_format(path, sizeof(path), "%s/s", folder);
    str_format(address.sun_path, sizeof(address.sun_path), "%s", path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    return listen(listener, 4) < 0 ? -1 : setenv("BERTH_SOCKET", path, 1);
}

static int teardown(void **state)
{
    (void)state;
    (void)close(listener);
    (void)unlink(path);
    (void)unsetenv("BERTH_SOCKET");
    return rmdir(folder);
}

static int take(void)
{
    int fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

static void hear(int fd, const char *expected)
{
    char text[256] = "";
    size_t bytes = strlen(expected);
    assert_int_equal(recv(fd, text, bytes, MSG_WAITALL), bytes);
    assert_string_equal(text, expected);
}

static void tell(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

static void test_words(void **state)
{
    (void)state;
    int64_t deadline_ms = -1;
    struct berth_workload *workload = berth_workload_open();
    assert_non_null(workload);
    int fd = take();
    assert_true(berth_workload_fd(workload) >= 0);
    assert_int_equal(berth_workload_ready(workload), 0);
    assert_int_equal(berth_workload_count(workload, "hits", 12), 0);
    hear(fd, "ready\ncount hits 12\n");
    assert_int_equal(berth_workload_poll(workload, &deadline_ms), BERTH_NOTHING);
    tell(fd, "fly me to the moon\ndrain 1500\nresume\nst");
    assert_int_equal(berth_workload_poll(workload, &deadline_ms), BERTH_DRAIN);
    assert_int_equal(deadline_ms, 1500);
    assert_int_equal(berth_workload_drained(workload), 0);
    assert_int_equal(berth_workload_poll(workload, &deadline_ms), BERTH_RESUME);
    assert_int_equal(berth_workload_resumed(workload), 0);
    hear(fd, "drained\nresumed\n");
    assert_int_equal(berth_workload_poll(workload, &deadline_ms), BERTH_NOTHING);
    tell(fd, "op 20\ndrain soon\n");
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_STOP);
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_NOTHING);
    berth_workload_close(workload);
    (void)close(fd);
}

static void test_connects_again(void **state)
{
    (void)state;
    struct berth_workload *workload = berth_workload_open();
    int fd = take();
    assert_int_equal(berth_workload_ready(workload), 0);
    hear(fd, "ready\n");
    (void)close(fd);
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_NOTHING);
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_NOTHING); /* reaches anew */
    fd = take();
    hear(fd, "ready\n"); /* the other side may have forgotten */
    tell(fd, "stop 1\n");
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_STOP);
    berth_workload_close(workload);
    (void)close(fd);
}

static void test_overlong_line(void **state)
{
    (void)state;
    struct berth_workload *workload = berth_workload_open();
    int fd = take();
    char text[6000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    tell(fd, text);
    tell(fd, "\nresume\n");
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_RESUME);
    berth_workload_close(workload);
    (void)close(fd);
}

static void test_without_berth(void **state)
{
    (void)state;
    (void)unsetenv("BERTH_SOCKET");
    struct berth_workload *workload = berth_workload_open();
    assert_non_null(workload);
    assert_int_equal(berth_workload_fd(workload), -1);
    assert_int_equal(berth_workload_ready(workload), 0);
    assert_int_equal(berth_workload_count(workload, "hits", 1), 0);
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_NOTHING);
    berth_workload_close(workload);
    berth_workload_close(NULL);
    (void)setenv("BERTH_SOCKET", "/nowhere/socket", 1);
    assert_null(berth_workload_open());
    assert_int_equal(errno, ENOENT);
    (void)setenv("BERTH_SOCKET", path, 1);
}

static int parse(const char *text, struct contract_line *ret_line)
{
    struct error err;
    return contract_line_parse(text, strlen(text), ret_line, &err);
}

/* What an owner is told, and its answers. */
static void test_owner(void **state)
{
    (void)state;
    int64_t deadline_ms = -1;
    struct berth_workload *workload = berth_workload_open();
    int fd = take();
    tell(fd,
         "restore 2 state.in.2\nown 7.12 at:91\nsnapshot 1 state.out.1\nfreeze 250 state.out.2\n"
         "own 7.13\nfreeze 9\n");
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_RESTORE);
    assert_int_equal(berth_workload_round(workload), 2);
    assert_string_equal(berth_workload_path(workload), "state.in.2");
    assert_int_equal(berth_workload_restored(workload, 2), 0);
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_OWN);
    assert_string_equal(berth_workload_epoch(workload), "7.12");
    assert_string_equal(berth_workload_handed(workload), "at:91");
    assert_string_equal(berth_workload_path(workload), "");
    assert_int_equal(berth_workload_owned(workload), 0);
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_SNAPSHOT);
    assert_int_equal(berth_workload_round(workload), 1);
    assert_int_equal(berth_workload_snapshotted(workload, 1), 0);
    assert_int_equal(berth_workload_poll(workload, &deadline_ms), BERTH_FREEZE);
    assert_int_equal(deadline_ms, 250);
    assert_string_equal(berth_workload_path(workload), "state.out.2");
    assert_int_equal(berth_workload_frozen(workload, "at:92"), 0);
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_OWN);
    assert_string_equal(berth_workload_handed(workload), "");
    assert_int_equal(berth_workload_failed(workload, "the disk\nis full"), 0);
    assert_int_equal(berth_workload_poll(workload, &deadline_ms), BERTH_FREEZE);
    assert_int_equal(deadline_ms, 9);
    assert_string_equal(berth_workload_path(workload), "");
    assert_int_equal(berth_workload_frozen(workload, NULL), 0);
    hear(fd, "restored 2\nowned\nsnapshotted 1\nfrozen at:92\nfailed the disk is full\nfrozen\n");
    assert_int_equal(berth_workload_frozen(workload, "two words"), -1);
    assert_int_equal(errno, EINVAL);
    tell(fd, "own\nsnapshot 0 a\nsnapshot 1\nrestore x a\nfreeze\nown 1.2 a b\n");
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_NOTHING);
    berth_workload_close(workload);
    (void)close(fd);
}

/* The longest that may be handed over, in both directions; one more byte is refused. */
static void test_handed_at_its_longest(void **state)
{
    (void)state;
    static char handed[BERTH_HANDED_BYTES + 2];
    static char line[LIMIT_SOCKET_LINE];
    static struct contract_line parsed;
    assert_int_equal(BERTH_HANDED_BYTES, LIMIT_HANDED_BYTES);
    struct berth_workload *workload = berth_workload_open();
    int fd = take();
    memset(handed, 'h', BERTH_HANDED_BYTES);
    assert_int_equal(berth_workload_frozen(workload, handed), 0);
    size_t bytes = strlen("frozen ") + BERTH_HANDED_BYTES + 1;
    assert_int_equal(recv(fd, line, bytes, MSG_WAITALL), bytes);
    assert_int_equal(contract_line_parse(line, bytes - 1, &parsed, NULL), 0);
    assert_int_equal(parsed.word, CONTRACT_FROZEN);
    assert_string_equal(parsed.text, handed);
    str_format(line, sizeof(line), "own %llu.%llu %s\n", (unsigned long long)UINT64_MAX,
               (unsigned long long)UINT64_MAX, handed);
    tell(fd, line);
    assert_int_equal(berth_workload_poll(workload, NULL), BERTH_OWN);
    assert_string_equal(berth_workload_handed(workload), handed);
    handed[BERTH_HANDED_BYTES] = 'h';
    assert_int_equal(berth_workload_frozen(workload, handed), -1);
    str_format(line, sizeof(line), "frozen %s", handed);
    assert_int_equal(contract_line_parse(line, strlen(line), &parsed, NULL), ERR_LIMIT);
    berth_workload_close(workload);
    (void)close(fd);
}

static void test_parser(void **state)
{
    (void)state;
    struct contract_line line;
    assert_int_equal(parse("ready", &line), 0);
    assert_int_equal(line.word, CONTRACT_READY);
    assert_int_equal(parse("drained\r", &line), 0);
    assert_int_equal(line.word, CONTRACT_DRAINED);
    assert_int_equal(parse("resumed", &line), 0);
    assert_int_equal(parse("count latency_us_sum 9223372036854775807", &line), 0);
    assert_int_equal(line.counter, SAMPLE_LATENCY_US_SUM);
    assert_true(line.total == INT64_MAX);
    assert_int_equal(parse("frozen", &line), 0);
    assert_int_equal(line.word, CONTRACT_FROZEN);
    assert_string_equal(line.text, "");
    assert_int_equal(parse("frozen seq=17", &line), 0);
    assert_string_equal(line.text, "seq=17");
    assert_int_equal(parse("owned", &line), 0);
    assert_int_equal(line.word, CONTRACT_OWNED);
    assert_int_equal(parse("snapshotted 3", &line), 0);
    assert_int_equal(line.word, CONTRACT_SNAPSHOTTED);
    assert_int_equal(line.round, 3);
    assert_int_equal(parse("restored 2147483647", &line), 0);
    assert_int_equal(line.word, CONTRACT_RESTORED);
    assert_int_equal(parse("failed no \x01 room", &line), 0);
    assert_int_equal(line.word, CONTRACT_FAILED);
    assert_string_equal(line.text, "no ? room");
    assert_int_equal(parse("failed", &line), 0);
    const char *const wrong[] = {"",
                                 "frozen a b",
                                 "frozen \xc3\xa4",
                                 "owned 1",
                                 "snapshotted",
                                 "snapshotted 0",
                                 "snapshotted 2147483648",
                                 "restored -1",
                                 "failedly",
                                 "Ready",
                                 "ready ",
                                 "count",
                                 "count hits",
                                 "count hits -1",
                                 "count hits 1x",
                                 "count rtt_us 1",
                                 "count  1",
                                 "count cpu_ns 5",
                                 "count hits 9223372036854775808"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(parse(wrong[i], &line), ERR_INVALID);
    static char overlong[LIMIT_SOCKET_LINE];
    memset(overlong, 'a', sizeof(overlong));
    assert_int_equal(contract_line_parse(overlong, sizeof(overlong), &line, NULL), ERR_LIMIT);
    assert_int_equal(contract_line_parse("rea\0dy", 6, &line, NULL), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connects_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overlong_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_berth, setup, teardown),
        cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(test_handed_at_its_longest, setup, teardown),
        cmocka_unit_test(test_parser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
