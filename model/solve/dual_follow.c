#include "model/solve/dual_follow.h"

#include <math.h>
#include <string.h>

#include "model/solve/dual_guess.h"
#include "model/solve/dual_newton.h"

/* The temperature at which the curvature is measured: that of differences that a change of prices
 * by some per cent makes. */
#define HEAT       0.05
#define STEPS_MAX  40
#define IDLE_MAX   3 /* steps without a better bound */
#define AGAIN_MAX  6
#define DOUBT      30   /* tolerances that may be promised by what was known, at the end */
#define NEAR       1e-3 /* of the bound: a step that promises more is only too long */
#define HELD_BACK  3    /* times the curvature, after two steps that went too far */
#define PART_LEAST 0.05 /* of such a step, that is tried */
#define PART_MOST  0.5
/* Of the mean curvature: a row that nobody was near has none, and a step would have no end. */
#define CURVE_MIN 0.2
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
    struct dual_guess *guess;
    struct dual_newton newton; /* its step */
    struct at at[2];           /* the best, and what is tried */
};

/* How a climb goes. */
struct climb {
    struct at *best;
    struct at *next; /* what is tried */
    double tolerance;
    int idle; /* steps without a better bound */
    double promised;
    int again;   /* times that the curvature was what was known once more */
    double held; /* and how many times that */
};

