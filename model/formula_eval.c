/* The value of a formula: exact, or an error that shows the names and values involved. */
#include <stdio.h>

#include "base/str.h"
#include "model/formula_internal.h"
#include "model/formula_tree.h"

#define SHOWN_MAX 6 /* values named in one error */

/* One evaluation; the last one that failed is named by its node. */
struct evaluation {
    const struct formula *formula;
    const struct formula_value *values;
    int failed; /* node */
};

static int eval_node(struct evaluation *evaluation, int index, struct formula_value *ret_value);
static int eval_pair(struct evaluation *evaluation, const struct formula_node *node,
                     struct formula_value *ret_left, struct formula_value *ret_right);
static int eval_condition(struct evaluation *evaluation, int index, bool *ret_holds);
static int apply(const struct formula_node *node, struct formula_value left,
                 struct formula_value right, struct formula_value *ret_value);
static bool is_alike(enum formula_node_kind kind);
static int describe(const struct evaluation *evaluation, int rc, struct error *err);
static void mark_names(const struct formula *formula, int index, bool *shown);
static const char *list_values(const struct evaluation *evaluation, int node,
                               char out[ERROR_TEXT_BYTES]);

int formula_eval(const struct formula *formula, const struct formula_value *values,
                 struct formula_value *ret_value, struct error *err)
{
    struct evaluation evaluation = {formula, values, formula->root};
    struct formula_value result;
    char shown[ERROR_TEXT_BYTES];
    if (formula->unknown >= 0) {
        return error_set(err, ERR_INVALID, 0,
                         "the unit of %s is not known: read the formula again with it",
                         formula->used[formula->unknown].name);
    }
    int rc = eval_node(&evaluation, formula->root, &result);
    if (rc == 0) {
        rc = fraction_multiply(result, formula->factor, &result);
    }
    if (rc < 0) {
        return describe(&evaluation, rc, err);
    }
    if (result.numerator < 0) {
        char number[FRACTION_TEXT_BYTES];
        return error_set(err, ERR_INVALID, 0, "the result is negative, %s%s; use max(0, ...)",
                         fraction_text(result, number),
                         list_values(&evaluation, formula->root, shown));
    }
    *ret_value = result;
    return 0;
}

static int eval_node(struct evaluation *evaluation, int index, struct formula_value *ret_value)
{
    const struct formula_node *node = &evaluation->formula->nodes[index];
    struct formula_value left;
    struct formula_value right;
    int rc = 0;
    if (node->kind == NODE_NUMBER) {
        *ret_value = node->value;
        return 0;
    }
    if (node->kind == NODE_NAME) {
        struct formula_value given =
            evaluation->values[evaluation->formula->used[node->name].index];
        rc = given.denominator == 0 ? ERR_NOT_FOUND
                                    : fraction_make(given.numerator, given.denominator, ret_value);
    } else if (node->kind == NODE_IF) {
        bool holds = false;
        rc = eval_condition(evaluation, node->condition, &holds);
        if (rc == 0) {
            rc = eval_node(evaluation, holds ? node->left : node->right, ret_value);
        }
        if (rc < 0) {
            return rc; /* what failed is named already */
        }
        rc = holds ? 0 : fraction_multiply(*ret_value, node->value, ret_value);
    } else {
        rc = eval_pair(evaluation, node, &left, &right);
        if (rc < 0) {
            return rc;
        }
        rc = apply(node, left, right, ret_value);
    }
    if (rc < 0) {
        evaluation->failed = index;
    }
    return rc;
}

/* Both sides, the right one in the left one's unit where that matters. */
static int eval_pair(struct evaluation *evaluation, const struct formula_node *node,
                     struct formula_value *ret_left, struct formula_value *ret_right)
{
    int rc = eval_node(evaluation, node->left, ret_left);
    if (rc < 0 || node->right < 0) {
        *ret_right = (struct formula_value){0, 1};
        return rc;
    }
    rc = eval_node(evaluation, node->right, ret_right);
    if (rc == 0 && is_alike(node->kind)) {
        rc = fraction_multiply(*ret_right, node->value, ret_right);
        if (rc < 0) {
            evaluation->failed = (int)(node - evaluation->formula->nodes);
        }
    }
    return rc;
}

