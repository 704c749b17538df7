/*
 * bench_simulate: a year of the production scheduler in a virtual world, hour by hour.
 *
 *     bench_simulate [--apps N] [--hours N] [--bound] [--ledger] [--tiers] [--plain]
 *                    [--policy NAME]
 *
 * --apps (1,000) apps of two workloads each, at 10 sites of two edge providers and three clouds
 * with one egress price each (--tiers: two, that all apps of an account fill up together, which
 * couples them all in every solve), called by users of four regions on four clocks: a daily wave
 * that differs from app to app, quiet week-ends, 5 % of noise. Every hour all rates are measured,
 * the core decides, the solver places 2,000 workloads anew, and what pays is handed over. --hours
 * of it (24) are run and told, with what a year of 8,760 hours takes at that pace; the first
 * placement is told apart.
 * Inputs are quiet for 5 minutes before a solve, and what has moved dwells for 50: a decision an
 * hour, by which all of it may move again.
 * --bound asks the solver for the lower bound of every hour as well; --ledger writes the ledger's
 * rows; --plain runs a day more in which nothing is spared (plant.h), as the baseline.
 * Exit code 1 when a run fails or a request is lost.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "simulator/world/run.h"
#include "simulator/world/scenario.h"

#define YEAR_HOURS  8760
#define PLAIN_HOURS 24

struct given {
    int64_t apps;
    int64_t hours;
    bool bound;
    bool ledger;
    bool tiers;
    bool plain;
    const char *policy;
};

/* What a run took. Of the solver's process it is known when it has ended: for all of the run. */
struct measured {
    struct run_result result;
    double first_s;   /* the first placement, 2,000 starts and all */
    double hours_s;   /* all later hours */
    double own_cpu_s; /* of this process, for those hours */
    double solver_cpu_s;
    double mb;
};

static char folder[] = "bench-simulate-XXXXXX";
static int64_t first_us;     /* when the first step was over */
static int64_t first_cpu_us; /* of this process until then */

static bool read_options(int argc, char **argv, struct given *given);
static void write_world(const struct given *given);
static void write_app(int64_t app);
static void write_scenario(const struct given *given);
static FILE *begin_file(const char *name);
static void end_file(FILE *file);
static void clean(const struct given *given);
static int64_t cpu_us(int whose);
static int simulate(bool plain, struct measured *ret_measured);
static void print(const struct given *given, const struct measured *measured);
static void on_progress(void *context, int64_t done, int64_t steps);
static int run(const struct given *given);

int main(int argc, char **argv)
{
    struct given given = {.apps = 1000, .hours = 24, .policy = "solver"};
    if (!read_options(argc, argv, &given))
        return 1;
    if (mkdtemp(folder) == NULL) {
        perror("bench_simulate: a folder");
        return 1;
    }
    write_world(&given);
    for (int64_t i = 0; i < given.apps; i++)
        write_app(i);
    write_scenario(&given);
    int status = run(&given);
    clean(&given);
    return status;
}

static bool read_options(int argc, char **argv, struct given *given)
{
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (str_equal(argv[i], "--bound"))
            given->bound = true;
        else if (str_equal(argv[i], "--ledger"))
            given->ledger = true;
        else if (str_equal(argv[i], "--tiers"))
            given->tiers = true;
        else if (str_equal(argv[i], "--plain"))
            given->plain = true;
        else if (str_equal(argv[i], "--policy") && more)
            given->policy = argv[++i];
        else if (str_equal(argv[i], "--apps") && more && str_to_i64(argv[i + 1], &given->apps) == 0)
            i++;
        else if (str_equal(argv[i], "--hours") && more &&
                 str_to_i64(argv[i + 1], &given->hours) == 0)
            i++;
        else {
            (void)fprintf(stderr, "bench_simulate: %s: see the head of this benchmark's source\n",
                          argv[i]);
            return false;
        }
    }
    if (given->apps < 1 || given->apps > LIMIT_APPS || given->hours < 2) {
        (void)fprintf(stderr, "bench_simulate: from 1 to %d apps, and 2 hours or more\n",
                      LIMIT_APPS);
        return false;
    }
    return true;
}

static int run(const struct given *given)
{
    struct measured measured;
    struct measured plain;
    struct given day = *given;
    int rc = simulate(false, &measured);
    if (rc == 0)
        print(given, &measured);
    if (rc < 0 || !given->plain)
        return rc < 0 || measured.result.lost > 0 ? 1 : 0;
    day.hours = given->hours < PLAIN_HOURS ? given->hours : PLAIN_HOURS;
    write_scenario(&day);
    rc = simulate(true, &plain);
    if (rc < 0)
        return 1;
    double hour = (measured.own_cpu_s + measured.solver_cpu_s) / (double)(given->hours - 1);
    double plain_hour = (plain.own_cpu_s + plain.solver_cpu_s) / (double)(day.hours - 1);
    (void)printf("  plain, %" PRId64
                 " hours: everything told and solved anew, %.1f CPU ms an hour: "
                 "%.2f times as many\n",
                 day.hours, plain_hour * 1e3, plain_hour / hour);
    return measured.result.lost > 0 ? 1 : 0;
}

