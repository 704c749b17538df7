/*
 * doc_parse: texts to trees. One builder, two readers of text:
 *
 * YAML comes as libyaml's events. JSON is judged by jansson (strict rules, errors with a line) and
 * then walked by the few lines at the end of this file. Neither of the obvious other ways is right:
 * jansson's own tree has no lines and turns numbers into doubles, which would lose the digits of a
 * price, and libyaml reads JSON's escapes differently (a surrogate pair becomes two broken
 * characters) and takes much that is not JSON. A text that jansson accepted needs no second set of
 * error checks, so the walker stays small.
 */
#include "base/doc_tree.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct builder {
    struct doc *doc;
    struct doc_node *open; /* the innermost open list or mapping, NULL at the top */
    int depth;
    const char *key; /* in a mapping: the name read, its value not yet */
    int key_line;
    struct error *err;
};

static int build_open(struct builder *b, enum doc_kind kind, int line);
static int build_close(struct builder *b);
static int build_scalar(struct builder *b, const char *text, size_t bytes, int line, bool quoted);
static int build_key(struct builder *b, const char *text, size_t bytes, int line);
static int build_add(struct builder *b, struct doc_node *node);
static int build_no_memory(struct builder *b);
static bool builder_wants_key(const struct builder *b);
static int refuse(struct builder *b, int code, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static bool text_is_null(const char *text, size_t bytes);
static int compare_keys(const void *a, const void *b);
static int compare_key_lines(const void *a, const void *b);

static int yaml_read_events(struct builder *b, yaml_parser_t *parser, const char *text,
                            size_t bytes);
static int yaml_event(struct builder *b, const yaml_event_t *event);
static int yaml_scalar(struct builder *b, const yaml_event_t *event, int line);
static int yaml_syntax_error(struct builder *b, const yaml_parser_t *parser, const char *text,
                             size_t bytes);
static bool line_starts_with_tab(const char *text, size_t bytes, size_t line_index);

static int json_walk(struct builder *b, const char *text, size_t bytes);
static size_t json_text(const char *text, char *out, size_t *ret_bytes);
static size_t json_escaped(const char *text, char *out, size_t *bytes);
static uint32_t hex4(const char *text);

/* ---- the builder ---------------------------------------------------------------------------- */

static int build_open(struct builder *b, enum doc_kind kind, int line)
{
    if (b->depth == LIMIT_DOC_DEPTH) {
        return refuse(b, ERR_LIMIT, line, "more than %d levels inside each other (LIMIT_DOC_DEPTH)",
                      LIMIT_DOC_DEPTH);
    }
    if (builder_wants_key(b)) {
        return refuse(b, ERR_INVALID, line, "a field's name must be a plain text");
    }
    struct doc_node *node = arena_alloc(&b->doc->arena, sizeof(*node));
    if (node == NULL) {
        return build_no_memory(b);
    }
    node->kind = kind;
    node->line = line;
    if (kind == DOC_MAP) {
        node->asked = arena_alloc(&b->doc->arena, sizeof(*node->asked));
        if (node->asked == NULL) {
            return build_no_memory(b);
        }
    }
    int rc = build_add(b, node);
    if (rc < 0) {
        return rc;
    }
    b->open = node;
    b->depth++;
    return 0;
}

static int build_close(struct builder *b)
{
    struct doc_node *node = b->open;
    struct arena *arena = &b->doc->arena;
    node->items = arena_array(arena, node->count, sizeof(struct doc_node *));
    if (node->items == NULL) {
        return build_no_memory(b);
    }
    size_t i = 0;
    for (struct doc_node *item = node->first; item != NULL; item = item->next) {
        node->items[i++] = item;
    }
    b->open = node->parent;
    b->depth--;
    if (node->kind != DOC_MAP) {
        return 0;
    }
    node->sorted = arena_copy(arena, node->items, node->count * sizeof(struct doc_node *));
    if (node->sorted == NULL) {
        return build_no_memory(b);
    }
    /* Sorted once: a search for twins in pairs would take hours for a hostile document. */
    qsort(node->sorted, node->count, sizeof(struct doc_node *), compare_key_lines);
    for (i = 1; i < node->count; i++) {
        const struct doc_node *twin = node->sorted[i];
        if (strcmp(node->sorted[i - 1]->key, twin->key) == 0) {
            b->open = node; /* for the path */
            return refuse(b, ERR_INVALID, twin->line,
                          "the field \"%.64s\" is already set in line %d; remove one", twin->key,
                          node->sorted[i - 1]->line);
        }
    }
    return 0;
}

static int build_scalar(struct builder *b, const char *text, size_t bytes, int line, bool quoted)
{
    if (memchr(text, '\0', bytes) != NULL) {
        return refuse(b, ERR_INVALID, line, "a NUL character in a text");
    }
    if (builder_wants_key(b)) {
        return build_key(b, text, bytes, line);
    }
    struct doc_node *node = arena_alloc(&b->doc->arena, sizeof(*node));
    if (node == NULL) {
        return build_no_memory(b);
    }
    node->line = line;
    node->kind = !quoted && text_is_null(text, bytes) ? DOC_NULL : DOC_SCALAR;
    if (node->kind == DOC_SCALAR) {
        node->text = arena_strndup(&b->doc->arena, text, bytes);
        if (node->text == NULL) {
            return build_no_memory(b);
        }
    }
    return build_add(b, node);
}

static int build_key(struct builder *b, const char *text, size_t bytes, int line)
{
    if (bytes == 0) {
        return refuse(b, ERR_INVALID, line, "a field without a name");
    }
    b->key = arena_strndup(&b->doc->arena, text, bytes);
    if (b->key == NULL) {
        return build_no_memory(b);
    }
    b->key_line = line;
    return 0;
}

static int build_add(struct builder *b, struct doc_node *node)
{
    struct doc_node *parent = b->open;
    if (parent == NULL) {
        b->doc->root = node;
        return 0;
    }
    node->parent = parent;
    node->index = parent->count++;
    if (parent->kind == DOC_MAP) {
        node->key = TAKE(b->key);
        /* A scalar is reported where its name stands; a folded text may begin lines below. */
        node->line = b->key_line;
    }
    if (parent->last == NULL) {
        parent->first = node;
    } else {
        parent->last->next = node;
    }
    parent->last = node;
    return 0;
}

static bool builder_wants_key(const struct builder *b)
{
    return b->open != NULL && b->open->kind == DOC_MAP && b->key == NULL;
}

static int build_no_memory(struct builder *b)
{
    return error_set(b->err, ERR_NO_MEMORY, 0, "%s: no memory for its values", b->doc->file);
}

/* "file:line: path: sentence", the path being that of the value under construction. */
static int refuse(struct builder *b, int code, int line, const char *format, ...)
{
    char sentence[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    struct strbuf text;
    strbuf_init(&text, 4096);
    strbuf_printf(&text, "%s:%d: ", b->doc->file, line);
    size_t before = text.bytes;
    if (b->open != NULL) {
        doc_path_write(b->open, &text);
    }
    if (b->key != NULL) {
        strbuf_printf(&text, "%s%.64s", text.bytes > before ? "." : "", b->key);
    }
    if (text.bytes > before) {
        strbuf_puts(&text, ": ");
    }
    struct strbuf visible;
    strbuf_init(&visible, 16384);
    doc_visible(&visible, strbuf_text(&text), text.bytes);
    doc_visible(&visible, sentence, strlen(sentence));
    (void)error_set(b->err, code, 0, "%s", strbuf_text(&visible));
    strbuf_done(&text);
    strbuf_done(&visible);
    return code;
}

static bool text_is_null(const char *text, size_t bytes)
{
    return bytes == 0 || (bytes == 1 && text[0] == '~') ||
           (bytes == 4 && memcmp(text, "null", 4) == 0);
}

static int compare_keys(const void *a, const void *b)
{
    const struct doc_node *const *left = a;
    const struct doc_node *const *right = b;
    return strcmp((*left)->key, (*right)->key);
}

static int compare_key_lines(const void *a, const void *b)
{
    const struct doc_node *const *left = a;
    const struct doc_node *const *right = b;
    int order = compare_keys(a, b);
    return order != 0 ? order : (*left)->index < (*right)->index ? -1 : 1;
}

/* ---- YAML ----------------------------------------------------------------------------------- */

int doc_parse_yaml(struct doc *doc, const char *text, size_t bytes, struct error *err)
{
    struct builder b = {.doc = doc, .err = err};
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
        return build_no_memory(&b);
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    int rc = yaml_read_events(&b, &parser, text, bytes);
    yaml_parser_delete(&parser);
    return rc;
}

static int yaml_read_events(struct builder *b, yaml_parser_t *parser, const char *text,
                            size_t bytes)
{
    int documents = 0;
    for (;;) {
        yaml_event_t event;
        if (yaml_parser_parse(parser, &event) == 0) {
            return yaml_syntax_error(b, parser, text, bytes);
        }
        int rc = 0;
        bool end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
            rc = refuse(b, ERR_INVALID, (int)event.start_mark.line + 1,
                        "a second document begins; one file holds one document");
        } else {
            rc = yaml_event(b, &event);
        }
        yaml_event_delete(&event);
        if (rc < 0 || end) {
            return rc;
        }
    }
}

static int yaml_event(struct builder *b, const yaml_event_t *event)
{
    int line = (int)event->start_mark.line + 1;
    const char *tag = NULL;
    const char *anchor = NULL;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        tag = (const char *)event->data.scalar.tag;
        anchor = (const char *)event->data.scalar.anchor;
        break;
    case YAML_SEQUENCE_START_EVENT:
        tag = (const char *)event->data.sequence_start.tag;
        anchor = (const char *)event->data.sequence_start.anchor;
        break;
    case YAML_MAPPING_START_EVENT:
        tag = (const char *)event->data.mapping_start.tag;
        anchor = (const char *)event->data.mapping_start.anchor;
        break;
    case YAML_ALIAS_EVENT:
        anchor = (const char *)event->data.alias.anchor;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return build_close(b);
    default:
        return 0;
    }
    if (anchor != NULL) {
        return refuse(b, ERR_INVALID, line,
                      "anchors and aliases (\"%.64s\") are not read here; write the value out",
                      anchor);
    }
    if (tag != NULL) {
        return refuse(b, ERR_INVALID, line,
                      "tags (\"%.64s\") are not read here; write the value without it", tag);
    }
    if (event->type == YAML_SCALAR_EVENT) {
        return yaml_scalar(b, event, line);
    }
    return build_open(b, event->type == YAML_MAPPING_START_EVENT ? DOC_MAP : DOC_LIST, line);
}

