/*
 * operation: several moves that a person asked for at once, carried out in the order given.
 *
 *     berth move app --from gcp --to aws      berth evacuate gcp      berth rollback OPERATION
 *
 * The order comes with the operation: whoever asks (the service) has chosen it so that the way
 * there costs least. At most `at_once` steps are under way, and never more handoffs than
 * policy.moves_max. A step begins by choosing the workload's site, as `berth move` does; it is done
 * when every replica serves there and no handoff of it is left. While an operation runs, plans do
 * not touch the workloads of its steps that are not done.
 *
 * A step that goes back (its handoff failed, no node has room and nothing under way can make some)
 * puts its workload back where it was and ends the operation: steps under way end, no further one
 * begins, what is done stays. So does a cancellation. Every one of these is a consistent state:
 * each workload serves at the one site or the other, and the cordon
 * that the operation brought is lifted, so that nothing else leaves. A rollback is an operation of
 * its own: the steps that were done or under way, last first, each back to where it was; the cordon
 * that the operation brought is lifted.
 *
 * The last CORE_OPERATIONS are kept; those that run are never dropped.
 */
#pragma once

#include "scheduler/core/core.h"

void core_on_operate(struct core *core, const struct core_event *event);
void core_on_operation_end(struct core *core, const struct core_event *event);

/* Begins and ends steps; true when a workload's site was chosen, so that plan and reality differ.
 */
bool core_operations_advance(struct core *core);
/* A running operation has a step of it that is not done: only that step may move it. */
bool core_operation_holds(const struct core *core, const struct core_app *app, int index);
struct core_operation *core_operation_find(const struct core *core, const char *id);
void core_operation_free(struct core_operation *operation);
