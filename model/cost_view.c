#include "model/cost_view.h"

#include <stdlib.h>
#include <string.h>

#include "model/cost_internal.h"

#define CONTEXT_BYTES ((size_t)1 << 30)

/* Bytes by app and meter, while they are counted. */
struct counting {
    const struct cost_context *context;
    const struct placement *at;
    struct cost_view view;
    int64_t *bytes; /* [account * egress_count + rule] of the app at hand */
};

static int count_links(struct counting *counting, int app, struct error *err);
static void add_wait(struct counting *counting, int link, const struct cost_spot *from,
                     const struct cost_spot *to);
static void add_use(struct counting *counting, const struct problem_use *use);
static void count_replicas(struct counting *counting, int app);
static void keep_volumes(struct counting *counting, int app);
static int by_meter(const void *a, const void *b);
static int by_us(const void *a, const void *b);
static bool is_of(const struct cost_wait *wait, int app);

int cost_view(const struct cost_input *input, const struct placement *at, struct arena *arena,
              struct cost_view *ret_view, struct error *err)
{
    struct cost_context context;
    struct arena scratch;
    arena_init(&scratch, CONTEXT_BYTES);
    int rc = cost_context_build(input, &scratch, &context, err);
    if (rc == 0) {
        rc = cost_view_from(&context, at, arena, ret_view, err);
    }
    arena_done(&scratch);
    return rc;
}

int cost_view_from(const struct cost_context *context, const struct placement *at,
                   struct arena *arena, struct cost_view *ret_view, struct error *err)
{
    const struct world *world = context->world;
    size_t cells = (size_t)world->account_count * (size_t)world->egress_count;
    size_t volumes = (size_t)(context->link_count + context->replica_count) * COST_LINK_USES;
    struct counting counting = {.context = context, .at = at};
    counting.view.waits =
        arena_array(arena, (size_t)context->link_count + 1, sizeof(struct cost_wait));
    counting.view.volumes = arena_array(arena, volumes + 1, sizeof(struct cost_volume));
    counting.view.base_bytes = arena_array(arena, cells + 1, sizeof(int64_t));
    counting.bytes = arena_array(arena, cells + 1, sizeof(int64_t));
    if (counting.view.waits == NULL || counting.view.volumes == NULL ||
        counting.view.base_bytes == NULL || counting.bytes == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the views of a placement");
    }
    for (int i = 0; i < context->meter_count; i++) {
        struct cost_meter_key key = context->meter_keys[i];
        counting.view.base_bytes[key.account * world->egress_count + key.rule] =
            context->meters[i].base_bytes;
    }
    for (int app = 0; app < context->input->app_count; app++) {
        int rc = count_links(&counting, app, err);
        if (rc < 0) {
            return rc;
        }
        count_replicas(&counting, app);
        keep_volumes(&counting, app);
    }
    qsort(counting.view.volumes, (size_t)counting.view.volume_count, sizeof(struct cost_volume),
          by_meter);
    *ret_view = counting.view;
    return 0;
}

int64_t cost_view_mean_us(const struct cost_view *view, int app)
{
    __int128 sum = 0;
    int64_t calls = 0;
    for (int i = 0; i < view->wait_count; i++) {
        const struct cost_wait *wait = &view->waits[i];
        if (wait->users && is_of(wait, app)) {
            sum += (__int128)wait->us * wait->calls_mhz;
            calls += wait->calls_mhz;
        }
    }
    return calls == 0 ? -1 : (int64_t)((sum + calls / 2) / calls);
}

int64_t cost_view_quantile_us(const struct cost_view *view, int app, int64_t ppm,
                              struct arena *scratch)
{
    struct cost_wait *list =
        arena_array(scratch, (size_t)view->wait_count + 1, sizeof(struct cost_wait));
    int count = 0;
    __int128 calls = 0;
    for (int i = 0; i < view->wait_count && list != NULL; i++) {
        const struct cost_wait *wait = &view->waits[i];
        if (wait->users && is_of(wait, app)) {
            calls += wait->calls_mhz;
            list[count++] = *wait;
        }
    }
    if (count == 0 || calls == 0) {
        return -1;
    }
    qsort(list, (size_t)count, sizeof(*list), by_us);
    __int128 below = 0;
    int at = 0;
    for (; at < count - 1; at++) {
        below += list[at].calls_mhz;
        if (below * PPM >= calls * ppm) {
            break;
        }
    }
    return list[at].us;
}

