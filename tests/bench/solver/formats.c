#include "tests/bench/solver/formats.h"

#include "base/str.h"
#include "tests/bench/solver/formats_internal.h"
#include "tests/bench/solver/scan.h"

typedef int reader(struct scan *scan, struct arena *arena, struct grid *grid, struct error *err);
static reader read_gap;
static reader read_ctap;
static reader read_tap;
static reader read_qsap;

static const struct {
    const char *name;
    reader *read;
} readers[] = {
    {"gap", read_gap},   {"ctap", read_ctap},   {"tap", read_tap},
    {"qsap", read_qsap}, {"wcsp", format_wcsp},
};

static int read_costs(struct scan *scan, bool by_site, struct arena *arena, struct grid *grid,
                      struct error *err);
static int read_sizes(struct scan *scan, const char *first, const char *second, struct arena *arena,
                      struct grid *grid, struct error *err);
static int capacities(struct scan *scan, struct arena *arena, struct grid *grid, struct error *err);
static int triples(struct scan *scan, const char *what, int rows, int columns, struct arena *arena,
                   int64_t **ret_value, struct error *err);
static int distances(struct scan *scan, struct arena *arena, struct grid *grid, struct error *err);
static struct grid_table *site_table(struct arena *arena, struct grid *grid, uint32_t **ret_value);

int format_read(const char *format, const char *text, size_t bytes, struct arena *arena,
                struct grid *ret_grid, struct error *err)
{
    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
        if (!str_equal(readers[i].name, format)) {
            continue;
        }
        struct scan scan = {.at = text, .end = text + bytes, .line = 1};
        struct grid grid = {0};
        int rc = readers[i].read(&scan, arena, &grid, err);
        rc = rc == 0 ? grid_check(&grid, err) : rc;
        if (rc == 0 && grid.demand == NULL) { /* none of nothing, and yet somewhere */
            grid.demand = arena_array(arena, 1, sizeof(int32_t));
            rc = grid.demand != NULL ? 0 : format_no_memory(err);
        }
        if (rc == 0) {
            *ret_grid = grid;
        }
        return rc;
    }
    return error_set(err, ERR_NOT_FOUND, 0, "no format '%s': gap, ctap, tap, qsap, wcsp", format);
}

int format_no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "the instance does not fit the memory allowed");
}

static int read_gap(struct scan *scan, struct arena *arena, struct grid *grid, struct error *err)
{
    int rc = read_sizes(scan, "agents", "items", arena, grid, err);
    rc = rc == 0 ? read_costs(scan, true, arena, grid, err) : rc;
    if (rc < 0) {
        return rc;
    }
    grid->resources = 1;
    size_t sites = (size_t)grid->sites;
    int32_t *demand = arena_array(arena, (size_t)grid->parts * sites, sizeof(int32_t));
    if (demand == NULL) {
        return format_no_memory(err);
    }
    for (size_t site = 0; site < sites; site++) {
        for (size_t part = 0; part < (size_t)grid->parts; part++) {
            int64_t weight;
            rc = scan_number(scan, "a weight", 0, INT32_MAX, &weight, err);
            if (rc < 0) {
                return rc;
            }
            demand[part * sites + site] = (int32_t)weight;
        }
    }
    grid->cell_demand = demand;
    return capacities(scan, arena, grid, err);
}

/* What two tasks send each other costs where they are on different processors. */
static int read_ctap(struct scan *scan, struct arena *arena, struct grid *grid, struct error *err)
{
    int rc = read_sizes(scan, "processors", "tasks", arena, grid, err);
    rc = rc == 0 ? read_costs(scan, true, arena, grid, err) : rc;
    if (rc < 0) {
        return rc;
    }
    size_t parts = (size_t)grid->parts;
    uint32_t *apart;
    struct grid_link *link = arena_array(arena, parts * parts / 2 + 1, sizeof(*link));
    int32_t *demand = arena_array(arena, parts, sizeof(int32_t));
    if (link == NULL || demand == NULL || site_table(arena, grid, &apart) == NULL) {
        return format_no_memory(err);
    }
    for (int i = 0; i < grid->sites * grid->sites; i++) {
        apart[i] = i % (grid->sites + 1) != 0;
    }
    grid->link = link;
    for (int a = 0; a < grid->parts; a++) {
        for (int b = a + 1; b < grid->parts; b++) {
            int64_t traffic;
            rc = scan_number(scan, "a traffic", -INT32_MAX, INT32_MAX, &traffic, err);
            if (rc < 0) {
                return rc;
            }
            if (traffic != 0) {
                link[grid->links++] = (struct grid_link){.a = a, .b = b, .scale = traffic};
            }
        }
    }
    for (int part = 0; part < grid->parts; part++) {
        int64_t size;
        rc = scan_number(scan, "a size", 0, INT32_MAX, &size, err);
        if (rc < 0) {
            return rc;
        }
        demand[part] = (int32_t)size;
    }
    grid->resources = 1;
    grid->demand = demand;
    return capacities(scan, arena, grid, err);
}

