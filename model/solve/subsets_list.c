/* The sets of parts that a site can hold, each with what it costs there. A set that fits is one
 * that fits and a part more, so they are grown part by part. */
#include "model/solve/subsets_internal.h"

struct growing {
    const struct subsets *subsets;
    int site;
    int64_t room[LIMIT_RESOURCES];
    struct subset *out; /* NULL: they are counted only */
    size_t count;
    size_t most;
};

static bool list_site(struct subsets *subsets, int site, struct subset *out, size_t most,
                      size_t *ret_count);
static bool grow(struct growing *growing, uint32_t parts, uint32_t may, int64_t cost);
static bool takes(struct growing *growing, int part, bool back);
static int64_t cost_with(const struct subsets *subsets, int site, uint32_t parts, int part);

bool subsets_list(struct subsets *subsets, size_t most)
{
    size_t sites = (size_t)subsets->sites;
    subsets->first = arena_array(subsets->arena, sites + 1, sizeof(size_t));
    if (subsets->first == NULL) {
        return false;
    }
    for (int site = 0; site < subsets->sites; site++) {
        size_t count;
        size_t before = subsets->first[site];
        if (!list_site(subsets, site, NULL, most - before, &count)) {
            return false;
        }
        subsets->first[site + 1] = before + count;
    }
    size_t count = subsets->first[sites];
    subsets->set = arena_alloc_raw(subsets->arena, count * sizeof(*subsets->set));
    if (subsets->set == NULL) {
        return false;
    }
    for (int site = 0; site < subsets->sites; site++) {
        (void)list_site(subsets, site, subsets->set + subsets->first[site], most, &count);
    }
    return true;
}

static bool list_site(struct subsets *subsets, int site, struct subset *out, size_t most,
                      size_t *ret_count)
{
    const struct grid *grid = subsets->grid;
    struct growing growing = {.subsets = subsets, .site = site, .out = out, .most = most};
    for (int r = 0; r < grid->resources; r++) {
        growing.room[r] = grid->capacity[site * grid->resources + r];
    }
    uint32_t may = 0;
    for (int part = 0; part < subsets->parts; part++) {
        bool open = subsets->cell[site * subsets->parts + part] >= 0;
        may |= (uint32_t)open << part;
    }
    bool fits = grow(&growing, 0, may, 0);
    subsets->result.work += (int64_t)growing.count;
    *ret_count = growing.count;
    return fits;
}

/* The set, then all that have one of `may` more. */
static bool grow(struct growing *growing, uint32_t parts, uint32_t may, int64_t cost)
{
    const struct subsets *subsets = growing->subsets;
    if (growing->count == growing->most) {
        return false;
    }
    if (growing->out != NULL) {
        growing->out[growing->count] =
            (struct subset){.cost = cost * subsets->scale, .parts = parts};
    }
    growing->count++;
    while (may != 0) {
        int part = __builtin_ctz(may);
        may &= may - 1;
        if (!takes(growing, part, false)) {
            continue;
        }
        uint32_t apart = subsets->apart[growing->site * subsets->parts + part];
        int64_t with =
            growing->out != NULL ? cost + cost_with(subsets, growing->site, parts, part) : 0;
        bool fits = grow(growing, parts | UINT32_C(1) << part, may & ~apart, with);
        (void)takes(growing, part, true);
        if (!fits) {
            return false;
        }
    }
    return true;
}

/* Room for a part, if there is; or what it took given back. */
static bool takes(struct growing *growing, int part, bool back)
{
    const struct subsets *subsets = growing->subsets;
    const struct grid *grid = subsets->grid;
    int cell = subsets->cell[growing->site * subsets->parts + part];
    if (grid->resources == 0) {
        return true;
    }
    const int32_t *demand = grid_demand(grid, part, cell);
    for (int r = 0; r < grid->resources && !back; r++) {
        if (demand[r] > growing->room[r]) {
            return false;
        }
    }
    for (int r = 0; r < grid->resources; r++) {
        growing->room[r] += back ? demand[r] : -(int64_t)demand[r];
    }
    return true;
}

static int64_t cost_with(const struct subsets *subsets, int site, uint32_t parts, int part)
{
    size_t at = (size_t)site * (size_t)subsets->parts + (size_t)part;
    const int64_t *pair = subsets->pair + at * (size_t)subsets->parts;
    int64_t cost = subsets->own[at];
    for (; parts != 0; parts &= parts - 1) {
        cost += pair[__builtin_ctz(parts)];
    }
    return cost;
}
