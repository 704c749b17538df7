/*
 * Any text as every kind of quantity: what parses is not negative and prints; what does not has a
 * sentence that names the text.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int (*reader)(const char *text, int64_t *ret_value, struct error *err);
typedef const char *(*writer)(int64_t value, char out[UNITS_TEXT_BYTES]);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const reader readers[] = {units_bytes, units_duration, units_rate,
                                     units_ratio, units_cpu,      units_byte_rate};
    static const writer writers[] = {units_format_bytes, units_format_duration, units_format_rate,
                                     units_format_ratio};
    char text[256];
    if (size >= sizeof(text)) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
        int64_t value;
        struct error err = {0};
        if (readers[i](text, &value, &err) < 0) {
            BERTH_ASSERT(err.code < 0 && err.text[0] == '"', "%s", err.text);
            continue;
        }
        BERTH_ASSERT(value >= 0, "\"%s\" is negative", text);
        char shown[UNITS_TEXT_BYTES];
        if (i < sizeof(writers) / sizeof(writers[0])) {
            BERTH_ASSERT(writers[i](value, shown)[0] != '\0', "\"%s\" prints as nothing", text);
        }
    }
    /* What is kept of a number of bytes is read again as it is written. */
    int64_t bytes;
    if (units_bytes(text, &bytes, NULL) == 0) {
        char plain[UNITS_TEXT_BYTES];
        int64_t again = -1;
        (void)snprintf(plain, sizeof(plain), "%lld", (long long)bytes);
        BERTH_ASSERT(units_bytes(plain, &again, NULL) == 0 && again == bytes, "\"%s\"", plain);
    }
    /* The same bytes as a number: every int64 prints within its buffer. */
    int64_t number = 0;
    memcpy(&number, data, size < sizeof(number) ? size : sizeof(number));
    for (size_t i = 0; i < sizeof(writers) / sizeof(writers[0]); i++) {
        char shown[UNITS_TEXT_BYTES];
        (void)writers[i](number, shown);
    }
    return 0;
}