static int read_tap(struct scan *scan, struct arena *arena, struct grid *grid, struct error *err)
{
    int rc = read_sizes(scan, "processors", "tasks", arena, grid, err);
    rc = rc == 0 ? read_costs(scan, false, arena, grid, err) : rc;
    if (rc < 0) {
        return rc;
    }
    size_t pairs = (size_t)grid->parts * (size_t)(grid->parts - 1) / 2;
    size_t cells = (size_t)grid->sites * (size_t)grid->sites;
    struct grid_link *link = arena_array(arena, pairs + 1, sizeof(*link));
    struct grid_table *table = arena_array(arena, pairs + 1, sizeof(*table));
    int64_t *row = arena_array(arena, cells, sizeof(int64_t));
    if ((int64_t)(pairs * cells) > FORMAT_CELLS) {
        return error_set(err, ERR_LIMIT, 0, "the instance has more than FORMAT_CELLS pairs");
    }
    uint32_t *value = arena_array(arena, pairs * cells + 1, sizeof(uint32_t));
    if (link == NULL || table == NULL || row == NULL || value == NULL) {
        return format_no_memory(err);
    }
    grid->link = link;
    grid->table = table;
    for (int a = 0; a < grid->parts; a++) {
        for (int b = a + 1; b < grid->parts; b++, value += cells) {
            int64_t least = INT64_MAX;
            for (size_t cell = 0; cell < cells; cell++) {
                rc = scan_number(scan, "a cost of a pair", -INT32_MAX, INT32_MAX, &row[cell], err);
                if (rc < 0) {
                    return rc;
                }
                least = row[cell] < least ? row[cell] : least;
            }
            for (size_t cell = 0; cell < cells; cell++) {
                value[cell] = (uint32_t)(row[cell] - least);
            }
            link[grid->links++] = (struct grid_link){
                .a = a, .b = b, .table = grid->tables, .base = least, .scale = 1};
            table[grid->tables++] = (struct grid_table){
                .by_site = true, .rows = grid->sites, .columns = grid->sites, .value = value};
        }
    }
    return 0;
}

/* All ordered pairs count; distances must be symmetric for one link to stand for both orders. */
static int read_qsap(struct scan *scan, struct arena *arena, struct grid *grid, struct error *err)
{
    int64_t count;
    int64_t *cost;
    int64_t *traffic;
    int rc = read_sizes(scan, "facilities", "sites", arena, grid, err);
    if (rc < 0) {
        return rc;
    }
    /* The file names the parts first. */
    int parts = grid->sites;
    grid->sites = grid->parts;
    grid->parts = parts;
    rc = scan_number(scan, "w", 0, INT32_MAX, &count, err);
    rc = rc == 0 ? triples(scan, "cost", grid->parts, grid->sites, arena, &cost, err) : rc;
    rc = rc == 0 ? distances(scan, arena, grid, err) : rc;
    rc = rc == 0 ? triples(scan, "traffic", parts, parts, arena, &traffic, err) : rc;
    if (rc < 0) {
        return rc;
    }
    size_t cells = (size_t)grid->parts * (size_t)grid->sites;
    uint32_t *cells_cost = arena_array(arena, cells, sizeof(uint32_t));
    int64_t *base = arena_array(arena, (size_t)parts, sizeof(int64_t));
    struct grid_link *link =
        arena_array(arena, (size_t)parts * (size_t)parts / 2 + 1, sizeof(*link));
    if (cells_cost == NULL || link == NULL || base == NULL) {
        return format_no_memory(err);
    }
    const uint32_t *distance = grid->table[0].value;
    for (size_t cell = 0; cell < cells; cell++) {
        /* Traffic of a facility with itself pays the distance of its site to itself. */
        size_t part = cell / (size_t)grid->sites;
        size_t site = cell % (size_t)grid->sites;
        int64_t own = traffic[part * (size_t)parts + part];
        int64_t sum = cost[cell] + own * (int64_t)distance[site * (size_t)grid->sites + site];
        if (sum >= GRID_CLOSED) {
            return error_set(err, ERR_LIMIT, 0, "a cost is above 2^32");
        }
        cells_cost[cell] = (uint32_t)sum;
    }
    for (int a = 0; a < parts; a++) {
        for (int b = a + 1; b < parts; b++) {
            int64_t both = traffic[a * parts + b] + traffic[b * parts + a];
            if (both != 0) {
                link[grid->links++] = (struct grid_link){.a = a, .b = b, .scale = both};
            }
        }
    }
    grid->cost = cells_cost;
    grid->base = base;
    grid->link = link;
    return 0;
}

static int read_sizes(struct scan *scan, const char *first, const char *second, struct arena *arena,
                      struct grid *grid, struct error *err)
{
    int64_t sites;
    int64_t parts;
    /* Task assignment names the tasks first. */
    bool tasks_first = str_equal(second, "tasks");
    int rc = scan_number(scan, tasks_first ? second : first, 1, 4096, tasks_first ? &parts : &sites,
                         err);
    rc = rc == 0 ? scan_number(scan, tasks_first ? first : second, 1, 4096,
                               tasks_first ? &sites : &parts, err)
                 : rc;
    if (rc < 0) {
        return rc;
    }
    grid->sites = (int)sites;
    grid->parts = (int)parts;
    int64_t *capacity = arena_array(arena, (size_t)sites, sizeof(int64_t));
    grid->capacity = capacity;
    return capacity != NULL ? 0 : format_no_memory(err);
}

