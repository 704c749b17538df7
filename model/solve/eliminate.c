#include "model/solve/eliminate_internal.h"

#include <string.h>

/* A price times an amount below this is off by less than one as a double. */
#define PRICED_MAX 1e15
/* Parts of an apart rule that becomes pairs. */
#define APART_MAX 10

/* A table while a step runs. */
struct table {
    const int64_t *cost;
    size_t own;                 /* from one choice of the part to its next */
    size_t stride[SOURCES_MAX]; /* the same for each neighbour; 0: it is not mentioned */
    const int64_t *row;         /* where all neighbours but the last have their present choice */
    int turn; /* of the first entries: which tables mention the last neighbour, in order */
};

static int domains_make(struct eliminate *e, struct arena *arena);
static int takes_make(struct eliminate *e, struct arena *arena);
static int links_make(struct eliminate *e, struct arena *arena);
static int links_apart(struct eliminate *e, struct arena *arena);
static void links_index(struct eliminate *e, int *slots);
static int link_add(struct eliminate *e, struct arena *arena, int a, int b, struct bond **ret_link);
static int link_price(struct eliminate *e, struct arena *arena, const struct edge *edge,
                      struct bond *link);
static int parts_price(struct eliminate *e, struct arena *arena);
static bool is_small(const struct eliminate *e);
static void fill(struct eliminate *e, const struct eliminate_prices *prices);
static void run_step(struct eliminate *e, struct step *step);
static void run_leaf(struct eliminate *e, struct step *step);
static void run_table(struct eliminate *e, struct step *step);
static int tables_of(struct eliminate *e, const struct step *step, struct table *tables);
static int64_t least_of(struct eliminate *e, const struct step *step, const struct table *tables,
                        int turning, size_t turn, uint16_t *ret_best);
static bool collect(struct eliminate *e, int *choice, int64_t *sum);

int eliminate_create(const struct reduced *reduced, struct arena *arena,
                     struct eliminate **ret_eliminate, struct error *err)
{
    struct eliminate *e = arena_alloc(arena, sizeof(*e));
    bool dense = false;
    *ret_eliminate = NULL;
    if (e == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for an elimination");
    }
    e->r = reduced;
    int rc = cell_uses_init(&e->uses, reduced->problem, arena);
    rc = rc == 0 ? domains_make(e, arena) : rc;
    rc = rc == 0 ? takes_make(e, arena) : rc;
    rc = rc == 0 ? links_make(e, arena) : rc;
    rc = rc == 0 ? parts_price(e, arena) : rc;
    if (rc == 0 && is_small(e)) {
        rc = eliminate_order(e, arena, &dense);
        *ret_eliminate = rc == 0 && !dense ? e : NULL;
    }
    if (rc < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the elimination of %d parts",
                         reduced->parts);
    }
    return 0;
}

int64_t eliminate_work(const struct eliminate *eliminate)
{
    return eliminate->work;
}

bool eliminate_run(struct eliminate *e, const struct eliminate_prices *prices, int *choice,
                   int64_t *ret_least)
{
    fill(e, prices);
    for (int i = 0; i < e->step_count; i++) {
        run_step(e, &e->steps[i]);
    }
    int64_t sum = e->r->constant;
    if (!collect(e, choice, &sum)) {
        return false;
    }
    *ret_least = sum;
    return true;
}

