/* What annealing over whole apps needs and does not change. */
#include "model/solve/primal_board.h"

#include <stdlib.h>
#include <string.h>

static int count_apps(struct primal_board *board, int *ret_columns, int *ret_touches);
static void board_fill(struct primal_board *board);
static int board_touch(struct primal_board *board, int app, const int *cell, const int *zero,
                       int touch);
static void board_start(struct primal_board *board);
static int board_index(struct primal_board *board, bool more, struct primal_index *index);
static int by_excess(const void *a, const void *b);

int primal_board_create(const struct primal_core *core, struct primal_board **ret_board)
{
    const struct primal *primal = core->primal;
    struct arena *arena = primal->work;
    size_t padded = (size_t)primal->grid->sites * LIMIT_RESOURCES + 1;
    struct primal_board *board = arena_alloc(arena, sizeof(*board));
    if (board == NULL) {
        return primal_no_memory(primal);
    }
    board->core = core;
    int columns = 0;
    int touches = 0;
    int rc = count_apps(board, &columns, &touches);
    if (rc < 0) {
        return rc;
    }
    board->first = arena_array(arena, (size_t)board->apps + 1, sizeof(int));
    board->start = arena_array(arena, (size_t)board->apps + 1, sizeof(int));
    board->column = arena_array(arena, (size_t)columns + 1, sizeof(*board->column));
    board->change = arena_array(arena, (size_t)columns + 1, sizeof(*board->change));
    board->touch = arena_array(arena, (size_t)touches + 1, sizeof(*board->touch));
    board->choice =
        arena_copy(arena, core->choice, ((size_t)primal->grid->parts + 1) * sizeof(int));
    board->slack = arena_array(arena, padded, sizeof(double));
    board->price = arena_array(arena, padded, sizeof(double));
    board->heavy = arena_array(arena, padded, sizeof(double));
    if (board->first == NULL || board->start == NULL || board->column == NULL ||
        board->change == NULL || board->touch == NULL || board->choice == NULL ||
        board->slack == NULL || board->price == NULL || board->heavy == NULL) {
        return primal_no_memory(primal);
    }
    board_fill(board);
    board_start(board);
    rc = board_index(board, true, &board->more);
    rc = rc == 0 ? board_index(board, false, &board->less) : rc;
    *ret_board = board;
    return rc;
}

void primal_board_choice(const struct primal_board *board, const int *at, int *choice)
{
    const struct primal *primal = board->core->primal;
    const struct dual_columns *columns = &primal->columns;
    memcpy(choice, board->choice, (size_t)primal->grid->parts * sizeof(int));
    for (int i = 0; i < board->apps; i++) {
        int app = board->app[i];
        const int *cell =
            columns->cell + columns->cell_at[columns->first[app] + at[i] - board->first[i]];
        for (int k = primal->app_first[app]; k < primal->app_first[app + 1]; k++) {
            choice[primal->app_part[k]] = cell[k - primal->app_first[app]];
        }
    }
}

static int count_apps(struct primal_board *board, int *ret_columns, int *ret_touches)
{
    const struct primal *primal = board->core->primal;
    const struct dual_columns *columns = &primal->columns;
    board->app = arena_array(primal->work, (size_t)columns->apps + 1, sizeof(int));
    if (board->app == NULL) {
        return primal_no_memory(primal);
    }
    size_t touches = 0;
    for (int app = 0; app < columns->apps; app++) {
        int count = columns->first[app + 1] - columns->first[app];
        if (count > 1) {
            board->app[board->apps++] = app;
            *ret_columns += count;
            /* Each part that differs leaves a site and reaches another. */
            const int *zero = columns->cell + columns->cell_at[columns->first[app]];
            int parts = primal->app_first[app + 1] - primal->app_first[app];
            for (int i = columns->first[app] + 1; i < columns->first[app + 1]; i++) {
                const int *cell = columns->cell + columns->cell_at[i];
                for (int k = 0; k < parts; k++) {
                    touches += cell[k] != zero[k] ? 2 : 0;
                }
            }
        }
    }
    if (touches > INT32_MAX / 2) {
        return primal_no_memory(primal);
    }
    *ret_touches = (int)touches;
    return 0;
}

