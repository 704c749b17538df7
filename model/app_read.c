/* Reading an app document; docs/app.md describes its fields. */
#include "model/app_read.h"
#include "base/clock.h"
#include "base/str.h"
#include "model/app.h"
#include "model/app_split.h"
#include "model/app_words.h"
#include "model/measures.h"
#include "model/weights.h"

static const struct split_mark *read_workloads(struct reader *reader, const struct doc_node *root,
                                               struct app *app);
static void read_workload(struct reader *reader, const struct doc_node *node, const struct app *app,
                          struct workload *workload, struct split_mark *mark);
static void check_variant_tiers(struct reader *reader, const struct doc_node *node,
                                const struct workload *workload);
static void read_resources(struct reader *reader, const struct doc_node *node,
                           struct workload *workload);
static void read_cache(struct reader *reader, const struct doc_node *node,
                       struct workload *workload);
static void read_curve(struct reader *reader, const struct doc_node *cache,
                       struct workload *workload);
static void read_checkpoint(struct reader *reader, const struct doc_node *node,
                            struct workload *workload);
static void read_timeouts(struct reader *reader, const struct doc_node *node,
                          struct workload *workload);
static void read_segments(struct reader *reader, const struct doc_node *root, struct app *app);
static void read_links(struct reader *reader, const struct doc_node *root, struct app *app);
static void read_link(struct reader *reader, const struct doc_node *node, const struct app *app,
                      struct link *link);
static bool has_cache(const struct app *app, const struct link *link);
static int read_end(struct reader *reader, const struct doc_node *scalar, const struct app *app,
                    enum link_end *kind);
static void read_aparts(struct reader *reader, const struct doc_node *root, struct app *app);
static void read_apart(struct reader *reader, const struct doc_node *list, const struct app *app,
                       struct apart *apart);

const char *const app_ready_words[APP_READY_COUNT] = {
    [READY_NONE] = "none", [READY_CONTRACT] = "contract", [READY_TCP] = "tcp",
    [READY_HTTP] = "http", [READY_NATS] = "nats",         [READY_COMMAND] = "command",
};

#define REPLICAS_DEFAULT  1
#define PIDS_DEFAULT      256
#define PIDS_MAX          32768
#define RESTARTS_DEFAULT  5
#define RESTARTS_MAX      1000
#define CHECKPOINT_MIN_US (1 * US_PER_S)
#define CHECKPOINT_MAX_US (24 * 3600 * US_PER_S)
#define WARM_MAX          INT64_C(1000000000000)

int app_from_doc(struct doc *doc, struct arena *arena, struct app *ret_app, struct error *err)
{
    struct reader reader = {doc, arena, false};
    const struct doc_node *root = doc_root(doc);
    struct app app = {.namespace_ = "default", .moves = MOVES_AUTO};
    doc_name(doc, root, "app", DOC_REQUIRED, app.name);
    doc_name(doc, root, "namespace", 0, app.namespace_);
    int moves = MOVES_AUTO;
    doc_word(doc, root, "moves", 0, app_moves_words, 3, &moves);
    app.moves = (enum app_moves)moves;
    app.weights_stated = weights_read(&reader, root, &app.weights);
    app.has_weights = app.weights_stated != 0;
    read_segments(&reader, root, &app);
    const struct split_mark *marks = read_workloads(&reader, root, &app);
    read_links(&reader, root, &app);
    read_aparts(&reader, root, &app);
    doc_close(doc, root);
    if (marks != NULL && !reader.no_memory && doc_problem_count(doc) == 0) {
        app_check_families(&reader, &app, marks);
        app_split(&reader, &app, marks);
    }
    int rc = read_finish(&reader, err);
    if (rc < 0) {
        return rc;
    }
    *ret_app = app;
    return 0;
}

/* Workloads, then data sets: one list. Returns what the splitting needs to know of each; NULL when
 * there are none, or no memory. */
