/*
 * store: the agent's state folder, mode 0700.
 *
 *     lock                  held (flock) by the agent that runs
 *     epoch                 the highest epoch taken, of what was erased
 *     records/<instance>.json  (record_file.h)
 *     instances/<instance>/ the workload's folder: start, exit, sockets, output
 *     artifacts/sha256-<hex>  verified files, mode 0555
 *
 * Records and epoch are durable when the call returns. One thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "executors/node/core/node_core.h"

struct store {
    char path[LIMIT_PATH_BYTES]; /* absolute */
    int fd;
    int lock_fd;
    int records_fd;
    int instances_fd;
    struct epoch epoch; /* as on disk */
};

/* ERR_LOCKED when another agent has the folder. */
int store_open(const char *path, struct store *ret_store, struct error *err) WARN_UNUSED;
void store_close(struct store *store);

/* Every record; arrays and strings in `arena`. A record that cannot be read is moved aside
 * (<name>.damaged), logged, and left out. */
int store_load(struct store *store, struct arena *arena, struct node_record **ret_records,
               int *ret_count, struct error *err) WARN_UNUSED;
/* Removes the folders that no record of these wants: an agent died between the record, or the
 * tombstone in its place, and the folder. To be called with all that store_load gave. */
int store_sweep(struct store *store, const struct node_record *records, int count,
                struct error *err) WARN_UNUSED;
int store_save(struct store *store, const struct node_record *record,
               struct error *err) WARN_UNUSED;
/* The record and the instance's folder with all that is in it; `epoch` is kept first. */
int store_erase(struct store *store, const char *instance, struct epoch epoch,
                struct error *err) WARN_UNUSED;
/* The folder alone: its record is a tombstone. */
int store_erase_folder(struct store *store, const char *instance, struct error *err) WARN_UNUSED;
/* Makes the instance's folder if need be; returns a descriptor of it. */
int store_instance_fd(struct store *store, const char *instance, struct error *err) WARN_UNUSED;
void store_instance_path(const struct store *store, const char *instance,
                         char out[LIMIT_PATH_BYTES]);
/* Where an artifact of this digest is kept; ERR_INVALID when it is no digest. */
int store_artifact_path(const struct store *store, const char *digest, char out[LIMIT_PATH_BYTES],
                        struct error *err) WARN_UNUSED;
