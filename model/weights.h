/*
 * weights: the score's weights in world and app documents: read, written, put together. A world
 * states all of them (those left out have defaults); an app states some, and the others follow the
 * world, whatever it says later. A set of weights is a bit per enum weight. Any thread.
 */
#pragma once

#include "model/json_out.h"
#include "model/read.h"
#include "model/types.h"

#define WEIGHTS_ALL ((1U << WEIGHT_COUNT) - 1)

/* The mapping `weights` of `map`; what is not stated stays as it is. Returns what is stated. */
unsigned weights_read(struct reader *reader, const struct doc_node *map, struct weights *weights);
/* Only those of the set; nothing when it is empty. */
void weights_write(struct json_out *json, const struct weights *weights, unsigned set);
/* `base` with those of `set` taken from `own`. */
struct weights weights_over(const struct weights *base, const struct weights *own, unsigned set);
