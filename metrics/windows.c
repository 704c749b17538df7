/*
 * windows: the tables of sources, instances, claims and groups, and what a window adds up to.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/str.h"
#include "metrics/metrics_internal.h"

#define LINE_BYTES  ((size_t)64)
#define PAGES_BYTES ((size_t)2 << 20)

/* What an entry is asked for by, beside its hash. */
struct wanted {
    const struct metrics *metrics;
    const struct metrics_key *key;
    const char *name;
    int kind;
    int source;
    int group;
    int all;
};

typedef bool table_same(const struct wanted *wanted, int entry);

static int table_create(struct table *table, uint32_t entries_max);
static void table_clear(struct table *table);
static int table_find(const struct table *table, uint64_t hash, table_same *same,
                      const struct wanted *wanted);
static void table_put(struct table *table, uint64_t hash, int entry);
static bool grow(void **array, int *room, int count, int max, size_t bytes_each);
static bool make_way(struct metrics *metrics, int64_t now_us);
static int group_of(struct metrics *metrics, enum group_kind kind, const struct metrics_key *key,
                    int64_t now_us);
static int claim_of(struct metrics *metrics, int source, int group, int all, int64_t now_us);
static uint64_t group_hash(enum group_kind kind, const struct metrics_key *key);
static bool same_source(const struct wanted *wanted, int entry);
static bool same_instance(const struct wanted *wanted, int entry);
static bool same_claim(const struct wanted *wanted, int entry);
static bool same_group(const struct wanted *wanted, int entry);
static void part_name(const char *workload, const char *segment, char out[LIMIT_NAME_BYTES]);
static inline struct stretch *stretch_at(struct stretch *stretch, int64_t index);
static bool in_window(const struct stretch *stretch, int64_t present);
static void total_add(struct stretch *total, const struct stretch *one);
static void *line_alloc(size_t bytes);
static bool grow_claims(struct metrics *metrics);
static inline uint64_t quick_hash(uint64_t hash, const char *text);

static const char *told(const char *text)
{
    return text == NULL ? "" : text;
}

