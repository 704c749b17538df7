/* The app document: what is read, what is refused and how, retags, copies, and what a world adds.
 */
#include "model_fixture.h"

#include "base/wire/messages.h"
#include "model/weights.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define RUN    "run: {driver: process, artifact: 'file:/bin/x', digest: '" DIGEST "'}"
#define NEEDS  "resources: {cpu: 250m, memory: 64MiB}"
#define ONE    "{name: one, " RUN ", " NEEDS "}"
#define VARIANT(tiers) \
    "run: {driver: process, artifact: 'file:/bin/x', digest: '" DIGEST "', tiers: [" tiers "]}"
#define TWO "{name: two, " RUN ", " NEEDS "}"

static const char full[] =
    "app: shop\n"
    "namespace: prod\n"
    "moves: off\n"
    "weights: {latency: 0.00002, egress: 150%}\n"
    "workloads:\n"
    "  - name: source\n"
    "    replicas: 3\n"
    "    variants:\n"
    "      - {name: native, driver: process, arch: x86_64, artifact: 'object:artifacts/source',\n"
    "         digest: '" DIGEST "', args: [--port, '8080', \"quote\\\" and \\\\ tab\\t\"],\n"
    "         env: {B: two, A: ''}, cpu_per_call: 800ns}\n"
    "      - {name: wasm, driver: wasm, artifact: 'file:source.wasm', cpu_per_call: 2ms,\n"
    "         cpu: 100m, memory: 8MiB, tiers: [edge], request: 2KiB, response: 0}\n"
    "    resources: {cpu: 250m, memory: 64MiB, pids: 64}\n"
    "    require: {tier: cloud, cloud: gcp}\n"
    "    tiers: [edge, cloud]\n"
    "    calls: 200/s\n"
    "    state: 10MiB\n"
    "    artifact_size: 3MiB\n"
    "    contract: true\n"
    "    ready: {kind: http, target: 'http://127.0.0.1:80/', period: 100ms, timeout: 2s,\n"
    "            failures: 4}\n"
    "    live: {kind: tcp, target: '127.0.0.1:80', period: 5s, timeout: 3s, failures: 2}\n"
    "    http: {host: shop.example.com, path: /api/v1, probe: /who}\n"
    "    update: {canary: 12.5%, for: 2min, requests: 50, errors: 0.5%, latency: 130%}\n"
    "    timeouts: {start: 20s, drain: 3s, stop: 1s}\n"
    "    restarts: 7\n"
    "  - {name: cache, " RUN ", " NEEDS ", cache: {hit_ratio: 90%}, pin: edge/nyc}\n"
    "  - {name: tiles, " RUN ", " NEEDS ", measures: {licence: 3 USD/h},\n"
    "     cache: {curve: [{calls: 1/s, hit: 20%}, {calls: 10/s, hit: 80%}], warm: 5000}}\n"
    "data:\n"
    "  - {name: models, size: 40GiB, copies: 2, dedup: 30%, update: 2MiB/s, at: gcp/us-central1,\n"
    "     require: {cloud: gcp}, tiers: [cloud], pin: gcp/us-central1, measures: {heat: '7'}}\n"
    "  - {name: logs, size: 1GiB}\n"
    "users: [{name: web, site: client/web, device: phone}]\n"
    "links:\n"
    "  - {from: web, to: cache, calls: 12/min, request: 1KiB, response: 20KiB, latency_max: 80ms}\n"
    "  - {from: cache, to: source, on_miss: true}\n"
    "  - {from: tiles, to: models, on_miss: true, response: 4MiB}\n"
    "  - {from: web, to: logs}\n"
    "apart: [[source, cache, logs]]\n";

static const char world_text[] =
    "world: w\n"
    "workload_measures: {licence: 0 USD/h}\n"
    "accounts: [{name: a, provider: aws}, {name: g, provider: gcp}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: edge/nyc, tier: edge, account: e, price: {cpu: 1, memory: 1}}\n"
    "  - {name: gcp/us-central1, tier: cloud, account: g, price: {cpu: 1, memory: 1}}\n"
    "  - {name: aws/us-east-1, tier: cloud, account: a, price: {cpu: 1, memory: 1},\n"
    "     tags: {compliance: pci-dss}}\n";

