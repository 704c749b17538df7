/* What would change the mind: every input turned by itself until another place wins. */
#include "model/cost_flip.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/cost_knob.h"
#include "model/egress.h"

#define CANDIDATES_MAX 12 /* places that are considered */
#define NEAREST        3  /* of them, those whose prices and paths are varied */
#define STEPS          5
#define PHRASE_BYTES   (LIMIT_REF_BYTES * 2 + LIMIT_NAME_BYTES)

/* One question: the part's present place against the others, in a slice of its app. */
struct flipper {
    const struct cost_input *input;
    const struct placement *at;
    int part;
    struct placement others[CANDIDATES_MAX]; /* of the whole, nearest first */
    nusd rooms[CANDIDATES_MAX];              /* what the room that it takes there is worth ... */
    nusd room;                               /* ... and here */
    int other_count;
    struct cost_slice slice;
    int here; /* the part in the slice */
    struct placement *there;
    struct cost_knobs knobs;
    struct cost_flip *flips;
    int count;
};

static int find_others(struct flipper *flipper, struct arena *arena, struct error *err);
static int slice_begin(struct flipper *flipper, struct arena *arena, struct error *err);
static int add_knobs(struct flipper *flipper, struct arena *arena);
static void add_link_knobs(struct flipper *flipper, int link, const struct placement *place,
                           bool present);
static void add_egress_knobs(struct flipper *flipper, int from, int to);
static int turn(struct flipper *flipper, const struct cost_knob *knob, bool up, struct error *err);
static int64_t step_value(const struct cost_knob *knob, bool up, int step);
static int winner_at(struct flipper *flipper, const struct cost_knob *knob, int64_t value,
                     int *ret_winner, struct error *err);
static int score_at(struct flipper *flipper, struct placement place, nusd *ret_score,
                    struct error *err);
static void add_flip(struct flipper *flipper, const struct cost_knob *knob, bool up, int64_t value,
                     int winner);
static int64_t rounded(int64_t value, bool up);
static void describe(const struct flipper *flipper, const struct cost_knob *knob,
                     struct cost_flip *flip);
static void phrase(const struct flipper *flipper, const struct cost_knob *knob,
                   char out[PHRASE_BYTES]);
static const char *value_text(const struct cost_knob *knob, struct decimal value,
                              char out[UNITS_TEXT_BYTES * 2]);
static int by_change(const void *a, const void *b);
static int no_memory(struct error *err);

/* What a knob is called, its unit, and how many decimals its integer has. */
static const struct {
    const char *unit;
    int scale; /* prices: the knob's own */
} kinds[] = {
    [KNOB_CALLS] = {"calls/s", 3},
    [KNOB_HIT] = {"ratio", 6},
    [KNOB_CPU] = {"us", 3},
    [KNOB_REQUEST] = {"bytes", 0},
    [KNOB_RESPONSE] = {"bytes", 0},
    [KNOB_RTT] = {"ms", 3},
    [KNOB_CPU_PRICE] = {"USD per vCPU-hour", 0},
    [KNOB_MEMORY_PRICE] = {"USD per GiB-hour", 0},
    [KNOB_STORAGE_PRICE] = {"USD per GiB-month", 0},
    [KNOB_EGRESS] = {"USD per GiB", 0},
    [KNOB_LATENCY_WEIGHT] = {"USD per second", 0},
    [KNOB_DEVICE_WEIGHT] = {"USD per second", 0},
};

int cost_flips(const struct cost_input *input, const struct placement *at, int part,
               struct arena *arena, struct cost_flip **ret_flips, int *ret_count, struct error *err)
{
    struct flipper flipper = {.input = input, .at = at, .part = part};
    struct arena scratch;
    if (at[part].site < 0) {
        return error_set(err, ERR_INVALID, 0,
                         "the workload is nowhere: what would move it is known once it is placed");
    }
    arena_init(&scratch, arena->bytes_max);
    int rc = find_others(&flipper, &scratch, err);
    if (rc == 0) {
        rc = slice_begin(&flipper, &scratch, err);
    }
    if (rc == 0) {
        rc = add_knobs(&flipper, &scratch) < 0 ? no_memory(err) : 0;
    }
    if (rc == 0) {
        flipper.flips =
            arena_array(arena, (size_t)flipper.knobs.count * 2 + 1, sizeof(struct cost_flip));
        rc = flipper.flips == NULL ? no_memory(err) : 0;
    }
    for (int i = 0; i < flipper.knobs.count * 2 && flipper.other_count > 0 && rc == 0; i++) {
        rc = turn(&flipper, &flipper.knobs.list[i / 2], i % 2 == 1, err);
    }
    cost_slice_done(&flipper.slice);
    arena_done(&scratch);
    if (rc < 0) {
        return rc;
    }
    qsort(flipper.flips, (size_t)flipper.count, sizeof(struct cost_flip), by_change);
    *ret_flips = flipper.flips;
    *ret_count = flipper.count;
    return 0;
}

