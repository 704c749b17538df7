#include "base/doc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/doc_tree.h"
#include "base/units.h"

/* A document's memory is bounded by its length. The densest value has two bytes of text ("1,") and
 * takes 136 here: a node, its text and its place in the list. */
#define MEMORY_PER_BYTE  ((size_t)80)
#define MEMORY_BYTES_MIN ((size_t)64 << 10)
#define FILE_SHOWN_BYTES 200

typedef int (*unit_reader)(const char *text, int64_t *ret_value, struct error *err);

static const char *file_shown(struct arena *arena, const char *file);
static bool looks_like_json(const char *file, const char *text, size_t bytes);
static int read_all(int fd, const char *path, char *text, size_t bytes_max, size_t *ret_bytes,
                    struct error *err);
static const struct doc_node *find(const struct doc_node *map, const char *key);
static void remember(struct doc *doc, const struct doc_node *map, const char *key);
static bool is_map(struct doc *doc, const struct doc_node *map);
static const struct doc_node *field(struct doc *doc, const struct doc_node *map, const char *key,
                                    int flags);
static const struct doc_node *scalar_field(struct doc *doc, const struct doc_node *map,
                                           const char *key, int flags);
static const struct doc_node *shaped_field(struct doc *doc, const struct doc_node *map,
                                           const char *key, int flags, enum doc_kind kind);
static bool unit_field(struct doc *doc, const struct doc_node *map, const char *key, int flags,
                       unit_reader reader, int64_t *out);

/* ---- from bytes to a tree ------------------------------------------------------------------- */

int doc_parse(const char *file, const char *text, size_t bytes, struct doc **ret_doc,
              struct error *err)
{
    struct arena arena;
    size_t memory = bytes < LIMIT_DOC_BYTES ? bytes : LIMIT_DOC_BYTES;
    arena_init(&arena, MEMORY_BYTES_MIN + memory * MEMORY_PER_BYTE);
    return doc_parse_with(arena, file, text, bytes, ret_doc, err);
}

int doc_parse_with(struct arena arena, const char *file, const char *text, size_t bytes,
                   struct doc **ret_doc, struct error *err)
{
    struct doc *doc = arena_alloc(&arena, sizeof(*doc));
    const char *shown = doc == NULL ? NULL : file_shown(&arena, file);
    if (shown == NULL) {
        arena_done(&arena);
        return error_set(err, ERR_NO_MEMORY, 0, "%.200s: no memory for its values", file);
    }
    doc->arena = arena; /* from here on the doc lives inside the arena that it owns */
    doc->file = shown;
    int rc = 0;
    if (bytes > LIMIT_DOC_BYTES) {
        rc = error_set(err, ERR_LIMIT, 0,
                       "%s: %zu bytes; a document has at most %d (LIMIT_DOC_BYTES)", shown, bytes,
                       LIMIT_DOC_BYTES);
    } else if (looks_like_json(file, text, bytes)) {
        rc = doc_parse_json(doc, text, bytes, err);
    } else {
        rc = doc_parse_yaml(doc, text, bytes, err);
    }
    if (rc == 0 && doc->root == NULL) {
        doc->root = arena_alloc(&doc->arena, sizeof(*doc->root));
        if (doc->root == NULL) {
            rc = error_set(err, ERR_NO_MEMORY, 0, "%s: no memory for its values", shown);
        } else {
            doc->root->line = 1; /* an empty text is one empty value */
        }
    }
    if (rc < 0) {
        doc_destroy(doc);
        return rc;
    }
    *ret_doc = doc;
    return 0;
}

