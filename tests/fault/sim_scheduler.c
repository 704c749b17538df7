/*
 * The scheduler's shell: journal, images, bus, clock, liveness; and its death and recovery.
 *
 * A record is written, synced, and only then do the effects of its step leave, as in production.
 * What is not synced a loss of power may take, wholly or in the middle of a record, which its
 * checksum shows: it and what follows are not there. The clock is the wall clock at the start, not
 * below the journal's last instant, and then counts by CLOCK_MONOTONIC.
 */
#include <string.h>

#include "base/str.h"
#include "scheduler/core/image.h"
#include "tests/fault/sim.h"
#include "tests/fault/sim_script.h"

#define SOLVE_US    (20 * US_PER_MS)
#define RESTART_US  (300 * US_PER_MS)
#define REFUSED_US  (500 * US_PER_MS) /* until a journal that refused is tried again */
#define IMAGE_EVERY 256
#define IMAGE_KEEP  32 /* records replayed at least, so that a restart tests replay as well */

#define HELLO_US (2 * US_PER_S) /* AGENT_HELLO_US */

static bool leaves_at_once(const struct core_effect *effect);
static void append(struct sim *sim, const struct core_event *event);
static void sync_journal(struct sim *sim);
static void lose_power(struct sim *sim);
static void keep_image(struct sim *sim);
static struct core *copy_of(struct core *core);
static void keep(struct sim *sim, const struct core_event *event, struct core_event *ret_kept);
static void *copy(struct sim *sim, const void *from, int count, size_t bytes_each);
static void deliver(struct sim *sim, const struct core_effect *effect);
static void send_command(struct sim *sim, const struct core_effect *effect);
static void probe(struct sim *sim, const struct core_effect *effect);
static void note_lost(struct sim *sim, int64_t gap_us);
static bool has_routes(const struct core_state *state, const struct sim_node *node);

int64_t sim_scheduler_us(const struct sim *sim)
{
    return sim->epoch_us + (sim->now_us - sim->epoch_mono_us);
}

int64_t sim_scheduler_deadline(const struct sim *sim)
{
    if (sim->core == NULL)
        return INT64_MAX;
    int64_t us = core_deadline(sim->core).us;
    if (us == INT64_MAX)
        return INT64_MAX;
    us = us - sim->epoch_us + sim->epoch_mono_us;
    return us < sim->scheduler_until_us ? sim->scheduler_until_us : us;
}

void sim_scheduler_start(struct sim *sim)
{
    struct error err;
    int from = 0;
    if (sim->image != NULL) {
        sim->core = copy_of(sim->image);
        from = sim->image_count;
    } else {
        BERTH_ASSERT(core_create(&sim->core, &err) == 0, "%s", err.text);
    }
    BERTH_ASSERT(liveness_create(&sim->liveness) == 0, "no memory");
    sim->scheduler_life++;
    for (int i = from; i < sim->journal_count; i++) {
        core_step(sim->core, &sim->journal[i], sim->effects);
        if (sim->hashes[i] != 0 && core_hash(sim->core) != sim->hashes[i]) {
            sim_break(sim, "replay diverges at journal record %d (%s)", i,
                      core_event_words[sim->journal[i].kind]);
            return;
        }
    }
    int64_t last_us = sim->journal_count > 0 ? sim->journal[sim->journal_count - 1].at.us : 0;
    int64_t wall_us = sim->now_us + sim->wall_us;
    sim->epoch_us = wall_us > last_us ? wall_us : last_us;
    sim->epoch_mono_us = sim->now_us;
    if (sim->journal_count > 0)
        sim_check_recovered(sim);
    liveness_seed(sim->liveness, core_state(sim->core), (struct instant){sim_scheduler_us(sim)});
    /* Before anything is sent again, as production does. */
    for (int i = 0; i < core_state(sim->core)->node_count && sim->refused; i++) {
        for (int k = 0; k < SIM_NODES; k++)
            if (str_equal(sim->nodes[k].name, core_state(sim->core)->nodes[i].name))
                sim_bus(sim, SIM_ASK_HELLO, k, NULL, 0);
    }
    sim->refused = false;
    struct core_event started = {.kind = CORE_STARTED, .started.term = ++sim->term};
    sim_scheduler_take(sim, &started);
    if (sim->core == NULL || core_state(sim->core)->world != NULL)
        return;
    struct core_event world = {.kind = CORE_WORLD, .world = &sim->world};
    sim_scheduler_take(sim, &world);
}

