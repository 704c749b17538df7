#include "tests/bench/solver/scan.h"

#include <stdbool.h>

static void skip_blank(struct scan *scan);

int scan_number(struct scan *scan, const char *what, int64_t least, int64_t most,
                int64_t *ret_value, struct error *err)
{
    skip_blank(scan);
    bool negative = scan->at < scan->end && *scan->at == '-';
    scan->at += negative;
    const char *first = scan->at;
    int64_t value = 0;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, *scan->at - '0', &value)) {
            return error_set(err, ERR_INVALID, 0, "line %d: %s is too large a number", scan->line,
                             what);
        }
        scan->at++;
    }
    bool whole = scan->at > first && (scan->at == scan->end || *scan->at == ' ' ||
                                      (*scan->at >= '\t' && *scan->at <= '\r'));
    if (!whole) {
        return error_set(err, ERR_INVALID, 0, "line %d: %s is %s, not a whole number", scan->line,
                         what, scan->at == scan->end ? "missing" : "something else");
    }
    value = negative ? -value : value;
    if (value < least || value > most) {
        return error_set(err, ERR_INVALID, 0, "line %d: %s is %lld, not between %lld and %lld",
                         scan->line, what, (long long)value, (long long)least, (long long)most);
    }
    *ret_value = value;
    return 0;
}

int scan_word(struct scan *scan, const char *what, struct error *err)
{
    skip_blank(scan);
    const char *first = scan->at;
    while (scan->at < scan->end && *scan->at != ' ' && (*scan->at < '\t' || *scan->at > '\r')) {
        scan->at++;
    }
    if (scan->at == first) {
        return error_set(err, ERR_INVALID, 0, "line %d: %s is missing", scan->line, what);
    }
    return 0;
}

static void skip_blank(struct scan *scan)
{
    while (scan->at < scan->end && (*scan->at == ' ' || (*scan->at >= '\t' && *scan->at <= '\r'))) {
        scan->line += *scan->at == '\n';
        scan->at++;
    }
}
