#include "model/solve/couple.h"

#include <math.h>
#include <string.h>

#include "model/solve/solve.h"

#define NODES_MAX 4096
/* Prices tried at one node when a volume will not stay within its tiers, and at the root for
 * capacities that are passed. */
#define METER_ROUNDS    10
#define CAPACITY_ROUNDS 60
/* What repairing one assignment that passes a capacity may look at. */
#define REPAIR_EVALS 100000
#define REPAIRS_MAX  12

/* The volume of each active meter lies in [low, high]. */
struct node {
    int64_t *low;
    int64_t *high;
    int64_t *slope; /* of the lines that gave its bound */
    nusd *volume;   /* of the assignment that did */
    int64_t bound;
    bool open;
};

struct couple {
    const struct reduced *r;
    struct eliminate *eliminate;
    struct search *search;
    const struct couple_options *options;
    struct arena *arena;
    int *choice; /* the incumbent */
    int *trial;
    int *repaired;
    struct couple_result *result;
    double *meter_price;
    double *capacity_price; /* [rule] */
    double *best_price;     /* [rule]: at the best bound so far */
    double *passed;         /* [rule]: by which share of it the trial is above the capacity */
    int64_t *slope;         /* [active meter] */
    nusd *volume;           /* [active meter]: of the trial */
    struct node nodes[NODES_MAX];
    int node_count;
    int64_t work;
    int repairs;
    bool raised; /* the last bound was its node's best */
};

static int begin(struct couple *couple, struct error *err);
static int node_make(struct couple *couple, const struct node *from, struct node *node);
static bool raise_bound(struct couple *couple, struct node *node, bool always);
static bool bound_with(struct couple *couple, const struct node *node, int64_t *ret_bound);
static bool evaluate(struct couple *couple, struct node *node);
static nusd above_line(const struct couple *couple, const struct node *node, int m);
static bool keep_in(struct couple *couple, struct node *node, int m);
static void judge_trial(struct couple *couple);
static void price_capacities(struct couple *couple, struct node *node);
static int branch(struct couple *couple, struct node *node);
static int best_open(const struct couple *couple);
static bool is_done(const struct couple *couple, int64_t bound);

int couple_solve(const struct reduced *reduced, struct eliminate *eliminate, struct search *search,
                 const struct couple_options *options, struct arena *arena, bool have_choice,
                 int *choice, struct couple_result *ret_result, struct error *err)
{
    struct couple *couple = arena_alloc(arena, sizeof(*couple));
    if (couple == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tiers");
    }
    *ret_result = (struct couple_result){.possible = true, .found = have_choice};
    *couple = (struct couple){.r = reduced,
                              .eliminate = eliminate,
                              .search = search,
                              .arena = arena,
                              .choice = choice,
                              .result = ret_result,
                              .options = options,
                              .work = options->work_max};
    ret_result->cost = reduced->cutoff;
    ret_result->bound = reduced->constant;
    int rc = begin(couple, err);
    if (rc < 0) {
        return rc;
    }
    if (!evaluate(couple, &couple->nodes[0])) {
        ret_result->possible = false;
        return 0;
    }
    if (!options->roughly) {
        price_capacities(couple, &couple->nodes[0]);
    }
    int64_t settled = INT64_MAX; /* the least bound of what cannot be divided further */
    for (int at = best_open(couple); at >= 0; at = best_open(couple)) {
        struct node *node = &couple->nodes[at];
        int64_t least = node->bound < settled ? node->bound : settled;
        ret_result->bound = least > ret_result->bound ? least : ret_result->bound;
        if (is_done(couple, least) || couple->work <= 0 || couple->node_count + 2 > NODES_MAX) {
            break;
        }
        node->open = false;
        rc = branch(couple, node);
        if (rc < 0) {
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tiers");
        }
        if (rc == 0 && node->bound < settled) {
            settled = node->bound;
        }
    }
    if (best_open(couple) < 0) {
        int64_t least = settled < ret_result->cost ? settled : ret_result->cost;
        ret_result->bound = least > ret_result->bound ? least : ret_result->bound;
    }
    if (ret_result->found && ret_result->bound > ret_result->cost) {
        ret_result->bound = ret_result->cost;
    }
    return 0;
}

