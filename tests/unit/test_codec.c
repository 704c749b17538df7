#include "scheduler/service/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/doc.h"
#include "model/app.h"
#include "model/world.h"

#define RECORD_BYTES ((size_t)16 << 20)

static struct arena arena;
static struct strbuf first;
static struct strbuf second;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    strbuf_init(&first, RECORD_BYTES);
    strbuf_init(&second, RECORD_BYTES);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    strbuf_done(&first);
    strbuf_done(&second);
    return 0;
}

static struct core_event event_of(enum core_event_kind kind)
{
    struct core_event event = {.kind = kind, .at = {1700000000123456}};
    str_format(event.request, sizeof(event.request), "request-1");
    return event;
}

/* Written, read and written again: equal texts, and the head survives. */
static struct core_event round_trip(const struct core_event *event)
{
    strbuf_reset(&first);
    strbuf_reset(&second);
    codec_event_write(event, &first);
    assert_int_equal(strbuf_error(&first, NULL), 0);
    struct core_event read;
    struct error err = {0};
    if (codec_event_read(strbuf_text(&first), first.bytes, &arena, &read, &err) < 0)
        fail_msg("%s: %s", strbuf_text(&first), err.text);
    assert_int_equal(read.kind, event->kind);
    assert_int_equal(read.at.us, event->at.us);
    assert_string_equal(read.request, event->request);
    codec_event_write(&read, &second);
    assert_string_equal(strbuf_text(&first), strbuf_text(&second));
    return read;
}

static void small_events_survive(void **state)
{
    (void)state;
    struct core_event event = event_of(CORE_STARTED);
    event.started.term = UINT64_MAX;
    assert_true(round_trip(&event).started.term == UINT64_MAX);

    event = event_of(CORE_TICK);
    event.at.us = -1;
    event.request[0] = 0;
    (void)round_trip(&event);
    assert_non_null(strstr(strbuf_text(&first), "\"kind\":\"tick\""));

    event = event_of(CORE_NODE_LOST);
    str_format(event.node, sizeof(event.node), "n1");
    assert_string_equal(round_trip(&event).node, "n1");

    event = event_of(CORE_RETAG);
    str_format(event.target.namespace_, sizeof(event.target.namespace_), "default");
    str_format(event.target.app, sizeof(event.target.app), "shop");
    str_format(event.target.workload, sizeof(event.target.workload), "source");
    str_format(event.target.key, sizeof(event.target.key), "cloud");
    str_format(event.target.value, sizeof(event.target.value), "aws");
    event.target.version = 12;
    struct core_event read = round_trip(&event);
    assert_memory_equal(&read.target, &event.target, sizeof(read.target));
    event.kind = CORE_DELETE;
    read = round_trip(&event);
    assert_string_equal(read.target.app, "shop");

    event = event_of(CORE_MOVE);
    str_format(event.move.namespace_, sizeof(event.move.namespace_), "default");
    str_format(event.move.app, sizeof(event.move.app), "shop");
    str_format(event.move.workload, sizeof(event.move.workload), "source");
    str_format(event.move.site, sizeof(event.move.site), "aws/us-east-1");
    event.move.version = 13;
    read = round_trip(&event);
    assert_memory_equal(&read.move, &event.move, sizeof(read.move));
}

