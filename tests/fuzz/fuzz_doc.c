/*
 * Any bytes as YAML and as JSON: parsed or refused with a sentence, then read with every typed
 * reader under a few field names, closed, checked and reported. The sentence must be one that a
 * terminal can show.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/doc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const keys[] = {"a", "name", "cpu", "list", "b"};

static void check_sentence(const char *text)
{
    BERTH_ASSERT(text[0] != '\0', "a refusal without a sentence");
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        BERTH_ASSERT(byte == '\n' || (byte >= 0x20 && byte != 0x7f), "byte %u", byte);
    }
}

static void read_map(struct doc *doc, const struct doc_node *map, int depth)
{
    static const char *const words[] = {"gcp", "aws", "edge"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        int flags = i % 2 == 0 ? DOC_REQUIRED : 0;
        char text[LIMIT_NAME_BYTES];
        bool yes;
        int word;
        int64_t number;
        struct decimal price;
        (void)doc_string(doc, map, keys[i], flags, text, 8);
        (void)doc_name(doc, map, keys[i], flags, text);
        (void)doc_bool(doc, map, keys[i], flags, &yes);
        (void)doc_int(doc, map, keys[i], flags, -5, 5, &number);
        (void)doc_price(doc, map, keys[i], flags, &price);
        (void)doc_cpu(doc, map, keys[i], flags, &number);
        (void)doc_bytes(doc, map, keys[i], flags, &number);
        (void)doc_duration(doc, map, keys[i], flags, &number);
        (void)doc_rate(doc, map, keys[i], flags, &number);
        (void)doc_ratio(doc, map, keys[i], flags, &number);
        (void)doc_word(doc, map, keys[i], flags, words, 3, &word);
        const struct doc_node *inner = doc_get(doc, map, keys[i], flags);
        if (inner != NULL && depth < LIMIT_DOC_DEPTH) {
            read_map(doc, inner, depth + 1);
        }
    }
    const struct doc_node *list = doc_list(doc, map, "list", 0);
    for (size_t i = 0; i < doc_count(list); i++) {
        char text[16];
        (void)doc_node_string(doc, doc_item(list, i), text, sizeof(text));
        doc_problem(doc, doc_item(list, i), "item %zu of %s", i, doc_path(doc, list));
    }
    doc_close(doc, map);
}

static void read_as(const char *file, const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct doc *doc;
    if (doc_parse(file, (const char *)data, size, &doc, &err) < 0) {
        check_sentence(err.text);
        return;
    }
    read_map(doc, doc_root(doc), 0);
    if (doc_check(doc, &err) < 0) {
        check_sentence(err.text);
    }
    struct strbuf report;
    strbuf_init(&report, 1 << 20);
    doc_report(doc, &report);
    BERTH_ASSERT((report.bytes > 0) == (doc_problem_count(doc) > 0), "a report without problems");
    strbuf_done(&report);
    doc_destroy(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_as("fuzz.yaml", data, size);
    read_as("fuzz.json", data, size);
    return 0;
}
