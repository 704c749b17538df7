#include "model/solve/wide.h"

#include <string.h>

/* A sum that no assignment of open cells and pairs reaches. */
#define CLOSED (INT64_C(1) << 61)
/* Tables that are added up at once, and parts of one, at most. */
#define READINGS 64
#define SCOPE    64

/* A sum of costs by the cells of some parts. */
struct table {
    int count;
    const int *part; /* in rising order */
    int64_t *value;  /* the last part's cells side by side */
    struct table *next;
};

struct wide {
    const struct grid *grid;
    struct arena *arena;
    size_t words;      /* of a row of near[] */
    uint64_t *near;    /* [part * words]: parts with a link or a table in common */
    bool *gone;        /* [part] */
    int *order;        /* parts as they go */
    int *position;     /* [part] */
    struct table **at; /* [part]: tables that are added up when it goes */
    double most;       /* no sum of costs is larger */
};

static int no_memory(struct error *err);
static bool begin(struct wide *wide);
static bool order_parts(struct wide *wide);
static double weight(const struct wide *wide, int part);
static void connect(struct wide *wide, int part);
static bool is_near(const struct wide *wide, int part, int other);
static bool fill(struct wide *wide);
static bool add_table(struct wide *wide, const int *part, int count, struct table **ret_table);
static void remember(struct wide *wide, const struct table *table);
static void file_table(struct wide *wide, struct table *table);
static bool eliminate(struct wide *wide, int part, struct wide_result *result);
static void least_over(const struct wide *wide, int part, const struct table *out);
static void read_back(const struct wide *wide, int *choice);
static size_t stride_of(const struct wide *wide, const struct table *table, int part);

int wide_solve(const struct grid *grid, struct arena *arena, struct wide_result *ret_result,
               struct error *err)
{
    struct wide wide = {.grid = grid, .arena = arena};
    struct wide_result result = {.possible = true};
    if (grid->parts > WIDE_PARTS) {
        *ret_result = result;
        return 0;
    }
    if (!begin(&wide)) {
        return no_memory(err);
    }
    result.fits = order_parts(&wide);
    if (!result.fits) {
        *ret_result = result;
        return 0;
    }
    result.choice = arena_array(arena, (size_t)grid->parts + 1, sizeof(int));
    if (result.choice == NULL || !fill(&wide)) {
        return no_memory(err);
    }
    result.fits = wide.most < (double)(CLOSED / 4);
    for (int i = 0; i < grid->parts && result.possible && result.fits; i++) {
        if (!eliminate(&wide, wide.order[i], &result)) {
            return no_memory(err);
        }
    }
    if (result.possible && result.fits) {
        read_back(&wide, result.choice);
        result.least = grid_cost_of(grid, result.choice);
    }
    *ret_result = result;
    return 0;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tables of linked parts");
}

static bool begin(struct wide *wide)
{
    size_t parts = (size_t)wide->grid->parts;
    wide->words = parts / 64 + 1;
    wide->near = arena_array(wide->arena, parts * wide->words + 1, sizeof(uint64_t));
    wide->gone = arena_array(wide->arena, parts + 1, sizeof(bool));
    wide->order = arena_array(wide->arena, parts + 1, sizeof(int));
    wide->position = arena_array(wide->arena, parts + 1, sizeof(int));
    wide->at = arena_array(wide->arena, parts + 1, sizeof(*wide->at));
    return wide->near != NULL && wide->gone != NULL && wide->order != NULL &&
           wide->position != NULL && wide->at != NULL;
}

/* ---- the order ---- */

/* Always the part whose table is smallest. False: together they are too large. */
static bool order_parts(struct wide *wide)
{
    const struct grid *grid = wide->grid;
    double *weights = arena_array(wide->arena, (size_t)grid->parts + 1, sizeof(double));
    if (weights == NULL) {
        return false;
    }
    for (int i = 0; i < grid->links; i++) {
        int a = grid->link[i].a;
        int b = grid->link[i].b;
        wide->near[(size_t)a * wide->words + (size_t)b / 64] |= UINT64_C(1) << (b % 64);
        wide->near[(size_t)b * wide->words + (size_t)a / 64] |= UINT64_C(1) << (a % 64);
    }
    for (int part = 0; part < grid->parts; part++) {
        weights[part] = weight(wide, part);
    }
    double cells = 0;
    for (int step = 0; step < grid->parts; step++) {
        int best = -1;
        for (int part = 0; part < grid->parts; part++) {
            if (!wide->gone[part] && (best < 0 || weights[part] < weights[best])) {
                best = part;
            }
        }
        cells += weights[best];
        if (cells > (double)WIDE_CELLS) {
            return false;
        }
        wide->order[step] = best;
        wide->position[best] = step;
        wide->gone[best] = true;
        connect(wide, best);
        for (int part = 0; part < grid->parts; part++) {
            if (!wide->gone[part] && is_near(wide, best, part)) {
                weights[part] = weight(wide, part);
            }
        }
    }
    return true;
}

