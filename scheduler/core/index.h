/*
 * index: the rows of a table by a 64-bit hash of their names, kept beside the table.
 *
 * Rows are numbers; the table itself belongs to the caller, who compares the names: a hash says
 * where to look and never what is found. Rows of one hash are visited in the order in which they
 * were added, so that the answer to "the first of that name" depends on the table alone. A row that
 * was emptied stays in its chain, for the caller to skip, until the table is compacted:
 *
 *     for (int i = index_first(&index, hash); i >= 0; i = index_next(&index, i))
 *         if (str_equal(table[i].name, name)) ...
 *
 * Memory: the caller's, index_bytes(capacity) of zeros, aligned for uint64_t; about 24 bytes a row.
 * All but index_relink take constant time, that takes the table's. Nothing of it belongs to any
 * state or hash: it can be made again from the table at any time. One thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct index {
    uint64_t *hash; /* [capacity] */
    int32_t *next;  /* [capacity]: row + 1 of the next one in the bucket; 0 none */
    int32_t *first; /* [mask + 1]: the same, of the bucket */
    int32_t *last;  /* [mask + 1]: undefined while `first` is 0 */
    uint64_t mask;
    int capacity;
};

size_t index_bytes(int capacity);
void index_init(struct index *index, int capacity, void *memory);

/* Each row once. Of a hash the rows are found in the order of these calls. */
void index_add(struct index *index, int row, uint64_t hash);
/* The first row of that hash, and the one after `row` of the same hash; -1: none. */
int index_first(const struct index *index, uint64_t hash);
int index_next(const struct index *index, int row);

/* Compacting a table: row `from` becomes row `to` (not larger, in rising order), each once; then
 * index_relink with the number of rows left. In between, nothing is found. */
void index_move(struct index *index, int from, int to);
void index_relink(struct index *index, int count);
