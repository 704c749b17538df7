#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "metrics/metrics_internal.h"

/* A batch that took that much longer than the quickest one is too old to say anything. */
#define LATE_MAX_US (INT64_C(60) * US_PER_S)

#define RUN_MAX 16 /* samples that are taken at once */

/* The batch being taken, and where the samples at hand belong. */
struct taking {
    struct metrics *metrics;
    const struct message_batch *batch;
    int source;
    const char *name;
    const char *site; /* NULL: a probe */
    int64_t now_us;
    const char *(*site_of)(void *context, const char *peer);
    void *context;
    struct windows_now now;
    struct windows_names names;
};

/* What one instance's samples say, of which a batch has some in a row, one of each kind as a rule.
 */
struct run {
    const struct message_sample *whose;
    int instance;
    struct metrics_reading list[RUN_MAX];
    int count;
    struct stretch sums; /* of list */
};

static bool fresh_batch(struct taking *taking);
static void take_samples(struct taking *taking);
static void take_row(struct taking *taking, const struct message_sample *whose,
                     const uint8_t *kinds, const int64_t *values, int count);
static int take_run(struct taking *taking, const struct message_sample *whose, const uint8_t *kinds,
                    const int64_t *values, int count);
static void read_memory(struct taking *taking, int64_t value, struct run *run);
static void read_counter(struct taking *taking, struct instance *instance, int kind, int64_t value,
                         struct run *run);
static void set_apart(struct metrics *metrics, int instance, uint8_t which);
static void add_run(struct taking *taking, struct run *run);
static void take_rtt(struct taking *taking, const struct message_sample *sample, int64_t value);
static void take_sketch(struct taking *taking, const struct message_sketch *sketch);
static const char *place_of(struct taking *taking, const char *site, const char *peer,
                            const char **ret_peer);
static inline bool same_instance(const struct message_sample *a, const struct message_sample *b);
static bool same_texts(const struct message_sample *a, const struct message_sample *b);
static const char *kind_word(int kind);

/* "" for a name that was not told. */
static const char *told(const char *text)
{
    return text == NULL ? "" : text;
}

int metrics_create(const struct metrics_options *options, struct metrics **ret_metrics,
                   struct error *err)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the metrics' tables");
    if (options != NULL)
        metrics->options = *options;
    if (metrics->options.window_us < STRETCHES)
        metrics->options.window_us = 10 * US_PER_S;
    if (metrics->options.age_max_us <= 0)
        metrics->options.age_max_us = 60 * US_PER_S;
    if (metrics->options.events_min <= 0)
        metrics->options.events_min = 20;
    metrics->step_us = metrics->options.window_us / STRETCHES;
    metrics->judged_at = -1;
    int rc = windows_create(metrics, err);
    if (rc < 0) {
        metrics_destroy(metrics);
        return rc;
    }
    *ret_metrics = metrics;
    return 0;
}

void metrics_destroy(struct metrics *metrics)
{
    if (metrics == NULL)
        return;
    windows_destroy(metrics);
    free(metrics);
}

void metrics_take(struct metrics *metrics, const char *node, const char *site,
                  const struct message_batch *batch, int64_t now_us,
                  const char *(*site_of)(void *context, const char *peer), void *context)
{
    struct taking taking = {.metrics = metrics,
                            .batch = batch,
                            .name = node,
                            .site = site,
                            .now_us = now_us,
                            .site_of = site_of,
                            .context = context};
    if (!str_equal(node, batch->node)) {
        metrics_refuse(metrics, "node %s: a batch that says it is of %s", node, batch->node);
        return;
    }
    taking.source = windows_source(metrics, node, site == NULL, now_us);
    if (taking.source < 0 || !fresh_batch(&taking))
        return;
    taking.now = windows_now(metrics, now_us);
    for (int i = 0; i < batch->run_count; i++) {
        const struct message_run *run = &batch->runs[i];
        take_row(&taking, &run->of, batch->kinds + run->first, batch->values + run->first,
                 run->count);
    }
    take_samples(&taking);
    for (int i = 0; i < batch->sketch_count; i++)
        take_sketch(&taking, &batch->sketches[i]);
}

