#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/primal_internal.h"

#define BLOCKS 64
/* Apps that the limit on the moves' rise is judged by. */
#define SAMPLE_MOST 8192
/* An app's answer to one change ends after this many further changes. */
#define STEPS_MOST 12

/* Where the moves that a scan finds go: they are counted, or their rises kept, or all of them. */
struct take {
    double limit; /* moves that rise more are not taken */
    int moves;
    int steps;
    double *rises; /* not NULL: only these are kept */
    int rises_max;
    struct primal_move *move;
    struct primal_step *step;
};

/* One worker's scratch. */
struct scan {
    struct primal *primal;
    int *choice;
    double *w;       /* [cell of the app] */
    size_t *w_first; /* [part of the app] */
    int *place_of;   /* [part of the grid] its place in its app; shared, NULL without links */
    int *active_of;  /* [part of the grid], while moves are kept */
    struct take take;
};

struct sweep {
    struct scan *scans; /* [worker] */
    int moves[BLOCKS];
    int steps[BLOCKS];
    uint8_t *holds; /* [app] has moves */
    bool cheapest;
};

static int scan_create(struct primal *primal, int *choice, struct scan *ret_scan);
static void sweep_block(void *context, int block, int worker);
static void scan_app(struct scan *scan, int app, bool cheapest);
static void scan_single(struct scan *scan, int part, bool cheapest);
static void cheapest_linked(struct scan *scan, const int *parts, int count);
static double app_cost(struct scan *scan, const int *parts, int count, const int *at, int *closed);
static void scan_linked(struct scan *scan, const int *parts, int count);
static void scan_columns(struct scan *scan, int app, const int *parts, int count);
static double above_first(struct scan *scan, int app, const int *parts, int count);
static int answer(struct scan *scan, int part, int cell, struct primal_step *steps,
                  double *ret_rise);
static double local_cost(const struct scan *scan, int part, int cell, int *closed);
static int best_cell(const struct scan *scan, int part);
static void emit(struct scan *scan, const struct primal_step *steps, int count, double rise);
static double limit_for(struct scan *scan, int moves, double *rises, int rises_max);
static int keep_moves(struct primal_core *core, struct scan *scan, const struct sweep *sweep);
static int activate(struct primal_core *core, struct scan *scan, const struct sweep *sweep);
static void penalties(struct primal_core *core);
static int join(struct primal_core *core, const int *active_of);
static int make_index(const struct primal_core *core, bool out, struct primal_index *index);
static int by_rise(const void *a, const void *b);
static int by_value(const void *a, const void *b);

int primal_cheapest(struct primal *primal, int *choice)
{
    struct scan scans[PRIMAL_THREADS];
    memcpy(choice, primal->dual->choice, (size_t)primal->grid->parts * sizeof(int));
    for (int i = 0; i < primal->threads; i++) {
        int rc = scan_create(primal, choice, &scans[i]);
        if (rc < 0) {
            return rc;
        }
    }
    struct sweep sweep = {.scans = scans, .cheapest = true};
    primal_blocks(primal->threads, BLOCKS, sweep_block, &sweep);
    return 0;
}

int primal_core_build(struct primal *primal, int *choice, int moves, struct primal_core *ret_core)
{
    struct arena *arena = primal->work;
    struct primal_core core = {.primal = primal, .choice = choice};
    struct scan scans[PRIMAL_THREADS];
    for (int i = 0; i < primal->threads; i++) {
        int rc = scan_create(primal, choice, &scans[i]);
        if (rc < 0) {
            return rc;
        }
    }
    int rises_max = SAMPLE_MOST * 64;
    double *rises = arena_alloc_raw(arena, (size_t)rises_max * sizeof(double));
    struct sweep sweep = {.scans = scans, .holds = arena_alloc(arena, (size_t)primal->apps + 1)};
    if (rises == NULL || sweep.holds == NULL) {
        return primal_no_memory(primal);
    }
    double limit = limit_for(&scans[0], moves, rises, rises_max);
    for (int64_t total = INT64_MAX; total > 2 * (int64_t)moves; limit /= 2) {
        for (int i = 0; i < primal->threads; i++) {
            scans[i].take = (struct take){.limit = limit};
        }
        primal_blocks(primal->threads, BLOCKS, sweep_block, &sweep);
        total = 0;
        for (int block = 0; block < BLOCKS; block++) {
            total += sweep.moves[block];
        }
        if (isinf(limit) || limit < 1e-3) {
            break;
        }
    }
    int rc = keep_moves(&core, &scans[0], &sweep);
    if (rc == 0) {
        *ret_core = core;
    }
    return rc;
}

