#include "tests/unit/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

const char *const fixture_world_text =
    "world: test\n"
    "accounts:\n"
    "  - {name: gcp-main, provider: gcp}\n"
    "  - {name: aws-main, provider: aws}\n"
    "  - {name: edge-main, provider: edge}\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: edge/nyc, tier: edge, account: edge-main, price: {cpu: 0.05, memory: 0.006}}\n"
    "  - {name: gcp/us-central1, tier: cloud, account: gcp-main, price: {cpu: 0.03, memory: "
    "0.004}}\n"
    "  - {name: aws/us-east-1, tier: cloud, account: aws-main, price: {cpu: 0.04, memory: 0.005}}\n"
    "latency:\n"
    "  pairs:\n"
    "    - {between: [client/web, edge/nyc], rtt: 10ms}\n"
    "    - {between: [client/web, gcp/us-central1], rtt: 40ms}\n"
    "    - {between: [client/web, aws/us-east-1], rtt: 80ms}\n"
    "    - {between: [edge/nyc, gcp/us-central1], rtt: 30ms}\n"
    "    - {between: [edge/nyc, aws/us-east-1], rtt: 70ms}\n"
    "    - {between: [gcp/us-central1, aws/us-east-1], rtt: 20ms}\n"
    "policy:\n"
    "  settle: 1s\n"
    "  dwell: 60s\n"
    "  moves: 2\n"
    "  healthy_min: 2s\n"
    "  node_timeout: 5s\n"
    "  metric_age_max: 120s\n";

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
const char *const fixture_app_text =
    "app: shop\n"
    "workloads:\n"
    "  - name: web\n"
    "    contract: true\n"
    "    run: {driver: process, artifact: 'file:/bin/web', digest: '" DIGEST "'}\n"
    "    resources: {cpu: 200m, memory: 64MiB}\n"
    "    ready: {kind: contract}\n"
    "    timeouts: {start: 10s, drain: 5s, stop: 5s}\n"
    "  - name: source\n"
    "    contract: true\n"
    "    run: {driver: process, artifact: 'file:/bin/source', digest: '" DIGEST "'}\n"
    "    resources: {cpu: 300m, memory: 64MiB}\n"
    "    require: {cloud: gcp}\n"
    "    ready: {kind: contract}\n"
    "    timeouts: {start: 10s, drain: 5s, stop: 5s}\n"
    "users:\n"
    "  - {name: people, site: client/web}\n"
    "links:\n"
    "  - {from: people, to: web, calls: 100/s, request: 1KB, response: 10KB}\n"
    "  - {from: web, to: source, calls: 50/s, request: 1KB, response: 10KB}\n";

static void carry_out(struct fixture *fixture, struct core_event *queue, int *count);
static void tell(struct fixture *fixture, const struct message_event *event);
static void obey(struct fixture *fixture, const char *name, const struct message_command *command,
                 struct core_event *queue, int *count);
static enum instance_state obey_owned(struct fixture *fixture, struct fixture_instance *instance,
                                      const struct message_command *command,
                                      enum instance_state leads_to);
static void fence(struct fixture *fixture, const struct epoch *owner, struct core_event *ret_event);
static void take_route(struct fixture_node *node, const struct message_route *route);
static bool is_served(const struct fixture *fixture, const char *instance);
static struct fixture_instance *known(struct fixture *fixture, int node, const char *id);
static void queue_report(struct fixture *fixture, struct fixture_instance *instance,
                         enum instance_state state, struct core_event *queue, int *count);

#define QUEUE_MAX 256

void fixture_init_empty(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    struct error err = {0};
    arena_init(&fixture->arena, (size_t)64 << 20);
    assert_int_equal(core_create(&fixture->core, &err), 0);
    assert_int_equal(core_effects_create(LIMIT_EFFECTS / 4, &fixture->effects), 0);
    fixture->now_us = 1000 * US_PER_S;
    fixture->hub_rtt_us = 4000;
    fixture->reply_code = 1;
    struct core_event started = {.kind = CORE_STARTED, .started.term = 1};
    fixture_step(fixture, &started);
}

