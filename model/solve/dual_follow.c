#include "model/solve/dual_follow.h"

#include <math.h>
#include <string.h>

#include "model/solve/dual_newton.h"

/* The temperature at which the curvature is measured: that of differences that a change of prices
 * by some per cent makes. */
#define HEAT      0.05
#define STEPS_MAX 24
#define IDLE_MAX  3    /* steps without a better bound */
#define NEAR      1e-3 /* of the bound: a step that promises more is only too long */
#define HELD_BACK 3    /* times the curvature, after one of them */
#define TAUGHT    1e-2 /* cosine of a step and the loads' answer: less says little */

/* Prices, and what they prove. */
struct at {
    double *scaled; /* [n] */
    double *price;  /* [rows] */
    int *choice;
    int64_t *load; /* [rows] */
    double *above; /* [n] scaled: load */
    double bound;
};

struct dual_follow {
    struct dual dual;
    const struct grid *base;
    double *start;  /* [n] the base's prices, scaled */
    double *known;  /* [n * n] curvature there, of which the lower half is set */
    double *curve;  /* the same, as the grid at hand has taught it */
    double *turned; /* [n] */
    double *room;   /* [n] */
    double *from;
    double *to;
    struct dual_newton newton; /* its step */
    struct at at[2];           /* the best, and what is tried */
};

static int measure(struct dual_follow *follow, const double *price, struct error *err);
static int at_make(struct dual *dual, struct at *at);
static void follow_begin(struct dual_follow *follow, const struct grid *grid);
static void links_turn(struct dual *dual);
static void table_turn(struct dual *dual, int index);
static bool evaluate(struct dual_follow *follow, struct at *at);
static void learn(struct dual_follow *follow, const struct at *from, const struct at *to);
static double along(const double *a, const double *b, size_t n);

int dual_follow_create(const struct grid *base, const double *price, struct arena *arena,
                       struct dual_follow **ret_follow, struct error *err)
{
    struct dual_follow *follow = arena_alloc(arena, sizeof(*follow));
    if (follow == NULL) {
        return dual_no_memory(err);
    }
    follow->base = base;
    int rc = dual_begin(base, 1, arena, &follow->dual, err);
    rc = rc == 0 ? dual_scale_init(&follow->dual, err) : rc;
    if (rc == 0 && follow->dual.n > DUAL_DENSE_MAX) {
        rc = error_set(err, ERR_LIMIT, 0, "%zu rows: prices are followed over %d at most",
                       follow->dual.n, DUAL_DENSE_MAX);
    }
    rc = rc == 0 ? measure(follow, price, err) : rc;
    if (rc < 0) {
        dual_follow_destroy(follow);
        return rc;
    }
    *ret_follow = follow;
    return 0;
}

void dual_follow_destroy(struct dual_follow *follow)
{
    if (follow != NULL) {
        dual_pool_destroy(follow->dual.pool);
        arena_done(&follow->dual.work);
        memset(&follow->dual, 0, sizeof(follow->dual));
    }
}

struct dual *dual_follow_dual(struct dual_follow *follow)
{
    return &follow->dual;
}

static int measure(struct dual_follow *follow, const double *price, struct error *err)
{
    struct dual *dual = &follow->dual;
    struct arena *arena = &dual->work;
    size_t n = dual->n;
    int rc = dual_lanes_make(dual, err);
    rc = rc == 0 ? dual_newton_init(&follow->newton, n, true, arena, err) : rc;
    if (rc < 0) {
        return rc;
    }
    follow->start = arena_array(arena, n + 1, sizeof(double));
    follow->known = arena_array(arena, n * n + 1, sizeof(double));
    follow->curve = arena_array(arena, n * n + 1, sizeof(double));
    follow->turned = arena_array(arena, n + 1, sizeof(double));
    follow->room = arena_array(arena, n + 1, sizeof(double));
    follow->from = arena_array(arena, n + 1, sizeof(double));
    follow->to = arena_array(arena, n + 1, sizeof(double));
    bool full = follow->start == NULL || follow->known == NULL || follow->curve == NULL ||
                follow->turned == NULL || follow->room == NULL || follow->from == NULL ||
                follow->to == NULL;
    for (int i = 0; i < 2 && !full; i++) {
        full = at_make(dual, &follow->at[i]) < 0;
    }
    if (full) {
        return dual_no_memory(err);
    }
    dual_scale_in(dual, price, follow->start);
    if (n > 0) {
        struct dual_point point;
        dual_sweep(dual, 1, follow->start, HEAT, &point);
        for (size_t k = 0; k < n * n; k++) {
            follow->known[k] = point.curve[k] / HEAT;
        }
    }
    return 0;
}

