/*
 * The frames of problem.h. A text is a 16-bit length and its bytes; tables are as problem_frame.h
 * says. A reader never allocates more than a bounded multiple of the bytes it was given: each count
 * is compared with its limit and with what the rest of the frame could hold.
 */
#include "model/problem.h"

#include <endian.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/str.h"
#include "model/problem_frame.h"

#define PROBLEM_MAGIC  UINT32_C(0x33505242) /* "BRP3" */
#define SOLUTION_MAGIC UINT32_C(0x32535242) /* "BRS2" */

/* Counts that a frame may state. The exact solver is for small problems; these only bound memory.
 */
#define PARTS_MAX  65536
#define PAIRS_MAX  262144
#define METERS_MAX 65536
#define RULES_MAX  262144

/* Of a choice: site, variant, lead, demands. A part has at least one, and a pair at least one cell.
 */
#define CHOICE_BYTES   (16 + 8 * RESOURCE_COUNT)
#define PART_BYTES_MIN (14 + CHOICE_BYTES + 8 + 4)
#define PAIR_BYTES_MIN (8 + 8 + 4)

static void put_text(struct strbuf *out, const char *text);
static void put_part(struct strbuf *out, size_t from, const struct problem_part *part);
static void put_prices(struct strbuf *out, const double *price, int count);
static void put_rule(struct strbuf *out, const struct problem *problem,
                     const struct problem_rule *rule);
static void get_text(struct frame_reader *in, char *out, size_t capacity);
static double *get_prices(struct frame_reader *in, const char *what, int count, double least);
static void get_part(struct frame_reader *in, const struct problem *problem,
                     struct problem_part *part);
static void get_meter(struct frame_reader *in, struct problem_meter *meter);
static void get_rule(struct frame_reader *in, const struct problem *problem,
                     struct problem_rule *rule);

void problem_encode(const struct problem *problem, struct strbuf *out)
{
    size_t from = out->bytes;
    frame_put(out, PROBLEM_MAGIC, 4);
    frame_put(out, (uint64_t)problem->site_count, 4);
    frame_put(out, (uint64_t)problem->meter_count, 4);
    frame_put(out, (uint64_t)problem->part_count, 4);
    frame_put(out, (uint64_t)problem->pair_count, 4);
    frame_put(out, (uint64_t)problem->rule_count, 4);
    for (int i = 0; i < problem->site_count; i++) {
        put_text(out, problem->site_names[i]);
    }
    for (int i = 0; i < problem->meter_count; i++) {
        const struct problem_meter *meter = &problem->meters[i];
        put_text(out, meter->name);
        frame_put_tiers(out, meter);
    }
    for (int i = 0; i < problem->part_count; i++) {
        put_part(out, from, &problem->parts[i]);
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        frame_put(out, (uint64_t)pair->a, 4);
        frame_put(out, (uint64_t)pair->b, 4);
        size_t cells = frame_cells(problem, pair->a, pair->b);
        frame_put_align(out, from);
        frame_put_costs(out, pair->cost, cells);
        frame_put_uses(out, from, pair->use, pair->use_count, cells);
    }
    for (int i = 0; i < problem->rule_count; i++) {
        put_rule(out, problem, &problem->rules[i]);
    }
}

