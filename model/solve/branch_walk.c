#include <string.h>

#include "model/solve/branch_net.h"

#define KICKS 4 /* random steps between two descents, at most */

/* Costs are those of the grid, without prices. */
struct walk {
    const struct grid *grid;
    struct net *net;
    int *at;       /* [part] */
    int64_t *room; /* [row] */
    int64_t cost;
    uint64_t random;
};

static int64_t change_of(const struct walk *walk, int part, int cell);
static bool fits(const struct walk *walk, int part, int cell, int leaves);
static bool swaps(const struct walk *walk, int a, int b, int *ret_cell_a, int *ret_cell_b);
static int cell_at(const struct walk *walk, int part, int site);
static void go(struct walk *walk, int part, int cell);
static bool descend(struct walk *walk);
static bool try_swap(struct walk *walk, int a, int b);
static void kick(struct walk *walk);
static int below(struct walk *walk, int limit);

void net_walk(struct net *net, int64_t work, int *choice)
{
    const struct grid *grid = net->grid;
    size_t parts = (size_t)net->parts;
    struct walk walk = {.grid = grid, .net = net, .random = 0x9E3779B97F4A7C15u};
    walk.at = arena_copy(net->arena, choice, (parts + 1) * sizeof(int));
    walk.room = arena_array(net->arena, (size_t)net->rows + 1, sizeof(int64_t));
    if (walk.at == NULL || walk.room == NULL) {
        return; /* without it the tree finds its own */
    }
    grid_load_of(grid, choice, walk.room);
    for (int row = 0; row < net->rows; row++) {
        int64_t most = grid->capacity[row];
        walk.room[row] = most == INT64_MAX ? INT64_MAX : most - walk.room[row];
    }
    walk.cost = grid_cost_of(grid, choice);
    int64_t best = walk.cost;
    int64_t upto = net->work + work;
    while (net->work < upto) {
        while (descend(&walk)) {
        }
        if (walk.cost < best) {
            best = walk.cost;
            memcpy(choice, walk.at, parts * sizeof(int));
        } else if (below(&walk, 16) == 0) {
            for (int part = 0; part < net->parts; part++) {
                go(&walk, part, choice[part]);
            }
            walk.cost = best;
        }
        kick(&walk);
    }
}

/* What one part's going to a cell changes; INT64_MAX: it may not be there. */
static int64_t change_of(const struct walk *walk, int part, int cell)
{
    const struct grid *grid = walk->grid;
    const struct net *net = walk->net;
    if (grid_cost_raw(grid, part, cell) == GRID_CLOSED) {
        return INT64_MAX;
    }
    int was = walk->at[part];
    int64_t change = grid_cost(grid, part, cell) - grid_cost(grid, part, was);
    for (int k = net->first[part]; k < net->first[part + 1]; k++) {
        if (net->around[k] >= grid->links) {
            continue;
        }
        const struct grid_link *link = &grid->link[net->around[k]];
        bool first = link->a == part;
        int other = walk->at[first ? link->b : link->a];
        uint32_t after =
            first ? grid_link_raw(grid, link, cell, other) : grid_link_raw(grid, link, other, cell);
        uint32_t before =
            first ? grid_link_raw(grid, link, was, other) : grid_link_raw(grid, link, other, was);
        if (after == GRID_CLOSED) {
            return INT64_MAX;
        }
        change += link->scale * ((int64_t)after - (int64_t)before);
    }
    return change;
}

/* With room for it, when the part `leaves` (unless -1) has left. */
static bool fits(const struct walk *walk, int part, int cell, int leaves)
{
    const struct grid *grid = walk->grid;
    size_t site = (size_t)grid_site(grid, part, cell);
    const int64_t *room = walk->room + site * (size_t)grid->resources;
    for (int r = 0; r < grid->resources; r++) {
        int64_t freed = 0;
        if (leaves >= 0 && room[r] != INT64_MAX &&
            (size_t)grid_site(grid, leaves, walk->at[leaves]) == site) {
            freed = grid_demand(grid, leaves, walk->at[leaves])[r];
        }
        if (grid_demand(grid, part, cell)[r] > room[r] + freed) {
            return false;
        }
    }
    return true;
}

