/*
 * scan: whole numbers from text, with the line of what is wrong. Shared by the readers of formats.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct scan {
    const char *at;
    const char *end;
    int line;
};

/* The next number, between least and most; `what` names it in the error. */
int scan_number(struct scan *scan, const char *what, int64_t least, int64_t most,
                int64_t *ret_value, struct error *err) WARN_UNUSED;
/* Passes over one word that is not a number's business: a name. */
int scan_word(struct scan *scan, const char *what, struct error *err) WARN_UNUSED;
