#include "model/solve/subsets.h"

#include <math.h>
#include <string.h>

#include "model/solve/subsets_internal.h"

#define ROOT_ROUNDS 300 /* programmes of prices */
#define NODE_ROUNDS 40
#define LOOKS_LEAST 16 /* so often each set is looked at, at least */
/* Exact covers are tried of so many sets, and given up after so many additions. */
#define COVER_SETS  ((size_t)50000)
#define COVER_WORK  INT64_C(30000000)
#define GUESS_SETS  ((size_t)5000)
#define GUESS_SHARE 4096 /* of the room, where guessing begins */
#define ASK_WORK    250000

static int prepare(struct subsets *subsets, struct subsets_node **ret_nodes, bool *ret_fits,
                   struct error *err);
static bool list(struct subsets *subsets);
static bool nodes_create(struct subsets *subsets, struct subsets_node **ret_nodes);
static void start(struct subsets *subsets, const int *choice);
static void conclude(struct subsets *subsets);
static void dive(struct subsets *subsets, struct subsets_node *nodes, int depth);
static size_t covered_max(const struct subsets *subsets, size_t most);
static void guess(struct subsets *subsets, const struct subsets_node *node);
static void keep_cheap(struct subsets *subsets, struct subsets_node *node);
static void branch(struct subsets *subsets, struct subsets_node *nodes, int depth);
static int pick_part(struct subsets *subsets, const struct subsets_node *node, int64_t *ret_bounds);
static void child(struct subsets *subsets, const struct subsets_node *node, int part, int site,
                  struct subsets_node *ret_child);
static int64_t cost_of(const struct subsets *subsets, int64_t scaled);

struct chance {
    int64_t with[SUBSETS_SITES][SUBSETS_PARTS]; /* the least that a set adds which has the part */
    int64_t without[SUBSETS_SITES][SUBSETS_PARTS];
};
static void weigh(struct subsets *subsets, const struct subsets_node *node,
                  struct chance *ret_chance);

int subsets_solve(const struct grid *grid, const struct subsets_options *options,
                  struct arena *arena, struct subsets_result *ret_result, struct error *err)
{
    struct subsets subsets = {.grid = grid, .options = options, .arena = arena};
    struct subsets_node *nodes = NULL;
    bool fits = false;
    int rc = prepare(&subsets, &nodes, &fits, err);
    if (rc < 0) {
        return rc;
    }
    if (!fits) {
        *ret_result = (struct subsets_result){.fits = false};
        return 0;
    }
    subsets.result.fits = true;
    subsets.result.sets = (int64_t)subsets.first[subsets.sites];
    subsets.limit = subsets.reach * subsets.scale;
    subsets.open = INT64_MAX;
    subsets.known = INT64_MIN;
    if (options->start != NULL) {
        start(&subsets, options->start);
    }
    dive(&subsets, nodes, 0);
    conclude(&subsets);
    *ret_result = subsets.result;
    return 0;
}

static int prepare(struct subsets *subsets, struct subsets_node **ret_nodes, bool *ret_fits,
                   struct error *err)
{
    int rc = subsets_read(subsets, ret_fits, err);
    if (rc < 0 || !*ret_fits) {
        return rc;
    }
    *ret_fits = list(subsets);
    if (!*ret_fits) {
        return 0;
    }
    size_t sets = subsets->first[subsets->sites];
    subsets->buffer_count = 4 * (sets < COVER_SETS ? sets : COVER_SETS) +
                            (size_t)subsets->sites * (size_t)subsets->sites;
    subsets->buffer =
        arena_alloc_raw(subsets->arena, subsets->buffer_count * sizeof(struct subset));
    subsets->pool = arena_alloc_raw(subsets->arena, SUBSETS_POOL * sizeof(*subsets->pool));
    subsets->result.choice = arena_array(subsets->arena, (size_t)subsets->parts, sizeof(int));
    if (subsets->buffer == NULL || subsets->pool == NULL || subsets->result.choice == NULL ||
        !nodes_create(subsets, ret_nodes)) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tree of %zu sets of parts",
                         sets);
    }
    return 0;
}

