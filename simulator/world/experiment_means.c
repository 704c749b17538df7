/* Means over seeds. */
#include <stdlib.h>
#include <string.h>

#include "simulator/engine/stats.h"
#include "simulator/world/experiment.h"

#define MEANS_MAX 65536

struct means {
    struct arena *arena;
    struct experiment_mean *list;
    struct stats_mean *bills;
    struct stats_mean *scores;
    int count;
    int capacity;
    bool no_memory;
};

static int take(void *context, const struct store_run *run, struct error *err);
static bool grow(struct means *means);
static bool same(const struct store_run *a, const struct store_run *b);
static int compare(const void *a, const void *b);
static double mean_of(double mean, double value, int count);

int experiment_means(struct store *store, struct arena *arena, struct experiment_mean **ret_means,
                     int *ret_count, struct error *err)
{
    struct means means = {.arena = arena};
    int rc = store_runs(store, take, &means, err);
    if (rc == 0 && means.no_memory)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for the means of the runs");
    for (int i = 0; i < means.count && rc == 0; i++) {
        struct experiment_mean *mean = &means.list[i];
        mean->bill = means.bills[i].mean;
        mean->score = means.scores[i].mean;
        if (mean->seeds > 1) {
            mean->bill_half = stats_mean_interval(&means.bills[i], 0.95).half;
            mean->score_half = stats_mean_interval(&means.scores[i], 0.95).half;
        }
    }
    if (rc < 0)
        return rc;
    if (means.count > 1)
        qsort(means.list, (size_t)means.count, sizeof(*means.list), compare);
    *ret_means = means.list;
    *ret_count = means.count;
    return 0;
}

/* Runs come sorted, so that those of one mean follow each other. */
static int take(void *context, const struct store_run *run, struct error *err)
{
    struct means *means = context;
    const struct run_result *result = &run->result;
    (void)err;
    if (means->count == 0 || !same(&means->list[means->count - 1].of, run)) {
        if (!grow(means)) {
            means->no_memory = true;
            return 0;
        }
        means->list[means->count++] = (struct experiment_mean){.of = *run};
    }
    struct experiment_mean *mean = &means->list[means->count - 1];
    int count = ++mean->seeds;
    stats_mean_add(&means->bills[means->count - 1], (double)result->bill / 1e9);
    stats_mean_add(&means->scores[means->count - 1], (double)result->score / 1e9);
    double calls = result->calls > 0 ? (double)result->calls : 1;
    mean->bound = mean_of(mean->bound, (double)result->bound / 1e9, count);
    mean->bound_score = mean_of(mean->bound_score, (double)result->bound_score / 1e9, count);
    mean->ledger = mean_of(mean->ledger, (double)result->ledger / 1e9, count);
    mean->moves = mean_of(mean->moves, (double)result->moves, count);
    mean->slow_ppm = mean_of(mean->slow_ppm, (double)result->slow / calls * 1e6, count);
    mean->lost_ppm = mean_of(mean->lost_ppm, (double)result->lost / calls * 1e6, count);
    mean->rtt_ms = mean_of(mean->rtt_ms, (double)result->rtt_us / 1e3, count);
    mean->down_h = mean_of(mean->down_h, (double)result->down_us / 3.6e9, count);
    return 0;
}

static bool grow(struct means *means)
{
    if (means->count < means->capacity)
        return true;
    int capacity = means->capacity == 0 ? 64 : 2 * means->capacity;
    if (capacity > MEANS_MAX)
        return false;
    struct experiment_mean *list = arena_array(means->arena, (size_t)capacity, sizeof(*list));
    struct stats_mean *bills = arena_array(means->arena, (size_t)capacity, sizeof(*bills));
    struct stats_mean *scores = arena_array(means->arena, (size_t)capacity, sizeof(*scores));
    if (list == NULL || bills == NULL || scores == NULL)
        return false;
    if (means->count > 0) {
        memcpy(list, means->list, (size_t)means->count * sizeof(*list));
        memcpy(bills, means->bills, (size_t)means->count * sizeof(*bills));
        memcpy(scores, means->scores, (size_t)means->count * sizeof(*scores));
    }
    means->list = list;
    means->bills = bills;
    means->scores = scores;
    means->capacity = capacity;
    return true;
}

static bool same(const struct store_run *a, const struct store_run *b)
{
    return str_equal(a->world, b->world) && str_equal(a->apps, b->apps) &&
           str_equal(a->trace, b->trace) && str_equal(a->policy, b->policy) &&
           str_equal(a->scenario, b->scenario);
}

static int compare(const void *a, const void *b)
{
    const struct experiment_mean *one = a;
    const struct experiment_mean *two = b;
    int order = strcmp(one->of.world, two->of.world);
    order = order != 0 ? order : strcmp(one->of.apps, two->of.apps);
    order = order != 0 ? order : strcmp(one->of.trace, two->of.trace);
    if (order == 0 && one->score != two->score)
        order = one->score < two->score ? -1 : 1;
    return order != 0 ? order : strcmp(one->of.policy, two->of.policy);
}

static double mean_of(double mean, double value, int count)
{
    return mean + (value - mean) / count;
}
