/* From coarse samples of a grid to all of it, and then to the few units that are undecided. */
#include "model/solve/dual_climb.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "model/solve/dual_near.h"
#include "model/solve/dual_newton.h"
#include "model/solve/dual_soft.h"

#define SAMPLE_MIN   2048 /* parts of the first sample; units, at least so many per row: */
#define SAMPLE_ROWS  8
#define SAMPLE_TIMES 8 /* each is so much larger than the one before */
#define HEAT_FIRST   0.5
#define HEAT_WARM    0.02
#define HEAT_MIN     2e-6 /* below it single precision sees nothing */
#define STEPS_MAX    20   /* of one sample */
#define STEPS_SPARSE 80   /* the same, where each is worth less */
/* Undecided units per row at which a sample has told what it knows. */
#define DIVIDED       2.0
#define DIVIDED_APPS  1.0 /* an app moves more than one load */
#define DIVIDED_UNITS 0.3 /* and of the units */
/* Units that are left near good prices, at least and per row; of those, the few that a linear
 * programme decides; the boxes that it may go through, and the rounds of all this. */
#define NEAR_MIN    4096
#define NEAR_ROWS   20
#define NEAR_CELLS  2e6
#define FEW_MIN     64
#define FEW_ROWS    3
#define TURNS_MAX   8
#define ROUNDS_MAX  40
#define ROUNDS_WARM 4
/* Assignments that a round remembers, of as many apps. */
#define EXTRA_MAX 8192

#define SWEEPS_MAX   400
#define GAP_USUAL    1e-9
#define TELL_SECONDS 0.3

struct climb {
    struct dual *dual;
    const struct dual_options *options;
    struct dual_result *result;
    struct dual_newton newton; /* its price: where the climb is, scaled */
    int step;                  /* of the sample */
    double *price;             /* [rows] the same */
    int *choice;
    float *ratio;
    double *best; /* scaled: the result's price */
    float *ratio_best;
    int64_t *load_best;
    struct dual_extra **extra;
    double reach_max;
    double told; /* seconds: when progress was */
    bool ended;  /* by the budget or by whoever asked */
    bool done;   /* by a proof, or because nothing gets better */
};

static int climb_make(struct climb *climb, struct error *err);
static void evaluate(void *context, const double *scaled, double heat, struct dual_point *point);
static bool halt(void *context);
static bool is_wanted(struct climb *climb);
static int samples(struct climb *climb, bool warm, struct error *err);
static void sample_room(const struct dual *dual, int step, double *room);
static double heat_again(const struct dual *dual, const struct dual_newton *newton, int step);
static int finish(struct climb *climb, int rounds, struct error *err);
static bool judge(struct climb *climb);
static int near_most(const struct dual *dual);
static int box(struct climb *climb, struct arena *arena, double *ret_gain, bool *ret_inside,
               struct error *err);
static int few(struct climb *climb, const struct dual_condensed *near, double *v,
               struct arena *arena, bool *ret_inside, struct error *err);

int dual_climb(struct dual *dual, const struct dual_options *options, struct dual_result *result,
               struct error *err)
{
    struct climb climb = {
        .dual = dual, .options = options, .result = result, .reach_max = INFINITY};
    int rc = climb_make(&climb, err);
    if (rc < 0) {
        return rc;
    }
    result->bound = -INFINITY;
    bool warm = options->start != NULL;
    dual_scale_in(dual, result->price, climb.newton.price);
    for (int part = 0; part < dual->grid->parts; part++) {
        if (dual->low[part] == GRID_CLOSED) {
            result->possible = false;
            result->part = part;
            return 0;
        }
    }
    /* Whether apps have an assignment at all; and where nothing can be overloaded, no prices are
     * the best. */
    bool first = dual->tree->apps > 0 || dual->n == 0 || dual->n > DUAL_DENSE_MAX;
    if (first && (!judge(&climb) || dual->n == 0)) {
        return 0;
    }
    if (warm) {
        climb.newton.heat = INFINITY;
        rc = finish(&climb, ROUNDS_WARM, err);
        memcpy(climb.newton.price, climb.best, dual->n * sizeof(double));
    }
    if (rc == 0 && result->possible && !climb.done && !climb.ended) {
        rc = samples(&climb, warm, err);
        climb.reach_max = INFINITY;
        rc = rc == 0 ? finish(&climb, ROUNDS_MAX, err) : rc;
    }
    return rc;
}

