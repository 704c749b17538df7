#include "simulator/whatif/attribute.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/cost_view.h"

static int share_one(const struct cost_input *input, const struct cost_view *view, int first,
                     int end, const struct share_options *options, struct arena *arena,
                     struct attribute_meter *meter, struct error *err);
static int add_up(const struct cost_input *input, struct attribute *attribute, struct arena *arena,
                  struct error *err);
static int by_share(const void *a, const void *b);

int attribute_egress(const struct cost_input *input, const struct placement *at,
                     const struct share_options *options, struct arena *arena,
                     struct attribute *ret_attribute, struct error *err)
{
    struct attribute attribute = {.meter_count = 0};
    struct cost_view view;
    int rc = cost_view(input, at, arena, &view, err);
    if (rc < 0)
        return rc;
    attribute.meters =
        arena_array(arena, (size_t)view.volume_count + 1, sizeof(struct attribute_meter));
    if (attribute.meters == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for shares of egress");
    for (int first = 0, end = 0; first < view.volume_count && rc == 0; first = end) {
        while (end < view.volume_count &&
               view.volumes[end].account == view.volumes[first].account &&
               view.volumes[end].rule == view.volumes[first].rule)
            end++;
        rc = share_one(input, &view, first, end, options, arena,
                       &attribute.meters[attribute.meter_count++], err);
    }
    if (rc == 0)
        rc = add_up(input, &attribute, arena, err);
    if (rc == 0)
        *ret_attribute = attribute;
    return rc;
}

static int share_one(const struct cost_input *input, const struct cost_view *view, int first,
                     int end, const struct share_options *options, struct arena *arena,
                     struct attribute_meter *meter, struct error *err)
{
    const struct cost_volume *volume = &view->volumes[first];
    const struct egress_rule *rule = &input->world->egress[volume->rule];
    size_t count = (size_t)(end - first);
    int64_t *bytes = arena_array(arena, count, sizeof(int64_t));
    struct share *shares = arena_array(arena, count, sizeof(struct share));
    *meter = (struct attribute_meter){.account = volume->account, .rule = volume->rule};
    meter->shares = arena_array(arena, count, sizeof(struct attribute_share));
    if (bytes == NULL || shares == NULL || meter->shares == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for shares of egress");
    for (size_t i = 0; i < count; i++)
        bytes[i] = volume[i].bytes;
    struct share_meter what = {
        .tiers = rule->tiers,
        .tier_count = rule->tier_count,
        .per_bytes = rule->per_bytes,
        .base_bytes = view->base_bytes[volume->account * input->world->egress_count + volume->rule],
        .bytes = bytes,
        .app_count = (int)count,
    };
    int rc = share_meter(&what, options, arena, shares, &meter->total, &meter->exact, err);
    for (size_t i = 0; i < count && rc == 0; i++)
        meter->shares[meter->share_count++] =
            (struct attribute_share){volume[i].app, bytes[i], shares[i]};
    qsort(meter->shares, (size_t)meter->share_count, sizeof(struct attribute_share), by_share);
    return rc;
}

/* Shares of several meters add up; their errors do so in squares. */
static int add_up(const struct cost_input *input, struct attribute *attribute, struct arena *arena,
                  struct error *err)
{
    size_t apps = (size_t)input->app_count + 1;
    struct attribute_share *sums = arena_array(arena, apps, sizeof(*sums));
    double *squares = arena_array(arena, apps, sizeof(*squares));
    if (sums == NULL || squares == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for shares of egress");
    attribute->all = (struct attribute_meter){.account = -1, .rule = -1, .exact = true};
    for (int i = 0; i < attribute->meter_count; i++) {
        const struct attribute_meter *meter = &attribute->meters[i];
        attribute->all.total += meter->total;
        attribute->all.exact = attribute->all.exact && meter->exact;
        for (int k = 0; k < meter->share_count; k++) {
            const struct attribute_share *from = &meter->shares[k];
            struct attribute_share *to = &sums[from->app];
            if (__builtin_add_overflow(to->bytes, from->bytes, &to->bytes))
                to->bytes = INT64_MAX;
            to->share.marginal += from->share.marginal;
            to->share.proportional += from->share.proportional;
            to->share.shapley += from->share.shapley;
            squares[from->app] += (double)from->share.spread * (double)from->share.spread;
        }
    }
    attribute->all.shares = arena_array(arena, apps, sizeof(struct attribute_share));
    if (attribute->all.shares == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for shares of egress");
    for (int app = 0; app < input->app_count; app++) {
        if (sums[app].bytes == 0)
            continue;
        sums[app].app = app;
        sums[app].share.spread = (nusd)ceil(sqrt(squares[app]));
        attribute->all.shares[attribute->all.share_count++] = sums[app];
    }
    qsort(attribute->all.shares, (size_t)attribute->all.share_count, sizeof(struct attribute_share),
          by_share);
    return 0;
}

static int by_share(const void *a, const void *b)
{
    const struct attribute_share *x = a;
    const struct attribute_share *y = b;
    if (x->share.shapley != y->share.shapley)
        return x->share.shapley > y->share.shapley ? -1 : 1;
    return (x->app > y->app) - (x->app < y->app);
}
