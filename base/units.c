#include "base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

typedef unsigned __int128 u128;

/* digits * 10^-scale, as it is written. */
struct number {
    u128 digits;
    int scale;
};

/* One unit: a quantity times numerator / denominator is the integer that Berth keeps. */
struct unit {
    const char *name;
    int64_t numerator;
    int64_t denominator;
};

static const struct unit cpu_units[] = {{"", 1000, 1}, {"m", 1, 1}};

static const struct unit bytes_units[] = {
    {"", 1, 1},
    {"B", 1, 1},
    {"KB", INT64_C(1000), 1},
    {"kB", INT64_C(1000), 1},
    {"MB", INT64_C(1000000), 1},
    {"GB", INT64_C(1000000000), 1},
    {"TB", INT64_C(1000000000000), 1},
    {"PB", INT64_C(1000000000000000), 1},
    {"KiB", INT64_C(1) << 10, 1},
    {"MiB", INT64_C(1) << 20, 1},
    {"GiB", INT64_C(1) << 30, 1},
    {"TiB", INT64_C(1) << 40, 1},
    {"PiB", INT64_C(1) << 50, 1},
    {"Ki", INT64_C(1) << 10, 1},
    {"Mi", INT64_C(1) << 20, 1},
    {"Gi", INT64_C(1) << 30, 1},
    {"Ti", INT64_C(1) << 40, 1},
};

/* Microseconds are the finest, so a nanosecond is a fraction that only survives in thousands. */
static const struct unit duration_units[] = {
    {"us", 1, 1},
    {"ms", US_PER_MS, 1},
    {"s", US_PER_S, 1},
    {"m", 60 * US_PER_S, 1},
    {"min", 60 * US_PER_S, 1},
    {"h", US_PER_HOUR, 1},
    {"d", 24 * US_PER_HOUR, 1},
};

static const struct unit rate_units[] = {
    {"/s", 1000, 1}, {"/min", 1000, 60}, {"/h", 1000, 3600}, {"/day", 1000, 86400}};

static const struct unit ratio_units[] = {{"", 1000000, 1}, {"%", 10000, 1}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int quantity(const char *text, const struct unit *units, size_t count, int64_t *ret_value);
static int quantity_part(const char **at, const struct unit *units, size_t count,
                         int64_t *ret_value);
static int number_parse(const char *text, size_t bytes, struct number *ret_number);
static int unit_scale(struct number number, const struct unit *unit, int64_t *ret_value);
static int units_error(struct error *err, int code, const char *text, const char *what,
                       const char *examples);
static void write_fraction(char out[UNITS_TEXT_BYTES], int64_t value, int64_t unit, int decimals,
                           const char *name);

int units_cpu(const char *text, int64_t *ret_mcpu, struct error *err)
{
    int rc = quantity(text, cpu_units, COUNT(cpu_units), ret_mcpu);
    return rc == 0 ? 0 : units_error(err, rc, text, "a CPU quantity", "250m, 0.5 or 2");
}

int units_bytes(const char *text, int64_t *ret_bytes, struct error *err)
{
    int rc = quantity(text, bytes_units, COUNT(bytes_units), ret_bytes);
    return rc == 0 ? 0
                   : units_error(err, rc, text, "a number of bytes",
                                 "512, 64MiB or 1.5GB (B, KB, MB, GB, TB, PB, KiB, MiB, GiB, "
                                 "TiB, PiB)");
}

int units_duration(const char *text, int64_t *ret_us, struct error *err)
{
    const char *at = text;
    int64_t total = 0;
    int rc = text[0] == '\0' ? ERR_INVALID : 0;
    /* "0" alone is the one duration that needs no unit. */
    if (strcmp(text, "0") == 0) {
        *ret_us = 0;
        return 0;
    }
    while (rc == 0 && *at != '\0') {
        int64_t part;
        rc = quantity_part(&at, duration_units, COUNT(duration_units), &part);
        if (rc == 0 && __builtin_add_overflow(total, part, &total)) {
            rc = ERR_OVERFLOW;
        }
    }
    if (rc < 0) {
        return units_error(err, rc, text, "a duration",
                           "40ms, 2s or 1h30m (us, ms, s, m or min, h, d)");
    }
    *ret_us = total;
    return 0;
}

int units_rate(const char *text, int64_t *ret_mhz, struct error *err)
{
    int rc = quantity(text, rate_units, COUNT(rate_units), ret_mhz);
    return rc == 0 ? 0
                   : units_error(err, rc, text, "a rate", "200/s or 12/min (/s, /min, /h, /day)");
}

int units_byte_rate(const char *text, int64_t *ret_bytes_s, struct error *err)
{
    static const char *const examples = "2MiB/s or 1.5GB/day (bytes per /s, /min, /h or /day)";
    static const char *const what = "a number of bytes per time";
    static const struct {
        const char *name;
        int64_t seconds;
    } periods[] = {{"/s", 1}, {"/min", 60}, {"/h", 3600}, {"/day", 86400}};
    char number[64];
    size_t bytes = strcspn(text, "/");
    int64_t seconds = 0;
    for (size_t i = 0; i < COUNT(periods); i++) {
        seconds = strcmp(text + bytes, periods[i].name) == 0 ? periods[i].seconds : seconds;
    }
    if (seconds == 0 || bytes >= sizeof(number)) {
        return units_error(err, ERR_INVALID, text, what, examples);
    }
    memcpy(number, text, bytes);
    number[bytes] = '\0';
    int64_t volume = 0;
    int rc = quantity(number, bytes_units, COUNT(bytes_units), &volume);
    if (rc == 0 && volume > 0 && volume <= seconds / 2) {
        rc = ERR_INVALID; /* it would round to nothing */
    }
    if (rc < 0) {
        return units_error(err, rc, text, what, examples);
    }
    int64_t whole = volume / seconds;
    int64_t rest = volume % seconds;
    bool up = rest > seconds - rest || (rest == seconds - rest && whole % 2 != 0);
    *ret_bytes_s = whole + (up ? 1 : 0);
    return 0;
}

int units_ratio(const char *text, int64_t *ret_ppm, struct error *err)
{
    int rc = quantity(text, ratio_units, COUNT(ratio_units), ret_ppm);
    return rc == 0 ? 0 : units_error(err, rc, text, "a ratio", "0.85 or 85%");
}

const char *units_format_bytes(int64_t bytes, char out[UNITS_TEXT_BYTES])
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t i = 0;
    /* The next unit begins where one decimal would print 1024 of this one. */
    u128 magnitude = bytes < 0 ? 0 - (u128)bytes : (u128)bytes;
    while (i + 1 < COUNT(names) &&
           (i == 0 ? magnitude >= 1024 : magnitude * 20 >= (u128)20479 << (10 * i))) {
        i++;
    }
    write_fraction(out, bytes, INT64_C(1) << (10 * i), i == 0 ? 0 : 1, names[i]);
    return out;
}

