/* Apps of linked parts in double precision: the least sum, the assignment that has it. */
#include "model/solve/dual_tree.h"

#include <math.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "model/solve/dual_near.h"

static const double *source_row(const struct dual_app_run *run, const struct dual_step *step,
                                const struct dual_source *source, const int *near,
                                double *ret_times);
static double combine(const struct dual_app_run *run, const struct dual_step *step,
                      const int *near);
static double combine_from(const struct dual_app_run *run, const struct dual_step *step,
                           const int *near, int first, int count, const double *value, double *sum);
static void leave(const struct dual_app_run *run, const struct dual_step *step);
static bool leave_link(const struct dual_app_run *run, const struct dual_step *step, double *out);

/* Sets near[] to the next combination of cells, the last part's fastest; false: that was all. */
static bool turn(const struct dual_app_run *run, const struct dual_step *step, int *near)
{
    for (int i = step->near_count - 1; i >= 0; i--) {
        if (++near[i] < grid_cells(run->dual->grid, run->tree->step[step->near[i]].part)) {
            return true;
        }
        near[i] = 0;
    }
    return false;
}

double dual_app_least(struct dual_app_run *run)
{
    const struct dual_tree *tree = run->tree;
    int from = tree->first[run->app];
    int to = tree->first[run->app + 1];
    for (int index = from; index < to; index++) {
        const struct dual_step *step = &tree->step[index];
        double *value = run->scratch + step->value_at;
        size_t cells = (size_t)grid_cells(run->dual->grid, step->part);
        if (step->own) {
            (void)dual_fill(run->dual, step->part, value);
        } else {
            for (size_t c = 0; c < cells; c++) {
                value[c] = 0;
            }
        }
        for (size_t c = cells; c < cells + DUAL_PAD; c++) {
            value[c] = INFINITY;
        }
        for (const struct dual_limit *limit = run->limit; limit != NULL; limit = limit->before) {
            for (size_t c = 0; limit->part == step->part && c < cells; c++) {
                value[c] = ((int)c == limit->cell) == limit->only ? value[c] : INFINITY;
            }
        }
    }
    double sum = 0;
    for (int index = from; index < to; index++) {
        const struct dual_step *step = &tree->step[index];
        if (step->near_count > 0) {
            leave(run, step);
        } else {
            sum += combine(run, step, NULL);
        }
    }
    return sum;
}

/* A branch of a divided app. */
struct branch {
    struct dual_limit limit;
    double least;
    int part; /* whose copies do not agree in its best assignment; -1: they do */
    int cell; /* of the first copy */
    bool open;
};

static void try_branch(struct dual_app_run *run, struct branch *branch, const struct branch *from)
{
    const struct dual_tree *tree = run->tree;
    run->limit = from != NULL ? &branch->limit : NULL;
    branch->least = dual_app_least(run);
    branch->open = branch->least < INFINITY;
    branch->part = -1;
    if (!branch->open) {
        return;
    }
    dual_app_choose(run, NULL);
    int first = tree->first[run->app];
    for (int i = tree->first[run->app + 1] - 1; i >= first; i--) {
        const struct dual_step *copy = &tree->step[i];
        for (int k = first; !copy->own && k < i; k++) {
            bool first_copy = tree->step[k].part == copy->part && tree->step[k].own;
            if (first_copy && run->cell[k - first] != run->cell[i - first]) {
                branch->part = copy->part;
                branch->cell = run->cell[k - first];
                return;
            }
        }
    }
}

double dual_app_least_divided(struct dual_app_run *run)
{
    struct branch branches[DUAL_TRIES_MAX + 2];
    int count = 1;
    int best = 0;
    try_branch(run, &branches[0], NULL);
    while (branches[best].open && branches[best].part >= 0 && count + 1 < run->tree->tries) {
        struct branch *from = &branches[best];
        from->open = false;
        for (int i = 0; i < 2; i++) {
            struct branch *to = &branches[count++];
            to->limit = (struct dual_limit){.before = best > 0 ? &from->limit : NULL,
                                            .part = from->part,
                                            .cell = from->cell,
                                            .only = i == 0};
            try_branch(run, to, from);
        }
        for (int i = 0; i < count; i++) {
            bool better = branches[i].open &&
                          (!branches[best].open || branches[i].least < branches[best].least);
            best = better ? i : best;
        }
    }
    if (!branches[best].open) {
        run->limit = NULL;
        return INFINITY;
    }
    /* Its tables are what the assignment is read from. */
    run->limit = best > 0 ? &branches[best].limit : NULL;
    double least = count > 1 ? dual_app_least(run) : branches[best].least;
    run->limit = NULL;
    return least;
}

