/* Reading a scenario's loads and events. */
#include <string.h>

#include "base/clock.h"
#include "base/doc.h"
#include "base/units.h"
#include "simulator/world/scenario_internal.h"

static void read_load(struct reader *reader, const struct doc_node *node,
                      struct scenario_load *out);
static void read_day(struct reader *reader, const struct doc_node *node, struct scenario_load *out);
static void read_ratios(struct reader *reader, const struct doc_node *node, const char *key,
                        int count, bool mean_one, int64_t *out_ppm);
static void read_bursts(struct reader *reader, const struct doc_node *node,
                        struct scenario_load *out);
static void read_event(struct reader *reader, const struct doc_node *node,
                       const struct scenario *scenario, struct scenario_event *out);
static void read_sets(struct reader *reader, const struct doc_node *set,
                      struct scenario_event *out);
static void sort_events(struct scenario *out);

const char *const load_shape_words[] = {"constant", "diurnal", "bursts", "trace", NULL};
const char *const scenario_event_words[] = {"set", "down", "reclaim", "metrics", NULL};

/* A day of people: a third of the mean at night, twice the mean in the afternoon. */
static const int64_t usual_day[24] = {300,  200,  120,  100,  100,  150,  300,  600,
                                      900,  1200, 1500, 1700, 1900, 2000, 2000, 1900,
                                      1800, 1700, 1600, 1400, 1100, 800,  600,  400};

void scenario_read_loads(struct reader *reader, const struct doc_node *root, struct scenario *out)
{
    const struct doc_node *list =
        read_list(reader, root, "load", 0, SCENARIO_LOADS, &out->load_count);
    out->loads = read_array(reader, out->load_count, sizeof(*out->loads));
    for (int i = 0; i < out->load_count && out->loads != NULL; i++) {
        const struct doc_node *item = doc_item(list, (size_t)i);
        read_load(reader, item, &out->loads[i]);
        for (int k = 0; k < i; k++)
            if (str_equal(out->loads[k].of, out->loads[i].of) && out->loads[i].of[0] != 0)
                doc_problem(reader->doc, item, "%s has a load already, on line %d",
                            out->loads[i].of, out->loads[k].line);
    }
}

static void read_load(struct reader *reader, const struct doc_node *node, struct scenario_load *out)
{
    struct doc *doc = reader->doc;
    int shape = LOAD_CONSTANT;
    out->line = doc_line(node);
    out->scale_ppm = PPM;
    doc_string(doc, node, "of", DOC_REQUIRED, out->of, sizeof(out->of));
    doc_word(doc, node, "shape", 0, load_shape_words, 4, &shape);
    out->shape = (enum load_shape)shape;
    if (doc_rate(doc, node, "calls", 0, &out->calls_mhz) && str_equal(out->of, "*"))
        doc_problem(doc, doc_get(doc, node, "calls", 0),
                    "a rate for \"*\" would be the same for every app; write scale: instead");
    doc_ratio(doc, node, "scale", 0, &out->scale_ppm);
    doc_ratio(doc, node, "noise", 0, &out->noise_ppm);
    doc_ratio(doc, node, "growth", 0, &out->growth_ppm);
    for (int i = 0; i < 7; i++)
        out->days_ppm[i] = PPM;
    for (int i = 0; i < 24; i++)
        out->hours_ppm[i] = PPM;
    if (shape == LOAD_DIURNAL)
        read_day(reader, node, out);
    if (shape == LOAD_BURSTS)
        read_bursts(reader, node, out);
    if (shape == LOAD_TRACE)
        scenario_read_trace(reader, node, out);
    doc_close(doc, node);
}

static void read_day(struct reader *reader, const struct doc_node *node, struct scenario_load *out)
{
    int64_t sum = 0;
    for (int i = 0; i < 24; i++)
        sum += usual_day[i];
    for (int i = 0; i < 24; i++)
        out->hours_ppm[i] = usual_day[i] * 24 * PPM / sum;
    read_ratios(reader, node, "day", 24, true, out->hours_ppm);
    read_ratios(reader, node, "week", 7, false, out->days_ppm);
    int64_t hours = 0;
    doc_int(reader->doc, node, "utc_offset", 0, -14, 14, &hours);
    out->shift_us = hours * US_PER_HOUR;
}

/* `count` ratios; with mean_one they are scaled so that their mean is 1. */
static void read_ratios(struct reader *reader, const struct doc_node *node, const char *key,
                        int count, bool mean_one, int64_t *out_ppm)
{
    struct doc *doc = reader->doc;
    const struct doc_node *list = doc_list(doc, node, key, 0);
    if (list == NULL)
        return;
    if (doc_count(list) != (size_t)count) {
        doc_problem(doc, list, "%d numbers are wanted, one for each %s, and these are %zu", count,
                    count == 7 ? "day from Monday" : "hour", doc_count(list));
        return;
    }
    int64_t sum = 0;
    int64_t values[24];
    for (int i = 0; i < count; i++) {
        const struct doc_node *item = doc_item(list, (size_t)i);
        char text[LIMIT_NAME_BYTES] = "0";
        struct error err;
        values[i] = 0;
        if (doc_node_string(doc, item, text, sizeof(text)) &&
            (units_ratio(text, &values[i], &err) < 0 || values[i] > 1000 * PPM)) {
            doc_problem(doc, item, "\"%s\": a ratio from 0 to 1000, as 0.8 or 80%%", text);
            values[i] = 0;
        }
        sum += values[i];
    }
    if (sum == 0) {
        doc_problem(doc, list, "they are all 0: nobody would ever call");
        return;
    }
    for (int i = 0; i < count; i++)
        out_ppm[i] = mean_one ? (int64_t)((__int128)values[i] * count * PPM / sum) : values[i];
}

