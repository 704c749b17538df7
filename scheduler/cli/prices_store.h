/*
 * prices_store: where price lists go: a folder with the price book and what was fetched.
 *
 *     book.json     the price book (model/feeds/book.h), replaced as a whole
 *     lock          held by the import that is writing
 *     feeds/        lists as they came, with their ETags, so that an unchanged one is not sent
 * again
 *
 * The folder is: --book, else $BERTH_PRICES, else prices/ in the folder of a Berth that is found
 * (find_dir.h), else berth/prices in $XDG_STATE_HOME or ~/.local/state. A reader needs no lock: it
 * sees the book before an import or after it. One thread.
 */
#pragma once

#include "model/feeds/book.h"
#include "scheduler/cli/cli.h"

/* `given` is --book's, or NULL. The folder need not exist. */
int prices_store_folder(const struct cli *cli, const char *given, char out[LIMIT_PATH_BYTES],
                        struct error *err) WARN_UNUSED;
/* Makes it, and takes it for this process until the descriptor is closed. ERR_LOCKED. */
int prices_store_lock(const char *folder, int *ret_fd, struct error *err) WARN_UNUSED;
/* The book, empty where there is none. */
int prices_store_read(const char *folder, struct book **ret_book, struct error *err) WARN_UNUSED;
/* Replaces it: after a crash at any instant there is the old one or the new one. */
int prices_store_write(const char *folder, const struct book *book, struct error *err) WARN_UNUSED;
/* Where a URL's list is kept: its file, and beside it the ETag of what was read to its end. */
int prices_store_feed(const char *folder, const char *url, char out[LIMIT_PATH_BYTES],
                      struct error *err) WARN_UNUSED;
void prices_store_etag(const char *feed, char out[LIMIT_TEXT_BYTES]); /* "": there is none */
int prices_store_keep_etag(const char *feed, const char *etag, struct error *err) WARN_UNUSED;
/* The book as a world document (book_world), over what the built-in catalogue knows, which
 * is the view's `catalogue`, whatever that was. */
int prices_store_world(const char *folder, const struct book_view *view, struct strbuf *out,
                       struct error *err) WARN_UNUSED;
