/*
 * inference: the example's middle: a model that needs an item to score a key, with a cache of
 * items. A request's body is "<id> <key>". On a hit it answers from the cache; on a miss it asks
 * the source first. The answer is the request's line and a score. Hits and misses are reported as
 * counters.
 *
 * The cache is direct-mapped: --slots entries, the key's hash chooses one, a newer key replaces it.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "examples/shop/ask.h"
#include "examples/shop/service.h"

#define KEY_BYTES  64
#define LINE_BYTES 200

/* Answers come on two threads of nats.c: requests on one, the source's items on another. */
struct slot {
    char key[KEY_BYTES];
    uint64_t score;
};

struct inference {
    const char *source_subject;
    int64_t cpu_us;
    int64_t timeout_us;
    int64_t slot_count;
    struct slot *slots;
    pthread_mutex_t lock;
};

/* A request that waits for its item. */
struct miss {
    struct inference *inference;
    struct service *service;
    natsMsg *request;
    int64_t begun_us;
    char key[KEY_BYTES];
};

static void answer(struct service *service, natsMsg *request, void *context);
static void on_item(void *context, natsMsg *item);
static void finish(struct inference *inference, struct service *service, natsMsg *request,
                   int64_t begun_us, uint64_t score);
static bool look_up(struct inference *inference, const char *key, uint64_t *ret_score);
static void remember(struct inference *inference, const char *key, uint64_t score);

int main(int argc, char **argv)
{
    struct inference inference = {.source_subject = "svc.default.source",
                                  .cpu_us = 100,
                                  .timeout_us = 2000000,
                                  .slot_count = 4096,
                                  .lock = PTHREAD_MUTEX_INITIALIZER};
    const char *subject = "svc.default.inference";
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (str_equal(argv[i], "--subject"))
            subject = value;
        else if (str_equal(argv[i], "--source"))
            inference.source_subject = value;
        else if (str_equal(argv[i], "--cpu-us") && str_to_i64(value, &inference.cpu_us) == 0)
            continue;
        else if (str_equal(argv[i], "--slots") && str_to_i64(value, &inference.slot_count) == 0 &&
                 inference.slot_count > 0 && inference.slot_count <= 1 << 20)
            continue;
        else {
            fprintf(stderr, "usage: shop-inference [--subject S] [--source S] [--cpu-us N] "
                            "[--slots 1..1048576]\n");
            return 1;
        }
    }
    inference.slots = calloc((size_t)inference.slot_count, sizeof *inference.slots);
    if (inference.slots == NULL)
        return 1;
    struct service_options options = {.subject = subject, .handler = answer, .context = &inference};
    int exit_status = service_run(&options);
    free(inference.slots);
    return exit_status;
}

static void answer(struct service *service, natsMsg *request, void *context)
{
    struct inference *inference = context;
    int64_t begun_us = service_now_us();
    const char *line = natsMsg_GetData(request);
    int bytes = natsMsg_GetDataLength(request);
    const char *blank = memchr(line, ' ', (size_t)bytes);
    struct miss key_of = {0};
    if (blank == NULL || bytes - (blank + 1 - line) >= KEY_BYTES || bytes > LINE_BYTES) {
        service_fail(service, request,
                     "the request is not \"<id> <key>\" with a key below 64 bytes");
        return;
    }
    str_format(key_of.key, sizeof key_of.key, "%.*s", (int)(bytes - (blank + 1 - line)), blank + 1);
    uint64_t score = 0;
    if (look_up(inference, key_of.key, &score)) {
        atomic_fetch_add(&service_counters(service)->hits, 1);
        finish(inference, service, request, begun_us, score);
        return;
    }
    atomic_fetch_add(&service_counters(service)->misses, 1);
    struct miss *miss = malloc(sizeof *miss);
    if (miss == NULL) {
        service_fail(service, request, "out of memory");
        return;
    }
    *miss = key_of;
    miss->inference = inference;
    miss->service = service;
    miss->request = request;
    miss->begun_us = begun_us;
    ask_send(service_asker(service), inference->source_subject, line, bytes, inference->timeout_us,
             on_item, miss);
}

static void on_item(void *context, natsMsg *item)
{
    struct miss *miss = context;
    const char *error = NULL;
    if (item == NULL)
        service_fail(miss->service, miss->request, "the source did not answer in time");
    else if (natsMsg_IsNoResponders(item) ||
             natsMsgHeader_Get(item, "Nats-Service-Error", &error) == NATS_OK)
        service_fail(miss->service, miss->request, "the source could not answer");
    else {
        uint64_t score =
            hash_bytes(HASH_SEED, natsMsg_GetData(item), (size_t)natsMsg_GetDataLength(item));
        remember(miss->inference, miss->key, score);
        finish(miss->inference, miss->service, miss->request, miss->begun_us, score);
    }
    free(miss);
}

static void finish(struct inference *inference, struct service *service, natsMsg *request,
                   int64_t begun_us, uint64_t score)
{
    char reply[LINE_BYTES + 32];
    service_burn(inference->cpu_us);
    str_format(reply, sizeof reply, "%.*s\n%016llx", natsMsg_GetDataLength(request),
               natsMsg_GetData(request), (unsigned long long)score);
    service_reply(service, request, begun_us, reply, (int)strlen(reply));
}

static bool look_up(struct inference *inference, const char *key, uint64_t *ret_score)
{
    struct slot *slot =
        &inference->slots[hash_str(HASH_SEED, key) % (uint64_t)inference->slot_count];
    pthread_mutex_lock(&inference->lock);
    bool hit = str_equal(slot->key, key);
    if (hit)
        *ret_score = slot->score;
    pthread_mutex_unlock(&inference->lock);
    return hit;
}

static void remember(struct inference *inference, const char *key, uint64_t score)
{
    struct slot *slot =
        &inference->slots[hash_str(HASH_SEED, key) % (uint64_t)inference->slot_count];
    pthread_mutex_lock(&inference->lock);
    str_format(slot->key, sizeof slot->key, "%s", key);
    slot->score = score;
    pthread_mutex_unlock(&inference->lock);
}
