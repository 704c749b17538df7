/*
 * find_dir: where `berth up` keeps its things, and what it wrote there for the other commands.
 *
 * The folder is: --dir, else $BERTH_DIR, else ./.berth or the nearest .berth above. It holds
 *
 *     berth.json      the address, the users and their key files, what runs (struct folder reads
 * it) up.lock         locked by the `up` that owns the folder, whose pid is in it keys/ nkey seeds,
 * mode 0600          nats.conf, leaf-NAME.conf  (secret too) state/          the scheduler's
 * journal        jetstream/, nodes/NAME/, log/
 *
 * One thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/limits.h"

#define FOLDER_NAME ".berth"

/* The folder that commands talk to; absolute. ERR_NOT_FOUND names what was looked for. */
int folder_find(const char *given, char out[LIMIT_PATH_BYTES], struct error *err) WARN_UNUSED;
/* The folder that `up` uses: as above without the search; it need not exist. Absolute. */
int folder_place(const char *given, char out[LIMIT_PATH_BYTES], struct error *err) WARN_UNUSED;
/* folder/name; ERR_LIMIT when too long. */
int folder_path(const char *folder, const char *name, char out[LIMIT_PATH_BYTES],
                struct error *err) WARN_UNUSED;

/* berth.json; the caller's to release. */
int folder_read(const char *folder, json_t **ret_json, struct error *err) WARN_UNUSED;
/* Replaces it as a whole, mode 0600: readers see the old one or the new one. */
int folder_write(const char *folder, const json_t *json, struct error *err) WARN_UNUSED;

/* Takes the folder for this process until the descriptor is closed; ERR_LOCKED names the holder. */
int folder_lock(const char *folder, int *ret_fd, struct error *err) WARN_UNUSED;
/* The `up` that holds the folder; 0: none does. */
pid_t folder_holder(const char *folder);
