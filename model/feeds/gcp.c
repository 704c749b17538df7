/* A page of the SKUs of Google's Cloud Billing Catalog, v1. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "model/feeds/feed_internal.h"

#define REGIONS_MAX    64
#define NANOS_PER_UNIT INT64_C(1000000000)

enum field { SKU, DESCRIPTION, GROUP, USAGE, EFFECTIVE, UNIT, FIELDS };

struct step {
    char from[FEED_FIELD_BYTES];
    char currency[FEED_FIELD_BYTES];
    int64_t units;
    int64_t nanos;
    bool wrong; /* units or nanos is no whole number */
};

struct page {
    char item[FIELDS][FEED_FIELD_BYTES];
    char regions[REGIONS_MAX][LIMIT_NAME_BYTES];
    int region_count;
    struct step steps[LIMIT_TIERS];
    int step_count;           /* may be more than there is room for */
    bool price;               /* pricingInfo[0] was there */
    char to[LIMIT_REF_BYTES]; /* of the item: what `to` points to */
};

static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err);
static void on_price(struct page *page, const struct json_scan *scan, const char *text);
static int give(struct feed *feed, struct error *err);
static int give_places(struct feed *feed, struct error *err);
static bool classify(const struct feed *feed, struct page *page, struct feed_item *item,
                     const char **ret_unit);
static bool classify_machine(const struct feed *feed, const struct page *page,
                             struct feed_item *item);
static bool classify_egress(const struct page *page, struct feed_item *item);
static bool classify_region(struct page *page, struct feed_item *item);
static bool place_of(const char *words, char out[LIMIT_REF_BYTES]);
static int price_of(const struct step *step, const char *sku, struct decimal *ret_price,
                    struct error *err);

const struct feed_kind_row feed_gcp = {.state_bytes = sizeof(struct page), .on_json = on_json};

static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err)
{
    static const char *const names[] = {[SKU] = "skuId", [DESCRIPTION] = "description"};
    struct feed *feed = context;
    struct page *page = feed->state;
    int depth = json_depth(scan);
    if (depth == 1 && json_key_is(scan, 0, "nextPageToken") && event == JSON_TEXT) {
        feed->known = true; /* a page may have no SKU */
        return feed_keep_next(feed, "nextPageToken", text, err);
    }
    if (!json_key_is(scan, 0, "skus"))
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
    for (int i = 0; depth == 3 && i < 2; i++)
        if (json_key_is(scan, 2, names[i]))
            feed_keep(page->item[i], text);
    if (depth == 4 && json_key_is(scan, 2, "category")) {
        if (json_key_is(scan, 3, "resourceGroup"))
            feed_keep(page->item[GROUP], text);
        if (json_key_is(scan, 3, "usageType"))
            feed_keep(page->item[USAGE], text);
    }
    if (depth == 4 && json_key_is(scan, 2, "serviceRegions") && page->region_count < REGIONS_MAX &&
        str_copy(page->regions[page->region_count], LIMIT_NAME_BYTES, text) == 0)
        page->region_count++;
    if (json_key_is(scan, 2, "pricingInfo") && json_place(scan, 3) == 0)
        on_price(page, scan, text);
    return 0;
}

/* $.skus[i].pricingInfo[0].{effectiveTime, pricingExpression.{usageUnit,
 * tieredRates[k].{startUsageAmount, unitPrice.{currencyCode, units, nanos}}}} */
static void on_price(struct page *page, const struct json_scan *scan, const char *text)
{
    int depth = json_depth(scan);
    page->price = true;
    if (depth == 5 && json_key_is(scan, 4, "effectiveTime"))
        feed_keep(page->item[EFFECTIVE], text);
    if (!json_key_is(scan, 4, "pricingExpression"))
        return;
    if (depth == 6 && json_key_is(scan, 5, "usageUnit"))
        feed_keep(page->item[UNIT], text);
    if (depth < 8 || !json_key_is(scan, 5, "tieredRates"))
        return;
    int64_t at = json_place(scan, 6);
    if (at >= page->step_count)
        page->step_count = (int)at + 1;
    if (at >= LIMIT_TIERS)
        return;
    struct step *step = &page->steps[at];
    if (depth == 8 && json_key_is(scan, 7, "startUsageAmount"))
        feed_keep(step->from, text);
    if (depth != 9 || !json_key_is(scan, 7, "unitPrice"))
        return;
    if (json_key_is(scan, 8, "currencyCode"))
        feed_keep(step->currency, text);
    if (json_key_is(scan, 8, "units") && str_to_i64(text, &step->units) < 0)
        step->wrong = true;
    if (json_key_is(scan, 8, "nanos") && str_to_i64(text, &step->nanos) < 0)
        step->wrong = true;
}

