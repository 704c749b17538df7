#include "model/solve/primal_fill.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/primal_match.h"
#include "model/solve/primal_turns.h"

#define SETS_MOST 8192
#define SETS_LOST 2048 /* as long as nothing is found that keeps all */
/* Of the priced sites a round opens so many at least. */
#define OPEN_LEAST 3
#define SMALLER    3 /* the higher, the smaller most groups are */
/* The site that a group is around is drawn by what it wastes, against that of the mean, and this.
 */
#define SEED_EVEN 1.0
/* How far the order of the sites strays from hardest first: a factor, at most. */
#define STRAY 3.0
/* How fast what is known of a site's hardness follows what it cost last. */
#define LEARN 0.3
/* What is over its capacity costs so many times its price. */
#define FINE 30.0
/* What looking at a column takes, in sets listed. */
#define COLUMN_WORK 2

struct candidate {
    struct primal_offer offer; /* to: a column */
    int64_t take[LIMIT_RESOURCES];
};

struct primal_fill {
    const struct primal_board *board;
    const struct primal *primal;
    struct match *match;
    uint64_t random;
    bool strays; /* from the order by prices, the first time */
    int64_t rounds;
    double looks;
    int resources;
    int *priced;     /* [site] rows that have a price */
    double *weight;  /* [site] the more of them and the higher, the more */
    uint64_t *mask;  /* [column] its sites, by their number modulo 64 */
    uint64_t shut;   /* the closed ones likewise */
    int *site_first; /* [site + 1] */
    int *site_app;   /* the apps with a column that touches the site */
    int *shared;     /* [site * sites + site] apps that may change what both hold */
    int *at;         /* [app] column */
    int64_t *slack;  /* [row] */
    bool *closed;    /* [site] */
    int open;        /* sites that are not */
    double *hard;    /* [site] what closing it costs, times the sites that were open */
    struct primal_turn *order;
    struct candidate *candidate;
    int candidates;
    bool fits;   /* the best does */
    double best; /* excess and priced room of: */
    int *best_at;
    int64_t *best_slack;
    struct match_item item[MATCH_ITEMS_MAX];
};

static int lay_sites(struct primal_fill *fill);
static void lay_shared(struct primal_fill *fill);
static int lay_start(struct primal_fill *fill);
static void one_round(struct primal_fill *fill);
static int pick_group(struct primal_fill *fill);
static void pick_open(struct primal_fill *fill);
static void relax(struct primal_fill *fill);
static double close_site(struct primal_fill *fill, int site, double most);
static void list_candidates(struct primal_fill *fill, int site, double best);
static bool differs(const struct primal_fill *fill, int from, int to, int site, int64_t *ret_take);
static int list_items(struct primal_fill *fill);
static void go(struct primal_fill *fill, int to);
static double value_of(const struct primal_fill *fill, bool *ret_fits);
static double site_value(const struct primal_fill *fill, int site, const int64_t *slack);
static bool is_over(const struct primal_fill *fill, int site);
static int by_column(const void *a, const void *b);

int primal_fill_create(const struct primal_board *board, uint64_t seed,
                       struct primal_fill **ret_fill)
{
    const struct primal *primal = board->core->primal;
    struct arena *arena = primal->work;
    size_t sites = (size_t)primal->grid->sites;
    size_t columns = (size_t)board->first[board->apps];
    struct primal_fill *fill = arena_alloc(arena, sizeof(*fill));
    if (fill == NULL) {
        return primal_no_memory(primal);
    }
    fill->board = board;
    fill->primal = primal;
    fill->resources = primal->grid->resources;
    fill->strays = seed % 2 != 0;
    fill->random = (seed + 1) * 0x9E3779B97F4A7C15u;
    fill->match = match_create(arena, SETS_MOST);
    fill->at = arena_copy(arena, board->start, ((size_t)board->apps + 1) * sizeof(int));
    fill->best_at = arena_copy(arena, board->start, ((size_t)board->apps + 1) * sizeof(int));
    fill->slack = arena_array(arena, primal->rows + 1, sizeof(int64_t));
    fill->best_slack = arena_array(arena, primal->rows + 1, sizeof(int64_t));
    fill->closed = arena_array(arena, sites, sizeof(bool));
    fill->hard = arena_array(arena, sites, sizeof(double));
    fill->order = arena_array(arena, sites, sizeof(*fill->order));
    fill->candidate = arena_alloc_raw(arena, (columns + 1) * sizeof(*fill->candidate));
    if (fill->match == NULL || fill->at == NULL || fill->best_at == NULL || fill->slack == NULL ||
        fill->best_slack == NULL || fill->closed == NULL || fill->hard == NULL ||
        fill->order == NULL || fill->candidate == NULL) {
        return primal_no_memory(primal);
    }
    int rc = lay_sites(fill);
    rc = rc == 0 ? lay_start(fill) : rc;
    *ret_fill = rc == 0 ? fill : NULL;
    return rc;
}

