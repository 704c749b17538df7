#include "model/verify.h"

#include <math.h>

#include "model/verify_meters.h"
#include "model/verify_order.h"

/* What all cases together may add up. */
#define ADDITIONS_MAX 4e9
/* Relative: as near as this need not be proven more closely. */
#define CLOSE 1e-9

/* A sum of costs by the values of some parts; +INFINITY where they may not be. */
struct factor {
    int count;
    int *part; /* in rising order */
    double *value;
    struct factor *next; /* of the same bucket */
};

struct verifier {
    const struct problem *problem;
    const double *price;
    const double *meter_price;
    double *row_price; /* [site * RESOURCE_COUNT + resource]: of all its capacity rules */
    struct arena *arena;
    struct factor **bucket;            /* [part] */
    int *order;                        /* [position]: parts, in the order of their elimination */
    int *position;                     /* [part] */
    const struct verify_range *ranges; /* [meter] */
    double bound;
    double magnitude; /* sum of the largest amounts that were added: what rounding is a part of */
    double additions;
    bool divided;
};

/* What is gathered of an assignment, so that each rule is looked at once. */
struct loads {
    __int128 *load; /* [site * RESOURCE_COUNT + resource] */
    int *seen_rule; /* [site]: the rule that saw a part there last, from 1 */
    int *seen_part; /* [site] */
};

static int check_choice(const struct problem *problem, const int *choice, struct error *err);
static int check_prices(const struct problem *problem, const double *price,
                        const double *meter_price, struct error *err);
static bool loads_of(const struct problem *problem, const int *choice, struct arena *arena,
                     struct loads *ret_loads);
static bool holds(const struct problem *problem, int index, const int *choice,
                  const struct loads *loads);
static bool apart(const struct problem *problem, int index, const int *choice,
                  const struct loads *loads);
static bool cost_of(const struct problem *problem, const int *choice, struct arena *arena,
                    struct verdict *verdict);
static int no_memory(struct error *err);
static bool bound_of(struct verifier *verifier, double *ret_bound);
static bool bound_by_cases(struct verifier *verifier, struct verdict *verdict);
static int divide(const struct problem *problem, const struct verify_range *ranges,
                  double *ret_volume);
static bool case_bound(struct verifier *verifier, struct verify_range *ranges, double *prices,
                       double *ret_bound);
static bool gather(struct verifier *verifier);
static bool gather_part(struct verifier *verifier, int part);
static bool gather_pairs(struct verifier *verifier);
static bool gather_rules(struct verifier *verifier);
static struct factor *pair_factor(struct verifier *verifier, int a, int b);
static struct factor *factor_create(struct verifier *verifier, const int *part, int count);
static void file_factor(struct verifier *verifier, struct factor *factor);
static bool eliminate_all(struct verifier *verifier);
static bool eliminate_part(struct verifier *verifier, int part);
static int join_scope(const struct verifier *verifier, const int *scope, int count, int part,
                      const struct factor *add, int *out);
static bool least_of_group(struct verifier *verifier, int part, struct factor *group,
                           const int *scope, int count);
static void add_row(const struct verifier *verifier, const struct factor *factor, int part,
                    const int *scope, const int *value, double *sum);
static void remember(struct verifier *verifier, const struct factor *factor);
static int choices(const struct verifier *verifier, int part);

