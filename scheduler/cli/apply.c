#include <string.h>

#include "base/clock.h"
#include "scheduler/cli/client.h"
#include "scheduler/cli/document.h"
#include "scheduler/cli/operate.h"
#include "scheduler/cli/plan.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"
#include "scheduler/cli/terminal.h"
#include "scheduler/cli/wait.h"

#define WAIT_DEFAULT_US (5 * 60 * US_PER_S)

struct apply_options {
    const char *file;
    struct wait_options after;
    bool yes;
    bool upload;
};

struct change_options {           /* of delete, retag and move */
    struct operate_options place; /* move */
    struct wait_options after;
};

static int run_apply(struct cli *cli, void *options, const struct option_words *words,
                     struct error *err);
static int run_delete(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err);
static int run_retag(struct cli *cli, void *options, const struct option_words *words,
                     struct error *err);
static int run_move(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err);
static int confirm(struct cli *cli, struct client *client, const struct document *document,
                   uint64_t *version, struct error *err);
static int change(struct cli *cli, struct client *client, const char *verb,
                  struct message_request *request, struct wait *wait, bool waits,
                  const char *sentence, struct error *err);
static int print_change(struct cli *cli, const struct client_reply *reply, const struct wait *wait,
                        bool waited, struct error *err);

static const struct option_row apply_rows[] = {
    {"file", 'f', OPTION_TEXT, "FILE",
     "the app or world document, YAML or JSON; - for standard input",
     offsetof(struct apply_options, file), 0, 0},
    WAIT_ROWS(struct apply_options, after, "plan"),
    {"upload", 0, OPTION_FLAG, NULL,
     "put file: artifacts into the object store, so that nodes elsewhere can fetch them",
     offsetof(struct apply_options, upload), 0, 0},
    {"yes", 'y', OPTION_FLAG, NULL, "do not show the plan and ask first (on a terminal)",
     offsetof(struct apply_options, yes), 0, 0},
};

static const struct option_row change_rows[] = {
    WAIT_ROWS(struct change_options, after, "plan"),
};

const struct command command_apply = {
    .name = "apply",
    .synopsis = "-f FILE [--wait] [--plan-version N] [--upload] [--yes]",
    .summary = "Make an app (or a world) as its document says",
    .text =
        "The document is checked here first: every mistake is told with its line, and nothing is\n"
        "half-applied. Artifacts file:PATH are taken from the document's folder; a missing digest\n"
        "is computed.\n",
    .examples = "  berth apply -f examples/apps/shop.yaml --wait\n"
                "  berth plan -f app.yaml --json | jq .state_version\n"
                "  berth apply -f app.yaml --plan-version 7\n",
    .rows = apply_rows,
    .row_count = sizeof(apply_rows) / sizeof(apply_rows[0]),
    .options_bytes = sizeof(struct apply_options),
    .run = run_apply,
};

const struct command command_delete = {
    .name = "delete",
    .synopsis = "[NAMESPACE/]APP [--wait] [--plan-version N]",
    .summary = "Stop an app and forget it",
    .text =
        "Its workloads are drained, then stopped. `berth plan --delete APP` shows what it saves.\n",
    .examples = "  berth delete shop\n  berth delete team-a/shop --wait\n",
    .rows = change_rows,
    .row_count = sizeof(change_rows) / sizeof(change_rows[0]),
    .options_bytes = sizeof(struct change_options),
    .words_min = 1,
    .words_max = 1,
    .words = {WORD_APP},
    .run = run_delete,
};

const struct command command_retag = {
    .name = "retag",
    .synopsis = "[NAMESPACE/]APP/WORKLOAD KEY=VALUE [--wait] [--plan-version N]",
    .summary = "Change a tag that a workload's site must carry, and move it there",
    .text =
        "The running workload moves without a lost request: the new copy starts, is reached from\n"
        "the traffic's side, both serve for at least a round trip, then the old one drains.\n"
        "KEY= removes the tag. `berth plan --retag` shows the cost before.\n",
    .examples = "  berth retag shop/source cloud=aws --wait\n"
                "  berth retag shop/source cloud=\n"
                "  berth plan --retag shop/source cloud=aws\n",
    .rows = change_rows,
    .row_count = sizeof(change_rows) / sizeof(change_rows[0]),
    .options_bytes = sizeof(struct change_options),
    .words_min = 2,
    .words_max = 2,
    .words = {WORD_WORKLOAD, WORD_TAG},
    .run = run_retag,
};

static const struct option_row move_rows[] = {
    {"to", 0, OPTION_TEXT, "SITE",
     "where it is to run, as in aws/us-east-1; with --from a provider or a tag will do",
     offsetof(struct change_options, place.to), 0, 0},
    {"from", 0, OPTION_TEXT, "PLACE",
     "move all that runs at this provider, site or tag (key=value), in the best order",
     offsetof(struct change_options, place.from), 0, 0},
    OPERATE_ROWS(struct change_options, place., "with --from: "),
    WAIT_ROWS(struct change_options, after, "suggest"),
};

