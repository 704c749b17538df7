/*
 * formula_tree: a read formula, as formula.c builds it and formula_eval.c walks it.
 *
 * Nodes are in an array; children come before their parents. The value of a sum, a minimum, an if
 * or a comparison is in the unit of its left side: `value` is what the right side is multiplied
 * with to be in it. A product's value is in the product of the units. The tree never changes.
 */
#pragma once

#include "model/formula.h"

enum formula_node_kind {
    NODE_NUMBER,
    NODE_NAME,
    NODE_NEGATE,
    NODE_ADD,
    NODE_SUBTRACT,
    NODE_MULTIPLY,
    NODE_DIVIDE,
    NODE_MIN,
    NODE_MAX,
    NODE_IF, /* left: when the condition holds; right: else */
    NODE_BELOW,
    NODE_AT_MOST,
    NODE_ABOVE,
    NODE_AT_LEAST,
    NODE_EQUAL,
    NODE_DIFFERENT,
};

struct formula_node {
    enum formula_node_kind kind;
    int column; /* in the text, from 1 */
    int left;
    int right;
    int condition;              /* of NODE_IF */
    int name;                   /* of NODE_NAME: index in used */
    struct formula_value value; /* of NODE_NUMBER; else the factor of the right side */
};

struct formula_used {
    char name[LIMIT_NAME_BYTES * 2];
    char unit[LIMIT_NAME_BYTES];
    int index; /* in the names of formula_parse */
};

struct formula {
    struct formula_node *nodes;
    int node_count;
    int root;
    struct formula_value factor; /* from the root's unit to the one asked for */
    struct formula_used *used;
    int used_count;
    int unknown; /* in used: a name without a unit; -1 */
};
