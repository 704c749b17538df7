/*
 * An offer of AWS as JSON: all products first, then their terms. Of the products those that count
 * are kept, in an arena, until their terms come; the rest of a file of hundreds of MB passes by.
 */
#include <string.h>

#include "base/str.h"
#include "model/feeds/feed_internal.h"
#include "model/feeds/sku_map.h"

#define KEPT_BYTES ((size_t)512 << 20)

struct product {
    const char *fields[AWS_PRODUCT_FIELDS];
};

struct offers {
    struct arena arena;
    struct sku_map map;
    struct product *products;
    uint32_t count;
    uint32_t capacity;
    bool terms; /* have begun */
    bool dimension;
    char text[AWS_FIELDS][FEED_FIELD_BYTES]; /* of the product or the price being read */
};

static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err);
static int on_product(struct feed *feed, const struct json_scan *scan, enum json_event event,
                      const char *text, struct error *err);
static int keep_product(struct offers *offers, struct error *err);
static int on_term(struct feed *feed, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err);
static int give(struct feed *feed, const struct json_scan *scan, struct error *err);
static void done(struct feed *feed);

const struct feed_kind_row feed_aws_json = {
    .state_bytes = sizeof(struct offers), .on_json = on_json, .done = done};

static int on_json(void *context, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err)
{
    struct feed *feed = context;
    struct offers *offers = feed->state;
    if (offers->arena.bytes_max == 0)
        arena_init(&offers->arena, KEPT_BYTES);
    if (json_key_is(scan, 0, "products")) {
        if (offers->terms)
            return error_set(err, ERR_UNSUPPORTED, 0,
                             "the list has its terms before its products; read its index.csv "
                             "instead");
        feed->known = true;
        return on_product(feed, scan, event, text, err);
    }
    if (json_key_is(scan, 0, "terms")) {
        offers->terms = true;
        return on_term(feed, scan, event, text, err);
    }
    return 0;
}

/* $.products.<SKU>.{sku, productFamily, attributes.<name>} */
static int on_product(struct feed *feed, const struct json_scan *scan, enum json_event event,
                      const char *text, struct error *err)
{
    struct offers *offers = feed->state;
    int depth = json_depth(scan);
    if (event == JSON_OPEN_MAP && depth == 2)
        memset(offers->text, 0, sizeof(offers->text));
    if (event == JSON_CLOSE && depth == 2) {
        feed->counts.offers++;
        return keep_product(offers, err);
    }
    if (event != JSON_TEXT)
        return 0;
    bool attribute = depth == 4 && json_key_is(scan, 2, "attributes");
    if (depth != 3 && !attribute)
        return 0;
    int field = aws_field_of(json_key(scan, depth - 1));
    if (field >= 0 && field < AWS_PRODUCT_FIELDS)
        feed_keep(offers->text[field], text);
    return 0;
}

static int keep_product(struct offers *offers, struct error *err)
{
    const char *fields[AWS_PRODUCT_FIELDS];
    for (int i = 0; i < AWS_PRODUCT_FIELDS; i++)
        fields[i] = offers->text[i];
    if (!aws_counts(fields) || sku_map_find(&offers->map, fields[AWS_SKU]) >= 0)
        return 0;
    if (offers->count == offers->capacity) {
        uint32_t capacity = offers->capacity == 0 ? 256 : offers->capacity * 2;
        struct product *larger = arena_array(&offers->arena, capacity, sizeof(*larger));
        if (larger == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the products of a price list");
        if (offers->count > 0)
            memcpy(larger, offers->products, offers->count * sizeof(*larger));
        offers->products = larger;
        offers->capacity = capacity;
    }
    struct product *product = &offers->products[offers->count];
    for (int i = 0; i < AWS_PRODUCT_FIELDS; i++) {
        product->fields[i] =
            fields[i][0] == 0 ? "" : arena_strndup(&offers->arena, fields[i], strlen(fields[i]));
        if (product->fields[i] == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the products of a price list");
    }
    return sku_map_add(&offers->map, product->fields[AWS_SKU], offers->count++, err);
}

/* $.terms.<Type>.<SKU>.<SKU.TERM>.{effectiveDate, priceDimensions.<RATE>.{unit, beginRange,
 * endRange, pricePerUnit.<CUR>}, termAttributes.{LeaseContractLength, ...}}. What a term is stands
 * after its prices, so that the prices of a reserved one are given at its end: it has one, or two
 * of which one is the sum paid before, and then it is not of "No Upfront". */
static int on_term(struct feed *feed, const struct json_scan *scan, enum json_event event,
                   const char *text, struct error *err)
{
    struct offers *offers = feed->state;
    int depth = json_depth(scan);
    if (depth < 4)
        return 0;
    bool reserved = json_key_is(scan, 1, "Reserved");
    if (event == JSON_OPEN_MAP && depth == 4) {
        memset(offers->text, 0, sizeof(offers->text));
        feed_keep(offers->text[AWS_TERM], json_key(scan, 1));
        return 0;
    }
    bool dimension = json_key_is(scan, 4, "priceDimensions");
    if (event == JSON_CLOSE) {
        bool price_ends = dimension && depth == 6 && !reserved;
        bool term_ends = depth == 4 && reserved;
        if (!price_ends && !term_ends)
            return 0;
        feed->counts.offers++;
        return give(feed, scan, err);
    }
    if (event != JSON_TEXT)
        return 0;
    const char *key = json_key(scan, depth - 1);
    if (dimension && depth == 8 && json_key_is(scan, 6, "pricePerUnit")) {
        feed_keep(offers->text[AWS_CURRENCY], key);
        feed_keep(offers->text[AWS_PRICE], text);
        return 0;
    }
    int field = str_equal(key, "beginRange") ? AWS_BEGIN
                : str_equal(key, "endRange") ? AWS_END
                                             : aws_field_of(key);
    bool here = (dimension && depth == 7) || depth == 5 ||
                (depth == 6 && json_key_is(scan, 4, "termAttributes"));
    if (here && field >= AWS_PRODUCT_FIELDS && field != AWS_TERM)
        feed_keep(offers->text[field], text);
    return 0;
}

static int give(struct feed *feed, const struct json_scan *scan, struct error *err)
{
    struct offers *offers = feed->state;
    int64_t at = sku_map_find(&offers->map, json_key(scan, 2));
    if (at < 0)
        return 0;
    const char *fields[AWS_FIELDS];
    for (int i = 0; i < AWS_FIELDS; i++)
        fields[i] = i < AWS_PRODUCT_FIELDS ? offers->products[at].fields[i] : offers->text[i];
    return aws_give(feed, fields, err);
}

static void done(struct feed *feed)
{
    struct offers *offers = feed->state;
    sku_map_done(&offers->map);
    if (offers->arena.bytes_max > 0)
        arena_done(&offers->arena);
}