/* The places that the rules allow and that are not better already, nearest first. That it rests
 * after a move, or does not move by itself, is no rule here: the question is what would be better.
 */
static int find_others(struct flipper *flipper, struct arena *arena, struct error *err)
{
    const struct cost_input *input = flipper->input;
    struct cost_input free = *input;
    struct cost_candidate *candidates;
    int count = 0;
    nusd gaps[CANDIDATES_MAX];
    free.apps = arena_array(arena, (size_t)input->app_count + 1, sizeof(struct cost_app));
    if (free.apps == NULL) {
        return no_memory(err);
    }
    memcpy(free.apps, input->apps, (size_t)input->app_count * sizeof(struct cost_app));
    for (int app = 0, first = 0; app < input->app_count; app++) {
        int workloads = input->apps[app].app->workload_count;
        if (flipper->part >= first && flipper->part < first + workloads) {
            struct workload_state *states =
                arena_array(arena, (size_t)workloads, sizeof(struct workload_state));
            if (states == NULL) {
                return no_memory(err);
            }
            memcpy(states, input->apps[app].states,
                   (size_t)workloads * sizeof(struct workload_state));
            states[flipper->part - first].may_move = true;
            free.apps[app].states = states;
        }
        first += workloads;
    }
    int rc = cost_candidates(&free, flipper->at, flipper->part, arena, &candidates, &count, err);
    for (int i = 0; i < count && rc == 0; i++) {
        int place = flipper->other_count;
        const struct cost_candidate *candidate = &candidates[i];
        if (candidate->chosen) {
            flipper->room = candidate->room;
        }
        if (candidate->chosen || !(candidate->allowed || candidate->full) ||
            candidate->reduced < 0) {
            continue;
        }
        while (place > 0 && gaps[place - 1] > candidate->reduced) {
            place--;
        }
        if (place == CANDIDATES_MAX) {
            continue;
        }
        flipper->other_count += flipper->other_count < CANDIDATES_MAX;
        for (int k = flipper->other_count - 1; k > place; k--) {
            gaps[k] = gaps[k - 1];
            flipper->others[k] = flipper->others[k - 1];
            flipper->rooms[k] = flipper->rooms[k - 1];
        }
        gaps[place] = candidate->reduced;
        flipper->others[place] = candidate->to;
        flipper->rooms[place] = candidate->room;
    }
    return rc;
}

static int slice_begin(struct flipper *flipper, struct arena *arena, struct error *err)
{
    const struct cost_input *input = flipper->input;
    struct cost_slicer slicer;
    bool *apps = arena_array(arena, (size_t)input->app_count + 1, sizeof(bool));
    bool *sites = arena_array(arena, (size_t)input->world->site_count + 1, sizeof(bool));
    if (apps == NULL || sites == NULL) {
        return no_memory(err);
    }
    for (int app = 0, first = 0; app < input->app_count; app++) {
        int workloads = input->apps[app].app->workload_count;
        apps[app] = flipper->part >= first && flipper->part < first + workloads;
        first += workloads;
    }
    for (int i = 0; i < flipper->other_count; i++) {
        sites[flipper->others[i].site] = true;
    }
    struct cost_context *context;
    int rc = cost_context_make(input, NULL, NULL, arena, &context, err);
    if (rc == 0) {
        rc = cost_slicer_begin(context, flipper->at, arena, &slicer, err);
    }
    if (rc == 0) {
        rc = cost_slice_begin(&slicer, apps, sites, flipper->at, arena, &flipper->slice, err);
    }
    if (rc < 0) {
        return rc;
    }
    flipper->here = cost_slice_part(&flipper->slice, flipper->part);
    flipper->there =
        arena_array(arena, (size_t)flipper->slice.part_count + 1, sizeof(struct placement));
    if (flipper->there == NULL) {
        return no_memory(err);
    }
    cost_slice_placements(&flipper->slice, flipper->at, flipper->there);
    return 0;
}

