/* What is asked of the scheduler, and when the next thing is. */
#pragma once

#include "tests/fault/sim.h"

void script_read(struct sim *sim); /* the world and the app */
void script_look(struct sim *sim);
/* A reply to what was asked by `request`. */
void script_replied(struct sim *sim, const struct core_effect *effect);
/* In a few words, of a run that does not end. */
const char *script_waits_for(const struct sim *sim);
