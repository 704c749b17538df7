/* Which moves belong together, what each group saves, how sure that is. */
#include "model/cost_saving.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/cost_knob.h"

#define MONTH_US      (MONTH_S * US_PER_S)
#define CONFIDENT_MAX (PPM - 1) /* what is uncertain at all is never certain */
#define CONFIDENT_MIN 1

/* The moves of a plan while they are grouped. */
struct grouping {
    const struct cost_input *input;
    const struct placement *now;
    const struct placement *plan;
    int part_count;
    int *part_app;
    int *part_first; /* [app]: its first part */
    int *move_of;    /* [part]: index in moves, or -1 */
    struct cost_move *moves;
    int count;
    int *parent; /* [move]: union-find */
};

/* One group while it is judged. */
struct judge {
    const struct grouping *grouping;
    int group;
    struct cost_slice slice;
    struct cost_knobs knobs;
    struct placement *with;    /* of the slice: the plan */
    struct placement *without; /* the same with the group where it is now */
    struct placement *any;     /* [part]: site -1 */
    bool *mine;                /* [part of the slice]: moved by the group */
};

/* What the two placements of a judge differ in, per month unless said. */
struct difference {
    nusd score;      /* saved, without the one-off part */
    nusd bill;       /* saved */
    nusd once;       /* one-off bill */
    nusd once_score; /* the one-off part of the monthly score */
};

static int begin(struct grouping *grouping, const bool *must, struct arena *arena);
static bool is_moved(const struct placement *from, const struct placement *to);
static void group_links(struct grouping *grouping, int app);
static void group_families(struct grouping *grouping, int app);
static bool couple(struct grouping *grouping, int leaver, int arrival);
static bool couple_aparts(struct grouping *grouping, int app);
static bool changes_hands(const struct grouping *grouping, int site);
static bool couple_site(struct grouping *grouping, int site);
static int64_t demand_of(const struct grouping *grouping, const struct placement *at, int part,
                         int resource);
static int64_t capacity_of(const struct cost_input *input, int site, int resource);
static void join(struct grouping *grouping, int part_a, int part_b);
static int find(struct grouping *grouping, int move);
static int number_groups(struct grouping *grouping);
static int judge_group(const struct grouping *grouping, const struct cost_slicer *slicer, int group,
                       struct error *err);
static int judge_begin(struct judge *judge, const struct cost_slicer *slicer, struct arena *arena,
                       struct error *err);
static int judge_knobs(struct judge *judge, struct arena *arena);
static void knobs_of_part(struct judge *judge, int part);
static int judge_difference(struct judge *judge, struct difference *ret_difference,
                            struct error *err);
static int judge_spread(struct judge *judge, nusd saving, struct arena *arena, nusd *ret_spread,
                        struct error *err);
static nusd root_of_squares(const nusd *values, int count);
static int64_t payback_us(nusd once, nusd saving);
static int no_memory(struct error *err);

int cost_moves(const struct cost_context *context, const struct placement *now,
               const struct placement *plan, const bool *must, struct arena *arena,
               struct cost_move **ret_moves, int *ret_count, struct error *err)
{
    const struct cost_input *input = context->input;
    struct grouping grouping = {.input = input, .now = now, .plan = plan};
    struct cost_slicer slicer;
    struct arena scratch;
    if (begin(&grouping, must, arena) < 0) {
        return no_memory(err);
    }
    for (int app = 0; app < input->app_count; app++) {
        group_links(&grouping, app);
        group_families(&grouping, app);
    }
    /* A move that another needs is forced when the other is, and so on. */
    for (bool again = grouping.count > 0; again;) {
        again = false;
        for (int app = 0; app < input->app_count; app++) {
            again = couple_aparts(&grouping, app) || again;
        }
        for (int site = 0; site < input->world->site_count; site++) {
            again = couple_site(&grouping, site) || again;
        }
    }
    int groups = number_groups(&grouping);
    arena_init(&scratch, arena->bytes_max);
    int rc = groups == 0 ? 0 : cost_slicer_begin(context, plan, &scratch, &slicer, err);
    for (int group = 0; group < groups && rc == 0; group++) {
        rc = judge_group(&grouping, &slicer, group, err);
    }
    arena_done(&scratch);
    if (rc < 0) {
        return rc;
    }
    *ret_moves = grouping.moves;
    *ret_count = grouping.count;
    return 0;
}

