#include "tests/fault/sim_script.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/world.h"

static const char *const world_text =
    "world: fault\n"
    "accounts:\n"
    "  - {name: gcp-main, provider: gcp}\n"
    "  - {name: aws-main, provider: aws}\n"
    "  - {name: edge-main, provider: edge}\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: edge/nyc, tier: edge, account: edge-main, price: {cpu: 0.05, memory: 0.006}}\n"
    "  - name: gcp/us-central1\n"
    "    tier: cloud\n"
    "    account: gcp-main\n"
    "    price: {cpu: 0.03, memory: 0.004}\n"
    "  - {name: aws/us-east-1, tier: cloud, account: aws-main, price: {cpu: 0.04, memory: 0.005}}\n"
    "latency:\n"
    "  pairs:\n"
    "    - {between: [client/web, edge/nyc], rtt: 16ms}\n"
    "    - {between: [client/web, gcp/us-central1], rtt: 10ms}\n"
    "    - {between: [client/web, aws/us-east-1], rtt: 86ms}\n"
    "    - {between: [edge/nyc, gcp/us-central1], rtt: 14ms}\n"
    "    - {between: [edge/nyc, aws/us-east-1], rtt: 90ms}\n"
    "    - {between: [gcp/us-central1, aws/us-east-1], rtt: 84ms}\n"
    "policy:\n"
    "  settle: 200ms\n"
    "  dwell: 1s\n"
    "  moves: 2\n"
    "  healthy_min: 500ms\n"
    "  node_timeout: 4s\n";

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
static const char *const app_text =
    "app: shop\n"
    "workloads:\n"
    "  - name: web\n"
    "    contract: true\n"
    "    run: {driver: process, artifact: 'file:/bin/web', digest: '" DIGEST "'}\n"
    "    resources: {cpu: 200m, memory: 64MiB}\n"
    "    tiers: [edge]\n"
    "    ready: {kind: contract}\n"
    "    timeouts: {start: 5s, drain: 2s, stop: 2s}\n"
    "  - name: source\n"
    "    contract: true\n"
    "    run: {driver: process, artifact: 'file:/bin/source', digest: '" DIGEST "'}\n"
    "    resources: {cpu: 300m, memory: 64MiB}\n"
    "    require: {cloud: gcp}\n"
    "    restarts: 50\n"
    "    ready: {kind: contract}\n"
    "    timeouts: {start: 5s, drain: 2s, stop: 2s}\n"
    "users:\n"
    "  - {name: people, site: client/web}\n"
    "links:\n"
    "  - {from: people, to: web, calls: 100/s, request: 1KB, response: 10KB}\n"
    "  - {from: web, to: source, calls: 50/s, request: 1KB, response: 10KB}\n";

enum act { ACT_OFFER, ACT_APPLY, ACT_RETAG, ACT_FLIP, ACT_DELETE, ACT_END };
struct line {
    enum act act;
    const char *value; /* of the tag `cloud` of source */
};

/* There, back, and gone. */
static const struct line calm[] = {
    {ACT_APPLY, "gcp"}, {ACT_RETAG, "aws"}, {ACT_RETAG, "gcp"}, {ACT_DELETE, ""}, {ACT_END, ""}};
/* FLIP does not wait for the end of the move: the next line changes its mind. */
static const struct line rough[] = {{ACT_APPLY, "gcp"}, {ACT_RETAG, "aws"}, {ACT_FLIP, "gcp"},
                                    {ACT_FLIP, "aws"},  {ACT_RETAG, "gcp"}, {ACT_FLIP, "aws"},
                                    {ACT_RETAG, "gcp"}, {ACT_RETAG, "aws"}, {ACT_DELETE, ""},
                                    {ACT_END, ""}};

/* A better place for `web`: it goes there, is judged, and comes back. */
static const struct line saving[] = {
    {ACT_APPLY, "gcp"}, {ACT_OFFER, "gcp"}, {ACT_DELETE, ""}, {ACT_END, ""}};

static bool all_are_there(const struct sim *sim);
static void ask(struct sim *sim, const struct line *line);
static void offer(struct sim *sim);
static bool has_returned(struct sim *sim, const struct line *line);
static bool is_quiet(struct sim *sim, const struct line *line);

void script_read(struct sim *sim)
{
    struct error err = {0};
    int rc =
        world_parse("world.yaml", world_text, strlen(world_text), &sim->arena, &sim->world, &err);
    BERTH_ASSERT(rc == 0, "%s", err.text);
    sim->world.policy.check_after_us = 300 * US_PER_MS;
    rc = app_parse("app.yaml", app_text, strlen(app_text), &sim->arena, &sim->app, &err);
    BERTH_ASSERT(rc == 0, "%s", err.text);
    if (sim->options.saving)
        sim->app.workloads[0].tiers = (1u << TIER_EDGE) | (1u << TIER_CLOUD);
}

