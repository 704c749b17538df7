/* How many of each kind go to each group, as a linear programme in shares of the kinds. */
#include <glpk.h>
#include <math.h>
#include <stdlib.h>

#include "model/solve/classes.h"

/* Above these the simplex method takes longer than the climb of dual.h. */
#define COLUMNS_MAX ((size_t)80000)
#define ROWS_MAX    2000
#define STEPS_MAX   200000
#define TOLERANCE   1e-9
#define ROUNDED     1e-6 /* below a whole number, and still one */

struct columns {
    const struct grid *grid;
    const struct classes *classes;
    int *site;     /* [group] its first site */
    int *row;      /* [group * resources + r] of the programme, 0: no limit is in reach */
    double *room;  /* [group * resources + r] of all its sites */
    double unit;   /* of cost */
    double *least; /* [kind] per part */
    int count;     /* columns */
    int entries;   /* of the matrix */
    int *kind;     /* [column], from 1 */
    int *group;
};

static int columns_make(struct columns *columns, struct arena *arena, struct error *err);
static void rooms(struct columns *columns);
static bool shares(struct columns *columns, glp_prob *lp);
static bool fill(const struct columns *columns, glp_prob *lp);
static bool solve(glp_prob *lp);
static void take_prices(const struct columns *columns, glp_prob *lp, double *price);
static void take_counts(const struct columns *columns, glp_prob *lp, double *part, int *count);

int classes_price(const struct grid *grid, const struct classes *classes, struct arena *arena,
                  double *price, int *count, bool *ret_done, struct error *err)
{
    size_t cells = (size_t)classes->kinds * (size_t)classes->groups;
    size_t rows = (size_t)classes->kinds + (size_t)classes->groups * (size_t)grid->resources;
    *ret_done = false;
    if (cells > COLUMNS_MAX || rows > ROWS_MAX) {
        return 0;
    }
    struct columns columns = {.grid = grid, .classes = classes};
    double *part = arena_array(arena, cells + 1, sizeof(double));
    int rc = columns_make(&columns, arena, err);
    if (rc < 0 || part == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu kinds of cells", cells);
    }
    glp_prob *lp = glp_create_prob();
    if (shares(&columns, lp) && solve(lp)) {
        take_prices(&columns, lp, price);
        take_counts(&columns, lp, part, count);
        *ret_done = true;
    }
    glp_delete_prob(lp);
    return 0;
}

static int columns_make(struct columns *columns, struct arena *arena, struct error *err)
{
    const struct classes *classes = columns->classes;
    size_t cells = (size_t)classes->kinds * (size_t)classes->groups;
    size_t rows = (size_t)classes->groups * (size_t)columns->grid->resources;
    columns->site = arena_array(arena, (size_t)classes->groups, sizeof(int));
    columns->row = arena_array(arena, rows + 1, sizeof(int));
    columns->room = arena_array(arena, rows + 1, sizeof(double));
    columns->least = arena_array(arena, (size_t)classes->kinds, sizeof(double));
    columns->kind = arena_array(arena, cells + 1, sizeof(int));
    columns->group = arena_array(arena, cells + 1, sizeof(int));
    if (columns->site == NULL || columns->row == NULL || columns->room == NULL ||
        columns->least == NULL || columns->kind == NULL || columns->group == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the kinds' programme");
    }
    for (int group = 0; group < classes->groups; group++) {
        columns->site[group] = classes->group_site[classes->group_first[group]];
    }
    rooms(columns);
    return 0;
}

/* The capacity of each group, and which of its rows all parts together could fill. */
static void rooms(struct columns *columns)
{
    const struct grid *grid = columns->grid;
    const struct classes *classes = columns->classes;
    int resources = grid->resources;
    for (int group = 0; group < classes->groups; group++) {
        int site = columns->site[group];
        int members = classes->group_first[group + 1] - classes->group_first[group];
        for (int r = 0; r < resources; r++) {
            int64_t each = grid->capacity[(size_t)site * (size_t)resources + (size_t)r];
            double all = 0;
            for (int kind = 0; kind < classes->kinds && each < INT64_MAX; kind++) {
                int cell = classes_cell(grid, classes, kind, site);
                if (cell >= 0) {
                    int part = classes->kind_part[classes->kind_first[kind]];
                    all += (double)grid_demand(grid, part, cell)[r] *
                           (double)classes_members(classes, kind);
                }
            }
            size_t at = (size_t)group * (size_t)resources + (size_t)r;
            columns->room[at] = (double)each * (double)members;
            columns->row[at] = each < INT64_MAX && all > columns->room[at];
        }
    }
}

/* Columns are shares of a kind: what a whole kind costs above its least, and of the groups' room
 * takes; so all numbers are near 1, and a unit of cost is what a kind's choice matters. */
