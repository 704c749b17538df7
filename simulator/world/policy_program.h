/*
 * policy_program: a user's own policy: a program that reads one JSON line for every decision on
 * standard input and answers with one line on standard output.
 *
 *     -> {"at": "2026-01-01T12:00:00Z", "sites": [{"name", "tier", "provider", "up", "cpu",
 * "memory"}], "workloads": [{"name": "default/shop/web", "site": "edge/nyc" or null, "calls":
 * 200.0, "cpu", "memory", "replicas", "sites": ["edge/nyc", ...]}]}
 *     <- {"place": {"default/shop/web": "aws/us-east-1"}}
 *
 * `sites` of a workload are those where its tier, tags and pin let it run. Workloads that an answer
 * leaves out stay. A program that cannot be started, ends, does not answer within the scenario's
 * program_timeout, or answers what is no such line is a named error, told once; from then on its
 * last placement stays. It is ended with the policy. One thread.
 */
#pragma once

#include "base/str.h"
#include "simulator/world/policy.h"

struct policy_program;

int policy_program_open(const struct scenario *scenario, const struct scenario_policy *what,
                        struct policy_program **ret_program, struct error *err) WARN_UNUSED;
void policy_program_close(struct policy_program *program); /* NULL is accepted */
/* As policy_place. ERR_UNAVAILABLE, ERR_TIMEOUT, ERR_INVALID: everything stays. */
int policy_program_place(struct policy_program *program, const struct cost_input *input,
                         struct arena *arena, struct placement *to, struct error *err) WARN_UNUSED;

/* The two lines by themselves, for tests and fuzzing. */
int policy_program_ask(const struct cost_input *input, struct strbuf *out,
                       struct error *err) WARN_UNUSED;
int policy_program_read(const char *line, const struct cost_input *input, struct placement *to,
                        struct error *err) WARN_UNUSED;
