#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/core/liveness.h"

#define TIMEOUT_US (5 * US_PER_S)

static struct message_hello hello_of(const char *node, const char *boot, uint64_t seq)
{
    struct message_hello hello = {.seq = seq};
    str_format(hello.node, sizeof(hello.node), "%s", node);
    str_format(hello.boot_id, sizeof(hello.boot_id), "%s", boot);
    return hello;
}

static struct message_beat beat_of(const char *node, const char *boot, uint64_t seq)
{
    struct message_beat beat = {.seq = seq};
    str_format(beat.node, sizeof(beat.node), "%s", node);
    str_format(beat.boot_id, sizeof(beat.boot_id), "%s", boot);
    return beat;
}

static int setup(void **state)
{
    struct liveness *liveness;
    assert_int_equal(liveness_create(&liveness), 0);
    *state = liveness;
    return 0;
}

static int teardown(void **state)
{
    liveness_destroy(*state);
    return 0;
}

static struct instant at(int64_t seconds)
{
    return (struct instant){seconds * US_PER_S};
}

static void test_silence_is_told_once(void **state)
{
    struct message_hello a = hello_of("a", "boot", 0);
    struct message_hello b = hello_of("b", "boot", 0);
    struct message_beat beat = beat_of("b", "boot", 0);
    liveness_hello(*state, &a, at(10));
    liveness_hello(*state, &b, at(10));
    assert_true(liveness_deadline(*state, TIMEOUT_US).us == at(15).us + 1);
    assert_false(liveness_beat(*state, &beat, at(14)));
    assert_null(liveness_overdue(*state, at(15), TIMEOUT_US));
    assert_string_equal(liveness_overdue(*state, at(16), TIMEOUT_US), "a");
    assert_null(liveness_overdue(*state, at(16), TIMEOUT_US));
    assert_string_equal(liveness_overdue(*state, at(20), TIMEOUT_US), "b");
    assert_true(liveness_deadline(*state, TIMEOUT_US).us == INT64_MAX);
    /* A lost node that beats is asked who it is, and counts again only after its hello. */
    assert_true(liveness_beat(*state, &beat, at(21)));
    assert_null(liveness_overdue(*state, at(40), TIMEOUT_US));
    liveness_hello(*state, &b, at(41));
    assert_false(liveness_beat(*state, &beat, at(42)));
    assert_string_equal(liveness_overdue(*state, at(48), TIMEOUT_US), "b");
}

static void test_what_asks_for_a_hello(void **state)
{
    struct message_hello hello = hello_of("a", "boot", 7);
    struct message_beat fine = beat_of("a", "boot", 7);
    struct message_beat rebooted = beat_of("a", "other", 7);
    struct message_beat ahead = beat_of("a", "boot", 8);
    assert_true(liveness_beat(*state, &fine, at(1))); /* never heard of */
    liveness_hello(*state, &hello, at(1));
    assert_false(liveness_beat(*state, &fine, at(2)));
    assert_true(liveness_beat(*state, &rebooted, at(2)));
    assert_true(liveness_beat(*state, &ahead, at(2))); /* a report was lost */
    liveness_report(*state, "a", 8);
    assert_false(liveness_beat(*state, &ahead, at(3)));
    /* Two reports in the wrong order: the gap is not forgotten when the numbers agree. */
    liveness_report(*state, "a", 10);
    liveness_report(*state, "a", 9);
    struct message_beat ten = beat_of("a", "boot", 10);
    assert_true(liveness_beat(*state, &ten, at(4)));
    hello.seq = 10;
    liveness_hello(*state, &hello, at(5));
    assert_false(liveness_beat(*state, &ten, at(6)));
}

static void test_restart_gives_a_full_timeout(void **state)
{
    struct message_hello hello = hello_of("a", "boot", 0);
    struct message_beat beat = beat_of("a", "boot", 0);
    liveness_hello(*state, &hello, at(1));
    liveness_restart(*state, at(100));
    assert_null(liveness_overdue(*state, at(104), TIMEOUT_US));
    assert_true(liveness_beat(*state, &beat, at(104)));
    assert_string_equal(liveness_overdue(*state, at(110), TIMEOUT_US), "a");
}

