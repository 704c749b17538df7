/* The solver's problem, from the same terms as the explanation. */
#include "base/str.h"
#include "model/cost_internal.h"

#define SCORE_TOO_LARGE ((nusd)INT64_MAX + 1)

static int build_tables(const struct cost_context *context, struct arena *arena,
                        struct problem *problem);
static nusd stay_of(const struct cost_context *context, int part, nusd own);
static int build_unary(const struct cost_context *context, int part, nusd stay,
                       struct problem *problem, struct error *err);
static int make_choices(const struct cost_context *context, int part, struct arena *arena,
                        struct problem_part *out);
static int user_slots(const struct cost_context *context, int part);
static int pack_uses(size_t cells, int *use_count, struct problem_use **use);
static int build_user_link(const struct cost_context *context, int link, struct arena *arena,
                           struct problem *problem, struct error *err);
static int build_pair(const struct cost_context *context, int link, struct arena *arena,
                      struct problem *problem, struct error *err);
static int build_replica(const struct cost_context *context, int index, struct arena *arena,
                         struct problem *problem, struct error *err);
static int merge_uses(const struct cost_context *context, int part, const struct problem_use *add,
                      struct problem_use *uses, int use_count, struct error *err);
static int add_score(const struct cost_context *context, int part, nusd score, int64_t *cost,
                     struct error *err);
