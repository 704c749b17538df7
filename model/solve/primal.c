#include "model/solve/primal.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "model/solve/primal_eject.h"
#include "model/solve/primal_loose.h"

/* Always as many chains, on however many threads. */
#define CHAINS  2
#define HARSHER 8
#define HOT     15
#define COLD    1
/* Sites are settled again so often: what a round costs goes with the cells. */
#define SETTLES_MOST  400
#define SETTLES_LEAST 4
#define SETTLE_CELLS  4e8
#define SETTLE_MOVES  8000
#define IDLE_MOST     80
/* The same where moves are read from lists: rounds of all descents, and of each. */
#define LISTED_SETTLES_MOST 800
#define LISTED_IDLE_MOST    50
#define DESCENTS            8
/* Parts of a site below which annealing is worth its time. */
#define FEW_PARTS 100
#define FEW_LOOSE 20 /* the same without links, where sites are closed by all cheap sets */
#define SPEAK_US  (300 * US_PER_MS)
/* Moves in the core; measured: fewer starve the chains, more dilute them. */
#define MOVES_PER_SITE  400
#define TRIALS_PER_MOVE 8000
#define TRIALS_LINKED   2e7 /* each costs two to three times as much */
#define TRIALS_USUAL    6e7
/* Columns of apps that are listed, beside one of each app; measured likewise. */
#define COLUMNS_PER_SITE  1500
#define COLUMNS_MOST      400
#define TRIALS_PER_COLUMN 2000
#define TRIALS_APPS       8e6
/* Loose parts: cells listed per site, and how many sets of moves are listed in all; in slices,
 * after each of which the chains go on from the better one's best. */
#define LOOSE_CELLS  1500
#define LOOSE_SETS   2.5e8
#define LOOSE_SLICES 64
/* They end when so many times what the last improvement took, and some more, brought none. */
#define LOOSE_IDLE          4
#define LOOSE_PATIENCE      5e6
#define LOOSE_PATIENCE_SITE 2e5
/* Entries that ejection chains look at, and how often the two searches meet meanwhile. */
#define EJECT_WORK  4e9
#define EJECT_TIMES 2e6 /* at most so often each cell */
#define EJECT_MEETS 40
#define EJECT_IDLE  20
/* A cost this close to the bound, relative, is the optimum for all that doubles can say. */
#define PROVEN_GAP 1e-9

struct search {
    struct primal *primal;
    int *base;
    int *trial;
    int64_t *load;
    int64_t spoke_us;
    struct primal_result best; /* of the descent at hand */
    struct primal_result kept; /* of those before it */
    bool fitted;               /* whole apps were annealed: single moves find little after that */
};

struct loose_task {
    struct loose_chain *chain;
    double work;
    double target;
};

struct settle_task {
    struct settle *settle;
    uint64_t seed;
    int open;
};

static int check_options(const struct primal_options *options, struct error *err);
static int search_begin(struct search *search);
static int search_rounds(struct search *search);
static int search_all_loose(struct search *search);
static int search_loose(struct search *search, int *base, double sets);
static void run_loose(void *context, int block, int worker);
static int settle_rounds(struct search *search, int *round, int rounds, int idle_most);
static int descend_again(struct search *search, int rounds);
static void keep_better(struct search *search);
static int settle_round(struct search *search, int round, int idle);
static void run_settle(void *context, int block, int worker);
static int anneal_round(struct search *search, int harsh);
static int swap_round(struct search *search, int descent);
static void run_swaps(void *context, int block, int worker);
static bool ejects(const struct grid *grid);
static int eject_round(struct search *search);
static void run_chain(void *context, int block, int worker);
static bool keeps_all(struct search *search, const int *choice);
static void consider(struct search *search, const int *choice);
static double good_cost(const struct primal *primal);
static bool is_done(struct search *search);
static void tell_progress(struct search *search, double cost);
static void go_home(struct search *search);
static int64_t primal_change(const struct primal *primal, const int *choice, int part, int cell);
static int prepare(struct primal *primal);
static int prepare_apps(struct primal *primal);
static int prepare_columns(struct primal *primal);

