#include "scheduler/cli/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

#define HELP_COLUMN  30
#define HELP_COLUMNS 96
#define NAMES_MAX    64

static int parse_long(const struct option_set *sets, int set_count, int argc, char **argv,
                      int *index, struct error *err);
static int parse_short(const struct option_set *sets, int set_count, int argc, char **argv,
                       int *index, struct error *err);
static const struct option_row *find_letter(const struct option_set *sets, int set_count,
                                            char letter, void **ret_target);
static const struct option_row *find_name(const struct option_set *sets, int set_count,
                                          const char *name, size_t bytes, void **ret_target);
static int unknown(const struct option_set *sets, int set_count, const char *name,
                   struct error *err);
static int set_value(const struct option_row *row, void *target, const char *value,
                     struct error *err);
static void help_wrap(struct strbuf *out, size_t column, const char *text);

int options_parse(const struct option_set *sets, int set_count, int argc, char **argv,
                  struct option_words *ret_words, struct error *err)
{
    struct option_words words = {.count = 0};
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        int rc = 0;
        if (!only_words && str_equal(word, "--")) {
            only_words = true;
        } else if (!only_words && word[0] == '-' && word[1] == '-') {
            rc = parse_long(sets, set_count, argc, argv, &i, err);
        } else if (!only_words && word[0] == '-' && word[1] != 0) {
            rc = parse_short(sets, set_count, argc, argv, &i, err);
        } else if (words.count == OPTION_WORDS_MAX) {
            rc = error_set(err, ERR_LIMIT, 0, "more than %d words: what is \"%.64s\"?",
                           OPTION_WORDS_MAX, word);
        } else {
            words.items[words.count++] = word;
        }
        if (rc < 0)
            return rc;
    }
    *ret_words = words;
    return 0;
}

const struct option_row *option_find(const struct option_set *sets, int set_count, const char *name)
{
    void *target = NULL;
    return find_name(sets, set_count, name, strlen(name), &target);
}

void options_help(const struct option_set *set, struct strbuf *out)
{
    for (int i = 0; i < set->count; i++) {
        const struct option_row *row = &set->rows[i];
        char left[128];
        if (row->letter != 0)
            snprintf(left, sizeof(left), "  -%c, --%s%s%s", row->letter, row->name,
                     row->word == NULL ? "" : " ", row->word == NULL ? "" : row->word);
        else
            snprintf(left, sizeof(left), "      --%s%s%s", row->name, row->word == NULL ? "" : " ",
                     row->word == NULL ? "" : row->word);
        strbuf_puts(out, left);
        size_t column = strlen(left);
        if (column + 2 > HELP_COLUMN) {
            strbuf_puts(out, "\n");
            column = 0;
        }
        help_wrap(out, column, row->help);
    }
}

static int parse_long(const struct option_set *sets, int set_count, int argc, char **argv,
                      int *index, struct error *err)
{
    const char *name = argv[*index] + 2;
    size_t bytes = strcspn(name, "=");
    const char *value = name[bytes] == '=' ? name + bytes + 1 : NULL;
    void *target = NULL;
    const struct option_row *row = find_name(sets, set_count, name, bytes, &target);
    if (row == NULL)
        return unknown(sets, set_count, name, err);
    if (row->kind == OPTION_FLAG && value != NULL)
        return error_set(err, ERR_INVALID, 0, "--%s takes no value; write --%s alone", row->name,
                         row->name);
    if (row->kind != OPTION_FLAG && value == NULL) {
        if (*index + 1 >= argc)
            return error_set(err, ERR_INVALID, 0, "--%s needs a value: --%s %s", row->name,
                             row->name, row->word);
        value = argv[++*index];
    }
    return set_value(row, target, value, err);
}

