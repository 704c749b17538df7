#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "scheduler/cli/client.h"
#include "scheduler/cli/get.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/wait.h"
#include "scheduler/cli/yaml_out.h"

struct get_options {
    const char *output;
};

/* One kind of thing: its table, and how a name narrows it. */
struct kind {
    const char *name;
    const char *heads;
    const char *wide; /* further columns of -o wide */
    void (*row)(const json_t *item, bool wide, struct table *table);
    enum kind_name { NAME_NONE, NAME_ITEM, NAME_APP, NAME_WORKLOAD } by;
};

static int run_get(struct cli *cli, void *options, const struct option_words *words,
                   struct error *err);
static const struct kind *find_kind(const char *name, struct error *err);
static int narrow(const struct kind *kind, const char *name, struct message_request *request,
                  struct error *err);
static int keep_named(const struct kind *kind, const char *name, json_t *json, struct error *err);
static int print_items(const struct cli *cli, const struct kind *kind, const char *output,
                       const struct client_reply *reply, struct error *err);
static void node_row(const json_t *item, bool wide, struct table *table);
static void site_row(const json_t *item, bool wide, struct table *table);
static void app_row(const json_t *item, bool wide, struct table *table);
static void instance_row(const json_t *item, bool wide, struct table *table);
static void handoff_row(const json_t *item, bool wide, struct table *table);
static void route_row(const json_t *item, bool wide, struct table *table);
static void operation_row(const json_t *item, bool wide, struct table *table);
static void cordon_row(const json_t *item, bool wide, struct table *table);
static void decision_row(const json_t *item, bool wide, struct table *table);
static void estimate_row(const json_t *item, bool wide, struct table *table);
static void destinations_cell(const json_t *rule, struct table *table);
static void price_row(const json_t *item, bool wide, struct table *table);