static void go(struct walk *walk, int part, int cell)
{
    const struct grid *grid = walk->grid;
    const int32_t *leaves = grid_demand(grid, part, walk->at[part]);
    const int32_t *needs = grid_demand(grid, part, cell);
    size_t resources = (size_t)grid->resources;
    int64_t *from = walk->room + (size_t)grid_site(grid, part, walk->at[part]) * resources;
    int64_t *to = walk->room + (size_t)grid_site(grid, part, cell) * resources;
    for (size_t r = 0; r < resources; r++) {
        from[r] += from[r] == INT64_MAX ? 0 : leaves[r];
        to[r] -= to[r] == INT64_MAX ? 0 : needs[r];
    }
    walk->at[part] = cell;
}

/* One pass over all steps; false: none was a gain. */
static bool descend(struct walk *walk)
{
    const struct net *net = walk->net;
    bool any = false;
    for (int part = 0; part < net->parts; part++) {
        walk->net->work +=
            (int64_t)net->cells[part] * (1 + net->first[part + 1] - net->first[part]);
        for (int cell = 0; cell < net->cells[part]; cell++) {
            if (cell == walk->at[part] || !fits(walk, part, cell, part)) {
                continue;
            }
            int64_t change = change_of(walk, part, cell);
            if (change < 0) {
                go(walk, part, cell);
                walk->cost += change;
                any = true;
            }
        }
        for (int other = 0; other < part; other++) {
            any = try_swap(walk, part, other) || any;
        }
    }
    return any;
}

/* The first cell of a part at a site; -1: it has none there. */
static int cell_at(const struct walk *walk, int part, int site)
{
    for (int cell = 0; cell < walk->net->cells[part]; cell++) {
        if (grid_site(walk->grid, part, cell) == site) {
            return cell;
        }
    }
    return -1;
}

/* Two parts of different sites that fit in each other's place. */
static bool swaps(const struct walk *walk, int a, int b, int *ret_cell_a, int *ret_cell_b)
{
    int site_a = grid_site(walk->grid, a, walk->at[a]);
    int site_b = grid_site(walk->grid, b, walk->at[b]);
    if (site_a == site_b) {
        return false;
    }
    *ret_cell_a = cell_at(walk, a, site_b);
    *ret_cell_b = cell_at(walk, b, site_a);
    return *ret_cell_a >= 0 && *ret_cell_b >= 0 && fits(walk, a, *ret_cell_a, b) &&
           fits(walk, b, *ret_cell_b, a);
}

static bool try_swap(struct walk *walk, int a, int b)
{
    const struct net *net = walk->net;
    int cell_a;
    int cell_b;
    walk->net->work++;
    if (!swaps(walk, a, b, &cell_a, &cell_b)) {
        return false;
    }
    walk->net->work += 2 + net->first[a + 1] - net->first[a] + net->first[b + 1] - net->first[b];
    int was = walk->at[a];
    int64_t one = change_of(walk, a, cell_a);
    if (one == INT64_MAX) {
        return false; /* it may be allowed with both, and is then found in two steps or not */
    }
    go(walk, a, cell_a);
    int64_t two = change_of(walk, b, cell_b);
    if (two == INT64_MAX || one + two >= 0) {
        go(walk, a, was);
        return false;
    }
    go(walk, b, cell_b);
    walk->cost += one + two;
    return true;
}

/* A few steps at random, whatever they cost. */
static void kick(struct walk *walk)
{
    const struct net *net = walk->net;
    int kicks = 2 + below(walk, KICKS - 1);
    walk->net->work += net->parts; /* a grid without a choice comes to its end, too */
    for (int i = 0; i < kicks && net->parts > 1; i++) {
        int a = below(walk, net->parts);
        int b = below(walk, net->parts);
        int cell_a = below(walk, net->cells[a]);
        int cell_b = -1;
        bool swap = below(walk, 2) == 0;
        if (swap ? !swaps(walk, a, b, &cell_a, &cell_b) : !fits(walk, a, cell_a, a)) {
            continue;
        }
        int was = walk->at[a];
        int64_t one = change_of(walk, a, cell_a);
        if (one == INT64_MAX) {
            continue;
        }
        go(walk, a, cell_a);
        int64_t two = swap ? change_of(walk, b, cell_b) : 0;
        if (two == INT64_MAX) {
            go(walk, a, was);
            continue;
        }
        if (swap) {
            go(walk, b, cell_b);
        }
        walk->cost += one + two;
    }
}

static int below(struct walk *walk, int limit)
{
    walk->random ^= walk->random << 13;
    walk->random ^= walk->random >> 7;
    walk->random ^= walk->random << 17;
    return (int)(((walk->random >> 32) * (uint64_t)limit) >> 32);
}