static void parse(const char *document, struct arena *arena, struct app *app)
{
    struct error err = {0};
    if (app_parse("a.yaml", document, strlen(document), arena, app, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

static void refuse(const char *document, const char *const *wanted, size_t count)
{
    struct arena arena;
    struct app app;
    struct error err = {0};
    arena_init(&arena, 64 << 20);
    int rc = app_parse("a.yaml", document, strlen(document), &arena, &app, &err);
    if (rc != ERR_INVALID) {
        fail_msg("accepted or refused otherwise (%d %s):\n%s", rc, err.text, document);
    }
    for (size_t i = 0; i < count; i++) {
        if (strstr(err.text, wanted[i]) == NULL) {
            fail_msg("\"%s\" is not in: %s", wanted[i], err.text);
        }
    }
    arena_done(&arena);
}

#define REFUSE(document, ...)                                            \
    do {                                                                 \
        const char *const wanted_[] = {__VA_ARGS__};                     \
        refuse(document, wanted_, sizeof(wanted_) / sizeof(wanted_[0])); \
    } while (0)

static void test_every_field(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse(full, &arena, &app);
    assert_string_equal(app.namespace_, "prod");
    assert_int_equal(app.moves, MOVES_OFF);
    const struct workload *source = &app.workloads[app_workload(&app, "source")];
    assert_int_equal(source->replicas, 3);
    assert_int_equal(source->variant_count, 2);
    assert_int_equal(source->variants[0].arg_count, 3);
    assert_string_equal(source->variants[0].args[1], "8080");
    assert_int_equal(source->variants[0].env_count, 2);
    assert_int_equal(source->variants[0].cpu_ns_per_call, 800);
    assert_int_equal(source->variants[1].cpu_ns_per_call, 2000000);
    assert_int_equal(source->reserve[RESOURCE_CPU], 250);
    assert_int_equal(source->reserve[RESOURCE_MEMORY], 64 << 20);
    assert_int_equal(source->tiers, 1U << TIER_EDGE | 1U << TIER_CLOUD);
    assert_string_equal(source->require.list[0].key, "cloud");
    assert_string_equal(source->require.list[1].key, "tier");
    assert_int_equal(source->calls_mhz, 200000);
    assert_int_equal(source->hit_ppm, -1);
    assert_int_equal(source->ready.kind, READY_HTTP);
    assert_int_equal(source->drain_timeout_us, 3000000);
    const struct workload *cache = &app.workloads[app_workload(&app, "cache")];
    assert_int_equal(cache->hit_ppm, 900000);
    assert_string_equal(cache->pin, "edge/nyc");
    assert_int_equal(cache->replicas, 1);
    assert_int_equal(cache->handoff, HANDOFF_OVERLAP);
    assert_int_equal(cache->ready.kind, READY_NONE);
    assert_int_equal(cache->start_timeout_us, 10000000);
    assert_int_equal(cache->restarts_max, 5);
    assert_int_equal(app.links[0].from_kind, LINK_SEGMENT);
    assert_int_equal(app.links[0].calls_mhz, 200);
    assert_int_equal(app.links[0].latency_max_us, 80000);
    assert_true(app.links[1].on_miss);
    assert_int_equal(app.aparts[0].count, 3);
    assert_int_equal(app_workload(&app, "nobody"), -1);
    arena_done(&arena);
}

static void test_reached_and_judged(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse(full, &arena, &app);
    const struct workload *source = &app.workloads[0];
    assert_int_equal(source->ready.failures, 4);
    assert_int_equal(source->live.kind, READY_TCP);
    assert_string_equal(source->live.target, "127.0.0.1:80");
    assert_int_equal(source->live.period_us, 5000000);
    assert_int_equal(source->live.timeout_us, 3000000);
    assert_int_equal(source->live.failures, 2);
    assert_string_equal(source->http.host, "shop.example.com");
    assert_string_equal(source->http.path, "/api/v1");
    assert_string_equal(source->http.probe, "/who");
    assert_int_equal(source->update.canary_ppm, 125000);
    assert_int_equal(source->update.canary_us, 120000000);
    assert_int_equal(source->update.requests_min, 50);
    assert_int_equal(source->update.errors_max_ppm, 5000);
    assert_int_equal(source->update.latency_max_ppm, 1300000);
    const struct workload *cache = &app.workloads[1];
    assert_int_equal(cache->live.kind, READY_NONE);
    assert_string_equal(cache->http.path, "");
    assert_int_equal(cache->update.canary_ppm, 0);
    assert_int_equal(cache->ready.failures, 0);
    /* What is not stated. */
    parse("app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", contract: true, http: {},\n"
          "  update: {canary: 1%}, ready: {kind: http, target: /up}, live: {kind: tcp}}]\n",
          &arena, &app);
    const struct workload *one = &app.workloads[0];
    assert_string_equal(one->http.host, "");
    assert_string_equal(one->http.path, "/");
    assert_string_equal(one->http.probe, "/berth");
    assert_int_equal(one->update.canary_us, 60000000);
    assert_int_equal(one->update.requests_min, 100);
    assert_int_equal(one->update.errors_max_ppm, 10000);
    assert_int_equal(one->update.latency_max_ppm, 1500000);
    assert_int_equal(one->live.period_us, 2000000);
    assert_int_equal(one->live.failures, 3);
    assert_string_equal(one->live.target, "");
    assert_string_equal(one->ready.target, "/up");
    parse("app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", http: {path: /x}}]\n", &arena, &app);
    assert_string_equal(app.workloads[0].http.probe, ""); /* it answers for nobody: not proven */
    arena_done(&arena);
}

static void test_refused_routes_and_checks(void **state)
{
    (void)state;
#define FIELDS(text) "app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", " text "}]\n"
    REFUSE(FIELDS("http: {host: Shop.test}"), "Shop.test", "a-z");
    REFUSE(FIELDS("http: {host: shop..test}"), "shop..test");
    REFUSE(FIELDS("http: {host: -shop.test}"), "-shop.test");
    REFUSE(FIELDS("http: {host: shop-.test}"), "shop-.test");
    REFUSE(FIELDS("http: {host: shop.}"), "no host");
    REFUSE(FIELDS("http: {host: 'shop:80'}"), "shop:80");
    REFUSE(FIELDS("http: {path: shop}"), "\"shop\" is no path");
    REFUSE(FIELDS("http: {path: '/a b'}"), "/a b");
    REFUSE(FIELDS("http: {path: \"/a\\nb\"}"), "no path");
    REFUSE(FIELDS("http: {path: '/a?b'}"), "'?'");
    REFUSE(FIELDS("contract: true, http: {probe: who}"), "\"who\" is no path");
    REFUSE(FIELDS("contract: true, http: {probe: ''}"), "/berth");
    REFUSE(FIELDS("http: {port: 80}"), "port");
    REFUSE("app: a\nusers: [{name: u, site: a/b}]\nlinks: [{from: u, to: one}]\n"
           "workloads: [{name: one, " RUN ", " NEEDS ", split: true, http: {}}]\n",
           "divided");
    REFUSE(FIELDS("update: {canary: 10%}"), "http:");
    REFUSE(FIELDS("http: {}, update: {for: 10s}"), "canary");
    REFUSE(FIELDS("http: {}, update: {canary: 0}"), "at most 50%");
    REFUSE(FIELDS("http: {}, update: {canary: 51%}"), "at most 50%");
    REFUSE(FIELDS("http: {}, update: {canary: 10%, for: 10ms}"), "1s to 24h");
    REFUSE(FIELDS("http: {}, update: {canary: 10%, requests: 0}"), "requests");
    REFUSE(FIELDS("http: {}, update: {canary: 10%, errors: 101%}"), "100%");
    REFUSE(FIELDS("http: {}, update: {canary: 10%, latency: 99%}"), "100% or more");
    REFUSE(FIELDS("live: {kind: contract}"), "tcp, http, nats or command");
    REFUSE(FIELDS("live: {kind: none}"), "tcp, http, nats or command");
    REFUSE(FIELDS("live: {kind: tcp}"), "liveness by tcp needs a target");
    REFUSE(FIELDS("live: {kind: nats, failures: 0}"), "1 or more");
    REFUSE(FIELDS("live: {kind: nats, period: 0s}"), "liveness check");
    REFUSE(FIELDS("live: {kind: http, target: /alive}"), "/alive", "give it http:");
    REFUSE(FIELDS("ready: {kind: tcp, target: $BERTH_ADDRESS}"), "give it http:");
    REFUSE(FIELDS("http: {}, ready: {kind: http}"), "needs a target");
    REFUSE(FIELDS("ready: {kind: none, failures: 3}"), "checked once");
    REFUSE(FIELDS("contract: true, ready: {kind: contract, failures: 3}"), "checked once");
    REFUSE(FIELDS("ready: {kind: nats, failures: 1001}"), "failures");
#undef FIELDS
}

static void test_caches_variants_and_measures(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse(full, &arena, &app);
    const struct variant *variants = app.workloads[0].variants;
    assert_int_equal(variants[0].reserve[RESOURCE_CPU], -1);
    assert_int_equal(variants[0].reserve[RESOURCE_MEMORY], -1);
    assert_int_equal(variants[0].tiers, 0);
    assert_int_equal(variants[0].request_bytes, -1);
    assert_int_equal(variants[1].reserve[RESOURCE_CPU], 100);
    assert_int_equal(variants[1].reserve[RESOURCE_MEMORY], 8 << 20);
    assert_int_equal(variants[1].tiers, 1U << TIER_EDGE);
    assert_int_equal(variants[1].request_bytes, 2048);
    assert_int_equal(variants[1].response_bytes, 0);
    const struct workload *tiles = &app.workloads[app_workload(&app, "tiles")];
    assert_int_equal(tiles->hit_ppm, -1);
    assert_int_equal(tiles->curve_count, 2);
    assert_int_equal(tiles->curve[1].calls_mhz, 10000);
    assert_int_equal(tiles->curve[1].hit_ppm, 800000);
    assert_int_equal(tiles->warm_calls, 5000);
    assert_string_equal(tiles->measures.list[0].name, "licence");
    assert_string_equal(tiles->measures.list[0].unit, "USD/h");
    assert_int_equal(tiles->segment, -1);
    assert_string_equal(tiles->family, "");
    arena_done(&arena);
}

static void test_data_sets(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse(full, &arena, &app);
    const struct workload *models = &app.workloads[app_workload(&app, "models")];
    assert_int_equal(models->kind, KIND_DATA);
    assert_true(models->data.bytes == INT64_C(40) << 30);
    assert_int_equal(models->data.copies, 2);
    assert_int_equal(models->data.dedup_ppm, 300000);
    assert_int_equal(models->data.update_bytes_s, 2 << 20);
    assert_string_equal(models->data.at, "gcp/us-central1");
    assert_string_equal(models->pin, "gcp/us-central1");
    assert_string_equal(models->measures.list[0].unit, "1");
    assert_int_equal(models->replicas, 1);
    assert_int_equal(models->variant_count, 1);
    assert_int_equal(models->reserve[RESOURCE_CPU], 0);
    const struct workload *logs = &app.workloads[app_workload(&app, "logs")];
    assert_int_equal(logs->data.copies, 1);
    assert_string_equal(logs->data.at, "");
    assert_int_equal(logs->tiers, 1U << TIER_EDGE | 1U << TIER_CLOUD);
    assert_int_equal(app_workload(&app, "logs"), app.workload_count - 1);
    arena_done(&arena);
}

/* An app states some weights; the others follow its world. */
static void test_weights(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    struct world world = {.weights = {.latency_usd_per_second = {7, 0},
                                      .device_cpu_usd_per_second = {8, 0},
                                      .compute_ppm = 9,
                                      .storage_ppm = 10,
                                      .egress_ppm = 11,
                                      .migration_ppm = 12}};
    arena_init(&arena, 64 << 20);
    parse(full, &arena, &app);
    assert_true(app.has_weights);
    struct weights weights = app_weights(&app, &world);
    assert_int_equal(decimal_compare(weights.latency_usd_per_second, (struct decimal){2, 5}), 0);
    assert_int_equal(weights.device_cpu_usd_per_second.coefficient, 8);
    assert_int_equal(weights.compute_ppm, 9);
    assert_int_equal(weights.storage_ppm, 10);
    assert_int_equal(weights.egress_ppm, 1500000);
    assert_int_equal(weights.migration_ppm, 12);
    world.weights.migration_ppm = 13;
    assert_int_equal(app_weights(&app, &world).migration_ppm, 13);
    parse("app: a\nweights: {}\nworkloads: [" ONE "]\n", &arena, &app);
    assert_false(app.has_weights);
    assert_int_equal(app_weights(&app, &world).egress_ppm, 11);
    parse("app: a\nweights: {device_cpu: 1, compute: 2, storage: 3, migration: 4}\n"
          "workloads: [" ONE "]\n",
          &arena, &app);
    assert_int_equal(app.weights_stated,
                     WEIGHTS_ALL & ~(1U << WEIGHT_LATENCY | 1U << WEIGHT_EGRESS));
    weights = app_weights(&app, &world);
    assert_int_equal(weights.latency_usd_per_second.coefficient, 7);
    assert_int_equal(weights.device_cpu_usd_per_second.coefficient, 1);
    assert_int_equal(weights.compute_ppm, 2 * PPM);
    assert_int_equal(weights.storage_ppm, 3 * PPM);
    assert_int_equal(weights.migration_ppm, 4 * PPM);
    arena_done(&arena);
}

static void spoil(void *list, int count, size_t bytes_each)
{
    if (count > 0) {
        memset(list, 0xa5, (size_t)count * bytes_each);
    }
}

static void test_round_trip_and_copy(void **state)
{
    (void)state;
    struct arena arena;
    struct app first;
    struct app second;
    struct app copy;
    struct strbuf one;
    struct strbuf two;
    arena_init(&arena, 64 << 20);
    strbuf_init(&one, 1 << 20);
    strbuf_init(&two, 1 << 20);
    parse(full, &arena, &first);
    app_write(&first, &one);
    parse(strbuf_text(&one), &arena, &second);
    assert_int_equal(app_copy(&second, &arena, &copy), 0);
    for (int i = 0; i < second.workload_count; i++) { /* the copy stands alone */
        struct workload *workload = &second.workloads[i];
        spoil(workload->curve, workload->curve_count, sizeof(struct hit_point));
        spoil(workload->measures.list, workload->measures.count, sizeof(struct measure));
        spoil(workload->require.list, workload->require.count, sizeof(struct tag));
        spoil(workload->variants, workload->variant_count, sizeof(struct variant));
        spoil(workload, 1, sizeof(*workload));
    }
    app_write(&copy, &two);
    assert_int_equal(strbuf_error(&one, NULL), 0);
    assert_string_equal(strbuf_text(&one), strbuf_text(&two));
    assert_true(app_hash(&first) == app_hash(&copy));
    copy.links[0].calls_mhz++;
    assert_true(app_hash(&first) != app_hash(&copy));
    strbuf_done(&one);
    strbuf_done(&two);
    arena_done(&arena);
}

/* A new version is what a running instance would notice, and nothing else. */
static void test_spec_hash(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse(full, &arena, &app);
    struct workload *source = &app.workloads[0];
    uint64_t before = workload_spec_hash(source);
    source->calls_mhz = 7;
    source->state_bytes = 7;
    source->replicas = 1;
    source->tiers = 0;
    source->require.count = 0;
    str_format(source->variants[0].artifact, sizeof(source->variants[0].artifact), "file:/else");
    assert_true(workload_spec_hash(source) == before);
    source->variants[0].digest[10] ^= 1;
    assert_true(workload_spec_hash(source) != before);
    source->variants[0].digest[10] ^= 1;
    source->variants[0].args[1][0] = '9';
    assert_true(workload_spec_hash(source) != before);
    source->variants[0].args[1][0] = '8';
    source->variants[0].env[0].value[0] = 'x';
    assert_true(workload_spec_hash(source) != before);
    parse(full, &arena, &app);
    source = &app.workloads[0];
    assert_true(workload_spec_hash(source) == before);
    source->reserve[RESOURCE_MEMORY]++;
    assert_true(workload_spec_hash(source) != before);
    source->reserve[RESOURCE_MEMORY]--;
    source->variants[1].reserve[RESOURCE_MEMORY]++;
    assert_true(workload_spec_hash(source) != before);
    parse(full, &arena, &app);
    source = &app.workloads[0];
    /* Which requests come, and how a version is judged, changes nothing of what runs. */
    str_format(source->http.path, sizeof(source->http.path), "/other");
    source->http.host[0] = '\0';
    source->update.canary_ppm = 0;
    assert_true(workload_spec_hash(source) == before);
    source->live.failures++;
    assert_true(workload_spec_hash(source) != before);
    source->live.failures--;
    source->ready.failures++;
    assert_true(workload_spec_hash(source) != before);
    source->ready.failures--;
    source->http.path[0] = '\0'; /* it gets no address any more */
    assert_true(workload_spec_hash(source) != before);
    arena_done(&arena);
}

static void test_retag(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    struct app changed;
    struct error err = {0};
    arena_init(&arena, 64 << 20);
    parse(full, &arena, &app);
    uint64_t before = app_hash(&app);
    assert_int_equal(app_retag(&app, "source", "cloud", "aws", &arena, &changed, &err), 0);
    assert_int_equal(changed.workloads[0].require.count, 2);
    assert_string_equal(changed.workloads[0].require.list[0].value, "aws");
    assert_true(app_hash(&app) == before);
    assert_true(workload_spec_hash(&app.workloads[0]) == workload_spec_hash(&changed.workloads[0]));
    assert_int_equal(app_retag(&app, "source", "cloud", "", &arena, &changed, &err), 0);
    assert_int_equal(changed.workloads[0].require.count, 1);
    assert_string_equal(changed.workloads[0].require.list[0].key, "tier");
    assert_int_equal(app_retag(&app, "source", "zone", "b", &arena, &changed, &err), 0);
    assert_int_equal(changed.workloads[0].require.count, 3);
    assert_int_equal(app_retag(&app, "cache", "cloud", "edge", &arena, &changed, &err), 0);

    assert_int_equal(app_retag(&app, "cache", "cloud", "aws", &arena, &changed, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "pinned to edge/nyc"));
    assert_non_null(strstr(err.text, "cloud=aws"));
    assert_int_equal(app_retag(&app, "cache", "region", "x", &arena, &changed, &err), ERR_INVALID);
    assert_int_equal(app_retag(&app, "suorce", "cloud", "aws", &arena, &changed, &err),
                     ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "did you mean \"source\""));
    assert_int_equal(app_retag(&app, "source", "Cl oud", "aws", &arena, &changed, &err),
                     ERR_INVALID);
    assert_int_equal(app_retag(&app, "source", "cloud", "a b", &arena, &changed, &err),
                     ERR_INVALID);
    arena_done(&arena);
}

static void test_refusals(void **state)
{
    (void)state;
    REFUSE("app: [", "a.yaml");
    REFUSE("app: a\nworkloads: []\n", "at least one workload");
    REFUSE("app: Shop!\nworkloads: [" ONE "]\n", "Shop!");
    REFUSE("app: a\nworkloads: [" ONE "]\nlimks: []\n", "limks", "links");
    REFUSE("app: a\nworkloads: [{name: one, " NEEDS "}]\n", "run");
    REFUSE("app: a\nworkloads: [{name: one, " RUN "}]\n", "resources");
    REFUSE("app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", replicas: 0}]\n", "replicas");
    REFUSE("app: a\nworkloads: [" ONE ", " ONE "]\n", "declared twice");
    REFUSE("app: a\nworkloads: [" ONE "]\nusers: [{name: one, site: a/b}]\n", "twice");
    REFUSE("app: a\nworkloads: [" ONE "]\nlinks: [{from: ome, to: one}]\n", "ome",
           "did you mean \"one\"");
    REFUSE("app: a\nworkloads: [" ONE "]\nlinks: [{from: one, to: one}]\n", "calls itself");
    REFUSE("app: a\nworkloads: [" ONE "]\nusers: [{name: u, site: a/b}]\n"
           "links: [{from: one, to: u}]\n",
           "leads to a workload");
    REFUSE("app: a\nworkloads: [" ONE ", " TWO "]\nlinks: [{from: one, to: two, on_miss: true}]\n",
           "cache");
    REFUSE("app: a\nworkloads: [" ONE ", " TWO "]\napart: [[one]]\n", "at least two");
    REFUSE("app: a\nworkloads: [" ONE ", " TWO "]\napart: [[one, one]]\n", "named twice");
    REFUSE("app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", tiers: [fog]}]\n", "fog");
    REFUSE("app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", pin: nowhere}]\n",
           "provider/region");
    REFUSE("app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", handoff: teleport}]\n", "teleport",
           "overlap");
    REFUSE("app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", cache: {hit_ratio: 101%}}]\n",
           "100%");
    REFUSE("app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", ready: {kind: tcp}}]\n", "target");
    REFUSE("app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", ready: {kind: contract}}]\n",
           "contract: true");
    REFUSE("app: a\nworkloads: [{name: one, " NEEDS ", run: {driver: process, artifact: x}}]\n",
           "object:bucket/name");
    REFUSE("app: a\nworkloads: [{name: one, " NEEDS
           ", run: {driver: process, artifact: 'file:/x', digest: 'sha256:12'}}]\n",
           "sha256:12", "64 digits");
    REFUSE("app: a\nworkloads: [{name: one, " NEEDS
           ", run: {driver: process, artifact: 'file:/x', env: {1A: b}}}]\n",
           "1A");
    REFUSE("app: a\nworkloads: [{name: one, " NEEDS
           ", run: {driver: process, artifact: 'file:/x', cpu_per_call: fast}}]\n",
           "fast", "250us");
    REFUSE("app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", require: {cloud: [gcp]}}]\n",
           "require");
}

