/* The preference to stay: what every other site or variant of a part scores more, so that small
 * savings move nothing. */
#include "model/cost_internal.h"

static nusd stay_of(const struct cost_context *context, int part, nusd own);
static nusd own_score(const struct cost_context *context, int part);
static nusd link_score(const struct cost_context *context, int index);
static nusd uses_score(const struct cost_context *context, const struct problem_use *uses);

nusd cost_stay(const struct cost_context *context, int part)
{
    return context->parts[part].now.site < 0 ? 0 : stay_of(context, part, own_score(context, part));
}

void cost_stays(const struct cost_context *context, int app, nusd *stay)
{
    const int *base = &context->lookup.base[app];
    int link_first = context->link_base[app];
    int link_end = link_first + context->input->apps[app].app->link_count;
    for (int part = base[0]; part < base[1]; part++) {
        struct cost_sink sink = {0};
        if (context->parts[part].now.site >= 0) {
            cost_terms_unary(context, part, &context->parts[part].now, &sink);
        }
        stay[part] = sink.total.score;
    }
    for (int i = link_first; i < link_end; i++) {
        const struct cost_link_info *link = &context->links[i];
        nusd score = link_score(context, i);
        stay[link->to_part] += score;
        if (link->from_part >= 0 && link->from_part != link->to_part) {
            stay[link->from_part] += score;
        }
    }
    for (int part = base[0]; part < base[1]; part++) {
        stay[part] = stay_of(context, part, stay[part]);
    }
}

static nusd stay_of(const struct cost_context *context, int part, nusd own)
{
    const struct policy *policy = &context->world->policy;
    nusd ratio = 0;
    if (context->parts[part].now.site < 0) {
        return 0;
    }
    if (money_scale(own, policy->saving_min_ppm, PPM, &ratio) < 0) {
        ratio = 0;
    }
    return ratio > policy->saving_min ? ratio : policy->saving_min;
}

/* What the part scores where everything is now: its own terms and its links to what is placed.
 * Egress counts at the price that the month has reached: this is only the measure of "small". */
static nusd own_score(const struct cost_context *context, int part)
{
    struct cost_sink sink = {0};
    nusd score = 0;
    int base = context->link_base[context->parts[part].app];
    cost_terms_unary(context, part, &context->parts[part].now, &sink);
    for (int i = 0; i < context->parts[part].owner->link_count; i++) {
        const struct cost_link_info *link = &context->links[base + i];
        if (link->to_part == part || link->from_part == part) {
            score += link_score(context, base + i);
        }
    }
    return sink.total.score + score;
}

/* Of a link between where its ends are now; 0 where one is nowhere. */
static nusd link_score(const struct cost_context *context, int index)
{
    const struct cost_link_info *link = &context->links[index];
    const struct cost_spot *to = &context->parts[link->to_part].now;
    const struct cost_spot *from =
        link->from_part < 0 ? NULL : &context->parts[link->from_part].now;
    struct problem_use uses[COST_LINK_USES];
    struct cost_sink sink = {0};
    if (to->site < 0 || (from != NULL && from->site < 0)) {
        return 0;
    }
    cost_terms_link(context, index, from, to, &sink);
    bool counted = cost_link_uses(context, index, from, to, uses, NULL) == 0;
    return sink.total.score + (counted ? uses_score(context, uses) : 0);
}

static nusd uses_score(const struct cost_context *context, const struct problem_use *uses)
{
    nusd sum = 0;
    for (int k = 0; k < COST_LINK_USES; k++) {
        if (uses[k].meter >= 0) {
            sum += meter_charge(&context->meters[uses[k].meter], uses[k].bytes);
        }
    }
    return sum;
}
