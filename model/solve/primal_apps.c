/* Apps that are dear to add up: over the few cells of each part that come near its best, what each
 * app may as well do is listed, and sites are filled with such columns. Where these are not to be
 * had, or nothing of them fits, apps are placed whole, one after the other, each where it costs
 * least beside what is placed already. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "model/solve/dual_cells.h"
#include "model/solve/primal_fill.h"

/* Columns of apps that are listed, beside one of each app, and how much is looked at to fill sites
 * with them (primal_fill.h). */
#define COLUMNS_PER_SITE 700
#define COLUMNS_MOST     400
#define FILL_WORK        4e8

#define CELLS         16   /* of each part that are looked at */
#define PASSES        80   /* until nothing is over its capacity */
#define FORCE_FIRST   0.02 /* of what is over, in costs of the mean; and how it grows: */
#define FORCE_TIMES   1.25
#define OVER_TIMES    10
#define FORCE_WALL    100.0
#define STEPS_MOST    256  /* of an app that is placed anew */
#define GROUP         8    /* apps that are placed anew together, at most */
#define WORK          2e10 /* additions of all that */
#define TRIES         100000
#define TRIES_AT_ONCE 256
#define CHAINS        2 /* whatever the number of threads */
#define SPEAK_US      (300 * US_PER_MS)
#define HOT           2e-5 /* of the bound: what a worse assignment may cost at first */

struct fit {
    struct primal *primal;
    struct grid few;
    int *cell_of;     /* [cell of few] */
    struct dual dual; /* of few */
    struct dual_app_run run;
    int *app_of;     /* [part], or -1 */
    int *link_first; /* [app + 1] */
    int *link;
    int64_t *load; /* [row] */
    int *choice;   /* [part] cells of few */
    int *best;
    int64_t cost; /* of choice */
    int64_t cost_best;
    bool found;
    double mean[LIMIT_RESOURCES]; /* what a unit of demand costs, about */
    int64_t need[LIMIT_RESOURCES];
    uint64_t random;
    bool speaks;
    int64_t spoke_us;
};

struct telling {
    struct primal *primal;
    int64_t spoke_us;
};

static int fill_sites(struct primal *primal, const struct grid *few, const int *cell_of,
                      struct arena *arena, int *choice, bool *ret_found);
static int list_columns(struct primal *primal, const struct grid *few, const int *cell_of);
static bool tell_filled(void *context, double best);
static bool tell(struct primal *primal, double best, int64_t *spoke_us);
static void fit_run(void *context, int block, int worker);
static bool fit_make(struct fit *fit, struct arena *arena, int *choice);
static bool links_make(struct fit *fit, struct arena *arena);
static void force_all(struct fit *fit);
static void place_groups(struct fit *fit);
static bool place(struct fit *fit, int app, double price, double force);
static void take(struct fit *fit, int app, int sign);
static double over(const struct fit *fit);
static int64_t cost_of(const struct fit *fit, int app);

static uint64_t draw(struct fit *fit, uint64_t limit)
{
    fit->random += 0x9e3779b97f4a7c15u;
    uint64_t x = fit->random;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return ((x ^ (x >> 31)) >> 11) % limit;
}