struct metrics_refusal metrics_refused(const struct metrics *metrics)
{
    return metrics->refusal;
}

void metrics_refuse(struct metrics *metrics, const char *format, ...)
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

/* A repeated or older batch of the same boot is dropped whole: its differences are known already.
 */
static bool fresh_batch(struct taking *taking)
{
    struct metrics *metrics = taking->metrics;
    const struct message_batch *batch = taking->batch;
    struct source *source = &metrics->sources[taking->source];
    unsigned long long seq = batch->seq;
    bool same_boot = str_equal(source->boot_id, batch->boot_id);
    if (!same_boot)
        source->clock.known = false;
    if (same_boot && batch->boot_us < source->boot_us) {
        metrics_refuse(metrics, "node %s: batch %llu is older than one already seen", taking->name,
                       seq);
        return false;
    }
    /* An agent that restarted begins its sequence anew; its clock has gone on. */
    if (same_boot && batch->seq == source->seq && batch->boot_us == source->boot_us) {
        metrics_refuse(metrics, "node %s: batch %llu came twice", taking->name, seq);
        return false;
    }
    enum plausible_instant instant =
        plausible_instant(&source->clock, batch->boot_us, taking->now_us, LATE_MAX_US);
    if (instant != INSTANT_FINE) {
        metrics_refuse(metrics, "node %s: batch %llu is %s by more than %lld s", taking->name, seq,
                       instant == INSTANT_OLD ? "late" : "from the future",
                       (long long)(LATE_MAX_US / US_PER_S));
        return false;
    }
    str_format(source->boot_id, sizeof source->boot_id, "%s", batch->boot_id);
    source->seq = batch->seq;
    source->boot_us = batch->boot_us;
    source->seen_us = taking->now_us;
    metrics->taken_us = taking->now_us;
    return true;
}

/* Those that did not come as runs are taken by some that would have. */
static void take_samples(struct taking *taking)
{
    const struct message_batch *batch = taking->batch;
    uint8_t kinds[RUN_MAX];
    int64_t values[RUN_MAX];
    for (int i = 0; i < batch->sample_count;) {
        const struct message_sample *first = &batch->samples[i];
        int count = 0;
        do {
            int kind = batch->samples[i].kind;
            kinds[count] = kind >= 0 && kind < SAMPLE_COUNT ? (uint8_t)kind : SAMPLE_COUNT;
            values[count++] = batch->samples[i++].value;
        } while (i < batch->sample_count && count < RUN_MAX &&
                 same_instance(first, &batch->samples[i]));
        take_row(taking, first, kinds, values, count);
    }
}

/* Of a kind that instances have, and no less than 0. */
static inline bool readable(int kind, int64_t value)
{
    return kind < SAMPLE_RTT_US && value >= 0;
}

/* Takes samples of one instance. */
static void take_row(struct taking *taking, const struct message_sample *whose,
                     const uint8_t *kinds, const int64_t *values, int count)
{
    for (int i = 0; i < count;) {
        if (readable(kinds[i], values[i])) {
            i += take_run(taking, whose, kinds + i, values + i, count - i);
            continue;
        }
        if (kinds[i] == SAMPLE_RTT_US && values[i] >= 0)
            take_rtt(taking, whose, values[i]);
        else
            metrics_refuse(taking->metrics, "node %s: %s is %lld; no reading is below 0",
                           taking->name, kind_word(kinds[i]), (long long)values[i]);
        i++;
    }
}

static inline void run_clear(struct run *run)
{
    run->count = 0;
    stretch_clear(&run->sums, 0);
}

