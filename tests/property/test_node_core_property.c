/*
 * The node machine under a random world: commands out of order, repeated, late; processes that end,
 * never get ready, speak out of turn; agents that die between any two effects. Seeded; the model of
 * disk and processes below is the oracle:
 *
 *   - every command is answered, exactly once per delivery;
 *   - nothing is spawned while a process of the instance lives (at most one);
 *   - a process exists only where the record on disk says that one may;
 *   - what was fenced off stays so: no effect of a command below the highest epoch on disk;
 *   - an owner is told to own only with a lease that its shim knows and that has not ended, counted
 *     from a beat that was answered; no process owns past its lease; HELD is told of no owner that
 *     has not frozen, but of one that was never told to own;
 *   - when the world calms down and everything is stopped, no process is left (no orphan).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "executors/node/core/node_core.h"

#define INSTANCES 4
#define SEEDS     800
#define STEPS     300

struct place {
    bool on_disk;
    struct node_record record; /* spec arrays are not used here */
    bool process;              /* alive, shim and all */
    bool ended;                /* its main process has, its shim remains */
    bool ready;
    bool drained;
    bool owning; /* and has not answered that */
    bool owns;   /* it was told to own and has not said frozen since: as the shim knows it */
    bool frozen_last;
    int64_t lease_us; /* as the shim has it; 0: none */
    char handed[64];  /* record.handed, which belongs to the machine */
};

struct waiting {
    enum node_effect_kind kind;
    int index;
    enum node_say say;
    int round;
    uint64_t ticket;
    uint64_t order;
};

#define LEASE_US 200000

struct world {
    uint64_t seed;
    struct node *node;
    struct node_effects *effects;
    int64_t now;
    uint64_t epoch;
    int id;
    struct place places[INSTANCES];
    struct waiting waiting[256];
    int waiting_count;
    int answers;
    int64_t beat_us; /* the last that was answered */
    uint64_t order;
};

static uint64_t draw(struct world *world, uint64_t below)
{
    world->seed ^= world->seed << 13;
    world->seed ^= world->seed >> 7;
    world->seed ^= world->seed << 17;
    return world->seed % below;
}

static int index_of(const char *instance)
{
    return instance[0] == 'i' ? instance[1] - '0' : -1;
}

static void name_of(int index, char out[LIMIT_ID_BYTES])
{
    str_format(out, LIMIT_ID_BYTES, "i%d", index);
}

static void wait_for(struct world *world, const struct node_effect *effect, int index)
{
    struct waiting waiting = {.kind = effect->kind, .index = index, .order = ++world->order};
    assert_true(world->waiting_count < 256);
    if (effect->kind == NODE_FX_SAY) {
        waiting.say = effect->say.what;
        waiting.round = effect->say.round;
    } else if (effect->kind == NODE_FX_SHIP || effect->kind == NODE_FX_GET) {
        waiting.ticket = effect->file.ticket;
    } else if (effect->kind == NODE_FX_JUDGE) {
        waiting.round = effect->live ? 1 : 0;
    }
    world->waiting[world->waiting_count++] = waiting;
}

/* Odd instances are of the classes that own. */
static enum spec_class class_of(int index)
{
    return index == 1 ? SPEC_EXCLUSIVE : index == 3 ? SPEC_STATEFUL : SPEC_OVERLAP;
}

static void persist(struct place *place, const struct node_record *record)
{
    assert_true(!place->on_disk || epoch_compare(record->epoch, place->record.epoch) >= 0);
    place->on_disk = true;
    place->record = *record;
    str_format(place->handed, sizeof(place->handed), "%s",
               record->handed == NULL ? "" : record->handed);
    place->record.handed = place->handed[0] == 0 ? NULL : place->handed;
}