static const struct split_mark *read_workloads(struct reader *reader, const struct doc_node *root,
                                               struct app *app)
{
    int services = 0;
    int data_sets = 0;
    const struct doc_node *list =
        read_list(reader, root, "workloads", DOC_REQUIRED, LIMIT_APP_WORKLOADS, &services);
    const struct doc_node *data =
        read_list(reader, root, "data", 0, LIMIT_APP_WORKLOADS - services, &data_sets);
    if (doc_kind(list) == DOC_LIST && services == 0) {
        doc_problem(reader->doc, list, "an app has at least one workload");
    }
    int count = services + data_sets;
    struct split_mark *marks = read_array(reader, count, sizeof(*marks));
    app->workloads = read_array(reader, count, sizeof(struct workload));
    for (int i = 0; app->workloads != NULL && marks != NULL && i < count; i++) {
        struct workload *workload = &app->workloads[i];
        marks[i].node =
            i < services ? doc_item(list, (size_t)i) : doc_item(data, (size_t)(i - services));
        if (i < services) {
            read_workload(reader, marks[i].node, app, workload, &marks[i]);
        } else {
            app_read_data_set(reader, marks[i].node, workload, &marks[i]);
            app_read_part(reader, marks[i].node, app, workload, &marks[i]);
            doc_close(reader->doc, marks[i].node);
        }
        if (workload->name[0] != '\0' && app_workload(app, workload->name) >= 0) {
            doc_problem(reader->doc, marks[i].node,
                        "workload \"%s\" is declared twice; names are unique", workload->name);
        } else if (workload->name[0] != '\0' && app_segment(app, workload->name) >= 0) {
            doc_problem(reader->doc, marks[i].node,
                        "\"%s\" is declared twice; users and workloads share their names",
                        workload->name);
        }
        app->workload_count = i + 1;
    }
    return marks;
}

static void read_workload(struct reader *reader, const struct doc_node *node, const struct app *app,
                          struct workload *workload, struct split_mark *mark)
{
    struct doc *doc = reader->doc;
    int kind = KIND_SERVICE;
    int handoff = HANDOFF_OVERLAP;
    int64_t replicas = REPLICAS_DEFAULT;
    int64_t restarts = RESTARTS_DEFAULT;
    doc_name(doc, node, "name", DOC_REQUIRED, workload->name);
    doc_word(doc, node, "kind", 0, workload_kind_words, 3, &kind);
    doc_word(doc, node, "handoff", 0, handoff_class_words, 3, &handoff);
    doc_int(doc, node, "replicas", 0, 1, LIMIT_REPLICAS, &replicas);
    doc_bool(doc, node, "contract", 0, &workload->contract);
    doc_int(doc, node, "restarts", 0, 0, RESTARTS_MAX, &restarts);
    workload->kind = (enum workload_kind)kind;
    workload->handoff = (enum handoff_class)handoff;
    workload->replicas = (int)replicas;
    workload->restarts_max = (int)restarts;
    app_read_variants(reader, node, workload);
    read_resources(reader, node, workload);
    read_tags(reader, node, "require", 1, &workload->require);
    workload->tiers = app_read_tiers(reader, node);
    check_variant_tiers(reader, node, workload);
    read_site_name(reader, node, "pin", 0, workload->pin);
    doc_rate(doc, node, "calls", 0, &workload->calls_mhz);
    read_cache(reader, node, workload);
    doc_bytes(doc, node, "state", 0, &workload->state_bytes);
    doc_bytes(doc, node, "artifact_size", 0, &workload->artifact_bytes);
    measures_read(reader, node, "measures", &workload->measures);
    app_read_part(reader, node, app, workload, mark);
    app_read_http(reader, node, workload, mark);
    app_read_update(reader, node, workload);
    app_read_ready(reader, node, workload);
    app_read_live(reader, node, workload);
    read_checkpoint(reader, node, workload);
    read_timeouts(reader, node, workload);
    doc_close(doc, node);
}

/* A variant's tiers narrow the workload's. */
static void check_variant_tiers(struct reader *reader, const struct doc_node *node,
                                const struct workload *workload)
{
    for (int i = 0; i < workload->variant_count; i++) {
        const struct variant *variant = &workload->variants[i];
        if (workload->tiers != 0 && variant->tiers != 0 &&
            (workload->tiers & variant->tiers) == 0) {
            doc_problem(reader->doc, node,
                        "variant \"%s\" has none of the workload's tiers; a variant's tiers are "
                        "some of them",
                        variant->name);
        }
    }
}

