/*
 * courier: carries workloads' state between a file and the object store (BUCKET_STATE), on a thread
 * of its own with a connection of its own, since the store's calls block; both come with the first
 * job and stay. Results wake the loop through courier_fd.
 *
 * An object is named by its content's digest, in hex. An empty file is no object: its digest says
 * all. What an instance has put is listed in a file of its folder before it is put, so that nothing
 * is left behind when the agent dies: the list of before is removed with a new first round, all of
 * it when the instance is forgotten. Two instances whose states are the same to the byte share an
 * object: the one that is forgotten first takes it away, and a move of the other that was reading
 * it fails, goes back and is tried again. A checkpoint has a name of its own, which outlives the
 * instance and is in no list: the next one by that name replaces it.
 *
 * Threads: everything here is called by the owner's thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/wire/messages.h"
#include "executors/node/core/node_core.h"

#define COURIER_LIST      "state.list"
#define COURIER_BYTES_MAX (INT64_C(64) << 30)

struct courier;

/* Texts are copied. */
struct courier_options {
    const char *url;
    const char *name;  /* of the connection */
    const char *seed;  /* file, or NULL */
    const char *inbox; /* prefix, or NULL */
};

struct courier_result {
    char instance[LIMIT_ID_BYTES];
    bool put;
    uint64_t ticket;
    int code;
    char text[LIMIT_TEXT_BYTES];
    struct message_object object; /* of a put */
    int64_t waited_us;            /* behind other jobs */
    int64_t took_us;
};

int courier_open(const struct courier_options *options, struct courier **ret_courier,
                 struct error *err) WARN_UNUSED;
/* Waits for the job under way; those that wait are dropped. NULL is accepted. */
void courier_close(struct courier *courier);
int courier_fd(const struct courier *courier);

/* `folder` is the instance's, `path` a name in it. `first`: what it has put before is removed once
 * this is there. `kept`: it is a checkpoint and has this name, in place of what had it before; ""
 * for all others. Each has one result. */
int courier_put(struct courier *courier, const char *instance, uint64_t ticket, const char *folder,
                const char *path, bool first, const char *kept, struct error *err) WARN_UNUSED;
int courier_get(struct courier *courier, const char *instance, uint64_t ticket, const char *folder,
                const char *path, const struct message_object *object, const char *kept,
                struct error *err) WARN_UNUSED;
/* Removes all that the instance has put, by its list, which is read now, and the checkpoints whose
 * names begin with `kept`; "": none. No result. */
void courier_forget(struct courier *courier, const char *folder, const char *kept);

/* The next result; false: none (courier_fd is not readable any more). */
bool courier_next(struct courier *courier, struct courier_result *ret_result);
