#include "model/solve/mip.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/solve/mip_internal.h"

/* LP rounds that close cells by reduced cost and start over with a smaller programme. */
#define ROUNDS_MAX 4
/* How far GLPK's numbers may be off, in units of the objective (a thousandth of the gap): its
 * default tolerances are 1e-7. Reduced costs must pass the cutoff by this to close a cell. */
#define SLACK_UNITS 1e-3
#define INTEGRAL    1e-6
/* What a node costs beside its simplex iterations (cuts, factors, search), in those. */
#define NODE_STEPS 20

struct run {
    struct mip *mip;
    struct search *search;
    const struct mip_options *options;
    int *choice; /* the incumbent */
    int *trial;
    double *columns;
    bool found;
    bool given; /* GLPK has been given the incumbent */
    bool budget;
    int64_t nodes_before;
    int64_t nodes;
    double bound_units;
    int64_t work; /* of the relaxations before the tree */
};

static double unit_of(const struct reduced *reduced, bool have_choice);
static bool relax(struct run *run, bool *ret_infeasible);
static int64_t work_each(glp_prob *lp);
static int close_by_reduced_cost(struct mip *mip);
static void round_off(struct run *run);
static bool is_proven(const struct mip *mip, bool found);
static void anneal(struct run *run);
static bool consider(struct run *run, const int *choice);
static void branch(struct run *run);
static bool is_spent(const struct run *run, glp_tree *tree);
static bool is_ended(const struct run *run, glp_tree *tree);
static void callback(glp_tree *tree, void *context);
static void add_cover(struct run *run, glp_tree *tree);
static void offer(struct run *run, glp_tree *tree);
static void columns_of(const struct run *run, const int *choice, double *out);
static void columns_of_meters(const struct run *run, const int *choice, double *out);
static bool read_choices(const struct run *run, double (*value)(glp_prob *, int), int *choice);
static int term_hook(void *context, const char *text);

static int x_of(const struct mip *mip, int part, int choice)
{
    return mip->x[reduce_node(mip->r, part, choice)];
}

int mip_solve(struct reduced *reduced, const struct mip_options *options, struct arena *arena,
              bool have_choice, int *choice, struct mip_result *ret_result, struct error *err)
{
    struct run run = {.options = options, .choice = choice, .found = have_choice};
    run.trial = arena_array(arena, (size_t)reduced->parts + 1, sizeof(int));
    int rc = search_create(reduced, arena, &run.search, err);
    if (run.trial == NULL || rc < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d parts", reduced->parts);
    }
    *ret_result = (struct mip_result){.outcome = MIP_DONE};
    for (int round = 0; !reduced->empty; round++) {
        struct mip mip;
        rc =
            mip_build(reduced, arena, unit_of(reduced, run.found), options->feasibility, &mip, err);
        if (rc < 0) {
            return rc;
        }
        run.mip = &mip;
        int columns = glp_get_num_cols(mip.lp);
        run.columns = arena_array(arena, (size_t)columns + 1, sizeof(double));
        bool infeasible = false;
        if (run.columns == NULL || !relax(&run, &infeasible)) {
            mip_done(&mip);
            return error_set(err, run.columns == NULL ? ERR_NO_MEMORY : ERR_UNSUPPORTED, 0,
                             "GLPK could not solve a relaxation of %d columns", columns);
        }
        if (infeasible || run.budget) {
            mip_done(&mip);
            break;
        }
        round_off(&run);
        if (!options->feasibility && is_proven(&mip, run.found)) {
            mip_done(&mip);
            break;
        }
        if (round == 0 && !options->feasibility) {
            anneal(&run);
        }
        int closed = run.found && !options->feasibility ? close_by_reduced_cost(&mip) : 0;
        bool again = round < ROUNDS_MAX && closed * 8 > columns;
        if (closed > 0) {
            reduce_propagate(reduced);
        }
        if (!again && !(options->feasibility && run.found) && !reduced->empty) {
            branch(&run);
        }
        mip_done(&mip);
        if (!again) {
            break;
        }
    }
    ret_result->found = run.found;
    ret_result->nodes = run.nodes;
    if (run.budget) {
        ret_result->outcome = MIP_BUDGET;
        ret_result->bound = reduced->constant + (int64_t)floor(run.bound_units);
    }
    return 0;
}

