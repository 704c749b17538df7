#include "model/solve/shape.h"

#include <stdlib.h>
#include <string.h>

#include "model/solve/tables.h"

struct shaper {
    const struct reduced *reduced;
    struct arena *arena;
    struct shape shape;
    const size_t *first;
    uint32_t *cost;
    const struct shape *like; /* its links; NULL: those that this problem needs */
    struct shape_pair *pairs;
    size_t pair_count;
    int64_t *picked; /* [cells of the largest link] */
    bool varies;     /* demands differ between the cells of a part */
};

static int no_memory(struct error *err);
static int shape_cells_of(struct shaper *shaper, struct error *err);
static int shape_parts(struct shaper *shaper, struct error *err);
static int shape_rows(struct shaper *shaper, struct error *err);
static void close_large_cells(struct shaper *shaper);
static void find_units(struct shaper *shaper);
static int shape_demand(struct shaper *shaper, bool up, const int32_t **ret_part,
                        const int32_t **ret_cell, struct error *err);
static int collect_pairs(struct shaper *shaper, struct error *err);
static int take_pairs(struct shaper *shaper, struct error *err);
static int shape_links(struct shaper *shaper, struct error *err);
static bool is_open(const struct shaper *shaper, const struct shape_pair *pair);
static int make_links(struct shaper *shaper, struct grid_link *link, struct grid_table *table,
                      struct error *err);
static int shape_link(struct shaper *shaper, const struct shape_pair *pair, struct grid_link *link,
                      struct grid_table *table, struct error *err);
static void open_link(struct shaper *shaper, const struct shape_pair *pair, struct grid_link *link,
                      struct grid_table *table, uint32_t *value);
static int64_t pair_cost(const struct reduced *reduced, const struct shape_pair *pair, int choice_a,
                         int choice_b, bool *ret_open);
/* Units are powers of two: dividing by one takes no time. */
static int shift_of(int64_t range)
{
    int shift = 0;
    while (range >> shift >= (int64_t)GRID_CLOSED) {
        shift++;
    }
    return shift;
}

static int shift_of(int64_t range);
static int64_t divisor(int64_t a, int64_t b);
static int compare_pairs(const void *x, const void *y);

int shape_build(const struct reduced *reduced, struct arena *arena, struct shape *ret_shape,
                struct error *err)
{
    return shape_build_like(reduced, NULL, arena, ret_shape, err);
}

int shape_build_like(const struct reduced *reduced, const struct shape *like, struct arena *arena,
                     struct shape *ret_shape, struct error *err)
{
    struct shaper shaper = {.reduced = reduced, .arena = arena, .like = like};
    struct grid *grid = &shaper.shape.grid;
    grid->parts = reduced->parts;
    grid->sites = reduced->sites;
    grid->resources = RESOURCE_COUNT;
    int rc = shape_cells_of(&shaper, err);
    rc = rc == 0 ? shape_parts(&shaper, err) : rc;
    rc = rc == 0 ? shape_rows(&shaper, err) : rc;
    if (rc == 0 && reduced->without_capacities) {
        close_large_cells(&shaper);
    }
    rc = rc == 0 ? (like != NULL ? take_pairs(&shaper, err) : collect_pairs(&shaper, err)) : rc;
    rc = rc == 0 ? shape_links(&shaper, err) : rc;
    if (rc < 0) {
        return rc;
    }
    struct grid *strict = &shaper.shape.strict;
    const int32_t *demand = strict->demand;
    const int32_t *cell_demand = strict->cell_demand;
    const int64_t *capacity = strict->capacity;
    *strict = *grid;
    if (!shaper.shape.exact) {
        strict->demand = demand;
        strict->cell_demand = cell_demand;
        strict->capacity = capacity;
    }
    struct error refused = {0};
    if ((like != NULL ? grid_check_costs(grid, &refused) : grid_check(grid, &refused)) < 0) {
        return error_set(err, ERR_UNSUPPORTED, 0, "%s", refused.text);
    }
    shaper.shape.pairs = shaper.pairs;
    shaper.shape.reduced = reduced;
    *ret_shape = shaper.shape;
    return 0;
}

