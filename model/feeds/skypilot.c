/* SkyPilot's vms.csv: one file for each cloud, whose columns come in any order. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "model/feeds/feed_internal.h"

/* Azure's file has no zone. */
enum column { TYPE, ACCELERATOR, VCPUS, MEMORY, PRICE, SPOT, REGION, ZONE, COLUMNS };

struct table {
    bool headed;
    int columns;
    int column[COLUMNS];
};

static int on_row(void *context, const struct csv_row *row, struct error *err);
static int on_head(struct feed *feed, const struct csv_row *row, struct error *err);
static bool is_general(const struct feed *feed, const char *type);

const struct feed_kind_row feed_skypilot = {.state_bytes = sizeof(struct table), .on_row = on_row};

static const char *const names[COLUMNS] = {"InstanceType", "AcceleratorName", "vCPUs",
                                           "MemoryGiB",    "Price",           "SpotPrice",
                                           "Region",       "AvailabilityZone"};

static int on_row(void *context, const struct csv_row *row, struct error *err)
{
    struct feed *feed = context;
    struct table *table = feed->state;
    if (!table->headed)
        return on_head(feed, row, err);
    const char *fields[COLUMNS];
    int rc = feed_fields(feed, row, table->columns, table->column, COLUMNS, fields, err);
    if (rc < 0)
        return rc;
    char sku[FEED_FIELD_BYTES];
    struct feed_item item = {.kind = FEED_SHAPE, .sku = sku};
    if (strlen(fields[TYPE]) + strlen(fields[ZONE]) + 2 > sizeof(sku))
        return 0;
    str_format(sku, sizeof(sku), "%s%s%s", fields[TYPE], fields[ZONE][0] == 0 ? "" : " ",
               fields[ZONE]);
    if (fields[ACCELERATOR][0] != 0 || !is_general(feed, fields[TYPE]) ||
        !feed_vcpu(fields[VCPUS], &item.mcpu) || !feed_gib(fields[MEMORY], &item.memory_bytes))
        return 0;
    for (int i = PRICE; rc == 0 && i <= SPOT; i++) {
        struct feed_item each = item;
        if (fields[i][0] == 0)
            continue; /* not offered */
        each.term = i == SPOT ? FEED_SPOT : FEED_ON_DEMAND;
        each.region = fields[REGION];
        rc = feed_price(fields[i], fields[TYPE], &each.price, err);
        if (rc == 0)
            rc = feed_give(feed, &each, err);
    }
    return rc < 0 ? error_prefix(err, "line %" PRId64, row->line) : 0;
}

static int on_head(struct feed *feed, const struct csv_row *row, struct error *err)
{
    struct table *table = feed->state;
    for (int k = 0; k < COLUMNS; k++) {
        table->column[k] = -1;
        for (int i = 0; i < row->count; i++)
            if (str_equal(row->fields[i], names[k]))
                table->column[k] = i;
        if (table->column[k] < 0 && k != ZONE)
            return error_set(err, ERR_INVALID, 0,
                             "line %" PRId64 ": there is no column %s: this is no vms.csv of "
                             "SkyPilot's catalogue",
                             row->line, names[k]);
    }
    table->headed = true;
    table->columns = row->count;
    feed->known = true;
    return 0;
}

/* Burstable, accelerated and other special shapes say nothing of a plain vCPU: of the three clouds
 * the general families by their names, of any other all. */
static bool is_general(const struct feed *feed, const char *type)
{
    static const char *const kinds[] = {"-standard-", "-highmem-", "-highcpu-"};
    int64_t mcpu;
    int64_t memory_bytes;
    if (type[0] == 0)
        return false;
    if (str_starts(type, "Standard_") || str_starts(type, "Basic_"))
        return feed_shape_azure(type, &mcpu, &memory_bytes);
    if (strchr(type, '.') != NULL)
        return feed_shape_aws(type, &mcpu, &memory_bytes);
    const char *family = feed->options.family == NULL ? "E2" : feed->options.family;
    size_t bytes = strlen(family);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strstr(type, kinds[i]) != NULL)
            return strncasecmp(type, family, bytes) == 0 && type[bytes] == '-';
    return true;
}
