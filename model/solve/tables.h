/*
 * tables: tables of costs, whole: what they range over, some rows and columns of them, and 32 bits
 * of each cost. A session makes thousands of them for each scenario.
 *
 * Whole numbers, so that wider vectors, where the processor has them, give the same. Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The least and the greatest of at least one cost. */
void tables_range(const int64_t *cost, size_t cells, int64_t *ret_least, int64_t *ret_most);

/* The costs of row[] and column[] of a table that has `stride` columns, to out[rows * columns]. */
void tables_pick(const int64_t *cost, size_t stride, const int *row, size_t rows, const int *column,
                 size_t columns, int64_t *out);

/* out[i] = (cost[i] - least) >> shift, which fits. */
void tables_narrow(const int64_t *cost, size_t cells, int64_t least, int shift, uint32_t *out);
