#include "scheduler/cli/explain.h"

#include <inttypes.h>
#include <string.h>

#include "model/cost.h"
#include "scheduler/cli/client.h"
#include "scheduler/cli/plan.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"

#define DECISIONS_SHOWN 5
#define FLIPS_SHOWN     8

struct explain_options {
    bool lines;
    bool all;
};

static int run_explain(struct cli *cli, void *options, const struct option_words *words,
                       struct error *err);
static int write_explanation(const struct cli *cli, const json_t *json,
                             const struct explain_options *given, struct strbuf *out,
                             struct error *err);
static int write_candidates(const json_t *json, bool color, struct strbuf *out, struct error *err);
static int write_places(const json_t *json, bool color, struct strbuf *out, struct error *err);
static const char *term_score(const json_t *place, const char *term);
static void write_room(const json_t *places, const json_t *json, bool color, struct strbuf *out);
static void write_price_flip(const json_t *flips, bool color, struct strbuf *out);
static void write_list(const char *head, const json_t *list, struct strbuf *out, bool color);
static int write_estimates(const json_t *json, bool color, struct strbuf *out, struct error *err);
static void write_decisions(const json_t *json, bool color, struct strbuf *out);
static void write_savings(const json_t *decision, bool color, struct strbuf *out);

static const struct option_row rows[] = {
    {"lines", 0, OPTION_FLAG, NULL, "the ledger of the workload as well, line by line",
     offsetof(struct explain_options, lines), 0, 0},
    {"all", 0, OPTION_FLAG, NULL, "every input that would change it, not the nearest 8 only",
     offsetof(struct explain_options, all), 0, 0},
};

const struct command command_explain = {
    .name = "explain",
    .synopsis = "[NAMESPACE/]APP/WORKLOAD [--lines] [--all]",
    .summary = "Why a workload is where it is, what else was considered, what would change it",
    .examples = "  berth explain shop/source\n"
                "  berth explain team-a/shop/front --lines\n"
                "  berth explain shop/source --json | jq '.candidates[] | {site, gap}'\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct explain_options),
    .words_min = 1,
    .words_max = 1,
    .words = {WORD_WORKLOAD},
    .run = run_explain,
};

static int run_explain(struct cli *cli, void *options, const struct option_words *words,
                       struct error *err)
{
    const struct explain_options *given = options;
    struct reference reference;
    int rc = reference_workload(words->items[0], &reference, err);
    CLEANUP(cleanup_client) struct client *client = NULL;
    if (rc == 0)
        rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    struct message_request request;
    struct client_reply reply;
    client_request_init(&request, &reference);
    rc = client_call(client, "explain", &request, &reply, err);
    if (rc < 0)
        return rc;
    if (cli->common.json) {
        rc = client_print(&reply, err);
    } else {
        struct strbuf out;
        strbuf_init(&out, CLI_TEXT_BYTES);
        rc = write_explanation(cli, reply.json, given, &out, err);
        if (rc == 0)
            rc = cli_print(&out, err);
        strbuf_done(&out);
    }
    client_reply_done(&reply);
    return rc;
}

