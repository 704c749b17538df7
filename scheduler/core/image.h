/*
 * image: the whole state of a core as plain data, and a core made from it again.
 *
 * An image is what core_hash covers and what people read besides (ended handoffs, decisions, the
 * last plan's words). What can be computed is not in it: indices, hash tables, hashes of specs. A
 * restored core has the hash of the one that the image was taken of and, fed the same events, gives
 * the same effects for ever. Images are taken between two steps, in whatever state handoffs are.
 *
 * Taking one copies nothing: its arrays are the core's own and valid until its next step or its
 * end. Restoring copies everything. Lists have state's rules, except that core_app.storage is
 * ignored, as are core_node.site_index and core_instance.node_index. One thread.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "scheduler/core/state.h"

struct core;

struct core_image {
    struct core_state state;
    struct instant changed_first; /* of the changes not yet solved */
    struct instant solve_retry;
    struct instant clock_checked;
    bool diff; /* what the next step has to look at; see internal.h */
    bool tidy;
    bool starved;
};

void core_image_take(const struct core *core, struct core_image *ret_image);

/* An image may come from outside: ERR_INVALID or ERR_LIMIT, with the entry named, for one that no
 * core can have been in. The order of two instants, say, is believed: the caller compares hashes.
 */
int core_restore(const struct core_image *image, struct core **ret_core,
                 struct error *err) WARN_UNUSED;

/* The entries that a ring of `capacity` holds after `count` were put into it. */
int core_ring_kept(uint64_t count, int capacity);
