#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/probe/ingest_internal.h"

#define SPREAD_STEPS 8 /* values that stand for those of one bucket */
#define TALLIES_MAX  (LIMIT_PROBE_SERIES / 2)
#define SKETCHES_MAX 8192                /* of 16 KiB at most, see sketch.h */
#define VALUE_MAX    9.2e18              /* below 2^63 */
#define COUNT_MAX    (UINT64_C(1) << 40) /* of one bucket between two pages, and by far */

static uint64_t hash_identity(const struct names_identity *identity, bool whole);
static int choice_of(struct ingest *ingest, const struct tally *tally, uint32_t *ret_choice,
                     struct error *err);
static bool is_chosen(const struct ingest *ingest, const struct tally *tally, int64_t now_us);
static void choice_told(struct ingest *ingest, const struct tally *tally, int64_t now_us);

int tally_of(struct ingest *ingest, const struct names_identity *identity,
             const struct names_reading *reading, int64_t now_us, uint32_t *ret_tally,
             struct error *err)
{
    uint64_t hash = hash_identity(identity, true);
    hash = hash_u64(hash, (uint64_t)reading->kind << 32 | (uint64_t)reading->source);
    if (slots_find(&ingest->tally_slots, hash, ret_tally))
        return 0;
    int rc = slots_room(&ingest->tally_slots, err);
    if (rc < 0)
        return rc;
    if (ingest->tally_count == TALLIES_MAX)
        return error_set(err, ERR_LIMIT, 0,
                         "more than %d readings of workloads (half of LIMIT_PROBE_SERIES)",
                         TALLIES_MAX);
    bool with_sketch = reading->kind == SAMPLE_LATENCY_US;
    if (with_sketch && ingest->sketch_count == SKETCHES_MAX)
        return error_set(err, ERR_LIMIT, 0, "more than %d distributions of workloads",
                         SKETCHES_MAX);
    rc = array_room((void **)&ingest->tallies, ingest->tally_count, &ingest->tally_capacity,
                    sizeof(*ingest->tallies), err);
    if (rc < 0)
        return rc;
    struct tally *tally = &ingest->tallies[ingest->tally_count];
    *tally = (struct tally){
        .identity = *identity,
        .kind = reading->kind,
        .source = reading->source,
        .hash = hash,
        .counter = reading->counter,
        .parts = reading->parts,
        .told_us = now_us,
        .used = true,
        .life = hash_u64(hash_u64(ingest->life, ++ingest->lives), hash) >> 1 | 1,
    };
    rc = choice_of(ingest, tally, &tally->choice, err);
    if (rc < 0)
        return rc;
    slots_put(&ingest->tally_slots, hash, ingest->tally_count);
    ingest->sketch_count += with_sketch;
    *ret_tally = ingest->tally_count++;
    return 0;
}

bool tally_settle(struct ingest *ingest, uint32_t index, int64_t now_us, const char **ret_why)
{
    struct tally *tally = &ingest->tallies[index];
    if (tally->poisoned) {
        *ret_why = "one of its series is no number from 0";
        return false;
    }
    if (tally->parts != 0 && tally->mask != tally->parts) {
        *ret_why = "one of the series that it is made of is not there";
        return false;
    }
    if (!(tally->sum >= 0 && tally->sum < VALUE_MAX)) {
        *ret_why = "its sum is below 0 or past 2^63";
        return false;
    }
    if (!tally->counter) {
        tally->total = llround(tally->sum);
    } else {
        double grown = tally->sum + tally->rest;
        double whole = floor(grown);
        int64_t total = 0;
        if (__builtin_add_overflow(tally->total, (int64_t)whole, &total)) {
            *ret_why = "its total is past 2^63";
            return false;
        }
        tally->total = total;
        tally->rest = grown - whole;
    }
    tally->told_us = now_us;
    choice_told(ingest, tally, now_us);
    if (tally->kind != SAMPLE_LATENCY_US && !tally->fresh)
        tally->fresh = numbers_add(&ingest->news, index);
    return true;
}