static void board_fill(struct primal_board *board)
{
    const struct primal *primal = board->core->primal;
    const struct dual_columns *columns = &primal->columns;
    int column = 0;
    int touch = 0;
    for (int i = 0; i < board->apps; i++) {
        int app = board->app[i];
        const int *part = primal->app_part + primal->app_first[app];
        int parts = primal->app_first[app + 1] - primal->app_first[app];
        const int *zero = columns->cell + columns->cell_at[columns->first[app]];
        board->first[i] = column;
        board->start[i] = column;
        for (int k = columns->first[app]; k < columns->first[app + 1]; k++) {
            const int *cell = columns->cell + columns->cell_at[k];
            int end = board_touch(board, i, cell, zero, touch);
            board->column[column] = (struct primal_column){
                .excess = columns->excess[k], .app = i, .touch = touch, .touches = end - touch};
            touch = end;
            bool base = true;
            for (int m = 0; m < parts && base; m++) {
                base = cell[m] == board->core->choice[part[m]];
            }
            board->start[i] = base ? column : board->start[i];
            if (column > board->first[i]) {
                board->change[board->changes++] =
                    (struct primal_ranked){.excess = columns->excess[k], .column = column};
            }
            column++;
        }
        const int *at = columns->cell +
                        columns->cell_at[columns->first[app] + board->start[i] - board->first[i]];
        for (int m = 0; m < parts; m++) {
            board->choice[part[m]] = at[m];
        }
    }
    board->first[board->apps] = column;
    qsort(board->change, (size_t)board->changes, sizeof(*board->change), by_excess);
}

/* Adds what each site gains and loses against the app's first column; returns the touches' end. */
static int board_touch(struct primal_board *board, int app, const int *cell, const int *zero,
                       int touch)
{
    const struct primal *primal = board->core->primal;
    const struct grid *grid = primal->grid;
    const int *part = primal->app_part + primal->app_first[board->app[app]];
    int parts = primal->app_first[board->app[app] + 1] - primal->app_first[board->app[app]];
    int end = touch;
    for (int k = 0; k < parts; k++) {
        for (int side = 0; side < 2 && cell[k] != zero[k]; side++) {
            int at = side == 0 ? zero[k] : cell[k];
            int site = grid_site(grid, part[k], at);
            const int32_t *demand = grid_demand(grid, part[k], at);
            int place = touch;
            while (place < end && board->touch[place].site < site) {
                place++;
            }
            if (place == end || board->touch[place].site != site) {
                memmove(&board->touch[place + 1], &board->touch[place],
                        (size_t)(end - place) * sizeof(struct primal_touch));
                board->touch[place] = (struct primal_touch){.site = site};
                end++;
            }
            for (int r = 0; r < grid->resources; r++) {
                board->touch[place].demand[r] += side == 0 ? -demand[r] : demand[r];
            }
        }
    }
    return end;
}

static void board_start(struct primal_board *board)
{
    const struct primal_core *core = board->core;
    const struct primal *primal = core->primal;
    const struct grid *grid = primal->grid;
    double offset = (double)grid_cost_of(grid, board->choice);
    for (int i = 0; i < board->apps; i++) {
        offset -= board->column[board->start[i]].excess;
    }
    for (int part = 0; part < grid->parts; part++) {
        const int32_t *demand = grid_demand(grid, part, board->choice[part]);
        int site = grid_site(grid, part, board->choice[part]);
        for (int r = 0; r < grid->resources; r++) {
            board->slack[site * LIMIT_RESOURCES + r] -= (double)demand[r];
        }
    }
    for (int site = 0; site < grid->sites; site++) {
        for (int r = 0; r < grid->resources; r++) {
            size_t row = (size_t)site * (size_t)grid->resources + (size_t)r;
            size_t at = (size_t)site * LIMIT_RESOURCES + (size_t)r;
            board->slack[at] += (double)grid->capacity[row];
            board->price[at] = primal->price[row];
            board->heavy[at] = core->heavy[row];
            offset -= board->price[at] * board->slack[at];
        }
    }
    board->offset = offset;
}

/* The changes by the sites where they take more, or less, in order of their excess. */
static int board_index(struct primal_board *board, bool more, struct primal_index *index)
{
    const struct primal *primal = board->core->primal;
    int sites = primal->grid->sites;
    index->first = arena_array(primal->work, (size_t)sites + 2, sizeof(int));
    if (index->first == NULL) {
        return primal_no_memory(primal);
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < board->changes; i++) {
            const struct primal_column *column = &board->column[board->change[i].column];
            for (int k = 0; k < column->touches; k++) {
                const struct primal_touch *touch = &board->touch[column->touch + k];
                bool any = false;
                for (int r = 0; r < LIMIT_RESOURCES; r++) {
                    any = any || (more ? touch->demand[r] > 0 : touch->demand[r] < 0);
                }
                if (any && pass == 0) {
                    index->first[touch->site + 2]++;
                } else if (any) {
                    index->move[index->first[touch->site + 1]++] = board->change[i].column;
                }
            }
        }
        for (int site = 0; site < sites && pass == 0; site++) {
            index->first[site + 2] += index->first[site + 1];
        }
        if (pass == 0) {
            index->move =
                arena_array(primal->work, (size_t)index->first[sites + 1] + 1, sizeof(int));
            if (index->move == NULL) {
                return primal_no_memory(primal);
            }
        }
    }
    return 0;
}

static int by_excess(const void *a, const void *b)
{
    const struct primal_ranked *x = a;
    const struct primal_ranked *y = b;
    if (x->excess != y->excess) {
        return x->excess < y->excess ? -1 : 1;
    }
    return (x->column > y->column) - (x->column < y->column);
}