/* Half of what memory is left at most, and what the budget can look at often enough. */
static bool list(struct subsets *subsets)
{
    const struct arena *arena = subsets->arena;
    size_t most = (arena->bytes_max - arena->bytes_used) / 2 / sizeof(struct subset);
    size_t told = subsets->options->sets_max;
    told = told > 0 && told < SUBSETS_MAX ? told : SUBSETS_MAX;
    most = most < told ? most : told;
    int64_t work_max = subsets->options->work_max;
    if (work_max > 0 && work_max / LOOKS_LEAST < (int64_t)most) {
        most = (size_t)(work_max / LOOKS_LEAST);
    }
    return subsets_list(subsets, most);
}

/* The root, then one for each part that is put somewhere. */
static bool nodes_create(struct subsets *subsets, struct subsets_node **ret_nodes)
{
    struct arena *arena = subsets->arena;
    size_t sites = (size_t)subsets->sites;
    size_t count = (size_t)subsets->parts + 1;
    struct subsets_node *nodes = arena_array(arena, count, sizeof(*nodes));
    for (size_t i = 0; nodes != NULL && i < count; i++) {
        nodes[i].count = arena_array(arena, sites, sizeof(size_t));
        nodes[i].must = arena_array(arena, sites, sizeof(uint32_t));
        nodes[i].never = arena_array(arena, sites, sizeof(uint32_t));
        nodes[i].least = arena_array(arena, sites, sizeof(int64_t));
        if (nodes[i].count == NULL || nodes[i].must == NULL || nodes[i].never == NULL ||
            nodes[i].least == NULL) {
            return false;
        }
    }
    for (size_t site = 0; nodes != NULL && site < sites; site++) {
        nodes[0].count[site] = subsets->first[site + 1] - subsets->first[site];
    }
    *ret_nodes = nodes;
    return nodes != NULL;
}

static void start(struct subsets *subsets, const int *choice)
{
    uint32_t parts_at[SUBSETS_SITES] = {0};
    for (int part = 0; part < subsets->parts; part++) {
        if (choice[part] < 0 || grid_cost_raw(subsets->grid, part, choice[part]) == GRID_CLOSED) {
            return; /* where it is now may be nowhere */
        }
        parts_at[grid_site(subsets->grid, part, choice[part])] |= UINT32_C(1) << part;
    }
    subsets_take(subsets, parts_at);
}

void subsets_take(struct subsets *subsets, const uint32_t *parts_at)
{
    const struct grid *grid = subsets->grid;
    int choice[SUBSETS_PARTS];
    int64_t room[LIMIT_RESOURCES];
    for (int site = 0; site < subsets->sites; site++) {
        for (int r = 0; r < grid->resources; r++) {
            room[r] = grid->capacity[site * grid->resources + r];
        }
        for (uint32_t parts = parts_at[site]; parts != 0; parts &= parts - 1) {
            int part = __builtin_ctz(parts);
            int at = site * subsets->parts + part;
            choice[part] = subsets->cell[at];
            if (choice[part] < 0 || (subsets->apart[at] & parts_at[site]) != 0) {
                return;
            }
            for (int r = 0; r < grid->resources; r++) {
                room[r] -= grid_demand(grid, part, choice[part])[r];
                if (room[r] < 0) {
                    return;
                }
            }
        }
    }
    int64_t cost = grid_cost_of(grid, choice);
    if (!subsets->result.found || cost < subsets->result.cost) {
        subsets->result.found = true;
        subsets->result.cost = cost;
        memcpy(subsets->result.choice, choice, (size_t)subsets->parts * sizeof(int));
        subsets->limit = (cost - 1) * subsets->scale;
    }
}

bool subsets_go_on(struct subsets *subsets, int64_t work)
{
    const struct subsets_options *options = subsets->options;
    struct subsets_result *result = &subsets->result;
    result->work += work;
    if (options->work_max > 0 && result->work >= options->work_max) {
        subsets->stopped = true;
    } else if (options->progress != NULL && result->work - subsets->asked >= ASK_WORK) {
        subsets->asked = result->work;
        double best = result->found ? (double)result->cost : INFINITY;
        double bound =
            subsets->known == INT64_MIN ? -INFINITY : (double)cost_of(subsets, subsets->known);
        subsets->stopped = subsets->stopped || !options->progress(options->context, bound, best);
    }
    return !subsets->stopped;
}