/* The table that a step leaves; where that is over one part, it is added to the part's own. */
static void leave(const struct dual_app_run *run, const struct dual_step *step)
{
    int near[DUAL_NEAR_MAX] = {0};
    double *out = run->scratch + step->out_at;
    double *head = run->scratch + run->tree->head_at;
    int slow = step->source_slow;
    int fast = step->source_count - slow;
    const double *own = run->scratch + step->value_at;
    size_t at = 0;
    bool done = leave_link(run, step, out);
    while (!done) {
        if (slow > 0 && near[step->near_count - 1] == 0) {
            (void)combine_from(run, step, near, 0, slow, own, head);
        }
        out[at++] = combine_from(run, step, near, slow, fast, slow > 0 ? head : own, run->sum);
        done = !turn(run, step, near);
    }
    at = step->out_count;
    if (step->near_count == 1) {
        double *value = run->scratch + run->tree->step[step->consumer].value_at;
        for (size_t c = 0; c < at; c++) {
            value[c] += out[c];
        }
    }
}

/* Of each cell of the near part the least, from the same numbers as if one by one. */
static void least_plain(double *out, const double *value, const double *pairs, double times,
                        size_t cells, size_t sites, size_t stride)
{
    for (size_t b = 0; b < sites; b++) {
        out[b] = INFINITY;
    }
    for (size_t c = 0; c < cells; c++) {
        for (size_t b = 0; b < sites; b++) {
            double all = value[c] + times * pairs[c * stride + b];
            out[b] = all < out[b] ? all : out[b];
        }
    }
}

#if defined(DUAL_WIDE)
/* Of 4 * fours cells. By hand: compilers leave this loop as it is written. */
DUAL_WIDE DUAL_INLINE void least_fours(double *out, const double *value, const double *pairs,
                                       double times, size_t cells, size_t stride, size_t fours)
{
    __m256d least[4];
    __m256d scale = _mm256_set1_pd(times);
    for (size_t k = 0; k < fours; k++) {
        least[k] = _mm256_set1_pd(INFINITY);
    }
    for (size_t c = 0; c < cells; c++) {
        __m256d own = _mm256_set1_pd(value[c]);
        for (size_t k = 0; k < fours; k++) {
            __m256d pair = _mm256_loadu_pd(pairs + c * stride + 4 * k);
            __m256d all = _mm256_add_pd(own, _mm256_mul_pd(scale, pair));
            least[k] = _mm256_min_pd(all, least[k]);
        }
    }
    for (size_t k = 0; k < fours; k++) {
        _mm256_storeu_pd(out + 4 * k, least[k]);
    }
}

DUAL_WIDE static void least_wide(double *out, const double *value, const double *pairs,
                                 double times, size_t cells, size_t sites, size_t stride)
{
    for (size_t b = 0; b < sites; b += 16) {
        size_t left = sites - b;
        if (left > 12) {
            least_fours(out + b, value, pairs + b, times, cells, stride, 4);
        } else if (left > 8) {
            least_fours(out + b, value, pairs + b, times, cells, stride, 3);
        } else if (left > 4) {
            least_fours(out + b, value, pairs + b, times, cells, stride, 2);
        } else {
            least_fours(out + b, value, pairs + b, times, cells, stride, 1);
        }
    }
}
#endif

/* Of the cells of a near part the least, straight from a link's table of cells: `across`, its rows
 * are the near part's, else its columns. No value is negative, and closed ones are infinite. */
static void least_cells_plain(double *out, const double *value, const struct grid_table *table,
                              double times, bool across)
{
    int nears = across ? table->rows : table->columns;
    int cells = across ? table->columns : table->rows;
    size_t near_step = across ? (size_t)table->columns : 1;
    size_t cell_step = across ? 1 : (size_t)table->columns;
    for (int b = 0; b < nears; b++) {
        double least = INFINITY;
        const uint32_t *at = table->value + (size_t)b * near_step;
        for (int c = 0; c < cells; c++, at += cell_step) {
            double pair = *at == GRID_CLOSED ? INFINITY : (double)*at;
            double all = value[c] + times * pair;
            least = all < least ? all : least;
        }
        out[b] = least;
    }
}