const char *units_format_duration(int64_t us, char out[UNITS_TEXT_BYTES])
{
    static const struct {
        int64_t whole_us;
        const char *name;
        int64_t part_us;
        const char *part_name;
    } pairs[] = {
        {24 * US_PER_HOUR, "d", US_PER_HOUR, "h"},
        {US_PER_HOUR, "h", 60 * US_PER_S, "min"},
        {60 * US_PER_S, "min", US_PER_S, "s"},
    };
    const char *sign = us < 0 ? "-" : "";
    u128 magnitude = us < 0 ? 0 - (u128)us : (u128)us;
    for (size_t i = 0; i < COUNT(pairs); i++) {
        /* Rounded to the smaller unit before the larger is chosen: 59.9996 s is 1 min. */
        u128 part = (u128)pairs[i].part_us;
        u128 parts = (magnitude + part / 2) / part;
        u128 each = (u128)(pairs[i].whole_us / pairs[i].part_us);
        if (parts < each) {
            continue;
        }
        long long whole = (long long)(parts / each);
        long long rest = (long long)(parts % each);
        if (rest == 0) {
            str_format(out, UNITS_TEXT_BYTES, "%s%lld %s", sign, whole, pairs[i].name);
        } else {
            str_format(out, UNITS_TEXT_BYTES, "%s%lld %s %lld %s", sign, whole, pairs[i].name, rest,
                       pairs[i].part_name);
        }
        return out;
    }
    if (magnitude < 1000) {
        write_fraction(out, us, 1, 0, "us");
    } else if (magnitude * 20 < (u128)(20 * US_PER_S - US_PER_MS)) {
        write_fraction(out, us, US_PER_MS, 1, "ms");
    } else {
        write_fraction(out, us, US_PER_S, 1, "s");
    }
    return out;
}

const char *units_format_rate(int64_t mhz, char out[UNITS_TEXT_BYTES])
{
    /* Slow rates are told in the unit that people use for them. */
    int64_t magnitude = mhz < 0 ? -(mhz + 1) : mhz;
    if (mhz == 0 || magnitude >= 1000) {
        write_fraction(out, mhz, 1000, 3, "/s");
    } else if (magnitude * 60 >= 1000) {
        write_fraction(out, mhz * 60, 1000, 2, "/min");
    } else {
        write_fraction(out, mhz * 3600, 1000, 1, "/h");
    }
    return out;
}

const char *units_format_ratio(int64_t ppm, char out[UNITS_TEXT_BYTES])
{
    write_fraction(out, ppm, 10000, 4, "%");
    return out;
}

/* A whole text that is one number and one unit. */
static int quantity(const char *text, const struct unit *units, size_t count, int64_t *ret_value)
{
    const char *at = text;
    int64_t value = 0;
    int rc = quantity_part(&at, units, count, &value);
    if (rc < 0) {
        return rc;
    }
    if (*at != '\0') {
        return ERR_INVALID;
    }
    *ret_value = value;
    return 0;
}

