/* Which parts are an app, and in which order an app's parts are eliminated. */
#include <math.h>
#include <string.h>

#include "model/solve/dual_tree.h"

/* Additions that dividing apps with copies may take in a sweep, and eliminations of one app. */
#define TRIES_WORK 4e8

struct ints {
    int *at;
    int count;
    int room;
};

struct plan {
    const struct grid *grid;
    struct arena *arena;  /* the plan's own */
    struct arena scratch; /* while it is made */
    struct dual_tree *tree;
    struct ints *near;   /* [part] parts that are not eliminated yet */
    struct ints *factor; /* [part] links, and beyond them the steps' tables */
    bool *used;          /* [link] */
    bool *gone;          /* [part] */
    bool *waits;         /* [part] is in the queue of parts with one near or none */
    struct ints queue;
    struct ints member; /* of the app at hand */
    struct ints *scope; /* [step] parts near it */
    int steps;
    int steps_room;
    struct ints source_link; /* of all steps: link, or -1 - step */
    bool full;
};

static bool push(struct plan *plan, struct ints *ints, int value);
static bool plan_make(struct plan *plan);
static bool app_make(struct plan *plan, int from);
static bool app_gather(struct plan *plan, int from);
static int next_part(struct plan *plan);
static bool eliminate(struct plan *plan, int part);
static bool bucket(struct plan *plan, int part, struct ints *factors, bool own);
static bool resolve(struct plan *plan);
static bool pairs_make(struct plan *plan);
static void slow_first(struct plan *plan, struct dual_step *step);

int dual_plan(const struct grid *grid, struct arena *arena, struct dual_tree **ret_tree,
              struct error *err)
{
    struct plan plan = {.grid = grid, .arena = arena};
    plan.tree = arena_alloc(arena, sizeof(*plan.tree));
    arena_init(&plan.scratch, arena->bytes_max - arena->bytes_used);
    bool done = plan.tree != NULL;
    if (done && grid->links == 0) {
        plan.tree->singles = grid->parts;
    } else if (done) {
        done = plan_make(&plan) && resolve(&plan) && pairs_make(&plan);
    }
    arena_done(&plan.scratch);
    *ret_tree = plan.tree;
    return done ? 0 : dual_no_memory(err);
}

static bool push(struct plan *plan, struct ints *ints, int value)
{
    if (ints->count == ints->room) {
        int room = ints->room > 0 ? ints->room * 2 : 4;
        int *at = arena_array(&plan->scratch, (size_t)room, sizeof(int));
        if (at == NULL) {
            return false;
        }
        if (ints->count > 0) {
            memcpy(at, ints->at, (size_t)ints->count * sizeof(int));
        }
        ints->at = at;
        ints->room = room;
    }
    ints->at[ints->count++] = value;
    return true;
}

static bool has(const struct ints *ints, int value)
{
    for (int i = 0; i < ints->count; i++) {
        if (ints->at[i] == value) {
            return true;
        }
    }
    return false;
}

static void drop(struct ints *ints, int value)
{
    int kept = 0;
    for (int i = 0; i < ints->count; i++) {
        if (ints->at[i] != value) {
            ints->at[kept++] = ints->at[i];
        }
    }
    ints->count = kept;
}