void shape_choice(const struct shape *shape, const int *cell, int *ret_choice)
{
    for (int part = 0; part < shape->grid.parts; part++) {
        ret_choice[part] = shape->choice[shape->grid.first[part] + (size_t)cell[part]];
    }
}

void shape_cells(const struct shape *shape, const int *choice, int *ret_cell)
{
    for (int part = 0; part < shape->grid.parts; part++) {
        ret_cell[part] = -1;
        for (int cell = 0; cell < grid_cells(&shape->grid, part); cell++) {
            if (shape->choice[shape->grid.first[part] + (size_t)cell] == choice[part]) {
                ret_cell[part] = cell;
            }
        }
    }
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the problem as a grid");
}

/* Where the cells of each part begin, the choices that they are, and their sites. */
static int shape_cells_of(struct shaper *shaper, struct error *err)
{
    const struct reduced *reduced = shaper->reduced;
    struct shape *shape = &shaper->shape;
    if (shaper->like != NULL) {
        shaper->first = shaper->like->grid.first;
        shape->grid.site = shaper->like->grid.site;
        shape->choice = shaper->like->choice;
        return 0;
    }
    size_t parts = (size_t)reduced->parts;
    size_t cells = 0;
    size_t *first = arena_array(shaper->arena, parts + 1, sizeof(size_t));
    for (size_t part = 0; first != NULL && part < parts; part++) {
        first[part] = cells;
        cells += (size_t)reduced->open_count[part];
        first[part + 1] = cells;
    }
    uint16_t *site = arena_array(shaper->arena, cells + 1, sizeof(uint16_t));
    shape->choice = arena_array(shaper->arena, cells + 1, sizeof(int));
    if (first == NULL || site == NULL || shape->choice == NULL) {
        return no_memory(err);
    }
    for (int part = 0; part < reduced->parts; part++) {
        size_t at = first[part];
        for (int choice = 0; choice < reduced->count[part]; choice++) {
            if (reduced->open[reduce_node(reduced, part, choice)]) {
                site[at] = (uint16_t)reduce_choice(reduced, part, choice)->site;
                shape->choice[at++] = choice;
            }
        }
    }
    shaper->first = first;
    shape->grid.site = site;
    return 0;
}

/* The costs of cells. A part's least cost is its base. */
static int shape_parts(struct shaper *shaper, struct error *err)
{
    const struct reduced *reduced = shaper->reduced;
    struct shape *shape = &shaper->shape;
    size_t parts = (size_t)reduced->parts;
    size_t cells = shaper->first[parts];
    int64_t *base = arena_array(shaper->arena, parts + 1, sizeof(int64_t));
    int64_t *unit = arena_array(shaper->arena, parts + 1, sizeof(int64_t));
    uint32_t *cost = arena_array(shaper->arena, cells + 1, sizeof(uint32_t));
    int *current = arena_array(shaper->arena, parts + 1, sizeof(int));
    if (base == NULL || unit == NULL || cost == NULL || current == NULL) {
        return no_memory(err);
    }
    for (int part = 0; part < reduced->parts; part++) {
        const int64_t *node = reduced->node + reduced->first[part];
        int64_t least = INT64_MAX;
        int64_t most = 0;
        for (size_t at = shaper->first[part]; at < shaper->first[part + 1]; at++) {
            int64_t own = node[shape->choice[at]];
            least = own < least ? own : least;
            most = own > most ? own : most;
        }
        base[part] = least;
        int shift = shift_of(most - least);
        unit[part] = INT64_C(1) << shift;
        current[part] = -1;
        for (size_t at = shaper->first[part]; at < shaper->first[part + 1]; at++) {
            cost[at] = (uint32_t)((node[shape->choice[at]] - least) >> shift);
            if (shape->choice[at] == reduced->problem->parts[part].current) {
                current[part] = (int)(at - shaper->first[part]);
            }
        }
    }
    /* A gap is one of the whole cost, so that the grid is to have all of it. */
    shape->constant = reduced->parts > 0 ? 0 : reduced->constant;
    base[0] += reduced->constant - shape->constant;
    struct grid *grid = &shape->grid;
    shaper->cost = cost;
    grid->first = shaper->first;
    grid->base = base;
    grid->unit = unit;
    grid->cost = cost;
    grid->current = current;
    return 0;
}

