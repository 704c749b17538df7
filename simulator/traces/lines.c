#include "simulator/traces/lines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/limits.h"
#include "base/str.h"

struct lines {
    char file[LIMIT_PATH_BYTES];
    gzFile stream; /* NULL: the text */
    const char *text;
    size_t text_left;
    int64_t number;
    size_t at; /* in the block */
    size_t end;
    bool ended;   /* nothing comes after the block */
    bool unended; /* the last line given has no end */
    char block[LINES_BLOCK + 1];
};

static int fill(struct lines *lines, struct error *err);
static int fill_stream(struct lines *lines, struct error *err);

int lines_open(const char *path, struct lines **ret_lines, struct error *err)
{
    struct lines *lines = malloc(sizeof(*lines));
    if (lines == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", path);
    memset(lines, 0, offsetof(struct lines, block));
    if (str_copy(lines->file, sizeof(lines->file), path) < 0) {
        free(lines);
        return error_set(err, ERR_LIMIT, 0, "the path of a trace is too long");
    }
    errno = 0;
    bool input = str_equal(path, "-");
    lines->stream = input ? gzdopen(dup(STDIN_FILENO), "rb") : gzopen(path, "rbe");
    if (lines->stream == NULL) {
        int saved = errno;
        free(lines);
        return error_set(err, saved == ENOENT ? ERR_NOT_FOUND : ERR_IO, saved, "trace %s", path);
    }
    (void)gzbuffer(lines->stream, LINES_BLOCK);
    *ret_lines = lines;
    return 0;
}

int lines_open_text(const char *file, const char *text, size_t bytes, struct lines **ret_lines,
                    struct error *err)
{
    struct lines *lines = malloc(sizeof(*lines));
    if (lines == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", file);
    memset(lines, 0, offsetof(struct lines, block));
    if (str_copy(lines->file, sizeof(lines->file), file) < 0) {
        free(lines);
        return error_set(err, ERR_LIMIT, 0, "the path of a trace is too long");
    }
    lines->text = text;
    lines->text_left = bytes;
    *ret_lines = lines;
    return 0;
}

void lines_close(struct lines *lines)
{
    if (lines == NULL)
        return;
    if (lines->stream != NULL)
        (void)gzclose(lines->stream);
    free(lines);
}

int lines_next(struct lines *lines, char **ret_line, struct error *err)
{
    char *from;
    char *to;
    for (;;) {
        from = lines->block + lines->at;
        to = memchr(from, '\n', lines->end - lines->at);
        if (to != NULL || lines->ended)
            break;
        if (lines->end - lines->at > LINES_MAX)
            return error_set(err, ERR_INVALID, 0,
                             "%s:%" PRId64 ": a line is longer than %d bytes; is it a trace?",
                             lines->file, lines->number + 1, LINES_MAX);
        int rc = fill(lines, err);
        if (rc < 0)
            return rc;
    }
    if (to == NULL && lines->at == lines->end)
        return 0;
    lines->unended = to == NULL;
    if (to == NULL)
        to = lines->block + lines->end;
    lines->number++;
    lines->at = (size_t)(to - lines->block) + (to < lines->block + lines->end);
    *to = 0;
    size_t bytes = (size_t)(to - from);
    if (bytes > LINES_MAX || memchr(from, 0, bytes) != NULL)
        return error_set(err, ERR_INVALID, 0,
                         "%s:%" PRId64 ": a line is longer than %d bytes, or holds a zero byte; is "
                         "it a trace?",
                         lines->file, lines->number, LINES_MAX);
    if (bytes > 0 && to[-1] == '\r')
        to[-1] = 0;
    *ret_line = from;
    return 1;
}

bool lines_unended(const struct lines *lines)
{
    return lines->unended;
}

int64_t lines_number(const struct lines *lines)
{
    return lines->number;
}

const char *lines_file(const struct lines *lines)
{
    return lines->file;
}

/* What is left goes to the block's beginning, and more behind it. */
static int fill(struct lines *lines, struct error *err)
{
    size_t left = lines->end - lines->at;
    memmove(lines->block, lines->block + lines->at, left);
    lines->at = 0;
    lines->end = left;
    if (lines->stream != NULL)
        return fill_stream(lines, err);
    size_t room = LINES_BLOCK - left;
    size_t bytes = lines->text_left < room ? lines->text_left : room;
    if (bytes > 0)
        memcpy(lines->block + left, lines->text, bytes);
    lines->text += bytes;
    lines->text_left -= bytes;
    lines->end += bytes;
    lines->ended = lines->text_left == 0;
    return 0;
}

static int fill_stream(struct lines *lines, struct error *err)
{
    int got =
        gzread(lines->stream, lines->block + lines->end, (unsigned)(LINES_BLOCK - lines->end));
    int why = Z_OK;
    const char *text = got <= 0 ? gzerror(lines->stream, &why) : "";
    if (why == Z_ERRNO)
        return error_set(err, ERR_IO, errno, "reading %s", lines->file);
    if (why == Z_BUF_ERROR)
        return error_set(err, ERR_INVALID, 0,
                         "%s: the gzip file ends early, after line %" PRId64
                         ": it was cut; fetch or compress it again",
                         lines->file, lines->number);
    if (got < 0)
        return error_set(err, ERR_INVALID, 0,
                         "%s: the gzip file is damaged after line %" PRId64
                         " (%.120s); fetch or compress it again",
                         lines->file, lines->number, text);
    lines->end += (size_t)got;
    lines->ended = got == 0;
    return 0;
}
