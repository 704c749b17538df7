/*
 * app_read: the inside of reading an app document, shared by its files: app_read.c (users,
 * workloads, links, apart), app_variant.c (how to run a workload), app_serve.c (how
 * it is reached and judged), app_data.c (data sets),
 * app_family.c (parts written out) and app_split.c (parts made from `split: true`). Nobody else
 * includes it.
 */
#pragma once

#include "model/app.h"
#include "model/read.h"

/* What a workload's place in the document says beside the workload itself. */
struct split_mark {
    const struct doc_node *node; /* for messages */
    bool split;                  /* it becomes one part per group of users, or per reader */
    const struct doc_node *at; /* a data set: where it is for each reader; NULL: one site or none */
};

/* `run` or `variants`. */
void app_read_variants(struct reader *reader, const struct doc_node *node,
                       struct workload *workload);
/* `tiers`: a bit per enum tier; 0 when there are none. */
unsigned app_read_tiers(struct reader *reader, const struct doc_node *node);
void app_read_data_set(struct reader *reader, const struct doc_node *node,
                       struct workload *workload, struct split_mark *mark);

/* app_serve.c, in this order, after `contract`, `split` and `part`. */
void app_read_http(struct reader *reader, const struct doc_node *node, struct workload *workload,
                   const struct split_mark *mark);
void app_read_update(struct reader *reader, const struct doc_node *node, struct workload *workload);
void app_read_ready(struct reader *reader, const struct doc_node *node, struct workload *workload);
void app_read_live(struct reader *reader, const struct doc_node *node, struct workload *workload);

/* `split` and `part`, after the users. */
void app_read_part(struct reader *reader, const struct doc_node *node, const struct app *app,
                   struct workload *workload, struct split_mark *mark);
/* The parts of a family that the document wrote out are parts of one workload. */
void app_check_families(struct reader *reader, const struct app *app,
                        const struct split_mark *marks);

int app_segment(const struct app *app, const char *name); /* index, or -1 */
