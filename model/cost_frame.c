/* A cost_frame: what names, positions, tags and rules of the documents say, whatever is measured.
 */
#include <string.h>

#include "base/str.h"
#include "model/cost_internal.h"

#define FRAME_BYTES ((size_t)1 << 30)

static int list_parts(struct cost_frame *frame, const struct cost_input *input,
                      struct arena *arena);
static void find_family(struct cost_frame *frame, const struct app *app, int part);
static int find_open(struct cost_frame *frame, const struct cost_input *input, int part,
                     struct arena *arena);
static int list_links(struct cost_frame *frame, const struct cost_input *input, struct arena *arena,
                      struct error *err);
static int far_of(const struct world *world, struct arena *arena, struct cost_paths *paths);
static int list_ways(const struct world *world, struct arena *arena, struct cost_paths *paths);
static struct cost_way way_of(const struct world *world, const struct cost_paths *paths, int from,
                              int to);
static int list_slots(const struct world *world, struct arena *arena, struct cost_paths *paths);
static int no_memory(struct error *err);

int cost_frame_make(const struct cost_input *input, struct arena *arena,
                    const struct cost_frame **ret_frame, struct error *err)
{
    struct cost_frame *frame = arena_alloc(arena, sizeof(*frame));
    struct cost_paths paths;
    if (frame == NULL || cost_paths_build(input->world, arena, &paths) < 0) {
        return no_memory(err);
    }
    *ret_frame = frame;
    return cost_frame_build(input, &paths, arena, frame, err);
}

int cost_frame_build(const struct cost_input *input, const struct cost_paths *paths,
                     struct arena *arena, struct cost_frame *ret_frame, struct error *err)
{
    struct cost_frame frame = {.paths = *paths, .app_count = input->app_count};
    if (cost_lookup_names(input, arena, &frame.names) < 0 || list_parts(&frame, input, arena) < 0) {
        return no_memory(err);
    }
    int rc = list_links(&frame, input, arena, err);
    if (rc == 0) {
        rc = cost_spots_build(&frame, arena, err);
    }
    if (rc == 0) {
        *ret_frame = frame;
    }
    return rc;
}

int cost_keeper_frame(struct cost_keeper *keeper, const struct cost_input *input, uint64_t version,
                      const struct cost_frame **ret_frame, struct error *err)
{
    if (keeper->frame == NULL || keeper->version != version) {
        cost_keeper_done(keeper);
        arena_init(&keeper->arena, FRAME_BYTES);
        int rc = cost_frame_make(input, &keeper->arena, &keeper->frame, err);
        if (rc < 0) {
            keeper->frame = NULL;
            return rc;
        }
        keeper->version = version;
    }
    *ret_frame = keeper->frame;
    return 0;
}

void cost_keeper_done(struct cost_keeper *keeper)
{
    arena_done(&keeper->arena);
    keeper->frame = NULL;
}

bool cost_frame_fits(const struct cost_frame *frame, const struct cost_input *input)
{
    bool fits = frame->app_count == input->app_count &&
                frame->paths.site_count == input->world->site_count &&
                frame->paths.egress_count == input->world->egress_count;
    for (int i = 0; i < input->app_count && fits; i++) {
        const struct app *app = input->apps[i].app;
        fits = frame->names.base[i + 1] - frame->names.base[i] == app->workload_count &&
               frame->link_base[i + 1] - frame->link_base[i] == app->link_count;
    }
    return fits;
}

/* ---- parts ---- */

static int list_parts(struct cost_frame *frame, const struct cost_input *input, struct arena *arena)
{
    frame->part_count = frame->names.base[input->app_count];
    frame->parts = arena_array(arena, (size_t)frame->part_count + 1, sizeof(*frame->parts));
    if (frame->parts == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0, part = 0; i < input->app_count; i++) {
        const struct app *app = input->apps[i].app;
        for (int k = 0; k < app->workload_count; k++, part++) {
            struct cost_part_info *info = &frame->parts[part];
            info->owner = app;
            info->app = i;
            info->workload = k;
            info->what = &app->workloads[k];
            if (find_open(frame, input, part, arena) < 0) {
                return ERR_NO_MEMORY;
            }
        }
    }
    for (int part = 0; part < frame->part_count; part++) {
        if (frame->parts[part].members ==
            0) { /* the first of its family: the others get the same */
            find_family(frame, frame->parts[part].owner, part);
        }
    }
    return 0;
}