static int64_t divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* ---- capacities and demands ---- */

static int shape_rows(struct shaper *shaper, struct error *err)
{
    const struct problem *problem = shaper->reduced->problem;
    struct shape *shape = &shaper->shape;
    size_t rows = (size_t)shape->grid.sites * RESOURCE_COUNT;
    int64_t *capacity = arena_array(shaper->arena, rows, sizeof(int64_t));
    int64_t *strict = arena_array(shaper->arena, rows, sizeof(int64_t));
    shape->rule = arena_array(shaper->arena, rows, sizeof(int));
    if (capacity == NULL || strict == NULL || shape->rule == NULL) {
        return no_memory(err);
    }
    if (shaper->like != NULL) {
        memcpy(shape->unit, shaper->like->unit, sizeof(shape->unit));
        shape->exact = shaper->like->exact;
    } else {
        find_units(shaper);
    }
    for (size_t row = 0; row < rows; row++) {
        shape->rule[row] = -1;
        capacity[row] = INT64_MAX;
    }
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind != RULE_CAPACITY) {
            continue;
        }
        if (rule->capacity < 0) {
            return error_set(err, ERR_UNSUPPORTED, 0, "%s: less than nothing", rule->text);
        }
        size_t row = (size_t)rule->site * RESOURCE_COUNT + (size_t)rule->resource;
        int64_t units = rule->capacity / shape->unit[rule->resource];
        if (shape->rule[row] < 0 || units < capacity[row]) {
            capacity[row] = units;
            shape->rule[row] = i;
        }
    }
    memcpy(strict, capacity, rows * sizeof(int64_t));
    shape->grid.capacity = capacity;
    shape->strict.capacity = strict;
    if (shaper->like != NULL) {
        shape->grid.demand = shaper->like->grid.demand;
        shape->grid.cell_demand = shaper->like->grid.cell_demand;
        shape->strict.demand = shaper->like->strict.demand;
        shape->strict.cell_demand = shaper->like->strict.cell_demand;
        return 0;
    }
    int rc = shape_demand(shaper, false, &shape->grid.demand, &shape->grid.cell_demand, err);
    if (rc == 0 && !shape->exact) {
        rc = shape_demand(shaper, true, &shape->strict.demand, &shape->strict.cell_demand, err);
    }
    return rc;
}

/* What takes more than there is of a site by itself: reduce.h has left it open. */
static void close_large_cells(struct shaper *shaper)
{
    const struct grid *grid = &shaper->shape.grid;
    int64_t least[RESOURCE_COUNT];
    for (int r = 0; r < RESOURCE_COUNT; r++) {
        least[r] = INT64_MAX;
        for (int site = 0; site < grid->sites; site++) {
            int64_t capacity = grid->capacity[(size_t)site * RESOURCE_COUNT + (size_t)r];
            least[r] = capacity < least[r] ? capacity : least[r];
        }
    }
    for (int part = 0; part < grid->parts; part++) {
        int demands = grid->cell_demand != NULL ? grid_cells(grid, part) : 1;
        bool large = false;
        for (int cell = 0; cell < demands; cell++) {
            const int32_t *demand = grid_demand(grid, part, cell);
            for (int r = 0; r < RESOURCE_COUNT; r++) {
                large = large || demand[r] > least[r];
            }
        }
        for (int cell = 0; large && cell < grid_cells(grid, part); cell++) {
            const int32_t *demand = grid_demand(grid, part, cell);
            const int64_t *capacity =
                grid->capacity + (size_t)grid_site(grid, part, cell) * RESOURCE_COUNT;
            for (int r = 0; r < RESOURCE_COUNT; r++) {
                if (demand[r] > capacity[r]) {
                    shaper->cost[grid->first[part] + (size_t)cell] = GRID_CLOSED;
                }
            }
        }
    }
}