double primal_weight(const struct primal *primal, int part, int cell)
{
    const struct grid *grid = primal->grid;
    if (grid_cost_raw(grid, part, cell) == GRID_CLOSED) {
        return INFINITY;
    }
    const int32_t *demand = grid_demand(grid, part, cell);
    const double *price =
        primal->price + (size_t)grid_site(grid, part, cell) * (size_t)grid->resources;
    double w = (double)grid_cost(grid, part, cell);
    for (int r = 0; r < grid->resources; r++) {
        w += price[r] * (double)demand[r];
    }
    return w;
}

static int scan_create(struct primal *primal, int *choice, struct scan *ret_scan)
{
    size_t cells = primal->app_cells;
    *ret_scan = (struct scan){
        .primal = primal,
        .choice = choice,
        .w = arena_alloc_raw(primal->work, (cells + 1) * sizeof(double)),
        .w_first = arena_alloc_raw(primal->work, ((size_t)primal->app_most + 1) * sizeof(size_t)),
        .place_of = primal->place_of,
    };
    return ret_scan->w != NULL && ret_scan->w_first != NULL ? 0 : primal_no_memory(primal);
}

static void sweep_block(void *context, int block, int worker)
{
    struct sweep *sweep = context;
    struct scan *scan = &sweep->scans[worker];
    int64_t apps = scan->primal->apps;
    int from = (int)(apps * block / BLOCKS);
    int to = (int)(apps * (block + 1) / BLOCKS);
    scan->take.moves = 0;
    scan->take.steps = 0;
    for (int app = from; app < to; app++) {
        int before = scan->take.moves;
        scan_app(scan, app, sweep->cheapest);
        if (!sweep->cheapest) {
            sweep->holds[app] = scan->take.moves > before;
        }
    }
    sweep->moves[block] = scan->take.moves;
    sweep->steps[block] = scan->take.steps;
}

static void scan_app(struct scan *scan, int app, bool cheapest)
{
    const struct primal *primal = scan->primal;
    if (primal->app_first == NULL) {
        scan_single(scan, app, cheapest);
        return;
    }
    const int *parts = primal->app_part + primal->app_first[app];
    int count = primal->app_first[app + 1] - primal->app_first[app];
    if (cheapest && count > 1) {
        cheapest_linked(scan, parts, count);
    } else if (!cheapest && primal->columns.apps > 0) {
        scan_columns(scan, app, parts, count);
    } else if (count == 1) {
        scan_single(scan, parts[0], cheapest);
    } else {
        scan_linked(scan, parts, count);
    }
}

static void scan_single(struct scan *scan, int part, bool cheapest)
{
    const struct grid *grid = scan->primal->grid;
    int cells = grid_cells(grid, part);
    double *w = scan->w;
    primal_weigh(scan->primal, part, w);
    if (cheapest) {
        int best = 0;
        for (int cell = 1; cell < cells; cell++) {
            best = w[cell] < w[best] ? cell : best;
        }
        int current = grid->current != NULL ? grid->current[part] : -1;
        scan->choice[part] = current >= 0 && w[current] <= w[best] ? current : best;
        return;
    }
    double base = w[scan->choice[part]];
    double limit = scan->take.limit + base;
    for (int cell = 0; cell < cells; cell++) {
        if (w[cell] <= limit && cell != scan->choice[part] && w[cell] < INFINITY) {
            struct primal_step step = {.active = part, .to = {.cell = cell, .w = w[cell] - base}};
            emit(scan, &step, 1, w[cell] - base);
        }
    }
}

