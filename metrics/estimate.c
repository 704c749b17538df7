/*
 * estimate: what the claims that are believed add up to, how certain that is, and when to say so.
 */
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "metrics/metrics_internal.h"
#include "metrics/quantise.h"

/* The windows of a group: of its nodes, and of the probe that tells most (probes may see the same
 * thing twice). Claims that are doubted are left out, but noted. */
struct view {
    struct stretch nodes[STRETCHES];
    struct stretch probe[STRETCHES];
    struct stretch nodes_total;
    struct stretch probe_total;
    bool incomplete; /* a claim is left out: sums say nothing, ratios still do */
    int64_t covered_us;
    int64_t now_us;
    int64_t until_us; /* the end of its last stretch: may be that of the present one */
};

/* A stretch's tenth: how soon after one another early estimates are made. */
#define LOOKS 10

struct measured {
    int64_t value;
    int64_t spread;
};

static bool is_of(const struct group *group, enum estimate_kind kind);
static enum doubt doubt_of(enum estimate_kind kind);
static void see(const struct metrics *metrics, const struct group *group, enum doubt doubt,
                struct view *view);
static void expect(const struct metrics *metrics, int group);
static int changed_of(struct metrics *metrics, struct group *group, int64_t now_us,
                      int64_t until_us, bool whole, struct estimate *out, int max);
static bool measure(const struct metrics *metrics, const struct group *group,
                    enum estimate_kind kind, const struct view *view, struct measured *ret);
static bool rate_of(const struct view *view, const struct stretch *total, struct measured *ret);
static bool mean_of(const struct metrics *metrics, const struct stretch *stretches,
                    const struct stretch *total, int counted, struct measured *ret);
static bool share_of(const struct metrics *metrics, const struct stretch *total,
                     struct measured *ret);
static bool used_of(const struct stretch *stretches, const struct stretch *total,
                    struct measured *ret);
static bool gauge_of(const struct stretch *stretches, const struct stretch *total, int kind,
                     struct measured *ret);
static bool percentile_of(const struct metrics *metrics, const struct group *group, int64_t now_us,
                          struct measured *ret);
static bool sketch_of(const struct metrics *metrics, const struct group *group, int64_t now_us,
                      struct sketch *into);
static int64_t coarse_spread(int64_t spread);
static int64_t coarse_observed(int64_t observed_us);

int metrics_changed(struct metrics *metrics, int64_t now_us, struct estimate *out, int max)
{
    int count = 0;
    int64_t at = now_us / metrics->step_us;
    metrics->asked_us = now_us;
    suspect_judge(metrics, now_us);
    /* Goes on where the last call stopped for want of room, so that nobody waits for ever. */
    for (int i = 0; i < metrics->group_count && count < max; i++) {
        if (metrics->cursor >= metrics->group_count)
            metrics->cursor = 0;
        struct group *group = &metrics->groups[metrics->cursor];
        bool whole = true;
        int64_t until = suspect_until(metrics, group, now_us, &whole);
        /* Without a new word only the end of a stretch can bring something. */
        bool told = group->seen_us < group->told_us &&
                    (group->told_until > until ||
                     (group->told_until == until && (group->told_whole || until > at)));
        if (!told && now_us - group->seen_us <= 2 * metrics->options.window_us) {
            int64_t until_us = until * metrics->step_us;
            expect(metrics, metrics->cursor + 1);
            count += changed_of(metrics, group, now_us, until_us, whole, out + count, max - count);
        }
        if (count == max)
            break; /* some of it may not have been said */
        group->told_us = now_us;
        group->told_until = until;
        group->told_whole = whole;
        metrics->cursor++;
    }
    return count;
}

int64_t metrics_deadline_us(const struct metrics *metrics, int64_t now_us)
{
    int64_t end_us = (now_us / metrics->step_us + 1) * metrics->step_us;
    int64_t early_us = metrics->asked_us + metrics->step_us / LOOKS;
    if (metrics->group_count == 0)
        return INT64_MAX;
    if (metrics->taken_us < metrics->asked_us || early_us >= end_us)
        return end_us;
    return early_us > now_us ? early_us : now_us;
}