struct team {
    void (*fn)(void *context, int block, int worker);
    void *context;
    int blocks;
    int workers;
    int worker;
};

static void *team_run(void *argument)
{
    const struct team *team = argument;
    for (int block = team->worker; block < team->blocks; block += team->workers) {
        team->fn(team->context, block, team->worker);
    }
    return NULL;
}

void primal_blocks(int threads, int blocks, void (*fn)(void *context, int block, int worker),
                   void *context)
{
    struct team team[PRIMAL_THREADS];
    pthread_t thread[PRIMAL_THREADS];
    bool started[PRIMAL_THREADS] = {false};
    team[0] = (struct team){fn, context, blocks, threads, 0};
    for (int i = 1; i < threads; i++) {
        team[i] = (struct team){fn, context, blocks, threads, i};
    }
    for (int i = 1; i < threads; i++) {
        started[i] = pthread_create(&thread[i], NULL, team_run, &team[i]) == 0;
    }
    (void)team_run(&team[0]);
    for (int i = 1; i < threads; i++) {
        if (started[i]) {
            (void)pthread_join(thread[i], NULL);
        } else {
            (void)team_run(&team[i]); /* no thread was to be had: its share is done here */
        }
    }
}

int primal_solve(const struct grid *grid, const struct dual_result *dual,
                 const struct primal_options *options, struct arena *arena,
                 struct primal_result *ret_result, struct error *err)
{
    int rc = check_options(options, err);
    if (rc < 0) {
        return rc;
    }
    struct arena work;
    arena_init(&work, arena->bytes_max - arena->bytes_used);
    work.fail_after = arena->fail_after;
    struct primal primal = {.grid = grid,
                            .dual = dual,
                            .options = options,
                            .arena = &work,
                            .work = &work,
                            .err = err,
                            .threads = options->threads > 1 ? PRIMAL_THREADS : 1};
    struct arena round;
    arena_init(&round, arena->bytes_max - arena->bytes_used);
    struct search search = {.primal = &primal};
    search.best.choice = arena_alloc_raw(&work, ((size_t)grid->parts + 1) * sizeof(int));
    rc = search.best.choice == NULL ? primal_no_memory(&primal) : prepare(&primal);
    rc = rc == 0 ? search_begin(&search) : rc;
    round.fail_after = work.fail_after;
    primal.work = &round;
    rc = rc == 0 ? search_rounds(&search) : rc;
    arena->fail_after = round.fail_after;
    if (rc == 0) {
        if (search.best.found) {
            go_home(&search);
            search.best.cost = grid_cost_of(grid, search.best.choice);
        }
        *ret_result = search.best;
        ret_result->choice =
            arena_copy(arena, search.best.choice, ((size_t)grid->parts + 1) * sizeof(int));
        rc = ret_result->choice == NULL ? primal_no_memory(&primal) : 0;
    }
    arena_done(&round);
    arena_done(&work);
    return rc;
}

/* First from the cheapest cells; where sites hold few parts, or links join them, annealing finds
 * more than settling does; then groups of sites are settled again around the best. */
static int search_rounds(struct search *search)
{
    struct primal *primal = search->primal;
    const struct grid *grid = primal->grid;
    if (!primal->dual->possible || search->fitted || is_done(search)) {
        return 0;
    }
    if (ejects(grid)) {
        int rc = settle_round(search, 0, 0);
        return rc == 0 && !is_done(search) ? eject_round(search) : rc;
    }
    if (grid->links == 0) {
        return search_all_loose(search);
    }
    int rc = prepare_columns(primal);
    if (rc < 0) {
        return rc;
    }
    double cells = (double)grid->parts * (double)grid->sites;
    double budget = primal->options->moves_max * grid->parts;
    bool listed = primal->columns.apps > 0;
    int most = listed ? LISTED_SETTLES_MOST : SETTLES_MOST;
    int rounds = (int)fmin(most, fmax(SETTLES_LEAST, SETTLE_CELLS / (cells + 1)));
    if (budget > 0) {
        rounds = (int)fmin(rounds, budget / (SETTLE_MOVES * grid->sites));
    }
    rc = settle_round(search, 0, 0);
    bool few = grid->parts / grid->sites < FEW_PARTS;
    if (primal->columns.apps > 0 && (few || !search->best.found) && rc == 0 && !is_done(search)) {
        rc = swap_round(search, 0);
    }
    if (!search->best.found) {
        primal->columns.apps = 0; /* the prices say too little: nothing near them fits */
    }
    few = primal->columns.apps == 0 && (few || grid->links > 0);
    for (int harsh = 0; rc == 0 && harsh < 3 && !is_done(search); harsh++) {
        if ((few && harsh == 0) || !search->best.found) {
            rc = anneal_round(search, harsh);
        }
    }
    if (primal->columns.apps > 0) {
        return rc == 0 ? descend_again(search, rounds) : rc;
    }
    int round = 1;
    return rc == 0 ? settle_rounds(search, &round, rounds, IDLE_MOST) : rc;
}

