#include "model/solve/primal_search.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"

#define SPEAK_US (300 * US_PER_MS)
/* A cost this close to the bound, relative, is the optimum for all that doubles can say. */
#define PROVEN_GAP 1e-9

static int64_t change_of(const struct primal *primal, const int *choice, int part, int cell);

/* Judged in integers: what keeps all beats what does not, then fewer rows over, then the cost. */
void primal_consider(struct primal_search *search, const int *choice)
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

bool primal_keeps_all(struct primal_search *search, const int *choice)
{
    grid_load_of(search->primal->grid, choice, search->load);
    return grid_broken(search->primal->grid, search->load, choice) == 0;
}

/* The better of this descent and the ones before, which wins ties, is the best. */
void primal_keep_better(struct primal_search *search)
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

bool primal_is_done(struct primal_search *search)
{
    struct primal *primal = search->primal;
    const struct primal_result *best = &search->best;
    double cost = best->found ? (double)best->cost : INFINITY;
    primal_tell(search, search->kept.found ? fmin(cost, (double)search->kept.cost) : cost);
    return atomic_load(&primal->stop) ||
           (best->found && (double)best->cost <= primal_good_cost(primal));
}

/* What need not be improved on: the bound is a rounding error below the optimum it proves. */
double primal_good_cost(const struct primal *primal)
{
    double gap = fmax(primal->options->gap, PROVEN_GAP);
    double bound = primal->dual->bound;
    return fmax(bound + gap * fabs(bound), ceil(bound)); /* costs are whole numbers */
}

void primal_tell(struct primal_search *search, double cost)
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
void primal_go_home(struct primal_search *search)
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
        bool fits = change_of(primal, choice, part, home) <= 0;
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
static int64_t change_of(const struct primal *primal, const int *choice, int part, int cell)
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
