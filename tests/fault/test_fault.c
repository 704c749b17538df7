/*
 * Crashes at every point, and seeds of faults.
 *
 *     test_fault                        everything that ctest runs
 *     test_fault point 1234             one crash point, with every step printed
 *     test_fault points                 all of them, not one of every few
 *     test_fault saving 1234            one of the script of savings, likewise
 *     test_fault seed 77                one seed of faults, likewise
 *     test_fault plain 77               the same without what came later (sim.h)
 *     test_fault shrink 77              the same with as few faults as it takes to fail
 *     test_fault seeds 5000             so many seeds
 *     test_fault soak 600               for so many seconds of processor time
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define SEEDS      60
#define ROUGH_US   (40 * US_PER_S)
#define POINT_STEP 7 /* ctest takes one of so many; `points` takes all */

/* Seeds that once found something in a plain run, each with what it was. */
static const struct {
    uint64_t seed;
    const char *what;
} pinned[] = {
    {12, "a stateful owner whose first lease ended was stopped, and the old copy owned again "
         "without what had been written meanwhile"},
    {14, "the same, by another way"},
    {153,
     "a node that had been found lost came back, started its ended owner again and made it the "
     "owner by its old epoch, beside the new one"},
    {269,
     "a scheduler that came back with its clock an hour ahead dropped a taken SNAPSHOT for its "
     "age and had the same round exported once more"},
    {158,
     "a SNAPSHOT of an earlier handoff came late, and its answer was taken for that of the next "
     "one's first round"},
    {690,
     "a grant that waited on its node for a lease was used after the node had been found lost and "
     "another copy granted"},
    {713, "the same, by another way"},
    {784, "the same of a stateful one"},
    {1168,
     "an agent that was started again knew no epochs of routes yet, and took one that had been "
     "sent to the agent before it"},
    {1558, "a stateful copy that had been granted was stopped, because the old one was heard again "
           "and was frozen and shipped once more"},
    {4482,
     "an owner that had ended was brought back by a RESUME that came late, beside the one that "
     "had been granted meanwhile"},
};

/* The same with disks that refuse, websockets, and messages that outlive a boot. */
static const struct {
    uint64_t seed;
    const char *what;
} pinned_full[] = {
    {12, "the only copy that served, not proven yet, was stopped because another site was chosen"},
    {112,
     "the journal refused a round's report and the answer to its SNAPSHOT; told again in the other "
     "order, the round was taken for an earlier handoff's and waited for"},
    {432,
     "a stateful owner that was about to own again after its lease was stopped, because its agent, "
     "started anew, was freezing it once more"},
    {1124, "an agent that died while it forgot an instance had no tombstone of it, and took a late "
           "START"},
    {1176, "an agent that was started again took a route of before, as 1168 did when the end of a "
           "move still asked for a plan"},
    {2108,
     "a hello of an earlier boot came after the new boot's, was taken for a reboot, and an owner "
     "that had just been granted for ended"},
};

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
        .seed = 1, .crash_at = crash_at, .script = SCRIPT_SAVING, .chatter = chatter};
    sim_run(&sim, &options);
    return sim.point;
}

static struct sim_options rough(uint64_t seed)
{
    return (struct sim_options){
        .seed = seed, .script = SCRIPT_ROUGH, .rough_us = ROUGH_US, .hash_every = 16};
}

static void run_seed(uint64_t seed, bool chatter)
{
    struct sim_options options = rough(seed);
    options.chatter = chatter;
    sim_run(&sim, &options);
}

