/*
 * The frames of problem.h. Everything is little-endian; a text is a 16-bit length and its bytes; a
 * cost table is dense, the meters' uses are sparse (slots per cell, count, then cell * slots +
 * slot, meter, bytes). A reader never allocates more than a bounded multiple of the bytes it was
 * given: each count is compared with its limit and with what the rest of the frame could hold.
 */
#include "model/problem.h"

#include <endian.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/str.h"

#define PROBLEM_MAGIC  UINT32_C(0x32505242) /* "BRP2" */
#define SOLUTION_MAGIC UINT32_C(0x32535242) /* "BRS2" */

/* Counts that a frame may state. The exact solver is for small problems; these only bound memory.
 */
#define PARTS_MAX  65536
#define PAIRS_MAX  262144
#define METERS_MAX 65536
#define RULES_MAX  262144

/* Of a choice: site, variant, lead, demands. A part has at least one, and a pair at least one cell.
 */
#define CHOICE_BYTES   (12 + 8 * RESOURCE_COUNT)
#define PART_BYTES_MIN (14 + CHOICE_BYTES + 8 + 4)
#define PAIR_BYTES_MIN (8 + 8 + 4)

/* Values that are written at a time. */
#define BATCH 256

struct reader {
    const unsigned char *at;
    size_t left;
    struct arena *arena;
    struct error *err;
    bool failed;
};

static size_t cells_of(const struct problem *problem, int a, int b);
static void store(char *out, uint64_t value, size_t bytes);
static void put(struct strbuf *out, uint64_t value, size_t bytes);
static void put_text(struct strbuf *out, const char *text);
static void put_costs(struct strbuf *out, const int64_t *costs, size_t count);
static void put_part(struct strbuf *out, const struct problem_part *part);
static void put_prices(struct strbuf *out, const double *price, int count);
static void put_uses(struct strbuf *out, const struct problem_use *use, int use_count,
                     size_t cells);
static void put_rule(struct strbuf *out, const struct problem *problem,
                     const struct problem_rule *rule);
static uint64_t get(struct reader *in, size_t bytes);
static int64_t get_range(struct reader *in, size_t bytes, const char *what, int64_t min,
                         int64_t max);
static int get_count(struct reader *in, const char *what, int64_t max, size_t bytes_each);
static void get_text(struct reader *in, char *out, size_t capacity);
static void *get_memory(struct reader *in, size_t count, size_t bytes_each);
static int64_t *get_costs(struct reader *in, size_t count);
static double *get_prices(struct reader *in, const char *what, int count, double least);
static void get_part(struct reader *in, const struct problem *problem, struct problem_part *part);
static struct problem_use *get_uses(struct reader *in, size_t cells, int meter_count,
                                    int *ret_use_count);
static bool *get_allowed(struct reader *in, size_t count);
static void get_meter(struct reader *in, struct problem_meter *meter);
static void get_rule(struct reader *in, const struct problem *problem, struct problem_rule *rule);
static int fail(struct reader *in, int code, const char *what, long long value);

void problem_encode(const struct problem *problem, struct strbuf *out)
{
    put(out, PROBLEM_MAGIC, 4);
    put(out, (uint64_t)problem->site_count, 4);
    put(out, (uint64_t)problem->meter_count, 4);
    put(out, (uint64_t)problem->part_count, 4);
    put(out, (uint64_t)problem->pair_count, 4);
    put(out, (uint64_t)problem->rule_count, 4);
    for (int i = 0; i < problem->site_count; i++) {
        put_text(out, problem->site_names[i]);
    }
    for (int i = 0; i < problem->meter_count; i++) {
        const struct problem_meter *meter = &problem->meters[i];
        put_text(out, meter->name);
        put(out, (uint64_t)meter->base_bytes, 8);
        put(out, (uint64_t)meter->per_bytes, 8);
        put(out, (uint64_t)meter->tier_count, 4);
        put_costs(out, meter->up_to_bytes, (size_t)meter->tier_count);
        put_costs(out, meter->price_nusd, (size_t)meter->tier_count);
    }
    for (int i = 0; i < problem->part_count; i++) {
        put_part(out, &problem->parts[i]);
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        put(out, (uint64_t)pair->a, 4);
        put(out, (uint64_t)pair->b, 4);
        size_t cells = cells_of(problem, pair->a, pair->b);
        put_costs(out, pair->cost, cells);
        put_uses(out, pair->use, pair->use_count, cells);
    }
    for (int i = 0; i < problem->rule_count; i++) {
        put_rule(out, problem, &problem->rules[i]);
    }
}

