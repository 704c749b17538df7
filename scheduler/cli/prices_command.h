/*
 * prices_command: the options of `berth prices`, shared by its parts: what there is (prices.c),
 * what a new price list changes (prices_diff.c), price lists into the price book (prices_import.c),
 * and the book itself (prices_book.c). One thread.
 */
#pragma once

#include "scheduler/cli/cli.h"

struct prices_options {
    const char *to;
    const char *world;
    bool live;
    struct option_list apps;
    /* Of import, and of the book. */
    const char *book;
    const char *from;
    struct option_list regions;
    const char *provider;
    const char *site;
    const char *family;
    bool savings;
    const char *key_file;
    const char *ca_file;
    const char *factor;
    struct option_list accept;
    bool dry_run;
    const char *term;
    int64_t fetch_timeout_us; /* 0: the default */
};

/* `berth prices diff OLD NEW`: the exit code, or a negative error. */
int prices_diff(struct cli *cli, const struct prices_options *given,
                const struct option_words *words, struct error *err) WARN_UNUSED;
/* `berth prices import FEED [FILE...]`: 0, or CLI_CHANGES where something is held back. */
int prices_import(struct cli *cli, const struct prices_options *given,
                  const struct option_words *words, struct error *err) WARN_UNUSED;
/* `berth prices show [SITE...]`, `history [SITE...]` and `export`. */
int prices_show(struct cli *cli, const struct prices_options *given,
                const struct option_words *words, struct error *err) WARN_UNUSED;
int prices_history(struct cli *cli, const struct prices_options *given,
                   const struct option_words *words, struct error *err) WARN_UNUSED;
int prices_export(struct cli *cli, const struct prices_options *given,
                  const struct option_words *words, struct error *err) WARN_UNUSED;
