#include "scheduler/cli/prices_feed.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/arena.h"
#include "base/str.h"
#include "model/feeds/json_scan.h"
#include "model/feeds/sku_map.h"
#include "scheduler/cli/prices_store.h"

#define BLOCK_BYTES (256 << 10)
#define URL_BYTES   (LIMIT_PATH_BYTES * 4)
#define ARENA_BYTES ((size_t)64 << 20)

struct reading {
    const struct prices_request *request;
    struct prices_fetch *fetch;
    struct figures *figures;
    struct prices_totals *totals;
    struct arena arena;
    struct sku_map seen; /* URLs of this import */
    char next[LIMIT_PATH_BYTES * 2];
    char block[BLOCK_BYTES];
};

/* What an index of AWS says of one region. */
struct index {
    const char *region;
    char code[LIMIT_NAME_BYTES]; /* of the entry being read */
    char url[LIMIT_PATH_BYTES];
    char found[LIMIT_PATH_BYTES];
};

static int read_files(struct reading *reading, struct error *err);
static int read_web(struct reading *reading, struct error *err);
static int read_aws(struct reading *reading, const char *base, struct error *err);
static int read_aws_region(struct reading *reading, const char *base, const char *index,
                           const char *region, enum feed_format format, struct error *err);
static int find_region(struct reading *reading, const char *url, const char *region,
                       char out[LIMIT_PATH_BYTES], struct error *err);
static int on_index(void *context, const struct json_scan *scan, enum json_event event,
                    const char *text, struct error *err);
static int read_azure(struct reading *reading, const char *base, struct error *err);
static int read_azure_query(struct reading *reading, const char *base, const char *filter,
                            struct error *err);
static int next_link(const char *base, const char *link, char out[URL_BYTES], struct error *err);
static int read_gcp(struct reading *reading, const char *base, struct error *err);
static int read_skypilot(struct reading *reading, const char *base, struct error *err);
static int read_url(struct reading *reading, const char *url, enum feed_format format,
                    struct error *err);
static int fetch_new(struct reading *reading, const char *url, char path[LIMIT_PATH_BYTES],
                     char etag[LIMIT_TEXT_BYTES], struct error *err);
static int read_list(struct reading *reading, const char *path, enum feed_format format,
                     struct error *err);
static int take(void *context, const struct feed_item *item, struct error *err);
static int pump(struct reading *reading, gzFile file, struct feed *feed, struct error *err);
static int sniff(struct reading *reading, const char *path, enum feed_format *ret_format,
                 struct error *err);
static int open_list(const char *path, gzFile *ret_file, struct error *err);
static void encode(const char *text, char *out, size_t capacity);

static const struct feed_row {
    const char *name;
    const char *provider; /* NULL: the request says it */
    const char *list;
    const char *base;
} feed_rows[] = {
    {"aws", "aws", "AWS price list", "https://pricing.us-east-1.amazonaws.com"},
    {"azure", "azure", "Azure retail prices", "https://prices.azure.com"},
    {"gcp", "gcp", "GCP billing catalogue", "https://cloudbilling.googleapis.com"},
    {"opencost", NULL, "OpenCost custom prices", NULL},
    {"skypilot", NULL, "SkyPilot catalogue",
     "https://raw.githubusercontent.com/skypilot-org/skypilot-catalog/master/catalogs/v7"},
};
#define FEED_ROWS (sizeof(feed_rows) / sizeof(feed_rows[0]))

static const struct feed_row *row_of(const char *name)
{
    for (size_t i = 0; i < FEED_ROWS; i++)
        if (str_equal(feed_rows[i].name, name))
            return &feed_rows[i];
    return NULL;
}

