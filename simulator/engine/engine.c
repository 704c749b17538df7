#include "simulator/engine/engine.h"

#include <stdlib.h>

#include "base/error.h"

#define INDEX_BITS   24 /* of an id: the node; above them the event's number */
#define INDEX_MASK   ((UINT64_C(1) << INDEX_BITS) - 1)
#define WORD_DEAD    (UINT64_C(1) << 23) /* of a node's word: cancelled */
#define KIND_MASK    ((uint64_t)ENGINE_KIND_MAX)
#define NO_NODE      UINT32_MAX
#define ROOM_FIRST   64
#define BUCKETS_MIN  64
#define BUCKETS_MAX  (UINT32_C(1) << 20)
#define TUNE_FIRST   256 /* events taken before the wheel is fitted for the first time */
#define TUNE_PENDING 4   /* and later: events taken per pending one between two fittings */

/* A free node has word 0, which no id matches: numbers begin at 1. */
struct node {
    int64_t at_ns;
    uint64_t word; /* number << INDEX_BITS | dead | kind */
    uint64_t a;
    uint32_t b;
    uint32_t next; /* in its bucket, or the next free one */
};

struct key {
    int64_t at_ns;
    uint64_t id;
};

struct heap {
    struct key *keys;
    uint32_t count;
    uint32_t room;
};

/* Every node in use is in exactly one of three: `near` (its bucket is the cursor's or an earlier
 * one), a bucket of the wheel (after the cursor, less than `buckets` ahead), or `far`. */
struct engine {
    int64_t now_ns;
    int64_t cursor; /* the bucket that is being taken: at_ns >> shift */
    int shift;      /* a bucket is 2^shift nanoseconds wide */
    uint32_t buckets;
    uint32_t *heads;
    uint64_t *occupied; /* one bit per bucket */
    uint32_t in_wheel;
    uint32_t free;
    struct node *nodes;
    uint32_t nodes_used; /* those above were never in use */
    uint32_t nodes_room;
    struct heap near;
    struct heap far;
    uint64_t number; /* of the last event scheduled */
    uint64_t taken;
    uint64_t hash;
    uint32_t pending; /* without the dead */
    uint32_t dead;
    uint64_t tune_at; /* when `taken` reaches it, the wheel is fitted */
    uint64_t tuned_taken;
    int64_t tuned_ns;
};

static bool make_rooms(struct engine *engine);
static void put(struct engine *engine, uint32_t index);
static bool load_next_bucket(struct engine *engine);
static bool settle_front(struct engine *engine);
static uint32_t next_occupied(const struct engine *engine);
static void release(struct engine *engine, uint32_t index);
static void fit(struct engine *engine);
static void rebuild(struct engine *engine, int shift, uint32_t buckets);
static void heap_push(struct heap *heap, struct key key);
static struct key heap_pop(struct heap *heap);

struct engine *engine_create(void)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return NULL;
    engine->free = NO_NODE;
    engine->shift = 20;
    engine->buckets = BUCKETS_MIN;
    engine->heads = malloc(BUCKETS_MIN * sizeof *engine->heads);
    engine->occupied = calloc(BUCKETS_MIN / 64, sizeof *engine->occupied);
    engine->tune_at = TUNE_FIRST;
    if (engine->heads == NULL || engine->occupied == NULL || !make_rooms(engine)) {
        engine_destroy(engine);
        return NULL;
    }
    return engine;
}

void engine_destroy(struct engine *engine)
{
    if (engine == NULL)
        return;
    free(engine->heads);
    free(engine->occupied);
    free(engine->nodes);
    free(engine->near.keys);
    free(engine->far.keys);
    free(engine);
}

