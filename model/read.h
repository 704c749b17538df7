/*
 * read: what the readers of world and app documents share: arrays in the arena, tags, names of
 * sites. Everything wrong becomes a problem of the document; running out of memory is remembered
 * and reported once by read_finish. One thread.
 */
#pragma once

#include "base/arena.h"
#include "base/doc.h"
#include "model/types.h"

struct reader {
    struct doc *doc;
    struct arena *arena;
    bool no_memory;
};

/* The list `key` of `map` and its length, at most `max` (more is a problem, and the rest unread).
 * An absent list has length 0. */
const struct doc_node *read_list(struct reader *reader, const struct doc_node *map, const char *key,
                                 int flags, int max, int *ret_count);
/* Zeroed memory of the arena; NULL for none wanted or none left. */
void *read_array(struct reader *reader, int count, size_t bytes_each);

/* A mapping of tag keys to values, sorted by key. `spare` more entries are left room for. */
void read_tags(struct reader *reader, const struct doc_node *map, const char *key, int spare,
               struct tags *out);
/* Sets key=value in a list that has room, keeping the order; an existing key is left as it is. */
void tags_add(struct tags *tags, const char *key, const char *value);
const char *tags_get(const struct tags *tags, const char *key); /* NULL: not there */
bool tag_key_is_valid(const char *key);
bool tag_value_is_valid(const char *value);

/* "provider/region": two names and a slash between them. */
bool site_name_is_valid(const char *name);
/* Reads such a name; an empty text stays when the field is absent. */
bool read_site_name(struct reader *reader, const struct doc_node *map, const char *key, int flags,
                    char out[LIMIT_REF_BYTES]);

/* 0 when everything was read; else ERR_NO_MEMORY or ERR_INVALID with every problem. */
int read_finish(struct reader *reader, struct error *err) WARN_UNUSED;
