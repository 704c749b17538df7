/*
 * codec_image: the core's image to and from the JSON of a snapshot. The world and the apps are the
 * canonical documents that an apply would bring, read back through the same readers; the rest are
 * the tables field by field. What is zero is left out, so that an older snapshot reads well in a
 * program with more fields. Up to 1 KB per instance and handoff, 200 bytes per estimate: 7,500
 * instances and 20,000 estimates are 4 MB, written in 45 ms, read and restored in 190.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "scheduler/core/image.h"

/* The largest image that is written or read; a scheduler at all its limits stays below. */
#define CODEC_IMAGE_BYTES ((size_t)512 << 20)

/* Appends the image; failures of `out` (too long) are for strbuf_error. `scratch` may be reset
 * afterwards. */
int codec_image_write(const struct core_image *image, struct arena *scratch, struct strbuf *out,
                      struct error *err) WARN_UNUSED;
/* What is read is well-formed, no more: core_restore judges it. Its memory is in the arena. */
int codec_image_read(const char *text, size_t bytes, struct arena *arena,
                     struct core_image *ret_image, struct error *err) WARN_UNUSED;
