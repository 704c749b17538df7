#include "scheduler/cli/show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"

static void format_amount(nusd amount, bool sign, char out[SHOW_BYTES]);

const char *show_money(const char *dollars, char out[SHOW_BYTES])
{
    nusd amount = 0;
    if (money_parse(dollars, &amount, NULL) < 0)
        snprintf(out, SHOW_BYTES, "%.*s", SHOW_BYTES - 1, dollars);
    else
        format_amount(amount, false, out);
    return out;
}

const char *show_money_change(const char *dollars, char out[SHOW_BYTES])
{
    nusd amount = 0;
    if (money_parse(dollars, &amount, NULL) < 0)
        snprintf(out, SHOW_BYTES, "%.*s", SHOW_BYTES - 1, dollars);
    else
        format_amount(amount, true, out);
    return out;
}

const char *show_money_difference(const char *before, const char *after, char out[SHOW_BYTES])
{
    nusd from = 0;
    nusd to = 0;
    if (money_parse(before, &from, NULL) < 0 || money_parse(after, &to, NULL) < 0)
        snprintf(out, SHOW_BYTES, "?");
    else
        format_amount(to - from, true, out);
    return out;
}

int show_money_sign(const char *dollars)
{
    nusd amount = 0;
    if (money_parse(dollars, &amount, NULL) < 0)
        return 0;
    return amount < 0 ? -1 : amount > 0 ? 1 : 0;
}

const char *show_duration(int64_t us, char out[SHOW_BYTES])
{
    const char *sign = us < 0 ? "-" : "";
    uint64_t value = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    uint64_t seconds = value / 1000000;
    if (value < 1000)
        snprintf(out, SHOW_BYTES, "%s%" PRIu64 " us", sign, value);
    else if (value < 10000)
        snprintf(out, SHOW_BYTES, "%s%" PRIu64 ".%" PRIu64 " ms", sign, value / 1000,
                 value % 1000 / 100);
    else if (value < 1000000)
        snprintf(out, SHOW_BYTES, "%s%" PRIu64 " ms", sign, value / 1000);
    else if (seconds < 60)
        snprintf(out, SHOW_BYTES, "%s%" PRIu64 ".%02" PRIu64 " s", sign, seconds,
                 value % 1000000 / 10000);
    else if (seconds < 3600)
        snprintf(out, SHOW_BYTES, "%s%" PRIu64 " min %" PRIu64 " s", sign, seconds / 60,
                 seconds % 60);
    else if (seconds < 86400)
        snprintf(out, SHOW_BYTES, "%s%" PRIu64 " h %" PRIu64 " min", sign, seconds / 3600,
                 seconds % 3600 / 60);
    else
        snprintf(out, SHOW_BYTES, "%s%" PRIu64 " d %" PRIu64 " h", sign, seconds / 86400,
                 seconds % 86400 / 3600);
    return out;
}

const char *show_instant(int64_t wall_us, char out[SHOW_BYTES])
{
    char text[WALL_TEXT_BYTES];
    if (wall_us <= 0) {
        snprintf(out, SHOW_BYTES, "-");
        return out;
    }
    wall_format((struct wall){wall_us}, text);
    snprintf(out, SHOW_BYTES, "%.10s %.12sZ", text, text + 11);
    return out;
}

const char *show_bytes(int64_t bytes, char out[SHOW_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    int64_t whole = bytes;
    int64_t tenth = 0;
    while ((whole >= 1024 || whole <= -1024) && unit + 1 < sizeof(units) / sizeof(units[0])) {
        tenth = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit++;
    }
    if (tenth == 0 || unit == 0)
        snprintf(out, SHOW_BYTES, "%" PRId64 " %s", whole, units[unit]);
    else
        snprintf(out, SHOW_BYTES, "%" PRId64 ".%" PRId64 " %s", whole, tenth < 0 ? -tenth : tenth,
                 units[unit]);
    return out;
}

const char *show_mcpu(int64_t mcpu, char out[SHOW_BYTES])
{
    if (mcpu % 1000 == 0)
        snprintf(out, SHOW_BYTES, "%" PRId64, mcpu / 1000);
    else
        snprintf(out, SHOW_BYTES, "%" PRId64 ".%03" PRId64, mcpu / 1000, mcpu % 1000);
    size_t bytes = strlen(out);
    while (strchr(out, '.') != NULL && out[bytes - 1] == '0')
        out[--bytes] = 0;
    return out;
}

const char *show_estimate(const char *kind, int64_t value, char out[SHOW_BYTES])
{
    char text[UNITS_TEXT_BYTES];
    size_t bytes = strlen(kind);
    const struct {
        const char *end;
        const char *(*format)(int64_t value, char *out);
    } units[] = {{"_us", show_duration}, {"bytes", show_bytes}, {"mcpu", show_mcpu}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t end = strlen(units[i].end);
        if (bytes >= end && str_equal(kind + bytes - end, units[i].end))
            return units[i].format(value, out);
    }
    if (strstr(kind, "ppm") != NULL)
        snprintf(out, SHOW_BYTES, "%s", units_format_ratio(value, text));
    else if (strstr(kind, "mhz") != NULL)
        snprintf(out, SHOW_BYTES, "%s", units_format_rate(value, text));
    else if (bytes > 3 && str_equal(kind + bytes - 3, "_ns") && value < 10000)
        snprintf(out, SHOW_BYTES, "%" PRId64 " ns", value);
    else if (bytes > 3 && str_equal(kind + bytes - 3, "_ns"))
        return show_duration(value / 1000, out);
    else
        snprintf(out, SHOW_BYTES, "%" PRId64, value);
    return out;
}

const char *json_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

int64_t json_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

bool json_truth(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

void cleanup_json(json_t **json)
{
    json_decref(*json);
}

static void format_amount(nusd amount, bool sign, char out[SHOW_BYTES])
{
    char text[MONEY_TEXT_BYTES];
    nusd size = amount < 0 ? -amount : amount;
    int decimals = size >= NUSD_PER_USD || size == 0 ? 2 : 4;
    money_format(amount, decimals, text);
    /* What rounds to nothing is no change, and has no sign. */
    bool nothing = strspn(text, "-$0.,") == strlen(text);
    if (nothing)
        snprintf(out, SHOW_BYTES, "%s", size == 0 ? "$0" : "<$0.0001");
    else
        snprintf(out, SHOW_BYTES, "%s%s", sign && amount > 0 ? "+" : "", text);
}
