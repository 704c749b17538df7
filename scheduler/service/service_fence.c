/*
 * Owners' epochs where the resources look: CORE_FENCE becomes a compare-and-set of one key of the
 * KV bucket BUCKET_OWNERS. A key is never lowered: what it holds is read first, or known from the
 * last write, and the write names the revision that was read. Nothing blocks. An outcome that is
 * not known is not told to the core, which asks again every second.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bus/kv.h"
#include "base/bus/subjects.h"
#include "base/log.h"
#include "scheduler/service/owner_value.h"
#include "scheduler/service/service_internal.h"

#define FENCE_US        (2 * US_PER_S) /* of one request */
#define FENCE_TRIES     4              /* writes that somebody else came before */
#define FENCE_KEY_BYTES (3 * LIMIT_NAME_BYTES + 16)
#define FENCE_KNOWN     1024

/* One CORE_FENCE under way. */
struct service_fence {
    struct service_fence *next;
    struct service *service;
    char handoff[LIMIT_ID_BYTES];
    char instance[LIMIT_ID_BYTES];
    char key[FENCE_KEY_BYTES];
    struct epoch owner;
    struct mono begun;
    int tries;
};

/* What a key was last seen to hold: spares the read before the next write. One of a hash's keys is
 * kept; a wrong guess costs a read. */
struct service_fence_known {
    char key[FENCE_KEY_BYTES];
    uint64_t revision;
    struct epoch owner;
};

static void on_asked(void *context, const struct bus_message *message);
static bool owner_find(const struct core_state *state, const char *key,
                       struct owner_value *ret_owner);
static void fence_read(struct service_fence *fence);
static void on_read(void *context, const struct bus_message *message);
static void fence_write(struct service_fence *fence, uint64_t revision);
static void on_written(void *context, const struct bus_message *message);
static void on_made(void *context, const struct bus_message *message);
static void fence_end(struct service_fence *fence, int code, struct epoch stored);
static void fence_give_up(struct service_fence *fence, const char *why);
static void fence_destroy(struct service_fence *fence);
static struct service_fence_known *known(const struct service *service, const char *key);
static bool forget(struct service *service, const char *key);
static void remember(struct service *service, const char *key, uint64_t revision,
                     struct epoch owner);

void service_fence(struct service *service, const struct core_effect *effect)
{
    for (struct service_fence *at = service->fences; at != NULL; at = at->next) {
        if (str_equal(at->handoff, effect->fence.handoff) &&
            epoch_compare(at->owner, effect->fence.owner) == 0)
            return; /* asked again: the answer to the first is on its way, or its time runs out */
    }
    struct service_fence *fence = calloc(1, sizeof(*fence));
    if (fence == NULL) {
        log_event(LOG_WARN, "fence.unsent", "handoff=%s reason=\"no memory\"",
                  effect->fence.handoff);
        return;
    }
    fence->service = service;
    fence->next = service->fences;
    service->fences = fence;
    memcpy(fence->handoff, effect->fence.handoff, sizeof(fence->handoff));
    memcpy(fence->instance, effect->fence.instance, sizeof(fence->instance));
    str_format(fence->key, sizeof(fence->key), "%s.%s.%s.%d", effect->fence.namespace_,
               effect->fence.app, effect->fence.workload, effect->fence.replica);
    fence->owner = effect->fence.owner;
    fence->begun = clock_mono_now();
    const struct service_fence_known *last = known(service, fence->key);
    if (last != NULL && epoch_compare(last->owner, fence->owner) < 0)
        fence_write(fence, last->revision);
    else
        fence_read(fence);
}

bool service_pauses(const struct service *service)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->handoff_count; i++) {
        enum handoff_state at = state->handoffs[i].state;
        if (state->handoffs[i].id[0] != 0 &&
            (at == HANDOFF_STATE_FREEZING || at == HANDOFF_STATE_FENCING ||
             at == HANDOFF_STATE_GRANTING))
            return true;
    }
    return false;
}

