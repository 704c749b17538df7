#include "model/problem_delta.h"

#include <string.h>

#include "model/problem_frame.h"

#define DELTA_MAGIC UINT32_C(0x33445242) /* "BRD3" */

/* Of an entry at least: a meter of one tier, a part of one choice, a pair of one cell, a capacity.
 */
#define METER_BYTES_MIN 40
#define PART_BYTES_MIN  20
#define PAIR_BYTES_MIN  16
#define RULE_BYTES      12

static bool is_alike(const struct problem *base, const struct problem *other);
static bool rule_is_alike(const struct problem *base, const struct problem_rule *a,
                          const struct problem_rule *b);
static void put_meters(const struct problem *base, const struct problem *other, struct strbuf *out);
static void put_parts(const struct problem *base, const struct problem *other, size_t from,
                      struct strbuf *out);
static void put_pairs(const struct problem *base, const struct problem *other, size_t from,
                      struct strbuf *out);
static void put_rules(const struct problem *base, const struct problem *other, struct strbuf *out);
static bool same(const void *a, const void *b, size_t bytes);
static bool same_meter(const struct problem_meter *a, const struct problem_meter *b);
static bool same_uses(const struct problem_use *a, int a_count, const struct problem_use *b,
                      int b_count, size_t cells);
static size_t count_begin(struct strbuf *out);
static void count_end(struct strbuf *out, size_t at, uint32_t count);
static void get_meters(struct frame_reader *in, struct problem *problem);
static void get_parts(struct frame_reader *in, struct problem *problem);
static void get_pairs(struct frame_reader *in, struct problem *problem);
static void get_rules(struct frame_reader *in, struct problem *problem);
static void *own(struct frame_reader *in, const void *of_base, int changed, int count,
                 size_t bytes_each);

bool problem_delta_encode(const struct problem *base, const struct problem *other,
                          struct strbuf *out)
{
    if (!is_alike(base, other)) {
        return false;
    }
    size_t from = out->bytes;
    frame_put(out, DELTA_MAGIC, 4);
    put_meters(base, other, out);
    put_parts(base, other, from, out);
    put_pairs(base, other, from, out);
    put_rules(base, other, out);
    return true;
}

int problem_delta_decode(const void *bytes, size_t count, const struct problem *base,
                         struct arena *arena, struct problem *ret_problem, struct error *err)
{
    struct error own_err = {0};
    struct frame_reader in = {.start = bytes,
                              .at = bytes,
                              .left = count,
                              .arena = arena,
                              .err = err != NULL ? err : &own_err};
    struct problem problem = *base;
    if (frame_get(&in, 4) != DELTA_MAGIC && !in.failed) {
        return error_set(err, ERR_INVALID, 0, "delta frame: it does not start with \"BRD3\"");
    }
    get_meters(&in, &problem);
    get_parts(&in, &problem);
    get_pairs(&in, &problem);
    get_rules(&in, &problem);
    if (!in.failed && in.left > 0) {
        return frame_fail(&in, ERR_INVALID, "bytes after the end", (long long)in.left);
    }
    if (in.failed) {
        return in.err->code;
    }
    *ret_problem = problem;
    return 0;
}

/* ---- structure ---- */

static bool is_alike(const struct problem *base, const struct problem *other)
{
    if (base->part_count != other->part_count || base->site_count != other->site_count ||
        base->pair_count != other->pair_count || base->meter_count != other->meter_count ||
        base->rule_count != other->rule_count) {
        return false;
    }
    for (int i = 0; i < base->part_count; i++) {
        const struct problem_part *a = &base->parts[i];
        const struct problem_part *b = &other->parts[i];
        if (a->choice_count != b->choice_count) {
            return false;
        }
        for (int c = 0; c < a->choice_count && a->choices != b->choices; c++) {
            const struct problem_choice *x = &a->choices[c];
            const struct problem_choice *y = &b->choices[c];
            int64_t differs = (x->site ^ y->site) | (x->variant ^ y->variant) | (x->lead ^ y->lead);
            for (int r = 0; r < RESOURCE_COUNT; r++) {
                differs |= x->demand[r] ^ y->demand[r];
            }
            if (differs != 0) {
                return false;
            }
        }
    }
    for (int i = 0; i < base->pair_count && base->pairs != other->pairs; i++) {
        if (base->pairs[i].a != other->pairs[i].a || base->pairs[i].b != other->pairs[i].b) {
            return false;
        }
    }
    for (int i = 0; i < base->rule_count && base->rules != other->rules; i++) {
        if (!rule_is_alike(base, &base->rules[i], &other->rules[i])) {
            return false;
        }
    }
    return true;
}

