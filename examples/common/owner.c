#include "examples/common/owner.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "examples/common/connect.h"

#define QUEUE_GROUP    "q"
#define STEP_MS        5
#define COUNT_EVERY_US (500 * US_PER_MS)

struct owner {
    const struct owner_options *options;
    natsConnection *connection;
    natsSubscription *subscription; /* to the service's subject, while it serves or lingers */
    natsSubscription *at_subscription;
    struct berth_workload *workload;
    const char *instance;
    pthread_mutex_t lock; /* over what is below, and the callbacks' state */
    struct berth_epoch epoch;
    bool serves;
    bool began; /* it has owned: something can be frozen */
    char handed[BERTH_HANDED_BYTES + 1];
    int64_t leave_us; /* the subscription ends then; 0: it stays */
    int64_t requests;
    int64_t errors;
    int64_t latency_us_sum;
};

static natsStatus subscribe(struct owner *owner);
static void unsubscribe(struct owner *owner);
static int loop(struct owner *owner, int signals);
static bool obey(struct owner *owner, enum berth_told told);
static void own(struct owner *owner, const char *epoch, const char *handed);
static void freeze(struct owner *owner, const char *path);
static void snapshot(struct owner *owner, int round, const char *path);
static void restore(struct owner *owner, int round, const char *path);
static void report(struct owner *owner);
static void on_request(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                       void *closure);
static void on_identity(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                        void *closure);

int owner_run(const struct owner_options *options)
{
    static struct owner owner = {.lock = PTHREAD_MUTEX_INITIALIZER};
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    const char *at = getenv("BERTH_AT_SUBJECT");
    owner.options = options;
    owner.instance = getenv("BERTH_INSTANCE") != NULL ? getenv("BERTH_INSTANCE") : "by-hand";
    natsStatus status = connect_as_told(&owner.connection, true);
    if (status == NATS_OK && at != NULL)
        status = natsConnection_Subscribe(&owner.at_subscription, owner.connection, at, on_identity,
                                          &owner);
    if (status == NATS_OK)
        status = natsConnection_FlushTimeout(owner.connection, 5000);
    if (status != NATS_OK) {
        fprintf(stderr, "connect to NATS: %s\n", natsStatus_GetText(status));
        return 1;
    }
    owner.workload = berth_workload_open();
    if (owner.workload == NULL) {
        fprintf(stderr, "open $BERTH_SOCKET: %s\n", strerror(errno));
        return 1;
    }
    int exit_status = loop(&owner, signals);
    report(&owner);
    unsubscribe(&owner);
    natsSubscription_Destroy(owner.at_subscription);
    natsConnection_FlushTimeout(owner.connection, 1000);
    natsConnection_Close(owner.connection);
    natsConnection_Destroy(owner.connection);
    berth_workload_close(owner.workload);
    close(signals);
    nats_Close();
    return exit_status;
}

natsConnection *owner_connection(struct owner *owner)
{
    return owner->connection;
}

struct berth_epoch owner_epoch(const struct owner *owner)
{
    return owner->epoch;
}

const char *owner_instance(const struct owner *owner)
{
    return owner->instance;
}

bool owner_serves(struct owner *owner)
{
    owner_lock(owner);
    bool serves = owner->serves;
    owner_unlock(owner);
    return serves;
}

void owner_lock(struct owner *owner)
{
    pthread_mutex_lock(&owner->lock);
}

void owner_unlock(struct owner *owner)
{
    pthread_mutex_unlock(&owner->lock);
}

void owner_reply(struct owner *owner, natsMsg *request, const char *text)
{
    const char *reply = natsMsg_GetReply(request);
    if (reply != NULL && natsConnection_PublishString(owner->connection, reply, text) != NATS_OK)
        owner->errors++;
}

