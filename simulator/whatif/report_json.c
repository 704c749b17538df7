/* A report as JSON: amounts are decimal strings of dollars, as everywhere (docs/control.md). */
#include <inttypes.h>

#include "model/json_out.h"
#include "simulator/whatif/report.h"

static void write_side(const struct whatif_report *report, enum report_side side, const char *key,
                       struct json_out *json);
static void write_terms(const struct cost_total *total, struct json_out *json);
static void write_apps(const struct whatif_report *report, struct json_out *json);
static void write_places(const struct whatif_report *report, const struct placement *at,
                         struct json_out *json);
static void write_name(const struct cost_input *input, int app, int workload,
                       struct json_out *json);
static void write_moves(const struct whatif_report *report, const char *key,
                        const struct placement *at, struct json_out *json);
static void write_move(const struct whatif_report *report, const struct sweep_move *move,
                       struct json_out *json);
static void write_sweep(const struct whatif_report *report, struct json_out *json);
static void write_point(const struct sweep_point *point, struct json_out *json);
static void write_evens(const struct whatif_report *report, struct json_out *json);
static void write_bars(const struct whatif_report *report, struct json_out *json);
static void write_spread(const struct whatif_report *report, struct json_out *json);
static void write_attribute(const struct whatif_report *report, struct json_out *json);
static void write_meter(const struct whatif_report *report, const struct attribute_meter *meter,
                        struct json_out *json);
static void money(struct json_out *json, const char *key, nusd amount);
static void number(struct json_out *json, const char *key, struct decimal value);

void report_json(const struct whatif_report *report, struct strbuf *out)
{
    const struct whatif_answer *answer = &report->answer;
    struct json_out json;
    json_out_init(&json, out);
    json_open(&json, NULL, '{');
    json_open(&json, "overrides", '[');
    for (int i = 0; i < report->said_count; i++)
        json_string(&json, NULL, report->said[i]);
    json_close(&json, ']');
    json_string(&json, "status", solve_status_words[answer->status]);
    json_string(&json, "text", answer->text);
    json_bool(&json, "today_assumed", report->assumed);
    json_string(&json, "broken", answer->broken);
    json_open(&json, "conflict", '[');
    for (int i = 0; i < answer->conflict_count && i < WHATIF_CONFLICT; i++)
        json_string(&json, NULL, answer->conflict[i]);
    json_close(&json, ']');
    json_int(&json, "conflict_count", answer->conflict_count);
    write_side(report, SIDE_TODAY, "before", &json);
    write_side(report, SIDE_SAME, "same_placement", &json);
    if (report->sides[SIDE_BEST].known) {
        write_side(report, SIDE_BEST, "after", &json);
        money(&json, "bound_score", answer->bound);
        money(&json, "stay_score", whatif_stay(answer));
        json_int(&json, "gap_ppm", whatif_gap_ppm(answer));
    }
    write_moves(report, "moves", answer->best, &json);
    write_apps(report, &json);
    if (report->axis_count > 0)
        write_sweep(report, &json);
    if (report->even_count > 0)
        write_evens(report, &json);
    if (report->bars != NULL)
        write_bars(report, &json);
    if (report->spread != NULL)
        write_spread(report, &json);
    if (report->attribute != NULL)
        write_attribute(report, &json);
    json_close(&json, '}');
    strbuf_puts(out, "\n");
}

static void write_side(const struct whatif_report *report, enum report_side side, const char *key,
                       struct json_out *json)
{
    const struct report_view *view = &report->sides[side];
    json_open(json, key, '{');
    money(json, "bill", whatif_bill(&view->total));
    money(json, "once", view->total.bill_term[TERM_MIGRATION]);
    money(json, "score", view->total.score);
    if (view->mean_us >= 0) {
        json_int(json, "latency_mean_us", view->mean_us);
        json_int(json, "latency_p95_us", view->p95_us);
        json_int(json, "latency_whole_us", view->whole_us);
    }
    write_terms(&view->total, json);
    if (view->at != NULL && side != SIDE_SAME)
        write_places(report, view->at, json);
    json_close(json, '}');
}

static void write_places(const struct whatif_report *report, const struct placement *at,
                         struct json_out *json)
{
    const struct cost_input *input = &report->answer.input;
    json_open(json, "places", '[');
    for (int i = 0, part = 0; i < input->app_count; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++, part++) {
            const struct workload *what = &input->apps[i].app->workloads[k];
            json_open(json, NULL, '{');
            write_name(input, i, k, json);
            json_string(json, "site", at[part].site < 0 ? "" : report_site(report, at[part].site));
            if (what->variant_count > 1 && at[part].variant < what->variant_count)
                json_string(json, "variant", what->variants[at[part].variant].name);
            json_close(json, '}');
        }
    json_close(json, ']');
}