/* The largest unit in which every demand is a whole number of at most 30 bits; where there is none,
 * a larger one. */
static void find_units(struct shaper *shaper)
{
    const struct reduced *reduced = shaper->reduced;
    struct shape *shape = &shaper->shape;
    shape->exact = true;
    for (int r = 0; r < RESOURCE_COUNT; r++) {
        int64_t common = 0;
        int64_t most = 0;
        for (int part = 0; part < reduced->parts; part++) {
            int64_t seen = -1;
            for (size_t at = shaper->first[part]; at < shaper->first[part + 1]; at++) {
                int64_t demand = reduce_choice(reduced, part, shape->choice[at])->demand[r];
                common = divisor(common, demand);
                most = demand > most ? demand : most;
                shaper->varies = shaper->varies || (seen >= 0 && seen != demand);
                seen = demand;
            }
        }
        common = common == 0 ? 1 : common;
        int64_t needed = most / ((1 << 30) - 1) + 1;
        shape->unit[r] = common >= needed ? common : needed;
        shape->exact = shape->exact && common >= needed;
    }
}

static int shape_demand(struct shaper *shaper, bool up, const int32_t **ret_part,
                        const int32_t **ret_cell, struct error *err)
{
    const struct reduced *reduced = shaper->reduced;
    const struct shape *shape = &shaper->shape;
    size_t parts = (size_t)reduced->parts;
    size_t count = shaper->varies ? shaper->first[parts] : parts;
    int32_t *demand = arena_array(shaper->arena, count * RESOURCE_COUNT + 1, sizeof(int32_t));
    if (demand == NULL) {
        return no_memory(err);
    }
    for (int part = 0; part < reduced->parts; part++) {
        for (size_t at = shaper->first[part]; at < shaper->first[part + 1]; at++) {
            size_t out = (shaper->varies ? at : (size_t)part) * RESOURCE_COUNT;
            for (int r = 0; r < RESOURCE_COUNT; r++) {
                int64_t whole = reduce_choice(reduced, part, shape->choice[at])->demand[r];
                int64_t more = up && whole % shape->unit[r] != 0;
                demand[out + (size_t)r] = (int32_t)(whole / shape->unit[r] + more);
            }
        }
    }
    *(shaper->varies ? ret_cell : ret_part) = demand;
    return 0;
}

/* ---- links ---- */

static int collect_pairs(struct shaper *shaper, struct error *err)
{
    const struct reduced *reduced = shaper->reduced;
    const struct problem *problem = reduced->problem;
    size_t most = (size_t)reduced->edge_count;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_APART && rule->part_count <= SHAPE_APART) {
            most += (size_t)rule->part_count * (size_t)rule->part_count / 2;
        }
    }
    struct shape_pair *pairs = arena_array(shaper->arena, most + 1, sizeof(*pairs));
    if (pairs == NULL) {
        return no_memory(err);
    }
    size_t count = 0;
    for (int i = 0; i < reduced->edge_count; i++) {
        /* A pair that is idle at these costs may not be at others. */
        if (reduced->without_capacities || !reduce_edge_is_idle(reduced, &reduced->edges[i])) {
            pairs[count++] =
                (struct shape_pair){.a = reduced->edges[i].a, .b = reduced->edges[i].b, .edge = i};
        }
    }
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        bool taken = rule->kind == RULE_APART && rule->part_count <= SHAPE_APART;
        for (int k = 1; taken && k < rule->part_count; k++) {
            for (int j = 0; j < k; j++) {
                int a = rule->parts[j];
                int b = rule->parts[k];
                if (a != b) {
                    pairs[count++] = (struct shape_pair){
                        .a = a < b ? a : b, .b = a < b ? b : a, .edge = -1, .apart = true};
                }
            }
        }
    }
    qsort(pairs, count, sizeof(*pairs), compare_pairs);
    for (size_t i = 0; i < count; i++) {
        struct shape_pair *last = shaper->pair_count > 0 ? &pairs[shaper->pair_count - 1] : NULL;
        if (last != NULL && last->a == pairs[i].a && last->b == pairs[i].b) {
            last->edge = last->edge < 0 ? pairs[i].edge : last->edge;
            last->apart = last->apart || pairs[i].apart;
        } else {
            pairs[shaper->pair_count++] = pairs[i];
        }
    }
    for (size_t i = 0; i < shaper->pair_count; i++) {
        pairs[i].open = is_open(shaper, &pairs[i]);
    }
    shaper->pairs = pairs;
    return 0;
}

