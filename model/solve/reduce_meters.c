/*
 * Meters in the tables. What a flat one charges is added as it is. Of the others: what the open
 * cells can put on each, the line below its charge, and what is left for the active ones. All of it
 * goes over the cells once, whatever the number of meters.
 */
#include <string.h>

#include "model/solve/reduce.h"

/* Tables between two looks at the watch. */
#define EVERY 256

/* What is known of one meter before it is folded into the tables. */
struct fold {
    nusd min; /* of the sums over all tables */
    nusd max;
    int64_t slope;
    nusd least; /* in the table at hand */
    nusd most;
    size_t met; /* cells of the table at hand that use it */
};

/* Goes over tables and their cells. */
struct folding {
    struct reduced *reduced;
    struct cell_uses uses;
    struct fold *folds; /* [meter] */
    int *touched;       /* meters of the table at hand */
    int touched_count;
    size_t cells; /* of the table at hand: open ones */
};

static int keep_metered_pairs(struct reduced *reduced, struct arena *arena, struct error *err);
static void keep_active_pairs(struct reduced *reduced);
static void ranges_find(struct folding *folding);
static void range_cell(struct folding *folding);
static void range_table(struct folding *folding);
static int line_find(struct folding *folding, int meter, struct error *err);
static void lines_add(struct folding *folding);
static int64_t uses_cost(const struct folding *folding);
static int first_tier(const struct problem_meter *meter, int64_t min);
static bool has_one_price(const struct problem_meter *meter, int first, int64_t max);
static nusd meter_line(const struct problem_meter *meter, int64_t min, int64_t max,
                       int64_t *ret_slope, bool *ret_active);
static void uses_add(const struct reduced *reduced, const struct problem_use *use, int use_count,
                     size_t cell, struct cell_uses *uses);
static void uses_clear(struct cell_uses *uses);
static nusd cell_bytes(const struct problem_use *use, int use_count, size_t cell, int meter);
static int64_t floor_div(nusd a, int64_t b);

static size_t pair_cell(const struct reduced *reduced, int part_b, int a, int b)
{
    return (size_t)a * (size_t)reduced->count[part_b] + (size_t)b;
}

int reduce_meters(struct reduced *reduced, struct arena *arena, struct error *err)
{
    const struct problem *problem = reduced->problem;
    size_t meters = (size_t)problem->meter_count + 1;
    struct folding folding = {.reduced = reduced};
    if (reduced->flat_count == problem->meter_count) {
        return 0;
    }
    folding.folds = arena_array(arena, meters, sizeof(*folding.folds));
    folding.touched = arena_array(arena, meters, sizeof(*folding.touched));
    if (folding.folds == NULL || folding.touched == NULL ||
        cell_uses_init(&folding.uses, problem, arena) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d meters", problem->meter_count);
    }
    int rc = keep_metered_pairs(reduced, arena, err);
    if (rc < 0) {
        return rc;
    }
    ranges_find(&folding);
    if (reduce_is_cut(reduced)) {
        return 0;
    }
    for (int meter = 0; meter < problem->meter_count && rc == 0; meter++) {
        rc = line_find(&folding, meter, err);
    }
    if (rc < 0) {
        return rc;
    }
    lines_add(&folding);
    keep_active_pairs(reduced);
    return 0;
}

