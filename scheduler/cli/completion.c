#include "scheduler/cli/completion.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "scheduler/cli/client.h"
#include "scheduler/cli/get.h"
#include "scheduler/cli/places.h"
#include "scheduler/cli/show.h"

#define ASK_US (500 * US_PER_MS) /* a shell that waits for Tab has no patience */

static int run_completion(struct cli *cli, void *options, const struct option_words *words,
                          struct error *err);
static int run_complete(struct cli *cli, void *options, const struct option_words *words,
                        struct error *err);
static void offer(const char *candidate, const char *prefix, struct strbuf *out);
static void offer_options(const struct command *command, const char *prefix, struct strbuf *out);
static void offer_word(struct cli *cli, enum cli_word word, const char *prefix, struct strbuf *out);
static void offer_apps(struct cli *cli, bool workloads, const char *prefix, struct strbuf *out);
static void offer_sites(const char *prefix, struct strbuf *out);
static const struct option_row *value_of(const struct command *command, const char *word);
static void offer_value(struct cli *cli, const struct option_row *row, const char *prefix,
                        struct strbuf *out);

const char completion_bash[] = "# Completion of `berth` for bash: source <(berth completion bash)\n"
                               "_berth() {\n"
                               "    local IFS=$'\\n'\n"
                               "    mapfile -t COMPREPLY < <(berth __complete \"$COMP_CWORD\" "
                               "\"${COMP_WORDS[@]}\" 2>/dev/null)\n"
                               "    [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default\n"
                               "    [[ ${COMPREPLY[0]:-} != *[/=] ]] || compopt -o nospace\n"
                               "}\n"
                               "complete -F _berth berth\n";

const struct command command_completion = {
    .name = "completion",
    .synopsis = "bash",
    .summary = "Print the completion script of a shell",
    .examples = "  source <(berth completion bash)\n"
                "  berth completion bash >/etc/bash_completion.d/berth\n",
    .words_min = 1,
    .words_max = 1,
    .run = run_completion,
};

const struct command command_complete = {
    .name = "__complete",
    .synopsis = "INDEX WORD...",
    .summary = "The words that may stand at INDEX, for a shell",
    .words_min = 1,
    .words_max = OPTION_WORDS_MAX,
    .hidden = true,
    .run = run_complete,
};

void completion_words(struct cli *cli, const char *const *words, int count, int index,
                      struct strbuf *out)
{
    const char *prefix = index < count ? words[index] : "";
    const struct command *command = index > 1 && count > 1 ? cli_command(words[1]) : NULL;
    if (index <= 1) {
        for (int i = 0; cli_commands[i] != NULL; i++)
            if (!cli_commands[i]->hidden)
                offer(cli_commands[i]->name, prefix, out);
        return;
    }
    if (command == NULL)
        return;
    const struct option_row *row = value_of(command, words[index - 1]);
    if (row != NULL) {
        offer_value(cli, row, prefix, out);
        return;
    }
    if (prefix[0] == '-') {
        offer_options(command, prefix, out);
        return;
    }
    /* Which of the plain words this one is. */
    int position = 0;
    for (int i = 2; i < index && i < count; i++) {
        if (value_of(command, words[i]) != NULL)
            i++;
        else if (words[i][0] != '-')
            position++;
    }
    if (position < 2)
        offer_word(cli, command->words[position], prefix, out);
}

static int run_completion(struct cli *cli, void *options, const struct option_words *words,
                          struct error *err)
{
    (void)cli;
    (void)options;
    if (!str_equal(words->items[0], "bash"))
        return error_set(err, ERR_UNSUPPORTED, 0, "\"%.32s\": there is a script for bash",
                         words->items[0]);
    return cli_print_text(completion_bash, err);
}

static int run_complete(struct cli *cli, void *options, const struct option_words *words,
                        struct error *err)
{
    (void)options;
    int64_t index = 0;
    if (words->count < 1 || str_to_i64(words->items[0], &index) < 0 || index < 0 ||
        index > words->count)
        return error_set(err, ERR_INVALID, 0, "INDEX is the place of the word to complete");
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    cli->common.timeout_us = ASK_US;
    completion_words(cli, words->items + 1, words->count - 1, (int)index, &out);
    int rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static void offer(const char *candidate, const char *prefix, struct strbuf *out)
{
    if (str_starts(candidate, prefix))
        strbuf_printf(out, "%s\n", candidate);
}

static void offer_options(const struct command *command, const char *prefix, struct strbuf *out)
{
    const struct option_row *lists[] = {command->rows, cli_common_set.rows};
    int counts[] = {command->row_count, cli_common_set.count};
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < counts[s]; i++) {
            char name[LIMIT_NAME_BYTES];
            snprintf(name, sizeof(name), "--%s", lists[s][i].name);
            offer(name, prefix, out);
        }
}

