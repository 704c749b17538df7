#include "scheduler/cli/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "scheduler/cli/client.h"
#include "scheduler/cli/document.h"
#include "scheduler/cli/plan_call.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"
#include "scheduler/cli/terminal.h"
#include "scheduler/cli/verify.h"

struct plan_options {
    const char *file;
    const char *retag;
    const char *delete_app;
    bool lines;
    const char *certificate;
    const char *gap;
    int64_t time_limit_us;
    const char *memory_limit;
};

static int run_plan(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err);
static int request_of(const struct plan_options *given, const struct option_words *words,
                      struct document *document, struct message_request *request,
                      struct error *err);
static int limits_of(const struct plan_options *given, struct message_request *request,
                     struct error *err);
static int show(const struct cli *cli, const struct plan_options *given,
                const struct option_words *words, const struct client_reply *reply,
                struct error *err);
static bool is_placed(const json_t *plan);
static void write_head(const json_t *plan, bool color, struct strbuf *out);
static int write_conflict(const json_t *plan, bool color, struct strbuf *out);
static int write_moves(const json_t *plan, bool color, struct strbuf *out, struct error *err);
static void write_move(const json_t *move, struct table *table);
static void write_whys(const json_t *moves, bool color, struct strbuf *out);
static int write_terms(const json_t *plan, bool color, struct strbuf *out, struct error *err);
static void write_term(const json_t *before, const json_t *after, const char *name,
                       struct table *table);
static const char *total_of(const json_t *plan, const char *side, const char *what);
static const char *term_of(const json_t *plan, const char *side, const char *term,
                           const char *what);
static void cell_change(struct table *table, const char *before, const char *after);
static void write_proof(const json_t *plan, bool color, struct strbuf *out);
static void write_next(const struct plan_options *given, const struct option_words *words,
                       const json_t *plan, struct strbuf *out);
static int64_t expected_us(const json_t *moves);

static const struct option_row rows[] = {
    {"file", 'f', OPTION_TEXT, "FILE", "as if this app or world were applied",
     offsetof(struct plan_options, file), 0, 0},
    {"retag", 0, OPTION_TEXT, "[NS/]APP/WORKLOAD",
     "as if this workload were retagged; KEY=VALUE follows", offsetof(struct plan_options, retag),
     0, 0},
    {"delete", 0, OPTION_TEXT, "[NS/]APP", "as if this app were deleted",
     offsetof(struct plan_options, delete_app), 0, 0},
    {"lines", 0, OPTION_FLAG, NULL, "the ledger of the planned placement as well, line by line",
     offsetof(struct plan_options, lines), 0, 0},
    {"certificate", 0, OPTION_TEXT, "FILE",
     "write what proves the plan's bound: `berth verify-plan FILE` checks it",
     offsetof(struct plan_options, certificate), 0, 0},
    {"gap", 0, OPTION_TEXT, "RATIO", "stop when the plan is that near to the best possible (0.5%)",
     offsetof(struct plan_options, gap), 0, 0},
    {"time-limit", 0, OPTION_DURATION, "TIME", "stop then, with the best plan so far",
     offsetof(struct plan_options, time_limit_us), 0, 0},
    {"memory-limit", 0, OPTION_TEXT, "SIZE", "what the solver may take; more is an error (1GiB)",
     offsetof(struct plan_options, memory_limit), 0, 0},
};

const struct command command_plan = {
    .name = "plan",
    .synopsis = "[-f FILE | --retag [NS/]APP/WORKLOAD KEY=VALUE | --delete [NS/]APP]",
    .summary = "What a change would move and cost, before it is made; without one: today's plan",
    .text =
        "Nothing is changed. Exit code: 0 nothing would change, 2 there are changes, 1 an error\n"
        "(also when no placement keeps all rules: they are named), 130 Ctrl-C ended it, with the\n"
        "best plan so far if there was one. `berth apply --plan-version` carries out exactly this\n"
        "plan, or refuses when the state has moved on. How far a long solve has come is told on\n"
        "standard error.\n",
    .examples = "  berth plan -f examples/apps/shop.yaml\n"
                "  berth plan --retag shop/source cloud=aws\n"
                "  berth plan --delete shop\n"
                "  berth plan --json | jq '.moves[].why'\n"
                "  berth plan --certificate plan.cert && berth verify-plan plan.cert\n"
                "  berth plan --time-limit 30s --gap 0.1%\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct plan_options),
    .words_max = 1,
    .words = {WORD_TAG},
    .run = run_plan,
};

