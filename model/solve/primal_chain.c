#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "model/solve/primal_internal.h"

#define EPOCHS       200
#define EPOCHS_LEAST 20
#define EPOCH_TRIALS 4096 /* fewer are not worth the tables that they are drawn from */
#define DEPTH_MOST   6    /* moves that one trial strings together */
#define FIXED_END    3    /* how far the penalty of a row over capacity grows, until it is a wall */
#define WALL         1e4
#define DRAWS        (1 << 15) /* entries of the table that moves are drawn from */
#define SITE_DRAWS   256
#define LIST_MOST    64 /* displaced parts that a site can name at once; others wait */
#define CHANGE_MOST  64 /* parts that one trial moves */
#define LOGS         4096
#define SPEAK_US     (300 * US_PER_MS)

struct site {
    int64_t slack[LIMIT_RESOURCES];
    double energy; /* the price of what is left free, or the penalty of what is over */
    int over;      /* rows over capacity */
};

struct list {
    int count;
    int part[LIST_MOST];
};

/* Where an active part is in the lists; -1: not. */
struct spot {
    int all;
    int here; /* among those that are at its site and belong elsewhere */
    int away; /* among those that belong at its base's site and are elsewhere */
};

struct change {
    int active;
    struct primal_place was;
};

struct saved {
    int site;
    struct site was;
};

struct primal_chain {
    const struct primal_core *core;
    struct primal_chain_options options;
    const struct grid *grid;
    const double *price;
    const double *heavy;
    int resources;
    int sites;
    uint64_t random[2];
    double trials;
    double temperature;
    double fixed;  /* penalty of a row over capacity */
    double target; /* of `best` */

    struct primal_place *at; /* [active] */
    struct site *site;
    struct spot *spot; /* [active] */
    int *displaced;    /* active parts that are not at their base */
    int displaced_count;
    struct list *here;
    struct list *away;
    double excess; /* weights and links above the base's, without sites */
    double energy; /* of all sites */
    int over;

    int draw[DRAWS];
    uint16_t *out_draw; /* [site * SITE_DRAWS + i] places in the core's lists */
    uint16_t *in_draw;
    double minus_log[LOGS];

    /* The trial under way. */
    struct change change[CHANGE_MOST];
    int changes;
    struct saved saved[2 * CHANGE_MOST];
    int saves;
    int *mark; /* [site] its place in saved + 1 */
    double rise;
    double favour; /* what the drawing of the moves has paid already */
    int closed;

    /* The best that keeps all: at[] of the best, lagging behind by the parts in `dirty`. */
    bool found;
    double best;
    int *best_cell; /* [active] */
    int *dirty;
    int dirty_count;
    bool *is_dirty;
    bool speaks;
    int64_t spoke_us;
};

static void start(struct primal_chain *chain);
static double temperature_for(const struct primal_core *core, double open);
static void epoch_begin(struct primal_chain *chain, double time, double hot, double cold);
static void draw_table(struct primal_chain *chain);
static void draw_sites(struct primal_chain *chain, const struct primal_index *index,
                       uint16_t *draws);
static double likely(const struct primal_chain *chain, int move);
static void set_energy(struct primal_chain *chain, struct site *site, int at);
static void trial(struct primal_chain *chain);
static bool first_move(struct primal_chain *chain);
static bool next_move(struct primal_chain *chain);
static bool excite(struct primal_chain *chain, int move);
static bool relax(struct primal_chain *chain, int active);
static bool put(struct primal_chain *chain, int active, const struct primal_place *to);
static void touch(struct primal_chain *chain, int site);
static void undo(struct primal_chain *chain);
static void commit(struct primal_chain *chain, double energy, int over);
static void relist(struct primal_chain *chain, int active, int was_site);
static void keep_best(struct primal_chain *chain);
static bool goes_on(struct primal_chain *chain);