/* Goes on around the best until nothing has been won for a while. */
static int settle_rounds(struct search *search, int *round, int rounds, int idle_most)
{
    const struct grid *grid = search->primal->grid;
    int rc = 0;
    for (int idle = 0;
         *round <= rounds && idle < idle_most && rc == 0 && search->best.found && !is_done(search);
         ++*round) {
        int64_t before = search->best.cost;
        memcpy(search->base, search->best.choice, (size_t)grid->parts * sizeof(int));
        rc = settle_round(search, *round, idle);
        idle = search->best.cost < before ? 0 : idle + 1;
    }
    return rc;
}

/* Where a round costs little, others are begun from the cheapest cells, in other orders: where one
 * descent ends is chance. */
static int descend_again(struct search *search, int rounds)
{
    struct primal *primal = search->primal;
    const struct grid *grid = primal->grid;
    int *spare = arena_alloc_raw(primal->arena, ((size_t)grid->parts + 1) * sizeof(int));
    if (spare == NULL) {
        return primal_no_memory(primal);
    }
    int round = 1;
    int rc = settle_rounds(search, &round, rounds, LISTED_IDLE_MOST);
    for (int i = 1; i < DESCENTS && round <= rounds && rc == 0 && !is_done(search); i++) {
        search->kept = search->best;
        search->best =
            (struct primal_result){.over = INT64_MAX, .choice = spare, .moves = search->kept.moves};
        arena_reset(primal->work);
        rc = primal_cheapest(primal, search->base);
        /* All sites take part in the first round. */
        rc = rc == 0 ? settle_round(search, round, 4 - round % 4) : rc;
        round++;
        if (rc == 0 && grid->parts / grid->sites < FEW_PARTS && !is_done(search)) {
            rc = swap_round(search, i);
        }
        rc = rc == 0 ? settle_rounds(search, &round, rounds, LISTED_IDLE_MOST) : rc;
        keep_better(search);
        spare = search->kept.choice;
    }
    return rc;
}

/* The better of this descent and the ones before, which wins ties, is the best. */
static void keep_better(struct search *search)
{
    struct primal_result *best = &search->best;
    struct primal_result *kept = &search->kept;
    if (best->over > kept->over || (best->over == kept->over && best->cost >= kept->cost)) {
        struct primal_result worse = *best;
        *best = *kept;
        best->moves = worse.moves;
        *kept = worse;
    }
    kept->found = false;
}

/* From the cheapest cells; where a start is better than what comes of those, from there as well.
 * Of few parts at full sites annealing may find more, or all that keeps the rules. */
