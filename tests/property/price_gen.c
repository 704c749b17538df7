#include "tests/property/price_gen.h"

#include <string.h>

static int64_t *factors(struct gen_random *random, int count, int percent, struct arena *arena);
static inline int64_t scale(int64_t amount, int64_t percent);
static void *own(struct arena *arena, const void *from, int count, size_t bytes);

void gen_prices(const struct problem *base, const struct gen_price_shape *shape,
                struct arena *arena, struct problem *out)
{
    struct gen_random random;
    gen_seed(&random, shape->seed * 7919 + 1);
    int64_t *site = factors(&random, base->site_count, shape->spread_percent, arena);
    int64_t *room = factors(&random, base->rule_count, shape->capacity_percent, arena);
    int64_t *meter = factors(&random, base->meter_count, shape->meter_percent, arena);
    *out = *base;
    out->parts = own(arena, base->parts, base->part_count, sizeof(*out->parts));
    out->pairs = own(arena, base->pairs, base->pair_count, sizeof(*out->pairs));
    out->rules = own(arena, base->rules, base->rule_count, sizeof(*out->rules));
    out->meters = own(arena, base->meters, base->meter_count, sizeof(*out->meters));
    for (int i = 0; i < out->part_count; i++) {
        struct problem_part *part = &out->parts[i];
        part->cost = own(arena, part->cost, part->choice_count, sizeof(*part->cost));
        for (int c = 0; c < part->choice_count; c++) {
            part->cost[c] = scale(part->cost[c], site[part->choices[c].site]);
        }
    }
    for (int i = 0; i < out->pair_count; i++) {
        struct problem_pair *pair = &out->pairs[i];
        const struct problem_part *a = &base->parts[pair->a];
        const struct problem_part *b = &base->parts[pair->b];
        pair->cost = own(arena, pair->cost, a->choice_count * b->choice_count, sizeof(*pair->cost));
        int64_t *cost = pair->cost;
        for (int x = 0; x < a->choice_count; x++) {
            for (int y = 0; y < b->choice_count; y++, cost++) {
                *cost = scale(*cost, (site[a->choices[x].site] + site[b->choices[y].site]) / 2);
            }
        }
    }
    for (int i = 0; i < out->rule_count; i++) {
        if (out->rules[i].kind == RULE_CAPACITY) {
            out->rules[i].capacity = scale(out->rules[i].capacity, room[i]);
        }
    }
    for (int i = 0; i < out->meter_count; i++) {
        for (int tier = 0; tier < out->meters[i].tier_count; tier++) {
            out->meters[i].price_nusd[tier] = scale(out->meters[i].price_nusd[tier], meter[i]);
        }
    }
}

static int64_t *factors(struct gen_random *random, int count, int percent, struct arena *arena)
{
    int64_t *factor = arena_array(arena, (size_t)count + 1, sizeof(*factor));
    BERTH_ASSERT(factor != NULL, "no memory for %d factors", count);
    for (int i = 0; i < count; i++) {
        factor[i] = 100 - percent + (int64_t)gen_below(random, 2 * (uint64_t)percent + 1);
    }
    return factor;
}

/* Rounded towards 0. */
static inline int64_t scale(int64_t amount, int64_t percent)
{
    int64_t scaled;
    return __builtin_mul_overflow(amount, percent, &scaled)
               ? (int64_t)((nusd)amount * percent / 100)
               : scaled / 100;
}

static void *own(struct arena *arena, const void *from, int count, size_t bytes)
{
    void *copy = arena_alloc_raw(arena, ((size_t)count + 1) * bytes);
    BERTH_ASSERT(copy != NULL, "no memory for %d things", count);
    if (count > 0) {
        memcpy(copy, from, (size_t)count * bytes);
    }
    return copy;
}