static void read_bursts(struct reader *reader, const struct doc_node *node,
                        struct scenario_load *out)
{
    struct doc *doc = reader->doc;
    out->burst_every_us = 24 * US_PER_HOUR;
    out->burst_for_us = US_PER_HOUR;
    out->burst_ppm = 3 * PPM;
    doc_duration(doc, node, "burst_every", 0, &out->burst_every_us);
    doc_duration(doc, node, "burst_for", 0, &out->burst_for_us);
    doc_ratio(doc, node, "burst", 0, &out->burst_ppm);
    if (out->burst_every_us < US_PER_S || out->burst_every_us > SCENARIO_US)
        doc_problem(doc, doc_get(doc, node, "burst_every", 0),
                    "bursts are from 1s to a hundred years apart");
    if (out->burst_for_us > SCENARIO_US)
        doc_problem(doc, doc_get(doc, node, "burst_for", 0),
                    "a burst is of at most a hundred years");
    if (out->burst_ppm > 1000 * PPM)
        doc_problem(doc, doc_get(doc, node, "burst", 0), "a burst is at most 1000 times the mean");
}

/* ---- events ---- */

void scenario_read_events(struct reader *reader, const struct doc_node *root, struct scenario *out)
{
    const struct doc_node *list =
        read_list(reader, root, "events", 0, SCENARIO_EVENTS, &out->event_count);
    out->events = read_array(reader, out->event_count, sizeof(*out->events));
    for (int i = 0; i < out->event_count && out->events != NULL; i++)
        read_event(reader, doc_item(list, (size_t)i), out, &out->events[i]);
    if (out->events != NULL)
        sort_events(out);
}

static void read_event(struct reader *reader, const struct doc_node *node,
                       const struct scenario *scenario, struct scenario_event *out)
{
    struct doc *doc = reader->doc;
    out->line = doc_line(node);
    doc_duration(doc, node, "at", DOC_REQUIRED, &out->at_us);
    if (out->at_us >= scenario->for_us)
        doc_problem(doc, doc_get(doc, node, "at", 0), "the run is over by then");
    bool timed = doc_duration(doc, node, "for", 0, &out->for_us);
    if (out->for_us > scenario->for_us)
        out->for_us = scenario->for_us; /* it outlasts the run */
    const struct doc_node *set = doc_get(doc, node, "set", 0);
    bool down = doc_string(doc, node, "down", 0, out->what, sizeof(out->what));
    bool reclaim = doc_string(doc, node, "reclaim", 0, out->what, sizeof(out->what));
    bool metrics = doc_string(doc, node, "metrics", 0, out->what, sizeof(out->what));
    bool lag = doc_duration(doc, node, "lag", 0, &out->lag_us);
    if ((set != NULL) + down + reclaim + metrics != 1) {
        doc_problem(doc, node, "an event has one of set, down, reclaim and metrics");
    } else if (set != NULL) {
        out->kind = EVENT_SET;
        read_sets(reader, set, out);
    } else if (metrics) {
        out->kind = EVENT_METRICS;
        if (!str_equal(out->what, "lost") && !str_equal(out->what, "late"))
            doc_problem(doc, doc_get(doc, node, "metrics", 0), "lost or late");
        else if (str_equal(out->what, "late") != lag)
            doc_problem(doc, node, "metrics: late needs lag: DURATION, and lost has none");
    } else {
        out->kind = down ? EVENT_DOWN : EVENT_RECLAIM;
        if (!timed && reclaim)
            out->for_us = 120 * US_PER_S; /* until other machines are there */
    }
    doc_close(doc, node);
}

static void read_sets(struct reader *reader, const struct doc_node *set, struct scenario_event *out)
{
    bool many = doc_kind(set) == DOC_LIST;
    int count = many ? (int)doc_count(set) : 1;
    if (count < 1 || count > 64) {
        doc_problem(reader->doc, set, "from 1 to 64 overrides");
        return;
    }
    out->sets = read_array(reader, count, sizeof(*out->sets));
    out->set_count = out->sets == NULL ? 0 : count;
    for (int i = 0; i < out->set_count; i++)
        doc_node_string(reader->doc, many ? doc_item(set, (size_t)i) : set, out->sets[i],
                        sizeof(out->sets[i]));
}

/* Stable: what is at one instant happens in the document's order. */
static void sort_events(struct scenario *out)
{
    for (int i = 1; i < out->event_count; i++) {
        struct scenario_event event = out->events[i];
        int at = i;
        for (; at > 0 && out->events[at - 1].at_us > event.at_us; at--)
            out->events[at] = out->events[at - 1];
        out->events[at] = event;
    }
}