static int search_all_loose(struct search *search)
{
    struct primal *primal = search->primal;
    double sets = LOOSE_SETS;
    if (primal->options->moves_max > 0) {
        sets = primal->options->moves_max * primal->grid->parts;
    }
    int64_t start = search->best.found ? search->best.cost : INT64_MAX;
    int rc = search_loose(search, search->base, start < INT64_MAX ? sets / 2 : sets);
    bool elsewhere = search->best.cost == start;
    bool few = primal->grid->parts / primal->grid->sites < FEW_LOOSE;
    for (int harsh = 0; rc == 0 && harsh < 3 && !is_done(search); harsh++) {
        if (!search->best.found || (few && harsh == 0)) {
            int64_t before = search->best.found ? search->best.cost : INT64_MAX;
            rc = anneal_round(search, harsh);
            elsewhere = elsewhere || search->best.cost < before;
        }
    }
    if (rc == 0 && search->best.found && elsewhere && !is_done(search)) {
        memcpy(search->base, search->best.choice, (size_t)primal->grid->parts * sizeof(int));
        rc = search_loose(search, search->base, sets / 2);
    }
    return rc;
}

/* Two chains, whatever the number of threads; they meet after each slice. */
static int search_loose(struct search *search, int *base, double sets)
{
    struct primal *primal = search->primal;
    struct loose *loose;
    struct loose_task tasks[CHAINS];
    arena_reset(primal->work);
    int rc = loose_create(primal, base, primal->grid->sites * LOOSE_CELLS, &loose);
    for (int i = 0; i < CHAINS && rc == 0; i++) {
        tasks[i].work = sets / CHAINS / LOOSE_SLICES;
        tasks[i].target = good_cost(primal);
        rc = loose_chain_create(loose, primal->options->seed * CHAINS + (uint64_t)i,
                                &tasks[i].chain);
    }
    double best = INFINITY;
    double done = 0;
    double last = 0; /* done when it became better */
    double patience = LOOSE_PATIENCE + LOOSE_PATIENCE_SITE * primal->grid->sites;
    while (rc == 0 && done < sets && done <= LOOSE_IDLE * last + patience) {
        primal_blocks(primal->threads, CHAINS, run_loose, tasks);
        int winner = loose_cost(tasks[1].chain) < loose_cost(tasks[0].chain);
        loose_adopt(tasks[!winner].chain, tasks[winner].chain);
        double cost = loose_cost(tasks[winner].chain);
        done = loose_work(tasks[0].chain) + loose_work(tasks[1].chain);
        last = cost < best ? done : last;
        best = cost;
        tell_progress(search, best);
        if (atomic_load(&primal->stop) || best <= tasks[0].target) {
            break;
        }
    }
    search->best.moves += done;
    if (rc == 0 && best < INFINITY) {
        memcpy(search->trial, base, (size_t)primal->grid->parts * sizeof(int));
        loose_choice(tasks[0].chain, search->trial);
        consider(search, search->trial);
    }
    return rc;
}

static void run_loose(void *context, int block, int worker)
{
    (void)worker;
    const struct loose_task *task = (const struct loose_task *)context + block;
    loose_run(task->chain, task->work, task->target);
}

/* Two orders of the sites, whatever the number of threads. */
static int settle_round(struct search *search, int round, int idle)
{
    struct primal *primal = search->primal;
    int sites = primal->grid->sites;
    struct primal_core core;
    arena_reset(primal->work);
    int rc = primal_core_build(primal, search->base, sites * MOVES_PER_SITE, &core);
    struct settle_task tasks[CHAINS];
    for (int i = 0; i < CHAINS && rc == 0; i++) {
        /* Ever smaller groups: a quarter of the sites disturbs less than all of them. */
        int share = round == 0 ? 0 : (round + idle) % 4;
        int open = sites >> share;
        tasks[i].seed = (uint64_t)round * CHAINS + (uint64_t)i;
        tasks[i].seed += tasks[i].seed > 0 ? primal->options->seed << 20 : 0;
        tasks[i].open = open < 3 ? 3 : open;
        rc = primal_settle_create(&core, &tasks[i].settle);
    }
    if (rc < 0 || core.moves == 0) {
        return rc;
    }
    primal_blocks(primal->threads, CHAINS, run_settle, tasks);
    for (int i = 0; i < CHAINS; i++) {
        consider(search, primal_settle_choice(tasks[i].settle));
        search->best.moves += core.moves;
    }
    return 0;
}

static void run_settle(void *context, int block, int worker)
{
    (void)worker;
    struct settle_task *task = (struct settle_task *)context + block;
    primal_settle_run(task->settle, task->seed, task->open);
}