static const struct kind kinds[] = {
    {"nodes", "NODE|SITE|STATE|>CPU|>MEMORY|>INSTANCES", "|ARCH|DRIVERS|SINCE", node_row,
     NAME_ITEM},
    {"sites", "SITE|TIER|>$/VCPU-H|>$/GIB-H|>CPU|>MEMORY", "|TAGS|SOURCE", site_row, NAME_ITEM},
    {"apps", "APP|WORKLOAD|SITE|>READY|STATE|REQUIRES", "|MOVES", app_row, NAME_APP},
    {"app", NULL, NULL, NULL, NAME_APP},
    {"instances", "INSTANCE|WORKLOAD|NODE|SITE|STATE|>RESTARTS", "|WANT|SINCE|DETAIL", instance_row,
     NAME_WORKLOAD},
    {"handoffs", "HANDOFF|WORKLOAD|FROM|TO|STATE|>TOOK|PROVEN", "|REASON|>ROUND TRIP|>LINGER|TEXT",
     handoff_row, NAME_WORKLOAD},
    {"routes", "ROUTE|WORKLOAD|>SERVING|>PROBED|>DRAINING|TAKEN BY", "|>VERSION|SERVERS", route_row,
     NAME_WORKLOAD},
    {"operations", "OPERATION|WHAT|STATE|>DONE|>MOVING|>WAITING|>BACK", "|BEGUN|WHY", operation_row,
     NAME_NONE},
    {"cordons", "KIND|NAME|>INSTANCES", "|SINCE", cordon_row, NAME_NONE},
    {"decisions", "AT|WORKLOAD|FROM|TO|REASON|>BILL BEFORE|>AFTER", "|>SCORE BEFORE|>AFTER|TEXT",
     decision_row, NAME_WORKLOAD},
    {"estimates", "WORKLOAD|ESTIMATE|AT|>VALUE|>AGE", "", estimate_row, NAME_WORKLOAD},
    {"prices", "EGRESS|FROM|TO|PAID BY|UP TO|>PRICE|PER", "|SOURCE", price_row, NAME_ITEM},
    {"world", NULL, NULL, NULL, NAME_NONE},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const struct option_row rows[] = {
    {"output", 'o', OPTION_TEXT, "yaml|json|wide", "the whole of it, or a table with more columns",
     offsetof(struct get_options, output), 0, 0},
};

const struct command command_get = {
    .name = "get",
    .synopsis = "KIND [NAME] [-o yaml|json|wide]",
    .summary = "Show nodes, sites, apps, instances, handoffs, routes, operations, decisions, ...",
    .text =
        "Kinds: nodes sites apps app instances handoffs routes operations cordons decisions\n"
        "estimates prices world.\n"
        "NAME narrows: a node, a site, [NS/]APP, or [NS/]APP/WORKLOAD. `get app NAME` prints the\n"
        "document, which can be edited and applied again.\n",
    .examples = "  berth get nodes\n"
                "  berth get handoffs shop/source -o wide\n"
                "  berth get app shop -o yaml\n"
                "  berth get sites --json | jq -r '.items[].name'\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct get_options),
    .words_min = 1,
    .words_max = 2,
    .words = {WORD_KIND, WORD_APP},
    .run = run_get,
};

const char *get_kind(int index)
{
    return index < 0 || (size_t)index >= KIND_COUNT ? NULL : kinds[index].name;
}

int get_table(const char *kind_name, const json_t *items, bool wide, bool color, struct strbuf *out,
              struct error *err)
{
    const struct kind *kind = find_kind(kind_name, err);
    if (kind == NULL || kind->row == NULL)
        return kind == NULL ? err->code
                            : error_set(err, ERR_UNSUPPORTED, 0, "%s has no table", kind_name);
    char heads[LIMIT_TEXT_BYTES];
    str_format(heads, sizeof(heads), "%s%s", kind->heads, wide ? kind->wide : "");
    struct table table;
    table_init(&table, heads);
    size_t index;
    json_t *each;
    json_array_foreach(items, index, each)
    {
        kind->row(each, wide, &table);
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

static int run_get(struct cli *cli, void *options, const struct option_words *words,
                   struct error *err)
{
    const struct get_options *given = options;
    const struct kind *kind = find_kind(words->items[0], err);
    if (kind == NULL)
        return err->code;
    const char *output = given->output;
    if (output != NULL && !str_equal(output, "yaml") && !str_equal(output, "json") &&
        !str_equal(output, "wide"))
        return error_set(err, ERR_INVALID, 0, "-o \"%.32s\": there are yaml, json and wide",
                         output);
    const char *name = words->count > 1 ? words->items[1] : NULL;
    struct message_request request;
    client_request_init(&request, NULL);
    str_format(request.kind, sizeof(request.kind), "%s", kind->name);
    int rc = name == NULL ? 0 : narrow(kind, name, &request, err);
    CLEANUP(cleanup_client) struct client *client = NULL;
    if (rc == 0)
        rc = client_open(cli, &client, err);
    struct client_reply reply = {.json = NULL};
    if (rc == 0)
        rc = client_call(client, "get", &request, &reply, err);
    if (rc == 0 && name != NULL && kind->by == NAME_ITEM)
        rc = keep_named(kind, name, reply.json, err);
    if (rc == 0 && name != NULL && kind->by == NAME_APP &&
        json_array_size(json_object_get(reply.json, "items")) == 0)
        rc =
            error_set(err, ERR_NOT_FOUND, 0, "there is no app %s; berth get apps lists them", name);
    if (rc == 0)
        rc = print_items(cli, kind, output, &reply, err);
    client_reply_done(&reply);
    return rc;
}

static const struct kind *find_kind(const char *name, struct error *err)
{
    const char *names[KIND_COUNT];
    for (size_t i = 0; i < KIND_COUNT; i++) {
        names[i] = kinds[i].name;
        /* "node" is as good as "nodes"; "app" is a kind of its own. */
        size_t bytes = strlen(kinds[i].name) - 1;
        if (str_equal(kinds[i].name, name) ||
            (kinds[i].name[bytes] == 's' && strlen(name) == bytes && !str_equal(name, "app") &&
             strncmp(kinds[i].name, name, bytes) == 0))
            return &kinds[i];
    }
    const char *nearest = str_nearest(name, names, KIND_COUNT);
    (void)error_set(
        err, ERR_INVALID, 0,
        "there is no kind \"%.64s\"%s%s%s; there are nodes, sites, apps, app, instances, "
        "handoffs, routes, operations, cordons, decisions, estimates, prices and world",
        name, nearest == NULL ? "" : "; did you mean ", nearest == NULL ? "" : nearest,
        nearest == NULL ? "" : "?");
    return NULL;
}

static int narrow(const struct kind *kind, const char *name, struct message_request *request,
                  struct error *err)
{
    struct reference reference;
    if (kind->by == NAME_NONE)
        return error_set(err, ERR_INVALID, 0, "there is one %s; it takes no name", kind->name);
    if (kind->by == NAME_ITEM)
        return 0; /* picked from the answer */
    /* "shop" is an app; "shop/source" a workload, where there are workloads. */
    int rc = kind->by == NAME_WORKLOAD && strchr(name, '/') != NULL
                 ? reference_workload(name, &reference, err)
                 : reference_app(name, &reference, err);
    if (rc < 0)
        return rc;
    memcpy(request->namespace_, reference.namespace_, sizeof(request->namespace_));
    memcpy(request->app, reference.app, sizeof(request->app));
    memcpy(request->workload, reference.workload, sizeof(request->workload));
    return 0;
}

static int keep_named(const struct kind *kind, const char *name, json_t *json, struct error *err)
{
    json_t *items = json_object_get(json, "items");
    for (size_t i = json_array_size(items); i > 0; i--) {
        if (!str_equal(json_text(json_array_get(items, i - 1), "name"), name))
            json_array_remove(items, i - 1);
    }
    if (json_array_size(items) > 0)
        return 0;
    return error_set(err, ERR_NOT_FOUND, 0, "%s has no \"%.140s\"; berth get %s lists them",
                     kind->name, name, kind->name);
}

static int print_items(const struct cli *cli, const struct kind *kind, const char *output,
                       const struct client_reply *reply, struct error *err)
{
    json_t *items = json_object_get(reply->json, "items");
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    int rc = 0;
    if (cli->common.json || (output != NULL && str_equal(output, "json"))) {
        char *text = json_dumps(reply->json, cli->common.json ? JSON_COMPACT : JSON_INDENT(2));
        if (text == NULL)
            rc = error_set(err, ERR_NO_MEMORY, 0, "no memory to print");
        else
            strbuf_printf(&out, "%s\n", text);
        cleanup_free(&text);
    } else if (kind->row == NULL || (output != NULL && str_equal(output, "yaml"))) {
        size_t index;
        json_t *each;
        json_array_foreach(items, index, each)
        {
            const json_t *document = json_object_get(each, "document");
            if (index > 0)
                strbuf_puts(&out, "---\n");
            yaml_write(document != NULL ? document : each, &out);
        }
    } else if (json_array_size(items) == 0) {
        strbuf_printf(&out, "no %s\n", kind->name);
    } else {
        rc = get_table(kind->name, items, output != NULL, cli->color, &out, err);
    }
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static void workload_cell(const json_t *item, struct table *table)
{
    const char *ns = json_text(item, "namespace");
    const char *app = json_text(item, "app");
    const char *workload = json_text(item, "workload");
    bool plain = str_equal(ns, "default") || ns[0] == 0;
    char replica[32] = "";
    if (json_number(item, "replica") > 0)
        snprintf(replica, sizeof(replica), "#%" PRId64, json_number(item, "replica"));
    table_cell(table, STYLE_PLAIN, "%s%s%s%s%s%s", plain ? "" : ns, plain ? "" : "/", app,
               workload[0] == 0 ? "" : "/", workload, replica);
}

static void site_cell(const json_t *item, const char *key, struct table *table)
{
    const char *site = json_text(item, key);
    table_cell(table, STYLE_PLAIN, "%s", site[0] == 0 ? "-" : site);
}

static enum style state_style(const char *state)
{
    static const struct {
        const char *state;
        enum style style;
    } styles[] = {
        {"ready", STYLE_GREEN},   {"running", STYLE_GREEN}, {"done", STYLE_GREEN},
        {"up", STYLE_GREEN},      {"failed", STYLE_RED},    {"back", STYLE_RED},
        {"returning", STYLE_RED}, {"lost", STYLE_RED},      {"failing", STYLE_RED},
        {"unplaced", STYLE_RED},  {"backoff", STYLE_RED},   {"stopped", STYLE_DIM},
        {"absent", STYLE_DIM},
    };
    for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
        if (str_equal(styles[i].state, state))
            return styles[i].style;
    return STYLE_CYAN;
}

static void node_row(const json_t *item, bool wide, struct table *table)
{
    char used[SHOW_BYTES];
    char all[SHOW_BYTES];
    const char *state = json_truth(item, "up") ? "up" : "lost";
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "name"));
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "site"));
    table_cell(table, state_style(state), "%s", state);
    table_cell(table, STYLE_PLAIN, "%s of %s", show_mcpu(json_number(item, "mcpu_used"), used),
               show_mcpu(json_number(item, "mcpu"), all));
    table_cell(table, STYLE_PLAIN, "%s of %s", show_bytes(json_number(item, "memory_used"), used),
               show_bytes(json_number(item, "memory_bytes"), all));
    table_cell(table, STYLE_PLAIN, "%" PRId64, json_number(item, "instances"));
    if (wide) {
        table_cell(table, STYLE_PLAIN, "%s", json_text(item, "arch"));
        table_cell(table, STYLE_PLAIN, "%s", json_text(item, "drivers"));
        table_cell(table, STYLE_DIM, "%s", show_instant(json_number(item, "since_us"), all));
    }
}

