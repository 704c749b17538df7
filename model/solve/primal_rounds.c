#include "model/solve/primal_search.h"

#include <math.h>
#include <string.h>

#include "model/solve/primal_eject.h"
#include "model/solve/primal_fill.h"
#include "model/solve/primal_loose.h"

/* Always as many chains, on however many threads. */
#define CHAINS  2
#define HARSHER 8
#define HOT     15
#define COLD    1
/* Moves in the core; measured: fewer starve the chains, more dilute them. */
#define MOVES_PER_SITE    400
#define TRIALS_PER_MOVE   8000
#define TRIALS_LINKED     2e7 /* each costs two to three times as much */
#define TRIALS_USUAL      6e7
#define TRIALS_PER_COLUMN 2000
#define TRIALS_APPS       8e6
/* Loose parts: cells listed per site, and how many sets of moves are listed in all; in slices,
 * after each of which the chains go on from the better one's best. */
#define LOOSE_CELLS  1500
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

static bool tell_filled(void *context, double best);
static void run_loose(void *context, int block, int worker);
static void run_settle(void *context, int block, int worker);
static void run_swaps(void *context, int block, int worker);
static void run_chain(void *context, int block, int worker);

/* Two chains, whatever the number of threads; they meet after each slice. */
int primal_round_loose(struct primal_search *search, int *base, double sets)
{
    struct primal *primal = search->primal;
    struct loose *loose;
    struct loose_task tasks[CHAINS];
    arena_reset(primal->work);
    int rc = loose_create(primal, base, primal->grid->sites * LOOSE_CELLS, &loose);
    for (int i = 0; i < CHAINS && rc == 0; i++) {
        tasks[i].work = sets / CHAINS / LOOSE_SLICES;
        tasks[i].target = primal_good_cost(primal);
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
        primal_tell(search, best);
        if (atomic_load(&primal->stop) || best <= tasks[0].target) {
            break;
        }
    }
    search->best.moves += done;
    if (rc == 0 && best < INFINITY) {
        memcpy(search->trial, base, (size_t)primal->grid->parts * sizeof(int));
        loose_choice(tasks[0].chain, search->trial);
        primal_consider(search, search->trial);
    }
    return rc;
}

/* Where nothing of the columns fits, the best stays what it was. */
int primal_round_fill(struct primal_search *search, double work, bool *ret_found)
{
    struct primal *primal = search->primal;
    struct primal_core core;
    struct primal_board *board;
    arena_reset(primal->work);
    memcpy(search->trial, search->base, (size_t)primal->grid->parts * sizeof(int));
    int rc = primal_core_build(primal, search->trial, primal->grid->sites * MOVES_PER_SITE, &core);
    rc = rc == 0 ? primal_board_create(&core, &board) : rc;
    if (rc < 0) {
        return rc;
    }
    struct primal_fill_pair_options options = {
        .work = work, .target = primal_good_cost(primal), .tell = tell_filled, .context = search};
    rc = primal_fill_pair(board, &options, search->trial, ret_found);
    if (rc == 0 && *ret_found) {
        primal_consider(search, search->trial);
    }
    return rc;
}

static bool tell_filled(void *context, double best)
{
    struct primal_search *search = context;
    double known = search->best.found ? (double)search->best.cost : INFINITY;
    primal_tell(search, fmin(known, best));
    return !atomic_load(&search->primal->stop);
}

static void run_loose(void *context, int block, int worker)
{
    (void)worker;
    const struct loose_task *task = (const struct loose_task *)context + block;
    loose_run(task->chain, task->work, task->target);
}

/* Two orders of the sites, whatever the number of threads. */
int primal_round_settle(struct primal_search *search, int round, int idle)
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
        primal_consider(search, primal_settle_choice(tasks[i].settle));
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

/* Two chains from the same base, whatever the number of threads; the better one wins, the first
 * one on ties. */
int primal_round_anneal(struct primal_search *search, int harsh)
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
            .target = primal_good_cost(primal),
        };
        rc = primal_chain_create(&core, &chain, &chains[i]);
        if (rc < 0) {
            return rc;
        }
    }
    primal_blocks(primal->threads, CHAINS, run_chain, chains);
    for (int i = 0; i < CHAINS; i++) {
        (void)primal_chain_best(chains[i], search->trial);
        primal_consider(search, search->trial);
        search->best.moves += primal_chain_trials(chains[i]);
    }
    return 0;
}

/* The same over whole apps. */
int primal_round_swap(struct primal_search *search, int descent)
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
            .trials = trials / CHAINS / PRIMAL_DESCENTS,
            .hot = HOT,
            .cold = COLD,
            .harsh = 1,
            .target = primal_good_cost(primal),
        };
        rc = primal_swaps_create(board, &options, &swaps[i]);
    }
    if (rc < 0) {
        return rc;
    }
    primal_blocks(primal->threads, CHAINS, run_swaps, swaps);
    for (int i = 0; i < CHAINS; i++) {
        (void)primal_swaps_best(swaps[i], search->trial);
        primal_consider(search, search->trial);
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
bool primal_ejects(const struct grid *grid)
{
    size_t cells = grid->parts == 0 ? 0
                                    : grid_first(grid, grid->parts - 1) +
                                          (size_t)grid_cells(grid, grid->parts - 1);
    return grid->links == 0 && grid->cell_demand != NULL && grid->sites > 1 && cells > 0 &&
           cells <= EJECT_CELLS && (double)grid->parts * (double)grid->sites <= EJECT_CELLS;
}

int primal_round_eject(struct primal_search *search)
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
    for (int i = 0; rc == 0 && i < EJECT_MEETS && idle < EJECT_IDLE && !primal_is_done(search);
         i++) {
        int64_t before = search->best.cost;
        bool found = search->best.found;
        eject_run(eject, budget / EJECT_MEETS, primal_good_cost(primal));
        const int *choice = eject_choice(eject);
        if (choice != NULL) {
            primal_consider(search, choice);
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
