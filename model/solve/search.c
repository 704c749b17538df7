#include "model/solve/search.h"

#include <math.h>
#include <string.h>

#include "base/str.h"

/* What one broken pair or apart rule weighs; a capacity weighs its excess in millionths. */
#define BROKEN_WEIGHT INT64_C(1000000)
#define EXCESS_MAX    INT64_C(1000000000)

struct score {
    int64_t broken;
    int64_t cost;
};

struct search {
    const struct reduced *r;
    int *site;
    nusd *used;            /* [rule]: of capacity rules */
    int *apart_count;      /* [rule * sites + site]: parts of an apart rule at a site */
    int **aparts;          /* [part]: apart rules it is in */
    int *aparts_of;        /* [part]: how many */
    int *capacity_of_site; /* [site * RESOURCE_COUNT + k], chained by capacity_next; -1 */
    int *capacity_next;    /* [rule] */
    nusd *volume;          /* [active meter] */
    nusd *volume_change;
    int *active_of; /* [meter]: index of the active meter, or -1 */
    int *best;
    int64_t evals;
    uint64_t random;
};

static int lists_make(struct search *search, struct arena *arena);
static void load(struct search *search, const int *site);
static struct score evaluate(struct search *search, int part, int to);
static void apply(struct search *search, int part, int to);
static int64_t broken_capacity(struct search *search, int part, int site, int sign);
static void metered(struct search *search, const struct problem_use *use, size_t cell, int sign);
static struct score descend(struct search *search);
static bool improve_single(struct search *search, int part, struct score *total);
static bool improve_edge(struct search *search, const struct edge *edge, struct score *total);
static bool improve_swaps(struct search *search, struct score *total);
static struct score score_all(struct search *search);
static double temperature(struct search *search);
static bool propose(struct search *search, int *ret_part, int *ret_site);
static int partner(struct search *search, int part, int from, int to);
static void kick(struct search *search);
static uint64_t next_random(struct search *search);

static size_t cell(const struct search *search, int a, int b)
{
    return (size_t)a * (size_t)search->r->sites + (size_t)b;
}

static bool better(struct score a, struct score b)
{
    return a.broken < b.broken || (a.broken == b.broken && a.cost < b.cost);
}

static struct score sum(struct score a, struct score b)
{
    return (struct score){a.broken + b.broken, a.cost + b.cost};
}

int search_create(const struct reduced *reduced, struct arena *arena, struct search **ret_search,
                  struct error *err)
{
    struct search *search = arena_alloc(arena, sizeof(*search));
    if (search == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a search");
    }
    const struct problem *problem = reduced->problem;
    size_t parts = (size_t)reduced->parts + 1;
    size_t rules = (size_t)problem->rule_count + 1;
    size_t sites = (size_t)reduced->sites;
    *search = (struct search){
        .r = reduced,
        .site = arena_array(arena, parts, sizeof(int)),
        .best = arena_array(arena, parts, sizeof(int)),
        .used = arena_array(arena, rules, sizeof(nusd)),
        .apart_count = arena_array(arena, rules * sites, sizeof(int)),
        .aparts = arena_array(arena, parts, sizeof(int *)),
        .aparts_of = arena_array(arena, parts, sizeof(int)),
        .capacity_of_site = arena_array(arena, sites, sizeof(int)),
        .capacity_next = arena_array(arena, rules, sizeof(int)),
        .volume = arena_array(arena, (size_t)reduced->meter_count + 1, sizeof(nusd)),
        .volume_change = arena_array(arena, (size_t)reduced->meter_count + 1, sizeof(nusd)),
        .active_of = arena_array(arena, (size_t)problem->meter_count + 1, sizeof(int)),
    };
    bool complete = search->site != NULL && search->best != NULL && search->used != NULL &&
                    search->apart_count != NULL && search->aparts != NULL &&
                    search->aparts_of != NULL && search->capacity_of_site != NULL &&
                    search->capacity_next != NULL && search->volume != NULL &&
                    search->volume_change != NULL && search->active_of != NULL;
    if (!complete || lists_make(search, arena) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a search");
    }
    *ret_search = search;
    return 0;
}

