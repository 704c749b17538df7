/* In which order the parts go: what hangs on one link first, then the cheapest of each core. */
#include <string.h>

#include "model/solve/eliminate_internal.h"

/* Additions of one part's elimination and of a whole run; larger is for other means. */
#define STEP_WORK_MAX (INT64_C(1) << 22)
#define RUN_WORK_MAX  (INT64_C(1) << 25)
/* Parts of one component that are left when everything that hangs on one link is gone. */
#define CORE_MAX 192

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

static int order_core(struct order *order, int from);
static int order_step(struct order *order, int part, const int *near, int near_count);
static int distinct_near(const struct order *order, int part, int *near, int max);

/* Parts that hang on one other go first, again and again: a tree is done then. The cores that are
 * left are taken apart by the cheapest next part. */
int eliminate_order(struct eliminate *e, struct arena *arena, bool *ret_dense)
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

/* What is still there and connected with `from`; each part's place among them is in core_of. */
static int core_gather(struct order *order, int from, int *core)
{
    const struct eliminate *e = order->e;
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
    return count;
}

/* Takes apart what is connected with `from`. */
static int order_core(struct order *order, int from)
{
    struct eliminate *e = order->e;
    int first = order->core_count;
    int *core = order->core + first;
    int count = core_gather(order, from, core);
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
