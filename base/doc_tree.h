/*
 * doc_tree: the inside of doc, shared by its parser (doc_parse.c), its readers (doc.c) and its
 * reports (doc_problem.c), and by nobody else. Everything lives in the doc's arena and is built
 * once; afterwards only the marks change (which fields were asked for) and problems are added.
 */
#pragma once

#include "base/arena.h"
#include "base/doc.h"

/* The names that a reader asked a mapping for: what "did you mean" chooses from. */
struct doc_asked {
    const char **names;
    size_t count;
    size_t capacity;
};

struct doc_node {
    enum doc_kind kind;
    int line;
    bool known;       /* as a field: somebody asked for it */
    const char *key;  /* as a field: its name, else NULL */
    size_t index;     /* position in the parent */
    const char *text; /* scalars */
    size_t count;     /* of items */
    struct doc_node *parent;
    struct doc_node *next;  /* the parent's next item, in the document's order */
    struct doc_node *first; /* lists and mappings, while they are open */
    struct doc_node *last;
    struct doc_node **items;  /* lists and mappings, once closed */
    struct doc_node **sorted; /* mappings: the items by key */
    struct doc_asked *asked;  /* mappings */
};

struct doc_problem {
    const struct doc_node *node;
    int line;
    bool shape; /* "must be a mapping, not a list": said once per value */
    const char *text;
};

struct doc {
    struct arena arena;
    const char *file;
    struct doc_node *root;
    struct doc_problem problems[LIMIT_DOC_PROBLEMS];
    size_t problem_count;
    size_t problems_hidden; /* past the limit: counted, not kept */
    bool no_memory;         /* a problem or a mark could not be kept: doc_check must fail */
};

/* A problem is one sentence; lists of words in it are cut with "..." well before this. */
#define DOC_PROBLEM_BYTES   600
#define DOC_KEY_SHOWN_BYTES 64

/* "must be a mapping, and is a list"; once per value. */
void doc_problem_shape(struct doc *doc, const struct doc_node *node, enum doc_kind wanted);
/* `map` lacks `key`, or `empty`, that field, has no value. */
void doc_problem_missing(struct doc *doc, const struct doc_node *map, const char *key,
                         const struct doc_node *empty);
/* `"value"` and the rest of the sentence. */
void doc_problem_value(struct doc *doc, const struct doc_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "file:line: path: sentence"; without a path, the node's own. */
void doc_problem_add(struct doc *doc, const struct doc_node *node, int line, bool shape,
                     const char *path, const char *sentence);

/* Appends text as a terminal may see it: control characters and broken UTF-8 become escapes. */
void doc_visible(struct strbuf *out, const char *text, size_t bytes);

/* "workloads[2].cpu" at the end of out. */
void doc_path_write(const struct doc_node *node, struct strbuf *out);

/* The first byte of the text is at the first line. Both build doc->root. */
int doc_parse_yaml(struct doc *doc, const char *text, size_t bytes, struct error *err);
int doc_parse_json(struct doc *doc, const char *text, size_t bytes, struct error *err);
