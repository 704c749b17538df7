#include "model/solve/eliminate.h"

#include <string.h>

/* What a closed cell costs. Sums of fewer than SOURCES_MAX of these fit; real sums stay below it.
 */
#define CLOSED      (INT64_C(1) << 58)
#define SOURCES_MAX 15
/* A price times an amount below this is off by less than one as a double. */
#define PRICED_MAX 1e15
/* Additions of one part's elimination and of a whole run; larger is for other means. */
#define STEP_WORK_MAX (INT64_C(1) << 22)
#define RUN_WORK_MAX  (INT64_C(1) << 25)
/* Parts of one component that are left when everything that hangs on one link is gone. */
#define CORE_MAX 192
/* Parts of an apart rule that becomes pairs. */
#define APART_MAX 10

struct priced {
    uint32_t cell;
    int meter; /* active */
    double bytes;
};

struct bond {
    int a;
    int b;
    const int64_t *base; /* [choice of a in its domain * size[b] + of b] */
    int64_t *cost;       /* base and prices: what a run works on */
    struct priced *priced;
    int priced_count;
};

/* A table over some parts that an elimination leaves behind. */
struct factor {
    int parts[SOURCES_MAX];
    int part_count;
    int64_t *cost;
};

/* One part goes; its neighbours are left with what it will cost at best. */
struct step {
    int part;
    int near[SOURCES_MAX];
    int near_count;
    int links[SOURCES_MAX];
    int link_count;
    int factors[SOURCES_MAX];
    int factor_count;
    int out; /* the factor it leaves, or -1: with no neighbour or one there is none */
    uint16_t *best;
};

struct take {
    int rule;
    int64_t demand;
};

struct eliminate {
    const struct reduced *r;
    int *size;    /* [part]: open choices */
    int **domain; /* [part][i]: its open choices, the present one first */
    int64_t **unary;
    struct priced **priced; /* [part] */
    int *priced_count;
    struct take *
        *takes; /* [part][i * takes_each]: what a choice takes of capacity rules; rule -1 */
    int takes_each;
    struct bond *links;
    int link_count;
    int **near_links; /* [part] */
    int *near_count;
    struct factor *factors;
    int factor_count;
    struct step *steps;
    int step_count;
    int *position; /* [part]: scratch, its place in the table at hand */
    int64_t work;
};

/* While the order is being found. */
struct order {
    struct eliminate *e;
    struct arena *arena;
    bool *gone;
    bool *waits; /* was put into the queue */
    int *queue;
    int *core;
    int core_count;
    int *core_of; /* [part] */
    bool *linked; /* [core * core_count + core] */
    bool dense;
};

static int domains_make(struct eliminate *e, struct arena *arena);
static int takes_make(struct eliminate *e, struct arena *arena);
static int links_make(struct eliminate *e, struct arena *arena);
static int link_add(struct eliminate *e, struct arena *arena, int a, int b, struct bond **ret_link);
static int link_price(struct eliminate *e, struct arena *arena, const struct edge *edge,
                      struct bond *link);
