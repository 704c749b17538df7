/* The parts of a world of requests, each against a plain model of it: caches against lists, shares
 * against small steps, arrivals against their rates, formulas against published values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "simulator/engine/engine.h"
#include "simulator/requests/arrivals.h"
#include "simulator/requests/cache.h"
#include "simulator/requests/closed.h"
#include "simulator/requests/sharing.h"

static void assert_near(double got, double wanted, double error)
{
    if (!(fabs(got - wanted) <= error))
        fail_msg("%.12g is not within %.3g of %.12g", got, error, wanted);
}

/* ---- caches ---- */
#define OBJECTS 40

/* A cache as anybody would write it down: for each object what the rule needs, found by looking at
 * all of them. */
struct plain {
    bool held[OBJECTS + 1];
    int64_t used[OBJECTS + 1];   /* LRU: last use; LFU: last use; TTL: stored */
    int64_t order[OBJECTS + 1];  /* of storing */
    uint64_t count[OBJECTS + 1]; /* LFU */
    uint64_t number;
};

static uint64_t plain_victim(const struct plain *plain, enum cache_kind kind)
{
    uint64_t victim = 0;
    for (uint64_t i = 1; i <= OBJECTS; i++) {
        if (!plain->held[i])
            continue;
        bool worse = victim == 0;
        if (!worse && kind == CACHE_LFU)
            worse = plain->count[i] != plain->count[victim] ? plain->count[i] < plain->count[victim]
                                                            : plain->used[i] < plain->used[victim];
        else if (!worse)
            worse = kind == CACHE_TTL ? plain->order[i] < plain->order[victim]
                                      : plain->used[i] < plain->used[victim];
        if (worse)
            victim = i;
    }
    return victim;
}

static void test_caches_are_what_lists_say(void **state)
{
    (void)state;
    static const enum cache_kind kinds[] = {CACHE_LRU, CACHE_LFU, CACHE_TTL};
    for (int k = 0; k < 30; k++) {
        enum cache_kind kind = kinds[k % 3];
        struct random_stream stream;
        random_indexed(&stream, 1, "cache", (uint64_t)k);
        struct cache_policy policy = {
            .kind = kind, .room_objects = 1 + random_below(&stream, 20), .ttl_ns = 500};
        struct cache *cache = cache_create(&policy, OBJECTS, &stream);
        assert_non_null(cache);
        struct random_zipf zipf;
        random_zipf_init(&zipf, OBJECTS, 0.8);
        struct plain plain = {0};
        int64_t now_ns = 0;
        uint64_t held = 0;
        for (int i = 0; i < 5000; i++) {
            uint64_t object = random_zipf_rank(&stream, &zipf);
            now_ns += (int64_t)random_below(&stream, 20);
            bool hit = plain.held[object];
            if (hit && kind == CACHE_TTL && now_ns - plain.used[object] >= policy.ttl_ns) {
                hit = plain.held[object] = false;
                held--;
            }
            assert_int_equal(cache_ask(cache, object, now_ns), hit);
            plain.number++;
            if (hit) {
                plain.count[object]++;
                if (kind != CACHE_TTL)
                    plain.used[object] = (int64_t)plain.number;
            } else if (random_below(&stream, 10) > 0) { /* some answers never come */
                if (held == policy.room_objects) {
                    plain.held[plain_victim(&plain, kind)] = false;
                    held--;
                }
                plain.held[object] = true;
                plain.count[object] = 1;
                plain.order[object] = (int64_t)plain.number;
                plain.used[object] = kind == CACHE_TTL ? now_ns : (int64_t)plain.number;
                held++;
                cache_store(cache, object, now_ns);
                cache_store(cache, object, now_ns + 1); /* again: nothing */
            }
            assert_int_equal(cache_held(cache), held);
            if (random_below(&stream, 2000) == 0) {
                cache_clear(cache);
                plain = (struct plain){.number = plain.number};
                held = 0;
            }
        }
        cache_destroy(cache);
    }
}

static void test_cache_policies_are_checked(void **state)
{
    (void)state;
    struct error err = {0};
    const struct cache_policy lru = {.kind = CACHE_LRU};
    const struct cache_policy ttl = {.kind = CACHE_TTL, .room_objects = 3};
    const struct cache_policy given = {.kind = CACHE_GIVEN, .hit_ppm = 1000001};
    assert_int_equal(cache_check(&lru, 10, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "room_objects"));
    assert_int_equal(cache_check(&ttl, 10, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "ttl_ns"));
    assert_int_equal(cache_check(&given, 0, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "hit_ppm"));
    const struct cache_policy good = {.kind = CACHE_LRU, .room_objects = 3};
    assert_int_equal(cache_check(&good, 0, &err), ERR_INVALID);
    assert_int_equal(cache_check(&good, 10, &err), 0);
}