/* elapsed_us: what a counter's reading covers. */
static inline void run_add(struct run *run, int kind, int64_t value, int64_t elapsed_us)
{
    run->list[run->count++] = (struct metrics_reading){.kind = kind, .value = value};
    run->sums.sum[kind] += value;
    run->sums.count[kind]++;
    run->sums.busy_us += kind == SAMPLE_CPU_NS ? elapsed_us : 0;
}

/* Takes the first of them and those behind it that instances have; returns how many. */
static int take_run(struct taking *taking, const struct message_sample *whose, const uint8_t *kinds,
                    const int64_t *values, int count)
{
    struct metrics *metrics = taking->metrics;
    const char *site = place_of(taking, whose->site, NULL, NULL);
    struct run run;
    run.whose = whose;
    run_clear(&run);
    run.instance = site == NULL ? -1
                                : windows_instance(metrics, taking->source, whose, site,
                                                   &taking->names, taking->now_us);
    int taken = 0;
    if (run.instance < 0) {
        while (taken < count && readable(kinds[taken], values[taken]))
            taken++;
        return taken;
    }
    struct instance *instance = &metrics->instances[run.instance];
    windows_expect(metrics, run.instance, instance->claim, &taking->now);
    if (instance->boot_us != taking->batch->boot_us) {
        /* A counter that the last batch did not have keeps an older instant, by itself. */
        set_apart(metrics, run.instance, instance->known & (uint8_t)~instance->present);
        instance->before_us = instance->boot_us;
        instance->boot_us = taking->batch->boot_us;
        instance->present = 0;
    }
    if (instance->life != whose->life) {
        set_apart(metrics, run.instance, instance->known);
        instance->life = whose->life;
    }
    /* Counters that are read for the first time in this batch, and were in the last one: as a rule
     * all of them. What they grew by, if little, needs no more to be looked at. */
    int64_t elapsed_us = instance->boot_us - instance->before_us;
    uint8_t plain = (uint8_t)(instance->known & ~(instance->apart | instance->present));
    if (elapsed_us < 0)
        plain = 0;
    do {
        int kind = kinds[taken];
        int64_t value = values[taken];
        int place = counter_place(kind);
        uint8_t bit = (uint8_t)(kind == SAMPLE_MEMORY_BYTES ? 0 : 1 << place);
        if (bit == 0) {
            read_memory(taking, value, &run);
        } else if ((plain & bit) != 0 &&
                   (uint64_t)(value - instance->value[place]) <= PLAUSIBLE_ALWAYS) {
            run_add(&run, kind, value - instance->value[place], elapsed_us);
            instance->value[place] = value;
            instance->present |= bit;
        } else {
            read_counter(taking, instance, kind, value, &run);
        }
        plain &= (uint8_t)~bit;
        if (run.count == RUN_MAX) {
            add_run(taking, &run);
            run_clear(&run);
        }
    } while (++taken < count && readable(kinds[taken], values[taken]));
    add_run(taking, &run);
    return taken;
}

static void read_memory(struct taking *taking, int64_t value, struct run *run)
{
    if (plausible_gauge(SAMPLE_MEMORY_BYTES, value))
        run_add(run, SAMPLE_MEMORY_BYTES, value, 0);
    else
        metrics_refuse(taking->metrics, "node %s: %s uses %lld bytes of memory", taking->name,
                       told(run->whose->instance), (long long)value);
}

/* What a counter grew by since its last reading. The first reading and the first of a new life are
 * only a base. */
