#include "scheduler/service/owner_value.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "base/str.h"

void owner_value_write(const struct owner_value *value, char out[OWNER_VALUE_BYTES])
{
    str_format(out, OWNER_VALUE_BYTES,
               "{\"term\":%" PRIu64 ",\"n\":%" PRIu64 ",\"instance\":\"%s\"}", value->epoch.term,
               value->epoch.n, value->instance);
}

struct owner_value owner_value_read(const char *text, size_t bytes)
{
    struct owner_value value = {0};
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, NULL);
    const json_t *term = json_object_get(root, "term");
    const json_t *n = json_object_get(root, "n");
    const char *instance = json_string_value(json_object_get(root, "instance"));
    if (json_is_integer(term) && json_is_integer(n) && json_integer_value(term) >= 0 &&
        json_integer_value(n) >= 0)
        value.epoch =
            (struct epoch){(uint64_t)json_integer_value(term), (uint64_t)json_integer_value(n)};
    if (instance != NULL && str_copy(value.instance, sizeof(value.instance), instance) < 0)
        value.instance[0] = 0;
    json_decref(root);
    return value;
}