/* Evenly over the bucket, as Prometheus takes its values to be. */
void tally_spread(struct ingest *ingest, uint32_t index, double from_us, double to_us,
                  uint64_t count, int64_t now_us)
{
    struct tally *tally = &ingest->tallies[index];
    uint64_t steps = count < SPREAD_STEPS ? count : SPREAD_STEPS;
    if (!(to_us < VALUE_MAX) || count > COUNT_MAX || tally->sketch.count > INT64_MAX / 2)
        return; /* no server is that fast, nor any message that large */
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t share = count / steps + (i < count % steps ? 1 : 0);
        double at_us = from_us + (to_us - from_us) * ((double)i + 0.5) / (double)steps;
        sketch_add_count(&tally->sketch, llround(at_us), share);
    }
    tally->told_us = now_us;
    choice_told(ingest, tally, now_us);
    if (steps > 0 && !tally->fresh)
        tally->fresh = numbers_add(&ingest->sketch_news, index);
}

int ingest_samples(struct ingest *ingest, int64_t now_us, struct message_sample *out, int max,
                   bool *ret_more)
{
    uint32_t taken = 0;
    int count = 0;
    for (; taken < ingest->news.count && count < max; taken++) {
        struct tally *tally = &ingest->tallies[ingest->news.list[taken]];
        tally->fresh = false;
        if (!is_chosen(ingest, tally, now_us))
            continue;
        const struct names_identity *identity = &tally->identity;
        out[count++] = (struct message_sample){
            .kind = tally->kind,
            .namespace_ = identity->namespace_,
            .app = identity->app,
            .workload = identity->workload,
            .segment = identity->segment,
            .site = identity->site,
            .instance = identity->instance,
            .peer = "",
            .life = tally->counter ? tally->life : 0,
            .value = tally->total,
        };
    }
    ingest->news.count -= taken;
    if (taken > 0)
        memmove(ingest->news.list, ingest->news.list + taken,
                ingest->news.count * sizeof(*ingest->news.list));
    *ret_more = ingest->news.count > 0;
    return count;
}

int ingest_sketches(struct ingest *ingest, int64_t now_us, struct message_sketch *out, int max,
                    bool *ret_more)
{
    int count = 0;
    uint32_t kept = 0;
    uint32_t at = 0;
    for (; at < ingest->sketch_news.count && count < max; at++) {
        uint32_t index = ingest->sketch_news.list[at];
        struct tally *tally = &ingest->tallies[index];
        const struct names_identity *identity = &tally->identity;
        if (!is_chosen(ingest, tally, now_us)) {
            tally->fresh = false;
            sketch_clear(&tally->sketch);
            continue;
        }
        ingest->sketch_news.list[kept++] = index;
        struct message_sketch *sketch = &out[count++];
        *sketch = (struct message_sketch){
            .kind = tally->kind,
            .namespace_ = identity->namespace_,
            .app = identity->app,
            .workload = identity->workload,
            .segment = identity->segment,
            .site = identity->site,
            .instance = identity->instance,
            .peer = "",
        };
        sketch_to_message(&tally->sketch, sketch);
    }
    ingest->sketches_given = count;
    uint32_t left = ingest->sketch_news.count - at;
    if (left > 0 && kept != at)
        memmove(ingest->sketch_news.list + kept, ingest->sketch_news.list + at,
                left * sizeof(*ingest->sketch_news.list));
    ingest->sketch_news.count = kept + left;
    *ret_more = left > 0;
    return count;
}

void ingest_sketches_sent(struct ingest *ingest)
{
    uint32_t given = (uint32_t)ingest->sketches_given;
    for (uint32_t i = 0; i < given; i++) {
        struct tally *tally = &ingest->tallies[ingest->sketch_news.list[i]];
        tally->fresh = false;
        sketch_clear(&tally->sketch);
    }
    ingest->sketch_news.count -= given;
    if (given > 0)
        memmove(ingest->sketch_news.list, ingest->sketch_news.list + given,
                ingest->sketch_news.count * sizeof(*ingest->sketch_news.list));
    ingest->sketches_given = 0;
}

bool ingest_has_news(const struct ingest *ingest)
{
    return ingest->news.count > 0 || ingest->sketch_news.count > 0;
}

