/*
 * liveness: which nodes are silent. Beats are too many for the journal, so this small pure table
 * sits beside the core: the shell feeds it hellos and beats, asks it what is overdue, and turns
 * each answer into a CORE_NODE_LOST event. A beat of a node that the core does not know as up, or
 * with another boot id, or with a report sequence that the shell has not seen, asks for a hello.
 * No clock of its own; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/wire/messages.h"
#include "scheduler/core/state.h"

struct liveness;

int liveness_create(struct liveness **ret_liveness) WARN_UNUSED;
void liveness_destroy(struct liveness *liveness);
void liveness_hello(struct liveness *liveness, const struct message_hello *hello,
                    struct instant now);
/* Returns true when the node should be asked for a hello. */
bool liveness_beat(struct liveness *liveness, const struct message_beat *beat, struct instant now);
/* The core holds the sender for up, in the beat's boot. Else it is asked for a hello too, and its
 * leases are not renewed: the core may not have taken the hello that this table was fed with. */
bool liveness_agrees(const struct core_state *state, const struct message_beat *beat);
void liveness_report(struct liveness *liveness, const char *node, uint64_t seq);
/* The watcher looks now, as it does at each deadline at the latest. True when the time before is
 * longer ago than half of timeout_us: it did not run meanwhile (it was stopped, its machine slept),
 * what was said to it is still to be read, and no node is to blame for the silence. Then all are
 * watched as after a restart. */
bool liveness_look(struct liveness *liveness, struct instant now, int64_t timeout_us);
/* The next node silent for longer than timeout_us, each once until its next beat; NULL: none. */
const char *liveness_overdue(struct liveness *liveness, struct instant now, int64_t timeout_us);
/* When to look again. */
struct instant liveness_deadline(const struct liveness *liveness, int64_t timeout_us);
/* What a fresh table learns from the core after a scheduler's restart: every node that is up there
 * is watched, has a full timeout from `now`, and is asked for a hello at its next beat. */
void liveness_seed(struct liveness *liveness, const struct core_state *state, struct instant now);
/* After a scheduler restart all nodes get a full timeout from `now`. */
void liveness_restart(struct liveness *liveness, struct instant now);
