#include "model/solve/reduce.h"

#include <string.h>

/* Sums of costs and of bytes stay below this: range_check refuses the rest. */
#define SUM_MAX (INT64_C(1) << 60)
/* No assignment costs as much as this: a cell that does is closed, so that int64 never overflows.
 */
#define COST_MAX (INT64_C(1) << 61)

static int tables_alloc(struct reduced *reduced, struct arena *arena, struct error *err);
static int edges_make(struct reduced *reduced, struct arena *arena, struct error *err);
static int edge_find(struct reduced *reduced, int *edge_of, int a, int b);
static void edge_add_pair(struct reduced *reduced, struct edge *edge,
                          const struct problem_pair *pair);
static void edge_add_rule(struct reduced *reduced, struct edge *edge,
                          const struct problem_rule *rule);
static int range_check(const struct problem *problem, struct error *err);
static int meters_make(struct reduced *reduced, struct arena *arena, struct error *err);
static int meter_fold(struct reduced *reduced, int meter, struct error *err);
static void meter_range(const struct reduced *reduced, int meter, nusd *ret_min, nusd *ret_max);
static nusd meter_line(const struct problem_meter *meter, int64_t min, int64_t max,
                       int64_t *ret_slope, bool *ret_active);
static int keep_metered_pairs(struct reduced *reduced, struct arena *arena, struct error *err);
static void normalise(struct reduced *reduced);
static void close_dear_cells(struct reduced *reduced);
static bool propagate_edges(struct reduced *reduced);
static bool propagate_capacity(struct reduced *reduced);
static bool propagate_apart(struct reduced *reduced);
static void sweep(struct reduced *reduced, bool forward);
static void pull(struct reduced *reduced, int part);
static void push(struct reduced *reduced, int part, bool forward);
static int64_t floor_div(nusd a, nusd b);

static size_t cell(const struct reduced *reduced, int a, int b)
{
    return (size_t)a * (size_t)reduced->sites + (size_t)b;
}

int reduce_build(const struct problem *problem, struct arena *arena, struct reduced *ret_reduced,
                 struct error *err)
{
    struct reduced reduced = {.problem = problem,
                              .parts = problem->part_count,
                              .sites = problem->site_count,
                              .cutoff = COST_MAX};
    int rc = range_check(problem, err);
    if (rc == 0) {
        rc = tables_alloc(&reduced, arena, err);
    }
    if (rc == 0) {
        rc = edges_make(&reduced, arena, err);
    }
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        for (int site = 0; rule->kind == RULE_SITES && site < reduced.sites; site++) {
            if (!rule->allowed[site]) {
                reduce_close(&reduced, rule->a, site);
            }
        }
    }
    reduce_propagate(&reduced);
    if (!reduced.empty) {
        rc = meters_make(&reduced, arena, err);
        if (rc < 0) {
            return rc;
        }
        normalise(&reduced);
    }
    *ret_reduced = reduced;
    return 0;
}

void reduce_propagate(struct reduced *reduced)
{
    bool changed = true;
    while (changed && !reduced->empty) {
        changed = propagate_edges(reduced);
        changed = propagate_capacity(reduced) || changed;
        changed = propagate_apart(reduced) || changed;
    }
}

void reduce_tighten(struct reduced *reduced, int passes)
{
    int64_t before = reduced->constant;
    for (int pass = 0; pass < passes && !reduced->empty; pass++) {
        sweep(reduced, true);
        if (!reduced->empty) {
            sweep(reduced, false);
        }
        if (!reduced->empty) {
            reduce_propagate(reduced);
        }
        if (pass % 8 == 7) {
            /* Less than a ten-thousandth of what is missing to the cutoff in eight passes. */
            nusd missing = (nusd)reduced->cutoff - reduced->constant;
            nusd gained = (nusd)reduced->constant - before;
            if (gained <= 0 || gained * 10000 < missing) {
                break;
            }
            before = reduced->constant;
        }
    }
    if (!reduced->empty) {
        normalise(reduced);
        close_dear_cells(reduced);
        reduce_propagate(reduced);
    }
}