void fixture_init(struct fixture *fixture)
{
    struct error err = {0};
    fixture_init_empty(fixture);
    if (world_parse("world.yaml", fixture_world_text, strlen(fixture_world_text), &fixture->arena,
                    &fixture->world, &err) < 0)
        fail_msg("%s", err.text);
    fixture_parse_app(fixture, fixture_app_text, &fixture->app);
    struct core_event world = {.kind = CORE_WORLD, .world = &fixture->world};
    fixture_step(fixture, &world);
    fixture_hello(fixture, fixture_node_add(fixture, "client", "client/web"));
    fixture_hello(fixture, fixture_node_add(fixture, "edge", "edge/nyc"));
    fixture_hello(fixture, fixture_node_add(fixture, "gcp", "gcp/us-central1"));
    fixture_hello(fixture, fixture_node_add(fixture, "aws", "aws/us-east-1"));
}

void fixture_done(struct fixture *fixture)
{
    core_destroy(fixture->core);
    core_effects_destroy(fixture->effects);
    arena_done(&fixture->arena);
}

void fixture_parse_app(struct fixture *fixture, const char *text, struct app *ret_app)
{
    struct error err = {0};
    if (app_parse("app.yaml", text, strlen(text), &fixture->arena, ret_app, &err) < 0)
        fail_msg("%s", err.text);
}

int fixture_node_add(struct fixture *fixture, const char *name, const char *site)
{
    assert_true(fixture->node_count < FIXTURE_NODES);
    struct fixture_node *node = &fixture->nodes[fixture->node_count];
    memset(node, 0, sizeof(*node));
    str_format(node->name, sizeof(node->name), "%s", name);
    str_format(node->site, sizeof(node->site), "%s", site);
    str_format(node->boot_id, sizeof(node->boot_id), "boot-%s", name);
    node->rtt_us = 20000;
    node->mcpu = 1000;
    node->memory_bytes = INT64_C(1) << 30;
    return fixture->node_count++;
}

int fixture_node(const struct fixture *fixture, const char *name)
{
    for (int i = 0; i < fixture->node_count; i++) {
        if (str_equal(fixture->nodes[i].name, name))
            return i;
    }
    return -1;
}

void fixture_hello(struct fixture *fixture, int index)
{
    struct fixture_node *node = &fixture->nodes[index];
    struct message_instance list[FIXTURE_INSTANCES];
    struct core_event event = {.kind = CORE_HELLO};
    struct message_hello *hello = &event.hello;
    memset(list, 0, sizeof(list));
    str_format(hello->node, sizeof(hello->node), "%s", node->name);
    str_format(hello->site, sizeof(hello->site), "%s", node->site);
    str_format(hello->boot_id, sizeof(hello->boot_id), "%s", node->boot_id);
    str_format(hello->arch, sizeof(hello->arch), "x86_64");
    str_format(hello->drivers, sizeof(hello->drivers), "process");
    if (node->ingress)
        str_format(hello->ingress, sizeof(hello->ingress), "http://%s:80", node->name);
    hello->boot_us = fixture->now_us - FIXTURE_BOOT_US;
    hello->mcpu = node->mcpu;
    hello->memory_bytes = node->memory_bytes;
    hello->seq = node->seq;
    hello->instances = list;
    for (int i = 0; i < fixture->instance_count; i++) {
        const struct fixture_instance *instance = &fixture->instances[i];
        if (instance->node != index)
            continue;
        struct message_instance *said = &list[hello->instance_count++];
        str_format(said->instance, sizeof(said->instance), "%s", instance->id);
        said->state = (int)instance->state;
        said->epoch = instance->epoch;
        memcpy(said->endpoint, instance->endpoint, sizeof(instance->endpoint));
        said->round = instance->round;
        said->doing = instance->doing;
        said->checkpoint = instance->checkpoint;
        said->saved = instance->saved;
        said->object = instance->object;
        said->handed = instance->handed;
    }
    node->silent = false;
    fixture_step(fixture, &event);
}