void primal_weigh(const struct primal *primal, int part, double *w)
{
    const struct grid *grid = primal->grid;
    int cells = grid_cells(grid, part);
    if (grid->first != NULL || grid->cell_demand != NULL) {
        for (int cell = 0; cell < cells; cell++) {
            w[cell] = primal_weight(primal, part, cell);
        }
        return;
    }
    const uint32_t *cost = grid->cost + grid_first(grid, part);
    const int32_t *demand = grid_demand(grid, part, 0);
    double unit = grid->unit != NULL ? (double)grid->unit[part] : 1;
    double base = grid->base != NULL ? (double)grid->base[part] : 0;
    for (int cell = 0; cell < cells; cell++) {
        w[cell] = cost[cell] == GRID_CLOSED ? INFINITY : base + unit * (double)cost[cell];
    }
    for (int r = 0; r < grid->resources; r++) {
        const double *price = primal->by_row + (size_t)r * (size_t)grid->sites;
        double each = (double)demand[r];
        for (int cell = 0; cell < cells; cell++) {
            w[cell] += each * price[cell];
        }
    }
}

/* The present cells where they cost no more than the dual's choice; then changes of single parts
 * while they save: of a minimiser none does. */
static void cheapest_linked(struct scan *scan, const int *parts, int count)
{
    const struct grid *grid = scan->primal->grid;
    bool whole = grid->current != NULL;
    for (int i = 0; i < count && whole; i++) {
        whole = grid->current[parts[i]] >= 0 &&
                grid_cost_raw(grid, parts[i], grid->current[parts[i]]) != GRID_CLOSED;
    }
    if (!whole) {
        return;
    }
    int closed = 0;
    double present = app_cost(scan, parts, count, grid->current, &closed);
    int ignored = 0;
    if (closed == 0 && present <= app_cost(scan, parts, count, scan->choice, &ignored)) {
        for (int i = 0; i < count; i++) {
            scan->choice[parts[i]] = grid->current[parts[i]];
        }
    }
}

static double app_cost(struct scan *scan, const int *parts, int count, const int *at, int *closed)
{
    const struct primal *primal = scan->primal;
    double cost = 0;
    for (int i = 0; i < count; i++) {
        cost += primal_weight(primal, parts[i], at[parts[i]]);
        for (int k = primal->near_first[parts[i]]; k < primal->near_first[parts[i] + 1]; k++) {
            const struct grid_link *link = &primal->grid->link[primal->near[k].link];
            if (link->a == parts[i]) {
                cost += primal_link_cost(primal->grid, link, at[link->a], at[link->b], closed);
            }
        }
    }
    return cost;
}

static void scan_linked(struct scan *scan, const int *parts, int count)
{
    const struct primal *primal = scan->primal;
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        scan->w_first[i] = at;
        primal_weigh(primal, parts[i], scan->w + at);
        at += (size_t)grid_cells(primal->grid, parts[i]);
    }
    struct primal_step steps[STEPS_MOST + 1];
    for (int i = 0; i < count; i++) {
        int part = parts[i];
        const double *w = scan->w + scan->w_first[i];
        int cells = grid_cells(primal->grid, part);
        int closed_before = 0;
        double before = local_cost(scan, part, scan->choice[part], &closed_before);
        for (int cell = 0; cell < cells; cell++) {
            if (cell == scan->choice[part] || isinf(w[cell])) {
                continue;
            }
            int closed = 0;
            double rise = local_cost(scan, part, cell, &closed) - before;
            steps[0] = (struct primal_step){
                .active = part, .to = {.cell = cell, .w = w[cell] - w[scan->choice[part]]}};
            if (closed == 0 && rise <= scan->take.limit) {
                emit(scan, steps, 1, rise);
            }
            int further = answer(scan, part, cell, steps, &rise);
            if (further > 1 && rise <= scan->take.limit) {
                emit(scan, steps, further, rise);
            }
        }
    }
}

/* The app's columns, as moves from where it is. */
static void scan_columns(struct scan *scan, int app, const int *parts, int count)
{
    const struct primal *primal = scan->primal;
    const struct dual_columns *columns = &primal->columns;
    struct primal_step steps[DUAL_COLUMN_PARTS];
    double base = above_first(scan, app, parts, count);
    for (int i = columns->first[app]; i < columns->first[app + 1]; i++) {
        double rise = columns->excess[i] - base;
        if (rise > scan->take.limit) {
            return; /* the others rise more */
        }
        const int *cell = columns->cell + columns->cell_at[i];
        int taken = 0;
        for (int k = 0; k < count; k++) {
            if (cell[k] != scan->choice[parts[k]]) {
                steps[taken++] = (struct primal_step){.active = parts[k], .to = {.cell = cell[k]}};
            }
        }
        for (int k = 0; k < taken && scan->take.move != NULL; k++) {
            int part = steps[k].active;
            steps[k].to.w = primal_weight(primal, part, steps[k].to.cell) -
                            primal_weight(primal, part, scan->choice[part]);
        }
        if (taken > 0) {
            emit(scan, steps, taken, rise);
        }
    }
}

