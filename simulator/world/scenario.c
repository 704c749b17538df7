#include "simulator/world/scenario.h"

#include <string.h>

#include "base/clock.h"
#include "base/doc.h"
#include "base/units.h"
#include "model/read.h"
#include "simulator/world/policy.h"
#include "simulator/world/scenario_internal.h"

static uint64_t digest_of(const struct doc_node *node, bool is_root);
static void read_time(struct reader *reader, const struct doc_node *root, struct scenario *out);
static void read_timing(struct reader *reader, const struct doc_node *root, struct scenario *out);
static void read_nodes(struct reader *reader, const struct doc_node *root, struct scenario *out);
static void read_axes(struct reader *reader, const struct doc_node *root, struct scenario *out);
static void read_apps(struct reader *reader, const struct doc_node *root,
                      const struct doc_node *experiment, struct scenario *out);
static void read_policies(struct reader *reader, const struct doc_node *root,
                          const struct doc_node *experiment, struct scenario *out);
static void read_policy(struct reader *reader, const struct doc_node *node,
                        struct scenario_policy *out);
static void read_seeds(struct reader *reader, const struct doc_node *root,
                       const struct doc_node *experiment, struct scenario *out);
static const struct doc_node *one_or_list(struct reader *reader, const struct doc_node *root,
                                          const char *one, const struct doc_node *experiment,
                                          const char *many, int *ret_count);

int scenario_read(const char *file, struct arena *arena, struct scenario *ret_scenario,
                  struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_read_file(file, &doc, err);
    return rc < 0 ? rc : scenario_from_doc(doc, file, arena, ret_scenario, err);
}

int scenario_parse(const char *file, const char *text, size_t bytes, struct arena *arena,
                   struct scenario *ret_scenario, struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_parse(file, text, bytes, &doc, err);
    return rc < 0 ? rc : scenario_from_doc(doc, file, arena, ret_scenario, err);
}

int scenario_from_doc(struct doc *doc, const char *file, struct arena *arena,
                      struct scenario *ret_scenario, struct error *err)
{
    struct scenario scenario = {.ledger = true, .bound = true};
    struct reader reader = {.doc = doc, .arena = arena};
    if (str_copy(scenario.file, sizeof(scenario.file), file) < 0)
        return error_set(err, ERR_LIMIT, 0, "the path of the scenario is too long");
    const char *slash = strrchr(file, '/');
    str_format(scenario.folder, sizeof(scenario.folder), "%.*s",
               slash == NULL ? 1 : (int)(slash - file), slash == NULL ? "." : file);
    const struct doc_node *root = doc_root(doc);
    doc_name(doc, root, "scenario", DOC_REQUIRED, scenario.name);
    read_time(&reader, root, &scenario);
    doc_ratio(doc, root, "noise", 0, &scenario.noise_ppm);
    doc_duration(doc, root, "slo", 0, &scenario.slo_us);
    doc_ratio(doc, root, "precision", 0, &scenario.precision_ppm);
    scenario.program_timeout_us = 10 * US_PER_S;
    doc_duration(doc, root, "program_timeout", 0, &scenario.program_timeout_us);
    doc_bool(doc, root, "ledger", 0, &scenario.ledger);
    doc_bool(doc, root, "bound", 0, &scenario.bound);
    read_timing(&reader, root, &scenario);
    read_nodes(&reader, root, &scenario);
    scenario_read_loads(&reader, root, &scenario);
    scenario_read_events(&reader, root, &scenario);
    scenario_read_requests(&reader, root, &scenario);
    read_axes(&reader, root, &scenario);
    doc_close(doc, root);
    int rc = read_finish(&reader, err);
    if (rc == 0) {
        scenario.digest = digest_of(root, true);
        *ret_scenario = scenario;
    }
    return rc;
}

/* The same for any order of fields, any layout and with any comments. What another cell could say
 * otherwise is left out. */