void fixture_lose(struct fixture *fixture, int index)
{
    struct core_event event = {.kind = CORE_NODE_LOST};
    fixture->nodes[index].silent = true;
    /* By then its node has frozen every owner: their leases are over. */
    for (int i = 0; i < fixture->instance_count; i++) {
        struct fixture_instance *instance = &fixture->instances[i];
        if (instance->node == index && instance->class_ != SPEC_OVERLAP &&
            instance->state == INSTANCE_READY)
            instance->state = INSTANCE_HELD;
    }
    str_format(event.node, sizeof(event.node), "%s", fixture->nodes[index].name);
    fixture_step(fixture, &event);
}

/* Steps the event and all that the obedient nodes make of its effects. */
void fixture_step(struct fixture *fixture, struct core_event *event)
{
    struct core_event *queue = calloc(QUEUE_MAX, sizeof(*queue));
    int count = 0;
    assert_non_null(queue);
    event->at.us = fixture->now_us;
    core_step(fixture->core, event, fixture->effects);
    carry_out(fixture, queue, &count);
    for (int i = 0; i < count; i++) {
        queue[i].at.us = fixture->now_us;
        core_step(fixture->core, &queue[i], fixture->effects);
        carry_out(fixture, queue, &count);
    }
    free(queue);
}

static void carry_out(struct fixture *fixture, struct core_event *queue, int *count)
{
    struct core_effects *effects = fixture->effects;
    fixture->overflow += effects->count == effects->capacity;
    for (int i = 0; i < effects->count; i++) {
        struct core_effect *effect = &effects->list[i];
        switch (effect->kind) {
        case CORE_REPLY:
            fixture->reply_code = effect->reply.code;
            memcpy(fixture->reply_text, effect->reply.text, sizeof(fixture->reply_text));
            break;
        case CORE_COMMAND:
            obey(fixture, effect->command.node, &effect->command.message, queue, count);
            break;
        case CORE_PROBE: {
            assert_true(*count < QUEUE_MAX);
            struct core_event *event = &queue[(*count)++];
            event->kind = CORE_PROBED;
            memcpy(event->probed.id, effect->probe.id, sizeof(event->probed.id));
            memcpy(event->probed.instance, effect->probe.instance, sizeof(event->probed.instance));
            event->probed.sent = effect->probe.count;
            event->probed.answered = effect->probe.count;
            event->probed.rtt_us = fixture->hub_rtt_us;
            break;
        }
        case CORE_SOLVE:
            fixture->solve = effect->solve.solve;
            fixture->solve_version = effect->solve.version;
            break;
        case CORE_FENCE:
            fixture->fence = *effect;
            fixture->fence_count++;
            if (fixture->fence_code <= 0)
                fence(fixture, &effect->fence.owner, &queue[(*count)++]);
            break;
        case CORE_JUDGE:
            fixture->judge = *effect;
            fixture->judge_count++;
            break;
        case CORE_CHECK:
            fixture->check = *effect;
            fixture->check_count++;
            break;
        case CORE_PUBLISH:
            tell(fixture, &effect->publish);
            fixture->publish_count++;
            memcpy(fixture->last_publish, effect->publish.name, sizeof(fixture->last_publish));
            break;
        }
    }
}

/* As the KV does it: by compare-and-set, and never to a lower epoch. */
static void fence(struct fixture *fixture, const struct epoch *owner, struct core_event *ret_event)
{
    ret_event->kind = CORE_FENCED;
    memcpy(ret_event->fenced.handoff, fixture->fence.fence.handoff, LIMIT_ID_BYTES);
    ret_event->fenced.owner = *owner;
    ret_event->fenced.code = fixture->fence_code;
    if (fixture->fence_code == 0 && epoch_compare(*owner, fixture->fence_stored) < 0)
        ret_event->fenced.code = ERR_STALE;
    if (ret_event->fenced.code == 0)
        fixture->fence_stored = *owner;
    ret_event->fenced.stored = fixture->fence_stored;
}

