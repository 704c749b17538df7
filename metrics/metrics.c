#include "metrics/metrics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "metrics/quantise.h"

#define BUCKETS        10 /* of a window: a window slides by a tenth of its length */
#define SERIES_SLOTS   (2 * LIMIT_METRIC_SERIES) /* open addressing, at most half full */
#define GROUPS_MAX     (LIMIT_METRIC_SERIES / 8)
#define NODES_MAX      LIMIT_NODES
#define SAMPLE_KINDS   SAMPLE_COUNT
#define RATE_MAX       INT64_C(100000000)    /* events per second of one instance */
#define BYTES_RATE_MAX INT64_C(100000000000) /* 100 GB/s */
#define CPUS_MAX       1024
#define MEMORY_MAX     (INT64_C(1) << 46) /* 64 TiB */
#define RTT_MAX_US     (INT64_C(60) * US_PER_S)
#define SERIES_IDLE_US (INT64_C(600) * US_PER_S)

/* The last reading of one counter of one instance. */
struct series {
    uint64_t key; /* 0: free */
    uint64_t life;
    int64_t value;
    int64_t boot_us; /* of the node, when read */
    int64_t seen_us;
};

/* Sums of one stretch of a window. */
struct bucket {
    int64_t index; /* now_us / bucket length; -1: empty */
    int64_t sum[SAMPLE_KINDS];
    int64_t gauge_count[SAMPLE_KINDS];
    int64_t busy_us; /* summed over instances: how long the CPU counters cover */
};

struct said {
    int64_t value; /* -1: never said */
    int64_t at_us;
};

/* A (workload, site): site "" stands for all sites. Or a pair of sites. */
struct group {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char peer[LIMIT_REF_BYTES];
    bool pair;
    int64_t first_us;
    struct bucket buckets[BUCKETS];
    struct said said[ESTIMATE_COUNT];
};

struct node_seen {
    char name[LIMIT_NAME_BYTES];
    char boot_id[BOOT_ID_BYTES];
    uint64_t seq;
    int64_t boot_us;
};

struct metrics {
    struct metrics_options options;
    struct series *series;
    int series_count;
    struct group *groups;
    int group_count;
    struct node_seen *nodes;
    int node_count;
    struct metrics_refusal refusal;
};

static struct message_sample named(const struct message_sample *sample);
static bool fresh_batch(struct metrics *metrics, const char *node,
                        const struct message_batch *batch);
static void take_sample(struct metrics *metrics, const char *node, const char *site,
                        const struct message_batch *batch, const struct message_sample *sample,
                        int64_t now_us);
static void take_rtt(struct metrics *metrics, const char *node, const char *site,
                     const struct message_sample *sample, const char *peer, int64_t now_us);
static bool difference_of(struct metrics *metrics, const char *node,
                          const struct message_batch *batch, const struct message_sample *sample,
                          int64_t now_us, int64_t *ret_delta, int64_t *ret_elapsed_us);
static struct series *series_of(struct metrics *metrics, uint64_t key, int64_t now_us);
static void drop_idle_series(struct metrics *metrics, int64_t now_us);
static struct group *group_of(struct metrics *metrics, const struct message_sample *sample,
                              const char *site, const char *peer, int64_t now_us);
static void add(struct metrics *metrics, struct group *group, int kind, int64_t value,
                int64_t busy_us, int64_t now_us);
static void add_rtt(struct metrics *metrics, struct group *group, int64_t value, int64_t now_us);
static struct bucket *bucket_at(struct metrics *metrics, struct group *group, int64_t now_us);
static int changed_of(struct metrics *metrics, struct group *group, int64_t now_us,
                      struct estimate *out, int max);
static bool value_of(const struct metrics *metrics, const struct group *group,
                     enum estimate_kind kind, int64_t now_us, int64_t *ret_value);
