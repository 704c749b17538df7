/*
 * dual_newton: climbs a smoothed dual by Newton steps while its temperature falls.
 *
 * The dual at a temperature is concave and smooth; its second derivatives are the covariances of
 * the parts' loads. Steps stay inside a box of prices, are shortened where the slope along them
 * has turned, and are held back in directions whose curvature says nothing. The temperature falls
 * as soon as a step promises little against what smoothing hides.
 */
#pragma once

#include "model/solve/dual_internal.h"

#define DUAL_LEARNT 8

typedef void dual_evaluate(void *context, const double *scaled, double heat,
                           struct dual_point *ret_point);

struct dual_newton {
    size_t n;
    bool dense;         /* the points' curvature is; else steps are learnt from how slopes change */
    const double *room; /* [n] */
    const double *from; /* [n] the box, */
    const double *to;   /* [n] from <= to */
    dual_evaluate *evaluate;
    bool (*halt)(void *context); /* asked after every step; may be NULL */
    void *context;
    double heat; /* where it starts; where it ended */
    double heat_min;
    double undecided; /* cold enough when no more than these are */
    int steps_max;
    double *price; /* [n] start and result */

    /* Of the last evaluation. */
    double hard; /* the dual itself, scaled */
    double soft;
    double divided; /* the point's undecided */
    int steps;

    /* Scratch, made by dual_newton_init. */
    double *slope; /* [n] */
    double *step;
    double *next;
    double *matrix; /* [n * n]; when not dense [n], and the steps and turns learnt from: */
    double *learnt; /* [DUAL_LEARNT * 2 * n] */
    double product[DUAL_LEARNT]; /* of each step and its turn */
    int learnt_count;
    int *free; /* [n] */
};

int dual_newton_init(struct dual_newton *newton, size_t n, bool dense, struct arena *arena,
                     struct error *err) WARN_UNUSED;
void dual_newton_run(struct dual_newton *newton);
/* From newton->price, by a point's load and curvature, inside the box: newton->slope, and the step
 * from there to newton->next. */
void dual_newton_direction(struct dual_newton *newton, const struct dual_point *point);
