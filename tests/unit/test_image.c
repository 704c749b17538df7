#include "scheduler/core/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/core/core.h"
#include "scheduler/service/codec_image.h"
#include "tests/unit/core_fixture.h"

static const char *const at_aws[] = {"web", "edge/nyc", "source", "aws/us-east-1", NULL};

static struct fixture fixture;
static struct arena arena;
static struct strbuf text;

static int setup(void **state)
{
    fixture_init(&fixture);
    fixture_start(&fixture);
    arena_init(&arena, (size_t)256 << 20);
    strbuf_init(&text, CODEC_IMAGE_BYTES);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    arena_done(&arena);
    strbuf_done(&text);
    return 0;
}

/* The image's bytes are in `text`. */
static void write_image(const struct core_image *image)
{
    struct error err = {0};
    strbuf_reset(&text);
    if (codec_image_write(image, &arena, &text, &err) < 0 || strbuf_error(&text, &err) < 0)
        fail_msg("%s", err.text);
}

static struct core_image read_image(const char *bytes)
{
    struct core_image image;
    struct error err = {0};
    if (codec_image_read(bytes, strlen(bytes), &arena, &image, &err) < 0)
        fail_msg("%s", err.text);
    return image;
}

/* The fixture goes on with a core made from the bytes of its own. */
static void restart(struct fixture *f)
{
    struct core_image image;
    struct core *restored = NULL;
    struct error err = {0};
    core_image_take(f->core, &image);
    write_image(&image);
    image = read_image(strbuf_text(&text));
    if (core_restore(&image, &restored, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(core_hash(restored) == core_hash(f->core));
    assert_true(core_deadline(restored).us == core_deadline(f->core).us);
    core_destroy(f->core);
    f->core = restored;
}

static void begin_move(struct fixture *f)
{
    fixture_retag(f, "source", "aws");
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, at_aws, INT64_MAX, 900);
}

static void an_empty_core_has_an_image(void **state)
{
    struct fixture *f = *state;
    struct error err;
    core_destroy(f->core);
    assert_int_equal(core_create(&f->core, &err), 0);
    restart(f);
    assert_null(core_state(f->core)->world);
    assert_int_equal(core_state(f->core)->app_count, 0);
}

/* In each state that waits for somebody: the restored core waits for the same, and ends it. */
static void a_handoff_goes_on_in_the_restored_core(void **state)
{
    static const struct {
        enum handoff_state at;
        enum node_verb verb; /* the one whose effect is kept back */
    } stops[] = {
        {HANDOFF_STATE_STAGING, NODE_STAGE},  {HANDOFF_STATE_STARTING, NODE_START},
        {HANDOFF_STATE_READY, NODE_PROBE},    {HANDOFF_STATE_LINGERING, NODE_FORGET},
        {HANDOFF_STATE_DRAINING, NODE_DRAIN}, {HANDOFF_STATE_HELD, NODE_FORGET},
        {HANDOFF_STATE_STOPPING, NODE_STOP},
    };
    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
        struct fixture *f = *state;
        for (int k = 0; k < f->node_count; k++)
            f->nodes[k].ignored = 1u << stops[i].verb;
        begin_move(f);
        for (int k = 0; k < 1000; k++) {
            const struct core_handoff *handoff = fixture_handoff(f, "source");
            assert_non_null(handoff);
            if (handoff->state == stops[i].at)
                break;
            fixture_run(f, 10 * US_PER_MS);
        }
        assert_int_equal(fixture_handoff(f, "source")->state, stops[i].at);
        restart(f);
        assert_int_equal(fixture_handoff(f, "source")->state, stops[i].at);
        for (int k = 0; k < f->node_count; k++)
            f->nodes[k].ignored = 0;
        fixture_run(f, 60 * US_PER_S);
        assert_null(fixture_handoff(f, "source"));
        assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
        assert_string_equal(f->nodes[fixture_serving(f, "source")->node].name, "aws");
        assert_int_equal(fixture_alive(f), 2);
        assert_int_equal(teardown(state), 0);
        assert_int_equal(setup(state), 0);
    }
}

