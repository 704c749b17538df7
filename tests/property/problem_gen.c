#include "tests/property/problem_gen.h"

#include "base/str.h"

static void begin(struct problem *out, struct arena *arena, int parts, int sites, int pairs,
                  int meters, int rules);
static int app_size(const struct gen_app_shape *shape);
static void any_rule(struct gen_random *random, struct problem *out, struct problem_rule *rule,
                     struct arena *arena);
static void any_meter(struct gen_random *random, struct problem_meter *meter);
static void any_uses(struct gen_random *random, const struct problem *out, struct problem_use *use,
                     size_t slots);
static void app_pair(struct gen_random *random, const struct gen_app_shape *shape,
                     struct problem *out, struct arena *arena, int a, int b);
static void app_rules(struct gen_random *random, const struct gen_app_shape *shape,
                      struct problem *out, struct arena *arena);
static void identity(struct problem_part *part, int index, int sites, struct arena *arena);
static int sharers_of(int part, int family, int choice);
static void family_part(struct gen_random *random, int index, int family, int variants,
                        struct arena *arena, struct problem *out);
static void family_rule(int a, int b, int family, struct arena *arena,
                        const struct problem *problem, struct problem_rule *rule);
static void set_demand(struct problem_part *part, enum resource resource, int64_t demand);
static void *need(void *memory);

#define GIB  (INT64_C(1) << 30)
#define USES 4

void gen_seed(struct gen_random *random, uint64_t seed)
{
    random->state = hash_u64(HASH_SEED, seed) | 1;
}

uint64_t gen_below(struct gen_random *random, uint64_t limit)
{
    random->state ^= random->state << 13;
    random->state ^= random->state >> 7;
    random->state ^= random->state << 17;
    return (random->state >> 11) % limit;
}

bool gen_chance(struct gen_random *random, int percent)
{
    return (int)gen_below(random, 100) < percent;
}

void gen_any(uint64_t seed, int parts, int sites, struct arena *arena, struct problem *out)
{
    struct gen_random random;
    gen_seed(&random, seed);
    int pairs = parts < 2 ? 0 : (int)gen_below(&random, (uint64_t)parts * 2);
    int meters = (int)gen_below(&random, 3);
    int rules = (int)gen_below(&random, (uint64_t)(parts + sites + 2));
    begin(out, arena, parts, sites, pairs, meters, rules);
    /* Coarse costs make ties, fine ones do not. */
    int64_t step = gen_chance(&random, 30) ? INT64_C(1000000000) : 1;
    for (int i = 0; i < meters; i++) {
        any_meter(&random, &out->meters[i]);
    }
    for (int i = 0; i < parts; i++) {
        struct problem_part *part = &out->parts[i];
        part->current = (int)gen_below(&random, (uint64_t)sites + 1) - 1;
        set_demand(part, RESOURCE_CPU, (int64_t)gen_below(&random, 10) * 100);
        set_demand(part, RESOURCE_MEMORY, (int64_t)gen_below(&random, 8) * GIB + 1);
        for (int s = 0; s < sites; s++) {
            part->cost[s] =
                ((int64_t)gen_below(&random, 40) - 5) * INT64_C(1000000000) / step * step +
                (step == 1 ? (int64_t)gen_below(&random, 1000000000) : 0);
        }
        if (meters > 0 && gen_chance(&random, 30)) {
            part->use = need(arena_array(arena, (size_t)sites * (size_t)USES, sizeof(*part->use)));
            part->use_count = USES;
            any_uses(&random, out, part->use, (size_t)sites * (size_t)USES);
        }
    }
    for (int i = 0; i < pairs; i++) {
        struct problem_pair *pair = &out->pairs[i];
        size_t cells = (size_t)sites * (size_t)sites;
        pair->a = (int)gen_below(&random, (uint64_t)parts);
        pair->b = (pair->a + 1 + (int)gen_below(&random, (uint64_t)parts - 1)) % parts;
        pair->cost = need(arena_array(arena, cells, sizeof(*pair->cost)));
        for (size_t at = 0; at < cells; at++) {
            bool near = at % (size_t)(sites + 1) == 0;
            pair->cost[at] = near ? 0 : (int64_t)gen_below(&random, 20) * INT64_C(1000000000);
        }
        if (meters > 0 && gen_chance(&random, 60)) {
            pair->use = need(arena_array(arena, cells * (size_t)USES, sizeof(*pair->use)));
            pair->use_count = USES;
            any_uses(&random, out, pair->use, cells * (size_t)USES);
        }
    }
    for (int i = 0; i < rules; i++) {
        any_rule(&random, out, &out->rules[i], arena);
        str_format(out->rules[i].text, sizeof(out->rules[i].text), "rule %d", i);
    }
}

