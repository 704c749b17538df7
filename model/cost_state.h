/*
 * cost_state: all that a question about costs needs, as a text: the world, the apps and where they
 * are, what was measured, what nodes offer. The scheduler writes it, `berth whatif` asks it; kept
 * in a file it answers questions about last week.
 *
 * Lines, each a word and what follows it, blanks between; a name that is absent is "-":
 *
 *     berth-state 1 NOW_US
 *     world JSON                                         the canonical document, once, first
 *     app JSON                                           then, of that app:
 *     at WORKLOAD SITE VARIANT                           where it runs; none: nowhere
 *     blocked WORKLOAD SITE                              no node there has room for it
 *     capacity SITE MCPU BYTES                           what live nodes offer; -1: there is none
 *     estimate KIND NAMESPACE APP WORKLOAD SITE PEER VALUE AT_US SPREAD OBSERVED_US
 *
 * A workload that is read may move: who asks wants to know what is best. Pure; memory from the
 * arena. Any thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "model/cost.h"

#define COST_STATE_BYTES ((size_t)512 << 20)

struct cost_state {
    struct world world;
    struct cost_input input; /* its world is the one above */
    struct placement *at;    /* [part] */
    bool placed;             /* something runs */
};

/* `at` is [part]. Failures of `out` are for strbuf_error. */
void cost_state_write(const struct cost_input *input, const struct placement *at,
                      struct strbuf *out);
/* ERR_INVALID with the line's number. The state refers to itself: it is not to be moved. */
int cost_state_read(const char *file, const char *text, size_t bytes, struct arena *arena,
                    struct cost_state *ret_state, struct error *err) WARN_UNUSED;
/* One of a world and apps that were read otherwise; nothing of them runs anywhere. */
int cost_state_of(const struct world *world, struct app *const *apps, int app_count,
                  struct arena *arena, struct cost_state *ret_state, struct error *err) WARN_UNUSED;