static void test_refused_caches_and_variants(void **state)
{
    (void)state;
#define CACHE(text) "app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", cache: {" text "}}]\n"
    REFUSE(CACHE("warm: 5"), "hit_ratio");
    REFUSE(CACHE("curve: null"), "hit_ratio");
    REFUSE(CACHE("hit_ratio: 1%, curve: [{calls: 1/s, hit: 20%}]"), "exclude each other");
    REFUSE(CACHE("curve: []"), "at least one point");
    REFUSE(CACHE("curve: [{calls: 1/s, hit: 20%}, {calls: 1/s, hit: 30%}]"), "calls grow");
    REFUSE(CACHE("curve: [{calls: 1/s, hit: 20%}, {calls: 2/s, hit: 10%}]"), "hits never fall");
    REFUSE(CACHE("curve: [{calls: 1/s, hit: 120%}]"), "at most 100%");
    REFUSE(CACHE("curve: [{calls: 1/s}]"), "hit");
    REFUSE(CACHE("curve: [{calls: 1/s, hit: 1%}], warm: -1"), "warm", "-1");
    REFUSE("app: a\nworkloads: [{name: one, " NEEDS ", tiers: [cloud],\n"
           " run: {driver: process, artifact: 'file:/x', tiers: [edge]}}]\n",
           "variant \"default\" has none of the workload's tiers");
    REFUSE("app: a\nweights: {latncy: 1}\nworkloads: [" ONE "]\n", "latncy", "latency");
    REFUSE("app: a\nweights: {latency: -1}\nworkloads: [" ONE "]\n", "below 0");
#define MEASURES(text) \
    "app: a\nworkloads: [{name: one, " RUN ", " NEEDS ", measures: {" text "}}]\n"
    REFUSE(MEASURES("Carbon: 4 g"), "Carbon", "no name of a measure");
    REFUSE(MEASURES("carbon: much"), "440 g/kWh");
    REFUSE(MEASURES("carbon: {value: 4}"), "unit");
    REFUSE(MEASURES("carbon: {value: 4, unit: 'g/', more: 1}"), "more", "g/");
    REFUSE(MEASURES("carbon: {value: 4, unit: '?'}"), "unit is known");
    REFUSE(MEASURES("carbon: [4]"), "carbon");
    REFUSE("app: a\nworkloads: [" ONE "]\nusers: [{name: u, site: a/b}, {name: u, site: a/b}]\n",
           "\"u\" are declared twice");
}