static bool shares(struct columns *columns, glp_prob *lp)
{
    const struct grid *grid = columns->grid;
    const struct classes *classes = columns->classes;
    double spread = 0;
    for (int kind = 0; kind < classes->kinds; kind++) {
        int part = classes->kind_part[classes->kind_first[kind]];
        double sum = 0;
        double least = INFINITY;
        double most = -INFINITY;
        int open = 0;
        for (int group = 0; group < classes->groups; group++) {
            int cell = classes_cell(grid, classes, kind, columns->site[group]);
            if (cell >= 0) {
                double cost = (double)grid_cost(grid, part, cell);
                least = fmin(least, cost);
                most = fmax(most, cost);
                sum += cost;
                open++;
                columns->count++;
                columns->kind[columns->count] = kind;
                columns->group[columns->count] = group;
            }
        }
        if (open == 0) {
            return false;
        }
        columns->least[kind] = least;
        /* The dearest cell is left out: it may be what a part costs that goes nowhere. */
        spread += ((sum - most) - least * (open - 1)) * classes_members(classes, kind) / open;
    }
    columns->unit = fmax(spread / classes->kinds, 1);
    glp_add_rows(lp, classes->kinds);
    for (int kind = 0; kind < classes->kinds; kind++) {
        glp_set_row_bnds(lp, kind + 1, GLP_FX, 1, 1);
    }
    for (int i = 0; i < classes->groups * grid->resources; i++) {
        if (columns->row[i] > 0) {
            columns->row[i] = glp_add_rows(lp, 1);
            double full = columns->room[i] > 0 ? 1 : 0;
            glp_set_row_bnds(lp, columns->row[i], GLP_UP, 0, full);
        }
    }
    glp_add_cols(lp, columns->count);
    return fill(columns, lp);
}

static bool fill(const struct columns *columns, glp_prob *lp)
{
    const struct grid *grid = columns->grid;
    const struct classes *classes = columns->classes;
    int index[LIMIT_RESOURCES + 2];
    double value[LIMIT_RESOURCES + 2];
    for (int column = 1; column <= columns->count; column++) {
        int kind = columns->kind[column];
        int group = columns->group[column];
        int part = classes->kind_part[classes->kind_first[kind]];
        int cell = classes_cell(grid, classes, kind, columns->site[group]);
        double members = classes_members(classes, kind);
        double cost = (double)grid_cost(grid, part, cell) - columns->least[kind];
        glp_set_col_bnds(lp, column, GLP_LO, 0, 0);
        glp_set_obj_coef(lp, column, cost * members / columns->unit);
        int terms = 1;
        index[1] = kind + 1;
        value[1] = 1;
        for (int r = 0; r < grid->resources; r++) {
            int at = group * grid->resources + r;
            int32_t demand = grid_demand(grid, part, cell)[r];
            if (columns->row[at] > 0 && demand > 0) {
                terms++;
                index[terms] = columns->row[at];
                value[terms] = (double)demand * members / fmax(columns->room[at], 1);
            }
        }
        glp_set_mat_col(lp, column, terms, index, value);
    }
    return true;
}

/* Nothing costs less than nothing: the dual simplex method begins with nothing taken. */
static bool solve(glp_prob *lp)
{
    glp_smcp options;
    glp_init_smcp(&options);
    options.msg_lev = GLP_MSG_OFF;
    options.it_lim = STEPS_MAX;
    options.meth = GLP_DUALP;
    options.tol_dj = TOLERANCE;
    options.tol_bnd = TOLERANCE;
    glp_std_basis(lp);
    return glp_simplex(lp, &options) == 0 && glp_get_status(lp) == GLP_OPT;
}

static void take_prices(const struct columns *columns, glp_prob *lp, double *price)
{
    const struct grid *grid = columns->grid;
    size_t resources = (size_t)grid->resources;
    for (size_t site = 0; site < (size_t)grid->sites; site++) {
        size_t group = (size_t)columns->classes->group_of[site];
        for (size_t r = 0; r < resources; r++) {
            size_t at = group * resources + r;
            double dual = columns->row[at] > 0 ? -glp_get_row_dual(lp, columns->row[at]) : 0;
            price[site * resources + r] =
                fmax(dual, 0) * columns->unit / fmax(columns->room[at], 1);
        }
    }
}

/* Rounded down, and what is then missing of a kind where most was cut off. */
static void take_counts(const struct columns *columns, glp_prob *lp, double *part, int *count)
{
    const struct classes *classes = columns->classes;
    size_t groups = (size_t)classes->groups;
    for (size_t i = 0; i < (size_t)classes->kinds * groups; i++) {
        count[i] = 0;
        part[i] = -INFINITY;
    }
    for (int column = 1; column <= columns->count; column++) {
        size_t kind = (size_t)columns->kind[column];
        size_t at = kind * groups + (size_t)columns->group[column];
        double wish = fmin(fmax(glp_get_col_prim(lp, column), 0), 1);
        wish *= classes_members(classes, (int)kind);
        count[at] = (int)(wish + ROUNDED);
        part[at] = wish - count[at];
    }
    for (size_t kind = 0; kind < (size_t)classes->kinds; kind++) {
        int missing = classes_members(classes, (int)kind);
        for (size_t group = 0; group < groups; group++) {
            missing -= count[kind * groups + group];
        }
        for (; missing != 0; missing += missing > 0 ? -1 : 1) {
            int step = missing > 0 ? 1 : -1;
            size_t best = 0;
            bool found = false;
            for (size_t at = kind * groups; at < (kind + 1) * groups; at++) {
                bool may = part[at] > -INFINITY && count[at] + step >= 0;
                if (may && (!found || step * part[at] > step * part[best])) {
                    best = at;
                    found = true;
                }
            }
            count[best] += step;
            part[best] -= step;
        }
    }
}
