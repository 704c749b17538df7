/*
 * Moves of many at once: what would happen is shown first, in the order in which it will; then
 * exactly that is asked for, or nothing. Progress is told as it comes. Ctrl-C cancels: what is
 * under way ends, nothing further begins; a second one only stops looking.
 */
#include "scheduler/cli/operate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"
#include "scheduler/cli/terminal.h"

#define POLL_US (100 * US_PER_MS)

struct place_options { /* of drain and uncordon */
    const char *kind;
    bool no_wait;
};

/* An operation that is looked at until it has ended. */
struct follow {
    struct cli *cli;
    struct client *client;
    int signals;
    bool cancelled;
    char *seen; /* [step]: the state that was told, as its first letter; 0: none */
    size_t seen_count;
};

static int run_evacuate(struct cli *cli, void *options, const struct option_words *words,
                        struct error *err);
static int run_drain(struct cli *cli, void *options, const struct option_words *words,
                     struct error *err);
static int run_uncordon(struct cli *cli, void *options, const struct option_words *words,
                        struct error *err);
static int run_rollback(struct cli *cli, void *options, const struct option_words *words,
                        struct error *err);
static int run_cancel(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err);
static int prepare(struct client *client, const struct operate_options *options,
                   const struct reference *reference, bool cordon, struct client_reply *ret_reply,
                   struct error *err);
static int show_plan(struct cli *cli, const struct client_reply *reply, bool asks,
                     struct error *err);
static int begin(struct client *client, const json_t *plan, const char *text,
                 char ret_id[LIMIT_ID_BYTES], struct error *err);
static int follow_operation(struct follow *follow, const char *id, struct error *err);
static int look(struct follow *follow, const char *id, bool *ret_over, int *ret_code,
                struct error *err);
static int tell_steps(struct follow *follow, const json_t *operation, struct error *err);
static int interrupted(struct follow *follow, const char *id, struct error *err);
static int end_operation(struct cli *cli, const char *id, const char *kind, bool waits,
                         struct error *err);
static int call_cordon(struct client *client, const char *kind, const char *name, bool on,
                       struct error *err);
static int watch_node(struct cli *cli, struct client *client, const char *node, struct error *err);
static int kind_of(struct client *client, const char *name, const char **ret_kind,
                   struct error *err);
