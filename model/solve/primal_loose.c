#include "model/solve/primal_loose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/primal_match.h"
#include "model/solve/primal_turns.h"

#define SETS_MOST 65536
/* Of the priced sites a round opens all, or a half, or ... of them; so many at least. */
#define SHARES     4
#define OPEN_LEAST 3
/* How far the order of the sites strays from hardest first: a factor, at most. */
#define STRAY 3.0
/* How fast what is known of a site's hardness follows what it cost last. */
#define LEARN 0.3

struct candidate {
    struct primal_offer offer; /* to: an entry */
    int part;                  /* active */
};

struct loose_chain {
    const struct loose *loose;
    const struct primal *primal;
    struct match *match;
    uint64_t random;
    bool strays; /* from the order by prices, the first time */
    int64_t rounds;
    int resources;
    int *at;        /* [active] entry */
    int64_t *slack; /* [row] */
    bool *closed;   /* [site] */
    int open;       /* sites that are not */
    double *hard;   /* [site] what closing it costs, times the sites that were open */
    struct primal_turn *order;
    struct candidate *candidate;
    int candidates;
    double offset; /* cost of an assignment above its value */
    double best;   /* value of: */
    int *best_at;
    int64_t *best_slack;
    struct match_item item[MATCH_ITEMS_MAX];
};

static void one_round(struct loose_chain *chain);
static int pick_group(struct loose_chain *chain);
static void relax(struct loose_chain *chain);
static double close_site(struct loose_chain *chain, int site);
static void list_candidates(struct loose_chain *chain, int site);
static int cheapest_open(const struct loose_chain *chain, int part, int but);
static int list_items(struct loose_chain *chain, int site);
static void go(struct loose_chain *chain, int part, int to);
static double value_of(const struct loose_chain *chain);
static int by_part(const void *a, const void *b);

int loose_chain_create(const struct loose *loose, uint64_t seed, struct loose_chain **ret_chain)
{
    const struct primal *primal = loose->primal;
    struct arena *arena = primal->work;
    size_t sites = (size_t)primal->grid->sites;
    struct loose_chain *chain = arena_alloc(arena, sizeof(*chain));
    if (chain == NULL) {
        return primal_no_memory(primal);
    }
    chain->loose = loose;
    chain->primal = primal;
    chain->resources = primal->grid->resources;
    chain->strays = seed % 2 != 0;
    chain->random = (seed + 1) * 0x9E3779B97F4A7C15u;
    chain->match = match_create(arena, SETS_MOST);
    chain->at = arena_copy(arena, loose->base, ((size_t)loose->parts + 1) * sizeof(int));
    chain->best_at = arena_copy(arena, loose->base, ((size_t)loose->parts + 1) * sizeof(int));
    chain->slack = arena_copy(arena, loose->slack, (primal->rows + 1) * sizeof(int64_t));
    chain->best_slack = arena_copy(arena, loose->slack, (primal->rows + 1) * sizeof(int64_t));
    chain->closed = arena_array(arena, sites, sizeof(bool));
    chain->hard = arena_array(arena, sites, sizeof(double));
    chain->order = arena_array(arena, sites, sizeof(*chain->order));
    chain->candidate = arena_array(arena, (size_t)loose->site_most + 1, sizeof(*chain->candidate));
    if (chain->match == NULL || chain->at == NULL || chain->best_at == NULL ||
        chain->slack == NULL || chain->best_slack == NULL || chain->closed == NULL ||
        chain->hard == NULL || chain->order == NULL || chain->candidate == NULL) {
        return primal_no_memory(primal);
    }
    chain->best = value_of(chain);
    double value = chain->best;
    if (isinf(value)) {
        /* Of a choice that does not keep all: as if it did. */
        value = 0;
        for (int i = 0; i < loose->parts; i++) {
            value += loose->entry[chain->at[i]].w;
        }
        for (size_t row = 0; row < primal->rows; row++) {
            value += primal->price[row] * (double)chain->slack[row];
        }
    }
    chain->offset = loose->cost - value;
    *ret_chain = chain;
    return 0;
}

void loose_run(struct loose_chain *chain, double work, double target)
{
    double until = match_work(chain->match) + work;
    while (match_work(chain->match) < until && loose_cost(chain) > target &&
           !atomic_load(&chain->primal->stop)) {
        one_round(chain);
        chain->rounds++;
    }
}

double loose_cost(const struct loose_chain *chain)
{
    return chain->best + chain->offset;
}

double loose_work(const struct loose_chain *chain)
{
    return match_work(chain->match);
}

