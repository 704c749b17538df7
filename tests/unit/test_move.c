/* `berth move`: a choice is carried out, or refused with the reason (scheduler/core/move.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/unit/core_fixture.h"

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    fixture_init(fixture);
    fixture_start(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static int move(struct fixture *fixture, const char *workload, const char *site, uint64_t version)
{
    struct core_event event = {.kind = CORE_MOVE, .request = "request"};
    str_format(event.move.namespace_, sizeof(event.move.namespace_), "default");
    str_format(event.move.app, sizeof(event.move.app), "shop");
    str_format(event.move.workload, sizeof(event.move.workload), "%s", workload);
    str_format(event.move.site, sizeof(event.move.site), "%s", site);
    event.move.version = version;
    fixture->reply_code = 1;
    fixture_step(fixture, &event);
    assert_int_not_equal(fixture->reply_code, 1);
    return fixture->reply_code;
}

static void refused(struct fixture *fixture, const char *workload, const char *site, int code,
                    const char *text)
{
    uint64_t before = core_state(fixture->core)->version;
    const char *at = fixture_site(fixture, workload);
    assert_int_equal(move(fixture, workload, site, 0), code);
    assert_non_null(strstr(fixture->reply_text, text));
    assert_string_equal(fixture_site(fixture, workload), at);
    assert_true(core_state(fixture->core)->version == before);
}

static void test_a_choice_is_carried_out(void **state)
{
    struct fixture *fixture = *state;
    uint64_t version = core_state(fixture->core)->version;
    fixture_run(fixture, 120 * US_PER_S); /* past the dwell of the start */
    assert_int_equal(move(fixture, "web", "aws/us-east-1", 0), 0);
    assert_string_equal(fixture_site(fixture, "web"), "aws/us-east-1");
    assert_true(core_state(fixture->core)->version > version);
    assert_int_equal(fixture_decision(fixture)->reason, REASON_ASKED);
    assert_non_null(fixture_told(fixture, "move.asked"));
    fixture_run(fixture, 60 * US_PER_S);
    const struct fixture_instance *serving = fixture_serving(fixture, "web");
    assert_non_null(serving);
    assert_string_equal(fixture->nodes[serving->node].site, "aws/us-east-1");
    assert_int_equal(fixture_ended(fixture)->state, HANDOFF_STATE_DONE);
    /* Where it is already: nothing to do, and no refusal. */
    version = core_state(fixture->core)->version;
    assert_int_equal(move(fixture, "web", "aws/us-east-1", 0), 0);
    assert_true(core_state(fixture->core)->version == version);
}

static void test_what_cannot_be_is_refused(void **state)
{
    struct fixture *fixture = *state;
    fixture_run(fixture, 120 * US_PER_S);
    refused(fixture, "web", "mars/one", ERR_NOT_FOUND, "berth get sites");
    refused(fixture, "source", "aws/us-east-1", ERR_INVALID, "forbid");
    assert_int_equal(move(fixture, "nobody", "aws/us-east-1", 0), ERR_NOT_FOUND);
    assert_int_equal(move(fixture, "web", "aws/us-east-1", 999999), ERR_STALE);
    assert_string_equal(fixture_site(fixture, "web"), "edge/nyc");
    fixture_lose(fixture, fixture_node(fixture, "aws"));
    refused(fixture, "web", "aws/us-east-1", ERR_UNAVAILABLE, "no live node");
}

static void test_one_that_moves_is_left_to_it(void **state)
{
    struct fixture *fixture = *state;
    fixture_run(fixture, 120 * US_PER_S);
    fixture->nodes[fixture_node(fixture, "aws")].ignored = 1u << NODE_START;
    assert_int_equal(move(fixture, "web", "aws/us-east-1", 0), 0);
    assert_non_null(fixture_handoff(fixture, "web"));
    refused(fixture, "web", "gcp/us-central1", ERR_UNAVAILABLE, "moving already");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_choice_is_carried_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_that_moves_is_left_to_it, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
