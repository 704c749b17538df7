/* Ledger rows under the column names of FOCUS 1.2, as CSV (RFC 4180). */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "scheduler/ledger/ledger.h"

static const char *const columns[] = {
    "BillingAccountId",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ProviderName",
    "PublisherName",
    "InvoiceIssuerName",
    "ServiceCategory",
    "ServiceName",
    "RegionId",
    "RegionName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ChargeCategory",
    "ChargeFrequency",
    "ChargeDescription",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ListUnitPrice",
    "ContractedUnitPrice",
    "ListCost",
    "ContractedCost",
    "EffectiveCost",
    "BilledCost",
    "BillingCurrency",
    "SkuId",
    "Tags",
    "x_Namespace",
    "x_App",
    "x_Workload",
    "x_Term",
    "x_PeerSite",
    "x_PriceTier",
    "x_PredictedCost",
};
#define COLUMN_COUNT ((int)(sizeof(columns) / sizeof(columns[0])))

struct csv {
    struct strbuf *out;
    int column;
};

static void put(struct csv *csv, const char *text);
static void put_instant(struct csv *csv, int64_t at_us);
static void put_quantity(struct csv *csv, const struct ledger_row *row);

void ledger_focus_header(struct strbuf *out)
{
    struct csv csv = {.out = out};
    for (int i = 0; i < COLUMN_COUNT; i++)
        put(&csv, columns[i]);
    strbuf_puts(out, "\r\n");
}

void ledger_focus_row(const struct ledger_row *row, struct strbuf *out)
{
    struct csv csv = {.out = out};
    char id[3 * LIMIT_NAME_BYTES];
    char text[2 * LIMIT_TEXT_BYTES];
    char price[DECIMAL_TEXT_BYTES];
    char amount[MONEY_TEXT_BYTES];
    int64_t from_us;
    int64_t to_us;
    ledger_month(row->hour_us, &from_us, &to_us);
    str_format(id, sizeof(id), "%s/%s/%s", row->namespace_, row->app, row->workload);
    bool network = str_equal(row->term, cost_term_words[TERM_EGRESS]);
    bool storage = str_equal(row->term, cost_term_words[TERM_STORAGE]);
    put(&csv, row->account);
    put_instant(&csv, from_us);
    put_instant(&csv, to_us);
    put_instant(&csv, row->hour_us);
    put_instant(&csv, row->hour_us + US_PER_HOUR);
    put(&csv, row->provider);
    put(&csv, row->provider);
    put(&csv, row->provider);
    put(&csv, network ? "Networking" : storage ? "Storage" : "Compute");
    put(&csv, row->item);
    put(&csv, row->region);
    put(&csv, row->region);
    put(&csv, id);
    put(&csv, row->workload);
    put(&csv, "Workload");
    put(&csv, "Usage");
    put(&csv, "Usage-Based");
    str_format(text, sizeof(text), "%s of %s at %s%s%s", row->item, id, row->site,
               row->peer[0] == 0 ? "" : " with ", row->peer);
    put(&csv, text);
    put(&csv, "Standard");
    put_quantity(&csv, row);
    put(&csv, row->unit);
    put_quantity(&csv, row);
    put(&csv, row->unit);
    decimal_format(row->price, price);
    put(&csv, price);
    put(&csv, price);
    money_exact(row->amount, amount);
    for (int i = 0; i < 4; i++)
        put(&csv, amount);
    put(&csv, "USD");
    str_format(text, sizeof(text), "%s:%s:%s", row->site, row->term, row->item);
    put(&csv, text);
    put(&csv, row->tags);
    put(&csv, row->namespace_);
    put(&csv, row->app);
    put(&csv, row->workload);
    put(&csv, row->term);
    put(&csv, row->peer);
    str_format(text, sizeof(text), "%d", row->tier);
    put(&csv, row->tier < 0 ? "" : text);
    put(&csv, money_exact(row->predicted, amount));
    BERTH_ASSERT(csv.column == COLUMN_COUNT, "%d of %d columns", csv.column, COLUMN_COUNT);
    strbuf_puts(out, "\r\n");
}

static void put(struct csv *csv, const char *text)
{
    if (csv->column++ > 0)
        strbuf_puts(csv->out, ",");
    /* A cell that begins like a formula is data all the same: names cannot, tags are quoted. */
    if (strpbrk(text, ",\"\r\n") == NULL) {
        strbuf_puts(csv->out, text);
        return;
    }
    strbuf_puts(csv->out, "\"");
    for (; *text != 0; text++) {
        if (*text == '"')
            strbuf_puts(csv->out, "\"");
        strbuf_append(csv->out, text, 1);
    }
    strbuf_puts(csv->out, "\"");
}

/* "2026-11-22T00:00:00Z": hours have no microseconds. */
static void put_instant(struct csv *csv, int64_t at_us)
{
    char wall[WALL_TEXT_BYTES];
    char text[WALL_TEXT_BYTES];
    str_format(text, sizeof(text), "%.19sZ", wall_format((struct wall){at_us}, wall));
    put(csv, text);
}

/* Units to nine decimals; what is charged is computed from the exact integer, not from this. */
static void put_quantity(struct csv *csv, const struct ledger_row *row)
{
    char text[MONEY_TEXT_BYTES];
    nusd billionths;
    if (money_of((struct decimal){1, 0}, row->per, (unsigned __int128)row->quantity, &billionths) <
        0)
        billionths = 0;
    put(csv, money_exact(billionths, text));
}
