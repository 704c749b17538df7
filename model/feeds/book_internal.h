/* book_internal: what the book's files share (book.h). Only they include it. */
#pragma once

#include "base/arena.h"
#include "model/feeds/book.h"
#include "model/feeds/sku_map.h"

struct book {
    struct arena arena;
    struct sku_map map;           /* to entries */
    struct book_figure **list;    /* in order */
    struct book_figure **entries; /* as they came */
    int count;
};

/* The figure, made when there is none. */
int book_entry(struct book *book, const char *site, enum feed_kind kind, enum feed_term term,
               const char *to, struct book_figure **ret_entry, struct error *err) WARN_UNUSED;
/* Adds a copy; past LIMIT_FEED_VERSIONS the oldest goes. */
int book_add_version(struct book *book, struct book_figure *entry,
                     const struct book_version *version, struct error *err) WARN_UNUSED;
int book_no_memory(struct error *err);