static int check_options(const struct primal_options *options, struct error *err)
{
    if (options->threads < 0 || !(options->moves_max >= 0) || !(options->gap >= 0)) {
        return error_set(err, ERR_INVALID, 0,
                         "%d threads, moves_max %g, gap %g: none of them may be below 0",
                         options->threads, options->moves_max, options->gap);
    }
    return 0;
}

/* Takes the given start, or the present placement, for the best so far if it keeps all. */
static int search_begin(struct search *search)
{
    struct primal *primal = search->primal;
    const struct grid *grid = primal->grid;
    size_t bytes = ((size_t)grid->parts + 1) * sizeof(int);
    search->base = arena_alloc_raw(primal->arena, bytes);
    search->trial = arena_alloc_raw(primal->arena, bytes);
    search->load = arena_array(primal->arena, primal->rows + 1, sizeof(int64_t));
    if (search->base == NULL || search->trial == NULL || search->load == NULL) {
        return primal_no_memory(primal);
    }
    search->best.over = INT64_MAX;
    const int *starts[] = {grid->current, primal->options->start};
    for (int i = 0; i < 2; i++) {
        bool whole = starts[i] != NULL;
        for (int part = 0; part < grid->parts && whole; part++) {
            whole = starts[i][part] >= 0 && starts[i][part] < grid_cells(grid, part);
        }
        if (whole && keeps_all(search, starts[i])) {
            consider(search, starts[i]);
        }
    }
    if (!primal->dual->possible) {
        return 0;
    }
    int rc = primal_cheapest(primal, search->base);
    if (rc == 0) {
        consider(search, search->base);
        rc = is_done(search) ? 0 : primal_apps_fit(primal, search->base, &search->fitted);
    }
    if (rc == 0) {
        consider(search, search->base);
    }
    return rc;
}

/* Two chains from the same base, whatever the number of threads; the better one wins, the first
 * one on ties. */
static int anneal_round(struct search *search, int harsh)
{
    struct primal *primal = search->primal;
    const struct grid *grid = primal->grid;
    struct primal_core core;
    arena_reset(primal->work);
    int rc = primal_core_build(primal, search->base, grid->sites * MOVES_PER_SITE, &core);
    if (rc < 0 || core.moves == 0) {
        return rc;
    }
    double trials = primal->options->moves_max * grid->parts;
    if (!(trials > 0)) {
        trials = fmin((double)core.moves * TRIALS_PER_MOVE,
                      grid->links > 0 ? TRIALS_LINKED : TRIALS_USUAL);
    }
    struct primal_chain *chains[CHAINS];
    for (int i = 0; i < CHAINS; i++) {
        struct primal_chain_options chain = {
            .seed = primal->options->seed + (uint64_t)(harsh * CHAINS + i),
            .trials = trials / CHAINS,
            .hot = HOT,
            .cold = COLD,
            .harsh = pow(HARSHER, harsh),
            .target = good_cost(primal),
        };
        rc = primal_chain_create(&core, &chain, &chains[i]);
        if (rc < 0) {
            return rc;
        }
    }
    primal_blocks(primal->threads, CHAINS, run_chain, chains);
    for (int i = 0; i < CHAINS; i++) {
        (void)primal_chain_best(chains[i], search->trial);
        consider(search, search->trial);
        search->best.moves += primal_chain_trials(chains[i]);
    }
    return 0;
}

