#include "model/solve/whole.h"

#include "base/str.h"

#define PARTS_MAX 65536

static int no_memory(struct error *err);
static int copy_part(const struct grid *grid, int64_t scale, int index, struct arena *arena,
                     struct problem *problem, struct error *err);
static int copy_link(const struct grid *grid, int64_t scale, int index, struct arena *arena,
                     struct problem *problem, struct error *err);
static int copy_rows(const struct grid *grid, struct problem *problem);
static bool *all_open(struct arena *arena, size_t count);

int whole_problem(const struct grid *grid, int64_t scale, struct arena *arena,
                  struct problem *ret_problem, struct error *err)
{
    if (grid->sites > LIMIT_SITES || grid->parts > PARTS_MAX || grid->resources > RESOURCE_COUNT) {
        return error_set(err, ERR_LIMIT, 0,
                         "%d parts, %d sites, %d resources: the exact solver takes %d, %d, %d",
                         grid->parts, grid->sites, grid->resources, PARTS_MAX, LIMIT_SITES,
                         RESOURCE_COUNT);
    }
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    struct problem problem = {
        .part_count = grid->parts, .site_count = grid->sites, .pair_count = grid->links};
    problem.parts = arena_array(arena, (size_t)grid->parts + 1, sizeof(*problem.parts));
    problem.pairs = arena_array(arena, (size_t)grid->links + 1, sizeof(*problem.pairs));
    problem.site_names = arena_array(arena, (size_t)grid->sites + 1, sizeof(*problem.site_names));
    /* One rule at most for each part, link and row. */
    size_t rules = (size_t)grid->parts + (size_t)grid->links + rows + 1;
    problem.rules = arena_array(arena, rules, sizeof(*problem.rules));
    if (problem.parts == NULL || problem.pairs == NULL || problem.site_names == NULL ||
        problem.rules == NULL) {
        return no_memory(err);
    }
    for (int site = 0; site < grid->sites; site++) {
        str_format(problem.site_names[site], sizeof(problem.site_names[site]), "s%d", site);
    }
    int rc = 0;
    for (int part = 0; rc == 0 && part < grid->parts; part++) {
        rc = copy_part(grid, scale, part, arena, &problem, err);
    }
    for (int link = 0; rc == 0 && link < grid->links; link++) {
        rc = copy_link(grid, scale, link, arena, &problem, err);
    }
    if (rc == 0) {
        problem.rule_count += copy_rows(grid, &problem);
        *ret_problem = problem;
    }
    return rc;
}

static int copy_part(const struct grid *grid, int64_t scale, int index, struct arena *arena,
                     struct problem *problem, struct error *err)
{
    struct problem_part *part = &problem->parts[index];
    int cells = grid_cells(grid, index);
    if (cells > LIMIT_CHOICES) {
        return error_set(err, ERR_LIMIT, 0, "part %d has %d cells; the exact solver takes %d",
                         index, cells, LIMIT_CHOICES);
    }
    str_format(part->name, sizeof(part->name), "p%d", index);
    part->choice_count = cells;
    part->current = grid->current != NULL ? grid->current[index] : -1;
    part->choices = arena_array(arena, (size_t)cells, sizeof(*part->choices));
    part->cost = arena_array(arena, (size_t)cells, sizeof(*part->cost));
    bool *allowed = all_open(arena, (size_t)cells);
    if (part->choices == NULL || part->cost == NULL || allowed == NULL) {
        return no_memory(err);
    }
    bool closed = false;
    for (int cell = 0; cell < cells; cell++) {
        struct problem_choice *choice = &part->choices[cell];
        *choice = (struct problem_choice){
            .site = grid_site(grid, index, cell), .variant = cell, .lead = index};
        for (int r = 0; r < grid->resources; r++) {
            choice->demand[r] = grid_demand(grid, index, cell)[r];
        }
        if (grid_cost_raw(grid, index, cell) == GRID_CLOSED) {
            allowed[cell] = false;
            closed = true;
        } else if (__builtin_mul_overflow(grid_cost(grid, index, cell), scale, &part->cost[cell])) {
            return error_set(err, ERR_OVERFLOW, 0, "a cost of part %d is too large", index);
        }
    }
    if (closed) {
        struct problem_rule *rule = &problem->rules[problem->rule_count++];
        *rule = (struct problem_rule){.kind = RULE_CHOICES, .a = index, .allowed = allowed};
        str_format(rule->text, sizeof(rule->text), "p%d has closed cells", index);
    }
    return 0;
}

static int copy_link(const struct grid *grid, int64_t scale, int index, struct arena *arena,
                     struct problem *problem, struct error *err)
{
    const struct grid_link *link = &grid->link[index];
    struct problem_pair *pair = &problem->pairs[index];
    int rows = grid_cells(grid, link->a);
    int columns = grid_cells(grid, link->b);
    size_t cells = (size_t)rows * (size_t)columns;
    *pair = (struct problem_pair){.a = link->a, .b = link->b};
    pair->cost = arena_array(arena, cells, sizeof(*pair->cost));
    bool *allowed = all_open(arena, cells);
    if (pair->cost == NULL || allowed == NULL) {
        return no_memory(err);
    }
    bool closed = false;
    for (int row = 0; row < rows; row++) {
        for (int column = 0; column < columns; column++) {
            size_t cell = (size_t)row * (size_t)columns + (size_t)column;
            uint32_t value = grid_link_raw(grid, link, row, column);
            int64_t cost = link->base + link->scale * (int64_t)value;
            if (value == GRID_CLOSED) {
                allowed[cell] = false;
                closed = true;
            } else if (__builtin_mul_overflow(cost, scale, &pair->cost[cell])) {
                return error_set(err, ERR_OVERFLOW, 0, "a cost of link %d is too large", index);
            }
        }
    }
    if (closed) {
        struct problem_rule *rule = &problem->rules[problem->rule_count++];
        *rule = (struct problem_rule){
            .kind = RULE_PAIR, .a = link->a, .b = link->b, .allowed = allowed};
        str_format(rule->text, sizeof(rule->text), "p%d and p%d have closed pairs", link->a,
                   link->b);
    }
    return 0;
}

static int copy_rows(const struct grid *grid, struct problem *problem)
{
    int count = 0;
    for (int site = 0; site < grid->sites; site++) {
        for (int r = 0; r < grid->resources; r++) {
            int64_t capacity = grid->capacity[site * grid->resources + r];
            if (capacity == INT64_MAX) {
                continue;
            }
            struct problem_rule *rule = &problem->rules[problem->rule_count + count++];
            *rule = (struct problem_rule){.kind = RULE_CAPACITY,
                                          .site = site,
                                          .resource = (enum resource)r,
                                          .capacity = capacity};
            str_format(rule->text, sizeof(rule->text), "s%d has a capacity", site);
        }
    }
    return count;
}

static bool *all_open(struct arena *arena, size_t count)
{
    bool *open = arena_array(arena, count, sizeof(bool));
    for (size_t i = 0; open != NULL && i < count; i++) {
        open[i] = true;
    }
    return open;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for a grid in full");
}
