#include "scheduler/core/liveness.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* One node, in a table of open addressing: LIMIT_NODES entries in twice as many places. Nodes are
 * never removed; those past the limit ask for a hello for ever, which the core refuses too. */
struct liveness_node {
    char name[LIMIT_NAME_BYTES]; /* "": free */
    char boot_id[BOOT_ID_BYTES];
    struct instant heard; /* last hello or beat */
    uint64_t seq;         /* of the last report, all before it seen too */
    bool gap;             /* a report was missed */
    bool known;           /* has said hello since it was lost, or since the restart */
    bool lost;
};

#define PLACES (2 * LIMIT_NODES)

struct liveness {
    struct liveness_node *nodes;
    int *places; /* [count]: where in `nodes`, by age: scans cost what there is, not the table */
    int count;
    int cursor;            /* where liveness_overdue goes on */
    struct instant looked; /* 0: never */
};

static struct liveness_node *node_find(const struct liveness *liveness, const char *name)
{
    for (uint64_t at = hash_str(HASH_SEED, name);; at++) {
        struct liveness_node *node = &liveness->nodes[at % PLACES];
        if (node->name[0] == 0 || str_equal(node->name, name))
            return node;
    }
}

int liveness_create(struct liveness **ret_liveness)
{
    struct liveness *liveness = calloc(1, sizeof(*liveness));
    if (liveness == NULL)
        return ERR_NO_MEMORY;
    liveness->nodes = calloc(PLACES, sizeof(*liveness->nodes));
    liveness->places = calloc(LIMIT_NODES, sizeof(*liveness->places));
    if (liveness->nodes == NULL || liveness->places == NULL) {
        liveness_destroy(liveness);
        return ERR_NO_MEMORY;
    }
    *ret_liveness = liveness;
    return 0;
}

void liveness_destroy(struct liveness *liveness)
{
    if (liveness == NULL)
        return;
    free(liveness->nodes);
    free(liveness->places);
    free(liveness);
}

void liveness_hello(struct liveness *liveness, const struct message_hello *hello,
                    struct instant now)
{
    struct liveness_node *node = node_find(liveness, hello->node);
    if (node->name[0] == 0) {
        if (liveness->count == LIMIT_NODES ||
            str_copy(node->name, sizeof(node->name), hello->node) < 0)
            return;
        liveness->places[liveness->count++] = (int)(node - liveness->nodes);
    }
    if (str_copy(node->boot_id, sizeof(node->boot_id), hello->boot_id) < 0)
        node->boot_id[0] = 0;
    node->heard = now;
    node->seq = hello->seq;
    node->gap = false;
    node->known = true;
    node->lost = false;
}

bool liveness_beat(struct liveness *liveness, const struct message_beat *beat, struct instant now)
{
    struct liveness_node *node = node_find(liveness, beat->node);
    if (node->name[0] == 0)
        return true;
    if (!node->lost)
        node->heard = now;
    return !node->known || node->lost || node->gap || node->seq != beat->seq ||
           !str_equal(node->boot_id, beat->boot_id);
}

bool liveness_agrees(const struct core_state *state, const struct message_beat *beat)
{
    for (int i = 0; i < state->node_count; i++) {
        const struct core_node *node = &state->nodes[i];
        if (str_equal(node->name, beat->node))
            return node->up && str_equal(node->boot_id, beat->boot_id);
    }
    return false;
}

void liveness_report(struct liveness *liveness, const char *name, uint64_t seq)
{
    struct liveness_node *node = node_find(liveness, name);
    if (node->name[0] == 0 || seq <= node->seq)
        return;
    if (seq != node->seq + 1)
        node->gap = true;
    node->seq = seq;
}

bool liveness_look(struct liveness *liveness, struct instant now, int64_t timeout_us)
{
    bool late = liveness->looked.us != 0 && now.us - liveness->looked.us > timeout_us / 2;
    liveness->looked = now;
    if (late)
        liveness_restart(liveness, now);
    return late;
}

const char *liveness_overdue(struct liveness *liveness, struct instant now, int64_t timeout_us)
{
    for (int i = 0; i < liveness->count; i++) {
        int at = (liveness->cursor + i) % liveness->count;
        struct liveness_node *node = &liveness->nodes[liveness->places[at]];
        if (node->lost || now.us - node->heard.us <= timeout_us)
            continue;
        node->lost = true;
        node->known = false;
        liveness->cursor = at + 1;
        return node->name;
    }
    return NULL;
}

struct instant liveness_deadline(const struct liveness *liveness, int64_t timeout_us)
{
    struct instant first = {INT64_MAX};
    if (liveness->looked.us != 0 && liveness->count > 0)
        first.us = liveness->looked.us + timeout_us / 4;
    for (int i = 0; i < liveness->count; i++) {
        const struct liveness_node *node = &liveness->nodes[liveness->places[i]];
        /* One microsecond more: overdue means longer than the timeout. */
        if (!node->lost && node->heard.us + timeout_us + 1 < first.us)
            first.us = node->heard.us + timeout_us + 1;
    }
    return first;
}

void liveness_seed(struct liveness *liveness, const struct core_state *state, struct instant now)
{
    for (int i = 0; i < state->node_count; i++) {
        if (!state->nodes[i].up)
            continue;
        struct message_hello hello = {.seq = state->nodes[i].report_seq};
        str_format(hello.node, sizeof(hello.node), "%s", state->nodes[i].name);
        str_format(hello.boot_id, sizeof(hello.boot_id), "%s", state->nodes[i].boot_id);
        liveness_hello(liveness, &hello, now);
        node_find(liveness, hello.node)->known = false;
    }
}

void liveness_restart(struct liveness *liveness, struct instant now)
{
    for (int i = 0; i < liveness->count; i++) {
        struct liveness_node *node = &liveness->nodes[liveness->places[i]];
        if (!node->lost)
            node->heard = now;
        node->known = false;
    }
}
