#include "metrics/probe/config.h"

#include <string.h>

#include "base/clock.h"
#include "base/units.h"

#define INTERVAL_US      (10 * US_PER_S)
#define INTERVAL_MIN_US  (100 * US_PER_MS)
#define INTERVAL_MAX_US  US_PER_HOUR
#define TIMEOUT_US       (5 * US_PER_S)
#define TIMEOUT_MIN_US   US_PER_MS
#define PATH_INTERVAL_US (30 * US_PER_S)
#define PATH_TIMEOUT_US  (2 * US_PER_S)
#define PATH_COUNT       5
#define PATH_COUNT_MAX   100
#define CONCURRENCY      256
#define CONCURRENCY_MAX  4096

struct reader {
    struct doc *doc;
    struct arena *arena;
    struct probe_config *config;
    int64_t interval_us;
    int64_t timeout_us;
};

static void read_bus(struct reader *reader, const struct doc_node *root);
static int read_targets(struct reader *reader, const struct doc_node *root, struct error *err);
static int read_target(struct reader *reader, const struct doc_node *node,
                       struct probe_target *target, struct error *err);
static int read_paths(struct reader *reader, const struct doc_node *root, struct error *err);
static void read_path(struct reader *reader, const struct doc_node *node, struct probe_path *path);
static int read_listen(struct reader *reader, const struct doc_node *root, struct error *err);
static int read_names(struct reader *reader, const struct doc_node *node,
                      struct names_config *names, struct error *err);
static void read_fields(struct reader *reader, const struct doc_node *node,
                        struct names_fields *fields, bool of_labels);
static int read_renames(struct reader *reader, const struct doc_node *node,
                        struct names_config *names, struct error *err);
static void read_rename(struct reader *reader, const struct doc_node *node,
                        struct names_rename *rename);
static void read_duration(struct reader *reader, const struct doc_node *node, const char *key,
                          int64_t least_us, int64_t most_us, int64_t *out_us);
static void check_site(struct doc *doc, const struct doc_node *node, const char *site);
static bool address_split(const char *text, char host[PROBE_ADDRESS_BYTES], int64_t *ret_port);
static bool is_loopback(const char *address);
static size_t scheme_bytes(const char *url);
static int no_memory(struct error *err);

int probe_config_file(const char *path, struct arena *arena, struct probe_config *ret_config,
                      struct strbuf *problems, struct error *err)
{
    CLEANUP(cleanup_doc) struct doc *doc = NULL;
    int rc = doc_read_file(path, &doc, err);
    if (rc == 0)
        rc = probe_config_read(doc, arena, ret_config, err);
    if (rc < 0)
        return rc;
    if (problems != NULL)
        doc_report(doc, problems);
    return doc_check(doc, err);
}

int probe_config_read(struct doc *doc, struct arena *arena, struct probe_config *ret_config,
                      struct error *err)
{
    static const struct probe_config empty;
    struct reader reader = {.doc = doc,
                            .arena = arena,
                            .config = ret_config,
                            .interval_us = INTERVAL_US,
                            .timeout_us = TIMEOUT_US};
    const struct doc_node *root = doc_root(doc);
    int64_t concurrency = CONCURRENCY;
    *ret_config = empty;
    doc_name(doc, root, "name", DOC_REQUIRED, ret_config->name);
    doc_string(doc, root, "site", DOC_REQUIRED, ret_config->site, sizeof(ret_config->site));
    check_site(doc, doc_get(doc, root, "site", 0), ret_config->site);
    doc_int(doc, root, "concurrency", 0, 1, CONCURRENCY_MAX, &concurrency);
    ret_config->concurrency = (int)concurrency;
    read_duration(&reader, root, "interval", INTERVAL_MIN_US, INTERVAL_MAX_US, &reader.interval_us);
    read_duration(&reader, root, "timeout", TIMEOUT_MIN_US, INTERVAL_MAX_US, &reader.timeout_us);
    read_bus(&reader, root);
    int rc = read_targets(&reader, root, err);
    if (rc == 0)
        rc = read_paths(&reader, root, err);
    if (rc == 0)
        rc = read_listen(&reader, root, err);
    if (rc < 0)
        return rc;
    doc_close(doc, root);
    if (ret_config->target_count == 0 && ret_config->path_count == 0 &&
        ret_config->otlp.host[0] == 0)
        doc_problem(doc, root, "there is nothing to do: give targets, latency or listen");
    return 0;
}

