#include "model/solve/reduce.h"

#include <string.h>

#include "model/solve/tables.h"
#include "model/solve/watch.h"

/* Sums of costs and of bytes stay below this: reduce_check_range refuses the rest. */
#define SUM_MAX (INT64_C(1) << 60)
/* No assignment costs as much as this: a cell that does is closed, so that int64 never overflows.
 */
#define COST_MAX (INT64_C(1) << 61)

static int tables_alloc(struct reduced *reduced, struct arena *arena, struct error *err);
static void close_refused(struct reduced *reduced);
static void add_range(const int64_t *cost, const struct problem_use *use, int use_count,
                      size_t cells, nusd *sum, nusd *bytes);
static void normalise(struct reduced *reduced);
static void close_dear_cells(struct reduced *reduced);
static bool propagate_edges(struct reduced *reduced);
static bool propagate_apart(struct reduced *reduced);
static int only_site(const struct reduced *reduced, int part);
static void sweep(struct reduced *reduced, bool forward);
static void pull(struct reduced *reduced, int part);
static void push(struct reduced *reduced, int part, bool forward);

int reduce_build(const struct problem *problem, struct arena *arena, struct reduced *ret_reduced,
                 struct error *err)
{
    return reduce_build_as(problem, &(struct reduce_options){0}, arena, ret_reduced, err);
}

int reduce_build_as(const struct problem *problem, const struct reduce_options *options,
                    struct arena *arena, struct reduced *ret_reduced, struct error *err)
{
    struct reduced reduced = {.problem = problem,
                              .parts = problem->part_count,
                              .sites = problem->site_count,
                              .without_capacities = options->without_capacities,
                              .watch = options->watch,
                              .cutoff = COST_MAX};
    int rc = reduce_check_range(problem, &reduced.bytes_max, err);
    if (rc == 0 && !reduce_is_cut(&reduced)) {
        rc = reduce_flat_meters(&reduced, arena, err);
    }
    if (rc == 0 && !reduced.cut) {
        rc = tables_alloc(&reduced, arena, err);
    }
    if (rc == 0 && !reduced.cut) {
        close_refused(&reduced);
        reduce_add_flat_parts(&reduced);
        rc = reduce_edges(&reduced, arena, err);
    }
    if (rc < 0 || reduced.cut) {
        *ret_reduced = reduced;
        return rc;
    }
    reduce_propagate(&reduced);
    if (!reduced.empty && !reduce_is_cut(&reduced)) {
        rc = reduce_meters(&reduced, arena, err);
        if (rc < 0) {
            return rc;
        }
        normalise(&reduced);
    }
    *ret_reduced = reduced;
    return 0;
}

bool reduce_is_cut(struct reduced *reduced)
{
    reduced->cut = reduced->cut || !watch_goes_on(reduced->watch);
    return reduced->cut;
}