int mip_export(struct reduced *reduced, struct arena *arena, const char *path, struct error *err)
{
    struct mip mip;
    int rc = mip_build(reduced, arena, 1e9, false, &mip, err);
    if (rc < 0) {
        return rc;
    }
    glp_set_obj_coef(mip.lp, 0, mip.constant + (double)reduced->constant / 1e9);
    rc = glp_write_mps(mip.lp, GLP_MPS_FILE, NULL, path);
    mip_done(&mip);
    return rc == 0 ? 0 : error_set(err, ERR_IO, 0, "cannot write '%s'", path);
}

const char *mip_engine(void)
{
    return glp_version();
}

void mip_quiet(void)
{
    glp_term_out(GLP_OFF);
    glp_term_hook(term_hook, NULL);
}

void mip_release(void)
{
    glp_free_env();
}

/* Standard output carries answers: what GLPK prints goes to standard error. With messages off that
 * is only what it says before it aborts. */
static int term_hook(void *context, const char *text)
{
    (void)context;
    (void)fputs(text, stderr);
    return 1;
}

static double unit_of(const struct reduced *reduced, bool have_choice)
{
    double most = 1;
    if (have_choice) {
        most = (double)(reduced->cutoff - reduced->constant);
    } else {
        for (size_t at = 0; at < reduced->first[reduced->parts]; at++) {
            double cost = reduced->open[at] ? (double)reduced->node[at] : 0;
            most = cost > most ? cost : most;
        }
    }
    return most > 1000 ? most / 1000 : 1;
}

/* All costs are >= 0 and all columns start at 0, so the basis of slacks is dual feasible. */
static bool relax(struct run *run, bool *ret_infeasible)
{
    struct mip *mip = run->mip;
    int64_t work_max = run->options->work_max;
    glp_smcp options;
    glp_init_smcp(&options);
    options.msg_lev = GLP_MSG_OFF;
    options.meth = GLP_DUALP;
    glp_std_basis(mip->lp);
    if (glp_get_num_cols(mip->lp) == 0) {
        *ret_infeasible = false;
        return true;
    }
    int before = glp_get_it_cnt(mip->lp);
    if (work_max > 0) {
        int64_t left = work_max > run->work ? (work_max - run->work) / work_each(mip->lp) : 0;
        options.it_lim = left < INT_MAX ? (int)left + 1 : INT_MAX;
    }
    int64_t left_us = watch_left_us(run->options->watch);
    if (left_us >= 0) {
        int64_t left_ms = left_us / 1000;
        options.tm_lim = left_ms < INT_MAX ? (int)left_ms : INT_MAX;
    }
    int rc = glp_simplex(mip->lp, &options);
    int status = glp_get_status(mip->lp);
    run->work += (glp_get_it_cnt(mip->lp) - before) * work_each(mip->lp);
    if (rc == GLP_EITLIM || rc == GLP_ETMLIM || !watch_told(run->options->watch, NAN, NAN)) {
        run->budget = true; /* what is known so far is the bound: that of the tables */
        run->bound_units = 0;
        *ret_infeasible = false;
        return true;
    }
    if (rc != 0 || (status != GLP_OPT && status != GLP_NOFEAS && status != GLP_INFEAS)) {
        /* Once more from another basis and by the primal method. */
        options.meth = GLP_PRIMAL;
        glp_adv_basis(mip->lp, 0);
        rc = glp_simplex(mip->lp, &options);
        status = glp_get_status(mip->lp);
    }
    *ret_infeasible = status == GLP_NOFEAS;
    return rc == 0 && (status == GLP_OPT || status == GLP_NOFEAS);
}

/* What one simplex iteration costs, about. */
static int64_t work_each(glp_prob *lp)
{
    return glp_get_num_rows(lp) + glp_get_num_cols(lp) + 1;
}