static uint64_t digest_of(const struct doc_node *node, bool is_root)
{
    static const char *const axes[] = {"world", "apps",      "policy",    "trace",
                                       "seed",  "precision", "experiment"};
    bool is_map = doc_kind(node) == DOC_MAP;
    uint64_t hash = hash_u64(HASH_SEED, (uint64_t)doc_kind(node));
    uint64_t fields = 0;
    if (doc_kind(node) == DOC_SCALAR)
        return hash_str(hash, doc_text(node));
    for (size_t i = 0; i < doc_count(node); i++) {
        const char *key = is_map ? doc_key(node, i) : "";
        bool axis = false;
        for (size_t k = 0; is_root && k < sizeof(axes) / sizeof(axes[0]); k++)
            axis |= str_equal(key, axes[k]);
        if (axis)
            continue;
        uint64_t field = hash_u64(hash_str(HASH_SEED, key), digest_of(doc_item(node, i), false));
        fields += field;
        hash = is_map ? hash : hash_u64(hash, field);
    }
    return hash_u64(hash, fields);
}

static void read_time(struct reader *reader, const struct doc_node *root, struct scenario *out)
{
    struct doc *doc = reader->doc;
    char from[LIMIT_NAME_BYTES] = "2026-01-01";
    doc_string(doc, root, "from", 0, from, sizeof(from));
    if (trace_date(from, &out->from_us) < 0)
        doc_problem(doc, doc_get(doc, root, "from", 0),
                    "write a day as 2026-01-31, or an instant as 2026-01-31T12:00:00Z");
    out->for_us = 24 * US_PER_HOUR;
    out->step_us = US_PER_HOUR;
    doc_duration(doc, root, "for", DOC_REQUIRED, &out->for_us);
    doc_duration(doc, root, "step", 0, &out->step_us);
    if (out->step_us < US_PER_S)
        doc_problem(doc, doc_get(doc, root, "step", 0), "a step is at least 1 s");
    else if (out->for_us < out->step_us || out->for_us / out->step_us > SCENARIO_STEPS)
        doc_problem(doc, doc_get(doc, root, "for", 0),
                    "a run has from 1 to %lld steps; with this step it would have %lld",
                    (long long)SCENARIO_STEPS, (long long)(out->for_us / out->step_us));
    else if (out->for_us > SCENARIO_US)
        doc_problem(doc, doc_get(doc, root, "for", 0), "a run is of at most a hundred years");
    out->warmup_us = US_PER_HOUR;
    if (doc_duration(doc, root, "warmup", 0, &out->warmup_us) &&
        (out->warmup_us < 60 * US_PER_S || out->warmup_us > 31 * 24 * US_PER_HOUR))
        doc_problem(doc, doc_get(doc, root, "warmup", 0),
                    "from 1min, in which the first placement settles, to 31d");
    if (out->from_us <= out->warmup_us)
        doc_problem(doc, doc_get(doc, root, "from", 0),
                    "a run begins in 1970, after its warmup, or later");
    out->every_us = out->step_us > US_PER_HOUR ? out->step_us : US_PER_HOUR;
    if (doc_duration(doc, root, "every", 0, &out->every_us) && out->every_us < out->step_us)
        doc_problem(doc, doc_get(doc, root, "every", 0), "figures are summed over a step at least");
}

static void read_timing(struct reader *reader, const struct doc_node *root, struct scenario *out)
{
    struct doc *doc = reader->doc;
    struct scenario_timing *timing = &out->timing;
    *timing = (struct scenario_timing){.stage_us = 5 * US_PER_S,
                                       .start_us = 3 * US_PER_S,
                                       .drain_us = US_PER_S,
                                       .resume_us = 100 * US_PER_MS,
                                       .stop_us = US_PER_S,
                                       .answer_us = 20 * US_PER_MS,
                                       .bytes_s = 100000000};
    const struct doc_node *node = doc_map(doc, root, "handoff", 0);
    doc_duration(doc, node, "stage", 0, &timing->stage_us);
    doc_duration(doc, node, "start", 0, &timing->start_us);
    doc_duration(doc, node, "drain", 0, &timing->drain_us);
    doc_duration(doc, node, "resume", 0, &timing->resume_us);
    doc_duration(doc, node, "stop", 0, &timing->stop_us);
    doc_duration(doc, node, "answer", 0, &timing->answer_us);
    if (doc_byte_rate(doc, node, "ship", 0, &timing->bytes_s) && timing->bytes_s <= 0)
        doc_problem(doc, doc_get(doc, node, "ship", 0), "state needs some speed to be shipped");
    if (doc_ratio(doc, node, "fail", 0, &timing->fail_ppm) && timing->fail_ppm > PPM)
        doc_problem(doc, doc_get(doc, node, "fail", 0), "at most 100%% of the starts can fail");
    if (node != NULL)
        doc_close(doc, node);
}

