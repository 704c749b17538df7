#include "model/solve/refit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EPOCHS      32
#define FIXED_END   3 /* how far the penalty of a row over its room grows, until it is a wall */
#define WALL        1e4
#define WALL_FROM   0.8 /* of the time */
#define REACH       8   /* temperatures: what rises more is not tried */
#define LOGS        1024
#define PAIRS_MOST  192 /* changes that are tried in pairs */
#define PAIRS_TURNS 24

#if defined(__x86_64__)
/* Elementwise arithmetic only, and no contraction: wider vectors give the same bits. */
#define REFIT_WIDE __attribute__((target("avx2")))
#endif
#define REFIT_INLINE static inline __attribute__((always_inline))

struct judged {
    double energy; /* the price of what is left, or the penalty of what is over */
    double over;   /* rows */
};

/* Of what is taken. */
struct change {
    int group;
    int was;
    int to;
    double rise;
};

struct refit {
    const struct refit_problem *problem;
    size_t stride;
    uint64_t random;
    bool wide;
    double fixed;
    double charge; /* what a change is worth, about */
    double *slack; /* [stride] */
    double *next;
    double *last;
    double *price;
    double *heavy; /* penalty of each unit over */
    int *group_of; /* [alternative] */
    int *order;    /* [alternative] by rise, without the firsts */
    int *spare;    /* [alternative] */
    int orders;
    int *taken; /* [group] */
    int *best;
    double sum; /* of rises */
    double minus_log[LOGS];
    struct change *change;
};

static void begin(struct refit *refit, const struct refit_problem *problem, const int *taken);
static void sort_order(struct refit *refit);
static void set_slack(struct refit *refit);
static struct judged judge(const struct refit *refit, const double *from, const double *out,
                           const double *in, double *next);
static void anneal(struct refit *refit, const struct refit_options *options, bool *found,
                   double *best);
static void pairs(struct refit *refit, double *best);
static int list_changes(struct refit *refit, double least);
static double temperature_for(const struct refit *refit, double open);

int refit_create(int groups_max, int alternatives_max, size_t stride, struct arena *arena,
                 struct refit **ret_refit, struct error *err)
{
    struct refit *refit = arena_alloc(arena, sizeof(*refit));
    size_t groups = (size_t)groups_max + 1;
    size_t alternatives = (size_t)alternatives_max + 1;
    bool full = refit == NULL;
    if (!full) {
        refit->stride = stride;
        refit->slack = arena_array(arena, stride + 1, sizeof(double));
        refit->next = arena_array(arena, stride + 1, sizeof(double));
        refit->last = arena_array(arena, stride + 1, sizeof(double));
        refit->price = arena_array(arena, stride + 1, sizeof(double));
        refit->heavy = arena_array(arena, stride + 1, sizeof(double));
        refit->group_of = arena_array(arena, alternatives, sizeof(int));
        refit->order = arena_array(arena, alternatives, sizeof(int));
        refit->spare = arena_array(arena, alternatives, sizeof(int));
        refit->taken = arena_array(arena, groups, sizeof(int));
        refit->best = arena_array(arena, groups, sizeof(int));
        refit->change = arena_array(arena, PAIRS_MOST + 1, sizeof(*refit->change));
        full = refit->slack == NULL || refit->next == NULL || refit->last == NULL ||
               refit->price == NULL || refit->heavy == NULL || refit->group_of == NULL ||
               refit->order == NULL || refit->spare == NULL || refit->taken == NULL ||
               refit->best == NULL || refit->change == NULL;
    }
    if (full) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to refit %d groups", groups_max);
    }
#if defined(__x86_64__)
    refit->wide = __builtin_cpu_supports("avx2");
#endif
    for (int i = 0; i < LOGS; i++) {
        refit->minus_log[i] = -log(((double)i + 0.5) / LOGS);
    }
    *ret_refit = refit;
    return 0;
}

bool refit_run(struct refit *refit, const struct refit_problem *problem,
               const struct refit_options *options, int *taken, double *ret_sum)
{
    begin(refit, problem, taken);
    refit->random = options->seed * 0x9E3779B97F4A7C15u + 1;
    refit->fixed = refit->charge;
    struct judged now = judge(refit, refit->slack, NULL, NULL, refit->next);
    bool found = now.over == 0;
    double best = found ? refit->sum + now.energy : INFINITY;
    memcpy(refit->best, taken, (size_t)problem->groups * sizeof(int));
    if (!(best <= options->enough)) {
        anneal(refit, options, &found, &best);
    }
    if (found && !(best <= options->enough)) {
        memcpy(refit->taken, refit->best, (size_t)problem->groups * sizeof(int));
        set_slack(refit);
        pairs(refit, &best);
    }
    if (found) {
        memcpy(taken, refit->best, (size_t)problem->groups * sizeof(int));
        *ret_sum = best;
    }
    return found;
}

static const double *take_of(const struct refit *refit, int alternative)
{
    return refit->problem->take + (size_t)alternative * refit->stride;
}

