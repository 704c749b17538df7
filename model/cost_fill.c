/* The numbers of one app in the solver's problem: its choices, what they cost, and the tables of
 * its links. All arrays are there already (cost_problem.c), and those of an app are written by
 * whoever fills it only: several threads may fill several apps. */
#include "model/cost_internal.h"

#define SCORE_TOO_LARGE ((nusd)INT64_MAX + 1)

static int fill_unary(const struct cost_fill *fill, int part, struct error *err);
static int fill_user_link(const struct cost_fill *fill, int link,
                          const struct cost_scratch *scratch, struct error *err);
static int fill_pair(const struct cost_fill *fill, int link, const struct cost_scratch *scratch,
                     struct error *err);
static int merge_uses(const struct cost_context *context, int part, const struct problem_use *add,
                      struct problem_use *uses, int use_count, struct error *err);
static int add_score(const struct cost_context *context, int part, nusd score, int64_t *cost,
                     struct error *err);

int cost_fill_app(const struct cost_fill *fill, int app, const struct cost_scratch *scratch,
                  struct error *err)
{
    const struct cost_context *context = fill->context;
    const int *base = &context->lookup.base[app];
    int link_first = context->link_base[app];
    int link_end = link_first + context->input->apps[app].app->link_count;
    int rc = 0;
    cost_stays(context, app, fill->stay);
    for (int part = base[0]; part < base[1] && rc == 0; part++) {
        cost_fill_choices(context, part, &fill->problem->parts[part]);
        rc = fill_unary(fill, part, err);
    }
    for (int link = link_first; link < link_end && rc == 0; link++) {
        rc = fill->pair_of[link] < 0 ? fill_user_link(fill, link, scratch, err)
                                     : fill_pair(fill, link, scratch, err);
    }
    for (int part = base[0]; part < base[1] && rc == 0; part++) {
        struct problem_part *to = &fill->problem->parts[part];
        if (cost_pack_uses((size_t)to->choice_count, &to->use_count, &to->use) > LIMIT_USES) {
            rc = error_set(err, ERR_LIMIT, 0,
                           "%s: its users' traffic meets more than %d egress meters at one site; "
                           "merge egress rules or divide the workload",
                           to->name, LIMIT_USES);
        }
    }
    return rc;
}

void cost_fill_choices(const struct cost_context *context, int part, struct problem_part *out)
{
    const struct cost_part_info *info = &context->parts[part];
    out->current = -1;
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
}

int cost_score_fails(const struct cost_context *context, int part, struct error *err)
{
    char name[PART_NAME_BYTES];
    cost_part_name(context, part, name, sizeof(name));
    return error_set(err, ERR_OVERFLOW, 0,
                     "%s: its score would pass 9.2 billion dollars a month; check its calls, "
                     "sizes, resources and the world's prices and weights",
                     name);
}

static int fill_unary(const struct cost_fill *fill, int part, struct error *err)
{
    const struct cost_context *context = fill->context;
    const struct cost_part_info *info = &context->parts[part];
    struct cost_moves moves = cost_moves_of(context, part);
    for (int i = 0; i < info->spot_count; i++) {
        const struct cost_spot *spot = &info->spots[i];
        struct cost_sink sink = {.err = err};
        nusd move = 0;
        cost_terms_unary(context, part, spot, &sink);
        if (sink.rc < 0) {
            return sink.rc;
        }
        bool fits = cost_move_score(&moves, spot, &move) && !sink.failed;
        bool leaves = info->now.site >= 0 && !cost_is_there(&info->now, spot);
        nusd score = sink.total.score + move + (leaves ? fill->stay[part] : 0);
        int64_t *cost = &fill->problem->parts[part].cost[i];
        *cost = 0;
        int rc = add_score(context, part, fits ? score : SCORE_TOO_LARGE, cost, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* Users do not move: what they ask of a workload is the workload's own cost at each choice. */
static int fill_user_link(const struct cost_fill *fill, int link,
                          const struct cost_scratch *scratch, struct error *err)
{
    const struct cost_context *context = fill->context;
    const struct cost_link_info *info = &context->links[link];
    const struct cost_part_info *callee = &context->parts[info->to_part];
    struct problem_part *part = &fill->problem->parts[info->to_part];
    struct cost_spot users = {.site = info->from_site, .hit_ppm = -1};
    struct cost_row row = {.cost = scratch->cost, .use = scratch->use, .slots = COST_LINK_USES};
    struct cost_link_cells cells;
    cost_link_cells_begin(context, link, scratch->reached, &cells);
    int rc = cost_link_row(&cells, &users, callee->spots, callee->spot_count, &row, err);
    for (int i = 0; i < callee->spot_count && rc == 0; i++) {
        rc = add_score(context, info->to_part, row.cost[i], &part->cost[i], err);
        if (rc == 0) {
            rc = merge_uses(context, info->to_part, &row.use[i * COST_LINK_USES],
                            &part->use[i * part->use_count], part->use_count, err);
        }
    }
    return rc;
}

static int fill_pair(const struct cost_fill *fill, int link, const struct cost_scratch *scratch,
                     struct error *err)
{
    const struct cost_context *context = fill->context;
    const struct cost_link_info *info = &context->links[link];
    const struct cost_part_info *caller = &context->parts[info->from_part];
    const struct cost_part_info *callee = &context->parts[info->to_part];
    struct problem_pair *pair = &fill->problem->pairs[fill->pair_of[link]];
    struct cost_row row = {.cost = pair->cost, .use = pair->use, .slots = pair->use_count};
    struct cost_link_cells cells;
    int rc = 0;
    cost_link_cells_begin(context, link, scratch->reached, &cells);
    for (int from = 0; from < caller->spot_count && rc == 0; from++) {
        rc = cost_link_row(&cells, &caller->spots[from], callee->spots, callee->spot_count, &row,
                           err);
        row.cost += callee->spot_count;
        row.use += callee->spot_count * row.slots;
    }
    if (row.most < row.slots || row.slots == 0) {
        size_t cells_count = (size_t)caller->spot_count * (size_t)callee->spot_count;
        (void)cost_pack_uses(cells_count, &pair->use_count, &pair->use);
    }
    return rc;
}

/* Moves the uses of every cell together, to as many slots as the fullest cell needs; returns those.
 */
int cost_pack_uses(size_t cells, int *use_count, struct problem_use **use)
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
    if (money_to_i64(score, &value) < 0 || __builtin_add_overflow(*cost, value, cost)) {
        return cost_score_fails(context, part, err);
    }
    return 0;
}