int doc_read_file(const char *path, struct doc **ret_doc, struct error *err)
{
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        int code = errno == ENOENT ? ERR_NOT_FOUND : errno == EACCES ? ERR_DENIED : ERR_IO;
        return error_set(err, code, errno, "cannot read \"%.300s\"", path);
    }
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return error_set(err, ERR_IO, errno, "cannot read \"%.300s\"", path);
    }
    if (S_ISDIR(status.st_mode)) {
        return error_set(err, ERR_INVALID, 0, "\"%.300s\" is a folder; name a file in it", path);
    }
    size_t bytes_max = LIMIT_DOC_BYTES;
    if (S_ISREG(status.st_mode) && status.st_size < (off_t)bytes_max) {
        bytes_max = (size_t)status.st_size + 1; /* one more tells that it is growing */
    }
    CLEANUP(cleanup_free) char *text = malloc(bytes_max + 1);
    if (text == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to read \"%.300s\"", path);
    }
    size_t bytes = 0;
    int rc = read_all(fd, path, text, bytes_max, &bytes, err);
    return rc < 0 ? rc : doc_parse(path, text, bytes, ret_doc, err);
}

void doc_destroy(struct doc *doc)
{
    if (doc != NULL) {
        struct arena arena = doc->arena; /* the doc goes with its own memory */
        arena_done(&arena);
    }
}

void cleanup_doc(struct doc **doc)
{
    doc_destroy(*doc);
    *doc = NULL;
}

/* A very long path keeps its end, which tells files apart, and leaves room for the sentence. */
static const char *file_shown(struct arena *arena, const char *file)
{
    size_t bytes = strlen(file);
    struct strbuf shown;
    strbuf_init(&shown, 4 * FILE_SHOWN_BYTES + 16);
    if (bytes > FILE_SHOWN_BYTES) {
        strbuf_puts(&shown, "...");
        file += bytes - FILE_SHOWN_BYTES;
        bytes = FILE_SHOWN_BYTES;
    }
    doc_visible(&shown, file, bytes);
    const char *copy = shown.broken ? NULL : arena_strdup(arena, strbuf_text(&shown));
    strbuf_done(&shown);
    return copy;
}

static bool looks_like_json(const char *file, const char *text, size_t bytes)
{
    size_t name_bytes = strlen(file);
    if (name_bytes >= 5 && strcmp(file + name_bytes - 5, ".json") == 0) {
        return true;
    }
    size_t i = 0;
    while (i < bytes && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r')) {
        i++;
    }
    return i < bytes && text[i] == '{';
}

static int read_all(int fd, const char *path, char *text, size_t bytes_max, size_t *ret_bytes,
                    struct error *err)
{
    size_t bytes = 0;
    for (;;) {
        ssize_t got = read(fd, text + bytes, bytes_max + 1 - bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return error_set(err, ERR_IO, errno, "cannot read \"%.300s\"", path);
        }
        bytes += (size_t)got;
        if (got == 0) {
            *ret_bytes = bytes;
            return 0;
        }
        if (bytes > bytes_max && bytes_max < LIMIT_DOC_BYTES) {
            return error_set(err, ERR_IO, 0, "\"%.300s\" grows while it is read; try again", path);
        }
        if (bytes > bytes_max) {
            return error_set(err, ERR_LIMIT, 0,
                             "\"%.300s\" is longer than %d bytes (LIMIT_DOC_BYTES)", path,
                             LIMIT_DOC_BYTES);
        }
    }
}

/* ---- the tree ------------------------------------------------------------------------------- */

const struct doc_node *doc_root(struct doc *doc)
{
    return doc->root;
}

enum doc_kind doc_kind(const struct doc_node *node)
{
    return node == NULL ? DOC_NULL : node->kind;
}

int doc_line(const struct doc_node *node)
{
    return node == NULL ? 0 : node->line;
}

const char *doc_path(struct doc *doc, const struct doc_node *node)
{
    struct strbuf path;
    strbuf_init(&path, LIMIT_DOC_DEPTH * (DOC_KEY_SHOWN_BYTES + 32));
    doc_path_write(node, &path);
    const char *copy = path.broken ? NULL : arena_strdup(&doc->arena, strbuf_text(&path));
    strbuf_done(&path);
    if (copy == NULL) {
        doc->no_memory = true;
        return "";
    }
    return copy;
}

