/* A grant and its time: what is on its way, or was taken unseen, makes no second owner. */
#include "tests/unit/owner_fixture.h"

/* Seed 713 of tests/fault: the RESUME was on its way, or waited there for a lease, when its node
 * was found lost and the other copy was granted. */
static void test_nobody_is_granted_while_a_grant_may_be_taken(void **state)
{
    struct fixture *f = *state;
    node_at(f, "aws")->unanswered = 1u << NODE_RESUME;
    begin_move(f);
    fixture_run(f, 3 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_GRANTING);
    const struct message_command *grant = &f->last[NODE_RESUME];
    const struct core_instance *to = known(f, fixture_handoff(f, "source")->to);
    int64_t lease_us = to->lease_us;
    int64_t until_us = grant->not_after_us + FIXTURE_BOOT_US;
    assert_in_range(until_us, f->now_us, f->now_us + lease_us);
    int grants = f->verb_count[NODE_RESUME];
    f->fence_code = 0;
    fixture_lose(f, fixture_node(f, "aws"));
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_RETURNING);
    while (f->verb_count[NODE_RESUME] == grants && f->now_us < until_us + 60 * US_PER_S) {
        fixture_run(f, 100 * US_PER_MS);
        assert_true(f->now_us >= until_us || f->verb_count[NODE_RESUME] == grants);
    }
    assert_true(f->now_us >= until_us && f->now_us <= until_us + 2 * US_PER_S);
    assert_string_equal(owner_at(f), "gcp");
}

/* What may have been told to own is not forgotten with its node, when nobody wants it any more. */
static void test_a_lost_grant_is_kept_in_mind(void **state)
{
    struct fixture *f = *state;
    node_at(f, "aws")->unanswered = 1u << NODE_RESUME;
    begin_move(f);
    fixture_run(f, 3 * US_PER_S);
    char id[LIMIT_ID_BYTES];
    memcpy(id, fixture_handoff(f, "source")->to, sizeof(id));
    fixture_delete(f);
    fixture_lose(f, fixture_node(f, "aws"));
    fixture_run(f, 100 * US_PER_MS);
    assert_true(known(f, id) == NULL || core_state(f->core)->now.us < known(f, id)->granted.us);
    assert_non_null(known(f, id));
    node_at(f, "aws")->unanswered = 0;
    fixture_run(f, 10 * US_PER_S);
    fixture_hello(f, fixture_node(f, "aws"));
    run(f, 10 * US_PER_S);
    assert_int_equal(core_state(f->core)->instance_count, 0);
    assert_int_equal(fixture_alive(f), 0);
}

/* A clock that leapt while no scheduler was there makes no grant live longer: how the node's stands
 * to it is learnt anew before one is sent. */
static void test_no_grant_by_a_clock_that_leapt(void **state)
{
    struct fixture *f = *state;
    node_at(f, "aws")->unanswered = 1u << NODE_RESUME;
    begin_move(f);
    fixture_run(f, 3 * US_PER_S);
    int grants = f->verb_count[NODE_RESUME];
    f->now_us += 3600 * US_PER_S;
    struct core_event started = {.kind = CORE_STARTED, .started.term = 2};
    fixture_step(f, &started);
    assert_int_equal(f->verb_count[NODE_RESUME], grants);
    node_at(f, "aws")->unanswered = 0;
    restart(f);
    assert_true(f->verb_count[NODE_RESUME] > grants);
    assert_in_range(f->last[NODE_RESUME].not_after_us + FIXTURE_BOOT_US, f->now_us,
                    f->now_us + 5 * US_PER_S);
    assert_string_equal(owner_at(f), "aws");
}