/* What waits for a node, or for the key where resources look, in each state that owners have. */
static void an_owner_moves_on_in_the_restored_core(void **state)
{
    static const struct {
        enum handoff_state at;
        enum node_verb verb;
    } stops[] = {
        {HANDOFF_STATE_STARTING, NODE_START},   {HANDOFF_STATE_SHIPPING, NODE_SNAPSHOT},
        {HANDOFF_STATE_SHIPPING, NODE_RESTORE}, {HANDOFF_STATE_FREEZING, NODE_DRAIN},
        {HANDOFF_STATE_FENCING, NODE_FORGET},   {HANDOFF_STATE_GRANTING, NODE_RESUME},
        {HANDOFF_STATE_RETURNING, NODE_FORGET},
    };
    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
        struct fixture *f = *state;
        assert_int_equal(teardown(state), 0);
        fixture_init(f);
        arena_init(&arena, (size_t)256 << 20);
        strbuf_init(&text, CODEC_IMAGE_BYTES);
        bool goes_back = stops[i].at == HANDOFF_STATE_RETURNING;
        f->app.workloads[1].handoff = goes_back ? HANDOFF_EXCLUSIVE : HANDOFF_STATEFUL;
        f->handed = "cursor=17";
        f->export_bytes[1] = f->export_bytes[2] = 1000;
        fixture_start(f);
        for (int k = 0; k < f->node_count; k++)
            f->nodes[k].unanswered = 1u << stops[i].verb;
        f->fence_code = stops[i].at == HANDOFF_STATE_FENCING;
        begin_move(f);
        if (goes_back) {
            f->fence_code = 1;
            fixture_report(f, fixture_serving(f, "source"), INSTANCE_BACKOFF, "exit 1");
        }
        assert_int_equal(fixture_handoff(f, "source")->state, stops[i].at);
        restart(f);
        for (int k = 0; k < f->node_count; k++)
            f->nodes[k].unanswered = 0;
        f->fence_code = 0;
        fixture_run(f, 60 * US_PER_S);
        assert_null(fixture_handoff(f, "source"));
        assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
        assert_string_equal(f->nodes[fixture_serving(f, "source")->node].name, "aws");
        assert_string_equal(fixture_serving(f, "source")->got, "cursor=17");
        assert_int_equal(fixture_alive(f), 2);
    }
}

static void a_running_operation_goes_on_in_the_restored_core(void **state)
{
    struct fixture *f = *state;
    struct core_operation_step steps[2] = {{.namespace_ = "default", .app = "shop"}};
    steps[1] = steps[0];
    memcpy(steps[0].workload, "web", sizeof("web"));
    memcpy(steps[0].to_site, "aws/us-east-1", sizeof("aws/us-east-1"));
    memcpy(steps[1].workload, "source", sizeof("source"));
    memcpy(steps[1].to_site, "gcp/us-central1", sizeof("gcp/us-central1"));
    struct core_event event = {.kind = CORE_OPERATE, .request = "r"};
    event.operate.steps = steps;
    event.operate.step_count = 2;
    event.operate.at_once = 1;
    event.operate.cordon_kind = CORDON_SITE;
    memcpy(event.operate.cordon, "edge/nyc", sizeof("edge/nyc"));
    f->nodes[fixture_node(f, "aws")].ignored = 1u << NODE_START;
    fixture_step(f, &event);
    assert_int_equal(f->reply_code, 0);
    restart(f);
    assert_int_equal(core_state(f->core)->cordon_count, 1);
    assert_int_equal(core_state(f->core)->operations[0].steps[1].state, STEP_WAITING);
    f->nodes[fixture_node(f, "aws")].ignored = 0;
    fixture_run(f, 60 * US_PER_S);
    assert_int_equal(core_state(f->core)->operations[0].state, OPERATION_DONE);
    restart(f);
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
}

/* What people read and no hash covers. */
static void what_is_only_read_is_restored_too(void **state)
{
    struct fixture *f = *state;
    begin_move(f);
    fixture_run(f, 60 * US_PER_S);
    struct core *before = f->core;
    struct core_image image;
    struct core *restored = NULL;
    struct error err;
    core_image_take(before, &image);
    write_image(&image);
    image = read_image(strbuf_text(&text));
    assert_int_equal(core_restore(&image, &restored, &err), 0);
    const struct core_state *a = core_state(before);
    const struct core_state *b = core_state(restored);
    assert_true(a->ended_count > 0 && a->decision_count > 0);
    assert_int_equal(a->ended_count, b->ended_count);
    assert_int_equal(a->decision_count, b->decision_count);
    for (uint64_t i = 0; i < a->ended_count; i++) {
        assert_string_equal(a->ended[i].id, b->ended[i].id);
        assert_string_equal(a->ended[i].to_node, b->ended[i].to_node);
        assert_string_equal(a->ended[i].text, b->ended[i].text);
        assert_memory_equal(a->ended[i].entered, b->ended[i].entered, sizeof(a->ended[i].entered));
    }
    for (uint64_t i = 0; i < a->decision_count; i++) {
        assert_string_equal(a->decisions[i].to_site, b->decisions[i].to_site);
        assert_string_equal(a->decisions[i].text, b->decisions[i].text);
        assert_true(a->decisions[i].score_after_nusd == b->decisions[i].score_after_nusd);
    }
    assert_string_equal(a->plan_text, b->plan_text);
    assert_true(a->plan_bound_nusd == b->plan_bound_nusd);
    assert_string_equal(a->world->name, b->world->name);
    core_destroy(restored);
}

