/*
 * Apps of linked parts softened, in single precision: the tables of an elimination at a
 * temperature, then, backwards, how likely each cell is, and for the curvature a few assignments
 * drawn as likely as they are.
 */
#include "model/solve/dual_soft.h"

#include <math.h>

#include "model/solve/dual_exp.h"

#define FAR    1e30f
#define LIKELY 1e-6f /* below it a combination of near cells is not followed */
#define UNSURE 1e-5  /* an app is divided when some part is by this */
#define DRAWS  DUAL_DRAWS

struct soft_run {
    const struct dual *dual;
    const struct dual_tree *tree;
    struct dual_lane *lane;
    int app;
    float heat;
    float *value; /* the app's scratch: what cells cost, what steps leave */
    float *share; /* beside it, in the same places: how likely they are */
};

static double leave_all(struct soft_run *run);
static void share_all(struct soft_run *run);
static double load_all(struct soft_run *run, double *entropy);
static void draw_all(struct soft_run *run);

void dual_soft_app(const struct dual *dual, struct dual_lane *lane, int app, float heat)
{
    const struct dual_tree *tree = dual->tree;
    struct soft_run run = {.dual = dual, .tree = tree, .lane = lane, .app = app, .heat = heat};
    run.value = (float *)(void *)lane->scratch;
    run.share = run.value + tree->scratch;
    double soft = leave_all(&run);
    share_all(&run);
    double entropy = 0;
    double divided = load_all(&run, &entropy);
    lane->point.soft += soft;
    /* Of the parts one by one: more than of the app, so this is above its least sum. */
    lane->point.hard += soft + (double)heat * entropy;
    lane->point.undecided += divided;
    if (divided > UNSURE) {
        draw_all(&run);
    }
}

static size_t cells_of(const struct soft_run *run, const struct dual_step *step)
{
    return (size_t)grid_cells(run->dual->grid, step->part);
}

static bool turn(const struct soft_run *run, const struct dual_step *step, int *near)
{
    for (int i = step->near_count - 1; i >= 0; i--) {
        if (++near[i] < (int)cells_of(run, &run->tree->step[step->near[i]])) {
            return true;
        }
        near[i] = 0;
    }
    return false;
}

DUAL_INLINE float combine_inline(float *sum, const float *value, const float *row, float times,
                                 size_t cells)
{
    float least[DUAL_PAD];
    for (size_t k = 0; k < DUAL_PAD; k++) {
        least[k] = FAR;
    }
    for (size_t c = 0; c < cells; c += DUAL_PAD) {
        for (size_t k = 0; k < DUAL_PAD; k++) {
            float all = value[c + k] + times * row[c + k];
            sum[c + k] = all;
            least[k] = all < least[k] ? all : least[k];
        }
    }
    for (size_t half = DUAL_PAD / 2; half > 0; half /= 2) {
        for (size_t k = 0; k < half; k++) {
            least[k] = least[k + half] < least[k] ? least[k + half] : least[k];
        }
    }
    return least[0];
}

/* Turns sum[] into exp((least - sum) / heat); the sum of those. */
DUAL_INLINE float soften_inline(float *sum, size_t cells, float least, float heat)
{
    float cold = 1.0f / heat;
    float whole[DUAL_PAD] = {0};
    for (size_t c = 0; c < cells; c += DUAL_PAD) {
        for (size_t k = 0; k < DUAL_PAD; k++) {
            float share = dual_exp((least - sum[c + k]) * cold);
            sum[c + k] = share;
            whole[k] += share;
        }
    }
    for (size_t half = DUAL_PAD / 2; half > 0; half /= 2) {
        for (size_t k = 0; k < half; k++) {
            whole[k] += whole[k + half];
        }
    }
    return whole[0];
}

DUAL_INLINE void scale_inline(float *to, const float *from, size_t cells, float times)
{
    for (size_t c = 0; c < cells; c++) {
        to[c] += from[c] * times;
    }
}

struct soft_steps {
    float (*combine)(float *sum, const float *value, const float *row, float times, size_t cells);
    float (*soften)(float *sum, size_t cells, float least, float heat);
    void (*scale)(float *to, const float *from, size_t cells, float times);
};

#if defined(DUAL_WIDE)
DUAL_WIDE static float combine_wide(float *sum, const float *value, const float *row, float times,
                                    size_t cells)
{
    return combine_inline(sum, value, row, times, cells);
}
DUAL_WIDE static float soften_wide(float *sum, size_t cells, float least, float heat)
{
    return soften_inline(sum, cells, least, heat);
}
DUAL_WIDE static void scale_wide(float *to, const float *from, size_t cells, float times)
{
    scale_inline(to, from, cells, times);
}
static const struct soft_steps wide = {combine_wide, soften_wide, scale_wide};
#endif

static float combine_plain(float *sum, const float *value, const float *row, float times,
                           size_t cells)
{
    return combine_inline(sum, value, row, times, cells);
}
static float soften_plain(float *sum, size_t cells, float least, float heat)
{
    return soften_inline(sum, cells, least, heat);
}
static void scale_plain(float *to, const float *from, size_t cells, float times)
{
    scale_inline(to, from, cells, times);
}
static const struct soft_steps plain = {combine_plain, soften_plain, scale_plain};

