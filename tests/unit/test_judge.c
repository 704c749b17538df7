/* What is counted of the two sides of a canary. */
#include "scheduler/service/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static const struct judge_ask asked = {.handoff = "h1",
                                       .from = "web-0-1",
                                       .to = "web-0-2",
                                       .from_node = "old",
                                       .to_node = "new",
                                       .now_us = 1000};

static struct core_judged_side from;
static struct core_judged_side to;

static void ask(struct judges *judges)
{
    judges_ask(judges, &asked, &from, &to);
}

/* One batch of the source: what the instance's counters say. */
static void say_as(struct judges *judges, bool ingress, const char *source, const char *instance,
                   uint64_t life, const int64_t values[3])
{
    struct message_sample samples[] = {
        {.kind = SAMPLE_REQUESTS, .instance = instance, .life = life, .value = values[0]},
        {.kind = SAMPLE_ERRORS, .instance = instance, .life = life, .value = values[1]},
        {.kind = SAMPLE_LATENCY_US_SUM, .instance = instance, .life = life, .value = values[2]},
        {.kind = SAMPLE_CPU_NS, .instance = instance, .life = life, .value = 77},
        {.kind = SAMPLE_REQUESTS, .life = life, .value = 1000000}, /* of no instance */
        {.kind = SAMPLE_REQUESTS, .instance = instance, .segment = "n1", .life = life, .value = 9},
    };
    struct message_batch batch = {.samples = samples, .sample_count = 6, .ingress = ingress};
    judges_take(judges, source, &batch);
}

static void say(struct judges *judges, const char *source, const char *instance, uint64_t life,
                int64_t requests, int64_t errors, int64_t latency_us)
{
    say_as(judges, false, source, instance, life, (int64_t[]){requests, errors, latency_us});
}

static void say_ingress(struct judges *judges, const char *source, const char *instance,
                        uint64_t life, int64_t requests, int64_t errors, int64_t latency_us)
{
    say_as(judges, true, source, instance, life, (int64_t[]){requests, errors, latency_us});
}

static struct judges *begin(void)
{
    struct judges *judges = judges_create();
    assert_non_null(judges);
    ask(judges);
    assert_false(from.known);
    assert_false(to.known);
    return judges;
}

static void test_differences_count_from_the_question_on(void **state)
{
    (void)state;
    struct judges *judges = judges_create();
    say(judges, "old", "web-0-1", 1, 50, 0, 0); /* before anybody asked */
    ask(judges);
    say(judges, "old", "web-0-1", 1, 1000, 100, 5000000);
    say(judges, "new", "web-0-2", 2, 0, 0, 0);
    ask(judges);
    assert_false(from.known); /* only where it stands, not yet what it did */
    say(judges, "old", "web-0-1", 1, 3000, 110, 25000000);
    say(judges, "old", "web-0-1", 1, 3000, 110, 25000000); /* the same batch again */
    say(judges, "new", "web-0-2", 2, 400, 8, 8000000);
    say(judges, "new", "another", 2, 400, 400, 8000000);
    ask(judges);
    assert_true(from.known && to.known);
    assert_int_equal(from.requests, 2000);
    assert_int_equal(from.errors_ppm, 5000);
    assert_int_equal(from.latency_us, 10000);
    assert_int_equal(to.requests, 400);
    assert_int_equal(to.errors_ppm, 20000);
    assert_int_equal(to.latency_us, 20000);
    judges_destroy(judges);
}

static void test_packed_batches_count_the_same(void **state)
{
    (void)state;
    struct judges *judges = begin();
    uint8_t kinds[] = {SAMPLE_CPU_NS, SAMPLE_REQUESTS, SAMPLE_ERRORS, SAMPLE_REQUESTS};
    int64_t values[] = {5, 100, 10, 20};
    struct message_run runs[] = {
        {.of = {.instance = "web-0-2", .life = 2}, .first = 1, .count = 2},
        {.of = {.instance = "web-0-1", .life = 1}, .first = 3, .count = 1},
    };
    struct message_batch batch = {.runs = runs, .run_count = 2, .kinds = kinds, .values = values};
    judges_take(judges, "new", &batch);
    values[1] = 300;
    values[2] = 11;
    judges_take(judges, "new", &batch);
    ask(judges);
    assert_int_equal(to.requests, 200);
    assert_int_equal(to.errors_ppm, 5000);
    judges_destroy(judges);
}

static void test_a_new_life_takes_nothing_back(void **state)
{
    (void)state;
    struct judges *judges = begin();
    say_ingress(judges, "in1", "web-0-2", 7, 100, 0, 0);
    say_ingress(judges, "in1", "web-0-2", 7, 150, 0, 0);
    say_ingress(judges, "in1", "web-0-2", 8, 3, 0, 0); /* it was started again */
    say_ingress(judges, "in1", "web-0-2", 8, 13, 0, 0);
    say_ingress(judges, "in1", "web-0-2", 8, 5, 0,
                0); /* fell without a new life: begins anew there */
    say_ingress(judges, "in1", "web-0-2", 8, 6, 0, 0);
    ask(judges);
    assert_int_equal(to.requests, 50 + 10 + 1);
    judges_destroy(judges);
}