void gen_family(uint64_t seed, int family, int others, int sites, int variants, struct arena *arena,
                struct problem *out)
{
    struct gen_random random;
    gen_seed(&random, seed);
    int parts = family + others;
    int pairs = parts < 2 ? 0 : (int)gen_below(&random, (uint64_t)parts + 1);
    int meters = (int)gen_below(&random, 3);
    int agree = family * (family - 1) / 2;
    int rules = (int)gen_below(&random, 4);
    begin(out, arena, parts, sites, pairs, meters, agree + rules);
    for (int i = 0; i < meters; i++) {
        any_meter(&random, &out->meters[i]);
    }
    for (int i = 0; i < parts; i++) {
        family_part(&random, i, family, variants, arena, out);
    }
    for (int i = 0; i < pairs; i++) {
        struct problem_pair *pair = &out->pairs[i];
        pair->a = (int)gen_below(&random, (uint64_t)parts);
        pair->b = (pair->a + 1 + (int)gen_below(&random, (uint64_t)parts - 1)) % parts;
        size_t cells =
            (size_t)out->parts[pair->a].choice_count * (size_t)out->parts[pair->b].choice_count;
        pair->cost = need(arena_array(arena, cells, sizeof(*pair->cost)));
        for (size_t at = 0; at < cells; at++) {
            pair->cost[at] = ((int64_t)gen_below(&random, 20) - 10) * INT64_C(1000000000);
        }
        if (meters > 0 && gen_chance(&random, 60)) {
            pair->use_count = 1 + (int)gen_below(&random, 6);
            size_t slots = cells * (size_t)pair->use_count;
            pair->use = need(arena_array(arena, slots, sizeof(*pair->use)));
            any_uses(&random, out, pair->use, slots);
        }
    }
    for (int i = 0; i < rules; i++) {
        any_rule(&random, out, &out->rules[i], arena);
    }
    int next = rules;
    for (int a = 0; a < family; a++) {
        for (int b = a + 1; b < family; b++) {
            family_rule(a, b, family, arena, out, &out->rules[next++]);
        }
    }
    for (int i = 0; i < out->rule_count; i++) {
        str_format(out->rules[i].text, sizeof(out->rules[i].text), "rule %d", i);
    }
}

void gen_app(const struct gen_app_shape *shape, struct arena *arena, struct problem *out)
{
    struct gen_random random;
    gen_seed(&random, shape->seed);
    int chords = shape->parts * shape->chord_percent / 100;
    int each = app_size(shape);
    int providers = shape->tiers ? 3 : 0;
    begin(out, arena, shape->parts, shape->sites, shape->parts + chords, providers,
          2 * shape->parts + 2 * shape->sites);
    out->pair_count = 0;
    for (int i = 0; i < providers; i++) {
        /* The shape of public internet egress: 10 TiB, 50 TiB, 150 TiB, and beyond. */
        static const int64_t ends[] = {10240, 51200, 153600};
        static const int64_t cents[] = {90, 85, 70, 50};
        struct problem_meter *meter = &out->meters[i];
        meter->base_bytes = (int64_t)gen_below(&random, 12000) * GIB;
        meter->per_bytes = GIB;
        meter->tier_count = 4;
        for (int k = 0; k < 4; k++) {
            meter->up_to_bytes[k] = k < 3 ? ends[k] * GIB : INT64_MAX;
            meter->price_nusd[k] = cents[k] * INT64_C(1000000) + i * INT64_C(1000000);
        }
    }
    int64_t price[LIMIT_SITES];
    for (int s = 0; s < shape->sites; s++) {
        price[s] = 20 + (int64_t)gen_below(&random, 30);
    }
    for (int i = 0; i < shape->parts; i++) {
        struct problem_part *part = &out->parts[i];
        int64_t cpu = 250 * (1 + (int64_t)gen_below(&random, 16));
        set_demand(part, RESOURCE_CPU, cpu);
        set_demand(part, RESOURCE_MEMORY, (1 + (int64_t)gen_below(&random, 16)) * GIB);
        part->current = (int)gen_below(&random, (uint64_t)shape->sites);
        for (int s = 0; s < shape->sites; s++) {
            int64_t noise = (int64_t)gen_below(&random, 4000000000);
            int64_t moving = s == part->current ? 0 : INT64_C(1500000000);
            part->cost[s] = cpu * price[s] * INT64_C(730000) + noise + moving;
        }
    }
    for (int i = 1; i < shape->parts; i++) {
        int root = i / each * each;
        if (i > root) {
            app_pair(&random, shape, out, arena,
                     root + (int)gen_below(&random, (uint64_t)(i - root)), i);
        }
    }
    for (int i = 0; i < chords; i++) {
        int a = (int)gen_below(&random, (uint64_t)shape->parts);
        int near = a / each * each;
        int span = shape->parts - near < each ? shape->parts - near : each;
        int b = near + (int)gen_below(&random, (uint64_t)span);
        if (a != b) {
            app_pair(&random, shape, out, arena, a, b);
        }
    }
    app_rules(&random, shape, out, arena);
}

