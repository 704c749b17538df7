/*
 * The condensed problem as a linear programme: columns of units, and for every row what may be
 * taken above its room at the box's upper price or left below it at the lower one. Its multipliers
 * are the best prices in the box.
 */
#include <glpk.h>
#include <math.h>
#include <stdlib.h>

#include "model/solve/dual_condense.h"

#define STEPS_MAX 200000
#define DIVIDED   1e-6 /* a share this far from 0 and 1 */

static void rows_add(glp_prob *lp, size_t n, const struct dual_condensed *condensed, int *lp_row);
static bool columns_add(glp_prob *lp, const struct dual_condensed *condensed, const int *lp_row);
static bool solve(glp_prob *lp);
static int divided_of(glp_prob *lp, const struct dual_condensed *condensed);

bool dual_master(size_t n, const struct dual_condensed *condensed, double *v, double *ret_gain,
                 int *ret_divided)
{
    glp_prob *lp = glp_create_prob();
    int *lp_row = calloc(n + 1, sizeof(int));
    bool done = lp_row != NULL;
    if (done) {
        rows_add(lp, n, condensed, lp_row);
        done = columns_add(lp, condensed, lp_row) && solve(lp);
    }
    if (done) {
        double unit = condensed->reach < INFINITY ? condensed->reach : 1;
        for (size_t k = 0; k < n; k++) {
            double price = lp_row[k] > 0 ? -glp_get_row_dual(lp, lp_row[k]) * unit : 0;
            price = price < condensed->from[k] ? condensed->from[k] : price;
            v[k] = price > condensed->to[k] ? condensed->to[k] : price;
        }
        *ret_gain = glp_get_obj_val(lp) * unit;
        *ret_divided = divided_of(lp, condensed);
    }
    free(lp_row);
    glp_delete_prob(lp);
    return done;
}

/* One row per unit, which is 1; one per limited row of the grid. */
static void rows_add(glp_prob *lp, size_t n, const struct dual_condensed *condensed, int *lp_row)
{
    int count = condensed->units;
    for (size_t k = 0; k < n; k++) {
        lp_row[k] = condensed->from[k] < condensed->to[k] ? ++count : 0;
    }
    if (count > 0) {
        glp_add_rows(lp, count);
    }
    for (int unit = 0; unit < condensed->units; unit++) {
        glp_set_row_bnds(lp, unit + 1, GLP_FX, 1, 1);
        glp_set_row_stat(lp, unit + 1, GLP_NS);
    }
    for (size_t k = 0; k < n; k++) {
        if (lp_row[k] > 0) {
            glp_set_row_bnds(lp, lp_row[k], GLP_FX, condensed->room[k], condensed->room[k]);
            glp_set_row_stat(lp, lp_row[k], GLP_NS);
        }
    }
}

struct filling {
    glp_prob *lp;
    int *at; /* the matrix in triples, from 1 */
    int *column;
    double *value;
    int count;
};

static void put(struct filling *filling, int row, int column, double value)
{
    filling->count++;
    filling->at[filling->count] = row;
    filling->column[filling->count] = column;
    filling->value[filling->count] = value;
}

/* A basis that is feasible at once: each unit's best column, and what that takes above or below
 * each row's room. */
