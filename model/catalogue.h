/*
 * catalogue: the places that Berth knows by itself: regions of AWS, Azure and Google Cloud, and a
 * few generic edges and clients, with prices, egress tiers, round trips, positions and carbon, and
 * the source of each figure. docs/catalogue.md says what is measured and what is assumed.
 *
 * It is four world documents, model/catalogue/<name>.yaml in the tree, embedded in the program so
 * that an installed one needs no file. A world takes from them with `use:` and `like:`
 * (model/world_use.c). About 120 sites, 40 egress rules and 2,600 round trips in 90 KB of text;
 * reading all of it takes some milliseconds, so nothing is kept between calls. Any thread.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/types.h"

enum { CATALOGUE_AWS, CATALOGUE_AZURE, CATALOGUE_GCP, CATALOGUE_GENERIC, CATALOGUE_PARTS };

struct catalogue_part {
    const char *name; /* "aws.yaml" */
    const char *text;
    size_t bytes;
};
extern const struct catalogue_part catalogue_parts[CATALOGUE_PARTS];

/* The part that has the provider's sites; -1: none has. */
int catalogue_part_of(const char *provider);
/* One part as the world that it is. */
int catalogue_read(int part, struct arena *arena, struct world *ret_world,
                   struct error *err) WARN_UNUSED;
/* All of it as one world, an account for each provider. */
int catalogue_world(struct arena *arena, struct world *ret_world, struct error *err) WARN_UNUSED;
