/*
 * error: what went wrong, in a value the caller owns.
 *
 * Three families, never mixed. Operating errors (a file is missing, a field is wrong) are returned
 * as a negative enum error_code and described in a struct error. Answers (infeasible, stale,
 * no capacity) are outputs of the function that computes them. Bugs are BERTH_ASSERT: always on,
 * printed, abort.
 *
 * A function that can fail returns int: 0 (or a count) on success, a negative code on failure, and
 * then has filled *err if err is not NULL. Success never touches *err. Reporting allocates nothing.
 * The text names the field, the value, the rule and the next step. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* X(name, number, sentence); the exit code of a program that fails is always 1. */
#define ERROR_MAP(X)                                           \
    X(INVALID, 1, "invalid input")                             \
    X(NOT_FOUND, 2, "not found")                               \
    X(EXISTS, 3, "already exists")                             \
    X(STALE, 4, "the state has changed since")                 \
    X(LIMIT, 5, "a limit is reached")                          \
    X(NO_MEMORY, 6, "out of memory")                           \
    X(IO, 7, "input or output failed")                         \
    X(TIMEOUT, 8, "no answer in time; the outcome is unknown") \
    X(DENIED, 9, "not permitted")                              \
    X(UNAVAILABLE, 10, "not reachable")                        \
    X(CORRUPT, 11, "stored data is damaged")                   \
    X(UNSUPPORTED, 12, "not supported")                        \
    X(LOCKED, 13, "held by another process")                   \
    X(OVERFLOW, 14, "a number is out of range")

enum error_code {
#define ERROR_ENUM(name, number, text) ERR_##name = -(number),
    ERROR_MAP(ERROR_ENUM)
#undef ERROR_ENUM
};

#define ERROR_TEXT_BYTES 768

struct error {
    int code;                    /* 0, or a negative enum error_code */
    int sys_errno;               /* the errno behind it, or 0 */
    char text[ERROR_TEXT_BYTES]; /* one or more sentences; always terminated, cut at a character */
};

/* Fills *err (if not NULL) and returns code, so that `return error_set(err, ERR_IO, errno, ...)`
 * reads as one step. With a sys_errno, ": strerror" is appended. */
int error_set(struct error *err, int code, int sys_errno, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "prefix: " before the text already there; returns err->code. */
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "INVALID", "IO", ... for wires and --json; "UNKNOWN" for a number that is none of them. */
const char *error_name(int code);
int error_from_name(const char *name); /* 0 when unknown */
const char *error_sentence(int code);

/* Bugs: prints file, line, the expression and the sentence, then aborts. Never compiled out. */
#define BERTH_ASSERT(condition, ...)                                              \
    do {                                                                          \
        if (__builtin_expect(!(condition), 0))                                    \
            error_assert_failed(__FILE__, __LINE__, #condition, " " __VA_ARGS__); \
    } while (0)

void error_assert_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

#define WARN_UNUSED __attribute__((warn_unused_result))

/* Scope-bound cleanup: declare and acquire in one statement; never together with goto. */
#define CLEANUP(function) __attribute__((cleanup(function)))
#define TAKE(pointer)                           \
    ({                                          \
        __typeof__(pointer) taken_ = (pointer); \
        (pointer) = NULL;                       \
        taken_;                                 \
    })
void cleanup_free(void *pointer_to_pointer);
void cleanup_close(int *fd);       /* closes when >= 0, keeps errno */
void cleanup_file(void *file_ptr); /* FILE ** */
