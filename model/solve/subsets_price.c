/*
 * Prices of parts: the dual of covering each part once with one set per site. GLPK solves
 * programmes of few columns; the next ones are those that the sets' own scan finds cheapest at
 * prices between GLPK's and the best known ones (Wentges, 1997: they swing less).
 *
 * GLPK's prices are only ever a suggestion: the bound is added up in integers over all open sets.
 */
#include <glpk.h>
#include <math.h>
#include <string.h>

#include "model/solve/subsets_internal.h"

#define CHEAPEST    8    /* columns of a site that a scan brings */
#define KEPT        0.6  /* of the best known prices in those that are tried */
#define STEPS_MAX   5000 /* of the simplex method, for one programme */
#define UNIT_SHARE  1e-4 /* of the reach: costs of the programme are some thousands */
#define NEAR_ENOUGH 0.25 /* of one unit of cost between the programme and the bound */

struct pricing {
    struct subsets *subsets;
    struct subsets_node *node;
    glp_prob *lp;
    double unit;
    double value;               /* of the last programme */
    double glpk[SUBSETS_PARTS]; /* its prices of parts */
    double site_price[SUBSETS_SITES];
    int64_t trial[SUBSETS_PARTS];
    int64_t least[SUBSETS_SITES];
    struct subset cheap[SUBSETS_SITES][CHEAPEST]; /* with cost less prices, cheapest first */
    int cheap_count[SUBSETS_SITES];
};

static int64_t scan(struct pricing *pricing);
static void scan_site(struct pricing *pricing, int site, const struct subsets_table *table);
static void programme(struct pricing *pricing);
static void rows_add(struct pricing *pricing);
static void column_add(struct pricing *pricing, int site, const struct subset *set);
static bool solve(struct pricing *pricing);
static bool step(struct pricing *pricing, double kept, bool *ret_better);
static bool columns_add(struct pricing *pricing);
static bool is_open(const struct subsets_node *node, const struct subset_at *column);

void subsets_table(const int64_t *price, struct subsets_table *ret_table)
{
    for (int eight = 0; eight < 4; eight++) {
        int64_t *sum = ret_table->sum[eight];
        sum[0] = 0;
        for (uint32_t parts = 1; parts < 256; parts++) {
            int part = eight * 8 + __builtin_ctz(parts);
            sum[parts] = sum[parts & (parts - 1)] + (part < SUBSETS_PARTS ? price[part] : 0);
        }
    }
}

void subsets_bound(struct subsets *subsets, struct subsets_node *node)
{
    struct subsets_table table;
    subsets_table(node->price, &table);
    int64_t bound = 0;
    for (int part = 0; part < subsets->parts; part++) {
        bound += node->price[part];
    }
    for (int site = 0; site < subsets->sites; site++) {
        const struct subset *set = subsets->set + subsets->first[site];
        int64_t least = INT64_MAX;
        for (size_t i = 0; i < node->count[site]; i++) {
            int64_t above = set[i].cost - subsets_price_of(&table, set[i].parts);
            least = above < least ? above : least;
        }
        node->least[site] = least;
        bound = least == INT64_MAX || bound == INT64_MAX ? INT64_MAX : bound + least;
        subsets->result.work += (int64_t)node->count[site];
    }
    node->bound = bound;
}

void subsets_price(struct subsets *subsets, struct subsets_node *node, int rounds)
{
    if (node->bound > subsets->limit) {
        return;
    }
    struct pricing pricing = {.subsets = subsets, .node = node, .lp = glp_create_prob()};
    pricing.unit = fmax(1, (double)subsets->reach * (double)subsets->scale * UNIT_SHARE);
    programme(&pricing);
    bool again = true;
    for (int round = 0; round < rounds && again && node->bound <= subsets->limit; round++) {
        if (!subsets_go_on(subsets, 0) || !solve(&pricing) ||
            pricing.value - (double)node->bound < NEAR_ENOUGH * (double)subsets->scale) {
            break;
        }
        bool better = false;
        again = step(&pricing, KEPT, &better);
        if (!again && node->bound <= subsets->limit) {
            again = step(&pricing, 0, &better); /* what GLPK's own prices bring ends it */
        }
        again = again || better;
    }
    glp_delete_prob(pricing.lp);
}

/* Prices between the best and the programme's: a better bound, or columns. */
static bool step(struct pricing *pricing, double kept, bool *ret_better)
{
    struct subsets *subsets = pricing->subsets;
    struct subsets_node *node = pricing->node;
    for (int part = 0; part < subsets->parts; part++) {
        double price = kept * (double)node->price[part] + (1 - kept) * pricing->glpk[part];
        pricing->trial[part] = llround(price);
    }
    int64_t bound = scan(pricing);
    *ret_better = bound > node->bound;
    if (*ret_better) {
        node->bound = bound;
        memcpy(node->price, pricing->trial, sizeof(node->price));
        memcpy(node->least, pricing->least, (size_t)subsets->sites * sizeof(int64_t));
    }
    return columns_add(pricing);
}

/* The bound at the trial prices, and each site's cheapest sets. */
static int64_t scan(struct pricing *pricing)
{
    struct subsets *subsets = pricing->subsets;
    struct subsets_table table;
    subsets_table(pricing->trial, &table);
    int64_t bound = 0;
    for (int part = 0; part < subsets->parts; part++) {
        bound += pricing->trial[part];
    }
    for (int site = 0; site < subsets->sites; site++) {
        scan_site(pricing, site, &table);
        bound += pricing->least[site]; /* the node's bound says that no site is empty */
        (void)subsets_go_on(subsets, (int64_t)pricing->node->count[site]);
    }
    return bound;
}

