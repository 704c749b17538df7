#include <math.h>

#include "model/solve/branch_net.h"

/* One knapsack: the parts that would be at a site, and the room that is left for them there. */
struct knapsack {
    struct net *net;
    struct net_level *level;
    int part; /* whose cell is taken; -1: nobody's */
    int cell;
    int site;
    int resource;
    int64_t room;
    int items;
    int64_t demand; /* of all items together */
    int64_t forced; /* of those that can be nowhere else */
};

static bool lift_cell(struct net *net, struct net_level *level, int part, int cell, bool forward);
static void add_item(struct knapsack *sack, int other, int64_t *value, size_t step, bool ahead);
static double price_of(struct knapsack *sack);
static void pay(const struct knapsack *sack, int other, int64_t *value, size_t step, double price);
static int64_t take_least(const struct net *net, const struct net_level *level, int other,
                          int64_t *value, size_t step);
static void to_constant(const struct net *net, struct net_level *level, int part);

/* The sum of two amounts, or the largest that does not close a cell. */
static int64_t still_open(int64_t a, int64_t b)
{
    int64_t sum = net_sum(a, b);
    return sum < NET_CLOSED ? sum : NET_CLOSED - 1;
}

/* The part's costs at one of its cells against the other's cells, and the step between two. */
static int64_t *pair_costs(const struct net *net, const struct net_level *level, int edge, int part,
                           int cell, int *ret_other, size_t *ret_step)
{
    const struct net_edge *e = &net->edge[edge];
    int64_t *table = level->cost + e->at;
    bool turned = e->a != part;
    *ret_other = turned ? e->a : e->b;
    *ret_step = turned ? (size_t)net->cells[part] : 1;
    return turned ? table + cell : table + (size_t)cell * (size_t)net->cells[e->b];
}

bool net_lift(struct net *net, struct net_level *level, int part, bool forward)
{
    int64_t *own = level->cost + net->own[part];
    for (int cell = 0; cell < net->cells[part]; cell++) {
        if (own[cell] != NET_CLOSED && !lift_cell(net, level, part, cell, forward)) {
            own[cell] = NET_CLOSED;
            level->open[part]--;
        }
    }
    if (level->open[part] == 0) {
        return false;
    }
    to_constant(net, level, part);
    return true;
}

/* False: with this cell taken, what must be at some site does not fit it. */
static bool lift_cell(struct net *net, struct net_level *level, int part, int cell, bool forward)
{
    const struct grid *grid = net->grid;
    int64_t *own = &level->cost[net->own[part] + (size_t)cell];
    int at = grid_site(grid, part, cell);
    bool lifted = false;
    for (int row = 0; row < net->rows; row++) {
        if (level->left[row] == INT64_MAX) {
            continue;
        }
        struct knapsack sack = {.net = net, .level = level, .part = part, .cell = cell};
        sack.site = row / grid->resources;
        sack.resource = row % grid->resources;
        sack.room = level->left[row];
        sack.room -= sack.site == at ? grid_demand(grid, part, cell)[sack.resource] : 0;
        int other;
        size_t step;
        for (int k = net->first[part]; k < net->first[part + 1]; k++) {
            int64_t *value = pair_costs(net, level, net->around[k], part, cell, &other, &step);
            if (level->open[other] > 0) {
                add_item(&sack, other, value, step, (other > part) == forward);
            }
        }
        if (sack.room < 0 || sack.forced > sack.room) {
            return false;
        }
        double price = price_of(&sack);
        if (!(price > 0)) {
            continue;
        }
        for (int k = net->first[part]; k < net->first[part + 1]; k++) {
            int64_t *value = pair_costs(net, level, net->around[k], part, cell, &other, &step);
            if (level->open[other] > 0) {
                pay(&sack, other, value, step, price);
            }
        }
        *own -= (int64_t)ceil(price * (double)sack.room * (1 + 0x1p-50));
        lifted = true;
    }
    for (int k = net->first[part]; k < net->first[part + 1] && lifted; k++) {
        int other;
        size_t step;
        int64_t *value = pair_costs(net, level, net->around[k], part, cell, &other, &step);
        if (level->open[other] > 0) {
            *own = still_open(*own, take_least(net, level, other, value, step));
        }
    }
    return true;
}

bool net_lift_rows(struct net *net, struct net_level *level)
{
    const struct grid *grid = net->grid;
    for (int row = 0; row < net->rows; row++) {
        if (level->left[row] == INT64_MAX) {
            continue;
        }
        struct knapsack sack = {.net = net, .level = level, .part = -1};
        sack.site = row / grid->resources;
        sack.resource = row % grid->resources;
        sack.room = level->left[row];
        for (int other = 0; other < net->parts; other++) {
            if (level->open[other] > 0) {
                add_item(&sack, other, level->cost + net->own[other], 1, false);
            }
        }
        if (sack.room < 0 || sack.forced > sack.room) {
            return false;
        }
        double price = price_of(&sack);
        if (!(price > 0)) {
            continue;
        }
        level->constant -= (int64_t)ceil(price * (double)sack.room * (1 + 0x1p-50));
        for (int other = 0; other < net->parts; other++) {
            if (level->open[other] > 0) {
                pay(&sack, other, level->cost + net->own[other], 1, price);
                to_constant(net, level, other);
            }
        }
    }
    return true;
}

