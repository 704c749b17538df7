#include <string.h>

#include "tests/bench/solver/formats_internal.h"

#define VARIABLES_MAX 2048
#define FUNCTIONS_MAX 100000

/* The network as it is read: functions of three variables become variables of their own. */
struct network {
    struct scan *scan;
    struct arena *arena;
    int64_t top;   /* a cost of top or more is forbidden */
    int variables; /* of the file */
    int parts;     /* with those of the functions of three */
    int parts_max;
    int *domain;    /* [part] */
    int64_t **own;  /* [part] -> [cell], up to top */
    int64_t **pair; /* [a * variables + b], a < b, -> [cell_a * domain_b + cell_b], or NULL */
    struct grid_link *link;
    struct grid_table *table;
    int links;
    int links_max;
    int64_t constant;
    int64_t cells; /* of all tables so far */
};

static int read_header(struct network *network, int64_t *ret_functions, struct error *err);
static int read_function(struct network *network, struct error *err);
static int read_tuples(struct network *network, const int *scope, int arity, int64_t cells,
                       int64_t *value, struct error *err);
static int add_three(struct network *network, const int *scope, const int64_t *value, int64_t cells,
                     struct error *err);
static int64_t *pair_of(struct network *network, int a, int b);
static void add_to(const struct network *network, int64_t *sum, int64_t value);
static int finish(struct network *network, struct grid *grid, struct error *err);
static int join(struct network *network, int a, int b, const int64_t *value, struct error *err);

int format_wcsp(struct scan *scan, struct arena *arena, struct grid *grid, struct error *err)
{
    struct network network = {.scan = scan, .arena = arena};
    int64_t functions = 0;
    int rc = read_header(&network, &functions, err);
    for (int64_t i = 0; rc == 0 && i < functions; i++) {
        rc = read_function(&network, err);
    }
    return rc == 0 ? finish(&network, grid, err) : rc;
}

static int read_header(struct network *network, int64_t *ret_functions, struct error *err)
{
    struct scan *scan = network->scan;
    int64_t variables;
    int64_t widest;
    int64_t functions;
    int rc = scan_word(scan, "the name", err);
    rc = rc == 0 ? scan_number(scan, "variables", 1, VARIABLES_MAX, &variables, err) : rc;
    rc = rc == 0 ? scan_number(scan, "the largest domain", 1, GRID_SITES_MAX, &widest, err) : rc;
    rc = rc == 0 ? scan_number(scan, "functions", 0, FUNCTIONS_MAX, &functions, err) : rc;
    rc =
        rc == 0 ? scan_number(scan, "the upper bound", 1, GRID_CLOSED - 1, &network->top, err) : rc;
    if (rc < 0) {
        return rc;
    }
    network->variables = (int)variables;
    network->parts = (int)variables;
    network->parts_max = (int)(variables + functions);
    network->links_max = (int)(variables * 3 + functions * 3) + 1;
    size_t parts = (size_t)network->parts_max;
    network->domain = arena_array(network->arena, parts, sizeof(int));
    network->own = arena_array(network->arena, parts, sizeof(*network->own));
    network->pair =
        arena_array(network->arena, (size_t)(variables * variables), sizeof(*network->pair));
    network->link = arena_array(network->arena, (size_t)network->links_max, sizeof(*network->link));
    network->table =
        arena_array(network->arena, (size_t)network->links_max, sizeof(*network->table));
    if (network->domain == NULL || network->own == NULL || network->pair == NULL ||
        network->link == NULL || network->table == NULL) {
        return format_no_memory(err);
    }
    for (int part = 0; part < network->variables; part++) {
        int64_t domain;
        rc = scan_number(scan, "a domain", 1, widest, &domain, err);
        if (rc < 0) {
            return rc;
        }
        network->domain[part] = (int)domain;
        network->own[part] = arena_array(network->arena, (size_t)domain, sizeof(int64_t));
        if (network->own[part] == NULL) {
            return format_no_memory(err);
        }
    }
    *ret_functions = functions;
    return 0;
}

