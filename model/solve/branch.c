#include "model/solve/branch.h"

#include <math.h>
#include <string.h>

#include "model/solve/branch_net.h"

#define ROOT_PASSES 400
#define NODE_PASSES 3
#define HIGH_PASSES 20 /* near the root, where a node has most below it */
#define HIGH_DEPTH  6
/* Additions of the search before the tree, and its share of all. */
#define WALK_WORK  INT64_C(50000000)
#define WALK_SHARE 10
#define WALK_TIMES 5000 /* at most so often each entry of the tables */

struct search_state {
    struct net net;
    const struct branch_options *options;
    struct branch_result result;
    int64_t *load;  /* [row] */
    int *trial;     /* [part] */
    int **order;    /* [depth]: cells of the part that is branched on, cheapest first */
    int64_t *ahead; /* [depth]: the least bound of what is not tried yet at this depth */
    bool stopped;
};

static int prepare(struct search_state *state, struct error *err);
static void take(struct search_state *state, const int *choice);
static void walk(struct search_state *state);
static void set_limit(struct search_state *state);
static int64_t bound_of(const struct net *net, int64_t constant);
static bool dive(struct search_state *state, int depth);
static int pick_part(const struct net *net, const struct net_level *level);
static int sort_cells(const struct net *net, const struct net_level *level, int part, int *order);
static void leaf(struct search_state *state, const struct net_level *level);
static bool spent(struct search_state *state);

int branch_solve(const struct grid *grid, const struct branch_options *options, struct arena *arena,
                 struct branch_result *ret_result, struct error *err)
{
    struct search_state state = {.options = options};
    int rc = net_create(grid, options->price, options->lifted, arena, &state.net, err);
    rc = rc == 0 ? prepare(&state, err) : rc;
    if (rc < 0) {
        return rc;
    }
    if (options->start != NULL) {
        take(&state, options->start);
    }
    if (state.result.found) {
        walk(&state);
    }
    struct net_level *root = net_level(&state.net, 0);
    bool possible = net_tighten(&state.net, root, ROOT_PASSES);
    state.result.bound = bound_of(&state.net, root->constant);
    bool memory = !possible || dive(&state, 0);
    if (!memory) {
        return error_set(err, ERR_LIMIT, 0, "no memory for the levels of branch and bound");
    }
    state.result.proven = !state.stopped;
    if (state.result.proven) {
        state.result.bound = state.result.found ? state.result.cost : INT64_MAX;
    } else {
        /* What was left untried at each depth of the last path. */
        int64_t least = INT64_MAX;
        for (int depth = 0; depth <= grid->parts; depth++) {
            least = state.ahead[depth] < least ? state.ahead[depth] : least;
        }
        int64_t bound = bound_of(&state.net, least);
        state.result.bound = bound > state.result.bound ? bound : state.result.bound;
        if (state.result.found && state.result.bound > state.result.cost) {
            state.result.bound = state.result.cost;
        }
    }
    state.result.work = state.net.work;
    *ret_result = state.result;
    return 0;
}

static int prepare(struct search_state *state, struct error *err)
{
    struct net *net = &state->net;
    size_t parts = (size_t)net->parts + 1;
    state->load = arena_array(net->arena, (size_t)net->rows + 1, sizeof(int64_t));
    state->trial = arena_array(net->arena, parts, sizeof(int));
    state->result.choice = arena_array(net->arena, parts, sizeof(int));
    state->order = arena_array(net->arena, parts, sizeof(*state->order));
    state->ahead = arena_array(net->arena, parts, sizeof(int64_t));
    if (state->load == NULL || state->trial == NULL || state->result.choice == NULL ||
        state->order == NULL || state->ahead == NULL) {
        return error_set(err, ERR_LIMIT, 0, "no memory for branch and bound");
    }
    for (size_t i = 0; i < parts; i++) {
        state->ahead[i] = INT64_MAX;
    }
    return 0;
}

/* An assignment that keeps everything and is cheaper becomes the best. */
static void take(struct search_state *state, const int *choice)
{
    const struct grid *grid = state->net.grid;
    grid_load_of(grid, choice, state->load);
    if (grid_broken(grid, state->load, choice) > 0) {
        return;
    }
    int64_t cost = grid_cost_of(grid, choice);
    if (!state->result.found || cost < state->result.cost) {
        state->result.found = true;
        state->result.cost = cost;
        memcpy(state->result.choice, choice, (size_t)grid->parts * sizeof(int));
        set_limit(state);
    }
}

/* A tree is smaller the better what is known before it. */
static void walk(struct search_state *state)
{
    struct net *net = &state->net;
    int64_t most = state->options->work_max > 0 ? state->options->work_max / WALK_SHARE : WALK_WORK;
    int64_t times = (int64_t)net->costs * WALK_TIMES;
    most = times < most ? times : most;
    int *choice =
        arena_copy(net->arena, state->result.choice, ((size_t)net->parts + 1) * sizeof(int));
    if (choice != NULL) {
        net_walk(net, most < WALK_WORK ? most : WALK_WORK, choice);
        take(state, choice);
    }
}