uint64_t engine_at(struct engine *engine, int64_t at_ns, uint32_t kind, uint64_t a, uint32_t b)
{
    BERTH_ASSERT(at_ns >= engine->now_ns, "an event at %lld ns, %lld ns is now", (long long)at_ns,
                 (long long)engine->now_ns);
    BERTH_ASSERT(kind <= ENGINE_KIND_MAX);
    uint32_t index = engine->free;
    if (__builtin_expect(index != NO_NODE, 1)) {
        engine->free = engine->nodes[index].next;
    } else {
        if (engine->nodes_used == engine->nodes_room && !make_rooms(engine))
            return 0;
        index = engine->nodes_used++;
    }
    uint64_t number = ++engine->number;
    struct node *node = &engine->nodes[index];
    node->at_ns = at_ns;
    node->word = number << INDEX_BITS | kind;
    node->a = a;
    node->b = b;
    engine->pending++;
    put(engine, index);
    return number << INDEX_BITS | index;
}

bool engine_cancel(struct engine *engine, uint64_t id)
{
    uint32_t index = (uint32_t)(id & INDEX_MASK);
    if (index >= engine->nodes_used)
        return false;
    struct node *node = &engine->nodes[index];
    if (node->word >> INDEX_BITS != id >> INDEX_BITS || (node->word & WORD_DEAD) != 0)
        return false;
    node->word |= WORD_DEAD;
    engine->pending--;
    engine->dead++;
    /* The dead leave when their time comes; when they are the most, all at once. Each time looks at
     * all nodes, hence not before an eighth of them has died. */
    if (engine->dead > engine->pending + engine->nodes_used / 8 + 1024)
        rebuild(engine, engine->shift, engine->buckets);
    return true;
}

bool engine_next(struct engine *engine, int64_t until_ns, struct engine_event *ret_event)
{
    if (__builtin_expect(!settle_front(engine), 0) || engine->near.keys[0].at_ns > until_ns)
        return false;
    struct key key = heap_pop(&engine->near);
    uint32_t index = (uint32_t)(key.id & INDEX_MASK);
    struct node *node = &engine->nodes[index];
    *ret_event = (struct engine_event){.at_ns = key.at_ns,
                                       .id = key.id,
                                       .a = node->a,
                                       .b = node->b,
                                       .kind = (uint32_t)(node->word & KIND_MASK)};
    engine->now_ns = key.at_ns;
    engine->hash = (engine->hash ^ (uint64_t)key.at_ns) * UINT64_C(0x9e3779b97f4a7c15);
    engine->hash ^=
        engine->hash >> 29 ^ node->a ^ (uint64_t)node->b << 32 ^ (node->word & KIND_MASK) << 44;
    engine->pending--;
    release(engine, index);
    if (__builtin_expect(++engine->taken == engine->tune_at, 0))
        fit(engine);
    return true;
}

void engine_advance(struct engine *engine, int64_t to_ns)
{
    BERTH_ASSERT(to_ns >= engine->now_ns && to_ns <= engine_peek_ns(engine));
    engine->now_ns = to_ns;
}

int64_t engine_peek_ns(struct engine *engine)
{
    return settle_front(engine) ? engine->near.keys[0].at_ns : ENGINE_NEVER;
}

int64_t engine_now_ns(const struct engine *engine)
{
    return engine->now_ns;
}

uint64_t engine_pending(const struct engine *engine)
{
    return engine->pending;
}

uint64_t engine_taken(const struct engine *engine)
{
    return engine->taken;
}

uint64_t engine_hash(const struct engine *engine)
{
    return engine->hash;
}

size_t engine_bytes(const struct engine *engine)
{
    return sizeof *engine + engine->nodes_room * sizeof *engine->nodes +
           ((size_t)engine->near.room + engine->far.room) * sizeof(struct key) +
           engine->buckets * sizeof *engine->heads + engine->buckets / 8;
}

void engine_visit(const struct engine *engine,
                  void (*visit)(void *context, const struct engine_event *event), void *context)
{
    for (uint32_t i = 0; i < engine->nodes_used; i++) {
        const struct node *node = &engine->nodes[i];
        if (node->word == 0 || (node->word & WORD_DEAD) != 0)
            continue;
        struct engine_event event = {.at_ns = node->at_ns,
                                     .id = (node->word & ~INDEX_MASK) | i,
                                     .a = node->a,
                                     .b = node->b,
                                     .kind = (uint32_t)(node->word & KIND_MASK)};
        visit(context, &event);
    }
}