void fixture_fenced(struct fixture *fixture, int code)
{
    struct core_event event = {.kind = CORE_TICK};
    fixture->fence_code = code;
    fence(fixture, &fixture->fence.fence.owner, &event);
    fixture_step(fixture, &event);
}

static void tell(struct fixture *fixture, const struct message_event *event)
{
    struct fixture_told *told = &fixture->told[fixture->publish_count % FIXTURE_TOLD];
    told->at_us = fixture->now_us;
    str_format(told->name, sizeof(told->name), "%s", event->name);
    str_format(told->workload, sizeof(told->workload), "%s", event->workload);
    str_format(told->state, sizeof(told->state), "%s", event->state);
    str_format(told->text, sizeof(told->text), "%s", event->text);
}

static void obey(struct fixture *fixture, const char *name, const struct message_command *command,
                 struct core_event *queue, int *count)
{
    static const enum instance_state leads_to[NODE_ROUTE + 1] = {
        [NODE_STAGE] = INSTANCE_STAGED, [NODE_START] = INSTANCE_READY,
        [NODE_DRAIN] = INSTANCE_HELD,   [NODE_RESUME] = INSTANCE_READY,
        [NODE_STOP] = INSTANCE_STOPPED,
    };
    int index = fixture_node(fixture, name);
    struct fixture_node *node = &fixture->nodes[index];
    unsigned bit = 1u << command->verb;
    fixture->command_count++;
    fixture->verb_count[command->verb]++;
    fixture->last[command->verb] = *command;
    if (node->silent || (node->unanswered & bit) != 0)
        return;
    assert_true(*count + 2 < QUEUE_MAX);
    struct core_event *answer = &queue[(*count)++];
    answer->kind = CORE_ANSWER;
    memcpy(answer->answer.id, command->id, sizeof(command->id));
    memcpy(answer->answer.node, node->name, sizeof(node->name));
    memcpy(answer->answer.boot_id, node->boot_id, sizeof(node->boot_id));
    answer->answer.boot_us = fixture->now_us - FIXTURE_BOOT_US;
    answer->answer.epoch = command->epoch; /* by which it was taken */
    answer->answer.code = (node->refused & bit) != 0 ? ERR_INVALID : 0;
    if (answer->answer.code != 0 || (node->ignored & bit) != 0)
        return;
    if (command->verb == NODE_ROUTE) {
        take_route(node, &command->route);
        return;
    }
    if (command->verb == NODE_DRAIN || command->verb == NODE_STOP)
        fixture->told_while_served += is_served(fixture, command->instance);
    if (command->verb == NODE_PROBE) {
        struct core_event *event = &queue[(*count)++];
        event->kind = CORE_PROBED;
        memcpy(event->probed.node, node->name, sizeof(node->name));
        memcpy(event->probed.id, command->id, sizeof(command->id));
        memcpy(event->probed.instance, command->instance, sizeof(command->instance));
        event->probed.sent = command->probe_count;
        event->probed.answered = node->unreachable ? 0 : command->probe_count;
        if (command->subject[0] == 0 &&
            fixture_server(fixture, index, command->route.workload, command->instance) == NULL)
            event->probed.answered = 0; /* its ingress does not know it */
        event->probed.unproven = node->unproven ? event->probed.answered : 0;
        event->probed.rtt_us = node->rtt_us;
        return;
    }
    struct fixture_instance *instance = known(fixture, index, command->instance);
    if (epoch_compare(command->epoch, instance->epoch) < 0) {
        answer->answer.code = ERR_DENIED;
        answer->answer.epoch = instance->epoch;
        return;
    }
    instance->epoch = command->epoch;
    if (command->verb == NODE_START && command->spec.http)
        str_format(instance->endpoint, sizeof(instance->endpoint), "127.0.0.%d:%d", index + 1,
                   8000 + (int)(instance - fixture->instances));
    if (command->verb == NODE_FORGET)
        *instance = fixture->instances[--fixture->instance_count];
    else
        queue_report(fixture, instance,
                     obey_owned(fixture, instance, command, leads_to[command->verb]), queue, count);
}

