/*
 * front: the example's web front end, over NATS: takes "<id> <key>", asks the inference service,
 * and answers with what it said. It keeps nothing, so that a duplicate or a loss would be Berth's
 * doing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "examples/shop/ask.h"
#include "examples/shop/service.h"

struct front {
    const char *inference_subject;
    int64_t cpu_us;
    int64_t timeout_us;
};

struct visit {
    struct service *service;
    natsMsg *request;
    int64_t begun_us;
};

static void answer(struct service *service, natsMsg *request, void *context);
static void on_score(void *context, natsMsg *score);

int main(int argc, char **argv)
{
    struct front front = {
        .inference_subject = "svc.default.inference", .cpu_us = 20, .timeout_us = 3000000};
    const char *subject = "svc.default.front";
    for (int i = 1; i + 1 < argc; i += 2) {
        if (str_equal(argv[i], "--subject"))
            subject = argv[i + 1];
        else if (str_equal(argv[i], "--inference"))
            front.inference_subject = argv[i + 1];
        else if (str_equal(argv[i], "--cpu-us") && str_to_i64(argv[i + 1], &front.cpu_us) == 0)
            continue;
        else {
            fprintf(stderr, "usage: shop-front [--subject S] [--inference S] [--cpu-us N]\n");
            return 1;
        }
    }
    struct service_options options = {.subject = subject, .handler = answer, .context = &front};
    return service_run(&options);
}

static void answer(struct service *service, natsMsg *request, void *context)
{
    const struct front *front = context;
    struct visit *visit = malloc(sizeof *visit);
    if (visit == NULL) {
        service_fail(service, request, "out of memory");
        return;
    }
    *visit = (struct visit){service, request, service_now_us()};
    service_burn(front->cpu_us);
    ask_send(service_asker(service), front->inference_subject, natsMsg_GetData(request),
             natsMsg_GetDataLength(request), front->timeout_us, on_score, visit);
}

static void on_score(void *context, natsMsg *score)
{
    struct visit *visit = context;
    const char *error = NULL;
    if (score == NULL)
        service_fail(visit->service, visit->request, "inference did not answer in time");
    else if (natsMsg_IsNoResponders(score) ||
             natsMsgHeader_Get(score, "Nats-Service-Error", &error) == NATS_OK)
        service_fail(visit->service, visit->request, "inference could not answer");
    else
        service_reply(visit->service, visit->request, visit->begun_us, natsMsg_GetData(score),
                      natsMsg_GetDataLength(score));
    free(visit);
}
