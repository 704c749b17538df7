#include "model/read.h"

#include <string.h>

#include "base/str.h"

const struct doc_node *read_list(struct reader *reader, const struct doc_node *map, const char *key,
                                 int flags, int max, int *ret_count)
{
    const struct doc_node *list = doc_list(reader->doc, map, key, flags);
    size_t count = doc_kind(list) == DOC_LIST ? doc_count(list) : 0;
    if (count > (size_t)max) {
        doc_problem(reader->doc, list, "%zu entries; at most %d are allowed here", count, max);
        count = (size_t)max;
    }
    *ret_count = (int)count;
    return list;
}

void *read_array(struct reader *reader, int count, size_t bytes_each)
{
    if (count <= 0) {
        return NULL;
    }
    void *array = arena_array(reader->arena, (size_t)count, bytes_each);
    reader->no_memory = reader->no_memory || array == NULL;
    return array;
}

void read_tags(struct reader *reader, const struct doc_node *map, const char *key, int spare,
               struct tags *out)
{
    const struct doc_node *node = doc_map(reader->doc, map, key, 0);
    size_t count = doc_kind(node) == DOC_MAP ? doc_count(node) : 0;
    if (count > LIMIT_TAGS) {
        doc_problem(reader->doc, node, "%zu tags; at most %d are allowed here", count, LIMIT_TAGS);
        count = LIMIT_TAGS;
    }
    *out = (struct tags){read_array(reader, (int)count + spare, sizeof(struct tag)), 0};
    if (out->list == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = doc_key(node, i);
        const struct doc_node *item = doc_item(node, i);
        char value[LIMIT_NAME_BYTES] = "";
        if (!tag_key_is_valid(name)) {
            doc_problem(reader->doc, item,
                        "\"%.80s\" is no tag key: 1 to 63 of a-z, 0-9, '-', '_' and '.'", name);
        } else if (doc_node_string(reader->doc, item, value, sizeof(value))) {
            if (tag_value_is_valid(value)) {
                tags_add(out, name, value);
            } else {
                doc_problem(reader->doc, item,
                            "\"%s\" is no tag value: 1 to 63 of letters, digits, '-', '_', '.' "
                            "and '/'",
                            value);
            }
        }
    }
}

void tags_add(struct tags *tags, const char *key, const char *value)
{
    int at = 0;
    while (at < tags->count && strcmp(tags->list[at].key, key) < 0) {
        at++;
    }
    if (at < tags->count && strcmp(tags->list[at].key, key) == 0) {
        return;
    }
    memmove(&tags->list[at + 1], &tags->list[at], (size_t)(tags->count - at) * sizeof(struct tag));
    str_format(tags->list[at].key, sizeof(tags->list[at].key), "%s", key);
    str_format(tags->list[at].value, sizeof(tags->list[at].value), "%s", value);
    tags->count++;
}

const char *tags_get(const struct tags *tags, const char *key)
{
    for (int i = 0; i < tags->count; i++) {
        if (str_equal(tags->list[i].key, key)) {
            return tags->list[i].value;
        }
    }
    return NULL;
}

bool tag_key_is_valid(const char *key)
{
    size_t length = strlen(key);
    return length > 0 && length < LIMIT_NAME_BYTES &&
           strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == length;
}

bool tag_value_is_valid(const char *value)
{
    size_t length = strlen(value);
    return length > 0 && length < LIMIT_NAME_BYTES &&
           strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") ==
               length;
}

bool site_name_is_valid(const char *name)
{
    const char *slash = strchr(name, '/');
    char provider[LIMIT_NAME_BYTES];
    if (slash == NULL || (size_t)(slash - name) >= sizeof(provider)) {
        return false;
    }
    str_format(provider, sizeof(provider), "%.*s", (int)(slash - name), name);
    return name_is_valid(provider) && name_is_valid(slash + 1);
}

bool read_site_name(struct reader *reader, const struct doc_node *map, const char *key, int flags,
                    char out[LIMIT_REF_BYTES])
{
    char name[LIMIT_REF_BYTES] = "";
    if (!doc_string(reader->doc, map, key, flags, name, sizeof(name))) {
        return false;
    }
    if (!site_name_is_valid(name)) {
        doc_problem(reader->doc, doc_get(reader->doc, map, key, 0),
                    "\"%s\" is no site name; write provider/region, as in gcp/us-central1", name);
        return false;
    }
    str_format(out, LIMIT_REF_BYTES, "%s", name);
    return true;
}

int read_finish(struct reader *reader, struct error *err)
{
    if (reader->no_memory) {
        return error_set(err, ERR_NO_MEMORY, 0,
                         "the document needs more memory than the reader may use (%zu bytes)",
                         reader->arena->bytes_max);
    }
    return doc_check(reader->doc, err);
}
