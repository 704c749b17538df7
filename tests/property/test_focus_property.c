/*
 * cost_focus against the whole: for random worlds of several apps, placed at random, the candidates
 * of a workload in the focus of its app are those of the whole input, to the nano-dollars that
 * meters round; prices of room change no answer but what they are there for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "model/app.h"
#include "model/cost_flip.h"
#include "model/cost_focus.h"
#include "tests/property/problem_gen.h"
#include "tests/property/world_gen.h"

#define INSTANCES 60
#define SLACK     50 /* nano-dollars: each meter's charge is rounded once in either way */

struct made {
    struct arena arena;
    struct world_made world;
    struct cost_focus focus;
    int app;
    int workload;
};

static void made_begin(struct made *made, uint64_t seed)
{
    struct gen_random random;
    struct error err = {0};
    gen_seed(&random, seed);
    memset(made, 0, sizeof(*made));
    arena_init(&made->arena, (size_t)256 << 20);
    struct world_shape shape = {.seed = seed,
                                .sites = 3 + (int)gen_below(&random, 6),
                                .apps = 1 + (int)gen_below(&random, 4),
                                .workloads = 1 + (int)gen_below(&random, 9),
                                .linked = gen_chance(&random, 60),
                                .capacity_percent =
                                    gen_chance(&random, 70) ? 60 + (int)gen_below(&random, 200) : 0,
                                .tagged_percent = 30};
    if (world_make(&shape, &made->arena, &made->world, &err) < 0) {
        fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
    }
    for (int i = 0; i < made->world.parts; i++) {
        bool placed = !gen_chance(&random, 10);
        made->world.at[i].site =
            placed ? 1 + (int)gen_below(&random, (uint64_t)shape.sites - 1) : -1;
        made->world.input.apps[i / shape.workloads].states[i % shape.workloads].now =
            gen_chance(&random, 50) ? made->world.at[i] : (struct placement){.site = -1};
    }
    made->app = (int)gen_below(&random, (uint64_t)shape.apps);
    made->workload = (int)gen_below(&random, (uint64_t)shape.workloads);
    assert_int_equal(cost_focus(&made->world.input, made->world.at, made->app, made->workload,
                                &made->arena, &made->focus, &err),
                     0);
    assert_string_equal(made->focus.what.workloads[made->focus.workload].name,
                        made->world.apps[made->app].workloads[made->workload].name);
}

static struct cost_candidate *candidates_of(struct made *made, const struct cost_input *input,
                                            const struct placement *at, int part, int *ret_count)
{
    struct cost_candidate *list = NULL;
    struct error err = {0};
    if (cost_candidates(input, at, part, &made->arena, &list, ret_count, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return list;
}

static void near(uint64_t seed, nusd a, nusd b)
{
    nusd apart = a > b ? a - b : b - a;
    if (apart > SLACK) {
        fail_msg("seed %llu: %lld and %lld", (unsigned long long)seed, (long long)a, (long long)b);
    }
}

static void test_focus_answers_as_the_whole(void **state)
{
    (void)state;
    int allowed = 0;
    int refused = 0;
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        struct made made;
        int count = 0;
        int same = 0;
        made_begin(&made, seed);
        int part = cost_part(&made.world.input, made.app, made.workload);
        struct cost_candidate *whole =
            candidates_of(&made, &made.world.input, made.world.at, part, &count);
        struct cost_candidate *here =
            candidates_of(&made, &made.focus.input, made.focus.at, made.focus.workload, &same);
        assert_int_equal(count, same);
        /* Gaps are to where it is, or to the best that is allowed. */
        bool based = made.focus.at[made.focus.workload].site >= 0;
        for (int i = 0; i < count; i++) {
            based = based || whole[i].allowed;
        }
        for (int i = 0; i < count; i++) {
            assert_int_equal(whole[i].to.site, here[i].to.site);
            assert_int_equal(whole[i].chosen, here[i].chosen);
            assert_int_equal(whole[i].allowed, here[i].allowed);
            /* Bills and scores of its own lines depend on who fills a tier first: the gap does not.
             */
            near(seed, based ? whole[i].gap : 0, based ? here[i].gap : 0);
            assert_true(whole[i].reduced == whole[i].gap && whole[i].room == 0);
            allowed += whole[i].allowed;
            refused += !whole[i].allowed;
        }
        arena_done(&made.arena);
    }
    assert_true(allowed > 50 && refused > 50); /* both happen, or nothing was tried */
}

/* Room with a price: what is full can be had at it, and the gap counts it on both sides. */
static void test_prices_of_room(void **state)
{
    (void)state;
    int full = 0;
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        struct made made;
        int count = 0;
        struct gen_random random;
        made_begin(&made, seed);
        gen_seed(&random, seed * 977);
        int sites = made.world.world.site_count;
        double(*price)[RESOURCE_COUNT] = arena_array(&made.arena, (size_t)sites, sizeof(*price));
        assert_non_null(price);
        for (int i = 0; i < sites; i++) {
            price[i][RESOURCE_CPU] = (double)gen_below(&random, 100000000);
        }
        struct cost_candidate *plain =
            candidates_of(&made, &made.focus.input, made.focus.at, made.focus.workload, &count);
        made.focus.input.capacity_price = price;
        struct cost_candidate *priced =
            candidates_of(&made, &made.focus.input, made.focus.at, made.focus.workload, &count);
        int64_t mcpu = made.focus.what.workloads[made.focus.workload].reserve[RESOURCE_CPU];
        nusd base = 0;
        for (int i = 0; i < count; i++) {
            assert_true(priced[i].room ==
                        (nusd)(price[priced[i].to.site][RESOURCE_CPU] * (double)mcpu));
            base = priced[i].chosen ? priced[i].room : base;
        }
        for (int i = 0; i < count && made.focus.at[made.focus.workload].site >= 0; i++) {
            assert_int_equal(plain[i].allowed, priced[i].allowed);
            assert_true(plain[i].gap == priced[i].gap);
            assert_true(priced[i].reduced == priced[i].gap + priced[i].room - base);
            assert_false(priced[i].full && priced[i].allowed);
            full += priced[i].full;
        }
        arena_done(&made.arena);
    }
    assert_true(full > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_focus_answers_as_the_whole),
        cmocka_unit_test(test_prices_of_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
