/*
 * doc: a YAML or JSON document, read field by field into checked plain structs.
 *
 * YAML is parsed by libyaml; a file whose name ends in .json, or a text that starts with '{', is
 * JSON and held to jansson's strict rules. Both become one tree, kept with the line of every value
 * and every number as it was written. A reader walks it with the functions below. Each of them, on
 * a wrong value, records a problem (file, line, path, the value, the rule, and "did you mean") and
 * goes on, so that one run reports everything. Reading a mapping's field marks it as known;
 * doc_close reports the fields of a mapping that nobody asked for, with the nearest asked name.
 * Duplicate keys, anchors, aliases, merge keys, tags, more than LIMIT_DOC_DEPTH levels and
 * LIMIT_DOC_BYTES bytes are refused at parse.
 *
 * Nothing is half-applied: a caller looks at doc_check once, after all reads, and uses what it read
 * only when that returns 0. Scalars stay text until a typed reader asks. One thread per doc.
 *
 *     struct doc *doc;
 *     if (doc_parse("app.yaml", text, bytes, &doc, err) < 0) ...
 *     const struct doc_node *root = doc_root(doc);
 *     doc_name(doc, root, "app", DOC_REQUIRED, out->name);
 *     doc_cpu(doc, doc_get(doc, root, "resources", 0), "cpu", DOC_REQUIRED, &mcpu);
 *     doc_close(doc, root);
 *     if (doc_check(doc, err) < 0) ...
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/decimal.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

struct doc;
struct doc_node;

enum doc_kind { DOC_NULL, DOC_SCALAR, DOC_LIST, DOC_MAP };
enum { DOC_REQUIRED = 1 };

/* `file` is only a name for messages. The first YAML document of the text; a second is refused.
 * The error's text has file and line. */
int doc_parse(const char *file, const char *text, size_t bytes, struct doc **ret_doc,
              struct error *err) WARN_UNUSED;
/* As doc_parse, within an arena of the caller's choice, empty and taken over, whatever comes: a
 * ceiling of its own, or a test's fail_after. */
int doc_parse_with(struct arena arena, const char *file, const char *text, size_t bytes,
                   struct doc **ret_doc, struct error *err) WARN_UNUSED;
int doc_read_file(const char *path, struct doc **ret_doc, struct error *err) WARN_UNUSED;
void doc_destroy(struct doc *doc);
void cleanup_doc(struct doc **doc);

const struct doc_node *doc_root(struct doc *doc);
enum doc_kind doc_kind(const struct doc_node *node); /* NULL is DOC_NULL */
int doc_line(const struct doc_node *node);
/* "workloads[2].resources.cpu", in the doc's own memory. */
const char *doc_path(struct doc *doc, const struct doc_node *node);

/* The field `key` of a mapping; NULL when absent (a problem if DOC_REQUIRED). A NULL or non-mapping
 * `map` gives NULL; a non-mapping is a problem. With a NULL map (an optional part that is absent)
 * nothing is missing, required or not. A field without a value counts as absent, but doc_get gives
 * its DOC_NULL node unless it is required. */
const struct doc_node *doc_get(struct doc *doc, const struct doc_node *map, const char *key,
                               int flags);
/* As doc_get, and a problem unless it is a list / a mapping. */
const struct doc_node *doc_list(struct doc *doc, const struct doc_node *map, const char *key,
                                int flags);
const struct doc_node *doc_map(struct doc *doc, const struct doc_node *map, const char *key,
                               int flags);
size_t doc_count(const struct doc_node *list_or_map); /* 0 for others and NULL */
const struct doc_node *doc_item(const struct doc_node *list_or_map, size_t index);
const char *doc_key(const struct doc_node *map, size_t index); /* marks that field as known */
const char *doc_text(const struct doc_node *scalar);           /* NULL unless a scalar */

/* Typed fields. On absence: untouched out and false (a problem if DOC_REQUIRED). True when read. */
bool doc_string(struct doc *doc, const struct doc_node *map, const char *key, int flags, char *out,
                size_t capacity);
bool doc_name(struct doc *doc, const struct doc_node *map, const char *key, int flags,
              char out[LIMIT_NAME_BYTES]);
bool doc_bool(struct doc *doc, const struct doc_node *map, const char *key, int flags, bool *out);
bool doc_int(struct doc *doc, const struct doc_node *map, const char *key, int flags, int64_t min,
             int64_t max, int64_t *out);
bool doc_decimal(struct doc *doc, const struct doc_node *map, const char *key, int flags,
                 struct decimal *out); /* any sign */
bool doc_price(struct doc *doc, const struct doc_node *map, const char *key, int flags,
               struct decimal *out); /* refuses negatives: "a price is never below 0" */
bool doc_cpu(struct doc *doc, const struct doc_node *map, const char *key, int flags, int64_t *out);
bool doc_bytes(struct doc *doc, const struct doc_node *map, const char *key, int flags,
               int64_t *out);
bool doc_duration(struct doc *doc, const struct doc_node *map, const char *key, int flags,
                  int64_t *out_us);
bool doc_rate(struct doc *doc, const struct doc_node *map, const char *key, int flags,
              int64_t *out_mhz);
bool doc_byte_rate(struct doc *doc, const struct doc_node *map, const char *key, int flags,
                   int64_t *out_bytes_s);
bool doc_ratio(struct doc *doc, const struct doc_node *map, const char *key, int flags,
               int64_t *out_ppm);
/* One of `count` words; *out is its index; the problem lists them and the nearest. */
bool doc_word(struct doc *doc, const struct doc_node *map, const char *key, int flags,
              const char *const *words, size_t count, int *out);

/* The same unit readers for a scalar node itself (list items). */
bool doc_node_string(struct doc *doc, const struct doc_node *scalar, char *out, size_t capacity);

/* A problem of the caller's own: "file:line: path: "value": sentence", where the value is left out
 * when the sentence names it already. */
void doc_problem(struct doc *doc, const struct doc_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Reports the fields of `map` that were not asked for. */
void doc_close(struct doc *doc, const struct doc_node *map);

size_t doc_problem_count(const struct doc *doc);
const char *doc_problem_text(const struct doc *doc, size_t index); /* one whole sentence */
/* 0 when there is no problem; else ERR_INVALID with all of them, one per line, as far as they fit.
 */
int doc_check(struct doc *doc, struct error *err) WARN_UNUSED;
/* Every problem, one per line. */
void doc_report(const struct doc *doc, struct strbuf *out);
