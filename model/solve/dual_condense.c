#include "model/solve/dual_condense.h"

#include <math.h>
#include <string.h>

/* Bins of ratios: the upper 12 bits below the sign of a float, which order as the floats do. */
/* A box is never smaller: ties would make it nothing. */
#define REACH_MIN   1e-9
#define BINS        4096
#define BIN_SHIFT   19
#define SHARE_LEAST 1e-12

static void evaluate_lane(void *context, int lane);
static void add_unit(struct dual_lane *lane, size_t n, const struct dual_condensed *condensed,
                     int unit, double least, double heat);

static unsigned bin_of(float ratio)
{
    uint32_t bits;
    memcpy(&bits, &ratio, sizeof(bits));
    return bits >> BIN_SHIFT;
}

double dual_reach(const float *ratio, int units, int most)
{
    int count[BINS] = {0};
    for (int i = 0; i < units; i++) {
        count[bin_of(ratio[i])]++;
    }
    int sum = 0;
    for (unsigned bin = 0; bin < BINS; bin++) {
        sum += count[bin];
        if (sum > most && sum > count[bin]) {
            uint32_t bits = bin << BIN_SHIFT;
            float reach;
            memcpy(&reach, &bits, sizeof(reach));
            return fmax((double)reach, REACH_MIN);
        }
    }
    return INFINITY;
}

int dual_condensed_init(struct dual_condensed *condensed, size_t n, struct arena *arena,
                        struct error *err)
{
    double reach = condensed->reach;
    *condensed = (struct dual_condensed){.reach = reach, .arena = arena};
    condensed->room = arena_array(arena, n + 1, sizeof(double));
    condensed->from = arena_array(arena, n + 1, sizeof(double));
    condensed->to = arena_array(arena, n + 1, sizeof(double));
    bool full = condensed->room == NULL || condensed->from == NULL || condensed->to == NULL ||
                !dual_condensed_reserve(condensed, 1, 1, 1);
    return full ? dual_no_memory(err) : 0;
}

static void *larger(struct arena *arena, const void *from, int used, int room, size_t each)
{
    void *to = arena_array(arena, (size_t)room, each);
    if (to != NULL && used > 0) {
        memcpy(to, from, (size_t)used * each);
    }
    return to;
}

static int room_for(int room, int used, int more)
{
    return used + more + 1 <= room ? room : 2 * (used + more) + 64;
}

bool dual_condensed_reserve(struct dual_condensed *condensed, int units, int columns, int takes)
{
    struct dual_condensed *c = condensed;
    struct arena *arena = c->arena;
    int room = room_for(c->units_room, c->units, units);
    bool done = true;
    if (room > c->units_room) {
        c->unit = larger(arena, c->unit, c->units, room, sizeof(int));
        c->first = larger(arena, c->first, c->first == NULL ? 0 : c->units + 1, room, sizeof(int));
        done = c->unit != NULL && c->first != NULL;
        c->units_room = room;
    }
    room = room_for(c->columns_room, c->columns, columns);
    if (done && room > c->columns_room) {
        c->cost = larger(arena, c->cost, c->columns, room, sizeof(double));
        c->value = larger(arena, c->value, 0, room, sizeof(double));
        c->begin =
            larger(arena, c->begin, c->begin == NULL ? 0 : c->columns + 1, room, sizeof(int));
        done = c->cost != NULL && c->value != NULL && c->begin != NULL;
        c->columns_room = room;
    }
    room = room_for(c->takes_room, c->takes, takes);
    if (done && room > c->takes_room) {
        c->row = larger(arena, c->row, c->takes, room, sizeof(int));
        c->amount = larger(arena, c->amount, c->takes, room, sizeof(double));
        done = c->row != NULL && c->amount != NULL;
        c->takes_room = room;
    }
    return done;
}

void dual_condensed_box(const struct dual *dual, const double *scaled,
                        struct dual_condensed *condensed)
{
    double reach = condensed->reach;
    if (reach == INFINITY) {
        reach = 4;
        for (size_t k = 0; k < dual->n; k++) {
            reach = fmax(reach, 4 * scaled[k]);
        }
    }
    for (size_t k = 0; k < dual->n; k++) {
        bool limited = dual->room[k] < INFINITY;
        condensed->from[k] = limited ? -fmin(reach, scaled[k]) : 0;
        condensed->to[k] = limited ? reach : 0;
    }
}

/* How each column of a unit stands at v; the least of them. */
static double values_at(const struct dual_condensed *condensed, int unit, const double *v,
                        double *value, int *ret_best)
{
    double least = INFINITY;
    for (int c = condensed->first[unit]; c < condensed->first[unit + 1]; c++) {
        double sum = condensed->cost[c];
        for (int t = condensed->begin[c]; t < condensed->begin[c + 1]; t++) {
            sum += v[condensed->row[t]] * condensed->amount[t];
        }
        value[c] = sum;
        if (sum < least) {
            least = sum;
            *ret_best = c;
        }
    }
    return least;
}

/* What a column of the unit takes at most: a price's change times this is what its cost changes. */
static double size_of(const struct dual_condensed *condensed, int unit)
{
    double most = 0;
    for (int c = condensed->first[unit]; c < condensed->first[unit + 1]; c++) {
        double sum = 0;
        for (int t = condensed->begin[c]; t < condensed->begin[c + 1]; t++) {
            sum += condensed->amount[t];
        }
        most = sum > most ? sum : most;
    }
    return most;
}

