/*
 * bench_exact: the exact solver against glpsol, on the same problems, in the same run.
 *
 * Ours is the whole way: start berth-solve, send the problem, solve, check the answer, stop. The
 * baseline is the whole glpsol process on the same problem as berth-solve --export-mps writes it:
 * the strong (transport) linearisation, so that the difference is not the formulation but what
 * happens before and around GLPK. Both prove optimality; glpsol is capped, and a capped time counts
 * as it stands, which favours glpsol.
 *
 *     bench_exact [--cap SECONDS] [--data DIR] [--only NAME]
 *
 * Exit code 1 when an optimum differs or a proof is missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/solver.h"
#include "tests/property/problem_gen.h"

#define RUNS 5
/* A run that takes longer is not repeated. */
#define LONG_US (2 * US_PER_S)

struct instance {
    const char *name;
    struct gen_app_shape shape;
};

static const struct instance instances[] = {
    {"pack-10x5",
     {.seed = 101, .parts = 10, .sites = 5, .chord_percent = 20, .capacity_percent = 130}},
    {"shop-12x6",
     {.seed = 102, .parts = 12, .sites = 6, .chord_percent = 20, .capacity_percent = 200}},
    {"tight-14x6",
     {.seed = 103, .parts = 14, .sites = 6, .chord_percent = 20, .capacity_percent = 140}},
    {"tiers-16x6",
     {.seed = 104,
      .parts = 16,
      .sites = 6,
      .chord_percent = 20,
      .capacity_percent = 300,
      .tiers = true}},
    {"mesh-20x8",
     {.seed = 105, .parts = 20, .sites = 8, .chord_percent = 90, .capacity_percent = 0}},
    {"web-24x8",
     {.seed = 106, .parts = 24, .sites = 8, .chord_percent = 20, .capacity_percent = 300}},
    {"edge-30x10",
     {.seed = 107,
      .parts = 30,
      .sites = 10,
      .chord_percent = 30,
      .capacity_percent = 0,
      .tiers = true}},
    {"tree-36x10",
     {.seed = 108, .parts = 36, .sites = 10, .chord_percent = 0, .capacity_percent = 300}},
    {"linked-36x10",
     {.seed = 109,
      .parts = 36,
      .sites = 10,
      .chord_percent = 20,
      .capacity_percent = 300,
      .tiers = true}},
    {"fleet-48x8",
     {.seed = 110, .parts = 48, .sites = 8, .chord_percent = 10, .capacity_percent = 400}},
};

/* What a scheduler holds: many small apps, tiered egress; capacities that do not bind, and that do.
 */
static const struct instance fleets[] = {
    {"fleet-1000x20",
     {.seed = 201,
      .parts = 1000,
      .sites = 20,
      .chord_percent = 0,
      .capacity_percent = 1000,
      .tiers = true,
      .app_parts = 8}},
    {"linked-1000x20",
     {.seed = 202,
      .parts = 1000,
      .sites = 20,
      .chord_percent = 20,
      .capacity_percent = 1000,
      .tiers = true,
      .app_parts = 8}},
    {"tight-1000x20",
     {.seed = 203,
      .parts = 1000,
      .sites = 20,
      .chord_percent = 0,
      .capacity_percent = 200,
      .tiers = true,
      .app_parts = 8}},
};

struct outcome {
    int64_t median_us;
    double cost; /* dollars; NAN when there is none */
    bool proven;
};

static const char *folder; /* for the MPS and glpsol's files */
static int cap_s = 60;
static int failures;

static bool measure(const char *name, const struct problem *problem, double *ret_ratio);
static struct outcome ours(const struct problem *problem);
static struct outcome glpsol(const char *mps);
static void export_mps(const struct problem *problem, const char *mps);
static int run(char *const arguments[], int input);
static void read_report(const char *path, struct outcome *out);
static int64_t median(int64_t *values, int count);
static void fleet(const struct instance *instance);
static void real_instances(const char *data);
static bool read_ctap(const char *path, struct arena *arena, struct problem *out);
static bool next_number(FILE *file, int64_t *out);