/* A column at 0 whose reduced cost lifts the relaxation past the cutoff is 0 in every assignment
 * that matters. Returns how many cells were closed. */
static int close_by_reduced_cost(struct mip *mip)
{
    struct reduced *r = mip->r;
    double gap = ((double)r->cutoff - (double)r->constant) / mip->unit;
    double room = gap - (glp_get_obj_val(mip->lp) + mip->constant) + SLACK_UNITS;
    int closed = 0;
    for (int part = 0; part < r->parts; part++) {
        for (int s = 0; s < r->count[part]; s++) {
            int x = x_of(mip, part, s);
            if (x > 0 && glp_get_col_stat(mip->lp, x) == GLP_NL &&
                glp_get_col_dual(mip->lp, x) > room) {
                reduce_close(r, part, s);
                closed++;
            }
        }
    }
    for (int i = 0; i < r->edge_count; i++) {
        struct edge *edge = &r->edges[i];
        for (size_t at = 0; at < reduce_cells(r, edge); at++) {
            int y = mip->y[i][at];
            if (y > 0 && edge->open[at] && glp_get_col_stat(mip->lp, y) == GLP_NL &&
                glp_get_col_dual(mip->lp, y) > room) {
                edge->open[at] = false;
                closed++;
            }
        }
    }
    return closed;
}

/* The relaxation's largest choice per part, polished. */
static void round_off(struct run *run)
{
    (void)read_choices(run, glp_get_col_prim, run->trial);
    if (search_run(run->search, 4, 200000, run->trial)) {
        (void)consider(run, run->trial);
    }
}

/* The incumbent is no dearer than the relaxation, but for GLPK's tolerance. */
static bool is_proven(const struct mip *mip, bool found)
{
    const struct reduced *r = mip->r;
    double gap = ((double)r->cutoff - (double)r->constant) / mip->unit;
    return found && gap - (glp_get_obj_val(mip->lp) + mip->constant) < 1e-4;
}

/* Worth its time only when the relaxation leaves a gap: the incumbent decides how much of the
 * programme its reduced costs close. Short ones from different seeds, while they bring something.
 */
static void anneal(struct run *run)
{
    const struct reduced *r = run->mip->r;
    int64_t evals = (int64_t)r->first[r->parts] * 60;
    for (uint64_t seed = 1, idle = 0; idle < 2 && seed <= 8; seed++) {
        memcpy(run->trial, run->choice, (size_t)r->parts * sizeof(int));
        bool better =
            search_anneal(run->search, evals, seed, run->trial) && consider(run, run->trial);
        idle = better ? 0 : idle + 1;
    }
}

/* Takes an assignment that keeps the rules if it is strictly cheaper than the incumbent. */
static bool consider(struct run *run, const int *choice)
{
    struct reduced *r = run->mip->r;
    if (problem_broken_rule(r->problem, choice) >= 0) {
        return false;
    }
    int64_t cost = (int64_t)problem_cost(r->problem, choice);
    if (run->found && cost >= r->cutoff) {
        return false;
    }
    memmove(run->choice, choice, (size_t)r->parts * sizeof(int));
    run->found = true;
    r->cutoff = cost;
    return true;
}