int prices_feed_check(struct prices_request *request, struct figures_options *ret_options,
                      struct error *err)
{
    const struct feed_row *row = row_of(request->feed);
    if (row == NULL)
        return error_set(
            err, ERR_INVALID, 0,
            "there is no feed \"%.40s\"; there are aws, azure, gcp, opencost, skypilot",
            request->feed);
    bool opencost = str_equal(row->name, "opencost");
    bool web = request->file_count == 0;
    const char *slash = request->site == NULL ? NULL : strchr(request->site, '/');
    if (opencost && (slash == NULL || !name_is_valid(slash + 1)))
        return error_set(err, ERR_INVALID, 0,
                         "OpenCost's prices name no place: --site provider/region says whose they "
                         "are, as in --site own/berlin");
    if (opencost) {
        str_format(request->own, sizeof(request->own), "%.*s",
                   (int)(slash - request->site) < LIMIT_NAME_BYTES ? (int)(slash - request->site)
                                                                   : LIMIT_NAME_BYTES - 1,
                   request->site);
        request->provider = request->own;
    }
    if (row->provider == NULL && (request->provider == NULL || !name_is_valid(request->provider)))
        return error_set(err, ERR_INVALID, 0,
                         "a list of %s does not say whose it is: --provider aws (or azure, gcp, "
                         "...)",
                         row->name);
    if (web && opencost && request->from == NULL)
        return error_set(
            err, ERR_INVALID, 0,
            "where are OpenCost's prices? berth prices import opencost FILE, or --from "
            "URL of the file");
    if (web && str_equal(row->name, "aws") && request->regions->count == 0)
        return error_set(err, ERR_INVALID, 0,
                         "AWS has a list of hundreds of megabytes for each region: name those that "
                         "matter, --region us-east-1 --region eu-west-1");
    for (int i = 0; i < request->regions->count; i++)
        if (!name_is_valid(request->regions->items[i]))
            return error_set(err, ERR_INVALID, 0, "--region \"%.80s\" is no name of a region",
                             request->regions->items[i]);
    ret_options->list = row->list;
    ret_options->provider = row->provider != NULL ? row->provider : request->provider;
    return 0;
}