bool metrics_latency(const struct metrics *metrics, const struct metrics_key *key, int64_t now_us,
                     struct metrics_latency *ret_latency)
{
    struct metrics_key site_key = *key;
    site_key.peer = "";
    int group = windows_find(metrics, GROUP_SITE, &site_key);
    struct sketch sketch = {0};
    bool any = group >= 0 && sketch_of(metrics, &metrics->groups[group], now_us, &sketch);
    if (any)
        *ret_latency = (struct metrics_latency){.count = sketch.count,
                                                .p50_us = sketch_quantile(&sketch, 500000),
                                                .p95_us = sketch_quantile(&sketch, 950000),
                                                .p99_us = sketch_quantile(&sketch, 990000),
                                                .error_ppm = sketch_error_ppm(&sketch)};
    sketch_done(&sketch);
    return any;
}

/* Each kind is said for the site or for all sites, as model/cost.c looks it up; never for both. */
static bool is_of(const struct group *group, enum estimate_kind kind)
{
    if (kind == ESTIMATE_METER_BYTES ||
        kind == ESTIMATE_USERS_MHZ) /* told by the ledger; by none */
        return false;
    if (kind == ESTIMATE_RTT_US)
        return group->kind == GROUP_PAIR;
    bool of_all = kind == ESTIMATE_CALLS_MHZ || kind == ESTIMATE_REQUEST_BYTES ||
                  kind == ESTIMATE_RESPONSE_BYTES;
    return group->kind == (of_all ? GROUP_ALL : GROUP_SITE);
}

static enum doubt doubt_of(enum estimate_kind kind)
{
    return kind == ESTIMATE_HIT_PPM                                         ? DOUBT_HITS
           : kind == ESTIMATE_LATENCY_US || kind == ESTIMATE_LATENCY_P99_US ? DOUBT_LATENCY
                                                                            : DOUBT_ALL;
}

/* Has a group's window fetched. */
static void expect(const struct metrics *metrics, int group)
{
    if (group >= metrics->group_count)
        return;
    const char *lines = (const char *)metrics->groups[group].stretches;
    for (size_t at = 0; at < sizeof metrics->groups[group].stretches; at += 64)
        __builtin_prefetch(lines + at);
}

/* Of the window that ends at until_us. */
static int changed_of(struct metrics *metrics, struct group *group, int64_t now_us,
                      int64_t until_us, bool whole, struct estimate *out, int max)
{
    int count = 0;
    struct view views[DOUBT_COUNT];
    bool seen[DOUBT_COUNT] = {false};
    for (int kind = 0; kind < ESTIMATE_COUNT && count < max; kind++) {
        enum doubt doubt = doubt_of((enum estimate_kind)kind);
        struct measured measured = {0};
        if (!is_of(group, (enum estimate_kind)kind))
            continue;
        if (group->doubt_until_us <= now_us)
            doubt = DOUBT_ALL; /* what is seen is the same then */
        if (!seen[doubt]) {
            views[doubt].now_us = now_us;
            views[doubt].until_us = until_us;
            see(metrics, group, doubt, &views[doubt]);
        }
        seen[doubt] = true;
        if (!measure(metrics, group, (enum estimate_kind)kind, &views[doubt], &measured))
            continue;
        struct said *said = &group->said[kind];
        bool ratio = kind == ESTIMATE_HIT_PPM;
        /* What is still to come in the stretch can only add to a sum. */
        if (!whole && kind == ESTIMATE_CALLS_MHZ &&
            (said->value < 0 || measured.value <= said->value ||
             !quantise_moved(said->value, measured.value, false)))
            continue;
        bool moved = said->value < 0 || quantise_moved(said->value, measured.value, ratio);
        bool wider = measured.spread >= 2 * said->spread ||
                     (measured.spread <= said->spread / 2 && said->spread > 1);
        if (!moved && !wider && now_us - said->at_us < metrics->options.age_max_us / 2)
            continue;
        if (moved)
            said->value = ratio ? quantise_ratio(measured.value) : quantise_value(measured.value);
        if (moved || wider)
            said->spread = coarse_spread(measured.spread);
        said->at_us = now_us;
        struct estimate *estimate = &out[count++];
        *estimate = (struct estimate){.kind = (enum estimate_kind)kind,
                                      .value = said->value,
                                      .at_us = now_us,
                                      .spread = said->spread,
                                      .observed_us = coarse_observed(now_us - group->first_us)};
        memcpy(estimate->namespace_, group->namespace_, sizeof estimate->namespace_);
        memcpy(estimate->app, group->app, sizeof estimate->app);
        memcpy(estimate->workload, group->workload, sizeof estimate->workload);
        memcpy(estimate->site, group->site, sizeof estimate->site);
        memcpy(estimate->peer, group->peer, sizeof estimate->peer);
    }
    return count;
}