static void fill_workload(struct core_workload *workload)
{
    workload->moved.us = 11;
    workload->failures = 12;
    workload->retry.us = INT64_MAX;
    workload->reason = REASON_REGRET;
    workload->site_blocked[2] = true;
    workload->variant = 0;
    workload->lead = 0;
    struct core_trial *trial = &workload->trial;
    memset(trial, 0, sizeof(*trial));
    trial->site = 3;
    trial->due.us = 31;
    trial->until.us = 32;
    trial->check = 33;
    trial->plan = 34;
    trial->group = 35;
    trial->score_predicted_nusd = INT64_MIN;
    trial->bill_predicted_nusd = INT64_MAX;
    trial->spread_nusd = 36;
    for (int i = 0; i < CORE_VETOES; i++) {
        struct core_veto *veto = &workload->vetoes[i];
        veto->site = i;
        veto->regretted = i % 2 == 0;
        veto->since.us = 41 + i;
        veto->app_version = 51;
        veto->world_version = UINT64_MAX;
        veto->input_count = 1 + i;
        for (int k = 0; k < veto->input_count; k++) {
            veto->inputs[k].kind = (enum estimate_kind)(ESTIMATE_USERS_MHZ - k);
            str_format(veto->inputs[k].site, LIMIT_REF_BYTES, "edge/nyc");
            str_format(veto->inputs[k].users, LIMIT_NAME_BYTES, "web");
            veto->inputs[k].value = 61 + k;
            veto->inputs[k].spread = 62 + k;
        }
    }
}

/* Values that no short run leads to, each other than zero, which the codec leaves out. */
static void fill(struct core_image *image)
{
    struct core_instance *instance = &image->state.instances[0];
    instance->replica = 3;
    instance->lost = true;
    instance->restarts = 7;
    str_format(instance->detail, sizeof(instance->detail), "started \"again\"\n");
    struct core_handoff *handoff = &image->state.handoffs[0];
    handoff->replica = 3;
    handoff->proven = true;
    handoff->cancelled = true;
    handoff->vantage_count = CORE_VANTAGES;
    for (int i = 0; i < CORE_VANTAGES; i++)
        handoff->vantages[i] = (struct core_vantage){.node = "edge",
                                                     .new_reached = true,
                                                     .old_reached = true,
                                                     .rtt_us = 1000 + i,
                                                     .old_tries = 1 + i};
    for (int i = 0; i < HANDOFF_STATE_COUNT; i++)
        handoff->entered[i].us = 100 + i;
    fill_workload(&image->state.apps[0].workloads[1]);
    image->state.apps[0].deleting = true;
    struct core_decision *decision = &image->state.decisions[0];
    assert_true(image->state.decision_count > 0);
    decision->at.us = 21;
    str_format(decision->namespace_, sizeof(decision->namespace_), "default");
    str_format(decision->app, sizeof(decision->app), "shop");
    str_format(decision->workload, sizeof(decision->workload), "source");
    str_format(decision->from_site, sizeof(decision->from_site), "edge/nyc");
    decision->score_before_nusd = INT64_MIN;
    decision->score_after_nusd = INT64_MAX;
    decision->bill_before_nusd = -1;
    decision->bill_after_nusd = 1;
    decision->verdict = VERDICT_BUDGET;
    decision->score_saving_nusd = 71;
    decision->bill_saving_nusd = 72;
    decision->once_nusd = 73;
    decision->spread_nusd = 74;
    decision->confidence_ppm = 75;
    decision->checked = true;
    decision->checked_at.us = 76;
    decision->score_realised_nusd = 77;
    decision->bill_realised_nusd = 78;
    image->state.estimates[0].spread = 81;
    image->state.estimates[0].observed_us = 82;
    image->state.saving_move_count = CORE_MOVES_KEPT + 1;
    for (int i = 0; i < CORE_MOVES_KEPT; i++)
        image->state.saving_moves[i].us = 91 + i;
    image->state.moves_due.us = 83;
    image->state.world_version = 84;
    image->state.check = 85;
    image->state.plan_bound_nusd = 13;
    image->state.solving = true;
    image->state.epoch.n = UINT64_MAX;
    image->state.changed.us = 18;
    image->changed_first.us = 14;
    image->solve_retry.us = 15;
    image->clock_checked.us = 16;
    image->diff = true;
    image->tidy = true;
    image->starved = true;
}

