#include "model/solve/primal_hunt.h"

#include <math.h>
#include <string.h>

#define DEPTH_MOST 6    /* parts that one chain moves, besides the ejected one */
#define GAIN_LEAST 1e-6 /* less is rounding */
#define HARSHER    0.01
#define MILDER     0.1

/* How the chain at hand would end. */
struct ending {
    double change; /* of cost and penalties */
    int steps;     /* of the chain's path that are taken */
    int entry;     /* then this cand takes the room, unless -1 */
    int last;      /* and the ejected part this one */
};

struct chain {
    struct hunt *hunt;
    int part;             /* ejected */
    int path[DEPTH_MOST]; /* cands that have taken the room in turn */
    int steps;
    double change; /* so far, with the part in the air */
    double weight; /* of that, without penalties */
    double spare;  /* the most priced room that is free at one site */
    int hole;      /* site with room now */
    int64_t room[LIMIT_RESOURCES];
    struct ending best;
};

static void refresh_site(struct hunt *hunt, int site);
static bool improve(struct hunt *hunt, int part);
static void chain_begin(struct chain *chain);
static void find_returns(struct chain *chain);
static void end_at_once(struct chain *chain);
static int lengthen(struct chain *chain);
static void try_last(struct chain *chain, const struct hunt_entry *entry, double change,
                     const int *nearest);
static double close_chain(const struct chain *chain, int site, const int64_t *room, int first,
                          const int *nearest, int *ret_last);
static void nearest_returns(const struct hunt *hunt, int *nearest);
static void judge(struct chain *chain, const struct ending *ending, double weight);
static void take_step(struct chain *chain, int entry);
static void put(struct hunt *hunt, int part, int cand);
static void remember_trial(const struct chain *chain, const struct ending *ending);