int windows_create(struct metrics *metrics, struct error *err)
{
    if (table_create(&metrics->source_table, SOURCES_MAX) < 0 ||
        table_create(&metrics->instance_table, INSTANCES_MAX) < 0 ||
        table_create(&metrics->claim_table, CLAIMS_MAX) < 0 ||
        table_create(&metrics->group_table, GROUPS_MAX) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "the metrics' tables");
    metrics->scratch = calloc(PLAUSIBLE_SOURCES_MAX, sizeof *metrics->scratch);
    if (metrics->scratch == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the metrics' tables");
    return 0;
}

void windows_destroy(struct metrics *metrics)
{
    for (int i = 0; i < metrics->claim_count; i++)
        for (int k = 0; k < 2; k++)
            sketch_done(&metrics->claim_sketches[i].of[k].sketch);
    free(metrics->sources);
    free(metrics->instances);
    free(metrics->lags);
    free(metrics->claims);
    free(metrics->claim_stretches);
    free(metrics->claim_sketches);
    free(metrics->groups);
    free(metrics->scratch);
    free(metrics->source_table.slots);
    free(metrics->instance_table.slots);
    free(metrics->claim_table.slots);
    free(metrics->group_table.slots);
}

int windows_source(struct metrics *metrics, const char *name, bool probe, int64_t now_us)
{
    uint64_t hash = hash_u64(hash_str(HASH_SEED, name), probe);
    struct wanted wanted = {.metrics = metrics, .name = name, .kind = probe};
    int found = table_find(&metrics->source_table, hash, same_source, &wanted);
    metrics->previous = -1;
    metrics->expected = found >= 0 ? metrics->sources[found].first_instance : -1;
    if (found >= 0)
        return found;
    if (!grow((void **)&metrics->sources, &metrics->source_room, metrics->source_count, SOURCES_MAX,
              sizeof *metrics->sources)) {
        metrics_refuse(metrics, "node %s: more than %d nodes and probes send metrics", name,
                       SOURCES_MAX);
        return -1;
    }
    struct source *source = &metrics->sources[metrics->source_count];
    *source = (struct source){.probe = probe, .seen_us = now_us, .first_instance = -1};
    str_format(source->name, sizeof source->name, "%s", name);
    table_put(&metrics->source_table, hash, metrics->source_count);
    return metrics->source_count++;
}

/* Notes that this one came now, for the source's next batch. */
static void expect_after(struct metrics *metrics, int source, int instance)
{
    bool began = metrics->previous >= 0 && metrics->previous < metrics->instance_count;
    int *next = began ? &metrics->instances[metrics->previous].next
                      : &metrics->sources[source].first_instance;
    if (*next != instance)
        *next = instance;
    metrics->previous = instance;
    metrics->expected = metrics->instances[instance].next;
}

int windows_instance(struct metrics *metrics, int source, const struct message_sample *sample,
                     const char *site, struct windows_names *names, int64_t now_us)
{
    if (names->hash == 0 || names->namespace_ != sample->namespace_ || names->app != sample->app ||
        names->segment != sample->segment || names->site != site) {
        uint64_t all = quick_hash(quick_hash((uint64_t)source, told(sample->app)), site);
        all = quick_hash(quick_hash(all, told(sample->namespace_)), told(sample->segment));
        *names = (struct windows_names){sample->namespace_, sample->app, sample->segment, site,
                                        all == 0 ? 1 : all};
    }
    uint64_t hash =
        quick_hash(quick_hash(names->hash, told(sample->instance)), told(sample->workload));
    /* By its hash alone: who makes two of a source's instances collide confuses that source. The
     * same instances come in the same order each time: so the guess is right as a rule. */
    int found = metrics->expected;
    if (found < 0 || found >= metrics->instance_count || metrics->instances[found].hash != hash) {
        struct wanted wanted = {.metrics = metrics};
        found = table_find(&metrics->instance_table, hash, same_instance, &wanted);
    }
    if (found >= 0) {
        metrics->instances[found].seen_us = now_us;
        expect_after(metrics, source, found);
        return found;
    }
    if (metrics->instance_count == INSTANCES_MAX && !make_way(metrics, now_us)) {
        metrics_refuse(metrics, "node %s: more than %d series", metrics->sources[source].name,
                       INSTANCES_MAX);
        return -1;
    }
    if (!grow((void **)&metrics->lags, &metrics->lag_room, metrics->instance_count, INSTANCES_MAX,
              sizeof *metrics->lags) ||
        !grow((void **)&metrics->instances, &metrics->instance_room, metrics->instance_count,
              INSTANCES_MAX, sizeof *metrics->instances)) {
        metrics_refuse(metrics, "out of memory for another instance's counters");
        return -1;
    }
    /* A full table makes way, which renumbers groups: begun anew then, once. */
    char part[LIMIT_NAME_BYTES];
    part_name(told(sample->workload), told(sample->segment), part);
    struct metrics_key key = {told(sample->namespace_),
                              told(sample->app),
                              told(sample->workload),
                              told(sample->segment),
                              site,
                              ""};
    struct metrics_key part_key = {key.namespace_, key.app, part, "", "", ""};
    int claim = -1;
    for (int64_t way_us = -1; claim < 0 && way_us != metrics->way_made_us;) {
        way_us = metrics->way_made_us;
        int group = group_of(metrics, GROUP_SITE, &key, now_us);
        int all = group < 0 ? -1 : group_of(metrics, GROUP_ALL, &part_key, now_us);
        if (all >= 0 && way_us == metrics->way_made_us)
            claim = claim_of(metrics, source, group, all, now_us);
    }
    if (claim < 0)
        return -1;
    const struct metrics_sink *sink = &metrics->options.sink;
    metrics->instances[metrics->instance_count] =
        (struct instance){.hash = hash,
                          .claim = claim,
                          .next = -1,
                          .row = sink->row == NULL ? -1 : sink->row(sink->context, &key, now_us),
                          .seen_us = now_us};
    table_put(&metrics->instance_table, hash, metrics->instance_count++);
    expect_after(metrics, source, metrics->instance_count - 1);
    return metrics->instance_count - 1;
}

int windows_pair(struct metrics *metrics, int source, const char *site, const char *peer,
                 int64_t now_us)
{
    struct metrics_key key = {"", "", "", "", site, peer};
    int claim = -1;
    for (int64_t way_us = -1; claim < 0 && way_us != metrics->way_made_us;) {
        way_us = metrics->way_made_us;
        int group = group_of(metrics, GROUP_PAIR, &key, now_us);
        if (group >= 0 && way_us == metrics->way_made_us)
            claim = claim_of(metrics, source, group, -1, now_us);
    }
    return claim;
}

void windows_place(struct metrics *metrics, int claim, const struct windows_now *now,
                   struct windows_place *ret_place)
{
    struct claim *of = &metrics->claims[claim];
    int count = 0;
    ret_place->list[count++] = stretch_at(&windows_stretches(metrics, claim)[now->at], now->index);
    of->seen_us = now->us;
    bool probe = of->probe && of->all >= 0;
    for (int i = 0; i < 2; i++) {
        int at = i == 0 ? of->group : of->all;
        if (at < 0)
            continue;
        struct group *group = &metrics->groups[at];
        if (now->us - group->seen_us > IDLE_US)
            group->first_us = now->us; /* observed anew after so long a silence */
        group->seen_us = now->us;
        group->probed = group->probed || probe;
        if (!probe)
            ret_place->list[count++] = stretch_at(&group->stretches[now->at], now->index);
    }
    ret_place->count = count;
}

/* Begins it anew when it is of another round of the window. */
static inline struct stretch *stretch_at(struct stretch *stretch, int64_t index)
{
    if (stretch->index != index)
        stretch_clear(stretch, index);
    return stretch;
}

struct sketch *windows_sketch(struct metrics *metrics, int claim, int64_t now_us)
{
    struct windows_now now = windows_now(metrics, now_us);
    int64_t index = now_us / metrics->options.window_us;
    struct claim_sketch *half = &metrics->claim_sketches[claim].of[index % 2];
    if (half->index != index) {
        sketch_clear(&half->sketch);
        half->index = index;
    }
    struct windows_place place;
    windows_place(metrics, claim, &now, &place); /* it is heard of */
    metrics->groups[metrics->claims[claim].group].sketched_at = index;
    if (metrics->claims[claim].all >= 0)
        metrics->groups[metrics->claims[claim].all].sketched_at = index;
    return &half->sketch;
}

int windows_find(const struct metrics *metrics, enum group_kind kind, const struct metrics_key *key)
{
    struct wanted wanted = {.metrics = metrics, .key = key, .kind = (int)kind};
    return table_find(&metrics->group_table, group_hash(kind, key), same_group, &wanted);
}

void windows_add(const struct metrics *metrics, const struct stretch stretches[STRETCHES],
                 int64_t now_us, struct stretch into[STRETCHES])
{
    int64_t present = now_us / metrics->step_us;
    for (int i = 0; i < STRETCHES; i++) {
        if (!in_window(&stretches[i], present))
            continue;
        struct stretch *sum = &into[i];
        if (sum->index < 0)
            *sum = stretches[i]; /* the first */
        else
            total_add(sum, &stretches[i]);
        sum->index = stretches[i].index;
    }
}

struct stretch windows_total(const struct stretch stretches[STRETCHES])
{
    struct stretch total = {.index = -1};
    for (int i = 0; i < STRETCHES; i++)
        if (stretches[i].index >= 0)
            total_add(&total, &stretches[i]);
    return total;
}

struct stretch windows_window(const struct metrics *metrics,
                              const struct stretch stretches[STRETCHES], int64_t now_us)
{
    int64_t present = now_us / metrics->step_us;
    struct stretch total = {.index = -1};
    for (int i = 0; i < STRETCHES; i++)
        if (in_window(&stretches[i], present))
            total_add(&total, &stretches[i]);
    return total;
}

/* Whole stretches only: the present one is still filling. */
static bool in_window(const struct stretch *stretch, int64_t present)
{
    return stretch->index >= 0 && stretch->index < present && stretch->index > present - STRETCHES;
}

static void total_add(struct stretch *total, const struct stretch *one)
{
    stretch_add(total, one);
    total->index = one->index > total->index ? one->index : total->index;
}

/* "tiles--n2" for the segment n2 of "tiles--n1", a part of a split workload; else the workload. */
static void part_name(const char *workload, const char *segment, char out[LIMIT_NAME_BYTES])
{
    const char *part = strstr(workload, "--");
    size_t family = part == NULL ? 0 : (size_t)(part - workload);
    if (part != NULL && segment[0] != '\0' && family + 2 + strlen(segment) < LIMIT_NAME_BYTES)
        str_format(out, LIMIT_NAME_BYTES, "%.*s--%s", (int)family, workload, segment);
    else
        str_format(out, LIMIT_NAME_BYTES, "%s", workload);
}

static uint64_t group_hash(enum group_kind kind, const struct metrics_key *key)
{
    uint64_t hash = hash_u64(HASH_SEED, (uint64_t)kind);
    hash = hash_str(hash_str(hash, key->namespace_), key->app);
    hash = hash_str(hash_str(hash, key->workload), key->site);
    return hash_str(hash, key->peer);
}

static int group_of(struct metrics *metrics, enum group_kind kind, const struct metrics_key *key,
                    int64_t now_us)
{
    int found = windows_find(metrics, kind, key);
    if (found >= 0)
        return found;
    if (metrics->group_count == GROUPS_MAX && !make_way(metrics, now_us)) {
        metrics_refuse(metrics, "more than %d workloads and sites send metrics", GROUPS_MAX);
        return -1;
    }
    if (!grow((void **)&metrics->groups, &metrics->group_room, metrics->group_count, GROUPS_MAX,
              sizeof *metrics->groups)) {
        metrics_refuse(metrics, "out of memory for another workload's windows");
        return -1;
    }
    struct group *group = &metrics->groups[metrics->group_count];
    *group = (struct group){.hash = group_hash(kind, key),
                            .kind = kind,
                            .first = -1,
                            .first_us = now_us,
                            .seen_us = now_us,
                            .sketched_at = -1};
    str_format(group->namespace_, sizeof group->namespace_, "%s", key->namespace_);
    str_format(group->app, sizeof group->app, "%s", key->app);
    str_format(group->workload, sizeof group->workload, "%s", key->workload);
    str_format(group->site, sizeof group->site, "%s", key->site);
    str_format(group->peer, sizeof group->peer, "%s", key->peer);
    for (int i = 0; i < ESTIMATE_COUNT; i++)
        group->said[i].value = -1;
    for (int i = 0; i < STRETCHES; i++)
        group->stretches[i].index = group->agreements[i].index = -1;
    table_put(&metrics->group_table, group->hash, metrics->group_count);
    return metrics->group_count++;
}

static int claim_of(struct metrics *metrics, int source, int group, int all, int64_t now_us)
{
    uint64_t hash = hash_u64(hash_u64(HASH_SEED, (uint64_t)source), (uint64_t)group);
    hash = hash_u64(hash, (uint64_t)all);
    struct wanted wanted = {.metrics = metrics, .source = source, .group = group, .all = all};
    int found = table_find(&metrics->claim_table, hash, same_claim, &wanted);
    if (found >= 0)
        return found;
    if (metrics->claim_count == CLAIMS_MAX) {
        if (!make_way(metrics, now_us))
            metrics_refuse(metrics, "node %s: more than %d workloads by source",
                           metrics->sources[source].name, CLAIMS_MAX);
        return -1; /* the caller begins anew when way was made */
    }
    if (!grow_claims(metrics)) {
        metrics_refuse(metrics, "out of memory for another workload's windows");
        return -1;
    }
    struct claim *claim = &metrics->claims[metrics->claim_count];
    *claim = (struct claim){.hash = hash,
                            .source = source,
                            .group = group,
                            .group_next = metrics->groups[group].first,
                            .all = all,
                            .all_next = all < 0 ? -1 : metrics->groups[all].first,
                            .probe = metrics->sources[source].probe,
                            .seen_us = now_us};
    for (int i = 0; i < STRETCHES; i++)
        windows_stretches(metrics, metrics->claim_count)[i].index = -1;
    metrics->claim_sketches[metrics->claim_count] =
        (struct claim_sketches){.of = {{.index = -1}, {.index = -1}}};
    metrics->groups[group].first = metrics->claim_count;
    if (all >= 0)
        metrics->groups[all].first = metrics->claim_count;
    table_put(&metrics->claim_table, hash, metrics->claim_count);
    return metrics->claim_count++;
}

/* Drops what was silent for IDLE_US, and numbers the rest anew. False when nothing could go. */
static bool make_way(struct metrics *metrics, int64_t now_us)
{
    if (now_us - metrics->way_made_us < IDLE_US / 10 && metrics->way_made_us > 0)
        return false; /* not for every reading of a flood */
    CLEANUP(cleanup_free) int *claims = calloc(CLAIMS_MAX, sizeof *claims);
    CLEANUP(cleanup_free) int *groups = calloc(GROUPS_MAX, sizeof *groups);
    if (claims == NULL || groups == NULL)
        return false;
    int before = metrics->instance_count + metrics->claim_count + metrics->group_count;
    int count = 0;
    table_clear(&metrics->group_table);
    for (int i = 0; i < metrics->group_count; i++) {
        bool keep = now_us - metrics->groups[i].seen_us <= IDLE_US;
        groups[i] = keep ? count : -1;
        if (!keep)
            continue;
        metrics->groups[count] = metrics->groups[i];
        metrics->groups[count].first = -1;
        table_put(&metrics->group_table, metrics->groups[i].hash, count++);
    }
    metrics->group_count = count;
    count = 0;
    table_clear(&metrics->claim_table);
    for (int i = 0; i < metrics->claim_count; i++) {
        struct claim claim = metrics->claims[i];
        bool keep = now_us - claim.seen_us <= IDLE_US && groups[claim.group] >= 0 &&
                    (claim.all < 0 || groups[claim.all] >= 0);
        claims[i] = keep ? count : -1;
        if (!keep) {
            for (int k = 0; k < 2; k++)
                sketch_done(&metrics->claim_sketches[i].of[k].sketch);
            continue;
        }
        claim.group = groups[claim.group];
        claim.all = claim.all < 0 ? -1 : groups[claim.all];
        claim.hash = hash_u64(HASH_SEED, (uint64_t)claim.source);
        claim.hash = hash_u64(hash_u64(claim.hash, (uint64_t)claim.group), (uint64_t)claim.all);
        claim.group_next = metrics->groups[claim.group].first;
        metrics->groups[claim.group].first = count;
        if (claim.all >= 0) {
            claim.all_next = metrics->groups[claim.all].first;
            metrics->groups[claim.all].first = count;
        }
        metrics->claims[count] = claim;
        memmove(&metrics->claim_sketches[count], &metrics->claim_sketches[i],
                sizeof *metrics->claim_sketches);
        memmove(&metrics->claim_stretches[count], &metrics->claim_stretches[i],
                sizeof *metrics->claim_stretches);
        table_put(&metrics->claim_table, claim.hash, count++);
    }
    metrics->claim_count = count;
    count = 0;
    table_clear(&metrics->instance_table);
    for (int i = 0; i < metrics->instance_count; i++) {
        struct instance instance = metrics->instances[i];
        instance.claim = claims[instance.claim];
        if (instance.claim < 0 || now_us - instance.seen_us > IDLE_US)
            continue;
        metrics->instances[count] = instance;
        memmove(metrics->lags[count], metrics->lags[i], sizeof metrics->lags[count]);
        table_put(&metrics->instance_table, instance.hash, count++);
    }
    metrics->instance_count = count;
    metrics->cursor = 0;
    metrics->way_made_us = now_us > 0 ? now_us : 1;
    return before > metrics->instance_count + metrics->claim_count + metrics->group_count;
}

static bool grow(void **array, int *room, int count, int max, size_t bytes_each)
{
    if (count < *room)
        return true;
    if (count == max)
        return false;
    int more = *room == 0 ? 64 : *room * 2;
    more = more > max ? max : more;
    void *larger = line_alloc((size_t)more * bytes_each);
    if (larger == NULL)
        return false;
    if (count > 0)
        memcpy(larger, *array, (size_t)count * bytes_each);
    free(*array);
    *array = larger;
    *room = more;
    return true;
}

/* Memory from the beginning of a cache line on: entries are made to fit into lines. A large table
 * is walked with long steps, so that it had better have large pages. */
static void *line_alloc(size_t bytes)
{
    size_t align = bytes < 2 * PAGES_BYTES ? LINE_BYTES : PAGES_BYTES;
    size_t whole = (bytes + align - 1) / align * align;
    void *memory = aligned_alloc(align, whole);
    if (memory != NULL && align == PAGES_BYTES)
        (void)madvise(memory, whole, MADV_HUGEPAGE); /* a wish: without it all goes on, slower */
    return memory;
}

/* Room for one more claim, its sketches and its stretches. */
static bool grow_claims(struct metrics *metrics)
{
    int count = metrics->claim_count;
    return grow((void **)&metrics->claim_sketches, &metrics->claim_sketch_room, count, CLAIMS_MAX,
                sizeof *metrics->claim_sketches) &&
           grow((void **)&metrics->claim_stretches, &metrics->claim_stretch_room, count, CLAIMS_MAX,
                sizeof *metrics->claim_stretches) &&
           grow((void **)&metrics->claims, &metrics->claim_room, count, CLAIMS_MAX,
                sizeof *metrics->claims);
}

/* Quicker than hash_str, eight bytes at a time; the same for as long as a process lives, which is
 * as long as the table. */
static inline uint64_t quick_hash(uint64_t hash, const char *text)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    size_t bytes = strlen(text);
    uint64_t word = 0;
    hash += bytes + 1;
    size_t at = 0;
    for (; bytes - at >= 8; at += 8) {
        memcpy(&word, text + at, 8);
        hash = (hash ^ word) * factor;
        hash ^= hash >> 29;
    }
    if (at < bytes && bytes >= 8) {
        memcpy(&word, text + bytes - 8, 8); /* the tail, and some of what was before it */
    } else {
        word = 0;
        for (; at < bytes; at++)
            word = word << 8 | (unsigned char)text[at];
    }
    hash = (hash ^ word) * factor;
    hash ^= hash >> 32;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 29;
}