static bool is_open(const struct shaper *shaper, const struct shape_pair *pair)
{
    const struct reduced *reduced = shaper->reduced;
    if (pair->edge < 0 || pair->apart) {
        return false;
    }
    const struct edge *edge = &reduced->edges[pair->edge];
    const int *choice = shaper->shape.choice;
    if (memchr(edge->open, false, reduce_cells(reduced, edge)) == NULL) {
        return true;
    }
    for (size_t a = shaper->first[pair->a]; a < shaper->first[pair->a + 1]; a++) {
        for (size_t b = shaper->first[pair->b]; b < shaper->first[pair->b + 1]; b++) {
            if (!edge->open[reduce_cell(reduced, edge, choice[a], choice[b])]) {
                return false;
            }
        }
    }
    return true;
}

/* Those of a problem that differs in costs and capacities: its edges are the same, in the same
 * order, but other ones may be idle. */
static int take_pairs(struct shaper *shaper, struct error *err)
{
    const struct reduced *reduced = shaper->reduced;
    const struct shape *like = shaper->like;
    shaper->pair_count = (size_t)like->grid.links;
    shaper->pairs = like->pairs;
    bool *linked = arena_array(shaper->arena, (size_t)reduced->edge_count + 1, sizeof(bool));
    if (linked == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < shaper->pair_count; i++) {
        if (shaper->pairs[i].edge >= 0) {
            linked[shaper->pairs[i].edge] = true;
        }
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        if (!linked[i] && !reduce_edge_is_idle(reduced, &reduced->edges[i])) {
            return error_set(err, ERR_UNSUPPORTED, 0, "parts are linked that were not");
        }
    }
    return 0;
}

static int compare_pairs(const void *x, const void *y)
{
    const struct shape_pair *p = x;
    const struct shape_pair *q = y;
    return p->a != q->a ? (p->a > q->a) - (p->a < q->a) : (p->b > q->b) - (p->b < q->b);
}

static int shape_links(struct shaper *shaper, struct error *err)
{
    struct grid *grid = &shaper->shape.grid;
    size_t count = shaper->pair_count;
    if (count > INT32_MAX) {
        return error_set(err, ERR_UNSUPPORTED, 0, "too many pairs of parts");
    }
    struct grid_link *link = arena_array(shaper->arena, count + 1, sizeof(*link));
    struct grid_table *table = arena_array(shaper->arena, count + 1, sizeof(*table));
    if (link == NULL || table == NULL) {
        return no_memory(err);
    }
    int rc = make_links(shaper, link, table, err);
    if (rc < 0) {
        return rc;
    }
    grid->links = (int)count;
    grid->link = link;
    grid->tables = (int)count;
    grid->table = table;
    return 0;
}

static int make_links(struct shaper *shaper, struct grid_link *link, struct grid_table *table,
                      struct error *err)
{
    const struct reduced *reduced = shaper->reduced;
    const struct shape *like = shaper->like;
    size_t most = 0;
    for (size_t i = 0; i < shaper->pair_count; i++) {
        const struct shape_pair *pair = &shaper->pairs[i];
        size_t cells = (size_t)reduced->open_count[pair->a] * (size_t)reduced->open_count[pair->b];
        most = cells > most ? cells : most;
    }
    shaper->picked = arena_alloc_raw(shaper->arena, (most + 1) * sizeof(int64_t));
    if (shaper->picked == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < shaper->pair_count; i++) {
        int edge = shaper->pairs[i].edge;
        bool same = like != NULL &&
                    (edge < 0 || reduced->edges[edge].cost == like->reduced->edges[edge].cost);
        if (same) {
            link[i] = like->grid.link[i];
            table[i] = like->grid.table[i];
            continue;
        }
        int rc = shape_link(shaper, &shaper->pairs[i], &link[i], &table[i], err);
        if (rc < 0) {
            return rc;
        }
        link[i].table = (int)i;
    }
    return 0;
}