/* A watcher that did not run blames no node for what it could not hear. */
static void test_a_stopped_watcher_watches_anew(void **state)
{
    struct message_hello hello = hello_of("a", "boot", 0);
    struct message_beat beat = beat_of("a", "boot", 0);
    assert_int_equal(liveness_deadline(*state, TIMEOUT_US).us, INT64_MAX);
    assert_false(liveness_look(*state, at(1), TIMEOUT_US));
    liveness_hello(*state, &hello, at(1));
    assert_int_equal(liveness_deadline(*state, TIMEOUT_US).us, at(1).us + TIMEOUT_US / 4);
    assert_false(liveness_look(*state, at(3), TIMEOUT_US));
    assert_false(liveness_look(*state, at(5), TIMEOUT_US));
    assert_true(liveness_look(*state, at(12), TIMEOUT_US));
    assert_null(liveness_overdue(*state, at(12), TIMEOUT_US));
    assert_true(liveness_beat(*state, &beat, at(12)));
    for (int second = 14; second <= 16; second += 2)
        assert_false(liveness_look(*state, at(second), TIMEOUT_US));
    assert_null(liveness_overdue(*state, at(16), TIMEOUT_US));
    assert_false(liveness_look(*state, at(18), TIMEOUT_US));
    assert_string_equal(liveness_overdue(*state, at(18), TIMEOUT_US), "a");
}

/* What the table was fed with the core may have refused. */
static void test_a_beat_agrees_with_the_core(void **state)
{
    (void)state;
    struct core_node node = {.up = true};
    struct core_state core = {.nodes = &node, .node_count = 1};
    str_format(node.name, sizeof(node.name), "a");
    str_format(node.boot_id, sizeof(node.boot_id), "boot");
    struct message_beat beat = beat_of("a", "boot", 0);
    struct message_beat other = beat_of("a", "another", 0);
    struct message_beat stranger = beat_of("b", "boot", 0);
    assert_true(liveness_agrees(&core, &beat));
    assert_false(liveness_agrees(&core, &other));
    assert_false(liveness_agrees(&core, &stranger));
    node.up = false;
    assert_false(liveness_agrees(&core, &beat));
}

static void test_seed_watches_what_the_core_believes(void **state)
{
    struct core_node nodes[2] = {{.up = true, .report_seq = 3}, {.up = false}};
    struct core_state core = {.nodes = nodes, .node_count = 2};
    str_format(nodes[0].name, sizeof(nodes[0].name), "a");
    str_format(nodes[0].boot_id, sizeof(nodes[0].boot_id), "boot");
    str_format(nodes[1].name, sizeof(nodes[1].name), "b");
    liveness_seed(*state, &core, at(50));
    struct message_beat beat = beat_of("a", "boot", 3);
    assert_true(liveness_beat(*state, &beat, at(51)));
    assert_string_equal(liveness_overdue(*state, at(60), TIMEOUT_US), "a");
    assert_null(liveness_overdue(*state, at(60), TIMEOUT_US));
}

static void test_full_table(void **state)
{
    for (int i = 0; i < LIMIT_NODES + 10; i++) {
        char name[LIMIT_NAME_BYTES];
        str_format(name, sizeof(name), "n%d", i);
        struct message_hello hello = hello_of(name, "boot", 0);
        liveness_hello(*state, &hello, at(1));
    }
    struct message_beat past = beat_of("n4100", "boot", 0);
    assert_true(liveness_beat(*state, &past, at(2)));
    int count = 0;
    while (liveness_overdue(*state, at(10), TIMEOUT_US) != NULL)
        count++;
    assert_int_equal(count, LIMIT_NODES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_silence_is_told_once),
        TEST(test_what_asks_for_a_hello),
        TEST(test_restart_gives_a_full_timeout),
        TEST(test_a_stopped_watcher_watches_anew),
        TEST(test_a_beat_agrees_with_the_core),
        TEST(test_seed_watches_what_the_core_believes),
        TEST(test_full_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
