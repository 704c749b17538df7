/* One priced offer of AWS, whatever the file it came in. */
#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "model/feeds/feed_internal.h"

/* Letters and digits alone: a table's "Pre Installed S/W" is JSON's "preInstalledSw". */
static const char *const names[AWS_FIELDS] = {
    [AWS_SKU] = "sku",
    [AWS_FAMILY] = "productfamily",
    [AWS_TYPE] = "instancetype",
    [AWS_TYPE_FAMILY] = "instancefamily",
    [AWS_VCPU] = "vcpu",
    [AWS_MEMORY] = "memory",
    [AWS_GPU] = "gpu",
    [AWS_OS] = "operatingsystem",
    [AWS_SOFTWARE] = "preinstalledsw",
    [AWS_CAPACITY] = "capacitystatus",
    [AWS_TENANCY] = "tenancy",
    [AWS_MARKET] = "marketoption",
    [AWS_VOLUME] = "volumeapiname",
    [AWS_REGION] = "regioncode",
    [AWS_FROM] = "fromregioncode",
    [AWS_TO] = "toregioncode",
    [AWS_FROM_LOCATION] = "fromlocation",
    [AWS_TO_LOCATION] = "tolocation",
    [AWS_TRANSFER] = "transfertype",
    [AWS_TERM] = "termtype",
    [AWS_LEASE] = "leasecontractlength",
    [AWS_PURCHASE] = "purchaseoption",
    [AWS_CLASS] = "offeringclass",
    [AWS_UNIT] = "unit",
    [AWS_PRICE] = "priceperunit",
    [AWS_CURRENCY] = "currency",
    [AWS_BEGIN] = "startingrange",
    [AWS_END] = "endingrange",
    [AWS_EFFECTIVE] = "effectivedate",
};

static bool is_shape(const char *const fields[AWS_PRODUCT_FIELDS]);
static bool is_storage(const char *const fields[AWS_PRODUCT_FIELDS]);
static bool is_transfer(const char *const fields[AWS_PRODUCT_FIELDS]);
static bool term_of(const char *const fields[AWS_FIELDS], enum feed_term *ret_term);
static int give_transfer(struct feed *feed, const char *const fields[AWS_FIELDS],
                         struct feed_item *item, struct error *err);

int aws_field_of(const char *name)
{
    char plain[32];
    size_t bytes = 0;
    for (; *name != 0; name++) {
        if (!isalnum((unsigned char)*name))
            continue;
        if (bytes + 1 >= sizeof(plain))
            return -1;
        plain[bytes++] = (char)tolower((unsigned char)*name);
    }
    plain[bytes] = 0;
    for (int i = 0; i < AWS_FIELDS; i++)
        if (str_equal(names[i], plain))
            return i;
    return -1;
}

bool aws_counts(const char *const fields[AWS_PRODUCT_FIELDS])
{
    return is_shape(fields) || is_storage(fields) || is_transfer(fields);
}

int aws_give(struct feed *feed, const char *const fields[AWS_FIELDS], struct error *err)
{
    enum feed_term term;
    bool shape = is_shape(fields);
    bool storage = !shape && is_storage(fields);
    if (!shape && !storage && !is_transfer(fields))
        return 0;
    if (!term_of(fields, &term) || (!shape && term != FEED_ON_DEMAND))
        return 0;
    struct feed_item item = {.term = term,
                             .region = fields[AWS_REGION],
                             .sku = fields[AWS_SKU],
                             .effective = fields[AWS_EFFECTIVE]};
    int rc = feed_currency(fields[AWS_CURRENCY], fields[AWS_SKU], err);
    if (rc == 0)
        rc = feed_price(fields[AWS_PRICE], fields[AWS_SKU], &item.price, err);
    if (rc < 0)
        return rc;
    if (!shape && !storage)
        return give_transfer(feed, fields, &item, err);
    const char *unit = fields[AWS_UNIT];
    item.kind = shape ? FEED_SHAPE : FEED_STORAGE;
    if (shape && (!feed_vcpu(fields[AWS_VCPU], &item.mcpu) ||
                  !feed_gib(fields[AWS_MEMORY], &item.memory_bytes)))
        return 0;
    if (shape && !str_equal(unit, "Hrs") && !str_equal(unit, "Hours"))
        item.problem = "its unit is not Hrs";
    if (storage && !str_equal(unit, "GB-Mo"))
        item.problem = "its unit is not GB-Mo";
    return feed_give(feed, &item, err);
}

