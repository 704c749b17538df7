/*
 * dual_condense: what is left of a placement problem near some prices.
 *
 * Around prices y, a unit (a part, or an app of linked parts) whose second-best assignment is far
 * dearer than its best keeps that in a whole box of prices: there it is a linear term. Left are
 * units whose gap is small, each with the few columns (assignments) that come near its best. In
 * the box the dual is exactly
 *
 *   L(y + v) = L(y) + sum over units of min over columns (cost + v * take)  -  v * room
 *
 * Everything is scaled (dual_internal.h) and counted from y, so that nothing is lost to
 * cancellation; a cost is 0 for the best column. `room` is what the linear ones leave. Memory from
 * the arena it was made with.
 */
#pragma once

#include "model/solve/dual_internal.h"

struct dual_condensed {
    int units;
    int columns;
    int takes;
    int *unit;      /* [units] which it is in the problem it was made from */
    int *first;     /* [units + 1] columns */
    double *cost;   /* [columns] */
    int *begin;     /* [columns + 1] takes */
    int *row;       /* [takes] */
    double *amount; /* [takes] */
    double *room;   /* [n] */
    double reach;   /* the box: |v| <= reach; infinite when it holds every unit */
    double *from;   /* [n] -reach, or minus the price there */
    double *to;     /* [n] reach; 0 where there is no limit */
    double *value;  /* [columns] scratch */
    struct arena *arena;
    int units_room;
    int columns_room;
    int takes_room;
};

/* The `most` units, about, whose decision the least change of prices turns. ratio[unit]: the change
 * of scaled prices that does. */
double dual_reach(const float *ratio, int units, int most);

/* Empty, with its reach; the box and the room are still to be set. */
int dual_condensed_init(struct dual_condensed *condensed, size_t n, struct arena *arena,
                        struct error *err) WARN_UNUSED;
/* Makes room for so many more; false: no memory. */
bool dual_condensed_reserve(struct dual_condensed *condensed, int units, int columns,
                            int takes) WARN_UNUSED;
/* Sets the box around scaled prices. */
void dual_condensed_box(const struct dual *dual, const double *scaled,
                        struct dual_condensed *condensed);

/* Around v of a condensed problem, a smaller one of about `most` units. */
int dual_condense_again(const struct dual *dual, const struct dual_condensed *from, const double *v,
                        const double *scaled, int most, struct arena *arena,
                        struct dual_condensed *ret_to, struct error *err) WARN_UNUSED;

struct dual_condensed_run {
    struct dual *dual;
    const struct dual_condensed *condensed;
    const double *v;
    double heat;
};
/* A dual_evaluate of it: the context is a struct dual_condensed_run. */
void dual_condensed_evaluate(void *context, const double *v, double heat,
                             struct dual_point *ret_point);

/* dual_master.c: the v in the box that is best, by linear programming. *ret_divided: units that
 * the optimum divides. False: GLPK has no answer. */
bool dual_master(size_t n, const struct dual_condensed *condensed, double *v, double *ret_gain,
                 int *ret_divided);
