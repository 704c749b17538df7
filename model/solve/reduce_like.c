/* The tables of a problem whose cells are those of one that is known already. */
#include <string.h>

#include "model/solve/reduce.h"

static int nodes_make(struct reduced *reduced, struct arena *arena, struct error *err);
static int edges_copy(struct reduced *reduced, const struct reduced *like, bool *changed,
                      struct arena *arena, struct error *err);
static void edge_add(const struct reduced *reduced, struct edge *edge,
                     const struct problem_pair *pair, bool first);

int reduce_build_like(const struct problem *problem, const struct reduced *like,
                      struct watch *watch, struct arena *arena, struct reduced *ret_reduced,
                      struct error *err)
{
    struct reduced reduced = *like;
    reduced.problem = problem;
    reduced.watch = watch;
    reduced.constant = 0;
    reduced.meter_count = 0;
    bool *changed = arena_array(arena, (size_t)like->edge_count + 1, sizeof(bool));
    if (changed == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d pairs", like->edge_count);
    }
    int rc = reduce_check_range(problem, err);
    rc = rc == 0 ? nodes_make(&reduced, arena, err) : rc;
    rc = rc == 0 ? edges_copy(&reduced, like, changed, arena, err) : rc;
    rc = rc == 0 ? reduce_meters(&reduced, arena, err) : rc;
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < reduced.edge_count; i++) {
        if (changed[i]) {
            reduce_normalise_edge(&reduced, &reduced.edges[i]);
        } else {
            reduced.constant += reduced.edges[i].least;
        }
    }
    reduce_normalise_parts(&reduced);
    *ret_reduced = reduced;
    return 0;
}

static int nodes_make(struct reduced *reduced, struct arena *arena, struct error *err)
{
    const struct problem *problem = reduced->problem;
    size_t cells = reduced->first[reduced->parts];
    reduced->node = arena_array(arena, cells + 1, sizeof(*reduced->node));
    if (reduced->node == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tables of %d parts",
                         reduced->parts);
    }
    for (int part = 0; part < reduced->parts; part++) {
        memcpy(reduced->node + reduced->first[part], problem->parts[part].cost,
               (size_t)reduced->count[part] * sizeof(*reduced->node));
    }
    return 0;
}

/* Tables of pairs that are the known problem's own stay, where no meter adds to them. */
static int edges_copy(struct reduced *reduced, const struct reduced *like, bool *changed,
                      struct arena *arena, struct error *err)
{
    const struct problem *problem = reduced->problem;
    size_t cells = 0;
    reduced->edges = arena_array(arena, (size_t)like->edge_count + 1, sizeof(*reduced->edges));
    if (reduced->edges == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d pairs", like->edge_count);
    }
    for (int i = 0; i < problem->pair_count; i++) {
        changed[like->pair_edge[i]] =
            changed[like->pair_edge[i]] || problem->pairs[i].cost != like->problem->pairs[i].cost;
    }
    for (int i = 0; i < like->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        *edge = like->edges[i];
        edge->pairs = NULL;
        edge->swapped = NULL;
        edge->pair_count = 0;
        changed[i] = changed[i] || problem->meter_count > 0;
        if (changed[i]) {
            edge->cost = NULL;
            edge->least = 0;
            cells += reduce_cells(reduced, edge);
        }
    }
    int64_t *cost = arena_alloc_raw(arena, (cells + 1) * sizeof(*cost));
    if (cost == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tables of pairs");
    }
    for (int i = 0; i < problem->pair_count; i++) {
        struct edge *edge = &reduced->edges[like->pair_edge[i]];
        if (changed[like->pair_edge[i]]) {
            bool first = edge->cost == NULL;
            edge->cost = first ? cost : edge->cost;
            cost += first ? reduce_cells(reduced, edge) : 0;
            edge_add(reduced, edge, &problem->pairs[i], first);
        }
    }
    for (int i = 0; i < like->edge_count; i++) { /* those of rules alone */
        struct edge *edge = &reduced->edges[i];
        if (edge->cost == NULL) {
            edge->cost = cost;
            memset(cost, 0, reduce_cells(reduced, edge) * sizeof(*cost));
            cost += reduce_cells(reduced, edge);
        }
    }
    return 0;
}

static void edge_add(const struct reduced *reduced, struct edge *edge,
                     const struct problem_pair *pair, bool first)
{
    size_t rows = (size_t)reduced->count[pair->a];
    size_t columns = (size_t)reduced->count[pair->b];
    if (first && pair->a == edge->a) {
        memcpy(edge->cost, pair->cost, rows * columns * sizeof(*edge->cost));
        return;
    }
    size_t row = pair->a == edge->a ? columns : 1;
    size_t column = pair->a == edge->a ? 1 : rows;
    for (size_t a = 0; a < rows; a++) {
        for (size_t b = 0; b < columns; b++) {
            int64_t *to = &edge->cost[a * row + b * column];
            *to = (first ? 0 : *to) + pair->cost[a * columns + b];
        }
    }
}