/* The distribution function at tenths of a standard error, in 1e-9, and a parabola through three
 * neighbours between them: off by at most 26 ppm. */
int64_t cost_confidence_ppm(nusd mean, nusd spread)
{
    static const int64_t table[] = {
        500000000, 539827837, 579259709, 617911422, 655421742, 691462461, 725746882, 758036348,
        788144601, 815939875, 841344746, 864333939, 884930330, 903199515, 919243341, 933192799,
        945200708, 955434537, 964069681, 971283440, 977249868, 982135579, 986096552, 989275890,
        991802464, 993790335, 995338812, 996533026, 997444870, 998134187, 998650102, 999032397,
        999312862, 999516576, 999663071, 999767371, 999840891, 999892200, 999927652, 999951904,
        999968329, 999979342, 999986654, 999991460, 999994587, 999996602, 999997888, 999998699,
        999999207, 999999521, 999999713, 999999830,
    };
    const int last = (int)(sizeof(table) / sizeof(table[0])) - 2; /* 5 standard errors */
    if (spread <= 0) {
        return mean > 0 ? PPM : 0;
    }
    /* Only their ratio counts: halving both keeps the products small. */
    nusd size = mean < 0 ? -mean : mean;
    while (size > INT64_MAX || spread > INT64_MAX) {
        size /= 2;
        spread /= 2;
    }
    if (spread == 0 || size / spread >= last / 10) {
        return mean > 0 ? CONFIDENT_MAX : CONFIDENT_MIN;
    }
    int64_t tenths_ppm = (int64_t)(size * 10 * PPM / spread);
    int64_t at = tenths_ppm / PPM;
    int64_t t = tenths_ppm % PPM;
    int64_t first = table[at + 1] - table[at];
    int64_t second = table[at + 2] - 2 * table[at + 1] + table[at];
    int64_t above = table[at] + (first * t + second * (t * (t - PPM) / 2 / PPM)) / PPM;
    int64_t ppm = (above + 500) / 1000;
    ppm = ppm > CONFIDENT_MAX ? CONFIDENT_MAX : ppm;
    return mean < 0 ? PPM - ppm : ppm;
}

static int begin(struct grouping *grouping, const bool *must, struct arena *arena)
{
    const struct cost_input *input = grouping->input;
    for (int app = 0; app < input->app_count; app++) {
        grouping->part_count += input->apps[app].app->workload_count;
    }
    size_t parts = (size_t)grouping->part_count + 1;
    grouping->part_app = arena_array(arena, parts, sizeof(int));
    grouping->move_of = arena_array(arena, parts, sizeof(int));
    grouping->part_first = arena_array(arena, (size_t)input->app_count + 1, sizeof(int));
    if (grouping->part_app == NULL || grouping->move_of == NULL || grouping->part_first == NULL) {
        return ERR_NO_MEMORY;
    }
    int part = 0;
    for (int app = 0; app < input->app_count; app++) {
        grouping->part_first[app] = part;
        for (int i = 0; i < input->apps[app].app->workload_count; i++, part++) {
            bool moved = is_moved(&grouping->now[part], &grouping->plan[part]);
            grouping->part_app[part] = app;
            grouping->move_of[part] = moved ? grouping->count++ : -1;
        }
    }
    grouping->moves = arena_array(arena, (size_t)grouping->count + 1, sizeof(struct cost_move));
    grouping->parent = arena_array(arena, (size_t)grouping->count + 1, sizeof(int));
    if (grouping->moves == NULL || grouping->parent == NULL) {
        return ERR_NO_MEMORY;
    }
    for (part = 0; part < grouping->part_count; part++) {
        int move = grouping->move_of[part];
        if (move >= 0) {
            grouping->parent[move] = move;
            grouping->moves[move] = (struct cost_move){.part = part,
                                                       .from = grouping->now[part],
                                                       .to = grouping->plan[part],
                                                       .forced = must != NULL && must[part],
                                                       .group = -1,
                                                       .payback_us = INT64_MAX};
        }
    }
    return 0;
}