static void test_no_crash(void **state)
{
    (void)state;
    (void)run_calm(0, false);
    if (sim.broken[0] != 0)
        fail_msg("%s", sim.broken);
    assert_true(sim.requests > 1000);
    assert_true(sim.http_requests > 1000);
    assert_int_equal(sim.requests_lost, 0);
    assert_int_equal(sim.http_refused, 0);
    assert_int_equal(sim.store_losses, 0);
    assert_int_equal(sim.moves_done, 4);
    assert_true(sim.resources[LEDGER].value > 100 && sim.store_acked > 100);
    (void)printf("%lld points, %lld handoffs, %lld requests (%lld passed on), %lld by HTTP, %lld "
                 "writes, longest pause of the ledger %lld ms, %d journal records\n",
                 (long long)sim.point, (long long)sim.handoffs, (long long)sim.requests,
                 (long long)sim.requests_moved, (long long)sim.http_requests, (long long)sim.writes,
                 (long long)(sim.resources[LEDGER].gap_us / US_PER_MS), sim.journal_count);
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

static int run_points(int64_t step, int64_t (*run)(int64_t crash_at, bool chatter))
{
    int64_t points = run(0, false);
    if (sim.broken[0] != 0)
        (void)printf("%s\n", sim.broken);
    int broken = sim.broken[0] != 0;
    sim_free(&sim);
    for (int64_t k = 1; k <= points && broken < 5; k += step) {
        (void)run(k, false);
        if (sim.broken[0] != 0) {
            broken++;
            (void)printf("point %lld: %s\n", (long long)k, sim.broken);
        } else if (!sim.crashed) {
            broken++;
            (void)printf("point %lld was not reached\n", (long long)k);
        }
        sim_free(&sim);
    }
    return broken;
}

static void test_crash_at_points(void **state)
{
    (void)state;
    assert_int_equal(run_points(POINT_STEP, run_calm), 0);
}

static void test_crash_at_points_of_a_saving(void **state)
{
    (void)state;
    assert_int_equal(run_points(POINT_STEP, run_saving), 0);
}

static bool run_one(uint64_t seed, bool plain)
{
    struct sim_options options = rough(seed);
    options.plain = plain;
    sim_run(&sim, &options);
    bool broken = sim.broken[0] != 0;
    if (broken)
        (void)printf("%s\n", sim.broken);
    sim_free(&sim);
    if (!broken)
        return true;
#ifndef FAULT_PLANTED
    sim_shrink(&options, 60);
#endif
    return false;
}

static int run_seeds(uint64_t count)
{
    int broken = 0;
    for (uint64_t seed = 1; seed <= count && broken < 3; seed++)
        broken += !run_one(seed, false);
    return broken;
}

static void test_faults(void **state)
{
    (void)state;
    assert_int_equal(run_seeds(SEEDS), 0);
}

static void test_pinned(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pinned) / sizeof(pinned[0]); i++) {
        if (!run_one(pinned[i].seed, true))
            fail_msg("seed %llu again: %s", (unsigned long long)pinned[i].seed, pinned[i].what);
    }
    for (size_t i = 0; i < sizeof(pinned_full) / sizeof(pinned_full[0]); i++) {
        if (!run_one(pinned_full[i].seed, false))
            fail_msg("seed %llu again: %s", (unsigned long long)pinned_full[i].seed,
                     pinned_full[i].what);
    }
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
    for (size_t i = 0; i < sizeof(pinned) / sizeof(pinned[0]) && !found; i++)
        found = !run_one(pinned[i].seed, true);
    for (size_t i = 0; i < sizeof(pinned_full) / sizeof(pinned_full[0]) && !found; i++)
        found = !run_one(pinned_full[i].seed, false);
    for (uint64_t seed = 1; seed <= 400 && !found; seed++)
        found = !run_one(seed, false);
    assert_true(found);
}

static int soak(int64_t seconds)
{
    int broken = 0;
    int64_t handoffs = 0;
    int64_t faulty = 0;
    uint64_t seed = (uint64_t)time(NULL) << 16;
    clock_t until = clock() + (clock_t)seconds * CLOCKS_PER_SEC;
    for (; clock() < until && broken < 3; seed++) {
        run_seed(seed, false);
        handoffs += sim.handoffs;
        faulty += sim.faulty;
        bool failed = sim.broken[0] != 0;
        sim_free(&sim);
        if (!failed)
            continue;
        broken++;
        (void)run_one(seed, false);
    }
    (void)printf("%lld handoffs, %lld of them with a fault, %d runs failed\n", (long long)handoffs,
                 (long long)faulty, broken);
    return broken;
}

static int by_hand(const char *what, int64_t number)
{
    if (str_equal(what, "seeds"))
        return run_seeds((uint64_t)number);
    if (str_equal(what, "soak"))
        return soak(number);
    if (str_equal(what, "shrink")) {
        struct sim_options options = rough((uint64_t)number);
        sim_shrink(&options, 200);
        return 0;
    }
    if (str_equal(what, "plain")) {
        struct sim_options options = rough((uint64_t)number);
        options.plain = options.chatter = true;
        sim_run(&sim, &options);
    } else if (str_equal(what, "point"))
        (void)run_calm(number, true);
    else if (str_equal(what, "saving"))
        (void)run_saving(number, true);
    else
        run_seed((uint64_t)number, true);
    (void)printf("%s\n", sim.broken[0] != 0 ? sim.broken : "all is well");
    int broken = sim.broken[0] != 0;
    sim_free(&sim);
    return broken;
}

int main(int argc, char **argv)
{
    int64_t number = 0;
    if (argc == 3 && str_to_i64(argv[2], &number) == 0)
        return by_hand(argv[1], number) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    if (argc == 2 && str_equal(argv[1], "points"))
        return run_points(1, run_calm) + run_points(1, run_saving) == 0 ? EXIT_SUCCESS
                                                                        : EXIT_FAILURE;
#ifdef FAULT_PLANTED
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_finds_the_planted_fault)};
    (void)test_no_crash;
    (void)test_same_seed_same_run;
    (void)test_crash_at_points;
    (void)test_crash_at_points_of_a_saving;
    (void)test_faults;
    (void)test_pinned;
#else
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_crash),        cmocka_unit_test(test_same_seed_same_run),
        cmocka_unit_test(test_crash_at_points), cmocka_unit_test(test_crash_at_points_of_a_saving),
        cmocka_unit_test(test_faults),          cmocka_unit_test(test_pinned),
    };
    (void)test_finds_the_planted_fault;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
