/* Nodes and what runs on them, as they say themselves. */
#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/checkpoint.h"
#include "scheduler/core/internal.h"

static bool is_past(const struct core *core, const struct core_node *node,
                    const struct message_hello *hello);
static struct core_node *node_add(struct core *core, const char *name);
static void node_learn(struct core *core, struct core_node *node, const struct message_hello *hello,
                       bool rebooted);
static void node_reconcile(struct core *core, struct core_node *node,
                           const struct message_hello *hello);
static void raise_epoch(struct core *core, const struct core_node *node, struct epoch epoch);
static void instance_learn(struct core *core, struct core_node *node,
                           const struct message_instance *said);
static void learn_owned(struct core *core, struct core_instance *instance,
                        const struct message_instance *said, enum instance_state now);
static void publish_instance(struct core *core, const struct core_instance *instance);

void core_on_hello(struct core *core, const struct core_event *event)
{
    const struct message_hello *hello = &event->hello;
    struct core_node *node = core_node_find(core, hello->node);
    if (node == NULL)
        node = node_add(core, hello->node);
    if (node == NULL)
        return;
    bool rebooted = !str_equal(node->boot_id, hello->boot_id);
    /* One that was overtaken by a later word of the same boot says nothing new. */
    if (!rebooted && node->up && hello->boot_us < node->report_us)
        return;
    if (rebooted && is_past(core, node, hello))
        return;
    bool came = !node->up;
    bool offers_more = came || node->capacity[RESOURCE_CPU] != hello->mcpu ||
                       node->capacity[RESOURCE_MEMORY] != hello->memory_bytes ||
                       !str_equal(node->site, hello->site) ||
                       !str_equal(node->drivers, hello->drivers);
    node_learn(core, node, hello, rebooted);
    raise_epoch(core, node, hello->epoch);
    node_reconcile(core, node, hello);
    for (int i = 0; i < hello->instance_count; i++)
        core_ship_heard(core, node->name, &hello->instances[i]);
    core_routes_hello(core, node->name);
    core_commands_renew(core, node->name);
    core->diff = true;
    core->tidy = true;
    if (offers_more)
        core_inputs_changed(core, true);
    if (came) {
        char text[LIMIT_TEXT_BYTES];
        CORE_TEXT(text, "%s offers %lldm and %lld MiB at %s", node->name, (long long)hello->mcpu,
                  (long long)(hello->memory_bytes >> 20), hello->site);
        core_publish(core, "node.up", (struct core_subject){.node = node->name, .state = "up"},
                     text);
    }
}

/* Sent in a boot that has ended. Arrival is no order, but a machine that was started later has been
 * up for less: told apart wrongly only if a message was on its way for longer than its machine had
 * been up, and then not for long. */
static bool is_past(const struct core *core, const struct core_node *node,
                    const struct message_hello *hello)
{
    int64_t now_us = core->state.now.us;
    return node->offset_at.us != 0 && now_us < node->boot_at.us + CORE_LIFETIME_US &&
           hello->boot_us >= core_node_boot_us(core, node, now_us);
}

static struct core_node *node_add(struct core *core, const char *name)
{
    struct core_state *state = &core->state;
    if (state->node_count == LIMIT_NODES || !name_is_valid(name))
        return NULL;
    struct core_node *node = &state->nodes[state->node_count++];
    memset(node, 0, sizeof(*node));
    CORE_SET(node->name, name);
    node->site_index = -1;
    core_node_index(core, state->node_count - 1);
    return node;
}

static void node_learn(struct core *core, struct core_node *node, const struct message_hello *hello,
                       bool rebooted)
{
    if (!node->up)
        node->since = core->state.now;
    node->up = true;
    if (rebooted) {
        node->offset_at.us = 0;
        node->boot_at = core->state.now;
    }
    core_node_heard(core, node, hello->boot_us);
    node->hello_us = hello->boot_us;
    CORE_SET(node->site, hello->site);
    CORE_SET(node->boot_id, hello->boot_id);
    CORE_SET(node->arch, hello->arch);
    CORE_SET(node->drivers, hello->drivers);
    CORE_SET(node->ingress, hello->ingress);
    node->capacity[RESOURCE_CPU] = hello->mcpu;
    node->capacity[RESOURCE_MEMORY] = hello->memory_bytes;
    node->site_index = core->state.world == NULL ? -1 : world_site(core->state.world, node->site);
    node->report_us = hello->boot_us;
    node->report_seq = hello->seq;
}