/* However a charge is rounded, it is not below the sum of its cells' rounded down. */
int reduce_flat_meters(struct reduced *reduced, struct arena *arena, struct error *err)
{
    const struct problem *problem = reduced->problem;
    size_t meters = (size_t)problem->meter_count + 1;
    reduced->meters = arena_array(arena, meters, sizeof(*reduced->meters));
    reduced->active_of = arena_array(arena, meters, sizeof(*reduced->active_of));
    reduced->meter_price = arena_array(arena, meters, sizeof(*reduced->meter_price));
    reduced->flat = arena_array(arena, meters, sizeof(*reduced->flat));
    if (reduced->meters == NULL || reduced->active_of == NULL || reduced->meter_price == NULL ||
        reduced->flat == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d meters", problem->meter_count);
    }
    reduced->flat_count = 0;
    for (int i = 0; i < problem->meter_count; i++) {
        const struct problem_meter *meter = &problem->meters[i];
        bool counts = reduced->bytes_max <= INT64_MAX - meter->base_bytes;
        int tier = first_tier(meter, 0);
        int64_t per = meter->per_bytes;
        reduced->active_of[i] = -1;
        if (counts && has_one_price(meter, tier, (int64_t)reduced->bytes_max)) {
            bool is_power = (per & (per - 1)) == 0; /* a GiB */
            reduced->flat_count++;
            reduced->flat[i] = (struct flat_meter){
                .price_nusd = meter->price_nusd[tier],
                .per_bytes = per,
                .shift = is_power ? __builtin_ctzll((unsigned long long)per) : -1};
            reduced->meter_price[i] = (double)meter->price_nusd[tier] / (double)per;
        }
    }
    return 0;
}

void reduce_add_flat_parts(struct reduced *reduced)
{
    for (int part = 0; part < reduced->parts; part++) {
        const struct problem_part *source = &reduced->problem->parts[part];
        size_t first = reduce_node(reduced, part, 0);
        if (source->use != NULL && reduced->flat_count > 0) {
            reduce_add_flat(reduced, source->use, source->use_count, &reduced->open[first],
                            (size_t)reduced->count[part], &reduced->node[first], 1);
        }
    }
}

