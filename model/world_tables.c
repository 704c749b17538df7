/* `latency.tables` of a world document: measured round trips as they are published, as matrices. */
#include "base/str.h"
#include "model/world_read.h"

static void read_table(struct reader *reader, const struct doc_node *node, struct world *world);
static void read_cell(struct reader *reader, const struct doc_node *item, struct world *world,
                      const int ends[2]);

void world_read_tables(struct reader *reader, const struct doc_node *latency, struct world *world)
{
    int count = 0;
    const struct doc_node *list = read_list(reader, latency, "tables", 0, LIMIT_SITES, &count);
    for (int i = 0; i < count; i++) {
        read_table(reader, doc_item(list, (size_t)i), world);
    }
}

static void read_table(struct reader *reader, const struct doc_node *node, struct world *world)
{
    struct doc *doc = reader->doc;
    int count = 0;
    int row_count = 0;
    int sites[LIMIT_SITES];
    char source[LIMIT_TEXT_BYTES];
    const struct doc_node *names =
        read_list(reader, node, "sites", DOC_REQUIRED, LIMIT_SITES, &count);
    const struct doc_node *rows =
        read_list(reader, node, "rtt_ms", DOC_REQUIRED, LIMIT_SITES, &row_count);
    doc_string(doc, node, "source", 0, source, sizeof(source));
    doc_close(doc, node);
    for (int i = 0; i < count; i++) {
        sites[i] = world_read_end(reader, doc_item(names, (size_t)i), world);
    }
    if (row_count != count) {
        doc_problem(doc, rows != NULL ? rows : node,
                    "%d rows for %d sites; a table has a row for each site", row_count, count);
        return;
    }
    for (int from = 0; from < count; from++) {
        const struct doc_node *row = doc_item(rows, (size_t)from);
        if (doc_kind(row) != DOC_LIST || doc_count(row) != (size_t)count) {
            doc_problem(doc, row,
                        "a row has a round trip in milliseconds to each of the %d sites, or ~ "
                        "where there is none",
                        count);
            continue;
        }
        for (int to = 0; to < count; to++) {
            if (sites[from] >= 0 && sites[to] >= 0) {
                read_cell(reader, doc_item(row, (size_t)to), world,
                          (const int[]){sites[from], sites[to]});
            }
        }
    }
}

static void read_cell(struct reader *reader, const struct doc_node *item, struct world *world,
                      const int ends[2])
{
    const char *text = doc_text(item);
    struct decimal ms;
    int64_t figures[PATH_FIGURES] = {0};
    if (doc_kind(item) == DOC_NULL) {
        return;
    }
    if (text == NULL || decimal_parse(text, &ms, NULL) < 0 || decimal_is_negative(ms) ||
        decimal_scaled(ms, 3, &figures[PATH_RTT]) < 0) {
        doc_problem(reader->doc, item,
                    "\"%.64s\" is no round trip: milliseconds, as in 36.02, or ~",
                    text == NULL ? "" : text);
    } else if (ends[0] == ends[1]) {
        doc_problem(reader->doc, item,
                    "from a site to itself a table has ~: calls there wait for "
                    "nothing");
    } else {
        world_read_path(reader, item, world, ends, figures);
    }
}
