/* Any bytes as a price book: what is taken is written to the same book again, and as a world. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/feeds/book.h"

#define TEXT_BYTES ((size_t)16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct book *book = NULL;
    struct book *again = NULL;
    struct error err;
    struct strbuf texts[2];
    if (book_read("fuzz", (const char *)data, size, &book, &err) < 0)
        return 0;
    for (int i = 0; i < 2; i++)
        strbuf_init(&texts[i], TEXT_BYTES);
    book_write(book, &texts[0]);
    if (strbuf_error(&texts[0], &err) == 0) {
        if (book_read("again", strbuf_text(&texts[0]), texts[0].bytes, &again, &err) < 0)
            BERTH_ASSERT(false, "%s", err.text);
        book_write(again, &texts[1]);
        BERTH_ASSERT(str_equal(strbuf_text(&texts[0]), strbuf_text(&texts[1])), "another book");
        strbuf_reset(&texts[1]);
        const struct book_view view = {.term = FEED_SPOT};
        (void)!book_world(again, &view, &texts[1], &err);
    }
    for (int i = 0; i < 2; i++)
        strbuf_done(&texts[i]);
    book_destroy(again);
    book_destroy(book);
    return 0;
}
