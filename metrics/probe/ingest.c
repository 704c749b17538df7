#include "metrics/probe/ingest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/openmetrics_internal.h"
#include "metrics/probe/ingest_internal.h"

#define VALUE_MAX 9.2e18

/* A value that waits for its page's end. */
struct staged {
    uint32_t series;
    bool delta;
    bool bad; /* no number from 0: what its tally would have been is not known */
    int64_t start_ms;
    double value;
};

/* A bucket of a classic histogram, cumulative. */
struct bucket {
    uint32_t tally;
    uint64_t histogram;
    double bound;
    double grown;
    double scale;
};

struct ingest_page {
    struct ingest *ingest;
    struct ingest_begin begin;
    uint64_t number;
    uint64_t salt;
    struct ingest_counts counts;
    struct staged *staged;
    uint32_t staged_count;
    uint32_t staged_capacity;
    struct bucket *buckets;
    uint32_t bucket_count;
    uint32_t bucket_capacity;
    struct numbers touched;
};

static void take(struct ingest_page *page, const struct metric_sample *sample,
                 const struct otlp_nature *nature);
static uint32_t series_of(struct ingest_page *page, const struct metric_sample *sample,
                          const struct names_reading *reading, uint64_t key);
static int series_make(struct ingest_page *page, const struct metric_sample *sample,
                       const struct names_reading *reading, uint64_t key, uint32_t *ret_series,
                       struct error *err);
static bool bucket_identity(const struct metric_sample *sample, struct series *series,
                            struct error *err);
static void exponential_bucket(struct ingest_page *page, const struct metric_sample *sample,
                               const struct names_reading *reading,
                               const struct otlp_nature *nature, uint64_t key, bool known,
                               double middle, double count);
static void stage(struct ingest_page *page, uint32_t series, double value, bool bad,
                  const struct otlp_nature *nature);
static void settle_series(struct ingest_page *page, const struct staged *staged, int64_t now_us);
static double growth(struct series *series, const struct staged *staged);
static bool owns(struct ingest_page *page, struct tally *tally, int64_t now_us);
static void settle_bucket(struct ingest_page *page, const struct series *series, double grown,
                          int64_t now_us);
static void settle_buckets(struct ingest_page *page, int64_t now_us);
static int bucket_compare(const void *a, const void *b);
static void refuse(struct ingest_page *page, const char *name, const char *why);
static void page_free(struct ingest_page *page);
static void slots_clear(struct slots *slots);

