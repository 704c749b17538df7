#include "tests/unit/owner_fixture.h"

static void test_first_start(void **state)
{
    struct fixture *f = *state;
    const struct core_handoff *ended = fixture_ended(f);
    assert_int_equal(ended->state, HANDOFF_STATE_DONE);
    assert_int_equal(ended->class_, HANDOFF_EXCLUSIVE);
    assert_int_equal(f->fence_count, 1);
    assert_string_equal(f->fence.fence.workload, "source");
    assert_string_equal(f->fence.fence.instance, ended->to);
    assert_int_equal(f->verb_count[NODE_RESUME], 1);
    assert_int_equal(epoch_compare(f->last[NODE_RESUME].epoch, ended->owner), 0);
    assert_null(f->last[NODE_RESUME].handed);
    assert_true(ended->entered[HANDOFF_STATE_REACHABLE].us != 0);
    assert_true(ended->entered[HANDOFF_STATE_FENCING].us != 0);
    assert_true(ended->entered[HANDOFF_STATE_FREEZING].us == 0);
    struct fixture_instance *owner = fixture_serving(f, "source");
    assert_int_equal(owner->class_, SPEC_EXCLUSIVE);
    assert_int_equal(owner->lease_us, 5 * US_PER_S / 3 * 2);
    assert_int_equal(fixture_serving(f, "web")->lease_us, 0);
    check_owners(f);
}

static void test_a_move_freezes_fences_and_grants(void **state)
{
    struct fixture *f = *state;
    struct epoch before = f->fence_stored;
    begin_move(f);
    const struct core_handoff *handoff = fixture_handoff(f, "source");
    assert_int_equal(handoff->state, HANDOFF_STATE_HELD);
    assert_int_equal(f->verb_count[NODE_DRAIN], 1);
    assert_int_equal(f->fence_count, 2);
    assert_true(epoch_compare(f->fence_stored, before) > 0);
    assert_string_equal(owner_at(f), "aws");
    assert_string_equal(fixture_serving(f, "source")->got, "cursor=17");
    assert_int_equal(epoch_compare(known(f, handoff->to)->owner, handoff->owner), 0);
    assert_true(known(f, handoff->from)->frozen);
    assert_int_equal(handoff->entered[HANDOFF_STATE_LINGERING].us, 0);
    run(f, 5 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_string_equal(fixture_ended(f)->handed, "");
    settles_at(f, "aws");
    assert_int_equal(f->fence_count, 2);
}

static bool step_to(struct fixture *f, enum handoff_state wanted)
{
    for (int i = 0; i < 1000; i++) {
        const struct core_handoff *handoff = fixture_handoff(f, "source");
        if (handoff != NULL && handoff->state == wanted)
            return true;
        fixture_run(f, 10 * US_PER_MS);
    }
    return false;
}

/* The key may be written while the report of the freeze is recorded, and in no other case. */
static void test_only_a_recorded_freeze_fences_at_once(void **state)
{
    struct fixture *f = *state;
    assert_false(f->fence.fence.at_once); /* the first start's */
    f->fence_code = 1;                    /* without an answer */
    node_at(f, "gcp")->ignored = 1u << NODE_DRAIN;
    begin_move(f);
    assert_true(step_to(f, HANDOFF_STATE_FREEZING));
    node_at(f, "gcp")->ignored = 0;
    assert_true(step_to(f, HANDOFF_STATE_FENCING));
    assert_true(f->fence.fence.at_once);
    struct epoch first = f->fence.fence.owner;
    run(f, 2 * US_PER_S); /* asked again, when all is on record */
    assert_false(f->fence.fence.at_once);
    assert_int_equal(epoch_compare(f->fence.fence.owner, first), 0);
    /* Overtaken: by another epoch, in its own time. */
    f->fence_stored = (struct epoch){9, 5};
    fixture_fenced(f, 0);
    assert_int_equal(f->fence.fence.owner.term, 9);
    assert_false(f->fence.fence.at_once);
    settles_at(f, "aws");
}

static void test_a_lost_owner_is_fenced_by_the_record_only(void **state)
{
    struct fixture *f = *state;
    f->fence_code = 1;
    node_at(f, "gcp")->ignored = 1u << NODE_DRAIN;
    begin_move(f);
    assert_true(step_to(f, HANDOFF_STATE_FREEZING));
    fixture_lose(f, fixture_node(f, "gcp")); /* it may serve on, and its loss be forgotten */
    assert_true(step_to(f, HANDOFF_STATE_FENCING));
    assert_false(f->fence.fence.at_once);
}

static void test_nobody_owns_before_the_epoch_is_written(void **state)
{
    struct fixture *f = *state;
    f->fence_code = 1;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FENCING);
    struct epoch owner = f->fence.fence.owner;
    run(f, 10 * US_PER_S);
    /* Asked again, for the same epoch, and nobody serves meanwhile. */
    assert_in_range(f->fence_count, 8, 13);
    assert_int_equal(epoch_compare(owner, f->fence.fence.owner), 0);
    assert_int_equal(f->verb_count[NODE_RESUME], 1);
    assert_string_equal(owner_at(f), "nowhere");
    fixture_fenced(f, ERR_UNAVAILABLE); /* unknown is not an answer */
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FENCING);
    fixture_fenced(f, 0);
    assert_string_equal(owner_at(f), "aws");
    settles_at(f, "aws");
}

