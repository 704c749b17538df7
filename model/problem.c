#include "model/problem.h"

#include <stddef.h>

static void volumes_add(const struct problem_use *use, size_t cell, int first, nusd *volumes);
static bool rule_holds(const struct problem *problem, const struct problem_rule *rule,
                       const int *site);
static nusd charge(const struct problem_meter *meter, nusd bytes);

const char *const solve_status_words[] = {"optimal", "feasible", "infeasible", "none"};

/* Meters of one problem are few, but their count is the caller's: volumes are summed in passes of
 * this many meters, so that the function needs no memory but its own frame. */
#define METERS_PER_PASS 64
/* Where a sum of absurd charges stops; berth-solve refuses far less. */
#define COST_MOST ((nusd)1 << 126)

nusd problem_cost(const struct problem *problem, const int *site)
{
    nusd cost = 0;
    for (int part = 0; part < problem->part_count; part++) {
        cost += problem->parts[part].cost[site[part]];
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        cost +=
            pair->cost[(size_t)site[pair->a] * (size_t)problem->site_count + (size_t)site[pair->b]];
    }
    for (int first = 0; first < problem->meter_count; first += METERS_PER_PASS) {
        nusd volumes[METERS_PER_PASS] = {0};
        for (int part = 0; part < problem->part_count; part++) {
            volumes_add(problem->parts[part].use, (size_t)site[part], first, volumes);
        }
        for (int i = 0; i < problem->pair_count; i++) {
            const struct problem_pair *pair = &problem->pairs[i];
            size_t cell =
                (size_t)site[pair->a] * (size_t)problem->site_count + (size_t)site[pair->b];
            volumes_add(pair->use, cell, first, volumes);
        }
        for (int i = 0; i < METERS_PER_PASS && first + i < problem->meter_count; i++) {
            nusd more = charge(&problem->meters[first + i], volumes[i]);
            if (__builtin_add_overflow(cost, more, &cost)) {
                cost = more < 0 ? -COST_MOST : COST_MOST;
            }
        }
    }
    return cost;
}

int problem_broken_rule(const struct problem *problem, const int *site)
{
    for (int i = 0; i < problem->rule_count; i++) {
        if (!rule_holds(problem, &problem->rules[i], site)) {
            return i;
        }
    }
    return -1;
}

nusd meter_charge(const struct problem_meter *meter, int64_t bytes)
{
    return charge(meter, bytes);
}

/* The exact numerator over the tiers that [base, base + bytes] touches, divided once. */
static nusd charge(const struct problem_meter *meter, nusd bytes)
{
    nusd from = meter->base_bytes;
    nusd to = from + bytes < INT64_MAX ? from + bytes : INT64_MAX; /* no meter counts further */
    nusd low = 0;
    nusd sum = 0;
    for (int tier = 0; tier < meter->tier_count && low < to; tier++) {
        bool last = tier == meter->tier_count - 1;
        nusd high = last ? to : meter->up_to_bytes[tier];
        nusd begin = low > from ? low : from;
        nusd end = high < to ? high : to;
        if (end > begin) {
            sum += (end - begin) * meter->price_nusd[tier];
        }
        low = high > low ? high : low;
    }
    nusd quotient = sum / meter->per_bytes;
    nusd rest = sum % meter->per_bytes;
    if (rest < 0) { /* towards minus infinity, so that one rounding rule serves both signs */
        rest += meter->per_bytes;
        quotient--;
    }
    nusd twice = 2 * rest;
    if (twice > meter->per_bytes || (twice == meter->per_bytes && (quotient & 1) != 0)) {
        quotient++;
    }
    return quotient;
}

/* Adds the bytes of a cell to volumes[meter - first], for the meters of this pass. */
static void volumes_add(const struct problem_use *use, size_t cell, int first, nusd *volumes)
{
    if (use == NULL) {
        return;
    }
    for (size_t k = 0; k < PROBLEM_USES; k++) {
        const struct problem_use *slot = &use[cell * PROBLEM_USES + k];
        if (slot->meter >= first && slot->meter < first + METERS_PER_PASS) {
            volumes[slot->meter - first] += slot->bytes;
        }
    }
}

static bool rule_holds(const struct problem *problem, const struct problem_rule *rule,
                       const int *site)
{
    nusd used = 0;
    switch (rule->kind) {
    case RULE_SITES:
        return rule->allowed[site[rule->a]];
    case RULE_PAIR:
        return rule
            ->allowed[(size_t)site[rule->a] * (size_t)problem->site_count + (size_t)site[rule->b]];
    case RULE_APART:
        for (int i = 0; i < rule->part_count; i++) {
            for (int j = i + 1; j < rule->part_count; j++) {
                if (rule->parts[i] != rule->parts[j] &&
                    site[rule->parts[i]] == site[rule->parts[j]]) {
                    return false;
                }
            }
        }
        return true;
    case RULE_CAPACITY:
        for (int part = 0; part < problem->part_count; part++) {
            if (site[part] == rule->site) {
                used += problem->parts[part].demand[rule->resource];
            }
        }
        return used <= rule->capacity;
    }
    BERTH_ASSERT(false, "rule kind %d", (int)rule->kind);
    return false;
}
