/* A page of Azure's Retail Prices API. */
#include <string.h>

#include "base/str.h"
#include "model/feeds/feed_internal.h"

enum field {
    CURRENCY,
    MINIMUM,
    PRICE,
    REGION,
    EFFECTIVE,
    METER,
    METER_NAME,
    PRODUCT,
    SKU_NAME,
    SERVICE,
    UNIT,
    TYPE,
    PRIMARY,
    SHAPE,
    FIELDS
};
#define PLANS_MAX 4

struct plan { /* what an hour costs under a savings plan of that term */
    char term[FEED_FIELD_BYTES];
    char price[FEED_FIELD_BYTES];
};

struct page {
    char item[FIELDS][FEED_FIELD_BYTES];
    struct plan plans[PLANS_MAX];
};

static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err);
static int give(struct feed *feed, struct error *err);
static int give_shape(struct feed *feed, struct feed_item *item, struct error *err);
static const char *egress_to(const struct page *page);
static bool is_windows(const char *product);
static bool ends_with(const char *text, const char *end);

const struct feed_kind_row feed_azure = {.state_bytes = sizeof(struct page), .on_json = on_json};

static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err)
{
    static const char *const names[FIELDS] = {
        [CURRENCY] = "currencyCode", [MINIMUM] = "tierMinimumUnits",
        [PRICE] = "retailPrice",     [REGION] = "armRegionName",
        [METER] = "meterId",         [EFFECTIVE] = "effectiveStartDate",
        [METER_NAME] = "meterName",  [PRODUCT] = "productName",
        [SKU_NAME] = "skuName",      [SERVICE] = "serviceName",
        [UNIT] = "unitOfMeasure",    [TYPE] = "type",
        [SHAPE] = "armSkuName",      [PRIMARY] = "isPrimaryMeterRegion",
    };
    struct feed *feed = context;
    struct page *page = feed->state;
    int depth = json_depth(scan);
    if (depth == 1 && json_key_is(scan, 0, "NextPageLink") && event == JSON_TEXT)
        return feed_keep_next(feed, "NextPageLink", text, err);
    if (!json_key_is(scan, 0, "Items"))
        return 0;
    feed->known = true;
    if (event == JSON_OPEN_MAP && depth == 2)
        memset(page, 0, sizeof(*page));
    if (event == JSON_CLOSE && depth == 2) {
        feed->counts.offers++;
        return give(feed, err);
    }
    if (event < JSON_TEXT)
        return 0;
    if (depth == 3) {
        for (int i = 0; i < FIELDS; i++)
            if (str_equal(names[i], json_key(scan, 2)))
                feed_keep(page->item[i], text);
    } else if (depth == 5 && json_key_is(scan, 2, "savingsPlan") &&
               json_place(scan, 3) < PLANS_MAX) {
        struct plan *plan = &page->plans[json_place(scan, 3)];
        if (json_key_is(scan, 4, "term"))
            feed_keep(plan->term, text);
        if (json_key_is(scan, 4, "retailPrice"))
            feed_keep(plan->price, text);
    }
    return 0;
}

