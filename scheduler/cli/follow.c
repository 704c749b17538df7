#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/bus/subjects.h"
#include "base/clock.h"
#include "scheduler/cli/client.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"
#include "scheduler/cli/terminal.h"

#define MESSAGES_MAX 256

struct events_options {
    int64_t since;
    bool follow;
};

struct logs_options {
    bool follow;
};

/* What the handlers of a following command need. */
struct follow {
    struct cli *cli;
    struct client *client;
    struct reference reference; /* app "": everything */
    uint64_t last;              /* the highest sequence seen */
    uint64_t told;              /* up to here the history has told everything */
    int signals;                /* a descriptor that Ctrl-C makes readable */
    int rc;
    struct error *err;
};

static int run_events(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err);
static int run_logs(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err);
static int reference_any(const char *text, struct reference *ret_reference, struct error *err);
static int history(struct follow *follow, struct error *err);
static int print_event(const struct follow *follow, const json_t *event, struct error *err);
static void on_event(void *context, const struct bus_message *message);
static void on_log(void *context, const struct bus_message *message);
static int print_log(const struct follow *follow, const json_t *line, struct error *err);
static int loop(struct follow *follow, bool events, struct error *err);
static bool wanted(const struct reference *reference, const json_t *event);

static const struct option_row events_rows[] = {
    {"follow", 'f', OPTION_FLAG, NULL, "go on with what happens from now, until Ctrl-C",
     offsetof(struct events_options, follow), 0, 0},
    {"since", 0, OPTION_INT, "N", "only events after that number of the journal",
     offsetof(struct events_options, since), 0, INT64_MAX},
};

static const struct option_row logs_rows[] = {
    {"follow", 'f', OPTION_FLAG, NULL, "until Ctrl-C (logs are always followed; kept for habit)",
     offsetof(struct logs_options, follow), 0, 0},
};

const struct command command_events = {
    .name = "events",
    .synopsis = "[[NS/]APP[/WORKLOAD]] [-f] [--since N]",
    .summary = "What happened: applies, plans, each step of each handoff, nodes",
    .text =
        "With --json, one event a line. The scheduler keeps the last 4096 in memory; the stream\n"
        "berth_events has older ones.\n",
    .examples = "  berth events -f\n  berth events shop/source --since 120\n"
                "  berth events -f --json | jq -c 'select(.name == \"handoff.step\")'\n",
    .rows = events_rows,
    .row_count = sizeof(events_rows) / sizeof(events_rows[0]),
    .options_bytes = sizeof(struct events_options),
    .words_max = 1,
    .words = {WORD_WORKLOAD},
    .run = run_events,
};

const struct command command_logs = {
    .name = "logs",
    .synopsis = "[NS/]APP[/WORKLOAD] [-f]",
    .summary = "What workloads print, as it comes, from whatever node they are on",
    .text =
        "A workload's earlier output is on its node's disk: DIR/nodes/NODE/... of `berth up`.\n",
    .examples = "  berth logs shop/source\n  berth logs shop --json\n",
    .rows = logs_rows,
    .row_count = sizeof(logs_rows) / sizeof(logs_rows[0]),
    .options_bytes = sizeof(struct logs_options),
    .words_min = 1,
    .words_max = 1,
    .words = {WORD_WORKLOAD},
    .run = run_logs,
};

static int run_events(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err)
{
    const struct events_options *given = options;
    struct follow follow = {.cli = cli, .last = (uint64_t)given->since, .err = err};
    int rc = words->count == 0 ? 0 : reference_any(words->items[0], &follow.reference, err);
    if (rc == 0 && given->follow)
        rc = terminal_signals(&follow.signals, err);
    CLEANUP(cleanup_client) struct client *client = NULL;
    if (rc == 0)
        rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    follow.client = client;
    /* Heard from before the history is asked for: nothing falls between the two. */
    struct bus_subscription *subscription = NULL;
    if (given->follow)
        rc = bus_subscribe(client->bus, SUBJECT_EVENT_ALL, NULL, on_event, &follow, &subscription,
                           err);
    if (rc == 0)
        rc = history(&follow, err);
    if (rc == 0 && given->follow)
        rc = loop(&follow, true, err);
    bus_unsubscribe(subscription);
    return rc;
}

