/*
 * world_read: the inside of reading a world document, shared by its files: world_read.c (sites,
 * egress, latencies), world_policy.c (when moves pay), world_terms.c (custom terms). Nobody else
 * includes it.
 */
#pragma once

#include "model/read.h"
#include "model/world.h"

/* `policy:`; what it leaves out has its default. */
void world_read_policy(struct reader *reader, const struct doc_node *root, struct policy *policy);
/* `workload_measures:` and `terms:`, after the sites: a term may name their measures. */
void world_read_terms(struct reader *reader, const struct doc_node *root, struct world *world);
