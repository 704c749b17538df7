/*
 * How long `berth whatif` takes to answer: one change on a fleet of apps, the whole program from
 * its start to its last line, reading a state of a file.
 *
 * The fleet is seeded: apps of three workloads (a cached front, a service, a store) whose users are
 * at one of four places, at ten regions of three clouds, each with a limit on its
 * CPUs at 130 % of what the fleet would take if it were spread evenly. It is placed once, which is
 * not counted. The baseline of the run is `berth whatif` with no change, whose solve has nothing to
 * move: what is above it is the change's own work. Both are run some times; medians are printed,
 * with CPU seconds of the program and its solvers.
 *
 * Then many questions at once, each kind once: a Monte Carlo of two sizes and a sweep of two, whose
 * difference is what a draw and a step take, and a sensitivity, all of whose solves share what it
 * begins with. Their baseline is the changes above, each asked by itself.
 *
 * bench_ask [--apps N] [--runs N]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "model/app.h"
#include "model/world.h"
#include "simulator/whatif/whatif.h"

#define RUNS_MAX 99
#define SITES    10

static const char *const regions[SITES] = {
    "aws/us-east-1", "aws/us-west-2",    "aws/eu-west-1", "aws/eu-central-1", "gcp/us-central1",
    "gcp/us-east4",  "gcp/europe-west1", "azure/eastus",  "azure/westeurope", "azure/northeurope"};
static const char *const places[] = {"client/nyc", "client/sfo", "client/lon", "client/fra"};
static const char *const geos[] = {"[40.7, -74.0]", "[37.8, -122.4]", "[51.5, -0.1]",
                                   "[50.1, 8.7]"};

struct figure {
    double wall_s;
    double cpu_s;
};

static uint64_t seed = 20261122;

static int below(int limit)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int)((seed >> 33) % (uint64_t)limit);
}

static void die(const char *what, const struct error *err)
{
    fprintf(stderr, "bench_ask: %s: %s\n", what, err == NULL ? strerror(errno) : err->text);
    exit(1);
}

static void write_world(struct strbuf *out, int apps)
{
    strbuf_puts(out, "world: fleet\naccounts: [{name: a, provider: aws}, {name: g, provider: gcp}, "
                     "{name: z, provider: azure}]\nuse: [");
    for (int i = 0; i < SITES; i++)
        strbuf_printf(out, "%s%s", i == 0 ? "" : ", ", regions[i]);
    strbuf_puts(out, "]\nsites:\n");
    for (int i = 0; i < 4; i++)
        strbuf_printf(out, "  - {name: %s, tier: client, geo: %s}\n", places[i], geos[i]);
    /* 3 workloads of 0.5 to 2 CPUs: 3.75 an app */
    for (int i = 0; i < SITES; i++)
        strbuf_printf(out, "  - {name: %s, capacity: {cpu: %d}}\n", regions[i],
                      apps * 375 * 13 / SITES / 1000 + 8);
    strbuf_puts(out, "weights: {latency: 0.00001}\n");
}

static void write_app(struct strbuf *out, int index)
{
    strbuf_reset(out);
    strbuf_printf(out,
                  "app: app-%d\nusers: [{name: users, site: %s}]\nworkloads:\n"
                  "  - {name: front, run: {driver: process, artifact: 'file:/f'}, resources: {cpu: "
                  "%dm, memory: 1GiB}, tiers: [cloud], cache: {hit_ratio: %d%%}}\n",
                  index, places[below(4)], 500 * (1 + below(4)), 10 * below(10));
    strbuf_printf(out,
                  "  - {name: service, run: {driver: process, artifact: 'file:/s'}, resources: "
                  "{cpu: %dm, memory: 2GiB}, tiers: [cloud]}\n"
                  "  - {name: store, run: {driver: process, artifact: 'file:/d'}, resources: {cpu: "
                  "%dm, memory: 4GiB}, tiers: [cloud], state: %dGiB%s}\nlinks:\n",
                  500 * (1 + below(4)), 500 * (1 + below(4)), 1 + below(20),
                  below(5) == 0 ? ", require: {cloud: aws}" : "");
    strbuf_printf(out,
                  "  - {from: users, to: front, calls: %d/s, request: 1KB, response: %dKB}\n"
                  "  - {from: front, to: service, calls: %d/s, request: 1KB, response: %dKB, "
                  "on_miss: true}\n"
                  "  - {from: service, to: store, calls: %d/s, request: 1KB, response: %dKB}\n",
                  1 + below(50), 1 + below(60), 1 + below(50), 1 + below(60), 1 + below(100),
                  1 + below(30));
}

