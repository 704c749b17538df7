/* What a KV bucket answers, and what somebody may have written into a key of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bus/kv.h"
#include "scheduler/service/owner_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    struct bus_message message = {.subject = "", .reply = "", .data = text, .bytes = size};
    struct kv_entry entry;
    uint64_t revision = 0;
    struct error err;
    if (kv_got(&message, &entry, &err) == 0)
        (void)owner_value_read(entry.value, entry.bytes);
    if (kv_was_put(&message, &revision, &err) == 0 && revision == 0)
        abort();
    if (kv_bucket_made(&message, &err) < 0 && err.text[0] == 0)
        abort();
    struct owner_value value = owner_value_read(text, size);
    char written[OWNER_VALUE_BYTES];
    if (strpbrk(value.instance, "\"\\") == NULL) {
        owner_value_write(&value, written);
        struct owner_value again = owner_value_read(written, strlen(written));
        if (epoch_compare(value.epoch, again.epoch) != 0)
            abort();
    }
    free(text);
    return 0;
}
