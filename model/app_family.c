/* Reading the parts of a family, as canonical documents write them out. */
#include <string.h>

#include "base/str.h"
#include "model/app_read.h"

static void read_part_segment(struct reader *reader, const struct doc_node *part,
                              const struct app *app, struct workload *workload);
static void check_member(struct reader *reader, const struct app *app, int member,
                         const struct doc_node *node);
static bool is_same(const struct workload *a, const struct workload *b);

void app_read_part(struct reader *reader, const struct doc_node *node, const struct app *app,
                   struct workload *workload, struct split_mark *mark)
{
    struct doc *doc = reader->doc;
    workload->segment = -1;
    doc_bool(doc, node, "split", 0, &mark->split);
    const struct doc_node *part = doc_map(doc, node, "part", 0);
    if (part != NULL) {
        doc_name(doc, part, "of", DOC_REQUIRED, workload->family);
        read_part_segment(reader, part, app, workload);
        doc_close(doc, part);
    }
    if (part != NULL && mark->split) {
        doc_problem(doc, part, "split and part exclude each other; a part is not divided again");
    }
    if (mark->at != NULL && !mark->split) {
        doc_problem(doc, mark->at,
                    "only a data set with split: true is at a site for each of its readers; write "
                    "one site");
    }
}

static void read_part_segment(struct reader *reader, const struct doc_node *part,
                              const struct app *app, struct workload *workload)
{
    struct doc *doc = reader->doc;
    char name[LIMIT_NAME_BYTES] = "";
    const struct doc_node *scalar = doc_get(doc, part, "segment", 0);
    if (workload->kind == KIND_DATA) {
        if (scalar != NULL) {
            doc_problem(doc, scalar, "a part of a data set is its reader's, and has no segment");
        }
        return;
    }
    if (!doc_name(doc, part, "segment", DOC_REQUIRED, name)) {
        return;
    }
    workload->segment = app_segment(app, name);
    if (workload->segment < 0) {
        const char *names[LIMIT_SEGMENTS];
        for (int i = 0; i < app->segment_count; i++) {
            names[i] = app->segments[i].name;
        }
        const char *nearest = str_nearest(name, names, (size_t)app->segment_count);
        doc_problem(doc, scalar, "\"%s\" is not among the users%s%s%s", name,
                    nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
                    nearest != NULL ? "\"?" : "");
    }
}

void app_check_families(struct reader *reader, const struct app *app,
                        const struct split_mark *marks)
{
    for (int i = 0; i < app->workload_count; i++) {
        if (app->workloads[i].family[0] != '\0') {
            check_member(reader, app, i, marks[i].node);
        }
    }
}

/* Against those before it, so that each mistake is told once. */
static void check_member(struct reader *reader, const struct app *app, int member,
                         const struct doc_node *node)
{
    const struct workload *workload = &app->workloads[member];
    int count = 1;
    if (app_workload(app, workload->family) >= 0 || app_segment(app, workload->family) >= 0) {
        doc_problem(reader->doc, node,
                    "\"%s\" is part of \"%s\", which is a name of this app already; a family has a "
                    "name of its own",
                    workload->name, workload->family);
    }
    for (int i = 0; i < member; i++) {
        const struct workload *other = &app->workloads[i];
        if (!str_equal(other->family, workload->family)) {
            continue;
        }
        count++;
        if (workload->segment >= 0 && other->segment == workload->segment) {
            doc_problem(reader->doc, node,
                        "\"%s\" and \"%s\" are parts of \"%s\" for the same users", other->name,
                        workload->name, workload->family);
        } else if (!is_same(other, workload)) {
            doc_problem(
                reader->doc, node,
                "\"%s\" differs from \"%s\" in what runs or what is stored; parts of \"%s\" "
                "share it",
                workload->name, other->name, workload->family);
            return;
        }
    }
    if (count == LIMIT_FAMILY + 1) {
        doc_problem(reader->doc, node, "\"%s\" has more than %d parts (LIMIT_FAMILY)",
                    workload->family, LIMIT_FAMILY);
    }
}

/* Parts at one site with one variant share its instances and its cache, or its bytes. */
static bool is_same(const struct workload *a, const struct workload *b)
{
    return a->kind == b->kind && a->replicas == b->replicas && a->hit_ppm == b->hit_ppm &&
           a->warm_calls == b->warm_calls && a->curve_count == b->curve_count &&
           (a->curve_count == 0 ||
            memcmp(a->curve, b->curve, (size_t)a->curve_count * sizeof(struct hit_point)) == 0) &&
           a->data.bytes == b->data.bytes && a->data.copies == b->data.copies &&
           a->data.dedup_ppm == b->data.dedup_ppm && workload_spec_hash(a) == workload_spec_hash(b);
}