void primal_fill_run(struct primal_fill *fill, double work, double target)
{
    double until = primal_fill_work(fill) + work;
    while (primal_fill_work(fill) < until && !(fill->fits && primal_fill_cost(fill) <= target) &&
           !atomic_load(&fill->primal->stop)) {
        one_round(fill);
        fill->rounds++;
    }
}

double primal_fill_cost(const struct primal_fill *fill)
{
    return fill->best + fill->board->offset;
}

bool primal_fill_fits(const struct primal_fill *fill)
{
    return fill->fits;
}

bool primal_fill_beats(const struct primal_fill *fill, const struct primal_fill *other)
{
    return fill->fits == other->fits ? fill->best < other->best : fill->fits;
}

double primal_fill_work(const struct primal_fill *fill)
{
    return match_work(fill->match) + fill->looks * COLUMN_WORK;
}

int64_t primal_fill_rounds(const struct primal_fill *fill)
{
    return fill->rounds;
}

void primal_fill_adopt(struct primal_fill *fill, const struct primal_fill *from)
{
    fill->best = from->best;
    fill->fits = from->fits;
    memcpy(fill->best_at, from->best_at, (size_t)fill->board->apps * sizeof(int));
    memcpy(fill->best_slack, from->best_slack, fill->primal->rows * sizeof(int64_t));
}

void primal_fill_choice(const struct primal_fill *fill, int *choice)
{
    primal_board_choice(fill->board, fill->best_at, choice);
}

/* Which apps may change what a site holds. */
static int lay_sites(struct primal_fill *fill)
{
    const struct primal_board *board = fill->board;
    struct arena *arena = fill->primal->work;
    size_t sites = (size_t)fill->primal->grid->sites;
    int *last = arena_alloc_raw(arena, sites * sizeof(int));
    fill->mask = arena_array(arena, (size_t)board->first[board->apps] + 1, sizeof(uint64_t));
    fill->site_first = arena_array(arena, sites + 2, sizeof(int));
    if (last == NULL || fill->mask == NULL || fill->site_first == NULL) {
        return primal_no_memory(fill->primal);
    }
    for (int pass = 0; pass < 2; pass++) {
        memset(last, -1, sites * sizeof(int));
        for (int i = 0; i < board->first[board->apps]; i++) {
            const struct primal_column *column = &board->column[i];
            for (int k = 0; k < column->touches; k++) {
                int site = board->touch[column->touch + k].site;
                fill->mask[i] |= UINT64_C(1) << (site & 63);
                if (last[site] == column->app) {
                    continue;
                }
                last[site] = column->app;
                if (pass == 0) {
                    fill->site_first[site + 2]++;
                } else {
                    fill->site_app[fill->site_first[site + 1]++] = column->app;
                }
            }
        }
        for (size_t site = 0; site < sites && pass == 0; site++) {
            fill->site_first[site + 2] += fill->site_first[site + 1];
        }
        if (pass == 0) {
            fill->shared = arena_array(arena, sites * sites, sizeof(int));
            fill->site_app =
                arena_array(arena, (size_t)fill->site_first[sites + 1] + 1, sizeof(int));
            if (fill->site_app == NULL || fill->shared == NULL) {
                return primal_no_memory(fill->primal);
            }
        }
    }
    lay_shared(fill);
    return 0;
}

/* Both lists are in order of the apps. */
static void lay_shared(struct primal_fill *fill)
{
    size_t sites = (size_t)fill->primal->grid->sites;
    for (size_t a = 0; a < sites; a++) {
        for (size_t b = 0; b < sites; b++) {
            int i = fill->site_first[a];
            int k = fill->site_first[b];
            while (i < fill->site_first[a + 1] && k < fill->site_first[b + 1]) {
                int step = fill->site_app[i] - fill->site_app[k];
                fill->shared[a * sites + b] += step == 0;
                i += step <= 0;
                k += step >= 0;
            }
        }
    }
}

