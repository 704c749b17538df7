/* What a workload sends: cut into lines in pieces of every size, each understood or refused. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "executors/contract/contract_line.h"
#include "executors/drivers/process/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *context, const char *text, size_t bytes, bool end)
{
    size_t *total = context;
    struct contract_line line;
    struct error err;
    *total += bytes + (end ? 1 : 0);
    if (contract_line_parse(text, bytes, &line, &err) < 0)
        return;
    BERTH_ASSERT(line.word != CONTRACT_COUNT ||
                     (line.counter >= SAMPLE_REQUESTS && line.counter <= SAMPLE_LATENCY_US_SUM &&
                      line.total >= 0),
                 "a counter out of range");
    BERTH_ASSERT((line.word != CONTRACT_SNAPSHOTTED && line.word != CONTRACT_RESTORED) ||
                     line.round >= 1,
                 "a round out of range");
    for (const char *at = line.text; *at != 0; at++)
        BERTH_ASSERT(*at >= ' ' && *at <= '~' && (*at != ' ' || line.word == CONTRACT_FAILED),
                     "text that a message cannot hold");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char buffer[LIMIT_SOCKET_LINE];
    struct lines lines;
    size_t total = 0;
    /* Mostly so short that a word is cut in the middle. */
    lines_init(&lines, buffer, size % 4 == 0 ? sizeof(buffer) : 64);
    for (size_t at = 0; at < size;) {
        size_t room;
        char *to = lines_room(&lines, &room);
        size_t piece = 1 + data[at] % room;
        piece = piece > size - at ? size - at : piece;
        memcpy(to, data + at, piece);
        lines_take(&lines, piece, take, &total);
        at += piece;
    }
    lines_finish(&lines, take, &total);
    BERTH_ASSERT(total == size || total == size + 1, "%zu bytes became %zu", size, total);
    return 0;
}