static int climb_make(struct climb *climb, struct error *err)
{
    struct dual *dual = climb->dual;
    struct arena *arena = &dual->work;
    size_t units = (size_t)dual->tree->singles + (size_t)dual->tree->apps;
    int rc = dual_lanes_make(dual, err);
    rc = rc == 0 ? dual_newton_init(&climb->newton, dual->n, dual->n <= DUAL_DENSE_MAX, arena, err)
                 : rc;
    if (rc < 0) {
        return rc;
    }
    climb->price = arena_array(arena, dual->rows + 1, sizeof(double));
    climb->choice = arena_array(arena, (size_t)dual->grid->parts + 1, sizeof(int));
    climb->ratio = arena_array(arena, units + 1, sizeof(float));
    climb->ratio_best = arena_array(arena, units + 1, sizeof(float));
    climb->best = arena_array(arena, dual->n + 1, sizeof(double));
    climb->load_best = arena_array(arena, dual->rows + 1, sizeof(int64_t));
    climb->extra = arena_array(arena, (size_t)dual->tree->apps + 1, sizeof(*climb->extra));
    bool full = climb->price == NULL || climb->choice == NULL || climb->ratio == NULL ||
                climb->ratio_best == NULL || climb->best == NULL || climb->load_best == NULL ||
                climb->extra == NULL;
    return full ? dual_no_memory(err) : 0;
}

int dual_lanes_make(struct dual *dual, struct error *err)
{
    size_t cells = ((size_t)dual->cells_max + DUAL_PAD) / DUAL_PAD * DUAL_PAD + DUAL_PAD;
    size_t kept = cells > dual->n ? cells : dual->n + 1;
    size_t by = dual->stride * (size_t)dual->grid->resources + 1;
    size_t drawn = dual->tree->apps > 0 ? dual->n * DUAL_DRAWS + 1 : 1;
    bool dense = dual->n <= DUAL_DENSE_MAX;
    size_t curve = dense ? dual->n * dual->n : dual->n;
    dual->lanes = dual->n <= 400 || !dense ? DUAL_LANES : 4;
    dual->soft_by = arena_array(&dual->work, by, sizeof(float));
    bool full = dual->soft_by == NULL;
    for (int i = 0; i < dual->lanes && !full; i++) {
        struct dual_lane *lane = &dual->lane[i];
        lane->soft = arena_array(&dual->work, cells, sizeof(float));
        lane->kept = arena_array(&dual->work, kept, sizeof(int));
        lane->drawn = arena_array(&dual->work, drawn, sizeof(double));
        lane->part = arena_array(&dual->work, dual->n + 1, sizeof(double));
        for (size_t k = 0; lane->part != NULL && k < dual->n; k++) {
            lane->part[k] = -1;
        }
        lane->point.load = arena_array(&dual->work, dual->n + 1, sizeof(double));
        lane->point.curve = arena_array(&dual->work, curve + 1, sizeof(double));
        lane->point.dense = dense;
        full = lane->soft == NULL || lane->drawn == NULL || lane->part == NULL ||
               lane->kept == NULL || lane->point.load == NULL || lane->point.curve == NULL;
    }
    return full ? dual_no_memory(err) : 0;
}

static void evaluate(void *context, const double *scaled, double heat, struct dual_point *point)
{
    struct climb *climb = context;
    dual_sweep(climb->dual, climb->step, scaled, heat, point);
}

