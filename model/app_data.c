/* Reading a data set: heavy bytes with a place, and nothing that runs. */
#include "base/str.h"
#include "base/wire/messages.h"
#include "model/app_read.h"
#include "model/measures.h"

static void read_at(struct reader *reader, const struct doc_node *node, struct workload *workload,
                    struct split_mark *mark);

void app_read_data_set(struct reader *reader, const struct doc_node *node,
                       struct workload *workload, struct split_mark *mark)
{
    struct doc *doc = reader->doc;
    struct data_set *data = &workload->data;
    int64_t copies = 1;
    *workload = (struct workload){.kind = KIND_DATA, .replicas = 1, .hit_ppm = -1};
    doc_name(doc, node, "name", DOC_REQUIRED, workload->name);
    if (doc_bytes(doc, node, "size", DOC_REQUIRED, &data->bytes) && data->bytes <= 0) {
        doc_problem(doc, doc_get(doc, node, "size", 0), "a data set has at least one byte");
    }
    doc_int(doc, node, "copies", 0, 1, LIMIT_REPLICAS, &copies);
    data->copies = (int)copies;
    if (doc_ratio(doc, node, "dedup", 0, &data->dedup_ppm) && data->dedup_ppm > PPM) {
        doc_problem(doc, doc_get(doc, node, "dedup", 0),
                    "at most 100%% of its bytes can be stored anyway");
    }
    doc_byte_rate(doc, node, "update", 0, &data->update_bytes_s);
    read_at(reader, node, workload, mark);
    read_tags(reader, node, "require", 1, &workload->require);
    workload->tiers = app_read_tiers(reader, node);
    if (workload->tiers == 0) {
        /* A device's storage has no price; what nobody asked for must not fill it. */
        workload->tiers = 1U << TIER_EDGE | 1U << TIER_CLOUD;
    }
    read_site_name(reader, node, "pin", 0, workload->pin);
    measures_read(reader, node, "measures", &workload->measures);
    workload->ready.kind = READY_NONE;
    workload->variants = read_array(reader, 1, sizeof(struct variant));
    if (workload->variants != NULL) {
        struct variant *variant = &workload->variants[0];
        str_format(variant->name, sizeof(variant->name), "default");
        variant->reserve[RESOURCE_CPU] = -1;
        variant->reserve[RESOURCE_MEMORY] = -1;
        variant->request_bytes = -1;
        variant->response_bytes = -1;
        workload->variant_count = 1;
    }
}

/* A site, or a mapping of readers to sites that the splitting reads. */
static void read_at(struct reader *reader, const struct doc_node *node, struct workload *workload,
                    struct split_mark *mark)
{
    const struct doc_node *at = doc_get(reader->doc, node, "at", 0);
    if (doc_kind(at) == DOC_MAP) {
        mark->at = at;
        return;
    }
    read_site_name(reader, node, "at", 0, workload->data.at);
}
