#include "model/solve/reduce_lines.h"

#include <string.h>

/* What one cell of a table puts on an active meter. */
struct entry {
    size_t cell; /* of node[], or of the edge's table */
    int meter;   /* active */
    int64_t bytes;
};

struct reduce_lines {
    const struct reduced *reduced;
    struct entry *entry;
    size_t *part_first; /* [parts + 1] */
    size_t *edge_first; /* [edges + 1] */
};

/* What lists the entries, or counts them while there is no list. */
struct listing {
    const struct reduced *reduced;
    struct cell_uses uses;
    struct entry *entry;
    size_t count;
};

static void list_parts(struct listing *listing, size_t *first);
static void list_edges(struct listing *listing, size_t *first);
static void list_cell(struct listing *listing, size_t cell);
static int tables_copy(const struct reduced *like, struct arena *arena, struct reduced *reduced,
                       struct error *err);
static int64_t more(const struct reduced *like, const struct meter_line *line,
                    const struct entry *entry);

int reduce_lines_create(const struct reduced *reduced, struct arena *arena,
                        struct reduce_lines **ret_lines, struct error *err)
{
    struct reduce_lines *lines = arena_alloc(arena, sizeof(*lines));
    struct listing listing = {.reduced = reduced};
    if (lines == NULL || cell_uses_init(&listing.uses, reduced->problem, arena) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the lines of meters");
    }
    lines->reduced = reduced;
    lines->part_first = arena_array(arena, (size_t)reduced->parts + 1, sizeof(size_t));
    lines->edge_first = arena_array(arena, (size_t)reduced->edge_count + 1, sizeof(size_t));
    for (int turn = 0; turn < 2 && lines->part_first != NULL && lines->edge_first != NULL; turn++) {
        listing.entry = lines->entry;
        listing.count = 0;
        list_parts(&listing, lines->part_first);
        list_edges(&listing, lines->edge_first);
        if (turn == 0) {
            lines->entry = arena_alloc_raw(arena, (listing.count + 1) * sizeof(struct entry));
        }
        if (lines->entry == NULL) {
            break;
        }
    }
    if (lines->entry == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu uses of meters", listing.count);
    }
    *ret_lines = lines;
    return 0;
}

int reduce_lines_set(const struct reduce_lines *lines, const struct meter_line *line,
                     struct arena *arena, struct reduced *ret_reduced, struct error *err)
{
    const struct reduced *like = lines->reduced;
    struct reduced reduced = *like;
    int rc = tables_copy(like, arena, &reduced, err);
    if (rc < 0) {
        return rc;
    }
    for (int m = 0; m < like->meter_count; m++) {
        reduced.constant += (int64_t)(line[m].intercept - like->meters[m].intercept);
        reduced.meters[m].slope_nusd = line[m].slope;
        reduced.meters[m].intercept = line[m].intercept;
    }
    for (int part = 0; part < like->parts; part++) {
        for (size_t i = lines->part_first[part]; i < lines->part_first[part + 1]; i++) {
            reduced.node[lines->entry[i].cell] += more(like, line, &lines->entry[i]);
        }
    }
    for (int i = 0; i < like->edge_count; i++) {
        struct edge *edge = &reduced.edges[i];
        for (size_t k = lines->edge_first[i]; k < lines->edge_first[i + 1]; k++) {
            edge->cost[lines->entry[k].cell] += more(like, line, &lines->entry[k]);
        }
        if (lines->edge_first[i + 1] > lines->edge_first[i]) {
            reduce_normalise_edge(&reduced, edge);
        }
    }
    reduce_normalise_parts(&reduced);
    *ret_reduced = reduced;
    return 0;
}