int64_t loose_rounds(const struct loose_chain *chain)
{
    return chain->rounds;
}

void loose_adopt(struct loose_chain *chain, const struct loose_chain *from)
{
    chain->best = from->best;
    memcpy(chain->best_at, from->best_at, (size_t)chain->loose->parts * sizeof(int));
    memcpy(chain->best_slack, from->best_slack, chain->primal->rows * sizeof(int64_t));
}

void loose_choice(const struct loose_chain *chain, int *choice)
{
    const struct loose *loose = chain->loose;
    for (int i = 0; i < loose->parts; i++) {
        choice[loose->part[i]] = loose->entry[chain->best_at[i]].cell;
    }
}

/* Opens a group of sites around the best, closes them again, and keeps what is cheaper. */
static void one_round(struct loose_chain *chain)
{
    const struct primal *primal = chain->primal;
    int sites = primal->grid->sites;
    memcpy(chain->at, chain->best_at, (size_t)chain->loose->parts * sizeof(int));
    memcpy(chain->slack, chain->best_slack, primal->rows * sizeof(int64_t));
    int count = pick_group(chain);
    relax(chain);
    double value = 0;
    for (int i = 0; i < chain->loose->parts; i++) {
        value += chain->loose->entry[chain->at[i]].w;
    }
    for (int site = 0; site < sites; site++) {
        size_t row = (size_t)site * (size_t)chain->resources;
        for (int r = 0; r < chain->resources && chain->closed[site]; r++) {
            value += primal->price[row + (size_t)r] * (double)chain->slack[row + (size_t)r];
        }
    }
    for (int i = 0; i < count; i++) {
        int site = chain->order[i].site;
        chain->closed[site] = true;
        chain->open--;
        double cost = close_site(chain, site);
        if (isinf(cost)) {
            /* What cannot be filled goes first. */
            chain->hard[site] = 2 * chain->hard[site] + value;
        } else {
            double hard = cost * (chain->open + 1);
            double share = chain->hard[site] > 0 ? LEARN : 1;
            chain->hard[site] += share * (hard - chain->hard[site]);
        }
        value += cost;
        if (value >= chain->best || isinf(value)) {
            return;
        }
    }
    value = value_of(chain);
    if (value < chain->best) {
        chain->best = value;
        memcpy(chain->best_at, chain->at, (size_t)chain->loose->parts * sizeof(int));
        memcpy(chain->best_slack, chain->slack, primal->rows * sizeof(int64_t));
    }
}

/* Which sites are open, and in what order they are closed: hardest first, those without a price
 * last. The first time all are open, those with the highest prices first. */
static int pick_group(struct loose_chain *chain)
{
    const struct loose *loose = chain->loose;
    int sites = chain->primal->grid->sites;
    bool all = isinf(chain->best);
    bool first = chain->rounds == 0;
    int priced = 0;
    int count = 0;
    for (int site = 0; site < sites; site++) {
        priced += loose->priced[site] > 0;
    }
    int want = all ? priced : priced >> (int)(primal_draw(&chain->random) * SHARES);
    want = want < OPEN_LEAST ? OPEN_LEAST : want;
    int left = priced;
    for (int site = 0; site < sites; site++) {
        bool open = true;
        if (loose->priced[site] > 0) {
            open = primal_draw(&chain->random) * left < want;
            want -= open;
            left--;
        }
        chain->closed[site] = !open;
        if (open) {
            double weight = loose->weight[site];
            weight = first ? weight : chain->hard[site];
            if (!first || chain->strays) {
                weight *= pow(STRAY, 2 * primal_draw(&chain->random) - 1);
            }
            weight = loose->priced[site] > 0 ? weight : -1;
            chain->order[count++] = (struct primal_turn){.weight = weight, .site = site};
        }
    }
    chain->open = count;
    qsort(chain->order, (size_t)count, sizeof(*chain->order), primal_turn_order);
    return count;
}

/* The parts at open sites go where they are cheapest among those. */
static void relax(struct loose_chain *chain)
{
    const struct loose *loose = chain->loose;
    for (int i = 0; i < loose->parts; i++) {
        if (!chain->closed[loose->entry[chain->at[i]].site]) {
            int to = cheapest_open(chain, i, -1);
            if (to >= 0 && loose->entry[to].w < loose->entry[chain->at[i]].w) {
                go(chain, i, to);
            }
        }
    }
}

static int cheapest_open(const struct loose_chain *chain, int part, int but)
{
    const struct loose *loose = chain->loose;
    for (int e = loose->first[part]; e < loose->first[part + 1]; e++) {
        int site = loose->entry[e].site;
        if (site != but && !chain->closed[site]) {
            return e;
        }
    }
    return -1;
}