void reduce_close(struct reduced *reduced, int part, int site)
{
    size_t at = cell(reduced, part, site);
    if (!reduced->open[at]) {
        return;
    }
    reduced->open[at] = false;
    if (--reduced->open_count[part] == 0) {
        reduced->empty = true;
    }
    for (int k = 0; k < reduced->degree[part]; k++) {
        struct edge *edge = &reduced->edges[reduced->incident[part][k]];
        for (int other = 0; other < reduced->sites; other++) {
            edge->open[edge->a == part ? cell(reduced, site, other) : cell(reduced, other, site)] =
                false;
        }
    }
}

int64_t reduce_residual(const struct reduced *reduced, const struct active_meter *meter,
                        nusd volume)
{
    const struct problem_meter *source = &reduced->problem->meters[meter->meter];
    nusd charge = meter_charge(source, (int64_t)volume);
    nusd line = floor_div(volume * meter->slope_nusd, source->per_bytes);
    nusd rest = charge - line - meter->intercept;
    return rest < 0 ? 0 : (int64_t)rest;
}

nusd reduce_part_bytes(const struct reduced *reduced, int meter, int part, int site)
{
    const struct problem_use *use = reduced->problem->parts[part].use;
    nusd bytes = 0;
    for (size_t k = 0; use != NULL && k < PROBLEM_USES; k++) {
        const struct problem_use *slot = &use[(size_t)site * PROBLEM_USES + k];
        bytes += slot->meter == meter ? slot->bytes : 0;
    }
    return bytes;
}

nusd reduce_edge_bytes(const struct reduced *reduced, int meter, const struct edge *edge,
                       int site_a, int site_b)
{
    nusd bytes = 0;
    for (int i = 0; i < edge->pair_count; i++) {
        const struct problem_use *use = reduced->problem->pairs[edge->pairs[i]].use;
        size_t at =
            edge->swapped[i] ? cell(reduced, site_b, site_a) : cell(reduced, site_a, site_b);
        for (size_t k = 0; k < PROBLEM_USES; k++) {
            const struct problem_use *slot = &use[at * PROBLEM_USES + k];
            bytes += slot->meter == meter ? slot->bytes : 0;
        }
    }
    return bytes;
}

bool reduce_edge_is_idle(const struct reduced *reduced, const struct edge *edge)
{
    if (edge->pair_count > 0) {
        return false;
    }
    for (int s = 0; s < reduced->sites; s++) {
        for (int t = 0; t < reduced->sites; t++) {
            size_t at = cell(reduced, s, t);
            bool wanted = reduced->open[cell(reduced, edge->a, s)] &&
                          reduced->open[cell(reduced, edge->b, t)];
            if (wanted && (!edge->open[at] || edge->cost[at] != 0)) {
                return false;
            }
        }
    }
    return true;
}

bool reduce_capacity_is_idle(const struct reduced *reduced, const struct problem_rule *rule)
{
    nusd sum = 0;
    for (int part = 0; part < reduced->parts; part++) {
        if (reduced->open[cell(reduced, part, rule->site)]) {
            sum += reduced->problem->parts[part].demand[rule->resource];
        }
    }
    return sum <= rule->capacity;
}

static int tables_alloc(struct reduced *reduced, struct arena *arena, struct error *err)
{
    size_t parts = (size_t)reduced->parts;
    size_t cells = parts * (size_t)reduced->sites;
    reduced->open = arena_array(arena, cells + 1, sizeof(*reduced->open));
    reduced->open_count = arena_array(arena, parts + 1, sizeof(*reduced->open_count));
    reduced->node = arena_array(arena, cells + 1, sizeof(*reduced->node));
    reduced->incident = arena_array(arena, parts + 1, sizeof(*reduced->incident));
    reduced->degree = arena_array(arena, parts + 1, sizeof(*reduced->degree));
    if (reduced->open == NULL || reduced->open_count == NULL || reduced->node == NULL ||
        reduced->incident == NULL || reduced->degree == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tables of %d parts",
                         reduced->parts);
    }
    for (int part = 0; part < reduced->parts; part++) {
        reduced->open_count[part] = reduced->sites;
        for (int site = 0; site < reduced->sites; site++) {
            reduced->open[cell(reduced, part, site)] = true;
            reduced->node[cell(reduced, part, site)] = reduced->problem->parts[part].cost[site];
        }
    }
    return 0;
}

