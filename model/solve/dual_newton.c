#include "model/solve/dual_newton.h"

#include <math.h>
#include <string.h>

#define COOLING    0.3  /* of the temperature at a time */
#define CALM       0.1  /* promised gain against what smoothing hides: then it cools */
#define REACH      32.0 /* temperatures that a price may move where there is no curvature */
#define TURNED     0.5  /* of the slope that a step began with, negative: it went too far */
#define SHORTENED  3
#define LEARNT_MIN 1e-3  /* cosine of a step and its turn: less says little */
#define SINGULAR   1e-14 /* of the largest pivot: what is left of one is rounding */
#define HELD       1e150 /* as good as no step */

static double *allocate(struct arena *arena, size_t count);
static void solve(const double *matrix, size_t n, double *vector);
static bool factor(double *matrix, size_t n);
static void learn(struct dual_newton *newton, const struct dual_point *point);
static void learnt_direction(struct dual_newton *newton, const struct dual_point *point,
                             size_t count);
static void value_of(struct dual_newton *newton, const double *price,
                     const struct dual_point *point);
static double slope_along(const struct dual_newton *newton, const struct dual_point *point);

int dual_newton_init(struct dual_newton *newton, size_t n, bool dense, struct arena *arena,
                     struct error *err)
{
    newton->n = n;
    newton->price = allocate(arena, n);
    newton->slope = allocate(arena, n);
    newton->step = allocate(arena, n);
    newton->next = allocate(arena, n);
    newton->dense = dense;
    newton->matrix = allocate(arena, dense ? n * n : n);
    newton->learnt = allocate(arena, dense ? 0 : DUAL_LEARNT * 2 * n);
    newton->free = arena_array(arena, n + 1, sizeof(int));
    bool full = newton->price == NULL || newton->slope == NULL || newton->step == NULL ||
                newton->next == NULL || newton->matrix == NULL || newton->learnt == NULL ||
                newton->free == NULL;
    return full ? dual_no_memory(err) : 0;
}

void dual_newton_run(struct dual_newton *newton)
{
    struct dual_point point;
    newton->learnt_count = 0;
    size_t bytes = newton->n * sizeof(double);
    newton->evaluate(newton->context, newton->price, newton->heat, &point);
    value_of(newton, newton->price, &point);
    for (newton->steps = 0; newton->steps < newton->steps_max; newton->steps++) {
        dual_newton_direction(newton, &point);
        double begun = slope_along(newton, &point);
        if (begun <= 0 && newton->learnt_count > 0) { /* what was learnt misleads here */
            newton->learnt_count = 0;
            dual_newton_direction(newton, &point);
            begun = slope_along(newton, &point);
        }
        double hidden = newton->hard - newton->soft;
        bool calm = begun / 2 <= CALM * hidden;
        if (calm && (newton->divided <= newton->undecided || newton->heat <= newton->heat_min)) {
            return;
        }
        if (calm) {
            newton->heat = fmax(newton->heat * COOLING, newton->heat_min);
            newton->learnt_count = 0;
        }
        newton->evaluate(newton->context, newton->next, newton->heat, &point);
        for (int i = 0; i < SHORTENED && !calm; i++) {
            double ended = slope_along(newton, &point);
            if (ended >= -TURNED * begun) {
                break;
            }
            double part = begun / (begun - ended);
            for (size_t k = 0; k < newton->n; k++) {
                newton->step[k] *= part;
                newton->next[k] = newton->price[k] + newton->step[k];
            }
            begun *= part;
            newton->evaluate(newton->context, newton->next, newton->heat, &point);
        }
        if (!newton->dense && !calm) {
            learn(newton, &point);
        }
        memcpy(newton->price, newton->next, bytes);
        value_of(newton, newton->price, &point);
        if (newton->halt != NULL && newton->halt(newton->context)) {
            return;
        }
    }
}

static double *allocate(struct arena *arena, size_t count)
{
    return arena_array(arena, count + 1, sizeof(double));
}

static void value_of(struct dual_newton *newton, const double *price,
                     const struct dual_point *point)
{
    double paid = 0;
    for (size_t k = 0; k < newton->n; k++) {
        paid += newton->from[k] < newton->to[k] ? price[k] * newton->room[k] : 0;
    }
    newton->hard = point->hard - paid;
    newton->soft = point->soft - paid;
    newton->divided = point->undecided;
}

static double slope_at(const struct dual_newton *newton, const struct dual_point *point, size_t k)
{
    return newton->from[k] < newton->to[k] ? point->load[k] - newton->room[k] : 0;
}

static double slope_along(const struct dual_newton *newton, const struct dual_point *point)
{
    double slope = 0;
    for (size_t k = 0; k < newton->n; k++) {
        slope += slope_at(newton, point, k) * newton->step[k];
    }
    return slope;
}

/* The step to the top of the quadratic that touches here, of the prices that may move; and where
 * it leads inside the box. */