static void refuse(struct metrics *metrics, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

int metrics_create(const struct metrics_options *options, struct metrics **ret_metrics,
                   struct error *err)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the metrics' tables");
    if (options != NULL)
        metrics->options = *options;
    if (metrics->options.window_us <= 0)
        metrics->options.window_us = 10 * US_PER_S;
    if (metrics->options.age_max_us <= 0)
        metrics->options.age_max_us = 60 * US_PER_S;
    if (metrics->options.events_min <= 0)
        metrics->options.events_min = 20;
    metrics->series = calloc(SERIES_SLOTS, sizeof *metrics->series);
    metrics->nodes = calloc(NODES_MAX, sizeof *metrics->nodes);
    if (metrics->series == NULL || metrics->nodes == NULL) {
        metrics_destroy(metrics);
        return error_set(err, ERR_NO_MEMORY, 0, "the metrics' tables");
    }
    *ret_metrics = metrics;
    return 0;
}

void metrics_destroy(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    free(metrics->series);
    free(metrics->groups);
    free(metrics->nodes);
    free(metrics);
}

void metrics_take(struct metrics *metrics, const char *node, const char *site,
                  const struct message_batch *batch, int64_t now_us,
                  const char *(*peer_site)(void *context, const char *node), void *context)
{
    if (!str_equal(node, batch->node)) {
        refuse(metrics, "node %s: a batch that says it is of %s", node, batch->node);
        return;
    }
    if (!fresh_batch(metrics, node, batch))
        return;
    for (int i = 0; i < batch->sample_count; i++) {
        const struct message_sample told = named(&batch->samples[i]);
        const struct message_sample *sample = &told;
        if (sample->kind < 0 || sample->kind >= SAMPLE_KINDS || sample->value < 0)
            refuse(metrics, "node %s: %s is %lld; no reading is below 0", node,
                   sample->kind >= 0 && sample->kind < SAMPLE_KINDS
                       ? sample_kind_words[sample->kind]
                       : "an unknown kind",
                   (long long)sample->value);
        else if (sample->kind == SAMPLE_RTT_US)
            take_rtt(metrics, node, site, sample,
                     peer_site != NULL ? peer_site(context, sample->peer) : NULL, now_us);
        else
            take_sample(metrics, node, site, batch, sample, now_us);
    }
}

int metrics_changed(struct metrics *metrics, int64_t now_us, struct estimate *out, int max)
{
    int count = 0;
    for (int i = 0; i < metrics->group_count && count < max; i++)
        count += changed_of(metrics, &metrics->groups[i], now_us, out + count, max - count);
    return count;
}

int64_t metrics_deadline_us(const struct metrics *metrics, int64_t now_us)
{
    int64_t step_us = metrics->options.window_us / BUCKETS;
    return metrics->group_count == 0 ? INT64_MAX : (now_us / step_us + 1) * step_us;
}

struct metrics_refusal metrics_refused(const struct metrics *metrics)
{
    return metrics->refusal;
}

/* Names that were not told are "". */
static struct message_sample named(const struct message_sample *sample)
{
    struct message_sample copy = *sample;
    const char **const texts[] = {&copy.namespace_, &copy.app,  &copy.workload, &copy.instance,
                                  &copy.segment,    &copy.peer, &copy.site};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (*texts[i] == NULL)
            *texts[i] = "";
    return copy;
}

/* A repeated or older batch of the same boot is dropped whole: its differences are known already.
 */