static int at_make(struct dual *dual, struct at *at)
{
    struct arena *arena = &dual->work;
    at->scaled = arena_array(arena, dual->n + 1, sizeof(double));
    at->above = arena_array(arena, dual->n + 1, sizeof(double));
    at->price = arena_array(arena, dual->rows + 1, sizeof(double));
    at->load = arena_array(arena, dual->rows + 1, sizeof(int64_t));
    at->choice = arena_array(arena, (size_t)dual->grid->parts + 1, sizeof(int));
    bool full = at->scaled == NULL || at->above == NULL || at->price == NULL || at->load == NULL ||
                at->choice == NULL;
    return full ? -1 : 0;
}

static bool same(const void *a, const void *b, size_t bytes)
{
    return a == b || (a != NULL && b != NULL && memcmp(a, b, bytes) == 0);
}

bool dual_follow_fits(const struct dual_follow *follow, const struct grid *grid)
{
    const struct grid *base = follow->base;
    const struct dual *dual = &follow->dual;
    if (grid->parts != base->parts || grid->sites != base->sites ||
        grid->resources != base->resources || grid->links != base->links ||
        grid->tables != base->tables) {
        return false;
    }
    size_t parts = (size_t)grid->parts;
    size_t resources = (size_t)grid->resources;
    if (!same(grid->first, base->first, (parts + 1) * sizeof(size_t))) {
        return false;
    }
    size_t cells = grid_first(base, base->parts);
    if (!same(grid->site, base->site, cells * sizeof(uint16_t)) ||
        !same(grid->cell_demand, base->cell_demand, cells * resources * sizeof(int32_t)) ||
        (base->cell_demand == NULL && resources > 0 &&
         !same(grid->demand, base->demand, parts * resources * sizeof(int32_t)))) {
        return false;
    }
    for (int i = 0; i < grid->links && grid->link != base->link; i++) {
        const struct grid_link *a = &grid->link[i];
        const struct grid_link *b = &base->link[i];
        if (a->a != b->a || a->b != b->b || a->table != b->table) {
            return false;
        }
    }
    for (int i = 0; i < grid->tables; i++) {
        if (grid->table[i].by_site != base->table[i].by_site ||
            grid->table[i].rows != base->table[i].rows ||
            grid->table[i].columns != base->table[i].columns) {
            return false;
        }
    }
    for (size_t row = 0; row < dual->rows; row++) {
        bool priced = dual->slot_of[row / resources] >= 0;
        size_t r = row % resources;
        if (!priced && (double)grid->capacity[row] < dual->total[r] * dual->mean[r]) {
            return false;
        }
    }
    return true;
}

void dual_follow_run(struct dual_follow *follow, const struct grid *grid, double gap, double enough,
                     struct dual_followed *ret_followed)
{
    struct dual *dual = &follow->dual;
    struct dual_newton *newton = &follow->newton;
    struct at *best = &follow->at[0];
    struct at *next = &follow->at[1];
    follow_begin(follow, grid);
    for (size_t k = 0; k < dual->n; k++) {
        best->scaled[k] = fmin(follow->start[k], follow->to[k]);
    }
    bool possible = evaluate(follow, best);
    int idle = 0;
    double held = 1;
    for (int step = 0; possible && dual->n > 0 && step < STEPS_MAX && idle < IDLE_MAX; step++) {
        struct dual_point point = {.load = best->above, .curve = follow->curve, .dense = true};
        memcpy(newton->price, best->scaled, dual->n * sizeof(double));
        dual_newton_direction(newton, &point);
        double promised = along(newton->slope, newton->step, dual->n) / 2 * dual->unit;
        if (promised <= gap * fabs(best->bound) || best->bound >= enough) {
            break;
        }
        memcpy(next->scaled, newton->next, dual->n * sizeof(double));
        possible = evaluate(follow, next);
        learn(follow, best, next);
        double gain = next->bound - best->bound;
        bool near = promised <= NEAR * fabs(best->bound);
        idle = gain > gap / 4 * fabs(best->bound) ? 0 : idle + near;
        if (gain <= 0) {
            /* Tried again from there, not as far; what such a long step taught is forgotten. */
            held *= HELD_BACK;
            for (size_t k = 0; k < dual->n * dual->n; k++) {
                follow->curve[k] = near ? follow->curve[k] * HELD_BACK : follow->known[k] * held;
            }
        } else {
            struct at *was = best;
            best = next;
            next = was;
        }
    }
    *ret_followed = (struct dual_followed){.possible = possible,
                                           .bound = best->bound,
                                           .price = best->price,
                                           .choice = best->choice,
                                           .load = best->load,
                                           .sweeps = (int)dual->sweeps};
}

