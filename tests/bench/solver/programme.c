#include "tests/bench/solver/programme.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"

#define NAMES_MAX    INT64_C(9999999)
#define NUMBER_MOST  INT64_C(999999999999)
#define NUMBER_LEAST (-INT64_C(99999999999))

struct writer {
    const struct grid *grid;
    FILE *file;
    int64_t *link_row; /* [link]: its first row, those of a's cells, then those of b's */
    int *first;        /* [part]: of near[] */
    int *near;         /* links of each part */
    int64_t next;      /* column */
    bool too_large;    /* a number that does not fit its field */
};

static bool prepare(struct writer *writer, struct arena *arena);
static void write_rows(struct writer *writer);
static void write_binaries(struct writer *writer);
static void write_cell(struct writer *writer, int part, int cell);
static void write_pairs(struct writer *writer);
static void write_sides(struct writer *writer);
static void entry(struct writer *writer, char kind, const char *row, int64_t row_number,
                  int64_t value);
static int64_t capacity_row(const struct grid *grid, size_t row);
static int64_t rows_of(const struct grid *grid);
static bool open_pair(const struct grid *grid, const struct grid_link *link, int a, int b);

int64_t programme_columns(const struct grid *grid)
{
    int64_t columns = 0;
    for (int part = 0; part < grid->parts; part++) {
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            columns += grid_cost_raw(grid, part, cell) != GRID_CLOSED;
        }
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        columns += (int64_t)grid_cells(grid, link->a) * grid_cells(grid, link->b);
    }
    return columns;
}

int programme_write(const struct grid *grid, struct arena *arena, FILE *file, struct error *err)
{
    struct writer writer = {.grid = grid, .file = file};
    if (programme_columns(grid) > NAMES_MAX || rows_of(grid) > NAMES_MAX) {
        return error_set(err, ERR_LIMIT, 0, "a programme of more than %lld columns or rows",
                         (long long)NAMES_MAX);
    }
    if (!prepare(&writer, arena)) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a programme");
    }
    fprintf(file, "NAME          BERTH\nROWS\n N  COST\n");
    write_rows(&writer);
    fprintf(file, "COLUMNS\n    MARKER    'MARKER'                 'INTORG'\n");
    write_binaries(&writer);
    fprintf(file, "    MARKER    'MARKER'                 'INTEND'\n");
    write_pairs(&writer);
    write_sides(&writer);
    if (writer.too_large) {
        return error_set(err, ERR_LIMIT, 0, "a number of more than twelve characters");
    }
    return ferror(file) == 0 ? 0 : error_set(err, ERR_IO, 0, "the programme cannot be written");
}

static bool prepare(struct writer *writer, struct arena *arena)
{
    const struct grid *grid = writer->grid;
    writer->link_row = arena_array(arena, (size_t)grid->links + 1, sizeof(int64_t));
    writer->first = arena_array(arena, (size_t)grid->parts + 2, sizeof(int));
    writer->near = arena_array(arena, 2 * (size_t)grid->links + 1, sizeof(int));
    if (writer->link_row == NULL || writer->first == NULL || writer->near == NULL) {
        return false;
    }
    int64_t row = grid->parts + (int64_t)grid->sites * grid->resources;
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        writer->link_row[i] = row;
        row += grid_cells(grid, link->a) + grid_cells(grid, link->b);
        writer->first[link->a + 1]++;
        writer->first[link->b + 1]++;
    }
    for (int part = 0; part < grid->parts; part++) {
        writer->first[part + 1] += writer->first[part];
    }
    /* Filled from the end of each, so that first[] is where it begins when all are in. */
    for (int i = 0; i < grid->links; i++) {
        writer->near[--writer->first[grid->link[i].a + 1]] = i;
        writer->near[--writer->first[grid->link[i].b + 1]] = i;
    }
    for (int part = 0; part < grid->parts; part++) {
        writer->first[part] = writer->first[part + 1];
    }
    writer->first[grid->parts] = 2 * grid->links;
    return true;
}

/* One choice per part; capacities; then per link a row for each cell of both its parts. */
static void write_rows(struct writer *writer)
{
    const struct grid *grid = writer->grid;
    for (int part = 0; part < grid->parts; part++) {
        fprintf(writer->file, " E  R%07d\n", part);
    }
    for (size_t row = 0; row < (size_t)grid->sites * (size_t)grid->resources; row++) {
        if (grid->capacity[row] != INT64_MAX) {
            fprintf(writer->file, " L  R%07" PRId64 "\n", capacity_row(grid, row));
        }
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        int rows = grid_cells(grid, link->a) + grid_cells(grid, link->b);
        for (int k = 0; k < rows; k++) {
            fprintf(writer->file, " E  R%07" PRId64 "\n", writer->link_row[i] + k);
        }
    }
}

