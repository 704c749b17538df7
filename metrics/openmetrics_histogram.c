#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/openmetrics_internal.h"

struct pair {
    double bound;
    double count;
};

static int pair_compare(const void *a, const void *b);

int openmetrics_bucket_add(struct openmetrics_histogram *histogram, const char *le, double count,
                           struct error *err)
{
    const char *at = le;
    double bound = 0;
    if (!text_number(&at, &bound) || *at != 0 || isnan(bound))
        return error_set(err, ERR_INVALID, 0, "a bucket's bound le=\"%.40s\" is no number", le);
    if (!(count >= 0) || isinf(count))
        return error_set(err, ERR_INVALID, 0, "the bucket le=\"%.40s\" counts %g", le, count);
    for (int i = 0; i < histogram->count; i++)
        if (histogram->bounds[i] >= bound && histogram->bounds[i] <= bound)
            return error_set(err, ERR_INVALID, 0, "the bucket le=\"%.40s\" comes twice", le);
    if (histogram->count == LIMIT_HISTOGRAM_BUCKETS)
        return error_set(err, ERR_LIMIT, 0,
                         "more than %d buckets in one histogram (LIMIT_HISTOGRAM_BUCKETS)",
                         LIMIT_HISTOGRAM_BUCKETS);
    histogram->bounds[histogram->count] = bound;
    histogram->counts[histogram->count++] = count;
    return 0;
}

int openmetrics_histogram_finish(struct openmetrics_histogram *histogram, struct error *err)
{
    struct pair pairs[LIMIT_HISTOGRAM_BUCKETS];
    for (int i = 0; i < histogram->count; i++)
        pairs[i] = (struct pair){.bound = histogram->bounds[i], .count = histogram->counts[i]};
    if (histogram->count > 1)
        qsort(pairs, (size_t)histogram->count, sizeof(pairs[0]), pair_compare);
    if (histogram->count <= 0 || !isinf(pairs[histogram->count - 1].bound))
        return error_set(err, ERR_INVALID, 0, "the histogram has no bucket le=\"+Inf\"");
    for (int i = 0; i < histogram->count; i++) {
        if (i > 0 && pairs[i].count < pairs[i - 1].count)
            return error_set(err, ERR_INVALID, 0,
                             "the bucket le=\"%g\" counts %g, less than the one below it: buckets "
                             "are cumulative",
                             pairs[i].bound, pairs[i].count);
        histogram->bounds[i] = pairs[i].bound;
        histogram->counts[i] = pairs[i].count;
    }
    return 0;
}

bool openmetrics_histogram_quantile(const struct openmetrics_histogram *histogram, double q,
                                    double *ret_value)
{
    int last = histogram->count - 1;
    if (last < 0 || !(histogram->counts[last] > 0) || !(q >= 0 && q <= 1))
        return false;
    double rank = q * histogram->counts[last];
    int at = 0;
    while (at < last && histogram->counts[at] < rank)
        at++;
    if (at == last) { /* above every finite bound: as much as is known */
        if (last == 0)
            return false;
        *ret_value = histogram->bounds[last - 1];
        return true;
    }
    double upper = histogram->bounds[at];
    double lower = at > 0 ? histogram->bounds[at - 1] : 0;
    double below = at > 0 ? histogram->counts[at - 1] : 0;
    double inside = histogram->counts[at] - below;
    if (at == 0 && upper <= 0)
        *ret_value = upper;
    else
        *ret_value = inside > 0 ? lower + (upper - lower) * (rank - below) / inside : upper;
    return true;
}

static int pair_compare(const void *a, const void *b)
{
    double x = ((const struct pair *)a)->bound;
    double y = ((const struct pair *)b)->bound;
    return (x > y) - (x < y);
}