void reduce_propagate(struct reduced *reduced)
{
    bool changed = true;
    while (changed && !reduced->empty && watch_goes_on(reduced->watch)) {
        changed = propagate_edges(reduced);
        changed = (!reduced->without_capacities && reduce_capacities(reduced)) || changed;
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

void reduce_close(struct reduced *reduced, int part, int choice)
{
    size_t at = reduce_node(reduced, part, choice);
    if (!reduced->open[at]) {
        return;
    }
    reduced->open[at] = false;
    if (--reduced->open_count[part] == 0) {
        reduced->empty = true;
    }
    for (int k = 0; k < reduced->degree[part]; k++) {
        struct edge *edge = &reduced->edges[reduced->incident[part][k]];
        int others = reduced->count[edge->a == part ? edge->b : edge->a];
        for (int other = 0; other < others; other++) {
            edge->open[edge->a == part ? reduce_cell(reduced, edge, choice, other)
                                       : reduce_cell(reduced, edge, other, choice)] = false;
        }
    }
}

bool reduce_edge_is_idle(const struct reduced *reduced, const struct edge *edge)
{
    if (edge->pair_count > 0) {
        return false;
    }
    for (int s = 0; s < reduced->count[edge->a]; s++) {
        for (int t = 0; t < reduced->count[edge->b]; t++) {
            size_t at = reduce_cell(reduced, edge, s, t);
            bool wanted = reduced->open[reduce_node(reduced, edge->a, s)] &&
                          reduced->open[reduce_node(reduced, edge->b, t)];
            if (wanted && (!edge->open[at] || edge->cost[at] != 0)) {
                return false;
            }
        }
    }
    return true;
}

static int tables_alloc(struct reduced *reduced, struct arena *arena, struct error *err)
{
    size_t parts = (size_t)reduced->parts;
    size_t cells = 0;
    reduced->count = arena_array(arena, parts + 1, sizeof(*reduced->count));
    reduced->first = arena_array(arena, parts + 1, sizeof(*reduced->first));
    for (int part = 0; part < reduced->parts && reduced->count != NULL && reduced->first != NULL;
         part++) {
        reduced->count[part] = reduced->problem->parts[part].choice_count;
        cells += (size_t)reduced->count[part];
        reduced->first[part + 1] = cells;
    }
    reduced->open = arena_array(arena, cells + 1, sizeof(*reduced->open));
    reduced->open_count = arena_array(arena, parts + 1, sizeof(*reduced->open_count));
    reduced->node = arena_array(arena, cells + 1, sizeof(*reduced->node));
    reduced->incident = arena_array(arena, parts + 1, sizeof(*reduced->incident));
    reduced->degree = arena_array(arena, parts + 1, sizeof(*reduced->degree));
    if (reduced->count == NULL || reduced->first == NULL || reduced->open == NULL ||
        reduced->open_count == NULL || reduced->node == NULL || reduced->incident == NULL ||
        reduced->degree == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tables of %d parts",
                         reduced->parts);
    }
    for (int part = 0; part < reduced->parts; part++) {
        reduced->open_count[part] = reduced->count[part];
        for (int c = 0; c < reduced->count[part]; c++) {
            reduced->open[reduce_node(reduced, part, c)] = true;
            reduced->node[reduce_node(reduced, part, c)] = reduced->problem->parts[part].cost[c];
        }
    }
    return 0;
}

/* What rules refuse a part; edges, which are made later, look at what is open. */
static void close_refused(struct reduced *reduced)
{
    const struct problem *problem = reduced->problem;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        for (int c = 0; rule->kind == RULE_CHOICES && c < reduced->count[rule->a]; c++) {
            if (!rule->allowed[c]) {
                reduce_close(reduced, rule->a, c);
            }
        }
    }
}

