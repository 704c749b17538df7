/*
 * steps: where the time of an owner's pause goes. The scheduler and the agents log each step of a
 * handoff (at BERTH_LOG=debug) with the wall clock of this one machine; the client tells when it
 * had the last answer of the old owner and the first of the new one. One thread; nothing is kept.
 */
#pragma once

#include "tests/live/stage.h"

/* Before the cluster is started: its programs log what is read here. */
void steps_watch(void);
/* Of all handoffs of the stage's owner that are in the logs: per step the median and the longest
 * time since the step before, and the median time since the old owner was told to freeze. `line` is
 * the client's last one. */
void steps_print(const struct stage *stage, const json_t *line);
