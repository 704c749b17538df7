/*
 * contract_line: one line of the workload contract, as Berth's side reads it. The words are those
 * of berth_workload.h; what a workload sends is outside bytes, so anything else is refused with an
 * error that says why, and changes nothing. No state; any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/wire/messages.h"

enum contract_word {
    CONTRACT_READY,
    CONTRACT_DRAINED,
    CONTRACT_RESUMED,
    CONTRACT_COUNT,
    CONTRACT_FROZEN, /* text: what it hands over, without blanks; may be "" */
    CONTRACT_OWNED,
    CONTRACT_SNAPSHOTTED, /* round */
    CONTRACT_RESTORED,    /* round */
    CONTRACT_FAILED,      /* text: why; what cannot be printed is a '?' */
};

#define CONTRACT_COUNTERS 7 /* SAMPLE_REQUESTS .. SAMPLE_LATENCY_US_SUM */

struct contract_line {
    enum contract_word word;
    int counter; /* COUNT: enum sample_kind */
    int64_t total;
    int round;                         /* from 1 */
    char text[LIMIT_HANDED_BYTES + 1]; /* FAILED: at most LIMIT_TEXT_BYTES - 56 of it */
};

/* `bytes` without the line's end. */
int contract_line_parse(const char *text, size_t bytes, struct contract_line *ret_line,
                        struct error *err) WARN_UNUSED;