static void write_name(const struct cost_input *input, int app, int workload, struct json_out *json)
{
    const struct app *owner = input->apps[app].app;
    json_string(json, "namespace", owner->namespace_);
    json_string(json, "app", owner->name);
    json_string(json, "workload", owner->workloads[workload].name);
}

static void write_terms(const struct cost_total *total, struct json_out *json)
{
    json_open(json, "terms", '[');
    for (int term = 0; term < TERM_COUNT; term++) {
        if (total->bill_term[term] == 0 && total->score_term[term] == 0)
            continue;
        json_open(json, NULL, '{');
        json_string(json, "term", cost_term_words[term]);
        money(json, "bill", total->bill_term[term]);
        money(json, "score", total->score_term[term]);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void write_apps(const struct whatif_report *report, struct json_out *json)
{
    static const char *const keys[] = {"before", "same_placement", "after"};
    json_open(json, "apps", '[');
    for (int i = 0; i < report->answer.input.app_count; i++) {
        const struct app *app = report->answer.input.apps[i].app;
        json_open(json, NULL, '{');
        json_string(json, "namespace", app->namespace_);
        json_string(json, "app", app->name);
        for (int side = 0; side < SIDE_COUNT; side++) {
            const struct report_view *view = &report->sides[side];
            if (!view->known)
                continue;
            json_open(json, keys[side], '{');
            money(json, "bill", whatif_bill(&view->apps[i]));
            money(json, "score", view->apps[i].score);
            int64_t us = cost_view_mean_us(&view->view, i);
            if (us >= 0)
                json_int(json, "latency_mean_us", us);
            write_terms(&view->apps[i], json);
            json_close(json, '}');
        }
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void write_moves(const struct whatif_report *report, const char *key,
                        const struct placement *at, struct json_out *json)
{
    const struct cost_input *input = &report->answer.input;
    json_open(json, key, '[');
    for (int i = 0, part = 0; i < input->app_count && at != NULL; i++)
        for (int k = 0; k < input->apps[i].app->workload_count; k++, part++) {
            struct placement from = report->state->at[part];
            struct placement to = at[part];
            if (from.site != to.site || from.variant != to.variant)
                write_move(report, &(struct sweep_move){i, k, from, to}, json);
        }
    json_close(json, ']');
}

static void write_move(const struct whatif_report *report, const struct sweep_move *move,
                       struct json_out *json)
{
    const struct app *app = report->answer.input.apps[move->app].app;
    const struct workload *what = &app->workloads[move->workload];
    json_open(json, NULL, '{');
    write_name(&report->answer.input, move->app, move->workload, json);
    json_string(json, "from", move->from.site < 0 ? "" : report_site(report, move->from.site));
    json_string(json, "to", move->to.site < 0 ? "" : report_site(report, move->to.site));
    if (what->variant_count > 1 && move->to.variant < what->variant_count)
        json_string(json, "variant", what->variants[move->to.variant].name);
    json_close(json, '}');
}

static void write_sweep(const struct whatif_report *report, struct json_out *json)
{
    int second = report->axis_count > 1 ? report->axes[1].count : 1;
    json_open(json, "sweep", '{');
    json_open(json, "paths", '[');
    for (int i = 0; i < report->axis_count; i++)
        json_string(json, NULL, report->axes[i].path);
    json_close(json, ']');
    json_open(json, "points", '[');
    for (int i = 0; i < report->axes[0].count * second; i++) {
        char value[LIMIT_NAME_BYTES];
        json_open(json, NULL, '{');
        json_open(json, "values", '[');
        sweep_axis_value(&report->axes[0], i / second, value);
        json_string(json, NULL, value);
        if (report->axis_count > 1) {
            sweep_axis_value(&report->axes[1], i % second, value);
            json_string(json, NULL, value);
        }
        json_close(json, ']');
        write_point(&report->points[i], json);
        write_moves(report, "moved", report->points[i].at, json);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void write_point(const struct sweep_point *point, struct json_out *json)
{
    bool placed = point->status == SOLVE_OPTIMAL || point->status == SOLVE_FEASIBLE;
    json_string(json, "status", solve_status_words[point->status]);
    money(json, "same_bill", point->same_bill);
    money(json, "same_score", point->same_score);
    if (!placed)
        return;
    money(json, "bill", point->bill);
    money(json, "once", point->once);
    money(json, "score", point->score);
    json_int(json, "gap_ppm", point->gap_ppm);
    json_int(json, "moves", point->moves);
}

static void write_evens(const struct whatif_report *report, struct json_out *json)
{
    json_open(json, "break_even", '[');
    for (int i = 0; i < report->even_count; i++) {
        const struct sweep_even *even = &report->evens[i];
        json_open(json, NULL, '{');
        json_string(json, "path", report->even_paths[i]);
        json_string(json, "name", even->present.name);
        json_int(json, "matched", even->present.matched);
        json_string(json, "unit", even->present.unit);
        number(json, "present", even->present.value);
        number(json, "from_factor", even->from);
        number(json, "to_factor", even->to);
        json_bool(json, "proven", even->proven);
        json_int(json, "solves", even->solves);
        json_open(json, "changes", '[');
        for (int k = 0; k < even->change_count; k++) {
            const struct sweep_change *change = &even->changes[k];
            json_open(json, NULL, '{');
            json_string(json, "direction", change->up ? "above" : "below");
            number(json, "value", change->value);
            number(json, "factor", change->factor);
            money(json, "bill_before", change->bill_before);
            money(json, "bill_after", change->bill_after);
            json_int(json, "move_count", change->move_count);
            json_open(json, "moves", '[');
            for (int m = 0; m < change->move_count && m < SWEEP_MOVES; m++)
                write_move(report, &change->moves[m], json);
            json_close(json, ']');
            json_close(json, '}');
        }
        json_close(json, ']');
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void write_bars(const struct whatif_report *report, struct json_out *json)
{
    json_open(json, "sensitivity", '{');
    json_int(json, "part_ppm", report->bar_part_ppm);
    json_open(json, "base", '{');
    write_point(&report->bar_base, json);
    json_close(json, '}');
    json_open(json, "inputs", '[');
    for (int i = 0; i < report->bar_count; i++) {
        const struct sweep_bar *bar = &report->bars[i];
        json_open(json, NULL, '{');
        json_string(json, "path", bar->path);
        number(json, "present", bar->present.value);
        json_string(json, "unit", bar->present.unit);
        money(json, "width", sweep_bar_width(bar));
        json_open(json, "low", '{');
        write_point(&bar->low, json);
        json_close(json, '}');
        json_open(json, "high", '{');
        write_point(&bar->high, json);
        json_close(json, '}');
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void write_spread(const struct whatif_report *report, struct json_out *json)
{
    const struct spread_result *spread = report->spread;
    const struct cost_input *input = &report->answer.input;
    json_open(json, "monte_carlo", '{');
    json_int(json, "draws", spread->draws);
    json_int(json, "seed", (int64_t)(report->seed & INT64_MAX));
    json_int(json, "inputs", spread->inputs);
    json_int(json, "unplaced", spread->unplaced);
    money(json, "same_mean", spread->same_mean);
    money(json, "mean", spread->mean);
    json_open(json, "quantiles", '[');
    for (int i = 0; i < SPREAD_QUANTILES; i++) {
        json_open(json, NULL, '{');
        json_int(json, "quantile_ppm", spread_quantile_ppm[i]);
        money(json, "same_bill", spread->same_bill[i]);
        money(json, "bill", spread->bill[i]);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_open(json, "places", '[');
    for (int i = 0, app = 0, first = 0; i < spread->place_count; i++) {
        const struct spread_place *place = &spread->places[i];
        while (place->part >= first + input->apps[app].app->workload_count)
            first += input->apps[app++].app->workload_count;
        json_open(json, NULL, '{');
        write_name(input, app, place->part - first, json);
        json_string(json, "site", report_site(report, place->at.site));
        json_int(json, "draws", place->count);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void write_attribute(const struct whatif_report *report, struct json_out *json)
{
    json_open(json, "attribution", '{');
    json_open(json, "meters", '[');
    for (int i = 0; i < report->attribute->meter_count; i++)
        write_meter(report, &report->attribute->meters[i], json);
    json_close(json, ']');
    json_open(json, "all", '[');
    write_meter(report, &report->attribute->all, json);
    json_close(json, ']');
    json_close(json, '}');
}

static void write_meter(const struct whatif_report *report, const struct attribute_meter *meter,
                        struct json_out *json)
{
    const struct cost_input *input = &report->answer.input;
    json_open(json, NULL, '{');
    if (meter->account >= 0) {
        json_string(json, "account", input->world->accounts[meter->account].name);
        json_string(json, "rule", input->world->egress[meter->rule].name);
    }
    money(json, "total", meter->total);
    json_bool(json, "exact", meter->exact);
    json_open(json, "shares", '[');
    for (int i = 0; i < meter->share_count; i++) {
        const struct attribute_share *share = &meter->shares[i];
        json_open(json, NULL, '{');
        json_string(json, "namespace", input->apps[share->app].app->namespace_);
        json_string(json, "app", input->apps[share->app].app->name);
        json_int(json, "bytes", share->bytes);
        money(json, "marginal", share->share.marginal);
        money(json, "proportional", share->share.proportional);
        money(json, "shapley", share->share.shapley);
        money(json, "standard_error", share->share.spread);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void money(struct json_out *json, const char *key, nusd amount)
{
    char text[MONEY_TEXT_BYTES];
    json_string(json, key, money_exact(amount, text));
}

static void number(struct json_out *json, const char *key, struct decimal value)
{
    char text[DECIMAL_TEXT_BYTES];
    json_string(json, key, decimal_format(value, text));
}