bool search_run(struct search *search, int kicks, int64_t evals, int *site)
{
    const struct reduced *r = search->r;
    search->evals = 0;
    search->random = UINT64_C(0x9e3779b97f4a7c15);
    load(search, site);
    struct score best = descend(search);
    memcpy(search->best, search->site, (size_t)r->parts * sizeof(int));
    for (int idle = 0; idle < kicks && search->evals < evals; idle++) {
        kick(search);
        struct score found = descend(search);
        if (better(found, best)) {
            best = found;
            memcpy(search->best, search->site, (size_t)r->parts * sizeof(int));
            idle = -1;
        } else {
            load(search, search->best);
        }
    }
    memcpy(site, search->best, (size_t)r->parts * sizeof(int));
    return best.broken == 0;
}

/* Broken rules are priced while it runs, dearer as it cools: what is nearly right early on may be
 * the way to what is right. */
bool search_anneal(struct search *search, int64_t evals, uint64_t seed, int *site)
{
    const struct reduced *r = search->r;
    search->evals = 0;
    search->random = hash_u64(HASH_SEED, seed) | 1;
    load(search, site);
    double hot = temperature(search) / 2;
    struct score now = score_all(search);
    struct score best = now;
    memcpy(search->best, search->site, (size_t)r->parts * sizeof(int));
    double heat = hot;
    double price = hot / (double)BROKEN_WEIGHT;
    for (int64_t step = 0; step < evals; step++) {
        if (step % 64 == 0) {
            double progress = (double)step / (double)evals;
            heat = hot * pow(1e-3, progress);
            price = hot * (2 + 40 * progress) / (double)BROKEN_WEIGHT;
        }
        int part;
        int to;
        if (!propose(search, &part, &to)) {
            continue;
        }
        int from = search->site[part];
        struct score change = evaluate(search, part, to);
        int other = step % 2 == 0 ? -1 : partner(search, part, from, to);
        if (other >= 0) {
            apply(search, part, to);
            change = sum(change, evaluate(search, other, from));
        }
        double rise = (double)change.cost + price * (double)change.broken;
        double chance = (double)(next_random(search) & 0xffffff) / (double)0x1000000;
        if (rise > 0 && chance >= exp(-rise / heat)) {
            if (other >= 0) {
                (void)evaluate(search, part, from);
                apply(search, part, from);
            }
            continue;
        }
        apply(search, other >= 0 ? other : part, other >= 0 ? from : to);
        now = sum(now, change);
        if (better(now, best)) {
            best = now;
            memcpy(search->best, search->site, (size_t)r->parts * sizeof(int));
        }
    }
    load(search, search->best);
    best = descend(search);
    memcpy(site, search->site, (size_t)r->parts * sizeof(int));
    return best.broken == 0;
}

/* The mean rise of moves drawn at random. */
static double temperature(struct search *search)
{
    double rises = 0;
    int count = 0;
    for (int i = 0; i < 200; i++) {
        int part;
        int to;
        if (propose(search, &part, &to)) {
            struct score change = evaluate(search, part, to);
            rises += change.cost > 0 ? (double)change.cost : 0;
            count += change.cost > 0;
        }
    }
    return count > 0 && rises > 0 ? rises / count : 1;
}

/* A part at site `to` that could be at `from` instead; -1 when there is none. */
static int partner(struct search *search, int part, int from, int to)
{
    const struct reduced *r = search->r;
    int first = (int)(next_random(search) % (uint64_t)r->parts);
    for (int i = 0; i < r->parts; i++) {
        int other = (first + i) % r->parts;
        if (other != part && search->site[other] == to && r->open[cell(search, other, from)]) {
            return other;
        }
    }
    return -1;
}

/* A part that has a choice, and another open site for it. */
static bool propose(struct search *search, int *ret_part, int *ret_site)
{
    const struct reduced *r = search->r;
    int part = (int)(next_random(search) % (uint64_t)r->parts);
    if (r->open_count[part] < 2) {
        return false;
    }
    int skip = (int)(next_random(search) % (uint64_t)r->open_count[part]);
    int site = 0;
    while (!r->open[cell(search, part, site)] || skip-- > 0) {
        site++;
    }
    *ret_part = part;
    *ret_site = site;
    return site != search->site[part];
}

