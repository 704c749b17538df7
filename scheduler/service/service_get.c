#include <string.h>

#include "base/units.h"
#include "model/app.h"
#include "model/egress.h"
#include "model/world.h"
#include "scheduler/core/checkpoint.h"
#include "scheduler/service/service_internal.h"

typedef void get_writer(const struct service *service, const struct message_request *request,
                        struct json_out *json);

static get_writer get_world, get_sites, get_nodes, get_apps, get_app, get_instances, get_handoffs,
    get_decisions, get_estimates, get_prices;

static const struct {
    const char *kind;
    get_writer *writer;
} kinds[] = {
    {"world", get_world},
    {"sites", get_sites},
    {"nodes", get_nodes},
    {"apps", get_apps},
    {"app", get_app},
    {"instances", get_instances},
    {"handoffs", get_handoffs},
    {"routes", service_routes_write},
    {"operations", service_operations_write},
    {"cordons", service_cordons_write},
    {"decisions", get_decisions},
    {"estimates", get_estimates},
    {"prices", get_prices},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* What the running instances of something take. */
struct used {
    int64_t reserve[RESOURCE_COUNT];
    int instances;
};

static void write_kept(const struct service *service, const struct core_app *app,
                       const struct workload *workload, struct json_out *json);
static void write_workload(const struct service *service, const struct core_app *app, int index,
                           struct json_out *json);
static void write_handoff(const struct core_handoff *handoff, struct json_out *json);
static void write_tags(struct json_out *json, const char *key, const struct tags *tags);
static void write_prices(struct json_out *json, const struct egress_rule *rule);
static struct used used_of(const struct core_state *state, const char *node, const char *site);
static const char *site_of(const struct core_state *state, const char *node);
static bool takes_room(const struct core_instance *instance);
static void raw(struct json_out *json, const char *key, const struct strbuf *text);

int service_get(struct service *service, const struct message_request *request,
                struct json_out *json, struct error *err)
{
    const char *known[KIND_COUNT];
    for (size_t i = 0; i < KIND_COUNT; i++) {
        known[i] = kinds[i].kind;
        if (!str_equal(kinds[i].kind, request->kind))
            continue;
        json_open(json, NULL, '{');
        json_open(json, "items", '[');
        kinds[i].writer(service, request, json);
        json_close(json, ']');
        json_close(json, '}');
        return 0;
    }
    const char *near = str_nearest(request->kind, known, KIND_COUNT);
    return error_set(err, ERR_INVALID, 0,
                     "kind is \"%s\"; there are world, sites, nodes, apps, app, instances, "
                     "handoffs, routes, operations, cordons, decisions, estimates and prices%s%s%s",
                     request->kind, near == NULL ? "" : "; did you mean \"",
                     near == NULL ? "" : near, near == NULL ? "" : "\"?");
}

void service_event_write(struct json_out *json, const struct message_event *event)
{
    json_open(json, NULL, '{');
    json_int(json, "seq", (int64_t)event->seq);
    json_int(json, "wall_us", event->wall_us);
    json_string(json, "name", event->name);
    json_string(json, "namespace", event->namespace_);
    json_string(json, "app", event->app);
    json_string(json, "workload", event->workload);
    json_string(json, "handoff", event->handoff);
    json_string(json, "instance", event->instance);
    json_string(json, "node", event->node);
    json_string(json, "state", event->state);
    json_string(json, "text", event->text);
    json_close(json, '}');
}

void service_decision_write(struct json_out *json, const struct core_decision *decision)
{
    json_open(json, NULL, '{');
    json_int(json, "at_us", decision->at.us);
    json_string(json, "namespace", decision->namespace_);
    json_string(json, "app", decision->app);
    json_string(json, "workload", decision->workload);
    json_string(json, "from_site", decision->from_site);
    json_string(json, "to_site", decision->to_site);
    json_string(json, "reason", handoff_reason_words[decision->reason]);
    /* Staying was not possible: there is no score to compare with. */
    if (decision->score_before_nusd == INT64_MAX)
        json_string(json, "score_before", "");
    else
        json_money(json, "score_before", decision->score_before_nusd);
    json_money(json, "score_after", decision->score_after_nusd);
    json_money(json, "bill_before", decision->bill_before_nusd);
    json_money(json, "bill_after", decision->bill_after_nusd);
    json_string(json, "verdict", core_verdict_words[decision->verdict]);
    if (decision->reason == REASON_SAVING) {
        json_money(json, "score_saving", decision->score_saving_nusd);
        json_money(json, "bill_saving", decision->bill_saving_nusd);
        json_money(json, "once", decision->once_nusd);
        json_money(json, "spread", decision->spread_nusd);
        json_int(json, "confidence_ppm", decision->confidence_ppm);
    }
    if (decision->checked) {
        json_int(json, "checked_at_us", decision->checked_at.us);
        json_money(json, "score_realised", decision->score_realised_nusd);
        json_money(json, "bill_realised", decision->bill_realised_nusd);
    }
    json_string(json, "text", decision->text);
    json_close(json, '}');
}

void json_money(struct json_out *json, const char *key, nusd amount)
{
    char text[MONEY_TEXT_BYTES];
    json_string(json, key, money_exact(amount, text));
}

bool service_narrowed(const struct message_request *request, const char *ns, const char *app,
                      const char *workload)
{
    return (request->namespace_[0] == 0 || str_equal(request->namespace_, ns)) &&
           (request->app[0] == 0 || str_equal(request->app, app)) &&
           (request->workload[0] == 0 || str_equal(request->workload, workload));
}

static void get_world(const struct service *service, const struct message_request *request,
                      struct json_out *json)
{
    (void)request;
    const struct world *world = core_state(service->core)->world;
    if (world == NULL)
        return;
    struct strbuf text;
    strbuf_init(&text, LIMIT_DOC_BYTES);
    world_write(world, &text);
    raw(json, NULL, &text);
    strbuf_done(&text);
}

static void get_sites(const struct service *service, const struct message_request *request,
                      struct json_out *json)
{
    (void)request;
    const struct core_state *state = core_state(service->core);
    for (int i = 0; state->world != NULL && i < state->world->site_count; i++) {
        const struct site *site = &state->world->sites[i];
        struct used used = used_of(state, NULL, site->name);
        int64_t capacity[RESOURCE_COUNT] = {0};
        int up = 0;
        for (int k = 0; k < state->node_count; k++) {
            if (!state->nodes[k].up || !str_equal(state->nodes[k].site, site->name))
                continue;
            up++;
            for (int r = 0; r < RESOURCE_COUNT; r++)
                capacity[r] += state->nodes[k].capacity[r];
        }
        for (int r = 0; r < RESOURCE_COUNT; r++)
            if (site->capacity[r] >= 0)
                capacity[r] = site->capacity[r];
        json_open(json, NULL, '{');
        json_string(json, "name", site->name);
        json_string(json, "tier", tier_words[site->tier]);
        json_string(json, "provider", site->provider);
        json_string(json, "region", site->region);
        write_tags(json, "tags", &site->tags);
        json_price(json, "cpu_price", site->cpu_price);
        json_price(json, "memory_price", site->memory_price);
        json_int(json, "nodes_up", up);
        json_int(json, "capacity_mcpu", capacity[RESOURCE_CPU]);
        json_int(json, "capacity_bytes", capacity[RESOURCE_MEMORY]);
        json_int(json, "used_mcpu", used.reserve[RESOURCE_CPU]);
        json_int(json, "used_bytes", used.reserve[RESOURCE_MEMORY]);
        json_string(json, "source", site->source);
        json_close(json, '}');
    }
}

static void get_nodes(const struct service *service, const struct message_request *request,
                      struct json_out *json)
{
    (void)request;
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->node_count; i++) {
        const struct core_node *node = &state->nodes[i];
        struct used used = used_of(state, node->name, NULL);
        json_open(json, NULL, '{');
        json_string(json, "name", node->name);
        json_string(json, "site", node->site);
        json_bool(json, "up", node->up);
        json_string(json, "arch", node->arch);
        json_string(json, "drivers", node->drivers);
        json_string(json, "ingress", node->ingress);
        json_int(json, "mcpu", node->capacity[RESOURCE_CPU]);
        json_int(json, "memory_bytes", node->capacity[RESOURCE_MEMORY]);
        json_int(json, "mcpu_used", used.reserve[RESOURCE_CPU]);
        json_int(json, "memory_used", used.reserve[RESOURCE_MEMORY]);
        json_int(json, "since_us", node->since.us);
        json_int(json, "instances", used.instances);
        json_close(json, '}');
    }
}

