/*
 * gateway: the node's ingress (executors/ingress), when it is one: routes, the probes that go
 * through it, and what it has to tell. An answer to a route waits until traffic follows it, so the
 * subjects of such answers are kept by command.
 */
#include "executors/ingress/ingress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "executors/node/agent.h"

#define STOP_US       (2 * US_PER_S) /* for HAProxy's connections, and then for its end */
#define METRICS_BYTES (16 << 20)     /* of the samples of all servers of all routes, at most */

struct gateway_reply {
    char id[LIMIT_ID_BYTES]; /* "": free */
    char subject[LIMIT_SUBJECT_BYTES];
};

static void routed(void *context, const char *id, int code, const char *text);
static void probed(void *context, const struct ingress_probed *probed);
static void happened(void *context, enum ingress_event event, const char *text);
static void group_of(const struct agent *agent, char out[LIMIT_PATH_BYTES]);
static void leave_group(struct agent *agent);
static void end_probe(struct agent *agent, const char *id, const char *instance, const char *text);

int gateway_open(struct agent *agent, struct error *err)
{
    const struct node_options *options = &agent->options;
    struct ingress_options wanted;
    if (options->ingress[0] == 0)
        return 0;
    int rc = ingress_options_parse(options->ingress, &wanted, err);
    if (rc < 0)
        return rc;
    agent->replies = calloc(AGENT_ROUTES, sizeof(*agent->replies));
    if (agent->replies == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the ingress");
    char folder[LIMIT_PATH_BYTES];
    char cgroup[LIMIT_PATH_BYTES];
    str_format(folder, sizeof(folder), "%.1000s/ingress", agent->store.path);
    group_of(agent, cgroup);
    bool grouped = agent->host.mode != CGROUP_NONE;
    struct ingress_callbacks callbacks = {agent, routed, probed, happened};
    rc = ingress_open(&wanted, folder, grouped ? &agent->host : NULL, grouped ? cgroup : NULL,
                      &callbacks, &agent->ingress, err);
    if (rc == 0 && agent_watch(agent, ingress_fd(agent->ingress), WATCH_INGRESS, 0, EPOLLIN) < 0)
        rc = error_set(err, ERR_IO, errno, "watch the ingress");
    return rc;
}

void gateway_dispatch(struct agent *agent)
{
    ingress_dispatch(agent->ingress);
}

void gateway_close(struct agent *agent, bool stop)
{
    bool opened = agent->ingress != NULL;
    ingress_close(agent->ingress, stop ? INGRESS_STOP : INGRESS_KEEP);
    agent->ingress = NULL;
    if (opened && stop && agent->host.mode != CGROUP_NONE)
        leave_group(agent);
    free(agent->replies);
    agent->replies = NULL;
}

void gateway_route(struct agent *agent, const struct node_effect *effect)
{
    struct error err;
    if (agent->ingress == NULL) {
        routed(agent, effect->route.id, ERR_UNSUPPORTED,
               "this node is no ingress: start it with --ingress");
        return;
    }
    int rc = ingress_route(agent->ingress, effect->route.id, &effect->route.route, &err);
    if (rc < 0)
        routed(agent, effect->route.id, rc, err.text);
}

void gateway_probe(struct agent *agent, const struct node_effect *effect)
{
    const struct message_route *route = &effect->probe.route;
    struct error err;
    struct ingress_probe probe = {.id = effect->probe.id,
                                  .instance = effect->instance,
                                  .host = route->host,
                                  .path = route->probe,
                                  .count = effect->probe.count,
                                  .timeout_us = effect->probe.timeout_us};
    if (agent->ingress == NULL)
        end_probe(agent, probe.id, probe.instance, "this node is no ingress");
    else if (ingress_probe(agent->ingress, &probe, &err) < 0)
        end_probe(agent, probe.id, probe.instance, err.text);
}

void gateway_hello(const struct agent *agent, struct message_hello *hello)
{
    if (agent->ingress != NULL && ingress_may_serve(agent->ingress))
        str_format(hello->ingress, sizeof(hello->ingress), "%.255s", ingress_url(agent->ingress));
}

/* Requests, errors and latencies: what a canary is judged by when its workload does not count. The
 * rest (bytes) is what the workloads' own nodes tell. */
void gateway_metrics(struct agent *agent)
{
    struct message_sample *samples = NULL;
    struct message_batch batch;
    struct arena arena;
    struct error err;
    int count = 0;
    if (agent->ingress == NULL || !bus_connected(agent->bus))
        return;
    arena_init(&arena, METRICS_BYTES);
    int rc = ingress_metrics(agent->ingress, &arena, &samples, &count, &err);
    if (rc < 0)
        log_event(LOG_WARN, "ingress.uncounted", "reason=\"%s\"", err.text);
    int kept = 0;
    for (int i = 0; rc == 0 && i < count; i++)
        if (samples[i].kind != SAMPLE_BYTES_IN && samples[i].kind != SAMPLE_BYTES_OUT)
            samples[kept++] = samples[i];
    for (int i = 0; i < kept; i += batch.sample_count) {
        publish_batch_begin(agent, &batch);
        batch.ingress = true;
        batch.samples = samples + i;
        batch.sample_count = kept - i < LIMIT_SAMPLES_BATCH ? kept - i : LIMIT_SAMPLES_BATCH;
        publish_batch(agent, &batch);
    }
    arena_done(&arena);
}

/* A route's command says where its answer goes; one that comes again says it anew. */
void gateway_expect(struct agent *agent, const char *id, const char *reply)
{
    struct gateway_reply *place = NULL;
    for (int i = 0; agent->replies != NULL && i < AGENT_ROUTES; i++) {
        struct gateway_reply *at = &agent->replies[i];
        if (str_equal(at->id, id)) {
            place = at;
            break;
        }
        if (place == NULL && at->id[0] == 0)
            place = at;
    }
    if (place == NULL || reply[0] == 0)
        return; /* it is asked again, and answered at once by then */
    str_format(place->id, sizeof(place->id), "%s", id);
    str_format(place->subject, sizeof(place->subject), "%s", reply);
}

bool gateway_reply(struct agent *agent, const char *id, char ret_subject[LIMIT_SUBJECT_BYTES])
{
    for (int i = 0; agent->replies != NULL && i < AGENT_ROUTES; i++) {
        struct gateway_reply *at = &agent->replies[i];
        if (at->id[0] == 0 || !str_equal(at->id, id))
            continue;
        memcpy(ret_subject, at->subject, sizeof(at->subject));
        at->id[0] = 0;
        return true;
    }
    return false;
}

static void routed(void *context, const char *id, int code, const char *text)
{
    struct agent *agent = context;
    struct node_event event;
    agent_event(&event, NODE_EV_ROUTED, "");
    str_format(event.routed.id, sizeof(event.routed.id), "%.39s", id);
    event.routed.code = code;
    str_format(event.routed.text, sizeof(event.routed.text), "%.250s", text == NULL ? "" : text);
    if (code != 0)
        log_event(LOG_WARN, "route.refused", "id=%s code=%s text=\"%s\"", id, error_name(code),
                  event.routed.text);
    agent_feed(agent, &event);
}

static void probed(void *context, const struct ingress_probed *outcome)
{
    struct agent *agent = context;
    struct node_event event;
    agent_event(&event, NODE_EV_PROBED, outcome->instance);
    str_format(event.probed.id, sizeof(event.probed.id), "%.39s", outcome->id);
    str_format(event.probed.instance, sizeof(event.probed.instance), "%.39s", outcome->instance);
    event.probed.sent = outcome->sent;
    event.probed.answered = outcome->answered;
    event.probed.unproven = outcome->unproven;
    event.probed.rtt_us = outcome->rtt_us;
    if (outcome->text[0] == 0 && outcome->unproven > 0)
        str_format(event.probed.text, sizeof(event.probed.text),
                   "not proven: %d answers without Berth-Instance", outcome->unproven);
    else
        str_format(event.probed.text, sizeof(event.probed.text), "%.250s", outcome->text);
    agent_feed(agent, &event);
}

/* Whether it serves is part of the hello: nobody is to wait for an ingress that is down. */
static void happened(void *context, enum ingress_event what, const char *text)
{
    struct agent *agent = context;
    static const char *const words[] = {[INGRESS_UP] = "ingress.up",
                                        [INGRESS_DOWN] = "ingress.down",
                                        [INGRESS_NOTICE] = "ingress.notice"};
    log_event(what == INGRESS_DOWN ? LOG_WARN : LOG_INFO, words[what], "text=\"%s\"", text);
    if (what == INGRESS_NOTICE)
        return;
    struct node_event event;
    agent_event(&event, NODE_EV_HELLO_ASKED, "");
    agent_feed(agent, &event);
}

static void end_probe(struct agent *agent, const char *id, const char *instance, const char *text)
{
    struct ingress_probed outcome = {.id = id, .instance = instance, .text = text};
    probed(agent, &outcome);
}

/* Beside the workloads' group: it is none of theirs. */
static void group_of(const struct agent *agent, char out[LIMIT_PATH_BYTES])
{
    str_format(out, LIMIT_PATH_BYTES, "%s/%s-ingress", agent->options.cgroup, agent->options.name);
}

/* HAProxy was told to end: what is left of it after a moment is ended. */
static void leave_group(struct agent *agent)
{
    char cgroup[LIMIT_PATH_BYTES];
    struct error err;
    group_of(agent, cgroup);
    int64_t kill_at = clock_mono_now().us + STOP_US;
    int64_t until = kill_at + STOP_US;
    while (!cgroup_is_empty(&agent->host, cgroup) && clock_mono_now().us < until) {
        if (clock_mono_now().us >= kill_at)
            cgroup_kill(&agent->host, cgroup);
        (void)usleep(5000);
    }
    if (cgroup_remove(&agent->host, cgroup, &err) < 0)
        log_event(LOG_WARN, "ingress.left", "reason=\"%s\"", err.text);
}
