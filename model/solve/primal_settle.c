#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/primal_internal.h"

#define CANDIDATES 300 /* moves of a site that are put together, by four at the most */
#define PAIRS      (CANDIDATES * (CANDIDATES + 1) / 2 + 1)
#define CELLS      32768
#define WORK       200000 /* pairs of pairs that are judged in a turn at most */
#define LOST       80
#define TURNS      6 /* times that one site is gone through */

struct turn_at {
    double weight;
    int site;
};

/* One or two candidates. */
struct pair {
    double rise;
    int32_t fill[LIMIT_RESOURCES]; /* of the site, taken together */
    int a;                         /* candidates; -1: none */
    int b;
    int next; /* in its cell */
};

struct candidate {
    int move;
    int32_t fill[LIMIT_RESOURCES];
};

struct settle {
    const struct primal_core *core;
    const double *price; /* of the site */
    int resources;
    int *choice;
    int64_t *slack; /* [row] */
    bool *closed;   /* [site] */
    struct turn_at *order;
    bool *used; /* [group] */
    int *seen;  /* [move] the turn that listed it */
    int turn;
    struct candidate candidate[CANDIDATES];
    int candidates;
    struct pair *pair;
    int pairs;
    int *head; /* [cell] */
    int priced[LIMIT_RESOURCES];
    int dimensions;
    int across; /* cells along a dimension */
    int32_t low[LIMIT_RESOURCES];
    double width[LIMIT_RESOURCES];
    double best;
    int chosen[4];
    int chosen_count;
    int work; /* pairs of pairs that may still be judged */
};

static void settle_site(struct settle *settle, int site);
static void list_candidates(struct settle *settle, int site);
static bool is_candidate(const struct settle *settle, int site, int move, int32_t *fill);
static void list_pairs(struct settle *settle, const int64_t *slack);
static void add_pair(struct settle *settle, const int64_t *slack, int a, int b);
static void lay_cells(struct settle *settle);
static int cell_along(const struct settle *settle, int dimension, int64_t fill);
static void match(struct settle *settle, const int64_t *slack, const struct pair *a);
static void judge(struct settle *settle, const int64_t *slack, const struct pair *a,
                  const struct pair *b);
static void take(struct settle *settle, int move);
static int by_rise(const void *a, const void *b);
static int by_weight(const void *a, const void *b);

int primal_settle_create(const struct primal_core *core, struct settle **ret_settle)
{
    const struct primal *primal = core->primal;
    struct arena *arena = primal->work;
    size_t sites = (size_t)primal->grid->sites;
    struct settle *settle = arena_alloc(arena, sizeof(*settle));
    if (settle == NULL) {
        return primal_no_memory(primal);
    }
    settle->core = core;
    settle->resources = primal->grid->resources;
    settle->choice =
        arena_copy(arena, core->choice, ((size_t)primal->grid->parts + 1) * sizeof(int));
    settle->slack = arena_copy(arena, core->slack, (primal->rows + 1) * sizeof(int64_t));
    settle->closed = arena_array(arena, sites, sizeof(bool));
    settle->order = arena_array(arena, sites, sizeof(*settle->order));
    settle->used = arena_array(arena, (size_t)core->parts + 1, sizeof(bool));
    settle->seen = arena_array(arena, (size_t)core->moves + 1, sizeof(int));
    settle->pair = arena_alloc_raw(arena, (size_t)PAIRS * sizeof(struct pair));
    settle->head = arena_alloc_raw(arena, (size_t)CELLS * sizeof(int));
    if (settle->choice == NULL || settle->slack == NULL || settle->closed == NULL ||
        settle->order == NULL || settle->used == NULL || settle->seen == NULL ||
        settle->pair == NULL || settle->head == NULL) {
        return primal_no_memory(primal);
    }
    *ret_settle = settle;
    return 0;
}