static void get_apps(const struct service *service, const struct message_request *request,
                     struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *app = &state->apps[i];
        if (!service_narrowed(request, app->app.namespace_, app->app.name, request->workload))
            continue;
        json_open(json, NULL, '{');
        json_string(json, "namespace", app->app.namespace_);
        json_string(json, "name", app->app.name);
        json_string(json, "moves", app_moves_words[app->app.moves]);
        json_bool(json, "deleting", app->deleting);
        json_int(json, "version", (int64_t)app->version);
        json_open(json, "workloads", '[');
        for (int k = 0; k < app->app.workload_count; k++)
            write_workload(service, app, k, json);
        json_close(json, ']');
        json_close(json, '}');
    }
}

static void get_app(const struct service *service, const struct message_request *request,
                    struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->app_count; i++) {
        const struct app *app = &state->apps[i].app;
        if (!service_narrowed(request, app->namespace_, app->name, request->workload))
            continue;
        struct strbuf text;
        strbuf_init(&text, LIMIT_DOC_BYTES);
        app_write(app, &text);
        json_open(json, NULL, '{');
        json_string(json, "namespace", app->namespace_);
        json_string(json, "name", app->name);
        json_int(json, "version", (int64_t)state->apps[i].version);
        raw(json, "document", &text);
        json_close(json, '}');
        strbuf_done(&text);
    }
}

