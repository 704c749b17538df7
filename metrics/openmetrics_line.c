#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/openmetrics_internal.h"

#define TIME_MAX_MS 253402300799999.0 /* the end of the year 9999 */

static const char *parse_labels(char **at, struct text_sample *out);
static const char *parse_quoted(char **at, char **ret_text);
static const char *parse_tail(char *at, struct text_sample *out);
static const char *parse_time(const char **at, struct text_sample *out);
static const char *parse_exemplar(char *at);
static void skip_blanks(char **at);
static size_t name_length(const char *text, bool colons);
static bool text_is_utf8(const char *text);
static bool number_slow(const char **at, double *ret_value);
static uint64_t hash_text(uint64_t hash, const char *text);

enum { NAME_FIRST = 1, NAME_REST = 2, NAME_COLON = 4 };
static const unsigned char name_class[256] = {
    ['a' ... 'z'] = NAME_FIRST | NAME_REST,
    ['A' ... 'Z'] = NAME_FIRST | NAME_REST,
    ['_'] = NAME_FIRST | NAME_REST,
    ['0' ... '9'] = NAME_REST,
    [':'] = NAME_COLON,
};

/* Powers of ten that a double holds exactly: a mantissa below 2^53 times or over one of them is
 * rounded once, thus correctly. */
static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

const char *text_sample_parse(char *text, struct text_sample *out)
{
    char *at = text;
    out->label_count = 0;
    size_t bytes = name_length(at, true);
    char *name = bytes > 0 ? at : NULL;
    at += bytes;
    if (bytes >= LIMIT_METRIC_NAME_BYTES)
        return "a name longer than LIMIT_METRIC_NAME_BYTES";
    if (name == NULL && *at != '{')
        return "the line does not begin with a metric's name";
    char *name_end = at;
    if (name != NULL && *at != '{' && *at != ' ' && *at != '\t' && *at != 0)
        return "a metric's name has only letters, digits, '_' and ':'";
    skip_blanks(&at);
    out->name = name;
    if (*at == '{') {
        *name_end = 0; /* the brace itself, when it stands there: it is passed now */
        at++;
        const char *wrong = parse_labels(&at, out);
        if (wrong != NULL)
            return wrong;
    } else {
        *name_end = 0;
        if (at == name_end)
            return "the value is missing";
    }
    if (out->name == NULL)
        return "there is no metric's name";
    return parse_tail(at, out);
}

char *text_word(char **at)
{
    skip_blanks(at);
    char *word = *at;
    while (**at != 0 && **at != ' ' && **at != '\t')
        (*at)++;
    if (**at != 0)
        *(*at)++ = 0;
    return word;
}

char *text_metric_word(char **at)
{
    skip_blanks(at);
    if (**at == '"') {
        char *name = NULL;
        return parse_quoted(at, &name) == NULL && name[0] != 0 ? name : NULL;
    }
    char *word = text_word(at);
    return word[0] != 0 && name_length(word, true) == strlen(word) ? word : NULL;
}

/* Up to 19 digits with a point are exact in an integer; the rest, and words, take the long way. */
bool text_number(const char **at, double *ret_value)
{
    const char *text = *at;
    bool negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    uint64_t mantissa = 0;
    int digits = 0;
    int scale = 0;
    for (; *text >= '0' && *text <= '9'; text++, digits++)
        mantissa = mantissa * 10 + (uint64_t)(*text - '0');
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++, digits++, scale++)
            mantissa = mantissa * 10 + (uint64_t)(*text - '0');
    if (digits > 0 && digits <= 18 && (*text == 'e' || *text == 'E')) {
        const char *exponent = text + 1;
        bool down = *exponent == '-';
        if (*exponent == '-' || *exponent == '+')
            exponent++;
        int value = 0;
        int places = 0;
        for (; *exponent >= '0' && *exponent <= '9' && places < 4; exponent++, places++)
            value = value * 10 + (*exponent - '0');
        if (places == 0 || places == 4)
            return number_slow(at, ret_value);
        scale += down ? value : -value;
        text = exponent;
    }
    bool ends = *text == 0 || *text == ' ' || *text == '\t';
    if (!ends || digits == 0 || digits > 18 || mantissa > (UINT64_C(1) << 53) || scale > 22 ||
        scale < -22)
        return number_slow(at, ret_value);
    double value = (double)mantissa;
    value = scale >= 0 ? value / exact_powers[scale] : value * exact_powers[-scale];
    *ret_value = negative ? -value : value;
    *at = text;
    return true;
}

