/* The moves that fill one site best, against all sets of moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/solve/primal_match.h"
#include "tests/property/problem_gen.h"

#define MATCH_SEEDS 2000
#define MATCH_ITEMS 10

struct fill {
    struct match_item item[MATCH_ITEMS];
    int items;
    int resources;
    double price[2];
    int64_t room[2];
};

static void make_fill(uint64_t seed, struct fill *fill)
{
    struct gen_random random;
    gen_seed(&random, seed);
    memset(fill, 0, sizeof(*fill));
    fill->items = 1 + (int)gen_below(&random, MATCH_ITEMS);
    fill->resources = 1 + (int)gen_below(&random, 2);
    uint64_t size = gen_chance(&random, 20) ? UINT64_C(1) << 40 : 20;
    bool shared = gen_chance(&random, 40);
    for (int i = 0; i < fill->items; i++) {
        struct match_item *item = &fill->item[i];
        bool same = shared && i > 0 && gen_chance(&random, 40);
        item->part = same ? item[-1].part : i;
        item->rise = (double)gen_below(&random, 50);
        for (int r = 0; r < fill->resources; r++) {
            item->fill[r] = (int64_t)gen_below(&random, 2 * size) - (int64_t)size;
        }
    }
    for (int r = 0; r < fill->resources; r++) {
        fill->price[r] =
            gen_chance(&random, 20) ? 0 : (double)gen_below(&random, 100) / (double)size;
        fill->room[r] = (int64_t)gen_below(&random, 4 * size) - 2 * (int64_t)size;
    }
}

/* What a set costs; INFINITY: two items of one part, or a row is over. */
static double fill_cost(const struct fill *fill, unsigned set)
{
    double cost = 0;
    for (int r = 0; r < fill->resources; r++) {
        int64_t left = fill->room[r];
        for (int i = 0; i < fill->items; i++) {
            left -= (set >> i & 1) != 0 ? fill->item[i].fill[r] : 0;
        }
        cost += left < 0 ? INFINITY : fill->price[r] * (double)left;
    }
    int part = -1;
    for (int i = 0; i < fill->items; i++) {
        if ((set >> i & 1) != 0) {
            cost += fill->item[i].part == part ? INFINITY : fill->item[i].rise;
            part = fill->item[i].part;
        }
    }
    return cost;
}

/* One site's filling against all sets of moves. */
static void fills_best(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 64 << 20);
    struct match *match = match_create(&arena, 4096);
    assert_non_null(match);
    int possible = 0;
    int best = 0;
    int sure = 0;
    for (uint64_t seed = 1; seed <= MATCH_SEEDS; seed++) {
        struct fill fill;
        make_fill(seed, &fill);
        double least = INFINITY;
        for (unsigned set = 0; set < 1u << fill.items; set++) {
            least = fmin(least, fill_cost(&fill, set));
        }
        struct match_task task = {.resources = fill.resources,
                                  .price = fill.price,
                                  .room = fill.room,
                                  .item = fill.item,
                                  .items = fill.items,
                                  .best = seed % 2 == 0 ? INFINITY : fill_cost(&fill, 0),
                                  .sets_max = 4096};
        int chosen[MATCH_ITEMS];
        int count;
        double found = match_find(match, &task, chosen, &count);
        unsigned set = 0;
        for (int i = 0; i < count; i++) {
            assert_true((set >> chosen[i] & 1) == 0);
            set |= 1u << chosen[i];
        }
        double cost = fill_cost(&fill, set);
        double proven = match_proven(match);
        assert_true(proven <= fmin(least, task.best) + 1e-9 * (1 + fabs(least)));
        sure += least < INFINITY && proven >= least - 1e-9 * (1 + fabs(least));
        assert_true(!(found < task.best) || fabs(cost - found) <= 1e-3 * (1 + fabs(cost)));
        assert_true(found < task.best || count == 0);
        possible += least < INFINITY;
        best += least < INFINITY && found <= least + 1e-3 * (1 + fabs(least));
    }
    printf("%d fills, %d possible, %d best, %d proven\n", MATCH_SEEDS, possible, best, sure);
    assert_true(sure * 2 >= possible);
    assert_true(possible > MATCH_SEEDS / 2);
    assert_true(best * 100 >= possible * 97);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fills_best)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
