#include "model/measures.h"

#include <string.h>

#include "base/str.h"
#include "model/formula.h"

static bool read_measure(struct reader *reader, const struct doc_node *map, const char *name,
                         const struct doc_node *item, struct measure *measure);
static bool check_unit(struct reader *reader, const struct doc_node *item,
                       const struct measure *measure);
static bool read_short(struct reader *reader, const struct doc_node *item, struct measure *measure);

void measures_read(struct reader *reader, const struct doc_node *map, const char *key,
                   struct measures *out)
{
    const struct doc_node *node = doc_map(reader->doc, map, key, 0);
    size_t count = doc_kind(node) == DOC_MAP ? doc_count(node) : 0;
    if (count > LIMIT_MEASURES) {
        doc_problem(reader->doc, node, "%zu measures; at most %d are allowed here", count,
                    LIMIT_MEASURES);
        count = LIMIT_MEASURES;
    }
    *out = (struct measures){read_array(reader, (int)count, sizeof(struct measure)), 0};
    for (size_t i = 0; out->list != NULL && i < count; i++) {
        if (read_measure(reader, node, doc_key(node, i), doc_item(node, i),
                         &out->list[out->count])) {
            out->count++;
        }
    }
}

void measures_write(struct json_out *json, const char *key, const struct measures *measures)
{
    if (measures->count == 0) {
        return;
    }
    json_open(json, key, '{');
    for (int i = 0; i < measures->count; i++) {
        json_open(json, measures->list[i].name, '{');
        json_price(json, "value", measures->list[i].value);
        json_string(json, "unit", measures->list[i].unit);
        json_close(json, '}');
    }
    json_close(json, '}');
}

const struct measure *measures_find(const struct measures *measures, const char *name)
{
    for (int i = 0; i < measures->count; i++) {
        if (str_equal(measures->list[i].name, name)) {
            return &measures->list[i];
        }
    }
    return NULL;
}

bool measure_name_is_valid(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < LIMIT_NAME_BYTES && name[0] >= 'a' && name[0] <= 'z' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

static bool read_measure(struct reader *reader, const struct doc_node *map, const char *name,
                         const struct doc_node *item, struct measure *measure)
{
    struct doc *doc = reader->doc;
    if (!measure_name_is_valid(name)) {
        doc_problem(doc, item,
                    "\"%.80s\" is no name of a measure: 1 to 63 of a-z, 0-9 and '_', a letter "
                    "first, as formulas write it",
                    name);
        return false;
    }
    str_format(measure->name, sizeof(measure->name), "%s", name);
    if (doc_kind(item) == DOC_SCALAR) {
        return read_short(reader, item, measure) && check_unit(reader, item, measure);
    }
    const struct doc_node *node = doc_map(doc, map, name, DOC_REQUIRED);
    bool read = doc_decimal(doc, node, "value", DOC_REQUIRED, &measure->value);
    read =
        doc_string(doc, node, "unit", DOC_REQUIRED, measure->unit, sizeof(measure->unit)) && read;
    doc_close(doc, node);
    return read && check_unit(reader, item, measure);
}

static bool check_unit(struct reader *reader, const struct doc_node *item,
                       const struct measure *measure)
{
    struct error err = {0};
    if (str_equal(measure->unit, FORMULA_UNIT_UNKNOWN)) {
        doc_problem(reader->doc, item, "a measure's unit is known; write g/kWh, USD/month or 1");
        return false;
    }
    if (formula_unit_check(measure->unit, &err) < 0) {
        doc_problem(reader->doc, item, "%.400s", err.text);
        return false;
    }
    return true;
}

/* "440 g/kWh"; a number alone has the unit 1. */
static bool read_short(struct reader *reader, const struct doc_node *item, struct measure *measure)
{
    char text[LIMIT_NAME_BYTES * 2] = "";
    if (!doc_node_string(reader->doc, item, text, sizeof(text))) {
        return false;
    }
    size_t number_bytes = strcspn(text, " ");
    const char *unit = text + number_bytes + strspn(text + number_bytes, " ");
    bool stated = unit[0] != '\0';
    bool fits = strlen(unit) < sizeof(measure->unit);
    if (fits) {
        str_format(measure->unit, sizeof(measure->unit), "%s", stated ? unit : "1");
    }
    text[number_bytes] = '\0';
    if (!fits || decimal_parse(text, &measure->value, NULL) < 0) {
        doc_problem(reader->doc, item,
                    "a measure is a number and its unit, as in \"440 g/kWh\", or {value, unit}");
        return false;
    }
    return true;
}