const struct command command_move = {
    .name = "move",
    .synopsis = "[NAMESPACE/]APP[/WORKLOAD] [--from PLACE] --to PLACE [--wait] [--plan-version N]",
    .summary = "Move a running workload to a site of your choice, or a whole app, now",
    .text =
        "It is handed over like any move: no request is lost. Where its app's moves are automatic\n"
        "the plan may move it on once the dwell is over; a tag (`berth retag`) makes a choice "
        "last.\nWith --from all of the app that runs there is moved, as an operation: the steps, "
        "their pauses\nand costs are shown first, then carried out in that order. Ctrl-C cancels "
        "it, `berth\nrollback` undoes it.\n",
    .examples = "  berth move shop/source --to aws/us-east-1 --wait\n"
                "  berth move shop --from gcp --to aws --dry-run\n"
                "  berth suggest --json | jq -r '.moves[].command'\n",
    .rows = move_rows,
    .row_count = sizeof(move_rows) / sizeof(move_rows[0]),
    .options_bytes = sizeof(struct change_options),
    .words_min = 1,
    .words_max = 1,
    .words = {WORD_WORKLOAD},
    .run = run_move,
};

static int run_move(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err)
{
    const struct change_options *given = options;
    struct reference reference;
    int rc = 0;
    if (given->place.from != NULL) {
        size_t slashes = 0;
        for (const char *at = words->items[0]; *at != 0; at++)
            slashes += *at == '/';
        /* "a/b" may be a namespace's app or an app's workload: the plan shows which was meant. */
        rc = slashes == 0 ? reference_app(words->items[0], &reference, err)
                          : reference_workload(words->items[0], &reference, err);
        return rc < 0 ? rc : operate_run(cli, &given->place, &reference, false, err);
    }
    rc = reference_workload(words->items[0], &reference, err);
    if (rc == 0 && given->place.to == NULL)
        rc = error_set(err, ERR_INVALID, 0,
                       "--to SITE is missing: where %s/%s is to run (berth get sites lists them)",
                       reference.app, reference.workload);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_client) struct client *client = NULL;
    rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    struct message_request request;
    client_request_init(&request, &reference);
    request.document = given->place.to;
    request.version = (uint64_t)given->after.plan_version;
    struct wait wait = {.reference = reference, .timeout_us = given->after.timeout_us};
    char sentence[LIMIT_TEXT_BYTES * 3];
    str_format(sentence, sizeof(sentence), "%s/%s/%s: moves to %.140s", reference.namespace_,
               reference.app, reference.workload, given->place.to);
    return change(cli, client, "move", &request, &wait, given->after.wait, sentence, err);
}

static int run_apply(struct cli *cli, void *options, const struct option_words *words,
                     struct error *err)
{
    (void)words;
    const struct apply_options *given = options;
    if (given->file == NULL)
        return error_set(err, ERR_INVALID, 0,
                         "-f FILE is missing: the document to apply, as in examples/apps");
    CLEANUP(cleanup_client) struct client *client = NULL;
    struct document document;
    /* Without --upload the document is checked before anything is connected to. */
    int rc = given->upload ? client_open(cli, &client, err) : 0;
    if (rc == 0)
        rc = document_read(given->file, given->upload ? client->bus : NULL, &document, err);
    if (rc < 0)
        return rc;
    uint64_t version = (uint64_t)given->after.plan_version;
    if (client == NULL)
        rc = client_open(cli, &client, err);
    if (rc == 0 && !given->yes && version == 0 && !document.is_world && terminal_asks(cli))
        rc = confirm(cli, client, &document, &version, err);
    if (rc < 0) {
        document_done(&document);
        return rc;
    }
    struct message_request request;
    client_request_init(&request, NULL);
    request.document = strbuf_text(&document.text);
    request.version = version;
    struct wait wait = {.timeout_us = given->after.timeout_us};
    if (!document.is_world) {
        memcpy(wait.reference.namespace_, document.namespace_, LIMIT_NAME_BYTES);
        memcpy(wait.reference.app, document.name, LIMIT_NAME_BYTES);
    }
    char sentence[LIMIT_TEXT_BYTES * 2];
    str_format(sentence, sizeof(sentence), "%s %s%s%s accepted",
               document.is_world ? "world" : "app", document.namespace_,
               document.is_world ? "" : "/", document.name);
    rc = change(cli, client, "apply", &request, &wait, given->after.wait, sentence, err);
    document_done(&document);
    return rc;
}