static int yaml_scalar(struct builder *b, const yaml_event_t *event, int line)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t bytes = event->data.scalar.length;
    bool quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (!quoted && builder_wants_key(b) && bytes == 2 && memcmp(text, "<<", 2) == 0) {
        return refuse(b, ERR_INVALID, line,
                      "the merge key \"<<\" is not read here; write the fields out");
    }
    return build_scalar(b, text, bytes, line, quoted);
}

static int yaml_syntax_error(struct builder *b, const yaml_parser_t *parser, const char *text,
                             size_t bytes)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        return build_no_memory(b);
    }
    const char *problem = parser->problem != NULL ? parser->problem : "the text is not YAML";
    b->open = NULL; /* where libyaml stumbles says more than the path that was open */
    b->key = NULL;
    if (parser->error == YAML_READER_ERROR) {
        /* The reader runs ahead of the marks: it knows the byte, not the line. */
        int line = 1;
        for (size_t i = 0; i < parser->problem_offset && i < bytes; i++) {
            line += text[i] == '\n' ? 1 : 0;
        }
        return refuse(b, ERR_INVALID, line, "%s; the text must be UTF-8 without control characters",
                      problem);
    }
    size_t line_index = parser->problem_mark.line;
    const char *hint = "";
    if (line_starts_with_tab(text, bytes, line_index)) {
        hint = "; indent with spaces, not with tabs";
    }
    if (parser->context != NULL) {
        return refuse(b, ERR_INVALID, (int)line_index + 1, "%s, %s that begins in line %zu%s",
                      problem, parser->context, parser->context_mark.line + 1, hint);
    }
    return refuse(b, ERR_INVALID, (int)line_index + 1, "%s%s", problem, hint);
}