static int app_size(const struct gen_app_shape *shape)
{
    return shape->app_parts > 0 ? shape->app_parts : 12;
}

static void begin(struct problem *out, struct arena *arena, int parts, int sites, int pairs,
                  int meters, int rules)
{
    *out = (struct problem){.part_count = parts,
                            .site_count = sites,
                            .pair_count = pairs,
                            .meter_count = meters,
                            .rule_count = rules};
    out->parts = need(arena_array(arena, (size_t)parts + 1, sizeof(*out->parts)));
    out->site_names = need(arena_array(arena, (size_t)sites, sizeof(*out->site_names)));
    out->pairs = need(arena_array(arena, (size_t)pairs + 1, sizeof(*out->pairs)));
    out->meters = need(arena_array(arena, (size_t)meters + 1, sizeof(*out->meters)));
    out->rules = need(arena_array(arena, (size_t)rules + 1, sizeof(*out->rules)));
    for (int i = 0; i < sites; i++) {
        str_format(out->site_names[i], sizeof(out->site_names[i]), "cloud/site-%d", i);
    }
    for (int i = 0; i < parts; i++) {
        str_format(out->parts[i].name, sizeof(out->parts[i].name), "test/app/part-%d", i);
        identity(&out->parts[i], i, sites, arena);
    }
    for (int i = 0; i < meters; i++) {
        str_format(out->meters[i].name, sizeof(out->meters[i].name), "meter-%d", i);
    }
}

/* One choice for each site. */
static void identity(struct problem_part *part, int index, int sites, struct arena *arena)
{
    part->choice_count = sites;
    part->choices = need(arena_array(arena, (size_t)sites, sizeof(*part->choices)));
    part->cost = need(arena_array(arena, (size_t)sites, sizeof(*part->cost)));
    for (int s = 0; s < sites; s++) {
        part->choices[s] = (struct problem_choice){.site = s, .lead = index};
    }
}

/* The sharers of a choice of part `part`, itself among them: sets are counted without it. */
static int sharers_of(int part, int family, int choice)
{
    int sets = part < family ? 1 << (family - 1) : 1;
    int rest = choice % sets;
    int low = rest & ((1 << part) - 1);
    return part < family ? low | 1 << part | (rest - low) << 1 : 1 << part;
}

static void family_part(struct gen_random *random, int index, int family, int variants,
                        struct arena *arena, struct problem *out)
{
    struct problem_part *part = &out->parts[index];
    int sets = index < family ? 1 << (family - 1) : 1;
    int64_t cpu = (int64_t)gen_below(random, 10) * 100;
    part->choice_count = out->site_count * variants * sets;
    size_t count = (size_t)part->choice_count;
    part->choices = need(arena_array(arena, count, sizeof(*part->choices)));
    part->cost = need(arena_array(arena, count, sizeof(*part->cost)));
    part->current = (int)gen_below(random, count + 1) - 1;
    for (int c = 0; c < part->choice_count; c++) {
        int lead = 0;
        while ((sharers_of(index, family, c) >> lead & 1) == 0) {
            lead++;
        }
        part->choices[c] = (struct problem_choice){
            .site = c / sets / variants, .variant = c / sets % variants, .lead = lead};
        if (lead == index) {
            part->choices[c].demand[RESOURCE_CPU] = cpu;
            part->choices[c].demand[RESOURCE_MEMORY] =
                cpu * (GIB / 256) * (1 + c / sets % variants);
        }
        part->cost[c] = ((int64_t)gen_below(random, 60) - 30) * INT64_C(1000000000) +
                        (int64_t)gen_below(random, 1000000000);
    }
    if (out->meter_count > 0 && gen_chance(random, 40)) {
        part->use_count = 1 + (int)gen_below(random, 8);
        size_t slots = count * (size_t)part->use_count;
        part->use = need(arena_array(arena, slots, sizeof(*part->use)));
        any_uses(random, out, part->use, slots);
    }
}

