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

/* What leaves: an app, a workload of it, or (NULL) everything at the place. */
int operate_run(struct cli *cli, const struct operate_options *options,
                const struct reference *reference, bool cordon, struct error *err) WARN_UNUSED;
/* The answer of `prepare` as people read it. */
int operate_write(const json_t *json, bool color, struct strbuf *out,
                  struct error *err) WARN_UNUSED;
