/* ledger_internal: what the files of the ledger share. */
#pragma once

#include <sqlite3.h>

#include "scheduler/ledger/ledger.h"

#define LEDGER_BUCKETS (2 * LEDGER_ROWS_MAX)

/* One meter in one month, as far as it was asked for. */
struct ledger_meter {
    int64_t month_us;
    char account[LIMIT_NAME_BYTES];
    char rule[LIMIT_NAME_BYTES];
    int64_t bytes;
    bool dirty;
};

struct ledger {
    char path[LIMIT_PATH_BYTES];
    sqlite3 *db;
    sqlite3_stmt *upsert;
    /* What was not written yet: quantities and predictions to be added to the rows of their keys.
     */
    struct ledger_row **rows;
    int row_count;
    int32_t *buckets; /* row index + 1; 0 empty */
    struct ledger_meter *meters;
    int meter_count;
    int meter_capacity;
    int64_t accrued_us;
    bool accrued_dirty;
};

int ledger_fail(const struct ledger *ledger, const char *what, struct error *err);
void cleanup_ledger_statement(sqlite3_stmt **statement);
/* price x quantity of a row; ERR_OVERFLOW. */
int ledger_amount(const struct ledger_row *row, nusd *ret_amount) WARN_UNUSED;
