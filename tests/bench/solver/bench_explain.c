/*
 * bench_explain: what the questions of people take on a world of thousands of workloads: a plan
 * with a time limit and one that is cancelled, why a workload is where it is, and which rules
 * cannot hold together. Real documents, the real cost model, the real berth-solve.
 *
 *     bench_explain [--apps N] [--workloads N] [--sites N] [--linked]
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/cost_flip.h"
#include "model/cost_focus.h"
#include "model/solver.h"
#include "model/verify.h"
#include "tests/property/world_gen.h"

struct bench {
    struct world_shape shape;
    struct arena arena;
    struct world_made made;
    struct problem problem;
    struct solver *solver;
    struct error err;
};

/* One solve, followed. */
struct run {
    struct bench *bench;
    struct solution solution; /* its arrays are the arena's */
    bool done;
    int news;
    int64_t cancel_after_us; /* < 0: never */
    int64_t began_us;
    int64_t cancelled_us;
};

static double seconds_since(int64_t us)
{
    return (double)(clock_mono_now().us - us) / 1e6;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

static void stop(struct bench *bench, const char *what)
{
    fprintf(stderr, "bench_explain: %s: %s\n", what, bench->err.text);
    exit(1);
}

static void *copy(struct arena *arena, const void *from, int count, size_t each)
{
    return from == NULL ? NULL : arena_copy(arena, from, (size_t)count * each + 1);
}

static void on_solved(void *context, uint64_t id, const struct solution *solution)
{
    struct run *run = context;
    const struct problem *problem = &run->bench->problem;
    struct arena *arena = &run->bench->arena;
    (void)id;
    run->solution = *solution;
    run->solution.choice = copy(arena, solution->choice, problem->part_count, sizeof(int));
    run->solution.price = copy(arena, solution->price, problem->rule_count, sizeof(double));
    run->solution.meter_price =
        copy(arena, solution->meter_price, problem->meter_count, sizeof(double));
    run->solution.conflict = copy(arena, solution->conflict, solution->conflict_count, sizeof(int));
    run->done = true;
}

static void on_news(void *context, uint64_t id, const struct solve_news *news)
{
    struct run *run = context;
    (void)id;
    run->news++;
    printf("    news %5.2f s: best %.6g bound %.6g gap %.2e\n", (double)news->elapsed_us / 1e6,
           news->best / 1e9, news->bound / 1e9, solve_news_gap(news));
}

static struct run solve(struct bench *bench, const char *what, const struct solve_limits *limits,
                        int64_t cancel_after_us)
{
    struct run run = {
        .bench = bench, .cancel_after_us = cancel_after_us, .began_us = clock_mono_now().us};
    printf("%s\n", what);
    if (solver_submit_within(bench->solver, 1, &bench->problem, limits, on_solved, on_news, &run,
                             &bench->err) < 0) {
        stop(bench, what);
    }
    double sent = seconds_since(run.began_us);
    while (!run.done) {
        struct pollfd wait = {.fd = solver_fd(bench->solver), .events = POLLIN};
        (void)poll(&wait, 1, 20);
        (void)solver_dispatch(bench->solver);
        if (!run.done && run.cancel_after_us >= 0 && run.cancelled_us == 0 &&
            clock_mono_now().us - run.began_us >= run.cancel_after_us) {
            run.cancelled_us = clock_mono_now().us;
            (void)solver_cancel(bench->solver, 1);
        }
    }
    const struct solution *solution = &run.solution;
    printf("    %s in %.2f s (%.2f to encode)", solve_status_words[solution->status],
           seconds_since(run.began_us), sent);
    if (run.cancelled_us > 0) {
        printf(", %.2f s after the word", seconds_since(run.cancelled_us));
    }
    if (solution->choice != NULL) {
        double cost = (double)solution->cost_nusd;
        printf(": cost %.6g gap %.2e", cost / 1e9, (cost - (double)solution->bound_nusd) / cost);
        struct verdict verdict;
        if (verify_plan(&bench->problem, solution->choice, solution->price, solution->meter_price,
                        &bench->arena, &verdict, &bench->err) < 0) {
            stop(bench, "verify");
        }
        printf(", proven by prices %.2e%s", verdict.gap, verdict.broken < 0 ? "" : ", BROKEN");
    }
    if (solution->status == SOLVE_INFEASIBLE) {
        printf(": %d of %d rules", solution->conflict_count, bench->problem.rule_count);
        for (int i = 0; i < solution->conflict_count && i < 6; i++) {
            printf("\n      %s", bench->problem.rules[solution->conflict[i]].text);
        }
    }
    printf("%s%s\n", solution->text[0] != '\0' ? "\n    " : "", solution->text);
    return run;
}

/* As the scheduler keeps them: by site. */
static void keep_prices(struct bench *bench, const struct solution *solution)
{
    const struct problem *problem = &bench->problem;
    double(*price)[RESOURCE_COUNT] =
        arena_array(&bench->arena, (size_t)problem->site_count + 1, sizeof(*price));
    if (price == NULL) {
        stop(bench, "prices");
    }
    int priced = 0;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_CAPACITY && solution->price != NULL && solution->price[i] > 0) {
            price[rule->site][rule->resource] += solution->price[i];
            priced++;
        }
    }
    bench->made.input.capacity_price = price;
    for (int part = 0; part < problem->part_count; part++) {
        struct placement at =
            cost_placement(&bench->made.input, problem, part, solution->choice[part]);
        bench->made.at[part] = at;
        bench->made.input.apps[part / bench->shape.workloads]
            .states[part % bench->shape.workloads]
            .now = at;
    }
    printf("    %d rows of capacity have a price\n", priced);
}

