/* The edges of a reduced problem: one table per pair of parts, of all pairs and rules on them. */
#include <string.h>

#include "model/solve/reduce.h"

/* Tables between two looks at the watch. */
#define EVERY 256

/* The edges by their parts: open addressing, half empty at least. */
struct edge_index {
    uint64_t *key; /* a * 2^32 + b */
    int *edge;     /* its index, and 1; 0: the slot is empty */
    size_t mask;
};

static void edge_open(const struct reduced *reduced, struct edge *edge);
static int index_make(struct edge_index *index, size_t edges_max, struct arena *arena);
static int edge_find(struct reduced *reduced, struct edge_index *index, int a, int b);
static void edge_add_rule(struct reduced *reduced, struct edge *edge,
                          const struct problem_rule *rule);

int reduce_edges(struct reduced *reduced, struct arena *arena, struct error *err)
{
    const struct problem *problem = reduced->problem;
    size_t edges_max = (size_t)problem->pair_count;
    for (int i = 0; i < problem->rule_count; i++) {
        edges_max += problem->rules[i].kind == RULE_PAIR;
    }
    struct edge_index index;
    reduced->edges = arena_array(arena, edges_max + 1, sizeof(*reduced->edges));
    int *slots = arena_array(arena, edges_max * 2 + 1, sizeof(*slots));
    reduced->pair_edge =
        arena_array(arena, (size_t)problem->pair_count + 1, sizeof(*reduced->pair_edge));
    if (reduced->edges == NULL || slots == NULL || reduced->pair_edge == NULL ||
        index_make(&index, edges_max, arena) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu pairs", edges_max);
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        reduced->pair_edge[i] = edge_find(reduced, &index, pair->a, pair->b);
    }
    for (int i = 0; i < problem->rule_count; i++) {
        if (problem->rules[i].kind == RULE_PAIR) {
            (void)edge_find(reduced, &index, problem->rules[i].a, problem->rules[i].b);
        }
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        struct edge *edge = &reduced->edges[i];
        size_t cells = reduce_cells(reduced, edge);
        edge->cost = arena_array(arena, cells, sizeof(*edge->cost));
        edge->open = arena_array(arena, cells, sizeof(*edge->open));
        if (edge->cost == NULL || edge->open == NULL) {
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the table of pair %d", i);
        }
        edge_open(reduced, edge);
    }
    for (int i = 0; i < problem->pair_count && (i % EVERY != 0 || !reduce_is_cut(reduced)); i++) {
        reduce_add_pair(reduced, &reduced->edges[reduced->pair_edge[i]], &problem->pairs[i]);
    }
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_PAIR) {
            edge_add_rule(reduced, &reduced->edges[edge_find(reduced, &index, rule->a, rule->b)],
                          rule);
        }
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        reduced->degree[reduced->edges[i].a]++;
        reduced->degree[reduced->edges[i].b]++;
    }
    for (int part = 0; part < reduced->parts; part++) {
        reduced->incident[part] = slots;
        slots += reduced->degree[part];
        reduced->degree[part] = 0;
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        int a = reduced->edges[i].a;
        int b = reduced->edges[i].b;
        reduced->incident[a][reduced->degree[a]++] = i;
        reduced->incident[b][reduced->degree[b]++] = i;
    }
    return 0;
}

/* A cell is open where its two parts' choices are. */
static void edge_open(const struct reduced *reduced, struct edge *edge)
{
    size_t columns = (size_t)reduced->count[edge->b];
    const bool *open_b = &reduced->open[reduce_node(reduced, edge->b, 0)];
    for (int s = 0; s < reduced->count[edge->a]; s++) {
        if (reduced->open[reduce_node(reduced, edge->a, s)]) {
            memcpy(edge->open + (size_t)s * columns, open_b, columns * sizeof(*open_b));
        }
    }
}

static int index_make(struct edge_index *index, size_t edges_max, struct arena *arena)
{
    size_t slots = 16;
    while (slots < 2 * edges_max) {
        slots *= 2;
    }
    index->key = arena_array(arena, slots, sizeof(*index->key));
    index->edge = arena_array(arena, slots, sizeof(*index->edge));
    index->mask = slots - 1;
    return index->key == NULL || index->edge == NULL ? ERR_NO_MEMORY : 0;
}

/* The edge of two parts, made when it is new. */
static int edge_find(struct reduced *reduced, struct edge_index *index, int a, int b)
{
    int low = a < b ? a : b;
    int high = a < b ? b : a;
    uint64_t key = (uint64_t)low << 32 | (uint64_t)high;
    size_t slot = (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & index->mask;
    while (index->edge[slot] != 0 && index->key[slot] != key) {
        slot = (slot + 1) & index->mask;
    }
    if (index->edge[slot] == 0) {
        reduced->edges[reduced->edge_count++] = (struct edge){.a = low, .b = high};
        index->edge[slot] = reduced->edge_count;
        index->key[slot] = key;
    }
    return index->edge[slot] - 1;
}

void reduce_add_pair(const struct reduced *reduced, struct edge *edge,
                     const struct problem_pair *pair)
{
    size_t rows = (size_t)reduced->count[pair->a];
    size_t columns = (size_t)reduced->count[pair->b];
    bool is_turned = pair->a != edge->a;
    size_t step = is_turned ? rows : 1;
    const bool *open_a = &reduced->open[reduce_node(reduced, pair->a, 0)];
    const bool *open_b = &reduced->open[reduce_node(reduced, pair->b, 0)];
    for (size_t s = 0; s < rows; s++) {
        if (!open_a[s]) {
            continue;
        }
        const int64_t *from = pair->cost + s * columns;
        int64_t *to = edge->cost + (is_turned ? s : s * columns);
        for (size_t t = 0; t < columns; t++) {
            to[t * step] += open_b[t] ? from[t] : 0;
        }
        if (pair->use != NULL && reduced->flat_count > 0) {
            reduce_add_flat(reduced, pair->use + s * columns * (size_t)pair->use_count,
                            pair->use_count, open_b, columns, to, step);
        }
    }
}

static void edge_add_rule(struct reduced *reduced, struct edge *edge,
                          const struct problem_rule *rule)
{
    for (int s = 0; s < reduced->count[rule->a]; s++) {
        for (int t = 0; t < reduced->count[rule->b]; t++) {
            if (!rule->allowed[problem_cell(reduced->problem, rule->b, s, t)]) {
                edge->open[rule->a == edge->a ? reduce_cell(reduced, edge, s, t)
                                              : reduce_cell(reduced, edge, t, s)] = false;
            }
        }
    }
}