int problem_decode(const void *bytes, size_t count, struct arena *arena,
                   struct problem *ret_problem, struct error *err)
{
    struct reader in = {.at = bytes, .left = count, .arena = arena, .err = err};
    struct problem problem = {0};
    if (get(&in, 4) != PROBLEM_MAGIC && !in.failed) {
        return error_set(err, ERR_INVALID, 0, "problem frame: it does not start with \"BRP2\"");
    }
    problem.site_count = (int)get_range(&in, 4, "sites", 1, LIMIT_SITES);
    size_t sites = in.failed ? 1 : (size_t)problem.site_count;
    problem.meter_count = get_count(&in, "meters", METERS_MAX, 22);
    problem.part_count = get_count(&in, "parts", PARTS_MAX, PART_BYTES_MIN);
    problem.pair_count = get_count(&in, "pairs", PAIRS_MAX, PAIR_BYTES_MIN);
    problem.rule_count = get_count(&in, "rules", RULES_MAX, 6);
    problem.site_names = get_memory(&in, sites, sizeof(*problem.site_names));
    problem.meters = get_memory(&in, (size_t)problem.meter_count, sizeof(*problem.meters));
    problem.parts = get_memory(&in, (size_t)problem.part_count, sizeof(*problem.parts));
    problem.pairs = get_memory(&in, (size_t)problem.pair_count, sizeof(*problem.pairs));
    problem.rules = get_memory(&in, (size_t)problem.rule_count, sizeof(*problem.rules));
    for (int i = 0; i < problem.site_count && !in.failed; i++) {
        get_text(&in, problem.site_names[i], sizeof(problem.site_names[i]));
    }
    for (int i = 0; i < problem.meter_count && !in.failed; i++) {
        get_meter(&in, &problem.meters[i]);
    }
    for (int i = 0; i < problem.part_count && !in.failed; i++) {
        get_part(&in, &problem, &problem.parts[i]);
    }
    for (int i = 0; i < problem.pair_count && !in.failed; i++) {
        struct problem_pair *pair = &problem.pairs[i];
        pair->a = (int)get_range(&in, 4, "pair's part", 0, problem.part_count - 1);
        pair->b = (int)get_range(&in, 4, "pair's part", 0, problem.part_count - 1);
        if (!in.failed && pair->a == pair->b) {
            return fail(&in, ERR_INVALID, "pair of a part with itself", pair->a);
        }
        size_t cells = in.failed ? 1 : cells_of(&problem, pair->a, pair->b);
        pair->cost = get_costs(&in, cells);
        pair->use = get_uses(&in, cells, problem.meter_count, &pair->use_count);
    }
    for (int i = 0; i < problem.rule_count && !in.failed; i++) {
        get_rule(&in, &problem, &problem.rules[i]);
    }
    if (!in.failed && in.left > 0) {
        return fail(&in, ERR_INVALID, "bytes after the end", (long long)in.left);
    }
    if (in.failed) {
        return err != NULL ? err->code : ERR_INVALID;
    }
    *ret_problem = problem;
    return 0;
}

void solution_encode(const struct problem *problem, const struct solution *solution,
                     struct strbuf *out)
{
    int parts = solution->choice == NULL ? 0 : problem->part_count;
    put(out, SOLUTION_MAGIC, 4);
    put(out, (uint64_t)solution->status, 4);
    put(out, (uint64_t)solution->cost_nusd, 8);
    put(out, (uint64_t)solution->bound_nusd, 8);
    put(out, (uint64_t)solution->nodes, 8);
    put(out, (uint64_t)parts, 4);
    for (int i = 0; i < parts; i++) {
        put(out, (uint64_t)solution->choice[i], 4);
    }
    put(out, (uint64_t)solution->conflict_count, 4);
    for (int i = 0; i < solution->conflict_count; i++) {
        put(out, (uint64_t)solution->conflict[i], 4);
    }
    bool priced = solution->price != NULL && solution->meter_price != NULL;
    put(out, priced, 1);
    if (priced) {
        put_prices(out, solution->price, problem->rule_count);
        put_prices(out, solution->meter_price, problem->meter_count);
    }
    put_text(out, solution->text);
}