static int simulate(bool plain, struct measured *ret_measured)
{
    char path[LIMIT_PATH_BYTES];
    struct arena arena;
    struct scenario scenario;
    struct solver *solver = NULL;
    struct run_result result;
    struct error err = {0};
    struct scenario_cell cell = {.trace = -1, .seed = 1, .plain = plain};
    struct run_sink sink = {.progress = on_progress};
    arena_init(&arena, (size_t)256 << 20);
    str_format(path, sizeof(path), "%s/scenario.yaml", folder);
    int64_t begun_us = clock_mono_now().us;
    int64_t solver_us = cpu_us(RUSAGE_CHILDREN);
    int rc = scenario_read(path, &arena, &scenario, &err);
    if (rc == 0)
        rc = solver_open(&(struct solver_options){.program = BERTH_BINARY_DIR "/bin/berth-solve"},
                         &solver, &err);
    if (rc == 0)
        rc = run_simulate(&scenario, &cell, solver, &sink, &result, &err);
    int64_t end_us = clock_mono_now().us;
    int64_t own_us = cpu_us(RUSAGE_SELF);
    solver_close(solver);
    arena_done(&arena);
    if (rc < 0) {
        (void)fprintf(stderr, "bench_simulate: %s\n", err.text);
        return rc;
    }
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    *ret_measured =
        (struct measured){.result = result,
                          .first_s = (double)(first_us - begun_us) / 1e6,
                          .hours_s = (double)(end_us - first_us) / 1e6,
                          .own_cpu_s = (double)(own_us - first_cpu_us) / 1e6,
                          .solver_cpu_s = (double)(cpu_us(RUSAGE_CHILDREN) - solver_us) / 1e6,
                          .mb = (double)usage.ru_maxrss / 1024};
    return 0;
}

static void print(const struct given *given, const struct measured *measured)
{
    const struct run_result *result = &measured->result;
    double hours = (double)(given->hours - 1);
    double cpu = measured->own_cpu_s + measured->solver_cpu_s;
    double wall = measured->hours_s / hours;
    (void)printf("%" PRId64 " apps, %" PRId64 " workloads, %" PRId64 " hours, policy %s%s%s\n",
                 given->apps, 2 * given->apps, given->hours, given->policy,
                 given->bound ? ", with the bound" : "", given->ledger ? ", with the ledger" : "");
    (void)printf("  the first placement        %10.1f s\n", measured->first_s);
    (void)printf("  an hour                    %10.1f ms of wall time, %.1f CPU ms (the solver's "
                 "%.1f)\n",
                 wall * 1e3, cpu * 1e3 / hours, measured->solver_cpu_s * 1e3 / hours);
    (void)printf("  the later hours            %10.1f s, %.1f CPU s; %.0f MB at most\n",
                 measured->hours_s, cpu, measured->mb);
    (void)printf("  decisions                  %10.1f a second (solves %" PRId64 ", %" PRId64
                 " more not needed)\n",
                 hours / measured->hours_s, result->counts.solves - result->counts.reused,
                 result->counts.reused);
    (void)printf("  a year at that pace        %10.1f min of wall time (at most 10, moonshot 1)\n",
                 (wall * YEAR_HOURS + measured->first_s) / 60);
    (void)printf("  moves %" PRId64 ", events %" PRId64 ", lost %" PRId64
                 "; bill %.2f, score %.2f, bound %.2f\n",
                 result->moves, result->counts.events, result->lost, (double)result->bill / 1e9,
                 (double)result->score / 1e9, (double)result->bound / 1e9);
    (void)printf("{\"bench\":\"simulate\",\"apps\":%" PRId64 ",\"hours\":%" PRId64
                 ",\"hour_wall_ms\":%.3f,\"hour_cpu_ms\":%.3f,\"year_wall_min\":%.2f,\"mb\":%.0f,"
                 "\"moves\":%" PRId64 ",\"solves\":%" PRId64 "}\n",
                 given->apps, given->hours, wall * 1e3, cpu * 1e3 / hours,
                 (wall * YEAR_HOURS + measured->first_s) / 60, measured->mb, result->moves,
                 result->counts.solves);
}

static void on_progress(void *context, int64_t done, int64_t steps)
{
    (void)context;
    (void)steps;
    if (done == 1) {
        first_us = clock_mono_now().us;
        first_cpu_us = cpu_us(RUSAGE_SELF);
    }
}