static void read_counter(struct taking *taking, struct instance *instance, int kind, int64_t value,
                         struct run *run)
{
    struct metrics *metrics = taking->metrics;
    int place = counter_place(kind);
    uint8_t bit = (uint8_t)(1 << place);
    bool known = (instance->known & bit) != 0;
    int64_t then_us = (instance->present & bit) != 0 ? instance->boot_us : instance->before_us;
    if ((instance->apart & bit) != 0) {
        const struct lag *lag = &metrics->lags[run->instance][place];
        known = known && lag->life == instance->life;
        then_us = lag->boot_us;
    }
    int64_t delta = value - instance->value[place]; /* neither is below 0 */
    int64_t elapsed_us = instance->boot_us - then_us;
    instance->value[place] = value;
    instance->known |= bit;
    instance->present |= bit;
    instance->apart &= (uint8_t)~bit;
    if (!known)
        return;
    if (delta < 0) {
        metrics_refuse(metrics, "node %s: %s of %s fell by %lld without a new life", taking->name,
                       kind_word(kind), told(run->whose->instance), (long long)-delta);
        return;
    }
    if ((delta > PLAUSIBLE_ALWAYS || elapsed_us < 0) &&
        delta > plausible_growth(kind, elapsed_us)) {
        metrics_refuse(metrics,
                       "node %s: %s of %s grew by %lld in %lld us, faster than is plausible",
                       taking->name, kind_word(kind), told(run->whose->instance), (long long)delta,
                       (long long)elapsed_us);
        return;
    }
    run_add(run, kind, delta, elapsed_us);
}

/* Gives counters an instant and a life of their own: what the instance says of them at present. */
static void set_apart(struct metrics *metrics, int index, uint8_t which)
{
    struct instance *instance = &metrics->instances[index];
    for (unsigned rest = which & ~(unsigned)instance->apart; rest != 0; rest &= rest - 1) {
        int place = __builtin_ctz(rest);
        bool present = (instance->present >> place & 1) != 0;
        metrics->lags[index][place] = (struct lag){
            .boot_us = present ? instance->boot_us : instance->before_us, .life = instance->life};
    }
    instance->apart |= which;
}

/* Adds what was read of an instance to its windows and gives it to the sink. */
static void add_run(struct taking *taking, struct run *run)
{
    struct metrics *metrics = taking->metrics;
    const struct instance *instance = &metrics->instances[run->instance];
    const struct metrics_sink *sink = &metrics->options.sink;
    struct windows_place place;
    windows_place(metrics, instance->claim, &taking->now, &place);
    for (int i = 0; i < place.count; i++)
        stretch_add(place.list[i], &run->sums);
    if (run->count > 0 && instance->row >= 0 &&
        !suspect_doubted(&metrics->claims[instance->claim], DOUBT_ALL, taking->now_us)) {
        if (sink->add_all != NULL)
            sink->add_all(sink->context, instance->row, run->list, run->count, taking->now_us);
        for (int k = 0; k < run->count && sink->add_all == NULL; k++)
            sink->add(sink->context, instance->row, run->list[k].kind, run->list[k].value,
                      taking->now_us);
    }
}

/* Of a stretch the shortest round trip counts: what is longer waited in some queue. */
static void take_rtt(struct taking *taking, const struct message_sample *sample, int64_t value)
{
    struct metrics *metrics = taking->metrics;
    const char *peer = NULL;
    const char *site = place_of(taking, sample->site, told(sample->peer), &peer);
    if (site == NULL || peer == NULL || str_equal(peer, site))
        return; /* a peer that is no site of the world, or the same one: nothing to say */
    if (!plausible_gauge(SAMPLE_RTT_US, value)) {
        metrics_refuse(metrics, "node %s: a round trip of %lld us to %s", taking->name,
                       (long long)value, told(sample->peer));
        return;
    }
    int claim = windows_pair(metrics, taking->source, site, peer, taking->now_us);
    if (claim < 0)
        return;
    struct windows_place place;
    windows_place(metrics, claim, &taking->now, &place);
    for (int i = 0; i < place.count; i++) {
        struct stretch *stretch = place.list[i];
        if (stretch->count[0] == 0 || value < stretch->sum[0])
            stretch->sum[0] = value;
        stretch->count[0] = 1;
        stretch->pair = 1;
    }
    const struct metrics_sink *sink = &metrics->options.sink;
    if (sink->row == NULL || suspect_doubted(&metrics->claims[claim], DOUBT_ALL, taking->now_us))
        return;
    struct metrics_key key = {"", "", "", "", site, peer};
    int row = sink->row(sink->context, &key, taking->now_us);
    if (row >= 0)
        sink->add(sink->context, row, SAMPLE_RTT_US, value, taking->now_us);
}

