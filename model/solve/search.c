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
    int *choice;
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
    int64_t evals_max; /* of the descent under way */
    uint64_t random;
};

static int lists_make(struct search *search, struct arena *arena);
static void load(struct search *search, const int *choice);
static struct score evaluate(struct search *search, int part, int to);
static void apply(struct search *search, int part, int to);
static int64_t broken_capacity(struct search *search, int site, const struct problem_choice *from,
                               const struct problem_choice *to);
static void metered(struct search *search, const struct problem_use *use, int use_count, size_t at,
                    int sign);
static struct score descend(struct search *search);
static bool improve_single(struct search *search, int part, struct score *total);
static bool improve_edge(struct search *search, const struct edge *edge, struct score *total);
static bool improve_swaps(struct search *search, struct score *total);
static struct score score_all(struct search *search);
static double temperature(struct search *search);
static bool propose(struct search *search, int *ret_part, int *ret_choice);
static int partner(struct search *search, int part, int from, int to, int *ret_choice);
static int cheapest_at(const struct search *search, int part, int site);
static void kick(struct search *search);
static uint64_t next_random(struct search *search);

/* Index in apart_count. */
static size_t apart_cell(const struct search *search, int rule, int site)
{
    return (size_t)rule * (size_t)search->r->sites + (size_t)site;
}

