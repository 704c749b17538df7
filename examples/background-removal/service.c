/*
 * matte-service: takes the background out of pictures. A request is a binary PPM, the answer a PGM
 * of the same size: the opacity of each pixel, with the site that worked it out in its comment. The
 * same program runs on a phone, at an edge and in a data centre; --passes is the size of the model.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "examples/background-removal/matte.h"
#include "examples/common/part.h"
#include "examples/shop/service.h"

#define ANSWER_BYTES_MAX (1 << 20) /* what one message may carry */

struct matte_service {
    struct part part;
    int64_t passes;
};

static void answer(struct service *service, natsMsg *request, void *context);

int main(int argc, char **argv)
{
    struct matte_service own = {.passes = 25};
    part_init(&own.part, "cutout");
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (str_equal(argv[i], "--passes") && str_to_i64(value, &own.passes) == 0 &&
            own.passes >= 0 && own.passes <= 100000)
            continue;
        if (str_equal(argv[i], "--speed") && part_speed(&own.part, value))
            continue;
        fprintf(stderr, "usage: matte-service [--passes 0..100000] [--speed SITE=RATIO]...\n");
        return 1;
    }
    struct service_options options = {
        .subject = own.part.subject, .handler = answer, .context = &own};
    return service_run(&options);
}

static void answer(struct service *service, natsMsg *request, void *context)
{
    const struct matte_service *own = context;
    int64_t begun_us = service_now_us();
    int64_t cpu_us = part_cpu_us();
    struct picture picture;
    const char *rule = "";
    char header[128];
    if (picture_read(natsMsg_GetData(request), (size_t)natsMsg_GetDataLength(request), &picture,
                     &rule) < 0) {
        service_fail(service, request, rule);
        return;
    }
    int pixels = picture.width * picture.height;
    str_format(header, sizeof header, "P5\n# %s\n%d %d\n255\n", own->part.site, picture.width,
               picture.height);
    int header_bytes = (int)strlen(header);
    if (header_bytes + pixels > ANSWER_BYTES_MAX) {
        service_fail(service, request, "the picture has more pixels than an answer can carry");
        return;
    }
    char *reply = malloc((size_t)(header_bytes + pixels));
    if (reply == NULL ||
        matte_compute(&picture, (int)own->passes, (uint8_t *)reply + header_bytes) < 0) {
        service_fail(service, request, "out of memory");
    } else {
        memcpy(reply, header, (size_t)header_bytes);
        part_finish(&own->part, cpu_us, 0);
        service_reply(service, request, begun_us, reply, header_bytes + pixels);
    }
    free(reply);
}
