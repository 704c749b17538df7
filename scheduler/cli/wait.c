#include "scheduler/cli/wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"

#define POLL_US     (100 * US_PER_MS)
#define STUCK_LOOKS 10 /* looks at an unchanged, unsatisfied state before it is called stuck */

/* One look at the scheduler; the answers belong together when the record did not grow meanwhile. */
struct look {
    struct client_reply info;
    struct client_reply handoffs;
    struct client_reply apps;
    struct client_reply sites;
    bool whole;
};

/* A step that a handoff took since the last look. */
struct fresh_step {
    json_t *handoff;
    const char *state;
    int64_t at_us;
    int64_t took_us; /* since the step before; 0: the first */
};

static int look_take(const struct wait *wait, struct client *client, struct look *ret_look,
                     struct error *err);
static void look_done(struct look *look);
static int ask(const struct wait *wait, struct client *client, const char *verb, const char *kind,
               struct client_reply *ret_reply, struct error *err);
static int show_steps(struct wait *wait, const struct look *look, struct error *err);
static size_t fresh_steps(const struct wait *wait, json_t *handoff, struct fresh_step *fresh);
static int show_step(const struct wait *wait, const struct fresh_step *step, struct error *err);
static bool quiet(const struct wait *wait, const struct look *look);
static bool satisfied(const struct wait *wait, const struct look *look, char *why, size_t capacity);
static bool carries(const struct look *look, const char *site, const struct reference_tag *tag);
static int stuck(const struct wait *wait, const struct look *look, const char *why,
                 struct error *err);

int wait_begin(struct wait *wait, struct client *client, struct error *err)
{
    struct client_reply info;
    int rc = ask(wait, client, "info", "", &info, err);
    if (rc < 0)
        return rc;
    wait->begin_us = json_number(info.json, "now_us");
    client_reply_done(&info);
    wait->handoffs = json_object();
    return wait->handoffs == NULL ? error_set(err, ERR_NO_MEMORY, 0, "no memory to wait") : 0;
}

int wait_run(struct wait *wait, struct client *client, struct error *err)
{
    struct mono began = clock_mono_now();
    int stuck_looks = 0;
    for (;;) {
        struct look look = {.whole = false};
        int rc = look_take(wait, client, &look, err);
        if (rc == 0)
            rc = show_steps(wait, &look, err);
        if (rc < 0) {
            look_done(&look);
            return rc;
        }
        char why[LIMIT_TEXT_BYTES] = "";
        bool still = look.whole && quiet(wait, &look);
        bool good = satisfied(wait, &look, why, sizeof(why));
        stuck_looks = still && !good ? stuck_looks + 1 : 0;
        bool over = clock_mono_now().us - began.us > wait->timeout_us;
        if (still && good)
            rc = 1;
        else if (stuck_looks >= STUCK_LOOKS)
            rc = stuck(wait, &look, why, err);
        else if (over)
            rc = error_set(err, ERR_TIMEOUT, 0,
                           "not there after waiting as long as --wait-timeout allows: %s; it goes "
                           "on in the background: berth get handoffs, berth events -f",
                           why[0] == 0 ? "something is still moving" : why);
        look_done(&look);
        if (rc != 0)
            return rc < 0 ? rc : 0;
        nanosleep(&(struct timespec){.tv_nsec = POLL_US * 1000}, NULL);
    }
}

void wait_done(struct wait *wait)
{
    json_decref(wait->handoffs);
    wait->handoffs = NULL;
}

void wait_summary(const struct wait *wait, struct strbuf *out)
{
    int done = 0;
    int back = 0;
    const char *id;
    json_t *each;
    json_object_foreach(wait->handoffs, id, each)
    {
        done += str_equal(json_text(each, "state"), "done") ? 1 : 0;
        back += str_equal(json_text(each, "state"), "back") ? 1 : 0;
    }
    if (done + back == 0)
        strbuf_puts(out, "nothing had to move\n");
    else if (back == 0)
        strbuf_printf(out, "%d handoff%s done\n", done, done == 1 ? "" : "s");
    else
        strbuf_printf(out, "%d handoff%s done, %d went back\n", done, done == 1 ? "" : "s", back);
}

bool handoff_has_ended(const char *state)
{
    return str_equal(state, "done") || str_equal(state, "back");
}

static int look_take(const struct wait *wait, struct client *client, struct look *ret_look,
                     struct error *err)
{
    struct look look = {.whole = false};
    struct client_reply again = {.json = NULL};
    int rc = ask(wait, client, "info", "", &look.info, err);
    if (rc == 0)
        rc = ask(wait, client, "get", "handoffs", &look.handoffs, err);
    if (rc == 0)
        rc = ask(wait, client, "get", "apps", &look.apps, err);
    if (rc == 0 && wait->tag.key[0] != 0)
        rc = ask(wait, client, "get", "sites", &look.sites, err);
    if (rc == 0)
        rc = ask(wait, client, "info", "", &again, err);
    if (rc < 0) {
        look_done(&look);
        return rc;
    }
    look.whole =
        json_number(look.info.json, "journal_seq") == json_number(again.json, "journal_seq");
    client_reply_done(&again);
    *ret_look = look;
    return 0;
}