static int begin(struct couple *couple, struct error *err)
{
    const struct reduced *r = couple->r;
    size_t parts = (size_t)r->parts + 1;
    size_t rules = (size_t)r->problem->rule_count + 1;
    size_t meters = (size_t)r->meter_count + 1;
    struct node *root = &couple->nodes[0];
    couple->trial = arena_array(couple->arena, parts, sizeof(int));
    couple->repaired = arena_array(couple->arena, parts, sizeof(int));
    couple->meter_price = arena_array(couple->arena, meters, sizeof(double));
    couple->capacity_price = arena_array(couple->arena, rules, sizeof(double));
    couple->best_price = arena_array(couple->arena, rules, sizeof(double));
    couple->passed = arena_array(couple->arena, rules, sizeof(double));
    couple->slope = arena_array(couple->arena, meters, sizeof(int64_t));
    couple->volume = arena_array(couple->arena, meters, sizeof(nusd));
    int rc = node_make(couple, NULL, root);
    if (couple->trial == NULL || couple->repaired == NULL || couple->meter_price == NULL ||
        couple->capacity_price == NULL || couple->best_price == NULL || couple->passed == NULL ||
        couple->slope == NULL || couple->volume == NULL || rc < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tiers of %d meters",
                         r->meter_count);
    }
    for (int m = 0; m < r->meter_count; m++) {
        root->low[m] = r->meters[m].volume_min;
        root->high[m] = r->meters[m].volume_max;
    }
    root->bound = r->constant;
    root->open = true;
    couple->node_count = 1;
    return 0;
}

static int node_make(struct couple *couple, const struct node *from, struct node *node)
{
    size_t meters = (size_t)couple->r->meter_count;
    *node = (struct node){
        .low = arena_array(couple->arena, meters + 1, sizeof(*node->low)),
        .high = arena_array(couple->arena, meters + 1, sizeof(*node->high)),
        .slope = arena_array(couple->arena, meters + 1, sizeof(*node->slope)),
        .volume = arena_array(couple->arena, meters + 1, sizeof(*node->volume)),
    };
    if (node->low == NULL || node->high == NULL || node->slope == NULL || node->volume == NULL) {
        return ERR_NO_MEMORY;
    }
    if (from != NULL) {
        memcpy(node->low, from->low, meters * sizeof(*node->low));
        memcpy(node->high, from->high, meters * sizeof(*node->high));
        node->bound = from->bound;
    }
    return 0;
}

/* A bound for the node, kept when it is its best, with what it came from. */
static bool raise_bound(struct couple *couple, struct node *node, bool always)
{
    int64_t bound;
    if (!bound_with(couple, node, &bound)) {
        return false;
    }
    bool better = bound > node->bound;
    if (better || always) {
        size_t meters = (size_t)couple->r->meter_count;
        node->bound = better ? bound : node->bound;
        memcpy(node->slope, couple->slope, meters * sizeof(*node->slope));
        memcpy(node->volume, couple->volume, meters * sizeof(*node->volume));
    }
    couple->raised = better;
    return true;
}

/* The bound of a node for slope[] and the prices of capacities, and its trial with volumes. */
static bool bound_with(struct couple *couple, const struct node *node, int64_t *ret_bound)
{
    const struct reduced *r = couple->r;
    nusd shift = 0;
    for (int m = 0; m < r->meter_count; m++) {
        const struct active_meter *meter = &r->meters[m];
        const struct problem_meter *source = &r->problem->meters[meter->meter];
        shift += reduce_intercept(source, couple->slope[m], node->low[m], node->high[m]) -
                 meter->intercept;
        couple->meter_price[m] =
            ((double)couple->slope[m] - (double)meter->slope_nusd) / (double)source->per_bytes;
    }
    for (int i = 0; i < r->problem->rule_count; i++) {
        if (couple->capacity_price[i] > 0) {
            double room = couple->capacity_price[i] * (double)r->problem->rules[i].capacity;
            shift -= (nusd)room + 2;
        }
    }
    struct eliminate_prices prices = {couple->meter_price, couple->capacity_price};
    int64_t least;
    couple->work -= eliminate_work(couple->eliminate) + 20 * (int64_t)r->parts;
    if (!watch_told(couple->options->watch, NAN, NAN)) {
        couple->work = 0;
    }
    couple->result->nodes++;
    if (!eliminate_run(couple->eliminate, &prices, couple->trial, &least)) {
        return false;
    }
    nusd bound = least + shift;
    *ret_bound = bound > INT64_MAX ? INT64_MAX : (int64_t)bound;
    memset(couple->volume, 0, (size_t)r->meter_count * sizeof(nusd));
    for (int m = 0; m < r->meter_count; m++) {
        for (int part = 0; part < r->parts; part++) {
            couple->volume[m] +=
                reduce_part_bytes(r, r->meters[m].meter, part, couple->trial[part]);
        }
        for (int i = 0; i < r->edge_count; i++) {
            const struct edge *edge = &r->edges[i];
            couple->volume[m] +=
                edge->pair_count == 0
                    ? 0
                    : reduce_edge_bytes(r, r->meters[m].meter, edge, couple->trial[edge->a],
                                        couple->trial[edge->b]);
        }
    }
    judge_trial(couple);
    return true;
}

