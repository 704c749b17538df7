#include "simulator/whatif/report.h"

/* What look_at_today works on. */
struct sides {
    const struct cost_state *state;
    const struct cost_input *input; /* changed */
    struct arena *arena;
    struct whatif_report *report;
};

static int look_at_today(void *context, struct error *err);
static int look(const struct cost_input *input, const struct placement *at, struct arena *arena,
                struct report_view *view, struct error *err);

int report_begin(struct whatif *whatif, const struct cost_state *state, const struct override *list,
                 int count, struct arena *arena, struct whatif_report *report, struct error *err)
{
    struct cost_input input = state->input;
    struct sides sides = {state, &input, arena, report};
    report->state = state;
    int rc = override_apply(list, count, &state->input, arena, &input, err);
    if (rc == 0)
        rc = whatif_one_while(whatif, &input, state->at, look_at_today, &sides, arena,
                              &report->answer, err);
    report->answer.input = input;
    if (rc == 0 && whatif_is_placed(&report->answer))
        rc = look(&input, report->answer.best, arena, &report->sides[SIDE_BEST], err);
    return rc;
}

/* What needs no answer. */
static int look_at_today(void *context, struct error *err)
{
    struct sides *sides = context;
    const struct cost_state *state = sides->state;
    int rc = look(&state->input, state->at, sides->arena, &sides->report->sides[SIDE_TODAY], err);
    return rc < 0
               ? rc
               : look(sides->input, state->at, sides->arena, &sides->report->sides[SIDE_SAME], err);
}

void report_part_name(const struct cost_input *input, int app, int workload,
                      char out[LIMIT_TEXT_BYTES])
{
    const struct app *owner = input->apps[app].app;
    str_format(out, LIMIT_TEXT_BYTES, "%s/%s/%s", owner->namespace_, owner->name,
               owner->workloads[workload].name);
}

const char *report_site(const struct whatif_report *report, int site)
{
    return site < 0 ? "nowhere" : report->answer.input.world->sites[site].name;
}

static int look(const struct cost_input *input, const struct placement *at, struct arena *arena,
                struct report_view *view, struct error *err)
{
    struct arena scratch;
    view->at = at;
    view->apps = arena_array(arena, (size_t)input->app_count + 1, sizeof(struct cost_total));
    if (view->apps == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a report");
    arena_init(&scratch, (size_t)2 << 30);
    int rc = cost_totals(input, at, &scratch, &view->total, view->apps, err);
    if (rc == 0)
        rc = cost_view(input, at, arena, &view->view, err);
    if (rc == 0) {
        view->known = true;
        view->mean_us = cost_view_mean_us(&view->view, -1);
        view->p95_us = cost_view_quantile_us(&view->view, -1, 950000, &scratch);
        view->whole_us = cost_view_whole_us(&view->view, -1);
    }
    arena_done(&scratch);
    return rc;
}