void reduce_lines_volume(const struct reduce_lines *lines, const int *choice, nusd *ret_volume)
{
    const struct reduced *reduced = lines->reduced;
    memset(ret_volume, 0, (size_t)reduced->meter_count * sizeof(*ret_volume));
    for (int part = 0; part < reduced->parts; part++) {
        size_t cell = reduce_node(reduced, part, choice[part]);
        for (size_t i = lines->part_first[part]; i < lines->part_first[part + 1]; i++) {
            const struct entry *entry = &lines->entry[i];
            ret_volume[entry->meter] += entry->cell == cell ? entry->bytes : 0;
        }
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        const struct edge *edge = &reduced->edges[i];
        size_t cell = reduce_cell(reduced, edge, choice[edge->a], choice[edge->b]);
        for (size_t k = lines->edge_first[i]; k < lines->edge_first[i + 1]; k++) {
            const struct entry *entry = &lines->entry[k];
            ret_volume[entry->meter] += entry->cell == cell ? entry->bytes : 0;
        }
    }
}

static void list_parts(struct listing *listing, size_t *first)
{
    const struct reduced *reduced = listing->reduced;
    for (int part = 0; part < reduced->parts; part++) {
        first[part] = listing->count;
        bool uses = reduced->problem->parts[part].use != NULL;
        for (int c = 0; uses && c < reduced->count[part]; c++) {
            size_t cell = reduce_node(reduced, part, c);
            if (reduced->open[cell]) {
                reduce_part_uses(reduced, part, c, &listing->uses);
                list_cell(listing, cell);
            }
        }
    }
    first[reduced->parts] = listing->count;
}

static void list_edges(struct listing *listing, size_t *first)
{
    const struct reduced *reduced = listing->reduced;
    for (int i = 0; i < reduced->edge_count; i++) {
        const struct edge *edge = &reduced->edges[i];
        size_t cells = edge->pair_count > 0 ? reduce_cells(reduced, edge) : 0;
        int columns = reduced->count[edge->b];
        first[i] = listing->count;
        for (size_t cell = 0; cell < cells; cell++) {
            if (edge->open[cell]) {
                reduce_edge_uses(reduced, edge, (int)(cell / (size_t)columns),
                                 (int)(cell % (size_t)columns), &listing->uses);
                list_cell(listing, cell);
            }
        }
    }
    first[reduced->edge_count] = listing->count;
}

static void list_cell(struct listing *listing, size_t cell)
{
    for (int k = 0; k < listing->uses.count; k++) {
        const struct problem_use *use = &listing->uses.list[k];
        int meter = listing->reduced->active_of[use->meter];
        if (meter < 0) {
            continue;
        }
        if (listing->entry != NULL) {
            listing->entry[listing->count] = (struct entry){cell, meter, use->bytes};
        }
        listing->count++;
    }
}

/* Of its own: meters, the parts' tables, and those of edges that use an active meter. */
static int tables_copy(const struct reduced *like, struct arena *arena, struct reduced *reduced,
                       struct error *err)
{
    size_t cells = like->first[like->parts];
    size_t meters = (size_t)like->meter_count;
    reduced->node = arena_copy(arena, like->node, (cells + 1) * sizeof(*like->node));
    reduced->edges =
        arena_copy(arena, like->edges, ((size_t)like->edge_count + 1) * sizeof(*like->edges));
    reduced->meters = arena_copy(arena, like->meters, (meters + 1) * sizeof(*like->meters));
    bool full = reduced->node == NULL || reduced->edges == NULL || reduced->meters == NULL;
    for (int i = 0; i < like->edge_count && !full; i++) {
        struct edge *edge = &reduced->edges[i];
        if (edge->pair_count > 0) {
            edge->cost =
                arena_copy(arena, edge->cost, reduce_cells(like, edge) * sizeof(*edge->cost));
            full = edge->cost == NULL;
        }
    }
    return full ? error_set(err, ERR_NO_MEMORY, 0, "no memory for the tables of %d parts",
                            like->parts)
                : 0;
}

/* What a cell costs with the new line beyond what it did. */
static int64_t more(const struct reduced *like, const struct meter_line *line,
                    const struct entry *entry)
{
    const struct active_meter *meter = &like->meters[entry->meter];
    const struct problem_meter *source = &like->problem->meters[meter->meter];
    return reduce_line_cost(source, line[entry->meter].slope, entry->bytes) -
           reduce_line_cost(source, meter->slope_nusd, entry->bytes);
}