static int table_create(struct table *table, uint32_t entries_max)
{
    table->size = 16;
    while (table->size < 2 * entries_max)
        table->size *= 2;
    table->slots = malloc(table->size * sizeof *table->slots);
    if (table->slots == NULL)
        return ERR_NO_MEMORY;
    table_clear(table);
    return 0;
}

static void table_clear(struct table *table)
{
    for (uint32_t i = 0; i < table->size; i++)
        table->slots[i].entry = -1;
}

static int table_find(const struct table *table, uint64_t hash, table_same *same,
                      const struct wanted *wanted)
{
    for (uint64_t at = hash & (table->size - 1); table->slots[at].entry >= 0;
         at = (at + 1) & (table->size - 1))
        if (table->slots[at].hash == hash && same(wanted, table->slots[at].entry))
            return table->slots[at].entry;
    return -1;
}

static void table_put(struct table *table, uint64_t hash, int entry)
{
    uint64_t at = hash & (table->size - 1);
    while (table->slots[at].entry >= 0)
        at = (at + 1) & (table->size - 1);
    table->slots[at] = (struct table_slot){.hash = hash, .entry = entry};
}

static bool same_source(const struct wanted *wanted, int entry)
{
    const struct source *source = &wanted->metrics->sources[entry];
    return source->probe == (wanted->kind != 0) && str_equal(source->name, wanted->name);
}

static bool same_instance(const struct wanted *wanted, int entry)
{
    return wanted != NULL && entry >= 0;
}

static bool same_claim(const struct wanted *wanted, int entry)
{
    const struct claim *claim = &wanted->metrics->claims[entry];
    return claim->source == wanted->source && claim->group == wanted->group &&
           claim->all == wanted->all;
}

static bool same_group(const struct wanted *wanted, int entry)
{
    const struct group *group = &wanted->metrics->groups[entry];
    const struct metrics_key *key = wanted->key;
    return (int)group->kind == wanted->kind && str_equal(group->workload, key->workload) &&
           str_equal(group->site, key->site) && str_equal(group->app, key->app) &&
           str_equal(group->peer, key->peer) && str_equal(group->namespace_, key->namespace_);
}