/* A message takes its time to come, so each gives a bound from below: of several the highest is the
 * nearest. It grows less sure with time, since the node's clock may be the slower one. */
void core_node_heard(struct core *core, struct core_node *node, int64_t boot_us)
{
    int64_t now_us = core->state.now.us;
    int64_t offset_us = boot_us - now_us;
    int64_t known_us = core_node_boot_us(core, node, now_us) - now_us;
    if (node->offset_at.us != 0 && offset_us <= known_us)
        return;
    node->boot_offset_us = offset_us;
    node->offset_at.us = now_us;
}

int64_t core_node_boot_us(const struct core *core, const struct core_node *node, int64_t us)
{
    if (node->offset_at.us == 0)
        return 0;
    int64_t drift_us = (core->state.now.us - node->offset_at.us) / CORE_DRIFT;
    int64_t boot_us = us + node->boot_offset_us - drift_us;
    return boot_us > 0 ? boot_us : 1;
}

void core_nodes_renew(struct core *core)
{
    for (int i = 0; i < core->state.node_count; i++)
        core->state.nodes[i].offset_at.us = 0;
}

/* A node may have taken commands that this journal does not know of (an older copy of it, another
 * scheduler): ours must be above them all to be accepted. */
static void raise_epoch(struct core *core, const struct core_node *node, struct epoch epoch)
{
    struct core_state *state = &core->state;
    if (epoch_compare(epoch, state->epoch) <= 0) {
        if (epoch.n > state->epoch.n)
            state->epoch.n = epoch.n;
        return;
    }
    bool foreign = epoch.term > state->epoch.term;
    if (foreign)
        state->epoch.term = epoch.term;
    if (epoch.n > state->epoch.n)
        state->epoch.n = epoch.n;
    if (foreign) {
        char text[LIMIT_TEXT_BYTES];
        CORE_TEXT(text, "node %s has taken commands of term %llu, and this scheduler's was %llu",
                  node->name, (unsigned long long)epoch.term, (unsigned long long)state->term);
        core_publish(core, "epoch.raised", (struct core_subject){.node = node->name}, text);
    }
}

/* Every instance of the hello is learnt; what should be there and is not has ended. */
static void node_reconcile(struct core *core, struct core_node *node,
                           const struct message_hello *hello)
{
    struct core_state *state = &core->state;
    for (int i = 0; i < hello->instance_count; i++)
        instance_learn(core, node, &hello->instances[i]);
    int node_index = (int)(node - state->nodes);
    for (int i = 0; i < state->instance_count; i++) {
        struct core_instance *instance = &state->instances[i];
        if (instance->id[0] == 0 || instance->node_index != node_index)
            continue;
        instance->lost = false;
        bool listed = false;
        for (int k = 0; k < hello->instance_count && !listed; k++)
            listed = str_equal(hello->instances[k].instance, instance->id);
        /* Not listed and never heard of: its first command may still be on the way. */
        if (listed || instance->state == INSTANCE_ABSENT || core_instance_is_settled(instance))
            continue;
        instance->state = INSTANCE_STOPPED;
        instance->since = state->now;
        CORE_SET(instance->detail, "its node does not know it any more");
        core_route_touch(core, instance->namespace_, instance->app, instance->workload);
        publish_instance(core, instance);
    }
}

void core_on_lost(struct core *core, const struct core_event *event)
{
    struct core_state *state = &core->state;
    struct core_node *node = core_node_find(core, event->node);
    if (node == NULL || !node->up)
        return;
    node->up = false;
    node->since = state->now;
    int count = 0;
    for (int i = 0; i < state->instance_count; i++) {
        struct core_instance *instance = &state->instances[i];
        if (instance->id[0] == 0 || !str_equal(instance->node, node->name))
            continue;
        instance->lost = true;
        core_route_touch(core, instance->namespace_, instance->app, instance->workload);
        count++;
    }
    core_routes_lost(core, node->name);
    core_commands_drop_node(core, node->name);
    core->diff = true;
    core->tidy = true;
    core_inputs_changed(core, false);
    char text[LIMIT_TEXT_BYTES];
    CORE_TEXT(text, "%s at %s is silent; %d instances were there", node->name, node->site, count);
    core_publish(core, "node.lost", (struct core_subject){.node = node->name, .state = "lost"},
                 text);
}