int verify_plan(const struct problem *problem, const int *choice, const double *price,
                const double *meter_price, struct arena *arena, struct verdict *ret_verdict,
                struct error *err)
{
    int rc = check_prices(problem, price, meter_price, err);
    struct verifier verifier = {
        .problem = problem, .price = price, .meter_price = meter_price, .arena = arena};
    struct verdict verdict;
    rc = rc == 0 ? verify_choice(problem, choice, arena, &verdict, err) : rc;
    if (rc < 0) {
        return rc;
    }
    size_t meters = (size_t)problem->meter_count + 1;
    struct verify_range *ranges = arena_array(arena, meters, sizeof(*ranges));
    if (ranges == NULL || !verify_ranges(problem, arena, ranges) ||
        !verify_order(problem, arena, &verifier.order, &verifier.position)) {
        return no_memory(err);
    }
    verifier.ranges = ranges;
    if (!bound_of(&verifier, &verdict.bound) || !bound_by_cases(&verifier, &verdict)) {
        return no_memory(err);
    }
    verdict.divided = verifier.divided;
    double size = fabs(verdict.cost);
    verdict.gap =
        verdict.cost == verdict.bound ? 0 : (verdict.cost - verdict.bound) / (size > 0 ? size : 1);
    *ret_verdict = verdict;
    return 0;
}

static int check_choice(const struct problem *problem, const int *choice, struct error *err)
{
    for (int part = 0; part < problem->part_count; part++) {
        if (choice[part] < 0 || choice[part] >= problem->parts[part].choice_count) {
            return error_set(err, ERR_INVALID, 0, "%s takes choice %d of %d",
                             problem->parts[part].name, choice[part],
                             problem->parts[part].choice_count);
        }
    }
    return 0;
}

static int check_prices(const struct problem *problem, const double *price,
                        const double *meter_price, struct error *err)
{
    for (int i = 0; price != NULL && i < problem->rule_count; i++) {
        bool may = problem->rules[i].kind == RULE_CAPACITY ? isfinite(price[i]) && price[i] >= 0
                                                           : price[i] == 0;
        if (!may) {
            return error_set(err, ERR_INVALID, 0,
                             "the price of rule %d, '%s', is %g: a capacity's is 0 or more, any "
                             "other rule has none",
                             i, problem->rules[i].text, price[i]);
        }
    }
    for (int i = 0; meter_price != NULL && i < problem->meter_count; i++) {
        if (!isfinite(meter_price[i])) {
            return error_set(err, ERR_INVALID, 0, "the price of meter %s is not a number",
                             problem->meters[i].name);
        }
    }
    return 0;
}

/* ---- the assignment ---- */

int verify_choice(const struct problem *problem, const int *choice, struct arena *arena,
                  struct verdict *ret_verdict, struct error *err)
{
    struct verdict verdict = {.broken = -1, .bound = -INFINITY, .gap = INFINITY};
    struct loads loads;
    int rc = check_choice(problem, choice, err);
    if (rc < 0) {
        return rc;
    }
    if (!loads_of(problem, choice, arena, &loads) || !cost_of(problem, choice, arena, &verdict)) {
        return no_memory(err);
    }
    for (int i = 0; verdict.broken < 0 && i < problem->rule_count; i++) {
        verdict.broken = holds(problem, i, choice, &loads) ? -1 : i;
    }
    *ret_verdict = verdict;
    return 0;
}

static bool loads_of(const struct problem *problem, const int *choice, struct arena *arena,
                     struct loads *ret_loads)
{
    size_t sites = (size_t)problem->site_count;
    *ret_loads = (struct loads){
        .load = arena_array(arena, sites * RESOURCE_COUNT + 1, sizeof(__int128)),
        .seen_rule = arena_array(arena, sites + 1, sizeof(int)),
        .seen_part = arena_array(arena, sites + 1, sizeof(int)),
    };
    if (ret_loads->load == NULL || ret_loads->seen_rule == NULL || ret_loads->seen_part == NULL) {
        return false;
    }
    for (int part = 0; part < problem->part_count; part++) {
        const struct problem_choice *taken = &problem->parts[part].choices[choice[part]];
        for (int r = 0; r < RESOURCE_COUNT; r++) {
            ret_loads->load[taken->site * RESOURCE_COUNT + r] += taken->demand[r];
        }
    }
    return true;
}

