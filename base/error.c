#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <errno.h>

static size_t cut_at_character(const char *text, size_t bytes);
static void text_set(char out[ERROR_TEXT_BYTES], const char *text);

int error_set(struct error *err, int code, int sys_errno, const char *format, ...)
{
    if (err == NULL) {
        return code;
    }
    /* Formatted aside first: an argument may be err->text itself. */
    char text[ERROR_TEXT_BYTES + 256];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (bytes < 0) {
        text[0] = '\0';
    }
    if (sys_errno != 0) {
        char reason[128];
        const char *sentence = strerror_r(sys_errno, reason, sizeof(reason));
        size_t used = strlen(text);
        /* The cause stays readable when the sentence before it is too long. */
        size_t room = ERROR_TEXT_BYTES - 1 - 2 - strnlen(sentence, sizeof(reason));
        if (used > room) {
            used = cut_at_character(text, room);
        }
        (void)snprintf(text + used, sizeof(text) - used, ": %s", sentence);
    }
    text_set(err->text, text);
    err->code = code;
    err->sys_errno = sys_errno;
    return code;
}

int error_prefix(struct error *err, const char *format, ...)
{
    if (err == NULL) {
        return ERR_INVALID;
    }
    char text[2 * ERROR_TEXT_BYTES + 4];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(text, ERROR_TEXT_BYTES, format, args);
    va_end(args);
    if (bytes < 0) {
        text[0] = '\0';
    }
    size_t used = strlen(text);
    (void)snprintf(text + used, sizeof(text) - used, ": %s", err->text);
    text_set(err->text, text);
    return err->code;
}

const char *error_name(int code)
{
    switch (code) {
#define ERROR_CASE(name, number, text) \
    case ERR_##name:                   \
        return #name;
        ERROR_MAP(ERROR_CASE)
#undef ERROR_CASE
    default:
        return "UNKNOWN";
    }
}

int error_from_name(const char *name)
{
    if (name == NULL) {
        return 0;
    }
#define ERROR_MATCH(word, number, text) \
    if (strcmp(name, #word) == 0) {     \
        return ERR_##word;              \
    }
    ERROR_MAP(ERROR_MATCH)
#undef ERROR_MATCH
    return 0;
}

const char *error_sentence(int code)
{
    switch (code) {
#define ERROR_CASE(name, number, text) \
    case ERR_##name:                   \
        return text;
        ERROR_MAP(ERROR_CASE)
#undef ERROR_CASE
    default:
        return "unknown error";
    }
}

void error_assert_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    char report[2048];
    int report_bytes = snprintf(report, sizeof(report), "%s:%d: bug: %s does not hold%s%s\n", file,
                                line, condition, bytes > 1 ? ":" : "", bytes > 1 ? text : "");
    if (report_bytes >= (int)sizeof(report)) {
        report_bytes = (int)sizeof(report) - 1;
        report[report_bytes - 1] = '\n';
    }
    /* Not stdio: its lock may be held by the thread that found the bug. */
    if (report_bytes > 0 && write(STDERR_FILENO, report, (size_t)report_bytes) < 0) {
        abort();
    }
    abort();
}

void cleanup_free(void *pointer_to_pointer)
{
    void *memory;
    memcpy(&memory, pointer_to_pointer, sizeof(memory));
    free(memory);
}

void cleanup_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        (void)close(*fd); /* nothing can be done about a failing close at the end of a scope */
        errno = saved;
        *fd = -1;
    }
}

void cleanup_file(void *file_ptr)
{
    FILE *file;
    memcpy(&file, file_ptr, sizeof(file));
    if (file != NULL) {
        int saved = errno;
        (void)fclose(file); /* writers that care close and check before the scope ends */
        errno = saved;
    }
}

/* The largest length <= bytes that does not split a UTF-8 character. */
static size_t cut_at_character(const char *text, size_t bytes)
{
    while (bytes > 0 && ((unsigned char)text[bytes] & 0xC0) == 0x80) {
        bytes--;
    }
    return bytes;
}

static void text_set(char out[ERROR_TEXT_BYTES], const char *text)
{
    size_t bytes = strlen(text);
    if (bytes >= ERROR_TEXT_BYTES) {
        bytes = cut_at_character(text, ERROR_TEXT_BYTES - 1);
    }
    memcpy(out, text, bytes);
    out[bytes] = '\0';
}