int primal_apps_fit(struct primal *primal, int *choice, bool *ret_done)
{
    const struct grid *grid = primal->grid;
    struct arena arena;
    struct dual dual;
    struct grid few;
    int *cell_of = NULL;
    *ret_done = false;
    if (grid->links == 0) {
        return 0;
    }
    arena_init(&arena, primal->work->bytes_max - primal->work->bytes_used);
    arena.fail_after = primal->work->fail_after;
    int rc = dual_begin(grid, primal->threads, &arena, &dual, primal->err);
    rc = rc == 0 ? dual_scale_init(&dual, primal->err) : rc;
    bool pays = rc == 0 && dual_cells_pay(&dual) &&
                dual_cells_few(&dual, primal->price, CELLS, &arena, &few, &cell_of);
    dual_end(&dual, &arena);
    if (pays) {
        rc = fill_sites(primal, &few, cell_of, &arena, choice, ret_done);
        pays = rc == 0 && !*ret_done;
    }
    struct fit fits[CHAINS];
    bool made = pays;
    for (int i = 0; i < CHAINS && pays; i++) {
        fits[i] = (struct fit){.primal = primal,
                               .few = few,
                               .cell_of = cell_of,
                               .random = primal->options->seed * CHAINS + (uint64_t)i};
        rc = rc == 0 ? dual_begin(&fits[i].few, 1, &arena, &fits[i].dual, primal->err) : rc;
        made = made && rc == 0 && fit_make(&fits[i], &arena, choice);
    }
    if (made) {
        primal_blocks(primal->threads, CHAINS, fit_run, fits);
        const struct fit *best = &fits[0];
        for (int i = 1; i < CHAINS; i++) {
            bool better = fits[i].found && (!best->found || fits[i].cost_best < best->cost_best);
            best = better ? &fits[i] : best;
        }
        for (int part = 0; part < grid->parts && best->found; part++) {
            choice[part] = cell_of[few.first[part] + (size_t)best->best[part]];
        }
        *ret_done = best->found;
    }
    for (int i = 0; i < CHAINS && pays; i++) {
        dual_end(&fits[i].dual, &arena);
    }
    primal->work->fail_after = arena.fail_after;
    arena_done(&arena);
    return rc;
}

static int fill_sites(struct primal *primal, const struct grid *few, const int *cell_of,
                      struct arena *arena, int *choice, bool *ret_found)
{
    struct primal_core core;
    struct primal_board *board = NULL;
    struct arena *was = primal->work;
    double moves = primal->options->moves_max * primal->grid->parts;
    double good = primal->dual->bound + primal->options->gap * fabs(primal->dual->bound);
    int rc = list_columns(primal, few, cell_of);
    if (rc < 0 || primal->columns.apps == 0) {
        return rc;
    }
    primal->work = arena;
    rc = primal_core_build(primal, choice, COLUMNS_MOST * primal->grid->sites, &core);
    rc = rc == 0 ? primal_board_create(&core, &board) : rc;
    if (rc == 0) {
        struct telling telling = {.primal = primal};
        struct primal_fill_pair_options options = {.work = moves > 0 ? moves : FILL_WORK,
                                                   .target = good,
                                                   .tell = tell_filled,
                                                   .context = &telling};
        rc = primal_fill_pair(board, &options, choice, ret_found);
    }
    primal->work = was;
    return rc;
}

/* Of the few cells of each part; said in the whole grid's. */
static int list_columns(struct primal *primal, const struct grid *few, const int *cell_of)
{
    struct dual_columns *columns = &primal->columns;
    struct dual_columns_options options = {
        .wanted = (double)few->sites * COLUMNS_PER_SITE + primal->apps, .each_max = COLUMNS_MOST};
    int rc = dual_columns_list(few, primal->price, &options, primal->arena, columns, primal->err);
    for (int app = 0; rc == 0 && app < columns->apps; app++) {
        int parts = primal->app_first[app + 1] - primal->app_first[app];
        const int *part = primal->app_part + primal->app_first[app];
        for (int i = columns->first[app]; i < columns->first[app + 1]; i++) {
            int *cell = columns->cell + columns->cell_at[i];
            for (int k = 0; k < parts; k++) {
                cell[k] = cell_of[few->first[part[k]] + (size_t)cell[k]];
            }
        }
    }
    return rc;
}

static bool tell_filled(void *context, double best)
{
    struct telling *telling = context;
    return tell(telling->primal, best, &telling->spoke_us);
}

/* Says what is known, now and then; false: there is no reason to go on. */
static bool tell(struct primal *primal, double best, int64_t *spoke_us)
{
    const struct primal_options *options = primal->options;
    int64_t now_us = clock_mono_now().us;
    if (options->progress != NULL && now_us - *spoke_us >= SPEAK_US) {
        *spoke_us = now_us;
        if (!options->progress(options->context, primal->dual->bound, best)) {
            atomic_store(&primal->stop, true);
        }
    }
    return !atomic_load(&primal->stop);
}

