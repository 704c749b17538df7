#include "scheduler/cli/plan_call.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bus/subjects.h"
#include "base/clock.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/terminal.h"

#define LOOK_US   (100 * US_PER_MS) /* between two looks at what has come */
#define ASK_US    (500 * US_PER_MS) /* between two questions how far it is */
#define LINE_US   (5 * US_PER_S)    /* between two lines where they stay */
#define CANCEL_US (6 * US_PER_S)    /* for the answer after Ctrl-C; the scheduler waits less */
/* A solve may be as long as it is asked to be; what ends the wait is a scheduler that is silent. */
#define ANSWER_US (INT64_C(8) * 24 * 3600 * US_PER_S)

/* What comes back from the bus, and when. */
struct follow {
    struct client *client;
    struct plan_call *call;
    char id[LIMIT_ID_BYTES];
    char *answer;
    size_t answer_bytes;
    int status; /* of the answer: 503, 408; 0 */
    bool answered;
    bool asking; /* a question how far it is has no answer yet */
    bool lost;   /* the scheduler does not know of it */
    int64_t began_us;
    int64_t asked_us;
    int64_t heard_us;
    int64_t line_us;
    int64_t cancelled_us;
    bool terminal;
    bool written; /* a line stands on the terminal */
};

static int send(struct follow *follow, const char *verb, struct message_request *request,
                struct error *err);
static void on_answer(void *context, const struct bus_message *message);
static void on_news(void *context, const struct bus_message *message);
static int step(struct follow *follow, struct error *err);
static int ask(struct follow *follow, bool cancel, struct error *err);
static void tell(struct follow *follow, const json_t *news);
static void wipe(struct follow *follow);

int plan_call(struct client *client, const char *verb, struct message_request *request,
              struct plan_call *call, struct client_reply *ret_reply, struct error *err)
{
    struct follow follow = {.client = client, .call = call};
    follow.began_us = clock_mono_now().us;
    follow.heard_us = follow.began_us;
    follow.asked_us = follow.began_us + PLAN_CALL_QUIET_US - ASK_US;
    follow.terminal = isatty(STDERR_FILENO) == 1;
    request->id[0] = 0;
    int rc = send(&follow, verb, request, err);
    while (rc == 0 && !follow.answered) {
        struct pollfd wait[2] = {{.fd = bus_fd(client->bus), .events = POLLIN},
                                 {.fd = call->signals, .events = POLLIN}};
        (void)poll(wait, 2, (int)(LOOK_US / US_PER_MS));
        (void)bus_dispatch(client->bus, 64);
        if (follow.answered)
            break;
        if (follow.lost) {
            /* It was started anew, and what it was at is gone: the same question again. */
            follow.lost = false;
            rc = send(&follow, verb, request, err);
        }
        if (rc == 0)
            rc = step(&follow, err);
    }
    wipe(&follow);
    if (rc == 0 && follow.status != 0)
        rc = error_set(err, ERR_UNAVAILABLE, 0,
                       "no scheduler answers at %s; is it running? `berth up` starts one, its log "
                       "is DIR/log/scheduler.log",
                       client->url);
    if (rc == 0)
        rc = client_take_reply(follow.answer, follow.answer_bytes, ret_reply, err);
    free(follow.answer);
    return rc;
}

static int send(struct follow *follow, const char *verb, struct message_request *request,
                struct error *err)
{
    int rc = client_send(follow->client, verb, request, ANSWER_US, on_answer, follow, err);
    memcpy(follow->id, request->id, sizeof(follow->id));
    return rc;
}

/* The first one counts. */
static void on_answer(void *context, const struct bus_message *message)
{
    struct follow *follow = context;
    if (follow->answered)
        return;
    follow->answered = true;
    follow->status = message->status;
    follow->answer = malloc(message->bytes + 1);
    if (follow->answer == NULL) {
        follow->answer_bytes = 0;
        return;
    }
    memcpy(follow->answer, message->data, message->bytes);
    follow->answer[message->bytes] = 0;
    follow->answer_bytes = message->bytes;
}

