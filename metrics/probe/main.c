/* berth-probe: reads metrics where they are and publishes what they tell of workloads. See loop.h
 * for how it is built, docs/berth-probe.8 for how it is used. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "metrics/probe/fetch.h"
#include "metrics/probe/loop.h"
#include "metrics/probe/report.h"

#define ARENA_BYTES  ((size_t)256 << 20)
#define REPORT_BYTES ((size_t)64 << 20)

static const char usage[] =
    "usage: berth-probe --config FILE [--check | --once] [--json]\n"
    "       berth-probe fetch URL --out FILE [options]   (berth-probe fetch --help)\n"
    "\n"
    "Scrapes Prometheus and OpenMetrics pages, takes OTLP, measures the way to other sites, and\n"
    "publishes what they tell of workloads to a Berth scheduler over NATS.\n"
    "\n"
    "  --config FILE  what to scrape, and who it is about (YAML or JSON; docs/probe.md)\n"
    "  --check        read the configuration, say what is wrong with it, and end\n"
    "  --once         ask every target once, publish, say what came, and end\n"
    "  --json         what is said is JSON: the report of --once, the log lines otherwise\n"
    "  --help, --version\n"
    "\n"
    "Ends with 0; with 1 when the configuration is wrong, it cannot start, or (--once) a target "
    "is\n"
    "down or a path silent.\n"
    "\n"
    "examples:\n"
    "  berth-probe --config probe.yaml --check\n"
    "  berth-probe --config probe.yaml --once\n"
    "  berth-probe --config /etc/berth/probe.yaml --json\n";

struct arguments {
    const char *config;
    bool check;
    bool once;
    bool json;
    bool help;
    bool version;
};

static int parse(int argc, char **argv, struct arguments *out, struct error *err);
static int run(const struct arguments *arguments, struct error *err);
static int run_probe(const struct arguments *arguments, const struct probe_config *config,
                     struct error *err);
static int say(const struct probe *probe, bool json, struct error *err);

int main(int argc, char **argv)
{
    struct arguments arguments = {.config = NULL};
    struct error err;
    log_set_program("berth-probe");
    if (argc > 1 && str_equal(argv[1], "fetch"))
        return fetch_main(argc - 1, argv + 1);
    int rc = parse(argc, argv, &arguments, &err);
    if (rc == 0 && (arguments.help || arguments.version)) {
        (void)fputs(arguments.help ? usage : "berth-probe " BERTH_VERSION "\n", stdout);
        return 0;
    }
    if (rc == 0)
        rc = run(&arguments, &err);
    if (rc < 0)
        (void)fprintf(stderr, "berth-probe: %s\n", err.text);
    return rc == 0 ? 0 : 1;
}

static int parse(int argc, char **argv, struct arguments *out, struct error *err)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"--check", &out->check}, {"--once", &out->once},       {"--json", &out->json},
        {"--help", &out->help},   {"--version", &out->version}, {"-h", &out->help},
    };
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]) && !known; k++) {
            known = str_equal(argv[i], flags[k].name);
            if (known)
                *flags[k].flag = true;
        }
        if (known)
            continue;
        if (str_starts(argv[i], "--config="))
            out->config = argv[i] + 9;
        else if (str_equal(argv[i], "--config") && i + 1 < argc)
            out->config = argv[++i];
        else if (str_equal(argv[i], "--config"))
            return error_set(err, ERR_INVALID, 0, "--config needs a file: --config FILE");
        else
            return error_set(err, ERR_INVALID, 0, "argument '%.64s' is not known: see --help",
                             argv[i]);
    }
    if (out->config == NULL && !out->help && !out->version)
        return error_set(err, ERR_INVALID, 0, "--config FILE is missing: see --help");
    if (out->check && out->once)
        return error_set(err, ERR_INVALID, 0, "--check and --once: give one of them");
    return 0;
}

static int run(const struct arguments *arguments, struct error *err)
{
    struct arena arena;
    struct strbuf problems;
    struct probe_config config;
    arena_init(&arena, ARENA_BYTES);
    strbuf_init(&problems, REPORT_BYTES);
    int rc = probe_config_file(arguments->config, &arena, &config, &problems, err);
    if (rc < 0 && problems.bytes > 0) {
        (void)fputs(strbuf_text(&problems), stderr);
        (void)error_set(err, rc, 0, "%s is not used", arguments->config);
    }
    strbuf_done(&problems);
    if (rc == 0 && arguments->check)
        printf("%s: %d targets, %d paths%s\n", arguments->config, config.target_count,
               config.path_count, config.otlp.host[0] == 0 ? "" : ", OTLP");
    else if (rc == 0 && !arguments->once && config.bus_url[0] == 0)
        rc = error_set(err, ERR_INVALID, 0,
                       "%s: bus is missing: nobody would hear of it (--once works without)",
                       arguments->config);
    else if (rc == 0)
        rc = run_probe(arguments, &config, err);
    arena_done(&arena);
    return rc;
}

/* The signals are blocked before any thread of a library starts, which would take them otherwise.
 */
static int run_probe(const struct arguments *arguments, const struct probe_config *config,
                     struct error *err)
{
    struct probe probe;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_json(arguments->json);
    int rc = probe_open(config, arguments->once, &probe, err);
    if (rc < 0)
        return rc;
    if (!arguments->once)
        log_event(LOG_INFO, "probe.start", "name=%s site=%s targets=%d paths=%d", config->name,
                  config->site, config->target_count, config->path_count);
    rc = probe_run(&probe, err);
    if (arguments->once) {
        struct error told;
        int said = say(&probe, arguments->json, &told);
        if (rc == 0 && said < 0) {
            *err = told;
            rc = said;
        }
        if (rc == 0 && !report_is_good(&probe))
            rc = 1;
    }
    probe_close(&probe);
    return rc;
}

static int say(const struct probe *probe, bool json, struct error *err)
{
    struct strbuf out;
    strbuf_init(&out, REPORT_BYTES);
    if (json)
        report_json(probe, &out);
    else
        report_text(probe, &out);
    int rc = strbuf_error(&out, err);
    if (rc == 0 && (fputs(strbuf_text(&out), stdout) < 0 || fflush(stdout) != 0))
        rc = error_set(err, ERR_IO, 0, "standard output cannot be written");
    strbuf_done(&out);
    return rc;
}