static void test_a_higher_stored_epoch_is_overtaken(void **state)
{
    struct fixture *f = *state;
    f->fence_stored = (struct epoch){9, 100000}; /* by a journal that this one is an old copy of */
    begin_move(f);
    assert_string_equal(owner_at(f), "aws");
    assert_int_equal(f->fence_stored.term, 9);
    assert_true(f->fence_stored.n > 100000);
    settles_at(f, "aws");
}

static void test_the_answer_of_another_epoch_says_nothing(void **state)
{
    struct fixture *f = *state;
    f->fence_code = 1;
    begin_move(f);
    struct core_event event = {.kind = CORE_FENCED};
    memcpy(event.fenced.handoff, f->fence.fence.handoff, LIMIT_ID_BYTES);
    event.fenced.owner = f->fence.fence.owner;
    event.fenced.owner.n--;
    fixture_step(f, &event);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FENCING);
    assert_false(fixture_handoff(f, "source")->fenced);
    f->fence_code = 0;
    settles_at(f, "aws");
}

static void test_a_refused_epoch_is_replaced(void **state)
{
    struct fixture *f = *state;
    f->fence_code = 1;
    begin_move(f);
    /* The target has taken a higher one meanwhile, of another scheduler say. */
    struct fixture_instance *to = fixture_instance(f, fixture_handoff(f, "source")->to);
    to->epoch = (struct epoch){3, 77777};
    fixture_fenced(f, 0);
    assert_string_equal(owner_at(f), "aws");
    assert_true(epoch_compare(f->fence_stored, to->epoch) >= 0);
    assert_int_equal(f->fence_stored.term, 3);
    settles_at(f, "aws");
}

/* ---- failures, state by state ---- */

static void test_a_failure_before_the_freeze_interrupts_nobody(void **state)
{
    static const enum node_verb kept[] = {NODE_STAGE, NODE_START, NODE_PROBE};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        struct fixture *f = *state;
        struct epoch owner = f->fence_stored;
        struct fixture_node *aws = node_at(f, "aws");
        if (kept[i] == NODE_PROBE)
            node_at(f, "edge")->unreachable = true;
        else
            aws->ignored = 1u << kept[i];
        begin_move(f);
        fixture_lose(f, fixture_node(f, "aws"));
        run(f, 3 * US_PER_S);
        assert_true(went_back(f));
        assert_string_equal(owner_at(f), "gcp");
        assert_int_equal(f->verb_count[NODE_DRAIN], 0);
        assert_int_equal(epoch_compare(f->fence_stored, owner), 0);
        node_at(f, "edge")->unreachable = false;
        fixture_hello(f, fixture_node(f, "aws"));
        settles_at(f, "aws");
        assert_int_equal(teardown(state), 0);
        assert_int_equal(exclusive(state), 0);
    }
}

static void test_what_does_not_freeze_owns_again(void **state)
{
    struct fixture *f = *state;
    node_at(f, "gcp")->ignored = 1u << NODE_DRAIN;
    struct epoch before = f->fence_stored;
    begin_move(f);
    run(f, 10 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FREEZING);
    run(f, 8 * US_PER_S);
    assert_true(went_back(f));
    assert_string_equal(owner_at(f), "gcp");
    /* A freeze may still be on its way there: only a new epoch makes sure. */
    assert_true(epoch_compare(f->fence_stored, before) > 0);
    settles_at(f, "aws");
}