static void on_news(void *context, const struct bus_message *message)
{
    struct follow *follow = context;
    struct client_reply reply;
    struct error err;
    follow->asking = false;
    if (message->status != 0 || client_take_reply(message->data, message->bytes, &reply, &err) < 0)
        return; /* silence is judged by its length */
    follow->heard_us = clock_mono_now().us;
    follow->lost = str_equal(json_text(reply.json, "state"), "unknown") && !follow->answered;
    if (!follow->lost && follow->cancelled_us == 0)
        tell(follow, reply.json);
    client_reply_done(&reply);
}

/* Ctrl-C, the next question, or the end of patience. */
static int step(struct follow *follow, struct error *err)
{
    int64_t now_us = clock_mono_now().us;
    if (terminal_signalled(follow->call->signals)) {
        wipe(follow);
        if (follow->cancelled_us != 0)
            return error_set(err, ERR_TIMEOUT, 0, "cancelled without waiting for what was found");
        follow->call->cancelled = true;
        follow->cancelled_us = now_us;
        return ask(follow, true, err);
    }
    if (follow->cancelled_us != 0 && now_us - follow->cancelled_us > CANCEL_US)
        return error_set(err, ERR_TIMEOUT, 0,
                         "cancelled; nothing was found before the scheduler had to answer");
    if (now_us - follow->heard_us > follow->client->timeout_us)
        return error_set(err, ERR_TIMEOUT, 0,
                         "the scheduler has said nothing of the plan for as long as --timeout "
                         "allows; it may be busy: try again, or with more");
    if (!follow->asking && now_us - follow->asked_us >= ASK_US)
        return ask(follow, false, err);
    return 0;
}

static int ask(struct follow *follow, bool cancel, struct error *err)
{
    struct message_request request = {.document = ""};
    str_format(request.kind, sizeof(request.kind), "%s", cancel ? "cancel" : "progress");
    str_format(request.value, sizeof(request.value), "%s", follow->id);
    follow->asking = true;
    follow->asked_us = clock_mono_now().us;
    struct error refused;
    int rc = client_send(follow->client, "solving", &request, follow->client->timeout_us, on_news,
                         follow, &refused);
    if (rc < 0)
        follow->asking = false;
    /* While the connection is away there is nobody to ask: it comes back, or patience ends. */
    return rc == 0 || rc == ERR_UNAVAILABLE ? 0 : error_set(err, rc, 0, "%s", refused.text);
}

static void tell(struct follow *follow, const json_t *news)
{
    char line[4 * SHOW_BYTES + 64];
    char best[SHOW_BYTES] = "nothing yet";
    char bound[SHOW_BYTES] = "";
    char gap[SHOW_BYTES] = "";
    int64_t now_us = clock_mono_now().us;
    if (follow->answered || (!follow->terminal && now_us - follow->line_us < LINE_US))
        return;
    follow->line_us = now_us;
    if (json_text(news, "best_score")[0] != 0)
        (void)show_money(json_text(news, "best_score"), best);
    if (json_text(news, "bound_score")[0] != 0)
        (void)show_money(json_text(news, "bound_score"), bound);
    if (json_object_get(news, "gap_ppm") != NULL)
        str_format(gap, sizeof(gap), ", gap %.4f %%", (double)json_number(news, "gap_ppm") / 1e4);
    double seconds = (double)(now_us - follow->began_us) / 1e6;
    if (str_equal(json_text(news, "state"), "waiting"))
        str_format(line, sizeof(line), "planning: waits for another solve, %.0f s", seconds);
    else
        str_format(line, sizeof(line), "planning: best %s%s%s%s, %.0f s (Ctrl-C: the best so far)",
                   best, bound[0] == 0 ? "" : ", bound ", bound, gap, seconds);
    if (follow->terminal)
        fprintf(stderr, "\r\033[K%s", line);
    else
        fprintf(stderr, "%s\n", line);
    fflush(stderr);
    follow->written = follow->terminal;
}

static void wipe(struct follow *follow)
{
    if (follow->written)
        fputs("\r\033[K", stderr);
    follow->written = false;
}