int solution_decode(const void *bytes, size_t count, const struct problem *problem,
                    struct arena *arena, struct solution *ret_solution, struct error *err)
{
    struct reader in = {.at = bytes, .left = count, .arena = arena, .err = err};
    struct solution solution = {0};
    if (get(&in, 4) != SOLUTION_MAGIC && !in.failed) {
        return error_set(err, ERR_INVALID, 0, "solution frame: it does not start with \"BRS2\"");
    }
    solution.status = (enum solve_status)get_range(&in, 4, "status", 0, SOLVE_NONE);
    solution.cost_nusd = (int64_t)get(&in, 8);
    solution.bound_nusd = (int64_t)get(&in, 8);
    solution.nodes = get_range(&in, 8, "nodes", 0, INT64_MAX);
    bool placed = solution.status == SOLVE_OPTIMAL || solution.status == SOLVE_FEASIBLE;
    int parts = placed ? problem->part_count : 0;
    (void)get_range(&in, 4, "placed parts", parts, parts);
    if (placed) {
        solution.choice = get_memory(&in, (size_t)parts, sizeof(*solution.choice));
    }
    for (int i = 0; i < parts && !in.failed; i++) {
        solution.choice[i] =
            (int)get_range(&in, 4, "choice", 0, problem->parts[i].choice_count - 1);
    }
    int conflicts_max = solution.status == SOLVE_INFEASIBLE ? problem->rule_count : 0;
    solution.conflict_count = get_count(&in, "conflicting rules", conflicts_max, 4);
    solution.conflict =
        get_memory(&in, (size_t)solution.conflict_count, sizeof(*solution.conflict));
    for (int i = 0; i < solution.conflict_count && !in.failed; i++) {
        solution.conflict[i] = (int)get_range(&in, 4, "rule", 0, problem->rule_count - 1);
    }
    if (get_range(&in, 1, "with prices", 0, 1) == 1) {
        solution.price = get_prices(&in, "a rule's price", problem->rule_count, 0);
        solution.meter_price = get_prices(&in, "a meter's price", problem->meter_count, -INFINITY);
    }
    get_text(&in, solution.text, sizeof(solution.text));
    if (!in.failed && placed && solution.bound_nusd > solution.cost_nusd) {
        return fail(&in, ERR_INVALID, "bound above the cost", solution.bound_nusd);
    }
    if (!in.failed && in.left > 0) {
        return fail(&in, ERR_INVALID, "bytes after the end", (long long)in.left);
    }
    if (in.failed) {
        return err != NULL ? err->code : ERR_INVALID;
    }
    *ret_solution = solution;
    return 0;
}

static size_t cells_of(const struct problem *problem, int a, int b)
{
    return (size_t)problem->parts[a].choice_count * (size_t)problem->parts[b].choice_count;
}

static void store(char *out, uint64_t value, size_t bytes)
{
    uint64_t little = htole64(value);
    memcpy(out, &little, bytes);
}

/* Of 8 bytes; tables are read by the million. */
static int64_t load_long(const unsigned char *at)
{
    uint64_t little;
    memcpy(&little, at, sizeof(little));
    return (int64_t)le64toh(little);
}

static int32_t load_int(const unsigned char *at)
{
    uint32_t little;
    memcpy(&little, at, sizeof(little));
    return (int32_t)le32toh(little);
}

static void put(struct strbuf *out, uint64_t value, size_t bytes)
{
    char text[8];
    store(text, value, bytes);
    strbuf_append(out, text, bytes);
}

static void put_text(struct strbuf *out, const char *text)
{
    size_t bytes = strlen(text);
    BERTH_ASSERT(bytes <= UINT16_MAX, "a name of %zu bytes", bytes);
    put(out, bytes, 2);
    strbuf_append(out, text, bytes);
}

static void put_costs(struct strbuf *out, const int64_t *costs, size_t count)
{
    char text[BATCH * 8];
    size_t used = 0;
    for (size_t i = 0; i < count; i++, used += 8) {
        if (used == sizeof(text)) {
            strbuf_append(out, text, used);
            used = 0;
        }
        store(text + used, (uint64_t)costs[i], 8);
    }
    strbuf_append(out, text, used);
}

