/*
 * codec: core events and effects to and from the JSON of the journal. APPLY and WORLD carry the
 * canonical document text (app_write, world_write) and are read back through the same readers, so
 * a record is legible and replays through the same checks. Decoded memory is in the arena.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "scheduler/core/core.h"

void codec_event_write(const struct core_event *event, struct strbuf *out);
int codec_event_read(const char *text, size_t bytes, struct arena *arena,
                     struct core_event *ret_event, struct error *err) WARN_UNUSED;
void codec_effects_write(const struct core_effects *effects, struct strbuf *out);