int ingest_create(const struct ingest_options *options, struct ingest **ret_ingest,
                  struct error *err)
{
    struct ingest *ingest = calloc(1, sizeof(*ingest));
    if (ingest == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the probe's tables");
    str_format(ingest->site, sizeof(ingest->site), "%s", options->site);
    ingest->life = options->life;
    ingest->series_max =
        options->series_max > 0 ? (uint32_t)options->series_max : LIMIT_PROBE_SERIES;
    *ret_ingest = ingest;
    return 0;
}

void ingest_destroy(struct ingest *ingest)
{
    if (ingest == NULL)
        return;
    for (uint32_t i = 0; i < ingest->tally_count; i++)
        sketch_done(&ingest->tallies[i].sketch);
    free(ingest->series);
    free(ingest->series_slots.at);
    free(ingest->tallies);
    free(ingest->tally_slots.at);
    free(ingest->choices);
    free(ingest->choice_slots.at);
    free(ingest->news.list);
    free(ingest->sketch_news.list);
    free(ingest);
}

int ingest_begin(struct ingest *ingest, const struct ingest_begin *begin,
                 struct ingest_page **ret_page, struct error *err)
{
    struct ingest_page *page = calloc(1, sizeof(*page));
    if (page == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "a page of the probe");
    page->ingest = ingest;
    page->begin = *begin;
    page->number = ++ingest->pages;
    page->salt = hash_u64(HASH_SEED, begin->target);
    ingest->open_pages++;
    *ret_page = page;
    return 0;
}

void ingest_sample(void *page, const struct metric_sample *sample)
{
    static const struct otlp_nature total;
    take(page, sample, &total);
}

void ingest_otlp_sample(void *page, const struct metric_sample *sample,
                        const struct otlp_nature *nature)
{
    take(page, sample, nature);
}

/* Each bucket is followed as a series of its own. One that appears later in a histogram that is
 * known counted nothing before. */
void ingest_otlp_exponential(void *context, const struct metric_sample *sample,
                             const struct otlp_nature *nature,
                             const struct otlp_exponential *buckets)
{
    struct ingest_page *page = context;
    struct names_reading readings[NAMES_READINGS_MAX];
    int count = names_map(page->begin.names, sample, readings);
    for (int i = 0; i < count; i++) {
        if (readings[i].kind != SAMPLE_LATENCY_US)
            continue;
        uint64_t key = hash_u64(page->salt ^ sample->hash, (uint64_t)(buckets->scale + 100));
        uint32_t index = 0;
        bool known = slots_find(&page->ingest->series_slots, key | 1, &index);
        exponential_bucket(page, sample, &readings[i], nature, key | 1, known, 0,
                           buckets->zero_count);
        for (int k = 0; k < buckets->count; k++) {
            double middle = exp2(((double)(buckets->offset + k) + 0.5) / exp2(buckets->scale));
            if (buckets->counts[k] > 0 && middle < VALUE_MAX)
                exponential_bucket(page, sample, &readings[i], nature,
                                   hash_u64(key, (uint64_t)(buckets->offset + k)) | 1, known,
                                   middle, buckets->counts[k]);
        }
    }
}

struct ingest_counts ingest_commit(struct ingest_page *page, int64_t now_us)
{
    struct ingest *ingest = page->ingest;
    for (uint32_t i = 0; i < page->staged_count; i++)
        settle_series(page, &page->staged[i], now_us);
    for (uint32_t i = 0; i < page->touched.count; i++) {
        const char *why = NULL;
        if (!tally_settle(ingest, page->touched.list[i], now_us, &why)) {
            const struct tally *tally = &ingest->tallies[page->touched.list[i]];
            char name[LIMIT_TEXT_BYTES];
            str_format(name, sizeof(name), "%s of %s", sample_kind_words[tally->kind],
                       tally->identity.workload[0] == 0 ? tally->identity.instance
                                                        : tally->identity.workload);
            refuse(page, name, why);
        }
    }
    settle_buckets(page, now_us);
    struct ingest_counts counts = page->counts;
    page_free(page);
    return counts;
}

void ingest_abort(struct ingest_page *page)
{
    page_free(page);
}

/* A tally goes when none of its series is left, a choice when none of its tallies is. */
void ingest_sweep(struct ingest *ingest, int64_t now_us)
{
    if (ingest->open_pages > 0 || ingest->news.count > 0 || ingest->sketch_news.count > 0)
        return;
    int64_t least_s = (now_us - INGEST_IDLE_US) / US_PER_S;
    uint32_t count = ingest->tally_count;
    CLEANUP(cleanup_free) uint32_t *tallies = malloc(((size_t)count + 1) * sizeof(*tallies));
    CLEANUP(cleanup_free)
    uint32_t *choices = malloc(((size_t)ingest->choice_count + 1) * sizeof(*choices));
    if (tallies == NULL || choices == NULL)
        return; /* the next sweep may have it */
    memset(tallies, 0xff, ((size_t)count + 1) * sizeof(*tallies));
    memset(choices, 0xff, ((size_t)ingest->choice_count + 1) * sizeof(*choices));
    uint32_t kept = 0;
    slots_clear(&ingest->series_slots);
    for (uint32_t i = 0; i < ingest->series_count; i++) {
        const struct series *series = &ingest->series[i];
        if (series->seen_s < least_s)
            continue;
        if (series->tally <= TALLY_LAST)
            tallies[series->tally] = 0;
        slots_put(&ingest->series_slots, series->key, kept);
        ingest->series[kept++] = *series;
    }
    ingest->series_count = kept;
    kept = 0;
    slots_clear(&ingest->tally_slots);
    for (uint32_t i = 0; i < count; i++) {
        struct tally *tally = &ingest->tallies[i];
        if (tallies[i] == UINT32_MAX) {
            sketch_done(&tally->sketch);
            ingest->sketch_count -= tally->kind == SAMPLE_LATENCY_US;
            continue;
        }
        tallies[i] = kept;
        choices[tally->choice] = 0;
        slots_put(&ingest->tally_slots, tally->hash, kept);
        ingest->tallies[kept++] = *tally;
    }
    ingest->tally_count = kept;
    kept = 0;
    slots_clear(&ingest->choice_slots);
    for (uint32_t i = 0; i < ingest->choice_count; i++) {
        if (choices[i] == UINT32_MAX)
            continue;
        choices[i] = kept;
        slots_put(&ingest->choice_slots, ingest->choices[i].hash, kept);
        ingest->choices[kept++] = ingest->choices[i];
    }
    ingest->choice_count = kept;
    for (uint32_t i = 0; i < ingest->series_count; i++)
        if (ingest->series[i].tally <= TALLY_LAST)
            ingest->series[i].tally = tallies[ingest->series[i].tally];
    for (uint32_t i = 0; i < ingest->tally_count; i++)
        ingest->tallies[i].choice = choices[ingest->tallies[i].choice];
}

struct ingest_totals ingest_totals(const struct ingest *ingest)
{
    size_t bytes = (size_t)ingest->series_capacity * sizeof(struct series) +
                   (size_t)ingest->tally_capacity * sizeof(struct tally) +
                   (size_t)ingest->choice_capacity * sizeof(struct choice) +
                   ((size_t)ingest->series_slots.count + ingest->tally_slots.count +
                    ingest->choice_slots.count) *
                       sizeof(struct slot);
    return (struct ingest_totals){
        .series = ingest->series_count, .tallies = ingest->tally_count, .bytes = (int64_t)bytes};
}

static void take(struct ingest_page *page, const struct metric_sample *sample,
                 const struct otlp_nature *nature)
{
    struct names_reading readings[NAMES_READINGS_MAX];
    page->counts.series++;
    int count = names_map(page->begin.names, sample, readings);
    if (count == 0)
        return;
    page->counts.meant++;
    if (sample->has_time && sample->time_ms < page->begin.wall_ms - INGEST_OLD_MS) {
        refuse(page, sample->name, "its time is more than 5 minutes ago");
        return;
    }
    if (sample->has_time && sample->time_ms > page->begin.wall_ms + INGEST_FUTURE_MS) {
        refuse(page, sample->name, "its time is more than a minute ahead");
        return;
    }
    bool bad = !(sample->value >= 0) || !(sample->value < VALUE_MAX);
    for (int i = 0; i < count; i++) {
        uint64_t key = hash_u64(page->salt ^ sample->hash, (uint64_t)readings[i].kind) | 1;
        uint32_t index = series_of(page, sample, &readings[i], key);
        if (index == UINT32_MAX)
            continue;
        if (bad)
            refuse(page, sample->name, "its value is no number from 0 to 2^63");
        stage(page, index, sample->value, bad, nature);
    }
}

/* UINT32_MAX: it is not followed, and the page's counts say why. */
static uint32_t series_of(struct ingest_page *page, const struct metric_sample *sample,
                          const struct names_reading *reading, uint64_t key)
{
    struct ingest *ingest = page->ingest;
    struct error err;
    uint32_t index = 0;
    if (!slots_find(&ingest->series_slots, key, &index) &&
        series_make(page, sample, reading, key, &index, &err) < 0) {
        refuse(page, NULL, err.text);
        return UINT32_MAX;
    }
    struct series *series = &ingest->series[index];
    series->seen_s = (uint32_t)(page->begin.now_us / US_PER_S);
    if (series->tally == TALLY_HOMELESS) {
        page->counts.homeless++;
        return UINT32_MAX;
    }
    if (series->tally == TALLY_REFUSED) {
        page->counts.refused++; /* the reason was given when it was new */
        return UINT32_MAX;
    }
    return index;
}

static int series_make(struct ingest_page *page, const struct metric_sample *sample,
                       const struct names_reading *reading, uint64_t key, uint32_t *ret_series,
                       struct error *err)
{
    struct ingest *ingest = page->ingest;
    struct names_identity identity;
    struct series series = {.key = key,
                            .last = NAN,
                            .scale = reading->scale,
                            .part = reading->part,
                            .bound = NAN,
                            .tally = TALLY_HOMELESS};
    if (ingest->series_count >= ingest->series_max)
        return error_set(err, ERR_LIMIT, 0, "more than %u series are followed (LIMIT_PROBE_SERIES)",
                         ingest->series_max);
    int rc = slots_room(&ingest->series_slots, err);
    if (rc == 0)
        rc = array_room((void **)&ingest->series, ingest->series_count, &ingest->series_capacity,
                        sizeof(series), err);
    if (rc < 0)
        return rc;
    struct error why;
    rc = names_identify(page->begin.names, sample, reading, &identity, &why);
    if (rc == 0 && reading->kind == SAMPLE_LATENCY_US && !bucket_identity(sample, &series, &why))
        rc = why.code;
    if (rc == 0) {
        if (identity.site[0] == 0)
            memcpy(identity.site, ingest->site, sizeof(identity.site));
        if (identity.instance[0] == 0)
            names_instance(page->begin.instance, identity.instance);
        rc = tally_of(ingest, &identity, reading, page->begin.now_us, &series.tally, err);
        if (rc < 0)
            return rc;
    } else if (rc != ERR_NOT_FOUND) {
        series.tally = TALLY_REFUSED;
    }
    if (rc < 0 && page->counts.first[0] == 0)
        str_format(page->counts.first, sizeof(page->counts.first), "%.*s", LIMIT_TEXT_BYTES - 1,
                   why.text);
    slots_put(&ingest->series_slots, key, ingest->series_count);
    ingest->series[ingest->series_count] = series;
    *ret_series = ingest->series_count++;
    return 0;
}

/* What a bucket's histogram is: its series without the bound. */
static bool bucket_identity(const struct metric_sample *sample, struct series *series,
                            struct error *err)
{
    struct metric_label labels[LIMIT_METRIC_LABELS];
    int count = 0;
    const char *le = metric_label_of(sample, "le");
    if (le == NULL)
        return true; /* exponential: the caller knows its middle */
    const char *at = le;
    if (!text_number(&at, &series->bound) || *at != 0 || isnan(series->bound)) {
        (void)error_set(err, ERR_INVALID, 0, "%s: le=\"%.40s\" is no number", sample->name, le);
        return false;
    }
    for (int i = 0; i < sample->label_count; i++)
        if (!str_equal(sample->labels[i].name, "le"))
            labels[count++] = sample->labels[i];
    series->histogram = metric_hash(sample->name, labels, count);
    return true;
}

static void exponential_bucket(struct ingest_page *page, const struct metric_sample *sample,
                               const struct names_reading *reading,
                               const struct otlp_nature *nature, uint64_t key, bool known,
                               double middle, double count)
{
    uint32_t index = series_of(page, sample, reading, key);
    if (index == UINT32_MAX)
        return;
    struct series *series = &page->ingest->series[index];
    if (isnan(series->last) && known)
        series->last = 0;
    series->single = true;
    series->bound = middle;
    stage(page, index, count, false, nature);
}

static void stage(struct ingest_page *page, uint32_t series, double value, bool bad,
                  const struct otlp_nature *nature)
{
    struct error err;
    if (array_room((void **)&page->staged, page->staged_count, &page->staged_capacity,
                   sizeof(*page->staged), &err) < 0) {
        refuse(page, NULL, err.text);
        return;
    }
    page->staged[page->staged_count++] = (struct staged){.series = series,
                                                         .delta = nature->delta,
                                                         .bad = bad,
                                                         .start_ms = nature->start_ms,
                                                         .value = value};
}

static void settle_series(struct ingest_page *page, const struct staged *staged, int64_t now_us)
{
    struct ingest *ingest = page->ingest;
    struct series *series = &ingest->series[staged->series];
    struct tally *tally = &ingest->tallies[series->tally];
    if (!owns(page, tally, now_us))
        return;
    bool bucket = tally->kind == SAMPLE_LATENCY_US;
    if (!bucket && tally->page != page->number) {
        if (!numbers_add(&page->touched, series->tally))
            return;
        tally->page = page->number;
        tally->sum = 0;
        tally->mask = 0;
        tally->poisoned = false;
    }
    if (staged->bad) {
        tally->poisoned = tally->poisoned || !tally->counter;
        return;
    }
    double value = tally->counter ? growth(series, staged) : staged->value;
    if (bucket) {
        settle_bucket(page, series, value, now_us);
        return;
    }
    tally->sum += value * series->scale;
    tally->mask |= series->part;
}

/* What a counter grew by. */
static double growth(struct series *series, const struct staged *staged)
{
    double last = series->last;
    bool again =
        series->start_ms != 0 && staged->start_ms != 0 && series->start_ms != staged->start_ms;
    series->last = staged->value;
    series->start_ms = staged->start_ms;
    if (staged->delta)
        return staged->value;
    if (isnan(last))
        return 0;
    return again || staged->value < last ? staged->value : staged->value - last;
}

/* What one target tells, another must not: it would count twice. */
static bool owns(struct ingest_page *page, struct tally *tally, int64_t now_us)
{
    bool idle = tally->owner_us == 0 || now_us - tally->owner_us > INGEST_PREFER_US;
    if (tally->owner != page->begin.target && !idle) {
        refuse(page, sample_kind_words[tally->kind],
               "another target tells the same of the same instance");
        return false;
    }
    tally->owner = page->begin.target;
    tally->owner_us = now_us;
    return true;
}

static void settle_bucket(struct ingest_page *page, const struct series *series, double grown,
                          int64_t now_us)
{
    struct error err;
    if (series->single) {
        double middle_us = series->bound * series->scale;
        if (grown >= 1 && grown < VALUE_MAX && middle_us < VALUE_MAX)
            tally_spread(page->ingest, series->tally, middle_us, middle_us, (uint64_t)grown,
                         now_us);
        return;
    }
    if (array_room((void **)&page->buckets, page->bucket_count, &page->bucket_capacity,
                   sizeof(*page->buckets), &err) < 0)
        return;
    page->buckets[page->bucket_count++] = (struct bucket){.tally = series->tally,
                                                          .histogram = series->histogram,
                                                          .bound = series->bound,
                                                          .grown = grown,
                                                          .scale = series->scale};
}

/* Buckets are cumulative: what lies between two bounds is the difference. What lies above the last
 * finite one is counted there, as much as is known of it. */
static void settle_buckets(struct ingest_page *page, int64_t now_us)
{
    if (page->bucket_count > 1)
        qsort(page->buckets, page->bucket_count, sizeof(*page->buckets), bucket_compare);
    for (uint32_t i = 0; i < page->bucket_count; i++) {
        const struct bucket *bucket = &page->buckets[i];
        const struct bucket *below = i == 0 ? NULL : bucket - 1;
        if (below != NULL &&
            (below->tally != bucket->tally || below->histogram != bucket->histogram))
            below = NULL;
        double grown = bucket->grown - (below == NULL ? 0 : below->grown);
        double from_us = below == NULL ? 0 : below->bound * bucket->scale;
        double to_us = isinf(bucket->bound) ? from_us : bucket->bound * bucket->scale;
        if (grown < 0)
            refuse(page, "a histogram", "a bucket grew by less than the one below it");
        else if (grown >= 1 && from_us >= 0 && to_us >= from_us)
            tally_spread(page->ingest, bucket->tally, from_us, to_us, (uint64_t)grown, now_us);
    }
}

static int bucket_compare(const void *a, const void *b)
{
    const struct bucket *x = a;
    const struct bucket *y = b;
    if (x->tally != y->tally)
        return x->tally < y->tally ? -1 : 1;
    if (x->histogram != y->histogram)
        return x->histogram < y->histogram ? -1 : 1;
    return (x->bound > y->bound) - (x->bound < y->bound);
}

static void refuse(struct ingest_page *page, const char *name, const char *why)
{
    page->counts.refused++;
    if (page->counts.first[0] == 0)
        str_format(page->counts.first, sizeof(page->counts.first), "%.120s%s%.120s",
                   name == NULL ? "" : name, name == NULL ? "" : ": ", why);
}

static void page_free(struct ingest_page *page)
{
    page->ingest->open_pages--;
    free(page->staged);
    free(page->buckets);
    free(page->touched.list);
    free(page);
}

static void slots_clear(struct slots *slots)
{
    if (slots->count > 0)
        memset(slots->at, 0, slots->count * sizeof(*slots->at));
    slots->used = 0;
}