uint64_t hunt_random(struct hunt *hunt)
{
    uint64_t a = hunt->random[0];
    uint64_t b = hunt->random[1];
    hunt->random[0] = b;
    a ^= a << 23;
    hunt->random[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return hunt->random[1] + b;
}

int hunt_below(struct hunt *hunt, int limit)
{
    return (int)(((hunt_random(hunt) >> 32) * (uint64_t)limit) >> 32);
}

int hunt_create(const struct hunt_field *field, uint64_t seed, struct arena *arena,
                struct hunt **ret_hunt)
{
    size_t parts = (size_t)field->parts;
    size_t sites = (size_t)field->sites;
    size_t rows = sites * (size_t)field->resources + 1;
    struct hunt *hunt = arena_alloc(arena, sizeof(*hunt));
    if (hunt != NULL) {
        *hunt = (struct hunt){
            .field = field,
            .random = {seed * 0x9E3779B97F4A7C15u + 1, seed ^ 0xD1B54A32D192ED03u},
            .at = arena_array(arena, parts, sizeof(int)),
            .slack = arena_array(arena, rows, sizeof(int64_t)),
            .alpha = arena_copy(arena, field->alpha, rows * sizeof(double)),
            .fine = arena_array(arena, sites, sizeof(double)),
            .part = arena_array(arena, parts, sizeof(*hunt->part)),
            .waste = arena_array(arena, sites, sizeof(double)),
            .member = arena_array(arena, parts * sites, sizeof(int)),
            .members = arena_array(arena, sites, sizeof(int)),
            .place = arena_array(arena, parts, sizeof(int)),
            .order = arena_array(arena, parts, sizeof(int)),
            .site_mark = arena_array(arena, sites, sizeof(uint32_t)),
            .in = arena_array(arena, sites, sizeof(double)),
            .return_to = arena_array(arena, sites, sizeof(int)),
            .best = arena_array(arena, parts, sizeof(int)),
            .trial = arena_array(arena, parts, sizeof(int)),
            .load = arena_array(arena, rows, sizeof(int64_t)),
            .best_cost = INFINITY,
        };
    }
    if (hunt == NULL || hunt->at == NULL || hunt->slack == NULL || hunt->alpha == NULL ||
        hunt->fine == NULL || hunt->part == NULL || hunt->waste == NULL || hunt->member == NULL ||
        hunt->members == NULL || hunt->place == NULL || hunt->order == NULL ||
        hunt->site_mark == NULL || hunt->in == NULL || hunt->return_to == NULL ||
        hunt->best == NULL || hunt->trial == NULL || hunt->load == NULL) {
        return primal_no_memory(field->primal);
    }
    for (int i = 0; i < 16; i++) {
        (void)hunt_random(hunt);
    }
    for (int part = 0; part < field->parts; part++) {
        hunt->order[part] = part;
    }
    *ret_hunt = hunt;
    return 0;
}

/* ---- the state ---- */

/* The penalty that a demand adds at a row's slack. */
static inline double entering(const struct hunt *hunt, int site, const int64_t *slack,
                              const int32_t *demand)
{
    int resources = hunt->field->resources;
    const double *alpha = hunt->alpha + (size_t)site * (size_t)resources;
    double sum = 0;
    if (resources == 1 && demand[0] <= slack[0]) {
        return 0;
    }
    for (int r = 0; r < resources; r++) {
        int64_t over = demand[r] - slack[r];
        over = slack[r] < 0 ? demand[r] : over;
        sum += over > 0 ? alpha[r] * (double)over : 0;
    }
    return sum;
}

static inline const int32_t *demand_of(const struct hunt *hunt, int cand)
{
    return hunt->field->demand + (size_t)cand * (size_t)hunt->field->resources;
}

static inline int64_t *slack_of(const struct hunt *hunt, int site)
{
    return hunt->slack + (size_t)site * (size_t)hunt->field->resources;
}

void hunt_load(struct hunt *hunt, const int *at)
{
    const struct hunt_field *field = hunt->field;
    const struct grid *grid = field->primal->grid;
    size_t rows = (size_t)field->sites * (size_t)field->resources;
    memcpy(hunt->slack, grid->capacity, rows * sizeof(int64_t));
    memset(hunt->members, 0, (size_t)field->sites * sizeof(int));
    if (at != hunt->at) {
        memcpy(hunt->at, at, (size_t)field->parts * sizeof(int));
    }
    hunt->cost = 0;
    for (int part = 0; part < field->parts; part++) {
        const struct hunt_cand *cand = &field->cand[hunt->at[part]];
        int64_t *slack = slack_of(hunt, cand->site);
        for (int r = 0; r < field->resources; r++) {
            slack[r] -= slack[r] == INT64_MAX ? 0 : demand_of(hunt, hunt->at[part])[r];
        }
        hunt->place[part] = hunt->members[cand->site]++;
        hunt->member[(size_t)cand->site * (size_t)field->parts + (size_t)hunt->place[part]] = part;
        hunt->cost += cand->w;
    }
    hunt->fines = 0;
    for (int site = 0; site < field->sites; site++) {
        hunt->fine[site] = 0;
        refresh_site(hunt, site);
    }
}

/* The fine of a site, and what its parts' leaving changes, after its slack has changed. */
static void refresh_site(struct hunt *hunt, int site)
{
    const struct hunt_field *field = hunt->field;
    int resources = field->resources;
    const int64_t *slack = slack_of(hunt, site);
    const double *alpha = hunt->alpha + (size_t)site * (size_t)resources;
    const double *price = field->price + (size_t)site * (size_t)resources;
    double fine = 0;
    hunt->waste[site] = 0;
    for (int r = 0; r < resources; r++) {
        fine -= slack[r] < 0 ? alpha[r] * (double)slack[r] : 0;
        hunt->waste[site] += slack[r] > 0 ? price[r] * (double)slack[r] : 0;
    }
    hunt->fines += fine - hunt->fine[site];
    hunt->fine[site] = fine;
    const int *member = hunt->member + (size_t)site * (size_t)field->parts;
    for (int i = 0; i < hunt->members[site]; i++) {
        int part = member[i];
        const int32_t *demand = demand_of(hunt, hunt->at[part]);
        double relief = 0;
        double worth = 0;
        for (int r = 0; r < resources; r++) {
            int64_t over = -slack[r];
            int64_t lifted = over < demand[r] ? over : demand[r];
            lifted = over > 0 ? lifted : 0;
            relief += alpha[r] * (double)lifted;
            worth += price[r] * (double)(demand[r] - lifted);
        }
        double out = -field->cand[hunt->at[part]].w - relief;
        hunt->part[part] =
            (struct hunt_part){.out = out, .next = out - worth, .site = site, .at = hunt->at[part]};
    }
}

double hunt_change(const struct hunt *hunt, int part, int cand)
{
    const struct hunt_cand *to = &hunt->field->cand[cand];
    int from = hunt->field->cand[hunt->at[part]].site;
    int64_t room[LIMIT_RESOURCES];
    const int64_t *slack = slack_of(hunt, to->site);
    for (int r = 0; r < hunt->field->resources; r++) {
        int64_t freed = to->site == from ? demand_of(hunt, hunt->at[part])[r] : 0;
        room[r] = slack[r] == INT64_MAX ? INT64_MAX : slack[r] + freed;
    }
    return hunt->part[part].out + to->w + entering(hunt, to->site, room, demand_of(hunt, cand));
}

/* Moves a part and leaves fines and out[] of both sites as they were. */
static void put(struct hunt *hunt, int part, int cand)
{
    const struct hunt_field *field = hunt->field;
    int was = hunt->at[part];
    int from = field->cand[was].site;
    int to = field->cand[cand].site;
    for (int r = 0; r < field->resources; r++) {
        int64_t *slack = slack_of(hunt, from) + r;
        *slack += *slack == INT64_MAX ? 0 : demand_of(hunt, was)[r];
        slack = slack_of(hunt, to) + r;
        *slack -= *slack == INT64_MAX ? 0 : demand_of(hunt, cand)[r];
    }
    int *member = hunt->member + (size_t)from * (size_t)field->parts;
    int last = member[--hunt->members[from]];
    member[hunt->place[part]] = last;
    hunt->place[last] = hunt->place[part];
    hunt->place[part] = hunt->members[to]++;
    hunt->member[(size_t)to * (size_t)field->parts + (size_t)hunt->place[part]] = part;
    hunt->cost += field->cand[cand].w - field->cand[was].w;
    hunt->at[part] = cand;
}

void hunt_move(struct hunt *hunt, int part, int cand)
{
    int from = hunt->field->cand[hunt->at[part]].site;
    put(hunt, part, cand);
    refresh_site(hunt, from);
    refresh_site(hunt, hunt->field->cand[cand].site);
}

void hunt_keep(struct hunt *hunt)
{
    const struct hunt_field *field = hunt->field;
    if (hunt->fines >= field->floor) {
        return;
    }
    hunt->fits_seen = true;
    if (hunt->cost < hunt->best_cost - GAIN_LEAST) {
        hunt->found = true;
        hunt->best_cost = hunt->cost;
        memcpy(hunt->best, hunt->at, (size_t)field->parts * sizeof(int));
    }
}

void hunt_adapt(struct hunt *hunt)
{
    const struct hunt_field *field = hunt->field;
    int rows = field->sites * field->resources;
    double most = 0;
    for (int row = 0; row < rows; row++) {
        double share = (double)-hunt->slack[row] * field->alpha[row];
        most = share > most ? share : most;
    }
    for (int row = 0; row < rows; row++) {
        double share = (double)-hunt->slack[row] * field->alpha[row];
        if (hunt->fits_seen) {
            double milder = hunt->alpha[row] * (1 - MILDER);
            hunt->alpha[row] = fmax(milder, 2 * field->floor);
        } else if (share > 0) {
            hunt->alpha[row] *= 1 + HARSHER * share / most;
        }
    }
}

/* ---- chains ---- */

void hunt_descend(struct hunt *hunt)
{
    int parts = hunt->field->parts;
    for (int i = parts - 1; i > 0; i--) {
        int k = hunt_below(hunt, i + 1);
        int part = hunt->order[k];
        hunt->order[k] = hunt->order[i];
        hunt->order[i] = part;
    }
    hunt->fits_seen = false;
    hunt_keep(hunt);
    int stale = 0;
    for (int i = 0; stale < parts && !atomic_load(&hunt->field->primal->stop);
         i = i + 1 < parts ? i + 1 : 0) {
        stale = improve(hunt, hunt->order[i]) ? 0 : stale + 1;
    }
}

/* The best chain that begins with the part's ejection, if it is a gain. */
static bool improve(struct hunt *hunt, int part)
{
    struct chain chain = {.hunt = hunt, .part = part};
    chain_begin(&chain);
    find_returns(&chain);
    end_at_once(&chain);
    for (int depth = 0; depth < DEPTH_MOST; depth++) {
        int entry = lengthen(&chain);
        if (entry < 0) {
            break;
        }
        take_step(&chain, entry);
    }
    const struct ending *best = &chain.best;
    if (best->last < 0) {
        return false;
    }
    const struct hunt_cand *cand = hunt->field->cand;
    int moved[DEPTH_MOST + 2];
    int moves = 0;
    memcpy(moved, chain.path, (size_t)best->steps * sizeof(int));
    moves = best->steps;
    if (best->entry >= 0) {
        moved[moves++] = best->entry;
    }
    moved[moves++] = best->last;
    int left[DEPTH_MOST + 2];
    for (int i = 0; i < moves; i++) {
        left[i] = cand[hunt->at[cand[moved[i]].part]].site;
        put(hunt, cand[moved[i]].part, moved[i]);
    }
    for (int i = 0; i < moves; i++) {
        refresh_site(hunt, left[i]);
        refresh_site(hunt, cand[moved[i]].site);
    }
    hunt_keep(hunt);
    return true;
}

static void chain_begin(struct chain *chain)
{
    struct hunt *hunt = chain->hunt;
    const struct hunt_field *field = hunt->field;
    if (++hunt->stamp == 0) { /* marks of four thousand million chains ago */
        memset(hunt->site_mark, 0, (size_t)field->sites * sizeof(uint32_t));
        hunt->stamp = 1;
    }
    int at = hunt->at[chain->part];
    chain->hole = field->cand[at].site;
    chain->change = hunt->part[chain->part].out;
    chain->weight = -field->cand[at].w;
    chain->best = (struct ending){.change = -GAIN_LEAST, .entry = -1, .last = -1};
    const int64_t *slack = slack_of(hunt, chain->hole);
    for (int r = 0; r < field->resources; r++) {
        chain->room[r] = slack[r] == INT64_MAX ? INT64_MAX : slack[r] + demand_of(hunt, at)[r];
    }
    hunt->site_mark[chain->hole] = hunt->stamp;
}

/* What the ejected part would cost at each site as it is now. */
static void find_returns(struct chain *chain)
{
    struct hunt *hunt = chain->hunt;
    const struct hunt_field *field = hunt->field;
    for (int site = 0; site < field->sites; site++) {
        hunt->in[site] = INFINITY;
        chain->spare = hunt->waste[site] > chain->spare ? hunt->waste[site] : chain->spare;
    }
    for (int i = field->first[chain->part]; i < field->first[chain->part + 1]; i++) {
        int site = field->cand[i].site;
        const int64_t *room = site == chain->hole ? chain->room : slack_of(hunt, site);
        double value = field->cand[i].w + entering(hunt, site, room, demand_of(hunt, i));
        if (i != hunt->at[chain->part] && value < hunt->in[site]) {
            hunt->in[site] = value;
            hunt->return_to[site] = i;
        }
    }
    hunt->work += field->sites;
}

static void end_at_once(struct chain *chain)
{
    struct hunt *hunt = chain->hunt;
    for (int site = 0; site < hunt->field->sites; site++) {
        if (hunt->in[site] < INFINITY) {
            struct ending ending = {.change = chain->change + hunt->in[site],
                                    .entry = -1,
                                    .last = hunt->return_to[site]};
            judge(chain, &ending, chain->weight + hunt->field->cand[ending.last].w);
        }
    }
}

/* Looks at all that could take the room. Each that may end the chain with a gain is tried as the
 * last one; the one that leaves the most for what it costs is returned to go on with, unless even
 * that is no gain any more. -1: there is none. */
static int lengthen(struct chain *chain)
{
    struct hunt *hunt = chain->hunt;
    const struct hunt_field *field = hunt->field;
    int nearest[2] = {-2, -2};
    int next = -1;
    /* What the ejected part adds at least, when the room that is free somewhere serves it. */
    double ahead = chain->change + field->keen[chain->part] - chain->spare;
    double least = -GAIN_LEAST - ahead;
    const struct hunt_entry *end = field->list + field->list_first[chain->hole + 1];
    const struct hunt_entry *entry = field->list + field->list_first[chain->hole];
    hunt->work += (double)(end - entry);
    const int64_t *room = chain->room;
    bool one = field->resources == 1;
    double alpha = hunt->alpha[chain->hole * field->resources];
    for (; entry < end; entry++) {
        const struct hunt_part *part = &hunt->part[entry->part];
        if (hunt->site_mark[part->site] == hunt->stamp) {
            continue; /* and with it are those that the chain has moved */
        }
        double change = entry->w;
        if (one) {
            int64_t over = room[0] < 0 ? entry->demand : entry->demand - room[0];
            change += over > 0 ? alpha * (double)over : 0;
        } else {
            change += entering(hunt, chain->hole, room, demand_of(hunt, entry->cand));
        }
        if (ahead + change + part->next < chain->best.change) {
            if (nearest[0] == -2) {
                nearest_returns(hunt, nearest);
            }
            try_last(chain, entry, change, nearest);
        }
        if (change + part->next < least) {
            least = change + part->next;
            next = entry->cand;
        }
    }
    return next;
}

/* The entry takes the room, and the ejected part goes where it is cheapest then. */
static void try_last(struct chain *chain, const struct hunt_entry *entry, double change,
                     const int *nearest)
{
    struct hunt *hunt = chain->hunt;
    const struct hunt_field *field = hunt->field;
    const struct hunt_part *part = &hunt->part[entry->part];
    int64_t room[LIMIT_RESOURCES];
    const int64_t *slack = slack_of(hunt, part->site);
    for (int r = 0; r < field->resources; r++) {
        room[r] = slack[r] == INT64_MAX ? INT64_MAX : slack[r] + demand_of(hunt, part->at)[r];
    }
    struct ending ending = {.steps = chain->steps, .entry = entry->cand, .last = -1};
    int first = field->at_site[(size_t)chain->part * (size_t)field->sites + (size_t)part->site];
    ending.change = chain->change + change + part->out +
                    close_chain(chain, part->site, room, first, nearest, &ending.last);
    if (ending.last >= 0) {
        judge(chain, &ending,
              chain->weight + entry->w - field->cand[part->at].w + field->cand[ending.last].w);
    }
}

/* The two sites, of those that the chain has not touched, where the ejected part costs least. */
static void nearest_returns(const struct hunt *hunt, int *nearest)
{
    nearest[0] = -1;
    nearest[1] = -1;
    for (int site = 0; site < hunt->field->sites; site++) {
        if (hunt->site_mark[site] == hunt->stamp || hunt->in[site] == INFINITY) {
            continue;
        }
        if (nearest[0] < 0 || hunt->in[site] < hunt->in[nearest[0]]) {
            nearest[1] = nearest[0];
            nearest[0] = site;
        } else if (nearest[1] < 0 || hunt->in[site] < hunt->in[nearest[1]]) {
            nearest[1] = site;
        }
    }
}

/* Where the ejected part costs least: at the site that has just been given room, or elsewhere. */
static double close_chain(const struct chain *chain, int site, const int64_t *room, int first,
                          const int *nearest, int *ret_last)
{
    const struct hunt *hunt = chain->hunt;
    const struct hunt_field *field = hunt->field;
    double least = INFINITY;
    int other = nearest[0] != site ? nearest[0] : nearest[1];
    if (other >= 0) {
        least = hunt->in[other];
        *ret_last = hunt->return_to[other];
    }
    for (int i = first; i >= 0 && i < field->first[chain->part + 1] && field->cand[i].site == site;
         i++) {
        double value = field->cand[i].w + entering(hunt, site, room, demand_of(hunt, i));
        if (value < least) {
            least = value;
            *ret_last = i;
        }
    }
    return least;
}

/* Takes the ending for the best if it is, and remembers what it leads to if that keeps all. */
static void judge(struct chain *chain, const struct ending *ending, double weight)
{
    const struct hunt *hunt = chain->hunt;
    double now = hunt->cost + hunt->fines;
    if (now + ending->change < hunt->best_cost - GAIN_LEAST) {
        double fines = hunt->fines + ending->change - weight;
        if (fines < hunt->field->floor) {
            remember_trial(chain, ending);
        }
    }
    if (ending->change < chain->best.change) {
        chain->best = *ending;
    }
}

/* What a chain would lead to is kept, once it is counted, even if the search goes elsewhere. */
static void remember_trial(const struct chain *chain, const struct ending *ending)
{
    struct hunt *hunt = chain->hunt;
    const struct hunt_field *field = hunt->field;
    int *trial = hunt->trial;
    memcpy(trial, hunt->at, (size_t)field->parts * sizeof(int));
    for (int i = 0; i < ending->steps; i++) {
        trial[field->cand[chain->path[i]].part] = chain->path[i];
    }
    if (ending->entry >= 0) {
        trial[field->cand[ending->entry].part] = ending->entry;
    }
    trial[chain->part] = ending->last;
    size_t rows = (size_t)field->sites * (size_t)field->resources;
    memset(hunt->load, 0, rows * sizeof(int64_t));
    double cost = 0;
    for (int part = 0; part < field->parts; part++) {
        const struct hunt_cand *cand = &field->cand[trial[part]];
        int64_t *load = hunt->load + (size_t)cand->site * (size_t)field->resources;
        for (int r = 0; r < field->resources; r++) {
            load[r] += demand_of(hunt, trial[part])[r];
        }
        cost += cand->w;
    }
    for (size_t row = 0; row < rows; row++) {
        if (hunt->load[row] > field->primal->grid->capacity[row]) {
            return;
        }
    }
    hunt->found = true;
    hunt->fits_seen = true;
    hunt->best_cost = cost;
    hunt->trial = hunt->best;
    hunt->best = trial;
}

static void take_step(struct chain *chain, int entry)
{
    struct hunt *hunt = chain->hunt;
    const struct hunt_field *field = hunt->field;
    const struct hunt_cand *cand = &field->cand[entry];
    int at = hunt->at[cand->part];
    chain->change += cand->w + hunt->part[cand->part].out +
                     entering(hunt, chain->hole, chain->room, demand_of(hunt, entry));
    chain->weight += cand->w - field->cand[at].w;
    chain->path[chain->steps++] = entry;
    chain->hole = field->cand[at].site;
    const int64_t *slack = slack_of(hunt, chain->hole);
    for (int r = 0; r < field->resources; r++) {
        chain->room[r] = slack[r] == INT64_MAX ? INT64_MAX : slack[r] + demand_of(hunt, at)[r];
    }
    hunt->site_mark[chain->hole] = hunt->stamp;
}
