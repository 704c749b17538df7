/*
 * profile-infer: scores users. A request is "u<number>", the answer "u<number> <score> <site>". The
 * score needs the user's profile: those asked for last are kept, for others the profile source is
 * asked first. Hits and misses are reported as counters.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "examples/common/lru.h"
#include "examples/common/part.h"
#include "examples/inference-profile/model.h"
#include "examples/shop/ask.h"
#include "examples/shop/service.h"

#define TIMEOUT_US INT64_C(3000000)

struct infer {
    struct part part;
    struct model model;
    const char *source_subject;
    struct lru *cache;
};

/* A request that waits for its profile. */
struct miss {
    struct infer *infer;
    struct service *service;
    natsMsg *request;
    int64_t begun_us;
    uint64_t user;
};

static void answer(struct service *service, natsMsg *request, void *context);
static void on_profile(void *context, natsMsg *profile);
static void finish(const struct miss *miss, const struct features *features);

int main(int argc, char **argv)
{
    struct infer infer = {.source_subject = "svc.default.profiles"};
    int64_t slots = 1024;
    part_init(&infer.part, "infer");
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (str_equal(argv[i], "--slots") && str_to_i64(value, &slots) == 0 && slots > 0 &&
            slots <= 1 << 20)
            continue;
        if (str_equal(argv[i], "--source") && i + 1 < argc) {
            infer.source_subject = value;
            continue;
        }
        fprintf(stderr, "usage: profile-infer [--slots 1..1048576] [--source SUBJECT]\n");
        return 1;
    }
    model_init(&infer.model, 1);
    infer.cache = lru_create((int)slots, sizeof(struct features));
    if (infer.cache == NULL)
        return 1;
    struct service_options options = {
        .subject = infer.part.subject, .handler = answer, .context = &infer};
    int exit_status = service_run(&options);
    lru_destroy(infer.cache);
    return exit_status;
}

static void answer(struct service *service, natsMsg *request, void *context)
{
    struct miss now = {context, service, request, service_now_us(), 0};
    struct features features;
    if (user_read(natsMsg_GetData(request), natsMsg_GetDataLength(request), &now.user) < 0) {
        service_fail(service, request, "the request is not \"u<number>\"");
        return;
    }
    if (lru_get(now.infer->cache, now.user, &features)) {
        atomic_fetch_add(&service_counters(service)->hits, 1);
        finish(&now, &features);
        return;
    }
    atomic_fetch_add(&service_counters(service)->misses, 1);
    struct miss *miss = malloc(sizeof *miss);
    if (miss == NULL) {
        service_fail(service, request, "out of memory");
        return;
    }
    *miss = now;
    ask_send(service_asker(service), now.infer->source_subject, natsMsg_GetData(request),
             natsMsg_GetDataLength(request), TIMEOUT_US, on_profile, miss);
}

static void on_profile(void *context, natsMsg *profile)
{
    struct miss *miss = context;
    struct features features;
    const char *error = NULL;
    if (profile == NULL)
        service_fail(miss->service, miss->request, "the profiles did not answer in time");
    else if (natsMsg_IsNoResponders(profile) ||
             natsMsgHeader_Get(profile, "Nats-Service-Error", &error) == NATS_OK)
        service_fail(miss->service, miss->request, "the profiles could not answer");
    else if (profile_read(natsMsg_GetData(profile), (size_t)natsMsg_GetDataLength(profile),
                          miss->user, &features) < 0)
        service_fail(miss->service, miss->request, "what the profiles answered is no profile");
    else {
        lru_put(miss->infer->cache, miss->user, &features);
        finish(miss, &features);
    }
    free(miss);
}

static void finish(const struct miss *miss, const struct features *features)
{
    char reply[160];
    str_format(reply, sizeof reply, "u%llu %d %s", (unsigned long long)miss->user,
               model_score(&miss->infer->model, features), miss->infer->part.site);
    service_reply(miss->service, miss->request, miss->begun_us, reply, (int)strlen(reply));
}