static int lists_make(struct search *search, struct arena *arena)
{
    const struct problem *problem = search->r->problem;
    for (int s = 0; s < search->r->sites; s++) {
        search->capacity_of_site[s] = -1;
    }
    for (int i = 0; i < problem->meter_count; i++) {
        search->active_of[i] = -1;
    }
    for (int i = 0; i < search->r->meter_count; i++) {
        search->active_of[search->r->meters[i].meter] = i;
    }
    for (int i = problem->rule_count - 1; i >= 0; i--) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_CAPACITY && !reduce_capacity_is_idle(search->r, rule)) {
            search->capacity_next[i] = search->capacity_of_site[rule->site];
            search->capacity_of_site[rule->site] = i;
        }
        for (int k = 0; rule->kind == RULE_APART && k < rule->part_count; k++) {
            search->aparts_of[rule->parts[k]]++;
        }
    }
    for (int part = 0; part < search->r->parts; part++) {
        search->aparts[part] = arena_array(arena, (size_t)search->aparts_of[part] + 1, sizeof(int));
        if (search->aparts[part] == NULL) {
            return ERR_NO_MEMORY;
        }
        search->aparts_of[part] = 0;
    }
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        for (int k = 0; rule->kind == RULE_APART && k < rule->part_count; k++) {
            int part = rule->parts[k];
            int count = search->aparts_of[part];
            if (count == 0 || search->aparts[part][count - 1] != i) {
                search->aparts[part][search->aparts_of[part]++] = i;
            }
        }
    }
    return 0;
}

/* Takes an assignment over, with all that is derived from it. */
static void load(struct search *search, const int *site)
{
    const struct reduced *r = search->r;
    const struct problem *problem = r->problem;
    memset(search->used, 0, (size_t)problem->rule_count * sizeof(*search->used));
    memset(search->apart_count, 0,
           (size_t)problem->rule_count * (size_t)r->sites * sizeof(*search->apart_count));
    memset(search->volume, 0, (size_t)r->meter_count * sizeof(*search->volume));
    for (int part = 0; part < r->parts; part++) {
        int at = site[part];
        if (at < 0 || !r->open[cell(search, part, at)]) {
            at = -1;
            for (int s = 0; s < r->sites; s++) {
                bool open = r->open[cell(search, part, s)];
                if (open &&
                    (at < 0 || r->node[cell(search, part, s)] < r->node[cell(search, part, at)])) {
                    at = s;
                }
            }
        }
        BERTH_ASSERT(at >= 0, "part %d has no site", part);
        search->site[part] = at;
        for (int i = search->capacity_of_site[at]; i >= 0; i = search->capacity_next[i]) {
            search->used[i] += problem->parts[part].demand[problem->rules[i].resource];
        }
        for (int k = 0; k < search->aparts_of[part]; k++) {
            search->apart_count[cell(search, search->aparts[part][k], at)]++;
        }
        for (int m = 0; m < r->meter_count; m++) {
            search->volume[m] += reduce_part_bytes(r, r->meters[m].meter, part, at);
        }
    }
    for (int i = 0; i < r->edge_count; i++) {
        const struct edge *edge = &r->edges[i];
        for (int m = 0; m < r->meter_count && edge->pair_count > 0; m++) {
            search->volume[m] += reduce_edge_bytes(r, r->meters[m].meter, edge,
                                                   search->site[edge->a], search->site[edge->b]);
        }
    }
}