static int parse_short(const struct option_set *sets, int set_count, int argc, char **argv,
                       int *index, struct error *err)
{
    const char *at = argv[*index] + 1;
    for (; *at != 0; at++) {
        void *target = NULL;
        const struct option_row *row = find_letter(sets, set_count, *at, &target);
        if (row == NULL)
            return error_set(err, ERR_INVALID, 0, "there is no option -%c; --help lists them", *at);
        if (row->kind == OPTION_FLAG) {
            int rc = set_value(row, target, NULL, err);
            if (rc < 0)
                return rc;
            continue;
        }
        const char *value = at[1] != 0 ? at + 1 : *index + 1 < argc ? argv[++*index] : NULL;
        if (value == NULL)
            return error_set(err, ERR_INVALID, 0, "-%c needs a value: -%c %s", *at, *at, row->word);
        return set_value(row, target, value, err);
    }
    return 0;
}

static const struct option_row *find_letter(const struct option_set *sets, int set_count,
                                            char letter, void **ret_target)
{
    for (int s = 0; s < set_count; s++)
        for (int i = 0; i < sets[s].count; i++)
            if (sets[s].rows[i].letter == letter) {
                *ret_target = sets[s].target;
                return &sets[s].rows[i];
            }
    return NULL;
}

static const struct option_row *find_name(const struct option_set *sets, int set_count,
                                          const char *name, size_t bytes, void **ret_target)
{
    for (int s = 0; s < set_count; s++)
        for (int i = 0; i < sets[s].count; i++) {
            const struct option_row *row = &sets[s].rows[i];
            if (strlen(row->name) == bytes && memcmp(row->name, name, bytes) == 0) {
                *ret_target = sets[s].target;
                return row;
            }
        }
    return NULL;
}

static int unknown(const struct option_set *sets, int set_count, const char *name,
                   struct error *err)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (int s = 0; s < set_count; s++)
        for (int i = 0; i < sets[s].count && count < NAMES_MAX; i++)
            names[count++] = sets[s].rows[i].name;
    char word[64] = "";
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(name, "="), name);
    const char *nearest = str_nearest(word, names, count);
    if (nearest != NULL)
        return error_set(err, ERR_INVALID, 0, "there is no option --%s; did you mean --%s?", word,
                         nearest);
    return error_set(err, ERR_INVALID, 0, "there is no option --%s; --help lists them", word);
}

static int set_value(const struct option_row *row, void *target, const char *value,
                     struct error *err)
{
    void *member = (char *)target + row->offset;
    struct option_list *list = member;
    int64_t number = 0;
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)member = true;
        return 0;
    case OPTION_TEXT:
        *(const char **)member = value;
        return 0;
    case OPTION_INT:
        if (str_to_i64(value, &number) < 0 || number < row->min || number > row->max)
            return error_set(err, ERR_INVALID, 0,
                             "--%s: \"%.64s\" must be a number from %" PRId64 " to %" PRId64,
                             row->name, value, row->min, row->max);
        *(int64_t *)member = number;
        return 0;
    case OPTION_DURATION:
        if (units_duration(value, &number, err) < 0)
            return error_prefix(err, "--%s", row->name);
        *(int64_t *)member = number;
        return 0;
    case OPTION_LIST:
        if (list->count == OPTION_LIST_MAX)
            return error_set(err, ERR_LIMIT, 0, "--%s is given more than %d times", row->name,
                             OPTION_LIST_MAX);
        list->items[list->count++] = value;
        return 0;
    }
    return error_set(err, ERR_INVALID, 0, "--%s is of no known kind", row->name);
}

/* The text from HELP_COLUMN on, broken at blanks; `column` is where the line stands. */
static void help_wrap(struct strbuf *out, size_t column, const char *text)
{
    for (; column < HELP_COLUMN; column++)
        strbuf_puts(out, " ");
    const char *between = "";
    while (*text != 0) {
        size_t bytes = strcspn(text, " ");
        if (column + 1 + bytes > HELP_COLUMNS) {
            strbuf_puts(out, "\n");
            for (column = 0; column < HELP_COLUMN; column++)
                strbuf_puts(out, " ");
            between = "";
        }
        strbuf_puts(out, between);
        strbuf_append(out, text, bytes);
        column += strlen(between) + bytes;
        text += bytes;
        text += strspn(text, " ");
        between = " ";
    }
    strbuf_puts(out, "\n");
}