static void same_tables(const struct core_state *a, const struct core_state *b)
{
#define SAME(table, count) assert_memory_equal(a->table, b->table, (count) * sizeof(*a->table))
    SAME(nodes, (size_t)a->node_count);
    SAME(instances, (size_t)a->instance_count);
    SAME(handoffs, (size_t)a->handoff_count);
    SAME(ended, (size_t)a->ended_count);
    SAME(commands, (size_t)a->command_count);
    SAME(estimates, (size_t)a->estimate_count);
    SAME(decisions, (size_t)a->decision_count);
#undef SAME
    for (int i = 0; i < a->app_count; i++) {
        assert_true(a->apps[i].deleting == b->apps[i].deleting);
        assert_int_equal(a->apps[i].version, b->apps[i].version);
        for (int k = 0; k < a->apps[i].app.workload_count; k++) {
            struct core_workload left = a->apps[i].workloads[k];
            struct core_workload right = b->apps[i].workloads[k];
            assert_memory_equal(left.site_blocked, right.site_blocked,
                                (size_t)a->world->site_count * sizeof(bool));
            assert_memory_equal(left.vetoes, right.vetoes, CORE_VETOES * sizeof(*left.vetoes));
            left.site_blocked = NULL;
            right.site_blocked = NULL;
            left.vetoes = NULL;
            right.vetoes = NULL;
            assert_memory_equal(&left, &right, sizeof(left));
        }
    }
}

static void without_tables(struct core_image *image)
{
    struct core_state *state = &image->state;
    state->world = NULL;
    state->apps = NULL;
    state->nodes = NULL;
    state->instances = NULL;
    state->handoffs = NULL;
    state->ended = NULL;
    state->commands = NULL;
    state->routes = NULL;
    state->cordons = NULL;
    state->operations = NULL;
    state->estimates = NULL;
    state->decisions = NULL;
}

/* Byte by byte: what is read lies in zeroed memory, padding too. */
static void every_field_comes_back(void **state)
{
    struct fixture *f = *state;
    struct estimate estimate = {.kind = ESTIMATE_RTT_US,
                                .namespace_ = "default",
                                .app = "shop",
                                .workload = "web",
                                .site = "edge/nyc",
                                .peer = "aws/us-east-1",
                                .value = 17,
                                .at_us = f->now_us};
    struct core_event event = {.kind = CORE_ESTIMATES};
    event.estimates.list = &estimate;
    event.estimates.count = 1;
    fixture_step(f, &event);
    f->nodes[fixture_node(f, "aws")].ignored = 1u << NODE_STAGE;
    begin_move(f);
    struct core_image image;
    core_image_take(f->core, &image);
    write_image(&image);
    struct core_image filled = read_image(strbuf_text(&text));
    fill(&filled);
    write_image(&filled);
    struct core_image again = read_image(strbuf_text(&text));
    same_tables(&filled.state, &again.state);

    /* Through a core too. */
    struct core *restored = NULL;
    struct error err;
    struct strbuf first = text;
    strbuf_init(&text, CODEC_IMAGE_BYTES);
    assert_int_equal(core_restore(&again, &restored, &err), 0);
    core_image_take(restored, &image);
    write_image(&image);
    assert_string_equal(strbuf_text(&first), strbuf_text(&text));
    core_destroy(restored);
    strbuf_done(&first);

    without_tables(&filled);
    without_tables(&again);
    assert_memory_equal(&filled, &again, sizeof(filled));
}

static void refused(struct core_image image, int code, const char *word)
{
    struct core *restored = NULL;
    struct error err = {0};
    assert_int_equal(core_restore(&image, &restored, &err), code);
    assert_null(restored);
    if (strstr(err.text, word) == NULL)
        fail_msg("\"%s\" does not name \"%s\"", err.text, word);
}

