#include "tests/bench/solver/greedy.h"

#include <string.h>

int bench_greedy(const struct grid *grid, struct arena *arena, int *choice)
{
    size_t resources = (size_t)grid->resources;
    int64_t *free_row = arena_array(arena, (size_t)grid->sites * resources, sizeof(int64_t));
    int *first = arena_array(arena, (size_t)grid->parts + 2, sizeof(int));
    int *near = arena_array(arena, (size_t)grid->links + 1, sizeof(int));
    if (free_row == NULL || first == NULL || near == NULL) {
        return -1;
    }
    memcpy(free_row, grid->capacity, (size_t)grid->sites * resources * sizeof(int64_t));
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
    int left = 0;
    for (int part = 0; part < grid->parts; part++) {
        int best = -1;
        int64_t least = INT64_MAX;
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            const int32_t *demand = grid_demand(grid, part, cell);
            const int64_t *room = free_row + (size_t)grid_site(grid, part, cell) * resources;
            bool fits = grid_cost_raw(grid, part, cell) != GRID_CLOSED;
            for (size_t r = 0; r < resources; r++) {
                fits = fits && demand[r] <= room[r];
            }
            if (!fits) {
                continue;
            }
            int64_t cost = grid_cost(grid, part, cell);
            for (int k = first[part]; k < first[part + 1]; k++) {
                const struct grid_link *link = &grid->link[near[k]];
                int a = link->a == part ? cell : choice[link->a];
                int b = link->b == part ? cell : choice[link->b];
                if (a >= 0 && b >= 0) {
                    cost += link->scale * (int64_t)grid_link_raw(grid, link, a, b);
                }
            }
            if (cost < least) {
                least = cost;
                best = cell;
            }
        }
        choice[part] = best;
        left += best < 0;
        for (size_t r = 0; r < resources && best >= 0; r++) {
            free_row[(size_t)grid_site(grid, part, best) * resources + r] -=
                grid_demand(grid, part, best)[r];
        }
    }
    return left;
}
