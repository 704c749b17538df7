/*
 * mip: what reduce and search leave open, as a mixed integer programme for GLPK.
 *
 * A binary x per part and open choice; per pair of parts that both may move, a transport table y
 * with x as its margins (the local polytope: integral on trees without capacities); a row per
 * capacity and per (apart rule, site); an active meter's residual by binaries per tier, or without
 * where prices only rise. Coefficients are doubles scaled to [0, 1]; a placement that GLPK's
 * tolerance lets past a capacity is cut off by a cover row, so rules hold exactly. Objective: the
 * excess over reduced->constant, in units of a thousandth of the gap.
 *
 * The only file that includes glpk.h. GLPK aborts the process on its own errors: only berth-solve
 * may call this. One thread.
 */
#pragma once

#include "model/solve/reduce.h"
#include "model/solve/search.h"
#include "model/solve/watch.h"

struct mip_options {
    int64_t nodes_max;
    int64_t work_max;    /* simplex iterations x size of the programme; 0: no limit */
    bool feasibility;    /* any assignment that keeps the rules will do: costs are ignored */
    double gap;          /* relative; good enough to stop at */
    struct watch *watch; /* NULL: nothing ends it early */
};

enum mip_outcome {
    MIP_DONE,   /* proven: `found` is the optimum, or without it nothing reaches the cutoff */
    MIP_BUDGET, /* nodes_max or work_max is spent, the gap is reached, or the watch ended it */
};

struct mip_result {
    enum mip_outcome outcome;
    bool found;    /* choice[] holds an assignment that keeps the rules */
    int64_t bound; /* with MIP_BUDGET: no assignment is cheaper, up to the tolerance */
    int64_t nodes;
};

/* `choice`: an incumbent that keeps the rules when `have_choice`; the best one found on return. May
 * close cells of `reduced` and lower its cutoff. */
int mip_solve(struct reduced *reduced, const struct mip_options *options, struct arena *arena,
              bool have_choice, int *choice, struct mip_result *ret_result,
              struct error *err) WARN_UNUSED;

/* Columns that a programme of the open cells has at most. */
int64_t mip_columns(const struct reduced *reduced);

/* Writes the programme of `reduced` as it stands as free MPS, in dollars. */
int mip_export(struct reduced *reduced, struct arena *arena, const char *path,
               struct error *err) WARN_UNUSED;

/* GLPK's version, and its terminal output to standard error or nowhere. */
const char *mip_engine(void);
void mip_quiet(void);
/* Frees what GLPK holds for this thread. */
void mip_release(void);
