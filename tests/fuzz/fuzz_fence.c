/* Epochs as a resource is sent them, and values of the owners' bucket. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "executors/contract/berth_fence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct berth_epoch epoch = {1, 1}, again;
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    char back[BERTH_EPOCH_BYTES];
    if (berth_epoch_parse(text, &epoch) == 0) {
        berth_epoch_format(epoch, back);
        BERTH_ASSERT(strcmp(back, text) == 0, "%s became %s", text, back);
    }
    free(text);
    text = malloc(size == 0 ? 1 : size); /* exactly: a byte too far is seen by the sanitizer */
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    if (berth_epoch_parse_value(text, size, &epoch) == 0) {
        berth_epoch_format(epoch, back);
        BERTH_ASSERT(berth_epoch_parse(back, &again) == 0, "%s", back);
        BERTH_ASSERT(berth_epoch_compare(epoch, again) == 0, "%s", back);
    }
    free(text);
    return 0;
}