static void scan_site(struct pricing *pricing, int site, const struct subsets_table *table)
{
    const struct subset *set = pricing->subsets->set + pricing->subsets->first[site];
    struct subset *cheap = pricing->cheap[site];
    int count = 0;
    int64_t most = INT64_MAX; /* of a set that is to be kept */
    for (size_t i = 0; i < pricing->node->count[site]; i++) {
        int64_t above = set[i].cost - subsets_price_of(table, set[i].parts);
        if (above >= most) {
            continue;
        }
        int at = count < CHEAPEST ? count++ : CHEAPEST - 1;
        while (at > 0 && cheap[at - 1].cost > above) {
            cheap[at] = cheap[at - 1];
            at--;
        }
        cheap[at] = (struct subset){.cost = above, .parts = set[i].parts};
        most = count == CHEAPEST ? cheap[CHEAPEST - 1].cost : INT64_MAX;
    }
    pricing->cheap_count[site] = count;
    pricing->least[site] = cheap[0].cost;
}

/* ---- the programme ------------------------------------------------------------------------------
 */

static void programme(struct pricing *pricing)
{
    struct subsets *subsets = pricing->subsets;
    rows_add(pricing);
    size_t from = subsets->pooled > SUBSETS_POOL ? subsets->pooled - SUBSETS_POOL : 0;
    for (size_t i = from; i < subsets->pooled; i++) {
        const struct subset_at *column = &subsets->pool[i % SUBSETS_POOL];
        if (is_open(pricing->node, column)) {
            column_add(pricing, column->site, &column->set);
        }
    }
}

static bool is_open(const struct subsets_node *node, const struct subset_at *column)
{
    return (node->must[column->site] & ~column->set.parts) == 0 &&
           (node->never[column->site] & column->set.parts) == 0;
}

/* A row per part and per site, each 1, with a way out for what no column covers: it keeps prices
 * within what costs can justify. */
static void rows_add(struct pricing *pricing)
{
    const struct subsets *subsets = pricing->subsets;
    glp_prob *lp = pricing->lp;
    int rows = subsets->parts + subsets->sites;
    double way_out = 2 * (double)subsets->reach * (double)subsets->scale / pricing->unit;
    glp_add_rows(lp, rows);
    int column = glp_add_cols(lp, rows + subsets->parts);
    int at[2] = {0};
    double value[2] = {0};
    for (int row = 1; row <= rows; row++) {
        glp_set_row_bnds(lp, row, GLP_FX, 1, 1);
        for (int sign = 1; sign >= (row <= subsets->parts ? -1 : 1); sign -= 2) {
            at[1] = row;
            value[1] = sign;
            glp_set_col_bnds(lp, column, GLP_LO, 0, 0);
            glp_set_obj_coef(lp, column, way_out);
            glp_set_mat_col(lp, column, 1, at, value);
            column++;
        }
    }
}

static void column_add(struct pricing *pricing, int site, const struct subset *set)
{
    int row[SUBSETS_PARTS + 2];
    double value[SUBSETS_PARTS + 2];
    int count = 0;
    for (uint32_t parts = set->parts; parts != 0; parts &= parts - 1) {
        row[++count] = __builtin_ctz(parts) + 1;
        value[count] = 1;
    }
    row[++count] = pricing->subsets->parts + site + 1;
    value[count] = 1;
    int column = glp_add_cols(pricing->lp, 1);
    glp_set_col_bnds(pricing->lp, column, GLP_LO, 0, 0);
    glp_set_obj_coef(pricing->lp, column, (double)set->cost / pricing->unit);
    glp_set_mat_col(pricing->lp, column, count, row, value);
}

static bool solve(struct pricing *pricing)
{
    struct subsets *subsets = pricing->subsets;
    glp_smcp options;
    glp_init_smcp(&options);
    options.msg_lev = GLP_MSG_OFF;
    options.it_lim = STEPS_MAX;
    int before = glp_get_it_cnt(pricing->lp);
    int rc = glp_simplex(pricing->lp, &options);
    int64_t rows = subsets->parts + subsets->sites;
    int64_t steps = glp_get_it_cnt(pricing->lp) - before;
    bool goes_on = subsets_go_on(subsets, (steps + 1) * rows * rows);
    if (!goes_on || rc != 0 || glp_get_status(pricing->lp) != GLP_OPT) {
        return false;
    }
    pricing->value = glp_get_obj_val(pricing->lp) * pricing->unit;
    for (int part = 0; part < subsets->parts; part++) {
        pricing->glpk[part] = glp_get_row_dual(pricing->lp, part + 1) * pricing->unit;
    }
    for (int site = 0; site < subsets->sites; site++) {
        pricing->site_price[site] =
            glp_get_row_dual(pricing->lp, subsets->parts + site + 1) * pricing->unit;
    }
    return true;
}

/* The cheapest sets at the trial prices that the programme does not have: those that gain at its
 * own. False: there were none. */
static bool columns_add(struct pricing *pricing)
{
    struct subsets *subsets = pricing->subsets;
    bool some = false;
    for (int site = 0; site < subsets->sites; site++) {
        for (int i = 0; i < pricing->cheap_count[site]; i++) {
            struct subset set = pricing->cheap[site][i];
            double gain = pricing->site_price[site];
            for (uint32_t parts = set.parts; parts != 0; parts &= parts - 1) {
                gain += pricing->glpk[__builtin_ctz(parts)];
                set.cost += pricing->trial[__builtin_ctz(parts)];
            }
            if (gain - (double)set.cost <= 1e-3 * (double)subsets->scale) {
                continue;
            }
            column_add(pricing, site, &set);
            subsets->pool[subsets->pooled++ % SUBSETS_POOL] =
                (struct subset_at){.set = set, .site = site};
            some = true;
        }
    }
    return some;
}