/* Open choices only; where a part is now comes first, so that it wins ties. */
static int domains_make(struct eliminate *e, struct arena *arena)
{
    const struct reduced *r = e->r;
    size_t parts = (size_t)r->parts + 1;
    e->size = arena_array(arena, parts, sizeof(*e->size));
    e->domain = arena_array(arena, parts, sizeof(*e->domain));
    e->unary = arena_array(arena, parts, sizeof(*e->unary));
    e->priced = arena_array(arena, parts, sizeof(*e->priced));
    e->priced_count = arena_array(arena, parts, sizeof(*e->priced_count));
    e->position = arena_array(arena, parts, sizeof(*e->position));
    size_t most = 1;
    for (int part = 0; part < r->parts; part++) {
        most = (size_t)r->open_count[part] > most ? (size_t)r->open_count[part] : most;
    }
    e->common = arena_array(arena, most, sizeof(*e->common));
    e->sums = arena_array(arena, most, sizeof(*e->sums));
    if (e->size == NULL || e->domain == NULL || e->unary == NULL || e->priced == NULL ||
        e->priced_count == NULL || e->position == NULL || e->common == NULL || e->sums == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int part = 0; part < r->parts; part++) {
        size_t open = (size_t)r->open_count[part];
        int current = r->problem->parts[part].current;
        e->domain[part] = arena_array(arena, open + 1, sizeof(int));
        e->unary[part] = arena_array(arena, open + 1, sizeof(int64_t));
        if (e->domain[part] == NULL || e->unary[part] == NULL) {
            return ERR_NO_MEMORY;
        }
        if (current >= 0 && r->open[reduce_node(r, part, current)]) {
            e->domain[part][e->size[part]++] = current;
        }
        for (int c = 0; c < r->count[part]; c++) {
            if (c != current && r->open[reduce_node(r, part, c)]) {
                e->domain[part][e->size[part]++] = c;
            }
        }
    }
    return 0;
}

/* Of the capacity rules that can be broken at all. */
static int takes_make(struct eliminate *e, struct arena *arena)
{
    const struct reduced *r = e->r;
    const struct problem *problem = r->problem;
    int *rule_of = arena_array(arena, (size_t)r->sites * RESOURCE_COUNT + 1, sizeof(int));
    bool *binds = arena_array(arena, (size_t)problem->rule_count + 1, sizeof(bool));
    e->takes = arena_array(arena, (size_t)r->parts + 1, sizeof(*e->takes));
    if (rule_of == NULL || binds == NULL || e->takes == NULL) {
        return ERR_NO_MEMORY;
    }
    e->takes_each = reduce_find_binding(r, binds) ? RESOURCE_COUNT : 0;
    for (int i = 0; i < r->sites * RESOURCE_COUNT; i++) {
        rule_of[i] = -1;
    }
    for (int i = problem->rule_count - 1; i >= 0; i--) {
        const struct problem_rule *rule = &problem->rules[i];
        if (binds[i]) {
            rule_of[rule->site * RESOURCE_COUNT + (int)rule->resource] = i;
        }
    }
    for (int part = 0; part < r->parts && e->takes_each > 0; part++) {
        size_t count = (size_t)e->size[part] * RESOURCE_COUNT;
        e->takes[part] = arena_array(arena, count + 1, sizeof(struct take));
        if (e->takes[part] == NULL) {
            return ERR_NO_MEMORY;
        }
        for (int i = 0; i < e->size[part] * RESOURCE_COUNT; i++) {
            const struct problem_choice *choice =
                reduce_choice(r, part, e->domain[part][i / RESOURCE_COUNT]);
            int64_t demand = choice->demand[i % RESOURCE_COUNT];
            int rule = rule_of[choice->site * RESOURCE_COUNT + i % RESOURCE_COUNT];
            e->takes[part][i] = (struct take){demand > 0 ? rule : -1, demand};
        }
    }
    return 0;
}