static int write_explanation(const struct cli *cli, const json_t *json,
                             const struct explain_options *given, struct strbuf *out,
                             struct error *err)
{
    char since[SHOW_BYTES];
    const char *site = json_text(json, "site");
    const char *node = json_text(json, "node");
    text_styled(out, cli->color, STYLE_BOLD, "%s/%s/%s", json_text(json, "namespace"),
                json_text(json, "app"), json_text(json, "workload"));
    if (site[0] == 0)
        strbuf_puts(out, " runs nowhere");
    else
        text_styled(out, cli->color, STYLE_PLAIN, " is at %s", site);
    if (site[0] != 0 && node[0] != 0)
        text_styled(out, cli->color, STYLE_PLAIN, ", node %s, since %s", node,
                    show_instant(json_number(json, "since_us"), since));
    strbuf_puts(out, "\n");
    strbuf_puts(out, "\n");
    text_styled(out, cli->color, STYLE_PLAIN, "Why here:  %s\n", json_text(json, "here"));
    text_styled(out, cli->color, STYLE_PLAIN, "Why now:   %s\n", json_text(json, "now"));
    int rc = write_candidates(json, cli->color, out, err);
    if (rc < 0)
        return rc;
    rc = write_places(json, cli->color, out, err);
    if (rc < 0)
        return rc;
    write_room(json_object_get(json, "places"), json, cli->color, out);
    write_list("What would change its mind:", json_object_get(json, "change"), out, cli->color);
    write_price_flip(json_object_get(json, "flips"), cli->color, out);
    rc = explain_flips_write(json_object_get(json, "flips"), given->all, cli->color, out, err);
    if (rc == 0)
        rc = write_estimates(json, cli->color, out, err);
    write_decisions(json, cli->color, out);
    if (rc == 0 && given->lines) {
        strbuf_puts(out, "\n");
        rc = plan_lines_write(json_object_get(json, "lines"), cli->color, out, err);
    }
    return rc;
}

