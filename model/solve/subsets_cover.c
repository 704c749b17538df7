/*
 * Every way to cover each part once with one open set per site: a part with few sets takes one
 * after the other, and of each site those stay that share no part with it and add little enough.
 */
#include <string.h>

#include "model/solve/subsets_internal.h"

/* What is left at a depth: a range of the buffer per site. `cost` of a set is what it adds. */
struct level {
    uint32_t parts; /* not covered yet */
    uint64_t sites; /* without a set */
    int64_t used;   /* by the sets that are taken */
    size_t first[SUBSETS_SITES];
    size_t count[SUBSETS_SITES];
    int64_t least[SUBSETS_SITES];
    int64_t sum; /* of `least` */
    size_t end;  /* in the buffer */
};

struct covering {
    struct subsets *subsets;
    const struct subsets_node *node;
    struct subset *buffer;
    size_t buffer_count;
    int order[SUBSETS_PARTS]; /* parts with few sets first */
    int64_t room;
    int64_t work_max;
    uint32_t taken[SUBSETS_SITES];
    bool stopped;
};

static bool begin(struct covering *covering, size_t sets_max, struct level *level);
static void sort_parts(struct covering *covering, const struct level *level);
static void dive(struct covering *covering, const struct level *level);
static bool below(struct covering *covering, const struct level *level, int site,
                  const struct subset *set, struct level *ret_below);
static bool keep(struct covering *covering, const struct level *level, int site, int64_t room,
                 struct level *below);
static void found(struct covering *covering, const struct level *level);

bool subsets_cover(struct subsets *subsets, const struct subsets_node *node, int64_t room,
                   const struct subsets_cover *limits)
{
    struct covering covering = {
        .subsets = subsets,
        .node = node,
        .room = room,
        .buffer = subsets->buffer,
        .buffer_count = subsets->buffer_count,
        .work_max = limits->work_max > 0 ? subsets->result.work + limits->work_max : INT64_MAX};
    struct level level;
    if (!begin(&covering, limits->sets_max, &level)) {
        return false;
    }
    if (level.sum <= covering.room) {
        sort_parts(&covering, &level);
        dive(&covering, &level);
    }
    return !covering.stopped;
}

/* The open sets that add `room` at most. A site's cheapest adds nothing. */
static bool begin(struct covering *covering, size_t sets_max, struct level *level)
{
    struct subsets *subsets = covering->subsets;
    struct subsets_table table;
    subsets_table(covering->node->price, &table);
    *level = (struct level){.parts = (uint32_t)((UINT64_C(1) << subsets->parts) - 1),
                            .sites = subsets->sites == 64 ? UINT64_MAX
                                                          : (UINT64_C(1) << subsets->sites) - 1};
    for (int site = 0; site < subsets->sites; site++) {
        const struct subset *set = subsets->set + subsets->first[site];
        level->first[site] = level->end;
        level->least[site] = INT64_MAX;
        for (size_t i = 0; i < covering->node->count[site]; i++) {
            int64_t adds =
                set[i].cost - subsets_price_of(&table, set[i].parts) - covering->node->least[site];
            if (adds > covering->room) {
                continue;
            }
            if (level->end >= sets_max || level->end >= covering->buffer_count) {
                return false;
            }
            covering->buffer[level->end++] = (struct subset){.cost = adds, .parts = set[i].parts};
            level->least[site] = adds < level->least[site] ? adds : level->least[site];
        }
        level->count[site] = level->end - level->first[site];
        level->sum += level->count[site] > 0 ? level->least[site] : 0;
        if (level->count[site] == 0) {
            level->sum = INT64_MAX; /* nothing is below it */
            return true;
        }
    }
    return subsets_go_on(subsets, (int64_t)level->end);
}

static void sort_parts(struct covering *covering, const struct level *level)
{
    size_t with[SUBSETS_PARTS] = {0};
    for (size_t i = 0; i < level->end; i++) {
        for (uint32_t parts = covering->buffer[i].parts; parts != 0; parts &= parts - 1) {
            with[__builtin_ctz(parts)]++;
        }
    }
    for (int part = 0; part < covering->subsets->parts; part++) {
        int at = part;
        while (at > 0 && with[covering->order[at - 1]] > with[part]) {
            covering->order[at] = covering->order[at - 1];
            at--;
        }
        covering->order[at] = part;
    }
}