static const struct soft_steps *steps_of(const struct dual *dual)
{
#if defined(DUAL_WIDE)
    return dual->wide ? &wide : &plain;
#else
    (void)dual;
    return &plain;
#endif
}

/* Where a table has the row of this step's cells, given those near it. */
static size_t table_at(const struct soft_run *run, const struct dual_source *source,
                       const struct dual_step *step, const int *near)
{
    const struct dual_step *table = &run->tree->step[source->step];
    size_t at = 0;
    for (int k = 0; k + 1 < table->near_count; k++) {
        at = at * cells_of(run, &run->tree->step[table->near[k]]) + (size_t)near[source->place[k]];
    }
    return table->out_at + at * cells_of(run, step);
}

/* Fills lane->soft with what the cells of a step's part cost beside near ones; the least. */
static float combine(const struct soft_run *run, const struct dual_step *step, const int *near)
{
    const struct dual_tree *tree = run->tree;
    struct dual_lane *lane = run->lane;
    const float *value = run->value + step->value_at;
    float least = FAR;
    for (int i = 0; i < step->source_count || i == 0; i++) {
        float times = 1;
        const float *row = (const float *)(const void *)tree->zero;
        if (i < step->source_count) {
            const struct dual_source *source = &tree->source[step->source_first + i];
            if (source->link >= 0) {
                int place = source->place[0];
                row = dual_source_soft(run->dual, source, step->part,
                                       tree->step[step->near[place]].part, near[place],
                                       (float *)(void *)lane->row, &times);
            } else {
                row = run->value + table_at(run, source, step, near);
            }
        }
        least = steps_of(run->dual)->combine(lane->soft, value, row, times, cells_of(run, step));
        value = lane->soft;
    }
    return least;
}

static double leave_all(struct soft_run *run)
{
    const struct dual_tree *tree = run->tree;
    const struct soft_steps *steps = steps_of(run->dual);
    int from = tree->first[run->app];
    int to = tree->first[run->app + 1];
    for (int index = from; index < to; index++) {
        const struct dual_step *step = &tree->step[index];
        float *value = run->value + step->value_at;
        size_t cells = cells_of(run, step);
        if (step->own) {
            (void)dual_soft_fill(run->dual, step->part, value);
        }
        for (size_t c = step->own ? cells : 0; c < cells + DUAL_PAD; c++) {
            value[c] = c < cells ? 0 : FAR;
        }
        for (size_t c = 0; step->out_count > 0 && c < DUAL_PAD; c++) {
            run->value[step->out_at + step->out_count + c] = 0; /* read past rows, never counted */
        }
    }
    double sum = 0;
    for (int index = from; index < to; index++) {
        const struct dual_step *step = &tree->step[index];
        int near[DUAL_NEAR_MAX] = {0};
        float *out = run->value + step->out_at;
        size_t at = 0;
        do {
            float least = combine(run, step, near);
            float whole = steps->soften(run->lane->soft, cells_of(run, step), least, run->heat);
            float soft = least >= FAR ? FAR : least - run->heat * logf(whole);
            if (step->near_count == 0) {
                sum += (double)soft;
            } else {
                out[at++] = soft;
            }
        } while (turn(run, step, near));
        float *value =
            step->near_count == 1 ? run->value + tree->step[step->consumer].value_at : NULL;
        for (size_t c = 0; value != NULL && c < at; c++) {
            value[c] += out[c];
        }
    }
    return sum;
}

/* Backwards: of each combination of near cells that is likely, where it puts the step's part. */
static void share_all(struct soft_run *run)
{
    const struct dual_tree *tree = run->tree;
    const struct soft_steps *steps = steps_of(run->dual);
    int from = tree->first[run->app];
    for (int index = from; index < tree->first[run->app + 1]; index++) {
        const struct dual_step *step = &tree->step[index];
        for (size_t c = 0; c < cells_of(run, step); c++) {
            run->share[step->value_at + c] = 0;
        }
        for (size_t c = 0; c < step->out_count; c++) {
            run->share[step->out_at + c] = 0;
        }
    }
    for (int index = tree->first[run->app + 1] - 1; index >= from; index--) {
        const struct dual_step *step = &tree->step[index];
        const float *likely = step->near_count == 0 ? NULL
                              : step->near_count == 1
                                  ? run->share + tree->step[step->consumer].value_at
                                  : run->share + step->out_at;
        size_t cells = cells_of(run, step);
        int near[DUAL_NEAR_MAX] = {0};
        size_t at = 0;
        do {
            float share = likely == NULL ? 1 : likely[at];
            at++;
            if (share < LIKELY) {
                continue;
            }
            float least = combine(run, step, near);
            float whole = steps->soften(run->lane->soft, cells, least, run->heat);
            steps->scale(run->share + step->value_at, run->lane->soft, cells, share / whole);
            for (int i = 0; i < step->source_count; i++) {
                const struct dual_source *source = &tree->source[step->source_first + i];
                if (source->link < 0) {
                    steps->scale(run->share + table_at(run, source, step, near), run->lane->soft,
                                 cells, share / whole);
                }
            }
        } while (turn(run, step, near));
    }
}

