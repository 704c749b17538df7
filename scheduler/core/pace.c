/*
 * How much a step looks at, and how much is begun at once.
 *
 * An event is about one instance as a rule. What may follow from it is marked, workload by workload
 * and instance by instance, and only that is compared with the plan; whatever is about more than
 * that sets `diff` or `tidy`, and everything is.
 *
 * A handoff of one class (overlap, without an ingress) waits for words about its own instances and
 * commands and for its deadline, and is not visited before. Whatever else a state may wait for (an
 * owner's lease, routes, a place among the moves under way) and every event that is about more than
 * one instance keeps it awake.
 *
 * First starts and removals do not wait for policy.moves_max, since nobody is served by them yet or
 * any more; but a thousand of them at once would be as many processes forking and as many requests
 * without an answer. LIMIT_NODE_STARTS of a node and LIMIT_STARTS in all are begun; the rest waits,
 * in the order of the apps, as the difference between plan and reality that it is. `starved` says
 * that something waits. It is tried again with every LIMIT_NODE_STARTS handoffs that end, when none
 * is under way, and with every tick: conditions that an image keeps, so that a restored core begins
 * the same at the same step. `crowded` says that more waits than commands of no handoff, which are
 * found without a look at the plan; no image keeps it, since looking at more than waits finds no
 * more.
 */
#include <string.h>

#include "base/str.h"
#include "scheduler/core/internal.h"

static void count(struct core *core);
static void count_orders(struct core *core);
static bool is_paced(const struct core_handoff *handoff);

void core_slot_changed(struct core *core, const char *ns, const char *app, const char *workload)
{
    struct core_marks *marks = &core->marks;
    for (int i = 0; i < marks->slot_count; i++) {
        if (str_equal(marks->slots[i].workload, workload) && str_equal(marks->slots[i].app, app) &&
            str_equal(marks->slots[i].namespace_, ns))
            return;
    }
    if (core->diff || marks->slot_count == CORE_MARKS) {
        core->diff = true;
        return;
    }
    struct core_slot *slot = &marks->slots[marks->slot_count++];
    CORE_SET(slot->namespace_, ns);
    CORE_SET(slot->app, app);
    CORE_SET(slot->workload, workload);
}

void core_instance_changed(struct core *core, const struct core_instance *instance)
{
    struct core_marks *marks = &core->marks;
    if (instance == NULL)
        return;
    if (core->tidy || marks->instance_count == CORE_MARKS)
        core->tidy = true;
    else
        marks->instances[marks->instance_count++] = (int)(instance - core->state.instances);
}

void core_handoff_wake(struct core *core, const char *handoff)
{
    const struct core_handoff *found = core_handoff_find(core, handoff);
    if (found != NULL)
        core->pace.rests[found - core->state.handoffs].rests = false;
}

/* What is marked meanwhile is for the next pass. */
bool core_look_again(struct core *core)
{
    struct core_marks *marks = &core->marks;
    bool more = core->diff || core->tidy || marks->slot_count > 0 || marks->instance_count > 0;
    struct core_marks now;
    now.slot_count = 0;
    now.instance_count = 0;
    core->pace.counted = false;
    core->pace.orders_counted = false;
    if (!core->diff)
        now.slot_count = marks->slot_count;
    memcpy(now.slots, marks->slots, (size_t)now.slot_count * sizeof(now.slots[0]));
    marks->slot_count = 0;
    if (core->diff) {
        core->diff = false;
        core_diff(core);
    }
    for (int i = 0; i < now.slot_count; i++)
        core_diff_slot(core, &now.slots[i]);
    if (!core->tidy)
        now.instance_count = marks->instance_count;
    memcpy(now.instances, marks->instances, (size_t)now.instance_count * sizeof(now.instances[0]));
    marks->instance_count = 0;
    if (core->tidy) {
        core->tidy = false;
        core_tidy(core);
    }
    for (int i = 0; i < now.instance_count; i++)
        core_tidy_instance(core, &core->state.instances[now.instances[i]]);
    return more;
}

/* ---- how much is begun ---- */

bool core_pace_room(struct core *core, int node)
{
    struct core_pace *pace = &core->pace;
    if (!pace->counted)
        count(core);
    if (core->state.handoff_count < LIMIT_HANDOFFS && pace->all < LIMIT_STARTS &&
        (node < 0 || pace->nodes[node] < LIMIT_NODE_STARTS))
        return true;
    core_pace_crowded(core);
    return false;
}

void core_pace_begun(struct core *core, int node)
{
    core->pace.all++;
    core->pace.nodes[node]++;
}

static void count(struct core *core)
{
    const struct core_state *state = &core->state;
    struct core_pace *pace = &core->pace;
    memset(pace->nodes, 0, (size_t)state->node_count * sizeof(pace->nodes[0]));
    pace->all = 0;
    for (int i = 0; i < state->handoff_count; i++) {
        if (is_paced(&state->handoffs[i]) && pace->handoff_node[i] >= 0)
            core_pace_begun(core, pace->handoff_node[i]);
    }
    pace->counted = true;
}

/* Of moves only those under way count, and policy.moves_max is their limit. */
static bool is_paced(const struct core_handoff *handoff)
{
    return handoff->id[0] != 0 && (handoff->from[0] == 0 || handoff->to[0] == 0 ||
                                   handoff->state != HANDOFF_STATE_PLANNED);
}

bool core_order_room(struct core *core, const struct core_instance *instance, enum node_verb verb)
{
    struct core_pace *pace = &core->pace;
    int node = instance->node_index;
    if (verb != NODE_STOP && verb != NODE_FORGET)
        return true;
    if (!pace->orders_counted)
        count_orders(core);
    if (pace->orders_all >= LIMIT_ORDERS || pace->orders[node] >= LIMIT_NODE_ORDERS) {
        core->starved = true;
        return false;
    }
    pace->orders_all++;
    pace->orders[node]++;
    return true;
}

static void count_orders(struct core *core)
{
    const struct core_state *state = &core->state;
    struct core_pace *pace = &core->pace;
    memset(pace->orders, 0, (size_t)state->node_count * sizeof(pace->orders[0]));
    pace->orders_all = 0;
    for (int i = 0; i < state->command_count; i++) {
        const struct core_command *command = &state->commands[i];
        const struct core_node *node = NULL;
        if (command->id[0] != 0 && command->handoff[0] == 0 && !command->answered &&
            (command->verb == NODE_STOP || command->verb == NODE_FORGET))
            node = core_node_find(core, command->node);
        if (node == NULL)
            continue;
        pace->orders_all++;
        pace->orders[node - state->nodes]++;
    }
    pace->orders_counted = true;
}

void core_pace_ended(struct core *core)
{
    const struct core_state *state = &core->state;
    core->pace.counted = false;
    if (!core->starved)
        return;
    bool any = false;
    for (int i = 0; i < state->handoff_count && !any; i++)
        any = is_paced(&state->handoffs[i]);
    if (!any || state->ended_count % LIMIT_NODE_STARTS == 0)
        core_pace_again(core);
}

void core_pace_again(struct core *core)
{
    if (!core->starved)
        return;
    core->starved = false;
    core->diff |= core->crowded;
    core->crowded = false;
    core->tidy = true;
}

void core_pace_crowded(struct core *core)
{
    core->starved = true;
    core->crowded = true;
}