static int run_logs(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err)
{
    (void)options;
    struct follow follow = {.cli = cli, .err = err};
    int rc = reference_any(words->items[0], &follow.reference, err);
    if (rc == 0)
        rc = terminal_signals(&follow.signals, err);
    CLEANUP(cleanup_client) struct client *client = NULL;
    if (rc == 0)
        rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    follow.client = client;
    struct bus_subscription *subscription = NULL;
    rc = bus_subscribe(client->bus, SUBJECT_LOG_ALL, NULL, on_log, &follow, &subscription, err);
    if (rc == 0)
        rc = loop(&follow, false, err);
    bus_unsubscribe(subscription);
    return rc;
}

/* "shop" is an app; "shop/source" a workload; "team-a/shop/source" with its namespace. */
static int reference_any(const char *text, struct reference *ret_reference, struct error *err)
{
    return strchr(text, '/') == NULL ? reference_app(text, ret_reference, err)
                                     : reference_workload(text, ret_reference, err);
}

/* What the scheduler remembers, from the last seen on, in order. */
static int history(struct follow *follow, struct error *err)
{
    for (;;) {
        struct message_request request;
        struct client_reply reply;
        client_request_init(&request, follow->reference.app[0] == 0 ? NULL : &follow->reference);
        request.since = follow->last;
        int rc = client_call(follow->client, "events", &request, &reply, err);
        if (rc < 0)
            return rc;
        const json_t *items = json_object_get(reply.json, "items");
        size_t index;
        json_t *each;
        json_array_foreach(items, index, each)
        {
            if (rc == 0)
                rc = print_event(follow, each, err);
        }
        uint64_t last = (uint64_t)json_number(reply.json, "last");
        bool more = json_array_size(items) > 0 && last > follow->last;
        if (last > follow->last)
            follow->last = last;
        follow->told = follow->last;
        client_reply_done(&reply);
        if (rc < 0 || !more)
            return rc;
    }
}