const char *probe_url_problem(const char *url)
{
    size_t scheme = scheme_bytes(url);
    if (scheme == 0)
        return "must begin with http:// or https://";
    const char *authority = url + scheme;
    size_t bytes = strcspn(authority, "/?#");
    if (memchr(authority, '@', bytes) != NULL)
        return "has a user in it; credentials are read from files: bearer_token_file";
    for (const char *at = url; *at != 0; at++)
        if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f || *at == '"' || *at == '\\')
            return "has a character that must be written as %XX";
    char text[PROBE_ADDRESS_BYTES];
    char host[PROBE_ADDRESS_BYTES];
    int64_t port = 0;
    if (bytes == 0 || bytes >= sizeof(text) - 8)
        return "has no host, or one that is too long";
    memcpy(text, authority, bytes);
    text[bytes] = 0;
    const char *bracket = strrchr(text, ']');
    if (strchr(bracket == NULL ? text : bracket, ':') == NULL)
        str_format(text + bytes, sizeof(text) - bytes, ":80");
    if (!address_split(text, host, &port) || port == 0)
        return "has a host or port that is none";
    return strchr(url, '#') != NULL ? "has a fragment (#), which no server gets to see" : NULL;
}

void probe_url_address(const char *url, char out[PROBE_ADDRESS_BYTES])
{
    size_t scheme = scheme_bytes(url);
    const char *authority = url + scheme;
    size_t bytes = strcspn(authority, "/?#");
    BERTH_ASSERT(scheme > 0 && bytes > 0 && bytes < PROBE_ADDRESS_BYTES - 8, "url '%s'", url);
    memcpy(out, authority, bytes);
    out[bytes] = 0;
    const char *bracket = strrchr(out, ']');
    if (strchr(bracket == NULL ? out : bracket, ':') == NULL)
        str_format(out + bytes, PROBE_ADDRESS_BYTES - bytes, ":%s", scheme == 8 ? "443" : "80");
}

static void read_bus(struct reader *reader, const struct doc_node *root)
{
    struct doc *doc = reader->doc;
    const struct doc_node *bus = doc_map(doc, root, "bus", 0);
    struct probe_config *config = reader->config;
    doc_string(doc, bus, "url", DOC_REQUIRED, config->bus_url, sizeof(config->bus_url));
    doc_string(doc, bus, "seed", 0, config->bus_seed, sizeof(config->bus_seed));
    if (bus != NULL)
        doc_close(doc, bus);
}

static int read_targets(struct reader *reader, const struct doc_node *root, struct error *err)
{
    const struct doc_node *list = doc_list(reader->doc, root, "targets", 0);
    size_t count = doc_count(list);
    if (count > LIMIT_PROBE_TARGETS) {
        doc_problem(reader->doc, list, "has %zu targets; one probe scrapes at most %d", count,
                    LIMIT_PROBE_TARGETS);
        return 0;
    }
    if (count == 0)
        return 0;
    reader->config->targets = arena_array(reader->arena, count, sizeof(struct probe_target));
    if (reader->config->targets == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        int rc = read_target(reader, doc_item(list, i), &reader->config->targets[i], err);
        if (rc < 0)
            return rc;
    }
    reader->config->target_count = (int)count;
    return 0;
}