static bool holds(const struct problem *problem, int index, const int *choice,
                  const struct loads *loads)
{
    const struct problem_rule *rule = &problem->rules[index];
    switch (rule->kind) {
    case RULE_CHOICES:
        return rule->allowed[choice[rule->a]];
    case RULE_PAIR:
        return rule->allowed[choice[rule->a] * (int64_t)problem->parts[rule->b].choice_count +
                             choice[rule->b]];
    case RULE_APART:
        return apart(problem, index, choice, loads);
    case RULE_CAPACITY:
        return loads->load[rule->site * RESOURCE_COUNT + (int)rule->resource] <= rule->capacity;
    }
    return false;
}

static bool apart(const struct problem *problem, int index, const int *choice,
                  const struct loads *loads)
{
    const struct problem_rule *rule = &problem->rules[index];
    for (int i = 0; i < rule->part_count; i++) {
        int part = rule->parts[i];
        int site = problem->parts[part].choices[choice[part]].site;
        if (loads->seen_rule[site] == index + 1 && loads->seen_part[site] != part) {
            return false;
        }
        loads->seen_rule[site] = index + 1;
        loads->seen_part[site] = part;
    }
    return true;
}

static bool cost_of(const struct problem *problem, const int *choice, struct arena *arena,
                    struct verdict *verdict)
{
    double *volume = arena_array(arena, (size_t)problem->meter_count + 1, sizeof(double));
    if (volume == NULL) {
        return false;
    }
    __int128 sum = 0; /* of whole numbers: exact */
    for (int i = 0; i < problem->part_count; i++) {
        const struct problem_part *part = &problem->parts[i];
        sum += part->cost[choice[i]];
        for (int k = 0; k < part->use_count; k++) {
            const struct problem_use *use = &part->use[choice[i] * part->use_count + k];
            if (use->meter >= 0) {
                volume[use->meter] += (double)use->bytes;
            }
        }
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        int64_t cell =
            choice[pair->a] * (int64_t)problem->parts[pair->b].choice_count + choice[pair->b];
        sum += pair->cost[cell];
        for (int k = 0; k < pair->use_count; k++) {
            const struct problem_use *use = &pair->use[cell * pair->use_count + k];
            if (use->meter >= 0) {
                volume[use->meter] += (double)use->bytes;
            }
        }
    }
    double cost = (double)sum;
    double slack = 0;
    for (int i = 0; i < problem->meter_count; i++) {
        const struct problem_meter *meter = &problem->meters[i];
        double dearest = 0;
        for (int tier = 0; tier < meter->tier_count; tier++) {
            dearest = fmax(dearest, fabs((double)meter->price_nusd[tier]));
        }
        cost += verify_charge(meter, volume[i]);
        /* The charge is rounded to a whole nano-dollar, and volumes to doubles. */
        slack += 1 + 0x1p-50 * ((double)meter->base_bytes + volume[i]) * dearest /
                         (double)meter->per_bytes * (meter->tier_count + 1);
    }
    verdict->cost = cost;
    verdict->slack = slack + fabs(cost) * 0x1p-52 * (problem->meter_count + 4);
    return true;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "the plan does not fit the memory for checking it");
}

/* ---- the bound: what prices make of the volumes and of the tables ---- */

/* For the prices and ranges that the verifier has; in memory of its own. */
static bool bound_of(struct verifier *verifier, double *ret_bound)
{
    const struct problem *problem = verifier->problem;
    struct arena *arena = verifier->arena;
    struct arena work;
    arena_init(&work, arena->bytes_max - arena->bytes_used);
    work.fail_after = arena->fail_after;
    verifier->arena = &work;
    verifier->bound = 0;
    verifier->magnitude = 0;
    verifier->additions = 0;
    for (int i = 0; i < problem->meter_count; i++) {
        /* A meter's charge is rounded to a whole nano-dollar, so one is taken off. */
        double price = verifier->meter_price == NULL ? 0 : verifier->meter_price[i];
        verifier->bound +=
            verify_least(&problem->meters[i], &verifier->ranges[i], price, &verifier->magnitude) -
            1;
        verifier->additions += 4;
    }
    bool whole = gather(verifier) && eliminate_all(verifier);
    arena->fail_after = work.fail_after;
    arena_done(&work);
    verifier->arena = arena;
    /* Each of the additions rounds by at most half a unit in the last place of the sum so far; the
     * products before them by three more. */
    double slack = (verifier->additions + 8) * verifier->magnitude * 0x1p-52;
    double bound = verifier->bound - slack;
    *ret_bound = isnan(bound) ? -INFINITY : bound;
    return whole;
}