static int write_candidates(const json_t *json, bool color, struct strbuf *out, struct error *err)
{
    struct table table;
    char text[SHOW_BYTES];
    table_init(&table, "CONSIDERED|>BILL/MONTH|>SCORE|>MORE THAN CHOSEN|CHOSEN");
    table.indent = 1;
    size_t index;
    json_t *each;
    json_array_foreach(json_object_get(json, "candidates"), index, each)
    {
        bool chosen = json_truth(each, "chosen");
        bool allowed = json_truth(each, "allowed");
        enum style style = chosen ? STYLE_GREEN : allowed ? STYLE_PLAIN : STYLE_DIM;
        const char *variant = json_text(each, "variant");
        const char *sharers = json_text(each, "sharers");
        table_cell(&table, style, "%s%s%s%s%s%s", json_text(each, "site"),
                   variant[0] == 0 ? "" : " as ", variant, sharers[0] == 0 ? "" : " (with ",
                   sharers, sharers[0] == 0 ? "" : ")");
        bool known = allowed || json_truth(each, "full");
        table_cell(&table, style, "%s", known ? show_money(json_text(each, "bill"), text) : "-");
        table_cell(&table, style, "%s", known ? show_money(json_text(each, "score"), text) : "-");
        table_cell(&table, style, "%s",
                   !known || chosen ? "" : show_money_change(json_text(each, "gap"), text));
        table_cell(&table, style, "%s%s%s", chosen ? "✔" : "", chosen && !allowed ? " but " : "",
                   allowed ? "" : json_text(each, "rule"));
    }
    strbuf_puts(out, "\n");
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

/* Where it is beside the nearest other places, term by term. */
static int write_places(const json_t *json, bool color, struct strbuf *out, struct error *err)
{
    const json_t *places = json_object_get(json, "places");
    const json_t *first = json_array_get(places, 0);
    size_t count = json_array_size(places);
    if (count < 2 || !json_truth(first, "chosen"))
        return 0;
    struct table table;
    char head[LIMIT_REF_BYTES * 5] = "SCORE A MONTH";
    char text[SHOW_BYTES];
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(head);
        str_format(head + used, sizeof(head) - used, "|>%s",
                   json_text(json_array_get(places, i), "site"));
    }
    table_init(&table, head);
    table.indent = 1;
    for (int k = 0; k < TERM_COUNT; k++) {
        const char *term = cost_term_words[k];
        bool any = false;
        for (size_t i = 0; i < count; i++)
            any = any || show_money_sign(term_score(json_array_get(places, i), term)) != 0;
        if (!any)
            continue;
        table_cell(&table, STYLE_PLAIN, "%s", term);
        for (size_t i = 0; i < count; i++)
            table_cell(&table, i == 0 ? STYLE_GREEN : STYLE_PLAIN, "%s",
                       show_money(term_score(json_array_get(places, i), term), text));
    }
    if (json_object_get(json, "prices_at_us") != NULL) {
        table_cell(&table, STYLE_DIM, "room, by the plan's prices");
        for (size_t i = 0; i < count; i++)
            table_cell(&table, STYLE_DIM, "%s",
                       show_money(json_text(json_array_get(places, i), "room"), text));
    }
    table_cell(&table, STYLE_BOLD, "more for the plan as a whole");
    for (size_t i = 0; i < count; i++)
        table_cell(&table, STYLE_BOLD, "%s",
                   i == 0
                       ? "-"
                       : show_money_change(json_text(json_array_get(places, i), "reduced"), text));
    strbuf_puts(out, "\n");
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

static const char *term_score(const json_t *place, const char *term)
{
    size_t index;
    json_t *each;
    json_array_foreach(json_object_get(place, "terms"), index, each)
    {
        if (str_equal(json_text(each, "term"), term))
            return json_text(each, "score");
    }
    return "0";
}

/* The capacity prices that it pays, or would. */
static void write_room(const json_t *places, const json_t *json, bool color, struct strbuf *out)
{
    char price[SHOW_BYTES];
    char amount[SHOW_BYTES];
    char wins[SHOW_BYTES];
    bool any = false;
    for (size_t i = 0; i < json_array_size(places); i++) {
        const json_t *place = json_array_get(places, i);
        const json_t *prices = json_object_get(place, "prices");
        for (size_t k = 0; k < json_array_size(prices); k++) {
            const json_t *each = json_array_get(prices, k);
            const char *below = json_text(each, "wins_below");
            if (!any)
                strbuf_puts(out, "\nWhat room is worth, by the last plan's certificate:\n");
            any = true;
            text_styled(
                out, color, STYLE_PLAIN, "  - %s: %s per %s and month of %s: it %s %s%s%s\n",
                json_text(place, "site"), show_money(json_text(each, "price"), price),
                json_text(each, "unit"), json_text(each, "resource"), i == 0 ? "pays" : "would pay",
                show_money(json_text(each, "amount"), amount),
                below[0] == 0 ? "" : "; it would win below ",
                below[0] == 0 ? "" : show_money(below, wins));
        }
    }
    if (!any && json_object_get(json, "prices_at_us") != NULL)
        strbuf_puts(out, "\nNo capacity price is paid: there is room where it is and nearby.\n");
}

/* They come with the smallest change first. */
static void write_price_flip(const json_t *flips, bool color, struct strbuf *out)
{
    size_t index;
    json_t *each;
    json_array_foreach(flips, index, each)
    {
        const char *unit = json_text(each, "unit");
        if (strncmp(unit, "USD per", 7) != 0 || str_equal(unit, "USD per second"))
            continue;
        text_styled(out, color, STYLE_PLAIN, "\nThe smallest change of a price: %s\n",
                    json_text(each, "text"));
        return;
    }
}

static void write_list(const char *head, const json_t *list, struct strbuf *out, bool color)
{
    size_t index;
    json_t *each;
    if (json_array_size(list) == 0)
        return;
    strbuf_printf(out, "\n%s\n", head);
    json_array_foreach(list, index, each)
    {
        text_styled(out, color, STYLE_PLAIN, "  - %s\n", json_string_value(each));
    }
}

int explain_flips_write(const json_t *flips, bool all, bool color, struct strbuf *out,
                        struct error *err)
{
    size_t count = json_array_size(flips);
    size_t shown = all || count <= FLIPS_SHOWN ? count : FLIPS_SHOWN;
    if (count == 0)
        return 0;
    struct table table;
    table_init(&table, "INPUT BY ITSELF|>NOW|>MOVES IT|>CHANGE|TO");
    table.indent = 1;
    for (size_t i = 0; i < shown; i++) {
        const json_t *each = json_array_get(flips, i);
        const char *variant = json_text(each, "variant");
        bool above = json_truth(each, "above");
        bool relative = json_object_get(each, "change_ppm") != NULL;
        table_cell(&table, STYLE_PLAIN, "%s", json_text(each, "input"));
        const char *unit = json_text(each, "unit");
        bool plain = str_equal(unit, "ratio"); /* says nothing that the input does not */
        table_cell(&table, STYLE_PLAIN, "%s%s%s", json_text(each, "present"), plain ? "" : " ",
                   plain ? "" : unit);
        table_cell(&table, STYLE_PLAIN, "%s %s", above ? "above" : "below", json_text(each, "at"));
        if (relative)
            table_cell(&table, STYLE_PLAIN, "%s%.1f %%", above ? "+" : "-",
                       (double)json_number(each, "change_ppm") / 1e4);
        else
            table_cell(&table, STYLE_PLAIN, "from 0");
        table_cell(&table, STYLE_PLAIN, "%s%s%s", json_text(each, "site"),
                   variant[0] == 0 ? "" : " as ", variant);
    }
    strbuf_puts(out, "\n");
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    if (rc == 0 && shown < count)
        strbuf_printf(out, "  and %zu farther: --all\n", count - shown);
    return rc;
}

static int write_estimates(const json_t *json, bool color, struct strbuf *out, struct error *err)
{
    const json_t *list = json_object_get(json, "estimates");
    if (json_array_size(list) == 0)
        return 0;
    struct table table;
    char value[SHOW_BYTES];
    char age[SHOW_BYTES];
    table_init(&table, "ESTIMATE|AT|>VALUE|FROM");
    table.indent = 1;
    size_t index;
    json_t *each;
    json_array_foreach(list, index, each)
    {
        const char *kind = json_text(each, "kind");
        table_cell(&table, STYLE_PLAIN, "%s", kind);
        table_cell(&table, STYLE_PLAIN, "%s", json_text(each, "site"));
        table_cell(&table, STYLE_PLAIN, "%s",
                   show_estimate(kind, json_number(each, "value"), value));
        if (json_truth(each, "measured"))
            table_cell(&table, STYLE_PLAIN, "measured, %s ago",
                       show_duration(json_number(each, "age_us"), age));
        else
            table_cell(&table, STYLE_DIM, "the document's prior");
    }
    strbuf_puts(out, "\n");
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

static void write_decisions(const json_t *json, bool color, struct strbuf *out)
{
    const json_t *list = json_object_get(json, "decisions");
    size_t count = json_array_size(list);
    if (count == 0)
        return;
    strbuf_puts(out, "\nLast decisions:\n");
    for (size_t i = 0; i < count && i < DECISIONS_SHOWN; i++) {
        const json_t *each = json_array_get(list, i);
        char at[SHOW_BYTES];
        const char *from = json_text(each, "from_site");
        const char *to = json_text(each, "to_site");
        text_styled(out, color, STYLE_DIM, "  %s  ", show_instant(json_number(each, "at_us"), at));
        text_styled(out, color, STYLE_PLAIN, "%s → %s (%s): %s\n", from[0] == 0 ? "-" : from,
                    to[0] == 0 ? "-" : to, json_text(each, "reason"), json_text(each, "text"));
        write_savings(each, color, out);
    }
    if (count > DECISIONS_SHOWN)
        strbuf_printf(out, "  and %zu older: berth get decisions\n", count - DECISIONS_SHOWN);
}

/* What a move that was made was to save, and what it did when that was judged. */
static void write_savings(const json_t *decision, bool color, struct strbuf *out)
{
    char score[SHOW_BYTES];
    char bill[SHOW_BYTES];
    if (!str_equal(json_text(decision, "verdict"), "taken") ||
        json_object_get(decision, "score_saving") == NULL)
        return;
    text_styled(out, color, STYLE_DIM,
                "    predicted to save %s a month (the bill: %s), %d %% sure",
                show_money(json_text(decision, "score_saving"), score),
                show_money(json_text(decision, "bill_saving"), bill),
                (int)(json_number(decision, "confidence_ppm") / 10000));
    if (json_object_get(decision, "score_realised") != NULL)
        text_styled(out, color, STYLE_DIM, "; realised %s (%s)",
                    show_money(json_text(decision, "score_realised"), score),
                    show_money(json_text(decision, "bill_realised"), bill));
    strbuf_puts(out, "\n");
}