static void messages_of_nodes_survive(void **state)
{
    (void)state;
    struct message_instance instances[2] = {
        {.instance = "source-0-1", .state = INSTANCE_READY, .epoch = {3, 4}, .exit_code = -1},
        {.instance = "front-0-2", .state = INSTANCE_FAILED, .error_code = -11},
    };
    struct message_tag tags[1] = {{.key = "rack", .value = "r7"}};
    struct core_event event = event_of(CORE_HELLO);
    event.hello = (struct message_hello){
        .node = "n1",
        .site = "gcp/us-central1",
        .boot_id = "4d1f",
        .arch = "x86_64",
        .mcpu = 4000,
        .memory_bytes = INT64_C(8) << 30,
        .epoch = {2, 9},
        .tags = tags,
        .tag_count = 1,
        .instances = instances,
        .instance_count = 2,
    };
    struct core_event read = round_trip(&event);
    assert_int_equal(read.hello.instance_count, 2);
    assert_int_equal(read.hello.instances[0].epoch.n, 4);
    assert_int_equal(read.hello.instances[1].error_code, -11);
    assert_string_equal(read.hello.tags[0].value, "r7");

    event = event_of(CORE_ANSWER);
    event.answer =
        (struct message_answer){.id = "c1", .node = "n1", .code = -9, .text = "an old \"epoch\"\n"};
    read = round_trip(&event);
    assert_int_equal(read.answer.code, -9);
    assert_string_equal(read.answer.text, "an old \"epoch\"\n");

    event = event_of(CORE_REPORT);
    event.report = (struct message_report){
        .node = "n1", .boot_id = "4d1f", .seq = 7, .instance = instances[0]};
    read = round_trip(&event);
    assert_int_equal(read.report.instance.state, INSTANCE_READY);

    event = event_of(CORE_PROBED);
    event.probed = (struct message_probed){
        .node = "", .id = "p", .instance = "source-0-1", .sent = 3, .answered = 2, .rtt_us = 81000};
    read = round_trip(&event);
    assert_int_equal(read.probed.rtt_us, 81000);
}

static void every_estimate_survives(void **state)
{
    (void)state;
    struct estimate list[ESTIMATE_COUNT];
    memset(list, 0, sizeof(list));
    for (int i = 0; i < ESTIMATE_COUNT; i++) {
        list[i].kind = (enum estimate_kind)i;
        list[i].value = 1000 + i;
        list[i].at_us = 5 * i;
        list[i].spread = 2000 + i;
        list[i].observed_us = 3000 + i;
        str_format(list[i].site, sizeof(list[i].site), "aws/us-east-1");
    }
    struct core_event event = event_of(CORE_ESTIMATES);
    event.estimates.list = list;
    event.estimates.count = ESTIMATE_COUNT;
    struct core_event read = round_trip(&event);
    assert_int_equal(read.estimates.count, ESTIMATE_COUNT);
    for (int i = 0; i < ESTIMATE_COUNT; i++) {
        assert_int_equal(read.estimates.list[i].kind, i);
        assert_int_equal(read.estimates.list[i].value, 1000 + i);
        assert_int_equal(read.estimates.list[i].spread, 2000 + i);
        assert_int_equal(read.estimates.list[i].observed_us, 3000 + i);
    }
    event.estimates.count = 0;
    assert_int_equal(round_trip(&event).estimates.count, 0);
}

static void every_plan_survives(void **state)
{
    (void)state;
    struct core_plan_choice choices[2] = {
        {.namespace_ = "default", .app = "shop", .workload = "source", .site = "aws/us-east-1"},
        {.namespace_ = "default",
         .app = "shop",
         .workload = "front",
         .site = "edge/nyc-3",
         .variant = 3,
         .lead = "front--n1",
         .group = -1,
         .score_saving_nusd = INT64_MIN,
         .bill_saving_nusd = INT64_MAX,
         .once_nusd = 41,
         .spread_nusd = 42,
         .confidence_ppm = 950000},
    };
    for (int status = 0; status <= SOLVE_NONE; status++) {
        struct core_event event = event_of(CORE_PLAN);
        event.plan = (struct core_plan){
            .solve = 5,
            .version = 77,
            .status = (enum solve_status)status,
            .choices = choices,
            .choice_count = status <= SOLVE_FEASIBLE ? 2 : 0,
            .score_stay_nusd = INT64_MAX,
            .score_plan_nusd = -1,
            .bound_nusd = INT64_MIN,
            .bill_stay_nusd = 12,
            .bill_plan_nusd = 13,
            .text = "default/shop/source needs tag cloud=aws",
        };
        struct core_event read = round_trip(&event);
        assert_int_equal(read.plan.status, status);
        assert_int_equal(read.plan.score_stay_nusd, INT64_MAX);
        assert_int_equal(read.plan.bound_nusd, INT64_MIN);
        assert_int_equal(read.plan.choice_count, event.plan.choice_count);
        if (read.plan.choice_count > 0)
            assert_memory_equal(&read.plan.choices[1], &choices[1], sizeof(choices[1]));
    }
}

