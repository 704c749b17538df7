#include "simulator/whatif/spread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"

#define FACTOR_SCALE 9
#define INPUTS_MANY  400 /* of workloads; above, an app's workloads are drawn together */

const int64_t spread_quantile_ppm[SPREAD_QUANTILES] = {50000, 250000, 500000, 750000, 950000};

struct spreading {
    const struct sweep_base *base;
    const struct cost_input *input; /* with the overrides of the base */
    const struct cost_lookup *lookup;
    struct override *turns; /* parallel to inputs: each draw gives them its factors */
    const struct spread_options *options;
    struct spread_input *inputs;
    int input_count;
    int input_room;
    struct arena *arena;
    nusd *same;
    nusd *best;
    int placed;
    struct spread_place *places;
    int *first; /* [part]: its first place, -1; `next` runs parallel to places */
    int *next;
    int place_count;
    int place_room;
};

static int find_inputs(struct spreading *spreading, struct error *err);
static void add_input(struct spreading *spreading, int app, int workload, bool whole);
static int read_inputs(struct spreading *spreading, struct error *err);
static double error_of(const struct spreading *spreading, int app, int workload, int kind);
static int make_draw(void *context, int index, struct arena *arena, struct cost_input *ret_input,
                     struct error *err);
static int take_draw(void *context, int index, const struct whatif_answer *answer,
                     struct error *err);
static int count_place(struct spreading *spreading, int part, struct placement at,
                       struct error *err);
static void summarise(struct spreading *spreading, struct spread_result *result);
static nusd mean_of(const nusd *list, int count);
static double uniform(uint64_t *state);
static double normal(uint64_t *state);
static int by_amount(const void *a, const void *b);
static int by_part(const void *a, const void *b);

/* The measures of a workload, as overrides call them. */
static const struct {
    const char *path;
    enum estimate_kind kind;
} measures[] = {
    {"calls", ESTIMATE_CALLS_MHZ},
    {"cache.hit", ESTIMATE_HIT_PPM},
    {"cpu", ESTIMATE_CPU_NS},
    {"bytes.request", ESTIMATE_REQUEST_BYTES},
    {"bytes.response", ESTIMATE_RESPONSE_BYTES},
};
#define MEASURES ((int)(sizeof(measures) / sizeof(measures[0])))

int spread_input_parse(const char *text, struct spread_input *ret_input, struct error *err)
{
    struct spread_input input = {.part = 0};
    struct override override;
    int64_t ppm = 0;
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || (size_t)(equals - text) >= sizeof(input.path))
        return error_set(err, ERR_INVALID, 0,
                         "--spread \"%.80s\": write PATH=PART, as in price.egress.*=10%%", text);
    memcpy(input.path, text, (size_t)(equals - text));
    int rc = units_ratio(equals + 1, &ppm, err);
    if (rc == 0)
        rc = override_of(input.path, "x1", &override, err);
    if (rc < 0)
        return error_prefix(err, "--spread %.80s", text);
    if (ppm > 3 * PPM)
        return error_set(err, ERR_INVALID, 0, "--spread %.80s: at most 300 %%", text);
    input.part = (double)ppm / PPM;
    *ret_input = input;
    return 0;
}