static int run_delete(struct cli *cli, void *options, const struct option_words *words,
                      struct error *err)
{
    const struct change_options *given = options;
    struct reference reference;
    int rc = reference_app(words->items[0], &reference, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_client) struct client *client = NULL;
    rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    struct message_request request;
    client_request_init(&request, &reference);
    request.version = (uint64_t)given->after.plan_version;
    struct wait wait = {
        .reference = reference, .gone = true, .timeout_us = given->after.timeout_us};
    char sentence[LIMIT_TEXT_BYTES * 2];
    str_format(sentence, sizeof(sentence), "app %s/%s is being deleted", reference.namespace_,
               reference.app);
    return change(cli, client, "delete", &request, &wait, given->after.wait, sentence, err);
}

static int run_retag(struct cli *cli, void *options, const struct option_words *words,
                     struct error *err)
{
    const struct change_options *given = options;
    struct reference reference;
    struct reference_tag tag;
    int rc = reference_workload(words->items[0], &reference, err);
    if (rc == 0)
        rc = reference_tag(words->items[1], &tag, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_client) struct client *client = NULL;
    rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    struct message_request request;
    client_request_init(&request, &reference);
    memcpy(request.key, tag.key, sizeof(request.key));
    memcpy(request.value, tag.value, sizeof(request.value));
    request.version = (uint64_t)given->after.plan_version;
    struct wait wait = {.reference = reference, .tag = tag, .timeout_us = given->after.timeout_us};
    char sentence[LIMIT_TEXT_BYTES * 3];
    str_format(sentence, sizeof(sentence), "%s/%s/%s: %s %s%s%s", reference.namespace_,
               reference.app, reference.workload, tag.value[0] == 0 ? "no longer needs" : "needs",
               tag.key, tag.value[0] == 0 ? "" : "=", tag.value);
    return change(cli, client, "retag", &request, &wait, given->after.wait, sentence, err);
}

/* On a terminal: the plan, and a question. What is then applied is that plan or nothing. */
static int confirm(struct cli *cli, struct client *client, const struct document *document,
                   uint64_t *version, struct error *err)
{
    struct message_request request;
    struct client_reply reply;
    client_request_init(&request, NULL);
    request.document = strbuf_text(&document->text);
    int rc = client_call(client, "plan", &request, &reply, err);
    if (rc < 0)
        return rc;
    bool asks = json_array_size(json_object_get(reply.json, "moves")) > 0;
    *version = (uint64_t)json_number(reply.json, "state_version");
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    rc = plan_write(reply.json, cli->color, &out, err);
    if (asks)
        strbuf_puts(&out, "\nApply this plan? [y/N] ");
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    client_reply_done(&reply);
    return rc == 0 && asks ? terminal_confirm("not applied", err) : rc;
}

static int change(struct cli *cli, struct client *client, const char *verb,
                  struct message_request *request, struct wait *wait, bool waits,
                  const char *sentence, struct error *err)
{
    if (wait->timeout_us == 0)
        wait->timeout_us = WAIT_DEFAULT_US;
    wait->quiet = cli->common.json;
    wait->color = cli->color;
    struct client_reply reply = {.json = NULL};
    int rc = waits ? wait_begin(wait, client, err) : 0;
    if (rc == 0)
        rc = client_call(client, verb, request, &reply, err);
    if (rc == 0 && !cli->common.json) {
        struct strbuf out;
        strbuf_init(&out, CLI_TEXT_BYTES);
        strbuf_printf(&out, "%s (state %lld)\n", sentence,
                      (long long)json_number(reply.json, "state_version"));
        if (!waits)
            strbuf_puts(&out, "what follows: berth events -f, berth get handoffs\n");
        rc = cli_print(&out, err);
        strbuf_done(&out);
    }
    if (rc == 0 && waits)
        rc = wait_run(wait, client, err);
    /* Also after a failed wait: what was accepted and what moved is the answer. */
    struct error later;
    if (reply.json != NULL) {
        int printed = print_change(cli, &reply, wait, waits, &later);
        if (rc == 0 && printed < 0) {
            rc = printed;
            *err = later;
        }
    }
    client_reply_done(&reply);
    wait_done(wait);
    return rc;
}

static int print_change(struct cli *cli, const struct client_reply *reply, const struct wait *wait,
                        bool waited, struct error *err)
{
    if (cli->common.json && !waited)
        return client_print(reply, err);
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    if (cli->common.json) {
        json_t *list = json_array();
        const char *id;
        json_t *each;
        json_object_foreach(wait->handoffs, id, each)
        {
            json_array_append(list, each);
        }
        json_object_set_new(reply->json, "handoffs", list);
        char *text = json_dumps(reply->json, JSON_COMPACT);
        if (text != NULL)
            strbuf_printf(&out, "%s\n", text);
        cleanup_free(&text);
    } else if (waited) {
        wait_summary(wait, &out);
    }
    int rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}