/* What moving one part would change. */
static struct score evaluate(struct search *search, int part, int to)
{
    const struct reduced *r = search->r;
    int from = search->site[part];
    struct score change = {0, r->node[cell(search, part, to)] - r->node[cell(search, part, from)]};
    search->evals++;
    if (r->meter_count > 0) {
        memset(search->volume_change, 0, (size_t)r->meter_count * sizeof(nusd));
        metered(search, r->problem->parts[part].use, (size_t)from, -1);
        metered(search, r->problem->parts[part].use, (size_t)to, 1);
    }
    for (int k = 0; k < r->degree[part]; k++) {
        const struct edge *edge = &r->edges[r->incident[part][k]];
        bool is_a = edge->a == part;
        int other = search->site[is_a ? edge->b : edge->a];
        size_t before = is_a ? cell(search, from, other) : cell(search, other, from);
        size_t after = is_a ? cell(search, to, other) : cell(search, other, to);
        change.cost += edge->cost[after] - edge->cost[before];
        change.broken += BROKEN_WEIGHT * ((int)edge->open[before] - (int)edge->open[after]);
        for (int i = 0; i < edge->pair_count; i++) {
            const struct problem_use *use = r->problem->pairs[edge->pairs[i]].use;
            bool turned = is_a == edge->swapped[i]; /* the part is the pair's b */
            metered(search, use, turned ? cell(search, other, from) : cell(search, from, other),
                    -1);
            metered(search, use, turned ? cell(search, other, to) : cell(search, to, other), 1);
        }
    }
    change.broken += broken_capacity(search, part, to, 1) + broken_capacity(search, part, from, -1);
    for (int k = 0; k < search->aparts_of[part]; k++) {
        int rule = search->aparts[part][k];
        int there = search->apart_count[cell(search, rule, to)];
        int here = search->apart_count[cell(search, rule, from)] - 1;
        change.broken += BROKEN_WEIGHT * (there - here);
    }
    for (int m = 0; m < r->meter_count; m++) {
        if (search->volume_change[m] != 0) {
            nusd volume = search->volume[m];
            change.cost += reduce_residual(r, &r->meters[m], volume + search->volume_change[m]) -
                           reduce_residual(r, &r->meters[m], volume);
        }
    }
    return change;
}

/* Moves it. evaluate() of the same move must come directly before: it leaves the volumes' change.
 */
static void apply(struct search *search, int part, int to)
{
    const struct problem *problem = search->r->problem;
    int from = search->site[part];
    for (int i = search->capacity_of_site[from]; i >= 0; i = search->capacity_next[i]) {
        search->used[i] -= problem->parts[part].demand[problem->rules[i].resource];
    }
    for (int i = search->capacity_of_site[to]; i >= 0; i = search->capacity_next[i]) {
        search->used[i] += problem->parts[part].demand[problem->rules[i].resource];
    }
    for (int k = 0; k < search->aparts_of[part]; k++) {
        search->apart_count[cell(search, search->aparts[part][k], from)]--;
        search->apart_count[cell(search, search->aparts[part][k], to)]++;
    }
    for (int m = 0; m < search->r->meter_count; m++) {
        search->volume[m] += search->volume_change[m];
    }
    search->site[part] = to;
}

static int64_t excess(const struct problem_rule *rule, nusd used)
{
    if (used <= rule->capacity) {
        return 0;
    }
    nusd scale = rule->capacity > 0 ? rule->capacity : 1;
    nusd weight = (used - rule->capacity) * BROKEN_WEIGHT / scale + 1;
    return weight > EXCESS_MAX ? EXCESS_MAX : (int64_t)weight;
}

static int64_t broken_capacity(struct search *search, int part, int site, int sign)
{
    const struct problem *problem = search->r->problem;
    int64_t change = 0;
    for (int i = search->capacity_of_site[site]; i >= 0; i = search->capacity_next[i]) {
        const struct problem_rule *rule = &problem->rules[i];
        nusd after = search->used[i] + sign * (nusd)problem->parts[part].demand[rule->resource];
        change += excess(rule, after) - excess(rule, search->used[i]);
    }
    return change;
}

static void metered(struct search *search, const struct problem_use *use, size_t at, int sign)
{
    for (size_t k = 0; use != NULL && k < PROBLEM_USES; k++) {
        const struct problem_use *slot = &use[at * PROBLEM_USES + k];
        if (slot->meter >= 0 && search->active_of[slot->meter] >= 0) {
            search->volume_change[search->active_of[slot->meter]] += sign * (nusd)slot->bytes;
        }
    }
}

static struct score descend(struct search *search)
{
    const struct reduced *r = search->r;
    struct score total = score_all(search);
    bool moved = true;
    while (moved) {
        moved = false;
        for (int part = 0; part < r->parts; part++) {
            moved = improve_single(search, part, &total) || moved;
        }
        for (int i = 0; !moved && i < r->edge_count; i++) {
            moved = improve_edge(search, &r->edges[i], &total) || moved;
        }
        moved = moved || improve_swaps(search, &total);
    }
    return total;
}