static void test_a_refused_freeze_goes_back(void **state)
{
    struct fixture *f = *state;
    node_at(f, "gcp")->refused = 1u << NODE_DRAIN;
    begin_move(f);
    run(f, 1 * US_PER_S);
    assert_true(went_back(f));
    assert_string_equal(owner_at(f), "gcp");
    settles_at(f, "aws");
}

static void test_new_side_lost_while_fencing(void **state)
{
    struct fixture *f = *state;
    char old[LIMIT_ID_BYTES];
    str_format(old, sizeof(old), "%s", fixture_serving(f, "source")->id);
    f->fence_code = 1;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FENCING);
    struct epoch lost = f->fence.fence.owner;
    f->fence_code = 0;
    fixture_lose(f, fixture_node(f, "aws"));
    run(f, 1 * US_PER_S);
    assert_true(went_back(f));
    assert_string_equal(fixture_serving(f, "source")->id, old);
    assert_string_equal(fixture_serving(f, "source")->got, "cursor=17");
    assert_true(epoch_compare(f->fence_stored, lost) > 0);
    fixture_hello(f, fixture_node(f, "aws"));
    settles_at(f, "aws");
}

/* Nobody knows whether the new one owns already: it is ended before the old one does again. */
static void test_a_grant_without_effect_is_taken_back(void **state)
{
    struct fixture *f = *state;
    node_at(f, "aws")->ignored = 1u << NODE_RESUME | 1u << NODE_STOP;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_GRANTING);
    char fresh[LIMIT_ID_BYTES];
    str_format(fresh, sizeof(fresh), "%s", fixture_handoff(f, "source")->to);
    run(f, 60 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_RETURNING);
    assert_string_equal(owner_at(f), "nowhere");
    assert_true(f->verb_count[NODE_STOP] > 0);
    node_at(f, "aws")->ignored = 1u << NODE_RESUME;
    fixture_run(f, 6 * US_PER_S);
    assert_string_equal(owner_at(f), "gcp");
    assert_true(went_back(f));
    settles_at(f, "aws");
}

static void test_a_late_failure_goes_back_by_a_new_epoch(void **state)
{
    struct fixture *f = *state;
    char old[LIMIT_ID_BYTES];
    str_format(old, sizeof(old), "%s", fixture_serving(f, "source")->id);
    begin_move(f);
    struct epoch fresh = f->fence_stored;
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    /* It waits for its next start, after which its node would make it the owner again. */
    fixture_report(f, fixture_serving(f, "source"), INSTANCE_BACKOFF, "exit 1");
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_BACK);
    assert_string_equal(fixture_serving(f, "source")->id, old);
    assert_string_equal(fixture_serving(f, "source")->got, "cursor=17");
    assert_true(epoch_compare(f->fence_stored, fresh) > 0);
    assert_int_equal(f->verb_count[NODE_DRAIN], 1);
    settles_at(f, "aws");
}

static void test_what_the_new_one_wrote_goes_back_with_the_ownership(void **state)
{
    struct fixture *f = *state;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    f->handed = "cursor=99";
    fixture_report(f, fixture_serving(f, "source"), INSTANCE_UNREADY, "3 probes failed");
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_BACK);
    assert_string_equal(owner_at(f), "gcp");
    assert_string_equal(fixture_serving(f, "source")->got, "cursor=99");
    settles_at(f, "aws");
}

static void test_old_node_lost_goes_forward_without_a_freeze(void **state)
{
    struct fixture *f = *state;
    node_at(f, "aws")->ignored = 1u << NODE_START;
    begin_move(f);
    fixture_lose(f, fixture_node(f, "gcp"));
    node_at(f, "aws")->ignored = 0;
    run(f, 20 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    assert_string_equal(owner_at(f), "aws");
    assert_string_equal(fixture_serving(f, "source")->got, "");
    /* It comes back with the old copy, which its node has frozen: that one is ended. */
    fixture_instance(f, fixture_ended(f)->from)->state = INSTANCE_HELD;
    fixture_hello(f, fixture_node(f, "gcp"));
    settles_at(f, "aws");
}

static void test_old_process_ended_while_freezing(void **state)
{
    struct fixture *f = *state;
    node_at(f, "gcp")->ignored = 1u << NODE_DRAIN;
    struct fixture_instance *old = fixture_serving(f, "source");
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FREEZING);
    fixture_report(f, old, INSTANCE_BACKOFF, "exit 1");
    /* Its node is kept from starting the next owner. */
    assert_true(f->verb_count[NODE_STOP] > 0);
    assert_string_equal(owner_at(f), "aws");
    settles_at(f, "aws");
}