/* What reaches the shim at once; the workload's answer comes later. */
static void told(struct world *world, struct place *place, const struct node_effect *effect)
{
    if (effect->say.what == SAY_FREEZE)
        place->frozen_last = false;
    if (effect->say.what != SAY_OWN)
        return;
    /* The disk knows by which epoch; the shim knows until when, and not from the future. */
    assert_int_equal(epoch_compare(place->record.owner, effect->say.epoch), 0);
    assert_int_equal(place->record.want, NODE_WANT_SERVE);
    assert_true(place->lease_us > world->now);
    assert_true(place->lease_us <= world->beat_us + LEASE_US);
    if (place->process && !place->ended)
        place->owns = place->owning = true;
    place->frozen_last = false;
}

static void carry_out(struct world *world, const struct node_effect *effect)
{
    int index = index_of(effect->instance);
    struct place *place = index < 0 ? NULL : &world->places[index];
    switch (effect->kind) {
    case NODE_FX_PERSIST:
        persist(place, &effect->record);
        break;
    case NODE_FX_ERASE:
        assert_false(place->process);
        place->on_disk &= effect->folder_only;
        break;
    case NODE_FX_SPAWN:
        assert_false(place->process);
        assert_int_equal(place->record.state, INSTANCE_STARTING);
        place->process = true;
        place->ended = place->ready = place->drained = place->owns = place->owning =
            place->frozen_last = false;
        place->lease_us = 0; /* a new shim */
        for (int i = 0; i < world->waiting_count; i++)
            if (world->waiting[i].kind == NODE_FX_SAY && world->waiting[i].index == index)
                world->waiting[i--] = world->waiting[--world->waiting_count];
        wait_for(world, effect, index);
        break;
    case NODE_FX_LEASE:
        assert_true(effect->lease.until_us <= world->beat_us + LEASE_US);
        place->lease_us = effect->lease.until_us;
        break;
    case NODE_FX_SAY:
        told(world, place, effect);
        wait_for(world, effect, index);
        break;
    case NODE_FX_TERM:
    case NODE_FX_FETCH:
    case NODE_FX_CLEAR:
    case NODE_FX_JUDGE:
    case NODE_FX_SHIP:
    case NODE_FX_GET:
        wait_for(world, effect, index);
        break;
    case NODE_FX_ANSWER:
        world->answers++;
        break;
    case NODE_FX_REPORT:
        /* What is told was durable before; but for a freeze that was asked for: that it was asked
         * is, and whoever finds no more in the record asks again. */
        assert_true(place->on_disk);
        if (effect->report.instance.state != INSTANCE_HELD || class_of(index) == SPEC_OVERLAP ||
            place->record.state != INSTANCE_DRAINING || place->record.want != NODE_WANT_HELD ||
            !place->frozen_last)
            assert_int_equal(effect->report.instance.state, place->record.state);
        if (effect->report.instance.state == INSTANCE_STOPPED ||
            effect->report.instance.state == INSTANCE_FAILED)
            assert_false(place->process);
        if (effect->report.instance.state == INSTANCE_HELD && class_of(index) != SPEC_OVERLAP)
            assert_true(!place->owns || place->record.want == NODE_WANT_SERVE || place->ended);
        break;
    case NODE_FX_HELLO:
    case NODE_FX_PROBE:
    case NODE_FX_PROBED:
    case NODE_FX_DROP:
    case NODE_FX_BEAT:
    case NODE_FX_ROUTE:
        break;
    }
}

static void restart(struct world *world);

/* One step; the agent may die after any of its effects. */
static void feed(struct world *world, struct node_event *event, bool may_die)
{
    event->at.us = world->now;
    node_step(world->node, event, world->effects);
    int count = world->effects->count;
    bool dies = may_die && draw(world, 12) == 0;
    int until = dies ? (int)draw(world, (uint64_t)count + 1) : count;
    for (int i = 0; i < until; i++)
        carry_out(world, &world->effects->list[i]);
    if (dies)
        restart(world);
}

