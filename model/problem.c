#include "model/problem.h"

#include <stddef.h>
#include <string.h>

/* What an assignment takes of every site; gathered when the first capacity is asked about. */
struct loads {
    bool known;
    nusd load[LIMIT_SITES][RESOURCE_COUNT];
};

static void volumes_add(const struct problem_use *use, int use_count, size_t cell, int first,
                        nusd *volumes);
static bool rule_holds(const struct problem *problem, const struct problem_rule *rule,
                       const int *choice, struct loads *loads);
static nusd load_of(const struct problem *problem, const struct problem_rule *rule,
                    const int *choice, struct loads *loads);
static nusd charge(const struct problem_meter *meter, nusd bytes);

const char *const solve_status_words[] = {"optimal", "feasible", "infeasible", "none"};

/* Meters of one problem are few, but their count is the caller's: volumes are summed in passes of
 * this many meters, so that the function needs no memory but its own frame. */
#define METERS_PER_PASS 64
/* Where a sum of absurd charges stops; berth-solve refuses far less. */
#define COST_MOST ((nusd)1 << 126)

nusd problem_cost(const struct problem *problem, const int *choice)
{
    nusd cost = 0;
    for (int part = 0; part < problem->part_count; part++) {
        cost += problem->parts[part].cost[choice[part]];
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        cost += pair->cost[problem_cell(problem, pair->b, choice[pair->a], choice[pair->b])];
    }
    for (int first = 0; first < problem->meter_count; first += METERS_PER_PASS) {
        nusd volumes[METERS_PER_PASS] = {0};
        for (int part = 0; part < problem->part_count; part++) {
            volumes_add(problem->parts[part].use, problem->parts[part].use_count,
                        (size_t)choice[part], first, volumes);
        }
        for (int i = 0; i < problem->pair_count; i++) {
            const struct problem_pair *pair = &problem->pairs[i];
            size_t cell = problem_cell(problem, pair->b, choice[pair->a], choice[pair->b]);
            volumes_add(pair->use, pair->use_count, cell, first, volumes);
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

int problem_broken_rule(const struct problem *problem, const int *choice)
{
    struct loads loads;
    loads.known = false;
    for (int i = 0; i < problem->rule_count; i++) {
        if (!rule_holds(problem, &problem->rules[i], choice, &loads)) {
            return i;
        }
    }
    return -1;
}

size_t problem_cell(const struct problem *problem, int part_b, int choice_a, int choice_b)
{
    return (size_t)choice_a * (size_t)problem->parts[part_b].choice_count + (size_t)choice_b;
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
static void volumes_add(const struct problem_use *use, int use_count, size_t cell, int first,
                        nusd *volumes)
{
    size_t slots = use == NULL ? 0 : (size_t)use_count;
    for (size_t k = 0; k < slots; k++) {
        const struct problem_use *slot = &use[cell * slots + k];
        if (slot->meter >= first && slot->meter < first + METERS_PER_PASS) {
            volumes[slot->meter - first] += slot->bytes;
        }
    }
}

static bool rule_holds(const struct problem *problem, const struct problem_rule *rule,
                       const int *choice, struct loads *loads)
{
    switch (rule->kind) {
    case RULE_CHOICES:
        return rule->allowed[choice[rule->a]];
    case RULE_PAIR:
        return rule->allowed[problem_cell(problem, rule->b, choice[rule->a], choice[rule->b])];
    case RULE_APART:
        for (int i = 0; i < rule->part_count; i++) {
            for (int j = i + 1; j < rule->part_count; j++) {
                int a = rule->parts[i];
                int b = rule->parts[j];
                if (a != b && problem->parts[a].choices[choice[a]].site ==
                                  problem->parts[b].choices[choice[b]].site) {
                    return false;
                }
            }
        }
        return true;
    case RULE_CAPACITY:
        return load_of(problem, rule, choice, loads) <= rule->capacity;
    }
    BERTH_ASSERT(false, "rule kind %d", (int)rule->kind);
    return false;
}

/* Of a capacity rule's site and resource. All are added up at once: there are as many rules as
 * rows. */
static nusd load_of(const struct problem *problem, const struct problem_rule *rule,
                    const int *choice, struct loads *loads)
{
    BERTH_ASSERT(rule->site < LIMIT_SITES, "a rule of site %d", rule->site);
    if (!loads->known) {
        memset(loads, 0, sizeof(*loads));
        loads->known = true;
        for (int part = 0; part < problem->part_count; part++) {
            const struct problem_choice *taken = &problem->parts[part].choices[choice[part]];
            BERTH_ASSERT(taken->site < LIMIT_SITES, "a choice at site %d", taken->site);
            for (int r = 0; r < RESOURCE_COUNT; r++) {
                loads->load[taken->site][r] += taken->demand[r];
            }
        }
    }
    return loads->load[rule->site][rule->resource];
}