int slots_room(struct slots *slots, struct error *err)
{
    if (slots->used * 2 < slots->count)
        return 0;
    uint32_t count = slots->count == 0 ? 1024 : slots->count * 2;
    struct slot *at = calloc(count, sizeof(*at));
    if (at == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "a table of the probe");
    struct slots more = {.at = at, .count = count};
    for (uint32_t i = 0; i < slots->count; i++)
        if (slots->at[i].index != 0)
            slots_put(&more, slots->at[i].hash, slots->at[i].index - 1);
    free(slots->at);
    *slots = more;
    return 0;
}

void slots_put(struct slots *slots, uint64_t hash, uint32_t index)
{
    uint32_t at = (uint32_t)hash & (slots->count - 1);
    while (slots->at[at].index != 0)
        at = (at + 1) & (slots->count - 1);
    slots->at[at] = (struct slot){.hash = hash, .index = index + 1};
    slots->used++;
}

bool slots_find(const struct slots *slots, uint64_t hash, uint32_t *ret_index)
{
    if (slots->count == 0)
        return false;
    for (uint32_t at = (uint32_t)hash & (slots->count - 1); slots->at[at].index != 0;
         at = (at + 1) & (slots->count - 1)) {
        if (slots->at[at].hash == hash) {
            *ret_index = slots->at[at].index - 1;
            return true;
        }
    }
    return false;
}

bool numbers_add(struct numbers *numbers, uint32_t value)
{
    struct error err;
    if (array_room((void **)&numbers->list, numbers->count, &numbers->capacity,
                   sizeof(*numbers->list), &err) < 0)
        return false; /* told again by the next page */
    numbers->list[numbers->count++] = value;
    return true;
}

int array_room(void **array, uint32_t count, uint32_t *capacity, size_t bytes_each,
               struct error *err)
{
    if (count < *capacity)
        return 0;
    uint32_t room = *capacity == 0 ? 256 : *capacity * 2;
    void *more = realloc(*array, room * bytes_each);
    if (more == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "a table of the probe");
    *array = more;
    *capacity = room;
    return 0;
}

static uint64_t hash_identity(const struct names_identity *identity, bool whole)
{
    uint64_t hash = hash_str(HASH_SEED, identity->namespace_);
    hash = hash_str(hash, identity->app);
    hash = hash_str(hash, identity->workload);
    hash = hash_str(hash, identity->site);
    if (identity->workload[0] == 0 || whole) /* machines have nothing else that tells them apart */
        hash = hash_str(hash, identity->instance);
    return whole ? hash_str(hash, identity->segment) : hash;
}

/* Of all instances and segments of a workload together: one source may divide them, another not. */
static int choice_of(struct ingest *ingest, const struct tally *tally, uint32_t *ret_choice,
                     struct error *err)
{
    uint64_t hash = hash_u64(hash_identity(&tally->identity, false), (uint64_t)tally->kind);
    if (slots_find(&ingest->choice_slots, hash, ret_choice))
        return 0;
    int rc = slots_room(&ingest->choice_slots, err);
    if (rc == 0)
        rc = array_room((void **)&ingest->choices, ingest->choice_count, &ingest->choice_capacity,
                        sizeof(*ingest->choices), err);
    if (rc < 0)
        return rc;
    ingest->choices[ingest->choice_count] =
        (struct choice){.hash = hash, .source = NAMES_SOURCES, .told_us = INT64_MIN / 2};
    slots_put(&ingest->choice_slots, hash, ingest->choice_count);
    *ret_choice = ingest->choice_count++;
    return 0;
}

static bool is_chosen(const struct ingest *ingest, const struct tally *tally, int64_t now_us)
{
    const struct choice *choice = &ingest->choices[tally->choice];
    return choice->source == tally->source || now_us - choice->told_us > INGEST_PREFER_US;
}

static void choice_told(struct ingest *ingest, const struct tally *tally, int64_t now_us)
{
    struct choice *choice = &ingest->choices[tally->choice];
    if (tally->source <= choice->source || now_us - choice->told_us > INGEST_PREFER_US) {
        choice->source = tally->source;
        choice->told_us = now_us;
    }
}
