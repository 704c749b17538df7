#include "tests/property/world_gen.h"

#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/world.h"
#include "tests/property/problem_gen.h"

#define PROVIDERS 4 /* the first is the edge */

static const char *const providers[PROVIDERS] = {"edge", "aws", "gcp", "azure"};

static void write_world(const struct world_shape *shape, struct gen_random *random,
                        struct strbuf *out);
static void write_app(const struct world_shape *shape, int index, struct gen_random *random,
                      struct strbuf *out);
static int64_t mean_mcpu(void);

int world_make(const struct world_shape *shape, struct arena *arena, struct world_made *ret_made,
               struct error *err)
{
    struct gen_random random;
    struct strbuf text;
    gen_seed(&random, shape->seed);
    strbuf_init(&text, LIMIT_DOC_BYTES);
    write_world(shape, &random, &text);
    int rc = strbuf_error(&text, err);
    rc = rc == 0 ? world_parse("world.yaml", strbuf_text(&text), text.bytes, arena,
                               &ret_made->world, err)
                 : rc;
    size_t apps = (size_t)shape->apps;
    ret_made->parts = shape->apps * shape->workloads;
    ret_made->apps = arena_array(arena, apps, sizeof(struct app));
    ret_made->at = arena_array(arena, (size_t)ret_made->parts + 1, sizeof(struct placement));
    struct cost_app *list = arena_array(arena, apps, sizeof(struct cost_app));
    if (rc == 0 && (ret_made->apps == NULL || ret_made->at == NULL || list == NULL)) {
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for %d apps", shape->apps);
    }
    for (int i = 0; i < shape->apps && rc == 0; i++) {
        strbuf_reset(&text);
        write_app(shape, i, &random, &text);
        rc = app_parse("app.yaml", strbuf_text(&text), text.bytes, arena, &ret_made->apps[i], err);
        struct workload_state *states =
            arena_array(arena, (size_t)shape->workloads, sizeof(struct workload_state));
        if (rc == 0 && states == NULL) {
            rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for app %d", i);
        }
        for (int k = 0; k < shape->workloads && rc == 0; k++) {
            states[k] = (struct workload_state){.now = {.site = -1}, .may_move = true};
            ret_made->at[i * shape->workloads + k] = (struct placement){.site = -1, .lead = k};
        }
        list[i] = (struct cost_app){&ret_made->apps[i], states};
    }
    strbuf_done(&text);
    ret_made->input =
        (struct cost_input){.world = &ret_made->world, .apps = list, .app_count = shape->apps};
    return rc;
}

static void write_world(const struct world_shape *shape, struct gen_random *random,
                        struct strbuf *out)
{
    strbuf_puts(out, "world: made\naccounts:\n");
    for (int i = 0; i < PROVIDERS; i++) {
        strbuf_printf(out, "  - {name: %s-own, provider: %s}\n", providers[i], providers[i]);
    }
    strbuf_puts(out, "sites:\n  - {name: client/web, tier: client, geo: [40, -74]}\n");
    int64_t demand = (int64_t)shape->apps * shape->workloads * mean_mcpu();
    int64_t each = demand * shape->capacity_percent / 100 / (shape->sites - 1);
    for (int i = 1; i < shape->sites; i++) {
        const char *provider = providers[i % PROVIDERS];
        strbuf_printf(out,
                      "  - {name: %s/r%d, tier: %s, account: %s-own, geo: [%d, %d], tags: {cloud: "
                      "%s}, price: {cpu: 0.0%02d, memory: 0.00%d}",
                      provider, i, i % PROVIDERS == 0 ? "edge" : "cloud", provider,
                      (int)gen_below(random, 100) - 40, (int)gen_below(random, 300) - 150, provider,
                      20 + (int)gen_below(random, 60), 2 + (int)gen_below(random, 7));
        if (shape->capacity_percent > 0) {
            int64_t own = each * (50 + (int64_t)gen_below(random, 101)) / 100;
            strbuf_printf(out, ", capacity: {cpu: %lldm, memory: %lldMiB}", (long long)own,
                          (long long)own * 3);
        }
        strbuf_puts(out, "}\n");
    }
    strbuf_puts(out, "egress:\n");
    for (int i = 1; i < PROVIDERS; i++) {
        strbuf_printf(out,
                      "  - {name: %s-internet, from: '%s/*', to: '*', per: GiB, tiers: [{up_to: "
                      "10240GiB, price: 0.09}, {up_to: 51200GiB, price: 0.08}, {price: 0.05}]}\n",
                      providers[i], providers[i]);
    }
    strbuf_puts(out, "weights: {latency: 0.00001}\n"
                     "policy: {saving_min: {ratio: 0, per_month: 0}}\n");
}

/* CPU is 100m to 1600m in steps of 100m. */
static int64_t mean_mcpu(void)
{
    return 850;
}

static void write_app(const struct world_shape *shape, int index, struct gen_random *random,
                      struct strbuf *out)
{
    strbuf_printf(out, "app: app%d\nusers: [{name: web, site: client/web}]\nworkloads:\n", index);
    for (int k = 0; k < shape->workloads; k++) {
        int64_t mcpu = 100 * (1 + (int64_t)gen_below(random, 16));
        strbuf_printf(out,
                      "  - {name: w%d, run: {driver: process, artifact: 'file:/x'}, tiers: [edge, "
                      "cloud], resources: {cpu: %lldm, memory: %lldMiB}",
                      k, (long long)mcpu, (long long)mcpu * (1 + (int64_t)gen_below(random, 3)));
        if (gen_chance(random, shape->tagged_percent)) {
            strbuf_printf(out, ", require: {cloud: %s}",
                          providers[1 + gen_below(random, PROVIDERS - 1)]);
        }
        if (shape->linked && k % 3 == 0) {
            strbuf_printf(out, ", cache: {hit_ratio: 0.%d}", 10 + (int)gen_below(random, 80));
        }
        strbuf_puts(out, "}\n");
    }
    if (shape->linked && shape->workloads > 2) {
        strbuf_printf(out, "apart: [[w0, w%d]]\n",
                      1 + (int)gen_below(random, (uint64_t)shape->workloads - 1));
    }
    strbuf_puts(out, "links:\n");
    for (int k = 0; k < shape->workloads; k++) {
        bool user = k == 0 || !shape->linked;
        int caller = user ? -1 : (int)gen_below(random, (uint64_t)k);
        if (user) {
            strbuf_puts(out, "  - {from: web");
        } else {
            /* Every third has a cache, whose misses alone travel on. */
            strbuf_printf(out, "  - {from: w%d%s", caller,
                          caller % 3 == 0 ? ", on_miss: true" : "");
        }
        strbuf_printf(out, ", to: w%d, calls: %d/s, request: %dB, response: %dB}\n", k,
                      1 + (int)gen_below(random, 40), 100 * (1 + (int)gen_below(random, 20)),
                      100 * (1 + (int)gen_below(random, 200)));
    }
}
