/*
 * certificate: a plan as a file that can be checked anywhere: the problem, the answer and its
 * prices. `berth plan --certificate` writes one, `berth verify-plan` checks it with verify.h.
 *
 * The bytes: "BERTHC1\n", the length of the problem's frame (u64, little-endian), that frame, and
 * the solution's frame (problem.h). Nothing in it is secret but names, costs and capacities.
 */
#pragma once

#include "base/arena.h"
#include "base/str.h"
#include "model/problem.h"

void certificate_encode(const struct problem *problem, const struct solution *solution,
                        struct strbuf *out);
/* ERR_INVALID names what is wrong; memory from the arena, and the bytes (problem_decode). */
int certificate_decode(const void *bytes, size_t count, struct arena *arena,
                       struct problem *ret_problem, struct solution *ret_solution,
                       struct error *err) WARN_UNUSED;