static void restart(struct world *world)
{
    struct error err;
    static struct node_record records[INSTANCES];
    int count = 0;
    node_destroy(world->node);
    assert_int_equal(node_create("n1", &world->node, &err), 0);
    /* What the agent was waiting for died with it; what workloads were told did not. */
    int kept = 0;
    for (int i = 0; i < world->waiting_count; i++)
        if (world->waiting[i].kind == NODE_FX_SAY)
            world->waiting[kept++] = world->waiting[i];
    world->waiting_count = kept;
    for (int i = 0; i < INSTANCES; i++)
        if (world->places[i].on_disk) {
            records[count] = world->places[i].record;
            /* The arrays in it belonged to the machine that died. */
            records[count].spec.args = NULL;
            records[count].spec.arg_count = 0;
            count++;
        }
    world->beat_us = 0; /* no beat of this agent has been answered */
    struct node_event event = {.kind = NODE_EV_STARTED};
    str_format(event.started.boot_id, sizeof(event.started.boot_id), "b");
    event.started.records = records;
    event.started.record_count = count;
    feed(world, &event, false);
    for (int i = 0; i < INSTANCES; i++) {
        const struct place *place = &world->places[i];
        if (!place->on_disk || !place->process)
            continue;
        event = (struct node_event){.kind = NODE_EV_ADOPTED};
        name_of(i, event.instance);
        event.adopted.running = !place->ended;
        event.adopted.said_ready = place->ready && !place->drained;
        event.adopted.said_drained = place->drained;
        event.adopted.lease_us = place->lease_us;
        feed(world, &event, false);
    }
    for (int i = 0; i < INSTANCES; i++) {
        const struct place *place = &world->places[i];
        if (!place->on_disk || !place->process || place->ended || !place->frozen_last)
            continue;
        event = (struct node_event){.kind = NODE_EV_SAID, .said = SAID_FROZEN};
        name_of(i, event.instance);
        event.said_text = "again";
        feed(world, &event, false);
    }
    event = (struct node_event){.kind = NODE_EV_TICK};
    feed(world, &event, false);
}

static void command(struct world *world, enum node_verb verb, int index, bool late, bool may_die)
{
    struct node_event event = {.kind = NODE_EV_COMMAND};
    struct message_command *message = &event.command;
    uint64_t back = late ? draw(world, 6) : 0;
    message->verb = (int)verb;
    name_of(index, message->instance);
    message->epoch = (struct epoch){1, world->epoch > back ? world->epoch - back : 0};
    if (!late)
        message->epoch.n = ++world->epoch;
    str_format(message->id, sizeof(message->id), "c%d",
               may_die && draw(world, 8) == 0 && world->id > 0 ? world->id : ++world->id);
    message->spec.handoff = (int)class_of(index);
    message->spec.lease_us = LEASE_US;
    message->spec.contract = index % 2 == 0 || class_of(index) != SPEC_OVERLAP;
    message->spec.ready.kind = index % 2 == 0 ? READY_CONTRACT : READY_TCP;
    message->spec.ready.failures = index >= 2 ? 2 : 0;
    message->spec.ready.period_us = 2000;
    if (index == 2)
        message->spec.live =
            (struct message_ready){.kind = READY_HTTP, .period_us = 3000, .failures = 2};
    message->handed = draw(world, 2) == 0 ? "state" : NULL;
    message->round = 1 + (int)draw(world, 3);
    str_format(message->object.digest, LIMIT_DIGEST_BYTES, "sha256:%d", message->round);
    message->spec.restarts_max = 2;
    message->spec.restart_backoff_us = 1000;
    message->spec.start_timeout_us = 50000;
    message->spec.stop_timeout_us = 20000;
    message->spec.drain_timeout_us = 20000;
    str_format(message->spec.namespace_, LIMIT_NAME_BYTES, "shop");
    str_format(message->spec.app, LIMIT_NAME_BYTES, "web");
    str_format(message->spec.workload, LIMIT_NAME_BYTES, "front");
    str_format(message->subject, sizeof(message->subject), "a.b");
    struct epoch fence = world->places[index].record.epoch;
    bool fenced = world->places[index].on_disk && verb != NODE_PROBE &&
                  epoch_compare(message->epoch, fence) < 0;
    int answers = world->answers;
    int waiting = world->waiting_count;
    feed(world, &event, may_die && !fenced);
    if (!may_die || fenced)
        assert_int_equal(world->answers, answers + 1);
    if (fenced)
        assert_int_equal(world->waiting_count, waiting);
}

