/*
 * prices_command: the options of `berth prices`, shared by its two halves: what there is
 * (prices.c) and what a new price list changes (prices_diff.c). One thread.
 */
#pragma once

#include "scheduler/cli/cli.h"

struct prices_options {
    const char *to;
    const char *world;
    bool live;
    struct option_list apps;
};

/* `berth prices diff OLD NEW`: the exit code, or a negative error. */
int prices_diff(struct cli *cli, const struct prices_options *given,
                const struct option_words *words, struct error *err) WARN_UNUSED;