static int edges_make(struct reduced *reduced, struct arena *arena, struct error *err)
{
    const struct problem *problem = reduced->problem;
    size_t parts = (size_t)reduced->parts;
    size_t cells = (size_t)reduced->sites * (size_t)reduced->sites;
    size_t edges_max = (size_t)problem->pair_count + (size_t)problem->rule_count;
    reduced->edges = arena_array(arena, edges_max + 1, sizeof(*reduced->edges));
    int *edge_of = arena_array(arena, parts * parts + 1, sizeof(*edge_of));
    int *slots = arena_array(arena, edges_max * 2 + 1, sizeof(*slots));
    if (reduced->edges == NULL || edge_of == NULL || slots == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu pairs", edges_max);
    }
    for (int i = 0; i < problem->pair_count; i++) {
        (void)edge_find(reduced, edge_of, problem->pairs[i].a, problem->pairs[i].b);
    }
    for (int i = 0; i < problem->rule_count; i++) {
        if (problem->rules[i].kind == RULE_PAIR) {
            (void)edge_find(reduced, edge_of, problem->rules[i].a, problem->rules[i].b);
        }
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        edge->cost = arena_array(arena, cells, sizeof(*edge->cost));
        edge->open = arena_array(arena, cells, sizeof(*edge->open));
        if (edge->cost == NULL || edge->open == NULL) {
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the table of pair %d", i);
        }
        memset(edge->open, true, cells);
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        edge_add_pair(reduced, &reduced->edges[edge_find(reduced, edge_of, pair->a, pair->b)],
                      pair);
    }
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_PAIR) {
            edge_add_rule(reduced, &reduced->edges[edge_find(reduced, edge_of, rule->a, rule->b)],
                          rule);
        }
    }
    for (int part = 0; part < reduced->parts; part++) {
        reduced->incident[part] = slots;
        for (int i = 0; i < reduced->edge_count; i++) {
            if (reduced->edges[i].a == part || reduced->edges[i].b == part) {
                reduced->incident[part][reduced->degree[part]++] = i;
            }
        }
        slots += reduced->degree[part];
    }
    return 0;
}

/* The edge of two parts, made when it is new. edge_of holds index + 1. */
static int edge_find(struct reduced *reduced, int *edge_of, int a, int b)
{
    int low = a < b ? a : b;
    int high = a < b ? b : a;
    int *slot = &edge_of[(size_t)low * (size_t)reduced->parts + (size_t)high];
    if (*slot == 0) {
        reduced->edges[reduced->edge_count++] = (struct edge){.a = low, .b = high};
        *slot = reduced->edge_count;
    }
    return *slot - 1;
}

static void edge_add_pair(struct reduced *reduced, struct edge *edge,
                          const struct problem_pair *pair)
{
    for (int s = 0; s < reduced->sites; s++) {
        for (int t = 0; t < reduced->sites; t++) {
            edge->cost[pair->a == edge->a ? cell(reduced, s, t) : cell(reduced, t, s)] +=
                pair->cost[cell(reduced, s, t)];
        }
    }
}

static void edge_add_rule(struct reduced *reduced, struct edge *edge,
                          const struct problem_rule *rule)
{
    for (int s = 0; s < reduced->sites; s++) {
        for (int t = 0; t < reduced->sites; t++) {
            if (!rule->allowed[cell(reduced, s, t)]) {
                edge->open[rule->a == edge->a ? cell(reduced, s, t) : cell(reduced, t, s)] = false;
            }
        }
    }
}

/* The largest amounts that any sum can reach, with every table at its worst at once. */
static int range_check(const struct problem *problem, struct error *err)
{
    size_t sites = (size_t)problem->site_count;
    nusd sum = 0;
    nusd bytes = 0;
    for (int i = 0; i < problem->part_count + problem->pair_count; i++) {
        bool is_part = i < problem->part_count;
        const struct problem_part *part = is_part ? &problem->parts[i] : NULL;
        const struct problem_pair *pair = is_part ? NULL : &problem->pairs[i - problem->part_count];
        const int64_t *cost = is_part ? part->cost : pair->cost;
        const struct problem_use *use = is_part ? part->use : pair->use;
        size_t cells = is_part ? sites : sites * sites;
        nusd most = 0;
        nusd most_bytes = 0;
        for (size_t k = 0; k < cells; k++) {
            nusd size = cost[k] < 0 ? -(nusd)cost[k] : cost[k];
            most = size > most ? size : most;
        }
        for (size_t k = 0; use != NULL && k < cells * PROBLEM_USES; k++) {
            most_bytes = use[k].meter >= 0 && use[k].bytes > most_bytes ? use[k].bytes : most_bytes;
        }
        sum += most;
        bytes += most_bytes * PROBLEM_USES;
    }
    if (bytes > SUM_MAX) {
        return error_set(err, ERR_OVERFLOW, 0, "the bytes of all choices pass 2^60 per month");
    }
    for (int i = 0; i < problem->meter_count && sum <= SUM_MAX; i++) {
        const struct problem_meter *meter = &problem->meters[i];
        for (int tier = 0; tier < meter->tier_count; tier++) {
            nusd price = meter->price_nusd[tier];
            sum += (price < 0 ? -price : price) * bytes / meter->per_bytes + 1;
        }
    }
    if (sum > SUM_MAX) {
        return error_set(err, ERR_OVERFLOW, 0,
                         "the costs could sum to more than 2^60 nano-dollars per month");
    }
    return 0;
}

