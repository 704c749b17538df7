/*
 * measures: the named figures of sites and workloads that custom terms use (docs/world.md): read,
 * written, found. A name is a word of a formula: 1 to 63 of a-z, 0-9 and '_', a letter first; a
 * unit is one of formula.h. A list has unique names, at most LIMIT_MEASURES, and keeps the
 * document's order. Any thread.
 */
#pragma once

#include "model/json_out.h"
#include "model/read.h"
#include "model/types.h"

/* The mapping `key` of `map`: a name to {value, unit} or to "440 g/kWh". */
void measures_read(struct reader *reader, const struct doc_node *map, const char *key,
                   struct measures *out);
/* Nothing when there are none. */
void measures_write(struct json_out *json, const char *key, const struct measures *measures);
const struct measure *measures_find(const struct measures *measures,
                                    const char *name); /* or NULL */
bool measure_name_is_valid(const char *name);