static void look_done(struct look *look)
{
    client_reply_done(&look->info);
    client_reply_done(&look->handoffs);
    client_reply_done(&look->apps);
    client_reply_done(&look->sites);
}

static int ask(const struct wait *wait, struct client *client, const char *verb, const char *kind,
               struct client_reply *ret_reply, struct error *err)
{
    struct message_request request;
    client_request_init(&request, str_equal(kind, "sites") ? NULL : &wait->reference);
    if (wait->reference.app[0] == 0)
        request.namespace_[0] = 0; /* everything */
    if (str_equal(kind, "apps"))
        request.workload[0] = 0;
    str_format(request.kind, sizeof(request.kind), "%s", kind);
    return client_call(client, verb, &request, ret_reply, err);
}

/* Prints the steps that were not there at the last look, in the order of their instants, and keeps
 * what was seen. */
static int show_steps(struct wait *wait, const struct look *look, struct error *err)
{
    const json_t *items = json_object_get(look->handoffs.json, "items");
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(items); i++)
        count += json_array_size(json_object_get(json_array_get(items, i), "steps"));
    CLEANUP(cleanup_free) struct fresh_step *fresh = calloc(count + 1, sizeof(*fresh));
    if (fresh == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to wait");
    count = 0;
    /* The newest come first; of one instant, the one that began first is told first. */
    for (size_t i = json_array_size(items); i > 0; i--)
        count += fresh_steps(wait, json_array_get(items, i - 1), &fresh[count]);
    for (size_t i = 1; i < count; i++)
        for (size_t k = i; k > 0 && fresh[k].at_us < fresh[k - 1].at_us; k--) {
            struct fresh_step moved = fresh[k];
            fresh[k] = fresh[k - 1];
            fresh[k - 1] = moved;
        }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = show_step(wait, &fresh[i], err);
    for (size_t i = 0; rc == 0 && i < count; i++)
        if (json_object_set(wait->handoffs, json_text(fresh[i].handoff, "id"), fresh[i].handoff) <
            0)
            rc = error_set(err, ERR_NO_MEMORY, 0, "no memory to wait");
    return rc;
}

/* Those of one handoff; how many. */
static size_t fresh_steps(const struct wait *wait, json_t *handoff, struct fresh_step *fresh)
{
    const json_t *steps = json_object_get(handoff, "steps");
    const json_t *known = json_object_get(wait->handoffs, json_text(handoff, "id"));
    int64_t first_us = json_number(json_array_get(steps, 0), "at_us");
    if (known == NULL && first_us < wait->begin_us &&
        handoff_has_ended(json_text(handoff, "state")))
        return 0;
    size_t count = 0;
    int64_t before_us = 0;
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i);
        int64_t at_us = json_number(step, "at_us");
        if (i >= json_array_size(json_object_get(known, "steps")))
            fresh[count++] = (struct fresh_step){
                .handoff = handoff,
                .state = json_text(step, "state"),
                .at_us = at_us,
                .took_us = before_us == 0 ? 0 : at_us - before_us,
            };
        before_us = at_us;
    }
    return count;
}

