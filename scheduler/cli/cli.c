#include "scheduler/cli/cli.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define COMMANDS_MAX       64
#define TIMEOUT_DEFAULT_US (10 * US_PER_S)

const struct command *const cli_commands[] = {
    &command_up,        &command_down,        &command_apply,
    &command_plan,      &command_verify_plan, &command_retag,
    &command_move,      &command_suggest,     &command_delete,
    &command_explain,   &command_get,         &command_cost,
    &command_sites,     &command_evacuate,    &command_drain,
    &command_uncordon,  &command_rollback,    &command_cancel,
    &command_prices,    &command_whatif,      &command_simulate,
    &command_trace,     &command_info,        &command_events,
    &command_logs,      &command_artifact,    &command_keys,
    &command_scheduler, &command_completion,  &command_version,
    &command_help,      &command_complete,    NULL,
};

static const struct option_row common_rows[] = {
    {"dir", 0, OPTION_TEXT, "DIR",
     "folder of `berth up` (default: $BERTH_DIR, else the nearest .berth)",
     offsetof(struct cli_common, dir), 0, 0},
    {"url", 0, OPTION_TEXT, "URL", "NATS server to talk to instead of the folder's (needs --seed)",
     offsetof(struct cli_common, url), 0, 0},
    {"seed", 0, OPTION_TEXT, "FILE", "nkey seed of an operator's user",
     offsetof(struct cli_common, seed), 0, 0},
    {"user", 0, OPTION_TEXT, "NAME", "name of that user, which names its inbox (default: operator)",
     offsetof(struct cli_common, user), 0, 0},
    {"timeout", 0, OPTION_DURATION, "TIME", "how long to wait for an answer (default: 10s)",
     offsetof(struct cli_common, timeout_us), 0, 0},
    {"json", 0, OPTION_FLAG, NULL, "print the answer as JSON, as it came (docs/control.md)",
     offsetof(struct cli_common, json), 0, 0},
    {"no-color", 0, OPTION_FLAG, NULL,
     "no colours (also: $NO_COLOR, or output that is no terminal)",
     offsetof(struct cli_common, no_color), 0, 0},
    {"help", 'h', OPTION_FLAG, NULL, "this text", offsetof(struct cli_common, help), 0, 0},
};
const struct option_set cli_common_set = {
    .rows = common_rows, .count = sizeof(common_rows) / sizeof(common_rows[0]), .target = NULL};

static int run(struct cli *cli, int argc, char **argv, struct error *err);
static int help_overview(struct error *err);
static int unknown_command(const char *name, struct error *err);
static int print_all(const char *text, size_t bytes, struct error *err);

int cli_main(int argc, char **argv)
{
    struct error err = {0};
    struct cli cli = {.common = {.timeout_us = TIMEOUT_DEFAULT_US}};
    /* A reader that went away is seen by the write. */
    (void)signal(SIGPIPE, SIG_IGN);
    int rc = 0;
    if (argc < 2 || str_equal(argv[1], "--help") || str_equal(argv[1], "-h")) {
        rc = help_overview(&err);
        if (rc == 0 && argc < 2)
            return 1;
    } else if (str_equal(argv[1], "--version")) {
        rc = cli_print_text("berth " BERTH_VERSION "\n", &err);
    } else {
        cli.command = cli_command(argv[1]);
        rc = cli.command == NULL ? unknown_command(argv[1], &err)
                                 : run(&cli, argc - 1, argv + 1, &err);
    }
    if (rc >= 0)
        return rc;
    if (rc == ERR_IO && err.sys_errno == EPIPE)
        return 1; /* `berth ... | head`: nobody is there to be told */
    fprintf(stderr, "berth%s%s: %s\n", cli.command == NULL ? "" : " ",
            cli.command == NULL ? "" : cli.command->name, err.text);
    return 1;
}

const struct command *cli_command(const char *name)
{
    for (int i = 0; cli_commands[i] != NULL; i++)
        if (str_equal(cli_commands[i]->name, name))
            return cli_commands[i];
    return NULL;
}