/* As the bits of an IEEE 754 double. */
static void put_prices(struct strbuf *out, const double *price, int count)
{
    for (int i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &price[i], sizeof(bits));
        put(out, bits, 8);
    }
}

static void put_part(struct strbuf *out, const struct problem_part *part)
{
    put_text(out, part->name);
    put(out, (uint64_t)part->choice_count, 4);
    put(out, (uint64_t)(int64_t)part->current, 4);
    for (int i = 0; i < part->choice_count; i++) {
        const struct problem_choice *choice = &part->choices[i];
        put(out, (uint64_t)choice->site, 4);
        put(out, (uint64_t)choice->variant, 4);
        put(out, (uint64_t)choice->lead, 4);
        put_costs(out, choice->demand, RESOURCE_COUNT);
    }
    put_costs(out, part->cost, (size_t)part->choice_count);
    put_uses(out, part->use, part->use_count, (size_t)part->choice_count);
}

static void put_uses(struct strbuf *out, const struct problem_use *use, int use_count, size_t cells)
{
    size_t slots = use == NULL ? 0 : cells * (size_t)use_count;
    uint64_t count = 0;
    for (size_t i = 0; i < slots; i++) {
        count += use[i].meter >= 0;
    }
    put(out, count == 0 ? 0 : (uint64_t)use_count, 4);
    if (count == 0) {
        return;
    }
    put(out, count, 4);
    char text[BATCH * 16];
    size_t used = 0;
    for (size_t i = 0; i < slots; i++) {
        if (use[i].meter < 0) {
            continue;
        }
        if (used == sizeof(text)) {
            strbuf_append(out, text, used);
            used = 0;
        }
        store(text + used, i, 4);
        store(text + used + 4, (uint64_t)use[i].meter, 4);
        store(text + used + 8, (uint64_t)use[i].bytes, 8);
        used += 16;
    }
    strbuf_append(out, text, used);
}

static void put_rule(struct strbuf *out, const struct problem *problem,
                     const struct problem_rule *rule)
{
    put(out, (uint64_t)rule->kind, 4);
    put_text(out, rule->text);
    switch (rule->kind) {
    case RULE_CHOICES:
        put(out, (uint64_t)rule->a, 4);
        strbuf_append(out, (const char *)rule->allowed,
                      (size_t)problem->parts[rule->a].choice_count);
        return;
    case RULE_PAIR:
        put(out, (uint64_t)rule->a, 4);
        put(out, (uint64_t)rule->b, 4);
        strbuf_append(out, (const char *)rule->allowed, cells_of(problem, rule->a, rule->b));
        return;
    case RULE_APART:
        put(out, (uint64_t)rule->part_count, 4);
        for (int i = 0; i < rule->part_count; i++) {
            put(out, (uint64_t)rule->parts[i], 4);
        }
        return;
    case RULE_CAPACITY:
        put(out, (uint64_t)rule->site, 4);
        put(out, (uint64_t)rule->resource, 4);
        put(out, (uint64_t)rule->capacity, 8);
        return;
    }
    BERTH_ASSERT(false, "rule kind %d", (int)rule->kind);
}

static uint64_t get(struct reader *in, size_t bytes)
{
    if (in->failed || in->left < bytes) {
        (void)fail(in, ERR_INVALID, "it ends too early, bytes missing",
                   (long long)bytes - (long long)in->left);
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value |= (uint64_t)in->at[i] << (8 * i);
    }
    in->at += bytes;
    in->left -= bytes;
    return value;
}

/* A signed number of 4 or 8 bytes within [min, max]; min after a failure. */
static int64_t get_range(struct reader *in, size_t bytes, const char *what, int64_t min,
                         int64_t max)
{
    uint64_t raw = get(in, bytes);
    int64_t value = bytes == 4 ? (int64_t)(int32_t)(uint32_t)raw : (int64_t)raw;
    if (in->failed || value < min || value > max) {
        (void)fail(in, ERR_INVALID, what, (long long)value);
        return min;
    }
    return value;
}

/* A count at most `max`, of things that take at least bytes_each of the bytes that are left. */
static int get_count(struct reader *in, const char *what, int64_t max, size_t bytes_each)
{
    int64_t count = get_range(in, 4, what, 0, max);
    if (!in->failed && (size_t)count > in->left / bytes_each) {
        (void)fail(in, ERR_INVALID, what, (long long)count);
        return 0;
    }
    return (int)count;
}