static void write_binaries(struct writer *writer)
{
    const struct grid *grid = writer->grid;
    for (int part = 0; part < grid->parts; part++) {
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            if (grid_cost_raw(grid, part, cell) != GRID_CLOSED) {
                write_cell(writer, part, cell);
                writer->next++;
            }
        }
    }
}

static void write_cell(struct writer *writer, int part, int cell)
{
    const struct grid *grid = writer->grid;
    entry(writer, 'X', "COST", -1, grid_cost(grid, part, cell));
    entry(writer, 'X', "R", part, 1);
    size_t site = (size_t)grid_site(grid, part, cell);
    for (size_t r = 0; r < (size_t)grid->resources; r++) {
        size_t row = site * (size_t)grid->resources + r;
        if (grid->capacity[row] != INT64_MAX && grid_demand(grid, part, cell)[r] != 0) {
            entry(writer, 'X', "R", capacity_row(grid, row), grid_demand(grid, part, cell)[r]);
        }
    }
    for (int k = writer->first[part]; k < writer->first[part + 1]; k++) {
        const struct grid_link *link = &grid->link[writer->near[k]];
        int64_t row = writer->link_row[writer->near[k]];
        row += link->a == part ? cell : grid_cells(grid, link->a) + cell;
        entry(writer, 'X', "R", row, -1);
    }
}

static void write_pairs(struct writer *writer)
{
    const struct grid *grid = writer->grid;
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        int rows = grid_cells(grid, link->a);
        for (int a = 0; a < rows; a++) {
            for (int b = 0; b < grid_cells(grid, link->b); b++) {
                if (!open_pair(grid, link, a, b)) {
                    continue;
                }
                int64_t value = (int64_t)grid_link_raw(grid, link, a, b);
                entry(writer, 'Y', "COST", -1, link->base + link->scale * value);
                entry(writer, 'Y', "R", writer->link_row[i] + a, 1);
                entry(writer, 'Y', "R", writer->link_row[i] + rows + b, 1);
                writer->next++;
            }
        }
    }
}

static void write_sides(struct writer *writer)
{
    const struct grid *grid = writer->grid;
    FILE *file = writer->file;
    fprintf(file, "RHS\n");
    for (int part = 0; part < grid->parts; part++) {
        fprintf(file, "    RHS       R%07d             1\n", part);
    }
    for (size_t row = 0; row < (size_t)grid->sites * (size_t)grid->resources; row++) {
        int64_t capacity = grid->capacity[row];
        if (capacity != INT64_MAX) {
            writer->too_large = writer->too_large || capacity > NUMBER_MOST;
            fprintf(file, "    RHS       R%07" PRId64 "  %12" PRId64 "\n", capacity_row(grid, row),
                    capacity);
        }
    }
    fprintf(file, "BOUNDS\n");
    int64_t column = 0;
    for (int part = 0; part < grid->parts; part++) {
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            if (grid_cost_raw(grid, part, cell) != GRID_CLOSED) {
                fprintf(file, " UP BND       X%07" PRId64 "             1\n", column++);
            }
        }
    }
    fprintf(file, "ENDATA\n");
}

/* One coefficient of the present column; row_number < 0: the row is called `row` alone. */
static void entry(struct writer *writer, char kind, const char *row, int64_t row_number,
                  int64_t value)
{
    char name[32];
    writer->too_large = writer->too_large || value > NUMBER_MOST || value < NUMBER_LEAST;
    if (row_number < 0) {
        str_format(name, sizeof(name), "%s", row);
    } else {
        str_format(name, sizeof(name), "%s%07" PRId64, row, row_number);
    }
    fprintf(writer->file, "    %c%07" PRId64 "  %-8s  %12" PRId64 "\n", kind, writer->next, name,
            value);
}

static int64_t capacity_row(const struct grid *grid, size_t row)
{
    return grid->parts + (int64_t)row;
}

static int64_t rows_of(const struct grid *grid)
{
    int64_t rows = grid->parts + (int64_t)grid->sites * grid->resources;
    for (int i = 0; i < grid->links; i++) {
        rows += grid_cells(grid, grid->link[i].a) + grid_cells(grid, grid->link[i].b);
    }
    return rows;
}

static bool open_pair(const struct grid *grid, const struct grid_link *link, int a, int b)
{
    return grid_cost_raw(grid, link->a, a) != GRID_CLOSED &&
           grid_cost_raw(grid, link->b, b) != GRID_CLOSED &&
           grid_link_raw(grid, link, a, b) != GRID_CLOSED;
}
