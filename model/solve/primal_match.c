#include "model/solve/primal_match.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FILL_BITS   26 /* of one item; a set has DEPTH_MOST of them at most */
#define DEPTH_MOST  16
#define BUCKETS     131072
#define FIRST_SETS  192 /* the first lists are short: they say what is to be beaten */
#define FIRST_ITEMS 12  /* that one half's first sets are of, about */
#define LONGER      8   /* and the next ones so many times as long */
#define TRIES_MOST  14
#define PASSES      4
#define HALVINGS    18
#define ITEM_WORK   10 /* what weighing an item takes, in sets listed */
#define LOOKS_EACH  64 /* sets that one set is held against, about */

/* An item as it differs from the centre: to take it, or to leave what the centre takes. */
struct item {
    double rise;
    int32_t fill[LIMIT_RESOURCES];
    int part;
    int from; /* number in the task */
};

struct set {
    double rise;
    int32_t fill[LIMIT_RESOURCES];
    int16_t item; /* of its list; the last one it has */
    int16_t depth;
    int prev; /* the set without that; -1: none */
};

struct list {
    struct item item[MATCH_ITEMS_MAX];
    int items;
    struct set *set; /* the first is the empty one */
    int sets;
    int most;
    double below; /* sets that rise less are listed */
    bool full;
    bool deep; /* some have more than DEPTH_MOST items, and are not */
};

struct match {
    struct list half[2];
    int sets_max;
    double work;
    bool shared; /* some part has several items */
    /* The task at hand, in units of 2^shift. */
    const struct match_task *task;
    int resources;
    int shift;
    double centre[LIMIT_RESOURCES]; /* prices at which the cheapest items fill the site about */
    bool taken[MATCH_ITEMS_MAX];    /* there */
    double price[LIMIT_RESOURCES];  /* of a unit left, above the centre */
    int32_t room[LIMIT_RESOURCES];  /* left by the centre */
    double floor;                   /* what the centre costs: no set costs less */
    double best;                    /* above that */
    double sure;                    /* no set costs less than this above that */
    bool cut;                       /* not all pairs were looked at */
    bool won;                       /* something was found that costs as much: */
    int won_item[2 * DEPTH_MOST];   /* what differs from the centre */
    int won_items;
    /* Where sets of the second half are. */
    int head[BUCKETS];
    int *next;
    int rows[LIMIT_RESOURCES]; /* that are told apart */
    int dimensions;
    int32_t low[LIMIT_RESOURCES];
    double per_edge[LIMIT_RESOURCES];
    struct item sorted[MATCH_ITEMS_MAX];
    int items;
    double rest[MATCH_ITEMS_MAX];
};

static double looked_below(const struct match *match);
static void find_centre(struct match *match);
static double fill_at(const struct match *match, int row, double price);
static void leave_centre(struct match *match);
static void scale_amounts(struct match *match, const int64_t *room);
static void divide(struct match *match);
static void reach(struct match *match, int most);
static void list_sets(struct list *list, bool shared, double below, int most);
static void grow(struct list *list, bool shared, int from, int prev);
static bool clashes(const struct list *list, int set, int part);
static bool lay_edges(struct match *match);
static int64_t cell_along(const struct match *match, int dimension, int64_t fill);
static unsigned bucket_of(const int64_t *cell, int dimensions);
static void lay_sets(struct match *match);
static void meet(struct match *match);
static void meet_all(struct match *match);
static void judge(struct match *match, int a, int b);
static void keep(struct match *match, int a, int b);
static int tell(struct match *match, int *ret_chosen);
static int by_rise(const void *a, const void *b);

struct match *match_create(struct arena *arena, int sets_max)
{
    struct match *match = arena_alloc(arena, sizeof(*match));
    if (match == NULL) {
        return NULL;
    }
    match->sets_max = sets_max < FIRST_SETS ? FIRST_SETS : sets_max;
    size_t sets = (size_t)match->sets_max + 1;
    match->next = arena_alloc_raw(arena, sets * sizeof(int));
    for (int i = 0; i < 2; i++) {
        match->half[i].set = arena_alloc_raw(arena, sets * sizeof(struct set));
    }
    bool whole = match->next != NULL && match->half[0].set != NULL && match->half[1].set != NULL;
    return whole ? match : NULL;
}

