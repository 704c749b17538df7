/* The solver's problem, from the same terms as the explanation. */
#include "base/str.h"
#include "model/cost_internal.h"

#define SCORE_TOO_LARGE ((nusd)INT64_MAX + 1)

static int build_tables(const struct cost_context *context, struct arena *arena,
                        struct problem *problem);
static int build_unary(const struct cost_context *context, int part, struct problem *problem,
                       struct error *err);
static int make_choices(const struct cost_context *context, int part, struct arena *arena,
                        struct problem_part *out);
static int user_slots(const struct cost_context *context, int part);
static int pack_uses(size_t cells, int *use_count, struct problem_use **use);
static int build_user_link(const struct cost_context *context, int link, struct arena *arena,
                           struct problem *problem, struct error *err);
static int build_pair(const struct cost_context *context, int link, struct arena *arena,
                      struct problem *problem, struct error *err);
static int merge_uses(const struct cost_context *context, int part, int site,
                      const struct problem_use *add, struct problem_use *uses, int use_count,
                      struct error *err);
static int add_score(const struct cost_context *context, int part, nusd score, int64_t *cost,
                     struct error *err);
static nusd own_score(const struct cost_context *context, int part);
static nusd uses_score(const struct cost_context *context, const struct problem_use *uses);
static int cost_workload(const struct cost_input *input, int part);
static int no_memory(struct error *err);

int cost_problem(const struct cost_input *input, struct arena *arena, struct problem *ret_problem,
                 struct error *err)
{
    struct cost_context context;
    int rc = cost_context_build(input, arena, &context, err);
    return rc < 0 ? rc : cost_problem_from(&context, arena, ret_problem, err);
}

int cost_problem_from(const struct cost_context *context, struct arena *arena,
                      struct problem *ret_problem, struct error *err)
{
    struct problem problem = {.part_count = context->part_count,
                              .site_count = context->site_count,
                              .meter_count = context->meter_count,
                              .meters = context->meters};
    if (build_tables(context, arena, &problem) < 0) {
        return no_memory(err);
    }
    for (int part = 0; part < context->part_count; part++) {
        int rc = build_unary(context, part, &problem, err);
        if (rc < 0) {
            return rc;
        }
    }
    for (int link = 0; link < context->link_count; link++) {
        int rc = context->links[link].from_part < 0
                     ? build_user_link(context, link, arena, &problem, err)
                     : build_pair(context, link, arena, &problem, err);
        if (rc < 0) {
            return rc;
        }
    }
    for (int part = 0; part < context->part_count; part++) {
        struct problem_part *to = &problem.parts[part];
        if (pack_uses((size_t)to->choice_count, &to->use_count, &to->use) > LIMIT_USES) {
            return error_set(err, ERR_LIMIT, 0,
                             "%s: its users' traffic meets more than %d egress meters at one site; "
                             "merge egress rules or divide the workload",
                             to->name, LIMIT_USES);
        }
    }
    int rc = cost_rules_build(context, arena, &problem, err);
    if (rc < 0) {
        return rc;
    }
    *ret_problem = problem;
    return 0;
}

struct placement cost_placement(const struct cost_input *input, const struct problem *problem,
                                int part, int choice)
{
    (void)problem;
    return (struct placement){.site = choice, .lead = cost_workload(input, part)};
}

int cost_choice(const struct cost_input *input, const struct problem *problem,
                const struct placement *at, int part)
{
    (void)input;
    return at[part].site < problem->site_count ? at[part].site : -1;
}

bool cost_choices(const struct cost_input *input, const struct problem *problem,
                  const struct placement *at, int *ret_choice)
{
    bool all = true;
    for (int part = 0; part < problem->part_count; part++) {
        ret_choice[part] = cost_choice(input, problem, at, part);
        all = all && ret_choice[part] >= 0;
    }
    return all;
}

/* The workload's index in its app. */
static int cost_workload(const struct cost_input *input, int part)
{
    int app = 0;
    while (part >= input->apps[app].app->workload_count) {
        part -= input->apps[app++].app->workload_count;
    }
    return part;
}

void cost_part_name(const struct cost_context *context, int part, char *out, size_t capacity)
{
    const struct cost_part_info *info = &context->parts[part];
    str_format(out, capacity, "%s/%s/%s", info->owner->namespace_, info->owner->name,
               info->what->name);
}

nusd cost_stay(const struct cost_context *context, int part)
{
    const struct policy *policy = &context->world->policy;
    nusd ratio = 0;
    if (context->parts[part].state->now.site < 0) {
        return 0;
    }
    if (money_scale(own_score(context, part), policy->saving_min_ppm, PPM, &ratio) < 0) {
        ratio = 0;
    }
    return ratio > policy->saving_min ? ratio : policy->saving_min;
}