static void site_row(const json_t *item, bool wide, struct table *table)
{
    char used[SHOW_BYTES];
    char all[SHOW_BYTES];
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "name"));
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "tier"));
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "cpu_price"));
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "memory_price"));
    table_cell(table, STYLE_PLAIN, "%s of %s", show_mcpu(json_number(item, "used_mcpu"), used),
               show_mcpu(json_number(item, "capacity_mcpu"), all));
    table_cell(table, STYLE_PLAIN, "%s of %s", show_bytes(json_number(item, "used_bytes"), used),
               show_bytes(json_number(item, "capacity_bytes"), all));
    if (wide) {
        struct strbuf tags;
        strbuf_init(&tags, LIMIT_DOC_BYTES);
        const char *key;
        json_t *value;
        json_object_foreach(json_object_get(item, "tags"), key, value)
        {
            strbuf_printf(&tags, "%s%s=%s", tags.bytes == 0 ? "" : " ", key,
                          json_string_value(value));
        }
        table_cell(table, STYLE_PLAIN, "%s", strbuf_text(&tags));
        strbuf_done(&tags);
        table_cell(table, STYLE_DIM, "%s", json_text(item, "source"));
    }
}

/* One line per workload: an app has no state of its own. */
static void app_row(const json_t *item, bool wide, struct table *table)
{
    const char *ns = json_text(item, "namespace");
    bool plain = str_equal(ns, "default");
    size_t index;
    json_t *each;
    json_array_foreach(json_object_get(item, "workloads"), index, each)
    {
        int64_t ready = json_number(each, "ready");
        int64_t replicas = json_number(each, "replicas");
        const char *state = json_text(each, "state");
        table_cell(table, STYLE_PLAIN, "%s%s%s", plain ? "" : ns, plain ? "" : "/",
                   json_text(item, "name"));
        table_cell(table, STYLE_PLAIN, "%s", json_text(each, "name"));
        site_cell(each, "site", table);
        table_cell(table, ready >= replicas ? STYLE_GREEN : STYLE_YELLOW, "%" PRId64 "/%" PRId64,
                   ready, replicas);
        table_cell(table, state_style(state), "%s", state);
        struct strbuf tags;
        strbuf_init(&tags, LIMIT_DOC_BYTES);
        const char *key;
        json_t *value;
        json_object_foreach(json_object_get(each, "require"), key, value)
        {
            strbuf_printf(&tags, "%s%s=%s", tags.bytes == 0 ? "" : " ", key,
                          json_string_value(value));
        }
        table_cell(table, STYLE_PLAIN, "%s", strbuf_text(&tags));
        strbuf_done(&tags);
        if (wide)
            table_cell(table, STYLE_DIM, "%s%s%s%s%s", json_text(item, "moves"),
                       json_text(each, "kept")[0] != 0 ? "; kept: " : "", json_text(each, "kept"),
                       json_text(each, "late")[0] != 0 ? "; " : "", json_text(each, "late"));
    }
}