/* What an app costs where it is, above its first column. */
static double above_first(struct scan *scan, int app, const int *parts, int count)
{
    const struct dual_columns *columns = &scan->primal->columns;
    const int *cell = columns->cell + columns->cell_at[columns->first[app]];
    int was[DUAL_COLUMN_PARTS];
    bool differs = false;
    for (int k = 0; k < count; k++) {
        was[k] = scan->choice[parts[k]];
        differs = differs || was[k] != cell[k];
    }
    if (!differs) {
        return 0;
    }
    int closed = 0;
    double cost = app_cost(scan, parts, count, scan->choice, &closed);
    for (int k = 0; k < count; k++) {
        scan->choice[parts[k]] = cell[k];
    }
    cost -= app_cost(scan, parts, count, scan->choice, &closed);
    for (int k = 0; k < count; k++) {
        scan->choice[parts[k]] = was[k];
    }
    return cost;
}

/* What an app does best when one of its parts goes to a cell: the parts around follow while that
 * saves something. Returns the steps, the first one included; 0: a closed pair is left. */
static int answer(struct scan *scan, int part, int cell, struct primal_step *steps,
                  double *ret_rise)
{
    const struct primal *primal = scan->primal;
    int *choice = scan->choice;
    int was[STEPS_MOST + 1];
    int closed = 0;
    int closed_was = 0;
    double rise =
        local_cost(scan, part, cell, &closed) - local_cost(scan, part, choice[part], &closed_was);
    int count = 1;
    was[0] = choice[part];
    choice[part] = cell;
    for (int done = 0; done < count; done++) {
        int centre = steps[done].active;
        for (int k = primal->near_first[centre]; k < primal->near_first[centre + 1]; k++) {
            int other = primal->near[k].other;
            bool moved = false;
            for (int i = 0; i < count && !moved; i++) {
                moved = steps[i].active == other;
            }
            int to = moved || count > STEPS_MOST ? choice[other] : best_cell(scan, other);
            if (to == choice[other]) {
                continue;
            }
            int after = 0;
            int before = 0;
            rise += local_cost(scan, other, to, &after) -
                    local_cost(scan, other, choice[other], &before);
            closed += after - before;
            const double *w = scan->w + scan->w_first[scan->place_of[other]];
            was[count] = choice[other];
            steps[count++] = (struct primal_step){
                .active = other, .to = {.cell = to, .w = w[to] - w[choice[other]]}};
            choice[other] = to;
        }
    }
    for (int i = 0; i < count; i++) {
        choice[steps[i].active] = was[i];
    }
    *ret_rise = rise;
    return closed <= closed_was ? count : 0;
}

/* What a part costs at a cell, with its links to where the others are. */
static double local_cost(const struct scan *scan, int part, int cell, int *closed)
{
    const struct primal *primal = scan->primal;
    double cost = scan->w[scan->w_first[scan->place_of[part]] + (size_t)cell];
    for (int k = primal->near_first[part]; k < primal->near_first[part + 1]; k++) {
        const struct grid_link *link = &primal->grid->link[primal->near[k].link];
        int other = scan->choice[primal->near[k].other];
        cost += link->a == part ? primal_link_cost(primal->grid, link, cell, other, closed)
                                : primal_link_cost(primal->grid, link, other, cell, closed);
    }
    return cost;
}

static int best_cell(const struct scan *scan, int part)
{
    int cells = grid_cells(scan->primal->grid, part);
    int best = scan->choice[part];
    int fewest = 0;
    double least = local_cost(scan, part, best, &fewest);
    for (int cell = 0; cell < cells; cell++) {
        int closed = 0;
        double cost = cell == best ? INFINITY : local_cost(scan, part, cell, &closed);
        if (cost < INFINITY && (closed < fewest || (closed == fewest && cost < least))) {
            best = cell;
            fewest = closed;
            least = cost;
        }
    }
    return best;
}