static void get_text(struct reader *in, char *out, size_t capacity)
{
    size_t bytes = (size_t)get(in, 2);
    if (in->failed || bytes >= capacity || bytes > in->left ||
        memchr(in->at, '\0', bytes) != NULL) {
        (void)fail(in, ERR_INVALID, "text too long or not a text, bytes", (long long)bytes);
        return;
    }
    memcpy(out, in->at, bytes);
    out[bytes] = '\0';
    in->at += bytes;
    in->left -= bytes;
}

static void *get_memory(struct reader *in, size_t count, size_t bytes_each)
{
    if (in->failed) {
        return NULL;
    }
    void *memory = arena_array(in->arena, count == 0 ? 1 : count, bytes_each);
    if (memory == NULL) {
        (void)fail(in, ERR_NO_MEMORY, "no memory for things of its own count", (long long)count);
    }
    return memory;
}

static int64_t *get_costs(struct reader *in, size_t count)
{
    if (!in->failed && in->left / 8 < count) {
        (void)fail(in, ERR_INVALID, "it ends within a table of costs", (long long)count);
    }
    int64_t *costs = get_memory(in, count, sizeof(*costs));
    if (in->failed) {
        return costs;
    }
    for (size_t i = 0; i < count; i++) {
        costs[i] = load_long(in->at + 8 * i);
    }
    in->at += 8 * count;
    in->left -= 8 * count;
    return costs;
}

/* Finite, and `least` at least. */
static double *get_prices(struct reader *in, const char *what, int count, double least)
{
    if (!in->failed && in->left / 8 < (size_t)count) {
        (void)fail(in, ERR_INVALID, "it ends within prices", count);
    }
    double *price = get_memory(in, (size_t)count, sizeof(*price));
    for (int i = 0; i < count && !in->failed; i++) {
        uint64_t bits = get(in, 8);
        memcpy(&price[i], &bits, sizeof(bits));
        if (!isfinite(price[i]) || price[i] < least) {
            (void)fail(in, ERR_INVALID, what, i);
        }
    }
    return price;
}

static void get_part(struct reader *in, const struct problem *problem, struct problem_part *part)
{
    get_text(in, part->name, sizeof(part->name));
    part->choice_count = get_count(in, "choices", LIMIT_CHOICES, CHOICE_BYTES);
    if (!in->failed && part->choice_count == 0) {
        (void)fail(in, ERR_INVALID, "choices of a part", 0);
    }
    part->current = (int)get_range(in, 4, "current choice", -1, part->choice_count - 1);
    part->choices = get_memory(in, (size_t)part->choice_count, sizeof(*part->choices));
    for (int i = 0; i < part->choice_count && !in->failed; i++) {
        struct problem_choice *choice = &part->choices[i];
        choice->site = (int)get_range(in, 4, "choice's site", 0, problem->site_count - 1);
        choice->variant = (int)get_range(in, 4, "choice's variant", 0, INT32_MAX);
        choice->lead = (int)get_range(in, 4, "choice's lead", 0, problem->part_count - 1);
        for (int k = 0; k < RESOURCE_COUNT; k++) {
            choice->demand[k] = get_range(in, 8, "demand", 0, INT64_MAX);
        }
    }
    part->cost = get_costs(in, (size_t)part->choice_count);
    part->use = get_uses(in, (size_t)part->choice_count, problem->meter_count, &part->use_count);
}

static struct problem_use *get_uses(struct reader *in, size_t cells, int meter_count,
                                    int *ret_use_count)
{
    int use_count = (int)get_range(in, 4, "uses of a cell", 0, LIMIT_USES);
    if (in->failed || use_count == 0) {
        return NULL;
    }
    size_t slots = cells * (size_t)use_count;
    int count = get_count(in, "uses", slots < INT32_MAX ? (int64_t)slots : INT32_MAX, 16);
    if (!in->failed && count == 0) {
        (void)fail(in, ERR_INVALID, "no use, in cells that have", use_count);
    }
    struct problem_use *use = get_memory(in, slots, sizeof(*use));
    for (size_t i = 0; i < slots && !in->failed; i++) {
        use[i].meter = -1;
    }
    *ret_use_count = use_count;
    for (int i = 0; i < count && !in->failed; i++) { /* get_count has seen that they are there */
        int32_t slot = load_int(in->at);
        int32_t meter = load_int(in->at + 4);
        int64_t bytes = load_long(in->at + 8);
        if (slot < 0 || (size_t)slot >= slots) {
            (void)fail(in, ERR_INVALID, "use's cell", slot);
        } else if (meter < 0 || meter >= meter_count) {
            (void)fail(in, ERR_INVALID, "use's meter", meter);
        } else if (bytes < 0) {
            (void)fail(in, ERR_INVALID, "use's bytes", (long long)bytes);
        } else {
            use[slot] = (struct problem_use){.meter = meter, .bytes = bytes};
        }
        in->at += 16;
        in->left -= 16;
    }
    return use;
}

