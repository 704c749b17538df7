/* What every other site and variant would mean for one part, all else staying as it is. */
#include <string.h>

#include "base/str.h"
#include "model/cost_internal.h"

struct candidates {
    const struct cost_input *input;
    const struct cost_context *context;
    const struct problem *problem;
    int part;
    struct placement *there; /* at[] with the part elsewhere */
    int *choice;
    int64_t *volume;
};

static int prepare(struct candidates *candidates, const struct placement *at, struct arena *arena);
static int judge(const struct candidates *candidates, struct cost_candidate *candidate,
                 nusd *ret_score, struct error *err);
static void name_sharers(const struct candidates *candidates, struct cost_candidate *candidate);
static int broken_rule(const struct candidates *candidates);
static bool only_room(const struct candidates *candidates, int first);
static void price_room(const struct candidates *candidates, struct cost_candidate *candidate);
static bool breaks(const struct candidates *candidates, const struct problem_rule *rule);
static bool breaks_apart(const struct candidates *candidates, const struct problem_rule *rule);
static bool breaks_capacity(const struct candidates *candidates, const struct problem_rule *rule);
static int no_memory(struct error *err);

int cost_candidates(const struct cost_input *input, const struct placement *at, int part,
                    struct arena *arena, struct cost_candidate **ret_candidates, int *ret_count,
                    struct error *err)
{
    struct cost_context context;
    struct problem problem;
    int rc = cost_context_build(input, arena, &context, err);
    if (rc == 0) {
        rc = cost_problem_rules(&context, arena, &problem, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct candidates candidates = {
        .input = input, .context = &context, .problem = &problem, .part = part};
    int variants = cost_variants(context.parts[part].what);
    int count = context.site_count * variants;
    struct cost_candidate *list = arena_array(arena, (size_t)count, sizeof(*list));
    nusd *scores = arena_array(arena, (size_t)count, sizeof(*scores));
    if (list == NULL || scores == NULL || prepare(&candidates, at, arena) < 0) {
        return no_memory(err);
    }
    int base = -1; /* the chosen one, else the best that is allowed */
    for (int i = 0; i < count; i++) {
        list[i].to = (struct placement){.site = i / variants, .variant = i % variants};
        list[i].chosen = list[i].to.site == at[part].site &&
                         list[i].to.variant == cost_variant(context.parts[part].what, &at[part]);
        rc = judge(&candidates, &list[i], &scores[i], err);
        if (rc < 0) {
            return rc;
        }
        if (list[i].chosen ||
            (at[part].site < 0 && list[i].allowed && (base < 0 || scores[i] < scores[base]))) {
            base = i;
        }
    }
    for (int i = 0; i < count; i++) {
        list[i].gap = scores[i] - (base < 0 ? 0 : scores[base]);
        list[i].reduced = list[i].gap + list[i].room - (base < 0 ? 0 : list[base].room);
    }
    *ret_candidates = list;
    *ret_count = count;
    return 0;
}

static int prepare(struct candidates *candidates, const struct placement *at, struct arena *arena)
{
    size_t parts = (size_t)candidates->context->part_count;
    candidates->there = arena_copy(arena, at, parts * sizeof(*at));
    candidates->choice = arena_array(arena, parts + 1, sizeof(int));
    candidates->volume =
        arena_array(arena, (size_t)candidates->context->meter_count + 1, sizeof(int64_t));
    return candidates->there == NULL || candidates->choice == NULL || candidates->volume == NULL
               ? ERR_NO_MEMORY
               : 0;
}

static int judge(const struct candidates *candidates, struct cost_candidate *candidate,
                 nusd *ret_score, struct error *err)
{
    const struct cost_context *context = candidates->context;
    struct cost_total own;
    struct cost_total all;
    nusd stay;
    candidates->there[candidates->part] = candidate->to;
    int rc = cost_context_part_total(context, candidates->there, candidates->part,
                                     candidates->volume, &own, err);
    if (rc == 0) {
        rc = cost_context_total(context, candidates->there, candidates->volume, &all, &stay, err);
    }
    if (rc < 0) {
        return rc;
    }
    (void)cost_choices(candidates->input, candidates->problem, candidates->there,
                       candidates->choice);
    int rule = broken_rule(candidates);
    candidate->allowed = rule < 0;
    if (rule >= 0) {
        str_format(candidate->rule, sizeof(candidate->rule), "%s",
                   candidates->problem->rules[rule].text);
    }
    price_room(candidates, candidate);
    candidate->full = rule >= 0 && candidate->room > 0 && only_room(candidates, rule);
    memcpy(candidate->bill_term, own.bill_term, sizeof(own.bill_term));
    memcpy(candidate->score_term, own.score_term, sizeof(own.score_term));
    name_sharers(candidates, candidate);
    /* The bill is per month: what the move itself costs once is in the score and the gap. */
    candidate->bill = own.bill - own.bill_term[TERM_MIGRATION];
    candidate->score = own.score;
    *ret_score = all.score + stay;
    return 0;
}

/* As many names as there is room for. */
static void name_sharers(const struct candidates *candidates, struct cost_candidate *candidate)
{
    const struct cost_context *context = candidates->context;
    const struct cost_part_info *info = &context->parts[candidates->part];
    struct cost_spot spot = cost_spot_at(context, candidates->there, candidates->part);
    size_t used = 0;
    candidate->to.lead = context->parts[spot.lead].workload;
    for (int i = 0; i < info->family->count; i++) {
        const char *name = context->parts[info->parts[i]].what->name;
        if (i == info->member || (spot.sharers >> i & 1) == 0 ||
            used + strlen(name) + 3 > sizeof(candidate->sharers)) {
            continue;
        }
        str_format(candidate->sharers + used, sizeof(candidate->sharers) - used, "%s%s",
                   used > 0 ? ", " : "", name);
        used = strlen(candidate->sharers);
    }
}

/* The first rule about this part that the placement breaks; what is nowhere breaks none. A part
 * whose sharers the documents do not all allow there is judged as if it were alone. */
static int broken_rule(const struct candidates *candidates)
{
    const struct problem *problem = candidates->problem;
    for (int part = 0; part < problem->part_count; part++) {
        const struct placement *at = &candidates->there[part];
        const struct problem_part *choices = &problem->parts[part];
        for (int i = 0; candidates->choice[part] < 0 && at->site >= 0 && i < choices->choice_count;
             i++) {
            if (choices->choices[i].site == at->site &&
                choices->choices[i].variant ==
                    cost_variant(candidates->context->parts[part].what, at)) {
                candidates->choice[part] = i;
            }
        }
    }
    for (int i = 0; i < problem->rule_count; i++) {
        if (breaks(candidates, &problem->rules[i])) {
            return i;
        }
    }
    return -1;
}

/* Of the rules from the first that is broken. */
static bool only_room(const struct candidates *candidates, int first)
{
    const struct problem *problem = candidates->problem;
    for (int i = first; i < problem->rule_count; i++) {
        if (problem->rules[i].kind != RULE_CAPACITY && breaks(candidates, &problem->rules[i])) {
            return false;
        }
    }
    return true;
}

static void price_room(const struct candidates *candidates, struct cost_candidate *candidate)
{
    int choice = candidates->choice[candidates->part];
    double room = 0;
    if (choice < 0) {
        return;
    }
    const int64_t *demand = candidates->problem->parts[candidates->part].choices[choice].demand;
    memcpy(candidate->takes, demand, sizeof(candidate->takes));
    for (int r = 0; candidates->input->capacity_price != NULL && r < RESOURCE_COUNT; r++) {
        room += candidates->input->capacity_price[candidate->to.site][r] * (double)demand[r];
    }
    candidate->room = room < 0x1p62 ? (nusd)(room + 0.5) : (nusd)1 << 62;
}

static bool breaks(const struct candidates *candidates, const struct problem_rule *rule)
{
    const int *choice = candidates->choice;
    switch (rule->kind) {
    case RULE_CHOICES:
        return rule->a == candidates->part && !rule->allowed[choice[rule->a]];
    case RULE_PAIR:
        return (rule->a == candidates->part || rule->b == candidates->part) &&
               choice[rule->a] >= 0 && choice[rule->b] >= 0 &&
               !rule->allowed[problem_cell(candidates->problem, rule->b, choice[rule->a],
                                           choice[rule->b])];
    case RULE_APART:
        return breaks_apart(candidates, rule);
    case RULE_CAPACITY:
        break;
    }
    return breaks_capacity(candidates, rule);
}

static bool breaks_apart(const struct candidates *candidates, const struct problem_rule *rule)
{
    int here = 0;
    bool own = false;
    int site = candidates->there[candidates->part].site;
    for (int i = 0; i < rule->part_count; i++) {
        own = own || rule->parts[i] == candidates->part;
        here += candidates->there[rule->parts[i]].site == site ? 1 : 0;
    }
    return own && here > 1;
}

static bool breaks_capacity(const struct candidates *candidates, const struct problem_rule *rule)
{
    __int128 used = 0;
    for (int part = 0; part < candidates->problem->part_count; part++) {
        if (candidates->choice[part] >= 0 && candidates->there[part].site == rule->site) {
            used += candidates->problem->parts[part]
                        .choices[candidates->choice[part]]
                        .demand[rule->resource];
        }
    }
    return candidates->there[candidates->part].site == rule->site && used > rule->capacity;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the candidates of a placement");
}