/* Whose instances serve follows from where everything is: by itself it is no move. */
static bool is_moved(const struct placement *from, const struct placement *to)
{
    return from->site >= 0 && to->site >= 0 &&
           (from->site != to->site || from->variant != to->variant);
}

static void group_links(struct grouping *grouping, int app)
{
    const struct app *what = grouping->input->apps[app].app;
    int first = grouping->part_first[app];
    for (int i = 0; i < what->link_count; i++) {
        if (what->links[i].from_kind == LINK_WORKLOAD) {
            join(grouping, first + what->links[i].from, first + what->links[i].to);
        }
    }
}

static void group_families(struct grouping *grouping, int app)
{
    const struct app *what = grouping->input->apps[app].app;
    int first = grouping->part_first[app];
    for (int a = 0; a < what->workload_count; a++) {
        for (int b = a + 1; b < what->workload_count && grouping->move_of[first + a] >= 0; b++) {
            if (what->workloads[a].family[0] != '\0' &&
                str_equal(what->workloads[a].family, what->workloads[b].family)) {
                join(grouping, first + a, first + b);
            }
        }
    }
}

/* `arrival` goes where `leaver` has to be gone. True when that forces the leaver. */
static bool couple(struct grouping *grouping, int leaver, int arrival)
{
    struct cost_move *leaves = &grouping->moves[grouping->move_of[leaver]];
    const struct cost_move *arrives = &grouping->moves[grouping->move_of[arrival]];
    join(grouping, leaver, arrival);
    if (arrives->forced && !leaves->forced) {
        leaves->forced = true;
        return true;
    }
    return false;
}

static bool couple_aparts(struct grouping *grouping, int app)
{
    const struct app *what = grouping->input->apps[app].app;
    int first = grouping->part_first[app];
    bool forced = false;
    for (int i = 0; i < what->apart_count; i++) {
        const struct apart *apart = &what->aparts[i];
        for (int a = 0; a < apart->count; a++) {
            for (int b = 0; b < apart->count; b++) {
                int leaver = first + apart->workloads[a];
                int arrival = first + apart->workloads[b];
                if (a != b && grouping->move_of[leaver] >= 0 && grouping->move_of[arrival] >= 0 &&
                    grouping->now[leaver].site == grouping->plan[arrival].site) {
                    forced = couple(grouping, leaver, arrival) || forced;
                }
            }
        }
    }
    return forced;
}

/* Somebody leaves it and somebody comes. */
static bool changes_hands(const struct grouping *grouping, int site)
{
    bool leaves = false;
    bool comes = false;
    for (int i = 0; i < grouping->count; i++) {
        const struct cost_move *move = &grouping->moves[i];
        leaves = leaves || (move->from.site == site && move->to.site != site);
        comes = comes || (move->to.site == site && move->from.site != site);
    }
    return leaves && comes;
}

/* Where those who leave and those who come do not fit together, they depend on each other. */
static bool couple_site(struct grouping *grouping, int site)
{
    bool tight = false;        /* with all that leave, the plan would not fit */
    bool tight_forced = false; /* nor would it without those who come of their own will */
    bool forced = false;
    if (!changes_hands(grouping, site)) {
        return false;
    }
    for (int resource = 0; resource < RESOURCE_COUNT; resource++) {
        int64_t capacity = capacity_of(grouping->input, site, resource);
        __int128 used = 0;
        __int128 willing = 0;
        for (int part = 0; part < grouping->part_count && capacity >= 0; part++) {
            int move = grouping->move_of[part];
            bool there = grouping->plan[part].site == site;
            if (there) {
                int64_t demand = demand_of(grouping, grouping->plan, part, resource);
                used += demand;
                willing += move >= 0 && !grouping->moves[move].forced ? demand : 0;
            } else if (move >= 0 && grouping->now[part].site == site) {
                used += demand_of(grouping, grouping->now, part, resource);
            }
        }
        tight = tight || (capacity >= 0 && used > capacity);
        tight_forced = tight_forced || (capacity >= 0 && used - willing > capacity);
    }
    for (int a = 0; a < grouping->count && tight; a++) {
        const struct cost_move *leaves = &grouping->moves[a];
        for (int b = 0; b < grouping->count; b++) {
            const struct cost_move *arrives = &grouping->moves[b];
            if (leaves->from.site == site && leaves->to.site != site && arrives->to.site == site &&
                arrives->from.site != site && (tight_forced || !arrives->forced)) {
                forced = couple(grouping, leaves->part, arrives->part) || forced;
            }
        }
    }
    return forced;
}

