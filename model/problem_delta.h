/*
 * problem_delta: what one problem costs otherwise than another of the same structure.
 *
 * Two problems are of one structure when their parts, choices (site, variant, lead, demand), pairs
 * and rules are the same, in the same order. Costs, the bytes that choices and pairs put on
 * meters, the meters' prices, where parts are now, and capacities may differ; names and texts
 * do not count. So a thousand questions about prices send what they ask about, not a thousand
 * problems.
 *
 * A frame as those of problem.h: magic, then meters, parts, pairs and capacities that differ, each
 * list with its count and ascending indices, and each table whole. Applied, it gives a problem that
 * has its own arrays for these, the frame's tables where it is aligned in memory (problem_frame.h),
 * and the base's for all else; both have the base's names.
 *
 * Memory from the arena; any thread.
 */
#pragma once

#include "base/arena.h"
#include "model/problem.h"

struct strbuf;

/* False: the structures differ, and nothing is written. */
bool problem_delta_encode(const struct problem *base, const struct problem *other,
                          struct strbuf *out) WARN_UNUSED;
/* The problem lives as long as the base, the arena and the bytes. */
int problem_delta_decode(const void *bytes, size_t count, const struct problem *base,
                         struct arena *arena, struct problem *ret_problem,
                         struct error *err) WARN_UNUSED;