static int shape_link(struct shaper *shaper, const struct shape_pair *pair, struct grid_link *link,
                      struct grid_table *table, struct error *err)
{
    const struct reduced *reduced = shaper->reduced;
    const int *choice_a = shaper->shape.choice + shaper->first[pair->a];
    const int *choice_b = shaper->shape.choice + shaper->first[pair->b];
    int rows = reduced->open_count[pair->a];
    int columns = reduced->open_count[pair->b];
    size_t cells = (size_t)rows * (size_t)columns;
    uint32_t *value = arena_alloc_raw(shaper->arena, (cells + 1) * sizeof(uint32_t));
    if (value == NULL) {
        return no_memory(err);
    }
    *table = (struct grid_table){.rows = rows, .columns = columns, .value = value};
    if (pair->open && cells > 0) {
        open_link(shaper, pair, link, table, value);
        return 0;
    }
    int64_t least = INT64_MAX;
    int64_t most = INT64_MIN;
    for (int a = 0; a < rows; a++) {
        for (int b = 0; b < columns; b++) {
            bool open;
            int64_t cost = pair_cost(reduced, pair, choice_a[a], choice_b[b], &open);
            least = open && cost < least ? cost : least;
            most = open && cost > most ? cost : most;
        }
    }
    bool none = most < least;
    int shift = none ? 0 : shift_of(most - least);
    for (int a = 0; a < rows; a++) {
        for (int b = 0; b < columns; b++) {
            bool open;
            int64_t cost = pair_cost(reduced, pair, choice_a[a], choice_b[b], &open);
            value[a * columns + b] = open ? (uint32_t)((cost - least) >> shift) : GRID_CLOSED;
        }
    }
    *link = (struct grid_link){
        .a = pair->a, .b = pair->b, .base = none ? 0 : least, .scale = INT64_C(1) << shift};
    return 0;
}

/* Of a pair of which nothing is closed. Where others are made like it, values are small. */
static void open_link(struct shaper *shaper, const struct shape_pair *pair, struct grid_link *link,
                      struct grid_table *table, uint32_t *value)
{
    const struct reduced *reduced = shaper->reduced;
    const struct edge *edge = &reduced->edges[pair->edge];
    const int64_t *cost = edge->cost;
    size_t rows = (size_t)table->rows;
    size_t columns = (size_t)table->columns;
    if (rows * columns != reduce_cells(reduced, edge)) {
        tables_pick(cost, (size_t)reduced->count[pair->b],
                    shaper->shape.choice + shaper->first[pair->a], rows,
                    shaper->shape.choice + shaper->first[pair->b], columns, shaper->picked);
        cost = shaper->picked;
    }
    int64_t least;
    int64_t most;
    tables_range(cost, rows * columns, &least, &most);
    table->small = reduced->without_capacities;
    int shift = shift_of(table->small ? (most - least) * 2 : most - least);
    tables_narrow(cost, rows * columns, least, shift, value);
    *link =
        (struct grid_link){.a = pair->a, .b = pair->b, .base = least, .scale = INT64_C(1) << shift};
}

/* Of two cells that may be together; meaningless otherwise. */
static int64_t pair_cost(const struct reduced *reduced, const struct shape_pair *pair, int choice_a,
                         int choice_b, bool *ret_open)
{
    *ret_open = !pair->apart || reduce_choice(reduced, pair->a, choice_a)->site !=
                                    reduce_choice(reduced, pair->b, choice_b)->site;
    if (pair->edge < 0) {
        return 0;
    }
    const struct edge *edge = &reduced->edges[pair->edge];
    size_t cell = reduce_cell(reduced, edge, choice_a, choice_b);
    *ret_open = *ret_open && edge->open[cell];
    return edge->cost[cell];
}
