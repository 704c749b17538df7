/* Reading which spans are simulated request by request, and as what queues and caches. */
#include <string.h>

#include "base/clock.h"
#include "base/doc.h"
#include "simulator/world/scenario_internal.h"

#define STATIONS_MAX   256
#define PLACES_MAX     1000000
#define OBJECTS_MAX    (INT64_C(1) << 28) /* as cache.h */
#define ZIPF_MAX_PPM   (10 * PPM)
#define JITTER_MAX_PPM (10 * PPM)
#define SPAN_LEAST_US  US_PER_S

static void read_span(struct reader *reader, const struct doc_node *node,
                      const struct scenario *scenario, struct scenario_requests *out);
static void read_station(struct reader *reader, const struct doc_node *node,
                         struct scenario_station *out);
static void read_bandwidths(struct reader *reader, const struct doc_node *node,
                            struct scenario_requests *out);
static void read_bandwidth(struct reader *reader, const struct doc_node *node,
                           struct scenario_bandwidth *out);
static void read_cache(struct reader *reader, const struct doc_node *node,
                       struct scenario_station *out);

static const char *const law_words[] = {"exponential", "constant", NULL};
static const char *const hold_words[] = {"service", "trip", NULL};
static const char *const cache_words[] = {"measured", "lru", "lfu", "ttl", NULL};

void scenario_read_requests(struct reader *reader, const struct doc_node *root,
                            struct scenario *out)
{
    const struct doc_node *list =
        read_list(reader, root, "requests", 0, SCENARIO_SPANS, &out->requests_count);
    out->requests = read_array(reader, out->requests_count, sizeof(*out->requests));
    for (int i = 0; i < out->requests_count && out->requests != NULL; i++)
        read_span(reader, doc_item(list, (size_t)i), out, &out->requests[i]);
}

static void read_span(struct reader *reader, const struct doc_node *node,
                      const struct scenario *scenario, struct scenario_requests *out)
{
    struct doc *doc = reader->doc;
    out->line = doc_line(node);
    out->for_us = US_PER_HOUR;
    out->warmup_us = 60 * US_PER_S;
    doc_string(doc, node, "of", DOC_REQUIRED, out->of, sizeof(out->of));
    doc_duration(doc, node, "at", DOC_REQUIRED, &out->at_us);
    doc_duration(doc, node, "for", 0, &out->for_us);
    doc_duration(doc, node, "warmup", 0, &out->warmup_us);
    if (doc_ratio(doc, node, "jitter", 0, &out->jitter_ppm) && out->jitter_ppm > JITTER_MAX_PPM)
        doc_problem(doc, doc_get(doc, node, "jitter", 0),
                    "at most 10: a deviation of ten times the mean");
    if (out->at_us >= scenario->for_us)
        doc_problem(doc, doc_get(doc, node, "at", 0), "the run is over by then");
    if (out->for_us < SPAN_LEAST_US || out->for_us > 31 * 24 * US_PER_HOUR)
        doc_problem(doc, doc_get(doc, node, "for", 0), "from 1s to 31d, request by request");
    if (out->warmup_us > 31 * 24 * US_PER_HOUR)
        doc_problem(doc, doc_get(doc, node, "warmup", 0), "at most 31d");
    const struct doc_node *list =
        read_list(reader, node, "stations", 0, STATIONS_MAX, &out->station_count);
    out->stations = read_array(reader, out->station_count, sizeof(*out->stations));
    for (int i = 0; i < out->station_count && out->stations != NULL; i++) {
        read_station(reader, doc_item(list, (size_t)i), &out->stations[i]);
        for (int k = 0; k < i; k++)
            if (str_equal(out->stations[k].workload, out->stations[i].workload))
                doc_problem(doc, doc_item(list, (size_t)i), "the station of %s is there twice",
                            out->stations[i].workload);
    }
    read_bandwidths(reader, node, out);
    doc_close(doc, node);
}