static bool is_open(const struct search *search, int part, int choice)
{
    return search->r->open[reduce_node(search->r, part, choice)];
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
        .choice = arena_array(arena, parts, sizeof(int)),
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
    bool complete = search->choice != NULL && search->best != NULL && search->used != NULL &&
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

bool search_run(struct search *search, int kicks, int64_t evals, int *choice)
{
    const struct reduced *r = search->r;
    search->evals = 0;
    search->evals_max = evals;
    search->random = UINT64_C(0x9e3779b97f4a7c15);
    load(search, choice);
    struct score best = descend(search);
    memcpy(search->best, search->choice, (size_t)r->parts * sizeof(int));
    for (int idle = 0; idle < kicks && search->evals < evals; idle++) {
        kick(search);
        struct score found = descend(search);
        if (better(found, best)) {
            best = found;
            memcpy(search->best, search->choice, (size_t)r->parts * sizeof(int));
            idle = -1;
        } else {
            load(search, search->best);
        }
    }
    memcpy(choice, search->best, (size_t)r->parts * sizeof(int));
    return best.broken == 0;
}

/* Broken rules are priced while it runs, dearer as it cools: what is nearly right early on may be
 * the way to what is right. */
bool search_anneal(struct search *search, int64_t evals, uint64_t seed, int *choice)
{
    const struct reduced *r = search->r;
    search->evals = 0;
    search->evals_max = INT64_MAX;
    search->random = hash_u64(HASH_SEED, seed) | 1;
    load(search, choice);
    double hot = temperature(search) / 2;
    struct score now = score_all(search);
    struct score best = now;
    memcpy(search->best, search->choice, (size_t)r->parts * sizeof(int));
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
        int from = search->choice[part];
        struct score change = evaluate(search, part, to);
        int other_to = 0;
        int other = step % 2 == 0 ? -1 : partner(search, part, from, to, &other_to);
        if (other >= 0) {
            apply(search, part, to);
            change = sum(change, evaluate(search, other, other_to));
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
        apply(search, other >= 0 ? other : part, other >= 0 ? other_to : to);
        now = sum(now, change);
        if (better(now, best)) {
            best = now;
            memcpy(search->best, search->choice, (size_t)r->parts * sizeof(int));
        }
    }
    load(search, search->best);
    best = descend(search);
    memcpy(choice, search->choice, (size_t)r->parts * sizeof(int));
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

/* A part at the site of `to` that could be at the site of `from` instead, both choices of `part`:
 * its choice there is *ret_choice. -1 when there is none. */
static int partner(struct search *search, int part, int from, int to, int *ret_choice)
{
    const struct reduced *r = search->r;
    int here = reduce_choice(r, part, to)->site;
    int there = reduce_choice(r, part, from)->site;
    int first = (int)(next_random(search) % (uint64_t)r->parts);
    for (int i = 0; i < r->parts && here != there; i++) {
        int other = (first + i) % r->parts;
        if (other != part && reduce_choice(r, other, search->choice[other])->site == here) {
            *ret_choice = cheapest_at(search, other, there);
            if (*ret_choice >= 0) {
                return other;
            }
        }
    }
    return -1;
}

/* The open choice of a part at a site (-1: at any) that its own table holds cheapest; -1: none. */
static int cheapest_at(const struct search *search, int part, int site)
{
    const struct reduced *r = search->r;
    int best = -1;
    for (int c = 0; c < r->count[part]; c++) {
        if (is_open(search, part, c) && (site < 0 || reduce_choice(r, part, c)->site == site) &&
            (best < 0 || r->node[reduce_node(r, part, c)] < r->node[reduce_node(r, part, best)])) {
            best = c;
        }
    }
    return best;
}

/* A part that can move, and another open choice of it. */
static bool propose(struct search *search, int *ret_part, int *ret_choice)
{
    const struct reduced *r = search->r;
    int part = (int)(next_random(search) % (uint64_t)r->parts);
    if (r->open_count[part] < 2) {
        return false;
    }
    int skip = (int)(next_random(search) % (uint64_t)r->open_count[part]);
    int choice = 0;
    while (!is_open(search, part, choice) || skip-- > 0) {
        choice++;
    }
    *ret_part = part;
    *ret_choice = choice;
    return choice != search->choice[part];
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
    bool *binds = arena_array(arena, (size_t)problem->rule_count + 1, sizeof(bool));
    if (binds == NULL) {
        return ERR_NO_MEMORY;
    }
    (void)reduce_find_binding(search->r, binds);
    for (int i = problem->rule_count - 1; i >= 0; i--) {
        const struct problem_rule *rule = &problem->rules[i];
        if (binds[i]) {
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
static void load(struct search *search, const int *choice)
{
    const struct reduced *r = search->r;
    const struct problem *problem = r->problem;
    memset(search->used, 0, (size_t)problem->rule_count * sizeof(*search->used));
    memset(search->apart_count, 0,
           (size_t)problem->rule_count * (size_t)r->sites * sizeof(*search->apart_count));
    memset(search->volume, 0, (size_t)r->meter_count * sizeof(*search->volume));
    for (int part = 0; part < r->parts; part++) {
        int at = choice[part];
        if (at < 0 || !is_open(search, part, at)) {
            at = cheapest_at(search, part, -1);
        }
        BERTH_ASSERT(at >= 0, "part %d has no choice", part);
        const struct problem_choice *taken = reduce_choice(r, part, at);
        search->choice[part] = at;
        for (int i = search->capacity_of_site[taken->site]; i >= 0; i = search->capacity_next[i]) {
            search->used[i] += taken->demand[problem->rules[i].resource];
        }
        for (int k = 0; k < search->aparts_of[part]; k++) {
            search->apart_count[apart_cell(search, search->aparts[part][k], taken->site)]++;
        }
        for (int m = 0; m < r->meter_count; m++) {
            search->volume[m] += reduce_part_bytes(r, r->meters[m].meter, part, at);
        }
    }
    for (int i = 0; i < r->edge_count; i++) {
        const struct edge *edge = &r->edges[i];
        for (int m = 0; m < r->meter_count && edge->pair_count > 0; m++) {
            search->volume[m] += reduce_edge_bytes(
                r, r->meters[m].meter, edge, search->choice[edge->a], search->choice[edge->b]);
        }
    }
}

/* What moving one part would change. */
static struct score evaluate(struct search *search, int part, int to)
{
    const struct reduced *r = search->r;
    int from = search->choice[part];
    struct score change = {0,
                           r->node[reduce_node(r, part, to)] - r->node[reduce_node(r, part, from)]};
    const struct problem_choice *old = reduce_choice(r, part, from);
    const struct problem_choice *new = reduce_choice(r, part, to);
    search->evals++;
    if (r->meter_count > 0) {
        memset(search->volume_change, 0, (size_t)r->meter_count * sizeof(nusd));
        const struct problem_part *source = &r->problem->parts[part];
        metered(search, source->use, source->use_count, (size_t)from, -1);
        metered(search, source->use, source->use_count, (size_t)to, 1);
    }
    for (int k = 0; k < r->degree[part]; k++) {
        const struct edge *edge = &r->edges[r->incident[part][k]];
        bool is_a = edge->a == part;
        int other = search->choice[is_a ? edge->b : edge->a];
        size_t before =
            is_a ? reduce_cell(r, edge, from, other) : reduce_cell(r, edge, other, from);
        size_t after = is_a ? reduce_cell(r, edge, to, other) : reduce_cell(r, edge, other, to);
        change.cost += edge->cost[after] - edge->cost[before];
        change.broken += BROKEN_WEIGHT * ((int)edge->open[before] - (int)edge->open[after]);
        for (int i = 0; i < edge->pair_count; i++) {
            const struct problem_pair *pair = &r->problem->pairs[edge->pairs[i]];
            bool turned = is_a == edge->swapped[i]; /* the part is the pair's b */
            size_t was = turned ? problem_cell(r->problem, pair->b, other, from)
                                : problem_cell(r->problem, pair->b, from, other);
            size_t is = turned ? problem_cell(r->problem, pair->b, other, to)
                               : problem_cell(r->problem, pair->b, to, other);
            metered(search, pair->use, pair->use_count, was, -1);
            metered(search, pair->use, pair->use_count, is, 1);
        }
    }
    change.broken += broken_capacity(search, old->site, old, new);
    if (new->site != old->site) {
        change.broken += broken_capacity(search, new->site, old, new);
    }
    for (int k = 0; k < search->aparts_of[part] && new->site != old->site; k++) {
        int rule = search->aparts[part][k];
        int there = search->apart_count[apart_cell(search, rule, new->site)];
        int here = search->apart_count[apart_cell(search, rule, old->site)] - 1;
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
    const struct problem_choice *old = reduce_choice(search->r, part, search->choice[part]);
    const struct problem_choice *new = reduce_choice(search->r, part, to);
    for (int i = search->capacity_of_site[old->site]; i >= 0; i = search->capacity_next[i]) {
        search->used[i] -= old->demand[problem->rules[i].resource];
    }
    for (int i = search->capacity_of_site[new->site]; i >= 0; i = search->capacity_next[i]) {
        search->used[i] += new->demand[problem->rules[i].resource];
    }
    for (int k = 0; k < search->aparts_of[part]; k++) {
        search->apart_count[apart_cell(search, search->aparts[part][k], old->site)]--;
        search->apart_count[apart_cell(search, search->aparts[part][k], new->site)]++;
    }
    for (int m = 0; m < search->r->meter_count; m++) {
        search->volume[m] += search->volume_change[m];
    }
    search->choice[part] = to;
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

/* What moving a part between two choices changes at a site that either is at. */
static int64_t broken_capacity(struct search *search, int site, const struct problem_choice *from,
                               const struct problem_choice *to)
{
    const struct problem *problem = search->r->problem;
    int64_t change = 0;
    for (int i = search->capacity_of_site[site]; i >= 0; i = search->capacity_next[i]) {
        const struct problem_rule *rule = &problem->rules[i];
        nusd after = search->used[i];
        after += to->site == site ? to->demand[rule->resource] : 0;
        after -= from->site == site ? from->demand[rule->resource] : 0;
        change += excess(rule, after) - excess(rule, search->used[i]);
    }
    return change;
}

static void metered(struct search *search, const struct problem_use *use, int use_count, size_t at,
                    int sign)
{
    size_t slots = use == NULL ? 0 : (size_t)use_count;
    for (size_t k = 0; k < slots; k++) {
        const struct problem_use *slot = &use[at * slots + k];
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
    while (moved && search->evals < search->evals_max) {
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
    int best_choice = -1;
    for (int s = 0; s < r->count[part] && r->open_count[part] > 1; s++) {
        if (s != search->choice[part] && is_open(search, part, s)) {
            struct score change = evaluate(search, part, s);
            if (better(change, best)) {
                best = change;
                best_choice = s;
            }
        }
    }
    if (best_choice < 0) {
        return false;
    }
    *total = sum(*total, evaluate(search, part, best_choice));
    apply(search, part, best_choice);
    return true;
}

/* Both ends at once: traffic keeps linked parts together when each alone would not move. */
static bool improve_edge(struct search *search, const struct edge *edge, struct score *total)
{
    const struct reduced *r = search->r;
    int home = search->choice[edge->a];
    for (int s = 0; s < r->count[edge->a]; s++) {
        if (s == home || !is_open(search, edge->a, s)) {
            continue;
        }
        struct score first = evaluate(search, edge->a, s);
        apply(search, edge->a, s);
        for (int t = 0; t < r->count[edge->b]; t++) {
            if (t == search->choice[edge->b] || !is_open(search, edge->b, t) ||
                !edge->open[reduce_cell(r, edge, s, t)]) {
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

/* Two parts change sites. */
static bool improve_swaps(struct search *search, struct score *total)
{
    const struct reduced *r = search->r;
    for (int a = 0; a < r->parts && search->evals < search->evals_max; a++) {
        for (int b = a + 1; b < r->parts; b++) {
            int from_a = search->choice[a];
            int from_b = search->choice[b];
            int site_a = reduce_choice(r, a, from_a)->site;
            int site_b = reduce_choice(r, b, from_b)->site;
            int to_a = site_a == site_b ? -1 : cheapest_at(search, a, site_b);
            int to_b = to_a < 0 ? -1 : cheapest_at(search, b, site_a);
            if (to_b < 0) {
                continue;
            }
            struct score first = evaluate(search, a, to_a);
            apply(search, a, to_a);
            struct score both = sum(first, evaluate(search, b, to_b));
            if (better(both, (struct score){0, 0})) {
                apply(search, b, to_b);
                *total = sum(*total, both);
                return true;
            }
            (void)evaluate(search, a, from_a);
            apply(search, a, from_a);
        }
    }
    return false;
}

static struct score score_all(struct search *search)
{
    const struct reduced *r = search->r;
    struct score total = {0, r->constant};
    for (int part = 0; part < r->parts; part++) {
        total.cost += r->node[reduce_node(r, part, search->choice[part])];
    }
    for (int i = 0; i < r->edge_count; i++) {
        const struct edge *edge = &r->edges[i];
        size_t at = reduce_cell(r, edge, search->choice[edge->a], search->choice[edge->b]);
        total.cost += edge->cost[at];
        total.broken += edge->open[at] ? 0 : BROKEN_WEIGHT;
    }
    for (int i = 0; i < r->problem->rule_count; i++) {
        const struct problem_rule *rule = &r->problem->rules[i];
        if (rule->kind == RULE_CAPACITY) {
            total.broken += excess(rule, search->used[i]);
        }
        for (int s = 0; rule->kind == RULE_APART && s < r->sites; s++) {
            int64_t count = search->apart_count[apart_cell(search, i, s)];
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
        for (int s = 0; s < r->count[part]; s++) {
            if (is_open(search, part, s) && skip-- == 0 && s != search->choice[part]) {
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
