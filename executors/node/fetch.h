/*
 * fetch: brings an artifact into the node's store: from a file or from the NATS object store, into
 * a temporary file, its digest and its machine checked from the descriptor that was written, then
 * renamed to its digest's name. It blocks, so the agent runs it as a child: `berth-node --fetch
 * ...`, whose one line of output is "0" or "<code> <text>". One thread.
 */
#pragma once

#include "base/error.h"
#include "executors/node/options.h"

#define FETCH_BYTES_MAX (INT64_C(4) << 30)

/* The child's whole life; returns its exit status. */
int fetch_main(const struct node_options *options, const char *artifact, const char *digest,
               const char *target);
int fetch_artifact(const struct node_options *options, const char *artifact, const char *digest,
                   const char *target, struct error *err) WARN_UNUSED;
