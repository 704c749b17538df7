/* The trace as a grid, and what a task costs at a node. */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "tests/bench/solver/openb.h"

/* Dollars an hour. Google's list prices in the US for processors and memory of an N1 and for GPUs
 * (autoscaler's gce_price_info.go, in the data folder's prices/gcp_us_list.csv); A10: AWS's
 * g5.xlarge (1.006) less its processors and memory at these rates. The trace does not say what G2
 * and G3 are: they count as A10 and A100. Watts: the makers' limits. */
#define CPU_USD    0.031611
#define GIB_USD    0.004237
#define CPU_WATTS  7.5 /* of a Xeon E5-2682 v4: 120 W, 16 cores */
#define KWH_USD    0.10
#define COST_LIMIT 4e9

struct gpu_type {
    const char *name;
    double usd;
    double watts;
};

static const struct gpu_type gpu_types[] = {
    {"T4", 0.35, 70},     {"P100", 1.46, 250}, {"V100M16", 2.48, 300}, {"V100M32", 2.48, 300},
    {"A10", 0.8118, 150}, {"G2", 0.8118, 150}, {"G3", 2.933908, 400},  {"A100", 2.933908, 400},
    {"1080", 0.35, 180},  {"2080", 0.35, 215},
};

static const struct gpu_type *type_known(const char *name);
static void fill_demand(const struct openb *openb, const struct openb_terms *terms, const int *task,
                        int count, int32_t *demand);
static void fill_cost(const struct openb *openb, const struct openb_terms *terms, const int *task,
                      int count, uint32_t *cost);

bool openb_fits(const struct openb *openb, int task, int node)
{
    const struct openb_task *a = &openb->task[task];
    const struct openb_node *b = &openb->node[node];
    bool type = a->gpus == 0 || a->types == 0 || (b->type >= 0 && (a->types >> b->type & 1) != 0);
    return type && a->cpu_milli <= b->cpu_milli && a->memory_mib <= b->memory_mib &&
           a->gpus <= b->gpus;
}

int64_t openb_cost_usd6(const struct openb *openb, int task, int node)
{
    const struct openb_task *a = &openb->task[task];
    const struct openb_node *b = &openb->node[node];
    const struct gpu_type *type = b->type >= 0 ? type_known(openb->type_name[b->type]) : NULL;
    double gpus = (double)a->gpus * a->gpu_milli / OPENB_GPU;
    double price = b->cpu_milli / 1e3 * CPU_USD + b->memory_mib / 1024.0 * GIB_USD +
                   (type != NULL ? b->gpus * type->usd : 0);
    double share = (double)a->cpu_milli / fmax(b->cpu_milli, 1);
    share = fmax(share, (double)a->memory_mib / fmax(b->memory_mib, 1));
    share = b->gpus > 0 ? fmax(share, gpus / b->gpus) : share;
    double watts = a->cpu_milli / 1e3 * CPU_WATTS + (type != NULL ? gpus * type->watts : 0);
    return (int64_t)llround(1e6 * (price * share + watts / 1e3 * KWH_USD));
}

static const struct gpu_type *type_known(const char *name)
{
    for (size_t i = 0; i < sizeof(gpu_types) / sizeof(gpu_types[0]); i++) {
        if (str_equal(gpu_types[i].name, name)) {
            return &gpu_types[i];
        }
    }
    return NULL;
}