/* What the start leaves of each row, and which rows have a price. */
static int lay_start(struct primal_fill *fill)
{
    const struct primal *primal = fill->primal;
    const struct grid *grid = primal->grid;
    size_t sites = (size_t)grid->sites;
    size_t resources = (size_t)grid->resources;
    fill->priced = arena_array(primal->work, sites, sizeof(int));
    fill->weight = arena_array(primal->work, sites, sizeof(double));
    if (fill->priced == NULL || fill->weight == NULL) {
        return primal_no_memory(primal);
    }
    grid_load_of(grid, fill->board->choice, fill->slack);
    double most = 0;
    for (size_t row = 0; row < primal->rows; row++) {
        most = fmax(most, primal->price[row]);
    }
    for (size_t row = 0; row < primal->rows; row++) {
        /* No limit is far, and not at the end of the numbers. */
        int64_t capacity =
            grid->capacity[row] < INT64_MAX / 2 ? grid->capacity[row] : INT64_MAX / 2;
        fill->slack[row] = capacity - fill->slack[row];
        if (primal->price[row] > 0) {
            fill->priced[row / resources]++;
            fill->weight[row / resources] += 1 + primal->price[row] / most / 8;
        }
    }
    memcpy(fill->best_slack, fill->slack, primal->rows * sizeof(int64_t));
    fill->best = value_of(fill, &fill->fits);
    return 0;
}

/* Opens a group of sites around the best, closes them again, and keeps what is cheaper. */
static void one_round(struct primal_fill *fill)
{
    const struct primal_board *board = fill->board;
    const struct primal *primal = fill->primal;
    memcpy(fill->at, fill->best_at, (size_t)board->apps * sizeof(int));
    memcpy(fill->slack, fill->best_slack, primal->rows * sizeof(int64_t));
    int count = pick_group(fill);
    relax(fill);
    double value = 0;
    for (int i = 0; i < board->apps; i++) {
        value += board->column[fill->at[i]].excess;
    }
    for (int site = 0; site < primal->grid->sites; site++) {
        value += fill->closed[site] ? site_value(fill, site, fill->slack) : 0;
    }
    for (int i = 0; i < count; i++) {
        int site = fill->order[i].site;
        double cost = close_site(fill, site, fill->best - value);
        fill->closed[site] = true;
        fill->shut |= UINT64_C(1) << (site & 63);
        fill->open--;
        /* What would cost too much is known to be hard as far as that was looked for. */
        double hard = (isinf(cost) ? fill->best - value : cost) * (fill->open + 1);
        double share = fill->hard[site] > 0 ? LEARN : 1;
        fill->hard[site] += share * (hard - fill->hard[site]);
        value += cost;
        /* What a closed site holds too much of, it keeps. */
        if (value >= fill->best || (fill->fits && is_over(fill, site))) {
            return;
        }
    }
    bool fits;
    value = value_of(fill, &fits);
    /* A fine may be small: what keeps all is never given up for it. */
    if (fits == fill->fits ? value < fill->best : fits) {
        fill->best = value;
        fill->fits = fits;
        memcpy(fill->best_at, fill->at, (size_t)board->apps * sizeof(int));
        memcpy(fill->best_slack, fill->slack, primal->rows * sizeof(int64_t));
    }
}

/* Which sites are open, and in what order they are closed: hardest first, those without a price
 * last. The first time all are open, those with the highest prices first. */
static int pick_group(struct primal_fill *fill)
{
    int sites = fill->primal->grid->sites;
    bool first = fill->rounds == 0;
    int count = 0;
    pick_open(fill);
    fill->shut = 0;
    for (int site = 0; site < sites; site++) {
        if (fill->closed[site]) {
            fill->shut |= UINT64_C(1) << (site & 63);
            continue;
        }
        double weight = first ? fill->weight[site] : fill->hard[site];
        if (!first || fill->strays) {
            weight *= pow(STRAY, 2 * primal_draw(&fill->random) - 1);
        }
        weight = fill->priced[site] > 0 ? weight : -1;
        fill->order[count++] = (struct primal_turn){.weight = weight, .site = site};
    }
    fill->open = count;
    qsort(fill->order, (size_t)count, sizeof(*fill->order), primal_turn_order);
    return count;
}

