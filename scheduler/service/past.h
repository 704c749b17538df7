/*
 * past: what the journal says of a stretch of time, for a replay of it: the documents that held at
 * its end, the tags that people changed since, the nodes that were there, and how much was moved.
 *
 * The journal is opened for reading only and without its lock: a scheduler may have it and goes on
 * undisturbed. What is read is as of one instant. Everything is in the arena. Any thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "model/types.h"

struct past_app {
    const struct app *app; /* as last applied before the end */
    int64_t applied_us;    /* when */
    int changes;           /* times it was applied after the beginning */
};

/* A tag changed after its app was last applied. */
struct past_retag {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char key[LIMIT_NAME_BYTES];
    char value[LIMIT_NAME_BYTES]; /* "": removed */
    int64_t at_us;
};

struct past_node {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    int64_t mcpu;
    int64_t memory_bytes;
};

struct past {
    const struct world *world; /* as of the end; never NULL */
    int worlds;                /* that replaced another after the beginning */
    struct past_app *apps;     /* those that were there at the end */
    int app_count;
    struct past_retag *retags;
    int retag_count;
    struct past_node *nodes; /* by their last hello before the end */
    int node_count;
    int64_t moves;   /* handoffs that were done within it */
    int64_t records; /* within it */
};

/* Of [from, to), wall clock. ERR_NOT_FOUND: no journal, or no world in it by then. */
int past_read(const char *journal, int64_t from_us, int64_t to_us, struct arena *arena,
              struct past *ret_past, struct error *err) WARN_UNUSED;
