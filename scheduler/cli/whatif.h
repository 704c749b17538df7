/*
 * whatif: the parts of `berth whatif`: where the state comes from (whatif_load.c), what is printed
 * (whatif_text.c). One thread.
 */
#pragma once

#include "scheduler/cli/cli.h"
#include "simulator/whatif/report.h"

struct whatif_source {
    const char *world; /* a file, with apps; NULL */
    const char *const *apps;
    int app_count;
    const char *state; /* a file that --save wrote; NULL: the scheduler is asked */
    const char *save;  /* the state is written there; NULL: it is not */
};

/* Into the arena. */
int whatif_load(const struct cli *cli, const struct whatif_source *source, struct arena *arena,
                struct cost_state *ret_state, struct error *err) WARN_UNUSED;
/* All of a file, or of standard input for "-". */
int whatif_read(const char *path, struct strbuf *out, struct error *err) WARN_UNUSED;
/* To a temporary name beside it first: the file is complete or not there. */
int whatif_write(const char *path, const struct strbuf *text, struct error *err) WARN_UNUSED;

/* One override: the wished-for site's text may be a file's. */
int whatif_add_site(const char *given, struct arena *arena, char **ret_text,
                    struct error *err) WARN_UNUSED;

int whatif_text(const struct whatif_report *report, bool color, struct strbuf *out,
                struct error *err) WARN_UNUSED;