static bool plan_make(struct plan *plan)
{
    const struct grid *grid = plan->grid;
    struct dual_tree *tree = plan->tree;
    size_t parts = (size_t)grid->parts + 1;
    plan->near = arena_array(&plan->scratch, parts, sizeof(*plan->near));
    plan->factor = arena_array(&plan->scratch, parts, sizeof(*plan->factor));
    plan->used = arena_array(&plan->scratch, (size_t)grid->links + 1, sizeof(bool));
    plan->gone = arena_array(&plan->scratch, parts, sizeof(bool));
    plan->waits = arena_array(&plan->scratch, parts, sizeof(bool));
    /* A part has no more copies than links. */
    plan->steps_room = grid->parts + 2 * grid->links + 1;
    plan->scope = arena_array(&plan->scratch, (size_t)plan->steps_room, sizeof(*plan->scope));
    tree->single = arena_array(plan->arena, parts, sizeof(int));
    tree->first = arena_array(plan->arena, parts, sizeof(int));
    struct dual_step *step =
        arena_array(&plan->scratch, (size_t)plan->steps_room, sizeof(*tree->step));
    if (plan->near == NULL || plan->factor == NULL || plan->used == NULL || plan->gone == NULL ||
        plan->waits == NULL || plan->scope == NULL || tree->single == NULL || tree->first == NULL ||
        step == NULL) {
        return false;
    }
    tree->step = step;
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        if (!push(plan, &plan->factor[link->a], i) || !push(plan, &plan->factor[link->b], i) ||
            (!has(&plan->near[link->a], link->b) && (!push(plan, &plan->near[link->a], link->b) ||
                                                     !push(plan, &plan->near[link->b], link->a)))) {
            return false;
        }
    }
    for (int part = 0; part < grid->parts; part++) {
        if (plan->gone[part]) {
            continue;
        }
        if (plan->near[part].count == 0) {
            plan->gone[part] = true;
            tree->single[tree->singles++] = part;
        } else if (!app_make(plan, part)) {
            return false;
        }
    }
    tree->step = arena_copy(plan->arena, step, ((size_t)plan->steps + 1) * sizeof(*step));
    return tree->step != NULL;
}

static bool app_make(struct plan *plan, int from)
{
    struct dual_tree *tree = plan->tree;
    if (!app_gather(plan, from)) {
        return false;
    }
    int begun = plan->steps;
    for (int part = next_part(plan); part >= 0; part = next_part(plan)) {
        if (!eliminate(plan, part)) {
            return false;
        }
    }
    int steps = plan->steps - begun;
    tree->app_parts_max = steps > tree->app_parts_max ? steps : tree->app_parts_max;
    tree->first[++tree->apps] = plan->steps;
    return true;
}

/* Everything that is connected with `from`. */
static bool app_gather(struct plan *plan, int from)
{
    plan->member.count = 0;
    plan->queue.count = 0;
    bool done = push(plan, &plan->member, from);
    plan->waits[from] = true; /* here: is a member */
    for (int i = 0; i < plan->member.count && done; i++) {
        const struct ints *near = &plan->near[plan->member.at[i]];
        for (int k = 0; k < near->count && done; k++) {
            if (!plan->waits[near->at[k]]) {
                plan->waits[near->at[k]] = true;
                done = push(plan, &plan->member, near->at[k]);
            }
        }
    }
    for (int i = 0; i < plan->member.count && done; i++) {
        int part = plan->member.at[i];
        plan->waits[part] = plan->near[part].count < 2;
        if (plan->waits[part]) {
            done = push(plan, &plan->queue, part);
        }
    }
    return done;
}

/* Cells of the table that eliminating a part takes. */
static double weight_of(const struct plan *plan, int part)
{
    double weight = grid_cells(plan->grid, part);
    for (int i = 0; i < plan->near[part].count; i++) {
        weight *= grid_cells(plan->grid, plan->near[part].at[i]);
    }
    return weight;
}

/* What hangs on one other part goes first; then the cheapest. -1: all are gone. */
static int next_part(struct plan *plan)
{
    while (plan->queue.count > 0) {
        int part = plan->queue.at[--plan->queue.count];
        if (!plan->gone[part]) {
            return part;
        }
    }
    int best = -1;
    double least = INFINITY;
    int kept = 0;
    for (int i = 0; i < plan->member.count; i++) {
        int part = plan->member.at[i];
        if (plan->gone[part]) {
            continue;
        }
        plan->member.at[kept++] = part;
        double weight = weight_of(plan, part);
        if (weight < least) {
            least = weight;
            best = part;
        }
    }
    plan->member.count = kept;
    return best;
}

/* Whether a factor still waits to be consumed. */
static bool is_open(const struct plan *plan, int factor)
{
    int links = plan->grid->links;
    return factor < links ? !plan->used[factor] : plan->tree->step[factor - links].consumer < 0;
}