int problem_decode(const void *bytes, size_t count, struct arena *arena,
                   struct problem *ret_problem, struct error *err)
{
    struct frame_reader in = {
        .start = bytes, .at = bytes, .left = count, .arena = arena, .err = err};
    struct problem problem = {0};
    if (frame_get(&in, 4) != PROBLEM_MAGIC && !in.failed) {
        return error_set(err, ERR_INVALID, 0, "problem frame: it does not start with \"BRP3\"");
    }
    problem.site_count = (int)frame_get_range(&in, 4, "sites", 1, LIMIT_SITES);
    size_t sites = in.failed ? 1 : (size_t)problem.site_count;
    problem.meter_count = frame_get_count(&in, "meters", METERS_MAX, 22);
    problem.part_count = frame_get_count(&in, "parts", PARTS_MAX, PART_BYTES_MIN);
    problem.pair_count = frame_get_count(&in, "pairs", PAIRS_MAX, PAIR_BYTES_MIN);
    problem.rule_count = frame_get_count(&in, "rules", RULES_MAX, 6);
    problem.site_names = frame_get_memory(&in, sites, sizeof(*problem.site_names));
    problem.meters = frame_get_memory(&in, (size_t)problem.meter_count, sizeof(*problem.meters));
    problem.parts = frame_get_memory(&in, (size_t)problem.part_count, sizeof(*problem.parts));
    problem.pairs = frame_get_memory(&in, (size_t)problem.pair_count, sizeof(*problem.pairs));
    problem.rules = frame_get_memory(&in, (size_t)problem.rule_count, sizeof(*problem.rules));
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
        pair->a = (int)frame_get_range(&in, 4, "pair's part", 0, problem.part_count - 1);
        pair->b = (int)frame_get_range(&in, 4, "pair's part", 0, problem.part_count - 1);
        if (!in.failed && pair->a == pair->b) {
            return frame_fail(&in, ERR_INVALID, "pair of a part with itself", pair->a);
        }
        size_t cells = in.failed ? 1 : frame_cells(&problem, pair->a, pair->b);
        frame_get_align(&in);
        pair->cost = frame_get_costs(&in, cells);
        pair->use = frame_get_uses(&in, cells, problem.meter_count, &pair->use_count);
    }
    for (int i = 0; i < problem.rule_count && !in.failed; i++) {
        get_rule(&in, &problem, &problem.rules[i]);
    }
    if (!in.failed && in.left > 0) {
        return frame_fail(&in, ERR_INVALID, "bytes after the end", (long long)in.left);
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
    frame_put(out, SOLUTION_MAGIC, 4);
    frame_put(out, (uint64_t)solution->status, 4);
    frame_put(out, (uint64_t)solution->cost_nusd, 8);
    frame_put(out, (uint64_t)solution->bound_nusd, 8);
    frame_put(out, (uint64_t)solution->nodes, 8);
    frame_put(out, (uint64_t)parts, 4);
    for (int i = 0; i < parts; i++) {
        frame_put(out, (uint64_t)solution->choice[i], 4);
    }
    frame_put(out, (uint64_t)solution->conflict_count, 4);
    for (int i = 0; i < solution->conflict_count; i++) {
        frame_put(out, (uint64_t)solution->conflict[i], 4);
    }
    bool priced = solution->price != NULL && solution->meter_price != NULL;
    frame_put(out, priced, 1);
    if (priced) {
        put_prices(out, solution->price, problem->rule_count);
        put_prices(out, solution->meter_price, problem->meter_count);
    }
    put_text(out, solution->text);
}

