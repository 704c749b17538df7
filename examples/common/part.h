/*
 * part: what a workload of these examples knows of itself: the subject that it serves, where it
 * runs, and how slow the processor there is.
 *
 * A part of a split workload serves svc.<namespace>.<part>, a workload that is not split
 * svc.<namespace>.<workload>. Whoever asks tries the part's own subject first and then those of its
 * family in their order, as parts that share are served by the first of them (drive.h).
 *
 * A site's `speed` in a world document is what its processors really do. On one machine all sites
 * have the same one: --speed SITE=0.4 lets the program take 1 / 0.4 of its CPU time there, which
 * stands for the slower processor as the demo's proxy stands for distance.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PART_SUBJECT_BYTES 160

struct part {
    char subject[PART_SUBJECT_BYTES];
    const char *site; /* "here" when nobody says */
    int64_t speed_ppm;
};

/* From the environment of the workload contract; by hand it is svc.default.<fallback>. */
void part_init(struct part *part, const char *fallback);
/* The value of one --speed; false: it is not SITE=RATIO with a ratio between 0.01 and 100. */
bool part_speed(struct part *part, const char *value);
/* CPU time of this thread. */
int64_t part_cpu_us(void);
/* Spends what is left of `work_us`, as it would be at speed 1, after `begun_us` of part_cpu_us;
 * with work_us 0, what was spent since then counts as the work. */
void part_finish(const struct part *part, int64_t begun_us, int64_t work_us);
