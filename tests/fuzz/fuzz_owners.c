/* What the owners among the examples are sent: requests to the ledger and its file, the counter's
 * state as it is handed over, exports of the store, and where a stream's messages stand. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "examples/counter/tally.h"
#include "examples/kvstate/store.h"
#include "examples/ledger-resource/ledger.h"
#include "examples/replay/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_ledger(const char *text, size_t size)
{
    static char out[LEDGER_ANSWER_MAX];
    struct ledger ledger;
    struct error err = {0};
    size_t whole = 0;
    if (ledger_open(&ledger, NULL, &err) < 0)
        return;
    if (ledger_load(&ledger, text, size, &whole, &err) == 0)
        BERTH_ASSERT(whole <= size, "%zu of %zu", whole, size);
    for (size_t at = 0; at < size;) { /* each line is a request */
        const char *end = memchr(text + at, '\n', size - at);
        size_t bytes = end == NULL ? size - at : (size_t)(end - (text + at));
        struct berth_epoch before = ledger.fence.highest;
        ledger_answer(&ledger, text + at, bytes, out);
        BERTH_ASSERT(berth_epoch_compare(before, ledger.fence.highest) <= 0, "the fence sank");
        at += bytes + 1;
    }
    ledger_close(&ledger);
}

static void take_tally(const char *text, size_t size)
{
    static struct tally tally, again;
    static char copy[65536], back[65536];
    if (size >= sizeof copy)
        return;
    memcpy(copy, text, size);
    copy[size] = 0;
    if (tally_read(&tally, copy, ',') < 0)
        return;
    tally_write(&tally, sizeof back, back, sizeof back);
    BERTH_ASSERT(tally_read(&again, back, ',') == 0, "%s", back);
    BERTH_ASSERT(again.count == tally.count && again.kept == tally.kept, "%s", back);
}

static void take_position(const char *text, size_t size)
{
    char reply[600];
    uint64_t sequence = 1, delivery = 1, pending = 1;
    str_format(reply, sizeof reply, "$JS.ACK.%.*s", size > 500 ? 500 : (int)size, text);
    if (replay_position(reply, &sequence, &delivery, &pending) < 0)
        BERTH_ASSERT(sequence == 1 && delivery == 1 && pending == 1, "written: %s", reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    static struct store store;
    char *text = malloc(size == 0 ? 1 : size);
    if (text == NULL || (store.memory == NULL && store_init(&store, 1, &err) < 0)) {
        free(text);
        return 0;
    }
    if (size > 0)
        memcpy(text, data, size);
    take_ledger(text, size);
    take_position(text, size);
    take_tally(text, size);
    if (store_import_bytes(&store, (const uint8_t *)text, size, &err) == 0 &&
        store_check(&store, &err) < 0)
        BERTH_ASSERT(err.code == ERR_CORRUPT, "%s", err.text); /* pages are not looked into */
    free(text);
    return 0;
}
