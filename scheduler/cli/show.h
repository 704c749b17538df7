/*
 * show: quantities of JSON bodies as people read them. Money comes as a decimal string of dollars
 * and is shown with 2 decimals, 4 below a dollar; what cannot be read is shown as it came. And the
 * few readers of JSON objects that every command needs: an absent field is "" or 0. Any thread.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/decimal.h"

#define SHOW_BYTES 80

const char *show_money(const char *dollars, char out[SHOW_BYTES]); /* "$1,234.50", "$0.0021" */
const char *show_money_change(const char *dollars, char out[SHOW_BYTES]); /* "+$1.25", "$0" */
/* after - before, both decimal strings, as show_money_change. */
const char *show_money_difference(const char *before, const char *after, char out[SHOW_BYTES]);
int show_money_sign(const char *dollars); /* -1, 0, 1 */
const char *show_duration(int64_t us,
                          char out[SHOW_BYTES]); /* "850 us", "40 ms", "1.23 s", "2 min 5 s" */
const char *show_instant(int64_t wall_us, char out[SHOW_BYTES]); /* "2026-11-22 00:21:07.123Z" */
const char *show_bytes(int64_t bytes, char out[SHOW_BYTES]);
const char *show_mcpu(int64_t mcpu, char out[SHOW_BYTES]); /* "0.25" CPUs */
/* "87 %" and the like, for the estimates: the value in the unit of its kind. */
const char *show_estimate(const char *kind, int64_t value, char out[SHOW_BYTES]);

const char *json_text(const json_t *object, const char *key);
int64_t json_number(const json_t *object, const char *key);
bool json_truth(const json_t *object, const char *key);
void cleanup_json(json_t **json);
