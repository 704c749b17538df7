/* Shares of a meter: the axioms on seeded meters, the exact answer against every order, and the
 * sampled one against the exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/share_meter.h"

#define GIB  (INT64_C(1) << 30)
#define APPS 40

static uint64_t seed = 20261122;

static int64_t below(int64_t limit)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)((seed >> 20) % (uint64_t)limit);
}

struct made {
    struct egress_tier tiers[4];
    int64_t bytes[APPS];
    struct share_meter meter;
};

/* Falling tiers, as providers have them, or rising ones. */
static void make(struct made *made, int apps, bool rising)
{
    int tiers = 1 + (int)below(4);
    int64_t price = 90000000;
    int64_t up_to = 0;
    for (int i = 0; i < tiers; i++) {
        up_to += 1 + below(10000 * GIB);
        made->tiers[i].up_to_bytes = i == tiers - 1 ? INT64_MAX : up_to;
        made->tiers[i].price = (struct decimal){price, 9};
        price = rising ? price + below(30000000) : price - below(price / 2 + 1);
    }
    for (int i = 0; i < apps; i++)
        made->bytes[i] = below(4) == 0 ? 0 : below(5000 * GIB);
    made->meter = (struct share_meter){.tiers = made->tiers,
                                       .tier_count = tiers,
                                       .per_bytes = below(2) == 0 ? GIB : 1000000000,
                                       .base_bytes = below(3) == 0 ? 0 : below(20000 * GIB),
                                       .bytes = made->bytes,
                                       .app_count = apps};
}

static nusd divide(struct made *made, struct share *shares, bool *exact)
{
    struct arena arena;
    struct error err;
    nusd total = -1;
    struct share_options options = {.orders = 400, .seed = 7};
    arena_init(&arena, (size_t)64 << 20);
    assert_int_equal(share_meter(&made->meter, &options, &arena, shares, &total, exact, &err), 0);
    arena_done(&arena);
    return total;
}

static nusd apart(nusd a, nusd b)
{
    return a > b ? a - b : b - a;
}

static void test_axioms(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct made made;
        struct share shares[APPS];
        bool exact;
        int apps = 1 + (int)below(round % 10 == 0 ? APPS : 9);
        make(&made, apps, round % 5 == 4);
        if (apps > 1)
            made.bytes[apps - 1] = made.bytes[0];
        nusd total = divide(&made, shares, &exact);
        nusd shapley = 0;
        nusd proportional = 0;
        __int128 all = 0;
        nusd charge;
        for (int i = 0; i < apps; i++) {
            shapley += shares[i].shapley;
            proportional += shares[i].proportional;
            all += made.bytes[i];
            if (made.bytes[i] == 0) { /* who sends nothing pays nothing */
                assert_true(shares[i].shapley == 0 && shares[i].marginal == 0 &&
                            shares[i].proportional == 0 && shares[i].spread == 0);
            }
            assert_true(shares[i].shapley >= 0 && shares[i].marginal >= 0);
            assert_true(!exact || shares[i].spread == 0);
        }
        /* everything is paid, to the nano-dollar */
        assert_int_equal(share_meter_charge(&made.meter, all, &charge), 0);
        assert_true(total == charge && shapley == total && proportional == total);
        if (!exact)
            continue;
        for (int i = 0; i < apps; i++)
            for (int k = 0; k < apps; k++) {
                if (made.bytes[i] == made.bytes[k]) /* equals pay the same */
                    assert_true(apart(shares[i].shapley, shares[k].shapley) <= 1);
                if (made.bytes[i] < made.bytes[k]) /* who sends more pays no less */
                    assert_true(shares[i].shapley <= shares[k].shapley + 1);
            }
    }
}

/* The mean over all orders, added up order by order. */
static void all_orders(const struct made *made, int *order, int at, nusd *sum, int *count)
{
    int apps = made->meter.app_count;
    if (at == apps) {
        __int128 volume = 0;
        nusd before = 0;
        for (int i = 0; i < apps; i++) {
            nusd after;
            volume += made->bytes[order[i]];
            assert_int_equal(share_meter_charge(&made->meter, volume, &after), 0);
            sum[order[i]] += after - before;
            before = after;
        }
        ++*count;
        return;
    }
    for (int i = at; i < apps; i++) {
        int kept = order[at];
        order[at] = order[i];
        order[i] = kept;
        all_orders(made, order, at + 1, sum, count);
        order[i] = order[at];
        order[at] = kept;
    }
}

static void test_exact_is_every_order(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        struct made made;
        struct share shares[APPS];
        int order[6];
        nusd sum[6] = {0};
        int count = 0;
        bool exact;
        int apps = 1 + (int)below(6);
        make(&made, apps, round % 2 == 1);
        (void)divide(&made, shares, &exact);
        assert_true(exact);
        for (int i = 0; i < apps; i++)
            order[i] = i;
        all_orders(&made, order, 0, sum, &count);
        for (int i = 0; i < apps; i++)
            assert_true(apart(shares[i].shapley, sum[i] / count) <= 1);
    }
}

static void test_a_case_by_hand(void **state)
{
    (void)state;
    /* 10 GiB at $1, then $0.50: 10 and 10 GiB are $15; each comes first ($10) or second ($5). */
    struct made made = {.tiers = {{10 * GIB, {1, 0}}, {INT64_MAX, {5, 1}}},
                        .bytes = {10 * GIB, 10 * GIB}};
    struct share shares[2];
    bool exact;
    made.meter = (struct share_meter){made.tiers, 2, GIB, 0, made.bytes, 2};
    assert_true(divide(&made, shares, &exact) == 15 * NUSD_PER_USD);
    for (int i = 0; i < 2; i++) {
        assert_true(shares[i].shapley == 15 * NUSD_PER_USD / 2);
        assert_true(shares[i].marginal == 5 * NUSD_PER_USD);
        assert_true(shares[i].proportional == 15 * NUSD_PER_USD / 2);
    }
}

/* Equal apps: by symmetry each share is total / n, which the sampled means must be near. */
static void test_sampled_says_how_sure_it_is(void **state)
{
    (void)state;
    int outside = 0;
    int judged = 0;
    for (int round = 0; round < 20; round++) {
        struct made made;
        struct share shares[APPS];
        bool exact;
        make(&made, APPS, round % 2 == 1);
        for (int i = 0; i < APPS; i++)
            made.bytes[i] = 500 * GIB;
        nusd total = divide(&made, shares, &exact);
        assert_false(exact);
        for (int i = 0; i < APPS; i++) {
            judged++;
            /* four standard errors, and the nano-dollar of rounding */
            outside += apart(shares[i].shapley, total / APPS) > 4 * shares[i].spread + 1;
        }
    }
    assert_true(judged == 20 * APPS && outside <= 4);
}

static void test_too_much(void **state)
{
    (void)state;
    struct made made = {.tiers = {{INT64_MAX, {INT64_C(999999999999999999), 0}}},
                        .bytes = {INT64_MAX}};
    struct share shares[1];
    struct arena arena;
    struct error err;
    nusd total;
    bool exact;
    made.meter = (struct share_meter){made.tiers, 1, 1, 0, made.bytes, 1};
    arena_init(&arena, 1 << 20);
    assert_int_equal(share_meter(&made.meter, &(struct share_options){.seed = 1}, &arena, shares,
                                 &total, &exact, &err),
                     ERR_OVERFLOW);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_axioms),         cmocka_unit_test(test_exact_is_every_order),
        cmocka_unit_test(test_a_case_by_hand), cmocka_unit_test(test_sampled_says_how_sure_it_is),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
