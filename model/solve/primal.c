#include "model/solve/primal.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/solve/primal_internal.h"

double param[16]={3,30,400,15,1.0,1,1,1,1,4};

static int prepare(struct primal *primal);
static int prepare_apps(struct primal *primal);

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

static int no_memory(const struct primal *primal)
{
    return error_set(primal->err, ERR_NO_MEMORY, 0, "no memory to search %d parts at %d sites",
                     primal->grid->parts, primal->grid->sites);
}

static void run_chain(void *context, int block, int worker)
{
    (void)worker;
    struct primal_chain **chains = context;
    primal_chain_run(chains[block]);
}

int primal_solve(const struct grid *grid, const struct dual_result *dual,
                 const struct primal_options *options, struct arena *arena,
                 struct primal_result *ret_result, struct error *err)
{
    struct primal primal = {
        .grid = grid, .dual = dual, .options = options, .arena = arena, .err = err};
    primal.threads = options->threads > 1 ? PRIMAL_THREADS : 1;
    for (int i = 0; i < 16; i++) { char n[8]; snprintf(n, 8, "P%d", i); if (getenv(n)) param[i] = strtod(getenv(n), NULL); }
    int rc = prepare(&primal);
    struct primal_result result = {0};
    size_t bytes = ((size_t)grid->parts + 1) * sizeof(int);
    int *choice = arena_alloc_raw(arena, bytes);
    int *trial = arena_alloc_raw(arena, bytes);
    int64_t *load = arena_array(arena, primal.rows + 1, sizeof(int64_t));
    result.choice = arena_alloc_raw(arena, bytes);
    if (rc < 0) {
        return rc;
    }
    if (choice == NULL || trial == NULL || result.choice == NULL || load == NULL) {
        return no_memory(&primal);
    }
    rc = primal_cheapest(&primal, choice);
    int rounds = (int)param[5];
    for (int round = 0; round < rounds && rc == 0; round++) {
        struct primal_core core;
        rc = primal_core_build(&primal, choice, (int)param[2] * grid->sites, &core);
        if (rc < 0) {
            return rc;
        }
        double trials = options->moves_max > 0 ? options->moves_max * grid->parts : 4e7;
        struct primal_chain *chains[2];
        for (int i = 0; i < 2; i++) {
            struct primal_chain_options o = {
                .seed = options->seed + (uint64_t)(round * 2 + i),
                .trials = trials / rounds / 2,
                .hot = param[3] * (round == 0 ? 1 : param[6]),
                .cold = param[4],
                .target = dual->bound + options->gap * fabs(dual->bound)};
            rc = primal_chain_create(&core, &o, &chains[i]);
            if (rc < 0) {
                return rc;
            }
        }
        primal_blocks(primal.threads, 2, run_chain, chains);
        for (int i = 0; i < 2; i++) {
            bool found = primal_chain_best(chains[i], trial);
            int64_t cost = grid_cost_of(grid, trial);
            grid_load_of(grid, trial, load);
            int64_t broken = grid_broken(grid, load, trial);
            double yy=0; for (size_t q=0;q<primal.rows;q++) yy+=primal.price[q]*(double)(grid->capacity[q]-load[q]);
            fprintf(stderr, "slack share %.3g ", yy/fabs(dual->bound));
            fprintf(stderr, "  round %d chain %d core %d parts %d moves found %d cost %.0f gap %.3g broken %ld\n",
                    round, i, core.parts, core.moves, found, (double)cost,
                    ((double)cost - dual->bound) / fabs(dual->bound), (long)broken);
            if (found && broken == 0 && (!result.found || cost < result.cost)) {
                result.found = true;
                result.cost = cost;
                memcpy(result.choice, trial, bytes);
            }
            result.moves += primal_chain_trials(chains[i]);
        }
        if (result.found && rounds > 1) {
            memcpy(choice, result.choice, bytes);
        }
    }
    *ret_result = result;
    return rc;
}

static int prepare(struct primal *primal)
{
    const struct grid *grid = primal->grid;
    size_t sites = (size_t)grid->sites;
    size_t resources = (size_t)grid->resources;
    primal->rows = sites * resources;
    primal->price = arena_array(primal->arena, primal->rows + 1, sizeof(double));
    primal->by_row = arena_array(primal->arena, primal->rows + 1, sizeof(double));
    primal->heavy = arena_array(primal->arena, primal->rows + 1, sizeof(double));
    if (primal->price == NULL || primal->by_row == NULL || primal->heavy == NULL) {
        return no_memory(primal);
    }
    for (size_t r = 0; r < resources; r++) {
        double mean = 0;
        for (size_t s = 0; s < sites; s++) {
            size_t row = s * resources + r;
            primal->price[row] =
                grid->capacity[row] == INT64_MAX ? 0 : primal->dual->price[row];
            primal->by_row[r * sites + s] = primal->price[row];
            mean += primal->price[row] / (double)sites;
        }
        for (size_t s = 0; s < sites; s++) {
            size_t row = s * resources + r;
            primal->heavy[row] = param[7] * fmax(mean / 4, primal->price[row]);
        }
    }
    return prepare_apps(primal);
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
        return no_memory(primal);
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