static void emit(struct scan *scan, const struct primal_step *steps, int count, double rise)
{
    struct take *take = &scan->take;
    if (take->rises != NULL) {
        if (take->moves < take->rises_max) {
            take->rises[take->moves++] = rise;
        }
        return;
    }
    if (take->move != NULL) {
        take->move[take->moves] =
            (struct primal_move){.rise = rise, .first = take->steps, .count = count};
        memcpy(take->step + take->steps, steps, (size_t)count * sizeof(*steps));
    }
    take->moves++;
    take->steps += count;
}

/* The rise below which about `moves` moves are, judged by every n-th app. */
static double limit_for(struct scan *scan, int moves, double *rises, int rises_max)
{
    int apps = scan->primal->apps;
    int stride = apps / SAMPLE_MOST + 1;
    scan->take = (struct take){.limit = INFINITY, .rises = rises, .rises_max = rises_max};
    int taken = 0;
    for (int app = 0; app < apps && scan->take.moves < rises_max; app += stride) {
        scan_app(scan, app, false);
        taken++;
    }
    int count = scan->take.moves;
    double wanted = (double)moves * (double)taken / (double)(apps > 0 ? apps : 1);
    if (wanted >= (double)count && count < rises_max) {
        return INFINITY;
    }
    qsort(rises, (size_t)count, sizeof(double), by_value);
    int at = wanted < (double)count ? (int)wanted : count - 1;
    return rises[at] > 0 ? rises[at] : 1;
}

/* Scans the apps that have moves once more, and keeps them. */
static int keep_moves(struct primal_core *core, struct scan *scan, const struct sweep *sweep)
{
    const struct primal *primal = core->primal;
    struct arena *arena = primal->work;
    size_t moves = 0;
    size_t steps = 0;
    for (int block = 0; block < BLOCKS; block++) {
        moves += (size_t)sweep->moves[block];
        steps += (size_t)sweep->steps[block];
    }
    core->move = arena_array(arena, moves + 1, sizeof(*core->move));
    core->step = arena_array(arena, steps + 1, sizeof(*core->step));
    if (core->move == NULL || core->step == NULL) {
        return primal_no_memory(primal);
    }
    scan->take.rises = NULL;
    scan->take.move = core->move;
    scan->take.step = core->step;
    scan->take.moves = 0;
    scan->take.steps = 0;
    for (int app = 0; app < primal->apps; app++) {
        if (sweep->holds[app]) {
            scan_app(scan, app, false);
        }
    }
    core->moves = scan->take.moves;
    for (int i = 0; i < core->moves; i++) {
        core->steps_most =
            core->move[i].count > core->steps_most ? core->move[i].count : core->steps_most;
    }
    qsort(core->move, (size_t)core->moves, sizeof(*core->move), by_rise);
    int rc = activate(core, scan, sweep);
    rc = rc == 0 ? make_index(core, true, &core->out) : rc;
    return rc == 0 ? make_index(core, false, &core->in) : rc;
}

/* Numbers the parts that take part, and says where each of them and each step is. */
static int activate(struct primal_core *core, struct scan *scan, const struct sweep *sweep)
{
    struct primal *primal = scan->primal;
    const struct grid *grid = primal->grid;
    int parts = 0;
    for (int app = 0; app < primal->apps; app++) {
        int count =
            primal->app_first == NULL ? 1 : primal->app_first[app + 1] - primal->app_first[app];
        parts += sweep->holds[app] ? count : 0;
    }
    int *active_of = arena_alloc_raw(primal->work, ((size_t)grid->parts + 1) * sizeof(int));
    core->part = arena_array(primal->work, (size_t)parts + 1, sizeof(int));
    core->group = arena_array(primal->work, (size_t)parts + 1, sizeof(int));
    core->base = arena_array(primal->work, (size_t)parts + 1, sizeof(*core->base));
    core->slack = arena_array(primal->work, primal->rows + 1, sizeof(int64_t));
    core->heavy = arena_array(primal->work, primal->rows + 1, sizeof(double));
    if (active_of == NULL || core->part == NULL || core->group == NULL || core->base == NULL ||
        core->slack == NULL || core->heavy == NULL) {
        return primal_no_memory(primal);
    }
    int groups = 0;
    for (int app = 0; app < primal->apps; app++) {
        int from = primal->app_first == NULL ? app : primal->app_first[app];
        int to = primal->app_first == NULL ? app + 1 : primal->app_first[app + 1];
        for (int i = from; i < to && sweep->holds[app]; i++) {
            int part = primal->app_first == NULL ? app : primal->app_part[i];
            active_of[part] = core->parts;
            core->part[core->parts] = part;
            core->group[core->parts] = groups;
            primal_place_at(grid, part, core->choice[part], &core->base[core->parts]);
            core->parts++;
        }
        groups += sweep->holds[app];
    }
    for (int i = 0; i < core->moves; i++) {
        for (int k = 0; k < core->move[i].count; k++) {
            struct primal_step *step = &core->step[core->move[i].first + k];
            primal_place_at(grid, step->active, step->to.cell, &step->to);
            step->active = active_of[step->active];
        }
    }
    grid_load_of(grid, core->choice, core->slack);
    for (size_t row = 0; row < primal->rows; row++) {
        /* No limit is far, and not at the end of the numbers. */
        int64_t capacity =
            grid->capacity[row] < INT64_MAX / 2 ? grid->capacity[row] : INT64_MAX / 2;
        core->slack[row] = capacity - core->slack[row];
        core->idle += primal->price[row] * (double)core->slack[row];
    }
    core->cost = grid_cost_of(grid, core->choice);
    penalties(core);
    return grid->links > 0 ? join(core, active_of) : 0;
}

