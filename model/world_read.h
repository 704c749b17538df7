/*
 * world_read: the inside of reading a world document, shared by its files: world_read.c (sites,
 * latencies), world_egress.c (egress rules), world_use.c (what it takes from the catalogue),
 * world_policy.c (when moves pay), world_terms.c (custom terms). Nobody else includes it.
 */
#pragma once

#include "model/catalogue.h"
#include "model/read.h"
#include "model/world.h"

struct world_use;

/* `policy:`; what it leaves out has its default. */
void world_read_policy(struct reader *reader, const struct doc_node *root, struct policy *policy);
/* `workload_measures:` and `terms:`, after the sites: a term may name their measures. */
void world_read_terms(struct reader *reader, const struct doc_node *root, struct world *world);

/* `egress:`, after the sites: a selector means one of them. The catalogue's follow. */
void world_read_egress(struct reader *reader, const struct doc_node *root,
                       const struct world_use *use, struct world *world);
/* A rule's destinations are a copy of these, in the reader's arena. */
void world_read_to(struct reader *reader, struct egress_rule *rule,
                   const char (*to)[LIMIT_REF_BYTES], int count);
/* Whose name is most like a mistaken one; NULL: none is. */
const char *world_nearest_site(const struct world *world, const char *name);

/* What a latency pair states. */
enum path_figure { PATH_RTT, PATH_FACTOR, PATH_PER_MIB, PATH_FIGURES };

/* The index of a pair's end; -1 after a problem. */
int world_read_end(struct reader *reader, const struct doc_node *scalar, const struct world *world);
/* Sets a path that was not stated before; a problem at `node` when it was. */
void world_read_path(struct reader *reader, const struct doc_node *node, struct world *world,
                     const int ends[2], const int64_t figures[PATH_FIGURES]);
/* `latency.tables`: round trips between many sites, a row for each. */
void world_read_tables(struct reader *reader, const struct doc_node *latency, struct world *world);

#define WORLD_USE_BYTES  ((size_t)16 << 20) /* the catalogue needs about 1 MiB */
#define WORLD_USE_UNPAID 8                  /* providers that no account was found for */

/* What a world takes from the catalogue, while it is read. Base sites belong to `arena`. */
struct world_use {
    struct arena arena;
    bool stated; /* there is a `use:` */
    bool read[CATALOGUE_PARTS];
    bool taken[CATALOGUE_PARTS]; /* a site of it was: its egress rules come too */
    struct world parts[CATALOGUE_PARTS];
    const struct site *sites[LIMIT_SITES]; /* selected by `use:` */
    int count;
    char unpaid[WORLD_USE_UNPAID][LIMIT_NAME_BYTES];
    int unpaid_count;
};

void world_use_init(struct world_use *use);
void world_use_done(struct world_use *use);
void world_use_read(struct reader *reader, const struct doc_node *root, struct world_use *use);
/* The catalogue's site that an entry of `sites:` begins with: its `like:`, or the one of its own
 * name that `use:` has selected; NULL: none. */
const struct site *world_use_base(struct reader *reader, const struct doc_node *node,
                                  const char *name, struct world_use *use);
/* Adds the base's tags and measures that the entry does not state itself. The list of tags has room
 * for them. */
void world_use_tags(struct reader *reader, const struct doc_node *node, const struct site *base,
                    struct site *site);
void world_use_measures(struct reader *reader, const struct site *base, struct site *site);
/* The only account of the site's provider pays for it. */
void world_use_account(struct reader *reader, const struct doc_node *node, struct world *world,
                       struct world_use *use, struct site *site);
/* Appends the selected sites that the world's own entries have not taken in; there is room. */
void world_use_sites(struct reader *reader, const struct doc_node *root, struct world_use *use,
                     struct world *world);
/* A rule of the catalogue by its name; NULL: none that the world takes. */
const struct egress_rule *world_use_rule(const struct world_use *use, const char *name);
int world_use_rule_count(const struct world_use *use);
/* Appends the rules that price something here and have not been replaced; a problem when there are
 * too many. */
void world_use_egress(struct reader *reader, const struct doc_node *root,
                      const struct world_use *use, struct world *world);
/* Fills in the round trips that the world itself does not state. */
void world_use_latencies(const struct world_use *use, struct world *world);
