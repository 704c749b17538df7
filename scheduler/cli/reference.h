/*
 * reference: the names that people write on a command line: [NS/]APP[/WORKLOAD], key=value, and the
 * nodes and leaf servers of `berth up`. Every error says how the thing is written. Any thread.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

struct reference {
    char namespace_[LIMIT_NAME_BYTES]; /* "default" when none is written */
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES]; /* "" when not asked for */
};

/* "app" or "namespace/app". */
int reference_app(const char *text, struct reference *ret_reference, struct error *err) WARN_UNUSED;
/* "app/workload" or "namespace/app/workload". */
int reference_workload(const char *text, struct reference *ret_reference,
                       struct error *err) WARN_UNUSED;

struct reference_tag {
    char key[LIMIT_NAME_BYTES];
    char value[LIMIT_NAME_BYTES]; /* "": remove the tag */
};
int reference_tag(const char *text, struct reference_tag *ret_tag, struct error *err) WARN_UNUSED;

/* NAME=SITE[,leaf=NAME][,mcpu=N][,memory=BYTES][,ingress=[ADDRESS:]PORT]
 * [,https=[ADDRESS:]PORT,cert=FILE] */
struct node_argument {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char leaf[LIMIT_NAME_BYTES]; /* "": it connects to the hub */
    int64_t mcpu;                /* 0: what the machine has */
    int64_t memory_bytes;        /* 0: what the machine has */
    char http[LIMIT_NAME_BYTES]; /* "address:port" where its ingress listens; "": not */
    char https[LIMIT_NAME_BYTES];
    char cert[LIMIT_TEXT_BYTES]; /* a file, for https */
};
int node_argument(const char *text, struct node_argument *ret_node, struct error *err) WARN_UNUSED;

/* NAME[,via=HOST:PORT][,port=N] */
struct leaf_argument {
    char name[LIMIT_NAME_BYTES];
    char via[LIMIT_NAME_BYTES * 2]; /* "": straight to the hub */
    int port;                       /* where it listens; 0: chosen */
};
int leaf_argument(const char *text, struct leaf_argument *ret_leaf, struct error *err) WARN_UNUSED;
