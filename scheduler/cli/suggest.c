/* berth suggest: what would save, as dollars, certainty and the command to type. */
#include <inttypes.h>

#include "scheduler/cli/client.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/suggest.h"
#include "scheduler/cli/table.h"

static int run_suggest(struct cli *cli, void *options, const struct option_words *words,
                       struct error *err);
static void write_move(const json_t *move, bool color, struct strbuf *out);

const struct command command_suggest = {
    .name = "suggest",
    .synopsis = "[[NAMESPACE/]APP]",
    .summary = "Which moves would save money or time, how surely, and the command for each",
    .text =
        "Nothing is changed. Every app counts but those with `moves: off`; what moves by itself\n"
        "later is listed with what holds it back now. Moves that only pay together stand\n"
        "together. Ends with 2 when there are suggestions, with 0 when there are none.\n",
    .examples = "  berth suggest\n"
                "  berth suggest shop --json | jq -r '.moves[].command'\n",
    .words_max = 1,
    .words = {WORD_APP},
    .run = run_suggest,
};

static int run_suggest(struct cli *cli, void *options, const struct option_words *words,
                       struct error *err)
{
    (void)options;
    struct reference reference;
    int rc = words->count == 0 ? 0 : reference_app(words->items[0], &reference, err);
    CLEANUP(cleanup_client) struct client *client = NULL;
    if (rc == 0)
        rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    struct message_request request;
    struct client_reply reply;
    client_request_init(&request, words->count == 0 ? NULL : &reference);
    rc = client_call(client, "suggest", &request, &reply, err);
    if (rc < 0)
        return rc;
    bool any = json_array_size(json_object_get(reply.json, "moves")) > 0;
    if (cli->common.json) {
        rc = client_print(&reply, err);
    } else {
        struct strbuf out;
        strbuf_init(&out, CLI_TEXT_BYTES);
        suggest_write(reply.json, cli->color, &out);
        rc = cli_print(&out, err);
        strbuf_done(&out);
    }
    client_reply_done(&reply);
    return rc < 0 ? rc : any ? CLI_CHANGES : 0;
}

void suggest_write(const json_t *json, bool color, struct strbuf *out)
{
    const json_t *moves = json_object_get(json, "moves");
    const char *status = json_text(json, "status");
    size_t index;
    json_t *each;
    if (!str_equal(status, "optimal") && !str_equal(status, "feasible")) {
        strbuf_printf(out, "No suggestions: the solver found no plan (%s%s%s).\n", status,
                      json_text(json, "text")[0] == 0 ? "" : ": ", json_text(json, "text"));
        return;
    }
    if (json_array_size(moves) == 0) {
        strbuf_puts(out, "No suggestions: everything is where it costs least within its rules.\n");
        return;
    }
    int64_t group = -2;
    json_array_foreach(moves, index, each)
    {
        if (json_number(each, "group") != group && index > 0)
            strbuf_puts(out, "\n");
        group = json_number(each, "group");
        write_move(each, color, out);
    }
    char now[SHOW_BYTES];
    char then[SHOW_BYTES];
    strbuf_puts(out, "\n");
    text_styled(out, color, STYLE_BOLD, "All of them: the bill goes from %s to %s a month.",
                show_money(json_text(json, "bill_now"), now),
                show_money(json_text(json, "bill_then"), then));
    strbuf_puts(out, "\n");
}

/* Figures are of the whole group, so they stand with its first move only. */
static void write_move(const json_t *move, bool color, struct strbuf *out)
{
    char score[SHOW_BYTES];
    char spread[SHOW_BYTES];
    char bill[SHOW_BYTES];
    char once[SHOW_BYTES];
    char time[SHOW_BYTES];
    const char *variant = json_text(move, "variant");
    text_styled(out, color, STYLE_CYAN, "%s/%s/%s", json_text(move, "namespace"),
                json_text(move, "app"), json_text(move, "workload"));
    strbuf_printf(out, "  %s -> %s%s%s\n",
                  json_text(move, "from")[0] == 0 ? "nowhere" : json_text(move, "from"),
                  json_text(move, "to"), variant[0] == 0 ? "" : " as ", variant);
    if (json_truth(move, "forced")) {
        strbuf_puts(out, "  it cannot stay where it is\n");
    } else {
        bool dearer = show_money_sign(json_text(move, "bill_saving")) < 0;
        const char *amount = json_text(move, "bill_saving");
        strbuf_printf(out, "  saves %s a month of score (+- %s, %.1f %% sure); the bill %s by %s",
                      show_money(json_text(move, "score_saving"), score),
                      show_money(json_text(move, "spread"), spread),
                      /* cut, not rounded: nothing is 100 % sure */
                      (double)(json_number(move, "confidence_ppm") / 1000) / 10,
                      dearer ? "rises" : "falls", show_money(amount + (dearer ? 1 : 0), bill));
        strbuf_printf(out, "; once %s%s%s\n", show_money(json_text(move, "once"), once),
                      json_number(move, "payback_us") < 0 ? "" : ", paid back in ",
                      json_number(move, "payback_us") < 0
                          ? ""
                          : show_duration(json_number(move, "payback_us"), time));
    }
    if (json_text(move, "held")[0] != 0)
        strbuf_printf(out, "  not by itself: %s\n", json_text(move, "held"));
    strbuf_puts(out, "  ");
    text_styled(out, color, STYLE_GREEN, "%s", json_text(move, "command"));
    strbuf_puts(out, "\n");
}