/* What an exclusive or stateful one does beside; returns the state that the command leads to. */
static enum instance_state obey_owned(struct fixture *fixture, struct fixture_instance *instance,
                                      const struct message_command *command,
                                      enum instance_state leads_to)
{
    if (command->verb == NODE_START) {
        instance->class_ = command->spec.handoff;
        instance->lease_us = command->spec.lease_us;
    }
    if (command->verb == NODE_SNAPSHOT && command->checkpoint != 0) {
        instance->checkpoint = command->checkpoint;
        instance->saved.bytes = fixture->export_bytes[1];
        str_format(instance->saved.digest, LIMIT_DIGEST_BYTES, "sha256:1");
        return instance->state;
    }
    if (command->verb == NODE_SNAPSHOT ||
        (command->verb == NODE_DRAIN && instance->class_ == SPEC_STATEFUL && command->round > 0)) {
        instance->round = command->round;
        instance->object.bytes = fixture->export_bytes[command->round];
        instance->object.digest[0] = 0;
        if (instance->object.bytes > 0)
            str_format(instance->object.digest, LIMIT_DIGEST_BYTES, "sha256:%d", command->round);
    }
    if (command->verb == NODE_RESTORE) {
        assert_int_equal(instance->state, INSTANCE_HELD);
        assert_string_not_equal(command->object.digest, "");
        instance->round = command->round;
    }
    if (command->verb == NODE_RESUME && instance->class_ != SPEC_OVERLAP) {
        /* Told by the very epoch that the resources were told before. */
        assert_int_equal(epoch_compare(command->epoch, fixture->fence_stored), 0);
        instance->own = command->epoch;
        str_format(instance->got, sizeof(instance->got), "%s",
                   command->handed == NULL ? "" : command->handed);
    }
    instance->handed[0] = 0;
    if (command->verb == NODE_DRAIN && instance->class_ != SPEC_OVERLAP && fixture->handed != NULL)
        str_format(instance->handed, sizeof(instance->handed), "%s", fixture->handed);
    if (command->verb == NODE_SNAPSHOT || command->verb == NODE_RESTORE)
        return instance->state;
    if (command->verb == NODE_START && instance->class_ != SPEC_OVERLAP)
        return INSTANCE_HELD;
    return leads_to;
}

static void take_route(struct fixture_node *node, const struct message_route *route)
{
    int at = 0;
    assert_true(node->ingress);
    while (at < node->route_count && !str_equal(node->routes[at].route.workload, route->workload))
        at++;
    if (route->gone) {
        if (at < node->route_count)
            node->routes[at] = node->routes[--node->route_count];
        return;
    }
    assert_true(at < FIXTURE_ROUTES);
    if (at == node->route_count)
        node->route_count++;
    struct fixture_route *to = &node->routes[at];
    to->route = *route;
    assert_true(route->server_count <= 2 * LIMIT_REPLICAS);
    if (route->server_count > 0)
        memcpy(to->servers, route->servers, (size_t)route->server_count * sizeof(*to->servers));
    to->route.servers = to->servers;
    for (int i = 0; i < route->server_count; i++) {
        assert_string_not_equal(to->servers[i].endpoint, "");
        if (to->servers[i].mode == ROUTE_SERVE)
            assert_in_range(to->servers[i].weight, 1, ROUTE_WEIGHT_MAX);
    }
}

/* By any ingress that is not silent, and not by that instance alone. */
static bool is_served(const struct fixture *fixture, const char *instance)
{
    for (int i = 0; i < fixture->node_count; i++) {
        const struct fixture_node *node = &fixture->nodes[i];
        for (int k = 0; k < node->route_count && !node->silent; k++) {
            const struct message_server *server =
                fixture_server(fixture, i, node->routes[k].route.workload, instance);
            if (server != NULL && server->mode == ROUTE_SERVE)
                return true;
        }
    }
    return false;
}

