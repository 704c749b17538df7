/*
 * report: everything that one `berth whatif` has found, and its two files: JSON (docs/whatif.md)
 * and one HTML page with its pictures inside. What was not asked for is NULL or empty. The arrays
 * are in the arena of the run; nothing here is owned. One thread.
 */
#pragma once

#include "base/str.h"
#include "model/cost_view.h"
#include "simulator/whatif/attribute.h"
#include "simulator/whatif/spread.h"
#include "simulator/whatif/sweep.h"

enum report_side { SIDE_TODAY, SIDE_SAME, SIDE_BEST, SIDE_COUNT };

/* Today; today's placement under the changed inputs; the best placement under them. */
struct report_view {
    bool known;
    const struct placement *at;
    struct cost_total total;
    struct cost_total *apps; /* [app] */
    struct cost_view view;
    int64_t mean_us; /* of users' calls; -1: there are none */
    int64_t p95_us;
    int64_t whole_us; /* with the calls behind them */
};

struct whatif_report {
    const struct cost_state *state; /* today */
    bool assumed;                   /* nothing ran: today's placement is the best one of today */
    const char *const *said;        /* the overrides, as they were written */
    int said_count;
    struct whatif_answer answer;
    struct report_view sides[SIDE_COUNT];

    struct sweep_axis axes[SWEEP_AXES];
    int axis_count;
    struct sweep_point *points;

    struct sweep_even *evens;
    const char *const *even_paths;
    int even_count;

    struct sweep_bar *bars;
    int bar_count;
    int64_t bar_part_ppm;
    struct sweep_point bar_base;

    struct spread_result *spread;
    uint64_t seed;

    struct attribute *attribute;
};

/* The state, its overrides and their answer, with all three sides. */
int report_begin(struct whatif *whatif, const struct cost_state *state, const struct override *list,
                 int count, struct arena *arena, struct whatif_report *report,
                 struct error *err) WARN_UNUSED;

void report_json(const struct whatif_report *report, struct strbuf *out);
/* The page alone; `title` is escaped. */
void report_html(const struct whatif_report *report, const char *title, struct strbuf *out);

/* "namespace/app/workload" of a part. */
void report_part_name(const struct cost_input *input, int app, int workload,
                      char out[LIMIT_TEXT_BYTES]);
/* A site's name in the changed world; "nowhere". */
const char *report_site(const struct whatif_report *report, int site);