#if defined(DUAL_WIDE)
/* Four values, exact; infinite where closed. */
DUAL_WIDE DUAL_INLINE __m256d four_pairs(const uint32_t *at)
{
    __m128i raw = _mm_loadu_si128((const __m128i *)at);
    __m256d value = _mm256_cvtepi32_pd(_mm_xor_si128(raw, _mm_set1_epi32(INT32_MIN)));
    __m256i closed = _mm256_cvtepi32_epi64(_mm_cmpeq_epi32(raw, _mm_set1_epi32(-1)));
    value = _mm256_add_pd(value, _mm256_set1_pd(2147483648.0));
    return _mm256_blendv_pd(value, _mm256_set1_pd(INFINITY), _mm256_castsi256_pd(closed));
}

/* The same of small ones. */
DUAL_WIDE DUAL_INLINE __m256d four_small(const uint32_t *at)
{
    return _mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i *)at));
}

/* By fours; the last four overlap those before, which changes no least value. */
DUAL_WIDE DUAL_INLINE void least_cells_fours(double *out, const double *value,
                                             const struct grid_table *table, double times,
                                             bool across, bool small)
{
    size_t rows = (size_t)table->rows;
    size_t columns = (size_t)table->columns;
    __m256d scale = _mm256_set1_pd(times);
    for (size_t b = 0; b < columns && !across;) {
        size_t at = b + 4 <= columns ? b : columns - 4;
        __m256d least = _mm256_set1_pd(INFINITY);
        for (size_t c = 0; c < rows; c++) {
            const uint32_t *from = table->value + c * columns + at;
            __m256d pair = small ? four_small(from) : four_pairs(from);
            __m256d all = _mm256_add_pd(_mm256_set1_pd(value[c]), _mm256_mul_pd(scale, pair));
            least = _mm256_min_pd(all, least);
        }
        _mm256_storeu_pd(out + at, least);
        b = at + 4;
    }
    for (size_t b = 0; b < rows && across; b++) {
        __m256d least = _mm256_set1_pd(INFINITY);
        for (size_t c = 0; c < columns;) {
            size_t at = c + 4 <= columns ? c : columns - 4;
            const uint32_t *from = table->value + b * columns + at;
            __m256d pair = small ? four_small(from) : four_pairs(from);
            __m256d all = _mm256_add_pd(_mm256_loadu_pd(value + at), _mm256_mul_pd(scale, pair));
            least = _mm256_min_pd(all, least);
            c = at + 4;
        }
        double four[4];
        _mm256_storeu_pd(four, least);
        four[0] = four[2] < four[0] ? four[2] : four[0];
        four[1] = four[3] < four[1] ? four[3] : four[1];
        out[b] = four[1] < four[0] ? four[1] : four[0];
    }
}

DUAL_WIDE static void least_cells_wide(double *out, const double *value,
                                       const struct grid_table *table, double times, bool across)
{
    if (table->small) {
        least_cells_fours(out, value, table, times, across, true);
    } else {
        least_cells_fours(out, value, table, times, across, false);
    }
}
#endif

/* The same of a link with a table of its own, and of a scale above 0. */
static bool leave_cells(const struct dual *dual, const struct dual_source *source,
                        const double *value, double *out)
{
    const struct grid_link *link = &dual->grid->link[source->link];
    const struct grid_table *table = &dual->grid->table[link->table];
    if (table->by_site || link->scale <= 0) {
        return false;
    }
#if defined(DUAL_WIDE)
    if (dual->wide && table->columns >= 4) {
        least_cells_wide(out, value, table, (double)link->scale, source->flip);
        return true;
    }
#endif
    least_cells_plain(out, value, table, (double)link->scale, source->flip);
    return true;
}

/* What a step leaves whose only source is a link with pairs that are ready; false: it is not so. */
static bool leave_link(const struct dual_app_run *run, const struct dual_step *step, double *out)
{
    const struct dual *dual = run->dual;
    const struct grid *grid = dual->grid;
    const struct dual_source *source = &run->tree->source[step->source_first];
    if (step->near_count != 1 || step->source_count != 1 || source->link < 0) {
        return false;
    }
    const struct grid_link *link = &grid->link[source->link];
    int sign = (link->scale > 0) - (link->scale < 0);
    const struct dual_pairs *pairs = &dual->tree->pairs[link->table][sign + 1];
    if (pairs->exact == NULL) {
        return leave_cells(dual, source, run->scratch + step->value_at, out);
    }
    if (grid->site != NULL) {
        return false;
    }
    const double *from = source->flip ? pairs->exact_flip : pairs->exact;
    const double *value = run->scratch + step->value_at;
    double times = sign == 0 ? 1 : fabs((double)link->scale);
    size_t cells = (size_t)grid_cells(grid, step->part);
    size_t sites = (size_t)grid->sites;
#if defined(DUAL_WIDE)
    if (dual->wide) {
        least_wide(out, value, from, times, cells, sites, dual->stride);
        return true;
    }
#endif
    least_plain(out, value, from, times, cells, sites, dual->stride);
    return true;
}

