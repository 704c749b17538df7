/*
 * dual_alts: what else the apps of a grid could do at some prices, and how much dearer that is.
 *
 * An alternative is one assignment of an app, or a cell of a part without links, whose rise above
 * the app's least is small. Found exactly: backwards through the elimination, each cell of a step
 * is dearer than its best by just what the whole assignment is. Where parts have copies (a plan
 * that is a relaxation) the cells of the parts themselves are taken, at what they really cost.
 */
#pragma once

#include "model/solve/dual_tree.h"

/* Units with more than one alternative. All arrays are allocated once, for any number of runs. */
struct dual_alts {
    int groups;
    int *unit;  /* [group] a single part, or beyond the singles an app */
    int *first; /* [group + 1] alternatives; the first of each group is the dual's choice */
    int count;
    double *rise;       /* [alternative] at the prices, above the least of its unit; >= 0 */
    double *take;       /* [alternative * stride] of each row, above the group's first */
    size_t *cell_first; /* [alternative] where its cells are */
    size_t cells;
    int *cell; /* of its parts, in the order of the app's steps that have one of their own */
    size_t n;
    size_t stride;
    int groups_max;
    int count_max;
    size_t cells_max;
};

/* Room for about `most` alternatives. */
int dual_alts_init(const struct dual *dual, int most, struct arena *arena, struct dual_alts *alts,
                   struct error *err) WARN_UNUSED;

/* Those that rise by `limit` at most; at most ALTS_UNIT of a unit, and no more than there is room
 * for: false says that there was not. choice[]: the minimiser at these prices. */
#define DUAL_ALTS_UNIT 24
bool dual_alts_find(struct dual *dual, const double *price, const int *choice, double limit,
                    struct dual_alts *alts);

/* Puts the cells of an alternative into choice[]. */
void dual_alts_put(const struct dual *dual, const struct dual_alts *alts, int group,
                   int alternative, int *choice);
/* Makes an alternative the first of its group: what is taken is counted from it. */
void dual_alts_first(struct dual_alts *alts, int group, int alternative);
/* Whether choice[] has just those cells. */
bool dual_alts_is(const struct dual *dual, const struct dual_alts *alts, int group, int alternative,
                  const int *choice);