static bool rule_is_alike(const struct problem *base, const struct problem_rule *a,
                          const struct problem_rule *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case RULE_CHOICES:
        return a->a == b->a && same(a->allowed, b->allowed, (size_t)base->parts[a->a].choice_count);
    case RULE_PAIR:
        return a->a == b->a && a->b == b->b &&
               same(a->allowed, b->allowed, frame_cells(base, a->a, a->b));
    case RULE_APART:
        return a->part_count == b->part_count &&
               same(a->parts, b->parts, (size_t)a->part_count * sizeof(int));
    case RULE_CAPACITY:
        return a->site == b->site && a->resource == b->resource;
    }
    return false;
}

static bool same(const void *a, const void *b, size_t bytes)
{
    return a == b || bytes == 0 || memcmp(a, b, bytes) == 0;
}

static bool same_meter(const struct problem_meter *a, const struct problem_meter *b)
{
    size_t bytes = (size_t)a->tier_count * sizeof(int64_t);
    return a->base_bytes == b->base_bytes && a->per_bytes == b->per_bytes &&
           a->tier_count == b->tier_count && same(a->up_to_bytes, b->up_to_bytes, bytes) &&
           same(a->price_nusd, b->price_nusd, bytes);
}

static bool same_uses(const struct problem_use *a, int a_count, const struct problem_use *b,
                      int b_count, size_t cells)
{
    size_t slots = a == NULL ? 0 : cells * (size_t)a_count;
    if (a == b && a_count == b_count) {
        return true;
    }
    if (slots != (b == NULL ? 0 : cells * (size_t)b_count)) {
        return false;
    }
    for (size_t i = 0; i < slots; i++) {
        if (a[i].meter != b[i].meter || (a[i].meter >= 0 && a[i].bytes != b[i].bytes)) {
            return false;
        }
    }
    return true;
}

/* ---- writing ---- */

static void put_meters(const struct problem *base, const struct problem *other, struct strbuf *out)
{
    size_t at = count_begin(out);
    uint32_t count = 0;
    for (int i = 0; i < base->meter_count && base->meters != other->meters; i++) {
        if (!same_meter(&base->meters[i], &other->meters[i])) {
            frame_put(out, (uint64_t)i, 4);
            frame_put_tiers(out, &other->meters[i]);
            count++;
        }
    }
    count_end(out, at, count);
}

static void put_parts(const struct problem *base, const struct problem *other, size_t from,
                      struct strbuf *out)
{
    size_t at = count_begin(out);
    uint32_t count = 0;
    for (int i = 0; i < base->part_count && base->parts != other->parts; i++) {
        const struct problem_part *a = &base->parts[i];
        const struct problem_part *b = &other->parts[i];
        size_t cells = (size_t)b->choice_count;
        bool uses = same_uses(a->use, a->use_count, b->use, b->use_count, cells);
        if (uses && a->current == b->current && same(a->cost, b->cost, cells * sizeof(*a->cost))) {
            continue;
        }
        frame_put(out, (uint64_t)i, 4);
        frame_put(out, (uint64_t)(int64_t)b->current, 4);
        frame_put_align(out, from);
        frame_put_costs(out, b->cost, cells);
        frame_put(out, !uses, 4);
        if (!uses) {
            frame_put_uses(out, from, b->use, b->use_count, cells);
        }
        count++;
    }
    count_end(out, at, count);
}

static void put_pairs(const struct problem *base, const struct problem *other, size_t from,
                      struct strbuf *out)
{
    size_t at = count_begin(out);
    uint32_t count = 0;
    for (int i = 0; i < base->pair_count && base->pairs != other->pairs; i++) {
        const struct problem_pair *a = &base->pairs[i];
        const struct problem_pair *b = &other->pairs[i];
        size_t cells = frame_cells(base, a->a, a->b);
        bool uses = same_uses(a->use, a->use_count, b->use, b->use_count, cells);
        if (uses && same(a->cost, b->cost, cells * sizeof(*a->cost))) {
            continue;
        }
        frame_put(out, (uint64_t)i, 4);
        frame_put_align(out, from);
        frame_put_costs(out, b->cost, cells);
        frame_put(out, !uses, 4);
        if (!uses) {
            frame_put_uses(out, from, b->use, b->use_count, cells);
        }
        count++;
    }
    count_end(out, at, count);
}

static void put_rules(const struct problem *base, const struct problem *other, struct strbuf *out)
{
    size_t at = count_begin(out);
    uint32_t count = 0;
    for (int i = 0; i < base->rule_count && base->rules != other->rules; i++) {
        if (base->rules[i].kind == RULE_CAPACITY &&
            base->rules[i].capacity != other->rules[i].capacity) {
            frame_put(out, (uint64_t)i, 4);
            frame_put(out, (uint64_t)other->rules[i].capacity, 8);
            count++;
        }
    }
    count_end(out, at, count);
}