static int links_make(struct eliminate *e, struct arena *arena)
{
    const struct reduced *r = e->r;
    const struct problem *problem = r->problem;
    size_t most = (size_t)r->edge_count + 1;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        bool pairs = rule->kind == RULE_APART && rule->part_count <= APART_MAX;
        most += pairs ? (size_t)rule->part_count * (size_t)rule->part_count / 2 : 0;
    }
    e->links = arena_array(arena, most, sizeof(*e->links));
    e->near_links = arena_array(arena, (size_t)r->parts + 1, sizeof(*e->near_links));
    e->near_count = arena_array(arena, (size_t)r->parts + 1, sizeof(*e->near_count));
    int *slots = arena_array(arena, most * 2, sizeof(int));
    if (e->links == NULL || e->near_links == NULL || e->near_count == NULL || slots == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < r->edge_count; i++) {
        const struct edge *edge = &r->edges[i];
        struct bond *link;
        if (reduce_edge_is_idle(r, edge)) {
            continue;
        }
        if (link_add(e, arena, edge->a, edge->b, &link) < 0) {
            return ERR_NO_MEMORY;
        }
        for (int s = 0; s < e->size[edge->a]; s++) {
            for (int t = 0; t < e->size[edge->b]; t++) {
                size_t at = reduce_cell(r, edge, e->domain[edge->a][s], e->domain[edge->b][t]);
                link->cost[s * e->size[edge->b] + t] = edge->open[at] ? edge->cost[at] : CLOSED;
            }
        }
        if (link_price(e, arena, edge, link) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    if (links_apart(e, arena) < 0) {
        return ERR_NO_MEMORY;
    }
    links_index(e, slots);
    return 0;
}

/* Two of an apart rule at one site are a closed cell of a link of theirs. */
static int links_apart(struct eliminate *e, struct arena *arena)
{
    const struct reduced *r = e->r;
    const struct problem *problem = r->problem;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        bool pairs = rule->kind == RULE_APART && rule->part_count <= APART_MAX;
        for (int k = 0; pairs && k < rule->part_count; k++) {
            for (int m = 0; m < k; m++) {
                int a = rule->parts[k];
                int b = rule->parts[m];
                struct bond *link;
                if (a == b) {
                    continue;
                }
                if (link_add(e, arena, a, b, &link) < 0) {
                    return ERR_NO_MEMORY;
                }
                for (int at = 0; at < e->size[a] * e->size[b]; at++) {
                    int s = e->domain[a][at / e->size[b]];
                    int t = e->domain[b][at % e->size[b]];
                    bool same = reduce_choice(r, a, s)->site == reduce_choice(r, b, t)->site;
                    link->cost[at] = same ? CLOSED : 0;
                }
            }
        }
    }
    return 0;
}

/* The links at each part, in `slots`. */
static void links_index(struct eliminate *e, int *slots)
{
    const struct reduced *r = e->r;
    for (int i = 0; i < e->link_count; i++) {
        e->near_count[e->links[i].a]++;
        e->near_count[e->links[i].b]++;
    }
    for (int part = 0; part < r->parts; part++) {
        e->near_links[part] = slots;
        slots += e->near_count[part];
        e->near_count[part] = 0;
    }
    for (int i = 0; i < e->link_count; i++) {
        int a = e->links[i].a;
        int b = e->links[i].b;
        e->near_links[a][e->near_count[a]++] = i;
        e->near_links[b][e->near_count[b]++] = i;
    }
}

static int link_add(struct eliminate *e, struct arena *arena, int a, int b, struct bond **ret_link)
{
    struct bond *link = &e->links[e->link_count++];
    size_t cells = (size_t)e->size[a] * (size_t)e->size[b];
    *link = (struct bond){.a = a, .b = b, .cost = arena_array(arena, cells + 1, sizeof(int64_t))};
    link->base = link->cost;
    *ret_link = link;
    return link->cost == NULL ? ERR_NO_MEMORY : 0;
}

/* What the cells of an edge put on active meters; its table is then kept apart from the one that
 * prices are added to. */
static int link_price(struct eliminate *e, struct arena *arena, const struct edge *edge,
                      struct bond *link)
{
    const struct reduced *r = e->r;
    size_t cells = (size_t)e->size[edge->a] * (size_t)e->size[edge->b];
    for (int round = 0; round < 2 && edge->pair_count > 0; round++) {
        int count = 0;
        for (size_t at = 0; at < cells; at++) {
            int s = e->domain[edge->a][at / (size_t)e->size[edge->b]];
            int t = e->domain[edge->b][at % (size_t)e->size[edge->b]];
            if (link->base[at] >= CLOSED) {
                continue;
            }
            reduce_edge_uses(r, edge, s, t, &e->uses);
            for (int k = 0; k < e->uses.count; k++) {
                int m = r->active_of[e->uses.list[k].meter];
                if (m >= 0 && round == 1) {
                    link->priced[count] =
                        (struct priced){(uint32_t)at, m, (double)e->uses.list[k].bytes};
                }
                count += m >= 0;
            }
        }
        if (round == 0) {
            if (count == 0) {
                return 0;
            }
            link->priced = arena_array(arena, (size_t)count, sizeof(*link->priced));
            link->cost = arena_array(arena, cells + 1, sizeof(int64_t));
            if (link->priced == NULL || link->cost == NULL) {
                return ERR_NO_MEMORY;
            }
            link->priced_count = count;
        }
    }
    return 0;
}