static int meters_make(struct reduced *reduced, struct arena *arena, struct error *err)
{
    const struct problem *problem = reduced->problem;
    reduced->meters =
        arena_array(arena, (size_t)problem->meter_count + 1, sizeof(*reduced->meters));
    if (reduced->meters == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d meters", problem->meter_count);
    }
    int rc = keep_metered_pairs(reduced, arena, err);
    for (int i = 0; i < problem->meter_count && rc == 0; i++) {
        rc = meter_fold(reduced, i, err);
    }
    if (rc < 0) {
        return rc;
    }
    /* Now only what an active meter needs is kept. */
    for (int i = 0; i < reduced->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        int kept = 0;
        for (int k = 0; k < edge->pair_count; k++) {
            const struct problem_use *use = problem->pairs[edge->pairs[k]].use;
            size_t slots = (size_t)reduced->sites * (size_t)reduced->sites * PROBLEM_USES;
            bool active = false;
            for (size_t slot = 0; slot < slots && !active; slot++) {
                for (int m = 0; m < reduced->meter_count; m++) {
                    active = active ||
                             (use[slot].meter == reduced->meters[m].meter && use[slot].bytes > 0);
                }
            }
            if (active) {
                edge->pairs[kept] = edge->pairs[k];
                edge->swapped[kept++] = edge->swapped[k];
            }
        }
        edge->pair_count = kept;
    }
    return 0;
}

/* Puts a meter's line into the tables; records it when a residual is left. */
static int meter_fold(struct reduced *reduced, int meter, struct error *err)
{
    const struct problem_meter *source = &reduced->problem->meters[meter];
    nusd min;
    nusd max;
    meter_range(reduced, meter, &min, &max);
    if (max == 0) {
        return 0;
    }
    if ((nusd)source->base_bytes + max > INT64_MAX) {
        return error_set(err, ERR_OVERFLOW, 0, "meter %s could pass 2^63 bytes", source->name);
    }
    int64_t slope;
    bool active;
    nusd intercept = meter_line(source, (int64_t)min, (int64_t)max, &slope, &active);
    reduced->constant += (int64_t)intercept;
    for (int part = 0; part < reduced->parts; part++) {
        for (int site = 0; site < reduced->sites; site++) {
            nusd bytes = reduce_part_bytes(reduced, meter, part, site);
            reduced->node[cell(reduced, part, site)] += floor_div(bytes * slope, source->per_bytes);
        }
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        for (int s = 0; edge->pair_count > 0 && s < reduced->sites; s++) {
            for (int t = 0; t < reduced->sites; t++) {
                nusd bytes = reduce_edge_bytes(reduced, meter, edge, s, t);
                edge->cost[cell(reduced, s, t)] += floor_div(bytes * slope, source->per_bytes);
            }
        }
    }
    if (active) {
        reduced->meters[reduced->meter_count++] = (struct active_meter){.meter = meter,
                                                                        .slope_nusd = slope,
                                                                        .intercept = intercept,
                                                                        .volume_min = (int64_t)min,
                                                                        .volume_max = (int64_t)max};
    }
    return 0;
}