double match_find(struct match *match, const struct match_task *task, int *ret_chosen,
                  int *ret_count)
{
    match->task = task;
    match->resources = task->resources;
    match->work += ITEM_WORK * (double)task->items;
    find_centre(match);
    leave_centre(match);
    divide(match);
    match->best = task->best - match->floor;
    match->sure = match->best > 0 ? 0 : match->best;
    match->won = false;
    int longest = task->sets_max < match->sets_max ? task->sets_max : match->sets_max;
    for (int most = FIRST_SETS; match->best > 0; most *= LONGER) {
        most = most < longest ? most : longest;
        match->cut = false;
        reach(match, most);
        if (most == FIRST_SETS || !lay_edges(match)) {
            meet_all(match);
        } else {
            lay_sets(match);
            meet(match);
        }
        bool exact = !match->half[0].full && !match->half[1].full &&
                     match->half[0].below >= match->best && match->half[1].below >= match->best;
        match->sure = fmax(match->sure, fmin(match->best, looked_below(match)));
        if (most >= longest || exact) {
            break;
        }
    }
    if (!match->won) {
        *ret_count = 0;
        return task->best;
    }
    *ret_count = tell(match, ret_chosen);
    return match->floor + match->best;
}

double match_work(const struct match *match)
{
    return match->work;
}

double match_proven(const struct match *match)
{
    return match->floor + match->sure;
}

/* Of the last lists: every set that costs less above the centre was judged. */
static double looked_below(const struct match *match)
{
    bool whole = !match->cut && !match->shared && match->shift == 0;
    for (int i = 0; i < 2; i++) {
        whole = whole && !match->half[i].full && !match->half[i].deep;
    }
    return whole ? fmin(match->half[0].below, match->half[1].below) : 0;
}

/* Goes up one row's price after the other, to where the items that are cheap there fill the room.
 * The dual of the linear relaxation: any prices are right, good ones make the lists short. */
