/*
 * clock: instants that the compiler refuses to mix, all in microseconds.
 *
 * mono: CLOCK_MONOTONIC, for intervals inside one process. boot: CLOCK_BOOTTIME, for leases and
 * not_after (it counts through suspend). wall: UTC since 1970, for people and prices only; no
 * decision compares two wall instants of different machines. The pure machines never call the
 * _now functions: instants come in with events. Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct mono {
    int64_t us;
};
struct boot {
    int64_t us;
};
struct wall {
    int64_t us;
};

#define US_PER_MS   INT64_C(1000)
#define US_PER_S    INT64_C(1000000)
#define US_PER_HOUR (INT64_C(3600) * US_PER_S)

struct mono clock_mono_now(void);
struct boot clock_boot_now(void);
struct wall clock_wall_now(void);

/* The kernel's boot id ("xxxxxxxx-..."), which says whose CLOCK_BOOTTIME an instant is on. */
#define BOOT_ID_BYTES 40
int clock_boot_id(char out[BOOT_ID_BYTES]);

/* RFC 3339 in UTC with microseconds, e.g. 2026-11-22T00:21:07.123456Z. */
#define WALL_TEXT_BYTES 32
const char *wall_format(struct wall at, char out[WALL_TEXT_BYTES]);