void owner_refuse(struct owner *owner, natsMsg *request, const char *why)
{
    const char *reply = natsMsg_GetReply(request);
    natsMsg *answer = NULL;
    if (reply != NULL && natsMsg_Create(&answer, reply, NULL, why, (int)strlen(why)) == NATS_OK) {
        natsMsgHeader_Set(answer, "Nats-Service-Error", why);
        natsMsgHeader_Set(answer, "Nats-Service-Error-Code", "503");
        natsConnection_PublishMsg(owner->connection, answer);
    }
    natsMsg_Destroy(answer);
}

void owner_fenced(struct owner *owner)
{
    char text[BERTH_EPOCH_BYTES];
    owner->serves = false;
    owner->leave_us = clock_mono_now().us;
    fprintf(stderr, "fenced: %s is not the owner's epoch any more\n",
            berth_epoch_format(owner->epoch, text));
}

static natsStatus subscribe(struct owner *owner)
{
    natsStatus status = NATS_OK;
    if (owner->subscription == NULL)
        status =
            natsConnection_QueueSubscribe(&owner->subscription, owner->connection,
                                          owner->options->subject, QUEUE_GROUP, on_request, owner);
    if (status == NATS_OK)
        status = natsConnection_FlushTimeout(owner->connection, 5000);
    return status;
}

static void unsubscribe(struct owner *owner)
{
    natsSubscription *subscription = owner->subscription;
    owner->subscription = NULL;
    if (subscription == NULL)
        return;
    /* What was on its way is refused, not lost. */
    if (natsSubscription_Drain(subscription) == NATS_OK)
        (void)natsSubscription_WaitForDrainCompletion(subscription, 1000);
    natsSubscription_Destroy(subscription);
}

/* ---- what Berth says ---- */

static int loop(struct owner *owner, int signals)
{
    int64_t count_us = 0;
    if (berth_workload_fd(owner->workload) < 0 && getenv("BERTH_SOCKET") == NULL)
        own(owner, "1.1", "");
    for (bool ready = false;;) {
        if (!ready && (owner->options->is_ready == NULL ||
                       owner->options->is_ready(owner, owner->options->context))) {
            ready = true;
            if (berth_workload_ready(owner->workload) < 0)
                fprintf(stderr, "say ready: %s\n", strerror(errno));
            fprintf(stderr, "standing by for %s\n", owner->options->subject);
        }
        struct pollfd fds[2] = {{.fd = signals, .events = POLLIN},
                                {.fd = berth_workload_fd(owner->workload), .events = POLLIN}};
        poll(fds, 2, STEP_MS);
        if (fds[0].revents != 0)
            return 0;
        enum berth_told told;
        while ((told = berth_workload_poll(owner->workload, NULL)) != BERTH_NOTHING)
            if (!obey(owner, told))
                return 0;
        int64_t now_us = clock_mono_now().us;
        owner_lock(owner);
        bool leave = owner->leave_us != 0 && now_us >= owner->leave_us;
        if (leave)
            owner->leave_us = 0;
        owner_unlock(owner);
        if (leave)
            unsubscribe(owner);
        if (owner->options->step != NULL &&
            owner->options->step(owner, owner->options->context) < 0)
            return 1;
        if (now_us >= count_us) {
            report(owner);
            count_us = now_us + COUNT_EVERY_US;
        }
    }
}

/* False: the end. */
static bool obey(struct owner *owner, enum berth_told told)
{
    struct berth_workload *workload = owner->workload;
    switch (told) {
    case BERTH_OWN:
        own(owner, berth_workload_epoch(workload), berth_workload_handed(workload));
        return true;
    case BERTH_DRAIN: /* an owner that is not asked for its state */
        freeze(owner, "");
        berth_workload_drained(workload);
        return true;
    case BERTH_FREEZE:
        freeze(owner, berth_workload_path(workload));
        return true;
    case BERTH_SNAPSHOT:
        snapshot(owner, berth_workload_round(workload), berth_workload_path(workload));
        return true;
    case BERTH_RESTORE:
        restore(owner, berth_workload_round(workload), berth_workload_path(workload));
        return true;
    case BERTH_STOP:
        return false;
    case BERTH_NOTHING:
    case BERTH_RESUME: /* an owner serves by "own" alone */
        break;
    }
    return true;
}