static void get_instances(const struct service *service, const struct message_request *request,
                          struct json_out *json)
{
    static const char *const wants[] = {
        [WANT_SERVE] = "serve", [WANT_HELD] = "held", [WANT_GONE] = "gone"};
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *instance = &state->instances[i];
        if (!service_narrowed(request, instance->namespace_, instance->app, instance->workload))
            continue;
        json_open(json, NULL, '{');
        json_string(json, "id", instance->id);
        json_string(json, "namespace", instance->namespace_);
        json_string(json, "app", instance->app);
        json_string(json, "workload", instance->workload);
        json_int(json, "replica", instance->replica);
        json_string(json, "node", instance->node);
        json_string(json, "site", site_of(state, instance->node));
        json_string(json, "state", instance_state_words[instance->state]);
        json_string(json, "endpoint", instance->endpoint);
        json_string(json, "want", wants[instance->want]);
        json_bool(json, "lost", instance->lost);
        json_int(json, "restarts", instance->restarts);
        json_int(json, "since_us", instance->since.us);
        json_string(json, "detail", instance->detail);
        json_close(json, '}');
    }
}

static void get_handoffs(const struct service *service, const struct message_request *request,
                         struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->handoff_count; i++) {
        const struct core_handoff *handoff = &state->handoffs[i];
        if (service_narrowed(request, handoff->namespace_, handoff->app, handoff->workload))
            write_handoff(handoff, json);
    }
    uint64_t kept = state->ended_count < CORE_ENDED ? state->ended_count : CORE_ENDED;
    /* Who asks again and again wants the newest ones, not half a megabyte each time. */
    int64_t most = CORE_ENDED;
    if (request->key[0] != 0 && str_to_i64(request->key, &most) < 0)
        most = CORE_ENDED;
    for (uint64_t i = 0; i < kept && most > 0; i++) {
        const struct core_handoff *handoff =
            &state->ended[(state->ended_count - 1 - i) % CORE_ENDED];
        if (!service_narrowed(request, handoff->namespace_, handoff->app, handoff->workload))
            continue;
        write_handoff(handoff, json);
        most--;
    }
}

static void get_decisions(const struct service *service, const struct message_request *request,
                          struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    uint64_t kept = state->decision_count < CORE_DECISIONS ? state->decision_count : CORE_DECISIONS;
    for (uint64_t i = 0; i < kept; i++) {
        const struct core_decision *decision =
            &state->decisions[(state->decision_count - 1 - i) % CORE_DECISIONS];
        if (service_narrowed(request, decision->namespace_, decision->app, decision->workload))
            service_decision_write(json, decision);
    }
}

static void get_estimates(const struct service *service, const struct message_request *request,
                          struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->estimate_count; i++) {
        const struct estimate *estimate = &state->estimates[i];
        if (!service_narrowed(request, estimate->namespace_, estimate->app, estimate->workload))
            continue;
        json_open(json, NULL, '{');
        json_string(json, "kind", estimate_kind_words[estimate->kind]);
        json_string(json, "namespace", estimate->namespace_);
        json_string(json, "app", estimate->app);
        json_string(json, "workload", estimate->workload);
        json_string(json, "site", estimate->site);
        json_string(json, "peer", estimate->peer);
        json_int(json, "value", estimate->value);
        json_int(json, "age_us", service_now(service).us - estimate->at_us);
        json_close(json, '}');
    }
}

