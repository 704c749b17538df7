/* The client's script: what is asked of the scheduler, and when the next thing is. */
#pragma once

#include "tests/fault/sim.h"

void script_read(struct sim *sim); /* the world and the app */
void script_look(struct sim *sim);