/* Raises the node's bound by the chords of its ranges, and, where a total would rather be outside
 * of its range, by prices that keep it in. */
static bool evaluate(struct couple *couple, struct node *node)
{
    const struct reduced *r = couple->r;
    for (int m = 0; m < r->meter_count; m++) {
        const struct problem_meter *source = &r->problem->meters[r->meters[m].meter];
        (void)reduce_line(source, node->low[m], node->high[m], &couple->slope[m]);
    }
    if (!raise_bound(couple, node, true)) {
        return false;
    }
    for (int m = 0; m < r->meter_count && couple->work > 0 && !is_done(couple, node->bound); m++) {
        if (above_line(couple, node, m) > solve_tolerance(node->bound, 0) &&
            !keep_in(couple, node, m)) {
            return false;
        }
    }
    return true;
}

/* How far the charge of a meter is above its line, at the volume that gave the node's bound. */
static nusd above_line(const struct couple *couple, const struct node *node, int m)
{
    const struct reduced *r = couple->r;
    const struct problem_meter *source = &r->problem->meters[r->meters[m].meter];
    nusd line = (nusd)node->slope[m] * node->volume[m] / source->per_bytes +
                reduce_intercept(source, node->slope[m], node->low[m], node->high[m]);
    return meter_charge(source, (int64_t)node->volume[m]) - line;
}

/* Looks for the slope at which the total is within the node's range, when it is not. */
static bool keep_in(struct couple *couple, struct node *node, int m)
{
    const struct reduced *r = couple->r;
    const struct problem_meter *source = &r->problem->meters[r->meters[m].meter];
    bool above = node->volume[m] > node->high[m];
    if (!above && node->volume[m] >= node->low[m]) {
        return true;
    }
    int64_t most = 1;
    for (int tier = 0; tier < source->tier_count; tier++) {
        int64_t price = source->price_nusd[tier];
        price = price < 0 ? -price : price;
        most = price > most ? price : most;
    }
    int64_t low = above ? couple->slope[m] : -most;
    int64_t high = above ? 2 * most : couple->slope[m];
    int64_t kept = couple->slope[m];
    for (int round = 0; round < METER_ROUNDS && high - low > 1 && couple->work > 0; round++) {
        couple->slope[m] = low + (high - low) / 2;
        if (!raise_bound(couple, node, false)) {
            return false;
        }
        kept = couple->raised ? couple->slope[m] : kept;
        if (couple->volume[m] > node->high[m]) {
            low = couple->slope[m];
        } else if (couple->volume[m] < node->low[m]) {
            high = couple->slope[m];
        } else {
            break;
        }
    }
    couple->slope[m] = kept;
    return true;
}

/* Takes the trial when it keeps the rules and is cheaper; mends it, now and then, when it does not
 * keep them. */
static void judge_trial(struct couple *couple)
{
    const struct problem *problem = couple->r->problem;
    const int *choice = couple->trial;
    if (problem_broken_rule(problem, choice) >= 0) {
        if (couple->repairs >= REPAIRS_MAX || couple->search == NULL) {
            return;
        }
        couple->repairs++;
        memcpy(couple->repaired, choice, (size_t)couple->r->parts * sizeof(int));
        if (!search_run(couple->search, 0, REPAIR_EVALS, couple->repaired) ||
            problem_broken_rule(problem, couple->repaired) >= 0) {
            return;
        }
        choice = couple->repaired;
    }
    nusd cost = problem_cost(problem, choice);
    if (!couple->result->found || cost < couple->result->cost) {
        couple->result->found = true;
        couple->result->cost = (int64_t)cost;
        memcpy(couple->choice, choice, (size_t)couple->r->parts * sizeof(int));
    }
}

