/* From coarse samples of a grid to all of it, and then to the few parts that are undecided. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/solve/dual_climb.h"
#include "model/solve/dual_near.h"
#include "model/solve/dual_newton.h"

#ifdef DUAL_TRACE
#define DBG(...) fprintf(stderr, __VA_ARGS__)
#else
#define DBG(...) ((void)0)
#endif
#define SAMPLE_MIN   2048 /* parts of the first sample; and at least so many per row: */
#define SAMPLE_ROWS  8
#define SAMPLE_TIMES 8 /* each is so much larger than the one before */
#define HEAT_FIRST   0.5
#define HEAT_MIN     2e-6 /* below it single precision sees nothing */
#define STEPS_MAX    40   /* of one sample */
/* Undecided parts per row at which a sample has told what it knows. */
#define DIVIDED 2.0

/* Parts that are left near good prices, at least and per row; of those, the few that a linear
 * programme decides; the boxes that it may go through, and the rounds of all this. */
#define NEAR_MIN   4096
#define NEAR_ROWS  20
#define FEW_ROWS   3
#define TURNS_MAX  8
#define ROUNDS_MAX 12

struct climb {
    struct dual *dual;
    const struct dual_options *options;
    struct dual_result *result;
    struct dual_newton newton; /* its price: where the climb is, scaled */
    double *price;             /* [rows] the same */
    int *choice;
    float *ratio;
    bool done;
};

struct sample {
    struct dual *dual;
    int step;
};

static void evaluate(void *context, const double *scaled, double heat, struct dual_point *point)
{
    struct sample *sample = context;
    dual_sweep(sample->dual, sample->step, scaled, heat, point);
}

static int lanes_make(struct dual *dual, struct error *err);
static void sample_room(const struct dual *dual, int step, double *room);
static double heat_again(const struct dual *dual, const struct dual_newton *newton, int step);

static int finish(struct climb *climb, struct error *err);
static int box(struct climb *climb, int64_t *load, struct arena *arena, struct error *err);
static int samples(struct climb *climb, struct error *err);

int dual_climb(struct dual *dual, const struct dual_options *options, struct dual_result *result,
               struct error *err)
{
    struct climb climb = {.dual = dual, .options = options, .result = result};
    size_t parts = (size_t)dual->grid->parts;
    int rc = lanes_make(dual, err);
    rc = rc == 0 ? dual_newton_init(&climb.newton, dual->n, &dual->work, err) : rc;
    climb.price = arena_array(&dual->work, dual->rows + 1, sizeof(double));
    climb.choice = arena_array(&dual->work, parts + 1, sizeof(int));
    climb.ratio = arena_array(&dual->work, parts + 1, sizeof(float));
    if (rc < 0 || climb.price == NULL || climb.choice == NULL || climb.ratio == NULL) {
        return rc < 0 ? rc : dual_no_memory(err);
    }
    dual_scale_in(dual, result->price, climb.newton.price);
    rc = samples(&climb, err);
    return rc == 0 ? finish(&climb, err) : rc;
}

static int samples(struct climb *climb, struct error *err)
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
    struct sample sample = {.dual = dual};
    newton->room = room;
    newton->from = from;
    newton->to = to;
    newton->evaluate = evaluate;
    newton->context = &sample;
    newton->heat = HEAT_FIRST;
    newton->heat_min = HEAT_MIN;
    newton->undecided = DIVIDED * (double)dual->n;
    newton->steps_max = STEPS_MAX;
    double first = fmax(SAMPLE_MIN, SAMPLE_ROWS * (double)dual->n);
    int step = 1;
    while (step < dual->grid->parts / first) {
        step *= SAMPLE_TIMES;
    }
    for (; step > 0; step /= SAMPLE_TIMES) {
        sample.step = step;
        sample_room(dual, step, room);
        dual_newton_run(newton);
        DBG("step %d heat %g hard %.9g soft %.9g divided %g steps %d sweeps %g\n", step,
            newton->heat, newton->hard * step, newton->soft * step, newton->divided, newton->steps,
            dual->sweeps);
        if (step > 1) {
            newton->heat = heat_again(dual, newton, step);
        }
    }
    return 0;
}

static int lanes_make(struct dual *dual, struct error *err)
{
    size_t cells = ((size_t)dual->cells_max + DUAL_PAD) / DUAL_PAD * DUAL_PAD + DUAL_PAD;
    size_t by = dual->stride * (size_t)dual->grid->resources + 1;
    dual->lanes = dual->n <= 400 ? DUAL_LANES : 4;
    size_t kept = cells > dual->n ? cells : dual->n + 1;
    dual->soft_by = arena_array(&dual->work, by, sizeof(float));
    bool full = dual->soft_by == NULL;
    for (int i = 0; i < dual->lanes && !full; i++) {
        struct dual_lane *lane = &dual->lane[i];
        lane->soft = arena_array(&dual->work, cells, sizeof(float));
        lane->kept = arena_array(&dual->work, kept, sizeof(int));
        lane->part = arena_array(&dual->work, dual->n + 1, sizeof(double));
        for (size_t k = 0; lane->part != NULL && k < dual->n; k++) {
            lane->part[k] = -1;
        }
        lane->point.load = arena_array(&dual->work, dual->n + 1, sizeof(double));
        lane->point.curve = arena_array(&dual->work, dual->n * dual->n + 1, sizeof(double));
        full = lane->soft == NULL || lane->part == NULL || lane->kept == NULL ||
               lane->point.load == NULL || lane->point.curve == NULL;
    }
    return full ? dual_no_memory(err) : 0;
}