/* Each label is hashed by itself and the hashes are added, so that their order is of no account. */
uint64_t metric_hash(const char *name, const struct metric_label *labels, int label_count)
{
    uint64_t hash = hash_text(UINT64_C(0x9e3779b97f4a7c15), name);
    for (int i = 0; i < label_count; i++)
        hash += hash_text(hash_text(UINT64_C(0xd6e8feb86659fd93), labels[i].name), labels[i].value);
    hash ^= hash >> 32;
    hash *= UINT64_C(0xd6e8feb86659fd93);
    hash ^= hash >> 29;
    return hash == 0 ? 1 : hash;
}

static const char *parse_labels(char **at, struct text_sample *out)
{
    for (;;) {
        skip_blanks(at);
        if (**at == '}') {
            (*at)++;
            return NULL;
        }
        bool quoted = **at == '"';
        char *name = *at;
        if (quoted) {
            const char *wrong = parse_quoted(at, &name);
            if (wrong != NULL)
                return wrong;
        }
        size_t bytes = quoted ? strlen(name) : name_length(name, false);
        if (bytes == 0)
            return "a label's name has only letters, digits and '_'";
        if (!quoted)
            *at += bytes;
        char *name_end = *at;
        skip_blanks(at);
        if (quoted && **at != '=') {
            if (out->name != NULL || out->label_count > 0)
                return "a quoted name without a value, and not in the first place";
            if (bytes >= LIMIT_METRIC_NAME_BYTES)
                return "a name longer than LIMIT_METRIC_NAME_BYTES";
            out->name = name;
        } else {
            char *value = NULL;
            if (**at != '=')
                return "a label without '='";
            (*at)++;
            if (!quoted)
                *name_end = 0;
            skip_blanks(at);
            const char *wrong =
                **at == '"' ? parse_quoted(at, &value) : "a label's value is not in quotes";
            if (wrong != NULL)
                return wrong;
            for (int i = 0; i < out->label_count; i++)
                if (str_equal(out->labels[i].name, name))
                    return "a label comes twice";
            if (value[0] != 0) { /* without a value it is as if it were not there */
                if (out->label_count == LIMIT_METRIC_LABELS)
                    return "more labels than LIMIT_METRIC_LABELS";
                out->labels[out->label_count++] =
                    (struct metric_label){.name = name, .value = value};
            }
        }
        skip_blanks(at);
        if (**at == ',')
            (*at)++;
        else if (**at != '}')
            return "labels are not separated by ',' or not closed by '}'";
    }
}

/* A text in double quotes with \\, \" and \n, unescaped where it stands. */
static const char *parse_quoted(char **at, char **ret_text)
{
    char *from = *at + 1;
    char *stop = from;
    bool plain = true;
    while (*stop != '"' && *stop != '\\' && *stop != 0) {
        plain = plain && (unsigned char)*stop < 0x80;
        stop++;
    }
    char *to = stop;
    while (*stop != '"') {
        if (*stop == 0)
            return "a quoted text is not closed";
        plain = plain && (unsigned char)*stop < 0x80;
        if (*stop == '\\') {
            stop++;
            if (*stop != '\\' && *stop != '"' && *stop != 'n')
                return "after a backslash only '\\', '\"' and 'n' are known";
            *to++ = *stop == 'n' ? '\n' : *stop;
            stop++;
        } else {
            *to++ = *stop++;
        }
    }
    *to = 0;
    if (!plain && !text_is_utf8(from))
        return "a text that is not UTF-8";
    *at = stop + 1;
    *ret_text = from;
    return NULL;
}