int64_t cost_view_whole_us(const struct cost_view *view, int app)
{
    __int128 sum = 0;
    int64_t calls = 0;
    for (int i = 0; i < view->wait_count; i++) {
        const struct cost_wait *wait = &view->waits[i];
        if (is_of(wait, app)) {
            sum += (__int128)wait->us * wait->calls_mhz;
            calls += wait->users ? wait->calls_mhz : 0;
        }
    }
    return calls == 0 ? -1 : (int64_t)((sum + calls / 2) / calls);
}

static int count_links(struct counting *counting, int app, struct error *err)
{
    const struct cost_context *context = counting->context;
    int end = context->link_base[app] + context->input->apps[app].app->link_count;
    for (int link = context->link_base[app]; link < end; link++) {
        const struct cost_link_info *info = &context->links[link];
        struct problem_use uses[COST_LINK_USES];
        struct cost_spot from = {.site = info->from_site};
        bool users = info->from_part < 0;
        if (counting->at[info->to_part].site < 0 ||
            (!users && counting->at[info->from_part].site < 0)) {
            continue;
        }
        struct cost_spot to = cost_spot_at(context, counting->at, info->to_part);
        if (!users) {
            from = cost_spot_at(context, counting->at, info->from_part);
        }
        int rc = cost_link_uses(context, link, users ? NULL : &from, &to, uses, err);
        if (rc < 0) {
            return rc;
        }
        add_wait(counting, link, &from, &to);
        for (int k = 0; k < COST_LINK_USES; k++) {
            add_use(counting, &uses[k]);
        }
    }
    return 0;
}

static void add_wait(struct counting *counting, int link, const struct cost_spot *from,
                     const struct cost_spot *to)
{
    const struct cost_context *context = counting->context;
    const struct cost_link_info *info = &context->links[link];
    const char *note = "";
    bool users = info->from_part < 0;
    __int128 time = from->site == to->site
                        ? 0
                        : cost_call_time(context, link, from->site, to->site, to->variant, &note);
    __int128 travel = (__int128)info->calls_mhz * cost_travel_ppm(info, users ? NULL : from);
    counting->view.waits[counting->view.wait_count++] = (struct cost_wait){
        .app = info->app,
        .link = info->link,
        .users = users,
        .from_site = from->site,
        .to_site = to->site,
        .calls_mhz = (int64_t)((travel + PPM / 2) / PPM),
        .us = time < 0 ? -1 : (int64_t)((time + MIB / 2) / MIB),
    };
}

static void add_use(struct counting *counting, const struct problem_use *use)
{
    if (use->meter < 0) {
        return;
    }
    struct cost_meter_key key = counting->context->meter_keys[use->meter];
    int64_t *bytes =
        &counting->bytes[key.account * counting->context->world->egress_count + key.rule];
    if (__builtin_add_overflow(*bytes, use->bytes, bytes)) {
        *bytes = INT64_MAX;
    }
}

static void count_replicas(struct counting *counting, int app)
{
    const struct cost_context *context = counting->context;
    for (int i = 0; i < context->replica_count; i++) {
        const struct cost_replica *replica = &context->replicas[i];
        struct problem_use uses[COST_REPLICA_USES];
        if (context->parts[replica->part].app != app || counting->at[replica->primary].site < 0 ||
            counting->at[replica->part].site < 0) {
            continue;
        }
        struct cost_spot from = cost_spot_at(context, counting->at, replica->primary);
        struct cost_spot to = cost_spot_at(context, counting->at, replica->part);
        cost_replica_uses(context, replica, &from, &to, uses);
        for (int k = 0; k < COST_REPLICA_USES; k++) {
            add_use(counting, &uses[k]);
        }
    }
}

static void keep_volumes(struct counting *counting, int app)
{
    const struct world *world = counting->context->world;
    int cells = world->account_count * world->egress_count;
    for (int i = 0; i < cells; i++) {
        if (counting->bytes[i] > 0) {
            counting->view.volumes[counting->view.volume_count++] = (struct cost_volume){
                app, i / world->egress_count, i % world->egress_count, counting->bytes[i]};
            counting->bytes[i] = 0;
        }
    }
}

static int by_meter(const void *a, const void *b)
{
    const struct cost_volume *x = a;
    const struct cost_volume *y = b;
    if (x->account != y->account) {
        return x->account < y->account ? -1 : 1;
    }
    if (x->rule != y->rule) {
        return x->rule < y->rule ? -1 : 1;
    }
    return (x->app > y->app) - (x->app < y->app);
}

static int by_us(const void *a, const void *b)
{
    const struct cost_wait *x = a;
    const struct cost_wait *y = b;
    return (x->us > y->us) - (x->us < y->us);
}

/* A wait that nothing tells is none of anybody. */
static bool is_of(const struct cost_wait *wait, int app)
{
    return wait->us >= 0 && (app < 0 || wait->app == app);
}