int plan_write(const json_t *plan, bool color, struct strbuf *out, struct error *err)
{
    if (!is_placed(plan))
        return write_conflict(plan, color, out);
    write_head(plan, color, out);
    int rc = write_moves(plan, color, out, err);
    if (rc == 0)
        rc = write_terms(plan, color, out, err);
    if (rc == 0)
        write_proof(plan, color, out);
    return rc;
}

int plan_lines_write(const json_t *lines, bool color, struct strbuf *out, struct error *err)
{
    struct table table;
    char bill[SHOW_BYTES];
    char score[SHOW_BYTES];
    table_init(&table, "TERM|WORKLOAD|AT|>BILL/MONTH|>SCORE|HOW");
    size_t index;
    json_t *each;
    json_array_foreach(lines, index, each)
    {
        const char *link = json_text(each, "link");
        const char *peer = json_text(each, "peer");
        table_cell(&table, STYLE_PLAIN, "%s", json_text(each, "term"));
        table_cell(&table, STYLE_PLAIN, "%s/%s%s%s", json_text(each, "app"),
                   json_text(each, "workload"), link[0] == 0 ? "" : " ← ", link);
        table_cell(&table, STYLE_PLAIN, "%s%s%s", json_text(each, "site"),
                   peer[0] == 0 ? "" : " ↔ ", peer);
        table_cell(&table, STYLE_PLAIN, "%s", show_money(json_text(each, "bill"), bill));
        table_cell(&table, STYLE_PLAIN, "%s", show_money(json_text(each, "score"), score));
        table_cell(&table, STYLE_DIM, "%s", json_text(each, "text"));
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

static int run_plan(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err)
{
    const struct plan_options *given = options;
    struct document document = {.is_world = false};
    strbuf_init(&document.text, 0);
    struct message_request request;
    CLEANUP(cleanup_close) int signals = -1;
    int rc = request_of(given, words, &document, &request, err);
    if (rc == 0)
        rc = limits_of(given, &request, err);
    if (rc == 0)
        rc = terminal_signals(&signals, err);
    CLEANUP(cleanup_client) struct client *client = NULL;
    if (rc == 0)
        rc = client_open(cli, &client, err);
    struct client_reply reply = {.json = NULL};
    struct plan_call call = {.signals = signals};
    request.certificate = given->certificate != NULL;
    if (rc == 0)
        rc = plan_call(client, "plan", &request, &call, &reply, err);
    document_done(&document);
    if (rc < 0 && call.cancelled) {
        fprintf(stderr, "berth plan: %s\n", err->text);
        return CLI_CANCELLED;
    }
    if (rc < 0)
        return rc;
    if (given->certificate != NULL && is_placed(reply.json))
        rc = verify_fetch(client, request.id, given->certificate, err);
    if (rc == 0)
        rc = show(cli, given, words, &reply, err);
    bool placed = is_placed(reply.json);
    bool changes = json_truth(reply.json, "changes");
    client_reply_done(&reply);
    if (rc < 0)
        return rc;
    return call.cancelled ? CLI_CANCELLED : !placed ? 1 : changes ? CLI_CHANGES : 0;
}

static int show(const struct cli *cli, const struct plan_options *given,
                const struct option_words *words, const struct client_reply *reply,
                struct error *err)
{
    if (cli->common.json)
        return client_print(reply, err);
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    bool placed = is_placed(reply->json);
    int rc = plan_write(reply->json, cli->color, &out, err);
    if (rc == 0 && given->lines && placed) {
        strbuf_puts(&out, "\n");
        rc = plan_lines_write(json_object_get(reply->json, "lines"), cli->color, &out, err);
        int64_t left_out = json_number(reply->json, "lines_left_out");
        if (rc == 0 && left_out > 0)
            strbuf_printf(&out, "  and %" PRId64 " more than an answer holds: berth cost APP\n",
                          left_out);
    }
    if (rc == 0 && json_truth(reply->json, "changes") && placed)
        write_next(given, words, reply->json, &out);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static bool is_placed(const json_t *plan)
{
    const char *status = json_text(plan, "status");
    return str_equal(status, "optimal") || str_equal(status, "feasible");
}

static int limits_of(const struct plan_options *given, struct message_request *request,
                     struct error *err)
{
    int64_t number = 0;
    request->time_limit_us = (uint64_t)given->time_limit_us;
    if (given->gap != NULL) {
        if (units_ratio(given->gap, &number, err) < 0)
            return error_prefix(err, "--gap");
        if (number < 1 || number > 1000000)
            return error_set(err, ERR_INVALID, 0,
                             "--gap \"%.64s\": from 0.0001%% to 100%%, as in 0.5%%", given->gap);
        request->gap_ppm = (uint64_t)number;
    }
    if (given->memory_limit != NULL) {
        if (units_bytes(given->memory_limit, &number, err) < 0)
            return error_prefix(err, "--memory-limit");
        if (number == 0)
            return error_set(err, ERR_INVALID, 0, "--memory-limit: more than nothing, as in 1GiB");
        request->memory_limit_bytes = (uint64_t)number;
    }
    return 0;
}

static int request_of(const struct plan_options *given, const struct option_words *words,
                      struct document *document, struct message_request *request, struct error *err)
{
    int ways = (given->file != NULL) + (given->retag != NULL) + (given->delete_app != NULL);
    if (ways > 1)
        return error_set(err, ERR_INVALID, 0,
                         "one change at a time: -f, --retag or --delete, not several of them");
    if (words->count > 0 && given->retag == NULL)
        return error_set(err, ERR_INVALID, 0,
                         "\"%.64s\": a document is given with -f, a tag with --retag APP/WORKLOAD "
                         "KEY=VALUE",
                         words->items[0]);
    struct reference reference;
    client_request_init(request, NULL);
    if (given->file != NULL) {
        int rc = document_read(given->file, NULL, document, err);
        if (rc == 0)
            request->document = strbuf_text(&document->text);
        return rc;
    }
    if (given->retag != NULL) {
        struct reference_tag tag;
        if (words->count == 0)
            return error_set(err, ERR_INVALID, 0, "--retag %.140s: KEY=VALUE is missing behind it",
                             given->retag);
        int rc = reference_workload(given->retag, &reference, err);
        if (rc == 0)
            rc = reference_tag(words->items[0], &tag, err);
        if (rc < 0)
            return rc;
        client_request_init(request, &reference);
        str_format(request->kind, sizeof(request->kind), "retag");
        memcpy(request->key, tag.key, sizeof(request->key));
        memcpy(request->value, tag.value, sizeof(request->value));
        return 0;
    }
    if (given->delete_app != NULL) {
        int rc = reference_app(given->delete_app, &reference, err);
        if (rc < 0)
            return rc;
        client_request_init(request, &reference);
        str_format(request->kind, sizeof(request->kind), "delete");
    }
    return 0;
}

static void write_head(const json_t *plan, bool color, struct strbuf *out)
{
    char before[SHOW_BYTES];
    char after[SHOW_BYTES];
    char change[SHOW_BYTES];
    const char *bill_before = total_of(plan, "before", "bill");
    const char *bill_after = total_of(plan, "after", "bill");
    size_t moves = json_array_size(json_object_get(plan, "moves")) +
                   (size_t)json_number(plan, "moves_left_out");
    if (moves == 0) {
        text_styled(out, color, STYLE_BOLD, "No changes.");
        strbuf_printf(out, " Everything is where it should be, at %s a month.\n",
                      show_money(bill_before, before));
        return;
    }
    show_money_difference(bill_before, bill_after, change);
    text_styled(out, color, STYLE_BOLD, "Plan: %zu move%s", moves, moves == 1 ? "" : "s");
    strbuf_printf(out, ", %s → %s a month (", show_money(bill_before, before),
                  show_money(bill_after, after));
    text_styled(out, color, change[0] == '-' ? STYLE_GREEN : STYLE_YELLOW, "%s", change);
    strbuf_puts(out, ")\n");
}

static int write_conflict(const json_t *plan, bool color, struct strbuf *out)
{
    bool infeasible = str_equal(json_text(plan, "status"), "infeasible");
    text_styled(out, color, STYLE_RED, "%s",
                infeasible ? "No placement keeps all rules." : "There is no plan.");
    const json_t *conflict = json_object_get(plan, "conflict");
    if (json_array_size(conflict) == 0)
        strbuf_printf(out, " %s\n", json_text(plan, "text"));
    else if (json_is_false(json_object_get(plan, "irreducible")))
        strbuf_puts(out, "\n\nThese cannot hold together; some of them may not be needed for "
                         "that:\n");
    else
        strbuf_puts(out,
                    "\n\nThese cannot hold together, and without any one of them the rest can:\n");
    const json_t *groups = json_object_get(plan, "conflict_groups");
    size_t index;
    json_t *each;
    json_array_foreach(groups, index, each)
    {
        int64_t count = json_number(each, "count");
        if (count == 1)
            text_styled(out, color, STYLE_PLAIN, "  - %s\n", json_text(each, "example"));
        else
            text_styled(out, color, STYLE_PLAIN, "  - %" PRId64 " times: %s (as: %s)\n", count,
                        json_text(each, "text"), json_text(each, "example"));
    }
    for (size_t i = 0; groups == NULL && i < json_array_size(conflict); i++)
        text_styled(out, color, STYLE_PLAIN, "  - %s\n",
                    json_string_value(json_array_get(conflict, i)));
    return 0;
}

static int write_moves(const json_t *plan, bool color, struct strbuf *out, struct error *err)
{
    const json_t *moves = json_object_get(plan, "moves");
    if (json_array_size(moves) == 0)
        return 0;
    struct table table;
    table_init(&table, " |WORKLOAD|FROM|TO|>BILL/MONTH|>ONCE|HANDOFF|>TAKES");
    table.indent = 1;
    size_t index;
    json_t *each;
    json_array_foreach(moves, index, each)
    {
        write_move(each, &table);
    }
    strbuf_puts(out, "\n");
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    int64_t left_out = json_number(plan, "moves_left_out");
    if (rc == 0 && left_out > 0)
        strbuf_printf(out, "  and %" PRId64 " more than an answer holds\n", left_out);
    if (rc == 0)
        write_whys(moves, color, out);
    return rc;
}

static void write_move(const json_t *move, struct table *table)
{
    char bill[SHOW_BYTES];
    char once[SHOW_BYTES];
    char takes[SHOW_BYTES];
    char replicas[32] = "";
    const char *from = json_text(move, "from");
    const char *to = json_text(move, "to");
    const char *change = json_text(move, "bill_change");
    bool both = from[0] != 0 && to[0] != 0;
    bool proven = json_truth(move, "proven");
    if (json_number(move, "replicas") > 1)
        str_format(replicas, sizeof(replicas), " x%" PRId64, json_number(move, "replicas"));
    table_cell(table,
               from[0] == 0 ? STYLE_GREEN
               : to[0] == 0 ? STYLE_RED
                            : STYLE_YELLOW,
               "%s",
               from[0] == 0 ? "+"
               : to[0] == 0 ? "-"
                            : "~");
    table_cell(table, STYLE_PLAIN, "%s/%s/%s%s", json_text(move, "namespace"),
               json_text(move, "app"), json_text(move, "workload"), replicas);
    table_cell(table, STYLE_PLAIN, "%s", from[0] == 0 ? "-" : from);
    table_cell(table, STYLE_PLAIN, "%s", to[0] == 0 ? "-" : to);
    table_cell(table, show_money_sign(change) > 0 ? STYLE_YELLOW : STYLE_GREEN, "%s",
               show_money_change(change, bill));
    table_cell(table, STYLE_PLAIN, "%s", show_money(json_text(move, "migration_bill"), once));
    table_cell(table, both && !proven ? STYLE_YELLOW : STYLE_PLAIN, "%s%s",
               both ? json_text(move, "handoff") : "-",
               both && !proven ? ", drain not proven" : "");
    table_cell(table, STYLE_PLAIN, "%s",
               json_number(move, "expected_us") > 0
                   ? show_duration(json_number(move, "expected_us"), takes)
                   : "-");
}

static void write_whys(const json_t *moves, bool color, struct strbuf *out)
{
    bool unproven = false;
    char takes[SHOW_BYTES];
    size_t index;
    json_t *each;
    strbuf_puts(out, "\nWhy:\n");
    json_array_foreach(moves, index, each)
    {
        strbuf_puts(out, "  ");
        text_styled(out, color, STYLE_PLAIN, "%s/%s: %s", json_text(each, "app"),
                    json_text(each, "workload"), json_text(each, "why"));
        strbuf_puts(out, "\n");
        const json_t *kept = json_object_get(each, "kept");
        if (json_is_false(kept))
            text_styled(out, color, STYLE_YELLOW,
                        "  %s/%s keeps its state inside and has no `checkpoint`: when its node "
                        "dies, it starts empty elsewhere\n",
                        json_text(each, "app"), json_text(each, "workload"));
        unproven = unproven || (json_text(each, "from")[0] != 0 && json_text(each, "to")[0] != 0 &&
                                !json_truth(each, "proven"));
    }
    if (expected_us(moves) > 0)
        strbuf_printf(out,
                      "Expected to take about %s, each new copy serving before the old one "
                      "stops.\n",
                      show_duration(expected_us(moves), takes));
    if (unproven)
        text_styled(out, color, STYLE_YELLOW,
                    "\"drain not proven\": the workload does not speak the contract (contract: "
                    "true), so a request\nthat it holds when it is told to stop may be lost.\n");
}

static int write_terms(const json_t *plan, bool color, struct strbuf *out, struct error *err)
{
    const json_t *before = json_object_get(json_object_get(plan, "before"), "terms");
    const json_t *after = json_object_get(json_object_get(plan, "after"), "terms");
    struct table table;
    table_init(&table, "COST A MONTH|>BEFORE|>AFTER|>CHANGE|>SCORE BEFORE|>AFTER|>CHANGE");
    table.indent = 1;
    const json_t *longer = json_array_size(after) >= json_array_size(before) ? after : before;
    size_t index;
    json_t *each;
    json_array_foreach(longer, index, each)
    {
        write_term(plan, plan, json_text(each, "term"), &table);
    }
    table_cell(&table, STYLE_BOLD, "total");
    for (int i = 0; i < 2; i++) {
        const char *what = i == 0 ? "bill" : "score";
        char from[SHOW_BYTES];
        char to[SHOW_BYTES];
        table_cell(&table, STYLE_BOLD, "%s", show_money(total_of(plan, "before", what), from));
        table_cell(&table, STYLE_BOLD, "%s", show_money(total_of(plan, "after", what), to));
        cell_change(&table, total_of(plan, "before", what), total_of(plan, "after", what));
    }
    strbuf_puts(out, "\n");
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    const char *once = total_of(plan, "after", "once");
    char money[SHOW_BYTES];
    if (show_money_sign(once) > 0)
        strbuf_printf(out, " Moving itself costs %s, once.\n", show_money(once, money));
    return rc;
}

/* A term that is nothing on both sides has no line. */
static void write_term(const json_t *before, const json_t *after, const char *name,
                       struct table *table)
{
    const char *bills[2] = {term_of(before, "before", name, "bill"),
                            term_of(after, "after", name, "bill")};
    const char *scores[2] = {term_of(before, "before", name, "score"),
                             term_of(after, "after", name, "score")};
    if (show_money_sign(bills[0]) == 0 && show_money_sign(bills[1]) == 0 &&
        show_money_sign(scores[0]) == 0 && show_money_sign(scores[1]) == 0)
        return;
    char text[SHOW_BYTES];
    bool once = str_equal(name, "migration");
    table_cell(table, STYLE_PLAIN, "%s%s", name, once ? " (once)" : "");
    for (int i = 0; i < 2; i++)
        table_cell(table, STYLE_PLAIN, "%s", show_money(bills[i], text));
    cell_change(table, bills[0], bills[1]);
    for (int i = 0; i < 2; i++)
        table_cell(table, STYLE_DIM, "%s", show_money(scores[i], text));
    cell_change(table, scores[0], scores[1]);
}

static const char *total_of(const json_t *plan, const char *side, const char *what)
{
    const char *text = json_text(json_object_get(plan, side), what);
    return text[0] == 0 ? "0" : text;
}

static const char *term_of(const json_t *plan, const char *side, const char *term, const char *what)
{
    size_t index;
    json_t *each;
    json_array_foreach(json_object_get(json_object_get(plan, side), "terms"), index, each)
    {
        if (str_equal(json_text(each, "term"), term))
            return json_text(each, what);
    }
    return "0";
}

static void cell_change(struct table *table, const char *before, const char *after)
{
    char text[SHOW_BYTES];
    show_money_difference(before, after, text);
    enum style style = text[0] == '-' ? STYLE_GREEN : text[0] == '+' ? STYLE_YELLOW : STYLE_DIM;
    table_cell(table, style, "%s", text);
}

static void write_proof(const json_t *plan, bool color, struct strbuf *out)
{
    int64_t gap_ppm = json_number(plan, "gap_ppm");
    char bound[SHOW_BYTES];
    const char *text = json_text(plan, "bound_score");
    strbuf_puts(out, "\n");
    if (str_equal(json_text(plan, "status"), "optimal") || gap_ppm == 0)
        text_styled(out, color, STYLE_DIM,
                    "Proven: no placement that keeps the rules has a lower score.\n");
    else
        text_styled(out, color, STYLE_DIM,
                    "Within %" PRId64 ".%02" PRId64 " %% of the best possible (no placement can "
                    "score below %s).\n",
                    gap_ppm / 10000, gap_ppm % 10000 / 100, show_money(text, bound));
    if (json_text(plan, "text")[0] != 0)
        text_styled(out, color, STYLE_YELLOW, "Not looked for longer: %s.\n",
                    json_text(plan, "text"));
}

static void write_next(const struct plan_options *given, const struct option_words *words,
                       const json_t *plan, struct strbuf *out)
{
    if (given->file != NULL)
        strbuf_printf(out,
                      "\nTo carry out exactly this: berth apply -f %s --plan-version %" PRId64
                      " --wait\n",
                      given->file, json_number(plan, "state_version"));
    else if (given->retag != NULL)
        strbuf_printf(out,
                      "\nTo carry out exactly this: berth retag %s %s --plan-version %" PRId64
                      " --wait\n",
                      given->retag, words->items[0], json_number(plan, "state_version"));
    else if (given->delete_app != NULL)
        strbuf_printf(
            out, "\nTo carry out exactly this: berth delete %s --plan-version %" PRId64 " --wait\n",
            given->delete_app, json_number(plan, "state_version"));
}

/* Moves are made side by side, as far as the world's policy allows: the longest says the most. */
static int64_t expected_us(const json_t *moves)
{
    int64_t most = 0;
    size_t index;
    json_t *each;
    json_array_foreach(moves, index, each)
    {
        int64_t us = json_number(each, "expected_us");
        most = us > most ? us : most;
    }
    return most;
}