void sim_scheduler_crash(struct sim *sim, bool power, int64_t away_us)
{
    core_destroy(sim->core);
    liveness_destroy(sim->liveness);
    sim->core = NULL;
    sim->liveness = NULL;
    sim->scheduler_life++;
    sim->scheduler_until_us = 0;
    if (power)
        lose_power(sim);
    sim_push(sim, away_us > RESTART_US ? away_us : RESTART_US, SIM_SCHEDULER_UP)->life =
        sim->scheduler_life;
}

/* One step as production makes it: append, step, what may leave at once, sync, then the other
 * effects one by one. */
void sim_scheduler_take(struct sim *sim, struct core_event *event)
{
    event->at.us = sim_scheduler_us(sim);
    const char *word = core_event_words[event->kind];
    if (sim_point(sim, "scheduler before append of", word)) {
        sim_scheduler_crash(sim, true, RESTART_US);
        return;
    }
    append(sim, event);
    core_step(sim->core, &sim->journal[sim->journal_count - 1], sim->effects);
    for (int i = 0; i < sim->effects->count; i++)
        if (leaves_at_once(&sim->effects->list[i]))
            deliver(sim, &sim->effects->list[i]);
    if (sim->journal_full > 0) {
        sim_fault_hit(sim, FAULT_JOURNAL_FULL);
        sim->journal_count--;
        sim_scheduler_crash(sim, false, REFUSED_US);
        sim->refused = true;
        return;
    }
    if (sim->journal_io > 0 && sim_random(sim, 4) == 0) {
        sim_fault_hit(sim, FAULT_JOURNAL_IO);
        sim_scheduler_crash(sim, true, REFUSED_US); /* it may be there all the same */
        sim->refused = true;
        return;
    }
    if (sim_point(sim, "scheduler before sync of", word)) {
        sim_scheduler_crash(sim, true, RESTART_US);
        return;
    }
    sync_journal(sim);
    int every = sim->options.hash_every;
    if (every == 0 || sim->journal_count % every == 0)
        sim->hashes[sim->journal_count - 1] = core_hash(sim->core);
    if (sim_point(sim, "scheduler after sync of", word)) {
        sim_scheduler_crash(sim, true, RESTART_US);
        return;
    }
    if (core_deadline(sim->core).us <= event->at.us)
        sim_break(sim, "the core's deadline does not lie in the future after %s", word);
    sim_check_step(sim);
    for (int i = 0; i < sim->effects->count; i++) {
        const struct core_effect *effect = &sim->effects->list[i];
        if (leaves_at_once(effect))
            continue;
        deliver(sim, effect);
        /* What is only told to people is not worth a crash of its own. */
        if (effect->kind == CORE_PUBLISH)
            continue;
        if (sim_point(sim, "scheduler after effect",
                      effect->kind == CORE_COMMAND ? node_verb_words[effect->command.message.verb]
                                                   : core_effect_words[effect->kind])) {
            sim_scheduler_crash(sim, true, RESTART_US);
            return;
        }
    }
    keep_image(sim);
}

static bool leaves_at_once(const struct core_effect *effect)
{
    return effect->kind == CORE_FENCE && effect->fence.at_once;
}

static void append(struct sim *sim, const struct core_event *event)
{
    BERTH_ASSERT(sim->journal_count < SIM_JOURNAL, "the simulated journal is full");
    keep(sim, event, &sim->journal[sim->journal_count]);
    sim->hashes[sim->journal_count++] = 0;
}

static void sync_journal(struct sim *sim)
{
#ifdef BERTH_PLANT_SKIP_SYNC
    /* The fault that must be found: the kernel writes it when it likes. */
    if (sim->now_us < sim->written_us + 2 * US_PER_S)
        return;
    sim->written_us = sim->now_us;
#endif
    sim->journal_synced = sim->journal_count;
}

/* Of what was not synced any first part may be there, and the next record torn. */
static void lose_power(struct sim *sim)
{
    int unsynced = sim->journal_count - sim->journal_synced;
    if (unsynced > 0)
        sim->journal_count = sim->journal_synced + (int)sim_random(sim, (uint64_t)unsynced + 1);
    sim->journal_synced = sim->journal_count;
}

/* Now and then, so that a restart need not replay everything. */
static void keep_image(struct sim *sim)
{
    if (sim->journal_count - sim->image_count < IMAGE_EVERY + IMAGE_KEEP ||
        sim->journal_synced != sim->journal_count)
        return;
    core_destroy(sim->image);
    sim->image = copy_of(sim->core);
    sim->image_count = sim->journal_count;
    if (core_hash(sim->image) != core_hash(sim->core))
        sim_break(sim, "an image at record %d has another hash", sim->journal_count);
}