/* A case is a part of all volumes; the case that proves least is divided, until all prove the cost
 * or the budget is spent. Every assignment is in one of them. */
static bool bound_by_cases(struct verifier *verifier, struct verdict *verdict)
{
    const struct problem *problem = verifier->problem;
    size_t meters = (size_t)problem->meter_count;
    struct verify_range *ranges =
        arena_array(verifier->arena, (VERIFY_CASES + 1) * meters + 1, sizeof(*ranges));
    double *prices = arena_array(verifier->arena, meters + 1, sizeof(double));
    double *bounds = arena_array(verifier->arena, VERIFY_CASES + 1, sizeof(double));
    if (ranges == NULL || prices == NULL || bounds == NULL) {
        return false;
    }
    double enough = verdict->cost - CLOSE * fabs(verdict->cost);
    double additions = verifier->additions;
    int count = 1;
    bounds[0] = verdict->bound;
    for (size_t i = 0; i < meters; i++) {
        ranges[i] = verifier->ranges[i];
    }
    for (;;) {
        int least = 0;
        for (int i = 1; i < count; i++) {
            least = bounds[i] < bounds[least] ? i : least;
        }
        verdict->bound = fmax(verdict->bound, bounds[least]);
        struct verify_range *low = ranges + (size_t)least * meters;
        struct verify_range *high = ranges + (size_t)count * meters;
        double volume = 0;
        int meter = bounds[least] < enough && count < VERIFY_CASES && additions < ADDITIONS_MAX
                        ? divide(problem, low, &volume)
                        : -1;
        if (meter < 0) {
            return true;
        }
        for (size_t i = 0; i < meters; i++) {
            high[i] = low[i];
        }
        low[meter].most = volume;
        high[meter].least = volume;
        double before = bounds[least];
        if (!case_bound(verifier, low, prices, &bounds[least]) ||
            !case_bound(verifier, high, prices, &bounds[count])) {
            return false;
        }
        /* A part of a case proves what the whole did. */
        bounds[least] = fmax(bounds[least], before);
        bounds[count] = fmax(bounds[count], before);
        additions += 2 * verifier->additions;
        count++;
    }
}

/* The meter whose charge bends most above its chord, and where; -1: none does. */
static int divide(const struct problem *problem, const struct verify_range *ranges,
                  double *ret_volume)
{
    int most = -1;
    double bend = 1; /* nano-dollars */
    for (int i = 0; i < problem->meter_count; i++) {
        double volume;
        double here = verify_bend(&problem->meters[i], &ranges[i], &volume);
        if (here > bend) {
            most = i;
            bend = here;
            *ret_volume = volume;
        }
    }
    return most;
}

static bool case_bound(struct verifier *verifier, struct verify_range *ranges, double *prices,
                       double *ret_bound)
{
    const struct problem *problem = verifier->problem;
    const struct verify_range *all = verifier->ranges;
    const double *given = verifier->meter_price;
    for (int i = 0; i < problem->meter_count; i++) {
        prices[i] = verify_chord(&problem->meters[i], &ranges[i]);
    }
    verifier->ranges = ranges;
    verifier->meter_price = prices;
    bool whole = bound_of(verifier, ret_bound);
    verifier->ranges = all;
    verifier->meter_price = given;
    return whole;
}

