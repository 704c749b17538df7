#include "model/verify_order.h"

#include <string.h>

#include "model/verify.h"

/* Above this many neighbours all are alike: a table over them is divided anyway. */
#define DEGREE_MAX 64

struct neighbours {
    int *list; /* in rising order; those that are gone are left out when it is next rebuilt */
    int count;
    int capacity;
};

struct waiting {
    int part;
    struct waiting *next;
};

struct ordering {
    struct arena *arena;
    struct neighbours *of;                /* [part] */
    bool *gone;                           /* [part] */
    struct waiting *with[DEGREE_MAX + 1]; /* by degree; an entry may be of the past */
};

static bool link_all(struct ordering *ordering, const struct problem *problem);
static bool link_two(struct ordering *ordering, int a, int b);
static bool add_all(struct ordering *ordering, int part, const int *more, int count);
static int degree(const struct ordering *ordering, int part);
static bool wait(struct ordering *ordering, int part);
static int next_part(struct ordering *ordering);

bool verify_order(const struct problem *problem, struct arena *arena, int **ret_order,
                  int **ret_position)
{
    size_t parts = (size_t)problem->part_count + 1;
    struct ordering ordering = {.arena = arena};
    int *order = arena_array(arena, parts, sizeof(int));
    int *position = arena_array(arena, parts, sizeof(int));
    ordering.of = arena_array(arena, parts, sizeof(*ordering.of));
    ordering.gone = arena_array(arena, parts, sizeof(bool));
    if (order == NULL || position == NULL || ordering.of == NULL || ordering.gone == NULL ||
        !link_all(&ordering, problem)) {
        return false;
    }
    for (int part = problem->part_count - 1; part >= 0; part--) {
        if (!wait(&ordering, part)) {
            return false;
        }
    }
    for (int i = 0; i < problem->part_count; i++) {
        int part = next_part(&ordering);
        order[i] = part;
        position[part] = i;
        ordering.gone[part] = true;
        int around[DEGREE_MAX];
        int count = 0;
        for (int k = 0; k < ordering.of[part].count && count < DEGREE_MAX; k++) {
            int other = ordering.of[part].list[k];
            if (!ordering.gone[other]) {
                around[count++] = other;
            }
        }
        for (int k = 0; k < count; k++) {
            /* Wider than any table: what is eliminated leaves no neighbours behind. */
            bool fits = count <= VERIFY_WIDTH;
            if ((fits && !add_all(&ordering, around[k], around, count)) ||
                !wait(&ordering, around[k])) {
                return false;
            }
        }
    }
    *ret_order = order;
    *ret_position = position;
    return true;
}

static bool link_all(struct ordering *ordering, const struct problem *problem)
{
    for (int i = 0; i < problem->pair_count; i++) {
        if (!link_two(ordering, problem->pairs[i].a, problem->pairs[i].b)) {
            return false;
        }
    }
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_PAIR && !link_two(ordering, rule->a, rule->b)) {
            return false;
        }
        for (int k = 1;
             rule->kind == RULE_APART && rule->part_count <= VERIFY_APART && k < rule->part_count;
             k++) {
            for (int j = 0; j < k; j++) {
                if (!link_two(ordering, rule->parts[j], rule->parts[k])) {
                    return false;
                }
            }
        }
    }
    return true;
}

static bool link_two(struct ordering *ordering, int a, int b)
{
    return a == b || (add_all(ordering, a, &b, 1) && add_all(ordering, b, &a, 1));
}

/* Merges `more`, in rising order, into the neighbours of a part. */
static bool add_all(struct ordering *ordering, int part, const int *more, int count)
{
    struct neighbours *own = &ordering->of[part];
    int capacity = own->count + count;
    int *merged = arena_alloc_raw(ordering->arena, (size_t)capacity * sizeof(int));
    if (merged == NULL) {
        return false;
    }
    int i = 0;
    int k = 0;
    int out = 0;
    while (i < own->count || k < count) {
        int a = i < own->count ? own->list[i] : INT32_MAX;
        int b = k < count ? more[k] : INT32_MAX;
        int next = a < b ? a : b;
        i += a == next;
        k += b == next;
        if (next != part && !ordering->gone[next]) {
            merged[out++] = next;
        }
    }
    if (out <= own->capacity) {
        memcpy(own->list, merged, (size_t)out * sizeof(int));
    } else {
        own->list = merged;
        own->capacity = capacity;
    }
    own->count = out;
    return true;
}

static int degree(const struct ordering *ordering, int part)
{
    int count = 0;
    for (int i = 0; i < ordering->of[part].count; i++) {
        count += !ordering->gone[ordering->of[part].list[i]];
    }
    return count < DEGREE_MAX ? count : DEGREE_MAX;
}

static bool wait(struct ordering *ordering, int part)
{
    struct waiting *waiting = arena_alloc(ordering->arena, sizeof(*waiting));
    if (waiting == NULL) {
        return false;
    }
    struct waiting **list = &ordering->with[degree(ordering, part)];
    *waiting = (struct waiting){.part = part, .next = *list};
    *list = waiting;
    return true;
}

/* There is one for every part that is not gone: each waits under its latest degree. */
static int next_part(struct ordering *ordering)
{
    for (int i = 0; i <= DEGREE_MAX; i++) {
        while (ordering->with[i] != NULL) {
            struct waiting *waiting = ordering->with[i];
            ordering->with[i] = waiting->next;
            if (!ordering->gone[waiting->part] && degree(ordering, waiting->part) == i) {
                return waiting->part;
            }
        }
    }
    BERTH_ASSERT(false, "a part that waits nowhere");
    return -1;
}
