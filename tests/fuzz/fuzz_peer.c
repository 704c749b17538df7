/* What glpsol and cbc print, against any bytes: what is taken from it is whole. */
#include <math.h>
#include <stdint.h>

#include "base/error.h"
#include "tests/bench/solver/peer_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peer_words words;
    for (int i = 0; i < 2; i++) {
        if (i == 0) {
            peer_read_glpsol((const char *)data, size, &words);
        } else {
            peer_read_cbc((const char *)data, size, &words);
        }
        BERTH_ASSERT(isfinite(words.cost));
        BERTH_ASSERT(!isnan(words.bound) && words.bound < INFINITY);
        BERTH_ASSERT(!words.placed || !words.proven || words.bound == words.cost);
    }
    return 0;
}