static void fit_run(void *context, int block, int worker)
{
    struct fit *fit = (struct fit *)context + block;
    fit->speaks = worker == 0;
    force_all(fit);
    place_groups(fit);
}

/* Now and then: whether there is a reason to go on. */
static bool goes_on(struct fit *fit)
{
    struct primal *primal = fit->primal;
    double best = fit->found ? (double)fit->cost_best : INFINITY;
    double good = primal->dual->bound + primal->options->gap * fabs(primal->dual->bound);
    bool wanted = fit->speaks ? tell(primal, best, &fit->spoke_us) : !atomic_load(&primal->stop);
    return wanted && !(best <= good);
}

static bool fit_make(struct fit *fit, struct arena *arena, int *choice)
{
    const struct grid *few = &fit->few;
    const struct dual_tree *tree = fit->dual.tree;
    struct dual_lane *lane = &fit->dual.lane[0];
    size_t parts = (size_t)few->parts;
    fit->run = (struct dual_app_run){.dual = &fit->dual,
                                     .tree = tree,
                                     .scratch = lane->scratch,
                                     .sum = lane->sum,
                                     .row = lane->row,
                                     .cell = lane->cell};
    fit->load = arena_array(arena, fit->primal->rows + 1, sizeof(int64_t));
    fit->choice = arena_array(arena, parts + 1, sizeof(int));
    fit->best = arena_array(arena, parts + 1, sizeof(int));
    fit->app_of = arena_array(arena, parts + 1, sizeof(int));
    if (fit->load == NULL || fit->choice == NULL || fit->best == NULL || fit->app_of == NULL) {
        return false;
    }
    for (int part = 0; part < few->parts; part++) {
        fit->app_of[part] = -1;
        for (int r = 0; r < few->resources; r++) {
            fit->mean[r] += (double)dual_most(few, part, r);
        }
        /* The cell that it has, or the first. */
        for (int c = 0; c < grid_cells(few, part); c++) {
            if (fit->cell_of[few->first[part] + (size_t)c] == choice[part]) {
                fit->choice[part] = c;
            }
        }
    }
    for (int r = 0; r < few->resources; r++) {
        fit->mean[r] = fabs(fit->primal->dual->bound) / (fit->mean[r] + 1);
    }
    for (int app = 0; app < tree->apps; app++) {
        for (int i = tree->first[app]; i < tree->first[app + 1]; i++) {
            fit->app_of[tree->step[i].part] = app;
        }
    }
    grid_load_of(few, fit->choice, fit->load);
    return links_make(fit, arena);
}

static bool links_make(struct fit *fit, struct arena *arena)
{
    const struct grid *few = &fit->few;
    int apps = fit->dual.tree->apps;
    fit->link_first = arena_array(arena, (size_t)apps + 2, sizeof(int));
    fit->link = arena_array(arena, (size_t)few->links + 1, sizeof(int));
    if (fit->link_first == NULL || fit->link == NULL) {
        return false;
    }
    for (int i = 0; i < few->links; i++) {
        fit->link_first[fit->app_of[few->link[i].a] + 2]++;
    }
    for (int app = 0; app < apps; app++) {
        fit->link_first[app + 2] += fit->link_first[app + 1];
    }
    for (int i = 0; i < few->links; i++) {
        fit->link[fit->link_first[fit->app_of[few->link[i].a] + 1]++] = i;
    }
    return true;
}

/* Whether some part of an app is at a row that is over. */
static bool is_over(const struct fit *fit, int app)
{
    const struct grid *few = &fit->few;
    const struct dual_tree *tree = fit->dual.tree;
    for (int i = tree->first[app]; i < tree->first[app + 1]; i++) {
        int part = tree->step[i].part;
        int row = grid_site(few, part, fit->choice[part]) * few->resources;
        for (int r = 0; r < few->resources; r++) {
            if (fit->load[row + r] > few->capacity[row + r]) {
                return true;
            }
        }
    }
    return false;
}

