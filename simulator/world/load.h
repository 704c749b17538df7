/*
 * load: how often every part is called, step by step: the truth that a run is judged by.
 *
 * An app's users call as its document says, times what the scenario's load says of that instant; a
 * workload without a load of its own is called as its callers are, weighted by the calls that their
 * links bring. A trace may tell what a workload is called, or what the users of one region call of
 * it (docs/traces.md): then the mix of its callers is the trace's too. Traces are read as the run
 * goes on, in flat memory; what is assumed where they have gaps is told by load_notes.
 * Deterministic for a seed, whatever a run decides. One thread.
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
/* What the users of one region call of one part. */
struct load_users {
    int app;
    int segment;        /* of the app */
    int workload;       /* of the app */
    int part;           /* the same, of all */
    int64_t weight_mhz; /* what the document's links between them say */
    int64_t mhz;        /* as of the last step; -1: no trace tells it, the document's shares hold */
};
/* Every pair that links have, in the order of apps and links; 0 of them without a trace. Their
 * number and order stay, their rates are those of the last step. */
int load_users(const struct load *load, const struct load_users **ret_users);
/* What of a link's calls counts when several are added up: 1 where the document says none. */
int64_t load_weight(const struct link *link);
/* What was assumed, a sentence each, separated by line ends; "" nothing. */
const char *load_notes(const struct load *load);
