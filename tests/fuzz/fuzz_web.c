/* What the web example and its clients are sent: heads of requests and answers, and frames. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "examples/web/http.h"
#include "examples/web/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void within(const char *text, size_t size, struct http_text part)
{
    BERTH_ASSERT(part.bytes == 0 || (part.at >= text && part.at + part.bytes <= text + size),
                 "a part of the head is outside of it");
}

static void take_head(const char *text, size_t size, bool request)
{
    struct http_head head;
    struct http_text value;
    enum http_parsed parsed =
        request ? http_request_parse(text, size, &head) : http_response_parse(text, size, &head);
    if (parsed != HTTP_WHOLE)
        return;
    BERTH_ASSERT(head.head_bytes <= size && head.head_bytes <= HTTP_HEAD_MAX, "%zu",
                 head.head_bytes);
    BERTH_ASSERT(!head.chunked || head.body_bytes <= 0, "two lengths");
    within(text, head.head_bytes, head.method);
    within(text, head.head_bytes, head.target);
    for (int i = 0; i < head.header_count; i++) {
        within(text, head.head_bytes, head.headers[i].name);
        within(text, head.head_bytes, head.headers[i].value);
        (void)http_list_has(head.headers[i].value, "close");
    }
    if (http_query(head.target, "bytes", &value))
        within(text, head.head_bytes, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct websocket_frame frame;
    char *text = malloc(size == 0 ? 1 : size); /* exactly: a byte too far is seen */
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    take_head(text, size, true);
    take_head(text, size, false);
    for (int from_client = 0; from_client < 2; from_client++)
        if (websocket_parse((const uint8_t *)text, size, from_client == 1, &frame) == 1) {
            uint8_t again[WEBSOCKET_HEAD_MAX];
            size_t bytes = websocket_head(frame.opcode, frame.payload_bytes,
                                          frame.masked ? frame.mask : NULL, again);
            BERTH_ASSERT(bytes == frame.head_bytes && bytes <= size, "%zu", bytes);
            BERTH_ASSERT(!frame.last || memcmp(again, text, bytes) == 0, "another head");
        }
    free(text);
    return 0;
}
