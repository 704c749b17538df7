/*
 * options: the command line of a client: a table of names, where the value goes, and what it is. It
 * gives --help and --json to all of them alike. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct client_option {
    const char *name; /* "--rate" */
    const char *text; /* for --help: its unit, what it is for */
    const char **word;
    int64_t *number; /* not below 0 */
    bool *flag;      /* no value follows */
};

/* 0: go on; 1: --help was printed, all is well; -1: said on standard error what is wrong. `options`
 * end with a NULL name; --json is added to them. */
int client_options(int argc, char **argv, const char *about, const struct client_option *options,
                   bool *ret_json);
