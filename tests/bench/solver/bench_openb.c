/*
 * bench_openb: the 8,152 tasks of a GPU cluster's trace at its 1,523 nodes, all at once (openb.h
 * says what of the problem the grid relaxes, and what is minimised).
 *
 *     bench_openb [--data DIR] [--threads N] [--seed N] [--leave DOLLARS] [--gap GAP] [--moves N]
 *
 * DIR holds the folder trace_openb with the trace's two files. A task that goes nowhere costs
 * DOLLARS an hour (1000). Rows:
 *
 *   berth   the engine, ended at GAP (0.02), on bundles; then what they leave, task by task, where
 *           there is a seat. Its seconds are those of placing; the line below has the bound's,
 *           which is of the loose grid
 *   cost    a greedy of the Kubernetes kind, true rule: tasks in the trace's order, each to the
 *           cheapest node with room
 *   least   the same, to the node with most left, as kube-scheduler's default has it
 *
 * `least left` is proven: the engine's bound where placing costs nothing and leaving one. Exit code
 * 1 when a placement breaks a rule or is cheaper than the bound.
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
#include "tests/bench/solver/openb.h"
#include "tests/property/plan_check.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)

struct bench {
    const char *data;
    double leave_usd;
    struct engine_options options;
    struct arena arena; /* the trace and its grids */
    struct arena work;  /* one run */
    struct openb openb;
    int32_t weight[OPENB_GPU + 1];
    struct openb_bundles bundles;
    int left_least; /* proven */
    double bound;   /* of the objective */
    bool good;
};

struct timing {
    double seconds;
    double cpu_seconds;
};

static int load(struct bench *bench, struct error *err);
static char *read_whole(const char *folder, const char *name, size_t *ret_bytes);
static int prove_left(struct bench *bench, struct error *err);
static int prove_cost(struct bench *bench, struct error *err);
static int run_engine(struct bench *bench, struct error *err);
static int run_greedy(struct bench *bench, bool by_cost, struct error *err);
static void row(struct bench *bench, const char *who, int placed, double usd, struct timing timing);
static void name_left(const struct bench *bench, const struct openb_seat *seat);
static struct timing now(void);
static struct timing since(struct timing start);

int main(int argc, char **argv)
{
    struct bench bench = {.data = BERTH_SOURCE_DIR "/../shared/data",
                          .leave_usd = 1000,
                          .options = {.threads = 2, .seed = 1, .gap = 0.02},
                          .good = true};
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t number = 0;
        bool whole = str_to_i64(argv[i + 1], &number) == 0;
        if (str_equal(argv[i], "--data")) {
            bench.data = argv[i + 1];
        } else if (str_equal(argv[i], "--threads") && whole) {
            bench.options.threads = (int)number;
        } else if (str_equal(argv[i], "--seed") && whole) {
            bench.options.seed = (uint64_t)number;
        } else if (str_equal(argv[i], "--leave") && whole && number > 0 && number <= 4000) {
            bench.leave_usd = (double)number;
        } else if (str_equal(argv[i], "--moves")) {
            bench.options.moves_max = strtod(argv[i + 1], NULL);
        } else if (str_equal(argv[i], "--gap")) {
            bench.options.gap = strtod(argv[i + 1], NULL);
        } else {
            fprintf(stderr, "bench_openb: %s %s: see the head of the file\n", argv[i], argv[i + 1]);
            return 2;
        }
    }
    char folder[512];
    (void)snprintf(folder, sizeof(folder), "%s/trace_openb", bench.data);
    if (access(folder, R_OK) != 0) {
        printf("no trace at %s (see --data): nothing was measured\n", folder);
        return 0;
    }
    mip_quiet();
    arena_init(&bench.arena, (size_t)2 << 30);
    arena_init(&bench.work, (size_t)2 << 30);
    struct error err = {0};
    int rc = load(&bench, &err);
    rc = rc == 0 ? prove_left(&bench, &err) : rc;
    rc = rc == 0 ? prove_cost(&bench, &err) : rc;
    rc = rc == 0 ? run_engine(&bench, &err) : rc;
    rc = rc == 0 ? run_greedy(&bench, true, &err) : rc;
    rc = rc == 0 ? run_greedy(&bench, false, &err) : rc;
    if (rc < 0) {
        fprintf(stderr, "bench_openb: %s\n", err.text);
    }
    arena_done(&bench.work);
    arena_done(&bench.arena);
    return rc < 0 || !bench.good;
}

