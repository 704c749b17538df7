/* Where in a large problem the rules are that cannot hold together. */
#include "model/solve/conflict.h"

#include <math.h>
#include <string.h>

#include "model/solve/certify.h"
#include "model/solve/dual.h"
#include "model/solve/reduce.h"
#include "model/solve/shape.h"

/* What a look at some parts alone may take. */
#define LOOK_BYTES_MAX ((size_t)1 << 30)

/* Parts that rules on pairs, or that keep apart, join. */
struct groups {
    int *root;  /* [part] */
    int *first; /* [root]: its first part; -1 */
    int *next;  /* [part] */
    int *count; /* [root] */
};

static int all_of(const struct problem *whole, struct arena *arena, struct suspects *suspects);
static int find_groups(const struct problem *whole, struct arena *arena, struct groups *groups);
static int root_of(struct groups *groups, int part);
static void join(struct groups *groups, int a, int b);
static int by_part(const struct problem *whole, struct suspects *suspects, bool *ret_found,
                   struct arena *arena);
static bool leaves(const struct problem_part *what, const bool *allowed, const int64_t *room,
                   bool *open);
static int by_group(const struct problem *whole, struct groups *groups, struct suspects *suspects,
                    bool *ret_found, struct arena *arena, struct error *err);
static void take_group(const struct problem *whole, struct groups *groups, int root,
                       struct suspects *suspects);
static int by_capacity(const struct problem *whole, struct groups *groups, struct watch *watch,
                       struct suspects *suspects, struct arena *arena, struct error *err);
static bool on_progress(void *context, double bound, double best);
static int no_memory(struct error *err);

int conflict_narrow(const struct problem *whole, struct watch *watch, struct arena *arena,
                    struct suspects *ret_suspects, struct error *err)
{
    struct suspects suspects = {.priced = false};
    struct groups groups;
    bool found = false;
    if (all_of(whole, arena, &suspects) < 0 || find_groups(whole, arena, &groups) < 0 ||
        by_part(whole, &suspects, &found, arena) < 0) {
        return no_memory(err);
    }
    int rc = found ? 0 : by_group(whole, &groups, &suspects, &found, arena, err);
    if (rc == 0 && !found) {
        rc = by_capacity(whole, &groups, watch, &suspects, arena, err);
    }
    if (rc == 0) {
        *ret_suspects = suspects;
    }
    return rc;
}

int conflict_restrict(const struct problem *whole, const struct suspects *suspects,
                      struct arena *arena, struct problem *ret_problem, int **ret_rule_of,
                      struct error *err)
{
    struct problem problem = *whole;
    int *here = arena_array(arena, (size_t)whole->part_count + 1, sizeof(int));
    int *rule_of = arena_array(arena, (size_t)suspects->rule_count + 1, sizeof(int));
    problem.parts = arena_array(arena, (size_t)suspects->part_count + 1, sizeof(*problem.parts));
    problem.rules = arena_array(arena, (size_t)suspects->rule_count + 1, sizeof(*problem.rules));
    if (here == NULL || rule_of == NULL || problem.parts == NULL || problem.rules == NULL) {
        return no_memory(err);
    }
    for (int part = 0; part < whole->part_count; part++) {
        here[part] = -1;
    }
    problem.part_count = suspects->part_count;
    for (int i = 0; i < suspects->part_count; i++) {
        problem.parts[i] = whole->parts[suspects->parts[i]];
        here[suspects->parts[i]] = i;
    }
    problem.rule_count = 0;
    for (int i = 0; i < suspects->rule_count; i++) {
        struct problem_rule rule = whole->rules[suspects->rules[i]];
        bool pair = rule.kind == RULE_PAIR;
        if (pair || rule.kind == RULE_CHOICES) {
            rule.a = here[rule.a];
            rule.b = pair ? here[rule.b] : rule.b;
            if (rule.a < 0 || (pair && rule.b < 0)) {
                continue;
            }
        }
        if (rule.kind == RULE_APART) {
            int *parts = arena_array(arena, (size_t)rule.part_count + 1, sizeof(int));
            int count = 0;
            if (parts == NULL) {
                return no_memory(err);
            }
            for (int k = 0; k < rule.part_count; k++) {
                if (here[rule.parts[k]] >= 0) {
                    parts[count++] = here[rule.parts[k]];
                }
            }
            rule.parts = parts;
            rule.part_count = count;
            if (count < 2) {
                continue;
            }
        }
        rule_of[problem.rule_count] = suspects->rules[i];
        problem.rules[problem.rule_count++] = rule;
    }
    *ret_problem = problem;
    *ret_rule_of = rule_of;
    return 0;
}