/* The fleet, placed, as a file. */
static void make_state(const char *path, int count)
{
    struct arena *arena = calloc(1, sizeof(*arena));
    struct error err;
    struct strbuf text;
    struct world world;
    struct cost_state state;
    struct whatif *whatif = NULL;
    struct whatif_options options = {.limits = {.gap = 0.0005}};
    arena_init(arena, (size_t)4 << 30);
    struct app **apps = arena_array(arena, (size_t)count, sizeof(*apps));
    strbuf_init(&text, COST_STATE_BYTES);
    write_world(&text, count);
    if (world_parse("world.yaml", strbuf_text(&text), text.bytes, arena, &world, &err) < 0)
        die("the world", &err);
    for (int i = 0; i < count; i++) {
        write_app(&text, i);
        apps[i] = arena_alloc(arena, sizeof(struct app));
        if (app_parse("app.yaml", strbuf_text(&text), text.bytes, arena, apps[i], &err) < 0)
            die("an app", &err);
    }
    int64_t began = clock_mono_now().us;
    if (cost_state_of(&world, apps, count, arena, &state, &err) < 0 ||
        whatif_open(&options, &whatif, &err) < 0 || whatif_place(whatif, &state, arena, &err) < 0)
        die("the first placement", &err);
    struct whatif_answer answer;
    if (whatif_one(whatif, &state.input, state.at, arena, &answer, &err) < 0)
        die("the same again", &err);
    printf("within %.3f %% of the best possible, ", (double)whatif_gap_ppm(&answer) / 1e4);
    printf("placed once in %.2f s\n", (double)(clock_mono_now().us - began) / 1e6);
    strbuf_reset(&text);
    cost_state_write(&state.input, state.at, &text);
    FILE *file = fopen(path, "we");
    if (file == NULL || fwrite(text.text, 1, text.bytes, file) != text.bytes || fclose(file) != 0)
        die(path, NULL);
    printf("the state is %.1f MB\n", (double)text.bytes / 1e6);
    whatif_close(whatif);
    strbuf_done(&text);
    arena_done(arena);
    free(arena);
}

static double cpu_of(const struct rusage *usage)
{
    return (double)usage->ru_utime.tv_sec + (double)usage->ru_stime.tv_sec +
           (double)usage->ru_utime.tv_usec / 1e6 + (double)usage->ru_stime.tv_usec / 1e6;
}

/* The whole program once; its answer goes to `out`. */
static struct figure run_into(int out, const char *program, const char *state, const char *option,
                              const char *value)
{
    struct rusage before;
    struct rusage after;
    int status = 0;
    int64_t began = clock_mono_now().us;
    (void)getrusage(RUSAGE_CHILDREN, &before);
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(out, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
        execl(program, "berth", "whatif", "--state", state, option, value, NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 2))
        die("berth whatif failed", NULL);
    (void)getrusage(RUSAGE_CHILDREN, &after);
    return (struct figure){.wall_s = (double)(clock_mono_now().us - began) / 1e6,
                           .cpu_s = cpu_of(&after) - cpu_of(&before)};
}

static struct figure run_once(const char *program, const char *state, const char *option,
                              const char *value)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct figure figure = run_into(null, program, state, option, value);
    (void)close(null);
    return figure;
}

/* Less and more of each input, and the base. */
static int count_bars(FILE *answer)
{
    char line[65536];
    int count = 1;
    rewind(answer);
    while (fgets(line, sizeof(line), answer) != NULL)
        for (const char *at = line; (at = strstr(at, "\"width\"")) != NULL; at++)
            count += 2;
    return count;
}

