/*
 * suggest: the body of `suggest` as people read it. Any thread.
 */
#pragma once

#include <jansson.h>

#include "base/str.h"

void suggest_write(const json_t *json, bool color, struct strbuf *out);
