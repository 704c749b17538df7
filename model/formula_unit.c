/* Units: words and their powers, and the exact factors between those that are related. */
#include <string.h>

#include "base/str.h"
#include "model/formula_internal.h"
#include "model/types.h"

enum base {
    BASE_SECOND,
    BASE_GRAM,
    BASE_JOULE,
    BASE_BYTE,
    BASE_USD,
    BASE_CALL,
    BASE_VCPU,
    BASE_REPLICA,
    BASE_COUNT
};

/* A word as a factor of base^exponent, or of base per second when it is a power. */
struct known_word {
    const char *text;
    enum base base;
    bool per_second;
    int64_t numerator;
    int64_t denominator;
};

#define KILO INT64_C(1000)
#define MEGA INT64_C(1000000)
#define GIGA INT64_C(1000000000)
#define TERA INT64_C(1000000000000)

static const struct known_word known_words[] = {
    {"us", BASE_SECOND, false, 1, MEGA},
    {"ms", BASE_SECOND, false, 1, KILO},
    {"s", BASE_SECOND, false, 1, 1},
    {"min", BASE_SECOND, false, 60, 1},
    {"h", BASE_SECOND, false, 3600, 1},
    {"day", BASE_SECOND, false, 86400, 1},
    {"month", BASE_SECOND, false, INT64_C(3600) * HOURS_PER_MONTH, 1},
    {"year", BASE_SECOND, false, INT64_C(12) * 3600 * HOURS_PER_MONTH, 1},
    {"mg", BASE_GRAM, false, 1, KILO},
    {"g", BASE_GRAM, false, 1, 1},
    {"kg", BASE_GRAM, false, KILO, 1},
    {"t", BASE_GRAM, false, MEGA, 1},
    {"J", BASE_JOULE, false, 1, 1},
    {"kJ", BASE_JOULE, false, KILO, 1},
    {"MJ", BASE_JOULE, false, MEGA, 1},
    {"GJ", BASE_JOULE, false, GIGA, 1},
    {"Wh", BASE_JOULE, false, 3600, 1},
    {"kWh", BASE_JOULE, false, 3600 * KILO, 1},
    {"MWh", BASE_JOULE, false, 3600 * MEGA, 1},
    {"GWh", BASE_JOULE, false, 3600 * GIGA, 1},
    {"mW", BASE_JOULE, true, 1, KILO},
    {"W", BASE_JOULE, true, 1, 1},
    {"kW", BASE_JOULE, true, KILO, 1},
    {"MW", BASE_JOULE, true, MEGA, 1},
    {"B", BASE_BYTE, false, 1, 1},
    {"KB", BASE_BYTE, false, KILO, 1},
    {"MB", BASE_BYTE, false, MEGA, 1},
    {"GB", BASE_BYTE, false, GIGA, 1},
    {"TB", BASE_BYTE, false, TERA, 1},
    {"PB", BASE_BYTE, false, INT64_C(1000000000000000), 1},
    {"KiB", BASE_BYTE, false, INT64_C(1) << 10, 1},
    {"MiB", BASE_BYTE, false, INT64_C(1) << 20, 1},
    {"GiB", BASE_BYTE, false, INT64_C(1) << 30, 1},
    {"TiB", BASE_BYTE, false, INT64_C(1) << 40, 1},
    {"PiB", BASE_BYTE, false, INT64_C(1) << 50, 1},
    {"USD", BASE_USD, false, 1, 1},
    {"call", BASE_CALL, false, 1, 1},
    {"vCPU", BASE_VCPU, false, 1, 1},
    {"replica", BASE_REPLICA, false, 1, 1},
};
#define KNOWN_COUNT ((int)(sizeof(known_words) / sizeof(known_words[0])))

/* Exponents by base dimension; words without a meaning of their own are dimensions by themselves.
 */
struct dimensions {
    int base[BASE_COUNT];
    int word[UNIT_WORDS];
};

static int read_word(struct unit_words *words, const char **at, int sign, struct unit *unit,
                     struct error *err);
static int word_index(struct unit_words *words, const char *text, size_t bytes, struct error *err);
static const struct known_word *find_known(const char *word);
static void add_dimensions(const struct unit_words *words, const struct unit *unit, int sign,
                           struct dimensions *dimensions);
