/* Builds the programme of mip.h, column by column and row by row. */
#include "model/solve/mip_internal.h"

#include <string.h>

static int alloc(struct mip *mip, struct arena *arena, struct error *err);
static void add_nodes(struct mip *mip);
static void add_edge(struct mip *mip, int index);
static void add_edge_table(struct mip *mip, int index);
static void add_margins(struct mip *mip, int index);
static void add_capacity(struct mip *mip, const struct problem_rule *rule);
static int64_t demand_of(const struct mip *mip, const struct problem_rule *rule, int part,
                         int choice);
static void add_apart(struct mip *mip, const struct problem_rule *rule);
static void add_meter(struct mip *mip, int index);
static void meter_volume_row(struct mip *mip, int index, const int *pieces, int piece_count);
static void term(struct mip *mip, int column, double value);
static void row(struct mip *mip, int kind, double low, double high);
static int column(struct mip *mip, int kind, double low, double high, double cost);

static int x_of(const struct mip *mip, int part, int choice)
{
    return mip->x[reduce_node(mip->r, part, choice)];
}

int mip_build(struct reduced *reduced, struct arena *arena, double unit, bool feasibility,
              struct mip *ret_mip, struct error *err)
{
    struct mip mip = {.r = reduced, .unit = unit, .feasibility = feasibility};
    bool *binds = arena_array(arena, (size_t)reduced->problem->rule_count + 1, sizeof(bool));
    int rc = alloc(&mip, arena, err);
    if (rc < 0) {
        return rc;
    }
    if (binds == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the rules of a programme");
    }
    (void)reduce_find_binding(reduced, binds);
    mip.lp = glp_create_prob();
    glp_set_obj_dir(mip.lp, GLP_MIN);
    add_nodes(&mip);
    for (int i = 0; i < reduced->edge_count; i++) {
        add_edge(&mip, i);
    }
    for (int i = 0; i < reduced->problem->rule_count; i++) {
        const struct problem_rule *rule = &reduced->problem->rules[i];
        if (binds[i]) {
            add_capacity(&mip, rule);
        } else if (rule->kind == RULE_APART) {
            add_apart(&mip, rule);
        }
    }
    for (int i = 0; i < reduced->meter_count && !feasibility; i++) {
        add_meter(&mip, i);
    }
    *ret_mip = mip;
    return 0;
}

void mip_done(struct mip *mip)
{
    if (mip->lp != NULL) {
        glp_delete_prob(mip->lp);
        mip->lp = NULL;
    }
}

int mip_fixed(const struct reduced *reduced, int part)
{
    if (reduced->open_count[part] != 1) {
        return -1;
    }
    int choice = 0;
    while (!reduced->open[reduce_node(reduced, part, choice)]) {
        choice++;
    }
    return choice;
}

int64_t mip_columns(const struct reduced *reduced)
{
    int64_t columns = 0;
    for (int part = 0; part < reduced->parts; part++) {
        columns += reduced->open_count[part] > 1 ? reduced->open_count[part] : 0;
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        const struct edge *edge = &reduced->edges[i];
        int64_t a = reduced->open_count[edge->a];
        int64_t b = reduced->open_count[edge->b];
        columns += a > 1 && b > 1 && !reduce_edge_is_idle(reduced, edge) ? a * b : 0;
    }
    return columns;
}

static int alloc(struct mip *mip, struct arena *arena, struct error *err)
{
    const struct reduced *r = mip->r;
    size_t nodes = r->first[r->parts] + 1;
    size_t terms = nodes + (LIMIT_TIERS + 1) * 4;
    mip->x = arena_array(arena, nodes, sizeof(*mip->x));
    mip->fixed = arena_array(arena, (size_t)r->parts + 1, sizeof(*mip->fixed));
    mip->y = arena_array(arena, (size_t)r->edge_count + 1, sizeof(*mip->y));
    mip->meters = arena_array(arena, (size_t)r->meter_count + 1, sizeof(*mip->meters));
    bool complete = mip->x != NULL && mip->fixed != NULL && mip->y != NULL && mip->meters != NULL;
    for (int i = 0; i < r->edge_count && complete; i++) {
        size_t cells = reduce_cells(r, &r->edges[i]);
        mip->y[i] = arena_array(arena, cells, sizeof(**mip->y));
        complete = mip->y[i] != NULL;
        terms += cells;
    }
    mip->index = complete ? arena_array(arena, terms, sizeof(*mip->index)) : NULL;
    mip->value = complete ? arena_array(arena, terms, sizeof(*mip->value)) : NULL;
    if (mip->index == NULL || mip->value == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a programme of %zu terms", terms);
    }
    return 0;
}

