/* The tables of a problem whose cells are those of one that is known already. */
#include <string.h>

#include "model/solve/reduce.h"

/* Where the table of an edge comes from. */
enum origin {
    OF_LIKE,  /* it is the known problem's */
    OF_PAIR,  /* the problem's own pair, as it is: nothing is taken out of it */
    ADDED_UP, /* made of pairs and meters */
};

static int nodes_make(struct reduced *reduced, struct arena *arena, struct error *err);
static int edges_make(struct reduced *reduced, const struct reduced *like, enum origin *origin,
                      struct arena *arena, struct error *err);
static int origins_find(const struct problem *problem, const struct reduced *like,
                        enum origin *origin, struct arena *arena);

int reduce_build_like(const struct problem *problem, const struct reduced *like,
                      struct watch *watch, struct arena *arena, struct reduced *ret_reduced,
                      struct error *err)
{
    struct reduced reduced = *like;
    reduced.problem = problem;
    reduced.watch = watch;
    reduced.constant = 0;
    reduced.meter_count = 0;
    enum origin *origin = arena_array(arena, (size_t)like->edge_count + 1, sizeof(*origin));
    if (origin == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d pairs", like->edge_count);
    }
    int rc = reduce_check_range(problem, &reduced.bytes_max, err);
    rc = rc == 0 ? reduce_flat_meters(&reduced, arena, err) : rc;
    rc = rc == 0 ? nodes_make(&reduced, arena, err) : rc;
    rc = rc == 0 ? edges_make(&reduced, like, origin, arena, err) : rc;
    rc = rc == 0 ? reduce_meters(&reduced, arena, err) : rc;
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < reduced.edge_count; i++) {
        if (origin[i] == ADDED_UP) {
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
    reduce_add_flat_parts(reduced);
    return 0;
}

/* Tables of pairs that are the known problem's own stay, where no meter adds to them; one of a
 * single pair is that pair's own. */
static int edges_make(struct reduced *reduced, const struct reduced *like, enum origin *origin,
                      struct arena *arena, struct error *err)
{
    const struct problem *problem = reduced->problem;
    size_t cells = 0;
    reduced->edges = arena_array(arena, (size_t)like->edge_count + 1, sizeof(*reduced->edges));
    if (reduced->edges == NULL || origins_find(problem, like, origin, arena) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d pairs", like->edge_count);
    }
    for (int i = 0; i < like->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        *edge = like->edges[i];
        edge->pairs = NULL;
        edge->swapped = NULL;
        edge->pair_count = 0;
        if (origin[i] != OF_LIKE) {
            edge->cost = NULL;
            edge->least = 0;
            cells += origin[i] == ADDED_UP ? reduce_cells(reduced, edge) : 0;
        }
    }
    int64_t *cost = arena_array(arena, cells + 1, sizeof(*cost));
    if (cost == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the tables of pairs");
    }
    for (int i = 0; i < problem->pair_count; i++) {
        int index = like->pair_edge[i];
        struct edge *edge = &reduced->edges[index];
        if (origin[index] == OF_PAIR) {
            edge->cost = problem->pairs[i].cost;
        } else if (origin[index] == ADDED_UP) {
            bool first = edge->cost == NULL;
            edge->cost = first ? cost : edge->cost;
            cost += first ? reduce_cells(reduced, edge) : 0;
            reduce_add_pair(reduced, edge, &problem->pairs[i]);
        }
    }
    return 0;
}

/* An edge of rules alone has no pair, and stays. */
static int origins_find(const struct problem *problem, const struct reduced *like,
                        enum origin *origin, struct arena *arena)
{
    size_t edges = (size_t)like->edge_count + 1;
    int *pairs = arena_array(arena, edges, sizeof(int));
    bool *added = arena_array(arena, edges, sizeof(bool)); /* by a meter, or turned over */
    if (pairs == NULL || added == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        const struct problem_pair *was = &like->problem->pairs[i];
        int edge = like->pair_edge[i];
        bool metered = pair->use != NULL || was->use != NULL;
        pairs[edge]++;
        added[edge] = added[edge] || metered || pair->a != like->edges[edge].a;
        if (metered || pair->cost != was->cost) {
            origin[edge] = OF_PAIR;
        }
    }
    for (int i = 0; i < like->edge_count; i++) {
        if (origin[i] == OF_PAIR && (pairs[i] > 1 || added[i])) {
            origin[i] = ADDED_UP;
        }
    }
    return 0;
}