static void instance_row(const json_t *item, bool wide, struct table *table)
{
    char since[SHOW_BYTES];
    const char *state = json_truth(item, "lost") ? "lost" : json_text(item, "state");
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "id"));
    workload_cell(item, table);
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "node"));
    site_cell(item, "site", table);
    table_cell(table, state_style(state), "%s", state);
    table_cell(table, STYLE_PLAIN, "%" PRId64, json_number(item, "restarts"));
    if (wide) {
        table_cell(table, STYLE_PLAIN, "%s", json_text(item, "want"));
        table_cell(table, STYLE_DIM, "%s", show_instant(json_number(item, "since_us"), since));
        table_cell(table, STYLE_PLAIN, "%s", json_text(item, "detail"));
    }
}

static void handoff_row(const json_t *item, bool wide, struct table *table)
{
    char text[SHOW_BYTES];
    const char *state = json_text(item, "state");
    const json_t *steps = json_object_get(item, "steps");
    size_t count = json_array_size(steps);
    int64_t began_us = json_number(json_array_get(steps, 0), "at_us");
    int64_t last_us = count == 0 ? 0 : json_number(json_array_get(steps, count - 1), "at_us");
    bool both = json_text(item, "from_site")[0] != 0 && json_text(item, "to_site")[0] != 0;
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "id"));
    workload_cell(item, table);
    site_cell(item, "from_site", table);
    site_cell(item, "to_site", table);
    table_cell(table, state_style(state), "%s", state);
    table_cell(table, STYLE_PLAIN, "%s",
               handoff_has_ended(state) ? show_duration(last_us - began_us, text) : "");
    table_cell(table, STYLE_PLAIN, "%s", !both ? "-" : json_truth(item, "proven") ? "yes" : "no");
    if (wide) {
        table_cell(table, STYLE_PLAIN, "%s", json_text(item, "reason"));
        table_cell(table, STYLE_PLAIN, "%s", show_duration(json_number(item, "rtt_us"), text));
        table_cell(table, STYLE_PLAIN, "%s", show_duration(json_number(item, "linger_us"), text));
        table_cell(table, STYLE_PLAIN, "%s", json_text(item, "text"));
    }
}

