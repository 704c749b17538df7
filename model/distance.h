/*
 * distance: how far apart two sites are, and the round trip that is assumed where none was measured
 * or declared (docs/cost.md). Integers only: the same bits on every machine. Any thread.
 */
#pragma once

#include "model/types.h"

/* Great-circle distance in metres; both sites are located. */
int64_t cost_distance_m(const struct site *a, const struct site *b);
int64_t cost_distance_rtt_us(const struct site *a, const struct site *b); /* -1: no positions */