static void every_check_survives(void **state)
{
    (void)state;
    struct core_event event = event_of(CORE_CHECKED);
    str_format(event.checked.namespace_, LIMIT_NAME_BYTES, "default");
    str_format(event.checked.app, LIMIT_NAME_BYTES, "shop");
    str_format(event.checked.workload, LIMIT_NAME_BYTES, "source");
    event.checked.check = UINT64_MAX;
    event.checked.known = true;
    event.checked.score_saving_nusd = -1;
    event.checked.bill_saving_nusd = INT64_MIN;
    event.checked.spread_nusd = INT64_MAX;
    struct core_event read = round_trip(&event);
    assert_string_equal(read.checked.namespace_, "default");
    assert_string_equal(read.checked.app, "shop");
    assert_string_equal(read.checked.workload, "source");
    assert_true(read.checked.check == UINT64_MAX && read.checked.known);
    assert_int_equal(read.checked.score_saving_nusd, -1);
    assert_true(read.checked.bill_saving_nusd == INT64_MIN);
    assert_true(read.checked.spread_nusd == INT64_MAX);
}

static struct doc *document(const char *path)
{
    struct doc *doc = NULL;
    struct error err = {0};
    char full[1024];
    str_format(full, sizeof(full), "%s/%s", BERTH_SOURCE_DIR, path);
    if (doc_read_file(full, &doc, &err) < 0)
        fail_msg("%s", err.text);
    return doc;
}

static void owners_and_judgements_survive(void **state)
{
    (void)state;
    struct core_event event = event_of(CORE_FENCED);
    str_format(event.fenced.handoff, LIMIT_ID_BYTES, "h1z");
    event.fenced.owner = (struct epoch){3, UINT64_MAX};
    event.fenced.code = ERR_STALE;
    event.fenced.stored = (struct epoch){4, 1};
    struct core_event read = round_trip(&event);
    assert_string_equal(read.fenced.handoff, "h1z");
    assert_int_equal(epoch_compare(read.fenced.owner, event.fenced.owner), 0);
    assert_int_equal(read.fenced.code, ERR_STALE);
    assert_int_equal(epoch_compare(read.fenced.stored, event.fenced.stored), 0);
    event = event_of(CORE_JUDGED);
    event.judged.judge = 77;
    str_format(event.judged.handoff, LIMIT_ID_BYTES, "h2");
    event.judged.from = (struct core_judged_side){true, 1000, 20, 3000};
    event.judged.to = (struct core_judged_side){false, 1, PPM, INT64_MAX};
    read = round_trip(&event);
    assert_int_equal(read.judged.judge, 77);
    assert_true(read.judged.from.known);
    assert_false(read.judged.to.known);
    assert_int_equal(read.judged.from.requests, 1000);
    assert_int_equal(read.judged.to.errors_ppm, PPM);
    assert_true(read.judged.to.latency_us == INT64_MAX);
}