void cli_help(const struct command *command, struct strbuf *out)
{
    strbuf_printf(out, "usage: berth %s %s\n\n%s\n", command->name, command->synopsis,
                  command->summary);
    if (command->text != NULL)
        strbuf_printf(out, "\n%s", command->text);
    if (command->row_count > 0) {
        strbuf_puts(out, "\noptions:\n");
        options_help(&(struct option_set){.rows = command->rows, .count = command->row_count}, out);
    }
    strbuf_puts(out, "\ncommon options:\n");
    options_help(&cli_common_set, out);
    if (command->examples != NULL)
        strbuf_printf(out, "\nexamples:\n%s", command->examples);
}

int cli_print(const struct strbuf *text, struct error *err)
{
    int rc = strbuf_error(text, err);
    return rc < 0 ? rc : print_all(strbuf_text(text), text->bytes, err);
}

int cli_print_text(const char *text, struct error *err)
{
    return print_all(text, strlen(text), err);
}

static int run(struct cli *cli, int argc, char **argv, struct error *err)
{
    const struct command *command = cli->command;
    CLEANUP(cleanup_free)
    void *options = calloc(1, command->options_bytes == 0 ? 1 : command->options_bytes);
    if (options == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the command line");
    struct option_set sets[] = {
        {.rows = command->rows, .count = command->row_count, .target = options},
        {.rows = cli_common_set.rows, .count = cli_common_set.count, .target = &cli->common},
    };
    struct option_words words = {.count = 0};
    /* What is completed is half-written: it is no command line of ours yet. */
    if (command == &command_complete) {
        for (int i = 1; i < argc && words.count < OPTION_WORDS_MAX; i++)
            words.items[words.count++] = argv[i];
        return command->run(cli, options, &words, err);
    }
    int rc = options_parse(sets, 2, argc, argv, &words, err);
    if (rc < 0)
        return rc;
    if (cli->common.help) {
        struct strbuf out;
        strbuf_init(&out, CLI_TEXT_BYTES);
        cli_help(command, &out);
        rc = cli_print(&out, err);
        strbuf_done(&out);
        return rc;
    }
    if (words.count < command->words_min || words.count > command->words_max)
        return error_set(err, ERR_INVALID, 0, "%s\nusage: berth %s %s\nberth %s --help says more",
                         words.count < command->words_min ? "something is missing"
                         : command->words_max == 0        ? "it takes no words, only options"
                                                          : "that is a word too many",
                         command->name, command->synopsis, command->name);
    const char *no_color = getenv("NO_COLOR");
    cli->color = !cli->common.no_color && (no_color == NULL || no_color[0] == 0) &&
                 isatty(STDOUT_FILENO) == 1;
    return command->run(cli, options, &words, err);
}

static int help_overview(struct error *err)
{
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    strbuf_puts(&out,
                "usage: berth COMMAND [options]\n\n"
                "Decides where every workload runs (client, edge, cloud) by what it costs and "
                "how fast it is,\nand moves it there without dropping a request.\n\n"
                "commands:\n");
    for (int i = 0; cli_commands[i] != NULL; i++)
        if (!cli_commands[i]->hidden)
            strbuf_printf(&out, "  %-12s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    strbuf_puts(&out, "\nberth COMMAND --help tells the rest, with examples. Begin with:\n"
                      "  berth up --world examples/worlds/demo.yaml --node n1=gcp/us-central1\n");
    int rc = cli_print(&out, err);
    strbuf_done(&out);
    return rc;
}

static int unknown_command(const char *name, struct error *err)
{
    const char *names[COMMANDS_MAX];
    size_t count = 0;
    for (int i = 0; cli_commands[i] != NULL && count < COMMANDS_MAX; i++)
        if (!cli_commands[i]->hidden)
            names[count++] = cli_commands[i]->name;
    const char *nearest = str_nearest(name, names, count);
    if (nearest != NULL)
        return error_set(err, ERR_INVALID, 0, "there is no command \"%.64s\"; did you mean %s?",
                         name, nearest);
    return error_set(err, ERR_INVALID, 0,
                     "there is no command \"%.64s\"; berth --help lists the commands", name);
}

static int print_all(const char *text, size_t bytes, struct error *err)
{
    while (bytes > 0) {
        ssize_t count = write(STDOUT_FILENO, text, bytes);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return error_set(err, ERR_IO, errno, "write to standard output");
        text += count;
        bytes -= (size_t)count;
    }
    return 0;
}
