/*
 * suspect: which claims their peers contradict.
 *
 * Compared are claims of the same (workload, site), so that what differs between sites, which is
 * what a scheduler is for, is never suspicious; round trips are compared with those that the other
 * end measures. A claim is doubted for a window after it was last out of line.
 *
 * Nothing is told of a stretch before it has been compared. That is when it is over; or before,
 * when every source that is heard has spoken in it and what they have said agrees: then it counts
 * as if it ended now. Where it does not agree yet nobody is doubted for that, since not all have
 * said as much as they will: it counts when it is over.
 */
#include <float.h>
#include <string.h>

#include "metrics/metrics_internal.h"

#define HITS_TOLERANCE_PPM 150000
/* Apart by at most these factors and shares, no rule below finds two claims apart: its logarithms
 * are off by a 64th each. */
#define AGREED_FACTOR_3  2.9f
#define AGREED_FACTOR_20 19.0f
#define AGREED_SHARE     0.149f

/* The claims of one thing, with what they say over the window. */
struct witnesses {
    int claims[PLAUSIBLE_SOURCES_MAX];
    const struct stretch *totals[PLAUSIBLE_SOURCES_MAX];
    bool probe[PLAUSIBLE_SOURCES_MAX];
    int count;
    int64_t present;             /* the stretch after the last that they speak of */
    bool early;                  /* which is not over: who is out of line is only noted */
    bool disagree;               /* somebody is */
    struct agreement *agreement; /* where it goes, of a stretch that is over; NULL: nowhere */
};

static void judge_all(struct metrics *metrics, int64_t now_us);
static void listen(struct metrics *metrics, struct group *group, int64_t now_us);
static bool has_spoken(const struct metrics *metrics, int claim, int64_t at, bool *whole);
static int64_t said_in(const struct stretch *stretch);
static void gather(const struct metrics *metrics, const struct group *group, bool latest,
                   int64_t now_us, struct witnesses *into);
static bool judge_site(struct metrics *metrics, const struct group *group,
                       struct witnesses *witnesses, bool latest, int64_t now_us);
static bool judge_pair(struct metrics *metrics, const struct group *group, bool latest,
                       int64_t now_us);
static int64_t hits_tolerance(const struct witnesses *witnesses);
static void compare(struct metrics *metrics, const struct group *group, struct witnesses *witnesses,
                    enum doubt doubt, int counted, int per, int64_t tolerance, int64_t now_us);
static void compare_with_probes(struct metrics *metrics, const struct group *group,
                                struct witnesses *witnesses, int64_t now_us);
static bool bounds_of(const struct witnesses *witnesses, struct agreement *ret_bounds,
                      bool *ret_complete);
static bool is_agreed(const struct agreement *bounds);
static bool window_agreed(const struct group *group, int64_t present);
static bool value_of(const struct metrics *metrics, const struct stretch *total, int counted,
                     int per, int64_t *ret_value);
static void doubt_claim(struct metrics *metrics, const struct group *group, int claim,
                        enum doubt doubt, const char *what, int64_t now_us);

void suspect_judge(struct metrics *metrics, int64_t now_us)
{
    int64_t at = now_us / metrics->step_us;
    if (at != metrics->judged_at) {
        metrics->judged_at = at;
        judge_all(metrics, now_us);
    }
    for (int i = 0; i < metrics->group_count; i++) {
        struct group *group = &metrics->groups[i];
        if (group->seen_us >= at * metrics->step_us && group->seen_us >= group->heard_us &&
            group->kind == GROUP_SITE)
            listen(metrics, group, now_us);
    }
}

int64_t suspect_until(const struct metrics *metrics, const struct group *group, int64_t now_us,
                      bool *ret_whole)
{
    int64_t at = now_us / metrics->step_us;
    int64_t until = at + 1;
    *ret_whole = true;
    if (group->kind == GROUP_PAIR)
        return at; /* round trips come seldom */
    if (group->kind == GROUP_SITE) {
        *ret_whole = group->heard_until <= at || group->whole;
        return group->heard_until > at ? until : at;
    }
    for (int i = group->first; i >= 0 && until > at; i = windows_next(metrics, group, i)) {
        const struct claim *claim = &metrics->claims[i];
        const struct group *site = &metrics->groups[claim->group];
        if (now_us - claim->seen_us > metrics->options.window_us)
            continue;
        if (site->heard_until <= at)
            until = at;
        *ret_whole = *ret_whole && site->whole;
    }
    *ret_whole = *ret_whole || until == at;
    return until;
}

