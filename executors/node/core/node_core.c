#include "executors/node/core/node_core.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "executors/node/core/node_state.h"

static void take_started(struct node *node, const struct node_event *event);
static void settle_unsure(struct node *node);
static void take_probed(struct node *node, const struct message_probed *probed);
static void take_tick(struct node *node);
static void take_renewed(struct node *node, int64_t sent_us);
static void take_endpoint(struct node_instance *instance, const char *endpoint);
static void take_of_instance(struct node *node, struct node_instance *instance,
                             const struct node_event *event);
static uint64_t hash_instance(uint64_t hash, const struct node_instance *instance);

int node_effects_create(int capacity, struct node_effects **ret_effects)
{
    struct node_effects *effects = calloc(1, sizeof(*effects));
    struct node_effect *list = calloc((size_t)capacity, sizeof(*list));
    if (effects == NULL || list == NULL) {
        free(effects);
        free(list);
        return ERR_NO_MEMORY;
    }
    effects->list = list;
    effects->capacity = capacity;
    *ret_effects = effects;
    return 0;
}

void node_effects_destroy(struct node_effects *effects)
{
    if (effects == NULL)
        return;
    free(effects->list);
    free(effects);
}

int node_create(const char *name, struct node **ret_node, struct error *err)
{
    if (!name_is_valid(name))
        return error_set(err, ERR_INVALID, 0,
                         "node '%s': a name is 1 to 63 of [a-z0-9-], first and last no '-'", name);
    struct node *node = calloc(1, sizeof(*node));
    if (node != NULL) {
        node->instances = calloc(LIMIT_NODE_INSTANCES, sizeof(*node->instances));
        node->hello = calloc(LIMIT_NODE_INSTANCES, sizeof(*node->hello));
        node->answers = calloc(NODE_ANSWERS, sizeof(*node->answers));
    }
    if (node == NULL || node->instances == NULL || node->hello == NULL || node->answers == NULL) {
        node_destroy(node);
        return error_set(err, ERR_NO_MEMORY, 0, "node '%s': no memory for its tables", name);
    }
    str_format(node->name, sizeof(node->name), "%s", name);
    *ret_node = node;
    return 0;
}

void node_destroy(struct node *node)
{
    if (node == NULL)
        return;
    for (int i = 0; node->instances != NULL && i < LIMIT_NODE_INSTANCES; i++) {
        arena_done(&node->instances[i].arena);
        free(node->instances[i].handed);
    }
    free(node->routes);
    free(node->instances);
    free(node->hello);
    free(node->answers);
    free(node);
}

void node_step(struct node *node, const struct node_event *event, struct node_effects *effects)
{
    node->out = effects;
    node->now = event->at.us;
    effects->count = 0;
    if (event->kind != NODE_EV_STARTED && event->kind != NODE_EV_ADOPTED)
        settle_unsure(node);
    switch (event->kind) {
    case NODE_EV_STARTED:
        take_started(node, event);
        break;
    case NODE_EV_CONNECTED:
    case NODE_EV_HELLO_ASKED:
        node_say_hello(node);
        break;
    case NODE_EV_COMMAND:
        command_take(node, &event->command);
        break;
    case NODE_EV_PROBED:
        take_probed(node, &event->probed);
        break;
    case NODE_EV_TICK:
        take_tick(node);
        break;
    case NODE_EV_RENEWED:
        take_renewed(node, event->renewed.sent_us);
        break;
    case NODE_EV_ROUTED:
        route_done(node, event->routed.id, event->routed.code, event->routed.text);
        break;
    case NODE_EV_ADOPTED:
    case NODE_EV_FETCHED:
    case NODE_EV_SPAWNED:
    case NODE_EV_SAID:
    case NODE_EV_JUDGED:
    case NODE_EV_EXITED:
    case NODE_EV_CLEARED:
    case NODE_EV_SHIPPED:
    case NODE_EV_GOT: {
        struct node_instance *instance = node_find(node, event->instance);
        if (instance == NULL)
            break;
        take_of_instance(node, instance, event);
        instance_flush(node, instance, NULL);
        break;
    }
    }
    node->out = NULL;
}