/* What the part takes of its site: nothing where another of its family runs for it. */
static int64_t demand_of(const struct grouping *grouping, const struct placement *at, int part,
                         int resource)
{
    int app = grouping->part_app[part];
    int first = grouping->part_first[app];
    const struct workload *workloads = grouping->input->apps[app].app->workloads;
    const struct workload *what = &workloads[part - first];
    for (int i = first; i < part && what->family[0] != '\0'; i++) {
        if (at[i].site == at[part].site && at[i].variant == at[part].variant &&
            str_equal(workloads[i - first].family, what->family)) {
            return 0;
        }
    }
    const struct variant *variant =
        at[part].variant < what->variant_count ? &what->variants[at[part].variant] : NULL;
    int64_t reserve = variant != NULL && variant->reserve[resource] >= 0
                          ? variant->reserve[resource]
                          : what->reserve[resource];
    int64_t demand;
    return __builtin_mul_overflow(reserve, what->replicas, &demand) ? INT64_MAX : demand;
}

/* -1: unlimited. */
static int64_t capacity_of(const struct cost_input *input, int site, int resource)
{
    int64_t declared = input->world->sites[site].capacity[resource];
    return declared >= 0             ? declared
           : input->capacity == NULL ? -1
                                     : input->capacity[site][resource];
}

/* Forced moves happen whatever the others do: they join nobody. */
static void join(struct grouping *grouping, int part_a, int part_b)
{
    int a = grouping->move_of[part_a];
    int b = grouping->move_of[part_b];
    if (a < 0 || b < 0 || grouping->moves[a].forced || grouping->moves[b].forced) {
        return;
    }
    grouping->parent[find(grouping, a)] = find(grouping, b);
}

static int find(struct grouping *grouping, int move)
{
    while (grouping->parent[move] != move) {
        grouping->parent[move] = grouping->parent[grouping->parent[move]];
        move = grouping->parent[move];
    }
    return move;
}

/* In the order of their first moves. A move may have been forced after it had joined a group: the
 * rest of the group stays together. */
static int number_groups(struct grouping *grouping)
{
    int groups = 0;
    for (int i = 0; i < grouping->count; i++) {
        for (int k = 0; k < i && grouping->moves[i].group < 0; k++) {
            if (!grouping->moves[i].forced && find(grouping, i) == find(grouping, k)) {
                grouping->moves[i].group = grouping->moves[k].group;
            }
        }
        if (!grouping->moves[i].forced && grouping->moves[i].group < 0) {
            grouping->moves[i].group = groups++;
        }
    }
    return groups;
}

static int judge_group(const struct grouping *grouping, const struct cost_slicer *slicer, int group,
                       struct error *err)
{
    struct judge judge = {.grouping = grouping, .group = group};
    struct difference difference = {0};
    struct arena arena;
    nusd spread = 0;
    arena_init(&arena, SIZE_MAX / 2);
    int rc = judge_begin(&judge, slicer, &arena, err);
    if (rc == 0) {
        rc = judge_difference(&judge, &difference, err);
    }
    if (rc == 0) {
        rc = judge_spread(&judge, difference.score, &arena, &spread, err);
    }
    for (int i = 0; i < grouping->count && rc == 0; i++) {
        struct cost_move *move = &grouping->moves[i];
        if (move->group == group) {
            move->score_saving = difference.score;
            move->bill_saving = difference.bill;
            move->once = difference.once;
            move->spread = spread;
            move->payback_us = payback_us(difference.once, difference.score);
            move->confidence_ppm =
                cost_confidence_ppm(difference.score - difference.once_score, spread);
        }
    }
    cost_slice_done(&judge.slice);
    arena_done(&arena);
    return rc;
}

