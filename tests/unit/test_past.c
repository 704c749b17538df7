/* The documents, tags, nodes and moves of a stretch of time, out of a journal that is open. */
#include "scheduler/service/past.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/app.h"
#include "model/world.h"
#include "scheduler/service/codec.h"
#include "scheduler/service/journal.h"

#define BEGIN_US (INT64_C(1770000000) * US_PER_S)

static struct arena arena;
static struct journal *journal;
static struct world world;
static struct app app;
static char folder[32];
static char path[64];

static void append(struct core_event *event, int64_t second, const char *effects)
{
    struct strbuf text;
    struct error err;
    strbuf_init(&text, 1 << 20);
    event->at.us = BEGIN_US + second * US_PER_S;
    codec_event_write(event, &text);
    struct journal_record record = {
        .at_us = event->at.us, .event = strbuf_text(&text), .effects = effects};
    if (journal_append(journal, &record, 1, &err) < 0)
        fail_msg("%s", err.text);
    strbuf_done(&text);
}

static void append_app(const char *name, const char *calls, int64_t second)
{
    char text[512];
    struct error err;
    str_format(text, sizeof(text),
               "app: %s\nworkloads:\n  - {name: web, resources: {cpu: 100m, memory: 64MiB}, calls: "
               "%s, run: {driver: process, artifact: 'file:/bin/true'}}\n",
               name, calls);
    if (app_parse("a", text, strlen(text), &arena, &app, &err) < 0)
        fail_msg("%s", err.text);
    append(&(struct core_event){.kind = CORE_APPLY, .apply = {.app = &app}}, second, "[]");
}

static void append_target(enum core_event_kind kind, const char *name, const char *value,
                          int64_t second)
{
    struct core_event event = {.kind = kind};
    str_format(event.target.namespace_, LIMIT_NAME_BYTES, "default");
    str_format(event.target.app, LIMIT_NAME_BYTES, "%s", name);
    str_format(event.target.workload, LIMIT_NAME_BYTES, "web");
    str_format(event.target.key, LIMIT_NAME_BYTES, "cloud");
    str_format(event.target.value, LIMIT_NAME_BYTES, "%s", value);
    append(&event, second, "[]");
}

static int setup(void **state)
{
    (void)state;
    uint64_t term;
    struct error err;
    static const char text[] = "world: test\naccounts:\n  - {name: own, provider: edge}\nsites:\n  "
                               "- {name: edge/nyc, tier: edge, account: own, price: {cpu: 0.05, "
                               "memory: 0.006}}\n";
    arena_init(&arena, (size_t)64 << 20);
    str_format(folder, sizeof(folder), "past-XXXXXX");
    assert_non_null(mkdtemp(folder));
    str_format(path, sizeof(path), "%s/journal.db", folder);
    if (journal_open(path, &journal, &term, &err) < 0 ||
        world_parse("w", text, strlen(text), &arena, &world, &err) < 0)
        fail_msg("%s", err.text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const ends[] = {"", "-wal", "-shm", ".lock"};
    journal_close(journal);
    journal = NULL;
    for (int i = 0; i < 4; i++) {
        char name[80];
        str_format(name, sizeof(name), "%s%s", path, ends[i]);
        (void)unlink(name);
    }
    arena_done(&arena);
    return rmdir(folder);
}

static void read_past(int64_t from, int64_t to, struct past *past)
{
    struct error err;
    if (past_read(path, BEGIN_US + from * US_PER_S, BEGIN_US + to * US_PER_S, &arena, past, &err) <
        0)
        fail_msg("%s", err.text);
}

static void what_held_at_the_end_is_read(void **state)
{
    (void)state;
    struct past past;
    append(&(struct core_event){.kind = CORE_WORLD, .world = &world}, 0, "[]");
    struct core_event hello = {.kind = CORE_HELLO};
    str_format(hello.hello.node, LIMIT_NAME_BYTES, "n1");
    str_format(hello.hello.site, LIMIT_REF_BYTES, "edge/nyc");
    hello.hello.mcpu = 2000;
    hello.hello.memory_bytes = 1 << 30;
    append(&hello, 1, "[]");
    append_app("shop", "10/s", 10);
    append_app("gone", "10/s", 11);
    append_target(CORE_RETAG, "shop", "aws", 15);
    append_app("shop", "20/s", 20); /* which brings its own tags */
    append_target(CORE_RETAG, "shop", "gcp", 30);
    hello.hello.mcpu = 4000;
    append(&hello, 31,
           "[{\"kind\":\"publish\",\"event\":{\"name\":\"handoff.step\",\"state\":\"done\"}},"
           "{\"kind\":\"publish\",\"event\":{\"name\":\"handoff.step\",\"state\":\"held\"}}]");
    append_target(CORE_DELETE, "gone", "", 40);
    append_app("late", "10/s", 60);
    read_past(18, 50, &past);
    assert_string_equal(past.world->name, "test");
    assert_int_equal(past.worlds, 0);
    assert_int_equal(past.app_count, 1);
    assert_string_equal(past.apps[0].app->name, "shop");
    assert_int_equal(past.apps[0].app->workloads[0].calls_mhz, 20000);
    assert_int_equal(past.apps[0].changes, 1);
    assert_int_equal(past.retag_count, 1);
    assert_string_equal(past.retags[0].value, "gcp");
    assert_int_equal(past.retags[0].at_us, BEGIN_US + 30 * US_PER_S);
    assert_int_equal(past.node_count, 1);
    assert_int_equal(past.nodes[0].mcpu, 4000);
    assert_int_equal(past.moves, 1);
    assert_int_equal(past.records, 4);
    read_past(0, 18, &past);
    assert_int_equal(past.app_count, 2);
    assert_int_equal(past.apps[0].app->workloads[0].calls_mhz, 10000);
    assert_string_equal(past.retags[0].value, "aws");
    assert_int_equal(past.nodes[0].mcpu, 2000);
    assert_int_equal(past.moves, 0);
}

static void nothing_to_read_is_told(void **state)
{
    (void)state;
    struct past past;
    struct error err;
    assert_int_equal(past_read(path, 0, INT64_MAX, &arena, &past, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "knows no world"));
    assert_int_equal(past_read("none.db", 0, INT64_MAX, &arena, &past, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "no journal none.db"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_held_at_the_end_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_to_read_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