/* Apps at sites that are over go elsewhere, at first only where that costs little. */
static void force_all(struct fit *fit)
{
    int apps = fit->dual.tree->apps;
    double force = FORCE_FIRST;
    for (int pass = 0; pass < PASSES && over(fit) > 0; pass++, force *= FORCE_TIMES) {
        int begin = (int)draw(fit, (uint64_t)apps);
        for (int i = 0; i < apps; i++) {
            int app = (begin + i) % apps;
            if (is_over(fit, app)) {
                take(fit, app, -1);
                (void)place(fit, app, 1, force);
                take(fit, app, 1);
            }
        }
    }
    fit->found = over(fit) <= 0;
    fit->cost = fit->cost_best = grid_cost_of(&fit->few, fit->choice);
    memcpy(fit->best, fit->choice, (size_t)fit->few.parts * sizeof(int));
}

/* Apps that leave together, and where they were. */
struct group {
    int count;
    int app[GROUP];
    int was[GROUP][STEPS_MOST];
    int64_t cost;
};

/* Apps whose last part is at a site where some part is, or at one where that might as well be. */
static void group_leaves(struct fit *fit, struct group *group)
{
    const struct dual_tree *tree = fit->dual.tree;
    const struct grid *few = &fit->few;
    int chosen = (int)draw(fit, (uint64_t)few->parts);
    int other = (int)draw(fit, (uint64_t)grid_cells(few, chosen));
    int site[2] = {grid_site(few, chosen, fit->choice[chosen]), grid_site(few, chosen, other)};
    int wanted = 2 + (int)draw(fit, GROUP - 1);
    int begin = (int)draw(fit, (uint64_t)tree->apps);
    group->count = 0;
    group->cost = 0;
    for (int i = 0; i < tree->apps && group->count < wanted; i++) {
        int app = (begin + i) % tree->apps;
        int first = tree->first[app];
        int part = tree->step[tree->first[app + 1] - 1].part;
        int at = grid_site(few, part, fit->choice[part]);
        if ((at != site[0] && at != site[1]) || tree->first[app + 1] - first > STEPS_MOST) {
            continue;
        }
        for (int k = first; k < tree->first[app + 1]; k++) {
            group->was[group->count][k - first] = fit->choice[tree->step[k].part];
        }
        group->cost += cost_of(fit, app);
        group->app[group->count++] = app;
        take(fit, app, -1);
    }
}

static void group_returns(struct fit *fit, const struct group *group)
{
    const struct dual_tree *tree = fit->dual.tree;
    for (int i = 0; i < group->count; i++) {
        int app = group->app[i];
        take(fit, app, -1);
        for (int k = tree->first[app]; k < tree->first[app + 1]; k++) {
            fit->choice[tree->step[k].part] = group->was[i][k - tree->first[app]];
        }
        take(fit, app, 1);
    }
}

/* A few apps of one or two sites leave and are placed again, in another order and minding the
 * prices more or less; what is worse is kept rarely, and ever more so. */
static void place_groups(struct fit *fit)
{
    const struct dual_tree *tree = fit->dual.tree;
    struct group group;
    double work = WORK / fmax(tree->work / tree->apps, 1);
    int tries = (int)fmin(TRIES, work / (GROUP / 2));
    double moves = fit->primal->options->moves_max * fit->few.parts;
    tries = moves > 0 ? (int)fmin(tries, moves) : tries;
    double hot = HOT * fabs(fit->primal->dual->bound);
    for (int try = 0; try < tries; try++) {
        if (try % TRIES_AT_ONCE == 0 && !goes_on(fit)) {
            break;
        }
        double over_before = over(fit);
        group_leaves(fit, &group);
        double price = (double)draw(fit, 1001) / 1000;
        int64_t after = 0;
        for (int i = 0; i < group.count; i++) {
            int app = group.app[(i + try) % group.count];
            (void)place(fit, app, price, FORCE_WALL);
            take(fit, app, 1);
            after += cost_of(fit, app);
        }
        double allowed =
            -hot * (1 - (double)try / tries) * log(((double)draw(fit, 1000000) + 1) / 1000001);
        double over_after = over(fit);
        if ((double)(after - group.cost) + over_after - over_before > allowed) {
            group_returns(fit, &group);
            continue;
        }
        fit->cost += after - group.cost;
        if (over_after <= 0 && (!fit->found || fit->cost < fit->cost_best)) {
            fit->found = true;
            fit->cost_best = fit->cost;
            memcpy(fit->best, fit->choice, (size_t)fit->few.parts * sizeof(int));
        }
    }
}