/* The least and the most that the open cells can put on a meter, each table on its own. */
static void meter_range(const struct reduced *reduced, int meter, nusd *ret_min, nusd *ret_max)
{
    nusd sum_min = 0;
    nusd sum_max = 0;
    for (int part = 0; part < reduced->parts; part++) {
        nusd least = -1;
        nusd most = 0;
        for (int site = 0; site < reduced->sites; site++) {
            if (reduced->open[cell(reduced, part, site)]) {
                nusd bytes = reduce_part_bytes(reduced, meter, part, site);
                least = least < 0 || bytes < least ? bytes : least;
                most = bytes > most ? bytes : most;
            }
        }
        sum_min += least < 0 ? 0 : least;
        sum_max += most;
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        const struct edge *edge = &reduced->edges[i];
        nusd least = -1;
        nusd most = 0;
        for (int s = 0; edge->pair_count > 0 && s < reduced->sites; s++) {
            for (int t = 0; t < reduced->sites; t++) {
                if (edge->open[cell(reduced, s, t)]) {
                    nusd bytes = reduce_edge_bytes(reduced, meter, edge, s, t);
                    least = least < 0 || bytes < least ? bytes : least;
                    most = bytes > most ? bytes : most;
                }
            }
        }
        sum_min += least < 0 ? 0 : least;
        sum_max += most;
    }
    *ret_min = sum_min;
    *ret_max = sum_max;
}

/* A line below the charge on [min, max]: with one price it is the charge itself; else the chord,
 * moved down until it supports the charge (which is linear between the ends of tiers, so those and
 * the two ends of the range decide). Returns the intercept, rounded down. */
static nusd meter_line(const struct problem_meter *meter, int64_t min, int64_t max,
                       int64_t *ret_slope, bool *ret_active)
{
    int first = 0;
    while (first + 1 < meter->tier_count && meter->up_to_bytes[first] <= meter->base_bytes + min) {
        first++;
    }
    bool one_price = true;
    for (int i = first + 1; i < meter->tier_count; i++) {
        bool reached = meter->up_to_bytes[i - 1] < meter->base_bytes + max;
        one_price = one_price && (!reached || meter->price_nusd[i] == meter->price_nusd[first]);
    }
    nusd low = meter_charge(meter, min);
    nusd high = meter_charge(meter, max);
    int64_t slope = one_price ? meter->price_nusd[first]
                              : floor_div((high - low) * meter->per_bytes, (nusd)max - min);
    nusd least = low - floor_div((nusd)slope * min, meter->per_bytes);
    for (int i = 0; i <= meter->tier_count; i++) {
        nusd at = i == meter->tier_count ? max : (nusd)meter->up_to_bytes[i] - meter->base_bytes;
        if (at >= min && at <= max) {
            nusd above =
                meter_charge(meter, (int64_t)at) - floor_div((nusd)slope * at, meter->per_bytes);
            least = above < least ? above : least;
        }
    }
    *ret_slope = slope;
    *ret_active = !one_price;
    /* Two roundings: the charge's own and this line's. */
    return least - 2;
}

/* Lists on each edge the pairs that use any meter; meters_make drops those it does not need. */
static int keep_metered_pairs(struct reduced *reduced, struct arena *arena, struct error *err)
{
    const struct problem *problem = reduced->problem;
    for (int i = 0; i < reduced->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        int count = 0;
        for (int round = 0; round < 2; round++) {
            for (int k = 0; k < problem->pair_count; k++) {
                const struct problem_pair *pair = &problem->pairs[k];
                bool same = pair->a == edge->a && pair->b == edge->b;
                bool swapped = pair->a == edge->b && pair->b == edge->a;
                if (pair->use == NULL || (!same && !swapped)) {
                    continue;
                }
                if (round == 0) {
                    count++;
                } else {
                    edge->pairs[edge->pair_count] = k;
                    edge->swapped[edge->pair_count++] = swapped;
                }
            }
            if (round == 0) {
                edge->pairs = arena_array(arena, (size_t)count + 1, sizeof(*edge->pairs));
                edge->swapped = arena_array(arena, (size_t)count + 1, sizeof(*edge->swapped));
                if (edge->pairs == NULL || edge->swapped == NULL) {
                    return error_set(err, ERR_NO_MEMORY, 0, "no memory for pair %d", i);
                }
            }
        }
    }
    return 0;
}