static void test_both_sides_failing_start_anew(void **state)
{
    struct fixture *f = *state;
    f->fence_code = 1;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FENCING);
    fixture_lose(f, fixture_node(f, "gcp"));
    fixture_lose(f, fixture_node(f, "aws"));
    f->fence_code = 0;
    run(f, 3 * US_PER_S);
    assert_string_equal(owner_at(f), "nowhere");
    for (int i = 0; i < f->instance_count; i++)
        f->instances[i].state =
            f->nodes[f->instances[i].node].silent ? INSTANCE_STOPPED : f->instances[i].state;
    fixture_hello(f, fixture_node(f, "gcp"));
    fixture_hello(f, fixture_node(f, "aws"));
    run(f, 10 * US_PER_S);
    if (f->solve != 0)
        fixture_plan(f, at_aws, INT64_MAX, 900);
    settles_at(f, "aws");
}

/* The old copy dies while the way goes back to it: the new one, which could own, does. */
static void test_old_side_lost_on_the_way_back(void **state)
{
    struct fixture *f = *state;
    node_at(f, "gcp")->ignored = 1u << NODE_DRAIN;
    begin_move(f);
    f->fence_code = 1;
    run(f, 17 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_RETURNING);
    f->fence_code = 0;
    fixture_lose(f, fixture_node(f, "gcp"));
    run(f, 2 * US_PER_S);
    assert_string_equal(owner_at(f), "aws");
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    fixture_instance(f, fixture_ended(f)->from)->state = INSTANCE_STOPPED;
    fixture_hello(f, fixture_node(f, "gcp"));
    settles_at(f, "aws");
}

/* ---- leases, restarts, ends ---- */

static void test_a_held_owner_owns_again_when_it_is_heard(void **state)
{
    struct fixture *f = *state;
    struct epoch before = f->fence_stored;
    struct fixture_instance *owner = fixture_serving(f, "source");
    fixture_report(f, owner, INSTANCE_HELD, "lease ended");
    const struct core_handoff *ended = fixture_ended(f);
    assert_int_equal(ended->reason, REASON_LEASE);
    assert_int_equal(ended->state, HANDOFF_STATE_DONE);
    assert_string_equal(ended->from, "");
    assert_string_equal(ended->to, owner->id);
    assert_int_equal(owner->state, INSTANCE_READY);
    assert_true(epoch_compare(f->fence_stored, before) > 0);
    assert_int_equal(f->verb_count[NODE_START], 2);
    settles_at(f, "gcp");
}

static void test_a_lease_that_cannot_be_renewed_starts_it_elsewhere(void **state)
{
    struct fixture *f = *state;
    f->fence_code = 1;
    fixture_report(f, fixture_serving(f, "source"), INSTANCE_HELD, "lease ended");
    assert_int_equal(fixture_handoff(f, "source")->reason, REASON_LEASE);
    fixture_report(f, fixture_instance(f, fixture_handoff(f, "source")->to), INSTANCE_STOPPED,
                   "killed");
    f->fence_code = 0;
    run(f, 5 * US_PER_S);
    settles_at(f, "gcp");
}

static void test_a_lease_that_ends_in_a_move(void **state)
{
    struct fixture *f = *state;
    node_at(f, "aws")->ignored = 1u << NODE_STAGE;
    begin_move(f);
    fixture_report(f, fixture_serving(f, "source"), INSTANCE_HELD, "lease ended");
    run(f, 2 * US_PER_S);
    node_at(f, "aws")->ignored = 0;
    settles_at(f, "aws");
}

static void test_a_lost_owner_is_replaced_after_its_lease(void **state)
{
    struct fixture *f = *state;
    struct fixture_instance *old = fixture_serving(f, "source");
    /* It was given 2/3 of 5 s; the world's new timeout is shorter than that. */
    f->world.policy.node_timeout_us = 2 * US_PER_S;
    fixture_world(f);
    fixture_lose(f, fixture_node(f, "gcp"));
    fixture_retag(f, "source", "aws");
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, at_aws, INT64_MAX, 900);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FENCING);
    assert_true(fixture_handoff(f, "source")->fenced);
    int64_t lost_us = f->now_us - 1100 * US_PER_MS;
    while (fixture_handoff(f, "source") != NULL &&
           fixture_handoff(f, "source")->state == HANDOFF_STATE_FENCING)
        fixture_run(f, 100 * US_PER_MS);
    assert_true(f->now_us >= lost_us + old->lease_us);
    old->state = INSTANCE_STOPPED;
    assert_string_equal(owner_at(f), "aws");
}

