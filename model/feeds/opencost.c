/* OpenCost's custom prices: one flat price of each kind, for the place that the caller names. */
#include <string.h>

#include "base/str.h"
#include "model/feeds/feed_internal.h"

struct custom {
    bool any;
};

static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err);

const struct feed_kind_row feed_opencost = {.state_bytes = sizeof(struct custom),
                                            .on_json = on_json};

static const struct meter {
    const char *name;
    enum feed_kind kind;
    enum feed_term term;
    const char *to;
} meters[] = {
    {"CPU", FEED_CPU, FEED_ON_DEMAND, ""},
    {"spotCPU", FEED_CPU, FEED_SPOT, ""},
    {"RAM", FEED_MEMORY, FEED_ON_DEMAND, ""},
    {"spotRAM", FEED_MEMORY, FEED_SPOT, ""},
    {"storage", FEED_STORAGE, FEED_ON_DEMAND, ""},
    {"zoneNetworkEgress", FEED_EGRESS, FEED_ON_DEMAND, "zone"},
    {"regionNetworkEgress", FEED_EGRESS, FEED_ON_DEMAND, "region"},
    {"internetNetworkEgress", FEED_EGRESS, FEED_ON_DEMAND, "internet"},
};

static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err)
{
    struct feed *feed = context;
    if (json_depth(scan) != 1 || (event != JSON_TEXT && event != JSON_NUMBER) ||
        json_key(scan, 0)[0] == 0)
        return 0;
    const struct meter *meter = NULL;
    for (size_t i = 0; i < sizeof(meters) / sizeof(meters[0]) && meter == NULL; i++)
        if (json_key_is(scan, 0, meters[i].name))
            meter = &meters[i];
    if (meter == NULL || text[0] == 0)
        return 0;
    feed->known = true;
    feed->counts.offers++;
    struct feed_item item = {.kind = meter->kind,
                             .term = meter->term,
                             .region = feed->options.region == NULL ? "" : feed->options.region,
                             .sku = meter->name,
                             .to = meter->to,
                             .tier_up_to = FEED_TIER_ENDLESS,
                             .per_bytes = FEED_OPENCOST_BYTES};
    int rc = feed_price(text, meter->name, &item.price, err);
    if (rc < 0)
        return rc;
    /* An hour's price of a GiB; Berth's is a month's. */
    if (item.kind == FEED_STORAGE &&
        __builtin_mul_overflow(item.price.coefficient, FEED_HOURS_PER_MONTH,
                               &item.price.coefficient))
        return error_set(err, ERR_OVERFLOW, 0, "storage: \"%.40s\" is no price of a GiB-hour",
                         text);
    item.price = decimal_normal(item.price);
    return feed_give(feed, &item, err);
}
