/*
 * profile-source: where the users' profiles are kept. A request is "u<number>", the answer the
 * profile (model.h).
 */
#include <stdio.h>

#include "examples/common/part.h"
#include "examples/inference-profile/model.h"
#include "examples/shop/service.h"

static void answer(struct service *service, natsMsg *request, void *context)
{
    int64_t begun_us = service_now_us();
    uint64_t user = 0;
    char profile[PROFILE_BYTES];
    (void)context;
    if (user_read(natsMsg_GetData(request), natsMsg_GetDataLength(request), &user) < 0) {
        service_fail(service, request, "the request is not \"u<number>\"");
        return;
    }
    profile_make(user, profile);
    service_reply(service, request, begun_us, profile, PROFILE_BYTES);
}

int main(int argc, char **argv)
{
    struct part part;
    (void)argv;
    if (argc > 1) {
        fprintf(stderr, "usage: profile-source\n");
        return 1;
    }
    part_init(&part, "profiles");
    struct service_options options = {.subject = part.subject, .handler = answer};
    return service_run(&options);
}