static int parts_price(struct eliminate *e, struct arena *arena)
{
    const struct reduced *r = e->r;
    for (int part = 0; part < r->parts; part++) {
        const struct problem_part *source = &r->problem->parts[part];
        size_t most = (size_t)e->size[part] * (size_t)r->meter_count;
        if (source->use_count == 0 || most == 0) {
            continue;
        }
        e->priced[part] = arena_array(arena, most, sizeof(struct priced));
        if (e->priced[part] == NULL) {
            return ERR_NO_MEMORY;
        }
        for (int i = 0; i < e->size[part]; i++) {
            reduce_part_uses(r, part, e->domain[part][i], &e->uses);
            for (int k = 0; k < e->uses.count; k++) {
                int m = r->active_of[e->uses.list[k].meter];
                if (m >= 0) {
                    e->priced[part][e->priced_count[part]++] =
                        (struct priced){(uint32_t)i, m, (double)e->uses.list[k].bytes};
                }
            }
        }
    }
    return 0;
}

/* No sum of open cells comes near what a closed one costs. */
static bool is_small(const struct eliminate *e)
{
    nusd sum = 0;
    for (int part = 0; part < e->r->parts; part++) {
        int64_t most = 0;
        for (int i = 0; i < e->size[part]; i++) {
            int64_t cost = e->r->node[reduce_node(e->r, part, e->domain[part][i])];
            most = cost > most ? cost : most;
        }
        sum += most;
        if (e->size[part] > UINT16_MAX) {
            return false;
        }
    }
    for (int i = 0; i < e->link_count; i++) {
        const struct bond *link = &e->links[i];
        int64_t most = 0;
        for (int at = 0; at < e->size[link->a] * e->size[link->b]; at++) {
            most = link->base[at] < CLOSED && link->base[at] > most ? link->base[at] : most;
        }
        sum += most;
    }
    for (int m = 0; m < e->r->meter_count; m++) {
        const struct active_meter *meter = &e->r->meters[m];
        const struct problem_meter *source = &e->r->problem->meters[meter->meter];
        nusd price = 0;
        for (int tier = 0; tier < source->tier_count; tier++) {
            nusd size = source->price_nusd[tier];
            size = size < 0 ? -size : size;
            price = size > price ? size : price;
        }
        /* A price asked for is at most a few of these apart from the one in the tables. */
        nusd charge = 4 * price * meter->volume_max / source->per_bytes;
        if (charge > (nusd)PRICED_MAX) {
            return false;
        }
        sum += charge;
    }
    return sum < CLOSED / 8;
}

/* Rounded down: a double is off by less than one here, and what prices make of it is only ever
 * compared as a lower bound. */
static int64_t priced_floor(double price, double amount)
{
    double product = price * amount;
    if (product > PRICED_MAX) {
        product = PRICED_MAX; /* lower still */
    }
    /* Below it no bound can be given: such prices are not asked for. */
    BERTH_ASSERT(product >= -PRICED_MAX, "a price times an amount is %g", product);
    return (int64_t)product - 2;
}