int solution_decode(const void *bytes, size_t count, const struct problem *problem,
                    struct arena *arena, struct solution *ret_solution, struct error *err)
{
    struct frame_reader in = {
        .start = bytes, .at = bytes, .left = count, .arena = arena, .err = err};
    struct solution solution = {0};
    if (frame_get(&in, 4) != SOLUTION_MAGIC && !in.failed) {
        return error_set(err, ERR_INVALID, 0, "solution frame: it does not start with \"BRS2\"");
    }
    solution.status = (enum solve_status)frame_get_range(&in, 4, "status", 0, SOLVE_NONE);
    solution.cost_nusd = (int64_t)frame_get(&in, 8);
    solution.bound_nusd = (int64_t)frame_get(&in, 8);
    solution.nodes = frame_get_range(&in, 8, "nodes", 0, INT64_MAX);
    bool placed = solution.status == SOLVE_OPTIMAL || solution.status == SOLVE_FEASIBLE;
    int parts = placed ? problem->part_count : 0;
    (void)frame_get_range(&in, 4, "placed parts", parts, parts);
    if (placed) {
        solution.choice = frame_get_memory(&in, (size_t)parts, sizeof(*solution.choice));
    }
    for (int i = 0; i < parts && !in.failed; i++) {
        solution.choice[i] =
            (int)frame_get_range(&in, 4, "choice", 0, problem->parts[i].choice_count - 1);
    }
    int conflicts_max = solution.status == SOLVE_INFEASIBLE ? problem->rule_count : 0;
    solution.conflict_count = frame_get_count(&in, "conflicting rules", conflicts_max, 4);
    solution.conflict =
        frame_get_memory(&in, (size_t)solution.conflict_count, sizeof(*solution.conflict));
    for (int i = 0; i < solution.conflict_count && !in.failed; i++) {
        solution.conflict[i] = (int)frame_get_range(&in, 4, "rule", 0, problem->rule_count - 1);
    }
    if (frame_get_range(&in, 1, "with prices", 0, 1) == 1) {
        solution.price = get_prices(&in, "a rule's price", problem->rule_count, 0);
        solution.meter_price = get_prices(&in, "a meter's price", problem->meter_count, -INFINITY);
    }
    get_text(&in, solution.text, sizeof(solution.text));
    if (!in.failed && placed && solution.bound_nusd > solution.cost_nusd) {
        return frame_fail(&in, ERR_INVALID, "bound above the cost", solution.bound_nusd);
    }
    if (!in.failed && in.left > 0) {
        return frame_fail(&in, ERR_INVALID, "bytes after the end", (long long)in.left);
    }
    if (in.failed) {
        return err != NULL ? err->code : ERR_INVALID;
    }
    *ret_solution = solution;
    return 0;
}

static void put_text(struct strbuf *out, const char *text)
{
    size_t bytes = strlen(text);
    BERTH_ASSERT(bytes <= UINT16_MAX, "a name of %zu bytes", bytes);
    frame_put(out, bytes, 2);
    strbuf_append(out, text, bytes);
}

/* As the bits of an IEEE 754 double. */
static void put_prices(struct strbuf *out, const double *price, int count)
{
    for (int i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &price[i], sizeof(bits));
        frame_put(out, bits, 8);
    }
}

static void put_part(struct strbuf *out, size_t from, const struct problem_part *part)
{
    put_text(out, part->name);
    frame_put(out, (uint64_t)part->choice_count, 4);
    frame_put(out, (uint64_t)(int64_t)part->current, 4);
    frame_put_choices(out, from, part->choices, part->choice_count);
    frame_put_costs(out, part->cost, (size_t)part->choice_count);
    frame_put_uses(out, from, part->use, part->use_count, (size_t)part->choice_count);
}

static void put_rule(struct strbuf *out, const struct problem *problem,
                     const struct problem_rule *rule)
{
    frame_put(out, (uint64_t)rule->kind, 4);
    put_text(out, rule->text);
    switch (rule->kind) {
    case RULE_CHOICES:
        frame_put(out, (uint64_t)rule->a, 4);
        strbuf_append(out, (const char *)rule->allowed,
                      (size_t)problem->parts[rule->a].choice_count);
        return;
    case RULE_PAIR:
        frame_put(out, (uint64_t)rule->a, 4);
        frame_put(out, (uint64_t)rule->b, 4);
        strbuf_append(out, (const char *)rule->allowed, frame_cells(problem, rule->a, rule->b));
        return;
    case RULE_APART:
        frame_put(out, (uint64_t)rule->part_count, 4);
        for (int i = 0; i < rule->part_count; i++) {
            frame_put(out, (uint64_t)rule->parts[i], 4);
        }
        return;
    case RULE_CAPACITY:
        frame_put(out, (uint64_t)rule->site, 4);
        frame_put(out, (uint64_t)rule->resource, 4);
        frame_put(out, (uint64_t)rule->capacity, 8);
        return;
    }
    BERTH_ASSERT(false, "rule kind %d", (int)rule->kind);
}

