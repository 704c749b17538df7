#include "model/solve/branch_net.h"

#include <math.h>
#include <string.h>

#include "model/solve/branch.h"

/* Entries of a level's tables with which every pair of parts gets one. */
#define LIFT_COSTS 40000.0
/* Bytes of a level that are copied in the time of an addition. */
#define COPIED_BYTES 64

static int no_room(struct error *err);
static int lay_out(struct net *net, struct error *err);
static bool lay_pairs(struct net *net);
static int fill(struct net *net, const double *price, struct error *err);
static int fill_part(struct net *net, const double *price, int part, struct net_level *root,
                     struct error *err);
static void fill_edge(struct net *net, int index, struct net_level *root);
static int64_t divisor(int64_t a, int64_t b);
static void find_step(struct net *net);
static void gather(struct net *net, struct net_level *level, int part);
static void spread(struct net *net, struct net_level *level, int part, bool forward);
static bool close_cells(struct net *net, struct net_level *level, int part);
static bool fits(const struct net *net, const struct net_level *level, int part, int cell);

int net_create(const struct grid *grid, const double *price, bool lifted, struct arena *arena,
               struct net *net, struct error *err)
{
    *net = (struct net){.grid = grid,
                        .lifts = lifted && branch_can_lift(grid),
                        .arena = arena,
                        .parts = grid->parts,
                        .edges = grid->links,
                        .rows = grid->sites * grid->resources,
                        .limit = NET_CLOSED};
    int rc = lay_out(net, err);
    if (rc == 0) {
        find_step(net);
        rc = fill(net, price, err);
    }
    return rc;
}

static int no_room(struct error *err)
{
    return error_set(err, ERR_LIMIT, 0, "the problem is too large for branch and bound");
}

static int lay_out(struct net *net, struct error *err)
{
    const struct grid *grid = net->grid;
    size_t parts = (size_t)net->parts + 1;
    net->cells = arena_array(net->arena, parts, sizeof(int));
    net->own = arena_array(net->arena, parts, sizeof(size_t));
    net->first = arena_array(net->arena, parts + 1, sizeof(int));
    /* A pair of parts may have several links. */
    net->edges = grid->links + (net->lifts ? net->parts * (net->parts - 1) / 2 : 0);
    net->edge = arena_array(net->arena, (size_t)net->edges + 1, sizeof(*net->edge));
    net->around = arena_array(net->arena, 2 * (size_t)net->edges + 1, sizeof(int));
    net->levels = arena_array(net->arena, parts, sizeof(*net->levels));
    if (net->cells == NULL || net->own == NULL || net->first == NULL || net->edge == NULL ||
        net->around == NULL || net->levels == NULL) {
        return no_room(err);
    }
    size_t most = 1;
    for (int part = 0; part < net->parts; part++) {
        net->cells[part] = grid_cells(grid, part);
        net->own[part] = net->costs;
        net->costs += (size_t)net->cells[part];
        most = (size_t)net->cells[part] > most ? (size_t)net->cells[part] : most;
    }
    for (int i = 0; i < grid->links; i++) {
        net->edge[i] = (struct net_edge){.a = grid->link[i].a, .b = grid->link[i].b};
    }
    net->edges = grid->links;
    if (net->lifts && !lay_pairs(net)) {
        return no_room(err);
    }
    for (int i = 0; i < net->edges; i++) {
        struct net_edge *edge = &net->edge[i];
        edge->at = net->costs;
        net->costs += (size_t)net->cells[edge->a] * (size_t)net->cells[edge->b];
        net->first[edge->a + 2]++;
        net->first[edge->b + 2]++;
    }
    for (int part = 2; part <= net->parts + 1; part++) {
        net->first[part] += net->first[part - 1];
    }
    for (int i = 0; i < net->edges; i++) {
        net->around[net->first[net->edge[i].a + 1]++] = i;
        net->around[net->first[net->edge[i].b + 1]++] = i;
    }
    net->least = arena_array(net->arena, most, sizeof(int64_t));
    net->item = arena_array(net->arena, parts, sizeof(*net->item));
    net->level_bytes =
        (net->costs + (size_t)net->rows) * sizeof(int64_t) + ((size_t)net->parts + 1) * sizeof(int);
    bool done = net->least != NULL && net->item != NULL && net_level(net, 0) != NULL;
    return done ? 0 : no_room(err);
}

/* Few enough parts that every pair may have a table, at each level of the tree. */
bool branch_can_lift(const struct grid *grid)
{
    bool limited = false;
    for (int row = 0; row < grid->sites * grid->resources; row++) {
        limited = limited || grid->capacity[row] != INT64_MAX;
    }
    double cells = 0;
    for (int part = 0; part < grid->parts; part++) {
        cells += grid_cells(grid, part);
    }
    return limited && cells * cells / 2 <= LIFT_COSTS;
}

