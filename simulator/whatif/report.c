#include "simulator/whatif/report.h"

#define SCRATCH_BYTES ((size_t)4 << 30)

/* What look_at_today works on. */
struct sides {
    const struct cost_state *state;
    struct cost_context *changed;
    struct arena *arena;
    struct arena *scratch;
    struct whatif_report *report;
};

static int ask(struct whatif *whatif, struct sides *sides, const struct cost_input *input,
               struct error *err);
static int look_at_today(void *context, struct error *err);
static int look(const struct sides *sides, const struct cost_context *context,
                const struct placement *at, enum report_side side, struct error *err);

int report_begin(struct whatif *whatif, const struct cost_state *state, const struct override *list,
                 int count, struct arena *arena, struct whatif_report *report, struct error *err)
{
    struct cost_input *input = arena_copy(arena, &state->input, sizeof(*input));
    struct arena scratch;
    struct sides sides = {state, NULL, arena, &scratch, report};
    report->state = state;
    if (input == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a report");
    arena_init(&scratch, SCRATCH_BYTES);
    int rc = override_apply(list, count, &state->input, arena, input, err);
    if (rc == 0)
        rc = ask(whatif, &sides, input, err);
    report->answer.input = *input;
    arena_done(&scratch);
    return rc;
}

static int ask(struct whatif *whatif, struct sides *sides, const struct cost_input *input,
               struct error *err)
{
    struct whatif_answer *answer = &sides->report->answer;
    int rc = cost_context_make(input, NULL, NULL, sides->scratch, &sides->changed, err);
    if (rc == 0)
        rc = whatif_one_while(whatif, sides->changed, sides->state->at, look_at_today, sides,
                              sides->arena, answer, err);
    return rc == 0 && whatif_is_placed(answer)
               ? look(sides, sides->changed, answer->best, SIDE_BEST, err)
               : rc;
}

/* What needs no answer. */
static int look_at_today(void *context, struct error *err)
{
    struct sides *sides = context;
    const struct cost_state *state = sides->state;
    struct cost_context *today;
    int rc = cost_context_make(&state->input, NULL, NULL, sides->scratch, &today, err);
    if (rc == 0)
        rc = look(sides, today, state->at, SIDE_TODAY, err);
    return rc < 0 ? rc : look(sides, sides->changed, state->at, SIDE_SAME, err);
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

static int look(const struct sides *sides, const struct cost_context *context,
                const struct placement *at, enum report_side side, struct error *err)
{
    struct report_view *view = &sides->report->sides[side];
    size_t apps = (size_t)cost_context_input(context)->app_count + 1;
    view->at = at;
    view->apps = arena_array(sides->arena, apps, sizeof(struct cost_total));
    if (view->apps == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a report");
    int rc = cost_totals_from(context, at, sides->scratch, &view->total, view->apps, err);
    if (rc == 0)
        rc = cost_view_from(context, at, sides->arena, &view->view, err);
    if (rc == 0) {
        view->known = true;
        view->mean_us = cost_view_mean_us(&view->view, -1);
        view->p95_us = cost_view_quantile_us(&view->view, -1, 950000, sides->scratch);
        view->whole_us = cost_view_whole_us(&view->view, -1);
    }
    return rc;
}
