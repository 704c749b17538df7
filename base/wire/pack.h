/*
 * pack: the same messages, by the same tables (wire.h), in few bytes and without JSON: for what is
 * sent every second by every node. wire_decode and wire_type_of take both forms; who reads cannot
 * tell which it was.
 *
 * A packed message is the byte WIRE_PACKED, the form's version, the shape's type and version, then
 * its struct. A struct is a variable-length integer with a bit per field, in table order, that says
 * which fields follow; in an array, those that differ from the element before, so that a hundred
 * readings of one instance say its names once. Numbers are variable-length integers, signed ones
 * zigzag; texts their length, bytes and a zero.
 *
 * Fields are numbered by their place in the table: a shape that is sent packed may only grow at its
 * end, and a reader that meets a field past its own table refuses the message (ERR_UNSUPPORTED), so
 * readers are brought up to date before writers. No shape has more than 63 fields.
 */
#pragma once

#include "base/wire/wire.h"

#define WIRE_PACKED 0xB7 /* begins neither JSON nor UTF-8 */

/* Appends the packed message; failures are bugs, as with wire_encode. */
void wire_pack(const struct wire_shape *shape, const void *message, struct strbuf *out);

/* For wire.c: text[0] is WIRE_PACKED. As wire_decode. */
int wire_unpack(const struct wire_shape *shape, const char *text, size_t bytes, struct arena *arena,
                void *ret_message, struct error *err) WARN_UNUSED;
int wire_packed_type(const char *text, size_t bytes, char *out, size_t capacity,
                     struct error *err) WARN_UNUSED;
