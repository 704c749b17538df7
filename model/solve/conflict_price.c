/* Prices that prove capacities too small, and the few rules that this proof needs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/conflict.h"

/* A rule's price becomes a whole number up to the first, the dearest one at least the second. */
#define WEIGHT_MAX  0x1p32
#define WEIGHT_FINE 0x1p20
#define WEIGHT_MIN  4096.0
/* What a part takes that has nowhere to go: more than all others together. */
#define NOWHERE ((__int128)1 << 108)

/* A part by how much its rules raise the least that it takes. */
struct raise {
    __int128 gain;
    int part;
};

struct proof {
    const struct problem *problem;
    int64_t *weight; /* [rule]: of capacity rules */
    int64_t *worth;  /* [site * RESOURCE_COUNT + r]: the weights of its rules together */
    int *first;      /* [part]: its first rule on choices, -1 */
    int *next;       /* [rule]: the next of the same part */
    bool *kept;      /* [rule]: of rules on choices */
    bool *tried;     /* [rule]: of capacities: it is needed */
    bool *allowed;   /* [choice], of one part at a time */
    size_t *cell;    /* [part]: where its choices begin in open[] */
    bool *open;      /* [cell]: all its rules allow it */
    struct raise *raises;
    __int128 need; /* worth of the capacities */
};

static int begin(struct proof *proof, const double *price, struct arena *arena);
static void set_weights(struct proof *proof, const double *price);
static void value_sites(struct proof *proof);
static __int128 least_of(struct proof *proof, int part, bool with_rules);
static bool is_proof(const struct proof *proof);
static __int128 worth_of(const struct proof *proof, const struct problem_choice *choice);
static void drop_capacities(struct proof *proof);
static void choose_parts(struct proof *proof);
static __int128 drop_rules(struct proof *proof, int part, __int128 slack);
static int list(struct proof *proof, struct arena *arena, struct suspects *suspects);
static int by_gain(const void *a, const void *b);
static int no_memory(struct error *err);

int conflict_by_prices(const struct problem *whole, const double *price, struct arena *arena,
                       struct suspects *suspects, bool *ret_proven, struct error *err)
{
    struct proof proof = {.problem = whole};
    *ret_proven = false;
    if (begin(&proof, price, arena) < 0) {
        return no_memory(err);
    }
    if (!is_proof(&proof)) {
        return 0;
    }
    drop_capacities(&proof);
    choose_parts(&proof);
    if (list(&proof, arena, suspects) < 0) {
        return no_memory(err);
    }
    *ret_proven = true;
    return 0;
}

static int begin(struct proof *proof, const double *price, struct arena *arena)
{
    const struct problem *problem = proof->problem;
    size_t rules = (size_t)problem->rule_count + 1;
    int choices = 1;
    size_t cells = 0;
    for (int part = 0; part < problem->part_count; part++) {
        const struct problem_part *what = &problem->parts[part];
        choices = what->choice_count > choices ? what->choice_count : choices;
        cells += (size_t)what->choice_count;
    }
    proof->cell = arena_array(arena, (size_t)problem->part_count + 1, sizeof(size_t));
    proof->open = arena_array(arena, cells + 1, sizeof(bool));
    proof->weight = arena_array(arena, rules, sizeof(int64_t));
    proof->worth =
        arena_array(arena, (size_t)problem->site_count * RESOURCE_COUNT, sizeof(int64_t));
    proof->first = arena_array(arena, (size_t)problem->part_count + 1, sizeof(int));
    proof->next = arena_array(arena, rules, sizeof(int));
    proof->kept = arena_array(arena, rules, sizeof(bool));
    proof->tried = arena_array(arena, rules, sizeof(bool));
    proof->allowed = arena_array(arena, (size_t)choices, sizeof(bool));
    proof->raises = arena_array(arena, (size_t)problem->part_count + 1, sizeof(struct raise));
    if (proof->cell == NULL || proof->open == NULL || proof->weight == NULL ||
        proof->worth == NULL || proof->first == NULL || proof->next == NULL ||
        proof->kept == NULL || proof->tried == NULL || proof->allowed == NULL ||
        proof->raises == NULL) {
        return ERR_NO_MEMORY;
    }
    memset(proof->open, true, cells * sizeof(bool));
    for (int part = 0, at = 0; part < problem->part_count; part++) {
        proof->first[part] = -1;
        proof->cell[part] = (size_t)at;
        at += problem->parts[part].choice_count;
    }
    for (int i = problem->rule_count - 1; i >= 0; i--) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_CHOICES) {
            proof->next[i] = proof->first[rule->a];
            proof->first[rule->a] = i;
            proof->kept[i] = true;
            bool *open = proof->open + proof->cell[rule->a];
            for (int k = 0; k < problem->parts[rule->a].choice_count; k++) {
                open[k] = open[k] && rule->allowed[k];
            }
        }
    }
    set_weights(proof, price);
    value_sites(proof);
    return 0;
}

