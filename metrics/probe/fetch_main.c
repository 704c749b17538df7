/* `berth-probe fetch`: its words, and what it says. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "base/str.h"
#include "base/units.h"
#include "metrics/probe/fetch.h"

static const char usage[] =
    "usage: berth-probe fetch URL --out FILE [options]\n"
    "\n"
    "Brings one file, whole or not at all: what was cut is taken up where it ended, 429 and 503 "
    "are\n"
    "tried again after what Retry-After says. berth prices import uses it for price lists.\n"
    "\n"
    "  --out FILE          where it goes; FILE.part until it is whole\n"
    "  --etag TAG          what is there has that ETag: bring it only if it has another\n"
    "  --header-file FILE  a line \"Name: value\" that goes with the request and is told to "
    "nobody\n"
    "  --ca-file FILE      certificates to trust instead of the system's\n"
    "  --max-bytes SIZE    at most so many, as sent (16GiB)\n"
    "  --timeout TIME      for all of it (1h)\n"
    "  --stall TIME        without a byte (30s)\n"
    "  --wait-max TIME     before one more try, whatever Retry-After says (60s)\n"
    "  --tries N           in a row that bring nothing (6)\n"
    "  --lines             say it for programs: \"progress BYTES TOTAL\", then \"got BYTES TRIES "
    "RESUMED\n"
    "                      ETAG\", \"same\" or \"failed CODE TEXT\"\n"
    "\n"
    "Ends with 0 when FILE is there or --etag still holds, else with 1.\n"
    "\n"
    "examples:\n"
    "  berth-probe fetch https://example.org/offers/v1.0/aws/index.json --out index.json\n";

static int parse(int argc, char **argv, struct fetch_options *options, bool *lines,
                 struct error *err);
static int parse_value(const char *name, const char *value, struct fetch_options *options,
                       bool *ret_known, struct error *err);
static void on_progress(void *context, int64_t bytes, int64_t total);

int fetch_main(int argc, char **argv)
{
    struct fetch_options options;
    struct fetch_result result;
    struct error err = {.code = 0};
    char size[UNITS_TEXT_BYTES];
    bool lines = false;
    fetch_defaults(&options);
    if (argc == 2 && (str_equal(argv[1], "--help") || str_equal(argv[1], "-h")))
        return fputs(usage, stdout) < 0 ? 1 : 0;
    (void)signal(SIGPIPE, SIG_IGN);
    int rc = parse(argc, argv, &options, &lines, &err);
    if (rc == 0 && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        rc = error_set(&err, ERR_UNSUPPORTED, 0, "libcurl does not start");
    if (lines)
        options.progress = on_progress;
    if (rc == 0)
        rc = fetch(&options, &result, &err);
    for (char *at = err.text; *at != 0; at++)
        *at = (unsigned char)*at < ' ' ? ' ' : *at;
    if (rc < 0 && lines)
        printf("failed %s %s\n", error_name(rc), err.text);
    else if (rc < 0)
        (void)fprintf(stderr, "berth-probe: %s\n", err.text);
    else if (lines && !result.modified)
        printf("same\n");
    else if (lines)
        printf("got %" PRId64 " %d %d %s\n", result.bytes, result.tries, result.resumed,
               result.etag);
    else if (!result.modified)
        printf("%s is unchanged\n", options.url);
    else
        printf("%s: %s in %d tries\n", options.out, units_format_bytes(result.bytes, size),
               result.tries);
    curl_global_cleanup();
    return fflush(stdout) != 0 || rc < 0 ? 1 : 0;
}

static int parse(int argc, char **argv, struct fetch_options *options, bool *lines,
                 struct error *err)
{
    for (int i = 1; i < argc; i++) {
        bool known = false;
        if (str_equal(argv[i], "--lines")) {
            *lines = true;
            continue;
        }
        if (argv[i][0] != '-') {
            if (options->url != NULL)
                return error_set(err, ERR_INVALID, 0, "one URL at a time: '%.80s' is a second one",
                                 argv[i]);
            options->url = argv[i];
            continue;
        }
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        int rc = parse_value(argv[i], value, options, &known, err);
        if (rc < 0)
            return rc;
        if (!known)
            return error_set(err, ERR_INVALID, 0,
                             "argument '%.64s' is not known, or needs a value: see berth-probe "
                             "fetch --help",
                             argv[i]);
        i++;
    }
    if (options->url == NULL || options->out == NULL)
        return error_set(err, ERR_INVALID, 0,
                         "URL and --out FILE are needed: see berth-probe fetch --help");
    return 0;
}

static int parse_value(const char *name, const char *value, struct fetch_options *options,
                       bool *ret_known, struct error *err)
{
    const struct {
        const char *name;
        const char **text;
    } texts[] = {
        {"--out", &options->out},
        {"--etag", &options->etag},
        {"--header-file", &options->header_file},
        {"--ca-file", &options->ca_file},
    };
    const struct {
        const char *name;
        int64_t *us;
    } times[] = {
        {"--timeout", &options->timeout_us},
        {"--stall", &options->stall_us},
        {"--wait-max", &options->wait_max_us},
    };
    if (value == NULL)
        return 0;
    *ret_known = true;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (str_equal(texts[i].name, name)) {
            *texts[i].text = value;
            return 0;
        }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        if (str_equal(times[i].name, name))
            return units_duration(value, times[i].us, err);
    if (str_equal(name, "--max-bytes"))
        return units_bytes(value, &options->bytes_max, err);
    int64_t tries = 0;
    *ret_known = str_equal(name, "--tries");
    if (*ret_known && (str_to_i64(value, &tries) < 0 || tries < 1 || tries > 100))
        return error_set(err, ERR_INVALID, 0, "--tries '%.40s': a number from 1 to 100", value);
    if (*ret_known)
        options->tries = (int)tries;
    return 0;
}

static void on_progress(void *context, int64_t bytes, int64_t total)
{
    (void)context;
    printf("progress %" PRId64 " %" PRId64 "\n", bytes, total);
    (void)fflush(stdout);
}
