#include "model/solve/primal.h"

#include <math.h>
#include <string.h>

#include "model/solve/primal_search.h"

/* Sites are settled again so often: what a round costs goes with the cells. */
#define SETTLES_MOST  400
#define SETTLES_LEAST 4
#define SETTLE_CELLS  4e8
#define SETTLE_MOVES  8000
#define IDLE_MOST     80
/* The same where moves are read from lists: rounds of all descents, and of each. */
#define LISTED_SETTLES_MOST 800
#define LISTED_IDLE_MOST    50
/* What is looked at to fill sites with columns of whole apps, where there are so many at least: few
 * are searched as well by the rest in less time. */
#define FILL_WORK    2e8
#define FILL_COLUMNS 10000
/* Parts of a site below which annealing is worth its time. */
#define FEW_PARTS  100
#define FEW_LOOSE  20 /* the same without links, where sites are closed by all cheap sets */
#define LOOSE_SETS 2.5e8

static int check_options(const struct primal_options *options, struct error *err);
static int search_begin(struct primal_search *search);
static int search_rounds(struct primal_search *search);
static int search_all_loose(struct primal_search *search);
static int settle_rounds(struct primal_search *search, int *round, int rounds, int idle_most);
static int descend_again(struct primal_search *search, int rounds);

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
    struct primal_search search = {.primal = &primal};
    search.best.choice = arena_alloc_raw(&work, ((size_t)grid->parts + 1) * sizeof(int));
    rc = search.best.choice == NULL ? primal_no_memory(&primal) : primal_prepare(&primal);
    rc = rc == 0 ? search_begin(&search) : rc;
    round.fail_after = work.fail_after;
    primal.work = &round;
    rc = rc == 0 ? search_rounds(&search) : rc;
    arena->fail_after = round.fail_after;
    if (rc == 0) {
        if (search.best.found) {
            primal_go_home(&search);
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

/* First from the cheapest cells. Of linked apps whose columns are listed sites are filled with
 * those. Else, or where nothing of them fits: where sites hold few parts, or links join them,
 * annealing finds more than settling does; then groups of sites are settled again around the best.
 */
static int search_rounds(struct primal_search *search)
{
    struct primal *primal = search->primal;
    const struct grid *grid = primal->grid;
    if (!primal->dual->possible || search->fitted || primal_is_done(search)) {
        return 0;
    }
    if (primal_ejects(grid)) {
        int rc = primal_round_settle(search, 0, 0);
        return rc == 0 && !primal_is_done(search) ? primal_round_eject(search) : rc;
    }
    if (grid->links == 0) {
        return search_all_loose(search);
    }
    int rc = primal_prepare_columns(primal);
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
    rc = primal_round_settle(search, 0, 0);
    bool few = grid->parts / grid->sites < FEW_PARTS;
    if (primal->columns.apps > 0 && primal->columns.first[primal->columns.apps] >= FILL_COLUMNS &&
        rc == 0 && !primal_is_done(search)) {
        bool filled = false;
        rc = primal_round_fill(search, budget > 0 ? budget : FILL_WORK, &filled);
        if (filled) {
            return rc; /* nothing below finds better than that */
        }
    }
    if (primal->columns.apps > 0 && (few || !search->best.found) && rc == 0 &&
        !primal_is_done(search)) {
        rc = primal_round_swap(search, 0);
    }
    if (!search->best.found) {
        primal->columns.apps = 0; /* the prices say too little: nothing near them fits */
    }
    few = primal->columns.apps == 0 && (few || grid->links > 0);
    for (int harsh = 0; rc == 0 && harsh < 3 && !primal_is_done(search); harsh++) {
        if ((few && harsh == 0) || !search->best.found) {
            rc = primal_round_anneal(search, harsh);
        }
    }
    if (primal->columns.apps > 0) {
        return rc == 0 ? descend_again(search, rounds) : rc;
    }
    int round = 1;
    return rc == 0 ? settle_rounds(search, &round, rounds, IDLE_MOST) : rc;
}

/* Goes on around the best until nothing has been won for a while. */
static int settle_rounds(struct primal_search *search, int *round, int rounds, int idle_most)
{
    const struct grid *grid = search->primal->grid;
    int rc = 0;
    for (int idle = 0; *round <= rounds && idle < idle_most && rc == 0 && search->best.found &&
                       !primal_is_done(search);
         ++*round) {
        int64_t before = search->best.cost;
        memcpy(search->base, search->best.choice, (size_t)grid->parts * sizeof(int));
        rc = primal_round_settle(search, *round, idle);
        idle = search->best.cost < before ? 0 : idle + 1;
    }
    return rc;
}

/* Where a round costs little, others are begun from the cheapest cells, in other orders: where one
 * descent ends is chance. */
static int descend_again(struct primal_search *search, int rounds)
{
    struct primal *primal = search->primal;
    const struct grid *grid = primal->grid;
    int *spare = arena_alloc_raw(primal->arena, ((size_t)grid->parts + 1) * sizeof(int));
    if (spare == NULL) {
        return primal_no_memory(primal);
    }
    int round = 1;
    int rc = settle_rounds(search, &round, rounds, LISTED_IDLE_MOST);
    for (int i = 1; i < PRIMAL_DESCENTS && round <= rounds && rc == 0 && !primal_is_done(search);
         i++) {
        search->kept = search->best;
        search->best =
            (struct primal_result){.over = INT64_MAX, .choice = spare, .moves = search->kept.moves};
        arena_reset(primal->work);
        rc = primal_cheapest(primal, search->base);
        /* All sites take part in the first round. */
        rc = rc == 0 ? primal_round_settle(search, round, 4 - round % 4) : rc;
        round++;
        if (rc == 0 && grid->parts / grid->sites < FEW_PARTS && !primal_is_done(search)) {
            rc = primal_round_swap(search, i);
        }
        rc = rc == 0 ? settle_rounds(search, &round, rounds, LISTED_IDLE_MOST) : rc;
        primal_keep_better(search);
        spare = search->kept.choice;
    }
    return rc;
}

/* From the cheapest cells; where a start is better than what comes of those, from there as well.
 * Of few parts at full sites annealing may find more, or all that keeps the rules. */
static int search_all_loose(struct primal_search *search)
{
    struct primal *primal = search->primal;
    double sets = LOOSE_SETS;
    if (primal->options->moves_max > 0) {
        sets = primal->options->moves_max * primal->grid->parts;
    }
    int64_t start = search->best.found ? search->best.cost : INT64_MAX;
    int rc = primal_round_loose(search, search->base, start < INT64_MAX ? sets / 2 : sets);
    bool elsewhere = search->best.cost == start;
    bool few = primal->grid->parts / primal->grid->sites < FEW_LOOSE;
    for (int harsh = 0; rc == 0 && harsh < 3 && !primal_is_done(search); harsh++) {
        if (!search->best.found || (few && harsh == 0)) {
            int64_t before = search->best.found ? search->best.cost : INT64_MAX;
            rc = primal_round_anneal(search, harsh);
            elsewhere = elsewhere || search->best.cost < before;
        }
    }
    if (rc == 0 && search->best.found && elsewhere && !primal_is_done(search)) {
        memcpy(search->base, search->best.choice, (size_t)primal->grid->parts * sizeof(int));
        rc = primal_round_loose(search, search->base, sets / 2);
    }
    return rc;
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
static int search_begin(struct primal_search *search)
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
        if (whole && primal_keeps_all(search, starts[i])) {
            primal_consider(search, starts[i]);
        }
    }
    if (!primal->dual->possible) {
        return 0;
    }
    int rc = primal_cheapest(primal, search->base);
    if (rc == 0) {
        primal_consider(search, search->base);
        rc = primal_is_done(search) ? 0 : primal_apps_fit(primal, search->base, &search->fitted);
    }
    if (rc == 0) {
        primal_consider(search, search->base);
    }
    return rc;
}