int spread_run(struct whatif *whatif, const struct sweep_base *base,
               const struct spread_options *options, struct arena *arena,
               struct spread_result *ret_result, struct error *err)
{
    struct cost_input input;
    if (options->draws < 1 || options->draws > SPREAD_DRAWS_MAX)
        return error_set(err, ERR_INVALID, 0, "from 1 to %d draws", SPREAD_DRAWS_MAX);
    int rc = override_apply(base->list, base->count, base->input, arena, &input, err);
    if (rc < 0)
        return rc;
    int parts = whatif_parts(&input);
    struct spreading spreading = {
        .base = base, .input = &input, .options = options, .arena = arena};
    size_t draws = (size_t)options->draws;
    spreading.place_room = parts * 4 + 64;
    spreading.same = arena_array(arena, draws, sizeof(nusd));
    spreading.best = arena_array(arena, draws, sizeof(nusd));
    spreading.places =
        arena_array(arena, (size_t)spreading.place_room, sizeof(struct spread_place));
    spreading.next = arena_array(arena, (size_t)spreading.place_room, sizeof(int));
    spreading.first = arena_array(arena, (size_t)parts + 1, sizeof(int));
    if (spreading.same == NULL || spreading.best == NULL || spreading.places == NULL ||
        spreading.next == NULL || spreading.first == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d draws", options->draws);
    for (int part = 0; part < parts; part++)
        spreading.first[part] = -1;
    rc = cost_lookup_make(&input, arena, &spreading.lookup, err);
    if (rc == 0)
        rc = find_inputs(&spreading, err);
    if (rc == 0)
        rc = read_inputs(&spreading, err);
    struct whatif_batch batch = {.at = base->at,
                                 .lookup = spreading.lookup,
                                 .count = options->draws,
                                 .make = make_draw,
                                 .take = take_draw,
                                 .context = &spreading};
    if (rc == 0)
        rc = whatif_batch(whatif, &batch, err);
    if (rc < 0)
        return rc;
    summarise(&spreading, ret_result);
    return 0;
}

static int find_inputs(struct spreading *spreading, struct error *err)
{
    const struct cost_input *input = spreading->input;
    if (spreading->options->input_count > 0) {
        spreading->inputs = (struct spread_input *)spreading->options->inputs;
        spreading->input_count = spreading->options->input_count;
        return 0;
    }
    int parts = whatif_parts(input);
    bool whole = parts * MEASURES > INPUTS_MANY;
    spreading->input_room = (whole ? input->app_count : parts) * MEASURES;
    spreading->inputs = arena_array(spreading->arena, (size_t)spreading->input_room + 1,
                                    sizeof(struct spread_input));
    if (spreading->inputs == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the uncertain inputs");
    for (int i = 0; i < input->app_count; i++)
        for (int k = 0; k < (whole ? 1 : input->apps[i].app->workload_count); k++)
            add_input(spreading, i, k, whole);
    if (spreading->input_count == 0)
        return error_set(err, ERR_INVALID, 0,
                         "nothing here is uncertain: everything is exact or zero; name what is "
                         "with --spread PATH=10%%");
    return 0;
}

static void add_input(struct spreading *spreading, int app, int workload, bool whole)
{
    const struct app *owner = spreading->input->apps[app].app;
    for (int kind = 0; kind < MEASURES; kind++) {
        struct spread_input *input = &spreading->inputs[spreading->input_count];
        struct override_present present;
        int bytes =
            snprintf(input->path, sizeof(input->path), "%s.%s/%s/%s", measures[kind].path,
                     owner->namespace_, owner->name, whole ? "*" : owner->workloads[workload].name);
        if (bytes < 0 || (size_t)bytes >= sizeof(input->path) ||
            override_present_in(spreading->lookup, input->path, &present, NULL) < 0 ||
            present.value.coefficient == 0)
            continue;
        input->part = error_of(spreading, app, workload, kind);
        spreading->input_count += input->part > 0;
    }
}

static int read_inputs(struct spreading *spreading, struct error *err)
{
    struct decimal once = {.coefficient = 1};
    spreading->turns = arena_array(spreading->arena, (size_t)spreading->input_count + 1,
                                   sizeof(*spreading->turns));
    if (spreading->turns == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the uncertain inputs");
    for (int i = 0; i < spreading->input_count; i++) {
        int rc = override_times(spreading->inputs[i].path, once, &spreading->turns[i], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Of the latest estimate: its own error, or the prior's while it was observed too shortly to tell
 * one; without an estimate, the prior's. */
static double error_of(const struct spreading *spreading, int app, int workload, int kind)
{
    const struct policy *policy = &spreading->input->world->policy;
    const struct estimate *latest =
        cost_lookup_latest(spreading->lookup, app, workload, measures[kind].kind);
    if (latest == NULL || (latest->spread == 0 && latest->observed_us > 0 &&
                           latest->observed_us < policy->prior_weight_us))
        return (double)policy->prior_error_ppm / PPM;
    return (double)latest->spread / (double)latest->value;
}

static int make_draw(void *context, int index, struct arena *arena, struct cost_input *ret_input,
                     struct error *err)
{
    struct spreading *spreading = context;
    /* Each draw has a stream of its own: its index and the seed are all that it depends on. */
    uint64_t state =
        spreading->options->seed ^ (uint64_t)(index + 1) * UINT64_C(0xd1342543de82ef95);
    for (int i = 0; i < spreading->input_count; i++) {
        const struct spread_input *input = &spreading->inputs[i];
        double variance = log1p(input->part * input->part);
        double factor = exp(sqrt(variance) * normal(&state) - variance / 2);
        int64_t billionths = llround(fmin(factor, 1e6) * 1e9);
        override_turn(&spreading->turns[i], (struct decimal){billionths, FACTOR_SCALE});
    }
    return override_apply_to(spreading->lookup, spreading->turns, spreading->input_count, arena,
                             ret_input, err);
}

static int take_draw(void *context, int index, const struct whatif_answer *answer,
                     struct error *err)
{
    struct spreading *spreading = context;
    spreading->same[index] = whatif_bill(&answer->same);
    if (!whatif_is_placed(answer))
        return 0;
    spreading->best[spreading->placed++] = whatif_bill(&answer->total);
    int parts = whatif_parts(spreading->input);
    int rc = 0;
    for (int part = 0; part < parts && rc == 0; part++)
        rc = count_place(spreading, part, answer->best[part], err);
    return rc;
}

static int count_place(struct spreading *spreading, int part, struct placement at,
                       struct error *err)
{
    int *slot = &spreading->first[part];
    for (; *slot >= 0; slot = &spreading->next[*slot]) {
        struct spread_place *place = &spreading->places[*slot];
        if (place->at.site == at.site && place->at.variant == at.variant) {
            place->count++;
            return 0;
        }
    }
    if (spreading->place_count == spreading->place_room) {
        size_t room = (size_t)spreading->place_room * 2;
        struct spread_place *places = arena_array(spreading->arena, room, sizeof(*places));
        int *next = arena_array(spreading->arena, room, sizeof(*next));
        if (places == NULL || next == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for where workloads may be");
        bool inside = slot != &spreading->first[part];
        int last = inside ? (int)(slot - spreading->next) : -1;
        memcpy(places, spreading->places, (size_t)spreading->place_room * sizeof(*places));
        memcpy(next, spreading->next, (size_t)spreading->place_room * sizeof(*next));
        spreading->places = places;
        spreading->next = next;
        spreading->place_room = (int)room;
        slot = inside ? &next[last] : slot;
    }
    spreading->places[spreading->place_count] = (struct spread_place){part, at, 1};
    spreading->next[spreading->place_count] = -1;
    *slot = spreading->place_count++;
    return 0;
}

static void summarise(struct spreading *spreading, struct spread_result *result)
{
    int draws = spreading->options->draws;
    *result = (struct spread_result){.draws = draws,
                                     .unplaced = draws - spreading->placed,
                                     .inputs = spreading->input_count,
                                     .same_mean = mean_of(spreading->same, draws),
                                     .mean = mean_of(spreading->best, spreading->placed),
                                     .bills = spreading->best,
                                     .places = spreading->places,
                                     .place_count = spreading->place_count};
    qsort(spreading->same, (size_t)draws, sizeof(nusd), by_amount);
    qsort(spreading->best, (size_t)spreading->placed, sizeof(nusd), by_amount);
    qsort(spreading->places, (size_t)spreading->place_count, sizeof(struct spread_place), by_part);
    /* The nearest rank: an amount that was drawn. */
    for (int i = 0; i < SPREAD_QUANTILES; i++) {
        int64_t same = (spread_quantile_ppm[i] * draws + PPM - 1) / PPM - 1;
        int64_t best = (spread_quantile_ppm[i] * spreading->placed + PPM - 1) / PPM - 1;
        result->same_bill[i] = spreading->same[same < 0 ? 0 : same];
        result->bill[i] = spreading->placed == 0 ? 0 : spreading->best[best < 0 ? 0 : best];
    }
}

static nusd mean_of(const nusd *list, int count)
{
    nusd sum = 0;
    for (int i = 0; i < count; i++)
        sum += list[i];
    return count == 0 ? 0 : sum / count;
}

/* In (0, 1]: splitmix64 (Steele, Lea and Flood, 2014). */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)(((z ^ z >> 31) >> 11) + 1) * 0x1p-53;
}

/* Box and Muller, 1958. */
static double normal(uint64_t *state)
{
    double radius = sqrt(-2 * log(uniform(state)));
    return radius * cos(2 * acos(-1) * uniform(state));
}

static int by_amount(const void *a, const void *b)
{
    nusd x = *(const nusd *)a;
    nusd y = *(const nusd *)b;
    return (x > y) - (x < y);
}

static int by_part(const void *a, const void *b)
{
    const struct spread_place *x = a;
    const struct spread_place *y = b;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x->at.site != y->at.site
               ? (x->at.site > y->at.site) - (x->at.site < y->at.site)
               : (x->at.variant > y->at.variant) - (x->at.variant < y->at.variant);
}
