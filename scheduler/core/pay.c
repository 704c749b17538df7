/*
 * When a move that only saves is made. Each rule is one function that says no and why; a group of
 * moves is made when none does. Figures are the solver's (model/cost_saving.h), limits the
 * policy's.
 */
#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/internal.h"

#define DAY_US   (24 * 3600 * US_PER_S)
#define MONTH_US ((int64_t)HOURS_PER_MONTH * 3600 * US_PER_S)
#define MIN_US   (60 * US_PER_S)

const char core_data_text[] = "the bytes would cost less there; a data set is moved by people, who "
                              "then say so in its `at`";

static bool is_data(const struct core *core, const struct core_offer *offer, char *why);
static bool is_held(const struct core *core, const struct core_offer *offer, char *why);
static bool is_vetoed(const struct core *core, const struct core_offer *offer, char *why);
static bool saves_nothing(const struct core *core, const struct core_offer *offer, char *why);
static bool pays_too_late(const struct core *core, const struct core_offer *offer, char *why);
static bool is_unsure(const struct core *core, const struct core_offer *offer, char *why);
static bool is_quiet(const struct core *core, const struct core_offer *offer, char *why);
static bool is_over_budget(const struct core *core, const struct core_offer *offer, char *why);
static int moves_in_a_day(const struct core_state *state, int64_t *ret_free_us);
static void due_at(struct core *core, int64_t us);

enum core_verdict core_pays(struct core *core, const struct core_offer *offer,
                            char why[LIMIT_TEXT_BYTES])
{
    static const struct {
        enum core_verdict verdict;
        bool (*says_no)(const struct core *core, const struct core_offer *offer, char *why);
    } rules[] = {
        {VERDICT_DATA, is_data},
        {VERDICT_HELD, is_held},
        {VERDICT_VETOED, is_vetoed},
        {VERDICT_NO_SAVING, saves_nothing},
        {VERDICT_SLOW_PAYBACK, pays_too_late},
        {VERDICT_UNSURE, is_unsure},
        {VERDICT_QUIET, is_quiet},
        {VERDICT_BUDGET, is_over_budget},
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (!rules[i].says_no(core, offer, why))
            continue;
        /* What only has to wait is decided anew, by then present figures, when its time comes. */
        int64_t us = 0;
        if (rules[i].verdict == VERDICT_QUIET &&
            core_quiet(&core->state.world->policy, core->state.now.us, &us))
            due_at(core, us);
        if (rules[i].verdict == VERDICT_BUDGET && moves_in_a_day(&core->state, &us) > 0)
            due_at(core, us);
        return rules[i].verdict;
    }
    return VERDICT_TAKEN;
}

/* Compute that only pays beside data that would have to move first does not pay yet. */
static bool is_data(const struct core *core, const struct core_offer *offer, char *why)
{
    (void)core;
    if (offer->data)
        core_cut(why, "it only pays together with a data set's move, which people make");
    return offer->data;
}

/* An app whose `moves` is `suggest` or `off` is moved by force and by people only. */
static bool is_held(const struct core *core, const struct core_offer *offer, char *why)
{
    (void)core;
    if (offer->held)
        core_cut(why, "the app, or one that would have to move with it, does not move by itself "
                      "(`moves`); `berth suggest` says what it would save");
    return offer->held;
}

/* What did not pay, or was left, is not tried again before what it was judged by has changed. */
static bool is_vetoed(const struct core *core, const struct core_offer *offer, char *why)
{
    (void)core;
    if (offer->vetoed)
        core_cut(why, "it was there, did not pay or was left to save, and none of its measured "
                      "inputs has changed by more than 20 % since");
    return offer->vetoed;
}

/* The group itself has to save, whatever the rest of the plan does. */
static bool saves_nothing(const struct core *core, const struct core_offer *offer, char *why)
{
    (void)core;
    if (offer->group->score_saving_nusd > 0)
        return false;
    char saving[MONEY_TEXT_BYTES];
    CORE_TEXT(why, "its score would save %s a month",
              money_format(offer->group->score_saving_nusd, 2, saving));
    return true;
}