static int64_t cpu_us(int whose)
{
    struct rusage usage;
    (void)getrusage(whose, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * US_PER_S + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

/* ---- documents ---- */

static void write_world(const struct given *given)
{
    FILE *file = begin_file("world.yaml");
    (void)fprintf(file, "world: year\naccounts:\n");
    for (int i = 0; i < 5; i++)
        (void)fprintf(file, "  - {name: acc%d, provider: p%d}\n", i, i);
    (void)fprintf(file, "sites:\n");
    for (int i = 0; i < 4; i++)
        (void)fprintf(file, "  - {name: client/c%d, tier: client, geo: [40.5, %d.0]}\n", i,
                      -120 + 60 * i);
    for (int i = 0; i < 10; i++)
        (void)fprintf(file,
                      "  - {name: p%d/r%d, tier: %s, account: acc%d, geo: [%d.0, %d.0], "
                      "price: {cpu: 0.0%d, memory: 0.00%d}}\n",
                      i % 5, i, i % 5 < 2 ? "edge" : "cloud", i % 5, 30 + i, -140 + 28 * i,
                      i % 5 < 2 ? 58 + i : 28 + i, 29 + i);
    (void)fprintf(file, "egress:\n");
    for (int i = 0; i < 5; i++)
        (void)fprintf(file,
                      "  - {name: out%d, from: p%d/*, to: \"*\", payer: sender, per: GiB, "
                      "tiers: [%s{price: 0.0%d}]}\n",
                      i, i,
                      !given->tiers ? ""
                      : i < 2       ? "{up_to: 10240GiB, price: 0.012}, "
                                    : "{up_to: 10240GiB, price: 0.12}, ",
                      i < 2 ? 10 : 85 + i);
    (void)fprintf(file, "latency: {mode: declared}\nweights: {latency: 0.000005}\n"
                        "policy: {moves: 64, settle: 5min, dwell: 50min, horizon: 24h, "
                        "metric_age_max: 10min}\n");
    end_file(file);
}

static void write_app(int64_t app)
{
    char name[64];
    str_format(name, sizeof(name), "a%" PRId64 ".yaml", app);
    FILE *file = begin_file(name);
    int64_t calls = 20 + app * 37 % 400;
    static const char run_of[] = "run: {driver: process, artifact: 'file:/bin/true'}, "
                                 "contract: true, ready: {kind: contract}";
    (void)fprintf(file,
                  "app: a%" PRId64 "\nworkloads:\n"
                  "  - {name: front, %s, resources: {cpu: %" PRId64 "m, memory: 256MiB}, "
                  "tiers: [edge, cloud], calls: %" PRId64 "/s}\n"
                  "  - {name: model, %s, resources: {cpu: %" PRId64 ", memory: 4GiB}, "
                  "tiers: [edge, cloud], calls: %" PRId64 "/s, state: 64MiB}\n",
                  app, run_of, 250 + app % 4 * 250, calls, run_of, 1 + app % 4, calls);
    (void)fprintf(file,
                  "users:\n  - {name: people, site: client/c%" PRId64 "}\nlinks:\n"
                  "  - {from: people, to: front, calls: %" PRId64 "/s, request: 300B, "
                  "response: %" PRId64 "KB}\n"
                  "  - {from: front, to: model, calls: %" PRId64 "/s, request: 600B, "
                  "response: 300B}\n",
                  app % 4, calls, 1 + app % 12, calls);
    end_file(file);
}

static void write_scenario(const struct given *given)
{
    FILE *file = begin_file("scenario.yaml");
    (void)fprintf(
        file,
        "scenario: year\nworld: world.yaml\nfrom: 2026-01-05\nfor: %" PRId64
        "h\nstep: 1h\nevery: 720h\nwarmup: 6h\nnoise: 2%%\nbound: %s\nledger: %s\npolicy: %s\n"
        "apps:\n",
        given->hours, given->bound ? "true" : "false", given->ledger ? "true" : "false",
        given->policy);
    for (int64_t i = 0; i < given->apps; i++)
        (void)fprintf(file, "  - a%" PRId64 ".yaml\n", i);
    (void)fprintf(file, "load:\n");
    for (int64_t i = 0; i < given->apps; i++)
        (void)fprintf(file,
                      "  - {of: a%" PRId64 ", shape: diurnal, utc_offset: %" PRId64
                      ", noise: 5%%, week: [1, 1, 1, 1, 1, 0.6, 0.6]}\n",
                      i, -8 + 4 * (i % 4));
    end_file(file);
}

static FILE *begin_file(const char *name)
{
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    return file;
}

static void end_file(FILE *file)
{
    if (fclose(file) != 0) {
        perror("bench_simulate");
        exit(1);
    }
}

static void clean(const struct given *given)
{
    char path[LIMIT_PATH_BYTES];
    for (int64_t i = -2; i < given->apps; i++) {
        if (i < 0)
            str_format(path, sizeof(path), "%s/%s.yaml", folder, i == -2 ? "world" : "scenario");
        else
            str_format(path, sizeof(path), "%s/a%" PRId64 ".yaml", folder, i);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}
