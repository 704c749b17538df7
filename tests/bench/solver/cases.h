/* cases: the sets of instances of the solver's table; see row.h. */
#pragma once

#include "tests/bench/solver/row.h"

/* "single", "trees", "cycles": from seeds. */
void cases_generated(struct row_list *list, const struct row_options *options);
/* "gap", "ctap", "tap", "qsap", "wcsp": published, from options->data, with what is known. */
void cases_public(struct row_list *list, const struct row_options *options);
/* Benchmarks with tables of their own. */
void cases_programs(struct row_list *list, const struct row_options *options);