struct boot node_deadline(const struct node *node)
{
    int64_t first = NODE_NEVER;
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        const struct node_instance *instance = &node->instances[i];
        if (!instance->used)
            continue;
        if (instance->unsure)
            return (struct boot){0};
        first = instance->state_by < first ? instance->state_by : first;
        first = instance->act_at < first ? instance->act_at : first;
        first = instance->clear_at < first ? instance->clear_at : first;
        first = instance->live_at < first ? instance->live_at : first;
        first = instance->freeze_at < first ? instance->freeze_at : first;
        if (owner_awaited(instance) && instance->record.own_by_us < first)
            first = instance->record.own_by_us;
    }
    return (struct boot){first};
}

uint64_t node_hash(const struct node *node)
{
    uint64_t hash = hash_str(HASH_SEED, node->name);
    hash = hash_str(hash, node->boot_id);
    hash = hash_u64(hash_u64(hash, node->epoch.term), node->epoch.n);
    hash = hash_u64(hash, node->seq);
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++)
        if (node->instances[i].used)
            hash = hash_instance(hash, &node->instances[i]);
    for (int i = 0; i < NODE_PROBES; i++)
        hash = hash_str(hash, node->probes[i]);
    hash = hash_u64(hash_u64(hash, node->ticket), (uint64_t)node->renewed_us);
    hash = hash_u64(hash_u64(hash, (uint64_t)node->started_us), (uint64_t)node->hello_us);
    for (int i = 0; i < node->route_count; i++) {
        const struct node_route *route = &node->routes[i];
        hash = hash_u64(hash_str(hash, route->id), route->pending ? 1 : 0);
        hash = hash_u64(hash_u64(hash, route->epoch.term), route->epoch.n);
    }
    return hash;
}

struct epoch node_epoch(const struct node *node)
{
    return node->epoch;
}

int node_record_count(const struct node *node)
{
    int count = 0;
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++)
        count += node->instances[i].used ? 1 : 0;
    return count;
}

const struct node_record *node_record_at(const struct node *node, int index)
{
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++)
        if (node->instances[i].used && index-- == 0)
            return &node->instances[i].record;
    return NULL;
}

bool node_wants_answers(const struct node *node)
{
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        const struct node_instance *instance = &node->instances[i];
        if (instance->used && instance->record.spec.handoff != SPEC_OVERLAP &&
            instance->record.spec.lease_us > 0 && !instance_is_over(instance))
            return true;
    }
    return false;
}

/* ---- shared with the other sources --------------------------------------------------------------
 */

struct node_effect *node_emit(struct node *node, enum node_effect_kind kind, const char *instance)
{
    struct node_effects *out = node->out;
    BERTH_ASSERT(out->count < out->capacity, "%d effects in one step are too few", out->capacity);
    struct node_effect *effect = &out->list[out->count++];
    memset(effect, 0, sizeof(*effect));
    effect->kind = kind;
    str_format(effect->instance, sizeof(effect->instance), "%s", instance);
    return effect;
}

struct node_instance *node_find(struct node *node, const char *instance)
{
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++)
        if (node->instances[i].used && str_equal(node->instances[i].record.instance, instance))
            return &node->instances[i];
    return NULL;
}

struct node_instance *node_place(struct node *node, const char *instance)
{
    struct node_instance *place = NULL;
    struct node_instance *oldest = NULL;
    for (int i = 0; i < LIMIT_NODE_INSTANCES && place == NULL; i++) {
        struct node_instance *at = &node->instances[i];
        if (!at->used)
            place = at;
        else if (instance_is_over(at) && !at->alive && !at->unsure &&
                 at->record.want == NODE_WANT_GONE && (oldest == NULL || at->order < oldest->order))
            oldest = at;
    }
    if (place == NULL && oldest != NULL) {
        node_emit(node, NODE_FX_ERASE, oldest->record.instance);
        node_drop(node, oldest);
        place = oldest;
    }
    if (place != NULL) {
        instance_init(place, instance);
        place->order = ++node->order;
    }
    return place;
}

void node_drop(struct node *node, struct node_instance *instance)
{
    (void)node;
    arena_done(&instance->arena);
    free(instance->handed);
    memset(instance, 0, sizeof(*instance));
}

/* ---- events -------------------------------------------------------------------------------------
 */

