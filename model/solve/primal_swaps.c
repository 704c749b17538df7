/* Annealing over whole apps, by strings of changes that mend each other's sites. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "model/solve/primal_board.h"

#define EPOCHS       200
#define EPOCHS_LEAST 20
#define EPOCH_TRIALS 4096 /* fewer are not worth the tables that they are drawn from */
#define DEPTH_MOST   6    /* changes that one trial strings together */

#define OFFERS     2 /* looked at for each of them but the first */
#define FIXED_END  3 /* how far the penalty of a row over capacity grows, until it is a wall */
#define WALL       1e4
#define DRAWS      (1 << 15) /* entries of the table that changes are drawn from */
#define SITE_DRAWS 256
#define LIST_MOST  64 /* displaced apps that a site can name at once; others wait */
#define LOGS       4096
#define SPEAK_US   (300 * US_PER_MS)

struct site {
    double slack[LIMIT_RESOURCES];
    double energy; /* the price of what is left free, or the penalty of what is over */
    int over;      /* rows over capacity */
};

struct list {
    int count;
    int app[LIST_MOST];
};

struct saved {
    int site;
    struct site was;
};

struct primal_swaps {
    const struct primal_board *board;
    struct primal_chain_options options;
    int sites;
    uint64_t random[2];
    double trials;
    double temperature;
    double fixed;  /* penalty of a row over capacity */
    double harsh;  /* on what is over */
    double target; /* of `best` */

    int *at; /* [app] column */
    struct site *site;
    int *displaced; /* apps that are not at their first column */
    int *spot;      /* [app] its place there; -1: none */
    int displaced_count;
    struct list *here; /* by site, displaced apps that take more there */
    struct list *away; /* less */
    double excess;
    double energy; /* of all sites */
    int over;

    int draw[DRAWS];
    uint16_t *more_draw; /* [site * SITE_DRAWS + i] places in the board's lists */
    uint16_t *less_draw;
    double minus_log[LOGS];

    /* The trial under way. */
    int changed[DEPTH_MOST];
    int was[DEPTH_MOST];
    int depth;
    struct saved *saved;
    int saves;
    int *mark; /* [site] its place in saved + 1 */
    double energy_rise;
    int over_rise;

    bool found;
    double best;
    int *best_at; /* [app] lagging behind by those in `dirty` */
    int *dirty;
    int dirty_count;
    bool *is_dirty;
    bool speaks;
    int64_t spoke_us;
};

static void start(struct primal_swaps *swaps);
static double temperature_for(const struct primal_board *board, double open);
static void epoch_begin(struct primal_swaps *swaps, double time, double hot, double cold);
static void draw_changes(struct primal_swaps *swaps);
static void draw_sites(struct primal_swaps *swaps, const struct primal_index *index,
                       uint16_t *draws);
static inline double energy_of(const struct primal_swaps *swaps, int site, const double *slack,
                               int *ret_over);
static void trial(struct primal_swaps *swaps);
static int first_change(struct primal_swaps *swaps);
static int next_change(struct primal_swaps *swaps);
static int offer(struct primal_swaps *swaps, int site, bool full);
static double preview(const struct primal_swaps *swaps, int to);
static void put(struct primal_swaps *swaps, int to);
static void shift(struct primal_swaps *swaps, int column, double sign);
static void renew(struct primal_swaps *swaps, int column);
static void undo(struct primal_swaps *swaps);
static void commit(struct primal_swaps *swaps);
static void relist(struct primal_swaps *swaps, int app, int was);
static void keep_best(struct primal_swaps *swaps);
static bool goes_on(struct primal_swaps *swaps);

static inline uint64_t next_random(struct primal_swaps *swaps)
{
    uint64_t a = swaps->random[0];
    uint64_t b = swaps->random[1];
    swaps->random[0] = b;
    a ^= a << 23;
    swaps->random[1] = a ^ b ^ (a >> 18) ^ (b >> 5);
    return swaps->random[1] + b;
}

