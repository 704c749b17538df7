/* What a node says again, when its first word was lost with a journal that refused it. */
#include "tests/unit/owner_fixture.h"

/* The owner has taken the SNAPSHOT by that epoch and exported its round; nobody heard of it. */
static struct fixture_instance *exported_unheard(struct fixture *f)
{
    node_at(f, "gcp")->unanswered = 1u << NODE_SNAPSHOT;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    struct fixture_instance *owner = fixture_serving(f, "source");
    owner->epoch = f->last[NODE_SNAPSHOT].epoch;
    owner->round = f->last[NODE_SNAPSHOT].round;
    owner->object.bytes = 1000;
    str_format(owner->object.digest, sizeof(owner->object.digest), "sha256:1");
    return owner;
}

/* The command came again by a later epoch: what was taken already is answered as before. */
static void answered_as_before(struct fixture *f, const struct fixture_instance *owner)
{
    const struct fixture_node *gcp = node_at(f, "gcp");
    const struct message_command *again = &f->last[NODE_SNAPSHOT];
    assert_true(epoch_compare(again->epoch, owner->epoch) > 0);
    struct core_event event = {.kind = CORE_ANSWER};
    memcpy(event.answer.id, again->id, sizeof(again->id));
    memcpy(event.answer.node, gcp->name, sizeof(gcp->name));
    memcpy(event.answer.boot_id, gcp->boot_id, sizeof(gcp->boot_id));
    event.answer.boot_us = f->now_us - FIXTURE_BOOT_US;
    event.answer.epoch = owner->epoch;
    node_at(f, "gcp")->unanswered = 0;
    fixture_step(f, &event);
}

/* The journal refuses the report of a round, and the answer before it; when it takes words again,
 * every node is asked who it is, and everything without an answer is sent again. */
static void test_a_round_told_again_before_its_answer(void **state)
{
    struct fixture *f = *state;
    struct fixture_instance *owner = exported_unheard(f);
    restart(f);
    assert_int_equal(fixture_handoff(f, "source")->round, 1);
    int exports = f->verb_count[NODE_SNAPSHOT];
    int64_t before_us = f->now_us;
    answered_as_before(f, owner);
    /* No time passes: the round that was told is this one's, and small. */
    assert_int_equal(f->now_us, before_us);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], exports);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    assert_string_equal(owner_at(f), "aws");
    settles_at(f, "aws");
    assert_false(went_back(f));
}

static void test_a_round_told_again_after_its_answer(void **state)
{
    struct fixture *f = *state;
    struct fixture_instance *owner = exported_unheard(f);
    struct core_event started = {.kind = CORE_STARTED, .started.term = 2};
    fixture_step(f, &started);
    fixture_hello(f, fixture_node(f, "aws"));
    answered_as_before(f, owner);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    fixture_hello(f, fixture_node(f, "gcp"));
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    assert_string_equal(owner_at(f), "aws");
    settles_at(f, "aws");
    assert_false(went_back(f));
}

/* What was said of rounds before the command was taken is of an earlier handoff. */
static void test_an_earlier_round_is_not_this_one(void **state)
{
    struct fixture *f = *state;
    struct fixture_instance *owner = fixture_serving(f, "source");
    owner->round = 1;
    str_format(owner->object.digest, sizeof(owner->object.digest), "sha256:old");
    node_at(f, "gcp")->ignored = 1u << NODE_SNAPSHOT;
    begin_move(f);
    fixture_run(f, 3 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_RESTORE], 0);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    settles_at(f, "aws");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_round_told_again_before_its_answer, stateful),
        CASE(test_a_round_told_again_after_its_answer, stateful),
        CASE(test_an_earlier_round_is_not_this_one, stateful),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
