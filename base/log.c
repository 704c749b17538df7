#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

/* A pipe takes up to 4096 bytes (PIPE_BUF) as one piece; a line stays below that. */
#define LINE_BYTES 4096
#define PAIR_BYTES 3072

/* A line under construction: what does not fit is left out and the line says so. */
struct line {
    char text[LINE_BYTES];
    size_t bytes;
    bool full; /* something did not fit: nothing may follow it */
    bool cut;  /* something is left out */
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* Settings of the process, not of a module: the one place where static state is right, since a log
 * line may come from any thread at any time. The program's name is set before threads exist. */
static _Atomic int level_max = LOG_INFO;
static _Atomic bool as_json = false;
static char program_name[64] = "berth";

static void line_text(struct line *line, const char *time, enum log_level level, const char *event,
                      const char *pairs);
static void line_json(struct line *line, const char *time, enum log_level level, const char *event,
                      const char *pairs);
static void line_json_pairs(struct line *line, const char *pairs);
static const char *value_end(const char *value);
static void line_add(struct line *line, const char *text, size_t bytes);
static void line_add_json(struct line *line, const char *text, size_t bytes);
static void line_write(const struct line *line);

__attribute__((constructor)) static void log_read_environment(void)
{
    const char *wanted = getenv("BERTH_LOG");
    for (int i = 0; wanted != NULL && i <= LOG_DEBUG; i++) {
        if (strcmp(wanted, level_names[i]) == 0) {
            atomic_store(&level_max, i);
        }
    }
}

void log_set_level(enum log_level level)
{
    atomic_store(&level_max, (int)level);
}

void log_set_json(bool on)
{
    atomic_store(&as_json, on);
}

void log_set_program(const char *name)
{
    if (str_copy(program_name, sizeof(program_name), name) < 0) {
        memcpy(program_name, name, sizeof(program_name) - 1);
        program_name[sizeof(program_name) - 1] = '\0';
    }
}

bool log_enabled(enum log_level level)
{
    return (int)level <= atomic_load(&level_max);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (!log_enabled(level)) {
        return;
    }
    int saved = errno; /* logging between a failure and its report must not change the cause */
    char pairs[PAIR_BYTES];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(pairs, sizeof(pairs), format, args);
    va_end(args);
    if (bytes < 0) {
        pairs[0] = '\0';
    }
    char time[WALL_TEXT_BYTES];
    (void)wall_format(clock_wall_now(), time);
    struct line line = {.bytes = 0, .cut = bytes >= PAIR_BYTES};
    if (atomic_load(&as_json)) {
        line_json(&line, time, level, event, pairs);
    } else {
        line_text(&line, time, level, event, pairs);
    }
    line_write(&line);
    errno = saved;
}

static void line_text(struct line *line, const char *time, enum log_level level, const char *event,
                      const char *pairs)
{
    char head[256];
    int bytes =
        snprintf(head, sizeof(head), "%s %s %s %s", time, level_names[level], program_name, event);
    line_add(line, head, bytes < (int)sizeof(head) ? (size_t)bytes : sizeof(head) - 1);
    if (pairs[0] != '\0') {
        line_add(line, " ", 1);
    }
    /* A value that holds a line break must not look like a second event. */
    for (const char *c = pairs; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte >= 0x20 && byte != 0x7f) {
            line_add(line, c, 1);
        } else {
            char escaped[8];
            int count = byte == '\n' ? snprintf(escaped, sizeof(escaped), "\\n")
                                     : snprintf(escaped, sizeof(escaped), "\\x%02x", byte);
            line_add(line, escaped, (size_t)count);
        }
    }
    if (line->cut) {
        static const char mark[] = " cut=true";
        memcpy(line->text + line->bytes, mark, sizeof(mark) - 1);
        line->bytes += sizeof(mark) - 1;
    }
    line->text[line->bytes++] = '\n';
}