/* x, and each part exactly once. A part with one open choice has no column. */
static void add_nodes(struct mip *mip)
{
    const struct reduced *r = mip->r;
    for (int part = 0; part < r->parts; part++) {
        mip->fixed[part] = mip_fixed(r, part);
        for (int s = 0; s < r->count[part]; s++) {
            size_t at = reduce_node(r, part, s);
            if (!r->open[at]) {
                continue;
            }
            double cost = (double)r->node[at] / mip->unit;
            if (mip->fixed[part] >= 0) {
                mip->constant += cost;
                continue;
            }
            mip->x[at] = column(mip, GLP_DB, 0, 1, cost);
            glp_set_col_kind(mip->lp, mip->x[at], GLP_BV);
            term(mip, mip->x[at], 1);
        }
        if (mip->fixed[part] < 0) {
            row(mip, GLP_FX, 1, 1);
        }
    }
}

static void add_edge(struct mip *mip, int index)
{
    const struct reduced *r = mip->r;
    const struct edge *edge = &r->edges[index];
    int fixed_a = mip->fixed[edge->a];
    int fixed_b = mip->fixed[edge->b];
    if (fixed_a >= 0 && fixed_b >= 0) {
        mip->constant += (double)edge->cost[reduce_cell(r, edge, fixed_a, fixed_b)] / mip->unit;
        return;
    }
    if (fixed_a < 0 && fixed_b < 0) {
        if (!reduce_edge_is_idle(r, edge)) {
            add_edge_table(mip, index);
            add_margins(mip, index);
        }
        return;
    }
    int free_part = fixed_a >= 0 ? edge->b : edge->a;
    for (int s = 0; s < r->count[free_part] && !mip->feasibility; s++) {
        size_t at =
            fixed_a >= 0 ? reduce_cell(r, edge, fixed_a, s) : reduce_cell(r, edge, s, fixed_b);
        int x = x_of(mip, free_part, s);
        if (x > 0) {
            double cost = glp_get_obj_coef(mip->lp, x) + (double)edge->cost[at] / mip->unit;
            glp_set_obj_coef(mip->lp, x, cost);
        }
    }
}

static void add_edge_table(struct mip *mip, int index)
{
    const struct edge *edge = &mip->r->edges[index];
    for (int s = 0; s < mip->r->count[edge->a]; s++) {
        for (int t = 0; t < mip->r->count[edge->b]; t++) {
            size_t at = reduce_cell(mip->r, edge, s, t);
            if (edge->open[at] && x_of(mip, edge->a, s) > 0 && x_of(mip, edge->b, t) > 0) {
                double cost = (double)edge->cost[at] / mip->unit;
                mip->y[index][at] = column(mip, GLP_LO, 0, 0, cost);
            }
        }
    }
}

/* The last row of the second margin follows from the others. */
static void add_margins(struct mip *mip, int index)
{
    const struct edge *edge = &mip->r->edges[index];
    for (int side = 0; side < 2; side++) {
        int part = side == 0 ? edge->a : edge->b;
        int others = mip->r->count[side == 0 ? edge->b : edge->a];
        int left = mip->r->open_count[part] - side;
        for (int s = 0; s < mip->r->count[part] && left > 0; s++) {
            int x = x_of(mip, part, s);
            if (x == 0) {
                continue;
            }
            for (int t = 0; t < others; t++) {
                size_t at =
                    side == 0 ? reduce_cell(mip->r, edge, s, t) : reduce_cell(mip->r, edge, t, s);
                term(mip, mip->y[index][at], 1);
            }
            term(mip, x, -1);
            row(mip, GLP_FX, 0, 0);
            left--;
        }
    }
}

