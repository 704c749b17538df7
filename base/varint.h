/*
 * varint: whole numbers in as few bytes as they need, seven bits each, the low ones first; for what
 * is kept in a database. Numbers that may be below 0 are zigzagged: 0, -1, 1, -2, ...
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define VARINT_BYTES 10 /* the most that one takes */

struct varint_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool broken; /* a number did not end: it and all further ones are 0 */
};

static inline void varint_put(uint8_t **at, uint64_t value)
{
    while (value >= 128) {
        *(*at)++ = (uint8_t)(value | 128);
        value >>= 7;
    }
    *(*at)++ = (uint8_t)value;
}

static inline void varint_put_signed(uint8_t **at, int64_t value)
{
    varint_put(at, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

static inline uint64_t varint_get(struct varint_reader *reader)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && reader->at < reader->end; shift += 7) {
        uint8_t byte = *reader->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return value;
    }
    reader->broken = true;
    reader->at = reader->end;
    return 0;
}

static inline int64_t varint_get_signed(struct varint_reader *reader)
{
    uint64_t value = varint_get(reader);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}