/* The answer comes from before the machine was started anew: it has not taken it since. */
static void test_an_answer_of_an_earlier_boot_says_nothing(void **state)
{
    struct fixture *f = *state;
    node_at(f, "aws")->unanswered = 1u << NODE_RESUME;
    begin_move(f);
    fixture_run(f, 500 * US_PER_MS);
    struct core_event answer = {.kind = CORE_ANSWER};
    memcpy(answer.answer.id, f->last[NODE_RESUME].id, sizeof(answer.answer.id));
    str_format(answer.answer.node, LIMIT_NAME_BYTES, "aws");
    str_format(answer.answer.boot_id, BOOT_ID_BYTES, "an-earlier-boot");
    answer.answer.boot_us = 1;
    int grants = f->verb_count[NODE_RESUME];
    fixture_step(f, &answer);
    fixture_run(f, 3 * US_PER_S);
    assert_true(f->verb_count[NODE_RESUME] > grants); /* still asked for */
}

/* Seed 1558 of tests/fault: the old owner had been lost, was heard again, held by its lease, and
 * the new one's epoch had to be replaced. What the old one has is the state no more: it is frozen,
 * and neither shipped nor gone back to. */
static void test_an_old_owner_that_returns_after_the_grant_gives_way(void **state)
{
    struct fixture *f = *state;
    struct fixture_instance *old = fixture_serving(f, "source");
    node_at(f, "gcp")->unanswered = 1u << NODE_SNAPSHOT;
    node_at(f, "aws")->unanswered = 1u << NODE_RESUME;
    begin_move(f);
    fixture_run(f, 500 * US_PER_MS);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    old->state = INSTANCE_HELD; /* its lease ended */
    fixture_lose(f, fixture_node(f, "gcp"));
    fixture_run(f, 500 * US_PER_MS);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_GRANTING);
    fixture_hello(f, fixture_node(f, "gcp"));
    struct core_event answer = {.kind = CORE_ANSWER};
    memcpy(answer.answer.id, f->last[NODE_RESUME].id, sizeof(answer.answer.id));
    str_format(answer.answer.node, LIMIT_NAME_BYTES, "aws");
    answer.answer.code = ERR_DENIED;
    node_at(f, "gcp")->unanswered = 0;
    node_at(f, "aws")->unanswered = 0;
    fixture_step(f, &answer);
    fixture_run(f, 1500 * US_PER_MS);
    const struct core_handoff *handoff = fixture_handoff(f, "source");
    assert_true(handoff == NULL || handoff->entered[HANDOFF_STATE_FREEZING].us == 0);
    assert_string_equal(owner_at(f), "aws");
    settles_at(f, "aws");
    assert_false(went_back(f));
}

/* Seed 432 of tests/fault: its agent was started again, and froze it once more, while it was about
 * to own again. It is not stopped for that: nobody else has its state. */
static void test_who_owns_again_is_waited_for(void **state)
{
    static const enum instance_state between[] = {INSTANCE_DRAINING, INSTANCE_BACKOFF,
                                                  INSTANCE_STARTING};
    struct fixture *f = *state;
    char id[LIMIT_ID_BYTES];
    memcpy(id, fixture_serving(f, "source")->id, sizeof(id));
    for (size_t i = 0; i < sizeof(between) / sizeof(between[0]); i++) {
        f->fence_code = 1;
        fixture_report(f, fixture_instance(f, id), INSTANCE_HELD, "lease ended");
        assert_int_equal(fixture_handoff(f, "source")->reason, REASON_LEASE);
        assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FENCING);
        fixture_report(f, fixture_instance(f, id), between[i], "");
        assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FENCING);
        fixture_report(f, fixture_instance(f, id), INSTANCE_HELD, "standby");
        f->fence_code = 0;
        run(f, 5 * US_PER_S);
        assert_null(fixture_handoff(f, "source"));
        assert_string_equal(fixture_serving(f, "source")->id, id);
    }
    assert_false(went_back(f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_nobody_is_granted_while_a_grant_may_be_taken, exclusive),
        CASE(test_a_lost_grant_is_kept_in_mind, exclusive),
        CASE(test_no_grant_by_a_clock_that_leapt, exclusive),
        CASE(test_an_old_owner_that_returns_after_the_grant_gives_way, stateful),
        CASE(test_who_owns_again_is_waited_for, stateful),
        CASE(test_an_answer_of_an_earlier_boot_says_nothing, exclusive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