static struct core *copy_of(struct core *core)
{
    struct core_image image;
    struct core *fresh = NULL;
    struct error err;
    core_image_take(core, &image);
    int rc = core_restore(&image, &fresh, &err);
    BERTH_ASSERT(rc == 0, "%s", err.text);
    return fresh;
}

/* The journal's copy: nothing in it points to memory that goes away. */
static void keep(struct sim *sim, const struct core_event *event, struct core_event *ret_kept)
{
    *ret_kept = *event;
    if (event->kind == CORE_HELLO) {
        ret_kept->hello.tags = NULL;
        ret_kept->hello.tag_count = 0;
        ret_kept->hello.instances = copy(sim, event->hello.instances, event->hello.instance_count,
                                         sizeof(*event->hello.instances));
    }
    if (event->kind == CORE_ESTIMATES)
        ret_kept->estimates.list = copy(sim, event->estimates.list, event->estimates.count,
                                        sizeof(*event->estimates.list));
    if (event->kind == CORE_PLAN)
        ret_kept->plan.choices =
            copy(sim, event->plan.choices, event->plan.choice_count, sizeof(*event->plan.choices));
    if (event->kind == CORE_OPERATE)
        ret_kept->operate.steps = copy(sim, event->operate.steps, event->operate.step_count,
                                       sizeof(*event->operate.steps));
}

static void *copy(struct sim *sim, const void *from, int count, size_t bytes_each)
{
    if (count == 0)
        return NULL;
    void *list = arena_copy(&sim->arena, from, (size_t)count * bytes_each);
    BERTH_ASSERT(list != NULL, "no memory");
    return list;
}

static void deliver(struct sim *sim, const struct core_effect *effect)
{
    switch (effect->kind) {
    case CORE_REPLY:
        script_replied(sim, effect);
        return;
    case CORE_CHECK:
        sim_checked(sim, effect);
        return;
    case CORE_FENCE:
        sim_fence(sim, effect);
        return;
    case CORE_JUDGE:
        sim_judge(sim, effect);
        return;
    case CORE_COMMAND:
        send_command(sim, effect);
        return;
    case CORE_PROBE:
        probe(sim, effect);
        return;
    case CORE_SOLVE:
        sim_push(sim, SOLVE_US, SIM_PLAN)->life = sim->scheduler_life;
        return;
    case CORE_PUBLISH:
        sim_note(sim, "     %s %s %s %s %s: %.60s", effect->publish.name, effect->publish.handoff,
                 effect->publish.workload, effect->publish.instance, effect->publish.state,
                 effect->publish.text);
        return;
    }
}

static void send_command(struct sim *sim, const struct core_effect *effect)
{
    struct message_command message = effect->command.message;
    if (epoch_compare(message.epoch, sim->epoch_told) > 0)
        sim->epoch_told = message.epoch;
    if (message.handed != NULL)
        message.handed = arena_strdup(&sim->arena, message.handed);
    message.route.servers = copy(sim, message.route.servers, message.route.server_count,
                                 sizeof(*message.route.servers));
    for (int i = 0; i < SIM_NODES; i++) {
        if (str_equal(sim->nodes[i].name, effect->command.node))
            sim_bus(sim, SIM_TO_NODE, i, &message, sizeof(message));
    }
}

static void probe(struct sim *sim, const struct core_effect *effect)
{
    struct core_event *event = arena_alloc(&sim->arena, sizeof(*event));
    BERTH_ASSERT(event != NULL, "no memory");
    int64_t took_us = 0;
    bool answered = sim_probe(sim, -1, effect->probe.instance, &took_us);
    event->kind = CORE_PROBED;
    memcpy(event->probed.id, effect->probe.id, sizeof(event->probed.id));
    memcpy(event->probed.instance, effect->probe.instance, sizeof(event->probed.instance));
    event->probed.sent = effect->probe.count;
    event->probed.answered = answered ? effect->probe.count : 0;
    event->probed.rtt_us = answered ? took_us : 0;
    struct sim_event *done = sim_push(sim, took_us, SIM_SHELL);
    done->payload = event;
    done->life = sim->scheduler_life;
}

/* ---- messages ---- */

