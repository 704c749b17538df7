#include "tests/bench/solver/greedy.h"

static bool backward_links(const struct grid *grid, struct arena *arena, int **ret_first,
                           int **ret_near);
static int best_cell(const struct grid *grid, int part, const int64_t *room, const int *near,
                     int near_count, const int *choice);

int bench_greedy(const struct grid *grid, struct arena *arena, int *choice)
{
    size_t resources = (size_t)grid->resources;
    size_t rows = (size_t)grid->sites * resources;
    int64_t *room = arena_array(arena, rows + 1, sizeof(int64_t));
    int *first;
    int *near;
    if (room == NULL || !backward_links(grid, arena, &first, &near)) {
        return -1;
    }
    for (size_t row = 0; row < rows; row++) {
        room[row] = grid->capacity[row];
    }
    int left = 0;
    for (int part = 0; part < grid->parts; part++) {
        int best =
            best_cell(grid, part, room, near + first[part], first[part + 1] - first[part], choice);
        choice[part] = best;
        left += best < 0;
        for (size_t r = 0; r < resources && best >= 0; r++) {
            int64_t *row = &room[(size_t)grid_site(grid, part, best) * resources + r];
            *row -= *row == INT64_MAX ? 0 : grid_demand(grid, part, best)[r];
        }
    }
    return left;
}

/* Per part its links to parts before it. */
static bool backward_links(const struct grid *grid, struct arena *arena, int **ret_first,
                           int **ret_near)
{
    int *first = arena_array(arena, (size_t)grid->parts + 2, sizeof(int));
    int *near = arena_array(arena, (size_t)grid->links + 1, sizeof(int));
    if (first == NULL || near == NULL) {
        return false;
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        first[(link->a > link->b ? link->a : link->b) + 2]++;
    }
    for (int part = 0; part < grid->parts; part++) {
        first[part + 2] += first[part + 1];
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        near[first[(link->a > link->b ? link->a : link->b) + 1]++] = i;
    }
    *ret_first = first;
    *ret_near = near;
    return true;
}

static int best_cell(const struct grid *grid, int part, const int64_t *room, const int *near,
                     int near_count, const int *choice)
{
    int best = -1;
    int64_t least = INT64_MAX;
    for (int cell = 0; cell < grid_cells(grid, part); cell++) {
        const int32_t *demand = grid_demand(grid, part, cell);
        const int64_t *here = room + (size_t)grid_site(grid, part, cell) * (size_t)grid->resources;
        bool fits = grid_cost_raw(grid, part, cell) != GRID_CLOSED;
        for (int r = 0; r < grid->resources; r++) {
            fits = fits && demand[r] <= here[r];
        }
        int64_t cost = fits ? grid_cost(grid, part, cell) : 0;
        for (int k = 0; fits && k < near_count; k++) {
            const struct grid_link *link = &grid->link[near[k]];
            int a = link->a == part ? cell : choice[link->a];
            int b = link->b == part ? cell : choice[link->b];
            uint32_t value = a >= 0 && b >= 0 ? grid_link_raw(grid, link, a, b) : 0;
            fits = value != GRID_CLOSED;
            cost += link->base + link->scale * (int64_t)value;
        }
        if (fits && cost < least) {
            least = cost;
            best = cell;
        }
    }
    return best;
}
