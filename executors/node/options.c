#include "executors/node/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bus/subjects.h"
#include "base/str.h"
#include "base/units.h"
#include "executors/drivers/process/endpoint.h"
#include "executors/ingress/ingress.h"

const char node_usage[] =
    "usage: berth-node --name NAME --site SITE --url URL --state DIR [options]\n"
    "\n"
    "Runs workloads on this machine for a Berth scheduler: connects out to NATS, takes commands,\n"
    "reports. Workloads outlive it: stopped or killed, it finds them again when it starts.\n"
    "\n"
    "  --name NAME             this node's name, [a-z0-9-]\n"
    "  --site SITE             where it is: provider/region, e.g. edge/nyc\n"
    "  --url URL               the NATS server, e.g. nats://127.0.0.1:4222\n"
    "  --state DIR             its folder: records, artifacts, the workloads' folders\n"
    "  --seed FILE             this node's nkey seed (mode 0600)\n"
    "  --scheduler-key FILE    the scheduler's public key (default: scheduler.pub beside the "
    "seed)\n"
    "  --workload-seed NS=FILE nkey seed of the workloads of namespace NS (repeatable)\n"
    "  --mcpu N                CPU offered, in thousandths of a core (default: all cores)\n"
    "  --memory SIZE           memory offered, e.g. 2GiB (default: all)\n"
    "  --tag KEY=VALUE         a tag of this node (repeatable)\n"
    "  --address ADDR          where HTTP workloads listen, as ingresses reach it (default\n"
    "                          127.0.0.1)\n"
    "  --ingress http=ADDR:PORT[,https=ADDR:PORT,cert=FILE]\n"
    "                          be an ingress for HTTP, by a HAProxy of its own\n"
    "  --peer NODE             measure the round trip to that node (repeatable)\n"
    "  --metrics-interval T    e.g. 1s (default)\n"
    "  --log-bytes SIZE        of one file of a workload's output (default 4MiB)\n"
    "  --log-files N           kept per stream (default 4)\n"
    "  --cgroup NAME           the top cgroup of its workloads (default berth)\n"
    "  --inbox PREFIX          reply subjects (default _INBOX.n.NAME)\n"
    "  --shim PATH             berth-shim (default: beside this program)\n"
    "  --stop-workloads-on-exit  SIGTERM stops the workloads too\n"
    "  --config FILE           'name = value' lines with the names above\n"
    "  --help, --version\n"
    "\n"
    "examples:\n"
    "  berth-node --name n1 --site edge/nyc --url nats://127.0.0.1:4222 --state /var/lib/berth\n"
    "  berth-node --config /etc/berth/node.conf --tag gpu=none\n";

static int set(struct node_options *options, const char *name, const char *value,
               struct error *err);
static int set_text(const char *name, const char *value, char *out, size_t capacity,
                    struct error *err);
static int split(const char *name, const char *value, char *key, size_t key_capacity, char *rest,
                 size_t rest_capacity, struct error *err);
static int add_tag(struct node_options *options, const char *value, struct error *err);
static int add_seed(struct node_options *options, const char *value, struct error *err);
static int add_peer(struct node_options *options, const char *value, struct error *err);
static int read_config(struct node_options *options, const char *path, struct error *err);
static int check(struct node_options *options, struct error *err);
static char *trim(char *text);

int node_options_parse(int argc, char **argv, struct node_options *ret_options, struct error *err)
{
    struct node_options options = {
        .cgroup = "berth",
        .address = "127.0.0.1",
        .mcpu = sysconf(_SC_NPROCESSORS_ONLN) * 1000,
        .memory_bytes = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE),
        .metrics_interval_us = US_PER_S,
        .log_bytes = 4 << 20,
        .log_files = 4,
    };
    for (int i = 1; i + 1 < argc; i++)
        if (str_equal(argv[i], "--config")) {
            int rc = read_config(&options, argv[i + 1], err);
            if (rc < 0)
                return rc;
        }
    for (int i = 1; i < argc; i++) {
        if (!str_starts(argv[i], "--"))
            return error_set(err, ERR_INVALID, 0, "argument '%.64s': only --options are taken",
                             argv[i]);
        const char *name = argv[i] + 2;
        if (str_equal(name, "help") || str_equal(name, "version") ||
            str_equal(name, "stop-workloads-on-exit")) {
            options.help = options.help || name[0] == 'h';
            options.version = options.version || name[0] == 'v';
            options.stop_workloads_on_exit = options.stop_workloads_on_exit || name[0] == 's';
            continue;
        }
        if (i + 1 == argc)
            return error_set(err, ERR_INVALID, 0, "option --%.64s: its value is missing", name);
        int rc = set(&options, name, argv[++i], err);
        if (rc < 0)
            return rc;
    }
    if (!options.help && !options.version) {
        int rc = check(&options, err);
        if (rc < 0)
            return rc;
    }
    *ret_options = options;
    return 0;
}