static void tell_many(const char *what, const char *each, int count, double cpu_s, double alone_s)
{
    printf("%-28s %8.1f ms CPU a %s, of %d; asked by itself %.0f ms: 1 / %.1f\n", what,
           cpu_s / count * 1e3, each, count, alone_s * 1e3, alone_s / (cpu_s / count));
    fflush(stdout);
}

/* What one of many takes, beside one that is asked alone. */
static void measure_many(const char *program, const char *state, double none_s, double alone_s)
{
    double few = run_once(program, state, "--monte-carlo", "4").cpu_s;
    double many = run_once(program, state, "--monte-carlo", "44").cpu_s;
    tell_many("--monte-carlo", "draw", 40, many - few, alone_s);
    few = run_once(program, state, "--sweep", "price.egress.aws*=x0.8:x1.1:x0.1").cpu_s;
    many = run_once(program, state, "--sweep", "price.egress.aws*=x0.8:x1.9:x0.1").cpu_s;
    tell_many("--sweep", "step", 8, many - few, alone_s);
    FILE *answer = tmpfile();
    if (answer == NULL)
        die("a temporary file", NULL);
    double all = run_into(fileno(answer), program, state, "--sensitivity", "--json").cpu_s;
    tell_many("--sensitivity", "solve", count_bars(answer), all - none_s, alone_s);
    (void)fclose(answer);
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct figure measure(const char *program, const char *state, const char *change, int runs)
{
    double walls[RUNS_MAX];
    double cpus[RUNS_MAX];
    for (int i = 0; i < runs; i++) {
        struct figure figure = run_once(program, state, change == NULL ? NULL : "--set", change);
        walls[i] = figure.wall_s;
        cpus[i] = figure.cpu_s;
    }
    qsort(walls, (size_t)runs, sizeof(double), by_number);
    qsort(cpus, (size_t)runs, sizeof(double), by_number);
    struct figure median = {walls[runs / 2], cpus[runs / 2]};
    printf("%-28s %8.3f s wall %8.3f s CPU (slowest %.3f s)\n",
           change == NULL ? "no change" : change, median.wall_s, median.cpu_s, walls[runs - 1]);
    fflush(stdout);
    return median;
}

int main(int argc, char **argv)
{
    static const char *const changes[] = {"price.egress.aws*=x2", "cache.hit=0.6",
                                          "price.compute.gcp/*=+10%", "calls.app-7=x3"};
    int64_t apps = 1000;
    int64_t runs = 5;
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t *wanted = strcmp(argv[i], "--apps") == 0   ? &apps
                          : strcmp(argv[i], "--runs") == 0 ? &runs
                                                           : NULL;
        if (wanted == NULL || str_to_i64(argv[i + 1], wanted) < 0 || *wanted < 1) {
            fprintf(stderr, "usage: bench_ask [--apps N] [--runs N]\n");
            return 1;
        }
    }
    if (apps > LIMIT_APPS || runs > RUNS_MAX)
        die("--apps or --runs is too large", NULL);
    char program[4096];
    char state[64];
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof(program) - 16);
    if (bytes <= 0)
        die("/proc/self/exe", NULL);
    program[bytes] = 0;
    char *slash = strrchr(program, '/');
    memcpy(slash + 1, "berth", sizeof("berth"));
    str_format(state, sizeof(state), "bench_ask.%d.state", (int)getpid());
    make_state(state, (int)apps);
    struct figure none = measure(program, state, NULL, (int)runs);
    double most = 0;
    double sum = 0;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct figure figure = measure(program, state, changes[i], (int)runs);
        most = figure.wall_s > most ? figure.wall_s : most;
        sum += figure.cpu_s;
    }
    double alone_s = sum / (double)(sizeof(changes) / sizeof(changes[0]));
    measure_many(program, state, none.cpu_s, alone_s);
    (void)unlink(state);
    printf("{\"bench\":\"ask\",\"apps\":%lld,\"regions\":%d,\"none_s\":%.3f,\"worst_s\":%.3f,"
           "\"cpu_s\":%.3f,\"must_s\":1,\"moonshot_s\":0.1}\n",
           (long long)apps, SITES, none.wall_s, most, alone_s);
    return 0;
}