void dual_app_choose(struct dual_app_run *run, float *ret_ratio)
{
    const struct dual_tree *tree = run->tree;
    const struct grid *grid = run->dual->grid;
    int from = tree->first[run->app];
    float ratio = 1e30f;
    for (int index = tree->first[run->app + 1] - 1; index >= from; index--) {
        const struct dual_step *step = &tree->step[index];
        double least = dual_app_sum(run, index);
        int cells = grid_cells(grid, step->part);
        int current = grid->current != NULL ? grid->current[step->part] : -1;
        int cell = current >= 0 && run->sum[current] <= least ? current : 0;
        while (cell + 1 < cells && run->sum[cell] > least) {
            cell++;
        }
        run->cell[index - from] = cell;
        double second = INFINITY;
        for (int c = 0; c < cells && ret_ratio != NULL; c++) {
            second = c != cell && run->sum[c] < second ? run->sum[c] : second;
        }
        float own = ret_ratio != NULL ? dual_ratio(run->dual, step->part, second - least) : 0;
        ratio = own < ratio ? own : ratio;
    }
    if (ret_ratio != NULL) {
        *ret_ratio = ratio;
    }
}

double dual_app_sum(struct dual_app_run *run, int index)
{
    const struct dual_step *step = &run->tree->step[index];
    int near[DUAL_NEAR_MAX];
    for (int i = 0; i < step->near_count; i++) {
        near[i] = run->cell[step->near[i] - run->tree->first[run->app]];
    }
    return combine(run, step, near);
}

DUAL_INLINE double combine_inline(double *sum, const double *value, const double *row, double times,
                                  size_t cells)
{
    double least[8];
    for (size_t k = 0; k < 8; k++) {
        least[k] = INFINITY;
    }
    for (size_t c = 0; c < cells; c += 8) {
        for (size_t k = 0; k < 8; k++) {
            double all = value[c + k] + times * row[c + k];
            sum[c + k] = all;
            least[k] = all < least[k] ? all : least[k];
        }
    }
    for (size_t k = 0; k < 4; k++) {
        least[k] = least[k + 4] < least[k] ? least[k + 4] : least[k];
    }
    least[0] = least[2] < least[0] ? least[2] : least[0];
    least[1] = least[3] < least[1] ? least[3] : least[1];
    return least[1] < least[0] ? least[1] : least[0];
}

#if defined(DUAL_WIDE)
DUAL_WIDE static double combine_wide(double *sum, const double *value, const double *row,
                                     double times, size_t cells)
{
    return combine_inline(sum, value, row, times, cells);
}
#endif

static double combine_plain(double *sum, const double *value, const double *row, double times,
                            size_t cells)
{
    return combine_inline(sum, value, row, times, cells);
}

/* Fills run->sum with what each cell of the step's part costs beside near cells; the least. */
static double combine(const struct dual_app_run *run, const struct dual_step *step, const int *near)
{
    return combine_from(run, step, near, 0, step->source_count, run->scratch + step->value_at,
                        run->sum);
}

/* Adds `count` sources of a step, from the first-th, to value[]; the least of the sums. */
static double combine_from(const struct dual_app_run *run, const struct dual_step *step,
                           const int *near, int first, int count, const double *value, double *sum)
{
    const struct dual *dual = run->dual;
    size_t cells = (size_t)grid_cells(dual->grid, step->part);
    double least = INFINITY;
    for (int i = first; i < first + count || i == first; i++) {
        double times = 0;
        const double *row = run->tree->zero;
        if (count > 0) {
            row = source_row(run, step, &run->tree->source[step->source_first + i], near, &times);
        }
#if defined(DUAL_WIDE)
        if (dual->wide) {
            least = combine_wide(sum, value, row, times, cells);
        } else
#endif
        {
            least = combine_plain(sum, value, row, times, cells);
        }
        value = sum;
    }
    return least;
}