static bool gather(struct verifier *verifier)
{
    const struct problem *problem = verifier->problem;
    size_t parts = (size_t)problem->part_count + 1;
    size_t rows = (size_t)problem->site_count * RESOURCE_COUNT;
    verifier->bucket = arena_array(verifier->arena, parts, sizeof(*verifier->bucket));
    verifier->row_price = arena_array(verifier->arena, rows, sizeof(double));
    if (verifier->bucket == NULL || verifier->row_price == NULL) {
        return false;
    }
    for (int i = 0; verifier->price != NULL && i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_CAPACITY) {
            verifier->row_price[rule->site * RESOURCE_COUNT + (int)rule->resource] +=
                verifier->price[i];
        }
    }
    for (int part = 0; part < problem->part_count; part++) {
        if (!gather_part(verifier, part)) {
            return false;
        }
    }
    return gather_pairs(verifier) && gather_rules(verifier);
}

static bool gather_part(struct verifier *verifier, int part)
{
    const struct problem *problem = verifier->problem;
    const struct problem_part *it = &problem->parts[part];
    struct factor *factor = factor_create(verifier, &part, 1);
    if (factor == NULL) {
        return false;
    }
    for (int i = 0; i < it->choice_count; i++) {
        factor->value[i] = (double)it->cost[i];
        for (int k = 0; k < it->use_count; k++) {
            const struct problem_use *use = &it->use[i * it->use_count + k];
            if (use->meter >= 0 && verifier->meter_price != NULL) {
                factor->value[i] += verifier->meter_price[use->meter] * (double)use->bytes;
            }
        }
    }
    for (int i = 0; i < it->choice_count; i++) {
        const struct problem_choice *choice = &it->choices[i];
        for (int k = 0; k < RESOURCE_COUNT; k++) {
            factor->value[i] +=
                verifier->row_price[choice->site * RESOURCE_COUNT + k] * (double)choice->demand[k];
        }
    }
    remember(verifier, factor);
    file_factor(verifier, factor);
    return true;
}

static bool gather_pairs(struct verifier *verifier)
{
    const struct problem *problem = verifier->problem;
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        bool turned = pair->a > pair->b;
        struct factor *factor = pair_factor(verifier, pair->a, pair->b);
        if (factor == NULL) {
            return false;
        }
        int rows = choices(verifier, pair->a);
        int columns = choices(verifier, pair->b);
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                int64_t cell = (int64_t)row * columns + column;
                double value = (double)pair->cost[cell];
                for (int k = 0; k < pair->use_count; k++) {
                    const struct problem_use *use = &pair->use[cell * pair->use_count + k];
                    if (use->meter >= 0 && verifier->meter_price != NULL) {
                        value += verifier->meter_price[use->meter] * (double)use->bytes;
                    }
                }
                factor->value[turned ? (int64_t)column * rows + row : cell] = value;
            }
        }
        remember(verifier, factor);
        file_factor(verifier, factor);
    }
    return true;
}