void service_fences_done(struct service *service)
{
    while (service->fences != NULL)
        fence_destroy(service->fences);
    free(service->fences_known);
    service->fences_known = NULL;
}

static void fence_read(struct service_fence *fence)
{
    struct error err;
    if (kv_get(fence->service->bus, BUCKET_OWNERS, fence->key, FENCE_US, on_read, fence, &err) < 0)
        fence_give_up(fence, err.text);
}

static void on_read(void *context, const struct bus_message *message)
{
    struct service_fence *fence = context;
    struct kv_entry entry;
    struct error err;
    int rc = kv_got(message, &entry, &err);
    if (rc == ERR_NOT_FOUND) {
        /* Wiped: its stream is made anew. The epochs are above all that it ever held. */
        log_event(LOG_WARN, "fence.bucket", "bucket=%s reason=\"it is gone, and is made again\"",
                  BUCKET_OWNERS);
        rc = kv_bucket_make(fence->service->bus, BUCKET_OWNERS, FENCE_US, on_made, fence, &err);
        if (rc == 0)
            return;
    }
    if (rc < 0) {
        fence_give_up(fence, err.text);
        return;
    }
    struct owner_value stored = owner_value_read(entry.value, entry.bytes);
    remember(fence->service, fence->key, entry.revision, stored.epoch);
    int order = epoch_compare(stored.epoch, fence->owner);
    if (order == 0 && str_equal(stored.instance, fence->instance))
        fence_end(fence, 0, stored.epoch); /* written before, and the answer was lost */
    else if (order >= 0)
        fence_end(fence, ERR_STALE, stored.epoch);
    else
        fence_write(fence, entry.revision);
}

static void fence_write(struct service_fence *fence, uint64_t revision)
{
    char text[OWNER_VALUE_BYTES];
    struct error err;
    struct owner_value value = {.epoch = fence->owner};
    memcpy(value.instance, fence->instance, sizeof(value.instance));
    owner_value_write(&value, text);
    fence->tries++;
    log_event(LOG_DEBUG, "fence.send", "key=%s epoch=%" PRIu64 ".%" PRIu64 " instance=%s",
              fence->key, fence->owner.term, fence->owner.n, fence->instance);
    if (kv_put(fence->service->bus, BUCKET_OWNERS, fence->key, revision, text, strlen(text),
               FENCE_US, on_written, fence, &err) < 0)
        fence_give_up(fence, err.text);
}

static void on_written(void *context, const struct bus_message *message)
{
    struct service_fence *fence = context;
    uint64_t revision = 0;
    struct error err;
    int rc = kv_was_put(message, &revision, &err);
    if (rc == 0) {
        remember(fence->service, fence->key, revision, fence->owner);
        fence_end(fence, 0, fence->owner);
        return;
    }
    /* What was known of the key is not so any more, or the bucket is another one. */
    bool guessed = forget(fence->service, fence->key);
    if ((guessed || rc == ERR_STALE) && fence->tries < FENCE_TRIES)
        fence_read(fence);
    else
        fence_give_up(fence, err.text);
}

static void on_made(void *context, const struct bus_message *message)
{
    struct service_fence *fence = context;
    struct error err;
    if (kv_bucket_made(message, &err) < 0)
        fence_give_up(fence, err.text);
    else
        fence_write(fence, 0);
}

static void fence_end(struct service_fence *fence, int code, struct epoch stored)
{
    struct core_event event = {.kind = CORE_FENCED};
    memcpy(event.fenced.handoff, fence->handoff, sizeof(fence->handoff));
    event.fenced.owner = fence->owner;
    event.fenced.code = code;
    event.fenced.stored = stored;
    log_event(code == 0 ? LOG_INFO : LOG_WARN, code == 0 ? "fence.set" : "fence.lower",
              "key=%s epoch=%" PRIu64 ".%" PRIu64 " stored=%" PRIu64 ".%" PRIu64
              " instance=%s took_us=%" PRId64,
              fence->key, fence->owner.term, fence->owner.n, stored.term, stored.n, fence->instance,
              clock_mono_now().us - fence->begun.us);
    (void)service_submit(fence->service, &event); /* without memory: the core asks again */
    fence_destroy(fence);
}