static void judge_all(struct metrics *metrics, int64_t now_us)
{
    int64_t at = metrics->judged_at;
    for (int i = 0; i < metrics->group_count; i++) {
        struct group *group = &metrics->groups[i];
        if (now_us - group->seen_us > metrics->options.window_us || group->first < 0)
            continue;
        /* The latest stretch shows a lie that has just begun before it can move a whole window.
         * What comes too seldom for that, or little by little, the window shows: where the latest
         * is enough, it is looked at once in its length. */
        bool pair = group->kind == GROUP_PAIR;
        if (!pair && (group->kind != GROUP_SITE || windows_next(metrics, group, group->first) < 0))
            continue;
        struct witnesses witnesses;
        witnesses.present = at;
        witnesses.early = false;
        witnesses.agreement = pair ? NULL : &group->agreements[(at - 1) % STRETCHES];
        bool enough = pair ? judge_pair(metrics, group, true, now_us)
                           : judge_site(metrics, group, &witnesses, true, now_us);
        if ((enough && (at + i) % STRETCHES != 0) || (!pair && window_agreed(group, at)))
            continue;
        witnesses.agreement = NULL;
        (void)(pair ? judge_pair(metrics, group, false, now_us)
                    : judge_site(metrics, group, &witnesses, false, now_us));
    }
    metrics->refusal.suspects = 0;
    for (int i = 0; i < metrics->claim_count && metrics->refusal.suspected > 0; i++) {
        bool doubted = false;
        for (int k = 0; k < DOUBT_COUNT; k++)
            doubted = doubted || metrics->claims[i].doubt_until_us[k] > now_us;
        metrics->refusal.suspects += doubted;
    }
}

/* Whether all that are heard of the group have spoken in the present stretch, and agree. */
static void listen(struct metrics *metrics, struct group *group, int64_t now_us)
{
    int64_t at = now_us / metrics->step_us;
    bool whole = true;
    group->heard_us = now_us;
    group->heard_until = at;
    for (int i = group->first; i >= 0; i = windows_next(metrics, group, i))
        if (now_us - metrics->claims[i].seen_us <= metrics->options.window_us &&
            !has_spoken(metrics, i, at, &whole))
            return;
    struct witnesses witnesses;
    witnesses.present = at + 1;
    witnesses.early = true;
    witnesses.disagree = false;
    witnesses.agreement = NULL;
    if (!judge_site(metrics, group, &witnesses, true, now_us))
        (void)judge_site(metrics, group, &witnesses, false, now_us);
    if (witnesses.disagree)
        return;
    group->heard_until = at + 1;
    group->whole = whole;
}

/* Something at least; `whole` becomes false unless it was as many readings, and of as long a time
 * as its counters tell, as in the stretch before. */
static bool has_spoken(const struct metrics *metrics, int claim, int64_t at, bool *whole)
{
    const struct stretch *stretches = windows_stretches(metrics, claim);
    const struct stretch *now = &stretches[at % STRETCHES];
    const struct stretch *before = &stretches[(at - 1) % STRETCHES];
    if (now->index != at || said_in(now) == 0)
        return false;
    if (before->index == at - 1)
        *whole = *whole && said_in(now) >= said_in(before) &&
                 now->busy_us >= before->busy_us - before->busy_us / 4;
    return true;
}

static int64_t said_in(const struct stretch *stretch)
{
    int64_t count = 0;
    for (int kind = 0; kind < STRETCH_KINDS; kind++)
        count += stretch->count[kind];
    return count;
}

/* True when the latest stretch alone tells enough. */
static bool judge_site(struct metrics *metrics, const struct group *group,
                       struct witnesses *witnesses, bool latest, int64_t now_us)
{
    static const struct {
        enum doubt doubt;
        int counted;
        int per; /* -1: compared as it is */
        int64_t tolerance;
    } rules[] = {
        /* What a request costs and carries is much the same wherever it is served at one site: who
         * claims requests that were not served shows by that. How many each serves is not. */
        {DOUBT_ALL, SAMPLE_CPU_NS, SAMPLE_REQUESTS, PLAUSIBLE_FACTOR_3},
        {DOUBT_ALL, SAMPLE_BYTES_OUT, SAMPLE_REQUESTS, PLAUSIBLE_FACTOR_3},
        {DOUBT_ALL, SAMPLE_BYTES_IN, SAMPLE_REQUESTS, PLAUSIBLE_FACTOR_3},
        {DOUBT_ALL, SAMPLE_REQUESTS, -1, PLAUSIBLE_FACTOR_20},
        {DOUBT_LATENCY, SAMPLE_LATENCY_US_SUM, SAMPLE_REQUESTS, PLAUSIBLE_FACTOR_20},
        {DOUBT_HITS, SAMPLE_HITS, SAMPLE_MISSES, 0},
    };
    witnesses->count = 0;
    gather(metrics, group, latest, now_us, witnesses);
    struct agreement bounds;
    bool complete = true;
    bool agreed = bounds_of(witnesses, &bounds, &complete) && is_agreed(&bounds);
    if (witnesses->agreement != NULL) {
        bounds.index = complete ? witnesses->present - 1 : -1;
        *witnesses->agreement = bounds;
    }
    if (witnesses->count < 2)
        return true;
    bool enough = true;
    for (int i = 0; i < witnesses->count; i++)
        enough =
            enough && witnesses->totals[i]->sum[SAMPLE_REQUESTS] >= metrics->options.events_min;
    if (agreed)
        return enough;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        compare(metrics, group, witnesses, rules[i].doubt, rules[i].counted, rules[i].per,
                rules[i].doubt == DOUBT_HITS ? hits_tolerance(witnesses) : rules[i].tolerance,
                now_us);
    compare_with_probes(metrics, group, witnesses, now_us);
    return enough;
}

