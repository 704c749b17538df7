/*
 * owner_value: what a key of BUCKET_OWNERS holds, {"term":3,"n":41,"instance":"db-0-1k"}: the epoch
 * of the present owner, as docs/fencing.md tells resources. Pure; any thread.
 */
#pragma once

#include <stddef.h>

#include "base/limits.h"
#include "base/wire/messages.h"

#define OWNER_VALUE_BYTES 160

struct owner_value {
    struct epoch epoch; /* {0, 0}: it names none */
    char instance[LIMIT_ID_BYTES];
};

void owner_value_write(const struct owner_value *value, char out[OWNER_VALUE_BYTES]);
/* Members in any order, unknown ones ignored. What is no such value at all (nothing, or what
 * somebody else wrote) is that of nobody: {0, 0}. */
struct owner_value owner_value_read(const char *text, size_t bytes);
