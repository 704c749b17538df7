/*
 * websocket: frames of RFC 6455 and the answer to its handshake. Nothing is allocated; a frame's
 * payload stays where it was read and is unmasked in place.
 *
 * No extensions: the reserved bits must be 0. Control frames are whole and at most 125 bytes.
 * Messages cut into several frames are left to the caller. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum websocket_opcode {
    WEBSOCKET_MORE = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_CLOSE = 8,
    WEBSOCKET_PING = 9,
    WEBSOCKET_PONG = 10
};

/* Why a websocket was closed, as the closing frame says it. */
#define WEBSOCKET_NORMAL     1000
#define WEBSOCKET_GOING_AWAY 1001
#define WEBSOCKET_WRONG      1002 /* a frame that is none */
#define WEBSOCKET_LOST       1006 /* no closing frame came: never sent, only reported */
#define WEBSOCKET_TOO_LARGE  1009
#define WEBSOCKET_RESTART    1012 /* "service restart": come back, after a moment of your own */

#define WEBSOCKET_HEAD_MAX     14
#define WEBSOCKET_ACCEPT_BYTES 29

struct websocket_frame {
    int opcode;
    bool last; /* of its message */
    bool masked;
    uint8_t mask[4];
    size_t head_bytes;
    uint64_t payload_bytes;
};

/* 1: *ret_frame is the head of a frame (the payload may not be there yet); 0: more bytes are
 * needed; -1: no frame. `from_client`: such frames must be masked, others must not. */
int websocket_parse(const uint8_t *data, size_t bytes, bool from_client,
                    struct websocket_frame *ret_frame);
void websocket_mask(uint8_t *payload, size_t bytes, const uint8_t mask[4]); /* and unmask */
/* Writes the head of a whole message; `mask` NULL: none. Returns its bytes. */
size_t websocket_head(int opcode, uint64_t payload_bytes, const uint8_t *mask,
                      uint8_t out[WEBSOCKET_HEAD_MAX]);
/* The code in a closing frame's payload; 1005 when it has none. */
int websocket_close_code(const uint8_t *payload, size_t bytes);

/* What Sec-WebSocket-Accept must be for this Sec-WebSocket-Key. */
void websocket_accept(const char *key, size_t bytes, char out[WEBSOCKET_ACCEPT_BYTES]);