int main(int argc, char **argv)
{
    const char *data = BERTH_SOURCE_DIR "/../shared/data";
    const char *only = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t number = 0;
        if (str_equal(argv[i], "--cap") && str_to_i64(argv[i + 1], &number) == 0) {
            cap_s = (int)number;
        } else if (str_equal(argv[i], "--data")) {
            data = argv[i + 1];
        } else if (str_equal(argv[i], "--only")) {
            only = argv[i + 1];
        }
    }
    char template[] = BERTH_BINARY_DIR "/bench_exact-XXXXXX";
    folder = mkdtemp(template);
    if (folder == NULL) {
        perror("bench_exact: folder for the MPS files");
        return 1;
    }
    char version[] = "glpsol";
    char flag[] = "--version";
    printf("baseline:\n");
    fflush(stdout);
    (void)run((char *[]){version, flag, NULL}, -1);
    printf("\n%-14s %7s %12s %12s %8s  %s\n", "instance", "same", "ours", "glpsol", "ratio",
           "optimum, dollars per month");
    double ratios[sizeof(instances) / sizeof(instances[0])];
    int count = 0;
    for (size_t i = 0; i < sizeof(instances) / sizeof(instances[0]); i++) {
        if (only != NULL && !str_equal(only, instances[i].name)) {
            continue;
        }
        struct arena arena;
        struct problem problem;
        arena_init(&arena, (size_t)1 << 30);
        gen_app(&instances[i].shape, &arena, &problem);
        if (measure(instances[i].name, &problem, &ratios[count])) {
            count++;
        }
        arena_done(&arena);
    }
    for (int i = 1; i < count; i++) {
        for (int k = i; k > 0 && ratios[k] < ratios[k - 1]; k--) {
            double swap = ratios[k];
            ratios[k] = ratios[k - 1];
            ratios[k - 1] = swap;
        }
    }
    if (count > 0) {
        double middle =
            count % 2 == 1 ? ratios[count / 2] : (ratios[count / 2 - 1] + ratios[count / 2]) / 2;
        printf("\nmedian ratio ours / glpsol: %.3f over %d instances (below 1: ours is faster)\n",
               middle, count);
    }
    printf("\n%-14s %12s %12s %12s\n", "whole fleets", "call", "encode", "decode");
    for (size_t i = 0; i < sizeof(fleets) / sizeof(fleets[0]); i++) {
        if (only == NULL || str_equal(only, fleets[i].name)) {
            fleet(&fleets[i]);
        }
    }
    if (only == NULL) {
        real_instances(data);
    }
    (void)rmdir(folder);
    return failures > 0;
}

static bool measure(const char *name, const struct problem *problem, double *ret_ratio)
{
    char mps[LIMIT_PATH_BYTES];
    str_format(mps, sizeof(mps), "%s/%s.mps", folder, name);
    export_mps(problem, mps);
    struct outcome mine = ours(problem);
    struct outcome theirs = glpsol(mps);
    (void)unlink(mps);
    bool same = mine.proven && theirs.proven &&
                fabs(mine.cost - theirs.cost) <= 1e-6 * (1 + fabs(mine.cost));
    const char *word = same ? "yes" : (mine.proven && !theirs.proven ? "capped" : "NO");
    failures += str_equal(word, "NO");
    /* A capped glpsol must at least not have found anything better. */
    if (str_equal(word, "capped") && theirs.cost < mine.cost - 1e-6 * (1 + fabs(mine.cost))) {
        failures++;
        word = "NO";
    }
    *ret_ratio = (double)mine.median_us / (double)theirs.median_us;
    printf("%-14s %7s %9.1f ms %9.1f ms %8.3f  %.6f\n", name, word, (double)mine.median_us / 1e3,
           (double)theirs.median_us / 1e3, *ret_ratio, mine.cost);
    fflush(stdout);
    return mine.proven;
}

static struct outcome ours(const struct problem *problem)
{
    struct outcome out = {.cost = NAN};
    int64_t times[RUNS];
    int runs = 0;
    while (runs < RUNS && (runs == 0 || times[0] < LONG_US)) {
        struct arena arena;
        struct solution solution = {0};
        struct error err = {0};
        struct solver *solver = NULL;
        struct solver_options options = {.wall_max_us = 600 * US_PER_S, .nodes_max = 2000000};
        arena_init(&arena, (size_t)1 << 30);
        int64_t start = clock_mono_now().us;
        int rc = solver_open(&options, &solver, &err);
        if (rc == 0) {
            rc = solver_call(solver, problem, &arena, &solution, &err);
        }
        solver_close(solver);
        times[runs++] = clock_mono_now().us - start;
        if (rc < 0 || solution.choice == NULL) {
            fprintf(stderr, "bench_exact: %s\n", rc < 0 ? err.text : solution.text);
        } else {
            out.cost = (double)solution.cost_nusd / 1e9;
            out.proven = solution.status == SOLVE_OPTIMAL;
        }
        arena_done(&arena);
    }
    out.median_us = median(times, runs);
    return out;
}