static void take_started(struct node *node, const struct node_event *event)
{
    memcpy(node->boot_id, event->started.boot_id, sizeof(node->boot_id));
    node->started_us = node->now;
    if (epoch_compare(event->started.epoch, node->epoch) > 0)
        node->epoch = event->started.epoch;
    for (int i = 0; i < event->started.record_count; i++) {
        const struct node_record *record = &event->started.records[i];
        struct node_instance *instance = node_find(node, record->instance);
        if (instance != NULL || (instance = node_place(node, record->instance)) == NULL)
            continue;
        instance->record = *record;
        instance->record.spec = (struct message_spec){0};
        instance->record.handed = NULL;
        if (owner_set_handed(instance, record->handed) < 0)
            instance->record.error_code = ERR_NO_MEMORY; /* as below */
        instance->work = 0;
        if (instance_set_spec(instance, &record->spec) < 0) {
            instance->record.error_code = ERR_NO_MEMORY; /* it is cleared and given up */
            instance->record.spec = record->spec;
            instance->record.spec.args = NULL;
            instance->record.spec.arg_count = 0;
            instance->record.spec.env = NULL;
            instance->record.spec.env_count = 0;
        }
        instance->unsure = true;
        if (epoch_compare(record->epoch, node->epoch) > 0)
            node->epoch = record->epoch;
    }
}

/* The first event that is not an adoption ends the time in which shims could have answered. */
static void settle_unsure(struct node *node)
{
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        struct node_instance *instance = &node->instances[i];
        if (!instance->used || !instance->unsure)
            continue;
        if (!node_has_room(node, 2 * NODE_EFFECTS_SPARE))
            return; /* node_deadline is due at once: the rest follows with the next step */
        int state = instance->record.state;
        if (state == INSTANCE_STAGING) {
            instance->unsure = false;
            instance->fetching = true;
            instance->work |= WORK_FETCH;
        } else if (state == INSTANCE_STAGED || instance_is_over(instance)) {
            instance->unsure = false;
        } else {
            instance_adopted(node, instance, false, -1, false, false, 0);
        }
        instance_flush(node, instance, NULL);
    }
}

static void take_of_instance(struct node *node, struct node_instance *instance,
                             const struct node_event *event)
{
    switch (event->kind) {
    case NODE_EV_ADOPTED:
        take_endpoint(instance, event->endpoint);
        instance_adopted(node, instance, event->adopted.running, event->adopted.exit_code,
                         event->adopted.said_ready, event->adopted.said_drained,
                         event->adopted.lease_us);
        return;
    case NODE_EV_FETCHED:
        instance_fetched(node, instance, event->result.code, event->result.text);
        return;
    case NODE_EV_SPAWNED:
        take_endpoint(instance, event->endpoint);
        instance_spawned(node, instance, event->result.code, event->result.text);
        return;
    case NODE_EV_SAID:
        instance_said(node, instance, event->said);
        owner_said(node, instance, event->said, event->round, event->said_text);
        return;
    case NODE_EV_JUDGED:
        health_judged(node, instance, event->live, event->judged_ready, event->text);
        return;
    case NODE_EV_SHIPPED:
        owner_shipped(node, instance, event->ticket, event->shipped.code, event->shipped.text,
                      &event->shipped.object);
        return;
    case NODE_EV_GOT:
        owner_got(node, instance, event->ticket, event->result.code, event->result.text);
        return;
    case NODE_EV_EXITED:
        instance_exited(node, instance, event->exit_code);
        return;
    case NODE_EV_CLEARED:
        instance_cleared(node, instance, event->result.code, event->result.text);
        return;
    case NODE_EV_STARTED:
    case NODE_EV_CONNECTED:
    case NODE_EV_HELLO_ASKED:
    case NODE_EV_COMMAND:
    case NODE_EV_PROBED:
    case NODE_EV_TICK:
    case NODE_EV_RENEWED:
    case NODE_EV_ROUTED:
        return; /* of the node as a whole */
    }
}

static void take_probed(struct node *node, const struct message_probed *probed)
{
    for (int i = 0; i < NODE_PROBES; i++) {
        if (probed->id[0] == 0 || !str_equal(node->probes[i], probed->id))
            continue;
        memset(node->probes[i], 0, sizeof(node->probes[i]));
        struct node_effect *effect = node_emit(node, NODE_FX_PROBED, probed->instance);
        effect->probed = *probed;
        memcpy(effect->probed.node, node->name, sizeof(node->name));
        return;
    }
}

static void take_tick(struct node *node)
{
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        struct node_instance *instance = &node->instances[i];
        if (!instance->used || instance->unsure)
            continue;
        if (!node_has_room(node, NODE_EFFECTS_SPARE))
            return; /* its deadline stays due: the next tick takes it */
        instance_tick(node, instance);
        instance_flush(node, instance, NULL);
    }
}

