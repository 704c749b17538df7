/* policy_internal: what the files of the policies share. */
#pragma once

#include "simulator/world/policy.h"
#include "simulator/world/policy_program.h"

struct chooser {
    enum policy_kind kind;
    char name[LIMIT_NAME_BYTES];
    struct solver *solver;
    struct policy_program *program;
    char provider[LIMIT_NAME_BYTES]; /* POLICY_PROVIDER: chosen; "" not yet */
    struct policy_gaps gaps;         /* POLICY_OPTIMUM */
};

/* Workload by workload (policy_greedy.c). ERR_NOT_FOUND: one has no place left. */
int policy_greedy(const struct cost_input *input, bool nearest, struct arena *arena,
                  struct placement *to, struct error *err) WARN_UNUSED;