static void test_a_restart_in_each_state(void **state)
{
    static const struct {
        enum handoff_state at;
        enum node_verb verb; /* whose effect is kept back */
        const char *node;
    } stops[] = {
        {HANDOFF_STATE_STAGING, NODE_STAGE, "aws"},  {HANDOFF_STATE_STARTING, NODE_START, "aws"},
        {HANDOFF_STATE_READY, NODE_PROBE, "edge"},   {HANDOFF_STATE_FREEZING, NODE_DRAIN, "gcp"},
        {HANDOFF_STATE_FENCING, NODE_FORGET, "aws"}, {HANDOFF_STATE_GRANTING, NODE_RESUME, "aws"},
        {HANDOFF_STATE_HELD, NODE_FORGET, "aws"},    {HANDOFF_STATE_STOPPING, NODE_STOP, "gcp"},
    };
    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
        struct fixture *f = *state;
        node_at(f, stops[i].node)->unanswered = 1u << stops[i].verb;
        f->fence_code = stops[i].at == HANDOFF_STATE_FENCING;
        begin_move(f);
        for (int k = 0; k < 100 && fixture_handoff(f, "source")->state != stops[i].at; k++)
            fixture_run(f, 100 * US_PER_MS);
        assert_int_equal(fixture_handoff(f, "source")->state, stops[i].at);
        int fences = f->fence_count;
        node_at(f, stops[i].node)->unanswered = 0;
        f->fence_code = 0;
        restart(f);
        if (stops[i].at == HANDOFF_STATE_FENCING)
            assert_int_equal(f->fence_count, fences + 1);
        assert_true(fixture_owners(f, "source") <= 1);
        settles_at(f, "aws");
        assert_false(went_back(f));
        assert_int_equal(teardown(state), 0);
        assert_int_equal(exclusive(state), 0);
    }
}

static void test_a_restart_on_the_way_back(void **state)
{
    struct fixture *f = *state;
    begin_move(f);
    f->fence_code = 1;
    fixture_report(f, fixture_serving(f, "source"), INSTANCE_BACKOFF, "exit 1");
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_RETURNING);
    int fences = f->fence_count;
    f->fence_code = 0;
    restart(f);
    assert_int_equal(f->fence_count, fences + 1);
    assert_string_equal(owner_at(f), "gcp");
    settles_at(f, "aws");
}

static void test_deletion_freezes_first(void **state)
{
    struct fixture *f = *state;
    fixture_delete(f);
    run(f, 10 * US_PER_S);
    assert_true(f->verb_count[NODE_DRAIN] >= 1);
    assert_int_equal(fixture_alive(f), 0);
    assert_int_equal(core_state(f->core)->app_count, 0);
    assert_int_equal(core_state(f->core)->instance_count, 0);
}

static void test_deletion_in_each_state(void **state)
{
    for (int ms = 0; ms < 3; ms++) {
        struct fixture *f = *state;
        f->fence_code = ms == 1;
        node_at(f, "aws")->ignored = ms == 2 ? 1u << NODE_RESUME : 0;
        begin_move(f);
        fixture_delete(f);
        f->fence_code = 0;
        node_at(f, "aws")->ignored = 0;
        run(f, 60 * US_PER_S);
        assert_int_equal(core_state(f->core)->app_count, 0);
        assert_int_equal(core_state(f->core)->instance_count, 0);
        assert_int_equal(teardown(state), 0);
        assert_int_equal(exclusive(state), 0);
    }
}

/* Deleted and applied anew while the old owner cannot be ended: nobody owns meanwhile. */
static void test_the_next_owner_waits_for_the_last_of_the_one_before(void **state)
{
    struct fixture *f = *state;
    node_at(f, "gcp")->ignored = 1u << NODE_STOP | 1u << NODE_DRAIN;
    fixture_delete(f);
    fixture_run(f, 200 * US_PER_S);
    const struct core_state *core = core_state(f->core);
    assert_true(core->instance_count > 0);
    fixture_apply(f, &f->app);
    assert_int_equal(f->reply_code, 0);
    fixture_run(f, 2 * US_PER_S);
    fixture_plan(f, (const char *const[]){"web", "edge/nyc", "source", "gcp/us-central1", NULL},
                 INT64_MAX, 1000);
    fixture_run(f, 20 * US_PER_S);
    assert_int_equal(fixture_owners(f, "source"), 1); /* the old one: its node ends nothing */
    settles_at(f, "gcp");
}