static void add_capacity(struct mip *mip, const struct problem_rule *rule)
{
    const struct reduced *r = mip->r;
    nusd left = rule->capacity;
    for (int part = 0; part < r->parts; part++) {
        if (mip->fixed[part] >= 0) {
            left -= demand_of(mip, rule, part, mip->fixed[part]);
        }
    }
    double scale = left > 0 ? (double)left : 1;
    for (int part = 0; part < r->parts; part++) {
        for (int c = 0; c < r->count[part]; c++) {
            int64_t demand = demand_of(mip, rule, part, c);
            if (demand > 0) {
                term(mip, x_of(mip, part, c), (double)demand / scale);
            }
        }
    }
    row(mip, GLP_UP, 0, (double)left / scale);
}

/* What a choice takes of what the rule limits. */
static int64_t demand_of(const struct mip *mip, const struct problem_rule *rule, int part,
                         int choice)
{
    const struct problem_choice *taken = reduce_choice(mip->r, part, choice);
    return taken->site == rule->site ? taken->demand[rule->resource] : 0;
}

static void add_apart(struct mip *mip, const struct problem_rule *rule)
{
    for (int s = 0; s < mip->r->sites; s++) {
        int movable = 0;
        int fixed = 0;
        for (int k = 0; k < rule->part_count; k++) {
            int part = rule->parts[k];
            bool again = false;
            bool moves = false;
            for (int j = 0; j < k; j++) {
                again = again || rule->parts[j] == part;
            }
            for (int c = 0; !again && c < mip->r->count[part]; c++) {
                int x = x_of(mip, part, c);
                if (reduce_choice(mip->r, part, c)->site == s) {
                    term(mip, x, 1);
                    moves = moves || x > 0;
                    fixed += mip->fixed[part] == c;
                }
            }
            movable += moves;
        }
        if (movable + fixed > 1) {
            row(mip, GLP_UP, 0, 1 - fixed);
        } else {
            mip->terms = 0;
        }
    }
}

/* The residual, piece by piece of the possible volume, which is scaled to [0, 1]. Where its slopes
 * only rise the pieces fill in order by themselves; elsewhere a binary chooses the one piece. */
static void add_meter(struct mip *mip, int index)
{
    const struct active_meter *meter = &mip->r->meters[index];
    const struct problem_meter *source = &mip->r->problem->meters[meter->meter];
    struct mip_meter *out = &mip->meters[index];
    int columns[2 * LIMIT_TIERS];
    nusd span = (nusd)meter->volume_max - meter->volume_min;
    nusd low = meter->volume_min;
    double last_slope = 0;
    out->convex = true;
    for (int i = 0; i < source->tier_count && low < meter->volume_max; i++) {
        nusd end = (nusd)source->up_to_bytes[i] - source->base_bytes;
        bool last = i == source->tier_count - 1 || end > meter->volume_max;
        nusd high = last ? meter->volume_max : end;
        if (high <= low) {
            continue;
        }
        double price =
            ((double)source->price_nusd[i] - (double)meter->slope_nusd) / (double)source->per_bytes;
        out->slope[out->pieces] = price * (double)span / mip->unit;
        out->low[out->pieces] = (double)(low - meter->volume_min) / (double)span;
        out->length[out->pieces] = (double)(high - low) / (double)span;
        out->cost[out->pieces] = (double)reduce_residual(mip->r, meter, low) / mip->unit;
        out->convex = out->convex && (out->pieces == 0 || price >= last_slope);
        last_slope = price;
        out->pieces++;
        low = high;
    }
    int count = 0;
    for (int i = 0; i < out->pieces; i++) {
        out->fill[i] = column(mip, GLP_DB, 0, out->length[i], out->slope[i]);
        columns[count++] = out->fill[i];
        if (!out->convex) {
            out->chosen[i] = column(mip, GLP_DB, 0, 1, out->cost[i]);
            glp_set_col_kind(mip->lp, out->chosen[i], GLP_BV);
            columns[count++] = out->chosen[i];
            term(mip, out->fill[i], 1);
            term(mip, out->chosen[i], -out->length[i]);
            row(mip, GLP_UP, 0, 0);
        }
    }
    if (out->convex) {
        mip->constant += out->cost[0];
    } else {
        for (int i = 0; i < out->pieces; i++) {
            term(mip, out->chosen[i], 1);
        }
        row(mip, GLP_FX, 1, 1);
    }
    meter_volume_row(mip, index, columns, count);
}