static struct outcome glpsol(const char *mps)
{
    struct outcome out = {.cost = NAN};
    char report[LIMIT_PATH_BYTES + 8];
    char cap[32];
    char path[LIMIT_PATH_BYTES];
    str_format(report, sizeof(report), "%s.out", mps);
    str_format(cap, sizeof(cap), "%d", cap_s);
    str_format(path, sizeof(path), "%s", mps);
    char program[] = "glpsol";
    char format[] = "--freemps";
    char limit[] = "--tmlim";
    char output[] = "-o";
    int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int64_t times[RUNS];
    int runs = 0;
    while (runs < RUNS && (runs == 0 || times[0] < LONG_US)) {
        char *arguments[] = {program, format, path, limit, cap, output, report, NULL};
        int64_t start = clock_mono_now().us;
        (void)run(arguments, quiet);
        times[runs++] = clock_mono_now().us - start;
    }
    close(quiet);
    read_report(report, &out);
    (void)unlink(report);
    out.median_us = median(times, runs);
    return out;
}

static void export_mps(const struct problem *problem, const char *mps)
{
    char request[LIMIT_PATH_BYTES + 8];
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s", mps);
    str_format(request, sizeof(request), "%s.request", mps);
    struct strbuf frame;
    strbuf_init(&frame, SOLVE_REQUEST_BYTES_MAX);
    strbuf_append(&frame, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);
    problem_encode(problem, &frame);
    for (size_t i = 0; i < 4; i++) {
        frame.text[i] = (char)(unsigned char)((frame.bytes - 4) >> (8 * i));
    }
    FILE *file = fopen(request, "we");
    if (file == NULL || fwrite(frame.text, 1, frame.bytes, file) != frame.bytes) {
        fprintf(stderr, "bench_exact: cannot write %s\n", request);
        exit(1);
    }
    fclose(file);
    strbuf_done(&frame);
    char program[] = BERTH_BINARY_DIR "/bin/berth-solve";
    char flag[] = "--export-mps";
    char shell[] = "sh";
    char dash_c[] = "-c";
    char script[] = "exec \"$0\" \"$1\" \"$2\" <\"$3\"";
    char *arguments[] = {shell, dash_c, script, program, flag, path, request, NULL};
    if (run(arguments, -1) != 0) {
        fprintf(stderr, "bench_exact: berth-solve --export-mps failed\n");
        exit(1);
    }
    (void)unlink(request);
}

