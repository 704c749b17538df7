#include "scheduler/service/service_internal.h"

int service_report(const struct cost_input *input, const struct placement *at, struct arena *arena,
                   struct cost_report *ret_report, struct error *err)
{
    return cost_explain(input, at, arena, ret_report, err);
}

int service_candidates(const struct cost_input *input, const struct placement *at, int part,
                       struct arena *arena, struct cost_candidate **ret_candidates, int *ret_count,
                       struct error *err)
{
    return cost_candidates(input, at, part, arena, ret_candidates, ret_count, err);
}

bool service_line_touches(const struct cost_input *input, const struct cost_line *line, int app,
                          int workload)
{
    if (line->app != app)
        return false;
    if (line->workload == workload)
        return true;
    if (line->link < 0)
        return false;
    const struct link *link = &input->apps[app].app->links[line->link];
    return link->to == workload || (link->from_kind == LINK_WORKLOAD && link->from == workload);
}

void service_total_write(struct json_out *json, const char *key, const struct cost_total *total)
{
    json_open(json, key, '{');
    json_money(json, "bill", total->bill - total->bill_term[TERM_MIGRATION]);
    json_money(json, "once", total->bill_term[TERM_MIGRATION]);
    json_money(json, "score", total->score);
    json_open(json, "terms", '[');
    for (int term = 0; term < TERM_COUNT; term++) {
        json_open(json, NULL, '{');
        json_string(json, "term", cost_term_words[term]);
        json_money(json, "bill", total->bill_term[term]);
        json_money(json, "score", total->score_term[term]);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

void service_lines_write(struct json_out *json, const struct cost_input *input,
                         const struct cost_report *report, const struct message_request *narrow)
{
    service_lines_within(json, input, report, narrow, SIZE_MAX);
}

void service_lines_within(struct json_out *json, const struct cost_input *input,
                          const struct cost_report *report, const struct message_request *narrow,
                          size_t bytes_max)
{
    const struct world *world = input->world;
    int left_out = 0;
    json_open(json, "lines", '[');
    for (int i = 0; i < report->line_count; i++) {
        const struct cost_line *line = &report->lines[i];
        const struct app *app = input->apps[line->app].app;
        const char *workload = app->workloads[line->workload].name;
        if (narrow != NULL && !service_narrowed(narrow, app->namespace_, app->name, workload))
            continue;
        if (json->text != NULL && json->text->bytes > bytes_max) {
            left_out++;
            continue;
        }
        json_open(json, NULL, '{');
        json_string(json, "term", cost_term_words[line->term]);
        json_string(json, "namespace", app->namespace_);
        json_string(json, "app", app->name);
        json_string(json, "workload", workload);
        const char *from = "";
        if (line->link >= 0) {
            const struct link *link = &app->links[line->link];
            from = link->from_kind == LINK_WORKLOAD ? app->workloads[link->from].name
                                                    : app->segments[link->from].name;
        }
        json_string(json, "link", from);
        json_string(json, "site", line->site < 0 ? "" : world->sites[line->site].name);
        json_string(json, "peer", line->peer_site < 0 ? "" : world->sites[line->peer_site].name);
        json_money(json, "bill", line->bill);
        json_money(json, "score", line->score);
        json_string(json, "text", line->text);
        json_close(json, '}');
    }
    json_close(json, ']');
    if (left_out > 0)
        json_int(json, "lines_left_out", left_out);
}
