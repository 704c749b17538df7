/* The text of a formula as a tree: every operation is checked for its units while it is read. */
#include "model/formula.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "model/formula_internal.h"
#include "model/formula_tree.h"

#define DEPTH_MAX  32
#define NAME_BYTES (LIMIT_NAME_BYTES * 2)

/* A formula while it is read. Every parse function gives the index of a node, or an error. */
struct parser {
    const char *text;
    const char *at;
    const struct formula_name *names;
    int name_count;
    int depth;
    int unknown; /* the first used name whose unit is not known; -1 */
    struct unit_words words;
    struct formula_node nodes[LIMIT_FORMULA_NODES];
    struct unit units[LIMIT_FORMULA_NODES];
    int node_count;
    struct error *err;
};

static int parse_sum(struct parser *parser);
static int parse_product(struct parser *parser);
static int parse_unary(struct parser *parser);
static int parse_atom(struct parser *parser);
static int parse_number(struct parser *parser);
static int parse_unit(struct parser *parser, struct unit *ret_unit);
static int parse_word(struct parser *parser);
static int parse_name(struct parser *parser, const char *begin, const char *word);
static int parse_extremum(struct parser *parser, const char *begin, enum formula_node_kind kind);
static int parse_if(struct parser *parser, const char *begin);
static int parse_condition(struct parser *parser);
static int add_node(struct parser *parser, const char *at, enum formula_node_kind kind, int a,
                    int b);
static int add_product(struct parser *parser, const char *at, enum formula_node_kind kind, int a,
                       int b);
static int add_alike(struct parser *parser, const char *at, enum formula_node_kind kind, int a,
                     int b);
static int match_units(struct parser *parser, const char *at, int a, int b,
                       struct formula_value *ret_factor, struct unit *ret_unit);
static int check_result(struct parser *parser, int root, const char *unit,
                        struct formula_value *ret_factor);
static int keep(const struct parser *parser, int root, struct formula_value factor,
                struct arena *arena, struct formula **ret_formula);