void reduce_add_flat(const struct reduced *reduced, const struct problem_use *use, int use_count,
                     const bool *open, size_t cells, int64_t *cost, size_t step)
{
    for (size_t cell = 0; cell < cells; cell++, use += use_count) {
        for (int k = 0; open[cell] && k < use_count; k++) {
            if (use[k].meter >= 0 && reduce_is_flat(reduced, use[k].meter)) {
                const struct flat_meter *flat = &reduced->flat[use[k].meter];
                nusd product = (nusd)use[k].bytes * flat->price_nusd;
                cost[cell * step] += flat->shift >= 0 ? (int64_t)(product >> flat->shift)
                                                      : floor_div(product, flat->per_bytes);
            }
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

nusd reduce_line(const struct problem_meter *meter, int64_t min, int64_t max, int64_t *ret_slope)
{
    bool active;
    return meter_line(meter, min, max, ret_slope, &active);
}

/* The charge is linear between the ends of tiers: those and the ends of the range decide. */
nusd reduce_intercept(const struct problem_meter *meter, int64_t slope, int64_t min, int64_t max)
{
    nusd least = meter_charge(meter, min) - floor_div((nusd)slope * min, meter->per_bytes);
    for (int i = 0; i <= meter->tier_count; i++) {
        nusd at = i == meter->tier_count ? max : (nusd)meter->up_to_bytes[i] - meter->base_bytes;
        if (at >= min && at <= max) {
            nusd above =
                meter_charge(meter, (int64_t)at) - floor_div((nusd)slope * at, meter->per_bytes);
            least = above < least ? above : least;
        }
    }
    /* Two roundings: the charge's own and the line's. */
    return least - 2;
}

int64_t reduce_line_cost(const struct problem_meter *meter, int64_t slope, int64_t bytes)
{
    return floor_div((nusd)bytes * slope, meter->per_bytes);
}

nusd reduce_part_bytes(const struct reduced *reduced, int meter, int part, int choice)
{
    const struct problem_part *source = &reduced->problem->parts[part];
    return cell_bytes(source->use, source->use_count, (size_t)choice, meter);
}

nusd reduce_edge_bytes(const struct reduced *reduced, int meter, const struct edge *edge,
                       int choice_a, int choice_b)
{
    nusd bytes = 0;
    for (int i = 0; i < edge->pair_count; i++) {
        const struct problem_pair *pair = &reduced->problem->pairs[edge->pairs[i]];
        size_t at = edge->swapped[i] ? pair_cell(reduced, edge->a, choice_b, choice_a)
                                     : pair_cell(reduced, edge->b, choice_a, choice_b);
        bytes += cell_bytes(pair->use, pair->use_count, at, meter);
    }
    return bytes;
}

int cell_uses_init(struct cell_uses *uses, const struct problem *problem, struct arena *arena)
{
    size_t meters = (size_t)problem->meter_count + 1;
    *uses = (struct cell_uses){
        .list = arena_array(arena, meters, sizeof(*uses->list)),
        .slot = arena_array(arena, meters, sizeof(*uses->slot)),
    };
    return uses->list == NULL || uses->slot == NULL ? ERR_NO_MEMORY : 0;
}

void reduce_part_uses(const struct reduced *reduced, int part, int choice, struct cell_uses *uses)
{
    const struct problem_part *source = &reduced->problem->parts[part];
    uses_clear(uses);
    uses_add(reduced, source->use, source->use_count, (size_t)choice, uses);
}

void reduce_edge_uses(const struct reduced *reduced, const struct edge *edge, int choice_a,
                      int choice_b, struct cell_uses *uses)
{
    uses_clear(uses);
    for (int i = 0; i < edge->pair_count; i++) {
        const struct problem_pair *pair = &reduced->problem->pairs[edge->pairs[i]];
        size_t at = edge->swapped[i] ? pair_cell(reduced, edge->a, choice_b, choice_a)
                                     : pair_cell(reduced, edge->b, choice_a, choice_b);
        uses_add(reduced, pair->use, pair->use_count, at, uses);
    }
}

/* Lists on each edge the pairs that use any meter. */
static int keep_metered_pairs(struct reduced *reduced, struct arena *arena, struct error *err)
{
    const struct problem *problem = reduced->problem;
    size_t pairs = (size_t)problem->pair_count + 1;
    int *list = arena_array(arena, pairs, sizeof(*list));
    bool *swapped = arena_array(arena, pairs, sizeof(*swapped));
    if (list == NULL || swapped == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d pairs", problem->pair_count);
    }
    for (int k = 0; k < problem->pair_count; k++) {
        reduced->edges[reduced->pair_edge[k]].pair_count += problem->pairs[k].use != NULL;
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        edge->pairs = list;
        edge->swapped = swapped;
        list += edge->pair_count;
        swapped += edge->pair_count;
        edge->pair_count = 0;
    }
    for (int k = 0; k < problem->pair_count; k++) {
        struct edge *edge = &reduced->edges[reduced->pair_edge[k]];
        if (problem->pairs[k].use != NULL) {
            edge->pairs[edge->pair_count] = k;
            edge->swapped[edge->pair_count++] = problem->pairs[k].a != edge->a;
        }
    }
    return 0;
}

/* Drops from the edges the pairs that no active meter needs. */
static void keep_active_pairs(struct reduced *reduced)
{
    const struct problem *problem = reduced->problem;
    for (int m = 0; m < reduced->meter_count; m++) {
        reduced->active_of[reduced->meters[m].meter] = m;
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        int kept = 0;
        for (int k = 0; k < edge->pair_count; k++) {
            const struct problem_pair *pair = &problem->pairs[edge->pairs[k]];
            const struct problem_use *use = pair->use;
            size_t slots = reduce_cells(reduced, edge) * (size_t)pair->use_count;
            bool active = false;
            for (size_t slot = 0; slot < slots && !active; slot++) {
                active = use[slot].meter >= 0 && use[slot].bytes > 0 &&
                         reduced->active_of[use[slot].meter] >= 0;
            }
            if (active) {
                edge->pairs[kept] = edge->pairs[k];
                edge->swapped[kept++] = edge->swapped[k];
            }
        }
        edge->pair_count = kept;
    }
}

/* The least and the most that the open cells can put on each meter, each table on its own. */
static void ranges_find(struct folding *folding)
{
    struct reduced *reduced = folding->reduced;
    for (int part = 0; part < reduced->parts && !reduced->cut; part++) {
        if (reduced->problem->parts[part].use == NULL) {
            continue;
        }
        for (int c = 0; c < reduced->count[part]; c++) {
            if (reduced->open[reduce_node(reduced, part, c)]) {
                reduce_part_uses(reduced, part, c, &folding->uses);
                range_cell(folding);
            }
        }
        range_table(folding);
    }
    for (int i = 0; i < reduced->edge_count && (i % EVERY != 0 || !reduce_is_cut(reduced)); i++) {
        const struct edge *edge = &reduced->edges[i];
        for (int s = 0; edge->pair_count > 0 && s < reduced->count[edge->a]; s++) {
            for (int t = 0; t < reduced->count[edge->b]; t++) {
                if (edge->open[reduce_cell(reduced, edge, s, t)]) {
                    reduce_edge_uses(reduced, edge, s, t, &folding->uses);
                    range_cell(folding);
                }
            }
        }
        range_table(folding);
    }
}

static void range_cell(struct folding *folding)
{
    folding->cells++;
    for (int i = 0; i < folding->uses.count; i++) {
        const struct problem_use *use = &folding->uses.list[i];
        struct fold *fold = &folding->folds[use->meter];
        if (fold->met++ == 0) {
            folding->touched[folding->touched_count++] = use->meter;
            fold->least = use->bytes;
            fold->most = use->bytes;
        }
        fold->least = use->bytes < fold->least ? use->bytes : fold->least;
        fold->most = use->bytes > fold->most ? use->bytes : fold->most;
    }
}

/* A cell that does not use a meter puts nothing on it. */
static void range_table(struct folding *folding)
{
    for (int i = 0; i < folding->touched_count; i++) {
        struct fold *fold = &folding->folds[folding->touched[i]];
        fold->min += fold->met == folding->cells ? fold->least : 0;
        fold->max += fold->most;
        fold->met = 0;
    }
    folding->touched_count = 0;
    folding->cells = 0;
}

/* The line of a meter that some open cell uses; recorded when a residual is left. */
static int line_find(struct folding *folding, int meter, struct error *err)
{
    struct reduced *reduced = folding->reduced;
    const struct problem_meter *source = &reduced->problem->meters[meter];
    struct fold *fold = &folding->folds[meter];
    bool active;
    if (fold->max == 0) {
        return 0;
    }
    if ((nusd)source->base_bytes + fold->max > INT64_MAX) {
        return error_set(err, ERR_OVERFLOW, 0, "meter %s could pass 2^63 bytes", source->name);
    }
    nusd intercept =
        meter_line(source, (int64_t)fold->min, (int64_t)fold->max, &fold->slope, &active);
    reduced->constant += (int64_t)intercept;
    reduced->meter_price[meter] = (double)fold->slope / (double)source->per_bytes;
    if (active) {
        reduced->meters[reduced->meter_count++] =
            (struct active_meter){.meter = meter,
                                  .slope_nusd = fold->slope,
                                  .intercept = intercept,
                                  .volume_min = (int64_t)fold->min,
                                  .volume_max = (int64_t)fold->max};
    }
    return 0;
}

/* Puts every line into the tables. */
static void lines_add(struct folding *folding)
{
    struct reduced *reduced = folding->reduced;
    for (int part = 0; part < reduced->parts; part++) {
        for (int c = 0; reduced->problem->parts[part].use != NULL && c < reduced->count[part];
             c++) {
            reduce_part_uses(reduced, part, c, &folding->uses);
            reduced->node[reduce_node(reduced, part, c)] += uses_cost(folding);
        }
    }
    for (int i = 0; i < reduced->edge_count && (i % EVERY != 0 || !reduce_is_cut(reduced)); i++) {
        struct edge *edge = &reduced->edges[i];
        for (int s = 0; edge->pair_count > 0 && s < reduced->count[edge->a]; s++) {
            for (int t = 0; t < reduced->count[edge->b]; t++) {
                reduce_edge_uses(reduced, edge, s, t, &folding->uses);
                edge->cost[reduce_cell(reduced, edge, s, t)] += uses_cost(folding);
            }
        }
    }
}

static int64_t uses_cost(const struct folding *folding)
{
    int64_t sum = 0;
    for (int i = 0; i < folding->uses.count; i++) {
        const struct problem_use *use = &folding->uses.list[i];
        sum += reduce_line_cost(&folding->reduced->problem->meters[use->meter],
                                folding->folds[use->meter].slope, use->bytes);
    }
    return sum;
}

/* The tier of the first byte beyond a volume. */
static int first_tier(const struct problem_meter *meter, int64_t min)
{
    int first = 0;
    while (first + 1 < meter->tier_count && meter->up_to_bytes[first] <= meter->base_bytes + min) {
        first++;
    }
    return first;
}

/* Whether all volumes from a tier on, up to `max`, are charged at its price. */
static bool has_one_price(const struct problem_meter *meter, int first, int64_t max)
{
    bool one_price = true;
    for (int i = first + 1; i < meter->tier_count; i++) {
        bool reached = meter->up_to_bytes[i - 1] < meter->base_bytes + max;
        one_price = one_price && (!reached || meter->price_nusd[i] == meter->price_nusd[first]);
    }
    return one_price;
}

/* A line below the charge on [min, max]: with one price it is the charge itself; else the chord,
 * moved down until it supports the charge. Returns the intercept, rounded down. */
static nusd meter_line(const struct problem_meter *meter, int64_t min, int64_t max,
                       int64_t *ret_slope, bool *ret_active)
{
    int first = first_tier(meter, min);
    bool one_price = has_one_price(meter, first, max);
    nusd low = meter_charge(meter, min);
    nusd high = meter_charge(meter, max);
    int64_t slope = one_price ? meter->price_nusd[first]
                              : floor_div((high - low) * meter->per_bytes, max - min);
    *ret_slope = slope;
    *ret_active = !one_price;
    return reduce_intercept(meter, slope, min, max);
}

/* Bytes of one cell stay below 2^60, whatever its slots: reduce_build has checked that. */
static void uses_add(const struct reduced *reduced, const struct problem_use *use, int use_count,
                     size_t cell, struct cell_uses *uses)
{
    size_t slots = use == NULL ? 0 : (size_t)use_count;
    for (size_t k = 0; k < slots; k++) {
        const struct problem_use *slot = &use[cell * slots + k];
        if (slot->meter < 0 || slot->bytes == 0 || reduce_is_flat(reduced, slot->meter)) {
            continue;
        }
        if (uses->slot[slot->meter] == 0) {
            uses->list[uses->count] = *slot;
            uses->slot[slot->meter] = ++uses->count;
        } else {
            uses->list[uses->slot[slot->meter] - 1].bytes += slot->bytes;
        }
    }
}

static void uses_clear(struct cell_uses *uses)
{
    for (int i = 0; i < uses->count; i++) {
        uses->slot[uses->list[i].meter] = 0;
    }
    uses->count = 0;
}

static nusd cell_bytes(const struct problem_use *use, int use_count, size_t cell, int meter)
{
    nusd bytes = 0;
    size_t slots = use == NULL ? 0 : (size_t)use_count;
    for (size_t k = 0; k < slots; k++) {
        const struct problem_use *slot = &use[cell * slots + k];
        bytes += slot->meter == meter ? slot->bytes : 0;
    }
    return bytes;
}

static int64_t floor_div(nusd a, int64_t b)
{
    if (a == (int64_t)a) { /* as a rule, and several times as fast */
        int64_t quotient = (int64_t)a / b;
        bool rest = (int64_t)a % b != 0;
        return quotient - (rest && (a < 0) != (b < 0));
    }
    nusd quotient = a / b;
    if (a % b != 0 && (a < 0) != (b < 0)) {
        quotient--;
    }
    return (int64_t)quotient;
}
