/* Writing a world as canonical JSON, which reads back to an equal world. */
#include "base/str.h"
#include "model/json_out.h"
#include "model/read.h"
#include "model/world.h"

static void write_world(const struct world *world, struct json_out *json);
static void write_site(const struct world *world, const struct site *site, struct json_out *json);
static void write_egress_rule(const struct egress_rule *rule, struct json_out *json);
static void write_latency(const struct world *world, struct json_out *json);
static void write_path(const struct world *world, int from, int to, struct json_out *json);
static void write_weights(const struct weights *weights, struct json_out *json);
static void write_policy(const struct policy *policy, struct json_out *json);

void world_write(const struct world *world, struct strbuf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    write_world(world, &json);
}

uint64_t world_hash(const struct world *world)
{
    struct json_out json;
    json_out_init(&json, NULL);
    write_world(world, &json);
    return json.hash;
}

static void write_world(const struct world *world, struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "world", world->name);
    json_string(json, "currency", world->currency);
    json_open(json, "accounts", '[');
    for (int i = 0; i < world->account_count; i++) {
        json_open(json, NULL, '{');
        json_string(json, "name", world->accounts[i].name);
        json_string(json, "provider", world->accounts[i].provider);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_open(json, "sites", '[');
    for (int i = 0; i < world->site_count; i++) {
        write_site(world, &world->sites[i], json);
    }
    json_close(json, ']');
    json_open(json, "egress", '[');
    for (int i = 0; i < world->egress_count; i++) {
        write_egress_rule(&world->egress[i], json);
    }
    json_close(json, ']');
    write_latency(world, json);
    write_weights(&world->weights, json);
    write_policy(&world->policy, json);
    json_close(json, '}');
}

static void write_site(const struct world *world, const struct site *site, struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "name", site->name);
    json_string(json, "tier", tier_words[site->tier]);
    json_string(json, "provider", site->provider);
    json_string(json, "region", site->region);
    if (site->account >= 0) {
        json_string(json, "account", world->accounts[site->account].name);
    }
    if (site->located) {
        json_open(json, "geo", '[');
        json_millionths(json, NULL, site->latitude_udeg);
        json_millionths(json, NULL, site->longitude_udeg);
        json_close(json, ']');
    }
    json_open(json, "tags", '{');
    for (int i = 0; i < site->tags.count; i++) {
        const struct tag *tag = &site->tags.list[i];
        bool implied =
            (str_equal(tag->key, "cloud") && str_equal(tag->value, site->provider)) ||
            (str_equal(tag->key, "region") && str_equal(tag->value, site->region)) ||
            (str_equal(tag->key, "tier") && str_equal(tag->value, tier_words[site->tier]));
        if (!implied) {
            json_string(json, tag->key, tag->value);
        }
    }
    json_close(json, '}');
    if (site->tier != TIER_CLIENT) {
        json_open(json, "price", '{');
        json_price(json, "cpu", site->cpu_price);
        json_price(json, "memory", site->memory_price);
        json_close(json, '}');
    }
    json_millionths(json, "overhead", site->overhead_ppm);
    json_open(json, "capacity", '{');
    if (site->capacity[RESOURCE_CPU] >= 0) {
        json_cpu(json, "cpu", site->capacity[RESOURCE_CPU]);
    }
    if (site->capacity[RESOURCE_MEMORY] >= 0) {
        json_int(json, "memory", site->capacity[RESOURCE_MEMORY]);
    }
    json_close(json, '}');
    if (site->source[0] != '\0') {
        json_string(json, "source", site->source);
    }
    json_close(json, '}');
}

static void write_egress_rule(const struct egress_rule *rule, struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "name", rule->name);
    json_string(json, "from", rule->from);
    json_string(json, "to", rule->to);
    json_string(json, "payer", rule->payer == EGRESS_SENDER ? "sender" : "receiver");
    json_string(json, "per", rule->per_bytes == INT64_C(1) << 30 ? "GiB" : "GB");
    json_int(json, "month_to_date", rule->month_to_date_bytes);
    json_open(json, "tiers", '[');
    for (int i = 0; i < rule->tier_count; i++) {
        json_open(json, NULL, '{');
        if (i < rule->tier_count - 1) {
            json_int(json, "up_to", rule->tiers[i].up_to_bytes);
        }
        json_price(json, "price", rule->tiers[i].price);
        json_close(json, '}');
    }
    json_close(json, ']');
    if (rule->source[0] != '\0') {
        json_string(json, "source", rule->source);
    }
    json_close(json, '}');
}

static void write_latency(const struct world *world, struct json_out *json)
{
    int count = world->site_count;
    json_open(json, "latency", '{');
    json_string(json, "mode", world->latency_measured ? "measured" : "declared");
    json_open(json, "pairs", '[');
    for (int from = 0; from < count; from++) {
        for (int to = 0; to < count; to++) {
            if (from != to && world->rtt_us[from * count + to] >= 0) {
                write_path(world, from, to, json);
            }
        }
    }
    json_close(json, ']');
    json_close(json, '}');
}

/* A path that is the same both ways is written once, at the lower site. */
static void write_path(const struct world *world, int from, int to, struct json_out *json)
{
    int there = from * world->site_count + to;
    int back = to * world->site_count + from;
    bool symmetric = world->rtt_us[there] == world->rtt_us[back] &&
                     world->factor_us[there] == world->factor_us[back];
    if (symmetric && from > to) {
        return;
    }
    json_open(json, NULL, '{');
    if (symmetric) {
        json_open(json, "between", '[');
        json_string(json, NULL, world->sites[from].name);
        json_string(json, NULL, world->sites[to].name);
        json_close(json, ']');
    } else {
        json_string(json, "from", world->sites[from].name);
        json_string(json, "to", world->sites[to].name);
    }
    json_duration(json, "rtt", world->rtt_us[there]);
    json_duration(json, "factor", world->factor_us[there]);
    json_close(json, '}');
}

static void write_weights(const struct weights *weights, struct json_out *json)
{
    json_open(json, "weights", '{');
    json_price(json, "latency", weights->latency_usd_per_second);
    json_price(json, "device_cpu", weights->device_cpu_usd_per_second);
    json_millionths(json, "compute", weights->compute_ppm);
    json_millionths(json, "egress", weights->egress_ppm);
    json_millionths(json, "migration", weights->migration_ppm);
    json_close(json, '}');
}

static void write_policy(const struct policy *policy, struct json_out *json)
{
    char amount[MONEY_TEXT_BYTES];
    json_open(json, "policy", '{');
    json_duration(json, "horizon", policy->horizon_us);
    json_duration(json, "dwell", policy->dwell_us);
    json_open(json, "saving_min", '{');
    json_millionths(json, "ratio", policy->saving_min_ppm);
    json_string(json, "per_month", money_exact(policy->saving_min, amount));
    json_close(json, '}');
    json_int(json, "moves", policy->moves_max);
    json_duration(json, "settle", policy->settle_us);
    json_millionths(json, "hit_floor", policy->hit_floor_ppm);
    json_duration(json, "healthy_min", policy->healthy_min_us);
    json_duration(json, "node_timeout", policy->node_timeout_us);
    json_duration(json, "metric_age_max", policy->metric_age_max_us);
    json_close(json, '}');
}
