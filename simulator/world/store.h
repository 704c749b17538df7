/*
 * store: the results of runs in one SQLite file. docs/simulator.md documents the schema.
 *
 * A run is written to a file of its own beside the store (STORE.run-KEY) while it goes on, and put
 * into the store in one transaction when it is over: what is in the store is whole. One experiment
 * at a time writes to a store (store_lock), as two of one run would have one file for it. A run is
 * known by its key (experiment.h); one that is there already is kept. Amounts are nano-dollars in
 * 64 bits. One thread.
 */
#pragma once

#include "base/str.h"
#include "simulator/world/run.h"

struct store;

#define STORE_KEY_BYTES 24
#define STORE_SCHEMA    1

/* What a run is of, and what came of it. */
struct store_run {
    char key[STORE_KEY_BYTES];
    char scenario[LIMIT_NAME_BYTES];
    char world[LIMIT_PATH_BYTES];
    char apps[LIMIT_PATH_BYTES]; /* their files, separated by commas, as far as they fit */
    char policy[LIMIT_NAME_BYTES];
    char trace[LIMIT_PATH_BYTES];
    int64_t seed;
    int64_t from_us;
    int64_t to_us;
    int64_t step_us;
    int64_t wall_us; /* it took */
    int64_t cpu_us;
    struct run_result result;
};

/* Opens or creates it. ERR_EXISTS unless `resume` or it holds no runs; ERR_CORRUPT for a file that
 * is no such store, ERR_UNSUPPORTED for another schema. */
int store_open(const char *path, bool resume, struct store **ret_store,
               struct error *err) WARN_UNUSED;
void store_close(struct store *store); /* NULL is accepted */
/* Until it is closed no other may lock it: ERR_LOCKED. Who only reads needs none. */
int store_lock(struct store *store, struct error *err) WARN_UNUSED;
/* From the first one on only runs that were chosen are read by what follows; one that is not there
 * is none. */
int store_choose(struct store *store, const char *key, struct error *err) WARN_UNUSED;
int store_has(struct store *store, const char *key, bool *ret_has, struct error *err) WARN_UNUSED;

/* The file of one run: a sink for it, then store_add puts it in and removes it. */
int store_part_open(const char *path, const char *key, struct store **ret_part,
                    struct run_sink *ret_sink, struct error *err) WARN_UNUSED;
int store_part_finish(struct store *part, const struct store_run *run,
                      struct error *err) WARN_UNUSED;
void store_part_remove(const char *path, const char *key);
int store_add(struct store *store, const char *path, const char *key,
              struct error *err) WARN_UNUSED;

/* The runs in the order of world, apps, trace, policy, seed. */
typedef int store_visitor(void *context, const struct store_run *run, struct error *err);
int store_runs(struct store *store, store_visitor *visitor, void *context,
               struct error *err) WARN_UNUSED;
/* The ledger's rows as CSV with the columns of FOCUS 1.2, the run's key as a tag. */
int store_focus(struct store *store,
                int (*write)(void *context, const struct strbuf *text, struct error *err),
                void *context, struct error *err) WARN_UNUSED;
/* The moves of a run, in time. */
int store_moves(struct store *store, const char *key,
                int (*visit)(void *context, const struct run_move *move, struct error *err),
                void *context, struct error *err) WARN_UNUSED;
/* Of a run's spans of single requests: who called what, and the workloads at their sites. Of `app`
 * only the names are filled; all of it lives until the visitor returns. */
int store_requests(struct store *store, const char *key,
                   int (*visit)(void *context, const struct run_requests *requests,
                                struct error *err),
                   void *context, struct error *err) WARN_UNUSED;
int store_stations(struct store *store, const char *key,
                   int (*visit)(void *context, const struct run_station *station,
                                struct error *err),
                   void *context, struct error *err) WARN_UNUSED;