static void take_renewed(struct node *node, int64_t sent_us)
{
    if (sent_us <= node->renewed_us || sent_us > node->now)
        return;
    node->renewed_us = sent_us;
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        struct node_instance *instance = &node->instances[i];
        if (!instance->used || instance->unsure)
            continue;
        if (!node_has_room(node, NODE_EFFECTS_SPARE))
            return; /* the next answer is a second away */
        owner_renewed(node, instance);
        instance_flush(node, instance, NULL);
    }
}

static void take_endpoint(struct node_instance *instance, const char *endpoint)
{
    if (endpoint[0] == 0 || str_equal(instance->record.endpoint, endpoint))
        return;
    str_format(instance->record.endpoint, sizeof(instance->record.endpoint), "%s", endpoint);
    instance->work |= WORK_PERSIST;
}

void node_say_hello(struct node *node)
{
    node->hello_us = node->now;
    int count = 0;
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        const struct node_instance *instance = &node->instances[i];
        if (instance->used && instance->record.state != INSTANCE_ABSENT)
            instance_describe(instance, &node->hello[count++]);
    }
    struct message_hello *hello = &node_emit(node, NODE_FX_HELLO, "")->hello;
    memcpy(hello->node, node->name, sizeof(hello->node));
    memcpy(hello->boot_id, node->boot_id, sizeof(hello->boot_id));
    hello->boot_us = node->now;
    hello->epoch = node->epoch;
    hello->seq = node->seq;
    hello->instances = count > 0 ? node->hello : NULL;
    hello->instance_count = count;
}

/* ---- helpers ------------------------------------------------------------------------------------
 */

bool node_has_room(const struct node *node, int effects)
{
    return node->out->capacity - node->out->count >= effects;
}

static uint64_t hash_instance(uint64_t hash, const struct node_instance *instance)
{
    const struct node_record *record = &instance->record;
    hash = hash_str(hash, record->instance);
    hash = hash_u64(hash_u64(hash, record->epoch.term), record->epoch.n);
    hash = hash_str(hash_str(hash, record->last_command), record->detail);
    hash = hash_u64(hash, (uint64_t)record->last_code);
    hash = hash_u64(hash_u64(hash, (uint64_t)record->state), (uint64_t)record->want);
    hash = hash_u64(hash_u64(hash, (uint64_t)record->restarts), (uint64_t)record->exit_code);
    hash = hash_u64(hash, (uint64_t)record->error_code);
    hash = hash_str(hash_str(hash, record->spec.workload), record->spec.digest);
    unsigned flags = (instance->unsure ? 1U : 0) | (instance->fetching ? 2U : 0) |
                     (instance->spawning ? 4U : 0) | (instance->alive ? 8U : 0) |
                     (instance->ended ? 16U : 0) | (instance->clearing ? 32U : 0) |
                     (instance->judging ? 64U : 0) | (instance->served ? 128U : 0);
    hash = hash_u64(hash, flags);
    hash = hash_u64(hash_u64(hash, record->owner.term), record->owner.n);
    hash = hash_u64(hash, (uint64_t)record->own_by_us);
    hash = hash_str(hash_str(hash, record->handed == NULL ? "" : record->handed), record->endpoint);
    hash = hash_u64(hash_u64(hash, (uint64_t)record->asked), (uint64_t)record->round);
    hash = hash_u64(hash_str(hash, record->object.digest), record->granted ? 1 : 0);
    hash = hash_u64(hash_u64(hash, (uint64_t)instance->grant), (uint64_t)instance->task);
    hash = hash_u64(hash_u64(hash, (uint64_t)instance->task_round), instance->ticket);
    hash = hash_u64(hash_u64(hash, (uint64_t)instance->lease_until), (uint64_t)instance->freeze_at);
    hash = hash_u64(hash_u64(hash, (uint64_t)instance->live_at), (instance->lease_over ? 1U : 0) |
                                                                     (instance->owning ? 2U : 0) |
                                                                     (instance->may_own ? 4U : 0));
    hash =
        hash_u64(hash_u64(hash, (uint64_t)instance->ready_misses), (uint64_t)instance->live_misses);
    hash = hash_u64(hash_u64(hash, (uint64_t)instance->state_by), (uint64_t)instance->act_at);
    hash = hash_u64(hash_u64(hash, (uint64_t)instance->clear_at), (uint64_t)instance->backoff_us);
    return hash_u64(hash, (uint64_t)instance->window_ends);
}