static bool fresh_batch(struct metrics *metrics, const char *node,
                        const struct message_batch *batch)
{
    struct node_seen *seen = NULL;
    for (int i = 0; i < metrics->node_count && seen == NULL; i++)
        if (str_equal(metrics->nodes[i].name, node))
            seen = &metrics->nodes[i];
    if (seen == NULL) {
        if (metrics->node_count == NODES_MAX) {
            refuse(metrics, "node %s: more than %d nodes send metrics", node, NODES_MAX);
            return false;
        }
        seen = &metrics->nodes[metrics->node_count++];
        str_format(seen->name, sizeof seen->name, "%s", node);
    }
    bool same_boot = str_equal(seen->boot_id, batch->boot_id);
    if (same_boot && batch->boot_us < seen->boot_us) {
        refuse(metrics, "node %s: batch %llu is older than one already seen", node,
               (unsigned long long)batch->seq);
        return false;
    }
    /* An agent that restarted begins its sequence anew; its clock has gone on. */
    if (same_boot && batch->seq == seen->seq && batch->boot_us == seen->boot_us) {
        refuse(metrics, "node %s: batch %llu came twice", node, (unsigned long long)batch->seq);
        return false;
    }
    str_format(seen->boot_id, sizeof seen->boot_id, "%s", batch->boot_id);
    seen->seq = batch->seq;
    seen->boot_us = batch->boot_us;
    return true;
}

static void take_sample(struct metrics *metrics, const char *node, const char *site,
                        const struct message_batch *batch, const struct message_sample *sample,
                        int64_t now_us)
{
    int64_t value = sample->value;
    int64_t elapsed_us = 0;
    if (sample->kind == SAMPLE_MEMORY_BYTES) {
        if (value > MEMORY_MAX) {
            refuse(metrics, "node %s: %s uses %lld bytes of memory", node, sample->instance,
                   (long long)value);
            return;
        }
    } else if (!difference_of(metrics, node, batch, sample, now_us, &value, &elapsed_us)) {
        return;
    }
    int64_t busy_us = sample->kind == SAMPLE_CPU_NS ? elapsed_us : 0;
    /* One after the other: finding a group may move the table that the other is in. */
    const char *const places[] = {site, ""};
    for (int i = 0; i < 2; i++) {
        struct group *group = group_of(metrics, sample, places[i], "", now_us);
        if (group != NULL)
            add(metrics, group, sample->kind, value, busy_us, now_us);
    }
}

static void take_rtt(struct metrics *metrics, const char *node, const char *site,
                     const struct message_sample *sample, const char *peer, int64_t now_us)
{
    if (peer == NULL || str_equal(peer, site))
        return; /* a peer that is no site of the world, or the same one: nothing to say */
    if (sample->value > RTT_MAX_US) {
        refuse(metrics, "node %s: a round trip of %lld us to %s", node, (long long)sample->value,
               sample->peer);
        return;
    }
    struct message_sample nobody = {.kind = SAMPLE_RTT_US};
    nobody = named(&nobody);
    struct group *group = group_of(metrics, &nobody, site, peer, now_us);
    if (group != NULL)
        add_rtt(metrics, group, sample->value, now_us);
}

/* What a counter grew by since its last reading, and how long ago that was on the node's clock. The
 * first reading and the first of a new life are only a base. False when there is nothing to add. */