static int give(struct feed *feed, struct error *err)
{
    struct page *page = feed->state;
    const char *unit = "";
    struct feed_item item = {.sku = page->item[SKU], .effective = page->item[EFFECTIVE]};
    if (!classify(feed, page, &item, &unit) || !page->price)
        return 0;
    if (page->step_count == 0)
        item.problem = "it has no price";
    else if (page->step_count > LIMIT_TIERS)
        item.problem = "it has more than 16 steps (LIMIT_TIERS)";
    else if (!str_equal(page->item[UNIT], unit))
        item.problem = item.kind == FEED_STORAGE  ? "its unit is not GiBy.mo"
                       : item.kind == FEED_EGRESS ? "its unit is not GiBy"
                       : item.kind == FEED_MEMORY ? "its unit is not GiBy.h"
                                                  : "its unit is not h";
    int count = item.kind == FEED_EGRESS ? page->step_count : 1;
    int rc = give_places(feed, err);
    for (int i = 0; rc == 0 && i < count && i < LIMIT_TIERS; i++) {
        const struct step *step = &page->steps[i];
        if (page->step_count > 0) {
            rc = feed_currency(step->currency, item.sku, err);
            if (rc == 0)
                rc = price_of(step, item.sku, &item.price, err);
        }
        if (rc == 0 && item.kind == FEED_EGRESS &&
            !feed_units(step->from[0] == 0 ? "0" : step->from, &item.tier_from))
            item.problem = "the beginning of a step is no whole number";
        item.tier_up_to = -1;
        for (int k = 0; rc == 0 && k < page->region_count; k++) {
            item.region = page->regions[k];
            rc = feed_give(feed, &item, err);
        }
    }
    return rc;
}

/* "E2 Instance Core running in Netherlands" of europe-west4: so its region is called where bytes
 * go. Regions that are sold alike share a name: "Americas" is Iowa, South Carolina, Oregon. */
static int give_places(struct feed *feed, struct error *err)
{
    static const char words[] = " Instance Core running in ";
    struct page *page = feed->state;
    char to[LIMIT_REF_BYTES];
    const char *at = strstr(page->item[DESCRIPTION], words);
    if (!str_equal(page->item[USAGE], "OnDemand") || at == NULL ||
        !place_of(at + sizeof(words) - 1, to))
        return 0;
    int rc = 0;
    for (int i = 0; rc == 0 && i < page->region_count; i++) {
        struct feed_item item = {
            .kind = FEED_PLACE, .region = page->regions[i], .sku = page->item[SKU], .to = to};
        rc = feed_give(feed, &item, err);
    }
    return rc;
}

static bool classify(const struct feed *feed, struct page *page, struct feed_item *item,
                     const char **ret_unit)
{
    const char *group = page->item[GROUP];
    if (str_equal(group, "InterregionEgress")) {
        *ret_unit = "GiBy";
        return classify_region(page, item);
    }
    if (str_equal(group, "PremiumInternetEgress")) {
        *ret_unit = "GiBy";
        return classify_egress(page, item);
    }
    if (str_equal(group, "PDStandard") || str_equal(group, "SSD")) {
        item->kind = FEED_STORAGE;
        *ret_unit = "GiBy.mo";
        return str_equal(page->item[USAGE], "OnDemand") &&
               str_starts(page->item[DESCRIPTION], "Balanced PD Capacity");
    }
    if (!classify_machine(feed, page, item))
        return false;
    *ret_unit = item->kind == FEED_CPU ? "h" : "GiBy.h";
    return true;
}

/* "E2 Instance Core running in Americas", "Spot Preemptible E2 Instance Ram running in ...",
 * "Commitment v1: E2 Cpu in Americas for 1 Year". */