static void see(const struct metrics *metrics, const struct group *group, enum doubt doubt,
                struct view *view)
{
    int64_t now_us = view->now_us;
    int64_t until_us = view->until_us;
    int64_t most = 0;
    view->incomplete = false;
    for (int i = 0; i < STRETCHES; i++) {
        stretch_clear(&view->nodes[i], -1);
        stretch_clear(&view->probe[i], -1);
    }
    bool plain = group->doubt_until_us <= now_us && !group->probed;
    if (plain)
        windows_add(metrics, group->stretches, until_us, view->nodes);
    for (int i = plain ? -1 : group->first; i >= 0; i = windows_next(metrics, group, i)) {
        const struct claim *claim = &metrics->claims[i];
        if (now_us - claim->seen_us > 2 * metrics->options.window_us)
            continue;
        if (suspect_doubted(claim, doubt, now_us)) {
            view->incomplete = true;
            continue;
        }
        if (!claim->probe || group->kind == GROUP_PAIR) {
            windows_add(metrics, windows_stretches(metrics, i), until_us, view->nodes);
            continue;
        }
        struct stretch one[STRETCHES];
        for (int k = 0; k < STRETCHES; k++)
            one[k] = (struct stretch){.index = -1};
        windows_add(metrics, windows_stretches(metrics, i), until_us, one);
        struct stretch total = windows_total(one);
        int64_t told = 0;
        for (int kind = 0; kind < STRETCH_KINDS; kind++)
            told += total.count[kind];
        if (told > most)
            memcpy(view->probe, one, sizeof one);
        most = told > most ? told : most;
    }
    view->nodes_total = windows_total(view->nodes);
    view->probe_total = windows_total(view->probe);
    int64_t step_us = metrics->step_us;
    view->covered_us = (STRETCHES - 1) * step_us;
    int64_t since_us = until_us - group->first_us;
    if (since_us < view->covered_us)
        view->covered_us = since_us > step_us ? since_us : step_us;
}

/* The value over the whole stretches of the window; false when too little is known. */
static bool measure(const struct metrics *metrics, const struct group *group,
                    enum estimate_kind kind, const struct view *view, struct measured *ret)
{
    int64_t window_us = (STRETCHES - 1) * (metrics->options.window_us / STRETCHES);
    if (view->now_us - group->first_us < window_us / 2)
        return false;
    for (int of_probe = 0; of_probe < 2; of_probe++) {
        const struct stretch *stretches = of_probe ? view->probe : view->nodes;
        const struct stretch *total = of_probe ? &view->probe_total : &view->nodes_total;
        bool known = false;
        switch (kind) {
        case ESTIMATE_CALLS_MHZ:
            if (view->incomplete)
                return false;
            known = rate_of(view, total, ret);
            break;
        case ESTIMATE_CPU_NS:
            known = mean_of(metrics, stretches, total, SAMPLE_CPU_NS, ret);
            break;
        case ESTIMATE_HIT_PPM:
            known = share_of(metrics, total, ret);
            break;
        case ESTIMATE_REQUEST_BYTES:
            known = mean_of(metrics, stretches, total, SAMPLE_BYTES_IN, ret);
            break;
        case ESTIMATE_RESPONSE_BYTES:
            known = mean_of(metrics, stretches, total, SAMPLE_BYTES_OUT, ret);
            break;
        case ESTIMATE_LATENCY_US:
            known = mean_of(metrics, stretches, total, SAMPLE_LATENCY_US_SUM, ret);
            break;
        case ESTIMATE_MCPU:
            known = used_of(stretches, total, ret);
            break;
        case ESTIMATE_MEMORY_BYTES:
            known = gauge_of(stretches, total, SAMPLE_MEMORY_BYTES, ret);
            break;
        case ESTIMATE_RTT_US:
            known = gauge_of(stretches, total, SAMPLE_RTT_US, ret);
            ret->value = total->sum[0]; /* the shortest, not the mean */
            break;
        case ESTIMATE_LATENCY_P99_US:
            return percentile_of(metrics, group, view->now_us, ret);
        case ESTIMATE_METER_BYTES:
        case ESTIMATE_USERS_MHZ:
        case ESTIMATE_COUNT:
            break;
        }
        if (known)
            return true;
    }
    return false;
}