static void operations_survive(void **state)
{
    (void)state;
    struct core_event event = event_of(CORE_CORDON_SET);
    event.cordon.kind = CORDON_PROVIDER;
    str_format(event.cordon.name, LIMIT_REF_BYTES, "gcp");
    event.cordon.on = true;
    event.cordon.version = 8;
    struct core_event read = round_trip(&event);
    assert_int_equal(read.cordon.kind, CORDON_PROVIDER);
    assert_string_equal(read.cordon.name, "gcp");
    assert_true(read.cordon.on);
    assert_int_equal(read.cordon.version, 8);
    struct core_operation_step steps[2] = {{.namespace_ = "default", .app = "shop"}};
    str_format(steps[0].workload, LIMIT_NAME_BYTES, "web");
    str_format(steps[0].to_site, LIMIT_REF_BYTES, "aws/us-east-1");
    steps[1] = steps[0];
    steps[1].state = STEP_BACK;
    event = event_of(CORE_OPERATE);
    str_format(event.operate.text, LIMIT_TEXT_BYTES, "evacuate gcp");
    event.operate.steps = steps;
    event.operate.step_count = 2;
    event.operate.at_once = 3;
    event.operate.cordon_kind = CORDON_SITE;
    str_format(event.operate.cordon, LIMIT_REF_BYTES, "gcp/us-central1");
    read = round_trip(&event);
    assert_int_equal(read.operate.step_count, 2);
    assert_string_equal(read.operate.steps[1].to_site, "aws/us-east-1");
    assert_int_equal(read.operate.steps[1].state, STEP_BACK);
    assert_int_equal(read.operate.at_once, 3);
    assert_int_equal(read.operate.cordon_kind, CORDON_SITE);
    assert_string_equal(read.operate.cordon, "gcp/us-central1");
    event = event_of(CORE_OPERATION_END);
    str_format(event.operation_end.id, LIMIT_ID_BYTES, "o3");
    event.operation_end.roll_back = true;
    read = round_trip(&event);
    assert_string_equal(read.operation_end.id, "o3");
    assert_true(read.operation_end.roll_back);
}

static void documents_survive_through_their_readers(void **state)
{
    (void)state;
    struct error err = {0};
    struct world world;
    CLEANUP(cleanup_doc) struct doc *world_doc = document("examples/worlds/us.yaml");
    if (world_from_doc(world_doc, &arena, &world, &err) < 0)
        fail_msg("%s", err.text);
    struct core_event event = event_of(CORE_WORLD);
    event.world = &world;
    struct core_event read = round_trip(&event);
    assert_true(world_hash(read.world) == world_hash(&world));
    assert_int_equal(read.world->site_count, world.site_count);

    struct app app;
    CLEANUP(cleanup_doc) struct doc *app_doc = document("examples/apps/shop.yaml");
    if (app_from_doc(app_doc, &arena, &app, &err) < 0)
        fail_msg("%s", err.text);
    event = event_of(CORE_APPLY);
    event.apply.app = &app;
    event.apply.version = 12;
    read = round_trip(&event);
    assert_true(app_hash(read.apply.app) == app_hash(&app));
    assert_int_equal(read.apply.version, 12);
    assert_int_equal(read.apply.app->workload_count, app.workload_count);
}