const struct message_route *fixture_route(const struct fixture *fixture, int node,
                                          const char *workload)
{
    const struct fixture_node *found = &fixture->nodes[node];
    for (int i = 0; i < found->route_count; i++) {
        if (str_equal(found->routes[i].route.workload, workload))
            return &found->routes[i].route;
    }
    return NULL;
}

const struct message_server *fixture_server(const struct fixture *fixture, int node,
                                            const char *workload, const char *instance)
{
    const struct message_route *route = fixture_route(fixture, node, workload);
    for (int i = 0; route != NULL && i < route->server_count; i++) {
        if (str_equal(route->servers[i].instance, instance))
            return &route->servers[i];
    }
    return NULL;
}

void fixture_judged(struct fixture *fixture, const struct core_judged_side *from,
                    const struct core_judged_side *to)
{
    struct core_event event = {.kind = CORE_JUDGED};
    event.judged.judge = fixture->judge.judge.judge;
    memcpy(event.judged.handoff, fixture->judge.judge.handoff, sizeof(event.judged.handoff));
    event.judged.from = *from;
    event.judged.to = *to;
    fixture_step(fixture, &event);
}

static struct fixture_instance *known(struct fixture *fixture, int node, const char *id)
{
    for (int i = 0; i < fixture->instance_count; i++) {
        if (fixture->instances[i].node == node && str_equal(fixture->instances[i].id, id))
            return &fixture->instances[i];
    }
    assert_true(fixture->instance_count < FIXTURE_INSTANCES);
    struct fixture_instance *instance = &fixture->instances[fixture->instance_count++];
    *instance = (struct fixture_instance){.node = node};
    str_format(instance->id, sizeof(instance->id), "%s", id);
    return instance;
}

static void queue_report(struct fixture *fixture, struct fixture_instance *instance,
                         enum instance_state state, struct core_event *queue, int *count)
{
    struct fixture_node *node = &fixture->nodes[instance->node];
    struct core_event *event = &queue[(*count)++];
    struct message_report *report = &event->report;
    event->kind = CORE_REPORT;
    memcpy(report->node, node->name, sizeof(node->name));
    memcpy(report->boot_id, node->boot_id, sizeof(node->boot_id));
    report->seq = ++node->seq;
    report->boot_us = fixture->now_us - FIXTURE_BOOT_US;
    memcpy(report->instance.instance, instance->id, sizeof(instance->id));
    report->instance.state = (int)state;
    report->instance.epoch = instance->epoch;
    memcpy(report->instance.endpoint, instance->endpoint, sizeof(instance->endpoint));
    report->instance.round = instance->round;
    report->instance.checkpoint = instance->checkpoint;
    report->instance.saved = instance->saved;
    report->instance.object = instance->object;
    report->instance.handed = instance->handed;
    report->instance.error_code = instance->error_code;
    instance->state = state;
}

void fixture_report(struct fixture *fixture, struct fixture_instance *instance,
                    enum instance_state state, const char *detail)
{
    struct core_event event[1];
    int count = 0;
    memset(event, 0, sizeof(event));
    queue_report(fixture, instance, state, event, &count);
    str_format(event->report.instance.detail, LIMIT_TEXT_BYTES, "%s", detail);
    fixture_step(fixture, event);
}

void fixture_apply(struct fixture *fixture, const struct app *app)
{
    struct core_event event = {.kind = CORE_APPLY, .request = "request"};
    event.apply.app = app;
    fixture_step(fixture, &event);
}

void fixture_retag(struct fixture *fixture, const char *workload, const char *value)
{
    struct core_event event = {.kind = CORE_RETAG, .request = "request"};
    str_format(event.target.namespace_, LIMIT_NAME_BYTES, "default");
    str_format(event.target.app, LIMIT_NAME_BYTES, "shop");
    str_format(event.target.workload, LIMIT_NAME_BYTES, "%s", workload);
    str_format(event.target.key, LIMIT_NAME_BYTES, "cloud");
    str_format(event.target.value, LIMIT_NAME_BYTES, "%s", value);
    fixture_step(fixture, &event);
}