static bool unit_goes_on(struct parser *parser, const char *at, char word[LIMIT_NAME_BYTES]);
static int find_name(const struct parser *parser, const char *name);
static bool word_is_introduced(const struct parser *parser, const char *word);
static const char *word_end(const char *at, bool dotted);
static int take(struct parser *parser, char letter);
static void skip_blanks(struct parser *parser);
static int fail_at(struct parser *parser, const char *at, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static int fail_unexpected(struct parser *parser, const char *wanted);
static bool is_builtin(const char *name);

const struct formula_name formula_builtins[BUILTIN_COUNT + 1] = {
    [BUILTIN_VCPU_HOURS] = {"vcpu_hours", "vCPU*h"},
    [BUILTIN_GIB_HOURS] = {"gib_hours", "GiB*h"},
    [BUILTIN_STORAGE_GIB_MONTHS] = {"storage_gib_months", "GiB*month"},
    [BUILTIN_CALLS] = {"calls", "call"},
    [BUILTIN_GIB_IN] = {"gib_in", "GiB"},
    [BUILTIN_GIB_OUT] = {"gib_out", "GiB"},
    [BUILTIN_DEVICE_CPU_S] = {"device_cpu_s", "s"},
    [BUILTIN_HIT_RATIO] = {"hit_ratio", "1"},
    [BUILTIN_REPLICAS] = {"replicas", "replica"},
    [BUILTIN_COUNT] = {"", ""},
};

int formula_parse(const char *text, const struct formula_name *names, int name_count,
                  const char *unit, struct arena *arena, struct formula **ret_formula,
                  struct error *err)
{
    struct error scratch = {.code = 0};
    struct parser parser = {.text = text,
                            .at = text,
                            .names = names,
                            .name_count = name_count,
                            .unknown = -1,
                            .err = err != NULL ? err : &scratch};
    struct formula_value factor;
    if (strnlen(text, LIMIT_FORMULA_BYTES) == LIMIT_FORMULA_BYTES) {
        return error_set(err, ERR_LIMIT, 0, "a formula has at most %d bytes",
                         LIMIT_FORMULA_BYTES - 1);
    }
    int root = parse_sum(&parser);
    if (root < 0) {
        return root;
    }
    if (*parser.at != '\0') {
        return fail_unexpected(&parser, "an operator (+ - * /) or the end");
    }
    int rc = check_result(&parser, root, unit, &factor);
    if (rc < 0) {
        return rc;
    }
    if (keep(&parser, root, factor, arena, ret_formula) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a formula");
    }
    return 0;
}

bool formula_uses(const struct formula *formula, const char *name)
{
    for (int i = 0; i < formula->used_count; i++) {
        if (str_equal(formula->used[i].name, name)) {
            return true;
        }
    }
    return false;
}

bool formula_name_at(const char *text, int index, char out[LIMIT_NAME_BYTES * 2])
{
    const char *end = text + strnlen(text, LIMIT_FORMULA_BYTES);
    char seen[LIMIT_FORMULA_NODES][NAME_BYTES];
    int seen_count = 0;
    for (const char *at = text; at < end && seen_count < LIMIT_FORMULA_NODES;) {
        const char *begin = at;
        if (unit_digit(*at)) {
            /* The exponent of a number and the unit that follows it at once are no names. */
            while (unit_digit(*at) || unit_letter(*at) || *at == '.') {
                at++;
            }
            continue;
        }
        at = word_end(at, true);
        size_t bytes = (size_t)(at - begin);
        if (bytes == 0 || bytes >= NAME_BYTES) {
            at += bytes == 0;
            continue;
        }
        char *name = seen[seen_count];
        memcpy(name, begin, bytes);
        name[bytes] = '\0';
        bool again = strchr(name, '.') == NULL && !is_builtin(name);
        for (int i = 0; i < seen_count && !again; i++) {
            again = str_equal(seen[i], name);
        }
        if (!again && seen_count++ == index) {
            str_format(out, NAME_BYTES, "%s", name);
            return true;
        }
    }
    return false;
}

static int parse_sum(struct parser *parser)
{
    if (++parser->depth > DEPTH_MAX) {
        return fail_at(parser, parser->at, ERR_LIMIT,
                       "more than %d levels of brackets; divide the formula", DEPTH_MAX);
    }
    int left = parse_product(parser);
    while (left >= 0 && (*parser->at == '+' || *parser->at == '-')) {
        const char *at = parser->at++;
        int right = parse_product(parser);
        left = right < 0
                   ? right
                   : add_alike(parser, at, *at == '+' ? NODE_ADD : NODE_SUBTRACT, left, right);
    }
    parser->depth--;
    return left;
}

static int parse_product(struct parser *parser)
{
    int left = parse_unary(parser);
    while (left >= 0 && (*parser->at == '*' || *parser->at == '/')) {
        const char *at = parser->at++;
        int right = parse_unary(parser);
        left = right < 0
                   ? right
                   : add_product(parser, at, *at == '*' ? NODE_MULTIPLY : NODE_DIVIDE, left, right);
    }
    return left;
}

static int parse_unary(struct parser *parser)
{
    skip_blanks(parser);
    if (*parser->at != '-') {
        return parse_atom(parser);
    }
    const char *at = parser->at++;
    int inner = parse_atom(parser);
    if (inner < 0) {
        return inner;
    }
    struct unit unit = parser->units[inner];
    int node = add_node(parser, at, NODE_NEGATE, inner, -1);
    if (node >= 0) {
        parser->units[node] = unit;
    }
    return node;
}

/* Leaves the parser at what follows, blanks skipped. */
static int parse_atom(struct parser *parser)
{
    int node;
    skip_blanks(parser);
    if (*parser->at == '(') {
        parser->at++;
        node = parse_sum(parser);
        int rc = node < 0 ? node : take(parser, ')');
        node = rc < 0 ? rc : node;
    } else if (unit_digit(*parser->at)) {
        node = parse_number(parser);
    } else if (unit_letter(*parser->at)) {
        node = parse_word(parser);
    } else {
        return fail_unexpected(parser, "a number, a name, min, max, if or (");
    }
    skip_blanks(parser);
    return node;
}

static int parse_number(struct parser *parser)
{
    const char *begin = parser->at;
    const char *end = begin;
    char text[NAME_BYTES];
    struct decimal value;
    while (unit_digit(*end) || *end == '.') {
        end++;
    }
    const char *exponent =
        end + 1 + ((end[0] == 'e' || end[0] == 'E') && (end[1] == '+' || end[1] == '-'));
    if ((*end == 'e' || *end == 'E') && unit_digit(*exponent)) {
        for (end = exponent; unit_digit(*end); end++) {
        }
    }
    if ((size_t)(end - begin) >= sizeof(text)) {
        return fail_at(parser, begin, ERR_LIMIT, "a number has at most %d digits here", NAME_BYTES);
    }
    memcpy(text, begin, (size_t)(end - begin));
    text[end - begin] = '\0';
    int rc = decimal_parse(text, &value, parser->err);
    if (rc < 0) {
        return error_prefix(parser->err, "column %d", (int)(begin - parser->text) + 1);
    }
    parser->at = end;
    struct unit unit;
    rc = parse_unit(parser, &unit);
    int node = rc < 0 ? rc : add_node(parser, begin, NODE_NUMBER, -1, -1);
    if (node >= 0) {
        unit.any = value.coefficient == 0 && rc == 0;
        parser->nodes[node].value = formula_value_of(value);
        parser->units[node] = unit;
    }
    return node;
}

/* The unit behind a number, as far as it goes; returns how many words it has. Names are no units:
 * `2 kg * calls` is a product. */
static int parse_unit(struct parser *parser, struct unit *ret_unit)
{
    char word[LIMIT_NAME_BYTES];
    struct unit unit = {.unknown = false};
    int count = 0;
    for (int sign = 1;; count++) {
        const char *at = parser->at + strspn(parser->at, " \t\n");
        if (count > 0 && (*at == '*' || *at == '/')) {
            sign = *at++ == '*' ? 1 : -1;
            at += strspn(at, " \t\n");
        } else if (count > 0) {
            break;
        }
        if (!unit_goes_on(parser, at, word)) {
            break;
        }
        const char *end = word_end(at, false);
        char piece[LIMIT_NAME_BYTES + 8];
        size_t power = *end == '^' ? 1 + strspn(end + 1, "-0123456789") : 0;
        if (power > 4) {
            return fail_at(parser, end, ERR_LIMIT, "a unit's power is between -99 and 99");
        }
        str_format(piece, sizeof(piece), "%s%.*s", word, (int)power, end);
        struct unit one;
        int rc = unit_read(&parser->words, piece, &one, parser->err);
        if (rc == 0) {
            rc = unit_multiply(&unit, &one, sign, &unit, parser->err);
        }
        if (rc < 0) {
            return error_prefix(parser->err, "column %d", (int)(at - parser->text) + 1);
        }
        parser->at = end + power;
    }
    *ret_unit = unit;
    return count;
}

static int parse_word(struct parser *parser)
{
    const char *begin = parser->at;
    const char *end = word_end(begin, true);
    char word[NAME_BYTES];
    if ((size_t)(end - begin) >= sizeof(word)) {
        return fail_at(parser, begin, ERR_LIMIT, "a name has at most %d letters", NAME_BYTES - 1);
    }
    memcpy(word, begin, (size_t)(end - begin));
    word[end - begin] = '\0';
    parser->at = end;
    skip_blanks(parser);
    if (*parser->at != '(') {
        return parse_name(parser, begin, word);
    }
    if (str_equal(word, "min")) {
        return parse_extremum(parser, begin, NODE_MIN);
    }
    if (str_equal(word, "max")) {
        return parse_extremum(parser, begin, NODE_MAX);
    }
    if (str_equal(word, "if")) {
        return parse_if(parser, begin);
    }
    return fail_at(parser, begin, ERR_INVALID, "there is no function %s; there are min, max and if",
                   word);
}

static int parse_name(struct parser *parser, const char *begin, const char *word)
{
    const char *candidates[64];
    size_t candidate_count = 0;
    int index = find_name(parser, word);
    if (index >= 0) {
        struct unit unit;
        int rc = unit_read(&parser->words, parser->names[index].unit, &unit, parser->err);
        if (rc < 0) {
            return error_prefix(parser->err, "column %d: %s", (int)(begin - parser->text) + 1,
                                word);
        }
        if (unit.unknown && parser->unknown < 0) {
            parser->unknown = index;
        }
        int node = add_node(parser, begin, NODE_NAME, -1, -1);
        if (node >= 0) {
            parser->nodes[node].name = index;
            parser->units[node] = unit;
        }
        return node;
    }
    if (unit_word_is_known(word)) {
        return fail_at(parser, begin, ERR_INVALID,
                       "%s is a unit and belongs behind a number, as in 1 %s", word, word);
    }
    for (int i = 0; i < parser->name_count && candidate_count < 64; i++) {
        candidates[candidate_count++] = parser->names[i].name;
    }
    const char *near = str_nearest(word, candidates, candidate_count);
    return fail_at(parser, begin, ERR_INVALID,
                   "there is no name %s%s%s%s; a formula uses built-in names such as vcpu_hours, "
                   "and site.<measure> and workload.<measure>",
                   word, near != NULL ? ": did you mean " : "", near != NULL ? near : "",
                   near != NULL ? "?" : "");
}

static int parse_extremum(struct parser *parser, const char *begin, enum formula_node_kind kind)
{
    int rc = take(parser, '(');
    int left = rc < 0 ? rc : parse_sum(parser);
    if (left >= 0 && *parser->at != ',') {
        return fail_unexpected(parser, "a comma (min and max take two or more)");
    }
    while (left >= 0 && *parser->at == ',') {
        parser->at++;
        int right = parse_sum(parser);
        left = right < 0 ? right : add_alike(parser, begin, kind, left, right);
    }
    rc = left < 0 ? left : take(parser, ')');
    return rc < 0 ? rc : left;
}

static int parse_if(struct parser *parser, const char *begin)
{
    int rc = take(parser, '(');
    int condition = rc < 0 ? rc : parse_condition(parser);
    rc = condition < 0 ? condition : take(parser, ',');
    int yes = rc < 0 ? rc : parse_sum(parser);
    rc = yes < 0 ? yes : take(parser, ',');
    int no = rc < 0 ? rc : parse_sum(parser);
    rc = no < 0 ? no : take(parser, ')');
    int node = rc < 0 ? rc : add_alike(parser, begin, NODE_IF, yes, no);
    if (node >= 0) {
        parser->nodes[node].condition = condition;
    }
    return node;
}

static int parse_condition(struct parser *parser)
{
    static const struct {
        const char *text;
        enum formula_node_kind kind;
    } comparisons[] = {{"<=", NODE_AT_MOST},   {">=", NODE_AT_LEAST}, {"==", NODE_EQUAL},
                       {"!=", NODE_DIFFERENT}, {"<", NODE_BELOW},     {">", NODE_ABOVE}};
    int left = parse_sum(parser);
    if (left < 0) {
        return left;
    }
    for (size_t i = 0; i < sizeof(comparisons) / sizeof(comparisons[0]); i++) {
        const char *at = parser->at;
        if (str_starts(at, comparisons[i].text)) {
            parser->at += strlen(comparisons[i].text);
            int right = parse_sum(parser);
            return right < 0 ? right : add_alike(parser, at, comparisons[i].kind, left, right);
        }
    }
    return fail_unexpected(parser, "a comparison (< <= > >= == !=)");
}

static int add_node(struct parser *parser, const char *at, enum formula_node_kind kind, int a,
                    int b)
{
    if (parser->node_count == LIMIT_FORMULA_NODES) {
        return fail_at(parser, at, ERR_LIMIT,
                       "a formula has at most %d operands and operators; divide it into two terms",
                       LIMIT_FORMULA_NODES);
    }
    parser->nodes[parser->node_count] =
        (struct formula_node){.kind = kind,
                              .column = (int)(at - parser->text) + 1,
                              .left = a,
                              .right = b,
                              .condition = -1,
                              .name = -1,
                              .value = {1, 1}};
    return parser->node_count++;
}

static int add_product(struct parser *parser, const char *at, enum formula_node_kind kind, int a,
                       int b)
{
    struct unit unit;
    int rc = unit_multiply(&parser->units[a], &parser->units[b], kind == NODE_MULTIPLY ? 1 : -1,
                           &unit, parser->err);
    if (rc < 0) {
        return error_prefix(parser->err, "column %d", (int)(at - parser->text) + 1);
    }
    int node = add_node(parser, at, kind, a, b);
    if (node >= 0) {
        parser->units[node] = unit;
    }
    return node;
}

/* An operation whose sides have to be of one unit: the right side is brought to the left's. */
static int add_alike(struct parser *parser, const char *at, enum formula_node_kind kind, int a,
                     int b)
{
    struct formula_value factor;
    struct unit unit;
    int rc = match_units(parser, at, a, b, &factor, &unit);
    int node = rc < 0 ? rc : add_node(parser, at, kind, a, b);
    if (node >= 0) {
        parser->nodes[node].value = factor;
        parser->units[node] = unit;
    }
    return node;
}

static int match_units(struct parser *parser, const char *at, int a, int b,
                       struct formula_value *ret_factor, struct unit *ret_unit)
{
    const struct unit *left = &parser->units[a];
    const struct unit *right = &parser->units[b];
    struct unit unit = left->any || right->unknown ? *right : *left;
    int rc = unit_factor(&parser->words, right, left, ret_factor);
    if (rc < 0) {
        char left_text[UNIT_TEXT_BYTES];
        char right_text[UNIT_TEXT_BYTES];
        return fail_at(parser, at, rc,
                       rc == ERR_OVERFLOW
                           ? "%s and %s are too far apart to be converted into each other"
                           : "%s and %s are different units: only alike ones are added and "
                             "compared; multiply or divide one side by a number with a unit",
                       unit_text(&parser->words, left, left_text),
                       unit_text(&parser->words, right, right_text));
    }
    *ret_unit = unit;
    return 0;
}

static int check_result(struct parser *parser, int root, const char *unit,
                        struct formula_value *ret_factor)
{
    struct unit wanted;
    struct unit month;
    struct unit wanted_per_month;
    const struct unit *result = &parser->units[root];
    int rc = unit_read(&parser->words, unit, &wanted, parser->err);
    if (rc == 0) {
        rc = unit_read(&parser->words, "month", &month, parser->err);
    }
    if (rc == 0) {
        rc = unit_multiply(&wanted, &month, -1, &wanted_per_month, parser->err);
    }
    if (rc < 0) {
        return rc;
    }
    rc = unit_factor(&parser->words, result, &wanted, ret_factor);
    if (rc == ERR_INVALID) {
        rc = unit_factor(&parser->words, result, &wanted_per_month, ret_factor);
    }
    if (rc < 0) {
        char text[UNIT_TEXT_BYTES];
        char wanted_text[UNIT_TEXT_BYTES];
        return fail_at(parser, parser->text, rc,
                       "the result is in %s and has to be in %s (per month); multiply or divide by "
                       "measures or numbers with the units that are missing",
                       unit_text(&parser->words, result, text),
                       unit_text(&parser->words, &wanted, wanted_text));
    }
    return 0;
}

/* The tree as it stays: nodes as they are, and the names that they use. */
static int keep(const struct parser *parser, int root, struct formula_value factor,
                struct arena *arena, struct formula **ret_formula)
{
    struct formula *formula = arena_alloc(arena, sizeof(*formula));
    size_t nodes = (size_t)parser->node_count;
    if (formula == NULL) {
        return ERR_NO_MEMORY;
    }
    formula->nodes = arena_array(arena, nodes, sizeof(struct formula_node));
    formula->used = arena_array(arena, nodes, sizeof(struct formula_used));
    if (formula->nodes == NULL || formula->used == NULL) {
        return ERR_NO_MEMORY;
    }
    memcpy(formula->nodes, parser->nodes, nodes * sizeof(struct formula_node));
    formula->node_count = parser->node_count;
    formula->root = root;
    formula->factor = factor;
    formula->unknown = -1;
    for (int i = 0; i < formula->node_count; i++) {
        struct formula_node *node = &formula->nodes[i];
        int used = 0;
        if (node->kind != NODE_NAME) {
            continue;
        }
        const struct formula_name *name = &parser->names[node->name];
        while (used < formula->used_count && formula->used[used].index != node->name) {
            used++;
        }
        if (used == formula->used_count) {
            formula->used_count++;
            formula->used[used].index = node->name;
            str_format(formula->used[used].name, NAME_BYTES, "%s", name->name);
            str_format(formula->used[used].unit, LIMIT_NAME_BYTES, "%s", name->unit);
        }
        if (node->name == parser->unknown) {
            formula->unknown = used;
        }
        node->name = used;
    }
    *ret_formula = formula;
    return 0;
}

/* Is there a unit word at `at`? Known words are, and those that the names' units introduce. */
static bool unit_goes_on(struct parser *parser, const char *at, char word[LIMIT_NAME_BYTES])
{
    const char *end = word_end(at, false);
    size_t bytes = (size_t)(end - at);
    if (bytes == 0 || bytes >= LIMIT_NAME_BYTES || *end == '.' || *end == '(') {
        return false;
    }
    memcpy(word, at, bytes);
    word[bytes] = '\0';
    return find_name(parser, word) < 0 &&
           (unit_word_is_known(word) || word_is_introduced(parser, word));
}

static int find_name(const struct parser *parser, const char *name)
{
    for (int i = 0; i < parser->name_count; i++) {
        if (str_equal(parser->names[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static bool word_is_introduced(const struct parser *parser, const char *word)
{
    size_t bytes = strlen(word);
    for (int i = 0; i < parser->name_count; i++) {
        for (const char *at = parser->names[i].unit; *at != '\0';) {
            const char *end = word_end(at, false);
            if ((size_t)(end - at) == bytes && memcmp(at, word, bytes) == 0) {
                return true;
            }
            at = end > at ? end : at + 1;
        }
    }
    return false;
}

/* The end of letters, digits and _ that begin with a letter; with dots between them for a name. */
static const char *word_end(const char *at, bool dotted)
{
    const char *begin = at;
    while (unit_letter(*at) || (at > begin && (unit_digit(*at) || *at == '_')) ||
           (dotted && at > begin && *at == '.' && (unit_letter(at[1])))) {
        at++;
    }
    return at;
}

static int take(struct parser *parser, char letter)
{
    char wanted[4] = {'\'', letter, '\'', '\0'};
    skip_blanks(parser);
    if (*parser->at != letter) {
        return fail_unexpected(parser, wanted);
    }
    parser->at++;
    return 0;
}

static void skip_blanks(struct parser *parser)
{
    parser->at += strspn(parser->at, " \t\n");
}

static int fail_at(struct parser *parser, const char *at, int code, const char *format, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return error_set(parser->err, code, 0, "column %d: %s", (int)(at - parser->text) + 1, text);
}

static int fail_unexpected(struct parser *parser, const char *wanted)
{
    const char *at = parser->at;
    if (*at == '\0') {
        return fail_at(parser, at, ERR_INVALID, "the formula ends where %s belongs", wanted);
    }
    size_t bytes = str_utf8_bytes(at, strlen(at));
    if (bytes == 0 || (unsigned char)*at < ' ') {
        return fail_at(parser, at, ERR_INVALID, "byte 0x%02x stands where %s belongs",
                       (unsigned)(unsigned char)*at, wanted);
    }
    return fail_at(parser, at, ERR_INVALID, "'%.*s' stands where %s belongs", (int)bytes, at,
                   wanted);
}

static bool is_builtin(const char *name)
{
    for (int i = 0; i < BUILTIN_COUNT; i++) {
        if (str_equal(formula_builtins[i].name, name)) {
            return true;
        }
    }
    return false;
}