static void conclude(struct subsets *subsets)
{
    struct subsets_result *result = &subsets->result;
    result->proven = !subsets->stopped;
    if (result->proven) {
        result->bound = result->found ? result->cost : INT64_MAX;
        return;
    }
    result->bound = cost_of(subsets, subsets->open);
    if (result->found && result->bound > result->cost) {
        result->bound = result->cost; /* what is left open costs as much or more */
    }
}

/* The least cost that is not below a scaled one. */
static int64_t cost_of(const struct subsets *subsets, int64_t scaled)
{
    if (scaled == INT64_MAX) {
        return INT64_MAX;
    }
    int64_t cost = scaled / subsets->scale;
    return cost + (scaled > cost * subsets->scale);
}

/* Everything below a node whose counts, rules and prices are set. */
static void dive(struct subsets *subsets, struct subsets_node *nodes, int depth)
{
    struct subsets_node *node = &nodes[depth];
    subsets->result.nodes++;
    subsets_bound(subsets, node);
    subsets_price(subsets, node, depth == 0 ? ROOT_ROUNDS : NODE_ROUNDS);
    if (depth == 0) {
        subsets->known = node->bound;
        guess(subsets, node);
    }
    if (node->bound > subsets->limit) {
        return;
    }
    bool goes_on = subsets_go_on(subsets, 0);
    if (goes_on) {
        keep_cheap(subsets, node);
        struct subsets_cover limits = {.sets_max = covered_max(subsets, COVER_SETS),
                                       .work_max = COVER_WORK};
        if (subsets_cover(subsets, node, subsets->limit - node->bound, &limits)) {
            return;
        }
        goes_on = subsets_go_on(subsets, 0);
    }
    if (!goes_on) {
        subsets->open = node->bound < subsets->open ? node->bound : subsets->open;
        return;
    }
    branch(subsets, nodes, depth);
}

/* One for each site is always covered: that is what is left when all parts are put. */
static size_t covered_max(const struct subsets *subsets, size_t most)
{
    size_t told = subsets->options->covered_max;
    size_t sites = (size_t)subsets->sites;
    most = told > 0 && told < most ? told : most;
    return most > sites ? most : sites;
}

/* Covers of the few sets that add least are seldom far from the best: what they find spares work
 * for all that follows. */
static void guess(struct subsets *subsets, const struct subsets_node *node)
{
    struct subsets_cover limits = {.sets_max = covered_max(subsets, GUESS_SETS),
                                   .work_max = COVER_WORK};
    int64_t whole = subsets->limit - node->bound;
    for (int64_t share = GUESS_SHARE; share > 1 && node->bound <= subsets->limit; share /= 2) {
        int64_t room = subsets->limit - node->bound;
        room = whole / share < room ? whole / share : room;
        if (!subsets_go_on(subsets, (int64_t)subsets->first[subsets->sites]) ||
            !subsets_cover(subsets, node, room, &limits)) {
            return;
        }
    }
}

/* Closes the sets that no placement cheaper than the best can have. */
static void keep_cheap(struct subsets *subsets, struct subsets_node *node)
{
    struct subsets_table table;
    subsets_table(node->price, &table);
    int64_t room = subsets->limit - node->bound;
    for (int site = 0; site < subsets->sites; site++) {
        struct subset *set = subsets->set + subsets->first[site];
        size_t kept = 0;
        for (size_t i = 0; i < node->count[site]; i++) {
            struct subset here = set[i];
            if (here.cost - subsets_price_of(&table, here.parts) - node->least[site] <= room) {
                set[i] = set[kept];
                set[kept++] = here;
            }
        }
        subsets->result.work += (int64_t)node->count[site];
        node->count[site] = kept;
    }
}

