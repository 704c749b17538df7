/* The core's own copy of a world: nothing of it is lent. */
#include "model_fixture.h"

#include "scheduler/core/internal.h"

static const char whole[] =
    "world: whole\n"
    "accounts: [{name: a, provider: aws}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client, tags: {zone: b}, measures: {carbon: 0 g/kWh}}\n"
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.03, memory: 0.004},\n"
    "     measures: {carbon: 440 g/kWh}}\n"
    "egress: [{name: e, from: aws/*, to: '*', per: GiB, tiers: [{up_to: 1GiB, price: 1}, {price: "
    "2}]}]\n"
    "latency: {pairs: [{between: [client/web, aws/one], rtt: 40ms, factor: 1ms, per_mib: 90ms}]}\n"
    "workload_measures: {licence: 0 USD}\n"
    "terms: [{name: carbon, formula: 'vcpu_hours * 5 W/vCPU * site.carbon * 0.0001 USD/g'}]\n"
    "policy: {quiet_hours: ['22:00-06:00', '12:00-13:00']}\n";

/* With the first world's memory gone (and poisoned by the sanitizer) the copy still says all. */
static void the_copy_stands_alone(void **state)
{
    (void)state;
    struct arena lent;
    struct arena own;
    struct world world;
    struct world copy;
    struct error err = {0};
    struct strbuf before;
    struct strbuf after;
    arena_init(&lent, 64 << 20);
    arena_init(&own, 64 << 20);
    strbuf_init(&before, 1 << 20);
    strbuf_init(&after, 1 << 20);
    if (world_parse("w.yaml", whole, strlen(whole), &lent, &world, &err) < 0) {
        fail_msg("%s", err.text);
    }
    world_write(&world, &before);
    assert_int_equal(core_world_copy(&world, &own, &copy), 0);
    for (int i = 0; i < world.site_count; i++) {
        memset(world.sites[i].measures.list, 0xa5, sizeof(struct measure));
    }
    memset(world.terms, 0xa5, sizeof(struct custom_term));
    memset(world.workload_measures.list, 0xa5, sizeof(struct measure));
    memset(world.policy.quiet, 0xa5, 2 * sizeof(struct quiet_hours));
    memset(world.us_per_mib, 0xa5, 4 * sizeof(int64_t));
    memset(world.sites, 0xa5, 2 * sizeof(struct site));
    arena_done(&lent);
    world_write(&copy, &after);
    assert_int_equal(strbuf_error(&after, NULL), 0);
    assert_string_equal(strbuf_text(&before), strbuf_text(&after));
    strbuf_done(&before);
    strbuf_done(&after);
    arena_done(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_copy_stands_alone)};
    return cmocka_run_group_tests_name("world_copy", tests, NULL, NULL);
}
