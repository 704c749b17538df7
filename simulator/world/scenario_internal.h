/* scenario_internal: what the files that read a scenario share. */
#pragma once

#include "model/read.h"
#include "simulator/world/scenario.h"

void scenario_read_loads(struct reader *reader, const struct doc_node *root, struct scenario *out);
void scenario_read_events(struct reader *reader, const struct doc_node *root, struct scenario *out);