/* Whether it was written is not known; the core asks again. */
static void fence_give_up(struct service_fence *fence, const char *why)
{
    log_event(LOG_WARN, "fence.unknown", "key=%s epoch=%" PRIu64 ".%" PRIu64 " reason=\"%s\"",
              fence->key, fence->owner.term, fence->owner.n, why);
    fence_destroy(fence);
}

static void fence_destroy(struct service_fence *fence)
{
    struct service_fence **at = &fence->service->fences;
    while (*at != fence)
        at = &(*at)->next;
    *at = fence->next;
    free(fence);
}

/* ---- who owns? ----
 */

int service_owners_open(struct service *service, struct error *err)
{
    int rc = bus_subscribe(service->bus, SUBJECT_OWNER_ALL, NULL, on_asked, service,
                           &service->subscriptions[service->subscription_count], err);
    if (rc == 0)
        service->subscription_count++;
    return rc;
}

/* Only to an inbox: this program may write where those who ask may not. */
static void on_asked(void *context, const struct bus_message *message)
{
    struct service *service = context;
    const char *key = message->subject + strlen(SUBJECT_OWNER_ALL) - 1;
    struct owner_value owner;
    char text[OWNER_VALUE_BYTES] = "";
    struct error err;
    if (!str_starts(message->reply, "_INBOX."))
        return;
    if (owner_find(core_state(service->core), key, &owner))
        owner_value_write(&owner, text);
    if (bus_publish(service->bus, message->reply, NULL, text, strlen(text), &err) < 0)
        log_event(LOG_WARN, "owner.unanswered", "key=%s reason=\"%s\"", key, err.text);
}

/* The highest epoch by which anybody was made the owner. */
static bool owner_find(const struct core_state *state, const char *key,
                       struct owner_value *ret_owner)
{
    *ret_owner = (struct owner_value){0};
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *instance = &state->instances[i];
        char own[FENCE_KEY_BYTES];
        if (instance->class_ == HANDOFF_OVERLAP ||
            epoch_compare(instance->owner, ret_owner->epoch) <= 0)
            continue;
        str_format(own, sizeof(own), "%s.%s.%s.%d", instance->namespace_, instance->app,
                   instance->workload, instance->replica);
        if (!str_equal(own, key))
            continue;
        ret_owner->epoch = instance->owner;
        memcpy(ret_owner->instance, instance->id, sizeof(ret_owner->instance));
    }
    return ret_owner->epoch.n != 0;
}

/* ---- what the keys are known to hold ----
 */

static struct service_fence_known *slot(const struct service *service, const char *key)
{
    return &service->fences_known[hash_str(HASH_SEED, key) % FENCE_KNOWN];
}

static struct service_fence_known *known(const struct service *service, const char *key)
{
    if (service->fences_known == NULL)
        return NULL;
    struct service_fence_known *at = slot(service, key);
    return str_equal(at->key, key) ? at : NULL;
}

static bool forget(struct service *service, const char *key)
{
    struct service_fence_known *at = known(service, key);
    if (at != NULL)
        at->key[0] = 0;
    return at != NULL;
}

static void remember(struct service *service, const char *key, uint64_t revision,
                     struct epoch owner)
{
    if (service->fences_known == NULL)
        service->fences_known = calloc(FENCE_KNOWN, sizeof(*service->fences_known));
    if (service->fences_known == NULL)
        return;
    struct service_fence_known *at = slot(service, key);
    str_format(at->key, sizeof(at->key), "%s", key);
    at->revision = revision;
    at->owner = owner;
}
