/*
 * checkpoint: the state of a stateful workload, kept while it serves, for the day on which its node
 * does not come back.
 *
 * A workload with `checkpoint: 60s` has one core_checkpoint for each replica. While its owner
 * serves and no handoff is under way it is asked for a snapshot of everything (NODE_SNAPSHOT
 * outside of a handoff, with the checkpoint's number) that long after the last one was asked for.
 * Its node puts the snapshot into the object store under a name made from the workload, the replica
 * and the number modulo 3, which overwrites the one of three before: two complete ones are always
 * left, also when the third is being written by somebody who does not know yet that he owns no
 * more.
 *
 * A new owner whose state nobody can ship (its old copy is dead) starts from the last complete one
 * (SHIPPING with round 0), and an event says how old it is: what was written since is lost. One
 * that cannot be read three times in a row is given up for the one before, then for an empty start.
 *
 * Sizes: CORE_CHECKPOINTS replicas; what is beyond has none, and an event says so.
 */
#pragma once

#include "scheduler/core/core.h"

struct core_command;
struct core_place;
struct handoff_step;

/* Which checkpoints there have to be: after an apply, a delete, a restore. */
void core_checkpoints_sync(struct core *core);
/* Asks for those that are due. */
void core_checkpoints_advance(struct core *core);
/* When the next one is to be asked for; INT64_MAX: none. */
struct instant core_checkpoints_deadline(const struct core *core);
/* NULL: it has none. */
struct core_checkpoint *core_checkpoint_find(const struct core *core, const char *ns,
                                             const char *app, const char *workload, int replica);
/* What its node says of it: one was made, or could not be. */
void core_checkpoint_heard(struct core *core, const struct core_instance *instance,
                           const struct message_instance *said);

/* What its document says or its last checkpoint took, whatever is more. */
int64_t core_checkpoint_bytes(const struct core *core, const struct core_place *place, int replica);
/* How long one that was asked for by `command` may take to be exported, by its bytes. */
int64_t core_checkpoint_export_us(const struct core *core, const struct core_command *command);

/* Nobody can ship its state to the new copy: from the last checkpoint, or as it is. */
void core_owner_alone(struct handoff_step *step);
/* The visit of SHIPPING with round 0. */
bool core_checkpoint_restore(struct handoff_step *step);
/* A stateful one has something to start from. */
bool core_checkpoint_is_there(const struct core *core, const struct core_handoff *handoff);
/* It could not be restored. */
void core_checkpoint_failed(struct core *core, const struct core_handoff *handoff);
