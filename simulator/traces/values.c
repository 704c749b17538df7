/* What formats share: lines, cells, instants and numbers, and the errors about them. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "simulator/traces/trace_internal.h"

static bool digits_of(const char **at, int count_min, int count_max, int *ret_value);
static int64_t days_of(int year, int month, int day);

int trace_line(struct trace *trace, char **ret_line, struct error *err)
{
    char **first = trace_first(trace);
    if (*first != NULL) {
        *ret_line = *first;
        *first = NULL;
        return 1;
    }
    for (;;) {
        int rc = lines_next(trace_lines(trace), ret_line, err);
        if (rc <= 0)
            return rc;
        const char *line = *ret_line;
        if (line[0] != '#' && line[strspn(line, " \t")] != 0)
            return 1;
    }
}

int trace_split(struct trace *trace, char *line, char **cells, int cells_max, int *ret_count,
                struct error *err)
{
    int count = 0;
    char *from = line;
    for (;;) {
        if (count == cells_max)
            return trace_wrong(trace, err, "more than %d columns", cells_max);
        from += strspn(from, " \t");
        char *to = from;
        cells[count++] = from;
        if (*from == '"') {
            char *at = from + 1;
            while (*at != 0 && (*at != '"' || at[1] == '"')) {
                at += *at == '"';
                *to++ = *at++;
            }
            if (*at == 0)
                return trace_wrong(trace, err, "a quote is not closed");
            from = at + 1 + strspn(at + 1, " \t");
        } else {
            from += strcspn(from, ",");
            to = from;
            while (to > cells[count - 1] && (to[-1] == ' ' || to[-1] == '\t'))
                to--;
        }
        char end = *from;
        if (end != 0 && end != ',')
            return trace_wrong(trace, err, "text after a closing quote");
        *to = 0;
        if (end == 0)
            break;
        from++;
    }
    *ret_count = count;
    return 0;
}

int trace_wrong(struct trace *trace, struct error *err, const char *format, ...)
{
    char text[TRACE_ERROR];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return error_set(err, ERR_INVALID, 0, "%s:%" PRId64 ": %s", lines_file(trace_lines(trace)),
                     lines_number(trace_lines(trace)), text);
}

int trace_take_time(struct trace *trace, const char *text, int64_t *ret_us, struct error *err)
{
    int64_t us = 0;
    if (trace_date(text, ret_us) == 0)
        return 0;
    if (trace_seconds(text, &us) < 0 ||
        __builtin_add_overflow(trace_options(trace)->origin_us, us, &us) || us > INT64_MAX / 4 ||
        us < INT64_MIN / 4)
        return trace_wrong(trace, err,
                           "time \"%.60s\": write seconds since the beginning, or a date as "
                           "2026-01-31T12:00:00Z",
                           text);
    *ret_us = us;
    return 0;
}

int trace_take_number(struct trace *trace, const char *field, const char *text, int digits,
                      int64_t max, int64_t *ret_value, struct error *err)
{
    int64_t value;
    int64_t unit = 1;
    for (int i = 0; i < digits; i++)
        unit *= 10;
    if (trace_number(text, digits, &value) < 0 || value > max)
        return trace_wrong(trace, err, "%s \"%.60s\": a number from 0 to %" PRId64 " is wanted",
                           field, text, max / unit);
    *ret_value = value;
    return 0;
}

int trace_number(const char *text, int digits, int64_t *ret_value)
{
    int64_t value = 0;
    int taken = 0;
    int point = 0; /* digits taken after the point, less those left out before it */
    bool after = false;
    bool any = false;
    const char *at = text;
    for (; (*at >= '0' && *at <= '9') || (*at == '.' && !after); at++) {
        if (*at == '.') {
            after = true;
            continue;
        }
        any = true;
        if (taken < 18) {
            value = value * 10 + (*at - '0');
            taken += value > 0;
            point += after;
        } else {
            point -= !after;
        }
    }
    if (!any)
        return ERR_INVALID;
    int exponent = 0;
    if (*at == 'e' || *at == 'E') {
        bool down = at[1] == '-';
        at += 1 + (at[1] == '-' || at[1] == '+');
        if (!digits_of(&at, 1, 4, &exponent))
            return ERR_INVALID;
        exponent = down ? -exponent : exponent;
    }
    if (*at != 0)
        return ERR_INVALID;
    int shift = digits + exponent - point;
    for (; shift > 0 && value > 0; shift--)
        if (__builtin_mul_overflow(value, 10, &value))
            return ERR_OVERFLOW;
    int64_t last = 0;
    for (; shift < 0 && (value > 0 || last > 0); shift++) {
        last = value % 10;
        value /= 10;
    }
    *ret_value = value + (last >= 5);
    return 0;
}

int trace_date(const char *text, int64_t *ret_us)
{
    int parts[6] = {0};
    const char *at = text;
    if (!digits_of(&at, 4, 4, &parts[0]) || *at++ != '-' || !digits_of(&at, 1, 2, &parts[1]) ||
        *at++ != '-' || !digits_of(&at, 1, 2, &parts[2]) || parts[0] < 1970 || parts[1] < 1 ||
        parts[1] > 12)
        return ERR_INVALID;
    static const int highest[] = {23, 59, 59};
    for (int i = 0; i < 3 && (*at == (i == 0 ? 'T' : ':') || (i == 0 && *at == ' ')); i++) {
        at++;
        if (!digits_of(&at, 2, 2, &parts[3 + i]) || parts[3 + i] > highest[i])
            return ERR_INVALID;
    }
    int64_t fraction_us = 0;
    if (*at == '.') {
        int64_t unit = US_PER_S / 10;
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
            fraction_us += (*at - '0') * unit;
    }
    if (*at == 'Z')
        at++;
    bool leap = parts[0] % 4 == 0 && (parts[0] % 100 != 0 || parts[0] % 400 == 0);
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (*at != 0 || parts[2] < 1 || parts[2] > lengths[parts[1] - 1] + (leap && parts[1] == 2))
        return ERR_INVALID;
    int64_t seconds =
        ((days_of(parts[0], parts[1], parts[2]) * 24 + parts[3]) * 60 + parts[4]) * 60;
    *ret_us = (seconds + parts[5]) * US_PER_S + fraction_us;
    return 0;
}

int trace_seconds(const char *text, int64_t *ret_us)
{
    int64_t us;
    bool negative = text[0] == '-';
    int rc = trace_number(text + negative, 6, &us);
    if (rc == 0)
        *ret_us = negative ? -us : us;
    return rc;
}

static bool digits_of(const char **at, int count_min, int count_max, int *ret_value)
{
    int value = 0;
    int count = 0;
    for (; count < count_max && **at >= '0' && **at <= '9'; count++, (*at)++)
        value = value * 10 + (**at - '0');
    *ret_value = value;
    return count >= count_min;
}

/* Since 1970-01-01, of the Gregorian calendar; years begin in March, so that a leap day is last. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t m = month <= 2 ? month + 9 : month - 3;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}