/* The budget is spent; or prices exceed what any assignment costs; or who asked wants no more. */
static bool halt(void *context)
{
    struct climb *climb = context;
    const struct dual_options *options = climb->options;
    double most = dual_sweeps_max(climb->dual, options, SWEEPS_MAX);
    climb->ended = climb->ended || climb->dual->sweeps + 1 >= most;
    return !is_wanted(climb) ||
           climb->newton.hard * climb->step > climb->dual->spread * (1 + 1e-6) + 1;
}

static bool is_wanted(struct climb *climb)
{
    const struct dual_options *options = climb->options;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    if (options->progress != NULL && !climb->ended && seconds - climb->told >= TELL_SECONDS) {
        climb->told = seconds;
        climb->ended =
            !options->progress(options->context, climb->result->bound, NAN) || climb->ended;
    }
    return !climb->ended;
}

double dual_sweeps_max(const struct dual *dual, const struct dual_options *options, double most)
{
    most = options->sweeps_max > 0 ? options->sweeps_max : most;
    double work = dual->tree->work;
    return options->work_max > 0 && work > 0 ? fmin(most, options->work_max / work) : most;
}

static int samples(struct climb *climb, bool warm, struct error *err)
{
    struct dual *dual = climb->dual;
    struct dual_newton *newton = &climb->newton;
    double *room = arena_array(&dual->work, dual->n + 1, sizeof(double));
    double *from = arena_array(&dual->work, dual->n + 1, sizeof(double));
    double *to = arena_array(&dual->work, dual->n + 1, sizeof(double));
    if (room == NULL || from == NULL || to == NULL) {
        return dual_no_memory(err);
    }
    for (size_t k = 0; k < dual->n; k++) {
        to[k] = dual->room[k] < INFINITY ? INFINITY : 0;
    }
    newton->room = room;
    newton->from = from;
    newton->to = to;
    newton->evaluate = evaluate;
    newton->halt = halt;
    newton->context = climb;
    newton->heat = warm ? HEAT_WARM : HEAT_FIRST;
    newton->heat_min = HEAT_MIN;
    newton->steps_max = dual->n <= DUAL_DENSE_MAX ? STEPS_MAX : STEPS_SPARSE;
    double all = (double)(dual->tree->singles + dual->tree->apps);
    double first = fmax(dual->tree->apps > 0 ? 1 : SAMPLE_MIN, SAMPLE_ROWS * (double)dual->n);
    double divided = dual->tree->apps > 0 ? DIVIDED_APPS : DIVIDED;
    int step = 1;
    while (step < all / first && !(warm && step >= SAMPLE_TIMES)) {
        step *= SAMPLE_TIMES;
    }
    for (; step > 0 && !climb->ended; step /= SAMPLE_TIMES) {
        climb->step = step;
        sample_room(dual, step, room);
        newton->undecided = fmin(divided * (double)dual->n, DIVIDED_UNITS * all / step);
        dual_newton_run(newton);
        if (step > 1) {
            newton->heat = heat_again(dual, newton, step);
        }
    }
    return 0;
}

static double demand_share(const struct dual *dual, int step, size_t r)
{
    const struct grid *grid = dual->grid;
    const struct dual_tree *tree = dual->tree;
    double share = 0;
    for (int64_t i = 0; i < tree->singles; i += step) {
        int64_t part = tree->single != NULL ? tree->single[i] : i;
        share += dual_most(grid, (int)part, (int)r);
    }
    for (int64_t app = 0; app < tree->apps; app += step) {
        for (int i = tree->first[app]; i < tree->first[app + 1]; i++) {
            share += tree->step[i].own ? dual_most(grid, tree->step[i].part, (int)r) : 0;
        }
    }
    return share;
}

/* A sample has the share of each capacity that its demand has of all demand. */
static void sample_room(const struct dual *dual, int step, double *room)
{
    size_t resources = (size_t)dual->grid->resources;
    for (size_t r = 0; r < resources; r++) {
        double total = dual->total[r] * dual->mean[r];
        double share = step == 1 || total <= 0 ? 1 : demand_share(dual, step, r) / total;
        for (size_t slot = 0; slot < (size_t)dual->slots; slot++) {
            room[slot * resources + r] = dual->room[slot * resources + r] * share;
        }
    }
}