/* Over the horizon the saving has to exceed what the moves cost once. */
static bool pays_too_late(const struct core *core, const struct core_offer *offer, char *why)
{
    const struct policy *policy = &core->state.world->policy;
    __int128 once = (__int128)offer->group->once_nusd * MONTH_US;
    if (once < (__int128)offer->group->score_saving_nusd * policy->horizon_us || once <= 0)
        return false;
    char saving[MONEY_TEXT_BYTES];
    char cost[MONEY_TEXT_BYTES];
    CORE_TEXT(why, "it costs %s once and saves %s a month: not earned within %lld hours",
              money_format(offer->group->once_nusd, 2, cost),
              money_format(offer->group->score_saving_nusd, 2, saving),
              (long long)(policy->horizon_us / (3600 * US_PER_S)));
    return true;
}

/* A saving that may well be noise is none. */
static bool is_unsure(const struct core *core, const struct core_offer *offer, char *why)
{
    const struct policy *policy = &core->state.world->policy;
    if (offer->group->confidence_ppm >= policy->confidence_ppm)
        return false;
    char saving[MONEY_TEXT_BYTES];
    char spread[MONEY_TEXT_BYTES];
    CORE_TEXT(why, "it saves %s +- %s a month: %lld %% sure, and the policy asks for %lld %%",
              money_format(offer->group->score_saving_nusd, 2, saving),
              money_format(offer->group->spread_nusd, 2, spread),
              (long long)(offer->group->confidence_ppm / 10000),
              (long long)(policy->confidence_ppm / 10000));
    return true;
}

/* In quiet hours nothing moves that could stay. */
static bool is_quiet(const struct core *core, const struct core_offer *offer, char *why)
{
    (void)offer;
    int64_t until_us = 0;
    if (!core_quiet(&core->state.world->policy, core->state.now.us, &until_us))
        return false;
    int64_t minute = until_us % DAY_US / MIN_US;
    CORE_TEXT(why, "quiet hours until %02lld:%02lld UTC", (long long)(minute / 60),
              (long long)(minute % 60));
    return true;
}

/* So many moves that only save in any 24 hours, and a group whole or not at all. */
static bool is_over_budget(const struct core *core, const struct core_offer *offer, char *why)
{
    int most = core->state.world->policy.moves_per_day;
    if (most == 0)
        return false;
    int64_t free_us = 0;
    int used = moves_in_a_day(&core->state, &free_us);
    if (most > CORE_MOVES_KEPT)
        most = CORE_MOVES_KEPT;
    if (used + offer->moves <= most)
        return false;
    CORE_TEXT(why, "%d moves are too many: %d of %d a day are used (policy.moves_per_day)",
              offer->moves, used, most);
    return true;
}

/* How many there were in the last 24 hours, and when the oldest of them no longer counts. */
static int moves_in_a_day(const struct core_state *state, int64_t *ret_free_us)
{
    uint64_t kept =
        state->saving_move_count < CORE_MOVES_KEPT ? state->saving_move_count : CORE_MOVES_KEPT;
    int count = 0;
    for (uint64_t i = 0; i < kept; i++) {
        int64_t us = state->saving_moves[i].us;
        if (state->now.us - us >= DAY_US)
            continue;
        if (count++ == 0 || us + DAY_US < *ret_free_us)
            *ret_free_us = us + DAY_US;
    }
    return count;
}

void core_move_counted(struct core *core)
{
    struct core_state *state = &core->state;
    state->saving_moves[state->saving_move_count++ % CORE_MOVES_KEPT] = state->now;
}

static void due_at(struct core *core, int64_t us)
{
    if (core->state.moves_due.us == 0 || us < core->state.moves_due.us)
        core->state.moves_due.us = us;
}

bool core_quiet(const struct policy *policy, int64_t now_us, int64_t *ret_until_us)
{
    int64_t at_us = now_us;
    /* Windows may touch or overlap: the end of one may lie in another. */
    for (int pass = 0; pass <= policy->quiet_count; pass++) {
        int64_t day_us = at_us - at_us % DAY_US;
        int64_t in_us = at_us - day_us;
        int64_t end_us = at_us;
        for (int i = 0; i < policy->quiet_count; i++) {
            int64_t from_us = policy->quiet[i].from_min * MIN_US;
            int64_t to_us = policy->quiet[i].to_min * MIN_US;
            bool spans = from_us > to_us;
            bool inside =
                spans ? in_us >= from_us || in_us < to_us : in_us >= from_us && in_us < to_us;
            if (!inside)
                continue;
            int64_t until_us = day_us + to_us + (spans && in_us >= from_us ? DAY_US : 0);
            end_us = until_us > end_us ? until_us : end_us;
        }
        if (end_us == at_us)
            break;
        at_us = end_us;
    }
    if (at_us == now_us)
        return false;
    *ret_until_us = at_us;
    return true;
}