static int read_function(struct network *network, struct error *err)
{
    int64_t arity;
    int scope[3] = {0};
    int64_t cells = 1;
    int rc = scan_number(network->scan, "the variables of a function", 0, 3, &arity, err);
    for (int i = 0; rc == 0 && i < arity; i++) {
        int64_t variable;
        rc = scan_number(network->scan, "a variable", 0, network->variables - 1, &variable, err);
        if (rc == 0) {
            scope[i] = (int)variable;
            cells *= network->domain[variable];
        }
    }
    if (rc < 0) {
        return rc;
    }
    if ((arity > 1 && scope[0] == scope[1]) ||
        (arity > 2 && (scope[0] == scope[2] || scope[1] == scope[2]))) {
        return error_set(err, ERR_INVALID, 0, "line %d: a function names a variable twice",
                         network->scan->line);
    }
    network->cells += cells;
    if (network->cells > FORMAT_CELLS) {
        return error_set(err, ERR_LIMIT, 0, "line %d: the functions have more than %lld values",
                         network->scan->line, (long long)FORMAT_CELLS);
    }
    int64_t *value = arena_array(network->arena, (size_t)cells, sizeof(int64_t));
    if (value == NULL) {
        return format_no_memory(err);
    }
    rc = read_tuples(network, scope, (int)arity, cells, value, err);
    if (rc < 0) {
        return rc;
    }
    if (arity == 0) {
        add_to(network, &network->constant, value[0]);
    } else if (arity == 1) {
        for (int64_t cell = 0; cell < cells; cell++) {
            add_to(network, &network->own[scope[0]][cell], value[cell]);
        }
    } else if (arity == 2) {
        int64_t *sum = pair_of(network, scope[0], scope[1]);
        if (sum == NULL) {
            return format_no_memory(err);
        }
        bool turned = scope[0] > scope[1];
        int64_t columns = network->domain[scope[1]];
        int64_t rows = network->domain[scope[0]];
        for (int64_t cell = 0; cell < cells; cell++) {
            int64_t at = turned ? cell % columns * rows + cell / columns : cell;
            add_to(network, &sum[at], value[cell]);
        }
    } else {
        rc = add_three(network, scope, value, cells, err);
    }
    return rc;
}

