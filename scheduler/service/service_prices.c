/*
 * service_prices: what room is worth, by the certificate of the last plan, and what an explanation
 * makes of it: the workload's nearest other places, what each term of the cost has to do with it,
 * and by how much the price of which room would have to change.
 *
 * Prices are kept by the sites' names: they outlive the world that they were found in by one plan.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/world.h"
#include "scheduler/service/service_internal.h"

/* Other places that are compared term by term. */
#define RUNNERS_MAX 3

struct service_price {
    char site[LIMIT_REF_BYTES];
    enum resource resource;
    double nusd; /* a unit, a month */
};

static int runner(const struct service_shown *shown, const int *taken, int count);
static void write_place(const struct service_shown *shown, int index, int here,
                        struct json_out *json);
static void write_room(const struct service_shown *shown, int index, int here,
                       struct json_out *json);
static nusd times(double price, double units);

void service_prices_keep(struct service *service, const struct problem *problem,
                         const struct solution *solution)
{
    if (solution->price == NULL || solution->choice == NULL)
        return;
    int count = 0;
    for (int i = 0; i < problem->rule_count; i++)
        count += problem->rules[i].kind == RULE_CAPACITY && solution->price[i] > 0;
    struct service_price *prices = calloc((size_t)count + 1, sizeof(*prices));
    if (prices == NULL)
        return; /* the earlier ones stay */
    count = 0;
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        if (rule->kind != RULE_CAPACITY || solution->price[i] <= 0)
            continue;
        struct service_price *price = &prices[count++];
        str_format(price->site, sizeof(price->site), "%s", problem->site_names[rule->site]);
        price->resource = rule->resource;
        price->nusd = solution->price[i];
    }
    free(service->prices);
    service->prices = prices;
    service->price_count = count;
    service->prices_at_us = service_now(service).us;
}

void service_prices_done(struct service *service)
{
    free(service->prices);
    service->prices = NULL;
    service->price_count = 0;
}

int service_prices_of(const struct service *service, const struct world *world, struct arena *arena,
                      double (**ret_prices)[RESOURCE_COUNT], struct error *err)
{
    *ret_prices = NULL;
    if (service->prices == NULL)
        return 0;
    double(*prices)[RESOURCE_COUNT] =
        arena_array(arena, (size_t)world->site_count + 1, sizeof(*prices));
    if (prices == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the prices of %d sites",
                         world->site_count);
    for (int i = 0; i < service->price_count; i++) {
        const struct service_price *price = &service->prices[i];
        int site = world_site(world, price->site);
        if (site >= 0)
            prices[site][price->resource] += price->nusd;
    }
    *ret_prices = prices;
    return 0;
}

void service_places_write(const struct service *service, const struct service_shown *shown,
                          struct json_out *json)
{
    int here = -1;
    for (int i = 0; i < shown->count; i++)
        here = shown->list[i].chosen ? i : here;
    if (shown->input->capacity_price != NULL)
        json_int(json, "prices_at_us", service->prices_at_us);
    json_open(json, "places", '[');
    if (here >= 0)
        write_place(shown, here, here, json);
    int taken[RUNNERS_MAX];
    for (int told = 0; told < RUNNERS_MAX; told++) {
        taken[told] = runner(shown, taken, told);
        if (taken[told] < 0)
            break;
        write_place(shown, taken[told], here, json);
    }
    json_close(json, ']');
}

/* The nearest to being chosen of those that are not told yet; -1: there is none. */
static int runner(const struct service_shown *shown, const int *taken, int count)
{
    int best = -1;
    for (int i = 0; i < shown->count; i++) {
        const struct cost_candidate *candidate = &shown->list[i];
        bool is_new = !candidate->chosen && (candidate->allowed || candidate->full);
        for (int k = 0; k < count && is_new; k++)
            is_new = taken[k] != i;
        if (is_new && (best < 0 || candidate->reduced < shown->list[best].reduced))
            best = i;
    }
    return best;
}

static void write_place(const struct service_shown *shown, int index, int here,
                        struct json_out *json)
{
    const struct cost_candidate *candidate = &shown->list[index];
    const struct workload *what = shown->workload;
    bool named = what->variant_count > 1 && candidate->to.variant < what->variant_count;
    json_open(json, NULL, '{');
    json_string(json, "site", shown->input->world->sites[candidate->to.site].name);
    json_string(json, "variant", named ? what->variants[candidate->to.variant].name : "");
    json_bool(json, "chosen", candidate->chosen);
    json_bool(json, "full", candidate->full);
    json_money(json, "score", candidate->score);
    json_money(json, "gap", candidate->gap);
    json_money(json, "room", candidate->room);
    json_money(json, "reduced", candidate->reduced);
    json_open(json, "terms", '[');
    for (int term = 0; term < TERM_COUNT; term++) {
        nusd score = candidate->score_term[term];
        nusd bill = candidate->bill_term[term];
        nusd before = here < 0 ? 0 : shown->list[here].score_term[term];
        if (score == 0 && bill == 0 && before == 0)
            continue;
        json_open(json, NULL, '{');
        json_string(json, "term", cost_term_words[term]);
        json_money(json, "bill", bill);
        json_money(json, "score", score);
        json_money(json, "change", score - before);
        json_close(json, '}');
    }
    json_close(json, ']');
    write_room(shown, index, here, json);
    json_close(json, '}');
}

/* What it takes of the site, at which price; and the price at which this place would win, all else
 * being equal: here a higher one, elsewhere a lower one. */
static void write_room(const struct service_shown *shown, int index, int here,
                       struct json_out *json)
{
    const struct cost_candidate *candidate = &shown->list[index];
    json_open(json, "prices", '[');
    for (int r = 0; r < RESOURCE_COUNT && shown->input->capacity_price != NULL; r++) {
        double price = shown->input->capacity_price[candidate->to.site][r];
        double unit = r == RESOURCE_CPU ? 1000 : (double)(INT64_C(1) << 30);
        double takes = (double)candidate->takes[r];
        if (price <= 0 || takes <= 0)
            continue;
        double lead = (double)candidate->reduced;
        json_open(json, NULL, '{');
        json_string(json, "resource", r == RESOURCE_CPU ? "cpu" : "memory");
        json_string(json, "unit", r == RESOURCE_CPU ? "vCPU" : "GiB");
        json_money(json, "price", times(price, unit));
        json_money(json, "amount", times(price, takes));
        if (index != here && lead > 0 && lead <= price * takes)
            json_money(json, "wins_below", times(price - lead / takes, unit));
        json_close(json, '}');
    }
    json_close(json, ']');
}

static nusd times(double price, double units)
{
    double amount = price * units;
    return amount < 0x1p62 ? (nusd)llround(amount) : (nusd)1 << 62;
}