static int add_knobs(struct flipper *flipper, struct arena *arena)
{
    const struct cost_slice *slice = &flipper->slice;
    const struct app *app = &slice->apps[0];
    struct placement now = flipper->there[flipper->here];
    int places = 1 + (flipper->other_count < NEAREST ? flipper->other_count : NEAREST);
    int room = 5 + 3 * places + app->link_count * (2 + 9 * places);
    if (cost_knobs_begin(&flipper->knobs, room, arena) < 0) {
        return ERR_NO_MEMORY;
    }
    for (enum cost_knob_kind kind = KNOB_CALLS; kind <= KNOB_CPU; kind++) {
        cost_knob_workload(slice, &flipper->knobs, kind, 0, flipper->here, now);
    }
    for (int i = 0; i < places; i++) {
        struct placement place = i == 0 ? now : flipper->others[i - 1];
        place.site = i == 0 ? now.site : slice->site_here[place.site];
        for (enum cost_knob_kind kind = KNOB_CPU_PRICE; kind <= KNOB_STORAGE_PRICE; kind++) {
            cost_knob_price(slice, &flipper->knobs, kind, place.site);
        }
        for (int link = 0; link < app->link_count; link++) {
            add_link_knobs(flipper, link, &place, i == 0);
        }
    }
    cost_knob_weight(slice, &flipper->knobs, KNOB_LATENCY_WEIGHT, 0);
    cost_knob_weight(slice, &flipper->knobs, KNOB_DEVICE_WEIGHT, 0);
    return 0;
}

/* A link of the part, when the part is at `place`: its bytes, its round trip, its egress rules. */
static void add_link_knobs(struct flipper *flipper, int link, const struct placement *place,
                           bool present)
{
    const struct cost_slice *slice = &flipper->slice;
    const struct app *app = &slice->apps[0];
    const struct link *what = &app->links[link];
    bool users = what->from_kind != LINK_WORKLOAD;
    if (what->to != flipper->here && (users || what->from != flipper->here)) {
        return;
    }
    int from = users ? world_site(&slice->world, app->segments[what->from].site)
               : what->from == flipper->here ? place->site
                                             : flipper->there[what->from].site;
    int to = what->to == flipper->here ? place->site : flipper->there[what->to].site;
    if (from < 0 || to < 0) {
        return;
    }
    if (present) {
        cost_knob_bytes(slice, &flipper->knobs, KNOB_REQUEST, 0, link, flipper->there[what->to]);
        cost_knob_bytes(slice, &flipper->knobs, KNOB_RESPONSE, 0, link, flipper->there[what->to]);
    }
    cost_knob_rtt(slice, &flipper->knobs, from, to);
    add_egress_knobs(flipper, from, to);
    add_egress_knobs(flipper, to, from);
}

static void add_egress_knobs(struct flipper *flipper, int from, int to)
{
    struct egress_match match = egress_between(&flipper->slice.world, from, to);
    if (match.sender_rule >= 0) {
        cost_knob_egress(&flipper->slice, &flipper->knobs, match.sender_rule);
    }
    if (match.receiver_rule >= 0) {
        cost_knob_egress(&flipper->slice, &flipper->knobs, match.receiver_rule);
    }
}

/* A few steps until another place wins, then bisection between the last two. */
static int turn(struct flipper *flipper, const struct cost_knob *knob, bool up, struct error *err)
{
    int64_t stays = knob->present;
    int64_t moves = knob->present;
    int winner = -1;
    int rc = 0;
    for (int step = 0; step < STEPS && winner < 0 && rc == 0; step++) {
        int64_t value = step_value(knob, up, step);
        if (value == moves) {
            continue; /* so small a number that the step is none */
        }
        stays = moves;
        moves = value;
        rc = winner_at(flipper, knob, value, &winner, err);
    }
    while (winner >= 0 && rc == 0) {
        int64_t apart = up ? moves - stays : stays - moves;
        if (apart <= 1 || apart <= moves / 4000) {
            break;
        }
        int64_t middle = stays + (moves - stays) / 2;
        int then = -1;
        rc = winner_at(flipper, knob, middle, &then, err);
        if (then >= 0) {
            moves = middle;
            winner = then;
        } else {
            stays = middle;
        }
    }
    cost_knob_turn(&flipper->slice, knob, knob->present);
    if (rc == 0 && winner >= 0) {
        add_flip(flipper, knob, up, moves, winner);
    }
    return rc;
}