static bool difference_of(struct metrics *metrics, const char *node,
                          const struct message_batch *batch, const struct message_sample *sample,
                          int64_t now_us, int64_t *ret_delta, int64_t *ret_elapsed_us)
{
    uint64_t key = hash_str(hash_str(HASH_SEED, node), sample->instance);
    key = hash_u64(hash_str(key, sample->workload), (uint64_t)sample->kind) | 1;
    struct series *series = series_of(metrics, key, now_us);
    if (series == NULL) {
        refuse(metrics, "node %s: more than %d series", node, LIMIT_METRIC_SERIES);
        return false;
    }
    bool known = series->key != 0 && series->life == sample->life;
    struct series before = *series;
    if (series->key == 0)
        metrics->series_count++;
    *series = (struct series){.key = key,
                              .life = sample->life,
                              .value = sample->value,
                              .boot_us = batch->boot_us,
                              .seen_us = now_us};
    if (!known)
        return false;
    int64_t delta = sample->value - before.value;
    int64_t elapsed_us = batch->boot_us - before.boot_us;
    if (delta < 0) {
        refuse(metrics, "node %s: %s of %s fell by %lld without a new life", node,
               sample_kind_words[sample->kind], sample->instance, (long long)-delta);
        return false;
    }
    int64_t rate_max = sample->kind == SAMPLE_CPU_NS ? CPUS_MAX * INT64_C(1000000000)
                       : sample->kind == SAMPLE_BYTES_IN || sample->kind == SAMPLE_BYTES_OUT
                           ? BYTES_RATE_MAX
                       : sample->kind == SAMPLE_LATENCY_US_SUM ? RATE_MAX * 1000
                                                               : RATE_MAX;
    /* One second of grace: readings are not taken at the very instant that the batch says. */
    if ((__int128)delta > (__int128)rate_max * (elapsed_us + US_PER_S) / US_PER_S) {
        refuse(metrics, "node %s: %s of %s grew by %lld in %lld us, faster than is plausible", node,
               sample_kind_words[sample->kind], sample->instance, (long long)delta,
               (long long)elapsed_us);
        return false;
    }
    *ret_delta = delta;
    *ret_elapsed_us = elapsed_us;
    return true;
}

/* The slot of a key: its own, or a free one. NULL when the table is at its limit. */
static struct series *series_of(struct metrics *metrics, uint64_t key, int64_t now_us)
{
    for (int pass = 0; pass < 2; pass++) {
        uint64_t slot = key % SERIES_SLOTS;
        while (metrics->series[slot].key != 0 && metrics->series[slot].key != key)
            slot = (slot + 1) % SERIES_SLOTS;
        if (metrics->series[slot].key == key || metrics->series_count < LIMIT_METRIC_SERIES)
            return &metrics->series[slot];
        drop_idle_series(metrics, now_us);
    }
    return NULL;
}

/* Series of instances that have gone: rebuilt into a fresh table, since open addressing has no
 * holes. */
static void drop_idle_series(struct metrics *metrics, int64_t now_us)
{
    struct series *old = metrics->series;
    struct series *fresh = calloc(SERIES_SLOTS, sizeof *fresh);
    if (fresh == NULL)
        return;
    metrics->series_count = 0;
    for (int i = 0; i < SERIES_SLOTS; i++) {
        if (old[i].key == 0 || now_us - old[i].seen_us > SERIES_IDLE_US)
            continue;
        uint64_t slot = old[i].key % SERIES_SLOTS;
        while (fresh[slot].key != 0)
            slot = (slot + 1) % SERIES_SLOTS;
        fresh[slot] = old[i];
        metrics->series_count++;
    }
    metrics->series = fresh;
    free(old);
}

static struct group *group_of(struct metrics *metrics, const struct message_sample *sample,
                              const char *site, const char *peer, int64_t now_us)
{
    for (int i = 0; i < metrics->group_count; i++) {
        struct group *group = &metrics->groups[i];
        if (str_equal(group->workload, sample->workload) && str_equal(group->site, site) &&
            str_equal(group->app, sample->app) && str_equal(group->peer, peer) &&
            str_equal(group->namespace_, sample->namespace_))
            return group;
    }
    if (metrics->group_count == GROUPS_MAX) {
        refuse(metrics, "more than %d workloads and sites send metrics", GROUPS_MAX);
        return NULL;
    }
    if ((metrics->group_count & (metrics->group_count - 1)) ==
        0) { /* at each power of two: double */
        size_t room = metrics->group_count == 0 ? 1 : 2 * (size_t)metrics->group_count;
        struct group *more = realloc(metrics->groups, room * sizeof *more);
        if (more == NULL) {
            refuse(metrics, "out of memory for another workload's windows");
            return NULL;
        }
        metrics->groups = more;
    }
    struct group *group = &metrics->groups[metrics->group_count++];
    *group = (struct group){.pair = peer[0] != '\0', .first_us = now_us};
    str_format(group->namespace_, sizeof group->namespace_, "%s", sample->namespace_);
    str_format(group->app, sizeof group->app, "%s", sample->app);
    str_format(group->workload, sizeof group->workload, "%s", sample->workload);
    str_format(group->site, sizeof group->site, "%s", site);
    str_format(group->peer, sizeof group->peer, "%s", peer);
    for (int i = 0; i < BUCKETS; i++)
        group->buckets[i].index = -1;
    for (int i = 0; i < ESTIMATE_COUNT; i++)
        group->said[i].value = -1;
    return group;
}