static bool improve_single(struct search *search, int part, struct score *total)
{
    const struct reduced *r = search->r;
    struct score best = {0, 0};
    int best_site = -1;
    for (int s = 0; s < r->sites && r->open_count[part] > 1; s++) {
        if (s != search->site[part] && r->open[cell(search, part, s)]) {
            struct score change = evaluate(search, part, s);
            if (better(change, best)) {
                best = change;
                best_site = s;
            }
        }
    }
    if (best_site < 0) {
        return false;
    }
    *total = sum(*total, evaluate(search, part, best_site));
    apply(search, part, best_site);
    return true;
}

/* Both ends at once: traffic keeps linked parts together when each alone would not move. */
static bool improve_edge(struct search *search, const struct edge *edge, struct score *total)
{
    const struct reduced *r = search->r;
    int home = search->site[edge->a];
    for (int s = 0; s < r->sites; s++) {
        if (s == home || !r->open[cell(search, edge->a, s)]) {
            continue;
        }
        struct score first = evaluate(search, edge->a, s);
        apply(search, edge->a, s);
        for (int t = 0; t < r->sites; t++) {
            if (t == search->site[edge->b] || !r->open[cell(search, edge->b, t)] ||
                !edge->open[cell(search, s, t)]) {
                continue;
            }
            struct score both = sum(first, evaluate(search, edge->b, t));
            if (better(both, (struct score){0, 0})) {
                apply(search, edge->b, t);
                *total = sum(*total, both);
                return true;
            }
        }
        (void)evaluate(search, edge->a, home);
        apply(search, edge->a, home);
    }
    return false;
}

static bool improve_swaps(struct search *search, struct score *total)
{
    const struct reduced *r = search->r;
    for (int a = 0; a < r->parts; a++) {
        for (int b = a + 1; b < r->parts; b++) {
            int site_a = search->site[a];
            int site_b = search->site[b];
            if (site_a == site_b || !r->open[cell(search, a, site_b)] ||
                !r->open[cell(search, b, site_a)]) {
                continue;
            }
            struct score first = evaluate(search, a, site_b);
            apply(search, a, site_b);
            struct score both = sum(first, evaluate(search, b, site_a));
            if (better(both, (struct score){0, 0})) {
                apply(search, b, site_a);
                *total = sum(*total, both);
                return true;
            }
            (void)evaluate(search, a, site_a);
            apply(search, a, site_a);
        }
    }
    return false;
}

static struct score score_all(struct search *search)
{
    const struct reduced *r = search->r;
    struct score total = {0, r->constant};
    for (int part = 0; part < r->parts; part++) {
        total.cost += r->node[cell(search, part, search->site[part])];
    }
    for (int i = 0; i < r->edge_count; i++) {
        const struct edge *edge = &r->edges[i];
        size_t at = cell(search, search->site[edge->a], search->site[edge->b]);
        total.cost += edge->cost[at];
        total.broken += edge->open[at] ? 0 : BROKEN_WEIGHT;
    }
    for (int i = 0; i < r->problem->rule_count; i++) {
        const struct problem_rule *rule = &r->problem->rules[i];
        if (rule->kind == RULE_CAPACITY) {
            total.broken += excess(rule, search->used[i]);
        }
        for (int s = 0; rule->kind == RULE_APART && s < r->sites; s++) {
            int64_t count = search->apart_count[cell(search, i, s)];
            total.broken += BROKEN_WEIGHT * (count * (count - 1) / 2);
        }
    }
    for (int m = 0; m < r->meter_count; m++) {
        total.cost += reduce_residual(r, &r->meters[m], search->volume[m]);
    }
    return total;
}

/* Moves up to three parts anywhere. */
static void kick(struct search *search)
{
    const struct reduced *r = search->r;
    for (int i = 0; i < 3 && r->parts > 0; i++) {
        int part = (int)(next_random(search) % (uint64_t)r->parts);
        int skip = (int)(next_random(search) % (uint64_t)r->open_count[part]);
        for (int s = 0; s < r->sites; s++) {
            if (r->open[cell(search, part, s)] && skip-- == 0 && s != search->site[part]) {
                (void)evaluate(search, part, s);
                apply(search, part, s);
            }
        }
    }
}

static uint64_t next_random(struct search *search)
{
    search->random ^= search->random << 13;
    search->random ^= search->random >> 7;
    search->random ^= search->random << 17;
    return search->random >> 11;
}