static void offer_word(struct cli *cli, enum cli_word word, const char *prefix, struct strbuf *out)
{
    switch (word) {
    case WORD_KIND:
        for (int i = 0; get_kind(i) != NULL; i++)
            offer(get_kind(i), prefix, out);
        break;
    case WORD_COMMAND:
        for (int i = 0; cli_commands[i] != NULL; i++)
            if (!cli_commands[i]->hidden)
                offer(cli_commands[i]->name, prefix, out);
        break;
    case WORD_APP:
        offer_apps(cli, false, prefix, out);
        break;
    case WORD_WORKLOAD:
        offer_apps(cli, true, prefix, out);
        break;
    case WORD_TAG:
        offer("cloud=", prefix, out);
        offer("region=", prefix, out);
        offer("tier=", prefix, out);
        break;
    case WORD_PRICES:
        offer("diff", prefix, out);
        offer("import", prefix, out);
        offer("show", prefix, out);
        offer("history", prefix, out);
        offer("export", prefix, out);
        offer_sites(prefix, out);
        break;
    case WORD_TRACE:
        offer("check", prefix, out);
        offer("convert", prefix, out);
        break;
    case WORD_SITE:
        offer_sites(prefix, out);
        break;
    case WORD_FILE:
    case WORD_NONE:
        break; /* the shell's own: files */
    }
}

static void offer_apps(struct cli *cli, bool workloads, const char *prefix, struct strbuf *out)
{
    struct error err;
    struct message_request request;
    struct client_reply reply;
    CLEANUP(cleanup_client) struct client *client = NULL;
    if (cli == NULL || client_open(cli, &client, &err) < 0)
        return;
    client_request_init(&request, NULL);
    str_format(request.kind, sizeof(request.kind), "apps");
    if (client_call(client, "get", &request, &reply, &err) < 0)
        return;
    size_t index;
    size_t inner;
    json_t *app;
    json_t *each;
    json_array_foreach(json_object_get(reply.json, "items"), index, app)
    {
        const char *ns = json_text(app, "namespace");
        bool plain = str_equal(ns, "default");
        char name[LIMIT_REF_BYTES * 2];
        snprintf(name, sizeof(name), "%s%s%s", plain ? "" : ns, plain ? "" : "/",
                 json_text(app, "name"));
        if (!workloads)
            offer(name, prefix, out);
        json_array_foreach(workloads ? json_object_get(app, "workloads") : NULL, inner, each)
        {
            char whole[LIMIT_REF_BYTES * 3];
            snprintf(whole, sizeof(whole), "%s/%s", name, json_text(each, "name"));
            offer(whole, prefix, out);
        }
    }
    client_reply_done(&reply);
}

/* Those of the catalogue: a world of one's own is rarely at hand where a word is completed. */
static void offer_sites(const char *prefix, struct strbuf *out)
{
    struct error err = {0};
    struct places places;
    if (places_open(NULL, "catalogue", &places, &err) < 0)
        return;
    for (int i = 0; i < places.world.site_count; i++)
        offer(places.world.sites[i].name, prefix, out);
    places_done(&places);
}

/* The row of an option that wants a value, when `word` is one that has none yet. */
static const struct option_row *value_of(const struct command *command, const char *word)
{
    if (word[0] != '-')
        return NULL;
    const struct option_row *lists[] = {command->rows, cli_common_set.rows};
    int counts[] = {command->row_count, cli_common_set.count};
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < counts[s]; i++) {
            const struct option_row *row = &lists[s][i];
            bool named = word[1] == '-'
                             ? str_equal(word + 2, row->name)
                             : row->letter != 0 && word[1] == row->letter && word[2] == 0;
            if (named)
                return row->kind == OPTION_FLAG ? NULL : row;
        }
    return NULL;
}

static void offer_value(struct cli *cli, const struct option_row *row, const char *prefix,
                        struct strbuf *out)
{
    static const char *const outputs[] = {"yaml", "json", "wide"};
    static const char *const inputs[] = {
        "price.egress.*=",
        "price.compute.*=",
        "price.storage.*=",
        "latency.*:*=",
        "cache.hit=",
        "calls=",
        "cpu=",
        "bytes.request=",
        "bytes.response=",
        "replicas=",
        "data.size=",
        "capacity.cpu.*=",
        "weights.latency=",
        "policy.horizon=",
    };
    static const char *const providers[] = {"aws", "azure", "gcp", "edge", "client"};
    if (str_equal(row->name, "output"))
        for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++)
            offer(outputs[i], prefix, out);
    else if (str_starts(row->word, "SITE"))
        offer_sites(prefix, out);
    else if (str_equal(row->name, "set") || str_equal(row->name, "sweep") ||
             str_equal(row->name, "spread") || str_equal(row->name, "break-even"))
        for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
            offer(inputs[i], prefix, out);
    else if (str_equal(row->name, "provider") || str_equal(row->name, "remove-provider"))
        for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++)
            offer(providers[i], prefix, out);
    else if (str_equal(row->name, "tier"))
        for (int i = 0; i < TIER_COUNT; i++)
            offer(tier_words[i], prefix, out);
    else if (str_equal(row->name, "move"))
        offer_apps(cli, false, prefix, out);
    else if (str_equal(row->name, "retag"))
        offer_apps(cli, true, prefix, out);
    else if (str_equal(row->name, "delete"))
        offer_apps(cli, false, prefix, out);
}