void dual_newton_direction(struct dual_newton *newton, const struct dual_point *point)
{
    size_t n = newton->n;
    size_t count = 0;
    for (size_t k = 0; k < n; k++) {
        double slope = slope_at(newton, point, k);
        bool held = (newton->price[k] <= newton->from[k] && slope <= 0) ||
                    (newton->price[k] >= newton->to[k] && slope >= 0);
        newton->slope[k] = slope;
        newton->step[k] = 0;
        if (!held) {
            newton->free[count++] = (int)k;
        }
    }
    double cold = 1 / newton->heat;
    if (!newton->dense) {
        learnt_direction(newton, point, count);
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        size_t a = (size_t)newton->free[i];
        const double *row = point->curve + a * n;
        double *out = newton->matrix + i * count;
        for (size_t j = 0; j <= i; j++) {
            out[j] = row[newton->free[j]] * cold;
        }
        out[i] += fabs(newton->slope[a]) * cold / REACH + 1e-12 * newton->room[a] * cold + 1e-300;
        newton->next[i] = newton->slope[a];
    }
    if (factor(newton->matrix, count)) {
        solve(newton->matrix, count, newton->next);
    }
    for (size_t i = 0; i < count; i++) {
        newton->step[newton->free[i]] = newton->next[i];
    }
    for (size_t k = 0; k < n; k++) {
        double next = newton->price[k] + newton->step[k];
        next = next < newton->from[k] ? newton->from[k] : next;
        next = next > newton->to[k] ? newton->to[k] : next;
        newton->next[k] = next;
        newton->step[k] = next - newton->price[k];
    }
}

/* Cholesky's factor in the lower half, by columns that are subtracted as soon as they are known, so
 * that the inner loop runs along a row of the upper half's mirror. */
static bool factor(double *matrix, size_t n)
{
    double most = 0;
    for (size_t k = 0; k < n; k++) {
        double *row = matrix + k * n;
        most = row[k] > most ? row[k] : most;
        for (size_t j = k + 1; j < n; j++) {
            row[j] = matrix[j * n + k]; /* the mirror: upper half, contiguous */
        }
    }
    for (size_t k = 0; k < n; k++) {
        double *pivot = matrix + k * n;
        bool sound = pivot[k] > SINGULAR * most;
        double root = sound ? sqrt(pivot[k]) : HELD;
        double over = sound ? 1 / root : 0;
        pivot[k] = root;
        for (size_t j = k + 1; j < n; j++) {
            pivot[j] *= over;
        }
        for (size_t i = k + 1; i < n; i++) {
            double times = pivot[i];
            double *row = matrix + i * n;
            if (times != 0) {
                for (size_t j = i; j < n; j++) {
                    row[j] -= times * pivot[j];
                }
            }
        }
    }
    return n > 0;
}

/* With the upper factor U: U'U x = vector. */
static void solve(const double *matrix, size_t n, double *vector)
{
    for (size_t k = 0; k < n; k++) {
        const double *row = matrix + k * n;
        vector[k] /= row[k];
        for (size_t j = k + 1; j < n; j++) {
            vector[j] -= vector[k] * row[j];
        }
    }
    for (size_t k = n; k-- > 0;) {
        const double *row = matrix + k * n;
        double sum = vector[k];
        for (size_t j = k + 1; j < n; j++) {
            sum -= row[j] * vector[j];
        }
        vector[k] = sum / row[k];
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

/* How the slope turned along the step just made: the last few of these stand in for the curvature
 * where that is too large to keep (the method known as L-BFGS). */
static void learn(struct dual_newton *newton, const struct dual_point *point)
{
    size_t n = newton->n;
    int slot = newton->learnt_count % DUAL_LEARNT;
    double *step = newton->learnt + (size_t)slot * 2 * n;
    double *turned = step + n;
    double product = 0;
    for (size_t k = 0; k < n; k++) {
        step[k] = newton->step[k];
        turned[k] = newton->slope[k] - slope_at(newton, point, k);
        product += step[k] * turned[k];
    }
    newton->product[slot] = product;
    newton->learnt_count +=
        product > LEARNT_MIN * sqrt(along(step, step, n) * along(turned, turned, n));
}

static void learnt_direction(struct dual_newton *newton, const struct dual_point *point,
                             size_t count)
{
    size_t n = newton->n;
    double *way = newton->step;
    double factors[DUAL_LEARNT];
    double cold = 1 / newton->heat;
    for (size_t i = 0; i < count; i++) {
        way[newton->free[i]] = newton->slope[newton->free[i]];
    }
    int known = newton->learnt_count < DUAL_LEARNT ? newton->learnt_count : DUAL_LEARNT;
    for (int i = 1; i <= known; i++) {
        int slot = (newton->learnt_count - i) % DUAL_LEARNT;
        const double *step = newton->learnt + (size_t)slot * 2 * n;
        factors[slot] = along(step, way, n) / newton->product[slot];
        for (size_t k = 0; k < n; k++) {
            way[k] -= factors[slot] * step[n + k];
        }
    }
    for (size_t k = 0; k < n; k++) {
        double flat = fabs(newton->slope[k]) * cold / REACH + 1e-300;
        double room = newton->room[k] < INFINITY ? 1e-12 * newton->room[k] * cold : 0;
        way[k] /= point->curve[k] * cold + flat + room;
    }
    for (int i = known; i >= 1; i--) {
        int slot = (newton->learnt_count - i) % DUAL_LEARNT;
        const double *step = newton->learnt + (size_t)slot * 2 * n;
        double back = along(step + n, way, n) / newton->product[slot];
        for (size_t k = 0; k < n; k++) {
            way[k] += (factors[slot] - back) * step[k];
        }
    }
    for (size_t i = 0; i < count; i++) {
        newton->matrix[newton->free[i]] = way[newton->free[i]];
    }
    for (size_t k = 0; k < n; k++) {
        way[k] = 0;
    }
    for (size_t i = 0; i < count; i++) { /* prices that are held stay */
        way[newton->free[i]] = newton->matrix[newton->free[i]];
    }
}