/* The same over whole apps. */
static int swap_round(struct search *search, int descent)
{
    struct primal *primal = search->primal;
    struct primal_core core;
    struct primal_board *board = NULL;
    arena_reset(primal->work);
    int rc = primal_core_build(primal, search->base, primal->grid->sites * MOVES_PER_SITE, &core);
    rc = rc == 0 ? primal_board_create(&core, &board) : rc;
    double trials = primal->options->moves_max * primal->grid->parts;
    if (!(trials > 0)) {
        trials = fmin((double)primal->columns.first[primal->columns.apps] * TRIALS_PER_COLUMN,
                      TRIALS_APPS);
    }
    struct primal_swaps *swaps[CHAINS];
    for (int i = 0; i < CHAINS && rc == 0; i++) {
        struct primal_chain_options options = {
            .seed = primal->options->seed + (uint64_t)(descent * CHAINS + i),
            .trials = trials / CHAINS / DESCENTS,
            .hot = HOT,
            .cold = COLD,
            .harsh = 1,
            .target = good_cost(primal),
        };
        rc = primal_swaps_create(board, &options, &swaps[i]);
    }
    if (rc < 0) {
        return rc;
    }
    primal_blocks(primal->threads, CHAINS, run_swaps, swaps);
    for (int i = 0; i < CHAINS; i++) {
        (void)primal_swaps_best(swaps[i], search->trial);
        consider(search, search->trial);
        search->best.moves += primal_swaps_trials(swaps[i]);
    }
    return 0;
}

static void run_swaps(void *context, int block, int worker)
{
    struct primal_swaps **swaps = context;
    primal_swaps_run(swaps[block], worker == 0);
}

/* Loose parts that need more at one site than at another, and few enough of them to look at all
 * again and again. */
static bool ejects(const struct grid *grid)
{
    size_t cells = grid->parts == 0 ? 0
                                    : grid_first(grid, grid->parts - 1) +
                                          (size_t)grid_cells(grid, grid->parts - 1);
    return grid->links == 0 && grid->cell_demand != NULL && grid->sites > 1 && cells > 0 &&
           cells <= EJECT_CELLS && (double)grid->parts * (double)grid->sites <= EJECT_CELLS;
}

static int eject_round(struct search *search)
{
    struct primal *primal = search->primal;
    double budget = primal->options->moves_max * primal->grid->parts;
    double cells = (double)primal->grid->parts * (double)primal->grid->sites;
    budget = budget > 0 ? budget : fmin(EJECT_WORK, EJECT_TIMES * cells);
    arena_reset(primal->work);
    const int *start = search->best.over < INT64_MAX ? search->best.choice : search->base;
    struct eject *eject;
    int rc =
        eject_create(primal, start, search->best.found ? search->best.cost : INT64_MAX, &eject);
    int idle = 0;
    for (int i = 0; rc == 0 && i < EJECT_MEETS && idle < EJECT_IDLE && !is_done(search); i++) {
        int64_t before = search->best.cost;
        bool found = search->best.found;
        eject_run(eject, budget / EJECT_MEETS, good_cost(primal));
        const int *choice = eject_choice(eject);
        if (choice != NULL) {
            consider(search, choice);
        }
        idle = !found || search->best.cost < before ? 0 : idle + 1;
    }
    search->best.moves += rc == 0 ? eject_work(eject) : 0;
    return rc;
}

static void run_chain(void *context, int block, int worker)
{
    struct primal_chain **chains = context;
    primal_chain_run(chains[block], worker == 0);
}

static bool keeps_all(struct search *search, const int *choice)
{
    grid_load_of(search->primal->grid, choice, search->load);
    return grid_broken(search->primal->grid, search->load, choice) == 0;
}

/* Judged in integers: what keeps all beats what does not, then fewer rows over, then the cost. */
static void consider(struct search *search, const int *choice)
{
    const struct grid *grid = search->primal->grid;
    grid_load_of(grid, choice, search->load);
    int64_t over = grid_broken(grid, search->load, choice);
    int64_t cost = grid_cost_of(grid, choice);
    struct primal_result *best = &search->best;
    if (over < best->over || (over == best->over && cost < best->cost)) {
        best->found = over == 0;
        best->over = over;
        best->cost = cost;
        memcpy(best->choice, choice, (size_t)grid->parts * sizeof(int));
    }
}

/* What need not be improved on: the bound is a rounding error below the optimum it proves. */
static double good_cost(const struct primal *primal)
{
    double gap = fmax(primal->options->gap, PROVEN_GAP);
    double bound = primal->dual->bound;
    return fmax(bound + gap * fabs(bound), ceil(bound)); /* costs are whole numbers */
}