static void dive(struct covering *covering, const struct level *level)
{
    struct subsets *subsets = covering->subsets;
    if (level->parts == 0) {
        found(covering, level);
        return;
    }
    int next = 0;
    while ((level->parts >> covering->order[next] & 1) == 0) {
        next++;
    }
    uint32_t part = UINT32_C(1) << covering->order[next];
    for (uint64_t sites = level->sites; sites != 0; sites &= sites - 1) {
        int site = __builtin_ctzll(sites);
        const struct subset *set = covering->buffer + level->first[site];
        for (size_t i = 0; i < level->count[site]; i++) {
            if ((set[i].parts & part) == 0 ||
                level->used + level->sum - level->least[site] + set[i].cost > covering->room) {
                continue;
            }
            struct level after;
            if (below(covering, level, site, &set[i], &after)) {
                covering->taken[site] = set[i].parts;
                dive(covering, &after);
            }
            if (covering->stopped) {
                return;
            }
        }
        if (!subsets_go_on(subsets, (int64_t)level->count[site])) {
            covering->stopped = true;
            return;
        }
    }
}

/* What is left once a site has its set; false: nothing that is of use, or it has to end. */
static bool below(struct covering *covering, const struct level *level, int site,
                  const struct subset *set, struct level *ret_below)
{
    struct subsets *subsets = covering->subsets;
    ret_below->parts = level->parts & ~set->parts;
    ret_below->sites = level->sites & ~(UINT64_C(1) << site);
    ret_below->used = level->used + set->cost;
    ret_below->sum = 0;
    ret_below->end = level->end;
    int64_t room = covering->room - ret_below->used - (level->sum - level->least[site]);
    int64_t work = 0;
    bool some = true;
    for (uint64_t sites = ret_below->sites; sites != 0 && some; sites &= sites - 1) {
        int other = __builtin_ctzll(sites);
        work += (int64_t)level->count[other];
        some = keep(covering, level, other, room + level->least[other], ret_below);
    }
    if (!subsets_go_on(subsets, work) || subsets->result.work > covering->work_max) {
        covering->stopped = true;
    }
    return some && !covering->stopped && ret_below->used + ret_below->sum <= covering->room;
}

/* The sets of a site that share no part with what is covered. */
static bool keep(struct covering *covering, const struct level *level, int site, int64_t room,
                 struct level *below)
{
    const struct subset *set = covering->buffer + level->first[site];
    struct subset *to = covering->buffer + below->end;
    size_t most = covering->buffer_count - below->end;
    bool last = (below->sites & (below->sites - 1)) == 0; /* takes all that is left */
    size_t count = 0;
    int64_t least = INT64_MAX;
    if (level->count[site] > most) {
        covering->stopped = true;
        return false;
    }
    for (size_t i = 0; i < level->count[site]; i++) {
        if ((set[i].parts & ~below->parts) == 0 && set[i].cost <= room &&
            (!last || set[i].parts == below->parts)) {
            to[count++] = set[i];
            least = set[i].cost < least ? set[i].cost : least;
        }
    }
    below->first[site] = below->end;
    below->count[site] = count;
    below->least[site] = least;
    below->sum += count > 0 ? least : 0;
    below->end += count;
    return count > 0;
}

/* The sites that are left take the empty set, which alone is open to them by now. */
static void found(struct covering *covering, const struct level *level)
{
    struct subsets *subsets = covering->subsets;
    for (uint64_t sites = level->sites; sites != 0; sites &= sites - 1) {
        covering->taken[__builtin_ctzll(sites)] = 0;
    }
    subsets_take(subsets, covering->taken);
    /* What is of use from here on costs less. */
    int64_t room = subsets->limit - covering->node->bound;
    covering->room = room < covering->room ? room : covering->room;
}