void primal_settle_run(struct settle *settle, uint64_t seed, int open)
{
    const struct primal *primal = settle->core->primal;
    size_t resources = (size_t)settle->resources;
    int sites = primal->grid->sites;
    uint64_t random = seed * 0x9E3779B97F4A7C15u + 1;
    for (int site = 0; site < sites; site++) {
        struct turn_at *at = &settle->order[site];
        *at = (struct turn_at){.site = site};
        for (size_t r = 0; r < resources; r++) {
            double price = primal->price[(size_t)site * resources + r];
            at->weight += price > 0 ? 1 + 1e-9 * price : 0;
        }
        if (seed > 0 && at->weight > 0) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            at->weight = 1 + (double)(random >> 11) * 0x1p-53;
        }
    }
    qsort(settle->order, (size_t)sites, sizeof(*settle->order), by_weight);
    for (int i = open; i < sites; i++) {
        settle->closed[settle->order[i].site] = settle->order[i].weight > 0;
    }
    for (int i = 0; i < sites && !atomic_load(&primal->stop); i++) {
        if (!settle->closed[settle->order[i].site]) {
            settle_site(settle, settle->order[i].site);
            settle->closed[settle->order[i].site] = true;
        }
    }
}

const int *primal_settle_choice(const struct settle *settle)
{
    return settle->choice;
}

static void settle_site(struct settle *settle, int site)
{
    const struct primal *primal = settle->core->primal;
    size_t row = (size_t)site * (size_t)settle->resources;
    settle->price = primal->price + row;
    for (int turn = 0; turn < TURNS; turn++) {
        int64_t slack[LIMIT_RESOURCES] = {0};
        bool over = false;
        settle->best = 0;
        for (int r = 0; r < settle->resources; r++) {
            slack[r] = settle->slack[row + (size_t)r];
            over = over || slack[r] < 0;
            settle->best += settle->price[r] * (double)slack[r];
        }
        settle->best = over ? INFINITY : settle->best;
        settle->chosen_count = 0;
        list_candidates(settle, site);
        list_pairs(settle, slack);
        lay_cells(settle);
        settle->work = WORK;
        for (int i = 0;
             i < settle->pairs && settle->pair[i].rise < settle->best && settle->work > 0; i++) {
            match(settle, slack, &settle->pair[i]);
        }
        if (settle->chosen_count == 0 && isinf(settle->best) && settle->candidates > 0) {
            /* Too far over for four: the cheapest that leaves goes first. */
            for (int i = 0; i < settle->candidates && settle->chosen_count == 0; i++) {
                bool helps = false;
                for (int r = 0; r < settle->resources; r++) {
                    helps = helps || (slack[r] < 0 && settle->candidate[i].fill[r] < 0);
                }
                settle->chosen[0] = i;
                settle->chosen_count = helps;
            }
        }
        if (settle->chosen_count == 0) {
            return;
        }
        for (int i = 0; i < settle->chosen_count; i++) {
            take(settle, settle->candidate[settle->chosen[i]].move);
        }
    }
}

/* The moves that change what the site holds and touch no closed one, cheapest first. */
static void list_candidates(struct settle *settle, int site)
{
    const struct primal_core *core = settle->core;
    int in = core->in.first[site];
    int out = core->out.first[site];
    int in_end = core->in.first[site + 1];
    int out_end = core->out.first[site + 1];
    settle->candidates = 0;
    settle->turn++;
    while (settle->candidates < CANDIDATES && (in < in_end || out < out_end)) {
        /* Moves are numbered in order of their rise. */
        bool from_in = in < in_end && (out == out_end || core->in.move[in] <= core->out.move[out]);
        int move = from_in ? core->in.move[in++] : core->out.move[out++];
        struct candidate *candidate = &settle->candidate[settle->candidates];
        if (settle->seen[move] != settle->turn &&
            is_candidate(settle, site, move, candidate->fill)) {
            candidate->move = move;
            settle->candidates++;
        }
        settle->seen[move] = settle->turn;
    }
}