/* An owner's answer, mostly the right one; to a freeze it may stay silent, or say that it failed.
 */
static bool answer(struct world *world, struct place *place, const struct waiting *waiting,
                   struct node_event *event)
{
    static const enum workload_word words[] = {[SAY_FREEZE] = SAID_FROZEN,
                                               [SAY_OWN] = SAID_OWNED,
                                               [SAY_SNAPSHOT] = SAID_SNAPSHOTTED,
                                               [SAY_RESTORE] = SAID_RESTORED};
    event->said = draw(world, 10) == 0 ? SAID_FAILED : words[waiting->say];
    event->round = waiting->round;
    event->said_text = "text";
    if (waiting->say == SAY_OWN)
        place->owning = false;
    if (event->said != SAID_FROZEN)
        return true;
    if (place->owning)
        return false; /* as the shim: with an "own" still unanswered it will own */
    place->owns = false;
    place->frozen_last = true;
    return true;
}

/* Any of it, but a workload hears, and answers, in order. */
static struct waiting take_waiting(struct world *world)
{
    int at = (int)draw(world, (uint64_t)world->waiting_count);
    for (int i = 0; i < world->waiting_count; i++)
        if (world->waiting[at].kind == NODE_FX_SAY && world->waiting[i].kind == NODE_FX_SAY &&
            world->waiting[i].index == world->waiting[at].index &&
            world->waiting[i].order < world->waiting[at].order)
            at = i;
    struct waiting waiting = world->waiting[at];
    world->waiting[at] = world->waiting[--world->waiting_count];
    return waiting;
}

/* Something of what was asked for happens, well or badly. */
static void happen(struct world *world, bool kindly, bool may_die)
{
    if (world->waiting_count == 0)
        return;
    struct waiting waiting = take_waiting(world);
    struct place *place = &world->places[waiting.index];
    struct node_event event = {0};
    name_of(waiting.index, event.instance);
    bool badly = !kindly && draw(world, 4) == 0;
    switch (waiting.kind) {
    case NODE_FX_FETCH:
        event.kind = NODE_EV_FETCHED;
        event.result.code = badly ? ERR_CORRUPT : 0;
        break;
    case NODE_FX_SPAWN:
        event.kind = NODE_EV_SPAWNED;
        event.result.code = badly ? ERR_IO : 0;
        if (badly)
            place->process = false;
        break;
    case NODE_FX_CLEAR:
        event.kind = NODE_EV_CLEARED;
        event.result.code = badly ? ERR_IO : 0;
        if (!badly)
            place->process = place->ended = false;
        break;
    case NODE_FX_JUDGE:
        event.kind = NODE_EV_JUDGED;
        event.judged_ready = !badly && place->process && !place->ended;
        event.live = waiting.round == 1;
        break;
    case NODE_FX_SHIP:
        event.kind = NODE_EV_SHIPPED;
        event.ticket = waiting.ticket;
        event.shipped.code = badly ? ERR_UNAVAILABLE : 0;
        str_format(event.shipped.object.digest, LIMIT_DIGEST_BYTES, "sha256:s");
        break;
    case NODE_FX_GET:
        event.kind = NODE_EV_GOT;
        event.ticket = waiting.ticket;
        event.result.code = badly ? ERR_NOT_FOUND : 0;
        break;
    case NODE_FX_TERM:
        if (badly || !place->process || place->ended)
            return;
        place->ended = true;
        event.kind = NODE_EV_EXITED;
        break;
    default:
        if (!place->process || place->ended || (badly && waiting.say <= SAY_FREEZE))
            return;
        event.kind = NODE_EV_SAID;
        if (waiting.say >= SAY_FREEZE) {
            if (!answer(world, place, &waiting, &event))
                return;
            break;
        }
        /* It answers some word: which one is not even looked at, so it may be the wrong one. */
        event.said = (enum workload_word)draw(world, 3);
        place->drained = event.said == SAID_DRAINED;
        place->ready = place->ready || event.said != SAID_DRAINED;
        break;
    }
    feed(world, &event, may_die);
}

