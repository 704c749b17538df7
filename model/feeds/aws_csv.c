/* An offer of AWS as a table: five lines of preamble, the head, then a row for each price. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "model/feeds/feed_internal.h"

struct table {
    bool headed;
    int rows; /* before the head */
    int columns;
    int column[AWS_FIELDS]; /* -1: there is none */
};

#define PREAMBLE_ROWS_MAX 16

static int on_row(void *context, const struct csv_row *row, struct error *err);
static int on_head(struct feed *feed, const struct csv_row *row, struct error *err);

const struct feed_kind_row feed_aws_csv = {.state_bytes = sizeof(struct table), .on_row = on_row};

static int on_row(void *context, const struct csv_row *row, struct error *err)
{
    struct feed *feed = context;
    struct table *table = feed->state;
    if (!table->headed)
        return on_head(feed, row, err);
    const char *fields[AWS_FIELDS];
    int rc = feed_fields(feed, row, table->columns, table->column, AWS_FIELDS, fields, err);
    if (rc < 0)
        return rc;
    rc = aws_give(feed, fields, err);
    return rc < 0 ? error_prefix(err, "line %" PRId64, row->line) : 0;
}

/* The head is the first row that has a column "SKU"; other files begin with other preambles. */
static int on_head(struct feed *feed, const struct csv_row *row, struct error *err)
{
    static const int needed[] = {AWS_TERM, AWS_UNIT, AWS_PRICE, AWS_CURRENCY, AWS_FAMILY};
    struct table *table = feed->state;
    for (int i = 0; i < AWS_FIELDS; i++)
        table->column[i] = -1;
    for (int i = 0; i < row->count; i++) {
        int field = aws_field_of(row->fields[i]);
        if (field >= 0 && table->column[field] < 0)
            table->column[field] = i;
    }
    if (table->column[AWS_SKU] < 0) {
        if (++table->rows > PREAMBLE_ROWS_MAX)
            return error_set(err, ERR_INVALID, 0,
                             "no row of the first %d has a column SKU: this is no price list of "
                             "AWS",
                             PREAMBLE_ROWS_MAX);
        return 0;
    }
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (table->column[needed[i]] < 0)
            return error_set(err, ERR_INVALID, 0,
                             "line %" PRId64 ": a column that every price list of AWS has is "
                             "missing; it has SKU, TermType, Unit, PricePerUnit, Currency, Product "
                             "Family",
                             row->line);
    table->headed = true;
    table->columns = row->count;
    feed->known = true;
    return 0;
}
