/*
 * world: the world document: sites, accounts, prices, egress tiers, latencies, weights, policy.
 * Read from YAML or JSON with every mistake reported at once; written back as canonical JSON that
 * reads to an equal world. docs/world.md describes each field. A world is immutable once read.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/types.h"

/* Named only, so that what includes a world sees no parser. */
struct doc;
struct strbuf;

/* Reads from a parsed document into `arena`. ERR_INVALID with all problems. */
int world_from_doc(struct doc *doc, struct arena *arena, struct world *ret_world,
                   struct error *err) WARN_UNUSED;
/* Parses and reads a text; `file` is only a name for messages. */
int world_parse(const char *file, const char *text, size_t bytes, struct arena *arena,
                struct world *ret_world, struct error *err) WARN_UNUSED;
void world_write(const struct world *world, struct strbuf *out);
uint64_t world_hash(const struct world *world);
/* The rule that a policy's numbers break, as a sentence; NULL: they keep all. */
const char *world_policy_rule(const struct policy *policy);

int world_site(const struct world *world, const char *name); /* index, or -1 */
/* True when the site carries the tag, own or implied. */
bool site_has_tag(const struct site *site, const char *key, const char *value);

/* What formulas of the world's terms may name (formula.h): the built-in names first, in their
 * order, then site.<measure> of its sites, then workload.<measure> of its workload_measures. */
struct formula_name;
int world_formula_names(const struct world *world, struct arena *arena,
                        struct formula_name **ret_names, int *ret_count) WARN_UNUSED;
/* What such a name means for a workload at a site: its own figure, or the world's for workloads
 * that state none; NULL for a built-in name. Never NULL for a name that a term uses. */
const struct measure *world_measure(const struct world *world, const struct site *site,
                                    const struct workload *workload, const char *name);

/* How exactly a selector of an egress rule or of `use:` means the site: 6 by name, 5 by a tag
 * ("tag:key=value"), 4 by provider ("gcp/" with an asterisk), 2 by tier ("tier:edge"), 0 as one of
 * all ("*"), -1 not at all. */
int world_selects(const char *selector, const struct site *site);
