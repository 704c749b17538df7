/*
 * problem_frame: what the frames of problems, of solutions and of what differs between problems
 * are written with and read by.
 *
 * Everything is little-endian; a cost table is dense, the meters' uses are sparse (slots per cell,
 * count, then cell * slots + slot, meter, bytes). A reader never allocates more than a bounded
 * multiple of the bytes it was given: each count is compared with its limit and with what the rest
 * of the frame could hold. After its first failure a reader gives the least that is allowed, and
 * nothing is read any more.
 *
 * Memory from the reader's arena; any thread.
 */
#pragma once

#include "base/str.h"
#include "model/problem.h"

struct frame_reader {
    const unsigned char *at;
    size_t left;
    struct arena *arena;
    struct error *err;
    bool failed;
};

/* Of the table of two parts. */
size_t frame_cells(const struct problem *problem, int a, int b);

void frame_put(struct strbuf *out, uint64_t value, size_t bytes);
void frame_put_costs(struct strbuf *out, const int64_t *costs, size_t count);
/* Zeros up to a multiple of 8 bytes, counted from where the frame begins in `out`. */
void frame_put_align(struct strbuf *out, size_t from);
void frame_put_uses(struct strbuf *out, const struct problem_use *use, int use_count, size_t cells);
/* All of a meter but its name. */
void frame_put_tiers(struct strbuf *out, const struct problem_meter *meter);

uint64_t frame_get(struct frame_reader *in, size_t bytes);
/* A signed number of 4 or 8 bytes within [min, max]; min after a failure. */
int64_t frame_get_range(struct frame_reader *in, size_t bytes, const char *what, int64_t min,
                        int64_t max);
/* A count at most `max`, of things that take at least bytes_each of the bytes that are left. */
int frame_get_count(struct frame_reader *in, const char *what, int64_t max, size_t bytes_each);
void *frame_get_memory(struct frame_reader *in, size_t count, size_t bytes_each);
int64_t *frame_get_costs(struct frame_reader *in, size_t count);
/* What frame_put_align wrote; `from`: where the frame begins. */
void frame_get_align(struct frame_reader *in, const void *from);
/* Costs where they stand in the frame, which then lives as long: nobody may write to them. A copy
 * where they are not aligned, or where numbers are written otherwise. */
int64_t *frame_get_table(struct frame_reader *in, size_t count);
struct problem_use *frame_get_uses(struct frame_reader *in, size_t cells, int meter_count,
                                   int *ret_use_count);
void frame_get_tiers(struct frame_reader *in, struct problem_meter *meter);
/* Only the first failure is reported: what follows it is its consequence. Returns `code`. */
int frame_fail(struct frame_reader *in, int code, const char *what, long long value);