/* ---- sharing ---- */
/* Each job's rest, lowered in steps between the instants at which something happens. */
static void test_shares_are_equal_and_limited(void **state)
{
    (void)state;
    enum { jobs = 300 };
    for (int round = 0; round < 10; round++) {
        struct random_stream stream;
        random_indexed(&stream, 2, "sharing", (uint64_t)round);
        double rate = 1 + (double)random_below(&stream, 4);
        double each_max = random_below(&stream, 2) == 0 ? rate : 1;
        struct sharing sharing;
        sharing_init(&sharing, rate, each_max);
        double rest[jobs] = {0};
        bool here[jobs] = {false};
        int64_t now_ns = 0;
        int64_t came_ns = 0;
        int count = 0;
        int next = 0;
        int done = 0;
        while (done < jobs) {
            int64_t leaves_ns = sharing_next_ns(&sharing);
            bool comes = next < jobs && came_ns <= leaves_ns;
            int64_t to_ns = comes ? came_ns : leaves_ns;
            double each = count == 0 ? 0 : fmin(rate / count, each_max) * (double)(to_ns - now_ns);
            for (int i = 0; i < jobs; i++)
                if (here[i])
                    rest[i] -= each;
            now_ns = to_ns;
            if (comes) {
                rest[next] = 1 + (double)random_below(&stream, 100000);
                here[next] = true;
                assert_true(sharing_add(&sharing, now_ns, rest[next], (uint32_t)next));
                next++;
                count++;
                came_ns += (int64_t)(40000 * random_exponential(&stream));
            } else {
                uint32_t job = sharing_take(&sharing, now_ns);
                assert_true(here[job]);
                for (int i = 0; i < jobs; i++) /* nobody who is here had less left */
                    assert_true(!here[i] || rest[i] > rest[job] - 4);
                assert_near(rest[job], 0, 4 + each_max); /* rounded up to whole nanoseconds */
                here[job] = false;
                count--;
                done++;
            }
        }
        assert_int_equal(sharing.count, 0);
        assert_int_equal(sharing_next_ns(&sharing), INT64_MAX);
        sharing_done(&sharing);
    }
}

/* ---- arrivals ---- */
static void test_rates_of_arrivals(void **state)
{
    (void)state;
    const struct arrivals_spec specs[] = {
        {.kind = ARRIVALS_POISSON, .per_s = 50},
        {.kind = ARRIVALS_DIURNAL,
         .per_s = 50,
         .amplitude = 0.8,
         .period_ns = 100 * NS_PER_S,
         .peak_ns = 30 * NS_PER_S},
        {.kind = ARRIVALS_BURSTS,
         .per_s = 20,
         .burst_per_s = 140,
         .calm_mean_ns = 3 * NS_PER_S,
         .burst_mean_ns = NS_PER_S},
    };
    for (size_t k = 0; k < sizeof specs / sizeof specs[0]; k++) {
        struct error err;
        struct random_stream stream;
        struct arrivals arrivals;
        random_indexed(&stream, 3, "arrivals", k);
        assert_int_equal(arrivals_check(&specs[k], &err), 0);
        arrivals_init(&arrivals, &specs[k], &stream);
        assert_near(arrivals_mean_per_s(&specs[k]), 50, 1e-9);
        const int64_t until_ns = 20000 * NS_PER_S;
        double count = 0;
        double near_peak = 0;
        double near_low = 0;
        int64_t last_ns = 0;
        for (;;) {
            int64_t at_ns = arrivals_next_ns(&arrivals);
            assert_true(at_ns >= last_ns);
            last_ns = at_ns;
            if (at_ns > until_ns)
                break;
            count++;
            int64_t phase_s = at_ns / NS_PER_S % 100;
            near_peak += phase_s >= 20 && phase_s < 40;
            near_low += phase_s >= 70 && phase_s < 90;
        }
        /* A million; bursts spread wider: their variance is 60 per arrival. */
        assert_near(count, 1e6, k == 2 ? 40000 : 5000);
        if (k == 1) {
            /* The mean of the cosine within a fifth of the period around the peak. */
            double lift = 0.8 * sin(M_PI / 5) / (M_PI / 5);
            assert_near(near_peak / 2e5, 1 + lift, 0.02);
            assert_near(near_low / 2e5, 1 - lift, 0.02);
        }
    }
}

