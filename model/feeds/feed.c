#include "model/feeds/feed.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/feeds/feed_internal.h"

const char *const feed_kind_words[] = {"shape", "cpu", "memory", "storage", "egress", "place"};
const char *const feed_term_words[] = {"on-demand", "spot", "1y", "3y"};

static const struct feed_kind_row *const rows[FEED_FORMATS] = {
    [FEED_AWS_CSV] = &feed_aws_csv,
    [FEED_AWS_JSON] = &feed_aws_json,
    [FEED_AWS_SAVINGS] = &feed_aws_savings,
    [FEED_AZURE] = &feed_azure,
    [FEED_GCP] = &feed_gcp,
    [FEED_OPENCOST] = &feed_opencost,
    [FEED_SKYPILOT] = &feed_skypilot,
};

int feed_open(const struct feed_options *options, struct feed **ret_feed, struct error *err)
{
    const struct feed_kind_row *row = rows[options->format];
    struct feed *feed = calloc(1, sizeof(*feed));
    void *state = calloc(1, row->state_bytes);
    if (feed == NULL || state == NULL) {
        free(feed);
        free(state);
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to read a price list");
    }
    feed->options = *options;
    feed->row = row;
    feed->state = state;
    int rc = row->on_row != NULL ? csv_scan_create(row->on_row, feed, &feed->csv, err)
                                 : json_scan_create(row->on_json, feed, &feed->json, err);
    if (rc < 0)
        feed_close(feed);
    else
        *ret_feed = feed;
    return rc;
}

int feed_read(struct feed *feed, const char *text, size_t bytes, struct error *err)
{
    feed->counts.bytes += (int64_t)bytes;
    return feed->csv != NULL ? csv_scan_feed(feed->csv, text, bytes, err)
                             : json_scan_feed(feed->json, text, bytes, err);
}

int feed_end(struct feed *feed, struct error *err)
{
    int rc = feed->csv != NULL ? csv_scan_end(feed->csv, err) : json_scan_end(feed->json, err);
    if (rc == 0 && !feed->known)
        return error_set(err, ERR_INVALID, 0,
                         "nothing in it is as such a list has it: is it another format, or an "
                         "error page?");
    return rc == 0 && feed->row->finish != NULL ? feed->row->finish(feed, err) : rc;
}

void feed_close(struct feed *feed)
{
    if (feed == NULL)
        return;
    if (feed->row->done != NULL)
        feed->row->done(feed);
    csv_scan_destroy(feed->csv);
    json_scan_destroy(feed->json);
    free(feed->state);
    free(feed);
}

struct feed_counts feed_counts(const struct feed *feed)
{
    return feed->counts;
}

const char *feed_next(const struct feed *feed)
{
    return feed->next;
}

int feed_give(struct feed *feed, struct feed_item *item, struct error *err)
{
    char region[LIMIT_NAME_BYTES];
    size_t bytes = strlen(item->region);
    if (bytes >= sizeof(region))
        return 0;
    for (size_t i = 0; i <= bytes; i++)
        region[i] = (char)tolower((unsigned char)item->region[i]);
    if (!name_is_valid(region))
        return 0; /* "Global", "": a row that is of no place */
    item->region = region;
    if (item->to == NULL)
        item->to = "";
    if (item->effective == NULL)
        item->effective = "";
    feed->counts.items += item->kind == FEED_PLACE ? 0 : 1;
    return feed->options.sink(feed->options.context, item, err);
}

int feed_fields(struct feed *feed, const struct csv_row *row, int width, const int *columns,
                int count, const char **ret_fields, struct error *err)
{
    if (row->count != width)
        return error_set(err, ERR_INVALID, 0,
                         "line %" PRId64 ": a row of %d fields in a table of %d columns: it is "
                         "damaged, fetch it again",
                         row->line, row->count, width);
    feed->counts.offers++;
    for (int i = 0; i < count; i++)
        ret_fields[i] = columns[i] < 0 ? "" : row->fields[columns[i]];
    return 0;
}

int feed_keep_next(struct feed *feed, const char *name, const char *text, struct error *err)
{
    if (str_copy(feed->next, sizeof(feed->next), text) == 0)
        return 0;
    return error_set(err, ERR_LIMIT, 0, "%s has more than %zu bytes", name, sizeof(feed->next) - 1);
}

int feed_price(const char *text, const char *sku, struct decimal *ret_price, struct error *err)
{
    struct decimal price;
    struct error why;
    if (decimal_parse(text, &price, &why) < 0)
        return error_set(err, ERR_INVALID, 0, "offer %.80s: price \"%.40s\" is no number: %.200s",
                         sku, text, why.text);
    *ret_price = decimal_normal(price);
    return 0;
}

int feed_currency(const char *currency, const char *sku, struct error *err)
{
    if (str_equal(currency, "USD"))
        return 0;
    return error_set(err, ERR_UNSUPPORTED, 0,
                     "offer %.80s is priced in \"%.20s\"; prices are kept in USD alone: fetch the "
                     "list in USD",
                     sku, currency);
}