static void copy_unit(const struct dual_condensed *from, int unit, double least, double most,
                      struct dual_condensed *to)
{
    to->unit[to->units] = unit;
    for (int c = from->first[unit]; c < from->first[unit + 1]; c++) {
        if (from->value[c] - least > most) {
            continue;
        }
        to->cost[to->columns] = from->value[c] - least;
        for (int t = from->begin[c]; t < from->begin[c + 1]; t++) {
            to->row[to->takes] = from->row[t];
            to->amount[to->takes++] = from->amount[t];
        }
        to->begin[++to->columns] = to->takes;
    }
    to->first[++to->units] = to->columns;
}

int dual_condense_again(const struct dual *dual, const struct dual_condensed *from, const double *v,
                        const double *scaled, int most, struct arena *arena,
                        struct dual_condensed *ret_to, struct error *err)
{
    float *ratio = arena_array(arena, (size_t)from->units + 1, sizeof(float));
    struct dual_condensed to = {0};
    if (ratio == NULL || dual_condensed_init(&to, dual->n, arena, err) < 0 ||
        !dual_condensed_reserve(&to, from->units, from->columns, from->takes)) {
        return dual_no_memory(err);
    }
    int best = 0;
    for (int unit = 0; unit < from->units; unit++) {
        double least = values_at(from, unit, v, from->value, &best);
        double second = INFINITY;
        for (int c = from->first[unit]; c < from->first[unit + 1]; c++) {
            second = c != best && from->value[c] < second ? from->value[c] : second;
        }
        ratio[unit] = (float)((second - least) / fmax(2 * size_of(from, unit), 1e-30));
    }
    to.reach = dual_reach(ratio, from->units, most);
    memcpy(to.room, from->room, dual->n * sizeof(double));
    for (int unit = 0; unit < from->units; unit++) {
        double least = values_at(from, unit, v, from->value, &best);
        if ((double)ratio[unit] < to.reach && to.units < 2 * most) {
            copy_unit(from, unit, least, 2 * to.reach * size_of(from, unit), &to);
            continue;
        }
        for (int t = from->begin[best]; t < from->begin[best + 1]; t++) {
            to.room[from->row[t]] -= from->amount[t];
        }
    }
    dual_condensed_box(dual, scaled, &to);
    for (size_t k = 0; k < dual->n; k++) { /* no further than the box it came from */
        to.from[k] = fmax(to.from[k], fmin(from->from[k] - v[k], 0));
        to.to[k] = fmin(to.to[k], fmax(from->to[k] - v[k], 0));
    }
    *ret_to = to;
    return 0;
}

void dual_condensed_evaluate(void *context, const double *v, double heat,
                             struct dual_point *ret_point)
{
    struct dual_condensed_run *run = context;
    run->v = v;
    run->heat = heat;
    dual_pool_run(run->dual->pool, evaluate_lane, run);
    dual_reduce(run->dual, ret_point);
}

static void evaluate_lane(void *context, int index)
{
    struct dual_condensed_run *run = context;
    struct dual *dual = run->dual;
    const struct dual_condensed *condensed = run->condensed;
    if (index >= dual->lanes) {
        return;
    }
    struct dual_lane *lane = &dual->lane[index];
    dual_point_clear(&lane->point, dual->n);
    int from = (int)((int64_t)condensed->units * index / dual->lanes);
    int to = (int)((int64_t)condensed->units * (index + 1) / dual->lanes);
    for (int unit = from; unit < to; unit++) {
        int best = 0;
        double least = values_at(condensed, unit, run->v, condensed->value, &best);
        add_unit(lane, dual->n, condensed, unit, least, run->heat);
    }
}

/* Shares of a unit's columns at a temperature; from them its mean load and its covariance. */
static void add_unit(struct dual_lane *lane, size_t n, const struct dual_condensed *condensed,
                     int unit, double least, double heat)
{
    struct dual_point *point = &lane->point;
    double whole = 0;
    int first = condensed->first[unit];
    int end = condensed->first[unit + 1];
    for (int c = first; c < end; c++) {
        condensed->value[c] = exp((least - condensed->value[c]) / heat);
        whole += condensed->value[c];
    }
    point->hard += least;
    point->soft += least - heat * log(whole);
    double squares = 0;
    int rows = 0; /* that any column with a share takes of: lane->kept, their mean in lane->part */
    for (int c = first; c < end; c++) {
        double share = condensed->value[c] / whole;
        squares += share * share;
        if (share < SHARE_LEAST) {
            continue;
        }
        for (int t = condensed->begin[c]; t < condensed->begin[c + 1]; t++) {
            int row = condensed->row[t];
            if (lane->part[row] < 0) {
                lane->part[row] = 0;
                lane->kept[rows++] = row;
            }
            lane->part[row] += share * condensed->amount[t];
        }
        for (int t = condensed->begin[c]; share < 1 && t < condensed->begin[c + 1]; t++) {
            size_t a = (size_t)condensed->row[t];
            for (int s = condensed->begin[c]; s < condensed->begin[c + 1]; s++) {
                size_t b = (size_t)condensed->row[s];
                if (b <= a) {
                    dual_curve_add(point, n, a, b,
                                   share * condensed->amount[t] * condensed->amount[s]);
                }
            }
        }
    }
    point->undecided += 1 - squares;
    for (int i = 0; i < rows; i++) {
        size_t a = (size_t)lane->kept[i];
        point->load[a] += lane->part[a];
        for (int j = 0; squares < 1 && j < rows; j++) {
            size_t b = (size_t)lane->kept[j];
            if (b <= a) {
                dual_curve_add(point, n, a, b, -lane->part[a] * lane->part[b]);
            }
        }
    }
    for (int i = 0; i < rows; i++) {
        lane->part[lane->kept[i]] = -1;
    }
}