/* All at first; then a few around one of them, rarely many. */
static void pick_open(struct primal_fill *fill)
{
    int sites = fill->primal->grid->sites;
    int priced = 0;
    for (int site = 0; site < sites; site++) {
        priced += fill->priced[site] > 0;
        fill->closed[site] = fill->priced[site] > 0 && fill->rounds > 0;
    }
    if (fill->rounds == 0 || priced == 0) {
        return;
    }
    double share =
        fill->fits ? pow(primal_draw(&fill->random), SMALLER) : primal_draw(&fill->random);
    int want = (int)(OPEN_LEAST * pow((double)priced / OPEN_LEAST, share));
    double even = SEED_EVEN * fill->best / sites;
    int seed = 0;
    double most = -1;
    for (int site = 0; site < sites; site++) {
        double value =
            fill->priced[site] > 0
                ? primal_draw(&fill->random) * (even + site_value(fill, site, fill->best_slack))
                : -1;
        seed = value > most ? site : seed;
        most = fmax(value, most);
    }
    double spread = 0.1 + primal_draw(&fill->random);
    for (int site = 0; site < sites; site++) {
        double near = fill->shared[(size_t)seed * (size_t)sites + (size_t)site] + spread;
        fill->order[site] = (struct primal_turn){
            .weight = fill->priced[site] > 0 ? near * primal_draw(&fill->random) : -1,
            .site = site};
    }
    fill->order[seed].weight = INFINITY;
    qsort(fill->order, (size_t)sites, sizeof(*fill->order), primal_turn_order);
    for (int i = 0; i < want && i < priced; i++) {
        fill->closed[fill->order[i].site] = false;
    }
}

/* Each app goes where it is cheapest without changing what closed sites hold. */
static void relax(struct primal_fill *fill)
{
    const struct primal_board *board = fill->board;
    int64_t take[LIMIT_RESOURCES];
    for (int i = 0; i < board->apps; i++) {
        for (int to = board->first[i]; to < fill->at[i]; to++) {
            fill->looks++;
            if (!differs(fill, fill->at[i], to, -1, take)) {
                go(fill, to);
                break;
            }
        }
    }
}

/* Returns what its filling costs; INFINITY: nothing was found that costs less than `most`. */
static double close_site(struct primal_fill *fill, int site, double most)
{
    const struct primal *primal = fill->primal;
    size_t row = (size_t)site * (size_t)fill->resources;
    const double *price = primal->price + row;
    const int64_t *slack = fill->slack + row;
    double best = site_value(fill, site, fill->slack);
    if (best <= 0) {
        return 0;
    }
    bool fits = best < most;
    best = fits ? best : most;
    list_candidates(fill, site, best);
    struct match_task task = {.resources = fill->resources,
                              .price = price,
                              .room = slack,
                              .item = fill->item,
                              .items = list_items(fill),
                              .best = best,
                              .sets_max = !fill->fits ? SETS_LOST : SETS_MOST};
    int chosen[MATCH_ITEMS_MAX];
    int count = 0;
    best = match_find(fill->match, &task, chosen, &count);
    for (int i = 0; i < count; i++) {
        go(fill, fill->candidate[chosen[i]].offer.to);
    }
    return fits || count > 0 ? best : INFINITY;
}

/* The changes that alter what the site holds and no closed one: of those of an app that do the same
 * there, the cheapest. */
static void list_candidates(struct primal_fill *fill, int site, double best)
{
    const struct primal_board *board = fill->board;
    uint64_t here = UINT64_C(1) << (site & 63);
    fill->candidates = 0;
    for (int k = fill->site_first[site]; k < fill->site_first[site + 1]; k++) {
        int app = fill->site_app[k];
        int from = fill->at[app];
        int first = fill->candidates;
        int to = from;
        while (to > board->first[app] &&
               board->column[to - 1].excess >= board->column[from].excess) {
            to--;
        }
        for (; to < board->first[app + 1]; to++) {
            double rise = board->column[to].excess - board->column[from].excess;
            if (!(rise < best)) {
                break;
            }
            if (((fill->mask[from] | fill->mask[to]) & here) == 0) {
                continue;
            }
            struct candidate *candidate = &fill->candidate[fill->candidates];
            fill->looks++;
            if (differs(fill, from, to, site, candidate->take)) {
                continue;
            }
            bool same = true;
            for (int r = 0; r < fill->resources; r++) {
                same = same && candidate->take[r] == 0;
            }
            for (int i = first; i < fill->candidates && !same; i++) {
                same =
                    memcmp(fill->candidate[i].take, candidate->take, sizeof(candidate->take)) == 0;
            }
            if (!same) {
                candidate->offer.rise = rise;
                candidate->offer.to = to;
                fill->candidates++;
            }
        }
    }
    qsort(fill->candidate, (size_t)fill->candidates, sizeof(*fill->candidate), primal_offer_order);
}

/* Whether some closed site holds more or less when an app goes from one column to another; and what
 * it then takes more at `site`. */
