/*
 * plan: a plan's JSON (docs/control.md) as people read it: what moves and why, the cost before and
 * after term by term, how near to the best possible. One thread.
 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/str.h"

int plan_write(const json_t *plan, bool color, struct strbuf *out, struct error *err) WARN_UNUSED;
/* Ledger lines, as `berth cost` and --lines show them. */
int plan_lines_write(const json_t *lines, bool color, struct strbuf *out,
                     struct error *err) WARN_UNUSED;