static bool is_done(struct search *search)
{
    struct primal *primal = search->primal;
    const struct primal_result *best = &search->best;
    double cost = best->found ? (double)best->cost : INFINITY;
    tell_progress(search, search->kept.found ? fmin(cost, (double)search->kept.cost) : cost);
    return atomic_load(&primal->stop) || (best->found && (double)best->cost <= good_cost(primal));
}

static void tell_progress(struct search *search, double cost)
{
    struct primal *primal = search->primal;
    int64_t now = clock_mono_now().us;
    if (primal->options->progress == NULL || now - search->spoke_us < SPEAK_US ||
        atomic_load(&primal->stop)) {
        return;
    }
    search->spoke_us = now;
    if (!primal->options->progress(primal->options->context, primal->dual->bound, cost)) {
        atomic_store(&primal->stop, true);
    }
}

/* Parts that may as well be where they are now go back there: ties are won by the present. */
static void go_home(struct search *search)
{
    const struct primal *primal = search->primal;
    const struct grid *grid = primal->grid;
    int *choice = search->best.choice;
    size_t resources = (size_t)grid->resources;
    grid_load_of(grid, choice, search->load);
    for (int part = 0; part < grid->parts && grid->current != NULL; part++) {
        int home = grid->current[part];
        if (home < 0 || home == choice[part] || grid_cost_raw(grid, part, home) == GRID_CLOSED) {
            continue;
        }
        int64_t *from = search->load + (size_t)grid_site(grid, part, choice[part]) * resources;
        size_t row = (size_t)grid_site(grid, part, home) * resources;
        const int32_t *leaves = grid_demand(grid, part, choice[part]);
        const int32_t *needs = grid_demand(grid, part, home);
        bool fits = primal_change(primal, choice, part, home) <= 0;
        for (size_t r = 0; r < resources; r++) {
            int64_t there = search->load[row + r] + needs[r];
            there -= from == search->load + row ? leaves[r] : 0;
            fits = fits && there <= grid->capacity[row + r];
        }
        for (size_t r = 0; r < resources && fits; r++) {
            from[r] -= leaves[r];
            search->load[row + r] += needs[r];
        }
        choice[part] = fits ? home : choice[part];
    }
}

/* What a part's going to a cell changes in the cost, exactly; INT64_MAX: a closed pair. */
static int64_t primal_change(const struct primal *primal, const int *choice, int part, int cell)
{
    const struct grid *grid = primal->grid;
    int64_t change = grid_cost(grid, part, cell) - grid_cost(grid, part, choice[part]);
    for (int k = primal->near_first != NULL ? primal->near_first[part] : 0;
         primal->near_first != NULL && k < primal->near_first[part + 1]; k++) {
        const struct grid_link *link = &grid->link[primal->near[k].link];
        int other = choice[primal->near[k].other];
        bool first = link->a == part;
        uint32_t after =
            first ? grid_link_raw(grid, link, cell, other) : grid_link_raw(grid, link, other, cell);
        uint32_t before = first ? grid_link_raw(grid, link, choice[part], other)
                                : grid_link_raw(grid, link, other, choice[part]);
        if (after == GRID_CLOSED) {
            return INT64_MAX;
        }
        change += link->scale * ((int64_t)after - (int64_t)before);
    }
    return change;
}

int primal_no_memory(const struct primal *primal)
{
    return error_set(primal->err, ERR_NO_MEMORY, 0, "no memory to search %d parts at %d sites",
                     primal->grid->parts, primal->grid->sites);
}

static int prepare(struct primal *primal)
{
    const struct grid *grid = primal->grid;
    size_t sites = (size_t)grid->sites;
    size_t resources = (size_t)grid->resources;
    primal->rows = sites * resources;
    primal->price = arena_array(primal->arena, primal->rows + 1, sizeof(double));
    primal->by_row = arena_array(primal->arena, primal->rows + 1, sizeof(double));
    if (primal->price == NULL || primal->by_row == NULL) {
        return primal_no_memory(primal);
    }
    for (size_t row = 0; row < primal->rows; row++) {
        primal->price[row] = grid->capacity[row] == INT64_MAX ? 0 : primal->dual->price[row];
        primal->by_row[row % resources * sites + row / resources] = primal->price[row];
    }
    double units = 0;
    for (int part = 0; part < grid->parts; part++) {
        const int32_t *demand = grid_demand(grid, part, 0);
        for (size_t r = 0; r < resources; r++) {
            units += (double)demand[r];
        }
    }
    primal->unit = units / ((double)resources * (double)grid->parts + 1) + 1;
    return prepare_apps(primal);
}

