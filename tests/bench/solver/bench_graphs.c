/*
 * bench_graphs: apps that are call graphs of real microservices, at the regions of three clouds.
 *
 *     bench_graphs [--data DIR] [--parts N] [--seed N] [--threads N] [--gap G] [--moves N]
 *
 * DIR holds the folders microservices and egress; graphs.h says how 10,000 workloads are made of
 * them. Prints the graphs, then a row of the engine's answer and its bound, and one of a greedy of
 * the Kubernetes kind in the same run. The must is a gap of 1e-3 in 15 s, the moonshot 1e-4. Exit
 * code 1 when the answer breaks a rule or its cost is not what the grid says.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/solve/engine.h"
#include "model/solve/mip.h"
#include "tests/bench/solver/graphs.h"
#include "tests/bench/solver/greedy.h"

#define TEXT_BYTES ((size_t)16 << 20)
#define GAP_MUST   1e-3
#define GAP_MOON   1e-4

typedef int reader(const char *text, size_t bytes, const char *app, struct calls *calls,
                   struct error *err);

static const struct {
    const char *file;
    const char *app;
    reader *read;
} files[] = {
    {"online_boutique_edges.csv", "online-boutique", calls_read_edges},
    {"online_boutique_services.csv", "online-boutique", calls_read_requests},
    {"wdcloudedge_hipster_service_means.csv", "online-boutique", calls_read_means},
    {"wdcloudedge_hipster_svc_qps.csv.gz", "online-boutique", calls_read_rates},
    {"wdcloudedge_bookinfo_call.csv.gz", "bookinfo", calls_read_samples},
    {"wdcloudedge_bookinfo_svc_qps.csv.gz", "bookinfo", calls_read_rates},
    {"dsb_edges_raw.csv", "", calls_read_edges},
};

static const char *data = BERTH_SOURCE_DIR "/../shared/data";
static struct graphs_shape shape = {.seed = 1, .parts = 10000, .capacity_percent = 115};
static struct engine_options options = {.threads = 2, .seed = 1, .gap = GAP_MOON};
static char *text;

static int load(struct arena *arena, struct calls *calls, struct calls_regions *regions,
                struct error *err);
static size_t read_text(const char *path);
static bool run(const struct grid *grid, struct arena *arena);
static void greedy_row(const struct grid *grid, struct arena *arena, double bound);
static double cpu_now(void);

int main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t number = 0;
        bool whole = str_to_i64(argv[i + 1], &number) == 0;
        if (str_equal(argv[i], "--data")) {
            data = argv[i + 1];
        } else if (str_equal(argv[i], "--parts") && whole) {
            shape.parts = (int)number;
        } else if (str_equal(argv[i], "--seed") && whole) {
            shape.seed = (uint64_t)number;
        } else if (str_equal(argv[i], "--threads") && whole) {
            options.threads = (int)number;
        } else if (str_equal(argv[i], "--gap")) {
            options.gap = strtod(argv[i + 1], NULL);
        } else if (str_equal(argv[i], "--moves")) {
            options.moves_max = strtod(argv[i + 1], NULL);
        } else {
            fprintf(stderr, "bench_graphs: %s %s: see the head of the file\n", argv[i],
                    argv[i + 1]);
            return 2;
        }
    }
    if (access(data, R_OK) != 0) {
        printf("no public data at %s (see --data): nothing was measured\n", data);
        return 0;
    }
    mip_quiet();
    struct arena arena;
    struct calls *calls = calloc(1, sizeof(*calls));
    struct calls_regions regions;
    struct grid grid;
    struct error err = {0};
    arena_init(&arena, (size_t)4 << 30);
    text = malloc(TEXT_BYTES);
    if (text == NULL || calls == NULL) {
        return 1;
    }
    int rc = load(&arena, calls, &regions, &err);
    rc = rc < 0 ? rc : graphs_build(&shape, calls, &regions, &arena, &grid, &err);
    rc = rc < 0 ? rc : grid_check(&grid, &err);
    bool good = rc == 0;
    if (good) {
        printf("%d call graphs, %d services, %d edges: %d workloads, %d links, %d regions\n",
               calls->apps, calls->services, calls->edges, grid.parts, grid.links, grid.sites);
        good = run(&grid, &arena);
    } else {
        fprintf(stderr, "bench_graphs: %s\n", err.text);
    }
    arena_done(&arena);
    free(calls);
    free(text);
    return good ? 0 : 1;
}

static int load(struct arena *arena, struct calls *calls, struct calls_regions *regions,
                struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    struct error why = {0};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        str_format(path, sizeof(path), "%s/microservices/%s", data, files[i].file);
        size_t bytes = read_text(path);
        int rc = files[i].read(text, bytes, files[i].app, calls, &why);
        if (rc < 0) {
            return error_set(err, rc, 0, "%s: %s", path, why.text);
        }
    }
    str_format(path, sizeof(path), "%s/egress/skyplane_cost_grid.csv", data);
    size_t bytes = read_text(path);
    int rc = calls_read_regions(text, bytes, arena, regions, &why);
    return rc < 0 ? error_set(err, rc, 0, "%s: %s", path, why.text) : 0;
}

static size_t read_text(const char *path)
{
    char command[LIMIT_PATH_BYTES + 32];
    size_t bytes = strlen(path);
    bool packed = bytes > 3 && str_equal(path + bytes - 3, ".gz");
    str_format(command, sizeof(command), "%s '%s'", packed ? "gzip -dc" : "cat", path);
    FILE *pipe = popen(command, "re");
    size_t got = pipe == NULL ? 0 : fread(text, 1, TEXT_BYTES, pipe);
    if (pipe != NULL) {
        (void)pclose(pipe);
    }
    return got;
}

static bool run(const struct grid *grid, struct arena *arena)
{
    struct engine_result result;
    struct error err = {0};
    struct rusage usage;
    double start = (double)clock_mono_now().us;
    double cpu = cpu_now();
    if (engine_solve(grid, &options, arena, &result, &err) < 0) {
        fprintf(stderr, "bench_graphs: %s\n", err.text);
        return false;
    }
    double seconds = ((double)clock_mono_now().us - start) / 1e6;
    cpu = cpu_now() - cpu;
    (void)getrusage(RUSAGE_SELF, &usage);
    printf("%-8s %10s %18s %18s %9s %5s %7s %7s %5s\n", "who", "workloads", "cost", "bound", "gap",
           "goal", "s", "cpu s", "MB");
    bool placed = result.status == SOLVE_OPTIMAL || result.status == SOLVE_FEASIBLE;
    bool good = true;
    if (placed) {
        int64_t *rows = arena_array(arena, (size_t)grid->sites * 2, sizeof(int64_t));
        if (rows != NULL) {
            grid_load_of(grid, result.choice, rows);
            good = grid_broken(grid, rows, result.choice) == 0 &&
                   grid_cost_of(grid, result.choice) == result.cost &&
                   result.bound <= (double)result.cost;
        }
    }
    const char *goal = !placed                  ? "none"
                       : result.gap <= GAP_MOON ? "moon"
                       : result.gap <= GAP_MUST ? "must"
                                                : "-";
    printf("%-8s %10d %18" PRId64 " %18.0f %9.2e %5s %7.2f %7.2f %5.0f%s\n", "berth", grid->parts,
           placed ? result.cost : 0, result.bound, placed ? result.gap : INFINITY, goal, seconds,
           cpu, (double)usage.ru_maxrss / 1024, good ? "" : " WRONG");
    fflush(stdout);
    greedy_row(grid, arena, result.bound);
    return good;
}

static void greedy_row(const struct grid *grid, struct arena *arena, double bound)
{
    int *choice = arena_array(arena, (size_t)grid->parts, sizeof(int));
    double start = (double)clock_mono_now().us;
    int left = choice != NULL ? bench_greedy(grid, arena, choice) : -1;
    double seconds = ((double)clock_mono_now().us - start) / 1e6;
    if (left != 0) {
        printf("%-8s leaves %d workloads without room (%.2f s)\n", "greedy", left, seconds);
        return;
    }
    int64_t cost = grid_cost_of(grid, choice);
    printf("%-8s %10d %18" PRId64 " %18.0f %9.2e %5s %7.2f\n", "greedy", grid->parts, cost, bound,
           ((double)cost - bound) / fmax(fabs((double)cost), 1), "", seconds);
}

static double cpu_now(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}