static int apply_factor(struct formula_value *factor, const struct known_word *known, int exponent);

int formula_unit_check(const char *unit, struct error *err)
{
    struct unit_words words = {.count = 0};
    struct unit result;
    return unit_read(&words, unit, &result, err);
}

int unit_read(struct unit_words *words, const char *text, struct unit *ret_unit, struct error *err)
{
    struct unit unit = {.unknown = false};
    const char *at = text;
    int sign = 1;
    if (str_equal(text, FORMULA_UNIT_UNKNOWN)) {
        *ret_unit = (struct unit){.unknown = true};
        return 0;
    }
    for (bool first = true;; first = false) {
        if (first && *at == '1') {
            at++;
        } else {
            int rc = read_word(words, &at, sign, &unit, err);
            if (rc < 0) {
                return error_prefix(err, "unit \"%.*s\"", LIMIT_NAME_BYTES, text);
            }
        }
        if (*at == '\0') {
            break;
        }
        if (*at != '*' && *at != '/') {
            return error_set(err, ERR_INVALID, 0,
                             "unit \"%.*s\": words are joined by * and / without blanks, as in "
                             "g/kWh or USD/vCPU/h",
                             LIMIT_NAME_BYTES, text);
        }
        sign = *at == '*' ? 1 : -1;
        at++;
    }
    *ret_unit = unit;
    return 0;
}

int unit_multiply(const struct unit *a, const struct unit *b, int power, struct unit *ret_unit,
                  struct error *err)
{
    struct unit result = {.unknown = a->unknown || b->unknown};
    for (int i = 0; i < UNIT_WORDS; i++) {
        int exponent = a->exponent[i] + power * b->exponent[i];
        if (exponent > UNIT_EXPONENT_MAX || exponent < -UNIT_EXPONENT_MAX) {
            return error_set(err, ERR_LIMIT, 0, "a unit's power passes %d", UNIT_EXPONENT_MAX);
        }
        result.exponent[i] = (int8_t)exponent;
    }
    *ret_unit = result;
    return 0;
}

int unit_factor(const struct unit_words *words, const struct unit *from, const struct unit *to,
                struct formula_value *ret_factor)
{
    struct formula_value factor = {1, 1};
    struct dimensions dimensions = {.base = {0}};
    if (from->unknown || to->unknown || from->any || to->any) {
        *ret_factor = factor;
        return 0;
    }
    add_dimensions(words, from, 1, &dimensions);
    add_dimensions(words, to, -1, &dimensions);
    for (int i = 0; i < BASE_COUNT; i++) {
        if (dimensions.base[i] != 0) {
            return ERR_INVALID;
        }
    }
    for (int i = 0; i < words->count; i++) {
        const struct known_word *known = find_known(words->text[i]);
        if (dimensions.word[i] != 0) {
            return ERR_INVALID;
        }
        if (known != NULL &&
            apply_factor(&factor, known, from->exponent[i] - to->exponent[i]) < 0) {
            return ERR_OVERFLOW;
        }
    }
    *ret_factor = factor;
    return 0;
}

const char *unit_text(const struct unit_words *words, const struct unit *unit,
                      char out[UNIT_TEXT_BYTES])
{
    size_t used = 0;
    for (int sign = 1; sign >= -1; sign -= 2) {
        for (int i = 0; i < words->count && !unit->unknown; i++) {
            int exponent = sign * unit->exponent[i];
            char power[8] = "";
            if (exponent <= 0) {
                continue;
            }
            if (exponent > 1) {
                str_format(power, sizeof(power), "^%d", exponent);
            }
            const char *join = sign < 0 ? (used == 0 ? "1/" : "/") : used == 0 ? "" : "*";
            if (used + strlen(join) + strlen(words->text[i]) + sizeof(power) + sizeof("...") >=
                UNIT_TEXT_BYTES) {
                str_format(out + used, UNIT_TEXT_BYTES - used, "...");
                return out;
            }
            str_format(out + used, UNIT_TEXT_BYTES - used, "%s%s%s", join, words->text[i], power);
            used += strlen(out + used);
        }
    }
    if (used == 0) {
        str_format(out, UNIT_TEXT_BYTES, "%s", unit->unknown ? FORMULA_UNIT_UNKNOWN : "1");
    }
    return out;
}

