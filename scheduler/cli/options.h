/*
 * options: a command line as a table. The same rows parse the words, print the help and complete
 * words in a shell, so that none of the three can forget an option.
 *
 * "--name value", "--name=value", "-f value", "-fvalue"; "--" ends the options; options and other
 * words may mix. An unknown option is an error that names the nearest known one. Values are not
 * copied: they point into argv. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define OPTION_LIST_MAX  64 /* repetitions of one option: a machine runs no more nodes than that */
#define OPTION_WORDS_MAX 16 /* words that are no options; more is an error */

enum option_kind {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* const char *; the last one counts */
    OPTION_INT,      /* int64_t within min..max */
    OPTION_DURATION, /* int64_t, microseconds: "10s", "200ms" */
    OPTION_LIST,     /* struct option_list; may be repeated */
};

struct option_list {
    const char *items[OPTION_LIST_MAX];
    int count;
};

struct option_row {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    enum option_kind kind;
    const char *word; /* what the help calls its value; NULL for a flag */
    const char *help;
    size_t offset; /* of the member it sets */
    int64_t min;   /* INT */
    int64_t max;
};

struct option_set {
    const struct option_row *rows;
    int count;
    void *target; /* the struct that the offsets are of, with its defaults */
};

struct option_words {
    const char *items[OPTION_WORDS_MAX];
    int count;
};

/* Parses argv[1..argc-1]. The sets are searched in order. */
int options_parse(const struct option_set *sets, int set_count, int argc, char **argv,
                  struct option_words *ret_words, struct error *err) WARN_UNUSED;
const struct option_row *option_find(const struct option_set *sets, int set_count,
                                     const char *name);
/* The rows as lines of a help text. */
void options_help(const struct option_set *set, struct strbuf *out);
