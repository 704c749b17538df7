/* Reading a world's custom terms: formulas over the measures of sites and workloads. */
#include "base/str.h"
#include "model/measures.h"
#include "model/world_read.h"

static void read_term(struct reader *reader, const struct doc_node *node, struct custom_term *term);

static const char *const into_words[] = {"bill", "score"};

void world_read_terms(struct reader *reader, const struct doc_node *root, struct world *world)
{
    int count = 0;
    measures_read(reader, root, "workload_measures", &world->workload_measures);
    const struct doc_node *list = read_list(reader, root, "terms", 0, LIMIT_CUSTOM_TERMS, &count);
    world->terms = read_array(reader, count, sizeof(struct custom_term));
    for (int i = 0; world->terms != NULL && i < count; i++) {
        const struct doc_node *node = doc_item(list, (size_t)i);
        struct custom_term *term = &world->terms[i];
        read_term(reader, node, term);
        for (int k = 0; k < i && term->name[0] != '\0'; k++) {
            if (str_equal(world->terms[k].name, term->name)) {
                doc_problem(reader->doc, node, "term \"%s\" is declared twice; names are unique",
                            term->name);
            }
        }
        world->term_count = i + 1;
    }
}

static void read_term(struct reader *reader, const struct doc_node *node, struct custom_term *term)
{
    struct doc *doc = reader->doc;
    int into = 1;
    term->weight_ppm = PPM;
    doc_name(doc, node, "name", DOC_REQUIRED, term->name);
    doc_string(doc, node, "formula", DOC_REQUIRED, term->formula, sizeof(term->formula));
    doc_word(doc, node, "into", 0, into_words, 2, &into);
    term->billed = into == 0;
    doc_ratio(doc, node, "weight", 0, &term->weight_ppm);
    doc_string(doc, node, "source", 0, term->source, sizeof(term->source));
    doc_close(doc, node);
}