static int read_tuples(struct network *network, const int *scope, int arity, int64_t cells,
                       int64_t *value, struct error *err)
{
    int64_t standard;
    int64_t tuples;
    int rc = scan_number(network->scan, "a default cost", 0, INT64_MAX, &standard, err);
    rc = rc == 0 ? scan_number(network->scan, "tuples", 0, arity == 0 ? 1 : cells, &tuples, err)
                 : rc;
    if (rc < 0) {
        return rc;
    }
    for (int64_t cell = 0; cell < cells; cell++) {
        value[cell] = standard;
    }
    for (int64_t i = 0; i < tuples; i++) {
        int64_t cell = 0;
        for (int k = 0; k < arity; k++) {
            int64_t at;
            int domain = network->domain[scope[k]];
            rc = scan_number(network->scan, "a value of a tuple", 0, domain - 1, &at, err);
            if (rc < 0) {
                return rc;
            }
            cell = cell * domain + at;
        }
        rc = scan_number(network->scan, "a cost", 0, INT64_MAX, &value[cell], err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* A part whose cells are the tuples that are not forbidden, tied to each of the three variables by
 * a link that closes what disagrees. */
static int add_three(struct network *network, const int *scope, const int64_t *value, int64_t cells,
                     struct error *err)
{
    int part = network->parts++;
    int64_t *tuple = arena_array(network->arena, (size_t)cells, sizeof(int64_t));
    int64_t *own = arena_array(network->arena, (size_t)cells, sizeof(int64_t));
    if (tuple == NULL || own == NULL) {
        return format_no_memory(err);
    }
    int count = 0;
    for (int64_t cell = 0; cell < cells; cell++) {
        if (value[cell] < network->top) {
            tuple[count] = cell;
            own[count++] = value[cell];
        }
    }
    if (count == 0) { /* nothing may be taken: one closed cell says so */
        own[count++] = network->top;
    }
    network->domain[part] = count;
    network->own[part] = own;
    int64_t below = cells;
    for (int k = 0; k < 3; k++) {
        int domain = network->domain[scope[k]];
        below /= domain;
        int64_t *agree =
            arena_array(network->arena, (size_t)domain * (size_t)count, sizeof(int64_t));
        if (agree == NULL) {
            return format_no_memory(err);
        }
        for (int at = 0; at < domain; at++) {
            for (int i = 0; i < count; i++) {
                agree[at * count + i] = tuple[i] / below % domain == at ? 0 : network->top;
            }
        }
        int rc = join(network, scope[k], part, agree, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int64_t *pair_of(struct network *network, int a, int b)
{
    int low = a < b ? a : b;
    int high = a < b ? b : a;
    int64_t **pair = &network->pair[low * network->variables + high];
    if (*pair == NULL) {
        *pair = arena_array(network->arena,
                            (size_t)network->domain[low] * (size_t)network->domain[high],
                            sizeof(int64_t));
    }
    return *pair;
}

static void add_to(const struct network *network, int64_t *sum, int64_t value)
{
    *sum = value >= network->top - *sum ? network->top : *sum + value;
}

static int finish(struct network *network, struct grid *grid, struct error *err)
{
    size_t parts = (size_t)network->parts;
    size_t *first = arena_array(network->arena, parts + 1, sizeof(size_t));
    int64_t *base = arena_array(network->arena, parts, sizeof(int64_t));
    if (first == NULL || base == NULL) {
        return format_no_memory(err);
    }
    for (size_t part = 0; part < parts; part++) {
        first[part + 1] = first[part] + (size_t)network->domain[part];
    }
    uint32_t *cost = arena_array(network->arena, first[parts], sizeof(uint32_t));
    uint16_t *site = arena_array(network->arena, first[parts], sizeof(uint16_t));
    int64_t *capacity = arena_array(network->arena, 1, sizeof(int64_t));
    if (cost == NULL || site == NULL || capacity == NULL) {
        return format_no_memory(err);
    }
    for (size_t part = 0; part < parts; part++) {
        for (int cell = 0; cell < network->domain[part]; cell++) {
            int64_t own = network->own[part][cell];
            cost[first[part] + (size_t)cell] = own >= network->top ? GRID_CLOSED : (uint32_t)own;
        }
    }
    for (int a = 0; a < network->variables; a++) {
        for (int b = a + 1; b < network->variables; b++) {
            const int64_t *value = network->pair[a * network->variables + b];
            int rc = value != NULL ? join(network, a, b, value, err) : 0;
            if (rc < 0) {
                return rc;
            }
        }
    }
    base[0] = network->constant;
    for (int cell = 0; network->constant >= network->top && cell < network->domain[0]; cell++) {
        cost[cell] = GRID_CLOSED;
    }
    *grid = (struct grid){.parts = network->parts,
                          .sites = 1,
                          .first = first,
                          .site = site,
                          .base = base,
                          .cost = cost,
                          .capacity = capacity,
                          .links = network->links,
                          .link = network->link,
                          .tables = network->links,
                          .table = network->table};
    return 0;
}

static int join(struct network *network, int a, int b, const int64_t *value, struct error *err)
{
    size_t cells = (size_t)network->domain[a] * (size_t)network->domain[b];
    if (network->links == network->links_max) {
        size_t more = (size_t)network->links_max * 2;
        struct grid_link *link = arena_array(network->arena, more, sizeof(*link));
        struct grid_table *table = arena_array(network->arena, more, sizeof(*table));
        if (link == NULL || table == NULL) {
            return format_no_memory(err);
        }
        memcpy(link, network->link, (size_t)network->links * sizeof(*link));
        memcpy(table, network->table, (size_t)network->links * sizeof(*table));
        network->link = link;
        network->table = table;
        network->links_max = (int)more;
    }
    uint32_t *cost = arena_array(network->arena, cells, sizeof(uint32_t));
    if (cost == NULL) {
        return format_no_memory(err);
    }
    for (size_t cell = 0; cell < cells; cell++) {
        cost[cell] = value[cell] >= network->top ? GRID_CLOSED : (uint32_t)value[cell];
    }
    network->table[network->links] = (struct grid_table){
        .rows = network->domain[a], .columns = network->domain[b], .value = cost};
    network->link[network->links] =
        (struct grid_link){.a = a, .b = b, .table = network->links, .scale = 1};
    network->links++;
    return 0;
}
