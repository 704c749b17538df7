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
#define MEMORY_PER_BYTE   ((size_t)80)
#define MEMORY_BYTES_MIN  ((size_t)64 << 10)
#define FILE_SHOWN_BYTES  200
#define VALUE_SHOWN_BYTES 64
#define KEY_SHOWN_BYTES   64
/* A problem is one sentence; a longer one (a list of 200 words) is cut with "...". */
#define PROBLEM_BYTES 600

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
static void problem_shape(struct doc *doc, const struct doc_node *node, enum doc_kind wanted);
static void problem_missing(struct doc *doc, const struct doc_node *map, const char *key);
static void problem_value(struct doc *doc, const struct doc_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void problem_unknown(struct doc *doc, const struct doc_node *map,
                            const struct doc_node *item);
static void problem_add(struct doc *doc, const struct doc_node *node, int line, bool shape,
                        const char *path, const char *sentence);
static void quote(struct strbuf *out, const char *text);
static size_t utf8_bytes(const unsigned char *at, size_t left);

static const char *const kind_names[] = {
    [DOC_NULL] = "nothing",
    [DOC_SCALAR] = "a single value",
    [DOC_LIST] = "a list",
    [DOC_MAP] = "a mapping",
};

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
    strbuf_init(&path, LIMIT_DOC_DEPTH * (KEY_SHOWN_BYTES + 32));
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
            strbuf_printf(out, "%s%.*s", i == depth ? "" : ".", KEY_SHOWN_BYTES, chain[i - 1]->key);
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
        problem_shape(doc, map, DOC_MAP);
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
        problem_missing(doc, map, key);
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
        problem_shape(doc, node, kind);
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
            problem_shape(doc, scalar, DOC_SCALAR);
        }
        return false;
    }
    size_t bytes = strlen(scalar->text);
    if (bytes >= capacity) {
        problem_value(doc, scalar, " is %zu bytes long; at most %zu fit here", bytes, capacity - 1);
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
        problem_value(doc, node,
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
        problem_value(doc, node, " is not a yes or no; write true or false");
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
        problem_value(doc, node, " is not a whole number; write one from %" PRId64 " to %" PRId64,
                      min, max);
        return false;
    }
    if (rc < 0 || value < min || value > max) {
        problem_value(doc, node,
                      " is out of range; write a whole number from %" PRId64 " to %" PRId64, min,
                      max);
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
        problem_value(doc, node, "%s",
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
        problem_value(doc, find(map, key), " is negative; a price is never below 0");
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
    strbuf_init(&known, PROBLEM_BYTES / 2);
    for (size_t i = 0; i < count; i++) {
        strbuf_printf(&known, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    const char *nearest = str_nearest(node->text, words, count);
    if (nearest != NULL) {
        problem_value(doc, node, " is none of %s%s; did you mean \"%s\"?", strbuf_text(&known),
                      known.broken ? ", ..." : "", nearest);
    } else {
        problem_value(doc, node, " is none of %s%s", strbuf_text(&known),
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
        problem_add(doc, node, node->line, false, NULL, err.text);
        return false;
    }
    *out = value;
    return true;
}

/* ---- problems ------------------------------------------------------------------------------- */

void doc_problem(struct doc *doc, const struct doc_node *node, const char *format, ...)
{
    char sentence[PROBLEM_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    const char *value = doc_text(node);
    if (value == NULL || value[0] == '\0' || strstr(sentence, value) != NULL) {
        problem_add(doc, node, doc_line(node), false, NULL, sentence);
    } else {
        problem_value(doc, node, ": %s", sentence);
    }
}

void doc_close(struct doc *doc, const struct doc_node *map)
{
    for (size_t i = 0; doc_kind(map) == DOC_MAP && i < map->count; i++) {
        if (!map->items[i]->known) {
            problem_unknown(doc, map, map->items[i]);
        }
    }
}

size_t doc_problem_count(const struct doc *doc)
{
    return doc->problem_count;
}

const char *doc_problem_text(const struct doc *doc, size_t index)
{
    BERTH_ASSERT(index < doc->problem_count, "problem %zu of %zu", index, doc->problem_count);
    return doc->problems[index].text;
}

int doc_check(struct doc *doc, struct error *err)
{
    if (doc->no_memory) {
        return error_set(err, ERR_NO_MEMORY, 0, "%s: no memory to read it", doc->file);
    }
    if (doc->problem_count == 0) {
        return 0;
    }
    /* Whole lines, as many as leave room to say how many there are besides. */
    char text[ERROR_TEXT_BYTES];
    size_t used = 0;
    size_t shown = 0;
    size_t total = doc->problem_count + doc->problems_hidden;
    for (; shown < doc->problem_count; shown++) {
        size_t bytes = strlen(doc->problems[shown].text) + (shown > 0 ? 1 : 0);
        size_t tail = shown + 1 == total ? 0 : sizeof("\nand 18446744073709551615 more") - 1;
        if (used + bytes + tail >= sizeof(text)) {
            break;
        }
        str_format(text + used, sizeof(text) - used, "%s%s", shown > 0 ? "\n" : "",
                   doc->problems[shown].text);
        used += bytes;
    }
    if (shown == 0) {
        return error_set(err, ERR_INVALID, 0, "%s", doc->problems[0].text);
    }
    if (shown < total) {
        str_format(text + used, sizeof(text) - used, "\nand %zu more", total - shown);
    }
    return error_set(err, ERR_INVALID, 0, "%s", text);
}

void doc_report(const struct doc *doc, struct strbuf *out)
{
    for (size_t i = 0; i < doc->problem_count; i++) {
        strbuf_printf(out, "%s\n", doc->problems[i].text);
    }
    if (doc->problems_hidden > 0) {
        strbuf_printf(out, "%s: and %zu more problems\n", doc->file, doc->problems_hidden);
    }
}

static void problem_shape(struct doc *doc, const struct doc_node *node, enum doc_kind wanted)
{
    for (size_t i = 0; i < doc->problem_count; i++) {
        if (doc->problems[i].node == node && doc->problems[i].shape) {
            return;
        }
    }
    char sentence[96];
    str_format(sentence, sizeof(sentence), "must be %s, and is %s", kind_names[wanted],
               kind_names[node->kind]);
    problem_add(doc, node, node->line, true, NULL, sentence);
}

static void problem_missing(struct doc *doc, const struct doc_node *map, const char *key)
{
    struct strbuf path;
    strbuf_init(&path, 4096);
    doc_path_write(map, &path);
    strbuf_printf(&path, "%s%s", path.bytes > 0 ? "." : "", key);
    const struct doc_node *empty = doc_kind(map) == DOC_MAP ? find(map, key) : NULL;
    problem_add(doc, map, empty != NULL ? empty->line : map->line, false, strbuf_text(&path),
                empty != NULL ? "is empty; a value is required" : "is required, and is missing");
    strbuf_done(&path);
}

/* `"value" and the rest of the sentence`. */
static void problem_value(struct doc *doc, const struct doc_node *node, const char *format, ...)
{
    char rest[PROBLEM_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(rest, sizeof(rest), format, args);
    va_end(args);
    struct strbuf sentence;
    strbuf_init(&sentence, 2 * PROBLEM_BYTES);
    quote(&sentence, node->text);
    strbuf_puts(&sentence, rest);
    problem_add(doc, node, node->line, false, NULL, strbuf_text(&sentence));
    strbuf_done(&sentence);
}

static void problem_unknown(struct doc *doc, const struct doc_node *map,
                            const struct doc_node *item)
{
    char sentence[PROBLEM_BYTES];
    const char *nearest = str_nearest(item->key, map->asked->names, map->asked->count);
    if (nearest != NULL) {
        (void)snprintf(sentence, sizeof(sentence), "no such field here; did you mean \"%.64s\"?",
                       nearest);
        problem_add(doc, item, item->line, false, NULL, sentence);
        return;
    }
    struct strbuf known;
    strbuf_init(&known, PROBLEM_BYTES / 2);
    for (size_t i = 0; i < map->asked->count; i++) {
        strbuf_printf(&known, "%s%s", i == 0 ? "" : ", ", map->asked->names[i]);
    }
    (void)snprintf(sentence, sizeof(sentence), "no such field here%s%s%s",
                   map->asked->count > 0 ? "; the fields are " : "", strbuf_text(&known),
                   known.broken ? ", ..." : "");
    strbuf_done(&known);
    problem_add(doc, item, item->line, false, NULL, sentence);
}

/* Kept in the order of the lines, so that a report reads like the document. */
static void problem_add(struct doc *doc, const struct doc_node *node, int line, bool shape,
                        const char *path, const char *sentence)
{
    if (doc->problem_count == LIMIT_DOC_PROBLEMS) {
        doc->problems_hidden++;
        return;
    }
    struct strbuf raw;
    strbuf_init(&raw, 8192);
    if (path != NULL) {
        strbuf_puts(&raw, path);
    } else {
        doc_path_write(node, &raw);
    }
    strbuf_puts(&raw, raw.bytes > 0 ? ": " : "");
    strbuf_puts(&raw, sentence);
    struct strbuf text;
    strbuf_init(&text, 40000);
    strbuf_puts(&text, doc->file);
    if (line > 0) {
        strbuf_printf(&text, ":%d", line);
    }
    strbuf_puts(&text, ": ");
    doc_visible(&text, strbuf_text(&raw), raw.bytes);
    const char *copy =
        raw.broken || text.broken ? NULL : arena_strdup(&doc->arena, strbuf_text(&text));
    strbuf_done(&raw);
    strbuf_done(&text);
    if (copy == NULL) {
        doc->no_memory = true;
        return;
    }
    size_t at = doc->problem_count++;
    for (; at > 0 && doc->problems[at - 1].line > line; at--) {
        doc->problems[at] = doc->problems[at - 1];
    }
    doc->problems[at] = (struct doc_problem){node, line, shape, copy};
}

static void quote(struct strbuf *out, const char *text)
{
    size_t bytes = strlen(text);
    size_t shown = bytes > VALUE_SHOWN_BYTES ? VALUE_SHOWN_BYTES : bytes;
    strbuf_printf(out, "\"%.*s%s\"", (int)shown, text, shown < bytes ? "..." : "");
}

void doc_visible(struct strbuf *out, const char *text, size_t bytes)
{
    size_t i = 0;
    while (i < bytes) {
        const unsigned char *at = (const unsigned char *)text + i;
        size_t whole = utf8_bytes(at, bytes - i);
        if (*at == '\n') {
            strbuf_puts(out, "\\n");
        } else if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && whole == 2 && at[1] < 0xa0)) {
            strbuf_printf(out, "\\x%02x", whole == 2 ? at[1] : *at);
        } else if (whole == 0) {
            strbuf_puts(out, "?");
        } else {
            strbuf_append(out, text + i, whole);
        }
        i += whole == 0 ? 1 : whole;
    }
}

/* The length of the UTF-8 sequence at `at`, 0 for a stray or missing byte: a value cut in the
 * middle of a character must not spoil the line that shows it. */
static size_t utf8_bytes(const unsigned char *at, size_t left)
{
    size_t count = at[0] < 0x80   ? 1
                   : at[0] < 0xc2 ? 0
                   : at[0] < 0xe0 ? 2
                   : at[0] < 0xf0 ? 3
                   : at[0] < 0xf5 ? 4
                                  : 0;
    if (count > left) {
        return 0;
    }
    for (size_t i = 1; i < count; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return count;
}