/* What a unit is worth spans orders (a millicpu, a byte): the least has to be told from nothing. */
static void set_weights(struct proof *proof, const double *price)
{
    const struct problem *problem = proof->problem;
    double least = INFINITY;
    double most = 0;
    for (int i = 0; i < problem->rule_count; i++) {
        if (problem->rules[i].kind == RULE_CAPACITY && price[i] > 0) {
            least = fmin(least, price[i]);
            most = fmax(most, price[i]);
        }
    }
    if (most <= 0) {
        return;
    }
    double scale = fmax(fmin(WEIGHT_MAX / most, WEIGHT_MIN / least), WEIGHT_FINE / most);
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_CAPACITY && price[i] > 0 && rule->capacity >= 0) {
            proof->weight[i] = (int64_t)llround(price[i] * scale);
        }
    }
}

static void value_sites(struct proof *proof)
{
    const struct problem *problem = proof->problem;
    memset(proof->worth, 0, (size_t)problem->site_count * RESOURCE_COUNT * sizeof(int64_t));
    proof->need = 0;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (proof->weight[i] > 0) {
            proof->worth[rule->site * RESOURCE_COUNT + (int)rule->resource] += proof->weight[i];
            proof->need += (__int128)proof->weight[i] * rule->capacity;
        }
    }
}

/* The least worth that a part takes where its kept rules, or no rules, let it; NOWHERE.
 */
static __int128 least_of(struct proof *proof, int part, bool with_rules)
{
    const struct problem_part *what = &proof->problem->parts[part];
    memset(proof->allowed, true, (size_t)what->choice_count * sizeof(bool));
    for (int i = with_rules ? proof->first[part] : -1; i >= 0; i = proof->next[i]) {
        const bool *allowed = proof->problem->rules[i].allowed;
        for (int k = 0; proof->kept[i] && k < what->choice_count; k++) {
            proof->allowed[k] = proof->allowed[k] && allowed[k];
        }
    }
    __int128 least = NOWHERE;
    for (int k = 0; k < what->choice_count; k++) {
        if (proof->allowed[k]) {
            __int128 worth = worth_of(proof, &what->choices[k]);
            least = worth < least ? worth : least;
        }
    }
    return least;
}

/* Whether what the parts take at least is worth more than there is. */
static bool is_proof(const struct proof *proof)
{
    const struct problem *problem = proof->problem;
    __int128 sum = 0;
    for (int part = 0; part < problem->part_count && sum <= proof->need; part++) {
        const struct problem_part *what = &problem->parts[part];
        const bool *open = proof->open + proof->cell[part];
        __int128 least = NOWHERE;
        for (int k = 0; k < what->choice_count && least > 0; k++) {
            if (open[k]) {
                __int128 worth = worth_of(proof, &what->choices[k]);
                least = worth < least ? worth : least;
            }
        }
        sum += least;
    }
    return sum > proof->need;
}