static bool is_candidate(const struct settle *settle, int site, int move, int32_t *fill)
{
    const struct primal_core *core = settle->core;
    const struct primal_move *m = &core->move[move];
    bool changes = false;
    int64_t sum[LIMIT_RESOURCES] = {0};
    for (int k = 0; k < m->count; k++) {
        const struct primal_step *step = &core->step[m->first + k];
        const struct primal_place *from = &core->base[step->active];
        if (settle->used[core->group[step->active]] ||
            (from->site != site && settle->closed[from->site]) ||
            (step->to.site != site && settle->closed[step->to.site])) {
            return false;
        }
        for (int r = 0; r < settle->resources; r++) {
            sum[r] += step->to.site == site ? step->to.demand[r] : 0;
            sum[r] -= from->site == site ? from->demand[r] : 0;
        }
    }
    for (int r = 0; r < settle->resources; r++) {
        if (sum[r] > INT32_MAX / 4 || sum[r] < INT32_MIN / 4) {
            return false;
        }
        fill[r] = (int32_t)sum[r];
        changes = changes || sum[r] != 0;
    }
    return changes;
}

/* Nothing, singles and pairs, each tried alone at once: what rises more than the best of those
 * is in no better answer. */
static void list_pairs(struct settle *settle, const int64_t *slack)
{
    settle->pairs = 0;
    add_pair(settle, slack, -1, -1);
    for (int b = 0; b < settle->candidates; b++) {
        add_pair(settle, slack, b, -1);
    }
    const struct primal_core *core = settle->core;
    int candidates = settle->candidates;
    if (isinf(settle->best) && candidates > LOST) {
        candidates = LOST; /* nothing bounds the search while no single move makes it fit */
    }
    for (int b = 1; b < candidates; b++) {
        const struct primal_move *second = &core->move[settle->candidate[b].move];
        if (!(second->rise < settle->best)) {
            break;
        }
        for (int a = 0; a < b; a++) {
            const struct primal_move *first = &core->move[settle->candidate[a].move];
            if (!(first->rise + second->rise < settle->best)) {
                break;
            }
            if (core->group[core->step[first->first].active] !=
                core->group[core->step[second->first].active]) {
                add_pair(settle, slack, a, b);
            }
        }
    }
    qsort(settle->pair, (size_t)settle->pairs, sizeof(struct pair), by_rise);
}

static void add_pair(struct settle *settle, const int64_t *slack, int a, int b)
{
    struct pair *pair = &settle->pair[settle->pairs++];
    *pair = (struct pair){.a = a, .b = b, .next = -1};
    for (int i = 0; i < 2; i++) {
        int at = i == 0 ? a : b;
        for (int r = 0; r < settle->resources && at >= 0; r++) {
            pair->fill[r] += settle->candidate[at].fill[r];
        }
        pair->rise += at >= 0 ? settle->core->move[settle->candidate[at].move].rise : 0;
    }
    if (a >= 0) {
        struct pair none = {.a = -1, .b = -1};
        judge(settle, slack, pair, &none);
    }
}

/* Cells over the rows that have a price: only there it matters how well the fill fits. */
static void lay_cells(struct settle *settle)
{
    settle->dimensions = 0;
    for (int r = 0; r < settle->resources; r++) {
        if (settle->price[r] > 0) {
            settle->priced[settle->dimensions++] = r;
        }
    }
    static const int across[] = {1, 4096, 181, 32, 13};
    settle->across = across[settle->dimensions];
    for (int d = 0; d < settle->dimensions; d++) {
        int32_t low = INT32_MAX;
        int32_t high = INT32_MIN;
        for (int i = 0; i < settle->pairs; i++) {
            int32_t fill = settle->pair[i].fill[settle->priced[d]];
            low = fill < low ? fill : low;
            high = fill > high ? fill : high;
        }
        settle->low[d] = low;
        settle->width[d] = ((double)high - (double)low + 1) / settle->across;
    }
    memset(settle->head, -1, (size_t)CELLS * sizeof(int));
}