/* Returns what its filling costs; INFINITY: nothing was found that keeps its rows. */
static double close_site(struct loose_chain *chain, int site)
{
    const struct primal *primal = chain->primal;
    size_t row = (size_t)site * (size_t)chain->resources;
    const double *price = primal->price + row;
    const int64_t *slack = chain->slack + row;
    double best = 0;
    for (int r = 0; r < chain->resources; r++) {
        best = slack[r] < 0 ? INFINITY : best + price[r] * (double)slack[r];
    }
    if (best <= 0) {
        return 0;
    }
    list_candidates(chain, site);
    struct match_task task = {.resources = chain->resources,
                              .price = price,
                              .room = slack,
                              .item = chain->item,
                              .items = list_items(chain, site),
                              .best = best,
                              .sets_max = SETS_MOST};
    int chosen[MATCH_ITEMS_MAX];
    int count = 0;
    best = match_find(chain->match, &task, chosen, &count);
    for (int i = 0; i < count; i++) {
        const struct candidate *candidate = &chain->candidate[chosen[i]];
        go(chain, candidate->part, candidate->offer.to);
    }
    return best;
}

/* Of the parts there: out of it to the cheapest open site, or to another cell at it; of others at
 * open sites: into it. */
static void list_candidates(struct loose_chain *chain, int site)
{
    const struct loose *loose = chain->loose;
    chain->candidates = 0;
    for (int k = loose->site_first[site]; k < loose->site_first[site + 1]; k++) {
        int to = loose->site_entry[k];
        int part = loose->entry[to].part;
        int from = chain->at[part];
        int from_site = loose->entry[from].site;
        if (from == to) {
            to = cheapest_open(chain, part, site);
        } else if (from_site != site && chain->closed[from_site]) {
            continue;
        }
        double rise = to >= 0 ? loose->entry[to].w - loose->entry[from].w : -1;
        if (rise >= 0) {
            chain->candidate[chain->candidates++] =
                (struct candidate){.offer = {.rise = rise, .to = to}, .part = part};
        }
    }
    qsort(chain->candidate, (size_t)chain->candidates, sizeof(*chain->candidate),
          primal_offer_order);
}

/* The cheapest of them as the matching wants them; those of one part follow each other. */
static int list_items(struct loose_chain *chain, int site)
{
    const struct loose *loose = chain->loose;
    int count = chain->candidates < MATCH_ITEMS_MAX ? chain->candidates : MATCH_ITEMS_MAX;
    if (loose->several) {
        qsort(chain->candidate, (size_t)count, sizeof(*chain->candidate), by_part);
    }
    for (int i = 0; i < count; i++) {
        const struct candidate *candidate = &chain->candidate[i];
        const struct loose_entry *to = &loose->entry[candidate->offer.to];
        const struct loose_entry *from = &loose->entry[chain->at[candidate->part]];
        struct match_item *item = &chain->item[i];
        *item = (struct match_item){.rise = candidate->offer.rise, .part = candidate->part};
        for (int r = 0; r < chain->resources; r++) {
            item->fill[r] += to->site == site ? to->demand[r] : 0;
            item->fill[r] -= from->site == site ? from->demand[r] : 0;
        }
    }
    return count;
}

static void go(struct loose_chain *chain, int part, int to)
{
    const struct loose_entry *after = &chain->loose->entry[to];
    const struct loose_entry *before = &chain->loose->entry[chain->at[part]];
    size_t resources = (size_t)chain->resources;
    for (size_t r = 0; r < resources; r++) {
        chain->slack[(size_t)before->site * resources + r] += before->demand[r];
        chain->slack[(size_t)after->site * resources + r] -= after->demand[r];
    }
    chain->at[part] = to;
}

/* What the parts pay above their least and the priced room that is left; INFINITY: a row is over.
 */
static double value_of(const struct loose_chain *chain)
{
    double value = 0;
    for (int i = 0; i < chain->loose->parts; i++) {
        value += chain->loose->entry[chain->at[i]].w;
    }
    for (size_t row = 0; row < chain->primal->rows; row++) {
        double left = (double)chain->slack[row];
        value += left < 0 ? INFINITY : chain->primal->price[row] * left;
    }
    return value;
}

static int by_part(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    if (x->part != y->part) {
        return x->part < y->part ? -1 : 1;
    }
    return (x->offer.to > y->offer.to) - (x->offer.to < y->offer.to);
}