static bool three(void *context, int64_t *ret_at_ns)
{
    static const int64_t instants[] = {5, 5, 9, 8};
    int *at = context;
    if (*at == 4)
        return false;
    *ret_at_ns = instants[(*at)++];
    return true;
}

static void test_a_trace_ends_where_it_goes_back(void **state)
{
    (void)state;
    int at = 0;
    struct random_stream stream;
    random_seed(&stream, 1);
    struct arrivals arrivals;
    const struct arrivals_spec spec = {.kind = ARRIVALS_TRACE, .next = three, .context = &at};
    arrivals_init(&arrivals, &spec, &stream);
    assert_int_equal(arrivals_next_ns(&arrivals), 5);
    assert_int_equal(arrivals_next_ns(&arrivals), 5);
    assert_int_equal(arrivals_next_ns(&arrivals), 9);
    assert_false(arrivals.went_back);
    assert_int_equal(arrivals_next_ns(&arrivals), ENGINE_NEVER);
    assert_true(arrivals.went_back);
    assert_int_equal(arrivals_next_ns(&arrivals), ENGINE_NEVER);
}

static void test_arrivals_are_checked(void **state)
{
    (void)state;
    struct error err = {0};
    const struct arrivals_spec bad[] = {
        {.kind = ARRIVALS_POISSON, .per_s = -1},
        {.kind = ARRIVALS_POISSON, .per_s = NAN},
        {.kind = ARRIVALS_DIURNAL, .per_s = 1, .amplitude = 1.5, .period_ns = 1},
        {.kind = ARRIVALS_DIURNAL, .per_s = 1, .amplitude = 0.5},
        {.kind = ARRIVALS_BURSTS, .per_s = 1, .burst_per_s = 2, .calm_mean_ns = 1},
        {.kind = ARRIVALS_TRACE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(arrivals_check(&bad[i], &err), ERR_INVALID);
    struct random_stream stream;
    struct arrivals arrivals;
    random_seed(&stream, 1);
    arrivals_init(&arrivals, &(struct arrivals_spec){.kind = ARRIVALS_POISSON}, &stream);
    assert_int_equal(arrivals_next_ns(&arrivals), ENGINE_NEVER); /* of rate 0 */
}

/* ---- formulas ---- */
static void test_formulas_have_their_published_values(void **state)
{
    (void)state;
    assert_near(closed_erlang_b(121.2, 100), 0.20321, 5e-6);
    assert_near(closed_erlang_b(10, 10), 0.2145823, 5e-7); /* tables of Erlang B */
    assert_near(closed_erlang_b(2, 3), 4.0 / 19, 1e-12);
    assert_near(closed_erlang_b(0, 3), 0, 0);
    assert_near(closed_erlang_c(2, 3), 4.0 / 9, 1e-12);
    assert_near(closed_mmc_wait(2, 1, 3), 4.0 / 9, 1e-12);
    assert_near(closed_mmc_wait(0.5, 1, 1), 1, 1e-12);   /* M/M/1: rho / (1 - rho) */
    assert_near(closed_mg1_wait(0.5, 1, 2), 1, 1e-12);   /* the same */
    assert_near(closed_mg1_wait(0.5, 1, 1), 0.5, 1e-12); /* M/D/1: half of it */
    assert_near(closed_ps_time(0.5, 1), 2, 1e-12);
    assert_true(isinf(closed_mmc_wait(3, 1, 3)) && isinf(closed_mg1_wait(1, 1, 1)));
    assert_true(isnan(closed_erlang_b(-1, 3)));
    /* Equal objects: a cache with room for a part of them hits with about that chance. */
    assert_near(closed_lru_hits(1000, 0, 250), 0.25, 1e-9);
    assert_near(closed_lru_hits(1000, 0.8, 1000), 1, 1e-12);
    assert_near(closed_ttl_hits(10, 0, 10), 0.5, 1e-12); /* one request per lifetime each */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_caches_are_what_lists_say),
        cmocka_unit_test(test_cache_policies_are_checked),
        cmocka_unit_test(test_shares_are_equal_and_limited),
        cmocka_unit_test(test_rates_of_arrivals),
        cmocka_unit_test(test_a_trace_ends_where_it_goes_back),
        cmocka_unit_test(test_arrivals_are_checked),
        cmocka_unit_test(test_formulas_have_their_published_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