static void operation_row(const json_t *item, bool wide, struct table *table);
static void cordon_row(const json_t *item, bool wide, struct table *table);
/* How many ingresses have taken it, and which that are there have not. */
static void taken_cell(const json_t *item, struct table *table)
{
    const json_t *ingresses = json_object_get(item, "ingresses");
    struct strbuf missing;
    strbuf_init(&missing, LIMIT_TEXT_BYTES);
    size_t index;
    json_t *each;
    int up = 0;
    int taken = 0;
    json_array_foreach(ingresses, index, each)
    {
        if (!json_truth(each, "up"))
            continue;
        up++;
        if (json_truth(each, "taken"))
            taken++;
        else
            strbuf_printf(&missing, "%s%s", missing.bytes > 0 ? " " : ", not by ",
                          json_text(each, "node"));
    }
    if (up == 0)
        table_cell(table, STYLE_RED, "no ingress is live");
    else
        table_cell(table, taken == up ? STYLE_PLAIN : STYLE_YELLOW, "%d of %d%s", taken, up,
                   strbuf_text(&missing));
    strbuf_done(&missing);
}

static void route_row(const json_t *item, bool wide, struct table *table)
{
    const json_t *servers = json_object_get(item, "servers");
    const char *host = json_text(item, "host");
    struct strbuf names;
    strbuf_init(&names, CLI_TEXT_BYTES);
    size_t index;
    json_t *each;
    int modes[3] = {0};
    json_array_foreach(servers, index, each)
    {
        const char *mode = json_text(each, "mode");
        for (int i = 0; i < 3; i++)
            modes[i] += str_equal(mode, route_mode_words[i]);
        strbuf_printf(&names, "%s%s=%s", names.bytes > 0 ? " " : "", json_text(each, "instance"),
                      mode);
        if (str_equal(mode, route_mode_words[ROUTE_SERVE]))
            strbuf_printf(&names, ":%" PRId64, json_number(each, "weight"));
    }
    if (json_truth(item, "gone"))
        table_cell(table, STYLE_DIM, "(ended)");
    else
        table_cell(table, STYLE_CYAN, "%s%s", host[0] == 0 ? "*" : host, json_text(item, "path"));
    workload_cell(item, table);
    table_cell(table, modes[ROUTE_SERVE] == 0 ? STYLE_RED : STYLE_PLAIN, "%d", modes[ROUTE_SERVE]);
    table_cell(table, STYLE_PLAIN, "%d", modes[ROUTE_PROBE]);
    table_cell(table, STYLE_PLAIN, "%d", modes[ROUTE_DRAIN]);
    taken_cell(item, table);
    if (wide) {
        table_cell(table, STYLE_DIM, "%" PRId64, json_number(item, "version"));
        table_cell(table, STYLE_DIM, "%s", strbuf_text(&names));
    }
    strbuf_done(&names);
}