/* False when a probe is among them, which is another matter. `complete` becomes false when a sum of
 * these and other stretches may lie outside: what was used without a request, or not all of those
 * that there are. */
static bool bounds_of(const struct witnesses *witnesses, struct agreement *ret_bounds,
                      bool *ret_complete)
{
    static const int counted[] = {[AGREED_CPU] = SAMPLE_CPU_NS,
                                  [AGREED_IN] = SAMPLE_BYTES_IN,
                                  [AGREED_OUT] = SAMPLE_BYTES_OUT,
                                  [AGREED_LATENCY] = SAMPLE_LATENCY_US_SUM};
    struct agreement bounds = {.who = 0};
    bool complete = witnesses->count < PLAUSIBLE_SOURCES_MAX;
    for (int i = 0; i < AGREED_COUNT; i++)
        bounds.low[i] = FLT_MAX;
    for (int i = 0; i < witnesses->count; i++) {
        const struct stretch *total = witnesses->totals[i];
        float values[AGREED_COUNT] = {0};
        double requests = (double)total->sum[SAMPLE_REQUESTS];
        double lookups = (double)(total->sum[SAMPLE_HITS] + total->sum[SAMPLE_MISSES]);
        double each = requests > 0 ? 1 / requests : 0;
        int64_t used = 0;
        for (int k = AGREED_CPU; k <= AGREED_LATENCY; k++) {
            used |= total->sum[counted[k]];
            values[k] = (float)((double)total->sum[counted[k]] * each);
        }
        if (lookups > 0)
            values[AGREED_HITS] = (float)((double)total->sum[SAMPLE_HITS] / lookups);
        values[AGREED_REQUESTS] = (float)requests;
        complete = complete && !witnesses->probe[i] && (requests > 0 || used == 0);
        bounds.who += (uint64_t)(witnesses->claims[i] + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 8;
        for (int k = 0; k < AGREED_COUNT; k++) {
            if (k == AGREED_HITS ? lookups <= 0 : k != AGREED_REQUESTS && requests <= 0)
                continue; /* it says nothing */
            bounds.low[k] = values[k] < bounds.low[k] ? values[k] : bounds.low[k];
            bounds.high[k] = values[k] > bounds.high[k] ? values[k] : bounds.high[k];
        }
        if (witnesses->probe[i])
            bounds.high[AGREED_REQUESTS] = FLT_MAX;
    }
    *ret_bounds = bounds;
    *ret_complete = complete;
    return bounds.high[AGREED_REQUESTS] < FLT_MAX;
}

static bool is_agreed(const struct agreement *bounds)
{
    static const float factors[] = {
        [AGREED_CPU] = AGREED_FACTOR_3, [AGREED_IN] = AGREED_FACTOR_3,
        [AGREED_OUT] = AGREED_FACTOR_3, [AGREED_LATENCY] = AGREED_FACTOR_20,
        [AGREED_HITS] = FLT_MAX,        [AGREED_REQUESTS] = AGREED_FACTOR_20};
    for (int k = 0; k < AGREED_COUNT; k++)
        if (k != AGREED_HITS && bounds->high[k] > factors[k] * bounds->low[k])
            return false;
    return bounds->high[AGREED_HITS] - bounds->low[AGREED_HITS] <= AGREED_SHARE;
}

/* What a request took in a window is a mean of what it took in its stretches, so between their
 * ends. Of requests no claim has more than the most of each stretch; none has less than the least
 * of each where it was the same claims throughout, else than the least of one: who has none in the
 * window is not compared. */
static bool window_agreed(const struct group *group, int64_t present)
{
    struct agreement all = group->agreements[(present - 1) % STRETCHES];
    float low_sum = all.low[AGREED_REQUESTS];
    bool same = true;
    if (all.index != present - 1)
        return false;
    for (int64_t at = present - STRETCHES + 1; at < present - 1; at++) {
        if (at < 0 || group->agreements[at % STRETCHES].index != at)
            return false;
        const struct agreement *one = &group->agreements[at % STRETCHES];
        same = same && one->who == all.who;
        for (int k = 0; k < AGREED_COUNT; k++) {
            all.low[k] = one->low[k] < all.low[k] ? one->low[k] : all.low[k];
            if (k == AGREED_REQUESTS)
                all.high[k] += one->high[k];
            else
                all.high[k] = one->high[k] > all.high[k] ? one->high[k] : all.high[k];
        }
        low_sum += one->low[AGREED_REQUESTS];
    }
    if (same)
        all.low[AGREED_REQUESTS] = low_sum;
    return is_agreed(&all);
}

/* The way from a to b is as long as the way from b to a: both ends' claims are witnesses. */
static bool judge_pair(struct metrics *metrics, const struct group *group, bool latest,
                       int64_t now_us)
{
    struct metrics_key back = {"", "", "", "", group->peer, group->site};
    struct witnesses witnesses;
    witnesses.count = 0;
    witnesses.present = now_us / metrics->step_us;
    witnesses.early = false;
    gather(metrics, group, latest, now_us, &witnesses);
    int other = windows_find(metrics, GROUP_PAIR, &back);
    if (other >= 0)
        gather(metrics, &metrics->groups[other], latest, now_us, &witnesses);
    compare(metrics, group, &witnesses, DOUBT_ALL, SAMPLE_RTT_US, -1, PLAUSIBLE_FACTOR_3, now_us);
    return false; /* each is cheap, and round trips may come seldom */
}

/* Three standard errors of the claim that has seen least, beside what peers may differ by. */
static int64_t hits_tolerance(const struct witnesses *witnesses)
{
    int64_t least = INT64_MAX;
    for (int i = 0; i < witnesses->count; i++) {
        const struct stretch *total = witnesses->totals[i];
        int64_t all = total->sum[SAMPLE_HITS] + total->sum[SAMPLE_MISSES];
        least = all > 0 && all < least ? all : least;
    }
    int64_t root = 0;
    for (int64_t bit = INT64_C(1) << 20; bit > 0; bit >>= 1) /* up to PPM, which is less */
        if ((root + bit) * (root + bit) <= least)
            root += bit;
    root = root < 1 ? 1 : root > PPM ? PPM : root;
    return HITS_TOLERANCE_PPM + 3 * PPM / 2 / root;
}

static void gather(const struct metrics *metrics, const struct group *group, bool latest,
                   int64_t now_us, struct witnesses *into)
{
    int64_t present = into->present;
    for (int i = group->first; i >= 0 && into->count < PLAUSIBLE_SOURCES_MAX;
         i = windows_next(metrics, group, i)) {
        const struct claim *claim = &metrics->claims[i];
        int next = windows_next(metrics, group, i);
        /* Nodes that run the same were met in the same order: then claims of one thing lie equally
         * far apart, and those after the next can be fetched. */
        int64_t guess = next + 3 * ((int64_t)next - i);
        if (guess >= 0 && guess < metrics->claim_count) {
            const struct stretch *expected =
                &windows_stretches(metrics, (int)guess)[(present - 1) % STRETCHES];
            __builtin_prefetch(&metrics->claims[guess]);
            __builtin_prefetch(expected);
            __builtin_prefetch((const char *)expected + 64);
        }
        if (now_us - claim->seen_us > metrics->options.window_us)
            continue;
        const struct stretch *total = &windows_stretches(metrics, i)[(present - 1) % STRETCHES];
        if (latest && total->index != present - 1)
            continue;
        if (!latest) {
            metrics->scratch[into->count] =
                windows_window(metrics, windows_stretches(metrics, i), present * metrics->step_us);
            total = &metrics->scratch[into->count];
        }
        into->claims[into->count] = i;
        into->totals[into->count] = total;
        into->probe[into->count++] = claim->probe;
    }
}

/* Probes judge where they say the same thing; of requests they see only what passes by them, so
 * that is compare_with_probes' matter. */
static void compare(struct metrics *metrics, const struct group *group, struct witnesses *witnesses,
                    enum doubt doubt, int counted, int per, int64_t tolerance, int64_t now_us)
{
    int64_t values[PLAUSIBLE_SOURCES_MAX];
    bool trusted[PLAUSIBLE_SOURCES_MAX];
    bool out[PLAUSIBLE_SOURCES_MAX];
    int claims[PLAUSIBLE_SOURCES_MAX];
    int count = 0;
    values[0] = 0;
    trusted[0] = false;
    for (int i = 0; i < witnesses->count; i++) {
        if (witnesses->probe[i] && counted == SAMPLE_REQUESTS)
            continue;
        if (!value_of(metrics, witnesses->totals[i], counted, per, &values[count]))
            continue;
        trusted[count] = witnesses->probe[i];
        claims[count++] = witnesses->claims[i];
    }
    if (plausible_outliers(values, trusted, count, tolerance, out) == 0)
        return;
    witnesses->disagree = true;
    if (witnesses->early)
        return;
    for (int i = 0; i < count; i++)
        if (out[i])
            doubt_claim(metrics, group, claims[i], doubt, sample_kind_words[counted], now_us);
}

/* What a comparison is made of: ratios in ppm, all else as 64 times the logarithm. False when the
 * source has not seen enough of it. */
static bool value_of(const struct metrics *metrics, const struct stretch *total, int counted,
                     int per, int64_t *ret_value)
{
    int64_t enough = metrics->options.events_min;
    int64_t sum = total->sum[stretch_place(counted)];
    if (counted == SAMPLE_HITS) {
        int64_t all = sum + total->sum[per];
        *ret_value = all > 0 ? (int64_t)((__int128)sum * PPM / all) : 0;
        return all >= enough;
    }
    if (counted == SAMPLE_RTT_US) {
        *ret_value = plausible_log(sum);
        return total->count[stretch_place(counted)] > 0;
    }
    if (counted == SAMPLE_REQUESTS) {
        *ret_value = plausible_log(sum);
        return sum >= enough;
    }
    if (total->count[counted] == 0 || sum == 0 || total->sum[per] < enough)
        return false;
    *ret_value = plausible_log(sum) - plausible_log(total->sum[per]);
    return true;
}

/* Callers counted these requests at the other end, or a scrape did: a node that claims many times
 * all that they saw is out; when it is only the sum of them, all are. */
static void compare_with_probes(struct metrics *metrics, const struct group *group,
                                struct witnesses *witnesses, int64_t now_us)
{
    int64_t seen = 0;
    int64_t claimed = 0;
    for (int i = 0; i < witnesses->count; i++) {
        int64_t requests = witnesses->totals[i]->sum[SAMPLE_REQUESTS];
        if (!witnesses->probe[i])
            claimed += requests;
        else if (requests > seen)
            seen = requests;
    }
    if (seen < metrics->options.events_min || claimed < metrics->options.events_min)
        return;
    int64_t apart = plausible_log(claimed) - plausible_log(seen);
    if (apart <= PLAUSIBLE_FACTOR_3 && apart >= -PLAUSIBLE_FACTOR_20)
        return;
    witnesses->disagree = true;
    if (witnesses->early)
        return;
    bool single = false;
    for (int pass = 0; pass < 2 && !single; pass++) {
        for (int i = 0; i < witnesses->count; i++) {
            int64_t requests = witnesses->totals[i]->sum[SAMPLE_REQUESTS];
            bool alone = plausible_log(requests) - plausible_log(seen) > PLAUSIBLE_FACTOR_3;
            if (witnesses->probe[i] || (pass == 0 && !alone))
                continue;
            single = true;
            doubt_claim(metrics, group, witnesses->claims[i], DOUBT_ALL, "requests", now_us);
        }
    }
}

static void doubt_claim(struct metrics *metrics, const struct group *group, int index,
                        enum doubt doubt, const char *what, int64_t now_us)
{
    struct claim *claim = &metrics->claims[index];
    bool known = claim->doubt_until_us[doubt] > now_us;
    claim->doubt_until_us[doubt] = now_us + metrics->options.window_us;
    metrics->groups[claim->group].doubt_until_us = claim->doubt_until_us[doubt];
    if (claim->all >= 0)
        metrics->groups[claim->all].doubt_until_us = claim->doubt_until_us[doubt];
    if (known)
        return;
    metrics->refusal.suspected++;
    const char *name = metrics->sources[claim->source].name;
    if (group->kind == GROUP_PAIR)
        metrics_refuse(metrics,
                       "node %s: its round trips between %.60s and %.60s are not what others "
                       "measure; not counted while so",
                       name, group->site, group->peer);
    else
        metrics_refuse(metrics,
                       "node %s: its %s of %s at %.60s do not agree with what others see there; "
                       "not counted while so",
                       name, what, group->workload, group->site);
}