static void find_family(struct cost_frame *frame, const struct app *app, int part)
{
    struct cost_part_info *first = &frame->parts[part];
    int base = part - first->workload;
    int members[LIMIT_FAMILY];
    int count = cost_family_members(app, first->workload, members);
    for (int i = 0; i < count; i++) {
        struct cost_part_info *info = &frame->parts[base + members[i]];
        info->member = i;
        info->members = count;
        for (int k = 0; k < count; k++) {
            info->parts[k] = base + members[k];
        }
    }
}

static int find_open(struct cost_frame *frame, const struct cost_input *input, int part,
                     struct arena *arena)
{
    struct cost_part_info *info = &frame->parts[part];
    int variants = cost_variants(info->what);
    int sites = input->world->site_count;
    info->open = arena_array(arena, (size_t)variants * (size_t)sites + 1, sizeof(bool));
    for (int cell = 0; cell < variants * sites && info->open != NULL; cell++) {
        info->open[cell] = cost_is_open(input->world, info->what, cell / sites, cell % sites);
    }
    return info->open == NULL ? ERR_NO_MEMORY : 0;
}

/* ---- links ---- */

static int list_links(struct cost_frame *frame, const struct cost_input *input, struct arena *arena,
                      struct error *err)
{
    int count = 0;
    for (int a = 0; a < input->app_count; a++) {
        count += input->apps[a].app->link_count;
    }
    frame->links = arena_array(arena, (size_t)count + 1, sizeof(*frame->links));
    frame->link_base = arena_array(arena, (size_t)input->app_count + 1, sizeof(int));
    if (frame->links == NULL || frame->link_base == NULL) {
        return no_memory(err);
    }
    for (int a = 0; a < input->app_count; a++) {
        const struct app *app = input->apps[a].app;
        int base = frame->names.base[a];
        for (int i = 0; i < app->link_count; i++) {
            const struct link *link = &app->links[i];
            struct cost_link_info *info = &frame->links[frame->link_count++];
            *info = (struct cost_link_info){
                .app = a, .link = i, .from_part = -1, .from_site = -1, .to_part = base + link->to};
            frame->byte_count += cost_variants(&app->workloads[link->to]);
            if (link->from_kind == LINK_WORKLOAD) {
                info->from_part = base + link->from;
                continue;
            }
            const struct segment *segment = &app->segments[link->from];
            info->from_site = world_site(input->world, segment->site);
            if (info->from_site < 0) {
                return error_set(err, ERR_INVALID, 0,
                                 "app %s/%s: users %s come from the site %s, which world %s does "
                                 "not have",
                                 app->namespace_, app->name, segment->name, segment->site,
                                 input->world->name);
            }
        }
        frame->link_base[a + 1] = frame->link_count;
    }
    return 0;
}

/* ---- paths ---- */

int cost_paths_build(const struct world *world, struct arena *arena, struct cost_paths *ret_paths)
{
    size_t cells = (size_t)world->site_count * (size_t)world->site_count;
    struct cost_paths paths = {.site_count = world->site_count,
                               .egress_count = world->egress_count};
    paths.matches = arena_array(arena, cells + 1, sizeof(*paths.matches));
    if (paths.matches == NULL || far_of(world, arena, &paths) < 0) {
        return ERR_NO_MEMORY;
    }
    for (int from = 0; from < world->site_count; from++) {
        egress_from(world, from, &paths.matches[from * world->site_count]);
    }
    if (list_ways(world, arena, &paths) < 0 || list_slots(world, arena, &paths) < 0) {
        return ERR_NO_MEMORY;
    }
    *ret_paths = paths;
    return 0;
}