/* Prices stay: what each app may as well do is listed once. */
static int prepare_columns(struct primal *primal)
{
    const struct grid *grid = primal->grid;
    struct dual_columns_options options = {
        .wanted = (double)grid->sites * COLUMNS_PER_SITE + primal->apps, .each_max = COLUMNS_MOST};
    return dual_columns_list(grid, primal->price, &options, primal->arena, &primal->columns,
                             primal->err);
}

static int root_of(int *parent, int part)
{
    while (parent[part] != part) {
        parent[part] = parent[parent[part]];
        part = parent[part];
    }
    return part;
}

/* Apps are what links join; each gets its parts and each part its links. */
static int prepare_apps(struct primal *primal)
{
    const struct grid *grid = primal->grid;
    size_t parts = (size_t)grid->parts;
    primal->apps = grid->parts;
    primal->app_most = 1;
    for (int part = 0; part < grid->parts && grid->links == 0; part++) {
        size_t cells = (size_t)grid_cells(grid, part);
        primal->app_cells = cells > primal->app_cells ? cells : primal->app_cells;
    }
    if (grid->links == 0) {
        return 0;
    }
    struct arena *arena = primal->arena;
    int *root = arena_array(arena, parts, sizeof(int));
    primal->app_first = arena_array(arena, parts + 2, sizeof(int));
    primal->app_part = arena_array(arena, parts, sizeof(int));
    primal->place_of = arena_array(arena, parts, sizeof(int));
    primal->near_first = arena_array(arena, parts + 2, sizeof(int));
    primal->near = arena_array(arena, 2 * (size_t)grid->links, sizeof(*primal->near));
    if (root == NULL || primal->app_first == NULL || primal->app_part == NULL ||
        primal->place_of == NULL || primal->near_first == NULL || primal->near == NULL) {
        return primal_no_memory(primal);
    }
    for (int part = 0; part < grid->parts; part++) {
        root[part] = part;
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        int a = root_of(root, link->a);
        int b = root_of(root, link->b);
        root[a > b ? a : b] = a > b ? b : a;
        primal->near_first[link->a + 2]++;
        primal->near_first[link->b + 2]++;
    }
    for (size_t part = 0; part < parts; part++) {
        primal->near_first[part + 2] += primal->near_first[part + 1];
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        primal->near[primal->near_first[link->a + 1]++] =
            (struct primal_near){.other = link->b, .link = i};
        primal->near[primal->near_first[link->b + 1]++] =
            (struct primal_near){.other = link->a, .link = i};
    }
    /* Roots are the lowest of their app: apps are numbered in that order. */
    int *number = primal->place_of;
    primal->apps = 0;
    for (int part = 0; part < grid->parts; part++) {
        number[part] = root_of(root, part) == part ? primal->apps++ : number[root_of(root, part)];
        primal->app_first[number[part] + 2]++;
    }
    for (int app = 0; app < primal->apps; app++) {
        primal->app_first[app + 2] += primal->app_first[app + 1];
    }
    for (int part = 0; part < grid->parts; part++) {
        primal->app_part[primal->app_first[number[part] + 1]++] = part;
    }
    for (int app = 0; app < primal->apps; app++) {
        size_t cells = 0;
        int first = primal->app_first[app];
        int count = primal->app_first[app + 1] - first;
        for (int i = 0; i < count; i++) {
            primal->place_of[primal->app_part[first + i]] = i;
            cells += (size_t)grid_cells(grid, primal->app_part[first + i]);
        }
        primal->app_most = count > primal->app_most ? count : primal->app_most;
        primal->app_cells = cells > primal->app_cells ? cells : primal->app_cells;
    }
    return 0;
}