void core_on_report(struct core *core, const struct core_event *event)
{
    const struct message_report *report = &event->report;
    struct core_node *node = core_node_find(core, report->node);
    /* Of a node that is not up, or of another boot, only a hello counts: it tells everything. */
    if (node == NULL || !node->up || !str_equal(node->boot_id, report->boot_id))
        return;
    if (report->boot_us < node->report_us ||
        (report->boot_us == node->report_us && report->seq <= node->report_seq))
        return;
    node->report_us = report->boot_us;
    node->report_seq = report->seq;
    core_node_heard(core, node, report->boot_us);
    instance_learn(core, node, &report->instance);
}

static void instance_learn(struct core *core, struct core_node *node,
                           const struct message_instance *said)
{
    struct core_instance *instance = core_instance_find(core, said->instance, node->name);
    if (instance == NULL) {
        if (said->state == INSTANCE_ABSENT)
            return;
        /* Of another time or another scheduler: nobody wants it, so it is stopped and forgotten. */
        instance = core_instance_add(core, said->instance, said->namespace_, said->app,
                                     said->workload, said->replica, node->name);
        if (instance == NULL)
            return;
        instance->want = WANT_GONE;
        /* Of another time or journal: whether it owns is not known here. */
        instance->owner = said->epoch.n != 0 ? said->epoch : (struct epoch){0, 1};
    }
    if (epoch_compare(said->epoch, node->epoch) > 0)
        node->epoch = said->epoch;
    enum instance_state now = (enum instance_state)said->state;
    if (now == INSTANCE_ABSENT) {
        /* Only its epoch is left there. What nobody wants is gone; what is wanted has ended. */
        if (instance->want == WANT_GONE && instance->handoff[0] == 0) {
            core_instance_drop(core, instance);
            return;
        }
        if (instance->state != INSTANCE_ABSENT)
            now = INSTANCE_STOPPED;
    }
    core_handoff_wake(core, instance->handoff);
    bool changed = instance->state != now;
    instance->state = now;
    instance->epoch = said->epoch;
    instance->restarts = said->restarts;
    instance->lost = false;
    CORE_SET(instance->detail, said->detail);
    learn_owned(core, instance, said, now);
    core_route_touch(core, instance->namespace_, instance->app, instance->workload);
    if (!changed)
        return;
    instance->since = core->state.now;
    core_instance_changed(core, instance);
    if (core_instance_is_dead(instance)) {
        core_slot_changed(core, instance->namespace_, instance->app, instance->workload);
        core_room_came(core);
    }
    if (now == INSTANCE_READY &&
        core_is_lead(core, instance->namespace_, instance->app, instance->workload))
        core_slot_changed(core, instance->namespace_, instance->app, instance->workload);
    publish_instance(core, instance);
}

/* What an owner, or one that is to own, says beside its state. */
static void learn_owned(struct core *core, struct core_instance *instance,
                        const struct message_instance *said, enum instance_state now)
{
    struct core_handoff *handoff = core_handoff_find(core, instance->handoff);
    /* Its lease has ended. */
    if (now == INSTANCE_HELD && instance->owner.n != 0 && handoff == NULL)
        core_slot_changed(core, instance->namespace_, instance->app, instance->workload);
    if (now == INSTANCE_READY || now == INSTANCE_UNREADY)
        instance->frozen = false;
    if (core_instance_is_settled(instance))
        return; /* what it exported is still there */
    CORE_SET(instance->endpoint, said->endpoint);
    instance->round = said->round;
    instance->object = said->object;
    /* The old copy's, or the new one's when the way goes back; of a standby there is none. */
    bool gives = handoff != NULL &&
                 str_equal(instance->id,
                           handoff->state == HANDOFF_STATE_RETURNING ? handoff->to : handoff->from);
    if (handoff != NULL && said->error_code != 0)
        core_owner_failed(core, handoff, instance);
    core_checkpoint_heard(core, instance, said);
    if (now != INSTANCE_HELD || !gives || said->handed == NULL || said->handed[0] == 0)
        return;
    if (str_copy(handoff->handed, sizeof(handoff->handed), said->handed) < 0)
        handoff->handed[0] = 0;
}

