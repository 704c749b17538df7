/*
 * log: one structured line per event on standard error: `time level event key=value ...`, or JSON
 * with log_set_json. Only shells log; library code returns errors. Event names are stable and
 * dotted ("handoff.step"); ids are always present. Any thread: a line is one write(2).
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level); /* default LOG_INFO; $BERTH_LOG=debug at start */
void log_set_json(bool on);
void log_set_program(const char *name);
bool log_enabled(enum log_level level);

/* log_event(LOG_INFO, "node.hello", "node=%s site=%s", node, site): the format's spaces separate
 * the pairs; a value with a space is quoted by the caller with %Q is not offered: use '"%s"'. */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
