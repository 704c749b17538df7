#include "tests/property/grid_gen.h"

#include <stdlib.h>

#include "tests/property/problem_gen.h"

/* A cell costs up to COST_UNIT for its own reasons and as much again for the site's rates. */
#define COST_UNIT 1000000u

static int32_t demand_of(struct gen_random *random, const struct grid_shape *shape);
static bool gen_cells(const struct grid_shape *shape, struct gen_random *random,
                      struct arena *arena, struct grid *grid);
static bool gen_capacity(const struct grid_shape *shape, struct gen_random *random,
                         struct arena *arena, struct grid *grid);
static bool gen_links(const struct grid_shape *shape, struct gen_random *random,
                      struct arena *arena, struct grid *grid);

bool grid_gen(const struct grid_shape *shape, struct arena *arena, struct grid *ret_grid)
{
    struct gen_random random;
    gen_seed(&random, shape->seed);
    struct grid grid = {
        .parts = shape->parts, .sites = shape->sites, .resources = shape->resources};
    bool done = gen_cells(shape, &random, arena, &grid) &&
                gen_capacity(shape, &random, arena, &grid) &&
                (shape->app_parts < 2 || gen_links(shape, &random, arena, &grid));
    if (done) {
        *ret_grid = grid;
    }
    return done;
}

bool grid_gen_small(uint64_t seed, int resources_min, struct arena *arena, struct grid *ret_grid)
{
    struct gen_random random;
    gen_seed(&random, seed);
    struct grid_shape shape = {.seed = seed,
                               .parts = 2 + (int)gen_below(&random, 5),
                               .sites = 2 + (int)gen_below(&random, 3),
                               .resources = resources_min +
                                            (int)gen_below(&random, 3 - (uint64_t)resources_min),
                               .app_parts = 1 + (int)gen_below(&random, 6),
                               .chord_percent = (int)gen_below(&random, 150),
                               .capacity_percent = 100 + (int)gen_below(&random, 80),
                               .closed_percent = (int)gen_below(&random, 50),
                               .discrete = gen_chance(&random, 30)};
    return grid_gen(&shape, arena, ret_grid);
}

int64_t grid_brute(const struct grid *grid)
{
    int64_t load[64];
    int choice[8] = {0};
    int64_t best = INT64_MAX;
    do {
        grid_load_of(grid, choice, load);
        if (grid_broken(grid, load, choice) == 0) {
            int64_t cost = grid_cost_of(grid, choice);
            best = cost < best ? cost : best;
        }
    } while (grid_next(grid, choice));
    return best;
}

bool grid_next(const struct grid *grid, int *choice)
{
    int part = 0;
    while (part < grid->parts && ++choice[part] == grid_cells(grid, part)) {
        choice[part++] = 0;
    }
    return part < grid->parts;
}

static int32_t demand_of(struct gen_random *random, const struct grid_shape *shape)
{
    if (shape->discrete) {
        return (int32_t)(1u << gen_below(random, 5)) * 1000;
    }
    return (int32_t)(1000 + gen_below(random, 15001));
}

/* What a part costs at a site: its demand at the site's rates, and as much again that only this
 * pair of them knows (its users' distance). */
static bool gen_cells(const struct grid_shape *shape, struct gen_random *random,
                      struct arena *arena, struct grid *grid)
{
    size_t sites = (size_t)shape->sites;
    size_t parts = (size_t)shape->parts;
    size_t resources = (size_t)shape->resources;
    uint32_t *cost = arena_alloc_raw(arena, parts * sites * sizeof(uint32_t));
    int32_t *demand = arena_array(arena, parts * resources + 1, sizeof(int32_t));
    uint32_t *rate = arena_array(arena, sites, sizeof(uint32_t));
    if (cost == NULL || demand == NULL || rate == NULL) {
        return false;
    }
    for (size_t site = 0; site < sites; site++) {
        rate[site] = 20 + (uint32_t)gen_below(random, 42);
    }
    for (size_t part = 0; part < parts; part++) {
        uint32_t size = 0;
        for (size_t r = 0; r < resources; r++) {
            demand[part * resources + r] = demand_of(random, shape);
            size += (uint32_t)demand[part * resources + r] / (uint32_t)resources;
        }
        size_t open = sites;
        for (size_t site = 0; site < sites; site++) {
            uint32_t own = (uint32_t)gen_below(random, COST_UNIT);
            bool closed = gen_chance(random, shape->closed_percent) && open > 3;
            open -= closed;
            cost[part * sites + site] = closed ? GRID_CLOSED : own + rate[site] * size;
        }
    }
    grid->cost = cost;
    grid->demand = demand;
    return true;
}

