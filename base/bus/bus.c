#include "base/bus/bus.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bus/bus_internal.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/limits.h"
#include "base/str.h"

#define REOPEN_US     (2 * US_PER_S)
#define CLOSE_WAIT_US (2 * US_PER_S)
#define END_MS        2000 /* for a round trip to the server when a subscription is freed */
#define SIGN_AGAIN    3
#define TOKEN_BYTES   48

/* One message on its way from NATS's thread to the owner's; one allocation. */
struct entry {
    struct bus_subscription *subscription;
    struct bus_message message;
    char storage[];
};

/* `nats`, `next`, `released` and `handler` are the owner's; `complete` and `queued` are under the
 * bus's mutex. Freed by sweep() when the owner has let go, nats.c will not call back any more and
 * no message of it waits: nats.c 3.4 crashes when a subscription is destroyed earlier. */
struct bus_subscription {
    struct bus *bus;
    struct bus_subscription *next;
    natsSubscription *nats; /* NULL while the connection is being made anew */
    bus_handler *handler;
    void *context;
    bool released;
    bool complete;
    int queued;
    char subject[LIMIT_SUBJECT_BYTES];
    char queue[LIMIT_NAME_BYTES];
};

struct request {
    bus_handler *handler; /* NULL: the slot is free */
    void *context;
    struct mono deadline;
    char token[TOKEN_BYTES];
};

struct bus {
    natsOptions *options;
    natsConnection *connection; /* replaced under connection_lock, see reopen() */
    pthread_rwlock_t connection_lock;
    void (*on_state)(void *context, bool connected);
    void *context;
    char url[LIMIT_PATH_BYTES];
    char inbox[LIMIT_SUBJECT_BYTES]; /* "<prefix>.<id>": of this bus alone */
    struct bus_subscription *subscriptions;
    struct bus_subscription *replies; /* of "<inbox>.*", made with the first request */
    struct request *requests;         /* LIMIT_COMMANDS slots, made with the first request */
    int requests_used;                /* slots below this may be in use */
    struct mono reopen_at;
    bool told_connected; /* what on_state said last */
    bool dispatching;
    int event_fd;

    pthread_mutex_t mutex; /* all below; never held while calling nats.c or a handler */
    pthread_cond_t changed;
    struct entry **ring;
    size_t ring_first;
    size_t ring_count;
    size_t ring_bytes;
    bool connected;
    bool had_connection;
    bool went_down; /* since on_state was last called */
    bool closed;    /* nats.c gave the connection up */
    struct bus_stats stats;
    char trouble[LIMIT_TEXT_BYTES];
};

static int options_make(const struct bus_options *options, struct bus *bus, struct error *err);
static int options_callbacks(const struct bus_options *options, struct bus *bus, struct error *err);
static int connect_now(struct bus *bus, struct error *err);
static void reopen(struct bus *bus);
static void bus_free(struct bus *bus);
static void poke(const struct bus *bus);
static void on_message(natsConnection *connection, natsSubscription *nats, natsMsg *message,
                       void *closure);
static void on_complete(void *closure);
static void on_disconnected(natsConnection *connection, void *closure);
static void on_reconnected(natsConnection *connection, void *closure);
static void on_closed(natsConnection *connection, void *closure);
static void on_trouble(natsConnection *connection, natsSubscription *subscription,
                       natsStatus status, void *closure);
static struct entry *entry_of(natsMsg *message, struct bus_subscription *subscription);
static int subscription_start(struct bus_subscription *subscription, struct error *err);
static void sweep(struct bus *bus);
static void tell_state(struct bus *bus);
static void on_reply(void *context, const struct bus_message *message);
static void requests_expire(struct bus *bus);
static int wait_complete(struct bus *bus, const struct bus_subscription *subscription,
                         int64_t timeout_us);