static void test_a_new_version_in_place(void **state)
{
    struct fixture *f = *state;
    f->app.workloads[1].stop_timeout_us++;
    fixture_apply(f, &f->app);
    run(f, 10 * US_PER_S);
    assert_int_equal(fixture_ended(f)->reason, REASON_VERSION);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_string_equal(fixture_serving(f, "source")->got, "cursor=17");
    settles_at(f, "gcp");
}

static void test_a_class_may_change(void **state)
{
    static const enum handoff_class classes[] = {HANDOFF_OVERLAP, HANDOFF_EXCLUSIVE,
                                                 HANDOFF_STATEFUL, HANDOFF_EXCLUSIVE};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        f->app.workloads[1].handoff = classes[i];
        fixture_apply(f, &f->app);
        fixture_run(f, 20 * US_PER_S);
        assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
        assert_int_equal(fixture_serving(f, "source")->class_, (int)classes[i]);
        assert_int_equal(fixture_alive(f), 2);
    }
}

/* ---- stateful ---- */

static void test_state_is_shipped_while_it_serves(void **state)
{
    struct fixture *f = *state;
    begin_move(f);
    run(f, 1 * US_PER_S);
    const struct core_handoff *handoff = fixture_handoff(f, "source");
    assert_int_equal(handoff->state, HANDOFF_STATE_HELD);
    /* All, then 1 MiB, which is little; the rest while frozen. */
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 2);
    assert_int_equal(f->verb_count[NODE_RESTORE], 3);
    assert_int_equal(f->last[NODE_DRAIN].round, 3);
    assert_int_equal(f->last[NODE_RESTORE].round, 3);
    assert_string_equal(f->last[NODE_RESTORE].object.digest, "sha256:3");
    assert_int_equal(handoff->round, 3);
    assert_int_equal(handoff->shipped_bytes, 65 * MIB + 1000);
    assert_true(handoff->entered[HANDOFF_STATE_SHIPPING].us != 0);
    assert_string_equal(owner_at(f), "aws");
    settles_at(f, "aws");
}

static void test_what_changes_fast_is_frozen_after_four_rounds(void **state)
{
    struct fixture *f = *state;
    for (int i = 1; i < 8; i++)
        f->export_bytes[i] = 64 * MIB;
    begin_move(f);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 4);
    assert_int_equal(f->last[NODE_DRAIN].round, 5);
    settles_at(f, "aws");
}

static void test_no_change_needs_no_way(void **state)
{
    struct fixture *f = *state;
    f->export_bytes[1] = 1000;
    f->export_bytes[2] = 0;
    begin_move(f);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 1);
    assert_int_equal(f->verb_count[NODE_RESTORE], 1);
    assert_int_equal(f->last[NODE_DRAIN].round, 2);
    settles_at(f, "aws");
}

static void test_a_failed_round_interrupts_nobody(void **state)
{
    static const enum node_verb verbs[] = {NODE_SNAPSHOT, NODE_RESTORE};
    for (int i = 0; i < 4; i++) {
        struct fixture *f = *state;
        struct fixture_node *node = node_at(f, i % 2 == 0 ? "gcp" : "aws");
        unsigned bit = 1u << verbs[i % 2];
        *(i < 2 ? &node->refused : &node->ignored) = bit;
        begin_move(f);
        fixture_run(f, 119 * US_PER_S);
        assert_string_equal(owner_at(f), "gcp");
        fixture_run(f, 20 * US_PER_S); /* 64 MiB have 16 s more */
        assert_true(went_back(f));
        assert_int_equal(f->verb_count[NODE_DRAIN], 0);
        assert_int_equal(f->fence_count, 1);
        settles_at(f, "aws");
        assert_int_equal(teardown(state), 0);
        assert_int_equal(stateful(state), 0);
    }
}

/* Its node says at once that it could not: nobody waits for the deadline. */
static void test_a_node_that_cannot_ship_says_so(void **state)
{
    struct fixture *f = *state;
    node_at(f, "gcp")->ignored = 1u << NODE_SNAPSHOT;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    struct fixture_instance *owner = fixture_serving(f, "source");
    fixture_report(f, owner, INSTANCE_READY, "of an earlier command");
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    owner->error_code = ERR_IO;
    fixture_report(f, owner, INSTANCE_READY, "snapshot round 1 failed: disk full");
    owner->error_code = 0;
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_BACK);
    assert_non_null(strstr(fixture_ended(f)->text, "disk full"));
    assert_string_equal(owner_at(f), "gcp");
    assert_int_equal(f->fence_count, 1);
    settles_at(f, "aws");
}

