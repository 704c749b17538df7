/*
 * sweep: one or two inputs turned step by step, and where the best placement changes: sweeps,
 * break-even points, and the tornado of what matters most.
 *
 * Every point is a whole solve (whatif.h), so that what moves together moves together. A break-even
 * point is found between two neighbours of a grid (factors of 10^(1/8) from a tenth to ten, unless
 * a range is given) whose placements differ, and narrowed by bisection to a thousandth; a placement
 * that comes and goes between two neighbours is not seen. Results are in the caller's arena. One
 * thread.
 */
#pragma once

#include "simulator/whatif/whatif.h"

#define SWEEP_AXES       2
#define SWEEP_POINTS_MAX 2500
#define SWEEP_MOVES      12 /* moves that are told of a change; the others are counted */

/* PATH=LO:HI:STEP; LO, HI and STEP are written alike: "0.05:0.15:0.01", "x0.5:x3:x0.5",
 * "-50%:+50%:10%", "20ms:200ms:20ms". */
struct sweep_axis {
    char path[LIMIT_TEXT_BYTES];
    char before[2];               /* "x", or "" */
    char after[LIMIT_NAME_BYTES]; /* "ms", "%", or "" */
    bool parts;                   /* signed parts: "-50%" to "+50%" */
    struct decimal from;
    struct decimal step;
    int count;
};
int sweep_axis_parse(const char *text, struct sweep_axis *ret_axis, struct error *err) WARN_UNUSED;
/* The index-th value as an override's, "x1.5". */
void sweep_axis_value(const struct sweep_axis *axis, int index, char out[LIMIT_NAME_BYTES]);
double sweep_axis_number(const struct sweep_axis *axis, int index); /* for pictures */

struct sweep_point {
    enum solve_status status;
    nusd same_bill;
    nusd bill;
    nusd once;
    nusd same_score;
    nusd score;
    int64_t gap_ppm;
    int moves; /* from today's placement */
    struct placement *at;
};

/* The base with some overrides made already. */
struct sweep_base {
    const struct cost_input *input;
    const struct placement *at;
    const struct override *list;
    int count;
};

/* ret_points is [index of the first axis * count of the second + index of the second]. */
int sweep_run(struct whatif *whatif, const struct sweep_base *base, const struct sweep_axis *axes,
              int axis_count, struct arena *arena, struct sweep_point **ret_points,
              struct error *err) WARN_UNUSED;

struct sweep_move {
    int app;
    int workload;
    struct placement from;
    struct placement to;
};

struct sweep_change {
    struct decimal factor; /* of the present value; at it or beyond, the new placement is best */
    struct decimal value;  /* the present value times it, in override_present's unit */
    bool up;               /* it is met when the value grows */
    nusd bill_before;
    nusd bill_after;
    struct sweep_move moves[SWEEP_MOVES];
    int move_count; /* may be more than are told */
};

struct sweep_even {
    struct override_present present;
    struct decimal from; /* factors */
    struct decimal to;
    struct sweep_change *changes; /* by factor */
    int change_count;
    int solves;
    bool proven; /* every placement is proven best */
};

/* PATH, or PATH=LO:HI in factors: "price.egress.aws*=x0.5:x4". */
int sweep_even(struct whatif *whatif, const struct sweep_base *base, const char *text,
               struct arena *arena, struct sweep_even *ret_even, struct error *err) WARN_UNUSED;

struct sweep_bar {
    char path[LIMIT_TEXT_BYTES];
    struct override_present present;
    struct sweep_point low; /* the value less by `part`; placements are not kept */
    struct sweep_point high;
};

/* Every price that is paid and every measure, less and more by `part_ppm`, the widest first. `ret_
 * point` is the base itself. */
int sweep_tornado(struct whatif *whatif, const struct sweep_base *base, int64_t part_ppm,
                  struct arena *arena, struct sweep_bar **ret_bars, int *ret_count,
                  struct sweep_point *ret_point, struct error *err) WARN_UNUSED;
/* Of the bill; 0 where an end has no placement: such bars come first, those of width 0 are by
 * score. */
nusd sweep_bar_width(const struct sweep_bar *bar);

/* A point of an answer; without an arena its placement is not kept. */
int sweep_point_of(const struct placement *at, const struct whatif_answer *answer,
                   struct arena *arena, struct sweep_point *ret_point,
                   struct error *err) WARN_UNUSED;