/* The pairs without a link follow the grid's links. */
static bool lay_pairs(struct net *net)
{
    const struct grid *grid = net->grid;
    size_t parts = (size_t)net->parts;
    bool *linked = arena_array(net->arena, parts * parts + 1, sizeof(bool));
    if (linked == NULL) {
        return false;
    }
    for (int i = 0; i < grid->links; i++) {
        linked[(size_t)grid->link[i].a * parts + (size_t)grid->link[i].b] = true;
        linked[(size_t)grid->link[i].b * parts + (size_t)grid->link[i].a] = true;
    }
    int edges = grid->links;
    for (int a = 0; a < net->parts; a++) {
        for (int b = a + 1; b < net->parts; b++) {
            if (!linked[(size_t)a * parts + (size_t)b]) {
                net->edge[edges++] = (struct net_edge){.a = a, .b = b};
            }
        }
    }
    net->edges = edges;
    return true;
}

struct net_level *net_level(struct net *net, int depth)
{
    struct net_level *level = &net->levels[depth];
    if (level->cost == NULL) {
        int64_t *block = arena_alloc(net->arena, net->level_bytes);
        if (block == NULL) {
            return NULL;
        }
        level->cost = block;
        level->left = block + net->costs;
        level->open = (int *)(level->left + net->rows);
    }
    return level;
}

void net_copy(struct net *net, struct net_level *to, const struct net_level *from)
{
    to->constant = from->constant;
    memcpy(to->cost, from->cost, net->level_bytes);
    net->work += (int64_t)(net->level_bytes / COPIED_BYTES);
}

/* ---- filling the root ---- */