static void read_nodes(struct reader *reader, const struct doc_node *root, struct scenario *out)
{
    struct doc *doc = reader->doc;
    const struct doc_node *list =
        read_list(reader, root, "nodes", 0, LIMIT_SITES, &out->node_count);
    out->nodes = read_array(reader, out->node_count, sizeof(*out->nodes));
    for (int i = 0; i < out->node_count && out->nodes != NULL; i++) {
        struct scenario_nodes *nodes = &out->nodes[i];
        const struct doc_node *item = doc_item(list, (size_t)i);
        int64_t count = 1;
        nodes->line = doc_line(item);
        read_site_name(reader, item, "site", DOC_REQUIRED, nodes->site);
        doc_int(doc, item, "count", 0, 1, 256, &count);
        nodes->count = (int)count;
        doc_cpu(doc, item, "cpu", DOC_REQUIRED, &nodes->mcpu);
        doc_bytes(doc, item, "memory", DOC_REQUIRED, &nodes->memory_bytes);
        doc_close(doc, item);
    }
}

/* ---- worlds, apps, policies, traces, seeds ---- */

static void read_axes(struct reader *reader, const struct doc_node *root, struct scenario *out)
{
    struct doc *doc = reader->doc;
    const struct doc_node *experiment = doc_map(doc, root, "experiment", 0);
    const struct doc_node *worlds =
        one_or_list(reader, root, "world", experiment, "worlds", &out->world_count);
    out->world_count = scenario_read_paths(reader, worlds, out->world_count, &out->worlds);
    if (out->world_count == 0)
        doc_problem(doc, root, "names no world: write world: FILE, or experiment: {worlds: [...]}");
    read_apps(reader, root, experiment, out);
    read_policies(reader, root, experiment, out);
    const struct doc_node *traces =
        one_or_list(reader, root, "trace", experiment, "traces", &out->trace_count);
    out->trace_count = scenario_read_paths(reader, traces, out->trace_count, &out->traces);
    bool wanted = false;
    for (int i = 0; i < out->load_count && out->loads != NULL; i++)
        wanted |= out->loads[i].trace != NULL && out->loads[i].trace->file_count == 0;
    if (wanted && out->trace_count == 0)
        doc_problem(doc, doc_get(doc, root, "load", 0),
                    "a load of shape trace names no file, and there is no trace: FILE");
    read_seeds(reader, root, experiment, out);
    if (experiment != NULL)
        doc_close(doc, experiment);
}

/* A list of files is one set of apps; `experiment.apps` is a list of such lists. */
static void read_apps(struct reader *reader, const struct doc_node *root,
                      const struct doc_node *experiment, struct scenario *out)
{
    struct doc *doc = reader->doc;
    const struct doc_node *sets = doc_list(doc, experiment, "apps", 0);
    const struct doc_node *apps = doc_list(doc, root, "apps", sets == NULL ? DOC_REQUIRED : 0);
    out->apps_count = sets == NULL ? 1 : (int)doc_count(sets);
    if (out->apps_count > SCENARIO_FILES)
        out->apps_count = SCENARIO_FILES;
    out->apps = read_array(reader, out->apps_count, sizeof(*out->apps));
    for (int i = 0; i < out->apps_count && out->apps != NULL; i++) {
        const struct doc_node *list = sets == NULL ? apps : doc_item(sets, (size_t)i);
        int count = doc_kind(list) == DOC_LIST ? (int)doc_count(list) : 0;
        if (count > LIMIT_APPS)
            doc_problem(doc, list, "%d apps; at most %d are allowed here", count, LIMIT_APPS);
        else if (list != NULL && count == 0)
            doc_problem(doc, list, "a set of apps is a list of files: [shop.yaml, site.yaml]");
        else
            out->apps[i].count = scenario_read_paths(reader, list, count, &out->apps[i].list);
    }
}