static void renew(struct world *world)
{
    struct node_event event = {.kind = NODE_EV_RENEWED};
    event.renewed.sent_us = world->now;
    world->beat_us = world->now;
    feed(world, &event, true);
}

/* The shims: what owns past its lease is killed. */
static void keep_leases(struct world *world)
{
    for (int i = 0; i < INSTANCES; i++) {
        struct place *place = &world->places[i];
        if (!place->process || place->ended || !place->owns || place->lease_us > world->now)
            continue;
        struct node_event event = {.kind = NODE_EV_EXITED, .exit_code = 137};
        name_of(i, event.instance);
        place->ended = true;
        place->owns = false;
        feed(world, &event, true);
    }
}

static void surprise(struct world *world)
{
    int index = (int)draw(world, INSTANCES);
    struct place *place = &world->places[index];
    struct node_event event = {0};
    name_of(index, event.instance);
    if (!place->process || place->ended)
        return;
    if (draw(world, 2) == 0) {
        place->ended = true;
        event.kind = NODE_EV_EXITED;
        event.exit_code = (int)draw(world, 200);
    } else {
        event.kind = NODE_EV_SAID;
        event.said = SAID_READY;
        place->ready = true;
    }
    feed(world, &event, true);
}

static void calm_down(struct world *world)
{
    for (int i = 0; i < INSTANCES; i++)
        command(world, NODE_STOP, i, false, false);
    for (int round = 0; round < 400; round++) {
        struct node_event event = {.kind = NODE_EV_TICK};
        world->now += 20000;
        keep_leases(world);
        feed(world, &event, false);
        happen(world, true, false);
    }
    for (int i = 0; i < INSTANCES; i++) {
        assert_false(world->places[i].process);
        assert_int_equal(world->places[i].record.state, INSTANCE_STOPPED);
    }
}

static void run(uint64_t seed)
{
    struct error err;
    static struct world world;
    memset(&world, 0, sizeof(world));
    world.seed = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    world.now = 1000;
    assert_int_equal(node_effects_create(256, &world.effects), 0);
    assert_int_equal(node_create("n1", &world.node, &err), 0);
    restart(&world);
    for (int i = 0; i < STEPS; i++) {
        struct node_event event = {.kind = NODE_EV_TICK};
        switch (draw(&world, 8)) {
        case 0:
        case 1:
            command(&world, (enum node_verb)draw(&world, NODE_RESTORE + 1),
                    (int)draw(&world, INSTANCES), draw(&world, 3) == 0, true);
            break;
        case 2:
            world.now += (int64_t)draw(&world, 30000);
            keep_leases(&world);
            feed(&world, &event, true);
            if (draw(&world, 3) > 0)
                renew(&world);
            break;
        case 3:
            surprise(&world);
            break;
        default:
            happen(&world, false, true);
            break;
        }
    }
    calm_down(&world);
    node_destroy(world.node);
    node_effects_destroy(world.effects);
}

static void test_random_worlds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        if (seed % 100 == 0)
            print_message("seed %d\n", (int)seed);
        run(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_worlds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