static void get_prices(const struct service *service, const struct message_request *request,
                       struct json_out *json)
{
    (void)request;
    const struct world *world = core_state(service->core)->world;
    for (int i = 0; world != NULL && i < world->egress_count; i++)
        write_prices(json, &world->egress[i]);
}

static void write_prices(struct json_out *json, const struct egress_rule *rule)
{
    json_open(json, NULL, '{');
    json_string(json, "name", rule->name);
    json_string(json, "from", rule->from);
    egress_to_write(rule, json);
    json_string(json, "payer", rule->payer == EGRESS_SENDER ? "sender" : "receiver");
    json_int(json, "per_bytes", rule->per_bytes);
    json_int(json, "month_to_date_bytes", rule->month_to_date_bytes);
    json_open(json, "tiers", '[');
    for (int i = 0; i < rule->tier_count; i++) {
        json_open(json, NULL, '{');
        if (rule->tiers[i].up_to_bytes != INT64_MAX)
            json_int(json, "up_to_bytes", rule->tiers[i].up_to_bytes);
        json_price(json, "price", rule->tiers[i].price);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_string(json, "source", rule->source);
    json_close(json, '}');
}

static void write_workload(const struct service *service, const struct core_app *app, int index,
                           struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    const struct workload *workload = &app->app.workloads[index];
    int site = app->workloads[index].site;
    int lead = app->workloads[index].lead;
    bool data = workload->kind == KIND_DATA;
    int ready = 0;
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *instance = &state->instances[i];
        if (str_equal(instance->workload, workload->name) &&
            str_equal(instance->app, app->app.name) &&
            str_equal(instance->namespace_, app->app.namespace_) && !instance->lost &&
            instance->state == INSTANCE_READY && instance->want == WANT_SERVE)
            ready++;
    }
    bool moving = false;
    for (int i = 0; i < state->handoff_count; i++) {
        const struct core_handoff *handoff = &state->handoffs[i];
        moving = moving || (str_equal(handoff->workload, workload->name) &&
                            str_equal(handoff->app, app->app.name) &&
                            str_equal(handoff->namespace_, app->app.namespace_));
    }
    const char *word = app->deleting                        ? "deleting"
                       : moving                             ? "moving"
                       : data && site >= 0                  ? "stored"
                       : ready >= workload->replicas        ? "running"
                       : lead != index && site >= 0         ? "shared"
                       : site < 0                           ? "unplaced"
                       : app->workloads[index].failures > 0 ? "failing"
                                                            : "starting";
    json_open(json, NULL, '{');
    json_string(json, "name", workload->name);
    json_string(json, "kind", workload_kind_words[workload->kind]);
    json_string(json, "site",
                site < 0 || state->world == NULL ? "" : state->world->sites[site].name);
    int variant = app->workloads[index].variant;
    json_string(json, "variant",
                site < 0 || variant < 0 || variant >= workload->variant_count
                    ? ""
                    : workload->variants[variant].name);
    json_string(json, "served_by",
                lead == index || site < 0 || data ? "" : app->app.workloads[lead].name);
    json_int(json, "replicas", workload->replicas);
    json_int(json, "ready", ready);
    write_tags(json, "require", &workload->require);
    json_string(json, "state", word);
    json_int(json, "failures", app->workloads[index].failures);
    if (workload->handoff == HANDOFF_STATEFUL)
        write_kept(service, app, workload, json);
    char late[LIMIT_TEXT_BYTES];
    if (service_late_text(&app->workloads[index], late))
        json_string(json, "late", late);
    json_close(json, '}');
}

bool service_late_text(const struct core_workload *workload, char out[LIMIT_TEXT_BYTES])
{
    char at[WALL_TEXT_BYTES];
    char given[UNITS_TEXT_BYTES];
    if (workload->ship_late == 0)
        return false;
    str_format(out, LIMIT_TEXT_BYTES,
               "its state was not shipped in time in %d tries; a round may take %s now, next try "
               "not before %.19s",
               workload->ship_late, units_format_duration(workload->ship_us, given),
               wall_format((struct wall){workload->retry.us}, at));
    return true;
}