static void fill(struct eliminate *e, const struct eliminate_prices *prices)
{
    const struct reduced *r = e->r;
    for (int part = 0; part < r->parts; part++) {
        for (int i = 0; i < e->size[part]; i++) {
            int64_t cost = r->node[reduce_node(r, part, e->domain[part][i])];
            for (int k = 0; prices != NULL && k < e->takes_each; k++) {
                struct take take = e->takes[part][i * e->takes_each + k];
                if (take.rule >= 0 && prices->capacity[take.rule] > 0) {
                    cost += priced_floor(prices->capacity[take.rule], (double)take.demand);
                }
            }
            e->unary[part][i] = cost;
        }
        for (int i = 0; prices != NULL && i < e->priced_count[part]; i++) {
            struct priced priced = e->priced[part][i];
            if (prices->meter[priced.meter] != 0) {
                e->unary[part][priced.cell] +=
                    priced_floor(prices->meter[priced.meter], priced.bytes);
            }
        }
    }
    for (int i = 0; i < e->link_count; i++) {
        struct bond *link = &e->links[i];
        if (link->priced_count == 0) {
            continue;
        }
        size_t cells = (size_t)e->size[link->a] * (size_t)e->size[link->b];
        memcpy(link->cost, link->base, cells * sizeof(int64_t));
        for (int k = 0; prices != NULL && k < link->priced_count; k++) {
            struct priced priced = link->priced[k];
            if (prices->meter[priced.meter] != 0) {
                link->cost[priced.cell] += priced_floor(prices->meter[priced.meter], priced.bytes);
            }
        }
    }
}

/* Prices may be negative: a closed cell is told by the half of what it costs. */
static int64_t sum_of(int64_t a, int64_t b)
{
    return a >= CLOSED / 2 || b >= CLOSED / 2 ? CLOSED : a + b;
}

static void run_step(struct eliminate *e, struct step *step)
{
    if (step->near_count == 1 && step->link_count == 1 && step->factor_count == 0) {
        run_leaf(e, step);
    } else {
        run_table(e, step);
    }
}

/* A part that hangs on one other by one link: what it costs at best is the other's own. */
static void run_leaf(struct eliminate *e, struct step *step)
{
    const struct bond *link = &e->links[step->links[0]];
    const int64_t *own = e->unary[step->part];
    int64_t *near = e->unary[step->near[0]];
    int count = e->size[step->part];
    int others = e->size[step->near[0]];
    int stride = link->a == step->part ? e->size[link->b] : 1;
    int row = link->a == step->part ? 1 : count;
    for (int t = 0; t < others; t++) {
        const int64_t *cost = link->cost + (size_t)t * (size_t)row;
        int64_t least = INT64_MAX;
        int best = 0;
        for (int s = 0; s < count; s++) {
            int64_t sum = own[s] + cost[(size_t)s * (size_t)stride];
            if (sum < least) {
                least = sum;
                best = s;
            }
        }
        step->best[t] = (uint16_t)best;
        near[t] = sum_of(near[t], least);
    }
}

/* Any number of neighbours and tables. The last neighbour turns fastest: what does not depend on it
 * is added up once for all its choices. */
static void run_table(struct eliminate *e, struct step *step)
{
    struct table tables[SOURCES_MAX];
    int digit[SOURCES_MAX] = {0};
    int count = tables_of(e, step, tables);
    int last = step->near_count - 1;
    size_t turns = last < 0 ? 1 : (size_t)e->size[step->near[last]];
    size_t cells = turns;
    for (int i = 0; i < last; i++) {
        cells *= (size_t)e->size[step->near[i]];
    }
    int size = e->size[step->part];
    int64_t *near = step->near_count == 1 ? e->unary[step->near[0]] : NULL;
    int64_t *out = step->out >= 0 ? e->factors[step->out].cost : NULL;
    for (size_t at = 0; at < cells;) {
        memcpy(e->common, e->unary[step->part], (size_t)size * sizeof(*e->common));
        int turning = 0;
        for (int k = 0; k < count; k++) {
            const int64_t *cost = tables[k].cost;
            for (int i = 0; i < last; i++) {
                cost += tables[k].stride[i] * (size_t)digit[i];
            }
            tables[k].row = cost;
            if (last >= 0 && tables[k].stride[last] != 0) {
                tables[turning++].turn = k;
                continue;
            }
            for (int s = 0; s < size; s++) {
                e->common[s] += cost[tables[k].own * (size_t)s];
            }
        }
        for (size_t turn = 0; turn < turns; turn++, at++) {
            int64_t least = least_of(e, step, tables, turning, turn, &step->best[at]);
            if (out != NULL) {
                out[at] = sum_of(0, least);
            } else if (near != NULL) {
                near[at] = sum_of(near[at], least);
            }
        }
        for (int i = last - 1; i >= 0 && ++digit[i] == e->size[step->near[i]]; i--) {
            digit[i] = 0;
        }
    }
}

