/* What the readers of formats share. */
#pragma once

#include "tests/bench/solver/formats.h"
#include "tests/bench/solver/scan.h"

int format_wcsp(struct scan *scan, struct arena *arena, struct grid *grid,
                struct error *err) WARN_UNUSED;
int format_no_memory(struct error *err);