static void effects_are_one_list(void **state)
{
    (void)state;
    struct core_effects *effects = NULL;
    assert_int_equal(core_effects_create(8, &effects), 0);
    codec_effects_write(effects, &first);
    assert_string_equal(strbuf_text(&first), "[]");

    struct message_env env[1] = {{.name = "BERTH", .value = "x"}};
    effects->count = 6;
    effects->list[0].kind = CORE_REPLY;
    effects->list[0].reply.code = -4;
    effects->list[1].kind = CORE_COMMAND;
    str_format(effects->list[1].command.node, LIMIT_NAME_BYTES, "n1");
    effects->list[1].command.message = (struct message_command){
        .id = "c1", .verb = NODE_START, .instance = "source-0-1", .spec = {.env = env}};
    effects->list[1].command.message.spec.env_count = 1;
    effects->list[2].kind = CORE_PROBE;
    effects->list[2].probe.count = 3;
    effects->list[3].kind = CORE_SOLVE;
    effects->list[3].solve.solve = 9;
    effects->list[4].kind = CORE_PUBLISH;
    str_format(effects->list[4].publish.name, LIMIT_NAME_BYTES, "plan.made");
    effects->list[5].kind = CORE_CHECK;
    effects->list[5].check.check = 77;
    str_format(effects->list[5].check.site, LIMIT_REF_BYTES, "edge/nyc");
    strbuf_reset(&first);
    codec_effects_write(effects, &first);
    static const char *const wanted[] = {
        "\"kind\":\"reply\"",   "\"code\":-4",
        "\"kind\":\"command\"", "\"verb\":\"start\"",
        "\"name\":\"BERTH\"",   "\"kind\":\"probe\"",
        "\"solve\":9",          "\"name\":\"plan.made\"",
        "\"kind\":\"check\"",   "\"check\":77",
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (strstr(strbuf_text(&first), wanted[i]) == NULL)
            fail_msg("%s is not in %s", wanted[i], strbuf_text(&first));
    core_effects_destroy(effects);
}

static void what_is_no_event_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *word;
    } wrong[] = {
        {"", ERR_INVALID, ""},
        {"{}", ERR_INVALID, ""},
        {"{\"v\":1,\"type\":\"core.event\"}", ERR_INVALID, "kind"},
        {"{\"v\":1,\"type\":\"core.event\",\"kind\":\"dance\"}", ERR_INVALID, "dance"},
        {"{\"v\":2,\"type\":\"core.event\",\"kind\":\"tick\"}", ERR_UNSUPPORTED, ""},
        {"{\"v\":1,\"type\":\"core.event\",\"kind\":\"hello\"}", ERR_INVALID, "hello"},
        {"{\"v\":1,\"type\":\"core.event\",\"kind\":\"apply\",\"document\":\"nonsense\"}",
         ERR_INVALID, "journal"},
        {"{\"v\":1,\"type\":\"core.event\",\"kind\":\"world\",\"document\":\"app: x\"}",
         ERR_INVALID, "world"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct core_event event = {.kind = CORE_TICK, .at = {99}};
        struct error err = {0};
        int rc = codec_event_read(wrong[i].text, strlen(wrong[i].text), &arena, &event, &err);
        if (rc != wrong[i].code || strstr(err.text, wrong[i].word) == NULL)
            fail_msg("%s gave %s: %s", wrong[i].text, error_name(rc), err.text);
        assert_int_equal(event.at.us, 99); /* untouched */
    }
}

/* Whatever allocation fails, the reader says so and nothing breaks. */
static void no_memory_is_an_error(void **state)
{
    (void)state;
    struct message_instance instances[1] = {{.instance = "source-0-1", .state = INSTANCE_READY}};
    struct core_event event = event_of(CORE_HELLO);
    event.hello = (struct message_hello){.node = "n1",
                                         .site = "gcp/us-central1",
                                         .boot_id = "b",
                                         .arch = "x86_64",
                                         .instances = instances,
                                         .instance_count = 1};
    codec_event_write(&event, &first);
    int rc = ERR_NO_MEMORY;
    int failures = 0;
    for (int64_t n = 0; rc != 0; n++) {
        assert_true(n < 100);
        arena_reset(&arena);
        arena.fail_after = n;
        struct core_event read;
        struct error err = {0};
        rc = codec_event_read(strbuf_text(&first), first.bytes, &arena, &read, &err);
        assert_true(rc == 0 || rc == ERR_NO_MEMORY);
        failures += rc == 0 ? 0 : 1;
    }
    assert_true(failures >= 3);
    arena.fail_after = -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(small_events_survive),    TEST(messages_of_nodes_survive),
        TEST(every_estimate_survives), TEST(every_plan_survives),
        TEST(every_check_survives),    TEST(owners_and_judgements_survive),
        TEST(operations_survive),      TEST(documents_survive_through_their_readers),
        TEST(effects_are_one_list),    TEST(what_is_no_event_is_refused),
        TEST(no_memory_is_an_error),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