static bool *get_allowed(struct reader *in, size_t count)
{
    if (!in->failed && in->left < count) {
        (void)fail(in, ERR_INVALID, "it ends within a rule's table", (long long)count);
    }
    bool *allowed = get_memory(in, count, sizeof(*allowed));
    for (size_t i = 0; i < count && !in->failed; i++) {
        uint64_t value = get(in, 1);
        if (value > 1) {
            (void)fail(in, ERR_INVALID, "allowed is 0 or 1", (long long)value);
        }
        allowed[i] = value == 1;
    }
    return allowed;
}

static void get_meter(struct reader *in, struct problem_meter *meter)
{
    get_text(in, meter->name, sizeof(meter->name));
    meter->base_bytes = get_range(in, 8, "month to date", 0, INT64_MAX);
    meter->per_bytes = get_range(in, 8, "bytes per price", 1, INT64_MAX);
    meter->tier_count = (int)get_range(in, 4, "tiers", 1, LIMIT_TIERS);
    int64_t low = 0;
    for (int i = 0; i < meter->tier_count && !in->failed; i++) {
        bool last = i == meter->tier_count - 1;
        low = get_range(in, 8, "tier's end", last ? INT64_MAX : low + 1,
                        last ? INT64_MAX : INT64_MAX - 1);
        meter->up_to_bytes[i] = low;
    }
    for (int i = 0; i < meter->tier_count && !in->failed; i++) {
        meter->price_nusd[i] = get_range(in, 8, "price", INT64_MIN, INT64_MAX);
    }
}

static void get_rule(struct reader *in, const struct problem *problem, struct problem_rule *rule)
{
    int64_t part_max = problem->part_count - 1;
    rule->kind = (enum rule_kind)get_range(in, 4, "rule's kind", 0, RULE_CAPACITY);
    get_text(in, rule->text, sizeof(rule->text));
    switch (rule->kind) {
    case RULE_CHOICES:
        rule->a = (int)get_range(in, 4, "rule's part", 0, part_max);
        if (!in->failed) {
            rule->allowed = get_allowed(in, (size_t)problem->parts[rule->a].choice_count);
        }
        return;
    case RULE_PAIR:
        rule->a = (int)get_range(in, 4, "rule's part", 0, part_max);
        rule->b = (int)get_range(in, 4, "rule's part", 0, part_max);
        if (rule->a == rule->b) {
            (void)fail(in, ERR_INVALID, "pair rule of a part with itself", rule->a);
        }
        if (!in->failed) {
            rule->allowed = get_allowed(in, cells_of(problem, rule->a, rule->b));
        }
        return;
    case RULE_APART:
        rule->part_count = get_count(in, "rule's parts", problem->part_count, 4);
        rule->parts = get_memory(in, (size_t)rule->part_count, sizeof(*rule->parts));
        for (int i = 0; i < rule->part_count && !in->failed; i++) {
            rule->parts[i] = (int)get_range(in, 4, "rule's part", 0, part_max);
        }
        return;
    case RULE_CAPACITY:
        rule->site = (int)get_range(in, 4, "rule's site", 0, problem->site_count - 1);
        rule->resource = (enum resource)get_range(in, 4, "rule's resource", 0, RESOURCE_COUNT - 1);
        rule->capacity = get_range(in, 8, "capacity", INT64_MIN, INT64_MAX);
        return;
    }
}

/* Only the first failure is reported: what follows it is its consequence. */
static int fail(struct reader *in, int code, const char *what, long long value)
{
    if (!in->failed) {
        in->failed = true;
        (void)error_set(in->err, code, 0, "frame: %s: %lld is not allowed here", what, value);
    }
    return code;
}
