/*
 * yaml_out: JSON as YAML, for people who read or edit what `berth get -o yaml` prints. Block style,
 * two blanks a level; every text that YAML could take for something else is quoted as JSON quotes
 * it, which YAML reads the same. Any thread.
 */
#pragma once

#include <jansson.h>

#include "base/str.h"

void yaml_write(const json_t *json, struct strbuf *out);