/* Puts an app whose load is taken off where it costs least: at `price` times the prices, and with
 * what the whole of it would be over at a site divided among its parts, `force` mean costs each. */
static bool place(struct fit *fit, int app, double price, double force)
{
    const struct grid *few = &fit->few;
    const struct dual_tree *tree = fit->dual.tree;
    int resources = few->resources;
    for (int r = 0; r < resources; r++) {
        fit->need[r] = 0;
        for (int i = tree->first[app]; i < tree->first[app + 1]; i++) {
            fit->need[r] += tree->step[i].own ? dual_most(few, tree->step[i].part, r) : 0;
        }
        for (int site = 0; site < few->sites; site++) {
            int row = site * resources + r;
            double above = few->capacity[row] < INT64_MAX
                               ? (double)(fit->load[row] + fit->need[r] - few->capacity[row])
                               : 0;
            double share = above > 0 ? fmin(above / (double)(fit->need[r] + 1), 1) : 0;
            fit->dual.by[(size_t)r * fit->dual.stride + (size_t)site] =
                price * fit->primal->price[row] + force * fit->mean[r] * share;
        }
    }
    fit->run.app = app;
    double least =
        tree->copied[app] ? dual_app_least_divided(&fit->run) : dual_app_least(&fit->run);
    if (!(least < INFINITY)) {
        return false;
    }
    dual_app_choose(&fit->run, NULL);
    for (int i = tree->first[app]; i < tree->first[app + 1]; i++) {
        if (tree->step[i].own) {
            fit->choice[tree->step[i].part] = fit->run.cell[i - tree->first[app]];
        }
    }
    return true;
}

static void take(struct fit *fit, int app, int sign)
{
    const struct grid *few = &fit->few;
    const struct dual_tree *tree = fit->dual.tree;
    for (int i = tree->first[app]; i < tree->first[app + 1]; i++) {
        int part = tree->step[i].part;
        int row = grid_site(few, part, fit->choice[part]) * few->resources;
        const int32_t *demand = grid_demand(few, part, fit->choice[part]);
        for (int r = 0; tree->step[i].own && r < few->resources; r++) {
            fit->load[row + r] += sign * (int64_t)demand[r];
        }
    }
}

/* What is over its capacity, at many times what it costs on the mean; 0: nothing. */
static double over(const struct fit *fit)
{
    double sum = 0;
    for (size_t row = 0; row < fit->primal->rows; row++) {
        int64_t above = fit->load[row] - fit->few.capacity[row];
        sum += above > 0 ? (double)above * fit->mean[row % (size_t)fit->few.resources] : 0;
    }
    return OVER_TIMES * sum;
}

static int64_t cost_of(const struct fit *fit, int app)
{
    const struct grid *few = &fit->few;
    const struct dual_tree *tree = fit->dual.tree;
    int64_t cost = 0;
    for (int i = tree->first[app]; i < tree->first[app + 1]; i++) {
        int part = tree->step[i].part;
        cost += tree->step[i].own ? grid_cost(few, part, fit->choice[part]) : 0;
    }
    for (int i = fit->link_first[app]; i < fit->link_first[app + 1]; i++) {
        const struct grid_link *link = &few->link[fit->link[i]];
        uint32_t value = grid_link_raw(few, link, fit->choice[link->a], fit->choice[link->b]);
        cost += value == GRID_CLOSED ? INT64_MAX / 4096 : link->base + link->scale * (int64_t)value;
    }
    return cost;
}
