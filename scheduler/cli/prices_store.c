#include "scheduler/cli/prices_store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/catalogue.h"
#include "scheduler/cli/find_dir.h"

#define CATALOGUE_BYTES ((size_t)256 << 20)
#define BOOK_TEXT_BYTES ((size_t)1 << 30)

static int make_folders(char *path, struct error *err);
static int read_whole(int fd, const char *path, struct strbuf *out, struct error *err);
static int write_whole(const char *path, const char *text, size_t bytes, struct error *err);

int prices_store_folder(const struct cli *cli, const char *given, char out[LIMIT_PATH_BYTES],
                        struct error *err)
{
    char found[LIMIT_PATH_BYTES];
    const char *named = given != NULL ? given : getenv("BERTH_PRICES");
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int bytes = -1;
    if (named != NULL && named[0] != 0)
        bytes = snprintf(out, LIMIT_PATH_BYTES, "%s", named);
    else if (folder_find(cli->common.dir, found, err) == 0)
        return folder_path(found, "prices", out, err);
    else if (cli->common.dir != NULL)
        return err->code;
    else if (state != NULL && state[0] == '/')
        bytes = snprintf(out, LIMIT_PATH_BYTES, "%s/berth/prices", state);
    else if (home != NULL && home[0] == '/')
        bytes = snprintf(out, LIMIT_PATH_BYTES, "%s/.local/state/berth/prices", home);
    else
        return error_set(err, ERR_NOT_FOUND, 0,
                         "there is no folder for the price book: name one with --book or "
                         "$BERTH_PRICES");
    return bytes < 0 || bytes >= LIMIT_PATH_BYTES
               ? error_set(err, ERR_LIMIT, 0, "the path of the price book has more than %d bytes",
                           LIMIT_PATH_BYTES - 1)
               : 0;
}

int prices_store_lock(const char *folder, int *ret_fd, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    int rc = folder_path(folder, "feeds", path, err);
    if (rc == 0)
        rc = make_folders(path, err);
    if (rc == 0)
        rc = folder_path(folder, "lock", path, err);
    if (rc < 0)
        return rc;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open '%s'", path);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int saved = errno;
        (void)close(fd);
        return error_set(err, saved == EWOULDBLOCK ? ERR_LOCKED : ERR_IO, saved,
                         "another import writes to %s: wait for it, or give this one a --book of "
                         "its own",
                         folder);
    }
    *ret_fd = fd;
    return 0;
}

int prices_store_read(const char *folder, struct book **ret_book, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    struct strbuf text;
    int rc = folder_path(folder, "book.json", path, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return book_create(ret_book, err);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open '%s'", path);
    strbuf_init(&text, BOOK_TEXT_BYTES);
    rc = read_whole(fd, path, &text, err);
    if (rc == 0)
        rc = book_read(path, strbuf_text(&text), text.bytes, ret_book, err);
    strbuf_done(&text);
    return rc;
}

int prices_store_write(const char *folder, const struct book *book, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    struct strbuf text;
    strbuf_init(&text, BOOK_TEXT_BYTES);
    book_write(book, &text);
    int rc = strbuf_error(&text, err);
    if (rc == 0)
        rc = folder_path(folder, "book.json", path, err);
    if (rc == 0)
        rc = write_whole(path, strbuf_text(&text), text.bytes, err);
    strbuf_done(&text);
    /* The rename itself has to last. */
    CLEANUP(cleanup_close) int fd = rc < 0 ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rc == 0 && (fd < 0 || fsync(fd) < 0))
        return error_set(err, ERR_IO, errno, "sync '%s'", folder);
    return rc;
}

int prices_store_feed(const char *folder, const char *url, char out[LIMIT_PATH_BYTES],
                      struct error *err)
{
    char name[64];
    str_format(name, sizeof(name), "feeds/%016" PRIx64, hash_str(HASH_SEED, url));
    return folder_path(folder, name, out, err);
}

void prices_store_etag(const char *feed, char out[LIMIT_TEXT_BYTES])
{
    char path[LIMIT_PATH_BYTES + 8];
    str_format(path, sizeof(path), "%s.etag", feed);
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 || access(feed, R_OK) < 0 ? 0 : read(fd, out, LIMIT_TEXT_BYTES - 1);
    out[bytes < 0 ? 0 : bytes] = 0;
}

int prices_store_keep_etag(const char *feed, const char *etag, struct error *err)
{
    char path[LIMIT_PATH_BYTES + 8];
    str_format(path, sizeof(path), "%s.etag", feed);
    if (etag[0] == 0) {
        (void)unlink(path);
        return 0;
    }
    return write_whole(path, etag, strlen(etag), err);
}

int prices_store_world(const char *folder, const struct book_view *view, struct strbuf *out,
                       struct error *err)
{
    struct arena arena;
    struct world catalogue;
    struct book *book = NULL;
    struct book_view over = *view;
    over.catalogue = &catalogue;
    arena_init(&arena, CATALOGUE_BYTES);
    int rc = prices_store_read(folder, &book, err);
    if (rc == 0)
        rc = catalogue_world(&arena, &catalogue, err);
    if (rc == 0)
        rc = book_world(book, &over, out, err);
    book_destroy(book);
    arena_done(&arena);
    return rc < 0 ? error_prefix(err, "%s", folder) : 0;
}

/* `path` is changed, and put back. */
static int make_folders(char *path, struct error *err)
{
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != 0)
            continue;
        char here = *at;
        *at = 0;
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return error_set(err, ERR_IO, errno, "make the folder '%s'", path);
        *at = here;
        if (here == 0)
            return 0;
    }
}

static int read_whole(int fd, const char *path, struct strbuf *out, struct error *err)
{
    char block[65536];
    ssize_t bytes;
    while ((bytes = read(fd, block, sizeof(block))) > 0)
        strbuf_append(out, block, (size_t)bytes);
    return bytes < 0 ? error_set(err, ERR_IO, errno, "read '%s'", path) : strbuf_error(out, err);
}

static int write_whole(const char *path, const char *text, size_t bytes, struct error *err)
{
    char next[LIMIT_PATH_BYTES + 16];
    str_format(next, sizeof(next), "%s.new", path);
    CLEANUP(cleanup_close)
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0;
    for (size_t at = 0; good && at < bytes;) {
        ssize_t wrote = write(fd, text + at, bytes - at);
        if (wrote < 0 && errno == EINTR)
            continue;
        good = wrote > 0;
        at += good ? (size_t)wrote : 0;
    }
    if (!good || fsync(fd) < 0 || rename(next, path) < 0)
        return error_set(err, ERR_IO, errno, "write '%s'", path);
    return 0;
}