static void explain(struct bench *bench, int part)
{
    struct arena arena;
    arena_init(&arena, (size_t)1 << 30);
    int64_t began_us = clock_mono_now().us;
    double cpu = cpu_seconds();
    struct cost_focus focus;
    struct cost_candidate *list;
    struct cost_flip *flips;
    struct cost_report report;
    int count = 0;
    int flip_count = 0;
    int app = part / bench->shape.workloads;
    int workload = part % bench->shape.workloads;
    if (cost_focus(&bench->made.input, bench->made.at, app, workload, &arena, &focus, &bench->err) <
        0) {
        stop(bench, "focus");
    }
    double focused = seconds_since(began_us);
    if (cost_candidates(&focus.input, focus.at, focus.workload, &arena, &list, &count,
                        &bench->err) < 0) {
        stop(bench, "candidates");
    }
    double considered = seconds_since(began_us) - focused;
    if (cost_flips(&focus.input, focus.at, focus.workload, &arena, &flips, &flip_count,
                   &bench->err) < 0) {
        stop(bench, "flips");
    }
    double flipped = seconds_since(began_us) - focused - considered;
    if (cost_explain(&focus.input, focus.at, &arena, &report, &bench->err) < 0) {
        stop(bench, "lines");
    }
    int full = 0;
    int best = -1;
    for (int i = 0; i < count; i++) {
        full += list[i].full;
        if (!list[i].chosen && (list[i].allowed || list[i].full) &&
            (best < 0 || list[i].reduced < list[best].reduced)) {
            best = i;
        }
    }
    printf(
        "    part %d: %.3f s (focus %.3f, candidates %.3f, flips %.3f), CPU %.3f s; %d places, %d "
        "full; runner-up %s%s at %.4g more; %d flips%s%s\n",
        part, seconds_since(began_us), focused, considered, flipped, cpu_seconds() - cpu, count,
        full, best < 0 ? "none" : bench->made.world.sites[list[best].to.site].name,
        best >= 0 && list[best].full ? " (full)" : "",
        best < 0 ? 0 : (double)list[best].reduced / 1e9, flip_count,
        flip_count > 0 ? ", the nearest: " : "", flip_count > 0 ? flips[0].text : "");
    arena_done(&arena);
}

/* A world with that much room, and its problem. */
static void begin(struct bench *bench, int capacity_percent)
{
    arena_done(&bench->arena);
    arena_init(&bench->arena, (size_t)8 << 30);
    bench->shape.capacity_percent = capacity_percent;
    int64_t began_us = clock_mono_now().us;
    if (world_make(&bench->shape, &bench->arena, &bench->made, &bench->err) < 0) {
        stop(bench, "world");
    }
    double made = seconds_since(began_us);
    if (cost_problem(&bench->made.input, &bench->arena, &bench->problem, &bench->err) < 0) {
        stop(bench, "problem");
    }
    printf(
        "%d workloads in %d apps x %d sites, room for %d %%: read in %.2f s, problem of %d rules "
        "in %.2f s\n",
        bench->made.parts, bench->shape.apps, bench->shape.sites, capacity_percent, made,
        bench->problem.rule_count, seconds_since(began_us) - made);
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .shape = {.seed = 1, .sites = 50, .apps = 40, .workloads = 250, .tagged_percent = 33}};
    for (int i = 1; i < argc; i++) {
        int64_t value = 0;
        int *into = str_equal(argv[i], "--apps")        ? &bench.shape.apps
                    : str_equal(argv[i], "--workloads") ? &bench.shape.workloads
                    : str_equal(argv[i], "--sites")     ? &bench.shape.sites
                                                        : NULL;
        if (str_equal(argv[i], "--linked")) {
            bench.shape.linked = true;
        } else if (into == NULL || i + 1 == argc || str_to_i64(argv[++i], &value) < 0 ||
                   value < 2 || value > 100000) {
            fprintf(stderr, "bench_explain [--apps N] [--workloads N] [--sites N] [--linked]\n");
            return 1;
        } else {
            *into = (int)value;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (solver_open(&(struct solver_options){.wall_max_us = 600 * US_PER_S}, &bench.solver,
                    &bench.err) < 0) {
        stop(&bench, "solver");
    }
    begin(&bench, 130);
    struct run run = solve(&bench, "a plan", NULL, -1);
    if (run.solution.choice != NULL) {
        keep_prices(&bench, &run.solution);
        for (int i = 0; i < 5; i++) {
            explain(&bench, i * (bench.made.parts - 1) / 4);
        }
    }
    (void)solve(&bench, "a plan within 2 s", &(struct solve_limits){.time_max_us = 2 * US_PER_S},
                -1);
    (void)solve(&bench, "a plan within 1 %", &(struct solve_limits){.gap = 0.01}, -1);
    (void)solve(&bench, "a plan cancelled after 1 s", NULL, US_PER_S);
    (void)solve(&bench, "a plan in 64 MiB", &(struct solve_limits){.memory_max_bytes = 64 << 20},
                -1);
    begin(&bench, 90);
    (void)solve(&bench, "too little room", NULL, -1);
    solver_close(bench.solver);
    arena_done(&bench.arena);
    return 0;
}