int openb_grid(const struct openb *openb, const struct openb_terms *terms, struct arena *arena,
               struct grid *ret_grid, struct error *err)
{
    for (int type = 0; type < openb->types; type++) {
        if (type_known(openb->type_name[type]) == NULL) {
            return error_set(err, ERR_UNSUPPORTED, 0, "no price of GPUs of type '%s' is known",
                             openb->type_name[type]);
        }
    }
    bool bundled = terms->bundles != NULL;
    size_t sites = (size_t)openb->nodes + 1;
    size_t parts = bundled ? (size_t)terms->bundles->count : (size_t)openb->tasks;
    int resources = bundled ? 3 : 4;
    size_t rows = sites * (size_t)resources;
    uint32_t *cost = arena_alloc_raw(arena, parts * sites * sizeof(uint32_t) + 1);
    int32_t *demand = arena_array(arena, parts * (size_t)resources + 1, sizeof(int32_t));
    int64_t *capacity = arena_array(arena, rows, sizeof(int64_t));
    if (cost == NULL || demand == NULL || capacity == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu x %zu cells", parts, sites);
    }
    for (size_t site = 0; site < sites; site++) {
        bool nowhere = site == (size_t)openb->nodes;
        const struct openb_node *node = &openb->node[nowhere ? 0 : site];
        int64_t room[4] = {node->cpu_milli, node->memory_mib, (int64_t)node->gpus * OPENB_GPU,
                           (int64_t)node->gpus * OPENB_WHOLE};
        for (int r = 0; r < resources; r++) {
            capacity[site * (size_t)resources + (size_t)r] = nowhere ? INT64_MAX : room[r];
        }
    }
    for (int part = 0; part < (int)parts; part++) {
        const int *task = bundled ? terms->bundles->task + terms->bundles->first[part] : &part;
        int count = bundled ? terms->bundles->first[part + 1] - terms->bundles->first[part] : 1;
        fill_cost(openb, terms, task, count, cost + (size_t)part * sites);
        fill_demand(openb, terms, task, count, demand + (size_t)part * (size_t)resources);
    }
    *ret_grid = (struct grid){.parts = (int)parts,
                              .sites = openb->nodes + 1,
                              .resources = resources,
                              .cost = cost,
                              .demand = demand,
                              .capacity = capacity};
    return 0;
}

/* What its tasks demand; a bundle all of its GPU. */
static void fill_demand(const struct openb *openb, const struct openb_terms *terms, const int *task,
                        int count, int32_t *demand)
{
    for (int i = 0; i < count; i++) {
        const struct openb_task *at = &openb->task[task[i]];
        demand[0] += at->cpu_milli;
        demand[1] += at->memory_mib;
        if (terms->bundles != NULL) {
            demand[2] = at->gpus * OPENB_GPU;
        } else {
            demand[2] = at->gpus * at->gpu_milli;
            demand[3] = at->gpus > 0 ? at->gpus * terms->weight[at->gpu_milli] : 0;
        }
    }
}

static void fill_cost(const struct openb *openb, const struct openb_terms *terms, const int *task,
                      int count, uint32_t *cost)
{
    for (int node = 0; node < openb->nodes; node++) {
        int alike = openb->node[node].alike;
        if (alike < node) {
            cost[node] = cost[alike];
            continue;
        }
        double usd6 = 0;
        bool fits = true;
        for (int i = 0; i < count; i++) {
            fits = fits && openb_fits(openb, task[i], node);
            usd6 += terms->count ? 0 : (double)openb_cost_usd6(openb, task[i], node);
        }
        cost[node] = fits ? (uint32_t)fmin(usd6, COST_LIMIT) : GRID_CLOSED;
    }
    cost[openb->nodes] = (uint32_t)fmin((double)terms->leave_usd6 * count, COST_LIMIT);
}

double openb_heaviest(const double *value, int *count)
{
    static double best[OPENB_GPU + 1];
    static int last[OPENB_GPU + 1];
    memset(best, 0, sizeof(best));
    memset(last, 0, sizeof(last));
    for (int room = 1; room <= OPENB_GPU; room++) {
        best[room] = best[room - 1];
        last[room] = 0;
        for (int share = 1; share <= room; share++) {
            if (value[share] > 0 && best[room - share] + value[share] > best[room]) {
                best[room] = best[room - share] + value[share];
                last[room] = share;
            }
        }
    }
    memset(count, 0, (OPENB_GPU + 1) * sizeof(int));
    for (int room = OPENB_GPU; room > 0;) {
        count[last[room]] += last[room] > 0;
        room -= last[room] > 0 ? last[room] : 1;
    }
    return best[OPENB_GPU];
}

bool openb_weights_hold(const int32_t *weight)
{
    static double value[OPENB_GPU + 1];
    static int count[OPENB_GPU + 1];
    for (int share = 0; share <= OPENB_GPU; share++) {
        if (weight[share] < 0 || (share == 0 && weight[share] != 0)) {
            return false;
        }
        value[share] = weight[share];
    }
    return openb_heaviest(value, count) <= OPENB_WHOLE;
}
