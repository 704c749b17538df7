#include "model/solve/classes.h"

#include <string.h>

/* Where cells are listed: kinds times sites, at most. */
#define CELLS_MAX ((size_t)1 << 24)
/* Parts that are looked at before all are: for doubles, and for what sites look like to them. */
#define SAMPLE       512
#define SAMPLE_SITES 64

static int find_kinds(const struct grid *grid, struct arena *arena, struct classes *classes,
                      struct error *err);
static int find_groups(const struct grid *grid, struct arena *arena, struct classes *classes,
                       struct error *err);
static bool looks_useful(const struct grid *grid, struct arena *arena);
static uint64_t hash_part(const struct grid *grid, int part);
static int index_cells(const struct grid *grid, struct arena *arena, struct classes *classes,
                       bool *ret_single, struct error *err);
static int number(const uint64_t *hash, int count, struct arena *arena, int *ret_number);
static int *list(const int *number_of, int count, int numbers, int *first, struct arena *arena);

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory to tell parts and sites apart");
}

/* One step of a hash: a multiplication and its high half. */
static inline uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

int classes_find(const struct grid *grid, struct arena *arena, struct classes *ret_classes,
                 struct error *err)
{
    *ret_classes = (struct classes){.useful = false};
    if (grid->links > 0 || grid->parts < 2 || !looks_useful(grid, arena)) {
        return 0;
    }
    struct classes classes = {.useful = true};
    int rc = find_kinds(grid, arena, &classes, err);
    bool single = grid->site == NULL || (size_t)classes.kinds * (size_t)grid->sites <= CELLS_MAX;
    if (rc == 0 && single) {
        rc = index_cells(grid, arena, &classes, &single, err);
    }
    if (rc < 0 || !single) {
        return rc;
    }
    rc = find_groups(grid, arena, &classes, err);
    classes.useful = classes.kinds <= grid->parts / 2 || classes.groups <= grid->sites / 2;
    if (rc == 0 && classes.useful) {
        *ret_classes = classes;
    }
    return rc;
}

/* Of a sample of parts a tenth have a double, or half of the sites look like others to all of it:
 * what has neither is not worth a pass over all cells. Without memory: the full pass says so. */
static bool looks_useful(const struct grid *grid, struct arena *arena)
{
    int count = grid->parts < SAMPLE ? grid->parts : SAMPLE;
    uint64_t hash[SAMPLE];
    int number_of[SAMPLE];
    for (int i = 0; i < count; i++) {
        hash[i] = hash_part(grid, (int)((int64_t)i * grid->parts / count));
    }
    int kinds = number(hash, count, arena, number_of);
    if (kinds <= count - count / 10 || grid->first != NULL) {
        return true; /* cells that are listed are few */
    }
    uint64_t *site_hash = arena_array(arena, (size_t)grid->sites, sizeof(uint64_t));
    int *group_of = arena_array(arena, (size_t)grid->sites, sizeof(int));
    if (site_hash == NULL || group_of == NULL) {
        return true;
    }
    for (int i = 0; i < count && i < SAMPLE_SITES; i++) {
        const uint32_t *cost =
            grid->cost + grid_first(grid, (int)((int64_t)i * grid->parts / count));
        for (int site = 0; site < grid->sites; site++) {
            site_hash[site] = mix(site_hash[site], cost[site]);
        }
    }
    return number(site_hash, grid->sites, arena, group_of) <= grid->sites / 2;
}

static int find_kinds(const struct grid *grid, struct arena *arena, struct classes *classes,
                      struct error *err)
{
    size_t parts = (size_t)grid->parts;
    uint64_t *hash = arena_array(arena, parts, sizeof(uint64_t));
    classes->kind_of = arena_array(arena, parts, sizeof(int));
    if (hash == NULL || classes->kind_of == NULL) {
        return no_memory(err);
    }
    for (int part = 0; part < grid->parts; part++) {
        hash[part] = hash_part(grid, part);
    }
    classes->kinds = number(hash, grid->parts, arena, classes->kind_of);
    if (classes->kinds < 0) {
        return no_memory(err);
    }
    classes->kind_first = arena_array(arena, (size_t)classes->kinds + 2, sizeof(int));
    if (classes->kind_first == NULL) {
        return no_memory(err);
    }
    classes->kind_part =
        list(classes->kind_of, grid->parts, classes->kinds, classes->kind_first, arena);
    return classes->kind_part == NULL ? no_memory(err) : 0;
}