/* The place of a count that is known when what it counts has been written. */
static size_t count_begin(struct strbuf *out)
{
    size_t at = out->bytes;
    frame_put(out, 0, 4);
    return at;
}

static void count_end(struct strbuf *out, size_t at, uint32_t count)
{
    for (size_t i = 0; i < 4 && !out->broken; i++) {
        out->text[at + i] = (char)(unsigned char)(count >> (8 * i));
    }
}

/* ---- reading ---- */

/* A copy of the base's array where something in it is other. */
static void *own(struct frame_reader *in, const void *of_base, int changed, int count,
                 size_t bytes_each)
{
    if (changed == 0 || in->failed) {
        return NULL;
    }
    void *copy = arena_alloc_raw(in->arena, (size_t)count * bytes_each);
    if (copy == NULL) {
        (void)frame_fail(in, ERR_NO_MEMORY, "no memory for things of the base", count);
        return NULL;
    }
    memcpy(copy, of_base, (size_t)count * bytes_each);
    return copy;
}

static void get_meters(struct frame_reader *in, struct problem *problem)
{
    int changed = frame_get_count(in, "meters", problem->meter_count, METER_BYTES_MIN);
    struct problem_meter *meters =
        own(in, problem->meters, changed, problem->meter_count, sizeof(*meters));
    int last = -1;
    for (int k = 0; k < changed && !in->failed; k++) {
        int i = (int)frame_get_range(in, 4, "meter", last + 1, problem->meter_count - 1);
        if (!in->failed) {
            frame_get_tiers(in, &meters[i]);
            last = i;
        }
    }
    problem->meters = meters != NULL ? meters : problem->meters;
}

static void get_parts(struct frame_reader *in, struct problem *problem)
{
    int changed = frame_get_count(in, "parts", problem->part_count, PART_BYTES_MIN);
    struct problem_part *parts =
        own(in, problem->parts, changed, problem->part_count, sizeof(*parts));
    int last = -1;
    for (int k = 0; k < changed && !in->failed; k++) {
        int i = (int)frame_get_range(in, 4, "part", last + 1, problem->part_count - 1);
        if (in->failed) {
            break;
        }
        struct problem_part *part = &parts[i];
        size_t cells = (size_t)part->choice_count;
        part->current = (int)frame_get_range(in, 4, "current choice", -1, part->choice_count - 1);
        frame_get_align(in);
        part->cost = frame_get_costs(in, cells);
        if (frame_get_range(in, 4, "with uses", 0, 1) == 1) {
            part->use_count = 0;
            part->use = frame_get_uses(in, cells, problem->meter_count, &part->use_count);
        }
        last = i;
    }
    problem->parts = parts != NULL ? parts : problem->parts;
}

static void get_pairs(struct frame_reader *in, struct problem *problem)
{
    int changed = frame_get_count(in, "pairs", problem->pair_count, PAIR_BYTES_MIN);
    struct problem_pair *pairs =
        own(in, problem->pairs, changed, problem->pair_count, sizeof(*pairs));
    int last = -1;
    for (int k = 0; k < changed && !in->failed; k++) {
        int i = (int)frame_get_range(in, 4, "pair", last + 1, problem->pair_count - 1);
        if (in->failed) {
            break;
        }
        struct problem_pair *pair = &pairs[i];
        size_t cells = frame_cells(problem, pair->a, pair->b);
        frame_get_align(in);
        pair->cost = frame_get_costs(in, cells);
        if (frame_get_range(in, 4, "with uses", 0, 1) == 1) {
            pair->use_count = 0;
            pair->use = frame_get_uses(in, cells, problem->meter_count, &pair->use_count);
        }
        last = i;
    }
    problem->pairs = pairs != NULL ? pairs : problem->pairs;
}

static void get_rules(struct frame_reader *in, struct problem *problem)
{
    int changed = frame_get_count(in, "capacities", problem->rule_count, RULE_BYTES);
    struct problem_rule *rules =
        own(in, problem->rules, changed, problem->rule_count, sizeof(*rules));
    int last = -1;
    for (int k = 0; k < changed && !in->failed; k++) {
        int i = (int)frame_get_range(in, 4, "capacity", last + 1, problem->rule_count - 1);
        if (!in->failed && rules[i].kind != RULE_CAPACITY) {
            (void)frame_fail(in, ERR_INVALID, "capacity of a rule of another kind", i);
        }
        int64_t capacity = (int64_t)frame_get(in, 8);
        if (!in->failed) {
            rules[i].capacity = capacity;
            last = i;
        }
    }
    problem->rules = rules != NULL ? rules : problem->rules;
}