static int set(struct node_options *options, const char *name, const char *value, struct error *err)
{
    const struct {
        const char *name;
        char *out;
        size_t capacity;
    } texts[] = {
        {"name", options->name, sizeof(options->name)},
        {"site", options->site, sizeof(options->site)},
        {"url", options->url, sizeof(options->url)},
        {"seed", options->seed, sizeof(options->seed)},
        {"scheduler-key", options->scheduler_key, sizeof(options->scheduler_key)},
        {"state", options->state, sizeof(options->state)},
        {"shim", options->shim, sizeof(options->shim)},
        {"cgroup", options->cgroup, sizeof(options->cgroup)},
        {"inbox", options->inbox, sizeof(options->inbox)},
        {"address", options->address, sizeof(options->address)},
        {"ingress", options->ingress, sizeof(options->ingress)},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (str_equal(name, texts[i].name))
            return set_text(name, value, texts[i].out, texts[i].capacity, err);
    int rc = ERR_INVALID;
    if (str_equal(name, "config"))
        return 0; /* read first */
    if (str_equal(name, "tag"))
        return add_tag(options, value, err);
    if (str_equal(name, "workload-seed"))
        return add_seed(options, value, err);
    if (str_equal(name, "peer"))
        return add_peer(options, value, err);
    if (str_equal(name, "mcpu"))
        rc = str_to_i64(value, &options->mcpu);
    else if (str_equal(name, "log-files"))
        rc = str_to_i64(value, &options->log_files);
    else if (str_equal(name, "memory"))
        return units_bytes(value, &options->memory_bytes, err);
    else if (str_equal(name, "log-bytes"))
        return units_bytes(value, &options->log_bytes, err);
    else if (str_equal(name, "metrics-interval"))
        return units_duration(value, &options->metrics_interval_us, err);
    else
        return error_set(err, ERR_INVALID, 0, "option --%.64s is not known: see --help", name);
    if (rc < 0)
        return error_set(err, rc, 0, "option --%s '%.64s': must be a number", name, value);
    return 0;
}

static int set_text(const char *name, const char *value, char *out, size_t capacity,
                    struct error *err)
{
    if (value[0] == 0)
        return error_set(err, ERR_INVALID, 0, "option --%s is empty", name);
    if (str_copy(out, capacity, value) < 0)
        return error_set(err, ERR_LIMIT, 0, "option --%s '%.64s...': at most %zu bytes", name,
                         value, capacity - 1);
    return 0;
}

static int split(const char *name, const char *value, char *key, size_t key_capacity, char *rest,
                 size_t rest_capacity, struct error *err)
{
    const char *equals = strchr(value, '=');
    if (equals == NULL || equals == value || (size_t)(equals - value) >= key_capacity ||
        str_copy(rest, rest_capacity, equals + 1) < 0)
        return error_set(err, ERR_INVALID, 0, "option --%s '%.64s': must be key=value", name,
                         value);
    memcpy(key, value, (size_t)(equals - value));
    key[equals - value] = 0;
    return 0;
}

static int add_tag(struct node_options *options, const char *value, struct error *err)
{
    /* One place is kept for the agent's own tag. */
    if (options->tag_count >= LIMIT_TAGS - 1)
        return error_set(err, ERR_LIMIT, 0, "LIMIT_TAGS: more than %d tags", LIMIT_TAGS - 1);
    struct message_tag *tag = &options->tags[options->tag_count++];
    return split("tag", value, tag->key, sizeof(tag->key), tag->value, sizeof(tag->value), err);
}

static int add_seed(struct node_options *options, const char *value, struct error *err)
{
    if (options->seed_count >= NODE_SEEDS)
        return error_set(err, ERR_LIMIT, 0, "more than %d --workload-seed", NODE_SEEDS);
    struct node_seed *seed = &options->seeds[options->seed_count++];
    char path[LIMIT_PATH_BYTES];
    int rc = split("workload-seed", value, seed->namespace_, sizeof(seed->namespace_), path,
                   sizeof(path), err);
    if (rc < 0)
        return rc;
    /* Workloads start in their own folders: the path must mean the same there. */
    char resolved[4096];
    if (realpath(path, resolved) == NULL)
        return error_set(err, ERR_NOT_FOUND, errno, "option --workload-seed: file '%.200s'", path);
    return set_text("workload-seed", resolved, seed->path, sizeof(seed->path), err);
}

static int add_peer(struct node_options *options, const char *value, struct error *err)
{
    if (options->peer_count >= NODE_PEERS)
        return error_set(err, ERR_LIMIT, 0, "more than %d --peer", NODE_PEERS);
    if (!name_is_valid(value))
        return error_set(err, ERR_INVALID, 0, "option --peer '%.64s': must be a node's name",
                         value);
    str_format(options->peers[options->peer_count++], LIMIT_NAME_BYTES, "%s", value);
    return 0;
}

static int read_config(struct node_options *options, const char *path, struct error *err)
{
    CLEANUP(cleanup_file) FILE *file = fopen(path, "re");
    if (file == NULL)
        return error_set(err, ERR_NOT_FOUND, errno, "option --config: file '%.200s'", path);
    char line[LIMIT_PATH_BYTES * 2];
    for (int number = 1; fgets(line, sizeof(line), file) != NULL; number++) {
        char *text = trim(line);
        if (text[0] == 0 || text[0] == '#')
            continue;
        char *equals = strchr(text, '=');
        int rc = 0;
        if (equals == NULL) {
            rc = error_set(err, ERR_INVALID, 0, "'%.64s' must be name = value", text);
        } else {
            *equals = 0;
            char *name = trim(text);
            char *value = trim(equals + 1);
            if (str_equal(name, "stop-workloads-on-exit"))
                options->stop_workloads_on_exit = str_equal(value, "true");
            else
                rc = set(options, name, value, err);
        }
        if (rc < 0)
            return error_prefix(err, "%.200s:%d", path, number);
    }
    return 0;
}

static int check(struct node_options *options, struct error *err)
{
    const struct {
        const char *name;
        const char *value;
    } needed[] = {
        {"name", options->name},
        {"site", options->site},
        {"url", options->url},
        {"state", options->state},
    };
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (needed[i].value[0] == 0)
            return error_set(err, ERR_INVALID, 0, "option --%s is missing: see --help",
                             needed[i].name);
    if (!name_is_valid(options->name) || !name_is_valid(options->cgroup))
        return error_set(err, ERR_INVALID, 0,
                         "option --name '%s', --cgroup '%s': each is 1 to 63 of [a-z0-9-]",
                         options->name, options->cgroup);
    if (options->mcpu < 0 || options->memory_bytes < 0 || options->log_files < 1 ||
        options->log_files > 100 || options->log_bytes < 1024 ||
        options->metrics_interval_us < 10 * US_PER_MS)
        return error_set(err, ERR_INVALID, 0,
                         "options --mcpu, --memory: 0 or more; --log-files: 1 to 100; "
                         "--log-bytes: 1KiB or more; --metrics-interval: 10ms or more");
    char probe[LIMIT_NAME_BYTES + 8];
    struct endpoint endpoint;
    str_format(probe, sizeof(probe), "%s:1", options->address);
    if (endpoint_parse(probe, &endpoint, NULL) < 0 || str_equal(options->address, "0.0.0.0") ||
        str_equal(options->address, "[::]") || strlen(options->address) > 48)
        return error_set(err, ERR_INVALID, 0,
                         "option --address '%s': one literal address of this machine, e.g. "
                         "127.0.0.1 or [::1]",
                         options->address);
    struct ingress_options ingress;
    if (options->ingress[0] != 0 && ingress_options_parse(options->ingress, &ingress, err) < 0)
        return error_prefix(err, "option --ingress");
    if (options->seed[0] != 0 && access(options->seed, R_OK) < 0)
        return error_set(err, ERR_NOT_FOUND, errno, "option --seed: file '%.200s'", options->seed);
    if (options->scheduler_key[0] != 0 && options->seed[0] == 0)
        return error_set(err, ERR_INVALID, 0,
                         "option --scheduler-key needs --seed: a proof is made of both keys");
    if (options->inbox[0] == 0)
        subject_inbox("n", options->name, options->inbox);
    return 0;
}

static char *trim(char *text)
{
    while (*text == ' ')
        text++;
    size_t bytes = strlen(text);
    while (bytes > 0 && (text[bytes - 1] == ' ' || text[bytes - 1] == '\n'))
        text[--bytes] = 0;
    return text;
}