/* The parts that a factor mentions beside `part` join a scope. */
static bool scope_add(struct plan *plan, int factor, int part, struct ints *scope)
{
    int links = plan->grid->links;
    if (factor < links) {
        const struct grid_link *link = &plan->grid->link[factor];
        int other = link->a == part ? link->b : link->a;
        return has(scope, other) || push(plan, scope, other);
    }
    const struct ints *theirs = &plan->scope[factor - links];
    for (int i = 0; i < theirs->count; i++) {
        int other = theirs->at[i];
        if (other != part && !has(scope, other) && !push(plan, scope, other)) {
            return false;
        }
    }
    return true;
}

static bool is_small(const struct plan *plan, int part, const struct ints *scope)
{
    double cells = grid_cells(plan->grid, part);
    for (int i = 0; i < scope->count; i++) {
        cells *= grid_cells(plan->grid, scope->at[i]);
    }
    return scope->count <= 1 || (scope->count <= DUAL_NEAR_MAX && cells <= DUAL_TABLE_MAX);
}

/* A part goes; what mentions it is divided among as many copies as the size of tables asks for. */
static bool eliminate(struct plan *plan, int part)
{
    struct ints open = {0};
    for (int i = 0; i < plan->factor[part].count; i++) {
        int factor = plan->factor[part].at[i];
        if (is_open(plan, factor) && !push(plan, &open, factor)) {
            return false;
        }
    }
    for (int i = 0; i < plan->near[part].count; i++) {
        drop(&plan->near[plan->near[part].at[i]], part);
    }
    plan->gone[part] = true;
    bool own = true;
    do {
        struct ints taken = {0};
        struct ints scope = {0};
        struct ints left = {0};
        for (int i = 0; i < open.count; i++) {
            struct ints wider = {0};
            for (int k = 0; k < scope.count; k++) {
                if (!push(plan, &wider, scope.at[k])) {
                    return false;
                }
            }
            if (!scope_add(plan, open.at[i], part, &wider)) {
                return false;
            }
            bool fits = taken.count == 0 || is_small(plan, part, &wider);
            if (!push(plan, fits ? &taken : &left, open.at[i])) {
                return false;
            }
            scope = fits ? wider : scope;
        }
        if (!bucket(plan, part, &taken, own)) {
            return false;
        }
        own = false;
        open = left;
    } while (open.count > 0);
    for (int i = 0; i < plan->near[part].count; i++) {
        int other = plan->near[part].at[i];
        if (plan->near[other].count < 2 && !plan->waits[other]) {
            plan->waits[other] = true;
            if (!push(plan, &plan->queue, other)) {
                return false;
            }
        }
    }
    return true;
}

/* One step, with what it consumes and what it leaves. */
static bool bucket(struct plan *plan, int part, struct ints *factors, bool own)
{
    int links = plan->grid->links;
    int index = plan->steps++;
    struct dual_step *step = &plan->tree->step[index];
    struct ints *scope = &plan->scope[index];
    *step = (struct dual_step){.part = part, .consumer = -1, .own = own};
    step->source_first = plan->source_link.count;
    for (int i = 0; i < factors->count; i++) {
        int factor = factors->at[i];
        if (!scope_add(plan, factor, part, scope)) {
            return false;
        }
        bool table = factor >= links && plan->scope[factor - links].count > 1;
        if (factor < links) {
            plan->used[factor] = true;
        } else {
            plan->tree->step[factor - links].consumer = index;
        }
        if (factor < links || table) {
            int source = factor < links ? factor : -1 - (factor - links);
            step->source_count++;
            if (!push(plan, &plan->source_link, source)) {
                return false;
            }
        }
    }
    for (int i = 0; i < scope->count; i++) {
        int a = scope->at[i];
        if (!push(plan, &plan->factor[a], links + index)) {
            return false;
        }
        for (int k = 0; k < scope->count; k++) {
            int b = scope->at[k];
            if (a != b && !has(&plan->near[a], b) && !push(plan, &plan->near[a], b)) {
                return false;
            }
        }
    }
    return true;
}

/* A part's place near a step, or -1. */
static int place_of(const struct plan *plan, const struct dual_step *step, int part)
{
    for (int i = 0; i < step->near_count; i++) {
        if (plan->tree->step[step->near[i]].part == part) {
            return i;
        }
    }
    return -1;
}