/* A part's least cost is its base, so that negative costs fit. */
static int read_costs(struct scan *scan, bool by_site, struct arena *arena, struct grid *grid,
                      struct error *err)
{
    size_t parts = (size_t)grid->parts;
    size_t sites = (size_t)grid->sites;
    int64_t *value = arena_array(arena, parts * sites, sizeof(int64_t));
    uint32_t *cost = arena_array(arena, parts * sites, sizeof(uint32_t));
    int64_t *base = arena_array(arena, parts, sizeof(int64_t));
    if (value == NULL || cost == NULL || base == NULL) {
        return format_no_memory(err);
    }
    for (size_t i = 0; i < parts * sites; i++) {
        size_t cell = by_site ? i % parts * sites + i / parts : i;
        int rc = scan_number(scan, "a cost", -INT32_MAX, INT32_MAX, &value[cell], err);
        if (rc < 0) {
            return rc;
        }
    }
    for (size_t part = 0; part < parts; part++) {
        base[part] = INT64_MAX;
        for (size_t site = 0; site < sites; site++) {
            int64_t here = value[part * sites + site];
            base[part] = here < base[part] ? here : base[part];
        }
        for (size_t site = 0; site < sites; site++) {
            cost[part * sites + site] = (uint32_t)(value[part * sites + site] - base[part]);
        }
    }
    grid->cost = cost;
    grid->base = base;
    return 0;
}

static int capacities(struct scan *scan, struct arena *arena, struct grid *grid, struct error *err)
{
    int64_t *capacity = arena_array(arena, (size_t)grid->sites, sizeof(int64_t));
    if (capacity == NULL) {
        return format_no_memory(err);
    }
    for (int site = 0; site < grid->sites; site++) {
        int rc = scan_number(scan, "a capacity", 0, INT64_MAX, &capacity[site], err);
        if (rc < 0) {
            return rc;
        }
    }
    grid->capacity = capacity;
    return 0;
}

/* rows x columns lines of "row column value", each cell once, from 1. */
static int triples(struct scan *scan, const char *what, int rows, int columns, struct arena *arena,
                   int64_t **ret_value, struct error *err)
{
    int64_t cells = (int64_t)rows * columns;
    int64_t *value = arena_array(arena, (size_t)cells, sizeof(int64_t));
    if (value == NULL) {
        return format_no_memory(err);
    }
    for (int64_t i = 0; i < cells; i++) {
        value[i] = -1;
    }
    for (int64_t i = 0; i < cells; i++) {
        int64_t row;
        int64_t column;
        int64_t number;
        int rc = scan_number(scan, "a row", 1, rows, &row, err);
        rc = rc == 0 ? scan_number(scan, "a column", 1, columns, &column, err) : rc;
        rc = rc == 0 ? scan_number(scan, what, 0, INT32_MAX / 2, &number, err) : rc;
        if (rc < 0) {
            return rc;
        }
        int64_t *cell = &value[(row - 1) * columns + column - 1];
        if (*cell >= 0) {
            return error_set(err, ERR_INVALID, 0, "line %d: %s %lld %lld is there twice",
                             scan->line, what, (long long)row, (long long)column);
        }
        *cell = number;
    }
    *ret_value = value;
    return 0;
}

static int distances(struct scan *scan, struct arena *arena, struct grid *grid, struct error *err)
{
    int64_t *distance;
    uint32_t *value;
    int rc = triples(scan, "distance", grid->sites, grid->sites, arena, &distance, err);
    if (rc < 0) {
        return rc;
    }
    if (site_table(arena, grid, &value) == NULL) {
        return format_no_memory(err);
    }
    for (int a = 0; a < grid->sites; a++) {
        for (int b = 0; b < grid->sites; b++) {
            if (distance[a * grid->sites + b] != distance[b * grid->sites + a]) {
                return error_set(err, ERR_UNSUPPORTED, 0,
                                 "the distances of sites %d and %d differ by direction", a + 1,
                                 b + 1);
            }
            value[a * grid->sites + b] = (uint32_t)distance[a * grid->sites + b];
        }
    }
    return 0;
}

static struct grid_table *site_table(struct arena *arena, struct grid *grid, uint32_t **ret_value)
{
    struct grid_table *table = arena_array(arena, 1, sizeof(*table));
    uint32_t *value =
        arena_array(arena, (size_t)grid->sites * (size_t)grid->sites, sizeof(uint32_t));
    if (table == NULL || value == NULL) {
        return NULL;
    }
    *table = (struct grid_table){
        .by_site = true, .rows = grid->sites, .columns = grid->sites, .value = value};
    grid->table = table;
    grid->tables = 1;
    *ret_value = value;
    return table;
}