struct decimal feed_shifted(struct decimal price, int digits)
{
    while (price.scale + digits > DECIMAL_SCALE_MAX && price.coefficient % 10 == 0 &&
           price.scale > 0) {
        price.coefficient /= 10;
        price.scale--;
    }
    /* Beyond 18 digits after the point no list prints anything. */
    while (price.scale + digits > DECIMAL_SCALE_MAX && digits > 0) {
        price.coefficient /= 10;
        digits--;
    }
    price.scale += digits;
    return decimal_normal(price);
}

bool feed_units(const char *text, int64_t *ret_units)
{
    struct decimal value;
    struct error err;
    return decimal_parse(text, &value, &err) == 0 && !decimal_is_negative(value) &&
           decimal_scaled(value, 0, ret_units) == 0 &&
           decimal_compare(value, (struct decimal){*ret_units, 0}) == 0;
}

bool feed_gib(const char *text, int64_t *ret_bytes)
{
    char digits[DECIMAL_TEXT_BYTES];
    size_t bytes = 0;
    for (; (*text >= '0' && *text <= '9') || *text == '.' || *text == ','; text++) {
        if (*text != ',' && bytes + 1 < sizeof(digits))
            digits[bytes++] = *text;
    }
    digits[bytes] = 0;
    struct decimal value;
    struct error err;
    int64_t milli = 0;
    if (!(*text == 0 || str_equal(text, " GiB")) || decimal_parse(digits, &value, &err) < 0 ||
        decimal_scaled(value, 3, &milli) < 0 || milli <= 0 || milli > INT64_C(1) << 32)
        return false;
    *ret_bytes = (milli << 30) / 1000;
    return true;
}

bool feed_vcpu(const char *text, int64_t *ret_mcpu)
{
    struct decimal value;
    struct error err;
    int64_t mcpu = 0;
    if (decimal_parse(text, &value, &err) < 0 || decimal_scaled(value, 3, &mcpu) < 0 || mcpu <= 0 ||
        mcpu > INT64_C(100000000))
        return false;
    *ret_mcpu = mcpu;
    return true;
}

void feed_keep(char out[FEED_FIELD_BYTES], const char *text)
{
    if (str_copy(out, FEED_FIELD_BYTES, text) < 0)
        out[0] = 0;
}

/* "m5.xlarge": the letter says GiB per vCPU, the size the vCPUs. Of AWS's own lists m, c and r of
 * generations 5 to 8 keep to it without an exception but bare metal. */
bool feed_shape_aws(const char *type, int64_t *ret_mcpu, int64_t *ret_memory_bytes)
{
    int64_t gib = type[0] == 'm' ? 4 : type[0] == 'c' ? 2 : type[0] == 'r' ? 8 : 0;
    if (gib == 0 || type[1] < '5' || type[1] > '8')
        return false;
    const char *at = type + 2;
    at += strspn(at, "aigdn");
    if (*at++ != '.')
        return false;
    int64_t vcpus = 0;
    if (str_equal(at, "medium")) {
        vcpus = 1;
    } else if (str_equal(at, "large")) {
        vcpus = 2;
    } else if (str_equal(at, "xlarge")) {
        vcpus = 4;
    } else {
        while (*at >= '0' && *at <= '9' && vcpus < 1000)
            vcpus = vcpus * 10 + (*at++ - '0');
        if (!str_equal(at, "xlarge"))
            return false;
        vcpus *= 4;
    }
    if (vcpus == 0)
        return false;
    *ret_mcpu = vcpus * 1000;
    *ret_memory_bytes = vcpus * gib << 30;
    return true;
}

/* "Standard_D4as_v5": D from v3 has 4 GiB per vCPU (with an `l` 2), E from v3 up to 48 vCPUs 8,
 * Fs_v2 2: Microsoft's pages of sizes. Constrained cores ("E8-4") are priced as the whole. */
bool feed_shape_azure(const char *size, int64_t *ret_mcpu, int64_t *ret_memory_bytes)
{
    static const char prefix[] = "Standard_";
    if (!str_starts(size, prefix))
        return false;
    const char *at = size + sizeof(prefix) - 1;
    char family = *at++;
    int64_t vcpus = 0;
    while (*at >= '0' && *at <= '9' && vcpus < 1000)
        vcpus = vcpus * 10 + (*at++ - '0');
    size_t features = strspn(at, "abcdefghijklmnopqrstuvwxyz");
    bool low = memchr(at, 'l', features) != NULL;
    const char *generation = at + features;
    if (vcpus == 0 || !str_starts(generation, "_v") || generation[2] < '2' || generation[2] > '9' ||
        generation[3] != 0)
        return false;
    bool newer = generation[2] >= '3';
    int64_t gib = family == 'D' && newer                                   ? (low ? 2 : 4)
                  : family == 'E' && newer && !low && vcpus <= 48          ? 8
                  : family == 'F' && features == 1 && *at == 's' && !newer ? 2
                                                                           : 0;
    if (gib == 0)
        return false;
    *ret_mcpu = vcpus * 1000;
    *ret_memory_bytes = vcpus * gib << 30;
    return true;
}
