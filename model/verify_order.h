/*
 * verify_order: the order in which the verifier eliminates parts: always one with the fewest
 * neighbours left (minimum degree), counting those that earlier ones have made neighbours. Part of
 * verify; memory from the arena, which it returns false for lack of.
 */
#pragma once

#include "base/arena.h"
#include "model/problem.h"

bool verify_order(const struct problem *problem, struct arena *arena, int **ret_order,
                  int **ret_position);