/* Cells of the table over a part and what is near it. */
static double weight(const struct wide *wide, int part)
{
    double cells = grid_cells(wide->grid, part);
    for (int other = 0; other < wide->grid->parts; other++) {
        if (!wide->gone[other] && is_near(wide, part, other)) {
            cells *= grid_cells(wide->grid, other);
        }
    }
    return cells;
}

/* Parts near one that goes are near each other from then on. */
static void connect(struct wide *wide, int part)
{
    const uint64_t *mine = wide->near + (size_t)part * wide->words;
    for (int other = 0; other < wide->grid->parts; other++) {
        if (wide->gone[other] || !is_near(wide, part, other)) {
            continue;
        }
        uint64_t *theirs = wide->near + (size_t)other * wide->words;
        for (size_t i = 0; i < wide->words; i++) {
            theirs[i] |= mine[i];
        }
        theirs[(size_t)other / 64] &= ~(UINT64_C(1) << (other % 64));
    }
}

static bool is_near(const struct wide *wide, int part, int other)
{
    return (wide->near[(size_t)part * wide->words + (size_t)other / 64] >> (other % 64) & 1) != 0;
}

/* ---- the tables ---- */

static bool fill(struct wide *wide)
{
    const struct grid *grid = wide->grid;
    for (int part = 0; part < grid->parts; part++) {
        struct table *table;
        if (!add_table(wide, &part, 1, &table)) {
            return false;
        }
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            bool closed = grid_cost_raw(grid, part, cell) == GRID_CLOSED;
            table->value[cell] = closed ? CLOSED : grid_cost(grid, part, cell);
        }
        remember(wide, table);
        file_table(wide, table);
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        int part[2] = {link->a < link->b ? link->a : link->b,
                       link->a < link->b ? link->b : link->a};
        struct table *table;
        if (!add_table(wide, part, 2, &table)) {
            return false;
        }
        int columns = grid_cells(grid, part[1]);
        for (int row = 0; row < grid_cells(grid, part[0]); row++) {
            for (int column = 0; column < columns; column++) {
                bool turned = part[0] != link->a;
                uint32_t value =
                    grid_link_raw(grid, link, turned ? column : row, turned ? row : column);
                table->value[row * columns + column] =
                    value == GRID_CLOSED ? CLOSED : link->base + link->scale * (int64_t)value;
            }
        }
        remember(wide, table);
        file_table(wide, table);
    }
    return true;
}

static bool add_table(struct wide *wide, const int *part, int count, struct table **ret_table)
{
    size_t cells = 1;
    for (int i = 0; i < count; i++) {
        cells *= (size_t)grid_cells(wide->grid, part[i]);
    }
    struct table *table = arena_alloc(wide->arena, sizeof(*table));
    if (table == NULL) {
        return false;
    }
    table->count = count;
    table->part = arena_copy(wide->arena, part, (size_t)count * sizeof(int) + (count == 0));
    table->value = arena_alloc_raw(wide->arena, cells * sizeof(int64_t));
    *ret_table = table;
    return table->part != NULL && table->value != NULL;
}

static void remember(struct wide *wide, const struct table *table)
{
    size_t cells = 1;
    for (int i = 0; i < table->count; i++) {
        cells *= (size_t)grid_cells(wide->grid, table->part[i]);
    }
    double most = 0;
    for (size_t i = 0; i < cells; i++) {
        double value = table->value[i] == CLOSED ? 0 : (double)table->value[i];
        value = value < 0 ? -value : value;
        most = value > most ? value : most;
    }
    wide->most += most;
}

/* It waits for the first of its parts to go, added to one over the same parts if there is one. */
static void file_table(struct wide *wide, struct table *table)
{
    int first = table->part[0];
    size_t cells = 1;
    for (int i = 0; i < table->count; i++) {
        int part = table->part[i];
        cells *= (size_t)grid_cells(wide->grid, part);
        first = wide->position[part] < wide->position[first] ? part : first;
    }
    for (struct table *other = wide->at[first]; other != NULL; other = other->next) {
        if (other->count == table->count &&
            memcmp(other->part, table->part, (size_t)table->count * sizeof(int)) == 0) {
            for (size_t i = 0; i < cells; i++) {
                int64_t sum = other->value[i] + table->value[i];
                other->value[i] = sum > CLOSED ? CLOSED : sum;
            }
            return;
        }
    }
    table->next = wide->at[first];
    wide->at[first] = table;
}

