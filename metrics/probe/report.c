#include "metrics/probe/report.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/units.h"
#include "metrics/openmetrics.h"

enum target_figure { UP, AGE, DURATION, BYTES, SERIES, REFUSED, PROBLEMS, PAGES, FAILURES };

static const char *const path_words[] = {"tcp", "http", "nats"};

static json_t *target_json(const struct probe *probe, int index);
static json_t *path_json(const struct probe *probe, int index);
static void target_family(const struct probe *probe, struct openmetrics_writer *writer,
                          enum target_figure figure);
static double target_figure(const struct target_health *health, enum target_figure figure);
static void total(struct openmetrics_writer *writer, const char *name, const char *help,
                  int64_t value);

bool report_is_good(const struct probe *probe)
{
    bool good = true;
    for (int i = 0; i < probe->config->target_count; i++)
        good = good && scraper_health(probe->scraper, i)->up;
    for (int i = 0; i < probe->config->path_count; i++)
        good = good && latency_health(probe->latency, i)->answered > 0;
    return good;
}

void report_text(const struct probe *probe, struct strbuf *out)
{
    for (int i = 0; i < probe->config->target_count; i++) {
        const struct target_health *health = scraper_health(probe->scraper, i);
        const struct ingest_counts *counts = &health->counts;
        char duration[UNITS_TEXT_BYTES];
        strbuf_printf(out, "%-5s %s  %s", health->up ? "up" : "down", probe->config->targets[i].url,
                      units_format_duration(health->duration_us, duration));
        if (health->up)
            strbuf_printf(out, ", %lld series, %lld used, %lld refused, %lld of no known workload",
                          (long long)counts->series,
                          (long long)(counts->meant - counts->refused - counts->homeless),
                          (long long)counts->refused, (long long)counts->homeless);
        if (health->problems > 0)
            strbuf_printf(out, ", %lld lines wrong", (long long)health->problems);
        strbuf_puts(out, "\n");
        if (health->text[0] != 0)
            strbuf_printf(out, "      %s\n", health->text);
    }
    for (int i = 0; i < probe->config->path_count; i++) {
        const struct path_health *health = latency_health(probe->latency, i);
        char least[UNITS_TEXT_BYTES];
        char median[UNITS_TEXT_BYTES];
        strbuf_printf(out, "%-5s to %s (%s)  ", health->answered > 0 ? "path" : "none",
                      probe->config->paths[i].to, path_words[probe->config->paths[i].kind]);
        if (health->answered > 0)
            strbuf_printf(out, "%s, median %s of %d\n",
                          units_format_duration(health->min_us, least),
                          units_format_duration(health->median_us, median), health->answered);
        else
            strbuf_printf(out, "%s\n", health->text);
    }
    if (probe->publisher != NULL) {
        struct publisher_totals totals = publisher_totals(probe->publisher);
        strbuf_printf(out, "published %lld samples and %lld sketches in %lld batches\n",
                      (long long)totals.samples, (long long)totals.sketches,
                      (long long)totals.batches);
    }
}

void report_json(const struct probe *probe, struct strbuf *out)
{
    json_t *targets = json_array();
    json_t *paths = json_array();
    for (int i = 0; i < probe->config->target_count; i++)
        (void)json_array_append_new(targets, target_json(probe, i));
    for (int i = 0; i < probe->config->path_count; i++)
        (void)json_array_append_new(paths, path_json(probe, i));
    struct publisher_totals totals = {.batches = 0};
    if (probe->publisher != NULL)
        totals = publisher_totals(probe->publisher);
    json_t *json =
        json_pack("{s:s,s:s,s:b,s:o,s:o,s:{s:I,s:I,s:I}}", "name", probe->config->name, "site",
                  probe->config->site, "good", report_is_good(probe), "targets", targets, "latency",
                  paths, "published", "samples", (json_int_t)totals.samples, "sketches",
                  (json_int_t)totals.sketches, "batches", (json_int_t)totals.batches);
    char *text = json_dumps(json, JSON_INDENT(2));
    strbuf_puts(out, text == NULL ? "{}" : text);
    strbuf_puts(out, "\n");
    free(text);
    json_decref(json);
}