static int read_target(struct reader *reader, const struct doc_node *node,
                       struct probe_target *target, struct error *err)
{
    struct doc *doc = reader->doc;
    if (doc_kind(node) != DOC_MAP) {
        doc_problem(doc, node, "a target is a mapping with a url");
        return 0;
    }
    target->interval_us = reader->interval_us;
    target->timeout_us = reader->timeout_us;
    if (doc_string(doc, node, "url", DOC_REQUIRED, target->url, sizeof(target->url))) {
        const char *wrong = probe_url_problem(target->url);
        if (wrong != NULL)
            doc_problem(doc, doc_get(doc, node, "url", 0), "the url %s", wrong);
        else
            probe_url_address(target->url, target->instance);
    }
    read_duration(reader, node, "interval", INTERVAL_MIN_US, INTERVAL_MAX_US, &target->interval_us);
    bool own_timeout = doc_get(doc, node, "timeout", 0) != NULL;
    read_duration(reader, node, "timeout", TIMEOUT_MIN_US, INTERVAL_MAX_US, &target->timeout_us);
    if (target->timeout_us > target->interval_us) {
        if (own_timeout)
            doc_problem(doc, doc_get(doc, node, "timeout", 0),
                        "the timeout is longer than the interval: a page would be asked for again "
                        "before it was given up");
        target->timeout_us = target->interval_us;
    }
    doc_string(doc, node, "bearer_token_file", 0, target->bearer_token_file,
               sizeof(target->bearer_token_file));
    doc_string(doc, node, "ca_file", 0, target->ca_file, sizeof(target->ca_file));
    doc_bool(doc, node, "insecure_skip_verify", 0, &target->insecure_skip_verify);
    if (target->bearer_token_file[0] != 0 && str_starts(target->url, "http://") &&
        !is_loopback(target->instance))
        doc_problem(
            doc, doc_get(doc, node, "bearer_token_file", 0),
            "a token leaves this machine over https:// only: anybody on the way could read it");
    int word = NAMES_KIND_OPENMETRICS;
    doc_word(doc, node, "kind", 0, names_kind_words, 3, &word);
    target->names.kind = word;
    int rc = read_names(reader, node, &target->names, err);
    doc_close(doc, node);
    return rc;
}

