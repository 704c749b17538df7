/* berth cost: today's placement as a monthly bill, and the ledger of what it has cost. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "scheduler/cli/client.h"
#include "scheduler/cli/cost.h"
#include "scheduler/cli/plan.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"

struct cost_options {
    const char *by;
    const char *from;
    const char *to;
    const char *tag;
    const char *account;
    const char *term;
    bool rows;
    bool focus;
};

static int run_cost(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err);
static int run_ledger(struct cli *cli, const struct cost_options *given, struct client *client,
                      struct message_request *request, struct error *err);
static int print_pages(struct cli *cli, const struct cost_options *given, json_t *asked,
                       struct client *client, struct message_request *request, struct error *err);
static int print_sums(struct cli *cli, const json_t *asked, struct client *client,
                      struct message_request *request, struct error *err);
static int call(struct client *client, struct message_request *request, const json_t *asked,
                struct client_reply *ret_reply, struct error *err);
static int write_today(const json_t *json, bool color, struct strbuf *out, struct error *err);
static void write_month(const json_t *json, bool color, struct strbuf *out);
static int write_sums(const json_t *json, const json_t *by, bool color, struct strbuf *out,
                      struct error *err);
static int put_text(json_t *asked, const char *key, const char *text, struct error *err);
static int put_by(json_t *asked, const char *list, struct error *err);

static const struct option_row rows[] = {
    {"by", 'b', OPTION_TEXT, "LIST",
     "what was really paid, summed by any of namespace, app, workload, term, account, site, hour, "
     "day, tag (separated by commas)",
     offsetof(struct cost_options, by), 0, 0},
    {"from", 0, OPTION_TEXT, "DATE", "from that day or hour (UTC) on; else this month's first",
     offsetof(struct cost_options, from), 0, 0},
    {"to", 0, OPTION_TEXT, "DATE", "before that day or hour (UTC)",
     offsetof(struct cost_options, to), 0, 0},
    {"tag", 0, OPTION_TEXT, "KEY[=VALUE]", "only at sites that carry the tag; --by tag: its values",
     offsetof(struct cost_options, tag), 0, 0},
    {"account", 0, OPTION_TEXT, "NAME", "only what that account pays",
     offsetof(struct cost_options, account), 0, 0},
    {"term", 0, OPTION_TEXT, "NAME", "only that term: edge, datacentre, storage, egress, custom",
     offsetof(struct cost_options, term), 0, 0},
    {"rows", 0, OPTION_FLAG, NULL, "every row of the ledger, as JSON lines",
     offsetof(struct cost_options, rows), 0, 0},
    {"focus", 0, OPTION_FLAG, NULL, "every row as CSV with the columns of FOCUS 1.2",
     offsetof(struct cost_options, focus), 0, 0},
};

const struct command command_cost = {
    .name = "cost",
    .synopsis = "[[NAMESPACE/]APP] [--by LIST] [--from DATE] [--to DATE] [--focus]",
    .summary = "What today's placement costs a month, and what was really paid, hour by hour",
    .text = "Without options: the month so far, its forecast, and today's placement line by line, "
            "each\n"
            "line computed in words. With --by: the ledger's sums, with what the cost model had\n"
            "predicted for the same hours beside them.\n",
    .examples = "  berth cost\n"
                "  berth cost shop --by workload,term\n"
                "  berth cost --by day --from 2026-11-01 --to 2026-12-01\n"
                "  berth cost --by tag --tag team\n"
                "  berth cost --focus > november.csv\n"
                "  berth cost shop --json | jq '.total'\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct cost_options),
    .words_max = 1,
    .words = {WORD_APP},
    .run = run_cost,
};

int cost_date(const char *text, int64_t *ret_us, struct error *err)
{
    int year;
    int month;
    int day;
    int hour = 0;
    int used = 0;
    int got = sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used);
    if (got == 3 && text[used] == 'T') {
        int more = 0;
        got = sscanf(text + used + 1, "%2d%n", &hour, &more) == 1 ? 3 : 0;
        used += 1 + more;
        if (str_equal(text + used, ":00") || str_equal(text + used, ":00Z") ||
            str_equal(text + used, "Z"))
            used += (int)strlen(text + used);
    }
    struct tm date = {.tm_year = got == 3 ? year - 1900 : 0,
                      .tm_mon = got == 3 ? month - 1 : 0,
                      .tm_mday = got == 3 ? day : 0,
                      .tm_hour = hour};
    struct tm normal = date;
    time_t seconds = timegm(&normal);
    if (got != 3 || text[used] != 0 || year < 1970 || normal.tm_mon != date.tm_mon ||
        normal.tm_mday != date.tm_mday || normal.tm_hour != date.tm_hour)
        return error_set(err, ERR_INVALID, 0,
                         "\"%.40s\" is no date; write a day as 2026-11-01, or an hour as "
                         "2026-11-01T13 (UTC)",
                         text);
    *ret_us = (int64_t)seconds * US_PER_S;
    return 0;
}

static int run_cost(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err)
{
    const struct cost_options *given = options;
    struct reference reference;
    int rc = words->count == 0 ? 0 : reference_app(words->items[0], &reference, err);
    CLEANUP(cleanup_client) struct client *client = NULL;
    if (rc == 0)
        rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    struct message_request request;
    client_request_init(&request, words->count == 0 ? NULL : &reference);
    if (given->by != NULL || given->from != NULL || given->to != NULL || given->tag != NULL ||
        given->account != NULL || given->term != NULL || given->rows || given->focus)
        return run_ledger(cli, given, client, &request, err);
    struct client_reply reply;
    rc = client_call(client, "cost", &request, &reply, err);
    if (rc < 0)
        return rc;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    if (cli->common.json)
        rc = client_print(&reply, err);
    else
        rc = write_today(reply.json, cli->color, &out, err);
    client_reply_done(&reply);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int run_ledger(struct cli *cli, const struct cost_options *given, struct client *client,
                      struct message_request *request, struct error *err)
{
    CLEANUP(cleanup_json) json_t *asked = json_object();
    int64_t at_us = 0;
    int rc = 0;
    if (given->from != NULL && (rc = cost_date(given->from, &at_us, err)) == 0)
        json_object_set_new(asked, "from_us", json_integer(at_us));
    if (rc == 0 && given->to != NULL && (rc = cost_date(given->to, &at_us, err)) == 0)
        json_object_set_new(asked, "to_us", json_integer(at_us));
    if (rc == 0)
        rc = put_text(asked, "account", given->account, err);
    if (rc == 0)
        rc = put_text(asked, "term", given->term, err);
    if (rc == 0 && given->tag != NULL) {
        const char *equals = strchr(given->tag, '=');
        char key[LIMIT_PATH_BYTES];
        size_t bytes = equals == NULL ? strlen(given->tag) : (size_t)(equals - given->tag);
        str_format(key, sizeof(key), "%.*s", (int)(bytes < 1000 ? bytes : 1000), given->tag);
        rc = put_text(asked, "tag", key, err);
        if (rc == 0 && equals != NULL)
            rc = put_text(asked, "tag_value", equals + 1, err);
    }
    if (rc == 0)
        rc = put_by(asked, given->by, err);
    if (rc < 0)
        return rc;
    return given->rows || given->focus ? print_pages(cli, given, asked, client, request, err)
                                       : print_sums(cli, asked, client, request, err);
}

/* Page by page, so that a year's rows pass through messages of bounded size. */
static int print_pages(struct cli *cli, const struct cost_options *given, json_t *asked,
                       struct client *client, struct message_request *request, struct error *err)
{
    (void)cli;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    if (given->focus)
        ledger_focus_header(&out);
    json_object_set_new(asked, "rows", json_true());
    json_object_set_new(asked, "focus", json_boolean(given->focus));
    int rc = 0;
    for (int64_t after = 0; rc == 0;) {
        struct client_reply reply;
        json_object_set_new(asked, "after", json_integer(after));
        rc = call(client, request, asked, &reply, err);
        if (rc < 0)
            break;
        size_t index;
        json_t *each;
        json_array_foreach(json_object_get(reply.json, "rows"), index, each)
        {
            char *text = given->focus ? NULL : json_dumps(each, JSON_COMPACT);
            strbuf_puts(&out, given->focus ? json_string_value(each) : text == NULL ? "" : text);
            strbuf_puts(&out, given->focus ? "" : "\n");
            cleanup_free(&text);
        }
        after = json_number(reply.json, "after");
        client_reply_done(&reply);
        rc = cli_print(&out, err);
        strbuf_reset(&out);
        if (after == 0)
            break;
    }
    strbuf_done(&out);
    return rc;
}

