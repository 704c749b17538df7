/*
 * explain: what `berth explain` writes beside the candidates: each input by itself, and where it
 * would have to be for another place to win. Any thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"

/* The nearest 8 of the answer's `flips` as a table, or all; nothing when there are none. */
int explain_flips_write(const json_t *flips, bool all, bool color, struct strbuf *out,
                        struct error *err);