static void add(struct metrics *metrics, struct group *group, int kind, int64_t value,
                int64_t busy_us, int64_t now_us)
{
    struct bucket *bucket = bucket_at(metrics, group, now_us);
    bucket->sum[kind] += value;
    bucket->gauge_count[kind]++;
    bucket->busy_us += busy_us;
}

/* Of a stretch the shortest round trip counts: what is longer waited in some queue. */
static void add_rtt(struct metrics *metrics, struct group *group, int64_t value, int64_t now_us)
{
    struct bucket *bucket = bucket_at(metrics, group, now_us);
    if (bucket->gauge_count[SAMPLE_RTT_US] == 0 || value < bucket->sum[SAMPLE_RTT_US])
        bucket->sum[SAMPLE_RTT_US] = value;
    bucket->gauge_count[SAMPLE_RTT_US] = 1;
}

static struct bucket *bucket_at(struct metrics *metrics, struct group *group, int64_t now_us)
{
    int64_t index = now_us / (metrics->options.window_us / BUCKETS);
    struct bucket *bucket = &group->buckets[index % BUCKETS];
    if (bucket->index != index)
        *bucket = (struct bucket){.index = index};
    return bucket;
}

/* Each kind is said for the site or for all sites, as model/cost.c looks it up; never for both. */
static int changed_of(struct metrics *metrics, struct group *group, int64_t now_us,
                      struct estimate *out, int max)
{
    int count = 0;
    for (int kind = 0; kind < ESTIMATE_COUNT && count < max; kind++) {
        bool of_pair = kind == ESTIMATE_RTT_US;
        bool of_all = kind == ESTIMATE_CALLS_MHZ || kind == ESTIMATE_REQUEST_BYTES ||
                      kind == ESTIMATE_RESPONSE_BYTES;
        int64_t value = 0;
        if (of_pair != group->pair || (!of_pair && of_all != (group->site[0] == '\0')))
            continue;
        if (!value_of(metrics, group, (enum estimate_kind)kind, now_us, &value))
            continue;
        struct said *said = &group->said[kind];
        bool ratio = kind == ESTIMATE_HIT_PPM;
        bool moved = said->value < 0 || quantise_moved(said->value, value, ratio);
        if (!moved && now_us - said->at_us < metrics->options.age_max_us / 2)
            continue;
        if (moved)
            said->value = ratio ? quantise_ratio(value) : quantise_value(value);
        said->at_us = now_us;
        struct estimate *estimate = &out[count++];
        *estimate = (struct estimate){
            .kind = (enum estimate_kind)kind, .value = said->value, .at_us = now_us};
        str_format(estimate->namespace_, sizeof estimate->namespace_, "%s", group->namespace_);
        str_format(estimate->app, sizeof estimate->app, "%s", group->app);
        str_format(estimate->workload, sizeof estimate->workload, "%s", group->workload);
        str_format(estimate->site, sizeof estimate->site, "%s", group->site);
        str_format(estimate->peer, sizeof estimate->peer, "%s", group->peer);
    }
    return count;
}