static int print_event(const struct follow *follow, const json_t *event, struct error *err)
{
    struct strbuf out;
    char at[SHOW_BYTES];
    strbuf_init(&out, CLI_TEXT_BYTES);
    bool color = follow->cli->color;
    if (follow->cli->common.json) {
        char *text = json_dumps(event, JSON_COMPACT);
        strbuf_printf(&out, "%s\n", text == NULL ? "" : text);
        cleanup_free(&text);
    } else {
        const char *ns = json_text(event, "namespace");
        const char *app = json_text(event, "app");
        const char *workload = json_text(event, "workload");
        bool plain = str_equal(ns, "default") || ns[0] == 0;
        const char *state = json_text(event, "state");
        text_styled(&out, color, STYLE_DIM, "%s  %5" PRId64 "  ",
                    show_instant(json_number(event, "wall_us"), at), json_number(event, "seq"));
        text_styled(&out, color, STYLE_CYAN, "%-16s", json_text(event, "name"));
        if (app[0] != 0)
            text_styled(&out, color, STYLE_BOLD, "  %s%s%s%s%s", plain ? "" : ns, plain ? "" : "/",
                        app, workload[0] == 0 ? "" : "/", workload);
        if (json_text(event, "node")[0] != 0)
            text_styled(&out, color, STYLE_PLAIN, "  node %s", json_text(event, "node"));
        if (state[0] != 0)
            text_styled(&out, color, STYLE_GREEN, "  %s", state);
        if (json_text(event, "text")[0] != 0)
            text_styled(&out, color, STYLE_PLAIN, "  %s", json_text(event, "text"));
        strbuf_puts(&out, "\n");
    }
    int rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static void on_event(void *context, const struct bus_message *message)
{
    struct follow *follow = context;
    if (follow->rc < 0)
        return;
    json_error_t problem;
    CLEANUP(cleanup_json) json_t *event = json_loadb(message->data, message->bytes, 0, &problem);
    if (event == NULL || !wanted(&follow->reference, event))
        return;
    uint64_t seq = (uint64_t)json_number(event, "seq");
    /* The history tells whole records, also those whose events were on their way already. */
    if (seq <= follow->told)
        return;
    follow->last = seq > follow->last ? seq : follow->last;
    follow->rc = print_event(follow, event, follow->err);
}

static void on_log(void *context, const struct bus_message *message)
{
    struct follow *follow = context;
    const struct reference *reference = &follow->reference;
    char ns[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    if (follow->rc < 0 || subject_token(message->subject, 3, ns, sizeof(ns)) < 0 ||
        subject_token(message->subject, 4, app, sizeof(app)) < 0 ||
        subject_token(message->subject, 5, workload, sizeof(workload)) < 0 ||
        !str_equal(ns, reference->namespace_) || !str_equal(app, reference->app) ||
        (reference->workload[0] != 0 && !str_equal(workload, reference->workload)))
        return;
    json_error_t problem;
    CLEANUP(cleanup_json) json_t *line = json_loadb(message->data, message->bytes, 0, &problem);
    if (line == NULL)
        return;
    (void)json_object_set_new(line, "workload", json_string(workload));
    follow->rc = print_log(follow, line, follow->err);
}

static int print_log(const struct follow *follow, const json_t *line, struct error *err)
{
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    bool color = follow->cli->color;
    if (follow->cli->common.json) {
        char *dump = json_dumps(line, JSON_COMPACT);
        strbuf_printf(&out, "%s\n", dump == NULL ? "" : dump);
        cleanup_free(&dump);
    } else {
        bool error_stream = json_number(line, "stream") == 2;
        text_styled(&out, color, STYLE_CYAN, "%s@%s", json_text(line, "workload"),
                    json_text(line, "node"));
        text_styled(&out, color, error_stream ? STYLE_YELLOW : STYLE_PLAIN, "  %s\n",
                    json_text(line, "text"));
    }
    int rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

/* Until Ctrl-C, or output that nobody reads any more. */
static int loop(struct follow *follow, bool events, struct error *err)
{
    CLEANUP(cleanup_close) int signals = follow->signals;
    uint64_t reconnects = bus_stats(follow->client->bus).reconnects;
    for (;;) {
        if (terminal_signalled(signals))
            return 0;
        /* Before the first message of the new connection: what came meanwhile is behind `last`. */
        uint64_t now = bus_stats(follow->client->bus).reconnects;
        if (events && now != reconnects && bus_connected(follow->client->bus)) {
            reconnects = now;
            struct error told; /* a scheduler that is not back yet: its events still come */
            int rc = history(follow, &told);
            if (rc == ERR_IO) {
                *err = told;
                return rc;
            }
        }
        (void)bus_dispatch(follow->client->bus, MESSAGES_MAX);
        if (follow->rc < 0)
            return follow->rc;
        struct pollfd fds[] = {{.fd = bus_fd(follow->client->bus), .events = POLLIN},
                               {.fd = signals, .events = POLLIN},
                               {.fd = STDOUT_FILENO, .events = 0}};
        (void)poll(fds, 3, 1000);
        if ((fds[2].revents & (POLLERR | POLLHUP)) != 0)
            return 0; /* `berth events -f | head` */
    }
}

static bool wanted(const struct reference *reference, const json_t *event)
{
    return reference->app[0] == 0 ||
           (str_equal(json_text(event, "namespace"), reference->namespace_) &&
            str_equal(json_text(event, "app"), reference->app) &&
            (reference->workload[0] == 0 ||
             str_equal(json_text(event, "workload"), reference->workload)));
}