int bus_open(const struct bus_options *options, struct bus **ret_bus, struct error *err)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    if (bus == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a bus");
    (void)pthread_rwlock_init(&bus->connection_lock, NULL); /* cannot fail with these attributes */
    (void)pthread_mutex_init(&bus->mutex, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&bus->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    bus->on_state = options->on_state;
    bus->context = options->context;
    bus->closed = true;
    bus->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bus->ring = calloc(LIMIT_BUS_QUEUE, sizeof(struct entry *));
    int rc = 0;
    if (bus->event_fd < 0)
        rc = error_set(err, ERR_IO, errno, "cannot make an eventfd");
    else if (bus->ring == NULL)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for a bus");
    if (rc == 0)
        rc = options_make(options, bus, err);
    if (rc == 0)
        rc = connect_now(bus, err);
    /* nats.c 3.4 leaves a signature out that begins with a zero byte, as one of 256 does, and the
     * server then refuses a good key. Each try signs something else. Later ones are reopen()'s. */
    for (int i = 0; i < SIGN_AGAIN && rc == ERR_DENIED && options->seed_path != NULL; i++)
        rc = connect_now(bus, err);
    if (rc < 0) {
        bus_free(bus);
        return rc;
    }
    *ret_bus = bus;
    return 0;
}

void bus_close(struct bus *bus)
{
    if (bus == NULL)
        return;
    BERTH_ASSERT(!bus->dispatching, "bus_close from a handler");
    if (bus_connected(bus))
        (void)natsConnection_FlushTimeout(bus->connection, 1000); /* 3.4's close drops the rest */
    if (bus->connection != NULL)
        natsConnection_Close(bus->connection);
    bool quiet = wait_complete(bus, NULL, CLOSE_WAIT_US) == 0;
    /* A callback that is still to come would find freed memory: leaving it all is the lesser evil.
     */
    if (!quiet)
        return;
    for (struct bus_subscription *each = bus->subscriptions; each != NULL; each = each->next)
        each->released = true;
    while (bus->ring_count > 0) {
        struct entry *entry = bus->ring[bus->ring_first];
        bus->ring_first = (bus->ring_first + 1) % LIMIT_BUS_QUEUE;
        bus->ring_count--;
        entry->subscription->queued--;
        free(entry);
    }
    sweep(bus);
    bus_free(bus);
}

int bus_fd(const struct bus *bus)
{
    return bus->event_fd;
}

bool bus_connected(const struct bus *bus)
{
    pthread_mutex_lock((pthread_mutex_t *)&bus->mutex);
    bool connected = bus->connected;
    pthread_mutex_unlock((pthread_mutex_t *)&bus->mutex);
    return connected;
}

int bus_dispatch(struct bus *bus, int max)
{
    uint64_t pokes;
    (void)!read(bus->event_fd, &pokes, sizeof(pokes)); /* EAGAIN when nobody poked: fine */
    BERTH_ASSERT(!bus->dispatching, "bus_dispatch from a handler");
    bus->dispatching = true;
    tell_state(bus);
    int handled = 0;
    size_t left = 0;
    while (handled < max) {
        pthread_mutex_lock(&bus->mutex);
        struct entry *entry = NULL;
        if (bus->ring_count > 0) {
            entry = bus->ring[bus->ring_first];
            bus->ring_first = (bus->ring_first + 1) % LIMIT_BUS_QUEUE;
            bus->ring_count--;
            bus->ring_bytes -= entry->message.bytes;
            entry->subscription->queued--;
        }
        left = bus->ring_count;
        pthread_mutex_unlock(&bus->mutex);
        if (entry == NULL)
            break;
        if (!entry->subscription->released)
            entry->subscription->handler(entry->subscription->context, &entry->message);
        free(entry);
        handled++;
    }
    requests_expire(bus);
    sweep(bus);
    bus->dispatching = false;
    if (left > 0)
        poke(bus);
    reopen(bus);
    return handled;
}

int bus_subscribe(struct bus *bus, const char *subject, const char *queue, bus_handler *handler,
                  void *context, struct bus_subscription **ret_subscription, struct error *err)
{
    struct bus_subscription *subscription = calloc(1, sizeof(*subscription));
    if (subscription == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to subscribe to '%s'", subject);
    subscription->bus = bus;
    subscription->handler = handler;
    subscription->context = context;
    subscription->complete = true;
    int rc = str_copy(subscription->subject, sizeof(subscription->subject), subject);
    if (rc == 0 && queue != NULL)
        rc = str_copy(subscription->queue, sizeof(subscription->queue), queue);
    if (rc < 0) {
        free(subscription);
        return error_set(err, ERR_LIMIT, 0, "cannot subscribe to '%.64s...': too long", subject);
    }
    rc = subscription_start(subscription, err);
    if (rc < 0) {
        free(subscription);
        return rc;
    }
    subscription->next = bus->subscriptions;
    bus->subscriptions = subscription;
    if (ret_subscription != NULL)
        *ret_subscription = subscription;
    return 0;
}

void bus_unsubscribe(struct bus_subscription *subscription)
{
    if (subscription == NULL)
        return;
    subscription->released = true;
    if (subscription->nats != NULL)
        (void)natsSubscription_Unsubscribe(subscription->nats); /* fails when drained: as good */
    if (!subscription->bus->dispatching)
        sweep(subscription->bus);
}

int bus_drain(struct bus_subscription *subscription, int64_t timeout_us, struct error *err)
{
    struct bus *bus = subscription->bus;
    if (subscription->nats != NULL) {
        natsStatus status =
            natsSubscription_DrainTimeout(subscription->nats, timeout_us / US_PER_MS + 1);
        if (status != NATS_OK && status != NATS_CONNECTION_CLOSED)
            return bus_status_error(status, err, "cannot drain '%s'", subscription->subject);
    }
    if (wait_complete(bus, subscription, timeout_us) < 0)
        return error_set(err, ERR_TIMEOUT, 0, "'%s' is not drained after %" PRId64 " ms",
                         subscription->subject, timeout_us / US_PER_MS);
    for (;;) {
        pthread_mutex_lock(&bus->mutex);
        int queued = subscription->queued;
        pthread_mutex_unlock(&bus->mutex);
        if (queued == 0)
            break;
        (void)bus_dispatch(bus, INT_MAX);
    }
    return bus_flush(bus, timeout_us, err);
}

int bus_publish(struct bus *bus, const char *subject, const char *reply, const void *data,
                size_t bytes, struct error *err)
{
    return bus_publish_headers(bus, subject, reply, NULL, 0, data, bytes, err);
}

int bus_publish_headers(struct bus *bus, const char *subject, const char *reply,
                        const struct bus_header *headers, int header_count, const void *data,
                        size_t bytes, struct error *err)
{
    if (bytes > LIMIT_WIRE_BYTES)
        return error_set(err, ERR_LIMIT, 0, "a message of %zu bytes to '%s': at most %d", bytes,
                         subject, LIMIT_WIRE_BYTES);
    if (!bus_connected(bus))
        return error_set(err, ERR_UNAVAILABLE, 0, "'%s' was not sent: not connected to %s", subject,
                         bus->url);
    natsMsg *message = NULL;
    const char *reply_to = reply == NULL || reply[0] == 0 ? NULL : reply;
    natsStatus status = natsMsg_Create(&message, subject, reply_to, data, (int)bytes);
    for (int i = 0; status == NATS_OK && i < header_count; i++)
        status = natsMsgHeader_Set(message, headers[i].name, headers[i].value);
    if (status == NATS_OK) {
        pthread_rwlock_rdlock(&bus->connection_lock);
        status = natsConnection_PublishMsg(bus->connection, message);
        pthread_rwlock_unlock(&bus->connection_lock);
    }
    natsMsg_Destroy(message);
    if (status != NATS_OK)
        return bus_status_error(status, err, "cannot publish to '%s'", subject);
    return 0;
}

int bus_flush(struct bus *bus, int64_t timeout_us, struct error *err)
{
    if (!bus_connected(bus))
        return error_set(err, ERR_UNAVAILABLE, 0, "not connected to %s", bus->url);
    natsStatus status = natsConnection_FlushTimeout(bus->connection, timeout_us / US_PER_MS + 1);
    if (status != NATS_OK)
        return bus_status_error(status, err, "flush to %s", bus->url);
    return 0;
}

int bus_request(struct bus *bus, const char *subject, const void *data, size_t bytes,
                int64_t timeout_us, bus_handler *handler, void *context, struct error *err)
{
    return bus_request_headers(bus, subject, NULL, 0, data, bytes, timeout_us, handler, context,
                               err);
}

int bus_request_headers(struct bus *bus, const char *subject, const struct bus_header *headers,
                        int header_count, const void *data, size_t bytes, int64_t timeout_us,
                        bus_handler *handler, void *context, struct error *err)
{
    char reply[LIMIT_SUBJECT_BYTES];
    if (bus->requests == NULL) {
        bus->requests = calloc(LIMIT_COMMANDS, sizeof(*bus->requests));
        if (bus->requests == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for requests");
    }
    if (bus->replies == NULL) {
        str_format(reply, sizeof(reply), "%s.*", bus->inbox);
        int rc = bus_subscribe(bus, reply, NULL, on_reply, bus, &bus->replies, err);
        if (rc < 0)
            return rc;
    }
    int slot = 0;
    while (slot < LIMIT_COMMANDS && bus->requests[slot].handler != NULL)
        slot++;
    if (slot == LIMIT_COMMANDS)
        return error_set(err, ERR_LIMIT, 0, "%d requests are unanswered; '%s' was not sent",
                         LIMIT_COMMANDS, subject);
    /* The random part keeps one responder, who sees its own token, from answering for another. */
    struct request *request = &bus->requests[slot];
    char id[LIMIT_ID_BYTES];
    id_random(id);
    str_format(request->token, sizeof(request->token), "%d-%s", slot, id);
    str_format(reply, sizeof(reply), "%s.%s", bus->inbox, request->token);
    int rc = bus_publish_headers(bus, subject, reply, headers, header_count, data, bytes, err);
    if (rc < 0)
        return rc;
    request->handler = handler;
    request->context = context;
    request->deadline.us = clock_mono_now().us + timeout_us;
    if (slot >= bus->requests_used)
        bus->requests_used = slot + 1;
    return 0;
}

int64_t bus_timeout_us(const struct bus *bus)
{
    int64_t now = clock_mono_now().us;
    int64_t next = bus->reopen_at.us > 0 ? bus->reopen_at.us : INT64_MAX;
    for (int i = 0; i < bus->requests_used; i++)
        if (bus->requests[i].handler != NULL && bus->requests[i].deadline.us < next)
            next = bus->requests[i].deadline.us;
    if (next == INT64_MAX)
        return -1;
    return next > now ? next - now : 0;
}

int bus_call(struct bus *bus, const char *subject, const void *data, size_t bytes,
             int64_t timeout_us, char **ret_data, size_t *ret_bytes, struct error *err)
{
    if (bytes > LIMIT_WIRE_BYTES)
        return error_set(err, ERR_LIMIT, 0, "a request of %zu bytes to '%s': at most %d", bytes,
                         subject, LIMIT_WIRE_BYTES);
    if (!bus_connected(bus))
        return error_set(err, ERR_UNAVAILABLE, 0, "'%s' was not sent: not connected to %s", subject,
                         bus->url);
    natsMsg *answer = NULL;
    pthread_rwlock_rdlock(&bus->connection_lock);
    natsStatus status = natsConnection_Request(&answer, bus->connection, subject, data, (int)bytes,
                                               timeout_us / US_PER_MS + 1);
    pthread_rwlock_unlock(&bus->connection_lock);
    if (status == NATS_NO_RESPONDERS)
        return error_set(err, ERR_UNAVAILABLE, 0, "nobody answers '%s'", subject);
    if (status == NATS_TIMEOUT)
        return error_set(err, ERR_TIMEOUT, 0,
                         "no answer to '%s' within %" PRId64 " ms; whether it was done is unknown",
                         subject, timeout_us / US_PER_MS);
    if (status == NATS_CONNECTION_DISCONNECTED || status == NATS_CONNECTION_CLOSED)
        return error_set(err, ERR_TIMEOUT, 0,
                         "the connection to %s broke before the answer to '%s'; whether it was "
                         "done is unknown",
                         bus->url, subject);
    if (status != NATS_OK)
        return bus_status_error(status, err, "request to '%s'", subject);
    size_t count = (size_t)natsMsg_GetDataLength(answer);
    char *copy = malloc(count + 1);
    if (copy != NULL) {
        if (count > 0)
            memcpy(copy, natsMsg_GetData(answer), count);
        copy[count] = 0;
    }
    natsMsg_Destroy(answer);
    if (copy == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for an answer of %zu bytes", count);
    *ret_data = copy;
    if (ret_bytes != NULL)
        *ret_bytes = count;
    return 0;
}

struct bus_stats bus_stats(const struct bus *bus)
{
    pthread_mutex_lock((pthread_mutex_t *)&bus->mutex);
    struct bus_stats stats = bus->stats;
    pthread_mutex_unlock((pthread_mutex_t *)&bus->mutex);
    return stats;
}

void bus_trouble(const struct bus *bus, char *out, size_t capacity)
{
    pthread_mutex_lock((pthread_mutex_t *)&bus->mutex);
    (void)snprintf(out, capacity, "%s", bus->trouble); /* a cut sentence still says it */
    pthread_mutex_unlock((pthread_mutex_t *)&bus->mutex);
}

natsConnection *bus_nats(const struct bus *bus)
{
    return bus->connection;
}

void bus_inbox(const struct bus *bus, char *out, size_t capacity)
{
    char id[LIMIT_ID_BYTES];
    id_random(id);
    /* Not where bus_request's answers come: they would be handled there as well, or wait there. */
    str_format(out, capacity, "%s.i.%s", bus->inbox, id);
}

static int options_make(const struct bus_options *options, struct bus *bus, struct error *err)
{
    const char *prefix = options->inbox_prefix == NULL ? "_INBOX" : options->inbox_prefix;
    char id[LIMIT_ID_BYTES];
    int rc = keys_init(err);
    if (rc < 0)
        return rc;
    id_random(id);
    if (str_copy(bus->url, sizeof(bus->url), options->url) < 0 ||
        strlen(prefix) + strlen(id) + TOKEN_BYTES + 4 > sizeof(bus->inbox))
        return error_set(err, ERR_LIMIT, 0,
                         "the address '%.64s...' or the inbox prefix is too long", options->url);
    str_format(bus->inbox, sizeof(bus->inbox), "%s.%s", prefix, id);
    natsStatus status = natsOptions_Create(&bus->options);
    if (status != NATS_OK)
        return bus_status_error(status, err, "cannot set up NATS");
    rc = bus_options_apply(options, bus->options, err);
    return rc < 0 ? rc : options_callbacks(options, bus, err);
}

static int options_callbacks(const struct bus_options *options, struct bus *bus, struct error *err)
{
    natsOptions *nats = bus->options;
    natsStatus status = NATS_OK;
    if (options->connect_retry)
        status = natsOptions_SetRetryOnFailedConnect(nats, true, on_reconnected, bus);
    if (status == NATS_OK)
        status = natsOptions_SetDisconnectedCB(nats, on_disconnected, bus);
    if (status == NATS_OK)
        status = natsOptions_SetReconnectedCB(nats, on_reconnected, bus);
    if (status == NATS_OK)
        status = natsOptions_SetClosedCB(nats, on_closed, bus);
    if (status == NATS_OK)
        status = natsOptions_SetErrorHandler(nats, on_trouble, bus);
    if (status != NATS_OK)
        return bus_status_error(status, err, "cannot set up the connection to %s", options->url);
    return 0;
}

/* Connects; with connect_retry "not yet" is fine too. `closed` is lowered first: from here on
 * nats.c owes one on_closed, unless it makes no connection at all. */
static int connect_now(struct bus *bus, struct error *err)
{
    pthread_mutex_lock(&bus->mutex);
    bus->closed = false;
    pthread_mutex_unlock(&bus->mutex);
    natsConnection *connection = NULL;
    natsStatus status = natsConnection_Connect(&connection, bus->options);
    pthread_rwlock_wrlock(&bus->connection_lock);
    bus->connection = connection;
    pthread_rwlock_unlock(&bus->connection_lock);
    pthread_mutex_lock(&bus->mutex);
    if (status == NATS_OK && !bus->closed)
        bus->connected = bus->had_connection = true;
    if (connection == NULL)
        bus->closed = true;
    pthread_mutex_unlock(&bus->mutex);
    if (status == NATS_OK)
        poke(bus);
    if (status == NATS_OK || (status == NATS_NOT_YET_CONNECTED && connection != NULL))
        return 0;
    return bus_status_error(status, err, "cannot connect to %s", bus->url);
}

/* nats.c gives a connection up for good when the server refuses its credentials twice running, as
 * may happen while the server's configuration is being changed. "For ever" means: make a new one.
 */
static void reopen(struct bus *bus)
{
    pthread_mutex_lock(&bus->mutex);
    bool closed = bus->closed;
    pthread_mutex_unlock(&bus->mutex);
    if (!closed) {
        bus->reopen_at.us = 0;
        return;
    }
    int64_t now = clock_mono_now().us;
    if (bus->reopen_at.us == 0)
        bus->reopen_at.us = now + REOPEN_US;
    if (now < bus->reopen_at.us)
        return;
    bus->reopen_at.us = now + REOPEN_US;
    if (wait_complete(bus, NULL, 0) < 0)
        return;
    for (struct bus_subscription *each = bus->subscriptions; each != NULL; each = each->next) {
        natsSubscription_Destroy(each->nats);
        each->nats = NULL;
    }
    pthread_rwlock_wrlock(&bus->connection_lock);
    natsConnection_Destroy(bus->connection);
    bus->connection = NULL;
    pthread_rwlock_unlock(&bus->connection_lock);
    struct error ignored; /* it is tried again; bus_connected tells */
    if (connect_now(bus, &ignored) < 0)
        return;
    for (struct bus_subscription *each = bus->subscriptions; each != NULL; each = each->next)
        if (!each->released)
            (void)!subscription_start(each, &ignored);
    pthread_mutex_lock(&bus->mutex);
    bus->stats.reconnects++;
    pthread_mutex_unlock(&bus->mutex);
}

static void bus_free(struct bus *bus)
{
    natsConnection_Destroy(bus->connection);
    natsOptions_Destroy(bus->options);
    if (bus->event_fd >= 0)
        (void)close(bus->event_fd);
    (void)pthread_cond_destroy(&bus->changed);
    (void)pthread_mutex_destroy(&bus->mutex);
    (void)pthread_rwlock_destroy(&bus->connection_lock);
    free(bus->requests);
    free(bus->ring);
    free(bus);
}

static void poke(const struct bus *bus)
{
    uint64_t one = 1;
    (void)!write(bus->event_fd, &one, sizeof(one)); /* fails only when it is poked already */
}

/* ---- on NATS's threads ------------------------------------------------------------------------
 */

static void on_message(natsConnection *connection, natsSubscription *nats, natsMsg *message,
                       void *closure)
{
    (void)connection;
    (void)nats;
    struct bus_subscription *subscription = closure;
    struct bus *bus = subscription->bus;
    struct entry *entry = message == NULL ? NULL : entry_of(message, subscription);
    natsMsg_Destroy(message);
    pthread_mutex_lock(&bus->mutex);
    bool first = bus->ring_count == 0;
    bool full = entry == NULL || bus->ring_count == LIMIT_BUS_QUEUE ||
                bus->ring_bytes + entry->message.bytes > LIMIT_BUS_QUEUE_BYTES;
    if (full) {
        bus->stats.dropped++;
    } else {
        bus->ring[(bus->ring_first + bus->ring_count) % LIMIT_BUS_QUEUE] = entry;
        bus->ring_count++;
        bus->ring_bytes += entry->message.bytes;
        bus->stats.received++;
        subscription->queued++;
    }
    pthread_mutex_unlock(&bus->mutex);
    if (full)
        free(entry);
    else if (first)
        poke(bus);
}

static struct entry *entry_of(natsMsg *message, struct bus_subscription *subscription)
{
    const char *subject = natsMsg_GetSubject(message);
    const char *reply = natsMsg_GetReply(message);
    const char *data = natsMsg_GetData(message);
    size_t subject_bytes = strlen(subject) + 1;
    size_t reply_bytes = reply == NULL ? 1 : strlen(reply) + 1;
    size_t bytes = (size_t)natsMsg_GetDataLength(message);
    struct entry *entry = malloc(sizeof(*entry) + subject_bytes + reply_bytes + bytes + 1);
    if (entry == NULL)
        return NULL;
    char *at = entry->storage;
    entry->subscription = subscription;
    entry->message.subject = memcpy(at, subject, subject_bytes);
    at += subject_bytes;
    entry->message.reply = memcpy(at, reply == NULL ? "" : reply, reply_bytes);
    at += reply_bytes;
    if (bytes > 0)
        memcpy(at, data, bytes);
    at[bytes] = 0;
    entry->message.data = at;
    entry->message.bytes = bytes;
    entry->message.status = bus_message_status(message);
    return entry;
}

static void on_complete(void *closure)
{
    struct bus_subscription *subscription = closure;
    struct bus *bus = subscription->bus;
    pthread_mutex_lock(&bus->mutex);
    subscription->complete = true;
    pthread_cond_broadcast(&bus->changed);
    pthread_mutex_unlock(&bus->mutex);
}

static void on_disconnected(natsConnection *connection, void *closure)
{
    (void)connection;
    struct bus *bus = closure;
    pthread_mutex_lock(&bus->mutex);
    bus->connected = false;
    bus->went_down = true;
    pthread_mutex_unlock(&bus->mutex);
    poke(bus);
}

static void on_reconnected(natsConnection *connection, void *closure)
{
    (void)connection;
    struct bus *bus = closure;
    pthread_mutex_lock(&bus->mutex);
    bus->connected = true;
    if (bus->had_connection)
        bus->stats.reconnects++;
    bus->had_connection = true;
    pthread_mutex_unlock(&bus->mutex);
    poke(bus);
}

/* The poke comes first: once `closed` is seen, bus_close may free everything. */
static void on_closed(natsConnection *connection, void *closure)
{
    (void)connection;
    struct bus *bus = closure;
    pthread_mutex_lock(&bus->mutex);
    bus->connected = false;
    bus->went_down = true;
    bus->closed = true;
    poke(bus);
    pthread_cond_broadcast(&bus->changed);
    pthread_mutex_unlock(&bus->mutex);
}

static void on_trouble(natsConnection *connection, natsSubscription *subscription,
                       natsStatus status, void *closure)
{
    (void)subscription;
    struct bus *bus = closure;
    const char *text = NULL;
    (void)natsConnection_GetLastError(connection, &text); /* the status is what counts */
    pthread_mutex_lock(&bus->mutex);
    (void)snprintf(bus->trouble, sizeof(bus->trouble), "%s: %s", natsStatus_GetText(status),
                   text == NULL ? "" : text);
    if (status == NATS_NOT_PERMITTED)
        bus->stats.denied++;
    pthread_mutex_unlock(&bus->mutex);
}

/* ---- on the owner's thread --------------------------------------------------------------------
 */

/* A closed connection is no error: reopen() starts the subscription on the next one. */
static int subscription_start(struct bus_subscription *subscription, struct error *err)
{
    struct bus *bus = subscription->bus;
    natsStatus status = NATS_CONNECTION_CLOSED;
    pthread_mutex_lock(&bus->mutex);
    subscription->complete = false;
    pthread_mutex_unlock(&bus->mutex);
    if (bus->connection != NULL && subscription->queue[0] == 0)
        status = natsConnection_Subscribe(&subscription->nats, bus->connection,
                                          subscription->subject, on_message, subscription);
    else if (bus->connection != NULL)
        status = natsConnection_QueueSubscribe(&subscription->nats, bus->connection,
                                               subscription->subject, subscription->queue,
                                               on_message, subscription);
    natsStatus watched = status;
    if (status == NATS_OK)
        watched = natsSubscription_SetOnCompleteCB(subscription->nats, on_complete, subscription);
    if (watched != NATS_OK)
        on_complete(subscription);
    if (status != NATS_OK && status != NATS_CONNECTION_CLOSED)
        return bus_status_error(status, err, "cannot subscribe to '%s'", subscription->subject);
    return 0;
}

static void sweep(struct bus *bus)
{
    struct bus_subscription **at = &bus->subscriptions;
    while (*at != NULL) {
        struct bus_subscription *each = *at;
        pthread_mutex_lock(&bus->mutex);
        bool done = each->released && each->complete && each->queued == 0;
        pthread_mutex_unlock(&bus->mutex);
        if (!done) {
            at = &each->next;
            continue;
        }
        *at = each->next;
        bus_subscription_end(bus->connection, each->nats);
        free(each);
    }
}

void bus_subscription_end(natsConnection *connection, natsSubscription *subscription)
{
    if (subscription == NULL)
        return;
    (void)natsSubscription_Unsubscribe(subscription); /* fails when it has ended: as good */
    natsStatus status = natsConnection_FlushTimeout(connection, END_MS);
    if (status != NATS_TIMEOUT)
        natsSubscription_Destroy(subscription);
}

/* Waits until nats.c will not call back for this subscription, or (NULL) for any of them and for
 * the connection. */
static int wait_complete(struct bus *bus, const struct bus_subscription *subscription,
                         int64_t timeout_us)
{
    int64_t until_us = clock_mono_now().us + timeout_us;
    struct timespec until = {.tv_sec = until_us / US_PER_S,
                             .tv_nsec = (until_us % US_PER_S) * 1000};
    int rc = 0;
    pthread_mutex_lock(&bus->mutex);
    for (;;) {
        bool complete = subscription != NULL ? subscription->complete : bus->closed;
        for (const struct bus_subscription *each = bus->subscriptions;
             subscription == NULL && each != NULL; each = each->next)
            complete = complete && each->complete;
        if (complete)
            break;
        if (pthread_cond_timedwait(&bus->changed, &bus->mutex, &until) == ETIMEDOUT) {
            rc = ERR_TIMEOUT;
            break;
        }
    }
    pthread_mutex_unlock(&bus->mutex);
    return rc;
}

static void tell_state(struct bus *bus)
{
    pthread_mutex_lock(&bus->mutex);
    bool connected = bus->connected;
    bool went_down = bus->went_down;
    bus->went_down = false;
    pthread_mutex_unlock(&bus->mutex);
    if (bus->told_connected && (went_down || !connected)) {
        bus->told_connected = false;
        if (bus->on_state != NULL)
            bus->on_state(bus->context, false);
    }
    if (!bus->told_connected && connected) {
        bus->told_connected = true;
        if (bus->on_state != NULL)
            bus->on_state(bus->context, true);
    }
}

static void on_reply(void *context, const struct bus_message *message)
{
    struct bus *bus = context;
    const char *token = strrchr(message->subject, '.');
    if (token == NULL)
        return;
    token++;
    for (int slot = 0; slot < bus->requests_used; slot++) {
        struct request *request = &bus->requests[slot];
        if (request->handler == NULL || !str_equal(request->token, token))
            continue;
        bus_handler *handler = request->handler;
        request->handler = NULL;
        handler(request->context, message);
        return;
    }
}

static void requests_expire(struct bus *bus)
{
    int64_t now = bus->requests_used > 0 ? clock_mono_now().us : 0;
    for (int slot = 0; slot < bus->requests_used; slot++) {
        struct request *request = &bus->requests[slot];
        if (request->handler == NULL || request->deadline.us > now)
            continue;
        bus_handler *handler = request->handler;
        struct bus_message message = {.subject = "", .reply = "", .data = "", .status = 408};
        request->handler = NULL;
        handler(request->context, &message);
    }
    while (bus->requests_used > 0 && bus->requests[bus->requests_used - 1].handler == NULL)
        bus->requests_used--;
}
