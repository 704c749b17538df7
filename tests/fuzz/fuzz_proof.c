/* Any bytes as a frame: none is taken that was not made with the key. And any bytes as a body: what
 * was sealed is taken, and is not with one bit turned, wherever the bytes say. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/keys/keys_internal.h"
#include "base/keys/proof.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proof_link link = {.proven = true, .sent = 1};
    struct strbuf text;
    struct error err = {0};
    uint64_t stamp = 0;
    uint8_t raw[NKEY_RAW_BYTES];
    char line[128];
    BERTH_ASSERT(keys_init(&err) == 0, "%s", err.text);
    memset(link.in, 7, sizeof(link.in));
    memset(link.out, 7, sizeof(link.out));
    BERTH_ASSERT(!proof_check(&link, "a.b", (const char *)data, size, &stamp),
                 "%zu bytes were taken that nobody sealed", size);
    size_t bytes = size < sizeof(line) - 1 ? size : sizeof(line) - 1;
    memcpy(line, data, bytes);
    line[bytes] = 0;
    (void)!nkey_public_raw(line, raw, &err);
    strbuf_init(&text, 1 << 20);
    proof_begin(&link, &text);
    strbuf_append(&text, (const char *)data, size);
    proof_end(&link, "a.b", proof_next(&link), &text);
    if (strbuf_error(&text, NULL) == 0) {
        BERTH_ASSERT(proof_check(&link, "a.b", text.text, text.bytes, &stamp) && stamp == link.sent,
                     "what was sealed is refused");
        size_t at = size == 0 ? 0 : data[0] * (size_t)257 % text.bytes;
        text.text[at] = (char)(text.text[at] ^ (1 << (size % 8)));
        BERTH_ASSERT(!proof_check(&link, "a.b", text.text, text.bytes, &stamp),
                     "byte %zu does not count", at);
    }
    strbuf_done(&text);
    return 0;
}