static int load(struct bench *bench, struct error *err)
{
    struct timing start = now();
    size_t nodes_bytes = 0;
    size_t tasks_bytes = 0;
    char *nodes = read_whole(bench->data, "openb_node_list_all_node.csv", &nodes_bytes);
    char *tasks = read_whole(bench->data, "openb_pod_list_default.csv", &tasks_bytes);
    int rc =
        nodes == NULL || tasks == NULL
            ? error_set(err, ERR_NOT_FOUND, 0, "no trace can be read from %s", bench->data)
            : openb_read(nodes, nodes_bytes, tasks, tasks_bytes, &bench->arena, &bench->openb, err);
    free(nodes);
    free(tasks);
    rc = rc == 0 ? openb_shares(&bench->openb, &bench->arena, bench->weight, &bench->bundles, err)
                 : rc;
    if (rc < 0) {
        return rc;
    }
    if (!openb_weights_hold(bench->weight)) {
        return error_set(err, ERR_INVALID, 0, "the weights of GPUs' shares do not hold");
    }
    int types = 0;
    int64_t gpus = 0;
    double shares = 0;
    double weights = 0;
    int bundled = 0;
    for (int node = 0; node < bench->openb.nodes; node++) {
        types += bench->openb.node[node].alike == node;
        gpus += bench->openb.node[node].gpus;
    }
    for (int task = 0; task < bench->openb.tasks; task++) {
        const struct openb_task *at = &bench->openb.task[task];
        shares += (double)at->gpus * at->gpu_milli / OPENB_GPU;
        weights += (double)at->gpus * bench->weight[at->gpu_milli] / OPENB_WHOLE;
    }
    for (int bundle = 0; bundle < bench->bundles.count; bundle++) {
        bundled += bench->openb.task[bench->bundles.task[bench->bundles.first[bundle]]].gpus;
    }
    printf("%d tasks, %d nodes of %d types, %d types of GPU; %" PRId64
           " GPUs, of which the tasks' shares sum to %.1f and fill at least %.1f; bundled %d "
           "(all this in %.2f s)\n",
           bench->openb.tasks, bench->openb.nodes, types, bench->openb.types, gpus, shares, weights,
           bundled, since(start).seconds);
    return 0;
}

/* NULL: it cannot be read, or is too large. */
static char *read_whole(const char *folder, const char *name, size_t *ret_bytes)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/trace_openb/%s", folder, name);
    FILE *file = fopen(path, "rb");
    char *text = file != NULL ? malloc(FILE_BYTES_MAX) : NULL;
    if (text != NULL) {
        *ret_bytes = fread(text, 1, FILE_BYTES_MAX, file);
    }
    if (text != NULL && (*ret_bytes == FILE_BYTES_MAX || ferror(file) != 0)) {
        free(text);
        text = NULL;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return text;
}

/* The engine's bound on a grid that counts who is left. */
static int prove_left(struct bench *bench, struct error *err)
{
    struct openb_terms terms = {.weight = bench->weight, .leave_usd6 = 1000000, .count = true};
    struct engine_options options = bench->options;
    struct engine_result result;
    struct grid grid;
    options.gap = 1; /* only the bound is wanted */
    struct timing start = now();
    int rc = openb_grid(&bench->openb, &terms, &bench->work, &grid, err);
    rc = rc == 0 ? engine_solve(&grid, &options, &bench->work, &result, err) : rc;
    if (rc == 0) {
        bench->left_least = (int)ceil(result.bound / 1e6 - 1e-6);
        printf("at least %d tasks are left whoever places them (bound %.3f; %.2f s)\n",
               bench->left_least, result.bound / 1e6, since(start).seconds);
    }
    arena_reset(&bench->work);
    return rc;
}

/* The bound of the loose grid: nobody's placement costs less. */
static int prove_cost(struct bench *bench, struct error *err)
{
    struct openb_terms terms = {.weight = bench->weight,
                                .leave_usd6 = (int64_t)(bench->leave_usd * 1e6)};
    struct engine_options options = bench->options;
    struct engine_result result;
    struct grid grid;
    options.gap = 1;
    int rc = openb_grid(&bench->openb, &terms, &bench->work, &grid, err);
    struct timing start = now();
    rc = rc == 0 ? engine_solve(&grid, &options, &bench->work, &result, err) : rc;
    if (rc == 0) {
        struct timing spent = since(start);
        bench->bound = result.bound / 1e6;
        printf("no placement costs less than %.2f (%.3f s, %.3f CPU s)\n\n", bench->bound,
               spent.seconds, spent.cpu_seconds);
        printf("%-7s %6s %5s %10s %12s %14s %14s %9s %7s %7s %13s %5s\n", "who", "placed", "left",
               "least left", "$/h placed", "objective", "bound", "gap", "s", "CPU s",
               "placements/s", "MB");
    }
    arena_reset(&bench->work);
    return rc;
}

