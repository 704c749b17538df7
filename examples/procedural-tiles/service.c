/*
 * tiles-service: makes tiles and keeps the ones asked for last. A request is "<x> <y>", the answer
 * a PGM with the site that served it in its comment. At an edge it sends tiles that neighbours have
 * in common; on a device, which got the grammar, it makes them for that device alone. Hits and
 * misses are reported as counters.
 *
 * --cpu-us is the work of generating one at speed 1; what the tile itself does not take of it is
 * spent on top, so that its cost is the one that the app's document states on any machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "examples/common/lru.h"
#include "examples/common/part.h"
#include "examples/procedural-tiles/tile.h"
#include "examples/shop/service.h"

struct tiles_service {
    struct part part;
    struct grammar grammar;
    int64_t cpu_us;
    struct lru *cache;
};

static void answer(struct service *service, natsMsg *request, void *context);
static int read_place(const char *text, int bytes, int32_t *ret_x, int32_t *ret_y);

int main(int argc, char **argv)
{
    struct tiles_service own = {.cpu_us = 16000};
    const char *rule = "F[+F]F[-F]F";
    int64_t seed = 7;
    int64_t slots = 512;
    part_init(&own.part, "tiles");
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (str_equal(argv[i], "--cpu-us") && str_to_i64(value, &own.cpu_us) == 0 &&
            own.cpu_us > 0 && own.cpu_us <= 10000000)
            continue;
        if (str_equal(argv[i], "--seed") && str_to_i64(value, &seed) == 0)
            continue;
        if (str_equal(argv[i], "--slots") && str_to_i64(value, &slots) == 0 && slots > 0 &&
            slots <= 4096)
            continue;
        if (str_equal(argv[i], "--speed") && part_speed(&own.part, value))
            continue;
        if (str_equal(argv[i], "--rule")) {
            rule = value;
            continue;
        }
        fprintf(stderr, "usage: tiles-service [--cpu-us N] [--seed N] [--rule F[+F]F[-F]F] "
                        "[--slots 1..4096] [--speed SITE=RATIO]...\n");
        return 1;
    }
    if (grammar_init(&own.grammar, (uint64_t)seed, rule) < 0) {
        fprintf(stderr, "--rule %s: 1 to 32 of F + - [ ], at most 5 of F, branches closed\n", rule);
        return 1;
    }
    own.cache = lru_create((int)slots, TILE_BYTES);
    if (own.cache == NULL)
        return 1;
    struct service_options options = {
        .subject = own.part.subject, .handler = answer, .context = &own};
    int exit_status = service_run(&options);
    lru_destroy(own.cache);
    return exit_status;
}

static void answer(struct service *service, natsMsg *request, void *context)
{
    struct tiles_service *own = context;
    int64_t begun_us = service_now_us();
    int64_t cpu_us = part_cpu_us();
    char reply[TILE_BYTES + 128];
    int32_t x = 0;
    int32_t y = 0;
    if (read_place(natsMsg_GetData(request), natsMsg_GetDataLength(request), &x, &y) < 0) {
        service_fail(service, request, "the request is not \"<x> <y>\", each below 2^31");
        return;
    }
    str_format(reply, 128, "P5\n# %s\n%d %d\n255\n", own->part.site, TILE_SIDE, TILE_SIDE);
    int header = (int)strlen(reply);
    uint8_t *pixels = (uint8_t *)reply + header;
    uint64_t key = (uint64_t)(uint32_t)x << 32 | (uint32_t)y;
    if (lru_get(own->cache, key, pixels)) {
        atomic_fetch_add(&service_counters(service)->hits, 1);
    } else {
        atomic_fetch_add(&service_counters(service)->misses, 1);
        tile_make(&own->grammar, x, y, pixels);
        lru_put(own->cache, key, pixels);
        part_finish(&own->part, cpu_us, own->cpu_us);
    }
    service_reply(service, request, begun_us, reply, header + TILE_BYTES);
}

static int read_place(const char *text, int bytes, int32_t *ret_x, int32_t *ret_y)
{
    char copy[32];
    int64_t x;
    int64_t y;
    if (bytes >= (int)sizeof copy)
        return -1;
    str_format(copy, sizeof copy, "%.*s", bytes, text);
    char *blank = strchr(copy, ' ');
    if (blank == NULL)
        return -1;
    *blank = '\0';
    if (str_to_i64(copy, &x) < 0 || str_to_i64(blank + 1, &y) < 0 || x < INT32_MIN ||
        x > INT32_MAX || y < INT32_MIN || y > INT32_MAX)
        return -1;
    *ret_x = (int32_t)x;
    *ret_y = (int32_t)y;
    return 0;
}
