/*
 * banned: functions that fail to compile. They write without a bound (use str_copy, str_format or a
 * strbuf), take anything for a number (str_to_i64, a decimal), or keep hidden state (strtok_r; a
 * seeded generator of your own).
 *
 * Each is declared once more as deprecated, which -Werror turns into an error at the call. Unlike a
 * macro or a poisoned name this disturbs no system header, whether it comes before or after. gcc
 * sees every call; where a header has given clang an inline body first, clang misses it, and
 * tests/style/banned.sh, which reads the source, does not.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#define BANNED __attribute__((deprecated("banned in this project, see base/banned.h")))

/* clang ignores the attribute, and says so, where the function has a body already. */
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wignored-attributes"
#endif

/* The brackets keep a name that is a macro (where the C library is fortified) from being expanded.
 * Not for clang-tidy, which would complain of every second declaration. */
#ifndef __clang_analyzer__
// clang-format off
BANNED extern char *(strcpy)(char *to, const char *from);
BANNED extern char *(strcat)(char *to, const char *from);
BANNED extern int (sprintf)(char *to, const char *format, ...);
BANNED extern int (vsprintf)(char *to, const char *format, va_list arguments);
BANNED extern char *(strtok)(char *text, const char *delimiters);
BANNED extern int (atoi)(const char *text);
BANNED extern long (atol)(const char *text);
BANNED extern double (atof)(const char *text);
BANNED extern int (rand)(void);
BANNED extern void (srand)(unsigned seed);
// clang-format on
#endif

#ifdef __clang__
#pragma clang diagnostic pop
#endif