/* Prices for capacities that the root's trial passes: each step towards what would close the gap at
 * once if the bound were linear (Polyak), shorter when that brings nothing. */
static void price_capacities(struct couple *couple, struct node *node)
{
    const struct reduced *r = couple->r;
    const struct problem *problem = r->problem;
    double reach = 1;
    for (int round = 0; round < CAPACITY_ROUNDS; round++) {
        double norm = 0;
        for (int i = 0; i < problem->rule_count; i++) {
            const struct problem_rule *rule = &problem->rules[i];
            nusd used = 0;
            couple->passed[i] = 0;
            if (rule->kind != RULE_CAPACITY || rule->capacity <= 0) {
                continue;
            }
            for (int part = 0; part < r->parts; part++) {
                const struct problem_choice *taken = reduce_choice(r, part, couple->trial[part]);
                used += taken->site == rule->site ? taken->demand[rule->resource] : 0;
            }
            double passed = ((double)used - (double)rule->capacity) / (double)rule->capacity;
            couple->passed[i] = passed > 0 || couple->capacity_price[i] > 0 ? passed : 0;
            norm += couple->passed[i] * couple->passed[i];
        }
        double gap = (double)couple->result->cost - (double)node->bound;
        if (norm == 0 || !couple->result->found || is_done(couple, node->bound) ||
            couple->work <= 0 || reach < 1e-3) {
            break;
        }
        for (int i = 0; i < problem->rule_count; i++) {
            double capacity = (double)problem->rules[i].capacity;
            double most = 1e15 / (capacity > 1 ? capacity : 1);
            double price =
                couple->capacity_price[i] +
                (couple->passed[i] == 0 ? 0 : reach * gap / norm * couple->passed[i] / capacity);
            couple->capacity_price[i] = price < 0 ? 0 : (price > most ? most : price);
        }
        if (!raise_bound(couple, node, false)) {
            break;
        }
        if (couple->raised) {
            memcpy(couple->best_price, couple->capacity_price,
                   (size_t)problem->rule_count * sizeof(double));
        } else {
            reach *= 0.8;
        }
    }
    memcpy(couple->capacity_price, couple->best_price,
           (size_t)problem->rule_count * sizeof(double));
}

/* Divides the range of the meter whose charge is furthest above its line, at the end of a tier
 * that is nearest to the trial's volume. 1: two nodes more; 0: there is nothing to divide. */
static int branch(struct couple *couple, struct node *node)
{
    const struct reduced *r = couple->r;
    int meter = -1;
    int64_t border = 0;
    nusd most = 0;
    for (int m = 0; m < r->meter_count; m++) {
        const struct problem_meter *source = &r->problem->meters[r->meters[m].meter];
        nusd volume = node->volume[m];
        nusd above = above_line(couple, node, m);
        nusd nearest = -1;
        for (int tier = 0; tier + 1 < source->tier_count && above > most; tier++) {
            nusd end = (nusd)source->up_to_bytes[tier] - source->base_bytes;
            nusd distance = end > volume ? end - volume : volume - end;
            if (end > node->low[m] && end < node->high[m] && (nearest < 0 || distance < nearest)) {
                nearest = distance;
                border = (int64_t)end;
                meter = m;
            }
        }
        most = nearest >= 0 ? above : most;
    }
    for (int side = 0; side < 2 && meter >= 0; side++) {
        struct node *child = &couple->nodes[couple->node_count];
        if (node_make(couple, node, child) < 0) {
            return ERR_NO_MEMORY;
        }
        (side == 0 ? child->high : child->low)[meter] = border;
        if (evaluate(couple, child)) {
            child->open = true;
            couple->node_count++;
        }
    }
    return meter >= 0 ? 1 : 0;
}

/* The open node of the least bound that can still matter; -1: none. */
static int best_open(const struct couple *couple)
{
    int best = -1;
    for (int i = 0; i < couple->node_count; i++) {
        const struct node *node = &couple->nodes[i];
        if (node->open && (!couple->result->found || node->bound < couple->result->cost) &&
            (best < 0 || node->bound < couple->nodes[best].bound)) {
            best = i;
        }
    }
    return best;
}

static bool is_done(const struct couple *couple, int64_t bound)
{
    const struct couple_result *result = couple->result;
    double near = couple->options->gap * fabs((double)result->cost);
    return result->found && ((nusd)result->cost - bound <= solve_tolerance(result->cost, 0) ||
                             (near > 0 && (double)result->cost - (double)bound <= near));
}