/* A part that is cheapest at the site is one that wants its room; pairs that do not fit are closed
 * on the way. Of what two parts owe each other the first that is looked at claims a half only: the
 * one that is still ahead has a knapsack of its own to pay from it. */
static void add_item(struct knapsack *sack, int other, int64_t *value, size_t step, bool ahead)
{
    struct net *net = sack->net;
    const struct grid *grid = net->grid;
    const int64_t *own = sack->level->cost + net->own[other];
    int64_t here = NET_CLOSED;
    int64_t away = NET_CLOSED;
    int64_t demand = INT64_MAX;
    net->work += net->cells[other];
    for (int cell = 0; cell < net->cells[other]; cell++) {
        int64_t cost = own[cell] == NET_CLOSED ? NET_CLOSED : value[(size_t)cell * step];
        if (cost == NET_CLOSED) {
            continue;
        }
        if (grid_site(grid, other, cell) != sack->site) {
            away = cost < away ? cost : away;
            continue;
        }
        int32_t needs = grid_demand(grid, other, cell)[sack->resource];
        if (sack->part >= 0 && needs > sack->room) {
            value[(size_t)cell * step] = NET_CLOSED;
            continue;
        }
        here = cost < here ? cost : here;
        demand = needs < demand ? needs : demand;
    }
    if (here >= away || demand == 0) {
        return;
    }
    sack->demand += demand;
    sack->forced += away == NET_CLOSED ? demand : 0;
    double saves = away == NET_CLOSED ? INFINITY : (double)(away - here) / (double)demand;
    saves = ahead ? saves / 2 : saves;
    /* Kept in order of what they save: there are few. */
    int i = sack->items++;
    for (; i > 0 && net->item[i - 1].ratio > saves; i--) {
        net->item[i] = net->item[i - 1];
    }
    net->item[i] = (struct net_item){.ratio = saves, .demand = demand};
}

/* What a unit of the room is worth: those that save less are kept away, and the rest fits. 0: all
 * fit, or it is not worth the rounding. */
static double price_of(struct knapsack *sack)
{
    const struct net_item *item = sack->net->item;
    int64_t left = sack->demand;
    double price = 0;
    double gain = 0;
    for (int i = 0; i < sack->items && left > sack->room; i++) {
        gain += (item[i].ratio - price) * (double)(left - sack->room);
        price = item[i].ratio;
        left -= item[i].demand;
    }
    return gain > 2.0 * sack->net->parts ? price : 0;
}

/* Rounded down: a bound may be low, never high. What does not fit the room at all pays nothing, so
 * that no product is larger than what is taken from the cell. */
static void pay(const struct knapsack *sack, int other, int64_t *value, size_t step, double price)
{
    const struct net *net = sack->net;
    const int64_t *own = sack->level->cost + net->own[other];
    for (int cell = 0; cell < net->cells[other]; cell++) {
        int64_t *here = &value[(size_t)cell * step];
        if (own[cell] == NET_CLOSED || *here == NET_CLOSED ||
            grid_site(net->grid, other, cell) != sack->site) {
            continue;
        }
        int32_t needs = grid_demand(net->grid, other, cell)[sack->resource];
        if (needs <= sack->room) {
            double more = floor(price * (double)needs * (1 - 0x1p-50));
            *here = still_open(*here, more < (double)NET_CLOSED ? (int64_t)more : NET_CLOSED);
        }
    }
}

/* What every open cell of the other pays at least is taken from all. */
static int64_t take_least(const struct net *net, const struct net_level *level, int other,
                          int64_t *value, size_t step)
{
    const int64_t *own = level->cost + net->own[other];
    int64_t least = NET_CLOSED;
    for (int cell = 0; cell < net->cells[other]; cell++) {
        int64_t here = own[cell] == NET_CLOSED ? NET_CLOSED : value[(size_t)cell * step];
        least = here < least ? here : least;
    }
    if (least == NET_CLOSED) {
        return 0;
    }
    for (int cell = 0; cell < net->cells[other]; cell++) {
        int64_t *here = &value[(size_t)cell * step];
        *here -= *here == NET_CLOSED || own[cell] == NET_CLOSED ? 0 : least;
    }
    return least;
}

static void to_constant(const struct net *net, struct net_level *level, int part)
{
    int64_t *own = level->cost + net->own[part];
    int64_t least = NET_CLOSED;
    for (int cell = 0; cell < net->cells[part]; cell++) {
        least = own[cell] < least ? own[cell] : least;
    }
    for (int cell = 0; cell < net->cells[part] && least != NET_CLOSED; cell++) {
        own[cell] -= own[cell] == NET_CLOSED ? 0 : least;
    }
    level->constant = net_sum(level->constant, least == NET_CLOSED ? 0 : least);
}