/* One number, at most one blank, one unit; *at moves behind them. */
static int quantity_part(const char **at, const struct unit *units, size_t count,
                         int64_t *ret_value)
{
    const char *text = *at;
    size_t number_bytes = strspn(text, "0123456789.");
    const char *name = text + number_bytes;
    name += name[0] == ' ' && name[1] != '\0' ? 1 : 0;
    size_t name_bytes = strcspn(name, "0123456789.- ");
    const struct unit *unit = NULL;
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) == name_bytes && memcmp(units[i].name, name, name_bytes) == 0) {
            unit = &units[i];
        }
    }
    if (unit == NULL) {
        return ERR_INVALID;
    }
    struct number value;
    int rc = number_parse(text, number_bytes, &value);
    if (rc == 0) {
        rc = unit_scale(value, unit, ret_value);
    }
    if (rc == 0) {
        *at = name + name_bytes;
    }
    return rc;
}

/* Digits, and a point with digits behind it. 19 digits are what an int64_t may need, one more than
 * a price has: what is written from one reads back. */
static int number_parse(const char *text, size_t bytes, struct number *ret_number)
{
    enum { DIGITS_MAX = 19, SCALE_MAX = 18 };
    u128 digits = 0;
    size_t whole = strspn(text, "0123456789");
    size_t fraction = whole < bytes ? bytes - whole - 1 : 0;
    if (whole == 0 ||
        (whole < bytes && (fraction == 0 || strspn(text + whole + 1, "0123456789") != fraction))) {
        return ERR_INVALID;
    }
    while (fraction > 0 && text[whole + fraction] == '0') {
        fraction--;
    }
    int count = 0;
    for (size_t i = 0; i < whole + 1 + fraction; i++) {
        if (i == whole) {
            continue; /* the point, or the end of a number without one */
        }
        count += count > 0 || text[i] != '0' ? 1 : 0;
        if (count > DIGITS_MAX) {
            return ERR_OVERFLOW;
        }
        u128 digit = (unsigned char)text[i] - (unsigned)'0';
        digits = digits * 10 + digit;
    }
    if (fraction > SCALE_MAX) {
        return ERR_OVERFLOW;
    }
    *ret_number = (struct number){digits, (int)fraction};
    return 0;
}

/* Rounded half to even to the integer that is kept. A fraction of the smallest unit ("0.5m",
 * "1.5B") and a quantity that rounds to nothing ("0.0001") are refused: someone meant them. */
static int unit_scale(struct number number, const struct unit *unit, int64_t *ret_value)
{
    if (unit->numerator == 1 && unit->denominator == 1 && number.scale > 0) {
        return ERR_INVALID;
    }
    u128 digits = number.digits;
    u128 product = digits * (uint64_t)unit->numerator;
    u128 divisor = (u128)unit->denominator;
    for (int i = 0; i < number.scale; i++) {
        divisor *= 10;
    }
    u128 value = product / divisor;
    u128 remainder = product % divisor;
    if (remainder * 2 > divisor || (remainder * 2 == divisor && (value & 1) != 0)) {
        value++;
    }
    if (value == 0 && number.digits != 0) {
        return ERR_INVALID;
    }
    if (value > INT64_MAX) {
        return ERR_OVERFLOW;
    }
    *ret_value = (int64_t)value;
    return 0;
}

static int units_error(struct error *err, int code, const char *text, const char *what,
                       const char *examples)
{
    if (code == ERR_OVERFLOW) {
        return error_set(err, code, 0, "\"%.64s\" is too large or too long for %s", text, what);
    }
    return error_set(err, code, 0, "\"%.64s\" is not %s; write %s", text, what, examples);
}

/* value / unit with up to `decimals` decimals, half to even, no trailing zeros; a rate's "/s" and
 * the like follow without a blank. */
static void write_fraction(char out[UNITS_TEXT_BYTES], int64_t value, int64_t unit, int decimals,
                           const char *name)
{
    u128 scale = 1;
    for (int i = 0; i < decimals; i++) {
        scale *= 10;
    }
    u128 magnitude = (value < 0 ? 0 - (u128)value : (u128)value) * scale;
    u128 divisor = (u128)unit;
    u128 shown = magnitude / divisor;
    u128 rest = magnitude % divisor * 2;
    if (rest > divisor || (rest == divisor && (shown & 1) != 0)) {
        shown++;
    }
    long long whole = (long long)(shown / scale);
    long long part = (long long)(shown % scale);
    const char *sign = value < 0 && shown != 0 ? "-" : "";
    const char *blank = name[0] == '/' ? "" : " ";
    while (decimals > 0 && part % 10 == 0) {
        part /= 10;
        decimals--;
    }
    if (decimals == 0) {
        str_format(out, UNITS_TEXT_BYTES, "%s%lld%s%s", sign, whole, blank, name);
    } else {
        str_format(out, UNITS_TEXT_BYTES, "%s%lld.%0*lld%s%s", sign, whole, decimals, part, blank,
                   name);
    }
}
