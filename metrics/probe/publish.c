#include "metrics/probe/publish.h"

#include <stdlib.h>
#include <string.h>

#include "base/bus/subjects.h"
#include "base/wire/messages.h"

/* Of 2,048 buckets each, at some 20 bytes a bucket, they fit into one message. */
#define SKETCHES_MAX 16

struct publisher {
    const struct probe_config *config;
    publisher_sink *sink;
    void *context;
    char subject[LIMIT_SUBJECT_BYTES];
    char boot_id[BOOT_ID_BYTES];
    uint64_t seq;
    struct publisher_totals totals;
    struct message_sample samples[LIMIT_SAMPLES_BATCH];
    struct message_sketch sketches[SKETCHES_MAX];
    struct strbuf text;
};

static int send_paths(struct publisher *publisher, struct latency *latency, struct error *err);
static int send_batch(struct publisher *publisher, const char *source, int sample_first,
                      int sample_count, int sketch_first, int sketch_count, struct error *err);

int publisher_create(const struct probe_config *config, publisher_sink *sink, void *context,
                     struct publisher **ret_publisher, struct error *err)
{
    struct publisher *publisher = calloc(1, sizeof(*publisher));
    if (publisher == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the probe's batches");
    publisher->config = config;
    publisher->sink = sink;
    publisher->context = context;
    subject_probe_metrics(config->name, publisher->subject);
    strbuf_init(&publisher->text, LIMIT_WIRE_BYTES);
    if (clock_boot_id(publisher->boot_id) < 0) {
        publisher_destroy(publisher);
        return error_set(err, ERR_IO, 0, "/proc/sys/kernel/random/boot_id cannot be read");
    }
    *ret_publisher = publisher;
    return 0;
}

void publisher_destroy(struct publisher *publisher)
{
    if (publisher == NULL)
        return;
    strbuf_done(&publisher->text);
    free(publisher);
}

int publisher_to_bus(void *context, const char *subject, const char *text, size_t bytes,
                     struct error *err)
{
    struct publisher_bus *to = context;
    struct strbuf sealed;
    if (!to->link.proven)
        return bus_publish(to->bus, subject, NULL, text, bytes, err);
    strbuf_init(&sealed, LIMIT_WIRE_BYTES);
    proof_begin(&to->link, &sealed);
    strbuf_append(&sealed, text, bytes);
    proof_end(&to->link, subject, proof_next(&to->link), &sealed);
    int rc = strbuf_error(&sealed, err);
    if (rc == 0)
        rc = bus_publish(to->bus, subject, NULL, sealed.text, sealed.bytes, err);
    strbuf_done(&sealed);
    return rc;
}

int publisher_flush(struct publisher *publisher, struct ingest *ingest, struct latency *latency,
                    int64_t now_us, struct error *err)
{
    int rc = latency == NULL ? 0 : send_paths(publisher, latency, err);
    for (bool more = true; rc == 0 && more;) {
        int count = ingest_samples(ingest, now_us, publisher->samples, LIMIT_SAMPLES_BATCH, &more);
        if (count > 0)
            rc = send_batch(publisher, "scrape", 0, count, 0, 0, err);
    }
    for (bool more = true; rc == 0 && more;) {
        int count = ingest_sketches(ingest, now_us, publisher->sketches, SKETCHES_MAX, &more);
        if (count > 0)
            rc = send_batch(publisher, "scrape", 0, 0, 0, count, err);
        if (rc == 0)
            ingest_sketches_sent(ingest);
    }
    return rc;
}

struct publisher_totals publisher_totals(const struct publisher *publisher)
{
    return publisher->totals;
}

static int send_paths(struct publisher *publisher, struct latency *latency, struct error *err)
{
    int rc = 0;
    for (;;) {
        int count = latency_take(latency, publisher->samples, LIMIT_SAMPLES_BATCH);
        if (count == 0 || rc < 0)
            return rc;
        rc = send_batch(publisher, "latency", 0, count, 0, 0, err);
    }
}

/* In halves when it does not fit: long names, or many buckets. */
static int send_batch(struct publisher *publisher, const char *source, int sample_first,
                      int sample_count, int sketch_first, int sketch_count, struct error *err)
{
    struct message_batch batch = {
        .boot_us = clock_boot_now().us,
        .seq = publisher->seq + 1,
        .samples = publisher->samples + sample_first,
        .sample_count = sample_count,
        .sketches = publisher->sketches + sketch_first,
        .sketch_count = sketch_count,
    };
    memcpy(batch.node, publisher->config->name, sizeof(batch.node));
    memcpy(batch.site, publisher->config->site, sizeof(batch.site));
    memcpy(batch.boot_id, publisher->boot_id, sizeof(batch.boot_id));
    str_format(batch.source, sizeof(batch.source), "%s", source);
    strbuf_reset(&publisher->text);
    wire_encode(&message_batch_shape, &batch, &publisher->text);
    int rc = strbuf_error(&publisher->text, err);
    if (rc == ERR_LIMIT && sample_count + sketch_count > 1) {
        int samples = sample_count / 2;
        int sketches = sketch_count / 2;
        rc = send_batch(publisher, source, sample_first, samples, sketch_first, sketches, err);
        if (rc == 0)
            rc = send_batch(publisher, source, sample_first + samples, sample_count - samples,
                            sketch_first + sketches, sketch_count - sketches, err);
        return rc;
    }
    publisher->seq++;
    if (rc == 0)
        rc = publisher->sink(publisher->context, publisher->subject, publisher->text.text,
                             publisher->text.bytes, err);
    if (rc < 0) {
        publisher->totals.failures++;
        return rc;
    }
    publisher->totals.batches++;
    publisher->totals.samples += sample_count;
    publisher->totals.sketches += sketch_count;
    publisher->totals.bytes += (int64_t)publisher->text.bytes;
    return 0;
}
