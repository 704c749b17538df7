/*
 * What the open choices take of their sites: which capacities can bind at all, and what no capacity
 * has room for. All rows (a site's resource) are added up in one pass over the choices.
 */
#include <string.h>

#include "model/solve/reduce.h"

/* Of a row: sums over the parts of what their open choices take of it. */
struct row {
    nusd least;
    nusd most;
    nusd widest; /* the largest difference of the two in one part */
};

struct rows {
    struct row row[LIMIT_SITES][RESOURCE_COUNT];
};

static void rows_add_up(const struct reduced *reduced, struct rows *rows);
static void rows_add_part(const struct reduced *reduced, int part, int64_t most[][RESOURCE_COUNT],
                          struct rows *rows);
static bool close_large(struct reduced *reduced, const struct problem_rule *rule, nusd left);
static void demand_range(const struct reduced *reduced, const struct problem_rule *rule, int part,
                         nusd *ret_least, nusd *ret_most);

bool reduce_find_binding(const struct reduced *reduced, bool *ret_binds)
{
    const struct problem *problem = reduced->problem;
    struct rows rows;
    bool known = false;
    bool any = false;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        ret_binds[i] = false;
        if (rule->kind == RULE_CAPACITY && !reduced->roomy) {
            if (!known) {
                rows_add_up(reduced, &rows);
                known = true;
            }
            ret_binds[i] = rows.row[rule->site][rule->resource].most > rule->capacity;
            any = any || ret_binds[i];
        }
    }
    return any;
}

/* What is left of a site after the least that every part takes of it must hold what any choice
 * takes more. */
bool reduce_capacities(struct reduced *reduced)
{
    const struct problem *problem = reduced->problem;
    struct rows rows;
    bool known = false; /* and nothing was closed since */
    bool changed = false;
    bool roomy = true;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind != RULE_CAPACITY || reduced->roomy) {
            continue;
        }
        if (!known) {
            rows_add_up(reduced, &rows);
            known = true;
        }
        const struct row *row = &rows.row[rule->site][rule->resource];
        nusd left = rule->capacity - row->least;
        roomy = roomy && row->most <= rule->capacity;
        if (left < 0) {
            reduced->empty = true;
            return true;
        }
        if (row->widest > left && close_large(reduced, rule, left)) {
            changed = true;
            known = false;
        }
    }
    reduced->roomy = roomy;
    return changed;
}

static void rows_add_up(const struct reduced *reduced, struct rows *rows)
{
    int64_t most[LIMIT_SITES][RESOURCE_COUNT]; /* of the part at hand; 0 between parts */
    BERTH_ASSERT(reduced->sites <= LIMIT_SITES, "a problem of %d sites", reduced->sites);
    memset(rows, 0, (size_t)reduced->sites * sizeof(rows->row[0]));
    memset(most, 0, (size_t)reduced->sites * sizeof(most[0]));
    for (int part = 0; part < reduced->parts; part++) {
        rows_add_part(reduced, part, most, rows);
    }
}

static void rows_add_part(const struct reduced *reduced, int part, int64_t most[][RESOURCE_COUNT],
                          struct rows *rows)
{
    const bool *open = &reduced->open[reduce_node(reduced, part, 0)];
    const struct problem_choice *choices = reduced->problem->parts[part].choices;
    int64_t least[RESOURCE_COUNT];
    int only = -1; /* the site of all choices so far */
    bool several = false;
    for (int r = 0; r < RESOURCE_COUNT; r++) {
        least[r] = INT64_MAX;
    }
    for (int c = 0; c < reduced->count[part]; c++) {
        if (!open[c]) {
            continue;
        }
        several = several || (only >= 0 && only != choices[c].site);
        only = choices[c].site;
        for (int r = 0; r < RESOURCE_COUNT; r++) {
            int64_t demand = choices[c].demand[r];
            most[only][r] = demand > most[only][r] ? demand : most[only][r];
            least[r] = demand < least[r] ? demand : least[r];
        }
    }
    for (int r = 0; r < RESOURCE_COUNT; r++) { /* at several sites: it may be elsewhere */
        least[r] = several || only < 0 ? 0 : least[r];
        if (only >= 0) {
            rows->row[only][r].least += least[r];
        }
    }
    for (int c = 0; c < reduced->count[part]; c++) {
        for (int r = 0; r < RESOURCE_COUNT && open[c]; r++) {
            struct row *row = &rows->row[choices[c].site][r];
            int64_t *taken = &most[choices[c].site][r];
            nusd wide = (nusd)*taken - least[r];
            row->most += *taken;
            row->widest = wide > row->widest ? wide : row->widest;
            *taken = 0; /* its site counts once */
        }
    }
}

/* Closes the choices that take more beyond their part's least than is left. */
static bool close_large(struct reduced *reduced, const struct problem_rule *rule, nusd left)
{
    bool changed = false;
    for (int part = 0; part < reduced->parts; part++) {
        nusd least;
        nusd most;
        demand_range(reduced, rule, part, &least, &most);
        for (int c = 0; most - least > left && c < reduced->count[part]; c++) {
            const struct problem_choice *choice = reduce_choice(reduced, part, c);
            if (choice->site == rule->site && choice->demand[rule->resource] - least > left &&
                reduced->open[reduce_node(reduced, part, c)]) {
                reduce_close(reduced, part, c);
                changed = true;
            }
        }
    }
    return changed;
}

/* The least and the most that the open choices of a part take of what the rule limits. */
static void demand_range(const struct reduced *reduced, const struct problem_rule *rule, int part,
                         nusd *ret_least, nusd *ret_most)
{
    nusd least = -1;
    nusd most = 0;
    for (int c = 0; c < reduced->count[part]; c++) {
        if (reduced->open[reduce_node(reduced, part, c)]) {
            const struct problem_choice *choice = reduce_choice(reduced, part, c);
            nusd demand = choice->site == rule->site ? choice->demand[rule->resource] : 0;
            least = least < 0 || demand < least ? demand : least;
            most = demand > most ? demand : most;
        }
    }
    *ret_least = least < 0 ? 0 : least;
    *ret_most = most;
}