static bool line_starts_with_tab(const char *text, size_t bytes, size_t line_index)
{
    size_t i = 0;
    for (; i < bytes && line_index > 0; i++) {
        line_index -= text[i] == '\n' ? 1 : 0;
    }
    while (i < bytes && text[i] == ' ') {
        i++;
    }
    return i < bytes && text[i] == '\t';
}

/* ---- JSON ----------------------------------------------------------------------------------- */

int doc_parse_json(struct doc *doc, const char *text, size_t bytes, struct error *err)
{
    struct builder b = {.doc = doc, .err = err};
    json_error_t judged;
    /* Integers as reals: how large a number may be is the reader's question, not the format's. */
    json_t *tree = json_loadb(text, bytes, JSON_DECODE_INT_AS_REAL, &judged);
    if (tree == NULL) {
        if (json_error_code(&judged) == json_error_out_of_memory) {
            return build_no_memory(&b);
        }
        return refuse(&b, ERR_INVALID, judged.line > 0 ? judged.line : 1, "as JSON: %s",
                      judged.text);
    }
    json_decref(tree);
    return json_walk(&b, text, bytes);
}

static int json_walk(struct builder *b, const char *text, size_t bytes)
{
    /* A decoded string is never longer than its text, so one buffer serves all of them. */
    CLEANUP(cleanup_free) char *decoded = malloc(bytes + 1);
    if (decoded == NULL) {
        return build_no_memory(b);
    }
    int line = 1;
    size_t i = 0;
    int rc = 0;
    while (i < bytes && rc == 0) {
        char c = text[i];
        size_t used = 1;
        if (c == '{' || c == '[') {
            rc = build_open(b, c == '{' ? DOC_MAP : DOC_LIST, line);
        } else if (c == '}' || c == ']') {
            rc = build_close(b);
        } else if (c == '"') {
            size_t decoded_bytes;
            used = json_text(text + i, decoded, &decoded_bytes);
            rc = build_scalar(b, decoded, decoded_bytes, line, true);
        } else if (strchr(" \t\r\n,:", c) == NULL) {
            while (i + used < bytes && strchr(" \t\r\n,:]}", text[i + used]) == NULL) {
                used++;
            }
            rc = build_scalar(b, text + i, used, line, false);
        } else {
            line += c == '\n' ? 1 : 0;
        }
        i += used;
    }
    return rc;
}