/* What is left of its state when its node dies, of the replica that has the least. */
static void write_kept(const struct service *service, const struct core_app *app,
                       const struct workload *workload, struct json_out *json)
{
    const struct core_saved *least = NULL;
    char text[LIMIT_TEXT_BYTES];
    bool all = workload->checkpoint_us > 0;
    for (int i = 0; i < workload->replicas && all; i++) {
        const struct core_checkpoint *checkpoint = core_checkpoint_find(
            service->core, app->app.namespace_, app->app.name, workload->name, i);
        all = checkpoint != NULL && checkpoint->saved[0].number != 0;
        if (all && (least == NULL || checkpoint->saved[0].at.us < least->at.us))
            least = &checkpoint->saved[0];
    }
    if (workload->checkpoint_us == 0)
        str_format(text, sizeof(text), "nothing: without checkpoint it starts empty elsewhere");
    else if (!all || least == NULL)
        str_format(text, sizeof(text), "nothing yet: no checkpoint is complete");
    else
        str_format(text, sizeof(text), "checkpoint %llu of %lld s ago",
                   (unsigned long long)least->number,
                   (long long)((service_now(service).us - least->at.us) / US_PER_S));
    json_string(json, "kept", text);
    if (all && least != NULL)
        json_int(json, "kept_us", least->at.us);
}

static void write_handoff(const struct core_handoff *handoff, struct json_out *json)
{
    int64_t rtt_us = 0;
    for (int i = 0; i < handoff->vantage_count; i++)
        if (handoff->vantages[i].rtt_us > rtt_us)
            rtt_us = handoff->vantages[i].rtt_us;
    json_open(json, NULL, '{');
    json_string(json, "id", handoff->id);
    json_string(json, "namespace", handoff->namespace_);
    json_string(json, "app", handoff->app);
    json_string(json, "workload", handoff->workload);
    json_int(json, "replica", handoff->replica);
    json_string(json, "from", handoff->from);
    json_string(json, "to", handoff->to);
    json_string(json, "from_site", handoff->from_site);
    json_string(json, "to_site", handoff->to_site);
    json_string(json, "reason", handoff_reason_words[handoff->reason]);
    json_string(json, "state", handoff_state_words[handoff->state]);
    json_bool(json, "proven", handoff->proven);
    json_int(json, "rtt_us", rtt_us);
    json_int(json, "linger_us", handoff->linger_us);
    if (handoff->entered[HANDOFF_STATE_CANARY].us != 0) {
        json_open(json, "canary", '{');
        json_int(json, "until_us", handoff->canary.until.us);
        json_int(json, "requests", handoff->canary.requests);
        json_bool(json, "promoted", handoff->canary.promoted);
        json_close(json, '}');
    }
    json_open(json, "steps", '[');
    for (int i = 0; i < HANDOFF_STATE_COUNT; i++) {
        if (handoff->entered[i].us == 0)
            continue;
        json_open(json, NULL, '{');
        json_string(json, "state", handoff_state_words[i]);
        json_int(json, "at_us", handoff->entered[i].us);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_string(json, "text", handoff->text);
    json_close(json, '}');
}

static void write_tags(struct json_out *json, const char *key, const struct tags *tags)
{
    json_open(json, key, '{');
    for (int i = 0; i < tags->count; i++)
        json_string(json, tags->list[i].key, tags->list[i].value);
    json_close(json, '}');
}

/* Of one node, or of a site; the other is NULL. */
static struct used used_of(const struct core_state *state, const char *node, const char *site)
{
    struct used used = {0};
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *instance = &state->instances[i];
        if (!takes_room(instance) || (node != NULL && !str_equal(instance->node, node)) ||
            (site != NULL && !str_equal(site_of(state, instance->node), site)))
            continue;
        used.instances++;
        for (int r = 0; r < RESOURCE_COUNT; r++)
            used.reserve[r] += instance->reserve[r];
    }
    return used;
}

static bool takes_room(const struct core_instance *instance)
{
    return !instance->lost && instance->state != INSTANCE_ABSENT &&
           instance->state != INSTANCE_STOPPED && instance->state != INSTANCE_FAILED;
}

static const char *site_of(const struct core_state *state, const char *node)
{
    for (int i = 0; i < state->node_count; i++)
        if (str_equal(state->nodes[i].name, node))
            return state->nodes[i].site;
    return "";
}

/* A JSON text of its own as a value. */
static void raw(struct json_out *json, const char *key, const struct strbuf *text)
{
    if (strbuf_error(text, NULL) < 0) {
        json->text->broken = true; /* said as too large, which it is */
        return;
    }
    if (json->comma)
        strbuf_puts(json->text, ",");
    if (key != NULL)
        strbuf_printf(json->text, "\"%s\":", key);
    strbuf_puts(json->text, strbuf_text(text));
    json->comma = true;
}