static int judge_begin(struct judge *judge, const struct cost_slicer *slicer, struct arena *arena,
                       struct error *err)
{
    const struct grouping *grouping = judge->grouping;
    const struct cost_input *input = grouping->input;
    bool *apps = arena_array(arena, (size_t)input->app_count + 1, sizeof(bool));
    bool *sites = arena_array(arena, (size_t)input->world->site_count + 1, sizeof(bool));
    if (apps == NULL || sites == NULL) {
        return no_memory(err);
    }
    for (int i = 0; i < grouping->count; i++) {
        if (grouping->moves[i].group == judge->group) {
            apps[grouping->part_app[grouping->moves[i].part]] = true;
            sites[grouping->moves[i].from.site] = true;
        }
    }
    int rc = cost_slice_begin(slicer, apps, sites, grouping->plan, arena, &judge->slice, err);
    if (rc < 0) {
        return rc;
    }
    size_t parts = (size_t)judge->slice.part_count + 1;
    judge->with = arena_array(arena, parts, sizeof(struct placement));
    judge->without = arena_array(arena, parts, sizeof(struct placement));
    judge->mine = arena_array(arena, parts, sizeof(bool));
    if (judge->with == NULL || judge->without == NULL || judge->mine == NULL) {
        return no_memory(err);
    }
    cost_slice_placements(&judge->slice, grouping->plan, judge->with);
    cost_slice_placements(&judge->slice, grouping->now, judge->without);
    for (int part = 0; part < judge->slice.part_count; part++) {
        int move = grouping->move_of[judge->slice.part_whole[part]];
        judge->mine[part] = move >= 0 && grouping->moves[move].group == judge->group;
        if (!judge->mine[part]) {
            judge->without[part] = judge->with[part];
        }
    }
    return judge_knobs(judge, arena) < 0 ? no_memory(err) : 0;
}

/* Every input that the lines of the group's parts depend on: their own, and those of the parts that
 * they are linked to or share instances with. */
static int judge_knobs(struct judge *judge, struct arena *arena)
{
    struct cost_slice *slice = &judge->slice;
    bool *touched = arena_array(arena, (size_t)slice->part_count + 1, sizeof(bool));
    int links = 0;
    for (int app = 0; app < slice->input.app_count; app++) {
        links += slice->apps[app].link_count;
    }
    int room = slice->input.estimates.count + slice->part_count * 3 + links * 4;
    if (touched == NULL || cost_knobs_begin(&judge->knobs, room, arena) < 0) {
        return ERR_NO_MEMORY;
    }
    for (int app = 0, first = 0; app < slice->input.app_count; app++) {
        const struct app *what = &slice->apps[app];
        for (int a = 0; a < what->workload_count; a++) {
            touched[first + a] = touched[first + a] || judge->mine[first + a];
            for (int b = 0; b < what->workload_count && judge->mine[first + a]; b++) {
                touched[first + b] = touched[first + b] || (what->workloads[a].family[0] != '\0' &&
                                                            str_equal(what->workloads[a].family,
                                                                      what->workloads[b].family));
            }
        }
        for (int i = 0; i < what->link_count; i++) {
            const struct link *link = &what->links[i];
            if (link->from_kind == LINK_WORKLOAD &&
                (judge->mine[first + link->from] || judge->mine[first + link->to])) {
                touched[first + link->from] = true;
                touched[first + link->to] = true;
            }
        }
        first += what->workload_count;
    }
    for (int part = 0; part < slice->part_count; part++) {
        if (touched[part]) {
            knobs_of_part(judge, part);
        }
    }
    return 0;
}

static void knobs_of_part(struct judge *judge, int part)
{
    const struct cost_slice *slice = &judge->slice;
    const struct cost_part_info *info = &slice->context.parts[part];
    const struct app *app = &slice->apps[info->app];
    struct placement any = {.site = -1, .variant = judge->with[part].variant};
    int first = part - info->workload;
    for (enum cost_knob_kind kind = KNOB_CALLS; kind <= KNOB_CPU; kind++) {
        cost_knob_workload(slice, &judge->knobs, kind, info->app, info->workload, any);
    }
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &app->links[i];
        bool from_users = link->from_kind != LINK_WORKLOAD;
        if (link->to != info->workload ||
            !(judge->mine[part] || (!from_users && judge->mine[first + link->from]))) {
            continue;
        }
        cost_knob_bytes(slice, &judge->knobs, KNOB_REQUEST, info->app, i, any);
        cost_knob_bytes(slice, &judge->knobs, KNOB_RESPONSE, info->app, i, any);
        for (int pass = 0; pass < 2; pass++) {
            const struct placement *at = pass == 0 ? judge->with : judge->without;
            int from = from_users ? world_site(&slice->world, app->segments[link->from].site)
                                  : at[first + link->from].site;
            if (from >= 0 && at[part].site >= 0) {
                cost_knob_rtt(slice, &judge->knobs, from, at[part].site);
            }
        }
    }
}

