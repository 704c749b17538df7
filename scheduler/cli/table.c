#include "scheduler/cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_BYTES ((size_t)64 << 20)

static const char *const style_codes[] = {
    [STYLE_PLAIN] = "",         [STYLE_BOLD] = "\033[1m", [STYLE_DIM] = "\033[2m",
    [STYLE_GREEN] = "\033[32m", [STYLE_RED] = "\033[31m", [STYLE_YELLOW] = "\033[33m",
    [STYLE_CYAN] = "\033[36m",
};

static void add(struct table *table, enum style style, char *text);
static void write_cell(const struct table *table, const struct table_cell *cell, size_t width,
                       bool color, struct strbuf *out);

void table_init(struct table *table, const char *heads)
{
    table_init_plain(table, 0);
    table->headed = true;
    while (table->columns < TABLE_COLUMNS_MAX) {
        size_t bytes = strcspn(heads, "|");
        bool right = heads[0] == '>';
        table->right[table->columns++] = right;
        add(table, STYLE_BOLD,
            arena_strndup(&table->arena, heads + (right ? 1 : 0), bytes - (right ? 1 : 0)));
        if (heads[bytes] == 0)
            return;
        heads += bytes + 1;
    }
    BERTH_ASSERT(false, "a table has at most %d columns", TABLE_COLUMNS_MAX);
}

void table_init_plain(struct table *table, int columns)
{
    *table = (struct table){.columns = columns};
    arena_init(&table->arena, TABLE_BYTES);
}

void table_done(struct table *table)
{
    arena_done(&table->arena);
    free(table->cells);
    table->cells = NULL;
}

void table_cell(struct table *table, enum style style, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    int bytes = vasprintf(&text, format, arguments);
    va_end(arguments);
    char *copy = bytes < 0 ? NULL : arena_strdup(&table->arena, text);
    if (copy != NULL)
        text_clean(copy);
    add(table, style, copy);
    if (bytes >= 0)
        free(text);
}

int table_write(const struct table *table, bool color, struct strbuf *out, struct error *err)
{
    if (table->broken)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to lay out a table");
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    for (int i = 0; i < table->cell_count; i++) {
        size_t width = text_columns(table->cells[i].text);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (int row = 0; row * table->columns < table->cell_count; row++) {
        const struct table_cell *cells = &table->cells[row * table->columns];
        int last = table->columns - 1;
        while (last > 0 &&
               (row * table->columns + last >= table->cell_count || cells[last].text[0] == 0))
            last--;
        for (int i = 0; i < table->indent; i++)
            strbuf_puts(out, " ");
        for (int column = 0; column <= last; column++) {
            if (column > 0)
                strbuf_puts(out, "  ");
            bool padded = table->right[column] || column < last;
            write_cell(table, &cells[column], padded ? widths[column] : 0, color, out);
        }
        strbuf_puts(out, "\n");
    }
    return strbuf_error(out, err);
}

size_t text_columns(const char *text)
{
    size_t columns = 0;
    size_t left = strlen(text);
    while (left > 0) {
        size_t bytes = str_utf8_bytes(text, left);
        if (bytes == 0)
            bytes = 1; /* a stray byte is shown as something */
        /* U+0300..U+036F stand on the character before them. */
        bool combining =
            bytes == 2 && ((unsigned char)text[0] == 0xCC ||
                           ((unsigned char)text[0] == 0xCD && (unsigned char)text[1] < 0xB0));
        columns += combining ? 0 : 1;
        text += bytes;
        left -= bytes;
    }
    return columns;
}

void text_styled(struct strbuf *out, bool color, enum style style, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = NULL;
    int bytes = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (bytes < 0) {
        out->broken = true;
        out->no_memory = true;
        return;
    }
    bool styled = color && style != STYLE_PLAIN;
    if (styled)
        strbuf_puts(out, style_codes[style]);
    text_clean(text);
    strbuf_puts(out, text);
    if (styled)
        strbuf_puts(out, "\033[0m");
    free(text);
}

void text_clean(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at != 0; at++)
        if ((*at < 0x20 && *at != '\n') || *at == 0x7f)
            *at = '?';
        else if (*at == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0)
            at[0] = at[1] = '?'; /* the C1 controls, written in UTF-8 */
}

static void add(struct table *table, enum style style, char *text)
{
    if (text == NULL) {
        table->broken = true;
        return;
    }
    if (table->cell_count == table->cell_capacity) {
        int capacity = table->cell_capacity == 0 ? 64 : table->cell_capacity * 2;
        struct table_cell *cells =
            realloc(table->cells, (size_t)capacity * sizeof(table->cells[0]));
        if (cells == NULL) {
            table->broken = true;
            return;
        }
        table->cells = cells;
        table->cell_capacity = capacity;
    }
    table->cells[table->cell_count++] = (struct table_cell){.text = text, .style = style};
}

static void write_cell(const struct table *table, const struct table_cell *cell, size_t width,
                       bool color, struct strbuf *out)
{
    size_t columns = text_columns(cell->text);
    bool right = table->right[(cell - table->cells) % table->columns];
    for (size_t i = columns; right && i < width; i++)
        strbuf_puts(out, " ");
    text_styled(out, color, cell->style, "%s", cell->text);
    for (size_t i = columns; !right && i < width; i++)
        strbuf_puts(out, " ");
}
