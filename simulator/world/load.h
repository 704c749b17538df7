/*
 * load: how often every part is called, step by step: the truth that a run is judged by.
 *
 * An app's users call as its document says, times what the scenario's load says of that instant; a
 * workload without a load of its own is called as its callers are, weighted by the calls that their
 * links bring. Traces are read as the run goes on, in flat memory; what is assumed where they have
 * gaps is told by load_notes. Deterministic for a seed, whatever a run decides. One thread.
 */
#pragma once

#include "simulator/world/scenario.h"

struct load;

int load_open(const struct scenario *scenario, const struct scenario_cell *cell,
              const struct world *world, const struct app *apps, int app_count,
              struct load **ret_load, struct error *err) WARN_UNUSED;
void load_close(struct load *load); /* NULL is accepted */

/* The means over [at, at + length): steps follow one another. */
int load_step(struct load *load, int64_t at_us, int64_t length_us, struct error *err) WARN_UNUSED;
/* [part], apps' workloads in order: calls per 1000 s as of the last step. */
const int64_t *load_calls(const struct load *load);
int load_part_count(const struct load *load);
/* A load or a trace says of the part itself how often it is called: it follows nobody. */
bool load_given(const struct load *load, int part);
/* What was assumed, a sentence each, separated by line ends; "" nothing. */
const char *load_notes(const struct load *load);
