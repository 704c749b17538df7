/* The head of an HTTP answer, whole and in parts: the parts may never say other than the whole. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"
#include "executors/ingress/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct response whole;
    struct response part;
    const char *bytes = (const char *)data;
    if (size > RESPONSE_BYTES_MAX)
        size = RESPONSE_BYTES_MAX;
    int rc = response_parse(bytes, size, &whole);
    if (rc > 0) {
        BERTH_ASSERT(whole.status == 101 || (whole.status >= 200 && whole.status <= 999));
        BERTH_ASSERT(memchr(whole.instance, 0, sizeof(whole.instance)) != NULL);
        BERTH_ASSERT(memchr(whole.server, 0, sizeof(whole.server)) != NULL);
    }
    for (size_t i = 0; i < size; i += 1 + size / 64) {
        int early = response_parse(bytes, i, &part);
        BERTH_ASSERT(early == 0 || early == rc || (early < 0 && rc < 0));
        if (early > 0)
            BERTH_ASSERT(part.status == whole.status && str_equal(part.instance, whole.instance) &&
                         str_equal(part.server, whole.server));
    }
    return 0;
}