void script_look(struct sim *sim)
{
    const struct line *line = sim->options.saving      ? &saving[sim->script_at]
                              : sim->options.adversary ? &rough[sim->script_at]
                                                       : &calm[sim->script_at];
    (void)sim_push(sim, 50 * US_PER_MS, SIM_CLIENT);
    if (line->act == ACT_END) {
        /* The last messages have their time; then nothing may be left. */
        if (sim->now_us > sim->asked_us + 20 * US_PER_S && all_are_there(sim)) {
            sim_check_end(sim, true);
            sim->finished = true;
        }
        return;
    }
    /* Nobody replies to what is measured: it is told again until it has had its effect. */
    if (line->act == ACT_OFFER && sim->asked && has_returned(sim, line))
        sim->replied = true;
    if (!sim->asked || (!sim->replied && sim->now_us >= sim->asked_us + 2 * US_PER_S)) {
        ask(sim, line);
        return;
    }
    if (!sim->replied)
        return;
    bool flip = line->act == ACT_FLIP;
    if (flip ? sim->now_us < sim->asked_us + 600 * US_PER_MS : !is_quiet(sim, line))
        return;
    if (!flip)
        sim_check_end(sim, line->act == ACT_DELETE);
    if (line->act == ACT_RETAG)
        sim->moves_done++;
    sim->script_at++;
    sim->asked = false;
    sim->replied = false;
    sim->asked_us = sim->now_us;
}

static void ask(struct sim *sim, const struct line *line)
{
    sim->asked = true;
    sim->asked_us = sim->now_us;
    if (sim->core == NULL)
        return; /* nobody there: asked again later */
    struct core_event event = {0};
    str_format(event.request, sizeof(event.request), "r%d", sim->script_at);
    str_format(event.target.namespace_, LIMIT_NAME_BYTES, "default");
    str_format(event.target.app, LIMIT_NAME_BYTES, "shop");
    str_format(event.target.workload, LIMIT_NAME_BYTES, "source");
    str_format(event.target.key, LIMIT_NAME_BYTES, "cloud");
    str_format(event.target.value, LIMIT_NAME_BYTES, "%s", line->value);
    switch (line->act) {
    case ACT_OFFER:
        offer(sim);
        return;
    case ACT_APPLY:
        memset(&event.target, 0, sizeof(event.target));
        event.kind = CORE_APPLY;
        event.apply.app = &sim->app;
        break;
    case ACT_RETAG:
    case ACT_FLIP:
        event.kind = CORE_RETAG;
        break;
    case ACT_DELETE:
    case ACT_END:
        event.kind = CORE_DELETE;
        sim->delete_asked = true;
        break;
    }
    sim_scheduler_take(sim, &event);
}

/* Something is measured, which makes a solve, whose answer is the offer. */
static void offer(struct sim *sim)
{
    struct core_event event = {.kind = CORE_ESTIMATES};
    struct estimate estimate = {.kind = ESTIMATE_MCPU, .value = ++sim->offers};
    str_format(estimate.namespace_, sizeof(estimate.namespace_), "default");
    str_format(estimate.app, sizeof(estimate.app), "shop");
    str_format(estimate.workload, sizeof(estimate.workload), "web");
    str_format(estimate.site, sizeof(estimate.site), "aws/us-east-1");
    estimate.at_us = sim->now_us;
    event.estimates.list = &estimate;
    event.estimates.count = 1;
    sim_scheduler_take(sim, &event);
}

/* `web` was away, did not pay, and is back. */
static bool has_returned(struct sim *sim, const struct line *line)
{
    if (!is_quiet(sim, line))
        return false;
    const struct core_state *state = core_state(sim->core);
    const struct core_workload *web = &state->apps[0].workloads[0];
    return state->saving_move_count >= 2 && web->trial.site < 0 && web->reason == REASON_REGRET &&
           str_equal(state->world->sites[web->site].name, "edge/nyc");
}

/* Nobody is away: what runs on a lost node is out of reach until it returns. */
static bool all_are_there(const struct sim *sim)
{
    if (sim->core == NULL)
        return false;
    const struct core_state *state = core_state(sim->core);
    for (int i = 0; i < SIM_NODES; i++) {
        if (sim->nodes[i].core == NULL || i >= state->node_count || !state->nodes[i].up)
            return false;
    }
    return true;
}

/* The scheduler has nothing under way, and things are where they were asked to be. */
static bool is_quiet(struct sim *sim, const struct line *line)
{
    /* What an accident has ended a moment ago the scheduler cannot know yet. */
    if (!all_are_there(sim) || sim->now_us < sim->excused_us)
        return false;
    const struct core_state *state = core_state(sim->core);
    if (state->handoff_count > 0 || state->solving || state->changed.us != 0)
        return false;
    if (line->act == ACT_DELETE)
        return state->app_count == 0 && state->instance_count == 0 && state->command_count == 0;
    if (state->app_count != 1 || state->instance_count != 2 || state->command_count != 0)
        return false;
    bool there = false;
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *instance = &state->instances[i];
        if (instance->state != INSTANCE_READY || instance->want != WANT_SERVE || instance->lost)
            return false;
        there |= str_equal(instance->workload, "source") && str_equal(instance->node, line->value);
    }
    return there;
}
