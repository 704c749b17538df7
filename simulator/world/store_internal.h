/*
 * store_internal: what the files of the store share.
 *
 *   store.c         opening, the file of one run, putting it into the store
 *   store_tables.c  the tables' columns, each named once, and the SQL that follows from them
 *   store_rows.c    what is written into each table, and how it is read again
 */
#pragma once

#include <sqlite3.h>

#include "simulator/world/store.h"

/* In the order in which a run is put into the store: the run itself last. */
enum store_table {
    STORE_TERMS,
    STORE_HOURS,
    STORE_MOVES,
    STORE_LEDGER,
    STORE_REQUESTS,
    STORE_STATIONS,
    STORE_RUNS,
    STORE_TABLES
};

struct store {
    sqlite3 *db;
    char path[LIMIT_PATH_BYTES];
    int lock_fd;                        /* -1: not locked */
    bool chosen;                        /* only the runs of temp.chosen are read */
    sqlite3_stmt *insert[STORE_TABLES]; /* of the file of one run; else NULL */
};

/* ---- store_tables.c ---- */

/* CREATE for every table, index and view that is not there yet. */
void store_sql_schema(struct strbuf *out);
/* INSERT of one row of run 1, with a parameter for every column. */
void store_sql_insert(enum store_table table, struct strbuf *out);
/* SELECT of all columns of the table, in their order, and of `more`; `from`: what follows the
 * table's name. */
void store_sql_select(enum store_table table, const char *more, const char *from,
                      struct strbuf *out);
/* The run of the attached file `part` as a new one of this file, in one transaction. */
void store_sql_copy(struct strbuf *out);

/* ---- SQLite ---- */

int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                  struct error *err) WARN_UNUSED;
int store_exec(struct store *store, const char *sql, struct error *err) WARN_UNUSED;
int store_fail(const struct store *store, const char *what, struct error *err);

/* A row, written or read column by column from the first on. */
struct store_row {
    sqlite3_stmt *statement;
    int column; /* the next one */
};
void store_put_text(struct store_row *row, const char *text);
void store_put_texts(struct store_row *row, const char *const *texts, int count);
void store_put_int(struct store_row *row, int64_t value);
void store_put_ints(struct store_row *row, const int64_t *values, int count);
void store_put_counts(struct store_row *row, const uint64_t *counts, int count);
void store_put_money(struct store_row *row, nusd amount);
int store_put_done(struct store *store, const struct store_row *row, struct error *err) WARN_UNUSED;

/* What does not fit in `capacity` is read as "". */
void store_get_text(struct store_row *row, char *out, size_t capacity);
/* Until the next row is read. */
const char *store_get_words(struct store_row *row);
int64_t store_get_int(struct store_row *row);
void store_get_ints(struct store_row *row, int64_t *const *values, int count);
void store_get_counts(struct store_row *row, uint64_t *const *counts, int count);
/* The next row of a SELECT: 1, or 0 when there is none. */
int store_get_row(struct store *store, struct store_row *row, struct error *err) WARN_UNUSED;

/* ---- store_rows.c ---- */

/* Writes whatever a run tells into the file of one run. */
struct run_sink store_sink(struct store *part);
int store_put_run(struct store *part, const struct store_run *run, struct error *err) WARN_UNUSED;