/* All that a part costs and demands, and where. Four lanes: a multiplication's latency is four
 * times its share of the processor. */
static uint64_t hash_part(const struct grid *grid, int part)
{
    size_t first = grid_first(grid, part);
    size_t cells = (size_t)grid_cells(grid, part);
    size_t resources = (size_t)grid->resources;
    uint64_t lane[4] = {1, 2, 3, 4};
    size_t cell = 0;
    for (; cell + 8 <= cells; cell += 8) {
        for (size_t i = 0; i < 4; i++) {
            uint64_t pair;
            memcpy(&pair, grid->cost + first + cell + 2 * i, sizeof(pair));
            lane[i] = mix(lane[i], pair);
        }
    }
    for (; cell < cells; cell++) {
        lane[cell % 4] = mix(lane[cell % 4], grid->cost[first + cell]);
    }
    uint64_t hash = mix(mix(mix(lane[0], lane[1]), lane[2]), lane[3]);
    for (size_t i = 0; grid->site != NULL && i < cells; i++) {
        hash = mix(hash, grid->site[first + i]);
    }
    size_t demands = grid->cell_demand != NULL ? cells * resources : resources;
    const int32_t *demand = grid_demand(grid, part, 0);
    for (size_t i = 0; i < demands; i++) {
        hash = mix(hash, (uint64_t)demand[i]);
    }
    hash = mix(hash, grid->unit != NULL ? (uint64_t)grid->unit[part] : 1);
    hash = mix(hash, grid->base != NULL ? (uint64_t)grid->base[part] : 0);
    return mix(hash, cells);
}

/* Where each kind's cells are; *ret_single: at most one at a site. */
static int index_cells(const struct grid *grid, struct arena *arena, struct classes *classes,
                       bool *ret_single, struct error *err)
{
    if (grid->site == NULL) {
        return 0;
    }
    size_t sites = (size_t)grid->sites;
    classes->cell = arena_alloc_raw(arena, (size_t)classes->kinds * sites * sizeof(int) + 1);
    if (classes->cell == NULL) {
        return no_memory(err);
    }
    for (int kind = 0; kind < classes->kinds; kind++) {
        int part = classes->kind_part[classes->kind_first[kind]];
        int *at = classes->cell + (size_t)kind * sites;
        for (size_t site = 0; site < sites; site++) {
            at[site] = -1;
        }
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            int site = grid_site(grid, part, cell);
            *ret_single = *ret_single && at[site] < 0;
            at[site] = cell;
        }
    }
    return 0;
}

static int find_groups(const struct grid *grid, struct arena *arena, struct classes *classes,
                       struct error *err)
{
    size_t sites = (size_t)grid->sites;
    size_t resources = (size_t)grid->resources;
    uint64_t *hash = arena_array(arena, sites, sizeof(uint64_t));
    classes->group_of = arena_array(arena, sites, sizeof(int));
    if (hash == NULL || classes->group_of == NULL) {
        return no_memory(err);
    }
    for (size_t site = 0; site < sites; site++) {
        for (size_t r = 0; r < resources; r++) {
            hash[site] = mix(hash[site], (uint64_t)grid->capacity[site * resources + r]);
        }
    }
    for (int kind = 0; kind < classes->kinds; kind++) {
        int part = classes->kind_part[classes->kind_first[kind]];
        for (int site = 0; site < grid->sites; site++) {
            int cell = classes_cell(grid, classes, kind, site);
            hash[site] = mix(hash[site], cell < 0 ? GRID_CLOSED : grid_cost_raw(grid, part, cell));
            for (size_t r = 0; cell >= 0 && grid->cell_demand != NULL && r < resources; r++) {
                hash[site] = mix(hash[site], (uint64_t)grid_demand(grid, part, cell)[r]);
            }
        }
    }
    classes->groups = number(hash, grid->sites, arena, classes->group_of);
    if (classes->groups < 0) {
        return no_memory(err);
    }
    classes->group_first = arena_array(arena, (size_t)classes->groups + 2, sizeof(int));
    if (classes->group_first == NULL) {
        return no_memory(err);
    }
    classes->group_site =
        list(classes->group_of, grid->sites, classes->groups, classes->group_first, arena);
    return classes->group_site == NULL ? no_memory(err) : 0;
}