/* Two of a family share all or nothing: the same set, site and variant, or neither names the other.
 */
static void family_rule(int a, int b, int family, struct arena *arena,
                        const struct problem *problem, struct problem_rule *rule)
{
    int count_a = problem->parts[a].choice_count;
    int count_b = problem->parts[b].choice_count;
    int sets = 1 << (family - 1);
    *rule = (struct problem_rule){.kind = RULE_PAIR, .a = a, .b = b, .site = -1};
    rule->allowed = need(arena_array(arena, (size_t)count_a * (size_t)count_b, sizeof(bool)));
    for (int s = 0; s < count_a; s++) {
        for (int t = 0; t < count_b; t++) {
            int with_a = sharers_of(a, family, s);
            int with_b = sharers_of(b, family, t);
            bool names = (with_a >> b & 1) != 0 || (with_b >> a & 1) != 0;
            rule->allowed[s * count_b + t] = !names || (with_a == with_b && s / sets == t / sets);
        }
    }
}

static void set_demand(struct problem_part *part, enum resource resource, int64_t demand)
{
    for (int c = 0; c < part->choice_count; c++) {
        part->choices[c].demand[resource] = demand;
    }
}

static void any_rule(struct gen_random *random, struct problem *out, struct problem_rule *rule,
                     struct arena *arena)
{
    uint64_t sites = (uint64_t)out->site_count;
    uint64_t parts = (uint64_t)out->part_count;
    uint64_t choices;
    rule->kind = (enum rule_kind)gen_below(random, 4);
    if (parts < 2 && rule->kind != RULE_CAPACITY) {
        rule->kind = RULE_CHOICES;
    }
    switch (rule->kind) {
    case RULE_CHOICES:
        rule->a = (int)gen_below(random, parts);
        choices = (uint64_t)out->parts[rule->a].choice_count;
        rule->allowed = need(arena_array(arena, choices, sizeof(bool)));
        for (uint64_t s = 0; s < choices; s++) {
            rule->allowed[s] = gen_chance(random, 70);
        }
        return;
    case RULE_PAIR:
        rule->a = (int)gen_below(random, parts);
        rule->b = (rule->a + 1 + (int)gen_below(random, parts - 1)) % (int)parts;
        choices =
            (uint64_t)out->parts[rule->a].choice_count * (uint64_t)out->parts[rule->b].choice_count;
        rule->allowed = need(arena_array(arena, choices, sizeof(bool)));
        for (uint64_t s = 0; s < choices; s++) {
            rule->allowed[s] = gen_chance(random, 60);
        }
        return;
    case RULE_APART:
        rule->part_count = 2 + (int)gen_below(random, parts - 1);
        rule->parts = need(arena_array(arena, (size_t)rule->part_count, sizeof(int)));
        for (int i = 0; i < rule->part_count; i++) {
            rule->parts[i] = (int)gen_below(random, parts);
        }
        return;
    case RULE_CAPACITY:
        rule->site = (int)gen_below(random, sites);
        rule->resource = (enum resource)gen_below(random, RESOURCE_COUNT);
        rule->capacity = rule->resource == RESOURCE_CPU ? 100 * (int64_t)gen_below(random, 25)
                                                        : GIB * (int64_t)gen_below(random, 20) + 2;
        return;
    }
}

/* Prices that fall, rise, or do both; tiers that the volumes of any_uses straddle. */
static void any_meter(struct gen_random *random, struct problem_meter *meter)
{
    int shape = (int)gen_below(random, 3);
    meter->base_bytes = (int64_t)gen_below(random, 200) * GIB;
    meter->per_bytes = gen_chance(random, 50) ? GIB : INT64_C(1000000000);
    meter->tier_count = 1 + (int)gen_below(random, 4);
    int64_t end = 0;
    int64_t price = INT64_C(100000000);
    for (int i = 0; i < meter->tier_count; i++) {
        end += (1 + (int64_t)gen_below(random, 150)) * GIB + (int64_t)gen_below(random, 3);
        meter->up_to_bytes[i] = i == meter->tier_count - 1 ? INT64_MAX : end;
        meter->price_nusd[i] = price;
        bool falls = shape == 0 || (shape == 2 && gen_chance(random, 50));
        price = falls ? price * 7 / 10 : price * 3 / 2;
    }
}