bool unit_word_is_known(const char *word)
{
    return find_known(word) != NULL;
}

const char *unit_word_near(const char *word)
{
    const char *candidates[KNOWN_COUNT];
    for (int i = 0; i < KNOWN_COUNT; i++) {
        candidates[i] = known_words[i].text;
    }
    return str_nearest(word, candidates, (size_t)KNOWN_COUNT);
}

bool unit_letter(char letter)
{
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
}

bool unit_digit(char letter)
{
    return letter >= '0' && letter <= '9';
}

/* word ["^" ["-"] digits] */
static int read_word(struct unit_words *words, const char **at, int sign, struct unit *unit,
                     struct error *err)
{
    const char *begin = *at;
    const char *end = begin;
    while (unit_letter(*end) || (end > begin && (unit_digit(*end) || *end == '_'))) {
        end++;
    }
    if (end == begin) {
        return error_set(err, ERR_INVALID, 0,
                         "a word of letters is missing%s%.*s; write g/kWh, USD/month or 1",
                         *begin == '\0' ? " at the end" : " before ",
                         (int)(*begin == '\0' ? 0 : str_utf8_bytes(begin, strlen(begin))), begin);
    }
    int index = word_index(words, begin, (size_t)(end - begin), err);
    if (index < 0) {
        return index;
    }
    int power = 1;
    if (*end == '^') {
        bool negative = *++end == '-';
        end += negative;
        if (!unit_digit(*end)) {
            return error_set(err, ERR_INVALID, 0, "a whole number belongs behind ^, as in m^2");
        }
        for (power = 0; unit_digit(*end) && power <= UNIT_EXPONENT_MAX; end++) {
            power = power * 10 + (*end - '0');
        }
        power = negative ? -power : power;
    }
    int exponent = unit->exponent[index] + sign * power;
    if (exponent > UNIT_EXPONENT_MAX || exponent < -UNIT_EXPONENT_MAX) {
        return error_set(err, ERR_LIMIT, 0, "a power passes %d", UNIT_EXPONENT_MAX);
    }
    unit->exponent[index] = (int8_t)exponent;
    *at = end;
    return 0;
}

static int word_index(struct unit_words *words, const char *text, size_t bytes, struct error *err)
{
    if (bytes >= LIMIT_NAME_BYTES) {
        return error_set(err, ERR_LIMIT, 0, "a word has more than %d letters",
                         LIMIT_NAME_BYTES - 1);
    }
    for (int i = 0; i < words->count; i++) {
        if (strlen(words->text[i]) == bytes && memcmp(words->text[i], text, bytes) == 0) {
            return i;
        }
    }
    if (words->count == UNIT_WORDS) {
        return error_set(err, ERR_LIMIT, 0, "the formula meets more than %d different unit words",
                         UNIT_WORDS);
    }
    memcpy(words->text[words->count], text, bytes);
    words->text[words->count][bytes] = '\0';
    return words->count++;
}

static const struct known_word *find_known(const char *word)
{
    for (int i = 0; i < KNOWN_COUNT; i++) {
        if (str_equal(known_words[i].text, word)) {
            return &known_words[i];
        }
    }
    return NULL;
}

static void add_dimensions(const struct unit_words *words, const struct unit *unit, int sign,
                           struct dimensions *dimensions)
{
    for (int i = 0; i < words->count; i++) {
        const struct known_word *known = find_known(words->text[i]);
        int exponent = sign * unit->exponent[i];
        if (known == NULL) {
            dimensions->word[i] += exponent;
            continue;
        }
        dimensions->base[known->base] += exponent;
        if (known->per_second) {
            dimensions->base[BASE_SECOND] -= exponent;
        }
    }
}

static int apply_factor(struct formula_value *factor, const struct known_word *known, int exponent)
{
    struct formula_value each = {known->numerator, known->denominator};
    int rc = 0;
    for (int i = 0; i < exponent && rc == 0; i++) {
        rc = fraction_multiply(*factor, each, factor);
    }
    for (int i = 0; i > exponent && rc == 0; i--) {
        rc = fraction_divide(*factor, each, factor);
    }
    return rc;
}