static int eval_condition(struct evaluation *evaluation, int index, bool *ret_holds)
{
    const struct formula_node *node = &evaluation->formula->nodes[index];
    struct formula_value left;
    struct formula_value right;
    int rc = eval_pair(evaluation, node, &left, &right);
    if (rc < 0) {
        return rc;
    }
    int order = fraction_compare(left, right);
    switch (node->kind) {
    case NODE_BELOW:
        *ret_holds = order < 0;
        break;
    case NODE_AT_MOST:
        *ret_holds = order <= 0;
        break;
    case NODE_ABOVE:
        *ret_holds = order > 0;
        break;
    case NODE_AT_LEAST:
        *ret_holds = order >= 0;
        break;
    case NODE_EQUAL:
        *ret_holds = order == 0;
        break;
    default:
        *ret_holds = order != 0;
        break;
    }
    return 0;
}

static int apply(const struct formula_node *node, struct formula_value left,
                 struct formula_value right, struct formula_value *ret_value)
{
    switch (node->kind) {
    case NODE_NEGATE:
        *ret_value = (struct formula_value){-left.numerator, left.denominator};
        return 0;
    case NODE_ADD:
        return fraction_add(left, right, ret_value);
    case NODE_SUBTRACT:
        right.numerator = -right.numerator;
        return fraction_add(left, right, ret_value);
    case NODE_MULTIPLY:
        return fraction_multiply(left, right, ret_value);
    case NODE_DIVIDE:
        return fraction_divide(left, right, ret_value);
    case NODE_MIN:
        *ret_value = fraction_compare(left, right) <= 0 ? left : right;
        return 0;
    default:
        BERTH_ASSERT(node->kind == NODE_MAX, "kind %d", (int)node->kind);
        *ret_value = fraction_compare(left, right) >= 0 ? left : right;
        return 0;
    }
}

static bool is_alike(enum formula_node_kind kind)
{
    return kind != NODE_MULTIPLY && kind != NODE_DIVIDE;
}

static int describe(const struct evaluation *evaluation, int rc, struct error *err)
{
    const struct formula *formula = evaluation->formula;
    const struct formula_node *node = &formula->nodes[evaluation->failed];
    char shown[ERROR_TEXT_BYTES];
    switch (rc) {
    case ERR_NOT_FOUND:
        return error_set(err, rc, 0, "column %d: %s has no value here; give it in the document",
                         node->column, formula->used[node->name].name);
    case ERR_OVERFLOW:
        return error_set(err, rc, 0,
                         "column %d: the numbers do not fit 128 bits%s; use fewer digits",
                         node->column, list_values(evaluation, evaluation->failed, shown));
    default:
        return error_set(
            err, rc, 0, "column %d: division by zero%s; guard it with if or max", node->column,
            list_values(evaluation, node->right >= 0 ? node->right : evaluation->failed, shown));
    }
}

static void mark_names(const struct formula *formula, int index, bool *shown)
{
    const struct formula_node *node = &formula->nodes[index];
    const int children[] = {node->left, node->right, node->condition};
    if (node->kind == NODE_NAME) {
        shown[node->name] = true;
    }
    for (int i = 0; i < 3; i++) {
        if (children[i] >= 0) {
            mark_names(formula, children[i], shown);
        }
    }
}

/* ", with site.carbon = 0 g/kWh, replicas = 2 replica"; "" when there is no name below the node. */
static const char *list_values(const struct evaluation *evaluation, int node,
                               char out[ERROR_TEXT_BYTES])
{
    const struct formula *formula = evaluation->formula;
    bool shown[LIMIT_FORMULA_NODES] = {false};
    size_t used = 0;
    int count = 0;
    out[0] = '\0';
    mark_names(formula, node, shown);
    for (int i = 0; i < formula->used_count && count < SHOWN_MAX; i++) {
        char number[FRACTION_TEXT_BYTES];
        if (!shown[i]) {
            continue;
        }
        const struct formula_used *name = &formula->used[i];
        int wrote = snprintf(out + used, ERROR_TEXT_BYTES - used, "%s%s = %s %s",
                             count++ == 0 ? ", with " : ", ", name->name,
                             fraction_text(evaluation->values[name->index], number), name->unit);
        if (wrote < 0 || (size_t)wrote >= ERROR_TEXT_BYTES - used) {
            out[used] = '\0';
            break;
        }
        used += (size_t)wrote;
    }
    return out;
}