static bool gather_rules(struct verifier *verifier)
{
    const struct problem *problem = verifier->problem;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_CAPACITY && verifier->price != NULL) {
            double paid = verifier->price[i] * (double)rule->capacity;
            verifier->bound -= paid;
            verifier->magnitude += fabs(paid);
            verifier->additions++;
        } else if (rule->kind == RULE_CHOICES) {
            struct factor *factor = factor_create(verifier, &rule->a, 1);
            if (factor == NULL) {
                return false;
            }
            for (int k = 0; k < choices(verifier, rule->a); k++) {
                factor->value[k] = rule->allowed[k] ? 0 : INFINITY;
            }
            file_factor(verifier, factor);
        } else if (rule->kind == RULE_PAIR) {
            struct factor *factor = pair_factor(verifier, rule->a, rule->b);
            if (factor == NULL) {
                return false;
            }
            int rows = choices(verifier, rule->a);
            int columns = choices(verifier, rule->b);
            for (int64_t cell = 0; cell < (int64_t)rows * columns; cell++) {
                int64_t turned = cell % columns * rows + cell / columns;
                factor->value[rule->a > rule->b ? turned : cell] =
                    rule->allowed[cell] ? 0 : INFINITY;
            }
            file_factor(verifier, factor);
        } else if (rule->kind == RULE_APART && rule->part_count <= VERIFY_APART) {
            for (int k = 1; k < rule->part_count; k++) {
                for (int j = 0; j < k; j++) {
                    int a = rule->parts[j];
                    int b = rule->parts[k];
                    struct factor *factor = a != b ? pair_factor(verifier, a, b) : NULL;
                    if (a == b) {
                        continue;
                    }
                    if (factor == NULL) {
                        return false;
                    }
                    const struct problem_part *low = &problem->parts[a < b ? a : b];
                    const struct problem_part *high = &problem->parts[a < b ? b : a];
                    for (int x = 0; x < low->choice_count; x++) {
                        for (int y = 0; y < high->choice_count; y++) {
                            factor->value[x * (int64_t)high->choice_count + y] =
                                low->choices[x].site == high->choices[y].site ? INFINITY : 0;
                        }
                    }
                    file_factor(verifier, factor);
                }
            }
        }
    }
    return true;
}

static struct factor *pair_factor(struct verifier *verifier, int a, int b)
{
    int part[2] = {a < b ? a : b, a < b ? b : a};
    return factor_create(verifier, part, 2);
}

static struct factor *factor_create(struct verifier *verifier, const int *part, int count)
{
    size_t cells = 1;
    for (int i = 0; i < count; i++) {
        cells *= (size_t)choices(verifier, part[i]);
    }
    struct factor *factor = arena_alloc(verifier->arena, sizeof(*factor));
    if (factor == NULL) {
        return NULL;
    }
    factor->count = count;
    factor->part = arena_copy(verifier->arena, part, (size_t)count * sizeof(int) + (count == 0));
    factor->value = arena_alloc_raw(verifier->arena, cells * sizeof(double));
    return factor->part == NULL || factor->value == NULL ? NULL : factor;
}

/* A factor waits in the bucket of that of its parts that is eliminated first. */
static void file_factor(struct verifier *verifier, struct factor *factor)
{
    verifier->additions++;
    if (factor->count == 0) {
        verifier->bound += factor->value[0];
        return;
    }
    int bucket = factor->part[0];
    for (int i = 1; i < factor->count; i++) {
        int part = factor->part[i];
        bucket = verifier->position[part] < verifier->position[bucket] ? part : bucket;
    }
    factor->next = verifier->bucket[bucket];
    verifier->bucket[bucket] = factor;
}

static void remember(struct verifier *verifier, const struct factor *factor)
{
    size_t cells = 1;
    for (int i = 0; i < factor->count; i++) {
        cells *= (size_t)choices(verifier, factor->part[i]);
    }
    double most = 0;
    for (size_t i = 0; i < cells; i++) {
        most = fmax(most, fabs(factor->value[i]));
    }
    verifier->magnitude += most;
}

static int choices(const struct verifier *verifier, int part)
{
    return verifier->problem->parts[part].choice_count;
}

/* ---- the bound: the least over assignments ---- */

static bool eliminate_all(struct verifier *verifier)
{
    for (int i = 0; i < verifier->problem->part_count; i++) {
        if (!eliminate_part(verifier, verifier->order[i])) {
            return false;
        }
    }
    return true;
}

/* The factors of a part's bucket, in groups whose tables stay within VERIFY_CELLS: one group where
 * that is possible. The least of a sum is at least the sum of the groups' leasts. */
