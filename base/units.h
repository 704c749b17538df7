/*
 * units: quantities as people write them, parsed to integers and printed back.
 *
 * cpu: "250m", "0.5", "2" -> milli-CPUs. bytes: "64MiB", "10 GiB", "512", "1.5KB" -> bytes.
 * duration: "40ms", "2s", "1h30m", "250us" -> microseconds. rate: "200/s", "12/min" -> events
 * per 1000 s (milli-hertz), so that slow rates stay integers. byte rate: "2MiB/s", "1GB/day" ->
 * bytes per second. ratio: "0.85", "85%" -> millionths.
 * All refuse negatives, blanks in a number and unknown units (ERR_INVALID, naming the units known),
 * and what does not fit (ERR_OVERFLOW). What the smallest unit cannot hold is rounded half to even
 * ("1.1GiB"), but a fraction of the smallest unit itself ("0.5m", "1.5B") and a quantity that would
 * round to nothing are refused. A ratio has no upper bound here. Any thread.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

int units_cpu(const char *text, int64_t *ret_mcpu, struct error *err) WARN_UNUSED;
int units_bytes(const char *text, int64_t *ret_bytes, struct error *err) WARN_UNUSED;
int units_duration(const char *text, int64_t *ret_us, struct error *err) WARN_UNUSED;
int units_rate(const char *text, int64_t *ret_mhz, struct error *err) WARN_UNUSED;
int units_byte_rate(const char *text, int64_t *ret_bytes_s, struct error *err) WARN_UNUSED;
int units_ratio(const char *text, int64_t *ret_ppm, struct error *err) WARN_UNUSED;

#define UNITS_TEXT_BYTES 32
const char *units_format_bytes(int64_t bytes, char out[UNITS_TEXT_BYTES]); /* "1.5 GiB" */
const char *units_format_duration(int64_t us, char out[UNITS_TEXT_BYTES]); /* "40 ms" */
const char *units_format_rate(int64_t mhz, char out[UNITS_TEXT_BYTES]);    /* "200/s" */
const char *units_format_ratio(int64_t ppm, char out[UNITS_TEXT_BYTES]);   /* "85 %" */