/* 0 to limit - 1 of 32 random bits. */
static inline int below(uint64_t bits, int limit)
{
    return (int)(((bits & UINT32_MAX) * (uint64_t)limit) >> 32);
}

int primal_swaps_create(const struct primal_board *board,
                        const struct primal_chain_options *options, struct primal_swaps **ret_swaps)
{
    const struct primal *primal = board->core->primal;
    struct arena *arena = primal->work;
    size_t apps = (size_t)board->apps + 1;
    size_t sites = (size_t)primal->grid->sites;
    struct primal_swaps *swaps = arena_alloc(arena, sizeof(*swaps));
    if (swaps != NULL) {
        *swaps = (struct primal_swaps){
            .board = board,
            .options = *options,
            .sites = primal->grid->sites,
            .at = arena_array(arena, apps, sizeof(int)),
            .site = arena_array(arena, sites, sizeof(*swaps->site)),
            .displaced = arena_array(arena, apps, sizeof(int)),
            .spot = arena_array(arena, apps, sizeof(int)),
            .here = arena_array(arena, sites, sizeof(*swaps->here)),
            .away = arena_array(arena, sites, sizeof(*swaps->away)),
            .more_draw = arena_array(arena, sites * SITE_DRAWS, sizeof(uint16_t)),
            .less_draw = arena_array(arena, sites * SITE_DRAWS, sizeof(uint16_t)),
            .saved = arena_array(arena, sites, sizeof(*swaps->saved)),
            .mark = arena_array(arena, sites, sizeof(int)),
            .best_at = arena_array(arena, apps, sizeof(int)),
            .dirty = arena_array(arena, apps, sizeof(int)),
            .is_dirty = arena_array(arena, apps, sizeof(bool)),
        };
    }
    if (swaps == NULL || swaps->at == NULL || swaps->site == NULL || swaps->displaced == NULL ||
        swaps->spot == NULL || swaps->here == NULL || swaps->away == NULL ||
        swaps->more_draw == NULL || swaps->less_draw == NULL || swaps->saved == NULL ||
        swaps->mark == NULL || swaps->best_at == NULL || swaps->dirty == NULL ||
        swaps->is_dirty == NULL) {
        return primal_no_memory(primal);
    }
    *ret_swaps = swaps;
    return 0;
}

void primal_swaps_run(struct primal_swaps *swaps, bool speaks)
{
    const struct primal_board *board = swaps->board;
    swaps->speaks = speaks;
    start(swaps);
    double hot = temperature_for(board, swaps->options.hot * swaps->sites);
    double cold = temperature_for(board, swaps->options.cold * swaps->sites);
    cold = cold < hot ? cold : hot;
    int epochs = (int)fmin(EPOCHS, fmax(EPOCHS_LEAST, swaps->options.trials / EPOCH_TRIALS));
    double each = swaps->options.trials / epochs;
    int batch = each < 1024 ? (int)each + 1 : 1024;
    for (int epoch = 0; epoch < epochs && board->changes > 0; epoch++) {
        epoch_begin(swaps, (double)epoch / (epochs - 1), hot, cold);
        for (double done = 0; done < each; done += batch) {
            if (!goes_on(swaps)) {
                return;
            }
            for (int i = 0; i < batch; i++) {
                trial(swaps);
            }
            swaps->trials += batch;
        }
    }
}

bool primal_swaps_best(const struct primal_swaps *swaps, int *choice)
{
    primal_board_choice(swaps->board, swaps->found ? swaps->best_at : swaps->at, choice);
    return swaps->found;
}

double primal_swaps_trials(const struct primal_swaps *swaps)
{
    return swaps->trials;
}

