/*
 * Compute Savings Plans of one region: what an hour of a type costs under one. The file does not
 * say what a type has: its name does (feed_shape_aws).
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/feeds/feed_internal.h"

enum field { USAGE, OPERATION, SERVICE, UNIT, PRICE, CURRENCY, REGION, FIELDS };

struct savings {
    int64_t duration;
    bool years;
    bool no_upfront;
    char sku[FEED_FIELD_BYTES];
    char rate[FIELDS][FEED_FIELD_BYTES];
};

static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err);
static void on_plan(struct savings *savings, const struct json_scan *scan, enum json_event event,
                    const char *text);
static int give(struct feed *feed, struct error *err);

const struct feed_kind_row feed_aws_savings = {.state_bytes = sizeof(struct savings),
                                               .on_json = on_json};

/* $.terms.savingsPlan[i].{sku, description, leaseContractLength.{duration, unit},
 * rates[j].{discountedUsageType, ..., discountedRate.{price, currency}}} */
static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err)
{
    static const char *const names[FIELDS] = {
        [USAGE] = "discountedUsageType",
        [OPERATION] = "discountedOperation",
        [SERVICE] = "discountedServiceCode",
        [UNIT] = "unit",
        [PRICE] = "price",
        [CURRENCY] = "currency",
        [REGION] = "discountedRegionCode",
    };
    struct feed *feed = context;
    struct savings *savings = feed->state;
    int depth = json_depth(scan);
    if (!json_key_is(scan, 0, "terms") || !json_key_is(scan, 1, "savingsPlan"))
        return 0;
    feed->known = true;
    if (!json_key_is(scan, 3, "rates")) {
        on_plan(savings, scan, event, text);
        return 0;
    }
    if (event == JSON_OPEN_MAP && depth == 5)
        memset(savings->rate, 0, sizeof(savings->rate));
    if (event == JSON_CLOSE && depth == 5) {
        feed->counts.offers++;
        return give(feed, err);
    }
    bool nested = depth == 7 && json_key_is(scan, 5, "discountedRate");
    if (event == JSON_TEXT && (depth == 6 || nested))
        for (int i = 0; i < FIELDS; i++)
            if (str_equal(names[i], json_key(scan, depth - 1)))
                feed_keep(savings->rate[i], text);
    (void)err;
    return 0;
}

static void on_plan(struct savings *savings, const struct json_scan *scan, enum json_event event,
                    const char *text)
{
    int depth = json_depth(scan);
    if (event == JSON_OPEN_MAP && depth == 3) {
        memset(savings, 0, sizeof(*savings));
        return;
    }
    if (depth == 4 && json_key_is(scan, 3, "sku"))
        feed_keep(savings->sku, text);
    if (depth == 4 && json_key_is(scan, 3, "description"))
        savings->no_upfront = strstr(text, "No Upfront") != NULL;
    if (depth == 5 && json_key_is(scan, 3, "leaseContractLength")) {
        if (json_key_is(scan, 4, "duration") && str_to_i64(text, &savings->duration) < 0)
            savings->duration = 0;
        if (json_key_is(scan, 4, "unit"))
            savings->years = str_equal(text, "year");
    }
}

static int give(struct feed *feed, struct error *err)
{
    struct savings *savings = feed->state;
    /* "USE2-BoxUsage:m5.xlarge": without "BoxUsage:" it is of a dedicated host, or reserved. */
    static const char usage[] = "BoxUsage:";
    char sku[FEED_FIELD_BYTES * 2 + 2];
    const char *box = strstr(savings->rate[USAGE], usage);
    struct feed_item item = {.kind = FEED_SHAPE,
                             .term = savings->duration == 3 ? FEED_THREE_YEARS : FEED_ONE_YEAR,
                             .region = savings->rate[REGION]};
    if (box == NULL || !savings->no_upfront || !savings->years ||
        (savings->duration != 1 && savings->duration != 3) ||
        !str_equal(savings->rate[SERVICE], "AmazonEC2") ||
        !str_equal(savings->rate[OPERATION], "RunInstances") || /* ":0002" is Windows */
        !feed_shape_aws(box + sizeof(usage) - 1, &item.mcpu, &item.memory_bytes))
        return 0;
    str_format(sku, sizeof(sku), "%s/%s", savings->sku, box + sizeof(usage) - 1);
    item.sku = sku;
    int rc = feed_currency(savings->rate[CURRENCY], sku, err);
    if (rc == 0)
        rc = feed_price(savings->rate[PRICE], sku, &item.price, err);
    if (rc == 0 && !str_equal(savings->rate[UNIT], "Hrs"))
        item.problem = "its unit is not Hrs";
    return rc < 0 ? rc : feed_give(feed, &item, err);
}