int prices_feed_read(const struct prices_request *request, struct prices_fetch *fetch,
                     struct figures *figures, struct prices_totals *totals, struct error *err)
{
    struct reading *reading = calloc(1, sizeof(*reading));
    if (reading == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to read a price list");
    reading->request = request;
    reading->fetch = fetch;
    reading->figures = figures;
    reading->totals = totals;
    arena_init(&reading->arena, ARENA_BYTES);
    int rc = request->file_count > 0 ? read_files(reading, err) : read_web(reading, err);
    sku_map_done(&reading->seen);
    arena_done(&reading->arena);
    free(reading);
    return rc;
}

static int read_files(struct reading *reading, struct error *err)
{
    const struct prices_request *request = reading->request;
    int rc = 0;
    for (int i = 0; rc == 0 && i < request->file_count; i++) {
        enum feed_format format = str_equal(request->feed, "azure")      ? FEED_AZURE
                                  : str_equal(request->feed, "gcp")      ? FEED_GCP
                                  : str_equal(request->feed, "opencost") ? FEED_OPENCOST
                                                                         : FEED_SKYPILOT;
        if (str_equal(request->feed, "aws"))
            rc = sniff(reading, request->files[i], &format, err);
        if (rc == 0)
            rc = read_list(reading, request->files[i], format, err);
        if (rc < 0)
            return error_prefix(err, "%s", request->files[i]);
    }
    return rc;
}

static int read_web(struct reading *reading, struct error *err)
{
    const struct prices_request *request = reading->request;
    const struct feed_row *row = row_of(request->feed);
    char base[LIMIT_PATH_BYTES];
    if (str_copy(base, sizeof(base), request->from != NULL ? request->from : row->base) < 0)
        return error_set(err, ERR_LIMIT, 0, "--from has more than %d bytes", LIMIT_PATH_BYTES - 1);
    if (str_equal(row->name, "opencost"))
        return read_url(reading, base, FEED_OPENCOST, err);
    for (size_t bytes = strlen(base); bytes > 0 && base[bytes - 1] == '/'; bytes--)
        base[bytes - 1] = 0;
    return str_equal(row->name, "aws")     ? read_aws(reading, base, err)
           : str_equal(row->name, "azure") ? read_azure(reading, base, err)
           : str_equal(row->name, "gcp")   ? read_gcp(reading, base, err)
                                           : read_skypilot(reading, base, err);
}

static int read_aws(struct reading *reading, const char *base, struct error *err)
{
    static const struct {
        const char *index;
        enum feed_format format;
    } lists[] = {
        {"/offers/v1.0/aws/AmazonEC2/current/region_index.json", FEED_AWS_CSV},
        {"/offers/v1.0/aws/AWSDataTransfer/current/region_index.json", FEED_AWS_CSV},
        {"/savingsPlan/v1.0/aws/AWSComputeSavingsPlan/current/region_index.json", FEED_AWS_SAVINGS},
    };
    const struct prices_request *request = reading->request;
    int count = request->savings ? 3 : 2;
    int rc = 0;
    for (int i = 0; rc == 0 && i < request->regions->count; i++)
        for (int k = 0; rc == 0 && k < count; k++)
            rc = read_aws_region(reading, base, lists[k].index, request->regions->items[i],
                                 lists[k].format, err);
    return rc;
}

/* The index of an offer names a file for each region; of a table's the JSON, which stands beside
 * the table. */
static int read_aws_region(struct reading *reading, const char *base, const char *index,
                           const char *region, enum feed_format format, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    char url[URL_BYTES];
    str_format(url, sizeof(url), "%s%s", base, index);
    int rc = find_region(reading, url, region, path, err);
    if (rc < 0)
        return rc;
    size_t bytes = strlen(path);
    if (format == FEED_AWS_CSV && bytes > 5 && str_equal(path + bytes - 5, ".json"))
        str_format(path + bytes - 5, 6, ".csv");
    rc = next_link(base, path, url, err);
    return rc < 0 ? rc : read_url(reading, url, format, err);
}

static int find_region(struct reading *reading, const char *url, const char *region,
                       char out[LIMIT_PATH_BYTES], struct error *err)
{
    struct index index = {.region = region};
    struct json_scan *scan = NULL;
    char path[LIMIT_PATH_BYTES];
    char etag[LIMIT_TEXT_BYTES];
    gzFile file = NULL;
    int rc = prices_fetch(reading->fetch, url, path, etag, err);
    if (rc == 0)
        rc = open_list(path, &file, err);
    if (rc == 0)
        rc = json_scan_create(on_index, &index, &scan, err);
    int bytes = 0;
    while (rc == 0 && (bytes = gzread(file, reading->block, sizeof(reading->block))) > 0)
        rc = json_scan_feed(scan, reading->block, (size_t)bytes, err);
    if (rc == 0)
        rc = bytes < 0 ? error_set(err, ERR_INVALID, 0, "its gzip is damaged")
                       : json_scan_end(scan, err);
    json_scan_destroy(scan);
    if (file != NULL)
        (void)gzclose_r(file);
    if (rc == 0)
        rc = prices_store_keep_etag(path, etag, err);
    if (rc < 0)
        return error_prefix(err, "%.200s", url);
    if (index.found[0] == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "%.200s has no list of the region %s", url, region);
    str_format(out, LIMIT_PATH_BYTES, "%s", index.found);
    return 0;
}

/* $.regions.<code>.currentVersionUrl, or $.regions[i].{regionCode, versionUrl}. */
static int on_index(void *context, const struct json_scan *scan, enum json_event event,
                    const char *text, struct error *err)
{
    struct index *index = context;
    int depth = json_depth(scan);
    if (!json_key_is(scan, 0, "regions"))
        return 0;
    if (event == JSON_OPEN_MAP && depth == 2) {
        index->url[0] = 0;
        if (str_copy(index->code, sizeof(index->code), json_key(scan, 1)) < 0)
            index->code[0] = 0;
    }
    if (event == JSON_TEXT && depth == 3) {
        const char *key = json_key(scan, 2);
        if (str_equal(key, "regionCode") && str_copy(index->code, sizeof(index->code), text) < 0)
            index->code[0] = 0;
        if ((str_equal(key, "currentVersionUrl") || str_equal(key, "versionUrl")) &&
            str_copy(index->url, sizeof(index->url), text) < 0)
            return error_set(err, ERR_LIMIT, 0, "a URL of %zu bytes", strlen(text));
    }
    if (event == JSON_CLOSE && depth == 2 && str_equal(index->code, index->region))
        str_format(index->found, sizeof(index->found), "%s", index->url);
    return 0;
}

static int read_azure(struct reading *reading, const char *base, struct error *err)
{
    static const char *const services[] = {"Virtual Machines", "Storage", "Bandwidth"};
    const struct option_list *regions = reading->request->regions;
    char filter[512];
    int rc = 0;
    for (int i = 0; rc == 0 && (i < regions->count || i == 0); i++)
        for (int k = 0; rc == 0 && k < 3; k++) {
            bool one = regions->count > 0;
            str_format(filter, sizeof(filter),
                       "serviceName eq '%s' and priceType eq 'Consumption'%s%s%s", services[k],
                       one ? " and armRegionName eq '" : "", one ? regions->items[i] : "",
                       one ? "'" : "");
            rc = read_azure_query(reading, base, filter, err);
        }
    return rc;
}

static int read_azure_query(struct reading *reading, const char *base, const char *filter,
                            struct error *err)
{
    char url[URL_BYTES];
    char encoded[2048];
    encode(filter, encoded, sizeof(encoded));
    str_format(url, sizeof(url), "%s/api/retail/prices?api-version=2023-01-01-preview&$filter=%s",
               base, encoded);
    for (;;) {
        int rc = read_url(reading, url, FEED_AZURE, err);
        if (rc < 0 || reading->next[0] == 0)
            return rc;
        rc = next_link(base, reading->next, url, err);
        if (rc < 0)
            return rc;
    }
}

/* A list may lead on, but only on its own server. */
static int next_link(const char *base, const char *link, char out[URL_BYTES], struct error *err)
{
    const char *host = strstr(base, "://");
    size_t origin = host == NULL ? 0 : (size_t)(host - base) + 3 + strcspn(host + 3, "/?#");
    bool own = strncmp(link, base, origin) == 0 && link[origin] == '/';
    if (!own && (link[0] != '/' || link[1] == '/'))
        return error_set(err, ERR_DENIED, 0,
                         "%.*s leads on to another server, %.120s: not followed; --from names the "
                         "one that is meant",
                         (int)origin, base, link);
    if (strlen(link) + origin >= URL_BYTES)
        return error_set(err, ERR_LIMIT, 0, "a link of %zu bytes to the next page", strlen(link));
    str_format(out, URL_BYTES, "%.*s%s", own ? 0 : (int)origin, base, link);
    return 0;
}

/* Compute Engine's SKUs: cores, RAM, disks and traffic are all of it. */
static int read_gcp(struct reading *reading, const char *base, struct error *err)
{
    char url[URL_BYTES];
    char token[LIMIT_PATH_BYTES * 2] = "";
    for (;;) {
        str_format(url, sizeof(url), "%s/v1/services/6F81-5844-456A/skus?pageSize=5000%s%s", base,
                   token[0] == 0 ? "" : "&pageToken=", token);
        int rc = read_url(reading, url, FEED_GCP, err);
        if (rc < 0 || reading->next[0] == 0)
            return rc;
        if (strlen(reading->next) * 3 >= sizeof(token))
            return error_set(err, ERR_LIMIT, 0, "nextPageToken has %zu bytes",
                             strlen(reading->next));
        encode(reading->next, token, sizeof(token));
    }
}

static int read_skypilot(struct reading *reading, const char *base, struct error *err)
{
    char url[URL_BYTES];
    str_format(url, sizeof(url), "%s/%s/vms.csv", base, reading->request->provider);
    return read_url(reading, url, FEED_SKYPILOT, err);
}

static int read_url(struct reading *reading, const char *url, enum feed_format format,
                    struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    char etag[LIMIT_TEXT_BYTES];
    int rc = fetch_new(reading, url, path, etag, err);
    if (rc < 0)
        return rc;
    rc = read_list(reading, path, format, err);
    if (rc < 0)
        return error_prefix(err, "%.*s", (int)strcspn(url, "?"), url);
    return prices_store_keep_etag(path, etag, err);
}

static int fetch_new(struct reading *reading, const char *url, char path[LIMIT_PATH_BYTES],
                     char etag[LIMIT_TEXT_BYTES], struct error *err)
{
    int shown = (int)strcspn(url, "?");
    if (sku_map_find(&reading->seen, url) >= 0)
        return error_set(err, ERR_INVALID, 0,
                         "%.*s: its pages lead in a circle: the next one was read already", shown,
                         url);
    if (reading->seen.count >= LIMIT_FEED_PAGES)
        return error_set(err, ERR_LIMIT, 0, "%.*s: more than %d pages (LIMIT_FEED_PAGES)", shown,
                         url, LIMIT_FEED_PAGES);
    const char *copy = arena_strdup(&reading->arena, url);
    if (copy == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the pages of a price list");
    int rc = sku_map_add(&reading->seen, copy, 0, err);
    return rc < 0 ? rc : prices_fetch(reading->fetch, url, path, etag, err);
}

static int read_list(struct reading *reading, const char *path, enum feed_format format,
                     struct error *err)
{
    const struct prices_request *request = reading->request;
    struct feed *feed = NULL;
    gzFile file = NULL;
    const char *slash = request->site == NULL ? NULL : strchr(request->site, '/');
    const struct feed_options options = {.format = format,
                                         .region = slash == NULL ? NULL : slash + 1,
                                         .family = request->family,
                                         .sink = take,
                                         .context = reading};
    int rc = open_list(path, &file, err);
    if (rc == 0)
        rc = feed_open(&options, &feed, err);
    if (rc == 0)
        rc = pump(reading, file, feed, err);
    if (rc == 0) {
        struct feed_counts counts = feed_counts(feed);
        str_format(reading->next, sizeof(reading->next), "%s", feed_next(feed));
        reading->totals->lists++;
        reading->totals->bytes += counts.bytes;
        reading->totals->offers += counts.offers;
        reading->totals->items += counts.items;
    }
    feed_close(feed);
    if (file != NULL)
        (void)gzclose_r(file);
    return rc;
}

/* Only the regions that are asked for count. */
static int take(void *context, const struct feed_item *item, struct error *err)
{
    struct reading *reading = context;
    const struct option_list *regions = reading->request->regions;
    /* What the other regions are called says where bytes go. */
    bool wanted = regions->count == 0 || item->kind == FEED_PLACE;
    for (int i = 0; i < regions->count && !wanted; i++)
        wanted = str_equal(regions->items[i], item->region);
    return wanted ? figures_take(reading->figures, item, err) : 0;
}

static int pump(struct reading *reading, gzFile file, struct feed *feed, struct error *err)
{
    int rc = 0;
    int bytes = 0;
    while (rc == 0 && (bytes = gzread(file, reading->block, sizeof(reading->block))) > 0) {
        rc = feed_read(feed, reading->block, (size_t)bytes, err);
        if (rc == 0 && feed_counts(feed).bytes > PRICES_FEED_BYTES_MAX)
            rc = error_set(err, ERR_LIMIT, 0,
                           "it has more than %" PRId64 " GiB unpacked: no list is that long",
                           PRICES_FEED_BYTES_MAX >> 30);
    }
    int why = Z_OK;
    const char *words = gzerror(file, &why);
    /* A gzip that ends early shows only here. */
    if (rc == 0 && (bytes < 0 || (why != Z_OK && why != Z_STREAM_END)))
        rc = error_set(err, ERR_INVALID, 0,
                       "its gzip is damaged or was cut (%.80s); fetch it again", words);
    return rc == 0 ? feed_end(feed, err) : rc;
}

/* Which of AWS's three a file is. */
static int sniff(struct reading *reading, const char *path, enum feed_format *ret_format,
                 struct error *err)
{
    gzFile file = NULL;
    int rc = open_list(path, &file, err);
    if (rc < 0)
        return rc;
    int bytes = gzread(file, reading->block, 8192);
    (void)gzclose_r(file);
    reading->block[bytes < 0 ? 0 : bytes] = 0;
    bool json = reading->block[strspn(reading->block, " \r\n\t")] == '{';
    *ret_format = !json ? FEED_AWS_CSV
                  : strstr(reading->block, "SavingsPlan") != NULL ||
                          strstr(reading->block, "\"savingsPlan\"") != NULL
                      ? FEED_AWS_SAVINGS
                      : FEED_AWS_JSON;
    return 0;
}

static int open_list(const char *path, gzFile *ret_file, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    gzFile file = fd < 0 ? NULL : gzdopen(fd, "r");
    if (file == NULL) {
        int saved = errno;
        if (fd >= 0)
            (void)close(fd);
        return error_set(err, ERR_IO, saved, "open it");
    }
    (void)gzbuffer(file, BLOCK_BYTES / 2);
    *ret_file = file;
    return 0;
}

/* Percent-encoding of all but letters, digits and "-._~"; the caller knows that it fits. */
static void encode(const char *text, char *out, size_t capacity)
{
    size_t at = 0;
    for (; *text != 0 && at + 4 < capacity; text++) {
        unsigned char byte = (unsigned char)*text;
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9') || strchr("-._~", byte) != NULL;
        str_format(out + at, capacity - at, plain ? "%c" : "%%%02X", byte);
        at += plain ? 1 : 3;
    }
    out[at] = 0;
}
