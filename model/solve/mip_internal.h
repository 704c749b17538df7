/*
 * mip_internal: the programme of mip.h while GLPK works on it. Included by model/solve/mip*.c only,
 * because it brings glpk.h. Column numbers are GLPK's: from 1, 0 for "none".
 */
#pragma once

#include <glpk.h>

#include "model/solve/mip.h"

struct mip_meter {
    bool convex;
    int pieces;
    double low[LIMIT_TIERS];
    double length[LIMIT_TIERS];
    double slope[LIMIT_TIERS];
    double cost[LIMIT_TIERS]; /* residual at `low` */
    int fill[LIMIT_TIERS];    /* columns */
    int chosen[LIMIT_TIERS];
};

struct mip {
    struct reduced *r;
    glp_prob *lp;
    double unit;     /* nano-dollars per unit of the objective */
    double constant; /* of the objective, in units, above reduced->constant */
    bool feasibility;
    int *x;     /* [first[part] + choice], as in reduced */
    int *fixed; /* [part]: its only choice, or -1 */
    int **y;    /* [edge][cell of the edge] */
    struct mip_meter *meters;
    int *index; /* the row under construction */
    double *value;
    int terms;
};

int mip_build(struct reduced *reduced, struct arena *arena, double unit, bool feasibility,
              struct mip *ret_mip, struct error *err) WARN_UNUSED;
void mip_done(struct mip *mip);
/* A part's only open choice, or -1. */
int mip_fixed(const struct reduced *reduced, int part);
