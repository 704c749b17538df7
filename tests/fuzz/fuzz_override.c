/*
 * Any lines as overrides of a small world and app: refused with a sentence, or applied; and what
 * comes out is a world that reads back from its own text, and whose problem can be built or is
 * refused with a sentence.
 */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "model/app.h"
#include "model/override.h"
#include "model/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_BYTES ((size_t)256 << 20)
#define LINES_MAX   8

static const char world_text[] = "world: w\n"
                                 "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"
                                 "sites:\n"
                                 "  - {name: client/web, tier: client, geo: [40, -70]}\n"
                                 "  - {name: edge/one, tier: edge, account: e, price: {cpu: 0.1, "
                                 "memory: 0.01}, geo: [41, -71],\n"
                                 "     capacity: {cpu: 8, memory: 16GiB}}\n"
                                 "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.04, "
                                 "memory: 0.005}, geo: [42, 7]}\n"
                                 "egress:\n"
                                 "  - {name: out, from: 'aws/*', to: '*', per: GiB,\n"
                                 "     tiers: [{up_to: 10GiB, price: 0.09}, {price: 0.05}]}\n";
static const char app_text[] =
    "app: shop\n"
    "users: [{name: web, site: client/web}]\n"
    "workloads:\n"
    "  - {name: front, run: {driver: process, artifact: 'file:/x', cpu_per_call: 2ms},\n"
    "     resources: {cpu: 1, memory: 1GiB}, cache: {hit_ratio: 80%}}\n"
    "  - {name: source, run: {driver: process, artifact: 'file:/x'},\n"
    "     resources: {cpu: 1, memory: 1GiB}, require: {cloud: aws}}\n"
    "links:\n"
    "  - {from: web, to: front, calls: 10/s, request: 1KB, response: 20KB}\n"
    "  - {from: front, to: source, calls: 10/s, request: 1KB, response: 20KB, on_miss: true}\n";

static void apply_lines(char *text, struct cost_input *input, struct arena *arena)
{
    struct override *list = arena_array(arena, LINES_MAX, sizeof(*list));
    struct error err = {0};
    int count = 0;
    for (char *line = text; line != NULL && count < LINES_MAX;) {
        char *end = strchr(line, '\n');
        if (end != NULL)
            *end = 0;
        if (override_parse(line, &list[count], &err) == 0)
            count++;
        else
            BERTH_ASSERT(err.text[0] != 0, "a refusal without a sentence");
        line = end == NULL ? NULL : end + 1;
    }
    struct cost_input changed;
    err.text[0] = 0;
    if (override_apply(list, count, input, arena, &changed, &err) < 0) {
        BERTH_ASSERT(err.text[0] != 0, "a refusal without a sentence");
        return;
    }
    BERTH_ASSERT(changed.world->site_count >= input->world->site_count, "sites keep their places");
    struct strbuf out;
    struct world again;
    struct problem problem;
    strbuf_init(&out, LIMIT_DOC_BYTES);
    world_write(changed.world, &out);
    int rc = strbuf_error(&out, &err);
    if (rc == 0)
        rc = world_parse("again.json", strbuf_text(&out), out.bytes, arena, &again, &err);
    if (rc == 0)
        BERTH_ASSERT(world_hash(&again) == world_hash(changed.world), "it reads back differently");
    strbuf_done(&out);
    err.text[0] = 0;
    rc = cost_problem(&changed, arena, &problem, &err);
    BERTH_ASSERT(rc == 0 || err.text[0] != 0, "a refusal without a sentence");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct error err;
    struct world world;
    struct app app;
    struct workload_state states[2] = {{.now = {.site = 1}, .may_move = true},
                                       {.now = {.site = 2, .lead = 1}, .may_move = true}};
    struct cost_app apps[1] = {{&app, states}};
    arena_init(&arena, ARENA_BYTES);
    int rc = world_parse("w.yaml", world_text, sizeof(world_text) - 1, &arena, &world, &err);
    if (rc == 0)
        rc = app_parse("a.yaml", app_text, sizeof(app_text) - 1, &arena, &app, &err);
    BERTH_ASSERT(rc == 0, "%s", err.text);
    struct cost_input input = {.world = &world, .apps = apps, .app_count = 1};
    char *text = arena_strndup(&arena, (const char *)data, size);
    if (text != NULL)
        apply_lines(text, &input, &arena);
    arena_done(&arena);
    return 0;
}