static void an_image_that_no_core_had_is_refused(void **state)
{
    struct fixture *f = *state;
    f->nodes[fixture_node(f, "aws")].ignored = 1u << NODE_STAGE;
    begin_move(f);
    struct core_image whole;
    core_image_take(f->core, &whole);
    write_image(&whole);

    struct core_image image = read_image(strbuf_text(&text));
    str_format(image.state.instances[0].node, LIMIT_NAME_BYTES, "nowhere");
    refused(image, ERR_INVALID, "nowhere");
    image = read_image(strbuf_text(&text));
    image.state.instances[1] = image.state.instances[0];
    refused(image, ERR_INVALID, "twice");
    image = read_image(strbuf_text(&text));
    image.state.nodes[1] = image.state.nodes[0];
    refused(image, ERR_INVALID, "twice");
    image = read_image(strbuf_text(&text));
    image.state.apps[0].workloads[0].site = 99;
    refused(image, ERR_INVALID, "99");
    image = read_image(strbuf_text(&text));
    image.state.apps[0].workloads[0].trial.site = 98;
    refused(image, ERR_INVALID, "98");
    image = read_image(strbuf_text(&text));
    image.state.apps[0].workloads[0].vetoes[1].site = 97;
    refused(image, ERR_INVALID, "97");
    image = read_image(strbuf_text(&text));
    image.state.apps[0].workloads[0].vetoes[1].input_count = CORE_VETO_INPUTS + 1;
    refused(image, ERR_INVALID, "13 inputs");
    image = read_image(strbuf_text(&text));
    image.state.apps[0].workloads[0].lead = 1;
    refused(image, ERR_INVALID, "before");
    image = read_image(strbuf_text(&text));
    image.state.apps[0].workloads[0].variant = 1;
    refused(image, ERR_INVALID, "variant 1");
    image = read_image(strbuf_text(&text));
    image.state.world = NULL;
    refused(image, ERR_INVALID, "no world");
    image = read_image(strbuf_text(&text));
    image.state.node_count = LIMIT_NODES + 1;
    refused(image, ERR_LIMIT, "nodes");
    image = read_image(strbuf_text(&text));
    image.state.commands[0].id[0] = 0;
    refused(image, ERR_INVALID, "command 0");
    image = read_image(strbuf_text(&text));
    assert_true(image.state.handoff_count > 0);
    image.state.handoffs[0].state = HANDOFF_STATE_DONE;
    refused(image, ERR_INVALID, "done");
    image = read_image(strbuf_text(&text));
    image.state.handoffs[0].from[0] = 0;
    image.state.handoffs[0].to[0] = 0;
    refused(image, ERR_INVALID, "no side");
}

static void wrong_bytes(const char *from, const char *to, const char *word)
{
    const char *whole = strbuf_text(&text);
    const char *at = strstr(whole, from);
    assert_non_null(at);
    struct strbuf wrong;
    struct core_image image;
    struct error err = {0};
    strbuf_init(&wrong, CODEC_IMAGE_BYTES);
    strbuf_append(&wrong, whole, (size_t)(at - whole));
    strbuf_puts(&wrong, to);
    strbuf_puts(&wrong, at + strlen(from));
    assert_true(codec_image_read(strbuf_text(&wrong), wrong.bytes, &arena, &image, &err) < 0);
    if (strstr(err.text, word) == NULL)
        fail_msg("\"%s\" does not name \"%s\"", err.text, word);
    strbuf_done(&wrong);
}

static void bytes_that_are_no_image_are_refused(void **state)
{
    struct fixture *f = *state;
    struct core_image image;
    core_image_take(f->core, &image);
    write_image(&image);
    wrong_bytes("{\"v\":1", "{\"v\":2", "newer");
    wrong_bytes("core.image", "core.event", "core.event");
    wrong_bytes("\"ended_count\":", "\"ended_count\":1", "ended handoffs");
    wrong_bytes("\"ended_count\":", "\"saving_move_count\":3,\"ended_count\":", "moves");
    wrong_bytes("\"want\":\"serve\"", "\"want\":\"more\"", "instances[0].want");
    wrong_bytes("\\\"app\\\":\\\"shop\\\"", "\\\"app\\\":\\\"Shop!\\\"", "Shop!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(an_empty_core_has_an_image),
        TEST(a_handoff_goes_on_in_the_restored_core),
        TEST(an_owner_moves_on_in_the_restored_core),
        TEST(a_running_operation_goes_on_in_the_restored_core),
        TEST(what_is_only_read_is_restored_too),
        TEST(every_field_comes_back),
        TEST(an_image_that_no_core_had_is_refused),
        TEST(bytes_that_are_no_image_are_refused),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