/* Numbers what has equal hashes alike, in order of the first of each; returns how many numbers
 * there are, -1: no memory. */
static int number(const uint64_t *hash, int count, struct arena *arena, int *ret_number)
{
    size_t slots = 16;
    while (slots < 2 * (size_t)count) {
        slots *= 2;
    }
    int *first = arena_array(arena, slots, sizeof(int)); /* one above the item, 0: empty */
    if (first == NULL) {
        return -1;
    }
    int numbers = 0;
    for (int i = 0; i < count; i++) {
        size_t slot = (size_t)mix(hash[i], 0) & (slots - 1);
        while (first[slot] > 0 && hash[first[slot] - 1] != hash[i]) {
            slot = (slot + 1) & (slots - 1);
        }
        if (first[slot] == 0) {
            first[slot] = i + 1;
            ret_number[i] = numbers++;
        } else {
            ret_number[i] = ret_number[first[slot] - 1];
        }
    }
    return numbers;
}

/* The items by number; first[numbers + 2] comes cleared. NULL: no memory. */
static int *list(const int *number_of, int count, int numbers, int *first, struct arena *arena)
{
    int *items = arena_array(arena, (size_t)count, sizeof(int));
    if (items == NULL) {
        return NULL;
    }
    for (int i = 0; i < count; i++) {
        first[number_of[i] + 2]++;
    }
    for (int i = 0; i <= numbers; i++) {
        first[i + 1] += first[i];
    }
    for (int i = 0; i < count; i++) {
        items[first[number_of[i] + 1]++] = i;
    }
    return items;
}

int classes_merge(const struct grid *grid, const struct classes *classes, struct arena *arena,
                  struct grid *ret_merged, struct error *err)
{
    size_t groups = (size_t)classes->groups;
    size_t resources = (size_t)grid->resources;
    size_t cells = (size_t)grid->parts * groups;
    struct grid merged = *grid;
    uint32_t *cost = arena_alloc_raw(arena, cells * sizeof(uint32_t) + 1);
    int64_t *capacity = arena_array(arena, groups * resources + 1, sizeof(int64_t));
    int32_t *demand = grid->cell_demand != NULL
                          ? arena_array(arena, cells * resources + 1, sizeof(int32_t))
                          : NULL;
    if (cost == NULL || capacity == NULL || (grid->cell_demand != NULL && demand == NULL)) {
        return no_memory(err);
    }
    for (int group = 0; group < classes->groups; group++) {
        int site = classes->group_site[classes->group_first[group]];
        int64_t members = classes->group_first[group + 1] - classes->group_first[group];
        for (size_t r = 0; r < resources; r++) {
            int64_t each = grid->capacity[(size_t)site * resources + r];
            int64_t *all = &capacity[(size_t)group * resources + r];
            *all = __builtin_mul_overflow(each, members, all) ? INT64_MAX : *all;
        }
        for (int part = 0; part < grid->parts; part++) {
            size_t at = (size_t)part * groups + (size_t)group;
            int cell = classes_cell(grid, classes, classes->kind_of[part], site);
            cost[at] = cell < 0 ? GRID_CLOSED : grid_cost_raw(grid, part, cell);
            for (size_t r = 0; demand != NULL && cell >= 0 && r < resources; r++) {
                demand[at * resources + r] = grid_demand(grid, part, cell)[r];
            }
        }
    }
    merged.sites = classes->groups;
    merged.first = NULL;
    merged.site = NULL;
    merged.cost = cost;
    merged.cell_demand = demand;
    merged.capacity = capacity;
    merged.current = NULL;
    *ret_merged = merged;
    return 0;
}