static int cell_along(const struct settle *settle, int dimension, int64_t fill)
{
    double at = floor(((double)fill - (double)settle->low[dimension]) / settle->width[dimension]);
    return at < 0 ? -1 : at >= settle->across ? settle->across - 1 : (int)at;
}

/* Looks for the pairs, of those that rise less, that leave the least with this one; then joins
 * them. */
static void match(struct settle *settle, const int64_t *slack, const struct pair *a)
{
    int base[LIMIT_RESOURCES] = {0};
    for (int d = 0; d < settle->dimensions; d++) {
        int r = settle->priced[d];
        base[d] = cell_along(settle, d, slack[r] - a->fill[r]);
    }
    for (int corner = 0; corner < 1 << settle->dimensions; corner++) {
        int cell = 0;
        bool inside = true;
        for (int d = 0; d < settle->dimensions; d++) {
            int along = base[d] - (corner >> d & 1);
            inside = inside && along >= 0;
            cell = cell * settle->across + along;
        }
        for (int i = inside ? settle->head[cell] : -1; i >= 0 && settle->work > 0;
             i = settle->pair[i].next) {
            settle->work--;
            judge(settle, slack, a, &settle->pair[i]);
        }
    }
    int own = 0;
    for (int d = 0; d < settle->dimensions; d++) {
        own = own * settle->across + cell_along(settle, d, a->fill[settle->priced[d]]);
    }
    struct pair *self = &settle->pair[a - settle->pair];
    self->next = settle->head[own];
    settle->head[own] = (int)(a - settle->pair);
}

static void judge(struct settle *settle, const int64_t *slack, const struct pair *a,
                  const struct pair *b)
{
    double value = a->rise + b->rise;
    if (!(value < settle->best)) {
        return;
    }
    for (int r = 0; r < settle->resources; r++) {
        int64_t left = slack[r] - a->fill[r] - b->fill[r];
        if (left < 0) {
            return;
        }
        value += settle->price[r] * (double)left;
    }
    if (!(value < settle->best)) {
        return;
    }
    const struct primal_core *core = settle->core;
    const int four[] = {a->a, a->b, b->a, b->b};
    int group[4];
    int chosen[4];
    int count = 0;
    for (int i = 0; i < 4; i++) {
        if (four[i] < 0) {
            continue;
        }
        const struct primal_move *move = &core->move[settle->candidate[four[i]].move];
        group[count] = core->group[core->step[move->first].active];
        for (int k = 0; k < count; k++) {
            if (group[k] == group[count]) {
                return;
            }
        }
        chosen[count++] = four[i];
    }
    settle->best = value;
    settle->chosen_count = count;
    memcpy(settle->chosen, chosen, sizeof(chosen));
}

static void take(struct settle *settle, int move)
{
    const struct primal_core *core = settle->core;
    const struct primal_move *m = &core->move[move];
    for (int k = 0; k < m->count; k++) {
        const struct primal_step *step = &core->step[m->first + k];
        const struct primal_place *from = &core->base[step->active];
        size_t resources = (size_t)settle->resources;
        for (size_t r = 0; r < resources; r++) {
            settle->slack[(size_t)from->site * resources + r] += from->demand[r];
            settle->slack[(size_t)step->to.site * resources + r] -= step->to.demand[r];
        }
        settle->choice[core->part[step->active]] = step->to.cell;
        settle->used[core->group[step->active]] = true;
    }
}

static int by_rise(const void *a, const void *b)
{
    const struct pair *x = a;
    const struct pair *y = b;
    if (x->rise != y->rise) {
        return x->rise < y->rise ? -1 : 1;
    }
    return x->a != y->a ? (x->a > y->a) - (x->a < y->a) : (x->b > y->b) - (x->b < y->b);
}

static int by_weight(const void *a, const void *b)
{
    const struct turn_at *x = a;
    const struct turn_at *y = b;
    if (x->weight != y->weight) {
        return x->weight > y->weight ? -1 : 1;
    }
    return (x->site > y->site) - (x->site < y->site);
}