/* The sample's prices are off by its noise: as a share of the parts at a site, about one over the
 * root of their number. The temperature that blurs as much is where the next sample begins. */
static double heat_again(const struct dual *dual, const struct dual_newton *newton, int step)
{
    double parts = (double)dual->grid->parts / step;
    double units = (double)(dual->tree->singles + dual->tree->apps) / step;
    double blur = 1.5 * sqrt((double)dual->grid->sites / parts);
    double gap = newton->heat * units / fmax(newton->divided, 1);
    return fmin(fmax(newton->heat, gap * blur), 32 * newton->heat);
}

/* Rounds near the best prices, each exact in its box, until the best lie inside one. */
static int finish(struct climb *climb, int rounds, struct error *err)
{
    struct dual *dual = climb->dual;
    climb->step = 1;
    climb->newton.hard = -INFINITY;
    if (!judge(climb)) {
        return 0;
    }
    double tolerance = climb->options->gap > 0 ? climb->options->gap : GAP_USUAL;
    for (int round = 0; round < rounds && !halt(climb); round++) {
        struct arena arena;
        arena_init(&arena, dual->work.bytes_max - dual->work.bytes_used);
        double gain = 0;
        bool inside = false;
        int rc = box(climb, &arena, &gain, &inside, err);
        arena_done(&arena);
        if (rc < 0) {
            return rc;
        }
        double hoped = climb->result->bound + gain * dual->unit;
        double before = climb->result->bound;
        if (!judge(climb)) {
            return 0;
        }
        double close = tolerance * fabs(climb->result->bound);
        bool apps = dual->tree->apps > 0;
        bool better = climb->result->bound > before;
        bool met = hoped - climb->result->bound <= close;
        if ((met && (inside || !better)) || (!better && !apps)) {
            climb->done = true;
            return 0;
        }
    }
    return 0;
}

/* What the newton's prices prove. False: some unit has no assignment. */
static bool judge(struct climb *climb)
{
    struct dual *dual = climb->dual;
    struct dual_result *result = climb->result;
    size_t units = (size_t)dual->tree->singles + (size_t)dual->tree->apps;
    struct dual_least least;
    dual_scale_out(dual, climb->newton.price, climb->price);
    dual_least_run(dual, climb->price, climb->choice, climb->ratio, &least);
    if (least.stuck >= 0) {
        result->possible = false;
        result->part = least.stuck;
        return false;
    }
    bool first = result->bound == -INFINITY;
    if (!first && dual->tree->apps > 0) {
        (void)dual_extra_add(dual, climb->choice, result->choice, EXTRA_MAX, climb->extra);
    }
    if (least.bound > result->bound) {
        result->bound = least.bound;
        result->fits = least.bound <= dual->dearest;
        memcpy(result->price, climb->price, dual->rows * sizeof(double));
        memcpy(result->choice, climb->choice, (size_t)dual->grid->parts * sizeof(int));
        memcpy(climb->ratio_best, climb->ratio, units * sizeof(float));
        memcpy(climb->load_best, least.load, dual->rows * sizeof(int64_t));
        memcpy(climb->best, climb->newton.price, dual->n * sizeof(double));
    } else if (!first) {
        climb->reach_max /= 2;
    }
    climb->ended = climb->ended || !result->fits;
    return true;
}

/* Units to leave: so many that the rows have enough of them, but no more cells than memory. */
static int near_most(const struct dual *dual)
{
    const struct grid *grid = dual->grid;
    double cells = (double)grid_first(grid, grid->parts);
    double units = (double)dual->tree->singles + (double)dual->tree->apps;
    double most = fmax(NEAR_MIN, NEAR_ROWS * (double)dual->n);
    double fit = fmax(FEW_MIN, NEAR_CELLS * units / fmax(cells, 1));
    return (int)fmin(most, fit);
}