static void follow_begin(struct dual_follow *follow, const struct grid *grid)
{
    struct dual *dual = &follow->dual;
    size_t resources = (size_t)grid->resources;
    dual->grid = grid;
    dual->sweeps = 0;
    links_turn(dual);
    memcpy(follow->curve, follow->known, dual->n * dual->n * sizeof(double));
    for (size_t k = 0; k < dual->n; k++) {
        size_t r = k % resources;
        double room = (double)grid->capacity[dual_row(dual, k)] / dual->mean[r];
        bool limited = room < dual->total[r];
        follow->room[k] = limited ? room : INFINITY;
        follow->from[k] = 0;
        follow->to[k] = limited ? INFINITY : 0;
    }
    follow->newton.room = follow->room;
    follow->newton.from = follow->from;
    follow->newton.to = follow->to;
    follow->newton.heat = 1; /* the curvature is divided by its temperature already */
}

/* What a plan keeps of the costs of links. */
static void links_turn(struct dual *dual)
{
    const struct grid *grid = dual->grid;
    struct dual_tree *tree = dual->tree;
    bool negative = false;
    for (int i = 0; i < grid->links; i++) {
        negative = negative || grid->link[i].scale < 0;
    }
    for (int i = 0; i < grid->tables && grid->links > 0; i++) {
        if (negative || grid->table[i].by_site) { /* else a plan keeps nothing of it */
            table_turn(dual, i);
        }
    }
    tree->base = 0;
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        tree->base += link->base;
        if (link->scale < 0) {
            tree->base += (__int128)link->scale * tree->dearest[link->table];
        }
    }
}

static void table_turn(struct dual *dual, int index)
{
    const struct grid_table *table = &dual->grid->table[index];
    struct dual_tree *tree = dual->tree;
    tree->dearest[index] = 0;
    for (size_t at = 0; at < (size_t)table->rows * (size_t)table->columns; at++) {
        uint32_t value = table->value[at];
        if (value != GRID_CLOSED && value > tree->dearest[index]) {
            tree->dearest[index] = value;
        }
    }
    for (int sign = -1; sign <= 1; sign++) {
        dual_pairs_fill(dual->grid, tree, index, sign);
    }
}

static bool evaluate(struct dual_follow *follow, struct at *at)
{
    struct dual *dual = &follow->dual;
    struct dual_least least;
    dual_scale_out(dual, at->scaled, at->price);
    dual_least_run(dual, at->price, at->choice, NULL, &least);
    memcpy(at->load, least.load, dual->rows * sizeof(int64_t));
    for (size_t k = 0; k < dual->n; k++) {
        at->above[k] =
            (double)at->load[dual_row(dual, k)] / dual->mean[k % (size_t)dual->grid->resources];
    }
    at->bound = least.bound;
    return least.stuck < 0;
}

/* The curvature that explains how the loads answered to a step, and is otherwise nearest to what
 * was known. Where they say nothing, it was too small a step or too large a one. */
static void learn(struct dual_follow *follow, const struct at *from, const struct at *to)
{
    size_t n = follow->dual.n;
    double *curve = follow->curve;
    const double *step = follow->newton.step;
    double *answer = follow->newton.slope;
    double *turned = follow->turned;
    for (size_t a = 0; a < n; a++) {
        answer[a] = follow->from[a] < follow->to[a] ? from->above[a] - to->above[a] : 0;
        turned[a] = 0;
        for (size_t b = 0; b < n; b++) {
            turned[a] += (a >= b ? curve[a * n + b] : curve[b * n + a]) * step[b];
        }
    }
    double taught = along(step, answer, n);
    double known = along(step, turned, n);
    if (!(known > 0) || taught < TAUGHT * sqrt(along(step, step, n) * along(answer, answer, n)) ||
        !(taught > 0)) {
        return;
    }
    for (size_t a = 0; a < n; a++) {
        for (size_t b = 0; b <= a; b++) {
            curve[a * n + b] += answer[a] * answer[b] / taught - turned[a] * turned[b] / known;
        }
    }
}

static double along(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t k = 0; k < n; k++) {
        sum += a[k] * b[k];
    }
    return sum;
}