/* A long export is neither asked for again nor taken for an earlier handoff's. */
/* The agent that exported a round was started again: the word of it is enough, no time passes. */
static void test_a_round_lost_with_its_agent_goes_back_at_once(void **state)
{
    struct fixture *f = *state;
    struct fixture_node *gcp = node_at(f, "gcp");
    gcp->ignored = 1u << NODE_SNAPSHOT;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    /* One that only connected again still exports. */
    fixture_serving(f, "source")->doing = 1;
    fixture_hello(f, fixture_node(f, "gcp"));
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 1);
    fixture_serving(f, "source")->doing = 0;
    fixture_hello(f, fixture_node(f, "gcp"));
    const struct core_handoff *ended = fixture_ended(f);
    assert_int_equal(ended->state, HANDOFF_STATE_BACK);
    assert_string_equal(ended->text, "round 1 of its state was lost with the agent of gcp");
    assert_string_equal(owner_at(f), "gcp");
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    assert_int_equal(f->fence_count, 1);
    settles_at(f, "aws");
}

/* What was not taken by the agent before is simply asked of the next one. */
static void test_a_round_that_was_not_asked_is_not_lost(void **state)
{
    struct fixture *f = *state;
    node_at(f, "gcp")->unanswered = 1u << NODE_SNAPSHOT;
    begin_move(f);
    fixture_hello(f, fixture_node(f, "gcp"));
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    settles_at(f, "aws");
    assert_false(went_back(f));
}

static void test_an_import_lost_with_its_agent_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    node_at(f, "aws")->ignored = 1u << NODE_RESTORE;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    assert_int_equal(f->verb_count[NODE_RESTORE], 1);
    struct epoch first = f->last[NODE_RESTORE].epoch;
    node_at(f, "aws")->ignored = 0;
    fixture_hello(f, fixture_node(f, "aws"));
    /* All rounds follow within the same instant. */
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    assert_true(epoch_compare(f->last[NODE_RESTORE].epoch, first) > 0);
    assert_string_equal(owner_at(f), "aws");
    settles_at(f, "aws");
    assert_false(went_back(f));
}

static void test_a_long_export_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct fixture_instance *owner = fixture_serving(f, "source");
    owner->round = 1; /* of a handoff that went back */
    str_format(owner->object.digest, sizeof(owner->object.digest), "sha256:old");
    owner->object.bytes = 5;
    fixture_report(f, owner, INSTANCE_READY, "");
    node_at(f, "gcp")->ignored = 1u << NODE_SNAPSHOT;
    begin_move(f);
    for (int i = 0; i < 100; i++) {
        fixture_run(f, US_PER_S);
        assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    }
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 1);
    assert_int_equal(f->verb_count[NODE_RESTORE], 0);
    settles_at(f, "aws");
}

static void test_the_last_state_is_not_shipped(void **state)
{
    struct fixture *f = *state;
    f->export_bytes[1] = 1000;
    f->export_bytes[2] = 1000;
    begin_move(f);
    run(f, 1 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    settles_at(f, "aws");
    /* And the way back, where the new node cannot fetch it. */
    fixture_retag(f, "source", "gcp");
    f->export_bytes[1] = 0;
    node_at(f, "gcp")->ignored = 1u << NODE_RESTORE;
    /* A solve of before is answered, dropped, and asked again. */
    for (int i = 0; i < 10 && fixture_handoff(f, "source") == NULL; i++) {
        fixture_run(f, 1100 * US_PER_MS);
        if (f->solve != 0)
            fixture_plan(f, (const char *const[]){"source", "gcp/us-central1", NULL}, INT64_MAX,
                         900);
    }
    assert_non_null(fixture_handoff(f, "source"));
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_FREEZING);
    for (int i = 0; i < 40 && !went_back(f); i++)
        run(f, 500 * US_PER_MS);
    assert_true(went_back(f));
    assert_string_equal(owner_at(f), "aws");
    settles_at(f, "gcp");
}

/* It may have been written to since its RESUME was sent: only it has that, so it is made the owner
 * anew and not left for the old copy. */
