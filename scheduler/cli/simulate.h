/*
 * simulate: what `berth simulate` prints: the runs of a store as a table, as JSON, as CSV. Pure but
 * for reading the store; any thread.
 */
#pragma once

#include "base/str.h"
#include "simulator/world/experiment.h"

struct json_out;

/* A table for people: policies of one world, apps and trace under each other, cheapest first; and
 * whether the means are as sure as was asked, unless that is 0. */
int simulate_write_text(struct store *store, int64_t precision_ppm, bool color, struct strbuf *out,
                        struct error *err) WARN_UNUSED;
/* The moves of the only run, or nothing when there are several. */
int simulate_write_moves(struct store *store, bool color, struct strbuf *out,
                         struct error *err) WARN_UNUSED;
/* Its spans of single requests: who called what, and each workload at its sites; of the only run.
 */
int simulate_write_requests(struct store *store, bool color, struct strbuf *out,
                            struct error *err) WARN_UNUSED;
/* The same of all runs, a line for each caller and each station, as CSV. */
int simulate_write_requests_csv(struct store *store, struct strbuf *out,
                                struct error *err) WARN_UNUSED;
/* Two arrays of a run's object. */
int simulate_json_requests(struct store *store, const char *key, struct json_out *json,
                           struct error *err) WARN_UNUSED;
int simulate_write_json(struct store *store, struct strbuf *out, struct error *err) WARN_UNUSED;
int simulate_write_csv(struct store *store, struct strbuf *out, struct error *err) WARN_UNUSED;
