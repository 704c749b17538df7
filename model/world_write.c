/* Writing a world as canonical JSON, which reads back to an equal world. */
#include "base/str.h"
#include "model/egress.h"
#include "model/json_out.h"
#include "model/measures.h"
#include "model/read.h"
#include "model/weights.h"
#include "model/world.h"

static void write_world(const struct world *world, struct json_out *json);
static void write_site(const struct world *world, const struct site *site, struct json_out *json);
static void write_egress_rule(const struct egress_rule *rule, struct json_out *json);
static void write_latency(const struct world *world, struct json_out *json);
static void write_path(const struct world *world, int from, int to, struct json_out *json);
static void write_terms(const struct world *world, struct json_out *json);
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
    write_terms(world, json);
    weights_write(json, &world->weights, WEIGHTS_ALL);
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
        json_price(json, "storage", site->storage_price);
        json_close(json, '}');
    }
    json_millionths(json, "speed", site->speed_ppm);
    if (site->has_cpu_weight) {
        json_price(json, "cpu_weight", site->cpu_weight);
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
    measures_write(json, "measures", &site->measures);
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
    egress_to_write(rule, json);
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
                     world->factor_us[there] == world->factor_us[back] &&
                     world->us_per_mib[there] == world->us_per_mib[back];
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
    json_duration(json, "per_mib", world->us_per_mib[there]);
    json_close(json, '}');
}

static void write_terms(const struct world *world, struct json_out *json)
{
    measures_write(json, "workload_measures", &world->workload_measures);
    json_open(json, "terms", '[');
    for (int i = 0; i < world->term_count; i++) {
        const struct custom_term *term = &world->terms[i];
        json_open(json, NULL, '{');
        json_string(json, "name", term->name);
        json_string(json, "formula", term->formula);
        json_string(json, "into", term->billed ? "bill" : "score");
        json_millionths(json, "weight", term->weight_ppm);
        if (term->source[0] != '\0') {
            json_string(json, "source", term->source);
        }
        json_close(json, '}');
    }
    json_close(json, ']');
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
    json_millionths(json, "confidence", policy->confidence_ppm);
    json_millionths(json, "prior_error", policy->prior_error_ppm);
    json_duration(json, "prior_weight", policy->prior_weight_us);
    json_int(json, "moves_per_day", policy->moves_per_day);
    json_duration(json, "check_after", policy->check_after_us);
    if (policy->solve_time_us > 0) {
        json_duration(json, "solve_time", policy->solve_time_us);
    }
    if (policy->solve_gap_ppm > 0) {
        json_millionths(json, "solve_gap", policy->solve_gap_ppm);
    }
    json_open(json, "quiet_hours", '[');
    for (int i = 0; i < policy->quiet_count; i++) {
        const struct quiet_hours *quiet = &policy->quiet[i];
        char hours[LIMIT_NAME_BYTES];
        str_format(hours, sizeof(hours), "%02d:%02d-%02d:%02d", quiet->from_min / 60,
                   quiet->from_min % 60, quiet->to_min / 60, quiet->to_min % 60);
        json_string(json, NULL, hours);
    }
    json_close(json, ']');
    json_close(json, '}');
}
