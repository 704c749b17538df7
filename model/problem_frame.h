/*
 * problem_frame: what the frames of problems, of solutions and of what differs between problems
 * are written with and read by.
 *
 * Everything is little-endian. A table (choices, costs, uses) is dense and begins at a multiple of
 * 8 bytes from the frame's start; its entries have the layout of the structs of problem.h, so that
 * it is read where it lies when the frame is aligned in memory: then the problem lives as long as
 * the frame, and nobody may write to its tables. A frame that is not aligned is copied from, as it
 * is where numbers are stored otherwise.
 *
 * A reader never allocates more than a bounded multiple of the bytes it was given: each count is
 * compared with its limit and with what the rest of the frame could hold. After its first failure a
 * reader gives the least that is allowed, and nothing is read any more.
 *
 * Memory from the reader's arena; any thread.
 */
#pragma once

#include "base/str.h"
#include "model/problem.h"

struct frame_reader {
    const unsigned char *start;
    const unsigned char *at;
    size_t left;
    struct arena *arena;
    struct error *err;
    bool failed;
};

/* Of the table of two parts. */
size_t frame_cells(const struct problem *problem, int a, int b);

void frame_put(struct strbuf *out, uint64_t value, size_t bytes);
/* Numbers one after the other, where they stand. */
void frame_put_costs(struct strbuf *out, const int64_t *costs, size_t count);
/* Zeros up to a multiple of 8 bytes, counted from where the frame begins in `out`. */
void frame_put_align(struct strbuf *out, size_t from);
/* The slots of a cell, 0 where no cell has a use; then the table. */
void frame_put_uses(struct strbuf *out, size_t from, const struct problem_use *use, int use_count,
                    size_t cells);
void frame_put_choices(struct strbuf *out, size_t from, const struct problem_choice *choices,
                       int count);
/* All of a meter but its name. */
void frame_put_tiers(struct strbuf *out, const struct problem_meter *meter);

uint64_t frame_get(struct frame_reader *in, size_t bytes);
/* A signed number of 4 or 8 bytes within [min, max]; min after a failure. */
int64_t frame_get_range(struct frame_reader *in, size_t bytes, const char *what, int64_t min,
                        int64_t max);
/* A count at most `max`, of things that take at least bytes_each of the bytes that are left. */
int frame_get_count(struct frame_reader *in, const char *what, int64_t max, size_t bytes_each);
void *frame_get_memory(struct frame_reader *in, size_t count, size_t bytes_each);
/* What frame_put_align wrote. */
void frame_get_align(struct frame_reader *in);
/* The tables, which begin where frame_put_align has ended. */
int64_t *frame_get_costs(struct frame_reader *in, size_t count);
struct problem_use *frame_get_uses(struct frame_reader *in, size_t cells, int meter_count,
                                   int *ret_use_count);
struct problem_choice *frame_get_choices(struct frame_reader *in, const struct problem *problem,
                                         int count);
/* A rule's: each 0 or 1. */
bool *frame_get_allowed(struct frame_reader *in, size_t count);
void frame_get_tiers(struct frame_reader *in, struct problem_meter *meter);
/* Only the first failure is reported: what follows it is its consequence. Returns `code`. */
int frame_fail(struct frame_reader *in, int code, const char *what, long long value);
