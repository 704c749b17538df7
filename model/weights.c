#include "model/weights.h"

unsigned weights_read(struct reader *reader, const struct doc_node *map, struct weights *weights)
{
    struct doc *doc = reader->doc;
    const struct doc_node *node = doc_map(doc, map, "weights", 0);
    if (node == NULL) {
        return 0;
    }
    bool stated[WEIGHT_COUNT] = {
        [WEIGHT_LATENCY] = doc_price(doc, node, "latency", 0, &weights->latency_usd_per_second),
        [WEIGHT_DEVICE_CPU] =
            doc_price(doc, node, "device_cpu", 0, &weights->device_cpu_usd_per_second),
        [WEIGHT_COMPUTE] = doc_ratio(doc, node, "compute", 0, &weights->compute_ppm),
        [WEIGHT_STORAGE] = doc_ratio(doc, node, "storage", 0, &weights->storage_ppm),
        [WEIGHT_EGRESS] = doc_ratio(doc, node, "egress", 0, &weights->egress_ppm),
        [WEIGHT_MIGRATION] = doc_ratio(doc, node, "migration", 0, &weights->migration_ppm),
    };
    doc_close(doc, node);
    unsigned set = 0;
    for (unsigned i = 0; i < WEIGHT_COUNT; i++) {
        set |= stated[i] ? 1U << i : 0;
    }
    return set;
}

void weights_write(struct json_out *json, const struct weights *weights, unsigned set)
{
    if (set == 0) {
        return;
    }
    json_open(json, "weights", '{');
    if ((set >> WEIGHT_LATENCY & 1) != 0) {
        json_price(json, "latency", weights->latency_usd_per_second);
    }
    if ((set >> WEIGHT_DEVICE_CPU & 1) != 0) {
        json_price(json, "device_cpu", weights->device_cpu_usd_per_second);
    }
    if ((set >> WEIGHT_COMPUTE & 1) != 0) {
        json_millionths(json, "compute", weights->compute_ppm);
    }
    if ((set >> WEIGHT_STORAGE & 1) != 0) {
        json_millionths(json, "storage", weights->storage_ppm);
    }
    if ((set >> WEIGHT_EGRESS & 1) != 0) {
        json_millionths(json, "egress", weights->egress_ppm);
    }
    if ((set >> WEIGHT_MIGRATION & 1) != 0) {
        json_millionths(json, "migration", weights->migration_ppm);
    }
    json_close(json, '}');
}

struct weights weights_over(const struct weights *base, const struct weights *own, unsigned set)
{
    struct weights weights = *base;
    if ((set >> WEIGHT_LATENCY & 1) != 0) {
        weights.latency_usd_per_second = own->latency_usd_per_second;
    }
    if ((set >> WEIGHT_DEVICE_CPU & 1) != 0) {
        weights.device_cpu_usd_per_second = own->device_cpu_usd_per_second;
    }
    if ((set >> WEIGHT_COMPUTE & 1) != 0) {
        weights.compute_ppm = own->compute_ppm;
    }
    if ((set >> WEIGHT_STORAGE & 1) != 0) {
        weights.storage_ppm = own->storage_ppm;
    }
    if ((set >> WEIGHT_EGRESS & 1) != 0) {
        weights.egress_ppm = own->egress_ppm;
    }
    if ((set >> WEIGHT_MIGRATION & 1) != 0) {
        weights.migration_ppm = own->migration_ppm;
    }
    return weights;
}