static inline uint64_t next_random(struct primal_chain *chain)
{
    uint64_t a = chain->random[0];
    uint64_t b = chain->random[1];
    chain->random[0] = b;
    a ^= a << 23;
    chain->random[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return chain->random[1] + b;
}

/* 0 to limit - 1 of 32 random bits. */
static inline int below(uint64_t bits, int limit)
{
    return (int)(((bits & UINT32_MAX) * (uint64_t)limit) >> 32);
}

int primal_chain_create(const struct primal_core *core, const struct primal_chain_options *options,
                        struct primal_chain **ret_chain)
{
    struct arena *arena = core->primal->work;
    const struct grid *grid = core->primal->grid;
    size_t parts = (size_t)core->parts + 1;
    size_t sites = (size_t)grid->sites;
    struct primal_chain *chain = arena_alloc(arena, sizeof(*chain));
    if (chain != NULL) {
        *chain = (struct primal_chain){
            .core = core,
            .options = *options,
            .grid = grid,
            .price = core->primal->price,
            .heavy = core->heavy,
            .resources = grid->resources,
            .sites = grid->sites,
            .at = arena_array(arena, parts, sizeof(*chain->at)),
            .site = arena_array(arena, sites, sizeof(*chain->site)),
            .spot = arena_array(arena, parts, sizeof(*chain->spot)),
            .displaced = arena_array(arena, parts, sizeof(int)),
            .here = arena_array(arena, sites, sizeof(*chain->here)),
            .away = arena_array(arena, sites, sizeof(*chain->away)),
            .out_draw = arena_array(arena, sites * SITE_DRAWS, sizeof(uint16_t)),
            .in_draw = arena_array(arena, sites * SITE_DRAWS, sizeof(uint16_t)),
            .mark = arena_array(arena, sites, sizeof(int)),
            .best_cell = arena_array(arena, parts, sizeof(int)),
            .dirty = arena_array(arena, parts, sizeof(int)),
            .is_dirty = arena_array(arena, parts, sizeof(bool)),
        };
    }
    if (chain == NULL || chain->at == NULL || chain->site == NULL || chain->spot == NULL ||
        chain->displaced == NULL || chain->here == NULL || chain->away == NULL ||
        chain->out_draw == NULL || chain->in_draw == NULL || chain->mark == NULL ||
        chain->best_cell == NULL || chain->dirty == NULL || chain->is_dirty == NULL) {
        return error_set(core->primal->err, ERR_NO_MEMORY, 0,
                         "no memory to anneal %d parts at %d sites", core->parts, grid->sites);
    }
    *ret_chain = chain;
    return 0;
}

void primal_chain_run(struct primal_chain *chain, bool speaks)
{
    chain->speaks = speaks;
    start(chain);
    double hot = temperature_for(chain->core, chain->options.hot * chain->sites);
    double cold = temperature_for(chain->core, chain->options.cold * chain->sites);
    cold = cold < hot ? cold : hot;
    int epochs = (int)fmin(EPOCHS, fmax(EPOCHS_LEAST, chain->options.trials / EPOCH_TRIALS));
    double each = chain->options.trials / epochs;
    int batch = each < 1024 ? (int)each + 1 : 1024;
    for (int epoch = 0; epoch < epochs && chain->core->moves > 0; epoch++) {
        epoch_begin(chain, (double)epoch / (epochs - 1), hot, cold);
        for (double done = 0; done < each; done += batch) {
            if (!goes_on(chain)) {
                return;
            }
            for (int i = 0; i < batch; i++) {
                trial(chain);
            }
            chain->trials += batch;
        }
    }
}

bool primal_chain_best(const struct primal_chain *chain, int *choice)
{
    const struct primal_core *core = chain->core;
    memcpy(choice, core->choice, (size_t)chain->grid->parts * sizeof(int));
    for (int i = 0; i < core->parts; i++) {
        choice[core->part[i]] = chain->found ? chain->best_cell[i] : chain->at[i].cell;
    }
    return chain->found;
}

double primal_chain_trials(const struct primal_chain *chain)
{
    return chain->trials;
}

static void start(struct primal_chain *chain)
{
    const struct primal_core *core = chain->core;
    chain->random[0] = chain->options.seed * 0x9E3779B97F4A7C15u + 1;
    chain->random[1] = chain->options.seed ^ 0xD1B54A32D192ED03u;
    for (int i = 0; i < 16; i++) {
        (void)next_random(chain);
    }
    for (int i = 0; i < LOGS; i++) {
        chain->minus_log[i] = -log(((double)i + 0.5) / LOGS);
    }
    for (int i = 0; i < core->parts; i++) {
        chain->at[i] = core->base[i];
        chain->best_cell[i] = core->base[i].cell;
        chain->spot[i] = (struct spot){-1, -1, -1};
    }
    for (int s = 0; s < chain->sites; s++) {
        for (int r = 0; r < chain->resources; r++) {
            chain->site[s].slack[r] = core->slack[(size_t)s * (size_t)chain->resources + (size_t)r];
        }
        set_energy(chain, &chain->site[s], s);
        chain->over += chain->site[s].over;
    }
    chain->target = chain->options.target - (double)core->cost + core->idle;
    for (int s = 0; s < chain->sites; s++) {
        chain->energy += chain->site[s].energy;
    }
    keep_best(chain);
}

/* Where about `open` of the core's moves would be taken if nothing stood in their way. */
static double temperature_for(const struct primal_core *core, double open)
{
    double low = 1e-3;
    double high = 1e15;
    for (int i = 0; i < 100; i++) {
        double middle = sqrt(low * high);
        double sum = 0;
        for (int k = 0; k < core->moves; k++) {
            double rise = core->move[k].rise > 0 ? core->move[k].rise : 0;
            sum += exp(-rise / middle);
        }
        if (sum < open) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static void epoch_begin(struct primal_chain *chain, double time, double hot, double cold)
{
    chain->temperature = hot * pow(cold / hot, time);
    chain->fixed = chain->options.harsh * chain->core->charge * pow(FIXED_END, time);
    if (time > 0.75) {
        chain->fixed *= WALL;
    }
    chain->energy = 0;
    for (int s = 0; s < chain->sites; s++) {
        set_energy(chain, &chain->site[s], s);
        chain->energy += chain->site[s].energy;
    }
    draw_table(chain);
    draw_sites(chain, &chain->core->out, chain->out_draw);
    draw_sites(chain, &chain->core->in, chain->in_draw);
}

static double likely(const struct primal_chain *chain, int move)
{
    double rise = chain->core->move[move].rise;
    return exp(-(rise > 0 ? rise : 0) / chain->temperature) + 1e-4;
}

/* Entry i names the move at share (i + a random part) / DRAWS of all likelihood. */
static void draw_table(struct primal_chain *chain)
{
    int moves = chain->core->moves;
    double sum = 0;
    for (int i = 0; i < moves; i++) {
        sum += likely(chain, i);
    }
    double shift = (double)(next_random(chain) >> 11) * 0x1p-53;
    int move = 0;
    double upto = likely(chain, 0);
    for (int i = 0; i < DRAWS; i++) {
        double wanted = sum * ((double)i + shift) / DRAWS;
        while (upto < wanted && move + 1 < moves) {
            upto += likely(chain, ++move);
        }
        chain->draw[i] = move;
    }
}

static void draw_sites(struct primal_chain *chain, const struct primal_index *index,
                       uint16_t *draws)
{
    for (int s = 0; s < chain->sites; s++) {
        const int *list = index->move + index->first[s];
        int count = index->first[s + 1] - index->first[s];
        count = count < UINT16_MAX ? count : UINT16_MAX;
        double sum = 0;
        for (int i = 0; i < count; i++) {
            sum += likely(chain, list[i]);
        }
        double shift = (double)(next_random(chain) >> 11) * 0x1p-53;
        double upto = count > 0 ? likely(chain, list[0]) : 0;
        int at = 0;
        for (int i = 0; i < SITE_DRAWS && count > 0; i++) {
            double wanted = sum * ((double)i + shift) / SITE_DRAWS;
            while (upto < wanted && at + 1 < count) {
                upto += likely(chain, list[++at]);
            }
            draws[(size_t)s * SITE_DRAWS + (size_t)i] = (uint16_t)at;
        }
    }
}

static void set_energy(struct primal_chain *chain, struct site *site, int at)
{
    size_t row = (size_t)at * (size_t)chain->resources;
    double energy = 0;
    int over = 0;
    for (int r = 0; r < chain->resources; r++) {
        double slack = (double)site->slack[r];
        if (slack >= 0) {
            energy += chain->price[row + (size_t)r] * slack;
        } else {
            energy += chain->fixed - chain->options.harsh * chain->heavy[row + (size_t)r] * slack;
            over++;
        }
    }
    site->energy = energy;
    site->over = over;
}

/* Moves are strung together, each one where the last has left a site too full or too empty, until
 * the whole is accepted or given up. A move is drawn as often as its own rise deserves; what is
 * judged is the rest: the sites, and links to others that moved. */
static void trial(struct primal_chain *chain)
{
    uint64_t bits = next_random(chain);
    double allowed = chain->temperature * chain->minus_log[bits & (LOGS - 1)];
    chain->changes = 0;
    chain->saves = 0;
    chain->rise = 0;
    chain->favour = 0;
    chain->closed = 0;
    bool moved = first_move(chain);
    for (int depth = 1; moved; depth++) {
        double energy = 0;
        int over = 0;
        for (int i = 0; i < chain->saves; i++) {
            struct site *site = &chain->site[chain->saved[i].site];
            set_energy(chain, site, chain->saved[i].site);
            energy += site->energy - chain->saved[i].was.energy;
            over += site->over - chain->saved[i].was.over;
        }
        double judged = chain->rise + energy - chain->favour;
        if (judged <= allowed && chain->closed <= 0) {
            commit(chain, energy, over);
            return;
        }
        moved = depth < DEPTH_MOST && next_move(chain);
    }
    undo(chain);
}

static bool first_move(struct primal_chain *chain)
{
    uint64_t bits = next_random(chain);
    if ((bits & 1) != 0 && chain->displaced_count > 0) {
        return relax(chain, chain->displaced[below(bits >> 32, chain->displaced_count)]);
    }
    return excite(chain, chain->draw[(bits >> 8) & (DRAWS - 1)]);
}

/* Out of the touched site that is most over, else into the one that wastes most. */
static bool next_move(struct primal_chain *chain)
{
    int over = -1;
    double most = -1;
    for (int i = 0; i < chain->saves; i++) {
        const struct site *site = &chain->site[chain->saved[i].site];
        double worse = site->energy - chain->saved[i].was.energy;
        if (worse > most) {
            most = worse;
            over = chain->saved[i].site;
        }
    }
    if (over < 0) {
        return false;
    }
    bool full = chain->site[over].over > 0;
    const struct list *list = full ? &chain->here[over] : &chain->away[over];
    const struct primal_index *index = full ? &chain->core->out : &chain->core->in;
    const uint16_t *draws = full ? chain->out_draw : chain->in_draw;
    int moves = index->first[over + 1] - index->first[over];
    uint64_t bits = next_random(chain);
    if (list->count > 0 && ((bits & 1) != 0 || moves == 0)) {
        return relax(chain, list->part[below(bits >> 32, list->count)]);
    }
    if (moves == 0) {
        return false;
    }
    size_t draw = (size_t)over * SITE_DRAWS + ((bits >> 8) & (SITE_DRAWS - 1));
    return excite(chain, index->move[index->first[over] + draws[draw]]);
}

static bool excite(struct primal_chain *chain, int move)
{
    const struct primal_move *m = &chain->core->move[move];
    const struct primal_step *step = chain->core->step + m->first;
    bool any = false;
    for (int i = 0; i < m->count; i++) {
        if (chain->at[step[i].active].cell != step[i].to.cell) {
            if (!put(chain, step[i].active, &step[i].to)) {
                return false;
            }
            any = true;
        }
    }
    chain->favour += m->rise > 0 ? m->rise : 0;
    return any;
}

/* Back to the base; half of the time with the displaced parts that are linked to it. */
static bool relax(struct primal_chain *chain, int active)
{
    double before = chain->rise;
    int from = chain->changes;
    if (!put(chain, active, &chain->core->base[active])) {
        return false;
    }
    if (chain->core->near_first != NULL && (next_random(chain) & 1) != 0) {
        for (int done = from; done < chain->changes; done++) {
            int centre = chain->change[done].active;
            int end = chain->core->near_first[centre + 1];
            for (int k = chain->core->near_first[centre]; k < end; k++) {
                int other = chain->core->near[k].other;
                if (chain->at[other].cell != chain->core->base[other].cell &&
                    !put(chain, other, &chain->core->base[other])) {
                    return false;
                }
            }
        }
    }
    double fall = before - chain->rise;
    chain->favour -= fall > 0 ? fall : 0;
    return true;
}

/* Moves one part within the trial; false: the trial is too large, or has moved it before. */
static bool put(struct primal_chain *chain, int active, const struct primal_place *to)
{
    for (int i = 0; i < chain->changes; i++) {
        if (chain->change[i].active == active) {
            return false;
        }
    }
    if (chain->changes == CHANGE_MOST) {
        return false;
    }
    struct primal_place *at = &chain->at[active];
    chain->change[chain->changes++] = (struct change){.active = active, .was = *at};
    chain->rise += to->w - at->w;
    if (chain->core->near_first != NULL) {
        int end = chain->core->near_first[active + 1];
        for (int k = chain->core->near_first[active]; k < end; k++) {
            const struct primal_near *near = &chain->core->near[k];
            const struct grid_link *link = &chain->grid->link[near->link];
            int other = chain->at[near->other].cell;
            bool first = link->a == chain->core->part[active];
            int after = 0;
            int before = 0;
            chain->rise += first
                               ? primal_link_cost(chain->grid, link, to->cell, other, &after) -
                                     primal_link_cost(chain->grid, link, at->cell, other, &before)
                               : primal_link_cost(chain->grid, link, other, to->cell, &after) -
                                     primal_link_cost(chain->grid, link, other, at->cell, &before);
            chain->closed += after - before;
        }
    }
    touch(chain, at->site);
    touch(chain, to->site);
    struct site *from_site = &chain->site[at->site];
    struct site *to_site = &chain->site[to->site];
    for (int r = 0; r < chain->resources; r++) {
        from_site->slack[r] += at->demand[r];
        to_site->slack[r] -= to->demand[r];
    }
    *at = *to;
    return true;
}

static void touch(struct primal_chain *chain, int site)
{
    if (chain->mark[site] == 0) {
        chain->saved[chain->saves] = (struct saved){.site = site, .was = chain->site[site]};
        chain->mark[site] = ++chain->saves;
    }
}

static void undo(struct primal_chain *chain)
{
    for (int i = chain->changes - 1; i >= 0; i--) {
        chain->at[chain->change[i].active] = chain->change[i].was;
    }
    for (int i = 0; i < chain->saves; i++) {
        chain->site[chain->saved[i].site] = chain->saved[i].was;
        chain->mark[chain->saved[i].site] = 0;
    }
}

static void commit(struct primal_chain *chain, double energy, int over)
{
    chain->excess += chain->rise;
    chain->energy += energy;
    chain->over += over;
    for (int i = 0; i < chain->saves; i++) {
        chain->mark[chain->saved[i].site] = 0;
    }
    for (int i = 0; i < chain->changes; i++) {
        int active = chain->change[i].active;
        relist(chain, active, chain->change[i].was.site);
        if (!chain->is_dirty[active]) {
            chain->is_dirty[active] = true;
            chain->dirty[chain->dirty_count++] = active;
        }
    }
    if (chain->over == 0 && (!chain->found || chain->excess + chain->energy < chain->best)) {
        keep_best(chain);
    }
}

static void list_remove(struct list *list, struct spot *spots, int active, bool here)
{
    int *spot = here ? &spots[active].here : &spots[active].away;
    if (*spot < 0) {
        return;
    }
    int last = list->part[--list->count];
    list->part[*spot] = last;
    *(here ? &spots[last].here : &spots[last].away) = *spot;
    *(here ? &spots[active].here : &spots[active].away) = -1;
}

static void list_add(struct list *list, struct spot *spots, int active, bool here)
{
    if (list->count < LIST_MOST) {
        *(here ? &spots[active].here : &spots[active].away) = list->count;
        list->part[list->count++] = active;
    }
}

static void relist(struct primal_chain *chain, int active, int was_site)
{
    const struct primal_place *base = &chain->core->base[active];
    const struct primal_place *at = &chain->at[active];
    struct spot *spot = &chain->spot[active];
    list_remove(&chain->here[was_site], chain->spot, active, true);
    bool displaced = at->cell != base->cell;
    if (displaced && spot->all < 0) {
        spot->all = chain->displaced_count;
        chain->displaced[chain->displaced_count++] = active;
    } else if (!displaced && spot->all >= 0) {
        int last = chain->displaced[--chain->displaced_count];
        chain->displaced[spot->all] = last;
        chain->spot[last].all = spot->all;
        spot->all = -1;
    }
    bool away = displaced && at->site != base->site;
    if (away) {
        list_add(&chain->here[at->site], chain->spot, active, true);
    }
    if (away && spot->away < 0) {
        list_add(&chain->away[base->site], chain->spot, active, false);
    } else if (!away) {
        list_remove(&chain->away[base->site], chain->spot, active, false);
    }
}

static void keep_best(struct primal_chain *chain)
{
    if (chain->over > 0) {
        return;
    }
    for (int i = 0; i < chain->dirty_count; i++) {
        chain->is_dirty[chain->dirty[i]] = false;
        chain->best_cell[chain->dirty[i]] = chain->at[chain->dirty[i]].cell;
    }
    chain->dirty_count = 0;
    chain->best = chain->excess + chain->energy;
    chain->found = true;
}

/* Looks up from the work now and then. */
static bool goes_on(struct primal_chain *chain)
{
    const struct primal_core *core = chain->core;
    struct primal *primal = core->primal;
    if (atomic_load(&primal->stop) || (chain->found && chain->best <= chain->target)) {
        return false;
    }
    if (chain->speaks && primal->options->progress != NULL) {
        int64_t now = clock_mono_now().us;
        if (now - chain->spoke_us >= SPEAK_US) {
            double best = chain->found ? (double)core->cost + chain->best - core->idle : INFINITY;
            chain->spoke_us = now;
            if (!primal->options->progress(primal->options->context, primal->dual->bound, best)) {
                atomic_store(&primal->stop, true);
            }
        }
    }
    return !atomic_load(&primal->stop);
}