/* Both heaps get room for every node, so that only this function can find no memory. */
static bool make_rooms(struct engine *engine)
{
    if (engine->nodes_room == ENGINE_PENDING_MAX)
        return false;
    uint32_t room = engine->nodes_room == 0 ? ROOM_FIRST : engine->nodes_room * 2;
    struct heap *heaps[] = {&engine->near, &engine->far};
    for (int i = 0; i < 2; i++) {
        struct key *keys = realloc(heaps[i]->keys, room * sizeof *keys);
        if (keys == NULL)
            return false;
        heaps[i]->keys = keys;
        heaps[i]->room = room;
    }
    struct node *nodes = realloc(engine->nodes, room * sizeof *nodes);
    if (nodes == NULL)
        return false;
    engine->nodes = nodes;
    engine->nodes_room = room;
    return true;
}

static void put(struct engine *engine, uint32_t index)
{
    struct node *node = &engine->nodes[index];
    int64_t ahead = (node->at_ns >> engine->shift) - engine->cursor;
    if (ahead > 0 && ahead < engine->buckets) {
        uint32_t bucket = (uint32_t)(node->at_ns >> engine->shift) & (engine->buckets - 1);
        uint64_t bit = UINT64_C(1) << (bucket & 63);
        uint64_t *word = &engine->occupied[bucket >> 6];
        node->next = (*word & bit) != 0 ? engine->heads[bucket] : NO_NODE;
        *word |= bit;
        engine->heads[bucket] = index;
        engine->in_wheel++;
        return;
    }
    struct key key = {node->at_ns, (node->word & ~INDEX_MASK) | index};
    heap_push(ahead <= 0 ? &engine->near : &engine->far, key);
}

/* Makes the first of `near` an event that lives; false when none is pending. */
static bool settle_front(struct engine *engine)
{
    for (;;) {
        if (engine->near.count == 0) {
            if (!load_next_bucket(engine))
                return false;
            continue;
        }
        uint32_t index = (uint32_t)(engine->near.keys[0].id & INDEX_MASK);
        if (__builtin_expect((engine->nodes[index].word & WORD_DEAD) == 0, 1))
            return true;
        (void)heap_pop(&engine->near);
        engine->dead--;
        release(engine, index);
    }
}

/* Moves the cursor to the next bucket with events and these into `near`. What the wheel now
 * reaches leaves `far`: all of it is later than all that was in the wheel. */
static bool load_next_bucket(struct engine *engine)
{
    uint32_t bucket = 0;
    bool loaded = engine->in_wheel > 0;
    if (loaded) {
        bucket = next_occupied(engine);
        uint32_t at = (uint32_t)engine->cursor & (engine->buckets - 1);
        engine->cursor += (bucket - at) & (engine->buckets - 1);
    } else if (engine->far.count > 0) {
        engine->cursor = engine->far.keys[0].at_ns >> engine->shift;
    } else {
        return false;
    }
    if (loaded) {
        engine->occupied[bucket >> 6] &= ~(UINT64_C(1) << (bucket & 63));
        uint32_t index = engine->heads[bucket];
        while (index != NO_NODE) {
            struct node *node = &engine->nodes[index];
            heap_push(&engine->near, (struct key){node->at_ns, (node->word & ~INDEX_MASK) | index});
            engine->in_wheel--;
            index = node->next;
        }
    }
    while (engine->far.count > 0 &&
           (engine->far.keys[0].at_ns >> engine->shift) - engine->cursor < engine->buckets)
        put(engine, (uint32_t)(heap_pop(&engine->far).id & INDEX_MASK));
    return true;
}

/* The first bucket after the cursor's that has events; in_wheel > 0. */
static uint32_t next_occupied(const struct engine *engine)
{
    uint32_t words = engine->buckets / 64;
    uint32_t from = ((uint32_t)engine->cursor + 1) & (engine->buckets - 1);
    uint32_t at = from >> 6;
    uint64_t word = engine->occupied[at] & ~UINT64_C(0) << (from & 63);
    while (word == 0) {
        at = (at + 1) & (words - 1);
        word = engine->occupied[at];
    }
    return at << 6 | (uint32_t)__builtin_ctzll(word);
}

