/*
 * experiment: all runs of a scenario: the cross product of its worlds, apps, traces, policies and
 * seeds, each in a process of its own, several at a time, put into a store as they end.
 *
 * All policies of a cell meet the same chances (chance.h): their differences are not noise. With
 * scenario.precision seeds are added round by round until the mean score of every policy of that
 * world, apps and trace is known well enough: the half-width of its 95 % confidence interval is at
 * most that part of it. What is run does not depend on how many processes there are.
 *
 * A run's key is over everything that its result depends on, and nothing else: what the scenario
 * says of time, load and events, the cell's documents and files, its policy and seed, this
 * program's version. A run whose key is in the store is not run again, so that an experiment that
 * was killed goes on where it was, and one that got more seeds, policies or worlds runs only these.
 * One thread.
 */
#pragma once

#include "simulator/world/store.h"

struct experiment_news {
    int runs; /* to do, those done before included */
    int done;
    int kept; /* of those done: they were there */
    int running;
    int64_t steps_done; /* of the runs under way */
    int64_t steps;
    const struct scenario_cell *ended; /* NULL: only progress */
    const char *failure;               /* of `ended`; NULL: it went well */
};

struct experiment_options {
    const char *out; /* the store */
    bool resume;
    int jobs;           /* 0: one for each processor */
    const char *policy; /* only that one; NULL: all */
    const char *solver; /* path of berth-solve; NULL: beside this program */
    void (*told)(void *context, const struct experiment_news *news); /* may be NULL */
    void *context;
};

struct experiment_outcome {
    int runs;
    int failed;
    struct error first; /* of the failures */
};

int experiment_run(const struct scenario *scenario, const struct experiment_options *options,
                   struct experiment_outcome *ret_outcome, struct error *err) WARN_UNUSED;

/* Chooses the store's runs that are of this scenario: those that it would keep. What else is in the
 * file was run under another time, load or document, and belongs into no mean with them. */
int experiment_choose(const struct scenario *scenario, struct store *store,
                      struct error *err) WARN_UNUSED;

int experiment_key(const struct scenario *scenario, const struct scenario_cell *cell,
                   char out[STORE_KEY_BYTES], struct error *err) WARN_UNUSED;

/* Means over seeds of what was found for one world, apps, trace and policy. */
struct experiment_mean {
    struct store_run of; /* its names, from the first seed */
    int seeds;
    double bill;      /* dollars of the whole time */
    double bill_half; /* of the 95 % interval; 0 with one seed */
    double score;
    double score_half;
    double bound; /* of the time for which it is known, as the score beside it */
    double bound_score;
    double ledger;
    double moves;
    double slow_ppm;
    double lost_ppm;
    double rtt_ms;
    double down_h;
};
/* Sorted by world, apps, trace, and then by score; in `arena`. */
int experiment_means(struct store *store, struct arena *arena, struct experiment_mean **ret_means,
                     int *ret_count, struct error *err) WARN_UNUSED;