static void start(struct primal_swaps *swaps)
{
    const struct primal_board *board = swaps->board;
    swaps->random[0] = swaps->options.seed * 0x9E3779B97F4A7C15u + 1;
    swaps->random[1] = swaps->options.seed ^ 0xD1B54A32D192ED03u;
    for (int i = 0; i < 16; i++) {
        (void)next_random(swaps);
    }
    for (int i = 0; i < LOGS; i++) {
        swaps->minus_log[i] = -log(((double)i + 0.5) / LOGS);
    }
    for (int i = 0; i < board->apps; i++) {
        swaps->at[i] = board->first[i];
        swaps->best_at[i] = board->start[i];
        swaps->spot[i] = -1;
    }
    for (int i = 0; i < board->apps; i++) {
        if (board->start[i] != board->first[i]) {
            swaps->at[i] = board->start[i];
            swaps->excess += board->column[board->start[i]].excess;
            relist(swaps, i, board->first[i]);
        }
    }
    for (int s = 0; s < swaps->sites; s++) {
        struct site *site = &swaps->site[s];
        memcpy(site->slack, board->slack + (size_t)s * LIMIT_RESOURCES, sizeof(site->slack));
        site->energy = energy_of(swaps, s, site->slack, &site->over);
        swaps->energy += site->energy;
        swaps->over += site->over;
    }
    swaps->target = swaps->options.target - board->offset;
    keep_best(swaps);
}