void fixture_delete(struct fixture *fixture)
{
    struct core_event event = {.kind = CORE_DELETE, .request = "request"};
    str_format(event.target.namespace_, LIMIT_NAME_BYTES, "default");
    str_format(event.target.app, LIMIT_NAME_BYTES, "shop");
    fixture_step(fixture, &event);
}

void fixture_plan(struct fixture *fixture, const char *const *pairs, int64_t stay, int64_t plan)
{
    struct core_plan_choice choices[16];
    int count = 0;
    memset(choices, 0, sizeof(choices));
    for (int i = 0; pairs[2 * i] != NULL; i++) {
        struct core_plan_choice *choice = &choices[count++];
        str_format(choice->workload, LIMIT_NAME_BYTES, "%s", pairs[2 * i]);
        str_format(choice->site, LIMIT_REF_BYTES, "%s", pairs[2 * i + 1]);
        choice->group = -1;
    }
    fixture_choose(fixture, choices, count, stay, plan);
}

void fixture_choose(struct fixture *fixture, struct core_plan_choice *choices, int count,
                    int64_t stay, int64_t plan)
{
    struct core_event event = {.kind = CORE_PLAN};
    event.plan.solve = fixture->solve;
    event.plan.version = fixture->solve_version;
    event.plan.status = SOLVE_OPTIMAL;
    event.plan.choices = choices;
    event.plan.choice_count = count;
    event.plan.score_stay_nusd = stay;
    event.plan.score_plan_nusd = plan;
    for (int i = 0; i < count; i++) {
        str_format(choices[i].namespace_, LIMIT_NAME_BYTES, "default");
        str_format(choices[i].app, LIMIT_NAME_BYTES, "shop");
    }
    fixture->solve = 0;
    fixture_step(fixture, &event);
}

void fixture_checked(struct fixture *fixture, bool known, int64_t saving, int64_t spread)
{
    struct core_event event = {.kind = CORE_CHECKED};
    memcpy(event.checked.namespace_, fixture->check.check.namespace_, LIMIT_NAME_BYTES);
    memcpy(event.checked.app, fixture->check.check.app, LIMIT_NAME_BYTES);
    memcpy(event.checked.workload, fixture->check.check.workload, LIMIT_NAME_BYTES);
    event.checked.check = fixture->check.check.check;
    event.checked.known = known;
    event.checked.score_saving_nusd = saving;
    event.checked.bill_saving_nusd = saving / 2;
    event.checked.spread_nusd = spread;
    fixture_step(fixture, &event);
}

void fixture_world(struct fixture *fixture)
{
    struct core_event event = {.kind = CORE_WORLD, .world = &fixture->world};
    fixture_step(fixture, &event);
}

void fixture_estimate(struct fixture *fixture, enum estimate_kind kind, const char *workload,
                      const char *site, int64_t value)
{
    struct estimate estimate = {.kind = kind, .value = value, .at_us = fixture->now_us};
    struct core_event event = {.kind = CORE_ESTIMATES};
    str_format(estimate.namespace_, sizeof(estimate.namespace_), "default");
    str_format(estimate.app, sizeof(estimate.app), "shop");
    str_format(estimate.workload, sizeof(estimate.workload), "%s", workload);
    str_format(estimate.site, sizeof(estimate.site), "%s", site);
    event.estimates.list = &estimate;
    event.estimates.count = 1;
    fixture_step(fixture, &event);
}

const struct fixture_told *fixture_told(const struct fixture *fixture, const char *name)
{
    for (int i = 1; i <= FIXTURE_TOLD && i <= fixture->publish_count; i++) {
        const struct fixture_told *told =
            &fixture->told[(fixture->publish_count - i) % FIXTURE_TOLD];
        if (str_equal(told->name, name))
            return told;
    }
    return NULL;
}

