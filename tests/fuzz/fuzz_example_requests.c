/* What the examples' services are sent: pictures, users, profiles, and grammars. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "examples/background-removal/matte.h"
#include "examples/inference-profile/model.h"
#include "examples/procedural-tiles/tile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *rule = NULL;
    struct picture picture;
    struct features features;
    struct grammar grammar;
    uint64_t user = 0;
    static uint8_t pixels[TILE_BYTES];
    if (picture_read(text, size, &picture, &rule) == 0 && picture.width * picture.height < 4096) {
        uint8_t *alpha = malloc((size_t)(picture.width * picture.height));
        BERTH_ASSERT(alpha == NULL || matte_compute(&picture, 3, alpha) == 0, "memory");
        free(alpha);
    }
    if (size < 64 && user_read(text, (int)size, &user) == 0) {
        char profile[PROFILE_BYTES];
        profile_make(user, profile);
        BERTH_ASSERT(profile_read(profile, sizeof profile, user, &features) == 0, "user %d",
                     (int)user);
    }
    if (profile_read(text, size, 7, &features) == 0)
        BERTH_ASSERT(size == PROFILE_BYTES, "%zu bytes", size);
    char copy[64] = "";
    memcpy(copy, text, size < sizeof copy ? size : sizeof copy - 1);
    if (grammar_init(&grammar, 1, copy) == 0)
        tile_make(&grammar, 0, 0, pixels);
    return 0;
}