/* Where about `open` of the changes would be taken if nothing stood in their way. */
static double temperature_for(const struct primal_board *board, double open)
{
    double low = 1e-3;
    double high = 1e15;
    for (int i = 0; i < 100; i++) {
        double middle = sqrt(low * high);
        double sum = 0;
        for (int k = 0; k < board->changes; k++) {
            sum += exp(-board->change[k].excess / middle);
        }
        if (sum < open) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static void epoch_begin(struct primal_swaps *swaps, double time, double hot, double cold)
{
    swaps->temperature = hot * pow(cold / hot, time);
    swaps->harsh = swaps->options.harsh;
    swaps->fixed = swaps->harsh * swaps->board->core->charge * pow(FIXED_END, time);
    if (time > 0.75) {
        swaps->fixed *= WALL;
    }
    swaps->energy = 0;
    for (int s = 0; s < swaps->sites; s++) {
        struct site *site = &swaps->site[s];
        site->energy = energy_of(swaps, s, site->slack, &site->over);
        swaps->energy += site->energy;
    }
    draw_changes(swaps);
    draw_sites(swaps, &swaps->board->more, swaps->more_draw);
    draw_sites(swaps, &swaps->board->less, swaps->less_draw);
}

/* Entry i names the change at share (i + a random part) / DRAWS of all likelihood. */
static void draw_changes(struct primal_swaps *swaps)
{
    const struct primal_board *board = swaps->board;
    double sum = 0;
    for (int i = 0; i < board->changes; i++) {
        sum += exp(-board->change[i].excess / swaps->temperature);
    }
    double shift = (double)(next_random(swaps) >> 11) * 0x1p-53;
    int at = 0;
    double upto = exp(-board->change[0].excess / swaps->temperature);
    for (int i = 0; i < DRAWS; i++) {
        double wanted = sum * ((double)i + shift) / DRAWS;
        while (upto < wanted && at + 1 < board->changes) {
            upto += exp(-board->change[++at].excess / swaps->temperature);
        }
        swaps->draw[i] = board->change[at].column;
    }
}

static void draw_sites(struct primal_swaps *swaps, const struct primal_index *index,
                       uint16_t *draws)
{
    const struct primal_column *column = swaps->board->column;
    for (int s = 0; s < swaps->sites; s++) {
        const int *list = index->move + index->first[s];
        int count = index->first[s + 1] - index->first[s];
        count = count < UINT16_MAX ? count : UINT16_MAX;
        double sum = 0;
        for (int i = 0; i < count; i++) {
            sum += exp(-column[list[i]].excess / swaps->temperature);
        }
        double shift = (double)(next_random(swaps) >> 11) * 0x1p-53;
        double upto = count > 0 ? exp(-column[list[0]].excess / swaps->temperature) : 0;
        int at = 0;
        for (int i = 0; i < SITE_DRAWS && count > 0; i++) {
            double wanted = sum * ((double)i + shift) / SITE_DRAWS;
            while (upto < wanted && at + 1 < count) {
                upto += exp(-column[list[++at]].excess / swaps->temperature);
            }
            draws[(size_t)s * SITE_DRAWS + (size_t)i] = (uint16_t)at;
        }
    }
}

static inline double energy_of(const struct primal_swaps *swaps, int site, const double *slack,
                               int *ret_over)
{
    const double *price = swaps->board->price + (size_t)site * LIMIT_RESOURCES;
    const double *heavy = swaps->board->heavy + (size_t)site * LIMIT_RESOURCES;
    double energy = 0;
    int over = 0;
    for (int r = 0; r < LIMIT_RESOURCES; r++) {
        bool full = slack[r] < 0;
        energy += full ? swaps->fixed - swaps->harsh * heavy[r] * slack[r] : price[r] * slack[r];
        over += full;
    }
    *ret_over = over;
    return energy;
}

/* Changes are strung together, each one where the last has left a site too full or too empty, until
 * the whole is accepted or given up. A change is drawn as often as its own excess deserves; what is
 * judged is the rest: the sites. */
static void trial(struct primal_swaps *swaps)
{
    uint64_t bits = next_random(swaps);
    double allowed = swaps->temperature * swaps->minus_log[bits & (LOGS - 1)];
    swaps->depth = 0;
    swaps->saves = 0;
    swaps->energy_rise = 0;
    swaps->over_rise = 0;
    int to = first_change(swaps);
    while (to >= 0) {
        put(swaps, to);
        if (swaps->energy_rise <= allowed) {
            commit(swaps);
            return;
        }
        to = swaps->depth < DEPTH_MOST ? next_change(swaps) : -1;
    }
    undo(swaps);
}

/* The column that an app goes to; -1: none. */
static int first_change(struct primal_swaps *swaps)
{
    const struct primal_board *board = swaps->board;
    uint64_t bits = next_random(swaps);
    if ((bits & 1) != 0 && swaps->displaced_count > 0) {
        return board->first[swaps->displaced[below(bits >> 32, swaps->displaced_count)]];
    }
    int column = swaps->draw[(bits >> 8) & (DRAWS - 1)];
    return swaps->at[board->column[column].app] == column ? -1 : column;
}

/* Out of the touched site that is most over, else into the one that wastes most: the best of a few
 * that offer themselves. */
static int next_change(struct primal_swaps *swaps)
{
    int worst = -1;
    double most = -1;
    for (int i = 0; i < swaps->saves; i++) {
        const struct site *site = &swaps->site[swaps->saved[i].site];
        double worse = site->energy - swaps->saved[i].was.energy;
        if (worse > most) {
            most = worse;
            worst = swaps->saved[i].site;
        }
    }
    int best = -1;
    double least = INFINITY;
    for (int i = 0; i < OFFERS && worst >= 0; i++) {
        int to = offer(swaps, worst, swaps->site[worst].over > 0);
        double value = to >= 0 ? preview(swaps, to) : INFINITY;
        if (value < least) {
            least = value;
            best = to;
        }
    }
    return best;
}

static int offer(struct primal_swaps *swaps, int site, bool full)
{
    const struct primal_board *board = swaps->board;
    const struct list *list = full ? &swaps->here[site] : &swaps->away[site];
    const struct primal_index *index = full ? &board->less : &board->more;
    const uint16_t *draws = full ? swaps->less_draw : swaps->more_draw;
    int changes = index->first[site + 1] - index->first[site];
    uint64_t bits = next_random(swaps);
    int to = -1;
    if (list->count > 0 && ((bits & 1) != 0 || changes == 0)) {
        to = board->first[list->app[below(bits >> 32, list->count)]];
    } else if (changes > 0) {
        size_t draw = (size_t)site * SITE_DRAWS + ((bits >> 8) & (SITE_DRAWS - 1));
        to = index->move[index->first[site] + draws[draw]];
    }
    if (to < 0 || swaps->at[board->column[to].app] == to) {
        return -1;
    }
    for (int i = 0; i < swaps->depth; i++) {
        if (swaps->changed[i] == board->column[to].app) {
            return -1;
        }
    }
    return to;
}

/* What the sites' energy would change by. */
static double preview(const struct primal_swaps *swaps, int to)
{
    const struct primal_board *board = swaps->board;
    const struct primal_column *new = &board->column[to];
    const struct primal_column *old = &board->column[swaps->at[new->app]];
    const struct primal_touch *gain = board->touch + new->touch;
    const struct primal_touch *loss = board->touch + old->touch;
    const struct primal_touch *gain_end = gain + new->touches;
    const struct primal_touch *loss_end = loss + old->touches;
    double sum = 0;
    while (gain < gain_end || loss < loss_end) {
        int at = gain < gain_end ? gain->site : loss->site;
        at = loss < loss_end && loss->site < at ? loss->site : at;
        const struct site *site = &swaps->site[at];
        double slack[LIMIT_RESOURCES];
        memcpy(slack, site->slack, sizeof(slack));
        if (gain < gain_end && gain->site == at) {
            for (int r = 0; r < LIMIT_RESOURCES; r++) {
                slack[r] -= gain->demand[r];
            }
            gain++;
        }
        if (loss < loss_end && loss->site == at) {
            for (int r = 0; r < LIMIT_RESOURCES; r++) {
                slack[r] += loss->demand[r];
            }
            loss++;
        }
        int over;
        sum += energy_of(swaps, at, slack, &over) - site->energy;
    }
    return sum;
}

/* Moves an app, which this trial has not moved yet, to another column. */
static void put(struct primal_swaps *swaps, int to)
{
    int app = swaps->board->column[to].app;
    int from = swaps->at[app];
    swaps->changed[swaps->depth] = app;
    swaps->was[swaps->depth++] = from;
    shift(swaps, from, 1);
    shift(swaps, to, -1);
    swaps->at[app] = to;
    renew(swaps, from);
    renew(swaps, to);
}

static void shift(struct primal_swaps *swaps, int column, double sign)
{
    const struct primal_column *moved = &swaps->board->column[column];
    for (int i = 0; i < moved->touches; i++) {
        const struct primal_touch *touch = &swaps->board->touch[moved->touch + i];
        struct site *site = &swaps->site[touch->site];
        if (swaps->mark[touch->site] == 0) {
            swaps->saved[swaps->saves] = (struct saved){.site = touch->site, .was = *site};
            swaps->mark[touch->site] = ++swaps->saves;
        }
        for (int r = 0; r < LIMIT_RESOURCES; r++) {
            site->slack[r] += sign * touch->demand[r];
        }
    }
}

static void renew(struct primal_swaps *swaps, int column)
{
    const struct primal_column *moved = &swaps->board->column[column];
    for (int i = 0; i < moved->touches; i++) {
        int at = swaps->board->touch[moved->touch + i].site;
        struct site *site = &swaps->site[at];
        int over;
        double energy = energy_of(swaps, at, site->slack, &over);
        swaps->energy_rise += energy - site->energy;
        swaps->over_rise += over - site->over;
        site->energy = energy;
        site->over = over;
    }
}

static void undo(struct primal_swaps *swaps)
{
    for (int i = 0; i < swaps->depth; i++) {
        swaps->at[swaps->changed[i]] = swaps->was[i];
    }
    for (int i = 0; i < swaps->saves; i++) {
        swaps->site[swaps->saved[i].site] = swaps->saved[i].was;
        swaps->mark[swaps->saved[i].site] = 0;
    }
}

static void commit(struct primal_swaps *swaps)
{
    const struct primal_column *column = swaps->board->column;
    swaps->energy += swaps->energy_rise;
    swaps->over += swaps->over_rise;
    for (int i = 0; i < swaps->saves; i++) {
        swaps->mark[swaps->saved[i].site] = 0;
    }
    for (int i = 0; i < swaps->depth; i++) {
        int app = swaps->changed[i];
        swaps->excess += column[swaps->at[app]].excess - column[swaps->was[i]].excess;
        relist(swaps, app, swaps->was[i]);
        if (!swaps->is_dirty[app]) {
            swaps->is_dirty[app] = true;
            swaps->dirty[swaps->dirty_count++] = app;
        }
    }
    if (swaps->over == 0 && (!swaps->found || swaps->excess + swaps->energy < swaps->best)) {
        keep_best(swaps);
    }
}

static void unlist(struct list *list, int app)
{
    for (int i = 0; i < list->count; i++) {
        if (list->app[i] == app) {
            list->app[i] = list->app[--list->count];
            return;
        }
    }
}

static void enlist(struct list *list, int app)
{
    if (list->count < LIST_MOST) {
        list->app[list->count++] = app;
    }
}

static void relist(struct primal_swaps *swaps, int app, int was)
{
    const struct primal_board *board = swaps->board;
    for (int side = 0; side < 2; side++) {
        const struct primal_column *column = &board->column[side == 0 ? was : swaps->at[app]];
        for (int i = 0; i < column->touches; i++) {
            const struct primal_touch *touch = &board->touch[column->touch + i];
            bool more = false;
            bool less = false;
            for (int r = 0; r < LIMIT_RESOURCES; r++) {
                more = more || touch->demand[r] > 0;
                less = less || touch->demand[r] < 0;
            }
            if (more) {
                (side == 0 ? unlist : enlist)(&swaps->here[touch->site], app);
            }
            if (less) {
                (side == 0 ? unlist : enlist)(&swaps->away[touch->site], app);
            }
        }
    }
    bool displaced = swaps->at[app] != board->first[app];
    if (displaced && swaps->spot[app] < 0) {
        swaps->spot[app] = swaps->displaced_count;
        swaps->displaced[swaps->displaced_count++] = app;
    } else if (!displaced && swaps->spot[app] >= 0) {
        int last = swaps->displaced[--swaps->displaced_count];
        swaps->displaced[swaps->spot[app]] = last;
        swaps->spot[last] = swaps->spot[app];
        swaps->spot[app] = -1;
    }
}

static void keep_best(struct primal_swaps *swaps)
{
    if (swaps->over > 0) {
        return;
    }
    for (int i = 0; i < swaps->dirty_count; i++) {
        swaps->is_dirty[swaps->dirty[i]] = false;
        swaps->best_at[swaps->dirty[i]] = swaps->at[swaps->dirty[i]];
    }
    swaps->dirty_count = 0;
    swaps->best = swaps->excess + swaps->energy;
    swaps->found = true;
}

/* Looks up from the work now and then. */
static bool goes_on(struct primal_swaps *swaps)
{
    struct primal *primal = swaps->board->core->primal;
    if (atomic_load(&primal->stop) || (swaps->found && swaps->best <= swaps->target)) {
        return false;
    }
    if (swaps->speaks && primal->options->progress != NULL) {
        int64_t now = clock_mono_now().us;
        if (now - swaps->spoke_us >= SPEAK_US) {
            double best = swaps->found ? swaps->board->offset + swaps->best : INFINITY;
            swaps->spoke_us = now;
            if (!primal->options->progress(primal->options->context, primal->dual->bound, best)) {
                atomic_store(&primal->stop, true);
            }
        }
    }
    return !atomic_load(&primal->stop);
}
