/*
 * source: the example's data source. A request's body is "<id> <key>"; the answer is the same line
 * and then the item: --bytes of text that depends on the key alone. --cpu-us is spent on each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "examples/shop/service.h"

#define ITEM_BYTES_MAX 65536

struct source {
    int64_t item_bytes;
    int64_t cpu_us;
};

static void answer(struct service *service, natsMsg *request, void *context);

int main(int argc, char **argv)
{
    struct source source = {.item_bytes = 4096, .cpu_us = 50};
    const char *subject = "svc.default.source";
    for (int i = 1; i + 1 < argc; i += 2) {
        if (str_equal(argv[i], "--subject"))
            subject = argv[i + 1];
        else if (str_equal(argv[i], "--bytes") && str_to_i64(argv[i + 1], &source.item_bytes) == 0)
            continue;
        else if (str_equal(argv[i], "--cpu-us") && str_to_i64(argv[i + 1], &source.cpu_us) == 0)
            continue;
        else {
            fprintf(stderr, "usage: shop-source [--subject S] [--bytes N] [--cpu-us N]\n");
            return 1;
        }
    }
    if (source.item_bytes < 0 || source.item_bytes > ITEM_BYTES_MAX) {
        fprintf(stderr, "--bytes %lld: at most %d\n", (long long)source.item_bytes, ITEM_BYTES_MAX);
        return 1;
    }
    struct service_options options = {.subject = subject, .handler = answer, .context = &source};
    return service_run(&options);
}

static void answer(struct service *service, natsMsg *request, void *context)
{
    const struct source *source = context;
    int64_t begun_us = service_now_us();
    static _Thread_local char reply[ITEM_BYTES_MAX + 256];
    int line = natsMsg_GetDataLength(request);
    if (line > 200) {
        service_fail(service, request, "the request is longer than 200 bytes");
        return;
    }
    service_burn(source->cpu_us);
    memcpy(reply, natsMsg_GetData(request), (size_t)line);
    reply[line++] = '\n';
    uint64_t seed = hash_bytes(HASH_SEED, reply, (size_t)line);
    for (int64_t i = 0; i < source->item_bytes; i++)
        reply[line + i] = (char)('a' + (seed >> (i & 31)) % 26);
    service_reply(service, request, begun_us, reply, line + (int)source->item_bytes);
}