static void source_resolve(struct plan *plan, int index)
{
    struct dual_tree *tree = plan->tree;
    struct dual_step *step = &tree->step[index];
    for (int i = 0; i < step->source_count; i++) {
        int from = plan->source_link.at[step->source_first + i];
        struct dual_source *source = &tree->source[step->source_first + i];
        *source = (struct dual_source){.link = from >= 0 ? from : -1, .step = -1 - from};
        if (from >= 0) {
            const struct grid_link *link = &plan->grid->link[from];
            source->flip = link->b == step->part;
            int other = source->flip ? link->a : link->b;
            source->place[0] = (int8_t)place_of(plan, step, other);
        } else {
            const struct dual_step *table = &tree->step[source->step];
            for (int k = 0; k + 1 < table->near_count; k++) {
                int other = tree->step[table->near[k]].part;
                source->place[k] = (int8_t)place_of(plan, step, other);
            }
        }
    }
    slow_first(plan, step);
}

static bool mentions_last(const struct plan *plan, const struct dual_step *step,
                          const struct dual_source *source)
{
    int places = source->link >= 0 ? 1 : plan->tree->step[source->step].near_count - 1;
    bool last = false;
    for (int k = 0; k < places; k++) {
        last = last || source->place[k] == step->near_count - 1;
    }
    return last;
}

/* Sources that do not mention the last near come first, in their order. */
static void slow_first(struct plan *plan, struct dual_step *step)
{
    struct dual_source *source = plan->tree->source + step->source_first;
    for (int i = 0; i < step->source_count; i++) {
        struct dual_source moved = source[i];
        if (mentions_last(plan, step, &moved)) {
            continue;
        }
        for (int k = i; k > step->source_slow; k--) {
            source[k] = source[k - 1];
        }
        source[step->source_slow++] = moved;
    }
}

/* Backwards: which copies of the parts near a step are meant. That of its consumer is known; the
 * others are those that are near the consumer. */
static void near_resolve(struct plan *plan, int index)
{
    struct dual_tree *tree = plan->tree;
    struct dual_step *step = &tree->step[index];
    const struct ints *scope = &plan->scope[index];
    if (step->consumer < 0) {
        return;
    }
    const struct dual_step *consumer = &tree->step[step->consumer];
    for (int i = 0; i < scope->count; i++) {
        if (scope->at[i] != consumer->part) {
            step->near[step->near_count++] = consumer->near[place_of(plan, consumer, scope->at[i])];
        }
    }
    step->near[step->near_count++] = step->consumer;
}

static bool resolve(struct plan *plan)
{
    const struct grid *grid = plan->grid;
    struct dual_tree *tree = plan->tree;
    tree->source =
        arena_array(plan->arena, (size_t)plan->source_link.count + 1, sizeof(*tree->source));
    tree->copied = arena_array(plan->arena, (size_t)tree->apps + 1, sizeof(bool));
    if (tree->source == NULL || tree->copied == NULL) {
        return false;
    }
    for (int index = plan->steps - 1; index >= 0; index--) {
        near_resolve(plan, index);
    }
    for (int index = 0; index < plan->steps; index++) {
        source_resolve(plan, index);
    }
    double copied = 0;
    for (int app = 0; app < tree->apps; app++) {
        size_t at = 0;
        double operations = 0;
        double work = 0;
        for (int index = tree->first[app]; index < tree->first[app + 1]; index++) {
            struct dual_step *step = &tree->step[index];
            int cells = grid_cells(grid, step->part);
            int padded = (cells + DUAL_PAD) / DUAL_PAD * DUAL_PAD + DUAL_PAD;
            tree->near_cells = padded > tree->near_cells ? padded : tree->near_cells;
            step->value_at = at;
            at += (size_t)padded;
            step->out_at = at;
            step->out_count = step->near_count > 0;
            for (int i = 0; i < step->near_count; i++) {
                step->out_count *= (size_t)grid_cells(grid, tree->step[step->near[i]].part);
            }
            at += step->out_count > 0 ? step->out_count + DUAL_PAD : 0;
            operations += 2 + 3 * step->source_count;
            work += (double)cells * (double)(step->out_count > 0 ? step->out_count : 1);
            tree->copied[app] = tree->copied[app] || !step->own;
        }
        tree->scratch = at > tree->scratch ? at : tree->scratch;
        tree->rounding = operations > tree->rounding ? operations : tree->rounding;
        tree->work += work;
        copied += tree->copied[app] ? work : 0;
        tree->relaxed = tree->relaxed || tree->copied[app];
    }
    tree->tries = (int)fmin(fmax(TRIES_WORK / fmax(copied, 1), 1), DUAL_TRIES_MAX);
    tree->head_at = tree->scratch;
    tree->scratch += (size_t)tree->near_cells;
    tree->zero = arena_array(plan->arena, (size_t)tree->near_cells + 1, sizeof(double));
    return tree->zero != NULL;
}