/* Sites differ in size by up to three times. */
static bool gen_capacity(const struct grid_shape *shape, struct gen_random *random,
                         struct arena *arena, struct grid *grid)
{
    size_t sites = (size_t)shape->sites;
    size_t resources = (size_t)shape->resources;
    int64_t *capacity = arena_array(arena, sites * resources + 1, sizeof(int64_t));
    int64_t *share = arena_array(arena, sites, sizeof(int64_t));
    if (capacity == NULL || share == NULL) {
        return false;
    }
    int64_t shares = 0;
    for (size_t site = 0; site < sites; site++) {
        share[site] = 50 + (int64_t)gen_below(random, 101);
        shares += share[site];
    }
    for (size_t r = 0; r < resources; r++) {
        int64_t total = 0;
        for (size_t part = 0; part < (size_t)shape->parts; part++) {
            total += grid->demand[part * resources + r];
        }
        for (size_t site = 0; site < sites; site++) {
            __int128 room = (__int128)total * shape->capacity_percent / 100 * share[site] / shares;
            capacity[site * resources + r] =
                shape->capacity_percent > 0 ? (int64_t)room : INT64_MAX;
        }
    }
    grid->capacity = capacity;
    return true;
}

/* Workload i of an app calls an earlier one; a call costs by the distance of the two sites on a
 * plane and by how often it is made. */
static bool gen_links(const struct grid_shape *shape, struct gen_random *random,
                      struct arena *arena, struct grid *grid)
{
    size_t sites = (size_t)shape->sites;
    size_t most = (size_t)shape->parts * (size_t)(100 + shape->chord_percent) / 100 + 1;
    struct grid_link *link = arena_array(arena, most, sizeof(*link));
    struct grid_table *table = arena_array(arena, 1, sizeof(*table));
    uint32_t *value = arena_array(arena, sites * sites, sizeof(uint32_t));
    int64_t *place = arena_array(arena, sites * 2, sizeof(int64_t));
    if (link == NULL || table == NULL || value == NULL || place == NULL) {
        return false;
    }
    for (size_t i = 0; i < sites * 2; i++) {
        place[i] = (int64_t)gen_below(random, 10001);
    }
    for (size_t a = 0; a < sites; a++) {
        for (size_t b = 0; b < sites; b++) {
            int64_t x = place[2 * a] - place[2 * b];
            int64_t y = place[2 * a + 1] - place[2 * b + 1];
            value[a * sites + b] = (uint32_t)((x < 0 ? -x : x) + (y < 0 ? -y : y));
        }
    }
    int links = 0;
    for (int first = 0; first < shape->parts; first += shape->app_parts) {
        int count =
            shape->parts - first < shape->app_parts ? shape->parts - first : shape->app_parts;
        for (int i = 1; i < count; i++) {
            int to = (int)gen_below(random, (uint64_t)i);
            link[links++] = (struct grid_link){
                .a = first + to, .b = first + i, .scale = 5 + (int64_t)gen_below(random, 60)};
            /* A chord goes to a second earlier one. */
            if (i > 1 && gen_chance(random, shape->chord_percent)) {
                int other = (to + 1 + (int)gen_below(random, (uint64_t)i - 1)) % i;
                link[links++] = (struct grid_link){.a = first + other,
                                                   .b = first + i,
                                                   .scale = 5 + (int64_t)gen_below(random, 60)};
            }
        }
    }
    *table = (struct grid_table){
        .by_site = true, .rows = shape->sites, .columns = shape->sites, .value = value};
    grid->links = links;
    grid->link = link;
    grid->tables = 1;
    grid->table = table;
    return true;
}