static void release(struct engine *engine, uint32_t index)
{
    engine->nodes[index].word = 0;
    engine->nodes[index].next = engine->free;
    engine->free = index;
}

/* Fits the wheel to the events taken since the last time: buckets of two to four mean gaps, and as
 * many as reach far beyond what is pending. Narrower ones cost more steps, wider ones more sorting,
 * fewer ones send more through the far heap: these were the fastest of those tried, for 125 events
 * and for 12,500. Only a misfit by more than two is worth moving every event. */
static void fit(struct engine *engine)
{
    uint64_t taken = engine->taken - engine->tuned_taken;
    uint64_t gap_ns = (uint64_t)(engine->now_ns - engine->tuned_ns) / taken;
    int shift = gap_ns < 2 ? 0 : 65 - __builtin_clzll(gap_ns);
    uint32_t buckets = BUCKETS_MIN;
    while (buckets < BUCKETS_MAX && buckets / 8 < engine->pending)
        buckets *= 2;
    for (uint32_t pending = engine->pending; pending > BUCKETS_MAX / 8; pending /= 2)
        shift++; /* no more buckets: wider ones, to reach as far */
    if (shift > engine->shift + 1 || shift < engine->shift - 1 || buckets > engine->buckets * 2 ||
        buckets < engine->buckets / 4)
        rebuild(engine, shift, buckets);
    engine->tuned_taken = engine->taken;
    engine->tuned_ns = engine->now_ns;
    uint64_t next = (uint64_t)engine->pending * TUNE_PENDING;
    engine->tune_at = engine->taken + (next < TUNE_FIRST ? TUNE_FIRST : next);
}

/* Puts every pending event anew and lets the dead go. Without memory the wheel stays as it is. */
static void rebuild(struct engine *engine, int shift, uint32_t buckets)
{
    uint32_t *heads = malloc(buckets * sizeof *heads);
    uint64_t *occupied = calloc(buckets / 64, sizeof *occupied);
    if (heads == NULL || occupied == NULL) {
        free(heads);
        free(occupied);
        return;
    }
    free(engine->heads);
    free(engine->occupied);
    engine->heads = heads;
    engine->occupied = occupied;
    engine->buckets = buckets;
    engine->shift = shift;
    engine->cursor = engine->now_ns >> shift;
    engine->in_wheel = 0;
    engine->near.count = 0;
    engine->far.count = 0;
    for (uint32_t i = 0; i < engine->nodes_used; i++) {
        if (engine->nodes[i].word == 0)
            continue;
        if ((engine->nodes[i].word & WORD_DEAD) == 0) {
            put(engine, i);
            continue;
        }
        engine->dead--;
        release(engine, i);
    }
}

static bool earlier(struct key a, struct key b)
{
    return a.at_ns < b.at_ns || (a.at_ns == b.at_ns && a.id < b.id);
}

static void heap_push(struct heap *heap, struct key key)
{
    uint32_t at = heap->count++;
    struct key *keys = heap->keys;
    while (at > 0) {
        uint32_t above = (at - 1) / 4;
        if (!earlier(key, keys[above]))
            break;
        keys[at] = keys[above];
        at = above;
    }
    keys[at] = key;
}

static struct key heap_pop(struct heap *heap)
{
    struct key *keys = heap->keys;
    struct key first = keys[0];
    uint32_t count = --heap->count;
    if (count == 0)
        return first;
    struct key last = keys[count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = at * 4 + 1;
        if (child >= count)
            break;
        uint32_t end = child + 4 < count ? child + 4 : count;
        uint32_t least = child;
        for (uint32_t i = child + 1; i < end; i++)
            least = earlier(keys[i], keys[least]) ? i : least;
        if (!earlier(keys[least], last))
            break;
        keys[at] = keys[least];
        at = least;
    }
    keys[at] = last;
    return first;
}
