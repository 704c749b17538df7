/*
 * quantise: measured values as few distinct integers, so that noise does not reach the core.
 *
 * The quantum of a value is about 2 to 4 % of it (its highest power of two over 32, at least 1); of
 * a ratio in ppm it is one percentage point. quantise_moved says whether a value has left the dead
 * band around what was last said: one and a half quanta to each side, so that a value that hovers
 * at the border between two quanta never flaps between them. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

int64_t quantise_value(int64_t value); /* value >= 0, rounded to its quantum */
int64_t quantise_ratio(int64_t ppm);   /* rounded to 10,000 ppm */
bool quantise_moved(int64_t said, int64_t value, bool ratio);