static bool classify_machine(const struct feed *feed, const struct page *page,
                             struct feed_item *item)
{
    static const char *const usages[FEED_TERMS] = {"OnDemand", "Preemptible", "Commit1Yr",
                                                   "Commit3Yr"};
    static const char *const starts[FEED_TERMS] = {"", "Spot Preemptible ",
                                                   "Commitment v1: ", "Commitment v1: "};
    const char *family = feed->options.family == NULL ? "E2" : feed->options.family;
    int term = 0;
    while (term < FEED_TERMS && !str_equal(usages[term], page->item[USAGE]))
        term++;
    if (term == FEED_TERMS || !str_starts(page->item[DESCRIPTION], starts[term]))
        return false;
    const char *at = page->item[DESCRIPTION] + strlen(starts[term]);
    if (!str_starts(at, family))
        return false;
    at += strlen(family);
    bool commitment = term == FEED_ONE_YEAR || term == FEED_THREE_YEARS;
    item->term = (enum feed_term)term;
    if (str_starts(at, commitment ? " Cpu in " : " Instance Core running in "))
        item->kind = FEED_CPU;
    else if (str_starts(at, commitment ? " Ram in " : " Instance Ram running in "))
        item->kind = FEED_MEMORY;
    else
        return false;
    return true;
}

/* The wording changed from "Egress" to "Data Transfer Out". */
static bool classify_egress(const struct page *page, struct feed_item *item)
{
    static const struct {
        const char *words;
        const char *to;
    } places[] = {
        {"Americas", "americas"},  {"EMEA", "emea"},   {"APAC", "apac"},
        {"Australia", "oceania"},  {"China", "china"}, {"Worldwide Destinations", "internet"},
        {"Worldwide", "internet"},
    };
    const char *at = strstr(page->item[DESCRIPTION], " to ");
    bool internet = strstr(page->item[DESCRIPTION], "Internet Data Transfer Out") != NULL ||
                    strstr(page->item[DESCRIPTION], "Internet Egress") != NULL;
    if (!internet || at == NULL || !str_equal(page->item[USAGE], "OnDemand"))
        return false;
    item->kind = FEED_EGRESS;
    item->per_bytes = FEED_GCP_GIBY_BYTES;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        size_t bytes = strlen(places[i].words);
        if (str_starts(at + 4, places[i].words) && (at[4 + bytes] == 0 || at[4 + bytes] == ' ')) {
            item->to = places[i].to;
            return true;
        }
    }
    return false;
}

/* "Network Inter Region Data Transfer Out from Americas to Netherlands", or with "Egress". */
static bool classify_region(struct page *page, struct feed_item *item)
{
    static const char *const starts[] = {"Network Inter Region Data Transfer Out from ",
                                         "Network Inter Region Egress from "};
    char place[LIMIT_REF_BYTES];
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        if (!str_starts(page->item[DESCRIPTION], starts[i]))
            continue;
        const char *at = strstr(page->item[DESCRIPTION] + strlen(starts[i]), " to ");
        if (at == NULL || !str_equal(page->item[USAGE], "OnDemand") || !place_of(at + 4, place))
            return false;
        item->kind = FEED_EGRESS;
        item->per_bytes = FEED_GCP_GIBY_BYTES;
        str_format(page->to, sizeof(page->to), FEED_CALLED "%.120s", place);
        item->to = page->to;
        return true;
    }
    return false;
}

/* In lower case; false for what is too long to be a place. */
static bool place_of(const char *words, char out[LIMIT_REF_BYTES])
{
    size_t bytes = strlen(words);
    if (bytes == 0 || bytes > 120)
        return false;
    for (size_t i = 0; i <= bytes; i++)
        out[i] = (char)tolower((unsigned char)words[i]);
    return true;
}

/* units + nanos / 10^9, both of one sign. */
static int price_of(const struct step *step, const char *sku, struct decimal *ret_price,
                    struct error *err)
{
    int64_t value = 0;
    if (step->wrong || step->nanos <= -NANOS_PER_UNIT || step->nanos >= NANOS_PER_UNIT ||
        (step->units > 0 && step->nanos < 0) || (step->units < 0 && step->nanos > 0) ||
        __builtin_mul_overflow(step->units, NANOS_PER_UNIT, &value) ||
        __builtin_add_overflow(value, step->nanos, &value))
        return error_set(err, ERR_INVALID, 0,
                         "offer %.80s: units %" PRId64 " and nanos %" PRId64
                         " are no price: both have one sign, and nanos are below 10^9",
                         sku, step->units, step->nanos);
    *ret_price = decimal_normal((struct decimal){value, 9});
    return 0;
}