/* The largest amounts that any sum can reach, with every table at its worst at once. */
int reduce_check_range(const struct problem *problem, nusd *ret_bytes_max, struct error *err)
{
    nusd sum = 0;
    nusd bytes = 0;
    for (int i = 0; i < problem->part_count; i++) {
        const struct problem_part *part = &problem->parts[i];
        add_range(part->cost, part->use, part->use_count, (size_t)part->choice_count, &sum, &bytes);
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        size_t cells = (size_t)problem->parts[pair->a].choice_count *
                       (size_t)problem->parts[pair->b].choice_count;
        add_range(pair->cost, pair->use, pair->use_count, cells, &sum, &bytes);
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
    *ret_bytes_max = bytes;
    return 0;
}

/* Adds the largest cost and the most bytes of any cell of a table. */
static void add_range(const int64_t *cost, const struct problem_use *use, int use_count,
                      size_t cells, nusd *sum, nusd *bytes)
{
    size_t slots = use == NULL ? 0 : (size_t)use_count;
    int64_t low;
    int64_t high;
    nusd most_bytes = 0;
    tables_range(cost, cells, &low, &high);
    low = low < 0 ? low : 0;
    high = high > 0 ? high : 0;
    for (size_t at = 0; at < cells && slots > 0; at++) {
        nusd in_cell = 0;
        for (size_t k = 0; k < slots; k++) {
            in_cell += use[at * slots + k].meter >= 0 ? use[at * slots + k].bytes : 0;
        }
        most_bytes = in_cell > most_bytes ? in_cell : most_bytes;
    }
    *sum += -(nusd)low > high ? -(nusd)low : (nusd)high;
    *bytes += most_bytes;
}

static void normalise(struct reduced *reduced)
{
    for (int i = 0; i < reduced->edge_count; i++) {
        reduce_normalise_edge(reduced, &reduced->edges[i]);
    }
    reduce_normalise_parts(reduced);
}

void reduce_normalise_edge(struct reduced *reduced, struct edge *edge)
{
    size_t cells = reduce_cells(reduced, edge);
    int64_t *cost = edge->cost;
    int64_t least = INT64_MAX;
    if (memchr(edge->open, false, cells) == NULL) { /* nearly always, and quicker */
        for (size_t at = 0; at < cells; at++) {
            least = cost[at] < least ? cost[at] : least;
        }
        for (size_t at = 0; at < cells; at++) {
            cost[at] -= least;
        }
    } else {
        for (size_t at = 0; at < cells; at++) {
            if (edge->open[at] && cost[at] < least) {
                least = cost[at];
            }
        }
        for (size_t at = 0; at < cells; at++) {
            cost[at] = edge->open[at] ? cost[at] - least : 0;
        }
    }
    least = least == INT64_MAX ? 0 : least;
    edge->least += least;
    reduced->constant += least;
}

void reduce_normalise_parts(struct reduced *reduced)
{
    for (int part = 0; part < reduced->parts; part++) {
        int64_t *node = &reduced->node[reduce_node(reduced, part, 0)];
        const bool *open = &reduced->open[reduce_node(reduced, part, 0)];
        int64_t least = INT64_MAX;
        for (int c = 0; c < reduced->count[part]; c++) {
            if (open[c] && node[c] < least) {
                least = node[c];
            }
        }
        for (int c = 0; c < reduced->count[part]; c++) {
            node[c] = open[c] ? node[c] - least : 0;
        }
        reduced->constant += least == INT64_MAX ? 0 : least;
    }
}

/* Every other table is >= 0: what a cell and its two parts cost bounds any use of it. */
static void close_dear_cells(struct reduced *reduced)
{
    for (int i = 0; i < reduced->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        for (int s = 0; s < reduced->count[edge->a]; s++) {
            for (int t = 0; t < reduced->count[edge->b]; t++) {
                size_t at = reduce_cell(reduced, edge, s, t);
                nusd least = (nusd)reduced->constant + edge->cost[at] +
                             reduced->node[reduce_node(reduced, edge->a, s)] +
                             reduced->node[reduce_node(reduced, edge->b, t)];
                if (edge->open[at] && least > reduced->cutoff) {
                    edge->open[at] = false;
                }
            }
        }
    }
}

/* A choice without any open partner on some edge cannot be taken. */
static bool propagate_edges(struct reduced *reduced)
{
    bool changed = false;
    for (int i = 0; i < reduced->edge_count; i++) {
        const struct edge *edge = &reduced->edges[i];
        for (int side = 0; side < 2; side++) {
            int part = side == 0 ? edge->a : edge->b;
            int others = reduced->count[side == 0 ? edge->b : edge->a];
            for (int s = 0; s < reduced->count[part]; s++) {
                bool partner = false;
                for (int t = 0; t < others && !partner; t++) {
                    partner = edge->open[side == 0 ? reduce_cell(reduced, edge, s, t)
                                                   : reduce_cell(reduced, edge, t, s)];
                }
                if (!partner && reduced->open[reduce_node(reduced, part, s)]) {
                    reduce_close(reduced, part, s);
                    changed = true;
                }
            }
        }
    }
    return changed;
}

/* A part that can only be at one site keeps those it must be apart from away. */
static bool propagate_apart(struct reduced *reduced)
{
    const struct problem *problem = reduced->problem;
    bool changed = false;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        for (int k = 0; rule->kind == RULE_APART && k < rule->part_count; k++) {
            int only = only_site(reduced, rule->parts[k]);
            for (int j = 0; only >= 0 && j < rule->part_count; j++) {
                int other = rule->parts[j];
                for (int c = 0; other != rule->parts[k] && c < reduced->count[other]; c++) {
                    if (reduce_choice(reduced, other, c)->site == only &&
                        reduced->open[reduce_node(reduced, other, c)]) {
                        reduce_close(reduced, other, c);
                        changed = true;
                    }
                }
                if (reduced->empty) {
                    return true;
                }
            }
        }
    }
    return changed;
}

