/*
 * tally: what the counter knows: how many numbers there are, and for which requests the last ones
 * were. A request that comes again finds its number here. This is the state that one owner hands to
 * the next, as text without blanks: "<count>,<id>,<id>,..." in the order of their numbers.
 *
 * Pure; one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALLY_IDS      1024
#define TALLY_ID_BYTES 40 /* terminated; of [A-Za-z0-9._-] */

struct tally {
    int64_t count;
    int kept; /* of the last ids: of the numbers count - kept + 1 .. count */
    char ids[TALLY_IDS][TALLY_ID_BYTES];
};

bool tally_id_is_valid(const char *id);
/* The number that this request got, or 0. */
int64_t tally_find(const struct tally *tally, const char *id);
void tally_add(struct tally *tally, const char *id);
/* As many of the last ids as fit into bytes_max; terminated within `capacity`. */
void tally_write(const struct tally *tally, size_t bytes_max, char *out, size_t capacity);
/* Ids are separated by `separator`; 0, or -1 and nothing is changed. */
int tally_read(struct tally *tally, const char *text, char separator);
