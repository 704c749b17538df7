/* The page of the scheduler's own metrics. docs/monitoring.md lists the names. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "model/world.h"
#include "scheduler/service/service_http.h"
#include "scheduler/service/service_internal.h"

#define LABELS_MAX 8

struct page {
    struct service *service;
    const struct core_state *state;
    struct openmetrics_writer writer;
};

static void write_self(struct page *page);
static void write_state(struct page *page);
static void write_handoffs(struct page *page);
static void write_estimates(struct page *page);
static void write_costs(struct page *page);
static void write_bills(struct page *page, const struct cost_input *input,
                        const struct cost_report *report, bool score);
static void write_ledger(struct page *page);
static void gauge(struct page *page, const char *name, const char *unit, const char *help);
static void counter(struct page *page, const char *name, const char *unit, const char *help);
static void put(struct page *page, int64_t value, int count, const struct metric_label *labels);
static void put_dollars(struct page *page, nusd amount, int count,
                        const struct metric_label *labels);
static double process_seconds(void);
static int64_t process_bytes(void);

#define PUT(page, value, ...)                                                       \
    do {                                                                            \
        const struct metric_label labels_[] = {__VA_ARGS__};                        \
        put((page), (value), (int)(sizeof(labels_) / sizeof(labels_[0])), labels_); \
    } while (0)

void service_page_write(struct service *service, enum openmetrics_format format, struct strbuf *out)
{
    struct page page = {.service = service, .state = core_state(service->core)};
    openmetrics_writer_init(&page.writer, format, out);
    service_ledger_accrue(service);
    write_self(&page);
    write_state(&page);
    write_handoffs(&page);
    write_estimates(&page);
    if (page.state->world != NULL) {
        write_costs(&page);
        write_ledger(&page);
    }
    openmetrics_finish(&page.writer);
}

static void write_self(struct page *page)
{
    const struct service *service = page->service;
    gauge(page, "berth_build_info", NULL, "The version that runs; always 1.");
    PUT(page, 1, {"version", BERTH_VERSION}, {"nats_server", service->nats_version});
    gauge(page, "berth_term", NULL, "Terms of the journal: grows with every start.");
    put(page, (int64_t)service->term, 0, NULL);
    counter(page, "berth_journal_records", NULL, "Records ever appended.");
    put(page, (int64_t)journal_last(service->journal), 0, NULL);
    gauge(page, "berth_journal_refusing", NULL, "1 while the journal cannot be written.");
    put(page, service->refusing ? 1 : 0, 0, NULL);
    counter(page, "berth_bus_dropped_messages", NULL, "Messages lost to a full queue.");
    put(page, (int64_t)bus_stats(service->bus).dropped, 0, NULL);
    counter(page, "berth_refused_messages", NULL, "Messages that prove no sender, or are old.");
    PUT(page, (int64_t)service->counts.unproven, {"reason", "unproven"});
    PUT(page, (int64_t)service->counts.replayed, {"reason", "replayed"});
    counter(page, "berth_metrics_refused_samples", NULL, "Samples that were not believed.");
    put(page, (int64_t)metrics_refused(service->metrics).count, 0, NULL);
    gauge(page, "berth_solving", NULL, "1 while a solve is under way.");
    put(page, page->state->solving ? 1 : 0, 0, NULL);
    gauge(page, "berth_plan_status", NULL, "1 for how the last solve ended.");
    for (int i = 0; i <= (int)SOLVE_NONE; i++)
        PUT(page, page->state->solve > 0 && (int)page->state->plan_status == i ? 1 : 0,
            {"status", solve_status_words[i]});
    counter(page, "process_cpu_seconds", "seconds", "CPU time of the scheduler.");
    openmetrics_value(&page->writer, "", NULL, 0, process_seconds());
    gauge(page, "process_resident_memory_bytes", "bytes", "Memory of the scheduler.");
    put(page, process_bytes(), 0, NULL);
}

static void write_state(struct page *page)
{
    const struct core_state *state = page->state;
    gauge(page, "berth_node_up", NULL, "1 for a node that is heard.");
    for (int i = 0; i < state->node_count; i++)
        PUT(page, state->nodes[i].up ? 1 : 0, {"node", state->nodes[i].name},
            {"site", state->nodes[i].site});
    counter(page, "berth_node_refused_messages", NULL, "Messages that a node's agent refused.");
    for (int i = 0; i < state->node_count; i++)
        PUT(page, (int64_t)service_proof_refused_at(page->service, state->nodes[i].name),
            {"node", state->nodes[i].name});
    gauge(page, "berth_instance_state", NULL, "1 for the state that an instance is in.");
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *instance = &state->instances[i];
        PUT(page, 1, {"namespace", instance->namespace_}, {"app", instance->app},
            {"workload", instance->workload}, {"instance", instance->id}, {"node", instance->node},
            {"state", instance->lost ? "lost" : instance_state_words[instance->state]});
    }
    gauge(page, "berth_workload_site", NULL, "1 for the site that the plan has a workload at.");
    for (int i = 0; i < state->app_count && state->world != NULL; i++) {
        const struct core_app *app = &state->apps[i];
        for (int k = 0; k < app->app.workload_count; k++) {
            int site = app->workloads[k].site;
            if (site >= 0)
                PUT(page, 1, {"namespace", app->app.namespace_}, {"app", app->app.name},
                    {"workload", app->app.workloads[k].name},
                    {"site", state->world->sites[site].name});
        }
    }
}

static void write_handoffs(struct page *page)
{
    const struct core_state *state = page->state;
    const struct service_counts *counts = &page->service->counts;
    gauge(page, "berth_handoffs_active", NULL, "Handoffs under way, by their state.");
    for (int word = 0; word < HANDOFF_STATE_DONE; word++) {
        int64_t count = 0;
        for (int i = 0; i < state->handoff_count; i++)
            count += (int)state->handoffs[i].state == word ? 1 : 0;
        PUT(page, count, {"state", handoff_state_words[word]});
    }
    counter(page, "berth_handoffs", NULL, "Handoffs that ended since the scheduler's start.");
    PUT(page, (int64_t)counts->handoffs_done, {"result", "done"});
    PUT(page, (int64_t)counts->handoffs_back, {"result", "back"});
    counter(page, "berth_moves_judged", NULL, "Moves to save, judged by what they saved.");
    PUT(page, (int64_t)counts->moves_checked, {"result", "checked"});
    PUT(page, (int64_t)counts->moves_regretted, {"result", "regretted"});
    PUT(page, (int64_t)counts->moves_unchecked, {"result", "unchecked"});
    counter(page, "berth_moves_held", NULL, "Moves of a plan that a rule held back.");
    put(page, (int64_t)counts->moves_held, 0, NULL);
    counter(page, "berth_plans", NULL, "Plans that were made.");
    put(page, (int64_t)counts->plans_made, 0, NULL);
}

static void write_estimates(struct page *page)
{
    const struct core_state *state = page->state;
    for (int pass = 0; pass < 3; pass++) {
        static const char *const names[] = {"berth_estimate", "berth_estimate_spread",
                                            "berth_estimate_age_seconds"};
        static const char *const helps[] = {
            "What decisions rest on, in the unit of its kind.",
            "One standard error of the estimate, in the same unit.",
            "How long ago the estimate was true.",
        };
        gauge(page, names[pass], pass == 2 ? "seconds" : NULL, helps[pass]);
        for (int i = 0; i < state->estimate_count; i++) {
            const struct estimate *estimate = &state->estimates[i];
            const struct metric_label labels[] = {
                {"kind", estimate_kind_words[estimate->kind]},
                {"namespace", estimate->namespace_},
                {"app", estimate->app},
                {"workload", estimate->workload},
                {"site", estimate->site},
                {"peer", estimate->peer},
            };
            if (pass == 2)
                openmetrics_value(&page->writer, "", labels, 6,
                                  (double)(service_now(page->service).us - estimate->at_us) /
                                      (double)US_PER_S);
            else
                put(page, pass == 0 ? estimate->value : estimate->spread, 6, labels);
        }
    }
}

/* What today's placement costs: by workload and term. */
static void write_costs(struct page *page)
{
    struct arena arena;
    struct cost_input input;
    struct cost_report report;
    struct placement *at = NULL;
    struct error err;
    arena_init(&arena, SERVICE_JOB_BYTES);
    if (core_cost_input(page->service->core, NULL, NULL, &arena, &input, &err) == 0 &&
        core_placement(page->service->core, &input, &arena, &at, &err) == 0 &&
        service_report(&input, at, &arena, &report, &err) == 0) {
        gauge(page, "berth_bill_dollars_per_month", NULL,
              "What the model says the present placement costs a month.");
        write_bills(page, &input, &report, false);
        gauge(page, "berth_score_dollars_per_month", NULL,
              "What is minimised: bill and experience, weighted.");
        write_bills(page, &input, &report, true);
    }
    arena_done(&arena);
}

