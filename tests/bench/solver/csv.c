#include "tests/bench/solver/csv.h"

#include <string.h>

#include "base/decimal.h"

#define NUMBER_BYTES 40

void csv_begin(struct csv *csv, const char *text, size_t bytes)
{
    *csv = (struct csv){.at = text, .end = text + bytes};
}

int csv_next(struct csv *csv, struct error *err)
{
    while (csv->at < csv->end) {
        const char *stop = memchr(csv->at, '\n', (size_t)(csv->end - csv->at));
        const char *next = stop == NULL ? csv->end : stop + 1;
        stop = stop == NULL ? csv->end : stop;
        const char *at = csv->at;
        csv->at = next;
        csv->line++;
        stop -= stop > at && stop[-1] == '\r';
        if (at == stop) {
            continue;
        }
        csv->count = 0;
        for (bool more = true; more;) {
            if (csv->count == CSV_FIELDS_MAX) {
                return error_set(err, ERR_LIMIT, 0,
                                 "line %d has more than %d fields (CSV_FIELDS_MAX)", csv->line,
                                 CSV_FIELDS_MAX);
            }
            const char *comma = memchr(at, ',', (size_t)(stop - at));
            more = comma != NULL;
            const char *end = more ? comma : stop;
            csv->field[csv->count++] = (struct csv_field){at, (size_t)(end - at)};
            at = end + more;
        }
        return 1;
    }
    return 0;
}

int csv_expect(const struct csv *csv, int count, struct error *err)
{
    if (csv->count == count) {
        return 0;
    }
    return error_set(err, ERR_INVALID, 0, "line %d has %d fields, not %d", csv->line, csv->count,
                     count);
}

bool csv_is(const struct csv_field *field, const char *text)
{
    return strlen(text) == field->bytes && memcmp(field->at, text, field->bytes) == 0;
}

int csv_micro(const struct csv *csv, int index, const char *what, const char *ending, int64_t most,
              int64_t *ret_micro, struct error *err)
{
    const struct csv_field *field = &csv->field[index];
    size_t tail = strlen(ending);
    char text[NUMBER_BYTES];
    struct decimal value;
    int64_t micro;
    bool good = field->bytes > tail && field->bytes - tail < sizeof(text) &&
                memcmp(field->at + field->bytes - tail, ending, tail) == 0;
    if (good) {
        memcpy(text, field->at, field->bytes - tail);
        text[field->bytes - tail] = '\0';
        good = memchr(text, '\0', field->bytes - tail) == NULL &&
               decimal_parse(text, &value, NULL) == 0 && decimal_scaled(value, 6, &micro) == 0 &&
               micro >= 0 && micro / 1000000 <= most;
    }
    if (!good) {
        return error_set(
            err, ERR_INVALID, 0, "line %d, field %d: %s is not a number from 0 to %lld%s%s",
            csv->line, index + 1, what, (long long)most, ending[0] == '\0' ? "" : " and ", ending);
    }
    *ret_micro = micro;
    return 0;
}

int csv_name(const struct csv *csv, const struct csv_field *field, const char *what,
             char name[LIMIT_NAME_BYTES], struct error *err)
{
    bool good = field->bytes > 0 && field->bytes < LIMIT_NAME_BYTES;
    for (size_t i = 0; good && i < field->bytes; i++) {
        good = field->at[i] > ' ' && field->at[i] <= '~';
    }
    if (!good) {
        return error_set(err, ERR_INVALID, 0,
                         "line %d: %s is not a name of 1 to %d printable characters", csv->line,
                         what, LIMIT_NAME_BYTES - 1);
    }
    memcpy(name, field->at, field->bytes);
    name[field->bytes] = '\0';
    return 0;
}