/* Takes the least open cost out of every table into the constant, so that all are >= 0. */
static void normalise(struct reduced *reduced)
{
    for (int i = 0; i < reduced->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        size_t cells = (size_t)reduced->sites * (size_t)reduced->sites;
        int64_t least = INT64_MAX;
        for (size_t at = 0; at < cells; at++) {
            if (edge->open[at] && edge->cost[at] < least) {
                least = edge->cost[at];
            }
        }
        for (size_t at = 0; at < cells; at++) {
            edge->cost[at] = edge->open[at] ? edge->cost[at] - least : 0;
        }
        reduced->constant += least == INT64_MAX ? 0 : least;
    }
    for (int part = 0; part < reduced->parts; part++) {
        int64_t *node = &reduced->node[cell(reduced, part, 0)];
        const bool *open = &reduced->open[cell(reduced, part, 0)];
        int64_t least = INT64_MAX;
        for (int site = 0; site < reduced->sites; site++) {
            if (open[site] && node[site] < least) {
                least = node[site];
            }
        }
        for (int site = 0; site < reduced->sites; site++) {
            node[site] = open[site] ? node[site] - least : 0;
        }
        reduced->constant += least == INT64_MAX ? 0 : least;
    }
}

/* Every other table is >= 0: what a cell and its two parts cost bounds any use of it. */
static void close_dear_cells(struct reduced *reduced)
{
    for (int i = 0; i < reduced->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        for (int s = 0; s < reduced->sites; s++) {
            for (int t = 0; t < reduced->sites; t++) {
                size_t at = cell(reduced, s, t);
                nusd least = (nusd)reduced->constant + edge->cost[at] +
                             reduced->node[cell(reduced, edge->a, s)] +
                             reduced->node[cell(reduced, edge->b, t)];
                if (edge->open[at] && least > reduced->cutoff) {
                    edge->open[at] = false;
                }
            }
        }
    }
}

/* A site without any open partner on some edge cannot be chosen. */
static bool propagate_edges(struct reduced *reduced)
{
    bool changed = false;
    for (int i = 0; i < reduced->edge_count; i++) {
        const struct edge *edge = &reduced->edges[i];
        for (int side = 0; side < 2; side++) {
            int part = side == 0 ? edge->a : edge->b;
            for (int s = 0; s < reduced->sites; s++) {
                bool partner = false;
                for (int t = 0; t < reduced->sites && !partner; t++) {
                    partner = edge->open[side == 0 ? cell(reduced, s, t) : cell(reduced, t, s)];
                }
                if (!partner && reduced->open[cell(reduced, part, s)]) {
                    reduce_close(reduced, part, s);
                    changed = true;
                }
            }
        }
    }
    return changed;
}

/* What is left of a site after the parts that can be nowhere else must hold each other part. */
static bool propagate_capacity(struct reduced *reduced)
{
    const struct problem *problem = reduced->problem;
    bool changed = false;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind != RULE_CAPACITY) {
            continue;
        }
        if (rule->capacity < 0) { /* not even an empty site keeps it */
            reduced->empty = true;
            return true;
        }
        nusd left = rule->capacity;
        for (int part = 0; part < reduced->parts; part++) {
            if (reduced->open_count[part] == 1 && reduced->open[cell(reduced, part, rule->site)]) {
                left -= problem->parts[part].demand[rule->resource];
            }
        }
        for (int part = 0; part < reduced->parts; part++) {
            bool forced = reduced->open_count[part] == 1;
            nusd demand = problem->parts[part].demand[rule->resource];
            if (reduced->open[cell(reduced, part, rule->site)] &&
                (forced ? left < 0 : demand > left)) {
                reduce_close(reduced, part, rule->site);
                changed = true;
                if (reduced->empty) {
                    return true;
                }
            }
        }
    }
    return changed;
}

static bool propagate_apart(struct reduced *reduced)
{
    const struct problem *problem = reduced->problem;
    bool changed = false;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        for (int k = 0; rule->kind == RULE_APART && k < rule->part_count; k++) {
            int part = rule->parts[k];
            int only = -1;
            for (int s = 0; s < reduced->sites && reduced->open_count[part] == 1; s++) {
                only = reduced->open[cell(reduced, part, s)] ? s : only;
            }
            for (int j = 0; only >= 0 && j < rule->part_count; j++) {
                int other = rule->parts[j];
                if (other != part && reduced->open[cell(reduced, other, only)]) {
                    reduce_close(reduced, other, only);
                    changed = true;
                    if (reduced->empty) {
                        return true;
                    }
                }
            }
        }
    }
    return changed;
}

