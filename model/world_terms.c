/* Reading a world's custom terms: formulas over the measures of sites and workloads. */
#include <string.h>

#include "base/str.h"
#include "model/formula.h"
#include "model/measures.h"
#include "model/world_read.h"

#define SITE_PREFIX     "site."
#define WORKLOAD_PREFIX "workload."

static void read_term(struct reader *reader, const struct doc_node *node, struct custom_term *term);
static void check_units(struct reader *reader, const struct doc_node *root,
                        const struct world *world);
static void check_formula(struct reader *reader, const struct doc_node *node,
                          const struct world *world, const struct custom_term *term);
static bool check_names(struct reader *reader, const struct doc_node *node,
                        const struct world *world, const struct custom_term *term);
static bool check_site_measure(struct reader *reader, const struct doc_node *node,
                               const struct world *world, const struct custom_term *term,
                               const char *name);
static int site_stating(const struct world *world, int site_end, const char *name);

static const char *const into_words[] = {"bill", "score"};

void world_read_terms(struct reader *reader, const struct doc_node *root, struct world *world)
{
    int count = 0;
    measures_read(reader, root, "workload_measures", &world->workload_measures);
    check_units(reader, root, world);
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
        if (term->formula[0] != '\0') {
            check_formula(reader, doc_get(reader->doc, node, "formula", 0), world, term);
        }
        world->term_count = i + 1;
    }
}

int world_formula_names(const struct world *world, struct arena *arena,
                        struct formula_name **ret_names, int *ret_count)
{
    enum { NAMES_MAX = BUILTIN_COUNT + 2 * LIMIT_MEASURES };
    struct formula_name *names = arena_array(arena, NAMES_MAX, sizeof(*names));
    int count = BUILTIN_COUNT;
    if (names == NULL) {
        return ERR_NO_MEMORY;
    }
    memcpy(names, formula_builtins, BUILTIN_COUNT * sizeof(*names));
    for (int i = 0; i < world->site_count; i++) {
        const struct measures *measures = &world->sites[i].measures;
        for (int k = 0; k < measures->count && count < BUILTIN_COUNT + LIMIT_MEASURES; k++) {
            const struct measure *measure = &measures->list[k];
            if (site_stating(world, i, measure->name) < 0) {
                struct formula_name *name = &names[count++];
                str_format(name->name, sizeof(name->name), SITE_PREFIX "%s", measure->name);
                str_format(name->unit, sizeof(name->unit), "%s", measure->unit);
            }
        }
    }
    for (int k = 0; k < world->workload_measures.count; k++) {
        const struct measure *measure = &world->workload_measures.list[k];
        struct formula_name *name = &names[count++];
        str_format(name->name, sizeof(name->name), WORKLOAD_PREFIX "%s", measure->name);
        str_format(name->unit, sizeof(name->unit), "%s", measure->unit);
    }
    *ret_names = names;
    *ret_count = count;
    return 0;
}

const struct measure *world_measure(const struct world *world, const struct site *site,
                                    const struct workload *workload, const char *name)
{
    if (str_starts(name, SITE_PREFIX)) {
        return measures_find(&site->measures, name + strlen(SITE_PREFIX));
    }
    if (!str_starts(name, WORKLOAD_PREFIX)) {
        return NULL;
    }
    name += strlen(WORKLOAD_PREFIX);
    const struct measure *own = measures_find(&workload->measures, name);
    return own != NULL ? own : measures_find(&world->workload_measures, name);
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

/* A measure has one unit in a world, whatever site states it. */
static void check_units(struct reader *reader, const struct doc_node *root,
                        const struct world *world)
{
    const struct doc_node *sites = doc_get(reader->doc, root, "sites", 0);
    int different = 0;
    for (int i = 0; i < world->site_count; i++) {
        const struct site *site = &world->sites[i];
        for (int k = 0; k < site->measures.count; k++) {
            const struct measure *measure = &site->measures.list[k];
            int first = site_stating(world, i, measure->name);
            if (first < 0) {
                different++;
                continue;
            }
            const struct measure *other =
                measures_find(&world->sites[first].measures, measure->name);
            if (!str_equal(other->unit, measure->unit)) {
                doc_problem(reader->doc, sites,
                            "the measure %s is in %s at %s and in %s at %s; a measure has one unit "
                            "in a world",
                            measure->name, other->unit, world->sites[first].name, measure->unit,
                            site->name);
            }
        }
    }
    if (different > LIMIT_MEASURES) {
        doc_problem(reader->doc, sites,
                    "%d different measures; the sites of a world have at most %d (LIMIT_MEASURES)",
                    different, LIMIT_MEASURES);
    }
}

static void check_formula(struct reader *reader, const struct doc_node *node,
                          const struct world *world, const struct custom_term *term)
{
    struct formula_name *names = NULL;
    struct formula *formula = NULL;
    struct error err = {0};
    int count = 0;
    if (!check_names(reader, node, world, term)) {
        return;
    }
    int rc = world_formula_names(world, reader->arena, &names, &count);
    if (rc == 0) {
        rc = formula_parse(term->formula, names, count, "USD", reader->arena, &formula, &err);
    }
    if (rc == ERR_NO_MEMORY) {
        reader->no_memory = true;
    } else if (rc < 0) {
        doc_problem(reader->doc, node, "%.400s", err.text);
    }
}

/* What a formula names is stated: an unknown figure must not look like nothing. */
static bool check_names(struct reader *reader, const struct doc_node *node,
                        const struct world *world, const struct custom_term *term)
{
    char name[LIMIT_NAME_BYTES * 2];
    bool all = true;
    for (int i = 0; formula_name_at(term->formula, i, name); i++) {
        if (str_starts(name, SITE_PREFIX)) {
            all = check_site_measure(reader, node, world, term, name) && all;
        } else if (str_starts(name, WORKLOAD_PREFIX) &&
                   measures_find(&world->workload_measures, name + strlen(WORKLOAD_PREFIX)) ==
                       NULL) {
            doc_problem(reader->doc, node,
                        "term %s uses %s, which workload_measures does not have; write it there "
                        "with its unit and the value of a workload that states none",
                        term->name, name);
            all = false;
        }
    }
    return all;
}

static bool check_site_measure(struct reader *reader, const struct doc_node *node,
                               const struct world *world, const struct custom_term *term,
                               const char *name)
{
    for (int i = 0; i < world->site_count; i++) {
        if (measures_find(&world->sites[i].measures, name + strlen(SITE_PREFIX)) == NULL) {
            doc_problem(reader->doc, node,
                        "term %s uses %s, which site %s does not state; every site has to, as a "
                        "missing figure is not 0 (write 0 where it is)",
                        term->name, name, world->sites[i].name);
            return false;
        }
    }
    return true;
}

/* The first site before `site_end` with a measure of that name; -1: none. */
static int site_stating(const struct world *world, int site_end, const char *name)
{
    for (int i = 0; i < site_end; i++) {
        if (measures_find(&world->sites[i].measures, name) != NULL) {
            return i;
        }
    }
    return -1;
}