static void branch(struct run *run)
{
    struct mip *mip = run->mip;
    glp_iocp options;
    glp_init_iocp(&options);
    options.msg_lev = GLP_MSG_OFF;
    options.br_tech = GLP_BR_DTH;
    /* Measured on tightly packed apps: both cuts halve the nodes, Gomory's cost more than they
     * save; the other branching rules lose, and projection backtracks cheaper than best bound. */
    options.bt_tech = GLP_BT_BPH;
    options.cov_cuts = GLP_ON;
    options.mir_cuts = GLP_ON;
    options.cb_func = callback;
    options.cb_info = run;
    /* Cells closed since the programme was built. */
    for (int part = 0; part < mip->r->parts; part++) {
        for (int s = 0; s < mip->r->count[part]; s++) {
            int x = x_of(mip, part, s);
            if (x > 0 && !mip->r->open[reduce_node(mip->r, part, s)]) {
                glp_set_col_bnds(mip->lp, x, GLP_FX, 0, 0);
            }
        }
    }
    bool infeasible = false;
    if (glp_get_num_cols(mip->lp) == 0) {
        return;
    }
    if (!relax(run, &infeasible)) {
        run->budget = true; /* nothing is proven by a relaxation that failed */
        run->bound_units = 0;
    }
    if (run->budget || infeasible) {
        return;
    }
    glp_set_it_cnt(mip->lp, 0);
    run->nodes_before = run->nodes;
    run->given = false;
    int rc = glp_intopt(mip->lp, &options);
    BERTH_ASSERT(rc == 0 || rc == GLP_ESTOP, "glp_intopt: %d", rc);
    if (glp_mip_status(mip->lp) == GLP_OPT || glp_mip_status(mip->lp) == GLP_FEAS) {
        if (read_choices(run, glp_mip_col_val, run->trial)) {
            (void)consider(run, run->trial);
        }
    }
}

static bool is_spent(const struct run *run, glp_tree *tree)
{
    glp_prob *lp = glp_ios_get_prob(tree);
    int64_t work_max = run->options->work_max;
    int64_t steps = glp_get_it_cnt(lp) + run->nodes * NODE_STEPS;
    return (work_max > 0 && run->work + steps * work_each(lp) > work_max) || is_ended(run, tree);
}

/* The watch has ended it, or what is left of the gap is what was asked for. */
static bool is_ended(const struct run *run, glp_tree *tree)
{
    const struct mip_options *options = run->options;
    const struct reduced *r = run->mip->r;
    if (options->feasibility || (options->watch == NULL && options->gap <= 0)) {
        return !watch_goes_on(options->watch);
    }
    int node = glp_ios_best_node(tree);
    double bound = node == 0 ? 0 : glp_ios_node_bound(tree, node) + run->mip->constant;
    bound = (double)r->constant + fmax(bound, 0) * run->mip->unit;
    double cost = run->found ? (double)r->cutoff : INFINITY;
    return !watch_told(options->watch, bound, cost) ||
           (run->found && options->gap > 0 && cost - bound <= options->gap * fabs(cost));
}

static void callback(glp_tree *tree, void *context)
{
    struct run *run = context;
    int total;
    glp_ios_tree_size(tree, NULL, NULL, &total);
    run->nodes = run->nodes_before + total;
    switch (glp_ios_reason(tree)) {
    case GLP_ISELECT:
        if (run->nodes > run->options->nodes_max || is_spent(run, tree) ||
            (run->options->feasibility && run->found)) {
            int best = glp_ios_best_node(tree);
            run->budget = !run->options->feasibility || !run->found;
            run->bound_units = best == 0 ? 0 : glp_ios_node_bound(tree, best);
            run->bound_units = (run->bound_units + run->mip->constant) * run->mip->unit;
            glp_ios_terminate(tree);
        }
        return;
    case GLP_IROWGEN:
        add_cover(run, tree);
        return;
    case GLP_IHEUR:
        offer(run, tree);
        return;
    default:
        return;
    }
}

/* An integral point that an exact capacity refuses: at least one of its parts must go elsewhere. */
static void add_cover(struct run *run, glp_tree *tree)
{
    struct mip *mip = run->mip;
    const struct problem *problem = mip->r->problem;
    if (!read_choices(run, glp_get_col_prim, run->trial)) {
        return;
    }
    int broken = problem_broken_rule(problem, run->trial);
    if (broken < 0 || problem->rules[broken].kind != RULE_CAPACITY) {
        return;
    }
    const struct problem_rule *rule = &problem->rules[broken];
    mip->terms = 0;
    int taken = 0;
    for (int part = 0; part < mip->r->parts; part++) {
        const struct problem_choice *chosen = reduce_choice(mip->r, part, run->trial[part]);
        int64_t demand = chosen->demand[rule->resource];
        if (chosen->site != rule->site || demand == 0 || mip->fixed[part] >= 0) {
            continue;
        }
        taken++;
        /* Choices of the part that would take as much there or more are no way out either. */
        for (int c = 0; c < mip->r->count[part]; c++) {
            const struct problem_choice *choice = reduce_choice(mip->r, part, c);
            if (x_of(mip, part, c) > 0 && choice->site == rule->site &&
                choice->demand[rule->resource] >= demand) {
                mip->terms++;
                mip->index[mip->terms] = x_of(mip, part, c);
                mip->value[mip->terms] = 1;
            }
        }
    }
    glp_prob *lp = glp_ios_get_prob(tree);
    int row = glp_add_rows(lp, 1);
    glp_set_row_bnds(lp, row, GLP_UP, 0, taken - 1);
    glp_set_mat_row(lp, row, mip->terms, mip->index, mip->value);
    mip->terms = 0;
}

