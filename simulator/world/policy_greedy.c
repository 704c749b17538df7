/* Workload by workload: what schedulers without a solver do. */
#include <string.h>

#include "base/str.h"
#include "simulator/world/policy_internal.h"

/* The problem, and what is taken so far. */
struct greedy {
    const struct cost_input *input;
    struct problem problem;
    struct arena *arena;
    int *choice;     /* [part]; -1 */
    int *pair_first; /* [part]: index + 1 of pair_next, 0: none */
    int *pair_next;  /* [2 * pair + side] */
    int *rule_first; /* the same of rules about one or two parts */
    int *rule_next;  /* [2 * rule + side] */
    int64_t *room;   /* [site * RESOURCE_COUNT + resource]; INT64_MAX: enough */
    bool nearest;
};

static int begin(struct greedy *greedy, struct error *err);
static void index_parts(struct greedy *greedy);
static int order_parts(const struct greedy *greedy, int *order);
static bool fits(const struct greedy *greedy, int part, int choice);
static bool rule_holds(const struct greedy *greedy, const struct problem_rule *rule, int part,
                       int choice);
static int64_t cost_of(const struct greedy *greedy, int part, int choice);
static int64_t uses_cost(const struct problem *problem, const struct problem_use *uses, int count);
static int64_t rtt_of(const struct greedy *greedy, int part, int choice);
static void take(struct greedy *greedy, int part, int choice);
static void owner_of(const struct cost_input *input, int part, int *ret_app, int *ret_workload);

int policy_greedy(const struct cost_input *input, bool nearest, struct arena *arena,
                  struct placement *to, struct error *err)
{
    struct cost_input free_input;
    struct greedy greedy = {.input = &free_input, .arena = arena, .nearest = nearest};
    int rc = policy_unplaced(input, arena, &free_input, err);
    if (rc == 0)
        rc = begin(&greedy, err);
    if (rc < 0)
        return rc;
    const struct problem *problem = &greedy.problem;
    int *order = arena_array(arena, (size_t)problem->part_count + 1, sizeof(*order));
    if (order == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a greedy placement");
    int count = order_parts(&greedy, order);
    for (int i = 0; i < count; i++) {
        int part = order[i];
        int best = -1;
        int64_t least = INT64_MAX;
        for (int c = 0; c < problem->parts[part].choice_count; c++) {
            if (!fits(&greedy, part, c))
                continue;
            int64_t cost = nearest ? rtt_of(&greedy, part, c) : cost_of(&greedy, part, c);
            if (best < 0 || cost < least) {
                best = c;
                least = cost;
            }
        }
        if (best < 0)
            return error_set(err, ERR_NOT_FOUND, 0, "no site is left for %s when it is its turn",
                             problem->parts[part].name);
        take(&greedy, part, best);
    }
    for (int part = 0; part < problem->part_count; part++)
        to[part] = cost_placement(&free_input, problem, part, greedy.choice[part]);
    return 0;
}

static int begin(struct greedy *greedy, struct error *err)
{
    int rc = cost_problem(greedy->input, greedy->arena, &greedy->problem, err);
    if (rc < 0)
        return rc;
    const struct problem *problem = &greedy->problem;
    size_t parts = (size_t)problem->part_count + 1;
    size_t rows = (size_t)problem->site_count * RESOURCE_COUNT;
    greedy->choice = arena_array(greedy->arena, parts, sizeof(int));
    greedy->pair_first = arena_array(greedy->arena, parts, sizeof(int));
    greedy->rule_first = arena_array(greedy->arena, parts, sizeof(int));
    greedy->pair_next =
        arena_array(greedy->arena, 2 * (size_t)problem->pair_count + 1, sizeof(int));
    greedy->rule_next =
        arena_array(greedy->arena, 2 * (size_t)problem->rule_count + 1, sizeof(int));
    greedy->room = arena_array(greedy->arena, rows + 1, sizeof(int64_t));
    if (greedy->choice == NULL || greedy->pair_first == NULL || greedy->rule_first == NULL ||
        greedy->pair_next == NULL || greedy->rule_next == NULL || greedy->room == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a greedy placement");
    for (int i = 0; i < problem->part_count; i++)
        greedy->choice[i] = -1;
    for (size_t i = 0; i < rows; i++)
        greedy->room[i] = INT64_MAX;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind == RULE_CAPACITY)
            greedy->room[rule->site * RESOURCE_COUNT + (int)rule->resource] = rule->capacity;
    }
    index_parts(greedy);
    return 0;
}

static void index_parts(struct greedy *greedy)
{
    const struct problem *problem = &greedy->problem;
    for (int i = 0; i < problem->pair_count; i++)
        for (int side = 0; side < 2; side++) {
            int part = side == 0 ? problem->pairs[i].a : problem->pairs[i].b;
            greedy->pair_next[2 * i + side] = greedy->pair_first[part];
            greedy->pair_first[part] = 2 * i + side + 1;
        }
    for (int i = 0; i < problem->rule_count; i++)
        for (int side = 0; side < 2; side++) {
            const struct problem_rule *rule = &problem->rules[i];
            bool has = rule->kind == RULE_PAIR || (rule->kind == RULE_CHOICES && side == 0);
            if (!has)
                continue;
            int part = side == 0 ? rule->a : rule->b;
            greedy->rule_next[2 * i + side] = greedy->rule_first[part];
            greedy->rule_first[part] = 2 * i + side + 1;
        }
}

