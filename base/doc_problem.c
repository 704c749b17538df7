/*
 * doc_problem: what is wrong with a document, as sentences that name the place, the value, the rule
 * and the next step. Everything that is shown passes doc_visible, so that a hostile value can
 * neither break a line nor reach a terminal's controls.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/doc_tree.h"

#define VALUE_SHOWN_BYTES 64

static const char *const kind_names[] = {
    [DOC_NULL] = "nothing",
    [DOC_SCALAR] = "a single value",
    [DOC_LIST] = "a list",
    [DOC_MAP] = "a mapping",
};

static void problem_unknown(struct doc *doc, const struct doc_node *map,
                            const struct doc_node *item);
static void quote(struct strbuf *out, const char *text);

void doc_problem(struct doc *doc, const struct doc_node *node, const char *format, ...)
{
    char sentence[DOC_PROBLEM_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    const char *value = doc_text(node);
    if (value == NULL || value[0] == '\0' || strstr(sentence, value) != NULL) {
        doc_problem_add(doc, node, doc_line(node), false, NULL, sentence);
    } else {
        doc_problem_value(doc, node, ": %s", sentence);
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

void doc_problem_shape(struct doc *doc, const struct doc_node *node, enum doc_kind wanted)
{
    for (size_t i = 0; i < doc->problem_count; i++) {
        if (doc->problems[i].node == node && doc->problems[i].shape) {
            return;
        }
    }
    char sentence[96];
    str_format(sentence, sizeof(sentence), "must be %s, and is %s", kind_names[wanted],
               kind_names[node->kind]);
    doc_problem_add(doc, node, node->line, true, NULL, sentence);
}

void doc_problem_missing(struct doc *doc, const struct doc_node *map, const char *key,
                         const struct doc_node *empty)
{
    struct strbuf path;
    strbuf_init(&path, 4096);
    doc_path_write(map, &path);
    strbuf_printf(&path, "%s%s", path.bytes > 0 ? "." : "", key);
    doc_problem_add(doc, map, empty != NULL ? empty->line : map->line, false, strbuf_text(&path),
                    empty != NULL ? "is empty; a value is required"
                                  : "is required, and is missing");
    strbuf_done(&path);
}

/* `"value" and the rest of the sentence`. */
void doc_problem_value(struct doc *doc, const struct doc_node *node, const char *format, ...)
{
    char rest[DOC_PROBLEM_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(rest, sizeof(rest), format, args);
    va_end(args);
    struct strbuf sentence;
    strbuf_init(&sentence, 2 * DOC_PROBLEM_BYTES);
    quote(&sentence, node->text);
    strbuf_puts(&sentence, rest);
    doc_problem_add(doc, node, node->line, false, NULL, strbuf_text(&sentence));
    strbuf_done(&sentence);
}

static void problem_unknown(struct doc *doc, const struct doc_node *map,
                            const struct doc_node *item)
{
    char sentence[DOC_PROBLEM_BYTES];
    const char *nearest = str_nearest(item->key, map->asked->names, map->asked->count);
    if (nearest != NULL) {
        (void)snprintf(sentence, sizeof(sentence), "no such field here; did you mean \"%.64s\"?",
                       nearest);
        doc_problem_add(doc, item, item->line, false, NULL, sentence);
        return;
    }
    struct strbuf known;
    strbuf_init(&known, DOC_PROBLEM_BYTES / 2);
    for (size_t i = 0; i < map->asked->count; i++) {
        strbuf_printf(&known, "%s%s", i == 0 ? "" : ", ", map->asked->names[i]);
    }
    (void)snprintf(sentence, sizeof(sentence), "no such field here%s%s%s",
                   map->asked->count > 0 ? "; the fields are " : "", strbuf_text(&known),
                   known.broken ? ", ..." : "");
    strbuf_done(&known);
    doc_problem_add(doc, item, item->line, false, NULL, sentence);
}

/* Kept in the order of the lines, so that a report reads like the document. */
void doc_problem_add(struct doc *doc, const struct doc_node *node, int line, bool shape,
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
        size_t whole = str_utf8_bytes(text + i, bytes - i);
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
