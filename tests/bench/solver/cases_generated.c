#include "base/str.h"
#include "tests/bench/solver/cases.h"
#include "tests/property/grid_gen.h"

/* What one row of the promises is (docs/solver.md). */
struct promise {
    const char *set;
    const char *name;
    struct grid_shape shape;
    double gap_must;
    double gap_moonshot;
    double seconds_must;
    double mb_must;
    bool peers;
};

#define SINGLE(n, s, seed_, percent, discrete_)                                  \
    {                                                                            \
        .seed = seed_, .parts = n, .sites = s, .resources = 3, .app_parts = 1,   \
        .capacity_percent = percent, .closed_percent = 20, .discrete = discrete_ \
    }
#define LINKED(n, s, seed_, chords)                                            \
    {                                                                          \
        .seed = seed_, .parts = n, .sites = s, .resources = 3, .app_parts = 8, \
        .chord_percent = chords, .capacity_percent = 115, .closed_percent = 20 \
    }

/* The two of a hundred parts promise nothing: they are there for the peers. */
static const struct promise promises[] = {
    {"single", "single-100", SINGLE(100, 10, 1, 115, false), 0, 0, 10, 0, true},
    {"single", "single-1k", SINGLE(1000, 20, 1, 115, false), 1e-3, 3e-4, 10, 0, true},
    {"single", "single-10k", SINGLE(10000, 50, 1, 115, false), 2e-4, 5e-5, 10, 0, true},
    {"single", "single-100k", SINGLE(100000, 100, 1, 115, false), 2e-5, 1e-5, 10, 0, true},
    {"single", "single-1M", SINGLE(1000000, 100, 1, 115, false), 1e-5, 1e-6, 20, 512, true},
    {"single", "single-1M-seed2", SINGLE(1000000, 100, 2, 115, false), 1e-5, 1e-6, 20, 512, false},
    {"single", "single-1M-seed3", SINGLE(1000000, 100, 3, 115, false), 1e-5, 1e-6, 20, 512, false},
    {"single", "single-1M-seed4", SINGLE(1000000, 100, 4, 115, false), 1e-5, 1e-6, 20, 512, false},
    {"single", "tight-1M", SINGLE(1000000, 100, 2, 105, false), 1e-5, 1e-6, 20, 512, false},
    {"single", "discrete-1M", SINGLE(1000000, 100, 2, 115, true), 1e-5, 1e-6, 20, 512, false},
    {"single", "tight-discrete-1M", SINGLE(1000000, 100, 2, 105, true), 1e-5, 1e-6, 20, 512, false},
    {"trees", "trees-100", LINKED(100, 10, 1, 0), 0, 0, 15, 0, true},
    {"trees", "trees-1k", LINKED(1000, 20, 1, 0), 4e-3, 1e-3, 15, 0, true},
    {"trees", "trees-10k", LINKED(10000, 20, 1, 0), 4e-4, 1e-4, 15, 0, true},
    {"trees", "trees-100k", LINKED(100000, 30, 1, 0), 1e-4, 2e-5, 15, 0, true},
    {"cycles", "cycles-10k", LINKED(10000, 60, 1, 40), 1e-3, 1e-4, 15, 0, true},
};

static int generate(const struct row_case *it, struct arena *arena, struct grid *ret_grid,
                    struct error *err);

void cases_generated(struct row_list *list, const struct row_options *options)
{
    (void)options;
    for (size_t i = 0; i < sizeof(promises) / sizeof(promises[0]); i++) {
        const struct promise *promise = &promises[i];
        struct row_case it = {.gap_must = promise->gap_must,
                              .gap_moonshot = promise->gap_moonshot,
                              .seconds_must = promise->seconds_must,
                              .mb_must = promise->mb_must,
                              .peers = promise->peers,
                              .build = generate,
                              .shape = &promise->shape};
        str_format(it.set, sizeof(it.set), "%s", promise->set);
        str_format(it.name, sizeof(it.name), "%s", promise->name);
        row_add(list, &it);
    }
}

static int generate(const struct row_case *it, struct arena *arena, struct grid *ret_grid,
                    struct error *err)
{
    return grid_gen(it->shape, arena, ret_grid)
               ? 0
               : error_set(err, ERR_NO_MEMORY, 0, "no memory for %s", it->name);
}