void fixture_run(struct fixture *fixture, int64_t us)
{
    int64_t until_us = fixture->now_us + us;
    for (int i = 0; i < 100000; i++) {
        int64_t next_us = core_deadline(fixture->core).us;
        assert_true(next_us > fixture->now_us); /* or the shell would spin */
        if (next_us > until_us)
            break;
        fixture->now_us = next_us;
        struct core_event tick = {.kind = CORE_TICK};
        fixture_step(fixture, &tick);
    }
    fixture->now_us = until_us;
    struct core_event tick = {.kind = CORE_TICK};
    fixture_step(fixture, &tick);
}

const struct core_handoff *fixture_handoff(const struct fixture *fixture, const char *workload)
{
    const struct core_state *state = core_state(fixture->core);
    for (int i = 0; i < state->handoff_count; i++) {
        if (str_equal(state->handoffs[i].workload, workload))
            return &state->handoffs[i];
    }
    return NULL;
}

const struct core_workload *fixture_workload(const struct fixture *fixture, const char *workload)
{
    const struct core_state *state = core_state(fixture->core);
    for (int i = 0; i < state->app_count; i++) {
        int index = app_workload(&state->apps[i].app, workload);
        if (index >= 0)
            return &state->apps[i].workloads[index];
    }
    fail_msg("no workload %s", workload);
    return NULL;
}

const char *fixture_site(const struct fixture *fixture, const char *workload)
{
    int site = fixture_workload(fixture, workload)->site;
    return site < 0 ? "" : core_state(fixture->core)->world->sites[site].name;
}

const struct core_decision *fixture_decision(const struct fixture *fixture)
{
    const struct core_state *state = core_state(fixture->core);
    assert_true(state->decision_count > 0);
    return &state->decisions[(state->decision_count - 1) % CORE_DECISIONS];
}

const struct core_handoff *fixture_ended(const struct fixture *fixture)
{
    const struct core_state *state = core_state(fixture->core);
    assert_true(state->ended_count > 0);
    return &state->ended[(state->ended_count - 1) % CORE_ENDED];
}

struct fixture_instance *fixture_serving(struct fixture *fixture, const char *workload)
{
    for (int i = 0; i < fixture->instance_count; i++) {
        if (str_starts(fixture->instances[i].id, workload) &&
            fixture->instances[i].state == INSTANCE_READY)
            return &fixture->instances[i];
    }
    return NULL;
}

int fixture_alive(const struct fixture *fixture)
{
    int count = 0;
    for (int i = 0; i < fixture->instance_count; i++) {
        enum instance_state state = fixture->instances[i].state;
        count += state >= INSTANCE_STARTING && state < INSTANCE_STOPPED;
    }
    return count;
}

void fixture_start(struct fixture *fixture)
{
    fixture_apply(fixture, &fixture->app);
    fixture_run(fixture, 2 * US_PER_S);
    fixture_plan(fixture,
                 (const char *const[]){"web", "edge/nyc", "source", "gcp/us-central1", NULL},
                 INT64_MAX, 1000);
    fixture_run(fixture, 2 * US_PER_S);
    assert_non_null(fixture_serving(fixture, "web"));
    assert_non_null(fixture_serving(fixture, "source"));
    fixture_plan(fixture,
                 (const char *const[]){"web", "edge/nyc", "source", "gcp/us-central1", NULL}, 1000,
                 1000);
}

struct fixture_instance *fixture_instance(struct fixture *fixture, const char *id)
{
    for (int i = 0; i < fixture->instance_count; i++) {
        if (str_equal(fixture->instances[i].id, id))
            return &fixture->instances[i];
    }
    return NULL;
}

int fixture_owners(const struct fixture *fixture, const char *workload)
{
    int count = 0;
    size_t bytes = strlen(workload);
    for (int i = 0; i < fixture->instance_count; i++) {
        const struct fixture_instance *instance = &fixture->instances[i];
        count += strncmp(instance->id, workload, bytes) == 0 && instance->id[bytes] == '-' &&
                 instance->state == INSTANCE_READY;
    }
    return count;
}