/* As the documents list them; for the nearest, callers before those that they call. */
static int order_parts(const struct greedy *greedy, int *order)
{
    const struct cost_input *input = greedy->input;
    int count = 0;
    for (int i = 0, base = 0; i < input->app_count; base += input->apps[i++].app->workload_count) {
        const struct app *app = input->apps[i].app;
        bool done[LIMIT_APP_WORKLOADS] = {false};
        for (int k = 0; k < app->workload_count; k++) {
            int next = -1;
            for (int w = 0; w < app->workload_count && next < 0; w++) {
                bool ready = !done[w];
                for (int l = 0; l < app->link_count && ready && greedy->nearest; l++)
                    ready = app->links[l].to != w || app->links[l].from_kind == LINK_SEGMENT ||
                            app->links[l].from == w || done[app->links[l].from];
                if (ready)
                    next = w;
            }
            for (int w = 0; w < app->workload_count && next < 0; w++)
                if (!done[w])
                    next = w; /* they call each other in a circle */
            done[next] = true;
            order[count++] = base + next;
        }
    }
    return count;
}

static bool fits(const struct greedy *greedy, int part, int choice)
{
    const struct problem *problem = &greedy->problem;
    const struct problem_choice *what = &problem->parts[part].choices[choice];
    for (int r = 0; r < RESOURCE_COUNT; r++)
        if (what->demand[r] > greedy->room[what->site * RESOURCE_COUNT + r])
            return false;
    for (int at = greedy->rule_first[part]; at != 0; at = greedy->rule_next[at - 1])
        if (!rule_holds(greedy, &problem->rules[(at - 1) / 2], part, choice))
            return false;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        bool within = false;
        if (rule->kind != RULE_APART)
            continue;
        for (int k = 0; k < rule->part_count; k++)
            within |= rule->parts[k] == part;
        for (int k = 0; k < rule->part_count && within; k++) {
            int other = rule->parts[k];
            if (other != part && greedy->choice[other] >= 0 &&
                problem->parts[other].choices[greedy->choice[other]].site == what->site)
                return false;
        }
    }
    return true;
}

static bool rule_holds(const struct greedy *greedy, const struct problem_rule *rule, int part,
                       int choice)
{
    if (rule->kind == RULE_CHOICES)
        return rule->allowed[choice];
    int other = rule->a == part ? rule->b : rule->a;
    int there = greedy->choice[other];
    if (there < 0)
        return true;
    int a = rule->a == part ? choice : there;
    int b = rule->a == part ? there : choice;
    return rule->allowed[problem_cell(&greedy->problem, rule->b, a, b)];
}

/* Its own, with the links to what is placed already. */
static int64_t cost_of(const struct greedy *greedy, int part, int choice)
{
    const struct problem *problem = &greedy->problem;
    const struct problem_part *what = &problem->parts[part];
    int64_t cost = what->cost[choice];
    if (what->use_count > 0)
        cost += uses_cost(problem, what->use + (size_t)choice * (size_t)what->use_count,
                          what->use_count);
    for (int at = greedy->pair_first[part]; at != 0; at = greedy->pair_next[at - 1]) {
        const struct problem_pair *pair = &problem->pairs[(at - 1) / 2];
        int other = pair->a == part ? pair->b : pair->a;
        int there = greedy->choice[other];
        if (there < 0)
            continue;
        size_t cell = pair->a == part ? problem_cell(problem, pair->b, choice, there)
                                      : problem_cell(problem, pair->b, there, choice);
        cost += pair->cost[cell];
        if (pair->use_count > 0)
            cost += uses_cost(problem, pair->use + cell * (size_t)pair->use_count, pair->use_count);
    }
    return cost;
}

/* As if nobody else were on the meters. */
static int64_t uses_cost(const struct problem *problem, const struct problem_use *uses, int count)
{
    nusd sum = 0;
    for (int i = 0; i < count; i++)
        if (uses[i].meter >= 0)
            sum += meter_charge(&problem->meters[uses[i].meter], uses[i].bytes);
    int64_t result;
    return money_to_i64(sum, &result) < 0 ? INT64_MAX / 4 : result;
}

/* To its callers, each by its share of the calls. */
static int64_t rtt_of(const struct greedy *greedy, int part, int choice)
{
    const struct cost_input *input = greedy->input;
    int index;
    int workload;
    owner_of(input, part, &index, &workload);
    const struct app *app = input->apps[index].app;
    int site = greedy->problem.parts[part].choices[choice].site;
    __int128 sum = 0;
    __int128 weights = 0;
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &app->links[i];
        int from = -1;
        if (link->to != workload)
            continue;
        int caller = part - workload + link->from;
        if (link->from_kind == LINK_SEGMENT) {
            for (int s = 0; s < input->world->site_count; s++)
                if (str_equal(input->world->sites[s].name, app->segments[link->from].site))
                    from = s;
        } else if (greedy->choice[caller] >= 0) {
            from = greedy->problem.parts[caller].choices[greedy->choice[caller]].site;
        }
        bool measured;
        int64_t rtt_us = from < 0 ? -1 : cost_rtt_us(input, from, site, &measured);
        int64_t weight = link->calls_mhz > 0 ? link->calls_mhz : 1;
        sum += rtt_us < 0 ? 0 : (__int128)rtt_us * weight;
        weights += weight;
    }
    return weights == 0 ? 0 : (int64_t)(sum / weights);
}

static void take(struct greedy *greedy, int part, int choice)
{
    const struct problem_choice *what = &greedy->problem.parts[part].choices[choice];
    greedy->choice[part] = choice;
    for (int r = 0; r < RESOURCE_COUNT; r++) {
        int64_t *room = &greedy->room[what->site * RESOURCE_COUNT + r];
        *room -= *room == INT64_MAX ? 0 : what->demand[r];
    }
}

static void owner_of(const struct cost_input *input, int part, int *ret_app, int *ret_workload)
{
    int app = 0;
    while (part >= input->apps[app].app->workload_count)
        part -= input->apps[app++].app->workload_count;
    *ret_app = app;
    *ret_workload = part;
}