/* The tables that mention the part, and how its choices and its neighbours' move in each. */
static int tables_of(struct eliminate *e, const struct step *step, struct table *tables)
{
    int count = 0;
    for (int i = 0; i < step->near_count; i++) {
        e->position[step->near[i]] = i;
    }
    for (int k = 0; k < step->link_count; k++) {
        const struct bond *link = &e->links[step->links[k]];
        bool is_a = link->a == step->part;
        struct table *table = &tables[count++];
        *table = (struct table){.cost = link->cost, .own = is_a ? (size_t)e->size[link->b] : 1};
        table->stride[e->position[is_a ? link->b : link->a]] = is_a ? 1 : (size_t)e->size[link->b];
    }
    for (int k = 0; k < step->factor_count; k++) {
        const struct factor *factor = &e->factors[step->factors[k]];
        struct table *table = &tables[count++];
        size_t at = 1;
        *table = (struct table){.cost = factor->cost};
        for (int i = factor->part_count - 1; i >= 0; i--) {
            if (factor->parts[i] == step->part) {
                table->own = at;
            } else {
                table->stride[e->position[factor->parts[i]]] = at;
            }
            at *= (size_t)e->size[factor->parts[i]];
        }
    }
    return count;
}

/* The least of what the part can cost at one choice of its last neighbour; the first of equals. */
static int64_t least_of(struct eliminate *e, const struct step *step, const struct table *tables,
                        int turning, size_t turn, uint16_t *ret_best)
{
    int size = e->size[step->part];
    int last = step->near_count - 1;
    const int64_t *sums = e->common;
    /* All but one are added first: then the one is added while the least is looked for. */
    for (int k = 0; k + 1 < turning; k++) {
        const struct table *table = &tables[tables[k].turn];
        const int64_t *cost = table->row + table->stride[last] * turn;
        for (int s = 0; s < size; s++) {
            e->sums[s] = sums[s] + cost[table->own * (size_t)s];
        }
        sums = e->sums;
    }
    static const int64_t nothing = 0;
    const struct table *table = turning > 0 ? &tables[tables[turning - 1].turn] : NULL;
    const int64_t *cost = table == NULL ? &nothing : table->row + table->stride[last] * turn;
    size_t own = table == NULL ? 0 : table->own;
    int64_t least = INT64_MAX;
    int best = 0;
    for (int s = 0; s < size; s++) {
        int64_t sum = sums[s] + cost[own * (size_t)s];
        if (sum < least) {
            least = sum;
            best = s;
        }
    }
    *ret_best = (uint16_t)best;
    return least;
}

/* Backwards: each part at its best for what its neighbours took. The parts that went last and alone
 * hold the sums of their components. */
static bool collect(struct eliminate *e, int *choice, int64_t *sum)
{
    for (int i = e->step_count - 1; i >= 0; i--) {
        const struct step *step = &e->steps[i];
        size_t at = 0;
        for (int k = 0; k < step->near_count; k++) {
            at = at * (size_t)e->size[step->near[k]] + (size_t)e->position[step->near[k]];
        }
        int best = step->best[at];
        if (step->near_count == 0) {
            int64_t least = e->unary[step->part][best];
            if (least >= CLOSED / 2) {
                return false;
            }
            *sum += least;
        }
        e->position[step->part] = best;
        choice[step->part] = e->domain[step->part][best];
    }
    return true;
}