static const double *source_row(const struct dual_app_run *run, const struct dual_step *step,
                                const struct dual_source *source, const int *near,
                                double *ret_times)
{
    const struct dual_tree *tree = run->tree;
    const struct grid *grid = run->dual->grid;
    if (source->link >= 0) {
        int other = tree->step[step->near[source->place[0]]].part;
        return dual_source_exact(run->dual, source, step->part, other, near[source->place[0]],
                                 run->row, ret_times);
    }
    const struct dual_step *table = &tree->step[source->step];
    size_t at = 0;
    for (int k = 0; k + 1 < table->near_count; k++) {
        at = at * (size_t)grid_cells(grid, tree->step[table->near[k]].part) +
             (size_t)near[source->place[k]];
    }
    *ret_times = 1;
    return run->scratch + table->out_at + at * (size_t)grid_cells(grid, step->part);
}

/* A pair's value as links of its scale's sign count it, from the table itself. */
static double pair_of(const struct dual *dual, const struct dual_source *source, int part,
                      int other, int own, int cell)
{
    const struct grid *grid = dual->grid;
    const struct grid_link *link = &grid->link[source->link];
    (void)part;
    (void)other;
    uint32_t value =
        source->flip ? grid_link_raw(grid, link, cell, own) : grid_link_raw(grid, link, own, cell);
    if (value == GRID_CLOSED) {
        return INFINITY;
    }
    if (link->scale == 0) {
        return 0;
    }
    return link->scale > 0 ? (double)value : (double)(dual->tree->dearest[link->table] - value);
}

const double *dual_source_exact(const struct dual *dual, const struct dual_source *source, int part,
                                int other, int cell, double *row, double *ret_times)
{
    const struct grid *grid = dual->grid;
    const struct grid_link *link = &grid->link[source->link];
    int sign = (link->scale > 0) - (link->scale < 0);
    const struct dual_pairs *pairs = &dual->tree->pairs[link->table][sign + 1];
    *ret_times = sign == 0 ? 1 : fabs((double)link->scale);
    int cells = grid_cells(grid, part);
    if (pairs->exact == NULL) {
        const struct grid_table *table = &grid->table[link->table];
        if (!table->by_site && sign > 0) {
            size_t columns = (size_t)table->columns;
            size_t next = source->flip ? 1 : columns;
            const uint32_t *at = table->value + (size_t)cell * (source->flip ? columns : 1);
            for (int c = 0; c < cells; c++, at += next) {
                row[c] = *at == GRID_CLOSED ? INFINITY : (double)*at;
            }
            return row;
        }
        for (int c = 0; c < cells; c++) {
            row[c] = pair_of(dual, source, part, other, c, cell);
        }
        return row;
    }
    const double *from = (source->flip ? pairs->exact : pairs->exact_flip) +
                         (size_t)grid_site(grid, other, cell) * dual->stride;
    if (grid->site == NULL) {
        return from;
    }
    const uint16_t *site = grid->site + grid_first(grid, part);
    for (int c = 0; c < cells; c++) {
        row[c] = from[site[c]];
    }
    return row;
}

const float *dual_source_soft(const struct dual *dual, const struct dual_source *source, int part,
                              int other, int cell, float *row, float *ret_times)
{
    const struct grid *grid = dual->grid;
    const struct grid_link *link = &grid->link[source->link];
    int sign = (link->scale > 0) - (link->scale < 0);
    const struct dual_pairs *pairs = &dual->tree->pairs[link->table][sign + 1];
    *ret_times = sign == 0 ? 1 : (float)(fabs((double)link->scale) / dual->unit);
    int cells = grid_cells(grid, part);
    if (pairs->soft == NULL) {
        for (int c = 0; c < cells; c++) {
            double value = pair_of(dual, source, part, other, c, cell);
            row[c] = value < INFINITY ? (float)value : 1e30f;
        }
        for (int c = cells; c < cells + DUAL_PAD; c++) {
            row[c] = 0;
        }
        return row;
    }
    const float *from = (source->flip ? pairs->soft : pairs->soft_flip) +
                        (size_t)grid_site(grid, other, cell) * dual->stride;
    if (grid->site == NULL) {
        return from;
    }
    const uint16_t *site = grid->site + grid_first(grid, part);
    for (int c = 0; c < cells; c++) {
        row[c] = from[site[c]];
    }
    for (int c = cells; c < cells + DUAL_PAD; c++) {
        row[c] = 0;
    }
    return row;
}