/* One pass over the parts in order: a part collects what its edges can give, its least goes into
 * the constant, dear sites are closed, and the rest is shared among the edges still ahead. */
static void sweep(struct reduced *reduced, bool forward)
{
    for (int i = 0; i < reduced->parts && !reduced->empty; i++) {
        int part = forward ? i : reduced->parts - 1 - i;
        pull(reduced, part);
        if (reduced->empty) {
            return;
        }
        int64_t *node = &reduced->node[cell(reduced, part, 0)];
        int64_t least = INT64_MAX;
        for (int s = 0; s < reduced->sites; s++) {
            if (reduced->open[cell(reduced, part, s)] && node[s] < least) {
                least = node[s];
            }
        }
        BERTH_ASSERT(least != INT64_MAX, "part %d has no site", part);
        reduced->constant += least;
        for (int s = 0; s < reduced->sites; s++) {
            if (!reduced->open[cell(reduced, part, s)]) {
                continue;
            }
            node[s] -= least;
            if ((nusd)reduced->constant + node[s] > reduced->cutoff) {
                reduce_close(reduced, part, s);
            }
        }
        if (!reduced->empty) {
            push(reduced, part, forward);
        }
    }
}

static void pull(struct reduced *reduced, int part)
{
    for (int k = 0; k < reduced->degree[part]; k++) {
        struct edge *edge = &reduced->edges[reduced->incident[part][k]];
        bool is_a = edge->a == part;
        size_t row = is_a ? (size_t)reduced->sites : 1;
        size_t step = is_a ? 1 : (size_t)reduced->sites;
        for (int s = 0; s < reduced->sites && !reduced->empty; s++) {
            if (!reduced->open[cell(reduced, part, s)]) {
                continue;
            }
            size_t first = (size_t)s * row;
            int64_t least = INT64_MAX;
            for (int t = 0; t < reduced->sites; t++) {
                size_t at = first + (size_t)t * step;
                if (edge->open[at] && edge->cost[at] < least) {
                    least = edge->cost[at];
                }
            }
            if (least == INT64_MAX) {
                reduce_close(reduced, part, s);
                continue;
            }
            for (int t = 0; t < reduced->sites && least != 0; t++) {
                size_t at = first + (size_t)t * step;
                edge->cost[at] -= edge->open[at] ? least : 0;
            }
            int64_t *node = &reduced->node[cell(reduced, part, s)];
            *node = *node > COST_MAX ? *node : *node + least;
        }
    }
}

static void push(struct reduced *reduced, int part, bool forward)
{
    int ahead = 0;
    for (int k = 0; k < reduced->degree[part]; k++) {
        const struct edge *edge = &reduced->edges[reduced->incident[part][k]];
        int other = edge->a == part ? edge->b : edge->a;
        ahead += (other > part) == forward;
    }
    int behind = reduced->degree[part] - ahead;
    int64_t shares = ahead > behind ? ahead : behind;
    for (int k = 0; k < reduced->degree[part] && ahead > 0; k++) {
        struct edge *edge = &reduced->edges[reduced->incident[part][k]];
        int other = edge->a == part ? edge->b : edge->a;
        if ((other > part) != forward) {
            continue;
        }
        size_t row = edge->a == part ? (size_t)reduced->sites : 1;
        size_t step = edge->a == part ? 1 : (size_t)reduced->sites;
        for (int s = 0; s < reduced->sites; s++) {
            int64_t *node = &reduced->node[cell(reduced, part, s)];
            /* The share of what was there at first: the last edge of `shares` takes its rest. */
            int64_t share = *node / shares;
            if (!reduced->open[cell(reduced, part, s)] || share == 0) {
                continue;
            }
            *node -= share;
            for (int t = 0; t < reduced->sites; t++) {
                size_t at = (size_t)s * row + (size_t)t * step;
                edge->cost[at] += edge->open[at] ? share : 0;
                edge->open[at] = edge->open[at] && edge->cost[at] < COST_MAX;
            }
        }
        shares = shares > 1 ? shares - 1 : 1;
    }
}

static int64_t floor_div(nusd a, nusd b)
{
    nusd quotient = a / b;
    if (a % b != 0 && (a < 0) != (b < 0)) {
        quotient--;
    }
    return (int64_t)quotient;
}
