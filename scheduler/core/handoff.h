/*
 * handoff: make before break, one state machine per move.
 *
 *     planned -> staging -> starting -> ready -> reachable -> lingering -> draining -> held
 *             -> stopping -> done                          failure anywhere before stopping: back
 *
 * What is true in each state, and what a crash of the scheduler there leaves behind (always: the
 * journal has the state; the command of that state is sent again):
 *   planned    nothing has been sent; the move of a running copy waits for a slot of
 *              policy.moves_max, a start or a removal for nobody. Crash: still planned.
 *   staging    the target fetches and verifies the artifact; no process. Crash: STAGE again.
 *   starting   a new process may exist, not ready; the old one serves. Crash: START again.
 *   ready      the new one says it serves; both serve; nobody has proven that traffic finds it.
 *              Probes go out from every vantage of the traffic's side. Crash: probes again.
 *   reachable  every vantage got an answer with the new instance's identity. Entered and left in
 *              one step: the linger is computed (at least the slowest measured round trip, old and
 *              new path, plus a margin) and its deadline set.
 *   lingering  both serve, so that what is on the wire to the old copy is still answered.
 *   draining   the old one stops taking work and finishes what it has. Crash: DRAIN again.
 *   held       the old one is alive, serves nothing, can resume; policy.healthy_min_us.
 *   stopping   the old one is being ended. No way back any more.
 *   shipping   stateful: the old copy exports in rounds while it serves. Crash: SNAPSHOT or RESTORE
 *              of that round again.
 *   freezing   the old owner serves nothing from now on. Crash: DRAIN again.
 *   fencing    nobody owns; the next owner's epoch is on its way to where resources look. Crash:
 *              CORE_FENCE again, the same epoch.
 *   granting   the new copy may own: RESUME by that epoch. Crash: RESUME again, the same epoch.
 *   returning  going back: RESUME to the old one (if it was drained), then STOP to the new one.
 *   done/back  ended; the entry moves to the ring of ended handoffs.
 *
 * A first start has no old side: reachable leads to done. A removal has no new side: planned leads
 * to draining, held is skipped. When the old side's node is lost or its process is gone, there is
 * nothing to linger for or to go back to: the handoff goes forward. When the new side fails before
 * `stopping`, it goes back. A workload that has never had another copy is tried again with
 * back-off.
 *
 * Owners (exclusive, stateful; owner.c): the new copy is HELD instead of READY up to granting, and
 * reachable leads to [shipping] freezing fencing granting held. At most one copy per replica may
 * own: it does from the RESUME that is sent to it until it has frozen, has ended, or its node is
 * lost and its lease over. Nobody is granted before the epoch is fenced and nobody else may own;
 * an epoch is granted to one copy, once.
 *
 * Invariants, checked by assertion in every step and by tests/fault: a workload that had a ready
 * instance keeps one (never zero ready) unless its node is lost; the old side is not drained before
 * the new one was reached; at most one handoff per replica; an instance belongs to at most one.
 */
#pragma once

#include "scheduler/core/core.h"

struct handoff_step; /* internal to scheduler/core; see handoff.c */
