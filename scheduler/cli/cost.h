/*
 * cost: reading the dates of `berth cost`. Any thread.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "scheduler/ledger/ledger.h"

/* "2026-11-01", "2026-11-01T13", "2026-11-01T13:00Z", in UTC. */
int cost_date(const char *text, int64_t *ret_us, struct error *err) WARN_UNUSED;