/* What follows the series: value, time, in OpenMetrics an exemplar. */
static const char *parse_tail(char *at, struct text_sample *out)
{
    skip_blanks(&at);
    const char *rest = at;
    if (*rest == 0)
        return "the value is missing";
    if (!text_number(&rest, &out->value))
        return "the value is not a number";
    at += rest - at;
    skip_blanks(&at);
    out->has_time = false;
    if (*at != 0 && *at != '#') {
        rest = at;
        const char *wrong = parse_time(&rest, out);
        if (wrong != NULL)
            return wrong;
        at += rest - at;
        skip_blanks(&at);
    }
    if (*at == 0)
        return NULL;
    if (*at == '#' && out->open)
        return parse_exemplar(at + 1);
    return "there is more after the value and its time";
}

static const char *parse_time(const char **at, struct text_sample *out)
{
    static const char wrong[] = "the time is not a number";
    double time = 0;
    if (out->open) { /* seconds, with a fraction */
        if (!text_number(at, &time))
            return wrong;
        time = round(time * 1000);
    } else {
        const char *digit = *at + (**at == '-');
        if (*digit < '0' || *digit > '9')
            return wrong;
        while (*digit >= '0' && *digit <= '9')
            digit++;
        if ((*digit != 0 && *digit != ' ' && *digit != '\t') || !text_number(at, &time))
            return wrong;
    }
    if (!(time >= -TIME_MAX_MS && time <= TIME_MAX_MS))
        return "the time is out of range";
    out->has_time = true;
    out->time_ms = (int64_t)time;
    return NULL;
}

/* {labels} value [time]: checked, so that a wrong one is told, and otherwise of no use here. */
static const char *parse_exemplar(char *at)
{
    struct metric_label labels[LIMIT_METRIC_LABELS];
    struct text_sample unused = {.labels = labels, .open = true, .name = "exemplar"};
    skip_blanks(&at);
    if (*at != '{')
        return "an exemplar begins with '{'";
    at++;
    const char *wrong = parse_labels(&at, &unused);
    if (wrong == NULL)
        wrong = parse_tail(at, &unused);
    return wrong;
}

static void skip_blanks(char **at)
{
    while (**at == ' ' || **at == '\t')
        (*at)++;
}

static size_t name_length(const char *text, bool colons)
{
    unsigned first = NAME_FIRST | (colons ? NAME_COLON : 0);
    unsigned rest = NAME_REST | (colons ? NAME_COLON : 0);
    if ((name_class[(unsigned char)*text] & first) == 0)
        return 0;
    size_t bytes = 1;
    while ((name_class[(unsigned char)text[bytes]] & rest) != 0)
        bytes++;
    return bytes;
}

static bool text_is_utf8(const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        size_t bytes = str_utf8_bytes(text, left);
        if (bytes == 0)
            return false;
        text += bytes;
        left -= bytes;
    }
    return true;
}

/* By the C library, whose locale the programs of Berth never set. It would also take "0x1p3", which
 * is fine, and "nan(...)", which is not. */
static bool number_slow(const char **at, double *ret_value)
{
    const char *text = *at;
    char *end = NULL;
    if (*text == ' ' || *text == 0 || strpbrk(text, "(") != NULL)
        return false;
    double value = strtod(text, &end);
    if (end == text || (*end != 0 && *end != ' ' && *end != '\t'))
        return false;
    *ret_value = value;
    *at = end;
    return true;
}

/* Eight bytes at a time; for tables in memory only, never for what is kept or sent. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    size_t left = strlen(text);
    hash ^= left * UINT64_C(0xff51afd7ed558ccd);
    while (left > 0) {
        uint64_t word = 0;
        size_t bytes = left < 8 ? left : 8;
        memcpy(&word, text, bytes);
        hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 32;
        text += bytes;
        left -= bytes;
    }
    return hash;
}