/* A sample has the share of each capacity that its demand has of all demand. */
static void sample_room(const struct dual *dual, int step, double *room)
{
    const struct grid *grid = dual->grid;
    size_t resources = (size_t)grid->resources;
    for (size_t r = 0; r < resources; r++) {
        double share = 0;
        for (int64_t part = 0; part < grid->parts; part += step) {
            share += grid->cell_demand != NULL ? dual->mean[r]
                                               : (double)grid->demand[(size_t)part * resources + r];
        }
        double total = dual->total[r] * dual->mean[r];
        share = step == 1 || total <= 0 ? 1 : share / total;
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
    double blur = 1.5 * sqrt((double)dual->grid->sites / parts);
    double gap = newton->heat * parts / fmax(newton->divided, 1);
    return fmin(fmax(newton->heat, gap * blur), 32 * newton->heat);
}

/* Rounds near the best prices, each exact in its box, until the best lie inside one. */
static int finish(struct climb *climb, struct error *err)
{
    struct dual *dual = climb->dual;
    struct dual_result *result = climb->result;
    result->bound = -INFINITY;
    for (int round = 0;; round++) {
        struct dual_least least;
        dual_scale_out(dual, climb->newton.price, climb->price);
        dual_least_run(dual, climb->price, climb->choice, climb->ratio, &least);
        if (least.stuck >= 0) {
            result->possible = false;
            result->part = least.stuck;
            return 0;
        }
        DBG("round %d bound %.12g\n", round, least.bound);
        bool better = least.bound > result->bound;
        if (better) {
            result->bound = least.bound;
            memcpy(result->price, climb->price, dual->rows * sizeof(double));
            memcpy(result->choice, climb->choice, (size_t)dual->grid->parts * sizeof(int));
        }
        if (!better || climb->done || round == ROUNDS_MAX) {
            return 0;
        }
        struct arena arena;
        arena_init(&arena, dual->work.bytes_max - dual->work.bytes_used);
        int rc = box(climb, least.load, &arena, err);
        arena_done(&arena);
        if (rc < 0) {
            return rc;
        }
    }
}

/* Finds the best prices of the box around the present ones. */
static int box(struct climb *climb, int64_t *load, struct arena *arena, struct error *err)
{
    struct dual *dual = climb->dual;
    struct dual_newton *newton = &climb->newton;
    struct dual_condensed near;
    int most = (int)fmin(fmax(NEAR_MIN, NEAR_ROWS * (double)dual->n), 1 << 20);
    double *u = newton->price; /* where the box is */
    int rc = dual_near(dual, u, climb->choice, climb->ratio, load, most, arena, &near, err);
    double *v = arena_array(arena, dual->n + 1, sizeof(double));
    double *w = arena_array(arena, dual->n + 1, sizeof(double));
    double *at = arena_array(arena, dual->n + 1, sizeof(double));
    if (rc < 0 || v == NULL || w == NULL || at == NULL) {
        return rc < 0 ? rc : dual_no_memory(err);
    }
    struct dual_condensed_run run = {.dual = dual, .condensed = &near};
    struct dual_newton inner = *newton;
    inner.price = v;
    inner.room = near.room;
    inner.from = near.from;
    inner.to = near.to;
    inner.evaluate = dual_condensed_evaluate;
    inner.context = &run;
    inner.heat = fmin(newton->heat, near.reach / 4);
    inner.heat_min = inner.heat * 1e-4;
    inner.undecided = 0;
    inner.steps_max = STEPS_MAX;
    dual_newton_run(&inner);
    DBG("  near %d units %d columns reach %g: heat %g hard %.9g soft %.9g divided %g steps %d\n",
        near.units, near.columns, near.reach, inner.heat, inner.hard, inner.soft, inner.divided,
        inner.steps);
    for (int turn = 0; turn < TURNS_MAX; turn++) {
        struct dual_condensed few;
        for (size_t k = 0; k < dual->n; k++) {
            at[k] = fmax(u[k] + v[k], 0);
        }
        rc = dual_condense_again(dual, &near, v, at, (int)fmax(64, FEW_ROWS * (double)dual->n),
                                 arena, &few, err);
        if (rc < 0) {
            return rc;
        }
        double gain;
        int divided;
        if (!dual_master(dual->n, &few, w, &gain, &divided)) {
            DBG("  master failed\n");
            climb->done = true;
            break;
        }
        climb->result->undecided = divided;
        bool inside = true;
        for (size_t k = 0; k < dual->n; k++) {
            bool at_from = w[k] <= few.from[k] && at[k] + w[k] > 0;
            inside = inside && (few.from[k] >= few.to[k] || (!at_from && w[k] < few.to[k]));
            v[k] += w[k];
        }
        DBG("  few %d units %d columns reach %g gain %.9g divided %d inside %d\n", few.units,
            few.columns, few.reach, gain, divided, inside);
        if (inside) {
            climb->done = true;
            break;
        }
    }
    for (size_t k = 0; k < dual->n; k++) {
        u[k] = fmax(u[k] + v[k], 0);
    }
    return 0;
}
