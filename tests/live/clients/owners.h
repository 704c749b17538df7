/*
 * owners: who answered, by epoch: finds two owners at once and measures the pause between one owner
 * and the next, from the answers alone.
 *
 * Two at once: an answer by an epoch, to a request that was sent after an answer by a higher epoch
 * had come. The pause: from the last answer of one owner to the first of the next. Pure; one
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/limits.h"
#include "executors/contract/berth_fence.h"

#define OWNERS_MAX 4096

struct owners_one {
    struct berth_epoch epoch;
    char instance[LIMIT_ID_BYTES];
    int64_t first_us;
    int64_t last_us;
    int64_t answers;
};

struct owners {
    struct owners_one list[OWNERS_MAX]; /* by rising epoch */
    int count;
    int64_t too_many; /* answers by owners past OWNERS_MAX: not judged */
    int64_t at_once;  /* answers by an owner of before */
};

/* False when this answer shows two owners at once. */
bool owners_answer(struct owners *owners, struct berth_epoch epoch, const char *instance,
                   int64_t sent_us, int64_t now_us);
/* The pause before list[index], which is not the first; 0 when their answers overlap. */
int64_t owners_pause_us(const struct owners *owners, int index);
int64_t owners_longest_us(const struct owners *owners);
/* Members, without braces around. turns_us: for each pause, its two ends on CLOCK_MONOTONIC. */
void owners_json(const struct owners *owners, FILE *out);
