#include "examples/web/websocket.h"

#include <string.h>

/* SHA-1 is what the handshake is made of; it keeps no secret there. */
struct sha1 {
    uint32_t h[5];
    uint8_t block[64];
    uint64_t bytes;
};

static void sha1_add(struct sha1 *sha, const void *data, size_t bytes);
static void sha1_end(struct sha1 *sha, uint8_t out[20]);
static void sha1_block(struct sha1 *sha);
static uint32_t rotate(uint32_t value, int by);
static void base64(const uint8_t in[20], char out[WEBSOCKET_ACCEPT_BYTES]);

int websocket_parse(const uint8_t *data, size_t bytes, bool from_client,
                    struct websocket_frame *ret_frame)
{
    if (bytes < 2)
        return 0;
    struct websocket_frame frame = {.opcode = data[0] & 15,
                                    .last = (data[0] & 128) != 0,
                                    .masked = (data[1] & 128) != 0,
                                    .head_bytes = 2,
                                    .payload_bytes = data[1] & 127};
    bool control = frame.opcode >= WEBSOCKET_CLOSE;
    bool known = frame.opcode <= WEBSOCKET_BINARY || (control && frame.opcode <= WEBSOCKET_PONG);
    if ((data[0] & 0x70) != 0 || !known || frame.masked != from_client ||
        (control && (!frame.last || frame.payload_bytes > 125)))
        return -1;
    int size_bytes = frame.payload_bytes == 126 ? 2 : frame.payload_bytes == 127 ? 8 : 0;
    if (bytes < frame.head_bytes + (size_t)size_bytes + (frame.masked ? 4 : 0))
        return 0;
    if (size_bytes > 0) {
        uint64_t size = 0;
        for (int i = 0; i < size_bytes; i++)
            size = size << 8 | data[frame.head_bytes++];
        if (size > INT64_MAX || size < (size_bytes == 2 ? 126u : 65536u))
            return -1; /* not the shortest form */
        frame.payload_bytes = size;
    }
    if (frame.masked) {
        memcpy(frame.mask, data + frame.head_bytes, 4);
        frame.head_bytes += 4;
    }
    *ret_frame = frame;
    return 1;
}

void websocket_mask(uint8_t *payload, size_t bytes, const uint8_t mask[4])
{
    for (size_t i = 0; i < bytes; i++)
        payload[i] ^= mask[i & 3];
}

size_t websocket_head(int opcode, uint64_t payload_bytes, const uint8_t *mask,
                      uint8_t out[WEBSOCKET_HEAD_MAX])
{
    size_t at = 2;
    int size_bytes = payload_bytes < 126 ? 0 : payload_bytes < 65536 ? 2 : 8;
    out[0] = (uint8_t)(128 | opcode);
    out[1] = size_bytes == 0 ? (uint8_t)payload_bytes : size_bytes == 2 ? 126 : 127;
    for (int i = size_bytes - 1; i >= 0; i--)
        out[at++] = (uint8_t)(payload_bytes >> (8 * i));
    if (mask != NULL) {
        out[1] |= 128;
        memcpy(out + at, mask, 4);
        at += 4;
    }
    return at;
}

int websocket_close_code(const uint8_t *payload, size_t bytes)
{
    return bytes < 2 ? 1005 : payload[0] << 8 | payload[1];
}

void websocket_accept(const char *key, size_t bytes, char out[WEBSOCKET_ACCEPT_BYTES])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    struct sha1 sha = {.h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
    uint8_t digest[20];
    sha1_add(&sha, key, bytes);
    sha1_add(&sha, magic, sizeof magic - 1);
    sha1_end(&sha, digest);
    base64(digest, out);
}

static void sha1_add(struct sha1 *sha, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++) {
        sha->block[sha->bytes++ % 64] = at[i];
        if (sha->bytes % 64 == 0)
            sha1_block(sha);
    }
}

static void sha1_end(struct sha1 *sha, uint8_t out[20])
{
    static const uint8_t one = 128, zero = 0;
    uint64_t bits = sha->bytes * 8;
    sha1_add(sha, &one, 1);
    while (sha->bytes % 64 != 56)
        sha1_add(sha, &zero, 1);
    for (int i = 7; i >= 0; i--) {
        uint8_t byte = (uint8_t)(bits >> (8 * i));
        sha1_add(sha, &byte, 1);
    }
    for (int i = 0; i < 20; i++)
        out[i] = (uint8_t)(sha->h[i / 4] >> (24 - 8 * (i % 4)));
}

static void sha1_block(struct sha1 *sha)
{
    uint32_t w[80];
    uint32_t a = sha->h[0], b = sha->h[1], c = sha->h[2], d = sha->h[3], e = sha->h[4];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)sha->block[4 * i] << 24 | (uint32_t)sha->block[4 * i + 1] << 16 |
               (uint32_t)sha->block[4 * i + 2] << 8 | sha->block[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
        uint32_t f = i < 20   ? (b & c) | (~b & d)
                     : i < 40 ? b ^ c ^ d
                     : i < 60 ? (b & c) | (b & d) | (c & d)
                              : b ^ c ^ d;
        uint32_t next = rotate(a, 5) + f + e + k[i / 20] + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    sha->h[0] += a;
    sha->h[1] += b;
    sha->h[2] += c;
    sha->h[3] += d;
    sha->h[4] += e;
}

static uint32_t rotate(uint32_t value, int by)
{
    return value << by | value >> (32 - by);
}

static void base64(const uint8_t in[20], char out[WEBSOCKET_ACCEPT_BYTES])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;
    for (int i = 0; i < 21; i += 3) {
        uint32_t group = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 |
                         (i + 2 < 20 ? (uint32_t)in[i + 2] : 0u);
        for (int k = 18; k >= 0; k -= 6)
            out[at++] = letters[group >> k & 63];
    }
    out[27] = '='; /* 20 bytes end in a group of two */
    out[28] = 0;
}
