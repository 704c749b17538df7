/* The solver's problem, from the same terms as the explanation. */
#include <string.h>

#include "base/str.h"
#include "base/team.h"
#include "model/cost_internal.h"

/* Apps are filled by two threads when there are so many cells: about a millisecond's work. */
#define THREADS      2
#define SHARED_CELLS 32768
/* Pieces of apps: a thread that is put aside holds up no more than one. */
#define LANES 16

/* What is filled, lane by lane. */
struct lanes {
    struct cost_fill fill;
    struct cost_scratch scratch[THREADS];
    int rc[LANES];
    struct error errs[LANES];
};

static int build_tables(const struct cost_context *context, struct arena *arena,
                        struct problem *problem);
static int make_part(const struct cost_context *context, int part, struct arena *arena,
                     struct problem_part *out);
static int make_costs(const struct cost_context *context, struct arena *arena,
                      struct cost_fill *fill, size_t *ret_cells);
static int make_pair(const struct cost_context *context, const struct cost_link_info *link,
                     struct arena *arena, struct problem_pair *pair, size_t *cells);
static int make_scratch(const struct cost_context *context, struct arena *arena,
                        struct cost_scratch *scratch);
static int fill_apps(const struct cost_context *context, struct arena *arena,
                     struct problem *problem, struct error *err);
static void fill_lane(void *context, int lane, int worker);
static int user_slots(const struct cost_context *context, int part);
static int build_replica(const struct cost_context *context, int index, struct arena *arena,
                         struct problem *problem, struct error *err);
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
    int rc = fill_apps(context, arena, &problem, err);
    for (int i = 0; i < context->replica_count && rc == 0; i++) {
        rc = build_replica(context, i, arena, &problem, err);
    }
    if (rc == 0) {
        rc = cost_rules_build(context, arena, &problem, err);
    }
    if (rc == 0) {
        *ret_problem = problem;
    }
    return rc;
}

int cost_problem_rules(const struct cost_context *context, struct arena *arena,
                       struct problem *ret_problem, struct error *err)
{
    struct problem problem = {.part_count = context->part_count, .site_count = context->site_count};
    if (build_tables(context, arena, &problem) < 0) {
        return no_memory(err);
    }
    for (int part = 0; part < context->part_count; part++) {
        cost_fill_choices(context, part, &problem.parts[part]);
    }
    int rc = cost_rules_build(context, arena, &problem, err);
    if (rc == 0) {
        *ret_problem = problem;
    }
    return rc;
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
        if (make_part(context, i, arena, &problem->parts[i]) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    return 0;
}

static int make_part(const struct cost_context *context, int part, struct arena *arena,
                     struct problem_part *out)
{
    size_t count = (size_t)context->parts[part].spot_count;
    cost_part_name(context, part, out->name, sizeof(out->name));
    out->choice_count = context->parts[part].spot_count;
    out->choices = arena_array(arena, count, sizeof(*out->choices));
    out->cost = arena_array(arena, count, sizeof(*out->cost));
    return out->choices == NULL || out->cost == NULL ? ERR_NO_MEMORY : 0;
}

/* All that is to be filled of links and of what users meet. */
static int make_costs(const struct cost_context *context, struct arena *arena,
                      struct cost_fill *fill, size_t *ret_cells)
{
    struct problem *problem = fill->problem;
    fill->pair_of = arena_array(arena, (size_t)context->link_count + 1, sizeof(int));
    fill->stay = arena_array(arena, (size_t)context->part_count + 1, sizeof(nusd));
    if (fill->pair_of == NULL || fill->stay == NULL) {
        return ERR_NO_MEMORY;
    }
    *ret_cells = 0;
    for (int i = 0; i < context->link_count; i++) {
        const struct cost_link_info *link = &context->links[i];
        fill->pair_of[i] = link->from_part < 0 ? -1 : problem->pair_count++;
        if (link->from_part >= 0 &&
            make_pair(context, link, arena, &problem->pairs[fill->pair_of[i]], ret_cells) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    for (int i = 0; i < context->part_count; i++) {
        struct problem_part *part = &problem->parts[i];
        *ret_cells += (size_t)part->choice_count;
        part->use_count = user_slots(context, i);
        size_t slots = (size_t)part->choice_count * (size_t)part->use_count;
        part->use = slots == 0 ? NULL : arena_array(arena, slots, sizeof(*part->use));
        if (part->use == NULL && slots > 0) {
            return ERR_NO_MEMORY;
        }
        for (size_t k = 0; k < slots; k++) {
            part->use[k].meter = -1;
        }
    }
    return 0;
}

/* Its tables are not zeroed: every cell is written. */
static int make_pair(const struct cost_context *context, const struct cost_link_info *link,
                     struct arena *arena, struct problem_pair *pair, size_t *cells)
{
    size_t count = (size_t)context->parts[link->from_part].spot_count *
                   (size_t)context->parts[link->to_part].spot_count;
    size_t slots = count * (size_t)context->link_uses;
    *pair = (struct problem_pair){
        .a = link->from_part,
        .b = link->to_part,
        .cost = arena_alloc_raw(arena, count * sizeof(int64_t)),
        .use_count = context->link_uses,
        .use = arena_alloc_raw(arena, slots * sizeof(struct problem_use)),
    };
    *cells += count;
    return pair->cost == NULL || pair->use == NULL ? ERR_NO_MEMORY : 0;
}

static int make_scratch(const struct cost_context *context, struct arena *arena,
                        struct cost_scratch *scratch)
{
    size_t most = 1;
    for (int i = 0; i < context->part_count; i++) {
        size_t spots = (size_t)context->parts[i].spot_count;
        most = spots > most ? spots : most;
    }
    scratch->reached = arena_alloc_raw(arena, most * sizeof(*scratch->reached));
    scratch->cost = arena_alloc_raw(arena, most * sizeof(*scratch->cost));
    scratch->use = arena_alloc_raw(arena, most * COST_LINK_USES * sizeof(*scratch->use));
    return scratch->reached == NULL || scratch->cost == NULL || scratch->use == NULL ? ERR_NO_MEMORY
                                                                                     : 0;
}

/* The first app that fails says why, whoever filled it. */
static int fill_apps(const struct cost_context *context, struct arena *arena,
                     struct problem *problem, struct error *err)
{
    struct lanes lanes = {.fill = {.context = context, .problem = problem}};
    size_t cells;
    if (make_costs(context, arena, &lanes.fill, &cells) < 0) {
        return no_memory(err);
    }
    /* A formula of the world's own has one place for its values. */
    int threads = cells < SHARED_CELLS || context->world->term_count > 0 ? 1 : THREADS;
    for (int i = 0; i < threads; i++) {
        if (make_scratch(context, arena, &lanes.scratch[i]) < 0) {
            return no_memory(err);
        }
    }
    team_run(threads, LANES, fill_lane, &lanes);
    for (int lane = 0; lane < LANES; lane++) {
        if (lanes.rc[lane] < 0) {
            if (err != NULL) {
                *err = lanes.errs[lane];
            }
            return lanes.rc[lane];
        }
    }
    return 0;
}

static void fill_lane(void *context, int lane, int worker)
{
    struct lanes *lanes = context;
    int apps = lanes->fill.context->input->app_count;
    int rc = 0;
    for (int app = apps * lane / LANES; app < apps * (lane + 1) / LANES && rc == 0; app++) {
        rc = cost_fill_app(&lanes->fill, app, &lanes->scratch[worker], &lanes->errs[lane]);
    }
    lanes->rc[lane] = rc;
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
    (void)cost_pack_uses(cells, &pair->use_count, &pair->use);
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

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the placement problem");
}