static void fill(struct filling *filling, const struct dual_condensed *condensed, const int *lp_row,
                 const double *left, const size_t *grid_row)
{
    glp_prob *lp = filling->lp;
    double unit = condensed->reach < INFINITY ? condensed->reach : 1;
    for (int i = 0; i < condensed->units; i++) {
        bool begun = false;
        for (int c = condensed->first[i]; c < condensed->first[i + 1]; c++) {
            glp_set_col_bnds(lp, c + 1, GLP_LO, 0, 0);
            glp_set_obj_coef(lp, c + 1, condensed->cost[c] / unit);
            bool best = condensed->cost[c] <= 0 && !begun;
            begun = begun || best;
            glp_set_col_stat(lp, c + 1, best ? GLP_BS : GLP_NL);
            put(filling, i + 1, c + 1, 1);
            for (int t = condensed->begin[c]; t < condensed->begin[c + 1]; t++) {
                if (lp_row[condensed->row[t]] > 0 && condensed->amount[t] > 0) {
                    put(filling, lp_row[condensed->row[t]], c + 1, condensed->amount[t]);
                }
            }
        }
    }
    int limits = glp_get_num_rows(lp) - condensed->units;
    for (int i = 0; i < limits; i++) {
        int above = condensed->columns + 2 * i + 1;
        int row = condensed->units + i + 1;
        glp_set_col_bnds(lp, above, GLP_LO, 0, 0);
        glp_set_col_bnds(lp, above + 1, GLP_LO, 0, 0);
        glp_set_obj_coef(lp, above, condensed->to[grid_row[i]] / unit);
        glp_set_obj_coef(lp, above + 1, -condensed->from[grid_row[i]] / unit);
        glp_set_col_stat(lp, above, left[i] < 0 ? GLP_BS : GLP_NL);
        glp_set_col_stat(lp, above + 1, left[i] < 0 ? GLP_NL : GLP_BS);
        put(filling, row, above, -1);
        put(filling, row, above + 1, 1);
    }
    glp_load_matrix(lp, filling->count, filling->at, filling->column, filling->value);
}

static bool columns_add(glp_prob *lp, const struct dual_condensed *condensed, const int *lp_row)
{
    int limits = glp_get_num_rows(lp) - condensed->units;
    size_t most = (size_t)condensed->columns + (size_t)condensed->takes + 2 * (size_t)limits + 1;
    struct filling filling = {.lp = lp};
    filling.at = calloc(most, sizeof(int));
    filling.column = calloc(most, sizeof(int));
    filling.value = calloc(most, sizeof(double));
    double *left = calloc((size_t)limits + 1, sizeof(double));
    size_t *grid_row = calloc((size_t)limits + 1, sizeof(size_t));
    bool done = filling.at != NULL && filling.column != NULL && filling.value != NULL &&
                left != NULL && grid_row != NULL && condensed->columns > 0;
    if (done) {
        int found = 0;
        for (size_t k = 0; found < limits; k++) {
            if (lp_row[k] > 0) {
                left[found] = condensed->room[k];
                grid_row[found++] = k;
            }
        }
        for (int i = 0; i < condensed->units; i++) {
            int best = condensed->first[i];
            while (condensed->cost[best] > 0 && best + 1 < condensed->first[i + 1]) {
                best++;
            }
            for (int t = condensed->begin[best]; t < condensed->begin[best + 1]; t++) {
                int row = lp_row[condensed->row[t]];
                if (row > 0) {
                    left[row - condensed->units - 1] -= condensed->amount[t];
                }
            }
        }
        glp_add_cols(lp, condensed->columns + 2 * limits);
        fill(&filling, condensed, lp_row, left, grid_row);
    }
    free(filling.at);
    free(filling.column);
    free(filling.value);
    free(left);
    free(grid_row);
    return done;
}

static bool solve(glp_prob *lp)
{
    glp_smcp options;
    glp_init_smcp(&options);
    options.msg_lev = GLP_MSG_OFF;
    options.it_lim = STEPS_MAX;
    options.meth = GLP_PRIMAL;
    int rc = glp_simplex(lp, &options);
    if (rc != 0 && rc != GLP_EITLIM) {
        glp_std_basis(lp);
        options.meth = GLP_DUALP;
        rc = glp_simplex(lp, &options);
    }
    return rc == 0 && glp_get_status(lp) == GLP_OPT;
}

static int divided_of(glp_prob *lp, const struct dual_condensed *condensed)
{
    int divided = 0;
    for (int i = 0; i < condensed->units; i++) {
        bool whole = false;
        for (int c = condensed->first[i]; c < condensed->first[i + 1]; c++) {
            whole = whole || glp_get_col_prim(lp, c + 1) > 1 - DIVIDED;
        }
        divided += !whole;
    }
    return divided;
}