static int all_of(const struct problem *whole, struct arena *arena, struct suspects *suspects)
{
    suspects->rules = arena_array(arena, (size_t)whole->rule_count + 1, sizeof(int));
    suspects->parts = arena_array(arena, (size_t)whole->part_count + 1, sizeof(int));
    if (suspects->rules == NULL || suspects->parts == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < whole->rule_count; i++) {
        suspects->rules[suspects->rule_count++] = i;
    }
    for (int i = 0; i < whole->part_count; i++) {
        suspects->parts[suspects->part_count++] = i;
    }
    return 0;
}

static int find_groups(const struct problem *whole, struct arena *arena, struct groups *groups)
{
    size_t parts = (size_t)whole->part_count + 1;
    groups->root = arena_array(arena, parts, sizeof(int));
    groups->first = arena_array(arena, parts, sizeof(int));
    groups->next = arena_array(arena, parts, sizeof(int));
    groups->count = arena_array(arena, parts, sizeof(int));
    if (groups->root == NULL || groups->first == NULL || groups->next == NULL ||
        groups->count == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int part = 0; part < whole->part_count; part++) {
        groups->root[part] = part;
        groups->first[part] = -1;
    }
    for (int i = 0; i < whole->rule_count; i++) {
        const struct problem_rule *rule = &whole->rules[i];
        if (rule->kind == RULE_PAIR) {
            join(groups, rule->a, rule->b);
        }
        for (int k = 1; rule->kind == RULE_APART && k < rule->part_count; k++) {
            join(groups, rule->parts[0], rule->parts[k]);
        }
    }
    for (int part = whole->part_count - 1; part >= 0; part--) {
        int root = root_of(groups, part);
        groups->next[part] = groups->first[root];
        groups->first[root] = part;
        groups->count[root]++;
    }
    return 0;
}

static int root_of(struct groups *groups, int part)
{
    while (groups->root[part] != part) {
        groups->root[part] = groups->root[groups->root[part]];
        part = groups->root[part];
    }
    return part;
}

static void join(struct groups *groups, int a, int b)
{
    int x = root_of(groups, a);
    int y = root_of(groups, b);
    groups->root[x > y ? x : y] = x > y ? y : x;
}

/* A part that its own rules, and capacities too small for it alone, leave nowhere to go. */
static int by_part(const struct problem *whole, struct suspects *suspects, bool *ret_found,
                   struct arena *arena)
{
    int *first = arena_array(arena, (size_t)whole->part_count + 1, sizeof(int));
    int *next = arena_array(arena, (size_t)whole->rule_count + 1, sizeof(int));
    size_t rows = (size_t)whole->site_count * RESOURCE_COUNT;
    int64_t *room = arena_array(arena, rows, sizeof(int64_t)); /* of the least capacity rule */
    bool *open = arena_array(arena, LIMIT_CHOICES, sizeof(bool));
    if (first == NULL || next == NULL || room == NULL || open == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int part = 0; part < whole->part_count; part++) {
        first[part] = -1;
    }
    for (size_t row = 0; row < rows; row++) {
        room[row] = INT64_MAX;
    }
    for (int i = whole->rule_count - 1; i >= 0; i--) {
        const struct problem_rule *rule = &whole->rules[i];
        if (rule->kind == RULE_CHOICES) {
            next[i] = first[rule->a];
            first[rule->a] = i;
        } else if (rule->kind == RULE_CAPACITY) {
            int64_t *least = &room[rule->site * RESOURCE_COUNT + (int)rule->resource];
            *least = rule->capacity < *least ? rule->capacity : *least;
        }
    }
    for (int part = 0; part < whole->part_count && !*ret_found; part++) {
        memset(open, true, (size_t)whole->parts[part].choice_count * sizeof(bool));
        bool some = leaves(&whole->parts[part], NULL, room, open);
        for (int i = first[part]; i >= 0 && some; i = next[i]) {
            some = leaves(&whole->parts[part], whole->rules[i].allowed, NULL, open);
        }
        if (some) {
            continue;
        }
        *ret_found = true;
        suspects->part_count = 1;
        suspects->parts[0] = part;
        suspects->rule_count = 0;
        for (int i = 0; i < whole->rule_count; i++) {
            const struct problem_rule *rule = &whole->rules[i];
            if (rule->kind == RULE_CAPACITY || (rule->kind == RULE_CHOICES && rule->a == part)) {
                suspects->rules[suspects->rule_count++] = i;
            }
        }
    }
    return 0;
}

