/*
 * Any text as a decimal and as an amount: what parses prints, and what was printed parses to the
 * same value.
 */
#include <stdint.h>
#include <string.h>

#include "base/decimal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[256];
    if (size >= sizeof(text)) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    struct decimal value;
    if (decimal_parse(text, &value, NULL) == 0) {
        char shown[DECIMAL_TEXT_BYTES];
        struct decimal again;
        int64_t scaled;
        BERTH_ASSERT(value.scale >= 0 && value.scale <= DECIMAL_SCALE_MAX, "scale %d", value.scale);
        BERTH_ASSERT(decimal_parse(decimal_format(value, shown), &again, NULL) == 0, "%s", shown);
        BERTH_ASSERT(decimal_compare(value, again) == 0, "%s read back differs", shown);
        if (decimal_scaled(value, DECIMAL_SCALE_MAX, &scaled) == 0) {
            struct decimal exact = {scaled, DECIMAL_SCALE_MAX};
            BERTH_ASSERT(decimal_compare(value, exact) == 0, "%s scaled differs", shown);
        }
        nusd amount;
        if (money_of(value, 1, (unsigned __int128)1 << 64, &amount) == 0) {
            char dollars[MONEY_TEXT_BYTES];
            (void)money_format(amount, 2, dollars);
        }
    }
    nusd amount;
    if (money_parse(text, &amount, NULL) == 0) {
        char shown[MONEY_TEXT_BYTES];
        nusd again;
        BERTH_ASSERT(money_parse(money_exact(amount, shown), &again, NULL) == 0, "%s", shown);
        BERTH_ASSERT(amount == again, "%s read back differs", shown);
    }
    return 0;
}