/* One part at one site after the other, the likeliest first. */
static void branch(struct subsets *subsets, struct subsets_node *nodes, int depth)
{
    const struct subsets_node *node = &nodes[depth];
    int64_t bound[SUBSETS_SITES];
    int order[SUBSETS_SITES];
    int part = pick_part(subsets, node, bound);
    BERTH_ASSERT(part >= 0); /* when all are put, each site has one set, and that is covered */
    for (int site = 0; site < subsets->sites; site++) {
        int at = site;
        while (at > 0 && bound[order[at - 1]] > bound[site]) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = site;
    }
    for (int i = 0; i < subsets->sites; i++) {
        if (bound[order[i]] > subsets->limit) {
            return; /* and so are the rest, which cost more */
        }
        if (!subsets_go_on(subsets, 0)) {
            /* Those from here on are not tried. */
            int64_t left = bound[order[i]];
            subsets->open = left < subsets->open ? left : subsets->open;
            return;
        }
        child(subsets, node, part, order[i], &nodes[depth + 1]);
        dive(subsets, nodes, depth + 1);
    }
}

/* The part whose sites leave least of the room between bound and limit, all together; a part that
 * is put somewhere is no choice. Returns the bounds of its sites. */
static int pick_part(struct subsets *subsets, const struct subsets_node *node, int64_t *ret_bounds)
{
    struct chance chance;
    weigh(subsets, node, &chance);
    uint32_t put = 0;
    for (int site = 0; site < subsets->sites; site++) {
        put |= node->must[site];
    }
    int best = -1;
    double best_left = INFINITY;
    for (int part = 0; part < subsets->parts; part++) {
        if ((put >> part & 1) != 0) {
            continue;
        }
        int64_t bound[SUBSETS_SITES];
        double left = 0;
        for (int site = 0; site < subsets->sites; site++) {
            bound[site] = node->bound;
            for (int other = 0; other < subsets->sites; other++) {
                int64_t adds =
                    other == site ? chance.with[other][part] : chance.without[other][part];
                bool none = adds == INT64_MAX || bound[site] == INT64_MAX;
                bound[site] = none ? INT64_MAX : bound[site] + adds;
            }
            if (bound[site] <= subsets->limit) {
                left += (double)(subsets->limit - bound[site]) + 1;
            }
        }
        if (left < best_left) {
            best = part;
            best_left = left;
            memcpy(ret_bounds, bound, sizeof(bound));
        }
    }
    return best;
}

static void weigh(struct subsets *subsets, const struct subsets_node *node,
                  struct chance *ret_chance)
{
    struct subsets_table table;
    subsets_table(node->price, &table);
    uint32_t all = (uint32_t)((UINT64_C(1) << subsets->parts) - 1);
    for (int site = 0; site < subsets->sites; site++) {
        int64_t *with = ret_chance->with[site];
        int64_t *without = ret_chance->without[site];
        for (int part = 0; part < subsets->parts; part++) {
            with[part] = INT64_MAX;
            without[part] = INT64_MAX;
        }
        const struct subset *set = subsets->set + subsets->first[site];
        for (size_t i = 0; i < node->count[site]; i++) {
            int64_t adds = set[i].cost - subsets_price_of(&table, set[i].parts) - node->least[site];
            for (uint32_t parts = set[i].parts; parts != 0; parts &= parts - 1) {
                int part = __builtin_ctz(parts);
                with[part] = adds < with[part] ? adds : with[part];
            }
            for (uint32_t parts = all & ~set[i].parts; parts != 0; parts &= parts - 1) {
                int part = __builtin_ctz(parts);
                without[part] = adds < without[part] ? adds : without[part];
            }
        }
        subsets->result.work += (int64_t)node->count[site] * subsets->parts;
    }
}

/* The node with a part at a site: the sets there that have it, those elsewhere that do not. */
static void child(struct subsets *subsets, const struct subsets_node *node, int part, int site,
                  struct subsets_node *ret_child)
{
    uint32_t bit = UINT32_C(1) << part;
    for (int other = 0; other < subsets->sites; other++) {
        struct subset *set = subsets->set + subsets->first[other];
        size_t kept = 0;
        for (size_t i = 0; i < node->count[other]; i++) {
            struct subset here = set[i];
            if (((here.parts & bit) != 0) == (other == site)) {
                set[i] = set[kept];
                set[kept++] = here;
            }
        }
        subsets->result.work += (int64_t)node->count[other];
        ret_child->count[other] = kept;
        ret_child->must[other] = node->must[other] | (other == site ? bit : 0);
        ret_child->never[other] = node->never[other] | (other == site ? 0 : bit);
    }
    memcpy(ret_child->price, node->price, sizeof(ret_child->price));
}