static void write_bills(struct page *page, const struct cost_input *input,
                        const struct cost_report *report, bool score)
{
    for (int a = 0; a < input->app_count; a++) {
        const struct app *app = input->apps[a].app;
        for (int w = 0; w < app->workload_count; w++) {
            nusd sums[TERM_COUNT] = {0};
            bool any[TERM_COUNT] = {false};
            for (int i = 0; i < report->line_count; i++) {
                const struct cost_line *line = &report->lines[i];
                if (line->app != a || line->workload != w || line->term == TERM_MIGRATION)
                    continue;
                sums[line->term] += score ? line->score : line->bill;
                any[line->term] = true;
            }
            for (int term = 0; term < TERM_COUNT; term++) {
                const struct metric_label labels[] = {{"namespace", app->namespace_},
                                                      {"app", app->name},
                                                      {"workload", app->workloads[w].name},
                                                      {"term", cost_term_words[term]}};
                if (any[term])
                    put_dollars(page, sums[term], 4, labels);
            }
        }
    }
}

static void write_ledger(struct page *page)
{
    struct service *service = page->service;
    const struct world *world = page->state->world;
    struct ledger_forecast forecast;
    struct ledger_filter everything = {.from_us = 0};
    int64_t now_us = service_now(service).us;
    if (service->ledger == NULL ||
        ledger_forecast(service->ledger, &everything, now_us, &forecast, NULL) < 0)
        return;
    gauge(page, "berth_month_dollars", NULL, "The ledger's month: paid, predicted, at its end.");
    put_dollars(page, forecast.to_date, 1, &(struct metric_label){"of", "paid"});
    put_dollars(page, forecast.predicted_to_date, 1, &(struct metric_label){"of", "predicted"});
    put_dollars(page, forecast.month, 1, &(struct metric_label){"of", "forecast"});
    gauge(page, "berth_egress_month_bytes", "bytes", "This month's volume on an egress meter.");
    for (int i = 0; i < world->account_count * world->egress_count; i++) {
        const char *account = world->accounts[i / world->egress_count].name;
        const char *rule = world->egress[i % world->egress_count].name;
        int64_t bytes = ledger_meter_bytes(service->ledger, account, rule, now_us);
        if (bytes > 0)
            PUT(page, bytes, {"account", account}, {"rule", rule});
    }
}

static void gauge(struct page *page, const char *name, const char *unit, const char *help)
{
    openmetrics_family(&page->writer, name, METRIC_GAUGE, unit, help);
}

static void counter(struct page *page, const char *name, const char *unit, const char *help)
{
    openmetrics_family(&page->writer, name, METRIC_COUNTER, unit, help);
}

static void put(struct page *page, int64_t value, int count, const struct metric_label *labels)
{
    openmetrics_integer(&page->writer, "", labels, count, value);
}

/* A page is for graphs: nano-dollars become a double here and nowhere else. */
static void put_dollars(struct page *page, nusd amount, int count,
                        const struct metric_label *labels)
{
    openmetrics_value(&page->writer, "", labels, count, (double)amount / 1e9);
}

static double process_seconds(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) < 0)
        return 0;
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int64_t process_bytes(void)
{
    CLEANUP(cleanup_file) FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;
    if (file == NULL || fscanf(file, "%*d %ld", &pages) != 1)
        return 0;
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}