/* Sites up to which the costs of pairs are kept ready. */
#define PAIRS_SITES 1024

static double pair_value(const struct dual_tree *tree, int table, int sign, uint32_t value)
{
    if (value == GRID_CLOSED) {
        return INFINITY;
    }
    return sign == 0 ? 0 : sign > 0 ? (double)value : (double)(tree->dearest[table] - value);
}

void dual_pairs_fill(const struct grid *grid, struct dual_tree *tree, int table, int sign)
{
    size_t sites = (size_t)grid->sites;
    size_t stride = (sites + DUAL_PAD - 1) / DUAL_PAD * DUAL_PAD;
    struct dual_pairs *pairs = &tree->pairs[table][sign + 1];
    for (size_t a = 0; a < sites && pairs->exact != NULL; a++) {
        for (size_t b = 0; b < sites; b++) {
            double value = pair_value(tree, table, sign, grid->table[table].value[a * sites + b]);
            float soft = value < INFINITY ? (float)value : 1e30f;
            pairs->exact[a * stride + b] = value;
            pairs->exact_flip[b * stride + a] = value;
            pairs->soft[a * stride + b] = soft;
            pairs->soft_flip[b * stride + a] = soft;
        }
    }
}

static bool pairs_of(struct plan *plan, int table, int sign)
{
    const struct grid *grid = plan->grid;
    size_t sites = (size_t)grid->sites;
    size_t stride = (sites + DUAL_PAD - 1) / DUAL_PAD * DUAL_PAD;
    struct dual_pairs *pairs = &plan->tree->pairs[table][sign + 1];
    if (pairs->exact != NULL || !grid->table[table].by_site || sites > PAIRS_SITES) {
        return true;
    }
    pairs->exact = arena_array(plan->arena, sites * stride, sizeof(double));
    pairs->exact_flip = arena_array(plan->arena, sites * stride, sizeof(double));
    pairs->soft = arena_array(plan->arena, sites * stride, sizeof(float));
    pairs->soft_flip = arena_array(plan->arena, sites * stride, sizeof(float));
    if (pairs->exact == NULL || pairs->exact_flip == NULL || pairs->soft == NULL ||
        pairs->soft_flip == NULL) {
        return false;
    }
    dual_pairs_fill(grid, plan->tree, table, sign);
    return true;
}

static bool pairs_make(struct plan *plan)
{
    const struct grid *grid = plan->grid;
    struct dual_tree *tree = plan->tree;
    tree->dearest = arena_array(plan->arena, (size_t)grid->tables + 1, sizeof(uint32_t));
    tree->pairs = arena_array(plan->arena, (size_t)grid->tables + 1, sizeof(*tree->pairs));
    if (tree->dearest == NULL || tree->pairs == NULL) {
        return false;
    }
    for (int i = 0; i < grid->tables; i++) {
        const struct grid_table *table = &grid->table[i];
        for (size_t at = 0; at < (size_t)table->rows * (size_t)table->columns; at++) {
            uint32_t value = table->value[at];
            if (value != GRID_CLOSED && value > tree->dearest[i]) {
                tree->dearest[i] = value;
            }
        }
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        int sign = (link->scale > 0) - (link->scale < 0);
        __int128 shift = sign < 0 ? (__int128)link->scale * tree->dearest[link->table] : 0;
        tree->base += link->base + shift;
        if (!pairs_of(plan, link->table, sign)) {
            return false;
        }
    }
    return true;
}