/* The app's mean load; how divided its most divided part is. */
static double load_all(struct soft_run *run, double *entropy)
{
    const struct dual *dual = run->dual;
    const struct grid *grid = dual->grid;
    double most = 0;
    for (int index = run->tree->first[run->app]; index < run->tree->first[run->app + 1]; index++) {
        const struct dual_step *step = &run->tree->step[index];
        const float *share = run->share + step->value_at;
        double squares = 0;
        double whole = 0;
        for (size_t c = 0; step->own && c < cells_of(run, step); c++) {
            whole += (double)share[c];
        }
        for (size_t c = 0; step->own && c < cells_of(run, step); c++) {
            if (share[c] < LIKELY) {
                continue;
            }
            double part = (double)share[c] / whole;
            squares += part * part;
            *entropy -= part < 1 ? part * log(part) : 0;
            int slot = dual->slot_of[grid_site(grid, step->part, (int)c)];
            const int32_t *demand = grid_demand(grid, step->part, (int)c);
            for (int r = 0; slot >= 0 && r < grid->resources; r++) {
                run->lane->point.load[slot * grid->resources + r] +=
                    part * demand[r] / dual->mean[r];
            }
        }
        double divided = step->own ? 1 - squares : 0;
        most = divided > most ? divided : most;
    }
    return most;
}

static double draw_from(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t x = *state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (double)((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

/* One assignment, drawn backwards; its load is added to sum[row][draw]. */
static void draw(struct soft_run *run, int number, double *sum, int *rows)
{
    const struct dual *dual = run->dual;
    const struct grid *grid = dual->grid;
    struct dual_lane *lane = run->lane;
    int from = run->tree->first[run->app];
    uint64_t state = ((uint64_t)run->app << 8) + (uint64_t)number;
    for (int index = run->tree->first[run->app + 1] - 1; index >= from; index--) {
        const struct dual_step *step = &run->tree->step[index];
        int near[DUAL_NEAR_MAX];
        for (int i = 0; i < step->near_count; i++) {
            near[i] = lane->cell[step->near[i] - from];
        }
        size_t cells = cells_of(run, step);
        float least = combine(run, step, near);
        float whole = steps_of(dual)->soften(lane->soft, cells, least, run->heat);
        double left = draw_from(&state) * (double)whole;
        size_t cell = 0;
        while (cell + 1 < cells && left >= (double)lane->soft[cell]) {
            left -= (double)lane->soft[cell++];
        }
        while (lane->soft[cell] <= 0 && cell > 0) {
            cell--; /* what is left of rounding, past the last that is likely */
        }
        lane->cell[index - from] = (int)cell;
        int slot = dual->slot_of[grid_site(grid, step->part, (int)cell)];
        const int32_t *demand = grid_demand(grid, step->part, (int)cell);
        for (int r = 0; step->own && slot >= 0 && r < grid->resources; r++) {
            int row = slot * grid->resources + r;
            if (lane->part[row] < 0) {
                lane->part[row] = *rows;
                for (int k = 0; k < DRAWS; k++) {
                    sum[*rows * DRAWS + k] = 0;
                }
                lane->kept[(*rows)++] = row;
            }
            sum[(int)lane->part[row] * DRAWS + number] += demand[r] / dual->mean[r];
        }
    }
}

/* The covariance of the app's load, from draws. */
static void draw_all(struct soft_run *run)
{
    struct dual_lane *lane = run->lane;
    size_t n = run->dual->n;
    int rows = 0;
    for (int number = 0; number < DRAWS; number++) {
        draw(run, number, lane->drawn, &rows);
    }
    for (int i = 0; i < rows; i++) {
        double mean = 0;
        double *sum = lane->drawn + (size_t)i * DRAWS;
        for (int k = 0; k < DRAWS; k++) {
            mean += sum[k] / DRAWS;
        }
        double moved = 0;
        for (int k = 0; k < DRAWS; k++) {
            sum[k] -= mean;
            moved += fabs(sum[k]);
        }
        lane->part[lane->kept[i]] = moved > 1e-9 ? 1 : 0;
    }
    for (int i = 0; i < rows; i++) {
        size_t a = (size_t)lane->kept[i];
        for (int j = 0; lane->part[a] > 0 && j < rows; j++) {
            size_t b = (size_t)lane->kept[j];
            if (b > a || lane->part[b] <= 0) {
                continue;
            }
            double both = 0;
            for (int k = 0; k < DRAWS; k++) {
                both += lane->drawn[(size_t)i * DRAWS + (size_t)k] *
                        lane->drawn[(size_t)j * DRAWS + (size_t)k];
            }
            dual_curve_add(&lane->point, n, a, b, both / (DRAWS - 1));
        }
    }
    for (int i = 0; i < rows; i++) {
        lane->part[lane->kept[i]] = -1;
    }
}