static int build_tables(const struct cost_context *context, struct arena *arena,
                        struct problem *problem)
{
    size_t sites = (size_t)context->site_count;
    problem->parts =
        arena_array(arena, (size_t)context->part_count + 1, sizeof(struct problem_part));
    problem->pairs =
        arena_array(arena, (size_t)context->link_count + 1, sizeof(struct problem_pair));
    problem->site_names = arena_array(arena, sites, sizeof(problem->site_names[0]));
    if (problem->parts == NULL || problem->pairs == NULL || problem->site_names == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < sites; i++) {
        str_format(problem->site_names[i], sizeof(problem->site_names[i]), "%s",
                   context->world->sites[i].name);
    }
    for (int i = 0; i < context->part_count; i++) {
        struct problem_part *part = &problem->parts[i];
        cost_part_name(context, i, part->name, sizeof(part->name));
        part->current = context->parts[i].state->now.site;
        if (make_choices(context, i, arena, part) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

/* One choice for each site, in the sites' order. */
static int make_choices(const struct cost_context *context, int part, struct arena *arena,
                        struct problem_part *out)
{
    const struct workload *what = context->parts[part].what;
    size_t count = (size_t)context->site_count;
    out->choice_count = context->site_count;
    out->choices = arena_array(arena, count, sizeof(*out->choices));
    out->cost = arena_array(arena, count, sizeof(*out->cost));
    if (out->choices == NULL || out->cost == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < context->site_count; i++) {
        struct problem_choice *choice = &out->choices[i];
        *choice = (struct problem_choice){.site = i, .lead = part};
        for (int r = 0; r < RESOURCE_COUNT; r++) {
            choice->demand[r] = what->reserve[r] * what->replicas;
        }
    }
    return 0;
}

static int build_unary(const struct cost_context *context, int part, struct problem *problem,
                       struct error *err)
{
    int current = context->parts[part].state->now.site;
    nusd stay = cost_stay(context, part);
    for (int site = 0; site < context->site_count; site++) {
        struct cost_sink sink = {0};
        cost_terms_unary(context, part, site, &sink);
        cost_terms_migration(context, part, site, &sink);
        nusd score = sink.total.score + (current >= 0 && site != current ? stay : 0);
        int rc = add_score(context, part, sink.failed ? SCORE_TOO_LARGE : score,
                           &problem->parts[part].cost[site], err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Users do not move: what they ask of a workload is the workload's own cost at each site. */
static int build_user_link(const struct cost_context *context, int link, struct arena *arena,
                           struct problem *problem, struct error *err)
{
    const struct cost_link_info *info = &context->links[link];
    struct problem_part *part = &problem->parts[info->to_part];
    int slots_each = user_slots(context, info->to_part);
    size_t slots = (size_t)context->site_count * (size_t)slots_each;
    if (part->use == NULL) {
        part->use_count = slots_each;
        part->use = arena_array(arena, slots, sizeof(struct problem_use));
        if (part->use == NULL) {
            return no_memory(err);
        }
        for (size_t i = 0; i < slots; i++) {
            part->use[i].meter = -1;
        }
    }
    for (int site = 0; site < context->site_count; site++) {
        struct problem_use uses[COST_LINK_USES];
        struct cost_sink sink = {0};
        cost_terms_link(context, link, info->from_site, site, &sink);
        nusd score = sink.failed ? SCORE_TOO_LARGE : sink.total.score;
        int rc = add_score(context, info->to_part, score, &part->cost[site], err);
        if (rc == 0) {
            rc = cost_link_uses(context, link, info->from_site, site, uses, err);
        }
        if (rc == 0) {
            rc = merge_uses(context, info->to_part, site, uses, &part->use[site * slots_each],
                            slots_each, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int build_pair(const struct cost_context *context, int link, struct arena *arena,
                      struct problem *problem, struct error *err)
{
    const struct cost_link_info *info = &context->links[link];
    struct problem_pair *pair = &problem->pairs[problem->pair_count++];
    int sites = context->site_count;
    size_t cells = (size_t)sites * (size_t)sites;
    *pair = (struct problem_pair){
        .a = info->from_part,
        .b = info->to_part,
        .cost = arena_array(arena, cells, sizeof(int64_t)),
        .use_count = COST_LINK_USES,
        .use = arena_array(arena, cells * COST_LINK_USES, sizeof(struct problem_use)),
    };
    if (pair->cost == NULL || pair->use == NULL) {
        return no_memory(err);
    }
    for (int from = 0; from < sites; from++) {
        for (int to = 0; to < sites; to++) {
            int cell = from * sites + to;
            struct cost_sink sink = {0};
            cost_terms_link(context, link, from, to, &sink);
            nusd score = sink.failed ? SCORE_TOO_LARGE : sink.total.score;
            int rc = add_score(context, info->to_part, score, &pair->cost[cell], err);
            if (rc == 0) {
                rc =
                    cost_link_uses(context, link, from, to, &pair->use[cell * COST_LINK_USES], err);
            }
            if (rc < 0) {
                return rc;
            }
        }
    }
    (void)pack_uses(cells, &pair->use_count, &pair->use);
    return 0;
}

/* What the links of a part's users can meet at most. */
static int user_slots(const struct cost_context *context, int part)
{
    int slots = 0;
    for (int i = 0; i < context->link_count; i++) {
        const struct cost_link_info *link = &context->links[i];
        slots += link->from_part < 0 && link->to_part == part ? COST_LINK_USES : 0;
    }
    return slots < context->meter_count ? slots : context->meter_count;
}

/* Moves the uses of every cell together, to as many slots as the fullest cell needs; returns those.
 */
static int pack_uses(size_t cells, int *use_count, struct problem_use **use)
{
    size_t before = (size_t)*use_count;
    size_t most = 0;
    for (size_t at = 0; at < cells && before > 0; at++) {
        size_t used = 0;
        for (size_t k = 0; k < before; k++) {
            used += (*use)[at * before + k].meter >= 0;
        }
        most = used > most ? used : most;
    }
    for (size_t at = 0; at < cells && most > 0; at++) {
        size_t used = 0;
        for (size_t k = 0; k < before; k++) {
            struct problem_use slot = (*use)[at * before + k];
            if (slot.meter >= 0) {
                (*use)[at * most + used++] = slot;
            }
        }
        while (used < most) {
            (*use)[at * most + used++] = (struct problem_use){.meter = -1};
        }
    }
    *use_count = (int)most;
    *use = most == 0 ? NULL : *use;
    return (int)most;
}

/* Several groups of users share a part's slots; bytes on one meter add up. */
static int merge_uses(const struct cost_context *context, int part, int site,
                      const struct problem_use *add, struct problem_use *uses, int use_count,
                      struct error *err)
{
    for (int k = 0; k < COST_LINK_USES; k++) {
        int slot = 0;
        if (add[k].meter < 0) {
            continue;
        }
        while (slot < use_count && uses[slot].meter >= 0 && uses[slot].meter != add[k].meter) {
            slot++;
        }
        BERTH_ASSERT(slot < use_count, "part %d at site %d: %d slots", part, site, use_count);
        uses[slot].meter = add[k].meter;
        if (__builtin_add_overflow(uses[slot].bytes, add[k].bytes, &uses[slot].bytes)) {
            char name[LIMIT_REF_BYTES + LIMIT_NAME_BYTES];
            cost_part_name(context, part, name, sizeof(name));
            return error_set(err, ERR_OVERFLOW, 0, "%s: its users cause more than 8 EiB per month",
                             name);
        }
    }
    return 0;
}

static int add_score(const struct cost_context *context, int part, nusd score, int64_t *cost,
                     struct error *err)
{
    int64_t value = 0;
    int rc = money_to_i64(score, &value);
    if (rc < 0 || __builtin_add_overflow(*cost, value, cost)) {
        char name[LIMIT_REF_BYTES + LIMIT_NAME_BYTES];
        cost_part_name(context, part, name, sizeof(name));
        return error_set(err, ERR_OVERFLOW, 0,
                         "%s: its score would pass 9.2 billion dollars a month; check its calls, "
                         "sizes, resources and the world's prices and weights",
                         name);
    }
    return 0;
}

/* What the part scores where everything is now: its own terms and its links to what is placed.
 * Egress counts at the price that the month has reached: this is only the measure of "small". */
static nusd own_score(const struct cost_context *context, int part)
{
    struct cost_sink sink = {0};
    nusd egress = 0;
    int current = context->parts[part].state->now.site;
    cost_terms_unary(context, part, current, &sink);
    for (int i = 0; i < context->link_count; i++) {
        const struct cost_link_info *link = &context->links[i];
        if (link->to_part != part && link->from_part != part) {
            continue;
        }
        int from =
            link->from_part < 0 ? link->from_site : context->parts[link->from_part].state->now.site;
        int to = context->parts[link->to_part].state->now.site;
        struct problem_use uses[COST_LINK_USES];
        if (from < 0 || to < 0) {
            continue;
        }
        cost_terms_link(context, i, from, to, &sink);
        if (cost_link_uses(context, i, from, to, uses, NULL) == 0) {
            egress += uses_score(context, uses);
        }
    }
    return sink.total.score + egress;
}

static nusd uses_score(const struct cost_context *context, const struct problem_use *uses)
{
    nusd sum = 0;
    for (int k = 0; k < COST_LINK_USES; k++) {
        if (uses[k].meter >= 0) {
            sum += meter_charge(&context->meters[uses[k].meter], uses[k].bytes);
        }
    }
    return sum;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the placement problem");
}