/* A rate of 0 is a measurement, if anything was heard at all. Arrivals are a Poisson process at
 * best: the spread of a count is its root, and that of none is one. */
static bool rate_of(const struct view *view, const struct stretch *total, struct measured *ret)
{
    if (total->count[SAMPLE_REQUESTS] == 0)
        return false;
    int64_t requests = total->sum[SAMPLE_REQUESTS];
    double per_count = 1000.0 * (double)US_PER_S / (double)view->covered_us;
    ret->value = (int64_t)((__int128)requests * 1000 * US_PER_S / view->covered_us);
    ret->spread = (int64_t)llround(sqrt(requests > 0 ? (double)requests : 1.0) * per_count);
    return true;
}

/* Scatter of the stretches' means around the whole's, each as heavy as its denominator. */
struct scatter {
    double squares;
    double weights;
    int count;
};

static void scatter_add(struct scatter *scatter, double value, double mean, double weight)
{
    scatter->squares += weight * (value - mean) * (value - mean);
    scatter->weights += weight;
    scatter->count++;
}

/* One standard error of the mean; of a single stretch nothing is known but the value itself. */
static int64_t scatter_spread(const struct scatter *scatter, int64_t value)
{
    if (scatter->count < 2)
        return value;
    double spread = sqrt(scatter->squares / scatter->weights / (scatter->count - 1));
    return spread < 0x1p62 ? (int64_t)llround(spread) : INT64_MAX / 2;
}

/* Per request. Only stretches in which the counter was read count: an instance that ends is asked
 * for its requests to the last, while its CPU time is gone with its cgroup, and requests without
 * theirs would make a call look cheap. */
static bool mean_of(const struct metrics *metrics, const struct stretch *stretches,
                    const struct stretch *total, int counted, struct measured *ret)
{
    int64_t requests = 0;
    int64_t sum = 0;
    for (int i = 0; i < STRETCHES; i++) {
        if (stretches[i].index >= 0 && stretches[i].count[counted] > 0) {
            requests += stretches[i].sum[SAMPLE_REQUESTS];
            sum += stretches[i].sum[counted];
        }
    }
    bool told =
        total->count[counted] > 0 && (counted != SAMPLE_LATENCY_US_SUM || total->sum[counted] > 0);
    if (requests < metrics->options.events_min || !told)
        return false;
    struct scatter scatter = {0};
    double mean = (double)sum / (double)requests;
    for (int i = 0; i < STRETCHES; i++) {
        double weight = (double)stretches[i].sum[SAMPLE_REQUESTS];
        if (stretches[i].index >= 0 && stretches[i].count[counted] > 0 && weight > 0)
            scatter_add(&scatter, (double)stretches[i].sum[counted] / weight, mean, weight);
    }
    ret->value = sum / requests;
    ret->spread = scatter_spread(&scatter, ret->value);
    return true;
}

/* Hits of look-ups, a binomial share; with one more of each, so that none out of few is not
 * certain. */
static bool share_of(const struct metrics *metrics, const struct stretch *total,
                     struct measured *ret)
{
    int64_t hits = total->sum[SAMPLE_HITS];
    int64_t all = hits + total->sum[SAMPLE_MISSES];
    if (all < metrics->options.events_min)
        return false;
    double share = ((double)hits + 1) / ((double)all + 2);
    ret->value = (int64_t)((__int128)hits * PPM / all);
    ret->spread = (int64_t)llround(sqrt(share * (1 - share) / (double)all) * (double)PPM);
    return true;
}

