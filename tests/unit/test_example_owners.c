/* The owners among the examples: the counter's tally, its ledger, the store that moves; and the
 * judge of owners. */
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

#include "base/str.h"
#include "examples/counter/tally.h"
#include "examples/kvstate/store.h"
#include "examples/ledger-resource/ledger.h"
#include "examples/replay/replay.h"
#include "tests/live/clients/owners.h"

static char folder[64];
static char path[128];

static int setup(void **state)
{
    (void)state;
    str_format(folder, sizeof folder, "owners-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    str_format(path, sizeof path, "%s/file", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

/* ---- the tally ---- */

static void test_tally(void **state)
{
    (void)state;
    static struct tally tally, copy;
    char text[4096], id[TALLY_ID_BYTES];
    for (int i = 1; i <= 3000; i++) {
        str_format(id, sizeof id, "run.%d", i);
        assert_int_equal(tally_find(&tally, id), 0);
        tally_add(&tally, id);
        assert_int_equal(tally_find(&tally, id), i);
    }
    assert_int_equal(tally_find(&tally, "run.3000"), 3000);
    assert_int_equal(tally_find(&tally, "run.1977"), 1977);
    assert_int_equal(tally_find(&tally, "run.1976"), 0); /* too long ago */
    /* What is handed over keeps to its limit and finds the same. */
    tally_write(&tally, 1024, text, sizeof text);
    assert_in_range(strlen(text), 1000, 1024);
    assert_null(strpbrk(text, " \n"));
    assert_int_equal(tally_read(&copy, text, ','), 0);
    assert_int_equal(copy.count, 3000);
    assert_int_equal(tally_find(&copy, "run.3000"), 3000);
    assert_int_equal(tally_find(&copy, "run.2950"), 2950);
    tally_add(&copy, "next");
    assert_int_equal(tally_find(&copy, "next"), 3001);
    assert_int_equal(tally_find(&copy, "run.3000"), 3000);
    tally_write(&tally, 10, text, sizeof text);
    assert_string_equal(text, "3000");
}

static void test_tally_refuses(void **state)
{
    (void)state;
    static struct tally tally;
    assert_int_equal(tally_read(&tally, "2 a b", ' '), 0);
    static const char *const wrong[] = {"",     "x",     "-1",    "1,a,b", "2,a,",
                                        "2,,a", "2,a b", "2,a/b", "2;a;b", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (tally_read(&tally, wrong[i], ',') == 0)
            fail_msg("taken: %s", wrong[i]);
    assert_int_equal(tally.count, 2);
    assert_int_equal(tally_find(&tally, "b"), 2);
}

/* ---- the ledger ---- */

static const char *ask(struct ledger *ledger, const char *request)
{
    static char out[LEDGER_ANSWER_MAX];
    ledger_answer(ledger, request, strlen(request), out);
    return out;
}

static void test_ledger_admits(void **state)
{
    (void)state;
    struct ledger ledger;
    struct error err = {0};
    assert_int_equal(ledger_open(&ledger, path, &err), 0);
    assert_string_equal(ask(&ledger, "claim 1.5"), "ok 0");
    assert_string_equal(ask(&ledger, "append 1.5 1 a"), "ok 1");
    assert_string_equal(ask(&ledger, "append 1.5 3 b"), "conflict 1");
    assert_string_equal(ask(&ledger, "append 1.5 2 b"), "ok 2");
    assert_string_equal(ask(&ledger, "append 1.5 3 a"), "again 1");
    /* The next owner's first append fences the one before, also without a claim. */
    assert_string_equal(ask(&ledger, "append 2.1 3 c"), "ok 3");
    assert_string_equal(ask(&ledger, "append 1.5 4 d"), "refused 2.1");
    assert_string_equal(ask(&ledger, "claim 1.9"), "refused 2.1");
    assert_string_equal(ask(&ledger, "append 0.0 4 d"), "refused 2.1");
    assert_string_equal(ask(&ledger, "fence 2.2"), "ok");
    assert_string_equal(ask(&ledger, "append 2.1 4 d"), "refused 2.2");
    assert_string_equal(ask(&ledger, "claim 2.3"), "ok 3 a b c");
    assert_string_equal(ask(&ledger, "read 2 9"), "2 1.5 b\n3 2.1 c\n");
    assert_string_equal(ask(&ledger, "read 4 1"), "");
    assert_string_equal(ask(&ledger, "status"), "3 2.3 4 1");
    static const char *const wrong[] = {"",
                                        "append",
                                        "append 2.3 4",
                                        "append x 4 d",
                                        "append 2.3 x d",
                                        "append 2.3 4 d/d",
                                        "append 2.3 4 d e",
                                        "read 0 1",
                                        "read 1 0",
                                        "claim 2",
                                        "status now",
                                        "append  2.3 4"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (!str_starts(ask(&ledger, wrong[i]), "error "))
            fail_msg("'%s' is answered '%s'", wrong[i], ask(&ledger, wrong[i]));
    ledger_close(&ledger);
    /* All of it is still there, the fence that no number came with too. */
    assert_int_equal(ledger_open(&ledger, path, &err), 0);
    assert_string_equal(ask(&ledger, "append 2.2 4 d"), "refused 2.3");
    assert_string_equal(ask(&ledger, "append 2.3 4 b"), "again 2");
    assert_string_equal(ask(&ledger, "append 2.3 4 d"), "ok 4");
    ledger_close(&ledger);
}

static void put_file(const char *text, const char *mode)
{
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_ledger_damage(void **state)
{
    (void)state;
    struct ledger ledger;
    struct error err = {0};
    struct stat info;
    /* A last line without its end was never answered. */
    put_file("a 1.1 1 x\na 1.1 2 y\na 1.1 3 zzz", "we");
    assert_int_equal(ledger_open(&ledger, path, &err), 0);
    assert_string_equal(ask(&ledger, "status"), "2 1.1 0 0");
    assert_string_equal(ask(&ledger, "append 1.1 3 z"), "ok 3");
    ledger_close(&ledger);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, 30);
    static const char *const damaged[] = {
        "a 1.1 2 x\n",   "a 1.1 1 x\na 1.1 1 y\n", "e 2.0\na 1.9 1 x\n", "a 1.1 1 x\nb\n",
        "a 1.1 1 x\n\n", "a 1.1 1 x\na 1.1 2 x\n", "a 1.1 1 x/y\n"};
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        put_file(damaged[i], "we");
        if (ledger_open(&ledger, path, &err) != ERR_CORRUPT)
            fail_msg("opened: %s", damaged[i]);
    }
}

static void test_ledger_many(void **state)
{
    (void)state;
    struct ledger ledger;
    struct error err = {0};
    char request[96];
    assert_int_equal(ledger_open(&ledger, NULL, &err), 0);
    for (int i = 1; i <= 5000; i++) {
        str_format(request, sizeof request, "append 1.1 %d run.%d", i, i * 7);
        assert_true(str_starts(ask(&ledger, request), "ok "));
    }
    assert_string_equal(ask(&ledger, "append 1.1 5001 run.7"), "again 1");
    assert_string_equal(ask(&ledger, "append 1.1 5001 run.35000"), "again 5000");
    assert_true(str_starts(ask(&ledger, "claim 1.2"), "ok 5000 run.27839 "));
    ledger_close(&ledger);
}

/* ---- the store ---- */

static int locked;
static struct store *under;

/* Whoever takes the lock finds that the state has just been changed again: in every gap between two
 * pages. */
static void take(void *context)
{
    int *calls = context;
    assert_int_equal(locked++, 0);
    struct error err = {0};
    int64_t key = 1 + *calls * 7919 % (store_keys(under) - 1);
    if (key % STORE_PAGE_SLOTS != 0)
        assert_int_equal(store_put(under, key, (uint64_t)++ * calls, &err), 0);
    else
        ++*calls;
}

static void give(void *context)
{
    (void)context;
    assert_int_equal(--locked, 0);
}

static void assert_same(const struct store *a, const struct store *b)
{
    struct error err = {0};
    assert_int_equal(store_check(b, &err), 0);
    assert_memory_equal(a->memory, b->memory, (size_t)(a->page_count * STORE_PAGE_BYTES));
}

static void test_store_moves(void **state)
{
    (void)state;
    struct store from, to;
    struct error err = {0};
    int calls = 0;
    struct store_lock lock = {take, give, &calls};
    int64_t round1 = 0, bytes = 0;
    assert_int_equal(store_init(&from, 40 * STORE_PAGE_BYTES, &err), 0);
    assert_int_equal(store_init(&to, 40 * STORE_PAGE_BYTES, &err), 0);
    under = &from;
    for (int round = 1; round <= 3; round++) {
        bytes = store_export(&from, round, false, path, &lock, &err);
        assert_true(bytes > 0);
        round1 = round == 1 ? bytes : round1;
        assert_int_equal(store_import(&to, path, &err), 0);
        assert_int_equal(to.round, round);
    }
    assert_memory_not_equal(from.memory, to.memory, 40 * STORE_PAGE_BYTES);
    /* The last delta is written without the lock, as nothing changes; twice is the same. */
    for (int again = 0; again < 2; again++) {
        bytes = store_export(&from, 4, true, path, &lock, &err);
        assert_in_range(bytes, 1, round1);
    }
    assert_int_equal(store_import(&to, path, &err), 0);
    assert_same(&from, &to);
    assert_int_equal(to.puts, from.puts);
    /* Back: a page that was changed at the new place alone, and a put of before the move. */
    store_change(&to, 17);
    assert_int_equal(store_export(&to, 1, true, path, NULL, &err), round1);
    assert_int_equal(store_import(&from, path, &err), 0);
    assert_same(&to, &from);
    store_done(&from);
    store_done(&to);
}

/* A few pages that change are a small delta, and one that nothing changed in is a head alone. */
static void test_store_delta(void **state)
{
    (void)state;
    struct store store;
    struct error err = {0};
    assert_int_equal(store_init(&store, 100 * STORE_PAGE_BYTES, &err), 0);
    int64_t page = STORE_PAGE_BYTES + (int64_t)sizeof(uint64_t);
    int64_t head = (int64_t)sizeof(struct store_head);
    assert_int_equal(store_export(&store, 1, false, path, NULL, &err), head + 100 * page);
    assert_int_equal(store_export(&store, 2, false, path, NULL, &err), head);
    store_change(&store, 3);
    store_change(&store, 3);
    store_change(&store, 99);
    assert_int_equal(store_export(&store, 3, false, path, NULL, &err), head + 2 * page);
    store_change(&store, 5);
    assert_int_equal(store_export(&store, 4, true, path, NULL, &err), head + page);
    store_done(&store);
}

static void test_store_refuses(void **state)
{
    (void)state;
    struct store store, other;
    struct error err = {0};
    uint64_t version;
    assert_int_equal(store_init(&store, 1, &err), 0);
    assert_int_equal(store.page_count, 1);
    assert_int_equal(store_put(&store, 0, 1, &err), ERR_INVALID);
    assert_int_equal(store_put(&store, STORE_PAGE_SLOTS, 1, &err), ERR_NOT_FOUND);
    assert_int_equal(store_put(&store, -1, 1, &err), ERR_NOT_FOUND);
    assert_int_equal(store_put(&store, 5, 9, &err), 0);
    assert_int_equal(store_put(&store, 5, 8, &err), 0); /* late: nothing is changed */
    assert_int_equal(store_get(&store, 5, &version, &err), 0);
    assert_int_equal(version, 9);
    store.memory[5 * STORE_SLOT_BYTES + 8] ^= 1;
    assert_int_equal(store_get(&store, 5, &version, &err), ERR_CORRUPT);
    assert_int_equal(store_init(&other, 2 * STORE_PAGE_BYTES, &err), 0);
    assert_true(store_export(&other, 1, true, path, NULL, &err) > 0);
    assert_int_equal(store_import(&store, path, &err), ERR_CORRUPT); /* of another size */
    assert_int_equal(truncate(path, 1000), 0);
    assert_int_equal(store_import(&other, path, &err), ERR_CORRUPT);
    assert_int_equal(store_export(&other, 1, true, "not-there/file", NULL, &err), ERR_IO);
    store_done(&store);
    store_done(&other);
}

/* ---- the judge of owners ---- */

static void test_owners(void **state)
{
    (void)state;
    static struct owners owners;
    const struct berth_epoch first = {1, 1}, second = {1, 2}, third = {2, 0};
    assert_true(owners_answer(&owners, first, "a", 0, 10));
    assert_true(owners_answer(&owners, first, "a", 5, 20));
    assert_true(owners_answer(&owners, second, "b", 15, 45));
    /* Late, but sent before the second's first answer: still in order. */
    assert_true(owners_answer(&owners, first, "a", 44, 47));
    assert_true(owners_answer(&owners, third, "a", 50, 60));
    assert_int_equal(owners.count, 3);
    assert_int_equal(owners_pause_us(&owners, 1), 0); /* 45 came before 47 */
    assert_int_equal(owners_pause_us(&owners, 2), 15);
    assert_int_equal(owners_longest_us(&owners), 15);
    assert_int_equal(owners.at_once, 0);
    /* Sent when the third had answered already. */
    assert_false(owners_answer(&owners, first, "a", 61, 70));
    assert_false(owners_answer(&owners, second, "b", 61, 70));
    /* One epoch, two instances. */
    assert_false(owners_answer(&owners, third, "c", 61, 70));
    assert_int_equal(owners.at_once, 3);
}

/* The two forms of a delivered message's reply subject, and what is neither. */
static void test_replay_position(void **state)
{
    (void)state;
    static const char *const none[] = {"",
                                       "_INBOX.x",
                                       "$JS.ACK.",
                                       "$JS.ACK.s.c.1.1201.7.99",
                                       "$JS.ACK.s.c.1.-1201.7.99.3",
                                       "$JS.ACK.s.c.1.99999999999999999999.7.99.3",
                                       "$JS.ACK.h.a.s.c.1.x.7.99.3",
                                       "$JS.ACK.h.a.s.c.1.1.7.99.3.t.u"};
    uint64_t sequence = 0, delivery = 0, pending = 0;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_int_equal(replay_position(none[i], &sequence, &delivery, &pending), -1);
    assert_int_equal(replay_position(NULL, &sequence, &delivery, &pending), -1);
    assert_int_equal(sequence + delivery + pending, 0);
    static const char *const both[] = {"$JS.ACK.s.c.1.1201.7.99.3",
                                       "$JS.ACK.h.a.s.c.1.1201.7.99.3.t"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(replay_position(both[i], &sequence, &delivery, &pending), 0);
        assert_int_equal(sequence, 1201);
        assert_int_equal(delivery, 7);
        assert_int_equal(pending, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tally),
        cmocka_unit_test(test_tally_refuses),
        cmocka_unit_test(test_replay_position),
        cmocka_unit_test_setup_teardown(test_ledger_admits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ledger_damage, setup, teardown),
        cmocka_unit_test(test_ledger_many),
        cmocka_unit_test_setup_teardown(test_store_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_delta, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_refuses, setup, teardown),
        cmocka_unit_test(test_owners),
    };
    return cmocka_run_group_tests_name("example owners", tests, NULL, NULL);
}
