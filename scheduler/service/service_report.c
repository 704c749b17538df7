#include <string.h>

#include "scheduler/service/service_internal.h"

/* The part of an input that is placed: the cost model wants a site for every part. */
struct reduced {
    struct cost_input input;
    struct placement *at; /* [part of it] */
    int *app_of;          /* [app of it]: index in the whole input */
    int **workload_of;    /* [app of it][workload of it] */
    int **link_of;
    int part; /* where `keep` went; -1 */
};

static int reduce(const struct cost_input *input, const struct placement *at, int keep,
                  struct arena *arena, struct reduced *ret_reduced, struct error *err);
static int reduce_app(const struct cost_input *input, const struct placement *at, int keep, int app,
                      struct arena *arena, struct reduced *reduced, int *part_count);
static void reduce_links(const struct app *whole, const int *place, struct app *app, int *link_of);

int service_report(const struct cost_input *input, const struct placement *at, struct arena *arena,
                   struct cost_report *ret_report, struct error *err)
{
    struct reduced reduced;
    struct cost_report report;
    int rc = reduce(input, at, -1, arena, &reduced, err);
    if (rc == 0)
        rc = cost_explain(&reduced.input, reduced.at, arena, &report, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < report.line_count; i++) {
        struct cost_line *line = &report.lines[i];
        if (line->link >= 0)
            line->link = reduced.link_of[line->app][line->link];
        line->workload = reduced.workload_of[line->app][line->workload];
        line->app = reduced.app_of[line->app];
    }
    *ret_report = report;
    return 0;
}

int service_candidates(const struct cost_input *input, const struct placement *at, int part,
                       struct arena *arena, struct cost_candidate **ret_candidates, int *ret_count,
                       struct error *err)
{
    struct reduced reduced;
    int rc = reduce(input, at, part, arena, &reduced, err);
    if (rc < 0)
        return rc;
    bool placed = reduced.at[reduced.part].site >= 0;
    if (!placed)
        reduced.at[reduced.part].site = 0; /* any: gaps are put right below */
    rc = cost_candidates(&reduced.input, reduced.at, reduced.part, arena, ret_candidates, ret_count,
                         err);
    if (rc < 0 || placed)
        return rc;
    const struct cost_candidate *best = NULL;
    for (int i = 0; i < *ret_count; i++) {
        const struct cost_candidate *candidate = &(*ret_candidates)[i];
        if (candidate->allowed && (best == NULL || candidate->gap < best->gap))
            best = candidate;
    }
    nusd least = best == NULL ? 0 : best->gap;
    for (int i = 0; i < *ret_count; i++)
        (*ret_candidates)[i].gap -= least;
    return 0;
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
    const struct world *world = input->world;
    json_open(json, "lines", '[');
    for (int i = 0; i < report->line_count; i++) {
        const struct cost_line *line = &report->lines[i];
        const struct app *app = input->apps[line->app].app;
        const char *workload = app->workloads[line->workload].name;
        if (narrow != NULL && !service_narrowed(narrow, app->namespace_, app->name, workload))
            continue;
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
}

/* Parts without a site go, but `keep`; and with them the links that they are an end of. */
static int reduce(const struct cost_input *input, const struct placement *at, int keep,
                  struct arena *arena, struct reduced *ret_reduced, struct error *err)
{
    struct reduced reduced = {.input = *input, .part = -1};
    size_t apps = (size_t)input->app_count;
    size_t parts = 1;
    for (int i = 0; i < input->app_count; i++)
        parts += (size_t)input->apps[i].app->workload_count;
    reduced.input.apps = arena_array(arena, apps + 1, sizeof(*reduced.input.apps));
    reduced.input.app_count = 0;
    reduced.at = arena_array(arena, parts, sizeof(*reduced.at));
    reduced.app_of = arena_array(arena, apps + 1, sizeof(*reduced.app_of));
    reduced.workload_of = arena_array(arena, apps + 1, sizeof(*reduced.workload_of));
    reduced.link_of = arena_array(arena, apps + 1, sizeof(*reduced.link_of));
    int rc = reduced.input.apps == NULL || reduced.at == NULL || reduced.app_of == NULL ||
                     reduced.workload_of == NULL || reduced.link_of == NULL
                 ? ERR_NO_MEMORY
                 : 0;
    int part_count = 0;
    for (int i = 0; rc == 0 && i < input->app_count; i++)
        rc = reduce_app(input, at, keep, i, arena, &reduced, &part_count);
    if (rc < 0)
        return error_set(err, rc, 0, "no memory for the ledger of the placement");
    *ret_reduced = reduced;
    return 0;
}

static int reduce_app(const struct cost_input *input, const struct placement *at, int keep, int app,
                      struct arena *arena, struct reduced *reduced, int *part_count)
{
    const struct app *whole = input->apps[app].app;
    size_t count = (size_t)whole->workload_count;
    int app_at = reduced->input.app_count;
    struct app *made = arena_copy(arena, whole, sizeof(*whole));
    int *place = arena_array(arena, count + 1, sizeof(*place)); /* where a workload went; -1 */
    struct workload_state *states = arena_array(arena, count + 1, sizeof(*states));
    struct workload *workloads = arena_array(arena, count + 1, sizeof(*workloads));
    struct link *links = arena_array(arena, (size_t)whole->link_count + 1, sizeof(*links));
    int *workload_of = arena_array(arena, count + 1, sizeof(*workload_of));
    int *link_of = arena_array(arena, (size_t)whole->link_count + 1, sizeof(*link_of));
    if (made == NULL || place == NULL || states == NULL || workloads == NULL || links == NULL ||
        workload_of == NULL || link_of == NULL)
        return ERR_NO_MEMORY;
    made->workload_count = 0;
    made->aparts = NULL; /* rules say nothing about costs */
    made->apart_count = 0;
    for (int k = 0; k < whole->workload_count; k++) {
        int part = cost_part(input, app, k);
        place[k] = -1;
        if (at[part].site < 0 && part != keep)
            continue;
        place[k] = made->workload_count++;
        workloads[place[k]] = whole->workloads[k];
        states[place[k]] = input->apps[app].states[k];
        workload_of[place[k]] = k;
        if (part == keep)
            reduced->part = *part_count;
        reduced->at[(*part_count)++] = at[part];
    }
    made->workloads = workloads;
    made->links = links;
    reduce_links(whole, place, made, link_of);
    reduced->input.apps[app_at] = (struct cost_app){.app = made, .states = states};
    reduced->input.app_count++;
    reduced->app_of[app_at] = app;
    reduced->workload_of[app_at] = workload_of;
    reduced->link_of[app_at] = link_of;
    return 0;
}

static void reduce_links(const struct app *whole, const int *place, struct app *app, int *link_of)
{
    app->link_count = 0;
    for (int i = 0; i < whole->link_count; i++) {
        struct link link = whole->links[i];
        if (place[link.to] < 0 || (link.from_kind == LINK_WORKLOAD && place[link.from] < 0))
            continue;
        link.to = place[link.to];
        if (link.from_kind == LINK_WORKLOAD)
            link.from = place[link.from];
        link_of[app->link_count] = i;
        app->links[app->link_count++] = link;
    }
}