void sim_scheduler_message(struct sim *sim, const struct sim_event *event)
{
    /* What a machine has sent may arrive when it is in another boot already. */
    bool past = event->number != sim->nodes[event->node].boots;
    if (sim->core == NULL || (past && sim->options.plain))
        return;
    struct instant now = {sim_scheduler_us(sim)};
    if (event->kind == SIM_BEAT) {
        const struct message_beat *beat = event->payload;
        if (liveness_beat(sim->liveness, beat, now) ||
            !liveness_agrees(core_state(sim->core), beat)) {
            sim_bus(sim, SIM_ASK_HELLO, event->node, NULL, 0);
        } else if (beat->instance_count > 0) {
            sim_bus(sim, SIM_RENEWED, event->node, &beat->boot_us, sizeof(beat->boot_us));
        }
        return;
    }
    struct core_event step = *(struct core_event *)event->payload;
    if (step.kind == CORE_HELLO)
        liveness_hello(sim->liveness, &step.hello, now);
    if (step.kind == CORE_REPORT)
        liveness_report(sim->liveness, step.report.node, step.report.seq);
    sim_scheduler_take(sim, &step);
    if (step.kind == CORE_HELLO && sim->core != NULL && !sim->options.plain)
        sim_bus(sim, SIM_HELLO_HEARD, event->node, NULL, 0);
}

/* A node that the scheduler holds for lost: its ingress goes on by the routes that it has, and
 * nobody waits for it. And nobody heals anything while the scheduler is away. */
static void note_lost(struct sim *sim, int64_t gap_us)
{
    const struct core_state *state = sim->core == NULL ? NULL : core_state(sim->core);
    for (int i = 0; state != NULL && i < state->node_count; i++) {
        for (int k = 0; k < SIM_INGRESSES; k++) {
            struct sim_node *node = &sim->nodes[k];
            if (!str_equal(node->name, state->nodes[i].name))
                continue;
            bool outdated = !state->nodes[i].up || (node->outdated && !has_routes(state, node));
            if (node->outdated && !outdated) /* what it sent before is still on its way */
                node->parted_us = sim->now_us + US_PER_S / 2;
            node->outdated = outdated;
        }
    }
    if (sim->core != NULL && sim->scheduler_until_us <= sim->now_us)
        return;
    for (int i = 0; i < SIM_WORKLOADS; i++)
        sim->excused_us[i] += sim->excused_us[i] > sim->now_us ? gap_us : 0;
}

static bool has_routes(const struct core_state *state, const struct sim_node *node)
{
    for (int i = 0; i < state->route_count; i++) {
        const struct core_route *route = &state->routes[i];
        bool has = false;
        for (int k = 0; k < route->ack_count; k++)
            has |= str_equal(route->acks[k].node, node->name) &&
                   route->acks[k].version == route->version;
        if (!has)
            return false;
    }
    return true;
}

/* One with owners beats by a request. */
void sim_beat(struct sim *sim, int index)
{
    const struct sim_node *node = &sim->nodes[index];
    struct message_beat beat = {.seq = node->seq};
    str_format(beat.node, sizeof(beat.node), "%s", node->name);
    memcpy(beat.boot_id, node->boot_id, sizeof(beat.boot_id));
    beat.boot_us = sim_boot_us(sim, index);
    beat.instance_count = node_wants_answers(node->core);
    sim_bus(sim, SIM_BEAT, index, &beat, sizeof(beat));
}

/* Every 250 ms: nodes beat at every other, and the scheduler looks for those that do not. */
void sim_scheduler_watch(struct sim *sim)
{
    int64_t gap_us = 250 * US_PER_MS;
    (void)sim_push(sim, gap_us, SIM_WATCH);
    for (int i = 0; i < SIM_NODES && sim->now_us / gap_us % 2 == 0; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (node->core == NULL || node->stopped_until_us > sim->now_us ||
            node->machine_until_us > sim->now_us)
            continue;
        sim_beat(sim, i);
        /* A hello without an answer is said again, as agent.c does. */
        if (!sim->options.plain && node->hello_us != 0 &&
            sim->now_us - node->hello_us >= HELLO_US) {
            struct node_event again = {.kind = NODE_EV_HELLO_ASKED};
            sim_node_take(sim, i, &again);
        }
    }
    note_lost(sim, gap_us);
    if (sim->core != NULL && sim->scheduler_until_us <= sim->now_us)
        sim_check_ship(sim);
    while (sim->core != NULL && core_state(sim->core)->world != NULL &&
           sim->scheduler_until_us <= sim->now_us) {
        const char *lost = liveness_overdue(sim->liveness, (struct instant){sim_scheduler_us(sim)},
                                            core_state(sim->core)->world->policy.node_timeout_us);
        if (lost == NULL)
            break;
        struct core_event event = {.kind = CORE_NODE_LOST};
        str_format(event.node, sizeof(event.node), "%s", lost);
        for (int i = 0; i < SIM_NODES; i++) {
            if (str_equal(sim->nodes[i].name, lost))
                sim_accident_of_node(sim, i, sim->now_us);
        }
        sim_scheduler_take(sim, &event);
    }
}