static int show_step(const struct wait *wait, const struct fresh_step *step, struct error *err)
{
    if (wait->quiet)
        return 0;
    char at[SHOW_BYTES];
    char took[SHOW_BYTES] = "";
    char replica[32] = "";
    const json_t *handoff = step->handoff;
    const char *state = step->state;
    const char *from = json_text(handoff, "from_site");
    const char *to = json_text(handoff, "to_site");
    if (step->took_us > 0)
        show_duration(step->took_us, took);
    if (json_number(handoff, "replica") > 0)
        snprintf(replica, sizeof(replica), "#%" PRId64, json_number(handoff, "replica"));
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    show_instant(step->at_us, at);
    text_styled(&out, wait->color, STYLE_DIM, "%s  ", at + (strlen(at) > 11 ? 11 : 0));
    text_styled(&out, wait->color, STYLE_PLAIN, "%s/%s%s  %s%s%s  ", json_text(handoff, "app"),
                json_text(handoff, "workload"), replica, from[0] == 0 ? "start at" : from,
                from[0] == 0 ? " "
                : to[0] == 0 ? " → nowhere"
                             : " → ",
                to);
    enum style style = str_equal(state, "done")                                    ? STYLE_GREEN
                       : str_equal(state, "back") || str_equal(state, "returning") ? STYLE_RED
                                                                                   : STYLE_CYAN;
    text_styled(&out, wait->color, style, "%s", state);
    if (took[0] != 0)
        text_styled(&out, wait->color, STYLE_DIM, "  +%s", took);
    if (str_equal(state, "lingering") && json_number(handoff, "linger_us") > 0) {
        char linger[SHOW_BYTES];
        char rtt[SHOW_BYTES];
        text_styled(&out, wait->color, STYLE_DIM, "  for %s (round trip %s)",
                    show_duration(json_number(handoff, "linger_us"), linger),
                    show_duration(json_number(handoff, "rtt_us"), rtt));
    }
    if (str_equal(state, "done") && from[0] != 0 && to[0] != 0 && !json_truth(handoff, "proven"))
        text_styled(&out, wait->color, STYLE_YELLOW, "  drain not proven");
    if (style == STYLE_RED && json_text(handoff, "text")[0] != 0)
        text_styled(&out, wait->color, STYLE_PLAIN, "  %s", json_text(handoff, "text"));
    strbuf_puts(&out, "\n");
    int rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

/* No plan is being made and nothing of ours is under way. */
static bool quiet(const struct wait *wait, const struct look *look)
{
    (void)wait;
    if (json_truth(look->info.json, "planning"))
        return false;
    size_t index;
    json_t *each;
    json_array_foreach(json_object_get(look->handoffs.json, "items"), index, each)
    {
        if (!handoff_has_ended(json_text(each, "state")))
            return false;
    }
    return true;
}

/* `why` gets a sentence about the first thing that is missing. */
static bool satisfied(const struct wait *wait, const struct look *look, char *why, size_t capacity)
{
    const json_t *apps = json_object_get(look->apps.json, "items");
    if (wait->gone) {
        snprintf(why, capacity, "instances of %s are still being stopped", wait->reference.app);
        return json_array_size(apps) == 0;
    }
    if (wait->reference.app[0] != 0 && json_array_size(apps) == 0) {
        snprintf(why, capacity, "app %s is not there any more", wait->reference.app);
        return false;
    }
    size_t index;
    size_t inner;
    json_t *app;
    json_t *each;
    json_array_foreach(apps, index, app)
    {
        json_array_foreach(json_object_get(app, "workloads"), inner, each)
        {
            const char *name = json_text(each, "name");
            if (wait->reference.workload[0] != 0 && !str_equal(wait->reference.workload, name))
                continue;
            /* Data runs nowhere; a part that shares is served by its lead's instances. */
            bool own =
                !str_equal(json_text(each, "kind"), "data") && json_text(each, "served_by")[0] == 0;
            if (own && json_number(each, "ready") < json_number(each, "replicas")) {
                snprintf(why, capacity, "%s/%s has %" PRId64 " of %" PRId64 " replicas ready",
                         json_text(app, "name"), name, json_number(each, "ready"),
                         json_number(each, "replicas"));
                return false;
            }
            if (wait->tag.key[0] != 0 && wait->tag.value[0] != 0 &&
                !carries(look, json_text(each, "site"), &wait->tag)) {
                snprintf(why, capacity, "%s/%s is still at %s, which is not %s=%s",
                         json_text(app, "name"), name, json_text(each, "site"), wait->tag.key,
                         wait->tag.value);
                return false;
            }
        }
    }
    return true;
}

static bool carries(const struct look *look, const char *site, const struct reference_tag *tag)
{
    size_t index;
    json_t *each;
    json_array_foreach(json_object_get(look->sites.json, "items"), index, each)
    {
        if (str_equal(json_text(each, "name"), site))
            return str_equal(json_text(json_object_get(each, "tags"), tag->key), tag->value);
    }
    return false;
}

/* Nothing moves and it is not as asked: says why, the newest reason first. */
static int stuck(const struct wait *wait, const struct look *look, const char *why,
                 struct error *err)
{
    size_t index;
    json_t *each;
    json_array_foreach(json_object_get(look->handoffs.json, "items"), index, each)
    {
        const char *id = json_text(each, "id");
        if (json_object_get(wait->handoffs, id) != NULL &&
            str_equal(json_text(each, "state"), "back"))
            return error_set(err, ERR_UNAVAILABLE, 0,
                             "%s; the handoff of %s/%s to %s went back: %s. What ran before still "
                             "does. Look at: berth logs %s/%s",
                             why, json_text(each, "app"), json_text(each, "workload"),
                             json_text(each, "to_site"), json_text(each, "text"),
                             json_text(each, "app"), json_text(each, "workload"));
    }
    const char *plan = json_text(look->info.json, "plan");
    return error_set(err, ERR_UNAVAILABLE, 0,
                     "%s, and nothing is under way. The last plan: %s. Look at: berth get nodes, "
                     "berth plan",
                     why, plan[0] == 0 ? "none was made" : plan);
}