static void test_refused_data_sets(void **state)
{
    (void)state;
#define DATA(text) "app: a\nworkloads: [" ONE "]\ndata: [{name: d" text "}]\n"
    REFUSE(DATA(""), "size");
    REFUSE(DATA(", size: 0"), "at least one byte");
    REFUSE(DATA(", size: 1GiB, copies: 0"), "copies");
    REFUSE(DATA(", size: 1GiB, dedup: 101%"), "at most 100%");
    REFUSE(DATA(", size: 1GiB, update: 3GiB"), "bytes per time", "2MiB/s");
    REFUSE(DATA(", size: 1GiB, at: nowhere"), "provider/region");
    REFUSE(DATA(", size: 1GiB, at: {one: aws/one}"), "split: true");
    REFUSE(DATA(", size: 1GiB, replicas: 3"), "replicas");
    REFUSE(DATA(", size: 1GiB, resources: {cpu: 1}"), "resources");
    REFUSE(DATA(", size: 1GiB}, {name: one, size: 1GiB"), "\"one\" is declared twice");
    REFUSE(DATA(", size: 1GiB") "links: [{from: d, to: one}]\n", "data set, and calls nobody");
    REFUSE("app: a\nworkloads: [{name: one, kind: data, " RUN ", " NEEDS "}]\n", "kind", "data");
    REFUSE("app: a\nworkloads: []\ndata: [{name: d, size: 1GiB}]\n", "at least one workload");
}