static void operation_row(const json_t *item, bool wide, struct table *table)
{
    char text[SHOW_BYTES];
    const char *state = json_text(item, "state");
    bool bad = str_equal(state, "failed") || str_equal(state, "cancelled");
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "id"));
    table_cell(table, STYLE_CYAN, "%s", json_text(item, "text"));
    table_cell(table, bad ? STYLE_RED : STYLE_PLAIN, "%s", state);
    table_cell(table, STYLE_PLAIN, "%" PRId64, json_number(item, "done"));
    table_cell(table, STYLE_PLAIN, "%" PRId64, json_number(item, "moving"));
    table_cell(table, STYLE_PLAIN, "%" PRId64, json_number(item, "waiting"));
    table_cell(table, STYLE_PLAIN, "%" PRId64, json_number(item, "back"));
    if (!wide)
        return;
    table_cell(table, STYLE_DIM, "%s", show_instant(json_number(item, "begun_us"), text));
    table_cell(table, STYLE_DIM, "%s", json_text(item, "why"));
}

static void cordon_row(const json_t *item, bool wide, struct table *table)
{
    char text[SHOW_BYTES];
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "kind"));
    table_cell(table, STYLE_CYAN, "%s", json_text(item, "name"));
    table_cell(table, STYLE_PLAIN, "%" PRId64, json_number(item, "instances"));
    if (wide)
        table_cell(table, STYLE_DIM, "%s", show_instant(json_number(item, "since_us"), text));
}