void doc_path_write(const struct doc_node *node, struct strbuf *out)
{
    const struct doc_node *chain[LIMIT_DOC_DEPTH + 1];
    size_t depth = 0;
    for (; node != NULL && node->parent != NULL; node = node->parent) {
        BERTH_ASSERT(depth <= LIMIT_DOC_DEPTH, "a tree deeper than its limit");
        chain[depth++] = node;
    }
    for (size_t i = depth; i > 0; i--) {
        if (chain[i - 1]->key == NULL) {
            strbuf_printf(out, "[%zu]", chain[i - 1]->index);
        } else {
            strbuf_printf(out, "%s%.*s", i == depth ? "" : ".", DOC_KEY_SHOWN_BYTES,
                          chain[i - 1]->key);
        }
    }
}

const struct doc_node *doc_get(struct doc *doc, const struct doc_node *map, const char *key,
                               int flags)
{
    const struct doc_node *node = field(doc, map, key, flags);
    return node != NULL && node->kind == DOC_NULL && (flags & DOC_REQUIRED) != 0 ? NULL : node;
}

const struct doc_node *doc_list(struct doc *doc, const struct doc_node *map, const char *key,
                                int flags)
{
    return shaped_field(doc, map, key, flags, DOC_LIST);
}

const struct doc_node *doc_map(struct doc *doc, const struct doc_node *map, const char *key,
                               int flags)
{
    return shaped_field(doc, map, key, flags, DOC_MAP);
}

size_t doc_count(const struct doc_node *list_or_map)
{
    return list_or_map == NULL ? 0 : list_or_map->count;
}

const struct doc_node *doc_item(const struct doc_node *list_or_map, size_t index)
{
    BERTH_ASSERT(index < doc_count(list_or_map), "item %zu of %zu", index, doc_count(list_or_map));
    return list_or_map->items[index];
}

const char *doc_key(const struct doc_node *map, size_t index)
{
    BERTH_ASSERT(index < doc_count(map), "field %zu of %zu", index, doc_count(map));
    map->items[index]->known = true;
    return map->items[index]->key;
}

const char *doc_text(const struct doc_node *scalar)
{
    return scalar == NULL ? NULL : scalar->text;
}