static nusd own_score(const struct cost_context *context, int part);
static nusd *own_scores(const struct cost_context *context, struct arena *arena);
static nusd link_score(const struct cost_context *context, int index);
static nusd uses_score(const struct cost_context *context, const struct problem_use *uses);
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
    nusd *own = own_scores(context, arena);
    if (own == NULL) {
        return no_memory(err);
    }
    for (int part = 0; part < context->part_count; part++) {
        int rc = build_unary(context, part, stay_of(context, part, own[part]), &problem, err);
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
    for (int i = 0; i < context->replica_count; i++) {
        int rc = build_replica(context, i, arena, &problem, err);
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

int cost_problem_rules(const struct cost_context *context, struct arena *arena,
                       struct problem *ret_problem, struct error *err)
{
    struct problem problem = {.part_count = context->part_count, .site_count = context->site_count};
    if (build_tables(context, arena, &problem) < 0) {
        return no_memory(err);
    }
    int rc = cost_rules_build(context, arena, &problem, err);
    if (rc == 0) {
        *ret_problem = problem;
    }
    return rc;
}

nusd cost_stay(const struct cost_context *context, int part)
{
    return context->parts[part].now.site < 0 ? 0 : stay_of(context, part, own_score(context, part));
}

static nusd stay_of(const struct cost_context *context, int part, nusd own)
{
    const struct policy *policy = &context->world->policy;
    nusd ratio = 0;
    if (context->parts[part].now.site < 0) {
        return 0;
    }
    if (money_scale(own, policy->saving_min_ppm, PPM, &ratio) < 0) {
        ratio = 0;
    }
    return ratio > policy->saving_min ? ratio : policy->saving_min;
}

static int build_tables(const struct cost_context *context, struct arena *arena,
                        struct problem *problem)
{
    size_t sites = (size_t)context->site_count;
    size_t pairs = (size_t)context->link_count + (size_t)context->replica_count + 1;
    problem->parts =
        arena_array(arena, (size_t)context->part_count + 1, sizeof(struct problem_part));
    problem->pairs = arena_array(arena, pairs, sizeof(struct problem_pair));
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
        if (make_choices(context, i, arena, part) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

static int make_choices(const struct cost_context *context, int part, struct arena *arena,
                        struct problem_part *out)
{
    const struct cost_part_info *info = &context->parts[part];
    size_t count = (size_t)info->spot_count;
    out->current = -1;
    out->choice_count = info->spot_count;
    out->choices = arena_array(arena, count, sizeof(*out->choices));
    out->cost = arena_array(arena, count, sizeof(*out->cost));
    if (out->choices == NULL || out->cost == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < info->spot_count; i++) {
        const struct cost_spot *spot = &info->spots[i];
        struct problem_choice *choice = &out->choices[i];
        *choice = (struct problem_choice){
            .site = spot->site, .variant = spot->variant, .lead = spot->lead};
        for (int r = 0; r < RESOURCE_COUNT && spot->lead == part; r++) {
            /* An app of which that is more than can be counted is not accepted (app_check). */
            if (__builtin_mul_overflow(cost_reserve(info->what, spot->variant, r),
                                       info->what->replicas, &choice->demand[r])) {
                choice->demand[r] = INT64_MAX;
            }
        }
        if (cost_is_there(&info->now, spot) && info->now.sharers == spot->sharers) {
            out->current = i;
        }
    }
    return 0;
}

static int build_unary(const struct cost_context *context, int part, nusd stay,
                       struct problem *problem, struct error *err)
{
    const struct cost_part_info *info = &context->parts[part];
    struct cost_sink overlap = {0};
    bool known = false;
    for (int i = 0; i < info->spot_count; i++) {
        const struct cost_spot *spot = &info->spots[i];
        struct cost_sink sink = {.err = err};
        cost_terms_unary(context, part, spot, &sink);
        if (sink.rc < 0) {
            return sink.rc;
        }
        nusd score = sink.total.score;
        if (cost_is_move(context, part, spot)) {
            sink = (struct cost_sink){.failed = sink.failed};
            cost_terms_carried(context, part, spot, &sink);
            if (!known) {
                cost_terms_overlap(context, part, spot, &overlap);
                known = true;
            }
            score += sink.total.score + overlap.total.score;
            sink.failed = sink.failed || overlap.failed;
        }
        bool moves = info->now.site >= 0 && !cost_is_there(&info->now, spot);
        score += moves ? stay : 0;
        int rc = add_score(context, part, sink.failed ? SCORE_TOO_LARGE : score,
                           &problem->parts[part].cost[i], err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Users do not move: what they ask of a workload is the workload's own cost at each choice. */
static int build_user_link(const struct cost_context *context, int link, struct arena *arena,
                           struct problem *problem, struct error *err)
{
    const struct cost_link_info *info = &context->links[link];
    const struct cost_part_info *callee = &context->parts[info->to_part];
    struct problem_part *part = &problem->parts[info->to_part];
    if (part->use == NULL) {
        part->use_count = user_slots(context, info->to_part);
        size_t slots = (size_t)part->choice_count * (size_t)part->use_count;
        part->use = arena_array(arena, slots + 1, sizeof(struct problem_use));
        if (part->use == NULL) {
            return no_memory(err);
        }
        for (size_t i = 0; i < slots; i++) {
            part->use[i].meter = -1;
        }
    }
    struct cost_spot users = {.site = info->from_site, .hit_ppm = -1};
    struct cost_link_cells cells;
    if (cost_link_cells_begin(context, link, arena, &cells) < 0) {
        return no_memory(err);
    }
    for (int i = 0; i < callee->spot_count; i++) {
        struct problem_use uses[COST_LINK_USES];
        bool failed = false;
        nusd score = 0;
        int uses_rc = cost_link_cell(&cells, &users, &callee->spots[i], &score, &failed, uses, err);
        int rc = add_score(context, info->to_part, failed ? SCORE_TOO_LARGE : score, &part->cost[i],
                           err);
        rc = rc < 0 ? rc : uses_rc;
        if (rc == 0) {
            rc = merge_uses(context, info->to_part, uses, &part->use[i * part->use_count],
                            part->use_count, err);
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
    const struct cost_part_info *caller = &context->parts[info->from_part];
    const struct cost_part_info *callee = &context->parts[info->to_part];
    struct problem_pair *pair = &problem->pairs[problem->pair_count++];
    size_t cells = (size_t)caller->spot_count * (size_t)callee->spot_count;
    *pair = (struct problem_pair){
        .a = info->from_part,
        .b = info->to_part,
        .cost = arena_alloc_raw(arena, cells * sizeof(int64_t)),
        .use_count = context->link_uses,
        .use = arena_alloc_raw(arena, (cells * (size_t)context->link_uses + 1) *
                                          sizeof(struct problem_use)),
    };
    struct cost_link_cells common;
    if (pair->cost == NULL || pair->use == NULL ||
        cost_link_cells_begin(context, link, arena, &common) < 0) {
        return no_memory(err);
    }
    size_t cell = 0;
    int most = 0;
    for (int from = 0; from < caller->spot_count; from++) {
        for (int to = 0; to < callee->spot_count; to++, cell++) {
            struct problem_use uses[COST_LINK_USES];
            bool failed = false;
            nusd score = 0;
            int uses_rc = cost_link_cell(&common, &caller->spots[from], &callee->spots[to], &score,
                                         &failed, uses, err);
            pair->cost[cell] = 0;
            int rc = add_score(context, info->to_part, failed ? SCORE_TOO_LARGE : score,
                               &pair->cost[cell], err);
            if (rc < 0 || uses_rc < 0) {
                return rc < 0 ? rc : uses_rc;
            }
            struct problem_use *slots = &pair->use[cell * (size_t)pair->use_count];
            for (int k = 0; k < pair->use_count; k++) {
                slots[k] = uses[k];
                most = uses[k].meter >= 0 && k >= most ? k + 1 : most;
            }
        }
    }
    if (most < pair->use_count) {
        (void)pack_uses(cells, &pair->use_count, &pair->use);
    }
    return 0;
}

/* What a data set's first part sends to another one. */
static int build_replica(const struct cost_context *context, int index, struct arena *arena,
                         struct problem *problem, struct error *err)
{
    const struct cost_replica *replica = &context->replicas[index];
    const struct cost_part_info *primary = &context->parts[replica->primary];
    const struct cost_part_info *part = &context->parts[replica->part];
    struct problem_pair *pair = &problem->pairs[problem->pair_count++];
    size_t cells = (size_t)primary->spot_count * (size_t)part->spot_count;
    *pair = (struct problem_pair){
        .a = replica->primary,
        .b = replica->part,
        .cost = arena_array(arena, cells, sizeof(int64_t)),
        .use_count = COST_REPLICA_USES,
        .use = arena_array(arena, cells * COST_REPLICA_USES, sizeof(struct problem_use)),
    };
    if (pair->cost == NULL || pair->use == NULL) {
        return no_memory(err);
    }
    size_t cell = 0;
    for (int from = 0; from < primary->spot_count; from++) {
        for (int to = 0; to < part->spot_count; to++, cell++) {
            cost_replica_uses(context, replica, &primary->spots[from], &part->spots[to],
                              &pair->use[cell * COST_REPLICA_USES]);
        }
    }
    (void)pack_uses(cells, &pair->use_count, &pair->use);
    return 0;
}

/* What the links of a part's users can meet at most. */
static int user_slots(const struct cost_context *context, int part)
{
    int slots = 0;
    int base = context->link_base[context->parts[part].app];
    for (int i = 0; i < context->parts[part].owner->link_count; i++) {
        const struct cost_link_info *link = &context->links[base + i];
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
static int merge_uses(const struct cost_context *context, int part, const struct problem_use *add,
                      struct problem_use *uses, int use_count, struct error *err)
{
    for (int k = 0; k < COST_LINK_USES; k++) {
        int slot = 0;
        if (add[k].meter < 0) {
            continue;
        }
        while (slot < use_count && uses[slot].meter >= 0 && uses[slot].meter != add[k].meter) {
            slot++;
        }
        BERTH_ASSERT(slot < use_count, "part %d: %d slots", part, use_count);
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
    nusd score = 0;
    int base = context->link_base[context->parts[part].app];
    cost_terms_unary(context, part, &context->parts[part].now, &sink);
    for (int i = 0; i < context->parts[part].owner->link_count; i++) {
        const struct cost_link_info *link = &context->links[base + i];
        if (link->to_part == part || link->from_part == part) {
            score += link_score(context, base + i);
        }
    }
    return sink.total.score + score;
}

/* The same of all parts ([part]), each link once; NULL: no memory. */
static nusd *own_scores(const struct cost_context *context, struct arena *arena)
{
    nusd *own = arena_array(arena, (size_t)context->part_count + 1, sizeof(nusd));
    for (int part = 0; own != NULL && part < context->part_count; part++) {
        struct cost_sink sink = {0};
        if (context->parts[part].now.site >= 0) {
            cost_terms_unary(context, part, &context->parts[part].now, &sink);
            own[part] = sink.total.score;
        }
    }
    for (int i = 0; own != NULL && i < context->link_count; i++) {
        const struct cost_link_info *link = &context->links[i];
        nusd score = link_score(context, i);
        own[link->to_part] += score;
        if (link->from_part >= 0 && link->from_part != link->to_part) {
            own[link->from_part] += score;
        }
    }
    return own;
}

/* Of a link between where its ends are now; 0 where one is nowhere. */
static nusd link_score(const struct cost_context *context, int index)
{
    const struct cost_link_info *link = &context->links[index];
    const struct cost_spot *to = &context->parts[link->to_part].now;
    const struct cost_spot *from =
        link->from_part < 0 ? NULL : &context->parts[link->from_part].now;
    struct problem_use uses[COST_LINK_USES];
    struct cost_sink sink = {0};
    if (to->site < 0 || (from != NULL && from->site < 0)) {
        return 0;
    }
    cost_terms_link(context, index, from, to, &sink);
    bool counted = cost_link_uses(context, index, from, to, uses, NULL) == 0;
    return sink.total.score + (counted ? uses_score(context, uses) : 0);
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
