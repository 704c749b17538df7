#include "scheduler/cli/yaml_out.h"

#include <stdlib.h>
#include <string.h>

static void write_value(const json_t *json, int depth, bool in_list, struct strbuf *out);
static void write_scalar(const json_t *json, struct strbuf *out);
static void write_text(const char *text, struct strbuf *out);
static bool is_plain(const char *text);
static void indent(int depth, struct strbuf *out);
static bool is_block(const json_t *json);

void yaml_write(const json_t *json, struct strbuf *out)
{
    if (is_block(json)) {
        write_value(json, 0, false, out);
    } else {
        write_scalar(json, out);
        strbuf_puts(out, "\n");
    }
}

/* `in_list`: the first line continues one that ends with "- ". */
static void write_value(const json_t *json, int depth, bool in_list, struct strbuf *out)
{
    bool first = true;
    if (json_is_object(json)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)json, key, value)
        {
            if (!first || !in_list)
                indent(depth, out);
            first = false;
            write_text(key, out);
            strbuf_puts(out, is_block(value) ? ":\n" : ": ");
            if (is_block(value))
                write_value(value, depth + 1, false, out);
            else
                write_scalar(value, out);
            if (!is_block(value))
                strbuf_puts(out, "\n");
        }
        return;
    }
    size_t index;
    json_t *value;
    json_array_foreach(json, index, value)
    {
        if (!first || !in_list)
            indent(depth, out);
        first = false;
        strbuf_puts(out, "- ");
        if (is_block(value))
            write_value(value, depth + 1, true, out);
        else
            write_scalar(value, out);
        if (!is_block(value))
            strbuf_puts(out, "\n");
    }
}

static void write_scalar(const json_t *json, struct strbuf *out)
{
    if (json_is_string(json)) {
        write_text(json_string_value(json), out);
        return;
    }
    char *text = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
    strbuf_puts(out, text == NULL ? "null" : text);
    free(text);
}

static void write_text(const char *text, struct strbuf *out)
{
    if (is_plain(text)) {
        strbuf_puts(out, text);
        return;
    }
    json_t *json = json_string(text);
    char *quoted = json == NULL ? NULL : json_dumps(json, JSON_ENCODE_ANY);
    if (quoted == NULL)
        out->broken = out->no_memory = true;
    else
        strbuf_puts(out, quoted);
    free(quoted);
    json_decref(json);
}

/* Letters first, and nothing after them that YAML gives a meaning. */
static bool is_plain(const char *text)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no", "on",
                                        "off",  "y",     "n",    "nan", "inf"};
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if (text[0] == 0 || strchr(letters, text[0]) == NULL)
        return false;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasecmp(text, words[i]) == 0)
            return false;
    size_t rest =
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./");
    return text[rest] == 0;
}

static void indent(int depth, struct strbuf *out)
{
    for (int i = 0; i < depth; i++)
        strbuf_puts(out, "  ");
}

static bool is_block(const json_t *json)
{
    return (json_is_object(json) && json_object_size(json) > 0) ||
           (json_is_array(json) && json_array_size(json) > 0);
}
