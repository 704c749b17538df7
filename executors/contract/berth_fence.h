/*
 * berth_fence: what a resource (a database, a ledger, a file store) needs so that only the owner of
 * an exclusive or stateful workload can write to it. Apache-2.0, libc alone: copy berth_fence.{h,c}
 * into a program, or link libberth_fence.a. docs/fencing.md has the protocol in plain words.
 *
 * The rule: each request of an owner carries the epoch that it was made the owner by ("own
 * <term>.<n>" on its $BERTH_SOCKET). The resource keeps the highest epoch that it ever saw,
 * durably and together with the data that it guards, and refuses every lower one. Epochs come from
 * Berth's journal and only grow, so an owner that was paused, or cut off, and wakes up too late is
 * refused by the first thing that it touches, however long after.
 *
 * Berth writes the epoch of the next owner into the KV bucket "berth_owners" before it makes it the
 * owner: a resource that reads its key there at its start, and watches it, refuses the old owner
 * even before the new one has come.
 *
 * Pure; no memory of its own; any thread, one at a time per fence.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Compared by term, then by n; {0, 0} is "none", below every epoch that is given out. */
struct berth_epoch {
    uint64_t term;
    uint64_t n;
};

#define BERTH_FENCE_BUCKET "berth_owners"
#define BERTH_EPOCH_BYTES  48 /* "18446744073709551615.18446744073709551615" and its end */

/* -1, 0 or 1, as a is lower than, equal to or higher than b. */
int berth_epoch_compare(struct berth_epoch a, struct berth_epoch b);
/* "<term>.<n>", all of the text: decimal digits, no sign, no blank. 0, or -1 with EINVAL. */
int berth_epoch_parse(const char *text, struct berth_epoch *ret_epoch);
const char *berth_epoch_format(struct berth_epoch epoch, char out[BERTH_EPOCH_BYTES]);
/* A value of the KV bucket, {"term":..,"n":..,"instance":".."}, need not be terminated: members in
 * any order, unknown ones passed over. 0, or -1 with EINVAL; then nothing is to be believed. */
int berth_epoch_parse_value(const char *value, size_t bytes, struct berth_epoch *ret_epoch);
/* "<namespace>.<app>.<workload>.<replica>". 0, or -1 with EMSGSIZE. */
int berth_fence_key(const char *ns, const char *app, const char *workload, int replica, char *out,
                    size_t capacity);

struct berth_fence {
    struct berth_epoch highest; /* load it from where the data is, before the first request */
};

enum berth_fence_verdict {
    BERTH_FENCE_ADMITTED, /* the owner that is known already */
    BERTH_FENCE_RAISED,   /* a new owner: `highest` has grown; make it durable before, or in one
                           * write with, anything that this request changes */
    BERTH_FENCE_REFUSED   /* an owner of before: nothing may change; tell it `highest` */
};

/* Judges a request's epoch, or one read from the key. {0, 0} is refused: no owner has it. */
enum berth_fence_verdict berth_fence_admit(struct berth_fence *fence, struct berth_epoch epoch);

#ifdef __cplusplus
}
#endif