static void read_resources(struct reader *reader, const struct doc_node *node,
                           struct workload *workload)
{
    struct doc *doc = reader->doc;
    const struct doc_node *resources = doc_map(doc, node, "resources", DOC_REQUIRED);
    workload->pids_max = PIDS_DEFAULT;
    if (resources != NULL) {
        doc_cpu(doc, resources, "cpu", DOC_REQUIRED, &workload->reserve[RESOURCE_CPU]);
        doc_bytes(doc, resources, "memory", DOC_REQUIRED, &workload->reserve[RESOURCE_MEMORY]);
        doc_int(doc, resources, "pids", 0, 1, PIDS_MAX, &workload->pids_max);
        doc_close(doc, resources);
    }
}

unsigned app_read_tiers(struct reader *reader, const struct doc_node *node)
{
    unsigned tiers = 0;
    int count = 0;
    const struct doc_node *list = read_list(reader, node, "tiers", 0, TIER_COUNT, &count);
    for (int i = 0; i < count; i++) {
        const struct doc_node *item = doc_item(list, (size_t)i);
        char word[LIMIT_NAME_BYTES] = "";
        if (!doc_node_string(reader->doc, item, word, sizeof(word))) {
            continue;
        }
        unsigned found = TIER_COUNT;
        for (unsigned tier = 0; tier < TIER_COUNT; tier++) {
            found = str_equal(word, tier_words[tier]) ? tier : found;
        }
        if (found == TIER_COUNT) {
            doc_problem(reader->doc, item, "\"%s\" is no tier; tiers are client, edge and cloud",
                        word);
        } else {
            tiers |= 1U << found;
        }
    }
    return tiers;
}

/* `hit_ratio`, one figure, or `curve`, hits by the rate that the cache serves. */
static void read_cache(struct reader *reader, const struct doc_node *node,
                       struct workload *workload)
{
    struct doc *doc = reader->doc;
    workload->hit_ppm = -1;
    const struct doc_node *cache = doc_map(doc, node, "cache", 0);
    if (cache == NULL) {
        return;
    }
    bool curved = doc_kind(doc_get(doc, cache, "curve", 0)) != DOC_NULL;
    const struct doc_node *ratio = doc_get(doc, cache, "hit_ratio", curved ? 0 : DOC_REQUIRED);
    if (curved && ratio != NULL) {
        doc_problem(doc, ratio, "hit_ratio and curve exclude each other; a curve says it by rate");
    }
    if (doc_ratio(doc, cache, "hit_ratio", 0, &workload->hit_ppm) && workload->hit_ppm > PPM) {
        doc_problem(doc, ratio, "a hit ratio is at most 100%%");
    }
    read_curve(reader, cache, workload);
    doc_int(doc, cache, "warm", 0, 0, WARM_MAX, &workload->warm_calls);
    doc_close(doc, cache);
}

static void read_curve(struct reader *reader, const struct doc_node *cache,
                       struct workload *workload)
{
    struct doc *doc = reader->doc;
    int count = 0;
    const struct doc_node *list = read_list(reader, cache, "curve", 0, LIMIT_CURVE, &count);
    if (doc_kind(list) == DOC_LIST && count == 0) {
        doc_problem(doc, list, "a curve has at least one point, as in [{calls: 10/s, hit: 80%%}]");
    }
    workload->curve = read_array(reader, count, sizeof(struct hit_point));
    for (int i = 0; workload->curve != NULL && i < count; i++) {
        const struct doc_node *item = doc_item(list, (size_t)i);
        struct hit_point *point = &workload->curve[i];
        const struct hit_point *before = i > 0 ? point - 1 : NULL;
        workload->curve_count = i + 1;
        bool read = doc_rate(doc, item, "calls", DOC_REQUIRED, &point->calls_mhz);
        read = doc_ratio(doc, item, "hit", DOC_REQUIRED, &point->hit_ppm) && read;
        doc_close(doc, item);
        if (read && point->hit_ppm > PPM) {
            doc_problem(doc, item, "a hit ratio is at most 100%%");
        } else if (read && before != NULL &&
                   (point->calls_mhz <= before->calls_mhz || point->hit_ppm < before->hit_ppm)) {
            doc_problem(doc, item,
                        "a curve's calls grow from point to point, and its hits never fall: a "
                        "cache that more calls share is hit more often");
        }
    }
}