static void publish_instance(struct core *core, const struct core_instance *instance)
{
    core_publish(core, instance->state == INSTANCE_FAILED ? "instance.failed" : "instance.state",
                 (struct core_subject){.namespace_ = instance->namespace_,
                                       .app = instance->app,
                                       .workload = instance->workload,
                                       .handoff = instance->handoff,
                                       .instance = instance->id,
                                       .node = instance->node,
                                       .state = instance_state_words[instance->state]},
                 instance->detail);
}

struct core_instance *core_instance_add(struct core *core, const char *id, const char *ns,
                                        const char *app, const char *workload, int replica,
                                        const char *node)
{
    struct core_state *state = &core->state;
    struct core_node *home = core_node_find(core, node);
    if (state->instance_count == LIMIT_INSTANCES || home == NULL)
        return NULL;
    int index = state->instance_count++;
    struct core_instance *instance = &state->instances[index];
    memset(instance, 0, sizeof(*instance));
    CORE_SET(instance->id, id);
    CORE_SET(instance->namespace_, ns);
    CORE_SET(instance->app, app);
    CORE_SET(instance->workload, workload);
    CORE_SET(instance->node, node);
    instance->replica = replica;
    instance->since = state->now;
    instance->node_index = (int)(home - state->nodes);
    core_instance_index(core, index);
    return instance;
}

void core_instance_drop(struct core *core, struct core_instance *instance)
{
    core_commands_drop_instance(core, instance->id, instance->node);
    core_handoff_wake(core, instance->handoff);
    instance->id[0] = 0;
    instance->node_index = -1;
    core->used_rows = 0;
    core->holes.instances = true;
}

bool core_instance_is_settled(const struct core_instance *instance)
{
    return instance->state == INSTANCE_STOPPED || instance->state == INSTANCE_FAILED;
}

bool core_instance_is_dead(const struct core_instance *instance)
{
    return instance == NULL || instance->lost || core_instance_is_settled(instance);
}

void core_tidy(struct core *core)
{
    for (int i = 0; i < core->state.instance_count; i++)
        core_tidy_instance(core, &core->state.instances[i]);
}

/* One that is to go and belongs to no handoff is stopped, then forgotten, then dropped. One that
 * should serve but was left held by a handoff that ended badly is resumed. */
void core_tidy_instance(struct core *core, struct core_instance *instance)
{
    if (instance->id[0] == 0 || instance->handoff[0] != 0)
        return;
    if (instance->want != WANT_GONE) {
        /* An owner owns again by a handoff of its own (core_owner_reclaim). */
        if (!instance->lost && instance->class_ == HANDOFF_OVERLAP &&
            (instance->state == INSTANCE_HELD || instance->state == INSTANCE_DRAINING))
            (void)core_command_ensure(core, "", instance, NODE_RESUME);
        return;
    }
    /* One that may have been told to own is kept in mind for as long as it may. */
    if (instance->lost && !core_may_own(core, instance))
        core_instance_drop(core, instance);
    else if (instance->lost)
        return;
    else if (!core_instance_is_settled(instance))
        (void)core_command_ensure(core, "", instance, NODE_STOP);
    else
        (void)core_command_ensure(core, "", instance, NODE_FORGET);
}

void core_room_came(struct core *core)
{
    const struct core_state *state = &core->state;
    bool blocked = false;
    for (int i = 0; i < state->app_count && core->blocked && !blocked; i++) {
        for (int k = 0; k < state->apps[i].app.workload_count && !blocked; k++)
            blocked = memchr(state->apps[i].workloads[k].site_blocked, 1,
                             (size_t)state->world->site_count) != NULL;
    }
    core->blocked = blocked;
    if (blocked)
        core_inputs_changed(core, true);
}
