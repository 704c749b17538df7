#include "executors/node/core/node_core.h"

#include <limits.h>
#include <stdint.h>

const char *const node_want_words[] = {"staged", "serve", "held", "gone", NULL};

/* clang-format off: one field per line is the table that people read. */
static const struct wire_field node_record_fields[] = {
    WIRE_FIELD_STR(node_record, instance, 0),
    WIRE_FIELD_STRUCT(node_record, epoch, 0, &epoch_shape),
    WIRE_FIELD_STR(node_record, last_command, WIRE_OPTIONAL),
    WIRE_FIELD_I32(node_record, last_code, WIRE_OPTIONAL, -999, 999),
    WIRE_FIELD_ENUM(node_record, state, 0, instance_state_words),
    WIRE_FIELD_ENUM(node_record, want, 0, node_want_words),
    WIRE_FIELD_I32(node_record, restarts, WIRE_OPTIONAL, 0, INT_MAX),
    WIRE_FIELD_I32(node_record, exit_code, WIRE_OPTIONAL, -1, 1023),
    WIRE_FIELD_I32(node_record, error_code, WIRE_OPTIONAL, -999, 999),
    WIRE_FIELD_STR(node_record, detail, WIRE_OPTIONAL),
    WIRE_FIELD_STRUCT(node_record, spec, WIRE_OPTIONAL, &message_spec_shape),
    WIRE_FIELD_STRUCT(node_record, owner, WIRE_OPTIONAL, &epoch_shape),
    WIRE_FIELD_I64(node_record, own_by_us, WIRE_OPTIONAL, 0, INT64_MAX),
    WIRE_FIELD_BOOL(node_record, granted, WIRE_OPTIONAL),
    WIRE_FIELD_TEXT(node_record, handed, WIRE_OPTIONAL, LIMIT_HANDED_BYTES),
    WIRE_FIELD_I32(node_record, asked, WIRE_OPTIONAL, 0, INT_MAX),
    WIRE_FIELD_I32(node_record, round, WIRE_OPTIONAL, 0, INT_MAX),
    WIRE_FIELD_STRUCT(node_record, object, WIRE_OPTIONAL, &message_object_shape),
    WIRE_FIELD_STR(node_record, endpoint, WIRE_OPTIONAL),
};
/* clang-format on */

const struct wire_shape node_record_shape = {
    .type = "node.record",
    .version = 1,
    .size = sizeof(struct node_record),
    .fields = node_record_fields,
    .field_count = sizeof(node_record_fields) / sizeof(node_record_fields[0]),
};