static int check_text(const char *text, struct error *err)
{
    struct arena arena;
    struct app app;
    struct world world;
    arena_init(&arena, 64 << 20);
    parse(text, &arena, &app);
    assert_int_equal(world_parse("w.yaml", world_text, strlen(world_text), &arena, &world, err), 0);
    int rc = app_check(&app, &world, err);
    arena_done(&arena);
    return rc;
}

/* The app with one field more in its only workload, checked against the world. */
static int check(const char *fields, struct error *err)
{
    char text[4096];
    str_format(text, sizeof(text), "app: a\nworkloads: [{name: one, " NEEDS "%s}]\n", fields);
    return check_text(text, err);
}

static void check_refused(const char *fields, const char *first, const char *second)
{
    struct error err = {0};
    assert_int_equal(check(fields, &err), ERR_INVALID);
    if (strstr(err.text, first) == NULL || strstr(err.text, second) == NULL) {
        fail_msg("neither \"%s\" nor \"%s\" may miss in: %s", first, second, err.text);
    }
}

static void test_check_against_world(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(check(", " RUN, &err), 0);
    assert_int_equal(check(", " RUN ", require: {cloud: gcp, tier: cloud}", &err), 0);
    assert_int_equal(check(", " RUN ", pin: edge/nyc, tiers: [edge]", &err), 0);
    check_refused(", " RUN ", require: {cloud: gpc}", "cloud=gpc", "nearest offered is cloud=gcp");
    check_refused(", " RUN ", require: {complience: pci-dss}", "no site of world w",
                  "nearest key offered is compliance");
    check_refused(", " RUN ", require: {compliance: nothing-like-it}",
                  "compliance=", "compliance=pci-dss");
    check_refused(", " RUN ", require: {zzzzzzzz: y}", "zzzzzzzz=y", "no site has a tag");
    check_refused(", " RUN ", pin: edge/nyk", "edge/nyk", "edge/nyc");
    check_refused(", " RUN ", require: {cloud: gcp}, tiers: [edge]", "cloud=gcp", "tier edge");
    check_refused(", " RUN ", require: {cloud: gcp}, pin: edge/nyc", "cloud=gcp", "pin edge/nyc");
    check_refused(", " RUN ", handoff: exclusive", "exclusive", "contract: true");
    check_refused(", " RUN ", handoff: stateful", "stateful", "contract: true");
    assert_int_equal(check(", " RUN ", handoff: stateful, contract: true, checkpoint: 60s", &err),
                     0);
    assert_int_equal(check(", " RUN ", handoff: exclusive, contract: true", &err), 0);
    assert_int_equal(check(", " RUN ", handoff: stateful, contract: true, replicas: 3", &err), 0);
    check_refused(", " RUN ", kind: job", "kind: job", "service");
    check_refused(", " RUN ", http: {host: a.b}}, {name: two, " RUN ", " NEEDS
                  ", http: {host: a.b}",
                  "one and two both want", "a.b/");
    check_refused(", run: {driver: process, artifact: 'file:/x'}", "digest", "file:/x");
    check_refused(", run: {driver: process, artifact: 'file:x', digest: '" DIGEST "'}",
                  "whole path", "file:x");
    check_refused(", tiers: [edge, client], " VARIANT("client") ", require: {tier: edge}",
                  "tier=edge", "variants for tier client");
    check_refused(", " RUN ", measures: {licence: 3 USD/call}", "licence in USD/call",
                  "write it in USD/h");
    assert_int_equal(check(", " RUN ", measures: {licence: 3 USD/h, own: 4 g}", &err), 0);
    assert_int_equal(check(", " VARIANT("edge"), &err), 0);
}