static __int128 worth_of(const struct proof *proof, const struct problem_choice *choice)
{
    const int64_t *worth = proof->worth + (size_t)choice->site * RESOURCE_COUNT;
    __int128 sum = 0;
    for (int r = 0; r < RESOURCE_COUNT; r++) {
        sum += (__int128)worth[r] * choice->demand[r];
    }
    return sum;
}

/* The dearest capacities first stay: each is tried without, from the one that weighs least. */
static void drop_capacities(struct proof *proof)
{
    const struct problem *problem = proof->problem;
    for (;;) {
        int worst = -1;
        __int128 least = 0;
        for (int i = 0; i < problem->rule_count; i++) {
            __int128 weighs = (__int128)proof->weight[i] * problem->rules[i].capacity;
            if (proof->weight[i] > 0 && !proof->tried[i] && (worst < 0 || weighs < least)) {
                worst = i;
                least = weighs;
            }
        }
        if (worst < 0) {
            break;
        }
        int64_t weight = proof->weight[worst];
        proof->weight[worst] = 0;
        value_sites(proof);
        if (!is_proof(proof)) {
            proof->weight[worst] = weight;
            proof->tried[worst] = true;
            value_sites(proof);
        }
    }
}

/* Parts whose rules raise the sum most, until it is too large; of their rules those that do it. */
static void choose_parts(struct proof *proof)
{
    const struct problem *problem = proof->problem;
    __int128 sum = 0;
    for (int part = 0; part < problem->part_count; part++) {
        __int128 free = least_of(proof, part, false);
        sum += free;
        proof->raises[part] =
            (struct raise){.gain = least_of(proof, part, true) - free, .part = part};
    }
    qsort(proof->raises, (size_t)problem->part_count, sizeof(struct raise), by_gain);
    int chosen = 0;
    while (chosen < problem->part_count && sum <= proof->need) {
        sum += proof->raises[chosen++].gain;
    }
    __int128 slack = sum - proof->need - 1;
    for (int i = 0; i < problem->part_count; i++) {
        int part = proof->raises[i].part;
        if (i < chosen) {
            slack -= drop_rules(proof, part, slack);
        } else {
            for (int rule = proof->first[part]; rule >= 0; rule = proof->next[rule]) {
                proof->kept[rule] = false;
            }
        }
    }
}

/* Leaves out what the part's least does not need; returns by how much the sum falls. */
static __int128 drop_rules(struct proof *proof, int part, __int128 slack)
{
    __int128 now = least_of(proof, part, true);
    __int128 lost = 0;
    for (int rule = proof->first[part]; rule >= 0; rule = proof->next[rule]) {
        proof->kept[rule] = false;
        __int128 then = least_of(proof, part, true);
        if (now - then + lost <= slack) {
            lost += now - then;
            now = then;
        } else {
            proof->kept[rule] = true;
        }
    }
    return lost;
}

/* The rules that are left, and the parts that take something of what they are worth. */
static int list(struct proof *proof, struct arena *arena, struct suspects *suspects)
{
    const struct problem *problem = proof->problem;
    suspects->rules = arena_array(arena, (size_t)problem->rule_count + 1, sizeof(int));
    suspects->parts = arena_array(arena, (size_t)problem->part_count + 1, sizeof(int));
    suspects->rule_count = 0;
    suspects->part_count = 0;
    suspects->priced = true;
    if (suspects->rules == NULL || suspects->parts == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < problem->rule_count; i++) {
        bool choices = problem->rules[i].kind == RULE_CHOICES;
        if (choices ? proof->kept[i] : proof->weight[i] > 0) {
            suspects->rules[suspects->rule_count++] = i;
        }
    }
    for (int part = 0; part < problem->part_count; part++) {
        if (least_of(proof, part, true) > 0) {
            suspects->parts[suspects->part_count++] = part;
        }
    }
    return 0;
}

static int by_gain(const void *a, const void *b)
{
    const struct raise *x = a;
    const struct raise *y = b;
    return x->gain != y->gain ? (x->gain < y->gain ? 1 : -1) : x->part - y->part;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the proof of a conflict");
}