static int print_sums(struct cli *cli, const json_t *asked, struct client *client,
                      struct message_request *request, struct error *err)
{
    struct client_reply reply;
    int rc = call(client, request, asked, &reply, err);
    if (rc < 0)
        return rc;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    if (cli->common.json) {
        rc = client_print(&reply, err);
    } else {
        write_month(json_object_get(reply.json, "month"), cli->color, &out);
        rc = write_sums(reply.json, json_object_get(asked, "by"), cli->color, &out, err);
    }
    client_reply_done(&reply);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int call(struct client *client, struct message_request *request, const json_t *asked,
                struct client_reply *ret_reply, struct error *err)
{
    char *text = json_dumps(asked, JSON_COMPACT);
    if (text == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the request");
    request->document = text;
    int rc = client_call(client, "ledger", request, ret_reply, err);
    request->document = NULL;
    cleanup_free(&text);
    return rc;
}

static int write_today(const json_t *json, bool color, struct strbuf *out, struct error *err)
{
    const json_t *total = json_object_get(json, "total");
    const json_t *lines = json_object_get(json, "lines");
    char bill[SHOW_BYTES];
    char score[SHOW_BYTES];
    write_month(json_object_get(json, "month"), color, out);
    if (json_array_size(lines) == 0) {
        strbuf_puts(out, "nothing runs, nothing is billed\n");
        return 0;
    }
    int rc = plan_lines_write(lines, color, out, err);
    strbuf_puts(out, "\n");
    text_styled(out, color, STYLE_BOLD, "%s a month", show_money(json_text(total, "bill"), bill));
    strbuf_printf(out, "; score %s (what is minimised: bill and experience, weighted)\n",
                  show_money(json_text(total, "score"), score));
    return rc;
}

static void write_month(const json_t *json, bool color, struct strbuf *out)
{
    char to_date[SHOW_BYTES];
    char predicted[SHOW_BYTES];
    char forecast[SHOW_BYTES];
    if (!json_is_object(json))
        return;
    text_styled(out, color, STYLE_BOLD, "this month so far %s",
                show_money(json_text(json, "to_date"), to_date));
    strbuf_printf(out, " (predicted %s), %s by its end, from %" PRId64 " hours of history\n\n",
                  show_money(json_text(json, "predicted_to_date"), predicted),
                  show_money(json_text(json, "forecast"), forecast),
                  json_number(json, "history_hours"));
}

static int write_sums(const json_t *json, const json_t *by, bool color, struct strbuf *out,
                      struct error *err)
{
    const json_t *sums = json_object_get(json, "sums");
    size_t index;
    json_t *each;
    struct strbuf heads;
    struct table table;
    if (json_array_size(sums) == 0) {
        strbuf_puts(out, "nothing was paid then\n");
        return 0;
    }
    /* The keys come in the ledger's own order, whatever order was asked for. */
    static const char *const order[] = {"namespace", "app",  "workload", "term", "account",
                                        "site",      "hour", "day",      "tag"};
    bool asked[9] = {false};
    json_array_foreach(by, index, each)
    {
        for (size_t i = 0; i < 9; i++)
            asked[i] |= str_equal(json_string_value(each), order[i]);
    }
    asked[0] |= asked[1];
    asked[7] &= !asked[6];
    strbuf_init(&heads, LIMIT_PATH_BYTES);
    for (size_t i = 0; i < 9; i++)
        for (const char *at = order[i]; asked[i] && *at != 0; at++)
            strbuf_printf(&heads, "%c%s", *at - 'a' + 'A', at[1] == 0 ? "|" : "");
    strbuf_puts(&heads, ">PAID|>PREDICTED|>DIFFERENCE");
    table_init(&table, strbuf_text(&heads));
    strbuf_done(&heads);
    json_array_foreach(sums, index, each)
    {
        size_t part;
        json_t *key;
        char text[SHOW_BYTES];
        json_array_foreach(json_object_get(each, "key"), part, key)
        {
            table_cell(&table, STYLE_PLAIN, "%s", json_string_value(key));
        }
        const char *paid = json_text(each, "amount");
        const char *predicted = json_text(each, "predicted");
        table_cell(&table, STYLE_PLAIN, "%s", show_money(paid, text));
        table_cell(&table, STYLE_DIM, "%s", show_money(predicted, text));
        table_cell(&table, STYLE_DIM, "%s", show_money_difference(predicted, paid, text));
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

static int put_text(json_t *asked, const char *key, const char *text, struct error *err)
{
    if (text == NULL)
        return 0;
    if (strlen(text) >= LIMIT_NAME_BYTES)
        return error_set(err, ERR_LIMIT, 0, "--%s %.80s: at most %d characters", key, text,
                         LIMIT_NAME_BYTES - 1);
    return json_object_set_new(asked, key, json_string(text)) == 0
               ? 0
               : error_set(err, ERR_INVALID, 0, "--%s: not UTF-8", key);
}

static int put_by(json_t *asked, const char *list, struct error *err)
{
    json_t *by = json_array();
    for (const char *at = list; at != NULL && *at != 0;) {
        size_t bytes = strcspn(at, ",");
        json_array_append_new(by, json_stringn(at, bytes));
        at += bytes + (at[bytes] == ',' ? 1 : 0);
    }
    return json_object_set_new(asked, "by", by) == 0
               ? 0
               : error_set(err, ERR_INVALID, 0, "--by: not UTF-8");
}