static int64_t step_value(const struct cost_knob *knob, bool up, int step)
{
    static const int64_t up_percent[STEPS] = {110, 150, 300, 1000, 10000};
    static const int64_t down_percent[STEPS] = {90, 66, 33, 10, 1};
    static const int64_t ratio_percent[STEPS] = {12, 25, 50, 75, 100};
    if (knob->kind == KNOB_HIT) {
        int64_t way = up ? PPM - knob->present : -knob->present;
        return knob->present + way * ratio_percent[step] / 100;
    }
    __int128 value = (__int128)knob->present * (up ? up_percent[step] : down_percent[step]) / 100;
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

/* Which of the others wins at that value: -1, none. What is too large to be reckoned wins nothing.
 */
static int winner_at(struct flipper *flipper, const struct cost_knob *knob, int64_t value,
                     int *ret_winner, struct error *err)
{
    struct error reason = {0};
    nusd best = 0;
    int winner = -1;
    cost_knob_turn(&flipper->slice, knob, value);
    int rc = cost_slice_prepare(&flipper->slice, &reason);
    if (rc == 0) {
        rc = score_at(flipper, flipper->at[flipper->part], &best, &reason);
    }
    for (int i = 0; i < flipper->other_count && rc == 0; i++) {
        nusd score = 0;
        rc = score_at(flipper, flipper->others[i], &score, &reason);
        score += flipper->rooms[i] - flipper->room;
        if (rc == 0 && score < best) {
            best = score;
            winner = i;
        }
    }
    if (rc == ERR_OVERFLOW || rc == ERR_INVALID) {
        winner = -1;
        rc = 0;
    }
    if (rc < 0) {
        return error_set(err, rc, 0, "%s", reason.text);
    }
    *ret_winner = winner;
    return 0;
}

static int score_at(struct flipper *flipper, struct placement place, nusd *ret_score,
                    struct error *err)
{
    struct placement present = flipper->there[flipper->here];
    struct cost_total total;
    nusd stay = 0;
    place.site = flipper->slice.site_here[place.site];
    flipper->there[flipper->here] = place;
    int rc = cost_slice_total(&flipper->slice, flipper->there, &total, &stay, err);
    flipper->there[flipper->here] = present;
    if (rc == 0) {
        *ret_score = total.score + stay;
    }
    return rc;
}

static void add_flip(struct flipper *flipper, const struct cost_knob *knob, bool up, int64_t value,
                     int winner)
{
    struct cost_flip *flip = &flipper->flips[flipper->count++];
    bool price = knob->kind >= KNOB_CPU_PRICE;
    int scale = price ? knob->scale : kinds[knob->kind].scale;
    int64_t shown = rounded(value, up);
    shown = knob->kind == KNOB_HIT && shown > PPM ? PPM : shown;
    *flip = (struct cost_flip){
        .present = decimal_normal((struct decimal){knob->present, scale}),
        .at = decimal_normal((struct decimal){shown, scale}),
        .above = up,
        .to = flipper->others[winner],
        .change_ppm = INT64_MAX,
    };
    if (knob->present > 0) {
        int64_t apart = up ? shown - knob->present : knob->present - shown;
        flip->change_ppm = (int64_t)((__int128)apart * PPM / knob->present);
    }
    describe(flipper, knob, flip);
}

/* Four digits, away from what does not flip yet. */
static int64_t rounded(int64_t value, bool up)
{
    int64_t unit = 1;
    while (value / unit >= 10000) {
        unit *= 10;
    }
    int64_t whole = value / unit * unit;
    return up && whole < value && whole <= INT64_MAX - unit ? whole + unit : whole;
}

static void describe(const struct flipper *flipper, const struct cost_knob *knob,
                     struct cost_flip *flip)
{
    const struct world *world = flipper->input->world;
    const struct app *app = &flipper->slice.apps[0];
    const struct workload *what = &app->workloads[flipper->here];
    char words[PHRASE_BYTES];
    char at[UNITS_TEXT_BYTES * 2];
    char present[UNITS_TEXT_BYTES * 2];
    char variant[LIMIT_NAME_BYTES * 2] = "";
    bool gb = knob->kind == KNOB_EGRESS &&
              flipper->slice.world.egress[knob->rule].per_bytes == INT64_C(1000000000);
    phrase(flipper, knob, words);
    str_format(flip->unit, sizeof(flip->unit), "%s", gb ? "USD per GB" : kinds[knob->kind].unit);
    if (knob->kind == KNOB_HIT || knob->kind == KNOB_CALLS || knob->kind == KNOB_CPU) {
        str_format(flip->input, sizeof(flip->input), "%s of %s/%s/%s at %s", words, app->namespace_,
                   app->name, what->name, world->sites[flipper->at[flipper->part].site].name);
    } else {
        str_format(flip->input, sizeof(flip->input), "%s", words);
    }
    if (what->variant_count > 1) {
        str_format(variant, sizeof(variant), " as %s", what->variants[flip->to.variant].name);
    }
    str_format(flip->text, sizeof(flip->text), "%s %s %s (now %s) moves it to %s%s", words,
               flip->above ? "above" : "below", value_text(knob, flip->at, at),
               value_text(knob, flip->present, present), world->sites[flip->to.site].name, variant);
}

static void phrase(const struct flipper *flipper, const struct cost_knob *knob,
                   char out[PHRASE_BYTES])
{
    const struct world *world = &flipper->slice.world;
    const char *site = knob->site < 0 ? "" : world->sites[knob->site].name;
    const char *callee =
        knob->workload < 0 ? "" : flipper->slice.apps[0].workloads[knob->workload].name;
    bool turned = knob->kind == KNOB_RTT &&
                  flipper->slice.site_whole[knob->site] > flipper->slice.site_whole[knob->peer];
    switch (knob->kind) {
    case KNOB_CALLS:
        str_format(out, PHRASE_BYTES, "calls");
        break;
    case KNOB_HIT:
        str_format(out, PHRASE_BYTES, "hit ratio");
        break;
    case KNOB_CPU:
        str_format(out, PHRASE_BYTES, "CPU time per call");
        break;
    case KNOB_REQUEST:
        str_format(out, PHRASE_BYTES, "request size to %s", callee);
        break;
    case KNOB_RESPONSE:
        str_format(out, PHRASE_BYTES, "response size from %s", callee);
        break;
    case KNOB_RTT:
        /* In the order of the world, whatever the slice's is. */
        str_format(out, PHRASE_BYTES, "round trip between %s and %s",
                   turned ? world->sites[knob->peer].name : site,
                   turned ? site : world->sites[knob->peer].name);
        break;
    case KNOB_CPU_PRICE:
        str_format(out, PHRASE_BYTES, "vCPU-hour at %s", site);
        break;
    case KNOB_MEMORY_PRICE:
        str_format(out, PHRASE_BYTES, "GiB-hour at %s", site);
        break;
    case KNOB_STORAGE_PRICE:
        str_format(out, PHRASE_BYTES, "stored GiB-month at %s", site);
        break;
    case KNOB_EGRESS:
        str_format(out, PHRASE_BYTES, "egress price %s%s", world->egress[knob->rule].name,
                   world->egress[knob->rule].tier_count > 1 ? " (first tier; all in proportion)"
                                                            : "");
        break;
    case KNOB_LATENCY_WEIGHT:
        str_format(out, PHRASE_BYTES, "weight of a second's waiting");
        break;
    default:
        str_format(out, PHRASE_BYTES, "weight of a device's CPU second");
        break;
    }
}

static const char *value_text(const struct cost_knob *knob, struct decimal value,
                              char out[UNITS_TEXT_BYTES * 2])
{
    char number[DECIMAL_TEXT_BYTES];
    char text[UNITS_TEXT_BYTES];
    int64_t whole = 0;
    int rc = decimal_scaled(value, kinds[knob->kind].scale, &whole);
    BERTH_ASSERT(rc == 0 || knob->kind >= KNOB_CPU_PRICE, "it was an integer");
    switch (knob->kind) {
    case KNOB_CALLS:
        str_format(out, UNITS_TEXT_BYTES * 2, "%s", units_format_rate(whole, text));
        break;
    case KNOB_HIT:
        str_format(out, UNITS_TEXT_BYTES * 2, "%s", units_format_ratio(whole, text));
        break;
    case KNOB_CPU:
        str_format(out, UNITS_TEXT_BYTES * 2, "%s us", decimal_format(value, number));
        break;
    case KNOB_REQUEST:
    case KNOB_RESPONSE:
        str_format(out, UNITS_TEXT_BYTES * 2, "%s", units_format_bytes(whole, text));
        break;
    case KNOB_RTT:
        str_format(out, UNITS_TEXT_BYTES * 2, "%s", units_format_duration(whole, text));
        break;
    default:
        str_format(out, UNITS_TEXT_BYTES * 2, "$%s", decimal_format(value, number));
        break;
    }
    return out;
}

/* By the change, then by the text, so that the order is the same everywhere. */
static int by_change(const void *a, const void *b)
{
    const struct cost_flip *one = a;
    const struct cost_flip *two = b;
    if (one->change_ppm != two->change_ppm) {
        return one->change_ppm < two->change_ppm ? -1 : 1;
    }
    return strcmp(one->text, two->text);
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for what would change a placement");
}