static void find_centre(struct match *match)
{
    const struct match_task *task = match->task;
    double scale = 0;
    for (int r = 0; r < task->resources; r++) {
        scale = fmax(scale, task->price[r]);
        match->centre[r] = 0;
    }
    for (int j = 0; j < task->items && scale <= 0; j++) {
        double fill = 0;
        for (int r = 0; r < task->resources; r++) {
            fill += fabs((double)task->item[j].fill[r]);
        }
        scale = fill > 0 ? fmax(scale, task->item[j].rise / fill) : scale;
    }
    for (int pass = 0; pass < PASSES; pass++) {
        double before[LIMIT_RESOURCES];
        memcpy(before, match->centre, sizeof(before));
        for (int r = 0; r < task->resources; r++) {
            for (int j = 0; j < task->items; j++) {
                match->rest[j] = task->item[j].rise;
                for (int k = 0; k < task->resources; k++) {
                    match->rest[j] -= k != r ? match->centre[k] * (double)task->item[j].fill[k] : 0;
                }
            }
            double room = (double)task->room[r];
            double high = task->price[r];
            double low = high - 4 * scale;
            match->centre[r] = high;
            if (fill_at(match, r, high) <= room) {
                continue;
            }
            for (int i = 0; i < HALVINGS; i++) {
                double middle = (low + high) / 2;
                if (fill_at(match, r, middle) > room) {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            match->centre[r] = low;
        }
        if (memcmp(before, match->centre, sizeof(before)) == 0) {
            break;
        }
    }
}

/* How much the items fill that a price makes worth taking. */
static double fill_at(const struct match *match, int row, double price)
{
    const struct match_task *task = match->task;
    double sum = 0;
    for (int j = 0; j < task->items; j++) {
        double fill = (double)task->item[j].fill[row];
        sum += match->rest[j] - price * fill < 0 ? fill : 0;
    }
    return sum;
}

/* What the centre takes, costs and leaves; the items as they differ from it. */
static void leave_centre(struct match *match)
{
    const struct match_task *task = match->task;
    int64_t most = 1;
    int64_t room[LIMIT_RESOURCES] = {0};
    match->floor = 0;
    match->shared = false;
    match->items = 0;
    for (int r = 0; r < task->resources; r++) {
        room[r] = task->room[r];
        match->floor += match->centre[r] * (double)room[r];
    }
    for (int from = 0, to = 0; from < task->items; from = to) {
        int least = from;
        for (to = from; to < task->items && task->item[to].part == task->item[from].part; to++) {
            double rise = task->item[to].rise;
            for (int r = 0; r < task->resources; r++) {
                int64_t fill = task->item[to].fill[r];
                rise -= match->centre[r] * (double)fill;
                most = llabs(fill) > most ? llabs(fill) : most;
            }
            match->rest[to] = rise;
            match->taken[to] = false;
            least = rise < match->rest[least] ? to : least;
        }
        match->shared = match->shared || to > from + 1;
        bool takes = match->rest[least] < 0;
        match->taken[least] = takes;
        match->floor += fmin(match->rest[least], 0);
        for (int r = 0; r < task->resources && takes; r++) {
            room[r] -= task->item[least].fill[r];
        }
        /* Of a part that the centre has taken, the other items are left out. */
        for (int j = takes ? least : from; j < (takes ? least + 1 : to); j++) {
            match->sorted[match->items++] =
                (struct item){.rise = fabs(match->rest[j]), .part = task->item[j].part, .from = j};
        }
    }
    match->shift = 0;
    while (most >> match->shift > INT64_C(1) << FILL_BITS) {
        match->shift++;
    }
    scale_amounts(match, room);
    qsort(match->sorted, (size_t)match->items, sizeof(struct item), by_rise);
}

/* Into units of 2^shift, rounded against us. */
static void scale_amounts(struct match *match, const int64_t *room)
{
    const struct match_task *task = match->task;
    int64_t unit = INT64_C(1) << match->shift;
    for (int r = 0; r < task->resources; r++) {
        match->price[r] = fmax(task->price[r] - match->centre[r], 0) * (double)unit;
        int64_t left = room[r] >> match->shift; /* rounds down */
        left = left < INT32_MAX / 2 ? left : INT32_MAX / 2;
        match->room[r] = (int32_t)(left > -INT32_MAX / 2 ? left : -INT32_MAX / 2);
    }
    for (int i = 0; i < match->items; i++) {
        struct item *item = &match->sorted[i];
        for (int r = 0; r < task->resources; r++) {
            int64_t fill = task->item[item->from].fill[r];
            fill = match->taken[item->from] ? -fill : fill;
            item->fill[r] = (int32_t) - (-fill >> match->shift);
        }
    }
}

/* In turns by their rise, but the items of one part into one half. */
static void divide(struct match *match)
{
    match->half[0].items = 0;
    match->half[1].items = 0;
    for (int j = 0; j < match->items; j++) {
        const struct item *item = &match->sorted[j];
        int half = match->shared ? (int)((unsigned)item->part * 2654435761u >> 31) : j & 1;
        match->half[half].item[match->half[half].items++] = *item;
    }
}

/* Lists both halves' sets as far up as about `most` of them go, or as what is to be beaten. */
static void reach(struct match *match, int most)
{
    struct list *half = match->half;
    double top = match->best;
    if (isinf(top)) {
        top = 1;
        for (int i = 0; i < match->items; i++) {
            top += match->sorted[i].rise;
        }
    }
    double low = 0;
    double high = top;
    double below = top;
    if (half[0].items > FIRST_ITEMS) {
        double guess = most == FIRST_SETS ? half[0].item[FIRST_ITEMS].rise : half[0].below * 1.6;
        below = guess > 0 ? fmin(guess, top) : top;
    }
    for (int i = 0; i < TRIES_MOST; i++) {
        list_sets(&half[0], match->shared, below, most);
        match->work += half[0].sets;
        if (half[0].full) {
            high = below;
        } else if (half[0].sets < most / 2 && below < top) {
            low = below;
        } else {
            break;
        }
        below = high < top ? (low + high) / 2 : fmin(2 * below, top);
    }
    list_sets(&half[1], match->shared, below, most);
    match->work += half[1].sets;
}

static void list_sets(struct list *list, bool shared, double below, int most)
{
    list->below = below;
    list->most = most;
    list->full = false;
    list->deep = false;
    list->set[0] = (struct set){.item = -1, .prev = -1};
    list->sets = 1;
    grow(list, shared, 0, 0);
}

static void grow(struct list *list, bool shared, int from, int prev)
{
    struct set base = list->set[prev];
    for (int j = from; j < list->items; j++) {
        const struct item *item = &list->item[j];
        double rise = base.rise + item->rise;
        if (!(rise < list->below)) {
            return;
        }
        if (list->sets == list->most) {
            list->full = true;
            return;
        }
        if (shared && clashes(list, prev, item->part)) {
            continue;
        }
        int self = list->sets++;
        struct set *set = &list->set[self];
        set->rise = rise;
        for (int r = 0; r < LIMIT_RESOURCES; r++) {
            set->fill[r] = base.fill[r] + item->fill[r];
        }
        set->item = (int16_t)j;
        set->depth = (int16_t)(base.depth + 1);
        set->prev = prev;
        if (set->depth < DEPTH_MOST) {
            grow(list, shared, j + 1, self);
            if (list->full) {
                return;
            }
        } else {
            list->deep =
                list->deep || (j + 1 < list->items && rise + list->item[j + 1].rise < list->below);
        }
    }
}

static bool clashes(const struct list *list, int set, int part)
{
    for (; set > 0; set = list->set[set].prev) {
        if (list->item[list->set[set].item].part == part) {
            return true;
        }
    }
    return false;
}

/* What may be left of a row, if all the rest cost nothing, is the edge of a cell; rows that it
 * does not divide are not told apart. False: no row is. */
static bool lay_edges(struct match *match)
{
    const struct list *list = &match->half[1];
    match->dimensions = 0;
    for (int r = 0; r < match->resources; r++) {
        int32_t low = INT32_MAX;
        int32_t high = INT32_MIN;
        for (int i = 0; i < list->sets; i++) {
            int32_t fill = list->set[i].fill[r];
            low = fill < low ? fill : low;
            high = fill > high ? fill : high;
        }
        double range = (double)high - (double)low + 1;
        double edge = range / 8;
        if (!isinf(match->best)) {
            edge = match->price[r] > 0 ? match->best / match->price[r] : INFINITY;
        }
        if (edge < range / 2) {
            int d = match->dimensions++;
            match->rows[d] = r;
            match->low[d] = low;
            match->per_edge[d] = 1 / fmax(edge, 1);
        }
    }
    return match->dimensions > 0;
}

static int64_t cell_along(const struct match *match, int dimension, int64_t fill)
{
    double at = (double)(fill - match->low[dimension]) * match->per_edge[dimension];
    return at < 0 ? -1 : (int64_t)at;
}

static unsigned bucket_of(const int64_t *cell, int dimensions)
{
    static const uint64_t mix[] = {0x9E3779B97F4A7C15u, 0xC2B2AE3D27D4EB4Fu, 0x165667B19E3779F9u,
                                   0xD6E8FEB86659FD93u};
    uint64_t sum = 0;
    for (int d = 0; d < dimensions; d++) {
        sum += (uint64_t)cell[d] * mix[d];
    }
    return (unsigned)(sum >> 47); /* of BUCKETS */
}

static void lay_sets(struct match *match)
{
    const struct list *list = &match->half[1];
    memset(match->head, -1, sizeof(match->head));
    for (int i = list->sets - 1; i >= 0; i--) {
        int64_t cell[LIMIT_RESOURCES];
        for (int d = 0; d < match->dimensions; d++) {
            cell[d] = cell_along(match, d, list->set[i].fill[match->rows[d]]);
        }
        unsigned bucket = bucket_of(cell, match->dimensions);
        match->next[i] = match->head[bucket];
        match->head[bucket] = i;
    }
}

/* Each set of the first half against those of the second that leave less than an edge in every
 * row: they are in the cell of what is wanted or in the one below it. */
static void meet(struct match *match)
{
    const struct list *first = &match->half[0];
    int dimensions = match->dimensions;
    int64_t looks = (int64_t)LOOKS_EACH * first->sets;
    for (int a = 0; a < first->sets; a++) {
        if (looks <= 0) {
            match->cut = true;
            break;
        }
        int64_t top[LIMIT_RESOURCES];
        bool inside = first->set[a].rise < match->best;
        for (int d = 0; d < dimensions && inside; d++) {
            int r = match->rows[d];
            top[d] = cell_along(match, d, (int64_t)match->room[r] - first->set[a].fill[r]);
            inside = top[d] >= 0;
        }
        for (int corner = 0; inside && corner < 1 << dimensions; corner++) {
            int64_t cell[LIMIT_RESOURCES];
            bool there = true;
            for (int d = 0; d < dimensions; d++) {
                cell[d] = top[d] - (corner >> d & 1);
                there = there && cell[d] >= 0;
            }
            unsigned bucket = bucket_of(cell, dimensions);
            for (int b = there ? match->head[bucket] : -1; b >= 0; b = match->next[b]) {
                judge(match, a, b);
                looks--;
            }
        }
    }
    match->work += first->sets * (double)(1 << dimensions) / 4;
}

static void meet_all(struct match *match)
{
    int64_t looks = (int64_t)LOOKS_EACH * 4 * match->half[0].sets;
    for (int a = 0; a < match->half[0].sets; a++) {
        if (looks <= 0) {
            match->cut = true;
            break;
        }
        for (int b = 0; b < match->half[1].sets; b++) {
            judge(match, a, b);
        }
        looks -= match->half[1].sets;
    }
    match->work += (double)match->half[0].sets;
}

static void judge(struct match *match, int a, int b)
{
    const struct set *x = &match->half[0].set[a];
    const struct set *y = &match->half[1].set[b];
    double value = x->rise + y->rise;
    bool fits = value < match->best;
    for (int r = 0; r < match->resources && fits; r++) {
        int64_t left = (int64_t)match->room[r] - x->fill[r] - y->fill[r];
        value += match->price[r] * (double)left;
        fits = left >= 0;
    }
    if (fits && value < match->best) {
        match->best = value;
        keep(match, a, b);
    }
}

/* Lists come and go: what the best set differs by is kept by its items. */
static void keep(struct match *match, int a, int b)
{
    const int last[] = {a, b};
    match->won_items = 0;
    match->won = true;
    for (int half = 0; half < 2; half++) {
        const struct list *list = &match->half[half];
        for (int at = last[half]; at > 0; at = list->set[at].prev) {
            match->won_item[match->won_items++] = list->item[list->set[at].item].from;
        }
    }
}

/* What the centre takes, but for what the best set changes. */
static int tell(struct match *match, int *ret_chosen)
{
    int count = 0;
    for (int i = 0; i < match->won_items; i++) {
        match->taken[match->won_item[i]] = !match->taken[match->won_item[i]];
    }
    for (int j = 0; j < match->task->items; j++) {
        if (match->taken[j]) {
            ret_chosen[count++] = j;
        }
    }
    return count;
}

static int by_rise(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    if (x->rise != y->rise) {
        return x->rise < y->rise ? -1 : 1;
    }
    return (x->from > y->from) - (x->from < y->from);
}