static void take_sketch(struct taking *taking, const struct message_sketch *sketch)
{
    struct metrics *metrics = taking->metrics;
    struct error err;
    if (sketch->kind != SAMPLE_LATENCY_US) {
        metrics_refuse(metrics, "node %s: a sketch of %s; only those of latency_us are taken",
                       taking->name, kind_word(sketch->kind));
        return;
    }
    struct message_sample whose = {.namespace_ = sketch->namespace_,
                                   .app = sketch->app,
                                   .workload = sketch->workload,
                                   .instance = sketch->instance,
                                   .segment = sketch->segment,
                                   .site = sketch->site};
    const char *site = place_of(taking, sketch->site, NULL, NULL);
    int at = site == NULL ? -1
                          : windows_instance(metrics, taking->source, &whose, site, &taking->names,
                                             taking->now_us);
    if (at < 0)
        return;
    const struct instance *instance = &metrics->instances[at];
    struct sketch *into = windows_sketch(metrics, instance->claim, taking->now_us);
    if (sketch_merge_message(into, sketch, &err) < 0) {
        metrics_refuse(metrics, "node %s: %s", taking->name, err.text);
        return;
    }
    const struct metrics_sink *sink = &metrics->options.sink;
    if (instance->row >= 0 && sink->add_sketch != NULL &&
        !suspect_doubted(&metrics->claims[instance->claim], DOUBT_LATENCY, taking->now_us))
        sink->add_sketch(sink->context, instance->row, sketch, taking->now_us);
}

/* The site that a reading is about; NULL: none of the world. A node speaks of its own only. */
static const char *place_of(struct taking *taking, const char *site, const char *peer,
                            const char **ret_peer)
{
    if (peer != NULL)
        *ret_peer = taking->site_of != NULL ? taking->site_of(taking->context, peer) : NULL;
    if (taking->site != NULL)
        return taking->site;
    const char *found =
        taking->site_of != NULL ? taking->site_of(taking->context, told(site)) : NULL;
    if (found == NULL)
        metrics_refuse(taking->metrics, "probe %s: \"%s\" is no site of the world", taking->name,
                       told(site));
    return found;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Of a packed batch the same texts are at the same place. */
static inline bool same_instance(const struct message_sample *a, const struct message_sample *b)
{
    uintptr_t apart = (uintptr_t)a->instance ^ (uintptr_t)b->instance;
    apart |= (uintptr_t)a->workload ^ (uintptr_t)b->workload;
    apart |= (uintptr_t)a->segment ^ (uintptr_t)b->segment;
    apart |= (uintptr_t)a->app ^ (uintptr_t)b->app;
    apart |= (uintptr_t)a->namespace_ ^ (uintptr_t)b->namespace_;
    apart |= (uintptr_t)a->peer ^ (uintptr_t)b->peer;
    apart |= (uintptr_t)a->site ^ (uintptr_t)b->site;
    return a->life == b->life && (apart == 0 || same_texts(a, b));
}

static bool same_texts(const struct message_sample *a, const struct message_sample *b)
{
    return same_text(a->instance, b->instance) && same_text(a->workload, b->workload) &&
           same_text(a->segment, b->segment) && same_text(a->app, b->app) &&
           same_text(a->namespace_, b->namespace_) && same_text(a->peer, b->peer) &&
           same_text(a->site, b->site);
}

static const char *kind_word(int kind)
{
    return kind >= 0 && kind < SAMPLE_COUNT ? sample_kind_words[kind] : "an unknown kind";
}