void report_metrics(const struct probe *probe, struct strbuf *out)
{
    struct openmetrics_writer writer;
    openmetrics_writer_init(&writer, OPENMETRICS_OPEN, out);
    for (enum target_figure figure = UP; figure <= FAILURES; figure++)
        target_family(probe, &writer, figure);
    if (probe->config->path_count > 0)
        openmetrics_family(&writer, "berth_probe_path_rtt_seconds", METRIC_GAUGE, "seconds",
                           "Shortest round trip of the last round that was answered.");
    for (int i = 0; i < probe->config->path_count; i++) {
        const struct path_health *health = latency_health(probe->latency, i);
        const struct metric_label labels[] = {
            {"to", probe->config->paths[i].to},
            {"kind", path_words[probe->config->paths[i].kind]},
        };
        if (health->answered > 0)
            openmetrics_value(&writer, "", labels, 2, (double)health->min_us / 1e6);
    }
    if (probe->publisher != NULL) {
        struct publisher_totals totals = publisher_totals(probe->publisher);
        total(&writer, "berth_probe_samples", "Samples published.", totals.samples);
        total(&writer, "berth_probe_batches", "Batches published.", totals.batches);
        total(&writer, "berth_probe_batch_failures", "Batches that the bus did not take.",
              totals.failures);
    }
    if (probe->receiver != NULL) {
        struct receiver_totals totals = receiver_totals(probe->receiver);
        total(&writer, "berth_probe_otlp_points", "OTLP data points received.", totals.points);
        total(&writer, "berth_probe_otlp_rejected_points", "OTLP data points rejected.",
              totals.rejected);
    }
    openmetrics_family(&writer, "berth_probe_followed_series", METRIC_GAUGE, NULL,
                       "Series with a meaning that are followed.");
    openmetrics_integer(&writer, "", NULL, 0, ingest_totals(probe->ingest).series);
    openmetrics_finish(&writer);
}

static json_t *target_json(const struct probe *probe, int index)
{
    const struct target_health *health = scraper_health(probe->scraper, index);
    const struct ingest_counts *counts = &health->counts;
    return json_pack(
        "{s:s,s:b,s:s,s:s?,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "url", probe->config->targets[index].url,
        "up", health->up, "code", health->code == 0 ? "" : error_name(health->code), "text",
        health->text[0] == 0 ? NULL : health->text, "duration_us", (json_int_t)health->duration_us,
        "bytes", (json_int_t)health->bytes, "series", (json_int_t)counts->series, "meant",
        (json_int_t)counts->meant, "refused", (json_int_t)counts->refused, "homeless",
        (json_int_t)counts->homeless, "problems", (json_int_t)health->problems);
}

static json_t *path_json(const struct probe *probe, int index)
{
    const struct path_health *health = latency_health(probe->latency, index);
    return json_pack("{s:s,s:s,s:i,s:i,s:I,s:I,s:I,s:s?}", "to", probe->config->paths[index].to,
                     "kind", path_words[probe->config->paths[index].kind], "sent", health->sent,
                     "answered", health->answered, "min_us", (json_int_t)health->min_us,
                     "median_us", (json_int_t)health->median_us, "first_byte_us",
                     (json_int_t)health->first_byte_us, "text",
                     health->text[0] == 0 ? NULL : health->text);
}

static void target_family(const struct probe *probe, struct openmetrics_writer *writer,
                          enum target_figure figure)
{
    static const struct {
        const char *name;
        enum metric_type type;
        const char *unit;
        const char *help;
    } families[] = {
        [UP] = {"berth_probe_target_up", METRIC_GAUGE, NULL, "1: its last page counted."},
        [AGE] = {"berth_probe_target_age_seconds", METRIC_GAUGE, "seconds",
                 "Since its last page that counted."},
        [DURATION] = {"berth_probe_target_duration_seconds", METRIC_GAUGE, "seconds",
                      "Of its last page."},
        [BYTES] = {"berth_probe_target_bytes", METRIC_GAUGE, "bytes",
                   "Of its last page, unpacked."},
        [SERIES] = {"berth_probe_target_series", METRIC_GAUGE, NULL,
                    "On its last page that counted."},
        [REFUSED] = {"berth_probe_target_refused_series", METRIC_GAUGE, NULL,
                     "Of these, not used although they mean something."},
        [PROBLEMS] = {"berth_probe_target_problem_lines", METRIC_GAUGE, NULL,
                      "Lines that could not be read on that page."},
        [PAGES] = {"berth_probe_pages", METRIC_COUNTER, NULL, "Pages asked for."},
        [FAILURES] = {"berth_probe_page_failures", METRIC_COUNTER, NULL,
                      "Pages that did not count."},
    };
    if (probe->config->target_count == 0)
        return;
    openmetrics_family(writer, families[figure].name, families[figure].type, families[figure].unit,
                       families[figure].help);
    for (int i = 0; i < probe->config->target_count; i++) {
        const struct metric_label label = {"url", probe->config->targets[i].url};
        const struct target_health *health = scraper_health(probe->scraper, i);
        if (figure != AGE || health->good_us > 0)
            openmetrics_value(writer, "", &label, 1, target_figure(health, figure));
    }
}

static double target_figure(const struct target_health *health, enum target_figure figure)
{
    switch (figure) {
    case UP:
        return health->up;
    case AGE:
        return (double)(clock_mono_now().us - health->good_us) / 1e6;
    case DURATION:
        return (double)health->duration_us / 1e6;
    case BYTES:
        return (double)health->bytes;
    case SERIES:
        return (double)health->counts.series;
    case REFUSED:
        return (double)health->counts.refused;
    case PROBLEMS:
        return (double)health->problems;
    case PAGES:
        return (double)health->tries;
    case FAILURES:
        break;
    }
    return (double)health->failures;
}

static void total(struct openmetrics_writer *writer, const char *name, const char *help,
                  int64_t value)
{
    openmetrics_family(writer, name, METRIC_COUNTER, NULL, help);
    openmetrics_integer(writer, "", NULL, 0, value);
}