static void read_bandwidths(struct reader *reader, const struct doc_node *node,
                            struct scenario_requests *out)
{
    const struct doc_node *list =
        read_list(reader, node, "bandwidth", 0, SCENARIO_BANDWIDTHS, &out->bandwidth_count);
    out->bandwidths = read_array(reader, out->bandwidth_count, sizeof(*out->bandwidths));
    for (int i = 0; i < out->bandwidth_count && out->bandwidths != NULL; i++) {
        const struct scenario_bandwidth *one = &out->bandwidths[i];
        read_bandwidth(reader, doc_item(list, (size_t)i), &out->bandwidths[i]);
        for (int k = 0; k < i; k++) {
            const struct scenario_bandwidth *other = &out->bandwidths[k];
            bool turned = str_equal(one->between[0], other->between[1]) &&
                          str_equal(one->between[1], other->between[0]);
            if (turned || (str_equal(one->between[0], other->between[0]) &&
                           str_equal(one->between[1], other->between[1])))
                doc_problem(reader->doc, doc_item(list, (size_t)i),
                            "the bandwidth between %s and %s is there twice", one->between[0],
                            one->between[1]);
        }
    }
}

static void read_bandwidth(struct reader *reader, const struct doc_node *node,
                           struct scenario_bandwidth *out)
{
    struct doc *doc = reader->doc;
    int count = 0;
    const struct doc_node *between = read_list(reader, node, "between", DOC_REQUIRED, 2, &count);
    for (int i = 0; i < count; i++)
        (void)doc_node_string(doc, doc_item(between, (size_t)i), out->between[i],
                              sizeof(out->between[i]));
    if (count != 2 || str_equal(out->between[0], out->between[1]))
        doc_problem(doc, node, "between names two sites, as in [client/web, aws/us-east-1]");
    if (doc_byte_rate(doc, node, "rate", DOC_REQUIRED, &out->bytes_s) && out->bytes_s <= 0)
        doc_problem(doc, doc_get(doc, node, "rate", 0), "a rate above 0, as in 100MB/s");
    doc_close(doc, node);
}

static void read_station(struct reader *reader, const struct doc_node *node,
                         struct scenario_station *out)
{
    struct doc *doc = reader->doc;
    int64_t concurrency = 0;
    int law = LAW_EXPONENTIAL;
    int hold = 0;
    out->service_us = -1;
    out->room = -1;
    doc_name(doc, node, "workload", DOC_REQUIRED, out->workload);
    doc_int(doc, node, "concurrency", 0, 1, PLACES_MAX, &concurrency);
    doc_duration(doc, node, "service", 0, &out->service_us);
    bool room = doc_int(doc, node, "room", 0, 0, PLACES_MAX, &out->room);
    doc_word(doc, node, "law", 0, law_words, 2, &law);
    doc_word(doc, node, "hold", 0, hold_words, 2, &hold);
    read_site_name(reader, node, "overflow", 0, out->overflow);
    out->concurrency = (int)concurrency;
    out->law = (enum scenario_law)law;
    out->trip = hold == 1;
    if (out->trip && out->room > 0)
        doc_problem(doc, doc_get(doc, node, "room", 0),
                    "places that are held for the trip have no queue: room is 0");
    if (out->trip)
        out->room = 0;
    if (out->overflow[0] != 0 && !room && !out->trip)
        doc_problem(doc, doc_get(doc, node, "overflow", 0),
                    "nothing overflows while the room to wait is without end; write room: 0");
    read_cache(reader, node, out);
    doc_close(doc, node);
}

static void read_cache(struct reader *reader, const struct doc_node *node,
                       struct scenario_station *out)
{
    struct doc *doc = reader->doc;
    const struct doc_node *map = doc_map(doc, node, "cache", 0);
    int kind = CACHE_AS_MEASURED;
    if (map == NULL)
        return;
    out->zipf_ppm = PPM;
    doc_word(doc, map, "policy", DOC_REQUIRED, cache_words, 4, &kind);
    out->cache = (enum scenario_cache)kind;
    bool real = kind != CACHE_AS_MEASURED;
    doc_int(doc, map, "objects", real ? DOC_REQUIRED : 0, 1, OBJECTS_MAX, &out->objects);
    doc_int(doc, map, "room", real && kind != CACHE_OF_TTL ? DOC_REQUIRED : 0, 1, OBJECTS_MAX,
            &out->cached);
    doc_duration(doc, map, "ttl", kind == CACHE_OF_TTL ? DOC_REQUIRED : 0, &out->ttl_us);
    if (doc_ratio(doc, map, "zipf", 0, &out->zipf_ppm) && out->zipf_ppm > ZIPF_MAX_PPM)
        doc_problem(doc, doc_get(doc, map, "zipf", 0), "an exponent from 0 to 10");
    doc_close(doc, map);
}