static int64_t divisor(int64_t a, int64_t b)
{
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Costs differ by multiples of the divisor of all differences from each table's first entry. */
static void find_step(struct net *net)
{
    const struct grid *grid = net->grid;
    for (int part = 0; part < net->parts; part++) {
        int64_t first = 0;
        bool seen = false;
        for (int cell = 0; cell < net->cells[part]; cell++) {
            if (grid_cost_raw(grid, part, cell) == GRID_CLOSED) {
                continue;
            }
            int64_t cost = grid_cost(grid, part, cell);
            first = seen ? first : cost;
            net->step = divisor(net->step, cost - first);
            seen = true;
        }
        net->base += first;
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        uint32_t first = GRID_CLOSED;
        for (int a = 0; a < net->cells[link->a]; a++) {
            for (int b = 0; b < net->cells[link->b]; b++) {
                uint32_t value = grid_link_raw(grid, link, a, b);
                if (value != GRID_CLOSED) {
                    first = first == GRID_CLOSED ? value : first;
                    net->step = divisor(net->step, link->scale * ((int64_t)value - (int64_t)first));
                }
            }
        }
        net->base += link->base + (first == GRID_CLOSED ? 0 : link->scale * (int64_t)first);
    }
    net->step = net->step == 0 ? 1 : net->step;
}

static int fill(struct net *net, const double *price, struct error *err)
{
    const struct grid *grid = net->grid;
    struct net_level *root = &net->levels[0];
    int rc = 0;
    for (int row = 0; row < net->rows; row++) {
        root->left[row] = grid->capacity[row];
        if (price != NULL && grid->capacity[row] != INT64_MAX) {
            double paid = ceil(price[row] * (double)grid->capacity[row] * BRANCH_SCALE);
            if (!(paid < 0x1p60)) {
                return no_room(err);
            }
            net->priced += (int64_t)paid;
        }
    }
    root->constant = -net->priced;
    for (int part = 0; rc == 0 && part < net->parts; part++) {
        rc = fill_part(net, price, part, root, err);
    }
    for (int i = 0; rc == 0 && i < grid->links; i++) {
        fill_edge(net, i, root); /* those of other pairs are 0 */
    }
    return rc;
}

static int fill_part(struct net *net, const double *price, int part, struct net_level *root,
                     struct error *err)
{
    const struct grid *grid = net->grid;
    int64_t *own = root->cost + net->own[part];
    root->open[part] = net->cells[part];
    int64_t least = NET_CLOSED;
    for (int cell = 0; cell < net->cells[part]; cell++) {
        own[cell] = NET_CLOSED;
        if (grid_cost_raw(grid, part, cell) == GRID_CLOSED) {
            root->open[part]--;
            continue;
        }
        const int32_t *demand = grid_demand(grid, part, cell);
        const double *at =
            price == NULL ? NULL
                          : price + (size_t)grid_site(grid, part, cell) * (size_t)grid->resources;
        double paid = 0;
        for (int r = 0; at != NULL && r < grid->resources; r++) {
            paid += at[r] * (double)demand[r];
        }
        /* A little less than the price: a bound may be low, never high. */
        paid = floor(paid * (1 - 0x1p-50) * BRANCH_SCALE);
        int64_t cost = grid_cost(grid, part, cell);
        if (!(paid < 0x1p56) || cost > (INT64_C(1) << 46) || cost < -(INT64_C(1) << 46)) {
            return no_room(err);
        }
        own[cell] = cost * BRANCH_SCALE + (int64_t)paid;
        least = own[cell] < least ? own[cell] : least;
    }
    for (int cell = 0; cell < net->cells[part] && least != NET_CLOSED; cell++) {
        own[cell] -= own[cell] == NET_CLOSED ? 0 : least;
    }
    root->constant += least == NET_CLOSED ? 0 : least;
    return 0;
}

static void fill_edge(struct net *net, int index, struct net_level *root)
{
    const struct grid_link *link = &net->grid->link[index];
    int64_t *table = root->cost + net->edge[index].at;
    int64_t least = NET_CLOSED;
    int columns = net->cells[link->b];
    for (int a = 0; a < net->cells[link->a]; a++) {
        for (int b = 0; b < columns; b++) {
            uint32_t value = grid_link_raw(net->grid, link, a, b);
            int64_t cost = value == GRID_CLOSED
                               ? NET_CLOSED
                               : (link->base + link->scale * (int64_t)value) * BRANCH_SCALE;
            table[a * columns + b] = cost;
            least = cost < least ? cost : least;
        }
    }
    for (int i = 0; i < net->cells[link->a] * columns && least != NET_CLOSED; i++) {
        table[i] -= table[i] == NET_CLOSED ? 0 : least;
    }
    root->constant += least == NET_CLOSED ? 0 : least;
}

/* ---- moving cost ---- */

bool net_tighten(struct net *net, struct net_level *level, int passes)
{
    for (int pass = 0; pass < 2 * passes; pass++) {
        int64_t before = level->constant;
        bool forward = (pass & 1) == 0;
        bool closed = false;
        for (int k = 0; k < net->parts; k++) {
            int part = forward ? k : net->parts - 1 - k;
            if (level->open[part] == 0) {
                continue;
            }
            gather(net, level, part);
            int open = level->open[part];
            if (!close_cells(net, level, part)) {
                return false;
            }
            if (net->lifts && level->open[part] > 1 &&
                (!net_lift(net, level, part, forward) || !close_cells(net, level, part))) {
                return false;
            }
            closed = closed || (level->open[part] != open && open != 0);
            if (level->open[part] > 1) {
                spread(net, level, part, forward);
            }
        }
        if (!forward && level->constant - before < BRANCH_SCALE / 64 && !closed) {
            break;
        }
    }
    /* What was spread is gathered again, so that own costs say what a cell costs at least. */
    for (int part = 0; part < net->parts; part++) {
        if (level->open[part] > 0) {
            gather(net, level, part);
            if (!close_cells(net, level, part)) {
                return false;
            }
        }
    }
    return (!net->lifts || net_lift_rows(net, level)) && level->constant < net->limit;
}

/* Takes from every link of a part what each of its cells pays there at least, and from its own
 * costs what all of them pay. */
static void gather(struct net *net, struct net_level *level, int part)
{
    int64_t *own = level->cost + net->own[part];
    int cells = net->cells[part];
    for (int k = net->first[part]; k < net->first[part + 1]; k++) {
        const struct net_edge *edge = &net->edge[net->around[k]];
        int other = edge->a == part ? edge->b : edge->a;
        if (level->open[other] == 0) {
            continue;
        }
        int64_t *table = level->cost + edge->at;
        int count = net->cells[other];
        bool turned = edge->a != part;
        const int64_t *others = level->cost + net->own[other];
        net->work += (int64_t)cells * count;
        for (int cell = 0; cell < cells; cell++) {
            if (own[cell] == NET_CLOSED) {
                continue;
            }
            int64_t least = NET_CLOSED;
            int64_t *row = turned ? table + cell : table + (size_t)cell * (size_t)count;
            size_t step = turned ? (size_t)cells : 1;
            for (int i = 0; i < count; i++) {
                int64_t here = others[i] == NET_CLOSED ? NET_CLOSED : row[(size_t)i * step];
                least = here < least ? here : least;
            }
            if (net_sum(own[cell], least) == NET_CLOSED) {
                own[cell] = NET_CLOSED;
                level->open[part]--;
            } else if (least > 0) {
                own[cell] += least;
                for (int i = 0; i < count; i++) {
                    int64_t *here = &row[(size_t)i * step];
                    *here -= *here == NET_CLOSED ? 0 : least;
                }
            }
        }
    }
    int64_t least = NET_CLOSED;
    for (int cell = 0; cell < cells; cell++) {
        least = own[cell] < least ? own[cell] : least;
    }
    if (least > 0 && least != NET_CLOSED) {
        level->constant = net_sum(level->constant, least);
        for (int cell = 0; cell < cells; cell++) {
            own[cell] -= own[cell] == NET_CLOSED ? 0 : least;
        }
    }
}

/* Gives a part's own costs to the links that are still ahead in this pass, in even shares. */
static void spread(struct net *net, struct net_level *level, int part, bool forward)
{
    int ahead = 0;
    int behind = 0;
    for (int k = net->first[part]; k < net->first[part + 1]; k++) {
        const struct net_edge *edge = &net->edge[net->around[k]];
        int other = edge->a == part ? edge->b : edge->a;
        if (level->open[other] > 0) {
            ahead += (other > part) == forward;
            behind += (other > part) != forward;
        }
    }
    if (ahead == 0) {
        return;
    }
    int shares = ahead > behind ? ahead : behind;
    int64_t *own = level->cost + net->own[part];
    int cells = net->cells[part];
    for (int k = net->first[part]; k < net->first[part + 1]; k++) {
        const struct net_edge *edge = &net->edge[net->around[k]];
        int other = edge->a == part ? edge->b : edge->a;
        if (level->open[other] == 0 || (other > part) != forward) {
            continue;
        }
        int64_t *table = level->cost + edge->at;
        int count = net->cells[other];
        bool turned = edge->a != part;
        net->work += (int64_t)cells * count;
        for (int cell = 0; cell < cells; cell++) {
            int64_t share = own[cell] == NET_CLOSED ? 0 : own[cell] / shares;
            int64_t *row = turned ? table + cell : table + (size_t)cell * (size_t)count;
            size_t step = turned ? (size_t)cells : 1;
            for (int i = 0; share > 0 && i < count; i++) {
                int64_t *here = &row[(size_t)i * step];
                *here = net_sum(*here, share);
            }
        }
    }
    for (int cell = 0; cell < cells; cell++) {
        own[cell] -= own[cell] == NET_CLOSED ? 0 : own[cell] / shares * ahead;
    }
}

/* Closes what reaches the limit or fits no more; folds the last one left. */
static bool close_cells(struct net *net, struct net_level *level, int part)
{
    int64_t *own = level->cost + net->own[part];
    int last = -1;
    for (int cell = 0; cell < net->cells[part]; cell++) {
        if (own[cell] == NET_CLOSED) {
            continue;
        }
        if (level->constant + own[cell] >= net->limit || !fits(net, level, part, cell)) {
            own[cell] = NET_CLOSED;
            level->open[part]--;
        } else {
            last = cell;
        }
    }
    if (last < 0) {
        return false;
    }
    return level->open[part] > 1 || net_fold(net, level, part, last);
}

static bool fits(const struct net *net, const struct net_level *level, int part, int cell)
{
    const struct grid *grid = net->grid;
    const int32_t *demand = grid->resources > 0 ? grid_demand(grid, part, cell) : NULL;
    const int64_t *left =
        level->left + (size_t)grid_site(grid, part, cell) * (size_t)grid->resources;
    for (int r = 0; r < grid->resources; r++) {
        if (demand[r] > left[r]) {
            return false;
        }
    }
    return true;
}

bool net_fold(struct net *net, struct net_level *level, int part, int cell)
{
    const struct grid *grid = net->grid;
    int64_t *own = level->cost + net->own[part];
    level->constant += own[cell];
    for (int i = 0; i < net->cells[part]; i++) {
        own[i] = i == cell ? 0 : NET_CLOSED;
    }
    level->open[part] = 0;
    int64_t *left = level->left + (size_t)grid_site(grid, part, cell) * (size_t)grid->resources;
    for (int r = 0; r < grid->resources; r++) {
        left[r] -= left[r] == INT64_MAX ? 0 : grid_demand(grid, part, cell)[r];
    }
    for (int k = net->first[part]; k < net->first[part + 1]; k++) {
        const struct net_edge *edge = &net->edge[net->around[k]];
        int other = edge->a == part ? edge->b : edge->a;
        if (level->open[other] == 0) {
            continue;
        }
        bool turned = edge->a != part;
        int count = net->cells[other];
        const int64_t *table = level->cost + edge->at;
        int64_t *others = level->cost + net->own[other];
        net->work += count;
        for (int i = 0; i < count; i++) {
            int64_t more = turned ? table[(size_t)i * (size_t)net->cells[part] + (size_t)cell]
                                  : table[(size_t)cell * (size_t)count + (size_t)i];
            if (others[i] == NET_CLOSED) {
                continue;
            }
            if (more == NET_CLOSED) {
                others[i] = NET_CLOSED;
                level->open[other]--;
            } else {
                others[i] += more;
            }
        }
        if (level->open[other] == 0) {
            return false;
        }
    }
    return true;
}