static int judge_difference(struct judge *judge, struct difference *ret_difference,
                            struct error *err)
{
    struct cost_total with;
    struct cost_total without;
    int rc = cost_slice_total(&judge->slice, judge->with, &with, NULL, err);
    if (rc == 0) {
        rc = cost_slice_total(&judge->slice, judge->without, &without, NULL, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct difference difference = {
        .once = with.bill_term[TERM_MIGRATION] - without.bill_term[TERM_MIGRATION],
        .once_score = with.score_term[TERM_MIGRATION] - without.score_term[TERM_MIGRATION],
    };
    difference.score = without.score - with.score + difference.once_score;
    difference.bill = without.bill - with.bill + difference.once;
    *ret_difference = difference;
    return 0;
}

/* First-order propagation: each input by itself moved by its own standard error. The slice's tables
 * are then those of the last. */
static int judge_spread(struct judge *judge, nusd saving, struct arena *arena, nusd *ret_spread,
                        struct error *err)
{
    struct cost_slice *slice = &judge->slice;
    nusd *changes = arena_array(arena, (size_t)judge->knobs.count + 1, sizeof(nusd));
    if (changes == NULL) {
        return no_memory(err);
    }
    for (int i = 0; i < judge->knobs.count; i++) {
        const struct cost_knob *knob = &judge->knobs.list[i];
        int64_t error = cost_knob_error(slice, knob);
        struct difference difference = {.score = saving};
        if (error == 0) {
            continue;
        }
        /* A hit ratio has its ceiling above, all other inputs have theirs far away. */
        bool down = knob->kind == KNOB_HIT || knob->present > INT64_MAX - error;
        int64_t value = down ? knob->present - error : knob->present + error;
        cost_knob_turn(slice, knob, value < 0 ? 0 : value);
        int rc = cost_slice_prepare(slice, err);
        if (rc == 0) {
            rc = judge_difference(judge, &difference, err);
        }
        cost_knob_turn(slice, knob, knob->present);
        if (rc < 0) {
            return rc;
        }
        changes[i] = difference.score - saving;
    }
    *ret_spread = root_of_squares(changes, judge->knobs.count);
    return 0;
}

static nusd root_of_squares(const nusd *values, int count)
{
    unsigned __int128 largest = 0;
    unsigned __int128 sum = 0;
    int shift = 0;
    for (int i = 0; i < count; i++) {
        unsigned __int128 size = (unsigned __int128)(values[i] < 0 ? -values[i] : values[i]);
        largest = size > largest ? size : largest;
    }
    /* So that the sum of all squares fits. */
    while (largest >> shift >= (unsigned __int128)1 << 54) {
        shift++;
    }
    for (int i = 0; i < count; i++) {
        unsigned __int128 size =
            (unsigned __int128)(values[i] < 0 ? -values[i] : values[i]) >> shift;
        sum += size * size;
    }
    unsigned __int128 root = 0;
    for (int bit = 63; bit >= 0; bit--) {
        unsigned __int128 with = root | (unsigned __int128)1 << bit;
        if (with * with <= sum) {
            root = with;
        }
    }
    return (nusd)(root << shift);
}

static int64_t payback_us(nusd once, nusd saving)
{
    nusd us;
    if (saving <= 0) {
        return INT64_MAX;
    }
    if (once <= 0) {
        return 0;
    }
    return __builtin_mul_overflow(once, (nusd)MONTH_US, &us) || us / saving > INT64_MAX
               ? INT64_MAX
               : (int64_t)(us / saving);
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the savings of a plan's moves");
}