static int say(const struct cli *cli, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static const struct option_row evacuate_rows[] = {
    {"to", 0, OPTION_TEXT, "PLACE",
     "a provider, a site or a tag (key=value); default: wherever it costs least",
     offsetof(struct operate_options, to), 0, 0},
    OPERATE_ROWS(struct operate_options, , ""),
};

const struct command command_evacuate = {
    .name = "evacuate",
    .synopsis = "PROVIDER|SITE [--to PLACE] [--at-once N] [--dry-run] [--yes] [--no-wait]",
    .summary = "Move everything away from a provider or a site, and let nothing new go there",
    .text =
        "Each workload goes where it costs least elsewhere, as an ordered list of handoffs in "
        "which\nno request is lost; the order keeps the cost of the way there least. Nothing new "
        "is placed\nthere until `berth uncordon`. Data sets stay: people move heavy bytes. Ctrl-C "
        "cancels:\nwhat is under way ends, nothing further begins. Ends with 1 when a step went "
        "back;\n--dry-run ends with 2 when there is something to move.\n",
    .examples = "  berth evacuate gcp --dry-run\n"
                "  berth evacuate gcp --to aws --at-once 3 --yes\n"
                "  berth rollback op1z\n",
    .rows = evacuate_rows,
    .row_count = sizeof(evacuate_rows) / sizeof(evacuate_rows[0]),
    .options_bytes = sizeof(struct operate_options),
    .words_min = 1,
    .words_max = 1,
    .words = {WORD_SITE},
    .run = run_evacuate,
};

static const struct option_row drain_rows[] = {
    {"no-wait", 0, OPTION_FLAG, NULL, "do not wait until it is empty",
     offsetof(struct place_options, no_wait), 0, 0},
};

const struct command command_drain = {
    .name = "drain",
    .synopsis = "NODE [--no-wait]",
    .summary = "Empty a node: what runs there moves to others, and nothing new is placed there",
    .text =
        "To another node of its site when one has room, else where it costs least. `berth uncordon "
        "NODE`\nopens it again. Ctrl-C stops looking; the node goes on being emptied.\n",
    .examples = "  berth drain edge-nyc-3\n"
                "  berth uncordon edge-nyc-3\n",
    .rows = drain_rows,
    .row_count = sizeof(drain_rows) / sizeof(drain_rows[0]),
    .options_bytes = sizeof(struct place_options),
    .words_min = 1,
    .words_max = 1,
    .words = {WORD_NONE},
    .run = run_drain,
};

const struct command command_uncordon = {
    .name = "uncordon",
    .synopsis = "NODE|SITE|PROVIDER",
    .summary = "Open again what was drained or evacuated",
    .text = "Nothing moves back by itself but what pays; `berth rollback` undoes an operation.\n",
    .examples = "  berth get cordons\n"
                "  berth uncordon gcp\n",
    .words_min = 1,
    .words_max = 1,
    .words = {WORD_SITE},
    .run = run_uncordon,
};

static const struct option_row rollback_rows[] = {
    {"no-wait", 0, OPTION_FLAG, NULL, "do not follow it to its end",
     offsetof(struct place_options, no_wait), 0, 0},
};

const struct command command_rollback = {
    .name = "rollback",
    .synopsis = "OPERATION [--no-wait]",
    .summary = "Undo an operation: each workload goes back to where it was, last first",
    .text =
        "Of one that still runs nothing further begins, and what is under way goes back as well.\n"
        "What has gone elsewhere since is left alone; the cordon that it brought is lifted.\n",
    .examples = "  berth get operations\n"
                "  berth rollback op1z\n",
    .rows = rollback_rows,
    .row_count = sizeof(rollback_rows) / sizeof(rollback_rows[0]),
    .options_bytes = sizeof(struct place_options),
    .words_min = 1,
    .words_max = 1,
    .words = {WORD_NONE},
    .run = run_rollback,
};

const struct command command_cancel = {
    .name = "cancel",
    .synopsis = "OPERATION [--no-wait]",
    .summary = "End an operation: what is under way ends, nothing further begins",
    .text = "What is done stays; `berth rollback` undoes that too. The cordon that it brought is "
            "lifted.\n",
    .examples = "  berth cancel op1z\n",
    .rows = rollback_rows,
    .row_count = sizeof(rollback_rows) / sizeof(rollback_rows[0]),
    .options_bytes = sizeof(struct place_options),
    .words_min = 1,
    .words_max = 1,
    .words = {WORD_NONE},
    .run = run_cancel,
};

static int run_evacuate(struct cli *cli, void *options, const struct option_words *words,
                        struct error *err)
{
    struct operate_options *given = options;
    given->from = words->items[0];
    return operate_run(cli, given, NULL, true, err);
}

int operate_run(struct cli *cli, const struct operate_options *options,
                const struct reference *reference, bool cordon, struct error *err)
{
    CLEANUP(cleanup_close) int signals = -1;
    bool follows = !options->dry_run && !options->no_wait;
    int rc = follows ? terminal_signals(&signals, err) : 0;
    struct follow follow = {.cli = cli, .signals = signals};
    CLEANUP(cleanup_client) struct client *client = NULL;
    struct client_reply reply = {.json = NULL};
    if (rc == 0)
        rc = client_open(cli, &client, err);
    if (rc == 0)
        rc = prepare(client, options, reference, cordon, &reply, err);
    if (rc < 0)
        return rc;
    follow.client = client;
    bool any = json_array_size(json_object_get(reply.json, "steps")) > 0;
    bool asks = !options->yes && !options->dry_run && terminal_asks(cli);
    if (!cli->common.json || options->dry_run)
        rc = show_plan(cli, &reply, asks, err);
    if (rc == 0 && asks && !options->dry_run)
        rc = terminal_confirm("nothing was changed", err);
    char id[LIMIT_ID_BYTES] = "";
    char text[LIMIT_TEXT_BYTES];
    str_format(text, sizeof(text), "%s%s%.60s from %.60s%s%.60s", cordon ? "evacuate" : "move ",
               reference == NULL ? "" : reference->app,
               reference == NULL || reference->workload[0] == 0 ? "" : reference->workload,
               options->from, options->to == NULL ? "" : " to ",
               options->to == NULL ? "" : options->to);
    if (rc == 0 && !options->dry_run)
        rc = begin(client, reply.json, text, id, err);
    client_reply_done(&reply);
    if (rc < 0)
        return rc;
    if (options->dry_run)
        return any ? CLI_CHANGES : 0;
    if (!follows)
        return say(cli, err, "operation %s has begun; berth get operations %s\n", id, id);
    return follow_operation(&follow, id, err);
}

static int prepare(struct client *client, const struct operate_options *options,
                   const struct reference *reference, bool cordon, struct client_reply *ret_reply,
                   struct error *err)
{
    struct message_request request;
    client_request_init(&request, NULL);
    CLEANUP(cleanup_json)
    json_t *question = json_pack("{s:s, s:b}", "from", options->from, "cordon", cordon ? 1 : 0);
    int bad = question == NULL;
    if (reference != NULL) {
        bad |= json_object_set_new(question, "namespace", json_string(reference->namespace_));
        bad |= json_object_set_new(question, "app", json_string(reference->app));
        if (reference->workload[0] != 0)
            bad |= json_object_set_new(question, "workload", json_string(reference->workload));
    }
    if (options->to != NULL)
        bad |= json_object_set_new(question, "to", json_string(options->to));
    if (options->at_once > 0)
        bad |= json_object_set_new(question, "at_once", json_integer(options->at_once));
    CLEANUP(cleanup_free) char *document = bad ? NULL : json_dumps(question, JSON_COMPACT);
    if (document == NULL)
        return error_set(err, ERR_NO_MEMORY, 0,
                         "no memory for a request (or a word that is no "
                         "UTF-8)");
    request.document = document;
    int rc = client_call(client, "prepare", &request, ret_reply, err);
    if (rc < 0)
        return rc;
    const char *status = json_text(ret_reply->json, "status");
    if (str_equal(status, "optimal") || str_equal(status, "feasible"))
        return 0;
    const json_t *rules = json_object_get(ret_reply->json, "conflict");
    struct strbuf why;
    strbuf_init(&why, LIMIT_DOC_BYTES);
    for (size_t i = 0; i < json_array_size(rules); i++)
        strbuf_printf(&why, "\n  %s", json_string_value(json_array_get(rules, i)));
    (void)error_set(err, ERR_INVALID, 0,
                    "it cannot all leave %s%s%s: the plan is %s%s%s. These rules cannot hold "
                    "together:%s",
                    options->from, options->to == NULL ? "" : " for ",
                    options->to == NULL ? "" : options->to, status,
                    json_text(ret_reply->json, "text")[0] == 0 ? "" : ", ",
                    json_text(ret_reply->json, "text"), strbuf_text(&why));
    strbuf_done(&why);
    client_reply_done(ret_reply);
    return err->code;
}

static int show_plan(struct cli *cli, const struct client_reply *reply, bool asks,
                     struct error *err)
{
    if (cli->common.json)
        return client_print(reply, err);
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    int rc = operate_write(reply->json, cli->color, &out, err);
    if (asks)
        strbuf_puts(&out, "\nDo this? [y/N] ");
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

int operate_write(const json_t *json, bool color, struct strbuf *out, struct error *err)
{
    const json_t *steps = json_object_get(json, "steps");
    const json_t *stays = json_object_get(json, "stays");
    size_t index;
    json_t *each;
    struct table table;
    table_init(&table, ">STEP|WORKLOAD|FROM|TO|>PAUSE|>TAKES|>ONCE|>BILL AFTER");
    json_array_foreach(steps, index, each)
    {
        char text[SHOW_BYTES];
        bool owner = !str_equal(json_text(each, "handoff"), "overlap");
        table_cell(&table, STYLE_PLAIN, "%zu", index + 1);
        table_cell(&table, STYLE_CYAN, "%s/%s/%s", json_text(each, "namespace"),
                   json_text(each, "app"), json_text(each, "workload"));
        table_cell(&table, STYLE_PLAIN, "%s", json_text(each, "from"));
        table_cell(&table, STYLE_PLAIN, "%s", json_text(each, "to"));
        table_cell(&table, owner ? STYLE_YELLOW : STYLE_PLAIN, "%s%s",
                   !owner                               ? ""
                   : json_truth(each, "pause_measured") ? ""
                                                        : "up to ",
                   owner ? show_duration(json_number(each, "pause_us"), text) : "none");
        table_cell(&table, STYLE_PLAIN, "%s",
                   show_duration(json_number(each, "expected_us"), text));
        table_cell(&table, STYLE_PLAIN, "%s", show_money(json_text(each, "once"), text));
        table_cell(&table, STYLE_PLAIN, "%s", show_money(json_text(each, "bill_after"), text));
    }
    int rc = index == 0 ? 0 : table_write(&table, color, out, err);
    table_done(&table);
    if (index == 0)
        strbuf_printf(out, "Nothing has to move away from %s.\n", json_text(json, "from"));
    else
        strbuf_printf(out,
                      "\n%zu move%s, at most %lld at once. Bills are per month, with the step "
                      "done; ONCE is the move's own.\n",
                      index, index == 1 ? "" : "s", (long long)json_number(json, "at_once"));
    json_array_foreach(stays, index, each)
    {
        strbuf_printf(out, "%s is a data set and stays: copy its bytes, then say where it is.\n",
                      json_string_value(each));
    }
    const json_t *cordon = json_object_get(json, "cordon");
    if (json_text(cordon, "name")[0] != 0)
        strbuf_printf(out, "Nothing new is placed at %s until `berth uncordon %s`.\n",
                      json_text(cordon, "name"), json_text(cordon, "name"));
    return rc;
}

/* Exactly what was shown: its steps in their order, if the state is still the one it was made from.
 */
static int begin(struct client *client, const json_t *plan, const char *text,
                 char ret_id[LIMIT_ID_BYTES], struct error *err)
{
    CLEANUP(cleanup_json)
    json_t *order = json_pack("{s:s, s:I, s:O, s:[]}", "text", text, "at_once",
                              (json_int_t)json_number(plan, "at_once"), "cordon",
                              json_object_get(plan, "cordon"), "steps");
    const json_t *steps = json_object_get(plan, "steps");
    int bad = order == NULL;
    size_t index;
    json_t *each;
    json_array_foreach(steps, index, each)
    {
        bad |= json_array_append_new(
            json_object_get(order, "steps"),
            json_pack("{s:s, s:s, s:s, s:s, s:I}", "namespace", json_text(each, "namespace"), "app",
                      json_text(each, "app"), "workload", json_text(each, "workload"), "to",
                      json_text(each, "to"), "variant", (json_int_t)json_number(each, "variant")));
    }
    CLEANUP(cleanup_free) char *document = bad ? NULL : json_dumps(order, JSON_COMPACT);
    if (document == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a request");
    struct message_request request;
    struct client_reply reply;
    client_request_init(&request, NULL);
    request.document = document;
    request.version = (uint64_t)json_number(plan, "state_version");
    int rc = client_call(client, "operate", &request, &reply, err);
    if (rc < 0)
        return rc;
    str_format(ret_id, LIMIT_ID_BYTES, "%s", json_text(reply.json, "name"));
    client_reply_done(&reply);
    return 0;
}

/* ---- following ---- */

static int follow_operation(struct follow *follow, const char *id, struct error *err)
{
    bool over = false;
    int code = 0;
    int rc = say(follow->cli, err, "operation %s\n", id);
    while (rc == 0 && !over) {
        rc = look(follow, id, &over, &code, err);
        if (rc == 0 && !over && terminal_signalled(follow->signals))
            rc = interrupted(follow, id, err);
        if (rc == 0 && !over)
            nanosleep(&(struct timespec){.tv_nsec = POLL_US * 1000}, NULL);
    }
    free(follow->seen);
    follow->seen = NULL;
    return rc < 0 ? rc : code;
}

static int look(struct follow *follow, const char *id, bool *ret_over, int *ret_code,
                struct error *err)
{
    struct message_request request;
    struct client_reply reply;
    client_request_init(&request, NULL);
    request.namespace_[0] = 0;
    str_format(request.kind, sizeof(request.kind), "operations");
    str_format(request.key, sizeof(request.key), "%s", id);
    int rc = client_call(follow->client, "get", &request, &reply, err);
    if (rc < 0)
        return rc;
    const json_t *operation = json_array_get(json_object_get(reply.json, "items"), 0);
    if (operation == NULL) {
        client_reply_done(&reply);
        return error_set(err, ERR_NOT_FOUND, 0,
                         "operation %s is not there any more; `berth get "
                         "operations`",
                         id);
    }
    rc = tell_steps(follow, operation, err);
    *ret_over = json_truth(operation, "settled");
    if (rc == 0 && *ret_over) {
        const char *state = json_text(operation, "state");
        bool done = str_equal(state, "done");
        char took[SHOW_BYTES];
        *ret_code = done ? 0 : 1;
        if (follow->cli->common.json)
            rc = client_print(&reply, err);
        else
            rc = say(
                follow->cli, err, "%s: %lld done, %lld went back, %lld skipped, in %s%s%s\n%s%s%s",
                state, (long long)json_number(operation, "done"),
                (long long)json_number(operation, "back"),
                (long long)json_number(operation, "skipped"),
                show_duration(
                    json_number(operation, "ended_us") - json_number(operation, "begun_us"), took),
                json_text(operation, "why")[0] == 0 ? "" : ": ", json_text(operation, "why"),
                json_number(operation, "done") == 0 ? "" : "undo it: berth rollback ",
                json_number(operation, "done") == 0 ? "" : id,
                json_number(operation, "done") == 0 ? "" : "\n");
    }
    client_reply_done(&reply);
    return rc;
}

/* One line for each step whose state has changed since the last look. */
static int tell_steps(struct follow *follow, const json_t *operation, struct error *err)
{
    const json_t *steps = json_object_get(operation, "steps");
    size_t count = json_array_size(steps);
    if (follow->seen == NULL) {
        follow->seen = calloc(count + 1, 1);
        follow->seen_count = count;
    }
    if (follow->seen == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to follow %zu steps", count);
    int rc = 0;
    for (size_t i = 0; i < count && i < follow->seen_count && rc == 0; i++) {
        const json_t *step = json_array_get(steps, i);
        const char *state = json_text(step, "state");
        if (state[0] == follow->seen[i] || str_equal(state, "waiting"))
            continue;
        follow->seen[i] = state[0];
        char took[SHOW_BYTES] = "";
        bool ended = json_number(step, "ended_us") > 0;
        if (ended)
            (void)show_duration(json_number(step, "ended_us") - json_number(step, "begun_us"),
                                took);
        rc = say(follow->cli, err, "%4zu/%zu  %-8s %s/%s/%s  %s -> %s%s%s\n", i + 1, count, state,
                 json_text(step, "namespace"), json_text(step, "app"), json_text(step, "workload"),
                 json_text(step, "from"), json_text(step, "to"), ended ? "  took " : "", took);
    }
    return rc;
}

static int interrupted(struct follow *follow, const char *id, struct error *err)
{
    if (follow->cancelled)
        return error_set(err, ERR_TIMEOUT, 0,
                         "not looked at any more; operation %s ends by itself: berth get "
                         "operations %s",
                         id, id);
    follow->cancelled = true;
    struct message_request request;
    struct client_reply reply;
    client_request_init(&request, NULL);
    str_format(request.kind, sizeof(request.kind), "cancel");
    str_format(request.key, sizeof(request.key), "%s", id);
    int rc = client_call(follow->client, "operation", &request, &reply, err);
    if (rc == ERR_STALE)
        return 0; /* it has ended meanwhile: the next look says how */
    if (rc < 0)
        return rc;
    client_reply_done(&reply);
    return say(follow->cli, err, "cancelled: what is under way ends, nothing further begins\n");
}

/* ---- rollback, cancel ---- */

static int run_rollback(struct cli *cli, void *options, const struct option_words *words,
                        struct error *err)
{
    const struct place_options *given = options;
    return end_operation(cli, words->items[0], "rollback", !given->no_wait, err);
}

static int run_cancel(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err)
{
    const struct place_options *given = options;
    return end_operation(cli, words->items[0], "cancel", !given->no_wait, err);
}

static int end_operation(struct cli *cli, const char *id, const char *kind, bool waits,
                         struct error *err)
{
    struct message_request request;
    struct client_reply reply;
    struct follow follow = {.cli = cli, .signals = -1, .cancelled = true};
    client_request_init(&request, NULL);
    str_format(request.kind, sizeof(request.kind), "%s", kind);
    if (str_copy(request.key, sizeof(request.key), id) < 0)
        return error_set(err, ERR_INVALID, 0, "%s is no operation; `berth get operations`", id);
    CLEANUP(cleanup_client) struct client *client = NULL;
    int rc = client_open(cli, &client, err);
    if (rc == 0)
        rc = client_call(client, "operation", &request, &reply, err);
    if (rc < 0)
        return rc;
    follow.client = client;
    char under_way[LIMIT_ID_BYTES];
    str_format(under_way, sizeof(under_way), "%s", json_text(reply.json, "name"));
    client_reply_done(&reply);
    if (!waits)
        return say(cli, err, "operation %s; berth get operations %s\n", under_way, under_way);
    rc = follow_operation(&follow, under_way, err);
    /* A cancelled operation that has ended is what was asked for. */
    return rc == 1 && str_equal(kind, "cancel") ? 0 : rc;
}

/* ---- drain, uncordon ---- */

static int run_drain(struct cli *cli, void *options, const struct option_words *words,
                     struct error *err)
{
    const struct place_options *given = options;
    const char *node = words->items[0];
    CLEANUP(cleanup_client) struct client *client = NULL;
    int rc = client_open(cli, &client, err);
    if (rc == 0)
        rc = call_cordon(client, "node", node, true, err);
    if (rc == 0 && given->no_wait)
        return say(cli, err, "node %s is being emptied; berth get cordons\n", node);
    return rc < 0 ? rc : watch_node(cli, client, node, err);
}

static int call_cordon(struct client *client, const char *kind, const char *name, bool on,
                       struct error *err)
{
    struct message_request request;
    struct client_reply reply;
    client_request_init(&request, NULL);
    str_format(request.kind, sizeof(request.kind), "%s", kind);
    str_format(request.value, sizeof(request.value), "%s", on ? "on" : "off");
    request.document = name;
    int rc = client_call(client, "cordon", &request, &reply, err);
    if (rc == 0)
        client_reply_done(&reply);
    return rc;
}

/* Until nothing of it is left there, telling each time that fewer are. */
static int watch_node(struct cli *cli, struct client *client, const char *node, struct error *err)
{
    int64_t told = -1;
    for (;;) {
        struct message_request request;
        struct client_reply reply;
        client_request_init(&request, NULL);
        request.namespace_[0] = 0;
        str_format(request.kind, sizeof(request.kind), "cordons");
        int rc = client_call(client, "get", &request, &reply, err);
        if (rc < 0)
            return rc;
        int64_t left = -1;
        const json_t *items = json_object_get(reply.json, "items");
        for (size_t i = 0; i < json_array_size(items); i++) {
            const json_t *item = json_array_get(items, i);
            if (str_equal(json_text(item, "kind"), "node") &&
                str_equal(json_text(item, "name"), node))
                left = json_number(item, "instances");
        }
        client_reply_done(&reply);
        if (left < 0)
            return error_set(err, ERR_TIMEOUT, 0, "node %s was opened again meanwhile", node);
        if (left != told)
            rc = left == 0 ? say(cli, err, "%s is empty\n", node)
                           : say(cli, err, "%s: %lld instances are left\n", node, (long long)left);
        told = left;
        if (rc < 0 || left == 0)
            return rc;
        nanosleep(&(struct timespec){.tv_nsec = POLL_US * 1000}, NULL);
    }
}

static int run_uncordon(struct cli *cli, void *options, const struct option_words *words,
                        struct error *err)
{
    (void)options;
    const char *name = words->items[0];
    const char *kind = NULL;
    CLEANUP(cleanup_client) struct client *client = NULL;
    int rc = client_open(cli, &client, err);
    if (rc == 0)
        rc = kind_of(client, name, &kind, err);
    if (rc == 0)
        rc = call_cordon(client, kind, name, false, err);
    return rc < 0 ? rc : say(cli, err, "%s %s is open again\n", kind, name);
}

/* What is cordoned under that name. */
static int kind_of(struct client *client, const char *name, const char **ret_kind,
                   struct error *err)
{
    static const char *const kinds[] = {"node", "site", "provider"};
    struct message_request request;
    struct client_reply reply;
    client_request_init(&request, NULL);
    request.namespace_[0] = 0;
    str_format(request.kind, sizeof(request.kind), "cordons");
    int rc = client_call(client, "get", &request, &reply, err);
    if (rc < 0)
        return rc;
    const json_t *items = json_object_get(reply.json, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            if (str_equal(json_text(item, "name"), name) &&
                str_equal(json_text(item, "kind"), kinds[k]))
                *ret_kind = kinds[k];
        }
    }
    client_reply_done(&reply);
    if (*ret_kind == NULL)
        return error_set(err, ERR_NOT_FOUND, 0, "%s is not being emptied; `berth get cordons`",
                         name);
    return 0;
}

/* ---- shared ---- */

/* Nothing with --json: there the last answer is the output. */
static int say(const struct cli *cli, struct error *err, const char *format, ...)
{
    if (cli->common.json)
        return 0;
    va_list arguments;
    char text[4096];
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return cli_print_text(text, err);
}