/* A general shape: Linux, shared, nothing on it, sold by the hour. A capacity block is bought
 * beforehand, so that its hours cost 0. */
static bool is_shape(const char *const fields[AWS_PRODUCT_FIELDS])
{
    const char *family = fields[AWS_TYPE_FAMILY];
    return str_equal(fields[AWS_FAMILY], "Compute Instance") &&
           str_equal(fields[AWS_OS], "Linux") && str_equal(fields[AWS_TENANCY], "Shared") &&
           str_equal(fields[AWS_SOFTWARE], "NA") && str_equal(fields[AWS_CAPACITY], "Used") &&
           (fields[AWS_MARKET][0] == 0 || str_equal(fields[AWS_MARKET], "OnDemand")) &&
           (fields[AWS_GPU][0] == 0 || str_equal(fields[AWS_GPU], "NA")) &&
           (family[0] == 0 || str_equal(family, "General purpose") ||
            str_equal(family, "Compute optimized") || str_equal(family, "Memory optimized"));
}

static bool is_storage(const char *const fields[AWS_PRODUCT_FIELDS])
{
    return str_equal(fields[AWS_FAMILY], "Storage") && str_equal(fields[AWS_VOLUME], "gp3");
}

/* "External" with "InterRegion Outbound" is a multi-region access point, "Global" a row of $0. */
static bool is_transfer(const char *const fields[AWS_PRODUCT_FIELDS])
{
    bool outside = str_equal(fields[AWS_TO_LOCATION], "External");
    const char *type = fields[AWS_TRANSFER];
    return str_equal(fields[AWS_FAMILY], "Data Transfer") &&
           !str_equal(fields[AWS_FROM_LOCATION], "Global") &&
           ((outside && str_equal(type, "AWS Outbound")) ||
            (!outside && str_equal(type, "InterRegion Outbound")) ||
            (!outside && str_equal(type, "IntraRegion")));
}

/* Of what is reserved only what costs nothing before and is bound to its type: its hours are all
 * that is paid. */
static bool term_of(const char *const fields[AWS_FIELDS], enum feed_term *ret_term)
{
    const char *lease = fields[AWS_LEASE];
    if (str_equal(fields[AWS_TERM], "OnDemand")) {
        *ret_term = FEED_ON_DEMAND;
        return true;
    }
    *ret_term = str_equal(lease, "3yr") ? FEED_THREE_YEARS : FEED_ONE_YEAR;
    return str_equal(fields[AWS_TERM], "Reserved") &&
           (str_equal(lease, "1yr") || str_equal(lease, "3yr")) &&
           str_equal(fields[AWS_PURCHASE], "No Upfront") &&
           (str_equal(fields[AWS_CLASS], "standard") || str_equal(fields[AWS_CLASS], "Standard"));
}

static int give_transfer(struct feed *feed, const char *const fields[AWS_FIELDS],
                         struct feed_item *item, struct error *err)
{
    char to[LIMIT_REF_BYTES];
    item->kind = FEED_EGRESS;
    item->region = fields[AWS_FROM];
    item->per_bytes = FEED_AWS_GB_BYTES;
    item->to = "internet";
    if (str_equal(fields[AWS_TRANSFER], "IntraRegion")) {
        item->to = "zone";
    } else if (str_equal(fields[AWS_TRANSFER], "InterRegion Outbound")) {
        if (!name_is_valid(fields[AWS_TO]))
            return 0; /* to a place that is no region: an edge location */
        str_format(to, sizeof(to), "aws/%s", fields[AWS_TO]);
        item->to = to;
    }
    if (!str_equal(fields[AWS_UNIT], "GB"))
        item->problem = "its unit is not GB";
    if (!feed_units(fields[AWS_BEGIN][0] == 0 ? "0" : fields[AWS_BEGIN], &item->tier_from))
        item->problem = "the beginning of its range is no whole number";
    if (fields[AWS_END][0] == 0)
        item->tier_up_to = -1;
    else if (str_equal(fields[AWS_END], "Inf"))
        item->tier_up_to = FEED_TIER_ENDLESS;
    else if (!feed_units(fields[AWS_END], &item->tier_up_to))
        item->problem = "the end of its range is no whole number";
    return feed_give(feed, item, err);
}