static uint64_t next_random(struct refit *refit)
{
    uint64_t x = refit->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    refit->random = x;
    return x;
}

static void begin(struct refit *refit, const struct refit_problem *problem, const int *taken)
{
    refit->problem = problem;
    double priced = 0;
    double rises = 0;
    int alternatives = problem->first[problem->groups];
    for (size_t k = 0; k < refit->stride; k++) {
        refit->price[k] = k < problem->rows ? problem->price[k] : 0;
        priced += refit->price[k] / (double)(problem->rows + 1);
    }
    refit->orders = 0;
    for (int group = 0; group < problem->groups; group++) {
        for (int i = problem->first[group]; i < problem->first[group + 1]; i++) {
            refit->group_of[i] = group;
            rises += problem->rise[i] / alternatives;
            if (i > problem->first[group]) {
                refit->order[refit->orders++] = i;
            }
        }
    }
    sort_order(refit);
    refit->charge = (priced > 0 ? priced * problem->unit : rises) + 1;
    for (size_t k = 0; k < refit->stride; k++) {
        refit->heavy[k] = fmax(refit->price[k], refit->charge / problem->unit / 4);
    }
    memcpy(refit->taken, taken, (size_t)problem->groups * sizeof(int));
    set_slack(refit);
}

/* By rise, then by number: a bottom-up merge, stable. */
static void sort_order(struct refit *refit)
{
    const double *rise = refit->problem->rise;
    int *from = refit->order;
    int *to = refit->spare;
    int count = refit->orders;
    for (int width = 1; width < count; width *= 2) {
        for (int low = 0; low < count; low += 2 * width) {
            int middle = low + width < count ? low + width : count;
            int high = low + 2 * width < count ? low + 2 * width : count;
            int a = low;
            int b = middle;
            for (int i = low; i < high; i++) {
                bool left = b == high || (a < middle && rise[from[a]] <= rise[from[b]]);
                to[i] = left ? from[a++] : from[b++];
            }
        }
        int *was = from;
        from = to;
        to = was;
    }
    if (from != refit->order) {
        memcpy(refit->order, from, (size_t)count * sizeof(int));
    }
}

/* What is left of every row, from what is taken; and the sum of the rises. */
static void set_slack(struct refit *refit)
{
    const struct refit_problem *problem = refit->problem;
    for (size_t k = 0; k < refit->stride; k++) {
        refit->slack[k] = k < problem->rows ? problem->room[k] : 0;
    }
    refit->sum = 0;
    for (int group = 0; group < problem->groups; group++) {
        const double *take = problem->take + (size_t)refit->taken[group] * refit->stride;
        refit->sum += problem->rise[refit->taken[group]];
        for (size_t k = 0; k < refit->stride && refit->taken[group] != problem->first[group]; k++) {
            refit->slack[k] -= take[k];
        }
    }
}

/* In lanes of eight, so that the sum has one order whatever the width of vectors. */
REFIT_INLINE struct judged judge_inline(const struct refit *refit, const double *from,
                                        const double *out, const double *in, double *next)
{
    double energy[8] = {0};
    double over[8] = {0};
    double fixed = refit->fixed;
    for (size_t k = 0; k < refit->stride; k += 8) {
        for (size_t i = 0; i < 8; i++) {
            double left = from[k + i] + (out[k + i] - in[k + i]);
            double fits = refit->price[k + i] * left;
            double penalty = fixed - refit->heavy[k + i] * left;
            next[k + i] = left;
            energy[i] += left < 0 ? penalty : fits;
            over[i] += left < 0 ? 1.0 : 0.0;
        }
    }
    for (size_t half = 4; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) {
            energy[i] += energy[i + half];
            over[i] += over[i + half];
        }
    }
    return (struct judged){.energy = energy[0], .over = over[0]};
}

#if defined(REFIT_WIDE)
REFIT_WIDE static struct judged judge_wide(const struct refit *refit, const double *from,
                                           const double *out, const double *in, double *next)
{
    return judge_inline(refit, from, out, in, next);
}
#endif

static struct judged judge_plain(const struct refit *refit, const double *from, const double *out,
                                 const double *in, double *next)
{
    return judge_inline(refit, from, out, in, next);
}

/* With `out` given back and `in` taken; both NULL: as it is. */
static struct judged judge(const struct refit *refit, const double *from, const double *out,
                           const double *in, double *next)
{
    if (out == NULL) {
        out = refit->price; /* the same is given and taken */
        in = out;
    }
#if defined(REFIT_WIDE)
    if (refit->wide) {
        return judge_wide(refit, from, out, in, next);
    }
#endif
    return judge_plain(refit, from, out, in, next);
}