/* Closes what is not allowed, or does not fit by itself; false when nothing is left. */
static bool leaves(const struct problem_part *what, const bool *allowed, const int64_t *room,
                   bool *open)
{
    bool some = false;
    for (int i = 0; i < what->choice_count; i++) {
        const struct problem_choice *choice = &what->choices[i];
        for (int r = 0; r < RESOURCE_COUNT && room != NULL; r++) {
            open[i] = open[i] && choice->demand[r] <= room[choice->site * RESOURCE_COUNT + r];
        }
        open[i] = open[i] && (allowed == NULL || allowed[i]);
        some = some || open[i];
    }
    return some;
}

/* Parts that rules join and that propagation alone finds to have no place together. */
static int by_group(const struct problem *whole, struct groups *groups, struct suspects *suspects,
                    bool *ret_found, struct arena *arena, struct error *err)
{
    struct arena scratch;
    int rc = 0;
    struct suspects group = {
        .rules = arena_array(arena, (size_t)whole->rule_count + 1, sizeof(int)),
        .parts = arena_array(arena, (size_t)whole->part_count + 1, sizeof(int)),
    };
    if (group.rules == NULL || group.parts == NULL) {
        return no_memory(err);
    }
    arena_init(&scratch, LOOK_BYTES_MAX);
    struct reduced reduced;
    rc = reduce_build(whole, &scratch, &reduced, err);
    bool empty = rc == 0 && reduced.empty;
    for (int root = 0; root < whole->part_count && empty && !*ret_found && rc == 0; root++) {
        if (groups->first[root] < 0 || groups->count[root] < 2) {
            continue;
        }
        struct problem some;
        int *rule_of;
        arena_reset(&scratch);
        take_group(whole, groups, root, &group);
        rc = conflict_restrict(whole, &group, &scratch, &some, &rule_of, err);
        rc = rc == 0 ? reduce_build(&some, &scratch, &reduced, err) : rc;
        if (rc == 0 && reduced.empty) {
            *ret_found = true;
            *suspects = group;
        }
    }
    arena_done(&scratch);
    return rc;
}

/* With the capacities: they may close what is too small for one part. */
static void take_group(const struct problem *whole, struct groups *groups, int root,
                       struct suspects *suspects)
{
    suspects->part_count = 0;
    suspects->rule_count = 0;
    for (int part = groups->first[root]; part >= 0; part = groups->next[part]) {
        suspects->parts[suspects->part_count++] = part;
    }
    for (int i = 0; i < whole->rule_count; i++) {
        const struct problem_rule *rule = &whole->rules[i];
        int part = rule->kind == RULE_APART      ? (rule->part_count > 0 ? rule->parts[0] : -1)
                   : rule->kind == RULE_CAPACITY ? -1
                                                 : rule->a;
        if (rule->kind == RULE_CAPACITY || (part >= 0 && root_of(groups, part) == root)) {
            suspects->rules[suspects->rule_count++] = i;
        }
    }
}

/* What prices say: an app without any assignment, or capacities that are too small together. */
static int by_capacity(const struct problem *whole, struct groups *groups, struct watch *watch,
                       struct suspects *suspects, struct arena *arena, struct error *err)
{
    struct arena scratch;
    arena_init(&scratch, LOOK_BYTES_MAX);
    struct reduced reduced;
    struct shape shape;
    struct dual_result dual;
    struct error refused = {0};
    struct dual_options options = {.gap = 1e-6};
    if (watch != NULL) {
        options.progress = on_progress;
        options.context = watch;
    }
    int rc = reduce_build(whole, &scratch, &reduced, &refused);
    rc = rc == 0 && reduced.empty ? ERR_UNSUPPORTED : rc; /* joined by more than one group */
    rc = rc == 0 ? shape_build(&reduced, &scratch, &shape, &refused) : rc;
    rc = rc == 0 ? dual_solve(&shape.grid, &options, &scratch, &dual, &refused) : rc;
    double *price = arena_array(&scratch, (size_t)whole->rule_count + 1, sizeof(double));
    if (rc == 0 && price == NULL) {
        rc = ERR_NO_MEMORY;
    }
    if (rc == 0 && !dual.possible && dual.part >= 0) {
        take_group(whole, groups, root_of(groups, dual.part), suspects);
    } else if (rc == 0) {
        bool proven;
        solve_prices_of(&shape, dual.price, price);
        rc = conflict_by_prices(whole, price, arena, suspects, &proven, &refused);
    }
    arena_done(&scratch);
    /* What cannot be narrowed down is asked about whole. */
    return rc == ERR_NO_MEMORY ? no_memory(err) : 0;
}

static bool on_progress(void *context, double bound, double best)
{
    (void)bound;
    (void)best;
    return watch_told(context, NAN, NAN);
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory to look for the rules in conflict");
}