/* Both sides of what the ingresses counted, or both of what the workloads did. */
static void test_both_sides_are_judged_by_the_same_word(void **state)
{
    (void)state;
    struct judges *judges = begin();
    const char *const instances[] = {"web-0-1", "web-0-2"};
    const char *const homes[] = {"old", "new"};
    for (int i = 0; i < 2; i++) {
        say_ingress(judges, "in1", instances[i], 1, 0, 0, 0);
        say_ingress(judges, "in2", instances[i], 1, 0, 0, 0);
        say(judges, homes[i], instances[i], 1, 0, 0, 0);
        say_ingress(judges, "in1", instances[i], 1, 100, 1, 100 * 900);
        say_ingress(judges, "in2", instances[i], 1, 300, 1, 300 * 500);
    }
    say(judges, "old", "web-0-1", 1, 5000, 0, 5000 * 100);
    ask(judges); /* the new copy does not count itself */
    assert_int_equal(from.requests, 400);
    assert_int_equal(to.requests, 400);
    assert_int_equal(to.latency_us, 600);
    assert_int_equal(to.errors_ppm, 5000);
    say(judges, "new", "web-0-2", 1, 450, 0, 450 * 100);
    ask(judges); /* now it does, and has more to say than both ingresses */
    assert_int_equal(from.requests, 5000);
    assert_int_equal(to.requests, 450);
    assert_int_equal(to.latency_us, 100);
    judges_destroy(judges);
}

static void test_a_node_that_is_an_ingress_does_not_count_twice(void **state)
{
    (void)state;
    struct judges *judges = begin();
    say(judges, "new", "web-0-2", 1, 0, 0, 0);
    say_ingress(judges, "new", "web-0-2", 9, 0, 0, 0);
    say(judges, "new", "web-0-2", 1, 200, 2, 0);
    say_ingress(judges, "new", "web-0-2", 9, 199, 1, 0);
    ask(judges);
    assert_int_equal(to.requests, 200);
    assert_int_equal(to.errors_ppm, 10000);
    judges_destroy(judges);
}

/* A workload that does not count itself, on the node that is its ingress: one of two. */
static void test_who_does_not_count_is_judged_by_the_ingresses(void **state)
{
    (void)state;
    struct judges *judges = begin();
    const char *const instances[] = {"web-0-1", "web-0-2"};
    for (int i = 0; i < 2; i++) {
        say_ingress(judges, "old", instances[i], 9, 1000, 10, 0);
        say_ingress(judges, "in2", instances[i], 7, 0, 0, 0);
        say_ingress(judges, "old", instances[i], 9, 1300, 10 + 3 * i, 300 * 500);
        say_ingress(judges, "in2", instances[i], 7, 100, i, 100 * 900);
        say_ingress(judges, "in2", instances[i], 7, 100, i, 100 * 900); /* again */
    }
    say(judges, "old", "web-0-1", 1, 0, 0, 0);
    say(judges, "old", "web-0-1", 1, 90000, 0, 0); /* only one of the two counts itself */
    ask(judges);
    assert_int_equal(from.requests, 400);
    assert_int_equal(from.errors_ppm, 0);
    assert_int_equal(to.requests, 400);
    assert_int_equal(to.errors_ppm, 10000);
    assert_int_equal(to.latency_us, 600);
    judges_destroy(judges);
}

static void test_the_one_asked_about_least_lately_makes_way(void **state)
{
    (void)state;
    struct judges *judges = begin();
    say(judges, "new", "web-0-2", 1, 0, 0, 0);
    say(judges, "new", "web-0-2", 1, 5, 0, 0);
    ask(judges);
    assert_int_equal(to.requests, 5);
    for (int i = 0; i < JUDGES_MAX; i++) {
        char id[LIMIT_ID_BYTES];
        struct judge_ask other = asked;
        str_format(id, sizeof(id), "other%d", i);
        other.handoff = id;
        other.now_us = 2000 + i;
        judges_ask(judges, &other, &from, &to);
    }
    ask(judges); /* forgotten: it begins again */
    assert_false(to.known);
    /* More lives than can be told apart are left out. */
    for (uint64_t life = 0; life < 2 * JUDGE_TRACKS; life++) {
        say(judges, "new", "web-0-2", life, 0, 0, 0);
        say(judges, "new", "web-0-2", life, 10, 20, 0);
    }
    ask(judges);
    assert_int_equal(to.requests, 10 * JUDGE_TRACKS);
    assert_int_equal(to.errors_ppm, 1000000);
    judges_destroy(judges);
    judges_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_differences_count_from_the_question_on),
        cmocka_unit_test(test_packed_batches_count_the_same),
        cmocka_unit_test(test_a_new_life_takes_nothing_back),
        cmocka_unit_test(test_both_sides_are_judged_by_the_same_word),
        cmocka_unit_test(test_a_node_that_is_an_ingress_does_not_count_twice),
        cmocka_unit_test(test_who_does_not_count_is_judged_by_the_ingresses),
        cmocka_unit_test(test_the_one_asked_about_least_lately_makes_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