static void any_uses(struct gen_random *random, const struct problem *out, struct problem_use *use,
                     size_t slots)
{
    for (size_t i = 0; i < slots; i++) {
        use[i].meter =
            gen_chance(random, 25) ? (int)gen_below(random, (uint64_t)out->meter_count) : -1;
        use[i].bytes = use[i].meter < 0 ? 0 : (int64_t)gen_below(random, (uint64_t)(90 * GIB));
    }
}

/* Traffic of two linked workloads. Sites lie on a line of providers: s % 3 is the provider, and the
 * distance of two sites is what a call waits. */
static void app_pair(struct gen_random *random, const struct gen_app_shape *shape,
                     struct problem *out, struct arena *arena, int a, int b)
{
    struct problem_pair *pair = &out->pairs[out->pair_count++];
    size_t sites = (size_t)shape->sites;
    pair->a = a;
    pair->b = b;
    pair->cost = need(arena_array(arena, sites * sites, sizeof(*pair->cost)));
    int64_t calls = 1 + (int64_t)gen_below(random, 30);
    int64_t gibs = (int64_t)gen_below(random, 400);
    if (shape->tiers) {
        pair->use_count = USES;
        pair->use = need(arena_array(arena, sites * sites * (size_t)USES, sizeof(*pair->use)));
    }
    for (size_t s = 0; s < sites; s++) {
        for (size_t t = 0; t < sites; t++) {
            int64_t distance = s > t ? (int64_t)(s - t) : (int64_t)(t - s);
            bool crosses = s % 3 != t % 3;
            int64_t egress = crosses ? gibs * (90 - 10 * (int64_t)(s % 3)) * 1000000 : 0;
            pair->cost[s * sites + t] =
                calls * distance * INT64_C(300000000) + (shape->tiers ? 0 : egress);
            for (size_t k = 0; k < (size_t)USES && shape->tiers; k++) {
                struct problem_use *use = &pair->use[(s * sites + t) * (size_t)USES + k];
                bool used = crosses && k < 2;
                use->meter = !used ? -1 : (int)(k == 0 ? s % 3 : t % 3);
                use->bytes = !used ? 0 : (k == 0 ? 10 * gibs : gibs) * GIB;
            }
        }
    }
}

static void app_rules(struct gen_random *random, const struct gen_app_shape *shape,
                      struct problem *out, struct arena *arena)
{
    out->rule_count = 0;
    nusd demand[RESOURCE_COUNT] = {0};
    for (int i = 0; i < shape->parts; i++) {
        demand[RESOURCE_CPU] += out->parts[i].choices[0].demand[RESOURCE_CPU];
        demand[RESOURCE_MEMORY] += out->parts[i].choices[0].demand[RESOURCE_MEMORY];
        if (gen_chance(random, 25)) { /* a tag: one provider */
            struct problem_rule *rule = &out->rules[out->rule_count++];
            int provider = (int)gen_below(random, 3);
            *rule = (struct problem_rule){.kind = RULE_CHOICES, .a = i};
            rule->allowed = need(arena_array(arena, (size_t)shape->sites, sizeof(bool)));
            for (int s = 0; s < shape->sites; s++) {
                rule->allowed[s] = s % 3 == provider;
            }
            str_format(rule->text, sizeof(rule->text), "%s needs tag cloud=%d", out->parts[i].name,
                       provider);
        }
        if (i % app_size(shape) == app_size(shape) - 1 &&
            i >= 3) { /* two of an app's workloads at different sites */
            struct problem_rule *rule = &out->rules[out->rule_count++];
            *rule = (struct problem_rule){.kind = RULE_APART, .part_count = 2};
            rule->parts = need(arena_array(arena, 2, sizeof(int)));
            rule->parts[0] = i;
            rule->parts[1] = i - 3;
            str_format(rule->text, sizeof(rule->text), "%s apart", out->parts[i].name);
        }
    }
    for (int s = 0; s < shape->sites && shape->capacity_percent > 0; s++) {
        for (int k = 0; k < RESOURCE_COUNT; k++) {
            struct problem_rule *rule = &out->rules[out->rule_count++];
            *rule = (struct problem_rule){.kind = RULE_CAPACITY, .site = s};
            rule->resource = (enum resource)k;
            rule->capacity = (int64_t)(demand[k] * shape->capacity_percent / 100 / shape->sites);
            str_format(rule->text, sizeof(rule->text), "%s holds so much", out->site_names[s]);
        }
    }
}

static void *need(void *memory)
{
    BERTH_ASSERT(memory != NULL, "the generator's arena is too small");
    return memory;
}