static int measure(struct dual_follow *follow, const double *price, struct error *err);
static int at_make(struct dual *dual, struct at *at);
static void follow_begin(struct dual_follow *follow, const struct grid *grid);
static bool begin_at(struct dual_follow *follow, struct climb *climb, double enough);
static double promise(struct dual_follow *follow, const struct at *at);
static bool ends(struct dual_follow *follow, struct climb *climb);
static bool try_step(struct dual_follow *follow, struct climb *climb);
static void links_turn(struct dual *dual);
static void table_turn(struct dual *dual, int index);
static void shorten(struct dual_follow *follow, const struct at *from, struct at *to);
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
    rc = rc == 0 ? dual_guess_create(base, price, arena, &follow->guess, err) : rc;
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
        double mean = 0;
        for (size_t k = 0; k < n * n; k++) {
            follow->known[k] = point.curve[k] / HEAT;
            mean += k % (n + 1) == 0 ? follow->known[k] / (double)n : 0;
        }
        for (size_t k = 0; k < n; k++) {
            double *own = &follow->known[k * n + k];
            *own = fmax(*own, CURVE_MIN * mean);
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

static void swap(struct climb *climb)
{
    struct at *was = climb->best;
    climb->best = climb->next;
    climb->next = was;
}

void dual_follow_run(struct dual_follow *follow, const struct grid *grid, double gap, double enough,
                     struct dual_followed *ret_followed)
{
    struct dual *dual = &follow->dual;
    struct climb climb = {.best = &follow->at[0], .next = &follow->at[1], .held = 1};
    follow_begin(follow, grid);
    bool possible = begin_at(follow, &climb, enough);
    for (int step = 0; possible && dual->n > 0 && step < STEPS_MAX; step++) {
        const struct at *best = climb.best;
        climb.tolerance = gap * fabs(best->bound);
        climb.promised = promise(follow, best);
        bool done = climb.promised <= climb.tolerance || climb.idle >= IDLE_MAX;
        if (best->bound >= enough || (done && ends(follow, &climb))) {
            break;
        }
        possible = try_step(follow, &climb);
    }
    const struct at *best = climb.best;
    *ret_followed = (struct dual_followed){.possible = possible,
                                           .bound = best->bound,
                                           .price = best->price,
                                           .choice = best->choice,
                                           .load = best->load,
                                           .sweeps = (int)dual->sweeps};
}

/* Where the base's prices are, or where they are guessed to be now. */
static bool begin_at(struct dual_follow *follow, struct climb *climb, double enough)
{
    struct dual *dual = &follow->dual;
    for (size_t k = 0; k < dual->n; k++) {
        climb->best->scaled[k] = fmin(follow->start[k], follow->to[k]);
    }
    bool possible = evaluate(follow, climb->best);
    if (!possible || dual->n == 0 || climb->best->bound >= enough) {
        return possible;
    }
    dual_guess_run(follow->guess, dual->grid, climb->next->price);
    dual_scale_in(dual, climb->next->price, climb->next->scaled);
    possible = evaluate(follow, climb->next);
    if (climb->next->bound > climb->best->bound) {
        swap(climb);
    }
    return possible;
}

/* What a step would gain with the curvature at hand; the step is the newton's. */
static double promise(struct dual_follow *follow, const struct at *at)
{
    struct dual *dual = &follow->dual;
    struct dual_point point = {.load = at->above, .curve = follow->curve, .dense = true};
    memcpy(follow->newton.price, at->scaled, dual->n * sizeof(double));
    dual_newton_direction(&follow->newton, &point);
    return along(follow->newton.slope, follow->newton.step, dual->n) / 2 * dual->unit;
}

/* Where the box cuts a newton's step it may lead nowhere, and a step over a kink teaches a
 * curvature under which nothing is promised any more. So the end is believed when each price by
 * itself, by what was known, promises little too; else that is the step. */
static bool ends(struct dual_follow *follow, struct climb *climb)
{
    struct dual *dual = &follow->dual;
    struct dual_newton *newton = &follow->newton;
    const struct at *best = climb->best;
    double promised = 0;
    for (size_t k = 0; k < dual->n; k++) {
        bool limited = follow->from[k] < follow->to[k];
        double slope = limited ? best->above[k] - follow->room[k] : 0;
        double curve = follow->known[k * dual->n + k] * climb->held;
        double by_itself = curve > 0 ? slope / curve : 0;
        newton->next[k] = fmax(best->scaled[k] + by_itself, follow->from[k]);
        newton->step[k] = newton->next[k] - best->scaled[k];
        promised += slope * newton->step[k] / 2 * dual->unit;
    }
    if (promised <= DOUBT * climb->tolerance || climb->again == AGAIN_MAX) {
        return true;
    }
    for (size_t k = 0; k < dual->n * dual->n; k++) {
        follow->curve[k] = follow->known[k] * climb->held;
    }
    climb->held *= HELD_BACK;
    climb->again++;
    climb->idle = 0;
    climb->promised = promised;
    return false;
}

/* To the newton's next, or part of the way; false: some app has no assignment. */
static bool try_step(struct dual_follow *follow, struct climb *climb)
{
    size_t n = follow->dual.n;
    struct at *best = climb->best;
    struct at *next = climb->next;
    memcpy(next->scaled, follow->newton.next, n * sizeof(double));
    bool possible = evaluate(follow, next);
    learn(follow, best, next);
    if (possible && next->bound <= best->bound) {
        shorten(follow, best, next);
        possible = evaluate(follow, next);
        learn(follow, best, next);
    }
    double gain = next->bound - best->bound;
    bool near = climb->promised <= NEAR * fabs(best->bound);
    climb->idle = gain > climb->tolerance / 4 ? 0 : climb->idle + near;
    for (size_t k = 0; gain <= 0 && k < n * n; k++) { /* again from there, not as far */
        follow->curve[k] *= HELD_BACK;
    }
    if (gain > 0) {
        swap(climb);
    }
    return possible;
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

/* After a step that went too far: to where the slope along it is likely to be none. */
static void shorten(struct dual_follow *follow, const struct at *from, struct at *to)
{
    double *step = follow->newton.step;
    double begun = 0;
    double ended = 0;
    for (size_t k = 0; k < follow->dual.n; k++) {
        bool limited = follow->from[k] < follow->to[k];
        begun += limited ? (from->above[k] - follow->room[k]) * step[k] : 0;
        ended += limited ? (to->above[k] - follow->room[k]) * step[k] : 0;
    }
    double part = begun > ended ? fmin(fmax(begun / (begun - ended), PART_LEAST), PART_MOST) : 0.5;
    for (size_t k = 0; k < follow->dual.n; k++) {
        step[k] *= part;
        to->scaled[k] = from->scaled[k] + step[k];
    }
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