static int parts_price(struct eliminate *e, struct arena *arena);
static bool is_small(const struct eliminate *e);
static int order_make(struct eliminate *e, struct arena *arena, bool *ret_dense);
static int order_core(struct order *order, int from);
static int order_step(struct order *order, int part, const int *near, int near_count);
static int distinct_near(const struct order *order, int part, int *near, int max);
static void fill(struct eliminate *e, const struct eliminate_prices *prices);
static void run_step(struct eliminate *e, struct step *step);
static void run_leaf(struct eliminate *e, struct step *step);
static void run_table(struct eliminate *e, struct step *step);
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
    int rc = domains_make(e, arena);
    rc = rc == 0 ? takes_make(e, arena) : rc;
    rc = rc == 0 ? links_make(e, arena) : rc;
    rc = rc == 0 ? parts_price(e, arena) : rc;
    if (rc == 0 && is_small(e)) {
        rc = order_make(e, arena, &dense);
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
    if (e->size == NULL || e->domain == NULL || e->unary == NULL || e->priced == NULL ||
        e->priced_count == NULL || e->position == NULL) {
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
    e->takes = arena_array(arena, (size_t)r->parts + 1, sizeof(*e->takes));
    if (rule_of == NULL || e->takes == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < r->sites * RESOURCE_COUNT; i++) {
        rule_of[i] = -1;
    }
    for (int i = problem->rule_count - 1; i >= 0; i--) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_CAPACITY && !reduce_capacity_is_idle(r, rule)) {
            rule_of[rule->site * RESOURCE_COUNT + (int)rule->resource] = i;
            e->takes_each = RESOURCE_COUNT;
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
    return 0;
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
            for (int m = 0; m < r->meter_count && link->base[at] < CLOSED; m++) {
                nusd bytes = reduce_edge_bytes(r, r->meters[m].meter, edge, s, t);
                if (bytes == 0) {
                    continue;
                }
                if (round == 1) {
                    link->priced[count] = (struct priced){(uint32_t)at, m, (double)bytes};
                }
                count++;
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
            for (int m = 0; m < r->meter_count; m++) {
                nusd bytes = reduce_part_bytes(r, r->meters[m].meter, part, e->domain[part][i]);
                if (bytes > 0) {
                    e->priced[part][e->priced_count[part]++] =
                        (struct priced){(uint32_t)i, m, (double)bytes};
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

/* Parts that hang on one other go first, again and again: a tree is done then. The cores that are
 * left are taken apart by the cheapest next part. */
static int order_make(struct eliminate *e, struct arena *arena, bool *ret_dense)
{
    size_t parts = (size_t)e->r->parts + 1;
    struct order order = {.e = e, .arena = arena};
    order.gone = arena_array(arena, parts, sizeof(bool));
    order.waits = arena_array(arena, parts, sizeof(bool));
    order.queue = arena_array(arena, parts, sizeof(int));
    order.core = arena_array(arena, parts, sizeof(int));
    order.core_of = arena_array(arena, parts, sizeof(int));
    e->steps = arena_array(arena, parts, sizeof(*e->steps));
    e->factors = arena_array(arena, parts, sizeof(*e->factors));
    if (order.gone == NULL || order.waits == NULL || order.queue == NULL || order.core == NULL ||
        order.core_of == NULL || e->steps == NULL || e->factors == NULL) {
        return ERR_NO_MEMORY;
    }
    int queued = 0;
    int near[2];
    int rc = 0;
    for (int part = 0; part < e->r->parts; part++) {
        if (distinct_near(&order, part, near, 2) < 2) {
            order.queue[queued++] = part;
            order.waits[part] = true;
        }
    }
    for (int i = 0; i < queued && rc == 0 && !order.dense; i++) {
        int part = order.queue[i];
        int count = distinct_near(&order, part, near, 2);
        int more[2];
        rc = order_step(&order, part, near, count);
        if (rc == 0 && count == 1 && !order.waits[near[0]] &&
            distinct_near(&order, near[0], more, 2) < 2) {
            order.queue[queued++] = near[0];
            order.waits[near[0]] = true;
        }
    }
    for (int part = 0; part < e->r->parts && rc == 0 && !order.dense; part++) {
        if (!order.gone[part]) {
            rc = order_core(&order, part);
        }
    }
    *ret_dense = order.dense || e->work > RUN_WORK_MAX;
    return rc;
}

/* The neighbours that are not gone, at most `max` of them. */
static int distinct_near(const struct order *order, int part, int *near, int max)
{
    const struct eliminate *e = order->e;
    int count = 0;
    for (int k = 0; k < e->near_count[part] && count < max; k++) {
        const struct bond *link = &e->links[e->near_links[part][k]];
        int other = link->a == part ? link->b : link->a;
        bool known = order->gone[other];
        for (int i = 0; i < count; i++) {
            known = known || near[i] == other;
        }
        if (!known) {
            near[count++] = other;
        }
    }
    return count;
}

/* Takes apart what is connected with `from`. */
static int order_core(struct order *order, int from)
{
    struct eliminate *e = order->e;
    int first = order->core_count;
    int *core = order->core + first;
    int count = 0;
    for (int part = 0; part < e->r->parts; part++) {
        order->core_of[part] = -1;
    }
    core[count] = from;
    order->core_of[from] = count++;
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < e->near_count[core[i]]; k++) {
            const struct bond *link = &e->links[e->near_links[core[i]][k]];
            int other = link->a == core[i] ? link->b : link->a;
            if (!order->gone[other] && order->core_of[other] < 0) {
                core[count] = other;
                order->core_of[other] = count++;
            }
        }
    }
    if (count > CORE_MAX) {
        order->dense = true;
        return 0;
    }
    size_t side = (size_t)count;
    bool *linked = arena_array(order->arena, side * side, sizeof(bool));
    if (linked == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < e->link_count; i++) {
        int a = order->core_of[e->links[i].a];
        int b = order->core_of[e->links[i].b];
        if (a >= 0 && b >= 0 && !order->gone[e->links[i].a] && !order->gone[e->links[i].b]) {
            linked[(size_t)a * side + (size_t)b] = true;
            linked[(size_t)b * side + (size_t)a] = true;
        }
    }
    for (int done = 0; done < count && !order->dense; done++) {
        int best = -1;
        double best_weight = 0;
        for (int i = 0; i < count; i++) {
            double weight = order->gone[core[i]] ? 0 : (double)e->size[core[i]];
            for (int k = 0; weight > 0 && k < count; k++) {
                bool near = linked[(size_t)i * side + (size_t)k] && !order->gone[core[k]];
                weight *= near ? (double)e->size[core[k]] : 1;
            }
            if (weight > 0 && (best < 0 || weight < best_weight)) {
                best = i;
                best_weight = weight;
            }
        }
        int near[SOURCES_MAX];
        int near_count = 0;
        for (int k = 0; k < count && best_weight <= (double)STEP_WORK_MAX; k++) {
            if (linked[(size_t)best * side + (size_t)k] && !order->gone[core[k]]) {
                if (near_count == SOURCES_MAX) {
                    order->dense = true;
                    return 0;
                }
                near[near_count++] = core[k];
            }
        }
        if (best_weight > (double)STEP_WORK_MAX) {
            order->dense = true;
            return 0;
        }
        for (int i = 0; i < near_count; i++) {
            for (int k = 0; k < near_count; k++) {
                size_t at =
                    (size_t)order->core_of[near[i]] * side + (size_t)order->core_of[near[k]];
                linked[at] = i != k;
            }
        }
        int rc = order_step(order, core[best], near, near_count);
        if (rc < 0) {
            return rc;
        }
    }
    order->core_count += count;
    return 0;
}

/* The next part to go, with all tables that mention it. */
static int order_step(struct order *order, int part, const int *near, int near_count)
{
    struct eliminate *e = order->e;
    struct step *step = &e->steps[e->step_count++];
    size_t cells = 1;
    *step = (struct step){.part = part, .near_count = near_count, .out = -1};
    for (int i = 0; i < near_count; i++) {
        step->near[i] = near[i];
        cells *= (size_t)e->size[near[i]];
    }
    for (int k = 0; k < e->near_count[part]; k++) {
        const struct bond *link = &e->links[e->near_links[part][k]];
        if (!order->gone[link->a == part ? link->b : link->a]) {
            if (step->link_count == SOURCES_MAX) {
                order->dense = true;
                return 0;
            }
            step->links[step->link_count++] = e->near_links[part][k];
        }
    }
    for (int f = 0; f < e->factor_count; f++) {
        struct factor *factor = &e->factors[f];
        bool mentions = false;
        for (int i = 0; i < factor->part_count; i++) {
            mentions = mentions || factor->parts[i] == part;
        }
        if (mentions && factor->cost != NULL) {
            bool whole = true; /* not taken up by an earlier step */
            for (int i = 0; i < factor->part_count; i++) {
                whole = whole && !order->gone[factor->parts[i]];
            }
            if (whole && step->factor_count == SOURCES_MAX) {
                order->dense = true;
                return 0;
            }
            if (whole) {
                step->factors[step->factor_count++] = f;
            }
        }
    }
    int sources = step->link_count + step->factor_count;
    if (sources + 1 >= SOURCES_MAX) {
        order->dense = true;
        return 0;
    }
    order->gone[part] = true;
    e->work += (int64_t)cells * e->size[part] * (sources + 1);
    step->best = arena_array(order->arena, cells + 1, sizeof(*step->best));
    if (near_count > 1) {
        struct factor *out = &e->factors[e->factor_count];
        step->out = e->factor_count++;
        *out = (struct factor){.part_count = near_count};
        memcpy(out->parts, near, (size_t)near_count * sizeof(int));
        out->cost = arena_array(order->arena, cells, sizeof(int64_t));
        if (out->cost == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    return step->best == NULL ? ERR_NO_MEMORY : 0;
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

/* Any number of neighbours and tables. */
static void run_table(struct eliminate *e, struct step *step)
{
    const int64_t *base[SOURCES_MAX];
    size_t own_stride[SOURCES_MAX];
    size_t stride[SOURCES_MAX][SOURCES_MAX] = {{0}}; /* [source][neighbour] */
    int digit[SOURCES_MAX] = {0};
    int sources = 0;
    size_t cells = 1;
    for (int i = 0; i < step->near_count; i++) {
        e->position[step->near[i]] = i;
        cells *= (size_t)e->size[step->near[i]];
    }
    for (int k = 0; k < step->link_count; k++, sources++) {
        const struct bond *link = &e->links[step->links[k]];
        bool is_a = link->a == step->part;
        base[sources] = link->cost;
        own_stride[sources] = is_a ? (size_t)e->size[link->b] : 1;
        stride[sources][e->position[is_a ? link->b : link->a]] =
            is_a ? 1 : (size_t)e->size[link->b];
    }
    for (int k = 0; k < step->factor_count; k++, sources++) {
        const struct factor *factor = &e->factors[step->factors[k]];
        size_t at = 1;
        base[sources] = factor->cost;
        for (int i = factor->part_count - 1; i >= 0; i--) {
            if (factor->parts[i] == step->part) {
                own_stride[sources] = at;
            } else {
                stride[sources][e->position[factor->parts[i]]] = at;
            }
            at *= (size_t)e->size[factor->parts[i]];
        }
    }
    const int64_t *own = e->unary[step->part];
    int64_t *near = step->near_count == 1 ? e->unary[step->near[0]] : NULL;
    int64_t *out = step->out >= 0 ? e->factors[step->out].cost : NULL;
    for (size_t at = 0; at < cells; at++) {
        const int64_t *from[SOURCES_MAX];
        for (int k = 0; k < sources; k++) {
            from[k] = base[k];
            for (int i = 0; i < step->near_count; i++) {
                from[k] += stride[k][i] * (size_t)digit[i];
            }
        }
        int64_t least = INT64_MAX;
        for (int s = 0; s < e->size[step->part]; s++) {
            int64_t sum = own[s];
            for (int k = 0; k < sources; k++) {
                sum += from[k][own_stride[k] * (size_t)s];
            }
            if (sum < least) {
                least = sum;
                step->best[at] = (uint16_t)s;
            }
        }
        if (out != NULL) {
            out[at] = sum_of(0, least);
        } else if (near != NULL) {
            near[at] = sum_of(near[at], least);
        }
        for (int i = step->near_count - 1; i >= 0 && ++digit[i] == e->size[step->near[i]]; i--) {
            digit[i] = 0;
        }
    }
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
