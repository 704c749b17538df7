/* engine: order is that of a sorted list, cancelled events never come, engines do not meet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>

#include <cmocka.h>

#include "simulator/engine/engine.h"
#include "simulator/engine/random.h"

struct wanted {
    int64_t at_ns;
    uint64_t number; /* the order of scheduling */
    uint64_t id;
};

static int compare(const void *a, const void *b)
{
    const struct wanted *x = a;
    const struct wanted *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* How far ahead events lie: each shape is hard for another part of the queue. */
static int64_t ahead_ns(struct random_stream *stream, int shape)
{
    double gap = random_exponential(stream);
    switch (shape) {
    case 0:
        return (int64_t)(gap * 1e9);
    case 1:
        return (int64_t)random_below(stream, 3) * 1000; /* many at one instant */
    case 2:
        return random_below(stream, 10) == 0 ? (int64_t)(gap * 1e15) : (int64_t)(gap * 100);
    default:
        return (int64_t)random_exp(random_uniform(stream) * 40); /* every size */
    }
}

/* Against sorting: events are scheduled in batches between takes, so that the wheel turns. */
static void test_order_is_that_of_sorting(void **state)
{
    (void)state;
    enum { count = 60000 };
    struct wanted *wanted = calloc(count, sizeof *wanted);
    assert_non_null(wanted);
    for (int shape = 0; shape < 4; shape++) {
        struct random_stream stream;
        random_indexed(&stream, 7, "order", (uint64_t)shape);
        struct engine *engine = engine_create();
        assert_non_null(engine);
        uint64_t made = 0;
        uint64_t taken = 0;
        struct wanted *got = calloc(count, sizeof *got);
        assert_non_null(got);
        while (taken < count) {
            uint64_t batch = made < count ? random_below(&stream, 400) : 0;
            for (; batch > 0 && made < count; batch--, made++) {
                int64_t at_ns = engine_now_ns(engine) + ahead_ns(&stream, shape);
                wanted[made] = (struct wanted){at_ns, made, 0};
                wanted[made].id = engine_at(engine, at_ns, (uint32_t)shape, made, 5);
                assert_true(wanted[made].id != 0);
            }
            assert_int_equal(engine_pending(engine), made - taken);
            struct engine_event event;
            uint64_t batch_taken = made < count ? random_below(&stream, 300) : count;
            while (batch_taken-- > 0 && engine_next(engine, ENGINE_NEVER, &event)) {
                assert_int_equal(event.kind, shape);
                assert_int_equal(event.b, 5);
                assert_int_equal(event.at_ns, engine_now_ns(engine));
                assert_int_equal(event.id, wanted[event.a].id);
                got[taken++] = (struct wanted){event.at_ns, event.a, event.id};
            }
        }
        /* An event scheduled late can be earlier than one taken only if the clock went back. */
        qsort(wanted, count, sizeof *wanted, compare);
        for (uint64_t i = 0; i < count; i++) {
            assert_int_equal(got[i].number, wanted[i].number);
            assert_int_equal(got[i].at_ns, wanted[i].at_ns);
        }
        assert_int_equal(engine_taken(engine), count);
        engine_destroy(engine);
        free(got);
    }
    free(wanted);
}

static void test_cancelled_events_never_come(void **state)
{
    (void)state;
    enum { count = 20000 };
    struct random_stream stream;
    random_named(&stream, 11, "cancel");
    struct engine *engine = engine_create();
    uint64_t *ids = calloc(count, sizeof *ids);
    assert_non_null(engine);
    assert_non_null(ids);
    uint64_t left = 0;
    for (uint64_t i = 0; i < count; i++) {
        ids[i] = engine_at(engine, (int64_t)random_below(&stream, 1000000), 1, i, 0);
        left++;
        uint64_t other = random_below(&stream, i + 1);
        if (random_below(&stream, 3) > 0 && ids[other] != 0) {
            assert_true(engine_cancel(engine, ids[other]));
            assert_false(engine_cancel(engine, ids[other]));
            ids[other] = 0;
            left--;
        }
        assert_int_equal(engine_pending(engine), left);
    }
    struct engine_event event;
    while (engine_next(engine, ENGINE_NEVER, &event)) {
        assert_int_equal(ids[event.a], event.id);
        ids[event.a] = 0;
        left--;
        assert_false(engine_cancel(engine, event.id)); /* it has come */
    }
    assert_int_equal(left, 0);
    for (int i = 0; i < count; i++)
        assert_int_equal(ids[i], 0);
    free(ids);
    engine_destroy(engine);
}

/* A far timer set and cancelled again and again must not fill memory. */
static void test_cancelled_timers_take_no_memory(void **state)
{
    (void)state;
    struct engine *engine = engine_create();
    assert_non_null(engine);
    for (int64_t i = 0; i < 1000000; i++) {
        uint64_t id = engine_at(engine, i + 30 * NS_PER_S, 2, 0, 0);
        assert_true(engine_cancel(engine, id));
    }
    assert_true(engine_bytes(engine) < 1 << 20);
    assert_int_equal(engine_pending(engine), 0);
    assert_int_equal(engine_peek_ns(engine), ENGINE_NEVER);
    engine_destroy(engine);
}

static void test_until_stops_the_clock(void **state)
{
    (void)state;
    struct engine *engine = engine_create();
    assert_non_null(engine);
    struct engine_event event;
    engine_at(engine, 100, 1, 0, 0);
    engine_at(engine, NS_PER_S, 2, 0, 0);
    assert_false(engine_next(engine, 99, &event));
    assert_true(engine_next(engine, 100, &event));
    assert_false(engine_next(engine, NS_PER_S - 1, &event));
    assert_int_equal(engine_now_ns(engine), 100);
    engine_advance(engine, 5000);
    /* Between what was looked at and what comes next. */
    engine_at(engine, 5000, 3, 0, 0);
    engine_at(engine, 6000, 4, 0, 0);
    assert_true(engine_next(engine, ENGINE_NEVER, &event));
    assert_int_equal(event.kind, 3);
    assert_true(engine_next(engine, ENGINE_NEVER, &event));
    assert_int_equal(event.kind, 4);
    assert_true(engine_next(engine, ENGINE_NEVER, &event));
    assert_int_equal(event.kind, 2);
    engine_destroy(engine);
}

static void count_visit(void *context, const struct engine_event *event)
{
    uint64_t *sums = context;
    sums[0]++;
    sums[1] += event->a;
}

static void test_visit_meets_every_pending_event_once(void **state)
{
    (void)state;
    struct engine *engine = engine_create();
    assert_non_null(engine);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t id = engine_at(engine, (int64_t)i * 1000000, 1, i, 0);
        if (i % 7 == 0)
            assert_true(engine_cancel(engine, id));
        else
            sum += i;
    }
    uint64_t sums[2] = {0};
    engine_visit(engine, count_visit, sums);
    assert_int_equal(sums[0], engine_pending(engine));
    assert_int_equal(sums[1], sum);
    engine_destroy(engine);
}