static bool eliminate(struct wide *wide, int part, struct wide_result *result)
{
    int *scope = arena_array(wide->arena, (size_t)wide->grid->parts + 1, sizeof(int));
    if (scope == NULL) {
        return false;
    }
    int count = 0;
    for (int other = 0; other < wide->grid->parts; other++) {
        if (wide->position[other] > wide->position[part] && is_near(wide, part, other)) {
            scope[count++] = other;
        }
    }
    int tables = 0;
    for (const struct table *table = wide->at[part]; table != NULL; table = table->next) {
        tables++;
    }
    struct table *out;
    if (tables > READINGS || count > SCOPE) {
        result->fits = false;
        return true;
    }
    if (!add_table(wide, scope, count, &out)) {
        return false;
    }
    least_over(wide, part, out);
    if (count == 0) {
        result->possible = result->possible && out->value[0] < CLOSED / 2;
    } else {
        file_table(wide, out);
    }
    return true;
}

/* What one table of the sum adds at the cells at hand. */
struct reading {
    const int64_t *value;
    size_t at;
    size_t step;          /* between two cells of the part that goes */
    size_t stride[SCOPE]; /* [scope]: between two cells of that part; 0: it does not name it */
};

/* out->value: the least over the cells of `part` of the sum of its tables. */
static void least_over(const struct wide *wide, int part, const struct table *out)
{
    int cell[SCOPE] = {0};
    int own = grid_cells(wide->grid, part);
    size_t cells = 1;
    for (int i = 0; i < out->count; i++) {
        cells *= (size_t)grid_cells(wide->grid, out->part[i]);
    }
    struct reading reading[READINGS];
    int readings = 0;
    for (const struct table *table = wide->at[part]; table != NULL; table = table->next) {
        struct reading *it = &reading[readings++];
        *it = (struct reading){.value = table->value, .step = stride_of(wide, table, part)};
        for (int i = 0; i < out->count; i++) {
            it->stride[i] = stride_of(wide, table, out->part[i]);
        }
    }
    for (size_t k = 0; k < cells; k++) {
        int64_t least = CLOSED;
        for (int i = 0; i < own; i++) {
            int64_t sum = 0;
            for (int r = 0; r < readings; r++) {
                sum += reading[r].value[reading[r].at + reading[r].step * (size_t)i];
                sum = sum > CLOSED ? CLOSED : sum;
            }
            least = sum < least ? sum : least;
        }
        out->value[k] = least > CLOSED / 2 ? CLOSED : least;
        for (int i = out->count - 1; i >= 0; i--) {
            int size = grid_cells(wide->grid, out->part[i]);
            bool wraps = ++cell[i] == size;
            for (int r = 0; r < readings; r++) {
                reading[r].at += reading[r].stride[i];
                reading[r].at -= wraps ? reading[r].stride[i] * (size_t)size : 0;
            }
            if (!wraps) {
                break;
            }
            cell[i] = 0;
        }
    }
}

static size_t stride_of(const struct wide *wide, const struct table *table, int part)
{
    size_t stride = 1;
    for (int i = table->count - 1; i >= 0; i--) {
        if (table->part[i] == part) {
            return stride;
        }
        stride *= (size_t)grid_cells(wide->grid, table->part[i]);
    }
    return 0;
}

/* From the last part that went to the first: those near it that went later have their cells. */
static void read_back(const struct wide *wide, int *choice)
{
    const struct grid *grid = wide->grid;
    for (int i = grid->parts - 1; i >= 0; i--) {
        int part = wide->order[i];
        int64_t least = INT64_MAX;
        int now = grid->current != NULL ? grid->current[part] : -1;
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            int64_t sum = 0;
            choice[part] = cell;
            for (const struct table *table = wide->at[part]; table != NULL; table = table->next) {
                size_t at = 0;
                for (int k = 0; k < table->count; k++) {
                    at = at * (size_t)grid_cells(grid, table->part[k]) +
                         (size_t)choice[table->part[k]];
                }
                sum += table->value[at];
                sum = sum > CLOSED ? CLOSED : sum;
            }
            /* Among equals it stays where it is. */
            if (sum < least || (sum == least && cell == now)) {
                least = sum;
                wide->position[part] = cell;
            }
        }
        choice[part] = wide->position[part];
    }
}
