/*
 * The node machine under a random world: commands out of order, repeated, late; processes that end,
 * never get ready, speak out of turn; agents that die between any two effects. Seeded; the model of
 * disk and processes below is the oracle:
 *
 *   - every command is answered, exactly once per delivery;
 *   - nothing is spawned while a process of the instance lives (at most one);
 *   - a process exists only where the record on disk says that one may;
 *   - what was fenced off stays so: no effect of a command below the highest epoch on disk;
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
#define SEEDS     400
#define STEPS     300

struct place {
    bool on_disk;
    struct node_record record; /* spec arrays are not used here */
    bool process;              /* alive, shim and all */
    bool ended;                /* its main process has, its shim remains */
    bool ready;
    bool drained;
};

struct waiting {
    enum node_effect_kind kind;
    int index;
};

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

static void wait_for(struct world *world, enum node_effect_kind kind, int index)
{
    assert_true(world->waiting_count < 256);
    world->waiting[world->waiting_count++] = (struct waiting){kind, index};
}

static void carry_out(struct world *world, const struct node_effect *effect)
{
    int index = index_of(effect->instance);
    struct place *place = index < 0 ? NULL : &world->places[index];
    switch (effect->kind) {
    case NODE_FX_PERSIST:
        assert_true(!place->on_disk ||
                    epoch_compare(effect->record.epoch, place->record.epoch) >= 0);
        place->on_disk = true;
        place->record = effect->record;
        break;
    case NODE_FX_ERASE:
        assert_false(place->process);
        place->on_disk = false;
        break;
    case NODE_FX_SPAWN:
        assert_false(place->process);
        assert_int_equal(place->record.state, INSTANCE_STARTING);
        *place = (struct place){.on_disk = true, .record = place->record, .process = true};
        wait_for(world, effect->kind, index);
        break;
    case NODE_FX_SAY:
    case NODE_FX_TERM:
    case NODE_FX_FETCH:
    case NODE_FX_CLEAR:
    case NODE_FX_JUDGE:
        wait_for(world, effect->kind, index);
        break;
    case NODE_FX_ANSWER:
        world->answers++;
        break;
    case NODE_FX_REPORT:
        /* What is told was durable before. */
        assert_true(place->on_disk);
        assert_int_equal(effect->report.instance.state, place->record.state);
        if (effect->report.instance.state == INSTANCE_STOPPED ||
            effect->report.instance.state == INSTANCE_FAILED)
            assert_false(place->process);
        break;
    case NODE_FX_HELLO:
    case NODE_FX_PROBE:
    case NODE_FX_PROBED:
    case NODE_FX_SHIP:
    case NODE_FX_GET:
    case NODE_FX_DROP:
    case NODE_FX_LEASE:
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
    world->waiting_count = 0; /* what the agent was waiting for died with it */
    for (int i = 0; i < INSTANCES; i++)
        if (world->places[i].on_disk) {
            records[count] = world->places[i].record;
            /* The arrays in it belonged to the machine that died. */
            records[count].spec.args = NULL;
            records[count].spec.arg_count = 0;
            count++;
        }
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
    message->spec.contract = index % 2 == 0;
    message->spec.ready.kind = index % 2 == 0 ? READY_CONTRACT : READY_TCP;
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

/* Something of what was asked for happens, well or badly. */
static void happen(struct world *world, bool kindly, bool may_die)
{
    if (world->waiting_count == 0)
        return;
    int at = (int)draw(world, (uint64_t)world->waiting_count);
    struct waiting waiting = world->waiting[at];
    world->waiting[at] = world->waiting[--world->waiting_count];
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
        break;
    case NODE_FX_TERM:
        if (badly || !place->process || place->ended)
            return;
        place->ended = true;
        event.kind = NODE_EV_EXITED;
        break;
    default:
        if (badly || !place->process || place->ended)
            return;
        /* It answers some word: which one is not even looked at, so it may be the wrong one. */
        event.kind = NODE_EV_SAID;
        event.said = (enum workload_word)draw(world, 3);
        place->drained = event.said == SAID_DRAINED;
        place->ready = place->ready || event.said != SAID_DRAINED;
        break;
    }
    feed(world, &event, may_die);
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
            command(&world, (enum node_verb)draw(&world, NODE_FORGET + 1),
                    (int)draw(&world, INSTANCES), draw(&world, 3) == 0, true);
            break;
        case 2:
            world.now += (int64_t)draw(&world, 30000);
            feed(&world, &event, true);
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