/* Only what costs a whole step less is of use. What prices of capacity add is at most as much as
 * they take off, so the limit holds for the tables as they are. */
static void set_limit(struct search_state *state)
{
    struct net *net = &state->net;
    net->limit = (state->result.cost - net->step) * BRANCH_SCALE + 1;
}

/* The least cost that an assignment can have which is not below a scaled constant. */
static int64_t bound_of(const struct net *net, int64_t constant)
{
    if (constant == INT64_MAX) {
        return INT64_MAX;
    }
    int64_t cost = constant / BRANCH_SCALE;
    cost += constant > cost * BRANCH_SCALE; /* upwards, for either sign */
    int64_t above = cost - net->base;
    int64_t steps = above / net->step;
    steps += above > steps * net->step;
    return net->base + steps * net->step;
}

/* Everything below the level at `depth`, which is tightened. False: no memory. */
static bool dive(struct search_state *state, int depth)
{
    struct net *net = &state->net;
    struct net_level *level = net_level(net, depth);
    state->result.nodes++;
    int part = pick_part(net, level);
    if (part < 0) {
        leaf(state, level);
        return true;
    }
    if (state->order[depth] == NULL) {
        size_t most = 1;
        for (int i = 0; i < net->parts; i++) {
            most = (size_t)net->cells[i] > most ? (size_t)net->cells[i] : most;
        }
        state->order[depth] = arena_array(net->arena, most, sizeof(int));
    }
    struct net_level *below = net_level(net, depth + 1);
    if (state->order[depth] == NULL || below == NULL) {
        return false;
    }
    int count = sort_cells(net, level, part, state->order[depth]);
    const int64_t *own = level->cost + net->own[part];
    for (int i = 0; i < count; i++) {
        int cell = state->order[depth][i];
        state->ahead[depth] = level->constant + own[cell];
        if (state->ahead[depth] >= net->limit) {
            break; /* and so are the rest, which cost more */
        }
        if (spent(state)) {
            return true;
        }
        /* From here on what is left at this depth are the cells after it. */
        state->ahead[depth] =
            i + 1 < count ? level->constant + own[state->order[depth][i + 1]] : INT64_MAX;
        net_copy(net, below, level);
        if (net_fold(net, below, part, cell) && below->constant < net->limit &&
            net_tighten(net, below, depth < HIGH_DEPTH ? HIGH_PASSES : NODE_PASSES) &&
            !dive(state, depth + 1)) {
            return false;
        }
        if (state->stopped) {
            return true;
        }
    }
    state->ahead[depth] = INT64_MAX;
    return true;
}

/* The part whose cells are fewest for what they would add: the tree stays narrow. */
static int pick_part(const struct net *net, const struct net_level *level)
{
    int best = -1;
    double best_score = 0;
    for (int part = 0; part < net->parts; part++) {
        if (level->open[part] < 2) {
            continue;
        }
        const int64_t *own = level->cost + net->own[part];
        double sum = 0;
        for (int cell = 0; cell < net->cells[part]; cell++) {
            sum += own[cell] == NET_CLOSED ? 0 : (double)own[cell];
        }
        double links = 0;
        for (int k = net->first[part]; k < net->first[part + 1]; k++) {
            const struct net_edge *edge = &net->edge[net->around[k]];
            links += level->open[edge->a == part ? edge->b : edge->a] > 0;
        }
        double score = (1 + sum / (double)level->open[part] / BRANCH_SCALE) * (1 + links) /
                       (double)level->open[part];
        if (best < 0 || score > best_score) {
            best = part;
            best_score = score;
        }
    }
    return best;
}

static int sort_cells(const struct net *net, const struct net_level *level, int part, int *order)
{
    const int64_t *own = level->cost + net->own[part];
    int now = net->grid->current != NULL ? net->grid->current[part] : -1;
    int count = 0;
    for (int cell = 0; cell < net->cells[part]; cell++) {
        if (own[cell] == NET_CLOSED) {
            continue;
        }
        int i = count++;
        while (i > 0 &&
               (own[order[i - 1]] > own[cell] || (own[order[i - 1]] == own[cell] && cell == now))) {
            order[i] = order[i - 1];
            i--;
        }
        order[i] = cell;
    }
    return count;
}

/* Every part is folded, or has one cell and no links left that matter. */
static void leaf(struct search_state *state, const struct net_level *level)
{
    const struct net *net = &state->net;
    for (int part = 0; part < net->parts; part++) {
        const int64_t *own = level->cost + net->own[part];
        state->trial[part] = -1;
        for (int cell = 0; cell < net->cells[part]; cell++) {
            if (own[cell] != NET_CLOSED) {
                state->trial[part] = cell;
            }
        }
        if (state->trial[part] < 0) {
            return;
        }
    }
    take(state, state->trial);
}

static bool spent(struct search_state *state)
{
    const struct branch_options *options = state->options;
    if (options->work_max > 0 && state->net.work >= options->work_max) {
        state->stopped = true;
    } else if (options->progress != NULL && (state->result.nodes & 255) == 0) {
        double best = state->result.found ? (double)state->result.cost : INFINITY;
        state->stopped = !options->progress(options->context, (double)state->result.bound, best);
    }
    return state->stopped;
}
