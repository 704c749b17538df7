/* openb_read against any bytes: nodes and tasks with a 0xff between; what is accepted becomes a
 * grid and can be seated, and the seating breaks no rule. */
#include <stdint.h>
#include <string.h>

#include "tests/bench/solver/openb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct openb *openb, struct arena *arena)
{
    int32_t weight[OPENB_GPU + 1] = {0};
    for (int share = 1; share <= OPENB_GPU; share++) {
        weight[share] = share > OPENB_GPU / 2 ? OPENB_WHOLE : 0;
    }
    BERTH_ASSERT(openb_weights_hold(weight));
    struct openb_terms terms = {.weight = weight, .leave_usd6 = 1000000};
    struct error err = {0};
    struct grid grid;
    if (openb_grid(openb, &terms, arena, &grid, &err) < 0) {
        BERTH_ASSERT(err.text[0] != '\0');
        return;
    }
    BERTH_ASSERT(grid_check(&grid, &err) == 0, "%s", err.text);
    struct openb_seat seat;
    int *each = arena_array(arena, (size_t)openb->tasks + 1, sizeof(int));
    int *site = arena_array(arena, (size_t)openb->tasks + 1, sizeof(int));
    if (each == NULL || site == NULL || openb_seat_init(&seat, openb, arena, &err) < 0 ||
        openb_seat_greedy(&seat, openb->tasks % 2 == 0, arena, &err) < 0) {
        return;
    }
    BERTH_ASSERT(openb_broken(openb, seat.node_of, seat.gpus_of) == 0);
    /* The same again, each task a bundle of its own. */
    struct openb_bundles bundles = {.count = openb->tasks, .first = each, .task = each};
    for (int task = 0; task <= openb->tasks; task++) {
        each[task] = task;
    }
    terms = (struct openb_terms){.bundles = &bundles, .leave_usd6 = 1000000};
    BERTH_ASSERT(openb_grid(openb, &terms, arena, &grid, &err) < 0 || grid_check(&grid, &err) == 0,
                 "%s", err.text);
    for (int task = 0; task < openb->tasks; task++) {
        site[task] = seat.node_of[task] >= 0 ? seat.node_of[task] : openb->nodes;
    }
    if (openb_seat_init(&seat, openb, arena, &err) == 0) {
        (void)openb_seat_bundles(&seat, &bundles, site);
        BERTH_ASSERT(openb_broken(openb, seat.node_of, seat.gpus_of) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size > 0 ? memchr(data, 0xff, size) : NULL;
    size_t nodes = cut != NULL ? (size_t)(cut - data) : size;
    size_t tasks = cut != NULL ? size - nodes - 1 : 0;
    struct arena arena;
    arena_init(&arena, (size_t)64 << 20);
    struct openb openb;
    struct error err = {0};
    const char *text = size > 0 ? (const char *)data : "";
    if (openb_read(text, nodes, text + size - tasks, tasks, &arena, &openb, &err) < 0) {
        BERTH_ASSERT(err.text[0] != '\0');
    } else if (openb.nodes < 64 && openb.tasks < 256) {
        use(&openb, &arena);
    }
    arena_done(&arena);
    return 0;
}
