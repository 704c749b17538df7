#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "scheduler/cli/client.h"
#include "scheduler/cli/find_dir.h"
#include "scheduler/cli/plan.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"

static int run_info(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err);
static int run_keys(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err);
static int run_version(struct cli *cli, void *options, const struct option_words *words,
                       struct error *err);
static int run_help(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err);
static int ask(struct cli *cli, const char *verb, const struct reference *reference,
               struct client_reply *ret_reply, char url[LIMIT_PATH_BYTES], struct error *err);
static void info_row(struct table *table, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const struct command command_info = {
    .name = "info",
    .synopsis = "",
    .summary = "The scheduler: version, world, journal, NATS server",
    .examples = "  berth info\n  berth info --json | jq .state_version\n",
    .run = run_info,
};

const struct command command_keys = {
    .name = "keys",
    .synopsis = "",
    .summary = "The users that `berth up` minted and where their keys are",
    .text = "Each user may use exactly its own subjects and hears answers on its own inbox. A key "
            "file\n"
            "is an nkey seed: who has it is that user.\n",
    .examples = "  berth keys\n"
                "  nats --nkey .berth/keys/operator --inbox-prefix _INBOX.o.operator micro ls\n",
    .run = run_keys,
};

const struct command command_version = {
    .name = "version",
    .synopsis = "",
    .summary = "The version of this program",
    .examples = "  berth version\n",
    .run = run_version,
};

const struct command command_help = {
    .name = "help",
    .synopsis = "[COMMAND]",
    .summary = "The help of a command",
    .examples = "  berth help plan\n",
    .words_max = 1,
    .words = {WORD_COMMAND},
    .run = run_help,
};

static int run_info(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err)
{
    (void)options;
    (void)words;
    struct client_reply reply;
    char url[LIMIT_PATH_BYTES];
    int rc = ask(cli, "info", NULL, &reply, url, err);
    if (rc < 0)
        return rc;
    if (cli->common.json) {
        rc = client_print(&reply, err);
        client_reply_done(&reply);
        return rc;
    }
    const json_t *info = reply.json;
    char since[SHOW_BYTES];
    struct strbuf out;
    struct table table;
    strbuf_init(&out, CLI_TEXT_BYTES);
    table_init_plain(&table, 2);
    info_row(&table, "berth", "%s", json_text(info, "version"));
    info_row(&table, "server", "%s, nats-server %s%s", url, json_text(info, "nats_server"),
             json_truth(info, "jetstream") ? " with JetStream" : "");
    if (json_text(info, "world")[0] == 0)
        info_row(&table, "world", "none yet: berth apply -f WORLD");
    else
        info_row(&table, "world", "%s%s%s", json_text(info, "world"),
                 json_number(info, "world_since_us") == 0 ? "" : ", prices in force since ",
                 json_number(info, "world_since_us") == 0
                     ? ""
                     : show_instant(json_number(info, "world_since_us"), since));
    info_row(&table, "nodes up", "%" PRId64, json_number(info, "nodes_up"));
    info_row(&table, "apps", "%" PRId64, json_number(info, "apps"));
    info_row(&table, "state", "%" PRId64 " (inputs %" PRId64 ", term %" PRId64 ")",
             json_number(info, "state_version"), json_number(info, "input_version"),
             json_number(info, "term"));
    info_row(&table, "journal", "%s, record %" PRId64, json_text(info, "journal"),
             json_number(info, "journal_seq"));
    info_row(&table, "last plan", "%s",
             json_text(info, "plan")[0] == 0 ? "none yet" : json_text(info, "plan"));
    info_row(&table, "since", "%s", show_instant(json_number(info, "started_us"), since));
    rc = table_write(&table, cli->color, &out, err);
    table_done(&table);
    client_reply_done(&reply);
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int run_keys(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err)
{
    (void)options;
    (void)words;
    char folder[LIMIT_PATH_BYTES];
    CLEANUP(cleanup_json) json_t *json = NULL;
    int rc = folder_find(cli->common.dir, folder, err);
    if (rc == 0)
        rc = folder_read(folder, &json, err);
    if (rc < 0)
        return rc;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    const json_t *users = json_object_get(json, "users");
    if (cli->common.json) {
        char *text = json_dumps(users, JSON_COMPACT);
        strbuf_printf(&out, "{\"items\":%s}\n", text == NULL ? "[]" : text);
        cleanup_free(&text);
    } else {
        struct table table;
        size_t index;
        json_t *each;
        table_init(&table, "ROLE|NAME|KEY FILE|INBOX|PUBLIC KEY");
        json_array_foreach(users, index, each)
        {
            table_cell(&table, STYLE_PLAIN, "%s", json_text(each, "role"));
            table_cell(&table, STYLE_PLAIN, "%s", json_text(each, "name"));
            table_cell(&table, STYLE_CYAN, "%s", json_text(each, "seed"));
            table_cell(&table, STYLE_PLAIN, "%s", json_text(each, "inbox"));
            table_cell(&table, STYLE_DIM, "%s", json_text(each, "public_key"));
        }
        rc = table_write(&table, cli->color, &out, err);
        table_done(&table);
    }
    if (rc == 0)
        rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int run_version(struct cli *cli, void *options, const struct option_words *words,
                       struct error *err)
{
    (void)options;
    (void)words;
    return cli_print_text(cli->common.json ? "{\"version\":\"" BERTH_VERSION "\"}\n"
                                           : "berth " BERTH_VERSION "\n",
                          err);
}

static int run_help(struct cli *cli, void *options, const struct option_words *words,
                    struct error *err)
{
    (void)cli;
    (void)options;
    const struct command *command =
        words->count == 0 ? &command_help : cli_command(words->items[0]);
    if (command == NULL)
        return error_set(err, ERR_NOT_FOUND, 0,
                         "there is no command \"%.64s\"; berth --help lists the commands",
                         words->items[0]);
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    cli_help(command, &out);
    int rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int ask(struct cli *cli, const char *verb, const struct reference *reference,
               struct client_reply *ret_reply, char url[LIMIT_PATH_BYTES], struct error *err)
{
    CLEANUP(cleanup_client) struct client *client = NULL;
    int rc = client_open(cli, &client, err);
    if (rc < 0)
        return rc;
    struct message_request request;
    client_request_init(&request, reference);
    memcpy(url, client->url, LIMIT_PATH_BYTES);
    return client_call(client, verb, &request, ret_reply, err);
}

static void info_row(struct table *table, const char *name, const char *format, ...)
{
    char text[LIMIT_PATH_BYTES * 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    table_cell(table, STYLE_DIM, "%s", name);
    table_cell(table, STYLE_PLAIN, "%s", text);
}