static void read_checkpoint(struct reader *reader, const struct doc_node *node,
                            struct workload *workload)
{
    struct doc *doc = reader->doc;
    const struct doc_node *at = doc_get(doc, node, "checkpoint", 0);
    if (at == NULL || !doc_duration(doc, node, "checkpoint", 0, &workload->checkpoint_us)) {
        return;
    }
    if (workload->checkpoint_us < CHECKPOINT_MIN_US ||
        workload->checkpoint_us > CHECKPOINT_MAX_US) {
        doc_problem(doc, at, "a checkpoint is made every 1s to 24h");
    } else if (workload->handoff != HANDOFF_STATEFUL) {
        doc_problem(doc, at, "only what keeps its state inside has checkpoints: handoff: stateful");
    }
}

static void read_timeouts(struct reader *reader, const struct doc_node *node,
                          struct workload *workload)
{
    struct doc *doc = reader->doc;
    workload->start_timeout_us = 10 * US_PER_S;
    workload->drain_timeout_us = 10 * US_PER_S;
    workload->stop_timeout_us = 5 * US_PER_S;
    const struct doc_node *map = doc_map(doc, node, "timeouts", 0);
    if (map == NULL) {
        return;
    }
    doc_duration(doc, map, "start", 0, &workload->start_timeout_us);
    doc_duration(doc, map, "drain", 0, &workload->drain_timeout_us);
    doc_duration(doc, map, "stop", 0, &workload->stop_timeout_us);
    if (workload->start_timeout_us <= 0 || workload->stop_timeout_us <= 0) {
        doc_problem(doc, map, "starting and stopping take longer than nothing");
    }
    doc_close(doc, map);
}

static void read_segments(struct reader *reader, const struct doc_node *root, struct app *app)
{
    struct doc *doc = reader->doc;
    int count = 0;
    const struct doc_node *list = read_list(reader, root, "users", 0, LIMIT_SEGMENTS, &count);
    app->segments = read_array(reader, count, sizeof(struct segment));
    for (int i = 0; app->segments != NULL && i < count; i++) {
        const struct doc_node *node = doc_item(list, (size_t)i);
        struct segment *segment = &app->segments[i];
        doc_name(doc, node, "name", DOC_REQUIRED, segment->name);
        read_site_name(reader, node, "site", DOC_REQUIRED, segment->site);
        doc_name(doc, node, "device", 0, segment->device);
        doc_close(doc, node);
        if (segment->name[0] != '\0' && app_segment(app, segment->name) >= 0) {
            doc_problem(doc, node, "users \"%s\" are declared twice; names are unique",
                        segment->name);
        }
        app->segment_count = i + 1;
    }
}

static void read_links(struct reader *reader, const struct doc_node *root, struct app *app)
{
    int count = 0;
    const struct doc_node *list = read_list(reader, root, "links", 0, LIMIT_APP_LINKS, &count);
    app->links = read_array(reader, count, sizeof(struct link));
    for (int i = 0; app->links != NULL && i < count; i++) {
        read_link(reader, doc_item(list, (size_t)i), app, &app->links[i]);
        app->link_count = i + 1;
    }
}

static void read_link(struct reader *reader, const struct doc_node *node, const struct app *app,
                      struct link *link)
{
    struct doc *doc = reader->doc;
    enum link_end to_kind = LINK_WORKLOAD;
    const struct doc_node *from = doc_get(doc, node, "from", DOC_REQUIRED);
    const struct doc_node *to = doc_get(doc, node, "to", DOC_REQUIRED);
    link->from = from == NULL ? -1 : read_end(reader, from, app, &link->from_kind);
    link->to = to == NULL ? -1 : read_end(reader, to, app, &to_kind);
    doc_rate(doc, node, "calls", 0, &link->calls_mhz);
    doc_bytes(doc, node, "request", 0, &link->request_bytes);
    doc_bytes(doc, node, "response", 0, &link->response_bytes);
    doc_bool(doc, node, "on_miss", 0, &link->on_miss);
    doc_duration(doc, node, "latency_max", 0, &link->latency_max_us);
    doc_close(doc, node);
    if (link->to >= 0 && to_kind == LINK_SEGMENT) {
        doc_problem(doc, to, "\"%s\" are users; a link leads to a workload",
                    app->segments[link->to].name);
    } else if (link->from >= 0 && link->from_kind == LINK_WORKLOAD && link->from == link->to) {
        doc_problem(doc, node, "\"%s\" calls itself; a link joins two different ends",
                    app->workloads[link->to].name);
    }
    if (link->from >= 0 && link->from_kind == LINK_WORKLOAD &&
        app->workloads[link->from].kind == KIND_DATA) {
        doc_problem(doc, from, "\"%s\" is a data set, and calls nobody; link its reader to it",
                    app->workloads[link->from].name);
    } else if (link->on_miss && link->from >= 0 && !has_cache(app, link)) {
        doc_problem(doc, node,
                    "on_miss needs a caller with a cache; give \"%s\" a cache with a hit_ratio",
                    link->from_kind == LINK_SEGMENT ? app->segments[link->from].name
                                                    : app->workloads[link->from].name);
    }
}