/* The value over the whole stretches of the window; false when too little is known. */
static bool value_of(const struct metrics *metrics, const struct group *group,
                     enum estimate_kind kind, int64_t now_us, int64_t *ret_value)
{
    int64_t step_us = metrics->options.window_us / BUCKETS;
    int64_t present = now_us / step_us; /* still filling: left out */
    struct bucket total = {0};
    int64_t filled = 0;
    int64_t rtt_us = INT64_MAX;
    for (int i = 0; i < BUCKETS; i++) {
        const struct bucket *bucket = &group->buckets[i];
        if (bucket->index < 0 || bucket->index >= present || bucket->index <= present - BUCKETS)
            continue;
        filled++;
        for (int k = 0; k < SAMPLE_KINDS; k++) {
            total.sum[k] += bucket->sum[k];
            total.gauge_count[k] += bucket->gauge_count[k];
        }
        total.busy_us += bucket->busy_us;
        if (bucket->gauge_count[SAMPLE_RTT_US] > 0 && bucket->sum[SAMPLE_RTT_US] < rtt_us)
            rtt_us = bucket->sum[SAMPLE_RTT_US];
    }
    int64_t covered_us = (BUCKETS - 1) * step_us;
    if (now_us - group->first_us < covered_us / 2 || filled == 0)
        return false;
    int64_t requests = total.sum[SAMPLE_REQUESTS];
    int64_t looked_up = total.sum[SAMPLE_HITS] + total.sum[SAMPLE_MISSES];
    int64_t since_us = now_us - now_us % step_us - group->first_us;
    if (since_us < covered_us)
        covered_us = since_us > step_us ? since_us : step_us;
    bool enough = requests >= metrics->options.events_min;
    switch (kind) {
    case ESTIMATE_CALLS_MHZ: /* a rate of 0 is a measurement, if anything was heard at all */
        if (total.gauge_count[SAMPLE_REQUESTS] == 0)
            return false;
        *ret_value = (int64_t)((__int128)requests * 1000 * US_PER_S / covered_us);
        return true;
    case ESTIMATE_CPU_NS:
        *ret_value = enough ? total.sum[SAMPLE_CPU_NS] / requests : 0;
        return enough && total.gauge_count[SAMPLE_CPU_NS] > 0;
    case ESTIMATE_HIT_PPM:
        *ret_value =
            looked_up > 0 ? (int64_t)((__int128)total.sum[SAMPLE_HITS] * PPM / looked_up) : 0;
        return looked_up >= metrics->options.events_min;
    case ESTIMATE_REQUEST_BYTES:
        *ret_value = enough ? total.sum[SAMPLE_BYTES_IN] / requests : 0;
        return enough;
    case ESTIMATE_RESPONSE_BYTES:
        *ret_value = enough ? total.sum[SAMPLE_BYTES_OUT] / requests : 0;
        return enough;
    case ESTIMATE_LATENCY_US:
        *ret_value = enough ? total.sum[SAMPLE_LATENCY_US_SUM] / requests : 0;
        return enough && total.sum[SAMPLE_LATENCY_US_SUM] > 0;
    case ESTIMATE_MCPU:
        *ret_value = total.busy_us > 0 ? total.sum[SAMPLE_CPU_NS] / total.busy_us : 0;
        return total.busy_us > 0;
    case ESTIMATE_MEMORY_BYTES:
        if (total.gauge_count[SAMPLE_MEMORY_BYTES] == 0)
            return false;
        *ret_value = total.sum[SAMPLE_MEMORY_BYTES] / total.gauge_count[SAMPLE_MEMORY_BYTES];
        return true;
    case ESTIMATE_RTT_US:
        *ret_value = rtt_us;
        return rtt_us != INT64_MAX;
    case ESTIMATE_LATENCY_P99_US:
    case ESTIMATE_METER_BYTES: /* the ledger tells it */
    case ESTIMATE_COUNT:
        break;
    }
    return false;
}

static void refuse(struct metrics *metrics, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    str_format(metrics->refusal.last, sizeof metrics->refusal.last, "%.*s", LIMIT_TEXT_BYTES - 1,
               text);
    metrics->refusal.count++;
}