/* The string that begins at the quote `text`; returns the bytes it takes there. */
static size_t json_text(const char *text, char *out, size_t *ret_bytes)
{
    size_t i = 1;
    size_t bytes = 0;
    while (text[i] != '"') {
        if (text[i] == '\\') {
            i += json_escaped(text + i, out, &bytes);
        } else {
            out[bytes++] = text[i++];
        }
    }
    *ret_bytes = bytes;
    return i + 1;
}

static size_t json_escaped(const char *text, char *out, size_t *bytes)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    const char *name = strchr(names, text[1]);
    if (name != NULL) {
        out[(*bytes)++] = values[name - names];
        return 2;
    }
    uint32_t point = hex4(text + 2);
    size_t used = 6;
    if (point >= 0xd800 && point < 0xdc00) {
        point = 0x10000 + ((point - 0xd800) << 10) + (hex4(text + 8) - 0xdc00);
        used = 12;
    }
    char *at = out + *bytes;
    if (point < 0x80) {
        *at++ = (char)point;
    } else if (point < 0x800) {
        *at++ = (char)(0xc0 | (point >> 6));
        *at++ = (char)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        *at++ = (char)(0xe0 | (point >> 12));
        *at++ = (char)(0x80 | ((point >> 6) & 0x3f));
        *at++ = (char)(0x80 | (point & 0x3f));
    } else {
        *at++ = (char)(0xf0 | (point >> 18));
        *at++ = (char)(0x80 | ((point >> 12) & 0x3f));
        *at++ = (char)(0x80 | ((point >> 6) & 0x3f));
        *at++ = (char)(0x80 | (point & 0x3f));
    }
    *bytes = (size_t)(at - out);
    return used;
}

static uint32_t hex4(const char *text)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = text[i];
        uint32_t digit = (uint32_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        value = (value << 4) | digit;
    }
    return value;
}
