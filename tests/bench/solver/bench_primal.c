/*
 * bench_primal: what the search on reduced costs adds to a proven bound, on generated grids; and,
 * for loose parts, what whole parts add to the bound itself.
 *
 *     bench_primal [--only NAME] [--seeds N] [--threads N] [--moves N] [--seed N] [--gap G]
 *                  [--prices DIR]
 *
 * Per instance, and with --seeds for N of each kind, a row of the whole way (dual, primal, bound)
 * and one of the baseline in the same run: a greedy of the Kubernetes kind, which takes the parts
 * in order and gives each to the site with room that scores best: its own cost and its links to
 * what is placed already. With --prices the dual's prices are kept in DIR and used again, so that
 * the search can be timed alone. MB are the most that the whole process held since the instance was
 * begun, its costs included.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/solve/primal.h"
#include "model/solve/primal_bound.h"
#include "tests/bench/solver/greedy.h"
#include "tests/property/grid_gen.h"

struct instance {
    const char *name;
    struct grid_shape shape;
    double gap_must;
    double gap_moonshot;
};

#define WHOLE_CELLS 600000.0 /* as engine.c */

#define SINGLE(n, s, seed_, percent, discrete_)                                  \
    {                                                                            \
        .seed = seed_, .parts = n, .sites = s, .resources = 3, .app_parts = 1,   \
        .capacity_percent = percent, .closed_percent = 20, .discrete = discrete_ \
    }
#define TREES(n, s, seed_, chords)                                             \
    {                                                                          \
        .seed = seed_, .parts = n, .sites = s, .resources = 3, .app_parts = 8, \
        .chord_percent = chords, .capacity_percent = 115, .closed_percent = 20 \
    }

static const struct instance instances[] = {
    {"single-1k", SINGLE(1000, 20, 1, 115, false), 1e-3, 3e-4},
    {"single-10k", SINGLE(10000, 50, 1, 115, false), 2e-4, 5e-5},
    {"single-100k", SINGLE(100000, 100, 1, 115, false), 2e-5, 1e-5},
    {"trees-1k", TREES(1000, 20, 1, 0), 4e-3, 1e-3},
    {"trees-10k", TREES(10000, 20, 1, 0), 4e-4, 1e-4},
    {"trees-100k", TREES(100000, 30, 1, 0), 1e-4, 2e-5},
    {"cycles-10k", TREES(10000, 60, 1, 40), 1e-3, 1e-4},
    {"single-1M", SINGLE(1000000, 100, 1, 115, false), 1e-5, 1e-6},
    {"tight-1M", SINGLE(1000000, 100, 1, 105, false), 1e-5, 1e-6},
    {"discrete-1M", SINGLE(1000000, 100, 1, 115, true), 1e-5, 1e-6},
    {"tight-discrete-1M", SINGLE(1000000, 100, 1, 105, true), 1e-5, 1e-6},
};

struct settings {
    const char *only;
    const char *prices;
    int threads;
    int seeds;
    double moves;
    double gap;
    uint64_t seed; /* of the search */
};

static bool run(const struct instance *instance, const struct settings *settings, double *ret_gap);
static bool prices(const struct instance *instance, const struct settings *settings,
                   const struct grid *grid, struct arena *arena, struct dual_result *ret_dual);
static bool raise_bound(const struct settings *settings, const struct grid *grid,
                        struct arena *arena, struct dual_result *dual);
static double cpu_seconds(void);
static void peak_forget(void);
static double peak_mb(void);

int main(int argc, char **argv)
{
    struct settings settings = {.threads = 2, .seeds = 1, .seed = 1};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--only") == 0) {
            settings.only = value;
        } else if (strcmp(argv[i], "--prices") == 0) {
            settings.prices = value;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            settings.seeds = (int)strtol(value, NULL, 10);
        } else if (strcmp(argv[i], "--threads") == 0) {
            settings.threads = (int)strtol(value, NULL, 10);
        } else if (strcmp(argv[i], "--moves") == 0) {
            settings.moves = strtod(value, NULL);
        } else if (strcmp(argv[i], "--gap") == 0) {
            settings.gap = strtod(value, NULL);
        } else if (strcmp(argv[i], "--seed") == 0) {
            settings.seed = strtoull(value, NULL, 10);
        } else {
            fprintf(stderr, "bench_primal: unknown option %s\n", argv[i]);
            return 1;
        }
    }
    printf("%-17s %4s %-6s %16s %18s %9s %5s %6s %6s %6s %6s %8s %9s %5s\n", "instance", "seed",
           "who", "cost", "bound", "gap", "goal", "s", "cpu s", "dual s", "last s", "raised",
           "moves", "MB");
    bool good = true;
    for (size_t i = 0; i < sizeof(instances) / sizeof(instances[0]); i++) {
        if (settings.only != NULL && strstr(instances[i].name, settings.only) == NULL) {
            continue;
        }
        double worst = 0;
        for (int k = 0; k < settings.seeds; k++) {
            struct instance instance = instances[i];
            double gap = INFINITY;
            instance.shape.seed += (uint64_t)k;
            good = run(&instance, &settings, &gap) && good;
            worst = fmax(worst, gap);
        }
        if (settings.seeds > 1) {
            printf("%-17s %4s %-6s %45.2e\n", instances[i].name, "all", "worst", worst);
        }
    }
    return good ? 0 : 1;
}