static void read_policies(struct reader *reader, const struct doc_node *root,
                          const struct doc_node *experiment, struct scenario *out)
{
    const struct doc_node *list =
        one_or_list(reader, root, "policy", experiment, "policies", &out->policy_count);
    if (out->policy_count == 0) {
        out->policy_count = 1;
        out->policies = read_array(reader, 1, sizeof(*out->policies));
        if (out->policies != NULL)
            str_format(out->policies->name, LIMIT_NAME_BYTES, "solver");
        return;
    }
    out->policies = read_array(reader, out->policy_count, sizeof(*out->policies));
    for (int i = 0; i < out->policy_count && out->policies != NULL; i++) {
        bool alone = doc_kind(list) != DOC_LIST;
        read_policy(reader, alone ? list : doc_item(list, (size_t)i), &out->policies[i]);
        for (int k = 0; k < i; k++)
            if (str_equal(out->policies[k].name, out->policies[i].name))
                doc_problem(reader->doc, alone ? list : doc_item(list, (size_t)i),
                            "the policy %s is there twice; give a program a name of its own",
                            out->policies[i].name);
    }
}

/* A word, or {name: mine, program: ./mine.py, args: "--fast"}. */
static void read_policy(struct reader *reader, const struct doc_node *node,
                        struct scenario_policy *out)
{
    struct doc *doc = reader->doc;
    if (doc_kind(node) == DOC_MAP) {
        doc_name(doc, node, "name", DOC_REQUIRED, out->name);
        doc_string(doc, node, "program", DOC_REQUIRED, out->program, sizeof(out->program));
        doc_string(doc, node, "args", 0, out->arguments, sizeof(out->arguments));
        doc_close(doc, node);
        if (out->name[0] != 0 && policy_kind(out->name) >= 0)
            doc_problem(doc, node, "%s is the name of a policy of Berth's own; choose another",
                        out->name);
        return;
    }
    if (!doc_node_string(doc, node, out->name, sizeof(out->name)))
        return;
    if (policy_kind(out->name) < 0) {
        char words[LIMIT_TEXT_BYTES];
        const char *near = str_nearest(out->name, policy_words, POLICY_PROGRAM);
        doc_problem(doc, node,
                    "no such policy%s%s%s; there are %s, and programs as {name: mine, "
                    "program: ./mine}",
                    near == NULL ? "" : "; did you mean ", near == NULL ? "" : near,
                    near == NULL ? "" : "?", policy_list(words));
    }
}

static void read_seeds(struct reader *reader, const struct doc_node *root,
                       const struct doc_node *experiment, struct scenario *out)
{
    struct doc *doc = reader->doc;
    int64_t count = 1;
    out->seed = 1;
    doc_int(doc, root, "seed", 0, 0, INT64_MAX / 2, &out->seed);
    doc_int(doc, experiment, "seeds", 0, 1, SCENARIO_SEEDS, &count);
    out->seed_count = (int)count;
    if (out->precision_ppm > 0 && count < 3)
        doc_problem(doc, doc_get(doc, root, "precision", 0),
                    "a precision needs experiment: {seeds: 3} or more to be judged by");
}

/* The field of the experiment, or the one at the top; both at once is a mistake. A scalar counts as
 * a list of one, told by its kind. */
static const struct doc_node *one_or_list(struct reader *reader, const struct doc_node *root,
                                          const char *one, const struct doc_node *experiment,
                                          const char *many, int *ret_count)
{
    struct doc *doc = reader->doc;
    const struct doc_node *single = doc_get(doc, root, one, 0);
    const struct doc_node *list = doc_list(doc, experiment, many, 0);
    if (single != NULL && list != NULL)
        doc_problem(doc, single, "%s: and experiment.%s: say the same; write one of them", one,
                    many);
    *ret_count = list != NULL ? (int)doc_count(list) : single != NULL;
    if (*ret_count > SCENARIO_FILES) {
        doc_problem(doc, list, "%d entries; at most %d are allowed here", *ret_count,
                    SCENARIO_FILES);
        *ret_count = SCENARIO_FILES;
    }
    return list != NULL ? list : single;
}

int scenario_read_paths(struct reader *reader, const struct doc_node *list, int count,
                        char (**ret_paths)[LIMIT_PATH_BYTES])
{
    char(*paths)[LIMIT_PATH_BYTES] = read_array(reader, count, sizeof(*paths));
    *ret_paths = paths;
    for (int i = 0; i < count && paths != NULL; i++) {
        const struct doc_node *item = doc_kind(list) == DOC_LIST ? doc_item(list, (size_t)i) : list;
        if (doc_node_string(reader->doc, item, paths[i], LIMIT_PATH_BYTES) && paths[i][0] == 0)
            doc_problem(reader->doc, item, "the name of a file is wanted here");
    }
    return paths == NULL ? 0 : count;
}