/* One step of a small simulation: every event schedules another. */
static bool step(struct engine *engine, struct random_stream *stream)
{
    struct engine_event event;
    if (!engine_next(engine, ENGINE_NEVER, &event))
        return false;
    engine_at(engine, event.at_ns + (int64_t)(1e6 * random_exponential(stream)), event.kind,
              event.a + 1, event.b);
    return true;
}

static uint64_t run(uint64_t seed, uint64_t other_seed)
{
    struct engine *engine = engine_create();
    struct engine *other = engine_create();
    struct random_stream stream;
    struct random_stream other_stream;
    random_named(&stream, seed, "a");
    random_named(&other_stream, other_seed, "b");
    for (uint32_t i = 0; i < 500; i++) {
        engine_at(engine, i, i, 0, i);
        engine_at(other, 3 * i, i, 0, 0);
    }
    for (int i = 0; i < 50000; i++) {
        assert_true(step(engine, &stream));
        for (uint64_t k = other_seed % 4; k > 0; k--)
            assert_true(step(other, &other_stream));
    }
    uint64_t hash = engine_hash(engine);
    engine_destroy(engine);
    engine_destroy(other);
    return hash;
}

static void test_engines_do_not_meet(void **state)
{
    (void)state;
    uint64_t alone = run(1, 0);
    assert_int_equal(run(1, 2), alone);
    assert_int_equal(run(1, 3), alone);
    assert_int_not_equal(run(2, 0), alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_that_of_sorting),
        cmocka_unit_test(test_cancelled_events_never_come),
        cmocka_unit_test(test_cancelled_timers_take_no_memory),
        cmocka_unit_test(test_until_stops_the_clock),
        cmocka_unit_test(test_visit_meets_every_pending_event_once),
        cmocka_unit_test(test_engines_do_not_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
