/*
 * table: rows and columns on a terminal, aligned by characters rather than bytes, so that names and
 * signs outside ASCII do not shift a column. And the little styling there is: without a terminal
 * (or with --no-color or $NO_COLOR) every style is nothing.
 *
 * A table is filled cell by cell, then printed once. Memory is its own; running out of it ends the
 * program's output with a sentence rather than with half a table. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/str.h"

enum style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_GREEN, STYLE_RED, STYLE_YELLOW, STYLE_CYAN };

#define TABLE_COLUMNS_MAX 16

struct table_cell {
    char *text;
    enum style style;
};

struct table {
    struct arena arena;
    struct table_cell *cells; /* malloc'd */
    int cell_count;
    int cell_capacity;
    int columns;
    bool right[TABLE_COLUMNS_MAX]; /* align to the right: numbers */
    int indent;
    bool broken; /* out of memory */
    bool headed; /* the first row is the head */
};

/* `heads` as "NAME|SITE|>CPU": '>' aligns a column to the right. NULL heads with `columns`: none.
 */
void table_init(struct table *table, const char *heads);
void table_init_plain(struct table *table, int columns);
void table_done(struct table *table);
void table_cell(struct table *table, enum style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Appends the lines to `out`. Trailing blanks are cut. */
int table_write(const struct table *table, bool color, struct strbuf *out,
                struct error *err) WARN_UNUSED;

/* Characters that a text takes on the terminal: one each, none for combining marks. */
size_t text_columns(const char *text);
/* A text in a style, for use outside of tables. */
void text_styled(struct strbuf *out, bool color, enum style style, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Puts '?' in place of control characters: what comes from elsewhere steers no terminal. */
void text_clean(char *text);