static int read_paths(struct reader *reader, const struct doc_node *root, struct error *err)
{
    const struct doc_node *list = doc_list(reader->doc, root, "latency", 0);
    size_t count = doc_count(list);
    if (count > LIMIT_PROBE_PATHS) {
        doc_problem(reader->doc, list, "has %zu entries; one probe measures at most %d", count,
                    LIMIT_PROBE_PATHS);
        return 0;
    }
    if (count == 0)
        return 0;
    reader->config->paths = arena_array(reader->arena, count, sizeof(struct probe_path));
    if (reader->config->paths == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        read_path(reader, doc_item(list, i), &reader->config->paths[i]);
    reader->config->path_count = (int)count;
    return 0;
}

static void read_path(struct reader *reader, const struct doc_node *node, struct probe_path *path)
{
    struct doc *doc = reader->doc;
    char address[PROBE_ADDRESS_BYTES];
    char host[PROBE_ADDRESS_BYTES];
    int64_t port = 0;
    int64_t count = PATH_COUNT;
    if (doc_kind(node) != DOC_MAP) {
        doc_problem(doc, node, "an entry is a mapping: to, and one of url, tcp, nats");
        return;
    }
    doc_string(doc, node, "to", DOC_REQUIRED, path->to, sizeof(path->to));
    check_site(doc, doc_get(doc, node, "to", 0), path->to);
    bool url = doc_string(doc, node, "url", 0, path->url, sizeof(path->url));
    bool tcp = doc_string(doc, node, "tcp", 0, address, sizeof(address));
    bool nats = doc_name(doc, node, "nats", 0, path->node);
    const char *wrong = url ? probe_url_problem(path->url) : NULL;
    if (url + tcp + nats != 1)
        doc_problem(doc, node, "give one of url (HTTP), tcp (host:port) and nats (a node)");
    else if (wrong != NULL)
        doc_problem(doc, doc_get(doc, node, "url", 0), "the url %s", wrong);
    else if (tcp && (!address_split(address, host, &port) || port == 0))
        doc_problem(doc, doc_get(doc, node, "tcp", 0), "must be host:port");
    path->kind = url ? PROBE_PATH_HTTP : tcp ? PROBE_PATH_TCP : PROBE_PATH_NATS;
    if (tcp)
        str_format(path->url, sizeof(path->url), "http://%s", address);
    doc_string(doc, node, "ca_file", 0, path->ca_file, sizeof(path->ca_file));
    doc_bool(doc, node, "insecure_skip_verify", 0, &path->insecure_skip_verify);
    path->interval_us = PATH_INTERVAL_US;
    path->timeout_us = PATH_TIMEOUT_US;
    read_duration(reader, node, "interval", INTERVAL_MIN_US, INTERVAL_MAX_US, &path->interval_us);
    read_duration(reader, node, "timeout", TIMEOUT_MIN_US, 60 * US_PER_S, &path->timeout_us);
    doc_int(doc, node, "count", 0, 1, PATH_COUNT_MAX, &count);
    path->count = (int)count;
    doc_close(doc, node);
}

/* OTLP is taken from this machine only, unless an address is written down. */
static int read_listen(struct reader *reader, const struct doc_node *root, struct error *err)
{
    struct doc *doc = reader->doc;
    const struct doc_node *listen = doc_map(doc, root, "listen", 0);
    char address[PROBE_ADDRESS_BYTES];
    int64_t port = 0;
    if (listen == NULL)
        return 0;
    if (doc_string(doc, listen, "otlp", DOC_REQUIRED, address, sizeof(address))) {
        if (!address_split(address, reader->config->otlp.host, &port))
            doc_problem(doc, doc_get(doc, listen, "otlp", 0),
                        "must be address:port, such as 127.0.0.1:4318");
        reader->config->otlp.port = (int)port;
    }
    int rc = read_names(reader, listen, &reader->config->otlp_names, err);
    doc_close(doc, listen);
    return rc;
}

/* Who the samples are about: fixed words beside the url, labels under `labels`, own names. */
static int read_names(struct reader *reader, const struct doc_node *node,
                      struct names_config *names, struct error *err)
{
    struct doc *doc = reader->doc;
    read_fields(reader, node, &names->fixed, false);
    const struct doc_node *labels = doc_map(doc, node, "labels", 0);
    if (labels != NULL) {
        read_fields(reader, labels, &names->labels, true);
        doc_close(doc, labels);
    }
    return read_renames(reader, node, names, err);
}

static void read_fields(struct reader *reader, const struct doc_node *node,
                        struct names_fields *fields, bool of_labels)
{
    struct doc *doc = reader->doc;
    const struct {
        const char *key;
        char *out;
    } names[] = {
        {"namespace", fields->namespace_},
        {"app", fields->app},
        {"workload", fields->workload},
        {"segment", fields->segment},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (of_labels)
            doc_string(doc, node, names[i].key, 0, names[i].out, LIMIT_NAME_BYTES);
        else
            doc_name(doc, node, names[i].key, 0, names[i].out);
    }
    doc_string(doc, node, "site", 0, fields->site, sizeof(fields->site));
    if (!of_labels)
        check_site(doc, doc_get(doc, node, "site", 0), fields->site);
    doc_string(doc, node, "instance", 0, fields->instance, sizeof(fields->instance));
}

static int read_renames(struct reader *reader, const struct doc_node *node,
                        struct names_config *names, struct error *err)
{
    const struct doc_node *list = doc_list(reader->doc, node, "metrics", 0);
    size_t count = doc_count(list);
    if (count > LIMIT_PROBE_RENAMES) {
        doc_problem(reader->doc, list, "names %zu metrics; at most %d", count, LIMIT_PROBE_RENAMES);
        return 0;
    }
    if (count == 0)
        return 0;
    struct names_rename *renames = arena_array(reader->arena, count, sizeof(*renames));
    if (renames == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        read_rename(reader, doc_item(list, i), &renames[i]);
    names->renames = renames;
    names->rename_count = (int)count;
    return 0;
}

static void read_rename(struct reader *reader, const struct doc_node *node,
                        struct names_rename *rename)
{
    static const char *const words[] = {"cpu_seconds", "memory_bytes", "requests",
                                        "errors",      "hits",         "misses",
                                        "bytes_in",    "bytes_out",    "latency_seconds_sum"};
    static const struct {
        int kind;
        double scale;
    } kinds[] = {{SAMPLE_CPU_NS, 1e9}, {SAMPLE_MEMORY_BYTES, 1}, {SAMPLE_REQUESTS, 1},
                 {SAMPLE_ERRORS, 1},   {SAMPLE_HITS, 1},         {SAMPLE_MISSES, 1},
                 {SAMPLE_BYTES_IN, 1}, {SAMPLE_BYTES_OUT, 1},    {SAMPLE_LATENCY_US_SUM, 1e6}};
    struct doc *doc = reader->doc;
    int word = 0;
    if (doc_kind(node) != DOC_MAP) {
        doc_problem(doc, node, "an entry is a mapping: name, as");
        return;
    }
    doc_string(doc, node, "name", DOC_REQUIRED, rename->name, sizeof(rename->name));
    doc_word(doc, node, "as", DOC_REQUIRED, words, sizeof(words) / sizeof(words[0]), &word);
    rename->kind = kinds[word].kind;
    rename->scale = kinds[word].scale;
    bool label = doc_string(doc, node, "label", 0, rename->label, sizeof(rename->label));
    bool value = doc_string(doc, node, "value", 0, rename->value, sizeof(rename->value));
    if (label != value)
        doc_problem(doc, node, "label and value go together: the series whose label has it");
    doc_close(doc, node);
}

static void read_duration(struct reader *reader, const struct doc_node *node, const char *key,
                          int64_t least_us, int64_t most_us, int64_t *out_us)
{
    char least[UNITS_TEXT_BYTES];
    char most[UNITS_TEXT_BYTES];
    int64_t value_us = 0;
    if (!doc_duration(reader->doc, node, key, 0, &value_us))
        return;
    if (value_us < least_us || value_us > most_us)
        doc_problem(reader->doc, doc_get(reader->doc, node, key, 0), "must be %s to %s",
                    units_format_duration(least_us, least), units_format_duration(most_us, most));
    else
        *out_us = value_us;
}

static void check_site(struct doc *doc, const struct doc_node *node, const char *site)
{
    if (site[0] == 0)
        return;
    char provider[LIMIT_NAME_BYTES] = "";
    const char *slash = strchr(site, '/');
    if (slash != NULL && (size_t)(slash - site) < sizeof(provider))
        memcpy(provider, site, (size_t)(slash - site));
    if (slash == NULL || !name_is_valid(provider) || !name_is_valid(slash + 1))
        doc_problem(doc, node, "a site is written provider/region, such as edge/nyc");
}

/* "host:port" and "[::1]:port". A host is not looked up here. */
static bool address_split(const char *text, char host[PROBE_ADDRESS_BYTES], int64_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t bytes = colon == NULL ? 0 : (size_t)(colon - text);
    bool bracket = text[0] == '[';
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    int64_t port = 0;
    if (bytes == 0 || bytes >= PROBE_ADDRESS_BYTES || str_to_i64(colon + 1, &port) < 0 ||
        port < 0 || port > 65535)
        return false;
    if (bracket) {
        if (bytes < 4 || text[bytes - 1] != ']' ||
            strspn(text + 1, "0123456789abcdefABCDEF:.") != bytes - 2)
            return false;
        text++;
        bytes -= 2;
    } else if (strspn(text, letters) != bytes) {
        return false;
    }
    memcpy(host, text, bytes);
    host[bytes] = 0;
    *ret_port = port;
    return true;
}

static bool is_loopback(const char *address)
{
    return str_starts(address, "127.") || str_starts(address, "localhost:") ||
           str_starts(address, "[::1]:");
}

static size_t scheme_bytes(const char *url)
{
    return str_starts(url, "http://") ? 7 : str_starts(url, "https://") ? 8 : 0;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "the probe's configuration");
}
