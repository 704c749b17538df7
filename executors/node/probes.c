/*
 * probes: requests that prove where traffic goes, and round trips to other nodes. All answers come
 * through bus_dispatch.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bus/subjects.h"
#include "base/log.h"
#include "base/str.h"
#include "executors/node/agent.h"

struct asked {
    struct agent *agent;
    int index;
    char id[LIMIT_ID_BYTES];
};

static void probe_send(struct agent *agent, int index);
static void probe_answered(void *context, const struct bus_message *message);
static void probe_end(struct agent *agent, struct probe *probe);
static void trip_answered(void *context, const struct bus_message *message);

void probe_begin(struct agent *agent, const struct node_effect *effect)
{
    if (effect->probe.subject[0] == 0) {
        gateway_probe(agent, effect);
        return;
    }
    for (int i = 0; i < AGENT_PROBES; i++) {
        struct probe *probe = &agent->probes[i];
        if (probe->used)
            continue;
        *probe = (struct probe){
            .used = true, .count = effect->probe.count, .timeout_us = effect->probe.timeout_us};
        memcpy(probe->id, effect->probe.id, sizeof(probe->id));
        memcpy(probe->instance, effect->instance, sizeof(probe->instance));
        memcpy(probe->subject, effect->probe.subject, sizeof(probe->subject));
        memcpy(probe->outcome.id, probe->id, sizeof(probe->id));
        memcpy(probe->outcome.instance, probe->instance, sizeof(probe->instance));
        memcpy(probe->outcome.node, agent->options.name, sizeof(probe->outcome.node));
        probe_send(agent, i);
        return;
    }
    /* The machine lets no more than AGENT_PROBES be under way. */
    BERTH_ASSERT(false, "no place for probe %s", effect->probe.id);
}

void trips_ask(struct agent *agent)
{
    for (int i = 0; i < agent->trip_count; i++) {
        struct round_trip *trip = &agent->trips[i];
        struct asked *asked;
        if (trip->asking || !bus_connected(agent->bus) ||
            (asked = calloc(1, sizeof(*asked))) == NULL)
            continue;
        char subject[LIMIT_SUBJECT_BYTES];
        struct error err;
        asked->agent = agent;
        asked->index = i;
        subject_node(i == 0 ? agent->options.name : trip->peer, "echo", subject);
        trip->sent_at = clock_mono_now().us;
        trip->asking =
            bus_request(agent->bus, subject, "", 0, 2 * US_PER_S, trip_answered, asked, &err) == 0;
        if (!trip->asking)
            free(asked);
    }
}

void trips_echo(struct agent *agent, const struct bus_message *message)
{
    struct error err;
    /* Where the answer goes is the asker's choice, and what it says too: only to an inbox, or we
     * would say it in our name. */
    if (!str_starts(message->reply, "_INBOX."))
        return;
    if (bus_publish(agent->bus, message->reply, NULL, message->data, message->bytes, &err) < 0)
        log_event(LOG_DEBUG, "echo.unsent", "reason=\"%s\"", err.text);
}

static void probe_send(struct agent *agent, int index)
{
    struct probe *probe = &agent->probes[index];
    struct asked *asked = calloc(1, sizeof(*asked));
    struct error err = {.text = "no memory"};
    int rc = ERR_NO_MEMORY;
    if (asked != NULL) {
        asked->agent = agent;
        asked->index = index;
        memcpy(asked->id, probe->id, sizeof(asked->id));
        probe->sent_at = clock_mono_now().us;
        probe->outcome.sent++;
        rc = bus_request(agent->bus, probe->subject, "", 0, probe->timeout_us, probe_answered,
                         asked, &err);
    }
    if (rc < 0) {
        free(asked);
        str_format(probe->outcome.text, sizeof(probe->outcome.text), "%.250s", err.text);
        probe_end(agent, probe);
    }
}

static void probe_answered(void *context, const struct bus_message *message)
{
    struct asked *asked = context;
    struct agent *agent = asked->agent;
    struct probe *probe = &agent->probes[asked->index];
    bool mine = probe->used && str_equal(probe->id, asked->id);
    int index = asked->index;
    free(asked);
    if (!mine)
        return;
    struct message_probed *outcome = &probe->outcome;
    int64_t rtt_us = clock_mono_now().us - probe->sent_at;
    size_t expected = strlen(probe->instance);
    if (message->status == 503)
        str_format(outcome->text, sizeof(outcome->text), "nobody answers on %.200s",
                   probe->subject);
    else if (message->status != 0)
        str_format(outcome->text, sizeof(outcome->text), "no answer in time from %.200s",
                   probe->subject);
    else if (message->bytes != expected || memcmp(message->data, probe->instance, expected) != 0)
        str_format(outcome->text, sizeof(outcome->text), "another instance answered: '%.64s'",
                   message->data);
    else {
        outcome->answered++;
        outcome->rtt_us = rtt_us > outcome->rtt_us ? rtt_us : outcome->rtt_us;
    }
    if (outcome->sent < probe->count)
        probe_send(agent, index);
    else
        probe_end(agent, probe);
}

static void probe_end(struct agent *agent, struct probe *probe)
{
    struct node_event event;
    agent_event(&event, NODE_EV_PROBED, probe->instance);
    event.probed = probe->outcome;
    probe->used = false;
    agent_feed(agent, &event);
}

static void trip_answered(void *context, const struct bus_message *message)
{
    struct asked *asked = context;
    struct round_trip *trip = &asked->agent->trips[asked->index];
    trip->asking = false;
    if (message->status == 0)
        trip->rtt_us = clock_mono_now().us - trip->sent_at;
    free(asked);
}