/* Prices say what a row is worth; where they say nothing, the moves do. */
static void penalties(struct primal_core *core)
{
    const struct primal *primal = core->primal;
    double priced = 0;
    double rises = 0;
    for (size_t row = 0; row < primal->rows; row++) {
        priced += primal->price[row] / (double)primal->rows;
    }
    for (int i = 0; i < core->moves; i++) {
        rises += fabs(core->move[i].rise) / (double)core->moves;
    }
    core->charge = (priced > 0 ? priced * primal->unit : rises) + 1;
    for (size_t row = 0; row < primal->rows; row++) {
        core->heavy[row] = fmax(primal->price[row], core->charge / primal->unit / 4);
    }
}

/* The links among the active parts: an app is active whole. */
static int join(struct primal_core *core, const int *active_of)
{
    const struct primal *primal = core->primal;
    size_t ends = 0;
    for (int i = 0; i < core->parts; i++) {
        ends += (size_t)(primal->near_first[core->part[i] + 1] - primal->near_first[core->part[i]]);
    }
    core->near_first = arena_array(primal->work, (size_t)core->parts + 1, sizeof(int));
    core->near = arena_array(primal->work, ends + 1, sizeof(*core->near));
    if (core->near_first == NULL || core->near == NULL) {
        return primal_no_memory(primal);
    }
    int at = 0;
    for (int i = 0; i < core->parts; i++) {
        core->near_first[i] = at;
        int part = core->part[i];
        for (int k = primal->near_first[part]; k < primal->near_first[part + 1]; k++) {
            core->near[at].other = active_of[primal->near[k].other];
            core->near[at++].link = primal->near[k].link;
        }
    }
    core->near_first[core->parts] = at;
    return 0;
}

/* Each move under the sites that its parts leave, or reach. */
static int make_index(const struct primal_core *core, bool out, struct primal_index *index)
{
    const struct primal *primal = core->primal;
    int sites = primal->grid->sites;
    index->first = arena_array(primal->work, (size_t)sites + 2, sizeof(int));
    if (index->first == NULL) {
        return primal_no_memory(primal);
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < core->moves; i++) {
            for (int k = 0; k < core->move[i].count; k++) {
                const struct primal_step *step = &core->step[core->move[i].first + k];
                int from = core->base[step->active].site;
                if (from == step->to.site) {
                    continue;
                }
                int site = out ? from : step->to.site;
                if (pass == 0) {
                    index->first[site + 2]++;
                } else {
                    index->move[index->first[site + 1]++] = i;
                }
            }
        }
        for (int site = 0; site < sites && pass == 0; site++) {
            index->first[site + 2] += index->first[site + 1];
        }
        if (pass == 0) {
            size_t total = (size_t)index->first[sites + 1];
            index->move = arena_array(primal->work, total + 1, sizeof(int));
            if (index->move == NULL) {
                return primal_no_memory(primal);
            }
        }
    }
    return 0;
}

static int by_rise(const void *a, const void *b)
{
    const struct primal_move *x = a;
    const struct primal_move *y = b;
    if (x->rise != y->rise) {
        return x->rise < y->rise ? -1 : 1;
    }
    return (x->first > y->first) - (x->first < y->first);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}