/* Moves the newton's prices to the best of the box around the best so far. */
static int box(struct climb *climb, struct arena *arena, double *ret_gain, bool *ret_inside,
               struct error *err)
{
    struct dual *dual = climb->dual;
    struct dual_newton *newton = &climb->newton;
    size_t n = dual->n;
    int64_t *load = arena_array(arena, dual->rows + 1, sizeof(int64_t));
    double *v = arena_array(arena, n + 1, sizeof(double));
    if (load == NULL || v == NULL) {
        return dual_no_memory(err);
    }
    memcpy(load, climb->load_best, dual->rows * sizeof(int64_t));
    dual_turn(dual, climb->result->price);
    struct dual_near at = {.scaled = climb->best,
                           .choice = climb->result->choice,
                           .ratio = climb->ratio_best,
                           .load = load,
                           .most = near_most(dual),
                           .reach_max = climb->reach_max,
                           .extra = climb->extra};
    struct dual_condensed near;
    int rc = dual_near_condense(dual, &at, arena, &near, err);
    if (rc < 0) {
        return rc;
    }
    climb->reach_max = near.reach;
    struct dual_condensed_run run = {.dual = dual, .condensed = &near};
    struct dual_newton inner = *newton;
    inner.price = v;
    inner.room = near.room;
    inner.from = near.from;
    inner.to = near.to;
    inner.evaluate = dual_condensed_evaluate;
    inner.halt = NULL;
    inner.context = &run;
    inner.heat = fmin(fmin(newton->heat, near.reach / 4), HEAT_FIRST);
    inner.heat_min = inner.heat * 1e-4;
    inner.undecided = 0;
    inner.steps_max = 2 * STEPS_MAX;
    dual_newton_run(&inner);
    rc = few(climb, &near, v, arena, ret_inside, err);
    if (rc < 0) {
        return rc;
    }
    inner.steps_max = 0; /* only what is hoped for at v */
    dual_newton_run(&inner);
    *ret_gain = inner.hard;
    for (size_t k = 0; k < n; k++) {
        newton->price[k] = fmax(climb->best[k] + v[k], 0);
        bool edge = (v[k] <= near.from[k] && newton->price[k] > 0) || v[k] >= near.to[k];
        *ret_inside = *ret_inside && (near.from[k] >= near.to[k] || !edge);
    }
    return 0;
}

/* Moves v to the best of the condensed problem, by linear programmes of the least decided. */
static int few(struct climb *climb, const struct dual_condensed *near, double *v,
               struct arena *arena, bool *ret_inside, struct error *err)
{
    struct dual *dual = climb->dual;
    size_t n = dual->n;
    double *w = arena_array(arena, n + 1, sizeof(double));
    double *at = arena_array(arena, n + 1, sizeof(double));
    if (w == NULL || at == NULL) {
        return dual_no_memory(err);
    }
    *ret_inside = false;
    if (n > DUAL_DENSE_MAX) {
        return 0;
    }
    int most = (int)fmax(FEW_MIN, FEW_ROWS * (double)n);
    for (int turn = 0; turn < TURNS_MAX && !*ret_inside && is_wanted(climb); turn++) {
        struct dual_condensed few;
        for (size_t k = 0; k < n; k++) {
            at[k] = fmax(climb->best[k] + v[k], 0);
        }
        int rc = dual_condense_again(dual, near, v, at, most, arena, &few, err);
        if (rc < 0) {
            return rc;
        }
        double gain = 0;
        int divided;
        if (!dual_master(n, &few, w, &gain, &divided)) {
            return 0;
        }
        climb->result->undecided = divided;
        *ret_inside = true;
        for (size_t k = 0; k < n; k++) {
            bool low = w[k] <= few.from[k] && few.from[k] > near->from[k] - v[k];
            bool high = w[k] >= few.to[k] && few.to[k] < near->to[k] - v[k];
            low = low && at[k] + w[k] > 0;
            *ret_inside = *ret_inside && (few.from[k] >= few.to[k] || (!low && !high));
        }
        for (size_t k = 0; k < n; k++) {
            v[k] = fmin(fmax(v[k] + w[k], near->from[k]), near->to[k]);
        }
    }
    return 0;
}