static bool has_cache(const struct app *app, const struct link *link)
{
    const struct workload *caller =
        link->from_kind == LINK_SEGMENT ? NULL : &app->workloads[link->from];
    return caller != NULL && (caller->hit_ppm >= 0 || caller->curve_count > 0);
}

/* Index of the workload or the users named by `scalar`; -1, with a problem, when there is none. */
static int read_end(struct reader *reader, const struct doc_node *scalar, const struct app *app,
                    enum link_end *kind)
{
    char name[LIMIT_NAME_BYTES] = "";
    if (!doc_node_string(reader->doc, scalar, name, sizeof(name))) {
        return -1;
    }
    int index = app_workload(app, name);
    *kind = LINK_WORKLOAD;
    if (index < 0) {
        index = app_segment(app, name);
        *kind = index < 0 ? LINK_WORKLOAD : LINK_SEGMENT;
    }
    if (index < 0) {
        const char *names[LIMIT_APP_WORKLOADS + LIMIT_SEGMENTS];
        size_t count = 0;
        for (int i = 0; i < app->workload_count; i++) {
            names[count++] = app->workloads[i].name;
        }
        for (int i = 0; i < app->segment_count; i++) {
            names[count++] = app->segments[i].name;
        }
        const char *nearest = str_nearest(name, names, count);
        doc_problem(reader->doc, scalar, "\"%s\" is neither a workload nor users of this app%s%s%s",
                    name, nearest != NULL ? "; did you mean \"" : "",
                    nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
    }
    return index;
}

int app_segment(const struct app *app, const char *name)
{
    for (int i = 0; i < app->segment_count; i++) {
        if (str_equal(app->segments[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static void read_aparts(struct reader *reader, const struct doc_node *root, struct app *app)
{
    int count = 0;
    const struct doc_node *list = read_list(reader, root, "apart", 0, LIMIT_RULES, &count);
    app->aparts = read_array(reader, count, sizeof(struct apart));
    for (int i = 0; app->aparts != NULL && i < count; i++) {
        read_apart(reader, doc_item(list, (size_t)i), app, &app->aparts[i]);
        app->apart_count = i + 1;
    }
}

static void read_apart(struct reader *reader, const struct doc_node *list, const struct app *app,
                       struct apart *apart)
{
    struct doc *doc = reader->doc;
    size_t count = doc_kind(list) == DOC_LIST ? doc_count(list) : 0;
    if (count < 2 || count > LIMIT_APP_WORKLOADS) {
        doc_problem(doc, list, "write a list of at least two workloads that stay apart");
        return;
    }
    apart->workloads = read_array(reader, (int)count, sizeof(int));
    for (size_t i = 0; apart->workloads != NULL && i < count; i++) {
        const struct doc_node *item = doc_item(list, i);
        enum link_end kind = LINK_WORKLOAD;
        int index = read_end(reader, item, app, &kind);
        if (index >= 0 && kind == LINK_SEGMENT) {
            doc_problem(doc, item, "\"%s\" are users; only workloads can be kept apart",
                        app->segments[index].name);
        }
        for (int k = 0; k < apart->count; k++) {
            if (index >= 0 && apart->workloads[k] == index) {
                doc_problem(doc, item, "\"%s\" is named twice", app->workloads[index].name);
            }
        }
        apart->workloads[apart->count++] = index;
    }
}
