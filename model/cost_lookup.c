/* Finding what an input says of an app or a workload by its name. */
#include <string.h>

#include "base/str.h"
#include "model/cost_internal.h"

static int workload_of(const struct app *app, const char *name, int likely);

int cost_lookup_build(const struct cost_input *input, struct arena *arena,
                      struct cost_lookup *ret_lookup)
{
    return cost_lookup_names(input, arena, ret_lookup) < 0
               ? ERR_NO_MEMORY
               : cost_lookup_estimates(ret_lookup, arena);
}

int cost_lookup_make(const struct cost_input *input, struct arena *arena,
                     const struct cost_lookup **ret_lookup, struct error *err)
{
    struct cost_lookup *lookup = arena_alloc(arena, sizeof(*lookup));
    if (lookup == NULL || cost_lookup_build(input, arena, lookup) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the names of apps and estimates");
    }
    *ret_lookup = lookup;
    return 0;
}

int cost_lookup_app(const struct cost_lookup *lookup, const char *namespace_, const char *name)
{
    uint64_t slot = hash_str(hash_str(HASH_SEED, namespace_), name);
    for (;; slot++) {
        int app = lookup->slots[slot & (lookup->slot_count - 1)] - 1;
        if (app < 0) {
            return -1;
        }
        const struct app *what = lookup->input->apps[app].app;
        if (str_equal(what->name, name) && str_equal(what->namespace_, namespace_)) {
            return app;
        }
    }
}

const struct estimate *cost_lookup_latest(const struct cost_lookup *lookup, int app, int workload,
                                          enum estimate_kind kind)
{
    const struct estimate *latest = NULL;
    for (int i = lookup->first[lookup->base[app] + workload]; i >= 0; i = lookup->next[i]) {
        const struct estimate *estimate = &lookup->input->estimates.list[i];
        if (estimate->kind == kind && estimate->value > 0 &&
            (latest == NULL || estimate->at_us > latest->at_us)) {
            latest = estimate;
        }
    }
    return latest;
}

int cost_lookup_names(const struct cost_input *input, struct arena *arena,
                      struct cost_lookup *ret_lookup)
{
    size_t slot_count = 16;
    while (slot_count < (size_t)input->app_count * 2) {
        slot_count *= 2;
    }
    int *slots = arena_array(arena, slot_count, sizeof(int));
    int *base = arena_array(arena, (size_t)input->app_count + 1, sizeof(int));
    if (slots == NULL || base == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int app = 0; app < input->app_count; app++) {
        const struct app *what = input->apps[app].app;
        uint64_t slot = hash_str(hash_str(HASH_SEED, what->namespace_), what->name);
        while (slots[slot & (slot_count - 1)] != 0) {
            slot++;
        }
        slots[slot & (slot_count - 1)] = app + 1;
        base[app + 1] = base[app] + what->workload_count;
    }
    *ret_lookup = (struct cost_lookup){
        .input = input, .base = base, .slots = slots, .slot_count = slot_count, .other_first = -1};
    return 0;
}

/* From the end, so that each list is in the order of all. */
int cost_lookup_estimates(struct cost_lookup *lookup, struct arena *arena)
{
    const struct cost_input *input = lookup->input;
    int part_count = lookup->base[input->app_count];
    int *first = arena_array(arena, (size_t)part_count + 1, sizeof(int));
    int *next = arena_array(arena, (size_t)input->estimates.count + 1, sizeof(int));
    if (first == NULL || next == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int part = 0; part < part_count; part++) {
        first[part] = -1;
    }
    for (int i = input->estimates.count - 1, app = -1, workload = -1; i >= 0; i--) {
        const struct estimate *estimate = &input->estimates.list[i];
        if (estimate->workload[0] == '\0') { /* of a path or of a meter */
            next[i] = lookup->other_first;
            lookup->other_first = i;
            continue;
        }
        /* Those of one workload follow each other as a rule. */
        if (app < 0 || !str_equal(input->apps[app].app->name, estimate->app) ||
            !str_equal(input->apps[app].app->namespace_, estimate->namespace_)) {
            app = cost_lookup_app(lookup, estimate->namespace_, estimate->app);
            workload = -1;
        }
        if (app >= 0) {
            workload = workload_of(input->apps[app].app, estimate->workload, workload);
        }
        if (app >= 0 && workload >= 0) {
            int part = lookup->base[app] + workload;
            next[i] = first[part];
            first[part] = i;
        }
    }
    lookup->first = first;
    lookup->next = next;
    return 0;
}

/* Its index, or -1; likely the one that was asked for before. */
static int workload_of(const struct app *app, const char *name, int likely)
{
    if (likely >= 0 && str_equal(app->workloads[likely].name, name)) {
        return likely;
    }
    for (int i = 0; i < app->workload_count; i++) {
        if (str_equal(app->workloads[i].name, name)) {
            return i;
        }
    }
    return -1;
}