static int give(struct feed *feed, struct error *err)
{
    struct page *page = feed->state;
    const char *meter = page->item[METER_NAME];
    struct feed_item item = {
        .region = page->item[REGION], .sku = page->item[METER], .effective = page->item[EFFECTIVE]};
    bool machine = str_equal(page->item[SERVICE], "Virtual Machines");
    bool blob = str_equal(page->item[SERVICE], "Storage") &&
                str_equal(meter, "Hot LRS Data Stored") &&
                str_starts(page->item[PRODUCT], "General Block Blob v2") &&
                !ends_with(page->item[PRODUCT], "Hierarchical Namespace");
    const char *to = egress_to(page);
    bool egress = to != NULL;
    /* A reservation's price is of its whole term, whatever its unit says; DevTest is for few. One
     * meter of bytes is shared by the regions of a zone, and primary in a single one of them. */
    if ((!machine && !blob && !egress) || !str_equal(page->item[TYPE], "Consumption") ||
        (!egress && !str_equal(page->item[PRIMARY], "true")))
        return 0;
    int rc = feed_currency(page->item[CURRENCY], page->item[METER], err);
    if (rc == 0)
        rc = feed_price(page->item[PRICE], page->item[METER], &item.price, err);
    if (rc < 0)
        return rc;
    if (machine)
        return give_shape(feed, &item, err);
    item.kind = blob ? FEED_STORAGE : FEED_EGRESS;
    int64_t minimum = 0;
    if (!feed_units(page->item[MINIMUM], &minimum))
        item.problem = "its tierMinimumUnits is no whole number";
    if (blob && minimum > 0)
        return 0; /* storage is kept at its first step */
    if (!str_equal(page->item[UNIT], blob ? "1 GB/Month" : "1 GB"))
        item.problem = blob ? "its unit is not 1 GB/Month" : "its unit is not 1 GB";
    if (egress) {
        item.to = to;
        item.per_bytes = FEED_AZURE_GB_BYTES;
        item.tier_from = minimum;
        item.tier_up_to = -1;
    }
    return feed_give(feed, &item, err);
}

static int give_shape(struct feed *feed, struct feed_item *item, struct error *err)
{
    struct page *page = feed->state;
    item->kind = FEED_SHAPE;
    if (ends_with(page->item[SKU_NAME], " Low Priority") || is_windows(page->item[PRODUCT]) ||
        !feed_shape_azure(page->item[SHAPE], &item->mcpu, &item->memory_bytes))
        return 0;
    if (!str_equal(page->item[UNIT], "1 Hour"))
        item->problem = "its unit is not 1 Hour";
    item->term = ends_with(page->item[SKU_NAME], " Spot") ? FEED_SPOT : FEED_ON_DEMAND;
    int rc = feed_give(feed, item, err);
    for (int i = 0; rc == 0 && i < PLANS_MAX && item->term != FEED_SPOT; i++) {
        bool one = str_equal(page->plans[i].term, "1 Year");
        if (!one && !str_equal(page->plans[i].term, "3 Years"))
            continue;
        struct feed_item plan = *item;
        plan.term = one ? FEED_ONE_YEAR : FEED_THREE_YEARS;
        plan.region = page->item[REGION];
        rc = feed_price(page->plans[i].price, item->sku, &plan.price, err);
        if (rc == 0)
            rc = feed_give(feed, &plan, err);
    }
    return rc;
}

/* Where a meter's bytes go, or NULL: "Standard Data Transfer Out", "Intra Continent Data Transfer
 * Out", "Inter Continent Data Transfer Out - NAM or EU To Any". Hyphens come and go. */
static const char *egress_to(const struct page *page)
{
    static const char prefix[] = "Standard ";
    char meter[FEED_FIELD_BYTES];
    size_t bytes = strlen(page->item[METER_NAME]);
    if (!str_equal(page->item[SERVICE], "Bandwidth") ||
        strstr(page->item[PRODUCT], "Routing Preference: Internet") != NULL)
        return NULL;
    for (size_t i = 0; i <= bytes; i++)
        meter[i] = page->item[METER_NAME][i] == '-' ? ' ' : page->item[METER_NAME][i];
    if (str_equal(meter, "Standard Data Transfer Out"))
        return "internet";
    const char *at = str_starts(meter, prefix) ? meter + sizeof(prefix) - 1 : meter;
    return str_starts(at, "Intra Continent Data Transfer Out")   ? "continent"
           : str_starts(at, "Inter Continent Data Transfer Out") ? "region"
                                                                 : NULL;
}

static bool is_windows(const char *product)
{
    return strstr(product, " Windows") != NULL || ends_with(product, " Win") ||
           strstr(product, "CloudServices") != NULL || strstr(product, "Cloud Services") != NULL;
}

static bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text);
    size_t tail = strlen(end);
    return bytes >= tail && str_equal(text + bytes - tail, end);
}
