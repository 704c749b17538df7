/*
 * cli: the `berth` command: a table of commands, each a row with its words, options, help and
 * function; what they share (common options, output, colours, exit codes).
 *
 * Exit codes: 0 done, 1 an error (told on standard error, with the next step), and for `plan` 2
 * when there are changes. Output goes to standard output through cli_print, so that a closed pipe
 * or a full disk is an error rather than silence. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "scheduler/cli/options.h"

#define CLI_CHANGES    2 /* exit code of `plan` */
#define CLI_TEXT_BYTES ((size_t)64 << 20)

struct cli_common {
    const char *dir;
    const char *url;
    const char *seed;
    const char *user;
    int64_t timeout_us;
    bool json;
    bool no_color;
    bool help;
};

struct command;

struct cli {
    struct cli_common common;
    const struct command *command;
    bool color; /* of standard output */
};

/* What a positional word is, for completion. */
enum cli_word {
    WORD_NONE,
    WORD_FILE,
    WORD_APP,
    WORD_WORKLOAD,
    WORD_KIND,
    WORD_COMMAND,
    WORD_TAG,
    WORD_SITE,
    WORD_PRICES,
    WORD_TRACE
};

struct command {
    const char *name;
    const char *synopsis; /* what follows "berth name" */
    const char *summary;  /* one line of the list */
    const char *text;     /* paragraphs of the help; may be NULL */
    const char *examples; /* lines */
    const struct option_row *rows;
    int row_count;
    size_t options_bytes; /* of the struct that the rows fill, zeroed before */
    int words_min;
    int words_max;
    enum cli_word words[2]; /* kinds of the first two positional words */
    bool hidden;
    /* The exit code, or a negative error. */
    int (*run)(struct cli *cli, void *options, const struct option_words *words, struct error *err);
};

extern const struct command *const cli_commands[]; /* ends with NULL */
extern const struct option_set cli_common_set;     /* target is NULL: for names and help */

int cli_main(int argc, char **argv);
const struct command *cli_command(const char *name); /* NULL: there is none */
void cli_help(const struct command *command, struct strbuf *out);

/* Writes a text to standard output, all of it. */
int cli_print(const struct strbuf *text, struct error *err) WARN_UNUSED;
int cli_print_text(const char *text, struct error *err) WARN_UNUSED;

/* Each command's row, beside its code. */
extern const struct command command_up, command_down, command_scheduler, command_apply,
    command_verify_plan, command_delete, command_plan, command_retag, command_move, command_suggest,
    command_explain, command_get, command_cost, command_info, command_events, command_logs,
    command_artifact, command_keys, command_version, command_completion, command_complete,
    command_help, command_sites, command_prices, command_evacuate, command_drain, command_uncordon,
    command_rollback, command_cancel, command_whatif, command_simulate, command_trace;
