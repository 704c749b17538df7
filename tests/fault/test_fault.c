/*
 * Crashes at every point, and seeds of an adversary.
 *
 *     test_fault                        everything
 *     test_fault point 1234             one crash point, with every step printed
 *     test_fault saving 1234            one of the script of savings, likewise
 *     test_fault seed 77                one seed of the adversary, likewise
 *     test_fault seeds 5000             so many seeds, for a long look
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define SEEDS 150

static struct sim sim;

static int64_t run_calm(int64_t crash_at, bool chatter)
{
    struct sim_options options = {.seed = 1, .crash_at = crash_at, .chatter = chatter};
    sim_run(&sim, &options);
    return sim.point;
}

/* The script of a move that saves, is judged and goes back: a check is under way in it, too. */
static int64_t run_saving(int64_t crash_at, bool chatter)
{
    struct sim_options options = {
        .seed = 1, .crash_at = crash_at, .saving = true, .chatter = chatter};
    sim_run(&sim, &options);
    return sim.point;
}

static void run_seed(uint64_t seed, bool chatter)
{
    struct sim_options options = {.seed = seed,
                                  .adversary = true,
                                  .calm_us = 1000 * US_PER_S + 60 * US_PER_S,
                                  .chatter = chatter};
    sim_run(&sim, &options);
}

static void test_no_crash(void **state)
{
    (void)state;
    (void)run_calm(0, false);
    if (sim.broken[0] != 0)
        fail_msg("%s", sim.broken);
    assert_true(sim.requests > 1000);
    assert_int_equal(sim.requests_lost, 0);
    assert_int_equal(sim.moves_done, 2);
    (void)printf("%lld points, %lld requests, %lld passed on, %d journal records\n",
                 (long long)sim.point, (long long)sim.requests, (long long)sim.requests_moved,
                 sim.journal_count);
    sim_free(&sim);
}

static void test_same_seed_same_run(void **state)
{
    (void)state;
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        run_seed(5, false);
        hashes[i] = hash_u64(HASH_SEED, (uint64_t)sim.point);
        for (int k = 0; k < sim.journal_count; k++)
            hashes[i] = hash_u64(hashes[i], sim.hashes[k]);
        sim_free(&sim);
    }
    assert_true(hashes[0] == hashes[1]);
}

static void test_crash_at_every_point(void **state)
{
    (void)state;
    int64_t points = run_calm(0, false);
    sim_free(&sim);
    int broken = 0;
    for (int64_t k = 1; k <= points && broken < 5; k++) {
        (void)run_calm(k, false);
        if (sim.broken[0] != 0) {
            broken++;
            (void)printf("point %lld: %s\n", (long long)k, sim.broken);
        } else if (!sim.crashed) {
            broken++;
            (void)printf("point %lld was not reached\n", (long long)k);
        }
        sim_free(&sim);
    }
    assert_int_equal(broken, 0);
}

static void test_crash_at_every_point_of_a_saving(void **state)
{
    (void)state;
    int64_t points = run_saving(0, false);
    if (sim.broken[0] != 0)
        fail_msg("%s", sim.broken);
    assert_int_equal(sim.requests_lost, 0);
    (void)printf("%lld points of a move that saves and goes back\n", (long long)points);
    sim_free(&sim);
    int broken = 0;
    for (int64_t k = 1; k <= points && broken < 5; k++) {
        (void)run_saving(k, false);
        if (sim.broken[0] != 0) {
            broken++;
            (void)printf("point %lld: %s\n", (long long)k, sim.broken);
        }
        sim_free(&sim);
    }
    assert_int_equal(broken, 0);
}

static int run_seeds(uint64_t count)
{
    int broken = 0;
    for (uint64_t seed = 1; seed <= count && broken < 5; seed++) {
        run_seed(seed, false);
        if (sim.broken[0] != 0) {
            broken++;
            (void)printf("%s\n", sim.broken);
        }
        sim_free(&sim);
    }
    return broken;
}

static void test_adversary(void **state)
{
    (void)state;
    assert_int_equal(run_seeds(SEEDS), 0);
}

/* With a fault planted in one of the machines, the harness must turn red. */
static void test_finds_the_planted_fault(void **state)
{
    (void)state;
    (void)run_calm(0, false);
    bool found = sim.broken[0] != 0;
    if (found)
        (void)printf("found: %s\n", sim.broken);
    sim_free(&sim);
    for (uint64_t seed = 1; seed <= SEEDS && !found; seed++) {
        run_seed(seed, false);
        found = sim.broken[0] != 0;
        if (found)
            (void)printf("found: %s\n", sim.broken);
        sim_free(&sim);
    }
    assert_true(found);
}

int main(int argc, char **argv)
{
    int64_t number = 0;
    if (argc == 3 && str_to_i64(argv[2], &number) == 0) {
        if (str_equal(argv[1], "seeds"))
            return run_seeds((uint64_t)number) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        if (str_equal(argv[1], "point"))
            (void)run_calm(number, true);
        else if (str_equal(argv[1], "saving"))
            (void)run_saving(number, true);
        else
            run_seed((uint64_t)number, true);
        (void)printf("%s\n", sim.broken[0] != 0 ? sim.broken : "all is well");
        bool broken = sim.broken[0] != 0;
        sim_free(&sim);
        return broken ? EXIT_FAILURE : EXIT_SUCCESS;
    }
#ifdef FAULT_PLANTED
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_finds_the_planted_fault)};
    (void)test_no_crash;
    (void)test_same_seed_same_run;
    (void)test_crash_at_every_point;
    (void)test_crash_at_every_point_of_a_saving;
    (void)test_adversary;
#else
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_crash),
        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_crash_at_every_point),
        cmocka_unit_test(test_crash_at_every_point_of_a_saving),
        cmocka_unit_test(test_adversary),
    };
    (void)test_finds_the_planted_fault;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