static void test_no_way_back_from_a_grant_without_effect(void **state)
{
    struct fixture *f = *state;
    node_at(f, "aws")->ignored = 1u << NODE_RESUME;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_GRANTING);
    struct epoch first = fixture_handoff(f, "source")->owner;
    run(f, 60 * US_PER_S);
    assert_false(went_back(f));
    assert_true(epoch_compare(fixture_handoff(f, "source")->owner, first) > 0);
    assert_string_equal(owner_at(f), "nowhere");
    node_at(f, "aws")->ignored = 0;
    settles_at(f, "aws");
    assert_false(went_back(f));
}

static void test_no_way_back_once_it_owns(void **state)
{
    struct fixture *f = *state;
    begin_move(f);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    char fresh[LIMIT_ID_BYTES];
    str_format(fresh, sizeof(fresh), "%s", fixture_serving(f, "source")->id);
    fixture_report(f, fixture_instance(f, fresh), INSTANCE_BACKOFF, "exit 1");
    fixture_report(f, fixture_instance(f, fresh), INSTANCE_STARTING, "");
    run(f, 3 * US_PER_S);
    assert_false(went_back(f));
    assert_string_equal(owner_at(f), "nowhere");
    /* Its node has started it again, and makes it the owner by the epoch it has. */
    fixture_report(f, fixture_instance(f, fresh), INSTANCE_READY, "");
    settles_at(f, "aws");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_first_start, exclusive),
        CASE(test_a_move_freezes_fences_and_grants, exclusive),
        CASE(test_only_a_recorded_freeze_fences_at_once, exclusive),
        CASE(test_a_lost_owner_is_fenced_by_the_record_only, exclusive),
        CASE(test_nobody_owns_before_the_epoch_is_written, exclusive),
        CASE(test_a_higher_stored_epoch_is_overtaken, exclusive),
        CASE(test_the_answer_of_another_epoch_says_nothing, exclusive),
        CASE(test_a_refused_epoch_is_replaced, exclusive),
        CASE(test_a_failure_before_the_freeze_interrupts_nobody, exclusive),
        CASE(test_what_does_not_freeze_owns_again, exclusive),
        CASE(test_a_refused_freeze_goes_back, exclusive),
        CASE(test_new_side_lost_while_fencing, exclusive),
        CASE(test_a_grant_without_effect_is_taken_back, exclusive),
        CASE(test_a_late_failure_goes_back_by_a_new_epoch, exclusive),
        CASE(test_what_the_new_one_wrote_goes_back_with_the_ownership, exclusive),
        CASE(test_old_node_lost_goes_forward_without_a_freeze, exclusive),
        CASE(test_old_process_ended_while_freezing, exclusive),
        CASE(test_both_sides_failing_start_anew, exclusive),
        CASE(test_old_side_lost_on_the_way_back, exclusive),
        CASE(test_a_held_owner_owns_again_when_it_is_heard, exclusive),
        CASE(test_a_lease_that_cannot_be_renewed_starts_it_elsewhere, exclusive),
        CASE(test_a_lease_that_ends_in_a_move, exclusive),
        CASE(test_a_lost_owner_is_replaced_after_its_lease, exclusive),
        CASE(test_a_restart_in_each_state, exclusive),
        CASE(test_a_restart_on_the_way_back, exclusive),
        CASE(test_deletion_freezes_first, exclusive),
        CASE(test_deletion_in_each_state, exclusive),
        CASE(test_the_next_owner_waits_for_the_last_of_the_one_before, exclusive),
        CASE(test_a_new_version_in_place, exclusive),
        CASE(test_a_class_may_change, exclusive),
        CASE(test_state_is_shipped_while_it_serves, stateful),
        CASE(test_what_changes_fast_is_frozen_after_four_rounds, stateful),
        CASE(test_no_change_needs_no_way, stateful),
        CASE(test_a_failed_round_interrupts_nobody, stateful),
        CASE(test_a_node_that_cannot_ship_says_so, stateful),
        CASE(test_a_round_lost_with_its_agent_goes_back_at_once, stateful),
        CASE(test_a_round_that_was_not_asked_is_not_lost, stateful),
        CASE(test_an_import_lost_with_its_agent_is_asked_for_again, stateful),
        CASE(test_a_long_export_is_waited_for, stateful),
        CASE(test_the_last_state_is_not_shipped, stateful),
        CASE(test_no_way_back_once_it_owns, stateful),
        CASE(test_no_way_back_from_a_grant_without_effect, stateful),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
