#include "model/solve/primal_search.h"

#include <pthread.h>
#include <string.h>

/* Columns of apps that are listed, beside one of each app; measured likewise. */
#define COLUMNS_PER_SITE 1500
#define COLUMNS_MOST     400

struct team {
    void (*fn)(void *context, int block, int worker);
    void *context;
    int blocks;
    int workers;
    int worker;
};

static int prepare_apps(struct primal *primal);
static int root_of(int *parent, int part);
static void *team_run(void *argument);

int primal_no_memory(const struct primal *primal)
{
    return error_set(primal->err, ERR_NO_MEMORY, 0, "no memory to search %d parts at %d sites",
                     primal->grid->parts, primal->grid->sites);
}

int primal_prepare(struct primal *primal)
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
int primal_prepare_columns(struct primal *primal)
{
    const struct grid *grid = primal->grid;
    struct dual_columns_options options = {
        .wanted = (double)grid->sites * COLUMNS_PER_SITE + primal->apps, .each_max = COLUMNS_MOST};
    return dual_columns_list(grid, primal->price, &options, primal->arena, &primal->columns,
                             primal->err);
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

static int root_of(int *parent, int part)
{
    while (parent[part] != part) {
        parent[part] = parent[parent[part]];
        part = parent[part];
    }
    return part;
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

static void *team_run(void *argument)
{
    const struct team *team = argument;
    for (int block = team->worker; block < team->blocks; block += team->workers) {
        team->fn(team->context, block, team->worker);
    }
    return NULL;
}