static const struct doc_node *find(const struct doc_node *map, const char *key)
{
    size_t low = 0;
    size_t high = map->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(map->sorted[middle]->key, key);
        if (order == 0) {
            map->sorted[middle]->known = true;
            return map->sorted[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

/* Keeps what was asked for: the candidates of "did you mean". */
static void remember(struct doc *doc, const struct doc_node *map, const char *key)
{
    struct doc_asked *asked = map->asked;
    for (size_t i = 0; i < asked->count; i++) {
        if (strcmp(asked->names[i], key) == 0) {
            return;
        }
    }
    if (asked->count == asked->capacity) {
        size_t capacity = asked->capacity == 0 ? 8 : asked->capacity * 2;
        const char **names = arena_array(&doc->arena, capacity, sizeof(*names));
        if (names == NULL) {
            doc->no_memory = true;
            return;
        }
        if (asked->count > 0) {
            memcpy(names, asked->names, asked->count * sizeof(*names));
        }
        asked->names = names;
        asked->capacity = capacity;
    }
    const char *copy = arena_strdup(&doc->arena, key);
    if (copy == NULL) {
        doc->no_memory = true;
        return;
    }
    asked->names[asked->count++] = copy;
}

/* Whether `map` has fields to look at. An empty value ("resources:") is a mapping without any. */
static bool is_map(struct doc *doc, const struct doc_node *map)
{
    if (map == NULL || map->kind == DOC_MAP) {
        return map != NULL;
    }
    if (map->kind != DOC_NULL) {
        doc_problem_shape(doc, map, DOC_MAP);
    }
    return false;
}

/* The field as it stands, an empty one too; absent or empty is a problem when it is required. */
static const struct doc_node *field(struct doc *doc, const struct doc_node *map, const char *key,
                                    int flags)
{
    const struct doc_node *node = NULL;
    if (is_map(doc, map)) {
        remember(doc, map, key);
        node = find(map, key);
    } else if (doc_kind(map) != DOC_NULL) {
        return NULL;
    }
    /* A NULL map is an optional part that is absent as a whole: nothing in it is missing. */
    if (map != NULL && doc_kind(node) == DOC_NULL && (flags & DOC_REQUIRED) != 0) {
        doc_problem_missing(doc, map, key, node);
    }
    return node;
}

static const struct doc_node *scalar_field(struct doc *doc, const struct doc_node *map,
                                           const char *key, int flags)
{
    return shaped_field(doc, map, key, flags, DOC_SCALAR);
}

static const struct doc_node *shaped_field(struct doc *doc, const struct doc_node *map,
                                           const char *key, int flags, enum doc_kind kind)
{
    const struct doc_node *node = field(doc, map, key, flags);
    if (doc_kind(node) == DOC_NULL) {
        return NULL;
    }
    if (node->kind != kind) {
        doc_problem_shape(doc, node, kind);
        return NULL;
    }
    return node;
}

/* ---- typed fields --------------------------------------------------------------------------- */

bool doc_string(struct doc *doc, const struct doc_node *map, const char *key, int flags, char *out,
                size_t capacity)
{
    const struct doc_node *node = scalar_field(doc, map, key, flags);
    return node != NULL && doc_node_string(doc, node, out, capacity);
}

bool doc_node_string(struct doc *doc, const struct doc_node *scalar, char *out, size_t capacity)
{
    if (doc_kind(scalar) != DOC_SCALAR) {
        if (scalar != NULL) {
            doc_problem_shape(doc, scalar, DOC_SCALAR);
        }
        return false;
    }
    size_t bytes = strlen(scalar->text);
    if (bytes >= capacity) {
        doc_problem_value(doc, scalar, " is %zu bytes long; at most %zu fit here", bytes,
                          capacity - 1);
        return false;
    }
    memcpy(out, scalar->text, bytes + 1);
    return true;
}

bool doc_name(struct doc *doc, const struct doc_node *map, const char *key, int flags,
              char out[LIMIT_NAME_BYTES])
{
    const struct doc_node *node = scalar_field(doc, map, key, flags);
    if (node == NULL) {
        return false;
    }
    if (!name_is_valid(node->text)) {
        doc_problem_value(
            doc, node,
            " is not a name; write 1 to 63 of a-z, 0-9 and -, with a letter or a digit "
            "first and last");
        return false;
    }
    return doc_node_string(doc, node, out, LIMIT_NAME_BYTES);
}

bool doc_bool(struct doc *doc, const struct doc_node *map, const char *key, int flags, bool *out)
{
    const struct doc_node *node = scalar_field(doc, map, key, flags);
    if (node == NULL) {
        return false;
    }
    bool yes = strcmp(node->text, "true") == 0;
    if (!yes && strcmp(node->text, "false") != 0) {
        doc_problem_value(doc, node, " is not a yes or no; write true or false");
        return false;
    }
    *out = yes;
    return true;
}

bool doc_int(struct doc *doc, const struct doc_node *map, const char *key, int flags, int64_t min,
             int64_t max, int64_t *out)
{
    const struct doc_node *node = scalar_field(doc, map, key, flags);
    if (node == NULL) {
        return false;
    }
    int64_t value;
    int rc = str_to_i64(node->text, &value);
    if (rc == ERR_INVALID) {
        doc_problem_value(
            doc, node, " is not a whole number; write one from %" PRId64 " to %" PRId64, min, max);
        return false;
    }
    if (rc < 0 || value < min || value > max) {
        doc_problem_value(doc, node,
                          " is out of range; write a whole number from %" PRId64 " to %" PRId64,
                          min, max);
        return false;
    }
    *out = value;
    return true;
}

bool doc_decimal(struct doc *doc, const struct doc_node *map, const char *key, int flags,
                 struct decimal *out)
{
    const struct doc_node *node = scalar_field(doc, map, key, flags);
    if (node == NULL) {
        return false;
    }
    struct decimal value;
    int rc = decimal_parse(node->text, &value, NULL);
    if (rc < 0) {
        doc_problem_value(doc, node, "%s",
                          rc == ERR_OVERFLOW ? " has more than 18 digits; write at most 18"
                                             : " is not a number; write 12, 0.09 or 2e-7");
        return false;
    }
    *out = value;
    return true;
}

bool doc_price(struct doc *doc, const struct doc_node *map, const char *key, int flags,
               struct decimal *out)
{
    struct decimal value;
    if (!doc_decimal(doc, map, key, flags, &value)) {
        return false;
    }
    if (decimal_is_negative(value)) {
        doc_problem_value(doc, find(map, key), " is negative; a price is never below 0");
        return false;
    }
    *out = value;
    return true;
}

bool doc_cpu(struct doc *doc, const struct doc_node *map, const char *key, int flags, int64_t *out)
{
    return unit_field(doc, map, key, flags, units_cpu, out);
}

bool doc_bytes(struct doc *doc, const struct doc_node *map, const char *key, int flags,
               int64_t *out)
{
    return unit_field(doc, map, key, flags, units_bytes, out);
}

bool doc_duration(struct doc *doc, const struct doc_node *map, const char *key, int flags,
                  int64_t *out_us)
{
    return unit_field(doc, map, key, flags, units_duration, out_us);
}

bool doc_rate(struct doc *doc, const struct doc_node *map, const char *key, int flags,
              int64_t *out_mhz)
{
    return unit_field(doc, map, key, flags, units_rate, out_mhz);
}

bool doc_byte_rate(struct doc *doc, const struct doc_node *map, const char *key, int flags,
                   int64_t *out_bytes_s)
{
    return unit_field(doc, map, key, flags, units_byte_rate, out_bytes_s);
}

bool doc_ratio(struct doc *doc, const struct doc_node *map, const char *key, int flags,
               int64_t *out_ppm)
{
    return unit_field(doc, map, key, flags, units_ratio, out_ppm);
}

bool doc_word(struct doc *doc, const struct doc_node *map, const char *key, int flags,
              const char *const *words, size_t count, int *out)
{
    const struct doc_node *node = scalar_field(doc, map, key, flags);
    if (node == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(node->text, words[i]) == 0) {
            *out = (int)i;
            return true;
        }
    }
    struct strbuf known;
    strbuf_init(&known, DOC_PROBLEM_BYTES / 2);
    for (size_t i = 0; i < count; i++) {
        strbuf_printf(&known, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    const char *nearest = str_nearest(node->text, words, count);
    if (nearest != NULL) {
        doc_problem_value(doc, node, " is none of %s%s; did you mean \"%s\"?", strbuf_text(&known),
                          known.broken ? ", ..." : "", nearest);
    } else {
        doc_problem_value(doc, node, " is none of %s%s", strbuf_text(&known),
                          known.broken ? ", ..." : "");
    }
    strbuf_done(&known);
    return false;
}

static bool unit_field(struct doc *doc, const struct doc_node *map, const char *key, int flags,
                       unit_reader reader, int64_t *out)
{
    const struct doc_node *node = scalar_field(doc, map, key, flags);
    if (node == NULL) {
        return false;
    }
    struct error err;
    int64_t value;
    if (reader(node->text, &value, &err) < 0) {
        doc_problem_add(doc, node, node->line, false, NULL, err.text);
        return false;
    }
    *out = value;
    return true;
}
