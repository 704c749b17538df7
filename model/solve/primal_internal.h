/*
 * primal_internal: the core of a grid that primal.h searches. Included by model/solve/primal*.c
 * only.
 *
 * At the dual's prices most parts have one cell that is far cheaper than their others; what has to
 * be decided are the few thousand changes that cost next to nothing. The core lists them: its size
 * goes with the sites, not with the parts, so that a million parts are searched in a cache's worth
 * of memory. A move changes one part, or several linked ones (the answer of an app to a change),
 * and is listed with what it costs from the base; in any other state its cost is computed anew.
 */
#pragma once

#include <stdatomic.h>

#include "model/solve/dual_columns.h"
#include "model/solve/primal.h"

#define PRIMAL_THREADS 2

/* Where a part may be; w is cost + price * demand of its own, above the same at its base. */
struct primal_place {
    double w;
    int cell;
    int site;
    int32_t demand[LIMIT_RESOURCES];
};

struct primal_step {
    int active;
    struct primal_place to;
};

struct primal_move {
    double rise; /* of w and links, from the base */
    int first;   /* step */
    int count;
};

struct primal_near {
    int other;
    int link;
};

/* Moves by site, in each list the ones that rise least first. */
struct primal_index {
    int *first; /* [site + 1] */
    int *move;
};

/* The problem and what is derived from it once. */
struct primal {
    const struct grid *grid;
    const struct dual_result *dual;
    const struct primal_options *options;
    struct arena *arena; /* what lives as long as the search */
    struct arena *work;  /* what one round needs */
    struct error *err;
    int threads; /* 1 to PRIMAL_THREADS */
    size_t rows;
    double *price;  /* [row]; 0 where there is no limit */
    double *by_row; /* [r * sites + site] the same, for sweeps */
    double unit;    /* mean demand of a part, over all resources */
    int apps;
    int *app_first;           /* [app + 1]; NULL without links: every part is its own app */
    int *app_part;            /* the apps' parts, one app after the other */
    int app_most;             /* parts of one app */
    size_t app_cells;         /* cells of one app */
    int *place_of;            /* [part] its place in its app */
    int *near_first;          /* [part + 1] */
    struct primal_near *near; /* other: a part of the grid */
    /* What each app may as well do, at the prices; apps 0: without links, or they are too wide. */
    struct dual_columns columns;
    _Atomic bool stop; /* the caller wants no more */
};

struct primal_core {
    struct primal *primal;
    const int *choice; /* [part] the base */
    int64_t cost;      /* of the base */
    int parts;         /* active */
    int *part;         /* [active] */
    int *group;        /* [active] parts of one app have one */
    struct primal_place *base;
    int *near_first;          /* [active + 1]; NULL without links */
    struct primal_near *near; /* other: active */
    int moves;                /* in order of rise */
    struct primal_move *move;
    struct primal_step *step;
    int steps_most; /* of one move */
    struct primal_index out;
    struct primal_index in;
    int64_t *slack; /* [row] capacity - load of the base */
    double idle;    /* the price of that */
    double charge;  /* penalty of a row over capacity: what a part's room costs, about */
    double *heavy;  /* [row] penalty of each unit over */
};

int primal_no_memory(const struct primal *primal);
/* Fills choice[] with the cheapest cells at the dual's prices, app by app. */
int primal_cheapest(struct primal *primal, int *choice) WARN_UNUSED;
/* Where apps are dear to add up (dual_cells.h): anneals by placing whole apps one after the other.
 * *ret_done: choice[] is the best that was found and keeps all; else it is left. */
int primal_apps_fit(struct primal *primal, int *choice, bool *ret_done) WARN_UNUSED;
/* The core around `choice` of about `moves` moves. */
int primal_core_build(struct primal *primal, int *choice, int moves,
                      struct primal_core *ret_core) WARN_UNUSED;
/* fn(context, block, worker) for each block, worker w of n taking blocks w, w + n, ... */
void primal_blocks(int threads, int blocks, void (*fn)(void *context, int block, int worker),
                   void *context);

/* One annealing run over a core. */
struct primal_chain;

struct settle;

/* Closes one site after the other: of the moves that touch it and none that is closed already, the
 * four at most that fill it best are found by matching pairs, while sites still open pay and are
 * paid at the prices. Exact but for the last few sites; what is reached need not keep all. */
int primal_settle_create(const struct primal_core *core, struct settle **ret_settle) WARN_UNUSED;
/* The order of the sites by their prices for seed 0, else at random; `open` of the priced ones take
 * part, and all without a price. */
void primal_settle_run(struct settle *settle, uint64_t seed, int open);
const int *primal_settle_choice(const struct settle *settle); /* [part] */

struct primal_chain_options {
    uint64_t seed;
    double trials;
    double hot;    /* moves per site that the first temperature would leave open */
    double cold;   /* and the last one */
    double harsh;  /* factor on the penalties */
    double target; /* a cost that need not be improved on */
};

/* Takes all memory that the run needs: an arena is for one thread. */
int primal_chain_create(const struct primal_core *core, const struct primal_chain_options *options,
                        struct primal_chain **ret_chain) WARN_UNUSED;
/* `speaks`: in the caller's thread, where the progress function is called. */
void primal_chain_run(struct primal_chain *chain, bool speaks);
/* The cheapest assignment met that keeps all is put over the core's choice[]; false: there was
 * none, and it is what the chain ended with. */
bool primal_chain_best(const struct primal_chain *chain, int *choice);
double primal_chain_trials(const struct primal_chain *chain);

/* Annealing over whole apps: each is at one of its columns. The board is what does not change while
 * chains run over it. Start from the core's choice, or, where an app's is not among its columns,
 * from the cheapest of them. */
struct primal_board;
struct primal_swaps;
int primal_board_create(const struct primal_core *core,
                        struct primal_board **ret_board) WARN_UNUSED;
int primal_swaps_create(const struct primal_board *board,
                        const struct primal_chain_options *options,
                        struct primal_swaps **ret_swaps) WARN_UNUSED;
void primal_swaps_run(struct primal_swaps *swaps, bool speaks);
/* As primal_chain_best. */
bool primal_swaps_best(const struct primal_swaps *swaps, int *choice);
double primal_swaps_trials(const struct primal_swaps *swaps);

/* Cost at the prices, without links; closed cells: INFINITY. */
double primal_weight(const struct primal *primal, int part, int cell);
/* The same of all cells of a part, in one sweep. */
void primal_weigh(const struct primal *primal, int part, double *w);

/* All but w. */
static inline void primal_place_at(const struct grid *grid, int part, int cell,
                                   struct primal_place *place)
{
    const int32_t *demand = grid_demand(grid, part, cell);
    place->cell = cell;
    place->site = grid_site(grid, part, cell);
    for (int r = 0; r < grid->resources; r++) {
        place->demand[r] = demand[r];
    }
}

/* What one link costs; closed pairs count in *closed. */
static inline double primal_link_cost(const struct grid *grid, const struct grid_link *link,
                                      int cell_a, int cell_b, int *closed)
{
    uint32_t value = grid_link_raw(grid, link, cell_a, cell_b);
    *closed += value == GRID_CLOSED;
    return (double)link->base + (double)link->scale * (double)value;
}