/* Where about `open` of the changes would be taken if nothing stood in their way. */
static double temperature_for(const struct refit *refit, double open)
{
    const struct refit_problem *problem = refit->problem;
    double low = 0;
    double high = problem->rise[refit->order[refit->orders - 1]] + 1;
    for (int i = 0; i < 12; i++) {
        double middle = (low + high) / 2;
        double sum = 0;
        for (int k = 0; k < refit->orders; k++) {
            double rise = problem->rise[refit->order[k]];
            if (rise > REACH * middle) {
                break;
            }
            sum += exp(-rise / middle);
        }
        if (sum < open) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high;
}

static void anneal(struct refit *refit, const struct refit_options *options, bool *found,
                   double *best)
{
    const struct refit_problem *problem = refit->problem;
    if (refit->orders == 0) {
        return;
    }
    double hot = temperature_for(refit, options->hot);
    double cold = temperature_for(refit, options->cold);
    cold = cold < hot ? cold : hot;
    int64_t trials = (int64_t)(options->trials / EPOCHS);
    for (int epoch = 0; epoch < EPOCHS && !(*best <= options->enough); epoch++) {
        double time = (double)epoch / (EPOCHS - 1);
        double temperature = hot * pow(cold / hot, time);
        refit->fixed = refit->charge * pow(FIXED_END, time) * (time > WALL_FROM ? WALL : 1);
        struct judged now = judge(refit, refit->slack, NULL, NULL, refit->next);
        int near = refit->orders;
        while (near > 1 && problem->rise[refit->order[near - 1]] > REACH * temperature) {
            near--;
        }
        for (int64_t i = 0; i < trials; i++) {
            uint64_t bits = next_random(refit);
            int in = refit->order[(uint64_t)near * (bits >> 32) >> 32];
            int group = refit->group_of[in];
            int out = refit->taken[group];
            in = in == out ? problem->first[group] : in; /* back to the first */
            struct judged then =
                judge(refit, refit->slack, take_of(refit, out), take_of(refit, in), refit->next);
            double rise = problem->rise[in] - problem->rise[out];
            double more = rise + then.energy - now.energy;
            if (more > temperature * refit->minus_log[bits & (LOGS - 1)]) {
                continue;
            }
            double *slack = refit->slack;
            refit->slack = refit->next;
            refit->next = slack;
            refit->taken[group] = in;
            refit->sum += rise;
            now = then;
            if (now.over == 0 && refit->sum + now.energy < *best) {
                *best = refit->sum + now.energy;
                *found = true;
                memcpy(refit->best, refit->taken, (size_t)problem->groups * sizeof(int));
                if (*best <= options->enough) {
                    return;
                }
            }
        }
    }
}

/* The best change or pair of changes, while one saves. */
static void pairs(struct refit *refit, double *best)
{
    const struct refit_problem *problem = refit->problem;
    refit->fixed = WALL * refit->charge;
    for (int turn = 0; turn < PAIRS_TURNS; turn++) {
        struct judged now = judge(refit, refit->slack, NULL, NULL, refit->next);
        int count = list_changes(refit, now.energy);
        int chosen[2] = {-1, -1};
        for (int a = 0; a < count; a++) {
            const struct change *first = &refit->change[a];
            struct judged one = judge(refit, refit->slack, take_of(refit, first->was),
                                      take_of(refit, first->to), refit->next);
            if (one.over == 0 && refit->sum + first->rise + one.energy < *best) {
                *best = refit->sum + first->rise + one.energy;
                chosen[0] = a;
                chosen[1] = -1;
            }
            for (int b = a + 1; b < count; b++) {
                const struct change *second = &refit->change[b];
                if (!(first->rise + second->rise < now.energy)) {
                    break; /* they are in order: it would cost more than is left to save */
                }
                struct judged both = judge(refit, refit->next, take_of(refit, second->was),
                                           take_of(refit, second->to), refit->last);
                double sum = refit->sum + first->rise + second->rise + both.energy;
                if (both.over == 0 && sum < *best && first->group != second->group) {
                    *best = sum;
                    chosen[0] = a;
                    chosen[1] = b;
                }
            }
        }
        if (chosen[0] < 0) {
            return;
        }
        for (int i = 0; i < 2 && chosen[i] >= 0; i++) {
            refit->taken[refit->change[chosen[i]].group] = refit->change[chosen[i]].to;
        }
        memcpy(refit->best, refit->taken, (size_t)problem->groups * sizeof(int));
        set_slack(refit);
    }
}

static int by_rise(const void *a, const void *b)
{
    const struct change *x = a;
    const struct change *y = b;
    return x->rise != y->rise ? (x->rise < y->rise ? -1 : 1) : (x->to > y->to) - (x->to < y->to);
}

/* The changes that rise least, of what is taken now, in order. */
static int list_changes(struct refit *refit, double least)
{
    const struct refit_problem *problem = refit->problem;
    int count = 0;
    for (int i = 0; i < refit->orders && count < PAIRS_MOST; i++) {
        int to = refit->order[i];
        int group = refit->group_of[to];
        int was = refit->taken[group];
        to = to == was ? problem->first[group] : to;
        double rise = problem->rise[to] - problem->rise[was];
        if (rise < least) {
            refit->change[count++] = (struct change){group, was, to, rise};
        }
    }
    qsort(refit->change, (size_t)count, sizeof(*refit->change), by_rise);
    return count;
}