/* Milli-CPUs in use per instance: CPU time over the time that the counters cover. */
static bool used_of(const struct stretch *stretches, const struct stretch *total,
                    struct measured *ret)
{
    if (total->busy_us <= 0)
        return false;
    struct scatter scatter = {0};
    double mean = (double)total->sum[SAMPLE_CPU_NS] / (double)total->busy_us;
    for (int i = 0; i < STRETCHES; i++)
        if (stretches[i].index >= 0 && stretches[i].busy_us > 0)
            scatter_add(&scatter,
                        (double)stretches[i].sum[SAMPLE_CPU_NS] / (double)stretches[i].busy_us,
                        mean, (double)stretches[i].busy_us);
    ret->value = total->sum[SAMPLE_CPU_NS] / total->busy_us;
    ret->spread = scatter_spread(&scatter, ret->value);
    return true;
}

/* Of a gauge's readings; of round trips each stretch has one, the shortest. */
static bool gauge_of(const struct stretch *stretches, const struct stretch *total, int kind,
                     struct measured *ret)
{
    int at = stretch_place(kind);
    if (total->count[at] == 0)
        return false;
    bool shortest = kind == SAMPLE_RTT_US;
    struct scatter scatter = {0};
    double mean =
        shortest ? (double)total->sum[at] : (double)total->sum[at] / (double)total->count[at];
    for (int i = 0; i < STRETCHES; i++) {
        if (stretches[i].index < 0 || stretches[i].count[at] == 0)
            continue;
        double weight = shortest ? 1 : (double)stretches[i].count[at];
        scatter_add(&scatter, (double)stretches[i].sum[at] / weight, mean, weight);
    }
    ret->value = total->sum[at] / (shortest ? 1 : total->count[at]);
    ret->spread = scatter_spread(&scatter, ret->value);
    return true;
}

/* The 99th percentile; its spread is what one standard error of the rank makes of the value, and
 * what the sketch itself may be off. A hundred times more than once must have been seen. */
static bool percentile_of(const struct metrics *metrics, const struct group *group, int64_t now_us,
                          struct measured *ret)
{
    struct sketch sketch = {0};
    bool enough = sketch_of(metrics, group, now_us, &sketch) &&
                  sketch.count >= 5 * (uint64_t)metrics->options.events_min;
    if (enough) {
        int64_t rank_ppm = (int64_t)(sqrt(0.99 * 0.01 / (double)sketch.count) * (double)PPM) + 1;
        double value = sketch_quantile(&sketch, 990000);
        double low = sketch_quantile(&sketch, 990000 - rank_ppm);
        double high = sketch_quantile(&sketch, 990000 + rank_ppm);
        ret->value = (int64_t)llround(value);
        ret->spread = (int64_t)llround((high - low) / 2 +
                                       value * (double)sketch_error_ppm(&sketch) / (double)PPM);
    }
    sketch_done(&sketch);
    return enough;
}

/* All that is believed of the present and the last window; nodes' words, or else the probes'. */
static bool sketch_of(const struct metrics *metrics, const struct group *group, int64_t now_us,
                      struct sketch *into)
{
    int64_t present = now_us / metrics->options.window_us;
    if (group->sketched_at < present - 1)
        return false;
    for (int of_probe = 0; of_probe < 2 && into->count == 0; of_probe++)
        for (int i = group->first; i >= 0; i = windows_next(metrics, group, i)) {
            const struct claim *claim = &metrics->claims[i];
            if (claim->probe != (of_probe == 1) || suspect_doubted(claim, DOUBT_LATENCY, now_us))
                continue;
            const struct claim_sketch *halves = metrics->claim_sketches[i].of;
            for (int k = 0; k < 2; k++)
                if (halves[k].index >= present - 1)
                    sketch_merge(into, &halves[k].sketch);
        }
    return into->count > 0;
}

/* The power of two that is next, so that it is said seldom. */
static int64_t coarse_spread(int64_t spread)
{
    int64_t power = 1;
    while (power < spread && power < INT64_MAX / 4)
        power *= 2;
    return power;
}

static int64_t coarse_observed(int64_t observed_us)
{
    static const int64_t steps_us[] = {DAY_US,         6 * US_PER_HOUR, US_PER_HOUR,
                                       600 * US_PER_S, 60 * US_PER_S,   10 * US_PER_S};
    for (size_t i = 0; i < sizeof steps_us / sizeof steps_us[0]; i++)
        if (observed_us >= steps_us[i])
            return steps_us[i];
    return observed_us > 0 ? US_PER_S : 0;
}