static bool differs(const struct primal_fill *fill, int from, int to, int site, int64_t *ret_take)
{
    const struct primal_board *board = fill->board;
    memset(ret_take, 0, LIMIT_RESOURCES * sizeof(*ret_take));
    uint64_t matters = fill->shut | (site >= 0 ? UINT64_C(1) << (site & 63) : 0);
    if (((fill->mask[from] | fill->mask[to]) & matters) == 0) {
        return false;
    }
    const struct primal_touch *gain = board->touch + board->column[to].touch;
    const struct primal_touch *loss = board->touch + board->column[from].touch;
    const struct primal_touch *gain_end = gain + board->column[to].touches;
    const struct primal_touch *loss_end = loss + board->column[from].touches;
    while (gain < gain_end || loss < loss_end) {
        int at = gain < gain_end ? gain->site : loss->site;
        at = loss < loss_end && loss->site < at ? loss->site : at;
        double more[LIMIT_RESOURCES] = {0};
        if (gain < gain_end && gain->site == at) {
            memcpy(more, gain->demand, sizeof(more));
            gain++;
        }
        if (loss < loss_end && loss->site == at) {
            for (int r = 0; r < LIMIT_RESOURCES; r++) {
                more[r] -= loss->demand[r];
            }
            loss++;
        }
        for (int r = 0; r < LIMIT_RESOURCES; r++) {
            if (more[r] != 0 && fill->closed[at]) {
                return true;
            }
            ret_take[r] = at == site ? (int64_t)more[r] : ret_take[r];
        }
    }
    return false;
}

/* The cheapest of them as the matching wants them; those of one app follow each other. */
static int list_items(struct primal_fill *fill)
{
    int count = fill->candidates < MATCH_ITEMS_MAX ? fill->candidates : MATCH_ITEMS_MAX;
    qsort(fill->candidate, (size_t)count, sizeof(*fill->candidate), by_column);
    for (int i = 0; i < count; i++) {
        const struct candidate *candidate = &fill->candidate[i];
        struct match_item *item = &fill->item[i];
        *item = (struct match_item){.rise = candidate->offer.rise,
                                    .part = fill->board->column[candidate->offer.to].app};
        memcpy(item->fill, candidate->take, sizeof(item->fill));
    }
    return count;
}

static void go(struct primal_fill *fill, int to)
{
    const struct primal_board *board = fill->board;
    int *at = &fill->at[board->column[to].app];
    size_t resources = (size_t)fill->resources;
    for (int side = 0; side < 2; side++) {
        const struct primal_column *column = &board->column[side == 0 ? *at : to];
        for (int i = 0; i < column->touches; i++) {
            const struct primal_touch *touch = &board->touch[column->touch + i];
            int64_t *slack = fill->slack + (size_t)touch->site * resources;
            for (size_t r = 0; r < resources; r++) {
                slack[r] += (side == 0 ? 1 : -1) * (int64_t)touch->demand[r];
            }
        }
    }
    *at = to;
}

/* What the apps pay above their least, and the sites. */
static double value_of(const struct primal_fill *fill, bool *ret_fits)
{
    const struct primal_board *board = fill->board;
    double value = 0;
    for (int i = 0; i < board->apps; i++) {
        value += board->column[fill->at[i]].excess;
    }
    for (int site = 0; site < fill->primal->grid->sites; site++) {
        value += site_value(fill, site, fill->slack);
    }
    *ret_fits = true;
    for (size_t row = 0; row < fill->primal->rows; row++) {
        *ret_fits = *ret_fits && fill->slack[row] >= 0;
    }
    return value;
}

static bool is_over(const struct primal_fill *fill, int site)
{
    const int64_t *slack = fill->slack + (size_t)site * (size_t)fill->resources;
    bool over = false;
    for (int r = 0; r < fill->resources; r++) {
        over = over || slack[r] < 0;
    }
    return over;
}

/* The priced room that is left, or a fine for what there is too little. */
static double site_value(const struct primal_fill *fill, int site, const int64_t *slack)
{
    double value = 0;
    for (int r = 0; r < fill->resources; r++) {
        size_t row = (size_t)site * (size_t)fill->resources + (size_t)r;
        double left = (double)slack[row];
        value += left < 0 ? -FINE * fill->board->core->heavy[row] * left
                          : fill->primal->price[row] * left;
    }
    return value;
}

static int by_column(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    return (x->offer.to > y->offer.to) - (x->offer.to < y->offer.to);
}
