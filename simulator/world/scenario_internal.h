/* scenario_internal: what the files that read a scenario share. */
#pragma once

#include "model/read.h"
#include "simulator/world/scenario.h"

void scenario_read_loads(struct reader *reader, const struct doc_node *root, struct scenario *out);
void scenario_read_requests(struct reader *reader, const struct doc_node *root,
                            struct scenario *out);
void scenario_read_events(struct reader *reader, const struct doc_node *root, struct scenario *out);
/* A file's name, or a list of `count`; how many were read. */
int scenario_read_paths(struct reader *reader, const struct doc_node *list, int count,
                        char (**ret_paths)[LIMIT_PATH_BYTES]);
/* The fields of a load of shape trace. */
void scenario_read_trace(struct reader *reader, const struct doc_node *node,
                         struct scenario_load *out);