/* What the pieces hold equals what the choices put on the meter. */
static void meter_volume_row(struct mip *mip, int index, const int *pieces, int piece_count)
{
    const struct reduced *r = mip->r;
    const struct active_meter *meter = &r->meters[index];
    const struct mip_meter *out = &mip->meters[index];
    double span = (double)meter->volume_max - (double)meter->volume_min;
    nusd fixed = -(nusd)meter->volume_min;
    for (int i = 0, piece = 0; i < piece_count; i++) {
        bool chooses = !out->convex && i % 2 == 1;
        term(mip, pieces[i], chooses ? out->low[piece] : 1);
        piece += out->convex || chooses;
    }
    for (int part = 0; part < r->parts; part++) {
        for (int s = 0; s < r->count[part]; s++) {
            bool open = r->open[reduce_node(r, part, s)];
            nusd bytes = open ? reduce_part_bytes(r, meter->meter, part, s) : 0;
            /* Edges with one end fixed put their bytes on the other end's choice. */
            for (int k = 0; open && k < r->degree[part]; k++) {
                const struct edge *edge = &r->edges[r->incident[part][k]];
                int other = edge->a == part ? edge->b : edge->a;
                int at = mip->fixed[other];
                bool counts = at >= 0 && (mip->fixed[part] < 0 || part == edge->a);
                if (counts && edge->a == part) {
                    bytes += reduce_edge_bytes(r, meter->meter, edge, s, at);
                } else if (counts) {
                    bytes += reduce_edge_bytes(r, meter->meter, edge, at, s);
                }
            }
            if (mip->fixed[part] == s) {
                fixed += bytes;
            } else if (bytes != 0) {
                term(mip, x_of(mip, part, s), -(double)bytes / span);
            }
        }
    }
    for (int i = 0; i < r->edge_count; i++) {
        const struct edge *edge = &r->edges[i];
        for (int s = 0; s < r->count[edge->a] && edge->pair_count > 0; s++) {
            for (int t = 0; t < r->count[edge->b]; t++) {
                int y = mip->y[i][reduce_cell(r, edge, s, t)];
                nusd bytes = y > 0 ? reduce_edge_bytes(r, meter->meter, edge, s, t) : 0;
                if (bytes != 0) {
                    term(mip, y, -(double)bytes / span);
                }
            }
        }
    }
    row(mip, GLP_FX, (double)fixed / span, (double)fixed / span);
}

/* Collects a term of the next row; column 0 stands for a choice that is not there. */
static void term(struct mip *mip, int at, double value)
{
    if (at > 0) {
        mip->terms++;
        mip->index[mip->terms] = at;
        mip->value[mip->terms] = value;
    }
}

static void row(struct mip *mip, int kind, double low, double high)
{
    int at = glp_add_rows(mip->lp, 1);
    glp_set_row_bnds(mip->lp, at, kind, low, high);
    glp_set_mat_row(mip->lp, at, mip->terms, mip->index, mip->value);
    mip->terms = 0;
}

static int column(struct mip *mip, int kind, double low, double high, double cost)
{
    int at = glp_add_cols(mip->lp, 1);
    glp_set_col_bnds(mip->lp, at, kind, low, high);
    glp_set_obj_coef(mip->lp, at, mip->feasibility ? 0 : cost);
    return at;
}