static bool eliminate_part(struct verifier *verifier, int part)
{
    struct factor *left = verifier->bucket[part];
    int groups = 0;
    while (left != NULL) {
        int scope[2][VERIFY_WIDTH + 1];
        int count = 0;
        int now = 0;
        struct factor *group = NULL;
        struct factor *rest = NULL;
        while (left != NULL) {
            struct factor *factor = left;
            left = factor->next;
            int wider = join_scope(verifier, scope[now], count, part, factor, scope[1 - now]);
            if (wider >= 0) { /* a first one always fits: it was built within the bounds */
                now = 1 - now;
                count = wider;
                factor->next = group;
                group = factor;
            } else {
                factor->next = rest;
                rest = factor;
            }
        }
        left = rest;
        groups++;
        if (!least_of_group(verifier, part, group, scope[now], count)) {
            return false;
        }
    }
    verifier->divided = verifier->divided || groups > 1;
    return true;
}

/* The parts of `scope` and of a factor without `part`, in rising order; -1 when a table over them
 * and `part` would be too large, unless it is that factor's own. */
static int join_scope(const struct verifier *verifier, const int *scope, int count, int part,
                      const struct factor *add, int *out)
{
    int i = 0;
    int k = 0;
    int joined = 0;
    size_t cells = (size_t)choices(verifier, part);
    while (i < count || k < add->count) {
        int a = i < count ? scope[i] : INT32_MAX;
        int b = k < add->count ? add->part[k] : INT32_MAX;
        int next = a < b ? a : b;
        i += a == next;
        k += b == next;
        if (next == part) {
            continue;
        }
        cells *= (size_t)choices(verifier, next);
        if (count > 0 && (joined == VERIFY_WIDTH || cells > VERIFY_CELLS)) {
            return -1;
        }
        out[joined++] = next;
    }
    return joined;
}

/* Files the factor over `scope` that is the least over `part` of the group's sum. */
static bool least_of_group(struct verifier *verifier, int part, struct factor *group,
                           const int *scope, int count)
{
    struct factor *out = factor_create(verifier, scope, count);
    int own = choices(verifier, part);
    double *sum = arena_alloc_raw(verifier->arena, (size_t)own * sizeof(double));
    if (out == NULL || sum == NULL) {
        return false;
    }
    int value[VERIFY_WIDTH + 1] = {0}; /* of scope[], the last fastest */
    size_t cells = 1;
    for (int i = 0; i < count; i++) {
        cells *= (size_t)choices(verifier, scope[i]);
    }
    for (size_t cell = 0; cell < cells; cell++) {
        for (int i = 0; i < own; i++) {
            sum[i] = 0;
        }
        for (const struct factor *factor = group; factor != NULL; factor = factor->next) {
            add_row(verifier, factor, part, scope, value, sum);
        }
        double least = INFINITY;
        for (int i = 0; i < own; i++) {
            least = sum[i] < least ? sum[i] : least;
        }
        out->value[cell] = least;
        for (int i = count - 1; i >= 0 && ++value[i] == choices(verifier, scope[i]); i--) {
            value[i] = 0;
        }
    }
    file_factor(verifier, out);
    return true;
}

/* Adds to sum[] what a factor says for each value of `part` where the parts of scope[] have
 * value[]. */
static void add_row(const struct verifier *verifier, const struct factor *factor, int part,
                    const int *scope, const int *value, double *sum)
{
    size_t at = 0;
    size_t step = 0; /* between two values of `part` */
    int k = 0;
    for (int i = 0; i < factor->count; i++) {
        size_t size = (size_t)choices(verifier, factor->part[i]);
        at *= size;
        step *= size;
        if (factor->part[i] == part) {
            step = 1;
            continue;
        }
        while (scope[k] != factor->part[i]) {
            k++;
        }
        at += (size_t)value[k];
    }
    for (int i = 0; i < choices(verifier, part); i++) {
        sum[i] += factor->value[at + step * (size_t)i];
    }
}