static void get_text(struct frame_reader *in, char *out, size_t capacity)
{
    size_t bytes = (size_t)frame_get(in, 2);
    if (in->failed || bytes >= capacity || bytes > in->left ||
        memchr(in->at, '\0', bytes) != NULL) {
        (void)frame_fail(in, ERR_INVALID, "text too long or not a text, bytes", (long long)bytes);
        return;
    }
    memcpy(out, in->at, bytes);
    out[bytes] = '\0';
    in->at += bytes;
    in->left -= bytes;
}

/* Finite, and `least` at least. */
static double *get_prices(struct frame_reader *in, const char *what, int count, double least)
{
    if (!in->failed && in->left / 8 < (size_t)count) {
        (void)frame_fail(in, ERR_INVALID, "it ends within prices", count);
    }
    double *price = frame_get_memory(in, (size_t)count, sizeof(*price));
    for (int i = 0; i < count && !in->failed; i++) {
        uint64_t bits = frame_get(in, 8);
        memcpy(&price[i], &bits, sizeof(bits));
        if (!isfinite(price[i]) || price[i] < least) {
            (void)frame_fail(in, ERR_INVALID, what, i);
        }
    }
    return price;
}

static void get_part(struct frame_reader *in, const struct problem *problem,
                     struct problem_part *part)
{
    get_text(in, part->name, sizeof(part->name));
    part->choice_count = frame_get_count(in, "choices", LIMIT_CHOICES, CHOICE_BYTES);
    if (!in->failed && part->choice_count == 0) {
        (void)frame_fail(in, ERR_INVALID, "choices of a part", 0);
    }
    part->current = (int)frame_get_range(in, 4, "current choice", -1, part->choice_count - 1);
    part->choices = frame_get_choices(in, problem, part->choice_count);
    part->cost = frame_get_costs(in, (size_t)part->choice_count);
    part->use =
        frame_get_uses(in, (size_t)part->choice_count, problem->meter_count, &part->use_count);
}

static void get_meter(struct frame_reader *in, struct problem_meter *meter)
{
    get_text(in, meter->name, sizeof(meter->name));
    frame_get_tiers(in, meter);
}

static void get_rule(struct frame_reader *in, const struct problem *problem,
                     struct problem_rule *rule)
{
    int64_t part_max = problem->part_count - 1;
    rule->kind = (enum rule_kind)frame_get_range(in, 4, "rule's kind", 0, RULE_CAPACITY);
    get_text(in, rule->text, sizeof(rule->text));
    switch (rule->kind) {
    case RULE_CHOICES:
        rule->a = (int)frame_get_range(in, 4, "rule's part", 0, part_max);
        if (!in->failed) {
            rule->allowed = frame_get_allowed(in, (size_t)problem->parts[rule->a].choice_count);
        }
        return;
    case RULE_PAIR:
        rule->a = (int)frame_get_range(in, 4, "rule's part", 0, part_max);
        rule->b = (int)frame_get_range(in, 4, "rule's part", 0, part_max);
        if (rule->a == rule->b) {
            (void)frame_fail(in, ERR_INVALID, "pair rule of a part with itself", rule->a);
        }
        if (!in->failed) {
            rule->allowed = frame_get_allowed(in, frame_cells(problem, rule->a, rule->b));
        }
        return;
    case RULE_APART:
        rule->part_count = frame_get_count(in, "rule's parts", problem->part_count, 4);
        rule->parts = frame_get_memory(in, (size_t)rule->part_count, sizeof(*rule->parts));
        for (int i = 0; i < rule->part_count && !in->failed; i++) {
            rule->parts[i] = (int)frame_get_range(in, 4, "rule's part", 0, part_max);
        }
        return;
    case RULE_CAPACITY:
        rule->site = (int)frame_get_range(in, 4, "rule's site", 0, problem->site_count - 1);
        rule->resource =
            (enum resource)frame_get_range(in, 4, "rule's resource", 0, RESOURCE_COUNT - 1);
        rule->capacity = frame_get_range(in, 8, "capacity", INT64_MIN, INT64_MAX);
        return;
    }
}