static int run_engine(struct bench *bench, struct error *err)
{
    struct openb_terms terms = {.bundles = &bench->bundles,
                                .leave_usd6 = (int64_t)(bench->leave_usd * 1e6)};
    struct grid grid;
    struct engine_result result;
    struct openb_seat seat;
    int rc = openb_grid(&bench->openb, &terms, &bench->work, &grid, err);
    rc = rc == 0 ? openb_seat_init(&seat, &bench->openb, &bench->work, err) : rc;
    struct timing start = now();
    rc = rc == 0 ? engine_solve(&grid, &bench->options, &bench->work, &result, err) : rc;
    if (rc < 0) {
        return rc;
    }
    if (result.status != SOLVE_OPTIMAL && result.status != SOLVE_FEASIBLE) {
        return error_set(err, ERR_INVALID, 0, "the engine says %s, though nowhere has room",
                         solve_status_words[result.status]);
    }
    int single = openb_seat_bundles(&seat, &bench->bundles, result.choice);
    struct timing spent = since(start);
    struct plan_claim claim = {result.choice, result.cost, result.bound, result.price,
                               result.bound_priced};
    char why[PLAN_WHY_BYTES];
    if (!plan_check_grid(&grid, &claim, why)) {
        return error_set(err, ERR_INVALID, 0, "the engine's answer is wrong: %s", why);
    }
    int placed = 0;
    double usd = (double)openb_seat_cost_usd6(&seat, &placed) / 1e6;
    int broken = openb_broken(&bench->openb, seat.node_of, seat.gpus_of);
    row(bench, "berth", placed, usd, spent);
    printf("        %d parts: cost %.2f, bound %.2f, gap %.2e; %d tasks of the rest had a seat; %d "
           "limits of nodes and GPUs are broken\n",
           grid.parts, (double)result.cost / 1e6, result.bound / 1e6, result.gap, single, broken);
    name_left(bench, &seat);
    bench->good = bench->good && broken == 0;
    return 0;
}

static int run_greedy(struct bench *bench, bool by_cost, struct error *err)
{
    struct openb_seat seat;
    struct timing start = now();
    int rc = openb_seat_init(&seat, &bench->openb, &bench->work, err);
    rc = rc == 0 ? openb_seat_greedy(&seat, by_cost, &bench->work, err) : rc;
    if (rc < 0) {
        return rc;
    }
    struct timing spent = since(start);
    int placed = 0;
    double usd = (double)openb_seat_cost_usd6(&seat, &placed) / 1e6;
    row(bench, by_cost ? "cost" : "least", placed, usd, spent);
    bench->good = bench->good && openb_broken(&bench->openb, seat.node_of, seat.gpus_of) == 0;
    return 0;
}

static void row(struct bench *bench, const char *who, int placed, double usd, struct timing timing)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    int left = bench->openb.tasks - placed;
    double objective = usd + bench->leave_usd * left;
    double gap = (objective - bench->bound) / objective;
    bool wrong = left < bench->left_least || objective < bench->bound * (1 - 1e-12);
    bench->good = bench->good && !wrong;
    printf("%-7s %6d %5d %10d %12.2f %14.2f %14.2f %9.2e %7.3f %7.3f %13.0f %5.0f%s\n", who, placed,
           left, bench->left_least, usd, objective, bench->bound, gap, timing.seconds,
           timing.cpu_seconds, placed / timing.seconds, (double)usage.ru_maxrss / 1024,
           wrong ? " WRONG" : "");
    (void)fflush(stdout);
}

static bool same_shape(const struct openb_task *a, const struct openb_task *b)
{
    return a->cpu_milli == b->cpu_milli && a->memory_mib == b->memory_mib && a->gpus == b->gpus &&
           a->gpu_milli == b->gpu_milli && a->types == b->types;
}

/* The tasks that are left, by what they need; each shape by its first task. */
static void name_left(const struct bench *bench, const struct openb_seat *seat)
{
    const struct openb *openb = &bench->openb;
    for (int task = 0; task < openb->tasks; task++) {
        const struct openb_task *at = &openb->task[task];
        int count = 0;
        bool first = seat->node_of[task] < 0;
        for (int other = 0; other < openb->tasks && first; other++) {
            bool same = seat->node_of[other] < 0 && same_shape(at, &openb->task[other]);
            first = !same || other >= task;
            count += same;
        }
        bool fits = false;
        for (int node = 0; node < openb->nodes && first && !fits; node++) {
            fits = openb_fits(openb, task, node);
        }
        if (first) {
            printf("        left: %d like %s (%.1f cores, %d MiB, %d GPUs of %d/1000)%s\n", count,
                   at->name, at->cpu_milli / 1e3, at->memory_mib, at->gpus, at->gpu_milli,
                   fits ? "" : ", which fits no node");
        }
    }
}

static struct timing now(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (struct timing){.seconds = (double)clock_mono_now().us / 1e6,
                           .cpu_seconds =
                               (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
                               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6};
}

static struct timing since(struct timing start)
{
    struct timing end = now();
    return (struct timing){end.seconds - start.seconds, end.cpu_seconds - start.cpu_seconds};
}