/* The site of all open choices of a part; -1 when there are several. */
static int only_site(const struct reduced *reduced, int part)
{
    int only = -1;
    for (int c = 0; c < reduced->count[part]; c++) {
        int site = reduce_choice(reduced, part, c)->site;
        if (reduced->open[reduce_node(reduced, part, c)]) {
            if (only >= 0 && only != site) {
                return -1;
            }
            only = site;
        }
    }
    return only;
}

/* One pass over the parts in order: a part collects what its edges can give, its least goes into
 * the constant, dear choices are closed, and the rest is shared among the edges still ahead. */
static void sweep(struct reduced *reduced, bool forward)
{
    for (int i = 0; i < reduced->parts && !reduced->empty; i++) {
        int part = forward ? i : reduced->parts - 1 - i;
        pull(reduced, part);
        if (reduced->empty) {
            return;
        }
        int64_t *node = &reduced->node[reduce_node(reduced, part, 0)];
        int64_t least = INT64_MAX;
        for (int s = 0; s < reduced->count[part]; s++) {
            if (reduced->open[reduce_node(reduced, part, s)] && node[s] < least) {
                least = node[s];
            }
        }
        BERTH_ASSERT(least != INT64_MAX, "part %d has no choice", part);
        reduced->constant += least;
        for (int s = 0; s < reduced->count[part]; s++) {
            if (!reduced->open[reduce_node(reduced, part, s)]) {
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
        int others = reduced->count[is_a ? edge->b : edge->a];
        size_t row = is_a ? (size_t)reduced->count[edge->b] : 1;
        size_t step = is_a ? 1 : (size_t)reduced->count[edge->b];
        for (int s = 0; s < reduced->count[part] && !reduced->empty; s++) {
            if (!reduced->open[reduce_node(reduced, part, s)]) {
                continue;
            }
            size_t first = (size_t)s * row;
            int64_t least = INT64_MAX;
            for (int t = 0; t < others; t++) {
                size_t at = first + (size_t)t * step;
                if (edge->open[at] && edge->cost[at] < least) {
                    least = edge->cost[at];
                }
            }
            if (least == INT64_MAX) {
                reduce_close(reduced, part, s);
                continue;
            }
            for (int t = 0; t < others && least != 0; t++) {
                size_t at = first + (size_t)t * step;
                edge->cost[at] -= edge->open[at] ? least : 0;
            }
            int64_t *node = &reduced->node[reduce_node(reduced, part, s)];
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
        int others = reduced->count[other];
        size_t row = edge->a == part ? (size_t)reduced->count[edge->b] : 1;
        size_t step = edge->a == part ? 1 : (size_t)reduced->count[edge->b];
        for (int s = 0; s < reduced->count[part]; s++) {
            int64_t *node = &reduced->node[reduce_node(reduced, part, s)];
            /* The share of what was there at first: the last edge of `shares` takes its rest. */
            int64_t share = *node / shares;
            if (!reduced->open[reduce_node(reduced, part, s)] || share == 0) {
                continue;
            }
            *node -= share;
            for (int t = 0; t < others; t++) {
                size_t at = (size_t)s * row + (size_t)t * step;
                edge->cost[at] += edge->open[at] ? share : 0;
                edge->open[at] = edge->open[at] && edge->cost[at] < COST_MAX;
            }
        }
        shares = shares > 1 ? shares - 1 : 1;
    }
}
