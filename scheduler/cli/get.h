/*
 * get: the things that `berth get` shows, as tables. One thread.
 */
#pragma once

#include <jansson.h>

#include "scheduler/cli/table.h"

/* The names of the kinds, in order; NULL after the last. */
const char *get_kind(int index);
/* The items of an answer as a table. */
int get_table(const char *kind, const json_t *items, bool wide, bool color, struct strbuf *out,
              struct error *err) WARN_UNUSED;