static void line_json(struct line *line, const char *time, enum log_level level, const char *event,
                      const char *pairs)
{
    char head[128];
    int bytes = snprintf(head, sizeof(head), "{\"time\":\"%s\",\"level\":\"%s\",\"program\":", time,
                         level_names[level]);
    line_add(line, head, (size_t)bytes);
    line_add_json(line, program_name, strlen(program_name));
    line_add(line, ",\"event\":", 9);
    line_add_json(line, event, strlen(event));
    line_json_pairs(line, pairs);
    if (line->cut) {
        static const char mark[] = ",\"cut\":\"true\"";
        memcpy(line->text + line->bytes, mark, sizeof(mark) - 1);
        line->bytes += sizeof(mark) - 1;
    }
    line->text[line->bytes++] = '}';
    line->text[line->bytes++] = '\n';
}

/* `k=v k2="v 2" word` becomes ,"k":"v","k2":"v 2","word":"". A pair that does not fit whole is left
 * out, so that a line is always one JSON object. */
static void line_json_pairs(struct line *line, const char *pairs)
{
    const char *at = pairs;
    while (*at != '\0') {
        if (*at == ' ') {
            at++;
            continue;
        }
        size_t key_bytes = strcspn(at, "= ");
        const char *value = at + key_bytes;
        const char *end = value;
        if (*value == '=') {
            value++;
            end = value_end(value);
        }
        size_t value_bytes = (size_t)(end - value);
        const char *next = end;
        if (value_bytes > 0 && *value == '"') {
            value++;
            value_bytes--;
            /* A quote that nothing closes (the pairs were cut) still ends with its last byte. */
            if (value_bytes > 0 && value[value_bytes - 1] == '"') {
                value_bytes--;
            }
        }
        size_t whole_bytes = line->bytes;
        line_add(line, ",", 1);
        line_add_json(line, at, key_bytes);
        line_add(line, ":", 1);
        line_add_json(line, value, value_bytes);
        if (line->full) {
            line->bytes = whole_bytes;
            return;
        }
        at = next;
    }
}

/* A quoted value ends at the quote before the next `key=` or the end, so that quotes inside it (a
 * sentence that quotes a name) need no escape. */
static const char *value_end(const char *value)
{
    if (*value != '"') {
        return value + strcspn(value, " ");
    }
    for (const char *c = value + 1; *c != '\0'; c++) {
        if (*c != '"') {
            continue;
        }
        const char *next = c + 1 + strspn(c + 1, " ");
        size_t key_bytes = strcspn(next, "= \"");
        if (*next == '\0' || (next > c + 1 && key_bytes > 0 && next[key_bytes] == '=')) {
            return c + 1;
        }
    }
    return value + strlen(value);
}

static void line_add(struct line *line, const char *text, size_t bytes)
{
    /* Room is kept for the mark of a cut line, the closing brace and the line's end. */
    if (line->full || bytes > LINE_BYTES - 32 - line->bytes) {
        line->full = true;
        line->cut = true;
        return;
    }
    memcpy(line->text + line->bytes, text, bytes);
    line->bytes += bytes;
}

static void line_add_json(struct line *line, const char *text, size_t bytes)
{
    line_add(line, "\"", 1);
    const unsigned char *at = (const unsigned char *)text;
    size_t i = 0;
    while (i < bytes) {
        char escaped[8];
        size_t whole = str_utf8_bytes(text + i, bytes - i);
        if (at[i] == '"' || at[i] == '\\') {
            escaped[0] = '\\';
            escaped[1] = (char)at[i];
            line_add(line, escaped, 2);
        } else if (at[i] < 0x20) {
            (void)snprintf(escaped, sizeof(escaped), "\\u%04x", at[i]);
            line_add(line, escaped, 6);
        } else if (whole == 0) {
            line_add(line, "\xef\xbf\xbd", 3); /* U+FFFD for a byte that is no character */
            whole = 1;
        } else {
            line_add(line, text + i, whole);
        }
        i += whole == 0 ? 1 : whole;
    }
    line_add(line, "\"", 1);
}

static void line_write(const struct line *line)
{
    ssize_t done;
    do {
        done = write(STDERR_FILENO, line->text, line->bytes);
    } while (done < 0 && errno == EINTR);
    /* A standard error that is full or closed loses its line: logging never stops the program. */
}