int cost_paths_cut(const struct cost_paths *whole, const int *sites, const struct world *world,
                   struct arena *arena, struct cost_paths *ret_paths)
{
    int count = world->site_count;
    size_t cells = (size_t)count * (size_t)count;
    struct cost_paths paths = {.site_count = count, .egress_count = world->egress_count};
    paths.far_us = arena_array(arena, cells + 1, sizeof(*paths.far_us));
    paths.matches = arena_array(arena, cells + 1, sizeof(*paths.matches));
    if (paths.far_us == NULL || paths.matches == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int from = 0; from < count; from++) {
        for (int to = 0; to < count; to++) {
            int there = sites[from] * whole->site_count + sites[to];
            paths.far_us[from * count + to] = whole->far_us[there];
            paths.matches[from * count + to] = whole->matches[there];
        }
    }
    if (list_ways(world, arena, &paths) < 0 || list_slots(world, arena, &paths) < 0) {
        return ERR_NO_MEMORY;
    }
    *ret_paths = paths;
    return 0;
}

/* Only where no round trip is declared; it is as far both ways. */
static int far_of(const struct world *world, struct arena *arena, struct cost_paths *paths)
{
    int count = world->site_count;
    paths->far_us = arena_array(arena, (size_t)count * (size_t)count + 1, sizeof(int64_t));
    for (int from = 0; from < count && paths->far_us != NULL; from++) {
        for (int to = 0; to < count; to++) {
            int64_t *far_us = &paths->far_us[from * count + to];
            int64_t back_us = to < from ? paths->far_us[to * count + from] : 0;
            if (from != to && world->rtt_us[from * count + to] < 0) {
                *far_us = back_us > 0
                              ? back_us
                              : cost_distance_rtt_us(&world->sites[from], &world->sites[to]);
            }
        }
    }
    return paths->far_us == NULL ? ERR_NO_MEMORY : 0;
}

static int list_ways(const struct world *world, struct arena *arena, struct cost_paths *paths)
{
    int count = paths->site_count;
    paths->ways = arena_array(arena, (size_t)count * (size_t)count + 1, sizeof(*paths->ways));
    for (int cell = 0; cell < count * count && paths->ways != NULL; cell++) {
        struct cost_way *way = &paths->ways[cell];
        *way = way_of(world, paths, cell / count, cell % count);
        paths->link_uses = way->count > paths->link_uses ? way->count : paths->link_uses;
    }
    return paths->ways == NULL ? ERR_NO_MEMORY : 0;
}

/* A request to its sender and receiver, then the response. */
static struct cost_way way_of(const struct world *world, const struct cost_paths *paths, int from,
                              int to)
{
    struct egress_match there = paths->matches[from * paths->site_count + to];
    struct egress_match back = paths->matches[to * paths->site_count + from];
    int rules[COST_LINK_USES] = {there.sender_rule, there.receiver_rule, back.sender_rule,
                                 back.receiver_rule};
    int payers[COST_LINK_USES] = {from, to, to, from};
    struct cost_way way = {0};
    for (int i = 0; i < COST_LINK_USES; i++) {
        if (rules[i] >= 0) {
            way.use[way.count].slot =
                world->sites[payers[i]].account * world->egress_count + rules[i];
            way.use[way.count++].response = i >= COST_LINK_USES / 2;
        }
    }
    return way;
}

/* Each account and rule that bytes between two sites can meet, as they are met first. */
static int list_slots(const struct world *world, struct arena *arena, struct cost_paths *paths)
{
    int count = paths->site_count;
    size_t each = (size_t)world->account_count * (size_t)world->egress_count;
    bool *met = arena_array(arena, each + 1, sizeof(bool));
    paths->slots = arena_array(arena, each + 1, sizeof(int));
    if (met == NULL || paths->slots == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int cell = 0; cell < count * count; cell++) {
        int payers[2] = {cell / count, cell % count};
        int rules[2] = {paths->matches[cell].sender_rule, paths->matches[cell].receiver_rule};
        for (int k = 0; k < 2; k++) {
            int slot = world->sites[payers[k]].account * world->egress_count + rules[k];
            if (rules[k] >= 0 && !met[slot]) {
                met[slot] = true;
                paths->slots[paths->slot_count++] = slot;
            }
        }
    }
    return 0;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the cost model's tables");
}