/* Gives GLPK the incumbent, and now and then one found near its relaxation. */
static void offer(struct run *run, glp_tree *tree)
{
    bool improved = false;
    if (run->given && (run->nodes - run->nodes_before) % 16 == 1) {
        (void)read_choices(run, glp_get_col_prim, run->trial);
        improved = search_run(run->search, 2, 50000, run->trial) && consider(run, run->trial);
    }
    if (run->found && (improved || !run->given)) {
        columns_of(run, run->choice, run->columns);
        (void)glp_ios_heur_sol(tree, run->columns);
    }
    run->given = true;
}

static void columns_of(const struct run *run, const int *choice, double *out)
{
    const struct mip *mip = run->mip;
    int columns = glp_get_num_cols(mip->lp);
    for (int i = 0; i <= columns; i++) {
        out[i] = 0;
    }
    for (int part = 0; part < mip->r->parts; part++) {
        out[x_of(mip, part, choice[part])] = 1;
    }
    for (int i = 0; i < mip->r->edge_count; i++) {
        const struct edge *edge = &mip->r->edges[i];
        out[mip->y[i][reduce_cell(mip->r, edge, choice[edge->a], choice[edge->b])]] = 1;
    }
    if (!mip->feasibility) {
        columns_of_meters(run, choice, out);
    }
    out[0] = 0;
}

static void columns_of_meters(const struct run *run, const int *choice, double *out)
{
    const struct mip *mip = run->mip;
    const struct reduced *r = mip->r;
    for (int i = 0; i < r->meter_count; i++) {
        const struct active_meter *meter = &r->meters[i];
        const struct mip_meter *pieces = &mip->meters[i];
        nusd bytes = -(nusd)meter->volume_min;
        for (int part = 0; part < r->parts; part++) {
            bytes += reduce_part_bytes(r, meter->meter, part, choice[part]);
        }
        for (int k = 0; k < r->edge_count; k++) {
            const struct edge *edge = &r->edges[k];
            bytes += reduce_edge_bytes(r, meter->meter, edge, choice[edge->a], choice[edge->b]);
        }
        double volume = (double)bytes / ((double)meter->volume_max - (double)meter->volume_min);
        int piece = 0;
        while (piece + 1 < pieces->pieces && volume > pieces->low[piece + 1]) {
            if (pieces->convex) {
                out[pieces->fill[piece]] = pieces->length[piece];
            }
            piece++;
        }
        out[pieces->fill[piece]] = volume - pieces->low[piece];
        if (!pieces->convex) {
            out[pieces->chosen[piece]] = 1;
        }
    }
}

/* Each part's choice by its largest column; true when every column is integral. */
static bool read_choices(const struct run *run, double (*value)(glp_prob *, int), int *choice)
{
    const struct mip *mip = run->mip;
    bool integral = true;
    for (int part = 0; part < mip->r->parts; part++) {
        double most = -1;
        choice[part] = mip->fixed[part];
        for (int s = 0; s < mip->r->count[part] && mip->fixed[part] < 0; s++) {
            int x = x_of(mip, part, s);
            double chosen = x > 0 ? value(mip->lp, x) : -1;
            if (chosen > most) {
                most = chosen;
                choice[part] = s;
            }
        }
        integral = integral && (mip->fixed[part] >= 0 || most > 1 - INTEGRAL);
    }
    return integral;
}