/* Residency rules and homes of data sets hold against the world as a workload's do. */
static void test_check_data_sets(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(check_text(DATA(", size: 1GiB, at: gcp/us-central1"), &err), 0);
    assert_int_equal(
        check_text(DATA(", size: 1GiB, at: gcp/us-central1, require: {cloud: aws}"), &err),
        0); /* it is to move */
    assert_int_equal(check_text(DATA(", size: 1GiB, at: gcp/us-central2"), &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "data set d"));
    assert_non_null(strstr(err.text, "did you mean gcp/us-central1"));
    assert_int_equal(check_text(DATA(", size: 1GiB, require: {cloud: gpc}"), &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "nearest offered is cloud=gcp"));
    assert_int_equal(check_text(DATA(", size: 1GiB, pin: edge/nyc, tiers: [cloud]"), &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, "pin edge/nyc"));
    /* Nobody's device is filled unless the document says so. */
    assert_int_equal(check_text(DATA(", size: 1GiB, require: {tier: client}"), &err), ERR_INVALID);
    assert_int_equal(
        check_text(DATA(", size: 1GiB, require: {tier: client}, tiers: [client]"), &err), 0);
}

static void test_check_users(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    struct world world;
    struct error err = {0};
    arena_init(&arena, 64 << 20);
    parse("app: a\nworkloads: [" ONE "]\nusers: [{name: u, site: client/wep}]\n", &arena, &app);
    assert_int_equal(world_parse("w.yaml", world_text, strlen(world_text), &arena, &world, &err),
                     0);
    assert_int_equal(app_check(&app, &world, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "did you mean client/web"));
    str_format(app.segments[0].site, sizeof(app.segments[0].site), "edge/nyc");
    assert_int_equal(app_check(&app, &world, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "no client site"));
    arena_done(&arena);
}

static void test_no_memory(void **state)
{
    (void)state;
    for (int64_t fail_after = 0;; fail_after++) {
        struct arena arena;
        struct app app;
        struct app copy;
        struct error err = {0};
        arena_init(&arena, 64 << 20);
        arena.fail_after = fail_after;
        int rc = app_parse("a.yaml", full, strlen(full), &arena, &app, &err);
        if (rc == 0) {
            rc = app_retag(&app, "source", "cloud", "aws", &arena, &copy, &err);
        }
        arena_done(&arena);
        if (rc == 0) {
            assert_true(fail_after > 10);
            break;
        }
        assert_int_equal(rc, ERR_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field),
        cmocka_unit_test(test_caches_variants_and_measures),
        cmocka_unit_test(test_data_sets),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_round_trip_and_copy),
        cmocka_unit_test(test_spec_hash),
        cmocka_unit_test(test_retag),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_reached_and_judged),
        cmocka_unit_test(test_refused_routes_and_checks),
        cmocka_unit_test(test_refused_caches_and_variants),
        cmocka_unit_test(test_refused_data_sets),
        cmocka_unit_test(test_check_against_world),
        cmocka_unit_test(test_check_data_sets),
        cmocka_unit_test(test_check_users),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
