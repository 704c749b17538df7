/*
 * cordon: a node, a site or a whole provider that is being emptied.
 *
 * Nothing new is placed there and what is there moves away (REASON_DRAIN), as handoffs like any
 * others, at most policy.moves_max at once. A site is closed for the solver when it, its provider,
 * or every live node of it is cordoned; a node alone is closed for core_fit, and what runs on it
 * goes to another node of its site when one has room. When nothing else is allowed, what runs there
 * stays and the plan says what forbids the rest. Data sets stay: people move heavy bytes.
 *
 * A cordon lasts until it is lifted; it is part of the desired state, so it has a version and
 * survives restarts. Emptying a provider in a chosen order is an operation (operation.h), which
 * brings its cordon with it.
 */
#pragma once

#include "scheduler/core/core.h"

void core_on_cordon(struct core *core, const struct core_event *event);

/* Sets or lifts it. 0 (also when it is so already), ERR_NOT_FOUND or ERR_LIMIT with a sentence. */
int core_cordon_set(struct core *core, enum cordon_kind kind, const char *name, bool on,
                    char text[LIMIT_TEXT_BYTES]) WARN_UNUSED;
/* Whether the name is known, as core_cordon_set asks. */
int core_cordon_check(const struct core *core, enum cordon_kind kind, const char *name,
                      char text[LIMIT_TEXT_BYTES]) WARN_UNUSED;

bool core_node_cordoned(const struct core *core, const struct core_node *node);
bool core_site_cordoned(const struct core *core, int site);
/* `closed` ([site], of the workload) with the cordoned sites closed as well: itself when there are
 * none, or when none of the others would take it (then it stays, and everything else is free to
 * go); else a copy in the arena. NULL: no memory. */
bool *core_cordons_close(const struct core *core, const struct workload *workload, bool *closed,
                         struct arena *arena);