/* Runs to the end; standard output goes to `output` unless that is -1. The exit code. */
static int run(char *const arguments[], int output)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (output >= 0) {
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    }
    pid_t pid;
    int failed = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    int status = 0;
    if (failed != 0) {
        fprintf(stderr, "bench_exact: %s: %s\n", arguments[0], strerror(failed));
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* "Status:     INTEGER OPTIMAL" and "Objective:  Obj = 12.5 (MINimum)". */
static void read_report(const char *path, struct outcome *out)
{
    FILE *file = fopen(path, "re");
    char line[512];
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (str_starts(line, "Status:")) {
            out->proven = strstr(line, "INTEGER OPTIMAL") != NULL;
        } else if (str_starts(line, "Objective:") && strchr(line, '=') != NULL) {
            out->cost = strtod(strchr(line, '=') + 1, NULL);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

static int64_t median(int64_t *values, int count)
{
    for (int i = 1; i < count; i++) {
        for (int k = i; k > 0 && values[k] < values[k - 1]; k--) {
            int64_t swap = values[k];
            values[k] = values[k - 1];
            values[k - 1] = swap;
        }
    }
    return values[count / 2];
}

/* One problem of a whole scheduler in a warm worker, with what its parts take. */
static void fleet(const struct instance *instance)
{
    int64_t encode[RUNS];
    int64_t decode[RUNS];
    int64_t whole[RUNS];
    struct arena arena;
    struct arena copy;
    struct problem problem;
    struct problem read;
    struct solution solution = {0};
    struct solver *solver = NULL;
    struct error err = {0};
    struct strbuf frame;
    arena_init(&arena, (size_t)2 << 30);
    arena_init(&copy, (size_t)2 << 30);
    strbuf_init(&frame, SOLVE_REQUEST_BYTES_MAX);
    gen_app(&instance->shape, &arena, &problem);
    int rc = solver_open(&(struct solver_options){.wall_max_us = 600 * US_PER_S}, &solver, &err);
    for (int i = -1; i < RUNS && rc == 0; i++) { /* the first one only warms */
        int slot = i < 0 ? 0 : i;
        strbuf_reset(&frame);
        arena_reset(&copy);
        int64_t start = clock_mono_now().us;
        problem_encode(&problem, &frame);
        int64_t encoded = clock_mono_now().us;
        rc = problem_decode(frame.text, frame.bytes, &copy, &read, &err);
        int64_t decoded = clock_mono_now().us;
        if (rc == 0) {
            rc = solver_call(solver, &problem, &arena, &solution, &err);
        }
        whole[slot] = clock_mono_now().us - decoded;
        encode[slot] = encoded - start;
        decode[slot] = decoded - encoded;
    }
    if (rc < 0 || solution.choice == NULL) {
        printf("%-14s NO: %s\n", instance->name, rc < 0 ? err.text : solution.text);
        failures++;
    } else {
        printf("%-14s %9.1f ms %9.1f ms %9.1f ms %9.2f MB %8s gap %.2g  nodes %lld\n",
               instance->name, (double)median(whole, RUNS) / 1e3,
               (double)median(encode, RUNS) / 1e3, (double)median(decode, RUNS) / 1e3,
               (double)frame.bytes / 1e6, solve_status_words[solution.status],
               (double)(solution.cost_nusd - solution.bound_nusd) / (double)solution.cost_nusd,
               (long long)solution.nodes);
    }
    fflush(stdout);
    solver_close(solver);
    strbuf_done(&frame);
    arena_done(&copy);
    arena_done(&arena);
}

/* Public (capacitated) task assignment problems with published optima, when they are at hand. */
static void real_instances(const char *data)
{
    static const struct {
        const char *name;
        double optimum;
    } real[] = {{"tass1003Aa", 731}, {"tass1003Ab", 713}, {"tassc1003Aa", 1616}};
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/ctap_tap/CTAP", data);
    if (access(path, R_OK) != 0) {
        printf("\nno public instances at %s (see --data): only generated ones were measured\n",
               data);
        return;
    }
    printf("\npublic CTAP instances (Elloumi), their unit taken as dollars\n");
    for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++) {
        struct arena arena;
        struct problem problem;
        double ratio;
        arena_init(&arena, (size_t)1 << 28);
        str_format(path, sizeof(path), "%s/ctap_tap/CTAP/%s.dat", data, real[i].name);
        if (!read_ctap(path, &arena, &problem)) {
            printf("%-14s cannot be read\n", real[i].name);
        } else if (measure(real[i].name, &problem, &ratio)) {
            struct outcome mine = ours(&problem);
            bool right = fabs(mine.cost - real[i].optimum) < 1e-6;
            printf("%-14s published optimum %.0f: %s\n", "", real[i].optimum,
                   right ? "equal" : "NO");
            failures += !right;
        }
        arena_done(&arena);
    }
}

/* N M; execution costs, M rows of N; c(i,j) above the diagonal, paid when i and j are apart; sizes;
 * capacities. */
static bool read_ctap(const char *path, struct arena *arena, struct problem *out)
{
    FILE *file CLEANUP(cleanup_file) = fopen(path, "re");
    int64_t parts = 0;
    int64_t sites = 0;
    if (file == NULL || !next_number(file, &parts) || !next_number(file, &sites) || parts < 1 ||
        parts > 100 || sites < 1 || sites > 20) {
        return false;
    }
    struct gen_app_shape shape = {
        .seed = 1, .parts = (int)parts, .sites = (int)sites, .capacity_percent = 100};
    gen_app(&shape, arena, out); /* for its arrays */
    out->meter_count = 0;
    int64_t value = 0;
    for (int64_t s = 0; s < sites; s++) {
        for (int64_t i = 0; i < parts; i++) {
            if (!next_number(file, &value)) {
                return false;
            }
            out->parts[i].cost[s] = value * 1000000000;
            out->parts[i].current = -1;
        }
    }
    int pairs_max = (int)(parts * (parts - 1) / 2);
    out->pair_count = 0;
    out->pairs = arena_array(arena, (size_t)pairs_max + 1, sizeof(*out->pairs));
    for (int a = 0; a < (int)parts; a++) {
        for (int b = a + 1; b < (int)parts; b++) {
            if (!next_number(file, &value)) {
                return false;
            }
            struct problem_pair *pair = &out->pairs[out->pair_count++];
            *pair = (struct problem_pair){.a = a, .b = b};
            pair->cost = arena_array(arena, (size_t)(sites * sites), sizeof(int64_t));
            for (int64_t at = 0; at < sites * sites; at++) {
                pair->cost[at] = at % (sites + 1) == 0 ? 0 : value * 1000000000;
            }
        }
    }
    for (int64_t i = 0; i < parts; i++) {
        if (!next_number(file, &value)) {
            return false;
        }
        for (int64_t s = 0; s < sites; s++) {
            out->parts[i].choices[s].demand[RESOURCE_CPU] = value;
        }
    }
    out->rule_count = 0;
    for (int s = 0; s < (int)sites; s++) {
        struct problem_rule *rule = &out->rules[out->rule_count++];
        *rule = (struct problem_rule){.kind = RULE_CAPACITY, .site = s, .text = "capacity"};
        if (!next_number(file, &rule->capacity)) {
            return false;
        }
    }
    return true;
}

static bool next_number(FILE *file, int64_t *out)
{
    long long value;
    if (fscanf(file, "%lld", &value) != 1) {
        return false;
    }
    *out = value;
    return true;
}