static void decision_row(const json_t *item, bool wide, struct table *table)
{
    char text[SHOW_BYTES];
    table_cell(table, STYLE_DIM, "%s", show_instant(json_number(item, "at_us"), text));
    workload_cell(item, table);
    site_cell(item, "from_site", table);
    site_cell(item, "to_site", table);
    table_cell(table, STYLE_PLAIN, "%s", json_text(item, "reason"));
    table_cell(table, STYLE_PLAIN, "%s", show_money(json_text(item, "bill_before"), text));
    table_cell(table, STYLE_PLAIN, "%s", show_money(json_text(item, "bill_after"), text));
    if (wide) {
        const char *before = json_text(item, "score_before");
        table_cell(table, STYLE_PLAIN, "%s", before[0] == 0 ? "-" : show_money(before, text));
        table_cell(table, STYLE_PLAIN, "%s", show_money(json_text(item, "score_after"), text));
        table_cell(table, STYLE_PLAIN, "%s", json_text(item, "text"));
    }
}

static void estimate_row(const json_t *item, bool wide, struct table *table)
{
    (void)wide;
    char text[SHOW_BYTES];
    const char *kind = json_text(item, "kind");
    const char *site = json_text(item, "site");
    const char *peer = json_text(item, "peer");
    if (json_text(item, "app")[0] == 0)
        table_cell(table, STYLE_DIM, "-");
    else
        workload_cell(item, table);
    table_cell(table, STYLE_PLAIN, "%s", kind);
    table_cell(table, STYLE_PLAIN, "%s%s%s", site[0] == 0 ? "-" : site, peer[0] == 0 ? "" : " ↔ ",
               peer);
    table_cell(table, STYLE_PLAIN, "%s", show_estimate(kind, json_number(item, "value"), text));
    table_cell(table, STYLE_DIM, "%s", show_duration(json_number(item, "age_us"), text));
}

/* The first, and how many more; --json has all. */
static void destinations_cell(const json_t *rule, struct table *table)
{
    const json_t *to = json_object_get(rule, "to");
    const char *first =
        json_is_array(to) ? json_string_value(json_array_get(to, 0)) : json_string_value(to);
    size_t count = json_array_size(to);
    if (count > 1)
        table_cell(table, STYLE_PLAIN, "%s and %zu more", first == NULL ? "" : first, count - 1);
    else
        table_cell(table, STYLE_PLAIN, "%s", first == NULL ? "" : first);
}

/* One line per step of a price. */
static void price_row(const json_t *item, bool wide, struct table *table)
{
    char text[SHOW_BYTES];
    int64_t per = json_number(item, "per_bytes");
    size_t index;
    json_t *each;
    json_array_foreach(json_object_get(item, "tiers"), index, each)
    {
        int64_t up_to = json_number(each, "up_to_bytes");
        table_cell(table, STYLE_PLAIN, "%s", index == 0 ? json_text(item, "name") : "");
        table_cell(table, STYLE_PLAIN, "%s", index == 0 ? json_text(item, "from") : "");
        if (index == 0)
            destinations_cell(item, table);
        else
            table_cell(table, STYLE_PLAIN, "%s", "");
        table_cell(table, STYLE_PLAIN, "%s", index == 0 ? json_text(item, "payer") : "");
        table_cell(table, STYLE_PLAIN, "%s", up_to == 0 ? "beyond" : show_bytes(up_to, text));
        table_cell(table, STYLE_PLAIN, "$%s", json_text(each, "price"));
        table_cell(table, STYLE_PLAIN, "%s",
                   per == 1000000000           ? "GB"
                   : per == (INT64_C(1) << 30) ? "GiB"
                                               : show_bytes(per, text));
        if (wide)
            table_cell(table, STYLE_DIM, "%s", index == 0 ? json_text(item, "source") : "");
    }
}
