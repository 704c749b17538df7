/* operate: moves of many at once: `berth move --from`, `berth evacuate`, `berth drain`. */
#pragma once

#include "base/str.h"
#include "scheduler/cli/client.h"

struct operate_options {
    const char *from;
    const char *to;
    int64_t at_once;
    bool dry_run;
    bool yes;
    bool no_wait;
};

/* The rows of how it is carried out, in a table of options of `type`, whose `at` (with its dot, or
 * nothing) is a struct operate_options; `when` begins their help. */
#define OPERATE_ROWS(type, at, when)                                         \
    {"at-once",                                                              \
     0,                                                                      \
     OPTION_INT,                                                             \
     "N",                                                                    \
     when "moves under way at once (default: the world's policy.moves)",     \
     offsetof(type, at at_once),                                             \
     1,                                                                      \
     1024},                                                                  \
        {"dry-run",                                                          \
         'n',                                                                \
         OPTION_FLAG,                                                        \
         NULL,                                                               \
         when "show the steps, their order and cost, and change nothing",    \
         offsetof(type, at dry_run),                                         \
         0,                                                                  \
         0},                                                                 \
        {"yes",                                                              \
         'y',                                                                \
         OPTION_FLAG,                                                        \
         NULL,                                                               \
         when "do not ask first (on a terminal)",                            \
         offsetof(type, at yes),                                             \
         0,                                                                  \
         0},                                                                 \
    {                                                                        \
        "no-wait", 0, OPTION_FLAG, NULL, when "do not follow it to its end", \
            offsetof(type, at no_wait), 0, 0                                 \
    }

/* What leaves: an app, a workload of it, or (NULL) everything at the place. */
int operate_run(struct cli *cli, const struct operate_options *options,
                const struct reference *reference, bool cordon, struct error *err) WARN_UNUSED;
/* The answer of `prepare` as people read it. */
int operate_write(const json_t *json, bool color, struct strbuf *out,
                  struct error *err) WARN_UNUSED;
