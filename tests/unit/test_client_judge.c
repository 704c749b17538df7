/* What the outside clients count: requests due at their instants, answers, gaps, histories. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/clients/judge.h"
#include "tests/live/clients/options.h"
#include "tests/live/clients/pace.h"
#include "tests/live/history.h"

static void test_pace(void **state)
{
    (void)state;
    static const int64_t rates[] = {1, 3, 7, 1000, 9999, 10000, 123457};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct pace pace = {.begun_us = 1000000007, .rate = rates[i], .most = rates[i] * 60};
        assert_int_equal(pace_due(&pace, pace.begun_us - 1), 0);
        assert_int_equal(pace_due(&pace, pace.begun_us), 1);
        assert_int_equal(pace_due(&pace, pace.begun_us + 3600 * US_PER_S), pace.most);
        int64_t before_us = -1;
        for (int64_t k = 0; k < pace.most && k < 5000; k++) {
            int64_t due_us = pace_due_us(&pace, k);
            assert_true(due_us > before_us);
            assert_true(pace_due(&pace, due_us) >= k + 1);
            assert_true(pace_due(&pace, due_us - 1) <= k);
            before_us = due_us;
        }
        assert_int_equal(pace_due_us(&pace, rates[i] * 50), pace.begun_us + 50 * US_PER_S);
    }
}

/* Together means: at the ends of equal pieces of time, none before its own instant, none lost. */
static void test_pace_grouped(void **state)
{
    (void)state;
    static const int64_t rates[] = {3, 1000, 9999, 10000, 123457};
    static const int64_t groups[] = {1, 7, 200, 1000, 33333};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
            struct pace each = {.begun_us = 1000000007, .rate = rates[i], .most = rates[i] * 60};
            struct pace pace = each;
            pace.group_us = groups[g];
            for (int64_t k = 0; k < pace.most && k < 5000; k++) {
                int64_t own_us = pace_due_us(&each, k), due_us = pace_due_us(&pace, k);
                assert_int_equal((due_us - pace.begun_us) % groups[g], 0);
                assert_true(due_us >= own_us && due_us - own_us < groups[g]);
                assert_true(pace_due(&pace, due_us) >= k + 1);
                assert_true(pace_due(&pace, due_us - 1) <= k);
            }
            assert_int_equal(pace_due(&pace, pace.begun_us + 61 * US_PER_S), pace.most);
        }
}

static void test_counts(void **state)
{
    (void)state;
    struct judge judge;
    struct error err = {0};
    char folder[32], path[64];
    assert_int_equal(judge_init(&judge, 0, &err), ERR_LIMIT);
    assert_int_equal(judge_init(&judge, 6, &err), 0);
    int64_t begin = judge.begun_us;
    for (int64_t i = 0; i < 6; i++)
        assert_int_equal(judge_send(&judge, begin + i * 1000), i);
    judge_answer(&judge, 0, begin + 500, true);
    judge_answer(&judge, 2, begin + 2500, false);
    judge_answer(&judge, 1, begin + 9000, true);
    judge_answer(&judge, 1, begin + 9100, true); /* a second time */
    judge_answer(&judge, 3, begin + 12000, true);
    judge_answer(&judge, 99, begin + 13000, true); /* of nobody */
    judge_answer(&judge, -1, begin + 13000, true);
    assert_int_equal(judge.answered, 3);
    assert_int_equal(judge.refused, 1);
    assert_int_equal(judge.duplicated, 1);
    assert_int_equal(judge_waiting(&judge), 2);
    assert_int_equal(judge.longest_gap_us, 8500);
    assert_int_equal(judge.gap_at_us, begin + 500);
    assert_int_equal(judge.total.count, 3);
    /* 500, 8000 and 9000: the median within the sketch's error. */
    double median = sketch_quantile(&judge.total, 500000);
    assert_true(median > 7950 && median < 8050);
    /* The history says the same, to a reader of its own. */
    str_format(folder, sizeof folder, "judge-XXXXXX");
    assert_non_null(mkdtemp(folder));
    str_format(path, sizeof path, "%s/history", folder);
    assert_int_equal(judge_history(&judge, path, &err), 0);
    struct history history;
    struct history_figures figures;
    const struct history_window all = {.from_us = 0, .to_us = INT64_MAX};
    assert_int_equal(history_read(path, &history, &err), 0);
    assert_int_equal(history_figures(&history, &all, 1, &figures, &err), 0);
    assert_int_equal(figures.sent, 6);
    assert_int_equal(figures.lost, 2);
    assert_int_equal(figures.refused, 1);
    assert_int_equal(figures.duplicated, 1);
    assert_int_equal(figures.longest_gap_us, 8500);
    assert_int_equal(figures.max_us, 9000);
    history_done(&history);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(judge_history(&judge, "not-there/history", &err), ERR_IO);
    judge_done(&judge);
}

/* An interval's latencies are its own; all of them stay in the total. */
static void test_intervals(void **state)
{
    (void)state;
    struct judge judge;
    struct error err = {0};
    FILE *out = tmpfile();
    assert_non_null(out);
    assert_int_equal(judge_init(&judge, 4, &err), 0);
    for (int64_t i = 0; i < 4; i++)
        judge_send(&judge, judge.begun_us);
    judge_answer(&judge, 0, judge.begun_us + 100, true);
    judge_answer(&judge, 1, judge.begun_us + 100, true);
    judge_json(&judge, false, out);
    assert_int_equal(judge.interval.count, 0);
    judge_answer(&judge, 2, judge.begun_us + 900, true);
    assert_int_equal(judge.interval.count, 1);
    assert_int_equal(judge.total.count, 3);
    fclose(out);
    judge_done(&judge);
}

static void test_options(void **state)
{
    (void)state;
    const char *url = "usual";
    int64_t rate = 5;
    bool fresh = false, json = true;
    const struct client_option options[] = {{"--url", "where", .word = &url},
                                            {"--rate", "how fast", .number = &rate},
                                            {"--fresh", "anew", .flag = &fresh},
                                            {0}};
    char *good[] = {"a/client", "--rate", "70", "--fresh", "--url", "there", "--json"};
    assert_int_equal(client_options(7, good, "", options, &json), 0);
    assert_string_equal(url, "there");
    assert_int_equal(rate, 70);
    assert_true(fresh && json);
    char *wrong[][3] = {{"client", "--rate", "x"},
                        {"client", "--rate", "-1"},
                        {"client", "--other", "x"},
                        {"client", "word", "x"},
                        {"client", "--json", "--url"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(client_options(3, wrong[i], "", options, &json), -1);
    char *none[] = {"client"};
    assert_int_equal(client_options(1, none, "", options, &json), 0);
    assert_false(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace),    cmocka_unit_test(test_pace_grouped),
        cmocka_unit_test(test_counts),  cmocka_unit_test(test_intervals),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