/* The same word again is answered again; a later epoch for the owner that it is already changes
 * nothing but what it writes with. */
static void own(struct owner *owner, const char *text, const char *handed)
{
    struct berth_epoch epoch;
    if (berth_epoch_parse(text, &epoch) < 0) {
        berth_workload_failed(owner->workload, "the epoch is none");
        return;
    }
    owner_lock(owner);
    int rc = 0;
    owner->epoch = epoch;
    owner->leave_us = 0;
    if (!owner->serves)
        rc = owner->options->own(owner, handed, owner->options->context);
    owner->serves = rc == 0;
    owner->began = true;
    owner_unlock(owner);
    if (rc == 0 && subscribe(owner) != NATS_OK)
        rc = -1;
    if (rc < 0)
        berth_workload_failed(owner->workload, "it cannot serve");
    else
        berth_workload_owned(owner->workload);
}

static void freeze(struct owner *owner, const char *path)
{
    int rc = 0;
    owner_lock(owner); /* the request that is under way has ended when this is ours */
    if (owner->serves || path[0] != 0) {
        owner->handed[0] = 0;
        owner->serves = false;
        if (owner->began || path[0] != 0)
            rc = owner->options->freeze(owner, path, owner->handed, owner->options->context);
    }
    if (owner->subscription != NULL && owner->leave_us == 0)
        owner->leave_us = clock_mono_now().us + owner->options->linger_us;
    owner_unlock(owner);
    if (rc < 0)
        berth_workload_failed(owner->workload, "its state could not be written");
    else
        berth_workload_frozen(owner->workload, owner->handed);
}

static void snapshot(struct owner *owner, int round, const char *path)
{
    const struct owner_options *options = owner->options;
    if (options->snapshot == NULL || options->snapshot(owner, round, path, options->context) < 0)
        berth_workload_failed(owner->workload, "the snapshot could not be written");
    else
        berth_workload_snapshotted(owner->workload, round);
}

static void restore(struct owner *owner, int round, const char *path)
{
    const struct owner_options *options = owner->options;
    owner_lock(owner);
    bool may = options->restore != NULL && !owner->serves;
    int rc = may ? options->restore(owner, round, path, options->context) : -1;
    owner_unlock(owner);
    if (rc < 0)
        berth_workload_failed(owner->workload, "it could not be restored");
    else
        berth_workload_restored(owner->workload, round);
}

static void report(struct owner *owner)
{
    owner_lock(owner);
    int64_t requests = owner->requests, errors = owner->errors, sum_us = owner->latency_us_sum;
    owner_unlock(owner);
    if (berth_workload_count(owner->workload, "requests", requests) == 0 &&
        berth_workload_count(owner->workload, "errors", errors) == 0)
        (void)berth_workload_count(owner->workload, "latency_us_sum", sum_us);
}

static void on_request(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                       void *closure)
{
    struct owner *owner = closure;
    (void)connection;
    (void)subscription;
    int64_t begun_us = clock_mono_now().us;
    owner_lock(owner);
    if (owner->serves) {
        owner->options->serve(owner, msg, owner->options->context);
        owner->requests++;
        owner->latency_us_sum += clock_mono_now().us - begun_us;
    } else {
        owner_refuse(owner, msg, "frozen");
    }
    owner_unlock(owner);
    natsMsg_Destroy(msg);
}

static void on_identity(natsConnection *connection, natsSubscription *subscription, natsMsg *msg,
                        void *closure)
{
    const struct owner *owner = closure;
    (void)subscription;
    if (natsMsg_GetReply(msg) != NULL)
        natsConnection_PublishString(connection, natsMsg_GetReply(msg), owner->instance);
    natsMsg_Destroy(msg);
}