/* Long: one instance, what solves it, and how it did. */
static bool run(const struct instance *instance, const struct settings *settings, double *ret_gap)
{
    struct arena arena;
    struct arena work;
    arena_init(&arena, (size_t)2 << 30);
    arena_init(&work, (size_t)2 << 30);
    struct grid grid;
    struct dual_result dual;
    struct primal_result primal;
    struct error err = {0};
    unsigned seed = (unsigned)instance->shape.seed;
    peak_forget();
    bool good = grid_gen(&instance->shape, &arena, &grid) && grid_check(&grid, &err) == 0;
    double start = (double)clock_mono_now().us;
    double cpu = cpu_seconds();
    good = good && prices(instance, settings, &grid, &work, &dual);
    double dual_end = (double)clock_mono_now().us;
    struct primal_options options = {.threads = settings->threads,
                                     .seed = settings->seed,
                                     .moves_max = settings->moves,
                                     .gap = settings->gap};
    if (!good || primal_solve(&grid, &dual, &options, &work, &primal, &err) < 0) {
        printf("%-17s %4u failed: %s\n", instance->name, seed, err.text);
        arena_done(&work);
        arena_done(&arena);
        return false;
    }
    double search_end = (double)clock_mono_now().us;
    double priced = dual.bound;
    good = raise_bound(settings, &grid, &work, &dual);
    double end = (double)clock_mono_now().us;
    double peak = peak_mb();
    cpu = cpu_seconds() - cpu;
    double gap = ((double)primal.cost - dual.bound) / fabs(dual.bound);
    const char *goal = gap <= instance->gap_moonshot ? "moon"
                       : gap <= instance->gap_must   ? "must"
                                                     : "-";
    *ret_gap = primal.found ? gap : INFINITY;
    int64_t *load = arena_array(&work, (size_t)grid.sites * 4, sizeof(int64_t));
    if (load != NULL && primal.found) {
        grid_load_of(&grid, primal.choice, load);
        good = good && grid_broken(&grid, load, primal.choice) == 0 &&
               grid_cost_of(&grid, primal.choice) == primal.cost;
    }
    printf("%-17s %4u %-6s %16" PRId64
           " %18.1f %9.2e %5s %6.2f %6.2f %6.2f %6.2f %8.1e %9.2e %5.0f%s\n",
           instance->name, seed, "berth", primal.cost, dual.bound, gap,
           primal.found ? goal : "none", (end - start) / 1e6, cpu, (dual_end - start) / 1e6,
           (end - search_end) / 1e6, (dual.bound - priced) / fabs(priced), primal.moves, peak,
           good ? "" : " WRONG");
    int *choice = arena_array(&work, (size_t)grid.parts, sizeof(int));
    start = (double)clock_mono_now().us;
    int left = choice != NULL ? bench_greedy(&grid, &work, choice) : -1;
    end = (double)clock_mono_now().us;
    if (left == 0) {
        int64_t cost = grid_cost_of(&grid, choice);
        printf("%-17s %4u %-6s %16" PRId64 " %18.1f %9.2e %5s %6.2f\n", instance->name, seed,
               "greedy", cost, dual.bound, ((double)cost - dual.bound) / fabs(dual.bound), "",
               (end - start) / 1e6);
    } else {
        printf("%-17s %4u %-6s leaves %d parts without room (%.2f s)\n", instance->name, seed,
               "greedy", left, (end - start) / 1e6);
    }
    fflush(stdout);
    arena_done(&work);
    arena_done(&arena);
    return good;
}

/* As the engine does it. */
static bool raise_bound(const struct settings *settings, const struct grid *grid,
                        struct arena *arena, struct dual_result *dual)
{
    struct error err = {0};
    struct primal_bound_options options = {.threads = settings->threads,
                                           .price = dual->price,
                                           .bound = dual->bound,
                                           .target = INFINITY};
    struct primal_bound_result result;
    if (grid->links > 0 || (double)grid->parts * (double)grid->sites > WHOLE_CELLS) {
        return true;
    }
    if (primal_bound_raise(grid, &options, arena, &result, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    dual->bound = result.bound;
    return true;
}

static bool prices(const struct instance *instance, const struct settings *settings,
                   const struct grid *grid, struct arena *arena, struct dual_result *ret_dual)
{
    struct error err = {0};
    struct dual_options options = {.threads = settings->threads};
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    double *kept = arena_array(arena, rows, sizeof(double));
    char path[256];
    FILE *file = NULL;
    if (settings->prices != NULL && kept != NULL) {
        str_format(path, sizeof(path), "%s/%s-%u", settings->prices, instance->name,
                   (unsigned)instance->shape.seed);
        file = fopen(path, "rb");
    }
    if (file != NULL) {
        bool read = fread(kept, sizeof(double), rows, file) == rows;
        (void)fclose(file);
        *ret_dual = (struct dual_result){.possible = true, .part = -1, .price = kept};
        ret_dual->choice = arena_array(arena, (size_t)grid->parts, sizeof(int));
        return read && dual_bound(grid, kept, settings->threads, arena, ret_dual->choice,
                                  &ret_dual->bound, &err) == 0;
    }
    if (dual_solve(grid, &options, arena, ret_dual, &err) < 0) {
        fprintf(stderr, "%s: %s\n", instance->name, err.text);
        return false;
    }
    file = settings->prices != NULL ? fopen(path, "wb") : NULL;
    if (file != NULL) {
        (void)fwrite(ret_dual->price, sizeof(double), rows, file);
        (void)fclose(file);
    }
    return true;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6 +
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6;
}

/* Linux keeps the most that was resident, until 5 is written there. */
static void peak_forget(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    if (file != NULL) {
        (void)fputs("5", file);
        (void)fclose(file);
    }
}

static double peak_mb(void)
{
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kib = strtod(line + 6, NULL);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib * 1024 / 1e6;
}
